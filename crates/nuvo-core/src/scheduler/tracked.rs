//! What is known of one execution.

use std::time::Duration;

use super::purpose::Purpose;
use crate::{
    run::{Known, RunRef, is_terminal},
    vocabulary::ExecutionStatus,
};
use nuvo_crds::Execution;

/// An execution that is followed.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) runs: Vec<RunRef>,
    pub(super) born: Duration,
    pub(super) expected: bool,
    pub(super) ours: bool,
    pub(super) known: Option<Known>,
    pub(super) denied_since: Option<Duration>,
    /// When the last read that showed its status was sent.
    pub(super) asked: Option<Duration>,
    /// A run waits for the next answer, whatever that is.
    pub(super) awaited: bool,
    /// A read of it is in flight or queued.
    pub(super) reading: bool,
    /// When it was last read without being in the list: it is not in the list, and has not ended either.
    pub(super) missed: Option<Duration>,
    /// Its failure may be repaired.
    pub(super) watch: Option<Watch>,
    /// Its pipeline was in developer mode when it ended.
    pub(super) developer_mode: bool,
}

/// An execution that has failed and may be repaired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// When it failed.
    pub(super) since: Duration,
    /// When to ask for it again.
    pub(super) next: Duration,
}

impl Tracked {
    /// Whether its status can still change without a repair.
    pub(super) fn is_open(&self) -> bool {
        match &self.known {
            None => true,
            Some(Known::Report(report)) => !report.status.as_deref().is_some_and(is_terminal),
            Some(Known::Lost | Known::Foreign(_)) => false,
        }
    }

    /// When to read it again to find a repair. A repair in progress is looked at like any execution.
    pub(super) fn watched(&self) -> Option<Duration> {
        self.watch.filter(|_| !self.is_open()).map(|watch| watch.next)
    }

    /// Whether a read may end a run that is known to be running. Of an execution that was there before nothing is known yet, and it may have
    /// ended long ago.
    pub(super) fn purpose(&self) -> Purpose {
        let runs = self.ours || self.known.as_ref().is_some_and(is_processing);
        if self.awaited || (runs && self.watch.is_none()) { Purpose::Ending } else { Purpose::Import }
    }

    /// Records what is known of it. `asked` is when it was read by its id, if it was. Returns the runs to be woken.
    pub(super) fn learn(&mut self, known: Known, asked: Option<Duration>, awaited: bool) -> Vec<RunRef> {
        self.denied_since = None;
        // Together with `known`: a run that sees one must see the other.
        self.asked = asked.or(self.asked);
        // A first answer that shows a new execution as running changes nothing.
        let no_news = self
            .known
            .as_ref()
            .map_or_else(|| self.expected && is_processing(&known), |before| before == &known || same_open_status(before, &known));
        self.known = Some(known);
        if no_news && !awaited { Vec::new() } else { self.runs.clone() }
    }
}

/// Whether an execution is known to be running.
pub(super) fn is_processing(known: &Known) -> bool {
    matches!(known, Known::Report(report) if is_processing_report(report))
}

pub(super) fn is_processing_report(report: &Execution) -> bool {
    report.status.as_deref() == Some(ExecutionStatus::Processing.as_str())
}

/// Whether both have the same status, and it is not the last one: of a running execution only the status is shown.
fn same_open_status(before: &Known, now: &Known) -> bool {
    match (before, now) {
        (Known::Report(before), Known::Report(now)) => before.status == now.status && !now.status.as_deref().is_some_and(is_terminal),
        _ => false,
    }
}
