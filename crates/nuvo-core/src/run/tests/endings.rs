//! How a run ends whose trigger stays in doubt.

use super::looks::*;
use super::*;

#[test]
fn doubt_without_a_usable_list_ends_at_the_deadline_after_the_settle_time() {
    let (run, lock) = doubtful();
    let (passed, left) = (Some(Duration::ZERO), Some(Duration::from_secs(1)));
    let (_, early) = look(&run, &lock, &Memory::default(), 1000, None);
    let one = || Some(vec![candidate("e1", 100)]);
    let (_, memory) = look(&run, &lock, &early, 1355, one());
    let more = Some(vec![candidate("e1", 100), candidate("e2", 101)]);
    for (what, at, deadline, list, ambiguous) in [
        ("the list may still show it", 1364, passed, None, false),
        ("the deadline has not come", 1365, left, None, false),
        ("it has no deadline yet", 100_000, None, None, false),
        ("the list fails until the deadline", 1365, passed, None, true),
        ("what it shows changes with each look", 1365, passed, more, true),
    ] {
        let (step, _) = look_before(deadline, &run, &lock, &memory, at, list);
        assert_eq!(is_ambiguous(&step), ambiguous, "{what}: {step:?}");
        assert!(ambiguous || matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{what}: {step:?}");
    }
    let (step, _) = look_before(passed, &run, &lock, &memory, 1365, one());
    assert!(matches!(&step, Step::Record { executions, .. } if executions == &[execution("e1")]), "what is found counts: {step:?}");
}

/// Also if the deadline is far, or there is none.
#[test]
fn doubt_without_a_complete_look_gives_way_to_a_run_that_waits() {
    let (run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let judged = |others_wait, at, gate| {
        let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), gate, nonce("spare"));
        (o.others_wait, o.deadline) = (others_wait, Some(Duration::from_secs(50_000)));
        o.learn(&Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        if next_step(&o) == Step::ReadCandidates {
            o.learn(&Step::ReadCandidates, Answer::Candidates(None));
            answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock.clone()));
        }
        next_step(&o)
    };
    for gate in [Gate::Open, Gate::AccountNotReady(String::new())] {
        // Fence, POST deadline, settle time and quarantine.
        for (others_wait, at, gives_way) in [(true, 2264, false), (true, 2265, true), (false, 2265, false), (false, 40_000, false)] {
            let step = judged(others_wait, at, gate.clone());
            assert_eq!(is_ambiguous(&step), gives_way, "{others_wait} {at} {gate:?}: {step:?}");
        }
    }
    let wait = judged(false, 2000, Gate::AccountNotReady(String::new()));
    assert_eq!(wait, Step::Hold(Hold::Unconfirmed(Duration::from_secs(265))), "another run may wait then");
}

/// A process begins without its account, and its first list may fail. A moment later it can find out what became of the trigger.
#[test]
fn doubt_that_is_old_at_first_sight_is_given_up_only_once_the_process_has_tried_for_a_while() {
    let (mut run, lock) = doubtful();
    run.marker.as_mut().unwrap().lock = LockName::new("nuvo-orders").ok();
    let deadline = |seconds| Some(Duration::from_secs(seconds));
    let person = Run { answered: Some(nonce("n1")), ..run.clone() };
    for gate in [Gate::Open, Gate::AccountNotReady(String::new())] {
        for (why, run, others_wait, deadline) in [
            ("another run waits", &run, true, deadline(50_000)),
            ("the deadline has passed", &run, false, deadline(0)),
            ("a person has answered", &person, false, deadline(50_000)),
        ] {
            let judged = |memory: &Memory, at: u64| {
                let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), gate.clone(), nonce("spare"));
                (o.others_wait, o.deadline) = (others_wait, deadline);
                loop {
                    let step = next_step(&o);
                    let answer = match &step {
                        Step::ReadRun => Answer::Run(Some(Box::new(run.clone()))),
                        Step::ReadLock => lock_of_age(&lock, Some(9_999)),
                        Step::ReadCandidates => Answer::Candidates(None),
                        _ => return (step.clone(), remember_trigger(&o, &step)),
                    };
                    o.learn(&step, answer);
                }
            };
            let (step, memory) = judged(&Memory::default(), 100_000);
            assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{why}, {gate:?}: {step:?}");
            let (step, memory) = judged(&memory, 100_064);
            assert!(matches!(step, Step::Hold(Hold::Unconfirmed(left)) if left <= Duration::from_secs(10)), "{why}, {gate:?}: {step:?}");
            // Fence and POST deadline.
            let (step, _) = judged(&memory, 100_065);
            assert!(is_ambiguous(&step), "{why}, {gate:?}: {step:?}");
        }
    }
}

#[test]
fn doubt_without_its_account_ends_at_the_deadline() {
    let (mut run, lock) = doubtful();
    let away = |run: &Run, memory: &Memory, at: u64, deadline: u64| {
        let gate = Gate::AccountNotReady("no Secret".into());
        let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), gate, nonce("spare"));
        o.deadline = Some(Duration::from_secs(deadline));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        let step = next_step(&o);
        let memory = remember_trigger(&o, &step);
        (step, memory)
    };
    let wait = |seconds| Step::Hold(Hold::Unconfirmed(Duration::from_secs(seconds)));
    let (step, memory) = away(&run, &Memory::default(), 1000, 0);
    assert_eq!(step, wait(65), "a POST may be under way");
    assert_eq!(away(&run, &memory, 1100, 0).0, wait(265), "the account may come back while the list is still to be watched");
    assert_eq!(away(&run, &memory, 1365, 500).0, wait(500));
    let (step, _) = away(&run, &memory, 1365, 0);
    assert!(is_ambiguous(&step), "{step:?}");
    // Others of the pipeline still wait for the quarantine, and the doubt stays in the ledger.
    let Step::Record { trigger, .. } = step else { panic!() };
    (run.trigger, run.ended) = (Some(trigger), true);
    let lock_holder = lock.holder.unwrap();
    let judged = takeover(&lock_holder, &Holder::Present(Box::new(run.clone())));
    assert_eq!(judged, Takeover::AfterQuarantine(lock_holder.delivery(&nonce("n1"), LedgerOutcome::Unknown)));
    assert!(settled(&run), "and it triggers nothing");
}

#[test]
fn doubt_with_a_list_too_short_ends_after_the_settle_time() {
    let (run, lock) = doubtful();
    let mut without_baseline = lock.clone();
    without_baseline.holder.as_mut().unwrap().baseline = None;
    let newest = |after| ListedCandidates { candidates: vec![candidate("e1", 300)], after: Some(after), ..ListedCandidates::default() };
    for (lock, partial) in [(&lock, newest(200)), (&without_baseline, newest(50)), (&lock, ListedCandidates::of_nothing())] {
        let (_, memory) = look(&run, lock, &Memory::default(), 1000, None);
        let (step, memory) = look_at(None, &run, lock, &memory, 1364, Some(partial.clone()));
        assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))));
        let (step, _) = look_at(None, &run, lock, &memory, 1365, Some(partial));
        let Step::Record { trigger, message, executions, .. } = step else { panic!("{step:?}") };
        assert_eq!((trigger.result, executions), (TriggerResult::Ambiguous { executed: false }, vec![]));
        assert!(message.contains("attributed"), "{message}");
    }
}

#[test]
fn answer_of_a_person_without_a_list_counts_after_the_quarantine() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (step, _) = look(&run, &lock, &memory, 99_999, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "no person has answered: {step:?}");
    run.answered = Some(nonce("n0"));
    let (step, _) = look(&run, &lock, &memory, 99_999, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "the answer is about another trigger: {step:?}");
    run.answered = Some(nonce("n1"));
    let (step, _) = look(&run, &lock, &memory, 1964, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "it may still land: {step:?}");
    let (step, _) = look(&run, &lock, &memory, 1965, None);
    assert!(
        matches!(&step, Step::Record { trigger: t, .. } if *t == trigger("n1", 1, TriggerResult::Ambiguous { executed: false })),
        "{step:?}"
    );
    // What can be found out is found out, whatever the person says.
    let (_, memory) = look(&run, &lock, &memory, 1965, Some(vec![candidate("e1", 100)]));
    let (step, _) = look(&run, &lock, &memory, 1975, Some(vec![candidate("e1", 100)]));
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Accepted(Evidence::Adopted)), "{step:?}");
}
