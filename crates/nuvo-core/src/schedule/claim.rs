//! The gate: whether a run that a schedule made may trigger. It closes what no order of writes can: a run that is created late, copied from
//! a manifest, or restored from a backup.

use jiff::Timestamp;

use super::object::Schedule;

/// What the schedule of a run says about its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotClaim {
    /// The slot is claimed for this very run. A claim is never changed, so this stays true.
    Claimed,
    /// That is not decided yet.
    Undecided,
    /// The slot was decided, and not for this run; or its schedule is gone.
    NotClaimed,
}

/// What the schedule, as a quorum read returned it, says about the slot of a run; none if there is no such schedule.
///
/// The absence of a claim is no permission.
#[must_use]
pub fn slot_claim(schedule: Option<&Schedule>, controller: &str, slot: Timestamp, run: &str, uid: &str) -> SlotClaim {
    let Some(schedule) = schedule.filter(|schedule| schedule.uid == controller && !schedule.deleting) else {
        return SlotClaim::NotClaimed;
    };
    let record = &schedule.record;
    if let Some(claim) = record.claims.iter().find(|claim| claim.slot == slot) {
        return if claim.run == run && claim.uid == uid { SlotClaim::Claimed } else { SlotClaim::NotClaimed };
    }
    let is_pending = record.pending.as_ref().is_some_and(|pending| pending.slot == slot && pending.run == run);
    let is_decided = record.decided_until().is_some_and(|decided| slot <= decided);
    if is_decided && !is_pending { SlotClaim::NotClaimed } else { SlotClaim::Undecided }
}
