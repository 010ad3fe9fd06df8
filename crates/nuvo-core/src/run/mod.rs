//! The core: what one run does next, as pure functions.
//!
//! Nothing here performs I/O, reads a clock or draws a random number; facts come in as values and decisions leave as values,
//! so every rule can be read, tested and model-checked without a cluster.

mod act;
mod executions;
mod expiry;
mod facts;
mod fixes;
mod ids;
mod inquire;
mod life;
mod next;
mod notice;
mod observed;
mod outcome;
mod parse;
mod project;
mod quality;
mod record;
mod reopen;
mod rest;
mod retry;
mod situation;
mod status_change;
mod step;
mod trigger;
mod verdict;
mod view;

pub use act::{AccountAnswer, Act, Again, Answered, Ask, Change, Failure, FailureKind, Follow, Named, Rendered, Wishes};
pub use expiry::expires;
pub use facts::{Account, Begin, Beginning, Facts, Pause, Polled, Present, RunMemory};
pub use fixes::{repairable, watched};
pub use ids::{ExecutionId, InvalidId, Nonce, PipelineId, Uid};
pub use life::{Life, RetryWait, goes_on};
pub use next::{after_panic, next, remember};
pub use notice::{Ending, Notice, ending, notices};
pub use observed::{Grant, Inquiry, Memory, Observed, Task};
pub use outcome::{Obstacle, Outcome, Unexecuted};
pub use parse::{InvalidRun, Resolution, ResolutionAnswer, parse, resolution};
pub use project::{
    Following, Hearing, Knowledge, Known, Situation, deadline, deadline_left, followed, human, is_terminal, noted, opened, project, reason,
    recorded, refused, same_but_for_words,
};
pub use record::{
    BASELINE_IDS, Baseline, Entry, Evidence, Fate, LEDGER_BYTES, LEDGER_ENTRIES, LedgerEntry, Lock, Marker, RunRef, Tenancy, Trigger,
};
pub use reopen::{Reopening, following_attempt, in_question, reopening};
pub use rest::{at_rest, lets_go};
pub use retry::is_awaited as awaits_retry;
pub use situation::{in_line, waiting, without_account};
pub use status_change::{StatusChange, render};
pub use step::{Answer, Gate, Hold, Limits, LockRead, Step};
pub use trigger::{next_step, release, remember as remember_trigger};
pub use verdict::{Doubt, Takeover, Verdict, awaits_trigger, decided, own_entry, resumable, settled, takeover, verdict};
pub use view::{Candidate, Holder, Others, Run, Sighting};

#[cfg(test)]
mod lifecycle_tests;
#[cfg(test)]
mod project_tests;
#[cfg(test)]
mod tests;
