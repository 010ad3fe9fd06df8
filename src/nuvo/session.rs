//! One account at work: its client behind its budget, and the looks at its list that the trigger protocol needs.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{Budget, Client, Error, Execution, ListQuery, Listing, Order, Page, Pause, PauseReason, Status};
use crate::{
    run::{BASELINE_IDS, Baseline, Candidate, ExecutionId, Nonce, Obstacle, Outcome, PipelineId, Sighting, Unexecuted},
    shutdown::Shutdown,
};

/// The oldest baseline that a trigger may rest on.
const BASELINE_AGE: Duration = Duration::from_secs(10);
/// The pages that are read when the server does not sort as asked, so that only the whole list tells what is new.
const ALL_PAGES: usize = 100;
/// The pages that are read of a list that is sorted.
const NEWEST_PAGES: usize = 10;
/// How long a run that works on its trigger waits for the budget: it keeps runs of other accounts from being worked on.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause after 429 or 503 without Retry-After.
const PAUSE: Duration = Duration::from_secs(5);

/// What the account's controller must be told.
pub type Rejected = UnboundedSender<()>;

/// One account at work.
pub struct Session {
    client: Client,
    budget: Budget,
    poll_period: Duration,
    identity: Mutex<Option<String>>,
    baseline: tokio::sync::Mutex<Option<(Instant, Option<Baseline>)>>,
    waited: Box<dyn Fn(Duration) + Send + Sync>,
    rejected: Rejected,
    told: AtomicBool,
    shutdown: Shutdown,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A short hash of an id, as a [`Baseline`] stores it.
#[must_use]
pub fn short_hash(id: &ExecutionId) -> String {
    Sha256::digest(id.as_str().as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Session {
    /// Nothing is sent. `identity` is who nuvo takes this account for, if that is known; `waited` is told how long each request waited
    /// for the budget.
    #[must_use]
    pub fn new(
        client: Client,
        requests_per_second: u32,
        poll_period: Duration,
        identity: Option<String>,
        rejected: Rejected,
        waited: Box<dyn Fn(Duration) + Send + Sync>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            client,
            budget: Budget::new(requests_per_second),
            poll_period,
            identity: Mutex::new(identity),
            baseline: tokio::sync::Mutex::default(),
            waited,
            rejected,
            told: AtomicBool::new(false),
            shutdown,
        }
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        self.client.base().origin()
    }

    /// The longest time between two looks at running executions.
    #[must_use]
    pub const fn poll_period(&self) -> Duration {
        self.poll_period
    }

    /// The rest of a pause, if nothing may be sent now.
    #[must_use]
    pub fn paused(&self) -> Option<Pause> {
        self.budget.paused()
    }

    /// Whether nuvo has rejected the credentials since they were proven.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.client.credentials_rejected()
    }

    /// Waits a moment until one request may be sent.
    ///
    /// # Errors
    /// [`Error::Paused`] when that takes longer, [`Error::Stopping`] when the process is shutting down.
    pub async fn reserve(&self) -> Result<(), Error> {
        self.reserve_within(PATIENCE).await
    }

    async fn reserve_within(&self, patience: Duration) -> Result<(), Error> {
        let waited = tokio::select! {
            biased;
            () = self.shutdown.begun() => return Err(Error::Stopping),
            waited = self.budget.take(patience) => waited.map_err(Error::Paused)?,
        };
        (self.waited)(waited);
        Ok(())
    }

    /// Shows that the account works.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn prove(&self) -> Result<(), Error> {
        self.reserve().await?;
        self.client.prove().await
    }

    /// The one POST. The caller has [reserved](Session::reserve) it, so that it does not wait here, between the lock and the POST.
    pub async fn create(&self, pipeline: &PipelineId, nonce: &Nonce) -> Outcome {
        let outcome = self.client.create(pipeline, nonce).await;
        if let Outcome::NotExecuted { then: Unexecuted::RetryAfter(wait, obstacle), .. } = &outcome {
            match obstacle {
                Obstacle::RateLimited => self.budget.pause(*wait, PauseReason::RateLimited),
                Obstacle::Unavailable => self.budget.pause(*wait, PauseReason::Unavailable),
                // It ends with this session: one with other credentials goes on at once.
                Obstacle::Account => self.budget.pause(*wait, PauseReason::Account),
                Obstacle::Operator => {}
            }
        }
        self.tell_if_rejected();
        outcome
    }

    /// Reads one execution, when its turn has come.
    ///
    /// # Errors
    /// As for [`Client::read`] and [`Session::reserve`].
    pub async fn read(&self, id: &ExecutionId) -> Result<Execution, Error> {
        self.reserve_within(Duration::MAX).await?;
        self.note(self.client.read(id).await)
    }

    /// Reads one page of what is running, oldest first, when its turn has come.
    ///
    /// # Errors
    /// As for [`Client::list_page`] and [`Session::reserve`].
    pub async fn running(&self, offset: usize) -> Result<Page, Error> {
        let query = ListQuery { status: Some(Status::Processing), ..ListQuery::default() };
        self.reserve_within(Duration::MAX).await?;
        self.note(self.client.list_page(&query, offset).await)
    }

    /// What the account's list shows now, by a look that began after this moment. Those who wait at the same time share one.
    /// None if the list does not show reliably what is newest.
    ///
    /// # Errors
    /// Why there was no list.
    pub async fn baseline(&self, after: Instant) -> Result<Option<Baseline>, Error> {
        let mut shared = self.baseline.lock().await;
        if let Some((began, baseline)) = &*shared
            && *began >= after
            && began.elapsed() < BASELINE_AGE
        {
            return Ok(baseline.clone());
        }
        let began = Instant::now();
        let baseline = self.note(self.look().await)?;
        *shared = Some((began, baseline.clone()));
        Ok(baseline)
    }

    async fn look(&self) -> Result<Option<Baseline>, Error> {
        let newest_first = ListQuery { order: Order::Descending, thorough: true, ..ListQuery::default() };
        self.reserve().await?;
        let page = self.client.list_page(&newest_first, 0).await?;
        if page.unreadable == 0 && sorted(&page.items) == Sorting::NewestFirst {
            return Ok(Some(baseline_of(&page.items)));
        }
        // Which end is the new one cannot be told from this page: everything there is can.
        let all = self.list(&newest_first, ALL_PAGES).await?;
        Ok(all.complete.then(|| baseline_of(&all.items)))
    }

    /// The newest executions of a pipeline; none if the list cannot be relied on.
    ///
    /// # Errors
    /// Why there was no list.
    pub async fn sighting(&self, pipeline: &PipelineId) -> Result<Option<Sighting>, Error> {
        let query = ListQuery { pipeline: Some(pipeline.clone()), order: Order::Descending, thorough: true, ..ListQuery::default() };
        let listing = self.note(self.list(&query, NEWEST_PAGES).await)?;
        if listing.complete {
            return Ok(Some(Sighting { candidates: self.candidates(&listing.items), after: None }));
        }
        if sorted(&listing.items) == Sorting::NewestFirst {
            let after = listing.items.last().and_then(created);
            return Ok(after.map(|after| Sighting { candidates: self.candidates(&listing.items), after: Some(after) }));
        }
        let listing = self.note(self.list(&query, ALL_PAGES).await)?;
        Ok(listing.complete.then(|| Sighting { candidates: self.candidates(&listing.items), after: None }))
    }

    async fn list(&self, query: &ListQuery, pages: usize) -> Result<Listing, Error> {
        // A list that was begun is finished: what was sent for it would be lost.
        let patience = |page| if page == 0 { PATIENCE } else { Duration::MAX };
        self.client.list(query, pages, &|page| self.reserve_within(patience(page)).boxed()).await
    }

    fn candidates(&self, executions: &[Execution]) -> Vec<Candidate> {
        let identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let creator = |execution: &Execution| execution.created_by.as_ref().and_then(|by| by.identifier.clone());
        executions
            .iter()
            .map(|execution| Candidate {
                id: execution.id.clone(),
                hash: short_hash(&execution.id),
                created: created(execution),
                manual: execution.trigger_type.as_deref() == Some("MANUAL"),
                by_us: identity.is_some() && creator(execution) == identity,
            })
            .collect()
    }

    /// Learns from an execution that this account certainly started who nuvo takes it for. An access token does not tell.
    pub fn started_by_us(&self, execution: &Execution) {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if identity.is_none() {
            *identity = execution.created_by.as_ref().and_then(|by| by.identifier.clone());
        }
    }

    fn note<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Err(Error::RateLimited { retry_after }) => self.budget.pause(retry_after.unwrap_or(PAUSE), PauseReason::RateLimited),
            Err(Error::Server { status: 503, retry_after }) => self.budget.pause(retry_after.unwrap_or(PAUSE), PauseReason::Unavailable),
            _ => {}
        }
        self.tell_if_rejected();
        result
    }

    /// Once for each rejection: the account's controller then reads the Secret again and makes a new session, unless the credentials
    /// work again by then.
    fn tell_if_rejected(&self) {
        let rejected = self.client.credentials_rejected();
        if rejected && !self.told.swap(true, Ordering::Relaxed) {
            // The other end is gone only when the process ends.
            let _ended = self.rejected.send(());
        } else if !rejected {
            self.told.store(false, Ordering::Relaxed);
        }
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
