//! A status written by another version is readable: one unreadable object would stall the watch of all of them.

use nuvo_crds::{
    NuvoAccount, NuvoPipeline, NuvoPipelineStatus, PipelineRun, PipelineRunStatus, PipelineSchedule, PipelineScheduleStatus,
    ScheduleConcurrency, TriggerState,
};
use serde_json::json;

#[test]
fn run_with_unknown_words_and_fields_is_readable() {
    let run: PipelineRun = serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {"name": "orders"},
        "spec": {"pipelineId": "orders", "fieldOfTomorrow": {"a": 1}},
        "status": {
            "observedGeneration": 3,
            "phase": "Dreaming",
            "trigger": {"nonce": "n-1", "attempt": 1, "state": "HalfAccepted", "evidence": "Hearsay", "fieldOfTomorrow": 1},
            "executions": [{"id": "e-1", "status": "NEW_WORD", "error": {"type": "BRAND_NEW"}}],
            "fieldOfTomorrow": [1, 2],
        },
    }))
    .unwrap();
    let status = run.status.unwrap();
    assert_eq!(status.phase, None);
    assert_eq!(status.observed_generation, Some(3));
    let trigger = status.trigger.unwrap();
    assert_eq!((trigger.state, trigger.evidence), (TriggerState::Ambiguous, None), "an unknown state is a doubt");
    assert_eq!(status.current.executions[0].status.as_deref(), Some("NEW_WORD"));
}

#[test]
fn account_with_unknown_words_is_readable() {
    for word in [json!("ROBOT"), json!(7), json!(null)] {
        let account: NuvoAccount = serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1",
            "kind": "NuvoAccount",
            "metadata": {"name": "default"},
            "spec": {
                "licenseKey": {"secretRef": {"name": "nuvo", "key": "key"}, "identifier": "me", "identityType": word, "fieldOfTomorrow": 1},
                "fieldOfTomorrow": {"a": 1},
            },
            "status": {"fieldOfTomorrow": 1, "conditions": [{"type": "Dreaming", "status": "Maybe", "reason": "New", "message": "",
                "lastTransitionTime": "2026-11-24T00:00:00Z"}]},
        }))
        .unwrap();
        let key = account.spec.license_key.unwrap();
        assert_eq!((key.identifier.as_str(), key.identity_type), ("me", None), "{word}");
    }
}

#[test]
fn pipeline_with_unknown_words_and_fields_is_readable() {
    let pipeline: NuvoPipeline = serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "NuvoPipeline",
        "metadata": {"name": "orders"},
        "spec": {
            "pipelineId": "orders",
            "freshness": {"maxAgeSeconds": 60, "fieldOfTomorrow": 1, "dueBy": [{"schedule": "@daily", "windowSeconds": 60, "fieldOfTomorrow": 1}]},
            "mirror": {"historyLimit": 3, "triggerTypes": ["WORD_OF_TOMORROW"]},
            "fieldOfTomorrow": {"a": 1},
        },
        "status": {
            "observedGeneration": 2,
            "inputTrigger": "WORD_OF_TOMORROW",
            "running": [{"fieldOfTomorrow": 1}],
            "lastExecution": {"id": "e-1", "status": "NEW_WORD", "triggerType": "NEW_TRIGGER", "errorType": "BRAND_NEW", "fieldOfTomorrow": 1},
            "lastSuccess": {},
            "seen": {"fieldOfTomorrow": 1},
            "gap": {"fieldOfTomorrow": 1},
            "conditions": [{"type": "Dreaming", "status": "Maybe", "reason": "New", "message": "", "lastTransitionTime": "2026-11-24T00:00:00Z"}],
            "fieldOfTomorrow": [1, 2],
        },
    }))
    .unwrap();
    assert_eq!(pipeline.spec.mirror.trigger_types, ["WORD_OF_TOMORROW"]);
    assert_eq!(pipeline.spec.freshness.unwrap().due_by[0].time_zone, "UTC");
    let status = pipeline.status.unwrap();
    assert_eq!((status.observed_generation, status.about.input_trigger.as_deref()), (Some(2), Some("WORD_OF_TOMORROW")));
    assert_eq!(status.last_execution.unwrap().trigger_type.as_deref(), Some("NEW_TRIGGER"));
}

#[test]
fn status_of_a_pipeline_survives_a_round_trip() {
    let execution = json!({
        "id": "e-2", "status": "SUCCESSFUL", "triggerType": "EVENT", "createdAt": "2026-11-24T00:00:00Z", "endedAt": "2026-11-24T00:01:00Z",
        "errorType": "SOURCE_UNRESPONSIVE", "createdBy": "Import robot (SUB_ORG)",
        "stats": {"totalRows": 10, "totalCells": 100, "totalErrorCells": 3, "totalErrorRows": 2, "durationMilliseconds": 1500},
    });
    let text = json!({
        "observedGeneration": 1,
        "conditions": [{"type": "Fresh", "status": "False", "reason": "Stale", "message": "m",
            "lastTransitionTime": "2026-11-24T00:00:00Z", "observedGeneration": 1}],
        "name": "Orders", "activeInNuvo": true, "draft": false, "developerMode": true, "inputTrigger": "TIME_BASE", "nuvoSchedule": "DAILY x 1",
        "running": [{"id": "e-3", "triggerType": "SCHEDULED", "createdAt": "2026-11-24T00:02:00Z"}],
        "lastExecution": execution, "lastSuccess": execution, "lastFailure": execution, "lastCounted": execution,
        "recent": [execution],
        "seen": {"floor": "2026-11-24T00:00:00Z", "ids": ["0011223344556677"], "account": "7f"},
        "gap": {"newest": "2026-11-24T00:00:00Z", "oldestRead": "2026-11-23T00:00:00Z"},
    });
    let status: NuvoPipelineStatus = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(status).unwrap(), text);
}

#[test]
fn trigger_without_a_state_is_ambiguous() {
    let status: PipelineRunStatus = serde_json::from_value(json!({"trigger": {"nonce": "n-1"}})).unwrap();
    assert_eq!(status.trigger.unwrap().state, TriggerState::Ambiguous);
}

#[test]
fn status_survives_a_round_trip() {
    let text = json!({
        "observedGeneration": 1,
        "phase": "Failed",
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "ExecutionFailed", "message": "m",
            "lastTransitionTime": "2026-11-24T00:00:00Z", "observedGeneration": 1}],
        "attempt": 2,
        "rerunToken": "2",
        "trigger": {"nonce": "n-2", "attempt": 2, "state": "Accepted", "evidence": "Answer", "time": "2026-11-24T00:00:00Z", "message": "m"},
        "executions": [{
            "id": "e-2", "status": "FAILED", "triggerType": "MANUAL", "configuration": "c",
            "createdAt": "2026-11-24T00:00:00Z", "updatedAt": "2026-11-24T00:00:01Z",
            "error": {"type": "SOURCE_UNRESPONSIVE", "message": "m"},
            "stats": {"totalRows": 10, "totalCells": 100, "totalErrorCells": 3, "totalErrorRows": 2, "durationMilliseconds": 1500},
            "runs": [{"type": "INITIAL", "status": "FAILED", "startTime": "2026-11-24T00:00:00Z", "durationMilliseconds": 1500, "stats": {"totalRows": 10}}],
        }],
        "executionIds": ["e-2"],
        "executionCount": 1,
        "error": {"type": "SOURCE_UNRESPONSIVE", "message": "m"},
        "stats": {"totalRows": 10},
        "history": [{"attempt": 1, "result": "ExecutionFailed", "errorType": "SOURCE_UNRESPONSIVE", "startTime": "2026-11-23T00:00:00Z",
            "completionTime": "2026-11-23T00:01:00Z", "executionIds": ["e-1"]}],
        "startTime": "2026-11-24T00:00:00Z",
        "completionTime": "2026-11-24T00:01:32Z",
        "duration": "1m32s",
    });
    let status: PipelineRunStatus = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(status).unwrap(), text);
}

#[test]
fn empty_status_is_written_as_nothing() {
    assert_eq!(serde_json::to_value(PipelineRunStatus::default()).unwrap(), json!({}));
    assert_eq!(serde_json::to_value(NuvoPipelineStatus::default()).unwrap(), json!({}));
}

#[test]
fn schedule_with_unknown_words_and_fields_is_readable() {
    let schedule: PipelineSchedule = serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineSchedule",
        "metadata": {"name": "nightly"},
        "spec": {
            "schedules": ["@daily"],
            "concurrencyPolicy": "AllowOnSundays",
            "runTemplate": {"spec": {"pipelineId": "orders", "fieldOfTomorrow": 1}, "fieldOfTomorrow": 1},
            "fieldOfTomorrow": {"a": 1},
        },
        "status": {
            "fieldOfTomorrow": 1,
            "lastRun": {"name": "nightly-1", "slot": "2026-11-28T02:00:00Z", "phase": "Dreaming"},
            "missed": {"total": 1, "lastReason": "Dreamt"},
        },
    }))
    .unwrap();
    assert_eq!(schedule.spec.concurrency_policy, ScheduleConcurrency::Forbid, "an unknown policy is no permission");
    let status = schedule.status.unwrap();
    assert_eq!((status.last_run.unwrap().phase, status.missed.unwrap().last_reason), (None, None));
}

#[test]
fn status_of_a_schedule_survives_a_round_trip() {
    let text = json!({
        "observedGeneration": 2,
        "observed": {"schedules": ["0 2 * * *"], "timeZone": "Europe/Berlin", "suspend": false, "startingDeadlineSeconds": 60},
        "anchor": {"time": "2026-11-27T10:00:00Z", "uid": "u-1"},
        "lastSlot": "2026-11-28T01:00:00Z",
        "lastScheduleTime": "2026-11-28T01:00:00Z",
        "pending": {"slot": "2026-11-28T01:00:00Z", "runName": "nightly-20261128t0100", "since": "2026-11-28T01:00:02Z"},
        "claims": [{"slot": "2026-11-27T01:00:00Z", "runName": "nightly-20261127t0100", "runUID": "r-1"}],
        "nextScheduleTime": "2026-11-29T01:00:00Z",
        "activeCount": 1,
        "active": [{"name": "nightly-20261127t0100", "slot": "2026-11-27T01:00:00Z"}],
        "lastRun": {"name": "nightly-20261127t0100", "slot": "2026-11-27T01:00:00Z", "phase": "Failed", "reason": "ExecutionFailed"},
        "lastSuccessfulTime": "2026-11-26T01:10:00Z",
        "lastFailedTime": "2026-11-25T01:10:00Z",
        "missed": {"total": 10_000, "atLeast": true, "lastTime": "2026-11-20T01:00:00Z", "lastReason": "TooLate"},
    });
    let status: PipelineScheduleStatus = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(status).unwrap(), text);
}
