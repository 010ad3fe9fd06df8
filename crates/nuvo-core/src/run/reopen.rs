//! What makes a run that ended go on: a new `rerunToken`, a retry that is due, a person's answer to a trigger in doubt, or the policy for
//! one.

use k8s_openapi::jiff::Timestamp;

use super::{
    ids::{ExecutionId, Nonce},
    life::{Life, goes_on},
    parse::{Resolution, ResolutionAnswer, resolution},
    record::{Fate, Trigger},
    verdict::decided,
    view::Run,
};
use nuvo_crds::{PipelineRun, names::RESOLVE_ANNOTATION};

/// How an ended run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reopening {
    /// With this attempt.
    Attempt(i32),
    /// With this attempt, by itself: `spec.retry`, or `spec.onAmbiguousTrigger: Retrigger`.
    Retry(i32),
    /// With executions that a person names; it must be shown first that they belong to the pipeline.
    Adopt(Trigger, Vec<ExecutionId>),
}

/// The attempt that follows every one that a run knows of, whatever has been done to its record.
#[must_use]
pub fn following_attempt(run: &Run) -> i32 {
    let marker = run.marker.as_ref().map_or(0, |marker| marker.attempt);
    let trigger = run.trigger.as_ref().map_or(0, |trigger| trigger.attempt);
    run.attempt.max(marker).max(trigger).saturating_add(1)
}

/// Whether a run whose attempt has ended goes on now, and how.
#[must_use]
pub fn reopening(object: &PipelineRun, run: &Run, now: Timestamp) -> Option<Reopening> {
    goes_on(run, &Life::of(object, Some(run), now))
}

/// The trigger that a person is asked about, if there is one.
pub(super) fn doubtful(run: &Run) -> Option<Trigger> {
    match &run.trigger {
        Some(trigger) if matches!(trigger.fate, Fate::Ambiguous { .. }) => Some(trigger.clone()),
        Some(trigger) if matches!(trigger.fate, Fate::Accepted(_) | Fate::Observed) && run.ancestor_marker().is_none() => None,
        trigger => {
            if let Some(marker) = run.ancestor_marker() {
                return Some(Trigger { nonce: marker.nonce.clone(), attempt: marker.attempt, fate: Fate::Ambiguous { executed: true } });
            }
            trigger.as_ref().filter(|_| run.own_marker().is_none()).cloned()
        }
    }
}

/// The nonce that a person's answer has to name, if one is asked for, or counts at all.
#[must_use]
pub fn in_question(run: &Run) -> Option<Nonce> {
    let marked = || run.own_marker().filter(|_| !decided(run)).map(|marker| marker.nonce.clone());
    doubtful(run).map(|trigger| trigger.nonce).or_else(marked)
}

/// Whether a person has closed the doubt without an answer.
pub(super) fn abandoned(run: &Run) -> bool {
    run.abandoned.is_some() && doubtful(run).map(|trigger| trigger.nonce) == run.abandoned
}

/// What a person is told who has to decide.
pub(super) fn question(nonce: &str, why: &str) -> String {
    format!(
        "{why} Look in nuvo whether the pipeline ran, then answer with the annotation {RESOLVE_ANNOTATION}: \"{nonce}:adopt=<execution id>\", \
         \"{nonce}:retry\" or \"{nonce}:abandon\" (kubectl annotate --overwrite)."
    )
}

/// What to say about a person's answer that does not make the run go on.
pub(super) fn reply(object: &PipelineRun, run: &Run) -> Option<String> {
    let doubtful = doubtful(run)?;
    let nonce = doubtful.nonce.as_str();
    match resolution(object) {
        Ok(None) => None,
        Ok(Some(answer)) if answer.nonce != nonce => {
            let named: String = answer.nonce.chars().take(64).collect();
            let why =
                format!("The annotation {RESOLVE_ANNOTATION} names \"{named}\", which is not the trigger in doubt; nothing was changed.");
            Some(question(nonce, &why))
        }
        Ok(Some(Resolution { answer: ResolutionAnswer::Abandon, .. })) => {
            Some(format!("A person has closed this run without finding out what its trigger started ({RESOLVE_ANNOTATION}: abandon)."))
        }
        Ok(Some(_)) => None,
        Err(message) => Some(question(nonce, &format!("{message}; nothing was changed."))),
    }
}
