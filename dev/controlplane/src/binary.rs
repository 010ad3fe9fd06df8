//! Where the programs of the control plane come from: built here from Go modules, or found in `KUBEBUILDER_ASSETS`.

use std::path::PathBuf;
use std::process::Command;

use programs::assets;

use crate::Error;

const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// The command of one of the programs `etcd`, `kube-apiserver`, `kube-controller-manager`, `kubectl`.
pub(crate) fn program(name: &str) -> Result<Command, Error> {
    if let Some(path) = asset(name) {
        return Ok(Command::new(path));
    }
    if name == CONTROLLER_MANAGER {
        return Ok(Command::new(programs::controller_manager()?.built()?));
    }
    if let Some(folder) = assets() {
        return Err(Error::new(format!("KUBEBUILDER_ASSETS has no {name} in {}; unset it to build one", folder.display())));
    }
    let mut command = Command::new(binary()?);
    command.arg(name);
    Ok(command)
}

fn asset(name: &str) -> Option<PathBuf> {
    Some(assets()?.join(name)).filter(|path| path.is_file())
}

/// The variable with which a server that is built here ends when its standard input ends, if that is the one that is used.
pub(crate) fn ends_with_stdin(name: &str) -> Option<(&'static str, &'static str)> {
    asset(name).is_none().then_some(("CONTROLPLANE_EXIT_WITH_STDIN", "1"))
}

/// A command that runs the command in its further arguments, and kills it when standard input ends. None without what is built here:
/// for this alone nothing is built.
pub(crate) fn guard() -> Result<Option<Command>, Error> {
    if assets().is_some() {
        return Ok(None);
    }
    Ok(programs::control_plane()?.current().map(|binary| {
        let mut command = Command::new(binary);
        command.args(["guard", "--"]);
        command
    }))
}

/// kubectl, for any cluster: only [`ControlPlane::kubectl_command`](crate::ControlPlane::kubectl_command) knows that control plane.
pub fn kubectl() -> Result<Command, Error> {
    program("kubectl")
}

/// The path of the program that is etcd, kube-apiserver and kubectl. It is built if it is missing or older than its sources, once however
/// many processes ask for it; the first time takes minutes, and says so on standard error.
pub fn binary() -> Result<PathBuf, Error> {
    Ok(programs::control_plane()?.built()?)
}
