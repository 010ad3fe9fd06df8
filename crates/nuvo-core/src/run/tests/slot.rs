//! The gate of a run that a schedule made.

use k8s_openapi::jiff::Timestamp;
use nuvo_crds::{PipelineRun, conditions::Reason};
use serde_json::json;

use super::life::{decide, facts};
use super::*;
use crate::run::{Begin, Life, RunMemory, Scheduled, SlotClaim};

fn scheduled() -> Run {
    let made_by = Scheduled { slot: Timestamp::UNIX_EPOCH, schedule: "nightly".to_owned(), uid: "s-1".to_owned() };
    Run { made_by: MadeBy::Schedule(Box::new(made_by)), ..run("u1") }
}

fn after_claim(run: Run, claim: SlotClaim) -> (TriggerFacts, Step) {
    let mut o = pass(&run);
    let step = next_step(&o);
    assert!(matches!(step, Step::ReadClaim(_)), "{step:?}");
    o.learn(&step, Answer::Claim(claim));
    let step = next_step(&o);
    (o, step)
}

#[test]
fn run_of_a_person_needs_no_claim() {
    assert_eq!(next_step(&pass(&run("u1"))), Step::ReadLock);
}

#[test]
fn claimed_run_goes_on_to_its_lock() {
    assert_eq!(after_claim(scheduled(), SlotClaim::Claimed).1, Step::ReadLock);
}

#[test]
fn run_waits_while_its_slot_is_undecided() {
    assert_eq!(after_claim(scheduled(), SlotClaim::Undecided).1, Step::Hold(Hold::SlotUndecided));
}

#[test]
fn run_without_a_claim_ends_without_a_lock() {
    let (mut o, step) = after_claim(scheduled(), SlotClaim::NotClaimed);
    assert_eq!(step, Step::ReadLock, "a delivery that only the lock knows of is looked into");
    o.learn(&step, lock_read(Lock::default()));
    assert_eq!(next_step(&o), Step::Hold(Hold::SlotNotClaimed));
    let (mut o, step) = after_claim(scheduled(), SlotClaim::NotClaimed);
    o.learn(&step, lock_read(held(&run("u2"), "n2", "9")));
    assert_eq!(next_step(&o), Step::Hold(Hold::SlotNotClaimed), "another run holds the lock");
}

#[test]
fn run_without_a_claim_shows_why_it_ended() {
    let mut facts = facts(Begin::Changed, Some(scheduled()), RunMemory::default());
    let mut acts = Vec::new();
    for _ in 0..8 {
        let act = decide(&mut facts, &Life::default(), Change::Content);
        let answer = match &act {
            Act::Trigger(Step::ReadClaim(_)) => Answered::Trigger(Answer::Claim(SlotClaim::NotClaimed)),
            Act::Trigger(Step::ReadLock) => Answered::Trigger(lock_read(Lock::default())),
            Act::Done { .. } => Answered::Account(AccountAnswer::Called),
            _ => {
                acts.push(act);
                break;
            }
        };
        facts.learn(&act, answer);
    }
    let ends = |act: &Act| matches!(act, Act::Show(StatusChange::Present(StatusInput::Because(Reason::SlotNotClaimed, _))));
    assert!(acts.iter().any(ends), "{acts:?}");
}

#[test]
fn annotation_that_cannot_be_read_is_no_permission() {
    let mut o = pass(&Run { made_by: MadeBy::Unreadable, ..run("u1") });
    o.learn(&Step::ReadLock, lock_read(Lock::default()));
    assert_eq!(next_step(&o), Step::Hold(Hold::SlotNotClaimed));
}

#[test]
fn later_attempt_and_trigger_that_may_be_out_pass_the_gate() {
    assert_eq!(next_step(&pass(&Run { attempt: 2, ..scheduled() })), Step::ReadLock);
    let refused = Run { trigger: Some(trigger("n1", 1, TriggerResult::NotExecuted)), ..scheduled() };
    assert_eq!(next_step(&pass(&refused)), Step::ReadLock);
    let marked = Run { marker: Some(marker_of(&run("u1"), "n1", 1)), ..scheduled() };
    assert!(!matches!(next_step(&pass(&marked)), Step::ReadClaim(_) | Step::Hold(Hold::SlotNotClaimed)));
}

#[test]
fn suspended_run_does_not_ask_for_its_claim() {
    assert_eq!(next_step(&pass(&Run { suspended: true, ..scheduled() })), Step::Hold(Hold::Suspended));
}

#[test]
fn slot_and_schedule_are_read_from_the_object() {
    let object = |annotation: &str, kind: &str, controller: bool| -> PipelineRun {
        serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": {
                "name": "nightly-1", "namespace": "team", "uid": "r-1", "resourceVersion": "1",
                "annotations": {"nuvo.dev/scheduled-at": annotation},
                "ownerReferences": [
                    {"apiVersion": "nuvo.dev/v1alpha1", "kind": kind, "name": "nightly", "uid": "s-1", "controller": controller},
                ],
            },
            "spec": {"pipelineId": "orders"},
        }))
        .unwrap()
    };
    let made_by = |object: &PipelineRun| parse(object).unwrap().made_by;
    let slot = "2026-11-28T02:00:00Z";
    let expected = Scheduled { slot: slot.parse().unwrap(), schedule: "nightly".to_owned(), uid: "s-1".to_owned() };
    assert_eq!(made_by(&object(slot, "PipelineSchedule", true)), MadeBy::Schedule(Box::new(expected)));
    assert_eq!(made_by(&object("tonight", "PipelineSchedule", true)), MadeBy::Unreadable);
    assert_eq!(made_by(&object(slot, "PipelineSchedule", false)), MadeBy::Unreadable);
    assert_eq!(made_by(&object(slot, "Job", true)), MadeBy::Unreadable);
    let mut plain = object(slot, "PipelineSchedule", true);
    plain.metadata.annotations = None;
    assert_eq!(made_by(&plain), MadeBy::Other);
}
