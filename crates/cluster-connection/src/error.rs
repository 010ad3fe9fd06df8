//! Why there is no usable connection.

use kube::config::{InClusterError, KubeconfigError};

/// Why there is no usable connection. The texts contain no credentials.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A kubeconfig cannot be read, or lacks what is needed.
    #[error("no usable kubeconfig: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// The kubeconfig has no such user.
    #[error("no usable kubeconfig: it has no user {0}")]
    NoUser(String),
    /// There is neither a kubeconfig nor a ServiceAccount.
    #[error("there is neither a kubeconfig nor the ServiceAccount of a pod ({0})")]
    NoCluster(#[from] InClusterError),
    /// A certificate cannot be checked and not be checked.
    #[error("a certificate authority and insecure-skip-tls-verify exclude each other: leave one out")]
    InsecureWithAuthority,
    /// The certificate authority cannot be used.
    #[error("no usable certificate authority: {0}")]
    Authority(String),
    /// The proxy cannot be used.
    #[error("the proxy of the API server cannot be used ({origin}): {reason}")]
    Proxy {
        /// Where it is configured.
        origin: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}
