//! What follows an end: retries, repairs, the quality gate, and deletion.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;

use crate::run::*;
use nuvo_crds::{
    Execution, ExecutionError, Phase, PipelineRun, PipelineRunSpec, PipelineRunStatus, QualityGate, Retry, Stats, conditions::Reason,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds.saturating_add(1_000_000)).unwrap()
}

fn ids(count: usize) -> Vec<ExecutionId> {
    (0..count).map(|number| ExecutionId::new(format!("e{number}")).unwrap()).collect()
}

fn trigger(nonce: &str, attempt: i32) -> Trigger {
    Trigger { nonce: Nonce::new(nonce).unwrap(), attempt, result: TriggerResult::Accepted(Evidence::Answer) }
}

/// A run whose first attempt was accepted at second 0 and has so many executions.
fn started(count: usize, edit: impl FnOnce(&mut PipelineRunSpec)) -> PipelineRun {
    let mut spec = PipelineRunSpec { pipeline_id: "orders".into(), ..PipelineRunSpec::default() };
    edit(&mut spec);
    let mut object = PipelineRun::new("orders", spec);
    object.metadata.namespace = Some("team".into());
    object.metadata.uid = Some("u1".into());
    object.metadata.resource_version = Some("1".into());
    object.metadata.generation = Some(1);
    object.status = Some(recorded(&object, &trigger("n1", 1), &ids(count), "", FollowUp::Nothing, at(0)));
    object
}

fn retrying(limit: i32) -> PipelineRun {
    started(1, |spec| spec.retry = Some(Retry { limit, ..Retry::default() }))
}

fn says(id: &ExecutionId, word: &str, stats: Stats) -> (ExecutionId, Known) {
    let error =
        (word == "FAILED").then(|| ExecutionError { error_type: Some("SOURCE_UNRESPONSIVE".into()), message: Some("no answer".into()) });
    let execution = Execution { id: id.to_string(), status: Some(word.into()), error, stats: Some(stats), ..Execution::default() };
    (id.clone(), Known::Report(Box::new(execution)))
}

fn all(count: usize, word: &str) -> Knowledge {
    ids(count).iter().map(|id| says(id, word, Stats::default())).collect()
}

/// Takes in what nuvo says at this time.
fn hear(object: &mut PipelineRun, known: &Knowledge, now: i64) {
    hear_of(object, known, false, now);
}

fn hear_of(object: &mut PipelineRun, known: &Knowledge, developer_mode: bool, now: i64) {
    let hearing = PollFacts { asked: Some(at(now)), developer_mode, ..PollFacts::default() };
    object.status =
        Some(compute_status(object, &parse(object).unwrap(), &StatusInput::Settled(Following::Active, hearing), known, at(now)));
}

/// Goes on with the next attempt, if it is time, and has it accepted.
fn go_on(object: &mut PipelineRun, now: i64) -> Option<Reopening> {
    let reopening = reopening(object, &parse(object).unwrap(), at(now))?;
    let (attempt, retry) = match reopening {
        Reopening::Attempt(attempt) => (attempt, false),
        Reopening::Retry(attempt) => (attempt, true),
        Reopening::Adopt(..) | Reopening::Later(_) => panic!("{reopening:?}"),
    };
    object.status = Some(opened(object, attempt, retry, at(now)));
    object.status = Some(recorded(object, &trigger(&format!("n{attempt}"), attempt), &ids(1), "", FollowUp::Nothing, at(now)));
    Some(reopening)
}

fn status(object: &PipelineRun) -> &PipelineRunStatus {
    object.status.as_ref().unwrap()
}

fn why(object: &PipelineRun) -> Option<Reason> {
    reason(status(object))
}

fn condition<'a>(object: &'a PipelineRun, kind: &str) -> Option<(&'a str, &'a str)> {
    let found = nuvo_crds::conditions::find(&status(object).conditions, kind)?;
    assert_eq!((found.status.as_str(), found.observed_generation), ("True", object.metadata.generation));
    Some((&found.reason, &found.message))
}

fn message(object: &PipelineRun) -> &str {
    &status(object).conditions[0].message
}

fn settled_again(object: &PipelineRun, now: i64) -> bool {
    let mut again = object.clone();
    hear(&mut again, &Knowledge::new(), now);
    again.status == object.status
}

#[test]
fn failed_attempt_is_retried_after_a_delay_that_doubles() {
    let mut run = retrying(2);
    hear(&mut run, &all(1, "FAILED"), 100);
    assert_eq!((why(&run), status(&run).phase, status(&run).attempt), (Some(Reason::RetryScheduled), Some(Phase::Pending), Some(1)));
    assert!(
        message(&run).contains("SOURCE_UNRESPONSIVE: no answer. Attempt 2 begins at 1970-01-12T13:49:21Z (retry 1 of 2"),
        "{}",
        message(&run)
    );
    assert_eq!(
        (status(&run).current.completion_time.is_some(), status(&run).current.error.is_some()),
        (false, true),
        "what failed is shown meanwhile"
    );
    assert!(settled_again(&run, 130), "and nothing is written before the wait is over");
    assert_eq!(go_on(&mut run, 160), None);
    assert_eq!(go_on(&mut run, 161), Some(Reopening::Retry(2)));
    assert_eq!((why(&run), status(&run).current.error.clone()), (Some(Reason::Running), None));
    assert_eq!(
        status(&run).series.start_time,
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0))),
        "the deadline is about all of it"
    );

    hear(&mut run, &all(1, "FAILED"), 200);
    assert_eq!(go_on(&mut run, 320), None, "120 s");
    assert_eq!(go_on(&mut run, 321), Some(Reopening::Retry(3)));
    hear(&mut run, &all(1, "FAILED"), 400);
    assert_eq!((why(&run), go_on(&mut run, 100_000)), (Some(Reason::ExecutionFailed), None));
    assert!(message(&run).contains("all 2 retries were made") && message(&run).contains("rerunToken"), "{}", message(&run));
    let history: Vec<_> =
        status(&run).history.iter().map(|past| (past.attempt, past.result.clone().unwrap(), past.error_type.clone())).collect();
    let failed = |attempt| (attempt, "ExecutionFailed".to_owned(), Some("SOURCE_UNRESPONSIVE".to_owned()));
    assert_eq!(history, [failed(1), failed(2)]);
    let times = |past: &nuvo_crds::PastAttempt| [&past.start_time, &past.completion_time].map(|time| time.as_ref().unwrap().0);
    assert_eq!(times(&status(&run).history[1]), [at(161), at(200)]);
    assert_eq!(status(&run).current.duration.as_deref(), Some("6m40s"), "from the first start");
}

#[test]
fn unlisted_error_type_is_not_retried() {
    let mut run = retrying(3);
    run.spec.retry.as_mut().unwrap().on_error_types = vec!["DESTINATION_UNRESPONSIVE".into()];
    hear(&mut run, &all(1, "FAILED"), 100);
    assert_eq!(why(&run), Some(Reason::ExecutionFailed));
    assert!(message(&run).contains("onErrorTypes does not list SOURCE_UNRESPONSIVE"), "{}", message(&run));
    let mut mixed = started(2, |spec| spec.retry = Some(Retry { limit: 3, ..Retry::default() }));
    let mut known = all(2, "FAILED");
    if let Some(Known::Report(report)) = known.get_mut(&ids(2)[1]) {
        report.error = None;
    }
    hear(&mut mixed, &known, 100);
    assert_eq!(why(&mixed), Some(Reason::ExecutionFailed), "every failed execution must have one");
    assert!(message(&mixed).contains("an error without a type"), "{}", message(&mixed));
}

#[test]
fn spec_change_during_the_retry_delay_takes_effect() {
    type Edit = fn(&mut PipelineRunSpec);
    let scheduled = || {
        let mut run = retrying(2);
        hear(&mut run, &all(1, "FAILED"), 100);
        run
    };
    let ends: [(Edit, &str); 4] = [
        (|spec| spec.retry = None, "rerunToken"),
        (|spec| spec.retry.as_mut().unwrap().limit = 0, "rerunToken"),
        (|spec| spec.retry.as_mut().unwrap().on_error_types.clear(), "onErrorTypes"),
        (|spec| spec.active_deadline_seconds = 161, "deadline"),
    ];
    for (edit, words) in ends {
        let mut run = scheduled();
        edit(&mut run.spec);
        assert_eq!(reopening(&run, &parse(&run).unwrap(), at(1_000)), None, "{words}: also if no reconcile came before the time");
        hear(&mut run, &Knowledge::new(), 1_000);
        assert_eq!((why(&run), status(&run).history.len()), (Some(Reason::ExecutionFailed), 0), "{words}");
        assert_eq!(status(&run).series.retry.as_ref().map(|retry| (retry.count, retry.next_time.is_some())), Some((0, false)));
        assert!(message(&run).contains(words), "{}", message(&run));
        assert!(settled_again(&run, 2_000));
        assert_eq!(go_on(&mut run, 100_000), None, "it has ended");
    }
    let mut hastened = scheduled();
    hastened.spec.retry.as_mut().unwrap().backoff_seconds = 1;
    assert_eq!(go_on(&mut hastened, 102), Some(Reopening::Retry(2)));
    let mut again = scheduled();
    again.spec.rerun_token = Some("now".into());
    assert_eq!(go_on(&mut again, 101), Some(Reopening::Attempt(2)), "a person does not wait, and has all retries again");
    assert_eq!((status(&again).series.retry.clone(), status(&again).series.start_time.as_ref().unwrap().0), (None, at(101)));
    assert_eq!(status(&again).history.len(), 1);
    let mut deleted = scheduled();
    deleted.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(101)));
    assert_eq!(go_on(&mut deleted, 1_000), None);
}

/// A restored backup, or a status that was put back.
#[test]
fn retry_is_made_only_by_the_object_that_made_the_attempts_before() {
    let mut scheduled = retrying(3);
    hear(&mut scheduled, &all(1, "FAILED"), 100);
    let marker = |nonce: &str, attempt: i32| {
        let text = format!(r#"{{"uid":"u1","namespace":"team","name":"orders","nonce":"{nonce}","tenure":"{nonce}","attempt":{attempt}}}"#);
        Some(BTreeMap::from([("nuvo.dev/trigger".to_owned(), text)]))
    };
    scheduled.metadata.annotations = marker("n1", 1);
    assert!(matches!(reopening(&scheduled, &parse(&scheduled).unwrap(), at(1_000)), Some(Reopening::Retry(2))));

    let mut restored = scheduled.clone();
    restored.metadata.uid = Some("u2".into());
    assert_eq!(reopening(&restored, &parse(&restored).unwrap(), at(1_000)), None);
    assert_eq!(verdict(&parse(&restored).unwrap(), &Lock::default()), Verdict::Lost);
    restored.spec.rerun_token = Some("again".into());
    assert_eq!(reopening(&restored, &parse(&restored).unwrap(), at(1_000)), None, "not before the status has said so");
    restored.spec.rerun_token = None;
    restored.metadata.annotations = None;
    assert_eq!(reopening(&restored, &parse(&restored).unwrap(), at(1_000)), None);
    hear(&mut restored, &Knowledge::new(), 1_000);
    assert_eq!(why(&restored), Some(Reason::ExecutionFailed));
    assert!(message(&restored).contains("this object did not trigger it"), "{}", message(&restored));

    let mut put_back = scheduled.clone();
    put_back.metadata.annotations = marker("n2", 2);
    let run = parse(&put_back).unwrap();
    assert_eq!(reopening(&put_back, &run, at(1_000)), None, "the second attempt may be out");
    assert!(matches!(verdict(&run, &Lock::default()), Verdict::InDoubt(_)));
    put_back.status = Some(recorded(&put_back, &trigger("n2", 2), &ids(1), "", FollowUp::Nothing, at(1_000)));
    assert_eq!(
        (why(&put_back), status(&put_back).current.executions.len()),
        (Some(Reason::Running), 0),
        "it is followed, and made no more"
    );
    assert_eq!(reopening(&put_back, &parse(&put_back).unwrap(), at(100_000)), None);
    hear(&mut put_back, &all(1, "SUCCESSFUL"), 1_100);
    assert_eq!((why(&put_back), status(&put_back).series.retry.as_ref().unwrap().count), (Some(Reason::Succeeded), 1));
}

#[test]
fn retry_beyond_the_deadline_is_not_made() {
    let mut run = retrying(1);
    run.spec.active_deadline_seconds = 162;
    hear(&mut run, &all(1, "FAILED"), 100);
    assert_eq!(why(&run), Some(Reason::RetryScheduled));
    let mut run = retrying(1);
    run.spec.active_deadline_seconds = 161;
    hear(&mut run, &all(1, "FAILED"), 100);
    assert_eq!(why(&run), Some(Reason::ExecutionFailed));
    assert!(message(&run).contains("the deadline would be over"), "{}", message(&run));
}

/// What a task does for a run whose second attempt was opened, when its deadline is over, after reading this lock.
fn observed(run: &Run) -> TriggerFacts {
    let limits = Limits {
        fence: Duration::from_secs(5),
        post_deadline: Duration::from_secs(60),
        settle: Duration::from_secs(300),
        quarantine: Duration::from_secs(900),
        answer: Duration::from_secs(10),
        confirm: Duration::from_secs(10),
        clock_margin: Duration::from_secs(60),
    };
    TriggerFacts::new(run.clone(), Memory::default(), limits, Duration::ZERO, Gate::Open, Nonce::new("spare").unwrap())
}

fn overdue(run: &Run, lock: Lock) -> Step {
    let mut observed = observed(run);
    observed.deadline = Some(Duration::ZERO);
    assert_eq!(next_step(&observed), Step::ReadLock);
    observed.learn(&Step::ReadLock, Answer::Lock(Box::new(LockRead { version: Some("7".into()), lock, age: None })));
    assert_eq!(next_step(&observed), Step::ReadRun);
    observed.learn(&Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    next_step(&observed)
}

#[test]
fn later_attempt_is_not_triggered_after_the_deadline() {
    let mut object = retrying(1);
    hear(&mut object, &all(1, "FAILED"), 100);
    object.status = Some(opened(&object, 2, true, at(161)));
    let run = parse(&object).unwrap();
    assert!(!settled(&run) && awaits_trigger(&run));
    assert_eq!(overdue(&run, Lock::default()), Step::Hold(Hold::Overdue));
    let situation = waiting(&observed(&run), &Hold::Overdue, at(90_000)).unwrap();
    object.status = Some(compute_status(&object, &run, &situation, &Knowledge::new(), at(90_000)));
    assert_eq!((why(&object), status(&object).attempt), (Some(Reason::DeadlineExceeded), Some(2)));
    let ended = parse(&object).unwrap();
    assert!(settled(&ended) && !awaits_trigger(&ended), "it has ended: it is not triggered again");
    assert_eq!(verdict(&ended, &Lock::default()), Verdict::Decided);
    object.spec.rerun_token = Some("again".into());
    assert_eq!(reopening(&object, &ended, at(90_001)), Some(Reopening::Attempt(3)));

    // A lock of its own that speaks of another version of the run may have been followed by a POST.
    let held = LockHolder {
        run: run.id.clone(),
        nonce: Nonce::new("n2").unwrap(),
        acquisition: Nonce::new("n2").unwrap(),
        run_version: "0".into(),
        baseline: None,
        ledger_may_be_lost: false,
        later: Default::default(),
    };
    let in_doubt = overdue(&run, Lock { holder: Some(held), ..Lock::default() });
    assert!(matches!(in_doubt, Step::Hold(Hold::Unconfirmed(_))), "{in_doubt:?}");
}

#[test]
fn quality_gate_fails_a_successful_run_beyond_its_limits() {
    let stats = |rows, error_rows, cells| Stats {
        total_rows: Some(rows),
        total_error_rows: Some(error_rows),
        total_cells: Some(rows.saturating_mul(8)),
        total_error_cells: Some(cells),
        ..Stats::default()
    };
    let none = QualityGate::default();
    let (rows, cells) = (QualityGate { max_error_rows: Some(5), ..none }, QualityGate { max_error_cells: Some(9), ..none });
    let (share, least) = (QualityGate { max_error_row_percent: Some(5), ..none }, QualityGate { min_rows: Some(100), ..none });
    let judged = |gate: QualityGate, stats: [Stats; 2]| {
        let mut run = started(2, |spec| spec.quality_gate = Some(gate));
        let known: Knowledge = ids(2).iter().zip(stats).map(|(id, stats)| says(id, "SUCCESSFUL", stats)).collect();
        hear(&mut run, &known, 9);
        assert_eq!(status(&run).current.stats.is_some(), stats != [Stats::default(); 2]);
        (why(&run).unwrap(), message(&run).to_owned())
    };
    // Together: 100 rows, 5 with errors, 9 cells with errors.
    let exactly = [stats(60, 2, 4), stats(40, 3, 5)];
    for gate in [rows, cells, share, least] {
        assert_eq!(judged(gate, exactly).0, Reason::Succeeded, "{gate:?}");
        let (reason, message) = judged(gate, [Stats { total_rows: Some(1), ..Stats::default() }, stats(1, 0, 0)]);
        assert_eq!(reason, Reason::QualityGateFailed, "{gate:?}: a count that is missing passes nothing, {message}");
    }
    let beyond = [
        (rows, [stats(60, 3, 4), stats(40, 3, 5)], "6 rows with errors, at most 5 allowed (spec.qualityGate.maxErrorRows)"),
        (cells, [stats(60, 2, 5), stats(40, 3, 5)], "10 cells with errors, at most 9"),
        (share, [stats(59, 2, 4), stats(40, 3, 5)], "5 of 99 rows have errors, at most 5 percent"),
        (least, [stats(59, 0, 0), stats(40, 0, 0)], "99 rows, at least 100 required"),
    ];
    for (gate, stats, words) in beyond {
        let (reason, message) = judged(gate, stats);
        assert_eq!(reason, Reason::QualityGateFailed, "{gate:?}");
        assert!(message.contains(words) && message.contains("rerunToken"), "{message}");
    }
    assert_eq!(judged(share, [stats(0, 0, 0), stats(0, 0, 0)]).0, Reason::Succeeded, "no rows, none with errors");
    let both = QualityGate { max_error_rows: Some(0), min_rows: Some(1_000), ..none };
    let (_, message) = judged(both, exactly);
    assert!(message.contains("maxErrorRows") && message.contains("minRows"), "{message}");
    let mut failed = started(1, |spec| spec.quality_gate = Some(least));
    hear(&mut failed, &all(1, "FAILED"), 9);
    assert_eq!(why(&failed), Some(Reason::ExecutionFailed), "what failed is no matter of quality");
}

fn watched_run(count: usize) -> PipelineRun {
    let mut run = started(count, |spec| spec.follow_fixes_seconds = 3_600);
    let mut known = all(count, "SUCCESSFUL");
    known.extend([says(&ids(1)[0], "FAILED", Stats { total_rows: Some(7), ..Stats::default() })]);
    hear(&mut run, &known, 100);
    assert_eq!(why(&run), Some(Reason::ExecutionFailed));
    run
}

#[test]
fn repaired_failure_becomes_a_success() {
    let mut run = watched_run(2);
    let failed = run.status.clone();
    assert_eq!(repairable(status(&run)), ids(1));
    assert_eq!(repair_watch_left(&run, status(&run), at(101)), Some(Duration::from_secs(3_599)));
    assert!(!at_rest(&run, at(101)) && at_rest(&run, at(3_700)), "it is watched for as long as that");
    hear(&mut run, &all(1, "PROCESSING"), 200);
    assert_eq!(run.status, failed, "a repair that is under way is none yet");
    let repaired: Knowledge = [says(&ids(1)[0], "SUCCESSFUL", Stats { total_rows: Some(12), ..Stats::default() })].into();
    hear_of(&mut run, &repaired, true, 300);
    assert!(condition(&run, "DeveloperMode").is_some());
    assert_eq!(
        (why(&run), status(&run).phase, status(&run).current.error.clone()),
        (Some(Reason::FixedInNuvo), Some(Phase::Succeeded), None)
    );
    assert_eq!((status(&run).current.stats.unwrap().total_rows, status(&run).current.duration.as_deref()), (Some(12), Some("5m00s")));
    assert!(at_rest(&run, at(301)));
    let words: Vec<_> = events_of_change(failed.as_ref(), status(&run)).into_iter().map(|notice| notice.reason).collect();
    assert_eq!(words, ["Fixed"]);
    hear(&mut run, &all(1, "FAILED"), 400);
    assert_eq!(why(&run), Some(Reason::FixedInNuvo), "and stays one");
}

#[test]
fn repair_counts_only_when_watched_and_successful() {
    let good = all(1, "SUCCESSFUL");
    let mut late = watched_run(1);
    hear(&mut late, &good, 3_700);
    assert_eq!(why(&late), Some(Reason::ExecutionFailed), "the time is over");
    let mut unwatched = started(1, |_| {});
    hear(&mut unwatched, &all(1, "FAILED"), 100);
    assert!(at_rest(&unwatched, at(101)));
    hear(&mut unwatched, &good, 101);
    assert_eq!(why(&unwatched), Some(Reason::ExecutionFailed));
    let mut again = watched_run(1);
    let mut known = all(1, "FAILED");
    if let Some(Known::Report(report)) = known.get_mut(&ids(1)[0]) {
        report.error = Some(ExecutionError { error_type: Some("WRITE_FILE_FAILURE".into()), message: None });
    }
    hear(&mut again, &known, 200);
    assert_eq!((why(&again), status(&again).current.completion_time.as_ref().unwrap().0), (Some(Reason::ExecutionFailed), at(100)));
    assert!(message(&again).contains("WRITE_FILE_FAILURE"), "{}", message(&again));
    hear(&mut again, &good, 300);
    assert_eq!(why(&again), Some(Reason::FixedInNuvo), "the second repair was better");
    let mut gated = watched_run(1);
    gated.spec.quality_gate = Some(QualityGate { min_rows: Some(1), ..QualityGate::default() });
    hear(&mut gated, &good, 200);
    assert_eq!(why(&gated), Some(Reason::QualityGateFailed));
    let mut other = watched_run(1);
    hear(&mut other, &[(ids(1)[0].clone(), Known::Lost)].into(), 200);
    assert_eq!(why(&other), Some(Reason::ExecutionFailed), "whatever else is said of it");
}

#[test]
fn developer_mode_is_shown_as_long_as_its_attempt() {
    let mut run = started(1, |spec| spec.rerun_token = None);
    hear_of(&mut run, &Knowledge::new(), true, 5);
    assert_eq!(condition(&run, "DeveloperMode"), None, "while it runs it may still be switched off");
    hear_of(&mut run, &all(1, "SUCCESSFUL"), true, 9);
    assert_eq!(why(&run), Some(Reason::Succeeded));
    assert!(condition(&run, "DeveloperMode").unwrap().1.contains("only the first 100 rows"));
    run.metadata.generation = Some(2);
    hear(&mut run, &Knowledge::new(), 10);
    assert!(condition(&run, "DeveloperMode").is_some() && at_rest(&run, at(10)));
    run.spec.rerun_token = Some("again".into());
    go_on(&mut run, 11);
    assert_eq!(condition(&run, "DeveloperMode"), None);
}

#[test]
fn run_expires_unless_its_deletion_would_start_it_again() {
    type Mark = (&'static str, &'static str);
    type Marks = &'static [Mark];
    const ARGO: Mark = ("argocd.argoproj.io/tracking-id", "app:nuvo.dev/PipelineRun:team/orders");
    const FLUX: Mark = ("kustomize.toolkit.fluxcd.io/name", "apps");
    const HOOK: Mark = ("argocd.argoproj.io/hook", "PostSync");
    let ended = |labels: Marks, annotations: Marks| {
        let mut run = started(1, |spec| spec.ttl_seconds_after_finished = Some(60));
        let map =
            |marks: Marks| Some(marks.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>());
        (run.metadata.labels, run.metadata.annotations) = (map(labels), map(annotations));
        assert_eq!((expires(&run), condition(&run, "DeletionBlocked")), (None, None), "it runs");
        hear(&mut run, &all(1, "SUCCESSFUL"), 100);
        assert!(at_rest(&run, at(100)) && settled_again(&run, 101));
        run
    };
    // Argo CD has to see how its hook ended.
    let free: [(Marks, Marks, i64); 6] = [
        (&[], &[], 160),
        (&[("app.kubernetes.io/name", "orders")], &[("kubectl.kubernetes.io/last-applied-configuration", "{}")], 160),
        (&[], &[ARGO, HOOK], 400),
        (&[("app.kubernetes.io/instance", "app")], &[("argocd.argoproj.io/hook", "Sync, PostSync")], 400),
        (&[("app.kubernetes.io/instance", "app")], &[("helm.sh/hook", "post-install"), ("meta.helm.sh/release-name", "app")], 400),
        (&[], &[(ARGO.0, "")], 160),
    ];
    for (labels, annotations, expiry) in free {
        let mut run = ended(labels, annotations);
        assert_eq!((expires(&run), condition(&run, "DeletionBlocked")), (Some(at(expiry)), None), "{labels:?} {annotations:?}");
        run.spec.ttl_seconds_after_finished = Some(3_600);
        assert_eq!(expires(&run), Some(at(3_700)), "a longer time counts");
    }
    let tracked: [(Marks, Marks, &str); 8] = [
        (&[], &[ARGO], "TrackedByArgoCD"),
        (&[], &[ARGO, ("argocd.argoproj.io/hook", "Skip")], "TrackedByArgoCD"),
        (&[("argocd.argoproj.io/instance", "app")], &[], "TrackedByArgoCD"),
        (&[("app.kubernetes.io/instance", "app")], &[], "TrackedByArgoCD"),
        (&[FLUX], &[], "TrackedByFlux"),
        (&[FLUX], &[ARGO, HOOK], "TrackedByFlux"),
        (&[("helm.toolkit.fluxcd.io/name", "app")], &[("helm.sh/hook", "test")], "TrackedByFlux"),
        (&[("app.kubernetes.io/instance", "app")], &[("meta.helm.sh/release-name", "app")], "TrackedByHelm"),
    ];
    for (labels, annotations, reason) in tracked {
        let mut run = ended(labels, annotations);
        let said = condition(&run, "DeletionBlocked").map(|(reason, _)| reason);
        assert_eq!((expires(&run), said), (None, Some(reason)), "{labels:?} {annotations:?}");
        assert!(condition(&run, "DeletionBlocked").unwrap().1.contains("would trigger the pipeline again"));
        run.spec.ttl_seconds_after_finished = None;
        hear(&mut run, &Knowledge::new(), 200);
        assert_eq!(condition(&run, "DeletionBlocked"), None, "taken back");
    }
}

#[test]
fn run_in_doubt_is_not_deleted_before_a_person_decides() {
    let mut run = started(1, |spec| spec.ttl_seconds_after_finished = Some(0));
    let doubt = Trigger { result: TriggerResult::Ambiguous { executed: false }, ..trigger("n1", 1) };
    run.status = Some(recorded(&run, &doubt, &[], "The answer was lost.", FollowUp::Nothing, at(1)));
    assert_eq!((status(&run).phase, expires(&run)), (Some(Phase::Unresolved), None));
    assert_eq!(condition(&run, "DeletionBlocked").map(|(reason, _)| reason), Some("Unresolved"));
    run.metadata.annotations = Some(BTreeMap::from([("nuvo.dev/resolve".to_owned(), "n1:abandon".to_owned())]));
    hear(&mut run, &Knowledge::new(), 2);
    assert_eq!((status(&run).phase, expires(&run), condition(&run, "DeletionBlocked")), (Some(Phase::Failed), Some(at(1)), None));
}
