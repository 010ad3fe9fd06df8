//! The gate: which run may trigger.

use super::*;
use crate::run::{Scheduled, SlotClaim};

const DUE: &str = "2026-11-28T01:00:00Z";
const NAME: &str = "nightly-20261128t0100";

fn started() -> World {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    world.pass();
    world.at(DUE);
    world
}

fn made_by() -> Scheduled {
    Scheduled { slot: at(DUE), schedule: "nightly".to_owned(), uid: "u-1".to_owned() }
}

fn claim(world: &World, run: &str, uid: &str) -> SlotClaim {
    let schedule = world.object.as_ref().and_then(Schedule::of);
    slot_claim(schedule.as_ref(), &made_by(), run, uid)
}

#[test]
fn claimed_run_may_trigger_and_no_other() {
    let world = started();
    let uid = world.runs[0].uid.clone();
    assert_eq!(claim(&world, NAME, &uid), SlotClaim::Claimed);
    assert_eq!(claim(&world, NAME, "r-late"), SlotClaim::NotClaimed);
    assert_eq!(claim(&world, "copy", &uid), SlotClaim::NotClaimed);
}

#[test]
fn absence_of_a_claim_is_no_permission() {
    let mut world = started();
    let uid = world.runs[0].uid.clone();
    world.object.as_mut().unwrap().status.as_mut().unwrap().claims.clear();
    assert_eq!(claim(&world, NAME, &uid), SlotClaim::NotClaimed);
    world.object.as_mut().unwrap().status = None;
    assert_eq!(claim(&world, NAME, &uid), SlotClaim::Undecided);
}

#[test]
fn run_that_is_pending_waits() {
    let mut world = World::new(&["0 * * * *"], "2026-11-28T00:30:00Z");
    world.pass();
    assert_eq!(claim(&world, NAME, "r-2"), SlotClaim::Undecided, "before its slot is decided");
    world.now = at(DUE);
    world.acts(5);
    assert_eq!(claim(&world, NAME, "r-2"), SlotClaim::Undecided);
    assert_eq!(claim(&world, "copy", "r-3"), SlotClaim::NotClaimed);
}

#[test]
fn run_whose_schedule_is_gone_or_another_one_may_not_trigger() {
    let mut world = started();
    let uid = world.runs[0].uid.clone();
    assert_eq!(slot_claim(None, &made_by(), NAME, &uid), SlotClaim::NotClaimed);
    let mut deleting = world.clone();
    deleting.object.as_mut().unwrap().metadata.deletion_timestamp = Some(Time(at(DUE)));
    assert_eq!(claim(&deleting, NAME, &uid), SlotClaim::NotClaimed);
    world.object.as_mut().unwrap().metadata.uid = Some("u-2".to_owned());
    assert_eq!(claim(&world, NAME, &uid), SlotClaim::NotClaimed);
}

#[test]
fn run_of_a_slot_before_the_anchor_may_not_trigger() {
    let mut world = started();
    let uid = world.runs[0].uid.clone();
    world.object.as_mut().unwrap().status.as_mut().unwrap().claims.clear();
    world.object.as_mut().unwrap().status.as_mut().unwrap().last_slot = None;
    assert_eq!(claim(&world, NAME, &uid), SlotClaim::Undecided);
    world.object.as_mut().unwrap().status.as_mut().unwrap().anchor.as_mut().unwrap().time = Time(at(DUE));
    assert_eq!(claim(&world, NAME, &uid), SlotClaim::NotClaimed);
}
