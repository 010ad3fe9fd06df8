//! The list of running executions, page by page.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::account::Session;
use nuvo_client::Error;
use nuvo_core::{run::ExecutionId, scheduler::Key};

/// What the last poll has shown of the list.
#[derive(Debug, Default, Clone, Copy)]
pub struct ListPoll {
    /// How many entries it had.
    width: usize,
    /// The size of the largest page.
    page: usize,
}

/// The result of a list.
#[derive(Debug, Default)]
pub struct Listed {
    /// The wanted executions that are running.
    pub running: BTreeSet<Key>,
    /// The number of requests that it took.
    pub requests: usize,
}

/// How many requests a list may take in addition to four for each expected page.
const SPARE_REQUESTS: usize = 50;

impl ListPoll {
    /// Reads the list.
    ///
    /// An execution that ends meanwhile leaves the list, and all entries behind it move up. So the list is read from its end: an entry that
    /// moves up is then seen twice. In the other direction it would be missed, and need a read of its own.
    ///
    /// # Errors
    /// Any of [`Session::running`].
    pub async fn running(&mut self, session: &Session, wanted: &BTreeSet<Key>) -> Result<Listed, Error> {
        let step = self.page.max(1);
        let pages = |entries: usize| entries.checked_div(step).unwrap_or_default();
        let start = pages(self.width.saturating_sub(1)).saturating_mul(step);
        let mut reading = Reading {
            session,
            wanted,
            left: pages(self.width.max(wanted.len())).saturating_mul(4).saturating_add(SPARE_REQUESTS),
            shown: HashMap::new(),
            sent: HashSet::new(),
            requests: 0,
            width: 0,
            page: 0,
            ordered: true,
        };
        let mut satisfied = reading.forward(start).await?;
        let mut offset = start;
        while offset > 0 && !satisfied {
            offset = offset.saturating_sub(step);
            let PageRead { sent, end } = reading.read_page(offset).await?;
            match end {
                End::Repeats | End::Enough => break,
                End::Satisfied => satisfied = true,
                End::Last | End::No => {}
            }
            if (1..step).contains(&sent) && !satisfied {
                // The pages are smaller than before, so there are gaps between them.
                reading.sent.clear();
                reading.forward(0).await?;
                break;
            }
        }
        // A list in another order is read from its beginning next time.
        (self.width, self.page) = if reading.ordered { (reading.width, reading.page) } else { (0, 0) };
        let running = wanted.iter().filter(|key| reading.shows(key)).cloned().collect();
        Ok(Listed { running, requests: reading.requests })
    }
}

/// One read of the list.
struct Reading<'a> {
    session: &'a Session,
    wanted: &'a BTreeSet<Key>,
    /// The pipeline that each running entry names.
    shown: HashMap<ExecutionId, Option<String>>,
    /// All ids that the server has sent, those that do not match included: a page of these is not the end.
    sent: HashSet<ExecutionId>,
    requests: usize,
    /// How many more requests may be made: the list of a faulty server may have no end.
    left: usize,
    width: usize,
    page: usize,
    /// All pages so far had the oldest entries first.
    ordered: bool,
}

struct PageRead {
    sent: usize,
    end: End,
}

/// Whether a page was the last one needed.
#[derive(Clone, Copy)]
enum End {
    No,
    /// Nothing follows.
    Last,
    /// The server repeats itself.
    Repeats,
    /// All wanted executions were shown.
    Satisfied,
    /// Too many requests were made.
    Enough,
}

impl Reading<'_> {
    /// False for one that names another pipeline: a read by its id is certain.
    fn shows(&self, (pipeline, id): &Key) -> bool {
        self.shown.get(id).is_some_and(|said| said.as_deref().is_none_or(|said| said == pipeline.as_str()))
    }

    /// Reads to the end. Returns whether all wanted executions were shown.
    async fn forward(&mut self, start: usize) -> Result<bool, Error> {
        let mut offset = start;
        loop {
            let PageRead { sent, end } = self.read_page(offset).await?;
            match end {
                End::No => offset = offset.saturating_add(sent),
                End::Satisfied => return Ok(true),
                End::Last | End::Repeats | End::Enough => return Ok(false),
            }
        }
    }

    async fn read_page(&mut self, offset: usize) -> Result<PageRead, Error> {
        self.requests = self.requests.saturating_add(1);
        self.left = self.left.saturating_sub(1);
        let page = self.session.running(offset).await?;
        let (sent, before) = (page.sent, self.sent.len());
        self.sent.extend(page.ids);
        let times = page.items.iter().filter_map(|execution| execution.created_at.as_ref()?.at);
        self.ordered &= times.is_sorted();
        self.shown.extend(page.items.into_iter().map(|execution| (execution.id, execution.pipeline)));
        if sent > 0 {
            self.width = self.width.max(offset.saturating_add(sent));
            self.page = self.page.max(sent);
        }
        let satisfied = self.shown.len() >= self.wanted.len() && self.wanted.iter().all(|key| self.shows(key));
        let end = match () {
            () if satisfied => End::Satisfied,
            () if sent > 0 && self.sent.len() == before => End::Repeats,
            () if page.short || sent == 0 => End::Last,
            () if self.left == 0 => End::Enough,
            () => End::No,
        };
        Ok(PageRead { sent, end })
    }
}
