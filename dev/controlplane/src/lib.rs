//! A real Kubernetes API server for tests and demonstrations, without a cluster.
//!
//! [`ControlPlane::start`] runs etcd and kube-apiserver (and, if asked, kube-controller-manager) on free ports of this machine, with TLS,
//! RBAC and an audit log. They are built once from their Go modules, see [`binary`]; when `KUBEBUILDER_ASSETS` names a folder with
//! `etcd`, `kube-apiserver` and `kubectl`, those are used instead. kube-controller-manager is a program of its own, and built only for
//! those who ask for it.
//!
//! Everything ends with the process that started it, however that ends: each server reads a pipe whose other end is held here.
//! All calls block; from asynchronous code use a thread that may block.

mod audit;
mod binary;
mod certificates;
mod interrupt;
mod kubeconfig;
mod listener;
mod moved_clock;
mod nodes;
mod process;
pub mod proxy;
mod run_dir;
mod server;
pub mod tls;
mod tools;
mod tunnel;

pub use audit::AuditEvent;
pub use binary::{binary, kubectl};
pub use interrupt::{Interrupt, Interrupted};
pub use moved_clock::MovedClock;
pub use nodes::NodeNetwork;
pub use process::Process;
pub use programs::interrupt;
pub use proxy::Proxy;
pub use run_dir::RunDir;
pub use server::{ControlPlane, Options, Part, shared};
pub use tools::{helm, promtool};
pub use tunnel::Tunnel;

/// Why something did not work, with what its log said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<programs::Error> for Error {
    fn from(error: programs::Error) -> Self {
        Self(error.to_string())
    }
}

/// What was tried, put before what went wrong.
trait Context<T> {
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: std::fmt::Display> Context<T> for Result<T, E> {
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error(format!("{}: {error}", tried())))
    }
}

/// Locks, also after a thread panicked while it held the lock: what is guarded here is whole between any two statements.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
