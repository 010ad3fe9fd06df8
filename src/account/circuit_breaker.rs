//! The circuit breakers, which the accounts of a namespace share for each server.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use nuvo_core::scheduler::{self, Availability, RequestKind};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The breaker of one server.
#[derive(Debug)]
pub struct CircuitBreaker {
    started: Instant,
    state: Mutex<scheduler::CircuitBreaker>,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { started: Instant::now(), state: Mutex::default() }
    }
}

/// Permission for one request. If it is dropped without a result, it counts neither as a success nor as a failure.
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    is_probe: bool,
    result: Availability,
}

impl CircuitBreaker {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time until something may be sent again; none if that is now.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.state.lock().left(self.now())
    }

    /// Permission for one request.
    ///
    /// # Errors
    /// The time after which to ask again.
    pub fn acquire(&self, kind: RequestKind) -> Result<Permit<'_>, Duration> {
        let is_probe = self.state.lock().acquire(kind, self.now())?;
        Ok(Permit { breaker: self, is_probe, result: Availability::Unknown })
    }
}

impl Permit<'_> {
    /// The request has ended in this way.
    pub fn ended(mut self, result: Availability) {
        self.result = result;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.breaker.state.lock().ended(self.is_probe, self.result, self.breaker.now());
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
    use super::*;

    #[test]
    fn breaker_is_shared_within_a_namespace_only() {
        let breakers = CircuitBreakers::default();
        let one = breakers.of("a", "https://nuvo.test");
        assert!(Arc::ptr_eq(&one, &breakers.of("a", "https://nuvo.test")));
        assert!(!Arc::ptr_eq(&one, &breakers.of("b", "https://nuvo.test")));
        assert!(!Arc::ptr_eq(&one, &breakers.of("a", "https://other.test")));
    }

    #[tokio::test(start_paused = true)]
    async fn probe_that_is_dropped_allows_another_one() {
        let breaker = CircuitBreaker::default();
        for _ in 0..5 {
            breaker.acquire(RequestKind::Get).unwrap().ended(Availability::Failed);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(breaker.acquire(RequestKind::Get).unwrap());
        breaker.acquire(RequestKind::Get).unwrap().ended(Availability::Answered);
        breaker.acquire(RequestKind::Post).unwrap().ended(Availability::Answered);
    }
}
