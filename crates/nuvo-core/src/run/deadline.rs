//! The deadline of a run: `spec.activeDeadlineSeconds` from `status.startTime`.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use nuvo_crds::{PipelineRun, PipelineRunStatus};

/// The time until the deadline of a run with this status; none before it has started.
#[must_use]
pub fn deadline_left(status: &PipelineRunStatus, object: &PipelineRun, now: Timestamp) -> Option<Duration> {
    Some(Duration::try_from(due(status, object)?.duration_since(now)).unwrap_or(Duration::ZERO))
}

pub(super) fn due(status: &PipelineRunStatus, object: &PipelineRun) -> Option<Timestamp> {
    let start = status.series.start_time.as_ref()?.0;
    start.checked_add(SignedDuration::from_secs(object.spec.active_deadline_seconds)).ok()
}
