//! A run in doubt: what its trigger has led to, as far as that can be told (docs/protocol.md, section 6).

use std::time::Duration;

use crate::{
    run::{
        ids::{ExecutionId, Nonce},
        trigger::facts::{Inquiry, Look, Looks, Source, Task, TriggerFacts},
        trigger::post_outcome::{Obstacle, PostOutcome, Unexecuted},
        trigger::run_view::{Candidate, ListedCandidates, Run},
        trigger::step::{FollowUp, Gate, Hold, LockRead, Step},
        trigger::stored::{Evidence, LedgerEntry, LedgerOutcome, Lock, LockHolder, Marker, Trigger, TriggerResult},
        trigger::verdict::{Doubt, Verdict, decided, settled, verdict},
    },
    text::{sentence, truncated},
};

/// The most characters of what is known of a POST that a message about its outcome repeats.
pub(in crate::run) const LONGEST_SAID: usize = 160;

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
    let first_look = first_look(o, &inquiry);
    if o.now < first_look {
        // The lock tells how old the trigger is, and whether what it has started may be looked for soon.
        let is_lock_known = !without_account || run.own_marker().is_some_and(|marker| marker.lock.is_some());
        let is_first_sight = o.memory.inquiry.is_none() && o.lock.is_none() && is_lock_known;
        return if is_first_sight { Step::ReadLock } else { unconfirmed(first_look.saturating_sub(o.now)) };
    }
    // Until then nuvo may still show what the trigger started, so that the deadline cannot come before it.
    let settled_at = settled_by(o, &inquiry);
    // How things were then: now, or when the look began.
    let as_of = if without_account { o.now } else { o.look_began };
    // A process that has just begun may not have its account yet, or no list: a look a moment later may show what the trigger started.
    let tried_by = tried_by(o, &inquiry);
    let overdue_at = settled_at.max(tried_by);
    let is_overdue = as_of >= overdue_at && o.deadline.is_some_and(|left| left.is_zero());
    // Others wait no longer than for one whose looks are complete, and a quarantine.
    let gives_way_at = settled_at.saturating_add(o.limits.quarantine).max(tried_by);
    let gives_way = o.others_wait && as_of >= gives_way_at;
    let is_over = is_overdue || gives_way;
    // What follows from the answer of a person may be another POST, so the first one has had all the time that a late effect is given anywhere.
    let is_answered = |doubt: &Doubt| run.answered.as_ref() == Some(&doubt.nonce) && as_of >= quarantined_until(o, &inquiry).max(tried_by);
    let until = if is_overdue { "before the deadline of the run" } else { "in the time after which another run of the pipeline goes on" };
    if without_account {
        if is_over {
            return ambiguous(o, run, &inquiry.doubt, &format!("its account could not be used {until}"));
        }
        if is_answered(&inquiry.doubt) {
            return ambiguous(o, run, &inquiry.doubt, "its account cannot be used, and a person has answered instead");
        }
        let left = overdue_at.saturating_sub(o.now).max(o.deadline.unwrap_or(o.limits.confirm));
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
            return ambiguous(o, run, &inquiry.doubt, why);
        }
        // The lock was taken anew for this very version of the run, or another attempt is wanted: the doubt is over.
        Verdict::Decided | Verdict::New { .. } => return Step::Restart,
    };
    let Some(lock_holder) = read.lock.held_by(&run.id.uid).filter(|lock_holder| lock_holder.acquisition == doubt.acquisition) else {
        let why = "the lock that preceded the trigger is gone, so nothing in nuvo's list can be attributed to it";
        return ambiguous(o, run, &doubt, why);
    };
    let Look::Shown(listed) = &o.candidates else {
        // A list that failed concludes nothing. A person may.
        if is_answered(&doubt) {
            return ambiguous(o, run, &doubt, "nuvo's executions cannot be listed, and a person has answered instead");
        }
        if is_over {
            return ambiguous(o, run, &doubt, &format!("nuvo's list could not be relied on {until}"));
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
            ambiguous(o, run, &doubt, why)
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
                        return ambiguous(o, run, &doubt, why);
                    }
                    Look::Inconclusive => return unconfirmed(o.limits.confirm),
                }
            }
            Some(confirmed) => return unconfirmed(confirmed.saturating_sub(o.now)),
            None if is_over && inquiry.last.is_some() => {
                let why = format!("nuvo's list has shown something else each time {until}");
                return ambiguous(o, run, &doubt, &why);
            }
            None => return unconfirmed(o.limits.confirm),
        }
    }
    if !found.is_empty() {
        let open_until = if may_grow(&read.lock, &found) { quarantined_until(o, &inquiry) } else { answered_by(o, &inquiry) };
        return Step::Record {
            trigger: Trigger { nonce: doubt.nonce, attempt: doubt.attempt, result: TriggerResult::Accepted(Evidence::Adopted) },
            executions: found,
            message: "The answer to the trigger has not come; its executions were found in nuvo's list.".to_owned(),
            follow_up: FollowUp::OpenFor(open_until.saturating_sub(o.now)),
            over: run.version.clone(),
        };
    }
    let is_wanted_again = may_be_repeated(o, &inquiry);
    if is_wanted_again && shows_none(read, lock_holder, listed) {
        return repeat(o, run, &doubt, &inquiry);
    }
    if o.look_began >= settled_at {
        let why = if is_wanted_again {
            "nuvo's list has shown no execution that can be attributed to it, and does not prove that there is none"
        } else {
            "nuvo's list has shown no execution that can be attributed to it"
        };
        return ambiguous(o, run, &doubt, why);
    }
    unconfirmed(o.limits.confirm)
}

/// From then on the list is looked at. What it shows is evidence at any time, if every other POST whose effects it may show is known to the
/// lock.
fn first_look(o: &TriggerFacts, inquiry: &Inquiry) -> Duration {
    let answered_by = answered_by(o, inquiry);
    if inquiry.knows_others { answered_by.min(inquiry.since.saturating_add(o.limits.answer)) } else { answered_by }
}

/// From then on no answer to the POST can come any more.
fn answered_by(o: &TriggerFacts, inquiry: &Inquiry) -> Duration {
    inquiry.since.saturating_add(o.limits.post_deadline).saturating_add(o.limits.fence)
}

/// From then on this process has tried for as long to find out what the trigger has led to as a POST is given with all that it needs.
fn tried_by(o: &TriggerFacts, inquiry: &Inquiry) -> Duration {
    inquiry.first_seen.saturating_add(o.limits.post_deadline).saturating_add(o.limits.fence)
}

/// From then on the list shows what the trigger has started.
fn settled_by(o: &TriggerFacts, inquiry: &Inquiry) -> Duration {
    answered_by(o, inquiry).saturating_add(o.limits.settle)
}

/// From then on the trigger has no more effects.
fn quarantined_until(o: &TriggerFacts, inquiry: &Inquiry) -> Duration {
    answered_by(o, inquiry).saturating_add(o.limits.quarantine)
}

/// Whether the run wants its trigger repeated if nothing comes of it, and nothing that it says of itself speaks against that.
fn may_be_repeated(o: &TriggerFacts, inquiry: &Inquiry) -> bool {
    let run = o.run();
    let is_announced = run.own_marker().is_some_and(|marker| marker.nonce == inquiry.doubt.nonce);
    let is_in_time = o.deadline.is_none_or(|left| !left.is_zero());
    run.retriggers && is_announced && is_in_time && !inquiry.executed && !run.deleting
}

/// Whether a complete look shows no execution of the pipeline since the baseline, whoever started it: as long as it is not known as whom nuvo
/// shows the account, the trigger's own execution may look like that of another. What other runs show is not left out, because anybody who
/// may write a status could hide the execution by that.
fn shows_none(read: &LockRead, lock_holder: &LockHolder, listed: &ListedCandidates) -> bool {
    let baseline = lock_holder.baseline.as_ref().filter(|_| !lock_holder.ledger_may_be_lost);
    baseline.is_some_and(|baseline| {
        let is_old = |c: &Candidate| c.created.is_some_and(|created| baseline.newest.is_some_and(|newest| created < newest));
        listed.candidates.iter().all(|c| is_old(c) || baseline.ids.contains(&c.hash) || read.lock.remembers(&c.id))
    })
}

/// The trigger is made again, once two looks that began after the quarantine have shown nothing.
fn repeat(o: &TriggerFacts, run: &Run, doubt: &Doubt, inquiry: &Inquiry) -> Step {
    let quarantined_until = quarantined_until(o, inquiry).max(settled_by(o, inquiry));
    if o.look_began < quarantined_until {
        return unconfirmed(o.limits.confirm);
    }
    match inquiry.absent.map(|since| since.saturating_add(o.limits.confirm)) {
        Some(confirmed) if o.now >= confirmed => {
            let why = "nuvo's list has shown no execution of the pipeline for as long as the trigger could have effects";
            undecided_result(o, run, doubt, why, FollowUp::NextAttempt)
        }
        Some(confirmed) => unconfirmed(confirmed.saturating_sub(o.now)),
        None => unconfirmed(o.limits.confirm),
    }
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
        (_, Some(doubt)) => first_sight(o, doubt, executed),
        // No marker and no lock: the nonce is not known, and the time of the doubt is all that is kept.
        (None, None) => first_sight(o, Doubt { nonce: o.spare.clone(), acquisition: o.spare.clone(), attempt: o.run().attempt }, executed),
    };
    let since = inquiry.since.min(certainly_since(o, &inquiry.doubt).unwrap_or(o.now));
    let knows_others = inquiry.knows_others || o.lock.as_ref().is_some_and(|read| !read.lock.ledger.is_empty());
    Inquiry { since, knows_others, executed: executed || inquiry.executed, ..inquiry }
}

/// Since when the delivery has been in doubt at least, by the age of its lock: its W1 was no later. A lock that was read before a run may have
/// been taken again before the run was marked.
fn certainly_since(o: &TriggerFacts, doubt: &Doubt) -> Option<Duration> {
    let read = o.lock.as_ref()?;
    let lock_holder = read.lock.held_by(&o.cached.id.uid).filter(|lock_holder| lock_holder.acquisition == doubt.acquisition)?;
    let speaks = o.lock_is_newer || lock_holder.nonce == doubt.nonce;
    speaks.then(|| o.now.saturating_sub(read.certain_age(&o.limits)))
}

fn first_sight(o: &TriggerFacts, doubt: Doubt, executed: bool) -> Inquiry {
    let said = match &o.task {
        Task::Posted(_, PostOutcome::Unknown { message } | PostOutcome::ExecutedIdsUnknown { message }) => message.clone(),
        _ => String::new(),
    };
    Inquiry { executed, said, ..Inquiry::new(doubt, o.now) }
}

/// What is known so far of a trigger in doubt, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct SoFar {
    /// What was found out.
    pub inquiry: Inquiry,
    /// Until the looks end that show nothing.
    pub left: Duration,
    /// Whether the trigger is made again then.
    pub is_repeated: bool,
}

pub(in crate::run) fn so_far(o: &TriggerFacts) -> SoFar {
    let inquiry = inquiry_after(o);
    let is_repeated = may_be_repeated(o, &inquiry);
    let settled_by = settled_by(o, &inquiry);
    let until = if is_repeated { settled_by.max(quarantined_until(o, &inquiry)) } else { settled_by };
    SoFar { left: until.saturating_sub(o.now), is_repeated, inquiry }
}

/// What is remembered of the doubt after this pass.
pub(in crate::run) fn inquiry_after(o: &TriggerFacts) -> Inquiry {
    let mut inquiry = current_inquiry(o);
    if o.candidates != Look::NotTaken {
        inquiry.looks.made = inquiry.looks.made.saturating_add(1);
    }
    if let (Look::Shown(listed), Some(read)) = (&o.candidates, &o.lock)
        && let Some(lock_holder) = read.lock.held_by(&o.cached.id.uid)
        && covers(listed, lock_holder)
    {
        inquiry.looks = Looks { complete: inquiry.looks.complete.saturating_add(1), is_anonymous: listed.is_anonymous, ..inquiry.looks };
        let found = attributable(o.run(), read, lock_holder, listed);
        let unchanged = inquiry.last.as_ref().is_some_and(|(_, ids)| ids == &found);
        if !unchanged {
            inquiry.last = Some((o.now, found));
        }
        let is_absent = o.look_began >= quarantined_until(o, &inquiry) && shows_none(read, lock_holder, listed);
        inquiry.absent = is_absent.then(|| inquiry.absent.unwrap_or(o.now));
    }
    inquiry
}

/// Whether a look reaches back to the time before the trigger.
pub(super) fn covers(listed: &ListedCandidates, lock_holder: &LockHolder) -> bool {
    let baseline = lock_holder.baseline.as_ref().and_then(|baseline| baseline.newest);
    listed.after.is_none_or(|after| baseline.is_some_and(|newest| newest > after))
}

/// Whether a trigger of this pipeline can start more than one execution, as far as is known. The list may then show the rest late.
pub(super) fn may_grow(lock: &Lock, found: &[ExecutionId]) -> bool {
    let is_batch = |entry: &LedgerEntry| matches!(&entry.entry, LedgerOutcome::Started(ids) if ids.len() > 1);
    found.len() > 1 || lock.ledger.iter().any(is_batch)
}

/// What can be the work of this trigger by what the list and the lock say. Other runs may show some of it.
pub(super) fn attributable(run: &Run, read: &LockRead, lock_holder: &LockHolder, listed: &ListedCandidates) -> Vec<ExecutionId> {
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

fn ambiguous(o: &TriggerFacts, run: &Run, doubt: &Doubt, why: &str) -> Step {
    // The answer may still come, and knows better.
    let answered_by = answered_by(o, &current_inquiry(o));
    if o.now < answered_by {
        return unconfirmed(answered_by.saturating_sub(o.now));
    }
    let left = quarantined_until(o, &current_inquiry(o)).saturating_sub(o.now);
    undecided_result(o, run, doubt, why, FollowUp::OpenFor(left))
}

fn undecided_result(o: &TriggerFacts, run: &Run, doubt: &Doubt, why: &str, follow_up: FollowUp) -> Step {
    let inquiry = inquiry_after(o);
    let executed = inquiry.executed;
    Step::Record {
        trigger: Trigger { nonce: doubt.nonce.clone(), attempt: doubt.attempt, result: TriggerResult::Ambiguous { executed } },
        executions: Vec::new(),
        message: format!("The outcome of the trigger is unknown: {why}.{}", evidence(&inquiry)),
        follow_up,
        over: run.version.clone(),
    }
}

/// What the result rests on, for people.
fn evidence(inquiry: &Inquiry) -> String {
    let Looks { made, complete, is_anonymous } = inquiry.looks;
    let said = if inquiry.said.is_empty() {
        String::new()
    } else {
        format!(" What is known of it: {}", sentence(&truncated(&inquiry.said, LONGEST_SAID)))
    };
    let looks = match made {
        0 => " There was no look at the list.".to_owned(),
        _ => format!(" Looks at the list: {made}, of them complete: {complete}."),
    };
    let unknown = if is_anonymous { " It is not known as whom nuvo shows the account." } else { "" };
    format!("{said}{looks}{unknown}")
}

/// What follows from the verdict about a run that wants a trigger; `new` decides for one of which nothing was sent.
pub(super) fn new_or_else(o: &TriggerFacts, run: &Run, lock: &Lock, new: impl FnOnce(Option<Nonce>) -> Step) -> Step {
    match verdict(run, lock) {
        Verdict::Decided => Step::Follow,
        Verdict::Lost => Step::Hold(Hold::Lost),
        Verdict::InDoubt(_) => inquire(o),
        Verdict::Recorded(trigger, entry) => record_known(run, trigger, &entry),
        Verdict::New { resume } => new(resume),
    }
}

fn record_known(run: &Run, trigger: Trigger, entry: &LedgerOutcome) -> Step {
    let (executions, message) = match entry {
        LedgerOutcome::Started(ids) => (ids.clone(), "The pipeline's lock remembered the executions of this trigger."),
        LedgerOutcome::Nothing => (Vec::new(), "The pipeline's lock remembered that this trigger started nothing."),
        LedgerOutcome::Unknown | LedgerOutcome::Later(_) => {
            (Vec::new(), "The outcome of the trigger is unknown: another run took over the pipeline's lock before it was found out.")
        }
    };
    let follow_up = match entry {
        LedgerOutcome::Nothing => FollowUp::Unexecuted(Unexecuted::RetryAfter(Duration::from_secs(1), Obstacle::Operator)),
        LedgerOutcome::Started(_) | LedgerOutcome::Unknown | LedgerOutcome::Later(_) => FollowUp::Nothing,
    };
    Step::Record { trigger, executions, message: message.to_owned(), follow_up, over: run.version.clone() }
}
