//! The scheduler of one account, and the requests and turns that wait for what it decides.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc, time::Duration};

use nuvo_client::Error;
use nuvo_core::{
    run::{Baseline, PostOutcome},
    scheduler::{AccountScheduler, Credentials, Next, Pause, Purpose, Running, Ticket, Work},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

/// What the clock shows at the start: more than any execution is old, so that the beginning of each has a time.
const BEFORE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What is waited for: that it may go on.
type Granted = Result<Grant, Error>;

/// One request may be sent, or a look has shown something.
#[derive(Debug, Default)]
struct Grant {
    turn: Option<(Turn, Option<Baseline>)>,
    running: Running,
    /// How long it waited for the rate limit.
    waited: Duration,
}

/// A turn to trigger, to be dropped when its POST is sent.
#[derive(Debug)]
pub struct Turn(Arc<Requests>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.change(|scheduler, _| scheduler.turn_over());
    }
}

/// The scheduler of one account, which its [driver](super::AccountDriver) asks what is next.
#[derive(Debug)]
pub struct Requests {
    started: Instant,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    scheduler: AccountScheduler<Error>,
    waiting: HashMap<Ticket, oneshot::Sender<Granted>>,
    is_closed: bool,
}

impl Requests {
    pub(super) fn new(grace: Duration, spread: f64, confirm: Duration, overlap: Duration) -> Self {
        let scheduler = AccountScheduler::new(grace, spread, confirm, overlap, BEFORE);
        let state = State { scheduler, waiting: HashMap::new(), is_closed: false };
        Self { started: Instant::now(), state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn now(&self) -> Duration {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Duration {
        BEFORE.saturating_add(instant.saturating_duration_since(self.started))
    }

    /// Reads the scheduler, or tells it what changes nothing about what is next.
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut AccountScheduler<Error>, Duration) -> T) -> T {
        read(&mut self.state.lock().scheduler, self.now())
    }

    /// Tells the scheduler something, and has it decide anew.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut AccountScheduler<Error>, Duration) -> T) -> T {
        let result = self.with(change);
        self.changed.notify_one();
        result
    }

    /// Waits until one request may be sent. Returns how long it waited for the rate limit.
    ///
    /// # Errors
    /// [`Error::Paused`], also if the pause begins meanwhile; [`Error::Stopping`] when nothing is sent for the account any more.
    pub(super) async fn permit(&self, purpose: Purpose) -> Result<Duration, Error> {
        self.ask(|scheduler, now| scheduler.request(purpose, now)).await.map(|grant| grant.waited)
    }

    /// Waits for a turn to trigger: what a look at nuvo's list that began `after` this moment has shown, and one request for the POST, which is
    /// used at once. Returns how long it waited for the rate limit, too.
    ///
    /// # Errors
    /// As for [`Requests::permit`], and why there was no list.
    pub(super) async fn turn(&self, after: Instant) -> Result<(Turn, Option<Baseline>, Duration), Error> {
        let Grant { turn, waited, .. } = self.ask(|scheduler, now| scheduler.turn(self.at(after), now).map(Some)).await?;
        turn.map(|(turn, baseline)| (turn, baseline, waited)).ok_or(Error::Stopping)
    }

    /// Waits for what is running, by a look that began `after` this moment.
    ///
    /// # Errors
    /// As for [`Requests::permit`], and why there was no list.
    pub(super) async fn running(&self, after: Instant) -> Result<Running, Error> {
        self.ask(|scheduler, now| scheduler.running(self.at(after), now).map(Some)).await.map(|grant| grant.running)
    }

    async fn ask(&self, ask: impl FnOnce(&mut AccountScheduler<Error>, Duration) -> Result<Option<Ticket>, Pause>) -> Granted {
        let wait = {
            let now = self.now();
            let mut state = self.state.lock();
            if state.is_closed {
                return Err(Error::Stopping);
            }
            let Some(ticket) = ask(&mut state.scheduler, now).map_err(Error::Paused)? else { return Ok(Grant::default()) };
            let (grant, wait) = oneshot::channel();
            state.waiting.insert(ticket, grant);
            wait
        };
        self.changed.notify_one();
        wait.await.unwrap_or(Err(Error::Stopping))
    }

    /// What is begun next, after everything was granted and refused that can be; or until when nothing is.
    pub(super) fn next(self: &Arc<Self>, circuit_open: Option<Duration>) -> ControlFlow<Option<Duration>, Work> {
        let now = self.now();
        loop {
            let next = self.with(|scheduler, _| scheduler.next(now, circuit_open));
            let takes_request = matches!(next, Next::Send(..) | Next::Turn(..));
            let (ticket, granted) = match next {
                Next::Send(ticket, waited) => (ticket, Ok(Grant { waited, ..Grant::default() })),
                Next::Turn(ticket, baseline, waited) => {
                    (ticket, Ok(Grant { turn: Some((Turn(self.clone()), baseline)), waited, ..Grant::default() }))
                }
                Next::Running(ticket, running) => (ticket, Ok(Grant { running, ..Grant::default() })),
                Next::Refuse(ticket, pause) => (ticket, Err(Error::Paused(pause))),
                Next::LookFailed(ticket, error) => (ticket, Err(error)),
                Next::Begin(work) => return ControlFlow::Continue(work),
                Next::Sleep(until) => return ControlFlow::Break(until),
            };
            let waits = self.state.lock().waiting.remove(&ticket);
            let is_gone = waits.is_none_or(|waits| waits.send(granted).is_err());
            if is_gone && takes_request {
                self.with(|scheduler, _| scheduler.refund());
            }
        }
    }

    /// Waits until something has changed, at most until this time.
    pub(super) async fn changed(&self, until: Option<Duration>) {
        let due = async {
            match until {
                Some(until) => sleep(until.saturating_sub(self.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = due => {}
        }
    }

    /// A POST is sent now.
    pub(super) fn post(&self, credentials: Credentials) -> PostInFlight<'_> {
        let sent = self.with(|scheduler, now| {
            scheduler.post_sent(now);
            now
        });
        PostInFlight { requests: self, sent, credentials, is_over: false }
    }

    /// Nothing is sent for the account any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.waiting.clear();
    }
}

/// A POST that is out. If it is dropped without an outcome, it was broken off.
pub(super) struct PostInFlight<'a> {
    requests: &'a Requests,
    sent: Duration,
    credentials: Credentials,
    is_over: bool,
}

impl PostInFlight<'_> {
    /// It has ended in this way.
    pub(super) fn ended(mut self, outcome: &PostOutcome) {
        self.is_over = true;
        self.requests.change(|scheduler, now| scheduler.post_ended(self.sent, self.credentials, Some(outcome), now));
    }
}

impl Drop for PostInFlight<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.requests.change(|scheduler, now| scheduler.post_ended(self.sent, self.credentials, None, now));
        }
    }
}
