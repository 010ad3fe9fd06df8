//! What this process remembers between two looks at an object. Forgetting it costs time, never safety.

use std::collections::{HashMap, HashSet};

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use nuvo_core::run::{PipelineId, RunMemory};
use nuvo_crds::PipelineRun;

/// By the uid of a run. What is not kept is the default.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<String, RunMemory>>);

impl Memories {
    /// What is remembered of a run.
    #[must_use]
    pub fn get(&self, uid: &str) -> RunMemory {
        self.0.lock().get(uid).cloned().unwrap_or_default()
    }

    /// What is to be remembered of a run.
    pub fn set(&self, uid: &str, memory: RunMemory) {
        let mut memories = self.0.lock();
        if memory == RunMemory::default() {
            memories.remove(uid);
        } else {
            memories.insert(uid.to_owned(), memory);
        }
    }

    /// Another run waits until this one has given the pipeline's lock back. Whether that is news.
    pub fn await_it(&self, uid: &str) -> bool {
        let mut memories = self.0.lock();
        let memory = memories.entry(uid.to_owned()).or_default();
        !std::mem::replace(&mut memory.awaited, true)
    }

    /// Everything about this run.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Everything about runs that are gone.
    pub fn retain(&self, uids: &HashSet<String>) {
        self.0.lock().retain(|uid, _| uids.contains(uid));
    }
}

/// The runs that may be waiting until another run gives back the lock of their pipeline. They are few: of each account only the oldest run
/// of a pipeline asks for its lock.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<PipelineId, HashSet<ObjectRef<PipelineRun>>>>);

impl Waiting {
    /// This one may have to wait. It says so before it reads the lock, or it might miss that the lock is given back right after that.
    pub fn add(&self, pipeline: &PipelineId, run: ObjectRef<PipelineRun>) {
        self.0.lock().entry(pipeline.clone()).or_default().insert(run);
    }

    /// This one does not wait.
    pub fn remove(&self, pipeline: &PipelineId, run: &ObjectRef<PipelineRun>) {
        let mut waiting = self.0.lock();
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
        std::mem::take(&mut *self.0.lock()).into_values().flatten().collect()
    }

    /// All that wait; they add themselves again if they have to.
    #[must_use]
    pub fn take(&self, pipeline: &PipelineId) -> HashSet<ObjectRef<PipelineRun>> {
        self.0.lock().remove(pipeline).unwrap_or_default()
    }
}
