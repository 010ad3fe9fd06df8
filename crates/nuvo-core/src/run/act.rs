//! What the core asks of the shell, and what the shell answers.

use std::time::Duration;

use super::{
    ids::ExecutionId,
    status_change::StatusChange,
    trigger::post_outcome::Obstacle,
    trigger::run_view::Run,
    trigger::step::{Answer, Step},
    trigger::stored::RunRef,
};

/// The next act for a run. At most one irreversible act lies between two calls of [`next`](super::next).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A step of the trigger protocol: one read, one compare-and-swap write, or the POST.
    Trigger(Step),
    /// Compute the status that says this, and compare it with the one that the object has. Nothing is written.
    Render(StatusChange),
    /// Write the status that says this, over the version of the object that was seen.
    Show(StatusChange),
    /// Publish the events of the status that says this, without writing it: the pipeline's lock speaks of this version of the object.
    AnnounceOnly(StatusChange),
    /// Delete exactly the version of the object that was seen.
    Delete,
    /// Publish the events and metrics of the last status write.
    Announce,
    /// Have the runs looked at that wait for this pipeline's lock.
    WakeWaiting,
    /// Have the run looked at that holds this pipeline's lock.
    WakeHolder(RunRef),
    /// Wait inside the pass, then decide again.
    Pause(Duration),
    /// The pass is over.
    Done {
        /// When the run is looked at again at the latest, whatever else wakes it.
        again: Again,
        /// What the run wants of others from now on; none if that is what it wanted before.
        wishes: Option<Wishes>,
    },
}

/// When a run is looked at again at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// When its object changes.
    OnChange,
    /// After this time.
    After(Duration),
}

impl Again {
    /// The earlier one.
    #[must_use]
    pub fn or(self, other: Option<Duration>) -> Self {
        match (self, other) {
            (Self::After(one), Some(other)) => Self::After(one.min(other)),
            (Self::OnChange, Some(other)) => Self::After(other),
            (one, None) => one,
        }
    }
}

/// What a run wants of others between two passes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// What it wants its account to ask nuvo.
    pub ask: Ask,
    /// The executions that it wants to be told about.
    pub follow: Option<Follow>,
    /// It wants to be woken when the lock of its pipeline may be free.
    pub waits_for_lock: bool,
}

/// What a run wants its account to ask nuvo for it, once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ask {
    /// Nothing.
    #[default]
    Nothing,
    /// A place among the runs of the account that work on their triggers. It is kept until the pass is over or the trigger is recorded.
    Place,
    /// A turn to trigger: what the account's list shows, by a look that began after the lock was read, and leave to send one POST.
    Turn,
    /// A look at the executions of the pipeline, which the runs in doubt of the account share; or at those of the pipeline only.
    Candidates {
        /// The list of the account did not reach back to the trigger.
        by_pipeline: bool,
    },
    /// What is running, by a look that began after the lock was read, which runs share; and which of it, and of these executions, is known to
    /// have ended.
    Running(Vec<ExecutionId>),
    /// Whether this execution is running, by its id.
    Execution(ExecutionId),
    /// Each of these executions.
    Executions(Vec<ExecutionId>),
    /// What it has asked for already: it stays in the queue for a place, or waits for a look.
    StayInQueue,
}

/// The executions that a run wants to be told about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Follow {
    /// Their ids.
    pub executions: Vec<ExecutionId>,
    /// For how long the run has been going, in whole seconds.
    pub age: Duration,
    /// The account certainly started them, so they show its identity.
    pub ours: bool,
    /// That they are running is no news.
    pub expected: bool,
    /// The deadline has passed: the run waits for nuvo's next answer, whatever it is.
    pub late: bool,
    /// The run failed so long ago, and is watched for a repair made in nuvo.
    pub ended_for: Option<Duration>,
}

/// What carrying out an act led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// The answer to a step of the trigger protocol. After a read or a write of the run, [`Facts::refresh`](super::Facts::refresh) brings
    /// what else its object says.
    Trigger(Answer),
    /// What writing this status would change.
    Rendered(Rendered),
    /// The write was applied; this is the run now.
    Written(Box<Run>),
    /// It was done. Nothing else is to be learned from it.
    Done,
    /// The object is gone.
    Missing,
    /// The account's answer to a wish.
    Account(AccountAnswer),
    /// The act came to nothing.
    Failed(Failure),
}

/// What writing a status would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rendered {
    /// How it differs from the one that the object has.
    pub change: Change,
    /// A hash of its reasons and messages.
    pub message_hash: u64,
    /// The run has no use for its lock any more after this write.
    pub ends_lock_need: bool,
}

/// How a status differs from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It does not.
    None,
    /// In its messages only.
    Messages,
    /// In what it says.
    Content,
}

/// What an account answers to a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountAnswer {
    /// The answer to [`Ask::Turn`], [`Ask::Candidates`], [`Ask::Running`] or [`Ask::Execution`], as the trigger protocol takes it.
    Looked(Answer),
    /// What nuvo says of each execution that [`Ask::Executions`] names, in this order.
    Executions(Vec<Named>),
    /// The run has its place.
    Called,
    /// Older runs of the account come first. This is about how long that takes.
    Queued(Duration),
    /// There was no such look yet. The run is woken when there was one.
    Later,
    /// nuvo cannot be asked, or gave no answer that can be used.
    Refused {
        /// What is in the way.
        obstacle: Obstacle,
        /// The error, for people.
        message: String,
        /// When it is of use to ask again; none if only a try can tell.
        retry_after: Option<Duration>,
    },
    /// The process is shutting down.
    Stopping,
}

/// What nuvo says of an execution that a person named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    /// It belongs to the pipeline.
    Ours,
    /// It does not belong to the pipeline.
    Foreign,
    /// There is no such execution.
    Unknown,
    /// nuvo cannot be asked now; again after this time, if that is known.
    Unread(Option<Duration>),
}

/// Why an act came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What is known of it.
    pub kind: FailureKind,
    /// What could not be done and why, for people.
    pub message: String,
}

/// What is known of an act that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing was done, and the same is refused again before a person changes something.
    Refused,
    /// Nothing was done, because the object has changed.
    Conflict,
    /// No answer: it may have been done.
    Unclear,
}
