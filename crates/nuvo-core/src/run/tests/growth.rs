//! Executions that are found before the trigger may be answered no more, and a batch that grows.

use super::looks::*;
use super::*;
use crate::run::trigger::growth;

#[test]
fn doubt_under_a_lock_that_remembers_others_adopts_before_the_answer_is_overdue() {
    let (run, lock) = doubtful_again();
    let seen = || Some(vec![candidate("e1", 100), candidate("claimed", 101)]);
    let (step, memory) = look(&run, &lock, &Memory::default(), 1000, seen());
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))), "the answer has some time");
    let (step, memory) = look(&run, &lock, &memory, 1010, seen());
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))), "one look is not enough");
    let (step, memory) = look(&run, &lock, &memory, 1019, seen());
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(1))), "two looks must be 10 s apart");
    // The POST may still be answered for so long.
    assert_eq!(adopted(&look(&run, &lock, &memory, 1020, seen()).0), (vec![execution("e1")], 45));
    assert_eq!(adopted(&look(&run, &lock, &memory, 1100, seen()).0), (vec![execution("e1")], 0));
}

#[test]
fn batch_may_grow_until_the_quarantine_is_over() {
    let (run, lock) = doubtful_again();
    let two = || Some(vec![candidate("e1", 100), candidate("e2", 101)]);
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, two());
    let (_, memory) = look(&run, &lock, &memory, 1010, two());
    assert_eq!(adopted(&look(&run, &lock, &memory, 1020, two()).0), (vec![execution("e1"), execution("e2")], 945));
    // The lock knows that the pipeline starts several.
    let entry = LedgerOutcome::Started(vec![execution("a"), execution("b")]);
    let mut remembers = lock.clone();
    remembers.ledger.push_back(LedgerEntry {
        uid: Uid::new("u2").unwrap(),
        namespace: None,
        nonce: nonce("n0"),
        entry,
        later: Later::new(),
    });
    let one = || Some(vec![candidate("e1", 100)]);
    let (_, memory) = look(&run, &remembers, &Memory::default(), 1000, one());
    let (_, memory) = look(&run, &remembers, &memory, 1010, one());
    assert_eq!(adopted(&look(&run, &remembers, &memory, 1020, one()).0), (vec![execution("e1")], 945));
}

/// A run whose execution e1 was adopted, and what comes of a look at this list while its trigger may have effects for 40 s.
fn grown(change: impl FnOnce(&mut Run, &mut Lock), list: Option<Vec<Candidate>>) -> Option<Step> {
    let (mut run, mut lock) = doubtful();
    run.trigger = Some(trigger("n1", 1, TriggerResult::Accepted(Evidence::Adopted)));
    run.executions = vec![execution("e1")];
    change(&mut run, &mut lock);
    let mut o = pass(&run);
    loop {
        let step = growth::grow(&o, Duration::from_secs(40))?;
        let answer = match &step {
            Step::ReadRun => Answer::Run(Some(Box::new(run.clone()))),
            Step::ReadLock => lock_read(lock.clone()),
            Step::ReadCandidates => {
                Answer::Candidates(list.clone().map(|candidates| ListedCandidates { candidates, ..ListedCandidates::default() }))
            }
            Step::ReadClaimed => Answer::Claimed(Some(BTreeSet::from([execution("claimed")]))),
            _ => return Some(step),
        };
        o.learn(&step, answer);
    }
}

#[test]
fn adopted_batch_grows_under_its_own_lock_by_what_no_other_run_shows() {
    let list = || Some(vec![candidate("e1", 100), candidate("e2", 101), candidate("claimed", 102), candidate("old", 99)]);
    let step = grown(|_, _| (), list()).unwrap();
    assert!(matches!(&step, Step::Record { over, .. } if over == "10"), "{step:?}");
    // It is known now that the pipeline starts several.
    assert_eq!(adopted(&step), (vec![execution("e1"), execution("e2")], 940));
    let step = grown(|run, _| run.executions.push(execution("e0")), list()).unwrap();
    assert_eq!(adopted(&step), (vec![execution("e1"), execution("e0"), execution("e2")], 40));
    assert_eq!(grown(|_, _| (), None), None, "the list fails");
    assert_eq!(grown(|_, _| (), Some(vec![candidate("e1", 100), candidate("claimed", 101)])), None);
    assert_eq!(grown(|_, lock| *lock = Lock::default(), list()), None, "another run may have the lock since");
    assert_eq!(grown(|_, lock| lock.holder.as_mut().unwrap().acquisition = nonce("n2"), list()), None);
    assert_eq!(grown(|_, lock| lock.holder.as_mut().unwrap().ledger_may_be_lost = true, list()), None);
    assert_eq!(grown(|run, _| run.trigger.as_mut().unwrap().result = TriggerResult::Accepted(Evidence::Answer), list()), None);
    assert_eq!(grown(|run, _| run.marker = None, list()), None);
    assert_eq!(grown(|run, _| run.deleting = true, list()), None);
}
