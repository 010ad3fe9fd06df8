//! Everything about a run, for a person who wants to know what to do.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    End, PluginError, list,
    place::Place,
    progress::tell,
    table::{ago, at, number, printable, table},
};
use nuvo_core::run::reason;
use nuvo_crds::{PipelineRun, PipelineRunStatus, conditions, conditions::Reason};

/// Describes runs.
///
/// # Errors
/// [`PluginError::NoSuch`], [`PluginError::Api`].
pub async fn describe(place: &Place, names: &[String], now: Timestamp) -> Result<End, PluginError> {
    for (number, name) in names.iter().enumerate() {
        let run = place.run(name).await?;
        let gap = if number > 0 { "\n\n" } else { "" };
        tell(&format!("{gap}{}", text(&run, now)))?;
    }
    Ok(End::Done)
}

fn text(run: &PipelineRun, now: Timestamp) -> String {
    let status = run.status.clone().unwrap_or_default();
    let mut text = facts(run, &status, now);
    let mut section = |title: &str, body: String| {
        if !body.trim().is_empty() {
            text.push_str(&format!("\n{title}:\n"));
            for line in body.lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
    };
    section("What happened", what_happened(&status));
    section("What to do next", advice(run, &status).join("\n"));
    section("Executions", executions(&status));
    section("Passes", list::passes(&status.current.executions));
    section("Earlier attempts", earlier(&status));
    section("Conditions", conditions_of(&status, now));
    text
}

fn facts(run: &PipelineRun, status: &PipelineRunStatus, now: Timestamp) -> String {
    let retries = run.spec.retry.as_ref().map_or(0, |retry| retry.limit);
    let made = status.series.retry.as_ref().map_or(0, |retry| retry.count);
    let attempt = match (status.attempt, retries) {
        (None, _) => String::new(),
        (Some(attempt), 0) => attempt.to_string(),
        (Some(attempt), retries) => format!("{attempt} ({made} of {retries} retries)"),
    };
    let why = reason(status).map(|reason| format!(" ({reason})")).unwrap_or_default();
    let age = |time: &str, ago: String| if time.is_empty() { String::new() } else { format!("{time} ({ago} ago)") };
    let started = age(&at(status.series.start_time.as_ref()), ago(status.series.start_time.as_ref(), now));
    let ended = age(&at(status.current.completion_time.as_ref()), ago(status.current.completion_time.as_ref(), now));
    let facts = [
        ("Name", run.name_any()),
        ("Namespace", run.namespace().unwrap_or_default()),
        ("Pipeline", run.spec.pipeline_id.clone()),
        ("Account", run.spec.account_ref.name.clone()),
        ("Status", format!("{}{why}", list::phase(status))),
        ("Attempt", attempt),
        ("Started", started),
        ("Ended", ended),
        ("Duration", status.current.duration.clone().unwrap_or_default()),
    ];
    let line = |(name, value): (&str, String)| format!("{:<11}{}\n", format!("{name}:"), printable(&value));
    facts.into_iter().filter(|(_, value)| !value.is_empty()).map(line).collect()
}

fn what_happened(status: &PipelineRunStatus) -> String {
    let said = |kind: &str| conditions::find(&status.conditions, kind).map(|condition| printable(&condition.message));
    let kinds = [conditions::SUCCEEDED, conditions::DEVELOPER_MODE, conditions::DELETION_BLOCKED];
    let said: Vec<String> = kinds.into_iter().filter_map(said).flat_map(|message| wrapped(&message, 100)).collect();
    if said.is_empty() { "The operator has not seen this run yet.".to_owned() } else { said.join("\n") }
}

/// Lines of whole words, no longer than this where that is possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(word.chars().count()) < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The commands that help in this state.
fn advice(run: &PipelineRun, status: &PipelineRunStatus) -> Vec<String> {
    let name = run.name_any();
    let here = run.namespace().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let command = |command: &str| format!("$ kubectl nuvo {command} {name}{here}");
    let again = |cause: &str| vec![format!("{cause}, then start another attempt:"), command("rerun")];
    let Some(reason) = reason(status) else {
        return vec!["See whether the operator runs, and whether it watches this namespace.".to_owned()];
    };
    match reason {
        Reason::ExecutionFailed => again("Fix the cause named above"),
        Reason::QualityGateFailed => again("Fix the data, or the limits in spec.qualityGate"),
        Reason::TriggerRejected => again("Correct the pipeline in nuvo, or the permissions of the account"),
        Reason::DeadlineExceeded => again("Look in nuvo whether it still runs, and raise spec.activeDeadlineSeconds if it needs longer"),
        Reason::ExecutionLost => again("Look for the execution in nuvo"),
        Reason::NothingToProcessFailed => again("Provide input for the pipeline"),
        Reason::InvalidSpec => vec!["Create a corrected PipelineRun.".to_owned()],
        Reason::TriggerOutcomeUnknown | Reason::StatusLost => vec![
            format!("Look in nuvo whether pipeline {} ran, then answer one of:", run.spec.pipeline_id),
            format!("{} --adopt <execution id>   # this is what it started", command("resolve")),
            format!("{} --retry                  # nothing was started: try again", command("resolve")),
            format!("{} --abandon                # close it", command("resolve")),
        ],
        Reason::AccountNotReady => {
            vec!["Fix the account; the run then goes on by itself:".to_owned(), format!("$ kubectl nuvo accounts{here}")]
        }
        Reason::Suspended => vec!["Let it go on:".to_owned(), command("resume")],
        Reason::Pending
        | Reason::PipelineBusy
        | Reason::NuvoUnavailable
        | Reason::RateLimited
        | Reason::TriggerUnconfirmed
        | Reason::Running
        | Reason::RetryScheduled => vec!["Nothing: it goes on by itself. To see its end:".to_owned(), command("wait")],
        Reason::Succeeded | Reason::NothingToProcess | Reason::FixedInNuvo => Vec::new(),
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
                at(past.start_time.as_ref()),
                at(past.completion_time.as_ref()),
                past.execution_ids.join(","),
            ]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&["ATTEMPT", "RESULT", "ERROR", "STARTED", "ENDED", "EXECUTIONS"], &rows) }
}

fn conditions_of(status: &PipelineRunStatus, now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = status
        .conditions
        .iter()
        .map(|condition| {
            vec![
                condition.type_.clone(),
                condition.status.clone(),
                condition.reason.clone(),
                ago(Some(&condition.last_transition_time), now),
            ]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&["TYPE", "STATUS", "REASON", "AGE"], &rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_says_what_to_do_or_needs_nothing() {
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
            let told = text(&run, Timestamp::UNIX_EPOCH);
            let fine = wanted.status() == conditions::ConditionStatus::True;
            assert_eq!(told.contains("What to do next"), !fine, "{told}");
            assert!(told.contains("What happened:\n  because") && told.contains(wanted.as_str()), "{told}");
            assert!(fine || told.contains("$ kubectl nuvo ") || *wanted == Reason::InvalidSpec, "{told}");
        }
    }

    #[test]
    fn long_messages_are_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensibilities a", 5), ["incomprehensibilities", "a"]);
    }
}
