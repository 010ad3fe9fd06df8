//! The servers are real, and end when they should.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use controlplane::{ControlPlane, Options, Part, Process, Proxy, shared};
use k8s_openapi::api::rbac::v1::PolicyRule;

const SOON: Duration = Duration::from_secs(30);

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

/// Waits for a condition, with a bound.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The letter that Linux gives for the state of a process, if there is one.
fn state(pid: u32) -> Option<char> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit_once(") ")?.1.chars().next()
}

fn alive(pid: u32) -> bool {
    // A zombie is dead too: whoever has to wait for it has not yet done so.
    state(pid).is_some_and(|state| state != 'Z')
}

#[test]
fn is_ready_and_knows_its_version() {
    let server = shared().unwrap();
    assert_eq!(server.kubectl(&["get", "--raw", "/readyz"]).unwrap(), "ok");
    let versions: serde_json::Value = serde_json::from_str(&server.kubectl(&["version", "-o", "json"]).unwrap()).unwrap();
    let version = |of: &str| versions[of]["gitVersion"].as_str().unwrap();
    assert_eq!(version("clientVersion"), version("serverVersion"));
    assert!(version("serverVersion").starts_with("v1.") && !version("serverVersion").starts_with("v1.0."), "{versions}");
}

#[test]
fn a_service_account_may_do_only_what_its_rules_say() {
    let server = shared().unwrap();
    let namespace = server.namespace("limited").unwrap();
    let kubeconfig = server.service_account_kubeconfig(&namespace, "reader", &[rule("", "configmaps", &["get", "list"])]).unwrap();
    let as_reader = |args: &[&str]| server.kubectl_command().env("KUBECONFIG", &kubeconfig).args(args).output().unwrap();

    let allowed = as_reader(&["get", "configmaps", "-A"]);
    assert!(allowed.status.success(), "{allowed:?}");
    for refused in [&["get", "secrets", "-A"][..], &["create", "configmap", "x"]] {
        let output = as_reader(refused);
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(" is forbidden"), "{refused:?}: {output:?}");
    }
    let who = format!("system:serviceaccount:{namespace}:reader");
    let refusal = server.wait_for_write(|event| event.user == who, SOON).expect("the refused write is in the audit log");
    assert_eq!((refusal.verb.as_str(), refusal.resource.as_str(), refusal.code), ("create", "configmaps", 403));
}

#[test]
fn counts_each_write_once_and_no_read() {
    let server = shared().unwrap();
    let namespace = server.namespace("audit").unwrap();
    server.kubectl(&["create", "configmap", "written", "--namespace", &namespace]).unwrap();
    server.kubectl(&["get", "configmap", "written", "--namespace", &namespace]).unwrap();
    server.kubectl(&["delete", "configmap", "written", "--namespace", &namespace]).unwrap();
    server.wait_for_write(|event| event.namespace == namespace && event.verb == "delete", SOON).expect("the deletion is logged");
    let writes = server.writes(|event| event.namespace == namespace && event.resource == "configmaps");
    let verbs: Vec<_> = writes.iter().map(|event| (event.verb.as_str(), event.user.as_str(), event.code)).collect();
    assert_eq!(verbs, [("create", "admin", 201), ("delete", "admin", 200)]);
}

#[test]
fn data_survives_the_death_of_each_server() {
    let server = ControlPlane::start(Options::default()).unwrap();
    for (name, part) in [("first", Part::ApiServer), ("second", Part::Etcd)] {
        server.kubectl(&["create", "configmap", name, "--namespace", "default"]).unwrap();
        server.kill_part(part);
        let down = server.kubectl_command().args(["get", "configmap", name, "-n", "default", "--request-timeout", "2s"]).output().unwrap();
        assert!(!down.status.success(), "{part:?} is gone: {down:?}");
        server.restart_part(part).unwrap();
        server.kubectl(&["get", "configmap", name, "--namespace", "default"]).unwrap();
    }
    // An orderly stop does not wait for those who watch, over HTTP/1.1 as the operator does (and the proxy, unlike kubectl).
    let proxy = Proxy::start(&server).unwrap();
    let kubeconfig = proxy.kubeconfig(server.admin_kubeconfig()).unwrap();
    let watch = ["get", "configmaps", "--watch", "--output", "name", "--namespace", "default"];
    let mut watch = server.kubectl_command().env("KUBECONFIG", kubeconfig).args(watch).stdout(Stdio::null()).spawn().unwrap();
    proxy.wait_for(|exchange| exchange.request.is_watch() && exchange.client_status.is_some(), SOON).expect("a watch begins");
    let begun = Instant::now();
    server.stop_part(Part::ApiServer).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    watch.kill().unwrap();
    watch.wait().unwrap();
    server.restart_part(Part::ApiServer).unwrap();
    server.kubectl(&["get", "configmap", "first", "second", "--namespace", "default"]).unwrap();
}

#[test]
fn the_controller_manager_ends_namespaces_and_collects_garbage_and_nothing_is_left_after_the_end() {
    let server = ControlPlane::start(Options { controller_manager: true, ..Options::default() }).unwrap();
    let namespace = server.namespace("short").unwrap();
    server.kubectl(&["create", "configmap", "owner", "--namespace", &namespace]).unwrap();
    let uid = server.kubectl(&["get", "configmap", "owner", "--namespace", &namespace, "-o", "jsonpath={.metadata.uid}"]).unwrap();
    let owner = format!("{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}");
    let owned = format!("{{name: owned, namespace: {namespace}, ownerReferences: [{owner}]}}");
    server.apply(&format!("{{apiVersion: v1, kind: ConfigMap, metadata: {owned}}}")).unwrap();
    server.kubectl(&["delete", "configmap", "owner", "--namespace", &namespace]).unwrap();
    let gone = ["wait", "--for=delete", "configmap/owned", "--timeout", "60s", "--namespace", &namespace];
    server.kubectl(&gone).unwrap_or_else(|error| panic!("{error}\n{}", server.log(Part::ControllerManager)));
    server.kubectl(&["delete", "namespace", &namespace, "--timeout", "60s"]).unwrap();

    let folder = server.folder().to_owned();
    let ours = || {
        let Ok(processes) = fs::read_dir("/proc") else { return 0 };
        let uses = |line: &[u8]| String::from_utf8_lossy(line).contains(&*folder.to_string_lossy());
        processes.flatten().filter(|process| fs::read(process.path().join("cmdline")).is_ok_and(|line| uses(&line))).count()
    };
    assert_eq!(ours(), 3, "etcd, kube-apiserver and kube-controller-manager run");
    server.stop();
    assert_eq!(ours(), 0);
    assert!(!folder.exists());
}

#[test]
fn a_guarded_command_gets_signals_and_ends_with_its_guard() {
    let folder = shared().unwrap().folder();
    let script = |text: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    };
    let child = |process: &Process| -> u32 {
        eventually("it says its process id", || process.log().contains('\n'));
        process.log().lines().next().unwrap().parse().unwrap()
    };

    let mut polite =
        Process::spawn_guarded(&script("trap 'exit 7' TERM; echo $$; while :; do sleep 0.05; done"), folder.join("polite.log")).unwrap();
    child(&polite);
    polite.signal_term().unwrap();
    assert_eq!(polite.wait(SOON).and_then(|status| status.code()), Some(7));

    let mut killed = Process::spawn_guarded(&script("echo $$; exec sleep 600"), folder.join("killed.log")).unwrap();
    let pid = child(&killed);
    assert!(alive(pid));
    killed.kill();
    assert!(!alive(pid), "it is gone when `kill` returns");

    let mut frozen = Process::spawn_guarded(&script("echo $$; exec sleep 600"), folder.join("frozen.log")).unwrap();
    let pid = child(&frozen);
    frozen.pause().unwrap();
    eventually("it stands still", || state(pid) == Some('T'));
    frozen.resume().unwrap();
    eventually("it goes on", || state(pid) == Some('S'));
    frozen.pause().unwrap();
    frozen.kill();
    assert!(!alive(pid), "a frozen command is killed as well");

    // Killed from outside: the guard cannot do anything any more.
    let orphan = Process::spawn_guarded(&script("echo $$; exec sleep 600"), folder.join("orphan.log")).unwrap();
    let pid = child(&orphan);
    assert!(Command::new("kill").args(["-KILL", &orphan.pid().to_string()]).status().unwrap().success());
    eventually("the command of a killed guard ends", || !alive(pid));
}
