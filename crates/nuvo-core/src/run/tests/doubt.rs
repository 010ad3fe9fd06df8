//! A run in doubt: how it is looked into, and how it ends.

use k8s_openapi::jiff::Timestamp;

use super::life::{facts, present};
use super::*;
use crate::run::trigger::growth;
use crate::run::{Account, Begin, Life, Present, RunMemory};
use nuvo_crds::conditions::Reason;

#[test]
fn doubt_behind_older_runs_of_its_account_is_shown() {
    let reason = |run: &Run| match queued(run) {
        StatusInput::Because(reason, _) => reason,
        StatusInput::Settled(..) => panic!("it waits"),
    };
    let (doubtful, _) = doubtful();
    assert_eq!(reason(&doubtful), Reason::TriggerUnconfirmed);
    assert_eq!(reason(&Run { marker: None, ..doubtful }), Reason::RateLimited);
}

fn doubtful() -> (Run, Lock) {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    let mut lock = held(&run, "n1", "9");
    lock.holder.as_mut().unwrap().baseline = Some(Baseline { newest: Some(100), ids: vec!["h-known".into()] });
    (run, lock)
}

/// One look into the trigger in doubt at this time; the memory is carried on.
fn look(run: &Run, lock: &Lock, memory: &Memory, at: u64, list: Option<Vec<Candidate>>) -> (Step, Memory) {
    look_before(None, run, lock, memory, at, list)
}

/// The same, this long before the deadline.
fn look_before(
    deadline: Option<Duration>,
    run: &Run,
    lock: &Lock,
    memory: &Memory,
    at: u64,
    list: Option<Vec<Candidate>>,
) -> (Step, Memory) {
    look_at(deadline, run, lock, memory, at, list.map(|candidates| ListedCandidates { candidates, ..ListedCandidates::default() }))
}

/// The same, at any list.
fn look_at(deadline: Option<Duration>, run: &Run, lock: &Lock, memory: &Memory, at: u64, list: Option<ListedCandidates>) -> (Step, Memory) {
    let (step, memory, _) = look_counting_reads_of_others(deadline, run, lock, memory, at, list);
    (step, memory)
}

/// The same, with how often the other runs were read.
fn look_counting_reads_of_others(
    deadline: Option<Duration>,
    run: &Run,
    lock: &Lock,
    memory: &Memory,
    at: u64,
    list: Option<ListedCandidates>,
) -> (Step, Memory, usize) {
    let mut reads = 0_usize;
    let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), Gate::Open, nonce("spare"));
    o.deadline = deadline;
    loop {
        let step = next_step(&o);
        let answer = match &step {
            Step::ReadRun => Answer::Run(Some(Box::new(run.clone()))),
            Step::ReadLock => lock_read(lock.clone()),
            Step::ReadBaseline => Answer::Baseline(Some(Baseline::default())),
            Step::ReadCandidates => Answer::Candidates(list.clone()),
            Step::ReadClaimed => {
                reads = reads.saturating_add(1);
                Answer::Claimed(Some(BTreeSet::from([execution("claimed")])))
            }
            _ => {
                let memory = remember_trigger(&o, &step);
                return (step, memory, reads);
            }
        };
        o.learn(&step, answer);
    }
}

#[test]
fn doubt_settled_by_another_operator_is_forgotten() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    assert!(memory.inquiry.is_some());
    run.trigger = Some(trigger("n1", 1, TriggerResult::NotExecuted));
    let mut o = TriggerFacts::new(run.clone(), memory, limits(), Duration::from_secs(1001), Gate::Open, nonce("spare"));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    assert_eq!(next_step(&o), Step::Restart);
    let memory = remember_trigger(&o, &Step::Restart);
    assert_eq!(memory, Memory::default());
    let o = TriggerFacts::new(run, memory, limits(), Duration::from_secs(1002), Gate::Open, nonce("spare"));
    assert_eq!(next_step(&o), Step::ReadLock, "a pass that may trigger begins");
}

#[test]
fn doubt_known_to_this_process_only_becomes_ambiguous_and_never_looks_new() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    run.marker = None;
    let (step, _) = look(&run, &Lock::default(), &memory, 1100, Some(vec![candidate("e1", 100)]));
    assert!(
        matches!(&step, Step::Record { trigger: t, .. } if *t == trigger("n1", 1, TriggerResult::Ambiguous { executed: false })),
        "{step:?}"
    );
    // Another attempt that a person has opened is not held up by it.
    run.trigger = Some(trigger("n1", 1, TriggerResult::NotExecuted));
    run.attempt = 2;
    let (step, memory) = look(&run, &Lock::default(), &memory, 1100, Some(vec![]));
    assert_eq!((step, memory), (Step::Restart, Memory::default()));
}

#[test]
fn run_rolled_back_behind_its_lock_is_a_doubt_that_ends() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    run.trigger = Some(trigger("n1", 1, TriggerResult::NotExecuted));
    let lock = held(&run, "n2", "9");
    assert!(matches!(verdict(&run, &lock), Verdict::InDoubt(_)));
    let (step, memory) = look(&run, &lock, &Memory::default(), 1000, Some(vec![]));
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{step:?}");
    let (step, _) = look(&run, &lock, &memory, 2000, Some(vec![]));
    let Step::Record { trigger: found, .. } = step else { panic!("{step:?}") };
    assert_eq!(found, trigger("n2", 1, TriggerResult::Ambiguous { executed: false }));
    run.trigger = Some(found);
    run.ended = true;
    assert!(settled(&run), "it stays ended, though its marker names the delivery before");
}

#[test]
fn doubt_adopts_what_two_looks_agree_on() {
    let (run, lock) = doubtful();
    let seen = Some(vec![candidate("e1", 100), candidate("known", 100), candidate("old", 99), candidate("claimed", 101)]);
    let (step, memory) = look(&run, &lock, &Memory::default(), 1000, seen.clone());
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(65))), "no look before a late POST must have ended");
    let (step, memory) = look(&run, &lock, &memory, 1065, seen.clone());
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))), "one look is not enough");
    let (step, memory) = look(&run, &lock, &memory, 1070, seen.clone());
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "two looks must be 10 s apart: {step:?}");
    let (step, _) = look(&run, &lock, &memory, 1075, seen);
    assert!(
        matches!(&step, Step::Record { trigger, executions, .. }
        if trigger.result == TriggerResult::Accepted(Evidence::Adopted) && executions == &[execution("e1")]),
        "{step:?}"
    );
}

/// The same under a lock that remembers an earlier delivery.
fn doubtful_again() -> (Run, Lock) {
    let (run, mut lock) = doubtful();
    lock.ledger.push_back(LedgerEntry {
        uid: Uid::new("u0").unwrap(),
        namespace: None,
        nonce: nonce("n0"),
        entry: LedgerOutcome::Nothing,
        later: Later::new(),
    });
    (run, lock)
}

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

/// What is adopted, and for how many seconds the trigger may have more effects.
fn adopted(step: &Step) -> (Vec<ExecutionId>, u64) {
    let Step::Record { trigger, executions, follow_up: FollowUp::OpenFor(left), .. } = step else { panic!("{step:?}") };
    assert_eq!(trigger.result, TriggerResult::Accepted(Evidence::Adopted));
    (executions.clone(), left.as_secs())
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

#[test]
fn nothing_is_concluded_from_what_is_missing_while_the_trigger_may_be_answered() {
    let (run, lock) = doubtful_again();
    let (step, memory) = look(&run, &Lock::default(), &Memory::default(), 1000, Some(vec![]));
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(65))), "the lock is gone");
    assert!(is_ambiguous(&look(&run, &Lock::default(), &memory, 1065, Some(vec![])).0));
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, Some(vec![]));
    let (step, _) = look(&run, &lock, &memory, 1064, Some(vec![]));
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))), "{step:?}");
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

#[test]
fn doubt_reads_other_runs_once_before_it_adopts() {
    let (run, lock) = doubtful();
    let (_, mut memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let shown = |candidates| Some(ListedCandidates { candidates, ..ListedCandidates::default() });
    let short = Some(ListedCandidates { candidates: vec![candidate("e1", 100)], after: Some(200), ..ListedCandidates::default() });
    let excluded = || shown(vec![candidate("known", 100), candidate("old", 99), Candidate { by_us: false, ..candidate("other", 101) }]);
    for (what, at, list, wanted) in [
        ("the list fails", 1065, None, 0),
        ("the list is too short", 1075, short, 0),
        ("nothing is listed", 1085, shown(vec![]), 0),
        ("what is listed was not started by this trigger", 1095, excluded(), 0),
        ("one look is not enough", 1105, shown(vec![candidate("e1", 100)]), 0),
        ("the looks are too near to each other", 1110, shown(vec![candidate("e1", 100)]), 0),
        ("it was listed first just now", 1115, shown(vec![candidate("e1", 100), candidate("e2", 101)]), 0),
        ("it is about to be adopted", 1125, shown(vec![candidate("e1", 100), candidate("e2", 101)]), 1),
    ] {
        let (step, after, reads) = look_counting_reads_of_others(None, &run, &lock, &memory, at, list);
        assert_eq!((reads, matches!(step, Step::Record { .. })), (wanted, wanted == 1), "{what}: {step:?}");
        memory = after;
    }
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (step, _, reads) = look_counting_reads_of_others(None, &run, &lock, &memory, 1365, excluded());
    assert_eq!((is_ambiguous(&step), reads), (true, 0), "{step:?}");
}

#[test]
fn doubt_about_what_another_run_shows_becomes_ambiguous_after_the_settle_time() {
    let (run, lock) = doubtful();
    let claimed = || Some(vec![candidate("claimed", 101)]);
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look(&run, &lock, &memory, 1065, claimed());
    let (step, memory) = look(&run, &lock, &memory, 1364, claimed());
    assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))), "its own may still be listed");
    let (step, _) = look(&run, &lock, &memory, 1365, claimed());
    assert!(is_ambiguous(&step), "{step:?}");
}

#[test]
fn conflicting_result_is_concluded_anew_from_what_other_runs_show_by_then() {
    let (run, lock) = doubtful();
    let candidates =
        || Answer::Candidates(Some(ListedCandidates { candidates: vec![candidate("e1", 100)], ..ListedCandidates::default() }));
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look(&run, &lock, &memory, 1100, Some(vec![candidate("e1", 100)]));
    let mut o = TriggerFacts::new(run.clone(), memory, limits(), Duration::from_secs(1200), Gate::Open, nonce("spare"));
    let to_others = |o: &mut TriggerFacts| {
        answer(o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        answer(o, |s| *s == Step::ReadCandidates, candidates());
        answer(o, |s| *s == Step::ReadLock, lock_read(lock.clone()));
    };
    to_others(&mut o);
    answer(&mut o, |s| *s == Step::ReadClaimed, Answer::Claimed(Some(BTreeSet::new())));
    answer(&mut o, |s| matches!(s, Step::Record { .. }), Answer::Indeterminate);
    to_others(&mut o);
    answer(&mut o, |s| *s == Step::ReadClaimed, Answer::Claimed(Some(BTreeSet::from([execution("e1")]))));
    assert!(matches!(next_step(&o), Step::Hold(Hold::Unconfirmed(_))), "{:?}", next_step(&o));
}

#[test]
fn nothing_is_adopted_while_not_all_other_runs_can_be_read() {
    let (run, lock) = doubtful();
    let seen = || ListedCandidates { candidates: vec![candidate("e1", 100)], ..ListedCandidates::default() };
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look(&run, &lock, &memory, 1100, Some(vec![candidate("e1", 100)]));
    let concluded = |at| {
        let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), Gate::Open, nonce("spare"));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        answer(&mut o, |s| *s == Step::ReadCandidates, Answer::Candidates(Some(seen())));
        answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock.clone()));
        answer(&mut o, |s| *s == Step::ReadClaimed, Answer::Claimed(None));
        next_step(&o)
    };
    assert!(matches!(concluded(1200), Step::Hold(Hold::Unconfirmed(_))), "{:?}", concluded(1200));
    let later = concluded(2000);
    assert!(matches!(&later, Step::Record { trigger, .. } if trigger.result == TriggerResult::Ambiguous { executed: false }), "{later:?}");
}

#[test]
fn conflicting_result_is_concluded_anew_and_not_written_over_the_other() {
    let (mut run, lock) = doubtful();
    let seen = Some(vec![candidate("e1", 100)]);
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look(&run, &lock, &memory, 1100, seen.clone());
    let mut o = TriggerFacts::new(run.clone(), memory, limits(), Duration::from_secs(1200), Gate::Open, nonce("spare"));
    let candidates =
        || Answer::Candidates(Some(ListedCandidates { candidates: vec![candidate("e1", 100)], ..ListedCandidates::default() }));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::ReadCandidates, candidates());
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    answer(&mut o, |s| *s == Step::ReadClaimed, Answer::Claimed(Some(BTreeSet::new())));
    answer(
        &mut o,
        |s| matches!(s, Step::Record { trigger, .. } if trigger.result == TriggerResult::Accepted(Evidence::Adopted)),
        Answer::Indeterminate,
    );
    // Meanwhile the lock has been taken anew, for another delivery.
    run.marker = None;
    run.version = "20".into();
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::ReadCandidates, candidates());
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "n2", "20")));
    assert!(matches!(next_step(&o), Step::Hold(Hold::Unconfirmed(_))), "{:?}", next_step(&o));
}

#[test]
fn doubt_without_a_trace_becomes_ambiguous_after_the_settle_time() {
    let (run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (step, memory) = look(&run, &lock, &memory, 1364, Some(vec![]));
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{step:?}");
    let (step, memory) = look(&run, &lock, &memory, 1365, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "a failed list concludes nothing: {step:?}");
    let (step, _) = look(&run, &lock, &memory, 1366, Some(vec![]));
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Ambiguous { executed: false }), "{step:?}");
}

/// A run in doubt that triggers again, and its lock.
fn repeating() -> (Run, Lock) {
    let (run, lock) = doubtful();
    (Run { retriggers: true, ..run }, lock)
}

fn is_repeated(step: &Step) -> bool {
    let is_next = |step: &Step| matches!(step, Step::Record { follow_up: FollowUp::NextAttempt, .. });
    is_ambiguous(step) && is_next(step)
}

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

#[test]
fn doubt_says_what_is_known_of_it_and_what_follows() {
    let (run, lock) = repeating();
    let message = |o: &TriggerFacts| {
        let Some(StatusInput::Because(Reason::TriggerUnconfirmed, message)) =
            waiting(o, &Hold::Unconfirmed(Duration::ZERO), Timestamp::UNIX_EPOCH)
        else {
            panic!()
        };
        assert!(message.len() < 1_024 && message.contains("\"n1:retry\""), "{message}");
        message
    };
    let of = |run: &Run, memory: &Memory, at| {
        TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), Gate::Open, nonce("spare"))
    };
    let mut sent = of(&run, &Memory::default(), 1000);
    sent.task = Task::Posted(
        Grant {
            nonce: nonce("n1"),
            acquisition: nonce("n1"),
            attempt: 1,
            since: Duration::ZERO,
            reacquired: false,
            run_version: "9".into(),
        },
        PostOutcome::Unknown { message: "nuvo answered with status 502".repeat(40) },
    );
    let said = message(&sent);
    assert!(said.contains("status 502") && said.contains("about 1970-01-01T00:17:00Z, the pipeline is triggered again"), "{said}");
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look_at(None, &run, &lock, &memory, 1100, Some(ListedCandidates::of_nothing()));
    let blind = message(&of(&run, &memory, 1100));
    assert!(blind.contains("no complete list"), "{blind}");
    let anonymous = Some(ListedCandidates { is_anonymous: true, ..ListedCandidates::default() });
    let (_, memory) = look_at(None, &run, &lock, &memory, 1110, anonymous);
    let complete = message(&of(&run, &memory, 1110));
    assert!(complete.contains("has shown nothing of it") && complete.contains("not known as whom"), "{complete}");
    assert_eq!(complete, message(&of(&run, &memory, 1110)), "it changes only with what is known");
    let person = message(&of(&Run { retriggers: false, ..run.clone() }, &memory, 1110));
    assert!(person.contains("a person has to decide") && person.contains("not sent again"), "{person}");
    let (step, _) = look(&Run { retriggers: false, ..run }, &lock, &memory, 1400, Some(vec![]));
    let Step::Record { message, .. } = &step else { panic!("{step:?}") };
    assert!(message.contains("Looks at the list: 3, of them complete: 2."), "{message}");
}

fn is_ambiguous(step: &Step) -> bool {
    matches!(step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Ambiguous { executed: false })
}

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

#[test]
fn doubt_says_how_a_person_can_end_it() {
    let (run, _) = doubtful();
    let o = TriggerFacts::new(run, Memory::default(), limits(), Duration::from_secs(1000), Gate::Open, nonce("spare"));
    let Some(StatusInput::Because(_, message)) = waiting(&o, &Hold::Unconfirmed(Duration::ZERO), Timestamp::UNIX_EPOCH) else { panic!() };
    for word in ["not sent again", "\"n1:retry\"", "\"n1:adopt=", "\"n1:abandon\"", "--quarantine-seconds"] {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// A process that has just begun looks into a trigger whose lock has this age before the look, and this one after it.
fn look_of_a_new_process(run: &Run, lock: &Lock, ages: [u64; 2]) -> Step {
    let mut o = TriggerFacts::new(run.clone(), Memory::default(), limits(), Duration::from_secs(100_000), Gate::Open, nonce("spare"));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::ReadLock, lock_of_age(lock, Some(ages[0])));
    if next_step(&o) == Step::ReadCandidates {
        o.learn(&Step::ReadCandidates, Answer::Candidates(Some(ListedCandidates::default())));
        o.now = o.now.saturating_add(Duration::from_secs(ages[1].saturating_sub(ages[0])));
        answer(&mut o, |s| *s == Step::ReadLock, lock_of_age(lock, Some(ages[1])));
    }
    next_step(&o)
}

#[test]
fn doubt_that_the_age_of_its_lock_shows_to_be_old_is_over_at_first_sight() {
    let (run, lock) = doubtful();
    let wait = |seconds| Step::Hold(Hold::Unconfirmed(Duration::from_secs(seconds)));
    // Fence, POST deadline and what clocks may be apart; then the settle time.
    assert_eq!(look_of_a_new_process(&run, &lock, [124, 124]), wait(1));
    assert_eq!(look_of_a_new_process(&run, &lock, [125, 125]), wait(10));
    assert_eq!(look_of_a_new_process(&run, &lock, [424, 424]), wait(10));
    assert!(is_ambiguous(&look_of_a_new_process(&run, &lock, [425, 425])));
    assert_eq!(look_of_a_new_process(&run, &lock, [424, 99_999]), wait(10), "the look is older than that");
}

/// Another process has taken the lock again and marked the run since the lock was read.
#[test]
fn age_of_a_lock_says_nothing_of_a_trigger_after_it() {
    let (run, mut lock) = doubtful();
    let unmarked = Run { marker: None, version: "9".to_owned(), ..run.clone() };
    let lock_holder = lock.holder.as_mut().unwrap();
    lock_holder.nonce = nonce("n0");
    let marked = Run { marker: Some(Marker { acquisition: nonce("n1"), ..marker_of(&run, "n2", 1) }), ..run };
    let mut o = pass(&unmarked);
    answer(&mut o, |s| *s == Step::ReadLock, lock_of_age(&lock, Some(9_999)));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(marked))));
    assert_eq!(next_step(&o), Step::Hold(Hold::Unconfirmed(Duration::from_secs(65))));
}

#[test]
fn doubt_of_a_process_that_stops_is_left_to_the_next() {
    let (run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let ripe = || {
        let mut o = TriggerFacts::new(run.clone(), memory.clone(), limits(), Duration::from_secs(1100), Gate::Open, nonce("spare"));
        o.learn(&Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        o
    };
    assert_eq!(next_step(&ripe()), Step::ReadCandidates);
    assert_eq!(remember_trigger(&ripe(), &Step::ReadCandidates), memory, "the time of the doubt is kept until there was a look");
    let mut stopping = ripe();
    stopping.gate = Gate::Draining;
    assert!(matches!(next_step(&stopping), Step::Hold(Hold::Unconfirmed(_))));
}

#[test]
fn doubt_under_a_foreign_lock_or_a_lost_ledger_adopts_nothing() {
    let (run, mut lock) = doubtful();
    lock.holder.as_mut().unwrap().ledger_may_be_lost = true;
    let seen = Some(vec![candidate("e1", 100)]);
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look(&run, &lock, &memory, 1100, seen.clone());
    let (step, _) = look(&run, &lock, &memory, 1200, seen.clone());
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{step:?}");
    let mut taken_again = lock.clone();
    taken_again.holder.as_mut().unwrap().acquisition = nonce("n2");
    for other in [Lock::default(), taken_again] {
        let (step, _) = look(&run, &other, &memory, 1200, seen.clone());
        assert!(
            matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Ambiguous { executed: false }),
            "{step:?}"
        );
    }
}

#[test]
fn answer_of_the_task_wins_over_a_guess_and_an_adoption_but_not_over_an_answer() {
    let unexecuted =
        || PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(Duration::ZERO, Obstacle::RateLimited), message: String::new() };
    for (present, outcome, wins) in [
        (TriggerResult::Ambiguous { executed: false }, PostOutcome::Accepted(vec![execution("e1")]), true),
        (TriggerResult::Accepted(Evidence::Adopted), PostOutcome::Accepted(vec![execution("e1")]), true),
        (TriggerResult::Accepted(Evidence::Adopted), unexecuted(), true),
        (TriggerResult::Accepted(Evidence::Answer), PostOutcome::Accepted(vec![execution("e1")]), false),
    ] {
        let mut run = run("u1");
        let mut o = pass(&run);
        to_marked(&mut o, &run);
        answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(outcome));
        answer(&mut o, |s| matches!(s, Step::Record { .. }), Answer::Indeterminate);
        run.marker = None;
        run.trigger = Some(trigger("spare", 1, present));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run))));
        assert_eq!(matches!(next_step(&o), Step::Record { .. }), wins);
    }
}

#[test]
fn answer_without_ids_is_written_first_and_outlives_the_process() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(PostOutcome::ExecutedIdsUnknown { message: String::new() }));
    let step = next_step(&o);
    let Step::Mark { marker, over } = &step else { panic!("{step:?}") };
    assert_eq!((marker, over.as_str()), (&Marker { executed: true, ..marker_of(&run, "spare", 1) }, "11"));
    o.learn(&step, Answer::Written("12".into()));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "spare", "10")));
    assert!(matches!(next_step(&o), Step::Hold(Hold::Unconfirmed(_))), "{:?}", next_step(&o));

    // Another process, which knows only what is stored.
    let marked = Run { version: "12".into(), marker: Some(marker.clone()), ..run.clone() };
    let lock = held(&run, "spare", "10");
    let (_, memory) = look(&marked, &lock, &Memory::default(), 2000, None);
    let (step, _) = look(&marked, &lock, &memory, 2365, Some(vec![]));
    let executed = TriggerResult::Ambiguous { executed: true };
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == executed), "{step:?}");
    let unknown = after(&lock, LedgerOutcome::Unknown);
    assert!(matches!(verdict(&marked, &unknown), Verdict::Recorded(trigger, _) if trigger.result == executed), "whoever took the lock");
    // What the list shows is adopted as ever.
    let (_, memory) = look(&marked, &lock, &memory, 2100, Some(vec![candidate("e1", 1)]));
    let (step, _) = look(&marked, &lock, &memory, 2110, Some(vec![candidate("e1", 1)]));
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Accepted(Evidence::Adopted)), "{step:?}");
}

#[test]
fn answer_without_ids_is_written_until_it_is_there_and_wins_over_a_guess() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(PostOutcome::ExecutedIdsUnknown { message: String::new() }));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Indeterminate);
    let marked = Run { version: "13".into(), marker: Some(marker_of(&run, "spare", 1)), ..run };
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(marked.clone()))));
    assert!(matches!(next_step(&o), Step::Mark { marker, over } if marker.executed && over == "13"));
    let mut refused = o.clone();
    answer(&mut refused, |s| matches!(s, Step::Mark { .. }), Answer::Refused);
    answer(&mut refused, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    assert!(matches!(next_step(&refused), Step::Hold(Hold::Unconfirmed(_))), "it cannot be written: {:?}", next_step(&refused));

    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Indeterminate);
    let guess = trigger("spare", 1, TriggerResult::Ambiguous { executed: false });
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(Run { trigger: Some(guess), ended: true, ..marked }))));
    let step = next_step(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Ambiguous { executed: true }), "{step:?}");
    o.learn(&step, Answer::Written("14".into()));
    assert_eq!(next_step(&o), Step::Follow);
}

#[test]
fn doubt_decided_by_another_process_is_not_looked_into_again() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    assert!(memory.inquiry.is_some());
    run.trigger = Some(trigger("n1", 1, TriggerResult::Ambiguous { executed: false }));
    run.attempt = 2;
    let (step, memory) = look(&run, &lock, &memory, 1001, None);
    assert_eq!((step, memory), (Step::Restart, Memory::default()));
}

#[test]
fn lock_that_is_missing_beside_an_undecided_run_may_have_lost_its_ledger() {
    for undecided in [true, false] {
        let run = run("u1");
        let mut o = pass(&run);
        answer(&mut o, |s| *s == Step::ReadLock, Answer::Lock(Box::default()));
        answer(&mut o, |s| *s == Step::ReadUndecided, Answer::Undecided(undecided));
        answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        let step = next_step(&o);
        let Step::TakeLock { lock, over: None } = &step else { panic!("{step:?}") };
        assert_eq!(lock.holder.as_ref().unwrap().ledger_may_be_lost, undecided);
    }
}
