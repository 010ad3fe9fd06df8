//! The `nuvo-operator` binary.

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;
use nuvo_operator::settings::{self, Command};

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
    if let Err(error) = nuvo_operator::telemetry::init(settings.log_format, settings.log_level) {
        return failed(&error.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("no threads can be started: {error}")),
    };
    let ended = runtime.block_on(nuvo_operator::run_operator(settings, Timestamp::now));
    // Not waiting for what blocks, such as a name that is still being looked up.
    runtime.shutdown_background();
    ended.map_or_else(|error| failed(&error.to_string()), |()| ExitCode::SUCCESS)
}

fn print(text: &str) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot write to the standard output: {error}")),
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("nuvo-operator: {reason}");
    ExitCode::FAILURE
}
