//! The runs that wait for the lock of a pipeline, so that a release wakes them.

use std::collections::{HashMap, HashSet};

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use nuvo_core::run::PipelineId;
use nuvo_crds::PipelineRun;

/// The runs that may be waiting until another run releases the lock of their pipeline. They are few: only the oldest run of each account and
/// pipeline asks for the lock.
#[derive(Default)]
pub struct LockWaiters(Mutex<HashMap<PipelineId, HashSet<ObjectRef<PipelineRun>>>>);

impl LockWaiters {
    /// Adds a run that may have to wait. Call this before the lock is read: otherwise a release right after the read could be missed.
    pub fn add(&self, pipeline: &PipelineId, run: ObjectRef<PipelineRun>) {
        self.0.lock().entry(pipeline.clone()).or_default().insert(run);
    }

    /// Removes a run that does not wait.
    pub fn remove(&self, pipeline: &PipelineId, run: &ObjectRef<PipelineRun>) {
        let mut waiters = self.0.lock();
        if let Some(runs) = waiters.get_mut(pipeline) {
            runs.remove(run);
            if runs.is_empty() {
                waiters.remove(pipeline);
            }
        }
    }

    /// Takes out all runs, whatever their pipeline.
    #[must_use]
    pub fn take_all(&self) -> Vec<ObjectRef<PipelineRun>> {
        std::mem::take(&mut *self.0.lock()).into_values().flatten().collect()
    }

    /// Takes out all runs of a pipeline. Each adds itself again if it still has to wait.
    #[must_use]
    pub fn take(&self, pipeline: &PipelineId) -> HashSet<ObjectRef<PipelineRun>> {
        self.0.lock().remove(pipeline).unwrap_or_default()
    }
}
