//! The reads of executions by their ids.

use std::{collections::VecDeque, time::Duration};

use super::purpose::Purpose;
use crate::run::{Absence, ExecutionId, PipelineId};
use nuvo_crds::Execution;

/// How many executions are read at once for each purpose: enough to use a high rate limit in spite of slow answers.
const READS: usize = 32;
/// An execution and the pipeline that it must belong to.
pub type Key = (PipelineId, ExecutionId);

/// An execution that has to be read by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Which one.
    pub key: Key,
    /// What the read is for.
    pub purpose: Purpose,
    pub(super) awaited: bool,
}

/// The answer to the read of an execution.
#[derive(Debug)]
pub enum ReadAnswer {
    /// It exists.
    Found {
        /// The pipeline that it names.
        pipeline: Option<String>,
        /// What a status shows of it.
        report: Box<Execution>,
        /// How long it took by nuvo's own clock, if it has ended.
        took: Option<Duration>,
    },
    /// It does not exist.
    Denied(Absence),
    /// Nothing can be concluded from the answer.
    Malformed,
    /// There was no answer.
    Failed,
}

/// The reads for one purpose. Holds each execution at most once.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) waiting: VecDeque<Read>,
    pub(super) out: usize,
}

impl Reads {
    pub(super) fn next(&mut self) -> Option<Read> {
        let next = if self.out < READS { self.waiting.pop_front() } else { None };
        self.out = self.out.saturating_add(usize::from(next.is_some()));
        next
    }
}
