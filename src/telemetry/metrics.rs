//! The metrics: one list of names, and typed methods that keep every label bounded. No run name is ever a label.

mod labels;
mod pipelines;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use nuvo_client::{Code, Operation};
use nuvo_core::{
    pipeline::{Counts, Observed},
    run::WaitAge,
};
use nuvo_crds::{NuvoPipeline, NuvoPipelineStatus, conditions::Reason};

use labels::{
    AccountLabels, ERROR, FinishedLabels, KindLabel, OK, OTHER, OperationLabel, OutcomeLabel, PhaseLabel, ReconcileLabels, RequestLabels,
    ResourceLabel, WaitLabels, WatchLabels,
};
pub use labels::{RunResult, TriggerOutcome};
use pipelines::PipelineMetrics;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One metric as it is exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The exposed name.
    pub name: &'static str,
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: &'static str,
}

macro_rules! describe {
    ($($constant:ident: $kind:literal $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $constant: Description = Description { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)*
        /// Every metric of the operator, in the order in which it is exposed.
        pub const ALL: &[Description] = &[$($constant),*];
    };
}

describe! {
    PIPELINERUNS: "gauge" "nuvo_operator_pipelineruns" ["phase"] "PipelineRuns that the operator watches, by phase";
    TRIGGERS: "counter" "nuvo_operator_triggers_total" ["outcome"] "POSTs that start a run, by what is known after them";
    RUNS_FINISHED: "counter" "nuvo_operator_runs_finished_total" ["result", "error_type"] "Runs that ended, by result and by nuvo's error type (other: not a known one)";
    RUN_DURATION: "histogram" "nuvo_operator_run_duration_seconds" [] "Time from the start to the end of a run";
    NUVO_REQUESTS: "counter" "nuvo_operator_nuvo_requests_total" ["operation", "code"] "Requests to nuvo, by operation and by HTTP status or, without a whole answer that can be understood, by broken, cancelled, connect, malformed, timeout or too_large";
    NUVO_REQUEST_DURATION: "histogram" "nuvo_operator_nuvo_request_duration_seconds" ["operation"] "Time until nuvo's answer was read, or failed";
    KUBE_WRITES: "counter" "nuvo_operator_kube_writes_total" ["resource"] "Writes to the Kubernetes API, renewals of the leader lease included";
    ACCOUNT_READY: "gauge" "nuvo_operator_account_ready" ["namespace", "account"] "Whether a NuvoAccount can be used (1) or not (0)";
    BUDGET_WAIT: "histogram" "nuvo_operator_budget_wait_seconds" [] "Time that requests to nuvo waited for the budget of their account";
    RECONCILES: "counter" "nuvo_operator_reconciles_total" ["kind", "result"] "Reconciles, by kind of object and by result: ok, or error after a failure or a panic";
    RECONCILE_DURATION: "histogram" "nuvo_operator_reconcile_duration_seconds" ["kind"] "Time that a reconcile took, waits for a slot, for the API server and for nuvo included";
    WATCH_FAILURES: "counter" "nuvo_operator_watch_failures_total" ["kind"] "Failed watches and lists, each of which is followed by another try, by kind of object";
    WATCH_UP: "gauge" "nuvo_operator_watch_up" ["kind", "namespace"] "Whether the watch of this kind of object in this namespace works (1) or has failed last (0); an empty namespace means all of them";
    OLDEST_RUN: "gauge" "nuvo_operator_oldest_run_seconds" ["phase"] "Time since the creation of the oldest PipelineRun that may still need the operator, by phase; 0 without one";
    WAITING_RUNS: "gauge" "nuvo_operator_waiting_runs" ["reason", "age"] "PipelineRuns that wait for their start, for the outcome of their trigger or for a person, by the reason of their condition Succeeded and by how long they have had it: short (up to 15 minutes), long (up to a day) or forgotten";
    LOCKS: "gauge" "nuvo_operator_locks" [] "Locks of pipelines, each of them a Lease, at the last look at all of them, which follows every hour";
    CLOCK_SKEW: "gauge" "nuvo_operator_clock_skew_seconds" [] "How far the clock of this process is ahead of the clock of the API server, or behind it if negative; exact to a second and the time of an answer";
    DEFINITION_GAPS: "gauge" "nuvo_operator_definition_gaps" ["kind"] "Fields and values that the operator uses and the installed definition of this kind lacks: above 0, the definition must be updated; absent until it was read";
    LEADER: "gauge" "nuvo_operator_leader" [] "Whether this process acts (1) or stands by (0)";
    PIPELINE_INFO: "gauge" "nuvo_pipeline_info" ["namespace", "name", "pipeline_id", "account", "active", "developer_mode"] "1 for each NuvoPipeline that is observed, with what nuvo says of its pipeline: true, false or unknown";
    PIPELINE_FRESH: "gauge" "nuvo_pipeline_fresh" ["namespace", "name", "pipeline_id"] "Whether the data is as new as spec.freshness asks (1) or not (0); absent when that is not judged or not known";
    PIPELINE_LAST_SUCCESS: "gauge" "nuvo_pipeline_last_success_timestamp_seconds" ["namespace", "name", "pipeline_id"] "End of the newest successful execution, whoever started it; absent without one";
    PIPELINE_LAST_EXECUTION: "gauge" "nuvo_pipeline_last_execution_timestamp_seconds" ["namespace", "name", "pipeline_id"] "Creation of the newest execution, whoever started it; absent without one";
    PIPELINE_LAST_EXECUTION_SUCCESS: "gauge" "nuvo_pipeline_last_execution_success" ["namespace", "name", "pipeline_id"] "Whether the execution that ended last was successful (1) or not (0); absent before one has ended";
    PIPELINE_EXECUTIONS: "counter" "nuvo_pipeline_executions_total" ["namespace", "name", "pipeline_id", "trigger", "result", "error_type"] "Executions that ended since this process observes the pipeline, by what started them (MANUAL, SCHEDULED, EVENT or other), by result (success, failure, or lost: nuvo does not know it any more) and by nuvo's error type (other: not a known one)";
    PIPELINE_FIXES: "counter" "nuvo_pipeline_fixes_total" ["namespace", "name", "pipeline_id"] "Failed executions that were repaired in nuvo; none of them is counted again as an execution";
    PIPELINE_LATE: "counter" "nuvo_pipeline_late_total" ["namespace", "name", "pipeline_id"] "Executions of which it cannot be told whether they were counted before, because too many came at once; they are not counted";
    PIPELINE_UNREAD: "counter" "nuvo_pipeline_unread_total" ["namespace", "name", "pipeline_id"] "Executions that were counted without their statistics, because each look leads to one read of an execution";
    PIPELINE_ROWS: "counter" "nuvo_pipeline_rows_total" ["namespace", "name", "pipeline_id"] "Rows of the executions that were read";
    PIPELINE_ERROR_ROWS: "counter" "nuvo_pipeline_error_rows_total" ["namespace", "name", "pipeline_id"] "Rows with errors of the executions that were read";
    PIPELINE_CELLS: "counter" "nuvo_pipeline_cells_total" ["namespace", "name", "pipeline_id"] "Cells of the executions that were read";
    PIPELINE_ERROR_CELLS: "counter" "nuvo_pipeline_error_cells_total" ["namespace", "name", "pipeline_id"] "Cells with errors of the executions that were read";
    PIPELINE_LAST_ROWS: "gauge" "nuvo_pipeline_last_rows" ["namespace", "name", "pipeline_id"] "Rows of the newest successful execution; absent before it was read";
    PIPELINE_LAST_ERROR_ROWS: "gauge" "nuvo_pipeline_last_error_rows" ["namespace", "name", "pipeline_id"] "Rows with errors of the newest successful execution; absent before it was read";
    PIPELINE_LAST_DURATION: "gauge" "nuvo_pipeline_last_duration_seconds" ["namespace", "name", "pipeline_id"] "Processing time in nuvo of the newest successful execution that was read";
    PIPELINE_RUNNING: "gauge" "nuvo_pipeline_running" ["namespace", "name", "pipeline_id"] "Executions that are running, at most 32";
    PIPELINE_OBSERVED: "gauge" "nuvo_pipeline_observed_timestamp_seconds" ["namespace", "name", "pipeline_id"] "Begin of the last complete look at the executions of the pipeline; 0 before the first one of this process";
}

/// The error types of nuvo that are counted under their own name: the documented ones, those seen in practice, and none.
pub const ERROR_TYPES: [&str; 16] = [
    "",
    "SOURCE_UNRESPONSIVE",
    "SOURCE_DATA_EMPTY",
    "PARSING_FAILURE",
    "DESTINATION_UNRESPONSIVE",
    "DESTINATION_SIZE_LIMIT",
    "WRITE_FILE_FAILURE",
    "ERROR_THRESHOLD_EXCEEDED",
    "TRANSFORMATION_FAILURE",
    "EXECUTION_ID_NOT_FOUND",
    "EXECUTION_TIMEOUT",
    "PARSING_OUTPUT_FAILURE",
    "MAPPING_VALIDATION_FAILURE",
    "FETCH_OPTION_FAILURE",
    "ADVANCED_CLEANING_FAILURE",
    "ADVANCED_VALIDATION_FAILURE",
];

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

fn register<M: Metric + Clone>(registry: &mut Registry, description: Description, metric: &M) {
    // The encoder adds `_total` to counters, and a full stop to help texts.
    let name = description.name.strip_suffix("_total").unwrap_or(description.name);
    registry.register(name, description.help, metric.clone());
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

    /// Removes what is said of runs and accounts, because this process does not watch them any more.
    pub fn forget_objects(&self) {
        self.set_pipelineruns([]);
        self.set_oldest_runs([]);
        self.set_waiting_runs(&HashMap::new());
        self.account_ready.clear();
        self.observed.clear();
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
