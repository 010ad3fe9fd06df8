//! What a poller knows of executions, and when it polls next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::poll_period::{FASTEST, Past, period};
use crate::account::Session;
use nuvo_client::ExecutionStatus;
use nuvo_core::run::{ExecutionId, Known, PipelineId};
use nuvo_crds::PipelineRun;

/// An execution and the pipeline that it must belong to.
pub(super) type Key = (PipelineId, ExecutionId);

#[derive(Default)]
pub(super) struct State {
    pub(super) session: Option<Arc<Session>>,
    pub(super) entries: BTreeMap<Key, TrackedExecution>,
    pub(super) by_run: HashMap<String, BTreeSet<Key>>,
    pub(super) past: Past,
    /// When to poll next.
    pub(super) next: Option<Instant>,
    /// The next poll is not before this, so that polls use no more than their share of the rate limit.
    pub(super) earliest: Option<Instant>,
}

pub(super) struct TrackedExecution {
    pub(super) runs: Vec<ObjectRef<PipelineRun>>,
    pub(super) born: Instant,
    pub(super) ours: bool,
    pub(super) expected: bool,
    pub(super) known: Option<Known>,
    pub(super) denied_since: Option<Instant>,
    /// When the last read that showed its status was sent.
    pub(super) asked: Option<Instant>,
    /// A run waits for the next answer, whatever that is.
    pub(super) awaited: bool,
    /// A read of it is in flight or queued.
    pub(super) reading: bool,
    /// When it was last read without being in the list: it is not in the list, and has not ended either.
    pub(super) missed: Option<Instant>,
    /// Its failure may be repaired.
    pub(super) watch: Option<Watch>,
    /// Its pipeline was in developer mode when it ended.
    pub(super) developer_mode: bool,
}

/// An execution that has failed and may be repaired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// When it failed.
    pub(super) since: Instant,
    /// When to ask for it again.
    pub(super) next: Instant,
}

impl TrackedExecution {
    /// Whether its status can still change without a repair.
    pub(super) fn is_open(&self) -> bool {
        match &self.known {
            None => true,
            Some(Known::Report(report)) => !report.status.as_deref().is_some_and(nuvo_core::run::is_terminal),
            Some(Known::Lost | Known::Foreign(_)) => false,
        }
    }

    /// When to read it again to find a repair. A repair in progress is polled like any execution.
    pub(super) fn watched(&self) -> Option<Instant> {
        self.watch.filter(|_| !self.is_open()).map(|watch| watch.next)
    }
}

/// Whether an execution is known to be running.
pub(super) fn is_processing(known: &Known) -> bool {
    matches!(known, Known::Report(report) if report.status.as_deref() == Some(ExecutionStatus::Processing.as_str()))
}

impl State {
    /// Polls no later than this.
    pub(super) fn poll_by(&mut self, at: Option<Instant>) {
        let at = at.map(|at| self.earliest.map_or(at, |earliest| at.max(earliest)));
        self.next = [self.next, at].into_iter().flatten().min();
    }

    /// Plans the poll after the one that began at `last`.
    pub(super) fn plan(&mut self, last: Instant, floor: Duration, slowest: Duration, more_will_end: bool) {
        self.earliest = last.checked_add(floor);
        self.next = None;
        let repair = self.entries.values().filter_map(TrackedExecution::watched).min();
        self.poll_by(repair);
        let Some(youngest) = self.entries.values().filter(|entry| entry.is_open()).map(|entry| entry.born).max() else { return };
        let late = self.entries.values().any(|entry| entry.awaited && entry.is_open());
        let pace = if late || more_will_end { FASTEST } else { period(last.saturating_duration_since(youngest), slowest) };
        self.poll_by(last.checked_add(pace));
        let soonest = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_open())
            .filter_map(|((pipeline, _), entry)| self.past.expected(pipeline)?.next(entry.born, last, pace));
        let soonest = soonest.min();
        self.poll_by(soonest);
    }
}
