//! What makes a run that ended go on: a new `rerunToken`, a retry that is due, or a person's answer to a trigger in doubt.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    doubt_resolution::trigger_in_doubt,
    ids::ExecutionId,
    life::{Life, RetryWait},
    parse::{Resolution, ResolutionAnswer},
    trigger::run_view::Run,
    trigger::stored::{Evidence, Trigger, TriggerResult},
    trigger::verdict::decided,
};
use nuvo_crds::PipelineRun;

/// How an ended run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reopening {
    /// With this attempt.
    Attempt(i32),
    /// With this attempt, by itself (`spec.retry`).
    Retry(i32),
    /// With another attempt, as a person has answered, but not before this time is over.
    Later(Duration),
    /// With executions that a person names; it must be shown first that they belong to the pipeline.
    Adopt(Trigger, Vec<ExecutionId>),
}

/// The attempt that follows every one that a run knows of, whatever has been done to its record.
#[must_use]
pub fn following_attempt(run: &Run) -> i32 {
    let marker = run.marker.as_ref().map(|marker| marker.attempt).max(run.unread_marker).unwrap_or_default();
    let trigger = run.trigger.as_ref().map_or(0, |trigger| trigger.attempt);
    run.attempt.max(marker).max(trigger).saturating_add(1)
}

/// Whether a run whose attempt has ended goes on now, and how.
#[must_use]
pub fn goes_on(run: &Run, life: &Life) -> Option<Reopening> {
    // What is decided is decided about the newest trigger that is known.
    let between_attempts = run.ended || (life.retry != RetryWait::None && decided(run));
    if !between_attempts || run.observes || run.deleting {
        return None;
    }
    if life.token {
        return Some(Reopening::Attempt(following_attempt(run)));
    }
    if !run.ended {
        return (life.retry == RetryWait::Due).then(|| Reopening::Retry(following_attempt(run)));
    }
    let in_doubt = trigger_in_doubt(run)?;
    let Resolution { answer, .. } = life.answer.as_ref().filter(|answer| answer.nonce == in_doubt.nonce.as_str())?;
    match answer {
        // What the trigger may still start would else run beside the next one.
        ResolutionAnswer::Retry => Some(life.open.map_or_else(|| Reopening::Attempt(following_attempt(run)), Reopening::Later)),
        ResolutionAnswer::Adopt(ids) => {
            let trigger = Trigger { attempt: run.attempt, result: TriggerResult::Accepted(Evidence::Adopted), ..in_doubt };
            Some(Reopening::Adopt(trigger, ids.clone()))
        }
        ResolutionAnswer::Abandon => None,
    }
}

/// The same, by the object alone.
#[must_use]
pub fn reopening(object: &PipelineRun, run: &Run, now: Timestamp) -> Option<Reopening> {
    goes_on(run, &Life::of(object, Some(run), now))
}

#[cfg(test)]
mod tests;
