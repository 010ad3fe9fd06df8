//! Who may take a lock, and what its former holder leaves in the ledger (docs/protocol.md, section 3).

use crate::run::{
    trigger::run_view::{Holder, Run},
    trigger::stored::{Evidence, LedgerEntry, LedgerOutcome, LockHolder, Trigger, TriggerResult},
    trigger::verdict::{decided, settled, speaks_for, wants_attempt},
};

/// Whether a run may take a lock that another one holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Takeover {
    /// At once, leaving this entry.
    Now(LedgerEntry),
    /// After the quarantine, leaving this entry.
    AfterQuarantine(LedgerEntry),
    /// Not while the holder is as it is.
    No,
}

/// Judges a lock holder by a quorum read of its holder.
#[must_use]
pub fn takeover(lock_holder: &LockHolder, holder: &Holder) -> Takeover {
    match holder {
        Holder::Gone | Holder::Unreadable => unknown(lock_holder),
        Holder::Present(run) => match &run.trigger {
            Some(trigger) if decided(run) => ledger_entry_of_result(lock_holder, run, trigger),
            // It ended though its record is incomplete: nothing goes on under this lock unless a person says so. One that is being deleted
            // starts nothing either, and a finalizer may keep it without end.
            _ if settled(run) || run.deleting => unknown(lock_holder),
            _ => Takeover::No,
        },
    }
}

fn unknown(lock_holder: &LockHolder) -> Takeover {
    Takeover::AfterQuarantine(lock_holder.delivery(&lock_holder.nonce, LedgerOutcome::Unknown))
}

/// What the holder's result says about the delivery that the lock names.
fn ledger_entry_of_result(lock_holder: &LockHolder, run: &Run, trigger: &Trigger) -> Takeover {
    if !speaks_for(run, trigger, lock_holder) {
        // The holder is done with its attempt, so the delivery that the lock names lost against the one in the status, or its record
        // was wiped or rolled back. Its effects, if it has any, show within the quarantine.
        return if wants_attempt(run) && !run.deleting { Takeover::No } else { unknown(lock_holder) };
    }
    let delivery = |entry| lock_holder.delivery(&trigger.nonce, entry);
    match trigger.result {
        TriggerResult::Accepted(Evidence::Answer) => Takeover::Now(delivery(LedgerOutcome::Started(run.executions.clone()))),
        TriggerResult::NotExecuted => Takeover::Now(delivery(LedgerOutcome::Nothing)),
        TriggerResult::Accepted(Evidence::Adopted) => Takeover::AfterQuarantine(delivery(LedgerOutcome::Started(run.executions.clone()))),
        TriggerResult::Ambiguous { .. } => Takeover::AfterQuarantine(delivery(LedgerOutcome::Unknown)),
        TriggerResult::Observed => Takeover::No,
    }
}

/// What the holder itself leaves in the ledger when it gives the lock back or starts another attempt under it.
///
/// None while the lock's delivery is not decided. An adopted or ambiguous one keeps the lock when it is only given back
/// (a batch may still grow); another run's [`takeover`] then waits for the quarantine.
#[must_use]
pub fn own_entry(lock_holder: &LockHolder, run: &Run, starting_another: bool) -> Option<LedgerEntry> {
    let judged = match &run.trigger {
        // Whoever starts another attempt has shown that the one before is over, also when a marker that was wiped cannot confirm it.
        Some(trigger) if starting_another => ledger_entry_of_result(lock_holder, run, trigger),
        _ => takeover(lock_holder, &Holder::Present(Box::new(run.clone()))),
    };
    match judged {
        Takeover::Now(delivery) => Some(delivery),
        Takeover::AfterQuarantine(delivery) if starting_another => Some(delivery),
        Takeover::AfterQuarantine(_) | Takeover::No => None,
    }
}
