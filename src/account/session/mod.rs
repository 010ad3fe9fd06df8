//! The session of one account: its client behind its rate limit and its circuit breaker.

mod baseline;
mod processing;
mod short_hash;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use nuvo_client::{
    Client, Collector, CredentialsVerdict, Error, Exchange, Execution, ExecutionStatus, Identity, ListQuery, Listing, Next, Order, PAUSE,
    Page, Pause, Pipeline, Usage, trigger_outcome,
};
use nuvo_core::{
    run::{AccountHash, ExecutionId, Nonce, Obstacle, PipelineId, PostOutcome},
    scheduler::{Availability, Credentials, Purpose, RequestKind, most_places},
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub use short_hash::short_hash;

use super::{CircuitBreaker, Requests};

/// The pages that are read when the server does not sort as asked, so that only the whole list shows what is new.
const ALL_PAGES: usize = 100;
/// The page size to request where only the number of requests counts. A server may return smaller pages.
const LARGE_PAGE: u32 = 1_000;
/// How long to wait for the answer about a pipeline.
const PIPELINE_WITHIN: Duration = Duration::from_secs(5);
/// Where a session announces that its account is to be reconciled: nuvo rejects the credentials, or has shown another identity. One pending
/// announcement is enough.
pub type Announcements = mpsc::Sender<()>;

/// How a session treats its account, and what it notifies.
pub struct SessionSettings {
    /// The rate limit.
    pub requests_per_second: u32,
    /// The longest time between two polls of running executions.
    pub poll_period: Duration,
    /// The time between two looks for the pipelines that are observed.
    pub observe_period: Duration,
    /// The identity that the account names.
    pub identity: Option<Identity>,
    /// Which account it is.
    pub account: AccountHash,
    /// The identity that nuvo has shown earlier for the same credentials.
    pub shown_identity: Option<Identity>,
    /// The circuit breaker of the server.
    pub breaker: Arc<CircuitBreaker>,
    /// Gets a message when the account is to be reconciled.
    pub announcements: Announcements,
    /// Called with the time that each request waited for the rate limit.
    pub waited: Box<dyn Fn(Duration) + Send + Sync>,
}

/// The session of one account.
pub struct Session {
    client: Client,
    requests: Arc<Requests>,
    credentials: Credentials,
    breaker: Arc<CircuitBreaker>,
    poll_period: Duration,
    observe_period: Duration,
    most_places: usize,
    identity: Option<Identity>,
    account: AccountHash,
    shown_identity: Mutex<Option<Identity>>,
    page_size: AtomicU32,
    waited: Box<dyn Fn(Duration) + Send + Sync>,
    announcements: Announcements,
    credentials_rejected: AtomicBool,
    /// The current rejection has been announced.
    announced: AtomicBool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that asks `requests` before it sends one. Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client, requests: Arc<Requests>, settings: SessionSettings) -> Self {
        let credentials = requests.change(|scheduler, now| scheduler.renew(settings.requests_per_second, now));
        Self {
            client,
            requests,
            credentials,
            breaker: settings.breaker,
            poll_period: settings.poll_period,
            observe_period: settings.observe_period,
            identity: settings.identity,
            account: settings.account,
            shown_identity: Mutex::new(settings.shown_identity),
            most_places: most_places(settings.requests_per_second),
            page_size: AtomicU32::new(LARGE_PAGE),
            waited: settings.waited,
            announcements: settings.announcements,
            credentials_rejected: AtomicBool::new(false),
            // Whoever verifies the credentials learns of their rejection from the answer.
            announced: AtomicBool::new(true),
        }
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        self.client.base().origin()
    }

    /// Which account it is.
    #[must_use]
    pub const fn account(&self) -> &AccountHash {
        &self.account
    }

    /// The longest time between two polls of running executions.
    #[must_use]
    pub const fn poll_period(&self) -> Duration {
        self.poll_period
    }

    /// The time between two looks for the pipelines that are observed.
    #[must_use]
    pub const fn observe_period(&self) -> Duration {
        self.observe_period
    }

    /// Requests per second that the account allows.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests.with(|scheduler, _| scheduler.rate())
    }

    /// For how long nothing is sent to the server, because it does not answer.
    #[must_use]
    pub fn circuit_open(&self) -> Option<Duration> {
        self.breaker.left()
    }

    /// How many runs of the account may work on their triggers at once.
    #[must_use]
    pub const fn most_places(&self) -> usize {
        self.most_places
    }

    /// The remaining pause, if no request for this purpose may be sent now.
    #[must_use]
    pub fn paused(&self, purpose: Purpose) -> Option<Pause> {
        let paused = self.requests.with(|scheduler, now| scheduler.paused(purpose, now));
        paused.into_iter().chain(self.circuit_open().map(unavailable)).max_by_key(|pause| pause.left)
    }

    /// Whether nuvo has rejected the credentials since it accepted them last.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.credentials_rejected.load(Ordering::Relaxed)
    }

    /// Waits until a request may be sent: [`Error::Paused`], or [`Error::Stopping`] when nothing is sent any more.
    async fn take(&self, purpose: Purpose) -> Result<(), Error> {
        self.requests.permit(purpose).await.map(&self.waited)
    }

    fn pause(&self, length: Duration, obstacle: Obstacle) {
        self.requests.change(|scheduler, now| scheduler.pause(length, obstacle, now));
    }

    /// Sends a GET, or several for one purpose, and records whether the server is available and whether it asks for a pause.
    async fn get<T>(&self, request: impl Future<Output = Exchange<Result<T, Error>>>) -> Result<T, Error> {
        let permit = self.breaker.acquire(RequestKind::Get).map_err(|left| Error::Paused(unavailable(left)))?;
        let Exchange { result, usage } = request.await;
        permit.ended(match &result {
            Err(error) if error.is_of_server() => Availability::Failed,
            // Nothing was sent.
            Err(Error::Paused(_) | Error::Stopping | Error::Setup { .. }) => Availability::Unknown,
            Ok(_) | Err(_) => Availability::Answered,
        });
        match &result {
            Err(Error::RateLimited { retry_after }) => self.pause(retry_after.unwrap_or(PAUSE), Obstacle::RateLimited),
            Err(Error::Server { status: 503, retry_after }) => self.pause(retry_after.unwrap_or(PAUSE), Obstacle::Unavailable),
            _ => {}
        }
        self.account_for_request(usage);
        result
    }

    /// Verifies that nuvo accepts the credentials.
    ///
    /// # Errors
    /// Why nuvo does not accept them, or did not answer.
    pub async fn verify_credentials(&self) -> Result<(), Error> {
        self.take(Purpose::Trigger).await?;
        self.get(self.client.verify_credentials()).await
    }

    /// The one POST. The caller has its [turn](Session::turn), so that it does not wait here, between the lock and the POST.
    pub async fn create(&self, pipeline: &PipelineId, nonce: &Nonce) -> PostOutcome {
        let permit = match self.breaker.acquire(RequestKind::Post) {
            Ok(permit) => permit,
            Err(left) => return trigger_outcome::circuit_open(left),
        };
        let post = self.requests.post(self.credentials);
        let Exchange { result: outcome, usage } = self.client.create(pipeline, nonce).await;
        if let Some(wait) = usage.pause {
            self.pause(wait, Obstacle::Unavailable);
        }
        permit.ended(Availability::of_post(&outcome));
        post.ended(&outcome);
        self.account_for_request(usage);
        outcome
    }

    /// Reads one execution, as soon as the rate limit allows it.
    ///
    /// # Errors
    /// As for [`Client::read`], and [`Error::Paused`] or [`Error::Stopping`].
    pub async fn read(&self, id: &ExecutionId, purpose: Purpose) -> Result<Execution, Error> {
        self.take(purpose).await?;
        self.get(self.client.read(id)).await
    }

    /// Reads a pipeline. A failure counts neither for the circuit breaker nor for the credentials, and leads to no pause: nothing of the account
    /// depends on the answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn pipeline(&self, pipeline: &PipelineId, purpose: Purpose) -> Result<Pipeline, Error> {
        self.take(purpose).await?;
        let asked = tokio::time::timeout(PIPELINE_WITHIN, self.client.pipeline(pipeline)).await;
        let Exchange { result, usage } = asked.map_err(|_| Error::TimedOut)?;
        self.charge(usage);
        result
    }

    /// Reads a page of the newest executions of the account, or of this pipeline.
    ///
    /// # Errors
    /// As for [`Client::list_page`] and [`Session::read`].
    pub async fn newest_page(&self, pipeline: Option<PipelineId>, offset: usize, purpose: Purpose) -> Result<Page, Error> {
        let mut query = ListQuery { pipeline, order: Order::Descending, ..ListQuery::default() };
        loop {
            // Most of the first page is known already.
            if offset > 0 {
                query.limit = self.page_size.load(Ordering::Relaxed);
            }
            self.take(purpose).await?;
            match self.get(self.client.list_page(&query, offset)).await {
                Err(error) if self.is_too_large(query.limit, &error) => {}
                result => return result,
            }
        }
    }

    /// Whether the complete list of a pipeline lacks this execution. Also false if the list does not end within 100 pages.
    ///
    /// # Errors
    /// Why there was no list.
    pub async fn confirms_absent(&self, pipeline: &PipelineId, id: &ExecutionId) -> Result<bool, Error> {
        let limit = self.page_size.load(Ordering::Relaxed);
        let query = ListQuery { pipeline: Some(pipeline.clone()), order: Order::Descending, limit, thorough: true, ..ListQuery::default() };
        let mut pages = Collector::new(&query);
        let mut offset = 0;
        for _ in 0..ALL_PAGES {
            self.take(Purpose::Polling).await?;
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

    /// Reads one page of the running executions, oldest first, as soon as the rate limit allows it.
    ///
    /// # Errors
    /// As for [`Client::list_page`] and [`Session::read`].
    pub async fn running(&self, offset: usize) -> Result<Page, Error> {
        loop {
            let limit = self.page_size.load(Ordering::Relaxed);
            let query = ListQuery { status: Some(ExecutionStatus::Processing), limit, ..ListQuery::default() };
            self.take(Purpose::Polling).await?;
            match self.get(self.client.list_page(&query, offset)).await {
                Err(error) if self.is_too_large(limit, &error) => {}
                result => return result,
            }
        }
    }

    /// Whether the server may not send such large pages. It is asked for usual ones from then on.
    fn is_too_large(&self, limit: u32, error: &Error) -> bool {
        let is_about_size = matches!(error, Error::Rejected { .. } | Error::TooLarge | Error::TimedOut | Error::Malformed { .. });
        let is_too_large = limit == LARGE_PAGE && is_about_size;
        if is_too_large {
            self.page_size.store(ListQuery::default().limit, Ordering::Relaxed);
        }
        is_too_large
    }

    async fn list(&self, query: &ListQuery, pages: usize, purpose: Purpose) -> Result<Listing, Error> {
        self.get(self.client.list(query, pages, &|_| self.take(purpose).boxed())).await
    }

    /// The account's identity: as nuvo has shown it last, else as the account names it.
    fn known_identity(&self) -> Option<Identity> {
        self.shown_identity.lock().clone().or_else(|| self.identity.clone())
    }

    /// What nuvo has shown as the account's identity, if it is not the one that the account names.
    #[must_use]
    pub fn shown_identity(&self) -> Option<Identity> {
        self.shown_identity.lock().clone()
    }

    /// Learns the account's identity from an execution that it certainly started. An access token does not show it.
    pub fn started_by_us(&self, execution: &Execution) {
        let known = self.known_identity();
        if execution.created_by.is_none() || execution.created_by == known {
            return;
        }
        if known.is_some() {
            tracing::warn!("nuvo shows another creator of the account's executions than the one that is known; the new one counts");
        }
        self.shown_identity.lock().clone_from(&execution.created_by);
        let _sent = self.announcements.try_send(());
    }

    /// After each call of the client: charges its extra requests, and keeps nuvo's verdict about the credentials.
    fn account_for_request(&self, usage: Usage) {
        self.charge(usage);
        self.announce_rejection();
    }

    fn charge(&self, usage: Usage) {
        self.requests.with(|scheduler, now| scheduler.debit(usage.extra_requests, now));
        if let Some(verdict) = usage.credentials {
            self.credentials_rejected.store(verdict == CredentialsVerdict::Rejected, Ordering::Relaxed);
        }
    }

    /// Announces each rejection once. The controller of accounts then reads the Secret again and makes a new session, unless the credentials
    /// work again by then.
    fn announce_rejection(&self) {
        let rejected = self.is_rejected();
        if rejected && !self.announced.swap(true, Ordering::Relaxed) {
            // A full channel already holds the announcement, and the receiver is dropped only when the process ends.
            let _sent = self.announcements.try_send(());
        } else if !rejected {
            self.announced.store(false, Ordering::Relaxed);
        }
    }
}

/// The pause of an open circuit breaker.
const fn unavailable(left: Duration) -> Pause {
    Pause { left, obstacle: Obstacle::Unavailable }
}
