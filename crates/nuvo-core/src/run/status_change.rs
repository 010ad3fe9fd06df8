//! Every status that the operator writes, named by what it says; one function computes it.

use k8s_openapi::jiff::Timestamp;

use super::{
    ids::ExecutionId,
    status::{Knowledge, StatusInput, compute_status, noted, opened, recorded, refused, unwatched},
    trigger::run_view::Run,
    trigger::step::FollowUp,
    trigger::stored::Trigger,
};
use nuvo_crds::{PipelineRun, PipelineRunStatus};

/// What a status says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StatusChange {
    /// Where the run stands.
    Present(StatusInput),
    /// The object cannot be a run, and why.
    Refused(String),
    /// Why a person's answer was not carried out.
    Noted(String),
    /// The operator watches the run no longer.
    Unwatched,
    /// Another attempt begins.
    Attempt {
        /// The attempt, from 2.
        attempt: i32,
        /// The operator begins it, not a person.
        automatic: bool,
    },
    /// What became of the trigger.
    Result {
        /// The result.
        trigger: Trigger,
        /// The executions that it started.
        executions: Vec<ExecutionId>,
        /// For people.
        message: String,
        /// What follows from it.
        follow_up: FollowUp,
    },
}

/// The status of an object after this change. `run` is none for an object that cannot be a run.
#[must_use]
pub fn render(object: &PipelineRun, run: Option<&Run>, change: &StatusChange, known: &Knowledge, now: Timestamp) -> PipelineRunStatus {
    match (change, run) {
        (StatusChange::Present(input), Some(run)) => compute_status(object, run, input, known, now),
        (StatusChange::Noted(note), Some(run)) => noted(object, run, note, now),
        (StatusChange::Refused(message) | StatusChange::Noted(message), _) => refused(object, message.clone(), now),
        (StatusChange::Unwatched, _) => unwatched(object, now),
        (StatusChange::Attempt { attempt, automatic }, _) => opened(object, *attempt, *automatic, now),
        (StatusChange::Result { trigger, executions, message, follow_up }, _) => {
            recorded(object, trigger, executions, message, *follow_up, now)
        }
        (StatusChange::Present(_), None) => object.status.clone().unwrap_or_default(),
    }
}
