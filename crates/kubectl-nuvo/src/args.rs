//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// nuvo pipelines in Kubernetes: start runs, follow them, and find out what happened to them.
#[derive(Debug, Parser)]
#[command(name = "kubectl-nuvo", bin_name = "kubectl nuvo", version, max_term_width = 120)]
#[command(
    after_help = "Exit codes: 0 done, and the run that was waited for succeeded; 1 it could not be done; 2 wrong command line; 3 the run \
                        failed; 4 the run is Unresolved, a person has to decide; 5 the time to wait was over."
)]
pub struct Cli {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags of kubectl that say which cluster and namespace.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The namespace; default is that of the context.
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The cluster of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The kubeconfig; default is $KUBECONFIG, then ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a pipeline: create a PipelineRun.
    Run(RunArgs),
    /// List runs, oldest first.
    #[command(visible_alias = "get")]
    List(ListArgs),
    /// Tell everything about runs: what happened, what to do next, executions, statistics, conditions.
    Describe {
        /// The runs.
        #[arg(required = true, value_name = "RUN")]
        names: Vec<String>,
    },
    /// Wait until runs have ended, whatever the outcome.
    Wait(WaitArgs),
    /// Start a run that has ended once more.
    Rerun(RerunArgs),
    /// Say what became of a trigger whose outcome nobody could tell.
    Resolve(ResolveArgs),
    /// Hold runs back before their trigger.
    Suspend {
        /// The runs.
        #[arg(required = true, value_name = "RUN")]
        names: Vec<String>,
    },
    /// Let suspended runs go on.
    Resume {
        /// The runs.
        #[arg(required = true, value_name = "RUN")]
        names: Vec<String>,
    },
    /// List accounts and whether they can be used.
    Accounts(ListArgs),
    /// Tell what happened to a run, attempt by attempt and pass by pass.
    #[command(visible_alias = "logs")]
    History {
        /// The run.
        #[arg(value_name = "RUN")]
        name: String,
    },
    /// Print the completions for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// A new run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The id of the pipeline in nuvo.
    pub pipeline: String,
    /// The NuvoAccount to use.
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// The name of the run; default is the pipeline's, in lower case, with a random end.
    #[arg(long)]
    pub name: Option<String>,
    /// Follow this execution, which nuvo has started already, instead of starting one.
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// spec.activeDeadlineSeconds.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub deadline: Option<Duration>,
    /// spec.retry.limit: so many further attempts when the source or the destination does not answer.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(0..=10))]
    pub retries: Option<i32>,
    /// spec.ttlSecondsAfterFinished: delete the run so long after its end.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub ttl: Option<Duration>,
    /// Labels of the run.
    #[arg(long, short = 'l', value_name = "KEY=VALUE", value_parser = label, value_delimiter = ',')]
    pub label: Vec<(String, String)>,
    /// Wait for its end, and end with its result.
    #[arg(long, visible_alias = "watch", short = 'w')]
    pub wait: bool,
    /// Wait no longer than this.
    #[arg(long, value_name = "DURATION", value_parser = seconds, requires = "wait")]
    pub timeout: Option<Duration>,
    /// Print the object in another form.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,
}

/// Which objects to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Only those with these labels.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only runs of this pipeline.
    #[arg(long, value_name = "ID")]
    pub pipeline: Option<String>,
    /// Only runs in this phase.
    #[arg(long, value_name = "PHASE")]
    pub phase: Option<String>,
    /// Another form.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,
}

/// Which runs to wait for.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The runs.
    #[arg(required = true, value_name = "RUN")]
    pub names: Vec<String>,
    /// Wait no longer than this, for all of them.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

/// Another attempt.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The run.
    #[arg(value_name = "RUN")]
    pub name: String,
    /// spec.rerunToken; default is the present time.
    #[arg(long)]
    pub token: Option<String>,
    /// Wait for its end, and end with its result.
    #[arg(long, short)]
    pub wait: bool,
    /// Wait no longer than this.
    #[arg(long, value_name = "DURATION", value_parser = seconds, requires = "wait")]
    pub timeout: Option<Duration>,
}

/// A person's answer, and for which run.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The run.
    #[arg(value_name = "RUN")]
    pub name: String,
    /// The answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
}

/// A person's answer.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct AnswerArgs {
    /// These executions were started by it: follow them.
    #[arg(long, value_name = "EXECUTION", value_delimiter = ',')]
    pub adopt: Vec<String>,
    /// Nothing was started: trigger the pipeline once more.
    #[arg(long)]
    pub retry: bool,
    /// Close the run as it is.
    #[arg(long)]
    pub abandon: bool,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The object as JSON.
    Json,
    /// The object as YAML.
    Yaml,
    /// Kind and name, for other commands.
    Name,
    /// More columns.
    Wide,
}

/// A duration as kubectl takes it: `90s`, `5m`, `1h30m`; a number alone is seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 90s, 5m or 1h30m");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = 0_u64;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit: u64 = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        number.clear();
    }
    if number.is_empty() && !text.is_empty() { Ok(Duration::from_secs(total)) } else { Err(wrong()) }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_those_of_kubectl() {
        let good = [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("2d", 172_800), ("0s", 0)];
        for (text, wanted) in good {
            assert_eq!(seconds(text), Ok(Duration::from_secs(wanted)), "{text}");
        }
        for text in ["", "s", "5 m", "-1s", "1.5h", "5x", "1h30", "99999999999999999999h", "18446744073709551615d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
