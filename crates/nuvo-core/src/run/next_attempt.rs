//! What makes a run that ended go on: a new `rerunToken`, a retry that is due, a person's answer to a trigger in doubt, or the policy for
//! one.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    deadline::deadline_left,
    doubt_resolution::trigger_in_doubt,
    ids::ExecutionId,
    parse::{Resolution, ResolutionAnswer, resolution},
    record::{Evidence, Fate, Trigger},
    status::retry,
    verdict::decided,
    view::Run,
};
use nuvo_crds::{MAX_HISTORY, OnAmbiguousTrigger, PastAttempt, PipelineRun, conditions::Reason};

/// How an ended run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reopening {
    /// With this attempt.
    Attempt(i32),
    /// With this attempt, by itself: `spec.retry`, or `spec.onAmbiguousTrigger: Retrigger`.
    Retry(i32),
    /// With executions that a person names; it must be shown first that they belong to the pipeline.
    Adopt(Trigger, Vec<ExecutionId>),
}

/// The attempt that follows every one that a run knows of, whatever has been done to its record.
#[must_use]
pub fn following_attempt(run: &Run) -> i32 {
    let marker = run.marker.as_ref().map_or(0, |marker| marker.attempt);
    let trigger = run.trigger.as_ref().map_or(0, |trigger| trigger.attempt);
    run.attempt.max(marker).max(trigger).saturating_add(1)
}

/// Whether a run whose attempt has ended goes on now, and how.
#[must_use]
pub fn reopening(object: &PipelineRun, run: &Run, now: Timestamp) -> Option<Reopening> {
    let status = object.status.as_ref()?;
    // Only about the newest trigger that is known.
    let between_attempts = run.ended || (retry::is_awaited(status) && decided(run));
    if !between_attempts || object.spec.execution_id.is_some() || run.deleting {
        return None;
    }
    let next = Reopening::Attempt(following_attempt(run));
    if object.spec.rerun_token.is_some() && object.spec.rerun_token != status.series.rerun_token {
        return Some(next);
    }
    if !run.ended {
        return retry::is_due(status, object, now).then(|| Reopening::Retry(following_attempt(run)));
    }
    let trigger = trigger_in_doubt(run)?;
    if let Ok(Some(Resolution { nonce, answer })) = resolution(object)
        && nonce == trigger.nonce.as_str()
    {
        return match answer {
            ResolutionAnswer::Retry => Some(next),
            ResolutionAnswer::Adopt(ids) => {
                Some(Reopening::Adopt(Trigger { attempt: run.attempt, fate: Fate::Accepted(Evidence::Adopted), ..trigger }, ids))
            }
            ResolutionAnswer::Abandon => None,
        };
    }
    let proven = run.own_marker().is_some_and(|marker| marker.nonce == trigger.nonce && !marker.executed);
    // Once: a policy that triggers again and again would start a pipeline without end while nuvo is unwell. What a full history has
    // forgotten may have been it.
    let doubted = |past: &PastAttempt| past.result.as_deref() == Some(Reason::TriggerOutcomeUnknown.as_str());
    let first = status.history.len() < MAX_HISTORY && !status.history.iter().any(doubted);
    let in_time = |end: &Time| deadline_left(status, object, end.0).is_none_or(|left| !left.is_zero());
    let in_time = status.current.completion_time.as_ref().is_some_and(in_time);
    let automatic = object.spec.on_ambiguous_trigger == OnAmbiguousTrigger::Retrigger && proven && first && in_time;
    (automatic && trigger.fate == Fate::Ambiguous { executed: false }).then(|| Reopening::Retry(following_attempt(run)))
}

#[cfg(test)]
mod tests;
