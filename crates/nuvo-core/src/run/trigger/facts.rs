//! What a pass has learned so far, and the permission that it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::run::{
    ids::{ExecutionId, Nonce},
    trigger::post_outcome::{Obstacle, PostOutcome, Unexecuted},
    trigger::run_view::{ExecutionState, Holder, ListedCandidates, Run, RunningExecutions, SlotClaim},
    trigger::step::{Answer, FollowUp, Gate, Limits, LockRead, Step},
    trigger::stored::{Baseline, Format, Lock, Marker, TriggerResult},
    trigger::verdict::Doubt,
};

/// What this task won by taking the lock. It lives in memory only, and it alone permits a POST.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    pub(in crate::run) nonce: Nonce,
    pub(in crate::run) acquisition: Nonce,
    pub(in crate::run) attempt: i32,
    /// Before W1. It is never restarted, so that the fence bounds the time from the lock to the POST.
    pub(in crate::run) since: Duration,
    /// The lock was already ours: then W2 is not repeated.
    pub(in crate::run) reacquired: bool,
    pub(in crate::run) run_version: String,
}

impl Grant {
    pub(in crate::run) fn marker(&self, run: &Run) -> Marker {
        Marker {
            run: run.id.clone(),
            nonce: self.nonce.clone(),
            acquisition: self.acquisition.clone(),
            // The shell knows both.
            lock: None,
            account: None,
            attempt: self.attempt,
            executed: false,
            format: Format::default(),
        }
    }
}

/// Where this task is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Task {
    /// It has no permission.
    #[default]
    Idle,
    /// W1 was sent; whether it won is not known.
    Locking(Grant),
    /// W1 won.
    Locked(Grant),
    /// W2 was sent; whether it won is not known.
    Marking(Grant),
    /// W2 won.
    Marked(Grant),
    /// W2 was refused for good, or the run is gone: nothing was sent and nothing will be.
    Unmarked(Grant),
    /// The POST's class is known, and W3 has not been confirmed.
    Posted(Grant, PostOutcome),
    /// W3 is confirmed, or the run is gone.
    Finished,
}

/// What this process remembers about a delivery in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inquiry {
    /// The delivery.
    pub doubt: Doubt,
    /// When this process first saw the doubt, or since when there has been one by the age of the lock.
    pub since: Duration,
    /// When this process first saw it.
    pub first_seen: Duration,
    /// The lock remembers earlier deliveries, so it has not replaced one that was deleted while other POSTs were out: what these have started,
    /// other runs may not show before their answers have come.
    pub knows_others: bool,
    /// nuvo said yes to the POST, but not with which ids.
    pub executed: bool,
    /// The candidates that the last looks agree on, and when the first of them was. Other runs may show some of them.
    pub last: Option<(Duration, Vec<ExecutionId>)>,
    /// Since when the looks that began after the quarantine have shown no execution of the pipeline, whoever started it.
    pub absent: Option<Duration>,
    /// What is known of the POST, for people; empty if this process did not send it.
    pub said: String,
    /// The looks so far, for people.
    pub looks: Looks,
}

impl Inquiry {
    /// A doubt that is first seen now.
    #[must_use]
    pub fn new(doubt: Doubt, now: Duration) -> Self {
        Self {
            doubt,
            since: now,
            first_seen: now,
            knows_others: false,
            executed: false,
            last: None,
            absent: None,
            said: String::new(),
            looks: Looks::default(),
        }
    }
}

/// How a trigger in doubt was looked for, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Looks {
    /// How many there were.
    pub made: u32,
    /// How many of them reached back to the time before the trigger.
    pub complete: u32,
    /// At the last one it was not known as whom nuvo shows the account.
    pub is_anonymous: bool,
}

/// What a process remembers between two passes over a run. Forgetting it costs time, never safety.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// The doubt that is being looked into.
    pub inquiry: Option<Inquiry>,
    /// The delivery of another holder that is waited for, and since when.
    pub quarantine: Option<(Nonce, Duration)>,
}

/// Where a view of the run comes from. A lock is taken, and executions are adopted, only on a read of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::run) enum Source {
    /// A quorum read, or the answer to a write.
    Server,
    /// The cache of a watch.
    Cache,
}

/// A look at nuvo's list in this pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::run) enum Look<T> {
    /// There was none yet.
    NotTaken,
    /// There was one, and nothing may be concluded from it.
    Inconclusive,
    /// It showed this.
    Shown(T),
}

impl<T> Look<T> {
    fn of(shown: Option<T>) -> Self {
        shown.map_or(Self::Inconclusive, Self::Shown)
    }
}

/// What the trigger protocol has learned so far in one pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TriggerFacts {
    /// The run as the cache has it, or as it was read last. Nothing irreversible rests on it.
    pub cached: Run,
    /// Monotonic time of this process; set before every call of [`next_step`].
    pub now: Duration,
    /// The protocol's times.
    pub limits: Limits,
    /// Whether a trigger may start; set before every call of [`next_step`].
    pub gate: Gate,
    /// The time until the run's deadline, once it has begun; set before every call of [`next_step`].
    pub deadline: Option<Duration>,
    /// The time until the run is not triggered any more, if it has such a time; set before every call of [`next_step`].
    pub start_deadline: Option<Duration>,
    /// Another run of the pipeline waits for its trigger.
    pub others_wait: bool,
    /// Another run waits until this one gives the lock back.
    pub is_awaited: bool,
    /// A nonce that was never used; the shell replaces it after every [`Step::TakeLock`].
    pub spare: Nonce,
    /// What outlives the pass.
    pub memory: Memory,
    /// Where the task is.
    pub task: Task,
    pub(in crate::run) run: Option<Run>,
    /// Where `run` comes from.
    pub(in crate::run) source: Source,
    pub(in crate::run) lock: Option<LockRead>,
    /// The lock was read after the run.
    pub(in crate::run) lock_is_newer: bool,
    pub(in crate::run) holder: Option<Holder>,
    /// Whether another run of the pipeline is undecided.
    pub(in crate::run) undecided: Option<bool>,
    /// The executions that other runs of the pipeline show.
    pub(in crate::run) claimed: Look<BTreeSet<ExecutionId>>,
    /// What the schedule of the run says about its slot.
    pub(in crate::run) claim: Option<SlotClaim>,
    pub(in crate::run) baseline: Look<Baseline>,
    pub(in crate::run) candidates: Look<ListedCandidates>,
    /// When the look at the candidates began.
    pub(in crate::run) look_began: Duration,
    /// What is running, by a look that began after the lock was read.
    pub(in crate::run) running: Option<RunningExecutions>,
    /// What nuvo has answered about executions by their ids, after the lock was read.
    pub(in crate::run) read_by_id: BTreeMap<ExecutionId, ExecutionState>,
    pub(in crate::run) gone: bool,
    /// The marker cannot be made to say what nuvo has answered.
    pub(in crate::run) marker_refused: bool,
}

impl TriggerFacts {
    /// Begins a pass.
    #[must_use]
    pub fn new(cached: Run, memory: Memory, limits: Limits, now: Duration, gate: Gate, spare: Nonce) -> Self {
        Self {
            cached,
            now,
            limits,
            gate,
            deadline: None,
            start_deadline: None,
            others_wait: false,
            is_awaited: false,
            spare,
            memory,
            task: Task::Idle,
            run: None,
            source: Source::Server,
            lock: None,
            lock_is_newer: false,
            holder: None,
            undecided: None,
            claimed: Look::NotTaken,
            claim: None,
            baseline: Look::NotTaken,
            candidates: Look::NotTaken,
            look_began: Duration::ZERO,
            running: None,
            read_by_id: BTreeMap::new(),
            gone: false,
            marker_refused: false,
        }
    }

    /// Takes the run as it was seen for a read of it. What is written because of that is compared and swapped; the lock is not taken on it.
    /// A task that has written something must read what came of it.
    pub(in crate::run) fn rest_on_cache(&mut self) {
        if self.run.is_none() && !self.gone && self.task == Task::Idle {
            self.run = Some(self.cached.clone());
            self.source = Source::Cache;
        }
    }

    /// A write was applied: this is the run now.
    pub(in crate::run) fn written(&mut self, run: Run) {
        self.cached.clone_from(&run);
        if !self.gone {
            self.run = Some(run);
            self.source = Source::Server;
        }
    }

    /// The newest read of the run in this pass.
    #[must_use]
    pub fn run(&self) -> &Run {
        self.run.as_ref().unwrap_or(&self.cached)
    }

    /// The newest read of the pipeline's lock that still counts in this pass.
    #[must_use]
    pub const fn lock(&self) -> Option<&LockRead> {
        self.lock.as_ref()
    }

    /// The run that holds the lock, as it was read in this pass.
    #[must_use]
    pub const fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Whether the run held the pipeline's lock when it was read last in this pass.
    #[must_use]
    pub fn holds_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|read| read.lock.held_by(&self.cached.id.uid).is_some())
    }

    /// Takes in the answer to a step.
    pub fn learn(&mut self, step: &Step, answer: Answer) {
        match (step, answer) {
            (_, Answer::Run(run)) => match run {
                Some(run) => {
                    self.cached.clone_from(&run);
                    self.run = Some(*run);
                    self.source = Source::Server;
                    self.lock_is_newer = false;
                }
                None => self.gone(),
            },
            (_, Answer::Lock(lock)) => {
                self.lock = Some(*lock);
                self.lock_is_newer = self.run.is_some();
                self.running = None;
                self.read_by_id.clear();
            }
            (_, Answer::Running(running)) => self.running = Some(running),
            (_, Answer::Execution(id, state)) => {
                self.read_by_id.insert(id, state);
            }
            (_, Answer::Holder(holder)) => self.holder = Some(holder),
            (_, Answer::Undecided(undecided)) => self.undecided = Some(undecided),
            (_, Answer::Claimed(claimed)) => self.claimed = Look::of(claimed),
            (_, Answer::Claim(claim)) => self.claim = Some(claim),
            (_, Answer::Baseline(baseline)) => self.baseline = Look::of(baseline),
            (_, Answer::Candidates(candidates)) => {
                // What was read before the list does not tell who has claimed what the list shows.
                (self.lock, self.claimed) = (None, Look::NotTaken);
                self.look_began = self.now.saturating_sub(candidates.as_ref().map_or(Duration::ZERO, |listed| listed.age));
                let is_of_another = |listed: &ListedCandidates| self.run().is_of_another_account(listed.account.as_ref());
                self.candidates = Look::of(candidates.filter(|listed| !is_of_another(listed)));
            }
            (Step::TakeLock { lock, .. }, answer) => self.locked(lock, &answer),
            (Step::Mark { marker, .. }, answer) if marker.executed => self.told(marker, &answer),
            (Step::Mark { .. }, answer) => self.marked(&answer),
            (Step::Post(_), Answer::Posted(outcome)) => {
                self.lock = None;
                if let Task::Marked(grant) | Task::Marking(grant) = std::mem::take(&mut self.task) {
                    self.task = Task::Posted(grant, outcome);
                }
            }
            (Step::Record { .. }, Answer::Written(_)) => {
                self.memory.inquiry = None;
                self.task = Task::Finished;
            }
            (Step::Record { .. }, Answer::Missing) => self.gone(),
            (Step::Record { trigger, message, follow_up, .. }, _) => {
                if trigger.result == TriggerResult::NotExecuted {
                    self.cancel_post(message, *follow_up);
                }
                // What it was concluded from is as old as the run that it was to be written over.
                (self.run, self.lock, self.candidates) = (None, None, Look::NotTaken);
            }
            (Step::Release { .. }, Answer::Indeterminate) => self.lock = None,
            (Step::Release { lock, .. }, Answer::Written(version)) if matches!(self.task, Task::Unmarked(_) | Task::Marking(_)) => {
                self.lock = Some(LockRead { version: Some(version), lock: (**lock).clone(), age: None });
            }
            (Step::Release { .. }, _) => self.task = Task::Finished,
            _ => {}
        }
    }

    /// The record that nothing was sent may be there already, so that nothing may be sent any more.
    fn cancel_post(&mut self, message: &str, follow_up: FollowUp) {
        self.task = match std::mem::take(&mut self.task) {
            Task::Marked(grant) | Task::Marking(grant) => {
                let then = match follow_up {
                    FollowUp::Unexecuted(then) => then,
                    _ => Unexecuted::RetryAfter(Duration::from_secs(1), Obstacle::Operator),
                };
                Task::Posted(grant, PostOutcome::NotExecuted { then, message: message.to_owned() })
            }
            other => other,
        };
    }

    /// The run is gone. A known outcome still goes into the ledger, so that no other run adopts what this run started. A permission that was
    /// not used is given back.
    fn gone(&mut self) {
        self.gone = true;
        self.run = None;
        self.lock = None;
        self.task = match std::mem::take(&mut self.task) {
            posted @ Task::Posted(..) => posted,
            Task::Locking(grant) | Task::Locked(grant) | Task::Marking(grant) | Task::Marked(grant) | Task::Unmarked(grant) => {
                Task::Unmarked(grant)
            }
            Task::Idle | Task::Finished => Task::Finished,
        };
    }

    /// What the decision to take the lock rested on is used up with it.
    fn locked(&mut self, lock: &Lock, answer: &Answer) {
        (self.holder, self.undecided, self.baseline) = (None, None, Look::NotTaken);
        let Some(lock_holder) = &lock.holder else { return };
        let grant = match std::mem::take(&mut self.task) {
            // A second W1 of the same task keeps its clock.
            Task::Marking(old) => Grant {
                nonce: lock_holder.nonce.clone(),
                acquisition: lock_holder.acquisition.clone(),
                run_version: lock_holder.run_version.clone(),
                ..old
            },
            _ => Grant {
                nonce: lock_holder.nonce.clone(),
                acquisition: lock_holder.acquisition.clone(),
                attempt: self.run().attempt,
                since: self.now,
                reacquired: lock_holder.nonce != lock_holder.acquisition,
                run_version: lock_holder.run_version.clone(),
            },
        };
        if let Answer::Written(version) = answer {
            self.lock = Some(LockRead { version: Some(version.clone()), lock: lock.clone(), age: None });
            self.task = Task::Locked(grant);
        } else {
            self.lock = None;
            self.task = Task::Locking(grant);
        }
    }

    /// The marker was to say what nuvo has answered. The task goes on as it is.
    fn told(&mut self, marker: &Marker, answer: &Answer) {
        match answer {
            Answer::Written(version) => {
                self.lock = None;
                if let Some(run) = &mut self.run {
                    run.version.clone_from(version);
                    (run.marker, run.unread_marker) = (Some(marker.clone()), None);
                }
            }
            Answer::Missing => self.gone(),
            Answer::Refused => self.marker_refused = true,
            _ => self.run = None,
        }
    }

    fn marked(&mut self, answer: &Answer) {
        let (Task::Locked(grant) | Task::Locking(grant)) = std::mem::take(&mut self.task) else { return };
        match answer {
            Answer::Written(version) => {
                if let Some(run) = &mut self.run {
                    run.version.clone_from(version);
                    (run.marker, run.unread_marker) = (Some(grant.marker(run)), None);
                }
                self.lock = None;
                self.task = Task::Marked(grant);
            }
            Answer::Missing => {
                self.gone();
                self.task = Task::Unmarked(grant);
            }
            Answer::Refused => self.task = Task::Unmarked(grant),
            _ => {
                self.run = None;
                self.task = Task::Marking(grant);
            }
        }
    }
}
