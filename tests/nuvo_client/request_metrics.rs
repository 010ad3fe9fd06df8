//! What is observed and counted of each request.

use std::sync::Arc;
use std::time::Duration;

use nuvo_client::{Code, ListQuery, Operation, Settings};
use nuvo_operator::telemetry::Metrics;
use parking_lot::Mutex;

use crate::{
    e, fixed, license,
    server::{Answer, Server, closed_port, json, raw},
    settings, trigger, with_settings, with_tokens,
};

#[tokio::test]
async fn request_is_observed_once() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = with_tokens(|request| if request.starts_with("GET") { json(200, "[]") } else { Answer::Hang }).await;
    let observer = Arc::new(move |operation: Operation, code: Code, _| log.lock().push((operation.as_str(), code.label())));
    let client = with_settings(&server.origin, license(), Settings { observer: Some(observer), ..settings() });
    client.verify_credentials().await.result.unwrap();
    trigger(&client).await;
    assert_eq!(*seen.lock(), [("token", "200".into()), ("list", "200".into()), ("create", "timeout".into())]);
    let _ = tokio::time::timeout(Duration::from_millis(100), trigger(&client)).await;
    assert_eq!(seen.lock().last(), Some(&("create", "cancelled".into())));
}

#[tokio::test]
async fn request_is_counted_by_its_answer() {
    let fine = r#"{"data":[{"id":"e1","pipeline":"p","status":"PROCESSING"}]}"#;
    let strange = r#"{"data":[{"id":"e1","pipeline":"p","status":"PROCESSING"},{"id":7}]}"#;
    // (the answer) -> (code of a POST, of a list)
    let table: Vec<(Answer, &str, &str)> = vec![
        (json(200, fine), "200", "200"),
        (json(201, fine), "201", "201"),
        (json(299, fine), "299", "299"),
        (json(307, ""), "307", "307"),
        (json(400, "{}"), "400", "400"),
        (json(418, "<html>"), "418", "418"),
        (json(429, "<html>"), "429", "429"),
        (json(503, "<html>"), "503", "503"),
        (raw("HTTP/1.1 502 X\r\nContent-Length: 9\r\n\r\n<"), "502", "502"),
        (json(599, ""), "599", "599"),
        (json(700, fine), "malformed", "malformed"),
        (json(200, "<html>welcome</html>"), "malformed", "malformed"),
        (json(200, ""), "malformed", "malformed"),
        (json(200, r#"{"data":[{"id":"e1""#), "malformed", "malformed"),
        (json(200, strange), "malformed", "malformed"),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "broken", "broken"),
        (raw("no HTTP at all\r\n\r\n"), "broken", "broken"),
        (json(200, &" ".repeat((8 << 20) + 1)), "too_large", "too_large"),
        (Answer::Hang, "timeout", "timeout"),
    ];
    for (answer, create, list) in table {
        let shown = format!("{answer:.80?}");
        let server = Server::start(move |_| answer.clone()).await;
        let metrics = Metrics::new();
        let counting = metrics.clone();
        let observer = Arc::new(move |operation, code, took| counting.nuvo_request(operation, code, took));
        let client = with_settings(&server.origin, fixed(), Settings { observer: Some(observer), ..settings() });
        trigger(&client).await;
        let _ = client.list_page(&ListQuery::default(), 0).await.result;
        let exposition = metrics.encode();
        let counts: Vec<&str> = exposition.lines().filter(|line| line.starts_with("nuvo_operator_nuvo_requests_total{")).collect();
        for (operation, code) in [("create", create), ("list", list)] {
            let line = format!(r#"nuvo_operator_nuvo_requests_total{{operation="{operation}",code="{code}"}} 1"#);
            assert!(counts.contains(&line.as_str()), "{shown}: {counts:?}");
        }
        assert_eq!(counts.len(), 2, "{shown}: {counts:?}");
    }
    let metrics = Metrics::new();
    let counting = metrics.clone();
    let observer = Arc::new(move |operation, code, took| counting.nuvo_request(operation, code, took));
    let client = with_settings(&closed_port().await, license(), Settings { observer: Some(observer), ..settings() });
    let _ = client.read(&e("e1")).await.result;
    assert!(metrics.encode().contains(r#"{operation="token",code="connect"} 1"#), "{}", metrics.encode());
}
