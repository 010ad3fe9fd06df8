//! The request budget of one account: a token bucket, and the pauses that nuvo asks for.

use std::{
    fmt,
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
    /// nuvo does not take the account's credentials, or is not where the account says.
    Account,
    /// More requests are wanted than `requestsPerSecond` allows.
    UsedUp,
}

/// Nothing is sent for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// For how long.
    pub left: Duration,
    /// Why.
    pub reason: PauseReason,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the time: it ends up in statuses, which would be written anew whenever it changes.
        f.write_str(match self.reason {
            PauseReason::RateLimited => "nuvo limits the rate of requests",
            PauseReason::Unavailable => "nuvo does not answer as it should",
            PauseReason::Account => "nuvo has rejected the credentials of the account, or is not where the account says",
            PauseReason::UsedUp => "the request budget of the account is used up (spec.requestsPerSecond)",
        })
    }
}

/// A token bucket with a burst of one second. Tokens are handed out in the order in which they are asked for.
#[derive(Debug)]
pub struct Budget {
    rate: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero: so many are waited for.
    tokens: f64,
    refilled: Instant,
    pause: Option<(Instant, PauseReason)>,
    /// When the last of those who were sent away shall come back.
    last_turn: Instant,
}

impl Budget {
    /// A full bucket.
    #[must_use]
    pub fn new(requests_per_second: u32) -> Self {
        let rate = f64::from(requests_per_second.max(1));
        let now = Instant::now();
        Self { rate, state: Mutex::new(State { tokens: rate, refilled: now, pause: None, last_turn: now }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for permission to send one request, but no longer than this, and says how long it waited. Whoever would have to wait longer
    /// is sent away at once: a wait keeps something else from being done.
    ///
    /// # Errors
    /// When to ask again. Those who are sent away get a turn each, so that they do not all come back at once.
    pub async fn take(&self, patience: Duration) -> Result<Duration, Pause> {
        let wait = self.queue(patience, Instant::now())?;
        if !wait.is_zero() {
            sleep(wait).await;
        }
        // A pause that began meanwhile holds back those, too, who already had their turn.
        self.paused().map_or(Ok(wait), Err)
    }

    /// Takes a token, and says after which wait it may be used.
    fn queue(&self, patience: Duration, now: Instant) -> Result<Duration, Pause> {
        let mut state = self.state();
        if let Some(pause) = pause_left(&mut state, now) {
            return Err(pause);
        }
        let passed = now.saturating_duration_since(state.refilled).as_secs_f64();
        state.tokens = (state.tokens + passed * self.rate).min(self.rate);
        state.refilled = now;
        let wait = Duration::from_secs_f64((1.0 - state.tokens).max(0.0) / self.rate);
        if wait <= patience {
            state.tokens -= 1.0;
            return Ok(wait);
        }
        let first = now.checked_add(wait).unwrap_or(now);
        let turn = state.last_turn.max(first).checked_add(Duration::from_secs_f64(1.0 / self.rate)).unwrap_or(first);
        state.last_turn = turn;
        Err(Pause { left: turn.saturating_duration_since(now), reason: PauseReason::UsedUp })
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
    pub fn paused(&self) -> Option<Pause> {
        pause_left(&mut self.state(), Instant::now())
    }
}

fn pause_left(state: &mut State, now: Instant) -> Option<Pause> {
    let (until, reason) = state.pause?;
    let left = until.saturating_duration_since(now);
    if left.is_zero() {
        state.pause = None;
        return None;
    }
    Some(Pause { left, reason })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const PATIENT: Duration = Duration::MAX;

    #[tokio::test(start_paused = true)]
    async fn a_second_holds_no_more_than_the_rate_after_the_burst() {
        let budget = Budget::new(5);
        for _ in 0..5 {
            assert_eq!(budget.take(PATIENT).await, Ok(Duration::ZERO));
        }
        let start = Instant::now();
        for _ in 0..10 {
            budget.take(PATIENT).await.unwrap();
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(1_950)..Duration::from_millis(2_100)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_sends_everybody_away_and_the_longer_one_wins() {
        let budget = Budget::new(5);
        budget.pause(Duration::from_secs(30), PauseReason::RateLimited);
        budget.pause(Duration::from_secs(1), PauseReason::Unavailable);
        let pause = Pause { left: Duration::from_secs(30), reason: PauseReason::RateLimited };
        let asked = Instant::now();
        assert_eq!((budget.paused(), budget.take(PATIENT).await), (Some(pause), Err(pause)));
        assert_eq!(asked.elapsed(), Duration::ZERO);
        sleep(pause.left).await;
        assert_eq!((budget.paused(), budget.take(PATIENT).await), (None, Ok(Duration::ZERO)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_begins_during_the_wait_holds_it_back() {
        let budget = Arc::new(Budget::new(1));
        budget.take(PATIENT).await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(PATIENT).await }
        });
        sleep(Duration::from_millis(500)).await;
        budget.pause(Duration::from_secs(60), PauseReason::RateLimited);
        assert_eq!(waiting.await.unwrap().unwrap_err().reason, PauseReason::RateLimited);
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_sent_away_with_a_turn_of_its_own() {
        let budget = Arc::new(Budget::new(5));
        let asked = Instant::now();
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let budget = budget.clone();
                tokio::spawn(async move { budget.take(Duration::from_secs(1)).await })
            })
            .collect();
        let (mut served, mut turns) = (0, Vec::new());
        for call in calls {
            match call.await.unwrap() {
                Ok(_) => served += 1,
                Err(pause) => turns.push(pause.left),
            }
        }
        assert!(asked.elapsed() <= Duration::from_millis(1_001), "{:?}", asked.elapsed());
        assert_eq!((served, turns.len()), (10, 90));
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(199)), "{turns:?}");
        assert!(turns.iter().all(|left| *left <= Duration::from_secs(20)), "{turns:?}");
    }
}
