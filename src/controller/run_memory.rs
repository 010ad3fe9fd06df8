//! What this process remembers of a run between two reconciles. Forgetting it costs time, never safety.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use nuvo_core::run::{LockName, RunMemory};

/// What is remembered of each run, by its uid. Defaults are not stored.
#[derive(Default)]
pub struct RunMemories(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<String, RunMemory>,
    /// The locks that others wait for since the last pass over a run has begun. What that pass remembers at its end does not know of them.
    awaited: HashMap<String, LockName>,
}

impl State {
    fn get(&self, uid: &str) -> RunMemory {
        let known = self.known.get(uid).cloned().unwrap_or_default();
        RunMemory { awaited: self.awaited.get(uid).cloned().or(known.awaited), ..known }
    }

    fn set(&mut self, uid: &str, memory: RunMemory) {
        if memory == RunMemory::default() {
            self.known.remove(uid);
        } else {
            self.known.insert(uid.to_owned(), memory);
        }
    }
}

impl RunMemories {
    /// What is remembered of a run.
    #[must_use]
    pub fn get(&self, uid: &str) -> RunMemory {
        self.0.lock().get(uid)
    }

    /// What a pass over a run begins with.
    #[must_use]
    pub fn begin(&self, uid: &str) -> RunMemory {
        let mut state = self.0.lock();
        let memory = state.get(uid);
        state.awaited.remove(uid);
        state.set(uid, memory.clone());
        memory
    }

    /// Remembers this of a run.
    pub fn set(&self, uid: &str, memory: RunMemory) {
        self.0.lock().set(uid, memory);
    }

    /// Notes that another run waits until this one releases this lock. Returns whether that is new.
    pub fn set_awaited(&self, uid: &str, lock: LockName) -> bool {
        let mut state = self.0.lock();
        let is_known = state.get(uid).awaited.is_some();
        state.awaited.insert(uid.to_owned(), lock);
        !is_known
    }

    /// Forgets everything about this run.
    pub fn forget(&self, uid: &str) {
        let mut state = self.0.lock();
        state.known.remove(uid);
        state.awaited.remove(uid);
    }

    /// Forgets the runs that are not among these.
    pub fn retain(&self, uids: &HashSet<String>) {
        let mut state = self.0.lock();
        state.known.retain(|uid, _| uids.contains(uid));
        state.awaited.retain(|uid, _| uids.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> LockName {
        LockName::new("nuvo-orders").unwrap()
    }

    #[test]
    fn wait_that_is_told_during_a_pass_is_known_to_the_next_one() {
        let memories = RunMemories::default();
        let before = memories.begin("u1");
        assert!(memories.set_awaited("u1", lock()));
        memories.set("u1", before);
        assert!(!memories.set_awaited("u1", lock()), "it is known");
        assert_eq!(memories.get("u1").awaited, Some(lock()));
        assert_eq!(memories.begin("u1").awaited, Some(lock()));
        // The end of that pass.
        memories.set("u1", RunMemory::default());
        assert_eq!(memories.get("u1"), RunMemory::default());
        assert!(memories.set_awaited("u1", lock()));
        memories.retain(&HashSet::new());
        assert_eq!(memories.get("u1"), RunMemory::default());
    }
}
