//! The status of a `PipelineRun`: what has happened, in bounds that fit into an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tolerant::{known_or_default, known_or_none};

/// The most executions whose details are kept in `status.executions`.
pub const MAX_EXECUTIONS: usize = 64;
/// The most ids in `status.executionIds`.
pub const MAX_EXECUTION_IDS: usize = 1_000;
/// The most log runs of one execution.
pub const MAX_RUNS: usize = 10;
/// The most earlier attempts in `status.history`.
pub const MAX_HISTORY: usize = 5;
/// The most ids of one earlier attempt.
pub const MAX_HISTORY_IDS: usize = 64;
/// The longest message in a status, in characters.
pub const MAX_STATUS_MESSAGE: usize = 1_024;
/// The longest word of nuvo (status, trigger type, error type) in a status, in characters.
pub const MAX_WORD: usize = 128;

/// The largest integer in a status: the largest that every reader of JSON can represent.
pub const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// Most recently observed state of the run. Written by the operator only.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = serde_json::json!({ "observedGeneration": -1 })))]
pub struct PipelineRunStatus {
    /// The metadata.generation that this status is about; -1 until the operator has seen the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,

    /// Summary of where the run is in its lifecycle: Pending, Suspended, Triggering (a trigger may have been sent and is not confirmed),
    /// Running, Succeeded, Failed or Unresolved (a person must decide). Scripts should read the condition Succeeded instead.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_or_none")]
    pub phase: Option<Phase>,

    /// Latest observations of the run: Succeeded (Unknown while active), Finished, and Ready, Reconciling and Stalled as kstatus reads them.
    /// Only where they apply: DeveloperMode (nuvo delivered the first 100 rows only), DeletionBlocked (spec.ttlSecondsAfterFinished is
    /// not carried out) and Unwatched (the label selector of the operator does not select the run any more, so its status stays as it is).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,

    /// The spec.rerunToken that waits for the end of the present attempt. Absent if the operator has acted on the token, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub waiting_rerun_token: Option<String>,

    /// Number of the present attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub attempt: Option<i32>,

    /// The newest trigger whose outcome was recorded, and what is known of it. Until the trigger of a new attempt is recorded, it belongs to
    /// the attempt before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,

    /// Earlier attempts, oldest first, at most the last 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub history: Vec<PastAttempt>,

    /// What the attempts have in common that belong to one start.
    #[serde(flatten)]
    pub series: SeriesStatus,

    /// What belongs to the present attempt alone.
    #[serde(flatten)]
    pub current: AttemptStatus,
}

/// The part of a status that lives as long as a start of the run with all its retries: from the creation, or a new `spec.rerunToken`, to the
/// next one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesStatus {
    /// The spec.rerunToken that the operator acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rerun_token: Option<String>,

    /// The retries (spec.retry) that were made. Absent before the first retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryStatus>,

    /// Time at which the run was asked to start, if that is not its creation: when the operator accepted a new spec.rerunToken, or saw that
    /// spec.suspend had become false. spec.startDeadlineSeconds counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_time: Option<Time>,

    /// Time at which nuvo answered the trigger, or at which its outcome fell into doubt; with spec.executionId, at which following began. The
    /// time that the run waited before is not included. A retry (spec.retry) keeps the time of the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
}

/// The part of a status that lives as long as one attempt. The next one replaces it whole; what is to be kept of it is in
/// [`PipelineRunStatus::history`].
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Details of the executions of this attempt: at most 64, failed ones first. status.executionIds has all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub executions: Vec<Execution>,

    /// Ids of all executions of this attempt in nuvo, at most 1000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_000), inner(length(max = 128)))]
    pub execution_ids: Vec<String>,

    /// Number of executions of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub execution_count: Option<i32>,

    /// The error of the first failed execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ExecutionError>,

    /// Sum of the statistics of all executions, each with its last log run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,

    /// Time at which the attempt ended, or was repaired in nuvo. Set exactly when the condition Succeeded is True or False.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Time from startTime to completionTime in human-readable form, for example "1m32s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub duration: Option<String>,
}

/// The retries of a run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryStatus {
    /// Number of retries that were made or scheduled since the run was started, or started again by spec.rerunToken.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub count: i32,

    /// Time at which the next attempt begins. Set while the reason is RetryScheduled and the wait is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_time: Option<Time>,
}

/// Summary of where a run is in its lifecycle. Derived from the condition Succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Phase {
    Pending,
    Suspended,
    Triggering,
    Running,
    Succeeded,
    Failed,
    Unresolved,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Suspended, Self::Triggering, Self::Running, Self::Succeeded, Self::Failed, Self::Unresolved];

    /// The word in the object and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Suspended => "Suspended",
            Self::Triggering => "Triggering",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unresolved => "Unresolved",
        }
    }
}

/// One trigger, that is, one POST to nuvo or one execution that was there already.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Identifies this trigger. It was sent to nuvo as X-Request-Id, and the annotation nuvo.dev/resolve refers to it. Empty when nothing
    /// was sent (state Observed).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub nonce: String,

    /// The metadata.uid of the object that the trigger was recorded for. If it differs, the status was restored from a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,

    /// The attempt that the trigger belongs to.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub attempt: i32,

    /// Accepted: nuvo carried out the trigger. NotExecuted: it certainly started nothing. Ambiguous: its outcome is not known. Observed:
    /// spec.executionId is followed, nothing was sent.
    #[serde(default, deserialize_with = "known_or_default")]
    pub state: TriggerState,

    /// How it is known that the trigger was accepted. Answer: from nuvo's answer. Adopted: its executions were found in nuvo afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_or_none")]
    pub evidence: Option<Evidence>,

    /// Time at which the outcome became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,

    /// Time until which the trigger may still have effects in nuvo, or be answered, if its outcome is not known or its executions were found in
    /// nuvo. The answer retry (annotation nuvo.dev/resolve) counts from then on, and a run whose executions were found does not end before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_until: Option<Time>,

    /// What happened, at most 1024 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1_024))]
    pub message: String,
}

/// What is known of a trigger's outcome.
///
/// A word that this version does not know reads as Ambiguous: an unknown outcome must never look like a permission to trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "What is known of the trigger's outcome.")]
#[allow(missing_docs)]
pub enum TriggerState {
    Accepted,
    NotExecuted,
    #[default]
    Ambiguous,
    Observed,
}

/// How it is known that a trigger was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Evidence {
    Answer,
    Adopted,
}

/// One execution in nuvo.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Id of the execution in nuvo.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub id: String,

    /// Status of the execution as nuvo reports it, for example PROCESSING, SUCCESSFUL or FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub status: Option<String>,

    /// What started the execution as nuvo reports it, for example MANUAL, TIME_BASE or EVENT_BASE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub trigger_type: Option<String>,

    /// Id of the pipeline configuration that the execution used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub configuration: Option<String>,

    /// Time at which nuvo created the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,

    /// Time at which nuvo last changed the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,

    /// Why the execution failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ExecutionError>,

    /// Statistics of the last log run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,

    /// Log runs of the execution: the first pass and repairs made in nuvo, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub runs: Vec<LogRun>,
}

/// Why an execution failed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionError {
    /// nuvo's error type, for example SOURCE_UNRESPONSIVE.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub error_type: Option<String>,

    /// Human-readable description of the error, at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_024))]
    pub message: Option<String>,
}

/// Counts from nuvo's log. A count that nuvo does not report is absent.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Number of rows processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total_rows: Option<i64>,

    /// Number of cells processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total_cells: Option<i64>,

    /// Number of cells with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total_error_cells: Option<i64>,

    /// Number of rows with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total_error_rows: Option<i64>,

    /// Processing time in nuvo, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub duration_milliseconds: Option<i64>,
}

/// One pass of an execution, from nuvo's log.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRun {
    /// Kind of pass as nuvo reports it.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub run_type: Option<String>,

    /// Result as nuvo reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub status: Option<String>,

    /// Time at which it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// Duration in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub duration_milliseconds: Option<i64>,

    /// Statistics of the pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

/// An earlier attempt.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastAttempt {
    /// Its number, from 1.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub attempt: i32,

    /// How it ended: the reason of its condition Succeeded, for example Succeeded or ExecutionFailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub result: Option<String>,

    /// nuvo's error type of its first failed execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub error_type: Option<String>,

    /// Time at which it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// Time at which it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Ids of its executions, at most the first 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)))]
    pub execution_ids: Vec<String>,
}
