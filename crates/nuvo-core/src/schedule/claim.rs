//! The gate: whether a run that a schedule made may trigger. It closes what no order of writes can: a run that is created late, copied from
//! a manifest, or restored from a backup.

use super::object::Schedule;
use crate::run::{Scheduled, SlotClaim};

/// What the schedule, as a quorum read returned it, says about the slot of a run; none if there is no such schedule.
///
/// The absence of a claim is no permission.
#[must_use]
pub fn slot_claim(schedule: Option<&Schedule>, made_by: &Scheduled, run: &str, uid: &str) -> SlotClaim {
    let Some(schedule) = schedule.filter(|schedule| schedule.uid == made_by.uid && !schedule.deleting) else {
        return SlotClaim::NotClaimed;
    };
    let (record, slot) = (&schedule.record, made_by.slot);
    if let Some(claim) = record.claims.iter().find(|claim| claim.slot == slot) {
        return if claim.run == run && claim.uid == uid { SlotClaim::Claimed } else { SlotClaim::NotClaimed };
    }
    let is_pending = record.pending.as_ref().is_some_and(|pending| pending.slot == slot && pending.run == run);
    let is_decided = record.decided_until().is_some_and(|decided| slot <= decided);
    if is_decided && !is_pending { SlotClaim::NotClaimed } else { SlotClaim::Undecided }
}
