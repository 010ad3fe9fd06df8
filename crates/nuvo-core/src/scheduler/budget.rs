//! The requests per second of one account: a token bucket, and who gets the next token.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::purpose::Purpose;

/// The burst, in seconds of the rate: a little less than one, because requests arrive with varying delay, and the server must never count
/// more than the limit in one second.
const BURST: f64 = 0.9;
/// The part of the burst that must be there for what observed pipelines need beyond their looks: there are many such requests, and runs that come
/// meanwhile are to find the burst.
const NEARLY_ALL: f64 = 0.9;
/// Every fourth token goes to the purposes in turn, so that none waits without bound.
const FAIR_TURN: u32 = 4;

/// A request that waits for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The token bucket of one account. All times are those of one monotonic clock, which is handed in.
#[derive(Debug, Clone)]
pub struct Budget {
    rate: f64,
    burst: f64,
    /// Below zero after requests that were sent without a token.
    tokens: f64,
    refilled: Duration,
    /// In each queue the oldest first, with the time since which it waits. Each is bounded by its users.
    waiting: BTreeMap<Purpose, VecDeque<(Ticket, Duration)>>,
    tickets: u64,
    served: u32,
}

impl Budget {
    /// A full bucket.
    #[must_use]
    pub fn new(requests_per_second: u32, now: Duration) -> Self {
        let rate = f64::from(requests_per_second.max(1));
        let burst = (rate * BURST).max(1.0);
        Self { rate, burst, tokens: burst, refilled: now, waiting: BTreeMap::new(), tickets: 0, served: 0 }
    }

    /// Changes the rate. What is in the bucket stays there, as far as it fits.
    pub fn set_rate(&mut self, requests_per_second: u32, now: Duration) {
        self.refill(now);
        let Self { rate, burst, .. } = Self::new(requests_per_second, now);
        // A bucket that was full is full.
        let missing = self.burst - self.tokens;
        (self.rate, self.burst, self.tokens) = (rate, burst, burst - missing.min(burst));
    }

    /// Requests per second.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// A token at once, if no other request waits for one.
    pub fn take(&mut self, purpose: Purpose, now: Duration) -> bool {
        self.refill(now);
        let free = self.tokens >= self.least(purpose) && self.waiting.is_empty();
        if free {
            self.tokens -= 1.0;
        }
        free
    }

    /// The tokens that must be there for such a request to be sent.
    fn least(&self, purpose: Purpose) -> f64 {
        match purpose {
            Purpose::ObservationDetail => (self.burst * NEARLY_ALL).max(1.0),
            Purpose::Mode => (self.burst / 2.0).max(1.0),
            _ => 1.0,
        }
    }

    /// A ticket that was never used.
    pub fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        Ticket(self.tickets)
    }

    /// Waits for a token with this ticket.
    pub fn queue(&mut self, ticket: Ticket, purpose: Purpose, now: Duration) {
        self.waiting.entry(purpose).or_default().push_back((ticket, now));
    }

    /// Waits for a token.
    pub fn want(&mut self, purpose: Purpose, now: Duration) -> Ticket {
        let ticket = self.ticket();
        self.queue(ticket, purpose, now);
        ticket
    }

    /// The ticket that gets a token now, if there is one, and how long it has waited. A request that was given up meanwhile
    /// [refunds](Budget::refund) it.
    pub fn next(&mut self, now: Duration) -> Option<(Ticket, Duration)> {
        self.refill(now);
        let first = *self.waiting.keys().next()?;
        if self.tokens < self.least(first) {
            return None;
        }
        self.served = self.served.wrapping_add(1);
        // Whatever takes only what is left has no turn.
        let kinds = self.waiting.keys().filter(|purpose| !purpose.takes_what_is_left()).count();
        let round = if self.served.is_multiple_of(FAIR_TURN) { usize::try_from(self.served.checked_div(FAIR_TURN)?).ok()? } else { 0 };
        let purpose = round.checked_rem(kinds).and_then(|turn| self.waiting.keys().nth(turn)).copied().unwrap_or(first);
        let queue = self.waiting.get_mut(&purpose)?;
        let (ticket, since) = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&purpose);
        }
        self.tokens -= 1.0;
        Some((ticket, now.saturating_sub(since)))
    }

    /// The time until the next token, if a request waits for it.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let first = *self.waiting.keys().next()?;
        // So that the token is there then, in spite of rounding.
        Some(Duration::from_secs_f64((self.least(first) - self.tokens).max(0.0) / self.rate).saturating_add(Duration::from_micros(1)))
    }

    /// Whether triggers wait for a token.
    #[must_use]
    pub fn triggers_wait(&self) -> bool {
        self.waiting.keys().any(|purpose| purpose.is_trigger())
    }

    /// Gives a token back that was not used.
    pub fn refund(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    /// Charges requests that were sent without a token: for an access token, or repeated with a new one.
    pub fn debit(&mut self, requests: u32, now: Duration) {
        self.refill(now);
        self.tokens -= f64::from(requests);
    }

    /// Takes the waiting requests of this purpose out, for which a pause has begun.
    pub fn refuse(&mut self, purpose: Purpose) -> impl Iterator<Item = Ticket> + use<> {
        self.waiting.remove(&purpose).into_iter().flatten().map(|(ticket, _)| ticket)
    }

    /// Whether less than half of the burst is left, so that callers should share requests.
    pub fn is_tight(&mut self, now: Duration) -> bool {
        self.refill(now);
        self.tokens < self.burst / 2.0
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.refilled = now;
    }
}
