//! The runs of a schedule, as far as its slots depend on them.

use jiff::{SignedDuration, Timestamp};
use nuvo_crds::{Phase, PipelineRun, conditions::Reason, well_known::SCHEDULED_AT_ANNOTATION};

use super::spread::after;
use crate::run;

/// A run with the label of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScheduledRun {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// When it was created.
    pub created: Timestamp,
    /// The uid of its controller.
    pub controller: Option<String>,
    /// Its slot; none if a person started it.
    pub slot: Option<Timestamp>,
    /// It is being deleted.
    pub deleting: bool,
    /// `status.phase`.
    pub phase: Option<Phase>,
    /// The reason of its condition `Succeeded`.
    pub reason: Option<Reason>,
    /// How far it is.
    pub progress: Progress,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Nothing was triggered, as far as its status says.
    Waits,
    /// It was triggered, and its deadline is at this time.
    Runs(Timestamp),
    /// A person must decide about it; its deadline is, or was, at this time.
    Unresolved(Timestamp),
    /// It has ended at this time.
    Ended(Timestamp),
}

impl ScheduledRun {
    /// Reads a run; none if the object did not come from an API server.
    #[must_use]
    pub fn of(object: &PipelineRun) -> Option<Self> {
        let meta = &object.metadata;
        let created = meta.creation_timestamp.as_ref()?.0;
        let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let slot = meta.annotations.as_ref().and_then(|all| all.get(SCHEDULED_AT_ANNOTATION)).and_then(|text| text.parse().ok());
        let status = object.status.as_ref();
        let started = status.and_then(|status| status.series.start_time.as_ref()).map(|time| time.0);
        let deadline = after(started.unwrap_or(created), SignedDuration::from_secs(object.spec.active_deadline_seconds));
        let phase = status.and_then(|status| status.phase);
        let ended = status.and_then(|status| status.current.completion_time.as_ref()).map(|time| time.0);
        let progress = match (phase, ended, started) {
            (Some(Phase::Unresolved), ..) => Progress::Unresolved(deadline),
            (_, Some(ended), _) => Progress::Ended(ended),
            (_, None, Some(_)) => Progress::Runs(deadline),
            (_, None, None) => Progress::Waits,
        };
        Some(Self {
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            version: meta.resource_version.clone()?,
            created,
            controller: controller.map(|owner| owner.uid.clone()),
            slot,
            deleting: meta.deletion_timestamp.is_some(),
            phase,
            reason: status.and_then(run::reason),
            progress,
        })
    }

    /// Whether the schedule with this uid made it.
    #[must_use]
    pub fn is_of(&self, schedule: &str) -> bool {
        self.controller.as_deref() == Some(schedule)
    }

    /// Whether it has ended and needs no person.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.progress, Progress::Ended(_))
    }

    /// Until when the next slot waits for it; none if it does not. What may run for days must not stop a daily load.
    pub(super) fn blocks(&self, now: Timestamp) -> Option<Option<Timestamp>> {
        match self.progress {
            Progress::Ended(_) => None,
            Progress::Waits => (!self.deleting).then_some(None),
            Progress::Runs(until) | Progress::Unresolved(until) => (now < until).then_some(Some(until)),
        }
    }

    /// Whether it has ended without a result that says something about the pipeline.
    #[must_use]
    pub fn counts_for_nothing(&self) -> bool {
        matches!(self.reason, Some(Reason::Skipped | Reason::SlotNotClaimed))
    }
}
