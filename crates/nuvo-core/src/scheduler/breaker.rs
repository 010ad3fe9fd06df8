//! The circuit breaker: after consecutive failures nothing is sent to a server for a while; then one GET probes whether it is available again.

use std::time::Duration;

use crate::{
    backoff::Backoff,
    run::{Obstacle, PostOutcome, Unexecuted},
};

/// The number of consecutive failures that open it.
const FAILURES: u32 = 5;
/// How long it stays open at first, and at most. Each failed probe doubles the time.
const OPEN: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
/// While a probe is in flight, other requests ask again after this time.
const PROBING: Duration = Duration::from_millis(500);

/// The breaker of one server. All times are those of one monotonic clock, which is handed in.
#[derive(Debug, Clone, Default)]
pub struct CircuitBreaker {
    /// Consecutive failures.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Duration,
    /// The number of probes that have failed since it opened.
    failed_probes: u32,
    probing: bool,
}

/// The kind of request that is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A GET: it changes nothing, so it may be the probe.
    Get,
    /// A POST: never sent to a server that may not answer.
    Post,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// The server has answered, with whatever status.
    Answered,
    /// There was no answer, or an error of the server.
    Failed,
    /// Nothing was sent, or the answer was not waited for.
    Unknown,
}

impl Availability {
    /// What the outcome of a POST shows.
    #[must_use]
    pub const fn of_post(outcome: &PostOutcome) -> Self {
        match outcome {
            PostOutcome::Unknown { .. } | PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Unavailable), .. } => {
                Self::Failed
            }
            PostOutcome::Accepted(_) | PostOutcome::ExecutedIdsUnknown { .. } | PostOutcome::NotExecuted { .. } => Self::Answered,
        }
    }
}

impl CircuitBreaker {
    /// The time until something may be sent again; none if that is now.
    #[must_use]
    pub fn left(&self, now: Duration) -> Option<Duration> {
        let open = self.open?;
        let left = open.until.saturating_sub(now);
        if open.probing { Some(left.max(PROBING)) } else { Some(left).filter(|left| !left.is_zero()) }
    }

    /// Permission for one request: whether it is the probe, which [`CircuitBreaker::ended`] must be told.
    ///
    /// # Errors
    /// The time after which to ask again.
    pub fn acquire(&mut self, kind: RequestKind, now: Duration) -> Result<bool, Duration> {
        if let Some(left) = self.left(now) {
            return Err(left);
        }
        match (&mut self.open, kind) {
            (None, _) => Ok(false),
            (Some(_), RequestKind::Post) => Err(PROBING),
            (Some(open), RequestKind::Get) => {
                open.probing = true;
                Ok(true)
            }
        }
    }

    /// A request has ended.
    pub fn ended(&mut self, is_probe: bool, availability: Availability, now: Duration) {
        match availability {
            Availability::Answered => {
                self.failures = 0;
                // A request that was sent before the breaker opened proves nothing: the server may still be going down.
                if is_probe {
                    self.open = None;
                }
            }
            Availability::Failed => {
                self.failures = self.failures.saturating_add(1);
                let failed_probes = match self.open {
                    Some(open) if is_probe => open.failed_probes.saturating_add(1),
                    None if self.failures >= FAILURES => 0,
                    _ => return,
                };
                self.open = Some(Open { until: now.saturating_add(OPEN.wait(failed_probes)), failed_probes, probing: false });
            }
            Availability::Unknown => {
                if let (true, Some(open)) = (is_probe, &mut self.open) {
                    open.probing = false;
                }
            }
        }
    }
}
