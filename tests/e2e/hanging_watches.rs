//! Lists and watches of the API server that never answer.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use controlplane::{
    Proxy,
    proxy::{Action, RequestInfo},
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Config,
    api::{ListParams, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use nuvo_crds::{Phase, PipelineRun};
use nuvo_operator::{checked_clock::CheckedClock, operator, telemetry::Metrics};
use nuvo_sim::Pipeline;
use serde_json::json;

use crate::environment::{Environment, WITHIN, assert_consistent, block_on, same};

fn orders() -> Pipeline {
    Pipeline::new("orders").duration(Duration::from_millis(300))
}

/// A list of the runs that fills the cache; the one at the start asks for one object only, and one before a trigger for one pipeline.
fn fills_the_cache(request: &RequestInfo) -> bool {
    let list = request.method == "GET" && request.path.ends_with("/pipelineruns") && !request.is_watch();
    list && request.query.split('&').any(|part| part == "limit=50") && !request.query.contains("fieldSelector")
}

#[test]
fn first_list_without_an_answer_is_repeated() {
    let env = Environment::new("hanging", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    let first = AtomicBool::new(true);
    proxy.set_rules(move |request| {
        if fills_the_cache(request) && first.swap(false, Ordering::Relaxed) { Action::HoldBeforeForward } else { Action::Forward }
    });
    let _operator = env.operator_through(&proxy, &[]);
    assert!(proxy.wait_for(|exchange| fills_the_cache(&exchange.request) && exchange.held, WITHIN).is_some());
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("lists", proxy.journal().iter().filter(|exchange| fills_the_cache(&exchange.request)).count(), 2);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn operator_whose_cache_is_not_filled_stops_at_sigterm() {
    let env = Environment::new("unfilled", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    proxy.set_rules(|request| if fills_the_cache(request) { Action::HoldBeforeForward } else { Action::Forward });
    let operator = env.operator_through(&proxy, &[]);
    assert!(proxy.wait_for(|exchange| fills_the_cache(&exchange.request) && exchange.held, WITHIN).is_some());
    assert_eq!(operator.stop(), Some(0));
}

/// The operator's client with other times.
fn runs(env: &Environment, kubeconfig: &Path, answer: Duration, silence: Duration) -> Api<PipelineRun> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let client = block_on(async {
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        operator::client(config, answer, silence, &CheckedClock::new(Timestamp::now, Metrics::new())).unwrap()
    });
    Api::namespaced(client, &env.namespace)
}

#[test]
fn watch_without_an_answer_is_restarted() {
    let env = Environment::new("hanging", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    let first = AtomicBool::new(true);
    proxy.set_rules(
        move |request| {
            if request.is_watch() && first.swap(false, Ordering::Relaxed) { Action::HoldBeforeForward } else { Action::Forward }
        },
    );
    let api = runs(&env, &proxy.kubeconfig(&env.kubeconfig).unwrap(), Duration::from_secs(1), Duration::from_secs(300));
    let applied = async move {
        let events = watcher(api, watcher::Config::default()).filter_map(|event| async move {
            match event {
                Ok(watcher::Event::Apply(run)) => Some(run),
                _ => None,
            }
        });
        tokio::time::timeout(WITHIN, std::pin::pin!(events).next()).await.expect("the watch hangs")
    };
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| block_on(applied));
        assert!(proxy.wait_for(|exchange| exchange.request.is_watch() && exchange.held, WITHIN).is_some());
        // After the list, so that only a watch can deliver it.
        env.start("orders", "orders", json!({}));
        watching.join().unwrap()
    });
    same("seen", seen.and_then(|run| run.metadata.name).as_deref(), Some("orders"));
}

#[test]
fn stalled_answer_is_dropped_and_idle_watch_is_kept() {
    let env = Environment::new("silent", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    let silence = Duration::from_secs(4);
    let api = runs(&env, &proxy.kubeconfig(&env.kubeconfig).unwrap(), Duration::from_secs(30), silence);
    let list = || block_on(api.list(&ListParams::default()));
    // New definitions are not served at once.
    env.eventually("listed", || list().is_ok());
    // The connection is idle for most of the time, and then the answer takes most of it: neither is too long.
    std::thread::sleep(silence * 3 / 4);
    proxy.set_rules(move |_| Action::Delay(silence * 3 / 4));
    list().unwrap();
    proxy.set_rules(|_| Action::Forward);
    let begun = Instant::now();
    let quiet = WatchParams::default().timeout(200).disable_bookmarks();
    let error = block_on(async {
        let events = api.watch(&quiet, "0").await.unwrap();
        tokio::time::timeout(WITHIN, events.try_collect::<Vec<_>>()).await.expect("the watch hangs").expect_err("nothing was said")
    });
    assert!(begun.elapsed() >= silence, "{:?}: {error}", begun.elapsed());
}
