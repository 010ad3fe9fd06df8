//! The list of what is running, page by page.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::tracked::Key;
use crate::account::Session;
use nuvo_client::Error;
use nuvo_core::run::ExecutionId;

/// What is known of the list from the last time.
#[derive(Debug, Default, Clone, Copy)]
pub struct ListPoll {
    /// How many entries it had.
    width: usize,
    /// The largest page that the server gave.
    page: usize,
}

/// What a list has shown.
#[derive(Debug)]
pub struct Listed {
    /// Those of the wanted executions that are running.
    pub running: BTreeSet<Key>,
    /// What it cost.
    pub requests: usize,
}

/// So many requests are spent on a list that is no longer than expected, or than what is wanted.
const SPARE_REQUESTS: usize = 50;

impl ListPoll {
    /// Reads the list.
    ///
    /// What ends meanwhile leaves the list, and everything behind it moves up. So the end of the list is read first: what moves up is seen
    /// twice then, while in the other direction it would be missed, and cost a read of its own.
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
            let PageRead { sent, end } = reading.look(offset).await?;
            match end {
                End::Repeats | End::Enough => break,
                End::Satisfied => satisfied = true,
                End::Last | End::No => {}
            }
            if (1..step).contains(&sent) && !satisfied {
                // It gives less than it did: there are gaps between these pages.
                reading.sent.clear();
                reading.forward(0).await?;
                break;
            }
        }
        // What is read from a list in another order ends wherever it ends: it is read from its beginning.
        (self.width, self.page) = if reading.ordered { (reading.width, reading.page) } else { (0, 0) };
        let running = wanted.iter().filter(|key| reading.shows(key)).cloned().collect();
        Ok(Listed { running, requests: reading.requests })
    }
}

/// One reading of the list.
struct Reading<'a> {
    session: &'a Session,
    wanted: &'a BTreeSet<Key>,
    /// Of each entry that says it is running, the pipeline that it says it belongs to.
    shown: HashMap<ExecutionId, Option<String>>,
    /// Whatever the server has sent, also what does not fit: a page of that is no sign of the end.
    sent: HashSet<ExecutionId>,
    requests: usize,
    /// So many more requests may be made: a server may never come to an end.
    left: usize,
    width: usize,
    page: usize,
    /// Nothing has shown that the oldest do not come first.
    ordered: bool,
}

struct PageRead {
    sent: usize,
    end: End,
}

/// Whether a page was the last one that is of use.
#[derive(Clone, Copy)]
enum End {
    No,
    /// Nothing follows.
    Last,
    /// The server repeats itself.
    Repeats,
    /// Everything that is wanted was shown.
    Satisfied,
    /// Too many requests were made.
    Enough,
}

impl Reading<'_> {
    /// One that belongs to another pipeline is asked for by its id, which is certain.
    fn shows(&self, (pipeline, id): &Key) -> bool {
        self.shown.get(id).is_some_and(|said| said.as_deref().is_none_or(|said| said == pipeline.as_str()))
    }

    /// Reads on until the end. Whether everything that is wanted was shown.
    async fn forward(&mut self, start: usize) -> Result<bool, Error> {
        let mut offset = start;
        loop {
            let PageRead { sent, end } = self.look(offset).await?;
            match end {
                End::No => offset = offset.saturating_add(sent),
                End::Satisfied => return Ok(true),
                End::Last | End::Repeats | End::Enough => return Ok(false),
            }
        }
    }

    async fn look(&mut self, offset: usize) -> Result<PageRead, Error> {
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
