//! `kubectl nuvo list`: runs as a table.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};
use nuvo_core::run::reason;
use nuvo_crds::PipelineRun;

use super::{
    args::ListArgs,
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    flag_values::Output,
    output::{self, print},
    table::{age, number, phase, table},
};

/// Lists runs, oldest first.
///
/// # Errors
/// [`PluginError::Api`], [`PluginError::Output`].
pub async fn list(context: &ClusterContext, args: &ListArgs, now: Timestamp) -> Result<ExitStatus, PluginError> {
    let fields = [("spec.pipelineId", &args.pipeline), ("status.phase", &args.phase)];
    let fields: Vec<String> = fields.iter().filter_map(|(field, value)| Some(format!("{field}={}", value.as_ref()?))).collect();
    let mut params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    if !fields.is_empty() {
        params = params.fields(&fields.join(","));
    }
    let found = context.objects::<PipelineRun>(args.all_namespaces).list(&params).await.map_err(PluginError::list("PipelineRun"))?;
    let mut runs = found.items;
    runs.sort_by_key(|run| (run.metadata.creation_timestamp.as_ref().map(|time| time.0), run.namespace(), run.name_any()));
    if let Some(text) = output::list(&runs, args.output)? {
        return print(&text).map(|()| ExitStatus::Success);
    }
    if runs.is_empty() {
        eprintln!("No runs found{}.", if args.all_namespaces { String::new() } else { format!(" in namespace {}", context.namespace) });
        return Ok(ExitStatus::Success);
    }
    print(&run_table(&runs, args.all_namespaces, args.output == Some(Output::Wide), now)).map(|()| ExitStatus::Success)
}

fn run_table(runs: &[PipelineRun], namespaces: bool, wide: bool, now: Timestamp) -> String {
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
            age(run.metadata.creation_timestamp.as_ref(), now),
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
