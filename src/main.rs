//! The `nuvo-operator` binary.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use k8s_openapi::jiff::Timestamp;
use nuvo_operator::settings::{self, Command, Settings};

fn main() -> ExitCode {
    // First of all: with two TLS providers in the graph, or none chosen, the first client would panic.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return failed("a TLS provider was installed before this program began");
    }
    let settings = match settings::parse() {
        Command::Run(settings) => *settings,
        Command::Crds => {
            return match nuvo_crds::crds_yaml() {
                Ok(yaml) => print(&yaml),
                Err(error) => failed(&error.to_string()),
            };
        }
    };
    let termination_log = settings.termination_log.clone();
    run(settings).map_or_else(
        |reason| {
            if let Some(file) = termination_log
                && let Err(error) = record(&file, &reason)
            {
                eprintln!("--termination-log {} cannot be written to: {error}", file.display());
            }
            failed(&reason)
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Runs the operator until it is told to end, or fails for this reason.
fn run(settings: Settings) -> Result<(), String> {
    nuvo_operator::telemetry::init(settings.log_format, settings.log_level).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no threads can be started: {error}"))?;
    let ended = runtime.block_on(nuvo_operator::run_operator(settings, Timestamp::now));
    // Not waiting for what blocks, such as a name that is still being looked up.
    runtime.shutdown_background();
    ended.map_err(|error| error.to_string())
}

/// Writes the reason into this file, which the kubelet has made.
fn record(file: &Path, reason: &str) -> io::Result<()> {
    writeln!(OpenOptions::new().write(true).truncate(true).open(file)?, "{reason}")
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot write to the standard output: {error}")),
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("nuvo-operator: {reason}");
    ExitCode::FAILURE
}
