//! The shell: carries out what the core decides, one irreversible act per step.

mod account_reconciler;
mod account_registry;
mod api_call;
mod ended;
mod events;
mod executor;
pub mod lock;
mod memory;
mod room;
mod run;
mod run_cache;
mod run_index;
mod runs;
mod wake_queue;

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

use crate::account::Breakers;
use crate::account::follower::Audience;
use crate::{operator::Context, shutdown::Shutdown, telemetry::Metrics};
pub use api_call::told;
use nuvo_client::{Origins, Settings as NuvoSettings};
use nuvo_core::run::{Limits, PipelineId, Run, RunRef};
use nuvo_crds::{NuvoAccount, PipelineRun, PipelineRunStatus};

use account_registry::{AccountKey, Accounts};
use events::Events;
use lock::Locks;
use memory::{Memories, Proven, Tries, Waiting};
use room::Room;
use run::ReconcileError;
use run_cache::CachedRun;
use runs::Runs;
use wake_queue::{Woken, wakes};

/// How often the number of runs in each phase is told. The index has it ready.
const COUNT_PERIOD: Duration = Duration::from_secs(1);
/// For each reconcile that may work at once, so many may wait for nuvo.
const WAITING_FOR_EACH: u16 = 8;
/// How many accounts are looked at at once. A look can take as long as nuvo takes to answer, and one account must not keep others waiting.
const ACCOUNT_CONCURRENCY: u16 = 32;

/// How many deleted runs can wait until their lock is given back, in each watch: as many as are deleted in one go where runs are many. For
/// those beyond, nobody looks after the lock, and the next run of their pipeline takes it over after the quarantine.
const FAREWELLS: usize = 1_024;

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
    breakers: Breakers,
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
            breakers: Breakers::default(),
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
    fn seen(&self, namespace: Option<&str>, event: &watcher::Event<CachedRun>, leaving: &Sender<Leaving>) {
        match event {
            watcher::Event::Apply(run) => {
                if let Some(pipeline) = self.runs.applied(run) {
                    self.wake_waiting(&pipeline);
                }
            }
            watcher::Event::Delete(run) => self.gone(run, leaving),
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

    /// A run was deleted. One that has ended costs no request: it gave its lock back at its end. Only a process that died between the two
    /// leaves the lock to the next run of the pipeline, which then waits for the quarantine because it cannot ask this one any more.
    fn gone(&self, run: &CachedRun, leaving: &Sender<Leaving>) {
        self.runs.removed(run);
        self.memories.forget(run.meta().uid.as_deref().unwrap_or_default());
        let Some(object) = run.whole() else { return };
        let Ok(run) = nuvo_core::run::parse(object) else { return };
        let pipeline = run.pipeline.clone();
        if !run.ended && nuvo_core::run::decided(&run) && leaving.try_send(Leaving { account: AccountKey::of(object), run }).is_ok() {
            return;
        }
        self.wake_waiting(&pipeline);
    }

    /// This status is about to be written. If the run ends with it, it must give back its lock, also when the answer to the write is lost.
    fn note_end(&self, object: &PipelineRun, status: &PipelineRunStatus) {
        if nuvo_core::run::lets_go(object.status.as_ref(), status)
            && let Ok(run) = nuvo_core::run::parse(object)
            && run.own_marker().is_some()
        {
            self.memories.owe(run.me.uid.as_str());
        }
    }

    /// Tells people and metrics what a change of a status means.
    async fn announce(&self, object: &PipelineRun, before: Option<&PipelineRunStatus>, after: &PipelineRunStatus) {
        if let Some(ending) = nuvo_core::run::ending(before, after) {
            self.metrics.run_finished(run::result(ending.reason), &ending.error_type);
            if let Some(took) = ending.took {
                self.metrics.run_duration(took.as_secs_f64());
            }
            tracing::info!(reason = %ending.reason, error_type = ending.error_type, "ended");
        }
        for notice in nuvo_core::run::notices(before, after) {
            self.events.publish(object, notice).await;
        }
    }
}

impl Audience for Runs {
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
    executor::whole_seconds(Timestamp::now())
}

/// What is left of a run that was deleted, and may hold the lock of its pipeline.
struct Leaving {
    account: AccountKey,
    run: Run,
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
    let (gone, leaving) = tokio::sync::mpsc::channel(FAREWELLS);
    let eyes = shell.clone();
    let seen = move |event: &watcher::Event<CachedRun>| eyes.seen(namespace.as_deref(), event, &gone);
    let stop = shell.shutdown.clone();
    let work = Controller::for_stream(objects(api, config, writer, seen).applied_objects(), reader)
        .with_config(controller::Config::default().concurrency(concurrency))
        .reconcile_on(woken)
        .graceful_shutdown_on(async move { stop.begun().await })
        .run(reconcile_run, |_, never, _| match *never {}, shell.clone())
        .for_each(|_| std::future::ready(()));
    let farewell = say_farewell(leaving, &shell);
    tokio::select! {
        () = work => {}
        () = farewell => {}
    }
}

/// Looks after what deleted runs leave behind, one at a time: a lock that is given back at once spares the next run the quarantine.
async fn say_farewell(mut leaving: Receiver<Leaving>, shell: &Shell) {
    while let Some(Leaving { account, run }) = leaving.recv().await {
        if let Err(error) = ended::release(&account, &run, shell).await {
            tracing::debug!(%error, "the lock of a deleted run was not given back");
        }
        shell.wake_waiting(&run.pipeline);
    }
    std::future::pending::<()>().await;
}

/// One reconcile of a run. Its failures are its own: nothing that happens here stops another object.
async fn reconcile_run(run: Arc<CachedRun>, shell: Arc<Shell>) -> Result<Action, std::convert::Infallible> {
    let uid = run.uid().unwrap_or_default();
    if run.whole().is_none() && !shell.memories.owes(&uid) {
        let left = run.expires().map(ended::left_until);
        if left.is_none_or(|left| !left.is_zero()) {
            shell.memories.forget(&uid);
            return Ok(left.map_or_else(Action::await_change, Action::requeue));
        }
    }
    let span = tracing::info_span!(
        "run",
        namespace = run.namespace().unwrap_or_default(),
        name = run.name_any(),
        reconcileID = %uuid::Uuid::new_v4().simple()
    );
    async move {
        let Ok(slot) = shell.slots.acquire().await else { return Ok(Action::await_change()) };
        let work = async {
            match run.whole() {
                Some(object) => run::reconcile(object.clone(), slot, &shell).await,
                None => ended::settle_up(run.meta(), &shell).await,
            }
        };
        let action = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(action)) => action,
            Ok(Err(error)) => Action::requeue(run::after_failure(&run, &error, &shell).await),
            Err(_) => Action::requeue(run::after_failure(&run, &ReconcileError::Panic, &shell).await),
        };
        // What is noted of a run that was deleted meanwhile would stay for ever.
        if !shell.runs.exists(&ObjectRef::from_obj(&*run)) {
            shell.memories.forget(&uid);
        }
        Ok(action)
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
        let work = AssertUnwindSafe(account_reconciler::reconcile(&account, &shell)).catch_unwind();
        let error = match work.await {
            Ok(Ok(action)) => return Ok(action),
            Ok(Err(error)) => ReconcileError::Call(error),
            Err(_) => ReconcileError::Panic,
        };
        let tries = shell.tries.count(&account.uid().unwrap_or_default(), false);
        tracing::warn!(%error, "the account could not be looked at");
        Ok(Action::requeue(account_reconciler::backoff(Duration::from_secs(1), Duration::from_secs(60), tries)))
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests;
