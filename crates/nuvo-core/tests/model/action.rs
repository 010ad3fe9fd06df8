//! What may happen in the world.

/// What may happen next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// An operator begins a pass over a run; its cache may be behind.
    Begin { operator: usize, run: usize, stale: bool, late: bool },
    /// An operator looks after what a deleted run leaves behind.
    CleanUp { operator: usize, run: usize },
    /// An operator carries out the next step of its pass.
    Step { operator: usize, run: usize, course: StepCourse },
    /// The answer to a POST arrives, or is given up.
    Answer { operator: usize, run: usize, answered: bool },
    /// A POST that was on its way is carried out, and starts this many executions, or is lost.
    Land { delivery: usize, executions: Option<u8> },
    /// The list shows an execution.
    List { execution: usize },
    /// A late write arrives.
    Arrive { write: usize },
    /// A process dies and begins again.
    Crash { operator: usize },
    /// A process goes away for good, between two passes.
    Leave { operator: usize },
    /// Time passes.
    Tick { long: bool },
    /// A pass is broken off, and the process goes on.
    BreakOff { operator: usize, run: usize },
    /// A process is told to end: it sends nothing more, and writes what it knows.
    Drain { operator: usize },
    /// A run has ended, or was deleted, and gives the lock back, now or later.
    Release { run: usize, late: bool },
    /// A person opens another attempt.
    Rerun { run: usize },
    /// A person answers to a doubt.
    Resolve { run: usize, answer: Resolution },
    /// A person holds a run back, or lets it go on.
    Suspend { run: usize, suspended: bool },
    /// The account of a run is gone for good.
    LoseAccount { run: usize },
    /// A person or another controller edits a run.
    Edit { run: usize },
    /// A NuvoPipeline becomes the controller of a run.
    Mirror { run: usize },
    /// The run that follows executions shows this one.
    Observe { execution: usize },
    /// A person deletes a run.
    Delete { run: usize },
    /// A person deletes a run, and a finalizer of another controller keeps it for a while.
    Terminate { run: usize },
    /// A deleted run is created again from a backup.
    Restore { run: usize, status: bool },
    /// A person writes an earlier record over a run.
    RollBack { run: usize, to: usize, what: Record },
    /// The account names another tenant of nuvo, or again the first one.
    Move,
    /// Another client starts the pipeline.
    Intrude,
    /// A person wipes a status.
    WipeStatus { run: usize },
    /// A person wipes a marker.
    WipeMarker { run: usize },
    /// Only a later version can read the marker any more.
    GarbleMarker { run: usize },
    /// Only a later version can read the newest entry of the ledger any more.
    GarbleEntry,
    /// A person deletes the lock.
    DeleteLease,
    /// The operator deletes a lock that is not used any more.
    Sweep,
    /// The ledger has been filled with other entries.
    ForgetLedger,
}

/// A person's answer to a doubt, after a look at all that nuvo shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// What the trigger has started.
    Adopt,
    /// That it does not matter.
    Abandon,
}

/// A part of what a run remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Record {
    /// The annotation.
    Marker,
    /// The status.
    Status,
    /// Both, from the same moment.
    Both,
}

/// How a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepCourse {
    /// As it should.
    Well,
    /// The answer is wrong, because it comes from a cache.
    Stale,
    /// The write is applied, and its answer lost.
    AnswerLost,
    /// The write is lost.
    RequestLost,
    /// The write is applied later, if it then still can be.
    Late,
    /// The write is refused for good.
    Denied,
    /// nuvo says that the executions have ended.
    Ended { failed: bool },
    /// The POST is carried out, starts this many executions, and its answer arrives.
    Executed(u8),
    /// The POST is carried out, starts this many executions, and its answer does not tell the ids.
    Garbled(u8),
    /// The POST is carried out, starts this many executions, and its answer is lost.
    Unanswered(u8),
    /// nuvo gives no list.
    NoList,
    /// nuvo gives a list that ends with the newest execution.
    ShortList,
    /// The POST is lost, and no process knows.
    Dropped,
    /// The POST is on its way for a long time.
    InFlight,
    /// The POST is certainly not carried out; another try may be made, or not.
    Refused { for_good: bool },
}
