//! What is known of the pipelines that are observed, and what nuvo starts by itself.

use std::time::Duration;

pub const TOP: &str = "top page";
pub const FURTHER: &str = "further page";
pub const FIRST: &str = "page of a pipeline";
pub const EXECUTION: &str = "execution";
pub const PIPELINE: &str = "pipeline";

/// Executions that nuvo starts by itself, again and again.
#[derive(Debug, Clone, Copy)]
pub struct Starts {
    pub account: usize,
    pub pipeline: usize,
    pub trigger: &'static str,
    pub every: Duration,
    pub takes: Duration,
}

/// A pipeline that is observed.
#[derive(Debug, Clone)]
pub struct Observed {
    pub account: usize,
    pub pipeline: usize,
    /// When it was observed first: when that look ended.
    pub seen: Option<Duration>,
    /// When the last complete look began.
    pub complete: Option<Duration>,
    /// How old that became at most before there was another one.
    pub oldest: Duration,
    /// Executions that were counted, and those of them without statistics.
    pub counted: u64,
    pub unread: u64,
    pub late: u64,
}

impl Observed {
    /// How old the last complete look was at most, until now.
    pub fn oldest(&self, now: Duration) -> Duration {
        self.complete.map_or(Duration::ZERO, |complete| now.saturating_sub(complete)).max(self.oldest)
    }
}
