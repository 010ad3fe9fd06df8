//! Rules of the trigger protocol, one by one.

use std::collections::BTreeSet;
use std::time::Duration;

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
        confirm: Duration::from_secs(10),
    }
}

fn reference(uid: &str, name: &str) -> RunRef {
    RunRef { uid: Uid::new(uid).unwrap(), namespace: "ns".into(), name: name.into() }
}

fn run(uid: &str) -> Run {
    Run {
        me: reference(uid, uid),
        version: "10".into(),
        deleting: false,
        suspended: false,
        pipeline: PipelineId::new("orders").unwrap(),
        adopt_unproven: false,
        attempt: 1,
        ended: false,
        marker: None,
        trigger: None,
        executions: vec![],
        abandoned: None,
        answered: None,
    }
}

fn marker_of(run: &Run, n: &str, attempt: i32) -> Marker {
    Marker { run: run.me.clone(), nonce: nonce(n), tenure: nonce(n), attempt, executed: false }
}

fn trigger(n: &str, attempt: i32, fate: Fate) -> Trigger {
    Trigger { nonce: nonce(n), attempt, fate }
}

fn held(run: &Run, n: &str, version: &str) -> Lock {
    Lock {
        tenancy: Some(Tenancy {
            holder: run.me.clone(),
            nonce: nonce(n),
            tenure: nonce(n),
            run_version: version.into(),
            baseline: Some(Baseline::default()),
            young: false,
        }),
        ledger: [].into(),
    }
}

/// A lock that nobody holds and that remembers what became of the delivery of another.
fn after(lock: &Lock, entry: Entry) -> Lock {
    let tenancy = lock.tenancy.as_ref().unwrap();
    lock.released(tenancy.delivery(&tenancy.nonce, entry))
}

fn pass(run: &Run) -> Observed {
    Observed::new(run.clone(), Memory::default(), limits(), Duration::from_secs(1000), Gate::Open, nonce("spare"))
}

fn lock_read(lock: Lock) -> Answer {
    Answer::Lock(Box::new(LockRead { version: Some("7".into()), lock }))
}

fn execution(id: &str) -> ExecutionId {
    ExecutionId::new(id).unwrap()
}

fn candidate(id: &str, created: i64) -> Candidate {
    Candidate { id: execution(id), hash: format!("h-{id}"), created: Some(created), manual: true, by_us: true }
}

/// Answers the next step, which must be the expected one.
fn answer(o: &mut Observed, expected: fn(&Step) -> bool, answer: Answer) {
    let step = next(o);
    assert!(expected(&step), "unexpected step {step:?}");
    o.learn(&step, answer);
}

fn to_marked(o: &mut Observed, run: &Run) {
    answer(o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(o, |s| matches!(s, Step::Mark { .. }), Answer::Written("11".into()));
}

#[test]
fn a_new_run_locks_marks_posts_and_records_in_this_order() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| *s == Step::Post(nonce("spare")), Answer::Posted(Outcome::Accepted(vec![execution("e1")])));
    let step = next(&o);
    let Step::Record { trigger: t, executions, over, .. } = &step else { panic!("{step:?}") };
    assert_eq!(
        (t, executions.as_slice(), over.as_str()),
        (&trigger("spare", 1, Fate::Accepted(Evidence::Answer)), &[execution("e1")][..], "11")
    );
    o.learn(&step, Answer::Written("12".into()));
    assert_eq!(next(&o), Step::Follow);
}

#[test]
fn the_fence_turns_a_late_post_into_not_executed() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    o.now = o.now.saturating_add(Duration::from_secs(5));
    let step = next(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == Fate::NotExecuted), "{step:?}");
}

#[test]
fn a_stopping_operator_does_not_post() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    o.gate = Gate::Draining;
    assert!(matches!(next(&o), Step::Record { trigger, .. } if trigger.fate == Fate::NotExecuted));
}

#[test]
fn a_marker_without_a_result_never_posts() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    for lock in [Lock::default(), held(&run, "n1", "9"), held(&run, "n1", "10"), held(&run, "n2", "10")] {
        assert!(matches!(verdict(&run, &lock), Verdict::InDoubt(_)), "{lock:?}");
    }
}

#[test]
fn a_held_lock_resumes_only_on_the_version_it_was_taken_on() {
    let run = run("u1");
    assert_eq!(verdict(&run, &held(&run, "n1", "10")), Verdict::New { resume: Some(nonce("n1")) });
    assert!(matches!(verdict(&run, &held(&run, "n1", "9")), Verdict::InDoubt(_)));
}

#[test]
fn the_ledger_answers_for_a_run_whose_marker_and_status_are_gone() {
    let run = run("u1");
    let lock = after(&held(&run, "n1", "9"), Entry::Started(vec![execution("e1")]));
    assert!(matches!(verdict(&run, &lock), Verdict::Recorded(t, Entry::Started(_)) if t.fate == Fate::Accepted(Evidence::Answer)));
    let unknown = after(&held(&run, "n1", "9"), Entry::Unknown);
    assert!(matches!(verdict(&run, &unknown), Verdict::Recorded(t, _) if t.fate == Fate::Ambiguous { executed: false }));
}

#[test]
fn a_lock_that_is_held_tells_of_a_newer_delivery_than_the_ledger() {
    let run = run("u1");
    let earlier = after(&held(&run, "n1", "9"), Entry::Started(vec![execution("e1")]));
    let lock = Lock { ledger: earlier.ledger, ..held(&run, "n2", "9") };
    assert!(matches!(verdict(&run, &lock), Verdict::InDoubt(doubt) if doubt.nonce == nonce("n2")));
}

#[test]
fn a_restored_object_is_lost_until_a_person_opens_an_attempt() {
    let old = run("old");
    let mut run = run("u1");
    run.marker = Some(Marker { run: RunRef { name: run.me.name.clone(), ..old.me.clone() }, ..marker_of(&run, "n1", 1) });
    assert_eq!(verdict(&run, &Lock::default()), Verdict::Lost);
    run.attempt = 2;
    assert_eq!(verdict(&run, &Lock::default()), Verdict::New { resume: None });
}

#[test]
fn a_copied_manifest_is_a_new_run() {
    let other = run("other");
    let mut run = run("u1");
    run.marker = Some(marker_of(&other, "n1", 1));
    assert_eq!(verdict(&run, &Lock::default()), Verdict::New { resume: None });
}

#[test]
fn a_second_attempt_starts_only_when_the_first_is_decided() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    run.attempt = 2;
    assert!(matches!(verdict(&run, &held(&run, "n1", "9")), Verdict::InDoubt(_)));
    run.trigger = Some(trigger("n1", 1, Fate::Ambiguous { executed: false }));
    assert_eq!(verdict(&run, &held(&run, "n1", "9")), Verdict::New { resume: None });
    // A rolled-back marker: the lock knows of a later delivery.
    assert!(matches!(verdict(&run, &held(&run, "n2", "9")), Verdict::InDoubt(_)));
}

#[test]
fn takeover_follows_what_the_holder_knows() {
    let mut holder = run("u1");
    let tenancy = held(&holder, "n1", "9").tenancy.unwrap();
    let judge = |run: &Run| takeover(&tenancy, &Holder::Present(Box::new(run.clone())));
    assert_eq!(judge(&holder), Takeover::No);
    holder.marker = Some(marker_of(&holder, "n1", 1));
    assert_eq!(judge(&holder), Takeover::No);
    let delivery = |entry| tenancy.delivery(&nonce("n1"), entry);
    for (fate, expected) in [
        (Fate::Accepted(Evidence::Answer), Takeover::Now(delivery(Entry::Started(vec![])))),
        (Fate::NotExecuted, Takeover::Now(delivery(Entry::Nothing))),
        (Fate::Accepted(Evidence::Adopted), Takeover::AfterQuarantine(delivery(Entry::Started(vec![])))),
        (Fate::Ambiguous { executed: false }, Takeover::AfterQuarantine(delivery(Entry::Unknown))),
    ] {
        holder.trigger = Some(trigger("n1", 1, fate));
        assert_eq!(judge(&holder), expected);
    }
    assert_eq!(takeover(&tenancy, &Holder::Gone), Takeover::AfterQuarantine(delivery(Entry::Unknown)));
    holder.abandoned = Some(nonce("n1"));
    assert_eq!(judge(&holder), Takeover::Now(delivery(Entry::Unknown)));
}

#[test]
fn a_lock_that_a_second_operator_bumped_in_vain_is_given_up_like_any_other() {
    let mut holder = run("u1");
    holder.marker = Some(marker_of(&holder, "n1", 1));
    holder.trigger = Some(trigger("n1", 1, Fate::Accepted(Evidence::Answer)));
    holder.executions = vec![execution("e1")];
    let mut lock = held(&holder, "n1", "9");
    lock.tenancy.as_mut().unwrap().nonce = nonce("bump");
    let tenancy = lock.tenancy.clone().unwrap();
    let delivery = tenancy.delivery(&nonce("n1"), Entry::Started(vec![execution("e1")]));
    assert_eq!(takeover(&tenancy, &Holder::Present(Box::new(holder.clone()))), Takeover::Now(delivery));
    let read = LockRead { version: Some("7".into()), lock: lock.clone() };
    assert!(matches!(release(&holder, &nonce("n1"), &read), Some(Step::Release { lock, .. }) if lock.of_nonce(&nonce("n1")).is_some()));
    // The next attempt starts too.
    holder.attempt = 2;
    assert_eq!(verdict(&holder, &lock), Verdict::New { resume: None });
}

#[test]
fn a_lock_whose_holder_is_done_blocks_nobody_for_longer_than_the_quarantine() {
    let mut holder = run("u1");
    let tenancy = held(&holder, "other", "9").tenancy.unwrap();
    let judge = |run: &Run| takeover(&tenancy, &Holder::Present(Box::new(run.clone())));
    let after_quarantine = Takeover::AfterQuarantine(tenancy.delivery(&nonce("other"), Entry::Unknown));
    // The marker was wiped.
    holder.trigger = Some(trigger("n1", 1, Fate::Accepted(Evidence::Answer)));
    assert_eq!(judge(&holder), after_quarantine);
    // Another attempt is open: the lock may be its own.
    holder.attempt = 2;
    assert_eq!(judge(&holder), Takeover::No);
    // Not sent, and a lock of a later tenure.
    holder.attempt = 1;
    holder.marker = Some(marker_of(&holder, "n1", 1));
    holder.trigger = Some(trigger("n1", 1, Fate::NotExecuted));
    assert_eq!(judge(&holder), Takeover::No);
    holder.ended = true;
    assert_eq!(judge(&holder), after_quarantine);
    // Ended, and without a marker its result proves nothing.
    holder.marker = None;
    assert_eq!(judge(&holder), after_quarantine);
    holder.ended = false;
    assert_eq!(judge(&holder), Takeover::No);
}

#[test]
fn a_refused_trigger_whose_lock_was_bumped_in_vain_is_tried_again() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    run.trigger = Some(trigger("n1", 1, Fate::NotExecuted));
    let mut lock = held(&run, "n1", "9");
    lock.tenancy.as_mut().unwrap().nonce = nonce("bump");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let step = next(&o);
    assert!(
        matches!(&step, Step::TakeLock { lock, .. } if lock.of_nonce(&nonce("n1")).is_some_and(|known| known.entry == Entry::Nothing)),
        "{step:?}"
    );
}

#[test]
fn another_attempt_starts_though_the_marker_of_the_one_before_was_wiped() {
    let mut run = run("u1");
    run.trigger = Some(trigger("n1", 1, Fate::NotExecuted));
    run.attempt = 2;
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "n1", "9")));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    assert!(matches!(next(&o), Step::TakeLock { .. }), "{:?}", next(&o));
}

#[test]
fn an_unsure_marker_is_looked_up_and_the_lock_is_taken_anew_before_a_second_try() {
    let mut run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Unsure);
    run.version = "13".into();
    o.spare = nonce("spare2");
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let step = next(&o);
    assert!(
        matches!(&step, Step::TakeLock { lock, over: Some(v) }
        if v == "8" && lock.tenancy.as_ref().is_some_and(|t| t.nonce == nonce("spare2") && t.run_version == "13")),
        "{step:?}"
    );
    o.learn(&step, Answer::Written("9".into()));
    assert!(matches!(next(&o), Step::Mark { marker, over } if marker.nonce == nonce("spare2") && over == "13"));
}

/// Up to the second W2 of a run that somebody changed before the first.
fn to_second_mark(o: &mut Observed, run: &Run, changed: &Run) {
    answer(o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(o, |s| matches!(s, Step::Mark { .. }), Answer::Unsure);
    o.spare = nonce("spare2");
    answer(o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(changed.clone()))));
    answer(o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("9".into()));
    answer(o, |s| matches!(s, Step::Mark { .. }), Answer::Written("14".into()));
}

#[test]
fn a_run_that_is_suspended_before_its_marker_is_not_posted_and_not_in_doubt() {
    let run = run("u1");
    let mut o = pass(&run);
    to_second_mark(&mut o, &run, &Run { version: "13".into(), suspended: true, ..run.clone() });
    let step = next(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if *trigger == self::trigger("spare2", 1, Fate::NotExecuted)));
}

#[test]
fn a_conflict_that_is_seen_after_the_fence_leaves_no_doubt() {
    let run = run("u1");
    let mut o = pass(&run);
    o.limits.fence = Duration::ZERO;
    to_second_mark(&mut o, &run, &Run { version: "13".into(), ..run.clone() });
    assert!(matches!(next(&o), Step::Record { trigger, .. } if trigger.fate == Fate::NotExecuted));
}

#[test]
fn an_unsure_lock_that_was_won_goes_on_to_one_post() {
    let run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Unsure);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "spare", "10")));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Written("11".into()));
    assert_eq!(next(&o), Step::Post(nonce("spare")));
}

#[test]
fn an_unsure_marker_that_was_written_goes_on_to_one_post_whose_answer_is_recorded() {
    let mut run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Unsure);
    run.marker = Some(marker_of(&run, "spare", 1));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::Post(nonce("spare")), Answer::Posted(Outcome::Accepted(vec![execution("e1")])));
    let step = next(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == Fate::Accepted(Evidence::Answer)), "{step:?}");
}

/// A pass whose marker the API server refuses.
fn refused_marker(run: &Run, lock: Lock) -> Observed {
    let mut o = pass(run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Refused);
    o
}

#[test]
fn a_refused_marker_gives_the_lock_back_as_if_it_had_not_been_taken() {
    let (run, reference_run) = (run("u1"), run("u0"));
    let other = after(&held(&reference_run, "n0", "1"), Entry::Nothing);
    let mut o = refused_marker(&run, other.clone());
    answer(&mut o, |s| matches!(s, Step::Release { .. }), Answer::Unsure);
    let still_mine = Lock { ledger: other.ledger.clone(), ..held(&run, "spare", "10") };
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(still_mine));
    let step = next(&o);
    let Step::Release { lock, over } = &step else { panic!("{step:?}") };
    assert_eq!((lock.as_ref(), over.as_str()), (&other, "7"), "what it remembers of others stays");
    o.learn(&step, Answer::Written("9".into()));
    assert_eq!(next(&o), Step::Again);
    assert!(!o.holds_lock());
    assert_eq!(verdict(&run, &other), Verdict::New { resume: None });
}

#[test]
fn a_refused_marker_keeps_a_lock_under_which_another_task_may_still_send() {
    let run = run("u1");
    let o = refused_marker(&run, held(&run, "n1", "10"));
    assert_eq!(next(&o), Step::Again);
    assert!(o.holds_lock());
}

#[test]
fn a_pass_that_is_broken_off_remembers_that_nuvo_said_yes() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(Outcome::ExecutedIdsUnknown { message: String::new() }));
    let memory = remember(&o, &next(&o));
    assert!(memory.inquiry.is_some_and(|inquiry| inquiry.executed && inquiry.doubt.nonce == nonce("spare")));
}

#[test]
fn a_doubt_that_another_process_has_decided_is_not_looked_into_for_ever() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    assert!(memory.inquiry.is_some());
    run.trigger = Some(trigger("n1", 1, Fate::Ambiguous { executed: false }));
    run.attempt = 2;
    let (step, memory) = look(&run, &lock, &memory, 1001, None);
    assert_eq!((step, memory), (Step::Again, Memory::default()));
}

fn doubtful() -> (Run, Lock) {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    let mut lock = held(&run, "n1", "9");
    lock.tenancy.as_mut().unwrap().baseline = Some(Baseline { newest: Some(100), ids: vec!["h-known".into()] });
    (run, lock)
}

/// One look into a doubt at this time; the memory is carried on.
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
    look_at(deadline, run, lock, memory, at, list.map(|candidates| Sighting { candidates, after: None }))
}

/// The same, at any list.
fn look_at(deadline: Option<Duration>, run: &Run, lock: &Lock, memory: &Memory, at: u64, list: Option<Sighting>) -> (Step, Memory) {
    let mut o = Observed::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), Gate::Open, nonce("spare"));
    o.deadline = deadline;
    loop {
        let step = next(&o);
        let answer = match &step {
            Step::ReadRun => Answer::Run(Some(Box::new(run.clone()))),
            Step::ReadLock => lock_read(lock.clone()),
            Step::ReadBaseline => Answer::Baseline(Some(Baseline::default())),
            Step::ReadCandidates => Answer::Candidates(list.clone()),
            Step::ReadOthers => Answer::Others(Others { undecided: false, claimed: BTreeSet::from([execution("claimed")]) }),
            _ => {
                let memory = remember(&o, &step);
                return (step, memory);
            }
        };
        o.learn(&step, answer);
    }
}

#[test]
fn a_doubt_that_another_operator_has_settled_is_forgotten() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    assert!(memory.inquiry.is_some());
    run.trigger = Some(trigger("n1", 1, Fate::NotExecuted));
    let mut o = Observed::new(run.clone(), memory, limits(), Duration::from_secs(1001), Gate::Open, nonce("spare"));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    assert_eq!(next(&o), Step::Again);
    let memory = remember(&o, &Step::Again);
    assert_eq!(memory, Memory::default());
    let o = Observed::new(run, memory, limits(), Duration::from_secs(1002), Gate::Open, nonce("spare"));
    assert_eq!(next(&o), Step::ReadLock, "a pass that may trigger begins");
}

#[test]
fn a_doubt_of_which_only_this_process_knows_becomes_ambiguous_and_never_looks_new() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    run.marker = None;
    let (step, _) = look(&run, &Lock::default(), &memory, 1100, Some(vec![candidate("e1", 100)]));
    assert!(matches!(&step, Step::Record { trigger: t, .. } if *t == trigger("n1", 1, Fate::Ambiguous { executed: false })), "{step:?}");
    // Another attempt that a person has opened is not held up by it.
    run.trigger = Some(trigger("n1", 1, Fate::NotExecuted));
    run.attempt = 2;
    let (step, memory) = look(&run, &Lock::default(), &memory, 1100, Some(vec![]));
    assert_eq!((step, memory), (Step::Again, Memory::default()));
}

#[test]
fn a_lock_that_knows_more_than_a_run_that_was_rolled_back_is_a_doubt_that_ends() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    run.trigger = Some(trigger("n1", 1, Fate::NotExecuted));
    let lock = held(&run, "n2", "9");
    assert!(matches!(verdict(&run, &lock), Verdict::InDoubt(_)));
    let (step, memory) = look(&run, &lock, &Memory::default(), 1000, Some(vec![]));
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{step:?}");
    let (step, _) = look(&run, &lock, &memory, 2000, Some(vec![]));
    let Step::Record { trigger: found, .. } = step else { panic!("{step:?}") };
    assert_eq!(found, trigger("n2", 1, Fate::Ambiguous { executed: false }));
    run.trigger = Some(found);
    run.ended = true;
    assert!(settled(&run), "it stays ended, though its marker names the delivery before");
}

#[test]
fn a_doubt_adopts_what_two_looks_agree_on() {
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
        if trigger.fate == Fate::Accepted(Evidence::Adopted) && executions == &[execution("e1")]),
        "{step:?}"
    );
}

#[test]
fn a_result_that_was_refused_is_concluded_anew_and_not_written_over_what_refused_it() {
    let (mut run, lock) = doubtful();
    let seen = Some(vec![candidate("e1", 100)]);
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look(&run, &lock, &memory, 1100, seen.clone());
    let mut o = Observed::new(run.clone(), memory, limits(), Duration::from_secs(1200), Gate::Open, nonce("spare"));
    let candidates = || Answer::Candidates(Some(Sighting { candidates: vec![candidate("e1", 100)], after: None }));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::ReadCandidates, candidates());
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    answer(&mut o, |s| *s == Step::ReadOthers, Answer::Others(Others::default()));
    answer(&mut o, |s| matches!(s, Step::Record { trigger, .. } if trigger.fate == Fate::Accepted(Evidence::Adopted)), Answer::Unsure);
    // Meanwhile the lock has been taken anew, for another delivery.
    run.marker = None;
    run.version = "20".into();
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| *s == Step::ReadCandidates, candidates());
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "n2", "20")));
    assert!(matches!(next(&o), Step::Hold(Hold::Unconfirmed(_))), "{:?}", next(&o));
}

#[test]
fn a_doubt_without_a_trace_becomes_ambiguous_after_the_settle_time_only() {
    let (run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (step, memory) = look(&run, &lock, &memory, 1364, Some(vec![]));
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{step:?}");
    let (step, memory) = look(&run, &lock, &memory, 1365, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "a failed list concludes nothing: {step:?}");
    let (step, _) = look(&run, &lock, &memory, 1366, Some(vec![]));
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == Fate::Ambiguous { executed: false }), "{step:?}");
}

fn is_ambiguous(step: &Step) -> bool {
    matches!(step, Step::Record { trigger, .. } if trigger.fate == Fate::Ambiguous { executed: false })
}

#[test]
fn a_doubt_that_nothing_can_clear_ends_at_the_deadline_but_not_before_the_list_had_its_time() {
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

#[test]
fn a_doubt_whose_account_is_away_ends_at_the_deadline() {
    let (mut run, lock) = doubtful();
    let away = |run: &Run, memory: &Memory, at: u64, deadline: u64| {
        let gate = Gate::AccountNotReady("no Secret".into());
        let mut o = Observed::new(run.clone(), memory.clone(), limits(), Duration::from_secs(at), gate, nonce("spare"));
        o.deadline = Some(Duration::from_secs(deadline));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        let step = next(&o);
        let memory = remember(&o, &step);
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
    let tenancy = lock.tenancy.unwrap();
    let judged = takeover(&tenancy, &Holder::Present(Box::new(run.clone())));
    assert_eq!(judged, Takeover::AfterQuarantine(tenancy.delivery(&nonce("n1"), Entry::Unknown)));
    assert!(settled(&run), "and it triggers nothing");
}

#[test]
fn a_list_that_never_reaches_back_to_the_trigger_ends_the_doubt_after_the_settle_time() {
    let (run, lock) = doubtful();
    let mut without_baseline = lock.clone();
    without_baseline.tenancy.as_mut().unwrap().baseline = None;
    let newest = |after| Sighting { candidates: vec![candidate("e1", 300)], after: Some(after) };
    for (lock, partial) in [(&lock, newest(200)), (&without_baseline, newest(50)), (&lock, Sighting::of_nothing())] {
        let (_, memory) = look(&run, lock, &Memory::default(), 1000, None);
        let (step, memory) = look_at(None, &run, lock, &memory, 1364, Some(partial.clone()));
        assert_eq!(step, Step::Hold(Hold::Unconfirmed(Duration::from_secs(10))));
        let (step, _) = look_at(None, &run, lock, &memory, 1365, Some(partial));
        let Step::Record { trigger, message, executions, .. } = step else { panic!("{step:?}") };
        assert_eq!((trigger.fate, executions), (Fate::Ambiguous { executed: false }, vec![]));
        assert!(message.contains("attributed"), "{message}");
    }
}

#[test]
fn a_person_can_answer_where_no_list_can_but_only_after_the_quarantine() {
    let (mut run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (step, _) = look(&run, &lock, &memory, 99_999, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "nobody has answered: {step:?}");
    run.answered = Some(nonce("n0"));
    let (step, _) = look(&run, &lock, &memory, 99_999, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "the answer is about another trigger: {step:?}");
    run.answered = Some(nonce("n1"));
    let (step, _) = look(&run, &lock, &memory, 1899, None);
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "it may still land: {step:?}");
    let (step, _) = look(&run, &lock, &memory, 1900, None);
    assert!(matches!(&step, Step::Record { trigger: t, .. } if *t == trigger("n1", 1, Fate::Ambiguous { executed: false })), "{step:?}");
    // What can be found out is found out, whatever the person says.
    let (_, memory) = look(&run, &lock, &memory, 1900, Some(vec![candidate("e1", 100)]));
    let (step, _) = look(&run, &lock, &memory, 1910, Some(vec![candidate("e1", 100)]));
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == Fate::Accepted(Evidence::Adopted)), "{step:?}");
}

#[test]
fn a_doubt_says_how_a_person_can_end_it() {
    let (run, _) = doubtful();
    let Some(Situation::Because(_, message)) = waiting(&run, &Hold::Unconfirmed(Duration::ZERO)) else { panic!() };
    for word in ["not sent again", "\"n1:retry\"", "\"n1:adopt=", "\"n1:abandon\"", "--quarantine-seconds"] {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn a_pass_over_a_doubt_ends_instead_of_waiting_for_nuvo() {
    let (run, lock) = doubtful();
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let ripe = || {
        let mut o = Observed::new(run.clone(), memory.clone(), limits(), Duration::from_secs(1100), Gate::Open, nonce("spare"));
        o.learn(&Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
        o
    };
    assert_eq!(next(&ripe()), Step::ReadCandidates);
    let mut paused = ripe();
    paused.silence = Some(Duration::from_secs(600));
    assert_eq!(next(&paused), Step::Hold(Hold::Unconfirmed(Duration::from_secs(600))));
    assert_eq!(remember(&paused, &next(&paused)), memory, "the time of the doubt is kept");
    let mut stopping = ripe();
    stopping.gate = Gate::Draining;
    assert!(matches!(next(&stopping), Step::Hold(Hold::Unconfirmed(_))));
}

#[test]
fn nothing_is_adopted_under_a_young_or_foreign_lock() {
    let (run, mut lock) = doubtful();
    lock.tenancy.as_mut().unwrap().young = true;
    let seen = Some(vec![candidate("e1", 100)]);
    let (_, memory) = look(&run, &lock, &Memory::default(), 1000, None);
    let (_, memory) = look(&run, &lock, &memory, 1100, seen.clone());
    let (step, _) = look(&run, &lock, &memory, 1200, seen.clone());
    assert!(matches!(step, Step::Hold(Hold::Unconfirmed(_))), "{step:?}");
    let (step, _) = look(&run, &Lock::default(), &memory, 1200, seen);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == Fate::Ambiguous { executed: false }), "{step:?}");
}

#[test]
fn the_answer_of_the_task_wins_over_a_guess_but_not_over_an_adoption() {
    for (present, wins) in [(Fate::Ambiguous { executed: false }, true), (Fate::Accepted(Evidence::Adopted), false)] {
        let mut run = run("u1");
        let mut o = pass(&run);
        to_marked(&mut o, &run);
        answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(Outcome::Accepted(vec![execution("e1")])));
        answer(&mut o, |s| matches!(s, Step::Record { .. }), Answer::Unsure);
        run.marker = None;
        run.trigger = Some(trigger("spare", 1, present));
        answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run))));
        assert_eq!(matches!(next(&o), Step::Record { .. }), wins);
    }
}

#[test]
fn what_nuvo_answered_without_ids_is_written_before_anything_else_and_outlives_the_process() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(Outcome::ExecutedIdsUnknown { message: String::new() }));
    let step = next(&o);
    let Step::Mark { marker, over } = &step else { panic!("{step:?}") };
    assert_eq!((marker, over.as_str()), (&Marker { executed: true, ..marker_of(&run, "spare", 1) }, "11"));
    o.learn(&step, Answer::Written("12".into()));
    assert!(matches!(next(&o), Step::Hold(Hold::Unconfirmed(_))), "{:?}", next(&o));

    // Another process, which knows only what is stored.
    let marked = Run { version: "12".into(), marker: Some(marker.clone()), ..run.clone() };
    let lock = held(&run, "spare", "10");
    let (_, memory) = look(&marked, &lock, &Memory::default(), 2000, None);
    let (step, _) = look(&marked, &lock, &memory, 2365, Some(vec![]));
    let executed = Fate::Ambiguous { executed: true };
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == executed), "{step:?}");
    let unknown = after(&lock, Entry::Unknown);
    assert!(matches!(verdict(&marked, &unknown), Verdict::Recorded(trigger, _) if trigger.fate == executed), "whoever took the lock");
    // What the list shows is adopted as ever.
    let (_, memory) = look(&marked, &lock, &memory, 2100, Some(vec![candidate("e1", 1)]));
    let (step, _) = look(&marked, &lock, &memory, 2110, Some(vec![candidate("e1", 1)]));
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == Fate::Accepted(Evidence::Adopted)), "{step:?}");
}

#[test]
fn what_nuvo_answered_without_ids_is_written_again_until_it_is_there_and_wins_over_a_guess() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(Outcome::ExecutedIdsUnknown { message: String::new() }));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Unsure);
    let marked = Run { version: "13".into(), marker: Some(marker_of(&run, "spare", 1)), ..run };
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(marked.clone()))));
    assert!(matches!(next(&o), Step::Mark { marker, over } if marker.executed && over == "13"));
    let mut refused = o.clone();
    answer(&mut refused, |s| matches!(s, Step::Mark { .. }), Answer::Refused);
    assert!(matches!(next(&refused), Step::Hold(Hold::Unconfirmed(_))), "it cannot be written: {:?}", next(&refused));

    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Unsure);
    let guess = trigger("spare", 1, Fate::Ambiguous { executed: false });
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(Run { trigger: Some(guess), ended: true, ..marked }))));
    let step = next(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if trigger.fate == Fate::Ambiguous { executed: true }), "{step:?}");
    o.learn(&step, Answer::Written("14".into()));
    assert_eq!(next(&o), Step::Follow);
}

#[test]
fn an_answer_for_a_deleted_run_goes_into_the_ledger() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    answer(&mut o, |s| matches!(s, Step::Post(_)), Answer::Posted(Outcome::Accepted(vec![execution("e1")])));
    answer(&mut o, |s| matches!(s, Step::Record { .. }), Answer::Missing);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "spare", "10")));
    let step = next(&o);
    assert!(matches!(&step, Step::Release { lock, .. } if lock.remembers(&execution("e1")) && lock.tenancy.is_none()), "{step:?}");
    o.learn(&step, Answer::Written("9".into()));
    assert_eq!(next(&o), Step::Forget);
}

#[test]
fn the_ledger_is_bounded_in_entries_and_bytes() {
    let run = run("u1");
    let mut lock = Lock::default();
    for i in 0..100 {
        lock.tenancy = held(&run, &format!("n{i}"), "1").tenancy;
        lock = after(&lock, Entry::Started((0..1000).map(|e| execution(&format!("{i:016}-{e:016}"))).collect()));
    }
    assert!(lock.ledger.len() <= LEDGER_ENTRIES);
    assert!(serde_json::to_string(&lock).unwrap().len() <= LEDGER_BYTES, "{}", lock.ledger.len());
    assert_eq!(lock.ledger.back().unwrap().nonce, nonce("n99"));
}
