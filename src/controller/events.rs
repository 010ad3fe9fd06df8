//! Events for `kubectl describe`. They are published once and never retried, because the status has the same information.
//!
//! kube has a recorder for this, but it makes the name of an event of the whole name of its object, which is too long for long ones.

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::{
    api::events::v1::{Event, EventSeries},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use parking_lot::Mutex;
use serde_json::json;

use super::api_call::{CallError, call};
use crate::{checked_clock::CheckedClock, telemetry::Metrics};
use nuvo_core::{pipeline::PipelineEvent, run::RunEvent, schedule::ScheduleEvent};

/// The name of the operator in events.
const CONTROLLER: &str = "nuvo-operator";
/// The longest note that the API server takes is 1 kB.
const MAX_NOTE: usize = 1_000;
/// The longest name that the API server takes.
const MAX_NAME: usize = 253;
/// How long one event may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many events are remembered, to count repeated ones.
const REMEMBERED: usize = 1_000;
/// A repetition after this time is another event, as for Kubernetes' own components.
const SERIES_ENDS_AFTER: SignedDuration = SignedDuration::from_mins(6);

/// What an event says.
#[derive(Debug, Clone)]
pub struct Notice {
    warning: bool,
    reason: &'static str,
    action: String,
    note: String,
}

impl From<RunEvent> for Notice {
    fn from(RunEvent { warning, reason, action, note }: RunEvent) -> Self {
        Self { warning, reason, action, note }
    }
}

impl From<PipelineEvent> for Notice {
    fn from(PipelineEvent { warning, reason, action, note }: PipelineEvent) -> Self {
        Self { warning, reason, action: action.to_owned(), note }
    }
}

impl From<ScheduleEvent> for Notice {
    fn from(ScheduleEvent { warning, reason, note }: ScheduleEvent) -> Self {
        Self { warning, reason, action: "Schedule".to_owned(), note }
    }
}

/// Publishes events about objects.
pub struct Events {
    client: Client,
    instance: String,
    metrics: Arc<Metrics>,
    clock: Arc<CheckedClock>,
    recent: Mutex<HashMap<EventKey, Published>>,
}

/// What makes two events the same one, repeated. The note is not a part of it, as for Kubernetes' own components.
#[derive(PartialEq, Eq, Hash)]
struct EventKey {
    uid: String,
    warning: bool,
    reason: &'static str,
    action: String,
}

/// An event that was published.
#[derive(Clone)]
struct Published {
    name: String,
    count: i32,
    last: Timestamp,
}

impl Events {
    /// Publishes in the name of this process.
    #[must_use]
    pub fn new(client: Client, identity: &str, metrics: Arc<Metrics>, clock: Arc<CheckedClock>) -> Self {
        Self { client, instance: identity.chars().take(128).collect(), metrics, clock, recent: Mutex::default() }
    }

    /// Publishes an event about an object.
    pub async fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, notice: Notice) {
        self.metrics.kube_write("events");
        let published = tokio::time::timeout(TIMEOUT, self.create_or_count(object, notice));
        match published.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the event was not published"),
            Err(_) => tracing::debug!("the event was not published in time"),
        }
    }

    async fn create_or_count<K: Resource<DynamicType = ()>>(&self, object: &K, notice: Notice) -> Result<(), CallError> {
        let now = self.clock.now();
        let key = EventKey {
            uid: object.uid().unwrap_or_default(),
            warning: notice.warning,
            reason: notice.reason,
            action: notice.action.clone(),
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let earlier = self.recent.lock().get(&key).filter(|earlier| now.duration_since(earlier.last) < SERIES_ENDS_AFTER).cloned();
        let published = if let Some(Published { name, count, .. }) = earlier {
            let count = count.saturating_add(1);
            let patch = json!({ "series": EventSeries { count, last_observed_time: MicroTime(now) } });
            call("count the event", api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))).await?;
            Published { name, count, last: now }
        } else {
            let event = self.event(object, notice, now);
            call("create the event", api.create(&PostParams::default(), &event)).await?;
            Published { name: event.name_any(), count: 1, last: now }
        };
        let mut recent = self.recent.lock();
        if recent.len() >= REMEMBERED {
            recent.clear();
        }
        recent.insert(key, published);
        Ok(())
    }

    fn event<K: Resource<DynamicType = ()>>(&self, object: &K, notice: Notice, now: Timestamp) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(event_name(&object.name_any(), now)),
                namespace: object.namespace(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(notice.reason.to_owned()),
            action: Some(notice.action),
            note: Some(bounded(&notice.note, MAX_NOTE).to_owned()),
            regarding: Some(object.object_ref(&())),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

/// As Kubernetes' own components name events: the name of the object and the time, with as much of the name as there is room for.
fn event_name(object: &str, now: Timestamp) -> String {
    let suffix = format!(".{:x}", now.as_nanosecond());
    let name = bounded(object, MAX_NAME.saturating_sub(suffix.len()));
    // No part of a name between two dots may end with a dash or be empty.
    format!("{}{suffix}", name.trim_end_matches(['-', '.']))
}

/// As many characters of a text as have room in so many bytes.
fn bounded(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
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
        let metrics = Metrics::new();
        let clock = CheckedClock::new(Timestamp::now, metrics.clone());
        let events = Events::new(Client::new(server, "team"), "test", metrics, clock);
        let publish = async |name: &str| {
            let metadata = serde_json::json!({ "name": name, "namespace": "team", "uid": name });
            let run = serde_json::json!({ "metadata": metadata, "spec": { "pipelineId": "orders" } });
            let notice = RunEvent { warning: false, reason: "Triggered", action: "Trigger".into(), note: "It began.".into() };
            let run: nuvo_crds::PipelineRun = serde_json::from_value(run).unwrap();
            events.publish(&run, notice.into()).await;
            methods.lock().pop()
        };
        assert_eq!(publish("first").await, Some(Method::POST));
        assert_eq!(publish("first").await, Some(Method::PATCH));
        for number in 0..REMEMBERED {
            assert_eq!(publish(&format!("run-{number}")).await, Some(Method::POST));
        }
        assert_eq!(publish("first").await, Some(Method::POST), "its first time was forgotten");
    }

    #[test]
    fn event_name_of_a_long_object_name_is_a_valid_name() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(event_name("orders", now), "orders.18fae27693b40000");
        let parts = format!("{}-.{}", "a".repeat(235), "b".repeat(16));
        for (object, kept) in [("a".repeat(253), 236), ("a".repeat(236), 236), (parts, 235)] {
            let name = event_name(&object, now);
            assert_eq!((name.len(), name.split_once('.').map(|(kept, _)| kept)), (kept + 17, object.get(..kept)));
        }
    }

    #[test]
    fn note_is_cut_between_characters() {
        assert_eq!(["ab", "abc", "abcd", "abä"].map(|text| bounded(text, 3)), ["ab", "abc", "abc", "ab"]);
    }
}
