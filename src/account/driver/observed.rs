//! How the driver of an account reaches the pipelines that are observed, and what nuvo's answers say to them.

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use nuvo_client::{Error, Execution, NuvoTime, Page, Pipeline};
use nuvo_core::{
    pipeline::{Details, NuvoInstant, Sighting},
    scheduler::{ObservationAnswer, ObservedPage, PipelineRef},
};
use nuvo_crds::{AboutPipeline, NuvoPipeline};
use std::time::Duration;

use super::shown_execution::shown_execution;

/// Wakes the objects of pipelines that are observed.
pub trait PipelineNotifier: Send + Sync {
    /// Has the object reconciled again.
    fn wake_pipeline(&self, pipeline: &ObjectRef<NuvoPipeline>);
    /// The time of day.
    fn now(&self) -> Timestamp;
}

/// The reference to an object, as caches and queues have it.
#[must_use]
pub fn pipeline_object_ref(pipeline: &PipelineRef) -> ObjectRef<NuvoPipeline> {
    let mut reference = ObjectRef::new(&pipeline.name).within(&pipeline.namespace);
    reference.extra.uid = Some(pipeline.uid.to_string());
    reference
}

/// What a page has shown.
pub(super) fn observed_page(began: Duration, page: &Page) -> ObservedPage {
    let unplaced = page.items.iter().filter(|execution| execution.pipeline.is_none()).count();
    ObservedPage {
        began,
        sightings: page.items.iter().map(|execution| (execution.pipeline.clone(), sighting(execution, false))).collect(),
        sent: page.sent,
        unreadable: page.unreadable.saturating_add(unplaced),
        is_last: page.short,
    }
}

/// What an answer about one execution has shown.
pub(super) fn execution_answer(result: Result<Execution, Error>) -> ObservationAnswer {
    match result {
        Ok(execution) => ObservationAnswer::Execution(execution.pipeline.clone(), Box::new(sighting(&execution, true))),
        Err(error) => refusal(&error),
    }
}

/// What an answer about a pipeline has shown.
pub(super) fn pipeline_answer(result: Result<Pipeline, Error>) -> ObservationAnswer {
    match result {
        Ok(Pipeline { name, active, draft, developer_mode, input_trigger, schedule }) => ObservationAnswer::Pipeline(AboutPipeline {
            name,
            active_in_nuvo: active,
            draft,
            developer_mode,
            input_trigger,
            nuvo_schedule: schedule,
        }),
        Err(error) => refusal(&error),
    }
}

/// Why there is no answer.
pub(super) fn refusal(error: &Error) -> ObservationAnswer {
    match error {
        Error::Forbidden => ObservationAnswer::Forbidden,
        Error::NotFound => ObservationAnswer::NotFound,
        error => ObservationAnswer::Failed(error.to_string()),
    }
}

/// An execution as it is observed. Only a read by its id shows its logs.
fn sighting(execution: &Execution, is_read: bool) -> Sighting {
    let instant = |time: &Option<NuvoTime>| time.as_ref().and_then(|time| Some(NuvoInstant { at: time.at?, is_zoned: time.is_zoned }));
    let details = is_read.then(|| Details { stats: shown_execution(execution).stats, ended: ended(execution) });
    Sighting {
        id: execution.id.clone(),
        status: execution.status.clone(),
        trigger_type: execution.trigger_type.clone(),
        created: instant(&execution.created_at),
        updated: instant(&execution.updated_at),
        error_type: execution.error.as_ref().and_then(|error| error.kind.clone()).filter(|kind| !kind.is_empty()),
        created_by: execution.creator.clone(),
        details,
    }
}

/// The end of its last log run, if that names a zone.
fn ended(execution: &Execution) -> Option<Timestamp> {
    let last = execution.logs.last()?;
    let started = last.started_at.as_ref().filter(|started| started.is_zoned)?;
    let took = Duration::from_millis(u64::try_from(last.duration_ms?).ok()?);
    started.at?.checked_add(took).ok()
}
