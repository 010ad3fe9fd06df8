//! The result of a call, together with what it used and showed of the account.

use std::time::Duration;

/// Whether nuvo accepts the credentials of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsVerdict {
    /// nuvo has carried out a request, or refused it for another reason.
    Accepted,
    /// nuvo has given no token for them, or refused a new token.
    Rejected,
}

/// What a call used and showed of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The requests beyond those that the caller asked for: for tokens, and repeated with a new one.
    pub extra_requests: u32,
    /// By the last answer that shows it; none if no answer did.
    pub credentials: Option<CredentialsVerdict>,
    /// The pause that nuvo asked for by answering a POST with 503. The pause of a GET is in its error.
    pub pause: Option<Duration>,
}

impl Usage {
    pub(crate) const fn add_request(&mut self) {
        self.extra_requests = self.extra_requests.saturating_add(1);
    }

    pub(crate) const fn with<T>(self, result: T) -> Exchange<T> {
        Exchange { result, usage: self }
    }
}

/// One call, of one or several requests. The usage of a call that is dropped before its end is not known.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Exchange<T> {
    /// The result.
    pub result: T,
    /// What it meant for the account.
    pub usage: Usage,
}
