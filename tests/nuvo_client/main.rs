//! The client of the Execution API against raw sockets: what is sent, how often, and what each answer or silence means.

// Test helpers outside of #[test] functions are test code, too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod server;

use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use nuvo_client::{
    Client, Code, Credential, Error, ExecutionStatus, IdentityType, ListQuery, Listing, Operation, Origins, PauseReason, Pipeline, Settings,
};
use nuvo_core::run::{ExecutionId, Nonce, Obstacle, Outcome, PipelineId, Unexecuted};
use nuvo_operator::account::{Rejected, Session, SessionSettings};
use nuvo_operator::shutdown::{self, Shutdown};
use nuvo_operator::telemetry::Metrics;
use secrecy::SecretString;
use server::{Answer, Server, closed_port, json, raw};

const TOKEN: &str = "POST /api/auth/access-token";
const CREATE: &str = "POST /api/execution/";

fn settings() -> Settings {
    Settings {
        trigger_timeout: Duration::from_millis(1_200),
        request_timeout: Duration::from_millis(600),
        connect_timeout: Duration::from_millis(250),
        ..Settings::default()
    }
}

fn with_settings(origin: &str, credential: Credential, settings: Settings) -> Client {
    // A second call of the same process finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let base = Origins::parse([origin]).unwrap().check(&format!("{origin}/api")).unwrap();
    Client::new(base, credential, settings).unwrap()
}

fn fixed() -> Credential {
    Credential::AccessToken(SecretString::from("FIXED-TOKEN"))
}

fn license() -> Credential {
    Credential::LicenseKey {
        key: SecretString::from("LICENSE"),
        identifier: "me@example.com".into(),
        identity_type: IdentityType::User,
        token_path: "auth/access-token".into(),
    }
}

fn client(server: &Server) -> Client {
    with_settings(&server.origin, fixed(), settings())
}

fn p() -> PipelineId {
    PipelineId::new("p").unwrap()
}

fn e(id: &str) -> ExecutionId {
    ExecutionId::new(id).unwrap()
}

async fn trigger(client: &Client) -> Outcome {
    client.create(&p(), &Nonce::new("nonce-1").unwrap()).await
}

/// One trigger against a server that always does the same: the outcome, and the number of POSTs.
async fn triggered(answer: Answer) -> (Outcome, usize) {
    let server = Server::start(move |_| answer.clone()).await;
    let outcome = trigger(&client(&server)).await;
    (outcome, server.count(CREATE))
}

#[tokio::test]
async fn the_post_carries_what_the_api_asks_for() {
    let server = Server::start(|_| json(200, r#"{"data":[{"id":"e1","pipeline":"p"}]}"#)).await;
    assert_eq!(trigger(&client(&server)).await, Outcome::Accepted(vec![e("e1")]));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let text = requests[0].to_lowercase();
    assert!(text.starts_with("post /api/execution/ http/1.1\r\n"), "{text}");
    for line in ["x-request-id: nonce-1", "authorization: bearer fixed-token", "user-agent: nuvo-operator/"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(requests[0].ends_with(r#"{"pipeline_id":"p"}"#), "{text}");
    assert!(!text.contains("accept-encoding"), "{text}");
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_not_executed() {
    // Refused; a name that does not exist; no TLS on the other side.
    let plain = Server::start(|_| Answer::Close).await;
    for origin in [closed_port().await, "http://does-not-exist.invalid".to_owned(), plain.origin.replace("http", "https")] {
        let outcome = trigger(&with_settings(&origin, fixed(), settings())).await;
        assert!(
            matches!(outcome, Outcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Unavailable), .. }),
            "{origin}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn silence_after_the_request_is_unknown_and_never_repeated() {
    for answer in [
        Answer::Close,
        Answer::Hang,
        raw("HTTP/1.1 200 OK\r\nContent-"),
        raw("not http at all\r\n\r\n"),
        raw("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
        raw("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        raw("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"),
        raw("HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let shown = format!("{answer:?}");
        let (outcome, posts) = triggered(answer).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{shown}: {outcome:?}");
        assert_eq!(posts, 1, "{shown}");
    }
}

#[tokio::test]
async fn a_2xx_without_ids_was_executed() {
    for answer in [
        json(200, "<html>"),
        raw("HTTP/1.1 204 No Content\r\n\r\n"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":[{\"id\":\"a\"}"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n"),
        Answer::ThenHang("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".into()),
    ] {
        let shown = format!("{answer:?}");
        let (outcome, posts) = triggered(answer).await;
        assert!(matches!(outcome, Outcome::ExecutedIdsUnknown { .. }), "{shown}: {outcome:?}");
        assert_eq!(posts, 1, "{shown}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let other = Server::start(|_| json(200, r#"{"data":[{"id":"e1","pipeline":"p"}]}"#)).await;
    let location = other.origin.clone();
    for status in [301, 302, 303, 307, 308] {
        let answer = raw(&format!("HTTP/1.1 {status} X\r\nLocation: {location}/api/execution/\r\nContent-Length: 0\r\n\r\n"));
        let (outcome, posts) = triggered(answer.clone()).await;
        assert!(matches!(outcome, Outcome::NotExecuted { then: Unexecuted::Rejected, .. }), "{outcome:?}");
        assert_eq!(posts, 1);
        let server = Server::start(move |_| answer.clone()).await;
        assert_eq!(client(&server).read(&e("e1")).await, Err(Error::Rejected { status }));
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn a_fixed_token_that_is_refused_is_reported() {
    let server = Server::start(|_| json(401, "{}")).await;
    let client = client(&server);
    let outcome = trigger(&client).await;
    assert!(matches!(outcome, Outcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Account), .. }), "{outcome:?}");
    assert!(client.credentials_rejected());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(client.prove().await, Err(Error::Unauthorized));
}

/// Gives tokens T1, T2, …; everything else is answered by `api`.
async fn with_tokens(api: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
    let made = AtomicUsize::new(0);
    Server::start(move |request| {
        if request.starts_with(TOKEN) {
            let n = made.fetch_add(1, Ordering::SeqCst) + 1;
            Answer::After(Duration::from_millis(100), Box::new(json(200, &format!(r#"{{"data":{{"access_token":"T{n}"}}}}"#))))
        } else {
            api(request)
        }
    })
    .await
}

#[tokio::test]
async fn an_old_token_is_renewed_once_and_the_same_is_sent_again() {
    let server = with_tokens(|request| {
        if request.contains("Bearer T1\r\n") { json(401, "{}") } else { json(200, r#"{"data":[{"id":"e1","pipeline":"p"}]}"#) }
    })
    .await;
    let renewing = with_settings(&server.origin, license(), settings());
    assert_eq!(trigger(&renewing).await, Outcome::Accepted(vec![e("e1")]));
    assert_eq!((server.count(TOKEN), server.count(CREATE)), (2, 2));
    assert!(!renewing.credentials_rejected());
    let token_request = server.requests().into_iter().find(|r| r.starts_with(TOKEN)).unwrap();
    assert!(
        token_request.ends_with(r#"{"auth":{"identifier":"me@example.com","type":"USER"},"license_key":"LICENSE"}"#),
        "{token_request}"
    );

    let server = with_tokens(|_| json(401, "{}")).await;
    let refused = with_settings(&server.origin, license(), settings());
    assert!(matches!(trigger(&refused).await, Outcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Account), .. }));
    assert_eq!((server.count(TOKEN), server.count(CREATE)), (2, 2));
    assert!(refused.credentials_rejected());
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let limited = raw("HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    for (answer, rejected, obstacle, pause) in [
        (json(401, "{}"), true, Obstacle::Account, 60),
        (json(500, "{}"), false, Obstacle::Unavailable, 5),
        (limited, false, Obstacle::RateLimited, 7),
        (Answer::Hang, false, Obstacle::Unavailable, 5),
        (json(200, "<html>"), false, Obstacle::Unavailable, 5),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let client = with_settings(&server.origin, license(), settings());
        let Outcome::NotExecuted { then, message } = trigger(&client).await else { panic!("another class") };
        assert_eq!(then, Unexecuted::RetryAfter(Duration::from_secs(pause), obstacle), "{message}");
        assert_eq!((server.count(TOKEN), server.count(CREATE)), (1, 0));
        assert_eq!(client.credentials_rejected(), rejected);
    }
}

#[tokio::test]
async fn twenty_callers_share_one_token_and_one_renewal() {
    let old = Arc::new(AtomicUsize::new(0));
    let old_in_server = Arc::clone(&old);
    let server = with_tokens(move |request| {
        let refused = (1..=old_in_server.load(Ordering::SeqCst)).any(|n| request.contains(&format!("Bearer T{n}\r\n")));
        if refused { json(401, "{}") } else { json(200, r#"{"data":{"id":"e1","status":"PROCESSING"}}"#) }
    })
    .await;
    let client = Arc::new(with_settings(&server.origin, license(), Settings { request_timeout: Duration::from_secs(5), ..settings() }));
    for renewals in 1..=2 {
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let client = Arc::clone(&client);
                tokio::spawn(async move { client.read(&e("e1")).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().status, ExecutionStatus::Processing);
        }
        assert_eq!(server.count(TOKEN), renewals);
        old.store(renewals, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_failed_flight_fails_everyone_who_waited() {
    let server = Server::start(|_| Answer::After(Duration::from_millis(200), Box::new(json(503, "{}")))).await;
    let client = Arc::new(with_settings(&server.origin, license(), settings()));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.prove().await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(Error::Server { status: 503, retry_after: None }));
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn reads_have_their_errors() {
    for (answer, error) in [
        (json(400, "{}"), Error::NotFound),
        (json(404, "{}"), Error::NotFound),
        (json(403, "{}"), Error::Forbidden),
        (
            raw("HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
            Error::RateLimited { retry_after: Some(Duration::from_secs(7)) },
        ),
        (
            raw("HTTP/1.1 503 X\r\nRetry-After: 9999999\r\nContent-Length: 0\r\n\r\n"),
            Error::Server { status: 503, retry_after: Some(Duration::from_secs(900)) },
        ),
        (json(200, r#"{"data":{"id":"other","status":"FAILED"}}"#), Error::Malformed { reason: "the answer is about another execution" }),
        (
            json(200, r#"{"data":{"id":"e1","status":"SUCCESSFUL"}}"#),
            Error::Malformed { reason: "an execution that has ended does not name its pipeline" },
        ),
        (json(200, &"x".repeat((1 << 20) + 1)), Error::TooLarge),
        (raw(&format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", " ".repeat(2 << 20))), Error::TooLarge),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), Error::Interrupted),
        (Answer::Close, Error::Interrupted),
        (Answer::Hang, Error::TimedOut),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        assert_eq!(client(&server).read(&e("e1")).await, Err(error));
        assert_eq!(server.requests().len(), 1);
    }
    let down = with_settings(&closed_port().await, fixed(), settings());
    assert_eq!(down.read(&e("e1")).await, Err(Error::Unreachable));
}

#[tokio::test]
async fn a_pipeline_is_read_before_a_trigger() {
    let found = |body: &'static str| async move {
        let server = Server::start(move |_| json(200, body)).await;
        let pipeline = client(&server).pipeline(&p()).await;
        let requests = server.requests();
        assert!(requests.len() == 1 && requests[0].starts_with("GET /api/pipeline/p HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests[0].to_lowercase().contains("authorization: bearer fixed-token"), "{requests:?}");
        pipeline
    };
    assert_eq!(
        found(r#"{"data":{"id":"p","active":true,"draft":false,"configuration":{"id":"c","developer_mode":true}}}"#).await,
        Ok(Pipeline { active: Some(true), draft: Some(false), developer_mode: Some(true) })
    );
    assert_eq!(found(r#"{"id":"p","configuration":"c"}"#).await, Ok(Pipeline::default()));
    assert!(matches!(found(r#"{"data":{"id":"q","active":true}}"#).await, Err(Error::Malformed { .. })));
    assert!(matches!(found("<html>").await, Err(Error::Malformed { .. })));
    for (status, error) in [(400, Error::NotFound), (404, Error::NotFound), (403, Error::Forbidden), (401, Error::Unauthorized)] {
        let server = Server::start(move |_| json(status, "{}")).await;
        assert_eq!(client(&server).pipeline(&p()).await, Err(error));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_address_without_the_api_is_said_by_the_fields_of_the_account() {
    for status in [301, 404, 405, 410] {
        let server = Server::start(move |_| json(status, "{}")).await;
        let no_token = with_settings(&server.origin, license(), settings()).prove().await.unwrap_err().to_string();
        assert!(no_token.contains("spec.baseUrl and spec.licenseKey.tokenPath"), "{no_token}");
        let no_list = with_settings(&server.origin, fixed(), settings()).prove().await.unwrap_err().to_string();
        assert!(no_list.contains("check spec.baseUrl of the account"), "{no_list}");
        let outcome = trigger(&with_settings(&server.origin, license(), settings())).await;
        assert!(matches!(outcome, Outcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Account), .. }), "{outcome:?}");
        assert_eq!(server.count(CREATE), 0);
    }
}

#[tokio::test]
async fn our_token_never_comes_back_out() {
    let server = Server::start(|_| {
        json(200, r#"{"id":"e1","pipeline":"p","status":"FAILED","error":{"type":"X","message":"token FIXED-TOKEN is bad"}}"#)
    })
    .await;
    let read = client(&server).read(&e("e1")).await.unwrap();
    assert_eq!(read.error.unwrap().message.as_deref(), Some("token [redacted] is bad"));
}

#[tokio::test]
async fn every_request_is_observed_once() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = with_tokens(|request| if request.starts_with("GET") { json(200, "[]") } else { Answer::Hang }).await;
    let observer = Arc::new(move |operation: Operation, code: Code, _| log.lock().unwrap().push((operation.as_str(), code.label())));
    let client = with_settings(&server.origin, license(), Settings { observer: Some(observer), ..settings() });
    client.prove().await.unwrap();
    trigger(&client).await;
    assert_eq!(*seen.lock().unwrap(), [("token", "200".into()), ("list", "200".into()), ("create", "timeout".into())]);
    let _ = tokio::time::timeout(Duration::from_millis(100), trigger(&client)).await;
    assert_eq!(seen.lock().unwrap().last(), Some(&("create", "cancelled".into())));
}

#[tokio::test]
async fn requests_are_counted_by_what_came_back() {
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
        let _ = client.list_page(&ListQuery::default(), 0).await;
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
    let _ = client.read(&e("e1")).await;
    assert!(metrics.encode().contains(r#"{operation="token",code="connect"} 1"#), "{}", metrics.encode());
}

/// A list server: `total` executions, of which every second one belongs to another pipeline.
fn list_server(total: usize, limit: Option<usize>, offsets: bool, echo: bool) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    move |request| {
        let number = |name: &str| -> usize {
            let value = request.split(&format!("pagination%5B{name}%5D=")).nth(1).unwrap();
            value.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
        };
        let from = if offsets { number("offset") } else { 0 };
        let size = limit.unwrap_or_else(|| number("limit"));
        let items: Vec<_> = (from..total.min(from.saturating_add(size)))
            .map(|i| format!(r#"{{"id":"e{i}","status":"PROCESSING","pipeline":"{}"}}"#, if i % 2 == 0 { "p" } else { "q" }))
            .collect();
        let echo = if echo { format!(r#","pagination":{{"limit":{},"total":0}}"#, number("limit")) } else { String::new() };
        json(200, &format!(r#"{{"data":[{}]{echo}}}"#, items.join(",")))
    }
}

/// A list of at most ten pages, and for how many of them leave was asked.
async fn listing(client: &Client, query: &ListQuery) -> (Listing, usize) {
    let asked = AtomicUsize::new(0);
    let admit = |page| {
        assert_eq!(asked.fetch_add(1, Ordering::SeqCst), page);
        ready(Ok(())).boxed()
    };
    let listing = client.list(query, 10, &admit).await.unwrap();
    (listing, asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_list_ends_where_leave_is_refused() {
    let server = Server::start(list_server(5_000, None, true, true)).await;
    let admit = |page| ready(if page < 3 { Ok(()) } else { Err(Error::Stopping) }).boxed();
    assert_eq!(client(&server).list(&ListQuery::default(), 10, &admit).await, Err(Error::Stopping));
    assert_eq!(server.requests().len(), 3);
}

fn session(client: Client, requests_per_second: u32, shutdown: Shutdown) -> Session {
    let (rejected, _) = tokio::sync::mpsc::channel(1);
    session_telling(client, requests_per_second, rejected, shutdown)
}

fn session_telling(client: Client, requests_per_second: u32, rejected: Rejected, shutdown: Shutdown) -> Session {
    let settings = SessionSettings {
        requests_per_second,
        poll_period: Duration::from_secs(1),
        identity: None,
        breaker: Arc::default(),
        rejected,
        waited: Box::new(|_| {}),
    };
    Session::new(client, settings, shutdown)
}

#[tokio::test]
async fn a_paused_account_is_not_waited_for() {
    let server = Server::start(|_| raw("HTTP/1.1 429 X\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n")).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 5, shutdown);
    assert!(matches!(session.sighting(&p()).await, Err(Error::RateLimited { .. })));
    for _ in 0..3 {
        let Err(Error::Paused(pause)) = session.sighting(&p()).await else { panic!("not paused") };
        assert_eq!(pause.reason, PauseReason::RateLimited);
        assert!(pause.left > Duration::from_secs(590), "{pause}");
        assert!(matches!(session.read(&e("e1")).await, Err(Error::Paused(_))));
        assert!(matches!(session.prepare(tokio::time::Instant::now()).await, Err(Error::Paused(_))));
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_account_pauses_for_what_kept_a_post_from_being_carried_out() {
    let limited = raw("HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    let server = Server::start(move |request| if request.starts_with("POST") { limited.clone() } else { json(401, "{}") }).await;
    let refusing = Server::start(|_| json(401, "{}")).await;
    for (origin, reason, seconds) in [
        (server.origin.clone(), PauseReason::RateLimited, 7),
        (closed_port().await, PauseReason::Unavailable, 5),
        (refusing.origin.clone(), PauseReason::Account, 60),
    ] {
        let (_stop, shutdown) = shutdown::channel();
        let session = session(with_settings(&origin, fixed(), settings()), 5, shutdown);
        session.create(&p(), &Nonce::new("nonce-1").unwrap()).await;
        let pause = session.paused().unwrap();
        assert_eq!((pause.reason, pause.left.as_secs_f64().ceil()), (reason, f64::from(seconds)), "{origin}");
    }
}

#[tokio::test]
async fn every_new_rejection_is_told_once() {
    let accepted = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&accepted);
    let server = Server::start(move |_| {
        if now.load(Ordering::SeqCst) { json(200, r#"{"data":{"id":"e1","status":"PROCESSING"}}"#) } else { json(401, "{}") }
    })
    .await;
    let (_stop, shutdown) = shutdown::channel();
    let (rejected, mut told) = tokio::sync::mpsc::channel(1);
    let session = session_telling(client(&server), 100, rejected, shutdown);
    for _ in 0..2 {
        accepted.store(false, Ordering::SeqCst);
        assert_eq!(session.read(&e("e1")).await, Err(Error::Unauthorized));
        assert_eq!(session.read(&e("e1")).await, Err(Error::Unauthorized));
        assert_eq!((told.try_recv(), told.try_recv().is_err()), (Ok(()), true));
        accepted.store(true, Ordering::SeqCst);
        assert!(session.read(&e("e1")).await.is_ok());
    }
}

#[tokio::test]
async fn a_wait_for_the_budget_ends_with_the_shutdown() {
    let server = Server::start(|_| json(200, r#"{"data":{"id":"e1","status":"PROCESSING"}}"#)).await;
    let (stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 1, shutdown);
    let read = async || session.read(&e("e1")).await;
    // The second token is there after a second, the third after two.
    let (first, second, third, ()) = tokio::join!(read(), read(), read(), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.stop();
    });
    assert!(first.is_ok(), "{first:?}");
    assert_eq!((second, third, server.requests().len()), (Err(Error::Stopping), Err(Error::Stopping), 1));
}

#[tokio::test]
async fn lists_end_on_servers_that_ignore_parameters() {
    // (what the server does, thorough) -> (items, complete, requests)
    let everything = Some(usize::MAX);
    for (what, total, limit, offsets, echo, thorough, expected) in [
        ("honest", 250, None, true, true, false, (125, true, 3)),
        ("honest, one short page", 40, None, true, true, false, (20, true, 1)),
        ("honest, thorough", 40, None, true, true, true, (20, true, 2)),
        ("honest, exact pages", 200, None, true, true, false, (100, true, 3)),
        ("empty", 0, None, true, true, true, (0, true, 1)),
        ("a smaller page, not said", 120, Some(50), true, false, false, (60, true, 3)),
        ("a smaller page, denied, thorough", 120, Some(50), true, true, true, (60, true, 3)),
        ("no offset", 300, None, false, true, false, (50, false, 2)),
        ("no limit and no offset", 250, everything, false, false, false, (125, false, 2)),
        ("too many pages", 5_000, None, true, true, false, (500, false, 10)),
    ] {
        let server = Server::start(list_server(total, limit, offsets, echo)).await;
        let query = ListQuery { pipeline: Some(p()), thorough, ..ListQuery::default() };
        let (listing, asked) = listing(&client(&server), &query).await;
        assert_eq!((listing.items.len(), listing.complete, server.requests().len()), expected, "{what}");
        assert_eq!(asked, expected.2, "{what}: each page is asked for");
        assert!(listing.items.iter().all(|i| i.pipeline.as_deref() == Some("p")), "{what}");
        assert!(server.requests()[0].contains("filters%5Bpipeline%5D=p&sort%5Bcreated_at%5D=asc&pagination%5Blimit%5D=100"), "{what}");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_makes_a_list_incomplete() {
    let body = r#"{"data":[{"id":"a","status":"PROCESSING","pipeline":"p"},{"id":"b"},{"id":"c","status":"FAILED","pipeline":"p"}],
        "pagination":{"limit":100}}"#;
    let server = Server::start(move |_| json(200, body)).await;
    let query = ListQuery { pipeline: Some(p()), status: Some(ExecutionStatus::Processing), ..ListQuery::default() };
    let (listing, _) = listing(&client(&server), &query).await;
    assert_eq!((listing.items.len(), listing.complete), (1, false));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_alone_and_one_get_finds_out_when_it_is_back() {
    let well = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&well);
    let server = Server::start(move |request| {
        if !now.load(Ordering::SeqCst) {
            return json(502, "{}");
        }
        json(
            200,
            if request.starts_with("POST") {
                r#"{"data":[{"id":"e1","pipeline":"p","status":"PROCESSING"}]}"#
            } else {
                r#"{"data":{"id":"e1","status":"PROCESSING"}}"#
            },
        )
    })
    .await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 100, shutdown);
    let nonce = Nonce::new("nonce-1").unwrap();
    for _ in 0..5 {
        assert!(matches!(session.read(&e("e1")).await, Err(Error::Server { .. })));
    }
    assert!(session.paused().is_some_and(|pause| pause.reason == PauseReason::Unavailable));
    for _ in 0..5 {
        assert!(matches!(session.read(&e("e1")).await, Err(Error::Paused(_))));
    }
    let not_sent = |outcome| matches!(outcome, Outcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Unavailable), .. });
    assert!(not_sent(session.create(&p(), &nonce).await));
    assert_eq!(server.requests().len(), 5, "nothing was sent meanwhile");
    well.store(true, Ordering::SeqCst);
    tokio::time::sleep(session.paused().unwrap().left).await;
    assert!(not_sent(session.create(&p(), &nonce).await), "a POST does not find out");
    assert_eq!(server.requests().len(), 5);
    session.read(&e("e1")).await.unwrap();
    assert_eq!((session.paused(), server.requests().len()), (None, 6));
    assert!(matches!(session.create(&p(), &nonce).await, Outcome::Accepted(_)));
}

const NEWEST_FIRST: &str = r#"{"data":[
    {"id":"e2","status":"PROCESSING","pipeline":"p","created_at":"2026-01-01T10:00:02Z"},
    {"id":"e1","status":"PROCESSING","pipeline":"p","created_at":"2026-01-01T10:00:01Z"}
]}"#;

#[tokio::test]
async fn one_look_serves_all_triggers_that_wait_for_one_also_when_it_fails() {
    let well = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&well);
    let server = Server::start(move |_| json(if now.load(Ordering::SeqCst) { 200 } else { 500 }, NEWEST_FIRST)).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 100, shutdown);
    let look = async || {
        let after = tokio::time::Instant::now();
        futures::future::join_all((0..20).map(|_| session.prepare(after))).await
    };
    assert!(look().await.iter().all(|result| matches!(result, Err(Error::Server { .. }))));
    assert_eq!(server.requests().len(), 1, "a failure is shared");
    well.store(true, Ordering::SeqCst);
    assert!(look().await.iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 2);
    look().await.into_iter().for_each(|result| drop(result.unwrap()));
    assert_eq!(server.requests().len(), 3, "a later one needs a later look");
}

#[tokio::test]
async fn while_the_budget_is_tight_triggers_share_their_looks() {
    let server = Server::start(|_| json(200, NEWEST_FIRST)).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 50, shutdown);
    let trigger = async || session.prepare(tokio::time::Instant::now()).await.unwrap();
    futures::future::join_all((0..200).map(|_| trigger())).await;
    let looks = server.requests().len();
    assert!(looks <= 40, "{looks} looks for 200 triggers");
}

#[tokio::test]
async fn a_503_to_a_post_leaves_the_outcome_open_and_pauses_the_account_for_as_long_as_it_says() {
    let server = Server::start(|_| raw("HTTP/1.1 503 X\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 100, shutdown);
    assert!(matches!(session.create(&p(), &Nonce::new("nonce-1").unwrap()).await, Outcome::Unknown { .. }));
    let pause = session.paused().unwrap();
    assert_eq!((pause.reason, pause.left.as_secs_f64().ceil()), (PauseReason::Unavailable, 60.0));
    assert!(matches!(session.prepare(tokio::time::Instant::now()).await, Err(Error::Paused(_))));
}
