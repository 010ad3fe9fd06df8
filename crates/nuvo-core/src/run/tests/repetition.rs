//! A trigger in doubt that is repeated (`onAmbiguousTrigger: Retrigger`).

use super::looks::*;
use super::*;

#[test]
fn trigger_is_repeated_when_two_looks_after_the_quarantine_show_no_execution_of_the_pipeline() {
    let (run, lock) = repeating();
    let old = || Some(vec![candidate("known", 100), candidate("old", 99)]);
    let (_, mut memory) = look(&run, &lock, &Memory::default(), 1000, None);
    for (what, at, list, repeated) in [
        ("the settle time is over", 1365, old(), false),
        ("the quarantine is not", 1964, old(), false),
        ("a list that fails concludes nothing", 1965, None, false),
        ("one look is not enough", 1970, old(), false),
        ("the looks are too near to each other", 1979, old(), false),
        ("a list that fails in between does not matter", 1980, None, false),
        ("two looks agree", 1981, old(), true),
    ] {
        let (step, after) = look(&run, &lock, &memory, at, list);
        assert_eq!(is_repeated(&step), repeated, "{what}: {step:?}");
        assert!(repeated || matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{what}: {step:?}");
        memory = after;
    }
}

#[test]
fn look_that_began_before_the_end_of_the_quarantine_proves_nothing_about_a_repetition() {
    let (run, lock) = repeating();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let aged = |age| Some(ListedCandidates { age: Duration::from_secs(age), ..ListedCandidates::default() });
    let (step, memory) = look_at(None, &run, &lock, &memory, 1970, aged(6));
    assert_eq!((&step, memory.inquiry.as_ref().unwrap().absent), (&Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))), None));
    let (_, memory) = look_at(None, &run, &lock, &memory, 1970, aged(5));
    assert!(is_repeated(&look_at(None, &run, &lock, &memory, 1980, aged(0)).0));
}

#[test]
fn execution_of_anybody_keeps_the_trigger_from_being_repeated() {
    let (run, lock) = repeating();
    let others = [
        Candidate { by_us: false, ..candidate("other", 101) },
        Candidate { manual: false, ..candidate("scheduled", 101) },
        Candidate { by_us: false, created: None, ..candidate("undated", 0) },
        candidate("claimed", 101),
    ];
    for other in others {
        let list = || Some(vec![other.clone()]);
        let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
        let (_, memory) = look(&run, &lock, &memory, 1100, list());
        let (step, _) = look(&run, &lock, &memory, 1365, list());
        assert!(is_ambiguous(&step) && !is_repeated(&step), "{other:?}: {step:?}");
        // One that was started during the quarantine.
        let (_, memory) = look(&run, &lock, &memory, 1966, Some(vec![]));
        let (step, _) = look(&run, &lock, &memory, 1986, list());
        assert!(!is_repeated(&step), "{other:?}: {step:?}");
    }
    let mut remembered = lock.clone();
    remembered.ledger.push_back(LedgerEntry {
        uid: Uid::new("u2").unwrap(),
        namespace: None,
        nonce: nonce("n0"),
        entry: LedgerOutcome::Started(vec![execution("of-another-run")]),
        later: Later::new(),
    });
    let (_, memory) = look(&run, &remembered, &Memory::default(), 1000, None);
    let list = || Some(vec![candidate("of-another-run", 101)]);
    let (_, memory) = look(&run, &remembered, &memory, 1966, list());
    assert!(is_repeated(&look(&run, &remembered, &memory, 1976, list()).0), "the lock accounts for it");
}

#[test]
fn trigger_is_repeated_only_with_a_whole_record_in_time_and_if_nuvo_has_not_said_yes() {
    let (run, lock) = repeating();
    let mut without_baseline = lock.clone();
    without_baseline.holder.as_mut().unwrap().baseline = None;
    let mut young = lock.clone();
    young.holder.as_mut().unwrap().ledger_may_be_lost = true;
    let executed = Run { marker: Some(Marker { executed: true, ..marker_of(&run, "n1", 1) }), ..run.clone() };
    let left = Some(Duration::from_secs(1));
    for (what, run, lock, deadline) in [
        ("the policy", Run { retriggers: false, ..run.clone() }, lock.clone(), left),
        ("nuvo has said yes", executed, lock.clone(), left),
        ("it is being deleted", Run { deleting: true, ..run.clone() }, lock.clone(), left),
        ("no baseline", run.clone(), without_baseline, left),
        ("the ledger may be lost", run.clone(), young, left),
        ("the deadline has passed", run.clone(), lock, Some(Duration::ZERO)),
    ] {
        let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
        let (step, _) = look_before(deadline, &run, &lock, &memory, 1365, Some(vec![]));
        let open = matches!(&step, Step::Record { follow_up: FollowUp::OpenFor(left), .. } if left.as_secs() == 600);
        assert!(open && !is_repeated(&step), "{what}: {step:?}");
    }
}
