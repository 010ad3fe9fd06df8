//! The environment of a test: a namespace of a real API server, a simulator of nuvo, and operators as separate processes under a ServiceAccount.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        LazyLock, Mutex, Once,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use controlplane::{AuditEvent, ControlPlane, Process, Proxy};
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Secret, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::SignedDuration,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use nuvo_crds::{NuvoAccount, Phase, PipelineRun};
use nuvo_operator::rbac;
use nuvo_sim::{Operation, Pipeline, Sim, SimConfig};
use serde_json::{Value, json};

/// How long a test waits for anything.
pub const WITHIN: Duration = Duration::from_secs(120);
/// How often it checks.
const CHECK_EVERY: Duration = Duration::from_millis(50);

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// The API server of this process, with the definitions installed.
pub fn server() -> &'static ControlPlane {
    static INSTALL: Once = Once::new();
    let server = controlplane::shared().unwrap_or_else(|error| panic!("{error}"));
    INSTALL.call_once(|| install(server));
    server
}

/// Installs what `nuvo-operator crds` prints.
pub fn install(server: &ControlPlane) {
    let crds = Command::new(env!("CARGO_BIN_EXE_nuvo-operator")).arg("crds").output().unwrap();
    assert!(crds.status.success(), "{}", String::from_utf8_lossy(&crds.stderr));
    server.apply(&String::from_utf8(crds.stdout).unwrap()).unwrap();
    server
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd/pipelineruns.nuvo.dev",
            "crd/nuvoaccounts.nuvo.dev",
            "crd/nuvopipelines.nuvo.dev",
            "crd/pipelineschedules.nuvo.dev",
        ])
        .unwrap();
}

/// The plugin, which is a program of another package. cargo builds it with its tests, from what this test was built from.
pub fn kubectl_nuvo() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--no-run", "--locked", "--test", "cli"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let built = cargo.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let program = Path::new(env!("CARGO_BIN_EXE_nuvo-operator")).with_file_name("kubectl-nuvo");
        assert!(program.is_file(), "cargo has built no {}", program.display());
        program.display().to_string()
    });
    &PROGRAM
}

/// A client of the admin.
pub fn admin(server: &ControlPlane) -> Client {
    block_on(async {
        let kubeconfig = Kubeconfig::read_from(server.admin_kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    })
}

/// The environment of a test.
pub struct Environment {
    pub namespace: String,
    pub sim: Sim,
    pub server: &'static ControlPlane,
    pub kubeconfig: PathBuf,
    client: Client,
    operators: AtomicU32,
    keys: Mutex<Vec<String>>,
}

impl Environment {
    /// A namespace, a simulator with these pipelines, and an account `default` that works.
    pub fn new(name: &str, pipelines: impl Into<Vec<Pipeline>>) -> Self {
        Self::with(name, SimConfig { pipelines: pipelines.into(), ..SimConfig::default() })
    }

    /// The same with another simulator.
    pub fn with(name: &str, config: SimConfig) -> Self {
        let env = Self::without_account(name, config);
        env.credential("nuvo-credentials", "demo-license-key");
        env.account("default");
        env
    }

    /// Without a Secret and an account.
    pub fn without_account(name: &str, config: SimConfig) -> Self {
        // tests/chart shows that the chart grants exactly these, rbac.rs that they suffice where the chart grants them.
        Self::on(server(), name, config, |server, namespace, _| {
            server.service_account_kubeconfig(namespace, "nuvo-operator", &rbac::rules()).unwrap()
        })
    }

    /// On this server, with operators that have the kubeconfig which is made for the namespace.
    pub fn on<F>(server: &'static ControlPlane, name: &str, config: SimConfig, grant: F) -> Self
    where
        F: FnOnce(&ControlPlane, &str, &Sim) -> PathBuf,
    {
        let namespace = server.namespace(name).unwrap();
        let sim = Sim::start(config).unwrap();
        let kubeconfig = grant(server, &namespace, &sim);
        Self { namespace, sim, server, kubeconfig, client: admin(server), operators: AtomicU32::new(0), keys: Mutex::default() }
    }

    pub fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn accounts(&self) -> Api<NuvoAccount> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn all_leases(&self) -> Vec<Lease> {
        block_on(self.leases().list(&ListParams::default())).unwrap().items
    }

    /// Has the only lock look as if it had been written so much earlier.
    pub fn age_lock(&self, by: SignedDuration) {
        let is_lock = |lease: &Lease| lease.labels().contains_key("nuvo.dev/pipeline-lock");
        let mut lease = self.all_leases().into_iter().find(is_lock).unwrap();
        for writer in lease.metadata.managed_fields.iter_mut().flatten() {
            writer.time.as_mut().unwrap().0 -= by;
        }
        // A change of nothing but these times is not stored, and those of the writer of the change are set anew.
        lease.labels_mut().insert("aged".to_owned(), by.as_secs().to_string());
        let name = lease.name_any();
        let as_another = PostParams { field_manager: Some("age".to_owned()), ..PostParams::default() };
        block_on(self.leases().replace(&name, &as_another, &lease)).unwrap();
    }

    /// A lock that no run holds, and under which nothing was started for two hours.
    pub fn unused_lock(&self) {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": "nuvo-unused", "labels": { "nuvo.dev/pipeline-lock": "true" },
                "annotations": { "nuvo.dev/lock": r#"{"tenancy":null,"ledger":[]}"# },
            },
        });
        block_on(self.leases().create(&PostParams::default(), &serde_json::from_value(lease).unwrap())).unwrap();
        self.age_lock(SignedDuration::from_hours(2));
    }

    /// A Secret that may be used.
    pub fn credential(&self, name: &str, key: &str) {
        self.secret(name, key, true);
    }

    pub fn secret(&self, name: &str, key: &str, labelled: bool) {
        self.keys.lock().unwrap().push(key.trim().to_owned());
        let labels = if labelled { json!({ "nuvo.dev/credential": "true" }) } else { json!({}) };
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "labels": labels }, "stringData": { "license-key": key } });
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        block_on(api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&secret))).unwrap();
    }

    /// The account of the demonstration.
    pub fn account(&self, name: &str) {
        self.account_with(name, json!({}));
    }

    /// An account with these further fields in its spec; null removes a field.
    pub fn account_with(&self, name: &str, fields: Value) {
        let mut spec = json!({
            "baseUrl": self.sim.base_url(),
            "licenseKey": {
                "secretRef": { "name": "nuvo-credentials", "key": "license-key" },
                "identifier": "demo@example.com",
                "identityType": "USER",
            },
            "requestsPerSecond": 100,
            "pollPeriodSeconds": 1,
        });
        merge(&mut spec, fields);
        let account = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoAccount", "metadata": { "name": name }, "spec": spec });
        block_on(self.accounts().patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&account))).unwrap();
    }

    /// A new run of a pipeline, with these further fields in its spec.
    pub fn start(&self, name: &str, pipeline: &str, fields: Value) -> PipelineRun {
        let mut spec = json!({ "pipelineId": pipeline });
        merge(&mut spec, fields);
        let run = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": name }, "spec": spec });
        block_on(self.runs().create(&PostParams::default(), &serde_json::from_value(run).unwrap())).unwrap()
    }

    /// Changes a run as a person would.
    pub fn change(&self, name: &str, patch: Value) -> PipelineRun {
        block_on(self.runs().patch(name, &PatchParams::default(), &Patch::Merge(&patch))).unwrap()
    }

    /// Removes a run's status, or the parts that the patch names.
    pub fn change_status(&self, name: &str, patch: Value) -> PipelineRun {
        block_on(self.runs().patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))).unwrap()
    }

    pub fn delete(&self, name: &str) {
        block_on(self.runs().delete(name, &DeleteParams::default())).unwrap();
    }

    pub fn get(&self, name: &str) -> PipelineRun {
        block_on(self.runs().get(name)).unwrap()
    }

    /// An object as the API server gives it, also with what the types do not know.
    pub fn raw(&self, plural: &str, name: &str) -> Value {
        let path = format!("/apis/nuvo.dev/v1alpha1/namespaces/{}/{plural}/{name}", self.namespace);
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        block_on(self.client.request(request)).unwrap()
    }

    /// The operator with the times of a test; more flags override.
    pub fn operator(&self) -> Operator {
        self.operator_with(&[])
    }

    pub fn operator_with(&self, flags: &[&str]) -> Operator {
        self.operator_in(&[], &self.kubeconfig, flags)
    }

    /// How often the newest executions were listed since the last POST: for runs in doubt, because none is to be triggered.
    pub fn looks_since_the_last_post(&self) -> usize {
        let journal = self.sim.journal();
        let since = journal.iter().rposition(|request| request.operation == Operation::Create).unwrap_or_default();
        let newest_first = ("sort[created_at]".to_owned(), "desc".to_owned());
        journal[since..].iter().filter(|request| request.operation == Operation::List && request.query.contains(&newest_first)).count()
    }

    /// An operator that reaches the API server through a proxy.
    pub fn operator_through(&self, proxy: &Proxy, flags: &[&str]) -> Operator {
        let kubeconfig = proxy.kubeconfig(&self.kubeconfig).unwrap();
        self.operator_in(&[], &kubeconfig, flags)
    }

    /// An operator with these variables in its environment.
    pub fn operator_in(&self, environment: &[(&str, &str)], kubeconfig: &PathBuf, flags: &[&str]) -> Operator {
        let number = self.operators.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(env!("CARGO_BIN_EXE_nuvo-operator"));
        let base = self.sim.base_url();
        let mut values: Vec<(&str, &str)> = vec![
            ("--allowed-base-url", &base),
            ("--namespaces", &self.namespace),
            ("--operator-namespace", &self.namespace),
            ("--leader-elect", "false"),
            ("--metrics-addr", "127.0.0.1:0"),
            ("--health-addr", "127.0.0.1:0"),
            ("--log-level", "debug"),
            ("--trigger-timeout-seconds", "2"),
            ("--trigger-settle-seconds", "2"),
            ("--fence-seconds", "1"),
            ("--adoption-confirm-seconds", "0.2"),
            ("--quarantine-seconds", "4"),
        ];
        let given: Vec<(&str, &str)> = flags.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        values.retain(|(name, _)| !given.iter().any(|(other, _)| other == name));
        for (name, value) in values.iter().chain(&given) {
            command.args([name, value]);
        }
        command.env("KUBECONFIG", kubeconfig).envs(environment.iter().copied());
        let log = self.log_path(number);
        Operator(Process::spawn_guarded(&command, log).unwrap())
    }

    /// Waits until this holds for the run. Panics with the whole state if it does not in time.
    #[track_caller]
    pub fn wait(&self, name: &str, what: &str, holds: impl Fn(&PipelineRun) -> bool) -> PipelineRun {
        let begun = Instant::now();
        loop {
            let run = block_on(self.runs().get_opt(name)).unwrap();
            if let Some(run) = run.as_ref().filter(|run| holds(run)) {
                return run.clone();
            }
            if begun.elapsed() >= WITHIN {
                panic!("{name}: not {what} within {} s\n{}", WITHIN.as_secs(), self.report(&run));
            }
            std::thread::sleep(CHECK_EVERY);
        }
    }

    /// Waits for this phase.
    #[track_caller]
    pub fn wait_phase(&self, name: &str, phase: Phase) -> PipelineRun {
        self.wait(name, phase.as_str(), |run| run.status.as_ref().and_then(|status| status.phase) == Some(phase))
    }

    /// Waits for this reason of `Succeeded`.
    #[track_caller]
    pub fn wait_reason(&self, name: &str, wanted: &str) -> PipelineRun {
        self.wait(name, wanted, |run| reason(run) == wanted)
    }

    /// Waits until an account can be used.
    #[track_caller]
    pub fn wait_ready(&self, account: &str) {
        let ready = || {
            let status = block_on(self.accounts().get(account)).unwrap().status.unwrap_or_default();
            status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        self.eventually(&format!("account {account} ready"), ready);
    }

    /// Waits until anything holds.
    #[track_caller]
    pub fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            if begun.elapsed() >= WITHIN {
                panic!("not {what} within {} s\n{}", WITHIN.as_secs(), self.report(&None));
            }
            std::thread::sleep(CHECK_EVERY);
        }
    }

    fn report(&self, run: &Option<PipelineRun>) -> String {
        let journal: Vec<String> = self
            .sim
            .journal()
            .iter()
            .map(|request| format!("{} ms {} {} {:?} {:?}", request.at_ms, request.method, request.path, request.query, request.answer))
            .collect();
        let leases = block_on(self.leases().list(&ListParams::default())).map(|list| list.items);
        let mut logs = String::new();
        for (number, text) in self.logs().iter().enumerate() {
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(120)..].join("\n");
            logs.push_str(&format!("-- operator {number}:\n{tail}\n"));
        }
        format!(
            "-- run:\n{}\n-- leases:\n{}\n-- requests to nuvo:\n{}\n{logs}",
            serde_json::to_string_pretty(run).unwrap(),
            serde_json::to_string_pretty(&leases.ok()).unwrap(),
            journal.join("\n"),
        )
    }

    fn log_path(&self, number: u32) -> PathBuf {
        self.server.folder().join(format!("{}-operator-{number}.log", self.namespace))
    }

    /// What each operator has logged.
    fn logs(&self) -> Vec<String> {
        let paths = (0..self.operators.load(Ordering::Relaxed)).map(|number| self.log_path(number));
        paths.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()).collect()
    }

    /// What a person can read in this environment: all objects, and the logs of its operators.
    pub fn readable_text(&self) -> String {
        async fn all<K>(api: Api<K>) -> String
        where
            K: Clone + serde::de::DeserializeOwned + serde::Serialize + Debug,
        {
            serde_json::to_string(&api.list(&ListParams::default()).await.unwrap().items).unwrap()
        }
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace);
        let objects = block_on(async { [all(self.runs()).await, all(self.accounts()).await, all(self.leases()).await, all(events).await] });
        [objects.as_slice(), &self.logs()].concat().join("\n")
    }

    /// No credential is in anything that a person can read.
    fn assert_no_credential_leaked(&self) {
        let readable = self.readable_text();
        let keys = self.keys.lock().unwrap().clone();
        // The simulator begins every token that it issues like this.
        let secrets = keys.iter().map(String::as_str).filter(|key| !key.is_empty()).chain(["sim-token-"]);
        for secret in secrets {
            assert!(!readable.contains(secret), "{secret} is in\n{readable}");
        }
    }

    /// The writes that operators of this environment have made.
    pub fn writes(&self) -> Vec<AuditEvent> {
        let user = format!("system:serviceaccount:{}:nuvo-operator", self.namespace);
        self.server.writes(|event| event.user == user)
    }

    /// The number of those writes, as the operators should have counted them: by the labels of the metric.
    pub fn written(&self) -> BTreeMap<String, f64> {
        let mut counts = BTreeMap::new();
        for write in self.writes() {
            let separator = if write.subresource.is_empty() { "" } else { "/" };
            *counts.entry(format!("{{resource=\"{}{separator}{}\"}}", write.resource, write.subresource)).or_insert(0.0) += 1.0;
        }
        counts
    }

    /// The events about a run: type, reason and note.
    pub fn events(&self, name: &str) -> Vec<(String, String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        block_on(api.list(&ListParams::default()))
            .unwrap()
            .into_iter()
            .filter(about)
            .map(|event| (text(&event.type_), text(&event.reason), text(&event.note)))
            .collect()
    }

    /// The note of an event about a run, once it is there: events follow the status.
    #[track_caller]
    pub fn wait_note(&self, name: &str, wanted: &str) -> String {
        let found = || self.events(name).into_iter().find(|(_, reason, _)| reason == wanted).map(|(_, _, note)| note);
        self.eventually(&format!("an event {wanted} of {name}"), || found().is_some());
        found().unwrap()
    }

    /// How many requests of this kind reached nuvo.
    pub fn requests(&self, operation: Operation) -> usize {
        self.sim.journal().iter().filter(|request| request.operation == operation).count()
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, controlplane::Error> {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(args);
        self.server.kubectl(&all)
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // A failed test has a more important message.
        if !std::thread::panicking() {
            self.assert_no_credential_leaked();
        }
    }
}

/// A running operator; killed when this is dropped.
pub struct Operator(pub Process);

impl Operator {
    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.0.kill();
    }

    /// Sends SIGTERM, as the kubelet does, and returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.0.signal_term().unwrap();
        self.0.wait(WITHIN).and_then(|status| status.code())
    }

    /// What the kernel says about the most memory that it ever had, in bytes.
    pub fn peak_memory(&mut self) -> u64 {
        let pid = self.0.command().unwrap().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// What one of its two servers, `metrics` or `health`, answers: the status and the body.
    pub fn ask(&self, server: &str, path: &str) -> (u16, String) {
        let address = wait_for(&format!("{server} server"), &self.0, || {
            let log = self.0.log();
            let line = log.lines().find(|line| line.contains("listening") && line.contains(&format!("server=\"{server}\"")))?;
            line.split("address=").nth(1)?.split_whitespace().next().map(str::to_owned)
        });
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The value of one line of `/metrics`; none if it is not there.
    pub fn metric(&self, line: &str) -> Option<f64> {
        let (_, text) = self.ask("metrics", "/metrics");
        text.lines().find_map(|sample| sample.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
    }

    /// The labels and values of all lines of one metric.
    pub fn metrics(&self, name: &str) -> BTreeMap<String, f64> {
        let (_, text) = self.ask("metrics", "/metrics");
        let samples = text.lines().filter_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with('{'))?.rsplit_once(' '));
        samples.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
    }

    /// Whether its metric says that it is the leader.
    pub fn leads(&self) -> bool {
        self.metric("nuvo_operator_leader") == Some(1.0)
    }

    /// Waits for its exit. Returns its exit code and its log.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let status = self.0.wait(WITHIN);
        (status.unwrap_or_else(|| panic!("still running\n{}", self.0.log())).code(), self.0.log())
    }
}

/// Waits until this is found. Panics with the log of the process if it is not in time.
pub fn wait_for<T>(what: &str, process: &Process, found: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < WITHIN, "no {what} within {} s\n{}", WITHIN.as_secs(), process.log());
        std::thread::sleep(CHECK_EVERY);
    }
}

pub fn merge(into: &mut Value, fields: Value) {
    if let (Value::Object(into), Value::Object(fields)) = (into, fields) {
        for (key, value) in fields {
            if value.is_null() {
                into.remove(&key);
            } else {
                into.insert(key, value);
            }
        }
    }
}

/// A condition of a run.
pub fn condition<'a>(run: &'a PipelineRun, kind: &str) -> Option<&'a Condition> {
    run.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// The reason of `Succeeded`.
pub fn reason(run: &PipelineRun) -> &str {
    condition(run, "Succeeded").map(|condition| condition.reason.as_str()).unwrap_or_default()
}

/// The message of `Succeeded`.
pub fn message(run: &PipelineRun) -> &str {
    condition(run, "Succeeded").map(|condition| condition.message.as_str()).unwrap_or_default()
}

/// What must hold for each status that the operator writes.
pub fn assert_consistent(run: &PipelineRun) {
    let status = run.status.as_ref().unwrap();
    let show = || serde_json::to_string_pretty(run).unwrap();
    assert_eq!(status.observed_generation, run.metadata.generation, "{}", show());
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, run.metadata.generation, "{} of {}", condition.type_, show());
        assert!(!condition.message.is_empty(), "{} of {}", condition.type_, show());
    }
    let holds = |kind: &str| condition(run, kind).map(|condition| condition.status.as_str());
    let ended = matches!(holds("Succeeded"), Some("True" | "False"));
    assert_eq!(status.current.completion_time.is_some(), ended, "{}", show());
    assert_eq!(holds("Finished"), Some(if ended { "True" } else { "False" }), "{}", show());
    assert_eq!(holds("Ready"), Some(if holds("Succeeded") == Some("True") { "True" } else { "False" }), "{}", show());
    assert_eq!(holds("Reconciling"), (!ended).then_some("True"), "{}", show());
    assert_eq!(holds("Stalled"), (holds("Succeeded") == Some("False")).then_some("True"), "{}", show());
}

/// Two values that must be equal, with a name.
#[track_caller]
pub fn same<T: PartialEq + Debug>(what: &str, found: T, wanted: T) {
    assert_eq!(found, wanted, "{what}");
}

/// The uid of a run.
pub fn uid(run: &PipelineRun) -> String {
    run.uid().unwrap()
}
