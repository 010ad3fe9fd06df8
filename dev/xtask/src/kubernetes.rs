//! `test`: the end-to-end tests on another version of Kubernetes.

use std::error::Error;

use clap::builder::PossibleValuesParser;
use programs::{CHOICE, cargo, versions};

/// The modules of tests of what an API server decides: schema and rules, rights, writes and their conflicts, watches, leases, events, and
/// what the chart installs.
const MODULES: [&str; 17] = [
    "accounts::",
    "credentials::",
    "hanging_watches::",
    "install::",
    "later_versions::",
    "leader_election::",
    "lifecycle::",
    "multiple_operators::",
    "old_definition::",
    "outcomes::",
    "plugin::",
    "protocol::",
    "rbac::",
    "rules::",
    "schema::",
    "startup_failures::",
    "unused_locks::",
];

/// Runs the tests of what an API server decides, with the API server, etcd and kubectl of one version of Kubernetes.
///
/// Needs Rust, Go and a C compiler, and no cluster. They are built from source once, in about ten minutes. Ends with an error if a test
/// fails.
#[derive(clap::Args)]
pub struct Args {
    /// Version of Kubernetes
    #[arg(long, value_name = "VERSION", value_parser = PossibleValuesParser::new(versions()))]
    kubernetes: String,

    /// Only the tests with one of these in their names
    #[arg(value_name = "TEST")]
    tests: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut cargo = cargo::command();
    cargo.args(["test", "--locked", "--no-fail-fast", "--test", "e2e", "--test", "chart", "--"]);
    let given: Vec<&str> = args.tests.iter().map(String::as_str).collect();
    cargo.args(if given.is_empty() { &MODULES } else { given.as_slice() });
    // Programs that exist are of the version that they are.
    cargo.env(CHOICE, &args.kubernetes).env_remove("KUBEBUILDER_ASSETS");
    let status = cargo.status()?;
    if status.success() { Ok(()) } else { Err(format!("on Kubernetes {}, the tests ended with {status}", args.kubernetes).into()) }
}
