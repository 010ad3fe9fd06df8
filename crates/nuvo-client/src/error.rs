//! Why a request failed.

use std::time::Duration;

use nuvo_core::{run::Obstacle, scheduler::Pause};

use super::unreachable::Unreachable;

/// Why a request failed. The texts are fixed: no body, token or URL is ever in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The client itself could not be built (TLS set-up, or a credential that cannot be sent).
    #[error("the client could not be set up: {reason}")]
    Setup {
        /// A fixed text.
        reason: &'static str,
    },
    /// Nothing was sent, because the account pauses.
    #[error("{0}")]
    Paused(Pause),
    /// Nothing was sent, because the process is shutting down.
    #[error("the operator is stopping")]
    Stopping,
    /// No connection.
    #[error("nuvo cannot be reached: {0}")]
    Unreachable(Unreachable),
    /// The connection broke before the answer was whole.
    #[error("the connection to nuvo broke before the answer was complete")]
    Interrupted,
    /// No answer in time.
    #[error("nuvo did not answer in time")]
    TimedOut,
    /// 401, also with a fresh token.
    #[error("nuvo rejected the credentials")]
    Unauthorized,
    /// 403.
    #[error("the account lacks a permission for this request")]
    Forbidden,
    /// An answer that an endpoint of nuvo does not give: the address is wrong.
    #[error("there is no API of nuvo at this address (status {status}): check {fields} of the account")]
    NoApi {
        /// The HTTP status.
        status: u16,
        /// The fields of the account that make up the address.
        fields: &'static str,
    },
    /// 404 or 400 for a request by id.
    #[error("nuvo does not know this id")]
    NotFound,
    /// 429.
    #[error("nuvo limits the rate of requests")]
    RateLimited {
        /// What the server asked for, 1 s to 15 min.
        retry_after: Option<Duration>,
    },
    /// 5xx, 408 or 425.
    #[error("nuvo answered with status {status}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// What the server asked for, 1 s to 15 min.
        retry_after: Option<Duration>,
    },
    /// Any other status.
    #[error("nuvo refused the request with status {status}")]
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// 2xx, but not an answer of this API.
    #[error("nuvo's answer cannot be understood: {reason}")]
    Malformed {
        /// A fixed text.
        reason: &'static str,
    },
    /// The answer exceeds its cap.
    #[error("nuvo's answer is too large")]
    TooLarge,
}

impl Error {
    /// The pause the server asked for.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server did not answer, or answered that it cannot. Any other error shows that the server is available.
    #[must_use]
    pub const fn is_of_server(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Interrupted | Self::TimedOut | Self::Server { .. })
    }

    /// What a run waits for if this error prevents its trigger.
    #[must_use]
    pub const fn obstacle(&self) -> Obstacle {
        match self {
            Self::RateLimited { .. } => Obstacle::RateLimited,
            Self::Paused(pause) => pause.obstacle,
            Self::Unauthorized | Self::Forbidden | Self::NoApi { .. } => Obstacle::Account,
            Self::Setup { .. } | Self::Stopping => Obstacle::Operator,
            Self::Unreachable(_)
            | Self::Interrupted
            | Self::TimedOut
            | Self::NotFound
            | Self::Server { .. }
            | Self::Rejected { .. }
            | Self::Malformed { .. }
            | Self::TooLarge => Obstacle::Unavailable,
        }
    }
}
