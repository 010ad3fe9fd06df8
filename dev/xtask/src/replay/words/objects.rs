//! Objects, and what is in them.

use std::{fmt::Display, time::Duration};

use k8s_openapi::jiff::SignedDuration;
use nuvo_core::{
    run::{
        Account, Entry, Evidence, ExecutionId, Fate, Holder, LedgerEntry, LockRead, Marker, Nonce, Others, Run, Trigger, decided, reason,
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
    let Marker { nonce, tenure, attempt, .. } = marker;
    format!("a marker: a POST with {} may be out (attempt {attempt}{executed})", delivery(nonce, tenure))
}

/// A nonce, and the tenure of the lock under which it was made.
pub fn delivery(nonce: &Nonce, tenure: &Nonce) -> String {
    if nonce == tenure { format!("nonce {nonce}") } else { format!("nonce {nonce} of the tenure {tenure}") }
}

/// What became of a trigger.
pub fn trigger(trigger: &Trigger, executions: &[ExecutionId]) -> String {
    let fate = match trigger.fate {
        Fate::Accepted(Evidence::Answer) => format!("accepted by nuvo's answer, executions: {}", join(executions)),
        Fate::Accepted(Evidence::Adopted) => format!("accepted, as found out afterwards, executions: {}", join(executions)),
        Fate::NotExecuted => "certainly not carried out".to_owned(),
        Fate::Ambiguous { executed: false } => "unknown".to_owned(),
        Fate::Ambiguous { executed: true } => "unknown, but nuvo may have started something".to_owned(),
        Fate::Observed => "none: the run follows an execution that existed".to_owned(),
    };
    format!("result of nonce {} (attempt {}): {fate}", trigger.nonce, trigger.attempt)
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
pub fn lock(read: &LockRead, me: &PipelineRun) -> String {
    let Some(version) = &read.version else { return "There is no lock.".to_owned() };
    let tenancy = read.lock.tenancy.as_ref().map_or_else(
        || "free".to_owned(),
        |tenancy| {
            let holder = if me.metadata.uid.as_deref() == Some(tenancy.holder.uid.as_str()) {
                "this run".to_owned()
            } else {
                format!("run {}/{}", tenancy.holder.namespace, tenancy.holder.name)
            };
            let young = if tenancy.young { ", and an earlier lock may have been lost" } else { "" };
            let delivery = delivery(&tenancy.nonce, &tenancy.tenure);
            format!("held by {holder} since its version {} ({delivery}{young})", tenancy.run_version)
        },
    );
    format!("Version {version}, {tenancy}; past triggers in its ledger: {}.", read.lock.ledger.len())
}

/// What the ledger keeps of a trigger.
pub fn entry(known: &LedgerEntry) -> String {
    let LedgerEntry { uid, nonce, entry } = known;
    format!("nonce {nonce} of the run with uid {uid} {}", fate(entry))
}

/// What the ledger says became of a trigger.
pub fn fate(entry: &Entry) -> String {
    match entry {
        Entry::Started(ids) => format!("started the executions: {}", join(ids)),
        Entry::Nothing => "started nothing".to_owned(),
        Entry::Unknown => "may have started something".to_owned(),
    }
}

/// The run that holds the lock.
pub fn holder(holder: &Holder) -> String {
    match holder {
        Holder::Gone => "It does not exist any more (it is not in the file).".to_owned(),
        Holder::Present(run) => {
            let known = if decided(run) { "The outcome of its trigger is known" } else { "The outcome of its trigger is not known" };
            format!("{known}. {}", self::run(run))
        }
    }
}

/// The other runs of the pipeline.
pub fn others(others: &Others) -> String {
    let claimed: Vec<_> = others.claimed.iter().collect();
    let undecided = if others.undecided { "One of them is in doubt" } else { "None of them is in doubt" };
    format!("{undecided}; executions that they show: {}.", join(&claimed))
}

fn account(account: &Account) -> String {
    match account {
        Account::Unknown => "The operator has not looked at it yet.".to_owned(),
        Account::NotReady(why) => format!("Not ready: {why}"),
        Account::Ready(_) => "Ready.".to_owned(),
    }
}
