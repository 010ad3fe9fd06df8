//! When a failed execution is read again, to find out whether it was repaired in nuvo.

use std::time::Duration;

/// The first wait. It doubles up to an hour.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3_600);
/// For how long it is read.
const WATCHED_FOR: Duration = Duration::from_secs(7 * 86_400);

/// The last failed execution. All times are those of one monotonic clock, which is handed in.
#[derive(Debug, Clone)]
pub(super) struct RepairWatch {
    id: String,
    since: Duration,
    wait: Duration,
    next: Duration,
}

impl RepairWatch {
    pub(super) fn new(id: &str, now: Duration) -> Self {
        Self { id: id.to_owned(), since: now, wait: FIRST, next: now.saturating_add(FIRST) }
    }

    pub(super) fn is_of(&self, id: &str) -> bool {
        self.id == id
    }

    /// Whether it is to be read now. If so, the next time is planned.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.next <= now && now.saturating_sub(self.since) < WATCHED_FOR;
        if is_due {
            self.wait = self.wait.saturating_mul(2).min(LONGEST);
            self.next = now.saturating_add(self.wait);
        }
        is_due
    }
}
