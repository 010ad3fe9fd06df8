//! The life of a release on a real API server: what Helm renders is accepted, changed and removed as documented.

use std::time::{Duration, Instant};

use controlplane::{ControlPlane, Options};
use serde_json::{Value, json};

use crate::{NAME, NAMESPACE, RELEASE, chart, deployment, helm, read, rendered, value_sets};

/// The API server alone may wait a minute for the objects of a definition that is deleted, before it tries again.
const WITHIN: Duration = Duration::from_secs(150);
const LOOK: Duration = Duration::from_millis(100);

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

struct Cluster(ControlPlane);

impl Cluster {
    fn start() -> Self {
        // Who deletes definitions waits for their objects, and aggregated roles are filled by a controller.
        Self(ControlPlane::start(Options { controller_manager: true, ..Options::default() }).unwrap())
    }

    fn try_helm(&self, arguments: &[&str], values: &Value) -> Result<String, String> {
        let mut command = controlplane::helm().unwrap();
        command.env("KUBECONFIG", self.0.admin_kubeconfig());
        let output = helm(&mut command, &[arguments, &["--namespace", NAMESPACE]].concat(), values);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    #[track_caller]
    fn helm(&self, arguments: &[&str], values: &Value) -> String {
        self.try_helm(arguments, values).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// Installs a release of this name with the options of docs/install.md.
    fn try_install(&self, release: &str, options: &[&str], values: &Value) -> Result<String, String> {
        let chart = chart().display().to_string();
        self.try_helm(&[&["install", release, &chart, "--create-namespace", "--values", "-"], options].concat(), values)
    }

    #[track_caller]
    fn install(&self, values: &Value) -> String {
        self.helm(&["install", RELEASE, &chart().display().to_string(), "--create-namespace", "--values", "-"], values)
    }

    #[track_caller]
    fn upgrade(&self, values: &Value) -> String {
        self.helm(&["upgrade", RELEASE, &chart().display().to_string(), "--values", "-"], values)
    }

    fn uninstall(&self) {
        self.helm(&["uninstall", RELEASE], &json!({}));
    }

    #[track_caller]
    fn kubectl(&self, arguments: &[&str]) -> String {
        self.0.kubectl(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    fn exists(&self, object: &str) -> bool {
        !self.kubectl(&["get", object, "--namespace", NAMESPACE, "--ignore-not-found", "--output", "name"]).is_empty()
    }

    fn established(&self) {
        let definitions = ["crd/pipelineruns.nuvo.dev", "crd/nuvoaccounts.nuvo.dev"];
        self.kubectl(&[&["wait", "--for=condition=Established", "--timeout=60s"], &definitions[..]].concat());
    }
}

const RUN: &str =
    "apiVersion: nuvo.dev/v1alpha1\nkind: PipelineRun\nmetadata: {name: orders, namespace: default}\nspec: {pipelineId: orders}\n";

#[test]
fn release_is_installed_upgraded_and_removed_as_documented() {
    let cluster = Cluster::start();
    let notes = cluster.install(&json!({}));
    assert!(notes.contains("watches all namespaces") && notes.contains(&format!("deployment/{NAME}")), "{notes}");
    cluster.established();
    cluster.0.apply(RUN).unwrap();
    let cluster_role = format!("clusterrole/{NAMESPACE}:{NAME}");
    assert!(cluster.exists(&cluster_role) && cluster.exists(&format!("pdb/{NAME}")));

    cluster.kubectl(&["create", "namespace", "team"]);
    let notes = cluster.upgrade(&json!({ "replicas": 1, "watchNamespaces": ["team"], "logLevel": "debug" }));
    assert!(notes.contains("watches the namespaces team"), "{notes}");
    let deployment = cluster.kubectl(&["get", "deployment", NAME, "--namespace", NAMESPACE, "--output", "json"]);
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    assert_eq!(deployment["spec"]["replicas"], json!(1));
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--namespaces=team") && arguments.contains("--log-level=debug"), "{arguments}");
    assert!(!cluster.exists(&cluster_role) && !cluster.exists(&format!("pdb/{NAME}")));
    cluster.kubectl(&["get", "role", &format!("{NAMESPACE}:{NAME}"), "--namespace", "team"]);

    people_have_their_rights(&cluster);
    termination_messages_are_shown_as_documented(&cluster);

    cluster.uninstall();
    assert!(!cluster.exists(&format!("deployment/{NAME}")));
    assert_eq!(cluster.kubectl(&["get", "npr", "orders", "--output", "jsonpath={.spec.pipelineId}"]), "orders", "the definitions are kept");

    // What was kept belongs to the release of that name until it is removed.
    let notes = cluster.install(&json!({ "crds": { "keep": false } }));
    assert!(notes.contains("deletes all PipelineRuns"), "{notes}");
    cluster.uninstall();
    eventually("the definitions are gone", || {
        cluster.kubectl(&["get", "crd", "pipelineruns.nuvo.dev", "nuvoaccounts.nuvo.dev", "--ignore-not-found"]).is_empty()
    });
    every_pod_is_admitted(&cluster);
}

/// The definitions, with a description as an older version could have it.
fn definitions_of_another_version() -> String {
    let files = nuvo_crds::crd_files().unwrap();
    files.iter().map(|(_, text)| text.replacen("description: ", "description: Formerly ", 1)).collect::<Vec<_>>().join("---\n")
}

#[test]
fn definitions_that_exist_are_taken_over_or_left_alone() {
    let cluster = Cluster::start();
    let run_is_there = || cluster.kubectl(&["get", "npr", "orders", "--output", "jsonpath={.spec.pipelineId}"]) == "orders";
    let is_current = || !cluster.kubectl(&["get", "crd", "pipelineruns.nuvo.dev", "--output", "jsonpath={.spec}"]).contains("Formerly");
    let taken = ["--take-ownership", "--force-conflicts"];

    // As `nuvo-operator crds | kubectl apply -f -` makes them.
    let path = cluster.0.folder().join("definitions.yaml");
    std::fs::write(&path, definitions_of_another_version()).unwrap();
    cluster.kubectl(&["apply", "--filename", &path.display().to_string()]);
    cluster.established();
    cluster.0.apply(RUN).unwrap();
    let refusal = cluster.try_install(RELEASE, &[], &json!({})).unwrap_err();
    assert!(refusal.contains("nuvo.dev") && refusal.contains("invalid ownership metadata"), "{refusal}");
    let notes = cluster.try_install(RELEASE, &[], &json!({ "crds": { "enabled": false } })).unwrap();
    assert!(notes.contains("nuvo-operator crds | kubectl apply --filename -"), "{notes}");
    assert!(!is_current(), "the release leaves them alone");
    cluster.uninstall();
    assert!(run_is_there());

    // Helm applies on the server, where kubectl owns what differs. The failed release has to go before the next try.
    let refusal = cluster.try_install(RELEASE, &["--take-ownership"], &json!({})).unwrap_err();
    assert!(refusal.contains("conflict with \"kubectl"), "{refusal}");
    cluster.uninstall();
    assert!(run_is_there());
    cluster.try_install(RELEASE, &taken, &json!({})).unwrap();
    assert!(is_current() && run_is_there());
    cluster.upgrade(&json!({ "logLevel": "debug" }));

    // A release of another name, after the first one was removed and its definitions were kept.
    cluster.uninstall();
    let refusal = cluster.try_install("other", &[], &json!({})).unwrap_err();
    assert!(refusal.contains("invalid ownership metadata"), "{refusal}");
    cluster.try_install("other", &taken, &json!({})).unwrap();
    cluster.helm(&["upgrade", "other", &chart().display().to_string(), "--values", "-"], &json!({ "logLevel": "debug" }));
    cluster.helm(&["uninstall", "other"], &json!({}));
    assert!(run_is_there());
}

#[test]
fn quota_sample_bounds_the_runs_of_a_namespace() {
    let cluster = Cluster::start();
    cluster.install(&json!({}));
    cluster.established();
    cluster.kubectl(&["create", "namespace", "team"]);
    let mut quota: Value = serde_yaml::from_str(&read("docs/examples/resource-quota.yaml")).unwrap();
    quota["metadata"]["namespace"] = json!("team");
    // Fewer than in the sample, to exceed it at once.
    quota["spec"]["hard"]["count/pipelineruns.nuvo.dev"] = json!("2");
    cluster.0.apply(&quota.to_string()).unwrap();
    let create = |name: &str| {
        let run = RUN.replace("name: orders", &format!("name: {name}")).replace("namespace: default", "namespace: team");
        cluster.0.apply(&run).map_err(|error| error.to_string())
    };
    // Until the controller has counted, the API server refuses them all.
    eventually("the first run", || create("first").is_ok());
    create("second").unwrap();
    let refusal = create("third").unwrap_err();
    assert!(refusal.contains("exceeded quota: nuvo") && refusal.contains("count/pipelineruns.nuvo.dev=2"), "{refusal}");
    cluster.kubectl(&["delete", "npr", "first", "--namespace", "team"]);
    eventually("room for another one", || create("third").is_ok());
}

/// The roles that come with Kubernetes, after their controller has put the chart's into them.
fn people_have_their_rights(cluster: &Cluster) {
    for role in ["view", "edit", "admin"] {
        cluster.kubectl(&["create", "rolebinding", role, "--clusterrole", role, "--user", role, "--namespace", "team"]);
    }
    let can = |user: &str, verb: &str, what: &str| {
        let mut command = cluster.0.kubectl_command();
        let (what, part) = what.split_once('/').unwrap_or((what, ""));
        command.args(["auth", "can-i", verb, what, "--subresource", part, "--as", user, "--namespace", "team", "--quiet"]);
        command.status().unwrap().success()
    };
    for (user, verb, what) in [
        ("view", "get", "pipelineruns.nuvo.dev"),
        ("view", "list", "nuvoaccounts.nuvo.dev"),
        ("view", "watch", "nuvopipelines.nuvo.dev"),
        ("view", "list", "pipelineschedules.nuvo.dev"),
        ("edit", "create", "pipelineruns.nuvo.dev"),
        ("edit", "create", "nuvopipelines.nuvo.dev"),
        ("edit", "patch", "pipelineschedules.nuvo.dev"),
        ("edit", "get", "nuvoaccounts.nuvo.dev"),
        ("admin", "create", "nuvoaccounts.nuvo.dev"),
        ("admin", "delete", "pipelineruns.nuvo.dev"),
    ] {
        eventually(&format!("{user} may {verb} {what}"), || can(user, verb, what));
    }
    for (user, verb, what) in [
        ("view", "create", "pipelineruns.nuvo.dev"),
        ("view", "create", "nuvopipelines.nuvo.dev"),
        ("view", "patch", "pipelineschedules.nuvo.dev"),
        ("edit", "create", "nuvoaccounts.nuvo.dev"),
        ("admin", "update", "pipelineruns.nuvo.dev/status"),
        ("admin", "update", "nuvopipelines.nuvo.dev/status"),
        ("admin", "update", "pipelineschedules.nuvo.dev/status"),
    ] {
        assert!(!can(user, verb, what), "{user} may {verb} {what}");
    }
}

/// Of a container that has just ended, and of one that the kubelet is about to start again.
fn termination_messages_are_shown_as_documented(cluster: &Cluster) {
    let container = json!({ "name": "operator", "image": "none", "imageID": "", "ready": false, "restartCount": 0 });
    let ended = |message: &str| json!({ "terminated": { "exitCode": 1, "message": message } });
    for (name, state, last_state) in [
        ("ended", ended("the first reason\n"), json!({})),
        ("restarted", json!({ "waiting": {} }), ended("the second reason\n")),
        ("running", json!({ "running": {} }), json!({})),
    ] {
        cluster.kubectl(&["run", name, "--image=none", "--namespace", NAMESPACE]);
        let mut status = container.clone();
        (status["state"], status["lastState"]) = (state, last_state);
        let patch = json!({ "status": { "containerStatuses": [status] } }).to_string();
        cluster.kubectl(&["patch", "pod", name, "--namespace", NAMESPACE, "--subresource=status", "--patch", &patch]);
    }
    let page = read("docs/operations.md");
    let template = page.split("--output jsonpath='").nth(1).unwrap().split('\'').next().unwrap();
    let shown = cluster.kubectl(&["get", "pods", "--namespace", NAMESPACE, "--output", &format!("jsonpath={template}")]);
    assert_eq!(shown.trim_end(), "the first reason\nthe second reason");
}

/// Pods as the Deployments would make them, where the API server enforces the Pod Security Standard `restricted`.
fn every_pod_is_admitted(cluster: &Cluster) {
    cluster.kubectl(&["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"]);
    let pod = |values: &Value| {
        let template = deployment(&rendered(values))["spec"]["template"].clone();
        let mut metadata = template["metadata"].clone();
        metadata["generateName"] = json!("pod-");
        metadata["namespace"] = json!(NAMESPACE);
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] })
    };
    let create = |pod: &Value| {
        let path = cluster.0.folder().join("pod.json");
        std::fs::write(&path, pod.to_string()).unwrap();
        cluster.0.kubectl(&["create", "--dry-run=server", "--filename", &path.display().to_string()])
    };
    for (name, values) in value_sets() {
        create(&pod(&values)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut loose = pod(&json!({}));
    loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refusal = create(&loose).unwrap_err().to_string();
    assert!(refusal.contains("violates PodSecurity"), "{refusal}");
}
