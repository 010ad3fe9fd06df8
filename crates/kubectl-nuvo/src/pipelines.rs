//! `kubectl nuvo pipeline list`: what runs in nuvo, whoever started it, as a table.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};
use nuvo_crds::{
    NuvoPipeline,
    conditions::{FRESH, READY, find},
};

use super::{
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    flag_values::{ObjectListArgs, Output},
    output::{self, print},
    table::{age, number, table},
};

/// Lists NuvoPipelines by their name.
///
/// # Errors
/// [`PluginError::Api`], [`PluginError::Output`].
pub async fn list(context: &ClusterContext, args: &ObjectListArgs, now: Timestamp) -> Result<ExitStatus, PluginError> {
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let found = context.objects::<NuvoPipeline>(args.all_namespaces).list(&params).await.map_err(PluginError::list("NuvoPipeline"))?;
    if let Some(text) = output::list(&found.items, args.output)? {
        return print(&text).map(|()| ExitStatus::Success);
    }
    if found.items.is_empty() {
        eprintln!("No NuvoPipelines found. Create one for each pipeline to watch: see the documentation, \"Pipelines in nuvo\".");
        return Ok(ExitStatus::Success);
    }
    let text = pipeline_table(&found.items, args.all_namespaces, args.output == Some(Output::Wide), now);
    print(&text).map(|()| ExitStatus::Success)
}

fn pipeline_table(pipelines: &[NuvoPipeline], namespaces: bool, wide: bool, now: Timestamp) -> String {
    let mut header = Vec::new();
    if namespaces {
        header.push("NAMESPACE");
    }
    header.extend(["NAME", "PIPELINE", "LAST", "TRIGGER", "ROWS", "ERROR ROWS", "FRESH", "LAST SUCCESS", "AGE"]);
    if wide {
        header.extend(["NAME IN NUVO", "READY", "ERROR", "RUNNING", "SCHEDULE", "ACTIVE", "ACCOUNT"]);
    }
    let row = |pipeline: &NuvoPipeline| {
        let status = pipeline.status.clone().unwrap_or_default();
        let (last, success) = (status.last_execution.unwrap_or_default(), status.last_success.unwrap_or_default());
        let stats = success.stats.unwrap_or_default();
        let mut row = Vec::new();
        if namespaces {
            row.push(pipeline.namespace().unwrap_or_default());
        }
        row.extend([
            pipeline.name_any(),
            pipeline.spec.pipeline_id.clone(),
            last.status,
            last.trigger_type.unwrap_or_default(),
            number(stats.total_rows),
            number(stats.total_error_rows),
            find(&status.conditions, FRESH).map(|condition| condition.status.clone()).unwrap_or_default(),
            age(success.ended_at.as_ref(), now),
            age(pipeline.metadata.creation_timestamp.as_ref(), now),
        ]);
        if wide {
            row.extend([
                status.about.name.unwrap_or_default(),
                find(&status.conditions, READY).map_or_else(|| "Unseen".to_owned(), |condition| condition.reason.clone()),
                status.last_failure.and_then(|failure| failure.error_type).unwrap_or_default(),
                status.running.len().to_string(),
                status.about.nuvo_schedule.unwrap_or_default(),
                status.about.active_in_nuvo.map(|active| active.to_string()).unwrap_or_default(),
                pipeline.spec.account_ref.name.clone(),
            ]);
        }
        row
    };
    table(&header, &pipelines.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_shows_a_stale_pipeline_and_one_that_was_not_seen() {
        let seen: NuvoPipeline = serde_json::from_value(json!({
            "metadata": { "name": "deliveries", "namespace": "team", "creationTimestamp": "1969-12-31T00:00:00Z" },
            "spec": { "pipelineId": "p-1" },
            "status": {
                "name": "Deliveries", "activeInNuvo": true, "nuvoSchedule": "DAILY x 1", "running": [{ "id": "e-3" }, { "id": "e-4" }],
                "lastExecution": { "id": "e-4", "status": "PROCESSING", "triggerType": "SCHEDULED" },
                "lastSuccess": { "id": "e-1", "status": "SUCCESSFUL", "endedAt": "1969-12-31T21:00:00Z",
                    "stats": { "totalRows": 120, "totalErrorRows": 3 } },
                "lastFailure": { "id": "e-2", "status": "FAILED", "errorType": "SOURCE_UNRESPONSIVE" },
                "conditions": [
                    { "type": "Ready", "status": "True", "reason": "Observed", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" },
                    { "type": "Fresh", "status": "False", "reason": "Stale", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" },
                ],
            },
        }))
        .unwrap();
        let unseen: NuvoPipeline =
            serde_json::from_value(json!({ "metadata": { "name": "new", "namespace": "team" }, "spec": { "pipelineId": "p-2" } })).unwrap();
        let lines = |wide| pipeline_table(&[seen.clone(), unseen.clone()], true, wide, Timestamp::UNIX_EPOCH);
        assert_eq!(
            lines(false),
            "\
NAMESPACE   NAME         PIPELINE   LAST         TRIGGER     ROWS   ERROR ROWS   FRESH   LAST SUCCESS   AGE
team        deliveries   p-1        PROCESSING   SCHEDULED   120    3            False   3h00m          24h00m
team        new          p-2
"
        );
        let wide = lines(true);
        assert!(wide.contains("Deliveries     Observed   SOURCE_UNRESPONSIVE   2         DAILY x 1   true     default"), "{wide}");
        assert!(wide.contains("Unseen"), "{wide}");
    }
}
