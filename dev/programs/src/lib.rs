//! Builds the programs that tests and the demo run: from Go modules ([`Program`]) and with cargo ([`cargo`]), with the progress and the
//! cost of each.
//!
//! It has no dependencies, because it is compiled before anything can be built.

pub mod cargo;
mod child;
pub mod cost;
mod go;
mod kubernetes;
mod module;
pub mod progress;
mod tools;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use child::{check_interrupted, interrupt};
pub use cost::Cost;
pub use go::{Program, home};
pub use kubernetes::{CHOICE, assets, control_plane, controller_manager, node, versions};
pub use progress::Progress;
pub use tools::{
    argo_controller, argo_executor, argo_manifests, argocd_sync, coredns, cosign, flux_apply, helm, krew, kube_router,
    kustomize_controller, panels, pause, promtool, release, tekton_controller, tekton_entrypoint, tekton_manifests,
};

/// Why a program was not built, with what its compiler said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// What was tried, put before what went wrong.
trait Context<T> {
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: std::fmt::Display> Context<T> for Result<T, E> {
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error(format!("{}: {error}", tried())))
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// Tells the person who waits. Not with `eprintln`, which tests keep back until they fail.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
