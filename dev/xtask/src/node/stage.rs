//! What a play is played on: the node, the simulator beside it, and the release of the chart.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use nuvo_crds::PipelineRun;
use nuvo_sim::{Pipeline, Sim, SimConfig};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::Failure;
use super::cluster::Cluster;
use super::configuration::{self, ADDRESS, NUVO};
use super::ingredients::CHART;
use crate::build::repository;
use crate::stop::Stop;

/// The namespace of the release, which takes only pods that meet the Pod Security Standard `restricted`.
pub const SYSTEM: &str = "nuvo-system";
/// The namespace of the runs.
pub const TEAM: &str = "team";
const RELEASE: &str = "nuvo";
pub const DEPLOYMENT: &str = "deployment/nuvo-nuvo-operator";
/// The program in its pods.
pub const OPERATOR: &str = "/usr/local/bin/nuvo-operator";
const OF_OPERATOR: &str = "app.kubernetes.io/name=nuvo-operator";
/// The URL of the simulator, by the DNS of the cluster.
const BASE_URL: &str = "http://sim.nuvo.svc";
/// Its port on the node.
pub const SIMULATOR_PORT: u16 = 8090;
const LOOK: Duration = Duration::from_millis(50);
const WITHIN: Duration = Duration::from_secs(120);
const LICENSE_KEY: &str = "demo-license-key";
const IDENTIFIER: &str = "demo@example.com";

/// Everything that is there while plays are played.
pub struct Stage<'a> {
    // First: fields are dropped in this order, and its tasks use the others.
    runtime: Runtime,
    client: Client,
    pub sim: Sim,
    pub cluster: Cluster,
    stop: &'a Stop,
}

/// A pod of the operator.
pub struct OperatorPod {
    pub name: String,
    pub uid: String,
    /// Empty as long as it has none.
    pub address: String,
    pub ready: bool,
    pub restarts: u64,
    /// Why its container ended the last time, with the exit code.
    pub last_end: Option<String>,
}

impl<'a> Stage<'a> {
    /// Starts the node and the simulator. The chart is not installed.
    pub fn open(folder: &Path, stop: &'a Stop) -> Result<Self, Failure> {
        // An error means that a provider is installed already.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::start(folder, stop)?;
        let sim = Sim::start(SimConfig { address: IpAddr::V4(ADDRESS), port: SIMULATOR_PORT, ..SimConfig::default() })?;
        let namespace =
            |name: &str, labels: Value| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
        let namespaces = [
            namespace(SYSTEM, json!({ "pod-security.kubernetes.io/enforce": "restricted" })),
            namespace(TEAM, json!({})),
            namespace("nuvo", json!({})),
        ];
        cluster.control_plane.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": namespaces }).to_string())?;
        let service = configuration::service("nuvo", "sim", NUVO, &[("TCP", 80, SIMULATOR_PORT)]);
        cluster.control_plane.apply(&service.to_string())?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(async {
            let config = Kubeconfig::read_from(cluster.control_plane.admin_kubeconfig())?;
            let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
            Ok::<_, Failure>(Client::try_from(config)?)
        })?;
        Ok(Self { runtime, client, sim, cluster, stop })
    }

    /// kubectl as an administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        Ok(self.cluster.control_plane.kubectl(arguments)?)
    }

    /// Helm as an administrator.
    pub fn helm(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut helm = controlplane::helm()?;
        helm.env("KUBECONFIG", self.cluster.control_plane.admin_kubeconfig()).args(arguments).args(["--namespace", SYSTEM]);
        let output = helm.output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let pods = self.kubectl(&["--namespace", SYSTEM, "get", "pods,events"]).unwrap_or_default();
        Err(format!("helm {}: {}\n{pods}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
    }

    /// Installs or upgrades the release with these values, and waits until its pods are Ready. How long that took.
    pub fn install(&self, values: &[&str]) -> Result<Duration, Failure> {
        self.install_chart(&repository().join(CHART), values)
    }

    pub fn install_chart(&self, chart: &Path, values: &[&str]) -> Result<Duration, Failure> {
        self.install_by(&["upgrade", "--install", RELEASE, &chart.display().to_string()], values)
    }

    /// Installs the release for the first time, from a registry without TLS.
    pub fn install_from(&self, chart: &str) -> Result<Duration, Failure> {
        self.install_by(&["install", RELEASE, chart, "--version", env!("CARGO_PKG_VERSION"), "--plain-http"], &[])
    }

    fn install_by(&self, command: &[&str], values: &[&str]) -> Result<Duration, Failure> {
        let began = Instant::now();
        let allowed = format!("allowedBaseUrls={{{BASE_URL}}}");
        let mut arguments = [command, &["--wait", "--timeout", "3m", "--set", &allowed]].concat();
        for value in values {
            arguments.extend(["--set", value]);
        }
        self.helm(&arguments)?;
        Ok(began.elapsed())
    }

    pub fn uninstall(&self) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.helm(&["uninstall", RELEASE, "--wait", "--ignore-not-found"])?;
        self.until("the pods of the operator are gone", || Ok(self.pods()?.is_empty()))?;
        Ok(began.elapsed())
    }

    /// The chart as it is shipped, all its pods Ready, one of them the leader, and an account that can be used.
    pub fn ready(&self) -> Result<(), Failure> {
        self.install(&[])?;
        self.account()
    }

    /// Waits until all pods are Ready, one of them leads, and an account can be used.
    pub fn account(&self) -> Result<(), Failure> {
        self.kubectl(&["--namespace", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s"])?;
        let account = json!({ "apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "v1", "kind": "Secret",
                "metadata": { "name": "nuvo-credentials", "namespace": TEAM, "labels": { "nuvo.dev/credential": "true" } },
                "stringData": { "license-key": LICENSE_KEY },
            },
            {
                "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoAccount", "metadata": { "name": "default", "namespace": TEAM },
                "spec": {
                    "baseUrl": format!("{BASE_URL}/dp/api/v1"),
                    "licenseKey": {
                        "secretRef": { "name": "nuvo-credentials", "key": "license-key" }, "identifier": IDENTIFIER, "identityType": "USER",
                    },
                },
            },
        ] });
        self.cluster.control_plane.apply(&account.to_string())?;
        self.kubectl(&["--namespace", TEAM, "wait", "nuvoaccount/default", "--for=condition=Ready", "--timeout=60s"])?;
        self.until("a pod that exists leads", || {
            Ok(self.pods()?.iter().any(|pod| self.leader().ok().flatten().as_ref() == Some(&pod.name)))
        })?;
        Ok(())
    }

    /// The pods of the operator, also those that end.
    pub fn pods(&self) -> Result<Vec<OperatorPod>, Failure> {
        let list = self.cluster.get(&["pods", "--namespace", SYSTEM, "--selector", OF_OPERATOR])?;
        let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(items.iter().map(OperatorPod::of).collect())
    }

    /// The pod that leads, or led last.
    pub fn leader(&self) -> Result<Option<String>, Failure> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), SYSTEM);
        let lease = self.runtime.block_on(leases.get_opt("nuvo-operator-leader"))?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
        Ok(holder.rsplit_once('_').map(|(pod, _)| pod.to_owned()))
    }

    /// The pod that leads now.
    pub fn present_leader(&self) -> Result<String, Failure> {
        self.leader()?.ok_or_else(|| "no pod leads".into())
    }

    /// Waits until another pod or another process leads. How long that took since `began`.
    pub fn another_leads(&self, than: &str, began: Instant) -> Result<Duration, Failure> {
        self.until("another pod leads", || Ok(self.leader()?.is_some_and(|leader| leader != than)))?;
        Ok(began.elapsed())
    }

    /// Creates runs, each of a pipeline of its own with the same name.
    pub fn start(&self, names: &[String], pipeline: impl Fn(&str) -> Pipeline) -> Result<(), Failure> {
        names.iter().try_for_each(|name| self.sim.set_pipeline(pipeline(name)))?;
        self.create(names.iter().map(|name| (json!({ "name": name }), json!({ "pipelineId": name }))))
    }

    /// Creates runs with this metadata and this spec, all at the same time.
    pub fn create(&self, runs: impl Iterator<Item = (Value, Value)>) -> Result<(), Failure> {
        let api: Api<PipelineRun> = Api::namespaced(self.client.clone(), TEAM);
        let create = |(metadata, spec): (Value, Value)| {
            let run = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": metadata, "spec": spec });
            let api = api.clone();
            async move {
                api.create(&PostParams::default(), &serde_json::from_value(run)?).await?;
                Ok::<_, Failure>(())
            }
        };
        self.runtime.block_on(futures::future::try_join_all(runs.map(create)))?;
        Ok(())
    }

    /// Waits until all these runs have Succeeded, and fails unless each had one POST and one execution.
    pub fn succeed_once(&self, names: &[String]) -> Result<(), Failure> {
        let runs: Vec<String> = names.iter().map(|name| format!("pipelinerun.nuvo.dev/{name}")).collect();
        let mut arguments = vec!["--namespace", TEAM, "wait", "--for=condition=Succeeded", "--timeout=300s"];
        arguments.extend(runs.iter().map(String::as_str));
        if let Err(error) = self.kubectl(&arguments) {
            let runs = self.kubectl(&["--namespace", TEAM, "get", "pipelineruns.nuvo.dev"]).unwrap_or_default();
            return Err(format!("{error}\n{runs}").into());
        }
        for name in names {
            let (posts, executions) = (self.sim.post_count_of(name), self.sim.executed_count_of(name));
            if (posts, executions) != (1, 1) {
                return Err(format!("{name}: {posts} POSTs and {executions} executions instead of one").into());
            }
        }
        Ok(())
    }

    /// Ends the executions of these pipelines, which are held.
    pub fn finish(&self, names: &[String]) -> Result<(), Failure> {
        for execution in self.sim.executions() {
            if names.contains(&execution.pipeline) {
                self.sim.finish(&execution.id, nuvo_sim::Status::Successful)?;
            }
        }
        Ok(())
    }

    /// Waits until nuvo has carried out the start of each.
    pub fn started(&self, names: &[String]) -> Result<(), Failure> {
        self.until("nuvo has started all pipelines", || Ok(names.iter().all(|name| self.sim.executed_count_of(name) > 0)))
    }

    /// Looks again and again until it holds.
    pub fn until(&self, what: &str, holds: impl Fn() -> Result<bool, Failure>) -> Result<(), Failure> {
        let began = Instant::now();
        while !holds()? {
            if began.elapsed() > WITHIN {
                let pods = self.kubectl(&["--namespace", SYSTEM, "get", "pods,events"]).unwrap_or_default();
                return Err(format!("not within {} s: {what}\n{pods}", WITHIN.as_secs()).into());
            }
            self.stop.sleep(LOOK)?;
        }
        Ok(())
    }

    /// What `kubectl get pods` says in the columns of these numbers, one pod after the other.
    pub fn pods_as_seen(&self) -> Result<String, Failure> {
        let text = self.kubectl(&["--namespace", SYSTEM, "get", "pods", "--no-headers"])?;
        let status = |line: &str| line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ");
        Ok(text.lines().map(|line| format!("`{}`", status(line))).collect::<Vec<_>>().join(", "))
    }

    /// The status that `kubectl get` shows for a run.
    pub fn run_as_seen(&self, name: &str) -> Result<String, Failure> {
        let text = self.kubectl(&["--namespace", TEAM, "get", "pipelineruns.nuvo.dev", name, "--no-headers"])?;
        Ok(format!("`{}`", text.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")))
    }
}

impl OperatorPod {
    fn of(pod: &Value) -> Self {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let container = pod.pointer("/status/containerStatuses/0");
        let of_container = |path: &str| container.and_then(|container| container.pointer(path));
        let ended = of_container("/state/terminated").or(of_container("/lastState/terminated"));
        let last_end = ended.map(|ended| {
            let reason = ended.get("reason").and_then(Value::as_str).unwrap_or_default();
            let code = ended.get("exitCode").and_then(Value::as_u64).unwrap_or_default();
            format!("{reason} {code}")
        });
        Self {
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            address: text("/status/podIP"),
            ready: of_container("/ready").and_then(Value::as_bool).unwrap_or_default(),
            restarts: of_container("/restartCount").and_then(Value::as_u64).unwrap_or_default(),
            last_end,
        }
    }

    /// The folder of its process in `/proc`, as the node sees it.
    pub fn process(&self) -> Result<PathBuf, Failure> {
        process(&self.uid, OPERATOR)
    }

    /// Kills it with SIGKILL, of which it sees nothing.
    pub fn kill(&self) -> Result<(), Failure> {
        kill(&self.uid, OPERATOR)
    }
}

/// Kills this program in the pod of this uid with SIGKILL.
pub fn kill(pod: &str, program: &str) -> Result<(), Failure> {
    let process = process(pod, program)?;
    let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
    Ok(kill_process(pid.ok_or("no process id")?, Signal::KILL)?)
}

/// The folder in `/proc` of this program in the pod of this uid.
pub fn process(pod: &str, program: &str) -> Result<PathBuf, Failure> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let path = entry.path();
        let of = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        if of("cmdline").split('\0').next() == Some(program) && of("cgroup").contains(pod) {
            return Ok(path);
        }
    }
    Err(format!("the pod {pod} has no process {program}").into())
}
