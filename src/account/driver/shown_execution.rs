//! What a status shows of an execution.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use nuvo_crds::{Execution, ExecutionError, LogRun, MAX_RUNS, Stats};

/// What a status shows of an execution. Its error counts only if it failed: one edition of the API always sends one.
#[must_use]
pub fn shown_execution(execution: &nuvo_client::Execution) -> Execution {
    let failed = execution.status == nuvo_client::ExecutionStatus::Failed;
    let skipped = execution.logs.len().saturating_sub(MAX_RUNS);
    let runs: Vec<LogRun> = execution.logs.iter().skip(skipped).map(log_run).collect();
    Execution {
        id: execution.id.to_string(),
        status: Some(execution.status.as_str().to_owned()),
        trigger_type: execution.trigger_type.clone(),
        configuration: execution.configuration.clone(),
        created_at: execution.created_at.as_ref().and_then(time),
        updated_at: execution.updated_at.as_ref().and_then(time),
        error: execution.error.as_ref().filter(|_| failed).map(|error| ExecutionError {
            error_type: error.kind.clone().filter(|kind| !kind.is_empty()),
            message: error.message.clone().filter(|message| !message.is_empty()),
        }),
        stats: runs.last().and_then(|run| run.stats),
        runs,
    }
}

fn log_run(log: &nuvo_client::Log) -> LogRun {
    let stats = Stats {
        total_rows: log.stats.total_rows,
        total_cells: log.stats.total_cells,
        total_error_cells: log.stats.total_error_cells,
        total_error_rows: log.stats.total_error_rows,
        duration_milliseconds: log.duration_ms,
    };
    LogRun {
        run_type: Some(log.kind.as_str().to_owned()).filter(|kind| !kind.is_empty()),
        status: log.status.as_ref().map(|status| status.as_str().to_owned()),
        start_time: log.started_at.as_ref().and_then(time),
        duration_milliseconds: log.duration_ms,
        stats: (stats != Stats::default()).then_some(stats),
    }
}

/// Whole seconds, as Kubernetes stores them: what is read back must equal what was written.
fn time(time: &nuvo_client::NuvoTime) -> Option<Time> {
    Timestamp::from_second(time.at?.as_second()).ok().map(Time)
}
