//! The requests that have reached the simulator.

use std::collections::BTreeSet;
use std::time::Duration;

use nuvo_sim::{Operation, Request};

use super::measure::Spread;

/// The windows in which the budget is checked.
const WINDOW_MS: i64 = 5_000;

/// How many there were, by kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kinds {
    pub create: usize,
    pub read: usize,
    /// Lists of what is running.
    pub list: usize,
    /// Lists of what is newest, before a trigger and to prove the account.
    pub newest: usize,
    pub token: usize,
    pub other: usize,
}

impl Kinds {
    pub fn of(requests: &[Request]) -> Self {
        let mut kinds = Self::default();
        for request in requests {
            let count = match request.operation {
                Operation::Create => &mut kinds.create,
                Operation::Read => &mut kinds.read,
                Operation::List if request.query.iter().any(|(key, _)| key.starts_with("filters[status]")) => &mut kinds.list,
                Operation::List => &mut kinds.newest,
                Operation::Token => &mut kinds.token,
                _ => &mut kinds.other,
            };
            *count = count.saturating_add(1);
        }
        kinds
    }

    pub fn all(self) -> usize {
        [self.create, self.read, self.list, self.newest, self.token, self.other].into_iter().fold(0, usize::saturating_add)
    }
}

/// The most requests within any five seconds.
pub fn densest(requests: &[Request]) -> usize {
    let mut times: Vec<i64> = requests.iter().map(|request| request.at_ms).collect();
    times.sort_unstable();
    let beginnings = times.iter().enumerate();
    let within = beginnings.map(|(first, at)| {
        let end = times.partition_point(|time| *time < at.saturating_add(WINDOW_MS));
        end.saturating_sub(first)
    });
    within.max().unwrap_or_default()
}

/// How many there may be within any five seconds: a full bucket, and what comes after it.
pub fn allowed(per_second: u32) -> usize {
    usize::try_from(per_second).unwrap_or(usize::MAX).saturating_mul(6)
}

/// What is wrong with their number. Requests are counted as they arrive: one that was held up on its way by a busy machine arrives with
/// later ones, so a quarter of a second of the budget may come on top.
pub fn over_budget(requests: &[Request], per_second: u32) -> Option<String> {
    let (densest, allowed) = (densest(requests), allowed(per_second));
    let held_up = usize::try_from(per_second.div_ceil(4)).unwrap_or_default();
    (densest > allowed.saturating_add(held_up))
        .then(|| format!("{densest} requests reached nuvo within 5 s; the budget of {per_second}/s allows {allowed}"))
}

/// How long the simulator took, from the arrival of a request to its answer.
pub fn served(requests: &[Request]) -> Spread {
    let time = |request: &Request| u64::try_from(request.answered_ms?.saturating_sub(request.at_ms)).ok();
    Spread::of(requests.iter().filter_map(time).map(Duration::from_millis))
}

/// How many POSTs were carried out, and how many different ones these are by their names.
pub fn carried_out(requests: &[Request]) -> (usize, usize) {
    let executed = || requests.iter().filter(|request| request.operation == Operation::Create && request.executed);
    let names: BTreeSet<&str> = executed().filter_map(|request| request.header("x-request-id")).collect();
    (executed().count(), names.len())
}
