//! What the driver of an account does, as `src/account/driver/` and `src/account/requests.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use nuvo_core::scheduler::{Next, Purpose, RequestKind, Work};

use super::{Event, KUBERNETES, Looking, Request, World, name, observed};
use crate::simulate::nuvo::{Fate, PAGE};

impl World {
    /// Does what the scheduler of an account wants to be done, and comes back when it says.
    pub(super) fn drive(&mut self, account: usize) {
        loop {
            let state = &mut self.accounts[account];
            let circuit_open = state.breaker.left(self.now);
            match state.scheduler.next(self.now, circuit_open) {
                Next::Send(ticket, _) => match state.waiting.remove(&ticket) {
                    Some((request, purpose, since)) => self.admitted(account, request, purpose, since),
                    None => state.scheduler.refund(),
                },
                Next::Refuse(ticket, _) => {
                    if let Some((request, ..)) = state.waiting.remove(&ticket) {
                        self.refused(account, request);
                    }
                }
                Next::Turn(ticket, ..) => match state.waiting.remove(&ticket) {
                    Some((Request::Post(run), _, since)) => {
                        self.waited(account, Purpose::Trigger, since);
                        self.after(KUBERNETES * 3, Event::Post(run));
                    }
                    _ => state.scheduler.turn_over(),
                },
                // No run here waits for the end of another execution.
                Next::Running(..) => {}
                Next::LookFailed(ticket, ()) => {
                    if let Some((Request::Post(run), ..)) = state.waiting.remove(&ticket) {
                        self.try_later(run, Duration::from_secs(1));
                    }
                }
                Next::Begin(work) => self.begin(account, work),
                Next::Sleep(until) => {
                    if let Some(until) = until
                        && state.wakes.is_none_or(|present| until < present)
                    {
                        state.wakes = Some(until);
                        self.at(until, Event::Drive(account));
                    }
                    return;
                }
            }
        }
    }

    fn begin(&mut self, account: usize, work: Work) {
        match work {
            Work::LookForTurns => self.want(account, Purpose::Baseline, Request::Baseline(self.now)),
            Work::LookForRunning => self.accounts[account].scheduler.looked_for_running(self.now, Ok(None)),
            // No trigger is in doubt here.
            Work::LookForDoubts(pipeline) => {
                self.accounts[account].scheduler.doubts.looked(self.now, pipeline.as_ref(), None);
            }
            Work::Look(look) => {
                let pages = self.nuvo.running(account, self.now).len().div_ceil(PAGE).max(1);
                let looking = Looking { look, shown: BTreeSet::new(), page: pages - 1, requests: 1 };
                self.want(account, Purpose::Polling, Request::Page(looking));
            }
            Work::Read(read) => self.want(account, read.purpose, Request::Read(read, self.now)),
            Work::Observe(page) => self.want(account, page.purpose, Request::Observe(page, self.now)),
            Work::ReadObserved(read) => self.want(account, Purpose::ObservationDetail, Request::ReadObserved(read)),
            Work::Mode(pipeline) => self.want(account, Purpose::Mode, Request::Mode(pipeline)),
        }
    }

    pub(super) fn want(&mut self, account: usize, purpose: Purpose, request: Request) {
        let state = &mut self.accounts[account];
        match state.scheduler.request(purpose, self.now) {
            Err(_) => self.refused(account, request),
            Ok(None) => self.admitted(account, request, purpose, self.now),
            Ok(Some(ticket)) => drop(state.waiting.insert(ticket, (request, purpose, self.now))),
        }
    }

    /// The lock of a run was read.
    pub(super) fn want_turn(&mut self, run: usize) {
        let account = self.runs[run].account;
        let state = &mut self.accounts[account];
        match state.scheduler.turn(self.runs[run].lock_read, self.now) {
            Err(pause) => self.try_later(run, pause.left),
            Ok(ticket) => drop(state.waiting.insert(ticket, (Request::Post(run), Purpose::Trigger, self.now))),
        }
        self.drive(account);
    }

    /// How long a request waited at an account whose nuvo answers.
    fn waited(&mut self, account: usize, purpose: Purpose, since: Duration) {
        if self.nuvo.faults.hanging == Some(account) {
            return;
        }
        let of_account = &mut self.accounts[account].longest_wait;
        if !purpose.takes_what_is_left() {
            *of_account = (*of_account).max(self.now - since);
        }
        let longest = self.counts.longest_wait.entry(name(purpose)).or_default();
        *longest = (*longest).max(self.now - since);
    }

    fn admitted(&mut self, account: usize, request: Request, purpose: Purpose, since: Duration) {
        self.waited(account, purpose, since);
        self.send(account, request, RequestKind::Get);
    }

    fn refused(&mut self, account: usize, request: Request) {
        match request {
            Request::Post(run) => {
                let pause = self.accounts[account].scheduler.paused(Purpose::Trigger, self.now);
                self.try_later(run, pause.map(|pause| pause.left).unwrap_or_default());
            }
            request => self.after(Duration::ZERO, Event::Ended { account, request, fate: Fate::NotSent, is_probe: false, sent: self.now }),
        }
    }

    pub(super) fn send(&mut self, account: usize, request: Request, kind: RequestKind) {
        let now = self.now;
        let Ok(is_probe) = self.accounts[account].breaker.acquire(kind, now) else { return self.refused(account, request) };
        let purpose = match &request {
            Request::Page(_) => Purpose::Polling,
            Request::Read(read, _) => read.purpose,
            Request::Mode(_) => Purpose::Mode,
            Request::Baseline(_) => Purpose::Baseline,
            Request::Post(_) => Purpose::Trigger,
            Request::Observe(page, _) => page.purpose,
            Request::ReadObserved(_) => Purpose::ObservationDetail,
        };
        if let Some(kind) = observed::kind(&request) {
            *self.counts.observation.entry(kind).or_default() += 1;
            if kind == observed::TOP {
                self.counts.top_pages.push((now, account));
            }
        }
        *self.counts.sent.entry(name(purpose)).or_default() += 1;
        self.fingerprint = self.fingerprint.rotate_left(5) ^ (now.as_nanos() as u64).wrapping_mul(account as u64 + 7) ^ purpose as u64;
        let state = &mut self.accounts[account];
        let is_post = kind == RequestKind::Post;
        if is_post {
            state.scheduler.post_sent(now);
        }
        state.recent.push_back(now);
        while state.recent.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            state.recent.pop_front();
        }
        let in_a_second = state.recent.len();
        // A full bucket at the beginning of the second, what came in meanwhile, and the triggers whose token was taken a moment before.
        let allowed = state.rate as usize * 2 + 1;
        self.counts.over_budget += usize::from(in_a_second > allowed);
        self.counts.most_in_a_second = self.counts.most_in_a_second.max(in_a_second);
        let (fate, takes) = self.nuvo.fate(account, is_post, now);
        self.after(takes, Event::Ended { account, request, fate, is_probe, sent: now });
    }
}
