//! The last word about a run that the operator watches no longer.

use k8s_openapi::jiff::Timestamp;

use nuvo_crds::{
    PipelineRun, PipelineRunStatus,
    conditions::{ConditionState, ConditionStatus, UNWATCHED, set},
};

const MESSAGE: &str = "The operator no longer watches this run, because its label selector (--label-selector) does not select the run any \
                       more. The rest of the status is as old as this condition; an execution in nuvo continues. Set the label again, and \
                       the operator goes on with the run, or delete the run.";

/// The status as it was, with the condition `Unwatched`. Every other status is computed without this condition.
#[must_use]
pub fn unwatched(object: &PipelineRun, now: Timestamp) -> PipelineRunStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let observed_generation = object.metadata.generation;
    let state = ConditionState { status: ConditionStatus::True, reason: "NotSelected", message: MESSAGE, observed_generation };
    set(&mut status.conditions, UNWATCHED, &state, now);
    status
}
