//! From the custom resource to what the protocol needs, once; after this nothing of the protocol reads the raw object again.

use super::{
    ids::{ExecutionId, InvalidId, Nonce, PipelineId, Uid},
    kept_metadata::LONGEST_ANNOTATION,
    made_by::{is_mirror, schedule_of},
    trigger::run_view::{MadeBy, Run, Scheduled},
    trigger::stored::{Evidence, Marker, RunRef, Trigger, TriggerResult},
};
use nuvo_crds::{
    self, MAX_HISTORY, OnAmbiguousTrigger, PastAttempt, PipelineRun, PipelineRunStatus, TriggerState,
    conditions::Reason,
    well_known::{RESOLVE_ANNOTATION, SCHEDULED_AT_ANNOTATION, TRIGGER_ANNOTATION},
};

/// Why an object cannot be a run. The schema refuses these; an object that was stored before it, or by a server without it, may show them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRun {
    /// A field has a value that the schema would refuse.
    #[error("{field}: {source}")]
    Id {
        /// The field's path.
        field: &'static str,
        /// Why.
        source: InvalidId,
    },
    /// The object did not come from an API server.
    #[error("the object has no {0}")]
    Missing(&'static str),
}

/// A person's answer to a trigger in doubt: the annotation `nuvo.dev/resolve`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// The delivery that it is about.
    pub nonce: String,
    /// What to do.
    pub answer: ResolutionAnswer,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResolutionAnswer {
    /// These executions were started by it.
    Adopt(Vec<ExecutionId>),
    /// Nothing was started (or it does not matter): start another attempt.
    Retry,
    /// Close the run as it is.
    Abandon,
}

/// The annotation `nuvo.dev/resolve`.
///
/// # Errors
/// What is wrong with it and what to write instead.
pub fn resolution(run: &PipelineRun) -> Result<Option<Resolution>, String> {
    let Some(text) = run.metadata.annotations.as_ref().and_then(|all| all.get(RESOLVE_ANNOTATION)) else { return Ok(None) };
    if text.len() > LONGEST_ANNOTATION {
        return Err(format!("the annotation {RESOLVE_ANNOTATION} is longer than {LONGEST_ANNOTATION} bytes"));
    }
    let form = format!("the annotation {RESOLVE_ANNOTATION} must be <nonce>:adopt=<id,...>, <nonce>:retry or <nonce>:abandon");
    let (nonce, answer) = text.trim().split_once(':').ok_or_else(|| form.clone())?;
    let answer = match (answer, answer.strip_prefix("adopt=")) {
        ("retry", _) => ResolutionAnswer::Retry,
        ("abandon", _) => ResolutionAnswer::Abandon,
        (_, Some(ids)) => {
            let ids: Result<Vec<_>, _> = ids.split(',').map(|id| ExecutionId::new(id.trim())).collect();
            ResolutionAnswer::Adopt(ids.map_err(|error| format!("{form} ({error})"))?)
        }
        _ => return Err(form),
    };
    Ok(Some(Resolution { nonce: nonce.to_owned(), answer }))
}

fn result(trigger: &nuvo_crds::Trigger) -> TriggerResult {
    match (trigger.state, trigger.evidence) {
        (TriggerState::Accepted, Some(nuvo_crds::Evidence::Answer)) => TriggerResult::Accepted(Evidence::Answer),
        // Without the word for it the weaker evidence counts: the lock is then kept for the quarantine.
        (TriggerState::Accepted, Some(nuvo_crds::Evidence::Adopted) | None) => TriggerResult::Accepted(Evidence::Adopted),
        (TriggerState::NotExecuted, _) => TriggerResult::NotExecuted,
        (TriggerState::Ambiguous, evidence) => TriggerResult::Ambiguous { executed: evidence == Some(nuvo_crds::Evidence::Answer) },
        (TriggerState::Observed, _) => TriggerResult::Observed,
    }
}

/// Whether a trigger has been in doubt before since a person asked for the run: a policy that triggers again and again would start a pipeline
/// without end while nuvo is unwell. What a full history has forgotten may have been it.
fn was_repeated(status: &PipelineRunStatus) -> bool {
    let asked = status.series.request_time.as_ref().map(|time| time.0);
    let is_since = |past: &&PastAttempt| asked.is_none_or(|asked| past.completion_time.as_ref().is_none_or(|time| time.0 >= asked));
    let since = status.history.iter().filter(is_since);
    let in_doubt = |past: &PastAttempt| past.result.as_deref() == Some(Reason::TriggerOutcomeUnknown.as_str());
    since.clone().any(in_doubt) || since.count() >= MAX_HISTORY
}

/// The attempt of a marker that cannot be read. None if it names another object, from whose manifest it was copied.
fn unread_attempt(text: Option<&String>, id: &RunRef) -> Option<i32> {
    let marker: serde_json::Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let names_another = |field, own: &str| marker.get(field).and_then(serde_json::Value::as_str).is_some_and(|named| named != own);
    if names_another("namespace", &id.namespace) || names_another("name", &id.name) {
        return None;
    }
    let attempt = marker.get("attempt").and_then(serde_json::Value::as_i64).and_then(|attempt| i32::try_from(attempt).ok());
    Some(attempt.unwrap_or(1).max(1))
}

/// Marker and result as far as they speak of this very object, and not of one that it was restored from.
fn bound(
    id: &RunRef,
    attempt: i32,
    recorded_for: Option<&str>,
    marker: Option<Marker>,
    trigger: Option<Trigger>,
) -> (Option<Marker>, Option<Trigger>) {
    let own_marker = marker.as_ref().is_some_and(|marker| marker.run.uid == id.uid);
    match (recorded_for, trigger) {
        // A result of its own: what an earlier object's marker announced has been decided for this one.
        (Some(uid), trigger) if uid == id.uid.as_str() => (marker.filter(|_| own_marker), trigger),
        // Its own marker is newer than the result of another object that was put back over it.
        (Some(_), _) if own_marker => (marker, None),
        // It must not look like an attempt that may go on, whatever the restored status says.
        (Some(_), Some(trigger)) => (marker, Some(Trigger { attempt: trigger.attempt.max(attempt), ..trigger })),
        (_, trigger) => (marker, trigger),
    }
}

/// What made the run. An annotation that is no time is no permission.
fn made_by(run: &PipelineRun) -> MadeBy {
    let annotation = run.metadata.annotations.as_ref().and_then(|all| all.get(SCHEDULED_AT_ANNOTATION));
    let Some(text) = annotation else { return MadeBy::Other };
    match (text.parse(), schedule_of(&run.metadata)) {
        (Ok(slot), Some(schedule)) => {
            MadeBy::Schedule(Box::new(Scheduled { slot, schedule: schedule.name.clone(), uid: schedule.uid.clone() }))
        }
        _ => MadeBy::Unreadable,
    }
}

/// Reads a run's record.
///
/// # Errors
/// [`InvalidRun`] when the object cannot be a run.
pub fn parse(run: &PipelineRun) -> Result<Run, InvalidRun> {
    let meta = &run.metadata;
    let id = RunRef {
        uid: Uid::new(meta.uid.clone().ok_or(InvalidRun::Missing("metadata.uid"))?)
            .map_err(|source| InvalidRun::Id { field: "metadata.uid", source })?,
        namespace: meta.namespace.clone().ok_or(InvalidRun::Missing("metadata.namespace"))?,
        name: meta.name.clone().ok_or(InvalidRun::Missing("metadata.name"))?,
    };
    let pipeline = PipelineId::new(run.spec.pipeline_id.clone()).map_err(|source| InvalidRun::Id { field: "spec.pipelineId", source })?;
    let text = meta.annotations.as_ref().and_then(|all| all.get(TRIGGER_ANNOTATION)).filter(|text| text.len() <= LONGEST_ANNOTATION);
    let marker: Option<Marker> = text.and_then(|text| serde_json::from_str(text).ok());
    let annotated = meta.annotations.as_ref().is_some_and(|all| all.contains_key(TRIGGER_ANNOTATION));
    let unread_marker = if annotated && marker.is_none() { unread_attempt(text, &id) } else { None };
    let status = run.status.clone().unwrap_or_default();
    // A result that cannot be read must not look like none: without a marker it makes the run "lost", never new.
    let trigger = match status.trigger.as_ref().filter(|trigger| trigger.state != TriggerState::Observed) {
        Some(trigger) => {
            let nonce = Nonce::new(trigger.nonce.clone())
                .or_else(|_| Nonce::new("unreadable"))
                .map_err(|source| InvalidRun::Id { field: "status.trigger.nonce", source })?;
            Some(Trigger { nonce, attempt: trigger.attempt, result: result(trigger) })
        }
        None => None,
    };
    let attempt = status.attempt.unwrap_or(1).max(1);
    let recorded_for = status.trigger.as_ref().and_then(|trigger| trigger.uid.as_deref());
    let (marker, trigger) = bound(&id, attempt, recorded_for, marker, trigger);
    // Once another attempt is open, the ids of the trigger's own attempt are in the history.
    let ids = match &trigger {
        Some(trigger) if trigger.attempt < attempt => status
            .history
            .iter()
            .find(|entry| entry.attempt == trigger.attempt)
            .map(|entry| entry.execution_ids.clone())
            .unwrap_or_default(),
        _ => status.current.execution_ids.clone(),
    };
    let answer = resolution(run).ok().flatten();
    let abandons = answer.as_ref().is_some_and(|resolution| resolution.answer == ResolutionAnswer::Abandon);
    let answered = answer.and_then(|resolution| Nonce::new(resolution.nonce).ok());
    Ok(Run {
        id,
        version: meta.resource_version.clone().ok_or(InvalidRun::Missing("metadata.resourceVersion"))?,
        deleting: meta.deletion_timestamp.is_some(),
        suspended: run.spec.suspend,
        pipeline,
        adopt_unproven: run.spec.on_ambiguous_trigger == OnAmbiguousTrigger::Adopt,
        retriggers: run.spec.on_ambiguous_trigger == OnAmbiguousTrigger::Retrigger && !was_repeated(&status),
        concurrency: run.spec.concurrency_policy,
        made_by: made_by(run),
        observes: run.spec.execution_id.is_some(),
        is_mirror: is_mirror(meta),
        attempt,
        ended: status.current.completion_time.is_some(),
        marker,
        unread_marker,
        trigger,
        executions: ids.into_iter().filter_map(|id| ExecutionId::new(id).ok()).collect(),
        abandoned: answered.clone().filter(|_| abandons),
        answered,
    })
}
