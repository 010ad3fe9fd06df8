//! How the driver of an account reaches runs.

use kube::runtime::reflector::ObjectRef;
use nuvo_core::run::RunRef;
use nuvo_crds::PipelineRun;

/// Wakes runs.
pub trait RunNotifier: Send + Sync {
    /// Has a run reconciled again.
    fn wake(&self, run: &ObjectRef<PipelineRun>);
    /// Whether this very object, by its uid, still exists.
    fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool;
}

/// The reference to a run, as caches and queues have it.
#[must_use]
pub fn object_ref(run: &RunRef) -> ObjectRef<PipelineRun> {
    let mut reference = ObjectRef::new(&run.name).within(&run.namespace);
    reference.extra.uid = Some(run.uid.to_string());
    reference
}
