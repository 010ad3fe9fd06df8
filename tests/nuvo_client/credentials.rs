//! Tokens and license keys: when they are traded, renewed and given up, and that they do not come back out.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use nuvo_client::{CredentialsVerdict, Error, Exchange, ExecutionStatus, Settings};
use nuvo_core::run::{Obstacle, PostOutcome, Unexecuted};

use crate::{
    CREATE, TOKEN, client, e, license,
    server::{Answer, Server, json, raw},
    settings, trigger_exchange, with_settings, with_tokens,
};

#[tokio::test]
async fn refused_access_token_is_reported() {
    let server = Server::start(|_| json(401, "{}")).await;
    let client = client(&server);
    let Exchange { result: outcome, usage } = trigger_exchange(&client).await;
    assert!(matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Account), .. }), "{outcome:?}");
    assert_eq!((usage.credentials, usage.extra_requests), (Some(CredentialsVerdict::Rejected), 0));
    assert_eq!(server.requests().len(), 1);
    assert_eq!(client.verify_credentials().await.result, Err(Error::Unauthorized));
}

#[tokio::test]
async fn old_token_is_renewed_once_and_the_post_repeated() {
    let server = with_tokens(|request| {
        if request.contains("Bearer T1\r\n") { json(401, "{}") } else { json(200, r#"{"data":[{"id":"e1","pipeline":"p"}]}"#) }
    })
    .await;
    let renewing = with_settings(&server.origin, license(), settings());
    let Exchange { result: outcome, usage } = trigger_exchange(&renewing).await;
    assert_eq!(outcome, PostOutcome::Accepted(vec![e("e1")]));
    assert_eq!((server.count(TOKEN), server.count(CREATE)), (2, 2));
    assert_eq!((usage.credentials, usage.extra_requests), (Some(CredentialsVerdict::Accepted), 3), "two tokens and a repetition");
    let token_request = server.requests().into_iter().find(|r| r.starts_with(TOKEN)).unwrap();
    assert!(
        token_request.ends_with(r#"{"auth":{"identifier":"me@example.com","type":"USER"},"license_key":"LICENSE"}"#),
        "{token_request}"
    );

    let server = with_tokens(|_| json(401, "{}")).await;
    let refused = with_settings(&server.origin, license(), settings());
    let Exchange { result: outcome, usage } = trigger_exchange(&refused).await;
    assert!(matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Account), .. }));
    assert_eq!((server.count(TOKEN), server.count(CREATE)), (2, 2));
    assert_eq!(usage.credentials, Some(CredentialsVerdict::Rejected));
}

#[tokio::test]
async fn missing_token_sends_no_post() {
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
        let Exchange { result: PostOutcome::NotExecuted { then, message }, usage } = trigger_exchange(&client).await else {
            panic!("another class")
        };
        assert_eq!(then, Unexecuted::RetryAfter(Duration::from_secs(pause), obstacle), "{message}");
        assert_eq!((server.count(TOKEN), server.count(CREATE)), (1, 0));
        assert_eq!(usage.credentials, rejected.then_some(CredentialsVerdict::Rejected));
    }
}

#[tokio::test]
async fn concurrent_callers_share_one_token_and_one_renewal() {
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
                tokio::spawn(async move { client.read(&e("e1")).await.result })
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
async fn failed_token_request_fails_all_waiting_callers() {
    let server = Server::start(|_| Answer::After(Duration::from_millis(200), Box::new(json(503, "{}")))).await;
    let client = Arc::new(with_settings(&server.origin, license(), settings()));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.verify_credentials().await.result })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(Error::Server { status: 503, retry_after: None }));
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn token_in_an_answer_is_redacted() {
    let server = Server::start(|_| {
        json(200, r#"{"id":"e1","pipeline":"p","status":"FAILED","error":{"type":"X","message":"token FIXED-TOKEN is bad"}}"#)
    })
    .await;
    let read = client(&server).read(&e("e1")).await.result.unwrap();
    assert_eq!(read.error.unwrap().message.as_deref(), Some("token [redacted] is bad"));
}
