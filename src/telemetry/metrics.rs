//! The metrics: one list of names, and typed methods that keep every label bounded. No run name is ever a label.

mod description;
mod labels;
mod pipelines;
mod schedules;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use k8s_openapi::jiff::SignedDuration;
use nuvo_client::{Code, Operation};
use nuvo_core::{
    pipeline::{Counts, Observed},
    run::WaitAge,
};
use nuvo_crds::{MissedReason, NuvoPipeline, NuvoPipelineStatus, PipelineScheduleStatus, conditions::Reason};

use description::{
    ACCOUNT_READY, BUDGET_WAIT, CLOCK_SKEW, DEFINITION_GAPS, KUBE_WRITES, LEADER, LOCKS, NUVO_REQUEST_DURATION, NUVO_REQUESTS, OLDEST_RUN,
    PIPELINERUNS, RECONCILE_DURATION, RECONCILES, RUN_DURATION, RUNS_FINISHED, TRIGGERS, WAITING_RUNS, WATCH_FAILURES, WATCH_UP, register,
};
pub use description::{ALL, Description, ERROR_TYPES};
use labels::{
    AccountLabels, ERROR, FinishedLabels, KindLabel, OK, OTHER, OperationLabel, OutcomeLabel, PhaseLabel, ReconcileLabels, RequestLabels,
    ResourceLabel, WaitLabels, WatchLabels,
};
pub use labels::{RunResult, TriggerOutcome};
use pipelines::PipelineMetrics;
use schedules::ScheduleMetrics;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The phases, all of which are always exposed, so that a phase that empties shows 0.
pub const PHASES: [&str; 7] = ["Pending", "Suspended", "Triggering", "Running", "Succeeded", "Failed", "Unresolved"];

/// The reasons with which a run waits, all of which are always exposed.
pub const WAITING_REASONS: [Reason; 11] = [
    Reason::Pending,
    Reason::Suspended,
    Reason::AccountNotReady,
    Reason::PipelineBusy,
    Reason::PipelineRunning,
    Reason::NuvoUnavailable,
    Reason::RateLimited,
    Reason::TriggerUnconfirmed,
    Reason::RetryScheduled,
    Reason::TriggerOutcomeUnknown,
    Reason::StatusLost,
];

/// All metrics of one process. Made once, then shared; there is no global.
pub struct Metrics {
    registry: Registry,
    pipelineruns: Family<PhaseLabel, Gauge>,
    triggers: Family<OutcomeLabel, Counter>,
    runs_finished: Family<FinishedLabels, Counter>,
    run_duration: Histogram,
    nuvo_requests: Family<RequestLabels, Counter>,
    nuvo_request_duration: Family<OperationLabel, Histogram>,
    kube_writes: Family<ResourceLabel, Counter>,
    account_ready: Family<AccountLabels, Gauge>,
    budget_wait: Histogram,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_duration: Family<KindLabel, Histogram>,
    watch_failures: Family<KindLabel, Counter>,
    watch_up: Family<WatchLabels, Gauge>,
    oldest_run: Family<PhaseLabel, Gauge>,
    waiting_runs: Family<WaitLabels, Gauge>,
    locks: Gauge,
    clock_skew: Gauge<f64, AtomicU64>,
    definition_gaps: Family<KindLabel, Gauge>,
    leader: Gauge<i64>,
    observed: PipelineMetrics,
    schedules: ScheduleMetrics,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn request_duration() -> Histogram {
    Histogram::new([0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

fn reconcile_duration() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::default(),
            pipelineruns: Family::default(),
            triggers: Family::default(),
            runs_finished: Family::default(),
            run_duration: Histogram::new([
                1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0,
            ]),
            nuvo_requests: Family::default(),
            nuvo_request_duration: Family::new_with_constructor(request_duration),
            kube_writes: Family::default(),
            account_ready: Family::default(),
            budget_wait: Histogram::new([0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0]),
            reconciles: Family::default(),
            reconcile_duration: Family::new_with_constructor(reconcile_duration),
            watch_failures: Family::default(),
            watch_up: Family::default(),
            oldest_run: Family::default(),
            waiting_runs: Family::default(),
            locks: Gauge::default(),
            clock_skew: Gauge::default(),
            definition_gaps: Family::default(),
            leader: Gauge::default(),
            observed: PipelineMetrics::default(),
            schedules: ScheduleMetrics::default(),
        };
        let mut registry = Registry::default();
        register(&mut registry, PIPELINERUNS, &metrics.pipelineruns);
        register(&mut registry, TRIGGERS, &metrics.triggers);
        register(&mut registry, RUNS_FINISHED, &metrics.runs_finished);
        register(&mut registry, RUN_DURATION, &metrics.run_duration);
        register(&mut registry, NUVO_REQUESTS, &metrics.nuvo_requests);
        register(&mut registry, NUVO_REQUEST_DURATION, &metrics.nuvo_request_duration);
        register(&mut registry, KUBE_WRITES, &metrics.kube_writes);
        register(&mut registry, ACCOUNT_READY, &metrics.account_ready);
        register(&mut registry, BUDGET_WAIT, &metrics.budget_wait);
        register(&mut registry, RECONCILES, &metrics.reconciles);
        register(&mut registry, RECONCILE_DURATION, &metrics.reconcile_duration);
        register(&mut registry, WATCH_FAILURES, &metrics.watch_failures);
        register(&mut registry, WATCH_UP, &metrics.watch_up);
        register(&mut registry, OLDEST_RUN, &metrics.oldest_run);
        register(&mut registry, WAITING_RUNS, &metrics.waiting_runs);
        register(&mut registry, LOCKS, &metrics.locks);
        register(&mut registry, CLOCK_SKEW, &metrics.clock_skew);
        register(&mut registry, DEFINITION_GAPS, &metrics.definition_gaps);
        register(&mut registry, LEADER, &metrics.leader);
        metrics.observed.register(&mut registry);
        metrics.schedules.register(&mut registry);
        metrics.registry = registry;

        // A rate over a counter that appears with its first event misses that event.
        for outcome in TriggerOutcome::ALL {
            drop(metrics.triggers.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }));
        }
        metrics.set_pipelineruns([]);
        metrics.set_oldest_runs([]);
        metrics.set_waiting_runs(&HashMap::new());
        Arc::new(metrics)
    }

    /// A POST that starts a run was made, or given up before it was sent.
    pub fn trigger(&self, outcome: TriggerOutcome) {
        self.triggers.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// A run ended. `error_type` is nuvo's word, empty without one.
    pub fn run_finished(&self, result: RunResult, error_type: &str) {
        let error_type = ERROR_TYPES.into_iter().find(|known| *known == error_type).unwrap_or(OTHER);
        self.runs_finished.get_or_create(&FinishedLabels { result: result.as_str(), error_type }).inc();
    }

    /// How long a run took.
    pub fn run_duration(&self, seconds: f64) {
        // One NaN would spoil the sum for the life of the process.
        if seconds.is_finite() && seconds >= 0.0 {
            self.run_duration.observe(seconds);
        }
    }

    /// A request to nuvo was answered, or failed.
    pub fn nuvo_request(&self, operation: Operation, code: Code, took: Duration) {
        let operation = operation.as_str();
        self.nuvo_requests.get_or_create(&RequestLabels { operation, code: code.label() }).inc();
        self.nuvo_request_duration.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
    }

    /// An object of this resource was written, or a write of it was tried.
    pub fn kube_write(&self, resource: &'static str) {
        self.kube_writes.get_or_create(&ResourceLabel { resource }).inc();
    }

    /// Whether an account can be used.
    pub fn account_ready(&self, namespace: &str, name: &str, ready: bool) {
        self.account_ready.get_or_create(&account(namespace, name)).set(i64::from(ready));
    }

    /// Removes the series of an account that was deleted.
    pub fn forget_account(&self, namespace: &str, name: &str) {
        self.account_ready.remove(&account(namespace, name));
    }

    /// A request waited for the budget of its account.
    pub fn budget_wait(&self, waited: Duration) {
        self.budget_wait.observe(waited.as_secs_f64());
    }

    /// Exposes the counters of a kind from 0: a rate over a counter that appears with its first event misses that event.
    pub fn expose_kind(&self, kind: &'static str) {
        for result in [OK, ERROR] {
            drop(self.reconciles.get_or_create(&ReconcileLabels { kind, result }));
        }
        drop(self.reconcile_duration.get_or_create(&KindLabel { kind }));
        drop(self.watch_failures.get_or_create(&KindLabel { kind }));
    }

    /// An object of this kind was reconciled, in this time. `ok` is false after a failure or a panic.
    pub fn reconciled(&self, kind: &'static str, ok: bool, took: Duration) {
        self.reconciles.get_or_create(&ReconcileLabels { kind, result: if ok { OK } else { ERROR } }).inc();
        self.reconcile_duration.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
    }

    /// A watch of this kind failed, or the list that it begins with.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&KindLabel { kind }).inc();
    }

    /// Whether a watch of this kind works. An empty namespace means all of them.
    pub fn watch_up(&self, kind: &'static str, namespace: &str, up: bool) {
        self.watch_up.get_or_create(&WatchLabels { kind, namespace: namespace.to_owned() }).set(i64::from(up));
    }

    /// The age of the oldest run of each phase, in seconds. A phase that is not named has none.
    pub fn set_oldest_runs(&self, ages: impl IntoIterator<Item = (&'static str, u64)>) {
        let mut all = PHASES.map(|phase| (phase, 0_u64));
        for (phase, age) in ages {
            if let Some((_, oldest)) = all.iter_mut().find(|(known, _)| *known == phase) {
                *oldest = age.max(*oldest);
            }
        }
        for (phase, age) in all {
            self.oldest_run.get_or_create(&PhaseLabel { phase }).set(i64::try_from(age).unwrap_or(i64::MAX));
        }
    }

    /// How many runs are waiting, by their reason and by how long. What is not named has none.
    pub fn set_waiting_runs(&self, counts: &HashMap<(Reason, WaitAge), usize>) {
        for reason in WAITING_REASONS {
            for age in WaitAge::ALL {
                let count = counts.get(&(reason, age)).copied().unwrap_or_default();
                let labels = WaitLabels { reason: reason.as_str(), age: age.as_str() };
                self.waiting_runs.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// How many locks there are.
    pub fn locks(&self, count: usize) {
        self.locks.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How far the clock of this process is ahead of that of the API server, in seconds.
    pub fn clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }

    /// How much the installed definition of a kind lacks.
    pub fn definition_gaps(&self, kind: &'static str, gaps: usize) {
        self.definition_gaps.get_or_create(&KindLabel { kind }).set(i64::try_from(gaps).unwrap_or(i64::MAX));
    }

    /// Removes what is said of runs, accounts and schedules, because this process does not watch them any more.
    pub fn forget_objects(&self) {
        self.set_pipelineruns([]);
        self.set_oldest_runs([]);
        self.set_waiting_runs(&HashMap::new());
        self.account_ready.clear();
        self.observed.clear();
        self.schedules.clear();
        self.watch_up.clear();
    }

    /// Shows what is known of an observed pipeline, and adds what was counted.
    pub fn pipeline(&self, object: &NuvoPipeline, status: &NuvoPipelineStatus, observed: &Observed, counts: &Counts) {
        self.observed.set(object, status, observed, counts);
    }

    /// Removes the series of an observed pipeline that was deleted.
    pub fn forget_pipeline(&self, namespace: &str, name: &str) {
        self.observed.forget(namespace, name);
    }

    /// Shows what the status of a schedule says.
    pub fn schedule(&self, namespace: &str, name: &str, status: &PipelineScheduleStatus) {
        self.schedules.set(namespace, name, status);
    }

    /// A run was started for a slot of a schedule, this long after the slot was due.
    pub fn slot_started(&self, namespace: &str, name: &str, lag: SignedDuration) {
        self.schedules.started(namespace, name, lag);
    }

    /// Slots of a schedule were missed.
    pub fn slots_missed(&self, namespace: &str, name: &str, reason: MissedReason, count: usize) {
        self.schedules.missed(namespace, name, reason, count);
    }

    /// Removes the series of a schedule that was deleted.
    pub fn forget_schedule(&self, namespace: &str, name: &str) {
        self.schedules.forget(namespace, name);
    }

    /// Whether this process acts.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// How many runs there are in each phase. A phase that is not named has none.
    pub fn set_pipelineruns(&self, counts: impl IntoIterator<Item = (&'static str, usize)>) {
        let mut all = PHASES.map(|phase| (phase, 0_usize));
        for (phase, count) in counts {
            if let Some((_, total)) = all.iter_mut().find(|(known, _)| *known == phase) {
                *total = total.saturating_add(count);
            }
        }
        for (phase, count) in all {
            self.pipelineruns.get_or_create(&PhaseLabel { phase }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The exposition, of [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut exposition = String::new();
        if text::encode(&mut exposition, &self.registry).is_err() {
            // Writing to a string cannot fail; half an exposition would be worse than none.
            exposition.clear();
        }
        exposition
    }
}

fn account(namespace: &str, name: &str) -> AccountLabels {
    AccountLabels { namespace: namespace.to_owned(), account: name.to_owned() }
}

// Counters are 64 bits wide on every platform that is built for.
const _: fn() -> Counter<u64, AtomicU64> = Counter::default;

#[cfg(test)]
mod tests;
