//! Why an account sends nothing for a while.

use std::{fmt, time::Duration};

/// The pause after 429 or 503 without `Retry-After`.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Why an account pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// nuvo answered 429.
    RateLimited,
    /// nuvo could not be reached, or answered 503.
    Unavailable,
    /// nuvo rejects the account's credentials, or is not at the account's base URL.
    Account,
}

/// A pause: nothing is sent to nuvo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The time that is left.
    pub left: Duration,
    /// Why.
    pub reason: PauseReason,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the time: the text is part of statuses, and each new time would mean another write.
        f.write_str(match self.reason {
            PauseReason::RateLimited => "nuvo limits the rate of requests",
            PauseReason::Unavailable => "nuvo does not answer as it should",
            PauseReason::Account => "nuvo has rejected the credentials of the account, or is not where the account says",
        })
    }
}
