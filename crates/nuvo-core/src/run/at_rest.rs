//! Runs at rest, and what is left to do when a run ends.

use k8s_openapi::jiff::Timestamp;

use super::{
    next_attempt::reopening,
    parse::parse,
    status::{Following, Knowledge, PollFacts, StatusInput, compute_status, repair_watch_left},
    trigger::verdict::settled,
};
use nuvo_crds::{PipelineRun, PipelineRunStatus};

/// Whether it is certain that nothing is to be done for a run until its object changes, besides deleting it when it
/// [expires](super::expires), so that nothing else of it needs to be kept.
///
/// The answer comes from the functions that decide what is done for a run, not from a summary of them. What becomes of a run that has ended
/// and is not watched for a repair follows from its object alone, not from the account, nuvo or the time. A change to that must also say
/// here when a run is kept.
#[must_use]
pub fn at_rest(object: &PipelineRun, now: Timestamp) -> bool {
    at_rest_as(object, now, |status| status)
}

/// The same where a status is written as `fit` makes it.
pub fn at_rest_as(object: &PipelineRun, now: Timestamp, fit: impl FnOnce(PipelineRunStatus) -> PipelineRunStatus) -> bool {
    let (Some(status), Ok(run)) = (&object.status, parse(object)) else { return false };
    if !run.ended || reopening(object, &run, now).is_some() || repair_watch_left(object, status, now).is_some() {
        return false;
    }
    // Without a settled trigger the pipeline's lock may tell more.
    if !settled(&run) {
        return false;
    }
    let situation = StatusInput::Settled(Following::Undecided, PollFacts::default());
    fit(compute_status(object, &run, &situation, &Knowledge::new(), now)) == *status
}

/// Whether a run with this change of its status has no use for its pipeline's lock any more: it ends, or a person has closed its doubt.
#[must_use]
pub fn ends_lock_need(before: Option<&PipelineRunStatus>, after: &PipelineRunStatus) -> bool {
    after.current.completion_time.is_some()
        && before.is_none_or(|before| before.current.completion_time.is_none() || before.phase != after.phase)
}
