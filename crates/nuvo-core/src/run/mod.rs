//! The core: what one run does next, as pure functions.
//!
//! Nothing here performs I/O, reads a clock or draws a random number; facts come in as values and decisions leave as values,
//! so every rule can be read, tested and model-checked without a cluster.

mod at_rest;
mod deadline;
mod doubt_resolution;
mod events;
mod ids;
mod inquire;
mod next;
mod next_attempt;
mod observed;
mod outcome;
mod parse;
mod record;
mod status;
mod step;
mod verdict;
mod view;
mod waiting_message;

pub use at_rest::{at_rest, ends_lock_need};
pub use deadline::{deadline, deadline_left};
pub use doubt_resolution::nonce_in_doubt;
pub use events::{Ending, RunEvent, ending, events_of_change};
pub use ids::{ExecutionId, InvalidId, Nonce, PipelineId, Uid};
pub use next::{next, release, remember};
pub use next_attempt::{Reopening, following_attempt, reopening};
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
pub use step::{Answer, Gate, Hold, Limits, LockRead, Step};
pub use verdict::{Doubt, Takeover, Verdict, awaits_trigger, decided, own_entry, resumable, settled, takeover, verdict};
pub use view::{Candidate, Holder, Others, Run, Sighting};
pub use waiting_message::{queued, waiting, without_account};

#[cfg(test)]
mod tests;
