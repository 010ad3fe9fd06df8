use k8s_openapi::jiff::Timestamp;
use nuvo_core::pipeline::{ObservedState, Report};
use nuvo_crds::conditions::ConditionStatus;

use super::*;

fn touched() -> Arc<Metrics> {
    let metrics = Metrics::new();
    metrics.trigger(TriggerOutcome::Accepted);
    metrics.run_finished(RunResult::Failure, "SOURCE_UNRESPONSIVE");
    metrics.run_duration(92.0);
    metrics.nuvo_request(Operation::Read, Code::Status(200), Duration::from_millis(120));
    metrics.kube_write("pipelineruns");
    metrics.account_ready("team", "default", true);
    metrics.budget_wait(Duration::from_millis(5));
    metrics.reconciled("PipelineRun", true, Duration::from_millis(5));
    metrics.watch_failed("PipelineRun");
    metrics.watch_up("PipelineRun", "team", true);
    metrics.set_oldest_runs([("Running", 60)]);
    metrics.set_waiting_runs(&HashMap::from([((Reason::PipelineBusy, WaitAge::Long), 2), ((Reason::Running, WaitAge::Long), 1)]));
    metrics.clock_skew(-0.5);
    metrics.definition_gaps("PipelineRun", 1);
    metrics.leader(true);
    metrics.set_pipelineruns([("Running", 2)]);
    observe(&metrics);
    metrics.schedule("team", "nightly", &scheduled("Scheduled"));
    metrics.slot_started("team", "nightly", SignedDuration::from_millis(1_500));
    metrics
}

/// The status of a schedule whose condition `Ready` has this reason.
fn scheduled(reason: &str) -> PipelineScheduleStatus {
    let status = if reason == "Scheduled" { "True" } else { "False" };
    serde_json::from_value(serde_json::json!({
        "conditions": [
            { "type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-11-29T10:00:00Z" },
        ],
        "lastSuccessfulTime": "1970-01-01T00:10:00Z",
        "nextScheduleTime": "1970-01-01T00:20:00Z",
    }))
    .unwrap()
}

/// Shows a pipeline of which everything is known.
fn observe(metrics: &Metrics) {
    let object: NuvoPipeline = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "orders", "namespace": "team" },
        "spec": { "pipelineId": "orders" },
    }))
    .unwrap();
    let stats = serde_json::json!({ "totalRows": 40, "totalErrorRows": 2, "durationMilliseconds": 1_500 });
    let execution = serde_json::json!({
        "id": "e1", "status": "SUCCESSFUL", "createdAt": "2026-11-29T10:00:00Z", "endedAt": "2026-11-29T10:00:05Z", "stats": stats,
    });
    let condition = |type_: &str| serde_json::json!({ "type": type_, "status": "True", "reason": "Because", "message": "", "lastTransitionTime": "2026-11-29T10:00:00Z" });
    let status: NuvoPipelineStatus = serde_json::from_value(serde_json::json!({
        "conditions": [condition("Fresh"), condition("LastExecutionSucceeded")],
        "lastExecution": execution, "lastSuccess": execution,
    }))
    .unwrap();
    let observed =
        Observed { report: Some(Report::default()), complete: Some(Timestamp::UNIX_EPOCH), ..Observed::nothing(ObservedState::Observed) };
    metrics.pipeline(&object, &status, &observed, &Counts::default());
}

#[test]
fn metric_is_exposed_exactly_as_listed() {
    let exposition = touched().encode();
    for Description { name, kind, labels, help } in ALL {
        let family = name.strip_suffix("_total").unwrap_or(name);
        assert!(exposition.contains(&format!("# TYPE {family} {kind}\n")), "{name}\n{exposition}");
        assert!(exposition.contains(&format!("# HELP {family} {help}.\n")), "{name}\n{exposition}");
        let sample = if *kind == "histogram" { format!("{name}_count") } else { (*name).to_owned() };
        let line = exposition.lines().find(|line| line.strip_prefix(&sample).is_some_and(|rest| rest.starts_with([' ', '{'])));
        let line = line.unwrap_or_else(|| panic!("no sample of {sample}\n{exposition}"));
        for label in *labels {
            assert!(line.contains(&format!("{label}=\"")), "{line}");
        }
    }
    assert!(!exposition.contains("_total_total"));
    assert_eq!(exposition.matches("# TYPE").count(), ALL.len());
    assert!(exposition.ends_with("# EOF\n"));
}

#[test]
fn unknown_word_does_not_become_a_label() {
    let metrics = Metrics::new();
    metrics.run_finished(RunResult::Failure, "MADE_UP_17");
    metrics.run_finished(RunResult::Success, "");
    metrics.nuvo_request(Operation::List, Code::Status(600), Duration::ZERO);
    metrics.nuvo_request(Operation::List, Code::Timeout, Duration::ZERO);
    metrics.set_pipelineruns([("MadeUp", 1), ("Failed", 3)]);
    metrics.set_oldest_runs([("MadeUp", 1), ("Failed", 3), ("Failed", 2)]);
    metrics.run_duration(f64::NAN);
    let exposition = metrics.encode();
    for line in [
        r#"nuvo_operator_runs_finished_total{result="failure",error_type="other"} 1"#,
        r#"nuvo_operator_runs_finished_total{result="success",error_type=""} 1"#,
        r#"nuvo_operator_nuvo_requests_total{operation="list",code="malformed"} 1"#,
        r#"nuvo_operator_nuvo_requests_total{operation="list",code="timeout"} 1"#,
        r#"nuvo_operator_pipelineruns{phase="Failed"} 3"#,
        r#"nuvo_operator_pipelineruns{phase="Running"} 0"#,
        r#"nuvo_operator_oldest_run_seconds{phase="Failed"} 3"#,
        r#"nuvo_operator_oldest_run_seconds{phase="Running"} 0"#,
        r#"nuvo_operator_triggers_total{outcome="unknown"} 0"#,
        "nuvo_operator_run_duration_seconds_count 0",
    ] {
        assert!(exposition.contains(line), "{line}\n{exposition}");
    }
    assert!(!exposition.contains("MADE_UP") && !exposition.contains("MadeUp"));
}

#[test]
fn deleted_account_is_not_exposed() {
    let metrics = touched();
    assert!(metrics.encode().contains(r#"nuvo_operator_account_ready{namespace="team",account="default"} 1"#));
    metrics.forget_account("team", "default");
    assert!(!metrics.encode().contains("nuvo_operator_account_ready{"));
}

#[test]
fn deleted_pipeline_leaves_no_series() {
    let metrics = touched();
    for line in [
        r#"nuvo_pipeline_executions_total{namespace="team",name="orders",pipeline_id="orders",trigger="EVENT",result="failure",error_type=""} 0"#,
        r#"nuvo_pipeline_last_rows{namespace="team",name="orders",pipeline_id="orders"} 40"#,
    ] {
        assert!(metrics.encode().contains(line), "{line}\n{}", metrics.encode());
    }
    metrics.forget_pipeline("team", "orders");
    assert!(!metrics.encode().contains("nuvo_pipeline_"), "{}", metrics.encode());
}

#[test]
fn schedule_shows_its_slots_its_next_one_and_one_reason() {
    let metrics = touched();
    metrics.slots_missed("team", "nightly", MissedReason::StillRunning, 3);
    metrics.schedule("team", "nightly", &scheduled("NameTaken"));
    let exposition = metrics.encode();
    for line in [
        r#"nuvo_schedule_ready{namespace="team",name="nightly",reason="NameTaken"} 0"#,
        r#"nuvo_schedule_slots_total{namespace="team",name="nightly",result="started",reason=""} 1"#,
        r#"nuvo_schedule_slots_total{namespace="team",name="nightly",result="missed",reason="StillRunning"} 3"#,
        r#"nuvo_schedule_slots_total{namespace="team",name="nightly",result="missed",reason="TooLate"} 0"#,
        r#"nuvo_schedule_last_success_timestamp_seconds{namespace="team",name="nightly"} 600.0"#,
        r#"nuvo_schedule_next_timestamp_seconds{namespace="team",name="nightly"} 1200.0"#,
        r#"nuvo_operator_schedule_lag_seconds_bucket{le="1.0"} 0"#,
        r#"nuvo_operator_schedule_lag_seconds_bucket{le="2.5"} 1"#,
    ] {
        assert!(exposition.contains(&format!("{line}\n")), "{line}\n{exposition}");
    }
    assert_eq!(exposition.matches("nuvo_schedule_ready{").count(), 1, "{exposition}");
    assert_eq!(exposition.matches("nuvo_schedule_slots_total{").count(), MissedReason::ALL.len() + 1, "{exposition}");
}

#[test]
fn schedule_that_will_not_start_has_no_next_slot() {
    let metrics = touched();
    metrics.schedule("team", "nightly", &PipelineScheduleStatus { next_schedule_time: None, ..scheduled("InvalidSchedule") });
    let exposition = metrics.encode();
    assert!(!exposition.contains("nuvo_schedule_next_timestamp_seconds{"), "{exposition}");
    assert!(exposition.contains(r#"reason="InvalidSchedule"} 0"#), "{exposition}");
}

#[test]
fn deleted_schedule_leaves_no_series() {
    let metrics = touched();
    metrics.schedule("team", "weekly", &scheduled("Scheduled"));
    metrics.forget_schedule("team", "nightly");
    let exposition = metrics.encode();
    assert!(!exposition.contains("nightly") && exposition.contains("weekly"), "{exposition}");
    metrics.forget_objects();
    assert!(!metrics.encode().contains("nuvo_schedule_"), "what another process leads is not shown");
}

#[test]
fn kind_is_exposed_at_zero_before_its_first_reconcile() {
    let metrics = Metrics::new();
    metrics.expose_kind("PipelineRun");
    let exposition = metrics.encode();
    for line in [
        r#"nuvo_operator_reconciles_total{kind="PipelineRun",result="ok"} 0"#,
        r#"nuvo_operator_reconciles_total{kind="PipelineRun",result="error"} 0"#,
        r#"nuvo_operator_reconcile_duration_seconds_count{kind="PipelineRun"} 0"#,
        r#"nuvo_operator_watch_failures_total{kind="PipelineRun"} 0"#,
    ] {
        assert!(exposition.contains(line), "{line}\n{exposition}");
    }
}

#[test]
fn waits_are_exposed_for_all_reasons_that_a_waiting_run_can_have() {
    let exposition = touched().encode();
    for line in [
        r#"nuvo_operator_waiting_runs{reason="PipelineBusy",age="long"} 2"#,
        r#"nuvo_operator_waiting_runs{reason="PipelineBusy",age="short"} 0"#,
        r#"nuvo_operator_waiting_runs{reason="StatusLost",age="forgotten"} 0"#,
    ] {
        assert!(exposition.contains(line), "{line}\n{exposition}");
    }
    // Every reason of a run that has not ended, and of one that waits for a person.
    let waits = Reason::ALL.iter().filter(|reason| {
        reason.status() == ConditionStatus::Unknown || [Reason::TriggerOutcomeUnknown, Reason::StatusLost].contains(reason)
    });
    let waits: Vec<Reason> = waits.copied().filter(|reason| *reason != Reason::Running).collect();
    assert_eq!(waits, WAITING_REASONS);
}
