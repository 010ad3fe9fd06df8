//! kube-router as a firewall only, and connections from inside of pods.

use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use controlplane::Process;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Failure;
use super::configuration::{HOME, NODE, SERVICES};
use super::ingredients::Ingredients;
use super::stage::{Stage, process};

/// A packet that is dropped has no answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// The names by which one program of Debian's iptables knows what to be. They are alternatives, which only an installation makes.
const IPTABLES: [&str; 6] = ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

/// Starts it. It ends with what this returns; its last rules stay.
pub fn start(stage: &Stage) -> Result<Process, Failure> {
    let ingredients = Ingredients::found().map_err(|error| error.to_string())?;
    let mut router = Command::new(programs::kube_router()?.built()?);
    ingredients.environment(&mut router);
    let names = Path::new(HOME).join("iptables");
    fs::create_dir_all(&names)?;
    for name in IPTABLES {
        let link = names.join(name);
        if !link.is_symlink() {
            symlink(ingredients.packages.join("usr/sbin/xtables-nft-multi"), link)?;
        }
    }
    let administration = ingredients.packages.join("usr/sbin");
    let path = env::var_os("PATH").unwrap_or_default();
    router.env("PATH", env::join_paths([names, administration].into_iter().chain(env::split_paths(&path)))?);
    let extensions = format!("usr/lib/{}-linux-gnu/xtables", env::consts::ARCH);
    router.env("XTABLES_LIBDIR", ingredients.packages.join(extensions));
    router.args(["--run-firewall=true", "--run-router=false", "--run-service-proxy=false"]);
    router.args([format!("--hostname-override={NODE}"), format!("--service-cluster-ip-range={SERVICES}")]);
    router.arg("--kubeconfig").arg(stage.cluster.control_plane.admin_kubeconfig());
    stage.cluster.spawn("kube-router", router)
}

/// Whether a connection from inside of a pod, in which this program runs, is answered.
pub fn reaches(pod: &str, program: &str, to: SocketAddr) -> Result<bool, Failure> {
    let network = File::open(process(pod, program)?.join("ns/net"))?;
    // Only the thread moves there, and ends there.
    let connects = thread::spawn(move || {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok::<_, rustix::io::Errno>(TcpStream::connect_timeout(&to, ANSWERS_WITHIN).is_ok())
    });
    Ok(connects.join().map_err(|_| "the connection has panicked")??)
}
