//! What the operator remembers of the run when the replay begins.

use std::time::Duration;

use nuvo_core::run::{Doubt, ExecutionId, Inquiry, LockName, LockRead, Memory, Obstacle, Run, RunMemory, decided};
use serde::Deserialize;

/// The lock that another run waits for. There is but one here.
const LOCK: &str = "lock";

/// What the operator remembers. Times are how long ago something began.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MemoryOverrides {
    doubt_seconds: Option<u64>,
    last_look: Option<Look>,
    quarantine_seconds: Option<u64>,
    waiting_seconds: Option<u64>,
    overdue_seconds: Option<u64>,
    held_off_seconds: Option<u64>,
    failures: u32,
    awaited: bool,
    lock_pending_release: bool,
}

/// An earlier look at nuvo's list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Look {
    seconds: u64,
    ids: Vec<ExecutionId>,
}

impl MemoryOverrides {
    /// As the core keeps it, at this uptime.
    pub fn at(&self, uptime: Duration, run: Option<&Run>, lock: Option<&LockRead>) -> RunMemory {
        let ago = |seconds: u64| uptime.saturating_sub(Duration::from_secs(seconds));
        let lock_holder = lock.and_then(|read| read.lock.holder.as_ref());
        let inquiry = run.filter(|_| self.doubt_seconds.is_some() || self.last_look.is_some()).and_then(|run| {
            let since = self.doubt_seconds.or(self.last_look.as_ref().map(|look| look.seconds)).unwrap_or_default();
            Some(Inquiry {
                executed: run.own_marker().is_some_and(|marker| marker.executed),
                last: self.last_look.as_ref().map(|look| (ago(look.seconds), look.ids.clone())),
                ..Inquiry::new(doubt(run, lock)?, ago(since))
            })
        });
        let quarantine = lock_holder.zip(self.quarantine_seconds).map(|(lock_holder, seconds)| (lock_holder.nonce.clone(), ago(seconds)));
        RunMemory {
            trigger: Memory { inquiry, quarantine },
            held_off: self.held_off_seconds.map(|left| (uptime.saturating_add(Duration::from_secs(left)), Obstacle::Unavailable)),
            failures: self.failures,
            waiting_since: self.waiting_seconds.map(ago),
            overdue_since: self.overdue_seconds.map(ago),
            awaited: LockName::new(LOCK).ok().filter(|_| self.awaited),
            lock_pending_release: self.lock_pending_release,
            note_written: None,
            announced: None,
        }
    }
}

/// The delivery in doubt, by the marker or else by the lock.
fn doubt(run: &Run, lock: Option<&LockRead>) -> Option<Doubt> {
    if let Some(marker) = run.own_marker().filter(|_| !decided(run)) {
        return Some(Doubt { nonce: marker.nonce.clone(), acquisition: marker.acquisition.clone(), attempt: marker.attempt });
    }
    let lock_holder = lock?.lock.held_by(&run.id.uid)?;
    Some(Doubt { nonce: lock_holder.nonce.clone(), acquisition: lock_holder.acquisition.clone(), attempt: run.attempt })
}
