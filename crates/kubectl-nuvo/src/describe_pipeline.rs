//! `kubectl nuvo pipeline describe`: how fresh the data of a pipeline is, its last executions, and what to do next.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nuvo_crds::{
    NuvoPipeline, NuvoPipelineStatus, SeenExecution, Stats,
    conditions::{
        self, FRESH, FreshReason, LAST_EXECUTION_SUCCEEDED, LastExecutionReason, ObservationReason, QUALITY_GATE_PASSED, QualityGateReason,
        READY,
    },
};

use super::{
    args::PipelineDescribeArgs,
    cluster_context::ClusterContext,
    description::{Description, condition_table, messages, time_and_age},
    error::PluginError,
    exit_status::ExitStatus,
    output::print,
    pipeline_check::Verdict,
    table::{age, milliseconds, number, table, time},
};

/// Describes NuvoPipelines. With `--check`, the worst verdict is the exit code.
///
/// # Errors
/// [`PluginError::NotFound`], [`PluginError::Api`].
pub async fn describe(context: &ClusterContext, args: &PipelineDescribeArgs, now: Timestamp) -> Result<ExitStatus, PluginError> {
    let mut worst = Verdict::Good;
    for (number, name) in args.names.iter().enumerate() {
        let pipeline: NuvoPipeline = context.get(name, "NuvoPipeline", "pipeline list").await?;
        let gap = if number > 0 { "\n\n" } else { "" };
        print(&format!("{gap}{}", text(&pipeline, now)))?;
        worst = worst.max(Verdict::on(&pipeline));
    }
    Ok(if args.check { worst.exit_status() } else { ExitStatus::Success })
}

fn text(pipeline: &NuvoPipeline, now: Timestamp) -> String {
    let status = pipeline.status.clone().unwrap_or_default();
    let mut text = Description::of(&facts(pipeline, &status, now));
    let kinds = [READY, FRESH, LAST_EXECUTION_SUCCEEDED, QUALITY_GATE_PASSED, conditions::DEVELOPER_MODE];
    let said = messages(&status.conditions, &kinds);
    text.section("What happened", if said.is_empty() { "The operator has not seen this NuvoPipeline yet." } else { &said });
    text.section("What to do next", &advice(pipeline, &status).join("\n"));
    text.section("Last executions", &executions(&status, now));
    text.section("Running", &running(&status, now));
    text.section("Conditions", &condition_table(&status.conditions, now));
    text.0
}

fn facts(pipeline: &NuvoPipeline, status: &NuvoPipelineStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let word = |kind: &str| {
        let found = conditions::find(&status.conditions, kind);
        found.map(|condition| format!("{} ({})", condition.status, condition.reason)).unwrap_or_default()
    };
    let name = status.about.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let result = |execution: &Option<SeenExecution>| {
        let ended = time_and_age(execution.as_ref().and_then(|execution| execution.ended_at.as_ref()), now);
        let rows = execution.as_ref().and_then(|execution| execution.stats).map(rows).unwrap_or_default();
        if ended.is_empty() { rows } else { format!("{ended}{}{rows}", if rows.is_empty() { "" } else { ", " }) }
    };
    let error = status.last_failure.as_ref().and_then(|failure| failure.error_type.as_ref());
    let failure = error.map(|error| format!(", {error}")).unwrap_or_default();
    vec![
        ("Name", pipeline.name_any()),
        ("Namespace", pipeline.namespace().unwrap_or_default()),
        ("Pipeline", format!("{}{name}", pipeline.spec.pipeline_id)),
        ("Account", pipeline.spec.account_ref.name.clone()),
        ("In nuvo", in_nuvo(status)),
        ("Ready", word(READY)),
        ("Fresh", word(FRESH)),
        ("Last success", result(&status.last_success)),
        ("Last failure", status.last_failure.as_ref().map(|_| format!("{}{failure}", result(&status.last_failure))).unwrap_or_default()),
    ]
}

fn in_nuvo(status: &NuvoPipelineStatus) -> String {
    let about = &status.about;
    let active = about.active_in_nuvo.map(|active| if active { "active" } else { "switched off" }.to_owned());
    let flag = |set: Option<bool>, word: &str| set.filter(|set| *set).map(|_| word.to_owned());
    let schedule = about.nuvo_schedule.as_ref().map(|schedule| format!("schedule {schedule}"));
    let words = [active, flag(about.draft, "draft"), flag(about.developer_mode, "developer mode"), about.input_trigger.clone(), schedule];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn rows(stats: Stats) -> String {
    match (stats.total_rows, stats.total_error_rows) {
        (Some(rows), Some(errors)) if errors > 0 => format!("{rows} rows, {errors} with errors"),
        (Some(rows), _) => format!("{rows} rows"),
        (None, _) => String::new(),
    }
}

/// The next step for each condition that is not as it should be.
fn advice(pipeline: &NuvoPipeline, status: &NuvoPipelineStatus) -> Vec<String> {
    fn reason<T>(status: &NuvoPipelineStatus, kind: &str, parse: impl Fn(&str, &str) -> Option<T>) -> Option<T> {
        let condition = conditions::find(&status.conditions, kind)?;
        parse(&condition.reason, &condition.status)
    }
    let Some(observation) = reason(status, READY, ObservationReason::parse) else {
        return vec!["Check that the operator is running and watches this namespace.".to_owned()];
    };
    let steps = [
        of_observation(pipeline, observation),
        reason(status, FRESH, FreshReason::parse).and_then(of_freshness),
        reason(status, LAST_EXECUTION_SUCCEEDED, LastExecutionReason::parse).and_then(of_last_execution),
        reason(status, QUALITY_GATE_PASSED, QualityGateReason::parse).and_then(of_quality_gate),
    ];
    steps.into_iter().flatten().collect()
}

fn of_observation(pipeline: &NuvoPipeline, reason: ObservationReason) -> Option<String> {
    let here = pipeline.namespace().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    match reason {
        ObservationReason::Observed => None,
        ObservationReason::Pending => Some("Nothing: the first look follows by itself.".to_owned()),
        ObservationReason::CatchingUp => Some("Nothing: the next looks read the rest.".to_owned()),
        ObservationReason::Suspended => Some("Set spec.suspend to false to have it observed again.".to_owned()),
        ObservationReason::AccountNotReady | ObservationReason::NuvoUnavailable => {
            Some(format!("Look at the account; the pipeline is then observed by itself:\n$ kubectl nuvo accounts{here}"))
        }
        ObservationReason::PipelineForbidden => {
            Some("Give the identity of the account the permission execution.read in nuvo, and access to this pipeline.".to_owned())
        }
        ObservationReason::OrderUnknown => Some("Report it: this nuvo does not answer as its documentation says.".to_owned()),
        ObservationReason::TooManyPipelines => {
            Some("Delete NuvoPipelines of this account that are not needed, or use another account.".to_owned())
        }
        ObservationReason::PipelineNotFound => {
            Some("Create a new NuvoPipeline with the id that nuvo shows, and delete this one.".to_owned())
        }
        ObservationReason::InvalidSpec => Some("Correct the field that is named above.".to_owned()),
    }
}

fn of_freshness(reason: FreshReason) -> Option<String> {
    match reason {
        FreshReason::Fresh => None,
        FreshReason::Stale | FreshReason::NeverSucceeded => Some(
            "Find out in nuvo why no newer execution has succeeded: is the pipeline active, and did its schedule or event come?".to_owned(),
        ),
        FreshReason::Pending => Some("Nothing: the first execution that counts has not succeeded yet, and still has time.".to_owned()),
        FreshReason::NotObserved => Some("Nothing about the data: whether it is fresh is known after the next complete look.".to_owned()),
        FreshReason::ClockInDoubt => Some("Set the clock of the operator's node.".to_owned()),
    }
}

fn of_last_execution(reason: LastExecutionReason) -> Option<String> {
    match reason {
        LastExecutionReason::Succeeded | LastExecutionReason::FixedInNuvo => None,
        LastExecutionReason::ExecutionFailed => {
            Some("Fix the cause of the failure, then repair the execution in nuvo or start the pipeline again.".to_owned())
        }
    }
}

fn of_quality_gate(reason: QualityGateReason) -> Option<String> {
    match reason {
        QualityGateReason::Passed | QualityGateReason::NotRead => None,
        QualityGateReason::QualityGateFailed => Some("Fix the data, or the limits in spec.qualityGate.".to_owned()),
    }
}

fn executions(status: &NuvoPipelineStatus, now: Timestamp) -> String {
    let row = |execution: &SeenExecution| {
        let stats = execution.stats.unwrap_or_default();
        vec![
            execution.id.clone(),
            execution.status.clone(),
            execution.trigger_type.clone().unwrap_or_default(),
            time(execution.created_at.as_ref()),
            execution.ended_at.as_ref().map(|ended| format!("{} ago", age(Some(ended), now))).unwrap_or_default(),
            milliseconds(stats.duration_milliseconds),
            number(stats.total_rows),
            number(stats.total_error_rows),
            execution.error_type.clone().unwrap_or_default(),
            execution.created_by.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = status.recent.iter().map(row).collect();
    let header = ["EXECUTION", "STATUS", "TRIGGER", "CREATED", "ENDED", "TOOK", "ROWS", "ERROR ROWS", "ERROR", "CREATED BY"];
    if rows.is_empty() { String::new() } else { table(&header, &rows) }
}

fn running(status: &NuvoPipelineStatus, now: Timestamp) -> String {
    let row = |execution: &nuvo_crds::RunningExecution| {
        let created = execution.created_at.as_ref();
        vec![execution.id.clone(), execution.trigger_type.clone().unwrap_or_default(), time(created), age(created, now)]
    };
    let rows: Vec<Vec<String>> = status.running.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { table(&["EXECUTION", "TRIGGER", "CREATED", "AGE"], &rows) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn described(status: Value) -> String {
        let pipeline = json!({
            "metadata": { "name": "deliveries", "namespace": "team" },
            "spec": { "pipelineId": "p-1", "freshness": { "maxAgeSeconds": 3600 } },
            "status": status,
        });
        text(&serde_json::from_value(pipeline).unwrap(), Timestamp::UNIX_EPOCH)
    }

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({ "type": kind, "status": status, "reason": reason, "message": format!("{kind} says {reason}."),
            "lastTransitionTime": "1969-12-31T23:00:00Z" })
    }

    #[test]
    fn description_of_a_stale_pipeline_shows_freshness_and_the_last_executions() {
        let success = json!({ "id": "e-1", "status": "SUCCESSFUL", "triggerType": "SCHEDULED", "createdAt": "1969-12-31T20:59:00Z",
            "endedAt": "1969-12-31T21:00:00Z", "createdBy": "nuvo (SYSTEM)",
            "stats": { "totalRows": 120, "totalErrorRows": 3, "durationMilliseconds": 60000 } });
        let failure = json!({ "id": "e-2", "status": "FAILED", "triggerType": "EVENT", "createdAt": "1969-12-31T22:00:00Z",
            "endedAt": "1969-12-31T22:30:00Z", "errorType": "SOURCE_UNRESPONSIVE", "createdBy": "nuvo (SYSTEM)" });
        let found = described(json!({
            "name": "Deliveries", "activeInNuvo": true, "developerMode": true, "inputTrigger": "TIME_BASE", "nuvoSchedule": "DAILY x 1",
            "running": [{ "id": "e-3", "triggerType": "SCHEDULED", "createdAt": "1969-12-31T23:59:00Z" }],
            "lastSuccess": success, "lastFailure": failure, "recent": [failure, success],
            "conditions": [
                condition("Ready", "True", "Observed"),
                condition("Fresh", "False", "Stale"),
                condition("LastExecutionSucceeded", "False", "ExecutionFailed"),
            ],
        }));
        assert_eq!(
            found,
            "\
Name:         deliveries
Namespace:    team
Pipeline:     p-1 (Deliveries)
Account:      default
In nuvo:      active, developer mode, TIME_BASE, schedule DAILY x 1
Ready:        True (Observed)
Fresh:        False (Stale)
Last success: 1969-12-31T21:00:00Z (3h00m ago), 120 rows, 3 with errors
Last failure: 1969-12-31T22:30:00Z (1h30m ago), SOURCE_UNRESPONSIVE

What happened:
  Ready says Observed.
  Fresh says Stale.
  LastExecutionSucceeded says ExecutionFailed.

What to do next:
  Find out in nuvo why no newer execution has succeeded: is the pipeline active, and did its schedule or event come?
  Fix the cause of the failure, then repair the execution in nuvo or start the pipeline again.

Last executions:
  EXECUTION   STATUS       TRIGGER     CREATED                ENDED       TOOK    ROWS   ERROR ROWS   ERROR                 CREATED BY
  e-2         FAILED       EVENT       1969-12-31T22:00:00Z   1h30m ago                               SOURCE_UNRESPONSIVE   nuvo (SYSTEM)
  e-1         SUCCESSFUL   SCHEDULED   1969-12-31T20:59:00Z   3h00m ago   1m00s   120    3                                  nuvo (SYSTEM)

Running:
  EXECUTION   TRIGGER     CREATED                AGE
  e-3         SCHEDULED   1969-12-31T23:59:00Z   1m00s

Conditions:
  TYPE                     STATUS   REASON            AGE
  Ready                    True     Observed          1h00m
  Fresh                    False    Stale             1h00m
  LastExecutionSucceeded   False    ExecutionFailed   1h00m
"
        );
    }

    #[test]
    fn description_of_a_pipeline_that_was_not_seen_says_so() {
        let found = described(json!({}));
        assert!(found.contains("The operator has not seen this NuvoPipeline yet."), "{found}");
        assert!(found.contains("Check that the operator is running"), "{found}");
    }

    #[test]
    fn description_for_every_reason_has_advice_or_needs_none() {
        let said = |kind: &str, status: &str, reason: &str| {
            let others = if kind == READY { vec![] } else { vec![condition(READY, "True", "Observed")] };
            let all = [others, vec![condition(kind, status, reason)]].concat();
            let found = described(json!({ "conditions": all }));
            assert!(found.contains(&format!("{kind} says {reason}.")), "{found}");
            found.contains("What to do next")
        };
        for reason in ObservationReason::ALL {
            let fine = *reason == ObservationReason::Observed;
            assert_eq!(said(READY, reason.status().as_str(), reason.as_str()), !fine, "{reason}");
        }
        for reason in FreshReason::ALL {
            assert_eq!(said(FRESH, reason.status().as_str(), reason.as_str()), *reason != FreshReason::Fresh, "{reason}");
        }
        for reason in LastExecutionReason::ALL {
            let failed = *reason == LastExecutionReason::ExecutionFailed;
            assert_eq!(said(LAST_EXECUTION_SUCCEEDED, reason.status().as_str(), reason.as_str()), failed, "{reason}");
        }
        for reason in QualityGateReason::ALL {
            let failed = *reason == QualityGateReason::QualityGateFailed;
            assert_eq!(said(QUALITY_GATE_PASSED, reason.status().as_str(), reason.as_str()), failed, "{reason}");
        }
    }
}
