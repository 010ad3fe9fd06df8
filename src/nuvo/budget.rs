//! The request budget of one account: a token bucket, and the pauses that nuvo asks for.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Why an account pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// nuvo answered 429.
    RateLimited,
    /// nuvo could not be reached, or asked for patience.
    Unavailable,
}

/// A token bucket with a burst of one second.
#[derive(Debug)]
pub struct Budget {
    rate: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    refilled: Instant,
    pause: Option<(Instant, PauseReason)>,
}

impl Budget {
    /// A full bucket.
    #[must_use]
    pub fn new(requests_per_second: u32) -> Self {
        let rate = f64::from(requests_per_second.max(1));
        Self { rate, state: Mutex::new(State { tokens: rate, refilled: Instant::now(), pause: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for permission to send one request, and says how long it waited. Whoever is cancelled meanwhile has taken nothing.
    pub async fn take(&self) -> Duration {
        let asked = Instant::now();
        loop {
            match self.try_take(Instant::now()) {
                None => return asked.elapsed(),
                Some(wait) => sleep(wait).await,
            }
        }
    }

    /// Takes a token, or says how long to wait before asking again.
    fn try_take(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        if let Some((left, _)) = pause_left(&mut state, now) {
            return Some(left);
        }
        let passed = now.saturating_duration_since(state.refilled).as_secs_f64();
        state.tokens = (state.tokens + passed * self.rate).min(self.rate);
        state.refilled = now;
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - state.tokens) / self.rate).max(Duration::from_millis(1)))
    }

    /// Sends nothing for this long. A longer pause that is already there stays.
    pub fn pause(&self, length: Duration, reason: PauseReason) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(until) = now.checked_add(length) else { return };
        if state.pause.is_none_or(|(present, _)| present < until) {
            state.pause = Some((until, reason));
        }
    }

    /// The rest of the pause, if there is one.
    #[must_use]
    pub fn paused(&self) -> Option<(Duration, PauseReason)> {
        pause_left(&mut self.state(), Instant::now())
    }
}

fn pause_left(state: &mut State, now: Instant) -> Option<(Duration, PauseReason)> {
    let (until, reason) = state.pause?;
    let left = until.saturating_duration_since(now);
    if left.is_zero() {
        state.pause = None;
        return None;
    }
    Some((left, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_holds_no_more_than_the_rate_after_the_burst() {
        let budget = Budget::new(5);
        for _ in 0..5 {
            assert_eq!(budget.take().await, Duration::ZERO);
        }
        let start = Instant::now();
        for _ in 0..10 {
            budget.take().await;
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(1_950)..Duration::from_millis(2_100)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody_and_the_longer_one_wins() {
        let budget = Budget::new(5);
        budget.pause(Duration::from_secs(30), PauseReason::RateLimited);
        budget.pause(Duration::from_secs(1), PauseReason::Unavailable);
        assert_eq!(budget.paused(), Some((Duration::from_secs(30), PauseReason::RateLimited)));
        assert_eq!(budget.take().await, Duration::from_secs(30));
        assert_eq!(budget.paused(), None);
    }
}
