//! The reads of the account's list that the trigger protocol needs: the baseline before a trigger, and the candidates after one in doubt.

use std::sync::atomic::Ordering;

use nuvo_client::{Error, Execution, ListQuery, Listing, Order};
use nuvo_core::{
    run::{BASELINE_IDS, Baseline, Candidate, PipelineId},
    scheduler::{ListedExecutions, Purpose},
};
use tokio::time::Instant;

use super::{ALL_PAGES, Session, short_hash::short_hash};
use crate::account::Turn;

/// The pages that are read of the list of a pipeline that is sorted.
const NEWEST_PAGES: usize = 10;
/// The pages that are read of the list of the account.
const ACCOUNT_PAGES: usize = 3;

impl Session {
    /// Waits for a turn to trigger: the baseline, by a read of the list that began `after` this moment, and permission to send a POST, which is
    /// used at once, and the turn is over. The baseline is none if the list does not reliably show what is newest.
    ///
    /// # Errors
    /// Why there was no list; [`Error::Paused`], or [`Error::Stopping`] when nothing is sent any more.
    pub async fn turn(&self, after: Instant) -> Result<(Turn, Option<Baseline>), Error> {
        let (turn, baseline, waited) = self.requests.turn(after).await?;
        (self.waited)(waited);
        Ok((turn, baseline))
    }

    /// The baseline, by a read of the list.
    ///
    /// # Errors
    /// Why there was no list.
    pub async fn read_baseline(&self) -> Result<Option<Baseline>, Error> {
        let newest_first = ListQuery { order: Order::Descending, thorough: true, ..ListQuery::default() };
        self.take(Purpose::Baseline).await?;
        let page = self.get(self.client.list_page(&newest_first, 0)).await?;
        if page.unreadable == 0 && (page.sent == 0 || sorted(&page.items) == Sorting::NewestFirst) {
            return Ok(Some(baseline_of(&page.items)));
        }
        // This page does not show which end is the newest: read the whole list.
        let all = self.list(&newest_first, ALL_PAGES, Purpose::Baseline).await?;
        Ok(all.complete.then(|| baseline_of(&all.items)))
    }

    /// The newest executions of the account, or of this pipeline; none of them if the list cannot be relied on.
    ///
    /// # Errors
    /// Why there was no list.
    pub async fn newest(&self, pipeline: Option<PipelineId>) -> Result<ListedExecutions, Error> {
        let of_account = pipeline.is_none();
        let mut query = ListQuery { pipeline, order: Order::Descending, thorough: true, ..ListQuery::default() };
        if of_account {
            return loop {
                query.limit = self.page_size.load(Ordering::Relaxed);
                match self.list(&query, ACCOUNT_PAGES, Purpose::Recovery).await {
                    Err(error) if self.is_too_large(query.limit, &error) => {}
                    listing => break listing.map(|listing| self.listed(&listing).unwrap_or_else(ListedExecutions::of_nothing)),
                }
            };
        }
        let listing = self.list(&query, NEWEST_PAGES, Purpose::Recovery).await?;
        if let Some(listed) = self.listed(&listing) {
            return Ok(listed);
        }
        let listing = self.list(&query, ALL_PAGES, Purpose::Recovery).await?;
        Ok(self.listed(&listing).filter(|_| listing.complete).unwrap_or_else(ListedExecutions::of_nothing))
    }

    /// What a list shows, if it has an end or is sorted.
    fn listed(&self, listing: &Listing) -> Option<ListedExecutions> {
        let after = match (listing.complete, sorted(&listing.items)) {
            (true, _) => None,
            (false, Sorting::NewestFirst) => Some(listing.items.last().and_then(created)?),
            (false, Sorting::Unknown) => return None,
        };
        Some(ListedExecutions {
            executions: self.candidates(&listing.items),
            after,
            account: Some(self.account.clone()),
            is_anonymous: self.known_identity().is_none(),
        })
    }

    fn candidates(&self, executions: &[Execution]) -> Vec<(Option<String>, Candidate)> {
        let identity = self.known_identity();
        let candidate = |execution: &Execution| Candidate {
            id: execution.id.clone(),
            hash: short_hash(&execution.id),
            created: created(execution),
            manual: execution.trigger_type.as_deref() == Some("MANUAL"),
            by_us: identity.is_some() && execution.created_by == identity,
        };
        executions.iter().map(|execution| (execution.pipeline.clone(), candidate(execution))).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sorting {
    NewestFirst,
    Unknown,
}

/// Whether a list shows by itself that it is sorted as asked.
fn sorted(items: &[Execution]) -> Sorting {
    let times: Option<Vec<i64>> = items.iter().map(created).collect();
    match times {
        Some(times) if times.is_sorted_by(|a, b| a >= b) && times.first() > times.last() => Sorting::NewestFirst,
        _ => Sorting::Unknown,
    }
}

fn created(execution: &Execution) -> Option<i64> {
    execution.created_at.as_ref()?.at.map(|at| at.as_millisecond())
}

/// The newest time, and the ids next to it.
fn baseline_of(items: &[Execution]) -> Baseline {
    let mut newest: Vec<&Execution> = items.iter().collect();
    newest.sort_by_key(|execution| std::cmp::Reverse(created(execution)));
    Baseline {
        newest: newest.first().and_then(|execution| created(execution)),
        ids: newest.iter().take(BASELINE_IDS).map(|execution| short_hash(&execution.id)).collect(),
    }
}
