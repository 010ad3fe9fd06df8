//! Counts the requests to nuvo that the simulator recorded.

use std::collections::BTreeSet;
use std::time::Duration;

use nuvo_sim::{Operation, RecordedRequest};

use super::percentiles::Percentiles;

/// The windows in which the budget is checked.
const WINDOW_MS: i64 = 5_000;

/// The number of requests by kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestCounts {
    pub create: usize,
    pub read: usize,
    /// Lists of the running executions.
    pub list: usize,
    /// Lists of the newest executions, before a trigger and to verify the account.
    pub newest: usize,
    pub token: usize,
    pub other: usize,
}

impl RequestCounts {
    pub fn of(requests: &[RecordedRequest]) -> Self {
        let mut counts = Self::default();
        for request in requests {
            let count = match request.operation {
                Operation::Create => &mut counts.create,
                Operation::Read => &mut counts.read,
                Operation::List if request.query.iter().any(|(key, _)| key.starts_with("filters[status]")) => &mut counts.list,
                Operation::List => &mut counts.newest,
                Operation::Token => &mut counts.token,
                _ => &mut counts.other,
            };
            *count = count.saturating_add(1);
        }
        counts
    }

    pub fn all(self) -> usize {
        [self.create, self.read, self.list, self.newest, self.token, self.other].into_iter().fold(0, usize::saturating_add)
    }
}

/// The most requests within any five seconds.
pub fn most_in_window(requests: &[RecordedRequest]) -> usize {
    let mut times: Vec<i64> = requests.iter().map(|request| request.at_ms).collect();
    times.sort_unstable();
    let beginnings = times.iter().enumerate();
    let within = beginnings.map(|(first, at)| {
        let end = times.partition_point(|time| *time < at.saturating_add(WINDOW_MS));
        end.saturating_sub(first)
    });
    within.max().unwrap_or_default()
}

/// The most requests allowed within any five seconds: a full token bucket and five seconds of refill.
pub fn allowed(per_second: u32) -> usize {
    usize::try_from(per_second).unwrap_or(usize::MAX).saturating_mul(6)
}

/// A message if the budget was exceeded. Requests count when they arrive: on a busy machine one may be delayed and arrive with later
/// ones, so a quarter of a second of the budget is tolerated.
pub fn over_budget(requests: &[RecordedRequest], per_second: u32) -> Option<String> {
    let (most_in_window, allowed) = (most_in_window(requests), allowed(per_second));
    let tolerated = usize::try_from(per_second.div_ceil(4)).unwrap_or_default();
    (most_in_window > allowed.saturating_add(tolerated))
        .then(|| format!("{most_in_window} requests reached nuvo within 5 s; the budget of {per_second}/s allows {allowed}"))
}

/// How long the simulator took, from the arrival of a request to its answer.
pub fn served(requests: &[RecordedRequest]) -> Percentiles {
    let time = |request: &RecordedRequest| u64::try_from(request.answered_ms?.saturating_sub(request.at_ms)).ok();
    Percentiles::of(requests.iter().filter_map(time).map(Duration::from_millis))
}

/// How many POSTs were carried out, and how many different request ids they have.
pub fn carried_out(requests: &[RecordedRequest]) -> (usize, usize) {
    let executed = || requests.iter().filter(|request| request.operation == Operation::Create && request.executed);
    let names: BTreeSet<&str> = executed().filter_map(|request| request.header("x-request-id")).collect();
    (executed().count(), names.len())
}
