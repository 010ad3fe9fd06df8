//! How a baseline stores ids.

use nuvo_core::run::ExecutionId;
use sha2::{Digest, Sha256};

/// A short hash of an id, as a [`Baseline`](nuvo_core::run::Baseline) stores it.
#[must_use]
pub fn short_hash(id: &ExecutionId) -> String {
    Sha256::digest(id.as_str().as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
