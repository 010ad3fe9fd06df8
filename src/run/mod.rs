//! The core: what one run does next, as pure functions.
//!
//! Nothing here performs I/O, reads a clock or draws a random number; facts come in as values and decisions leave as values,
//! so every rule can be read, tested and model-checked without a cluster.

mod ids;
mod outcome;

pub use ids::{ExecutionId, InvalidId, Nonce, PipelineId, Uid};
pub use outcome::{Outcome, Unexecuted};
