//! The rate limit of one account: a token bucket that serves urgent requests first, and the pauses that nuvo asks for.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use nuvo_client::{Pause, PauseReason};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// The burst, in seconds of the rate: a little less than one, because requests arrive with varying delay, and the server must never count
/// more than the limit in one second.
const BURST: f64 = 0.9;
/// Every fourth token goes to the priorities in turn, so that none waits without bound.
const FAIR_TURN: u32 = 4;

/// What a request is for, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The read of the list before triggers, which they share.
    Baseline,
    /// A trigger.
    Trigger,
    /// The search for the executions of a trigger in doubt.
    Recovery,
    /// The read of an execution that may have ended.
    Ending,
    /// The list of running executions.
    Polling,
}

/// A token bucket. Requests of the same priority are served in the order in which they were asked for.
#[derive(Debug, Clone)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rate: f64,
    burst: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero after requests that were sent without a token.
    tokens: f64,
    refilled: Instant,
    pause: Option<(Instant, PauseReason)>,
    waiting: Waiting,
    /// A task serves the queues.
    serving: bool,
}

/// The requests that wait for a token. Each queue is bounded by its users: the permits of the account's triggers, and a few reads and lists of
/// its poller.
#[derive(Debug, Default)]
struct Waiting {
    baselines: Queue,
    triggers: Queue,
    recoveries: Queue,
    endings: Queue,
    polls: Queue,
    served: u32,
}

type Queue = VecDeque<oneshot::Sender<()>>;

impl Waiting {
    const fn queues(&mut self) -> [&mut Queue; 5] {
        [&mut self.baselines, &mut self.triggers, &mut self.recoveries, &mut self.endings, &mut self.polls]
    }

    fn is_empty(&mut self) -> bool {
        self.queues().iter().all(|queue| queue.is_empty())
    }

    fn add(&mut self, priority: Priority) -> oneshot::Receiver<()> {
        let (turn, wait) = oneshot::channel();
        match priority {
            Priority::Baseline => &mut self.baselines,
            Priority::Trigger => &mut self.triggers,
            Priority::Recovery => &mut self.recoveries,
            Priority::Ending => &mut self.endings,
            Priority::Polling => &mut self.polls,
        }
        .push_back(turn);
        wait
    }

    fn next(&mut self) -> Option<oneshot::Sender<()>> {
        self.served = self.served.wrapping_add(1);
        let round = self.served.checked_div(FAIR_TURN).filter(|_| self.served.is_multiple_of(FAIR_TURN));
        let mut queues: Vec<_> = self.queues().into_iter().filter(|queue| !queue.is_empty()).collect();
        let kinds = u32::try_from(queues.len()).unwrap_or(1);
        let turn = round.and_then(|round| round.checked_rem(kinds)).and_then(|turn| usize::try_from(turn).ok()).unwrap_or(0);
        queues.get_mut(turn)?.pop_front()
    }
}

impl State {
    fn refill(&mut self, shared: &Shared, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * shared.rate).min(shared.burst);
        self.refilled = now;
    }

    fn pause_left(&mut self, now: Instant) -> Option<Pause> {
        let (until, reason) = self.pause?;
        let left = until.saturating_duration_since(now);
        if left.is_zero() {
            self.pause = None;
            return None;
        }
        Some(Pause { left, reason })
    }
}

impl RateLimiter {
    /// A full bucket.
    #[must_use]
    pub fn new(requests_per_second: u32) -> Self {
        let rate = f64::from(requests_per_second.max(1));
        let burst = (rate * BURST).max(1.0);
        let state = State { tokens: burst, refilled: Instant::now(), pause: None, waiting: Waiting::default(), serving: false };
        Self(Arc::new(Shared { rate, burst, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// Waits for permission to send one request, and says how long it waited.
    ///
    /// # Errors
    /// The pause, if there is one. A pause also ends the wait of requests that were waiting when it began.
    pub async fn take(&self, priority: Priority) -> Result<Duration, Pause> {
        let asked = Instant::now();
        let turn = {
            let mut state = self.state();
            if let Some(pause) = state.pause_left(asked) {
                return Err(pause);
            }
            state.refill(&self.0, asked);
            if state.tokens >= 1.0 && state.waiting.is_empty() {
                state.tokens -= 1.0;
                return Ok(Duration::ZERO);
            }
            let turn = state.waiting.add(priority);
            if !std::mem::replace(&mut state.serving, true) {
                tokio::spawn(self.clone().serve());
            }
            turn
        };
        match turn.await {
            Ok(()) => Ok(asked.elapsed()),
            // A pause has emptied the queues. It may be over by now.
            Err(_) => Err(self.paused().unwrap_or(Pause { left: Duration::ZERO, reason: PauseReason::Unavailable })),
        }
    }

    /// Serves the queues until no request waits.
    async fn serve(self) {
        while let Some(wait) = self.hand_out(Instant::now()) {
            sleep(wait).await;
        }
    }

    /// Serves the requests that can be served. The time until the next token, if a request waits for it.
    fn hand_out(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        state.refill(&self.0, now);
        while state.tokens >= 1.0 {
            let Some(turn) = state.waiting.next() else {
                state.serving = false;
                return None;
            };
            // A request that was given up needs no token.
            if turn.send(()).is_ok() {
                state.tokens -= 1.0;
            }
        }
        if state.waiting.is_empty() {
            state.serving = false;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - state.tokens) / self.0.rate))
    }

    /// Charges requests that were sent without permission: for an access token, or repeated with a new one.
    pub fn debit(&self, requests: u32) {
        let mut state = self.state();
        state.refill(&self.0, Instant::now());
        state.tokens -= f64::from(requests);
    }

    /// Whether less than half of the burst is left, so that callers should share requests.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        let mut state = self.state();
        state.refill(&self.0, Instant::now());
        state.tokens < self.0.burst / 2.0
    }

    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.0.rate
    }

    /// Pauses all requests for this long. A longer pause stays.
    pub fn pause(&self, length: Duration, reason: PauseReason) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(until) = now.checked_add(length) else { return };
        if state.pause.is_none_or(|(present, _)| present < until) {
            state.pause = Some((until, reason));
        }
        state.waiting = Waiting::default();
    }

    /// The remaining pause, if there is one.
    #[must_use]
    pub fn paused(&self) -> Option<Pause> {
        self.state().pause_left(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_after_the_burst_keep_the_rate() {
        let limiter = RateLimiter::new(10);
        for _ in 0..9 {
            assert_eq!(limiter.take(Priority::Trigger).await, Ok(Duration::ZERO));
        }
        let start = Instant::now();
        for _ in 0..20 {
            limiter.take(Priority::Polling).await.unwrap();
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(1_950)..Duration::from_millis(2_100)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn low_priority_behind_urgent_requests_waits_within_bounds() {
        let limiter = RateLimiter::new(10);
        let urgent: Vec<_> = (0..200)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move { limiter.take(Priority::Trigger).await })
            })
            .collect();
        sleep(Duration::from_millis(50)).await;
        let waits = join_all((0..5).map(|_| limiter.take(Priority::Polling))).await;
        let longest = waits.into_iter().map(Result::unwrap).max().unwrap();
        assert!(urgent.iter().any(|call| !call.is_finished()) && longest < Duration::from_secs(6), "{longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_served_by_priority_then_by_age() {
        let limiter = RateLimiter::new(1);
        limiter.take(Priority::Polling).await.unwrap();
        let served: Arc<Mutex<Vec<(Priority, u32)>>> = Arc::default();
        let wanted = [Priority::Polling, Priority::Ending, Priority::Recovery, Priority::Trigger, Priority::Baseline];
        let calls: Vec<_> = (0..2)
            .flat_map(|number| wanted.map(|priority| (priority, number)))
            .map(|(priority, number)| {
                let (limiter, served) = (limiter.clone(), served.clone());
                tokio::spawn(async move {
                    limiter.take(priority).await.unwrap();
                    served.lock().push((priority, number));
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        let order: Vec<_> = served.lock().iter().map(|(priority, _)| *priority).collect();
        // Every fourth request is of another kind in turn.
        let [polling, ending, recovery, trigger, baseline] = wanted;
        assert_eq!(order[..3], [baseline, baseline, trigger]);
        assert_eq!(order[3], recovery);
        assert_eq!(order[4..7], [trigger, recovery, ending]);
        assert_eq!(order[7..], [ending, polling, polling]);
        assert!(served.lock().iter().filter(|(priority, _)| *priority == baseline).map(|(_, number)| *number).eq([0, 1]));
    }

    #[tokio::test(start_paused = true)]
    async fn request_that_is_given_up_costs_nothing() {
        let limiter = RateLimiter::new(1);
        limiter.take(Priority::Trigger).await.unwrap();
        let start = Instant::now();
        tokio::time::timeout(Duration::from_millis(100), limiter.take(Priority::Trigger)).await.unwrap_err();
        limiter.take(Priority::Polling).await.unwrap();
        assert!(start.elapsed() <= Duration::from_millis(1_001), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn pause_refuses_all_requests_and_the_longer_one_wins() {
        let limiter = RateLimiter::new(5);
        limiter.pause(Duration::from_secs(30), PauseReason::RateLimited);
        limiter.pause(Duration::from_secs(1), PauseReason::Unavailable);
        let pause = Pause { left: Duration::from_secs(30), reason: PauseReason::RateLimited };
        let asked = Instant::now();
        assert_eq!((limiter.paused(), limiter.take(Priority::Trigger).await), (Some(pause), Err(pause)));
        assert_eq!(asked.elapsed(), Duration::ZERO);
        sleep(pause.left).await;
        assert_eq!((limiter.paused(), limiter.take(Priority::Trigger).await), (None, Ok(Duration::ZERO)));
    }

    #[tokio::test(start_paused = true)]
    async fn pause_during_a_wait_ends_the_wait() {
        let limiter = RateLimiter::new(1);
        limiter.take(Priority::Trigger).await.unwrap();
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.take(Priority::Trigger).await }
        });
        sleep(Duration::from_millis(500)).await;
        limiter.pause(Duration::from_secs(60), PauseReason::RateLimited);
        assert_eq!(waiting.await.unwrap().unwrap_err().reason, PauseReason::RateLimited);
    }

    #[tokio::test(start_paused = true)]
    async fn debit_beyond_the_burst_delays_later_requests() {
        let limiter = RateLimiter::new(10);
        limiter.debit(11);
        let start = Instant::now();
        limiter.take(Priority::Trigger).await.unwrap();
        let took = start.elapsed();
        assert!((Duration::from_millis(290)..Duration::from_millis(350)).contains(&took), "{took:?}");
    }
}
