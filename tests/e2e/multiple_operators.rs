//! More than one operator: split by selectors, and overlapping by mistake.

use std::{path::PathBuf, time::Duration};

use controlplane::ControlPlane;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use nuvo_crds::Phase;
use nuvo_operator::rbac;
use nuvo_sim::{Pipeline, SimConfig};
use serde_json::{Value, json};

use crate::environment::{Environment, assert_consistent, block_on, condition, message, same, server};

fn environment(name: &str, took: Duration) -> Environment {
    Environment::new(name, [Pipeline::new("orders").duration(took)])
}

#[test]
fn operators_with_different_selectors_lead_side_by_side() {
    let env = environment("split", Duration::from_millis(300));
    let parts = ["a", "b"].map(|team| {
        let selector = format!("team={team}");
        (team, env.operator_with(&["--leader-elect", "true", "--label-selector", &selector]))
    });
    for (team, operator) in &parts {
        env.eventually(&format!("a leader for team {team}"), || operator.leads());
    }
    for name in ["a", "b", "unwatched"] {
        env.start(name, "orders", json!({}));
        env.change(name, json!({ "metadata": { "labels": { "team": name } } }));
    }
    for name in ["a", "b"] {
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    }
    same("a run that no operator watches is left alone", env.get("unwatched").status.and_then(|status| status.phase), None);
    same("POSTs", env.sim.post_count(), 2);
    for (_, operator) in parts {
        same("exit code", operator.stop(), Some(0));
    }
}

#[test]
fn run_that_loses_its_label_says_so_once_and_goes_on_with_it() {
    let config = vec![Pipeline::new("orders").held(), Pipeline::new("done").duration(Duration::from_millis(300))];
    let env = Environment::new("unwatched", config);
    let operator = env.operator_with(&["--label-selector", "team=a"]);
    let label = |name: &str, team: Value| env.change(name, json!({ "metadata": { "labels": { "team": team } } }));
    let create = |name: &str, pipeline: &str, fields: Value| {
        env.start(name, pipeline, fields);
        label(name, json!("a"));
    };
    let waiting: Vec<String> = (0..20).map(|number| format!("waiting-{number}")).collect();
    create("orders", "orders", json!({}));
    create("done", "done", json!({}));
    for name in &waiting {
        create(name, "done", json!({ "suspend": true }));
    }
    let execution = env.wait_phase("orders", Phase::Running).status.unwrap().current.execution_ids[0].clone();
    env.wait_phase("done", Phase::Succeeded);
    for name in &waiting {
        env.wait_phase(name, Phase::Suspended);
    }
    // Those of the runs that wait: how many a run needs that goes on depends on what is seen of it in time.
    let all_writes = || {
        env.writes().into_iter().filter(|write| write.resource == "pipelineruns" && write.code == 200 && write.name.starts_with("waiting-"))
    };
    let writes = || all_writes().count();
    // The audit log has a write a moment after it was carried out.
    env.eventually("all writes are known", || writes() >= waiting.len());
    assert_eq!(writes(), waiting.len(), "writes, one for each run: {:?}", all_writes().collect::<Vec<_>>());

    env.kubectl(&["label", "pipelineruns.nuvo.dev", "--all", "team-"]).unwrap();
    for name in waiting.iter().chain([&"orders".to_owned()]) {
        let run = env.wait(name, "noted as unwatched", |run| condition(run, "Unwatched").is_some());
        assert_consistent(&run);
        let said = condition(&run, "Unwatched").unwrap();
        same(name, (said.status.as_str(), said.reason.as_str()), ("True", "NotSelected"));
        assert!(said.message.contains("Set the label again"), "{}", said.message);
    }
    env.delete("waiting-0");
    // What is handled after it shows that its deletion was.
    create("last", "done", json!({}));
    env.wait_phase("last", Phase::Succeeded);
    label("last", json!(null));
    env.eventually("all writes are known", || writes() >= waiting.len() + waiting.len());
    same("writes, one more for each run", writes(), waiting.len() + waiting.len());
    assert!(condition(&env.get("done"), "Unwatched").is_none());

    env.sim.finish(&execution, nuvo_sim::Status::Successful).unwrap();
    label("orders", json!("a"));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    assert!(condition(&run, "Unwatched").is_none(), "{run:?}");
    label("waiting-1", json!("a"));
    assert!(condition(&env.wait("waiting-1", "watched again", |run| condition(run, "Unwatched").is_none()), "Succeeded").is_some());
    env.change("waiting-1", json!({ "spec": { "suspend": false } }));
    env.wait_phase("waiting-1", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 4);
    same("exit code", operator.stop(), Some(0));
}

/// A ServiceAccount for an operator, with a Role in its namespace, as the chart grants it with `watchNamespaces`.
fn rights_here(server: &ControlPlane, namespace: &str) -> PathBuf {
    let kubeconfig = server.service_account_kubeconfig(namespace, "here", &[]).unwrap();
    server.grant(namespace, "here", namespace, &rbac::rules()).unwrap();
    kubeconfig
}

fn environment_here(name: &str) -> Environment {
    let config = SimConfig { pipelines: vec![Pipeline::new("orders").duration(Duration::from_millis(300))], ..SimConfig::default() };
    let env = Environment::on(server(), name, config, |server, namespace, _| rights_here(server, namespace));
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    env
}

/// As after a namespace was deleted, with the role in it.
#[test]
fn namespace_without_rights_stops_no_other_and_works_when_they_come() {
    let env = environment_here("alone");
    let without = env.server.namespace("without").unwrap();
    let orphan = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "orphan", "namespace": without },
        "spec": { "pipelineId": "orders" },
    });
    env.server.apply(&orphan.to_string()).unwrap();
    let namespaces = format!("{without},{}", env.namespace);
    let operator = env.operator_with(&["--namespaces", &namespaces, "--leader-elect", "true"]);
    env.start("orders", "orders", json!({}));
    assert_consistent(&env.wait_phase("orders", Phase::Succeeded));
    same("POSTs", env.sim.post_count(), 1);
    let up = |namespace: &str| operator.metric(&format!("nuvo_operator_watch_up{{kind=\"PipelineRun\",namespace=\"{namespace}\"}}"));
    same("watches", (up(&env.namespace), up(&without)), (Some(1.0), Some(0.0)));
    let log = operator.0.log();
    assert!(log.contains(&format!("missing permission: get pipelineruns.nuvo.dev in namespace {without}")), "{log}");

    env.server.grant(&env.namespace, "here", &without, &rbac::rules()).unwrap();
    env.eventually("the watch works", || up(&without) == Some(1.0));
    let reason = "jsonpath={.status.conditions[?(@.type=='Succeeded')].reason}";
    env.eventually("the run is seen", || {
        env.server.kubectl(&["get", "npr", "orphan", "--namespace", &without, "--output", reason]).unwrap() == "AccountNotReady"
    });
    same("exit code", operator.stop(), Some(0));
}

/// As with operators that are split by namespaces and share their locks: the one of the other namespace is away.
#[test]
fn lock_of_a_run_in_a_namespace_that_may_not_be_read_gives_way_after_the_quarantine() {
    let env = environment_here("here");
    let elsewhere = env.server.namespace("elsewhere").unwrap();
    let other = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "other", "namespace": elsewhere },
        "spec": { "pipelineId": "orders" },
    });
    env.server.apply(&other.to_string()).unwrap();
    let uid = env.server.kubectl(&["get", "npr", "other", "--namespace", &elsewhere, "--output", "jsonpath={.metadata.uid}"]).unwrap();
    let operator = env.operator();
    env.start("first", "orders", json!({}));
    env.wait_phase("first", Phase::Succeeded);
    let free = |lock: &Lease| lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none());
    env.eventually("the lock is given back", || env.all_leases().iter().all(free));
    let lease = env.all_leases().remove(0);
    let mut lock: Value = serde_json::from_str(&lease.metadata.annotations.unwrap()["nuvo.dev/lock"]).unwrap();
    lock["tenancy"] = json!({
        "holder": { "uid": uid, "namespace": elsewhere, "name": "other" }, "nonce": "n-other", "tenure": "n-other", "runRV": "1",
        "baseline": null, "young": false,
    });
    let patch = json!({ "metadata": { "annotations": { "nuvo.dev/lock": lock.to_string() } } });
    block_on(env.leases().patch(&lease.metadata.name.unwrap(), &PatchParams::default(), &Patch::Merge(&patch))).unwrap();

    env.start("next", "orders", json!({}));
    let waits = env.wait_reason("next", "PipelineBusy");
    assert!(message(&waits).contains("a run of another namespace"), "{}", message(&waits));
    assert_consistent(&env.wait_phase("next", Phase::Succeeded));
    same("POSTs", env.sim.post_count(), 2);
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn overlapping_operators_start_nothing_twice() {
    let env = environment("overlap", Duration::from_millis(300));
    let _all = env.operator();
    let _part = env.operator_with(&["--label-selector", "team=a"]);
    let names: Vec<String> = (0..10).map(|number| format!("run-{number}")).collect();
    for name in &names {
        env.start(name, "orders", json!({}));
        env.change(name, json!({ "metadata": { "labels": { "team": "a" } } }));
    }
    for name in &names {
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    }
    same("POSTs", env.sim.post_count(), names.len() as u64);
}

#[test]
fn operators_disagreeing_about_an_account_stop_correcting_each_other() {
    let env = environment("disagree", Duration::from_secs(5));
    let _able = env.operator();
    env.wait_ready("default");
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Running);
    let _unable = env.operator_with(&["--allowed-base-url", "http://127.0.0.1:9"]);
    env.wait_phase("orders", Phase::Succeeded);
    let writes = env.writes();
    let statuses = writes.iter().filter(|event| event.resource == "pipelineruns" && event.subresource == "status").count();
    assert!(statuses <= 6, "{statuses} writes of the status");
    same("POSTs", env.sim.post_count(), 1);
}
