//! The observed pipelines that this operator watches.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::object_cache::ObjectCache;
use crate::{
    account::{AccountKey, driver::PipelineNotifier},
    checked_clock::CheckedClock,
};
use nuvo_crds::NuvoPipeline;

/// All observed pipelines.
pub struct ObservedPipelines {
    cache: ObjectCache<NuvoPipeline>,
    clock: Arc<CheckedClock>,
}

impl ObservedPipelines {
    /// Those of this cache.
    #[must_use]
    pub const fn new(cache: ObjectCache<NuvoPipeline>, clock: Arc<CheckedClock>) -> Self {
        Self { cache, clock }
    }

    /// Whether this very object, by its uid, still exists.
    #[must_use]
    pub fn contains(&self, object: &ObjectRef<NuvoPipeline>) -> bool {
        self.cache.contains(object)
    }

    /// Has those of an account reconciled.
    pub fn wake_of(&self, account: &AccountKey) {
        let is_of = |object: &NuvoPipeline| {
            object.spec.account_ref.name == account.name && object.metadata.namespace.as_deref() == Some(account.namespace.as_str())
        };
        for object in self.cache.all().filter(|object| is_of(object)) {
            self.cache.wake(&ObjectRef::from_obj(&*object));
        }
    }

    /// Has all of them reconciled.
    pub fn wake_all(&self) {
        for object in self.cache.all() {
            self.cache.wake(&ObjectRef::from_obj(&*object));
        }
    }
}

impl PipelineNotifier for ObservedPipelines {
    fn wake_pipeline(&self, pipeline: &ObjectRef<NuvoPipeline>) {
        self.cache.wake(pipeline);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
