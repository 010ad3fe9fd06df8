//! The clock of this process, checked against that of the API server, whose every answer carries the time.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    task,
    time::Duration,
};

use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use http::{HeaderMap, Response, header::DATE};
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use parking_lot::Mutex;
use tower::{Layer, Service, layer::layer_fn};

use crate::{clock::Clock, telemetry::Metrics};

/// Clocks differ by a second or two.
pub const TOLERANCE: Duration = Duration::from_secs(60);
/// Stands for a difference that is not known yet.
const UNKNOWN: i64 = i64::MIN;
/// By the time of the API server slots of schedules are decided, unless its clock and the own one are further apart.
const APART: SignedDuration = SignedDuration::from_secs(30);
/// So many answers are compared for that.
pub const COMPARED: usize = 3;

/// A clock that is never more than a minute ahead of that of the API server: with one that is an hour ahead, runs would end and objects would
/// be deleted early. One that is behind is left alone, because it only makes things late.
pub struct CheckedClock {
    own: Clock,
    metrics: Arc<Metrics>,
    /// How far the own clock was ahead when the API server answered last, in milliseconds, or [`UNKNOWN`].
    ahead: AtomicI64,
    /// How far the own clock was ahead of the newest answers when they were there: no less than it is, by what they took to come and the rest
    /// of the second, which they do not name.
    answers: Mutex<VecDeque<SignedDuration>>,
    has_date: AtomicBool,
}

impl CheckedClock {
    /// A clock that has not been compared yet.
    #[must_use]
    pub fn new(own: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { own, metrics, ahead: AtomicI64::new(UNKNOWN), answers: Mutex::default(), has_date: AtomicBool::new(true) })
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.own)();
        match self.ahead() {
            Some(ahead) if ahead > tolerance() => now.checked_sub(ahead).unwrap_or(now),
            _ => now,
        }
    }

    /// The time of day by the clock of the API server, as its newest answers tell it; by the own one if they do not. It is never ahead, however
    /// long an answer took.
    #[must_use]
    pub fn of_api_server(&self) -> Timestamp {
        let now = (self.own)();
        let ahead = self.answers.lock().iter().min().copied();
        ahead.and_then(|ahead| now.checked_sub(ahead).ok()).unwrap_or(now)
    }

    /// Why no slot of a schedule is to be decided by the clock; none if it is right.
    #[must_use]
    pub fn doubt(&self) -> Option<&'static str> {
        let furthest = self.answers.lock().iter().max_by_key(|apart| apart.abs()).copied()?;
        let is_ahead = furthest > SignedDuration::ZERO;
        (furthest.abs() > APART).then_some(if is_ahead {
            "The clock of the operator is more than 30 s ahead of that of the API server."
        } else {
            "The clock of the operator is more than 30 s behind that of the API server."
        })
    }

    /// How long ago an API server noted this time. None unless both clocks agree.
    #[must_use]
    pub fn age(&self, noted: Timestamp) -> Option<Duration> {
        let ahead = self.ahead().filter(|ahead| ahead.abs() <= tolerance())?;
        let age = (self.own)().duration_since(noted).saturating_sub(ahead.max(SignedDuration::ZERO));
        Some(Duration::try_from(age).unwrap_or_default())
    }

    /// Whether the two clocks differ by more than clocks do.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.ahead().is_some_and(|ahead| ahead.abs() > tolerance())
    }

    fn ahead(&self) -> Option<SignedDuration> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != UNKNOWN).then(|| SignedDuration::from_millis(ahead))
    }

    /// Compares it with the time of an answer of the API server. `sent` is when the request was sent, by the own clock: no later than the time
    /// of the answer, however late that is read. So a process that was stopped in the meantime does not take its clock for one that is ahead.
    fn compare(&self, answer: &HeaderMap, sent: Timestamp) {
        let received = ahead(answer, (self.own)());
        if received.is_none() && self.has_date.swap(false, Ordering::Relaxed) {
            tracing::warn!("the API server does not tell its time: slots of schedules are decided by the clock of this process");
        }
        if let (Some(ahead), Some(received)) = (ahead(answer, sent), received) {
            let mut answers = self.answers.lock();
            answers.truncate(COMPARED.saturating_sub(1));
            answers.push_front(received);
            drop(answers);
            self.metrics.clock_skew(ahead.as_secs_f64());
            let ahead = i64::try_from(ahead.as_millis()).unwrap_or_default();
            if SignedDuration::from_millis(self.ahead.swap(ahead, Ordering::Relaxed)) <= tolerance()
                && SignedDuration::from_millis(ahead) > tolerance()
            {
                tracing::warn!(
                    seconds = ahead / 1_000,
                    "the clock of this process is ahead of that of the API server, whose time is used instead"
                );
            }
        }
    }
}

fn tolerance() -> SignedDuration {
    SignedDuration::try_from(TOLERANCE).unwrap_or_default()
}

/// How far `sent` is ahead of the time of an answer, which is exact to a second. None if the answer does not name it.
fn ahead(answer: &HeaderMap, sent: Timestamp) -> Option<SignedDuration> {
    let date = answer.get(DATE)?.to_str().ok()?;
    let date = DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(sent.duration_since(date))
}

/// A client of the API server that compares the clock with each answer.
pub struct Compared<S> {
    inner: S,
    clock: Arc<CheckedClock>,
}

/// Makes a [`Compared`] of a client.
pub fn comparing<S>(clock: &Arc<CheckedClock>) -> impl Layer<S, Service = Compared<S>> + use<S> {
    let clock = clock.clone();
    layer_fn(move |inner| Compared { inner, clock: clock.clone() })
}

impl<R, B, S> Service<R> for Compared<S>
where
    S: Service<R, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (clock, sent) = (self.clock.clone(), (self.clock.own)());
        self.inner.call(request).inspect_ok(move |answer| clock.compare(answer.headers(), sent)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:01:30.25Z".parse().unwrap()
    }

    fn answer(date: Option<&str>) -> HeaderMap {
        date.map(|date| (DATE, date.parse().unwrap())).into_iter().collect()
    }

    #[test]
    fn clock_is_compared_with_the_date_of_an_answer() {
        let of = |date| ahead(&answer(date), now()).map(|ahead| ahead.as_secs_f64());
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
        clock.compare(&answer(Some("Thu, 01 Jan 2026 00:00:00 GMT")), now());
        clock.compare(&answer(None), now());
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
            clock.compare(&answer(Some(date)), now());
            assert_eq!(clock.now().to_string(), then, "{date}");
        }
    }

    #[test]
    fn age_is_told_only_while_the_clocks_agree() {
        let clock = CheckedClock::new(now, Metrics::new());
        let noted = "2026-01-01T00:00:30Z".parse().unwrap();
        assert_eq!(clock.age(noted), None, "they were not compared yet");
        for (date, age) in [
            ("Thu, 01 Jan 2026 00:01:30 GMT", Some(60.0)),
            // The earlier time of both.
            ("Thu, 01 Jan 2026 00:01:00 GMT", Some(30.0)),
            ("Thu, 01 Jan 2026 00:00:31 GMT", Some(1.0)),
            ("Thu, 01 Jan 2026 00:00:30 GMT", None),
            ("Thu, 01 Jan 2026 00:02:00 GMT", Some(60.25)),
            ("Thu, 01 Jan 2026 00:02:31 GMT", None),
        ] {
            clock.compare(&answer(Some(date)), now());
            assert_eq!(clock.age(noted).map(|age| age.as_secs_f64()), age, "{date}");
        }
        clock.compare(&answer(Some("Thu, 01 Jan 2026 00:01:30 GMT")), now());
        assert_eq!(clock.age("2026-01-01T09:00:00Z".parse().unwrap()), Some(Duration::ZERO), "the future");
    }

    #[test]
    fn time_of_the_api_server_is_told_by_its_answers_and_in_doubt_if_it_is_far_from_the_own_one() {
        let clock = CheckedClock::new(now, Metrics::new());
        assert_eq!((clock.of_api_server(), clock.doubt()), (now(), None), "the own clock, without an answer");
        clock.compare(&answer(Some("Thu, 01 Jan 2026 00:01:20 GMT")), now());
        assert_eq!((clock.of_api_server().to_string().as_str(), clock.doubt()), ("2026-01-01T00:01:20Z", None));
        for (date, says) in [("00:00:59", "ahead"), ("00:02:05", "behind"), ("00:01:01", "behind")] {
            clock.compare(&answer(Some(&format!("Thu, 01 Jan 2026 {date} GMT"))), now());
            assert!(clock.doubt().is_some_and(|why| why.contains(says)), "{date}: {:?}", clock.doubt());
        }
        for _ in 0..COMPARED {
            clock.compare(&answer(Some("Thu, 01 Jan 2026 00:01:30 GMT")), now());
        }
        assert_eq!(clock.doubt(), None);
    }

    /// An API server takes its time for an answer, or the own clock is stepped while a request is out: the slots of that time are not due yet.
    #[test]
    fn slow_answer_does_not_put_the_time_of_the_api_server_ahead() {
        for seconds in [9, 3_600] {
            let clock = CheckedClock::new(now, Metrics::new());
            clock.compare(&answer(Some("Thu, 01 Jan 2026 00:01:30 GMT")), now() - SignedDuration::from_secs(seconds));
            assert_eq!((clock.of_api_server().to_string().as_str(), clock.doubt()), ("2026-01-01T00:01:30Z", None), "{seconds} s");
        }
    }

    /// The process was stopped for ten minutes in between.
    #[tokio::test]
    async fn answer_that_is_read_late_leaves_the_clock() {
        static READ_LATE: AtomicI64 = AtomicI64::new(0);
        let own: Clock = || now() + SignedDuration::from_secs(READ_LATE.load(Ordering::Relaxed));
        let metrics = Metrics::new();
        let clock = CheckedClock::new(own, metrics.clone());
        let server = tower::service_fn(|()| {
            READ_LATE.store(600, Ordering::Relaxed);
            std::future::ready(Ok::<_, std::convert::Infallible>(
                Response::builder().header(DATE, "Thu, 01 Jan 2026 00:01:30 GMT").body(()).unwrap(),
            ))
        });
        let mut client = comparing(&clock).layer(server);
        client.call(()).await.unwrap();
        assert!(metrics.encode().contains("nuvo_operator_clock_skew_seconds 0.25\n"), "{}", metrics.encode());
        assert_eq!(clock.now(), own());
    }
}
