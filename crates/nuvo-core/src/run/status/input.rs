//! What a status is computed from, besides the object itself.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;

use crate::run::{ids::ExecutionId, record::Fate, view::Run};
use nuvo_crds::{Execution, PipelineRun, conditions::Reason};

/// What is known of one execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// What nuvo said last.
    Report(Box<Execution>),
    /// nuvo has denied for the whole grace time that it exists.
    Lost,
    /// It belongs to this other pipeline.
    Foreign(String),
}

/// What is known of executions.
pub type Knowledge = BTreeMap<ExecutionId, Known>;

/// Where a run stands, besides what its own record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusInput {
    /// It waits, or it ended without a trigger.
    Because(Reason, String),
    /// Its trigger is settled: the executions tell.
    Settled(Following, PollFacts),
}

/// What else nuvo has said, and how far what is known of executions can be relied on when the deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PollFacts {
    /// When nuvo was asked last about each of those that may still be running, and answered; none before that.
    pub asked: Option<Timestamp>,
    /// For how long this process has waited for such an answer since it saw that the deadline has passed.
    pub waited: Duration,
    /// For how long it waits.
    pub patience: Duration,
    /// nuvo has said that the pipeline is in developer mode.
    pub developer_mode: bool,
}

/// Whether nuvo is asked about the executions of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Following {
    /// It is.
    Active,
    /// This process does not know yet whether it can be: nothing is to be said about it before that.
    Undecided,
    /// It cannot be at present, and why.
    Halted(String),
}

pub(super) const PROCESSING: &str = "PROCESSING";

const SUCCESSFUL: &str = "SUCCESSFUL";

pub(super) const FAILED: &str = "FAILED";

/// Whether a status of nuvo ends an execution: only SUCCESSFUL and FAILED, to the letter.
#[must_use]
pub fn is_terminal(word: &str) -> bool {
    word == SUCCESSFUL || word == FAILED
}

/// The executions that a run follows: those of its trigger, or the one it was told to observe.
#[must_use]
pub fn followed(object: &PipelineRun, run: &Run) -> Vec<ExecutionId> {
    if let Some(id) = &object.spec.execution_id {
        return ExecutionId::new(id.clone()).into_iter().collect();
    }
    match &run.trigger {
        Some(trigger) if matches!(trigger.fate, Fate::Accepted(_)) && trigger.attempt == run.attempt => run.executions.clone(),
        _ => Vec::new(),
    }
}
