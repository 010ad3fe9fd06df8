//! S1, S2 and S3: intent before effect, one name for each slot, one claim.

use super::*;

const NIGHT: &str = "2026-11-28T00:30:00Z";
const DUE: &str = "2026-11-28T01:00:00Z";
const NAME: &str = "nightly-20261128t0100";

fn at_slot() -> World {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world.now = at(DUE);
    world
}

/// The world after S1.
fn pending() -> World {
    let mut world = at_slot();
    world.acts(3);
    assert_eq!(world.record().pending.as_ref().map(|pending| pending.run.as_str()), Some(NAME));
    world
}

fn name(act: &Act) -> &'static str {
    match act {
        Act::ReadSchedule => "read schedule",
        Act::ListRuns => "list runs",
        Act::ReadRun(_) => "read run",
        Act::Write(_) => "write",
        Act::Create(_) => "create",
        Act::Delete { .. } => "delete",
        Act::Done { .. } => "done",
    }
}

#[test]
fn start_is_written_before_it_is_made_and_claimed_after() {
    let mut world = at_slot();
    let acts = world.pass();
    let names: Vec<_> = acts.iter().map(name).collect();
    assert_eq!(names, ["read schedule", "list runs", "write", "read run", "create", "write"]);
    let record = world.record();
    assert_eq!((record.pending, record.last_slot, record.last_started), (None, Some(at(DUE)), Some(at(DUE))));
    assert_eq!(record.claims, [Claim { slot: at(DUE), run: NAME.to_owned(), uid: world.runs[0].uid.clone() }]);
}

/// A process that is killed after any act of a start leaves one run, and one claim for it.
#[test]
fn start_that_is_cut_off_anywhere_is_finished_once() {
    for cut in 0..8 {
        let mut world = at_slot();
        world.acts(cut);
        world.now += seconds(5);
        world.pass();
        let record = world.record();
        assert_eq!((world.slots(), world.runs.len()), (vec![DUE.to_owned()], 1), "cut after {cut}");
        assert_eq!((record.claims.len(), record.claims[0].uid.as_str()), (1, world.runs[0].uid.as_str()), "cut after {cut}");
    }
}

#[test]
fn run_is_made_from_the_template() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.edit(|spec| {
        spec.run_template.metadata = Some(nuvo_crds::RunTemplateMetadata {
            labels: [("team".to_owned(), "data".to_owned())].into(),
            annotations: [("note".to_owned(), "nightly".to_owned())].into(),
        });
    });
    world.pass();
    world.at(DUE);
    let run = &world.created[0];
    let meta = &run.metadata;
    assert_eq!((meta.name.as_deref(), meta.namespace.as_deref()), (Some(NAME), Some("team")));
    assert_eq!(serde_json::to_value(&meta.labels).unwrap(), serde_json::json!({"nuvo.dev/schedule": "nightly", "team": "data"}));
    assert_eq!(serde_json::to_value(&meta.annotations).unwrap(), serde_json::json!({"note": "nightly", "nuvo.dev/scheduled-at": DUE}));
    let owner = serde_json::json!([{
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "nightly", "uid": "u-1", "controller": true, "blockOwnerDeletion": false,
    }]);
    assert_eq!(serde_json::to_value(&meta.owner_references).unwrap(), owner);
    assert_eq!(run.spec.pipeline_id, "orders");
}

#[test]
fn run_does_not_outlive_its_slot_under_forbid() {
    type Edit = fn(&mut PipelineScheduleSpec);
    let cases: [(Edit, Option<i64>); 4] = [
        (|_| (), Some(3_600)),
        (|spec| spec.schedules = vec!["* * * * *".to_owned()], Some(60)),
        (|spec| spec.run_template.spec.start_deadline_seconds = Some(7), Some(7)),
        (|spec| spec.concurrency_policy = nuvo_crds::ScheduleConcurrency::Allow, None),
    ];
    for (index, (edit, expected)) in cases.into_iter().enumerate() {
        let mut world = World::new(&["0 * * * *"], "2026-11-28T00:59:30Z");
        world.edit(edit).pass();
        world.at(DUE);
        assert_eq!(world.created[0].spec.start_deadline_seconds, expected, "{index}");
    }
}

#[test]
fn names_sort_and_differ_in_the_hour_that_comes_twice() {
    let names = ["2026-10-25T00:30Z", "2026-10-25T01:30Z"].map(|slot| run_name("nightly", at(slot)));
    assert_eq!(names, ["nightly-20261025t0030", "nightly-20261025t0130"]);
    assert!(run_name(&"n".repeat(63), at("2026-10-25T01:30Z")).len() <= 63 + 14);
}

#[test]
fn pending_start_is_made_by_the_next_process() {
    let mut world = pending();
    world.at("2026-11-28T01:10:00Z");
    assert_eq!((world.slots(), world.missed()), (vec![DUE.to_owned()], (0, None)));
}

#[test]
fn pending_start_that_may_not_start_any_more_is_missed() {
    type Edit = fn(&mut PipelineScheduleSpec);
    let edits: [Edit; 2] = [|spec| spec.suspend = true, |spec| spec.schedules = vec!["5 * * * *".to_owned()]];
    for edit in edits {
        let mut world = pending();
        world.edit(edit).at("2026-11-28T01:01:00Z");
        assert_eq!((world.slots().len(), world.record().pending, world.missed()), (0, None, (1, Some(MissedReason::ScheduleChanged))));
    }
    let mut world = pending();
    world.at("2026-11-28T02:00:00Z");
    assert_eq!(world.missed(), (1, Some(MissedReason::TooLate)));
    assert_eq!(world.slots(), ["2026-11-28T02:00:00Z"], "the next slot starts");
}

#[test]
fn pending_run_that_exists_is_claimed_also_after_an_edit() {
    let mut world = at_slot();
    assert!(matches!(world.acts(5).last(), Some(Act::Create(_))));
    world.edit(|spec| spec.suspend = true).at("2026-11-28T01:01:00Z");
    assert_eq!((world.record().pending, world.record().claims.len()), (None, 1));
}

#[test]
fn pending_run_that_is_being_deleted_before_its_trigger_is_missed() {
    let mut world = at_slot();
    world.acts(5);
    world.last_run().deleting = true;
    world.pass();
    assert_eq!((world.record().claims.len(), world.missed()), (0, (1, Some(MissedReason::Deleted))));
}

#[test]
fn pending_run_that_the_gate_has_refused_is_missed() {
    let mut world = at_slot();
    world.acts(5);
    let now = world.now;
    end(world.last_run(), now, Reason::SlotNotClaimed);
    world.pass();
    assert_eq!((world.record().claims.len(), world.missed()), (0, (1, Some(MissedReason::SlotNotClaimed))));
}

#[test]
fn object_of_another_owner_with_the_name_of_the_run_is_no_start() {
    for controller in [None, Some("u-2".to_owned())] {
        let mut world = pending();
        let mut other = world.clone();
        other.pass();
        let run = ScheduledRun { controller, ..other.runs[0].clone() };
        world.runs.push(ScheduledRun { progress: Progress::Ended(world.now), ..run });
        world.pass();
        assert_eq!((world.ready().as_str(), world.slots().len()), ("NameTaken", 0));
        let wake = world.wake();
        assert!(wake.is_some_and(|wake| wake > world.now), "{wake:?}");
        world.runs.clear();
        world.at("2026-11-28T01:20:00Z");
        assert_eq!((world.ready().as_str(), world.slots().len()), ("Scheduled", 1));
    }
}

#[test]
fn name_that_stays_taken_is_missed_when_it_is_too_late() {
    let mut world = pending();
    let mut other = world.clone();
    other.pass();
    let foreign = ScheduledRun { controller: None, uid: "foreign".to_owned(), ..other.runs[0].clone() };
    world.runs.push(ScheduledRun { progress: Progress::Ended(world.now), ..foreign });
    world.pass();
    world.at("2026-11-28T02:00:00Z");
    assert_eq!(world.missed(), (1, Some(MissedReason::CreateRefused)));
}

#[test]
fn refused_run_is_tried_again_with_growing_waits_and_then_missed() {
    let mut world = at_slot();
    world.refusal = Some("exceeded quota".to_owned());
    world.pass();
    assert_eq!(world.ready(), "CreateRefused");
    let writes = world.writes;
    let waits: Vec<i64> = (0..4)
        .map(|_| {
            let wake = world.wake().unwrap();
            let wait = wake.duration_since(world.now).as_secs();
            world.now = wake;
            wait
        })
        .collect();
    assert_eq!(waits, [1, 1, 2, 4]);
    assert_eq!(world.writes, writes, "the same refusal is not written again");
    world.refusal = None;
    let mut healed = world.clone();
    healed.pass();
    assert_eq!((healed.slots().len(), healed.ready().as_str()), (1, "Scheduled"));
    world.refusal = Some("exceeded quota".to_owned());
    world.at("2026-11-28T02:00:00Z");
    assert_eq!(world.missed(), (1, Some(MissedReason::CreateRefused)));
}

#[test]
fn create_without_an_answer_is_looked_for_by_its_name() {
    let mut world = pending();
    let mut facts = world.facts();
    let mut creates = 0;
    let mut acts = Vec::new();
    for _ in 0..20 {
        let act = next(&facts);
        let mut answer = world.carry_out(&act);
        if matches!(act, Act::Create(_)) {
            creates += 1;
            answer = Answer::Unclear;
        }
        if matches!(act, Act::Done { .. }) {
            break;
        }
        facts.learn(&act, answer);
        acts.push(act);
    }
    world.pass();
    assert_eq!((creates, world.runs.len(), world.record().claims.len()), (1, 1, 1));
}

#[test]
fn claim_is_never_changed() {
    let mut world = at_slot();
    world.pass();
    let claims = world.record().claims;
    // As if an old leader wrote its intent again, after the run was deleted by a person.
    let status = world.object.as_mut().unwrap().status.as_mut().unwrap();
    status.pending = Some(nuvo_crds::PendingStart { slot: Time(at(DUE)), run_name: NAME.to_owned(), since: Time(at(DUE)) });
    let other = ScheduledRun { uid: "r-late".to_owned(), name: "other".to_owned(), ..world.runs[0].clone() };
    world.runs.push(other);
    world.pass();
    assert_eq!(world.record().claims, claims);
}

#[test]
fn claim_goes_when_its_run_has_ended_or_is_gone() {
    let mut world = at_slot();
    world.pass();
    let mut ended = world.clone();
    ended.end_runs();
    ended.pass();
    assert!(ended.record().claims.is_empty());
    let mut kept = world.clone();
    kept.at("2026-11-28T01:10:00Z");
    assert_eq!(kept.record().claims.len(), 1);
    world.runs.clear();
    world.pass();
    assert!(world.record().claims.is_empty());
    world.at("2026-11-28T01:20:00Z");
    assert_eq!(world.slots().len(), 1, "the slot is decided");
}
