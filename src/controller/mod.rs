//! The shell: carries out what the core decides, one irreversible act per step.

mod account;
mod accounts;
mod cache;
mod events;
mod index;
mod kube_call;
pub mod lock;
mod memory;
mod message_hash;
mod room;
mod run_pass;
mod run_reconciler;
mod run_wishes;
mod runs;
mod wakes;

use std::{
    fmt::Debug,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::join_all};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        Predicate, PredicateConfig, WatchStreamExt,
        controller::{self, Action, Controller},
        predicates,
        reflector::{self, ObjectRef, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{
        Semaphore,
        mpsc::{Receiver, Sender},
    },
    time::Instant,
};
use tracing::Instrument;

use crate::account::CircuitBreakers;
use crate::account::poller::RunNotifier;
use crate::{
    operator::Context,
    shutdown::Shutdown,
    telemetry::{Metrics, RunResult},
};
pub use kube_call::told;
use nuvo_client::{Origins, Settings as NuvoSettings};
use nuvo_core::run::{Limits, PipelineId, RunRef};
use nuvo_crds::{NuvoAccount, PipelineRun, PipelineRunStatus, conditions::Reason};

use accounts::{AccountKey, Accounts};
use cache::CachedRun;
use events::Events;
use lock::Locks;
use memory::{Memories, Proven, Tries, Waiting};
use room::Room;
use runs::Runs;
use wakes::{Woken, wakes};

/// How often the number of runs in each phase is told. The index has it ready.
const COUNT_PERIOD: Duration = Duration::from_secs(1);
/// For each reconcile that may work at once, so many may wait for nuvo.
const WAITING_FOR_EACH: u16 = 8;
/// How many accounts are looked at at once. A look can take as long as nuvo takes to answer, and one account must not keep others waiting.
const ACCOUNT_CONCURRENCY: u16 = 32;

/// How many deleted runs can wait until their lock is given back, in each watch: as many as are deleted in one go where runs are many. For
/// those beyond, nobody looks after the lock, and the next run of their pipeline takes it over after the quarantine.
const DELETED_RUNS: usize = 1_024;

/// What every reconcile works with.
pub(crate) struct Shell {
    client: Client,
    metrics: Arc<Metrics>,
    origins: Origins,
    nuvo_settings: NuvoSettings,
    limits: Limits,
    runs: Arc<Runs>,
    accounts: Arc<Accounts>,
    locks: Locks,
    events: Events,
    memories: Memories,
    waiting: Waiting,
    proven: Proven,
    tries: Tries,
    breakers: CircuitBreakers,
    slots: Semaphore,
    room: Arc<Room>,
    started: Instant,
    stopping: OnceLock<Instant>,
    shutdown: Shutdown,
}

impl Shell {
    fn new(context: &Context, runs: Arc<Runs>, accounts: Arc<Accounts>, shutdown: Shutdown) -> Self {
        let Context { client, settings, metrics, health: _, operator_namespace, identity } = context.clone();
        let observer = metrics.clone();
        let concurrency = settings.max_concurrent_reconciles;
        Self {
            locks: Locks::new(client.clone(), &operator_namespace, metrics.clone()),
            events: Events::new(client.clone(), &identity, metrics.clone()),
            client,
            metrics,
            origins: settings.allowed_origins.clone(),
            nuvo_settings: NuvoSettings {
                trigger_timeout: settings.trigger_timeout,
                use_env_proxy: settings.use_env_proxy,
                observer: Some(Arc::new(move |operation, code, took| observer.nuvo_request(operation, code, took))),
                ..NuvoSettings::default()
            },
            limits: Limits {
                fence: settings.fence,
                post_deadline: settings.trigger_timeout,
                settle: settings.trigger_settle,
                quarantine: settings.quarantine,
                confirm: settings.adoption_confirm,
            },
            // The rest is kept for what needs no nuvo.
            room: Room::new(usize::from(at_once(concurrency).saturating_sub(concurrency)), runs.clone()),
            runs,
            accounts,
            memories: Memories::default(),
            waiting: Waiting::default(),
            proven: Proven::default(),
            tries: Tries::default(),
            breakers: CircuitBreakers::default(),
            slots: Semaphore::new(usize::from(concurrency)),
            started: Instant::now(),
            stopping: OnceLock::new(),
            shutdown,
        }
    }

    /// Monotonic time since the process began to work.
    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Since when the process is shutting down.
    fn stopping_since(&self) -> Option<Instant> {
        self.shutdown.is_begun().then(|| *self.stopping.get_or_init(Instant::now))
    }

    /// Where the requests of an account go; none if there is no such account, or it may not be used.
    fn origin(&self, account: &AccountKey) -> Option<String> {
        let base = self.accounts.base_url(account)?;
        self.origins.check(&base).ok().map(|base| base.origin())
    }

    /// The account is gone, and so is what was remembered of it, and of others that are gone.
    fn forget_account(&self, namespace: &str, name: &str) {
        self.metrics.forget_account(namespace, name);
        let left = self.accounts.uids();
        self.proven.retain(&left);
        self.tries.retain(&left);
    }

    /// A run holds its pipeline's lock, and another one waits for that.
    fn hurry(&self, holder: &RunRef) {
        let reference = ObjectRef::new(&holder.name).within(&holder.namespace);
        let is_it = |run: &PipelineRun| run.metadata.uid.as_deref() == Some(holder.uid.as_str());
        if self.runs.get(&reference).is_some_and(|run| is_it(&run)) && self.memories.await_it(holder.uid.as_str()) {
            self.runs.wake(&reference);
        }
    }

    /// The lock of this pipeline may be free for another run.
    fn wake_waiting(&self, pipeline: &PipelineId) {
        for run in self.waiting.take(pipeline) {
            self.runs.wake(&run);
        }
    }

    /// The cache knows what a watch has told.
    fn seen(&self, namespace: Option<&str>, event: &watcher::Event<CachedRun>, deleted: &Sender<DeletedRun>) {
        match event {
            watcher::Event::Apply(run) => {
                if let Some(pipeline) = self.runs.applied(run) {
                    self.wake_waiting(&pipeline);
                }
            }
            watcher::Event::Delete(run) => self.gone(run, deleted),
            watcher::Event::InitDone => {
                self.runs.filled(namespace);
                for run in self.waiting.take_all() {
                    self.runs.wake(&run);
                }
                self.memories.retain(&self.runs.uids());
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }

    /// A run was deleted. What it leaves behind is looked after in turn; of one at rest nothing is left.
    fn gone(&self, run: &CachedRun, deleted: &Sender<DeletedRun>) {
        self.runs.removed(run);
        self.memories.forget(run.meta().uid.as_deref().unwrap_or_default());
        let Some(object) = run.whole() else { return };
        let Ok(run) = nuvo_core::run::parse(object) else { return };
        if deleted.try_send(DeletedRun { id: run.me, object: object.clone() }).is_err() {
            self.wake_waiting(&run.pipeline);
        }
    }

    /// Tells people and metrics what a change of a status means.
    async fn announce(&self, object: &PipelineRun, before: Option<&PipelineRunStatus>, after: &PipelineRunStatus) {
        if let Some(ending) = nuvo_core::run::ending(before, after) {
            self.metrics.run_finished(result(ending.reason), &ending.error_type);
            if let Some(took) = ending.took {
                self.metrics.run_duration(took.as_secs_f64());
            }
            tracing::info!(reason = %ending.reason, error_type = ending.error_type, "ended");
        }
        for notice in nuvo_core::run::events_of_change(before, after) {
            self.events.publish(object, notice).await;
        }
    }
}

impl RunNotifier for Runs {
    fn wake(&self, run: &ObjectRef<PipelineRun>) {
        Self::wake(self, run);
    }

    /// A run at rest needs no answers, as if it were gone.
    fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool {
        let uid = run.extra.uid.as_ref();
        self.get(run).is_some_and(|cached| uid.is_none() || cached.metadata.uid.as_ref() == uid)
    }
}

/// The current time as it is written into objects.
fn now() -> Timestamp {
    whole_seconds(Timestamp::now())
}

/// The time that is written into objects: whole seconds, as Kubernetes has it.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A run that was deleted, as it was seen last. It may hold the lock of its pipeline.
struct DeletedRun {
    id: RunRef,
    object: Arc<PipelineRun>,
}

/// The word of OpenTelemetry for how a run ended.
const fn result(reason: Reason) -> RunResult {
    match reason {
        Reason::Succeeded | Reason::FixedInNuvo => RunResult::Success,
        Reason::NothingToProcess | Reason::NothingToProcessFailed => RunResult::Skip,
        Reason::ExecutionFailed | Reason::QualityGateFailed => RunResult::Failure,
        Reason::DeadlineExceeded => RunResult::Timeout,
        _ => RunResult::Error,
    }
}

/// What one watch needs to begin.
struct Watch<K: Resource<DynamicType = ()> + Clone + 'static> {
    namespace: Option<String>,
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    woken: Woken<ObjectRef<K>>,
}

/// The watched namespaces; `None` stands for all of them.
fn places(namespaces: &[String]) -> Vec<Option<String>> {
    if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// How many runs can be looked at at once, those included that wait for nuvo.
const fn at_once(working: u16) -> u16 {
    working.saturating_mul(WAITING_FOR_EACH)
}

/// Runs the controllers until the shutdown has begun and everything in flight has been recorded.
pub async fn run_controllers(context: Context, shutdown: Shutdown) {
    let Context { client, settings, metrics, .. } = context.clone();
    let mut runs = Runs::new(client.clone(), metrics);
    let mut run_watches = Vec::new();
    let selector = settings.label_selector.as_deref();
    for namespace in places(&settings.namespaces) {
        let (store, writer) = reflector::store();
        let (wakes, woken) = wakes();
        let config = selector.map_or_else(watcher::Config::default, |labels| watcher::Config::default().labels(labels));
        run_watches.push(Watch { namespace: namespace.clone(), api: api(&client, namespace.as_deref()), config, writer, woken });
        runs.add(namespace, store, wakes);
    }
    let runs = Arc::new(runs);
    let mut accounts = Accounts::new(runs.clone(), settings.trigger_settle, shutdown.clone());
    let mut account_watches = Vec::new();
    for namespace in places(&settings.namespaces) {
        let (store, writer) = reflector::store();
        let (wakes, woken) = wakes();
        let (api, config) = (api(&client, namespace.as_deref()), watcher::Config::default());
        account_watches.push(Watch { namespace: namespace.clone(), api, config, writer, woken });
        accounts.add(namespace, store, wakes);
    }
    let concurrency = at_once(settings.max_concurrent_reconciles);
    let shell = Arc::new(Shell::new(&context, runs, Arc::new(accounts), shutdown.clone()));
    let accounts_work = join_all(account_watches.into_iter().map(|watch| control_accounts(watch, shell.clone())));
    let runs_work = join_all(run_watches.into_iter().map(|watch| control_runs(watch, concurrency, shell.clone())));
    let counting = async {
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(COUNT_PERIOD) => shell.metrics.set_pipelineruns(shell.runs.phases()),
            }
        }
    };
    tokio::join!(accounts_work, runs_work, counting);
}

/// The objects of a watch, which also feed the cache; `seen` is told of every event after the cache has it.
fn objects<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    seen: impl Fn(&watcher::Event<K>) + Send + 'static,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    watcher(api, config)
        .default_backoff()
        .modify(|object: &mut K| {
            // A third of a cached object, and nobody reads it.
            object.managed_fields_mut().clear();
        })
        .reflect(writer)
        .inspect(move |event| match event {
            Ok(event) => seen(event),
            Err(error) => tracing::warn!(%error, "the watch broke; it begins again"),
        })
}

async fn control_runs(watch: Watch<CachedRun>, concurrency: u16, shell: Arc<Shell>) {
    let Watch { namespace, api, config, writer, woken } = watch;
    let reader = writer.as_reader();
    let (deleted, deleted_runs) = tokio::sync::mpsc::channel(DELETED_RUNS);
    let eyes = shell.clone();
    let seen = move |event: &watcher::Event<CachedRun>| eyes.seen(namespace.as_deref(), event, &deleted);
    let stop = shell.shutdown.clone();
    let work = Controller::for_stream(objects(api, config, writer, seen).applied_objects(), reader)
        .with_config(controller::Config::default().concurrency(concurrency))
        .reconcile_on(woken)
        .graceful_shutdown_on(async move { stop.begun().await })
        .run(reconcile_run, |_, never, _| match *never {}, shell.clone())
        .for_each(|_| std::future::ready(()));
    let cleanup = release_locks_of_deleted(deleted_runs, &shell);
    tokio::select! {
        () = work => {}
        () = cleanup => {}
    }
}

/// Looks after what deleted runs leave behind, one at a time.
async fn release_locks_of_deleted(mut deleted: Receiver<DeletedRun>, shell: &Shell) {
    while let Some(DeletedRun { id, object }) = deleted.recv().await {
        let span = tracing::info_span!("deleted run", namespace = id.namespace, name = id.name);
        run_reconciler::clean_up(id, object, shell).instrument(span).await;
    }
    std::future::pending::<()>().await;
}

/// One reconcile of a run. Its failures are its own: nothing that happens here stops another object.
async fn reconcile_run(run: Arc<CachedRun>, shell: Arc<Shell>) -> Result<Action, std::convert::Infallible> {
    let span = tracing::info_span!(
        "run",
        namespace = run.namespace().unwrap_or_default(),
        name = run.name_any(),
        reconcileID = %uuid::Uuid::new_v4().simple()
    );
    async move {
        let Ok(slot) = shell.slots.acquire().await else { return Ok(Action::await_change()) };
        let work = AssertUnwindSafe(run_reconciler::reconcile(&run, slot, &shell)).catch_unwind();
        Ok(match work.await {
            Ok(action) => action,
            Err(_) => run_reconciler::after_a_panic(&run.uid().unwrap_or_default(), &shell),
        })
    }
    .instrument(span)
    .await
}

async fn control_accounts(watch: Watch<NuvoAccount>, shell: Arc<Shell>) {
    let Watch { namespace: _, api, config, writer, woken } = watch;
    let reader = writer.as_reader();
    let eyes = shell.clone();
    let seen = move |event: &watcher::Event<NuvoAccount>| match event {
        watcher::Event::Delete(account) => {
            eyes.accounts.remove(&ObjectRef::from_obj(account));
            eyes.forget_account(&account.namespace().unwrap_or_default(), &account.name_any());
        }
        watcher::Event::InitDone => {
            for key in eyes.accounts.prune() {
                eyes.forget_account(&key.namespace, &key.name);
            }
            eyes.accounts.wake_unjudged();
        }
        watcher::Event::Apply(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
    };
    let stop = shell.shutdown.clone();
    // Its own writes are no reason to look again: each look costs a Secret read, and maybe a request to nuvo.
    let changed = objects(api, config, writer, seen)
        .applied_objects()
        .predicate_filter(predicates::generation.combine(predicates::annotations), PredicateConfig::default());
    Controller::for_stream(changed, reader)
        .with_config(controller::Config::default().concurrency(ACCOUNT_CONCURRENCY))
        .reconcile_on(woken)
        .graceful_shutdown_on(async move { stop.begun().await })
        .run(reconcile_account, |_, never, _| match *never {}, shell.clone())
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn reconcile_account(account: Arc<NuvoAccount>, shell: Arc<Shell>) -> Result<Action, std::convert::Infallible> {
    let span = tracing::info_span!(
        "account",
        namespace = account.namespace().unwrap_or_default(),
        name = account.name_any(),
        reconcileID = %uuid::Uuid::new_v4().simple()
    );
    async move {
        let work = AssertUnwindSafe(account::reconcile(&account, &shell)).catch_unwind();
        let error = match work.await {
            Ok(Ok(action)) => return Ok(action),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the reconcile panicked".to_owned(),
        };
        let tries = shell.tries.count(&account.uid().unwrap_or_default(), false);
        tracing::warn!(%error, "the account could not be looked at");
        Ok(Action::requeue(account::backoff(Duration::from_secs(1), Duration::from_secs(60), tries)))
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod rest_tests;
