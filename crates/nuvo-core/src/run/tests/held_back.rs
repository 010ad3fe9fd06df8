//! A run that cannot go on, while another one waits for the lock that it holds.

use super::life::{self, facts};
use super::*;
use crate::run::{Account, Begin, Life, Present, RunMemory};
use nuvo_crds::conditions::Reason;

const NOW: Duration = Duration::from_secs(1_000);

fn awaited() -> RunMemory {
    RunMemory { awaited: Some(LockName::new("nuvo-1").unwrap()), ..RunMemory::default() }
}

fn suspended() -> Run {
    Run { suspended: true, ..run("u1") }
}

/// The steps of a pass that is asked like this, until it wants something else than a step, with these answers.
fn decide(facts: &mut Facts, present: &Present) -> Act {
    for _ in 0..10 {
        facts.refresh(present.clone());
        let act = next(facts);
        match &act {
            Act::Render(_) => {
                facts.learn(&act, Answered::Rendered(Rendered { change: Change::None, message_hash: 7, ends_lock_need: false }))
            }
            Act::Done { wishes: Some(Wishes { ask: Ask::Place, .. }), .. } => facts.learn(&act, Answered::Account(AccountAnswer::Called)),
            _ => return act,
        }
    }
    panic!("it goes on again and again: {facts:?}");
}

fn ready() -> Present {
    life::present(Life::default())
}

/// The account is gone. The lock is known because another run waits for it.
fn gone() -> Present {
    Present { account: Account::NotReady("it does not exist".into()), ..ready() }
}

#[test]
fn held_back_run_that_is_not_awaited_does_not_look_at_its_lock() {
    for (run, present) in [(suspended(), ready()), (run("u1"), gone())] {
        let mut facts = facts(Begin::Changed, Some(run), RunMemory::default());
        assert!(matches!(decide(&mut facts, &present), Act::Done { .. }));
    }
}

/// Those who wait for the lock are not woken, because they would wake this run again.
#[test]
fn held_back_run_that_does_not_hold_the_lock_waits() {
    let mut facts = facts(Begin::Changed, Some(suspended()), awaited());
    let act = decide(&mut facts, &ready());
    assert_eq!(act, Act::Trigger(Step::ReadLock));
    facts.learn(&act, Answered::Trigger(lock_read(held(&run("u2"), "n2", "9"))));
    assert!(matches!(decide(&mut facts, &ready()), Act::Done { .. }));
}

/// A write to the run has followed its W1: it may have been the marker, which was wiped since.
#[test]
fn suspended_run_in_doubt_looks_for_what_it_has_started_when_it_is_awaited() {
    let mut facts = facts(Begin::Changed, Some(suspended()), awaited());
    let act = decide(&mut facts, &ready());
    facts.learn(&act, Answered::Trigger(lock_of_age(&held(&run("u1"), "n1", "9"), Some(600))));
    let act = decide(&mut facts, &ready());
    assert_eq!(act, Act::Trigger(Step::ReadRun));
    facts.learn(&act, Answered::Trigger(Answer::Run(Some(Box::new(suspended())))));
    assert!(matches!(decide(&mut facts, &ready()), Act::Done { wishes: Some(Wishes { ask: Ask::Candidates { .. }, .. }), .. }));
}

/// Another task may be about to announce its POST: only a marker can prevent that.
#[test]
fn run_without_an_account_that_could_resume_records_that_nothing_was_sent() {
    let run = run("u1");
    let mut facts = facts(Begin::Changed, Some(run.clone()), awaited());
    let mut answered = |expected: fn(&Step) -> bool, answer: Answer| {
        let act = decide(&mut facts, &gone());
        assert!(matches!(&act, Act::Trigger(step) if expected(step)), "{act:?}");
        facts.learn(&act, Answered::Trigger(answer));
        act
    };
    answered(|step| *step == Step::ReadLock, lock_read(held(&run, "n1", "10")));
    answered(|step| *step == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let taken = answered(|step| matches!(step, Step::TakeLock { .. }), Answer::Written("8".into()));
    let Act::Trigger(Step::TakeLock { lock, .. }) = taken else { panic!("{taken:?}") };
    assert_eq!(lock.holder.as_ref().map(|holder| (&holder.nonce, &holder.acquisition)), Some((&nonce("spare"), &nonce("n1"))));
    answered(|step| matches!(step, Step::Mark { .. }), Answer::Written("11".into()));
    let act = decide(&mut facts, &gone());
    assert!(matches!(&act, Act::Trigger(Step::Record { trigger, .. }) if trigger.result == TriggerResult::NotExecuted), "{act:?}");
}

/// A marker that was wiped on the way: a person decides, and no account is needed to say so.
#[test]
fn run_without_an_account_whose_record_is_incomplete_says_so_when_it_is_awaited() {
    let run = Run { trigger: Some(trigger("n1", 1, TriggerResult::NotExecuted)), ..run("u1") };
    let mut facts = facts(Begin::Changed, Some(run.clone()), awaited());
    let act = decide(&mut facts, &gone());
    assert_eq!(act, Act::Trigger(Step::ReadLock));
    facts.learn(&act, Answered::Trigger(lock_read(held(&run, "n1", "9"))));
    facts.refresh(gone());
    let act = next(&facts);
    assert!(matches!(act, Act::Render(StatusChange::Present(StatusInput::Because(Reason::StatusLost, _)))), "{act:?}");
}

/// The process that comes next settles it.
#[test]
fn awaited_run_begins_nothing_while_the_operator_stops() {
    let mut facts = facts(Begin::Changed, Some(suspended()), awaited());
    let stopping = Present { stopping_for: Some(Duration::ZERO), ..ready() };
    assert!(matches!(decide(&mut facts, &stopping), Act::Done { .. }));
}

#[test]
fn post_of_a_run_that_is_held_back_on_the_way_is_not_sent() {
    for gate in [Gate::AccountNotReady("it was deleted".into()), Gate::RateLimited("nuvo asked for a pause".into())] {
        let run = run("u1");
        let mut o = pass(&run);
        to_marked(&mut o, &run);
        o.gate = gate;
        assert!(matches!(next_step(&o), Step::Record { trigger, .. } if trigger.result == TriggerResult::NotExecuted));
    }
}

/// What a task has written it must know before it goes on.
#[test]
fn task_whose_account_is_gone_reads_the_run_after_a_write_without_an_answer() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(PostOutcome::Accepted(vec![execution("e1")])));
    answer(&mut o, |s| matches!(s, Step::Record { .. }), Answer::Indeterminate);
    o.rest_on_cache();
    assert_eq!((next_step(&o), o.now), (Step::ReadRun, NOW));
}
