//! The status of a `NuvoPipeline`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Stats;

/// The most executions in `status.running`.
pub const MAX_RUNNING: usize = 32;
/// The most executions in `status.recent`.
pub const MAX_RECENT: usize = 10;
/// The most ids in `status.seen`.
pub const MAX_SEEN: usize = 256;

/// Most recently observed state of the pipeline. Written by the operator only.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = serde_json::json!({ "observedGeneration": -1 })))]
pub struct NuvoPipelineStatus {
    /// The metadata.generation that this status is about; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,

    /// Latest observations: Ready (the pipeline is observed), and Reconciling and Stalled as kstatus reads them. Only where they apply: Fresh
    /// (spec.freshness), LastExecutionSucceeded (an execution has ended), QualityGatePassed (spec.qualityGate) and DeveloperMode (nuvo delivers
    /// the first 100 rows only).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,

    /// What nuvo says about the pipeline itself.
    #[serde(flatten)]
    pub about: AboutPipeline,

    /// Executions that are running, at most the newest 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub running: Vec<RunningExecution>,

    /// The newest execution, whether or not it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_execution: Option<SeenExecution>,

    /// The execution that ended successfully last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<SeenExecution>,

    /// The execution that failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<SeenExecution>,

    /// The successful execution that counts for spec.freshness, that is, the newest one with at least freshness.minRows rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_counted: Option<SeenExecution>,

    /// The newest executions, newest first, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub recent: Vec<SeenExecution>,

    /// What the operator has counted already, so that it counts nothing twice after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,

    /// The part of nuvo's list that is not read yet, if there are more new executions than one look can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

/// What nuvo says about a pipeline.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AboutPipeline {
    /// Name of the pipeline in nuvo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub name: Option<String>,

    /// Whether the pipeline is switched on in nuvo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_in_nuvo: Option<bool>,

    /// Whether the pipeline is a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<bool>,

    /// Whether the pipeline is in developer mode, in which nuvo delivers the first 100 rows only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub developer_mode: Option<bool>,

    /// What starts the pipeline in nuvo, for example TIME_BASE or EVENT_BASE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub input_trigger: Option<String>,

    /// Schedule of the pipeline in nuvo, if nuvo gives it, for example "DAILY x 1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub nuvo_schedule: Option<String>,
}

/// An execution that is running.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningExecution {
    /// Id of the execution in nuvo.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub id: String,

    /// What started the execution as nuvo reports it, for example MANUAL, SCHEDULED or EVENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub trigger_type: Option<String>,

    /// Time at which nuvo created the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
}

/// An execution of the pipeline.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenExecution {
    /// Id of the execution in nuvo.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub id: String,

    /// Status of the execution as nuvo reports it, for example PROCESSING, SUCCESSFUL or FAILED.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub status: String,

    /// What started the execution as nuvo reports it, for example MANUAL, SCHEDULED or EVENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub trigger_type: Option<String>,

    /// Time at which nuvo created the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,

    /// Time at which the execution ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,

    /// nuvo's error type, for example SOURCE_UNRESPONSIVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub error_type: Option<String>,

    /// Who created the execution: name and kind as nuvo reports them, never an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub created_by: Option<String>,

    /// Statistics of the last log run, if the execution was read by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

/// What the operator has counted already.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Time in nuvo of the oldest execution that may still be new: those that were created before it are not counted any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Time>,

    /// Short hashes of the ids of the executions that were created since then and were counted, at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 16)))]
    pub ids: Vec<String>,

    /// Short hash of the account that they were seen with. What was seen with another one does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub account: Option<String>,
}

/// The part of nuvo's list that is not read yet.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Time in nuvo of the newest execution that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Time>,

    /// Time in nuvo of the oldest execution that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_read: Option<Time>,
}
