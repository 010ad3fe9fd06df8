//! Which object has made a run: its controller.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use nuvo_crds::well_known::GROUP;

/// The kind whose objects show what runs in nuvo, and trigger nothing.
const PIPELINE_KIND: &str = "NuvoPipeline";

/// The kind whose objects make runs by the clock.
const SCHEDULE_KIND: &str = "PipelineSchedule";

/// The controller, if it is of this kind.
fn controller<'a>(metadata: &'a ObjectMeta, kind: &str) -> Option<&'a OwnerReference> {
    let is_of_group = |owner: &OwnerReference| owner.api_version.split_once('/').is_some_and(|(group, _)| group == GROUP);
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true) && owner.kind == kind && is_of_group(owner))
}

/// Whether a `NuvoPipeline` is the controller.
#[must_use]
pub fn is_mirror(metadata: &ObjectMeta) -> bool {
    pipeline_of(metadata).is_some()
}

/// The `NuvoPipeline` that is the controller.
pub(super) fn pipeline_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    controller(metadata, PIPELINE_KIND)
}

/// The `PipelineSchedule` that is the controller.
#[must_use]
pub fn schedule_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    controller(metadata, SCHEDULE_KIND)
}
