//! When to look next: arithmetic over times.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::run::PipelineId;

/// The shortest time between two polls.
pub const FASTEST: Duration = Duration::from_millis(500);
/// The same where a poll has shown many ends, and where one of several pages has shown none.
const FASTEST_BESIDE_ENDS: Duration = Duration::from_millis(250);
const FASTEST_WITHOUT_ENDS: Duration = Duration::from_millis(750);
/// The ends per page that make a page cost little beside the reads of those ends.
const MANY_ENDS: usize = 2;
/// The pages from which on a poll is worth waiting for.
const MANY_PAGES: usize = 3;
/// The longest time between two polls for a repair.
const WATCH_PERIOD: Duration = Duration::from_secs(300);
/// The part of the rate limit that looks may use, so that requests are left for the reads of executions that may have ended.
const SHARE: f64 = 0.8;
/// The same while triggers wait for requests, and the part that a look of many pages gets at least.
const SHARE_BESIDE_TRIGGERS: f64 = 0.13;
const LEAST_SHARE: f64 = 0.4;
/// How many durations of a pipeline are remembered.
const REMEMBERED: usize = 8;
/// The number of pipelines whose durations are remembered. Forgetting one delays the next end a little.
const PIPELINES: usize = 1_024;
/// The most polls that are spent on the time in which an end is expected.
const LOOKS: u32 = 20;

/// The poll period at this age: a tenth of it, within bounds.
#[must_use]
pub fn period(age: Duration, slowest: Duration) -> Duration {
    age.checked_div(10).unwrap_or_default().clamp(FASTEST, slowest.max(FASTEST))
}

/// The time between two reads of an execution that failed this long ago and may be repaired: a repair takes hours rather than seconds.
#[must_use]
pub fn watch_period(age: Duration, slowest: Duration) -> Duration {
    age.checked_div(20).unwrap_or_default().clamp(slowest.max(FASTEST), WATCH_PERIOD.max(slowest))
}

/// The shortest time from a look that cost this many requests, and has shown this many ends, to the next one.
#[must_use]
pub const fn fastest(requests: usize, ends: usize) -> Duration {
    match ends {
        0 if requests >= MANY_PAGES => FASTEST_WITHOUT_ENDS,
        _ if ends > requests.saturating_mul(MANY_ENDS) => FASTEST_BESIDE_ENDS,
        _ => FASTEST,
    }
}

/// The least time between two looks that cost this many requests, if [the last one](fastest) allows as much. Triggers that wait come first, but
/// never keep looks waiting for much longer than two of the slowest periods.
#[must_use]
pub fn floor(requests: usize, fastest: Duration, requests_per_second: f64, triggers_wait: bool, slowest: Duration) -> Duration {
    let requests = f64::from(u32::try_from(requests).unwrap_or(u32::MAX));
    let at = |share: f64| Duration::try_from_secs_f64(requests / (share * requests_per_second)).unwrap_or(Duration::MAX).max(fastest);
    if triggers_wait { at(SHARE_BESIDE_TRIGGERS).min(at(LEAST_SHARE).max(slowest.saturating_mul(2))) } else { at(SHARE) }
}

/// How long the last executions of each pipeline took.
#[derive(Debug, Default)]
pub struct Past(BTreeMap<PipelineId, VecDeque<Duration>>);

/// When an execution is expected to end, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: Duration,
    to: Duration,
}

impl Past {
    /// Records that an execution took this long.
    pub fn add(&mut self, pipeline: &PipelineId, took: Duration) {
        if self.0.len() >= PIPELINES && !self.0.contains_key(pipeline) {
            self.0.pop_first();
        }
        let durations = self.0.entry(pipeline.clone()).or_default();
        if durations.len() >= REMEMBERED {
            durations.pop_front();
        }
        durations.push_back(took);
    }

    /// When the next execution is expected to end: around the median, as exactly as the last ones agree.
    #[must_use]
    pub fn expected(&self, pipeline: &PipelineId) -> Option<Window> {
        let mut durations: Vec<Duration> = self.0.get(pipeline)?.iter().copied().collect();
        durations.sort_unstable();
        let middle = *durations.get(durations.len().checked_div(2)?)?;
        let spread = durations.last()?.saturating_sub(*durations.first()?).checked_div(2)?;
        let margin = spread.max(middle.checked_div(50)?).max(FASTEST);
        Some(Window { from: middle.saturating_sub(margin), to: middle.saturating_add(margin) })
    }
}

impl Window {
    /// When to poll an execution that began then, if the last poll was at `last` and the next one would otherwise be `pace` later.
    #[must_use]
    pub fn next(&self, born: Duration, last: Duration, pace: Duration) -> Option<Duration> {
        let (from, to) = (born.checked_add(self.from)?, born.checked_add(self.to)?);
        let next = last.checked_add(pace)?;
        if last >= to || next <= from {
            return Some(next);
        }
        let dense = to.saturating_sub(from).checked_div(LOOKS)?.max(FASTEST).min(pace);
        last.max(from.checked_sub(dense)?).checked_add(dense)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn past(durations: &[f64]) -> Window {
        let (mut past, pipeline) = (Past::default(), PipelineId::new("orders").unwrap());
        for took in durations {
            past.add(&pipeline, seconds(*took));
        }
        past.expected(&pipeline).unwrap()
    }

    /// The polls of an execution from its beginning until its end, as times after its beginning.
    fn polls(window: Option<Window>, slowest: f64, end: f64) -> Vec<f64> {
        let born = seconds(1_000_000.0);
        let (mut last, mut times) = (born, Vec::new());
        while last.saturating_sub(born) < seconds(end) {
            let pace = period(last.saturating_sub(born), seconds(slowest));
            last = window.and_then(|window| window.next(born, last, pace)).or_else(|| last.checked_add(pace)).unwrap();
            times.push(last.saturating_sub(born).as_secs_f64());
        }
        times
    }

    #[test]
    fn watch_period_grows_with_the_age_of_a_failure() {
        let waits = [0.0, 100.0, 1_000.0, 100_000.0].map(|age| watch_period(seconds(age), seconds(10.0)).as_secs());
        assert_eq!(waits, [10, 10, 50, 300]);
        assert_eq!(watch_period(seconds(0.0), seconds(3_600.0)), seconds(3_600.0), "never more often than the account polls");
    }

    #[test]
    fn period_grows_with_age_within_bounds() {
        let slowest = Duration::from_secs(10);
        assert_eq!(period(Duration::ZERO, slowest), Duration::from_millis(500));
        assert_eq!(period(Duration::from_secs(60), slowest), Duration::from_secs(6));
        assert_eq!(period(Duration::from_secs(3_600), slowest), slowest);
    }

    #[test]
    fn floor_leaves_requests_for_reads() {
        let slowest = Duration::from_secs(10);
        let floors = |requests, rate| [false, true].map(|triggers_wait| floor(requests, FASTEST, rate, triggers_wait, slowest).as_millis());
        assert_eq!(floors(1, 100.0), [500, 500]);
        assert_eq!(floors(1, 5.0), [500, 1_538], "a look leaves seven of eight requests to the triggers that wait");
        assert_eq!(floors(20, 5.0), [5_000, 20_000], "but is not kept waiting for long");
        assert_eq!(floors(100, 5.0), [25_000, 50_000]);
    }

    #[test]
    fn look_that_shows_many_ends_is_repeated_sooner_than_one_of_many_pages_without_any() {
        let of = |requests, ends| fastest(requests, ends).as_millis();
        assert_eq!([of(5, 0), of(5, 10), of(5, 11)], [750, 500, 250]);
        assert_eq!([of(2, 0), of(1, 0), of(1, 1), of(1, 2), of(1, 3)], [500, 500, 500, 500, 250]);
    }

    #[test]
    fn looks_are_dense_only_around_the_expected_end() {
        let without = polls(None, 10.0, 12.3);
        let with = polls(Some(past(&[12.3, 12.2, 12.4])), 10.0, 12.3);
        let near = |times: &[f64]| times.iter().filter(|time| (11.8..12.9).contains(*time)).count();
        assert!(near(&without) <= 1 && near(&with) >= 2, "{without:?} {with:?}");
        assert!(with.last().unwrap() - 12.3 <= 0.5, "{with:?}");
        assert!(with.len() <= without.len() + 3, "{without:?} {with:?}");
    }

    #[test]
    fn long_run_with_expected_end_costs_few_more_polls() {
        let (without, with) = (polls(None, 60.0, 3_600.0), polls(Some(past(&[3_600.0, 3_590.0, 3_610.0])), 60.0, 3_600.0));
        assert!(with.len() <= without.len() + 20, "{} {}", without.len(), with.len());
        assert!(with.last().unwrap() - 3_600.0 <= 10.0, "{with:?}");
    }

    #[test]
    fn pipeline_with_varying_durations_costs_few_more_polls() {
        let (without, with) = (polls(None, 10.0, 600.0), polls(Some(past(&[1.0, 3_000.0, 600.0])), 10.0, 600.0));
        assert!(with.len() <= without.len() + 20, "{} {}", without.len(), with.len());
    }

    #[test]
    fn remembered_durations_are_bounded() {
        let mut past = Past::default();
        for number in 0..2_000 {
            for took in 0..20 {
                past.add(&PipelineId::new(format!("p{number}")).unwrap(), Duration::from_secs(took));
            }
        }
        assert_eq!(past.0.len(), PIPELINES);
        assert!(past.0.values().all(|durations| durations.len() == REMEMBERED));
    }
}
