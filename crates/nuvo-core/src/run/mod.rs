//! The core: what one run does next, as pure functions.
//!
//! Nothing here performs I/O, reads a clock or draws a random number; facts come in as values and decisions leave as values,
//! so every rule can be read, tested and model-checked without a cluster.

mod act;
mod at_rest;
mod deadline;
mod doubt_resolution;
mod events;
mod facts;
mod ids;
mod inquire;
mod life;
mod next;
mod next_attempt;
mod observed;
mod outcome;
mod parse;
mod record;
mod status;
mod status_change;
mod step;
mod trigger;
mod verdict;
mod view;
mod waiting_message;

pub use act::{AccountAnswer, Act, Again, Answered, Ask, Change, Failure, FailureKind, Follow, Named, Rendered, Wishes};
pub use at_rest::{at_rest, ends_lock_need};
pub use doubt_resolution::nonce_in_doubt;
pub use events::{Ending, RunEvent, ending, events_of_change};
pub use facts::{Account, Begin, Beginning, Facts, Pause, Polled, Present, RunMemory};
pub use ids::{ExecutionId, InvalidId, Nonce, PipelineId, Uid};
pub use life::{Life, RetryWait};
pub use next::{after_panic, next, remember};
pub use next_attempt::{Reopening, following_attempt, goes_on, reopening};
pub use observed::{Grant, Inquiry, Memory, Observed, Task};
pub use outcome::{Obstacle, Outcome, Unexecuted};
pub use parse::{InvalidRun, Resolution, ResolutionAnswer, parse, resolution};
pub use record::{
    BASELINE_IDS, Baseline, Entry, Evidence, Fate, LEDGER_BYTES, LEDGER_ENTRIES, LedgerEntry, Lock, Marker, RunRef, Tenancy, Trigger,
};
pub use status::{
    Following, Knowledge, Known, PollFacts, StatusInput, awaits_retry, compute_status, differs_only_in_wording, expires, followed,
    is_terminal, noted, opened, reason, recorded, refused, repair_watch_left, repairable,
};
pub use status_change::{StatusChange, render};
pub use step::{Answer, Gate, Hold, Limits, LockRead, Step};
pub use trigger::{next_step, release, remember as remember_trigger};
pub use verdict::{Doubt, Takeover, Verdict, awaits_trigger, decided, own_entry, resumable, settled, takeover, verdict};
pub use view::{Candidate, Holder, Others, Run, Sighting};
pub use waiting_message::{queued, waiting, without_account};

#[cfg(test)]
mod tests;
