//! `next(now) -> what is done next`: everything that one account asks nuvo, and when. Start reading here.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    breaker::Availability,
    budget::{Budget, Ticket},
    doubts::Doubts,
    executions::{Due, Executions, Look, Pace},
    observation::{self, Observation, ObservationRead, PageRequest},
    pauses::{Pause, Pauses},
    posts::Posts,
    purpose::Purpose,
    reads::Read,
    shared_look::{self, Asked, SharedLook},
    turns::{Called, Need, Shown, Turns},
};
use crate::run::{Baseline, ExecutionId, Obstacle, PipelineId, PostOutcome, Unexecuted};

/// While nuvo leaves a POST unanswered, the triggers that wait ask again after this time.
const HANGING: Duration = Duration::from_secs(5);

/// The scheduler of one account. All times are those of one monotonic clock, which is handed in.
#[derive(Debug)]
pub struct AccountScheduler<E> {
    /// The executions that its runs follow.
    pub executions: Executions,
    /// Its runs in doubt.
    pub doubts: Doubts,
    /// The pipelines that are observed.
    pub observation: Observation,
    budget: Budget,
    pauses: Pauses,
    posts: Posts,
    turns: Turns<E>,
    running: SharedLook<Running, E>,
    refused: VecDeque<(Ticket, Pause)>,
    credentials: Credentials,
}

/// The running executions of an account, with their pipelines; none if a look does not reliably show all of them.
pub type Running = Option<Arc<[(PipelineId, ExecutionId)]>>;

/// The credentials that the account had at one time, told apart by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credentials(u64);

/// What is done next.
#[derive(Debug)]
pub enum Next<E> {
    /// The request with this ticket is sent. It has waited for so long.
    Send(Ticket, Duration),
    /// The request with this ticket is not sent, because of this pause.
    Refuse(Ticket, Pause),
    /// This turn has come: what the look has shown, and one request for the POST, which has waited for so long. Its
    /// [end](AccountScheduler::turn_over) is to be told.
    Turn(Ticket, Option<Baseline>, Duration),
    /// A look at what is running has shown this to this ticket.
    Running(Ticket, Running),
    /// There is nothing for this ticket, because the look has failed.
    LookFailed(Ticket, E),
    /// This is begun.
    Begin(Work),
    /// Nothing before this time, unless something changes.
    Sleep(Option<Duration>),
}

/// What is read of nuvo, and told when it is there.
#[derive(Debug)]
pub enum Work {
    /// Read the list of all executions for the turns that wait, and tell [`AccountScheduler::looked_for_turns`].
    LookForTurns,
    /// Read the list of running executions for the runs that do not trigger beside one, and tell
    /// [`AccountScheduler::looked_for_running`].
    LookForRunning,
    /// Read the newest executions of the account, or of this pipeline, for the runs in doubt, and tell
    /// [`Doubts::looked`].
    LookForDoubts(Option<PipelineId>),
    /// Read the list of running executions, and tell [`Executions::looked`].
    Look(Look),
    /// Read an execution, and tell [`Executions::answered`].
    Read(Read),
    /// Read a pipeline, and tell [`Executions::mode_answered`].
    Mode(PipelineId),
    /// Read a page of the newest executions for the pipelines that are observed, and tell [`Observation::page_read`].
    Observe(PageRequest),
    /// Read this for the pipelines that are observed, and tell [`Observation::read`].
    ReadObserved(ObservationRead),
}

impl<E: Clone> AccountScheduler<E> {
    /// Nothing is known, and nothing is followed until the account [can be used](AccountScheduler::set_pace). For `grace` and `spread` see
    /// [`Executions::new`]; `confirm` is the time after which a run in doubt looks again; a new execution can be older than the newest one by
    /// `overlap`.
    #[must_use]
    pub fn new(grace: Duration, spread: f64, confirm: Duration, overlap: Duration, now: Duration) -> Self {
        Self {
            doubts: Doubts::new(confirm),
            executions: Executions::new(grace, spread),
            observation: Observation::new(overlap, spread),
            budget: Budget::new(1, now),
            pauses: Pauses::default(),
            posts: Posts::default(),
            turns: Turns::new(),
            running: SharedLook::new(Duration::MAX),
            refused: VecDeque::new(),
            credentials: Credentials::default(),
        }
    }

    /// The account has other credentials, or another rate limit: no pause counts any more.
    pub fn renew(&mut self, requests_per_second: u32, now: Duration) -> Credentials {
        self.budget.set_rate(requests_per_second, now);
        self.pauses = Pauses::default();
        self.credentials = Credentials(self.credentials.0.wrapping_add(1));
        self.credentials
    }

    /// The account can be used, and its runs are looked at no less often than the first of these times, its observed pipelines as often as the
    /// second says; none while it cannot be used.
    pub fn set_pace(&mut self, pace: Option<(Duration, Duration)>) {
        let rate = self.budget.rate();
        self.executions.set_pace(pace.map(|(slowest, _)| Pace { slowest, rate }));
        self.observation.set_period(pace.map(|(_, period)| period));
    }

    /// Requests per second.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.budget.rate()
    }

    /// Asks for one request: without a ticket it is sent at once.
    ///
    /// # Errors
    /// The pause, if there is one.
    pub fn request(&mut self, purpose: Purpose, now: Duration) -> Result<Option<Ticket>, Pause> {
        match self.paused(purpose, now) {
            Some(pause) => Err(pause),
            None if self.budget.take(purpose, now) => Ok(None),
            None => Ok(Some(self.budget.want(purpose, now))),
        }
    }

    /// Asks for a turn to trigger: a look at nuvo's list that begins `after` this time, when the lock was read, and one request.
    ///
    /// # Errors
    /// The pause, if there is one.
    pub fn turn(&mut self, after: Duration, now: Duration) -> Result<Ticket, Pause> {
        if let Some(pause) = self.turns_paused(now) {
            return Err(pause);
        }
        let ticket = self.budget.ticket();
        self.turns.want(ticket, after);
        Ok(ticket)
    }

    /// Asks what is running, by a look that begins `after` this time, when the lock was read.
    ///
    /// # Errors
    /// The pause, if there is one.
    pub fn running(&mut self, after: Duration, now: Duration) -> Result<Ticket, Pause> {
        if let Some(pause) = self.paused(Purpose::Baseline, now) {
            return Err(pause);
        }
        let ticket = self.budget.ticket();
        self.running.want(Asked { ticket, after });
        Ok(ticket)
    }

    /// Decides what is done next. `circuit_open` is for how long nothing is sent to the server of the account.
    pub fn next(&mut self, now: Duration, circuit_open: Option<Duration>) -> Next<E> {
        let turns_wait = loop {
            self.refuse_paused(now);
            if let Some((ticket, pause)) = self.refused.pop_front() {
                return Next::Refuse(ticket, pause);
            }
            if let Some((ticket, waited)) = self.budget.next(now) {
                match self.turns.called(ticket, now) {
                    Called::Other => return Next::Send(ticket, waited),
                    Called::Turn(baseline) => {
                        self.pauses.triggering(now);
                        return Next::Turn(ticket, baseline, waited);
                    }
                    Called::TooLate => self.budget.refund(),
                }
                continue;
            }
            let (is_tight, rate) = (self.budget.is_tight(now), self.budget.rate());
            let turns_wait = match self.turns.need(now, is_tight, rate) {
                Need::Request(ticket) => {
                    self.budget.queue(ticket, Purpose::Trigger, now);
                    continue;
                }
                Need::Failed(ticket, error) => return Next::LookFailed(ticket, error),
                Need::Look => return Next::Begin(Work::LookForTurns),
                Need::Wait(until) => until,
            };
            match self.running.need(now, is_tight, rate) {
                shared_look::Need::Tell(asked, _, Ok(running)) => return Next::Running(asked.ticket, running),
                shared_look::Need::Tell(asked, _, Err(error)) => return Next::LookFailed(asked.ticket, error),
                shared_look::Need::Look => return Next::Begin(Work::LookForRunning),
                shared_look::Need::Wait(until) => break turns_wait.into_iter().chain(until).min(),
            }
        };
        let pause = self.pauses.of(Purpose::Polling, now).map(|pause| pause.left).max(circuit_open);
        let doubts_wait = match self.doubts.due(now, pause) {
            Ok(pipeline) => return Next::Begin(Work::LookForDoubts(pipeline)),
            Err(until) => until,
        };
        let triggers_wait = self.budget.triggers_wait() || self.turns.wait_for_look();
        match self.executions.next(now, pause, triggers_wait) {
            Due::Look(look) => Next::Begin(Work::Look(look)),
            Due::Read(read) => Next::Begin(Work::Read(read)),
            Due::Mode(pipeline) => Next::Begin(Work::Mode(pipeline)),
            Due::Wait(until) => match self.observation.next(now, pause) {
                observation::Due::Page(page) => Next::Begin(Work::Observe(page)),
                observation::Due::Read(read) => Next::Begin(Work::ReadObserved(read)),
                observation::Due::Wait(observe) => {
                    let token = self.budget.wait().map(|wait| now.saturating_add(wait));
                    Next::Sleep([until, token, turns_wait, doubts_wait, observe].into_iter().flatten().min())
                }
            },
        }
    }

    /// The look for turns that began then has shown this.
    pub fn looked_for_turns(&mut self, began: Duration, shown: Shown<E>) {
        self.turns.shown(began, shown);
    }

    /// The look at what is running that began then has shown this.
    pub fn looked_for_running(&mut self, began: Duration, shown: Result<Running, E>) {
        self.running.shown(began, shown);
    }

    /// A turn is over: its POST is sent now, or will not be sent.
    pub fn turn_over(&mut self) {
        self.turns.over();
    }

    /// What was granted was not used.
    pub fn refund(&mut self) {
        self.budget.refund();
    }

    /// Charges requests that were sent without permission: for an access token, or repeated with a new one.
    pub fn debit(&mut self, requests: u32, now: Duration) {
        self.budget.debit(requests, now);
    }

    /// Pauses everything for this long.
    pub fn pause(&mut self, length: Duration, obstacle: Obstacle, now: Duration) {
        self.pauses.pause(length, obstacle, now);
    }

    /// A POST is sent now.
    pub fn post_sent(&mut self, now: Duration) {
        self.posts.sent(now);
    }

    /// The POST that was sent then, with these credentials, is over: with this outcome, or broken off.
    pub fn post_ended(&mut self, sent: Duration, credentials: Credentials, outcome: Option<&PostOutcome>, now: Duration) {
        let is_answered = outcome.is_some_and(|outcome| Availability::of_post(outcome) == Availability::Answered);
        self.posts.ended(sent, is_answered, now);
        match outcome {
            Some(PostOutcome::Accepted(_) | PostOutcome::ExecutedIdsUnknown { .. }) => self.pauses.triggered(),
            Some(PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(wait, obstacle), .. }) => match obstacle {
                // Reads have no part in a quota of executions.
                Obstacle::RateLimited => self.pauses.quota_exceeded(*wait, now),
                Obstacle::Unavailable => self.pauses.pause(*wait, *obstacle, now),
                // Others may have replaced them while the POST was out, and nothing is known against those.
                Obstacle::Account if credentials == self.credentials => self.pauses.pause(*wait, *obstacle, now),
                Obstacle::Account | Obstacle::Operator => {}
            },
            Some(PostOutcome::NotExecuted { .. } | PostOutcome::Unknown { .. }) | None => {}
        }
    }

    /// The pause of requests for this purpose, if there is one.
    #[must_use]
    pub fn paused(&self, purpose: Purpose, now: Duration) -> Option<Pause> {
        let hangs = purpose.is_trigger() && self.posts.hang(now);
        let hanging = hangs.then_some(Pause { left: HANGING, obstacle: Obstacle::Unavailable });
        self.pauses.of(purpose, now).into_iter().chain(hanging).max_by_key(|pause| pause.left)
    }

    fn turns_paused(&self, now: Duration) -> Option<Pause> {
        self.paused(Purpose::Trigger, now).or_else(|| self.pauses.while_probing(now))
    }

    /// Takes out what waits for something that pauses.
    fn refuse_paused(&mut self, now: Duration) {
        for purpose in Purpose::ALL {
            let is_turn = purpose == Purpose::Trigger;
            let Some(pause) = (if is_turn { self.turns_paused(now) } else { self.paused(purpose, now) }) else { continue };
            let turns = is_turn.then(|| self.turns.refuse()).into_iter().flatten();
            let running = (purpose == Purpose::Baseline).then(|| self.running.refuse()).into_iter().flatten();
            self.refused.extend(self.budget.refuse(purpose).chain(turns).chain(running).map(|ticket| (ticket, pause)));
        }
    }
}

#[cfg(test)]
mod tests;
