//! Lists of executions over several pages, from a server that may ignore any parameter.

use std::collections::HashSet;

use super::execution::{Execution, RawPage};
use nuvo_core::{run::PipelineId, vocabulary::ExecutionStatus};

/// The order that is asked for (`created_at`). A server may ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// The page size that every server is assumed to support.
pub(crate) const USUAL_PAGE: usize = 100;

/// Which executions to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those of this pipeline.
    pub pipeline: Option<PipelineId>,
    /// Only those with this status. Entries leave such a list while it is read, so it can miss some: never conclude from an absence.
    pub status: Option<ExecutionStatus>,
    /// By creation time.
    pub order: Order,
    /// The page size that is asked for.
    pub limit: u32,
    /// Costs one more request where a short first page could also be a smaller page size of the server. Needed wherever something is
    /// concluded from what the list does not hold.
    pub thorough: bool,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { pipeline: None, status: None, order: Order::Ascending, limit: 100, thorough: false }
    }
}

/// One page, filtered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What fits the query.
    pub items: Vec<Execution>,
    /// How many entries the server sent: the step to the next offset.
    pub sent: usize,
    /// How many of them could not be read or placed.
    pub unreadable: usize,
    /// Whether this is less than a page, so that nothing follows.
    pub short: bool,
    /// The ids of all that the server sent, those included that the query leaves out.
    pub ids: Vec<nuvo_core::run::ExecutionId>,
}

/// Several pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// What fits the query, each execution once, in the order the server sent it.
    pub items: Vec<Execution>,
    /// Whether the end was reached and every entry could be read.
    pub complete: bool,
}

impl ListQuery {
    /// The parameters as they go over the wire, before percent-encoding.
    pub(crate) fn parameters(&self, offset: usize) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::with_capacity(5);
        if let Some(pipeline) = &self.pipeline {
            pairs.push(("filters[pipeline]", pipeline.as_str().to_owned()));
        }
        if let Some(status) = &self.status {
            pairs.push(("filters[status]", status.as_str().to_owned()));
        }
        let order = match self.order {
            Order::Ascending => "asc",
            Order::Descending => "desc",
        };
        pairs.push(("sort[created_at]", order.to_owned()));
        pairs.push(("pagination[limit]", self.limit.max(1).to_string()));
        pairs.push(("pagination[offset]", offset.to_string()));
        pairs
    }

    /// Filters a page again, on our side.
    pub(crate) fn filter(&self, raw: RawPage, offset: usize) -> Page {
        let mut unreadable = raw.unreadable;
        let sent = raw.items.len().saturating_add(raw.unreadable);
        let asked = usize::try_from(self.limit.max(1)).unwrap_or(usize::MAX);
        let size = raw.limit.and_then(|l| usize::try_from(l).ok()).filter(|l| (1..=asked).contains(l));
        let more = raw.total.and_then(|t| usize::try_from(t).ok()).is_some_and(|t| t > offset.saturating_add(sent));
        // A server that reports the requested size may still return smaller pages.
        let believed = |size: usize| sent < size && (size < asked || sent < USUAL_PAGE);
        // A total that counts more than this page is one of all pages.
        let counted = offset > 0 && raw.total.and_then(|t| usize::try_from(t).ok()) == Some(offset.saturating_add(sent));
        let short = sent == 0 || (!more && (counted || size.is_some_and(believed)));
        let ids = raw.items.iter().map(|e| e.id.clone()).collect();
        let mut items = raw.items;
        items.retain(|e| {
            if self.pipeline.is_some() && e.pipeline.is_none() {
                unreadable = unreadable.saturating_add(1);
                return false;
            }
            self.pipeline.as_ref().is_none_or(|p| e.pipeline.as_deref() == Some(p.as_str()))
                && self.status.as_ref().is_none_or(|s| e.status == *s)
        });
        Page { items, sent, unreadable, short, ids }
    }
}

/// Joins pages, and finds where the next one begins.
pub struct Collector {
    thorough: bool,
    seen: HashSet<nuvo_core::run::ExecutionId>,
    listing: Listing,
    offset: usize,
    first: Option<usize>,
    unreadable: bool,
}

/// Whether another page is needed.
pub enum Next {
    /// Another one, from this offset.
    At(usize),
    /// None.
    Done,
}

impl Collector {
    /// No page yet.
    #[must_use]
    pub fn new(query: &ListQuery) -> Self {
        Self { thorough: query.thorough, seen: HashSet::new(), listing: Listing::default(), offset: 0, first: None, unreadable: false }
    }

    /// Adds a page.
    pub fn add(&mut self, page: Page) -> Next {
        self.unreadable |= page.unreadable > 0;
        let fresh: HashSet<_> = page.ids.into_iter().filter(|id| !self.seen.contains(id)).collect();
        for item in page.items {
            // The first copy of an execution within one page counts, too.
            if fresh.contains(&item.id) && self.seen.insert(item.id.clone()) {
                self.listing.items.push(item);
            }
        }
        let nothing_new = fresh.is_empty();
        self.seen.extend(fresh);
        // The first page that came back shows the size of a page; a later one that is smaller is the last.
        let end = match self.first {
            None => page.sent == 0 || (page.short && !self.thorough),
            Some(first) => page.sent == 0 || page.sent < first || (page.short && !self.thorough),
        };
        self.first.get_or_insert(page.sent);
        self.offset = self.offset.saturating_add(page.sent);
        // A page with nothing new that is not at the end: the server repeats itself, so what follows cannot be known.
        self.listing.complete = end && !self.unreadable && (page.sent == 0 || !nothing_new);
        if end || nothing_new { Next::Done } else { Next::At(self.offset) }
    }

    /// What the pages have shown.
    #[must_use]
    pub fn finish(self) -> Listing {
        self.listing
    }
}
