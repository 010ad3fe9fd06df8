//! The events and metrics of a change of the status.

use k8s_openapi::jiff::SignedDuration;

use super::status::{reason, stored_message};
use nuvo_crds::{Evidence, PipelineRunStatus, TriggerState, conditions::Reason};

/// An event for `kubectl describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// A person may have to act on it.
    pub warning: bool,
    /// In PascalCase.
    pub reason: &'static str,
    /// What the operator did, in PascalCase; after the first attempt with the attempt's number, because Kubernetes counts an event that
    /// differs only in its note as the earlier one, and shows the earlier note.
    pub action: String,
    /// For people.
    pub note: String,
}

/// How a run ended, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub reason: Reason,
    /// nuvo's word for the error; empty without one.
    pub error_type: String,
    /// From start to end; none if it never started.
    pub took: Option<SignedDuration>,
}

/// The events that a change of the status is worth: none for what only moves on.
#[must_use]
pub fn events_of_change(old: Option<&PipelineRunStatus>, new: &PipelineRunStatus) -> Vec<RunEvent> {
    let mut events = Vec::new();
    let action = |word: &str| match new.attempt {
        Some(attempt) if attempt > 1 => format!("{word}Attempt{attempt}"),
        _ => word.to_owned(),
    };
    let (Some(now), before) = (reason(new), old.and_then(reason)) else { return events };
    let accepted = |status: &PipelineRunStatus| {
        status
            .trigger
            .as_ref()
            .filter(|trigger| trigger.state == TriggerState::Accepted)
            .map(|trigger| (trigger.nonce.clone(), trigger.evidence))
    };
    if let Some((nonce, evidence)) = accepted(new)
        && old.and_then(accepted).is_none_or(|(earlier, _)| earlier != nonce)
    {
        let count = new.current.execution_ids.len();
        let started = new.current.execution_ids.first().map_or_else(
            || "nothing to process".to_owned(),
            |first| if count == 1 { format!("execution {first}") } else { format!("{count} executions, the first is {first}") },
        );
        let (reason, note) = match evidence {
            Some(Evidence::Adopted) => ("Adopted", format!("The answer to the trigger was lost. Found in nuvo: {started}.")),
            Some(Evidence::Answer) | None => ("Triggered", format!("nuvo accepted the trigger: {started}.")),
        };
        events.push(RunEvent { warning: false, reason, action: action("Trigger"), note });
    }
    if let Some(token) = old.and_then(|old| old.waiting_rerun_token.as_ref())
        && new.waiting_rerun_token.is_none()
        && new.series.rerun_token.as_ref() != Some(token)
    {
        let note = format!(
            "The rerunToken {token} was waiting for the end of the run, and was removed from the spec before. Nothing is started for it. If a tool \
             like Flux has removed it, set the token in Git."
        );
        events.push(RunEvent { warning: true, reason: "RerunTokenRemoved", action: action("Rerun"), note });
    }
    if before == Some(now) {
        return events;
    }
    let (warning, reason, word) = match now {
        Reason::Succeeded | Reason::NothingToProcess | Reason::Skipped => (false, "Succeeded", "Finish"),
        Reason::FixedInNuvo => (false, "Fixed", "Finish"),
        Reason::TriggerOutcomeUnknown | Reason::StatusLost => (true, "TriggerOutcomeUnknown", "Trigger"),
        Reason::AccountNotReady => (true, "AccountNotReady", "Wait"),
        Reason::RetryScheduled => (false, "RetryScheduled", "Retry"),
        reason if reason.is_final() => (true, "Failed", "Finish"),
        _ => return events,
    };
    events.push(RunEvent { warning, reason, action: action(word), note: stored_message(new).unwrap_or_default() });
    events
}

/// The end of a run, if this change of its status is one.
#[must_use]
pub fn ending(old: Option<&PipelineRunStatus>, new: &PipelineRunStatus) -> Option<Ending> {
    let ended = new.current.completion_time.as_ref()?;
    if old.is_some_and(|old| old.current.completion_time.is_some()) {
        return None;
    }
    Some(Ending {
        reason: reason(new)?,
        error_type: new.current.error.as_ref().and_then(|error| error.error_type.clone()).unwrap_or_default(),
        took: new.series.start_time.as_ref().map(|start| ended.0.duration_since(start.0)),
    })
}
