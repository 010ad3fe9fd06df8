//! The status after it became known what a trigger led to (docs/protocol.md, section 5).

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use super::{
    compute::settled,
    conclude::conclude,
    input::{Following, Knowledge, PollFacts},
    new_attempt::{begun, repeated},
};
use crate::{
    run::{
        doubt_resolution::question,
        ids::ExecutionId,
        trigger::post_outcome::{Obstacle, Unexecuted},
        trigger::step::FollowUp,
        trigger::stored::{self, TriggerResult},
    },
    text::{sentence, truncated},
};
use nuvo_crds::{
    AttemptStatus, Evidence, MAX_EXECUTION_IDS, MAX_STATUS_MESSAGE, PipelineRun, PipelineRunStatus, RetryStatus, Trigger, TriggerState,
    conditions::Reason,
};

/// The status after it became known what a trigger led to.
#[must_use]
pub fn recorded(
    object: &PipelineRun,
    trigger: &stored::Trigger,
    executions: &[ExecutionId],
    message: &str,
    follow_up: FollowUp,
    now: Timestamp,
) -> PipelineRunStatus {
    let mut status = begun(object);
    let (state, evidence) = match &trigger.result {
        TriggerResult::Accepted(stored::Evidence::Answer) => (TriggerState::Accepted, Some(Evidence::Answer)),
        TriggerResult::Accepted(stored::Evidence::Adopted) => (TriggerState::Accepted, Some(Evidence::Adopted)),
        TriggerResult::NotExecuted => (TriggerState::NotExecuted, None),
        TriggerResult::Ambiguous { executed } => (TriggerState::Ambiguous, executed.then_some(Evidence::Answer)),
        TriggerResult::Observed => (TriggerState::Observed, None),
    };
    let nonce = trigger.nonce.as_str();
    status.attempt = Some(status.attempt.unwrap_or(1).max(trigger.attempt));
    status.trigger = Some(Trigger {
        nonce: nonce.to_owned(),
        uid: object.metadata.uid.clone(),
        attempt: trigger.attempt,
        state,
        evidence,
        time: Some(Time(now)),
        open_until: open_until(follow_up, now),
        message: truncated(message, MAX_STATUS_MESSAGE),
    });
    if trigger.result == TriggerResult::NotExecuted {
        // Another process may have ended the run in doubt meanwhile, or found executions. This one knows better.
        status.current = AttemptStatus::default();
    }
    match &trigger.result {
        TriggerResult::Accepted(_) => {
            // Whole: a status that was put back may still show another attempt.
            status.current = AttemptStatus {
                execution_ids: executions.iter().take(MAX_EXECUTION_IDS).map(ToString::to_string).collect(),
                execution_count: count(executions.len()),
                ..AttemptStatus::default()
            };
            status.series.start_time.get_or_insert(Time(now));
            status.series.retry = status.series.retry.take().map(|made| RetryStatus { next_time: None, ..made });
            settled(&mut status, object, &Knowledge::new(), &Following::Active, PollFacts::default(), now);
        }
        TriggerResult::NotExecuted => match follow_up {
            FollowUp::Unexecuted(Unexecuted::Rejected) => {
                let advice = "Correct the pipeline or the account, then set a new spec.rerunToken.";
                let message = format!("nuvo refused to start the pipeline: {} {advice}", sentence(message));
                status.series.start_time.get_or_insert(Time(now));
                conclude(&mut status, object, Reason::TriggerRejected, message, now);
            }
            again => {
                let obstacle =
                    if let FollowUp::Unexecuted(Unexecuted::RetryAfter(_, obstacle)) = again { obstacle } else { Obstacle::Operator };
                let next = match obstacle {
                    Obstacle::Account => "The operator tries again when the account is ready.",
                    Obstacle::RateLimited | Obstacle::Unavailable | Obstacle::Operator => "The operator tries again.",
                };
                let message = format!("Nothing was started: {} {next}", sentence(message));
                conclude(&mut status, object, obstacle.reason(), message, now);
            }
        },
        TriggerResult::Ambiguous { .. } if follow_up == FollowUp::NextAttempt => {
            status.series.start_time.get_or_insert(Time(now));
            return repeated(object, status, now);
        }
        TriggerResult::Ambiguous { .. } => {
            status.series.start_time.get_or_insert(Time(now));
            let open_until = status.trigger.as_ref().and_then(|trigger| trigger.open_until.as_ref());
            let open = open_until.map(|time| format!(" The answer retry counts from {} on.", time.0)).unwrap_or_default();
            conclude(&mut status, object, Reason::TriggerOutcomeUnknown, question(nonce, &format!("{message}{open}")), now);
        }
        TriggerResult::Observed => {}
    }
    status
}

/// Times in a status are whole seconds, rounded down, and the wait must not become shorter by that.
fn open_until(follow_up: FollowUp, now: Timestamp) -> Option<Time> {
    let FollowUp::OpenFor(left) = follow_up else { return None };
    let seconds = i64::try_from(left.as_secs()).ok().filter(|_| !left.is_zero())?;
    now.checked_add(SignedDuration::from_secs(seconds.saturating_add(2))).ok().map(Time)
}

fn count(length: usize) -> Option<i32> {
    i32::try_from(length).ok()
}
