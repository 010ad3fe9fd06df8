//! The core: what one run does next, as pure functions.
//!
//! Nothing here performs I/O, reads a clock or draws a random number; facts come in as values and decisions leave as values,
//! so every rule can be read, tested and model-checked without a cluster.

mod act;
mod at_rest;
mod deadline;
mod doubt_resolution;
mod events;
mod execution_presence;
mod facts;
mod ids;
mod kept_metadata;
mod life;
mod lock_time;
mod made_by;
mod memory;
mod next;
mod next_attempt;
mod observed;
mod parse;
mod remember;
mod show;
mod status;
mod status_change;
mod trigger;
mod waiting_message;
mod waiting_since;

pub use act::{AccountAnswer, Act, Again, Answered, Ask, Change, Failure, FailureKind, Follow, Named, Rendered, Wishes};
pub use at_rest::{at_rest, at_rest_as, ends_lock_need};
pub use doubt_resolution::nonce_in_doubt;
pub use events::{Ending, RunEvent, ending, events_of_change};
pub use execution_presence::{Absence, Presence, PresenceJudgement, judge_presence, needs_list};
pub use facts::Facts;
pub use ids::{AccountHash, ExecutionId, InvalidId, LockName, Nonce, PipelineId, Uid};
pub use kept_metadata::kept_metadata;
pub use life::{Life, RetryWait};
pub use lock_time::lock_written;
pub use made_by::is_mirror;
pub use memory::RunMemory;
pub use next::next;
pub use next_attempt::{Reopening, following_attempt, goes_on, reopening};
pub use observed::{Account, Begin, Beginning, Polled, Present};
pub use parse::{InvalidRun, Resolution, ResolutionAnswer, parse, resolution};
pub use remember::{after_panic, remember};
pub use status::{
    Following, Knowledge, Known, PollFacts, StatusInput, awaits_retry, compute_status, differs_only_in_wording, expires, followed,
    is_terminal, noted, opened, reason, recorded, refused, repair_watch_left, repairable,
};
pub use status_change::{StatusChange, render};
pub use trigger::facts::{Grant, Inquiry, Looks, Memory, Task, TriggerFacts};
pub use trigger::next_step::{next_step, release, remember as remember_trigger};
pub use trigger::post_outcome::{Obstacle, PostOutcome, Unexecuted};
pub use trigger::retention::{Disposal, Remembered, Retention, disposal};
pub use trigger::run_view::{Candidate, ExecutionState, Holder, ListedCandidates, MadeBy, Run, RunningExecutions, Scheduled, SlotClaim};
pub use trigger::step::{Answer, FollowUp, Gate, Hold, Limits, LockRead, Step};
pub use trigger::stored::{
    BASELINE_IDS, Baseline, Evidence, FORMAT, Format, LEDGER_BYTES, LEDGER_ENTRIES, Later, LedgerEntry, LedgerOutcome, Lock, LockHolder,
    Marker, RunRef, Trigger, TriggerResult, UnreadableLock,
};
pub use trigger::takeover::{Takeover, own_entry, takeover};
pub use trigger::verdict::{Doubt, Verdict, awaits_trigger, decided, resumable, settled, undecided, verdict};
pub use waiting_message::{queued, waiting, without_account};
pub use waiting_since::{WaitAge, Waiting, waiting_since};

#[cfg(test)]
mod tests;
