//! What follows from the reason of a status: phase, conditions, and the time of the end.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::ttl;
use crate::{text::truncated, time::human_duration};
use nuvo_crds::{
    MAX_STATUS_MESSAGE, Phase, PipelineRun, PipelineRunStatus,
    conditions::{ConditionStatus, DELETION_BLOCKED, DEVELOPER_MODE, FINISHED, READY, RECONCILING, Reason, STALLED, SUCCEEDED},
};

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
    let kept: Vec<Condition> = status
        .conditions
        .iter()
        .filter(|condition| condition.type_ == DEVELOPER_MODE)
        .map(|condition| Condition { observed_generation: generation, ..condition.clone() })
        .collect();
    let blocked = status.conditions.iter().find(|condition| condition.type_ == DELETION_BLOCKED).cloned();
    status.conditions = wanted
        .into_iter()
        .filter_map(|(kind, holds)| {
            let holds = holds?.as_str();
            let same = status.conditions.iter().find(|condition| condition.type_ == kind && condition.status == holds);
            Some(Condition {
                type_: kind.to_owned(),
                status: holds.to_owned(),
                reason: reason.as_str().to_owned(),
                message: message.clone(),
                observed_generation: generation,
                last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
            })
        })
        .chain(kept)
        .chain(blocked)
        .collect();
    ttl::note(status, object, now);
}

/// `conclude` keeps the condition as long as the attempt lasts, and says which generation it is about.
pub(super) fn warn_of_developer_mode(status: &mut PipelineRunStatus, now: Timestamp) {
    if status.conditions.iter().all(|condition| condition.type_ != DEVELOPER_MODE) {
        status.conditions.push(Condition {
            type_: DEVELOPER_MODE.to_owned(),
            status: ConditionStatus::True.to_string(),
            reason: DEVELOPER_MODE.to_owned(),
            message: "The pipeline is in developer mode: nuvo delivers only the first 100 rows. Switch it off in nuvo, then set a new \
                      spec.rerunToken to deliver all of them."
                .to_owned(),
            observed_generation: None,
            last_transition_time: Time(now),
        });
    }
}
