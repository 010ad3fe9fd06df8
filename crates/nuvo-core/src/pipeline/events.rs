//! The events of a change of the status of a `NuvoPipeline`.

use nuvo_crds::{
    NuvoPipelineStatus,
    conditions::{self, FRESH, LAST_EXECUTION_SUCCEEDED, QUALITY_GATE_PASSED, READY},
};

/// An event for `kubectl describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineEvent {
    /// A person may have to act on it.
    pub warning: bool,
    /// In PascalCase.
    pub reason: &'static str,
    /// What the operator did, in PascalCase.
    pub action: &'static str,
    /// For people.
    pub note: String,
}

/// The events that a change of the status is worth.
#[must_use]
pub fn events_of_pipeline(old: Option<&NuvoPipelineStatus>, new: &NuvoPipelineStatus) -> Vec<PipelineEvent> {
    let condition = |status: &NuvoPipelineStatus, type_: &str| {
        conditions::find(&status.conditions, type_).map(|found| (found.status.clone(), found.reason.clone(), found.message.clone()))
    };
    let change = |type_: &str| {
        let now = condition(new, type_)?;
        let before = old.and_then(|old| condition(old, type_));
        let is_same = before.as_ref().is_some_and(|before| (&before.0, &before.1) == (&now.0, &now.1));
        (!is_same).then_some((before.map(|before| before.0), now))
    };
    let mut events = Vec::new();
    let mut tell = |warning, reason, action, note: &str| events.push(PipelineEvent { warning, reason, action, note: note.to_owned() });
    if let Some((before, (now, _, note))) = change(FRESH) {
        match (before.as_deref(), now.as_str()) {
            (before, "False") if before != Some("False") => tell(true, "Stale", "Observe", &note),
            (Some("False"), "True") => tell(false, "FreshAgain", "Observe", &note),
            _ => {}
        }
    }
    let failed = |status: &NuvoPipelineStatus| status.last_failure.as_ref().map(|failure| failure.id.clone());
    if let Some((status, _, note)) = condition(new, LAST_EXECUTION_SUCCEEDED) {
        let before = old.and_then(|old| condition(old, LAST_EXECUTION_SUCCEEDED)).map(|before| before.0);
        let is_another = old.and_then(failed) != failed(new);
        if status == "False" && (before.as_deref() != Some("False") || is_another) {
            tell(true, "ExecutionFailed", "Observe", &note);
        } else if status == "True" && before.as_deref() == Some("False") {
            tell(false, "ExecutionSucceeded", "Observe", &note);
        }
    }
    let judged = |status: &NuvoPipelineStatus| status.last_success.as_ref().map(|success| success.id.clone());
    if let Some((status, _, note)) = condition(new, QUALITY_GATE_PASSED) {
        let before = old.and_then(|old| condition(old, QUALITY_GATE_PASSED)).map(|before| before.0);
        let is_another = old.and_then(judged) != judged(new);
        if status == "False" && (before.as_deref() != Some("False") || is_another) {
            tell(true, "QualityGateFailed", "Judge", &note);
        }
    }
    if let Some((_, (_, reason, note))) = change(READY) {
        match reason.as_str() {
            "PipelineNotFound" => tell(true, "NotFound", "Observe", &note),
            "PipelineForbidden" => tell(true, "Forbidden", "Observe", &note),
            _ => {}
        }
    }
    events
}
