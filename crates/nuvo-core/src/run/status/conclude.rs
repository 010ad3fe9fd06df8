//! What follows from the reason of a status: phase, conditions, and the time of the end.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::ttl;
use crate::{text::truncated, time::human_duration};
use nuvo_crds::{
    MAX_STATUS_MESSAGE, Phase, PipelineRun, PipelineRunStatus,
    conditions::{
        ConditionState, ConditionStatus, DELETION_BLOCKED, DEVELOPER_MODE, FINISHED, READY, RECONCILING, Reason, STALLED, SUCCEEDED, find,
        remove, set,
    },
};

/// Every condition that a run can have, in the order in which its status shows them.
const TYPES: [&str; 7] = [SUCCEEDED, FINISHED, READY, RECONCILING, STALLED, DEVELOPER_MODE, DELETION_BLOCKED];

const fn phase(reason: Reason) -> Phase {
    match (reason.status(), reason) {
        (ConditionStatus::True, _) => Phase::Succeeded,
        (ConditionStatus::False, Reason::TriggerOutcomeUnknown | Reason::StatusLost) => Phase::Unresolved,
        (ConditionStatus::False, _) => Phase::Failed,
        (ConditionStatus::Unknown, Reason::Suspended) => Phase::Suspended,
        (ConditionStatus::Unknown, Reason::TriggerUnconfirmed) => Phase::Triggering,
        (ConditionStatus::Unknown, Reason::Running) => Phase::Running,
        (ConditionStatus::Unknown, _) => Phase::Pending,
    }
}

/// Sets everything that follows from the reason: phase, conditions, times.
pub(super) fn conclude(status: &mut PipelineRunStatus, object: &PipelineRun, reason: Reason, message: String, now: Timestamp) {
    let generation = object.metadata.generation;
    status.observed_generation = generation;
    status.phase = Some(phase(reason));
    status.waiting_rerun_token = object.spec.rerun_token.clone().filter(|token| Some(token) != status.series.rerun_token.as_ref());
    if super::read::reason(status) == Some(Reason::Suspended) && reason != Reason::Suspended {
        status.series.request_time = Some(Time(now));
    }
    if reason == Reason::TriggerUnconfirmed {
        status.series.start_time.get_or_insert(Time(now));
    }
    let ended = reason.is_final();
    if ended && status.current.completion_time.is_none() {
        status.current.completion_time = Some(Time(now));
        status.current.duration = status.series.start_time.as_ref().map(|start| human_duration(now.duration_since(start.0)));
    }
    let yes_if = |holds: bool| if holds { ConditionStatus::True } else { ConditionStatus::False };
    let success = reason.status() == ConditionStatus::True;
    let failure = reason.status() == ConditionStatus::False;
    let wanted = [
        (SUCCEEDED, Some(reason.status())),
        (FINISHED, Some(yes_if(ended))),
        (READY, Some(yes_if(success))),
        (RECONCILING, (!ended).then_some(ConditionStatus::True)),
        (STALLED, failure.then_some(ConditionStatus::True)),
    ];
    let message = truncated(&message, MAX_STATUS_MESSAGE);
    let state = |status| ConditionState { status, reason: reason.as_str(), message: &message, observed_generation: generation };
    // Types of other writers are removed.
    status.conditions.retain(|condition| TYPES.contains(&condition.type_.as_str()));
    for (type_, wanted) in wanted {
        match wanted {
            Some(holds) => set(&mut status.conditions, type_, &state(holds), now),
            None => remove(&mut status.conditions, type_),
        }
    }
    if let Some(mode) = find(&status.conditions, DEVELOPER_MODE).cloned() {
        let state = ConditionState { reason: &mode.reason, message: &mode.message, ..state(ConditionStatus::True) };
        set(&mut status.conditions, DEVELOPER_MODE, &state, now);
    }
    ttl::set_deletion_blocked(status, object, now);
}

/// Sets the condition `DeveloperMode`. [`conclude`] keeps it as long as the attempt lasts, and sets its generation.
pub(super) fn warn_of_developer_mode(status: &mut PipelineRunStatus, now: Timestamp) {
    if find(&status.conditions, DEVELOPER_MODE).is_none() {
        let state = ConditionState {
            status: ConditionStatus::True,
            reason: DEVELOPER_MODE,
            message: "The pipeline is in developer mode: nuvo delivers only the first 100 rows. Switch it off in nuvo, then set a new \
                      spec.rerunToken to deliver all of them.",
            observed_generation: None,
        };
        set(&mut status.conditions, DEVELOPER_MODE, &state, now);
    }
}
