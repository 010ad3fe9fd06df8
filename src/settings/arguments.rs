//! The command line: its flags, and what they are checked for.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use nuvo_client::Origins;

use super::{
    checked_settings::{DEFAULT_BASE_URLS, LogFormat, LogLevel, Settings},
    values::{address, namespace, not_empty, seconds},
};

/// Kubernetes operator that runs nuvo data pipelines. Each PipelineRun object is one run of a pipeline.
///
/// Each flag can also be set by the environment variable that is shown with it; the flag takes precedence. Durations are in seconds and may
/// have up to three decimals.
#[derive(Debug, Parser)]
#[command(name = "nuvo-operator", version, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Verb>,
    #[command(flatten)]
    pub(super) run: RunArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the operator. This is the default command.
    Run(Box<RunArguments>),
    /// Print the CustomResourceDefinitions as YAML, to be piped into `kubectl apply -f -`.
    Crds,
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// URL whose origin (scheme, host and port) NuvoAccounts may use in spec.baseUrl. Credentials are sent to these origins only. Repeat
    /// the flag, or separate the URLs with commas, to allow several; a path is ignored. Plain http is allowed only for the origins listed
    /// here.
    #[arg(long, env = "NUVO_OPERATOR_ALLOWED_BASE_URL", value_name = "URL", value_delimiter = ',', value_parser = not_empty,
          default_values_t = DEFAULT_BASE_URLS.map(str::to_owned))]
    allowed_base_url: Vec<String>,

    /// Comma-separated list of namespaces to watch [default: all namespaces].
    #[arg(long, env = "NUVO_OPERATOR_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    namespaces: Vec<String>,

    /// Comma-separated list of the watched namespaces in which the operator may get Secrets. NuvoAccounts of other namespaces cannot be used.
    /// The flag grants nothing: it says what is checked at the start [default: all watched namespaces].
    #[arg(long, env = "NUVO_OPERATOR_SECRET_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    secret_namespaces: Vec<String>,

    /// Label selector that restricts the watched PipelineRuns, for example `team=a,env in (dev,test)` [default: all PipelineRuns].
    #[arg(long, env = "NUVO_OPERATOR_LABEL_SELECTOR", value_name = "SELECTOR", value_parser = not_empty)]
    label_selector: Option<String>,

    /// Namespace of the pipeline locks and of the leader election lease. All operators that share a nuvo account must use the same
    /// namespace [default: the namespace of the pod, or of the kubeconfig context].
    #[arg(long, env = "NUVO_OPERATOR_OPERATOR_NAMESPACE", value_name = "NAMESPACE", value_parser = namespace)]
    operator_namespace: Option<String>,

    /// Whether to elect a leader before reconciling. Enable this when running several replicas, of which only the leader acts. The lease
    /// lasts 15 seconds. A replica that is not the leader is ready.
    #[arg(long, env = "NUVO_OPERATOR_LEADER_ELECT", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    leader_elect: bool,

    /// IP address and port on which to serve /metrics. With port 0, a free port is chosen and logged.
    #[arg(long, env = "NUVO_OPERATOR_METRICS_ADDR", value_name = "IP:PORT", value_parser = address, default_value = "0.0.0.0:8080")]
    metrics_addr: SocketAddr,

    /// IP address and port on which to serve /livez, /readyz and /healthz. With port 0, a free port is chosen and logged.
    #[arg(long, env = "NUVO_OPERATOR_HEALTH_ADDR", value_name = "IP:PORT", value_parser = address, default_value = "0.0.0.0:8081")]
    health_addr: SocketAddr,

    /// Format of the log, which is written to standard error.
    #[arg(long, env = "NUVO_OPERATOR_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// Lowest severity to log. Libraries are never logged below info, because their details may contain requests.
    #[arg(long, env = "NUVO_OPERATOR_LOG_LEVEL", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,

    /// Timeout of the one POST request that starts a run, in seconds (1 to 600).
    #[arg(long, env = "NUVO_OPERATOR_TRIGGER_TIMEOUT_SECONDS", value_name = "SECONDS", value_parser = seconds::<1_000, 600_000>, default_value = "60")]
    trigger_timeout_seconds: Duration,

    /// How long to search nuvo for the executions of a POST with an unknown outcome before the run is reported as
    /// TriggerOutcomeUnknown, in seconds (0.1 to 86400). Also how long nuvo may report a known execution as missing before the run ends
    /// as ExecutionLost.
    #[arg(long, env = "NUVO_OPERATOR_TRIGGER_SETTLE_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 86_400_000>, default_value = "300")]
    trigger_settle_seconds: Duration,

    /// How long a pipeline accepts no new run after a POST with an unknown outcome, because its effects may still appear, in seconds
    /// (0.1 to 86400). Must be at least the sum of --trigger-timeout-seconds and --fence-seconds. Also how long a run whose deadline has
    /// passed waits for nuvo to report its progress.
    #[arg(long, env = "NUVO_OPERATOR_QUARANTINE_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 86_400_000>, default_value = "900")]
    quarantine_seconds: Duration,

    /// Longest time between taking the lock of a pipeline and sending the POST, in seconds (0.1 to 60). If it is exceeded, the POST is not
    /// sent and the run starts over.
    #[arg(long, env = "NUVO_OPERATOR_FENCE_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 60_000>, default_value = "5")]
    fence_seconds: Duration,

    /// How long the lock of a pipeline that starts no run is kept, in seconds (3600 to 315360000). Then it is deleted, if none of the runs that
    /// it remembers exists any more. One under which nothing was started is deleted after an hour.
    #[arg(long, env = "NUVO_OPERATOR_LOCK_RETENTION_SECONDS", value_name = "SECONDS", value_parser = seconds::<3_600_000, 315_360_000_000>, default_value = "2592000")]
    lock_retention_seconds: Duration,

    /// Time between the two lookups in nuvo that must agree before an execution is adopted after a POST with an unknown outcome, in
    /// seconds (0.1 to 600).
    #[arg(long, env = "NUVO_OPERATOR_ADOPTION_CONFIRM_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 600_000>, default_value = "10")]
    adoption_confirm_seconds: Duration,

    /// Maximum number of PipelineRuns to reconcile concurrently (1 to 1024). PipelineRuns that wait for nuvo do not count.
    #[arg(long, env = "NUVO_OPERATOR_MAX_CONCURRENT_RECONCILES", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024), default_value_t = 32)]
    max_concurrent_reconciles: u16,

    /// Whether to start no slots of PipelineSchedules: for a look at them after etcd was put back to an older revision. Of a
    /// PipelineSchedule that is edited, suspended or resumed meanwhile, no slot of the past is started afterwards.
    #[arg(long, env = "NUVO_OPERATOR_HOLD_SCHEDULES", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = false)]
    hold_schedules: bool,

    /// Whether to send requests to nuvo through the proxies in the environment variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY. A proxy can
    /// read the credentials of accounts whose base URL is plain http. Requests to Kubernetes use these proxies with either value, as kubectl
    /// does: NO_PROXY must list the API server if its address is not behind the proxy.
    #[arg(long, env = "NUVO_OPERATOR_USE_ENV_PROXY", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = false)]
    use_env_proxy: bool,

    /// File with PEM certificates of authorities that may vouch for nuvo, in addition to the public ones. When the file changes, it counts
    /// for new connections. Requests to Kubernetes do not use it.
    #[arg(long, env = "NUVO_OPERATOR_ADDITIONAL_CA_FILE", value_name = "FILE")]
    additional_ca_file: Option<PathBuf>,

    /// Existing file that gets the reason, in one line, if the operator fails: in a pod, the file of `terminationMessagePath`. The reason is
    /// also the last line on standard error.
    #[arg(long, env = "NUVO_OPERATOR_TERMINATION_LOG", value_name = "FILE")]
    termination_log: Option<PathBuf>,
}

impl TryFrom<RunArguments> for Settings {
    type Error = String;

    fn try_from(arguments: RunArguments) -> Result<Self, String> {
        // Without `..`, so that a new flag that is not handled does not compile.
        let RunArguments {
            allowed_base_url,
            namespaces,
            secret_namespaces,
            label_selector,
            operator_namespace,
            leader_elect,
            metrics_addr,
            health_addr,
            log_format,
            log_level,
            trigger_timeout_seconds,
            trigger_settle_seconds,
            quarantine_seconds,
            fence_seconds,
            lock_retention_seconds,
            adoption_confirm_seconds,
            max_concurrent_reconciles,
            hold_schedules,
            use_env_proxy,
            additional_ca_file,
            termination_log,
        } = arguments;
        if metrics_addr == health_addr && metrics_addr.port() != 0 {
            return Err(format!("--metrics-addr and --health-addr are both {metrics_addr}: give one of them another port"));
        }
        let in_flight = trigger_timeout_seconds.saturating_add(fence_seconds);
        if quarantine_seconds < in_flight {
            return Err(format!(
                "--quarantine-seconds is {}, but a POST may be in flight for {} (the sum of --trigger-timeout-seconds and --fence-seconds): raise the one or lower the others",
                quarantine_seconds.as_secs_f64(),
                in_flight.as_secs_f64()
            ));
        }
        if let Some(other) = secret_namespaces.iter().find(|other| !namespaces.is_empty() && !namespaces.contains(other)) {
            return Err(format!("--secret-namespaces has {other}, which is not in --namespaces: remove it, or watch this namespace, too"));
        }
        let sorted = |namespaces: Vec<String>| namespaces.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        Ok(Self {
            allowed_origins: Origins::parse(&allowed_base_url).map_err(|error| format!("--allowed-base-url: {error}"))?,
            namespaces: sorted(namespaces),
            secret_namespaces: sorted(secret_namespaces),
            label_selector,
            operator_namespace,
            leader_elect,
            metrics_addr,
            health_addr,
            log_format,
            log_level,
            trigger_timeout: trigger_timeout_seconds,
            trigger_settle: trigger_settle_seconds,
            quarantine: quarantine_seconds,
            fence: fence_seconds,
            lock_retention: lock_retention_seconds,
            adoption_confirm: adoption_confirm_seconds,
            max_concurrent_reconciles,
            hold_schedules,
            use_env_proxy,
            additional_ca_file,
            termination_log,
        })
    }
}
