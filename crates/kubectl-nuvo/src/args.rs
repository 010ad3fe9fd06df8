//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    flag_values::{ObjectListArgs, Output, duration, label},
    schedule_args::ScheduleCommand,
};

/// Start nuvo pipelines in Kubernetes, follow their runs, and show what happened to them.
#[derive(Debug, Parser)]
#[command(name = "kubectl-nuvo", bin_name = "kubectl nuvo", version, max_term_width = 120)]
#[command(after_help = "Examples:
  # Start a pipeline, and wait until its run has ended
  kubectl nuvo run orders --wait

  # List the runs that have failed, in all namespaces
  kubectl nuvo list -A --phase Failed

  # Show why a run failed, and what to do next
  kubectl nuvo describe orders

  # End with 0 only if the data of a pipeline is fresh and its last execution succeeded, whoever started it
  kubectl nuvo pipeline describe deliveries --check

  # Print when a cron line is due, across the next changes of the clock
  kubectl nuvo schedule check '30 2 * * 1-5' --tz Europe/Berlin

Exit codes:
  0  Success. A run that was waited for succeeded.
  1  Error.
  2  Wrong command line.
  3  The run failed. With --check: the data is stale, the last execution failed, or the quality gate did.
  4  The run is Unresolved: a person has to decide about its trigger.
  5  The timeout expired. The run continues.
  6  With --check: it is not known whether the data is as it should be.")]
pub struct Cli {
    /// The cluster and the namespace.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags of kubectl that select a cluster, a user and a namespace, with its names and meanings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster options")]
pub struct ClusterArgs {
    /// Namespace of this request. Default: that of the kubeconfig context.
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Name of the kubeconfig context to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Name of the kubeconfig cluster to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Name of the kubeconfig user to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// Path to the kubeconfig file. Default: $KUBECONFIG, then ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Address of the Kubernetes API server.
    #[arg(long, short, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Path to a certificate file for the certificate authority of the server.
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<String>,
    /// Do not check the server's certificate. This makes your HTTPS connections insecure.
    #[arg(long, global = true, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub insecure_skip_tls_verify: bool,
    /// Name to check the server's certificate against. Default: the host of the server.
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Bearer token for authentication to the API server.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Path to a client certificate file for TLS.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<String>,
    /// Path to a client key file for TLS.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<String>,
    /// Username to impersonate, such as system:serviceaccount:NAMESPACE:NAME.
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub as_user: Option<String>,
    /// Group to impersonate. Can be repeated.
    #[arg(long, global = true, value_name = "NAME")]
    pub as_group: Vec<String>,
    /// UID to impersonate.
    #[arg(long, global = true, value_name = "UID")]
    pub as_uid: Option<String>,
    /// Length of time to wait for each answer of the server, such as 1s, 2m or 3h. Zero means no limit.
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Option<Duration>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a pipeline by creating a PipelineRun.
    Run(RunArgs),
    /// List runs, oldest first.
    #[command(visible_alias = "get")]
    List(ListArgs),
    /// Show details of runs: what happened, what to do next, executions, statistics and conditions.
    Describe {
        /// Names of the runs.
        #[arg(required = true, value_name = "RUN")]
        names: Vec<String>,
    },
    /// Wait until runs have ended, with any result.
    Wait(WaitArgs),
    /// Start another attempt of a run that has ended.
    Rerun(RerunArgs),
    /// Decide about a trigger whose outcome is unknown.
    Resolve(ResolveArgs),
    /// Suspend runs: hold them back before their trigger.
    Suspend {
        /// Names of the runs.
        #[arg(required = true, value_name = "RUN")]
        names: Vec<String>,
    },
    /// Resume suspended runs.
    Resume {
        /// Names of the runs.
        #[arg(required = true, value_name = "RUN")]
        names: Vec<String>,
    },
    /// List accounts and whether they are ready.
    Accounts(ListArgs),
    /// Show what runs in nuvo, whoever started it (NuvoPipelines).
    #[command(visible_alias = "pipelines")]
    Pipeline {
        /// What to show.
        #[command(subcommand)]
        command: PipelineCommand,
    },
    /// Start pipelines by cron lines (PipelineSchedules).
    #[command(visible_alias = "schedules")]
    Schedule {
        /// What to do.
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Have the operator read the Secrets of accounts now, after they were changed.
    Refresh {
        /// Names of the accounts.
        #[arg(required = true, value_name = "ACCOUNT")]
        names: Vec<String>,
    },
    /// Show the attempts of a run and the passes of its executions.
    #[command(visible_alias = "logs")]
    History {
        /// Name of the run.
        #[arg(value_name = "RUN")]
        name: String,
    },
    /// Output shell completion code for the specified shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// The commands about NuvoPipelines.
#[derive(Debug, Subcommand)]
pub enum PipelineCommand {
    /// List NuvoPipelines: the last execution of each, and whether its data is fresh.
    #[command(visible_alias = "get")]
    List(ObjectListArgs),
    /// Show details of NuvoPipelines: how fresh the data is, the last ten executions, and what to do next.
    Describe(PipelineDescribeArgs),
}

/// `kubectl nuvo pipeline describe`.
#[derive(Debug, Args)]
pub struct PipelineDescribeArgs {
    /// Names of the NuvoPipelines.
    #[arg(required = true, value_name = "PIPELINE")]
    pub names: Vec<String>,
    /// Exit with 3 if the data of one is stale, its last execution failed or its quality gate did, and with 6 if that is not known.
    #[arg(long)]
    pub check: bool,
}

/// `kubectl nuvo run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// ID of the pipeline in nuvo.
    pub pipeline: String,
    /// NuvoAccount to use.
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Name of the run. Default: the pipeline ID in lower case with a random suffix.
    #[arg(long)]
    pub name: Option<String>,
    /// What to do if there is a run of this name already. With follow, a step that is retried starts nothing more: the run that exists is
    /// taken for this one, if it is of the same pipeline and account.
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = IfExists::Fail, requires = "name")]
    pub if_exists: IfExists,
    /// Follow this existing execution instead of starting a new one.
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// Fail the run after this time, all retries included (spec.activeDeadlineSeconds).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Retry at most this many times if the source or the destination does not answer (spec.retry.limit).
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(0..=10))]
    pub retries: Option<i32>,
    /// Delete the run this long after its end (spec.ttlSecondsAfterFinished).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub ttl: Option<Duration>,
    /// Labels of the run.
    #[arg(long, short = 'l', value_name = "KEY=VALUE", value_parser = label, value_delimiter = ',')]
    pub label: Vec<(String, String)>,
    /// Wait until the run has ended; its result is the exit code.
    #[arg(long, visible_alias = "watch", short = 'w')]
    pub wait: bool,
    /// Length of time to wait before giving up, such as 90s, 5m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    pub timeout: Option<Duration>,
    /// Output format.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,
}

/// `kubectl nuvo list` and `kubectl nuvo accounts`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// List the objects of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Selector (label query) to filter on.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// List only runs of this pipeline.
    #[arg(long, value_name = "ID")]
    pub pipeline: Option<String>,
    /// List only runs in this phase.
    #[arg(long, value_name = "PHASE")]
    pub phase: Option<String>,
    /// Output format.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,
}

/// `kubectl nuvo wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Names of the runs.
    #[arg(required = true, value_name = "RUN")]
    pub names: Vec<String>,
    /// Length of time to wait for all runs before giving up, such as 90s, 5m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `kubectl nuvo rerun`.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// Name of the run.
    #[arg(value_name = "RUN")]
    pub name: String,
    /// New spec.rerunToken. Default: the current time.
    #[arg(long, value_name = "TOKEN")]
    pub rerun_token: Option<String>,
    /// Wait until the attempt has ended; its result is the exit code.
    #[arg(long, short)]
    pub wait: bool,
    /// Length of time to wait before giving up, such as 90s, 5m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    pub timeout: Option<Duration>,
}

/// `kubectl nuvo resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// Name of the run.
    #[arg(value_name = "RUN", required_unless_present = "all")]
    pub name: Option<String>,
    /// The decision.
    #[command(flatten)]
    pub decision: DecisionArgs,
    /// Close all Unresolved runs of the namespace. Shows them, and asks first.
    #[arg(long, conflicts_with_all = ["name", "adopt", "retry"])]
    pub all: bool,
    /// With --all: close only runs with this selector (label query).
    #[arg(long, short = 'l', value_name = "SELECTOR", conflicts_with = "name")]
    pub selector: Option<String>,
    /// With --all: close only runs with this reason, such as StatusLost.
    #[arg(long, value_name = "REASON", conflicts_with = "name")]
    pub reason: Option<String>,
    /// With --all: close the runs of all namespaces.
    #[arg(long, short = 'A', conflicts_with = "name")]
    pub all_namespaces: bool,
    /// With --all: do not ask.
    #[arg(long, short, conflicts_with = "name")]
    pub yes: bool,
}

/// A decision about a trigger in doubt.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct DecisionArgs {
    /// The trigger started these executions: follow them.
    #[arg(long, value_name = "EXECUTION", value_delimiter = ',')]
    pub adopt: Vec<String>,
    /// The trigger started nothing: trigger the pipeline again.
    #[arg(long)]
    pub retry: bool,
    /// Close the run as failed.
    #[arg(long)]
    pub abandon: bool,
}

/// What `kubectl nuvo run` does if there is a run of the name that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExists {
    /// End with an error.
    Fail,
    /// Go on as if this command had created it.
    Follow,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
