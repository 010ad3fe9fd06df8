//! `spec.startDeadlineSeconds`: a run that could not be triggered in time.

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::life::{decide, facts, present};
use super::*;
use crate::run::{Account, Begin, Life, Present, RunMemory};
use nuvo_crds::{PipelineRun, conditions::Reason};

fn too_late() -> Life {
    Life { start_deadline: Some(Duration::ZERO), ..Life::default() }
}

fn ends(act: &Act) -> bool {
    matches!(act, Act::Show(StatusChange::Present(StatusInput::Because(Reason::StartDeadlineExceeded, _))))
}

/// The next act of a run that is too late, after it has read this lock.
fn after_reading(run: &Run, lock: Lock) -> (Facts, Act) {
    let mut facts = facts(Begin::Changed, Some(run.clone()), RunMemory::default());
    let act = decide(&mut facts, &too_late(), Change::Content);
    assert_eq!(act, Act::Trigger(Step::ReadLock), "no place and no turn is wanted");
    facts.learn(&act, Answered::Trigger(lock_read(lock)));
    let act = decide(&mut facts, &too_late(), Change::Content);
    (facts, act)
}

#[test]
fn run_that_was_not_triggered_in_time_ends() {
    let (_, act) = after_reading(&run("u1"), Lock::default());
    assert!(ends(&act), "{act:?}");
    let (_, act) = after_reading(&run("u1"), held(&run("u2"), "n2", "9"));
    assert!(ends(&act), "another run holds the lock: {act:?}");
}

#[test]
fn run_that_is_in_time_is_triggered_and_looked_at_again_at_its_deadline() {
    let life = Life { start_deadline: Some(Duration::from_secs(7)), ..Life::default() };
    let mut facts = facts(Begin::Changed, Some(run("u1")), RunMemory::default());
    let act = decide(&mut facts, &life, Change::None);
    facts.learn(&act, Answered::Trigger(lock_read(held(&run("u2"), "n2", "9"))));
    let act = decide(&mut facts, &life, Change::None);
    facts.learn(&act, Answered::Trigger(Answer::Holder(Holder::Present(Box::new(run("u2"))))));
    let act = decide(&mut facts, &life, Change::None);
    facts.learn(&act, Answered::Done);
    let life = Life { reason: Some(Reason::PipelineBusy), ..life };
    assert!(matches!(decide(&mut facts, &life, Change::None), Act::Done { again: Again::After(left), .. } if left.as_secs() == 7));
}

#[test]
fn run_that_is_too_late_without_an_account_ends() {
    let mut facts = facts(Begin::Changed, Some(run("u1")), RunMemory::default());
    let missing = Present { account: Account::NotReady("missing".into()), lock_is_known: false, ..present(too_late()) };
    facts.refresh(missing.clone());
    let act = next(&facts);
    facts.learn(&act, Answered::Rendered(Rendered { change: Change::Content, message_hash: 7, ends_lock_need: false }));
    facts.refresh(missing);
    let act = next(&facts);
    assert!(ends(&act), "{act:?}");
}

#[test]
fn trigger_that_may_be_out_is_looked_into_whatever_the_start_deadline_says() {
    let run = run("u1");
    let marked = Run { marker: Some(marker_of(&run, "n1", 1)), ..run.clone() };
    let mut facts = facts(Begin::Changed, Some(marked), RunMemory::default());
    assert_eq!(decide(&mut facts, &too_late(), Change::Content), Act::Trigger(Step::ReadRun));
    let (_, act) = after_reading(&run, held(&run, "n1", "9"));
    assert!(!ends(&act), "the lock names a delivery: {act:?}");
}

#[test]
fn restored_object_is_lost_and_not_too_late() {
    let run = run("u1");
    let earlier = Run { id: RunRef { uid: Uid::new("u0").unwrap(), ..run.id.clone() }, ..run.clone() };
    let restored = Run { marker: Some(marker_of(&earlier, "n0", 1)), ..run };
    let mut facts = facts(Begin::Changed, Some(restored), RunMemory::default());
    let missing = Present { account: Account::NotReady("missing".into()), lock_is_known: false, ..present(too_late()) };
    facts.refresh(missing);
    let act = next(&facts);
    assert!(
        matches!(act, Act::Render(StatusChange::Present(StatusInput::Because(Reason::AccountNotReady, _)))),
        "what an earlier object of this name has started is not known: {act:?}"
    );
}

#[test]
fn run_that_nuvo_gives_no_list_for_a_long_time_is_looked_at_again_at_its_start_deadline() {
    let life = Life { start_deadline: Some(Duration::from_secs(7)), reason: Some(Reason::RateLimited), ..Life::default() };
    let mut facts = facts(Begin::Changed, Some(run("u1")), RunMemory::default());
    let act = decide(&mut facts, &life, Change::None);
    facts.learn(&act, Answered::Trigger(lock_read(Lock::default())));
    let act = decide(&mut facts, &life, Change::None);
    assert!(matches!(act, Act::Done { wishes: Some(Wishes { ask: Ask::Turn, .. }), .. }), "{act:?}");
    let retry_after = Some(Duration::from_secs(900));
    let refused = AccountAnswer::Refused { obstacle: Obstacle::RateLimited, message: "nuvo limits the rate".into(), retry_after };
    facts.learn(&act, Answered::Account(refused));
    assert!(matches!(decide(&mut facts, &life, Change::None), Act::Done { again: Again::After(left), .. } if left.as_secs() == 7));
}

#[test]
fn lock_of_a_refused_trigger_is_given_back_before_the_run_ends() {
    let run = run("u1");
    let refused =
        Run { marker: Some(marker_of(&run, "n1", 1)), trigger: Some(trigger("n1", 1, TriggerResult::NotExecuted)), ..run.clone() };
    let (mut facts, act) = after_reading(&refused, held(&run, "n1", "9"));
    let Act::Trigger(Step::Release { lock, .. }) = &act else { panic!("{act:?}") };
    assert_eq!(lock.last_of(&run.id.uid).map(|entry| &entry.entry), Some(&LedgerOutcome::Nothing));
    let free = lock.as_ref().clone();
    facts.learn(&act, Answered::Trigger(Answer::Written("8".into())));
    let act = decide(&mut facts, &too_late(), Change::Content);
    facts.learn(&act, Answered::Trigger(lock_read(free)));
    let act = decide(&mut facts, &too_late(), Change::Content);
    assert!(ends(&act), "{act:?}");
}

/// A write would put the run in doubt, and without one another task could still send its POST.
#[test]
fn run_that_can_resume_under_its_lock_records_that_nothing_was_sent() {
    let run = run("u1");
    let (mut facts, act) = after_reading(&run, held(&run, "n1", "10"));
    assert_eq!(act, Act::Trigger(Step::ReadRun));
    facts.learn(&act, Answered::Trigger(Answer::Run(Some(Box::new(run.clone())))));
    let act = decide(&mut facts, &too_late(), Change::Content);
    let Act::Trigger(Step::TakeLock { lock, .. }) = &act else { panic!("{act:?}") };
    assert_eq!(lock.holder.as_ref().map(|holder| (&holder.nonce, &holder.acquisition)), Some((&nonce("spare"), &nonce("n1"))));
    facts.learn(&act, Answered::Trigger(Answer::Written("8".into())));
    let act = decide(&mut facts, &too_late(), Change::Content);
    assert!(matches!(act, Act::Trigger(Step::Mark { .. })), "{act:?}");
    facts.learn(&act, Answered::Trigger(Answer::Written("11".into())));
    let act = decide(&mut facts, &too_late(), Change::Content);
    assert!(matches!(&act, Act::Trigger(Step::Record { trigger, .. }) if trigger.result == TriggerResult::NotExecuted), "{act:?}");
}

#[test]
fn trigger_is_not_sent_when_the_start_deadline_passes_on_the_way_to_it() {
    let run = run("u1");
    let mut o = pass(&run);
    to_marked(&mut o, &run);
    o.start_deadline = Some(Duration::ZERO);
    assert!(matches!(next_step(&o), Step::Record { trigger, .. } if trigger.result == TriggerResult::NotExecuted));
}

/// Two operators: one has ended the run while the other was about to announce its POST.
#[test]
fn run_that_another_operator_has_ended_is_not_triggered_and_its_lock_is_given_back() {
    let run = run("u1");
    let mut o = pass(&run);
    answer(&mut o, |s| *s == Step::ReadLock, lock_read(Lock::default()));
    answer(&mut o, |s| *s == Step::ReadBaseline, Answer::Baseline(Some(Baseline::default())));
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let Step::TakeLock { lock, .. } = next_step(&o) else { panic!("{:?}", next_step(&o)) };
    answer(&mut o, |s| matches!(s, Step::TakeLock { .. }), Answer::Written("8".into()));
    answer(&mut o, |s| matches!(s, Step::Mark { .. }), Answer::Indeterminate);
    let ended = Run { ended: true, version: "11".into(), ..run };
    answer(&mut o, |s| *s == Step::ReadRun, Answer::Run(Some(Box::new(ended))));
    assert!(matches!(next_step(&o), Step::Release { lock: free, .. } if free.holder.is_none() && free.ledger == lock.ledger));
}

fn object(spec: serde_json::Value, status: serde_json::Value) -> PipelineRun {
    let mut object = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": { "name": "a", "namespace": "ns", "uid": "u1", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "pipelineId": "orders", "startDeadlineSeconds": 10 },
        "status": status,
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Timestamp::from_second(created.as_second().saturating_add(seconds)).unwrap()
}

fn left(object: &PipelineRun, seconds: i64) -> Option<u64> {
    Life::of(object, None, at(seconds)).start_deadline.map(|left| left.as_secs())
}

#[test]
fn start_deadline_counts_from_the_creation_or_a_later_request() {
    assert_eq!(left(&object(json!({}), json!(null)), 4), Some(7), "creation times are rounded down");
    assert_eq!(left(&object(json!({}), json!(null)), 400), Some(0));
    assert_eq!(left(&object(json!({ "startDeadlineSeconds": null }), json!(null)), 400), None);
    let requested = |time: &str| object(json!({}), json!({ "requestTime": time }));
    assert_eq!(left(&requested("2026-01-01T00:06:40Z"), 402), Some(9));
    assert_eq!(left(&requested("2025-01-01T00:00:00Z"), 4), Some(7), "that of an object before it");
    assert_eq!(left(&object(json!({}), json!({ "startTime": "2026-01-01T00:00:05Z" })), 400), None, "a retry");
}

#[test]
fn suspended_run_does_not_age_and_its_resumption_is_kept() {
    let mut object = object(json!({ "suspend": true }), json!(null));
    let show = |object: &mut PipelineRun, input: &StatusInput, seconds| {
        let run = parse(object).unwrap();
        object.status = Some(compute_status(object, &run, input, &Knowledge::new(), at(seconds)));
    };
    assert_eq!(left(&object, 400), None);
    show(&mut object, &waiting(&pass(&run("u1")), &Hold::Suspended, Timestamp::UNIX_EPOCH).unwrap(), 1);
    object.spec.suspend = false;
    assert_eq!(left(&object, 400), None, "it begins when the resumption is recorded");
    show(&mut object, &StatusInput::Because(Reason::PipelineBusy, String::new()), 500);
    assert_eq!(left(&object, 502), Some(9));
    show(&mut object, &StatusInput::Because(Reason::RateLimited, String::new()), 505);
    assert_eq!(left(&object, 506), Some(5));
}

#[test]
fn accepted_token_begins_the_start_deadline_anew_and_a_retry_has_none() {
    let mut object = object(json!({}), json!(null));
    let ended = StatusInput::Because(Reason::StartDeadlineExceeded, String::new());
    object.status = Some(compute_status(&object, &parse(&object).unwrap(), &ended, &Knowledge::new(), at(11)));
    assert!(settled(&parse(&object).unwrap()) && at_rest(&object, at(11)));
    object.spec.rerun_token = Some("again".into());
    assert_eq!(reopening(&object, &parse(&object).unwrap(), at(100)), Some(Reopening::Attempt(2)));
    object.status = Some(opened(&object, 2, false, at(100)));
    assert_eq!(left(&object, 102), Some(9));
}
