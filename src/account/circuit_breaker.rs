//! The circuit breaker: after consecutive failures nothing is sent to a server for a while; then one GET probes whether it is available again.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use nuvo_core::backoff::Backoff;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The number of consecutive failures that open it.
const FAILURES: u32 = 5;
/// How long it stays open at first, and at most. Each failed probe doubles the time.
const OPEN: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
/// While a probe is in flight, other requests ask again after this time.
const PROBING: Duration = Duration::from_millis(500);

/// The breaker of one server.
#[derive(Debug, Default)]
pub struct CircuitBreaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Consecutive failures.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    /// The number of probes that have failed since it opened.
    failed_probes: u32,
    probing: bool,
}

/// The kind of request that is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A GET: it changes nothing, so it may be the probe.
    Probe,
    /// A POST: never sent to a server that may not answer.
    Post,
}

/// Permission for one request. If it is dropped without a result, it counts neither as a success nor as a failure.
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    probe: bool,
}

impl CircuitBreaker {
    /// The time until something may be sent again; none if that is now.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.0.lock().open.and_then(|open| wait(open, Instant::now()))
    }

    /// Permission for one request.
    ///
    /// # Errors
    /// The time after which to ask again.
    pub fn acquire(&self, kind: RequestKind) -> Result<Permit<'_>, Duration> {
        let mut state = self.0.lock();
        let Some(open) = &mut state.open else { return Ok(Permit { breaker: self, probe: false }) };
        if let Some(left) = wait(*open, Instant::now()) {
            return Err(left);
        }
        match kind {
            RequestKind::Post => Err(PROBING),
            RequestKind::Probe => {
                open.probing = true;
                Ok(Permit { breaker: self, probe: true })
            }
        }
    }
}

fn wait(open: Open, now: Instant) -> Option<Duration> {
    let left = open.until.saturating_duration_since(now);
    if open.probing { Some(left.max(PROBING)) } else { Some(left).filter(|left| !left.is_zero()) }
}

impl Permit<'_> {
    /// The server has answered, with whatever status.
    pub fn succeeded(self) {
        let mut state = self.breaker.0.lock();
        state.failures = 0;
        // A request that was sent before the breaker opened proves nothing: the server may still be going down.
        if self.probe {
            state.open = None;
        }
    }

    /// There was no answer, or an error of the server.
    pub fn failed(self) {
        let mut state = self.breaker.0.lock();
        state.failures = state.failures.saturating_add(1);
        let failed_probes = match state.open {
            Some(open) if self.probe => open.failed_probes.saturating_add(1),
            None if state.failures >= FAILURES => 0,
            _ => return,
        };
        let now = Instant::now();
        state.open = Some(Open { until: now.checked_add(OPEN.wait(failed_probes)).unwrap_or(now), failed_probes, probing: false });
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(open) = &mut self.breaker.0.lock().open
        {
            open.probing = false;
        }
    }
}

/// The breakers of all servers.
///
/// Each namespace has its own breaker for a server: otherwise failures in one namespace could stop the accounts of another.
#[derive(Debug, Default)]
pub struct CircuitBreakers(Mutex<HashMap<(String, String), Weak<CircuitBreaker>>>);

impl CircuitBreakers {
    /// The breaker that the accounts of a namespace share for an origin.
    #[must_use]
    pub fn of(&self, namespace: &str, origin: &str) -> Arc<CircuitBreaker> {
        let mut all = self.0.lock();
        all.retain(|_, breaker| breaker.strong_count() > 0);
        let key = (namespace.to_owned(), origin.to_owned());
        if let Some(present) = all.get(&key).and_then(Weak::upgrade) {
            return present;
        }
        let made = Arc::new(CircuitBreaker::default());
        all.insert(key, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &CircuitBreaker, times: u32) {
        for _ in 0..times {
            breaker.acquire(RequestKind::Probe).unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn breaker_after_failures_in_a_row_opens() {
        let breaker = CircuitBreaker::default();
        fail(&breaker, 4);
        breaker.acquire(RequestKind::Post).unwrap().succeeded();
        fail(&breaker, 4);
        assert_eq!(breaker.left(), None);
        breaker.acquire(RequestKind::Post).unwrap().failed();
        assert_eq!(breaker.left(), Some(Duration::from_secs(1)));
        assert_eq!(breaker.acquire(RequestKind::Probe).unwrap_err(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn open_breaker_is_probed_by_one_get_and_no_post() {
        let breaker = CircuitBreaker::default();
        fail(&breaker, 5);
        advance(Duration::from_secs(1)).await;
        assert_eq!(breaker.left(), None);
        assert!(breaker.acquire(RequestKind::Post).is_err());
        let probe = breaker.acquire(RequestKind::Probe).unwrap();
        assert!(breaker.acquire(RequestKind::Probe).is_err() && breaker.left().is_some(), "one is enough");
        probe.succeeded();
        assert_eq!(breaker.left(), None);
        breaker.acquire(RequestKind::Post).unwrap().succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn failed_probe_doubles_the_time_it_is_open() {
        let breaker = CircuitBreaker::default();
        fail(&breaker, 5);
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let left = breaker.left().unwrap();
            lengths.push(left.as_secs());
            advance(left).await;
            fail(&breaker, 1);
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test(start_paused = true)]
    async fn probe_that_is_dropped_allows_another_one() {
        let breaker = CircuitBreaker::default();
        fail(&breaker, 5);
        advance(Duration::from_secs(1)).await;
        drop(breaker.acquire(RequestKind::Probe).unwrap());
        breaker.acquire(RequestKind::Probe).unwrap().succeeded();
        breaker.acquire(RequestKind::Post).unwrap().succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn answer_to_an_earlier_request_does_not_close_it() {
        let breaker = CircuitBreaker::default();
        let early = breaker.acquire(RequestKind::Probe).unwrap();
        fail(&breaker, 5);
        early.succeeded();
        assert!(breaker.left().is_some());
    }

    #[test]
    fn breaker_is_shared_within_a_namespace_only() {
        let breakers = CircuitBreakers::default();
        let one = breakers.of("a", "https://nuvo.test");
        assert!(Arc::ptr_eq(&one, &breakers.of("a", "https://nuvo.test")));
        assert!(!Arc::ptr_eq(&one, &breakers.of("b", "https://nuvo.test")));
        assert!(!Arc::ptr_eq(&one, &breakers.of("a", "https://other.test")));
    }
}
