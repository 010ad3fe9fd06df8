//! The run store against an API server of plain answers.

use std::{convert::Infallible, sync::atomic::AtomicUsize};

use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use kube::{client::Body, runtime::watcher::Event};
use parking_lot::Mutex;
use serde_json::Value;

use super::*;

fn run(name: &str, ids: &[&str]) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "team", "uid": name, "resourceVersion": "1" },
        "spec": { "pipelineId": "orders" },
        "status": { "executionIds": ids },
    })
}

fn observer(name: &str, id: &str) -> Value {
    let mut observer = run(name, &[id]);
    observer["spec"]["executionId"] = json!(id);
    observer
}

fn id(name: &str) -> RunRef {
    parse(&serde_json::from_value(run(name, &[])).unwrap()).unwrap().id
}

#[tokio::test]
async fn list_of_other_runs_is_paged_and_of_one_moment() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    let client = Client::new(
        tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let (items, next) = match query.contains("continue=more") {
                false => (vec![run("me", &["mine"]), run("a", &["e1"])], "more"),
                true => (vec![run("b", &["e2"]), observer("o", "e3")], ""),
            };
            log.lock().push(query);
            let list = json!({ "metadata": { "continue": next }, "items": items });
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&list).unwrap()))))
        }),
        "team",
    );
    let mut runs = RunStore::new(client, Metrics::new(), false);
    let (store, _writer) = kube::runtime::reflector::store();
    runs.add(None, store, crate::controller::wake_queue::wake_queue().0);
    let claimed = runs.claimed(&PipelineId::new("orders").unwrap(), &id("me")).await.unwrap();
    assert_eq!(claimed.unwrap().iter().map(ExecutionId::as_str).collect::<Vec<_>>(), ["e1", "e2"]);
    let asked = asked.lock().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for query in asked {
        assert!(query.contains("limit=50") && query.contains("spec.pipelineId%3Dorders"), "{query}");
        assert!(!query.contains("resourceVersion"), "a list of the newest: {query}");
    }
}

#[tokio::test]
async fn undecided_run_is_looked_up_without_a_list_unless_the_index_may_lack_runs() {
    let mut marked = run("marked", &[]);
    let marker = json!({ "uid": "marked", "namespace": "team", "name": "marked", "nonce": "n1", "tenure": "n1", "attempt": 1 });
    marked["metadata"]["annotations"] = json!({ TRIGGER_ANNOTATION: marker.to_string() });
    for (is_selective, is_filled, is_listed) in [(false, true, false), (true, true, true), (false, false, true)] {
        let asked: Arc<AtomicUsize> = Arc::default();
        let (count, list) = (asked.clone(), json!({ "metadata": {}, "items": [marked] }));
        let server = tower::service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&list).unwrap()))))
        });
        let mut runs = RunStore::new(Client::new(server, "team"), Metrics::new(), is_selective);
        for (namespace, is_filled) in [("team", true), ("other", is_filled)] {
            let (store, mut writer) = kube::runtime::reflector::store();
            runs.add(Some(namespace.to_owned()), store, crate::controller::wake_queue::wake_queue().0);
            writer.apply_watcher_event(&Event::Init);
            if namespace == "team" {
                writer.apply_watcher_event(&Event::InitApply(serde_json::from_value(marked.clone()).unwrap()));
            }
            writer.apply_watcher_event(&Event::InitDone);
            if is_filled {
                runs.filled(Some(namespace), Timestamp::UNIX_EPOCH);
            }
        }
        let orders = PipelineId::new("orders").unwrap();
        for (me, found) in [("me", true), ("marked", false)] {
            asked.store(0, Ordering::Relaxed);
            assert_eq!(runs.another_is_undecided(&orders, &id(me)).await.unwrap(), found, "{is_selective} {is_filled} {me}");
            assert_eq!(asked.load(Ordering::Relaxed) > 0, is_listed, "{is_selective} {is_filled}");
        }
    }
}

/// Also runs that may not trigger now: they may have missed a change.
#[tokio::test]
async fn filled_cache_wakes_every_run_that_is_not_at_rest() {
    let server = tower::service_fn(|_: Request<Body>| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
    let mut runs = RunStore::new(Client::new(server, "team"), Metrics::new(), false);
    let (store, mut writer) = kube::runtime::reflector::store();
    let (wakes, mut woken) = crate::controller::wake_queue::wake_queue();
    runs.add(None, store, wakes);
    writer.apply_watcher_event(&Event::Init);
    // All of one pipeline, so that only the first one may be triggered.
    for name in ["a", "b", "c"] {
        let run: PipelineRun = serde_json::from_value(run(name, &[])).unwrap();
        writer.apply_watcher_event(&Event::InitApply(CachedRun::try_from(run).unwrap()));
    }
    writer.apply_watcher_event(&Event::InitDone);
    runs.filled(None, Timestamp::UNIX_EPOCH);
    let mut names: Vec<String> = std::iter::from_fn(|| woken.next().now_or_never()?).map(|run| run.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
}
