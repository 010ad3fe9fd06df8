//! What the reconciles of all kinds share.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::{Client, runtime::reflector::ObjectRef};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    account_registry::AccountRegistry, events::Events, lock_store::LockStore, lock_waiters::LockWaiters, object_cache::ObjectCache,
    observed_pipelines::ObservedPipelines, run_memory::RunMemories, run_store::RunStore, schedule_runs::ScheduleName,
};
use crate::{
    account::{
        AccountKey, CircuitBreakers, Logins, TriggerQueue,
        driver::{RunNotifier, object_ref},
    },
    checked_clock::{self, CheckedClock},
    context::Context,
    definitions::Definitions,
    shutdown::Shutdown,
    telemetry::{Metrics, RunResult},
};
use nuvo_client::{Connections, Origins, Settings as NuvoSettings};
use nuvo_core::run::{Limits, LockName, PipelineId, RunMemory, RunRef};
use nuvo_crds::{PipelineRun, PipelineRunStatus, PipelineSchedule, conditions::Reason};

/// Longer than anything that is waited for.
const BEFORE_THE_TERM: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many reconciles may wait for nuvo for each one that works.
const WAITING_PER_SLOT: u16 = 8;

/// How many runs are reconciled at once, those that wait for nuvo included, if `slots` of them may work.
#[must_use]
pub const fn run_concurrency(slots: u16) -> u16 {
    slots.saturating_mul(WAITING_PER_SLOT)
}

/// The time as it is written into objects: whole seconds, as in Kubernetes.
pub(super) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// OpenTelemetry's result for a run that ended with this reason.
const fn result(reason: Reason) -> RunResult {
    match reason {
        Reason::Succeeded | Reason::FixedInNuvo => RunResult::Success,
        Reason::NothingToProcess | Reason::NothingToProcessFailed | Reason::Skipped => RunResult::Skip,
        Reason::ExecutionFailed | Reason::QualityGateFailed => RunResult::Failure,
        Reason::DeadlineExceeded | Reason::StartDeadlineExceeded => RunResult::Timeout,
        _ => RunResult::Error,
    }
}

/// The objects that are watched.
pub struct Caches {
    pub(super) runs: Arc<RunStore>,
    pub(super) accounts: Arc<AccountRegistry>,
    pub(super) pipelines: Arc<ObservedPipelines>,
    pub(super) schedules: ObjectCache<PipelineSchedule>,
}

/// What every reconcile uses.
pub struct Shell {
    pub(super) client: Client,
    pub(super) clock: Arc<CheckedClock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) definitions: Arc<Definitions>,
    pub(super) origins: Origins,
    pub(super) nuvo_settings: NuvoSettings,
    pub(super) limits: Limits,
    pub(super) lock_retention: Duration,
    pub(super) runs: Arc<RunStore>,
    pub(super) accounts: Arc<AccountRegistry>,
    pub(super) pipelines: Arc<ObservedPipelines>,
    pub(super) schedules: ObjectCache<PipelineSchedule>,
    pub(super) namespaces: Vec<String>,
    pub(super) locks: LockStore,
    pub(super) events: Events,
    pub(super) memories: RunMemories,
    pub(super) lock_waiters: LockWaiters,
    pub(super) breakers: CircuitBreakers,
    pub(super) logins: Logins,
    pub(super) slots: Semaphore,
    pub(super) trigger_queue: Arc<TriggerQueue>,
    pub(super) started: Instant,
    pub(super) stopping: OnceLock<Instant>,
    /// Its end: nothing is begun any more.
    pub(super) term: Shutdown,
    /// The end of the process.
    pub(super) shutdown: Shutdown,
}

impl Shell {
    pub(super) fn new(context: &Context, caches: Caches, term: Shutdown, shutdown: Shutdown) -> Self {
        let Caches { runs, accounts, pipelines, schedules } = caches;
        let Context { client, settings, metrics, health: _, definitions, operator_namespace, identity, clock } = context.clone();
        let observer = metrics.clone();
        let concurrency = settings.max_concurrent_reconciles;
        Self {
            locks: LockStore::new(client.clone(), &operator_namespace, metrics.clone(), clock.clone()),
            events: Events::new(client.clone(), &identity, metrics.clone(), clock.clone()),
            client,
            clock,
            metrics,
            definitions,
            origins: settings.allowed_origins.clone(),
            nuvo_settings: NuvoSettings {
                trigger_timeout: settings.trigger_timeout,
                use_env_proxy: settings.use_env_proxy,
                connections: settings.additional_ca_file.clone().map_or_else(Connections::default, Connections::trusting),
                observer: Some(Arc::new(move |operation, code, took| observer.nuvo_request(operation, code, took))),
                ..NuvoSettings::default()
            },
            limits: Limits {
                fence: settings.fence,
                post_deadline: settings.trigger_timeout,
                settle: settings.trigger_settle,
                quarantine: settings.quarantine,
                answer: settings.adoption_confirm,
                confirm: settings.adoption_confirm,
                clock_margin: checked_clock::TOLERANCE,
            },
            lock_retention: settings.lock_retention,
            // The other reconciles are for work without requests to nuvo.
            trigger_queue: TriggerQueue::new(usize::from(run_concurrency(concurrency).saturating_sub(concurrency)), runs.clone()),
            runs,
            accounts,
            pipelines,
            schedules,
            namespaces: settings.namespaces.clone(),
            memories: RunMemories::default(),
            lock_waiters: LockWaiters::default(),
            breakers: CircuitBreakers::default(),
            logins: Logins::default(),
            slots: Semaphore::new(usize::from(concurrency)),
            started: Instant::now(),
            stopping: OnceLock::new(),
            term,
            shutdown,
        }
    }

    /// The time of day as it is written into objects: whole seconds.
    pub(super) fn now(&self) -> Timestamp {
        whole_seconds(self.clock.now())
    }

    /// Monotonic time. The term began long after its origin, so that what began before the term lies after the origin, too.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed().saturating_add(BEFORE_THE_TERM)
    }

    /// For how long the process has been shutting down, as far as it was noticed; zero if only the term has ended. None before.
    pub(super) fn stopping_for(&self) -> Option<Duration> {
        if self.shutdown.is_begun() {
            return Some(self.stopping.get_or_init(Instant::now).elapsed());
        }
        self.term.is_begun().then_some(Duration::ZERO)
    }

    /// Remembers this of a run after a pass over it. No younger run waits for one whose passes fail.
    pub(super) fn remember(&self, run: &RunRef, memory: RunMemory) {
        self.runs.set_failing(run, memory.failures > 0);
        self.memories.set(run.uid.as_str(), memory);
    }

    /// The origin of an account's base URL; none if there is no such account, or its origin is not allowed.
    pub(super) fn origin(&self, account: &AccountKey) -> Option<String> {
        let base = self.accounts.base_url(account)?;
        self.origins.check(&base).ok().map(|base| base.origin())
    }

    /// Wakes the run that holds a lock, because another run waits for the lock.
    pub(super) fn wake_lock_holder(&self, holder: &RunRef, lock: LockName) {
        let reference = object_ref(holder);
        if self.runs.is_active(&reference) && self.memories.set_awaited(holder.uid.as_str(), lock) {
            self.runs.wake(&reference);
        }
    }

    /// Wakes these schedules.
    pub(super) fn wake_schedules(&self, schedules: &[ScheduleName]) {
        for (namespace, name) in schedules {
            self.schedules.wake(&ObjectRef::new(name).within(namespace));
        }
    }

    /// Wakes all schedules.
    pub(super) fn wake_all_schedules(&self) {
        for schedule in self.schedules.all() {
            self.schedules.wake(&ObjectRef::from_obj(&*schedule));
        }
    }

    /// Wakes the runs that wait for the lock of this pipeline, because it may be free.
    pub(super) fn wake_lock_waiters(&self, pipeline: &PipelineId) {
        for run in self.lock_waiters.take(pipeline) {
            self.runs.wake(&run);
        }
    }

    /// Announces a change of a status by events, metrics and a log line.
    pub(super) async fn announce(&self, object: &PipelineRun, before: Option<&PipelineRunStatus>, after: &PipelineRunStatus) {
        // What nuvo has started by itself is counted by its pipeline.
        let is_mirror = nuvo_core::run::is_mirror(&object.metadata);
        if let Some(ending) = nuvo_core::run::ending(before, after).filter(|_| !is_mirror) {
            self.metrics.run_finished(result(ending.reason), &ending.error_type);
            if let Some(took) = ending.took {
                self.metrics.run_duration(took.as_secs_f64());
            }
            tracing::info!(reason = %ending.reason, error_type = ending.error_type, "ended");
        }
        for notice in nuvo_core::run::events_of_change(before, after) {
            self.events.publish(object, notice.into()).await;
        }
    }
}

impl RunNotifier for RunStore {
    fn wake(&self, run: &ObjectRef<PipelineRun>) {
        Self::wake(self, run);
    }

    /// False also for a run at rest, because it needs no answers.
    fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool {
        self.is_active(run)
    }
}
