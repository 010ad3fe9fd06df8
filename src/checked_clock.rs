//! The clock of this process, checked against that of the API server, whose every answer carries the time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use http::{HeaderMap, Response, header::DATE};
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};

use crate::{clock::Clock, telemetry::Metrics};

/// Clocks differ by a second or two, and an answer may be read late.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// A clock that is never more than a minute ahead of that of the API server: with one that is an hour ahead, runs would end and objects would
/// be deleted early. One that is behind is left alone, because it only makes things late.
pub struct CheckedClock {
    own: Clock,
    metrics: Arc<Metrics>,
    /// How far the own clock was ahead when the API server answered last, in milliseconds.
    ahead: AtomicI64,
}

impl CheckedClock {
    /// A clock that has not been compared yet.
    #[must_use]
    pub fn new(own: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { own, metrics, ahead: AtomicI64::new(0) })
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.own)();
        let ahead = SignedDuration::from_millis(self.ahead.load(Ordering::Relaxed));
        if ahead > TOLERANCE { now.checked_sub(ahead).unwrap_or(now) } else { now }
    }

    /// Compares it with the time of an answer of the API server. The answer stays as it is.
    pub fn compare<B>(&self, answer: Response<B>) -> Response<B> {
        if let Some(ahead) = ahead(answer.headers(), (self.own)()) {
            self.metrics.clock_skew(ahead.as_secs_f64());
            let ahead = i64::try_from(ahead.as_millis()).unwrap_or_default();
            if SignedDuration::from_millis(self.ahead.swap(ahead, Ordering::Relaxed)) <= TOLERANCE
                && SignedDuration::from_millis(ahead) > TOLERANCE
            {
                tracing::warn!(
                    seconds = ahead / 1_000,
                    "the clock of this process is ahead of that of the API server, whose time is used instead"
                );
            }
        }
        answer
    }
}

/// How far `now` is ahead of the time of an answer, which is exact to a second. None if the answer does not name it.
fn ahead(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(now.duration_since(date))
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
        let of = |date| ahead(answer(date).headers(), now()).map(|ahead| ahead.as_secs_f64());
        assert_eq!(of(Some("Thu, 01 Jan 2026 00:01:30 GMT")), Some(0.25));
        assert_eq!(of(Some("Thu, 01 Jan 2026 00:00:00 GMT")), Some(90.25));
        assert_eq!(of(Some("Thu, 01 Jan 2026 01:01:30 GMT")), Some(-3599.75));
        assert_eq!(of(Some("yesterday")), None);
        assert_eq!(of(None), None);
    }

    #[test]
    fn answer_without_a_date_changes_nothing() {
        let metrics = Metrics::new();
        let clock = CheckedClock::new(now, metrics.clone());
        clock.compare(answer(Some("Thu, 01 Jan 2026 00:00:00 GMT")));
        assert_eq!(clock.compare(answer(None)).headers().len(), 0);
        assert!(metrics.encode().contains("nuvo_operator_clock_skew_seconds 90.25\n"), "{}", metrics.encode());
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn clock_that_is_ahead_is_corrected_until_it_is_right() {
        let clock = CheckedClock::new(now, Metrics::new());
        assert_eq!(clock.now(), now());
        for (date, then) in [
            ("Thu, 01 Jan 2026 00:00:31 GMT", "2026-01-01T00:01:30.25Z"),
            ("Wed, 31 Dec 2025 23:00:00 GMT", "2025-12-31T23:00:00Z"),
            ("Thu, 01 Jan 2026 00:01:30 GMT", "2026-01-01T00:01:30.25Z"),
            // Behind.
            ("Thu, 01 Jan 2026 09:00:00 GMT", "2026-01-01T00:01:30.25Z"),
        ] {
            clock.compare(answer(Some(date)));
            assert_eq!(clock.now().to_string(), then, "{date}");
        }
    }
}
