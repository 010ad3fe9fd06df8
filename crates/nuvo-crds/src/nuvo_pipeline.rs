//! `NuvoPipeline`: what runs of one pipeline in nuvo, whoever started it. It never starts anything.

#![allow(clippy::duplicated_attributes, reason = "the lint takes the fields of different printer columns for one attribute")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{AccountRef, NuvoPipelineStatus, QualityGate};

/// What to observe.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "nuvo.dev",
    version = "v1alpha1",
    kind = "NuvoPipeline",
    plural = "nuvopipelines",
    singular = "nuvopipeline",
    shortname = "npl",
    category = "nuvo",
    namespaced,
    status = "NuvoPipelineStatus",
    derive = "PartialEq",
    doc = "What runs of one pipeline in nuvo, whoever started it: its last results, its freshness and its quality. It never starts anything.",
    selectable = ".spec.pipelineId",
    validation = Rule::new("self.metadata.name.size() <= 63").message(
        "the name of a NuvoPipeline must have at most 63 characters, because it is the value of a label on its mirrored runs: choose a shorter one"
    ),
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipelineId", description = "Id of the pipeline in nuvo"),
    printcolumn(name = "Name", type_ = "string", json_path = ".status.name", description = "Name of the pipeline in nuvo"),
    printcolumn(
        name = "Last",
        type_ = "string",
        json_path = ".status.lastExecution.status",
        description = "Status of the newest execution, whoever started it"
    ),
    printcolumn(
        name = "Trigger",
        type_ = "string",
        json_path = ".status.lastExecution.triggerType",
        description = "What started the newest execution"
    ),
    printcolumn(
        name = "Rows",
        type_ = "integer",
        json_path = ".status.lastSuccess.stats.totalRows",
        description = "Rows of the newest successful execution"
    ),
    printcolumn(
        name = "Error Rows",
        type_ = "integer",
        json_path = ".status.lastSuccess.stats.totalErrorRows",
        description = "Rows with errors of the newest successful execution"
    ),
    printcolumn(
        name = "Fresh",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Fresh")].status"#,
        description = "Whether the data is as new as spec.freshness asks"
    ),
    printcolumn(
        name = "Last Success",
        type_ = "date",
        json_path = ".status.lastSuccess.endedAt",
        description = "End of the newest successful execution"
    ),
    printcolumn(
        name = "Error",
        type_ = "string",
        json_path = ".status.lastFailure.errorType",
        priority = 1,
        description = "Error type of the newest failed execution"
    ),
    printcolumn(
        name = "Running",
        type_ = "string",
        json_path = ".status.running[0].id",
        priority = 1,
        description = "Newest execution that is running"
    ),
    printcolumn(
        name = "Schedule",
        type_ = "string",
        json_path = ".status.nuvoSchedule",
        priority = 1,
        description = "Schedule of the pipeline in nuvo"
    ),
    printcolumn(
        name = "Active",
        type_ = "boolean",
        json_path = ".status.activeInNuvo",
        priority = 1,
        description = "Whether the pipeline is switched on in nuvo"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NuvoPipelineSpec {
    /// Id of the pipeline in nuvo: 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-'. Cannot be changed.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_-]{1,128}$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("pipelineId cannot be changed: create a new NuvoPipeline for the other pipeline"),
        validation = Rule::new("self.matches('^[A-Za-z0-9_-]{1,128}$')").message(
            "pipelineId must be 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-': write the pipeline's id as nuvo shows it, not its name or URL"
        )
    )]
    pub pipeline_id: String,

    /// The NuvoAccount whose credentials and request budget are used to look at nuvo. It must be in the namespace of this object.
    #[serde(default)]
    pub account_ref: AccountRef,

    /// When the data of the pipeline counts as fresh (condition Fresh). When it is not set, freshness is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,

    /// Limits that the statistics of the newest successful execution must keep (condition QualityGatePassed). A count that nuvo does not report
    /// fails the limit that needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_gate: Option<QualityGate>,

    /// Which executions of the pipeline the operator keeps as PipelineRuns that only show them. Default none.
    #[serde(default)]
    pub mirror: Mirror,

    /// Asks nuvo nothing for this object until it is set to false. What is known stays as it is.
    #[serde(default)]
    pub suspend: bool,
}

/// When the data of a pipeline is fresh.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.maxAgeSeconds) || (has(self.dueBy) && size(self.dueBy) > 0)")
    .message("freshness must have maxAgeSeconds or dueBy: set one of them, or remove freshness"))]
pub struct Freshness {
    /// Duration in seconds: 60 to 31536000 (one year). The condition Fresh is False when the newest successful execution that counts ended
    /// longer ago. Of a pipeline that never succeeded, the age counts from the creation of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub max_age_seconds: Option<i64>,

    /// Minimum number of rows of a successful execution that counts, default 0: rows are not looked at. A count that nuvo does not report does
    /// not count.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub min_rows: i64,

    /// Times by which the data must have been renewed, at most 8. The condition Fresh is False if the newest successful execution that counts
    /// ended before the window of the latest of these times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub due_by: Vec<DueBy>,
}

/// A recurring time by which the data must have been renewed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DueBy {
    /// Cron expression of 5 fields (minute, hour, day of month, month, day of week), or @hourly, @daily, @midnight, @weekly, @monthly,
    /// @yearly or @annually: 6 to 100 characters, for example "0 7 * * 1-5".
    #[schemars(length(min = 6, max = 100))]
    #[x_kube(validation = Rule::new("self.matches('^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[0-9A-Za-z*,/#?-]+( +[0-9A-Za-z*,/#?-]+){4})$')")
        .message("schedule must have 5 fields (minute, hour, day of month, month, day of week), for example \"0 7 * * 1-5\", or be @hourly, @daily, @weekly, @monthly or @yearly"))]
    pub schedule: String,

    /// IANA name of the time zone of the schedule, for example Europe/Berlin: 1 to 64 characters, default UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*){0,2}$') && self != 'Local' && self != 'posixrules'")
        .message("timeZone must be the IANA name of a time zone, for example Europe/Berlin or UTC"))]
    pub time_zone: String,

    /// Duration in seconds before the time within which the data must have been renewed: 60 to 604800 (one week).
    #[schemars(range(min = 60, max = 604_800))]
    pub window_seconds: i64,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Executions that are kept as PipelineRuns.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Maximum number of PipelineRuns that are kept, the newest ones: 0 to 50, default 0: none are created. They only show an execution, and
    /// never trigger anything.
    #[serde(default)]
    #[schemars(range(min = 0, max = 50))]
    pub history_limit: i32,

    /// What started the executions that are kept, in nuvo's words, at most 8: default SCHEDULED and EVENT. Of executions that were started
    /// through the API (MANUAL), only those are kept that no PipelineRun can claim as its own.
    #[serde(default = "default_trigger_types")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub trigger_types: Vec<String>,
}

fn default_trigger_types() -> Vec<String> {
    ["SCHEDULED", "EVENT"].map(str::to_owned).to_vec()
}

impl Default for Mirror {
    /// What the API server fills in.
    fn default() -> Self {
        Self { history_limit: 0, trigger_types: default_trigger_types() }
    }
}
