//! Which runs are deleted: those that have ended, beyond the limits, after their result is in the status.

use jiff::Timestamp;
use nuvo_crds::conditions::ConditionStatus;

use super::{act::Act, facts::Facts, runs::Progress, runs::ScheduledRun};

/// Of the runs that say nothing about the pipeline, so many are kept.
const SKIPPED_LIMIT: i64 = 1;

/// Which limit counts for a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Success,
    Failure,
    Nothing,
}

impl Kind {
    fn of(run: &ScheduledRun) -> Self {
        match run.reason {
            _ if run.counts_for_nothing() => Self::Nothing,
            Some(reason) if reason.status() == ConditionStatus::True => Self::Success,
            _ => Self::Failure,
        }
    }
}

/// The next run to delete.
pub(super) fn surplus(f: &Facts) -> Option<Act> {
    let spec = &f.schedule.spec;
    let limits = [
        (Kind::Nothing, SKIPPED_LIMIT),
        (Kind::Success, spec.successful_runs_history_limit),
        (Kind::Failure, spec.failed_runs_history_limit),
    ];
    limits.into_iter().find_map(|(kind, limit)| {
        let may_go = f.runs.iter().filter(|run| may_go(f, run) && Kind::of(run) == kind);
        let mut ended: Vec<(Timestamp, &ScheduledRun)> = may_go.filter_map(|run| Some((ended(run)?, run))).collect();
        ended.sort_by_key(|(ended, run)| (std::cmp::Reverse(*ended), run.name.clone()));
        let (_, run) = ended.get(usize::try_from(limit).unwrap_or_default()..)?.last()?;
        Some(Act::Delete { name: run.name.clone(), uid: run.uid.clone(), version: run.version.clone() })
    })
}

/// Runs of others, orphans among them, are not deleted, nor one that may still trigger.
fn may_go(f: &Facts, run: &ScheduledRun) -> bool {
    let is_claimed = f.schedule.record.claims.iter().any(|claim| claim.uid == run.uid);
    run.is_of(&f.schedule.uid) && !run.deleting && !is_claimed
}

fn ended(run: &ScheduledRun) -> Option<Timestamp> {
    match run.progress {
        Progress::Ended(time) => Some(time),
        Progress::Waits | Progress::Runs(_) | Progress::Unresolved(_) => None,
    }
}
