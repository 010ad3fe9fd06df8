//! Every validation rule, accepted and refused, with its message.

use serde_json::{Value, json};

use nuvo_client::{Credential, IdentityType};
use secrecy::SecretString;

use crate::{accepted, name_decided, refused};

const RUN: &str = "PipelineRun";
const ACCOUNT: &str = "NuvoAccount";
const PIPELINE: &str = "NuvoPipeline";
const SCHEDULE: &str = "PipelineSchedule";

/// An account with a license key, and changes to it at a JSON pointer.
fn account(pointer: &str, value: Value) -> Value {
    let mut spec = json!({
        "baseUrl": "https://api-gateway.getnuvo.com/dp/api/v1",
        "licenseKey": {
            "secretRef": {"name": "nuvo-credentials", "key": "license-key"},
            "identifier": "demo@example.com",
            "identityType": "USER",
            "tokenPath": "auth/access-token",
        },
    });
    if !pointer.is_empty() {
        *spec.pointer_mut(pointer).unwrap() = value;
    }
    spec
}

#[test]
fn smallest_run_is_accepted() {
    accepted(RUN, &json!({"pipelineId": "orders"}), None);
}

#[test]
fn malformed_pipeline_id_is_refused() {
    for id in ["a", "3f1c2a9e-5b7d-4c1e-9a60-2d8e4b6f7a13", "A_b-9"] {
        accepted(RUN, &json!({"pipelineId": id}), None);
    }
    for id in ["../orders", "my orders", "orders\n", "a/b", "ä", "a?b"] {
        refused(RUN, &json!({"pipelineId": id}), None, "write the pipeline's id as nuvo shows it, not its name or URL");
    }
}

#[test]
fn changed_pipeline_id_is_refused() {
    let old = json!({"pipelineId": "orders"});
    accepted(RUN, &json!({"pipelineId": "orders", "suspend": true, "rerunToken": "2"}), Some(&old));
    refused(RUN, &json!({"pipelineId": "invoices"}), Some(&old), "create a new PipelineRun for the other pipeline");
}

#[test]
fn malformed_execution_id_is_refused() {
    accepted(RUN, &json!({"pipelineId": "orders", "executionId": "e-1"}), None);
    for id in ["", "e/1", "e 1", "e-1\n"] {
        refused(RUN, &json!({"pipelineId": "orders", "executionId": id}), None, "write the execution's id as nuvo shows it");
    }
}

#[test]
fn changed_added_or_removed_execution_id_is_refused() {
    let without = json!({"pipelineId": "orders"});
    let with = json!({"pipelineId": "orders", "executionId": "e-1"});
    let other = json!({"pipelineId": "orders", "executionId": "e-2"});
    accepted(RUN, &with, Some(&with));
    accepted(RUN, &without, Some(&without));
    for (new, old) in [(&other, &with), (&without, &with), (&with, &without)] {
        refused(RUN, new, Some(old), "executionId cannot be set, changed or removed after creation");
    }
}

#[test]
fn trigger_settings_beside_an_execution_id_are_refused() {
    let with = |field: &str, value: &str| json!({"pipelineId": "orders", "executionId": "e-1", field: value});
    refused(RUN, &with("rerunToken", "1"), None, "remove rerunToken, or create a new PipelineRun without executionId");
    refused(RUN, &with("onAmbiguousTrigger", "Adopt"), None, "onAmbiguousTrigger cannot be used with executionId");
    refused(RUN, &with("onAmbiguousTrigger", "Retrigger"), None, "onAmbiguousTrigger cannot be used with executionId");
    refused(RUN, &with("onNothingToProcess", "Fail"), None, "onNothingToProcess cannot be used with executionId");
    refused(RUN, &with("concurrencyPolicy", "Queue"), None, "concurrencyPolicy cannot be used with executionId");
    refused(
        RUN,
        &json!({"pipelineId": "orders", "executionId": "e-1", "startDeadlineSeconds": 60}),
        None,
        "startDeadlineSeconds cannot be used with executionId",
    );
    let with_retry = |limit: i32| json!({"pipelineId": "orders", "executionId": "e-1", "retry": {"limit": limit}});
    refused(RUN, &with_retry(1), None, "retry cannot be used with executionId");
    accepted(RUN, &with_retry(0), None);
    // The defaults, written out, say nothing wrong.
    accepted(RUN, &with("onAmbiguousTrigger", "Fail"), None);
    accepted(RUN, &with("onNothingToProcess", "Succeed"), None);
}

#[test]
fn quality_gate_without_a_limit_is_refused() {
    for limit in ["maxErrorRows", "maxErrorCells", "maxErrorRowPercent", "minRows"] {
        accepted(RUN, &json!({"pipelineId": "orders", "qualityGate": {limit: 5}}), None);
    }
    refused(
        RUN,
        &json!({"pipelineId": "orders", "qualityGate": {}}),
        None,
        "set maxErrorRows, maxErrorCells, maxErrorRowPercent or minRows",
    );
}

#[test]
fn empty_rerun_token_is_refused() {
    accepted(RUN, &json!({"pipelineId": "orders", "rerunToken": "2026-11-24 10:00"}), None);
    refused(RUN, &json!({"pipelineId": "orders", "rerunToken": ""}), None, "write any new text, for example the time");
}

#[test]
fn malformed_account_reference_is_refused() {
    accepted(RUN, &json!({"pipelineId": "orders", "accountRef": {}}), None);
    accepted(RUN, &json!({"pipelineId": "orders", "accountRef": {"name": "team-a.eu"}}), None);
    for name in ["Team", "a_b", "-a", "a.", "other/default"] {
        refused(
            RUN,
            &json!({"pipelineId": "orders", "accountRef": {"name": name}}),
            None,
            "must be the name of a NuvoAccount in this namespace",
        );
    }
}

#[test]
fn account_without_exactly_one_credential_is_refused() {
    let token = json!({"secretRef": {"name": "nuvo-credentials", "key": "token"}});
    let mut both = account("", Value::Null);
    accepted(ACCOUNT, &both, None);
    accepted(ACCOUNT, &json!({"accessToken": token}), None);
    both["accessToken"] = token;
    refused(ACCOUNT, &both, None, "set exactly one of licenseKey");
    refused(ACCOUNT, &json!({}), None, "set exactly one of licenseKey");
}

#[test]
fn malformed_base_url_is_refused() {
    for url in [
        "https://api-gateway.getnuvo.com/dp/api/v1",
        "https://api-gateway.ingestro.com/dp/api/v1/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/v1",
        "https://nuvo.internal",
    ] {
        accepted(ACCOUNT, &account("/baseUrl", json!(url)), None);
    }
    for (url, text) in [
        ("api-gateway.getnuvo.com/dp/api/v1", "must start with https:// or http://"),
        ("ftp://getnuvo.com", "must start with https:// or http://"),
        ("httpx://getnuvo.com", "must start with https:// or http://"),
        ("https://user:secret@getnuvo.com/v1", "must not contain a user name or password"),
        ("https://getnuvo.com/v1?key=1", "must not have a query or a fragment"),
        ("https://getnuvo.com/v1#top", "must not have a query or a fragment"),
        ("https://", "must be scheme, host, an optional port and an optional path"),
        ("https:///v1", "must be scheme, host, an optional port and an optional path"),
        ("https://getnuvo.com\\v1", "must be scheme, host, an optional port and an optional path"),
        ("https://get nuvo.com", "must be scheme, host, an optional port and an optional path"),
        ("https://getnuvo.com/v1\n", "must be scheme, host, an optional port and an optional path"),
        ("https://getnuvo.com:port/v1", "must be scheme, host, an optional port and an optional path"),
        ("https://getnuvo.com%2f.example.com/v1", "must be scheme, host, an optional port and an optional path"),
    ] {
        refused(ACCOUNT, &account("/baseUrl", json!(url)), None, text);
    }
}

#[test]
fn token_path_outside_the_base_url_is_refused() {
    let trusted = |path: &str| {
        let key = SecretString::from("key");
        let (identifier, identity_type, token_path) = ("demo@example.com".to_owned(), IdentityType::User, path.to_owned());
        Credential::LicenseKey { key, identifier, identity_type, token_path }.validated()
    };
    let long = "a".repeat(256);
    for path in ["auth/access-token", "access/token", "token", "v1~beta/a_b.c", "a..b/c", "...", &long] {
        accepted(ACCOUNT, &account("/licenseKey/tokenPath", json!(path)), None);
        assert!(trusted(path).is_ok(), "what the API server takes, the operator takes: {path}");
    }
    for path in [
        "/auth/access-token",
        "//evil.example.com/x",
        "https://evil.example.com/x",
        "../token",
        "auth/../../x",
        "./x",
        "x/.",
        "a?b",
        "a#b",
        "a b",
        "a/",
        "%2e%2e/x",
    ] {
        refused(ACCOUNT, &account("/licenseKey/tokenPath", json!(path)), None, "write for example auth/access-token or access/token");
    }
    let error = trusted("../token").unwrap_err();
    assert!(!error.is_of_secret() && error.to_string().contains("spec.licenseKey.tokenPath"), "{error}");
}

#[test]
fn identifier_with_line_breaks_or_outer_spaces_is_refused() {
    for identifier in ["demo@example.com", "sub org 7"] {
        accepted(ACCOUNT, &account("/licenseKey/identifier", json!(identifier)), None);
    }
    for identifier in ["demo@example.com\n", " demo", "a\u{0}b", "a\r\nb"] {
        refused(
            ACCOUNT,
            &account("/licenseKey/identifier", json!(identifier)),
            None,
            "identifier must not have line breaks or spaces around it",
        );
    }
}

#[test]
fn malformed_secret_reference_is_refused() {
    for name in ["Secret", "a/b", "a_b", "other.", "kube-system:x"] {
        refused(ACCOUNT, &account("/licenseKey/secretRef/name", json!(name)), None, "must be the name of a Secret in this namespace");
    }
    for key in ["license key", "a/b", "a\n"] {
        refused(ACCOUNT, &account("/licenseKey/secretRef/key", json!(key)), None, "must be a key of the Secret's data");
    }
    refused(
        ACCOUNT,
        &json!({"accessToken": {"secretRef": {"name": "A", "key": "token"}}}),
        None,
        "must be the name of a Secret in this namespace",
    );
}

#[test]
fn tls_of_an_account_names_one_bundle_and_valid_objects() {
    let tls = |tls: Value| {
        let mut spec = account("", Value::Null);
        spec["tls"] = tls;
        spec
    };
    let named = json!({ "name": "nuvo-tls" });
    for bundle in [json!({ "configMapRef": named, "key": "ca.crt" }), json!({ "secretRef": named, "key": "company.pem" })] {
        accepted(ACCOUNT, &tls(json!({ "caBundle": bundle, "clientCertificateSecretRef": named })), None);
    }
    accepted(ACCOUNT, &tls(json!({})), None);
    for bundle in [json!({ "key": "ca.crt" }), json!({ "configMapRef": named, "secretRef": named, "key": "ca.crt" })] {
        refused(ACCOUNT, &tls(json!({ "caBundle": bundle })), None, "set exactly one of configMapRef and secretRef");
    }
    for name in ["Secret", "a/b", "other."] {
        let refs = json!({ "clientCertificateSecretRef": { "name": name } });
        refused(ACCOUNT, &tls(refs), None, "name must be the name of an object in this namespace");
    }
    let key = json!({ "caBundle": { "secretRef": named, "key": "a/b" } });
    refused(ACCOUNT, &tls(key), None, "key must be a key of the ConfigMap or Secret");
}

#[test]
fn smallest_pipeline_is_accepted() {
    accepted(PIPELINE, &json!({"pipelineId": "orders"}), None);
}

#[test]
fn name_of_a_pipeline_that_is_too_long_for_a_label_is_refused() {
    let spec = json!({"pipelineId": "orders"});
    name_decided(PIPELINE, &"n".repeat(63), &spec, None);
    name_decided(PIPELINE, &"n".repeat(64), &spec, Some("must have at most 63 characters"));
}

#[test]
fn malformed_or_changed_id_of_a_pipeline_is_refused() {
    for id in ["../orders", "my orders", "orders\n", "a/b", "ä"] {
        refused(PIPELINE, &json!({"pipelineId": id}), None, "write the pipeline's id as nuvo shows it, not its name or URL");
    }
    let old = json!({"pipelineId": "orders"});
    accepted(PIPELINE, &json!({"pipelineId": "orders", "suspend": true, "freshness": {"maxAgeSeconds": 60}}), Some(&old));
    refused(PIPELINE, &json!({"pipelineId": "invoices"}), Some(&old), "create a new NuvoPipeline for the other pipeline");
}

#[test]
fn malformed_account_reference_of_a_pipeline_is_refused() {
    accepted(PIPELINE, &json!({"pipelineId": "orders", "accountRef": {"name": "team-a.eu"}}), None);
    let other = json!({"pipelineId": "orders", "accountRef": {"name": "other/default"}});
    refused(PIPELINE, &other, None, "must be the name of a NuvoAccount in this namespace");
}

#[test]
fn freshness_without_an_age_or_a_time_is_refused() {
    let fresh = |freshness: Value| json!({"pipelineId": "orders", "freshness": freshness});
    let due_by = json!([{"schedule": "0 7 * * 1-5", "windowSeconds": 3600}]);
    accepted(PIPELINE, &fresh(json!({"maxAgeSeconds": 86_400})), None);
    accepted(PIPELINE, &fresh(json!({"dueBy": due_by})), None);
    accepted(PIPELINE, &fresh(json!({"maxAgeSeconds": 86_400, "dueBy": due_by, "minRows": 1})), None);
    for nothing in [json!({}), json!({"minRows": 1}), json!({"dueBy": []})] {
        refused(PIPELINE, &fresh(nothing), None, "freshness must have maxAgeSeconds or dueBy");
    }
}

#[test]
fn malformed_schedule_of_a_due_time_is_refused() {
    let due = |schedule: &str| json!({"pipelineId": "orders", "freshness": {"dueBy": [{"schedule": schedule, "windowSeconds": 3600}]}});
    for schedule in [
        "0 7 * * 1-5",
        "*/15 8-18 * * MON-FRI",
        "30  6 1,15 * ?",
        "0 7 L * *",
        "0 7 * * 5#3",
        "@daily",
        "@hourly",
        "@midnight",
        "@annually",
    ] {
        accepted(PIPELINE, &due(schedule), None);
    }
    for schedule in [
        "0 0 7 * * *",
        "7 * * *",
        "0 7 * * 1-5 ",
        " 0 7 * * 1",
        "0 7 * * 1+2",
        "0\t7 * * *",
        "0 7 * *\n*",
        "TZ=UTC 0 7 * *",
        "CRON_TZ=UTC 0 7 * * *",
        "@every 1h",
        "@reboot",
        "@Daily",
    ] {
        refused(PIPELINE, &due(schedule), None, "schedule must have 5 fields");
    }
}

#[test]
fn malformed_time_zone_of_a_due_time_is_refused() {
    let due = |zone: &str| json!({"pipelineId": "orders", "freshness": {"dueBy": [{"schedule": "@daily", "timeZone": zone, "windowSeconds": 60}]}});
    for zone in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "Etc/GMT+5", "EST5EDT"] {
        accepted(PIPELINE, &due(zone), None);
    }
    for zone in ["Local", "posixrules", "../etc/passwd", "/Europe/Berlin", "Europe/", "Europe Berlin", "+02:00", "UTC\n", "Europe//Berlin"]
    {
        refused(PIPELINE, &due(zone), None, "timeZone must be the IANA name of a time zone");
    }
}

#[test]
fn quality_gate_of_a_pipeline_without_a_limit_is_refused() {
    accepted(PIPELINE, &json!({"pipelineId": "orders", "qualityGate": {"maxErrorRowPercent": 5}}), None);
    refused(
        PIPELINE,
        &json!({"pipelineId": "orders", "qualityGate": {}}),
        None,
        "set maxErrorRows, maxErrorCells, maxErrorRowPercent or minRows",
    );
}

/// A schedule with this at a JSON pointer of its spec.
fn schedule(pointer: &str, value: Value) -> Value {
    let mut spec = json!({
        "schedules": ["30 2 * * *"],
        "concurrencyPolicy": "Forbid",
        "runTemplate": {"metadata": {"labels": {}, "annotations": {}}, "spec": {"pipelineId": "orders"}},
    });
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    spec.pointer_mut(parent).unwrap()[field] = value;
    spec
}

#[test]
fn smallest_schedule_is_accepted() {
    accepted(SCHEDULE, &json!({"schedules": ["@daily"], "runTemplate": {"spec": {"pipelineId": "orders"}}}), None);
}

#[test]
fn line_that_is_no_cron_line_is_refused() {
    let nicknames = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];
    let lines = ["* * * * *", "5-59/15 0,12 1W * MON-FRI", "0 0 L * ?", "0 12 * * 5#2", "  30  2 * * *  "];
    for line in nicknames.into_iter().chain(lines) {
        accepted(SCHEDULE, &schedule("/schedules", json!([line])), None);
    }
    for line in [
        "@reboot",
        "@every 5m",
        "@dailyy",
        "0 30 2 * * *",
        "30 2 * *",
        "TZ=Europe/Berlin 30 2 * * *",
        "30 2 1 * +MON",
        "thirty two",
        "30 2 * * *\n",
        "30\t2 * * *",
    ] {
        let text = "write the time zone into timeZone; there are no seconds";
        refused(SCHEDULE, &schedule("/schedules", json!(["30 2 * * *", line])), None, text);
    }
}

#[test]
fn replacing_runs_is_refused() {
    for policy in ["Forbid", "Allow"] {
        accepted(SCHEDULE, &schedule("/concurrencyPolicy", json!(policy)), None);
    }
    let text = "nuvo cannot cancel an execution: use Forbid (waits) or Allow";
    refused(SCHEDULE, &schedule("/concurrencyPolicy", json!("Replace")), None, text);
}

#[test]
fn keys_of_tools_and_of_the_operator_are_refused_in_a_template() {
    let keys = [
        "nuvo.dev/schedule",
        "argocd.argoproj.io/tracking-id",
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
        "helm.sh/hook",
        "meta.helm.sh/release-name",
        "app.kubernetes.io/instance",
    ];
    for map in ["/runTemplate/metadata/labels", "/runTemplate/metadata/annotations"] {
        accepted(SCHEDULE, &schedule(map, json!({"team": "data", "app.kubernetes.io/name": "orders"})), None);
        for key in keys {
            refused(SCHEDULE, &schedule(map, json!({"team": "data", key: "x"})), None, "cannot be used in runTemplate, because the runs");
        }
    }
}

#[test]
fn fields_without_meaning_are_refused_in_a_template() {
    refused(SCHEDULE, &schedule("/runTemplate/spec/executionId", json!("e-1")), None, "executionId cannot be used in runTemplate");
    refused(SCHEDULE, &schedule("/runTemplate/spec/rerunToken", json!("2")), None, "rerunToken cannot be used in runTemplate");
    refused(SCHEDULE, &schedule("/runTemplate/spec/suspend", json!(true)), None, "set suspend of the schedule instead");
    accepted(SCHEDULE, &schedule("/runTemplate/spec/suspend", json!(false)), None);
    refused(SCHEDULE, &schedule("/runTemplate/spec/qualityGate", json!({})), None, "qualityGate must have at least one limit");
}

#[test]
fn changed_pipeline_id_of_a_schedule_is_refused() {
    let old = schedule("/runTemplate/spec/pipelineId", json!("orders"));
    accepted(SCHEDULE, &schedule("/runTemplate/spec/activeDeadlineSeconds", json!(60)), Some(&old));
    let other = schedule("/runTemplate/spec/pipelineId", json!("invoices"));
    refused(SCHEDULE, &other, Some(&old), "create a new PipelineSchedule for the other pipeline");
}
