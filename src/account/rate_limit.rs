//! The rate limit of one account: hands the tokens of its [`Budget`] to the requests that wait for them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use nuvo_core::{
    run::Obstacle,
    scheduler::{Budget, Pause, Pauses, Purpose, Ticket},
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// The budget and the pauses of one account, which all its requests share.
#[derive(Debug, Clone)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    rate: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    budget: Budget,
    pauses: Pauses,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    /// A task serves those that wait.
    serving: bool,
}

impl State {
    /// A request has got its token, and goes out unless a pause has begun.
    fn admit(&mut self, purpose: Purpose, now: Duration) -> Result<(), Pause> {
        if let Some(pause) = self.pauses.of(purpose, now) {
            self.budget.refund();
            return Err(pause);
        }
        if purpose == Purpose::Trigger {
            self.pauses.triggering(now);
        }
        Ok(())
    }
}

impl RateLimiter {
    /// A full bucket.
    #[must_use]
    pub fn new(requests_per_second: u32) -> Self {
        let budget = Budget::new(requests_per_second, Duration::ZERO);
        let rate = budget.rate();
        let state = State { budget, pauses: Pauses::default(), waiting: HashMap::new(), serving: false };
        Self(Arc::new(Shared { started: Instant::now(), rate, state: Mutex::new(state) }))
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Waits for permission to send one request, and says how long it waited.
    ///
    /// # Errors
    /// The pause, if there is one. A pause also ends the wait of requests that were waiting when it began.
    pub async fn take(&self, purpose: Purpose) -> Result<Duration, Pause> {
        let asked = self.now();
        let turn = {
            let mut state = self.0.state.lock();
            if let Some(pause) = state.pauses.of(purpose, asked) {
                return Err(pause);
            }
            if state.budget.take(purpose, asked) {
                return Ok(Duration::ZERO);
            }
            let (turn, wait) = oneshot::channel();
            let ticket = state.budget.want(purpose);
            state.waiting.insert(ticket, turn);
            if !std::mem::replace(&mut state.serving, true) {
                tokio::spawn(self.clone().serve());
            }
            wait
        };
        match turn.await {
            Ok(()) => {
                let now = self.now();
                self.0.state.lock().admit(purpose, now).map(|()| now.saturating_sub(asked))
            }
            // It may be over by now.
            Err(_) => Err(self.paused(purpose).unwrap_or(Pause { left: Duration::ZERO, obstacle: Obstacle::Unavailable })),
        }
    }

    /// Serves until no request waits.
    async fn serve(self) {
        while let Some(wait) = self.hand_out() {
            sleep(wait).await;
        }
    }

    /// Serves the requests that can be served. The time until the next token, if a request waits for it.
    fn hand_out(&self) -> Option<Duration> {
        let now = self.now();
        let mut state = self.0.state.lock();
        while let Some(ticket) = state.budget.next(now) {
            if state.waiting.remove(&ticket).is_none_or(|turn| turn.send(()).is_err()) {
                state.budget.refund();
            }
        }
        let wait = state.budget.wait();
        state.serving = wait.is_some();
        wait
    }

    /// Charges requests that were sent without permission: for an access token, or repeated with a new one.
    pub fn debit(&self, requests: u32) {
        self.0.state.lock().budget.debit(requests, self.now());
    }

    /// Whether less than half of the burst is left, so that callers should share requests.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.0.state.lock().budget.is_tight(self.now())
    }

    /// Whether triggers wait for permission.
    #[must_use]
    pub fn triggers_wait(&self) -> bool {
        self.0.state.lock().budget.triggers_wait()
    }

    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.0.rate
    }

    /// Changes the pauses of the account. Requests that wait and may not be sent any more are refused.
    pub fn pause(&self, change: impl FnOnce(&mut Pauses, Duration)) {
        let now = self.now();
        let mut state = self.0.state.lock();
        let State { budget, pauses, waiting, .. } = &mut *state;
        change(pauses, now);
        for ticket in budget.refuse(|purpose| pauses.of(purpose, now).is_some()) {
            waiting.remove(&ticket);
        }
    }

    /// The pause of requests for this purpose, if there is one.
    #[must_use]
    pub fn paused(&self, purpose: Purpose) -> Option<Pause> {
        self.0.state.lock().pauses.of(purpose, self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn request_that_is_given_up_costs_nothing() {
        let limiter = RateLimiter::new(1);
        limiter.take(Purpose::Trigger).await.unwrap();
        let start = Instant::now();
        tokio::time::timeout(Duration::from_millis(100), limiter.take(Purpose::Trigger)).await.unwrap_err();
        limiter.take(Purpose::Polling).await.unwrap();
        assert!(start.elapsed() <= Duration::from_millis(1_001), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn request_that_waits_gets_its_token_in_time() {
        let limiter = RateLimiter::new(10);
        for _ in 0..9 {
            assert_eq!(limiter.take(Purpose::Trigger).await, Ok(Duration::ZERO));
        }
        let start = Instant::now();
        for _ in 0..20 {
            limiter.take(Purpose::Polling).await.unwrap();
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(1_950)..Duration::from_millis(2_100)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn pause_refuses_what_it_is_about() {
        let limiter = RateLimiter::new(5);
        limiter.pause(|pauses, now| pauses.quota_exceeded(Duration::from_secs(30), now));
        let pause = limiter.paused(Purpose::Trigger).unwrap();
        assert_eq!((pause.obstacle, limiter.take(Purpose::Trigger).await), (Obstacle::RateLimited, Err(pause)));
        assert_eq!(limiter.take(Purpose::Ending).await, Ok(Duration::ZERO));
        sleep(pause.left).await;
        assert_eq!((limiter.paused(Purpose::Trigger), limiter.take(Purpose::Trigger).await), (None, Ok(Duration::ZERO)));
    }

    #[tokio::test(start_paused = true)]
    async fn pause_during_a_wait_ends_the_wait() {
        let limiter = RateLimiter::new(1);
        limiter.take(Purpose::Trigger).await.unwrap();
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.take(Purpose::Trigger).await }
        });
        sleep(Duration::from_millis(500)).await;
        limiter.pause(|pauses, now| pauses.pause(Duration::from_secs(60), Obstacle::RateLimited, now));
        assert_eq!(waiting.await.unwrap().unwrap_err().obstacle, Obstacle::RateLimited);
    }
}
