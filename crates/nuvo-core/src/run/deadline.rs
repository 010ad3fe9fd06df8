//! The deadlines of a run: `spec.activeDeadlineSeconds` from `status.startTime`, and before that `spec.startDeadlineSeconds`.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::status::reason;
use nuvo_crds::{PipelineRun, PipelineRunStatus, conditions::Reason};

/// Creation times are whole seconds, rounded down.
const ROUNDING: i64 = 1;

/// The time until the deadline of a run with this status; none before it has started.
#[must_use]
pub fn deadline_left(status: &PipelineRunStatus, object: &PipelineRun, now: Timestamp) -> Option<Duration> {
    Some(left(due(status, object)?, now))
}

pub(super) fn due(status: &PipelineRunStatus, object: &PipelineRun) -> Option<Timestamp> {
    let start = status.series.start_time.as_ref()?.0;
    start.checked_add(SignedDuration::from_secs(object.spec.active_deadline_seconds)).ok()
}

/// The time until a run is not triggered any more; none if it has no such deadline, or it does not run: the run has started, is suspended, or
/// was suspended and its resumption is not recorded yet.
#[must_use]
pub fn start_deadline_left(object: &PipelineRun, now: Timestamp) -> Option<Duration> {
    let seconds = object.spec.start_deadline_seconds?.saturating_add(ROUNDING);
    let status = object.status.as_ref();
    let has_started = status.is_some_and(|status| status.series.start_time.is_some() || status.current.completion_time.is_some());
    if has_started || object.spec.suspend || status.and_then(reason) == Some(Reason::Suspended) {
        return None;
    }
    let created = object.metadata.creation_timestamp.as_ref();
    let requested = status.and_then(|status| status.series.request_time.as_ref());
    // A status that a backup brought back speaks of an earlier object.
    let since = created.into_iter().chain(requested).map(|time| time.0).max()?;
    Some(left(since.checked_add(SignedDuration::from_secs(seconds)).ok()?, now))
}

fn left(due: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
}
