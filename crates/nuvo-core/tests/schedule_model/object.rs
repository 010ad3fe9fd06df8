//! The objects in the API server, small enough to be compared.

use std::{cell::RefCell, collections::HashMap, fmt};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nuvo_core::schedule::{Progress, Schedule, ScheduledRun};
use nuvo_crds::{
    Phase, PipelineRunSpec, PipelineSchedule, PipelineScheduleSpec, PipelineScheduleStatus, RunTemplate, ScheduleConcurrency,
    conditions::Reason,
};

/// The moments: before a slot, when it is due, after it, and when the next one is due.
const TIMES: [i64; 4] = [1_790_000_070, 1_790_000_100, 1_790_000_130, 1_790_000_160];

pub fn moment(time: u8) -> Timestamp {
    Timestamp::from_second(TIMES[usize::from(time)]).unwrap()
}

/// The schedule.
#[derive(Clone, Hash, PartialEq, Eq)]
pub struct Object {
    pub uid: u8,
    pub generation: i64,
    pub suspend: bool,
    /// Whether it forbids runs beside each other.
    pub forbids: bool,
    pub created: u8,
    /// As JSON.
    pub status: String,
}

impl Object {
    pub fn new(uid: u8, created: u8, forbids: bool) -> Self {
        Self { uid, generation: 1, suspend: false, forbids, created, status: "null".to_owned() }
    }

    pub fn status(&self) -> PipelineScheduleStatus {
        serde_json::from_str::<Option<PipelineScheduleStatus>>(&self.status).unwrap().unwrap_or_default()
    }

    pub fn set_status(&mut self, status: &PipelineScheduleStatus) {
        self.status = serde_json::to_string(status).unwrap();
    }

    /// As the core sees it. To read it takes longer than all the rest.
    pub fn seen(&self) -> Schedule {
        thread_local!(static READ: RefCell<HashMap<Object, Schedule>> = RefCell::default());
        READ.with_borrow_mut(|read| read.entry(self.clone()).or_insert_with(|| self.read()).clone())
    }

    fn read(&self) -> Schedule {
        let spec = PipelineScheduleSpec {
            schedules: vec!["* * * * *".to_owned()],
            suspend: self.suspend,
            concurrency_policy: if self.forbids { ScheduleConcurrency::Forbid } else { ScheduleConcurrency::Allow },
            successful_runs_history_limit: 0,
            failed_runs_history_limit: 0,
            run_template: RunTemplate {
                metadata: None,
                spec: PipelineRunSpec { pipeline_id: "orders".to_owned(), ..PipelineRunSpec::default() },
            },
            ..PipelineScheduleSpec::default()
        };
        let mut object = PipelineSchedule::new("s", spec);
        object.metadata.namespace = Some("team".to_owned());
        object.metadata.uid = Some(self.uid.to_string());
        object.metadata.generation = Some(self.generation);
        object.metadata.creation_timestamp = Some(Time(moment(self.created)));
        object.status = serde_json::from_str(&self.status).unwrap();
        Schedule::of(&object).unwrap()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, generation, suspend, status, .. } = self;
        write!(f, "schedule {uid} g{generation} suspend={suspend} {status}")
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
pub enum Stage {
    Waits,
    Posted,
    Ended,
    Refused,
}

/// A run.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Run {
    pub name: String,
    pub uid: u8,
    pub controller: u8,
    pub slot: i64,
    pub stage: Stage,
}

impl Run {
    pub fn at(&self) -> Timestamp {
        Timestamp::from_second(self.slot).unwrap()
    }

    /// As the core sees it.
    pub fn seen(&self) -> ScheduledRun {
        let (progress, phase, reason) = match self.stage {
            Stage::Waits => (Progress::Waits, None, None),
            Stage::Posted => (Progress::Runs(Timestamp::MAX), Some(Phase::Running), Some(Reason::Running)),
            Stage::Ended => (Progress::Ended(self.at()), Some(Phase::Succeeded), Some(Reason::Succeeded)),
            Stage::Refused => (Progress::Ended(self.at()), Some(Phase::Failed), Some(Reason::SlotNotClaimed)),
        };
        ScheduledRun {
            name: self.name.clone(),
            uid: self.uid.to_string(),
            version: String::new(),
            created: self.at(),
            controller: Some(self.controller.to_string()),
            slot: Some(self.at()),
            deleting: false,
            phase,
            reason,
            progress,
        }
    }
}
