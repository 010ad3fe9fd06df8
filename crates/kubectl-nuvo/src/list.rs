//! Runs as a table, and the history of one.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};

use super::{
    End, PluginError,
    args::{ListArgs, Output},
    output,
    place::Place,
    progress::tell,
    table::{ago, at, milliseconds, number, printable, table},
};
use nuvo_core::run::reason;
use nuvo_crds::{Execution, PipelineRun, PipelineRunStatus};

/// Lists runs, oldest first.
///
/// # Errors
/// [`PluginError::Api`], [`PluginError::Output`].
pub async fn list(place: &Place, args: &ListArgs, now: Timestamp) -> Result<End, PluginError> {
    let fields = [("spec.pipelineId", &args.pipeline), ("status.phase", &args.phase)];
    let fields: Vec<String> = fields.iter().filter_map(|(field, value)| Some(format!("{field}={}", value.as_ref()?))).collect();
    let mut wanted = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    if !fields.is_empty() {
        wanted = wanted.fields(&fields.join(","));
    }
    let found = place.those::<PipelineRun>(args.all_namespaces).list(&wanted).await.map_err(not_installed("PipelineRun"))?;
    let mut runs = found.items;
    runs.sort_by_key(|run| (run.metadata.creation_timestamp.as_ref().map(|time| time.0), run.namespace(), run.name_any()));
    if let Some(text) = output::many(&runs, args.output)? {
        return tell(&text).map(|()| End::Done);
    }
    if runs.is_empty() {
        eprintln!("No runs found{}.", if args.all_namespaces { String::new() } else { format!(" in namespace {}", place.namespace) });
        return Ok(End::Done);
    }
    tell(&shown(&runs, args.all_namespaces, args.output == Some(Output::Wide), now)).map(|()| End::Done)
}

/// A list that the API server does not know has a kind that is not installed.
pub(super) fn not_installed(kind: &'static str) -> impl FnOnce(kube::Error) -> PluginError {
    move |error| match error {
        kube::Error::Api(status) if status.code == 404 => PluginError::NotInstalled(kind),
        error => PluginError::api(format!("{kind}s cannot be listed"))(error),
    }
}

fn shown(runs: &[PipelineRun], namespaces: bool, wide: bool, now: Timestamp) -> String {
    let mut header = Vec::new();
    if namespaces {
        header.push("NAMESPACE");
    }
    header.extend(["NAME", "PIPELINE", "STATUS", "ERROR", "ROWS", "ERROR ROWS", "DURATION", "AGE"]);
    if wide {
        header.extend(["REASON", "EXECUTIONS", "EXECUTION", "ACCOUNT", "ATTEMPT"]);
    }
    let row = |run: &PipelineRun| {
        let status = run.status.clone().unwrap_or_default();
        let stats = status.current.stats.unwrap_or_default();
        let error = status.current.error.as_ref().and_then(|error| error.error_type.clone()).unwrap_or_default();
        let mut row = Vec::new();
        if namespaces {
            row.push(run.namespace().unwrap_or_default());
        }
        row.extend([
            run.name_any(),
            run.spec.pipeline_id.clone(),
            phase(&status),
            error,
            number(stats.total_rows),
            number(stats.total_error_rows),
            status.current.duration.clone().unwrap_or_default(),
            ago(run.metadata.creation_timestamp.as_ref(), now),
        ]);
        if wide {
            row.extend([
                reason(&status).map(|reason| reason.to_string()).unwrap_or_default(),
                status.current.execution_count.map(|count| count.to_string()).unwrap_or_default(),
                status.current.execution_ids.first().cloned().unwrap_or_default(),
                run.spec.account_ref.name.clone(),
                status.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
            ]);
        }
        row
    };
    table(&header, &runs.iter().map(row).collect::<Vec<_>>())
}

/// The phase in one word, also before the operator has seen the run.
pub(super) fn phase(status: &PipelineRunStatus) -> String {
    status.phase.map_or("Unseen", nuvo_crds::Phase::as_str).to_owned()
}

/// Tells what happened to a run, attempt by attempt and pass by pass.
///
/// # Errors
/// [`PluginError::NoSuch`], [`PluginError::Api`].
pub async fn history(place: &Place, name: &str, now: Timestamp) -> Result<End, PluginError> {
    let run = place.run(name).await?;
    tell(&attempts(&run, now)).map(|()| End::Done)
}

fn attempts(run: &PipelineRun, now: Timestamp) -> String {
    let status = run.status.clone().unwrap_or_default();
    let mut text = String::new();
    let present = status.attempt.unwrap_or(1);
    for past in status.history.iter().filter(|past| past.attempt != present) {
        let error = past.error_type.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
        let result = past.result.as_deref().unwrap_or("unknown");
        text.push_str(&printable(&format!(
            "Attempt {}: {result}{error}, from {} to {}, {}",
            past.attempt,
            at(past.start_time.as_ref()),
            at(past.completion_time.as_ref()),
            match past.execution_ids.as_slice() {
                [] => "no execution".to_owned(),
                ids => format!("execution {}", ids.join(", ")),
            }
        )));
        text.push('\n');
    }
    let age = ago(status.series.start_time.as_ref(), now);
    let since = if age.is_empty() { "not started".to_owned() } else { format!("started {age} ago") };
    let outcome = reason(&status).map_or_else(|| "not seen by the operator".to_owned(), |reason| reason.to_string());
    text.push_str(&format!("Attempt {present}: {outcome}, {since}\n"));
    let passes = passes(&status.current.executions);
    if !passes.is_empty() {
        text.push_str(&passes);
    }
    text
}

/// The passes of executions, from nuvo's log.
pub(super) fn passes(executions: &[Execution]) -> String {
    let rows: Vec<Vec<String>> = executions
        .iter()
        .flat_map(|execution| execution.runs.iter().map(move |pass| (execution, pass)))
        .map(|(execution, pass)| {
            let stats = pass.stats.unwrap_or_default();
            vec![
                execution.id.clone(),
                pass.run_type.clone().unwrap_or_default(),
                pass.status.clone().unwrap_or_default(),
                at(pass.start_time.as_ref()),
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
