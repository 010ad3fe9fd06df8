//! What the operator decides, as pure functions.
//!
//! Nothing here performs I/O, reads a clock or draws a random number, and nothing here could: this crate depends on no client of anything.
//! Facts come in as values and decisions leave as values, so every rule can be read, tested and model-checked without a cluster.
//! Start reading at [`run`].

pub mod account;
pub mod backoff;
pub mod pipeline;
mod quality_gate;
pub mod run;
pub mod schedule;
pub mod scheduler;
pub mod text;
pub mod time;
pub mod vocabulary;

/// The largest integer that every reader of JSON takes as it is.
pub use nuvo_crds::MAX_INTEGER;
