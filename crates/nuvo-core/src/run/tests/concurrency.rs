//! `spec.concurrencyPolicy`: a run while another execution of its pipeline runs.

use super::life::{decide, facts};
use super::*;
use crate::run::{Begin, Life, RunMemory};
use nuvo_crds::conditions::Reason;

fn with(policy: ConcurrencyPolicy) -> Run {
    Run { concurrency: policy, ..run("u2") }
}

/// The lock that another run holds, which nuvo has answered with this execution.
fn after_e1(o: &mut TriggerFacts) {
    let first = run("u1");
    let accepted = Run {
        marker: Some(marker_of(&first, "n1", 1)),
        trigger: Some(trigger("n1", 1, TriggerResult::Accepted(Evidence::Answer))),
        executions: vec![execution("e1")],
        ..first.clone()
    };
    answer(o, |s| *s == Step::ReadLock, lock_read(held(&first, "n1", "9")));
    answer(o, |s| matches!(s, Step::ReadHolder(_)), Answer::Holder(Holder::Present(Box::new(accepted))));
}

fn running(o: &mut TriggerFacts, delivered: &[&str], listed: &[&str], ended: &[&str]) {
    let step = next_step(o);
    let Step::ReadRunning(asked) = &step else { panic!("{step:?}") };
    assert_eq!(asked.iter().map(ExecutionId::as_str).collect::<Vec<_>>(), delivered);
    let all = |ids: &[&str]| ids.iter().map(|id| execution(id)).collect();
    o.learn(&step, Answer::Running(RunningExecutions { listed: all(listed), ended: all(ended) }));
}

fn says(o: &mut TriggerFacts, id: &str, state: ExecutionState) {
    answer(o, |s| matches!(s, Step::ReadExecution(_)), Answer::Execution(execution(id), state));
}

fn waits_for(o: &TriggerFacts) -> Vec<String> {
    let Step::Hold(Hold::PipelineRunning(ids)) = next_step(o) else { panic!("{:?}", next_step(o)) };
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn allow_asks_nothing() {
    let mut o = pass(&with(ConcurrencyPolicy::Allow));
    after_e1(&mut o);
    assert_eq!(next_step(&o), Step::ReadBaseline);
}

#[test]
fn queue_waits_for_what_the_lock_knows_although_no_list_shows_it() {
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    after_e1(&mut o);
    running(&mut o, &["e1"], &[], &[]);
    says(&mut o, "e1", ExecutionState::Processing);
    assert_eq!(waits_for(&o), ["e1"]);
}

#[test]
fn queue_waits_for_what_is_not_known_to_have_ended() {
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    after_e1(&mut o);
    running(&mut o, &["e1"], &[], &[]);
    says(&mut o, "e1", ExecutionState::Unclear);
    assert_eq!(waits_for(&o), ["e1"]);
}

#[test]
fn queue_waits_for_an_execution_that_others_have_started() {
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    running(&mut o, &[], &["foreign"], &[]);
    assert_eq!(waits_for(&o), ["foreign"], "the list is enough");
}

#[test]
fn queue_goes_on_when_all_is_known_to_have_ended() {
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    after_e1(&mut o);
    running(&mut o, &["e1"], &["late"], &["e1", "late"]);
    assert_eq!(next_step(&o), Step::ReadBaseline, "a list that lags does not hold it");
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    after_e1(&mut o);
    running(&mut o, &["e1"], &[], &[]);
    says(&mut o, "e1", ExecutionState::Over);
    assert_eq!(next_step(&o), Step::ReadBaseline);
}

#[test]
fn look_from_before_the_lock_was_read_does_not_count() {
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    running(&mut o, &[], &[], &[]);
    o.learn(&Step::ReadLock, lock_read(Lock::default()));
    assert!(matches!(next_step(&o), Step::ReadRunning(_)));
}

#[test]
fn ledger_names_the_last_delivery_that_started_something() {
    let first = run("u1");
    let lock = after(&held(&first, "n1", "9"), LedgerOutcome::Started(vec![execution("e1")]));
    let lock = after(&Lock { ledger: lock.ledger, ..held(&first, "n2", "9") }, LedgerOutcome::Nothing);
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock.clone()));
    running(&mut o, &["e1"], &[], &["e1"]);
    let lock = after(&Lock { ledger: lock.ledger, ..held(&first, "n3", "9") }, LedgerOutcome::Unknown);
    let mut o = pass(&with(ConcurrencyPolicy::Queue));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    running(&mut o, &[], &[], &[]);
}

#[test]
fn reads_by_id_of_one_pass_are_bounded() {
    let ids: Vec<String> = (0..9).map(|number| format!("e{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for policy in [ConcurrencyPolicy::Queue, ConcurrencyPolicy::Skip] {
        let mut o = pass(&with(policy));
        let lock = after(&held(&run("u1"), "n1", "9"), LedgerOutcome::Started(ids.iter().map(|id| execution(id)).collect()));
        answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
        running(&mut o, &ids, &[], &[]);
        let mut reads = 0;
        while let step @ Step::ReadExecution(_) = next_step(&o) {
            let Step::ReadExecution(id) = &step else { continue };
            o.learn(&step, Answer::Execution(id.clone(), ExecutionState::Over));
            reads += 1;
        }
        assert_eq!(reads, 4);
        match policy {
            ConcurrencyPolicy::Queue => assert_eq!(waits_for(&o).len(), 5, "it is told about the others"),
            _ => assert_eq!(next_step(&o), Step::ReadBaseline, "nothing proves that one is running"),
        }
    }
}

#[test]
fn skip_needs_an_answer_by_id_that_one_is_running() {
    for (state, skipped) in [(ExecutionState::Processing, true), (ExecutionState::Over, false), (ExecutionState::Unclear, false)] {
        let mut o = pass(&with(ConcurrencyPolicy::Skip));
        answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
        running(&mut o, &[], &["foreign"], &[]);
        says(&mut o, "foreign", state);
        let wanted = if skipped { Step::Hold(Hold::Skipped(execution("foreign"))) } else { Step::ReadBaseline };
        assert_eq!(next_step(&o), wanted, "{state:?}");
    }
}

#[test]
fn retry_of_a_run_that_skips_waits_instead() {
    let mut o = pass(&with(ConcurrencyPolicy::Skip));
    o.deadline = Some(Duration::from_secs(60));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    running(&mut o, &[], &["foreign"], &[]);
    assert_eq!(waits_for(&o), ["foreign"]);
}

/// A status would put it in doubt, and whether it may start was decided before it took the lock.
#[test]
fn run_that_can_resume_under_its_lock_is_not_held_back_again() {
    let run = with(ConcurrencyPolicy::Queue);
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "n1", "10")));
    assert_eq!(next_step(&o), Step::ReadBaseline);
}

fn decided(policy: ConcurrencyPolicy, listed: &[&str], read: Option<ExecutionState>) -> Act {
    let mut facts = facts(Begin::Changed, Some(with(policy)), RunMemory::default());
    loop {
        let act = decide(&mut facts, &Life::default(), Change::Content);
        let listed = listed.iter().map(|id| execution(id)).collect();
        let answered = match &act {
            Act::Trigger(Step::ReadLock) => Answered::Trigger(lock_read(Lock::default())),
            Act::Done { wishes: Some(Wishes { ask: Ask::Running(_), .. }), .. } => {
                Answered::Account(AccountAnswer::Looked(Answer::Running(RunningExecutions { listed, ..RunningExecutions::default() })))
            }
            Act::Done { wishes: Some(Wishes { ask: Ask::Execution(id), .. }), .. } => {
                Answered::Account(AccountAnswer::Looked(Answer::Execution(id.clone(), read.unwrap())))
            }
            Act::Show(StatusChange::Present(StatusInput::Because(Reason::PipelineRunning, _))) => Answered::Written(Box::new(with(policy))),
            Act::Announce => Answered::Done,
            _ => return act,
        };
        facts.learn(&act, answered);
    }
}

#[test]
fn queued_run_says_why_and_is_told_when_the_execution_ends() {
    let act = decided(ConcurrencyPolicy::Queue, &["e1"], None);
    let Act::Done { wishes: Some(wishes), .. } = &act else { panic!("{act:?}") };
    assert_eq!(wishes.ask, Ask::Nothing, "it has neither a place nor a turn");
    assert_eq!(wishes.follow.as_ref().map(|follow| follow.executions.clone()), Some(vec![execution("e1")]));
}

#[test]
fn skipped_run_ends_as_succeeded() {
    let act = decided(ConcurrencyPolicy::Skip, &["e1"], Some(ExecutionState::Processing));
    assert!(matches!(&act, Act::Show(StatusChange::Present(StatusInput::Because(Reason::Skipped, why))) if why.contains("e1")), "{act:?}");
    let act = decided(ConcurrencyPolicy::Skip, &["e1"], Some(ExecutionState::Over));
    assert!(matches!(act, Act::Done { wishes: Some(Wishes { ask: Ask::Turn, .. }), .. }), "{act:?}");
}
