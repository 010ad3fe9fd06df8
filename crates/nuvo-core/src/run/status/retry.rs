//! Retries: whether another attempt follows one that failed, and when.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration, jiff::Timestamp};

use super::execution_results::Part;
use crate::run::deadline::due;
use nuvo_crds::{Execution, PipelineRun, PipelineRunStatus, RetryStatus, TriggerState};

/// The longest wait that doubling leads to, in seconds.
const LONGEST: i64 = 3_600;

/// What follows an attempt that failed.
pub(super) enum RetryDecision {
    /// Another one.
    Again(RetryStatus),
    /// Nothing; and why, if retries are wanted.
    Never(Option<String>),
}

/// Whether the present attempt has failed and another one is scheduled.
#[must_use]
pub fn is_awaited(status: &PipelineRunStatus) -> bool {
    status.current.completion_time.is_none() && status.series.retry.as_ref().is_some_and(|retry| retry.next_time.is_some())
}

/// What follows an attempt whose executions have ended, and some of them FAILED. It is asked again while the next attempt is waited for, so
/// that a change of the spec counts.
pub(super) fn decide_retry(status: &PipelineRunStatus, object: &PipelineRun, parts: &[Part], now: Timestamp) -> RetryDecision {
    let Some(retry) = object.spec.retry.as_ref().filter(|retry| retry.limit > 0) else { return RetryDecision::Never(None) };
    let never = |why: String| RetryDecision::Never(Some(why));
    // A status that was restored or put back speaks of another object, or of an attempt before the last one.
    let own = status.trigger.as_ref().is_some_and(|trigger| {
        trigger.uid == object.metadata.uid && Some(trigger.attempt) == status.attempt && trigger.state == TriggerState::Accepted
    });
    if !own {
        return never("The run is not retried, because this object did not trigger it.".to_owned());
    }
    let word = |execution: &Execution| execution.error.as_ref().and_then(|error| error.error_type.clone()).unwrap_or_default();
    let words = parts.iter().filter(|part| part.failed()).map(|part| word(&part.report));
    if let Some(other) = words.into_iter().find(|word| !retry.on_error_types.contains(word)) {
        let named = if other.is_empty() { "an error without a type".to_owned() } else { other };
        return never(format!("The run is not retried, because spec.retry.onErrorTypes does not list {named}."));
    }
    let waits = is_awaited(status);
    let made = status.series.retry.as_ref().map_or(0, |retry| retry.count);
    let count = if waits { made } else { made.saturating_add(1) };
    if count > retry.limit {
        return never(format!("The run is not retried, because all {} retries were made (spec.retry.limit).", retry.limit));
    }
    let failed_at = status.history.last().filter(|_| waits).and_then(|past| past.completion_time.as_ref()).map_or(now, |time| time.0);
    // Times in a status are whole seconds, rounded down, and the wait must not become shorter by that.
    let wait = SignedDuration::from_secs(backoff(retry.backoff_seconds, count).saturating_add(1));
    let Ok(next) = failed_at.checked_add(wait) else { return RetryDecision::Never(None) };
    if due(status, object).is_some_and(|deadline| next >= deadline) {
        return never("The run is not retried, because the deadline would be over by then (spec.activeDeadlineSeconds).".to_owned());
    }
    RetryDecision::Again(RetryStatus { count, next_time: Some(Time(next)) })
}

/// The message about the next attempt.
pub(super) fn announcement(status: &PipelineRunStatus, object: &PipelineRun, next: &RetryStatus) -> String {
    let limit = object.spec.retry.as_ref().map_or(0, |retry| retry.limit);
    let attempt = status.attempt.unwrap_or(1).saturating_add(1);
    let time = next.next_time.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
    format!("Attempt {attempt} begins at {time} (retry {} of {limit}, spec.retry).", next.count)
}

/// Whether the wait for the next attempt is over, by what the spec says now.
pub(in crate::run) fn is_due(status: &PipelineRunStatus, object: &PipelineRun, now: Timestamp) -> bool {
    let parts: Vec<Part> = status.current.executions.iter().map(Part::stored).collect();
    let next = |prospect| if let RetryDecision::Again(RetryStatus { next_time: Some(next), .. }) = prospect { Some(next.0) } else { None };
    is_awaited(status) && next(decide_retry(status, object, &parts, now)).is_some_and(|next| next <= now)
}

/// The wait before this retry, counted from 1, in seconds.
fn backoff(first: i64, count: i32) -> i64 {
    let doublings = u32::try_from(count.saturating_sub(1)).unwrap_or_default().min(32);
    let doubled = first.saturating_mul(2_i64.saturating_pow(doublings)).min(LONGEST);
    doubled.max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_up_to_an_hour() {
        let waits = |first| (1..=8).map(|count| backoff(first, count)).collect::<Vec<_>>();
        assert_eq!(waits(60), [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(waits(86_400), [86_400; 8]);
        assert_eq!(backoff(1, i32::MAX), 3_600);
    }
}
