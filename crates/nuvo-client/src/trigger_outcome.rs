//! What is known after the one POST of an attempt: the table of the trigger protocol as a pure function.

use std::time::Duration;

use http::HeaderMap;

use super::decode;
use super::error::Error;
use super::redact::Redactor;
use super::unreachable::Unreachable;
use nuvo_core::run::{Obstacle, PipelineId, PostOutcome, Unexecuted};

/// The most executions one POST may report.
pub const MAX_EXECUTIONS: usize = 1_000;
/// The wait after a failure before anything was sent.
const UNSENT_WAIT: Duration = Duration::from_secs(5);
/// The wait after a 429 without `Retry-After`.
const RATE_LIMITED_WAIT: Duration = Duration::from_secs(30);
/// The wait after rejected credentials.
const CREDENTIALS_WAIT: Duration = Duration::from_secs(60);

/// Why the body of an answer is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// The connection broke.
    Broken,
    /// Not within the time.
    Timeout,
    /// Larger than its cap.
    TooLarge,
}

/// Classifies the answer to a POST. A 401 is classified as final here: renewing the token is the caller's part.
#[must_use]
pub fn classify(
    status: u16,
    headers: &HeaderMap,
    body: Result<&[u8], BodyFault>,
    pipeline: &PipelineId,
    redactor: &Redactor,
) -> PostOutcome {
    match status {
        200..=299 => accepted(status, body, pipeline, redactor),
        401 => credentials_rejected(),
        429 => {
            let pause = decode::retry_after(headers).unwrap_or(RATE_LIMITED_WAIT);
            not_executed(pause, Obstacle::RateLimited, "nuvo limits the rate of requests (status 429)".to_owned())
        }
        300..=499 => refused(status, body, redactor),
        _ => unclear(status, body),
    }
}

/// Whether a refusal is nuvo's, or one with which nothing can have been carried out.
fn refused(status: u16, body: Result<&[u8], BodyFault>, redactor: &Redactor) -> PostOutcome {
    let said = body.ok().and_then(|body| decode::explanation(body, redactor));
    match (status, said) {
        (300..=399 | 400 | 403 | 404 | 405 | 413 | 415 | 422, Some(said)) => {
            rejected(format!("nuvo refused the trigger with status {status}: {said}"))
        }
        // About the request itself: no filter puts these in the place of an answer.
        (400 | 413 | 415 | 422, None) => rejected(format!("nuvo refused the trigger with status {status}")),
        _ => unclear(status, body),
    }
}

/// A gateway may have answered, or have put a page of its own in the place of nuvo's answer.
fn unclear(status: u16, body: Result<&[u8], BodyFault>) -> PostOutcome {
    let who = if body.is_ok_and(decode::is_of_nuvo) { "nuvo" } else { "a gateway in front of nuvo" };
    unknown(format!("{who} answered the trigger with status {status}, which does not show whether it was carried out"))
}

fn accepted(status: u16, body: Result<&[u8], BodyFault>, pipeline: &PipelineId, redactor: &Redactor) -> PostOutcome {
    let reason = match body {
        Ok(body) => match decode::created(body, pipeline, MAX_EXECUTIONS, redactor) {
            Ok(ids) => return PostOutcome::Accepted(ids),
            Err(reason) => reason,
        },
        Err(BodyFault::Broken) => "the connection broke before it was complete",
        Err(BodyFault::Timeout) => "it was not complete in time",
        Err(BodyFault::TooLarge) => "it is too large",
    };
    PostOutcome::ExecutedIdsUnknown {
        message: format!("nuvo accepted the trigger (status {status}), but the answer does not show the executions: {reason}"),
    }
}

fn not_executed(pause: Duration, obstacle: Obstacle, message: String) -> PostOutcome {
    let pause = pause.clamp(Duration::from_secs(1), Duration::from_secs(900));
    PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(pause, obstacle), message }
}

/// Nothing was sent, because nuvo was not available in time. The reason is a fixed text.
pub(crate) fn not_sent(reason: &str) -> PostOutcome {
    not_executed(UNSENT_WAIT, Obstacle::Unavailable, format!("the trigger was not sent: {reason}"))
}

/// Nothing was carried out, because the TLS handshake was not completed. With TLS 1.3 the request may have been sent by then.
pub(crate) fn certificate_refused() -> PostOutcome {
    let message = format!("the trigger was not carried out: {}", Error::Unreachable(Unreachable::ClientCertificate));
    not_executed(UNSENT_WAIT, Obstacle::Unavailable, message)
}

/// Nothing was sent, because the circuit breaker stays open for this long.
#[must_use]
pub fn circuit_open(left: Duration) -> PostOutcome {
    not_executed(left, Obstacle::Unavailable, "the trigger was not sent: nuvo does not answer as it should".to_owned())
}

/// Nothing was sent, because there was no token to send with it.
pub(crate) fn no_token(error: &Error) -> PostOutcome {
    let message = format!("the trigger was not sent: there is no access token: {error}");
    not_executed(error.retry_after().unwrap_or(UNSENT_WAIT), error.obstacle(), message)
}

pub(crate) fn credentials_rejected() -> PostOutcome {
    not_executed(CREDENTIALS_WAIT, Obstacle::Account, "nuvo rejected the account's credentials (status 401)".to_owned())
}

pub(crate) fn unknown(message: String) -> PostOutcome {
    PostOutcome::Unknown { message }
}

fn rejected(message: String) -> PostOutcome {
    PostOutcome::NotExecuted { then: Unexecuted::Rejected, message }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn with(status: u16, body: &str) -> PostOutcome {
        let redactor = Redactor::new([SecretString::from("T0KEN")]);
        classify(status, &HeaderMap::new(), Ok(body.as_bytes()), &PipelineId::new("p").unwrap(), &redactor)
    }

    fn ids(outcome: PostOutcome) -> Vec<String> {
        match outcome {
            PostOutcome::Accepted(ids) => ids.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn success_is_accepted_only_with_every_id() {
        assert_eq!(
            ids(with(200, r#"{"data":[{"id":"a","pipeline":"p"},{"id":"b","pipeline":{"_id":"p"}},{"id":"a","pipeline":"p"}]}"#)),
            ["a", "b"]
        );
        assert_eq!(ids(with(201, r#"[{"id":"a","pipeline":"p"}]"#)), ["a"]);
        assert_eq!(ids(with(202, r#"{"data":{"id":"a","pipeline":{"id":"p"}}}"#)), ["a"]);
        assert!(ids(with(200, r#"{"data":[]}"#)).is_empty());
        let many = |n: usize| format!("[{}]", (0..n).map(|i| format!(r#"{{"id":"e{i}","pipeline":"p"}}"#)).collect::<Vec<_>>().join(","));
        assert_eq!(ids(with(200, &many(1_000))).len(), 1_000);
        for body in [
            "",
            "<html>",
            "{}",
            "null",
            "true",
            r#"{"data":null}"#,
            r#"{"data":[{"id":"a"}"#,
            r#"{"data":[{}]}"#,
            r#"{"data":["a"]}"#,
            r#"{"data":[{"id":"a","pipeline":"p"},{"id":"../x","pipeline":"p"}]}"#,
            r#"{"data":[{"id":"a"}]}"#,
            r#"{"data":[{"id":"a","pipeline":"p"},{"id":"b"}]}"#,
            r#"{"data":[{"id":"a","pipeline":null}]}"#,
            r#"{"data":[{"id":"a","pipeline":""}]}"#,
            r#"{"data":[{"id":"a","pipeline":{"name":"p"}}]}"#,
            r#"{"data":[{"id":"a","pipeline":"q"}]}"#,
            r#"{"data":[{"id":"a","pipeline":7}]}"#,
            r#"{"data":[{"id":"a","id":"b","pipeline":"p"}]}"#,
            r#"{"error":{"message":"no"}}"#,
            &many(1_001),
        ] {
            assert!(matches!(with(200, body), PostOutcome::ExecutedIdsUnknown { .. }), "{body:.60}");
        }
        for fault in [BodyFault::Broken, BodyFault::Timeout, BodyFault::TooLarge] {
            let outcome = classify(200, &HeaderMap::new(), Err(fault), &PipelineId::new("p").unwrap(), &Redactor::default());
            assert!(matches!(outcome, PostOutcome::ExecutedIdsUnknown { .. }));
        }
    }

    #[test]
    fn status_gives_its_class() {
        for status in 100..=1_000u16 {
            let outcome = with(status, "{}");
            let fits = match status {
                200..=299 => matches!(outcome, PostOutcome::ExecutedIdsUnknown { .. }),
                400 | 413 | 415 | 422 => matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::Rejected, .. }),
                401 => matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Account), .. }),
                429 => matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::RateLimited), .. }),
                _ => matches!(outcome, PostOutcome::Unknown { .. }),
            };
            assert!(fits, "{status}: {outcome:?}");
        }
    }

    /// A page that a gateway or a filter shows says nothing about a POST that may have passed it.
    #[test]
    fn refusal_that_is_not_in_nuvos_form_is_unknown() {
        let nuvos = r#"{"error":{"message":"no such pipeline","code":"NOT_FOUND"}}"#;
        for status in [301, 302, 307, 308, 403, 404, 405] {
            for page in ["", "<html><h1>Not here</h1></html>", "{}", "null", r#"{"error":"#, r#"{"data":[]}"#] {
                let PostOutcome::Unknown { message } = with(status, page) else { panic!("{status} {page}: {:?}", with(status, page)) };
                assert!(message.starts_with("a gateway in front of nuvo answered"), "{message}");
            }
            let outcome = with(status, nuvos);
            let PostOutcome::NotExecuted { then: Unexecuted::Rejected, message } = &outcome else { panic!("{status}: {outcome:?}") };
            assert!(message.ends_with("no such pipeline"), "{message}");
        }
        for (page, who) in [(nuvos, "nuvo answered"), ("<html>Bad gateway</html>", "a gateway in front of nuvo answered")] {
            let PostOutcome::Unknown { message } = with(502, page) else { panic!("{page}") };
            assert!(message.starts_with(who), "{message}");
        }
    }

    #[test]
    fn refusal_message_holds_only_the_explanation() {
        let PostOutcome::NotExecuted { message, .. } = with(422, r#"{"error":{"message":"inactive\u001b[2J T0KEN"},"secret":"body"}"#)
        else {
            panic!("another class")
        };
        assert_eq!(message, "nuvo refused the trigger with status 422: inactive [redacted]");
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "100000".parse().unwrap());
        let outcome = classify(429, &headers, Ok(b""), &PipelineId::new("p").unwrap(), &Redactor::default());
        assert!(matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(d, _), .. } if d.as_secs() == 900));
    }
}
