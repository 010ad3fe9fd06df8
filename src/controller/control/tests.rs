//! What all kinds have in common, with a reconciler that does what the name of its object says.

use std::collections::VecDeque;

use futures::stream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{predicates, watcher::Event};
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::{controller::wake_queue::WakeSender, shutdown};

/// Why a reconcile fails.
#[derive(Debug, thiserror::Error)]
#[error("it failed")]
struct Failed;

/// What the reconciler was asked for, in order.
type Log = Arc<Mutex<Vec<String>>>;

struct Fake {
    log: Log,
    reconciled: mpsc::UnboundedSender<String>,
}

impl Reconciler for Fake {
    type Object = ConfigMap;
    type Error = Failed;

    const KIND: &'static str = "Fake";

    fn concurrency(&self) -> u16 {
        4
    }

    fn predicate(&self, object: &ConfigMap) -> Option<u64> {
        predicates::generation(object)
    }

    fn on_watch_event(&self, namespace: Option<&str>, event: &Event<ConfigMap>) {
        let kind = match event {
            Event::Apply(_) => "apply",
            Event::Delete(_) => "delete",
            Event::Init => "init",
            Event::InitApply(_) => "list",
            Event::InitDone => "done",
        };
        self.log.lock().push(format!("{kind} {namespace:?}"));
    }

    async fn reconcile(&self, object: Arc<ConfigMap>) -> Result<Action, Failed> {
        self.reconciled.send(object.name_any()).unwrap();
        match object.name_any().as_str() {
            "fails" | "fails-and-panics" | "waits" => Err(Failed),
            "panics" => panic!("as it should"),
            _ => Ok(Action::await_change()),
        }
    }

    async fn after_failure(&self, object: &ConfigMap, failure: &Failure<Failed>) -> Option<Duration> {
        self.log.lock().push(format!("{}: {failure}", object.name_any()));
        match object.name_any().as_str() {
            "fails-and-panics" => panic!("as it should"),
            "waits" => Some(Duration::from_secs(77)),
            _ => None,
        }
    }

    fn forget(&self, object: &ConfigMap) {
        self.log.lock().push(format!("forget {}", object.name_any()));
    }
}

fn object(name: &str) -> ConfigMap {
    let metadata = json!({ "name": name, "namespace": "team", "uid": name, "generation": 1, "managedFields": [{ "manager": "kubectl" }] });
    serde_json::from_value(json!({ "metadata": metadata })).unwrap()
}

type Wakes = WakeSender<ObjectRef<ConfigMap>>;

struct Setting {
    control: Arc<Control<Fake>>,
    writer: Option<Writer<ConfigMap>>,
    log: Log,
    metrics: Arc<Metrics>,
    reconciled: mpsc::UnboundedReceiver<String>,
}

fn setting(cached: &[&str]) -> Setting {
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for name in cached {
        writer.apply_watcher_event(&Event::InitApply(object(name)));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let (sender, reconciled) = mpsc::unbounded_channel();
    let (log, metrics) = (Log::default(), Metrics::new());
    metrics.expose_kind(Fake::KIND);
    let control = Control {
        reconciler: Arc::new(Fake { log: log.clone(), reconciled: sender }),
        metrics: metrics.clone(),
        namespace: Some("team".to_owned()),
        cache: store,
        failures: Mutex::default(),
        is_up: Mutex::default(),
    };
    Setting { control: Arc::new(control), writer: Some(writer), log, metrics, reconciled }
}

impl Setting {
    async fn reconcile(&self, name: &str) -> Action {
        self.control.reconcile(Arc::new(object(name))).await
    }

    fn failures(&self, name: &str) -> Option<u32> {
        self.control.failures.lock().get(name).copied()
    }

    fn assert_metric(&self, sample: &str) {
        let exposition = self.metrics.encode();
        assert!(exposition.lines().any(|line| line == sample), "{sample}\n{exposition}");
    }

    /// Starts the controller on a watch that gives these events and then nothing more.
    fn start(&mut self, events: Vec<EventResult<ConfigMap>>) -> (shutdown::Stop, Wakes, tokio::task::JoinHandle<()>) {
        let (stop, shutdown) = shutdown::channel();
        let (wakes, woken) = wake_queue();
        let mut events = VecDeque::from(events);
        let watch = stream::poll_fn(move |_| match events.pop_front() {
            Some(event) => std::task::Poll::Ready(Some(event)),
            None => std::task::Poll::Pending,
        });
        let writer = self.writer.take().unwrap();
        (stop, wakes, tokio::spawn(self.control.clone().work(watch, writer, woken, shutdown)))
    }
}

fn list(names: &[&str]) -> Vec<EventResult<ConfigMap>> {
    let objects = names.iter().map(|name| Event::InitApply(object(name)));
    std::iter::once(Event::Init).chain(objects).chain([Event::InitDone]).map(Ok).collect()
}

#[tokio::test]
async fn reconcile_that_succeeds_counts_as_ok() {
    let setting = setting(&["works"]);
    assert_eq!(setting.reconcile("works").await, Action::await_change());
    setting.assert_metric(r#"nuvo_operator_reconciles_total{kind="Fake",result="ok"} 1"#);
    setting.assert_metric(r#"nuvo_operator_reconciles_total{kind="Fake",result="error"} 0"#);
    setting.assert_metric(r#"nuvo_operator_reconcile_duration_seconds_count{kind="Fake"} 1"#);
}

#[tokio::test]
async fn error_and_panic_count_as_errors_and_lead_to_another_try() {
    let setting = setting(&["fails", "panics", "fails-and-panics"]);
    for (number, name) in (1..).zip(["fails", "panics", "fails-and-panics"]) {
        assert_eq!(setting.reconcile(name).await, Action::requeue(Duration::from_millis(500)), "{name}");
        setting.assert_metric(&format!(r#"nuvo_operator_reconciles_total{{kind="Fake",result="error"}} {number}"#));
    }
    setting.assert_metric(r#"nuvo_operator_reconciles_total{kind="Fake",result="ok"} 0"#);
    let log = setting.log.lock().clone();
    assert_eq!(log, ["fails: it failed", "panics: the reconcile panicked", "fails-and-panics: it failed"]);
}

#[tokio::test]
async fn wait_after_failures_in_a_row_doubles_until_a_success() {
    let setting = setting(&["fails", "works"]);
    for wait in [500, 1_000, 2_000] {
        assert_eq!(setting.reconcile("fails").await, Action::requeue(Duration::from_millis(wait)));
    }
    setting.reconcile("works").await;
    assert_eq!(setting.failures("fails"), Some(3), "a success of another object changes nothing");
    setting.control.failures.lock().insert("works".to_owned(), 3);
    setting.reconcile("works").await;
    assert_eq!(setting.failures("works"), None);
}

#[tokio::test]
async fn reconciler_can_choose_the_wait_after_a_failure() {
    let setting = setting(&["waits"]);
    assert_eq!(setting.reconcile("waits").await, Action::requeue(Duration::from_secs(77)));
}

#[tokio::test]
async fn object_that_was_deleted_during_its_reconcile_is_forgotten() {
    let setting = setting(&["fails"]);
    setting.reconcile("fails").await;
    let mut other = object("fails");
    other.metadata.uid = Some("another".to_owned());
    setting.control.reconcile(Arc::new(other)).await;
    let log = setting.log.lock().clone();
    assert_eq!(log, ["fails: it failed", "fails: it failed", "forget fails"]);
    assert_eq!((setting.failures("fails"), setting.failures("another")), (Some(1), None));
}

#[tokio::test]
async fn failures_of_deleted_objects_are_forgotten() {
    let setting = setting(&["fails", "panics"]);
    setting.reconcile("fails").await;
    setting.reconcile("panics").await;
    setting.control.on_watch_event(&Ok(Event::Delete(object("fails"))));
    assert_eq!((setting.failures("fails"), setting.failures("panics")), (None, Some(1)));
    setting.control.failures.lock().insert("deleted-while-there-was-no-watch".to_owned(), 1);
    setting.control.on_watch_event(&Ok(Event::InitDone));
    assert_eq!(setting.control.failures.lock().keys().collect::<Vec<_>>(), ["panics"]);
    assert_eq!(setting.log.lock().last().map(String::as_str), Some("done Some(\"team\")"));
}

#[tokio::test]
async fn failed_watch_is_counted() {
    let setting = setting(&[]);
    setting.control.on_watch_event(&Err(watcher::Error::NoResourceVersion));
    setting.assert_metric(r#"nuvo_operator_watch_failures_total{kind="Fake"} 1"#);
    assert!(setting.log.lock().is_empty(), "there is no event");
}

#[tokio::test]
async fn panic_of_one_object_does_not_stop_the_others() {
    let mut setting = setting(&[]);
    let (stop, wakes, work) = setting.start(list(&["panics", "works"]));
    let mut names = [setting.reconciled.recv().await.unwrap(), setting.reconciled.recv().await.unwrap()];
    names.sort_unstable();
    assert_eq!(names, ["panics", "works"]);
    wakes.wake(ObjectRef::from_obj(&object("works")));
    while setting.reconciled.recv().await.unwrap() != "works" {}
    assert!(setting.control.cache.state().iter().all(|object| object.metadata.managed_fields.as_ref().is_none_or(Vec::is_empty)));
    stop.stop();
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap();
}

#[tokio::test]
async fn change_that_the_predicate_does_not_see_leads_to_no_reconcile() {
    let mut setting = setting(&[]);
    let changed = |generation| {
        let mut object = object("works");
        object.metadata.generation = Some(generation);
        Ok(Event::Apply(object))
    };
    let mut events = list(&["works"]);
    events.extend([changed(1), changed(1), Ok(Event::Apply(object("last")))]);
    let (stop, _wakes, work) = setting.start(events);
    let mut names = [setting.reconciled.recv().await.unwrap(), setting.reconciled.recv().await.unwrap()];
    names.sort_unstable();
    assert_eq!(names, ["last", "works"]);
    stop.stop();
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap();
    assert!(setting.reconciled.try_recv().is_err());
}

#[tokio::test]
async fn controller_whose_cache_is_not_filled_ends_at_the_shutdown() {
    let (store, writer) = reflector::store();
    let mut setting = setting(&[]);
    setting.writer = Some(writer);
    Arc::get_mut(&mut setting.control).unwrap().cache = store;
    let (stop, _wakes, work) = setting.start(vec![Ok(Event::Init), Ok(Event::InitApply(object("works")))]);
    stop.stop();
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap();
    assert!(setting.reconciled.try_recv().is_err());
}
