//! The servers of the node and of its control plane.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use controlplane::{ControlPlane, NodeNetwork, Options, Process};
use serde_json::Value;

use super::Failure;
use super::configuration::{self, ADDRESS, ADMIN_KUBECONFIG, CONTAINERD, DNS, FIRST_SERVICE, HOME, NODE, REGISTRIES, REGISTRY, SERVICES};
use super::ingredients::Ingredients;
use super::namespaces;
use crate::stop::Stop;

const KUBELET: (&str, &str) = ("system:node:node1", "system:nodes");
/// These have their rights by name; the group has none.
const SCHEDULER: (&str, &str) = ("system:kube-scheduler", "node");
const PROXY: (&str, &str) = ("system:kube-proxy", "node");

const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);
const LOG_LINES: usize = 15;

/// All servers. They are killed when this is dropped.
pub struct Cluster {
    // First: fields are dropped in this order.
    servers: Vec<(&'static str, Process)>,
    pub control_plane: ControlPlane,
    ingredients: Ingredients,
}

impl Cluster {
    /// Starts everything, and waits until pods can run.
    pub fn start(folder: &Path, stop: &Stop) -> Result<Self, Failure> {
        let ingredients = Ingredients::found().map_err(|error| error.to_string())?;
        let write = |name: &str, text: String| -> Result<PathBuf, Failure> {
            let path = Path::new(HOME).join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, text)?;
            Ok(path)
        };
        let config = write("containerd.toml", configuration::containerd(&ingredients.packages))?;
        write("cni/pods.conflist", configuration::pod_network().to_string())?;
        write(&format!("{REGISTRIES}/{REGISTRY}/hosts.toml"), configuration::registry())?;
        write("resolv.conf", String::new())?;
        let mut servers = Vec::new();
        let mut start = |name: &'static str, command: Command| -> Result<(), Failure> {
            servers.push((name, Process::spawn(command, Path::new(HOME).join("logs").join(format!("{name}.log")))?));
            Ok(())
        };
        let mut containerd = ingredients.packaged("usr/bin/containerd");
        containerd.arg("--config").arg(config);
        start("containerd", containerd)?;

        let nodes = NodeNetwork { api_server: ADDRESS, services: SERVICES.to_owned(), first_service: FIRST_SERVICE };
        let users = vec![KUBELET, SCHEDULER, PROXY];
        let control_plane = ControlPlane::start(Options { controller_manager: true, nodes: Some(nodes), users, ..Options::default() })?;
        stop.check()?;
        fs::copy(control_plane.admin_kubeconfig(), Path::new(HOME).join(ADMIN_KUBECONFIG))?;
        control_plane.apply(&configuration::objects().to_string())?;
        let dns = configuration::service("kube-system", "kube-dns", DNS, &[("UDP", 53, 53), ("TCP", 53, 53)]);
        control_plane.apply(&dns.to_string())?;
        for image in &ingredients.images {
            import(&ingredients, image)?;
        }

        let kubeconfig = |(user, _): (&str, &str)| control_plane.user_kubeconfig(user);
        let group = namespaces::group(folder);
        let settings = configuration::kubelet(&group, control_plane.authority(), control_plane.server_certificate());
        let config = write("kubelet.json", settings.to_string())?;
        let mut kubelet = Command::new(&ingredients.node);
        ingredients.environment(&mut kubelet);
        kubelet.arg("kubelet").args(["--hostname-override", NODE, "--node-ip", &ADDRESS.to_string()]).arg("--config").arg(config);
        kubelet.arg("--kubeconfig").arg(kubeconfig(KUBELET)?);
        kubelet.args([format!("--root-dir={HOME}/kubelet"), format!("--cert-dir={HOME}/kubelet-certificates")]);
        start("kubelet", kubelet)?;

        let config = write("kube-proxy.json", configuration::kube_proxy(&kubeconfig(PROXY)?).to_string())?;
        let mut proxy = Command::new(&ingredients.node);
        ingredients.environment(&mut proxy);
        proxy.args(["kube-proxy", "--hostname-override", NODE]).arg("--config").arg(config);
        start("kube-proxy", proxy)?;

        let mut scheduler = Command::new(&ingredients.node);
        scheduler.args(["kube-scheduler", "--leader-elect=false", "--bind-address=127.0.0.1"]);
        scheduler.arg("--kubeconfig").arg(kubeconfig(SCHEDULER)?);
        start("kube-scheduler", scheduler)?;

        let config = write("Corefile", configuration::dns(control_plane.admin_kubeconfig()))?;
        let mut coredns = Command::new(&ingredients.coredns);
        coredns.arg("-conf").arg(config);
        start("coredns", coredns)?;

        let mut cluster = Self { servers, control_plane, ingredients };
        cluster.wait_ready(stop)?;
        Ok(cluster)
    }

    fn wait_ready(&mut self, stop: &Stop) -> Result<(), Failure> {
        let began = Instant::now();
        let is_ready = ["get", "node", NODE, "--output", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"];
        loop {
            if self.control_plane.kubectl(&is_ready).is_ok_and(|ready| ready == "True") {
                return Ok(());
            }
            for (name, server) in &mut self.servers {
                if let Some(status) = server.exited() {
                    return Err(format!("{name} has ended ({status}):\n{}", end_of(&server.log())).into());
                }
            }
            if began.elapsed() > READY_WITHIN {
                let logs = self.servers.iter().map(|(name, server)| format!("\n-- {name}:\n{}", end_of(&server.log()))).collect::<String>();
                return Err(format!("the node is not ready after {} s{logs}", READY_WITHIN.as_secs()).into());
            }
            stop.sleep(LOOK)?;
        }
    }

    /// Makes another operator known to the node, with this tag.
    pub fn import_with_tag(&self, image: &Path, tag: &str) -> Result<(), Failure> {
        import(&self.ingredients, image)?;
        let name = format!("docker.io/library/nuvo-operator:{}", env!("CARGO_PKG_VERSION"));
        let other = format!("docker.io/library/nuvo-operator:{tag}");
        run(ctr(&self.ingredients).args(["images", "tag", "--force", &name, &other]))?;
        // Both were packed with the same tag.
        self.import_all()
    }

    /// Makes all images known to the node that it does not pull.
    pub fn import_all(&self) -> Result<(), Failure> {
        self.ingredients.images.iter().try_for_each(|image| import(&self.ingredients, image))
    }

    /// Makes the image in this archive known to the node.
    pub fn import(&self, image: &Path) -> Result<(), Failure> {
        import(&self.ingredients, image)
    }

    /// Removes each image of the operator, with all that is in no other image.
    pub fn forget_operator(&self) -> Result<(), Failure> {
        let listed = output(ctr(&self.ingredients).args(["images", "list", "--quiet"]))?;
        for name in listed.lines().filter(|name| name.contains("nuvo-operator") || name.starts_with("sha256:")) {
            run(ctr(&self.ingredients).args(["images", "remove", "--sync", name]))?;
        }
        Ok(())
    }

    /// Starts a program beside the servers. It is killed when what this returns is dropped.
    pub fn spawn(&self, name: &str, command: Command) -> Result<Process, Failure> {
        Ok(Process::spawn(command, Path::new(HOME).join("logs").join(format!("{name}.log")))?)
    }

    /// kubectl's answer as JSON.
    pub fn get(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let text = self.control_plane.kubectl(&[&["get", "--output", "json"], arguments].concat())?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// containerd may not listen yet.
fn import(ingredients: &Ingredients, image: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        match run(ctr(ingredients).args(["images", "import"]).arg(image)) {
            Err(error) if began.elapsed() > READY_WITHIN => return Err(error),
            Err(_) => std::thread::sleep(LOOK),
            Ok(()) => return Ok(()),
        }
    }
}

fn ctr(ingredients: &Ingredients) -> Command {
    let mut ctr = ingredients.packaged("usr/bin/ctr");
    ctr.args(["--address", CONTAINERD, "--namespace", "k8s.io"]).stdin(Stdio::null());
    ctr
}

fn run(command: &mut Command) -> Result<(), Failure> {
    output(command).map(drop)
}

/// What a command says that succeeds.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

fn end_of(log: &str) -> String {
    let skipped = log.lines().count().saturating_sub(LOG_LINES);
    log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
