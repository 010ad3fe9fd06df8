//! What the driver and the session do with answers, as `src/account/driver/work.rs` and `src/account/session/`.

use std::collections::BTreeSet;
use std::time::Duration;

use nuvo_core::run::{Obstacle, PostOutcome, RunRef, Unexecuted};
use nuvo_core::scheduler::{Availability, Key, PipelineMode, Purpose, ReadAnswer};

use super::{Account, Event, KUBERNETES, Looking, RETRY_AFTER, Request, Run, World, number_of};
use crate::simulate::nuvo::{Execution, Fate, PAGE};

impl World {
    pub(super) fn ended_request(&mut self, account: usize, request: Request, fate: Fate, is_probe: bool, sent: Duration) {
        let availability = match fate {
            Fate::Answered | Fate::Quota => Availability::Answered,
            Fate::Failed => Availability::Failed,
            Fate::NotSent => Availability::Unknown,
        };
        let is_answered = fate == Fate::Answered;
        let now = self.now;
        self.accounts[account].breaker.ended(is_probe, availability, now);
        match request {
            Request::Page(looking) => self.page(account, looking, is_answered),
            Request::Read(read, asked) => {
                let number = number_of(&read.key);
                let Execution { created, ends, .. } = self.nuvo.execution(number);
                let (has_ended, id) = (ends <= now, read.key.1.to_string());
                let status = Some(if has_ended { "SUCCESSFUL" } else { "PROCESSING" }.to_owned());
                let answer = if is_answered {
                    let report = Box::new(nuvo_crds::Execution { id, status, ..nuvo_crds::Execution::default() });
                    let pipeline = Some(read.key.0.to_string());
                    ReadAnswer::Found { pipeline, report, took: has_ended.then(|| ends - created) }
                } else {
                    ReadAnswer::Failed
                };
                let woken = self.accounts[account].scheduler.executions.answered(&read, asked, answer, now);
                self.wake(&woken);
            }
            Request::Mode(pipeline) if fate == Fate::NotSent => self.accounts[account].scheduler.executions.mode_not_asked(&pipeline),
            Request::Mode(pipeline) => self.accounts[account].scheduler.executions.mode_answered(&pipeline, Some(PipelineMode::default())),
            Request::Observe(page, began) => self.page_for_observed(account, &page, began, is_answered),
            Request::ReadObserved(read) => self.read_for_observed(account, &read, is_answered),
            Request::Baseline(began) => {
                let shown = if is_answered { Ok(None) } else { Err(()) };
                self.accounts[account].scheduler.looked_for_turns(began, shown);
            }
            Request::Post(run) => {
                let Account { scheduler, credentials, .. } = &mut self.accounts[account];
                match fate {
                    Fate::Answered => {
                        scheduler.post_ended(sent, *credentials, Some(&PostOutcome::Accepted(Vec::new())), now);
                        self.runs[run].triggered = Some(now);
                        let Run { takes, files, pipeline, .. } = self.runs[run];
                        let execution = Execution { account, pipeline, trigger: "MANUAL", created: now, ends: now + takes };
                        let executions = (0..files).map(|_| self.nuvo.start(execution)).collect();
                        self.after(KUBERNETES, Event::Recorded(run, executions));
                    }
                    Fate::Quota => {
                        let then = Unexecuted::RetryAfter(RETRY_AFTER, Obstacle::RateLimited);
                        scheduler.post_ended(sent, *credentials, Some(&PostOutcome::NotExecuted { then, message: String::new() }), now);
                        self.try_later(run, RETRY_AFTER);
                    }
                    Fate::Failed | Fate::NotSent => {
                        // The trigger is in doubt, which is another matter: here it counts as not sent.
                        scheduler.post_ended(sent, *credentials, None, now);
                        scheduler.pause(Duration::from_secs(5), Obstacle::Unavailable, now);
                        self.try_later(run, Duration::from_secs(5));
                    }
                }
            }
        }
    }

    pub(super) fn wake(&mut self, woken: &[RunRef]) {
        for run in woken {
            if let Ok(run) = run.name.parse() {
                self.after(Duration::ZERO, Event::Woken(run));
            }
        }
    }

    pub(super) fn page(&mut self, account: usize, mut looking: Looking, is_answered: bool) {
        if is_answered {
            let running = self.nuvo.running(account, self.now);
            looking.shown.extend(running.iter().skip(looking.page * PAGE).take(PAGE));
            if let Some(page) = looking.page.checked_sub(1) {
                looking.page = page;
                looking.requests += 1;
                return self.want(account, Purpose::Polling, Request::Page(looking));
            }
        }
        let Looking { look, shown, requests, .. } = looking;
        let running: BTreeSet<Key> = look.open.iter().filter(|key| shown.contains(&number_of(key))).cloned().collect();
        let state = &mut self.accounts[account];
        if is_answered && self.now >= self.nuvo.faults.outage.end {
            state.looked_at.get_or_insert(self.now);
        }
        let woken = state.scheduler.executions.looked(look, is_answered.then_some(&running), requests);
        self.wake(&woken);
    }
}
