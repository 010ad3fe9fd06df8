//! A start that cannot succeed: one clear line on standard error and a non-zero exit, never a panic or a silent wait.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use controlplane::{ControlPlane, Options};

use nuvo_operator::rbac::rules;

use crate::world::{install, server};

/// Runs the operator until it ends by itself.
fn run(kubeconfig: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuvo-operator"));
    command.args(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"]).args(flags).env("KUBECONFIG", kubeconfig);
    let log = server().folder().join(format!("start-{}.log", uuid()));
    let mut process = controlplane::Process::spawn_guarded(&command, &log).unwrap();
    let begun = Instant::now();
    let status =
        process.wait(Duration::from_secs(60)).unwrap_or_else(|| panic!("still running after {:?}\n{}", begun.elapsed(), process.log()));
    Output { status, stdout: Vec::new(), stderr: process.log().into_bytes() }
}

fn uuid() -> String {
    format!("{:?}-{:?}", std::thread::current().id(), Instant::now()).chars().filter(char::is_ascii_alphanumeric).collect()
}

/// One line of the program's own, besides log lines, that holds all of these words.
fn assert_line(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("nuvo-operator: ") || line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    for word in words {
        assert!(lines[0].contains(word), "{word}: {text}");
    }
}

fn kubeconfig(server: &ControlPlane) -> String {
    server.admin_kubeconfig().display().to_string()
}

#[test]
fn wrong_flags() {
    let config = kubeconfig(server());
    assert_line(&run(&config, &["--no-such-flag"]), 2, &["--no-such-flag"]);
    assert_line(&run(&config, &["--trigger-timeout-seconds", "soon"]), 2, &["--trigger-timeout-seconds"]);
    assert_line(&run(&config, &["--allowed-base-url", "nonsense"]), 2, &["--allowed-base-url"]);
    assert_line(&run(&config, &["--quarantine-seconds", "1"]), 2, &["quarantine"]);
}

#[test]
fn no_kubeconfig() {
    assert_line(&run("/there/is/no/such/file", &[]), 1, &["no Kubernetes cluster is configured", "KUBECONFIG"]);
}

#[test]
fn an_unreachable_api_server() {
    let text = std::fs::read_to_string(server().admin_kubeconfig()).unwrap();
    let path = server().folder().join("unreachable.kubeconfig");
    std::fs::write(&path, text.replace(server().url(), "https://127.0.0.1:1")).unwrap();
    assert_line(&run(&path.display().to_string(), &[]), 1, &["127.0.0.1:1", "cannot be reached"]);
}

#[test]
fn rejected_credentials_and_missing_permissions() {
    let text = std::fs::read_to_string(server().admin_kubeconfig()).unwrap();
    let path = server().folder().join("stranger.kubeconfig");
    let stranger = text.replace("\"token\": \"admin\"", "\"token\": \"nobody\"");
    assert_ne!(stranger, text, "{text}");
    std::fs::write(&path, stranger).unwrap();
    assert_line(&run(&path.display().to_string(), &[]), 1, &["401"]);

    let namespace = server().namespace("forbidden").unwrap();
    let nothing = server().service_account_kubeconfig(&namespace, "nothing", &[]).unwrap();
    assert_line(&run(&nothing.display().to_string(), &[]), 1, &["missing permission", "list", "pipelineruns.nuvo.dev"]);
    let without_leases: Vec<_> =
        rules().into_iter().filter(|rule| rule.resources.as_ref().is_none_or(|resources| resources[0] != "leases")).collect();
    let without_leases = server().service_account_kubeconfig(&namespace, "no-leases", &without_leases).unwrap();
    assert_line(&run(&without_leases.display().to_string(), &["--leader-elect", "true"]), 1, &["missing permission", "leases", &namespace]);
}

#[test]
fn missing_definitions() {
    let empty = ControlPlane::start(Options::default()).unwrap();
    assert_line(&run(&kubeconfig(&empty), &[]), 1, &["the CRDs are not installed", "nuvo-operator crds | kubectl apply"]);
    install(&empty);
}

#[test]
fn a_taken_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuvo-operator"));
    command.args(["--metrics-addr", &address, "--health-addr", "127.0.0.1:0"]).env("KUBECONFIG", kubeconfig(server()));
    assert_line(&command.output().unwrap(), 1, &[&address]);
}
