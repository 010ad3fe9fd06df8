//! What the core asks of the shell for a schedule, and what the shell answers.

use jiff::Timestamp;
use nuvo_crds::{MissedReason, PipelineRun, PipelineScheduleStatus, conditions::ScheduleReason};

use super::{object::Schedule, runs::ScheduledRun};

/// The next act for a schedule. At most one irreversible act lies between two calls of [`next`](super::next).
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Quorum GET of the schedule.
    ReadSchedule,
    /// Quorum LIST of the runs with the label of the schedule.
    ListRuns,
    /// Quorum GET of the run with this name.
    ReadRun(String),
    /// Write this status over the version of the object that was read: S1, S3, and what else there is to say.
    Write(Box<Change>),
    /// S2: create this run.
    Create(Box<PipelineRun>),
    /// Delete exactly this version of a run that has ended.
    Delete {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
        /// Its version.
        version: String,
    },
    /// The pass is over.
    Done {
        /// When the schedule is looked at again at the latest; none if only when something changes.
        wake: Option<Timestamp>,
    },
}

/// A status, and what is new in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The status.
    pub status: PipelineScheduleStatus,
    /// For events and metrics, once it is written.
    pub news: Vec<News>,
}

/// What a status says that the one before did not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum News {
    /// A run was started for this slot.
    Started {
        /// The slot.
        slot: Timestamp,
        /// The run.
        run: String,
    },
    /// Slots were missed.
    Missed {
        /// How many.
        count: usize,
        /// There may be more.
        at_least: bool,
        /// The newest one.
        newest: Timestamp,
        /// Why.
        reason: MissedReason,
    },
    /// The schedule does not start its slots.
    Unwell(ScheduleReason, String),
}

/// What an act led to.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The schedule as it is now; none if it is gone.
    Schedule(Option<Box<Schedule>>),
    /// All runs with the label.
    Runs(Vec<ScheduledRun>),
    /// The run; none if there is none.
    Run(Option<Box<ScheduledRun>>),
    /// An object with this name exists.
    Exists,
    /// The API server refuses it, and will again before a person changes something.
    Refused(String),
    /// It was done.
    Done,
    /// The object has changed since, or no answer came.
    Unclear,
}
