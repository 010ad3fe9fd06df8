//! Events for `kubectl describe`. They are published once and never retried, because the status has the same information.

use std::sync::Arc;

use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use parking_lot::Mutex;

use crate::telemetry::Metrics;
use nuvo_core::run::RunEvent;
use nuvo_crds::PipelineRun;

/// The longest note that the API server takes is 1 kB.
const MAX_NOTE: usize = 1_000;
/// How long one event may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// How many events are remembered, to count repeated ones: about 2 MB. kube's recorder remembers all events of the last six minutes, and
/// forgets old ones only when it publishes another.
const REMEMBERED: usize = 1_000;

/// Publishes events about runs.
pub struct Events {
    client: Client,
    reporter: Reporter,
    metrics: Arc<Metrics>,
    /// The recorder, and how many events it may remember.
    recorder: Mutex<(Recorder, usize)>,
}

impl Events {
    /// Publishes in the name of this process.
    #[must_use]
    pub fn new(client: Client, identity: &str, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: "nuvo-operator".to_owned(), instance: Some(identity.chars().take(128).collect()) };
        let recorder = Mutex::new((Recorder::new(client.clone(), reporter.clone()), 0));
        Self { client, reporter, metrics, recorder }
    }

    fn recorder(&self) -> Recorder {
        let mut recorder = self.recorder.lock();
        let (current, used) = &mut *recorder;
        if *used >= REMEMBERED {
            (*current, *used) = (Recorder::new(self.client.clone(), self.reporter.clone()), 0);
        }
        *used = used.saturating_add(1);
        current.clone()
    }

    /// Publishes an event about a run.
    pub async fn publish(&self, object: &PipelineRun, notice: RunEvent) {
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
        self.metrics.kube_write("events");
        match tokio::time::timeout(TIMEOUT, self.recorder().publish(&event, &object.object_ref(&()))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the event was not published"),
            Err(_) => tracing::debug!("the event was not published in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Method, Request, Response};
    use kube::client::Body;

    use super::*;

    #[tokio::test]
    async fn repeated_event_is_counted_until_many_others_came_between() {
        let methods: Arc<Mutex<Vec<Method>>> = Arc::default();
        let log = methods.clone();
        let server = tower::service_fn(move |request: Request<Body>| {
            log.lock().push(request.method().clone());
            let event = r#"{"metadata":{"name":"event"},"eventTime":null}"#;
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::from(event.as_bytes().to_vec()))))
        });
        let events = Events::new(Client::new(server, "team"), "test", Metrics::new());
        let publish = async |name: &str| {
            let metadata = serde_json::json!({ "name": name, "namespace": "team", "uid": name });
            let run = serde_json::json!({ "metadata": metadata, "spec": { "pipelineId": "orders" } });
            let notice = RunEvent { warning: false, reason: "Triggered", action: "Trigger".into(), note: "It began.".into() };
            events.publish(&serde_json::from_value(run).unwrap(), notice).await;
            methods.lock().pop()
        };
        assert_eq!(publish("first").await, Some(Method::POST));
        assert_eq!(publish("first").await, Some(Method::PATCH));
        for number in 2..REMEMBERED {
            assert_eq!(publish(&format!("run-{number}")).await, Some(Method::POST));
        }
        assert_eq!(publish("first").await, Some(Method::POST), "its first time was forgotten");
    }
}
