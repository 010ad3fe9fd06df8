//! What became of the last slots of a schedule: its runs, and what its status says of slots without one.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nuvo_core::run::reason;
use nuvo_crds::{MissedReason, Phase, PipelineRun, PipelineSchedule, PipelineScheduleStatus, well_known::SCHEDULED_AT_ANNOTATION};

use super::{
    slots::Slots,
    table::{phase, table},
};

/// A table of the last slots, and of the runs that were started by hand between them, newest first; empty without any.
#[must_use]
pub fn past_slots(
    schedule: &PipelineSchedule,
    status: &PipelineScheduleStatus,
    runs: &[PipelineRun],
    slots: Option<&Slots>,
    count: usize,
) -> String {
    let mut rows: BTreeMap<(Timestamp, String), Vec<String>> = BTreeMap::new();
    let local = |slot: Timestamp| slots.map_or_else(|| slot.to_string(), |slots| slots.local(slot));
    let own = runs.iter().filter(|run| run.owner_references().iter().any(|owner| Some(&owner.uid) == schedule.metadata.uid.as_ref()));
    for run in own {
        let slot = run.annotations().get(SCHEDULED_AT_ANNOTATION).and_then(|text| text.parse::<Timestamp>().ok());
        let Some(time) = slot.or_else(|| run.metadata.creation_timestamp.as_ref().map(|time| time.0)) else { continue };
        let of_run = run.status.clone().unwrap_or_default();
        let reason = reason(&of_run).map(|reason| reason.to_string()).unwrap_or_default();
        let when = slot.map_or_else(|| "by hand".to_owned(), local);
        let key = (time, if slot.is_some() { String::new() } else { run.name_any() });
        rows.insert(key, vec![when, phase(&of_run), reason, run.name_any(), of_run.current.duration.unwrap_or_default()]);
    }
    for slot in decided(status, slots, count) {
        rows.entry((slot, String::new())).or_insert_with(|| [vec![local(slot)], without_run(status, slot)].concat());
    }
    let rows: Vec<Vec<String>> = rows.into_values().rev().take(count).collect();
    if rows.is_empty() { String::new() } else { table(&["SLOT", "RESULT", "REASON", "RUN", "DURATION"], &rows) }
}

/// The newest slots that were decided, as far as the spec of today and the status name them.
fn decided(status: &PipelineScheduleStatus, slots: Option<&Slots>, count: usize) -> Vec<Timestamp> {
    let anchor = status.anchor.as_ref().map(|anchor| anchor.time.0);
    let named = slots.zip(status.last_slot.as_ref()).into_iter().flat_map(|(slots, last)| slots.until(last.0));
    let since = named.take_while(|slot| anchor.is_some_and(|anchor| *slot > anchor)).take(count);
    let known = [status.missed.as_ref().and_then(|missed| missed.last_time.as_ref()), status.last_schedule_time.as_ref()];
    since.chain(known.into_iter().flatten().map(|time| time.0)).collect()
}

fn without_run(status: &PipelineScheduleStatus, slot: Timestamp) -> Vec<String> {
    if let Some(missed) = status.missed.as_ref().filter(|missed| missed.last_time.as_ref().is_some_and(|time| time.0 == slot)) {
        let reason = missed.last_reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default();
        return vec!["Missed".to_owned(), reason];
    }
    if let Some(pending) = status.pending.as_ref().filter(|pending| pending.slot.0 == slot) {
        return vec!["Starting".to_owned(), String::new(), pending.run_name.clone()];
    }
    match status.last_run.as_ref().filter(|run| run.slot.0 == slot) {
        Some(run) => {
            vec![run.phase.map_or("", Phase::as_str).to_owned(), run.reason.clone().unwrap_or_default(), format!("{} (deleted)", run.name)]
        }
        None => vec!["not kept".to_owned()],
    }
}

/// What a reason means.
#[must_use]
pub const fn explained(reason: MissedReason) -> &'static str {
    match reason {
        MissedReason::TooLate => {
            "the slot could not start within spec.startingDeadlineSeconds: no operator was up, or its clock was in doubt."
        }
        MissedReason::StillRunning => {
            "an earlier run of this schedule had not ended when the next slot was due, and spec.concurrencyPolicy is Forbid."
        }
        MissedReason::PipelineRunning => {
            "another execution of the pipeline was running, and concurrencyPolicy of spec.runTemplate.spec is Skip."
        }
        MissedReason::ScheduleChanged => "the schedule was changed before the slot started. No change starts a slot of the past.",
        MissedReason::NotObserved => "several slots were due before an operator looked. Only the newest can start.",
        MissedReason::CreateRefused => "until it was too late, the API server refused the run, or another object had its name.",
        MissedReason::Deleted => "its run was deleted before it was triggered.",
        MissedReason::TooManyActive => "16 runs of this schedule were active, or 20 were waiting for a decision.",
        MissedReason::SlotNotClaimed => "its run was created when the slot was decided already, so it started nothing.",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn table_of(status: Value, runs: &[Value]) -> Vec<String> {
        let schedule: PipelineSchedule = serde_json::from_value(json!({
            "metadata": { "name": "nightly", "namespace": "team", "uid": "abc" },
            "spec": { "schedules": ["0 2 * * *"], "runTemplate": { "spec": { "pipelineId": "p-1" } } },
            "status": status,
        }))
        .unwrap();
        let runs: Vec<PipelineRun> = runs.iter().map(|run| serde_json::from_value(run.clone()).unwrap()).collect();
        let slots = Slots::parse(&schedule.spec.schedules, "UTC").unwrap();
        let status = schedule.status.clone().unwrap();
        past_slots(&schedule, &status, &runs, Some(&slots), 5)
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    fn by_hand(uid: &str) -> Value {
        json!({
            "metadata": { "name": "nightly-now-1", "creationTimestamp": "2026-11-03T12:00:00Z", "ownerReferences": [
                { "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "nightly", "uid": uid, "controller": true },
            ] },
            "spec": { "pipelineId": "p-1" },
        })
    }

    #[test]
    fn run_by_hand_stands_between_the_slots_and_that_of_another_schedule_does_not() {
        let status = json!({ "lastSlot": "2026-11-04T02:00:00Z", "anchor": { "time": "2026-11-02T12:00:00Z", "uid": "abc" } });
        assert_eq!(
            table_of(status.clone(), &[by_hand("abc")]),
            ["Wed 2026-11-04 02:00 +00:00 not kept", "by hand Unseen nightly-now-1", "Tue 2026-11-03 02:00 +00:00 not kept"]
        );
        assert_eq!(table_of(status, &[by_hand("another")]).len(), 2, "nothing before the anchor, nothing of others");
    }

    #[test]
    fn slot_without_a_run_shows_what_the_status_says() {
        let status = json!({
            "lastSlot": "2026-11-05T02:00:00Z", "anchor": { "time": "2026-11-02T12:00:00Z", "uid": "abc" },
            "pending": { "slot": "2026-11-05T02:00:00Z", "runName": "nightly-20261105t0200", "since": "2026-11-05T02:00:00Z" },
            "lastScheduleTime": "2026-11-04T02:00:00Z",
            "lastRun": { "name": "nightly-20261104t0200", "slot": "2026-11-04T02:00:00Z", "reason": "Deleted" },
            "missed": { "total": 1, "lastTime": "2026-11-03T02:00:00Z", "lastReason": "TooLate" },
        });
        assert_eq!(
            table_of(status, &[]),
            [
                "Thu 2026-11-05 02:00 +00:00 Starting nightly-20261105t0200",
                "Wed 2026-11-04 02:00 +00:00 Deleted nightly-20261104t0200 (deleted)",
                "Tue 2026-11-03 02:00 +00:00 Missed TooLate",
            ]
        );
    }

    #[test]
    fn slots_of_an_earlier_spec_are_known_from_the_status_only() {
        let status = json!({
            "lastSlot": "2026-11-05T02:00:00Z", "anchor": { "time": "2026-11-05T03:00:00Z", "uid": "abc" },
            "missed": { "total": 4, "lastTime": "2026-11-05T02:30:00Z", "lastReason": "ScheduleChanged" },
        });
        assert_eq!(table_of(status, &[]), ["Thu 2026-11-05 02:30 +00:00 Missed ScheduleChanged"]);
        assert!(table_of(json!({}), &[]).is_empty());
    }

    #[test]
    fn every_reason_is_explained() {
        for reason in MissedReason::ALL {
            assert!(explained(reason).ends_with('.'), "{}", reason.as_str());
        }
    }
}
