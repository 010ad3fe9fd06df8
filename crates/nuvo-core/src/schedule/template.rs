//! The run that a slot starts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use nuvo_crds::{
    PipelineRun, ScheduleConcurrency,
    well_known::{GROUP, SCHEDULE_LABEL, SCHEDULED_AT_ANNOTATION, VERSION},
};

use super::{facts::Facts, record::Pending};

/// The bounds of `startDeadlineSeconds` of a run that is not to outlive its slot.
const START_DEADLINE: (i64, i64) = (60, 2_592_000);

/// The one name of the run of a slot: two processes that start the same slot create the same object.
#[must_use]
pub fn run_name(schedule: &str, slot: Timestamp) -> String {
    format!("{schedule}-{}", slot.strftime("%Y%m%dt%H%M"))
}

/// S2: the run. Under Forbid it does not outlive its slot: after a week without an account, one run starts and not seven.
pub(super) fn run_of(f: &Facts, pending: &Pending, next_due: Option<Timestamp>) -> PipelineRun {
    let schedule = &f.schedule;
    let mut spec = schedule.spec.run_template.spec.clone();
    if let (ScheduleConcurrency::Forbid, None, Some(next)) = (schedule.spec.concurrency_policy, spec.start_deadline_seconds, next_due) {
        let left = next.duration_since(f.now).as_secs();
        spec.start_deadline_seconds = Some(left.clamp(START_DEADLINE.0, START_DEADLINE.1));
    }
    let mut run = PipelineRun::new(&pending.run, spec);
    let metadata = schedule.spec.run_template.metadata.clone().unwrap_or_default();
    let (mut labels, mut annotations): (BTreeMap<_, _>, BTreeMap<_, _>) = (metadata.labels, metadata.annotations);
    labels.insert(SCHEDULE_LABEL.to_owned(), schedule.name.clone());
    annotations.insert(SCHEDULED_AT_ANNOTATION.to_owned(), pending.slot.to_string());
    run.metadata.namespace = Some(schedule.namespace.clone());
    run.metadata.labels = Some(labels);
    run.metadata.annotations = Some(annotations);
    run.metadata.owner_references = Some(vec![OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "PipelineSchedule".to_owned(),
        name: schedule.name.clone(),
        uid: schedule.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }]);
    run
}
