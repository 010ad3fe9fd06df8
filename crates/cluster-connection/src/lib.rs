//! The API server of a process and the user who calls it: from the kubeconfig, the pod and the environment, as kubectl finds them.
//!
//! kube itself reads them differently: it fails where a file of `KUBECONFIG` is missing, needs a context, and compares `NO_PROXY` with the
//! address of the proxy.

mod connection;
mod error;
mod kubeconfig;
mod proxy;

pub use connection::{Connection, Selection};
pub use error::ConnectionError;
pub use kubeconfig::read;
