//! The `kubectl-nuvo` binary: kubectl finds it in the path and runs it as `kubectl nuvo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all, as in the operator: without a TLS provider the first client would panic.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: a TLS provider was installed before this program began");
        return ExitCode::FAILURE;
    }
    kubectl_nuvo::main(std::env::args_os())
}
