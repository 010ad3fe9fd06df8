//! Reads by id, and their errors.

use std::time::Duration;

use nuvo_client::{Error, Pipeline, Unreachable};
use nuvo_core::run::{Obstacle, PostOutcome, Unexecuted};

use crate::{
    CREATE, client, e, fixed, license, p,
    server::{Answer, Server, closed_port, json, raw},
    settings, trigger, with_settings,
};

#[tokio::test]
async fn read_by_answer_gives_its_error() {
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
        assert_eq!(client(&server).read(&e("e1")).await.result, Err(error));
        assert_eq!(server.requests().len(), 1);
    }
    let down = with_settings(&closed_port().await, fixed(), settings());
    assert_eq!(down.read(&e("e1")).await.result, Err(Error::Unreachable(Unreachable::Refused)));
}

#[tokio::test]
async fn pipeline_read_gives_its_flags() {
    let found = |body: &'static str| async move {
        let server = Server::start(move |_| json(200, body)).await;
        let pipeline = client(&server).pipeline(&p()).await.result;
        let requests = server.requests();
        assert!(requests.len() == 1 && requests[0].starts_with("GET /api/pipeline/p HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests[0].to_lowercase().contains("authorization: bearer fixed-token"), "{requests:?}");
        pipeline
    };
    assert_eq!(
        found(r#"{"data":{"id":"p","active":true,"draft":false,"configuration":{"id":"c","developer_mode":true}}}"#).await,
        Ok(Pipeline { active: Some(true), draft: Some(false), developer_mode: Some(true), ..Pipeline::default() })
    );
    assert_eq!(found(r#"{"id":"p","configuration":"c"}"#).await, Ok(Pipeline::default()));
    assert!(matches!(found(r#"{"data":{"id":"q","active":true}}"#).await, Err(Error::Malformed { .. })));
    assert!(matches!(found("<html>").await, Err(Error::Malformed { .. })));
    let of_nuvo = r#"{"message":"there is no such pipeline"}"#;
    for (status, body, error) in [
        (400, of_nuvo, Error::NotFound),
        (404, of_nuvo, Error::NotFound),
        // A gateway in front of nuvo knows nothing of pipelines.
        (404, "{}", Error::Rejected { status: 404 }),
        (403, "{}", Error::Forbidden),
        (401, "{}", Error::Unauthorized),
    ] {
        let server = Server::start(move |_| json(status, body)).await;
        assert_eq!(client(&server).pipeline(&p()).await.result, Err(error));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn address_without_the_api_names_the_fields_of_the_account() {
    for status in [301, 404, 405, 410] {
        let server = Server::start(move |_| json(status, "{}")).await;
        let no_token = with_settings(&server.origin, license(), settings()).verify_credentials().await.result.unwrap_err().to_string();
        assert!(no_token.contains("spec.baseUrl and spec.licenseKey.tokenPath"), "{no_token}");
        let no_list = with_settings(&server.origin, fixed(), settings()).verify_credentials().await.result.unwrap_err().to_string();
        assert!(no_list.contains("check spec.baseUrl of the account"), "{no_list}");
        let outcome = trigger(&with_settings(&server.origin, license(), settings())).await;
        assert!(matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Account), .. }), "{outcome:?}");
        assert_eq!(server.count(CREATE), 0);
    }
}
