//! The object, read once; after this nothing reads the raw object again.

use jiff::{SignedDuration, Timestamp};
use nuvo_crds::{ObservedSlots, PipelineSchedule, PipelineScheduleSpec, PipelineScheduleStatus};

use super::{
    calendar::{Calendar, CalendarError},
    record::Record,
    spread::{self, after},
};

/// The object, parsed.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// When it was created.
    pub created: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// The spec.
    pub spec: PipelineScheduleSpec,
    /// The status, as it is.
    pub status: PipelineScheduleStatus,
    /// What it remembers of its slots.
    pub record: Record,
    /// Its slots.
    pub calendar: Result<Calendar, CalendarError>,
    /// By how much its slots are due later.
    pub offset: SignedDuration,
}

impl Schedule {
    /// Reads the object; none if it did not come from an API server.
    #[must_use]
    pub fn of(object: &PipelineSchedule) -> Option<Self> {
        let (meta, spec) = (&object.metadata, &object.spec);
        let uid = meta.uid.clone()?;
        Some(Self {
            name: meta.name.clone()?,
            namespace: meta.namespace.clone()?,
            generation: meta.generation,
            created: meta.creation_timestamp.as_ref()?.0,
            deleting: meta.deletion_timestamp.is_some(),
            spec: spec.clone(),
            status: object.status.clone().unwrap_or_default(),
            record: Record::read(object.status.as_ref(), &uid),
            calendar: Calendar::parse(&spec.schedules, &spec.time_zone),
            offset: spread::offset(&uid, spec.spread_seconds),
            uid,
        })
    }

    /// What the spec says of its slots.
    pub(super) fn wanted(&self) -> ObservedSlots {
        ObservedSlots {
            schedules: Some(self.spec.schedules.clone()),
            time_zone: Some(self.spec.time_zone.clone()),
            suspend: Some(self.spec.suspend),
            starting_deadline_seconds: self.spec.starting_deadline_seconds,
        }
    }

    /// When a slot is due.
    pub(super) fn due(&self, slot: Timestamp) -> Timestamp {
        after(slot, self.offset)
    }
}
