//! What the shell observes of a run and of its account: once when a pass begins, and what may change at any time.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    ids::{AccountHash, Nonce},
    life::Life,
    memory::RunMemory,
    trigger::run_view::Run,
    trigger::step::Limits,
};
use crate::scheduler::Pause;

/// Why a pass begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Begin {
    /// The object may have changed, or the run was woken.
    Changed,
    /// The run is at rest, and only its name is in the cache.
    AtRest,
    /// The object was deleted; this is how it was seen last.
    Deleted,
    /// The operator watches the object no longer, because its label selector does not select it. The object is still there.
    Unwatched,
}

impl Begin {
    /// Whether passes follow, for which something is to be remembered.
    #[must_use]
    pub const fn is_watched(self) -> bool {
        match self {
            Self::Changed | Self::AtRest => true,
            Self::Deleted | Self::Unwatched => false,
        }
    }
}

/// What is known of the account of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// This process has not looked at it yet. Nothing is said about its runs before that.
    Unknown,
    /// It cannot be used, and why.
    NotReady(String),
    /// It can.
    Ready {
        /// No trigger may be sent for a while.
        trigger_pause: Option<Pause>,
        /// Which account it is.
        account: Option<AccountHash>,
    },
}

impl Account {
    /// It can be used, and nothing is in the way.
    pub const FREE: Self = Self::Ready { trigger_pause: None, account: None };
}

/// What the account's polls say of the executions of a run, as far as the core needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Polled {
    /// When nuvo was asked last about each execution that may still be running, and answered; none before that.
    pub asked: Option<Timestamp>,
    /// nuvo has said that the pipeline is in developer mode.
    pub developer_mode: bool,
}

/// What a pass begins with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Why it begins.
    pub begin: Begin,
    /// The run as the cache has it; none if only its name is known, or why the object is no run.
    pub run: Result<Option<Run>, String>,
    /// What the process remembers of it.
    pub memory: RunMemory,
    /// The protocol's times.
    pub limits: Limits,
    /// Monotonic time of this process. Its origin lies before all that is remembered.
    pub uptime: Duration,
    /// A nonce that was never used.
    pub spare: Nonce,
    /// The older run of the pipeline and account that is triggered first.
    pub older: Option<String>,
    /// Another run of the pipeline waits for its trigger.
    pub others_wait: bool,
    /// What the account's polls say.
    pub polled: Polled,
}

/// What may change at any time, and is observed before every decision.
#[derive(Debug, Clone)]
pub struct Present {
    /// Monotonic time of this process. Its origin lies before all that is remembered.
    pub uptime: Duration,
    /// What the object says of the run's life now.
    pub life: Life,
    /// The account.
    pub account: Account,
    /// For how long the process has been shutting down. Zero also while it begins nothing because it does not lead any more; then what was
    /// begun is recorded however long that takes.
    pub stopping_for: Option<Duration>,
    /// The name of the pipeline's lock is known: it depends on the account.
    pub lock_is_known: bool,
}
