//! What a run looks like, from the run and its pipeline's lock alone (docs/protocol.md, section 2), and who may take a lock
//! (docs/protocol.md, section 3).

use super::ids::Nonce;
use super::record::{Entry, Evidence, Fate, LedgerEntry, Lock, Tenancy, Trigger};
use super::view::{Holder, Run};

/// The state of a run's trigger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `status.trigger` says what became of the present attempt.
    Decided,
    /// Nothing was sent for the present attempt, and that is certain.
    New {
        /// The tenure to go on with, when this run already holds the lock and nobody has touched the run since.
        resume: Option<Nonce>,
    },
    /// A POST may have been made.
    InDoubt(Doubt),
    /// The ledger knows what became of this delivery.
    Recorded(Trigger, Entry),
    /// The record of what was triggered belongs to an object that is gone, or is incomplete. Only a person can decide.
    Lost,
}

/// The delivery in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Doubt {
    /// Its nonce.
    pub nonce: Nonce,
    /// The tenure under which the lock's baseline speaks for it.
    pub tenure: Nonce,
    /// The attempt it belongs to.
    pub attempt: i32,
}

/// Whether the result in the status speaks for the newest delivery that the run itself knows of.
#[must_use]
pub fn decided(run: &Run) -> bool {
    let Some(trigger) = &run.trigger else { return false };
    match run.own_marker() {
        // A result after which nothing more is sent in its attempt speaks for every delivery of it.
        Some(marker) => {
            let last = matches!(trigger.fate, Fate::Accepted(_) | Fate::Ambiguous { .. });
            marker.nonce == trigger.nonce || (last && marker.attempt <= trigger.attempt)
        }
        // Without a marker an ambiguous trigger stays what it is until a person decides; one that "was not executed" proves nothing.
        None => run.ancestor_marker().is_none() && matches!(trigger.fate, Fate::Accepted(_) | Fate::Observed | Fate::Ambiguous { .. }),
    }
}

/// Whether the run needs no look at its lock: the result is there and no other attempt is wanted, or it ended without one.
#[must_use]
pub fn settled(run: &Run) -> bool {
    if decided(run) { !wants_attempt(run) } else { run.ended && run.own_marker().is_none() }
}

/// Whether the run stands in the queue of its pipeline: nothing but its turn keeps it from its trigger.
#[must_use]
pub fn awaits_trigger(run: &Run) -> bool {
    !run.suspended && !run.deleting && !run.ended && !settled(run)
}

fn wants_attempt(run: &Run) -> bool {
    run.trigger.as_ref().is_some_and(|trigger| match trigger.fate {
        Fate::NotExecuted => !run.ended,
        Fate::Accepted(_) | Fate::Ambiguous { .. } => !run.ended && run.attempt > trigger.attempt,
        Fate::Observed => false,
    })
}

/// Judges a run by a read of it and a read of its lock.
#[must_use]
pub fn verdict(run: &Run, lock: &Lock) -> Verdict {
    if decided(run) {
        return match &run.trigger {
            Some(trigger) if wants_attempt(run) => next_attempt(run, trigger, lock),
            _ => Verdict::Decided,
        };
    }
    if let Some(marker) = run.own_marker() {
        let doubt = Doubt { nonce: marker.nonce.clone(), tenure: marker.tenure.clone(), attempt: marker.attempt };
        return match lock.of_delivery(&run.me.uid, &marker.nonce) {
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
/// Any write to the run, even one that only says why it waits, would turn that certainty into a doubt: it could then as well be the
/// marker that was wiped.
#[must_use]
pub fn resumable(run: &Run, lock: &Lock) -> bool {
    matches!(verdict(run, lock), Verdict::New { resume: Some(_) })
}

/// No word of the run itself about a delivery: only the lock can know of one.
fn fresh(run: &Run, lock: &Lock) -> Verdict {
    // A lock that it holds speaks of a newer delivery than the ledger.
    if let Some(tenancy) = lock.held_by(&run.me.uid) {
        return resume_or_doubt(run, tenancy);
    }
    match lock.last_of(&run.me.uid) {
        Some(known) => recorded(known.nonce.clone(), run.attempt, &known.entry, false),
        None => Verdict::New { resume: None },
    }
}

fn next_attempt(run: &Run, trigger: &Trigger, lock: &Lock) -> Verdict {
    match lock.held_by(&run.me.uid) {
        Some(tenancy) if speaks_for(run, trigger, tenancy) => Verdict::New { resume: None },
        Some(tenancy) => resume_or_doubt(run, tenancy),
        // Whoever ended our tenure left an entry for its nonce. A newer one than the status knows means that the status went back.
        None => match lock.last_of(&run.me.uid) {
            Some(known) if known.nonce != trigger.nonce => recorded(known.nonce.clone(), run.attempt, &known.entry, false),
            _ => Verdict::New { resume: None },
        },
    }
}

fn resume_or_doubt(run: &Run, tenancy: &Tenancy) -> Verdict {
    if tenancy.run_version == run.version {
        Verdict::New { resume: Some(tenancy.tenure.clone()) }
    } else {
        Verdict::InDoubt(Doubt { nonce: tenancy.nonce.clone(), tenure: tenancy.tenure.clone(), attempt: run.attempt })
    }
}

fn recorded(nonce: Nonce, attempt: i32, entry: &Entry, executed: bool) -> Verdict {
    let fate = match entry {
        Entry::Started(_) => Fate::Accepted(Evidence::Answer),
        Entry::Nothing => Fate::NotExecuted,
        Entry::Unknown => Fate::Ambiguous { executed },
    };
    Verdict::Recorded(Trigger { nonce, attempt, fate }, entry.clone())
}

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

/// Judges a tenancy by a quorum read of its holder.
#[must_use]
pub fn takeover(tenancy: &Tenancy, holder: &Holder) -> Takeover {
    match holder {
        Holder::Gone => unknown(tenancy),
        Holder::Present(run) => match &run.trigger {
            Some(trigger) if decided(run) => testimony(tenancy, run, trigger),
            // It ended though its record is incomplete: nobody goes on under this lock unless a person says so.
            _ if settled(run) => unknown(tenancy),
            _ => Takeover::No,
        },
    }
}

fn unknown(tenancy: &Tenancy) -> Takeover {
    Takeover::AfterQuarantine(tenancy.delivery(&tenancy.nonce, Entry::Unknown))
}

/// What the holder's result says about the delivery that the lock names.
fn testimony(tenancy: &Tenancy, run: &Run, trigger: &Trigger) -> Takeover {
    if !speaks_for(run, trigger, tenancy) {
        // The holder is done with its attempt, so the delivery that the lock names lost against the one in the status, or its record
        // was wiped or rolled back. Its effects, if it has any, show within the quarantine.
        return if wants_attempt(run) { Takeover::No } else { unknown(tenancy) };
    }
    let delivery = |entry| tenancy.delivery(&trigger.nonce, entry);
    match trigger.fate {
        Fate::Accepted(Evidence::Answer) => Takeover::Now(delivery(Entry::Started(run.executions.clone()))),
        Fate::NotExecuted => Takeover::Now(delivery(Entry::Nothing)),
        Fate::Accepted(Evidence::Adopted) => Takeover::AfterQuarantine(delivery(Entry::Started(run.executions.clone()))),
        Fate::Ambiguous { .. } if run.abandoned.as_ref() == Some(&trigger.nonce) => Takeover::Now(delivery(Entry::Unknown)),
        Fate::Ambiguous { .. } => Takeover::AfterQuarantine(delivery(Entry::Unknown)),
        Fate::Observed => Takeover::No,
    }
}

/// Whether the decided result tells all about the delivery that the lock names.
///
/// Another process that read the run before its marker was written may have put a nonce of its own over the lock (a bump). All markers
/// of one tenure were to go on the same version of the run, so the one that is there shows that no other ever was.
fn speaks_for(run: &Run, trigger: &Trigger, tenancy: &Tenancy) -> bool {
    let same_tenure = || run.own_marker().is_some_and(|marker| marker.nonce == trigger.nonce && marker.tenure == tenancy.tenure);
    tenancy.nonce == trigger.nonce || same_tenure()
}

/// What the holder itself leaves in the ledger when it gives the lock back or starts another attempt under it.
///
/// None while the lock's delivery is not decided. An adopted or ambiguous one keeps the lock when it is only given back
/// (a batch may still grow); another run's [`takeover`] then waits for the quarantine.
#[must_use]
pub fn own_entry(tenancy: &Tenancy, run: &Run, starting_another: bool) -> Option<LedgerEntry> {
    let judged = match &run.trigger {
        // Whoever starts another attempt has shown that the one before is over, also when a marker that was wiped cannot confirm it.
        Some(trigger) if starting_another => testimony(tenancy, run, trigger),
        _ => takeover(tenancy, &Holder::Present(Box::new(run.clone()))),
    };
    match judged {
        Takeover::Now(delivery) => Some(delivery),
        Takeover::AfterQuarantine(delivery) if starting_another => Some(delivery),
        Takeover::AfterQuarantine(_) | Takeover::No => None,
    }
}
