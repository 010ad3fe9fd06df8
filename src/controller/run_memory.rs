//! What this process remembers of a run between two reconciles. Forgetting it costs time, never safety.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use nuvo_core::run::{LockName, RunMemory};

/// What is remembered of each run, by its uid. Defaults are not stored.
#[derive(Default)]
pub struct RunMemories(Mutex<HashMap<String, RunMemory>>);

impl RunMemories {
    /// What is remembered of a run.
    #[must_use]
    pub fn get(&self, uid: &str) -> RunMemory {
        self.0.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Remembers this of a run.
    pub fn set(&self, uid: &str, memory: RunMemory) {
        let mut memories = self.0.lock();
        if memory == RunMemory::default() {
            memories.remove(uid);
        } else {
            memories.insert(uid.to_owned(), memory);
        }
    }

    /// Notes that another run waits until this one releases this lock. Returns whether that is new.
    pub fn set_awaited(&self, uid: &str, lock: LockName) -> bool {
        let mut memories = self.0.lock();
        let memory = memories.entry(uid.to_owned()).or_default();
        memory.awaited.replace(lock).is_none()
    }

    /// Forgets everything about this run.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Forgets the runs that are not among these.
    pub fn retain(&self, uids: &HashSet<String>) {
        self.0.lock().retain(|uid, _| uids.contains(uid));
    }
}
