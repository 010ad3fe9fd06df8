//! Helm, promtool, the engine of Argo CD and the libraries of Flux, for tests of what is made for them; the program that packs releases; and
//! what runs beside the servers of `cargo xtask node`.

use std::path::PathBuf;

use crate::go::{Program, Source};
use crate::module::{Link, module};
use crate::{Error, repository};

/// The versions in the go.mod of each. Helm knows only its minor one by itself.
const HELM: [&str; 3] = ["4", "3", "1"];
const PROMTOOL: [&str; 3] = ["0", "315", "0"];
/// The folders of modules of more than one program.
const ARGO: &str = "dev/node/argo";
const TEKTON: &str = "dev/node/tekton";

/// Helm.
pub fn helm() -> Result<Program, Error> {
    Program::new(Source {
        name: "helm",
        title: "Helm",
        first_build: "about 3 minutes",
        without_go: "",
        module: repository().join("dev/helm"),
        package: "helm.sh/helm/v4/cmd/helm",
        tags: "",
        version: HELM,
        variant: None,
        link: None,
        ldflags: |[major, minor, patch]| format!("-X helm.sh/helm/v4/internal/version.version=v{major}.{minor}.{patch}"),
    })
}

/// promtool, which checks and tests rules of Prometheus.
pub fn promtool() -> Result<Program, Error> {
    Program::new(Source {
        name: "promtool",
        title: "promtool",
        first_build: "about 3 minutes",
        without_go: "",
        module: repository().join("dev/promtool"),
        package: "github.com/prometheus/prometheus/cmd/promtool",
        // Rules are tested without the SDKs of all clouds, which are a fifth of what would be compiled.
        tags: "remove_all_sd",
        version: PROMTOOL,
        variant: None,
        link: None,
        ldflags: |_| String::new(),
    })
}

/// CoreDNS, for `cargo xtask node`.
pub fn coredns() -> Result<Program, Error> {
    of_node("coredns", "CoreDNS", "about 2 minutes", "dev/node/coredns", ".")
}

/// What holds the namespaces of a pod, for `cargo xtask node`.
pub fn pause() -> Result<Program, Error> {
    of_node("pause", "pause", "a second", "dev/node", "./pause")
}

/// A registry, and signatures as cosign makes and verifies them (`dev/cosign`), for `cargo xtask node`.
pub fn cosign() -> Result<Program, Error> {
    of_node("cosign", "the registry and its signatures", "about 2 minutes", "dev/cosign", ".")
}

/// Krew, which installs plugins of kubectl, for `cargo xtask node`.
pub fn krew() -> Result<Program, Error> {
    of_node("krew", "Krew", "about 1 minute", "dev/krew", "sigs.k8s.io/krew/cmd/krew")
}

/// kube-router, which enforces NetworkPolicies, for `cargo xtask node`.
pub fn kube_router() -> Result<Program, Error> {
    let package = "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router";
    of_node("kube-router", "kube-router", "about 3 minutes", "dev/node/kube-router", package)
}

/// The workflow controller of Argo Workflows, for `cargo xtask node`.
pub fn argo_controller() -> Result<Program, Error> {
    of_node(
        "argo-controller",
        "the controller of Argo Workflows",
        "about 6 minutes",
        ARGO,
        "github.com/argoproj/argo-workflows/v4/cmd/workflow-controller",
    )
}

/// What Argo Workflows runs in the pods of steps, for `cargo xtask node`.
pub fn argo_executor() -> Result<Program, Error> {
    const MODULE: &str = "github.com/argoproj/argo-workflows/v4";
    let package = "github.com/argoproj/argo-workflows/v4/cmd/argoexec";
    let link = Link { module: MODULE, path: "workflow/executor/osspecific/signal_linux.go", target: "signal_darwin.go" };
    let source = source("argo-executor", "the executor of Argo Workflows", "about 1 minute after its controller", ARGO, package);
    Program::new(Source { link: Some(link), ..source })
}

/// The manifests of Argo Workflows.
pub fn argo_manifests() -> Result<PathBuf, Error> {
    Ok(module(&repository().join(ARGO), "github.com/argoproj/argo-workflows/v4")?.join("manifests"))
}

/// The controller of Tekton, for `cargo xtask node`.
pub fn tekton_controller() -> Result<Program, Error> {
    of_node("tekton-controller", "the controller of Tekton", "about 5 minutes", TEKTON, "github.com/tektoncd/pipeline/cmd/controller")
}

/// What Tekton runs in the pods of steps, for `cargo xtask node`.
pub fn tekton_entrypoint() -> Result<Program, Error> {
    let package = "github.com/tektoncd/pipeline/cmd/entrypoint";
    of_node("tekton-entrypoint", "the entrypoint of Tekton", "a minute after its controller", TEKTON, package)
}

/// The manifests of Tekton.
pub fn tekton_manifests() -> Result<PathBuf, Error> {
    Ok(module(&repository().join(TEKTON), "github.com/tektoncd/pipeline")?.join("config"))
}

fn of_node(
    name: &'static str,
    title: &'static str,
    first_build: &'static str,
    module: &str,
    package: &'static str,
) -> Result<Program, Error> {
    Program::new(source(name, title, first_build, module, package))
}

fn source(name: &'static str, title: &'static str, first_build: &'static str, module: &str, package: &'static str) -> Source {
    Source {
        name,
        title,
        first_build,
        without_go: "",
        module: repository().join(module),
        package,
        tags: "",
        version: ["", "", ""],
        variant: None,
        link: None,
        ldflags: |_| String::new(),
    }
}

/// The program that syncs with the engine of Argo CD (`dev/gitops/sync`). Nearly all of its packages are those of the control plane.
pub fn argocd_sync() -> Result<Program, Error> {
    of_gitops("argocd-sync", "the engine of Argo CD", "./sync", "sync")
}

/// The program that applies with the libraries of Flux (`dev/gitops/flux`). Nearly all of its packages are those of the control plane.
pub fn flux_apply() -> Result<Program, Error> {
    of_gitops("flux-apply", "the libraries of Flux", "./flux", "flux")
}

fn of_gitops(name: &'static str, title: &'static str, package: &'static str, tags: &'static str) -> Result<Program, Error> {
    Program::new(Source {
        name,
        title,
        first_build: "about 1 minute",
        without_go: "",
        module: repository().join("dev/gitops"),
        package,
        tags,
        version: ["", "", ""],
        variant: None,
        link: None,
        ldflags: |_| String::new(),
    })
}

/// The controller of Flux. Its packages are not those of the control plane: it has its own versions of them.
pub fn kustomize_controller() -> Result<Program, Error> {
    Program::new(Source {
        name: "kustomize-controller",
        title: "the controller of Flux",
        first_build: "about 4 minutes",
        without_go: "",
        module: repository().join("dev/kustomize-controller"),
        package: "github.com/fluxcd/kustomize-controller",
        tags: "",
        version: ["", "", ""],
        variant: None,
        link: None,
        ldflags: |_| String::new(),
    })
}

/// Evaluates expressions of Prometheus over scrapes, for the picture of the dashboard.
pub fn panels() -> Result<Program, Error> {
    Program::new(Source {
        name: "panels",
        title: "the engine of Prometheus",
        first_build: "about 1 minute",
        without_go: "",
        module: repository().join("dev/panels"),
        package: ".",
        tags: "",
        version: ["", "", ""],
        variant: None,
        link: None,
        ldflags: |_| String::new(),
    })
}

/// The program that packs releases (`dev/release`), which knows the version of this workspace.
pub fn release() -> Result<Program, Error> {
    Program::new(Source {
        name: "packer",
        title: "the packer of releases",
        first_build: "about 1 minute",
        without_go: "",
        module: repository().join("dev/release"),
        package: ".",
        tags: "",
        version: [env!("CARGO_PKG_VERSION"), "", ""],
        variant: None,
        link: None,
        ldflags: |[version, ..]| format!("-X main.version={version}"),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_versions_are_those_of_the_modules() {
        for (module, version, file) in [
            ("helm.sh/helm/v4", super::HELM, include_str!("../../helm/go.mod")),
            ("github.com/prometheus/prometheus", super::PROMTOOL, include_str!("../../promtool/go.mod")),
        ] {
            let required = format!("{module} v{} // indirect\n", version.join("."));
            assert!(file.contains(&required), "go.mod does not require {required}");
        }
    }
}
