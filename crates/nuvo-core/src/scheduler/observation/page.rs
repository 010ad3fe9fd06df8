//! What the pages of nuvo's list say.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    Observation, ObservationAnswer,
    look::{Look, ObservedPage, PageRequest, PageScope, Progress, Reach},
    object::{Object, PipelineRef},
    overlap::OverlapRead,
};
use crate::{
    pipeline::{NuvoInstant, ObservedState, Sighting},
    run::PipelineId,
    scheduler::purpose::Purpose,
    vocabulary::ExecutionStatus,
};

/// The longest time for which a pipeline was not looked at, after which the list of the account is not read back so far.
pub(super) const AWAY: SignedDuration = SignedDuration::from_hours(2);

impl Observation {
    /// A page was read, and answered at this time of day. Returns the objects of which something else is known now.
    pub fn page_read(
        &mut self,
        page: &PageRequest,
        answer: Result<ObservedPage, ObservationAnswer>,
        answered_at: Timestamp,
        now: Duration,
    ) -> Vec<PipelineRef> {
        let out = if page.purpose == Purpose::Observation { &mut self.top_out } else { &mut self.page_out };
        // The account was another one, or was observed for other objects.
        if out.take_if(|look| *look == page.look).is_none() {
            return Vec::new();
        }
        let shown = match answer {
            Ok(shown) => shown,
            Err(refusal) => return self.page_failed(page, &refusal),
        };
        self.notice_zone(&shown);
        let had_failed = self.failure.take().is_some();
        let mut woken = match &page.scope {
            PageScope::Account if page.look != self.looks => {
                self.late_page(page, &shown);
                Vec::new()
            }
            PageScope::Account => self.account_page(&shown, answered_at, now),
            PageScope::Overlap => self.overlap_page(&shown, now),
            PageScope::Pipeline(pipeline) => self.pipeline_page(pipeline, &shown, now),
        };
        if had_failed {
            woken.extend(self.objects.keys().cloned());
        }
        woken.sort_unstable();
        woken.dedup();
        woken
    }

    fn page_failed(&mut self, page: &PageRequest, refusal: &ObservationAnswer) -> Vec<PipelineRef> {
        // It is tried again in the next period.
        if let (PageScope::Account, Some(look)) = (&page.scope, &mut self.look)
            && page.look == self.looks
        {
            look.end_tick();
        }
        let failure = match refusal {
            ObservationAnswer::Forbidden => ObservedState::Forbidden,
            ObservationAnswer::Failed(why) => ObservedState::Unavailable(why.clone()),
            _ => return Vec::new(),
        };
        let is_news = self.failure.as_ref() != Some(&failure);
        self.failure = Some(failure);
        if is_news { self.objects.keys().cloned().collect() } else { Vec::new() }
    }

    /// Keeps what a page has shown that was asked for before the present look began.
    fn late_page(&mut self, page: &PageRequest, shown: &ObservedPage) {
        if shown.is_descending()
            && let Some(look) = self.look.as_mut()
            && look.goes_on_after(page.offset, shown)
        {
            let kept = note(&mut self.objects, shown);
            look.keep(kept);
        }
    }

    fn account_page(&mut self, shown: &ObservedPage, answered_at: Timestamp, now: Duration) -> Vec<PipelineRef> {
        let Some(mut look) = self.look.take() else { return Vec::new() };
        let is_all = shown.is_last && look.is_at_the_top();
        // What is new comes in at the top.
        let rises = !look.is_at_the_top() && shown.newest() > look.newest();
        if rises || !(shown.is_descending() || is_all) {
            return self.disordered(look.began());
        }
        self.is_disordered = false;
        let was_assumed = self.zone.is_assumed();
        self.measure_zone(shown, answered_at);
        if was_assumed && !self.zone.is_assumed() {
            for object in self.objects.values_mut() {
                object.has_wrong_times = true;
            }
        }
        let kept = note(&mut self.objects, shown);
        if self.reached.is_none() && look.is_at_the_top() {
            let newest = shown.newest();
            let floors = self.objects.values().filter_map(|object| object.record.floor().flatten());
            let recent = newest.and_then(|newest| newest.checked_sub(AWAY).ok());
            let back_to = floors.filter(|floor| recent.is_some_and(|recent| *floor >= recent)).min();
            for object in self.objects.values_mut() {
                if object.record.floor().flatten().is_none_or(|floor| recent.is_some_and(|recent| floor < recent)) {
                    object.record.look_anew(recent);
                }
            }
            look.set_floor(back_to.map_or(Progress::FirstPage, Progress::To));
        }
        let is_complete = look.add(shown, kept);
        if !is_complete {
            let is_news = look.is_tick_over();
            self.look = Some(look);
            return if is_news { self.objects.keys().cloned().collect() } else { Vec::new() };
        }
        let newest = look.newest().into_iter().chain(self.reached.as_ref().and_then(|reach| reach.newest)).max();
        let settled = look.settled().into_iter().chain(newest).min();
        let floor = settled.filter(|settled| self.has_read_overlap(&look, *settled, now)).map(|settled| self.floor_below(settled));
        let (zone, is_whole) = (self.zone, look.is_whole());
        // An object may have seen less than the one that the first look reads back to.
        let late_from = look.floor().filter(|_| self.reached.is_some());
        // More were created than are kept: what is older was not read.
        let unread_until = look.read().filter(|_| look.is_cut()).map(|(_, oldest)| oldest);
        for object in self.objects.values_mut().filter(|object| object.record.floor().is_some()) {
            object.record.complete_look(late_from, floor, &zone);
            object.is_disordered = false;
            if let Some(at) = unread_until {
                object.record.unseen_until(NuvoInstant { at, is_zoned: false }, &zone);
            }
            if is_whole {
                object.complete = Some(look.began());
            }
        }
        self.reached = Some(Reach { newest, settled, answered_at });
        self.want_first_pages();
        self.want_reads(now);
        self.objects.keys().cloned().collect()
    }

    /// Whether a look that is complete has read the overlap, too. Otherwise that is read later, if it is time for it.
    fn has_read_overlap(&mut self, look: &Look, settled: Timestamp, now: Duration) -> bool {
        // What is there when the first look is made is seen with the pages of the pipelines.
        let is_read = self.reached.is_none() || self.known_below().is_none_or(|known| look.reads_back_to(known));
        if is_read {
            self.overlap_read.done(now, settled);
        } else {
            self.overlap_read.go_on(look.offset(), settled, now);
        }
        is_read
    }

    /// What was created before this time is known.
    fn known_below(&self) -> Option<Timestamp> {
        self.overlap_read.settled().map(|settled| self.floor_below(settled))
    }

    fn overlap_page(&mut self, shown: &ObservedPage, now: Duration) -> Vec<PipelineRef> {
        if !shown.is_descending() {
            self.overlap_read.give_up();
            return Vec::new();
        }
        note(&mut self.objects, shown);
        let Some(settled) = self.overlap_read.add(shown, self.known_below(), now) else { return Vec::new() };
        let (floor, zone) = (self.floor_below(settled), self.zone);
        for object in self.objects.values_mut() {
            object.record.learn_shown(None, Some(floor), &zone);
        }
        self.objects.keys().cloned().collect()
    }

    /// The list of the account is not in the order that was asked for: each pipeline has a list of its own.
    fn disordered(&mut self, began: Duration) -> Vec<PipelineRef> {
        (self.is_disordered, self.reached, self.overlap_read) = (true, None, OverlapRead::default());
        let pipelines: BTreeSet<PipelineId> = self.objects.values().map(|object| object.pipeline.clone()).collect();
        self.want_pages(pipelines);
        self.want_reads(began);
        Vec::new()
    }

    fn pipeline_page(&mut self, pipeline: &PipelineId, shown: &ObservedPage, now: Duration) -> Vec<PipelineRef> {
        let of_pipeline = shown.sightings.iter().filter(|(named, _)| named.as_deref() == Some(pipeline.as_str()));
        let sightings: Vec<Sighting> = of_pipeline.map(|(_, sighting)| sighting.clone()).collect();
        // Without others in it: what the client leaves out of a page was sent all the same.
        let is_filtered = sightings.len().saturating_add(shown.unreadable) >= shown.sent;
        let is_usable = shown.is_last || (is_filtered && shown.is_descending());
        let newest = if self.is_disordered { shown.newest() } else { self.reached.as_ref().and_then(|reach| reach.settled) };
        let (floor, zone, began) = (newest.map(|newest| self.floor_below(newest)), self.zone, shown.began);
        let oldest = sightings.iter().filter_map(|sighting| sighting.created).min_by_key(|created| created.at);
        let shows_success = sightings.iter().any(|sighting| sighting.status == ExecutionStatus::Successful);
        let (is_disordered, page_floor) = (self.is_disordered, oldest.map_or(Timestamp::MIN, |oldest| oldest.at));
        let mut woken = Vec::new();
        for (reference, object) in self.objects.iter_mut().filter(|(_, object)| object.pipeline == *pipeline) {
            object.is_disordered = !is_usable;
            woken.push(reference.clone());
            if !is_usable {
                continue;
            }
            let known = object.record.floor();
            // Where the looks at the account count, they have read what came since.
            let is_behind = known.is_none() || (is_disordered && known.flatten().is_none_or(|floor| floor <= page_floor));
            if let (Some(oldest), true) = (oldest, is_behind && !shown.is_last && !shows_success) {
                object.record.unseen_until(oldest, &zone);
            }
            if object.record.floor().is_none() {
                // What is older than a page that is full was there before, too.
                let full =
                    Some(page_floor).filter(|_| !shown.is_last).and_then(|oldest| oldest.checked_add(SignedDuration::from_secs(1)).ok());
                object.record.seed(&sightings, floor.max(full), &zone);
            } else if std::mem::take(&mut object.has_wrong_times) {
                object.record.learn_anew(&sightings, &zone);
            } else {
                for sighting in &sightings {
                    object.record.note(sighting);
                }
                object.record.complete_look(None, floor, &zone);
            }
            if shown.unreadable == 0 {
                // It may have waited for longer than a look of the account took.
                object.complete = object.complete.max(Some(began));
            }
        }
        self.want_reads(now);
        woken
    }

    /// Whether times name a zone, and which one is meant, as far as executions show it whose true times are stored.
    fn notice_zone(&mut self, shown: &ObservedPage) {
        for created in shown.sightings.iter().filter_map(|(_, sighting)| sighting.created) {
            self.zone.notice(created);
        }
        let of = by_pipeline(shown);
        for object in self.objects.values() {
            for sighting in of.get(object.pipeline.as_str()).into_iter().flatten() {
                if let (Some(created), Some(stored)) = (sighting.created, object.record.created(&sighting.id)) {
                    self.zone.recall(created, stored);
                }
            }
        }
    }

    fn measure_zone(&mut self, shown: &ObservedPage, answered_at: Timestamp) {
        let Some(Reach { newest: Some(newest), answered_at: before, .. }) = self.reached else { return };
        for created in shown.sightings.iter().filter_map(|(_, sighting)| sighting.created).filter(|created| created.at > newest) {
            self.zone.measure(created, before, answered_at);
        }
    }
}

/// Keeps what a page has shown for those that it concerns. Returns how much.
fn note(objects: &mut BTreeMap<PipelineRef, Object>, shown: &ObservedPage) -> usize {
    let of = by_pipeline(shown);
    let mut kept: usize = 0;
    for object in objects.values_mut() {
        for sighting in of.get(object.pipeline.as_str()).into_iter().flatten() {
            kept = kept.saturating_add(usize::from(object.record.note(sighting)));
        }
    }
    kept
}

/// The executions of a page by their pipelines: there can be thousands of both.
fn by_pipeline(shown: &ObservedPage) -> BTreeMap<&str, Vec<&Sighting>> {
    let mut of: BTreeMap<&str, Vec<&Sighting>> = BTreeMap::new();
    for (pipeline, sighting) in &shown.sightings {
        if let Some(pipeline) = pipeline.as_deref() {
            of.entry(pipeline).or_default().push(sighting);
        }
    }
    of
}
