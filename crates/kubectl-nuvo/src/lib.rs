//! `kubectl nuvo`: starts runs, follows them, and shows what happened to them, for people and scripts.
//!
//! It does nothing that `kubectl` could not do with the same rights: only the operator talks to nuvo. One file per command; a command reads
//! and writes through `cluster_context` and prints through `output`.

mod accounts;
mod args;
mod cluster_context;
mod connection;
mod describe;
mod describe_pipeline;
mod describe_schedule;
mod description;
mod error;
mod exit_status;
mod flag_values;
mod history;
mod list;
mod output;
mod past_slots;
mod pipeline_check;
mod pipelines;
mod progress;
mod refresh;
mod rerun;
mod resolve;
mod run;
mod run_now;
mod schedule_args;
mod schedule_check;
mod schedules;
mod slots;
mod suspend;
mod table;
mod wait;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser};
use k8s_openapi::jiff::Timestamp;

use args::{Cli, Command, PipelineCommand};
use cluster_context::{Clock, ClusterContext};
use error::PluginError;
use exit_status::ExitStatus;
use schedule_args::ScheduleCommand;

/// Runs the command line. The process must have installed a TLS provider.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>, clock: fn() -> Timestamp) -> ExitCode {
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
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let result = runtime.block_on(dispatch(cli, clock));
    runtime.shutdown_background();
    match result {
        Ok(status) => ExitCode::from(status.code()),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(ExitStatus::Error.code())
}

async fn dispatch(cli: Cli, clock: Clock) -> Result<ExitStatus, PluginError> {
    // Cron lines can be checked where there is no cluster.
    if let Command::Schedule { command: ScheduleCommand::Check(args) } = &cli.command {
        return schedule_check::check(args, clock());
    }
    let context = ClusterContext::load(&cli.cluster, clock)?;
    match cli.command {
        Command::Run(args) => run::run(&context, &args).await,
        Command::List(args) => list::list(&context, &args, context.now()).await,
        Command::Describe { names } => describe::describe(&context, &names, context.now()).await,
        Command::Wait(args) => wait::wait(&context, &args).await,
        Command::Rerun(args) => rerun::rerun(&context, &args).await,
        Command::Resolve(args) => resolve::resolve(&context, &args).await,
        Command::Suspend { names } => suspend::set_suspend(&context, &names, true).await,
        Command::Resume { names } => suspend::set_suspend(&context, &names, false).await,
        Command::Accounts(args) => accounts::list(&context, &args, context.now()).await,
        Command::Pipeline { command: PipelineCommand::List(args) } => pipelines::list(&context, &args, context.now()).await,
        Command::Pipeline { command: PipelineCommand::Describe(args) } => describe_pipeline::describe(&context, &args, context.now()).await,
        Command::Schedule { command } => of_schedule(&context, command).await,
        Command::Refresh { names } => refresh::refresh(&context, &names).await,
        Command::History { name } => history::history(&context, &name, context.now()).await,
        Command::Completion { .. } => Ok(ExitStatus::Success),
    }
}

async fn of_schedule(context: &ClusterContext, command: ScheduleCommand) -> Result<ExitStatus, PluginError> {
    match command {
        ScheduleCommand::List(args) => schedules::list(context, &args, context.now()).await,
        ScheduleCommand::Describe { names } => describe_schedule::describe(context, &names, context.now()).await,
        ScheduleCommand::Check(args) => schedule_check::check(&args, context.now()),
        ScheduleCommand::RunNow(args) => run_now::run_now(context, &args).await,
        ScheduleCommand::Suspend { names } => suspend::suspend_schedules(context, &names, true).await,
        ScheduleCommand::Resume { names } => suspend::suspend_schedules(context, &names, false).await,
    }
}
