//! A hash of the texts of a status, which is cheaper to keep than the texts.

use std::hash::{DefaultHasher, Hash, Hasher};

use nuvo_crds::PipelineRunStatus;

/// A hash of the reasons and messages of a status, within this process.
#[must_use]
pub fn message_hash(status: &PipelineRunStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    for condition in &status.conditions {
        (&condition.reason, &condition.message).hash(&mut hasher);
    }
    hasher.finish()
}
