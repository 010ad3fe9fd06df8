//! `kubectl nuvo describe`: all details of a run, and what to do next.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nuvo_core::run::reason;
use nuvo_crds::{PipelineRun, PipelineRunStatus, conditions, conditions::Reason};

use super::{
    cluster_context::ClusterContext,
    description::{Description, condition_table, messages, time_and_age},
    error::PluginError,
    exit_status::ExitStatus,
    history,
    output::print,
    table::{number, phase, printable, table, time},
};

/// Describes runs.
///
/// # Errors
/// [`PluginError::NotFound`], [`PluginError::Api`].
pub async fn describe(context: &ClusterContext, names: &[String], now: Timestamp) -> Result<ExitStatus, PluginError> {
    for (number, name) in names.iter().enumerate() {
        let run = context.run(name).await?;
        let gap = if number > 0 { "\n\n" } else { "" };
        print(&format!("{gap}{}", text(&run, now)))?;
    }
    Ok(ExitStatus::Success)
}

fn text(run: &PipelineRun, now: Timestamp) -> String {
    let status = run.status.clone().unwrap_or_default();
    let mut text = Description::of(&facts(run, &status, now));
    text.section("What happened", &what_happened(&status));
    text.section("What to do next", &advice(run, &status).join("\n"));
    text.section("Executions", &executions(&status));
    text.section("Passes", &history::passes(&status.current.executions));
    text.section("Earlier attempts", &earlier(&status));
    text.section("Conditions", &condition_table(&status.conditions, now));
    text.0
}

fn facts(run: &PipelineRun, status: &PipelineRunStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let retries = run.spec.retry.as_ref().map_or(0, |retry| retry.limit);
    let made = status.series.retry.as_ref().map_or(0, |retry| retry.count);
    let attempt = match (status.attempt, retries) {
        (None, _) => String::new(),
        (Some(attempt), 0) => attempt.to_string(),
        (Some(attempt), retries) => format!("{attempt} ({made} of {retries} retries)"),
    };
    let why = reason(status).map(|reason| format!(" ({reason})")).unwrap_or_default();
    let started = time_and_age(status.series.start_time.as_ref(), now);
    let ended = time_and_age(status.current.completion_time.as_ref(), now);
    vec![
        ("Name", run.name_any()),
        ("Namespace", run.namespace().unwrap_or_default()),
        ("Pipeline", run.spec.pipeline_id.clone()),
        ("Account", run.spec.account_ref.name.clone()),
        ("Status", format!("{}{why}", phase(status))),
        ("Attempt", attempt),
        ("Started", started),
        ("Ended", ended),
        ("Duration", status.current.duration.clone().unwrap_or_default()),
    ]
}

fn what_happened(status: &PipelineRunStatus) -> String {
    let kinds = [conditions::SUCCEEDED, conditions::UNWATCHED, conditions::DEVELOPER_MODE, conditions::DELETION_BLOCKED];
    let said = messages(&status.conditions, &kinds);
    if said.is_empty() { "The operator has not seen this run yet.".to_owned() } else { said }
}

/// The next step in this state, with its command.
fn advice(run: &PipelineRun, status: &PipelineRunStatus) -> Vec<String> {
    let name = run.name_any();
    let here = run.namespace().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let command = |command: &str| format!("$ kubectl nuvo {command} {name}{here}");
    let again = |cause: &str| vec![format!("{cause}, then start another attempt:"), command("rerun")];
    let Some(reason) = reason(status) else {
        return vec!["Check that the operator is running and watches this namespace.".to_owned()];
    };
    if conditions::find(&status.conditions, conditions::UNWATCHED).is_some() {
        return vec!["Set the label again that the operator selects runs by; the run then continues by itself.".to_owned()];
    }
    match reason {
        Reason::ExecutionFailed => again("Fix the cause named above"),
        Reason::QualityGateFailed => again("Fix the data, or the limits in spec.qualityGate"),
        Reason::TriggerRejected => again("Fix the pipeline in nuvo, or the permissions of the account"),
        Reason::DeadlineExceeded => {
            again("Check in nuvo whether it is still running, and raise spec.activeDeadlineSeconds if it needs longer")
        }
        Reason::StartDeadlineExceeded => again("Find out why it had to wait, or raise spec.startDeadlineSeconds"),
        Reason::SlotNotClaimed => vec!["Look at the schedule that made it. To start this run all the same:".to_owned(), command("rerun")],
        Reason::ExecutionLost => again("Look for the execution in nuvo"),
        Reason::NothingToProcessFailed => again("Provide input for the pipeline"),
        Reason::InvalidSpec => vec!["Create a new PipelineRun with a valid spec.".to_owned()],
        Reason::TriggerOutcomeUnknown | Reason::StatusLost => vec![
            format!("Check in nuvo whether pipeline {} ran, then choose one of:", run.spec.pipeline_id),
            format!("{} --adopt <execution id>   # this is the execution that it started", command("resolve")),
            format!("{} --retry                  # nothing was started: try again", command("resolve")),
            format!("{} --abandon                # close it", command("resolve")),
        ],
        Reason::AccountNotReady => {
            vec!["Fix the account; the run then continues by itself:".to_owned(), format!("$ kubectl nuvo accounts{here}")]
        }
        Reason::Suspended => vec!["Resume it:".to_owned(), command("resume")],
        Reason::Pending
        | Reason::PipelineBusy
        | Reason::PipelineRunning
        | Reason::NuvoUnavailable
        | Reason::RateLimited
        | Reason::TriggerUnconfirmed
        | Reason::Running
        | Reason::RetryScheduled => vec!["Nothing: it continues by itself. To wait for its end:".to_owned(), command("wait")],
        Reason::Succeeded | Reason::NothingToProcess | Reason::FixedInNuvo | Reason::Skipped => Vec::new(),
    }
}

fn executions(status: &PipelineRunStatus) -> String {
    let rows: Vec<Vec<String>> = status
        .current
        .executions
        .iter()
        .map(|execution| {
            let (stats, error) = (execution.stats.unwrap_or_default(), execution.error.clone().unwrap_or_default());
            vec![
                execution.id.clone(),
                execution.status.clone().unwrap_or_default(),
                error.error_type.unwrap_or_default(),
                number(stats.total_rows),
                number(stats.total_error_rows),
                number(stats.total_cells),
                number(stats.total_error_cells),
                error.message.unwrap_or_default(),
            ]
        })
        .collect();
    let mut text = if rows.is_empty() {
        status.current.execution_ids.iter().map(|id| format!("{}\n", printable(id))).collect()
    } else {
        table(&["EXECUTION", "STATUS", "ERROR", "ROWS", "ERROR ROWS", "CELLS", "ERROR CELLS", "MESSAGE"], &rows)
    };
    let hidden = status.current.execution_ids.len().saturating_sub(rows.len());
    if !rows.is_empty() && hidden > 0 {
        text.push_str(&format!("and {hidden} more (status.executionIds)\n"));
    }
    text
}

fn earlier(status: &PipelineRunStatus) -> String {
    let rows: Vec<Vec<String>> = status
        .history
        .iter()
        .map(|past| {
            vec![
                past.attempt.to_string(),
                past.result.clone().unwrap_or_default(),
                past.error_type.clone().unwrap_or_default(),
                time(past.start_time.as_ref()),
                time(past.completion_time.as_ref()),
                past.execution_ids.join(","),
            ]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&["ATTEMPT", "RESULT", "ERROR", "STARTED", "ENDED", "EXECUTIONS"], &rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_for_every_reason_has_advice_or_needs_none() {
        for wanted in Reason::ALL {
            let run: PipelineRun = serde_json::from_value(serde_json::json!({
                "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "orders", "namespace": "team" },
                "spec": { "pipelineId": "orders" },
                "status": { "conditions": [{
                    "type": "Succeeded", "status": wanted.status().as_str(), "reason": wanted.as_str(), "message": "because",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }] },
            }))
            .unwrap();
            let description = text(&run, Timestamp::UNIX_EPOCH);
            let fine = wanted.status() == conditions::ConditionStatus::True;
            assert_eq!(description.contains("What to do next"), !fine, "{description}");
            assert!(description.contains("What happened:\n  because") && description.contains(wanted.as_str()), "{description}");
            assert!(fine || description.contains("$ kubectl nuvo ") || *wanted == Reason::InvalidSpec, "{description}");
        }
    }

    #[test]
    fn unwatched_run_does_not_continue_by_itself() {
        let condition = |type_: &str, status: &str, reason: &str, message: &str| {
            serde_json::json!({
                "type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let conditions =
            [condition("Succeeded", "Unknown", "Running", "It runs."), condition("Unwatched", "True", "NotSelected", "No label.")];
        let run: PipelineRun = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "orders" }, "spec": { "pipelineId": "orders" }, "status": { "conditions": conditions },
        }))
        .unwrap();
        let description = text(&run, Timestamp::UNIX_EPOCH);
        assert!(description.contains("It runs.\n  No label.") && description.contains("Set the label again"), "{description}");
        assert!(!description.contains("Nothing"), "{description}");
    }
}
