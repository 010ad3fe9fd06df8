//! The trigger protocol (docs/protocol.md): how one run becomes at most one POST per attempt. `next_step` is its decision.
//!
//! What became of a trigger has a name for each place where it is known:
//!
//! | type | where | who knows it |
//! |---|---|---|
//! | [`PostOutcome`](post_outcome::PostOutcome) | in the memory of the task that sent the POST | what the answer, or its absence, proves |
//! | [`TriggerResult`](stored::TriggerResult) | `status.trigger` of the run | every reader of the run |
//! | [`LedgerOutcome`](stored::LedgerOutcome) | the ledger of the pipeline's lock | every later holder of the lock |
//! | [`Verdict`](verdict::Verdict) | nowhere: judged from run and lock | one pass, about the next step |

pub(super) mod concurrency;
pub(super) mod deadlines;
pub(super) mod doubt;
pub(super) mod facts;
pub(super) mod growth;
pub(super) mod next_step;
pub mod post_outcome;
pub(super) mod retention;
pub(super) mod run_view;
pub(super) mod slot;
pub(super) mod step;
pub mod stored;
pub(super) mod takeover;
pub(super) mod unknown_streak;
pub(super) mod verdict;
