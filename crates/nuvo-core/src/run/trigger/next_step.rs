//! `next_step(observed) -> step`: the trigger protocol, one step at a time (docs/protocol.md, section 4).
//!
//! The shell carries a step out and hands the answer to [`TriggerFacts::learn`]. One call of [`next_step`] yields at most one irreversible act,
//! so every place where a process can die lies between two calls.

use std::time::Duration;

use crate::run::{
    ids::{ExecutionId, Nonce},
    trigger::concurrency::beside_others,
    trigger::deadlines::{end_without_trigger, ends, ends_unless_known, is_overdue, overdue},
    trigger::doubt::{inquire, inquiry_after, new_or_else},
    trigger::facts::{Grant, Look, Memory, Source, Task, TriggerFacts},
    trigger::post_outcome::{Obstacle, PostOutcome, Unexecuted},
    trigger::run_view::Run,
    trigger::slot::gate,
    trigger::step::{FollowUp, Gate, Hold, LockRead, Step},
    trigger::stored::{Evidence, LedgerEntry, LedgerOutcome, Lock, LockHolder, Trigger, TriggerResult},
    trigger::takeover::{Takeover, own_entry, takeover},
    trigger::verdict::{Verdict, decided, settled, undecided, verdict},
};

/// Decides what to do next.
#[must_use]
pub fn next_step(o: &TriggerFacts) -> Step {
    match &o.task {
        Task::Idle if o.memory.inquiry.is_some() || undecided(&o.cached) => inquire(o),
        Task::Idle => start(o),
        Task::Locking(grant) => match &o.lock {
            None => Step::ReadLock,
            Some(read) if read.lock.holder.as_ref().is_some_and(|t| t.nonce == grant.nonce) => mark(o, grant),
            Some(_) => Step::Restart,
        },
        Task::Locked(grant) => mark(o, grant),
        Task::Marking(grant) => after_unsure_mark(o, grant),
        Task::Marked(grant) => post(o, grant),
        Task::Unmarked(grant) => give_back(o, grant),
        Task::Posted(grant, outcome) => record_outcome(o, grant, outcome),
        Task::Finished if o.gone => Step::Forget,
        Task::Finished => Step::Follow,
    }
}

/// What the run may do (docs/protocol.md, section 2), and the steps up to W1 (docs/protocol.md, section 4, steps 1 to 4).
fn start(o: &TriggerFacts) -> Step {
    if settled(&o.cached) {
        return Step::Follow;
    }
    if o.cached.deleting {
        return Step::Forget;
    }
    if is_overdue(o) {
        return overdue(o);
    }
    if let Some(end) = end_without_trigger(o) {
        return ends(o, end);
    }
    if let Some(hold) = held_back(o, o.run()) {
        return give_way(o, hold);
    }
    if let Some(step) = gate(o) {
        return step;
    }
    let Some(read) = &o.lock else { return Step::ReadLock };
    let previous = match clearance(o, read) {
        Ok(delivery) => delivery,
        Err(step) => return *step,
    };
    if read.version.is_none() && o.undecided.is_none() {
        return Step::ReadUndecided;
    }
    if let Some(step) = beside_others(o, read, previous.as_ref()) {
        return step;
    }
    let baseline = match &o.baseline {
        Look::NotTaken => return Step::ReadBaseline,
        Look::Inconclusive => None,
        Look::Shown(baseline) => Some(baseline.clone()),
    };
    let Some(run) = o.run.as_ref().filter(|_| o.source == Source::Server) else { return Step::ReadRun };
    if let Some(hold) = held_back(o, run) {
        return Step::Hold(hold);
    }
    new_or_else(o, run, &read.lock, |resume| {
        let held = read.lock.held_by(&run.id.uid);
        let later = held.filter(|_| resume.is_some()).map(|held| held.later.clone()).unwrap_or_default();
        let (acquisition, baseline, ledger_may_be_lost, ledger) = match (resume, held) {
            (Some(acquisition), Some(held)) => (acquisition, held.baseline.clone(), held.ledger_may_be_lost, read.lock.ledger.clone()),
            (_, Some(held)) => match own_entry(held, run, true) {
                Some(delivery) => (o.spare.clone(), baseline.clone(), false, read.lock.released(delivery).ledger),
                None => return Step::Restart,
            },
            (_, None) => {
                let ledger = previous.map_or_else(|| read.lock.ledger.clone(), |delivery| read.lock.released(delivery).ledger);
                // The promises need no such care, so a cache may tell: where locks are not deleted, there is one before any run is
                // undecided. It keeps a run from adopting what belongs to those whose ledger went with their lock; not, if they are
                // decided meanwhile.
                let ledger_may_be_lost = if read.version.is_none() { o.undecided.unwrap_or(true) } else { read.lock.ledger_may_be_lost };
                (o.spare.clone(), baseline.clone(), ledger_may_be_lost, ledger)
            }
        };
        let lock_holder = LockHolder {
            run: run.id.clone(),
            nonce: o.spare.clone(),
            acquisition,
            run_version: run.version.clone(),
            baseline,
            ledger_may_be_lost,
            later,
        };
        let lock = Lock { holder: Some(lock_holder), ledger, ledger_may_be_lost: false, ..read.lock.clone() };
        Step::TakeLock { lock: Box::new(lock), over: read.version.clone() }
    })
}

fn held_back(o: &TriggerFacts, run: &Run) -> Option<Hold> {
    if run.suspended {
        return Some(Hold::Suspended);
    }
    match &o.gate {
        Gate::Open => None,
        gate => Some(Hold::Gate(gate.clone())),
    }
}

/// A run that is held back waits. If another one waits for a lock that it still holds, it settles its trigger first.
fn give_way(o: &TriggerFacts, hold: Hold) -> Step {
    if !o.is_awaited || o.gate == Gate::Draining {
        return Step::Hold(hold);
    }
    match &o.lock {
        None => Step::ReadLock,
        Some(read) if o.holds_lock() => ends_unless_known(o, o.run(), read, hold),
        Some(_) => Step::Hold(hold),
    }
}

/// Whether another holder gives way, and what its delivery leaves in the ledger (docs/protocol.md, section 3).
fn clearance(o: &TriggerFacts, read: &LockRead) -> Result<Option<LedgerEntry>, Box<Step>> {
    let Some(lock_holder) = read.lock.holder.as_ref().filter(|lock_holder| lock_holder.run.uid != o.cached.id.uid) else { return Ok(None) };
    let Some(holder) = &o.holder else { return Err(Box::new(Step::ReadHolder(Box::new(lock_holder.clone())))) };
    let busy = |left| Err(Box::new(Step::Hold(Hold::PipelineBusy(Box::new(lock_holder.clone()), left))));
    match takeover(lock_holder, holder) {
        Takeover::Now(delivery) => Ok(Some(delivery)),
        Takeover::No => busy(None),
        Takeover::AfterQuarantine(delivery) => {
            let seen_for = match &o.memory.quarantine {
                Some((nonce, since)) if nonce == &lock_holder.nonce => o.now.saturating_sub(*since),
                _ => Duration::ZERO,
            };
            // The last W1 of the holder is at least so old, and from then on its POST had fence and deadline.
            let post_over_for = read.certain_age(&o.limits).saturating_sub(o.limits.fence).saturating_sub(o.limits.post_deadline);
            let waited = seen_for.max(post_over_for);
            if waited >= o.limits.quarantine { Ok(Some(delivery)) } else { busy(Some(o.limits.quarantine.saturating_sub(waited))) }
        }
    }
}

/// What the process shall remember after a pass that ended with this step.
#[must_use]
pub fn remember(o: &TriggerFacts, last: &Step) -> Memory {
    let mut memory = o.memory.clone();
    match last {
        Step::Hold(Hold::PipelineBusy(lock_holder, _)) => {
            let quarantined = o.holder.as_ref().is_some_and(|holder| matches!(takeover(lock_holder, holder), Takeover::AfterQuarantine(_)));
            let known = memory.quarantine.as_ref().is_some_and(|(nonce, _)| nonce == &lock_holder.nonce);
            if !quarantined {
                memory.quarantine = None;
            } else if !known {
                memory.quarantine = Some((lock_holder.nonce.clone(), o.now));
            }
        }
        // Also if it waits for the look.
        Step::Hold(Hold::Unconfirmed(_)) | Step::ReadCandidates => memory.inquiry = Some(inquiry_after(o)),
        // A doubt that is over is forgotten, or the next pass would go on looking into it instead of beginning with what is stored.
        Step::Restart => memory.inquiry = None,
        Step::Follow
        | Step::Forget
        | Step::Hold(Hold::Lost | Hold::Overdue | Hold::TooLate | Hold::SlotNotClaimed | Hold::Mirror | Hold::Skipped(_)) => {
            memory = Memory::default()
        }
        _ if decided(o.run()) => memory.inquiry = None,
        // A pass that was broken off after its POST: nothing else knows what nuvo has said.
        _ if matches!(o.task, Task::Posted(..)) => memory.inquiry = Some(inquiry_after(o)),
        _ => {}
    }
    memory
}

fn mark(o: &TriggerFacts, grant: &Grant) -> Step {
    Step::Mark { marker: grant.marker(o.run()), over: grant.run_version.clone() }
}

/// docs/protocol.md, section 4, step 5.
fn after_unsure_mark(o: &TriggerFacts, grant: &Grant) -> Step {
    let Some(run) = &o.run else { return Step::ReadRun };
    if run.own_marker().is_some_and(|m| m.nonce == grant.nonce) {
        return if decided(run) { Step::Follow } else { post(o, grant) };
    }
    if settled(run) || run.attempt != grant.attempt {
        // The run was written since, so that W2 can no longer come.
        return give_back(o, grant);
    }
    // This task has not sent anything, but if it stopped here, no other task could know that. So it goes on until it may send, or may say that it
    // did not.
    match &o.lock {
        Some(LockRead { version: Some(version), lock, .. }) if !grant.reacquired => {
            let Some(lock_holder) = lock.holder.as_ref().filter(|t| t.nonce == grant.nonce) else { return Step::Restart };
            // The marker was not written, and never will be: the run has another version now.
            if run.deleting || run.is_mirror || !fence_open(o, grant) || !matches!(verdict(run, &lock.given_back()), Verdict::New { .. }) {
                return give_back(o, grant);
            }
            let lock_holder = LockHolder {
                nonce: o.spare.clone(),
                acquisition: o.spare.clone(),
                run_version: run.version.clone(),
                ..lock_holder.clone()
            };
            Step::TakeLock { lock: Box::new(Lock { holder: Some(lock_holder), ..lock.clone() }), over: Some(version.clone()) }
        }
        _ => Step::Restart,
    }
}

/// Nothing was sent under this permission, and nothing will be: others of the pipeline need not wait for this run, and its status can say why
/// it waits, which would change the version that a held lock speaks of.
///
/// No entry stays in the ledger. Whether nothing was sent is not known of an acquisition that began with another task: that one is kept.
fn give_back(o: &TriggerFacts, grant: &Grant) -> Step {
    let Some(read) = &o.lock else { return Step::ReadLock };
    let mine = read.lock.holder.as_ref().filter(|lock_holder| lock_holder.nonce == grant.nonce && !grant.reacquired);
    match (&read.version, mine) {
        (Some(version), Some(_)) => Step::Release { lock: Box::new(read.lock.given_back()), over: version.clone() },
        _ if o.gone => Step::Forget,
        _ => Step::Restart,
    }
}

fn fence_open(o: &TriggerFacts, grant: &Grant) -> bool {
    o.now.saturating_sub(grant.since) < o.limits.fence
}

/// docs/protocol.md, section 4, steps 6 and 7.
fn post(o: &TriggerFacts, grant: &Grant) -> Step {
    let is_in_time = [o.start_deadline, o.deadline].into_iter().flatten().all(|left| !left.is_zero());
    if fence_open(o, grant) && is_in_time && held_back(o, o.run()).is_none() && !o.run().is_mirror {
        return Step::Post(grant.nonce.clone());
    }
    let Some(run) = &o.run else { return Step::ReadRun };
    Step::Record {
        trigger: Trigger { nonce: grant.nonce.clone(), attempt: grant.attempt, result: TriggerResult::NotExecuted },
        executions: Vec::new(),
        message: "The trigger was not sent: its record took too long, its deadline passed, the operator is stopping, or the run was \
                  held back."
            .to_owned(),
        follow_up: FollowUp::Unexecuted(Unexecuted::RetryAfter(Duration::from_secs(1), Obstacle::Operator)),
        over: run.version.clone(),
    }
}

/// docs/protocol.md, section 4, step 8, and docs/protocol.md, section 5.
fn record_outcome(o: &TriggerFacts, grant: &Grant, outcome: &PostOutcome) -> Step {
    let (result, executions, message, follow_up) = match outcome {
        PostOutcome::Accepted(ids) => (TriggerResult::Accepted(Evidence::Answer), ids.clone(), String::new(), FollowUp::Nothing),
        PostOutcome::NotExecuted { then, message } => {
            (TriggerResult::NotExecuted, Vec::new(), message.clone(), FollowUp::Unexecuted(*then))
        }
        PostOutcome::ExecutedIdsUnknown { .. } | PostOutcome::Unknown { .. } if o.gone => return Step::Forget,
        PostOutcome::ExecutedIdsUnknown { .. } => return record_executed(o, grant),
        // Nothing to write: the marker says that a POST may be out, and the list may still tell what it started.
        PostOutcome::Unknown { .. } => return inquire(o),
    };
    if o.gone {
        return release_gone(o, grant, &result, executions);
    }
    let Some(run) = &o.run else { return Step::ReadRun };
    let trigger = Trigger { nonce: grant.nonce.clone(), attempt: grant.attempt, result };
    if !run.trigger.as_ref().is_none_or(|present| yields(present, &trigger)) {
        return Step::Follow;
    }
    Step::Record { trigger, executions, message, follow_up, over: run.version.clone() }
}

/// Something was started, and the list may still tell what. That much is kept, because a guess that knows less would permit another POST.
fn record_executed(o: &TriggerFacts, grant: &Grant) -> Step {
    let Some(run) = &o.run else { return Step::ReadRun };
    let guess = run.trigger.as_ref().filter(|t| t.nonce == grant.nonce && t.result == TriggerResult::Ambiguous { executed: false });
    let newest = run.own_marker().is_some_and(|marker| marker.nonce == grant.nonce);
    match guess {
        Some(guess) if newest => Step::Record {
            trigger: Trigger { result: TriggerResult::Ambiguous { executed: true }, ..guess.clone() },
            executions: Vec::new(),
            message: "nuvo answered that the trigger started something, but not what.".to_owned(),
            follow_up: FollowUp::Nothing,
            over: run.version.clone(),
        },
        _ => inquire(o),
    }
}

/// Whether what the task knows replaces what the status says: an older result, or what was guessed or found of the same delivery.
fn yields(present: &Trigger, known: &Trigger) -> bool {
    if present.nonce == known.nonce {
        matches!(present.result, TriggerResult::Ambiguous { .. } | TriggerResult::Accepted(Evidence::Adopted))
    } else {
        present.attempt < known.attempt || (present.attempt == known.attempt && !matches!(present.result, TriggerResult::Accepted(_)))
    }
}

fn release_gone(o: &TriggerFacts, grant: &Grant, result: &TriggerResult, executions: Vec<ExecutionId>) -> Step {
    let Some(read) = &o.lock else { return Step::ReadLock };
    let entry = if *result == TriggerResult::NotExecuted { LedgerOutcome::Nothing } else { LedgerOutcome::Started(executions) };
    match (&read.version, read.lock.holder.as_ref().filter(|lock_holder| lock_holder.acquisition == grant.acquisition)) {
        (Some(version), Some(lock_holder)) => {
            Step::Release { lock: Box::new(read.lock.released(lock_holder.delivery(&grant.nonce, entry))), over: version.clone() }
        }
        _ => Step::Forget,
    }
}

/// Gives back the lock of a run whose trigger is settled, or says that there is nothing to give back.
///
/// `acquisition` is the acquisition that this process knows of; a lock of another one is not touched.
#[must_use]
pub fn release(run: &Run, acquisition: &Nonce, read: &LockRead) -> Option<Step> {
    let lock_holder = read.lock.held_by(&run.id.uid).filter(|lock_holder| &lock_holder.acquisition == acquisition)?;
    let delivery = own_entry(lock_holder, run, false)?;
    Some(Step::Release { lock: Box::new(read.lock.released(delivery)), over: read.version.clone()? })
}
