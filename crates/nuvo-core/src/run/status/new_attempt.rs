//! The status at the beginning of an attempt, and what stays of the attempt before it.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{conclude::conclude, retry};
use nuvo_crds::{
    AttemptStatus, MAX_HISTORY, MAX_HISTORY_IDS, PastAttempt, PipelineRun, PipelineRunStatus, RetryStatus, SeriesStatus,
    conditions::{DEVELOPER_MODE, Reason, SUCCEEDED, find, remove},
};

/// The status of a run that begins another attempt. With `retry` the run does so by itself, and keeps what it has left of its deadline and
/// its retries.
#[must_use]
pub fn opened(object: &PipelineRun, attempt: i32, retry: bool, now: Timestamp) -> PipelineRunStatus {
    let mut old = object.status.clone().unwrap_or_default();
    if !retry::is_awaited(&old) {
        let result = find(&old.conditions, SUCCEEDED).map(|condition| condition.reason.clone());
        remember(&mut old, result, None);
    }
    begin(object, old, attempt, retry, format!("Attempt {attempt} is about to start."), now)
}

/// The status of a run whose trigger has this unknown outcome, and is made again (`spec.onAmbiguousTrigger: Retrigger`).
pub(super) fn repeated(object: &PipelineRun, mut old: PipelineRunStatus, now: Timestamp) -> PipelineRunStatus {
    remember(&mut old, Some(Reason::TriggerOutcomeUnknown.to_string()), Some(Time(now)));
    let attempt = old.attempt.unwrap_or(1).saturating_add(1);
    let why = old.trigger.as_ref().map(|trigger| trigger.message.clone()).unwrap_or_default();
    let message = format!("{why} Attempt {attempt} is about to start (spec.onAmbiguousTrigger: Retrigger).");
    begin(object, old, attempt, true, message, now)
}

fn begin(
    object: &PipelineRun,
    mut old: PipelineRunStatus,
    attempt: i32,
    retry: bool,
    message: String,
    now: Timestamp,
) -> PipelineRunStatus {
    // It is about the executions of the attempt before.
    remove(&mut old.conditions, DEVELOPER_MODE);
    let series = if retry {
        SeriesStatus { retry: old.series.retry.map(|made| RetryStatus { next_time: None, ..made }), ..old.series }
    } else {
        SeriesStatus { rerun_token: object.spec.rerun_token.clone(), request_time: Some(Time(now)), ..SeriesStatus::default() }
    };
    // Every part by name, without a rest: a new field has to say how long it lives.
    let mut status = PipelineRunStatus {
        attempt: Some(attempt),
        // A trigger that a backup brought back belongs to another object, and the status said so before a person opened this attempt.
        trigger: old.trigger.filter(|trigger| trigger.uid.is_none() || trigger.uid == object.metadata.uid),
        history: old.history,
        conditions: old.conditions,
        series,
        current: AttemptStatus::default(),
        // These follow from the reason and the spec.
        observed_generation: None,
        phase: None,
        waiting_rerun_token: None,
    };
    let reason = if retry { Reason::RetryScheduled } else { Reason::Pending };
    conclude(&mut status, object, reason, message, now);
    status
}

/// Keeps the present attempt in the history. `completed` is when it ended, if the status does not say.
pub(super) fn remember(status: &mut PipelineRunStatus, result: Option<String>, completed: Option<Time>) {
    // A retry has the start of the first attempt, and its own trigger.
    let began = status.trigger.as_ref().filter(|_| status.series.retry.is_some()).and_then(|trigger| trigger.time.clone());
    status.history.push(PastAttempt {
        attempt: status.attempt.unwrap_or(1),
        result,
        error_type: status.current.error.as_ref().and_then(|error| error.error_type.clone()),
        start_time: began.or_else(|| status.series.start_time.clone()),
        completion_time: completed.or_else(|| status.current.completion_time.clone()),
        execution_ids: status.current.execution_ids.iter().take(MAX_HISTORY_IDS).cloned().collect(),
    });
    let surplus = status.history.len().saturating_sub(MAX_HISTORY);
    status.history.drain(..surplus);
}

/// The status so far, or that of a first attempt.
pub(super) fn begun(object: &PipelineRun) -> PipelineRunStatus {
    let mut status = object.status.clone().unwrap_or_default();
    if status.attempt.is_none() {
        status.attempt = Some(1);
        status.series.rerun_token.clone_from(&object.spec.rerun_token);
    }
    status
}
