//! The POST: what is sent, how often, and what each answer or silence means.

use nuvo_client::Error;
use nuvo_core::run::{Obstacle, PostOutcome, Unexecuted};

use crate::{
    CREATE, client, e, fixed,
    server::{Answer, Server, closed_port, json, raw},
    settings, trigger, with_settings,
};

/// One trigger against a server that always does the same: the outcome, and the number of POSTs.
async fn triggered(answer: Answer) -> (PostOutcome, usize) {
    let server = Server::start(move |_| answer.clone()).await;
    let outcome = trigger(&client(&server)).await;
    (outcome, server.count(CREATE))
}

#[tokio::test]
async fn post_carries_request_id_token_and_pipeline() {
    let server = Server::start(|_| json(200, r#"{"data":[{"id":"e1","pipeline":"p"}]}"#)).await;
    assert_eq!(trigger(&client(&server)).await, PostOutcome::Accepted(vec![e("e1")]));
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
async fn failed_connection_is_not_executed() {
    // Refused; a name that does not exist; no TLS on the other side.
    let plain = Server::start(|_| Answer::Close).await;
    for origin in [closed_port().await, "http://does-not-exist.invalid".to_owned(), plain.origin.replace("http", "https")] {
        let outcome = trigger(&with_settings(&origin, fixed(), settings())).await;
        assert!(
            matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Unavailable), .. }),
            "{origin}: {outcome:?}"
        );
    }
}

/// Whatever silence follows the request: it may have been carried out.
#[tokio::test]
async fn missing_answer_is_unknown_and_not_repeated() {
    for answer in [
        Answer::Close,
        Answer::Hang,
        raw("HTTP/1.1 200 OK\r\nContent-"),
        raw("not http at all\r\n\r\n"),
        raw("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
        raw("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        raw("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"),
        raw("HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n"),
        raw("HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
        raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let shown = format!("{answer:?}");
        let (outcome, posts) = triggered(answer).await;
        assert!(matches!(outcome, PostOutcome::Unknown { .. }), "{shown}: {outcome:?}");
        assert_eq!(posts, 1, "{shown}");
    }
}

#[tokio::test]
async fn success_without_ids_is_executed() {
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
        assert!(matches!(outcome, PostOutcome::ExecutedIdsUnknown { .. }), "{shown}: {outcome:?}");
        assert_eq!(posts, 1, "{shown}");
    }
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let other = Server::start(|_| json(200, r#"{"data":[{"id":"e1","pipeline":"p"}]}"#)).await;
    let location = other.origin.clone();
    for status in [301, 302, 303, 307, 308] {
        let answer = raw(&format!("HTTP/1.1 {status} X\r\nLocation: {location}/api/execution/\r\nContent-Length: 0\r\n\r\n"));
        let (outcome, posts) = triggered(answer.clone()).await;
        assert!(matches!(outcome, PostOutcome::Unknown { .. }), "{outcome:?}");
        assert_eq!(posts, 1);
        let server = Server::start(move |_| answer.clone()).await;
        assert_eq!(client(&server).read(&e("e1")).await.result, Err(Error::Rejected { status }));
    }
    assert_eq!(other.requests().len(), 0);
}
