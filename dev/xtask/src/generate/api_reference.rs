//! Generates the reference of the API: every field of the custom resources, from their schemas.

use std::{error::Error, fmt::Write};

use nuvo_crds::{
    self,
    conditions::{self, AccountReason, FreshReason, LastExecutionReason, ObservationReason, QualityGateReason, Reason, ScheduleReason},
    well_known,
};
use serde_json::Value;

const HEAD: &str = "\
<!-- Made from crates/nuvo-crds by `cargo xtask generate`. Do not edit. -->
# API reference

Group `nuvo.dev`, version `v1alpha1`. `kubectl explain pipelinerun.spec --api-version=nuvo.dev/v1alpha1` shows the same in a terminal. The API
server refuses invalid values with a message that says what to write instead. Times are RFC 3339 with whole seconds.

";

/// `docs/api.md`.
pub fn markdown() -> Result<String, Box<dyn Error>> {
    let mut text = HEAD.to_owned();
    for crd in nuvo_crds::crds()? {
        let crd = serde_json::to_value(crd)?;
        kind(&mut text, &crd)?;
    }
    annotations(&mut text)?;
    Ok(text)
}

fn kind(text: &mut String, crd: &Value) -> Result<(), Box<dyn Error>> {
    let spec = &crd["spec"];
    let (names, version) = (&spec["names"], at(spec, "/versions/0"));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = word(&names["kind"]);
    let schema = at(version, "/schema/openAPIV3Schema");
    writeln!(text, "## {kind}\n\n{}\n", word(&schema["description"]))?;
    let short: Vec<String> = names["shortNames"].as_array().into_iter().flatten().map(|name| format!("`{}`", word(name))).collect();
    writeln!(text, "Plural `{}`, short {}, category `nuvo`; namespaced.\n", word(&names["plural"]), short.join(", "))?;
    for message in messages(schema) {
        writeln!(text, "Rule: {message}\n")?;
    }
    for part in ["spec", "status"] {
        writeln!(text, "### {kind} {part}\n\n| field | type | default | |\n|---|---|---|---|")?;
        fields(text, "", at(schema, &format!("/properties/{part}")))?;
        text.push('\n');
        rules(text, at(schema, &format!("/properties/{part}")))?;
    }
    writeln!(text, "### {kind} columns\n\n| column | path | |\n|---|---|---|")?;
    for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let wide = if column["priority"].as_i64().unwrap_or_default() > 0 { " (with `-o wide`)" } else { "" };
        writeln!(text, "| {} | `{}` | {}{wide} |", word(&column["name"]), word(&column["jsonPath"]), word(&column["description"]))?;
    }
    text.push('\n');
    reasons(text, &kind)
}

/// The value at a JSON pointer; null if there is none.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn fields(text: &mut String, path: &str, schema: &Value) -> Result<(), Box<dyn Error>> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let description = field["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let must = if required.contains(&name.as_str()) && field.get("default").is_none() { "required" } else { "" };
        let default = field.get("default").map_or_else(|| must.to_owned(), |value| format!("`{value}`"));
        writeln!(text, "| `{path}` | {} | {default} | {description} |", type_of(field))?;
        fields(text, &path, field)?;
        if field["items"].get("properties").is_some() {
            fields(text, &format!("{path}[]"), &field["items"])?;
        }
    }
    Ok(())
}

fn type_of(field: &Value) -> String {
    // Bounds are numbers of JSON Schema, which need not be integers.
    let whole = |key: &str| field.get(key).map(|bound| bound.to_string().trim_end_matches(".0").to_owned());
    let bound = |low: &str, high: &str| match (whole(low), whole(high)) {
        (Some(low), Some(high)) => format!(", {low} to {high}"),
        (None, Some(high)) => format!(", at most {high}"),
        _ => String::new(),
    };
    if let Some(words) = field["enum"].as_array() {
        return words.iter().map(|word| format!("`{}`", word.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", ");
    }
    let kind = field["type"].as_str().unwrap_or_default();
    match kind {
        "string" if field["format"] == "date-time" => "time".to_owned(),
        "string" => format!("string{}", bound("minLength", "maxLength")),
        "integer" => format!("integer{}", bound("minimum", "maximum")),
        "object" if field.get("additionalProperties").is_some() => {
            format!("map of {}{}", type_of(&field["additionalProperties"]), bound("minProperties", "maxProperties"))
        }
        "array" => format!("list of {}{}", type_of(&field["items"]), bound("minItems", "maxItems")),
        other => other.to_owned(),
    }
}

fn rules(text: &mut String, schema: &Value) -> Result<(), Box<dyn Error>> {
    let mut messages = Vec::new();
    collect(schema, &mut messages);
    if !messages.is_empty() {
        writeln!(text, "Rules:\n")?;
        for message in messages {
            writeln!(text, "- {message}")?;
        }
        text.push('\n');
    }
    Ok(())
}

fn collect(schema: &Value, found: &mut Vec<String>) {
    found.extend(messages(schema));
    for (_, field) in schema["properties"].as_object().into_iter().flatten() {
        collect(field, found);
    }
    if let Some(items) = schema.get("items") {
        collect(items, found);
    }
}

/// The messages of the rules of a schema itself.
fn messages(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["message"].as_str().map(str::to_owned)).collect()
}

/// A condition, and its reasons: status, reason and meaning.
type Reasons = (&'static str, Vec<[String; 3]>);

fn reasons(text: &mut String, kind: &str) -> Result<(), Box<dyn Error>> {
    macro_rules! of {
        ($condition:ident, $reasons:ty) => {{
            let rows = <$reasons>::ALL.iter().map(|reason| [reason.status().to_string(), reason.to_string(), reason.meaning().to_owned()]);
            (conditions::$condition, rows.collect())
        }};
    }
    let (leading, others): (Reasons, Vec<Reasons>) = match kind {
        "PipelineRun" => (of!(SUCCEEDED, Reason), Vec::new()),
        "NuvoPipeline" => (
            of!(READY, ObservationReason),
            vec![of!(FRESH, FreshReason), of!(LAST_EXECUTION_SUCCEEDED, LastExecutionReason), of!(QUALITY_GATE_PASSED, QualityGateReason)],
        ),
        "PipelineSchedule" => (of!(READY, ScheduleReason), Vec::new()),
        _ => (of!(READY, AccountReason), Vec::new()),
    };
    let (condition, rows) = leading;
    let follow = if others.is_empty() { "of the others" } else { "of `Reconciling` and `Stalled`" };
    writeln!(text, "### {kind} reasons\n\nOf the condition `{condition}`, and {follow}, which follow from it:\n")?;
    reason_table(text, rows)?;
    for (condition, rows) in others {
        writeln!(text, "Of the condition `{condition}`:\n")?;
        reason_table(text, rows)?;
    }
    Ok(())
}

fn reason_table(text: &mut String, rows: Vec<[String; 3]>) -> Result<(), Box<dyn Error>> {
    writeln!(text, "| status | reason | |\n|---|---|---|")?;
    for [status, reason, meaning] in rows {
        writeln!(text, "| {status} | `{reason}` | {} |", meaning.trim())?;
    }
    text.push('\n');
    Ok(())
}

fn annotations(text: &mut String) -> Result<(), Box<dyn Error>> {
    writeln!(text, "## Annotations and labels\n\n| | on | |\n|---|---|---|")?;
    let rows = [
        (well_known::TRIGGER_ANNOTATION, "PipelineRun", "The operator's marker: a trigger with this nonce may be out. Do not touch it."),
        (
            well_known::RESOLVE_ANNOTATION,
            "PipelineRun",
            "A person's answer to a trigger in doubt: `<nonce>:adopt=<id,..>`, `<nonce>:retry` or `<nonce>:abandon`.",
        ),
        (well_known::SCHEDULE_LABEL, "PipelineRun", "A label: the name of the PipelineSchedule that made the run."),
        (
            well_known::SCHEDULED_AT_ANNOTATION,
            "PipelineRun",
            "The slot of a run that a PipelineSchedule made. Such a run starts only if the schedule has claimed the slot for it.",
        ),
        (
            well_known::HEALTH_ANNOTATION,
            "NuvoPipeline",
            "With the value `data`, Argo CD shows stale data, a failed execution and a failed quality gate as Degraded, too.",
        ),
        (well_known::CREDENTIAL_LABEL, "Secret", "A label. Only a Secret with the value `true` may be used by a NuvoAccount."),
    ];
    for (name, object, meaning) in rows {
        writeln!(text, "| `{name}` | {object} | {meaning} |")?;
    }
    Ok(())
}
