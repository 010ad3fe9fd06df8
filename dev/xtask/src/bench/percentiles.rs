//! Percentiles of durations.

use std::time::Duration;

/// The median, the 99th percentile and the largest of a set of durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Percentiles {
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl Percentiles {
    /// Of these values, by the nearest rank.
    pub fn of(values: impl IntoIterator<Item = Duration>) -> Self {
        let mut values: Vec<Duration> = values.into_iter().collect();
        values.sort_unstable();
        let rank = |percent: usize| {
            let rank = values.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            values.get(rank).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p99: rank(99), max: rank(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_values_are_by_nearest_rank() {
        let millis = Duration::from_millis;
        let spread = Percentiles::of((1..=200).rev().map(millis));
        assert_eq!(spread, Percentiles { p50: millis(100), p99: millis(198), max: millis(200) });
        assert_eq!(Percentiles::of([]), Percentiles::default());
        assert_eq!(Percentiles::of([millis(7)]), Percentiles { p50: millis(7), p99: millis(7), max: millis(7) });
    }
}
