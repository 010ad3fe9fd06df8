//! A run in doubt: what its trigger has led to, as far as that can be told (docs/protocol.md, section 6).

use std::time::Duration;

use crate::run::{
    ids::ExecutionId,
    trigger::facts::{Inquiry, Look, Source, Task, TriggerFacts},
    trigger::post_outcome::{Obstacle, PostOutcome, Unexecuted},
    trigger::run_view::{ListedCandidates, Run},
    trigger::step::{Gate, Hold, LockRead, Step},
    trigger::stored::{Evidence, LedgerOutcome, LockHolder, Marker, Trigger, TriggerResult},
    trigger::verdict::{Doubt, Verdict, decided, settled, verdict},
};

/// docs/protocol.md, section 6.
pub(in crate::run) fn inquire(o: &TriggerFacts) -> Step {
    let without_account = matches!(o.gate, Gate::AccountNotReady(_));
    let Some(run) = o.run.as_ref().filter(|_| o.source == Source::Server || without_account) else { return Step::ReadRun };
    if settled(run) {
        return Step::Follow;
    }
    if decided(run) && o.candidates == Look::NotTaken {
        // What the run itself says is in order, so only the lock can raise a doubt: it may name a delivery that was made later.
        let Some(read) = &o.lock else { return Step::ReadLock };
        if !matches!(verdict(run, &read.lock), Verdict::InDoubt(_)) {
            return Step::Restart;
        }
    }
    let inquiry = current_inquiry(o);
    if let Some(marker) =
        run.own_marker().filter(|m| inquiry.executed && m.nonce == inquiry.doubt.nonce && !m.executed && !o.marker_refused)
    {
        // Before anything else: what nuvo has answered must outlive this process, or its successor might trigger again.
        let told = Marker { run: run.id.clone(), executed: true, ..marker.clone() };
        return Step::Mark { marker: told, over: run.version.clone() };
    }
    let ripe = inquiry.since.saturating_add(o.limits.post_deadline).saturating_add(o.limits.fence);
    if o.now < ripe {
        // The age of its lock may show that the trigger is older than this process.
        let is_lock_known = !without_account || run.own_marker().is_some_and(|marker| marker.lock.is_some());
        let may_be_older = o.task == Task::Idle && o.memory.inquiry.is_none() && o.lock.is_none() && is_lock_known;
        return if may_be_older { Step::ReadLock } else { unconfirmed(ripe.saturating_sub(o.now)) };
    }
    // Until then nuvo may still show what the trigger started, so that the deadline cannot come before it.
    let settled_at = ripe.saturating_add(o.limits.settle);
    let is_overdue = o.now >= settled_at && o.deadline.is_some_and(|left| left.is_zero());
    // Others wait no longer than for one whose looks are complete, and a quarantine.
    let gives_way_at = settled_at.saturating_add(o.limits.quarantine);
    let gives_way = o.others_wait && o.now >= gives_way_at;
    let is_over = is_overdue || gives_way;
    let until = if is_overdue { "before the deadline of the run" } else { "in the time after which another run of the pipeline goes on" };
    if without_account {
        if is_over {
            return ambiguous(run, &inquiry.doubt, inquiry.executed, &format!("its account could not be used {until}"));
        }
        let left = settled_at.saturating_sub(o.now).max(o.deadline.unwrap_or(o.limits.confirm));
        let left_for_others = gives_way_at.saturating_sub(o.now);
        return unconfirmed(if left_for_others.is_zero() { left } else { left.min(left_for_others) });
    }
    // List first, then the lock: whoever took the lock in between has left a ledger entry. No promise rests on this order alone: the lock
    // is only taken from a run that is decided or gone, and then the compare-and-swap of the result, on the run as it was read before both,
    // fails. It saves the pass that would be in vain.
    if o.candidates == Look::NotTaken {
        return look(o);
    }
    let Some(read) = &o.lock else { return Step::ReadLock };
    let doubt = match verdict(run, &read.lock) {
        Verdict::InDoubt(doubt) => doubt,
        Verdict::Recorded(trigger, entry) => return record_known(run, trigger, &entry),
        Verdict::Lost => return Step::Hold(Hold::Lost),
        // Nothing that is stored speaks for the delivery any more, but this process remembers it: that must not look like a new run.
        Verdict::New { resume: None } if inquiry.doubt.attempt >= run.attempt => {
            let why = "its marker and the lock that preceded it are gone, so nothing in nuvo's list can be attributed to it";
            return ambiguous(run, &inquiry.doubt, inquiry.executed, why);
        }
        // The lock was taken anew for this very version of the run, or another attempt is wanted: the doubt is over.
        Verdict::Decided | Verdict::New { .. } => return Step::Restart,
    };
    let Some(lock_holder) = read.lock.held_by(&run.id.uid).filter(|lock_holder| lock_holder.acquisition == doubt.acquisition) else {
        return ambiguous(
            run,
            &doubt,
            inquiry.executed,
            "the lock that preceded the trigger is gone, so nothing in nuvo's list can be attributed to it",
        );
    };
    let Look::Shown(listed) = &o.candidates else {
        // A list that failed concludes nothing. A person may, but not before the POST has had all the time that a late effect is given
        // anywhere: what follows may be another POST.
        let patient = o.now >= ripe.saturating_add(o.limits.quarantine);
        if patient && run.answered.as_ref() == Some(&doubt.nonce) {
            return ambiguous(run, &doubt, inquiry.executed, "nuvo's executions cannot be listed, and a person has answered instead");
        }
        if is_over {
            return ambiguous(run, &doubt, inquiry.executed, &format!("nuvo's list could not be relied on {until}"));
        }
        return unconfirmed(o.limits.confirm);
    };
    if !covers(listed, lock_holder) {
        if listed.of_account {
            return look(o);
        }
        // This proves nothing about what was started, only that this list will never tell.
        return if o.look_began >= settled_at {
            let why = "nuvo's list does not reach back to the time before it without a gap, so nothing in it can be attributed to it";
            ambiguous(run, &doubt, inquiry.executed, why)
        } else {
            unconfirmed(o.limits.confirm)
        };
    }
    let mut found = attributable(run, read, lock_holder, listed);
    if !found.is_empty() {
        match inquiry.last.as_ref().filter(|(_, ids)| ids == &found).map(|(at, _)| at.saturating_add(o.limits.confirm)) {
            Some(confirmed) if o.now >= confirmed => {
                // Last of all, because this read costs the most. It only takes executions away, so it can wait until there are some.
                match &o.claimed {
                    Look::NotTaken => return Step::ReadClaimed,
                    Look::Shown(claimed) => found.retain(|id| !claimed.contains(id)),
                    Look::Inconclusive if o.look_began >= settled_at => {
                        let why = "the other runs of the pipeline cannot all be read, so nothing in nuvo's list can be attributed to it";
                        return ambiguous(run, &doubt, inquiry.executed, why);
                    }
                    Look::Inconclusive => return unconfirmed(o.limits.confirm),
                }
            }
            Some(confirmed) => return unconfirmed(confirmed.saturating_sub(o.now)),
            None if is_over && inquiry.last.is_some() => {
                let why = format!("nuvo's list has shown something else each time {until}");
                return ambiguous(run, &doubt, inquiry.executed, &why);
            }
            None => return unconfirmed(o.limits.confirm),
        }
    }
    if !found.is_empty() {
        return Step::Record {
            trigger: Trigger { nonce: doubt.nonce, attempt: doubt.attempt, result: TriggerResult::Accepted(Evidence::Adopted) },
            executions: found,
            message: "The answer to the trigger was lost; its executions were found in nuvo's list.".to_owned(),
            unexecuted: None,
            over: run.version.clone(),
        };
    }
    if o.look_began >= settled_at {
        return ambiguous(run, &doubt, inquiry.executed, "nuvo's list has shown no execution that can be attributed to it");
    }
    unconfirmed(o.limits.confirm)
}

fn look(o: &TriggerFacts) -> Step {
    // The next process looks again in any case.
    if o.gate == Gate::Draining { unconfirmed(o.limits.confirm) } else { Step::ReadCandidates }
}

fn unconfirmed(wait: Duration) -> Step {
    Step::Hold(Hold::Unconfirmed(wait))
}

fn current_inquiry(o: &TriggerFacts) -> Inquiry {
    let marker = o.run().own_marker().filter(|_| !decided(o.run()));
    let marked = || marker.map(|m| Doubt { nonce: m.nonce.clone(), acquisition: m.acquisition.clone(), attempt: m.attempt });
    let locked = || {
        let lock_holder = o.lock.as_ref()?.lock.held_by(&o.cached.id.uid)?;
        Some(Doubt { nonce: lock_holder.nonce.clone(), acquisition: lock_holder.acquisition.clone(), attempt: o.run().attempt })
    };
    let sent = || match &o.task {
        Task::Posted(grant, _) => {
            Some(Doubt { nonce: grant.nonce.clone(), acquisition: grant.acquisition.clone(), attempt: grant.attempt })
        }
        _ => None,
    };
    let doubt = marked().or_else(locked).or_else(sent);
    let answered = matches!(&o.task, Task::Posted(_, PostOutcome::ExecutedIdsUnknown { .. }));
    let executed = answered || marker.is_some_and(|marker| marker.executed);
    let inquiry = match (&o.memory.inquiry, doubt) {
        (Some(inquiry), None) => inquiry.clone(),
        (Some(inquiry), Some(doubt)) if inquiry.doubt == doubt => inquiry.clone(),
        (_, Some(doubt)) => Inquiry { doubt, since: o.now, executed, last: None },
        // No marker and no lock: the nonce is not known, and the time of the doubt is all that is kept.
        (None, None) => Inquiry {
            doubt: Doubt { nonce: o.spare.clone(), acquisition: o.spare.clone(), attempt: o.run().attempt },
            since: o.now,
            executed,
            last: None,
        },
    };
    let since = inquiry.since.min(certainly_since(o, &inquiry.doubt).unwrap_or(o.now));
    Inquiry { since, executed: executed || inquiry.executed, ..inquiry }
}

/// Since when the delivery has been in doubt at least, by the age of its lock: its W1 was no later. A lock that was read before a run may have
/// been taken again before the run was marked.
fn certainly_since(o: &TriggerFacts, doubt: &Doubt) -> Option<Duration> {
    let read = o.lock.as_ref()?;
    let lock_holder = read.lock.held_by(&o.cached.id.uid).filter(|lock_holder| lock_holder.acquisition == doubt.acquisition)?;
    let speaks = o.lock_is_newer || lock_holder.nonce == doubt.nonce;
    speaks.then(|| o.now.saturating_sub(read.certain_age(&o.limits)))
}

pub(in crate::run) fn inquiry_after(o: &TriggerFacts) -> Option<Inquiry> {
    let mut inquiry = current_inquiry(o);
    if let (Look::Shown(listed), Some(read)) = (&o.candidates, &o.lock)
        && let Some(lock_holder) = read.lock.held_by(&o.cached.id.uid)
        && covers(listed, lock_holder)
    {
        let found = attributable(o.run(), read, lock_holder, listed);
        let unchanged = inquiry.last.as_ref().is_some_and(|(_, ids)| ids == &found);
        if !unchanged {
            inquiry.last = Some((o.now, found));
        }
    }
    Some(inquiry)
}

/// Whether a look reaches back to the time before the trigger.
fn covers(listed: &ListedCandidates, lock_holder: &LockHolder) -> bool {
    let baseline = lock_holder.baseline.as_ref().and_then(|baseline| baseline.newest);
    listed.after.is_none_or(|after| baseline.is_some_and(|newest| newest > after))
}

/// What can be the work of this trigger by what the list and the lock say. Other runs may show some of it.
fn attributable(run: &Run, read: &LockRead, lock_holder: &LockHolder, listed: &ListedCandidates) -> Vec<ExecutionId> {
    let Some(baseline) = lock_holder.baseline.as_ref().filter(|_| !lock_holder.ledger_may_be_lost || run.adopt_unproven) else {
        return Vec::new();
    };
    let mut found: Vec<ExecutionId> = listed
        .candidates
        .iter()
        .filter(|c| c.manual && (c.by_us || run.adopt_unproven))
        .filter(|c| baseline.newest.is_none_or(|newest| c.created.is_some_and(|created| created >= newest)))
        .filter(|c| !baseline.ids.contains(&c.hash) && !read.lock.remembers(&c.id))
        .map(|c| c.id.clone())
        .collect();
    found.sort();
    found.dedup();
    found
}

fn ambiguous(run: &Run, doubt: &Doubt, executed: bool, why: &str) -> Step {
    Step::Record {
        trigger: Trigger { nonce: doubt.nonce.clone(), attempt: doubt.attempt, result: TriggerResult::Ambiguous { executed } },
        executions: Vec::new(),
        message: format!("The outcome of the trigger is unknown: {why}."),
        unexecuted: None,
        over: run.version.clone(),
    }
}

pub(in crate::run) fn record_known(run: &Run, trigger: Trigger, entry: &LedgerOutcome) -> Step {
    let (executions, message) = match entry {
        LedgerOutcome::Started(ids) => (ids.clone(), "The pipeline's lock remembered the executions of this trigger."),
        LedgerOutcome::Nothing => (Vec::new(), "The pipeline's lock remembered that this trigger started nothing."),
        LedgerOutcome::Unknown => {
            (Vec::new(), "The outcome of the trigger is unknown: another run took over the pipeline's lock before it was found out.")
        }
    };
    let unexecuted = (*entry == LedgerOutcome::Nothing).then_some(Unexecuted::RetryAfter(Duration::from_secs(1), Obstacle::Operator));
    Step::Record { trigger, executions, message: message.to_owned(), unexecuted, over: run.version.clone() }
}
