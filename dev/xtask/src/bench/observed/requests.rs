//! The requests for observed pipelines, by what they are for.

use std::fmt;

use nuvo_sim::{Operation, RecordedRequest};

/// What they are, as [`ObservedRequests`] shows them.
pub const KINDS: &str = "top pages; further pages; pages by pipeline; executions; pipelines";

/// The number of requests by kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObservedRequests {
    /// Pages of the newest executions of an account.
    pub top: usize,
    /// What follows them.
    pub further: usize,
    /// Pages of one pipeline.
    pub by_pipeline: usize,
    /// Reads of an execution by its id.
    pub executions: usize,
    /// Reads of a pipeline.
    pub pipelines: usize,
    /// All others: tokens, proofs of an account.
    pub others: usize,
}

impl ObservedRequests {
    pub fn of(requests: &[RecordedRequest]) -> Self {
        let mut counts = Self::default();
        for request in requests {
            let value = |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            let is_first = value("pagination[offset]").is_none_or(|offset| offset == "0");
            // An account is proven with a list of one entry.
            let is_proof = value("pagination[limit]") == Some("1");
            let count = match request.operation {
                Operation::List if is_proof => &mut counts.others,
                Operation::List if request.pipeline.is_some() => &mut counts.by_pipeline,
                Operation::List if is_first => &mut counts.top,
                Operation::List => &mut counts.further,
                Operation::Read => &mut counts.executions,
                Operation::Pipeline => &mut counts.pipelines,
                Operation::Token | Operation::Create | Operation::Other => &mut counts.others,
            };
            *count = count.saturating_add(1);
        }
        counts
    }

    /// All but the others.
    pub fn all(self) -> usize {
        [self.top, self.further, self.by_pipeline, self.executions, self.pipelines].into_iter().fold(0, usize::saturating_add)
    }
}

impl fmt::Display for ObservedRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { top, further, by_pipeline, executions, pipelines, .. } = self;
        write!(f, "{top}; {further}; {by_pipeline}; {executions}; {pipelines}")
    }
}

/// The most top pages that were asked for within a second.
pub fn most_top_pages_in_a_second(requests: &[RecordedRequest]) -> usize {
    let is_top = |request: &&RecordedRequest| ObservedRequests::of(std::slice::from_ref(*request)).top > 0;
    let mut times: Vec<i64> = requests.iter().filter(is_top).map(|request| request.at_ms).collect();
    times.sort_unstable();
    let within = |(first, at): (usize, &i64)| times.partition_point(|time| *time < at.saturating_add(1_000)).saturating_sub(first);
    times.iter().enumerate().map(within).max().unwrap_or_default()
}
