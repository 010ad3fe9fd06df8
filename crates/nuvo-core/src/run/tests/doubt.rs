//! A run in doubt: how it is looked into, and how it ends.

use k8s_openapi::jiff::Timestamp;

use super::looks::*;
use super::*;
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
