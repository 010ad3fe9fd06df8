//! What does not come to rest, and what the status then says.

use nuvo_crds::conditions::LAST_RUN_SUCCEEDED;

use super::*;

const NIGHT: &str = "2026-11-28T00:30:00Z";

fn hourly() -> World {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world
}

/// What is known of no other object must not be written again at each look.
#[test]
fn schedule_that_is_new_while_the_clock_is_in_doubt_is_written_once() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.clock_in_doubt = Some("The clocks are apart.".to_owned());
    world.pass();
    world.at("2026-11-28T00:30:30Z").at("2026-11-28T00:31:00Z");
    assert_eq!((world.ready().as_str(), world.writes), ("ClockInDoubt", 1));
    world.clock_in_doubt = None;
    world.at("2026-11-28T01:00:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len()), ("Scheduled", 0), "its creation is long ago");
}

#[test]
fn restored_status_is_shed_once_while_the_clock_is_in_doubt() {
    let mut world = hourly();
    world.at("2026-11-28T01:00:00Z");
    world.object.as_mut().unwrap().metadata.uid = Some("u-2".to_owned());
    world.runs.clear();
    let writes = world.writes;
    world.clock_in_doubt = Some("The clocks are apart.".to_owned());
    world.at("2026-11-28T01:00:30Z").at("2026-11-28T01:01:00Z");
    assert_eq!((world.writes - writes, world.status().pending, world.status().last_run), (1, None, None));
}

#[test]
fn runs_that_end_in_the_same_second_are_written_once() {
    for reasons in [[Reason::Succeeded, Reason::ExecutionFailed], [Reason::ExecutionFailed, Reason::Succeeded]] {
        let mut world = World::new(&["0 * * * *"], NIGHT);
        world.edit(|spec| spec.concurrency_policy = nuvo_crds::ScheduleConcurrency::Allow).pass();
        world.at("2026-11-28T01:00:00Z").at("2026-11-28T02:00:00Z");
        world.now += seconds(60);
        let now = world.now;
        for (run, reason) in world.runs.iter_mut().zip(reasons) {
            end(run, now, reason);
        }
        world.pass();
        let writes = world.writes;
        world.at("2026-11-28T02:10:00Z").at("2026-11-28T02:20:00Z");
        assert_eq!(world.writes, writes);
        let shown = |world: &World| find(&world.status().conditions, LAST_RUN_SUCCEEDED).cloned();
        let before = shown(&world);
        assert_eq!(before.as_ref().map(|shown| shown.reason.as_str()), Some(reasons[1].as_str()), "that of the newest slot");
        world.runs.remove(1);
        world.at("2026-11-28T02:30:00Z");
        assert_eq!(shown(&world), before, "an older result does not come back when the run goes");
    }
}

/// A clock that was ahead has made an anchor that no slot comes after for a long time.
#[test]
fn anchor_in_the_future_is_said_and_reset_as_a_slot_in_the_future_is() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.at("2027-11-28T00:30:00Z");
    world.at("2026-11-28T01:10:00Z");
    assert_eq!((world.ready().as_str(), world.record().last_slot), ("ClockInDoubt", None));
    world.edit(|spec| spec.suspend = true).at("2026-11-28T01:11:00Z");
    world.edit(|spec| spec.suspend = false).at("2026-11-28T01:12:00Z").at("2026-11-28T02:00:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len()), ("Scheduled", 1));
}

#[test]
fn next_time_is_never_that_of_a_slot_that_is_decided() {
    let mut world = hourly();
    world.at("2027-11-28T01:00:00Z").end_runs();
    world.at("2026-11-28T01:10:00Z");
    assert_eq!(world.ready(), "ClockInDoubt");
    assert_eq!(world.status().next_schedule_time.unwrap().0, at("2027-11-28T02:00:00Z"));
    let mut world = World::new(&["* * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T00:31:01Z").end_runs();
    world.at("2026-11-28T00:30:50Z");
    assert_eq!(world.status().next_schedule_time.unwrap().0, at("2026-11-28T00:32:00Z"), "31 has started");
}

/// A slot before the anchor may be due later than the anchor.
#[test]
fn next_time_is_never_that_of_a_slot_before_the_anchor() {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:59:00Z");
    let offset = offset("u-1", 3_600);
    assert!(offset > seconds(600), "{offset}");
    world.edit(|spec| spec.spread_seconds = 3_600).pass();
    assert_eq!(world.status().next_schedule_time.unwrap().0, at("2026-11-28T01:00:00Z") + offset);
    world.edit(|spec| spec.starting_deadline_seconds = Some(60)).pass();
    world.edit(|spec| spec.starting_deadline_seconds = Some(120)).at("2026-11-28T01:05:00Z");
    assert_eq!((world.record().anchor, world.missed()), (Some(world.now), (1, Some(MissedReason::ScheduleChanged))));
    assert_eq!(world.status().next_schedule_time.unwrap().0, at("2026-11-28T02:00:00Z") + offset);
}

/// What an edit has left out stays left out.
#[test]
fn slot_that_was_missed_by_an_edit_does_not_start_after_a_small_step_back() {
    let mut world = World::new(&["* * * * *"], NIGHT);
    world.edit(|spec| spec.starting_deadline_seconds = Some(0)).pass();
    world.edit(|spec| spec.starting_deadline_seconds = Some(60)).at("2026-11-28T00:31:01Z");
    assert_eq!(world.missed(), (1, Some(MissedReason::ScheduleChanged)));
    world.edit(|spec| spec.starting_deadline_seconds = Some(0)).at("2026-11-28T00:30:50Z").at("2026-11-28T00:31:05Z");
    assert_eq!((world.slots().len(), world.missed().0), (0, 1));
}

#[test]
fn schedule_that_was_created_in_the_future_begins_now() {
    let mut world = World::new(&["0 * * * *"], "2027-11-28T00:30:00Z");
    world.at("2026-11-28T00:30:00Z").at("2026-11-28T01:00:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len()), ("Scheduled", 1));
}

#[test]
fn last_run_is_that_of_the_newest_start_after_a_clock_was_ahead() {
    let mut world = hourly();
    world.at("2027-11-28T01:00:00Z");
    world.now = at("2026-11-28T01:05:00Z");
    world.end_runs();
    world.pass();
    world.edit(|spec| spec.suspend = true).at("2026-11-28T01:10:00Z");
    world.edit(|spec| spec.suspend = false).at("2026-11-28T01:20:00Z").at("2026-11-28T02:00:00Z");
    let status = world.status();
    assert_eq!(status.last_schedule_time.unwrap().0, at("2026-11-28T02:00:00Z"));
    assert_eq!(status.last_run.unwrap().name, "nightly-20261128t0200");
}

#[test]
fn result_is_shown_after_a_run_has_ended_by_a_clock_that_was_ahead() {
    let mut world = hourly();
    world.at("2026-11-28T01:00:00Z");
    let ahead = at("2027-11-28T01:00:00Z");
    end(world.last_run(), ahead, Reason::Succeeded);
    world.now = ahead;
    world.pass();
    world.edit(|spec| spec.suspend = true).at("2026-11-28T01:10:00Z");
    world.edit(|spec| spec.suspend = false).at("2026-11-28T01:20:00Z").at("2026-11-28T02:00:00Z");
    world.now = at("2026-11-28T02:05:00Z");
    let now = world.now;
    end(world.last_run(), now, Reason::ExecutionFailed);
    world.pass();
    let status = world.status();
    assert_eq!(status.last_failed_time.unwrap().0, now);
    assert_eq!(find(&status.conditions, LAST_RUN_SUCCEEDED).unwrap().reason, "ExecutionFailed");
}

/// A name that is taken is not asked for each second until a date far away.
#[test]
fn start_in_the_future_whose_name_is_taken_waits_for_a_person() {
    let mut world = hourly();
    world.now = at("2027-11-28T01:00:00Z");
    world.acts(3);
    let name = world.record().pending.unwrap().run;
    let mut other = world.clone();
    other.pass();
    world.runs.push(ScheduledRun { controller: None, name, ..other.runs[0].clone() });
    world.at("2026-11-28T01:10:00Z");
    let wake = world.wake().unwrap();
    assert_eq!((world.ready().as_str(), wake.duration_since(world.now)), ("ClockInDoubt", seconds(30)));
}

/// Its slot is one that the operator was told not to start.
#[test]
fn run_that_was_created_is_not_claimed_while_the_operator_is_held() {
    let mut world = hourly();
    world.now = at("2026-11-28T01:00:00Z");
    assert!(matches!(world.acts(5).last(), Some(Act::Create(_))));
    world.held = true;
    world.at("2026-11-28T01:05:00Z");
    let record = world.record();
    assert_eq!((record.claims.len(), record.pending.is_some(), world.ready().as_str()), (0, true, "Suspended"));
    world.held = false;
    world.at("2026-11-28T01:06:00Z");
    assert_eq!((world.record().claims.len(), world.slots().len()), (1, 1));
}

#[test]
fn unresolved_run_that_is_gone_is_shown_as_deleted() {
    let mut world = hourly();
    world.at("2026-11-28T01:00:00Z");
    let until = at("2026-11-28T01:30:00Z");
    let run = world.last_run();
    (run.phase, run.reason, run.progress) = (Some(Phase::Unresolved), Some(Reason::TriggerOutcomeUnknown), Progress::Unresolved(until));
    world.at("2026-11-28T01:02:00Z");
    assert_eq!(world.status().last_run.unwrap().reason.as_deref(), Some("TriggerOutcomeUnknown"));
    world.runs.clear();
    world.at("2026-11-28T01:03:00Z");
    assert_eq!(world.status().last_run.unwrap().reason.as_deref(), Some("Deleted"));
}

/// Searches for a date that does not exist are long, and must not hold up the schedules of others: with one for each time of each line, this
/// takes minutes.
#[test]
fn schedule_of_many_lines_that_name_no_date_is_never_due() {
    let lines: Vec<String> = (0..16).map(|minute| format!("{minute},20,30,40,41,42,43,44 0,1,2,3,4,5,6,7 31 2,4,6,9,11 *")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut world = World::new(&lines, NIGHT);
    world.acts(3);
    assert_eq!(world.ready(), "NeverDue");
}
