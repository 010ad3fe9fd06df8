//! `spec.concurrencyPolicy`: whether a run is triggered while another execution of its pipeline runs (docs/protocol.md, section 4).
//!
//! It is decided after the lock was read and before a turn is asked for, so that a run that waits holds neither. W1 goes over the lock as it
//! was read, so no other run of the operator has been triggered since.

use std::collections::BTreeSet;

use crate::run::{
    ids::ExecutionId,
    trigger::facts::TriggerFacts,
    trigger::run_view::ExecutionState,
    trigger::step::{Hold, LockRead, Step},
    trigger::stored::{LedgerEntry, LedgerOutcome},
    trigger::takeover::own_entry,
    trigger::verdict::resumable,
};
use nuvo_crds::ConcurrencyPolicy;

/// How many executions are read by their ids in one pass. A run that waits is told about the others.
const READS: usize = 4;

/// What keeps the run from its turn, or has to be known first. `previous` is what the holder that gives way leaves in the ledger.
pub(super) fn beside_others(o: &TriggerFacts, read: &LockRead, previous: Option<&LedgerEntry>) -> Option<Step> {
    let run = o.run();
    // One that goes on under its lock was let through before.
    if run.concurrency == ConcurrencyPolicy::Allow || resumable(run, &read.lock) {
        return None;
    }
    let delivered = last_delivery(o, read, previous);
    let Some(running) = &o.running else { return Some(Step::ReadRunning(delivered)) };
    let is_over = |id: &ExecutionId| running.ended.contains(id) || o.read_by_id.get(id) == Some(&ExecutionState::Over);
    let open: BTreeSet<&ExecutionId> = running.listed.iter().chain(&delivered).filter(|id| !is_over(id)).collect();
    // A retry that is skipped would hide that the attempt before it has failed.
    let skips = run.concurrency == ConcurrencyPolicy::Skip && o.deadline.is_none();
    if skips && let Some(id) = open.iter().find(|id| o.read_by_id.get(**id) == Some(&ExecutionState::Processing)) {
        return Some(Step::Hold(Hold::Skipped((*id).clone())));
    }
    // What the list shows is enough to wait, but not to end. What it does not show it may show later.
    let is_worth_reading = |id: &&&ExecutionId| !o.read_by_id.contains_key(**id) && (skips || !running.listed.contains(**id));
    if o.read_by_id.len() < READS
        && let Some(id) = open.iter().find(is_worth_reading)
    {
        return Some(Step::ReadExecution((*id).clone()));
    }
    (!skips && !open.is_empty()).then(|| Step::Hold(Hold::PipelineRunning(open.into_iter().cloned().collect())))
}

/// What the newest delivery has started that has started something, as far as the lock knows.
fn last_delivery(o: &TriggerFacts, read: &LockRead, previous: Option<&LedgerEntry>) -> Vec<ExecutionId> {
    let own = read.lock.held_by(&o.cached.id.uid).and_then(|held| own_entry(held, o.run(), true));
    let newest_first = previous.into_iter().chain(own.as_ref()).chain(read.lock.ledger.iter().rev());
    let started = newest_first.filter_map(|entry| match &entry.entry {
        LedgerOutcome::Started(ids) if !ids.is_empty() => Some(ids.clone()),
        LedgerOutcome::Unknown | LedgerOutcome::Later(_) => Some(Vec::new()),
        LedgerOutcome::Started(_) | LedgerOutcome::Nothing => None,
    });
    started.into_iter().next().unwrap_or_default()
}
