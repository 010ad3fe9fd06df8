//! The gate of a run that a schedule made: it is triggered only if its schedule has claimed the slot for it.
//!
//! The claim is written after the run was created, and before it may trigger. So a run that is created late, made again from a backup, or
//! copied from a manifest starts nothing (`crate::schedule`).

use crate::run::{
    trigger::deadlines::ends_unless_known,
    trigger::facts::TriggerFacts,
    trigger::run_view::{MadeBy, Run, SlotClaim},
    trigger::step::{Hold, Step},
};

/// What the first attempt of such a run needs before W1; none if it may go on.
pub(super) fn gate(o: &TriggerFacts) -> Option<Step> {
    if !is_first(o.run()) {
        return None;
    }
    match (&o.run().made_by, o.claim) {
        (MadeBy::Other, _) | (MadeBy::Schedule(_), Some(SlotClaim::Claimed)) => None,
        (MadeBy::Schedule(scheduled), None) => Some(Step::ReadClaim(scheduled.clone())),
        (MadeBy::Schedule(_), Some(SlotClaim::Undecided)) => Some(Step::Hold(Hold::SlotUndecided)),
        (MadeBy::Schedule(_), Some(SlotClaim::NotClaimed)) | (MadeBy::Unreadable, _) => Some(not_claimed(o)),
    }
}

/// Nothing says that the run was triggered. A person asks for another attempt, and a retry follows one that was let through.
fn is_first(run: &Run) -> bool {
    run.attempt == 1 && run.trigger.is_none() && run.own_marker().is_none() && run.unread_marker.is_none()
}

/// The run ends, unless the lock knows of a delivery that the run does not: that one is looked into.
fn not_claimed(o: &TriggerFacts) -> Step {
    let Some(read) = &o.lock else { return Step::ReadLock };
    ends_unless_known(o, o.run(), read, Hold::SlotNotClaimed)
}
