//! The Helm chart, with the real Helm, and what is shipped with it: alerts, the dashboard, runbooks.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it cannot go on"
)]
#![recursion_limit = "256"]

mod install;
mod observability;
mod rbac;
mod render;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde::Deserialize as _;
use serde_json::{Value, json};

const NAMESPACE: &str = "operators";
const RELEASE: &str = "nuvo";
/// The name of most objects of that release.
const NAME: &str = "nuvo-nuvo-operator";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chart() -> PathBuf {
    repository().join("charts/nuvo-operator")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Helm, with these values on its standard input where the arguments say `--values -`.
fn helm(command: &mut Command, arguments: &[&str], values: &Value) -> Output {
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Fails when Helm has ended already, without a need for them.
    let _ = child.stdin.take().unwrap().write_all(values.to_string().as_bytes());
    child.wait_with_output().unwrap()
}

/// What the chart comes to with these values, or what Helm says against them.
fn render(values: &Value) -> Result<Vec<Value>, String> {
    let chart = chart().display().to_string();
    let arguments = ["template", RELEASE, &chart, "--namespace", NAMESPACE, "--values", "-"];
    let output = helm(&mut controlplane::helm().unwrap(), &arguments, values);
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    Ok(documents.filter(|document| !document.is_null()).collect())
}

#[track_caller]
fn rendered(values: &Value) -> Vec<Value> {
    render(values).unwrap_or_else(|error| panic!("{values}: {error}"))
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

fn of_kind<'a>(objects: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| kind(object) == wanted).collect()
}

fn deployment(objects: &[Value]) -> &Value {
    let found = of_kind(objects, "Deployment");
    assert_eq!(found.len(), 1);
    found[0]
}

/// Every switch the other way, and every value set.
fn everything() -> Value {
    json!({
        "nameOverride": "runs",
        "commonLabels": { "team": "data" },
        "image": {
            "repository": "registry.example.com:5000/nuvo/operator",
            "digest": format!("sha256:{}", "a".repeat(64)),
            "pullPolicy": "Always",
        },
        "imagePullSecrets": [{ "name": "regcred" }],
        "crds": { "enabled": true, "keep": false },
        "replicas": 3,
        "watchNamespaces": ["team-a", "team-b"],
        "labelSelector": "team=a,env in (dev,test)",
        "operatorNamespace": "locks",
        "allowedBaseUrls": ["http://127.0.0.1:1/dp/api/v1", "https://nuvo.example.com"],
        "useEnvProxy": true,
        "additionalCa": { "configMap": "authorities", "key": "private.pem" },
        "trigger": { "timeoutSeconds": 30.5, "settleSeconds": 86400, "fenceSeconds": 0.5, "adoptionConfirmSeconds": 20 },
        "quarantineSeconds": 40,
        "lockRetentionSeconds": 86400,
        "maxConcurrentReconciles": 64,
        "holdSchedules": true,
        "logFormat": "text",
        "logLevel": "trace",
        "extraEnv": [{ "name": "HTTPS_PROXY", "value": "http://proxy:3128" }],
        "extraVolumes": [{ "name": "scratch", "emptyDir": {} }],
        "extraVolumeMounts": [{ "name": "scratch", "mountPath": "/scratch" }],
        "bindAddress": "::",
        "health": { "port": 9081 },
        "metrics": { "port": 9080 },
        "serviceMonitor": { "enabled": true, "interval": "15s", "labels": { "release": "monitoring" } },
        "prometheusRule": { "enabled": true, "labels": { "release": "monitoring" }, "runbookBaseUrl": "https://runbooks.example.com/" },
        "dashboard": { "enabled": true, "annotations": { "grafana_folder": "Data" } },
        "networkPolicy": { "enabled": true, "metricsFrom": [{ "namespaceSelector": {} }], "egressPorts": [443, 8443] },
        "rbac": { "secretNamespaces": ["team-b"] },
        "serviceAccount": { "name": "runner", "annotations": { "example.com/role": "runner" } },
        "terminationGracePeriodSeconds": 45,
        "dnsConfig": { "nameservers": ["10.0.0.10"], "options": [{ "name": "ndots", "value": "1" }] },
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": { "kubernetes.io/os": "linux" },
        "tolerations": [{ "key": "spot", "operator": "Exists" }],
        "nodeFailureTolerationSeconds": 10,
        "affinity": { "nodeAffinity": {} },
        "topologySpreadConstraints": [{ "maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule" }],
        "podAnnotations": { "example.com/note": "text" },
        "podLabels": { "example.com/kind": "operator" },
    })
}

/// Values that must work, each with a name.
fn value_sets() -> Vec<(&'static str, Value)> {
    vec![
        ("defaults", json!({})),
        ("everything", everything()),
        ("one replica", json!({ "replicas": 1 })),
        ("none at the moment", json!({ "replicas": 0 })),
        ("no election", json!({ "replicas": 1, "leaderElection": { "enabled": false } })),
        ("one namespace", json!({ "watchNamespaces": ["team"] })),
        ("its own namespace only", json!({ "watchNamespaces": [NAMESPACE], "rbac": { "aggregatedRoles": false } })),
        ("secrets of one namespace", json!({ "rbac": { "secretNamespaces": ["team"] } })),
        ("rights from elsewhere", json!({ "rbac": { "create": false }, "serviceAccount": { "create": false, "name": "given" } })),
        ("definitions from elsewhere", json!({ "crds": { "enabled": false } })),
        ("authorities in a Secret", json!({ "additionalCa": { "secret": "authorities" } })),
        ("a tag", json!({ "image": { "tag": "1.2.3-rc.1" } })),
        ("the cluster's tolerations and DNS", json!({ "nodeFailureTolerationSeconds": null, "dnsConfig": null })),
        ("no disruption budget", json!({ "podDisruptionBudget": { "enabled": false } })),
        ("as part of another chart", json!({ "global": { "anything": true }, "fullnameOverride": "runs" })),
    ]
}
