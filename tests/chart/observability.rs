//! Alerts and the dashboard ask only for what the operator exposes, and each alert has its runbook.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use k8s_openapi::jiff::SignedDuration;
use nuvo_client::{Code, Operation};
use nuvo_crds::conditions::ScheduleReason;
use nuvo_operator::telemetry::{
    Metrics, RunResult, TriggerOutcome,
    metrics::{ALL, Description, PHASES},
};
use serde_json::{Value, json};

use crate::{of_kind, read, rendered, repository};

/// Labels that every scraped sample gets from Prometheus.
const OF_THE_TARGET: [&str; 2] = ["job", "pod"];

/// How the names of our metrics begin.
const PREFIXES: [&str; 3] = ["nuvo_operator_", "nuvo_pipeline_", "nuvo_schedule_"];

/// What a query says: its metrics with the matchers of each, and the labels that it groups by.
#[derive(Debug, Default, PartialEq)]
struct Query {
    metrics: Vec<(String, Vec<(String, String)>)>,
    grouped: BTreeSet<String>,
}

fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

fn query(expression: &str) -> Query {
    let mut query = Query::default();
    let mut rest = expression;
    while let Some(letter) = rest.chars().next() {
        let found = word(rest);
        if found.is_empty() {
            // A text in quotes has no metric.
            let skipped = if letter == '"' { rest[1..].find('"').unwrap() + 2 } else { letter.len_utf8() };
            rest = &rest[skipped..];
            continue;
        }
        rest = &rest[found.len()..];
        if PREFIXES.iter().any(|prefix| found.starts_with(prefix)) {
            let matchers = rest.strip_prefix('{').map(|inner| &inner[..inner.find('}').unwrap()]);
            query.metrics.push((found.to_owned(), matchers.map(self::matchers).unwrap_or_default()));
            rest = &rest[matchers.map_or(0, |inner| inner.len() + 2)..];
        } else if ["by", "on"].contains(&found) {
            let inner = rest.trim_start().strip_prefix('(').unwrap();
            let labels = &inner[..inner.find(')').unwrap()];
            query.grouped.extend(labels.split(',').map(|label| label.trim().to_owned()));
            rest = &inner[labels.len() + 1..];
        }
    }
    query
}

fn matchers(text: &str) -> Vec<(String, String)> {
    let one = |matcher: &str| {
        let label = word(matcher.trim());
        (label.to_owned(), matcher.split('"').nth(1).unwrap().to_owned())
    };
    text.split(',').map(one).collect()
}

/// The metric of a series, and whether the series has the label `le`.
fn described(series: &str) -> Option<(&'static Description, bool)> {
    ALL.iter().find_map(|description| {
        let ends: &[&str] = if description.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        let end = ends.iter().find(|end| series.strip_suffix(**end) == Some(description.name))?;
        Some((description, *end == "_bucket"))
    })
}

/// The values that labels with a closed set of them have.
fn words() -> BTreeMap<&'static str, BTreeSet<String>> {
    let metrics = Metrics::new();
    use RunResult::{Cancellation, Error, Failure, Skip, Success, Timeout};
    for result in [Success, Failure, Error, Timeout, Cancellation, Skip] {
        metrics.run_finished(result, "");
    }
    for code in [Code::Connect, Code::Timeout, Code::Broken, Code::TooLarge, Code::Malformed, Code::Cancelled, Code::Status(429)] {
        metrics.nuvo_request(Operation::Read, code, Duration::ZERO);
    }
    metrics.trigger(TriggerOutcome::Unknown);
    metrics.expose_kind("PipelineRun");
    metrics.slot_started("team", "nightly", SignedDuration::ZERO);
    let exposition = metrics.encode();
    let values = |label: &str| -> BTreeSet<String> {
        let beginning = format!("{label}=\"");
        exposition.split(&beginning).skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
    };
    BTreeMap::from([
        ("phase", PHASES.map(str::to_owned).into()),
        ("outcome", values("outcome")),
        ("result", values("result")),
        ("reason", values("reason").into_iter().chain(ScheduleReason::ALL.iter().map(|reason| reason.as_str().to_owned())).collect()),
        ("age", values("age")),
        ("code", values("code").into_iter().chain(["5..".to_owned()]).collect()),
    ])
}

/// What is wrong with a query.
fn mistakes(expression: &str) -> Vec<String> {
    let query = query(expression);
    let words = words();
    let mut mistakes = Vec::new();
    let mut known: BTreeSet<&str> = OF_THE_TARGET.into();
    for (series, matchers) in &query.metrics {
        let Some((description, has_le)) = described(series) else {
            mistakes.push(format!("there is no {series}"));
            continue;
        };
        known.extend(description.labels);
        known.extend(has_le.then_some("le"));
        for (label, value) in matchers {
            if !description.labels.contains(&label.as_str()) && !OF_THE_TARGET.contains(&label.as_str()) {
                mistakes.push(format!("{series} has no label {label}"));
            }
            let strange = words.get(label.as_str()).map(|known| value.split('|').filter(|word| !known.contains(*word)).collect::<Vec<_>>());
            mistakes.extend(strange.into_iter().flatten().map(|word| format!("{label} is never {word}")));
        }
    }
    mistakes
        .extend(query.grouped.iter().filter(|label| !known.contains(label.as_str())).map(|label| format!("nothing has the label {label}")));
    if query.metrics.is_empty() {
        mistakes.push("it asks for none of our metrics".to_owned());
    }
    mistakes
}

#[test]
fn query_parser_finds_metrics_and_labels() {
    let text = "sum by (job, le) (rate(nuvo_operator_nuvo_requests_total{code=~\"5..|by\",operation=\"read\"}[5m]))
        > on (job) nuvo_operator_leader";
    let expected = Query {
        metrics: vec![
            (
                "nuvo_operator_nuvo_requests_total".to_owned(),
                vec![("code".to_owned(), "5..|by".to_owned()), ("operation".to_owned(), "read".to_owned())],
            ),
            ("nuvo_operator_leader".to_owned(), vec![]),
        ],
        grouped: ["job".to_owned(), "le".to_owned()].into(),
    };
    assert_eq!(query(text), expected);
    for (text, mistake) in [
        ("nuvo_operator_leaders", "there is no nuvo_operator_leaders"),
        ("nuvo_operator_budget_wait_seconds", "there is no nuvo_operator_budget_wait_seconds"),
        ("nuvo_operator_leader{phase=\"Running\"}", "nuvo_operator_leader has no label phase"),
        ("nuvo_operator_pipelineruns{phase=\"Lost\"}", "phase is never Lost"),
        ("sum by (le) (nuvo_operator_leader)", "nothing has the label le"),
        ("up", "it asks for none of our metrics"),
    ] {
        assert_eq!(mistakes(text), [mistake], "{text}");
    }
}

fn alerts() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&read("charts/nuvo-operator/files/alerts.yaml")).unwrap();
    file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The labels that a text names as `$labels.x` or `{{x}}`.
fn named<'a>(text: &'a str, beginning: &str) -> Vec<&'a str> {
    text.split(beginning).skip(1).map(|rest| word(rest.trim_start())).collect()
}

#[test]
fn alerts_query_existing_metrics_only() {
    for alert in alerts() {
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let (name, expression) = (text(&alert["alert"]), text(&alert["expr"]));
        assert_eq!(mistakes(&expression), [""; 0], "{name}");
        assert!(["critical", "warning", "info"].contains(&text(&alert["labels"]["severity"]).as_str()), "{name}");
        let grouped = query(&expression).grouped;
        for field in ["summary", "description"] {
            let words = text(&alert["annotations"][field]);
            assert!(!words.is_empty(), "{name} has no {field}");
            for label in named(&words, "$labels.") {
                assert!(grouped.contains(label), "{name}: its result has no label {label}");
            }
        }
    }
}

fn promtool(arguments: &[&str]) {
    let output = controlplane::promtool().unwrap().args(arguments).current_dir(repository()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn alerts_fire_as_their_tests_say() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "charts/nuvo-operator/files/alerts.yaml"]);
    promtool(&["test", "rules", "tests/chart/alerts_test.yaml"]);

    let tests: Value = serde_yaml::from_str(&read("tests/chart/alerts_test.yaml")).unwrap();
    let cases = tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap());
    let tested: BTreeSet<(String, bool)> =
        cases.map(|case| (case["alertname"].as_str().unwrap().to_owned(), case.get("exp_alerts").is_some())).collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        for fires in [true, false] {
            assert!(tested.contains(&(name.clone(), fires)), "no test says when {name} {}", if fires { "fires" } else { "does not fire" });
        }
    }
}

#[test]
fn alerts_and_runbooks_match_one_to_one() {
    let mut expected = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        let page = format!("docs/runbooks/{name}.md");
        assert_eq!(alert["annotations"]["runbook_url"], json!(page));
        let text = read(&page);
        assert!(text.starts_with(&format!("# {name}\n")), "{page}");
        for part in ["## Meaning", "## Impact", "## Diagnosis", "## What to do"] {
            assert!(text.contains(&format!("\n{part}\n")), "{page} has no {part}");
        }
        assert!(text.contains("```console\n$ "), "{page} has no command");
        expected.insert(format!("{name}.md"));
    }
    let pages = std::fs::read_dir(repository().join("docs/runbooks")).unwrap();
    let pages: BTreeSet<String> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(pages, expected);
}

#[test]
fn chart_ships_the_alerts_with_runbook_urls() {
    let objects = rendered(&json!({ "prometheusRule": { "enabled": true, "runbookBaseUrl": "https://runbooks.example.com/" } }));
    let mut rules: Vec<Value> = of_kind(&objects, "PrometheusRule")[0]["spec"]["groups"][0]["rules"].as_array().unwrap().clone();
    for rule in &mut rules {
        let name = rule["alert"].as_str().unwrap().to_owned();
        assert_eq!(rule["annotations"]["runbook_url"], json!(format!("https://runbooks.example.com/{name}.md")));
        rule["annotations"]["runbook_url"] = json!(format!("docs/runbooks/{name}.md"));
    }
    assert_eq!(rules, alerts());
}

#[test]
fn dashboard_queries_existing_metrics_only() {
    let text = read("charts/nuvo-operator/files/dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut ids = BTreeSet::new();
    let mut shown = BTreeSet::new();
    let mut as_rules = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{title}: its id is taken");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert_eq!(mistakes(expression), [""; 0], "{title}");
            // What Grafana puts in.
            let filled_in = expression.replace("$__rate_interval", "5m").replace("$job", ".*");
            as_rules.push(json!({ "record": format!("panel:{}:{}", panel["id"], as_rules.len()), "expr": filled_in }));
            let query = query(expression);
            for label in named(target["legendFormat"].as_str().unwrap(), "{{") {
                assert!(query.grouped.contains(label), "{title}: its result has no label {label}");
            }
            shown.extend(query.metrics.iter().map(|(series, _)| described(series).unwrap().0.name));
        }
    }
    assert_eq!(shown, ALL.iter().map(|description| description.name).collect(), "a metric that the dashboard does not show");
    for variable in dashboard["templating"]["list"].as_array().unwrap().iter().filter(|variable| variable["type"] == "query") {
        assert_eq!(mistakes(variable["query"].as_str().unwrap()), [""; 0]);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-rules.json");
    std::fs::write(&path, json!({ "groups": [{ "name": "dashboard", "rules": as_rules }] }).to_string()).unwrap();
    promtool(&["check", "rules", &path.display().to_string()]);

    let objects = rendered(&json!({ "dashboard": { "enabled": true } }));
    let shipped = of_kind(&objects, "ConfigMap")[0]["data"]["nuvo-operator.json"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(shipped).unwrap(), dashboard);
}

#[test]
fn documents_name_existing_metrics_only() {
    let mut pages: Vec<String> =
        ["README.md", "docs/operations.md", "docs/install.md", "docs/pipelines.md", "docs/schedules.md"].map(str::to_owned).into();
    pages.extend(alerts().iter().map(|alert| format!("docs/runbooks/{}.md", alert["alert"].as_str().unwrap())));
    for page in pages {
        let text = read(&page);
        for prefix in PREFIXES {
            for rest in text.split(prefix).skip(1) {
                let series = format!("{prefix}{}", word(rest));
                assert!(described(&series).is_some() || ALL.iter().any(|metric| metric.name == series), "{page}: there is no {series}");
            }
        }
    }
}
