//! The quality gate: the limits that the statistics of successful executions must keep (`spec.qualityGate`).

use nuvo_crds::{QualityGate, Stats};

/// Why these statistics, all together, fail the gate; none if they pass. A count that nuvo does not report fails the limit that needs it.
pub fn shortfall(gate: &QualityGate, all: impl Iterator<Item = Option<Stats>> + Clone) -> Option<String> {
    let total = |count: fn(&Stats) -> Option<i64>| {
        all.clone().map(|stats| stats.as_ref().and_then(count)).try_fold(0_i64, |sum, n| Some(sum.saturating_add(n?)))
    };
    let (rows, error_rows, error_cells) = (total(|s| s.total_rows), total(|s| s.total_error_rows), total(|s| s.total_error_cells));
    let at_most = |limit: Option<i64>, found: Option<i64>, what: &str, field: &str| match (limit?, found) {
        (_, None) => Some(unknown(what, field)),
        (limit, Some(found)) => (found > limit).then(|| format!("{found} {what}, at most {limit} allowed (spec.qualityGate.{field})")),
    };
    let share = || match (gate.max_error_row_percent?, error_rows, rows) {
        (limit, Some(bad), Some(all)) => exceeds(bad, all, limit)
            .then(|| format!("{bad} of {all} rows have errors, at most {limit} percent allowed (spec.qualityGate.maxErrorRowPercent)")),
        _ => Some(unknown("rows, or rows with errors", "maxErrorRowPercent")),
    };
    let at_least = || match (gate.min_rows?, rows) {
        (_, None) => Some(unknown("rows", "minRows")),
        (limit, Some(found)) => (found < limit).then(|| format!("{found} rows, at least {limit} required (spec.qualityGate.minRows)")),
    };
    let shortfalls = [
        at_most(gate.max_error_rows, error_rows, "rows with errors", "maxErrorRows"),
        at_most(gate.max_error_cells, error_cells, "cells with errors", "maxErrorCells"),
        share(),
        at_least(),
    ];
    let shortfalls: Vec<String> = shortfalls.into_iter().flatten().collect();
    (!shortfalls.is_empty()).then(|| shortfalls.join("; "))
}

fn unknown(what: &str, field: &str) -> String {
    format!("nuvo reported no number of {what}, so spec.qualityGate.{field} cannot be checked")
}

/// Whether `part` of `all` is more than so many percent.
fn exceeds(part: i64, all: i64, percent: i64) -> bool {
    i128::from(part).saturating_mul(100) > i128::from(all).saturating_mul(i128::from(percent))
}
