//! The definitions as a real API server takes them. `rules` has the cases of `tests/api`, and this server decides them here.

use std::sync::LazyLock;

use kube::{Client, Error};
use serde_json::{Value, json};

use crate::environment::{admin, block_on, same, server};

static CLIENT: LazyLock<Client> = LazyLock::new(|| admin(server()));

/// What the API server answers to an object, and does not store: the object, or why it refuses it.
fn answer(method: &str, path: &str, object: &Value) -> Result<Value, Vec<String>> {
    let request = http::Request::builder().method(method).uri(path).body(object.to_string().into_bytes()).unwrap();
    block_on(CLIENT.request(request)).map_err(|error| match error {
        Error::Api(status) => {
            let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.message.clone()).collect::<Vec<_>>();
            if causes.is_empty() { vec![status.message.clone()] } else { causes }
        }
        other => panic!("{object}: {other}"),
    })
}

fn object(kind: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": kind, "metadata": { "generateName": "test-" }, "spec": spec })
}

/// What comes of creating an object with this spec, or of changing one that had the old spec.
fn outcome(kind: &str, spec: &Value, old: Option<&Value>) -> Result<Value, Vec<String>> {
    let path = format!("/apis/nuvo.dev/v1alpha1/namespaces/default/{}s", kind.to_lowercase());
    let Some(old) = old else {
        return answer("POST", &format!("{path}?dryRun=All"), &object(kind, spec));
    };
    let mut stored = answer("POST", &path, &object(kind, old)).unwrap();
    stored["spec"] = spec.clone();
    answer("PUT", &format!("{path}/{}?dryRun=All", stored["metadata"]["name"].as_str().unwrap()), &stored)
}

#[track_caller]
pub fn accepted(kind: &str, spec: &Value, old: Option<&Value>) {
    let outcome = outcome(kind, spec, old);
    assert!(outcome.is_ok(), "{spec} should be accepted, but: {outcome:#?}");
}

/// It is refused with this text. What its rule refuses, the schema may refuse, too.
#[track_caller]
pub fn refused(kind: &str, spec: &Value, old: Option<&Value>, text: &str) {
    let outcome = outcome(kind, spec, old);
    let says = |refusals: &Vec<String>| refusals.iter().any(|refusal| refusal.contains(text));
    assert!(outcome.as_ref().err().is_some_and(says), "{spec} should be refused with {text:?}, but: {outcome:#?}");
}

/// The server refuses an object because of its name, with this text; without a text it accepts it.
#[track_caller]
pub fn name_decided(kind: &str, name: &str, spec: &Value, text: Option<&str>) {
    let mut named = object(kind, spec);
    named["metadata"] = json!({ "name": name });
    let path = format!("/apis/nuvo.dev/v1alpha1/namespaces/default/{}s?dryRun=All", kind.to_lowercase());
    let outcome = answer("POST", &path, &named);
    let right = match (&outcome, text) {
        (Ok(_), None) => true,
        (Err(refusals), Some(text)) => refusals.iter().any(|refusal| refusal.contains(text)),
        _ => false,
    };
    assert!(right, "{name}: {outcome:#?}");
}

#[test]
fn definitions_are_installed_without_a_warning() {
    let path = server().folder().join("definitions.json");
    let definitions = json!({ "apiVersion": "v1", "kind": "List", "items": nuvo_crds::crds().unwrap() });
    std::fs::write(&path, definitions.to_string()).unwrap();
    let mut kubectl = server().kubectl_command();
    let output = kubectl.args(["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    same("warnings", String::from_utf8_lossy(&output.stderr).as_ref(), "");
}

#[test]
fn defaults_are_filled_in_and_unknown_fields_are_dropped() {
    let run = outcome("PipelineRun", &json!({ "pipelineId": "orders", "retry": {}, "fieldOfTomorrow": 1 }), None).unwrap();
    let spec = json!({
        "pipelineId": "orders",
        "accountRef": { "name": "default" },
        "suspend": false,
        "activeDeadlineSeconds": 86400,
        "concurrencyPolicy": "Allow",
        "followFixesSeconds": 0,
        "onAmbiguousTrigger": "Fail",
        "onNothingToProcess": "Succeed",
        "retry": { "limit": 0, "backoffSeconds": 60, "onErrorTypes": ["SOURCE_UNRESPONSIVE", "DESTINATION_UNRESPONSIVE"] },
    });
    same("spec", &run["spec"], &spec);
    same("status", &run["status"], &json!({ "observedGeneration": -1 }));
}

#[test]
fn defaults_of_a_schedule_are_filled_in() {
    let given = json!({ "schedules": ["@daily"], "runTemplate": { "spec": { "pipelineId": "orders" } } });
    let schedule = outcome("PipelineSchedule", &given, None).unwrap();
    let spec = json!({
        "schedules": ["@daily"],
        "timeZone": "UTC",
        "suspend": false,
        "concurrencyPolicy": "Forbid",
        "spreadSeconds": 0,
        "successfulRunsHistoryLimit": 3,
        "failedRunsHistoryLimit": 3,
        "runTemplate": { "spec": {
            "pipelineId": "orders",
            "accountRef": { "name": "default" },
            "suspend": false,
            "activeDeadlineSeconds": 86400,
            "concurrencyPolicy": "Allow",
            "followFixesSeconds": 0,
            "onAmbiguousTrigger": "Fail",
            "onNothingToProcess": "Succeed",
        } },
    });
    same("spec", &schedule["spec"], &spec);
    same("status", &schedule["status"], &json!({ "observedGeneration": -1 }));
}

#[test]
fn name_of_a_schedule_fits_into_a_label() {
    let path = "/apis/nuvo.dev/v1alpha1/namespaces/default/pipelineschedules?dryRun=All";
    let named = |name: String| {
        let spec = json!({ "schedules": ["@daily"], "runTemplate": { "spec": { "pipelineId": "orders" } } });
        json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "metadata": { "name": name }, "spec": spec })
    };
    let fits = answer("POST", path, &named("n".repeat(63)));
    assert!(fits.is_ok(), "{fits:?}");
    let refused = answer("POST", path, &named("n".repeat(64))).unwrap_err();
    assert!(refused.iter().any(|cause| cause.contains("must have at most 63 characters")), "{refused:?}");
}

#[test]
fn defaults_of_a_pipeline_and_of_its_account_are_filled_in() {
    let given =
        json!({ "pipelineId": "orders", "freshness": { "dueBy": [{ "schedule": "0 7 * * 1-5", "windowSeconds": 3600 }] }, "mirror": {} });
    let pipeline = outcome("NuvoPipeline", &given, None).unwrap();
    let spec = json!({
        "pipelineId": "orders",
        "accountRef": { "name": "default" },
        "suspend": false,
        "freshness": { "minRows": 0, "dueBy": [{ "schedule": "0 7 * * 1-5", "timeZone": "UTC", "windowSeconds": 3600 }] },
        "mirror": { "historyLimit": 0, "triggerTypes": ["SCHEDULED", "EVENT"] },
    });
    same("spec", &pipeline["spec"], &spec);
    same("status", &pipeline["status"], &json!({ "observedGeneration": -1 }));

    let account = json!({ "accessToken": { "secretRef": { "name": "nuvo-credentials", "key": "token" } } });
    same("observePeriodSeconds", &outcome("NuvoAccount", &account, None).unwrap()["spec"]["observePeriodSeconds"], &json!(60));
}

#[test]
fn value_out_of_its_bounds_is_refused() {
    for (spec, text) in [
        (json!({ "pipelineId": "orders", "activeDeadlineSeconds": 0 }), "should be greater than or equal to 1"),
        (json!({ "pipelineId": "orders", "rerunToken": "x".repeat(65) }), "may not be more than 64"),
        (json!({ "pipelineId": "orders", "concurrencyPolicy": "Never" }), "supported values: \"Allow\", \"Queue\", \"Skip\""),
        (json!({}), "Required value"),
    ] {
        refused("PipelineRun", &spec, None, text);
    }
    let schedule =
        |field: &str, value: Value| json!({ "schedules": ["@daily"], "runTemplate": { "spec": { "pipelineId": "orders" } }, field: value });
    for (spec, text) in [
        (schedule("schedules", json!([])), "should have at least 1 items"),
        (schedule("schedules", json!(vec!["@daily"; 17])), "must have at most 16 items"),
        (schedule("startingDeadlineSeconds", json!(604_801)), "should be less than or equal to 604800"),
        (schedule("spreadSeconds", json!(3_601)), "should be less than or equal to 3600"),
        (schedule("failedRunsHistoryLimit", json!(101)), "should be less than or equal to 100"),
        (schedule("runTemplate", json!({})), "Required value"),
    ] {
        refused("PipelineSchedule", &spec, None, text);
    }
    let due_by = |times: usize| json!({ "dueBy": vec![json!({ "schedule": "0 7 * * *", "windowSeconds": 60 }); times] });
    accepted("NuvoPipeline", &json!({ "pipelineId": "orders", "freshness": due_by(8) }), None);
    for (field, value, text) in [
        ("freshness", due_by(9), "must have at most 8 items"),
        ("freshness", json!({ "maxAgeSeconds": 59 }), "should be greater than or equal to 60"),
        ("freshness", json!({ "maxAgeSeconds": 31_536_001 }), "should be less than or equal to 31536000"),
        ("freshness", json!({ "maxAgeSeconds": 60, "minRows": -1 }), "should be greater than or equal to 0"),
        ("freshness", json!({ "dueBy": [{ "schedule": "0 7 * * *" }] }), "Required value"),
        ("freshness", json!({ "dueBy": [{ "windowSeconds": 60 }] }), "Required value"),
        (
            "freshness",
            json!({ "dueBy": [{ "schedule": "0 7 * * *", "windowSeconds": 604_801 }] }),
            "should be less than or equal to 604800",
        ),
        ("mirror", json!({ "historyLimit": 51 }), "should be less than or equal to 50"),
        ("mirror", json!({ "triggerTypes": vec!["EVENT"; 9] }), "must have at most 8 items"),
    ] {
        refused("NuvoPipeline", &json!({ "pipelineId": "orders", field: value }), None, text);
    }
    for (seconds, text) in [(14, "should be greater than or equal to 15"), (3_601, "should be less than or equal to 3600")] {
        let account = json!({ "accessToken": { "secretRef": { "name": "nuvo", "key": "token" } }, "observePeriodSeconds": seconds });
        refused("NuvoAccount", &account, None, text);
    }
}

/// What `kubectl get npl` prints, also with `-o wide`, for an object with two executions that are running.
#[test]
fn columns_of_a_pipeline_show_what_ran_last_whoever_started_it() {
    let namespace = server().namespace("columns").unwrap();
    let path = format!("/apis/nuvo.dev/v1alpha1/namespaces/{namespace}/nuvopipelines");
    let mut pipeline = object("NuvoPipeline", &json!({ "pipelineId": "orders" }));
    pipeline["metadata"] = json!({ "name": "nightly" });
    let mut pipeline = answer("POST", &path, &pipeline).unwrap();
    let row = |wide: &[&str]| {
        let get = [&["-n", &namespace, "get", "npl", "--no-headers"], wide].concat();
        server().kubectl(&get).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    same("before the first look", row(&[])[..2].join(" "), "nightly orders".to_owned());
    pipeline["status"] = json!({
        "observedGeneration": 1, "name": "Orders", "activeInNuvo": true, "nuvoSchedule": "DAILY",
        "running": [{ "id": "e-4" }, { "id": "e-3" }],
        "lastExecution": { "id": "e-4", "status": "PROCESSING", "triggerType": "SCHEDULED" },
        "lastSuccess": { "id": "e-2", "status": "SUCCESSFUL", "endedAt": "2026-11-24T00:00:00Z", "stats": { "totalRows": 120, "totalErrorRows": 3 } },
        "lastFailure": { "id": "e-1", "status": "FAILED", "errorType": "SOURCE_UNRESPONSIVE" },
        "conditions": [{ "type": "Fresh", "status": "True", "reason": "Fresh", "message": "m", "lastTransitionTime": "2026-11-24T00:00:00Z" }],
    });
    answer("PUT", &format!("{path}/nightly/status"), &pipeline).unwrap();
    let (short, wide) = (row(&[]), row(&["-o", "wide"]));
    same("short", short[..8].join(" "), "nightly orders Orders PROCESSING SCHEDULED 120 3 True".to_owned());
    same("wide", wide[9..13].join(" "), "SOURCE_UNRESPONSIVE e-4 DAILY true".to_owned());
    same("columns with the age", (short.len(), wide.len()), (10, 14));
    assert!(
        row(&["-A"]).contains(&"nightly".to_owned()) && server().kubectl(&["-n", &namespace, "get", "nuvo"]).unwrap().contains("nightly")
    );

    let found = answer("GET", &format!("{path}?fieldSelector=spec.pipelineId%3Dorders"), &json!(null)).unwrap();
    same("selected by the pipeline", found["items"].as_array().unwrap().len(), 1);
}

#[test]
fn runs_are_selected_by_their_pipeline_and_their_phase() {
    let namespace = server().namespace("selected").unwrap();
    let path = format!("/apis/nuvo.dev/v1alpha1/namespaces/{namespace}/pipelineruns");
    for (pipeline, phase) in [("orders", "Failed"), ("orders", "Running"), ("invoices", "Failed")] {
        let mut run = answer("POST", &path, &object("PipelineRun", &json!({ "pipelineId": pipeline }))).unwrap();
        run["status"] = json!({ "observedGeneration": 1, "phase": phase });
        answer("PUT", &format!("{path}/{}/status", run["metadata"]["name"].as_str().unwrap()), &run).unwrap();
    }
    for (selector, count) in [("spec.pipelineId=orders", 2), ("status.phase=Failed", 2), ("spec.pipelineId=orders,status.phase=Failed", 1)]
    {
        let found = answer("GET", &format!("{path}?fieldSelector={}", selector.replace(',', "%2C")), &json!(null)).unwrap();
        same(selector, found["items"].as_array().unwrap().len(), count);
    }
}
