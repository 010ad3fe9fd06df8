//! The environment of a scenario: a control plane of its own, a simulator, an account that works, and operators.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use controlplane::{AuditEvent, ControlPlane, Options, Part, Process};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Client, Config, Resource};
use nuvo_crds::{NuvoAccount, PipelineRun};
use nuvo_sim::{Credential, Identity, Pipeline, Sim, SimConfig};
use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::memory_group::MemoryGroup;
use super::process_usage::Processes;
use super::{Failure, http_client, log_progress, metrics_text};
use crate::stop::Stop;

/// The namespace of the operator and its locks.
const OPERATOR: &str = "nuvo-operator";
/// The namespace of the runs.
pub const NAMESPACE: &str = "bench";
/// The identity that starts everything in nuvo.
pub const IDENTIFIER: &str = "demo@example.com";
const SECRET: &str = "nuvo-credentials";
const SECRET_KEY: &str = "license-key";
const LICENSE_KEY: &str = "demo-license-key";
/// Entries that the simulator's journal keeps: more than a scenario makes.
const JOURNAL: usize = 1_000_000;
const CHECK_EVERY: Duration = Duration::from_millis(5);
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 20;
/// How many connections create objects.
const CONNECTIONS: usize = 16;
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// The environment of a scenario. All of it stops when this is dropped.
pub struct Environment {
    // First: fields are dropped in this order, and its tasks use the others.
    runtime: Runtime,
    pub client: Client,
    pub sim: Sim,
    pub server: ControlPlane,
    program: PathBuf,
    kubeconfig: PathBuf,
    /// The file by which an operator joins a control group.
    memory_group: Option<PathBuf>,
    /// The servers that operators may send credentials to.
    base_urls: Vec<String>,
}

/// The limits of an account.
#[derive(Clone, Copy)]
pub struct Account {
    pub requests_per_second: u32,
    pub poll_period_seconds: u32,
    pub observe_period_seconds: u32,
}

impl Account {
    /// An account that looks at the pipelines that it observes as often as by default.
    pub const fn new(requests_per_second: u32, poll_period_seconds: u32) -> Self {
        Self { requests_per_second, poll_period_seconds, observe_period_seconds: 60 }
    }
}

/// An operator. It is killed when this is dropped.
pub struct Operator {
    process: Process,
    /// The process itself, also behind a guard.
    pub pid: u32,
    /// When it was started.
    pub started: Instant,
    metrics: SocketAddr,
    health: SocketAddr,
}

impl Environment {
    pub fn open(program: &Path, account: &Account, pipelines: Vec<Pipeline>, stop: &Stop) -> Result<Self, Failure> {
        log_progress("starting a control plane");
        // An error means that a provider is installed already.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let server = ControlPlane::start(Options::default())?;
        stop.check()?;
        server.apply(&nuvo_crds::crds_yaml()?)?;
        let crds = ["pipelineruns", "nuvoaccounts", "nuvopipelines", "pipelineschedules"].map(|plural| format!("crd/{plural}.nuvo.dev"));
        let crds: Vec<&str> = crds.iter().map(String::as_str).collect();
        server.kubectl(&[&["wait", "--for=condition=Established", "--timeout=60s"], &crds[..]].concat())?;
        server.kubectl(&["create", "namespace", OPERATOR])?;
        server.kubectl(&["create", "namespace", NAMESPACE])?;
        let kubeconfig = server.service_account_kubeconfig(OPERATOR, OPERATOR, &nuvo_operator::rbac::rules())?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(connect(&server))?;
        let sim = simulator(pipelines)?;
        let base_urls = vec![sim.base_url()];
        let environment = Self { sim, server, client, program: program.to_owned(), kubeconfig, memory_group: None, base_urls, runtime };
        environment.put_secret()?;
        let base_url = environment.sim.base_url();
        environment.put_account("default", &base_url, account)?;
        Ok(environment)
    }

    /// Starts another simulator. Operators that start later may use it.
    pub fn another_simulator(&mut self, pipelines: Vec<Pipeline>) -> Result<Sim, Failure> {
        let sim = simulator(pipelines)?;
        self.base_urls.push(sim.base_url());
        Ok(sim)
    }

    /// Operators that start later are in this group.
    pub fn limit_memory(&mut self, group: &MemoryGroup) {
        self.memory_group = Some(group.members());
    }

    /// Runs a future to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Runs a future beside everything else.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(future));
    }

    /// A client with connections of its own.
    pub fn connect(&self) -> Result<Client, Failure> {
        self.block_on(connect(&self.server))
    }

    /// Calls `act` with each number below `count`, on several connections at the same time.
    pub fn for_each<K, F>(&self, count: usize, stop: &Stop, act: impl Fn(Api<K>, usize) -> F + Sync) -> Result<(), Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        F: Future<Output = Result<(), Failure>>,
    {
        let clients = (0..CONNECTIONS.min(count)).map(|_| self.connect()).collect::<Result<Vec<_>, _>>()?;
        let next = AtomicUsize::new(0);
        let reported = Mutex::new(Instant::now());
        let work = |client: Client| -> Result<(), Failure> {
            loop {
                stop.check()?;
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                self.block_on(act(Api::namespaced(client.clone(), NAMESPACE), number))?;
                let mut reported = reported.lock();
                if reported.elapsed() > PROGRESS_EVERY {
                    log_progress(&format!("{number} of {count}"));
                    *reported = Instant::now();
                }
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = clients.into_iter().map(|client| scope.spawn(|| work(client))).collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into())))
        })
    }

    /// The runs.
    pub fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// The time at which the simulator's clock started.
    pub fn beginning(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.sim.elapsed()).unwrap_or(now)
    }

    /// The license key that all accounts use.
    fn put_secret(&self) -> Result<(), Failure> {
        let secret = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": SECRET, "labels": { "nuvo.dev/credential": "true" } },
            "stringData": { SECRET_KEY: LICENSE_KEY },
        }))?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        self.block_on(secrets.create(&PostParams::default(), &secret))?;
        Ok(())
    }

    /// Creates an account of this server.
    pub fn put_account(&self, name: &str, base_url: &str, account: &Account) -> Result<(), Failure> {
        let account = serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoAccount",
            "metadata": { "name": name },
            "spec": {
                "baseUrl": base_url,
                "licenseKey": {
                    "secretRef": { "name": SECRET, "key": SECRET_KEY }, "identifier": IDENTIFIER, "identityType": "USER",
                },
                "requestsPerSecond": account.requests_per_second,
                "pollPeriodSeconds": account.poll_period_seconds,
                "observePeriodSeconds": account.observe_period_seconds,
            },
        }))?;
        let accounts: Api<NuvoAccount> = Api::namespaced(self.client.clone(), NAMESPACE);
        self.block_on(accounts.create(&PostParams::default(), &account))?;
        Ok(())
    }

    /// Starts an operator, and waits until it listens.
    pub fn start_operator(&self, stop: &Stop) -> Result<Operator, Failure> {
        let mut command = match &self.memory_group {
            Some(members) => {
                // The shell joins the group before it becomes the operator.
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(members).arg(&self.program);
                shell
            }
            None => Command::new(&self.program),
        };
        // Settings for another operator must not reach this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NUVO_OPERATOR_")) {
            command.env_remove(name);
        }
        command.args(["--allowed-base-url", &self.base_urls.join(","), "--operator-namespace", OPERATOR, "--leader-elect", "false"]);
        command.args(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0", "--log-level", "info", "--log-format", "json"]);
        // As in the image.
        command.env("KUBECONFIG", &self.kubeconfig).env("MALLOC_ARENA_MAX", "1");
        let log = self.server.folder().join("operator.log");
        let already_logged = std::fs::read_to_string(&log).unwrap_or_default().len();
        let started = Instant::now();
        let mut process = Process::spawn_guarded(&command, log)?;
        let [metrics, health] = loop {
            let log_text = process.log();
            let new_lines = log_text.get(already_logged..).unwrap_or_default();
            if let (Some(metrics), Some(health)) = (listens(new_lines, "metrics"), listens(new_lines, "health")) {
                break [metrics, health];
            }
            if let Some(status) = process.exited() {
                return Err(format!("the operator has ended ({status}):\n{}", tail(new_lines)).into());
            }
            if started.elapsed() > STARTS_WITHIN {
                return Err(format!("the operator does not listen:\n{}", tail(new_lines)).into());
            }
            stop.sleep(CHECK_EVERY)?;
        };
        let pid = process.command()?.ok_or("the operator has ended")?;
        Ok(Operator { process, pid, started, metrics, health })
    }

    /// The processes whose processor time is measured.
    pub fn processes(&self, operator: &Operator) -> Processes {
        let pid = |part| self.server.pid(part).unwrap_or_default();
        Processes { operator: operator.pid, api_server: pid(Part::ApiServer), etcd: pid(Part::Etcd) }
    }

    /// The operators' writes so far by resource, from the API server's audit log. Refused writes are counted separately.
    pub fn writes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for event in self.own_writes() {
            let of = if event.subresource.is_empty() { event.resource } else { format!("{}/{}", event.resource, event.subresource) };
            let of = if (200..300).contains(&event.code) { of } else { format!("{of} refused ({})", event.code) };
            let count: &mut usize = counts.entry(of).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// The operators' writes so far, oldest first.
    pub fn own_writes(&self) -> Vec<AuditEvent> {
        let own = format!("system:serviceaccount:{OPERATOR}:{OPERATOR}");
        self.server.writes(|event| event.user == own)
    }

    /// The requests that the API server has answered, by verb and resource. A watch counts when it ends.
    pub fn answered(&self) -> Result<BTreeMap<[String; 2], f64>, Failure> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let exposition = self.block_on(self.client.request_text(request))?;
        Ok(metrics_text::by_labels(&exposition, "apiserver_request_total", ["verb", "resource"]))
    }
}

/// The increase of each count; counts that did not increase are left out.
pub fn count_increase(before: &BTreeMap<String, usize>, after: BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let mut more = after;
    for (of, count) in &mut more {
        *count = count.saturating_sub(before.get(of).copied().unwrap_or_default());
    }
    more.retain(|_, count| *count > 0);
    more
}

fn simulator(pipelines: Vec<Pipeline>) -> Result<Sim, Failure> {
    let credentials = vec![Credential::new(LICENSE_KEY, Identity::user(IDENTIFIER))];
    Ok(Sim::start(SimConfig { pipelines, credentials, journal_limit: JOURNAL, ..SimConfig::default() })?)
}

async fn connect(server: &ControlPlane) -> Result<Client, Failure> {
    let config = Kubeconfig::read_from(server.admin_kubeconfig())?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// The address that this server logged when it began to listen.
fn listens(log: &str, server: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| line.pointer(&format!("/fields/{name}")).or(line.get(name)).and_then(serde_json::Value::as_str);
        (field("server") == Some(server) && field("message") == Some("listening")).then(|| field("address")?.parse().ok())?
    })
}

fn tail(log: &str) -> String {
    let skipped = log.lines().count().saturating_sub(LOG_LINES);
    log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}

impl Operator {
    /// Its metrics, as they are now.
    pub fn exposition(&self) -> Result<String, Failure> {
        Ok(http_client::get(self.metrics, "/metrics")?.body)
    }

    /// How many runs its metric counts.
    pub fn watched(&self) -> Result<f64, Failure> {
        Ok(metrics_text::sum(&self.exposition()?, "nuvo_operator_pipelineruns", &[]))
    }

    /// Whether `/readyz` answers 200.
    pub fn is_ready(&self) -> bool {
        http_client::get(self.health, "/readyz").is_ok_and(|answer| answer.status == 200)
    }

    /// Whether an account can be used.
    pub fn has_account(&self) -> Result<bool, Failure> {
        self.has_accounts(1)
    }

    /// Whether so many accounts can be used.
    pub fn has_accounts(&self, count: usize) -> Result<bool, Failure> {
        Ok(metrics_text::sum(&self.exposition()?, "nuvo_operator_account_ready", &[]) >= count as f64)
    }

    /// Checks a condition at this interval until it holds. Returns the time since the operator's start.
    pub fn wait(
        &mut self,
        what: &str,
        within: Duration,
        every: Duration,
        stop: &Stop,
        holds: impl Fn(&Self) -> Result<bool, Failure>,
    ) -> Result<Duration, Failure> {
        let began = Instant::now();
        loop {
            self.check()?;
            if holds(self)? {
                return Ok(self.started.elapsed());
            }
            if began.elapsed() > within {
                return Err(
                    format!("{what}: not within {} s. The end of the operator's log:\n{}", within.as_secs(), self.end_of_log()).into()
                );
            }
            stop.sleep(every)?;
        }
    }

    /// Fails with the end of its log if it has ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.process.exited() {
            None => Ok(()),
            Some(status) => Err(format!("the operator has ended ({status}):\n{}", self.end_of_log()).into()),
        }
    }

    /// The end of its log, for error messages.
    pub fn end_of_log(&self) -> String {
        tail(&self.process.log())
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.process.signal_term()?;
        match self.process.wait(ENDS_WITHIN) {
            Some(status) if status.success() => Ok(()),
            how => Err(format!("the operator failed after SIGTERM ({how:?}):\n{}", self.end_of_log()).into()),
        }
    }
}
