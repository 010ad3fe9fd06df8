//! The proxy passes on what is right, and makes each fault.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a failed test may panic, also in its helpers")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use controlplane::proxy::{Action, Answer, Exchange, RequestInfo};
use controlplane::{ControlPlane, Proxy, shared};

const SOON: Duration = Duration::from_secs(30);

struct Setup {
    server: &'static ControlPlane,
    proxy: Proxy,
    namespace: String,
    kubeconfig: std::path::PathBuf,
}

/// A namespace, and a service account that comes through the proxy: so its credential does too.
fn setup() -> Setup {
    let server = shared().unwrap();
    let proxy = Proxy::start(server).unwrap();
    let namespace = server.namespace("proxy").unwrap();
    let rules = [k8s_openapi::api::rbac::v1::PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["configmaps".to_owned()]),
        verbs: vec!["*".to_owned()],
        ..Default::default()
    }];
    let direct = server.service_account_kubeconfig(&namespace, "client", &rules).unwrap();
    let kubeconfig = proxy.kubeconfig(&direct).unwrap();
    Setup { server, proxy, namespace, kubeconfig }
}

fn kubectl(server: &ControlPlane, kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = server.kubectl_command();
    command.env("KUBECONFIG", kubeconfig).args(args);
    command
}

impl Setup {
    fn create(&self, name: &str) -> Output {
        kubectl(self.server, &self.kubeconfig, &["create", "configmap", name]).output().unwrap()
    }

    /// Through the proxy, while the test goes on.
    fn start(&self, args: &[&str]) -> Child {
        kubectl(self.server, &self.kubeconfig, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Without the proxy.
    fn exists(&self, name: &str) -> bool {
        self.server.kubectl(&["get", "configmap", name, "--namespace", &self.namespace]).is_ok()
    }

    fn posts(&self) -> Vec<Exchange> {
        let mut journal = self.proxy.journal();
        journal.retain(|exchange| exchange.request.method == "POST");
        journal
    }

    fn on_post(&self, action: Action) {
        self.proxy.set_rules(move |request| if is_post(request) { action.clone() } else { Action::Forward });
    }
}

fn is_post(request: &RequestInfo) -> bool {
    request.method == "POST"
}

fn statuses(exchange: &Exchange) -> (Option<u16>, Option<u16>) {
    (exchange.server_status, exchange.client_status)
}

#[test]
fn forwards_with_the_credential_and_remembers() {
    let setup = setup();
    let created = setup.create("plain");
    assert!(created.status.success(), "{created:?}");
    let posts = setup.posts();
    assert_eq!(posts.len(), 1, "{posts:?}");
    assert_eq!(posts[0].request.path, format!("/api/v1/namespaces/{}/configmaps", setup.namespace));
    assert!(String::from_utf8_lossy(&posts[0].request.body).contains("plain"));
    assert_eq!(statuses(&posts[0]), (Some(201), Some(201)));
    let who = format!("system:serviceaccount:{}:client", setup.namespace);
    assert!(setup.server.wait_for_write(|event| event.user == who && event.code == 201, SOON).is_some());
}

#[test]
fn loses_a_request_or_its_answer() {
    let setup = setup();
    setup.on_post(Action::ForwardThenDrop);
    let lost = setup.create("applied");
    assert!(!lost.status.success(), "{lost:?}");
    assert!(setup.exists("applied"), "the write was carried out");
    assert_eq!(statuses(&setup.posts()[0]), (Some(201), None));

    setup.on_post(Action::DropBeforeForward);
    let lost = setup.create("not-applied");
    assert!(!lost.status.success(), "{lost:?}");
    assert!(!setup.exists("not-applied"));
    assert_eq!(statuses(setup.posts().last().unwrap()), (None, None));

    let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","message":"made up","code":409}"#;
    setup.on_post(Action::Respond(Answer::json(409, body)));
    let refused = setup.create("refused");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("made up"), "{refused:?}");
    assert!(!setup.exists("refused"));

    setup.on_post(Action::ForwardThenRespond(Answer::json(409, body)));
    let refused = setup.create("refused-late");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("made up"), "{refused:?}");
    assert!(setup.exists("refused-late"));
    assert_eq!(statuses(setup.posts().last().unwrap()), (Some(201), Some(409)));
}

#[test]
fn sends_a_request_twice_and_passes_on_the_first_answer() {
    let setup = setup();
    setup.on_post(Action::ForwardTwice);
    let created = setup.create("double");
    assert!(created.status.success(), "{created:?}");
    let who = format!("system:serviceaccount:{}:client", setup.namespace);
    let refused = setup.server.wait_for_write(|event| event.user == who && event.code == 409, SOON);
    assert_eq!(refused.map(|event| event.name), Some("double".to_owned()), "the second one came as well");
}

#[test]
fn stands_before_a_plain_server_and_makes_up_headers() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::http(server.local_addr().unwrap().port()).unwrap();
    let answering = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        line
    });
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/plain").ends_with("ok"));
    assert_eq!(answering.join().unwrap(), "GET /plain HTTP/1.1\r\n");
    proxy.set_rules(|_| Action::Respond(Answer::json(429, "{}").header("retry-after", "7")));
    let answer = ask("/limited");
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 7"), "{answer}");
}

#[test]
fn holds_a_request_or_its_answer_until_it_is_released() {
    let setup = setup();
    setup.on_post(Action::HoldBeforeForward);
    let waiting = setup.start(&["create", "configmap", "before"]);
    let held = setup.proxy.wait_for(|exchange| exchange.held, SOON).expect("it is held");
    assert!(!setup.exists("before"));
    setup.proxy.release(held.request.seq);
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert!(setup.exists("before"));

    setup.on_post(Action::ForwardThenHold);
    let waiting = setup.start(&["create", "configmap", "after"]);
    let held = setup.proxy.wait_for(|exchange| exchange.held, SOON).expect("it is held");
    assert_eq!(statuses(&held), (Some(201), None));
    assert!(setup.exists("after"));
    setup.proxy.release_all();
    assert!(waiting.wait_with_output().unwrap().status.success());
}

#[test]
fn is_idle_when_each_request_is_answered_or_held() {
    let setup = setup();
    setup.on_post(Action::Delay(Duration::from_millis(500)));
    let client = setup.start(&["create", "configmap", "slow"]);
    assert!(setup.proxy.wait_for(|exchange| is_post(&exchange.request), SOON).is_some());
    assert!(setup.proxy.wait_until_idle(SOON));
    assert_eq!(statuses(&setup.posts()[0]), (Some(201), Some(201)));
    assert!(client.wait_with_output().unwrap().status.success());

    setup.on_post(Action::HoldBeforeForward);
    let client = setup.start(&["create", "configmap", "held"]);
    assert!(setup.proxy.wait_for(|exchange| exchange.held, SOON).is_some());
    assert!(setup.proxy.wait_until_idle(SOON));
    assert!(!setup.exists("held"));
    setup.proxy.release_all();
    assert!(client.wait_with_output().unwrap().status.success());
}

#[test]
fn a_held_request_arrives_also_when_its_client_is_gone() {
    let setup = setup();
    setup.on_post(Action::HoldBeforeForward);
    let mut client = setup.start(&["create", "configmap", "late"]);
    let held = setup.proxy.wait_for(|exchange| exchange.held, SOON).expect("it is held");
    client.kill().unwrap();
    client.wait().unwrap();
    setup.proxy.release(held.request.seq);
    setup.proxy.wait_for(|exchange| exchange.server_status == Some(201), SOON).expect("the server answers");
    assert!(setup.exists("late"));
}

#[test]
fn streams_watches_and_cuts_them() {
    for cut in [Proxy::cut_connections, Proxy::cut_watches] {
        watch_until(cut);
    }
}

fn watch_until(cut: fn(&Proxy)) {
    let setup = setup();
    let mut watch = setup.start(&["get", "configmaps", "--watch", "--output", "name"]);
    let lines = BufReader::new(watch.stdout.take().unwrap());
    setup.proxy.wait_for(|exchange| exchange.request.is_watch() && exchange.client_status.is_some(), SOON).expect("a watch begins");
    let (tell, told) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| tell.send(line).unwrap_or_default()));
    for name in ["seen-1", "seen-2"] {
        setup.server.kubectl(&["create", "configmap", name, "--namespace", &setup.namespace]).unwrap();
        assert_eq!(told.recv_timeout(SOON).unwrap(), format!("configmap/{name}"), "it comes while the watch goes on");
    }
    cut(&setup.proxy);
    // kubectl ends with its watch.
    reader.join().unwrap();
    watch.wait().unwrap();
}

#[test]
fn proxy_that_is_away_serves_nothing_until_it_is_back() {
    let setup = setup();
    setup.proxy.go_away();
    assert!(!setup.create("while-away").status.success());
    assert!(setup.proxy.journal().is_empty(), "no request comes in");
    setup.proxy.come_back();
    assert!(setup.create("when-back").status.success());
    assert_eq!(["while-away", "when-back"].map(|name| setup.exists(name)), [false, true]);
}
