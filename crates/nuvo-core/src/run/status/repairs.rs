//! Repairs: a person can fix a failed execution in nuvo, which then becomes PROCESSING and SUCCESSFUL under the same id.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    conclude::{conclude, warn_of_developer_mode},
    execution_results::{FIX_AND_RERUN, Part, detail, finished, has_failed},
    input::{Knowledge, Known, is_terminal},
    read::reason,
};
use crate::run::ids::ExecutionId;
use nuvo_crds::{Execution, PipelineRun, PipelineRunStatus, conditions::Reason};

/// For how long a run with this status is still watched for a repair; none if it is not.
#[must_use]
pub fn repair_watch_left(object: &PipelineRun, status: &PipelineRunStatus, now: Timestamp) -> Option<Duration> {
    let ended = status.current.completion_time.as_ref()?.0;
    // A status that does not show all executions does not say which of the others were successful.
    let all_shown = status.current.execution_ids.len() == status.current.executions.len();
    if object.spec.follow_fixes_seconds <= 0 || !all_shown || reason(status) != Some(Reason::ExecutionFailed) {
        return None;
    }
    let until = ended.checked_add(SignedDuration::from_secs(object.spec.follow_fixes_seconds)).ok()?;
    Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// The executions of a failed run that may be repaired.
#[must_use]
pub fn repairable(status: &PipelineRunStatus) -> Vec<ExecutionId> {
    let failed = status.current.executions.iter().filter(|execution| has_failed(execution));
    failed.filter_map(|execution| ExecutionId::new(execution.id.clone()).ok()).collect()
}

/// Updates the status of a failed run that is watched for a repair. Returns whether nuvo has reported anything new.
pub(super) fn fixed(status: &mut PipelineRunStatus, object: &PipelineRun, known: &Knowledge, developer_mode: bool, now: Timestamp) -> bool {
    if repair_watch_left(object, status, now).is_none() {
        return false;
    }
    let news: Vec<Execution> = status.current.executions.iter().map(|execution| latest(execution, known)).collect();
    if news == status.current.executions {
        return false;
    }
    let parts: Vec<Part> = news.iter().map(Part::stored).collect();
    let (found, message) = finished(object, &parts, parts.len());
    if developer_mode && found != Reason::ExecutionFailed {
        warn_of_developer_mode(status, now);
    }
    detail(status, parts);
    match found {
        Reason::ExecutionFailed => conclude(status, object, found, format!("{message} {FIX_AND_RERUN}"), now),
        Reason::Succeeded => repaired(status, object, Reason::FixedInNuvo, format!("The run was repaired in nuvo. {message}"), now),
        _ => repaired(status, object, found, message, now),
    }
    true
}

fn repaired(status: &mut PipelineRunStatus, object: &PipelineRun, reason: Reason, message: String, now: Timestamp) {
    status.current.completion_time = None;
    conclude(status, object, reason, message, now);
}

/// The latest report about an execution that has ended. A repair that is under way is not an end.
fn latest(execution: &Execution, known: &Knowledge) -> Execution {
    let report = ExecutionId::new(execution.id.clone()).ok().and_then(|id| known.get(&id));
    match report {
        Some(Known::Report(report)) if report.status.as_deref().is_some_and(is_terminal) => (**report).clone(),
        _ => execution.clone(),
    }
}
