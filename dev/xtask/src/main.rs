//! Chores of the repository: `cargo xtask <command>`.

mod bench;
mod build;
mod demo;
mod faults;
mod generate;
mod replay;
mod stop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the files that are made from the code.
    Generate(generate::Args),
    /// Shows the operator at work, on this machine: a control plane, a simulator of nuvo, and the examples.
    ///
    /// Needs Rust, and Go for the first start, which takes some minutes. With KUBECONFIG set it uses that cluster, in the namespace `demo`,
    /// and removes at the end what it has created. Ctrl-C ends everything.
    Demo(demo::Args),
    /// Plays fault plans: one request of the operator goes wrong in one way, and every promise of the trigger protocol is checked.
    ///
    /// Needs Rust, Go and a C compiler, and no cluster. Ends with a table, and with an error if a promise was broken.
    Faults(faults::Args),
    /// Many runs while the operator is killed again and again and both servers fail; ends with a table.
    ///
    /// Needs Rust, Go and a C compiler, and no cluster.
    Storm(faults::storm::Args),
    /// Measures what runs cost, how late their ends are shown, and what binds; ends with tables.
    ///
    /// Needs Rust, Go and Linux, and no cluster. Ends with an error if a run does not end, or if a count that must hold on every machine
    /// does not: one POST per execution, no more requests than the budget allows, no writes at rest. Times are only shown.
    Bench(bench::Args),
    Replay(replay::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Generate(args) => generate::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Storm(args) => faults::storm::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Replay(args) => replay::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
