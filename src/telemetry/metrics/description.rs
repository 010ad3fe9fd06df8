//! The names, labels and help texts of all metrics: the one list.

use prometheus_client::registry::{Metric, Registry};

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
        $(pub(in crate::telemetry) const $constant: Description = Description { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)*
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
    PIPELINE_LATE: "counter" "nuvo_pipeline_late_total" ["namespace", "name", "pipeline_id"] "Executions that appeared in the list of nuvo too late to tell whether they were counted before; they are not counted";
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
    SCHEDULE_READY: "gauge" "nuvo_schedule_ready" ["namespace", "name", "reason"] "Whether a PipelineSchedule starts its slots (1) or not (0), with the reason of its condition Ready";
    SCHEDULE_SLOTS: "counter" "nuvo_schedule_slots_total" ["namespace", "name", "result", "reason"] "Slots that were decided since this process leads, by result (started or missed) and, if missed, by the reason";
    SCHEDULE_LAST_SUCCESS: "gauge" "nuvo_schedule_last_success_timestamp_seconds" ["namespace", "name"] "End of the newest successful run of the schedule; absent without one";
    SCHEDULE_NEXT: "gauge" "nuvo_schedule_next_timestamp_seconds" ["namespace", "name"] "When the next slot is due; absent while none will start";
    SCHEDULE_LAG: "histogram" "nuvo_operator_schedule_lag_seconds" [] "Time from when a slot was due until its run was created";
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

/// Registers a metric under its description.
pub(super) fn register<M: Metric + Clone>(registry: &mut Registry, description: Description, metric: &M) {
    // The encoder adds `_total` to counters, and a full stop to help texts.
    let name = description.name.strip_suffix("_total").unwrap_or(description.name);
    registry.register(name, description.help, metric.clone());
}
