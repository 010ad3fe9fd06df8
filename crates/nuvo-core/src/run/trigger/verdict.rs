//! What a run looks like, from the run and its pipeline's lock alone (docs/protocol.md, section 2).

use crate::run::ids::Nonce;
use crate::run::trigger::run_view::Run;
use crate::run::trigger::stored::{Evidence, LedgerOutcome, Lock, LockHolder, Trigger, TriggerResult};

/// The state of a run's trigger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `status.trigger` says what became of the present attempt.
    Decided,
    /// Nothing was sent for the present attempt, and that is certain.
    New {
        /// The acquisition to go on with, when this run already holds the lock and the run was not written since.
        resume: Option<Nonce>,
    },
    /// A POST may have been made.
    InDoubt(Doubt),
    /// The ledger knows what became of this delivery.
    Recorded(Trigger, LedgerOutcome),
    /// The record of what was triggered belongs to an object that is gone, or is incomplete. Only a person can decide.
    Lost,
}

/// The delivery in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Doubt {
    /// Its nonce.
    pub nonce: Nonce,
    /// The acquisition under which the lock's baseline speaks for it.
    pub acquisition: Nonce,
    /// The attempt it belongs to.
    pub attempt: i32,
}

/// Whether the result in the status speaks for the newest delivery that the run itself knows of.
#[must_use]
pub fn decided(run: &Run) -> bool {
    let Some(trigger) = &run.trigger else { return false };
    match run.own_marker() {
        // A result after which no more is sent in its attempt speaks for all deliveries of it.
        Some(marker) => {
            let last = matches!(trigger.result, TriggerResult::Accepted(_) | TriggerResult::Ambiguous { .. });
            marker.nonce == trigger.nonce || (last && marker.attempt <= trigger.attempt)
        }
        // Without a marker an ambiguous trigger stays what it is until a person decides; one that "was not executed" proves nothing.
        None => {
            run.ancestor_marker().is_none()
                && matches!(trigger.result, TriggerResult::Accepted(_) | TriggerResult::Observed | TriggerResult::Ambiguous { .. })
        }
    }
}

/// Whether the run needs no look at its lock: the result is there and no other attempt is wanted, or it ended without one. Or it only follows an
/// execution.
#[must_use]
pub fn settled(run: &Run) -> bool {
    run.observes || if decided(run) { !wants_attempt(run) } else { run.ended && run.own_marker().is_none() }
}

/// Whether the run itself says that a POST may be out, and not what became of it.
#[must_use]
pub fn undecided(run: &Run) -> bool {
    !run.observes && run.own_marker().is_some() && !decided(run)
}

/// Whether the run stands in the queue of its pipeline: nothing but its turn keeps it from its trigger.
#[must_use]
pub fn awaits_trigger(run: &Run) -> bool {
    !run.suspended && !run.deleting && !run.ended && !settled(run)
}

pub(super) fn wants_attempt(run: &Run) -> bool {
    run.trigger.as_ref().is_some_and(|trigger| match trigger.result {
        TriggerResult::NotExecuted => !run.ended,
        TriggerResult::Accepted(_) | TriggerResult::Ambiguous { .. } => !run.ended && run.attempt > trigger.attempt,
        TriggerResult::Observed => false,
    })
}

/// Judges a run by a read of it and a read of its lock.
#[must_use]
pub fn verdict(run: &Run, lock: &Lock) -> Verdict {
    match known(run, lock) {
        // A later version may have announced a POST.
        Verdict::New { .. } if run.unread_marker.is_some_and(|attempt| run.attempt <= attempt) => Verdict::Lost,
        verdict => verdict,
    }
}

/// The same, as if a marker that cannot be read were none.
fn known(run: &Run, lock: &Lock) -> Verdict {
    if decided(run) {
        return match &run.trigger {
            Some(trigger) if wants_attempt(run) => next_attempt(run, trigger, lock),
            _ => Verdict::Decided,
        };
    }
    if let Some(marker) = run.own_marker() {
        let doubt = Doubt { nonce: marker.nonce.clone(), acquisition: marker.acquisition.clone(), attempt: marker.attempt };
        return match lock.of_delivery(&run.id.uid, &marker.nonce) {
            Some(known) => recorded(marker.nonce.clone(), marker.attempt, &known.entry, marker.executed),
            None => Verdict::InDoubt(doubt),
        };
    }
    let lost_attempt = match (run.ancestor_marker(), &run.trigger) {
        (Some(marker), trigger) => Some(trigger.as_ref().map_or(marker.attempt, |t| t.attempt.max(marker.attempt))),
        (None, Some(trigger)) => Some(trigger.attempt),
        (None, None) => None,
    };
    if lost_attempt.is_some_and(|attempt| run.attempt <= attempt) {
        return Verdict::Lost;
    }
    match &run.trigger {
        Some(trigger) => next_attempt(run, trigger, lock),
        None => fresh(run, lock),
    }
}

/// Whether the lock speaks of exactly this version of the run, so that the attempt can still go on under it.
///
/// Any write to the run, even one that only says why it waits, would end that certainty: it could then as well be the
/// marker that was wiped.
#[must_use]
pub fn resumable(run: &Run, lock: &Lock) -> bool {
    matches!(verdict(run, lock), Verdict::New { resume: Some(_) })
}

/// No word of the run itself about a delivery: only the lock can know of one.
fn fresh(run: &Run, lock: &Lock) -> Verdict {
    // A lock that it holds speaks of a newer delivery than the ledger.
    if let Some(lock_holder) = lock.held_by(&run.id.uid) {
        return resume_or_doubt(run, lock_holder);
    }
    match lock.last_of(&run.id.uid) {
        Some(known) => recorded(known.nonce.clone(), run.attempt, &known.entry, false),
        None => Verdict::New { resume: None },
    }
}

fn next_attempt(run: &Run, trigger: &Trigger, lock: &Lock) -> Verdict {
    match lock.held_by(&run.id.uid) {
        Some(lock_holder) if speaks_for(run, trigger, lock_holder) => Verdict::New { resume: None },
        Some(lock_holder) => resume_or_doubt(run, lock_holder),
        // Whoever ended our acquisition left an entry for its nonce. A newer one than the status knows means that the status went back.
        None => match lock.last_of(&run.id.uid) {
            Some(known) if known.nonce != trigger.nonce => recorded(known.nonce.clone(), run.attempt, &known.entry, false),
            _ => Verdict::New { resume: None },
        },
    }
}

fn resume_or_doubt(run: &Run, lock_holder: &LockHolder) -> Verdict {
    if lock_holder.run_version == run.version {
        Verdict::New { resume: Some(lock_holder.acquisition.clone()) }
    } else {
        Verdict::InDoubt(Doubt { nonce: lock_holder.nonce.clone(), acquisition: lock_holder.acquisition.clone(), attempt: run.attempt })
    }
}

fn recorded(nonce: Nonce, attempt: i32, entry: &LedgerOutcome, executed: bool) -> Verdict {
    let result = match entry {
        LedgerOutcome::Started(_) => TriggerResult::Accepted(Evidence::Answer),
        LedgerOutcome::Nothing => TriggerResult::NotExecuted,
        LedgerOutcome::Unknown | LedgerOutcome::Later(_) => TriggerResult::Ambiguous { executed },
    };
    Verdict::Recorded(Trigger { nonce, attempt, result }, entry.clone())
}

/// Whether the decided result tells all about the delivery that the lock names.
///
/// Another process that read the run before its marker was written may have put a nonce of its own over the lock (a reacquisition). All markers
/// of one acquisition were to go on the same version of the run, so the one that is there shows that no other ever was.
pub(super) fn speaks_for(run: &Run, trigger: &Trigger, lock_holder: &LockHolder) -> bool {
    let same_acquisition =
        || run.own_marker().is_some_and(|marker| marker.nonce == trigger.nonce && marker.acquisition == lock_holder.acquisition);
    lock_holder.nonce == trigger.nonce || same_acquisition()
}
