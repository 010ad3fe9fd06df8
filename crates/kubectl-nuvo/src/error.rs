//! Why a command failed.

use cluster_connection::ConnectionError;
use nuvo_core::{run::InvalidId, schedule::CalendarError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// It is not configured how to reach a cluster.
    #[error("{}{}", .0, advice(.0))]
    Connection(#[from] ConnectionError),
    /// The client could not be created.
    #[error("cannot connect to the API server: {0}")]
    Client(#[source] kube::Error),
    /// The API server refused a request, or did not answer it.
    #[error("{action}: {}", api_message(.source))]
    Api {
        /// What failed.
        action: String,
        /// Why it failed.
        source: kube::Error,
    },
    /// The custom resource definitions are not installed.
    #[error(
        "the API server does not know {0}: install the nuvo-operator chart, or its definitions (nuvo-operator crds | kubectl apply -f -)"
    )]
    NotInstalled(&'static str),
    /// There is no such object.
    #[error("{kind} {name} not found in namespace {namespace} (kubectl nuvo {list} shows what is there)")]
    NotFound {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The namespace that was searched.
        namespace: String,
        /// The command that lists such objects.
        list: &'static str,
    },
    /// The state of the run does not allow the command.
    #[error("{0}")]
    NotAllowed(String),
    /// An id on the command line is invalid.
    #[error("{0}")]
    Id(#[from] InvalidId),
    /// A cron line or a time zone cannot be read.
    #[error("{0}")]
    Calendar(#[from] CalendarError),
    /// Another client changed the object after this command had read it.
    #[error("{kind} {name} was changed by another client at the same time: look at it, and try again")]
    Conflict {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(String),
    /// The run was deleted while the command waited for it.
    #[error("PipelineRun {0} was deleted before it ended")]
    Deleted(String),
}

impl PluginError {
    /// Wraps an error of the API server. `action` is the sentence before it, such as `cannot read PipelineRun orders`.
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source }
    }

    /// Wraps an error of a request for a whole collection: 404 means that its kind is not installed.
    pub(crate) fn list(kind: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |error| match error {
            kube::Error::Api(status) if status.code == 404 => Self::NotInstalled(kind),
            error => Self::api(format!("cannot list {kind}s"))(error),
        }
    }
}

const fn advice(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::Kubeconfig(_) | ConnectionError::NoUser(_) | ConnectionError::NoCluster(_) => {
            ". Select a file with --kubeconfig, or one of its contexts with --context"
        }
        ConnectionError::InsecureWithAuthority | ConnectionError::Authority(_) | ConnectionError::Proxy { .. } => "",
    }
}

/// The message of the API server, or the reason why it could not be reached, without the type names around it.
fn api_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
