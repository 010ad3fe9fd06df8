//! `PipelineSchedule`: cron lines that start runs of a pipeline, at most one for each slot.

#![allow(clippy::duplicated_attributes, reason = "the lint takes the fields of different printer columns for one attribute")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PipelineRunSpec, PipelineScheduleStatus, tolerant::known_or_default};

/// The most cron lines of a schedule.
pub const MAX_SCHEDULES: usize = 16;
/// The longest name of a schedule. It is the value of a label, and the beginning of the names of its runs.
pub const MAX_SCHEDULE_NAME: usize = 63;

/// When to run what.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "nuvo.dev",
    version = "v1alpha1",
    kind = "PipelineSchedule",
    plural = "pipelineschedules",
    singular = "pipelineschedule",
    shortname = "nps",
    category = "nuvo",
    namespaced,
    status = "PipelineScheduleStatus",
    derive = "PartialEq",
    doc = "Starts runs of a nuvo data pipeline by cron lines: at most one run for each slot, and none for a slot of the past.",
    validation = Rule::new("self.metadata.name.size() <= 63").message(
        "the name of a PipelineSchedule must have at most 63 characters, because it is the value of a label of its runs: choose a shorter name"
    ),
    printcolumn(
        name = "Pipeline",
        type_ = "string",
        json_path = ".spec.runTemplate.spec.pipelineId",
        description = "Id of the pipeline in nuvo"
    ),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedules[0]", description = "The first cron line"),
    printcolumn(name = "Time Zone", type_ = "string", json_path = ".spec.timeZone", description = "Time zone of the cron lines"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend", description = "Whether no new runs are started"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.activeCount", description = "Number of runs that have not ended"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastScheduleTime", description = "The newest slot that was started"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextScheduleTime", description = "When the next slot is due"),
    printcolumn(name = "Last Result", type_ = "string", json_path = ".status.lastRun.phase", description = "Result of the newest run, once it has ended"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineScheduleSpec {
    /// Cron lines, 1 to 16. Each has five fields: minute, hour, day of month, month, day of week; or is one of @hourly, @daily, @midnight,
    /// @weekly, @monthly, @yearly and @annually. A minute that several lines name is one slot. If both day of month and day of week are
    /// restricted, either of them counts, as in a CronJob. For each 15th minute from minute 5 write 5-59/15; 5/15 is refused. When clocks go
    /// forward, a line with fixed times (numbers, or lists of numbers) that fall into the gap is due at its end; when they go back, it is due
    /// once. A line with a range or a step follows the clock on the wall.
    #[schemars(length(min = 1, max = 16), inner(length(min = 6, max = 100)))]
    #[x_kube(
        validation = Rule::new("self.all(line, line.matches('^ *(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[0-9A-Za-z*,/?#-]+( +[0-9A-Za-z*,/?#-]+){4}) *$'))").message(
            "each line of schedules must have five fields of digits, letters and * , / ? # -, such as '30 2 * * 1-5', or be one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually: write the time zone into timeZone; there are no seconds"
        )
    )]
    pub schedules: Vec<String>,

    /// Time zone of the cron lines, as the IANA database spells it, for example Europe/Berlin. Default UTC.
    #[serde(default = "default_time_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,

    /// Starts no new runs while it is true. Active runs go on. Slots of that time are never made up for.
    #[serde(default)]
    pub suspend: bool,

    /// Duration in seconds, plus 60, by which a slot may start late: 0 to 604800 (one week). When it is not set, a slot may start until the
    /// next one is due. With 0, it starts only while the operator is up at that minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub starting_deadline_seconds: Option<i64>,

    /// What a slot does while an earlier run of this schedule has not ended. Forbid (default) waits for its end until the next slot is due.
    /// Allow starts it all the same. Replace is refused, because nuvo cannot cancel an execution. What else runs on the pipeline is decided
    /// by runTemplate.spec.concurrencyPolicy.
    #[serde(default, deserialize_with = "known_or_default")]
    #[x_kube(validation = Rule::new("self != 'Replace'").message("concurrencyPolicy cannot be Replace, because nuvo cannot cancel an execution: use Forbid (waits) or Allow"))]
    pub concurrency_policy: ScheduleConcurrency,

    /// Spreads schedules that name the same minute: each slot is due later by an offset of this schedule, the same each time, of less than
    /// this number of seconds. 0 (default) to 3600. Names of runs, and times in the status, remain those of the slot.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3_600))]
    pub spread_seconds: i64,

    /// Number of successful runs that are kept: 0 to 100, default 3. Of the runs that were skipped (reason Skipped), one more is kept.
    #[serde(default = "default_history")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_runs_history_limit: i64,

    /// Number of failed runs that are kept: 0 to 100, default 3. Runs that a person must decide about (phase Unresolved) do not count and are
    /// never deleted.
    #[serde(default = "default_history")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_runs_history_limit: i64,

    /// The runs that are started. A change counts for later runs only.
    pub run_template: RunTemplate,
}

fn default_time_zone() -> String {
    "UTC".to_owned()
}

const fn default_history() -> i64 {
    3
}

impl Default for PipelineScheduleSpec {
    /// What the API server fills in; there are no cron lines, and the pipeline id is empty.
    fn default() -> Self {
        Self {
            schedules: Vec::new(),
            time_zone: default_time_zone(),
            suspend: false,
            starting_deadline_seconds: None,
            concurrency_policy: ScheduleConcurrency::default(),
            spread_seconds: 0,
            successful_runs_history_limit: default_history(),
            failed_runs_history_limit: default_history(),
            run_template: RunTemplate::default(),
        }
    }
}

/// What each run of a schedule is made from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTemplate {
    /// Labels and annotations of the runs. Nothing is copied from the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RunTemplateMetadata>,

    /// The spec of the runs, as of a PipelineRun, without executionId, rerunToken and suspend.
    #[schemars(schema_with = "super::schema::run_template_spec")]
    pub spec: PipelineRunSpec,
}

/// Labels and annotations of the runs of a schedule.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTemplateMetadata {
    /// Labels of the runs, at most 32. Besides them, a run has the label nuvo.dev/schedule with the name of the schedule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::template_labels")]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the runs, at most 32. Besides them, a run has the annotation nuvo.dev/scheduled-at with its slot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::template_annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// What a slot does while an earlier run of its schedule has not ended.
///
/// A word that this version does not know reads as Forbid: it must not look like a permission to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "What a slot does while an earlier run of its schedule has not ended.")]
#[allow(missing_docs)]
pub enum ScheduleConcurrency {
    #[default]
    Forbid,
    Allow,
    Replace,
}
