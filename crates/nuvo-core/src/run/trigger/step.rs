//! The vocabulary of a pass: what the core asks for, what the shell answers, and why a run waits.

use std::{collections::BTreeSet, time::Duration};

use crate::run::{
    ids::{ExecutionId, Nonce},
    trigger::post_outcome::{Obstacle, PostOutcome, Unexecuted},
    trigger::run_view::{ExecutionState, Holder, ListedCandidates, Run, RunningExecutions, Scheduled, SlotClaim},
    trigger::stored::{Baseline, Lock, LockHolder, Marker, Trigger},
};

/// The protocol's times. All are measured on this process's monotonic clock, besides the [age of a lock](LockRead::age).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// No POST later than this after the lock was asked for (5 s).
    pub fence: Duration,
    /// The whole deadline of a POST (60 s).
    pub post_deadline: Duration,
    /// How long the list is watched for an execution of a trigger in doubt (300 s).
    pub settle: Duration,
    /// How long a lock whose delivery may still have effects is left alone (900 s).
    pub quarantine: Duration,
    /// How long the answer to a POST may take before the list is looked at for what it has started (10 s).
    pub answer: Duration,
    /// The time between two looks that must agree before executions are adopted (10 s).
    pub confirm: Duration,
    /// How far the clocks of the API servers may be apart: so much is taken off the age of a lock (60 s).
    pub clock_margin: Duration,
}

/// Why a run waits before its trigger, as far as others decide it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It need not wait.
    Open,
    /// The process is shutting down: no new trigger.
    Draining,
    /// The account is missing or not ready.
    AccountNotReady(String),
    /// The breaker is open.
    NuvoUnavailable(String),
    /// The account's budget is used up, or nuvo asked for a pause.
    RateLimited(String),
    /// The last trigger came to nothing because of this, and the next one follows later.
    HeldOff(Obstacle),
    /// An older run of this pipeline goes first.
    BehindOlder(String),
}

/// A lock as one quorum read returned it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LockRead {
    /// The Lease's resourceVersion; none if there is no Lease.
    pub version: Option<String>,
    /// What it says.
    pub lock: Lock,
    /// How long ago it was written last, by the clocks of the API servers; none if that is not known. Every process sees the same age, so that a
    /// wait that is measured by it goes on across restarts.
    pub age: Option<Duration>,
}

impl LockRead {
    /// How long ago it was written last, at least.
    #[must_use]
    pub fn certain_age(&self, limits: &Limits) -> Duration {
        self.age.unwrap_or_default().saturating_sub(limits.clock_margin)
    }
}

/// What follows from the result of a trigger, besides what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FollowUp {
    /// Nothing.
    #[default]
    Nothing,
    /// nuvo refused for good, or the wait before another try.
    Unexecuted(Unexecuted),
    /// The trigger may still have effects for so long.
    OpenFor(Duration),
    /// The next attempt begins with the same write: nothing shows that the trigger has started anything.
    NextAttempt,
}

/// What the shell shall do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Quorum GET of the run.
    ReadRun,
    /// Quorum GET of the pipeline's lock.
    ReadLock,
    /// Quorum GET of the run that holds the lock.
    ReadHolder(Box<LockHolder>),
    /// Whether another run of the pipeline is [undecided](crate::run::undecided). A cache may tell.
    ReadUndecided,
    /// Quorum LIST of the other runs of the pipeline: the executions that they have started, as they show them, those of earlier attempts
    /// included. What a run shows that [only follows](Run::observes) an execution is none of them.
    ReadClaimed,
    /// Quorum GET of the schedule that made the run: whether it has claimed the slot for it.
    ReadClaim(Box<Scheduled>),
    /// A list of the account that was started after the lock was read.
    ReadBaseline,
    /// A list of the pipeline's executions.
    ReadCandidates,
    /// A list of what is running that was started after the lock was read, and what is known of these executions of the last delivery.
    ReadRunning(Vec<ExecutionId>),
    /// An execution by its id.
    ReadExecution(ExecutionId),
    /// W1: write this lock over the version that was read (none: create it).
    TakeLock {
        /// What to write.
        lock: Box<Lock>,
        /// The version it replaces.
        over: Option<String>,
    },
    /// W2: write this marker over this version of the run.
    Mark {
        /// What to write.
        marker: Marker,
        /// The version it goes on.
        over: String,
    },
    /// P: exactly one POST with this nonce.
    Post(Nonce),
    /// W3, or the result of looking into a trigger in doubt: write the result over this version of the run (none: read it first).
    Record {
        /// The result.
        trigger: Trigger,
        /// The executions it started.
        executions: Vec<ExecutionId>,
        /// For people.
        message: String,
        /// What follows from the result.
        follow_up: FollowUp,
        /// The version it goes on.
        over: String,
    },
    /// Give the lock back: write this lock over this version.
    Release {
        /// What to write.
        lock: Box<Lock>,
        /// The version it replaces.
        over: String,
    },
    /// The run waits.
    Hold(Hold),
    /// The trigger is settled; what is left is to follow the executions.
    Follow,
    /// The run is gone, and nothing is left to do.
    Forget,
    /// Something else changed what this pass rests on: begin a new pass.
    Restart,
}

impl Step {
    /// Whether it writes to Kubernetes.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        matches!(self, Self::TakeLock { .. } | Self::Mark { .. } | Self::Record { .. } | Self::Release { .. })
    }

    /// The name of the step, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ReadRun => "read run",
            Self::ReadLock => "read lock",
            Self::ReadHolder(_) => "read holder",
            Self::ReadUndecided => "read undecided",
            Self::ReadClaimed => "read claimed",
            Self::ReadClaim(_) => "read claim",
            Self::ReadBaseline => "read baseline",
            Self::ReadCandidates => "read candidates",
            Self::ReadRunning(_) => "read running",
            Self::ReadExecution(_) => "read execution",
            Self::TakeLock { .. } => "take lock",
            Self::Mark { .. } => "mark",
            Self::Post(_) => "post",
            Self::Record { .. } => "record",
            Self::Release { .. } => "release",
            Self::Hold(_) => "hold",
            Self::Follow => "follow",
            Self::Forget => "forget",
            Self::Restart => "restart",
        }
    }
}

/// Why a pass ends before the trigger is settled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hold {
    /// `spec.suspend`.
    Suspended,
    /// See [`Gate`].
    Gate(Gate),
    /// Another run holds the pipeline. Look again after this time at the latest.
    PipelineBusy(Box<LockHolder>, Option<Duration>),
    /// These executions of the pipeline are not known to have ended, and the run waits for that.
    PipelineRunning(Vec<ExecutionId>),
    /// This execution of the pipeline is running, and the run is not triggered beside it.
    Skipped(ExecutionId),
    /// A trigger is in doubt. Look again after this time.
    Unconfirmed(Duration),
    /// The deadline came before the trigger of a later attempt: it is not made.
    Overdue,
    /// The start deadline came before the trigger: it is not made.
    TooLate,
    /// Its schedule has not decided yet whether the run may start.
    SlotUndecided,
    /// Its schedule has not claimed the slot for this run: it is not triggered.
    SlotNotClaimed,
    /// A `NuvoPipeline` is the controller of the run: no trigger is made for it.
    Mirror,
    /// Only a person can decide.
    Lost,
}

/// What a step led to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The run, or none if it is gone (or another object has its name).
    Run(Option<Box<Run>>),
    /// The lock.
    Lock(Box<LockRead>),
    /// The holder.
    Holder(Holder),
    /// Whether another run of the pipeline is undecided.
    Undecided(bool),
    /// The executions that other runs of the pipeline have started; none if not all of these runs can be read, which concludes nothing.
    Claimed(Option<BTreeSet<ExecutionId>>),
    /// What the schedule of the run says about its slot.
    Claim(SlotClaim),
    /// The baseline; none if the list cannot be trusted to show the newest executions.
    Baseline(Option<Baseline>),
    /// The candidates; none if the list failed, which concludes nothing.
    Candidates(Option<ListedCandidates>),
    /// What is running, and what has ended.
    Running(RunningExecutions),
    /// What nuvo says of this execution.
    Execution(ExecutionId, ExecutionState),
    /// The write was applied; the object has this version now.
    Written(String),
    /// The write was refused (409), or its answer did not come: the object has to be read again.
    Indeterminate,
    /// The write was refused for good: it was not applied, and trying it again is of no use before a person changes something.
    Refused,
    /// The object of the write does not exist.
    Missing,
    /// What is known after the POST.
    Posted(PostOutcome),
}
