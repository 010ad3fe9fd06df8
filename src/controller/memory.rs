//! What this process remembers between two looks at an object. Forgetting it costs time, never safety.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::runtime::reflector::ObjectRef;

use super::account::Fingerprint;
use nuvo_core::run::{PipelineId, RunMemory};
use nuvo_crds::PipelineRun;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By the uid of a run. What is not kept is the default.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<String, RunMemory>>);

impl Memories {
    /// What is remembered of a run.
    #[must_use]
    pub fn get(&self, uid: &str) -> RunMemory {
        lock(&self.0).get(uid).cloned().unwrap_or_default()
    }

    /// What is to be remembered of a run.
    pub fn set(&self, uid: &str, memory: RunMemory) {
        let mut memories = lock(&self.0);
        if memory == RunMemory::default() {
            memories.remove(uid);
        } else {
            memories.insert(uid.to_owned(), memory);
        }
    }

    /// Another run waits until this one has given the pipeline's lock back. Whether that is news.
    pub fn await_it(&self, uid: &str) -> bool {
        let mut memories = lock(&self.0);
        let memory = memories.entry(uid.to_owned()).or_default();
        !std::mem::replace(&mut memory.awaited, true)
    }

    /// Everything about this run.
    pub fn forget(&self, uid: &str) {
        lock(&self.0).remove(uid);
    }

    /// Everything about runs that are gone.
    pub fn retain(&self, uids: &HashSet<String>) {
        lock(&self.0).retain(|uid, _| uids.contains(uid));
    }
}

/// The runs that may be waiting until another run gives back the lock of their pipeline. They are few: of each account only the oldest run
/// of a pipeline asks for its lock.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<PipelineId, HashSet<ObjectRef<PipelineRun>>>>);

impl Waiting {
    /// This one may have to wait. It says so before it reads the lock, or it might miss that the lock is given back right after that.
    pub fn add(&self, pipeline: &PipelineId, run: ObjectRef<PipelineRun>) {
        lock(&self.0).entry(pipeline.clone()).or_default().insert(run);
    }

    /// This one does not wait.
    pub fn remove(&self, pipeline: &PipelineId, run: &ObjectRef<PipelineRun>) {
        let mut waiting = lock(&self.0);
        if let Some(runs) = waiting.get_mut(pipeline) {
            runs.remove(run);
            if runs.is_empty() {
                waiting.remove(pipeline);
            }
        }
    }

    /// All that wait, for whatever pipeline.
    #[must_use]
    pub fn take_all(&self) -> Vec<ObjectRef<PipelineRun>> {
        std::mem::take(&mut *lock(&self.0)).into_values().flatten().collect()
    }

    /// All that wait; they add themselves again if they have to.
    #[must_use]
    pub fn take(&self, pipeline: &PipelineId) -> HashSet<ObjectRef<PipelineRun>> {
        lock(&self.0).remove(pipeline).unwrap_or_default()
    }
}

/// What an account's proof rests on, by the account's uid.
#[derive(Default)]
pub struct Proven(Mutex<HashMap<String, Fingerprint>>);

impl Proven {
    /// What was proven last.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<Fingerprint> {
        lock(&self.0).get(uid).cloned()
    }

    /// Only these accounts are left.
    pub fn retain(&self, uids: &HashSet<String>) {
        lock(&self.0).retain(|uid, _| uids.contains(uid));
    }

    /// This is proven.
    pub fn set(&self, uid: String, fingerprint: Fingerprint) {
        lock(&self.0).insert(uid, fingerprint);
    }
}

/// How often in a row something was tried, by uid.
#[derive(Default)]
pub struct Tries(Mutex<HashMap<String, u32>>);

impl Tries {
    /// Only these accounts are left.
    pub fn retain(&self, uids: &HashSet<String>) {
        lock(&self.0).retain(|uid, _| uids.contains(uid));
    }

    /// The number of failures before this one; a success begins anew.
    pub fn count(&self, uid: &str, success: bool) -> u32 {
        let mut tries = lock(&self.0);
        if success {
            tries.remove(uid);
            return 0;
        }
        let count = tries.entry(uid.to_owned()).or_default();
        let before = *count;
        *count = before.saturating_add(1);
        before
    }
}
