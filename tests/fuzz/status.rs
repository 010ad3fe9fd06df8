//! Objects as the API server may hold them, and what the operator makes of them.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};
use nuvo_core::run::{
    ExecutionId, FollowUp, Following, Knowledge, Known, PollFacts, Reopening, Run, StatusInput, TriggerResult, Verdict, compute_status,
    is_terminal, opened, parse, recorded, reopening, verdict,
};
use nuvo_crds::{
    self, AttemptStatus, Execution, MAX_EXECUTION_IDS, MAX_EXECUTIONS, MAX_HISTORY, MAX_STATUS_MESSAGE, OnAmbiguousTrigger,
    OnNothingToProcess, PastAttempt, PipelineRun, PipelineRunStatus, QualityGate, Retry, SeriesStatus, Stats, TriggerState,
    conditions::{RECONCILING, Reason, STALLED, SUCCEEDED},
    well_known::{RESOLVE_ANNOTATION, TRIGGER_ANNOTATION},
};

use crate::{any, bytes::Bytes};

/// The one way to compute a status: from what a run waits for, or from what is known of its executions.
pub fn shown(
    object: &PipelineRun,
    run: &Run,
    because: Option<(Reason, String)>,
    hearing: PollFacts,
    known: &Knowledge,
    now: Timestamp,
) -> PipelineRunStatus {
    let situation = match because {
        Some((reason, message)) => StatusInput::Because(reason, message),
        None => StatusInput::Settled(Following::Active, hearing),
    };
    compute_status(object, run, &situation, known, now)
}

/// An object, and then what happens to it.
pub fn check(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let bytes = &mut bytes;
    let mut object = object(bytes);
    // A status that the operator wrote itself is consistent; one that was put there need not be.
    let own = object.status.is_none();
    for _ in 0..12 {
        let Ok(run) = parse(&object) else { return };
        no_permission_beside_a_marker(&object, &run, bytes);
        let now = time(bytes);
        let next = match reopening(&object, &run, now) {
            Some(Reopening::Attempt(attempt)) => Some((attempt, false)),
            Some(Reopening::Retry(attempt)) => Some((attempt, true)),
            Some(Reopening::Adopt(..) | Reopening::Later(_)) | None => None,
        };
        let status = match (bytes.below(6), next) {
            (0, _) => {
                let (Some(trigger), ids) = (run_trigger(bytes), ids(bytes)) else { continue };
                let follow_up = bytes.pick(&[FollowUp::Nothing, FollowUp::OpenFor(Duration::from_secs(9)), FollowUp::NextAttempt]);
                recorded(&object, &trigger, &ids, bytes.pick(&TEXTS), follow_up, now)
            }
            (1, Some((attempt, retry))) => opened(&object, attempt, retry, now),
            (2, _) => {
                edit(&mut object, bytes);
                continue;
            }
            _ => projected(&object, &run, now, own, bytes),
        };
        bounded(&status, own);
        object.status = Some(status);
        if bytes.is_empty() {
            return;
        }
    }
}

const TEXTS: [&str; 4] = ["", "It broke", "ends. ", "ä\u{202e}"];
const IDS: [&str; 4] = ["e1", "e2", "e3", "../e"];
const WORDS: [&str; 7] = ["PROCESSING", "SUCCESSFUL", "FAILED", "successful", "FAILED ", "PAUSED", ""];
const WAITS: [Reason; 12] = [
    Reason::Pending,
    Reason::Suspended,
    Reason::AccountNotReady,
    Reason::PipelineBusy,
    Reason::TriggerUnconfirmed,
    Reason::RateLimited,
    Reason::NuvoUnavailable,
    Reason::StatusLost,
    Reason::PipelineRunning,
    Reason::Skipped,
    Reason::StartDeadlineExceeded,
    Reason::SlotNotClaimed,
];

fn time(bytes: &mut Bytes) -> Timestamp {
    match bytes.below(8) {
        0 => Timestamp::MIN,
        1 => Timestamp::MAX,
        2 => Timestamp::UNIX_EPOCH,
        _ => Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::from(bytes.word()) * 7),
    }
}

fn ids(bytes: &mut Bytes) -> Vec<ExecutionId> {
    let all = IDS.iter().filter_map(|id| ExecutionId::new(*id).ok());
    let some: Vec<_> = all.filter(|_| bytes.flag()).collect();
    let copies = if bytes.one_in(32) { 1_200 } else { 0 };
    some.into_iter().chain((0..copies).map(|copy| ExecutionId::new(format!("c{copy}")).unwrap())).collect()
}

fn run_trigger(bytes: &mut Bytes) -> Option<nuvo_core::run::Trigger> {
    // TriggerFacts is never recorded: nothing is sent then.
    any::run(bytes, 0).trigger.filter(|trigger| trigger.result != TriggerResult::Observed)
}

fn report(id: &str, bytes: &mut Bytes) -> Execution {
    let stats = Stats { total_rows: Some(bytes.pick(&[0, 7, nuvo_crds::MAX_INTEGER, i64::MAX])), ..Stats::default() };
    Execution {
        id: id.to_owned(),
        status: bytes.below(8).checked_sub(1).map(|word| WORDS[word].to_owned()),
        stats: bytes.flag().then_some(stats),
        ..Execution::default()
    }
}

fn knowledge(bytes: &mut Bytes) -> Knowledge {
    let mut known = Knowledge::new();
    for id in IDS.iter().filter_map(|id| ExecutionId::new(*id).ok()) {
        let what = match bytes.below(6) {
            0 => continue,
            1 => Known::Lost,
            2 => Known::Foreign("other".to_owned()),
            _ => Known::Report(Box::new(report(id.as_str(), bytes))),
        };
        known.insert(id, what);
    }
    known
}

fn object(bytes: &mut Bytes) -> PipelineRun {
    let mut object: PipelineRun = serde_json::from_value(serde_json::json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": { "name": "run", "namespace": "default", "uid": "a", "resourceVersion": "1", "generation": 1 },
        "spec": { "pipelineId": "orders" },
    }))
    .unwrap();
    object.spec.execution_id = bytes.one_in(6).then(|| bytes.pick(&IDS).to_owned());
    object.spec.active_deadline_seconds = bytes.pick(&[86_400, 1, 60, 0, -1, i64::MAX, i64::MIN]);
    object.spec.on_ambiguous_trigger = bytes.pick(&[OnAmbiguousTrigger::Fail, OnAmbiguousTrigger::Adopt, OnAmbiguousTrigger::Retrigger]);
    object.spec.on_nothing_to_process = bytes.pick(&[OnNothingToProcess::Succeed, OnNothingToProcess::Fail]);
    edit(&mut object, bytes);
    if bytes.one_in(3) {
        object.status = Some(status(bytes));
    }
    object
}

/// Edits by people, and by tools that restore backups.
fn edit(object: &mut PipelineRun, bytes: &mut Bytes) {
    let annotations = object.metadata.annotations.get_or_insert_default();
    match bytes.below(8) {
        0 => {
            if let Some(marker) = any::run(bytes, 0).marker {
                annotations.insert(TRIGGER_ANNOTATION.into(), serde_json::to_string(&marker).unwrap());
            }
        }
        1 => {
            let text = bytes.pick(&["", "{", "{}", "[]", r#"{"uid":"a"}"#]).to_owned();
            annotations.insert(TRIGGER_ANNOTATION.into(), text);
        }
        2 => {
            let answer = bytes.pick(&["retry", "abandon", "adopt=e1,e2", "adopt=", "adopt=../x", ":", "Retry"]);
            let nonce = bytes.pick(&["n1", "n2", "n3", "", "unreadable"]);
            annotations.insert(RESOLVE_ANNOTATION.into(), format!("{nonce}:{answer}"));
        }
        3 => annotations.clear(),
        4 => object.spec.rerun_token = Some(bytes.byte().to_string()),
        5 => {
            let words = ["SOURCE_UNRESPONSIVE", "", "PARSING_FAILURE"].map(str::to_owned);
            object.spec.retry = Some(Retry { limit: i32::from(bytes.byte() % 11), backoff_seconds: 1, on_error_types: words.into() });
        }
        6 => {
            object.spec.follow_fixes_seconds = i64::from(bytes.byte()) * 3_000;
            object.spec.ttl_seconds_after_finished = bytes.flag().then_some(0);
            object.spec.quality_gate =
                bytes.flag().then(|| QualityGate { max_error_rows: Some(i64::from(bytes.byte())), ..QualityGate::default() });
        }
        _ => object.spec.suspend = bytes.flag(),
    }
}

fn status(bytes: &mut Bytes) -> PipelineRunStatus {
    let states = [TriggerState::Accepted, TriggerState::NotExecuted, TriggerState::Ambiguous, TriggerState::Observed];
    let trigger = |bytes: &mut Bytes| nuvo_crds::Trigger {
        nonce: bytes.pick(&["n1", "n2", "n3", "", "not a nonce"]).to_owned(),
        uid: bytes.pick(&[None, Some("a"), Some("b")]).map(str::to_owned),
        attempt: bytes.pick(&[1, 2, 0, i32::MAX, i32::MIN]),
        state: bytes.pick(&states),
        evidence: bytes.pick(&[None, Some(nuvo_crds::Evidence::Answer), Some(nuvo_crds::Evidence::Adopted)]),
        ..nuvo_crds::Trigger::default()
    };
    let condition = |bytes: &mut Bytes| Condition {
        type_: bytes.pick(&[SUCCEEDED, RECONCILING, STALLED, "Other"]).to_owned(),
        status: bytes.pick(&["True", "False", "Unknown", ""]).to_owned(),
        reason: Reason::ALL[bytes.below(Reason::ALL.len())].as_str().to_owned(),
        message: bytes.pick(&TEXTS).to_owned(),
        observed_generation: None,
        last_transition_time: Time(time(bytes)),
    };
    // In the order in which the corpus has the bytes.
    let conditions = (0..bytes.below(4)).map(|_| condition(bytes)).collect();
    let attempt = bytes.pick(&[None, Some(1), Some(2), Some(0), Some(i32::MAX), Some(i32::MIN)]);
    let trigger = bytes.flag().then(|| trigger(bytes));
    let executions = (0..bytes.below(3)).map(|at| report(IDS[at], bytes)).collect();
    let execution_ids = IDS.iter().filter(|_| bytes.flag()).map(ToString::to_string).collect();
    let past = |bytes: &mut Bytes| PastAttempt { attempt: bytes.pick(&[1, 2, 0, i32::MIN]), ..PastAttempt::default() };
    let history = (0..bytes.below(8)).map(|_| past(bytes)).collect();
    let start_time = bytes.flag().then(|| Time(time(bytes)));
    let completion_time = bytes.flag().then(|| Time(time(bytes)));
    PipelineRunStatus {
        conditions,
        attempt,
        trigger,
        history,
        series: SeriesStatus { start_time, ..SeriesStatus::default() },
        current: AttemptStatus { executions, execution_ids, completion_time, ..AttemptStatus::default() },
        ..PipelineRunStatus::default()
    }
}

/// The object's own marker announces a delivery, and its own status does not say what became of it.
fn no_permission_beside_a_marker(object: &PipelineRun, run: &Run, bytes: &mut Bytes) {
    let text = object.metadata.annotations.as_ref().and_then(|all| all.get(TRIGGER_ANNOTATION));
    let Some(marker) = text.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()) else { return };
    let whole = ["uid", "namespace", "name", "nonce", "tenure", "attempt"].iter().all(|key| marker.get(key).is_some());
    if !whole || marker["uid"].as_str() != object.metadata.uid.as_deref() {
        return;
    }
    let tells = object.status.as_ref().and_then(|status| status.trigger.as_ref()).is_some_and(|trigger| {
        let of_another = trigger.uid.as_ref().is_some_and(|uid| Some(uid) != object.metadata.uid.as_ref());
        let last = matches!(trigger.state, TriggerState::Accepted | TriggerState::Ambiguous);
        let covers = last && marker["attempt"].as_i64().is_some_and(|attempt| attempt <= i64::from(trigger.attempt));
        !of_another && trigger.state != TriggerState::Observed && (marker["nonce"].as_str() == Some(&trigger.nonce) || covers)
    });
    if !tells {
        let lock = any::lock(bytes, 0).lock;
        let judged = verdict(run, &lock);
        assert!(
            !matches!(judged, Verdict::New { .. } | Verdict::Decided),
            "its marker is undecided: {judged:?} for {run:?} under {lock:?}"
        );
    }
}

fn projected(object: &PipelineRun, run: &Run, now: Timestamp, own: bool, bytes: &mut Bytes) -> PipelineRunStatus {
    let because = bytes.one_in(3).then(|| (bytes.pick(&WAITS), bytes.pick(&TEXTS).repeat(1 + usize::from(bytes.byte()))));
    let hearing = PollFacts {
        asked: bytes.flag().then(|| time(bytes)),
        waited: any::seconds(bytes),
        patience: any::seconds(bytes),
        is_open: bytes.flag(),
        developer_mode: bytes.flag(),
    };
    let known = knowledge(bytes);
    let status = shown(object, run, because.clone(), hearing, &known, now);
    let mut written = object.clone();
    written.status = Some(status.clone());
    // An answer that came before the question is refused with the next look.
    let answered = object.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(RESOLVE_ANNOTATION));
    if let Ok(run) = parse(&written)
        && !(answered && status.current.completion_time.is_some())
    {
        assert_eq!(shown(&written, &run, because.clone(), hearing, &known, now), status, "the same is known, and the status changes again");
    }
    let ends =
        status.current.completion_time.is_some() && object.status.as_ref().is_none_or(|before| before.current.completion_time.is_none());
    if ends && because.is_none() {
        has_a_reason_to_end(object, &status, hearing, &known, now);
    }
    if own && ends && because.is_some_and(|(reason, _)| !reason.is_final()) {
        panic!("a run that waits does not end: {status:?}");
    }
    status
}

fn has_a_reason_to_end(object: &PipelineRun, status: &PipelineRunStatus, hearing: PollFacts, known: &Knowledge, now: Timestamp) {
    let earlier = |id: &String| {
        let stored = object.status.iter().flat_map(|status| &status.current.executions).find(|execution| execution.id == *id);
        stored.and_then(|execution| execution.status.clone())
    };
    let word = |id: &String| match ExecutionId::new(id.clone()).ok().and_then(|id| known.get(&id)) {
        Some(Known::Report(report)) => report.status.clone(),
        Some(Known::Lost | Known::Foreign(_)) => Some("no end of ours".to_owned()),
        None => earlier(id),
    };
    let words: Vec<Option<String>> = status.current.execution_ids.iter().map(word).collect();
    let open = words.iter().any(|word| word.as_deref().is_none_or(|word| word != "no end of ours" && !is_terminal(word)));
    let succeeded = status.conditions.iter().find(|condition| condition.type_ == SUCCEEDED).expect("an ended run says how");
    if open {
        assert_eq!(succeeded.reason, "DeadlineExceeded", "nuvo has not said that all of it has ended: {words:?}");
        let start = status.series.start_time.as_ref().expect("a deadline counts from a start").0;
        let due = start.checked_add(SignedDuration::from_secs(object.spec.active_deadline_seconds)).expect("a deadline that comes");
        assert!(now >= due && (hearing.asked.is_some_and(|asked| asked >= due) || hearing.waited >= hearing.patience));
    } else if succeeded.status == "True" {
        assert!(words.iter().all(|word| word.as_deref() == Some("SUCCESSFUL")), "{words:?} is no success");
    }
}

fn bounded(status: &PipelineRunStatus, own: bool) {
    let kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    let succeeded = status.conditions.iter().find(|condition| condition.type_ == SUCCEEDED);
    assert!(status.current.executions.len() <= MAX_EXECUTIONS && status.current.execution_ids.len() <= MAX_EXECUTION_IDS);
    assert!(status.conditions.iter().all(|condition| condition.message.chars().count() <= MAX_STATUS_MESSAGE));
    if own {
        assert_eq!(kinds.len(), kinds.iter().collect::<BTreeSet<_>>().len(), "a condition stands twice: {kinds:?}");
        assert!(!(kinds.contains(&RECONCILING) && kinds.contains(&STALLED)), "it goes on and does not");
        let ended = succeeded.is_some_and(|condition| condition.status != "Unknown");
        assert_eq!(
            status.current.completion_time.is_some(),
            ended,
            "{succeeded:?} and completionTime {:?}",
            status.current.completion_time
        );
        assert!(status.history.len() <= MAX_HISTORY && status.phase.is_some());
    }
}
