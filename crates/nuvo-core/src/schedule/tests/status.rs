//! What the status shows of the runs.

use nuvo_crds::conditions::LAST_RUN_SUCCEEDED;

use super::*;

fn started() -> World {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    world.pass();
    world.at("2026-11-28T01:00:00Z");
    world
}

fn last(world: &World) -> (String, Option<String>) {
    let last = world.status().last_run.unwrap();
    (last.name, last.reason)
}

#[test]
fn active_runs_are_computed_from_the_runs() {
    let mut world = started();
    let status = world.status();
    assert_eq!((status.active_count, status.active.len()), (Some(1), 1));
    assert_eq!(status.active[0].slot.as_ref().unwrap().0, at("2026-11-28T01:00:00Z"));
    world.end_runs();
    world.pass();
    assert_eq!((world.status().active_count, world.status().active.len()), (Some(0), 0));
}

#[test]
fn result_of_the_last_run_is_shown() {
    let mut world = started();
    world.now += seconds(60);
    let now = world.now;
    end(world.last_run(), now, Reason::ExecutionFailed);
    world.pass();
    let status = world.status();
    assert_eq!((last(&world).1.as_deref(), status.last_failed_time.unwrap().0), (Some("ExecutionFailed"), now));
    let condition = find(&status.conditions, LAST_RUN_SUCCEEDED).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "ExecutionFailed"));
    assert_eq!(world.ready(), "Scheduled", "a failed run is no fault of the schedule");
}

#[test]
fn result_stays_when_the_run_goes() {
    let mut world = started();
    world.end_runs();
    world.pass();
    let before = world.status();
    world.runs.clear();
    world.at("2026-11-28T01:30:00Z");
    let after = world.status();
    assert_eq!((after.last_run, after.last_successful_time), (before.last_run, before.last_successful_time));
    assert!(find(&after.conditions, LAST_RUN_SUCCEEDED).is_some());
}

#[test]
fn run_that_is_gone_before_its_end_is_shown_as_deleted() {
    let mut world = started();
    world.runs.clear();
    world.at("2026-11-28T01:30:00Z");
    assert_eq!(last(&world), ("nightly-20261128t0100".to_owned(), Some("Deleted".to_owned())));
}

#[test]
fn older_result_does_not_replace_a_newer_one() {
    let mut world = started();
    let first = world.last_run().clone();
    world.now += seconds(60);
    let now = world.now;
    end(world.last_run(), now, Reason::ExecutionFailed);
    world.pass();
    world.runs.clear();
    let mut older = ScheduledRun { slot: None, name: "by-hand".to_owned(), uid: "h".to_owned(), ..first };
    end(&mut older, now - seconds(30), Reason::Succeeded);
    world.runs.push(older);
    world.at("2026-11-28T01:30:00Z");
    assert_eq!(find(&world.status().conditions, LAST_RUN_SUCCEEDED).unwrap().status, "False");
}

/// It was made by a schedule of this name, of which nothing is known.
#[test]
fn result_of_an_orphan_is_not_shown() {
    let mut world = started();
    let mut orphan = ScheduledRun { controller: None, name: "orphan".to_owned(), uid: "o".to_owned(), ..world.last_run().clone() };
    end(&mut orphan, at("2026-11-28T01:10:00Z"), Reason::ExecutionFailed);
    world.runs.push(orphan);
    world.at("2026-11-28T01:11:00Z");
    assert_eq!(world.status().last_failed_time, None);
}

#[test]
fn slot_costs_three_writes_of_the_schedule_and_one_deletion() {
    let mut world = started();
    world.edit(|spec| spec.successful_runs_history_limit = 1).pass();
    world.end_runs();
    world.pass();
    let writes = world.writes;
    world.at("2026-11-28T02:00:00Z").at("2026-11-28T02:00:05Z");
    world.last_run().phase = Some(Phase::Pending);
    world.at("2026-11-28T02:00:10Z");
    world.end_runs();
    world.at("2026-11-28T02:01:00Z").at("2026-11-28T02:02:00Z");
    assert_eq!(world.writes - writes, 3, "S1, S3 and the result; S2 is the run");
    assert_eq!(world.deleted.len(), 1);
}

#[test]
fn schedule_that_nuvo_has_too_is_shown_until_nuvo_says_that_it_has_none() {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    let shown = |world: &World| find(&world.status().conditions, "AlsoScheduledInNuvo").map(|shown| shown.message.clone());
    world.pass();
    assert_eq!(shown(&world), None);
    world.in_nuvo = Some(Some("DAILY".to_owned()));
    world.pass();
    assert!(shown(&world).is_some_and(|message| message.contains("(DAILY)")));
    world.in_nuvo = None;
    world.pass();
    assert!(shown(&world).is_some(), "what nuvo has not told stays as it is");
    world.in_nuvo = Some(None);
    world.pass();
    assert_eq!(shown(&world), None);
}

#[test]
fn run_of_the_slot_that_is_created_late_does_not_replace_its_result() {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    world.edit(|spec| spec.successful_runs_history_limit = 0);
    world.pass();
    world.at("2026-11-28T01:00:00Z");
    let late = ScheduledRun { uid: "r-late".to_owned(), ..world.runs[0].clone() };
    world.end_runs();
    world.pass();
    assert!(world.runs.is_empty(), "the history limit has deleted it");
    world.runs.push(late);
    world.pass();
    let shown = |world: &World| world.status().last_run.and_then(|run| run.phase);
    assert_eq!(shown(&world), Some(Phase::Succeeded), "it waits");
    let now = world.now;
    end(world.last_run(), now, Reason::SlotNotClaimed);
    world.pass();
    assert_eq!(shown(&world), Some(Phase::Succeeded), "it was refused");
}
