//! How far the clock of this process is from that of the API server, whose every answer carries the time.

use std::sync::Arc;

use http::{HeaderMap, Response, header::DATE};
use k8s_openapi::jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

use crate::{clock::Clock, telemetry::Metrics};

/// Notes for each answer of the API server how far the clock of this process is ahead. The answer stays as it is.
pub fn compare_clocks<B>(clock: Clock, metrics: Arc<Metrics>) -> impl Fn(Response<B>) -> Response<B> + Clone {
    move |answer| {
        if let Some(seconds) = ahead(answer.headers(), clock()) {
            metrics.clock_skew(seconds);
        }
        answer
    }
}

/// The seconds that `now` is ahead of the time of an answer, which is exact to a second. None if the answer does not name it.
fn ahead(headers: &HeaderMap, now: Timestamp) -> Option<f64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(now.duration_since(date).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:01:30.25Z".parse().unwrap()
    }

    fn answer(date: Option<&str>) -> Response<()> {
        let mut answer = Response::builder();
        if let Some(date) = date {
            answer = answer.header(DATE, date);
        }
        answer.body(()).unwrap()
    }

    #[test]
    fn clock_is_compared_with_the_date_of_an_answer() {
        let of = |date| ahead(answer(date).headers(), now());
        assert_eq!(of(Some("Thu, 01 Jan 2026 00:01:30 GMT")), Some(0.25));
        assert_eq!(of(Some("Thu, 01 Jan 2026 00:00:00 GMT")), Some(90.25));
        assert_eq!(of(Some("Thu, 01 Jan 2026 01:01:30 GMT")), Some(-3599.75));
        assert_eq!(of(Some("yesterday")), None);
        assert_eq!(of(None), None);
    }

    #[test]
    fn answer_without_a_date_leaves_the_metric() {
        let metrics = Metrics::new();
        let compare = compare_clocks(now, metrics.clone());
        compare(answer(Some("Thu, 01 Jan 2026 00:00:00 GMT")));
        assert_eq!(compare(answer(None)).headers().len(), 0);
        assert!(metrics.encode().contains("nuvo_operator_clock_skew_seconds 90.25\n"), "{}", metrics.encode());
    }
}
