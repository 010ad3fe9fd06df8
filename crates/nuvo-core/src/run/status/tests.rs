//! The status that follows from what is known, and the events of its changes.

mod answers;

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use serde_json::json;

use crate::run::*;
use answers::ambiguous;
use nuvo_crds::{
    AttemptStatus, Execution, ExecutionError, MAX_EXECUTION_IDS, MAX_EXECUTIONS, MAX_HISTORY, MAX_INTEGER, MAX_STATUS_MESSAGE,
    OnAmbiguousTrigger, OnNothingToProcess, PastAttempt, Phase, PipelineRun, PipelineRunSpec, PipelineRunStatus, RetryStatus, SeriesStatus,
    Stats,
    conditions::{ConditionStatus, Reason},
    well_known::RESOLVE_ANNOTATION,
};

const SHORT: Duration = Duration::from_secs(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds.saturating_add(1_000_000)).unwrap()
}

fn object() -> PipelineRun {
    let mut object = PipelineRun::new("orders", PipelineRunSpec { pipeline_id: "orders".into(), ..PipelineRunSpec::default() });
    object.metadata.namespace = Some("team".into());
    object.metadata.uid = Some("u1".into());
    object.metadata.resource_version = Some("1".into());
    object.metadata.generation = Some(3);
    object
}

fn with(mut object: PipelineRun, status: PipelineRunStatus) -> PipelineRun {
    object.status = Some(status);
    object
}

fn trigger(result: TriggerResult) -> Trigger {
    Trigger { nonce: Nonce::new("n1").unwrap(), attempt: 1, result }
}

fn ids(count: usize) -> Vec<ExecutionId> {
    (0..count).map(|number| ExecutionId::new(format!("e{number}")).unwrap()).collect()
}

fn accepted(count: usize) -> PipelineRun {
    let object = object();
    let status = recorded(&object, &trigger(TriggerResult::Accepted(Evidence::Answer)), &ids(count), "", FollowUp::Nothing, at(0));
    with(object, status)
}

fn report(id: &ExecutionId, word: &str, rows: i64) -> (ExecutionId, Known) {
    let failed = word == "FAILED";
    let execution = Execution {
        id: id.to_string(),
        status: Some(word.into()),
        error: failed.then(|| ExecutionError { error_type: Some("PARSING_FAILURE".into()), message: Some("line 7".into()) }),
        stats: Some(Stats { total_rows: Some(rows), ..Stats::default() }),
        ..Execution::default()
    };
    (id.clone(), Known::Report(Box::new(execution)))
}

fn settle(object: &PipelineRun, known: &Knowledge, now: Timestamp) -> PipelineRunStatus {
    hear(object, known, PollFacts { asked: Some(now), ..PollFacts::default() }, now)
}

fn hear(object: &PipelineRun, known: &Knowledge, hearing: PollFacts, now: Timestamp) -> PipelineRunStatus {
    compute_status(object, &parse(object).unwrap(), &StatusInput::Settled(Following::Active, hearing), known, now)
}

fn show(object: &PipelineRun, reason: Reason, message: &str, now: Timestamp) -> PipelineRunStatus {
    compute_status(object, &parse(object).unwrap(), &StatusInput::Because(reason, message.into()), &Knowledge::new(), now)
}

fn message(status: &PipelineRunStatus) -> &str {
    &status.conditions[0].message
}

#[test]
fn reason_determines_the_kstatus_conditions() {
    for wanted in Reason::ALL {
        let status = show(&object(), *wanted, "because", at(5));
        let holds = |kind: &str| status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.as_str());
        let (active, success) = (!wanted.is_final(), wanted.status() == ConditionStatus::True);
        let yes = |holds: bool| Some(if holds { "True" } else { "False" });
        assert_eq!(holds("Succeeded"), Some(wanted.status().as_str()), "{wanted}");
        assert_eq!((holds("Finished"), holds("Ready")), (yes(!active), yes(success)), "{wanted}");
        assert_eq!(holds("Reconciling"), active.then_some("True"), "{wanted}");
        assert_eq!(holds("Stalled"), (!active && !success).then_some("True"), "{wanted}");
        assert_eq!(status.current.completion_time.is_some(), !active, "{wanted}");
        assert!(status.conditions.iter().all(|c| c.observed_generation == Some(3) && c.reason == wanted.as_str()), "{wanted}");
        assert_eq!(reason(&status), Some(*wanted), "it can be read back");
    }
}

#[test]
fn post_not_carried_out_shows_its_obstacle() {
    for (obstacle, wanted, phase) in [
        (Obstacle::RateLimited, Reason::RateLimited, Phase::Pending),
        (Obstacle::Unavailable, Reason::NuvoUnavailable, Phase::Pending),
        (Obstacle::Account, Reason::AccountNotReady, Phase::Pending),
        (Obstacle::Operator, Reason::Pending, Phase::Pending),
    ] {
        let object = object();
        let unexecuted = Unexecuted::RetryAfter(Duration::from_secs(5), obstacle);
        let status =
            recorded(&object, &trigger(TriggerResult::NotExecuted), &[], "it was not sent", FollowUp::Unexecuted(unexecuted), at(0));
        assert_eq!((reason(&status), status.phase), (Some(wanted), Some(phase)));
        assert!(message(&status).starts_with("Nothing was started: it was not sent. The operator tries again"), "{}", message(&status));
        // What is shown while it waits for the next try is not another reason, and so not worth a write.
        let object = with(object, status.clone());
        let run = parse(&object).unwrap();
        let limits = Limits {
            fence: SHORT,
            post_deadline: SHORT,
            settle: SHORT,
            quarantine: SHORT,
            answer: SHORT,
            confirm: SHORT,
            clock_margin: SHORT,
        };
        let o = TriggerFacts::new(run.clone(), Memory::default(), limits, SHORT, Gate::Open, Nonce::new("spare").unwrap());
        let waits = waiting(&o, &Hold::Gate(Gate::HeldOff(obstacle)), at(3)).unwrap();
        let later = compute_status(&object, &run, &waits, &Knowledge::new(), at(3));
        assert_eq!(reason(&later), Some(wanted));
        assert_eq!(later == status, obstacle != Obstacle::Account, "only an account's message changes");
    }
}

#[test]
fn equal_knowledge_gives_an_equal_status() {
    let running = accepted(2);
    let status = running.status.clone().unwrap();
    assert_eq!(status.phase, Some(Phase::Running));
    assert_eq!(settle(&running, &Knowledge::new(), at(60)), status);
    let one_of_two: Knowledge = [report(&ids(2)[0], "SUCCESSFUL", 5), report(&ids(2)[1], "PROCESSING", 0)].into();
    assert_eq!(settle(&running, &one_of_two, at(60)), status, "progress of a part is not worth a write");

    let both: Knowledge = ids(2).iter().map(|id| report(id, "SUCCESSFUL", 5)).collect();
    let ended = with(running, settle(&with(object(), status), &both, at(92)));
    let status = ended.status.clone().unwrap();
    assert_eq!((status.phase, status.current.duration.as_deref()), (Some(Phase::Succeeded), Some("1m32s")));
    assert_eq!(status.current.stats.unwrap().total_rows, Some(10));
    assert_eq!(settle(&ended, &Knowledge::new(), at(10_000)), status, "an ended run stays as it is");
    let later: Knowledge = ids(2).iter().map(|id| report(id, "FAILED", 5)).collect();
    assert_eq!(settle(&ended, &later, at(10_000)), status);
}

#[test]
fn unknown_word_of_nuvo_is_shown_and_ends_nothing() {
    let known: Knowledge = [report(&ids(1)[0], "PAUSED", 0)].into();
    let status = settle(&accepted(1), &known, at(60));
    assert_eq!((status.phase, status.current.executions[0].status.as_deref()), (Some(Phase::Running), Some("PAUSED")));
    for word in ["Successful", "SUCCESSFUL ", "failed", "COMPLETED"] {
        let known: Knowledge = [report(&ids(1)[0], word, 0)].into();
        assert_eq!(settle(&accepted(1), &known, at(60)).phase, Some(Phase::Running), "{word}");
    }
}

#[test]
fn run_without_a_usable_account_says_so_and_continues_by_itself() {
    let running = accepted(1);
    let follow = |object: &PipelineRun, following: Following, known: &Knowledge, now: Timestamp| {
        compute_status(object, &parse(object).unwrap(), &StatusInput::Settled(following, PollFacts::default()), known, now)
    };
    let halted = |why: &str| Following::Halted(why.into());
    let away = with(running.clone(), follow(&running, halted("NuvoAccount a is gone: create it."), &Knowledge::new(), at(5)));
    let status = away.status.clone().unwrap();
    assert_eq!((status.phase, reason(&status)), (Some(Phase::Running), Some(Reason::Running)));
    assert!(message(&status).contains("e0") && message(&status).contains("NuvoAccount a is gone: create it. "), "{}", message(&status));
    assert!(message(&status).contains("by itself"), "{}", message(&status));
    assert_eq!(follow(&away, Following::Undecided, &Knowledge::new(), at(6)), status, "a restart says nothing before it knows");
    let other = follow(&away, halted("no Secret"), &Knowledge::new(), at(7));
    assert!(message(&other).contains("no Secret. "), "there is something else to fix: {}", message(&other));
    assert_eq!(follow(&away, Following::Active, &Knowledge::new(), at(8)), running.status.clone().unwrap(), "as if nothing had been");
    let known: Knowledge = [report(&ids(1)[0], "SUCCESSFUL", 5)].into();
    assert_eq!(reason(&follow(&away, halted("no Secret"), &known, at(9))), Some(Reason::Succeeded), "what is known counts");
    let end = follow(&away, halted("no Secret"), &Knowledge::new(), at(86_400));
    assert_eq!(reason(&end), Some(Reason::DeadlineExceeded));
}

#[test]
fn named_execution_is_not_running_before_nuvo_says_so() {
    let mut object = object();
    object.spec.execution_id = Some("e0".into());
    let unheard = with(object.clone(), settle(&object, &Knowledge::new(), at(0)));
    let status = unheard.status.clone().unwrap();
    assert_eq!((status.phase, message(&status)), (Some(Phase::Running), "Execution e0 is being looked up in nuvo."));
    assert_eq!(status.current.executions, []);
    assert_eq!(settle(&unheard, &Knowledge::new(), at(1)), status);

    let processing: Knowledge = [report(&ids(1)[0], "PROCESSING", 0)].into();
    let found = with(unheard, settle(&with(object, status), &processing, at(2)));
    let status = found.status.clone().unwrap();
    assert_eq!(message(&status), "Execution e0 is running.");
    assert_eq!(status.current.executions[0].status.as_deref(), Some("PROCESSING"));
    assert_eq!(settle(&found, &Knowledge::new(), at(3)), status, "a restart does not look it up anew");
    let more: Knowledge = [report(&ids(1)[0], "PROCESSING", 7)].into();
    assert_eq!(settle(&found, &more, at(4)), status, "progress is not worth a write");
}

#[test]
fn one_failed_execution_fails_the_run_when_all_have_ended() {
    let all = ids(3);
    let mut known: Knowledge = [report(&all[0], "SUCCESSFUL", 5), report(&all[1], "PROCESSING", 0), report(&all[2], "FAILED", 2)].into();
    assert_eq!(settle(&accepted(3), &known, at(1)).phase, Some(Phase::Running));
    known.extend([report(&all[1], "SUCCESSFUL", 1)]);
    let status = settle(&accepted(3), &known, at(1));
    assert_eq!((status.phase, reason(&status)), (Some(Phase::Failed), Some(Reason::ExecutionFailed)));
    assert_eq!(status.current.executions[0].id, "e2", "failed ones first");
    assert_eq!(status.current.error.unwrap().error_type.as_deref(), Some("PARSING_FAILURE"));
    known.insert(all[1].clone(), Known::Lost);
    assert_eq!(reason(&settle(&accepted(3), &known, at(1))), Some(Reason::ExecutionLost));
}

#[test]
fn nothing_to_process_follows_the_spec() {
    assert_eq!(reason(accepted(0).status.as_ref().unwrap()), Some(Reason::NothingToProcess));
    let mut object = object();
    object.spec.on_nothing_to_process = OnNothingToProcess::Fail;
    let status = recorded(&object, &trigger(TriggerResult::Accepted(Evidence::Answer)), &[], "", FollowUp::Nothing, at(0));
    assert_eq!(reason(&status), Some(Reason::NothingToProcessFailed));
}

#[test]
fn deadline_counts_from_the_start_and_ends_only_open_executions() {
    let mut object = accepted(1);
    object.spec.active_deadline_seconds = 60;
    assert_eq!(settle(&object, &Knowledge::new(), at(59)).phase, Some(Phase::Running));
    assert_eq!(reason(&settle(&object, &Knowledge::new(), at(60))), Some(Reason::DeadlineExceeded));
    let known: Knowledge = [report(&ids(1)[0], "SUCCESSFUL", 5)].into();
    assert_eq!(reason(&settle(&object, &known, at(61))), Some(Reason::Succeeded), "an end that is known counts");
}

#[test]
fn deadline_ends_only_executions_that_nuvo_was_asked_about_since() {
    let mut object = accepted(2);
    object.spec.active_deadline_seconds = 60;
    let patience = Duration::from_secs(900);
    let heard = |asked: Option<i64>, waited: u64| {
        let hearing = PollFacts { asked: asked.map(at), waited: Duration::from_secs(waited), patience, ..PollFacts::default() };
        hear(&object, &Knowledge::new(), hearing, at(5_000))
    };
    for asked in [None, Some(10), Some(59)] {
        let status = heard(asked, 0);
        assert_eq!(status, object.status.clone().unwrap(), "not asked since: it may have ended long ago");
        let status = heard(asked, 899);
        assert_eq!(status.phase, Some(Phase::Running));
        assert!(message(&status).contains("The deadline has passed") && message(&status).contains("900 s"), "{}", message(&status));
        let status = heard(asked, 900);
        assert_eq!(reason(&status), Some(Reason::DeadlineExceeded));
        assert!(message(&status).contains("could not be asked"), "{}", message(&status));
    }
    let status = heard(Some(60), 0);
    assert_eq!(reason(&status), Some(Reason::DeadlineExceeded));
    assert!(message(&status).contains("did not end within 60 s"), "{}", message(&status));
}

#[test]
fn status_is_bounded() {
    let many = ids(MAX_EXECUTION_IDS + 5);
    let long = "x".repeat(5_000);
    let object = object();
    let mut object = with(
        object.clone(),
        recorded(&object, &trigger(TriggerResult::Accepted(Evidence::Answer)), &many, &long, FollowUp::Nothing, at(0)),
    );
    let known: Knowledge = many.iter().map(|id| report(id, "SUCCESSFUL", MAX_INTEGER)).collect();
    let status = settle(&object, &known, at(1));
    assert_eq!((status.current.execution_ids.len(), status.current.executions.len()), (MAX_EXECUTION_IDS, MAX_EXECUTIONS));
    assert_eq!(status.current.stats.unwrap().total_rows, Some(MAX_INTEGER));
    assert!(message(&status).contains(&MAX_INTEGER.to_string()), "{}", message(&status));
    assert!(status.trigger.as_ref().unwrap().message.len() <= MAX_STATUS_MESSAGE);
    assert!(show(&object, Reason::AccountNotReady, &long, at(0)).conditions.iter().all(|c| c.message.len() <= MAX_STATUS_MESSAGE));
    object.status = Some(status);
    for attempt in 2..10 {
        let next = opened(&object, attempt, false, at(i64::from(attempt)));
        assert_eq!(next.history.last().unwrap().attempt, attempt - 1, "oldest first");
        object.status = Some(next);
    }
    assert_eq!(object.status.unwrap().history.len(), MAX_HISTORY);
}

/// A status of which every field is set: a new one has to be added here, and below if another attempt keeps it.
fn full_status() -> PipelineRunStatus {
    let failed = settle(&accepted(1), &[report(&ids(1)[0], "FAILED", 5)].into(), at(7));
    PipelineRunStatus {
        observed_generation: Some(2),
        phase: failed.phase,
        conditions: failed.conditions,
        waiting_rerun_token: Some("waits".into()),
        attempt: Some(2),
        trigger: failed.trigger,
        history: vec![PastAttempt { attempt: 1, ..PastAttempt::default() }],
        series: SeriesStatus {
            request_time: None,
            rerun_token: Some("acted on".into()),
            retry: Some(RetryStatus { count: 1, next_time: Some(Time(at(8))) }),
            start_time: failed.series.start_time,
        },
        current: AttemptStatus {
            executions: failed.current.executions,
            execution_ids: failed.current.execution_ids,
            execution_count: failed.current.execution_count,
            error: failed.current.error,
            stats: failed.current.stats,
            completion_time: failed.current.completion_time,
            duration: failed.current.duration,
        },
    }
}

#[test]
fn new_attempt_keeps_exactly_what_outlives_an_attempt() {
    let mut object = with(object(), full_status());
    object.spec.rerun_token = Some("new".into());
    let stored = serde_json::to_value(&object.status).unwrap();
    for (retry, series) in [
        (
            true,
            json!({
                "rerunToken": "acted on", "waitingRerunToken": "new", "retry": { "count": 1 }, "startTime": stored["startTime"],
            }),
        ),
        (false, json!({ "rerunToken": "new", "requestTime": Time(at(9)) })),
    ] {
        let mut opened = serde_json::to_value(opened(&object, 3, retry, at(9))).unwrap();
        let kinds: Vec<_> = opened["conditions"].as_array().unwrap().iter().map(|c| c["type"].clone()).collect();
        assert_eq!(kinds, ["Succeeded", "Finished", "Ready", "Reconciling"], "retry: {retry}");
        let past = json!({
            "attempt": 2, "result": "ExecutionFailed", "errorType": "PARSING_FAILURE", "executionIds": ["e0"],
            "startTime": stored["trigger"]["time"], "completionTime": stored["completionTime"],
        });
        let mut wanted = json!({
            "observedGeneration": 3, "phase": "Pending", "attempt": 3, "trigger": stored["trigger"], "history": [{ "attempt": 1 }, past],
        });
        wanted.as_object_mut().unwrap().extend(series.as_object().unwrap().clone());
        opened.as_object_mut().unwrap().remove("conditions");
        assert_eq!(opened, wanted, "retry: {retry}");
    }
}

/// Also after a person's answer `retry`. Only what the operator does by itself is announced.
#[test]
fn new_attempt_is_shown_as_a_retry_only_if_the_run_makes_it_by_itself() {
    let mut ended = with(object(), full_status());
    ended.spec.rerun_token = Some("waits".into());
    let shown = |retry| {
        let status = opened(&ended, 3, retry, at(9));
        let events = events_of_change(ended.status.as_ref(), &status).into_iter().map(|event| event.reason).collect::<Vec<_>>();
        (reason(&status), status.phase, events)
    };
    assert_eq!(shown(true), (Some(Reason::RetryScheduled), Some(Phase::Pending), vec!["RetryScheduled"]));
    assert_eq!(shown(false), (Some(Reason::Pending), Some(Phase::Pending), vec![]));
}

#[test]
fn new_attempt_forgets_the_trigger_of_another_object() {
    let mut object = with(object(), full_status());
    object.metadata.uid = Some("restored".into());
    assert_eq!(opened(&object, 3, false, at(9)).trigger, None);
}

#[test]
fn unchanged_reason_keeps_its_message() {
    let busy = with(object(), show(&object(), Reason::PipelineBusy, "run a goes first", at(0)));
    assert_eq!(show(&busy, Reason::PipelineBusy, "run b goes first", at(9)), busy.status.clone().unwrap());
    let not_ready = with(object(), show(&object(), Reason::AccountNotReady, "no Secret", at(0)));
    assert_eq!(message(&show(&not_ready, Reason::AccountNotReady, "no key in the Secret", at(9))), "no key in the Secret");
}

#[test]
fn unreadable_result_never_looks_like_none() {
    let mut object = object();
    let broken = serde_json::json!({ "trigger": { "nonce": "not a nonce", "attempt": 1, "state": "Tomorrow" } });
    object.status = Some(serde_json::from_value(broken).unwrap());
    let run = parse(&object).unwrap();
    assert!(matches!(verdict(&run, &Lock::default()), Verdict::Decided | Verdict::Lost), "{run:?}");
}

/// Flux removes what kubectl has set, if Git does not have it.
#[test]
fn token_that_disappears_while_it_waits_is_announced() {
    let running = accepted(1);
    let with_token = |token: Option<&str>| {
        let mut object = running.clone();
        object.spec.rerun_token = token.map(Into::into);
        object.status = Some(compute_status(
            &object,
            &parse(&object).unwrap(),
            &StatusInput::Settled(Following::Active, PollFacts::default()),
            &Knowledge::new(),
            at(1),
        ));
        object
    };
    let (waits, gone, other) = (with_token(Some("by hand")), with_token(None), with_token(Some("by hand, too")));
    assert_eq!(waits.status.as_ref().unwrap().waiting_rerun_token.as_deref(), Some("by hand"));
    assert_eq!(gone.status.as_ref().unwrap().waiting_rerun_token, None);
    let events = |old: &PipelineRun, new: &PipelineRun| events_of_change(old.status.as_ref(), new.status.as_ref().unwrap());
    let [event] = &events(&waits, &gone)[..] else { panic!("{:?}", events(&waits, &gone)) };
    assert_eq!((event.warning, event.reason, event.action.as_str()), (true, "RerunTokenRemoved", "Rerun"));
    assert!(event.note.contains("by hand"), "{}", event.note);
    for (old, new) in [(&gone, &waits), (&waits, &waits), (&waits, &other), (&gone, &gone)] {
        assert_eq!(events(old, new), []);
    }
    let begun = with(waits.clone(), opened(&waits, 2, false, at(2)));
    assert_eq!(begun.status.as_ref().unwrap().waiting_rerun_token, None);
    assert_eq!(events(&waits, &begun), [], "it is acted on");
}

#[test]
fn events_announce_the_trigger_and_the_end_only() {
    let running = accepted(1).status.unwrap();
    let words = |old: Option<&PipelineRunStatus>, new: &PipelineRunStatus| {
        events_of_change(old, new).into_iter().map(|n| n.reason).collect::<Vec<_>>()
    };
    assert_eq!(words(None, &running), ["Triggered"]);
    assert_eq!(words(Some(&running), &running), [""; 0]);
    let known: Knowledge = [report(&ids(1)[0], "FAILED", 5)].into();
    let failed = settle(&accepted(1), &known, at(7));
    assert_eq!(words(Some(&running), &failed), ["Failed"]);
    let ended = ending(Some(&running), &failed).unwrap();
    assert_eq!((ended.reason, ended.error_type.as_str()), (Reason::ExecutionFailed, "PARSING_FAILURE"));
    assert_eq!(ended.took, Some(SignedDuration::from_secs(7)));
    assert_eq!(ending(Some(&failed), &failed), None);
    assert_eq!(words(None, ambiguous(false).status.as_ref().unwrap()), ["TriggerOutcomeUnknown"]);
    assert_eq!(words(None, &accepted(0).status.unwrap()), ["Triggered", "Succeeded"]);
    let waiting = show(&object(), Reason::AccountNotReady, "no Secret", at(0));
    assert_eq!(words(None, &waiting), ["AccountNotReady"]);
    assert_eq!(words(Some(&waiting), &show(&with(object(), waiting.clone()), Reason::AccountNotReady, "no key", at(1))), [""; 0]);

    let second = with(object(), opened(&with(object(), failed), 2, false, at(8)));
    let again = Trigger { attempt: 2, nonce: Nonce::new("n2").unwrap(), result: TriggerResult::Accepted(Evidence::Answer) };
    let again = recorded(&second, &again, &ids(1), "", FollowUp::Nothing, at(9));
    let actions: Vec<String> = events_of_change(second.status.as_ref(), &again).into_iter().map(|notice| notice.action).collect();
    assert_eq!(actions, ["TriggerAttempt2"], "another event, not the first one once more");
}

#[test]
fn trigger_that_nuvo_has_refused_after_all_shows_no_execution_that_was_found() {
    for unexecuted in [Unexecuted::Rejected, Unexecuted::RetryAfter(Duration::from_secs(1), Obstacle::RateLimited)] {
        let object = object();
        let found = recorded(&object, &trigger(TriggerResult::Accepted(Evidence::Adopted)), &ids(2), "", FollowUp::OpenFor(SHORT), at(0));
        let object = with(object, found);
        assert_eq!(parse(&object).unwrap().executions, ids(2));
        let follow_up = FollowUp::Unexecuted(unexecuted);
        let status = recorded(&object, &trigger(TriggerResult::NotExecuted), &[], "It was not carried out.", follow_up, at(1));
        assert_eq!((status.current.execution_ids.len(), status.current.execution_count), (0, None), "{unexecuted:?}");
    }
}

/// nuvo may still name others, or say that nothing was started.
#[test]
fn run_does_not_end_on_what_was_found_while_its_trigger_is_open() {
    let object = object();
    let trigger = trigger(TriggerResult::Accepted(Evidence::Adopted));
    let found = recorded(&object, &trigger, &ids(1), "", FollowUp::OpenFor(Duration::from_secs(58)), at(0));
    assert_eq!(found.trigger.as_ref().unwrap().open_until, Some(Time(at(60))));
    let mut object = with(object, found);
    object.spec.retry = Some(nuvo_crds::Retry { limit: 1, ..nuvo_crds::Retry::default() });
    let run = parse(&object).unwrap();
    for word in ["SUCCESSFUL", "FAILED"] {
        let known: Knowledge = [report(&ids(1)[0], word, 5)].into();
        for is_open in [true, false] {
            let polled = PollFacts { asked: Some(at(7)), is_open, ..PollFacts::default() };
            let status = compute_status(&object, &run, &StatusInput::Settled(Following::Active, polled), &known, at(7));
            assert_eq!(reason(&status) == Some(Reason::Running), is_open, "{word}: {:?}", reason(&status));
            assert_eq!((status.current.completion_time.is_some() || status.series.retry.is_some()), !is_open, "{word}");
            assert!(!is_open || message(&status).contains(&at(60).to_string()), "{}", message(&status));
        }
    }
}

#[test]
fn unsent_trigger_opens_a_run_that_ended_in_doubt() {
    let object = object();
    let doubtful =
        recorded(&object, &trigger(TriggerResult::Ambiguous { executed: false }), &[], "The answer was lost.", FollowUp::Nothing, at(0));
    assert!(doubtful.current.completion_time.is_some());
    let object = with(object, doubtful);
    let again = FollowUp::Unexecuted(Unexecuted::RetryAfter(Duration::from_secs(1), Obstacle::Operator));
    let status = recorded(&object, &trigger(TriggerResult::NotExecuted), &[], "It was not sent.", again, at(1));
    assert_eq!((status.current.completion_time, status.current.duration, status.phase), (None, None, Some(Phase::Pending)));
}
