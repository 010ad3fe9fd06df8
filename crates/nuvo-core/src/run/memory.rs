//! What the process remembers of a run between two passes.

use std::time::Duration;

use super::{ids::LockName, trigger::facts::Memory, trigger::post_outcome::Obstacle};

/// What a process remembers of a run between two passes. Forgetting it costs time, never safety. All times are those of its own
/// monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RunMemory {
    /// What the trigger protocol remembers.
    pub trigger: Memory,
    /// No trigger before this time, because of this.
    pub held_off: Option<(Duration, Obstacle)>,
    /// Passes in a row that failed.
    pub failures: u32,
    /// Since when the run has been waiting for another one.
    pub waiting_since: Option<Duration>,
    /// Since when the run's deadline has been seen to have passed.
    pub overdue_since: Option<Duration>,
    /// Another run waits until this one has given this lock back.
    pub awaited: Option<LockName>,
    /// The run ends, and may have the lock of its pipeline to give back.
    pub lock_pending_release: bool,
    /// The hash of the messages that this process has written last, and when.
    pub note_written: Option<(Duration, u64)>,
    /// The hash of the messages that were published without being written.
    pub announced: Option<u64>,
}
