//! Whether the data of a pipeline is as new as `spec.freshness` asks.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::{Freshness, SeenExecution, conditions::FreshReason};

use super::ended::end;
use crate::time::human_duration;

/// What is known when the freshness is judged.
pub(super) struct FreshnessFacts<'a> {
    pub(super) freshness: &'a Freshness,
    /// The newest success that counts.
    pub(super) last_counted: Option<&'a SeenExecution>,
    /// When the object was created.
    pub(super) created: Timestamp,
    pub(super) now: Timestamp,
    /// When the last complete look began.
    pub(super) observed: Option<Timestamp>,
    pub(super) is_clock_in_doubt: bool,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FreshnessJudgement {
    pub(super) reason: FreshReason,
    pub(super) message: String,
    /// When it changes by time alone.
    pub(super) changes_at: Option<Timestamp>,
}

/// A moment by which the data had to be renewed, and from when on a success counts for it.
struct Due {
    at: Timestamp,
    what: String,
}

/// Judges the freshness.
pub(super) fn judge(facts: &FreshnessFacts<'_>) -> FreshnessJudgement {
    let FreshnessFacts { freshness, last_counted, created, now, observed, is_clock_in_doubt } = *facts;
    if is_clock_in_doubt {
        let message = "The clock of the operator and that of the API server differ, so the age of the data is not judged.".to_owned();
        return FreshnessJudgement { reason: FreshReason::ClockInDoubt, message, changes_at: None };
    }
    let success = last_counted.and_then(end);
    let max_age = freshness.max_age_seconds.map(|seconds| Due {
        at: later(success.unwrap_or(created), seconds),
        what: format!("spec.freshness.maxAgeSeconds allows {}", human_duration(SignedDuration::from_secs(seconds))),
    });
    let dues: Vec<Due> = max_age.into_iter().collect();
    let counted = describe(last_counted, freshness.min_rows);
    match dues.iter().filter(|due| due.at <= now).min_by_key(|due| due.at) {
        None => FreshnessJudgement {
            reason: if success.is_some() { FreshReason::Fresh } else { FreshReason::Pending },
            message: counted,
            changes_at: dues.iter().map(|due| due.at).min(),
        },
        Some(due) if observed.is_none_or(|observed| observed < due.at) => FreshnessJudgement {
            reason: FreshReason::NotObserved,
            message: format!("{counted} {}, but nuvo was not looked at completely since: a newer execution may exist.", due.what),
            changes_at: None,
        },
        Some(due) => FreshnessJudgement {
            reason: if success.is_some() { FreshReason::Stale } else { FreshReason::NeverSucceeded },
            message: format!("{counted} {}.", due.what),
            changes_at: None,
        },
    }
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn describe(last_counted: Option<&SeenExecution>, min_rows: i64) -> String {
    let enough = if min_rows > 0 { format!(" with at least {min_rows} rows") } else { String::new() };
    match last_counted.and_then(|execution| Some((execution, end(execution)?))) {
        None => format!("No successful execution{enough} was seen."),
        Some((execution, ended)) => {
            let ended_by = execution.created_by.as_ref().map(|by| format!(" of {by}")).unwrap_or_default();
            let trigger = execution.trigger_type.as_deref().unwrap_or("unknown");
            format!("The last successful execution{enough}, {} ({trigger}{ended_by}), ended at {ended}.", execution.id)
        }
    }
}
