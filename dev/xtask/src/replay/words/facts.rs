//! The facts that a decision rests on.

use std::time::Duration;

use nuvo_core::run::{
    Account, Facts, Gate, Holder, Life, Lock, Present, ResolutionAnswer, RetryWait, Run, RunMemory, Takeover, Task, TriggerFacts, Verdict,
    decided, settled, takeover, verdict,
};

use super::objects;
use crate::replay::world::LIMITS;

const LOST: &str =
    "Lost: the record of what was triggered is incomplete, or belongs to an earlier object of this name. Only a person can decide.";

/// A fact: what it is about, and what is known.
type Fact = (&'static str, String);

/// Everything that is known.
pub fn list(facts: &Facts, present: &Present) -> Vec<Fact> {
    let mut all = Vec::new();
    if let Some(o) = facts.observed() {
        all.extend(trigger(o).map(|text| ("trigger", text)));
        all.extend(permission(&o.task).map(|text| ("permission", text)));
        all.extend(takeover_words(o).map(|text| ("takeover", text)));
        all.extend(gate(&o.gate).map(|text| ("gate", text)));
        all.extend(doubt(o).map(|text| ("doubt", text)));
    }
    if present.account == Account::Unknown {
        all.push(("account", "The operator has not looked at it yet.".to_owned()));
    }
    let ended = facts.run().is_some_and(|run| run.ended);
    all.extend(life(&present.life, ended));
    all.extend(memory(facts.memory()));
    all
}

/// What the object says of the life of the run.
fn life(life: &Life, ended: bool) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(left) = life.deadline.filter(|_| !ended) {
        let text = if left.is_zero() { "It has passed.".to_owned() } else { format!("In {}.", objects::span(left)) };
        facts.push(("deadline", text));
    }
    match life.retry {
        RetryWait::None => {}
        RetryWait::Scheduled(wait) => {
            facts.push(("retry", format!("The attempt has failed, and the next one begins in {}.", objects::span(wait))));
        }
        RetryWait::Due => facts.push(("retry", "The attempt has failed, and the next one is due.".to_owned())),
    }
    if let Some(left) = life.open {
        facts.push(("open", format!("The trigger may still have effects for {}.", objects::span(left))));
    }
    if life.token {
        facts.push(("rerun", "spec.rerunToken asks for another attempt.".to_owned()));
    }
    if let Some(answer) = &life.answer {
        let word = match &answer.answer {
            ResolutionAnswer::Retry => "retry".to_owned(),
            ResolutionAnswer::Abandon => "abandon".to_owned(),
            ResolutionAnswer::Adopt(ids) => format!("adopt {}", objects::join(ids)),
        };
        facts.push(("person", format!("The annotation nuvo.dev/resolve answers for nonce {}: {word}.", answer.nonce)));
    }
    match life.expiry {
        None => {}
        Some(left) if left.is_zero() => facts.push(("expiry", "The run is to be deleted now.".to_owned())),
        Some(left) => facts.push(("expiry", format!("The run is to be deleted in {}.", objects::span(left)))),
    }
    facts
}

/// What the operator remembers of earlier passes.
fn memory(memory: &RunMemory) -> Vec<Fact> {
    let mut facts = Vec::new();
    if memory.lock_pending_release {
        facts.push(("owes", "The run may have the pipeline's lock to give back.".to_owned()));
    }
    if memory.awaited.is_some() {
        facts.push(("awaited", "Another run waits for the lock.".to_owned()));
    }
    if memory.failures > 0 {
        facts.push(("failures", format!("{} passes in a row have failed.", memory.failures)));
    }
    facts
}

/// The verdict on the trigger of the run; none while this task knows more than what is stored.
fn trigger(o: &TriggerFacts) -> Option<String> {
    let run = o.run();
    if !matches!(o.task, Task::Idle | Task::Finished) {
        return None;
    }
    let Some(read) = o.lock() else { return Some(by_itself(run)) };
    Some(match verdict(run, &read.lock) {
        Verdict::Decided => format!("Decided. {}.", result(run)),
        Verdict::New { resume: None } => format!("New: certainly nothing was sent for attempt {}.", run.attempt),
        Verdict::New { resume: Some(acquisition) } => format!(
            "New: the run took the lock (nonce of its acquisition {acquisition}) at exactly this version {}, so nothing was sent yet. It can go on under that lock.",
            run.version
        ),
        Verdict::InDoubt(doubt) => format!(
            "In doubt: a POST with {} may have been made (attempt {}), and neither the run nor the lock knows its outcome.",
            objects::delivery(&doubt.nonce, &doubt.acquisition),
            doubt.attempt
        ),
        Verdict::Recorded(trigger, entry) => {
            format!("Recorded: the lock's ledger knows that nonce {} {}.", trigger.nonce, objects::result(&entry))
        }
        Verdict::Lost => LOST.to_owned(),
    })
}

fn by_itself(run: &Run) -> String {
    if settled(run) {
        return format!("Settled. {}.", result(run));
    }
    match run.own_marker() {
        Some(marker) if !decided(run) => format!("In doubt by the run alone: the marker names nonce {}, and no result does.", marker.nonce),
        _ if decided(run) => format!("Another try is wanted. {}. The lock tells more.", result(run)),
        _ if verdict(run, &Lock::default()) == Verdict::Lost => LOST.to_owned(),
        _ => "By the run alone nothing was sent. The lock tells more.".to_owned(),
    }
}

fn result(run: &Run) -> String {
    match &run.trigger {
        Some(trigger) => format!("The {}", objects::trigger(trigger, &run.executions)),
        None if run.ancestor_marker().is_some() => "It ended, and the record of its trigger is lost".to_owned(),
        None => "It ended without a trigger".to_owned(),
    }
}

/// Why the run waits before its trigger; none if it need not wait.
pub fn gate(gate: &Gate) -> Option<String> {
    Some(match gate {
        Gate::Open => return None,
        Gate::Draining => "The operator is stopping: no new trigger.".to_owned(),
        Gate::AccountNotReady(why) | Gate::NuvoUnavailable(why) | Gate::RateLimited(why) => why.clone(),
        Gate::HeldOff(_) => "The last trigger was not carried out, and the next try comes later.".to_owned(),
        Gate::BehindOlder(older) => format!("The older run {older} of the same pipeline goes first."),
    })
}

fn takeover_words(o: &TriggerFacts) -> Option<String> {
    let (lock_holder, holder) = (o.lock()?.lock.holder.as_ref()?, o.holder()?);
    let waited = match &o.memory.quarantine {
        Some((nonce, since)) if *nonce == lock_holder.nonce => o.now.saturating_sub(*since),
        _ => Duration::ZERO,
    };
    Some(match takeover(lock_holder, holder) {
        Takeover::Now(known) => format!("The lock can be taken now. Its ledger then keeps: {}.", objects::entry(&known)),
        Takeover::AfterQuarantine(known) => {
            let why = if matches!(holder, Holder::Gone) { "The holder is gone" } else { "The holder's trigger may still take effect" };
            let left = LIMITS.quarantine.saturating_sub(waited);
            let then = if left.is_zero() { "now".to_owned() } else { format!("in {}", objects::span(left)) };
            let quarantine = objects::span(LIMITS.quarantine);
            let entry = objects::entry(&known);
            format!("{why}. After a quarantine of {quarantine} the lock can be taken: {then}. Its ledger then keeps: {entry}.")
        }
        Takeover::No => "The lock cannot be taken: the holder's trigger is not decided.".to_owned(),
    })
}

/// What this task alone may do: no other task knows of it.
fn permission(task: &Task) -> Option<String> {
    Some(match task {
        Task::Idle | Task::Finished => return None,
        Task::Locking(_) => "The lock was asked for; whether it was won is not known.".to_owned(),
        Task::Locked(_) => "This task has just taken the lock.".to_owned(),
        Task::Marking(_) => "The marker was sent; whether it was written is not known.".to_owned(),
        Task::Marked(_) => {
            "This task has taken the lock and written the marker, so it alone may send one POST. To all others the run is in doubt from now on."
                .to_owned()
        },
        Task::Unmarked(_) => "The marker was refused: nothing was sent, and nothing will be.".to_owned(),
        Task::Posted(..) => "The POST was made, and its result is not written yet.".to_owned(),
    })
}

fn doubt(o: &TriggerFacts) -> Option<String> {
    let inquiry = o.memory.inquiry.as_ref()?;
    let known = o.now.saturating_sub(inquiry.since);
    let sent = LIMITS.post_deadline.saturating_add(LIMITS.fence);
    let settled = sent.saturating_add(LIMITS.settle);
    let mut text = format!("The operator has known of it for {}. ", objects::span(known));
    text.push_str(&if known < sent {
        format!("The POST may be out for {} more, so nuvo is not asked yet.", objects::span(sent.saturating_sub(known)))
    } else if known < settled {
        format!(
            "No POST can be out any more. What it started may show in nuvo's list for {} more.",
            objects::span(settled.saturating_sub(known))
        )
    } else {
        "No POST can be out any more, and what it started would show in nuvo's list.".to_owned()
    });
    if inquiry.executed {
        text.push_str(" nuvo has said that something was started.");
    }
    if let Some((at, ids)) = &inquiry.last {
        let ago = objects::span(o.now.saturating_sub(*at));
        text.push_str(&format!(" A look at nuvo's list {ago} ago could attribute to it: {}.", objects::join(ids)));
    }
    Some(text)
}
