//! The pipelines that are observed, and what nuvo starts by itself: what `src/account/driver/` and `src/controller/pipeline_reconciler.rs` do.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nuvo_core::pipeline::{Details, NuvoInstant, Sighting};
use nuvo_core::run::{AccountHash, PipelineId, Uid};
use nuvo_core::scheduler::{Observable, ObservationAnswer, ObservationRead, ObservedPage, PageRequest, PageScope, PipelineRef};
use nuvo_core::vocabulary::ExecutionStatus;
use nuvo_crds::{AboutPipeline, Mirror, Stats};

use super::{Event, Request, START, World, execution_id, pipeline_id};
use crate::simulate::nuvo::Execution;

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
    complete: Option<Duration>,
    /// How old that became at most before there was another one.
    oldest: Duration,
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

/// What a request for observed pipelines is.
pub(super) fn kind(request: &Request) -> Option<&'static str> {
    match request {
        Request::Observe(PageRequest { scope: PageScope::Account, offset: 0, .. }, _) => Some(TOP),
        Request::Observe(PageRequest { scope: PageScope::Account | PageScope::Overlap, .. }, _) => Some(FURTHER),
        Request::Observe(PageRequest { scope: PageScope::Pipeline(_), .. }, _) => Some(FIRST),
        Request::ReadObserved(ObservationRead::Execution(..)) => Some(EXECUTION),
        Request::ReadObserved(ObservationRead::Pipeline(_)) => Some(PIPELINE),
        _ => None,
    }
}

pub const TOP: &str = "top page";
pub const FURTHER: &str = "further page";
pub const FIRST: &str = "page of a pipeline";
pub const EXECUTION: &str = "execution";
pub const PIPELINE: &str = "pipeline";

/// The time of day at this moment.
fn time_of_day(at: Duration) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(at).expect("a time")
}

fn object_ref(number: usize) -> PipelineRef {
    PipelineRef { uid: Uid::new(number.to_string()).expect("a uid"), namespace: "team".to_owned(), name: number.to_string() }
}

fn number_of(pipeline: &PipelineId) -> usize {
    pipeline.as_str().trim_start_matches("pipeline-").parse().expect("a number")
}

impl World {
    /// Has nuvo start executions, the first one at this time.
    pub fn start_by_itself(&mut self, after: Duration, starts: Starts) {
        self.at(START + after, Event::Begins(starts));
    }

    pub(super) fn begins(&mut self, starts: Starts) {
        let Starts { account, pipeline, trigger, every, takes } = starts;
        self.nuvo.start(Execution { account, pipeline, trigger, created: self.now, ends: self.now + takes });
        self.after(every, Event::Begins(starts));
    }

    /// An object that observes a pipeline from this time on.
    pub fn observe(&mut self, account: usize, pipeline: usize, after: Duration) {
        let observed = Observed { account, pipeline, seen: None, complete: None, oldest: Duration::ZERO, counted: 0, unread: 0, late: 0 };
        self.observed.push(observed);
        self.at(START + after, Event::Observe(self.observed.len() - 1));
    }

    pub(super) fn register(&mut self, number: usize) {
        let Observed { account, pipeline, .. } = self.observed[number];
        let wish = Observable { pipeline: pipeline_id(pipeline), min_rows: 0, mirror: Mirror::default() };
        let of = AccountHash::new(account.to_string()).expect("a hash");
        self.accounts[account].scheduler.observation.observe(&object_ref(number), &wish, None, &of, self.now);
        self.drive(account);
    }

    pub(super) fn page_for_observed(&mut self, account: usize, page: &PageRequest, began: Duration, is_answered: bool) {
        let pipeline = match &page.scope {
            PageScope::Account | PageScope::Overlap => None,
            PageScope::Pipeline(pipeline) => Some(number_of(pipeline)),
        };
        let (numbers, is_last) = self.nuvo.newest(account, pipeline, page.offset);
        let sightings = numbers.iter().map(|number| self.sighting(*number, false)).collect();
        let shown = ObservedPage { began, sent: numbers.len(), sightings, unreadable: 0, is_last };
        let answer = if is_answered { Ok(shown) } else { Err(failed()) };
        let answered_at = time_of_day(self.now);
        let woken = self.accounts[account].scheduler.observation.page_read(page, answer, answered_at, self.now);
        self.reconcile(account, &woken);
    }

    pub(super) fn read_for_observed(&mut self, account: usize, read: &ObservationRead, is_answered: bool) {
        let answer = match read {
            _ if !is_answered => failed(),
            ObservationRead::Pipeline(_) => ObservationAnswer::Pipeline(AboutPipeline::default()),
            ObservationRead::Execution(_, id) => {
                let number = usize::from_str_radix(id.as_str(), 16).expect("a number");
                let (pipeline, sighting) = self.sighting(number, true);
                ObservationAnswer::Execution(pipeline, Box::new(sighting))
            }
        };
        let woken = self.accounts[account].scheduler.observation.read(read, &answer);
        self.reconcile(account, &woken);
    }

    /// An execution as nuvo shows it now.
    fn sighting(&self, number: usize, is_read: bool) -> (Option<String>, Sighting) {
        let Execution { pipeline, trigger, created, ends, .. } = self.nuvo.execution(number);
        let has_ended = ends <= self.now;
        let instant = |at: Duration| Some(NuvoInstant { at: time_of_day(at), is_zoned: true });
        let stats = Stats { total_rows: Some(10), ..Stats::default() };
        let sighting = Sighting {
            id: execution_id(number),
            status: if has_ended { ExecutionStatus::Successful } else { ExecutionStatus::Processing },
            trigger_type: Some(trigger.to_owned()),
            created: instant(created),
            updated: instant(if has_ended { ends } else { created }),
            error_type: None,
            created_by: None,
            details: is_read.then(|| Details { stats: has_ended.then_some(stats), ended: has_ended.then(|| time_of_day(ends)) }),
        };
        (Some(pipeline_id(pipeline).to_string()), sighting)
    }

    /// How many executions were not counted, though they began after the pipeline was seen first and had ended when the last complete look began.
    /// One may still wait to be read.
    pub fn uncounted(&self, observed: &Observed) -> u64 {
        let Observed { account, pipeline, seen: Some(seen), complete: Some(complete), counted, .. } = *observed else { return 0 };
        let due = |of: &&Execution| of.pipeline == pipeline && of.created > seen && of.ends < complete;
        let due = self.nuvo.of_pipeline(account, pipeline).filter(due).count() as u64;
        due.saturating_sub(counted + 1)
    }

    /// What a reconcile of each of these objects takes from what is known.
    fn reconcile(&mut self, account: usize, woken: &[PipelineRef]) {
        for object in woken {
            let (_, counts, complete) = self.accounts[account].scheduler.observation.observed(object);
            let Some(observed) = object.name.parse::<usize>().ok().and_then(|number| self.observed.get_mut(number)) else { continue };
            observed.counted += counts.executions.values().sum::<u64>();
            (observed.unread, observed.late) = (observed.unread + counts.unread, observed.late + counts.late);
            if let Some(complete) = complete {
                // Of some object everything is known until then.
                let (last, oldest) = self.counts.looks.entry(account).or_insert((complete, Duration::ZERO));
                if complete > *last {
                    *oldest = (*oldest).max(self.now - *last);
                    *last = complete;
                }
            }
            if complete > observed.complete {
                let seen = *observed.seen.get_or_insert(self.now);
                observed.oldest = observed.oldest(self.now);
                // What is there when it is seen first may have waited for long.
                observed.complete = complete.max(Some(seen));
            }
        }
    }
}

fn failed() -> ObservationAnswer {
    ObservationAnswer::Failed("no answer".to_owned())
}
