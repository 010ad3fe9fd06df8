//! What a call of the client came to, besides its result.

use std::time::Duration;

/// What nuvo says about the credentials of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsVerdict {
    /// It has carried out a request, or refused it for another reason.
    Accepted,
    /// It has given no token for them, or refused a token that is as new as can be.
    Rejected,
}

/// What a call meant for the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The requests that the caller cannot know of: tokens, and repetitions with a new one.
    pub extra_requests: u32,
    /// By the last answer that says something about them; none if no answer did.
    pub credentials: Option<CredentialsVerdict>,
    /// For how long nothing is to be sent, if a POST was answered with 503. What a GET was asked for is in its error.
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

/// One call: one request or several. What a call that is dropped before its end has sent is not known.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Exchange<T> {
    /// What was asked for.
    pub result: T,
    /// What it meant for the account.
    pub usage: Usage,
}
