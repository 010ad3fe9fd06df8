//! What every schema must be: bounded, without formats that Kubernetes does not know, with the defaults of the contract.

use nuvo_crds::conditions::{
    AccountReason, ConditionStatus, FreshReason, LastExecutionReason, ObservationReason, QualityGateReason, Reason, ScheduleReason,
};
use nuvo_crds::{
    MAX_ACTIVE, MAX_CLAIMS, MAX_EXECUTION_IDS, MAX_EXECUTIONS, MAX_HISTORY, MAX_HISTORY_IDS, MAX_RECENT, MAX_RUNNING, MAX_RUNS,
    MAX_SCHEDULES, MAX_SEEN, MAX_STATUS_MESSAGE, MAX_WORD, Mirror, MissedReason, NuvoAccountSpec, NuvoPipelineSpec, Phase, PipelineRunSpec,
    PipelineScheduleSpec, Retry,
};
use serde_json::{Value, json};

use crate::{crd, schema};

const KINDS: [&str; 4] = ["PipelineRun", "NuvoAccount", "NuvoPipeline", "PipelineSchedule"];

/// Calls `check` with every schema below this one, and its path.
fn walk(path: &str, schema: &Value, check: &mut dyn FnMut(&str, &Value)) {
    check(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, check);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, check);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(&format!("{path}{{}}"), values, check);
    }
}

#[test]
fn schemas_are_bounded_described_and_structural() {
    let mut wrong = Vec::new();
    for kind in KINDS {
        walk(kind, &schema(kind), &mut |path, schema| {
            let has = |key: &str| schema.get(key).is_some();
            match schema["type"].as_str() {
                Some("string") if !(has("maxLength") || has("enum") || has("format")) => wrong.push(format!("{path}: unbounded text")),
                Some("object") if has("additionalProperties") && !has("maxProperties") => wrong.push(format!("{path}: unbounded map")),
                Some("array") if !has("maxItems") => wrong.push(format!("{path}: unbounded list")),
                Some("integer") if !(has("minimum") && has("maximum")) => wrong.push(format!("{path}: unbounded integer")),
                Some("integer") if !matches!(schema["format"].as_str(), Some("int32" | "int64")) => wrong.push(format!("{path}: format")),
                Some("string" | "array" | "integer" | "boolean" | "object") => {}
                other => wrong.push(format!("{path}: type {other:?}")),
            }
            let item = ["Ids[]", ".ids[]", "Types[]", "schedules[]"].iter().any(|end| path.ends_with(end));
            if !has("description") && !item {
                wrong.push(format!("{path}: no description"));
            }
            for key in ["anyOf", "oneOf", "allOf", "$ref", "nullable", "x-kubernetes-preserve-unknown-fields"] {
                if has(key) {
                    wrong.push(format!("{path}: {key}"));
                }
            }
            if schema["enum"].as_array().is_some_and(|words| !words.iter().all(Value::is_string)) {
                wrong.push(format!("{path}: a null in its enum"));
            }
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rules_have_a_message() {
    for kind in KINDS {
        walk(kind, &schema(kind), &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                assert!(rule["message"].as_str().is_some_and(|message| message.len() > 20), "{path}: {rule}");
            }
        });
    }
}

#[test]
fn conditions_are_a_map_by_type() {
    for kind in KINDS {
        let conditions = &schema(kind)["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map", "{kind}");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]), "{kind}");
    }
}

#[test]
fn status_defaults_to_unobserved_only() {
    for kind in KINDS {
        let status = &schema(kind)["properties"]["status"];
        assert_eq!(status["default"], json!({"observedGeneration": -1}), "{kind}");
        walk(kind, status, &mut |path, schema| assert!(path == kind || schema.get("default").is_none(), "{path}"));
    }
}

#[test]
fn schema_defaults_equal_the_defaults_of_the_code() {
    fn defaults(kind: &str) -> Value {
        let spec = schema(kind)["properties"]["spec"]["properties"].clone();
        spec.as_object()
            .unwrap()
            .iter()
            .filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
    let run = json!({
        "accountRef": {"name": "default"},
        "suspend": false,
        "activeDeadlineSeconds": 86400,
        "concurrencyPolicy": "Allow",
        "followFixesSeconds": 0,
        "onAmbiguousTrigger": "Fail",
        "onNothingToProcess": "Succeed",
    });
    assert_eq!(defaults("PipelineRun"), run);
    let mut assumed = serde_json::to_value(PipelineRunSpec::default()).unwrap();
    assumed.as_object_mut().unwrap().remove("pipelineId");
    assert_eq!(assumed, run);

    let retry = &schema("PipelineRun")["properties"]["spec"]["properties"]["retry"]["properties"];
    let filled_in = json!({"limit": retry["limit"]["default"], "backoffSeconds": retry["backoffSeconds"]["default"], "onErrorTypes": retry["onErrorTypes"]["default"]});
    assert_eq!(filled_in, json!({"limit": 0, "backoffSeconds": 60, "onErrorTypes": ["SOURCE_UNRESPONSIVE", "DESTINATION_UNRESPONSIVE"]}));
    assert_eq!(serde_json::to_value(Retry::default()).unwrap(), filled_in);

    let account = json!({"baseUrl": "https://api-gateway.getnuvo.com/dp/api/v1", "requestsPerSecond": 5, "pollPeriodSeconds": 10,
        "observePeriodSeconds": 60});
    assert_eq!(defaults("NuvoAccount"), account);
    assert_eq!(serde_json::to_value(NuvoAccountSpec::default()).unwrap(), account);

    let schedule = json!({
        "timeZone": "UTC",
        "suspend": false,
        "concurrencyPolicy": "Forbid",
        "spreadSeconds": 0,
        "successfulRunsHistoryLimit": 3,
        "failedRunsHistoryLimit": 3,
    });
    assert_eq!(defaults("PipelineSchedule"), schedule);
    let mut assumed = serde_json::to_value(PipelineScheduleSpec::default()).unwrap();
    let template = assumed.as_object_mut().unwrap().remove("runTemplate").unwrap();
    assumed.as_object_mut().unwrap().remove("schedules");
    assert_eq!(assumed, schedule);
    assert_eq!(template["spec"], serde_json::to_value(PipelineRunSpec::default()).unwrap());

    let key = &schema("NuvoAccount")["properties"]["spec"]["properties"]["licenseKey"]["properties"];
    assert_eq!(key["tokenPath"]["default"], "auth/access-token");
    assert_eq!(key["identityType"]["enum"], json!(["USER", "SUB_ORG"]));

    let pipeline = json!({
        "accountRef": {"name": "default"},
        "mirror": {"historyLimit": 0, "triggerTypes": ["SCHEDULED", "EVENT"]},
        "suspend": false,
    });
    assert_eq!(defaults("NuvoPipeline"), pipeline);
    let read: NuvoPipelineSpec = serde_json::from_value(json!({"pipelineId": "orders"})).unwrap();
    let mut assumed = serde_json::to_value(&read).unwrap();
    assumed.as_object_mut().unwrap().remove("pipelineId");
    assert_eq!(assumed, pipeline);
    let spec = &schema("NuvoPipeline")["properties"]["spec"]["properties"];
    let mirror = &spec["mirror"]["properties"];
    let filled_in = json!({"historyLimit": mirror["historyLimit"]["default"], "triggerTypes": mirror["triggerTypes"]["default"]});
    assert_eq!((&filled_in, serde_json::to_value(Mirror::default()).unwrap()), (&pipeline["mirror"], filled_in.clone()));
    let freshness = &spec["freshness"]["properties"];
    assert_eq!(
        (&freshness["minRows"]["default"], &freshness["dueBy"]["items"]["properties"]["timeZone"]["default"]),
        (&json!(0), &json!("UTC"))
    );
}

#[test]
fn limits_are_those_of_the_contract() {
    let run = schema("PipelineRun")["properties"]["spec"]["properties"].clone();
    let range = |field: &Value| (field["minimum"].as_f64().unwrap(), field["maximum"].as_f64().unwrap());
    assert_eq!(range(&run["activeDeadlineSeconds"]), (1.0, 2_592_000.0));
    assert_eq!(range(&run["startDeadlineSeconds"]), (0.0, 2_592_000.0));
    assert_eq!(run["rerunToken"]["maxLength"], 64);
    let account = schema("NuvoAccount")["properties"]["spec"]["properties"].clone();
    assert_eq!(range(&account["requestsPerSecond"]), (1.0, 1_000.0));
    assert_eq!(range(&account["pollPeriodSeconds"]), (1.0, 3_600.0));
    let schedule = schema("PipelineSchedule")["properties"]["spec"]["properties"].clone();
    assert_eq!((&schedule["schedules"]["minItems"], &schedule["schedules"]["maxItems"]), (&json!(1), &json!(MAX_SCHEDULES)));
    assert_eq!(schedule["schedules"].get("x-kubernetes-list-type"), None, "the list is atomic");
    assert_eq!(range(&schedule["startingDeadlineSeconds"]), (0.0, 604_800.0));
    assert_eq!(range(&schedule["spreadSeconds"]), (0.0, 3_600.0));
    assert_eq!(range(&schedule["successfulRunsHistoryLimit"]), (0.0, 100.0));
    assert_eq!(range(&schedule["failedRunsHistoryLimit"]), (0.0, 100.0));
    assert_eq!(schedule["concurrencyPolicy"]["enum"], json!(["Forbid", "Allow", "Replace"]));
    assert_eq!(range(&account["observePeriodSeconds"]), (15.0, 3_600.0));
    let pipeline = schema("NuvoPipeline")["properties"]["spec"]["properties"].clone();
    let freshness = &pipeline["freshness"]["properties"];
    assert_eq!(range(&freshness["maxAgeSeconds"]), (60.0, 31_536_000.0));
    assert_eq!(freshness["dueBy"]["maxItems"], 8);
    assert_eq!(range(&freshness["dueBy"]["items"]["properties"]["windowSeconds"]), (60.0, 604_800.0));
    assert_eq!(range(&pipeline["mirror"]["properties"]["historyLimit"]), (0.0, 50.0));
}

#[test]
fn lists_that_a_person_writes_are_replaced_as_a_whole() {
    let pipeline = &schema("NuvoPipeline")["properties"]["spec"]["properties"];
    for list in [&pipeline["freshness"]["properties"]["dueBy"], &pipeline["mirror"]["properties"]["triggerTypes"]] {
        assert_eq!(list["x-kubernetes-list-type"], "atomic", "an item that was added by hand must not survive the next apply");
    }
}

#[test]
fn names_and_columns_are_those_of_the_contract() {
    let run = crd("PipelineRun");
    assert_eq!(run["spec"]["names"]["plural"], "pipelineruns");
    assert_eq!(run["spec"]["names"]["shortNames"], json!(["npr"]));
    assert_eq!(run["spec"]["names"]["categories"], json!(["nuvo"]));
    let version = &run["spec"]["versions"][0];
    assert_eq!(version["subresources"], json!({"status": {}}));
    assert_eq!(version["selectableFields"], json!([{"jsonPath": ".spec.pipelineId"}, {"jsonPath": ".status.phase"}]));
    fn columns(version: &Value, wide: bool) -> Vec<String> {
        let all = version["additionalPrinterColumns"].as_array().unwrap();
        all.iter().filter(|c| (c["priority"] == 1) == wide).map(|c| c["name"].as_str().unwrap().to_uppercase()).collect()
    }
    assert_eq!(columns(version, false), ["PIPELINE", "STATUS", "ERROR", "ROWS", "ERROR ROWS", "DURATION", "AGE"]);
    assert_eq!(columns(version, true), ["REASON", "EXECUTIONS", "EXECUTION", "ACCOUNT", "ATTEMPT"]);

    let account = crd("NuvoAccount");
    assert_eq!(account["spec"]["names"]["plural"], "nuvoaccounts");
    assert_eq!(account["spec"]["names"]["shortNames"], json!(["nacct"]));
    assert_eq!(account["spec"]["names"]["categories"], json!(["nuvo"]));

    let schedule = crd("PipelineSchedule");
    assert_eq!(schedule["spec"]["names"]["plural"], "pipelineschedules");
    assert_eq!(schedule["spec"]["names"]["shortNames"], json!(["nps"]));
    assert_eq!(schedule["spec"]["names"]["categories"], json!(["nuvo"]));
    let schedule_columns: Vec<[&str; 3]> = schedule["spec"]["versions"][0]["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| ["name", "type", "jsonPath"].map(|key| column[key].as_str().unwrap()))
        .collect();
    assert_eq!(
        schedule_columns,
        [
            ["Pipeline", "string", ".spec.runTemplate.spec.pipelineId"],
            ["Schedule", "string", ".spec.schedules[0]"],
            ["Time Zone", "string", ".spec.timeZone"],
            ["Suspend", "boolean", ".spec.suspend"],
            ["Active", "integer", ".status.activeCount"],
            ["Last", "date", ".status.lastScheduleTime"],
            ["Next", "string", ".status.nextScheduleTime"],
            ["Last Result", "string", ".status.lastRun.phase"],
            ["Age", "date", ".metadata.creationTimestamp"],
        ]
    );
    let pipeline = crd("NuvoPipeline");
    assert_eq!(pipeline["spec"]["scope"], "Namespaced");
    assert_eq!(pipeline["spec"]["names"]["plural"], "nuvopipelines");
    assert_eq!(pipeline["spec"]["names"]["shortNames"], json!(["npl"]));
    assert_eq!(pipeline["spec"]["names"]["categories"], json!(["nuvo"]));
    let version = &pipeline["spec"]["versions"][0];
    assert_eq!(version["subresources"], json!({"status": {}}));
    assert_eq!(version["selectableFields"], json!([{"jsonPath": ".spec.pipelineId"}]));
    assert_eq!(columns(version, false), ["PIPELINE", "NAME", "LAST", "TRIGGER", "ROWS", "ERROR ROWS", "FRESH", "LAST SUCCESS", "AGE"]);
    assert_eq!(columns(version, true), ["ERROR", "RUNNING", "SCHEDULE", "ACTIVE"]);
}

#[test]
fn reasons_are_those_of_the_contract() {
    let with = |status| Reason::ALL.iter().filter(|r| r.status() == status).map(|r| r.as_str()).collect::<Vec<_>>().join(", ");
    assert_eq!(
        with(ConditionStatus::Unknown),
        "Pending, Suspended, AccountNotReady, PipelineBusy, PipelineRunning, NuvoUnavailable, RateLimited, TriggerUnconfirmed, Running, RetryScheduled"
    );
    assert_eq!(with(ConditionStatus::True), "Succeeded, NothingToProcess, FixedInNuvo, Skipped");
    assert_eq!(
        with(ConditionStatus::False),
        "SlotNotClaimed, StartDeadlineExceeded, ExecutionFailed, QualityGateFailed, DeadlineExceeded, TriggerRejected, TriggerOutcomeUnknown, ExecutionLost, NothingToProcess, \
         InvalidSpec, StatusLost"
    );
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str(), reason.status().as_str()), Some(*reason));
    }
    for reason in AccountReason::ALL {
        assert_eq!(AccountReason::parse(reason.as_str(), reason.status().as_str()), Some(*reason));
    }
    assert_eq!(Reason::parse("Succeeded", "False"), None);

    let words = |reasons: Vec<&ScheduleReason>| reasons.into_iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
    let with = |status| words(ScheduleReason::ALL.iter().filter(|reason| reason.status() == status).collect());
    assert_eq!(with(ConditionStatus::True), "Scheduled, Suspended, BlockedByRun");
    assert_eq!(
        with(ConditionStatus::False),
        "InvalidSchedule, InvalidTimeZone, NeverDue, NotSelected, ClockInDoubt, NameTaken, CreateRefused, TooManyUnresolved"
    );
    let stalled = words(ScheduleReason::ALL.iter().filter(|reason| reason.is_stalled()).collect());
    assert_eq!(stalled, "InvalidSchedule, InvalidTimeZone, NeverDue, NotSelected");
}

#[test]
fn reasons_of_a_pipeline_are_those_of_the_contract() {
    macro_rules! words {
        ($reasons:ty) => {{
            for reason in <$reasons>::ALL {
                assert_eq!(<$reasons>::parse(reason.as_str(), reason.status().as_str()), Some(*reason));
            }
            [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown]
                .map(|status| <$reasons>::ALL.iter().filter(|r| r.status() == status).map(|r| r.as_str()).collect::<Vec<_>>().join(", "))
        }};
    }
    assert_eq!(
        words!(ObservationReason),
        [
            "Observed, Suspended, CatchingUp",
            "PipelineForbidden, AccountNotReady, NuvoUnavailable, OrderUnknown, TooManyPipelines, PipelineNotFound, InvalidSpec",
            "Pending"
        ]
    );
    assert_eq!(words!(FreshReason), ["Fresh", "Stale, NeverSucceeded", "Pending, NotObserved, ClockInDoubt"]);
    assert_eq!(words!(LastExecutionReason), ["Succeeded, FixedInNuvo", "ExecutionFailed", ""]);
    assert_eq!(words!(QualityGateReason), ["Passed", "QualityGateFailed", "NotRead"]);
}

#[test]
fn phases_are_the_words_of_the_schema() {
    let words: Vec<_> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
    assert_eq!(schema("PipelineRun")["properties"]["status"]["properties"]["phase"]["enum"], json!(words));
}

#[test]
fn missed_reasons_are_the_words_of_the_schema() {
    let words: Vec<_> = MissedReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(
        schema("PipelineSchedule")["properties"]["status"]["properties"]["missed"]["properties"]["lastReason"]["enum"],
        json!(words)
    );
}

/// The schema of a run, within a schedule: a field that is added to a run is added there, too.
#[test]
fn run_template_has_the_fields_of_a_run() {
    let fields = |schema: &Value| schema.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let template = &schema("PipelineSchedule")["properties"]["spec"]["properties"]["runTemplate"]["properties"]["spec"];
    assert_eq!(fields(&template["properties"]), fields(&schema("PipelineRun")["properties"]["spec"]["properties"]));
    let rules: Vec<_> =
        template["x-kubernetes-validations"].as_array().unwrap().iter().map(|rule| rule["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["!has(self.executionId)", "!has(self.rerunToken)", "!has(self.suspend) || !self.suspend"]);
}

/// The operator cuts what it writes to the constants; the API server refuses what is over the schema's limits.
#[test]
fn limits_of_the_code_are_those_of_the_schema() {
    let status = |kind, pointer: &str| schema(kind).pointer(&format!("/properties/status/properties/{pointer}")).and_then(Value::as_u64);
    assert_eq!(status("PipelineSchedule", "claims/maxItems"), u64::try_from(MAX_CLAIMS).ok());
    assert_eq!(status("PipelineSchedule", "active/maxItems"), u64::try_from(MAX_ACTIVE).ok());
    let schema = schema("PipelineRun");
    let limit = |path: &str, key: &str| schema.pointer(&format!("/properties/status/properties/{path}/{key}")).and_then(Value::as_u64);
    for (path, key, expected) in [
        ("executions", "maxItems", MAX_EXECUTIONS),
        ("executionIds", "maxItems", MAX_EXECUTION_IDS),
        ("executions/items/properties/runs", "maxItems", MAX_RUNS),
        ("history", "maxItems", MAX_HISTORY),
        ("history/items/properties/executionIds", "maxItems", MAX_HISTORY_IDS),
        ("error/properties/message", "maxLength", MAX_STATUS_MESSAGE),
        ("trigger/properties/message", "maxLength", MAX_STATUS_MESSAGE),
        ("error/properties/type", "maxLength", MAX_WORD),
        ("executions/items/properties/status", "maxLength", MAX_WORD),
    ] {
        assert_eq!(limit(path, key), u64::try_from(expected).ok(), "{path}");
    }

    let schema = self::schema("NuvoPipeline");
    let status = &schema["properties"]["status"]["properties"];
    for (list, expected) in
        [(&status["running"], MAX_RUNNING), (&status["recent"], MAX_RECENT), (&status["seen"]["properties"]["ids"], MAX_SEEN)]
    {
        assert_eq!(list["maxItems"].as_u64(), u64::try_from(expected).ok(), "{list}");
    }
    for shown in ["lastExecution", "lastSuccess", "lastFailure", "lastCounted"] {
        assert_eq!(status[shown], with_description(&status["lastExecution"], &status[shown]), "one shape for all executions: {shown}");
        assert_eq!(status[shown]["properties"]["errorType"]["maxLength"].as_u64(), u64::try_from(MAX_WORD).ok());
    }
}

fn with_description(schema: &Value, other: &Value) -> Value {
    let mut same = schema.clone();
    same["description"] = other["description"].clone();
    same
}
