//! `kubectl nuvo history`: the attempts of a run, and the passes of its executions.

use k8s_openapi::jiff::Timestamp;
use nuvo_core::run::reason;
use nuvo_crds::{Execution, PipelineRun};

use super::{
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    output::print,
    table::{age, milliseconds, number, printable, table, time},
};

/// Shows what happened to a run, attempt by attempt and pass by pass.
///
/// # Errors
/// [`PluginError::NotFound`], [`PluginError::Api`].
pub async fn history(context: &ClusterContext, name: &str, now: Timestamp) -> Result<ExitStatus, PluginError> {
    let run = context.run(name).await?;
    print(&attempts(&run, now)).map(|()| ExitStatus::Success)
}

fn attempts(run: &PipelineRun, now: Timestamp) -> String {
    let status = run.status.clone().unwrap_or_default();
    let mut text = String::new();
    let current = status.attempt.unwrap_or(1);
    for past in status.history.iter().filter(|past| past.attempt != current) {
        let error = past.error_type.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
        let result = past.result.as_deref().unwrap_or("unknown");
        text.push_str(&printable(&format!(
            "Attempt {}: {result}{error}, from {} to {}, {}",
            past.attempt,
            time(past.start_time.as_ref()),
            time(past.completion_time.as_ref()),
            match past.execution_ids.as_slice() {
                [] => "no execution".to_owned(),
                ids => format!("execution {}", ids.join(", ")),
            }
        )));
        text.push('\n');
    }
    let started = age(status.series.start_time.as_ref(), now);
    let since = if started.is_empty() { "not started".to_owned() } else { format!("started {started} ago") };
    let outcome = reason(&status).map_or_else(|| "not yet seen by the operator".to_owned(), |reason| reason.to_string());
    text.push_str(&format!("Attempt {current}: {outcome}, {since}\n"));
    let passes = passes(&status.current.executions);
    if !passes.is_empty() {
        text.push_str(&passes);
    }
    text
}

/// The passes of executions, from nuvo's logs: the first one, and one for each repair.
pub fn passes(executions: &[Execution]) -> String {
    let rows: Vec<Vec<String>> = executions
        .iter()
        .flat_map(|execution| execution.runs.iter().map(move |pass| (execution, pass)))
        .map(|(execution, pass)| {
            let stats = pass.stats.unwrap_or_default();
            vec![
                execution.id.clone(),
                pass.run_type.clone().unwrap_or_default(),
                pass.status.clone().unwrap_or_default(),
                time(pass.start_time.as_ref()),
                milliseconds(pass.duration_milliseconds),
                number(stats.total_rows),
                number(stats.total_error_rows),
                number(stats.total_cells),
                number(stats.total_error_cells),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&["EXECUTION", "PASS", "STATUS", "STARTED", "TOOK", "ROWS", "ERROR ROWS", "CELLS", "ERROR CELLS"], &rows)
}
