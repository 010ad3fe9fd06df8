use secrecy::SecretString;

use super::*;

fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

fn read(body: &str) -> Result<Execution, Error> {
    one(body.as_bytes(), &id("e1"), &Redactor::new([SecretString::from("T0KEN")]))
}

#[test]
fn documented_sample_is_read() {
    let e = read(
        r#"{"data": {"id": "e1", "pipeline": "p", "status": "FAILED", "error": {"message": "it\u0007 broke T0KEN", "type": "ERROR_THRESHOLD_EXCEEDED"},
        "logs": [{"status": "FAILED", "data": {"total_rows": 7, "total_cells": -1, "total_error_cells": 1e400, "total_error_rows": 99999999999999999999},
        "duration": 12, "started_at": "2024-09-03T09:34:52.518Z", "type": "CREATED"}, {"status":"SUCCESSFUL","type":"FIX","started_on":"x"}],
        "trigger_type": "MANUAL", "configuration": {"id": "c"}, "createdAt": "2022-03-07 12:48:28.653",
        "created_by": {"id": "u", "name": "n", "identifier": "i", "type": "USER"}, "updated_at": "2022-03-07 12:48:28.653", "later": [1]}}"#,
    );
    // 1e400 is no number that JSON readers take.
    assert_eq!(e, Err(Error::Malformed { reason: "the body is not valid JSON" }));
    let e = read(
        r#"{"data": {"id": "e1", "pipeline": "p", "status": "FAILED", "error": {"message": "it\u0007 broke T0KEN", "type": "ERROR_THRESHOLD_EXCEEDED"},
        "logs": [{"status": "FAILED", "data": {"total_rows": 7, "total_cells": -1, "total_error_cells": 1.5, "total_error_rows": 99999999999999999999},
        "duration": 12, "started_at": "2024-09-03T09:34:52.518Z", "type": "CREATED"}, {"status":"SUCCESSFUL","type":"FIX","started_on":"x"}],
        "trigger_type": "MANUAL", "configuration": {"id": "c"}, "createdAt": "2022-03-07 12:48:28.653",
        "created_by": {"id": "u", "name": "n", "identifier": "i", "type": "USER"}, "updated_at": "2022-03-07 12:48:28.653", "later": [1]}}"#,
    )
    .unwrap();
    assert_eq!(e.status, ExecutionStatus::Failed);
    assert_eq!(e.pipeline.as_deref(), Some("p"));
    let error = e.error.unwrap();
    assert_eq!(error.kind.as_deref(), Some("ERROR_THRESHOLD_EXCEEDED"));
    assert_eq!(error.message.as_deref(), Some("it broke [redacted]"));
    assert_eq!(e.configuration.as_deref(), Some("c"));
    assert_eq!(e.created_at.unwrap().at.unwrap().to_string(), "2022-03-07T12:48:28.653Z");
    assert_eq!(e.created_by, Some(Identity::new("i")));
    let [first, second] = e.logs.as_slice() else { panic!("two logs") };
    assert_eq!((&first.kind, first.duration_ms), (&LogKind::Create, Some(12)));
    assert_eq!(first.stats, Stats { total_rows: Some(7), ..Stats::default() });
    assert_eq!(first.started_at.as_ref().unwrap().at.unwrap().to_string(), "2024-09-03T09:34:52.518Z");
    assert_eq!((&second.kind, second.started_at.as_ref().unwrap().at), (&LogKind::Fix, None));
}

#[test]
fn number_out_of_range_is_dropped() {
    let rows = |number: &str| {
        let log = format!(r#"{{"status":"SUCCESSFUL","duration":{number},"data":{{"total_rows":{number}}}}}"#);
        let read = read(&format!(r#"{{"id":"e1","pipeline":"p","status":"SUCCESSFUL","logs":[{log}]}}"#)).unwrap();
        (read.logs[0].stats.total_rows, read.logs[0].duration_ms)
    };
    let largest = 9_007_199_254_740_991;
    assert_eq!(rows("9007199254740991"), (Some(largest), Some(largest)));
    for number in ["9007199254740992", "9223372036854775807", "18446744073709551615", "-1"] {
        assert_eq!(rows(number), (None, None), "{number}");
    }
}

#[test]
fn unusual_form_is_read() {
    for body in [
        r#"{"id":"e1","pipeline":"p","status":"SUCCESSFUL"}"#,
        r#"{"data":{"id":"e1","pipeline":{"_id":"p"},"status":"SUCCESSFUL","error":{"message":"m"},"logs":null,"created_by":7,"configuration":[]}}"#,
        r#"{"data":{"id":"e1","pipeline":"p","status":"SUCCESSFUL","error":"text","logs":["x"],"created_at":5}}"#,
    ] {
        assert_eq!(read(body).unwrap().status, ExecutionStatus::Successful, "{body}");
    }
    assert_eq!(read(r#"{"id":"e1","status":"PROCESSING"}"#).unwrap().status, ExecutionStatus::Processing, "it ends nothing");
    let other = read(r#"{"id":"e1","status":"successful\u001b[1m"}"#).unwrap().status;
    assert_eq!(other, ExecutionStatus::Other("successful".into()));
    assert!(!other.is_terminal() && !ExecutionStatus::Processing.is_terminal() && ExecutionStatus::Failed.is_terminal());
}

#[test]
fn word_that_fits_only_after_cleaning_is_malformed() {
    let one = |pipeline: &str, status: &str| read(&format!(r#"{{"id":"e1","pipeline":"{pipeline}","status":"{status}"}}"#));
    for status in [" SUCCESSFUL", "FAILED\\n", "SUCC\\u200bESSFUL", "\\u001b[31mFAILED", "PROCESSING\\u0000"] {
        assert!(matches!(one("p", status), Err(Error::Malformed { .. })), "{status}");
    }
    for pipeline in ["p ", "\\u200bp", "p\\u0007", "T0KEN"] {
        assert!(matches!(one(pipeline, "PROCESSING"), Err(Error::Malformed { .. })), "{pipeline}");
    }
    let log = r#"{"status":" FAILED","type":"FIX"}"#;
    let e = read(&format!(r#"{{"id":"e1","pipeline":"p","status":"SUCCESSFUL","logs":[{log}]}}"#)).unwrap();
    assert_eq!((e.status, &e.logs[0].status), (ExecutionStatus::Successful, &None));
}

#[test]
fn answer_without_exact_meaning_is_malformed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("[{}1]", "1,".repeat(400_000));
    for body in [
        "",
        " \n",
        "<html></html>",
        "null",
        "[]",
        r#"{"data":{"id":"e1","status":"SUCC"#,
        r#"{"data":{"id":"e1","pipeline":"p","status":"SUCCESSFUL"}} trailing"#,
        r#"{"data":{"id":"e2","pipeline":"p","status":"SUCCESSFUL"}}"#,
        r#"{"data":{"id":1,"pipeline":"p","status":"SUCCESSFUL"}}"#,
        r#"{"data":{"pipeline":"p","status":"SUCCESSFUL"}}"#,
        r#"{"data":{"id":"e1"}}"#,
        r#"{"data":{"id":"e1","status":null}}"#,
        r#"{"data":{"id":"e1","status":["SUCCESSFUL"]}}"#,
        r#"{"data":{"id":"e1","status":"FAILED","pipeline":"p","status":"SUCCESSFUL"}}"#,
        r#"{"data":{"id":"e1","id":"e1","pipeline":"p","status":"SUCCESSFUL"}}"#,
        r#"{"data":{},"data":{"id":"e1","pipeline":"p","status":"SUCCESSFUL"}}"#,
        r#"{"data":{"id":"e1","status":"SUCCESSFUL","pipeline":3}}"#,
        r#"{"data":{"id":"e1","status":"SUCCESSFUL"}}"#,
        r#"{"data":{"id":"e1","status":"FAILED","pipeline":null}}"#,
        r#"{"data":{"id":"e1","status":"FAILED","pipeline":""}}"#,
        r#"{"data":{"id":"e1","status":"FAILED","pipeline":{"name":"p"}}}"#,
        &deep,
        &wide,
    ] {
        assert!(matches!(read(body), Err(Error::Malformed { .. })), "{body:.80}");
    }
}

#[test]
fn time_with_or_without_zone_is_read() {
    let at = |text| NuvoTime::read(text, &Redactor::default()).at.map(|t| t.to_string());
    assert_eq!(at("2022-03-07 12:48:28.653").as_deref(), Some("2022-03-07T12:48:28.653Z"));
    assert_eq!(at("2022-03-07T12:48:28").as_deref(), Some("2022-03-07T12:48:28Z"));
    assert_eq!(at("2022-03-07T12:48:28+02:00").as_deref(), Some("2022-03-07T10:48:28Z"));
    assert_eq!(at("yesterday"), None);
    assert_eq!(at("0000-01-01T00:00:00Z").as_deref(), Some("0000-01-01T00:00:00Z"));
    for outside in ["-000001-12-31T23:59:59Z", "-000044-03-15 00:00:00", "0000-01-01T00:00:00+01:00", "10000-01-01T00:00:00Z"] {
        assert_eq!(at(outside), None, "{outside}");
    }
}

#[test]
fn page_with_unreadable_entries_keeps_the_others() {
    let page = page(
        br#"{"data":[{"id":"a","status":"PROCESSING"},{"id":"b"},{"id":"../c","status":"FAILED"},7],"pagination":{"total":9,"limit":0}}"#,
        &Redactor::default(),
    )
    .unwrap();
    assert_eq!((page.items.len(), page.unreadable, page.limit, page.total), (1, 3, Some(0), Some(9)));
}

/// A short license key may be a part of the address.
#[test]
fn creator_is_compared_in_any_case_and_not_redacted() {
    let body = br#"{"id":"e1","status":"PROCESSING","created_by":{"identifier":" T0ken@Example.com"}}"#;
    let execution = one(body, &id("e1"), &Redactor::new([SecretString::from("T0ken")])).unwrap();
    assert_eq!(execution.created_by, Some(Identity::new("t0ken@example.com")));
    assert_eq!(execution.created_by.as_ref().unwrap().text(), None, "it contains a secret, so it is not shown");
    assert!(!format!("{execution:?}").contains("xample"), "{execution:?}");
}

#[test]
fn id_with_a_secret_is_refused() {
    let redactor = Redactor::new(["S3CR3T-T0KEN", "e"].map(SecretString::from));
    let list =
        br#"{"data":[{"id":"e1","pipeline":"p","status":"PROCESSING"},{"id":"x-S3CR3T-T0KEN","pipeline":"p","status":"PROCESSING"}]}"#;
    let page = page(list, &redactor).unwrap();
    assert_eq!((page.items.len(), page.unreadable), (1, 1), "a name may hold a secret of one letter by chance");
    assert_eq!(created(list, &PipelineId::new("p").unwrap(), 9, &redactor), Err(SECRET_ID));
}

#[test]
fn pipeline_and_token_are_read() {
    let p = PipelineId::new("p").unwrap();
    assert_eq!(
        pipeline(br#"{"data":{"id":"p","active":true,"draft":false,"configuration":{"developer_mode":true}}}"#, &p, &Redactor::default()),
        Ok(Pipeline { active: Some(true), draft: Some(false), developer_mode: Some(true), ..Pipeline::default() })
    );
    let described = br#"{"name":"Orders","input_connector":{"trigger_type":"TIME_BASE"},"schedule":{"frequency":"DAILY","interval":2}}"#;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        pipeline(described, &p, &Redactor::default()),
        Ok(Pipeline { name: text("Orders"), input_trigger: text("TIME_BASE"), schedule: text("DAILY x 2"), ..Pipeline::default() })
    );
    assert_eq!(pipeline(br#"{"active":"yes"}"#, &p, &Redactor::default()), Ok(Pipeline::default()));
    assert!(pipeline(br#"{"id":"q"}"#, &p, &Redactor::default()).is_err());
    assert_eq!(access_token(br#"{"access_token":"t"}"#).unwrap(), "t");
    assert_eq!(access_token(br#"{"data":{"access_token":"t"}}"#).unwrap(), "t");
    assert!(access_token(br#"{"token":"t"}"#).is_err());
}

#[test]
fn retry_after_is_read_in_both_forms() {
    let with = |value: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        headers.insert("date", "Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap());
        retry_after(&headers).map(|d| d.as_secs())
    };
    assert_eq!(with("7"), Some(7));
    assert_eq!(with("0"), Some(1));
    assert_eq!(with("99999999999999999999999"), Some(900));
    assert_eq!(with("Wed, 21 Oct 2015 07:28:30 GMT"), Some(30));
    assert_eq!(with("Wed, 21 Oct 2015 07:27:30 GMT"), Some(1));
    assert_eq!(with("soon"), None);
    assert_eq!(with("-1"), None);
}
