//! The settings of one process, as the rest of the operator gets them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueEnum;
use nuvo_client::Origins;

/// The two public origins, nuvo and its successor Ingestro. Plain http is never among the defaults.
pub const DEFAULT_BASE_URLS: [&str; 2] = ["https://api-gateway.getnuvo.com", "https://api-gateway.ingestro.com"];

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the operator.
    Run(Box<Settings>),
    /// Print the custom resource definitions.
    Crds,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines of text.
    Text,
    /// One JSON object per line.
    Json,
}

/// The lowest severity that is logged. Libraries are never logged below `info`: their details may contain requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Errors and warnings.
    Warn,
    /// Errors, warnings and what the operator does.
    Info,
    /// Why it does it, as well.
    Debug,
    /// Everything.
    Trace,
}

/// The checked settings of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The origins that may receive a credential.
    pub allowed_origins: Origins,
    /// The namespaces to watch, sorted and without duplicates. Empty: all of them.
    pub namespaces: Vec<String>,
    /// The namespaces whose Secrets may be read, sorted and without duplicates. Empty: all watched ones.
    pub secret_namespaces: Vec<String>,
    /// Restricts the watched runs.
    pub label_selector: Option<String>,
    /// Where locks and the leader lease live. `None`: the namespace of the kubeconfig context or of the pod.
    pub operator_namespace: Option<String>,
    /// Whether only the holder of the leader lease acts.
    pub leader_elect: bool,
    /// Where `/metrics` is served.
    pub metrics_addr: SocketAddr,
    /// Where `/livez`, `/readyz` and `/healthz` are served.
    pub health_addr: SocketAddr,
    /// The format of the log.
    pub log_format: LogFormat,
    /// The lowest severity that is logged.
    pub log_level: LogLevel,
    /// The timeout of the one POST of an attempt.
    pub trigger_timeout: Duration,
    /// How long executions of a trigger with an unknown outcome are searched for.
    pub trigger_settle: Duration,
    /// How long a pipeline stays locked after a trigger whose effects may still appear.
    pub quarantine: Duration,
    /// The most time between taking the lock and sending the POST.
    pub fence: Duration,
    /// How long the lock of a pipeline that starts no run is kept.
    pub lock_retention: Duration,
    /// The time between the two lookups that adopt an execution.
    pub adoption_confirm: Duration,
    /// How many runs are reconciled at once.
    pub max_concurrent_reconciles: u16,
    /// Whether no slots of schedules are started.
    pub hold_schedules: bool,
    /// Whether requests to nuvo go through the proxies that the environment names.
    pub use_env_proxy: bool,
    /// A file with authorities that may vouch for nuvo, besides the public ones.
    pub additional_ca_file: Option<PathBuf>,
    /// An existing file that gets the reason if the operator fails.
    pub termination_log: Option<PathBuf>,
}
