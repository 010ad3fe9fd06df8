//! A nuvo in virtual time: executions, pages, latencies, and faults.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// An execution.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    pub account: usize,
    pub pipeline: usize,
    /// What started it, in nuvo's words.
    pub trigger: &'static str,
    pub created: Duration,
    pub ends: Duration,
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// POSTs are answered with 429.
    pub quota: Range<Duration>,
    /// Every request fails at once.
    pub outage: Range<Duration>,
    /// The requests of this account are never answered.
    pub hanging: Option<usize>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It is answered with 429.
    Quota,
    /// There is no answer.
    Failed,
    /// It was not sent.
    NotSent,
}

/// Numbers of executions, in the order of these times.
type ByTime = BTreeSet<(Duration, usize)>;

/// The server.
#[derive(Debug, Default)]
pub struct Nuvo {
    executions: Vec<Execution>,
    /// Those of each account and of each of its pipelines, oldest first.
    listed: BTreeMap<(usize, Option<usize>), ByTime>,
    /// The running ones of each account, oldest first.
    running: BTreeMap<usize, BTreeSet<usize>>,
    /// The ends to come.
    ends: ByTime,
    pub faults: Faults,
}

/// How long an answer takes, and how long one is waited for.
const LATENCY: Duration = Duration::from_millis(40);
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most entries of a page.
pub const PAGE: usize = 100;

impl Nuvo {
    /// Starts an execution. Returns its number.
    pub fn start(&mut self, execution: Execution) -> usize {
        let number = self.executions.len();
        self.executions.push(execution);
        for pipeline in [None, Some(execution.pipeline)] {
            self.listed.entry((execution.account, pipeline)).or_default().insert((execution.created, number));
        }
        self.running.entry(execution.account).or_default().insert(number);
        self.ends.insert((execution.ends, number));
        number
    }

    pub fn execution(&self, number: usize) -> Execution {
        self.executions[number]
    }

    /// What becomes of a request that is sent now, and how long that takes.
    pub fn fate(&self, account: usize, is_post: bool, now: Duration) -> (Fate, Duration) {
        match () {
            () if self.faults.hanging == Some(account) => (Fate::Failed, TIMEOUT),
            () if self.faults.outage.contains(&now) => (Fate::Failed, LATENCY),
            () if is_post && self.faults.quota.contains(&now) => (Fate::Quota, LATENCY),
            () => (Fate::Answered, LATENCY),
        }
    }

    /// A page of the executions of an account, or of one of its pipelines, newest first, and whether nothing follows.
    pub fn newest(&self, account: usize, pipeline: Option<usize>, offset: usize) -> (Vec<usize>, bool) {
        let all = self.listed.get(&(account, pipeline));
        let page: Vec<usize> = all.into_iter().flatten().rev().skip(offset).take(PAGE).map(|(_, number)| *number).collect();
        let is_last = offset + page.len() >= all.map_or(0, BTreeSet::len);
        (page, is_last)
    }

    /// The executions of a pipeline.
    pub fn of_pipeline(&self, account: usize, pipeline: usize) -> impl Iterator<Item = &Execution> {
        self.listed.get(&(account, Some(pipeline))).into_iter().flatten().map(|(_, number)| &self.executions[*number])
    }

    /// The running executions of an account, oldest first.
    pub fn running(&mut self, account: usize, now: Duration) -> Vec<usize> {
        while let Some((ends, number)) = self.ends.first().copied().filter(|(ends, _)| *ends <= now) {
            self.ends.remove(&(ends, number));
            if let Some(running) = self.running.get_mut(&self.executions[number].account) {
                running.remove(&number);
            }
        }
        self.running.get(&account).into_iter().flatten().copied().collect()
    }
}
