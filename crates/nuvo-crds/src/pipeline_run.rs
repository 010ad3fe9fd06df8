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

    /// The NuvoAccount whose credentials and request budget the run uses. It is in the namespace of the run.
    #[serde(default)]
    pub account_ref: AccountRef,

    /// Follow this execution, which exists in nuvo already, and trigger nothing: 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-'.
    /// Cannot be set, changed or removed after creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_-]{1,128}$"))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_-]{1,128}$')").message(
        "executionId must be 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-': write the execution's id as nuvo shows it, or remove the field to trigger a new one"
    ))]
    pub execution_id: Option<String>,

    /// Any text of 1 to 64 characters. Changing it after the run has ended starts a new attempt, that is, the pipeline is triggered
    /// once more. Changed while the run is active, it counts when it has ended. Besides spec.retry nothing else does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self != ''").message("rerunToken must have 1 to 64 characters: write any new text, for example the time, or remove the field"))]
    pub rerun_token: Option<String>,

    /// Before the trigger: wait until this is false. After the trigger it changes nothing, because nuvo cannot cancel an execution:
    /// the run is still followed to its end.
    #[serde(default)]
    pub suspend: bool,

    /// How long the run may take from status.startTime, with all its retries, in seconds: 1 to 2592000 (30 days), default 86400 (one day).
    /// After that the run is reported as failed with reason DeadlineExceeded; the execution in nuvo is not stopped. A trigger in doubt is looked into for
    /// the operator's --trigger-settle-seconds in any case; if nuvo or the account could not be asked before the deadline, the run ends
    /// with reason TriggerOutcomeUnknown, because what it may have started is still to be found out, and nothing is triggered again.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub active_deadline_seconds: i64,

    /// Start the pipeline again when an execution fails with one of these error types. Without it, a failed run stays failed until
    /// spec.rerunToken changes. A repair that somebody makes in nuvo while the next attempt is waited for does not keep it from being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,

    /// What to do when nobody can tell whether nuvo carried the trigger out, for example after a lost connection. In any case the operator
    /// first looks in nuvo for what it may have started: executions of the pipeline that are new, were started through the API by the
    /// account's own identity and are not shown by another run. It follows all of them. When there are none, Fail ends the run with reason
    /// TriggerOutcomeUnknown, and a person decides. Adopt follows also new executions that were started through the API by somebody else, or
    /// by nobody knows whom; when there are none either, it is like Fail. Retrigger triggers once more, though not after the deadline, which
    /// may run the pipeline twice; after an answer of nuvo that something was started it is like Fail.
    #[serde(default, deserialize_with = "known_or_default")]
    pub on_ambiguous_trigger: OnAmbiguousTrigger,

    /// What it means when nuvo accepts the trigger and starts nothing, for example because there is no new file: Succeed or Fail.
    #[serde(default, deserialize_with = "known_or_default")]
    pub on_nothing_to_process: OnNothingToProcess,

    /// What the statistics of a run must show that nuvo calls successful; otherwise it fails with reason QualityGateFailed. The limits
    /// are about all executions of the run together. A count that nuvo does not give fails the limit that needs it. A run that found
    /// nothing to process has no statistics: spec.onNothingToProcess decides about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_gate: Option<QualityGate>,

    /// How long a run whose execution failed is watched for a repair that somebody makes in nuvo, in seconds from
    /// status.completionTime: 0 (default, not at all) to 604800 (one week). When all its executions are successful, the run becomes
    /// Succeeded with reason FixedInNuvo and the new statistics, or fails for good with QualityGateFailed. Watching costs requests to nuvo, fewer as time passes. Runs with more than 64
    /// executions are not watched.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub follow_fixes_seconds: i64,

    /// Delete this object so many seconds after status.completionTime: 0 to 31536000 (one year). Without it, it stays. Not deleted, and the
    /// condition DeletionBlocked says why: a run that a person must decide about (phase Unresolved), and one that Argo CD, Flux or Helm
    /// tracks (by the label app.kubernetes.io/instance, too), because they would create it again, which would trigger the pipeline again; hooks of
    /// Argo CD and Helm excepted.
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
    /// How many attempts may follow the first one: 0 to 10, default 0. A new spec.rerunToken begins to count anew.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub limit: i32,

    /// The wait before the first of them, in seconds: 1 to 86400, default 60. It doubles each time, up to 3600; a longer one stays as it is.
    /// An attempt that would begin after the deadline (spec.activeDeadlineSeconds) is not made.
    #[serde(default = "default_backoff")]
    #[schemars(range(min = 1, max = 86_400))]
    pub backoff_seconds: i64,

    /// The error types of nuvo after which it is worth trying again, default SOURCE_UNRESPONSIVE and DESTINATION_UNRESPONSIVE. Every failed
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

/// What the statistics of a successful run must show.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.maxErrorRows) || has(self.maxErrorCells) || has(self.maxErrorRowPercent) || has(self.minRows)")
    .message("qualityGate must have at least one limit: set maxErrorRows, maxErrorCells, maxErrorRowPercent or minRows, or remove qualityGate"))]
pub struct QualityGate {
    /// The most rows with errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub max_error_rows: Option<i64>,

    /// The most cells with errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub max_error_cells: Option<i64>,

    /// The largest share of rows with errors among all rows, in percent: 0 to 100. Without rows it is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_error_row_percent: Option<i64>,

    /// The fewest rows.
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
