//! How long to wait before another try.

use std::time::Duration;

/// Waits that grow by a factor with each failure in a row, up to a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after no earlier failure. At least a millisecond, so that the longest wait is reached.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// By what each failure multiplies the wait. With 1 all waits are the same.
    pub factor: u32,
}

impl Backoff {
    /// Waits that double, the usual kind.
    #[must_use]
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self { first, longest, factor: 2 }
    }

    /// The wait after so many earlier failures in a row: `first` after none. Saturates instead of overflowing.
    #[must_use]
    pub fn wait(&self, failures: u32) -> Duration {
        self.first.saturating_mul(self.factor.saturating_pow(failures)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_grows_with_failures_up_to_the_longest() {
        let backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<u64> = (0..9).map(|failures| backoff.wait(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(Backoff { factor: 3, ..backoff }.wait(3), Duration::from_secs(27));
        assert_eq!(Backoff { factor: 1, ..backoff }.wait(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn wait_with_extreme_values_saturates() {
        let backoff = Backoff::doubling(Duration::from_millis(1), Duration::from_secs(3_600));
        assert_eq!(backoff.wait(u32::MAX), Duration::from_secs(3_600));
        assert_eq!(Backoff::doubling(Duration::MAX, Duration::MAX).wait(40), Duration::MAX);
        assert_eq!(Backoff::doubling(Duration::from_secs(9), Duration::from_secs(5)).wait(0), Duration::from_secs(5));
    }
}
