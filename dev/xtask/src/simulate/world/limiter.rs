//! What the rate limiter of an account does, as `src/account/rate_limit.rs`.

use std::time::Duration;

use nuvo_core::scheduler::{Purpose, RequestKind, USABLE_FOR};

use super::{Event, KUBERNETES, Request, World, name};
use crate::simulate::nuvo::Fate;

impl World {
    pub(super) fn paused(&self, account: usize, purpose: Purpose) -> Option<Duration> {
        let state = &self.accounts[account];
        let pause = state.pauses.of(purpose, self.now).map(|pause| pause.left);
        pause.into_iter().chain(state.breaker.left(self.now)).max()
    }

    pub(super) fn want(&mut self, account: usize, purpose: Purpose, request: Request) {
        if self.accounts[account].pauses.of(purpose, self.now).is_some() {
            return self.refused(account, request);
        }
        if self.accounts[account].budget.take(purpose, self.now) {
            return self.admitted(account, request, purpose, self.now);
        }
        let ticket = self.accounts[account].budget.want(purpose);
        self.accounts[account].waiting.insert(ticket, (request, purpose, self.now));
        self.hand_out(account);
    }

    pub(super) fn hand_out(&mut self, account: usize) {
        while let Some(ticket) = self.accounts[account].budget.next(self.now) {
            match self.accounts[account].waiting.remove(&ticket) {
                Some((request, purpose, since)) => self.admitted(account, request, purpose, since),
                None => self.accounts[account].budget.refund(),
            }
        }
        if let Some(wait) = self.accounts[account].budget.wait() {
            let at = self.now + wait + Duration::from_micros(1);
            if self.accounts[account].hand_out.is_none_or(|present| at < present) {
                self.accounts[account].hand_out = Some(at);
                self.at(at, Event::HandOut(account));
            }
        }
    }

    pub(super) fn admitted(&mut self, account: usize, request: Request, purpose: Purpose, since: Duration) {
        if self.accounts[account].pauses.of(purpose, self.now).is_some() {
            self.accounts[account].budget.refund();
            return self.refused(account, request);
        }
        let longest = self.counts.longest_wait.entry(name(purpose)).or_default();
        *longest = (*longest).max(self.now - since);
        if let Request::Trigger { run, look_began } = request {
            self.accounts[account].pauses.triggering(self.now);
            if self.now - look_began >= USABLE_FOR {
                self.accounts[account].waiting_for_look.push_back(run);
                return self.share_looks(account);
            }
            return self.after(KUBERNETES * 3, Event::Post(run));
        }
        self.send(account, request, RequestKind::Get);
    }

    pub(super) fn refused(&mut self, account: usize, request: Request) {
        let wait = self.paused(account, Purpose::Trigger).unwrap_or_default();
        match request {
            Request::Trigger { run, .. } | Request::Post(run) => self.try_later(run, wait),
            request => self.after(Duration::ZERO, Event::Ended { account, request, fate: Fate::NotSent, is_probe: false }),
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
            Request::Trigger { .. } | Request::Post(_) => Purpose::Trigger,
        };
        *self.counts.sent.entry(name(purpose)).or_default() += 1;
        self.fingerprint = self.fingerprint.rotate_left(5) ^ (now.as_nanos() as u64).wrapping_mul(account as u64 + 7) ^ purpose as u64;
        let state = &mut self.accounts[account];
        state.recent.push_back(now);
        while state.recent.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            state.recent.pop_front();
        }
        let in_a_second = state.recent.len();
        let is_post = kind == RequestKind::Post;
        // A full bucket at the beginning of the second, what came in meanwhile, and the triggers whose token was taken a moment before.
        let allowed = state.rate as usize * 2 + 1;
        self.counts.over_budget += usize::from(in_a_second > allowed);
        self.counts.most_in_a_second = self.counts.most_in_a_second.max(in_a_second);
        let (fate, takes) = self.nuvo.fate(account, is_post, now);
        self.after(takes, Event::Ended { account, request, fate, is_probe });
    }
}
