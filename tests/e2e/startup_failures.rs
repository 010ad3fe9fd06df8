//! Starts that wait for the API server; and starts that fail: one clear line on standard error and a non-zero exit code, never a panic or a
//! silent wait.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use controlplane::{
    ControlPlane, Options, Process, Proxy, Tunnel,
    proxy::{Action, Answer},
};
use k8s_openapi::api::rbac::v1::PolicyRule;
use nuvo_operator::rbac::{rules, secret_rules};
use serde_json::{Value, json};

use crate::environment::{Operator, WITHIN, install, server, wait_for};

/// Starts the operator.
fn start(kubeconfig: &str, flags: &[&str]) -> Process {
    start_in(kubeconfig, flags, &[])
}

/// Starts the operator with these variables in its environment.
fn start_in(kubeconfig: &str, flags: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuvo-operator"));
    command.args(["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"]).args(flags).env("KUBECONFIG", kubeconfig);
    command.envs(variables.iter().copied());
    let log = server().folder().join(format!("start-{}.log", uuid()));
    Process::spawn_guarded(&command, &log).unwrap()
}

/// Runs the operator until it ends by itself.
fn run(kubeconfig: &str, flags: &[&str]) -> Output {
    let mut process = start(kubeconfig, flags);
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
fn wrong_flags_are_reported() {
    let config = kubeconfig(server());
    assert_line(&run(&config, &["--no-such-flag"]), 2, &["--no-such-flag"]);
    assert_line(&run(&config, &["--trigger-timeout-seconds", "soon"]), 2, &["--trigger-timeout-seconds"]);
    assert_line(&run(&config, &["--allowed-base-url", "nonsense"]), 2, &["--allowed-base-url"]);
    assert_line(&run(&config, &["--quarantine-seconds", "1"]), 2, &["quarantine"]);
}

#[test]
fn additional_authorities_that_cannot_be_used_are_reported() {
    let config = kubeconfig(server());
    let empty = server().folder().join("empty.crt");
    std::fs::write(&empty, "").unwrap();
    for (file, reason) in [("/there/is/no/such/file", "No such file"), (empty.to_str().unwrap(), "there is no certificate in it")] {
        assert_line(&run(&config, &["--additional-ca-file", file]), 1, &["--additional-ca-file", file, reason]);
    }
}

#[test]
fn missing_kubeconfig_is_reported() {
    assert_line(&run("/there/is/no/such/file", &[]), 1, &["no Kubernetes cluster is configured", "KUBECONFIG"]);
}

/// As the kubelet makes it: there is an empty file. What is logged before the failure is not in it.
#[test]
fn termination_log_gets_the_reason_in_one_line() {
    let file = server().folder().join("termination-log");
    std::fs::write(&file, "").unwrap();
    let flags = ["--termination-log", file.to_str().unwrap(), "--log-format", "json"];
    let output = run("/there/is/no/such/file", &flags);
    assert_line(&output, 1, &["no Kubernetes cluster is configured"]);
    let said = std::fs::read_to_string(&file).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("no Kubernetes cluster is configured"), "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).trim_end().ends_with(said.trim_end()), "it is the last line of the log, too");

    // Outside a pod there is none, and no file is made.
    std::fs::remove_file(&file).unwrap();
    let output = run("/there/is/no/such/file", &flags);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be written to"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!file.exists());
}

/// Waits until `/readyz` answers with this code and these words.
fn wait_readiness(operator: &Operator, code: u16, words: &str) {
    wait_for(&format!("{code} with {words:?} at /readyz"), &operator.0, || {
        let answer = operator.ask("health", "/readyz");
        (answer.0 == code && answer.1.contains(words)).then_some(())
    });
}

/// The log says at once, and then every 30 s at most, that the operator waits for the API server.
fn assert_says_seldom(operator: &Operator, begun: Instant) {
    let log = operator.0.log();
    let said = log.matches("waiting for the Kubernetes API server").count() as u64;
    assert!((1..=1 + begun.elapsed().as_secs() / 30).contains(&said), "{log}");
}

/// The start that follows gets as far as a check that needs the API server.
#[test]
fn kubeconfig_list_with_a_missing_file_uses_the_others() {
    let list = format!("/there/is/no/such/file:{}", kubeconfig(server()));
    assert_line(&run(&list, &["--operator-namespace", "there-is-no-such-namespace"]), 1, &["there-is-no-such-namespace", "does not exist"]);
}

/// The name of the server does not exist; the proxies know it.
#[test]
fn proxy_of_environment_or_kubeconfig_leads_to_the_api_server() {
    let namespace = server().namespace("proxied").unwrap();
    let tunnel = Tunnel::start().unwrap();
    let port = server().url().rsplit_once(':').unwrap().1;
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(server().admin_kubeconfig()).unwrap()).unwrap();
    let path = server().folder().join("proxied.kubeconfig");
    let start = |kubeconfig: &Value, variables: &[(&str, &str)]| {
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let flags = ["--operator-namespace", &namespace, "--namespaces", &namespace];
        Operator(start_in(&path.display().to_string(), &flags, variables))
    };
    let (http, socks5) = (format!("http://{}", tunnel.address()), format!("socks5://{}", tunnel.address()));

    kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://kubernetes.default.svc:{port}"));
    for proxy in [&http, &socks5] {
        let operator = start(&kubeconfig, &[("HTTPS_PROXY", proxy), ("NO_PROXY", "elsewhere.example,,")]);
        wait_readiness(&operator, 200, "ok");
        assert_eq!(operator.stop(), Some(0));
        assert!(!tunnel.asked().is_empty());
    }
    kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!(http);
    let operator = start(&kubeconfig, &[("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*")]);
    wait_readiness(&operator, 200, "ok");
    assert_eq!(operator.stop(), Some(0));
    assert!(!tunnel.asked().is_empty());

    kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://LOCALHOST:{port}"));
    kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!("");
    let operator = start(&kubeconfig, &[("HTTPS_PROXY", &http), ("NO_PROXY", "localhost")]);
    wait_readiness(&operator, 200, "ok");
    assert_eq!(operator.stop(), Some(0));
    assert_eq!(tunnel.asked(), [""; 0]);
    // A proxy that is away is waited for, as is the server.
    let operator = start(&kubeconfig, &[("HTTPS_PROXY", "http://127.0.0.1:1")]);
    wait_readiness(&operator, 503, "cannot be reached");
    assert_eq!(operator.stop(), Some(0));
    kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!("socks5://me:p4ss@127.0.0.1:1");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let output = run(&path.display().to_string(), &[]);
    assert_line(&output, 1, &["proxy-url", "SOCKS5"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("p4ss"));
}

#[test]
fn unreachable_api_server_is_waited_for_until_sigterm() {
    let text = std::fs::read_to_string(server().admin_kubeconfig()).unwrap();
    let path = server().folder().join("unreachable.kubeconfig");
    std::fs::write(&path, text.replace(server().url(), "https://127.0.0.1:1")).unwrap();
    let begun = Instant::now();
    let operator = Operator(start(&path.display().to_string(), &[]));
    wait_readiness(&operator, 503, "https://127.0.0.1:1/ cannot be reached");
    assert_eq!(operator.ask("health", "/livez").0, 200);
    assert_says_seldom(&operator, begun);
    assert_eq!(operator.stop(), Some(0));
}

#[test]
fn api_server_that_answers_late_is_waited_for() {
    let namespace = server().namespace("late").unwrap();
    let proxy = Proxy::start(server()).unwrap();
    proxy.set_rules(|_| Action::HoldBeforeForward);
    let kubeconfig = proxy.kubeconfig(server().admin_kubeconfig()).unwrap().display().to_string();
    let begun = Instant::now();
    let operator = Operator(start(&kubeconfig, &["--operator-namespace", &namespace, "--namespaces", &namespace]));
    wait_readiness(&operator, 503, "no answer within 10 s");
    assert_eq!(operator.ask("health", "/livez").0, 200);
    // As an API server that is starting, or a load balancer without one.
    proxy.set_rules(|_| Action::Respond(Answer::json(503, "no healthy upstream")));
    wait_readiness(&operator, 503, "(503)");
    proxy.set_rules(|_| Action::Forward);
    wait_readiness(&operator, 200, "ok");
    assert_says_seldom(&operator, begun);
    assert_eq!(operator.stop(), Some(0));
}

#[test]
fn rejected_credentials_and_missing_permission_are_reported() {
    let text = std::fs::read_to_string(server().admin_kubeconfig()).unwrap();
    let path = server().folder().join("stranger.kubeconfig");
    let stranger = text.replace("\"token\": \"admin\"", "\"token\": \"unknown\"");
    assert_ne!(stranger, text, "{text}");
    std::fs::write(&path, stranger).unwrap();
    assert_line(&run(&path.display().to_string(), &[]), 1, &["401"]);

    let namespace = server().namespace("forbidden").unwrap();
    let nothing = server().service_account_kubeconfig(&namespace, "nothing", &[]).unwrap();
    assert_line(&run(&nothing.display().to_string(), &[]), 1, &["missing permission", "list", "pipelineruns.nuvo.dev"]);
}

/// One row for each rule that is left out, with what the start says about it.
#[test]
fn missing_rbac_rule_is_named() {
    let namespace = server().namespace("rules").unwrap();
    let everywhere = ("in all namespaces", &["--operator-namespace", &namespace][..]);
    let here = format!("in namespace {namespace}");
    let there = (here.as_str(), &["--operator-namespace", &namespace, "--namespaces", &namespace][..]);
    let rows = [
        ("list pipelineruns.nuvo.dev", everywhere),
        ("update pipelineruns.nuvo.dev/status", there),
        ("get pipelineschedules.nuvo.dev", there),
        ("update pipelineschedules.nuvo.dev/status", everywhere),
        ("list nuvoaccounts.nuvo.dev", there),
        ("update nuvoaccounts.nuvo.dev/status", everywhere),
        ("list nuvopipelines.nuvo.dev", there),
        ("update nuvopipelines.nuvo.dev/status", everywhere),
        ("create events.events.k8s.io", everywhere),
        ("get secrets", there),
        ("get configmaps", everywhere),
        ("get leases.coordination.k8s.io", (here.as_str(), everywhere.1)),
    ];
    assert_eq!(rows.len(), rules().len());
    for (number, (act, (place, flags))) in rows.into_iter().enumerate() {
        let mut some = rules();
        some.remove(number);
        let kubeconfig = server().service_account_kubeconfig(&namespace, &format!("without-{number}"), &some).unwrap();
        // Also without an election: the locks of the pipelines are Leases, too.
        let flags: Vec<&str> = flags.iter().copied().chain(["--leader-elect", "false"]).collect();
        assert_line(&run(&kubeconfig.display().to_string(), &flags), 1, &[&format!("missing permission: {act} {place}")]);
    }
}

/// The namespace may have been deleted since, which must not stop the others.
#[test]
fn missing_right_to_secrets_of_one_namespace_is_a_warning() {
    let namespace = server().namespace("secretless").unwrap();
    let rules: Vec<PolicyRule> = rules().into_iter().filter(|rule| !secret_rules().contains(rule)).collect();
    let kubeconfig = server().service_account_kubeconfig(&namespace, "nuvo-operator", &rules).unwrap().display().to_string();
    let flags = ["--operator-namespace", &namespace, "--leader-elect", "false"];
    assert_line(&run(&kubeconfig, &flags), 1, &["missing permission: get secrets in all namespaces"]);
    let process = start(&kubeconfig, &[&flags[..], &["--secret-namespaces", "deleted"]].concat());
    wait_for("connection", &process, || process.log().contains(" connected ").then_some(()));
    assert!(process.log().contains("missing permission: get secrets in namespace deleted"), "{}", process.log());
}

#[test]
fn missing_operator_namespace_is_reported() {
    let namespace = server().namespace("place").unwrap();
    let kubeconfig = server().service_account_kubeconfig(&namespace, "nuvo-operator", &rules()).unwrap();
    let output = run(&kubeconfig.display().to_string(), &["--operator-namespace", "there-is-no-such-namespace"]);
    assert_line(&output, 1, &["there-is-no-such-namespace", "does not exist", "--operator-namespace"]);
}

/// Roles in the namespaces that are watched are enough, and what is missing elsewhere is not asked for.
#[test]
fn rights_in_the_watched_namespaces_suffice() {
    let namespace = server().namespace("narrow").unwrap();
    let kubeconfig = server().service_account_kubeconfig(&namespace, "nuvo-operator", &[]).unwrap();
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let metadata = json!({ "name": "nuvo-operator", "namespace": namespace });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules() },
        {
            "apiVersion": version, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": "Role", "name": "nuvo-operator" },
            "subjects": [{ "kind": "ServiceAccount", "name": "nuvo-operator", "namespace": namespace }],
        },
    ]});
    server().apply(&list.to_string()).unwrap();
    let kubeconfig = kubeconfig.display().to_string();
    assert_line(&run(&kubeconfig, &["--operator-namespace", &namespace]), 1, &["missing permission: list pipelineruns.nuvo.dev in all"]);
    let begun = Instant::now();
    let mut process = start(&kubeconfig, &["--operator-namespace", &namespace, "--namespaces", &namespace, "--leader-elect", "false"]);
    while !process.log().contains(" connected ") {
        assert!(process.exited().is_none() && begun.elapsed() < WITHIN, "{}", process.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("all checks of the start done after {} ms", begun.elapsed().as_millis());
}

#[test]
fn missing_crds_are_reported() {
    let empty = ControlPlane::start(Options::default()).unwrap();
    assert_line(&run(&kubeconfig(&empty), &[]), 1, &["the CRDs are not installed", "nuvo-operator crds | kubectl apply"]);
    install(&empty);
}

#[test]
fn wrong_label_selector_is_reported() {
    for selector in ["a in b", "a=b=c", "/a", "a=b c", "-a", ","] {
        let flag = format!("--label-selector={selector}");
        assert_line(&run(&kubeconfig(server()), &[&flag]), 1, &["--label-selector is not a label selector", "kubectl get --selector"]);
    }
}

#[test]
fn occupied_port_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuvo-operator"));
    command.args(["--metrics-addr", &address, "--health-addr", "127.0.0.1:0"]).env("KUBECONFIG", kubeconfig(server()));
    assert_line(&command.output().unwrap(), 1, &[&address]);
}
