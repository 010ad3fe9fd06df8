//! What a status is computed from, besides the object itself.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;

use crate::run::{ids::ExecutionId, trigger::run_view::Run, trigger::stored::TriggerResult};
use crate::vocabulary::ExecutionStatus;
pub(super) use crate::vocabulary::{FAILED, PROCESSING};
use nuvo_crds::{Execution, PipelineRun, conditions::Reason};

/// What is known of one execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// The last report of nuvo.
    Report(Box<Execution>),
    /// nuvo has reported for the whole grace time that it does not exist.
    Lost,
    /// It belongs to this other pipeline.
    Foreign(String),
}

/// What is known of executions.
pub type Knowledge = BTreeMap<ExecutionId, Known>;

/// What decides about the status of a run, besides the object itself and its executions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StatusInput {
    /// The run waits, or ended without a trigger: the reason and its message.
    Because(Reason, String),
    /// Its trigger is settled: the executions decide.
    Settled(Following, PollFacts),
}

/// What the polls of an account have found out about the executions of a run, and how current that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PollFacts {
    /// When nuvo last answered about every execution that may still be running; none before it has.
    pub asked: Option<Timestamp>,
    /// For how long this process has waited for such an answer since it saw that the deadline had passed.
    pub waited: Duration,
    /// For how long it waits before it ends the run without one.
    pub patience: Duration,
    /// The executions were found in nuvo's list, and the trigger may still be answered, or have more effects: the run does not end yet.
    pub is_open: bool,
    /// nuvo reports that the pipeline is in developer mode.
    pub developer_mode: bool,
}

/// Whether the operator asks nuvo about the executions of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Following {
    /// It does.
    Active,
    /// This process does not know yet whether it can. The status does not change before it does.
    Undecided,
    /// It cannot at present, and why.
    Halted(String),
}

/// Whether a status of nuvo ends an execution: only SUCCESSFUL and FAILED, to the letter.
#[must_use]
pub fn is_terminal(word: &str) -> bool {
    ExecutionStatus::documented(word).is_some_and(|status| status.is_terminal())
}

/// The executions that a run follows: those of its trigger, or the one in `spec.executionId`.
#[must_use]
pub fn followed(object: &PipelineRun, run: &Run) -> Vec<ExecutionId> {
    if let Some(id) = &object.spec.execution_id {
        return ExecutionId::new(id.clone()).into_iter().collect();
    }
    match &run.trigger {
        Some(trigger) if matches!(trigger.result, TriggerResult::Accepted(_)) && trigger.attempt == run.attempt => run.executions.clone(),
        _ => Vec::new(),
    }
}
