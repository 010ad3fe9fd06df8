//! The plugin as a process, without an API server. `tests/e2e/plugin.rs` tests it with one.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::process::{Command, Output};

fn plugin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-nuvo")).args(arguments).output().unwrap()
}

#[test]
fn completion_without_a_cluster_prints_a_script() {
    let output = plugin(&["completion", "bash"]);
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && script.contains("complete"), "{:?}: {script}", output.status);
}

#[test]
fn command_line_with_an_unknown_flag_ends_with_2() {
    let output = plugin(&["list", "--nonsense"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("--nonsense"), "{complaint}");
}
