//! Objects, and what is in them.

use std::{fmt::Display, time::Duration};

use k8s_openapi::jiff::SignedDuration;
use nuvo_core::{
    run::{
        Account, Evidence, ExecutionId, Holder, LedgerEntry, LedgerOutcome, LockRead, Marker, Nonce, Run, Trigger, TriggerResult, decided,
        reason,
    },
    time::human_duration,
};
use nuvo_crds::{
    PipelineRun, PipelineRunStatus,
    conditions::{READY, SUCCEEDED},
};

use crate::replay::{trace::Trace, world::World};

/// The objects of the file, and what was made of them.
pub fn introduce(trace: &mut Trace, world: &World) {
    let meta = &world.run.metadata;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "(none)".to_owned());
    trace.heading(&format!("PipelineRun {}/{}, pipeline {}", or_none(&meta.namespace), or_none(&meta.name), world.run.spec.pipeline_id));
    match world.parsed() {
        Ok(run) => trace.object("run", &self::run(&run)),
        Err(why) => trace.object("run", &format!("It is no valid run: {why}.")),
    }
    trace.object("status", &world.run.status.as_ref().map_or_else(|| "None.".to_owned(), status));
    match &world.lock {
        Ok(read) => trace.object("lock", &lock(read, &world.run)),
        Err(why) => trace.object("lock", &format!("It cannot be read: {why}.")),
    }
    trace.object("account", &account(&world.account));
}

/// A time that passes.
pub fn span(time: Duration) -> String {
    if time.as_secs() == 0 && !time.is_zero() {
        return format!("{}ms", time.as_millis());
    }
    SignedDuration::try_from(time).map_or_else(|_| "a very long time".to_owned(), human_duration)
}

/// A list in a sentence.
pub fn join<T: Display>(all: &[T]) -> String {
    if all.is_empty() { "none".to_owned() } else { all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") }
}

/// A run, by what the protocol reads of it.
pub fn run(run: &Run) -> String {
    let mut parts = vec![format!("Version {}, attempt {}", run.version, run.attempt)];
    if run.deleting {
        parts.push("being deleted".to_owned());
    }
    if run.suspended {
        parts.push("suspended".to_owned());
    }
    parts.push(match (run.own_marker(), run.ancestor_marker(), &run.marker) {
        (Some(own), _, _) if decided(run) => format!("the marker of nonce {}", own.nonce),
        (Some(own), _, _) => marker(own),
        (None, Some(ancestor), _) => format!("a marker of an earlier object of this name (nonce {})", ancestor.nonce),
        (None, None, Some(_)) => "a marker of another run, which does not count".to_owned(),
        (None, None, None) => "no marker".to_owned(),
    });
    parts.push(run.trigger.as_ref().map_or_else(|| "no result of a trigger".to_owned(), |known| trigger(known, &run.executions)));
    if run.ended {
        parts.push("ended".to_owned());
    }
    format!("{}.", parts.join("; "))
}

/// A marker.
pub fn marker(marker: &Marker) -> String {
    let executed = if marker.executed { ", and nuvo has said that it started something" } else { "" };
    let Marker { nonce, acquisition, attempt, .. } = marker;
    format!("a marker: a POST with {} may be out (attempt {attempt}{executed})", delivery(nonce, acquisition))
}

/// A nonce, and the acquisition of the lock under which it was made.
pub fn delivery(nonce: &Nonce, acquisition: &Nonce) -> String {
    if nonce == acquisition { format!("nonce {nonce}") } else { format!("nonce {nonce} of the acquisition {acquisition}") }
}

/// What became of a trigger.
pub fn trigger(trigger: &Trigger, executions: &[ExecutionId]) -> String {
    let result = match trigger.result {
        TriggerResult::Accepted(Evidence::Answer) => format!("accepted by nuvo's answer, executions: {}", join(executions)),
        TriggerResult::Accepted(Evidence::Adopted) => format!("accepted, as found out afterwards, executions: {}", join(executions)),
        TriggerResult::NotExecuted => "certainly not carried out".to_owned(),
        TriggerResult::Ambiguous { executed: false } => "unknown".to_owned(),
        TriggerResult::Ambiguous { executed: true } => "unknown, but nuvo may have started something".to_owned(),
        TriggerResult::Observed => "none: the run follows an execution that existed".to_owned(),
    };
    format!("result of nonce {} (attempt {}): {result}", trigger.nonce, trigger.attempt)
}

/// A status.
pub fn status(status: &PipelineRunStatus) -> String {
    let message = [SUCCEEDED, READY].iter().find_map(|name| status.conditions.iter().find(|condition| condition.type_ == *name));
    let message = message.map(|condition| condition.message.as_str()).unwrap_or_default();
    format!("{}: {message}", headline(status))
}

/// The phase and the reason of a status.
pub fn headline(status: &PipelineRunStatus) -> String {
    let phase = status.phase.map_or("no phase", |phase| phase.as_str());
    let reason = reason(status).map_or("no reason", |reason| reason.as_str());
    if phase == reason { phase.to_owned() } else { format!("{phase}, {reason}") }
}

/// A lock.
pub fn lock(read: &LockRead, id: &PipelineRun) -> String {
    let Some(version) = &read.version else { return "There is no lock.".to_owned() };
    let lock_holder = read.lock.holder.as_ref().map_or_else(
        || "free".to_owned(),
        |lock_holder| {
            let holder = if id.metadata.uid.as_deref() == Some(lock_holder.run.uid.as_str()) {
                "this run".to_owned()
            } else {
                format!("run {}/{}", lock_holder.run.namespace, lock_holder.run.name)
            };
            let ledger_may_be_lost = if lock_holder.ledger_may_be_lost { ", and an earlier lock may have been lost" } else { "" };
            let delivery = delivery(&lock_holder.nonce, &lock_holder.acquisition);
            format!("held by {holder} since its version {} ({delivery}{ledger_may_be_lost})", lock_holder.run_version)
        },
    );
    let age = read.age.map(|age| format!(", written {} ago", span(age))).unwrap_or_default();
    format!("Version {version}{age}, {lock_holder}; past triggers in its ledger: {}.", read.lock.ledger.len())
}

/// What the ledger keeps of a trigger.
pub fn entry(known: &LedgerEntry) -> String {
    let LedgerEntry { uid, nonce, entry, .. } = known;
    format!("nonce {nonce} of the run with uid {uid} {}", result(entry))
}

/// What the ledger says became of a trigger.
pub fn result(entry: &LedgerOutcome) -> String {
    match entry {
        LedgerOutcome::Started(ids) => format!("started the executions: {}", join(ids)),
        LedgerOutcome::Nothing => "started nothing".to_owned(),
        LedgerOutcome::Unknown => "may have started something".to_owned(),
        LedgerOutcome::Later(_) => "is something that this version does not know".to_owned(),
    }
}

/// The run that holds the lock.
pub fn holder(holder: &Holder) -> String {
    match holder {
        Holder::Gone => "It does not exist any more (it is not in the file).".to_owned(),
        Holder::Unreadable => "The operator may not read it, or it is not a valid run.".to_owned(),
        Holder::Present(run) => {
            let known = if decided(run) { "The outcome of its trigger is known" } else { "The outcome of its trigger is not known" };
            format!("{known}. {}", self::run(run))
        }
    }
}

fn account(account: &Account) -> String {
    match account {
        Account::Unknown => "The operator has not looked at it yet.".to_owned(),
        Account::NotReady(why) => format!("Not ready: {why}"),
        Account::Ready { .. } => "Ready.".to_owned(),
    }
}
