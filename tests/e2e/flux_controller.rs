//! The controller of Flux itself, with a source and an artifact that a test gives it: what a later commit does while a run keeps it waiting.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use controlplane::Process;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::Phase;
use nuvo_sim::Pipeline;
use serde_json::{Value, json};

use crate::environment::{Environment, same, server};

const NAME: &str = "pipelines";
const SOURCES: &str = "source.toolkit.fluxcd.io";
const KUSTOMIZATIONS: &str = "kustomize.toolkit.fluxcd.io";

/// Definitions without a schema: the controller fills in nothing that a test needs.
fn definition(group: &str, kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced", "names": { "kind": kind, "plural": plural },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    })
}

/// Installs the kinds that the controller watches.
fn install() {
    let definitions = [
        definition(KUSTOMIZATIONS, "Kustomization", "kustomizations"),
        definition(SOURCES, "GitRepository", "gitrepositories"),
        definition(SOURCES, "OCIRepository", "ocirepositories"),
        definition(SOURCES, "Bucket", "buckets"),
    ];
    for definition in definitions {
        server().apply(&definition.to_string()).unwrap();
        let name = format!("crd/{}", definition["metadata"]["name"].as_str().unwrap());
        server().kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name]).unwrap();
    }
}

/// A repository whose commits Flux has fetched, and the server that has them.
struct Git<'a> {
    env: &'a Environment,
    address: SocketAddr,
    archives: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl<'a> Git<'a> {
    fn new(env: &'a Environment) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let archives: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let served = Arc::clone(&archives);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let head: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
                let body = served.lock().unwrap().get(&path).cloned().unwrap_or_default();
                let stream = reader.get_mut();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&body);
            }
        });
        Self { env, address, archives }
    }

    /// A commit that contains one run.
    fn commit(&self, number: u32, spec: &str) {
        let Environment { namespace, server, .. } = self.env;
        let folder = server.folder().join(format!("{namespace}-commit-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let run = format!("apiVersion: nuvo.dev/v1alpha1\nkind: PipelineRun\nmetadata: {{name: orders}}\nspec: {spec}\n");
        fs::write(folder.join("orders.yaml"), run).unwrap();
        let archive = folder.with_extension("tar.gz");
        assert!(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&folder).arg(".").status().unwrap().success());
        let sum = Command::new("sha256sum").arg(&archive).output().unwrap();
        let digest = String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned();
        let path = format!("/{number}.tar.gz");
        let content = fs::read(&archive).unwrap();
        let size = content.len();
        self.archives.lock().unwrap().insert(path.clone(), content);
        let meta = json!({ "name": NAME, "namespace": namespace });
        let source = json!({
            "apiVersion": format!("{SOURCES}/v1"), "kind": "GitRepository", "metadata": meta,
            "spec": { "interval": "1h", "url": "https://git.example.com/data/pipelines" },
        });
        server.apply(&source.to_string()).unwrap();
        let now = Timestamp::now().round(k8s_openapi::jiff::Unit::Second).unwrap().to_string();
        let status = json!({ "status": {
            "observedGeneration": 1,
            "conditions": [{ "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored", "lastTransitionTime": now }],
            "artifact": {
                "path": path, "url": format!("http://{}{path}", self.address), "revision": revision(number), "digest": format!("sha256:{digest}"),
                "lastUpdateTime": now, "size": size,
            },
        }});
        let patch = ["patch", "gitrepositories.source.toolkit.fluxcd.io", NAME, "--subresource=status", "--type=merge", "-p"];
        self.env.kubectl(&[&patch[..], &[&status.to_string()]].concat()).unwrap();
    }
}

fn revision(number: u32) -> String {
    format!("main@sha1:{number:040}")
}

/// The Kustomization of the sample in the namespace of a test, with this timeout.
fn kustomization(env: &Environment, timeout: &str) {
    let sample = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/flux/kustomization.yaml")).unwrap();
    let mut object: Value = serde_yaml::from_str(sample.split("\n---\n").nth(1).unwrap()).unwrap();
    object["metadata"]["namespace"] = json!(env.namespace);
    for (field, value) in [("targetNamespace", env.namespace.as_str()), ("path", "./"), ("timeout", timeout), ("retryInterval", "1s")] {
        object["spec"][field] = json!(value);
    }
    env.server.apply(&object.to_string()).unwrap();
}

fn controller(env: &Environment, flags: &[&str]) -> Process {
    let mut controller = Command::new(programs::kustomize_controller().unwrap().built().unwrap());
    controller.args(["--watch-all-namespaces=false", "--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"]).args(flags);
    controller.env("KUBECONFIG", env.server.admin_kubeconfig()).env("RUNTIME_NAMESPACE", &env.namespace);
    Process::spawn_guarded(&controller, env.server.folder().join(format!("{}-kustomize-controller.log", env.namespace))).unwrap()
}

/// Since when Flux has been waiting for the runs of this commit.
fn waiting_since(env: &Environment, number: u32) -> Option<Timestamp> {
    let path = "jsonpath={range .status.conditions[?(@.type==\"Reconciling\")]}{.lastTransitionTime} {.message}{end}";
    let said = env.kubectl(&["get", "kustomizations.kustomize.toolkit.fluxcd.io", NAME, "-o", path]).unwrap();
    let (time, message) = said.split_once(' ')?;
    (message.contains("health checks") && message.contains(&revision(number))).then(|| time.parse().unwrap())
}

/// A suspended run keeps Flux waiting, and the next commit resumes it. How long that took from the beginning of the wait.
fn resumed_after(name: &str, timeout: &str, flags: &[&str]) -> SignedDuration {
    install();
    let env = Environment::new(name, [Pipeline::new("orders")]);
    let _operator = env.operator();
    let _controller = controller(&env, flags);
    let git = Git::new(&env);
    git.commit(1, "{pipelineId: orders, suspend: true}");
    kustomization(&env, timeout);
    env.wait_phase("orders", Phase::Suspended);
    env.eventually("Flux waits for the run", || waiting_since(&env, 1).is_some());
    let since = waiting_since(&env, 1).unwrap();
    git.commit(2, "{pipelineId: orders, suspend: false}");
    let resumed = env.wait("orders", "resumed", |run| !run.spec.suspend);
    let managed = resumed.metadata.managed_fields.unwrap_or_default();
    let applied =
        managed.iter().filter(|entry| entry.manager.as_deref() == Some("kustomize-controller")).filter_map(|entry| entry.time.as_ref());
    let took = applied.map(|time| time.0.duration_since(since)).max().unwrap();
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 1);
    took
}

#[test]
fn commit_that_resumes_a_run_waits_for_the_timeout_of_the_one_before() {
    const TIMEOUT: Duration = Duration::from_secs(8);
    let took = resumed_after("flux-waits", &format!("{}s", TIMEOUT.as_secs()), &[]);
    // Both times are whole seconds.
    assert!(took >= SignedDuration::try_from(TIMEOUT).unwrap() - SignedDuration::from_secs(1), "{took}");
}

#[test]
fn feature_gate_of_flux_applies_a_later_commit_at_once() {
    let took = resumed_after("flux-gate", "1h", &["--feature-gates=CancelHealthCheckOnNewRevision=true"]);
    println!("applied {took} after Flux began to wait, with a timeout of one hour");
}
