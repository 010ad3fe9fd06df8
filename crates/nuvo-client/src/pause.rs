//! Why an account sends nothing for a while.

use std::{fmt, time::Duration};

/// The pause after 429 or 503 without `Retry-After`.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Why an account pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// nuvo answered 429.
    RateLimited,
    /// nuvo could not be reached, or asked for patience.
    Unavailable,
    /// nuvo does not take the account's credentials, or is not where the account says.
    Account,
}

/// Nothing is sent for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// For how long.
    pub left: Duration,
    /// Why.
    pub reason: PauseReason,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the time: it ends up in statuses, which would be written anew whenever it changes.
        f.write_str(match self.reason {
            PauseReason::RateLimited => "nuvo limits the rate of requests",
            PauseReason::Unavailable => "nuvo does not answer as it should",
            PauseReason::Account => "nuvo has rejected the credentials of the account, or is not where the account says",
        })
    }
}
