//! The facts that a decision rests on.

use std::time::Duration;

use nuvo_core::run::{
    Account, Facts, Gate, Holder, Observed, Present, ResolutionAnswer, RetryWait, Run, Takeover, Task, Verdict, decided, settled, takeover,
    verdict,
};

use super::objects;
use crate::replay::world::LIMITS;

/// A fact: what it is about, and what is known.
type Fact = (&'static str, String);

/// What the object and the account say.
pub fn known(present: &Present) -> Vec<Fact> {
    let life = &present.life;
    let mut facts = Vec::new();
    let mut add = |label, text: Option<String>| facts.extend(text.map(|text| (label, text)));
    let left = |left: Duration| if left.is_zero() { "It has passed.".to_owned() } else { format!("In {}.", objects::span(left)) };
    add("deadline", life.deadline.map(left));
    add(
        "retry",
        match life.retry {
            RetryWait::None => None,
            RetryWait::Scheduled(wait) => Some(format!("The attempt has failed, and the next one begins in {}.", objects::span(wait))),
            RetryWait::Due => Some("The attempt has failed, and the next one is due.".to_owned()),
        },
    );
    add("retrigger", life.retrigger.then(|| "spec.onAmbiguousTrigger permits one more attempt after a trigger in doubt.".to_owned()));
    add("rerun", life.token.then(|| "spec.rerunToken asks for another attempt.".to_owned()));
    add(
        "person",
        life.answer.as_ref().map(|answer| {
            let word = match &answer.answer {
                ResolutionAnswer::Retry => "retry".to_owned(),
                ResolutionAnswer::Abandon => "abandon".to_owned(),
                ResolutionAnswer::Adopt(ids) => format!("adopt {}", objects::join(ids)),
            };
            format!("The annotation nuvo.dev/resolve answers for nonce {}: {word}.", answer.nonce)
        }),
    );
    add("expiry", life.expiry.map(|time| if time.is_zero() { "The run is to be deleted now.".to_owned() } else { left(time) }));
    add(
        "account",
        match &present.account {
            Account::Unknown => Some("The operator has not looked at it yet.".to_owned()),
            Account::NotReady(why) => Some(format!("Not ready: {why}")),
            Account::Ready(_) => None,
        },
    );
    facts
}

/// Everything that is known, those facts included.
pub fn list(facts: &Facts, known: Vec<Fact>) -> Vec<Fact> {
    let mut all = Vec::new();
    if let Some(o) = facts.observed() {
        all.push(("trigger", trigger(o)));
        all.extend(gate(o).map(|text| ("gate", text)));
        all.extend(takeover_words(o).map(|text| ("takeover", text)));
        all.extend(task(&o.task).map(|text| ("permission", text)));
        all.extend(doubt(o).map(|text| ("doubt", text)));
    }
    all.extend(known);
    let memory = facts.memory();
    if memory.lock_pending_release {
        all.push(("owes", "The run ends, and may have the pipeline's lock to give back.".to_owned()));
    }
    if memory.awaited {
        all.push(("awaited", "Another run waits for the lock.".to_owned()));
    }
    if memory.failures > 0 {
        all.push(("failures", format!("{} passes in a row have failed.", memory.failures)));
    }
    all
}

/// The verdict on the trigger of the run.
fn trigger(o: &Observed) -> String {
    let run = o.run();
    let Some(read) = o.lock() else { return by_itself(run) };
    match verdict(run, &read.lock) {
        Verdict::Decided => format!("Decided. {}.", result(run)),
        Verdict::New { resume: None } => format!("New: certainly nothing was sent for attempt {}.", run.attempt),
        Verdict::New { resume: Some(tenure) } => format!(
            "New: the run took the lock (tenure {tenure}) at exactly this version {}, so nothing was sent yet. It can go on under that lock.",
            run.version
        ),
        Verdict::InDoubt(doubt) => format!(
            "In doubt: a POST with nonce {} may have been made (attempt {}, tenure {}), and neither run nor lock know its outcome.",
            doubt.nonce, doubt.attempt, doubt.tenure
        ),
        Verdict::Recorded(trigger, entry) => {
            format!("Recorded: the lock's ledger knows that nonce {} {}.", trigger.nonce, objects::fate(&entry))
        }
        Verdict::Lost => {
            "Lost: the record of what was triggered is incomplete, or of an earlier object. Only a person can decide.".to_owned()
        }
    }
}

fn by_itself(run: &Run) -> String {
    if settled(run) {
        return format!("Settled. {}.", result(run));
    }
    match run.own_marker() {
        Some(marker) if !decided(run) => format!("In doubt by the run alone: the marker names nonce {}, and no result does.", marker.nonce),
        _ if decided(run) => format!("Another try is wanted. {}. The lock tells more.", result(run)),
        _ => "By the run alone nothing was sent. The lock tells more.".to_owned(),
    }
}

fn result(run: &Run) -> String {
    run.trigger.as_ref().map_or_else(
        || "It ended without a trigger".to_owned(),
        |trigger| {
            let text = objects::trigger(trigger, &run.executions);
            format!("The {text}")
        },
    )
}

fn gate(o: &Observed) -> Option<String> {
    Some(match &o.gate {
        Gate::Open => return None,
        Gate::Draining => "The operator is stopping: no new trigger.".to_owned(),
        Gate::AccountNotReady(why) | Gate::NuvoUnavailable(why) | Gate::RateLimited(why) => why.clone(),
        Gate::HeldOff(_) => "The last trigger was not carried out, and the next try comes later.".to_owned(),
        Gate::BehindOlder(older) => format!("The older run {older} of the same pipeline goes first."),
    })
}

fn takeover_words(o: &Observed) -> Option<String> {
    let (tenancy, holder) = (o.lock()?.lock.tenancy.as_ref()?, o.holder()?);
    let waited = match &o.memory.quarantine {
        Some((nonce, since)) if *nonce == tenancy.nonce => o.now.saturating_sub(*since),
        _ => Duration::ZERO,
    };
    Some(match takeover(tenancy, holder) {
        Takeover::Now(known) => format!("The lock can be taken now: {}.", objects::entry(&known)),
        Takeover::AfterQuarantine(known) => {
            let why = if matches!(holder, Holder::Gone) { "The holder is gone" } else { "The holder's trigger may still take effect" };
            let times = format!("after {}, of which {} have passed", objects::span(LIMITS.quarantine), objects::span(waited));
            format!("{why}: the lock can be taken {times}. Then {}.", objects::entry(&known))
        }
        Takeover::No => "The lock cannot be taken: the holder's trigger is not decided.".to_owned(),
    })
}

fn task(task: &Task) -> Option<String> {
    Some(match task {
        Task::Idle | Task::Finished => return None,
        Task::Locking(_) => "The lock was asked for; whether it was won is not known.".to_owned(),
        Task::Locked(_) => "This task holds the lock.".to_owned(),
        Task::Marking(_) => "The marker was sent; whether it was written is not known.".to_owned(),
        Task::Marked(_) => "This task holds the lock and has written the marker: it may send one POST.".to_owned(),
        Task::Unmarked(_) => "The marker was refused: nothing was sent, and nothing will be.".to_owned(),
        Task::Posted(..) => "The POST was made, and its result is not written yet.".to_owned(),
    })
}

fn doubt(o: &Observed) -> Option<String> {
    let inquiry = o.memory.inquiry.as_ref()?;
    let mut text = format!("The operator has known of it for {}.", objects::span(o.now.saturating_sub(inquiry.since)));
    if inquiry.executed {
        text.push_str(" nuvo has said that something was started.");
    }
    if let Some((at, ids)) = &inquiry.last {
        let ago = objects::span(o.now.saturating_sub(*at));
        text.push_str(&format!(" A look at nuvo's list {ago} ago could attribute to it: {}.", objects::join(ids)));
    }
    Some(text)
}
