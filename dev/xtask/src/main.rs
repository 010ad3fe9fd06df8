//! Chores of the repository: `cargo xtask <command>`.

mod bench;
mod build;
mod dashboard;
mod documented_figures;
mod faults;
mod generate;
mod kubernetes;
mod node;
mod replay;
mod simulate;

/// The name that the commands have for it.
mod stop {
    pub use controlplane::Interrupt as Stop;
}

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Chores of the repository",
    after_help = "`cargo xtask demo` shows the operator at work; `cargo xtask image`, `archives` and `chart` pack a release. Each has a `--help`."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the files that are made from the code.
    Generate(generate::Args),
    /// Plays fault plans: one request of the operator goes wrong in one way, and every promise of the trigger protocol is checked.
    ///
    /// Needs Rust, Go and a C compiler, and no cluster. Ends with a table, and with an error if a promise was broken.
    Faults(faults::Args),
    /// Many runs while the operator is killed again and again and both servers fail; ends with a table.
    ///
    /// Needs Rust, Go and a C compiler, and no cluster.
    Storm(faults::storm::Args),
    /// Lets nuvo's gateway, the API server, the leader or nuvo itself go away under load, and counts what that leads to; ends with a table.
    ///
    /// Needs Rust and Go, and no cluster. Ends with an error if an attempt had two POSTs, a run shows an execution that it has not started, or a
    /// run does not end. Takes about eight minutes, most of which it waits.
    Outages(faults::outages::Args),
    /// Measures what runs cost, how late their ends are shown, and what binds; ends with tables.
    ///
    /// Needs Rust, Go and Linux, and no cluster. Ends with an error if a run does not end, or if a count that must hold on every machine
    /// does not: one POST per execution, no more requests than the budget allows, no writes at rest. Times are only shown, except that trouble
    /// must not delay the runs beside it by more than 15 seconds.
    Bench(bench::Args),
    Dashboard(dashboard::Args),
    /// Installs the chart, with its image, on a real node, and plays what happens to an operator there; ends with a table.
    ///
    /// Needs Debian or Ubuntu, root, Rust and Go, and no cluster: kubelet, containerd and all else run in namespaces of their own, and end with
    /// this command. Ends with an error if a run has not exactly one POST, or if what a person sees is not as documented; with the exit code 77
    /// where no node can run.
    Node(node::Args),
    Replay(replay::Args),
    /// Runs the scheduler of the operator in virtual time, and prints how late ends are shown, what that costs, and what is possible.
    ///
    /// Needs Rust only, and a minute. Ends with an error if a budget was exceeded, or an end is not shown in time.
    Simulate(simulate::Args),
    Test(kubernetes::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Generate(args) => generate::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Storm(args) => faults::storm::run(&args),
        Command::Outages(args) => faults::outages::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Dashboard(args) => dashboard::run(&args),
        Command::Node(args) => node::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Test(args) => kubernetes::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if error.is::<node::CannotRunHere>() { ExitCode::from(node::CannotRunHere::EXIT_CODE) } else { ExitCode::FAILURE }
        }
    }
}
