//! When the status of an object may be written again.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two writes.
const WRITE_EVERY: Duration = Duration::from_secs(30);
/// The shortest time between a write and the one after the next.
const TWO_WRITES: Duration = Duration::from_secs(60);

/// The last writes of the status of one object.
#[derive(Debug, Default)]
pub struct WritePace {
    last: Option<Written>,
    before: Option<Instant>,
}

#[derive(Debug)]
struct Written {
    at: Instant,
    has_results: bool,
}

impl WritePace {
    /// It was written.
    pub fn written(&mut self, at: Instant, has_results: bool) {
        self.before = self.last.replace(Written { at, has_results }).map(|before| before.at);
    }

    /// How long the next write has to wait; none if it need not. The first results are not to wait for having said that there are none yet.
    pub fn wait(&self, now: Instant, has_results: bool) -> Option<Duration> {
        let last = self.last.as_ref()?;
        let is_awaited = has_results && !last.has_results;
        let after_last = last.at.checked_add(WRITE_EVERY).filter(|_| !is_awaited);
        let next = after_last.max(self.before.and_then(|before| before.checked_add(TWO_WRITES)))?;
        Some(next.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which a status is written that has news all the time.
    fn writes(until: u64, results_from: u64) -> Vec<u64> {
        let (mut now, mut pace) = (Instant::now(), WritePace::default());
        let mut writes = Vec::new();
        for second in 0..until {
            let has_results = second >= results_from;
            if pace.wait(now, has_results).is_none() {
                pace.written(now, has_results);
                writes.push(second);
            }
            now = now.checked_add(Duration::from_secs(1)).unwrap_or(now);
        }
        writes
    }

    #[test]
    fn status_is_written_each_half_minute_at_most() {
        assert_eq!(writes(120, 0), [0, 30, 60, 90]);
        assert_eq!(writes(120, 120), [0, 30, 60, 90], "also before there are results");
    }

    #[test]
    fn first_results_do_not_wait_and_the_minute_has_two_writes_all_the_same() {
        assert_eq!(writes(150, 5), [0, 5, 60, 90, 120]);
        assert_eq!(writes(150, 40), [0, 30, 60, 90, 120]);
    }
}
