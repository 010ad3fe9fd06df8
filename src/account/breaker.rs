//! The circuit breaker: after failures in a row nothing is sent to a server for a while, and then one GET finds out whether it is back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// How long it is open: at first, and at most. Each probe that fails doubles it.
const OPEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// While a probe is out, the others ask again after this.
const PROBING: Duration = Duration::from_millis(500);

/// The breaker of one server.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    length: Duration,
    probing: bool,
}

/// What is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It changes nothing, so it may find out whether the server is back.
    Probe,
    /// It must not be wasted on a server that may be away.
    Post,
}

/// Permission for one request. Dropped without a word it says nothing about the server.
#[derive(Debug)]
pub struct Entry<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time until something may be sent again; none if that is now.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.state().open.and_then(|open| wait(open, Instant::now()))
    }

    /// Permission for one request.
    ///
    /// # Errors
    /// The time after which to ask again.
    pub fn enter(&self, kind: Kind) -> Result<Entry<'_>, Duration> {
        let mut state = self.state();
        let Some(open) = &mut state.open else { return Ok(Entry { breaker: self, probe: false }) };
        if let Some(left) = wait(*open, Instant::now()) {
            return Err(left);
        }
        match kind {
            Kind::Post => Err(PROBING),
            Kind::Probe => {
                open.probing = true;
                Ok(Entry { breaker: self, probe: true })
            }
        }
    }
}

fn wait(open: Open, now: Instant) -> Option<Duration> {
    let left = open.until.saturating_duration_since(now);
    if open.probing { Some(left.max(PROBING)) } else { Some(left).filter(|left| !left.is_zero()) }
}

impl Entry<'_> {
    /// The server has answered, whatever it said.
    pub fn succeeded(self) {
        let mut state = self.breaker.state();
        state.failures = 0;
        // One that was sent before it opened may as well be answered by a server that is going down.
        if self.probe {
            state.open = None;
        }
    }

    /// There was no answer, or one that says that the server cannot answer.
    pub fn failed(self) {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        let length = match state.open {
            Some(open) if self.probe => open.length.saturating_mul(2).min(OPEN.1),
            None if state.failures >= FAILURES => OPEN.0,
            _ => return,
        };
        let now = Instant::now();
        state.open = Some(Open { until: now.checked_add(length).unwrap_or(now), length, probing: false });
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(open) = &mut self.breaker.state().open
        {
            open.probing = false;
        }
    }
}

/// The breakers of all servers.
///
/// Each namespace has its own for a server: else whoever may create an account could stop those of others, with requests that fail.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<HashMap<(String, String), Weak<Breaker>>>);

impl Breakers {
    /// The breaker that the accounts of a namespace share for an origin.
    #[must_use]
    pub fn of(&self, namespace: &str, origin: &str) -> Arc<Breaker> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, breaker| breaker.strong_count() > 0);
        let key = (namespace.to_owned(), origin.to_owned());
        if let Some(present) = all.get(&key).and_then(Weak::upgrade) {
            return present;
        }
        let made = Arc::new(Breaker::default());
        all.insert(key, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.enter(Kind::Probe).unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let breaker = Breaker::default();
        fail(&breaker, 4);
        breaker.enter(Kind::Post).unwrap().succeeded();
        fail(&breaker, 4);
        assert_eq!(breaker.left(), None);
        breaker.enter(Kind::Post).unwrap().failed();
        assert_eq!(breaker.left(), Some(Duration::from_secs(1)));
        assert_eq!(breaker.enter(Kind::Probe).unwrap_err(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_get_probes_and_never_a_post() {
        let breaker = Breaker::default();
        fail(&breaker, 5);
        advance(Duration::from_secs(1)).await;
        assert_eq!(breaker.left(), None);
        assert!(breaker.enter(Kind::Post).is_err());
        let probe = breaker.enter(Kind::Probe).unwrap();
        assert!(breaker.enter(Kind::Probe).is_err() && breaker.left().is_some(), "one is enough");
        probe.succeeded();
        assert_eq!(breaker.left(), None);
        breaker.enter(Kind::Post).unwrap().succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_open_longer_with_each_probe_that_fails() {
        let breaker = Breaker::default();
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
    async fn a_probe_that_is_given_up_lets_another_one_try() {
        let breaker = Breaker::default();
        fail(&breaker, 5);
        advance(Duration::from_secs(1)).await;
        drop(breaker.enter(Kind::Probe).unwrap());
        breaker.enter(Kind::Probe).unwrap().succeeded();
        breaker.enter(Kind::Post).unwrap().succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_from_before_it_opened_does_not_close_it() {
        let breaker = Breaker::default();
        let early = breaker.enter(Kind::Probe).unwrap();
        fail(&breaker, 5);
        early.succeeded();
        assert!(breaker.left().is_some());
    }

    #[test]
    fn accounts_of_a_namespace_share_one_and_other_namespaces_do_not() {
        let breakers = Breakers::default();
        let one = breakers.of("a", "https://nuvo.test");
        assert!(Arc::ptr_eq(&one, &breakers.of("a", "https://nuvo.test")));
        assert!(!Arc::ptr_eq(&one, &breakers.of("b", "https://nuvo.test")));
        assert!(!Arc::ptr_eq(&one, &breakers.of("a", "https://other.test")));
    }
}
