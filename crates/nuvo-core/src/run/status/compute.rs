//! The status of a run, computed from what is known of it. Equal knowledge gives an equal status, so nothing is written twice.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    conclude::{conclude, warn_of_developer_mode},
    execution_results::{FIX_AND_RERUN, Part, detail, judge, part, unheard_of},
    input::{Following, Knowledge, PROCESSING, PollFacts, StatusInput, is_terminal},
    new_attempt::{begun, remember},
    read::{reason, stored_message},
    repairs,
    retry::{self, RetryDecision},
    ttl,
};
use crate::run::{
    doubt_resolution::{abandoned, question, reply, trigger_in_doubt},
    trigger::run_view::Run,
};
use nuvo_crds::{Phase, PipelineRun, PipelineRunStatus, RetryStatus, Trigger, TriggerState, conditions::Reason};

/// The status of a run.
#[must_use]
pub fn compute_status(object: &PipelineRun, run: &Run, situation: &StatusInput, known: &Knowledge, now: Timestamp) -> PipelineRunStatus {
    let mut status = begun(object);
    match situation {
        StatusInput::Settled(_, hearing) if repairs::fixed(&mut status, object, known, hearing.developer_mode, now) => {}
        _ if status.current.completion_time.is_some() => reviewed(&mut status, object, run, now),
        StatusInput::Because(Reason::StatusLost, why) => {
            let asked = || trigger_in_doubt(run).map_or_else(|| why.clone(), |trigger| question(trigger.nonce.as_str(), why));
            let message = reply(object, run).unwrap_or_else(asked);
            conclude(&mut status, object, Reason::StatusLost, message, now);
        }
        StatusInput::Because(present, message) => {
            // A new reason is worth a write, another message with the same reason is not. Except about an account: there the message says
            // what to fix, also if a trigger in doubt waits for it.
            let message_counts = matches!(present, Reason::AccountNotReady | Reason::TriggerUnconfirmed);
            let kept = stored_message(&status).filter(|_| reason(&status) == Some(*present) && !message_counts);
            let message = kept.unwrap_or_else(|| message.clone());
            conclude(&mut status, object, *present, message, now);
        }
        StatusInput::Settled(following, hearing) => settled(&mut status, object, known, following, *hearing, now),
    }
    status
}

/// The status of an object that cannot be a run.
#[must_use]
pub fn refused(object: &PipelineRun, message: String, now: Timestamp) -> PipelineRunStatus {
    let mut status = begun(object);
    conclude(&mut status, object, Reason::InvalidSpec, message, now);
    status
}

/// The status of an ended run changes only with its spec and a person's answer.
fn reviewed(status: &mut PipelineRunStatus, object: &PipelineRun, run: &Run, now: Timestamp) {
    let Some(reason) = reason(status) else { return };
    let present = stored_message(status);
    let asked = matches!(reason, Reason::TriggerOutcomeUnknown | Reason::StatusLost);
    let message = if asked { reply(object, run) } else { None }.or(present).unwrap_or_default();
    conclude(status, object, reason, message, now);
    if asked && abandoned(run) {
        status.phase = Some(Phase::Failed);
        ttl::set_deletion_blocked(status, object, now);
    }
}

pub(super) fn settled(
    status: &mut PipelineRunStatus,
    object: &PipelineRun,
    known: &Knowledge,
    following: &Following,
    hearing: PollFacts,
    now: Timestamp,
) {
    if let Some(id) = &object.spec.execution_id {
        status.current.execution_ids = vec![id.clone()];
        status.current.execution_count = Some(1);
        status.series.start_time.get_or_insert(Time(now));
        status.trigger.get_or_insert_with(|| Trigger {
            attempt: 1,
            state: TriggerState::Observed,
            time: Some(Time(now)),
            ..Trigger::default()
        });
    }
    // Of the attempt that failed, the status has all that matters, and nuvo is not asked any more.
    let waits = retry::is_awaited(status);
    let parts: Vec<Part> = if waits {
        status.current.executions.iter().map(Part::stored).collect()
    } else {
        status.current.execution_ids.iter().map(|id| part(id, status, object, known)).collect()
    };
    let (mut reason, mut message) = judge(status, object, &parts, following, hearing, now);
    if hearing.is_open && reason.is_final() {
        let until = status.trigger.as_ref().and_then(|trigger| trigger.open_until.as_ref()).map_or(now, |time| time.0);
        reason = Reason::Running;
        message = format!(
            "The executions that were found in nuvo's list have ended, or the deadline has passed. The trigger may still be answered, or start \
             more of them, until {until}. The run ends then."
        );
    }
    if reason == Reason::ExecutionFailed {
        match retry::decide_retry(status, object, &parts, now) {
            RetryDecision::Again(next) => return await_retry(status, object, parts, next, &message, now),
            RetryDecision::Never(why) => {
                message = [Some(message), why, Some(FIX_AND_RERUN.to_owned())].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        }
    }
    if waits {
        // The attempt that was announced is not made.
        status.history.pop();
        status.series.retry = status.series.retry.take().map(|made| RetryStatus { count: made.count.saturating_sub(1), next_time: None });
    }
    if hearing.developer_mode && reason.is_final() {
        warn_of_developer_mode(status, now);
    }
    // Progress of some of the executions is not worth a write. The end is, and so are an unknown word of nuvo, and that an execution
    // which a person named exists.
    let unknown_word = |part: &Part| part.report.status.as_deref().is_some_and(|word| word != PROCESSING && !is_terminal(word));
    let found = object.spec.execution_id.is_some() && status.current.executions.is_empty() && !parts.iter().any(unheard_of);
    if !waits && (reason.is_final() || found || parts.iter().any(unknown_word)) {
        detail(status, parts);
    }
    conclude(status, object, reason, message, now);
}

/// The attempt has failed, and another one follows. Until then the status shows what failed.
fn await_retry(status: &mut PipelineRunStatus, object: &PipelineRun, parts: Vec<Part>, next: RetryStatus, failure: &str, now: Timestamp) {
    if !retry::is_awaited(status) {
        detail(status, parts);
        remember(status, Some(Reason::ExecutionFailed.to_string()), Some(Time(now)));
    }
    let message = format!("{failure} {}", retry::announcement(status, object, &next));
    status.series.retry = Some(next);
    conclude(status, object, Reason::RetryScheduled, message, now);
}

/// The status of a run that ended, with a note for the person whose answer the operator cannot carry out.
#[must_use]
pub fn noted(object: &PipelineRun, run: &Run, note: &str, now: Timestamp) -> PipelineRunStatus {
    let mut status = begun(object);
    if let (Some(reason), Some(trigger)) = (reason(&status), trigger_in_doubt(run)) {
        conclude(&mut status, object, reason, question(trigger.nonce.as_str(), note), now);
    }
    status
}
