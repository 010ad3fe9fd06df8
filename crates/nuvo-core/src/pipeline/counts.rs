//! What is counted of the executions of a pipeline, for metrics.

use std::collections::BTreeMap;

use nuvo_crds::{SeenExecution, Stats};

use crate::vocabulary::{FAILED, SUCCESSFUL};

/// How an execution that is counted has ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecutionCount {
    /// What started it, in nuvo's words.
    pub trigger_type: String,
    /// `success`, `failure` or `lost`.
    pub result: &'static str,
    /// nuvo's word for its error; empty without one.
    pub error_type: String,
}

/// What was counted since it was taken last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Executions that have ended.
    pub executions: BTreeMap<ExecutionCount, u64>,
    /// Failed executions that were repaired in nuvo.
    pub fixes: u64,
    /// Executions of which it cannot be told whether they were counted before.
    pub late: u64,
    /// Executions that were counted without their statistics.
    pub unread: u64,
    /// Rows of the executions that were read.
    pub rows: u64,
    /// Rows with errors of them.
    pub error_rows: u64,
    /// Cells of them.
    pub cells: u64,
    /// Cells with errors of them.
    pub error_cells: u64,
}

impl Counts {
    pub(super) fn execution(&mut self, execution: &SeenExecution) {
        let result = match execution.status.as_str() {
            SUCCESSFUL => "success",
            FAILED => "failure",
            _ => "lost",
        };
        let key = ExecutionCount {
            trigger_type: execution.trigger_type.clone().unwrap_or_default(),
            result,
            error_type: execution.error_type.clone().unwrap_or_default(),
        };
        let count = self.executions.entry(key).or_default();
        *count = count.saturating_add(1);
        match &execution.stats {
            Some(stats) => self.stats(stats),
            None => self.unread = self.unread.saturating_add(1),
        }
    }

    fn stats(&mut self, stats: &Stats) {
        let add =
            |sum: &mut u64, count: Option<i64>| *sum = sum.saturating_add(count.and_then(|n| u64::try_from(n).ok()).unwrap_or_default());
        add(&mut self.rows, stats.total_rows);
        add(&mut self.error_rows, stats.total_error_rows);
        add(&mut self.cells, stats.total_cells);
        add(&mut self.error_cells, stats.total_error_cells);
    }
}
