//! The programs of Kubernetes: built here, or found in the folder that `KUBEBUILDER_ASSETS` names.

use std::env;
use std::path::PathBuf;

use crate::go::{Program, Source};
use crate::{Error, repository};

/// The version in go.mod. kubectl and the servers do not know it by themselves.
pub const VERSION: [&str; 3] = ["1", "37", "2"];

/// The folder with etcd, kube-apiserver and kubectl that is used instead of what would be built.
pub fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The program that is etcd, kube-apiserver and kubectl.
pub fn control_plane() -> Result<Program, Error> {
    Program::new(Source {
        name: "controlplane",
        title: "control plane",
        first_build: "about 5 minutes",
        without_go: ", or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl (README.md)",
        package: ".",
        ..source()
    })
}

/// kube-controller-manager, which no folder of assets has. Most of its packages are those of the control plane.
pub fn controller_manager() -> Result<Program, Error> {
    Program::new(Source {
        name: "kube-controller-manager",
        title: "kube-controller-manager",
        first_build: "about 1 minute after the control plane, 5 without it",
        without_go: "",
        package: "./kube-controller-manager",
        ..source()
    })
}

/// The program that is kubelet, kube-proxy and kube-scheduler, for `cargo xtask node`.
pub fn node() -> Result<Program, Error> {
    let module = repository().join("dev/node");
    Program::new(Source {
        name: "node",
        title: "kubelet, kube-proxy and kube-scheduler",
        first_build: "about 5 minutes after the control plane",
        package: ".",
        module,
        ..source()
    })
}

fn source() -> Source {
    Source {
        name: "",
        title: "",
        first_build: "",
        without_go: "",
        package: "",
        module: repository().join("dev/controlplane"),
        tags: "",
        version: VERSION,
        ldflags: |[major, minor, patch]| {
            let of_version = "k8s.io/component-base/version.git";
            format!("-X {of_version}Version=v{major}.{minor}.{patch} -X {of_version}Major={major} -X {of_version}Minor={minor}")
        },
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_modules() {
        let required = format!("k8s.io/kubernetes v{}\n", super::VERSION.join("."));
        for file in [include_str!("../../controlplane/go.mod"), include_str!("../../node/go.mod")] {
            assert!(file.contains(&required), "go.mod does not require {required}");
        }
    }
}
