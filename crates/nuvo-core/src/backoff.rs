//! The wait before another try.

use std::time::Duration;

/// A wait that doubles with each failure in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// From `first` to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait after a failure. `earlier` is the number of failures in a row before this one.
    #[must_use]
    pub fn wait(self, earlier: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(earlier.min(16))).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));
        let waits = [0, 1, 2, 3, u32::MAX].map(|earlier| backoff.wait(earlier).as_millis());
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
    }
}
