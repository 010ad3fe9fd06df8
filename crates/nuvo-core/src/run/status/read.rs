//! What a stored status says.

use nuvo_crds::{
    PipelineRunStatus,
    conditions::{Reason, SUCCEEDED, find},
};

/// The reason of the condition `Succeeded` that a status carries.
#[must_use]
pub fn reason(status: &PipelineRunStatus) -> Option<Reason> {
    let condition = find(&status.conditions, SUCCEEDED)?;
    Reason::parse(&condition.reason, &condition.status)
}

/// The message of the condition `Succeeded` that a status carries.
pub(in crate::run) fn stored_message(status: &PipelineRunStatus) -> Option<String> {
    find(&status.conditions, SUCCEEDED).map(|condition| condition.message.clone())
}

/// Whether the two say the same of a run, if perhaps in other words: only reasons and messages differ.
#[must_use]
pub fn differs_only_in_wording(one: &PipelineRunStatus, other: &PipelineRunStatus) -> bool {
    let bare = |status: &PipelineRunStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.reason.clear();
            condition.message.clear();
        }
        status
    };
    bare(one) == bare(other)
}
