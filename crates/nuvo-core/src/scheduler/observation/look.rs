//! One look at the newest executions of an account, over as many pages and periods as it takes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::{pipeline::Sighting, run::PipelineId, scheduler::purpose::Purpose};

/// The most pages of one look that are read in one period.
const PAGES: usize = 10;
/// How many of them come before new triggers: the news of a period, as a rule.
const URGENT_PAGES: usize = 4;
/// The most executions of a look that are kept until it is complete.
const KEPT: usize = 20_000;
/// Entries that are read twice when a look goes on where another one ended, in case some were deleted meanwhile.
const OVERLAP: usize = 20;

/// Whose executions a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageScope {
    /// All of the account.
    Account,
    /// All of the account, to find those that are older than others and have come later.
    Overlap,
    /// Those of one pipeline.
    Pipeline(PipelineId),
}

/// A page of the list, newest first, that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Whose executions.
    pub scope: PageScope,
    /// How many newer ones are left out.
    pub offset: usize,
    /// What it is for.
    pub purpose: Purpose,
    /// The look that it belongs to.
    pub look: u64,
}

/// What a page has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedPage {
    /// When it was asked for.
    pub began: Duration,
    /// Its executions, each with the pipeline that it names, as they were sent.
    pub sightings: Vec<(Option<String>, Sighting)>,
    /// How many entries the server sent.
    pub sent: usize,
    /// How many of them could not be read.
    pub unreadable: usize,
    /// Nothing follows.
    pub is_last: bool,
}

impl ObservedPage {
    fn times(&self) -> impl Iterator<Item = Option<Timestamp>> + '_ {
        self.sightings.iter().map(|(_, sighting)| sighting.created.map(|created| created.at))
    }

    /// Whether the newest ones come first.
    pub(super) fn is_descending(&self) -> bool {
        self.times().all(|time| time.is_some()) && self.times().is_sorted_by(|a, b| a >= b)
    }

    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.times().flatten().max()
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.times().flatten().min()
    }
}

/// The last complete look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// When the newest execution was created that it has shown, by nuvo's clock; none if there was none.
    pub(super) newest: Option<Timestamp>,
    /// The newest that it had shown when it began; older than the other one if it took several periods.
    pub(super) settled: Option<Timestamp>,
    /// When it was answered, by the operator's clock.
    pub(super) answered_at: Timestamp,
}

/// How far a look reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// One page.
    FirstPage,
    /// To the executions that were created before this time.
    To(Timestamp),
    /// To the end.
    ToTheEnd,
}

/// A look.
#[derive(Debug)]
pub(super) struct Look {
    began: Duration,
    floor: Progress,
    offset: usize,
    newest: Option<Timestamp>,
    oldest: Option<Timestamp>,
    pages_of_tick: usize,
    kept: usize,
    unreadable: usize,
    /// It has ended before all that is new was read.
    is_cut: bool,
    /// There is nothing older.
    is_at_the_end: bool,
    /// Where earlier pages of it end, if newer ones are being read: the newest that they show, and the offset after them.
    below: Option<(Timestamp, usize)>,
    /// The newest that its first page has shown in the first period.
    since: Option<Timestamp>,
}

impl Look {
    pub(super) const fn new(began: Duration, floor: Progress) -> Self {
        Self {
            began,
            floor,
            offset: 0,
            newest: None,
            oldest: None,
            pages_of_tick: 0,
            kept: 0,
            unreadable: 0,
            is_cut: false,
            is_at_the_end: false,
            below: None,
            since: None,
        }
    }

    /// Reads what is new since, then goes on where it stopped. What lies between is read again if it does not reach that within a period.
    pub(super) fn again(&self, now: Duration, floor: Progress) -> Self {
        let below = self.newest.map(|newest| (newest, self.offset)).or(self.below);
        Self { below, since: self.settled(), kept: self.kept, unreadable: self.unreadable, ..Self::new(now, floor) }
    }

    /// Whether its next page comes before new triggers.
    pub(super) const fn wants_urgently(&self) -> bool {
        self.is_behind() && self.pages_of_tick < URGENT_PAGES
    }

    pub(super) const fn page(&self, purpose: Purpose, look: u64) -> PageRequest {
        PageRequest { scope: PageScope::Account, offset: self.offset, purpose, look }
    }

    pub(super) const fn set_floor(&mut self, floor: Progress) {
        self.floor = floor;
    }

    /// Back to when it reads, if that is a time.
    pub(super) const fn floor(&self) -> Option<Timestamp> {
        match self.floor {
            Progress::To(floor) => Some(floor),
            Progress::FirstPage | Progress::ToTheEnd => None,
        }
    }

    pub(super) const fn began(&self) -> Duration {
        self.began
    }

    pub(super) const fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// The newest that it had shown when it began. What has come late since can be missing in it.
    pub(super) fn settled(&self) -> Option<Timestamp> {
        self.since.or(self.newest)
    }

    /// Nothing more of it is read in this period.
    pub(super) const fn is_tick_over(&self) -> bool {
        self.pages_of_tick >= PAGES
    }

    pub(super) const fn is_at_the_top(&self) -> bool {
        self.offset == 0
    }

    /// Whether every entry could be read.
    pub(super) const fn is_whole(&self) -> bool {
        self.unreadable == 0
    }

    /// Whether it has ended before all that is new was read.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether it has read all that was created since then.
    pub(super) fn reads_back_to(&self, at: Timestamp) -> bool {
        self.is_at_the_end || self.oldest.is_some_and(|oldest| oldest < at)
    }

    /// Where its pages end.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// Its first page was read, and there is more.
    pub(super) const fn is_behind(&self) -> bool {
        self.offset > 0
    }

    /// Newest and oldest that were read.
    pub(super) fn read(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.newest?, self.oldest?))
    }

    /// Reads no further in this period.
    pub(super) const fn end_tick(&mut self) {
        self.pages_of_tick = usize::MAX;
    }

    /// Whether a page of an earlier look, from this offset on, continues what that look had read: then the look goes on after it. Entries only move
    /// to later places.
    pub(super) fn goes_on_after(&mut self, offset: usize, page: &ObservedPage) -> bool {
        let Some((_, below)) = self.below.as_mut().filter(|(_, below)| offset <= *below) else { return false };
        *below = (*below).max(offset.saturating_add(page.sent));
        self.unreadable = self.unreadable.saturating_add(page.unreadable);
        true
    }

    /// So many executions more are kept.
    pub(super) const fn keep(&mut self, kept: usize) {
        self.kept = self.kept.saturating_add(kept);
    }

    /// A page was read, of which so many executions are kept. Returns whether the look is complete.
    pub(super) fn add(&mut self, page: &ObservedPage, kept: usize) -> bool {
        self.pages_of_tick = self.pages_of_tick.saturating_add(1);
        self.kept = self.kept.saturating_add(kept);
        self.unreadable = self.unreadable.saturating_add(page.unreadable);
        self.offset = self.offset.saturating_add(page.sent);
        self.newest = self.newest.max(page.newest());
        self.oldest = page.oldest().or(self.oldest);
        if page.is_last || page.sent == 0 {
            self.is_at_the_end = true;
            return true;
        }
        if self.kept >= KEPT {
            self.is_cut = true;
            return true;
        }
        let Some(oldest) = page.oldest() else { return false };
        if let Some((_, offset_below)) = self.below.take_if(|(newest_below, _)| oldest < *newest_below) {
            // What came meanwhile has moved the others to later places. How much of it came before the last of those pages is not known.
            self.offset = self.offset.max(offset_below.saturating_sub(OVERLAP));
        }
        match self.floor {
            Progress::FirstPage => true,
            Progress::To(floor) => oldest < floor,
            Progress::ToTheEnd => false,
        }
    }
}
