//! Who takes a lock, and who gives it back.

use super::*;

#[test]
fn takeover_follows_the_result_of_the_holder() {
    let mut holder = run("u1");
    let lock_holder = held(&holder, "n1", "9").holder.unwrap();
    let judge = |run: &Run| takeover(&lock_holder, &Holder::Present(Box::new(run.clone())));
    assert_eq!(judge(&holder), Takeover::No);
    holder.marker = Some(marker_of(&holder, "n1", 1));
    assert_eq!(judge(&holder), Takeover::No);
    let delivery = |entry| lock_holder.delivery(&nonce("n1"), entry);
    for (result, expected) in [
        (TriggerResult::Accepted(Evidence::Answer), Takeover::Now(delivery(LedgerOutcome::Started(vec![])))),
        (TriggerResult::NotExecuted, Takeover::Now(delivery(LedgerOutcome::Nothing))),
        (TriggerResult::Accepted(Evidence::Adopted), Takeover::AfterQuarantine(delivery(LedgerOutcome::Started(vec![])))),
        (TriggerResult::Ambiguous { executed: false }, Takeover::AfterQuarantine(delivery(LedgerOutcome::Unknown))),
    ] {
        holder.trigger = Some(trigger("n1", 1, result));
        assert_eq!(judge(&holder), expected);
    }
    assert_eq!(takeover(&lock_holder, &Holder::Gone), Takeover::AfterQuarantine(delivery(LedgerOutcome::Unknown)));
    holder.abandoned = Some(nonce("n1"));
    assert_eq!(judge(&holder), Takeover::AfterQuarantine(delivery(LedgerOutcome::Unknown)));
    // A finalizer may keep an object without end.
    (holder.trigger, holder.deleting) = (None, true);
    assert_eq!(judge(&holder), Takeover::AfterQuarantine(delivery(LedgerOutcome::Unknown)));
}

#[test]
fn lock_reacquired_in_vain_by_a_second_operator_is_released_like_any_other() {
    let mut holder = run("u1");
    holder.marker = Some(marker_of(&holder, "n1", 1));
    holder.trigger = Some(trigger("n1", 1, TriggerResult::Accepted(Evidence::Answer)));
    holder.executions = vec![execution("e1")];
    let mut lock = held(&holder, "n1", "9");
    lock.holder.as_mut().unwrap().nonce = nonce("bump");
    let lock_holder = lock.holder.clone().unwrap();
    let delivery = lock_holder.delivery(&nonce("n1"), LedgerOutcome::Started(vec![execution("e1")]));
    assert_eq!(takeover(&lock_holder, &Holder::Present(Box::new(holder.clone()))), Takeover::Now(delivery));
    let read = LockRead { version: Some("7".into()), lock: lock.clone(), age: None };
    assert!(
        matches!(release(&holder, &nonce("n1"), &read), Some(Step::Release { lock, .. }) if lock.of_delivery(&holder.id.uid, &nonce("n1")).is_some())
    );
    // The next attempt starts too.
    holder.attempt = 2;
    assert_eq!(verdict(&holder, &lock), Verdict::New { resume: None });
}

/// What a run does that finds this lock with this age, as a process that has just begun.
fn beside(holder: &Holder, lock: &Lock, age: Option<u64>) -> Step {
    let mut o = pass(&run("u2"));
    answer(&mut o, |s| *s == Step::ReadLock, lock_of_age(lock, age));
    answer(&mut o, |s| matches!(s, Step::ReadHolder(_)), Answer::Holder(holder.clone()));
    next_step(&o)
}

#[test]
fn lock_whose_age_shows_that_the_quarantine_is_over_is_taken_at_first_sight() {
    let holder = Run { deleting: true, ..run("u1") };
    let lock = held(&holder, "n1", "9");
    for holder in [Holder::Gone, Holder::Unreadable, Holder::Present(Box::new(holder))] {
        let left = |age| match beside(&holder, &lock, age) {
            Step::Hold(Hold::PipelineBusy(_, left)) => left.map(|left| left.as_secs()),
            Step::ReadBaseline => Some(0),
            step => panic!("{step:?}"),
        };
        // Fence, POST deadline and quarantine, and what clocks may be apart.
        assert_eq!([None, Some(0), Some(125), Some(1024), Some(1025)].map(left), [900, 900, 900, 1, 0].map(Some), "{holder:?}");
    }
    let doubtful = Run { marker: Some(marker_of(&run("u1"), "n1", 1)), ..run("u1") };
    assert!(matches!(beside(&Holder::Present(Box::new(doubtful)), &lock, Some(99_999)), Step::Hold(Hold::PipelineBusy(_, None))));
}

#[test]
fn lock_of_a_settled_holder_blocks_others_for_the_quarantine_at_most() {
    let mut holder = run("u1");
    let lock_holder = held(&holder, "other", "9").holder.unwrap();
    let judge = |run: &Run| takeover(&lock_holder, &Holder::Present(Box::new(run.clone())));
    let after_quarantine = Takeover::AfterQuarantine(lock_holder.delivery(&nonce("other"), LedgerOutcome::Unknown));
    // The marker was wiped.
    holder.trigger = Some(trigger("n1", 1, TriggerResult::Accepted(Evidence::Answer)));
    assert_eq!(judge(&holder), after_quarantine);
    // Another attempt is open: the lock may be its own.
    holder.attempt = 2;
    assert_eq!(judge(&holder), Takeover::No);
    // Not sent, and a lock of a later acquisition.
    holder.attempt = 1;
    holder.marker = Some(marker_of(&holder, "n1", 1));
    holder.trigger = Some(trigger("n1", 1, TriggerResult::NotExecuted));
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
fn refused_trigger_with_a_lock_reacquired_in_vain_is_tried_again() {
    let mut run = run("u1");
    run.marker = Some(marker_of(&run, "n1", 1));
    run.trigger = Some(trigger("n1", 1, TriggerResult::NotExecuted));
    let mut lock = held(&run, "n1", "9");
    lock.holder.as_mut().unwrap().nonce = nonce("bump");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(lock));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let step = next_step(&o);
    assert!(
        matches!(&step, Step::TakeLock { lock, .. } if lock.of_delivery(&run.id.uid, &nonce("n1")).is_some_and(|known| known.entry == LedgerOutcome::Nothing)),
        "{step:?}"
    );
}

#[test]
fn next_attempt_with_a_wiped_marker_starts() {
    let mut run = run("u1");
    run.trigger = Some(trigger("n1", 1, TriggerResult::NotExecuted));
    run.attempt = 2;
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "n1", "9")));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    assert!(matches!(next_step(&o), Step::TakeLock { .. }), "{:?}", next_step(&o));
}

#[test]
fn indeterminate_marker_is_read_and_the_lock_taken_anew_before_a_second_try() {
    let mut run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Indeterminate);
    run.version = "13".into();
    o.spare = nonce("spare2");
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let step = next_step(&o);
    assert!(
        matches!(&step, Step::TakeLock { lock, over: Some(v) }
        if v == "8" && lock.holder.as_ref().is_some_and(|t| t.nonce == nonce("spare2") && t.run_version == "13")),
        "{step:?}"
    );
    o.learn(&step, Answer::Written("9".into()));
    assert!(matches!(next_step(&o), Step::Mark { marker, over } if marker.nonce == nonce("spare2") && over == "13"));
}

/// Up to the second W2 of a run that was changed before the first.
fn to_second_mark(o: &mut TriggerFacts, run: &Run, changed: &Run) {
    to_indeterminate_mark(o, run);
    o.spare = nonce("spare2");
    answer(o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(changed.clone()))));
    answer(o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("9".into()));
    answer(o, |s| matches!(s, Step::Mark { .. }), Answer::Written("14".into()));
}

#[test]
fn run_suspended_before_its_marker_is_not_posted_and_not_in_doubt() {
    let run = run("u1");
    let mut o = pass(&run);
    to_second_mark(&mut o, &run, &Run { version: "13".into(), suspended: true, ..run.clone() });
    let step = next_step(&o);
    assert!(matches!(&step, Step::Record { trigger, .. } if *trigger == self::trigger("spare2", 1, TriggerResult::NotExecuted)));
}

/// Up to a first W2 of which only a read of the run can tell whether it was written.
fn to_indeterminate_mark(o: &mut TriggerFacts, run: &Run) {
    answer(o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(o, |s| matches!(s, Step::Mark { .. }), Answer::Indeterminate);
}

/// The lock is given back as it was before, and then this.
fn assert_gives_back(mut o: TriggerFacts, then: &Step) {
    let step = next_step(&o);
    assert!(matches!(&step, Step::Release { lock, over } if **lock == Lock::default() && over == "8"), "{step:?}");
    o.learn(&step, Answer::Written("9".into()));
    assert_eq!(next_step(&o), *then);
}

#[test]
fn lock_is_given_back_by_a_run_that_was_changed_for_longer_than_the_fence() {
    let run = run("u1");
    let mut o = pass(&run);
    to_indeterminate_mark(&mut o, &run);
    o.now = o.now.saturating_add(Duration::from_secs(5));
    let changed = Run { version: "13".into(), ..run };
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(changed))));
    assert_gives_back(o, &Step::Restart);
}

#[test]
fn lock_is_given_back_by_a_run_that_is_deleted_before_its_marker() {
    let run = run("u1");
    let begun = || {
        let mut o = pass(&run);
        to_indeterminate_mark(&mut o, &run);
        o
    };
    let mut deleting = begun();
    let kept = Run { version: "13".into(), deleting: true, ..run.clone() };
    answer(&mut deleting, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(kept))));
    assert_gives_back(deleting, &Step::Restart);

    let mut gone = begun();
    answer(&mut gone, |s| *s == Step::ReadRun, Answer::Run(None));
    answer(&mut gone, |s| *s == Step::ReadLock, lock_read_at("8", held(&run, "spare", "10")));
    assert_gives_back(gone, &Step::Forget);
}

#[test]
fn lock_taken_by_another_task_is_not_given_back_by_a_run_that_is_gone() {
    let run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(held(&run, "n1", "10")));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Missing);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read_at("8", Lock::default()));
    assert_eq!(next_step(&o), Step::Forget);
}

#[test]
fn lock_that_is_given_back_still_tells_that_its_ledger_may_be_lost() {
    let run = run("u1");
    let mut lock = held(&run, "n1", "10");
    lock.holder.as_mut().unwrap().ledger_may_be_lost = true;
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read_at("8", lock.given_back()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let step = next_step(&o);
    let Step::TakeLock { lock: taken, .. } = &step else { panic!("{step:?}") };
    assert!(taken.holder.as_ref().is_some_and(|holder| holder.ledger_may_be_lost) && !taken.ledger_may_be_lost);
}
