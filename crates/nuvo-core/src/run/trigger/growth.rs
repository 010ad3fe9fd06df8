//! What nuvo's list shows of an adopted trigger after it was adopted (docs/protocol.md, section 6).

use std::time::Duration;

use crate::run::{
    trigger::doubt::{attributable, covers, may_grow},
    trigger::facts::{Look, Source, Task, TriggerFacts},
    trigger::step::{FollowUp, Step},
    trigger::stored::{Evidence, Trigger, TriggerResult},
};

/// Whether the executions of a trigger were found in the list, and not named by nuvo's answer.
pub(in crate::run) fn is_adopted(trigger: &Trigger) -> bool {
    trigger.result == TriggerResult::Accepted(Evidence::Adopted)
}

/// The next step towards the executions of an adopted trigger that the list did not show before; none if it shows no others now. The trigger
/// may still have effects for so long.
///
/// As for a run in doubt: list first, then the lock, which must be the one that preceded the trigger.
pub(in crate::run) fn grow(o: &TriggerFacts, open: Duration) -> Option<Step> {
    let run = o.run();
    let trigger = run.trigger.as_ref().filter(|trigger| is_adopted(trigger) && o.task != Task::Finished && !run.deleting)?;
    let marker = run.own_marker().filter(|marker| marker.nonce == trigger.nonce)?;
    let listed = match &o.candidates {
        Look::NotTaken => return Some(Step::ReadCandidates),
        Look::Inconclusive => return None,
        Look::Shown(listed) => listed,
    };
    let Some(read) = &o.lock else { return Some(Step::ReadLock) };
    let lock_holder = read.lock.held_by(&run.id.uid).filter(|lock_holder| lock_holder.acquisition == marker.acquisition)?;
    if !covers(listed, lock_holder) {
        return listed.of_account.then_some(Step::ReadCandidates);
    }
    let mut others = attributable(run, read, lock_holder, listed);
    others.retain(|id| !run.executions.contains(id));
    if others.is_empty() {
        return None;
    }
    if o.source != Source::Server || o.run.is_none() {
        return Some(Step::ReadRun);
    }
    match &o.claimed {
        Look::NotTaken => return Some(Step::ReadClaimed),
        Look::Inconclusive => return None,
        Look::Shown(claimed) => others.retain(|id| !claimed.contains(id)),
    }
    if others.is_empty() {
        return None;
    }
    let executions: Vec<_> = run.executions.iter().chain(&others).cloned().collect();
    // It was taken for one that starts a single execution.
    let was_known_to_grow = may_grow(&read.lock, &run.executions);
    let longer = o.limits.quarantine;
    let left = if was_known_to_grow { open } else { open.saturating_add(longer) };
    Some(Step::Record {
        trigger: trigger.clone(),
        executions,
        message: "The answer to the trigger has not come; its executions were found in nuvo's list, one after the other.".to_owned(),
        follow_up: FollowUp::OpenFor(left),
        over: run.version.clone(),
    })
}
