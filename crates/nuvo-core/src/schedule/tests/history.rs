//! History limits, and what a schedule keeps of its runs.

use super::*;

fn hourly() -> World {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    world.pass();
    world
}

/// Runs of so many slots, which end with this reason.
fn run_slots(world: &mut World, count: usize, reason: Reason) {
    for _ in 0..count {
        let due = world.status().next_schedule_time.unwrap().0;
        world.now = due;
        world.pass();
        world.now = due + seconds(60);
        let now = world.now;
        end(world.last_run(), now, reason);
        world.pass();
    }
}

fn names(world: &World) -> Vec<&str> {
    world.runs.iter().map(|run| run.name.as_str()).collect()
}

#[test]
fn runs_beyond_the_limits_are_deleted_oldest_first() {
    let mut world = hourly();
    world.edit(|spec| (spec.successful_runs_history_limit, spec.failed_runs_history_limit) = (2, 1)).pass();
    run_slots(&mut world, 3, Reason::Succeeded);
    run_slots(&mut world, 2, Reason::ExecutionFailed);
    assert_eq!(names(&world), ["nightly-20261128t0200", "nightly-20261128t0300", "nightly-20261128t0500"]);
    assert_eq!(world.deleted, ["nightly-20261128t0100", "nightly-20261128t0400"]);
}

#[test]
fn limit_of_zero_deletes_every_run_after_its_result_is_shown() {
    let mut world = hourly();
    world.edit(|spec| spec.successful_runs_history_limit = 0).pass();
    run_slots(&mut world, 1, Reason::Succeeded);
    let status = world.status();
    assert_eq!((names(&world).len(), status.last_successful_time.unwrap().0), (0, at("2026-11-28T01:01:00Z")));
    assert_eq!(status.last_run.unwrap().reason.as_deref(), Some("Succeeded"));
}

/// A run by hand has no claim that would keep it.
#[test]
fn result_of_a_run_by_hand_is_shown_before_it_is_deleted() {
    let mut world = hourly();
    world.edit(|spec| spec.successful_runs_history_limit = 0).pass();
    world.at("2026-11-28T01:00:00Z");
    let mut by_hand = ScheduledRun { slot: None, name: "by-hand".to_owned(), uid: "h".to_owned(), ..world.runs[0].clone() };
    end(&mut by_hand, at("2026-11-28T01:10:00Z"), Reason::Succeeded);
    world.runs.push(by_hand);
    world.at("2026-11-28T01:11:00Z");
    assert_eq!((world.status().last_successful_time.map(|time| time.0), world.deleted.len()), (Some(at("2026-11-28T01:10:00Z")), 1));
}

/// A finalizer may keep it for long.
#[test]
fn run_that_is_being_deleted_is_not_deleted_again() {
    let mut world = hourly();
    world.edit(|spec| spec.successful_runs_history_limit = 0).pass();
    world.at("2026-11-28T01:00:00Z");
    world.last_run().deleting = true;
    world.end_runs();
    world.pass();
    assert_eq!((world.deleted.len(), world.runs.len()), (0, 1));
}

#[test]
fn skipped_run_is_a_missed_slot_and_no_success() {
    let mut world = hourly();
    run_slots(&mut world, 3, Reason::Skipped);
    assert_eq!(names(&world), ["nightly-20261128t0300"]);
    let status = world.status();
    assert_eq!((status.last_successful_time, find(&status.conditions, nuvo_crds::conditions::LAST_RUN_SUCCEEDED)), (None, None));
    assert_eq!(world.missed(), (3, Some(MissedReason::PipelineRunning)));
}

#[test]
fn runs_that_are_not_over_or_not_its_own_are_kept() {
    let mut world = hourly();
    world.edit(|spec| (spec.successful_runs_history_limit, spec.failed_runs_history_limit) = (0, 0)).pass();
    world.at("2026-11-28T01:00:00Z");
    let run = world.runs[0].clone();
    let ended = ScheduledRun {
        progress: Progress::Ended(world.now),
        reason: Some(Reason::ExecutionFailed),
        phase: Some(Phase::Failed),
        ..run.clone()
    };
    let named = |name: &str, run: &ScheduledRun| ScheduledRun { name: name.to_owned(), uid: name.to_owned(), ..run.clone() };
    world.runs.push(ScheduledRun { controller: None, ..named("orphan", &ended) });
    world.runs.push(ScheduledRun {
        phase: Some(Phase::Unresolved),
        progress: Progress::Unresolved(world.now),
        reason: Some(Reason::TriggerOutcomeUnknown),
        ..named("unresolved", &ended)
    });
    world.runs.push(ScheduledRun { slot: None, ..named("by-hand", &ended) });
    world.pass();
    assert_eq!(names(&world), [run.name.as_str(), "orphan", "unresolved"]);
    assert_eq!(world.deleted, ["by-hand"], "it counts for the limits");
}
