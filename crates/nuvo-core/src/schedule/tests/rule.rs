//! Which slot starts, and which is missed.

use nuvo_crds::{ObservedSlots, ScheduleConcurrency};

use super::*;

const NIGHT: &str = "2026-11-28T00:30:00Z";

#[test]
fn schedule_at_rest_asks_and_writes_nothing() {
    let mut world = World::new(&["0 2 * * *"], NIGHT);
    world.pass();
    assert_eq!((world.ready().as_str(), world.writes), ("Scheduled", 1));
    assert_eq!(world.status().next_schedule_time.unwrap().0, at("2026-11-28T02:00:00Z"));
    for time in ["2026-11-28T00:31:00Z", "2026-11-28T01:59:59Z"] {
        world.now = at(time);
        assert_eq!((world.pass(), world.wake()), (Vec::new(), Some(at("2026-11-28T02:00:00Z"))), "{time}");
    }
}

#[test]
fn slot_that_is_due_starts_once() {
    let mut world = World::new(&["0 2 * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T02:00:00Z").at("2026-11-28T02:00:30Z").at("2026-11-28T12:00:00Z");
    assert_eq!(world.slots(), ["2026-11-28T02:00:00Z"]);
    assert_eq!(world.missed(), (0, None));
}

#[test]
fn schedule_that_is_being_deleted_starts_nothing() {
    let mut world = World::new(&["0 2 * * *"], NIGHT);
    world.pass();
    world.object.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(world.now));
    world.at("2026-11-28T02:00:00Z");
    assert_eq!((world.slots().len(), world.writes), (0, 1));
}

#[test]
fn schedule_seen_within_a_minute_starts_a_slot_since_its_creation() {
    let mut world = World::new(&["31 0 * * *"], NIGHT);
    world.at("2026-11-28T00:31:05Z");
    assert_eq!(
        (world.record().anchor, world.slots().len(), world.missed()),
        (Some(at("2026-11-28T00:31:05Z")), 0, (1, Some(MissedReason::NotObserved)))
    );
    let mut world = World::new(&["31 0 * * *"], "2026-11-28T00:30:30Z");
    world.at("2026-11-28T00:31:05Z");
    assert_eq!((world.record().anchor, world.slots().len(), world.missed()), (Some(at("2026-11-28T00:30:30Z")), 1, (0, None)));
}

#[test]
fn slot_at_the_anchor_does_not_start() {
    let mut world = World::new(&["30 0 * * *"], NIGHT);
    world.pass();
    assert_eq!((world.slots().len(), world.missed()), (0, (0, None)));
}

#[test]
fn restored_status_of_another_object_counts_as_absent() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T01:00:00Z").end_runs();
    let object = world.object.as_mut().unwrap();
    object.metadata.uid = Some("u-2".to_owned());
    object.metadata.creation_timestamp = Some(Time(at("2026-11-28T05:30:00Z")));
    world.runs.clear();
    world.at("2026-11-28T05:30:10Z");
    let status = world.status();
    assert_eq!(status.anchor.unwrap().uid, "u-2");
    assert_eq!((status.last_slot, status.claims, status.missed, world.slots().len()), (None, Vec::new(), None, 1));
    world.at("2026-11-28T06:00:00Z");
    assert_eq!(world.slots().len(), 2);
}

#[test]
fn status_restored_late_with_a_pending_start_starts_nothing() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world.now = at("2026-11-28T01:00:00Z");
    assert!(matches!(world.acts(3).last(), Some(Act::Write(_))), "S1");
    assert!(world.record().pending.is_some());
    let object = world.object.as_mut().unwrap();
    object.metadata.uid = Some("u-2".to_owned());
    object.metadata.creation_timestamp = Some(Time(at("2026-11-28T01:00:30Z")));
    world.at("2026-11-28T01:00:40Z").at("2026-11-28T01:30:00Z");
    assert_eq!((world.slots().len(), world.status().pending), (0, None));
}

#[test]
fn edit_moves_the_anchor_and_counts_what_it_drops() {
    type Edit = fn(&mut PipelineScheduleSpec);
    let edits: [Edit; 4] = [
        |spec| spec.schedules = vec!["*/5 * * * *".to_owned()],
        |spec| spec.time_zone = "Europe/Berlin".to_owned(),
        |spec| spec.suspend = true,
        |spec| spec.starting_deadline_seconds = Some(3_600),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let mut world = World::new(&["0 * * * *"], NIGHT);
        world.edit(|spec| spec.starting_deadline_seconds = Some(600)).pass();
        world.edit(edit).at("2026-11-28T03:02:00Z");
        assert_eq!(world.record().anchor, Some(world.now), "{index}");
        assert_eq!((world.slots().len(), world.missed()), (0, (3, Some(MissedReason::ScheduleChanged))), "{index}");
    }
}

#[test]
fn other_edits_keep_the_anchor() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    let anchor = world.record().anchor;
    world.edit(|spec| spec.run_template.spec.active_deadline_seconds = 60).edit(|spec| spec.failed_runs_history_limit = 1);
    world.at("2026-11-28T01:00:10Z");
    assert_eq!((world.record().anchor, world.slots().len()), (anchor, 1));
}

/// Two versions of the operator that write different records do not move each other's anchors.
#[test]
fn difference_without_a_new_generation_rewrites_the_record_and_keeps_the_anchor() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    let anchor = world.record().anchor;
    let object = world.object.as_mut().unwrap();
    object.status.as_mut().unwrap().observed.as_mut().unwrap().time_zone = Some("Etc/UTC".to_owned());
    world.at("2026-11-28T00:40:00Z");
    assert_eq!(world.record().anchor, anchor);
    assert_eq!(world.record().observed.unwrap().time_zone.as_deref(), Some("UTC"));
}

#[test]
fn field_that_the_record_lacks_is_no_difference() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    let anchor = world.record().anchor;
    let status = world.object.as_mut().unwrap().status.as_mut().unwrap();
    status.observed = Some(ObservedSlots { schedules: Some(vec!["0 * * * *".to_owned()]), ..ObservedSlots::default() });
    world.edit(|spec| spec.spread_seconds = 1).at("2026-11-28T00:40:00Z");
    assert_eq!(world.record().anchor, anchor);
    assert_eq!(world.record().observed.unwrap().suspend, Some(false));
}

#[test]
fn slots_while_suspended_are_neither_started_nor_missed() {
    let mut world = World::new(&["*/10 * * * *"], NIGHT);
    world.edit(|spec| spec.suspend = true).pass();
    assert_eq!((world.ready().as_str(), world.wake()), ("Suspended", None));
    world.at("2026-11-30T08:00:30Z");
    world.edit(|spec| spec.suspend = false).at("2026-11-30T08:05:00Z");
    assert_eq!((world.slots().len(), world.missed()), (0, (0, None)));
    world.at("2026-11-30T08:10:00Z");
    assert_eq!(world.slots(), ["2026-11-30T08:10:00Z"]);
}

#[test]
fn operator_that_was_down_starts_the_newest_slot_and_counts_the_others() {
    let mut world = World::new(&["*/10 * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-29T01:31:00Z");
    assert_eq!(world.slots(), ["2026-11-29T01:30:00Z"]);
    assert_eq!(world.missed(), (149, Some(MissedReason::NotObserved)));
    assert_eq!(world.status().missed.unwrap().last_time.unwrap().0, at("2026-11-29T01:20:00Z"));
}

#[test]
fn counting_of_missed_slots_ends() {
    let mut world = World::new(&["* * * * *"], NIGHT);
    world.pass();
    world.at("2026-12-28T00:30:00Z");
    let missed = world.status().missed.unwrap();
    assert_eq!((missed.total, missed.at_least), (10_000, Some(true)));
    assert_eq!(missed.last_time.unwrap().0, at("2026-12-28T00:29:00Z"));
    assert_eq!(world.slots(), ["2026-12-28T00:30:00Z"]);
}

#[test]
fn slot_that_is_too_late_is_missed() {
    for (deadline, late, started) in [(0, 60, 1), (0, 61, 0), (600, 660, 1), (600, 661, 0)] {
        let mut world = World::new(&["0 2 * * *"], NIGHT);
        world.edit(|spec| spec.starting_deadline_seconds = Some(deadline)).pass();
        world.now = at("2026-11-28T02:00:00Z") + seconds(late);
        world.pass();
        assert_eq!(world.slots().len(), started, "{deadline} {late}");
        let missed = if started == 0 { (1, Some(MissedReason::TooLate)) } else { (0, None) };
        assert_eq!(world.missed(), missed, "{deadline} {late}");
    }
}

#[test]
fn slot_without_a_deadline_may_start_until_the_next_one_is_due() {
    let mut world = World::new(&["0 2 * * *"], NIGHT);
    world.pass();
    world.at("2026-11-29T01:59:59Z");
    assert_eq!(world.slots(), ["2026-11-28T02:00:00Z"]);
}

#[test]
fn spread_delays_the_start_and_not_the_slot() {
    let mut world = World::new(&["* * * * *"], NIGHT);
    world.edit(|spec| spec.spread_seconds = 3_600).pass();
    let offset = offset("u-1", 3_600);
    assert!(offset > seconds(60), "longer than the period: {offset}");
    world.now = at("2026-11-28T00:31:00Z") + offset - seconds(1);
    world.pass();
    assert_eq!(world.slots().len(), 0);
    world.now += seconds(1);
    world.pass();
    assert_eq!(world.slots(), ["2026-11-28T00:31:00Z"]);
    assert_eq!(world.missed(), (0, None));
    assert_eq!(world.status().next_schedule_time.unwrap().0, at("2026-11-28T00:32:00Z") + offset);
}

#[test]
fn slot_waits_for_the_run_before_and_starts_when_it_has_ended() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T01:00:00Z").at("2026-11-28T02:00:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len()), ("BlockedByRun", 1));
    assert_eq!(world.wake(), Some(at("2026-11-28T03:00:00Z")));
    world.end_runs();
    world.at("2026-11-28T02:40:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len(), world.missed()), ("Scheduled", 2, (0, None)));
}

#[test]
fn slot_that_waited_until_the_next_one_is_missed() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T01:00:00Z").at("2026-11-28T02:00:00Z").at("2026-11-28T03:00:00Z");
    assert_eq!((world.ready().as_str(), world.missed()), ("BlockedByRun", (1, Some(MissedReason::StillRunning))));
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.edit(|spec| spec.starting_deadline_seconds = Some(0)).pass();
    world.at("2026-11-28T01:00:00Z").at("2026-11-28T02:00:00Z");
    assert_eq!(world.wake(), Some(at("2026-11-28T02:01:01Z")));
    world.at("2026-11-28T02:01:01Z");
    assert_eq!((world.ready().as_str(), world.missed()), ("Scheduled", (1, Some(MissedReason::StillRunning))));
}

#[test]
fn allow_starts_beside_a_run() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.edit(|spec| spec.concurrency_policy = ScheduleConcurrency::Allow).pass();
    world.at("2026-11-28T01:00:00Z").at("2026-11-28T02:00:00Z");
    assert_eq!((world.slots().len(), world.record().claims.len()), (2, 2));
}

#[test]
fn slot_beyond_sixteen_claims_is_missed() {
    let mut world = World::new(&["* * * * *"], NIGHT);
    world.edit(|spec| spec.concurrency_policy = ScheduleConcurrency::Allow).pass();
    for _ in 0..18 {
        world.now += seconds(60);
        world.pass();
    }
    assert_eq!((world.slots().len(), world.missed()), (16, (2, Some(MissedReason::TooManyActive))));
}

#[test]
fn run_blocks_until_its_own_deadline() {
    for unresolved in [false, true] {
        let mut world = World::new(&["0 * * * *"], NIGHT);
        world.pass();
        world.at("2026-11-28T01:00:00Z");
        let until = at("2026-11-28T02:20:00Z");
        let run = world.last_run();
        run.progress = if unresolved { Progress::Unresolved(until) } else { Progress::Runs(until) };
        run.phase = Some(if unresolved { Phase::Unresolved } else { Phase::Running });
        world.at("2026-11-28T02:00:00Z");
        assert_eq!((world.ready().as_str(), world.wake()), ("BlockedByRun", Some(until)));
        world.at("2026-11-28T02:20:00Z");
        assert_eq!(world.slots().len(), 2, "{unresolved}");
    }
}

#[test]
fn orphan_and_run_by_hand_block() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T01:00:00Z");
    let run = world.last_run();
    (run.slot, run.controller) = (None, None);
    world.at("2026-11-28T02:00:00Z");
    assert_eq!(world.ready(), "BlockedByRun");
}

#[test]
fn too_many_runs_for_a_person_stop_the_schedule() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.edit(|spec| spec.concurrency_policy = ScheduleConcurrency::Allow).pass();
    world.at("2026-11-28T01:00:00Z");
    let run = world.last_run();
    (run.phase, run.progress) = (Some(Phase::Unresolved), Progress::Unresolved(at("2026-11-28T01:00:00Z")));
    let run = run.clone();
    world.runs.extend((1..20).map(|number| ScheduledRun { name: format!("old-{number}"), uid: format!("o-{number}"), ..run.clone() }));
    world.at("2026-11-28T02:00:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len()), ("TooManyUnresolved", 1));
    world.runs.pop();
    world.at("2026-11-28T02:30:00Z");
    assert_eq!(world.slots().len(), 2);
}

#[test]
fn clock_in_doubt_decides_nothing() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    let before = world.record();
    world.clock_in_doubt = Some("The clock of the operator and that of the API server are 45 s apart.".to_owned());
    world.at("2026-11-28T01:00:00Z");
    assert_eq!((world.ready().as_str(), world.record()), ("ClockInDoubt", before));
    assert_eq!(world.wake(), Some(at("2026-11-28T01:00:30Z")));
    world.clock_in_doubt = None;
    world.at("2026-11-28T01:00:30Z");
    assert_eq!(world.slots().len(), 1);
}

#[test]
fn slot_in_the_future_holds_the_schedule_until_a_person_resets_it() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.pass();
    world.at("2027-11-28T01:00:00Z");
    assert_eq!(world.slots().len(), 1);
    world.end_runs();
    world.at("2026-11-28T01:00:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len()), ("ClockInDoubt", 1));
    world.edit(|spec| spec.suspend = true).at("2026-11-28T01:10:00Z");
    assert_eq!(world.ready(), "Suspended");
    world.edit(|spec| spec.suspend = false).at("2026-11-28T01:20:00Z").at("2026-11-28T02:00:00Z");
    assert_eq!(world.slots(), ["2027-11-28T01:00:00Z", "2026-11-28T02:00:00Z"]);
}

#[test]
fn clock_that_steps_back_starts_no_slot_again() {
    let mut world = World::new(&["* * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T00:31:01Z").end_runs();
    world.at("2026-11-28T00:30:59Z").at("2026-11-28T00:31:00Z").at("2026-11-28T00:31:30Z");
    assert_eq!(world.slots(), ["2026-11-28T00:31:00Z"]);
}

#[test]
fn resume_within_a_small_step_back_starts_no_slot_again() {
    let mut world = World::new(&["* * * * *"], NIGHT);
    world.pass();
    world.at("2026-11-28T00:31:01Z").end_runs();
    world.runs.clear();
    world.edit(|spec| spec.suspend = true).at("2026-11-28T00:30:40Z");
    world.edit(|spec| spec.suspend = false).at("2026-11-28T00:30:50Z").at("2026-11-28T00:31:10Z");
    assert_eq!(world.slots(), ["2026-11-28T00:31:00Z"]);
}

#[test]
fn spec_that_names_no_slot_stalls() {
    for (line, zone, reason) in
        [("61 * * * *", "UTC", "InvalidSchedule"), ("0 * * * *", "Europe/Atlantis", "InvalidTimeZone"), ("0 0 31 2 *", "UTC", "NeverDue")]
    {
        let mut world = World::new(&[line], NIGHT);
        world.edit(|spec| spec.time_zone = zone.to_owned()).pass();
        let status = world.status();
        assert_eq!((world.ready().as_str(), world.wake()), (reason, None));
        assert!(find(&status.conditions, nuvo_crds::conditions::STALLED).is_some(), "{reason}");
        assert!(matches!(world.news.as_slice(), [News::Unwell(..)]), "{:?}", world.news);
    }
}

#[test]
fn runs_that_the_operator_would_not_watch_are_not_started() {
    let mut world = World::new(&["0 * * * *"], NIGHT);
    world.selected = false;
    world.pass();
    world.at("2026-11-28T01:00:00Z");
    assert_eq!((world.ready().as_str(), world.slots().len()), ("NotSelected", 0));
    world.at("2026-11-28T02:00:00Z");
    assert_eq!(world.missed(), (1, Some(MissedReason::NotObserved)));
}

/// A person looks first, for example after etcd was put back to an older revision, and an edit leaves the slots of the past out.
#[test]
fn operator_that_is_held_starts_nothing_and_an_edit_meanwhile_leaves_out_the_past() {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    world.pass();
    world.held = true;
    world.pass();
    world.at("2026-11-28T01:00:00Z");
    assert_eq!((world.slots().len(), world.ready().as_str()), (0, "Suspended"));
    let mut edited = world.clone();
    edited.edit(|spec| spec.suspend = true).at("2026-11-28T01:10:00Z");
    edited.edit(|spec| spec.suspend = false).at("2026-11-28T01:11:00Z");
    edited.held = false;
    edited.at("2026-11-28T01:12:00Z");
    assert_eq!((edited.slots().len(), edited.missed()), (0, (1, Some(MissedReason::ScheduleChanged))));
    world.held = false;
    world.at("2026-11-28T01:12:00Z");
    assert_eq!(world.slots(), ["2026-11-28T01:00:00Z"]);
}

#[test]
fn start_that_is_pending_waits_while_the_operator_is_held() {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    world.pass();
    world.now = at("2026-11-28T01:00:00Z");
    world.acts(3);
    assert!(world.record().pending.is_some());
    world.held = true;
    world.at("2026-11-28T01:05:00Z");
    assert_eq!((world.slots().len(), world.record().pending.is_some()), (0, true));
    world.held = false;
    world.at("2026-11-28T01:06:00Z");
    assert_eq!(world.slots().len(), 1);
}
