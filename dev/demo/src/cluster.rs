//! The cluster of the demo: a control plane of its own, or the one of `KUBECONFIG`.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use controlplane::{ControlPlane, Options, Process, RunDir};
use k8s_openapi::api::rbac::v1::PolicyRule;
use programs::repository;

use crate::{ACCOUNT, NAMESPACE, OBSERVED, RUNS, SCHEDULE, SECRET, heading, say};

/// The rights that the Helm chart gives to the operator.
const RULES: &str = "charts/nuvo-operator/templates/_rules.tpl";
const CRDS: [&str; 4] = ["pipelineruns.nuvo.dev", "pipelineschedules.nuvo.dev", "nuvoaccounts.nuvo.dev", "nuvopipelines.nuvo.dev"];
/// The namespace of the operator in a cluster of its own.
const OPERATOR_NAMESPACE: &str = "nuvo-system";
const OPERATOR: &str = "nuvo-operator";

pub enum Cluster {
    Own(Box<ControlPlane>),
    Given(Given),
}

/// A cluster that was there before. What was created in it is removed when this is dropped.
pub struct Given {
    kubectl: Vec<OsString>,
    /// One path or several, as in the variable.
    kubeconfig: OsString,
    folder: RunDir,
    created: Created,
}

#[derive(Default)]
struct Created {
    crds: Vec<&'static str>,
    namespace: bool,
    objects: bool,
    /// Those that were there before; the operator makes some.
    leases_before: BTreeSet<String>,
}

impl Cluster {
    /// Starts one, or finds that of `KUBECONFIG`.
    pub fn open() -> Result<Self, Box<dyn Error>> {
        let Some(kubeconfig) = env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) else {
            heading("starting a control plane: etcd and kube-apiserver");
            let server = ControlPlane::start(Options::default())
                .map_err(|error| format!("{error}\nWith KUBECONFIG set, the demo uses that cluster and needs no control plane."))?;
            return Ok(Self::Own(Box::new(server)));
        };
        heading("using the cluster of KUBECONFIG");
        let program = if in_path("kubectl") { Command::new("kubectl") } else { controlplane::kubectl()? };
        let kubectl = [program.get_program()].into_iter().chain(program.get_args()).map(OsString::from).collect();
        // kubectl is also run in another folder.
        let paths = env::split_paths(&kubeconfig).map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
        let kubeconfig = env::join_paths(paths)?;
        let cluster = Self::Given(Given { kubectl, kubeconfig, folder: RunDir::create()?, created: Created::default() });
        let context =
            cluster.read(&["config", "current-context"]).map_err(|error| format!("KUBECONFIG names no cluster to use: {error}"))?;
        say(&format!("context {}, namespace {NAMESPACE}", context.trim()));
        cluster
            .read(&["version", "--request-timeout=15s"])
            .map_err(|error| format!("the cluster of KUBECONFIG does not answer: {error}"))?;
        Ok(cluster)
    }

    /// The definitions and the namespace.
    pub fn prepare(&mut self) -> Result<(), Box<dyn Error>> {
        let get = [&["get", "crd"], &CRDS[..], &["--ignore-not-found", "--output=name"]].concat();
        let found = self.read(&get)?;
        let missing: Vec<&'static str> = CRDS.into_iter().filter(|name| !found.contains(name)).collect();
        match (missing.len(), found.trim().is_empty()) {
            (0, _) => say("the custom resource definitions are there already, and stay as they are"),
            (_, true) => {
                self.record(|created| created.crds = missing);
                self.read(&["apply", "--server-side", "--filename", &repository().join("crds").display().to_string()])?;
            }
            _ => {
                return Err(
                    format!("the cluster has not all of the definitions {}: install them, or remove the others", CRDS.join(", ")).into()
                );
            }
        }
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd"];
        self.read(&[&established[..], &CRDS].concat())?;
        let found = self.read(&["get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name"])?;
        if found.trim().is_empty() {
            self.record(|created| created.namespace = true);
            self.read(&["create", "namespace", NAMESPACE])?;
        }
        if let Self::Given(given) = self {
            given.refuse_what_is_there()?;
            given.created.leases_before = given.leases()?;
            given.created.objects = true;
        }
        Ok(())
    }

    /// Adds what the operator needs to know about this cluster.
    pub fn admit(&self, operator: &mut Command) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Own(server) => {
                server.kubectl(&["create", "namespace", OPERATOR_NAMESPACE])?;
                let kubeconfig = server.service_account_kubeconfig(OPERATOR_NAMESPACE, OPERATOR, &rules()?)?;
                operator.env("KUBECONFIG", kubeconfig).args(["--operator-namespace", OPERATOR_NAMESPACE]);
            }
            // It has no business elsewhere in a cluster that others use.
            Self::Given(_) => _ = operator.args(["--namespaces", NAMESPACE, "--operator-namespace", NAMESPACE]),
        }
        Ok(())
    }

    /// A folder that goes at the end.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Own(server) => server.folder(),
            Self::Given(given) => given.folder.path(),
        }
    }

    /// What a person sets in a shell to use this cluster. Nothing, if that was done already.
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        match self {
            Self::Own(server) => Some(server.admin_kubeconfig().to_owned()),
            Self::Given(_) => None,
        }
    }

    /// How a person calls this kubectl, if not by its name.
    pub fn kubectl_alias(&self) -> Option<String> {
        if in_path("kubectl") {
            return None;
        }
        let command = self.kubectl();
        let words = [command.get_program()].into_iter().chain(command.get_args());
        Some(words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    fn kubectl(&self) -> Command {
        match self {
            Self::Own(server) => server.kubectl_command(),
            Self::Given(given) => given.kubectl(),
        }
    }

    /// What kubectl prints.
    pub fn read(&self, args: &[&str]) -> Result<String, String> {
        output(self.kubectl().args(args))
    }

    /// Runs kubectl, and shows the command and what it prints.
    pub fn show(&self, args: &[&str]) -> Result<(), Box<dyn Error>> {
        say(&format!("$ kubectl {}", args.join(" ")));
        let status = self.kubectl().args(args).current_dir(repository()).status()?;
        if status.success() { Ok(()) } else { Err(format!("kubectl ended with {status}").into()) }
    }

    /// Starts kubectl; what it prints is in the log of the process.
    pub fn start(&self, args: &[&str], log: &str) -> Result<Process, Box<dyn Error>> {
        let mut command = self.kubectl();
        command.args(args);
        Ok(Process::spawn_guarded(&command, self.folder().join(log))?)
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Result<(), Box<dyn Error>> {
        let path = self.folder().join("manifest");
        fs::write(&path, manifest)?;
        output(self.kubectl().args(["apply", "--server-side", "--namespace", NAMESPACE, "--filename=-"]).stdin(File::open(&path)?))?;
        Ok(())
    }

    /// Notes what is to be removed, before it is created. An own cluster goes as a whole.
    fn record(&mut self, change: impl FnOnce(&mut Created)) {
        if let Self::Given(given) = self {
            change(&mut given.created);
        }
    }
}

impl Given {
    fn kubectl(&self) -> Command {
        let mut words = self.kubectl.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        command.args(words).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command
    }

    fn read(&self, args: &[&str]) -> Result<String, String> {
        output(self.kubectl().args(["--namespace", NAMESPACE]).args(args))
    }

    fn refuse_what_is_there(&self) -> Result<(), Box<dyn Error>> {
        let mut args = vec!["get", "--ignore-not-found", "--output=name"];
        let names = objects();
        args.extend(names.iter().map(String::as_str));
        let found = self.read(&args)?;
        if found.trim().is_empty() {
            return Ok(());
        }
        let found = found.lines().collect::<Vec<_>>().join(", ");
        Err(format!("the namespace {NAMESPACE} of this cluster has {found} already: delete that first, or use another cluster").into())
    }

    /// The locks of operators.
    fn leases(&self) -> Result<BTreeSet<String>, String> {
        let found = self.read(&["get", "leases.coordination.k8s.io", "--selector=nuvo.dev/pipeline-lock", "--output=name"])?;
        Ok(found.lines().map(str::to_owned).collect())
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let Created { crds, namespace, objects: made, leases_before } = std::mem::take(&mut self.created);
        let mut steps: Vec<Vec<String>> = Vec::new();
        if made {
            steps.push(objects());
            let leases = self.leases().unwrap_or_default();
            steps.push(leases.difference(&leases_before).cloned().collect());
        }
        if namespace {
            steps.push(vec![format!("namespace/{NAMESPACE}")]);
        }
        steps.push(crds.iter().map(|name| format!("crd/{name}")).collect());
        steps.retain(|names| !names.is_empty());
        if !steps.is_empty() {
            heading("removing what the demo created");
        }
        for names in steps {
            let mut args = vec!["delete", "--ignore-not-found", "--timeout=60s"];
            args.extend(names.iter().map(String::as_str));
            match self.read(&args) {
                Ok(text) => say(text.trim_end()),
                Err(error) => say(&format!("not removed: {error}")),
            }
        }
    }
}

/// What the operator needs, without the templates around it.
fn rules() -> Result<Vec<PolicyRule>, Box<dyn Error>> {
    let path = repository().join(RULES);
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let list: String = text.lines().filter(|line| !line.starts_with("{{")).flat_map(|line| [line, "\n"]).collect();
    Ok(serde_yaml::from_str(&list).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// What the demo applies, as `resource/name`.
fn objects() -> Vec<String> {
    let runs = RUNS.iter().map(|name| format!("pipelineruns.nuvo.dev/{name}"));
    let observed = OBSERVED.iter().map(|name| format!("nuvopipelines.nuvo.dev/{name}"));
    let schedule = format!("pipelineschedules.nuvo.dev/{SCHEDULE}");
    runs.chain(observed).chain([schedule, format!("nuvoaccounts.nuvo.dev/{ACCOUNT}"), format!("secret/{SECRET}")]).collect()
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    Err(format!("kubectl {words}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn in_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
