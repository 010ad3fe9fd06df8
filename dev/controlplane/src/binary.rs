//! Where the programs of the control plane come from: built here from Go modules, or found in `KUBEBUILDER_ASSETS`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::go_program::{Program, Source};

/// The version of Kubernetes in go.mod. kubectl and the API server do not know it by themselves.
const VERSION: [&str; 3] = ["1", "37", "2"];

fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The command of one of the programs `etcd`, `kube-apiserver`, `kube-controller-manager`, `kubectl`.
pub(crate) fn program(name: &str) -> Result<Command, Error> {
    let Some(folder) = assets() else {
        let mut command = Command::new(binary()?);
        command.arg(name);
        return Ok(command);
    };
    let path = folder.join(name);
    if path.is_file() {
        Ok(Command::new(path))
    } else {
        Err(Error::new(format!("KUBEBUILDER_ASSETS has no {name} in {}; unset it to build one", folder.display())))
    }
}

/// The variable with which the servers that are built here end when their standard input ends, if they are used.
pub(crate) fn ends_with_stdin() -> Option<(&'static str, &'static str)> {
    assets().is_none().then_some(("CONTROLPLANE_EXIT_WITH_STDIN", "1"))
}

/// A command that runs the command in its further arguments, and kills it when standard input ends. None without what is built here:
/// for this alone nothing is built.
pub(crate) fn guard() -> Result<Option<Command>, Error> {
    if assets().is_some() {
        return Ok(None);
    }
    Ok(control_plane()?.current().map(|binary| {
        let mut command = Command::new(binary);
        command.args(["guard", "--"]);
        command
    }))
}

/// kubectl, for any cluster: only [`ControlPlane::kubectl_command`](crate::ControlPlane::kubectl_command) knows that control plane.
pub fn kubectl() -> Result<Command, Error> {
    program("kubectl")
}

/// The path of the program that holds the whole control plane. It is built if it is missing or older than its sources, once however
/// many processes ask for it; the first time takes minutes, and says so on standard error.
pub fn binary() -> Result<PathBuf, Error> {
    control_plane()?.built()
}

fn control_plane() -> Result<Program, Error> {
    Program::new(Source {
        name: "controlplane",
        called: "the control plane",
        takes: "6 minutes",
        without_go: ", or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, kube-controller-manager and kubectl",
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
        package: ".",
        tags: "",
        version: VERSION,
        ldflags: |[major, minor, patch]| {
            let of_version = "k8s.io/component-base/version.git";
            format!("-X {of_version}Version=v{major}.{minor}.{patch} -X {of_version}Major={major} -X {of_version}Minor={minor}")
        },
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_modules() {
        let required = format!("k8s.io/kubernetes v{}\n", super::VERSION.join("."));
        assert!(include_str!("../go.mod").contains(&required), "go.mod does not require {required}");
    }
}
