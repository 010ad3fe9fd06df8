//! Definitions that are older than the operator: they lack fields, which the API server prunes, and values, which it refuses.

use std::{process::Command, time::Duration};

use controlplane::{ControlPlane, Options};
use nuvo_crds::Phase;
use nuvo_operator::rbac;
use nuvo_sim::{Pipeline, SimConfig};
use serde_json::{Value, json};

use crate::environment::{Environment, Operator, install, reason, same};

/// The definitions of this version without a field of the status and of the spec, and without two phases; of accounts, without who nuvo takes
/// them for. There is no NuvoPipeline and no PipelineSchedule
/// yet.
fn old_definitions() -> String {
    let crds = Command::new(env!("CARGO_BIN_EXE_nuvo-operator")).arg("crds").output().unwrap();
    let text = String::from_utf8(crds.stdout).unwrap();
    let definitions = text
        .split("---\n")
        .filter(|part| !part.trim().is_empty() && !part.contains("kind: NuvoPipeline\n") && !part.contains("kind: PipelineSchedule\n"))
        .map(|part| {
            let mut crd: Value = serde_yaml::from_str(part).unwrap();
            let kind = crd["spec"]["names"]["kind"].clone();
            let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
            if kind == "NuvoAccount" {
                schema["status"]["properties"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("identity"));
            }
            if kind == "PipelineRun" {
                schema["spec"]["properties"].as_object_mut().unwrap().remove("followFixesSeconds").unwrap();
                let status = schema["status"]["properties"].as_object_mut().unwrap();
                status.remove("executionCount").unwrap();
                let phases = status["phase"]["enum"].as_array_mut().unwrap();
                phases.retain(|phase| phase != "Suspended" && phase != "Triggering");
            }
            crd
        });
    // kubectl 1.32 reads no JSON between `---`.
    json!({ "apiVersion": "v1", "kind": "List", "items": definitions.collect::<Vec<Value>>() }).to_string()
}

fn server_with_old_definitions() -> &'static ControlPlane {
    let server = Box::leak(Box::new(ControlPlane::start(Options::default()).unwrap()));
    server.apply(&old_definitions()).unwrap();
    server.kubectl(&["wait", "--for=condition=Established", "crd/pipelineruns.nuvo.dev", "crd/nuvoaccounts.nuvo.dev"]).unwrap();
    server
}

fn gaps(operator: &Operator) -> Option<f64> {
    operator.metric("nuvo_operator_definition_gaps{kind=\"PipelineRun\"}")
}

#[test]
fn operator_newer_than_its_definitions_says_so_and_carries_runs_out() {
    let config = SimConfig { pipelines: vec![Pipeline::new("orders").duration(Duration::from_millis(300))], ..SimConfig::default() };
    let env = Environment::on(server_with_old_definitions(), "older", config, |server, namespace, _| {
        server.service_account_kubeconfig(namespace, "nuvo-operator", &rbac::rules()).unwrap()
    });
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    let operator = env.operator();
    let lacks = ["spec.followFixesSeconds", "status.executionCount", "status.phase=Suspended", "status.phase=Triggering"].join(", ");
    let says = format!("the installed definition of PipelineRun is older than the operator and lacks {lacks}");
    env.eventually("ready", || operator.ask("health", "/readyz").0 == 200);
    let (_, body) = operator.ask("health", "/readyz");
    assert!(body.starts_with("ok\n") && body.contains(&says) && body.contains("nuvo-operator crds | kubectl apply"), "{body}");
    assert!(operator.0.log().contains(&says), "{}", operator.0.log());
    same("metric", gaps(&operator), Some(4.0));
    for kind in ["NuvoPipeline", "PipelineSchedule"] {
        assert!(body.contains(&format!("the definition of {kind} is not installed")), "{body}");
    }

    // A phase that the definition does not know is left out, and nothing else.
    env.start("suspended", "orders", json!({ "suspend": true }));
    let suspended = env.wait_reason("suspended", "Suspended");
    same("phase", suspended.status.unwrap().phase, None);
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Succeeded);
    env.start("short-lived", "orders", json!({ "ttlSecondsAfterFinished": 1 }));
    env.eventually("deleted", || env.kubectl(&["get", "npr", "short-lived", "--ignore-not-found"]).unwrap().is_empty());
    same("POSTs", env.sim.post_count(), 2);
    let statuses = |name: &str| env.writes().iter().filter(|write| write.name == name && write.subresource == "status").count();
    same("status writes", (statuses("suspended"), statuses("orders"), statuses("short-lived")), (1, 2, 2));

    // A restart finds nothing to do for them.
    same("exit code", operator.stop(), Some(0));
    let operator = env.operator();
    env.eventually("the runs are known", || operator.metric("nuvo_operator_pipelineruns{phase=\"Succeeded\"}") == Some(1.0));
    env.start("later", "orders", json!({}));
    env.wait_phase("later", Phase::Succeeded);
    same("status writes", (statuses("suspended"), statuses("orders")), (1, 2));

    install(env.server);
    env.eventually("it notices the new definitions", || operator.ask("health", "/readyz") == (200, "ok\n".to_owned()));
    same("metric", gaps(&operator), Some(0.0));
    env.change("suspended", json!({ "spec": { "suspend": false } }));
    let run = env.wait_phase("suspended", Phase::Succeeded);
    same("what the old definition lacked", (reason(&run), run.status.as_ref().unwrap().current.execution_count), ("Succeeded", Some(1)));
}

#[test]
fn status_of_an_account_under_an_older_definition_is_written_once() {
    let env = Environment::on(server_with_old_definitions(), "older-account", SimConfig::default(), |server, namespace, _| {
        server.service_account_kubeconfig(namespace, "nuvo-operator", &rbac::rules()).unwrap()
    });
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    let looked_at =
        |operator: &Operator| operator.metric("nuvo_operator_reconciles_total{kind=\"NuvoAccount\",result=\"ok\"}") >= Some(1.0);
    // A process that begins compares the status that it wants with the one that is there.
    for _ in 0..3 {
        let operator = env.operator();
        env.eventually("the account was looked at", || looked_at(&operator));
        same("gaps", operator.metric("nuvo_operator_definition_gaps{kind=\"NuvoAccount\"}"), Some(2.0));
        same("exit code", operator.stop(), Some(0));
    }
    env.wait_ready("default");
    same("identity", env.raw("nuvoaccounts", "default")["status"]["identity"].clone(), Value::Null);
    let writes = env.writes();
    same("status writes", writes.iter().filter(|write| write.resource == "nuvoaccounts" && write.subresource == "status").count(), 1);
}
