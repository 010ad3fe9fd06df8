//! What must come out of the examples.

use std::collections::BTreeSet;

use serde_json::Value;

struct Expected {
    name: &'static str,
    /// Status and reason of the condition `Succeeded`.
    succeeded: (&'static str, &'static str),
    executions: i64,
    /// The sum over the executions.
    rows: Option<i64>,
    error: Option<&'static str>,
}

/// As `dev/nuvo-sim/pipelines.yaml` has it.
const EXPECTED: [Expected; 5] = [
    Expected { name: "orders", succeeded: ("True", "Succeeded"), executions: 1, rows: Some(1_200), error: None },
    Expected { name: "invoices", succeeded: ("True", "Succeeded"), executions: 3, rows: Some(930), error: None },
    Expected {
        name: "customers",
        succeeded: ("False", "ExecutionFailed"),
        executions: 1,
        rows: Some(500),
        error: Some("ERROR_THRESHOLD_EXCEEDED"),
    },
    Expected { name: "ledger", succeeded: ("True", "Succeeded"), executions: 1, rows: Some(48_000), error: None },
    Expected { name: "archive", succeeded: ("True", "NothingToProcess"), executions: 0, rows: None, error: None },
];

/// What came out otherwise, one line each. `posts` says how often a pipeline was triggered.
pub fn differences(runs: &[Value], posts: impl Fn(&str) -> u64) -> Vec<String> {
    let mut found = Vec::new();
    for Expected { name, succeeded, executions, rows, error } in EXPECTED {
        let run = runs.iter().find(|run| text(run, "/metadata/name") == Some(name)).unwrap_or(&Value::Null);
        let mut compare = |what: &str, is: String, should: String| {
            if is != should {
                found.push(format!("{name}: {what} is {is}, expected {should}"));
            }
        };
        let conditions = run.pointer("/status/conditions").and_then(Value::as_array);
        let condition = conditions.into_iter().flatten().find(|condition| text(condition, "/type") == Some("Succeeded"));
        let word = |pointer: &str| condition.and_then(|condition| text(condition, pointer));
        let is = (word("/status").unwrap_or("missing"), word("/reason").unwrap_or_default());
        compare("Succeeded", format!("{} {}", is.0, is.1), format!("{} {}", succeeded.0, succeeded.1));
        let is = number(run, "/status/executionCount").unwrap_or_default();
        compare("the number of executions", is.to_string(), executions.to_string());
        let is = text(run, "/status/error/type");
        compare("the error", format!("{is:?}"), format!("{error:?}"));
        if let Some(rows) = rows {
            let is = number(run, "/status/stats/totalRows");
            compare("the number of rows", format!("{is:?}"), format!("{:?}", Some(rows)));
        }
        compare("the number of triggers", posts(name).to_string(), "1".to_owned());
    }
    found
}

/// Name and trigger of each pipeline that nuvo starts itself, as `dev/nuvo-sim/pipelines.yaml` has it, and whether its rows are good enough.
const OBSERVED: [(&str, &str, Option<&str>); 2] = [("deliveries", "SCHEDULED", None), ("returns", "EVENT", Some("False"))];

/// What was observed otherwise, one line each.
pub fn observed_differences(pipelines: &[Value], posts: impl Fn(&str) -> u64) -> Vec<String> {
    let mut found = Vec::new();
    for (name, trigger, quality) in OBSERVED {
        let pipeline = pipelines.iter().find(|pipeline| text(pipeline, "/metadata/name") == Some(name)).unwrap_or(&Value::Null);
        let conditions = pipeline.pointer("/status/conditions").and_then(Value::as_array);
        let gate = conditions.into_iter().flatten().find(|condition| text(condition, "/type") == Some("QualityGatePassed"));
        let is = (text(pipeline, "/status/lastExecution/triggerType"), gate.and_then(|gate| text(gate, "/status")), posts(name));
        // The rows may not be read yet.
        let right = is.0 == Some(trigger) && (is.1 == quality || is.1 == Some("Unknown")) && is.2 == 0;
        if !right {
            found.push(format!("{name}: trigger, quality and POSTs are {is:?}, expected {:?}", (Some(trigger), quality, 0)));
        }
    }
    found
}

/// The pipeline of the schedule in `examples/each-minute.yaml`.
const SCHEDULED: &str = "stock";

/// What came of the schedule otherwise, one line each: a run for a minute that has succeeded, and no POST without a run.
pub fn schedule_differences(runs: &[Value], posts: impl Fn(&str) -> u64) -> Vec<String> {
    let own: Vec<&Value> = runs.iter().filter(|run| text(run, "/spec/pipelineId") == Some(SCHEDULED)).collect();
    let slots: BTreeSet<_> = own.iter().filter_map(|run| text(run, "/metadata/annotations/nuvo.dev~1scheduled-at")).collect();
    let ended = own.iter().filter(|run| text(run, "/status/phase") == Some("Succeeded")).count();
    let triggered = usize::try_from(posts(SCHEDULED)).unwrap_or(usize::MAX);
    let right = ended > 0 && slots.len() == own.len() && (ended..=own.len()).contains(&triggered);
    let is = format!("{SCHEDULED}: runs, minutes, successes and POSTs are {:?}", (own.len(), slots.len(), ended, triggered));
    if right { Vec::new() } else { vec![format!("{is}, expected the same number of each, and at least 1")] }
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer)?.as_i64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn observed_pipeline_that_was_triggered_or_not_seen_differs() {
        let seen = |name: &str, trigger: &str| {
            json!({ "metadata": { "name": name }, "status": { "lastExecution": { "triggerType": trigger },
            "conditions": [{ "type": "QualityGatePassed", "status": "Unknown" }] } })
        };
        let both = [seen("deliveries", "SCHEDULED"), seen("returns", "EVENT")];
        assert_eq!(super::observed_differences(&both, |_| 0), [""; 0]);
        assert_eq!(super::observed_differences(&both, |_| 1).len(), 2);
        assert_eq!(super::observed_differences(&[seen("deliveries", "MANUAL")], |_| 0).len(), 2);
    }

    #[test]
    fn schedule_without_a_run_with_two_for_a_minute_or_with_two_posts_differs() {
        let run = |slot: &str, phase: &str| json!({ "metadata": { "annotations": { "nuvo.dev/scheduled-at": slot } }, "spec": { "pipelineId": "stock" }, "status": { "phase": phase } });
        let (first, next) = (run("2026-11-29T10:00:00Z", "Succeeded"), run("2026-11-29T10:01:00Z", "Running"));
        let found = |runs: [&serde_json::Value; 2], posts| super::schedule_differences(&runs.map(Clone::clone), |_| posts).len();
        let other = json!({ "spec": { "pipelineId": "orders" } });
        assert_eq!((found([&first, &other], 1), found([&first, &next], 2), found([&first, &next], 1)), (0, 0, 0));
        assert_eq!((found([&other, &other], 0), found([&next, &other], 1)), (1, 1), "none has succeeded");
        assert_eq!((found([&first, &other], 2), found([&first, &first], 2)), (1, 1), "two POSTs for a run, two runs for a minute");
    }

    #[test]
    fn what_is_missing_differs() {
        let found = super::differences(&[], |pipeline| if pipeline == "orders" { 2 } else { 1 });
        for wanted in [
            "orders: Succeeded is missing , expected True Succeeded",
            "orders: the number of rows is None, expected Some(1200)",
            "orders: the number of triggers is 2, expected 1",
            "invoices: the number of executions is 0, expected 3",
            "customers: the error is None, expected Some(\"ERROR_THRESHOLD_EXCEEDED\")",
        ] {
            assert!(found.iter().any(|line| line == wanted), "{wanted} is not in {found:#?}");
        }
    }
}
