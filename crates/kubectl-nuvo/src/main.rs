//! The `kubectl-nuvo` binary. kubectl finds it in `PATH` and runs it as `kubectl nuvo`.

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;

fn main() -> ExitCode {
    // Before anything else: without a TLS provider the first client would panic.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: cannot install the TLS provider: there is one already");
        return ExitCode::FAILURE;
    }
    kubectl_nuvo::main(std::env::args_os(), Timestamp::now)
}
