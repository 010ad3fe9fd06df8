//! `kubectl nuvo`: starts runs, follows them, and tells what happened to them, for people and scripts.
//!
//! It does nothing that `kubectl` could not do with the same rights: the operator alone talks to nuvo.

mod account;
mod answer;
mod args;
mod describe;
mod follow;
mod list;
mod output;
mod place;
mod progress;
mod start;
mod table;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser};
use k8s_openapi::jiff::Timestamp;

use nuvo_core::run::InvalidId;

use args::{Cli, Command};
use place::Place;

/// How a command ends, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was done; a run that was waited for succeeded.
    Done,
    /// It could not be done.
    Error,
    /// A run that was waited for failed.
    Failed,
    /// A run that was waited for is Unresolved: a person has to decide about its trigger.
    Unresolved,
    /// The time to wait was over.
    TimedOut,
}

impl End {
    /// The exit code. 2 is what a wrong command line ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Failed => 3,
            Self::Unresolved => 4,
            Self::TimedOut => 5,
        }
    }
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// There is no usable kubeconfig.
    #[error("there is no usable kubeconfig: {0}. Name one with --kubeconfig, or a context of it with --context")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The client could not be set up.
    #[error("the API server cannot be reached: {0}")]
    Client(#[source] kube::Error),
    /// The API server refused.
    #[error("{doing}: {}", api_message(.source))]
    Api {
        /// What was to be done.
        doing: String,
        /// Why not.
        source: kube::Error,
    },
    /// The kinds are not installed.
    #[error(
        "the API server does not know {0}: install the nuvo-operator chart, or its definitions (nuvo-operator crds | kubectl apply -f -)"
    )]
    NotInstalled(&'static str),
    /// There is no such object.
    #[error("there is no {kind} {name} in namespace {namespace} (kubectl nuvo {list} lists them)")]
    NoSuch {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// The command that lists such objects.
        list: &'static str,
    },
    /// The run is not in a state for this.
    #[error("{0}")]
    NotNow(String),
    /// An id that was given is none.
    #[error("{0}")]
    Id(#[from] InvalidId),
    /// Another program changed the object at the same moment.
    #[error("PipelineRun {0} was changed by somebody else at the same moment: look at it, and try again")]
    Conflict(String),
    /// The output cannot be written as asked.
    #[error("the output cannot be written: {0}")]
    Output(String),
    /// The run was deleted while it was waited for.
    #[error("PipelineRun {0} was deleted while it was waited for")]
    Deleted(String),
}

impl PluginError {
    fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source }
    }
}

/// What the API server says, or why it could not be asked: for people, without the frame that Rust puts around it.
fn api_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Carries out what the command line asks for. The process must have installed a TLS provider.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Command::Completion { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "kubectl-nuvo", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("it cannot be started: {error}")),
    };
    let ended = runtime.block_on(carry_out(cli));
    runtime.shutdown_background();
    match ended {
        Ok(end) => ExitCode::from(end.code()),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(End::Error.code())
}

async fn carry_out(cli: Cli) -> Result<End, PluginError> {
    let place = Place::find(&cli.place).await?;
    match cli.command {
        Command::Run(run) => start::start(&place, &run).await,
        Command::List(list) => list::list(&place, &list, Timestamp::now()).await,
        Command::Describe { names } => describe::describe(&place, &names, Timestamp::now()).await,
        Command::Wait(wait) => follow::wait(&place, &wait).await,
        Command::Rerun(rerun) => answer::rerun(&place, &rerun).await,
        Command::Resolve(resolve) => answer::resolve(&place, &resolve).await,
        Command::Suspend { names } => answer::suspend(&place, &names, true).await,
        Command::Resume { names } => answer::suspend(&place, &names, false).await,
        Command::Accounts(list) => account::list(&place, &list, Timestamp::now()).await,
        Command::History { name } => list::history(&place, &name, Timestamp::now()).await,
        Command::Completion { .. } => Ok(End::Done),
    }
}
