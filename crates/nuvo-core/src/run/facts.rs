//! What one pass over a run has learned so far.

use std::time::Duration;

use super::{
    act::{AccountAnswer, Act, Answered, Failure, FailureKind, Named, Rendered},
    ids::Nonce,
    life::Life,
    memory::RunMemory,
    observed::{Account, Begin, Beginning, Polled, Present},
    status_change::StatusChange,
    trigger::facts::{Task, TriggerFacts},
    trigger::next_step,
    trigger::post_outcome::{Obstacle, PostOutcome, Unexecuted},
    trigger::run_view::Run,
    trigger::step::{Answer, FollowUp, Gate, Limits, Step},
    trigger::verdict::{settled, undecided},
};
use crate::backoff::Backoff;

/// A run that waits for another one is also looked at without being woken.
pub const LOCK_RECHECK: Duration = Duration::from_secs(15);
/// How long a pass tries a step again before it leaves that to the next pass, and how long it still does so when the process stops.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The waits between tries within a pass: doubled each time, from the first to the second.
const STEP_RETRY: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(5));

/// Why a trigger in doubt is not looked into.
const OTHER_ACCOUNT: &str = "Its account names another identity or another base URL now than when the trigger was sent. Restore what it named, or \
                             answer; the answer counts after the quarantine (--quarantine-seconds).";

/// What a step that failed was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Failed {
    /// The pipeline's lock.
    Lock,
    /// The marker was refused for good; whether the run may still hold the lock.
    Marker { held: bool },
    /// Anything else.
    Other,
}

/// Everything that one pass has learned so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    pub(super) begin: Begin,
    /// What the trigger protocol has learned; none before an object at rest was read, and of one that is no run.
    pub(super) trigger: Option<TriggerFacts>,
    pub(super) invalid: Option<String>,
    pub(super) life: Life,
    pub(super) account: Account,
    pub(super) polled: Polled,
    pub(super) memory: RunMemory,
    pub(super) now: Duration,
    pub(super) began: Duration,
    pub(super) limits: Limits,
    pub(super) draining: bool,
    pub(super) lock_is_known: bool,
    pub(super) rendered: Option<(StatusChange, Rendered)>,
    pub(super) shown: Option<StatusChange>,
    pub(super) unannounced: bool,
    pub(super) lock_released: bool,
    pub(super) woke_waiting: bool,
    pub(super) woke_holder: bool,
    pub(super) touched_lock: bool,
    pub(super) named: Option<Vec<Named>>,
    /// The run has a place among those of its account that work on their triggers.
    pub(super) called: bool,
    pub(super) queued: Option<Duration>,
    pub(super) look_is_later: bool,
    pub(super) refused: Option<(Obstacle, String, Option<Duration>)>,
    pub(super) account_stopping: bool,
    pub(super) retry_after: Duration,
    pub(super) marker_refused: Option<String>,
    pub(super) failure: Option<(Failed, Failure)>,
    pub(super) pause: Option<Duration>,
    pub(super) gone: bool,
    older: Option<String>,
    stopping_for: Option<Duration>,
    progress: Duration,
    tries: u32,
    spare: Nonce,
}

impl Facts {
    /// Begins a pass.
    #[must_use]
    pub fn new(beginning: Beginning) -> Self {
        let Beginning { begin, run, memory, limits, uptime, spare, older, others_wait, polled } = beginning;
        let (run, invalid) = match run {
            Ok(run) => (run, None),
            Err(why) => (None, Some(why)),
        };
        let trigger = run.map(|run| {
            let facts = TriggerFacts::new(run, memory.trigger.clone(), limits, uptime, Gate::Open, spare.clone());
            TriggerFacts { others_wait, is_awaited: memory.awaited.is_some(), ..facts }
        });
        // The older run may be waiting for the lock that this one took before a crash.
        let older = older.filter(|_| memory.awaited.is_none());
        Self {
            begin,
            trigger,
            invalid,
            life: Life::default(),
            account: Account::Unknown,
            polled,
            memory,
            now: uptime,
            began: uptime,
            limits,
            draining: false,
            lock_is_known: false,
            rendered: None,
            shown: None,
            unannounced: false,
            lock_released: false,
            woke_waiting: false,
            woke_holder: false,
            touched_lock: false,
            named: None,
            called: false,
            queued: None,
            look_is_later: false,
            refused: None,
            account_stopping: false,
            retry_after: Duration::ZERO,
            marker_refused: None,
            failure: None,
            pause: None,
            gone: false,
            older,
            stopping_for: None,
            progress: uptime,
            tries: 0,
            spare,
        }
    }

    /// Takes in what may have changed since the last decision.
    pub fn refresh(&mut self, present: Present) {
        let Present { uptime, life, account, stopping_for, lock_is_known } = present;
        let account = self.account_of_doubt(account);
        (self.now, self.life, self.account, self.stopping_for, self.lock_is_known) = (uptime, life, account, stopping_for, lock_is_known);
        self.draining = stopping_for.is_some();
        let gate = self.gate();
        if let Some(observed) = &mut self.trigger {
            (observed.now, observed.gate) = (uptime, gate);
            (observed.deadline, observed.start_deadline) = (self.life.deadline, self.life.start_deadline);
            if matches!(self.account, Account::NotReady(_)) {
                observed.rest_on_cache();
            }
        }
    }

    /// What another account shows says nothing about a trigger in doubt.
    fn account_of_doubt(&self, account: Account) -> Account {
        let hash = if let Account::Ready { account, .. } = &account { account.as_ref() } else { None };
        match self.run().is_some_and(|run| undecided(run) && run.is_of_another_account(hash)) {
            true => Account::NotReady(OTHER_ACCOUNT.to_owned()),
            false => account,
        }
    }

    /// Whether a trigger may start, as far as it depends on others.
    fn gate(&self) -> Gate {
        match &self.account {
            Account::NotReady(why) => Gate::AccountNotReady(why.clone()),
            _ if self.draining => Gate::Draining,
            Account::Ready { trigger_pause: Some(pause), .. } => obstacle_gate(pause.obstacle, &pause.to_string()),
            Account::Ready { trigger_pause: None, .. } | Account::Unknown => match (self.memory.held_off, &self.older) {
                (Some((until, obstacle)), _) if until > self.now => Gate::HeldOff(obstacle),
                (_, Some(older)) => Gate::BehindOlder(older.clone()),
                _ => Gate::Open,
            },
        }
    }

    /// The nonce for another permission, after the one before has been used.
    pub fn renew_spare(&mut self, spare: Nonce) {
        self.spare = spare.clone();
        if let Some(observed) = &mut self.trigger {
            observed.spare = spare;
        }
    }

    /// What the process remembers of the run. It is to be kept after every act, because a pass can be broken off.
    #[must_use]
    pub const fn memory(&self) -> &RunMemory {
        &self.memory
    }

    /// Why the pass did not get through, for logs; none if it did, or if the object has only changed meanwhile.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        let failed = self.failure.as_ref().filter(|(_, failure)| failure.kind != FailureKind::Conflict);
        failed.map(|(_, failure)| failure.message.as_str()).or(self.marker_refused.as_deref())
    }

    /// What the trigger protocol has learned; none before an object at rest was read, and of one that is no run.
    #[must_use]
    pub const fn observed(&self) -> Option<&TriggerFacts> {
        self.trigger.as_ref()
    }

    /// Monotonic time of this process, at the last refresh.
    #[must_use]
    pub const fn uptime(&self) -> Duration {
        self.now
    }

    /// Whether the process is shutting down.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// The run as it was seen last.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.trigger.as_ref().map(TriggerFacts::run)
    }

    /// Notes what is about to be done, so that it is remembered also if the answer is lost.
    pub fn intend(&mut self, act: &Act) {
        let marked = self.run().is_some_and(|run| run.own_marker().is_some());
        let may_end = match act {
            Act::Trigger(Step::Record { .. }) => true,
            Act::Show(change) => self.rendered.as_ref().is_some_and(|(rendered, what)| rendered == change && what.ends_lock_need),
            _ => false,
        };
        self.memory.lock_pending_release |= marked && may_end;
    }

    /// Takes in what an act has led to.
    pub fn learn(&mut self, act: &Act, answered: Answered) {
        let reads_run = matches!(act, Act::Trigger(Step::ReadRun | Step::Record { .. }) | Act::Show(_));
        self.take_in(act, answered);
        // What was read of the lock before the trigger was settled does not tell whether there is something to give back.
        if reads_run && self.run().is_some_and(settled) {
            self.forget_lock();
        }
    }

    fn take_in(&mut self, act: &Act, answered: Answered) {
        match (act, answered) {
            (act, Answered::Failed(failure)) => self.failed(act, failure),
            (Act::Trigger(step), answered) => self.learn_step(step, answered),
            (Act::Pause(_), _) => self.pause = None,
            (Act::Announce, _) => self.unannounced = false,
            (Act::AnnounceOnly(change), _) => {
                self.memory.announced = self.rendered.as_ref().map(|(_, rendered)| rendered.message_hash);
                self.shown = Some(change.clone());
            }
            (Act::WakeWaiting, _) => self.woke_waiting = true,
            (Act::WakeHolder(_), _) => self.woke_holder = true,
            (Act::Render(change), Answered::Rendered(rendered)) => self.rendered = Some((change.clone(), rendered)),
            (Act::Show(change), Answered::Written(run)) => {
                if let Some((_, rendered)) = self.rendered.take() {
                    self.memory.note_written = Some((self.now, rendered.message_hash));
                }
                self.shown = Some(change.clone());
                self.unannounced = true;
                if let Some(observed) = &mut self.trigger {
                    observed.written(*run);
                }
            }
            (Act::Show(_), Answered::Missing) | (Act::Delete, _) => self.gone = true,
            (Act::Done { .. }, Answered::Account(answer)) => self.learn_account(answer),
            _ => {}
        }
    }

    fn learn_account(&mut self, answer: AccountAnswer) {
        match answer {
            AccountAnswer::Looked(answer) => {
                if let Some(observed) = &mut self.trigger {
                    observed.learn(&Step::ReadBaseline, answer);
                }
            }
            AccountAnswer::Executions(named) => self.named = Some(named),
            AccountAnswer::Called => self.called = true,
            AccountAnswer::Queued(wait) => self.queued = Some(wait),
            AccountAnswer::Later => self.look_is_later = true,
            // What was read before a wait does not tell how the lock is now.
            AccountAnswer::Refused { obstacle, message, retry_after } => {
                self.refused = Some((obstacle, message, retry_after));
                self.forget_lock();
            }
            AccountAnswer::Stopping => self.account_stopping = true,
        }
    }

    fn forget_lock(&mut self) {
        if let Some(observed) = &mut self.trigger {
            observed.lock = None;
        }
    }

    fn learn_step(&mut self, step: &Step, answered: Answered) {
        let answer = match answered {
            Answered::Trigger(answer) => answer,
            Answered::Written(run) => return self.recorded(step, *run),
            Answered::Missing => Answer::Missing,
            _ => return,
        };
        if matches!(answer, Answer::Written(_) | Answer::Posted(_)) {
            (self.progress, self.tries, self.touched_lock) = (self.now, 0, true);
        }
        match (&mut self.trigger, answer) {
            (None, Answer::Run(Some(run))) => {
                let memory = self.memory.trigger.clone();
                let mut observed = TriggerFacts::new((*run).clone(), memory, self.limits, self.now, Gate::Draining, self.spare.clone());
                observed.written(*run);
                self.trigger = Some(observed);
            }
            (None, _) => self.gone = true,
            // The lock of a run whose trigger is settled. A conflict means that it must be read again.
            (Some(observed), answer) if is_release_at_the_end(step, observed) => {
                observed.lock = None;
                self.lock_released |= matches!(answer, Answer::Written(_) | Answer::Missing);
            }
            (Some(observed), answer) => observed.learn(step, answer),
        }
    }

    /// A result was written: this is the run now.
    fn recorded(&mut self, step: &Step, run: Run) {
        (self.progress, self.tries, self.touched_lock, self.unannounced) = (self.now, 0, true, true);
        if let Step::Record { follow_up: FollowUp::Unexecuted(Unexecuted::RetryAfter(wait, obstacle)), .. } = step {
            if *obstacle == Obstacle::Account {
                // The account pauses. When it has other credentials, the run is woken, and nothing shall hold it off then.
                self.retry_after = LOCK_RECHECK;
            } else {
                self.memory.held_off = Some((self.now.saturating_add(*wait), *obstacle));
                self.retry_after = *wait;
            }
        }
        if let Some(observed) = &mut self.trigger {
            observed.learn(step, Answer::Written(run.version.clone()));
            observed.written(run);
        }
    }

    /// An act came to nothing: it is tried again within the pass, or the pass ends.
    fn failed(&mut self, act: &Act, failure: Failure) {
        let Act::Trigger(step) = act else {
            if let (Act::Show(change), true) = (act, self.failure.is_some()) {
                // That the failure cannot be shown either is no other failure.
                self.shown = Some(change.clone());
            } else {
                self.failure = Some((Failed::Other, failure));
            }
            return;
        };
        let refused = failure.kind == FailureKind::Refused;
        let Some(observed) = &mut self.trigger else {
            self.failure = Some((Failed::Other, failure));
            return;
        };
        match step {
            Step::Mark { marker, .. } if refused => {
                self.marker_refused = Some(failure.message).filter(|_| !marker.executed);
                observed.learn(step, Answer::Refused);
                return;
            }
            // The next run of the pipeline takes the lock over.
            Step::Release { .. } if refused && is_release_at_the_end(step, observed) => {
                self.lock_released = true;
                return;
            }
            _ => {}
        }
        if self.may_try_again(step, refused) {
            if step.is_write()
                && let Some(observed) = &mut self.trigger
            {
                if is_release_at_the_end(step, observed) {
                    observed.lock = None;
                } else {
                    observed.learn(step, Answer::Indeterminate);
                }
            }
            self.pause = Some(STEP_RETRY.wait(self.tries));
            self.tries = self.tries.saturating_add(1);
            return;
        }
        if let Some(observed) = &self.trigger {
            self.memory.trigger = next_step::remember(observed, step);
        }
        let failed = match step {
            _ if self.marker_refused.is_some() => Failed::Marker { held: true },
            Step::ReadLock | Step::TakeLock { .. } | Step::Release { .. } => Failed::Lock,
            _ => Failed::Other,
        };
        let message = self.marker_refused.take().unwrap_or(failure.message);
        self.failure = Some((failed, Failure { message, ..failure }));
    }

    fn may_try_again(&self, step: &Step, refused: bool) -> bool {
        let waited = self.now.saturating_sub(self.progress);
        let stopping = self.stopping_for.is_some_and(|since| since >= PATIENCE);
        let patient = waited < PATIENCE && !stopping && !refused;
        match self.trigger.as_ref().map(|observed| &observed.task) {
            // This task knows what nothing else knows. A POST may have ended long after the shutdown began.
            Some(Task::Posted(_, PostOutcome::Accepted(_) | PostOutcome::NotExecuted { .. })) => !stopping || waited < PATIENCE,
            // Whether it was written must be read; a read can as well be left to the next pass.
            Some(Task::Idle | Task::Finished) | None => step.is_write() && patient,
            Some(_) => patient,
        }
    }
}

/// Whether a release is that of a run whose trigger is settled, and not a step of its trigger.
fn is_release_at_the_end(step: &Step, observed: &TriggerFacts) -> bool {
    matches!(step, Step::Release { .. }) && matches!(observed.task, Task::Idle | Task::Finished)
}

/// What an obstacle means for a run that is to be triggered.
pub(super) fn obstacle_gate(obstacle: Obstacle, message: &str) -> Gate {
    match obstacle {
        Obstacle::RateLimited => Gate::RateLimited(format!("{message}. The run is triggered after a pause.")),
        Obstacle::Unavailable => Gate::NuvoUnavailable(format!("{message}. The run is triggered when nuvo answers.")),
        Obstacle::Account => Gate::AccountNotReady(format!("{message}. The run is triggered when the account is ready.")),
        Obstacle::Operator => Gate::HeldOff(Obstacle::Operator),
    }
}
