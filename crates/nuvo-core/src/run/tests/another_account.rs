//! A trigger in doubt whose account is another one by now.

use super::life::{facts, present};
use super::looks::*;
use super::*;
use crate::run::{Account, Begin, Life, Present, RunMemory};

fn account(text: &str) -> Option<AccountHash> {
    Some(AccountHash::new(text).unwrap())
}

/// The same with the account of its trigger.
fn of_account(run: Run) -> Run {
    Run { marker: run.marker.map(|marker| Marker { account: account("first"), ..marker }), ..run }
}

#[test]
fn list_of_another_account_concludes_nothing() {
    let (run, lock) = repeating();
    let run = of_account(run);
    let list = |account| Some(ListedCandidates { account, ..ListedCandidates::default() });
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    for (what, shown, repeated) in
        [("another", account("second"), false), ("the same", account("first"), true), ("one that does not say", None, true)]
    {
        let (_, memory) = look_at(None, &run, &lock, &memory, 1970, list(shown.clone()));
        let (step, _) = look_at(None, &run, &lock, &memory, 1980, list(shown));
        assert_eq!(is_repeated(&step), repeated, "{what}: {step:?}");
    }
}

#[test]
fn run_in_doubt_whose_account_is_another_one_waits_for_it_or_for_a_person() {
    let (run, _) = doubtful();
    let of = |run: &Run, hash| {
        let mut f = facts(Begin::Changed, Some(run.clone()), RunMemory::default());
        f.refresh(Present { account: Account::Ready { trigger_pause: None, account: hash }, ..present(Life::default()) });
        f.observed().unwrap().gate.clone()
    };
    let marked = of_account(run.clone());
    let Gate::AccountNotReady(why) = of(&marked, account("second")) else { panic!() };
    assert!(why.contains("another identity or another base URL"), "{why}");
    assert_eq!(of(&marked, account("first")), Gate::Open);
    assert_eq!(of(&run, account("second")), Gate::Open, "a marker of the first releases does not say");
    let decided = Run { trigger: Some(trigger("n1", 1, TriggerResult::NotExecuted)), ..marked };
    assert_eq!(of(&decided, account("second")), Gate::Open, "its next trigger is for the account that it has now");
}

#[test]
fn answer_of_a_person_without_the_account_counts_after_the_quarantine() {
    let (run, lock) = doubtful();
    let run = Run { answered: Some(nonce("n1")), ..run };
    let at = |memory: &Memory, at: u64| {
        let gate = Gate::AccountNotReady("it is another one".into());
        let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), gate, nonce("spare"));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        if next_step(&o) == Step::ReadLock {
            o.learn(&Step::ReadLock, lock_read(lock.clone()));
        }
        (next_step(&o), remember_trigger(&o, &next_step(&o)))
    };
    let (_, memory) = at(&Memory::default(), 1000);
    assert!(matches!(at(&memory, 1964).0, Step::Hold(Hold::Unconfirmed(_))));
    assert!(is_ambiguous(&at(&memory, 1965).0));
}
