//! The status of a `PipelineSchedule`: which slots were decided, and what became of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Phase, tolerant::known_or_none};

/// The most claims of a schedule.
pub const MAX_CLAIMS: usize = 16;
/// The most runs in `status.active`.
pub const MAX_ACTIVE: usize = 16;

/// Most recently observed state of the schedule. Written by the operator only.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = serde_json::json!({ "observedGeneration": -1 })))]
pub struct PipelineScheduleStatus {
    /// The metadata.generation that this status is about; -1 until the operator has seen the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,

    /// Latest observations of the schedule: Ready, LastRunSucceeded, and Reconciling and Stalled as kstatus reads them. Only where it
    /// applies: AlsoScheduledInNuvo (nuvo starts the pipeline by a schedule of its own, too).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,

    /// What the spec said of its slots when they were decided last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<ObservedSlots>,

    /// From when on slots count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,

    /// The newest slot that was decided, whether it was started or missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_slot: Option<Time>,

    /// The newest slot that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,

    /// The run that is about to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingStart>,

    /// Which run may trigger for which slot, at most 16. A claim is never changed, and goes when its run has ended or is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub claims: Vec<Claim>,

    /// Time at which the next slot is due: the slot and the offset of spec.spreadSeconds. Absent while the schedule is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,

    /// Number of runs of the schedule that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub active_count: Option<i32>,

    /// The runs of the schedule that have not ended, oldest first, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub active: Vec<ActiveRun>,

    /// The run of the newest slot that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,

    /// Time at which a run of the schedule last succeeded. A skipped run is no success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,

    /// Time at which a run of the schedule last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failed_time: Option<Time>,

    /// The slots for which no run was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// What the spec said of its slots when they were decided last. A change moves the anchor.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedSlots {
    /// The spec.schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(max = 100)))]
    pub schedules: Option<Vec<String>>,

    /// The spec.timeZone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub time_zone: Option<String>,

    /// The spec.suspend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// The spec.startingDeadlineSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub starting_deadline_seconds: Option<i64>,
}

/// The time from which on slots count. No slot at or before it is started.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Anchor {
    /// The time.
    pub time: Time,

    /// The metadata.uid of the schedule. If it differs, the status was restored from a backup and counts as absent.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// A run that is about to be created.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingStart {
    /// Its slot.
    pub slot: Time,

    /// Its name.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub run_name: String,

    /// Time at which this was decided.
    pub since: Time,
}

/// Permission for one run to trigger for one slot.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The slot.
    pub slot: Time,

    /// Name of the run.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub run_name: String,

    /// The metadata.uid of the run.
    #[serde(default, rename = "runUID")]
    #[schemars(length(max = 64))]
    pub run_uid: String,
}

/// A run of the schedule that has not ended.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// Name of the run.
    #[schemars(length(max = 253))]
    pub name: String,

    /// Its slot. Absent when it was started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Time>,
}

/// The run of the newest slot that was started.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Name of the run.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub name: String,

    /// Its slot.
    pub slot: Time,

    /// Succeeded, Failed or Unresolved. Absent while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_or_none")]
    pub phase: Option<Phase>,

    /// Reason of its condition Succeeded, or Deleted when it is gone and had not ended. Absent while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
}

/// Slots for which no run was started. Slots while spec.suspend was true do not count.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missed {
    /// Their number.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total: i64,

    /// There were more than total says, because not all of them were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<bool>,

    /// The newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Time>,

    /// Why the newest of them was missed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_or_none")]
    pub last_reason: Option<MissedReason>,
}

/// Why a slot was missed: what kept it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "Why a slot was missed: what kept it last.")]
#[allow(missing_docs)]
pub enum MissedReason {
    TooLate,
    StillRunning,
    PipelineRunning,
    ScheduleChanged,
    NotObserved,
    CreateRefused,
    Deleted,
    TooManyActive,
    SlotNotClaimed,
}

impl MissedReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::TooLate,
        Self::StillRunning,
        Self::PipelineRunning,
        Self::ScheduleChanged,
        Self::NotObserved,
        Self::CreateRefused,
        Self::Deleted,
        Self::TooManyActive,
        Self::SlotNotClaimed,
    ];

    /// The word in the object, in events and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLate => "TooLate",
            Self::StillRunning => "StillRunning",
            Self::PipelineRunning => "PipelineRunning",
            Self::ScheduleChanged => "ScheduleChanged",
            Self::NotObserved => "NotObserved",
            Self::CreateRefused => "CreateRefused",
            Self::Deleted => "Deleted",
            Self::TooManyActive => "TooManyActive",
            Self::SlotNotClaimed => "SlotNotClaimed",
        }
    }
}
