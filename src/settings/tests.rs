use std::time::Duration;

use clap::Args;
use nuvo_client::Origins;

use super::{arguments::RunArguments, *};

fn settings(arguments: &[&str]) -> Settings {
    match parse_from(std::iter::once("nuvo-operator").chain(arguments.iter().copied())) {
        Ok(Command::Run(settings)) => *settings,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn error(arguments: &[&str]) -> String {
    let error = parse_from(std::iter::once("nuvo-operator").chain(arguments.iter().copied())).expect_err("must be refused");
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[test]
fn command_line_is_well_formed() {
    command_line().debug_assert();
}

#[test]
fn settings_without_flags_are_the_documented_defaults() {
    let expected = Settings {
        allowed_origins: Origins::default(),
        namespaces: vec![],
        secret_namespaces: vec![],
        label_selector: None,
        operator_namespace: None,
        leader_elect: true,
        metrics_addr: "0.0.0.0:8080".parse().unwrap(),
        health_addr: "0.0.0.0:8081".parse().unwrap(),
        log_format: LogFormat::Text,
        log_level: LogLevel::Info,
        trigger_timeout: Duration::from_secs(60),
        trigger_settle: Duration::from_secs(300),
        quarantine: Duration::from_secs(900),
        fence: Duration::from_secs(5),
        lock_retention: Duration::from_secs(30 * 24 * 3600),
        adoption_confirm: Duration::from_secs(10),
        max_concurrent_reconciles: 32,
        hold_schedules: false,
        use_env_proxy: false,
        additional_ca_file: None,
        termination_log: None,
    };
    assert_eq!(settings(&[]), expected);
    assert_eq!(settings(&["run"]), expected);
}

#[test]
fn flags_mean_the_same_with_and_without_the_command() {
    let flags = ["--namespaces", "b,a,b", "--fence-seconds", "0.5", "--leader-elect", "false", "--allowed-base-url", "http://127.0.0.1:1"];
    let plain = settings(&flags);
    assert_eq!(plain.namespaces, ["a", "b"]);
    assert_eq!(plain.fence, Duration::from_millis(500));
    assert!(!plain.leader_elect);
    assert_eq!(plain.allowed_origins, Origins::parse(["http://127.0.0.1:1"]).unwrap(), "the defaults are replaced, not added to");
    assert_eq!(settings(&[&["run"], flags.as_slice()].concat()), plain);
}

#[test]
fn flag_has_its_environment_variable() {
    for argument in RunArguments::augment_args(clap::Command::new("test")).get_arguments() {
        let long = argument.get_long().expect("every argument is a flag");
        let expected = format!("NUVO_OPERATOR_{}", long.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
    }
}

#[test]
fn crds_command_takes_no_flags() {
    assert_eq!(parse_from(["nuvo-operator", "crds"]).unwrap(), Command::Crds);
    error(&["crds", "--namespaces", "a"]);
}

#[test]
fn bad_value_is_refused_with_what_is_expected() {
    for (arguments, expected) in [
        (&["--trigger-timeout-seconds", "0"][..], "between 1 and 600 seconds"),
        (&["--trigger-timeout-seconds", "99999999999999999999999"], "between 1 and 600 seconds"),
        (&["--fence-seconds", "0.0001"], "at most three decimals"),
        (&["--fence-seconds", "1e3"], "like 60 or 0.5"),
        (&["--fence-seconds", "5s"], "like 60 or 0.5"),
        (&["--fence-seconds", "."], "like 60 or 0.5"),
        (&["--quarantine-seconds", "64.999"], "64.999"),
        (&["--max-concurrent-reconciles", "0"], "1..=1024"),
        (&["--namespaces", "a,,b"], "must not be empty"),
        (&["--namespaces", "A"], "not a namespace"),
        (&["--namespaces", "a,b", "--secret-namespaces", "b,c"], "--secret-namespaces has c"),
        (&["--allowed-base-url", ""], "must not be empty"),
        (&["--metrics-addr", ":8080"], "0.0.0.0:8080"),
        (&["--metrics-addr", "0.0.0.0:8081"], "another port"),
        (&["--label-selector", " "], "must not be empty"),
        (&["--leader-elect", "perhaps"], "true, false"),
        (&["--log-level", "loud"], "error, warn, info"),
        (&["--surprise"], "--surprise"),
    ] {
        let message = error(arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn port_0_can_be_used_twice() {
    settings(&["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"]);
}
