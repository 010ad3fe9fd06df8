//! Runs that trigger nothing: a `NuvoPipeline` is their controller, or they only follow an execution.

use super::life::{decide, facts, present};
use super::*;
use crate::run::{Account, Begin, Life, Present, RunMemory};
use nuvo_crds::conditions::Reason;

fn mirror() -> Run {
    Run { is_mirror: true, ..run("u1") }
}

fn ends(act: &Act) -> bool {
    matches!(act, Act::Show(StatusChange::Present(StatusInput::Because(Reason::InvalidSpec, _))))
}

/// The next act that is more than a read of the lock, which says this.
fn after_reading(run: &Run, lock: Lock) -> Act {
    let mut facts = facts(Begin::Changed, Some(run.clone()), RunMemory::default());
    let act = decide(&mut facts, &Life::default(), Change::Content);
    assert_eq!(act, Act::Trigger(Step::ReadLock), "no place and no turn is wanted");
    facts.learn(&act, Answered::Trigger(lock_read(lock)));
    decide(&mut facts, &Life::default(), Change::Content)
}

#[test]
fn mirror_is_not_triggered_and_takes_no_lock() {
    for lock in [Lock::default(), held(&run("u2"), "n2", "9")] {
        let act = after_reading(&mirror(), lock);
        assert!(ends(&act), "{act:?}");
    }
    let refused =
        Run { trigger: Some(trigger("n1", 1, TriggerResult::NotExecuted)), marker: Some(marker_of(&mirror(), "n1", 1)), ..mirror() };
    let again = Run { trigger: Some(trigger("n1", 1, TriggerResult::Ambiguous { executed: false })), attempt: 2, ..mirror() };
    for run in [refused, again] {
        let act = after_reading(&run, Lock::default());
        assert!(ends(&act), "{act:?}");
    }
}

#[test]
fn mirror_without_an_account_ends() {
    let mut facts = facts(Begin::Changed, Some(mirror()), RunMemory::default());
    let missing = Present { account: Account::NotReady("missing".into()), lock_is_known: false, ..present(Life::default()) };
    facts.refresh(missing.clone());
    let act = next(&facts);
    facts.learn(&act, Answered::Rendered(Rendered { change: Change::Content, message_hash: 7, ends_lock_need: false }));
    facts.refresh(missing);
    assert!(ends(&next(&facts)), "{:?}", next(&facts));
}

/// A `NuvoPipeline` may become the controller at any time.
#[test]
fn run_that_becomes_a_mirror_on_the_way_is_not_posted() {
    let run = run("u1");
    let mirror = Run { version: "11".into(), ..mirror() };
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(mirror.clone()))));
    assert_eq!(next_step(&o), Step::Hold(Hold::Mirror), "before it takes the lock");

    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Indeterminate);
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(mirror))));
    let step = next_step(&o);
    assert!(matches!(&step, Step::Release { lock, .. } if lock.holder.is_none()), "it gives the lock back: {step:?}");

    let mut o = pass(&run);
    to_marked(&mut o, &run);
    let marked = Run { is_mirror: true, ..o.run().clone() };
    o.learn(&Step::ReadRun, Answer::Run(Some(Box::new(marked))));
    let step = next_step(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::NotExecuted), "{step:?}");
}

#[test]
fn trigger_that_may_be_out_is_looked_into_though_the_run_is_a_mirror_now() {
    let marked = Run { marker: Some(marker_of(&mirror(), "n1", 1)), ..mirror() };
    let mut facts = facts(Begin::Changed, Some(marked), RunMemory::default());
    assert_eq!(decide(&mut facts, &Life::default(), Change::Content), Act::Trigger(Step::ReadRun));
    let act = after_reading(&mirror(), held(&mirror(), "n1", "9"));
    assert!(!ends(&act), "the lock names a delivery: {act:?}");
}

#[test]
fn run_that_only_follows_an_execution_waits_for_no_trigger_and_raises_no_doubt() {
    let observing = Run { observes: true, ..run("u1") };
    let marked = Run { marker: Some(marker_of(&observing, "n1", 1)), ..observing.clone() };
    for run in [observing, marked] {
        assert!(settled(&run) && !undecided(&run) && !awaits_trigger(&run), "{run:?}");
        assert_eq!(next_step(&pass(&run)), Step::Follow);
    }
}
