//! One control plane: its servers, its users, its files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::PolicyRule;
use programs::check_interrupted;
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::nodes::NodeNetwork;
use crate::process::{read_lossy, tail};
use crate::run_dir::RunDir;
use crate::{AuditEvent, Context, Error, Process, audit, binary, kubeconfig, lock, nodes};

/// A start takes 4 s on two idle cores; this is for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// Ports can be taken by others between their choice and their use.
const STARTS: u32 = 3;
const ADMIN_TOKEN: &str = "admin";

/// What to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Also run kube-controller-manager: without it namespaces stay in deletion and owned objects stay. Its first build takes a minute
    /// more.
    pub controller_manager: bool,
    /// Log also what ServiceAccounts read, for [`ControlPlane::requests`].
    pub audit_reads: bool,
    /// More flags for kube-apiserver.
    pub api_server_args: Vec<String>,
    /// Real nodes run pods: all controllers and admission plugins are on, and the API server is reached through this network, too. With
    /// [`Options::controller_manager`].
    pub nodes: Option<NodeNetwork>,
    /// Users with a group of each, who have kubeconfigs ([`ControlPlane::user_kubeconfig`]).
    pub users: Vec<(&'static str, &'static str)>,
}

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The store.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
}

impl Part {
    /// The name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

#[derive(Debug, Default)]
struct Parts {
    etcd: Option<Process>,
    api_server: Option<Process>,
    controller_manager: Option<Process>,
}

impl Parts {
    fn slot(&mut self, part: Part) -> &mut Option<Process> {
        match part {
            Part::Etcd => &mut self.etcd,
            Part::ApiServer => &mut self.api_server,
            Part::ControllerManager => &mut self.controller_manager,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api_server: u16,
}

/// A running control plane. When this is dropped its servers are killed and its folder is removed, unless `CONTROLPLANE_KEEP` is set.
#[derive(Debug)]
pub struct ControlPlane {
    // Before the folder: fields are dropped in this order.
    parts: Mutex<Parts>,
    options: Options,
    ports: Ports,
    url: String,
    certificates: Certificates,
    admin_kubeconfig: PathBuf,
    kubectl: Vec<OsString>,
    namespaces: AtomicU32,
    folder: RunDir,
}

/// The one control plane of this process, with the default options. It is started by the first who asks.
pub fn shared() -> Result<&'static ControlPlane, Error> {
    static SHARED: OnceLock<Result<ControlPlane, Error>> = OnceLock::new();
    SHARED.get_or_init(|| ControlPlane::start(Options::default())).as_ref().map_err(Clone::clone)
}

impl ControlPlane {
    /// Starts the servers and waits until they are ready.
    pub fn start(options: Options) -> Result<Self, Error> {
        for _ in 1..STARTS {
            match Self::start_once(options.clone()) {
                Err(error) if error.0.contains("address already in use") => {}
                done => return done,
            }
        }
        Self::start_once(options)
    }

    fn start_once(options: Options) -> Result<Self, Error> {
        let kubectl = binary::program("kubectl")?;
        if options.controller_manager {
            // Now, because the servers should not wait for its build.
            binary::program(Part::ControllerManager.name())?;
        }
        let kubectl = [kubectl.get_program()].into_iter().chain(kubectl.get_args()).map(OsString::from).collect();
        let folder = RunDir::create()?;
        let names = options.nodes.as_ref().map(NodeNetwork::names).unwrap_or_default();
        let certificates = Certificates::create(folder.path(), &names)?;
        let [etcd, etcd_peer, api_server] = free_ports()?;
        let url = format!("https://127.0.0.1:{api_server}");
        let admin_kubeconfig = folder.path().join("admin.kubeconfig");
        kubeconfig::write(&admin_kubeconfig, &url, &certificates.ca, "admin", ADMIN_TOKEN, "default")?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).context(|| format!("writing {name}"));
        let users = options.users.iter().map(|(user, group)| format!("{user},{user},{user},\"{group}\"\n")).collect::<String>();
        write("tokens.csv", &format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n{users}"))?;
        write("audit-policy.yaml", &audit::policy(options.audit_reads))?;
        let ports = Ports { etcd, etcd_peer, api_server };
        let (parts, namespaces) = (Mutex::default(), AtomicU32::new(0));
        let server = Self { parts, options, ports, url, certificates, admin_kubeconfig, kubectl, namespaces, folder };
        // Together: the API server waits for etcd by itself.
        server.spawn(Part::Etcd)?;
        server.spawn(Part::ApiServer)?;
        server.wait_ready()?;
        if server.options.controller_manager {
            server.spawn(Part::ControllerManager)?;
        }
        Ok(server)
    }

    /// The URL of the API server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder with all files of this control plane. Put files there that should go with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig of a user who may do everything (`admin`, of the group `system:masters`).
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    pub(crate) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.ports.api_server
    }

    /// kubectl as the admin. For another user set the variable `KUBECONFIG` of the command.
    pub fn kubectl_command(&self) -> Command {
        let mut words = self.kubectl.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        // Nothing of the person who runs this: no cache, no preferences.
        command.args(words).env("KUBECONFIG", &self.admin_kubeconfig).env("KUBECACHEDIR", self.folder().join("kubectl-cache"));
        command.env("KUBERC", "off").stdin(Stdio::null());
        command
    }

    /// Runs kubectl as the admin. What it printed, or an error with what it said.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, Error> {
        run(self.kubectl_command().args(args))
    }

    /// Applies a manifest, YAML or JSON, with `kubectl apply --server-side`.
    pub fn apply(&self, manifest: &str) -> Result<String, Error> {
        let path = self.folder().join(format!("manifest-{}", self.namespaces.fetch_add(1, Ordering::Relaxed)));
        fs::write(&path, manifest).context(|| format!("writing {}", path.display()))?;
        let input = File::open(&path).context(|| format!("opening {}", path.display()))?;
        let applied = run(self.kubectl_command().args(["apply", "--server-side", "--force-conflicts", "-f", "-"]).stdin(input));
        // In the folder it would only be in the way.
        let _ = fs::remove_file(&path);
        applied
    }

    /// Creates a namespace whose name begins with `prefix` and is new.
    pub fn namespace(&self, prefix: &str) -> Result<String, Error> {
        let name = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &name])?;
        Ok(name)
    }

    /// Makes a ServiceAccount that may do what these rules say, in all namespaces, and a kubeconfig with a real token of it.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str, rules: &[PolicyRule]) -> Result<PathBuf, Error> {
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace } });
        let [role, binding] = role(namespace, name, None, rules);
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [account, role, binding] }).to_string())?;
        self.kubeconfig_of(namespace, name)
    }

    /// Lets a ServiceAccount do what these rules say in the namespace `within`, too.
    pub fn grant(&self, namespace: &str, name: &str, within: &str, rules: &[PolicyRule]) -> Result<(), Error> {
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": role(namespace, name, Some(within), rules) }).to_string())?;
        Ok(())
    }

    /// A kubeconfig with a real token of a ServiceAccount.
    pub fn kubeconfig_of(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace, "--duration", "24h"])?;
        let path = self.folder().join(format!("{namespace}.{name}.kubeconfig"));
        kubeconfig::write(&path, &self.url, &self.certificates.ca, name, token.trim(), namespace)?;
        Ok(path)
    }

    /// A kubeconfig of one of [`Options::users`].
    pub fn user_kubeconfig(&self, user: &str) -> Result<PathBuf, Error> {
        let path = self.folder().join(format!("{}.kubeconfig", user.replace(':', "-")));
        kubeconfig::write(&path, &self.url, &self.certificates.ca, user, user, "default")?;
        Ok(path)
    }

    /// The files of a certificate and of its key, with which a client is this user.
    pub fn client_certificate(&self, user: &str) -> Result<(PathBuf, PathBuf), Error> {
        self.certificates.client(self.folder(), user, None)
    }

    /// The file of the authority that has signed all certificates here.
    pub fn authority(&self) -> &Path {
        &self.certificates.ca
    }

    /// The files of the certificate of the API server and of its key. A kubelet at the same address may use them, too.
    pub fn server_certificate(&self) -> (&Path, &Path) {
        (&self.certificates.server, &self.certificates.server_key)
    }

    /// The writes that the API server answered, oldest first, also those of its own. The last may be missing for some milliseconds.
    pub fn writes(&self, filter: impl Fn(&AuditEvent) -> bool) -> Vec<AuditEvent> {
        self.requests(|event| event.is_write() && filter(event))
    }

    /// The requests that the API server answered, oldest first: writes, those that were only tried, too, and with
    /// [`Options::audit_reads`] what ServiceAccounts have read.
    pub fn requests(&self, filter: impl Fn(&AuditEvent) -> bool) -> Vec<AuditEvent> {
        let mut events = audit::parse(&read_lossy(&self.folder().join("audit.log")));
        events.retain(filter);
        events
    }

    /// Waits for a write, but not longer than this; the first there is.
    pub fn wait_for_write(&self, filter: impl Fn(&AuditEvent) -> bool, at_most: Duration) -> Option<AuditEvent> {
        let begun = Instant::now();
        loop {
            let first = self.writes(&filter).into_iter().next();
            if first.is_some() || begun.elapsed() >= at_most {
                return first;
            }
            thread::sleep(POLL);
        }
    }

    /// Ends a server as its machine would: SIGTERM, and SIGKILL if that takes too long. Its data stays.
    pub fn stop_part(&self, part: Part) -> Result<(), Error> {
        if let Some(mut process) = lock(&self.parts).slot(part).take() {
            process.signal_term()?;
            process.wait(STOPPED_WITHIN);
        }
        Ok(())
    }

    /// Kills a server (SIGKILL). Its data stays.
    pub fn kill_part(&self, part: Part) {
        drop(lock(&self.parts).slot(part).take());
    }

    /// Starts a server again, with the data and on the port it had, and waits until all is ready. If it still runs it is stopped first.
    pub fn restart_part(&self, part: Part) -> Result<(), Error> {
        self.stop_part(part)?;
        self.spawn(part)?;
        match part {
            Part::Etcd | Part::ApiServer => self.wait_ready(),
            Part::ControllerManager => Ok(()),
        }
    }

    /// The process id of a server, if it was started.
    pub fn pid(&self, part: Part) -> Option<u32> {
        let mut parts = lock(&self.parts);
        parts.slot(part).as_mut().and_then(|process| process.command().ok().flatten())
    }

    /// What a server has written to its log.
    pub fn log(&self, part: Part) -> String {
        read_lossy(&self.log_path(part))
    }

    /// Ends everything and removes the folder; so does dropping it.
    pub fn stop(self) {
        drop(self);
    }

    fn log_path(&self, part: Part) -> PathBuf {
        self.folder().join(format!("{}.log", part.name()))
    }

    fn spawn(&self, part: Part) -> Result<(), Error> {
        let mut command = binary::program(part.name())?;
        command.args(self.args(part)?).current_dir(self.folder());
        let log = self.log_path(part);
        let process = match binary::ends_with_stdin(part.name()) {
            Some((name, value)) => {
                command.env(name, value);
                Process::spawn(command, log)
            }
            None => Process::spawn_guarded(&command, log),
        }?;
        *lock(&self.parts).slot(part) = Some(process);
        Ok(())
    }

    fn args(&self, part: Part) -> Result<Vec<String>, Error> {
        let Ports { etcd, etcd_peer, api_server } = self.ports;
        let (etcd, etcd_peer) = (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{etcd_peer}"));
        let file = |name: &str| self.folder().join(name).display().to_string();
        let nodes = self.options.nodes.as_ref();
        Ok(match part {
            Part::Etcd => vec![
                format!("--data-dir={}", file("etcd")),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                format!("--listen-peer-urls={etcd_peer}"),
                format!("--initial-advertise-peer-urls={etcd_peer}"),
                format!("--initial-cluster=default={etcd_peer}"),
                "--unsafe-no-fsync".to_owned(),
            ],
            Part::ApiServer => {
                let Certificates { ca, server, server_key, tokens_key, tokens_public, .. } = &self.certificates;
                let mut args = vec![
                    format!("--etcd-servers={etcd}"),
                    format!("--secure-port={api_server}"),
                    format!("--cert-dir={}", file("kube-apiserver")),
                    format!("--tls-cert-file={}", server.display()),
                    format!("--tls-private-key-file={}", server_key.display()),
                    format!("--client-ca-file={}", ca.display()),
                    format!("--token-auth-file={}", file("tokens.csv")),
                    "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                    format!("--service-account-signing-key-file={}", tokens_key.display()),
                    format!("--service-account-key-file={}", tokens_public.display()),
                    format!("--audit-policy-file={}", file("audit-policy.yaml")),
                    format!("--audit-log-path={}", file("audit.log")),
                    "--audit-log-maxsize=10000".to_owned(),
                    // Without it an orderly stop waits for watches, longer than we would.
                    "--shutdown-watch-termination-grace-period=2s".to_owned(),
                ];
                args.extend(match nodes {
                    Some(network) => network.api_server_args(&self.certificates, self.folder())?,
                    None => nodes::without_nodes(),
                });
                args.extend(self.options.api_server_args.iter().cloned());
                args
            }
            Part::ControllerManager => {
                let mut args = vec![
                    format!("--kubeconfig={}", self.admin_kubeconfig.display()),
                    "--leader-elect=false".to_owned(),
                    "--secure-port=0".to_owned(),
                    // Quotas of custom resources are counted for the first time after this.
                    "--resource-quota-sync-period=1s".to_owned(),
                ];
                args.extend(nodes::controller_manager_args(nodes, &self.certificates));
                args
            }
        })
    }

    fn wait_ready(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < READY_WITHIN {
            check_interrupted()?;
            for part in [Part::Etcd, Part::ApiServer] {
                if let Some(status) = lock(&self.parts).slot(part).as_mut().and_then(Process::exited) {
                    return Err(self.failed(&format!("{} ended with {status}", part.name())));
                }
            }
            // A connection costs nothing, kubectl does.
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.api_server)).is_ok() {
                match self.kubectl(&["get", "--raw", "/readyz", "--request-timeout", "5s"]) {
                    Ok(_) => return Ok(()),
                    Err(error) => last = error.0,
                }
            }
            thread::sleep(POLL);
        }
        Err(self.failed(&format!("not ready within {} s: {last}", READY_WITHIN.as_secs())))
    }

    fn failed(&self, what: &str) -> Error {
        let log = |part: Part| format!("\n-- the end of the log of {}:\n{}", part.name(), tail(&self.log(part), 15));
        Error::new(format!("the control plane: {what}{}{}", log(Part::Etcd), log(Part::ApiServer)))
    }
}

/// A role of a ServiceAccount in one namespace, or in all of them, and its binding.
fn role(namespace: &str, name: &str, within: Option<&str>, rules: &[PolicyRule]) -> [Value; 2] {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let kind = if within.is_some() { "Role" } else { "ClusterRole" };
    let role = format!("{namespace}:{name}");
    let metadata = json!({ "name": role, "namespace": within });
    let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
    [
        json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules }),
        json!({
            "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": kind, "name": role }, "subjects": [subject],
        }),
    ]
}

fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.output().context(|| "starting kubectl".to_owned())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    Err(Error::new(format!("{words}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())))
}

/// Free ports outside the range from which Linux gives ports to clients, so that a server can have its port again after a restart.
fn free_ports<const N: usize>() -> Result<[u16; N], Error> {
    let mut held = Vec::new();
    for _ in 0..1_000 {
        let random = RandomState::new().build_hasher().finish() % 12_000;
        let port = u16::try_from(random).unwrap_or_default().saturating_add(20_000);
        // All are held until all are found, so that none is found twice.
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
        let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
        if let Ok(ports) = ports.try_into() {
            return Ok(ports);
        }
    }
    Err(Error::new("there are no free ports"))
}
