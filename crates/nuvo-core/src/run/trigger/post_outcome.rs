//! What is known after the one POST of an attempt (docs/protocol.md, section 5).

use std::time::Duration;

use crate::run::ids::ExecutionId;
use nuvo_crds::conditions::Reason;

/// The class of a POST's answer, or of its absence.
///
/// Messages are made by the operator (fixed words, sanitised and bounded to 1,024 characters); a raw body is never in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PostOutcome {
    /// 2xx, every id safe and the pipeline ours. An empty list means that there was nothing to process.
    Accepted(Vec<ExecutionId>),
    /// It is certain that nothing was started.
    NotExecuted {
        /// Whether and when another try may be made.
        then: Unexecuted,
        /// For people.
        message: String,
    },
    /// 2xx, but the answer does not tell the ids: something was started, so this is never triggered again by itself.
    ExecutedIdsUnknown {
        /// For people.
        message: String,
    },
    /// The request may or may not have been carried out.
    Unknown {
        /// For people.
        message: String,
    },
}

/// What follows a POST that certainly started nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unexecuted {
    /// A new try may be made after this delay (already clamped to 1 s .. 15 min when it came from Retry-After).
    RetryAfter(Duration, Obstacle),
    /// nuvo refused the request for good: `TriggerRejected`.
    Rejected,
}

/// What stood in the way of a POST that may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// nuvo asked for a pause.
    RateLimited,
    /// nuvo cannot be reached, or does not answer as it should.
    Unavailable,
    /// nuvo does not take the account's credentials, or is not where the account says.
    Account,
    /// Nothing of nuvo's: the operator came too late, or is stopping.
    Operator,
}

impl Obstacle {
    /// What the status of a run says that is waiting for it to go away.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::RateLimited => Reason::RateLimited,
            Self::Unavailable => Reason::NuvoUnavailable,
            Self::Account => Reason::AccountNotReady,
            Self::Operator => Reason::Pending,
        }
    }
}
