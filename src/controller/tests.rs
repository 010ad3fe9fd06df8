//! The proof that a run at rest may be forgotten: the reconcile, which has the whole object, finds nothing to do for it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Client, Resource,
    client::Body,
    runtime::{
        controller::Action,
        reflector::{self, ObjectRef},
        watcher::Event,
    },
};
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::mpsc::Receiver;

use super::{
    account_registry::{AccountRegistry, AccountState},
    control::Reconciler,
    object_cache::{CachePart, ObjectCache},
    observed_pipelines::ObservedPipelines,
    run_cache::{self, CachedRun},
    run_reconciler::{DELETED_RUNS, DeletedRun, RunReconciler},
    run_store::RunStore,
    shell::{Caches, Shell},
    wake_queue::wake_queue,
};
use crate::account::{Session, SessionSettings, driver::Patience};
use crate::{
    checked_clock::CheckedClock,
    context::Context,
    health_server::Health,
    settings::{Command, parse_from},
    shutdown::{self, Stop},
    telemetry::Metrics,
};
use nuvo_client::Credential;
use nuvo_core::run::{AccountHash, Following, Knowledge, PollFacts, RunMemory, StatusInput, at_rest, compute_status, expires, parse};
use nuvo_crds::{
    Evidence, NuvoAccount, OnAmbiguousTrigger, PastAttempt, PipelineRun, Retry, Trigger, TriggerState,
    well_known::{RESOLVE_ANNOTATION, TRIGGER_ANNOTATION},
};

/// An address at which nothing listens.
const NUVO: &str = "http://127.0.0.1:9";

/// A shell whose API server counts what it is asked, and refuses everything.
struct Fixture {
    shell: Arc<Shell>,
    /// How many requests the API server has got.
    asked: Arc<AtomicUsize>,
    _stop: Stop,
}

impl Fixture {
    fn new() -> Self {
        let asked: Arc<AtomicUsize> = Arc::default();
        let count = asked.clone();
        let server = tower::service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok::<_, Infallible>(Response::builder().status(500).body(Body::empty()).unwrap()))
        });
        let Ok(Command::Run(settings)) = parse_from(["nuvo-operator", "--allowed-base-url", NUVO]) else { panic!("no settings") };
        let metrics = Metrics::new();
        let context = Context {
            client: Client::new(server, "team"),
            settings: Arc::new(*settings),
            metrics: metrics.clone(),
            health: Health::default(),
            definitions: Arc::default(),
            operator_namespace: "team".into(),
            identity: "test".into(),
            clock: CheckedClock::new(Timestamp::now, metrics),
        };
        let (stop, shutdown) = shutdown::channel();
        let mut runs = RunStore::new(context.client.clone(), context.metrics.clone(), false);
        let (store, mut writer) = reflector::store();
        for event in
            [Event::Init, Event::InitApply(run_cache::tests::cached(&run_cache::tests::ended("Succeeded", "True"))), Event::InitDone]
        {
            writer.apply_watcher_event(&event);
        }
        runs.add(None, store, wake_queue().0);
        let runs = Arc::new(runs);
        let (store, mut writer) = reflector::store();
        for event in [Event::Init, Event::InitApply(account()), Event::InitDone] {
            writer.apply_watcher_event(&event);
        }
        let cache = ObjectCache::new(vec![CachePart { namespace: None, store, wakes: wake_queue().0 }]);
        let pipelines = Arc::new(ObservedPipelines::new(ObjectCache::new(Vec::new()), context.clock.clone()));
        let patience = Patience { grace: Duration::ZERO, confirm: Duration::ZERO, overlap: Duration::ZERO };
        let accounts = AccountRegistry::new(cache, runs.clone(), pipelines.clone(), patience, shutdown.clone());
        let caches = Caches { runs, accounts: Arc::new(accounts), pipelines, schedules: ObjectCache::new(Vec::new()) };
        Self { shell: Arc::new(Shell::new(&context, caches, shutdown.clone(), shutdown)), asked, _stop: stop }
    }

    fn set_state(&self, state: AccountState) {
        assert!(self.shell.accounts.set_state(&ObjectRef::from_obj(&account()), state));
    }

    fn reconciler(&self) -> (RunReconciler, Receiver<DeletedRun>) {
        RunReconciler::new(self.shell.clone(), 1)
    }

    fn session(&self) -> Arc<Session> {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let base = self.shell.origins.check(NUVO).unwrap();
        let credential = Credential::AccessToken(SecretString::from("token"));
        let client = nuvo_client::Client::new(base, credential, self.shell.nuvo_settings.clone()).unwrap();
        let requests = self.shell.accounts.requests(&ObjectRef::from_obj(&account())).unwrap();
        let settings = SessionSettings {
            observe_period: Duration::from_secs(60),
            requests_per_second: 1_000,
            poll_period: Duration::from_secs(1),
            identity: None,
            account: AccountHash::new("account").unwrap(),
            shown_identity: None,
            breaker: self.shell.breakers.of("data-team", NUVO),
            announcements: tokio::sync::mpsc::channel(1).0,
            waited: Box::new(|_| {}),
        };
        Arc::new(Session::new(client, requests, settings))
    }

    /// Whether a reconcile does anything, or wants to be called again.
    async fn acts(&self, run: &PipelineRun) -> bool {
        // A lock that is owed is another matter.
        self.shell.memories.forget(run.metadata.uid.as_deref().unwrap_or_default());
        self.asked.store(0, Ordering::Relaxed);
        let whole = CachedRun::try_from(run.clone()).unwrap();
        let action = self.reconciler().0.reconcile(Arc::new(whole)).await;
        self.asked.load(Ordering::Relaxed) > 0 || !action.is_ok_and(|action| action == Action::await_change())
    }
}

fn account() -> NuvoAccount {
    serde_json::from_value(json!({
        "metadata": { "name": "default", "namespace": "data-team", "uid": "account" },
        "spec": { "baseUrl": NUVO },
    }))
    .unwrap()
}

/// Numbers that only look random: every test run sees the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap().checked_rem(sides).unwrap()
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

const ENDS: [(&str, &str); 11] = [
    ("Succeeded", "True"),
    ("NothingToProcess", "True"),
    ("FixedInNuvo", "True"),
    ("ExecutionFailed", "False"),
    ("DeadlineExceeded", "False"),
    ("TriggerRejected", "False"),
    ("TriggerOutcomeUnknown", "False"),
    ("StatusLost", "False"),
    ("ExecutionLost", "False"),
    ("InvalidSpec", "False"),
    ("OfTomorrow", "False"),
];

/// What is recorded of the trigger, and of whom.
fn record(run: &mut PipelineRun, dice: &mut Dice) {
    let uid = run.metadata.uid.clone();
    let status = run.status.as_mut().unwrap();
    let states = [TriggerState::Accepted, TriggerState::NotExecuted, TriggerState::Ambiguous, TriggerState::Observed];
    status.trigger = (dice.roll(8) > 0).then(|| Trigger {
        nonce: dice.one_of(&["n1", "n2", "not a nonce"]).to_owned(),
        uid: dice.one_of(&[uid.as_deref(), uid.as_deref(), None, Some("another")]).map(str::to_owned),
        attempt: dice.one_of(&[1, 1, 2]),
        state: dice.one_of(&states),
        evidence: dice.one_of(&[Some(Evidence::Answer), Some(Evidence::Adopted), None]),
        ..Trigger::default()
    });
    status.attempt = dice.one_of(&[Some(1), Some(1), Some(2), None]);
    if dice.roll(8) == 0 {
        status.current.completion_time = None;
    }
    if dice.roll(3) == 0 {
        status.history = vec![PastAttempt { attempt: 1, result: Some("TriggerOutcomeUnknown".to_owned()), ..PastAttempt::default() }];
    }
    let marked = dice.one_of(&[uid.as_deref(), uid.as_deref(), Some("another"), None, Some("")]);
    let annotations = run.metadata.annotations.as_mut().unwrap();
    let executed = dice.roll(4) == 0;
    let marker = |uid: &str, dice: &mut Dice| {
        json!({
            "uid": uid, "namespace": "data-team", "name": "orders-2026-01-01", "nonce": dice.one_of(&["n1", "n1", "n2"]), "tenure": "n1",
            "attempt": dice.one_of(&[1, 1, 2]), "executed": executed,
        })
    };
    match marked {
        Some(uid) => annotations.insert(TRIGGER_ANNOTATION.to_owned(), marker(uid, dice).to_string()),
        None => annotations.remove(TRIGGER_ANNOTATION),
    };
    run.spec.on_ambiguous_trigger = dice.one_of(&[OnAmbiguousTrigger::Fail, OnAmbiguousTrigger::Adopt, OnAmbiguousTrigger::Retrigger]);
    if dice.roll(6) == 0 {
        run.spec.execution_id = Some("e1".to_owned());
    }
    if dice.roll(6) == 0 {
        run.spec.suspend = true;
    }
}

/// What people may do to a run that has ended.
fn edit(run: &mut PipelineRun, dice: &mut Dice) {
    let answers = ["n1:abandon", "n1:retry", "n1:adopt=e1,e2", "n2:abandon", "n2:retry", "other:retry", "n1:perhaps", "n1:adopt=a b"];
    if dice.roll(2) == 0 {
        run.metadata.annotations.as_mut().unwrap().insert(RESOLVE_ANNOTATION.to_owned(), dice.one_of(&answers).to_owned());
    }
    if dice.roll(3) == 0 {
        run.spec.rerun_token = dice.one_of(&[Some("one"), Some("two")]).map(str::to_owned);
    }
    if dice.roll(4) == 0 {
        run.status.as_mut().unwrap().series.rerun_token = dice.one_of(&[Some("one"), None]).map(str::to_owned);
    }
    if dice.roll(4) == 0 {
        run.spec.follow_fixes_seconds = dice.one_of(&[1, 604_800]);
    }
    if dice.roll(4) == 0 {
        run.spec.ttl_seconds_after_finished = Some(0);
        let labels = dice.one_of(&[None, Some(("kustomize.toolkit.fluxcd.io/name", "apps"))]);
        run.metadata.labels = Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
    }
    if dice.roll(4) == 0 {
        run.spec.retry = Some(Retry { limit: 10, on_error_types: vec![String::new()], ..Retry::default() });
    }
    if dice.roll(8) == 0 {
        run.metadata.generation = dice.one_of(&[Some(2), None]);
    }
    if dice.roll(8) == 0 {
        run.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    }
}

/// What the operator writes about all that.
fn write(run: &mut PipelineRun) {
    if let Ok(known) = parse(run) {
        let situation = StatusInput::Settled(Following::Undecided, PollFacts::default());
        run.status = Some(compute_status(run, &known, &situation, &Knowledge::new(), Timestamp::UNIX_EPOCH));
    }
}

/// And what others may do to that.
fn tamper(run: &mut PipelineRun, dice: &mut Dice) {
    let status = run.status.as_mut().unwrap();
    match dice.roll(12) {
        0 => status.phase = None,
        1 => status.conditions = Vec::new(),
        2 => status.observed_generation = Some(-1),
        3 => status.conditions.reverse(),
        4 => status.conditions.iter_mut().for_each(|condition| condition.message = String::new()),
        5 => run.spec.pipeline_id = "not a pipeline".to_owned(),
        6 => run.metadata.resource_version = None,
        _ => {}
    }
}

fn vary(dice: &mut Dice) -> PipelineRun {
    let (reason, succeeded) = dice.one_of(&ENDS);
    let mut run = run_cache::tests::ended(reason, succeeded);
    record(&mut run, dice);
    // Before or after the operator has seen it.
    let edited_first = dice.roll(2) == 0;
    if edited_first {
        edit(&mut run, dice);
    }
    write(&mut run);
    if !edited_first && dice.roll(2) == 0 {
        edit(&mut run, dice);
    }
    tamper(&mut run, dice);
    run
}

#[tokio::test]
async fn reconcile_of_a_run_at_rest_does_nothing() {
    const RUNS: u64 = 10_000;
    let fixture = Fixture::new();
    let resting: Vec<PipelineRun> = (0..RUNS).map(|seed| vary(&mut Dice(seed))).filter(|run| at_rest(run, Timestamp::now())).collect();
    for state in [None, Some(AccountState::NotReady("because".to_owned())), Some(AccountState::Ready(fixture.session()))] {
        if let Some(state) = &state {
            fixture.set_state(state.clone());
        }
        for run in &resting {
            // One that has expired is deleted, and nothing else.
            let deleted = expires(run).is_some();
            assert_eq!(fixture.acts(run).await, deleted, "{state:?}: {}", serde_json::to_string_pretty(run).unwrap());
        }
    }
    let answered = resting.iter().filter(|run| run.metadata.annotations.as_ref().unwrap().contains_key(RESOLVE_ANNOTATION)).count();
    println!("{} of {RUNS} runs are at rest, {answered} of them with an answer of a person", resting.len());
    assert!(resting.len() > 1_000 && answered > 100);
    let expired = resting.iter().filter(|run| expires(run).is_some()).count();
    assert!(expired > 100 && expired < resting.len(), "{expired}");
}

/// The other half: the cases that people know are not at rest when something is to be done, and are again when it is done.
#[tokio::test]
async fn ended_run_that_may_go_on_is_reconciled() {
    let fixture = Fixture::new();
    fixture.set_state(AccountState::NotReady("because".to_owned()));
    let annotate = |run: &mut PipelineRun, answer: &str| {
        run.metadata.annotations.as_mut().unwrap().insert(RESOLVE_ANNOTATION.to_owned(), answer.to_owned());
    };
    let doubtful = || {
        let mut run = run_cache::tests::ended("TriggerOutcomeUnknown", "False");
        run.status.as_mut().unwrap().trigger.as_mut().unwrap().state = TriggerState::Ambiguous;
        write(&mut run);
        run
    };
    for word in ["abandon", "retry", "adopt=e1", "perhaps"] {
        let mut run = doubtful();
        assert!(at_rest(&run, Timestamp::now()));
        annotate(&mut run, &format!("n1:{word}"));
        assert!(!at_rest(&run, Timestamp::now()) && fixture.acts(&run).await, "{word}");
        write(&mut run);
        let done = ["abandon", "perhaps"].contains(&word);
        assert_eq!((at_rest(&run, Timestamp::now()), fixture.acts(&run).await), (done, !done), "{word}, when it is noted");
    }
    let changes: [fn(&mut PipelineRun); 2] = [|run| run.metadata.generation = Some(2), |run| run.spec.rerun_token = Some("again".into())];
    for change in changes {
        let mut run = run_cache::tests::ended("ExecutionFailed", "False");
        assert!(at_rest(&run, Timestamp::now()) && !fixture.acts(&run).await);
        change(&mut run);
        assert!(!at_rest(&run, Timestamp::now()) && fixture.acts(&run).await);
    }
    let mut run = run_cache::tests::ended("Succeeded", "True");
    let other = Condition { message: "Another controller was here.".into(), ..run.status.as_ref().unwrap().conditions[0].clone() };
    run.status.as_mut().unwrap().conditions.push(other);
    assert!(!at_rest(&run, Timestamp::now()) && fixture.acts(&run).await);
}

#[tokio::test]
async fn run_at_rest_costs_nothing_unless_it_has_its_lock_to_release() {
    let fixture = Fixture::new();
    let (reconciler, mut deleted) = fixture.reconciler();
    let rests = Arc::new(run_cache::tests::cached(&run_cache::tests::ended("Succeeded", "True")));
    let uid = rests.meta().uid.clone().unwrap();
    let costs = async || {
        let action = reconciler.reconcile(rests.clone()).await;
        (fixture.asked.swap(0, Ordering::Relaxed), action.is_ok_and(|action| action == Action::await_change()))
    };
    assert_eq!(costs().await, (0, true));
    let pending = || fixture.shell.memories.get(&uid).lock_pending_release;
    fixture.shell.memories.set(&uid, RunMemory { lock_pending_release: true, ..RunMemory::default() });
    assert_eq!(costs().await, (1, false), "the run is read");
    assert!(pending(), "and tried again, because that failed");
    // Nor when it is deleted.
    reconciler.on_watch_event(None, &Event::Delete((*rests).clone()));
    assert_eq!((fixture.asked.load(Ordering::Relaxed), deleted.try_recv().is_err(), pending()), (0, true, false));
}

#[tokio::test]
async fn lock_of_a_run_that_is_deleted_before_its_end_is_released() {
    let fixture = Fixture::new();
    let mut run = run_cache::tests::ended("Succeeded", "True");
    run.status.as_mut().unwrap().current.completion_time = None;
    let (reconciler, mut deleted) = fixture.reconciler();
    reconciler.on_watch_event(None, &Event::Delete(CachedRun::try_from(run).unwrap()));
    assert_eq!(deleted.try_recv().map(|deleted| deleted.id.name), Ok("orders-2026-01-01".to_owned()));
    assert!(deleted.try_recv().is_err());
}

/// One too many is left to the next run of its pipeline.
#[tokio::test]
async fn deleted_run_is_dropped_when_too_many_wait() {
    let fixture = Fixture::new();
    let mut run = run_cache::tests::ended("Succeeded", "True");
    run.status.as_mut().unwrap().current.completion_time = None;
    let (reconciler, mut deleted) = fixture.reconciler();
    let event = Event::Delete(CachedRun::try_from(run).unwrap());
    for _ in 0..=DELETED_RUNS {
        reconciler.on_watch_event(None, &event);
    }
    let waiting = std::iter::from_fn(|| deleted.try_recv().ok()).count();
    assert_eq!(waiting, DELETED_RUNS);
}
