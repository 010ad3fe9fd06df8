//! What may happen in the world.

/// What may happen next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// An operator begins a pass over a run; its cache may be behind.
    Begin { operator: usize, run: usize, stale: bool },
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
    /// A run has ended, or was deleted, and gives the lock back.
    Release { run: usize },
    /// A person opens another attempt.
    Rerun { run: usize },
    /// Somebody edits a run.
    Edit { run: usize },
    /// Somebody deletes a run.
    Delete { run: usize },
    /// Somebody wipes a status.
    WipeStatus { run: usize },
    /// Somebody wipes a marker.
    WipeMarker { run: usize },
    /// Somebody deletes the lock.
    DeleteLease,
    /// The ledger has been filled with other entries.
    ForgetLedger,
}

/// How a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepCourse {
    /// As it should.
    Well,
    /// The write is applied, and its answer lost.
    AnswerLost,
    /// The write is lost.
    RequestLost,
    /// The write is applied later, if it then still can be.
    Late,
    /// The POST is carried out, starts this many executions, and its answer arrives.
    Executed(u8),
    /// The POST is carried out, starts this many executions, and its answer does not tell the ids.
    Garbled(u8),
    /// The POST is carried out, starts this many executions, and its answer is lost.
    Unanswered(u8),
    /// The POST is lost, and nobody knows.
    Dropped,
    /// The POST is on its way for a long time.
    InFlight,
    /// The POST is certainly not carried out; another try may be made, or not.
    Refused { for_good: bool },
}
