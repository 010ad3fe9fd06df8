//! The test oracle: decides from the evidence whether a plan violated an invariant. Pure.

use std::collections::{BTreeMap, BTreeSet};

use nuvo_crds::PipelineRun;
use nuvo_crds::conditions::Reason;

use super::evidence::{Attempt, Evidence};
use super::fault::Fault;
use super::plan::Plan;

/// How a plan ended that violated no invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Like the reference run.
    AsReference,
    /// A run is in doubt, and its outcome was unknowable.
    InDoubt,
    /// The fault was not injected: its request never came.
    NotInjected,
}

/// How a run ended, as far as it must be the same in every plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    name: String,
    reason: String,
    executions: usize,
}

/// The verdict, or the violations.
pub fn judge(plan: &Plan, evidence: &Evidence, reference: &Evidence) -> Result<Verdict, Vec<String>> {
    let mut broken = evidence.complaints.clone();
    // The network may deliver a POST twice; only the server could prevent that.
    let twice = plan.fault == Fault::Twice && plan.operation.kind.is_trigger();
    broken.extend(invariant_violations(evidence, if twice { 2 } else { 1 }));
    let in_doubt: Vec<&PipelineRun> = evidence.runs.iter().filter(|run| reason(run) == Reason::TriggerOutcomeUnknown.as_str()).collect();
    let hidden = plan.workload.refuses_the_first_post() && plan.fault.hides_a_refusal(&plan.operation);
    let is_claimed = plan.fault.claims_what_is_in_doubt();
    let may_doubt = hidden || is_claimed || plan.fault.makes_outcome_unknowable(&plan.operation);
    for run in &in_doubt {
        let name = name(run);
        // An operator that dies may have announced a POST of this run and not sent it, or not recorded its refusal: the one
        // routine exception of the protocol.
        let died_before = plan.fault.is_death() && !may_have_started(evidence, run);
        if !may_doubt && !died_before {
            broken.push(format!("{name} is in doubt, though its outcome could be known"));
        }
        // What lands after the settle time cannot have been seen.
        let late = plan.fault == Fault::PauseBefore;
        if !late && !is_claimed && started_in_vain(evidence, run) {
            broken.push(format!("P3: {name} is in doubt, though nuvo's list shows what it started"));
        }
    }
    if in_doubt.is_empty() && evidence.incident_over {
        let (seen, wanted) = (ends(evidence), ends(reference));
        if seen != wanted {
            broken.push(format!("ended differently than without the fault: {seen:?} instead of {wanted:?}"));
        }
    }
    let most = reference.writes().saturating_mul(2).saturating_add(8);
    // What a tenant creates is written, too.
    if !plan.workload.has_tenant() && evidence.writes() > most {
        broken.push(format!("{} writes to the API server, of at most {most}", evidence.writes()));
    }
    if evidence.logs.contains("panicked") {
        broken.push("an operator panicked".to_owned());
    }
    match (broken.is_empty(), evidence.injected) {
        (false, _) => Err(broken),
        (true, false) => Ok(Verdict::NotInjected),
        (true, true) if in_doubt.is_empty() => Ok(Verdict::AsReference),
        (true, true) => Ok(Verdict::InDoubt),
    }
}

/// Violations of P1 and P2. `deliveries`: how often the network may have delivered a POST.
pub fn invariant_violations(evidence: &Evidence, deliveries: usize) -> Vec<String> {
    let mut broken = posts(evidence, deliveries);
    broken.extend(ownership(evidence));
    broken
}

/// How many runs are in doubt although they have started something.
pub fn doubted_in_vain(evidence: &Evidence) -> usize {
    evidence.runs.iter().filter(|run| reason(run) == Reason::TriggerOutcomeUnknown.as_str() && started_in_vain(evidence, run)).count()
}

/// How many executions a run shows.
pub fn shown_count(run: &PipelineRun) -> usize {
    shown(run).len()
}

fn started_in_vain(evidence: &Evidence, run: &PipelineRun) -> bool {
    evidence.carried_out.keys().any(|nonce| belongs(evidence, nonce, run)) && shown(run).is_empty()
}

/// P1: at most one POST for an attempt that was not certainly refused; and each POST was announced.
fn posts(evidence: &Evidence, most: usize) -> Vec<String> {
    let mut broken = Vec::new();
    let mut sent: BTreeMap<&Attempt, usize> = BTreeMap::new();
    for delivery in &evidence.deliveries {
        let Some(attempt) = evidence.markers.get(&delivery.nonce) else {
            broken.push(format!("P1: the POST {} was never announced", delivery.nonce));
            continue;
        };
        if !delivery.is_refused() {
            let count = sent.entry(attempt).or_default();
            *count = count.saturating_add(1);
        }
    }
    broken.extend(sent.iter().filter(|(_, count)| **count > 1).map(|(attempt, count)| format!("P1: {count} POSTs for {attempt:?}")));
    let mut executed: BTreeMap<&Attempt, usize> = BTreeMap::new();
    for (nonce, count) in &evidence.carried_out {
        if let Some(attempt) = evidence.markers.get(nonce) {
            let sum = executed.entry(attempt).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    broken.extend(executed.iter().filter(|(_, count)| **count > most).map(|(attempt, count)| format!("P1: {attempt:?} ran {count} times")));
    broken
}

/// P2: a run shows only what it started, and no execution is shown by two.
fn ownership(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for run in evidence.runs.iter().chain(&evidence.tenant_runs) {
        let (name, uid) = (name(run), run.metadata.uid.clone().unwrap_or_default());
        for id in shown(run) {
            let nonce = evidence.executions.get(&id).cloned().flatten();
            let owner = nonce.and_then(|nonce| evidence.markers.get(&nonce)).map(|attempt| attempt.uid.clone());
            if owner.as_ref() != Some(&uid) {
                broken.push(format!("P2: {name} shows {id}, which it has not started"));
            }
            if !seen.insert(id.clone()) {
                broken.push(format!("P2: {id} is shown twice, also by {name}"));
            }
        }
    }
    broken
}

/// Whether a POST of this run has left an operator.
fn may_have_started(evidence: &Evidence, run: &PipelineRun) -> bool {
    evidence.deliveries.iter().any(|delivery| !delivery.is_refused() && belongs(evidence, &delivery.nonce, run))
}

fn belongs(evidence: &Evidence, nonce: &str, run: &PipelineRun) -> bool {
    evidence.markers.get(nonce).is_some_and(|attempt| Some(&attempt.uid) == run.metadata.uid.as_ref())
}

/// Every execution that a run shows, of earlier attempts too.
fn shown(run: &PipelineRun) -> Vec<String> {
    let status = run.status.iter();
    status
        .flat_map(|status| status.current.execution_ids.iter().chain(status.history.iter().flat_map(|past| &past.execution_ids)))
        .cloned()
        .collect()
}

fn ends(evidence: &Evidence) -> Vec<End> {
    let mut ends: Vec<End> =
        evidence.runs.iter().map(|run| End { name: name(run), reason: reason(run).to_owned(), executions: shown(run).len() }).collect();
    ends.sort_by(|a, b| a.name.cmp(&b.name));
    ends
}

/// `metadata.name`.
pub fn name(run: &PipelineRun) -> String {
    run.metadata.name.clone().unwrap_or_default()
}

/// The reason of `Succeeded`.
pub fn reason(run: &PipelineRun) -> &str {
    let conditions = run.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|condition| condition.type_ == "Succeeded").map(|condition| condition.reason.as_str()).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
