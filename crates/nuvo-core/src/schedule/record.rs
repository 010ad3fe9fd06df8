//! What a schedule remembers of its slots: the part of its status by which slots are decided.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nuvo_crds::{
    Anchor, Claim as StoredClaim, MAX_CLAIMS, MAX_INTEGER, Missed, MissedReason, ObservedSlots, PendingStart, PipelineScheduleStatus,
};

/// The record, as far as it speaks of this very object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Record {
    /// The generation that it was written for.
    pub generation: Option<i64>,
    /// What the spec said then.
    pub observed: Option<ObservedSlots>,
    /// No slot at or before this time is started; none if the schedule is new, or was restored.
    pub anchor: Option<Timestamp>,
    /// The newest slot that was decided.
    pub last_slot: Option<Timestamp>,
    /// The newest slot that was started.
    pub last_started: Option<Timestamp>,
    /// The run that is about to be created.
    pub pending: Option<Pending>,
    /// Which run may trigger for which slot.
    pub claims: Vec<Claim>,
    /// The slots that were missed.
    pub missed: Misses,
}

/// A run that is about to be created.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pending {
    /// Its slot.
    pub slot: Timestamp,
    /// Its name.
    pub run: String,
    /// Since when.
    pub since: Timestamp,
}

/// Permission for one run to trigger for one slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The slot.
    pub slot: Timestamp,
    /// The name of the run.
    pub run: String,
    /// Its uid.
    pub uid: String,
}

/// The slots that were missed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Misses {
    /// How many.
    pub total: i64,
    /// There were more.
    pub at_least: bool,
    /// The newest one.
    pub last: Option<(Timestamp, Option<MissedReason>)>,
}

impl Misses {
    /// Adds some slots, the newest of which is this one.
    pub fn add(&mut self, count: usize, newest: Timestamp, reason: MissedReason) {
        if count == 0 {
            return;
        }
        self.total = self.total.saturating_add(i64::try_from(count).unwrap_or(MAX_INTEGER)).min(MAX_INTEGER);
        self.last = Some((newest, Some(reason)));
    }
}

impl Record {
    /// Reads it from a status. One that was restored from another object counts as absent.
    #[must_use]
    pub fn read(status: Option<&PipelineScheduleStatus>, uid: &str) -> Self {
        let Some(status) = status.filter(|status| status.anchor.as_ref().is_none_or(|anchor| anchor.uid == uid)) else {
            return Self::default();
        };
        let Some(anchor) = &status.anchor else { return Self::default() };
        let missed = status.missed.clone().unwrap_or_default();
        Self {
            generation: status.observed_generation.filter(|generation| *generation >= 0),
            observed: status.observed.clone(),
            anchor: Some(anchor.time.0),
            last_slot: status.last_slot.as_ref().map(|time| time.0),
            last_started: status.last_schedule_time.as_ref().map(|time| time.0),
            pending: status.pending.as_ref().map(|pending| Pending {
                slot: pending.slot.0,
                run: pending.run_name.clone(),
                since: pending.since.0,
            }),
            claims: status
                .claims
                .iter()
                .map(|claim| Claim { slot: claim.slot.0, run: claim.run_name.clone(), uid: claim.run_uid.clone() })
                .collect(),
            missed: Misses {
                total: missed.total,
                at_least: missed.at_least.unwrap_or_default(),
                last: missed.last_time.map(|time| (time.0, missed.last_reason)),
            },
        }
    }

    /// Writes it into a status of the object with this uid.
    pub fn write(&self, status: &mut PipelineScheduleStatus, uid: &str) {
        let Self { generation, observed, anchor, last_slot, last_started, pending, claims, missed } = self;
        status.observed_generation = *generation;
        status.observed.clone_from(observed);
        status.anchor = anchor.map(|time| Anchor { time: Time(time), uid: uid.to_owned() });
        status.last_slot = last_slot.map(Time);
        status.last_schedule_time = last_started.map(Time);
        status.pending = pending.as_ref().map(|pending| PendingStart {
            slot: Time(pending.slot),
            run_name: pending.run.clone(),
            since: Time(pending.since),
        });
        status.claims = claims
            .iter()
            .take(MAX_CLAIMS)
            .map(|claim| StoredClaim { slot: Time(claim.slot), run_name: claim.run.clone(), run_uid: claim.uid.clone() })
            .collect();
        status.missed = missed.last.as_ref().map(|(last, reason)| Missed {
            total: missed.total,
            at_least: missed.at_least.then_some(true),
            last_time: Some(Time(*last)),
            last_reason: *reason,
        });
    }

    /// The newest time up to which every slot is decided.
    #[must_use]
    pub fn decided_until(&self) -> Option<Timestamp> {
        self.anchor.max(self.last_slot)
    }
}
