//! `PipelineRun`: one object is one run of a nuvo data pipeline.

#![allow(clippy::duplicated_attributes, reason = "the lint takes the fields of different printer columns for one attribute")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PipelineRunStatus, tolerant::known_or_default, well_known::DEFAULT_ACCOUNT};

/// What to run.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "nuvo.dev",
    version = "v1alpha1",
    kind = "PipelineRun",
    plural = "pipelineruns",
    singular = "pipelinerun",
    shortname = "npr",
    category = "nuvo",
    namespaced,
    status = "PipelineRunStatus",
    derive = "PartialEq",
    doc = "One run of a nuvo data pipeline. The operator triggers it once, follows it to its end, and reports here.",
    selectable = ".spec.pipelineId",
    selectable = ".status.phase",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipelineId", description = "Id of the pipeline in nuvo"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase", description = "Where the run is"),
    printcolumn(
        name = "Error",
        type_ = "string",
        json_path = ".status.error.type",
        description = "Error type of the first failed execution"
    ),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.stats.totalRows", description = "Rows of all executions"),
    printcolumn(
        name = "Error Rows",
        type_ = "integer",
        json_path = ".status.stats.totalErrorRows",
        description = "Rows with errors, of all executions"
    ),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration", description = "From start to end"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Succeeded")].reason"#,
        priority = 1,
        description = "Reason of the condition Succeeded"
    ),
    printcolumn(
        name = "Executions",
        type_ = "integer",
        json_path = ".status.executionCount",
        priority = 1,
        description = "Number of executions in nuvo"
    ),
    printcolumn(
        name = "Execution",
        type_ = "string",
        json_path = ".status.executionIds[0]",
        priority = 1,
        description = "Id of the first execution in nuvo"
    ),
    printcolumn(
        name = "Account",
        type_ = "string",
        json_path = ".spec.accountRef.name",
        priority = 1,
        description = "NuvoAccount of the run"
    ),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt", priority = 1, description = "Which attempt this is"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    // On the parent: a rule on an optional field does not fire when the field is set or removed.
    validation = Rule::new("has(self.executionId) == has(oldSelf.executionId) && (!has(self.executionId) || self.executionId == oldSelf.executionId)")
        .message("executionId cannot be set, changed or removed after creation: create a new PipelineRun instead")
        .field_path(".executionId"),
    validation = Rule::new("!has(self.executionId) || !has(self.rerunToken)")
        .message("rerunToken cannot be used with executionId, because such a run triggers nothing that could be repeated: remove rerunToken, or create a new PipelineRun without executionId")
        .field_path(".rerunToken"),
    validation = Rule::new("!has(self.executionId) || self.onAmbiguousTrigger == 'Fail'")
        .message("onAmbiguousTrigger cannot be used with executionId, because such a run triggers nothing: remove one of the two")
        .field_path(".onAmbiguousTrigger"),
    validation = Rule::new("!has(self.executionId) || self.onNothingToProcess == 'Succeed'")
        .message("onNothingToProcess cannot be used with executionId, because such a run triggers nothing: remove one of the two")
        .field_path(".onNothingToProcess"),
    validation = Rule::new("!has(self.executionId) || self.concurrencyPolicy == 'Allow'")
        .message("concurrencyPolicy cannot be used with executionId, because such a run triggers nothing: remove one of the two")
        .field_path(".concurrencyPolicy"),
    validation = Rule::new("!has(self.executionId) || !has(self.startDeadlineSeconds)")
        .message("startDeadlineSeconds cannot be used with executionId, because such a run triggers nothing: remove one of the two")
        .field_path(".startDeadlineSeconds"),
    validation = Rule::new("!has(self.executionId) || !has(self.retry) || self.retry.limit == 0")
        .message("retry cannot be used with executionId, because such a run triggers nothing that could be repeated: remove one of the two")
        .field_path(".retry")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunSpec {
    /// Id of the pipeline in nuvo: 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-'. Cannot be changed.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_-]{1,128}$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("pipelineId cannot be changed: create a new PipelineRun for the other pipeline"),
        validation = Rule::new("self.matches('^[A-Za-z0-9_-]{1,128}$')").message(
            "pipelineId must be 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-': write the pipeline's id as nuvo shows it, not its name or URL"
        )
    )]
    pub pipeline_id: String,

    /// The NuvoAccount whose credentials and request budget the run uses. It must be in the namespace of the run.
    #[serde(default)]
    pub account_ref: AccountRef,

    /// Id of an execution that exists in nuvo already. The operator follows it and triggers nothing. 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-'.
    /// Cannot be set, changed or removed after creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_-]{1,128}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_-]{1,128}$')").message(
        "executionId must be 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-': write the execution's id as nuvo shows it, or remove the field to trigger a new one"
    ))]
    pub execution_id: Option<String>,

    /// Any text of 1 to 64 characters. A new value starts another attempt of a run that has ended, that is, the pipeline is triggered once
    /// more. A value that is set while the run is active takes effect when the run has ended. Besides spec.retry, nothing else starts
    /// another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self != ''").message("rerunToken must have 1 to 64 characters: write any new text, for example the time, or remove the field"))]
    pub rerun_token: Option<String>,

    /// Holds the run back before its trigger until it is set to false. After the trigger it has no effect, because nuvo cannot cancel an
    /// execution: the operator still follows the run to its end.
    #[serde(default)]
    pub suspend: bool,

    /// Duration in seconds, relative to status.startTime, that the run may take with all its retries: 1 to 2592000 (30 days), default 86400
    /// (one day). After that, the run fails with reason DeadlineExceeded; the execution in nuvo is not stopped. In any case the operator
    /// looks into a trigger in doubt for --trigger-settle-seconds. If it could not ask nuvo before the deadline, or could not use the
    /// account, the run ends with reason TriggerOutcomeUnknown, because the trigger may have started an execution. Nothing is triggered
    /// again then.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub active_deadline_seconds: i64,

    /// What the run does while another execution of its pipeline runs in nuvo, whoever started it, as far as nuvo shows it. Allow (default)
    /// starts it all the same. Queue waits, oldest run first, with reason PipelineRunning. Skip ends it as Succeeded with reason Skipped,
    /// and starts nothing; a retry (spec.retry) waits instead. None of them keeps others from starting the pipeline at the same moment.
    #[serde(default, deserialize_with = "known_or_default")]
    pub concurrency_policy: ConcurrencyPolicy,

    /// Duration in seconds after which a run that could not be triggered is not triggered any more: 0 to 2592000 (30 days). It then fails
    /// with reason StartDeadlineExceeded. When it is not set, the run waits without limit. It counts from the creation of the object or, if
    /// that is later, from status.requestTime. A suspended run does not age. It has no effect on retries (spec.retry), nor on a run whose
    /// trigger may have been sent already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub start_deadline_seconds: Option<i64>,

    /// Starts the pipeline again when an execution fails with one of these error types. When it is not set, a failed run stays failed until
    /// spec.rerunToken changes. A repair in nuvo while the run waits for the next attempt does not prevent that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,

    /// What to do when it is not known whether nuvo carried out the trigger, for example after a lost connection. In any case the operator
    /// first looks in nuvo for what the trigger may have started: executions of the pipeline that are new, were started through the API by
    /// the account's own identity, and are not shown by another run. It follows all of them. When there are none: Fail ends the run with
    /// reason TriggerOutcomeUnknown, and a person decides. Adopt also follows new executions that another identity, or an unknown one,
    /// started through the API; when there are none either, it is like Fail. Retrigger waits for the quarantine
    /// (--quarantine-seconds of the operator) and triggers once more, before the deadline, if nuvo's list then shows no execution of the
    /// pipeline since, whoever started it; otherwise, or when nuvo has answered that something was started, it is like Fail.
    #[serde(default, deserialize_with = "known_or_default")]
    pub on_ambiguous_trigger: OnAmbiguousTrigger,

    /// Whether the run succeeds or fails when nuvo accepts the trigger but starts nothing, for example because there is no new file: Succeed
    /// or Fail.
    #[serde(default, deserialize_with = "known_or_default")]
    pub on_nothing_to_process: OnNothingToProcess,

    /// Limits that the statistics of a successful run must keep; otherwise the run fails with reason QualityGateFailed. They apply to all
    /// executions of the run together. A count that nuvo does not report fails the limit that needs it. A run that found nothing to process
    /// has no statistics: spec.onNothingToProcess decides about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_gate: Option<QualityGate>,

    /// Duration in seconds, relative to status.completionTime, for which the operator watches a failed run for a repair in nuvo: 0 (default,
    /// not at all) to 604800 (one week). When all executions of the run are successful, the run becomes Succeeded with reason FixedInNuvo
    /// and the new statistics, or fails with reason QualityGateFailed, which is final. Watching costs requests to nuvo, fewer as time
    /// passes. Runs with more than 64 executions are not watched.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub follow_fixes_seconds: i64,

    /// Duration in seconds, relative to status.completionTime, after which the operator deletes this object: 0 to 31536000 (one year). When it
    /// is not set, the object stays. The object is not deleted, and the condition DeletionBlocked says why, while a person must decide about
    /// the run (phase Unresolved), and while Argo CD, Flux or Helm tracks it (also by the label app.kubernetes.io/instance): they would
    /// create it again, which would trigger the pipeline again. Hooks of Argo CD and Helm are deleted, but stay for at least 300 seconds, so
    /// that their result is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i64>,
}

const fn default_deadline() -> i64 {
    86_400
}

const fn default_backoff() -> i64 {
    60
}

fn default_error_types() -> Vec<String> {
    ["SOURCE_UNRESPONSIVE", "DESTINATION_UNRESPONSIVE"].map(str::to_owned).to_vec()
}

impl Default for PipelineRunSpec {
    /// What the API server fills in; the pipeline id is empty.
    fn default() -> Self {
        Self {
            pipeline_id: String::new(),
            account_ref: AccountRef::default(),
            execution_id: None,
            rerun_token: None,
            suspend: false,
            active_deadline_seconds: default_deadline(),
            concurrency_policy: ConcurrencyPolicy::default(),
            start_deadline_seconds: None,
            on_ambiguous_trigger: OnAmbiguousTrigger::default(),
            retry: None,
            on_nothing_to_process: OnNothingToProcess::default(),
            quality_gate: None,
            follow_fixes_seconds: 0,
            ttl_seconds_after_finished: None,
        }
    }
}

/// Further attempts after a failed execution.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Maximum number of attempts after the first one: 0 to 10, default 0. A new spec.rerunToken resets the count.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub limit: i32,

    /// Delay in seconds before the first retry: 1 to 86400, default 60. It doubles with each retry, up to 3600; a longer delay does not
    /// grow. A retry that would begin after the deadline (spec.activeDeadlineSeconds) is not made.
    #[serde(default = "default_backoff")]
    #[schemars(range(min = 1, max = 86_400))]
    pub backoff_seconds: i64,

    /// The error types of nuvo that are retried, default SOURCE_UNRESPONSIVE and DESTINATION_UNRESPONSIVE. Every failed
    /// execution of the run must have one of them. At most 32.
    #[serde(default = "default_error_types")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub on_error_types: Vec<String>,
}

impl Default for Retry {
    /// What the API server fills in.
    fn default() -> Self {
        Self { limit: 0, backoff_seconds: default_backoff(), on_error_types: default_error_types() }
    }
}

/// Limits that the statistics of a successful run must keep.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.maxErrorRows) || has(self.maxErrorCells) || has(self.maxErrorRowPercent) || has(self.minRows)")
    .message("qualityGate must have at least one limit: set maxErrorRows, maxErrorCells, maxErrorRowPercent or minRows, or remove qualityGate"))]
pub struct QualityGate {
    /// Maximum number of rows with errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub max_error_rows: Option<i64>,

    /// Maximum number of cells with errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub max_error_cells: Option<i64>,

    /// Maximum share of rows with errors among all rows, in percent: 0 to 100. The share of a run without rows is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_error_row_percent: Option<i64>,

    /// Minimum number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub min_rows: Option<i64>,
}

/// A NuvoAccount in the namespace of the run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRef {
    /// Name of the NuvoAccount, default "default".
    #[serde(default = "default_account")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')")
        .message("accountRef.name must be the name of a NuvoAccount in this namespace: lower-case letters, digits, '-' and '.', for example default"))]
    pub name: String,
}

fn default_account() -> String {
    DEFAULT_ACCOUNT.to_owned()
}

impl Default for AccountRef {
    fn default() -> Self {
        Self { name: default_account() }
    }
}

/// What a run does while another execution of its pipeline runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ConcurrencyPolicy {
    #[default]
    Allow,
    Queue,
    Skip,
}

/// What a trigger with unknown outcome leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum OnAmbiguousTrigger {
    #[default]
    Fail,
    Adopt,
    Retrigger,
}

/// What a trigger that started nothing means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum OnNothingToProcess {
    #[default]
    Succeed,
    Fail,
}
