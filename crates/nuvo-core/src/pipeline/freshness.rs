//! Whether the data of a pipeline is as new as `spec.freshness` asks.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::{DueBy, Freshness, SeenExecution, conditions::FreshReason};

use super::ended::end;
use crate::{schedule::Calendar, time::human_duration};

/// What is known when the freshness is judged.
pub(super) struct FreshnessFacts<'a> {
    pub(super) freshness: &'a Freshness,
    /// The newest success that counts.
    pub(super) last_counted: Option<&'a SeenExecution>,
    /// The latest time at which a success can have ended that would count and was not read; later than that one.
    pub(super) possible: Option<Timestamp>,
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
///
/// # Errors
/// Why `spec.freshness.dueBy` cannot be carried out.
pub(super) fn judge(facts: &FreshnessFacts<'_>) -> Result<FreshnessJudgement, String> {
    let FreshnessFacts { freshness, last_counted, possible, created, now, observed, is_clock_in_doubt } = *facts;
    let success = last_counted.and_then(end);
    let dues = dues(freshness, success, created, now)?;
    let others = possible.map(|possible| self::dues(freshness, Some(possible), created, now)).transpose()?;
    let is_possible = others.as_ref().is_some_and(|others| others.iter().all(|due| due.at > now));
    if is_clock_in_doubt {
        let message = "The clock of the operator and that of the API server differ, so the age of the data is not judged.".to_owned();
        return Ok(FreshnessJudgement { reason: FreshReason::ClockInDoubt, message, changes_at: None });
    }
    let counted = describe(last_counted, freshness.min_rows);
    let over = dues.iter().filter(|due| due.at <= now);
    // A look shows it for all times that are over if it began after one of them.
    let (shown, hidden): (Vec<&Due>, Vec<&Due>) = over.partition(|due| observed.is_some_and(|observed| observed >= due.at));
    Ok(match (shown.first(), hidden.first()) {
        (Some(due), _) if is_possible => FreshnessJudgement {
            reason: FreshReason::NotObserved,
            message: format!("{counted} {}, but a newer execution that was not read yet may count.", due.what),
            changes_at: others.into_iter().flatten().map(|due| due.at).min(),
        },
        (Some(due), _) => FreshnessJudgement {
            reason: if success.is_some() { FreshReason::Stale } else { FreshReason::NeverSucceeded },
            message: format!("{counted} {}.", due.what),
            changes_at: None,
        },
        (None, Some(due)) => FreshnessJudgement {
            reason: FreshReason::NotObserved,
            message: format!("{counted} {}, but nuvo was not looked at completely since: a newer execution may exist.", due.what),
            changes_at: None,
        },
        (None, None) => FreshnessJudgement {
            reason: if success.is_some() { FreshReason::Fresh } else { FreshReason::Pending },
            message: counted,
            changes_at: dues.iter().map(|due| due.at).min(),
        },
    })
}

/// All times at which the data is due next, or was due without having been renewed.
fn dues(freshness: &Freshness, success: Option<Timestamp>, created: Timestamp, now: Timestamp) -> Result<Vec<Due>, String> {
    let mut dues: Vec<Due> = freshness
        .max_age_seconds
        .map(|seconds| Due {
            at: later(success.unwrap_or(created), seconds),
            what: format!("spec.freshness.maxAgeSeconds allows {}", human_duration(SignedDuration::from_secs(seconds))),
        })
        .into_iter()
        .collect();
    for due_by in &freshness.due_by {
        dues.extend(due(due_by, success, created, now)?);
    }
    Ok(dues)
}

/// When the data is due next, or was due without having been renewed.
fn due(due_by: &DueBy, success: Option<Timestamp>, created: Timestamp, now: Timestamp) -> Result<Option<Due>, String> {
    let DueBy { schedule, time_zone, window_seconds } = due_by;
    let calendar = Calendar::parse(std::slice::from_ref(schedule), time_zone).map_err(|error| error.to_string())?;
    let what = || {
        format!(
            "spec.freshness.dueBy {schedule} ({time_zone}) wants a success in the {} before",
            human_duration(SignedDuration::from_secs(*window_seconds))
        )
    };
    // What was due before the object existed was not asked for.
    let latest = calendar.newest_until(now).filter(|latest| success.is_some() || *latest > created);
    let is_renewed = |due: Timestamp| success.is_some_and(|success| success >= later(due, window_seconds.saturating_neg()));
    Ok(match latest {
        Some(latest) if !is_renewed(latest) => Some(Due { at: latest, what: what() }),
        _ => calendar.next_after(now).map(|next| Due { at: next, what: what() }),
    })
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
