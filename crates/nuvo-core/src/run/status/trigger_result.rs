//! The status after it became known what a trigger led to (docs/protocol.md, section 5).

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    compute::settled,
    conclude::conclude,
    input::{Following, Knowledge, PollFacts},
    new_attempt::begun,
};
use crate::{
    run::{
        doubt_resolution::question,
        ids::ExecutionId,
        trigger::post_outcome::{Obstacle, Unexecuted},
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
    unexecuted: Option<Unexecuted>,
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
        message: truncated(message, MAX_STATUS_MESSAGE),
    });
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
        TriggerResult::NotExecuted => match unexecuted {
            Some(Unexecuted::Rejected) => {
                let advice = "Correct the pipeline or the account, then set a new spec.rerunToken.";
                let message = format!("nuvo refused to start the pipeline: {} {advice}", sentence(message));
                status.series.start_time.get_or_insert(Time(now));
                conclude(&mut status, object, Reason::TriggerRejected, message, now);
            }
            again => {
                let obstacle = if let Some(Unexecuted::RetryAfter(_, obstacle)) = again { obstacle } else { Obstacle::Operator };
                let next = match obstacle {
                    Obstacle::Account => "The operator tries again when the account is ready.",
                    Obstacle::RateLimited | Obstacle::Unavailable | Obstacle::Operator => "The operator tries again.",
                };
                // Another process may have ended the run in doubt meanwhile. This one knows better, and opens it again.
                status.current.completion_time = None;
                status.current.duration = None;
                let message = format!("Nothing was started: {} {next}", sentence(message));
                conclude(&mut status, object, obstacle.reason(), message, now);
            }
        },
        TriggerResult::Ambiguous { .. } => {
            status.series.start_time.get_or_insert(Time(now));
            conclude(&mut status, object, Reason::TriggerOutcomeUnknown, question(nonce, message), now);
        }
        TriggerResult::Observed => {}
    }
    status
}

fn count(length: usize) -> Option<i32> {
    i32::try_from(length).ok()
}
