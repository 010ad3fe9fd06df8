//! Reads of executions and pipelines by their ids.

use std::collections::{BTreeSet, VecDeque};

use nuvo_crds::AboutPipeline;

use crate::{
    pipeline::Sighting,
    run::{ExecutionId, PipelineId},
};

/// A read of an execution or a pipeline that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObservationRead {
    /// The execution, which belongs to this pipeline.
    Execution(PipelineId, ExecutionId),
    /// The pipeline itself.
    Pipeline(PipelineId),
}

/// The answer to such a read.
#[derive(Debug, Clone, PartialEq)]
pub enum ObservationAnswer {
    /// The execution is this, and names this pipeline.
    Execution(Option<String>, Box<Sighting>),
    /// The pipeline is this.
    Pipeline(AboutPipeline),
    /// nuvo has no such thing, and says so itself.
    NotFound,
    /// nuvo answered 403.
    Forbidden,
    /// There was no answer, for this reason.
    Failed(String),
}

/// How many executions and pipelines are read at once.
const AT_ONCE: usize = 4;
/// How many executions that runs have read are remembered: more than end between two looks at nuvo, as a rule.
const OF_RUNS: usize = 256;

/// The reads that are wanted, each once.
#[derive(Debug, Default)]
pub(super) struct ReadQueue {
    waiting: VecDeque<ObservationRead>,
    out: BTreeSet<ObservationRead>,
    /// What runs have read of executions that have ended, the oldest first.
    of_runs: VecDeque<Sighting>,
}

impl ReadQueue {
    /// Adds those that are not wanted yet. Another execution of the same pipeline that still waits is read no more: a look wants one.
    pub(super) fn extend(&mut self, wanted: BTreeSet<ObservationRead>) {
        let of_execution = |read: &ObservationRead| match read {
            ObservationRead::Execution(pipeline, _) => Some(pipeline.clone()),
            ObservationRead::Pipeline(_) => None,
        };
        let replaced: BTreeSet<PipelineId> = wanted.iter().filter_map(of_execution).collect();
        self.waiting.retain(|read| wanted.contains(read) || of_execution(read).is_none_or(|pipeline| !replaced.contains(&pipeline)));
        let known: BTreeSet<&ObservationRead> = self.waiting.iter().chain(&self.out).collect();
        let new: Vec<ObservationRead> = wanted.into_iter().filter(|read| !known.contains(read)).collect();
        self.waiting.extend(new);
    }

    /// A run has read an execution.
    pub(super) fn read_for_a_run(&mut self, sighting: Sighting) {
        self.of_runs.push_back(sighting);
        if self.of_runs.len() > OF_RUNS {
            self.of_runs.pop_front();
        }
    }

    /// What a run has read of an execution.
    pub(super) fn of_run(&self, id: &ExecutionId) -> Option<Sighting> {
        self.of_runs.iter().rfind(|sighting| sighting.id == *id).cloned()
    }

    /// The next one that may be sent.
    pub(super) fn next(&mut self) -> Option<ObservationRead> {
        let read = if self.out.len() < AT_ONCE { self.waiting.pop_front() } else { None };
        self.out.extend(read.clone());
        read
    }

    /// Forgets those that wait for other pipelines than these.
    pub(super) fn keep(&mut self, left: &BTreeSet<&PipelineId>) {
        self.waiting.retain(|read| match read {
            ObservationRead::Execution(pipeline, _) | ObservationRead::Pipeline(pipeline) => left.contains(pipeline),
        });
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// One is answered. Returns whether it was waited for: the account may be another one by now.
    pub(super) fn answered(&mut self, read: &ObservationRead) -> bool {
        self.out.remove(read)
    }
}
