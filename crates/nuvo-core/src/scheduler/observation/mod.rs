//! The pipelines of one account that `NuvoPipeline`s observe: which page of nuvo's list is read next, and which execution or pipeline.
//!
//! One page of the newest executions of the account per period serves all of them. What it does not reach is read with requests that nothing else
//! wants: further pages, what was there when a pipeline is observed first, executions that have ended, and the pipelines themselves.

mod about;
mod look;
mod object;
mod overlap;
mod page;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::{NuvoPipelineStatus, SeenExecution};

pub use look::{ObservedPage, PageRequest, PageScope};
pub use object::{Observable, PipelineRef};
use read::ReadQueue;
pub use read::{ObservationAnswer, ObservationRead};

use super::purpose::Purpose;
use crate::{
    pipeline::{Counts, Observed, ObservedState, PipelineRecord, Sighting, Zone},
    run::{AccountHash, ExecutionId, PipelineId},
};
use about::Abouts;
use look::{Look, Progress, Reach};
use object::Object;
use overlap::OverlapRead;

/// The most objects of an account that are observed.
pub const MOST_OBSERVED: usize = 2_000;
/// Executions that were created shortly before others can come shortly after them.
const BETWEEN_PAGES: SignedDuration = SignedDuration::from_secs(30);
/// The time from the first wish to observe to the first look, in which the other objects say what they have seen, and what may be added to it.
const FIRST_AFTER: Duration = Duration::from_secs(2);
const FIRST_SPREAD: Duration = Duration::from_secs(8);

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Due {
    Page(PageRequest),
    Read(ObservationRead),
    /// Nothing before this time, unless something changes.
    Wait(Option<Duration>),
}

/// What the objects of one account observe. All times are those of one monotonic clock, which is handed in.
#[derive(Debug)]
pub struct Observation {
    overlap: Duration,
    spread: f64,
    /// None while the account cannot be used.
    period: Option<Duration>,
    objects: BTreeMap<PipelineRef, Object>,
    abouts: Abouts,
    zone: Zone,
    /// When the last look was begun or tried.
    looked: Option<Duration>,
    next_look: Option<Duration>,
    look: Option<Look>,
    /// How many looks were begun: what is answered of another one is not of this.
    looks: u64,
    /// The look of which a page is being read that comes before new triggers.
    top_out: Option<u64>,
    /// The look during which another page was asked for that is being read. It may have to wait for long.
    page_out: Option<u64>,
    /// The last complete look.
    reached: Option<Reach>,
    overlap_read: OverlapRead,
    /// The list of the account is not in the order that was asked for.
    is_disordered: bool,
    failure: Option<ObservedState>,
    pages: VecDeque<PipelineId>,
    reads: ReadQueue,
}

impl Observation {
    /// Nothing is observed. A new execution can be older than the newest one by `overlap`; for `spread` see
    /// [`Executions::new`](super::Executions::new).
    #[must_use]
    pub fn new(overlap: Duration, spread: f64) -> Self {
        Self {
            overlap,
            spread: spread.clamp(0.0, 1.0),
            period: None,
            objects: BTreeMap::new(),
            abouts: Abouts::default(),
            zone: Zone::default(),
            looked: None,
            next_look: None,
            look: None,
            looks: 0,
            top_out: None,
            page_out: None,
            reached: None,
            overlap_read: OverlapRead::default(),
            is_disordered: false,
            failure: None,
            pages: VecDeque::new(),
            reads: ReadQueue::default(),
        }
    }

    /// The time between two looks from now on; none while the account cannot be used.
    pub(super) fn set_period(&mut self, period: Option<Duration>) {
        self.period = period;
    }

    /// Observes a pipeline for this object. Idempotent. What the status has kept counts if nothing is known yet. Returns whether the object is new,
    /// so that the next look may be due earlier.
    pub fn observe(
        &mut self,
        object: &PipelineRef,
        wish: &Observable,
        status: Option<&NuvoPipelineStatus>,
        account: &AccountHash,
        now: Duration,
    ) -> bool {
        // What was seen with another account is of other executions.
        if self.objects.values().next().is_some_and(|other| other.record.account() != account) {
            self.forget_everything();
        }
        if let Some(known) = self.objects.get_mut(object) {
            known.record.set_wishes(wish.min_rows, &wish.mirror);
            return false;
        }
        if self.objects.len() >= MOST_OBSERVED {
            return false;
        }
        let mut record = PipelineRecord::load(status, account.clone());
        record.set_wishes(wish.min_rows, &wish.mirror);
        // The looks do not read back to what it has seen last.
        let newest = self.reached.as_ref().and_then(|reach| reach.newest);
        if record.floor().flatten() < newest.map(|newest| self.floor_below(newest)) {
            record.look_anew(newest.and_then(|newest| newest.checked_sub(page::AWAY).ok()));
        }
        let is_unseen = record.floor().is_none();
        self.objects.insert(object.clone(), Object::new(wish.pipeline.clone(), record));
        if self.looked.is_none() {
            self.next_look.get_or_insert(now.saturating_add(FIRST_AFTER).saturating_add(FIRST_SPREAD.mul_f64(self.spread)));
        } else if is_unseen && self.reached.is_some() {
            self.want_pages([wish.pipeline.clone()].into());
        }
        self.want_about(&wish.pipeline, now);
        true
    }

    /// The account is another one: nothing that is known is of it.
    fn forget_everything(&mut self) {
        let Self { overlap, spread, period, looks, .. } = *self;
        *self = Self { period, looks: looks.wrapping_add(1), ..Self::new(overlap, spread) };
    }

    /// Observes nothing for this object any more.
    pub fn forget(&mut self, object: &PipelineRef) {
        self.objects.remove(object);
        let left: BTreeSet<&PipelineId> = self.objects.values().map(|object| &object.pipeline).collect();
        self.abouts.keep(&left);
        self.reads.keep(&left);
        self.pages.retain(|pipeline| left.contains(pipeline));
        if self.objects.is_empty() {
            // The next one begins anew, and until then nothing is asked.
            self.forget_everything();
        }
    }

    /// New executions that are to be mirrored for this object, in the order in which they were seen.
    #[must_use]
    pub fn unmirrored(&self, object: &PipelineRef) -> Vec<SeenExecution> {
        self.objects.get(object).map(|object| object.record.unmirrored().to_vec()).unwrap_or_default()
    }

    /// An execution is mirrored for this object, or will not be.
    pub fn mirrored(&mut self, object: &PipelineRef, id: &str) {
        if let Some(object) = self.objects.get_mut(object) {
            object.record.mirrored(id);
        }
    }

    /// What is known for this object, and what was counted since this was asked last.
    #[must_use]
    pub fn observed(&mut self, object: &PipelineRef) -> (Observed, Counts, Option<Duration>) {
        let gap = self.gap();
        let Some(known) = self.objects.get_mut(object) else {
            let state = if self.objects.len() >= MOST_OBSERVED { ObservedState::TooMany(MOST_OBSERVED) } else { ObservedState::Pending };
            return (Observed::nothing(state), Counts::default(), None);
        };
        let counts = known.record.take_counts();
        let about = self.abouts.get(&known.pipeline);
        let (is_missing, is_seen) = (about.is_some_and(|about| about.is_missing), known.complete.is_some());
        let state = match &self.failure {
            _ if is_missing => ObservedState::NotFound,
            Some(failure) => failure.clone(),
            _ if known.is_disordered => ObservedState::OrderUnknown,
            _ if !is_seen => ObservedState::Pending,
            _ if gap.is_some() => ObservedState::CatchingUp,
            _ => ObservedState::Observed,
        };
        let observed = Observed {
            state,
            report: is_seen.then(|| known.record.report()),
            about: about.and_then(|about| about.about.clone()),
            complete: None,
            gap,
            is_zone_assumed: self.zone.is_assumed(),
        };
        (observed, counts, known.complete.and_then(|complete| known.record.known_until(complete)))
    }

    /// What a look that is not complete yet has read: newest and oldest.
    fn gap(&self) -> Option<(Timestamp, Timestamp)> {
        self.look.as_ref().filter(|look| look.is_behind()).and_then(Look::read)
    }

    /// What is to be done next. Nothing is asked during a pause of this length, and nothing while the account cannot be used.
    pub(super) fn next(&mut self, now: Duration, pause: Option<Duration>) -> Due {
        let Some(period) = self.period.filter(|_| !self.objects.is_empty()) else { return Due::Wait(None) };
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            return Due::Wait(Some(now.saturating_add(pause)));
        }
        if self.top_out.is_none() {
            if self.next_look.is_some_and(|next| next <= now) {
                return Due::Page(self.begin_look(now, period));
            }
            if let Some(look) = self.look.as_ref().filter(|look| look.wants_urgently()) {
                self.top_out = Some(self.looks);
                return Due::Page(look.page(Purpose::Observation, self.looks));
            }
            if self.page_out.is_none()
                && let Some(page) = self.next_page()
            {
                self.page_out = Some(page.look);
                return Due::Page(page);
            }
        }
        match self.reads.next() {
            Some(read) => Due::Read(read),
            None => Due::Wait(self.next_look.filter(|_| self.top_out.is_none())),
        }
    }

    fn begin_look(&mut self, now: Duration, period: Duration) -> PageRequest {
        // After a start all accounts look at once, and then each at its own time of the period.
        let until_next = if self.looked.is_none() { period.mul_f64((1.0 + self.spread) / 2.0) } else { period };
        (self.looked, self.next_look) = (Some(now), Some(now.saturating_add(until_next)));
        self.looks = self.looks.wrapping_add(1);
        let floor = self.look_floor();
        let look = match self.look.take() {
            Some(unfinished) => unfinished.again(now, floor),
            None => Look::new(now, floor),
        };
        let page = look.page(Purpose::Observation, self.looks);
        (self.look, self.top_out) = (Some(look), Some(self.looks));
        page
    }

    fn next_page(&mut self) -> Option<PageRequest> {
        let purpose = Purpose::ObservationDetail;
        if let Some(look) = self.look.as_ref().filter(|look| look.is_behind() && !look.is_tick_over()) {
            return Some(look.page(purpose, self.looks));
        }
        let pipeline = self.pages.pop_front().map(|pipeline| (PageScope::Pipeline(pipeline), 0));
        let (scope, offset) = pipeline.or_else(|| Some((PageScope::Overlap, self.overlap_read.offset()?)))?;
        Some(PageRequest { scope, offset, purpose, look: self.looks })
    }

    /// How far back a look must read.
    fn look_floor(&self) -> Progress {
        match &self.reached {
            Some(Reach { settled: Some(settled), .. }) => Progress::To(settled.checked_sub(BETWEEN_PAGES).unwrap_or(*settled)),
            Some(Reach { settled: None, .. }) => Progress::ToTheEnd,
            // The first page shows how late it is in nuvo.
            None => Progress::FirstPage,
        }
    }

    /// What is created before this time cannot be new any more once this execution was seen.
    fn floor_below(&self, newest: Timestamp) -> Timestamp {
        newest.checked_sub(self.zone.overlap(self.overlap)).unwrap_or(newest)
    }

    /// What is there already is to be looked at for the objects that have seen nothing yet.
    fn want_first_pages(&mut self) {
        if self.reached.is_none() || self.is_disordered {
            return;
        }
        let is_unseen = |object: &&Object| object.record.floor().is_none() || object.has_wrong_times;
        let unseen = self.objects.values().filter(is_unseen).map(|object| object.pipeline.clone());
        self.want_pages(unseen.collect());
    }

    /// Pages of these pipelines are to be read, those that do not wait already.
    fn want_pages(&mut self, pipelines: BTreeSet<PipelineId>) {
        let waiting: BTreeSet<&PipelineId> = self.pages.iter().collect();
        let new: Vec<PipelineId> = pipelines.into_iter().filter(|pipeline| !waiting.contains(pipeline)).collect();
        self.pages.extend(new);
    }

    /// One read for each object, and the pipelines that were not read for an hour.
    fn want_reads(&mut self, now: Duration) {
        let mut wanted: BTreeSet<ObservationRead> = BTreeSet::new();
        for object in self.objects.values_mut() {
            if let Some(id) = object.record.next_read(now) {
                wanted.insert(ObservationRead::Execution(object.pipeline.clone(), id));
            }
        }
        self.reads.extend(wanted);
        let pipelines: BTreeSet<PipelineId> = self.objects.values().map(|object| object.pipeline.clone()).collect();
        for pipeline in pipelines {
            self.want_about(&pipeline, now);
        }
    }

    fn want_about(&mut self, pipeline: &PipelineId, now: Duration) {
        if self.abouts.is_due(pipeline, now) {
            self.reads.extend([ObservationRead::Pipeline(pipeline.clone())].into());
        }
    }

    /// nuvo has answered a read. Returns the objects of which something else is known now.
    pub fn read(&mut self, read: &ObservationRead, answer: &ObservationAnswer) -> Vec<PipelineRef> {
        if !self.reads.answered(read) {
            return Vec::new();
        }
        let zone = self.zone;
        match read {
            ObservationRead::Pipeline(pipeline) => {
                self.abouts.answered(pipeline, answer);
                self.of(pipeline).collect()
            }
            ObservationRead::Execution(pipeline, id) => {
                for object in self.objects.values_mut().filter(|object| object.pipeline == *pipeline) {
                    match answer {
                        ObservationAnswer::Execution(named, sighting)
                            if named.as_deref().is_none_or(|named| named == pipeline.as_str()) =>
                        {
                            object.record.read(sighting, &zone);
                        }
                        ObservationAnswer::Execution(..) | ObservationAnswer::NotFound => object.record.read_failed(id, true),
                        _ => object.record.read_failed(id, false),
                    }
                }
                self.of(pipeline).collect()
            }
        }
    }

    /// A run has read an execution of this pipeline that has ended. It is not asked for again.
    pub fn read_for_a_run(&mut self, pipeline: &PipelineId, sighting: Sighting) {
        if self.objects.values().any(|object| object.pipeline == *pipeline) {
            self.reads.read_for_a_run(sighting);
        }
    }

    /// What a run has read of an execution.
    #[must_use]
    pub fn known_to_a_run(&self, id: &ExecutionId) -> Option<Sighting> {
        self.reads.of_run(id)
    }

    /// The objects of a pipeline.
    fn of<'a>(&'a self, pipeline: &'a PipelineId) -> impl Iterator<Item = PipelineRef> + 'a {
        self.objects.iter().filter(move |(_, object)| object.pipeline == *pipeline).map(|(reference, _)| reference.clone())
    }
}

#[cfg(test)]
mod tests;
