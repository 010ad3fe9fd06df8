//! The rights of the operator, as Helm installs them: they suffice, and none is superfluous, as the API server's audit log shows.

use std::{
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use controlplane::{AuditEvent, ControlPlane, Options, Process};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::PostParams;
use nuvo_crds::Phase;
use nuvo_operator::rbac;
use nuvo_sim::{Pipeline, Seed, SimConfig, Status, Trigger};
use serde_json::{Value, json};

use crate::environment::{Environment, Operator, block_on, same};

/// The name of the release, and so of the ServiceAccount.
const RELEASE: &str = "nuvo-operator";

/// A server whose audit log has reads, too: the log of the shared one would grow too long for the other tests.
fn server() -> &'static ControlPlane {
    static SERVER: OnceLock<ControlPlane> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = ControlPlane::start(Options { audit_reads: true, ..Options::default() }).unwrap();
        crate::environment::install(&server);
        server
    })
}

/// Installs the chart.
fn install(server: &ControlPlane, namespace: &str, values: &Value) {
    let path = server.folder().join(format!("{namespace}.values.json"));
    std::fs::write(&path, values.to_string()).unwrap();
    let mut helm = controlplane::helm().unwrap();
    helm.args(["install", RELEASE, concat!(env!("CARGO_MANIFEST_DIR"), "/charts/nuvo-operator"), "--namespace", namespace]);
    let output = helm.arg("--values").arg(path).env("KUBECONFIG", server.admin_kubeconfig()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The operator with the arguments that the installed Deployment has, on free ports.
fn operator(env: &Environment) -> Operator {
    let arguments = env.kubectl(&["get", "deployment", RELEASE, "--output", "jsonpath={.spec.template.spec.containers[0].args}"]).unwrap();
    let arguments: Vec<String> = serde_json::from_str(&arguments).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuvo-operator"));
    command.args(arguments.iter().filter(|argument| !argument.contains("-addr=")));
    command.args(["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"]).env("KUBECONFIG", &env.kubeconfig).stdin(Stdio::null());
    let log = env.server.folder().join(format!("{}-operator.log", env.namespace));
    Operator(Process::spawn_guarded(&command, log).unwrap())
}

/// Which of the operator's rights are for the namespace of the test only.
#[derive(Clone, Copy, PartialEq)]
enum OnlyHere {
    Nothing,
    Secrets,
    Everything,
}

/// Every kind of thing that an operator does, once; what the API server has answered to it.
fn scenario(name: &str, only_here: OnlyHere) -> Vec<AuditEvent> {
    let config = SimConfig { pipelines: vec![Pipeline::new("orders").duration(Duration::from_millis(300))], ..SimConfig::default() };
    let env = Environment::on(server(), name, config, |server, namespace, sim| {
        let here_if = |holds: bool| holds.then_some(namespace).into_iter().collect::<Vec<&str>>();
        let values = json!({
            "crds": { "enabled": false },
            "watchNamespaces": here_if(only_here == OnlyHere::Everything),
            "rbac": { "secretNamespaces": here_if(only_here == OnlyHere::Secrets) },
            "allowedBaseUrls": [sim.base_url()],
            "logFormat": "text",
            "logLevel": "debug",
        });
        install(server, namespace, &values);
        server.kubeconfig_of(namespace, RELEASE).unwrap()
    });
    env.credential("nuvo-credentials", "demo-license-key");
    env.account_with("default", json!({ "observePeriodSeconds": 15 }));
    // The bundle need not exist: it is asked for.
    env.account_with("private", json!({ "tls": { "caBundle": { "configMapRef": { "name": "authorities" } } } }));
    let user = format!("system:serviceaccount:{}:{RELEASE}", env.namespace);
    let asked = || {
        let events = env.server.requests(|event| event.user == user && event.namespace != elsewhere(&env));
        let refused: Vec<_> = events.iter().filter(|event| event.code == 403).collect();
        assert!(refused.is_empty(), "the operator was refused: {refused:#?}");
        events
    };
    env.unused_lock();
    let operator = operator(&env);
    env.eventually("a leader", || operator.leads());
    env.wait_ready("default");
    env.eventually("a read of the bundle", || asked().iter().any(|event| event.resource == "configmaps"));

    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Succeeded);
    let observed = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoPipeline",
        "metadata": { "name": "orders", "namespace": env.namespace },
        "spec": { "pipelineId": "orders", "mirror": { "historyLimit": 1 } },
    });
    env.server.apply(&observed.to_string()).unwrap();
    let is_observed = || env.kubectl(&["get", "npl", "orders", "--output", "jsonpath={.status.lastSuccess.id}"]).unwrap();
    env.eventually("the execution of the run observed", || !is_observed().is_empty());
    env.sim.seed_execution(Seed { trigger: Trigger::Scheduled, status: Status::Successful, ..Seed::new("orders") }).unwrap();
    let is_mirrored = || env.kubectl(&["get", "npr", "--selector", "nuvo.dev/pipeline-object=orders", "--output", "name"]).unwrap();
    env.eventually("an execution of a schedule mirrored", || !is_mirrored().is_empty());
    env.start("short-lived", "orders", json!({ "ttlSecondsAfterFinished": 0 }));
    let deleted = |resource: &str| asked().iter().any(|event| (event.verb.as_str(), event.resource.as_str()) == ("delete", resource));
    env.eventually("the unused lock is deleted", || deleted("leases"));
    env.eventually("a deletion", || {
        deleted("pipelineruns") && env.kubectl(&["get", "npr", "short-lived", "--ignore-not-found"]).unwrap().is_empty()
    });

    // A run that a schedule made asks for its claim.
    let mut scheduled = env.get("orders");
    scheduled.metadata = serde_json::from_value(json!({
        "name": "scheduled",
        "annotations": { "nuvo.dev/scheduled-at": "2026-11-28T02:00:00Z" },
        "ownerReferences": [{
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "nightly",
            "uid": "00000000-0000-4000-8000-000000000000", "controller": true,
        }],
    }))
    .unwrap();
    block_on(env.runs().create(&PostParams::default(), &scheduled)).unwrap();
    env.wait_reason("scheduled", "SlotNotClaimed");

    let schedule = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule",
        "metadata": { "name": "yearly", "namespace": env.namespace },
        "spec": { "schedules": ["@yearly"], "runTemplate": { "spec": { "pipelineId": "orders" } } },
    });
    env.server.apply(&schedule.to_string()).unwrap();
    let next = || env.kubectl(&["get", "nps", "yearly", "--output", "jsonpath={.status.nextScheduleTime}"]).unwrap();
    env.eventually("a schedule that says when it starts", || !next().is_empty());

    // The same event again within six minutes: its series is patched.
    env.start("waiting", "orders", json!({ "accountRef": { "name": "missing" } }));
    env.wait_reason("waiting", "AccountNotReady");
    env.wait_note("waiting", "AccountNotReady");
    env.change("waiting", json!({ "spec": { "suspend": true } }));
    env.wait_phase("waiting", Phase::Suspended);
    env.change("waiting", json!({ "spec": { "suspend": false } }));
    env.wait_reason("waiting", "AccountNotReady");

    env.eventually("a patch of an event", || {
        asked().iter().any(|event| (event.verb.as_str(), event.resource.as_str()) == ("patch", "events"))
    });
    if only_here == OnlyHere::Secrets {
        secrets_elsewhere_are_out_of_reach(&env);
    }
    same("exit code", operator.stop(), Some(0));
    // A watch is logged when it has ended.
    env.eventually("the watches in the log", || {
        ["pipelineruns", "nuvoaccounts", "nuvopipelines", "pipelineschedules"]
            .iter()
            .all(|of| asked().iter().any(|event| event.verb == "watch" && event.resource == **of))
    });
    asked()
}

/// Each right with how often it was used.
fn used(rules: &[PolicyRule], events: &[AuditEvent]) -> Vec<(String, String, usize)> {
    let mut table = Vec::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let (kind, part) = resource.split_once('/').unwrap_or((resource, ""));
                for verb in &rule.verbs {
                    let counts = |event: &&AuditEvent| {
                        (event.group.as_str(), event.resource.as_str(), event.subresource.as_str()) == (group, kind, part)
                            && event.verb == *verb
                    };
                    table.push((
                        format!("{resource}{}{group}", if group.is_empty() { "" } else { "." }),
                        verb.clone(),
                        events.iter().filter(counts).count(),
                    ));
                }
            }
        }
    }
    table
}

/// A namespace in which the operator may not get Secrets.
fn elsewhere(env: &Environment) -> String {
    format!("{}-elsewhere", env.namespace)
}

/// An account in another namespace says what is missing.
fn secrets_elsewhere_are_out_of_reach(env: &Environment) {
    let namespace = elsewhere(env);
    env.server.kubectl(&["create", "namespace", &namespace]).unwrap();
    let account = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "NuvoAccount",
        "metadata": { "name": "default", "namespace": namespace },
        "spec": {
            "baseUrl": env.sim.base_url(),
            "accessToken": { "secretRef": { "name": "nuvo-credentials", "key": "token" } },
        },
    });
    env.server.apply(&account.to_string()).unwrap();
    let message = || {
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
        env.server.kubectl(&["get", "nuvoaccount", "default", "--namespace", &namespace, "--output", path]).unwrap()
    };
    env.eventually("an account that cannot be used", || message().contains("grant it get on secrets in this namespace"));
}

fn check(name: &str, only_here: OnlyHere) {
    let events = scenario(name, only_here);
    let table = used(&rbac::rules(), &events);
    println!("what the operator did with its rights ({name}):\n| resource | verb | used |\n|---|---|---:|");
    for (resource, verb, count) in &table {
        println!("| {resource} | {verb} | {count} |");
    }
    let idle: Vec<_> = table.iter().filter(|(_, _, count)| *count == 0).collect();
    assert!(idle.is_empty(), "unused rights: {idle:?}; remove them from src/rbac.rs, or use them in this scenario");
}

/// One after the other: the operator that watches everything would take the other's runs, too.
#[test]
fn chart_grants_exactly_the_rights_that_the_operator_uses() {
    check("one-namespace", OnlyHere::Everything);
    check("secrets", OnlyHere::Secrets);
    check("everywhere", OnlyHere::Nothing);
}
