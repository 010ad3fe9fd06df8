//! Which of the executions of a pipeline ended last.

use k8s_openapi::jiff::Timestamp;
use nuvo_crds::SeenExecution;

use super::{
    sighting::{Sighting, stored},
    zone::Zone,
};
use crate::vocabulary::{FAILED, SUCCESSFUL};

/// What a status shows of an execution.
pub(super) fn seen_execution(sighting: &Sighting, zone: &Zone) -> SeenExecution {
    let details = sighting.details.unwrap_or_default();
    let changed = || sighting.updated.map(|updated| zone.corrected(updated));
    let ended = sighting.status.is_terminal().then(|| details.ended.or_else(changed)).flatten();
    SeenExecution {
        id: sighting.id.to_string(),
        status: sighting.status.as_str().to_owned(),
        trigger_type: sighting.trigger_type.clone(),
        created_at: sighting.created.map(|created| stored(zone.corrected(created))),
        ended_at: ended.map(stored),
        error_type: sighting.error_type.clone().filter(|_| sighting.status.as_str() == FAILED),
        created_by: sighting.created_by.clone(),
        stats: details.stats,
    }
}

/// When it ended, or at least began.
pub(super) fn end(execution: &SeenExecution) -> Option<Timestamp> {
    execution.ended_at.as_ref().or(execution.created_at.as_ref()).map(|time| time.0)
}

/// Whether this one ended later than the other.
pub(super) fn is_later(one: &SeenExecution, other: Option<&SeenExecution>) -> bool {
    other.is_none_or(|other| end(one) > end(other))
}

/// Puts it in the place of the other one if it ended no earlier.
pub(super) fn keep_latest(place: &mut Option<SeenExecution>, execution: &SeenExecution) {
    if place.as_ref().is_none_or(|place| end(execution) >= end(place)) {
        *place = Some(execution.clone());
    }
}

/// Whether it counts for the freshness of the data.
pub(super) fn counts(execution: &SeenExecution, min_rows: i64) -> bool {
    let rows = || execution.stats.and_then(|stats| stats.total_rows);
    execution.status == SUCCESSFUL && (min_rows <= 0 || rows().is_some_and(|rows| rows >= min_rows))
}
