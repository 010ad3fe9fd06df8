//! Events for `kubectl describe`. They are told once and never retried: the status is what counts.

use kube::{
    Resource,
    runtime::events::{Event, EventType, Recorder},
};

use crate::{api::PipelineRun, run::Notice, telemetry::Metrics};

/// The longest note that the API server takes is 1 kB.
const MAX_NOTE: usize = 1_000;
/// How long one event may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Publishes an event about a run.
pub async fn publish(recorder: &Recorder, metrics: &Metrics, object: &PipelineRun, notice: Notice) {
    let mut note = String::new();
    for letter in notice.note.chars() {
        if note.len().saturating_add(letter.len_utf8()) > MAX_NOTE {
            break;
        }
        note.push(letter);
    }
    let event = Event {
        type_: if notice.warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason.to_owned(),
        note: Some(note),
        action: notice.action,
        secondary: None,
    };
    metrics.kube_write("events");
    match tokio::time::timeout(TIMEOUT, recorder.publish(&event, &object.object_ref(&()))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the event was not published"),
        Err(_) => tracing::debug!("the event was not published in time"),
    }
}
