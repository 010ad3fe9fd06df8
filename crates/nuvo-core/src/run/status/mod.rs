//! The status of a run: what it is computed from, and the rules by which it is.

mod compute;
mod conclude;
mod execution_results;
mod input;
mod new_attempt;
mod read;
mod repairs;
pub(super) mod retry;
mod trigger_result;
mod ttl;
mod unwatched;

pub use compute::{compute_status, noted, refused};
pub use input::{Following, Knowledge, Known, PollFacts, StatusInput, followed, is_terminal};
pub use new_attempt::opened;
pub(super) use read::stored_message;
pub use read::{differs_only_in_wording, reason};
pub use repairs::{repair_watch_left, repairable};
pub use retry::is_awaited as awaits_retry;
pub use trigger_result::recorded;
pub use ttl::{expires, reads_annotation, reads_label};
pub use unwatched::unwatched;

#[cfg(test)]
mod tests;
