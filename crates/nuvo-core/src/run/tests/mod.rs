//! Rules of the trigger protocol, one by one.

mod another_account;
mod concurrency;
mod doubt;
mod endings;
mod formats;
mod growth;
mod held_back;
mod life;
mod lock;
mod looks;
mod mirror;
mod repetition;
mod slot;
mod start_deadline;

use std::collections::BTreeSet;
use std::time::Duration;

use nuvo_crds::ConcurrencyPolicy;

use super::*;

fn nonce(text: &str) -> Nonce {
    Nonce::new(text).unwrap()
}

fn limits() -> Limits {
    Limits {
        fence: Duration::from_secs(5),
        post_deadline: Duration::from_secs(60),
        settle: Duration::from_secs(300),
        quarantine: Duration::from_secs(900),
        answer: Duration::from_secs(10),
        confirm: Duration::from_secs(10),
        clock_margin: Duration::from_secs(60),
    }
}

fn reference(uid: &str, name: &str) -> RunRef {
    RunRef { uid: Uid::new(uid).unwrap(), namespace: "ns".into(), name: name.into() }
}

fn run(uid: &str) -> Run {
    Run {
        id: reference(uid, uid),
        version: "10".into(),
        deleting: false,
        suspended: false,
        pipeline: PipelineId::new("orders").unwrap(),
        adopt_unproven: false,
        retriggers: false,
        concurrency: ConcurrencyPolicy::Allow,
        made_by: MadeBy::Other,
        attempt: 1,
        ended: false,
        marker: None,
        unread_marker: None,
        observes: false,
        is_mirror: false,
        trigger: None,
        executions: vec![],
        abandoned: None,
        answered: None,
    }
}

fn marker_of(run: &Run, n: &str, attempt: i32) -> Marker {
    let format = Format::default();
    Marker { run: run.id.clone(), nonce: nonce(n), acquisition: nonce(n), lock: None, account: None, attempt, executed: false, format }
}

fn trigger(n: &str, attempt: i32, result: TriggerResult) -> Trigger {
    Trigger { nonce: nonce(n), attempt, result }
}

fn held(run: &Run, n: &str, version: &str) -> Lock {
    Lock {
        holder: Some(LockHolder {
            run: run.id.clone(),
            nonce: nonce(n),
            acquisition: nonce(n),
            run_version: version.into(),
            baseline: Some(Baseline::default()),
            ledger_may_be_lost: false,
            later: Later::new(),
        }),
        ..Lock::default()
    }
}

/// A lock without a holder that remembers what became of the delivery of another.
fn after(lock: &Lock, entry: LedgerOutcome) -> Lock {
    let lock_holder = lock.holder.as_ref().unwrap();
    lock.released(lock_holder.delivery(&lock_holder.nonce, entry))
}

fn lock_read_at(version: &str, lock: Lock) -> Answer {
    Answer::Lock(Box::new(LockRead { version: Some(version.to_owned()), lock, age: None }))
}

fn pass(run: &Run) -> TriggerFacts {
    TriggerFacts::new(run.clone(), Memory::default(), limits(), Duration::from_secs(1000), Gate::Open, nonce("spare"))
}

fn lock_read(lock: Lock) -> Answer {
    Answer::Lock(Box::new(LockRead { version: Some("7".into()), lock, age: None }))
}

fn lock_of_age(lock: &Lock, age: Option<u64>) -> Answer {
    Answer::Lock(Box::new(LockRead { version: Some("7".into()), lock: lock.clone(), age: age.map(Duration::from_secs) }))
}

fn execution(id: &str) -> ExecutionId {
    ExecutionId::new(id).unwrap()
}

fn candidate(id: &str, created: i64) -> Candidate {
    Candidate { id: execution(id), hash: format!("h-{id}"), created: Some(created), manual: true, by_us: true }
}

/// Answers the next step, which must be the expected one.
fn answer(o: &mut TriggerFacts, expected: fn(&Step) -> bool, answer: Answer) {
    let step = next_step(o);
    assert!(expected(&step), "unexpected step {step:?}");
    o.learn(&step, answer);
}

fn to_marked(o: &mut TriggerFacts, run: &Run) {
    answer(o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(o, |s| matches!(s, Step::Mark { .. }), Answer::Written("11".into()));
}

#[test]
fn new_run_with_a_free_lock_locks_marks_posts_and_records() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| *s == Step::Post(nonce("spare")), Answer::Posted(PostOutcome::Accepted(vec![execution("e1")])));
    let step = next_step(&o);
    let Step::Record { trigger: t, executions, over, .. } = &step else { panic!("{step:?}") };
    assert_eq!(
        (t, executions.as_slice(), over.as_str()),
        (&trigger("spare", 1, TriggerResult::Accepted(Evidence::Answer)), &[execution("e1")][..], "11")
    );
    o.learn(&step, Answer::Written("12".into()));
    assert_eq!(next_step(&o), Step::Follow);
}

#[test]
fn post_after_the_fence_is_recorded_as_not_executed() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    o.now = o.now.saturating_add(Duration::from_secs(5));
    let step = next_step(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::NotExecuted), "{step:?}");
}

#[test]
fn post_while_the_operator_stops_is_not_sent() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    o.gate = Gate::Draining;
    assert!(matches!(next_step(&o), Step::Record { trigger, .. } if trigger.result == TriggerResult::NotExecuted));
}

#[test]
fn post_after_not_executed_was_recorded_is_never_sent() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    o.gate = Gate::Draining;
    answer(&mut o, |step| matches!(step, Step::Record { .. }), Answer::Indeterminate);
    // Whatever the reason was, it is over.
    o.gate = Gate::Open;
    let marked = Run { marker: o.run().marker.clone(), version: "11".into(), ..run.clone() };
    answer(&mut o, |step| *step == Step::ReadRun, Answer::Run(Some(Box::new(marked))));
    let step = next_step(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::NotExecuted), "{step:?}");
}

#[test]
fn marker_without_a_result_never_posts() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    for lock in [Lock::default(), held(&run, "n1", "9"), held(&run, "n1", "10"), held(&run, "n2", "10")] {
        assert!(matches!(verdict(&run, &lock), Verdict::InDoubt(_)), "{lock:?}");
    }
}

#[test]
fn held_lock_resumes_only_on_the_version_it_was_taken_on() {
    let run = run("u1");
    assert_eq!(verdict(&run, &held(&run, "n1", "10")), Verdict::New { resume: Some(nonce("n1")) });
    assert!(matches!(verdict(&run, &held(&run, "n1", "9")), Verdict::InDoubt(_)));
}

#[test]
fn run_without_marker_and_status_is_answered_by_the_ledger() {
    let run = run("u1");
    let lock = after(&held(&run, "n1", "9"), LedgerOutcome::Started(vec![execution("e1")]));
    assert!(
        matches!(verdict(&run, &lock), Verdict::Recorded(t, LedgerOutcome::Started(_)) if t.result == TriggerResult::Accepted(Evidence::Answer))
    );
    let unknown = after(&held(&run, "n1", "9"), LedgerOutcome::Unknown);
    assert!(matches!(verdict(&run, &unknown), Verdict::Recorded(t, _) if t.result == TriggerResult::Ambiguous { executed: false }));
}

#[test]
fn marker_with_the_delivery_of_another_run_claims_nothing() {
    let lock = after(&held(&run("victim"), "n1", "9"), LedgerOutcome::Started(vec![execution("e1")]));
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    assert!(matches!(verdict(&run, &lock), Verdict::InDoubt(_)), "{:?}", verdict(&run, &lock));
}

#[test]
fn held_lock_names_a_newer_delivery_than_the_ledger() {
    let run = run("u1");
    let earlier = after(&held(&run, "n1", "9"), LedgerOutcome::Started(vec![execution("e1")]));
    let lock = Lock { ledger: earlier.ledger, ..held(&run, "n2", "9") };
    assert!(matches!(verdict(&run, &lock), Verdict::InDoubt(doubt) if doubt.nonce == nonce("n2")));
}

#[test]
fn restored_object_is_lost_until_a_person_opens_an_attempt() {
    let old = run("old");
    let mut run = run("u1");
    run.marker = Some(Marker { run: RunRef { name: run.id.name.clone(), ..old.id.clone() }, ..marker_of(&run, "n1", 1) });
    assert_eq!(verdict(&run, &Lock::default()), Verdict::Lost);
    run.attempt = 2;
    assert_eq!(verdict(&run, &Lock::default()), Verdict::New { resume: None });
}

#[test]
fn copied_manifest_is_a_new_run() {
    let other = run("other");
    let mut run = run("u1");
    run.marker = Some(marker_of(&other, "n1", 1));
    assert_eq!(verdict(&run, &Lock::default()), Verdict::New { resume: None });
}

#[test]
fn second_attempt_starts_only_when_the_first_is_decided() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    run.attempt = 2;
    assert!(matches!(verdict(&run, &held(&run, "n1", "9")), Verdict::InDoubt(_)));
    run.trigger = Some(trigger("n1", 1, TriggerResult::Ambiguous { executed: false }));
    assert_eq!(verdict(&run, &held(&run, "n1", "9")), Verdict::New { resume: None });
    // A rolled-back marker: the lock knows of a later delivery.
    assert!(matches!(verdict(&run, &held(&run, "n2", "9")), Verdict::InDoubt(_)));
}

#[test]
fn indeterminate_lock_that_was_won_leads_to_one_post() {
    let run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Indeterminate);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "spare", "10")));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Written("11".into()));
    assert_eq!(next_step(&o), Step::Post(nonce("spare")));
}

#[test]
fn indeterminate_marker_that_was_written_leads_to_one_recorded_post() {
    let mut run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Indeterminate);
    run.marker = Some(marker_of(&run, "spare", 1));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::Post(nonce("spare")), Answer::Posted(PostOutcome::Accepted(vec![execution("e1")])));
    let step = next_step(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.result == TriggerResult::Accepted(Evidence::Answer)), "{step:?}");
}

/// A pass whose marker the API server refuses.
fn refused_marker(run: &Run, lock: Lock) -> TriggerFacts {
    let mut o = pass(run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Refused);
    o
}

#[test]
fn refused_marker_releases_the_lock_without_a_ledger_entry() {
    let (run, reference_run) = (run("u1"), run("u0"));
    let other = after(&held(&reference_run, "n0", "1"), LedgerOutcome::Nothing);
    let mut o = refused_marker(&run, other.clone());
    answer(&mut o, |s| matches!(s, Step::Release { .. }), Answer::Indeterminate);
    let still_mine = Lock { ledger: other.ledger.clone(), ..held(&run, "spare", "10") };
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(still_mine));
    let step = next_step(&o);
    let Step::Release { lock, over } = &step else { panic!("{step:?}") };
    assert_eq!((lock.as_ref(), over.as_str()), (&other, "7"), "what it remembers of others stays");
    o.learn(&step, Answer::Written("9".into()));
    assert_eq!(next_step(&o), Step::Restart);
    assert!(!o.holds_lock());
    assert_eq!(verdict(&run, &other), Verdict::New { resume: None });
}

#[test]
fn refused_marker_under_a_reacquired_lock_keeps_the_lock() {
    let run = run("u1");
    let o = refused_marker(&run, held(&run, "n1", "10"));
    assert_eq!(next_step(&o), Step::Restart);
    assert!(o.holds_lock());
}

#[test]
fn pass_broken_off_after_an_answer_without_ids_remembers_it() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(PostOutcome::ExecutedIdsUnknown { message: String::new() }));
    let memory = remember_trigger(&o, &next_step(&o));
    assert!(memory.inquiry.is_some_and(|inquiry| inquiry.executed && inquiry.doubt.nonce == nonce("spare")));
}

#[test]
fn answer_for_a_deleted_run_goes_into_the_ledger() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(PostOutcome::Accepted(vec![execution("e1")])));
    answer(&mut o, |s| matches!(s, Step::Record { .. }), Answer::Missing);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "spare", "10")));
    let step = next_step(&o);
    assert!(matches!(&step, Step::Release { lock, .. } if lock.remembers(&execution("e1")) && lock.holder.is_none()), "{step:?}");
    o.learn(&step, Answer::Written("9".into()));
    assert_eq!(next_step(&o), Step::Forget);
}

#[test]
fn ledger_is_bounded_in_entries_and_bytes() {
    let run = run("u1");
    let mut lock = Lock::default();
    for i in 0..100 {
        lock.holder = held(&run, &format!("n{i}"), "1").holder;
        lock = after(&lock, LedgerOutcome::Started((0..1000).map(|e| execution(&format!("{i:016}-{e:016}"))).collect()));
    }
    assert!(lock.ledger.len() <= LEDGER_ENTRIES);
    assert!(serde_json::to_string(&lock).unwrap().len() <= LEDGER_BYTES, "{}", lock.ledger.len());
    assert_eq!(lock.ledger.back().unwrap().nonce, nonce("n99"));
}
