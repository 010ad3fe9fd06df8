//! One account at work: its client behind its budget, and the looks at its list that the trigger protocol needs.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OnceCell, mpsc},
    time::Instant,
};

use nuvo_client::{
    Client, Collector, Error, Execution, ExecutionStatus, ListQuery, Listing, Next, Order, PAUSE, Page, Pause, PauseReason, outcome,
};

use super::{Breaker, Budget, Priority, breaker::Kind};
use crate::shutdown::Shutdown;
use nuvo_core::run::{BASELINE_IDS, Baseline, Candidate, ExecutionId, Nonce, Obstacle, Outcome, PipelineId, Sighting, Unexecuted};

/// The oldest baseline that a trigger may rest on.
const BASELINE_AGE: Duration = Duration::from_secs(10);
/// The pages that are read when the server does not sort as asked, so that only the whole list tells what is new.
const ALL_PAGES: usize = 100;
/// The pages that are read of a list that is sorted.
const NEWEST_PAGES: usize = 10;
/// How long what nuvo has said about a pipeline's mode is taken for true.
const MODE_AGE: Duration = Duration::from_secs(60);
/// How long an answer about it is waited for.
const MODE_PATIENCE: Duration = Duration::from_secs(5);
/// Of so many pipelines it is remembered without looking through them for what is too old.
const MODES: usize = 1_024;

/// The page size that is asked for where only the number of requests counts: a server that gives less says so.
const LARGE_PAGE: u32 = 1_000;
/// While the budget is tight, one look at the list serves the triggers of the time in which the budget allows this many requests.
const SHARED_BY: f64 = 10.0;
/// The longest time that a trigger waits for others to share a look with.
const SHARE_WITHIN: Duration = Duration::from_secs(2);

/// What the account's controller must be told. One word waits at most: another one would say the same.
pub type Rejected = mpsc::Sender<()>;

/// How an account is treated, and who is told.
pub struct SessionSettings {
    /// The budget.
    pub requests_per_second: u32,
    /// The longest time between two looks at running executions.
    pub poll_period: Duration,
    /// Who nuvo takes this account for, if that is known.
    pub identity: Option<String>,
    /// What is known of the server.
    pub breaker: Arc<Breaker>,
    /// Told when nuvo rejects the credentials.
    pub rejected: Rejected,
    /// Told how long each request waited for the budget.
    pub waited: Box<dyn Fn(Duration) + Send + Sync>,
}

/// One account at work.
pub struct Session {
    client: Client,
    budget: Budget,
    breaker: Arc<Breaker>,
    poll_period: Duration,
    identity: Mutex<Option<String>>,
    looked: tokio::sync::Mutex<Option<Look>>,
    running_page: AtomicU32,
    modes: Mutex<Modes>,
    waited: Box<dyn Fn(Duration) + Send + Sync>,
    rejected: Rejected,
    told: AtomicBool,
    shutdown: Shutdown,
}

/// What is known of the modes of pipelines.
#[derive(Default)]
struct Modes {
    known: HashMap<PipelineId, Mode>,
    /// When nuvo has not answered in time.
    silent: Option<Instant>,
}

/// Whether a pipeline is in developer mode, asked at this time: once for all who want to know.
struct Mode {
    asked: Instant,
    developer: Arc<OnceCell<bool>>,
}

/// A look at the account's list, and what came of it.
struct Look {
    began: Instant,
    result: Result<Option<Baseline>, Error>,
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
    /// Nothing is sent.
    #[must_use]
    pub fn new(client: Client, settings: SessionSettings, shutdown: Shutdown) -> Self {
        Self {
            client,
            budget: Budget::new(settings.requests_per_second),
            breaker: settings.breaker,
            poll_period: settings.poll_period,
            identity: Mutex::new(settings.identity),
            looked: tokio::sync::Mutex::default(),
            running_page: AtomicU32::new(LARGE_PAGE),
            modes: Mutex::default(),
            waited: settings.waited,
            rejected: settings.rejected,
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

    /// Requests per second that the account allows.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.budget.rate()
    }

    /// The rest of a pause, if nothing may be sent now.
    #[must_use]
    pub fn paused(&self) -> Option<Pause> {
        let away = self.breaker.left().map(unavailable);
        [self.budget.paused(), away].into_iter().flatten().max_by_key(|pause| pause.left)
    }

    /// Whether nuvo has rejected the credentials since they were proven.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.client.credentials_rejected()
    }

    /// Waits until a request may be sent: [`Error::Paused`], or [`Error::Stopping`] when the process is shutting down.
    async fn take(&self, priority: Priority) -> Result<(), Error> {
        let waited = tokio::select! {
            biased;
            () = self.shutdown.begun() => return Err(Error::Stopping),
            waited = self.budget.take(priority) => waited.map_err(Error::Paused)?,
        };
        (self.waited)(waited);
        Ok(())
    }

    /// Has a GET, or several for one purpose, tell whether the server is there, and whether it wants to be left alone.
    async fn get<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let entry = self.breaker.enter(Kind::Probe).map_err(|left| Error::Paused(unavailable(left)))?;
        let result = request.await;
        match &result {
            Ok(_) => entry.succeeded(),
            Err(error) if error.is_of_server() => entry.failed(),
            // Nothing was sent.
            Err(Error::Paused(_) | Error::Stopping | Error::Setup { .. }) => drop(entry),
            Err(_) => entry.succeeded(),
        }
        match &result {
            Err(Error::RateLimited { retry_after }) => self.budget.pause(retry_after.unwrap_or(PAUSE), PauseReason::RateLimited),
            Err(Error::Server { status: 503, retry_after }) => self.budget.pause(retry_after.unwrap_or(PAUSE), PauseReason::Unavailable),
            _ => {}
        }
        self.settle();
        result
    }

    /// Shows that the account works.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn prove(&self) -> Result<(), Error> {
        self.take(Priority::Trigger).await?;
        self.get(self.client.prove()).await
    }

    /// The one POST. The caller has [prepared](Session::prepare) it, so that it does not wait here, between the lock and the POST.
    pub async fn create(&self, pipeline: &PipelineId, nonce: &Nonce) -> Outcome {
        let entry = match self.breaker.enter(Kind::Post) {
            Ok(entry) => entry,
            Err(left) => return outcome::away(left),
        };
        let outcome = self.client.create(pipeline, nonce).await;
        if let Some(wait) = self.client.take_wait() {
            self.budget.pause(wait, PauseReason::Unavailable);
        }
        match &outcome {
            Outcome::Unknown { .. } | Outcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Unavailable), .. } => entry.failed(),
            Outcome::Accepted(_) | Outcome::ExecutedIdsUnknown { .. } | Outcome::NotExecuted { .. } => entry.succeeded(),
        }
        if let Outcome::NotExecuted { then: Unexecuted::RetryAfter(wait, obstacle), .. } = &outcome {
            match obstacle {
                Obstacle::RateLimited => self.budget.pause(*wait, PauseReason::RateLimited),
                Obstacle::Unavailable => self.budget.pause(*wait, PauseReason::Unavailable),
                // It ends with this session: one with other credentials goes on at once.
                Obstacle::Account => self.budget.pause(*wait, PauseReason::Account),
                Obstacle::Operator => {}
            }
        }
        self.settle();
        outcome
    }

    /// Reads one execution that may have ended, when its turn has come.
    ///
    /// # Errors
    /// As for [`Client::read`] and [`Session::prepare`].
    pub async fn read(&self, id: &ExecutionId) -> Result<Execution, Error> {
        self.take(Priority::Ending).await?;
        self.get(self.client.read(id)).await
    }

    fn modes(&self) -> MutexGuard<'_, Modes> {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a pipeline is in developer mode, as nuvo has said within the last minute. One of which nuvo does not say so is not.
    pub async fn developer_mode(&self, pipeline: &PipelineId) -> bool {
        let developer = {
            let mut modes = self.modes();
            let known = &mut modes.known;
            if known.len() >= MODES {
                known.retain(|_, mode| mode.asked.elapsed() < MODE_AGE);
            }
            let fresh = known.get(pipeline).filter(|mode| mode.asked.elapsed() < MODE_AGE).map(|mode| mode.developer.clone());
            if fresh.is_none() && modes.silent.is_some_and(|since| since.elapsed() < MODE_AGE) {
                return false;
            }
            fresh.unwrap_or_else(|| {
                let mode = Mode { asked: Instant::now(), developer: Arc::default() };
                let developer = mode.developer.clone();
                modes.known.insert(pipeline.clone(), mode);
                developer
            })
        };
        // A run waits for this with its end, which must not depend on it; nor must anything else of the account. So what it leads to is
        // no sign for the breaker or of the credentials, and no reason for a pause.
        let ask = async || {
            self.take(Priority::Ending).await?;
            let answer = self.client.pipeline(pipeline).await;
            self.budget.spend(self.client.take_unasked());
            answer
        };
        let asked = async || {
            if self.paused().is_some() {
                return false;
            }
            match tokio::time::timeout(MODE_PATIENCE, ask()).await.unwrap_or(Err(Error::TimedOut)) {
                Ok(pipeline) => pipeline.developer_mode == Some(true),
                Err(error) => {
                    tracing::debug!(%error, %pipeline, "the pipeline cannot be read");
                    if error == Error::TimedOut {
                        // Each end would wait as long again.
                        self.modes().silent = Some(Instant::now());
                    }
                    false
                }
            }
        };
        *developer.get_or_init(asked).await
    }

    /// Whether the list of a pipeline, read to its end, does not have this execution. False also if it has no end within 100 pages.
    ///
    /// # Errors
    /// Why there was no list.
    pub async fn lacks(&self, pipeline: &PipelineId, id: &ExecutionId) -> Result<bool, Error> {
        let limit = self.running_page.load(Ordering::Relaxed);
        let query = ListQuery { pipeline: Some(pipeline.clone()), order: Order::Descending, limit, thorough: true, ..ListQuery::default() };
        let mut pages = Collector::new(&query);
        let mut offset = 0;
        for _ in 0..ALL_PAGES {
            self.take(Priority::Polling).await?;
            let page = self.get(self.client.list_page(&query, offset)).await?;
            if page.items.iter().any(|execution| execution.id == *id) {
                return Ok(false);
            }
            match pages.add(page) {
                Next::At(next) => offset = next,
                Next::Done => break,
            }
        }
        Ok(pages.finish().complete)
    }

    /// Reads one page of what is running, oldest first, when its turn has come.
    ///
    /// # Errors
    /// As for [`Client::list_page`] and [`Session::prepare`].
    pub async fn running(&self, offset: usize) -> Result<Page, Error> {
        let page = async |limit| {
            let query = ListQuery { status: Some(ExecutionStatus::Processing), limit, ..ListQuery::default() };
            self.take(Priority::Polling).await?;
            self.get(self.client.list_page(&query, offset)).await
        };
        let limit = self.running_page.load(Ordering::Relaxed);
        match page(limit).await {
            Err(Error::Rejected { .. } | Error::TooLarge | Error::TimedOut | Error::Malformed { .. }) if limit == LARGE_PAGE => {
                let usual = ListQuery::default().limit;
                self.running_page.store(usual, Ordering::Relaxed);
                page(usual).await
            }
            result => result,
        }
    }

    /// What the account's list shows now, by a look that began after this moment, and leave to send a POST, which is waited for after the
    /// look, so that it is used at once. Those who wait at the same time share one look. None if the list does not show reliably what is
    /// newest.
    ///
    /// # Errors
    /// Why there was no list; [`Error::Paused`], or [`Error::Stopping`] when the process is shutting down.
    pub async fn prepare(&self, after: Instant) -> Result<Option<Baseline>, Error> {
        loop {
            let (began, baseline) = self.looked_since(after).await?;
            self.take(Priority::Trigger).await?;
            if began.elapsed() < BASELINE_AGE {
                return Ok(baseline);
            }
        }
    }

    async fn looked_since(&self, after: Instant) -> Result<(Instant, Option<Baseline>), Error> {
        let mut looked = self.looked.lock().await;
        if let Some(look) = &*looked
            && look.began >= after
            && look.began.elapsed() < BASELINE_AGE
        {
            return look.result.clone().map(|baseline| (look.began, baseline));
        }
        if let Some(look) = &*looked
            && self.budget.is_tight()
        {
            let shared = Duration::from_secs_f64(SHARED_BY / self.rate()).min(SHARE_WITHIN);
            tokio::time::sleep(shared.saturating_sub(look.began.elapsed())).await;
        }
        let began = Instant::now();
        let result = self.look().await;
        *looked = Some(Look { began, result: result.clone() });
        result.map(|baseline| (began, baseline))
    }

    async fn look(&self) -> Result<Option<Baseline>, Error> {
        let newest_first = ListQuery { order: Order::Descending, thorough: true, ..ListQuery::default() };
        self.take(Priority::Baseline).await?;
        let page = self.get(self.client.list_page(&newest_first, 0)).await?;
        if page.unreadable == 0 && (page.sent == 0 || sorted(&page.items) == Sorting::NewestFirst) {
            return Ok(Some(baseline_of(&page.items)));
        }
        // Which end is the new one cannot be told from this page: everything there is can.
        let all = self.list(&newest_first, ALL_PAGES, Priority::Baseline).await?;
        Ok(all.complete.then(|| baseline_of(&all.items)))
    }

    /// The newest executions of a pipeline; none if the list cannot be relied on.
    ///
    /// # Errors
    /// Why there was no list.
    pub async fn sighting(&self, pipeline: &PipelineId) -> Result<Option<Sighting>, Error> {
        let query = ListQuery { pipeline: Some(pipeline.clone()), order: Order::Descending, thorough: true, ..ListQuery::default() };
        let listing = self.list(&query, NEWEST_PAGES, Priority::Recovery).await?;
        if listing.complete {
            return Ok(Some(Sighting { candidates: self.candidates(&listing.items), after: None }));
        }
        if sorted(&listing.items) == Sorting::NewestFirst {
            let after = listing.items.last().and_then(created);
            return Ok(after.map(|after| Sighting { candidates: self.candidates(&listing.items), after: Some(after) }));
        }
        let listing = self.list(&query, ALL_PAGES, Priority::Recovery).await?;
        Ok(listing.complete.then(|| Sighting { candidates: self.candidates(&listing.items), after: None }))
    }

    async fn list(&self, query: &ListQuery, pages: usize, priority: Priority) -> Result<Listing, Error> {
        self.get(self.client.list(query, pages, &|_| self.take(priority).boxed())).await
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

    /// After each request.
    fn settle(&self) {
        self.budget.spend(self.client.take_unasked());
        self.tell_if_rejected();
    }

    /// Once for each rejection: the account's controller then reads the Secret again and makes a new session, unless the credentials
    /// work again by then.
    fn tell_if_rejected(&self) {
        let rejected = self.client.credentials_rejected();
        if rejected && !self.told.swap(true, Ordering::Relaxed) {
            // A word that waits says it already, and the other end is gone only when the process ends.
            let _said = self.rejected.try_send(());
        } else if !rejected {
            self.told.store(false, Ordering::Relaxed);
        }
    }
}

/// The server seems to be away.
const fn unavailable(left: Duration) -> Pause {
    Pause { left, reason: PauseReason::Unavailable }
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
