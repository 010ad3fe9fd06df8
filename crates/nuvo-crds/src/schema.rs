//! The parts of the schemas that the derives cannot express.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::PipelineRunSpec;

/// `conditions`: a map by `type`, bounded, with the formats that Kubernetes asks for.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the state of the object.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "Last time the condition transitioned from one status to another.",
                },
                "message": { "type": "string", "maxLength": 32768, "description": "Human-readable message: what happened, and what the reader can do next." },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "maximum": 9_007_199_254_740_991_i64,
                    "description": "The metadata.generation that the condition was set upon.",
                },
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "Programmatic identifier of the reason for the last transition.",
                },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown." },
                "type": {
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                    "description": "Type of the condition.",
                },
            },
        },
    })
}

/// The spec of the runs that a schedule makes: as of a run, without what has no meaning there.
///
/// The rules of a run about `executionId` go with that field. What is refused stays in the schema, so that it can be refused with a reason:
/// the API server would drop an unknown field without a word.
pub(super) fn run_template_spec(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = PipelineRunSpec::json_schema(generator);
    let rule = |rule: &str, message: &str, field: &str| json!({ "rule": rule, "message": message, "fieldPath": field });
    let refusals = json!([
        rule(
            "!has(self.executionId)",
            "executionId cannot be used in runTemplate, because each run of a schedule starts an execution of its own: remove it",
            ".executionId"
        ),
        rule(
            "!has(self.rerunToken)",
            "rerunToken cannot be used in runTemplate, because each slot has a run of its own: remove it",
            ".rerunToken"
        ),
        rule(
            "!has(self.suspend) || !self.suspend",
            "suspend cannot be true in runTemplate: set suspend of the schedule instead",
            ".suspend"
        ),
    ]);
    schema.insert("x-kubernetes-validations".to_owned(), refusals);
    let descriptions = [
        ("executionId", "Cannot be used in runTemplate."),
        ("rerunToken", "Cannot be used in runTemplate."),
        ("suspend", "Cannot be true in runTemplate: spec.suspend holds the schedule back."),
    ];
    let Some(properties) = schema.get_mut("properties") else { return schema };
    for (field, description) in descriptions {
        if let Some(text) = properties.pointer_mut(&format!("/{field}/description")) {
            *text = description.into();
        }
    }
    if let Some(Value::String(text)) = properties.pointer_mut("/concurrencyPolicy/description") {
        text.push_str(" Whether a slot waits for earlier runs of this schedule is decided by spec.concurrencyPolicy.");
    }
    let of_pipeline = properties.pointer_mut("/pipelineId/x-kubernetes-validations").and_then(Value::as_array_mut);
    for rule in of_pipeline.into_iter().flatten().filter(|rule| rule["rule"] == "self == oldSelf") {
        rule["message"] = "pipelineId of a schedule cannot be changed: create a new PipelineSchedule for the other pipeline".into();
    }
    schema
}

/// Keys that tools use to track what they have made, and the operator for its own records. A run that had them would be taken for theirs.
const FOREIGN_KEYS: &str = "self.all(key, !key.startsWith('nuvo.dev/') && !key.startsWith('argocd.argoproj.io/') && \
                            !key.startsWith('kustomize.toolkit.fluxcd.io/') && !key.startsWith('helm.toolkit.fluxcd.io/') && \
                            !key.startsWith('helm.sh/') && !key.startsWith('meta.helm.sh/') && key != 'app.kubernetes.io/instance')";

/// A bounded map of texts.
fn template_map(longest: usize, description: &str) -> Schema {
    let message = "keys of Argo CD, Flux, Helm (also app.kubernetes.io/instance) and nuvo.dev/ cannot be used in runTemplate, because the runs \
                   would be taken for objects that these tools made: remove them";
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": longest, "description": description },
        "x-kubernetes-validations": [{ "rule": FOREIGN_KEYS, "message": message }],
    })
}

/// `runTemplate.metadata.labels`.
pub(super) fn template_labels(_: &mut SchemaGenerator) -> Schema {
    template_map(63, "Value of the label.")
}

/// `runTemplate.metadata.annotations`.
pub(super) fn template_annotations(_: &mut SchemaGenerator) -> Schema {
    template_map(4_096, "Value of the annotation.")
}

/// Tidies a generated definition, given as JSON.
///
/// - Removes `nullable` and the `null` of optional enums. Without them, the API server replaces an explicit `null` with the default, as users
///   expect.
/// - Removes the line breaks of the source from descriptions.
pub(super) fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // A property may itself be called `nullable` or `description`; its value is a schema then, not a bool or text.
            if map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split("\n\n").map(|p| p.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Removes the defaults inside the status; the one of the status as a whole stays.
///
/// They define how this code reads absent fields. The API server must not write them into the objects that it stores.
pub(super) fn without_status_defaults(crd: &mut Value) {
    let Some(versions) = crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut) else { return };
    for version in versions {
        if let Some(properties) = version.pointer_mut("/schema/openAPIV3Schema/properties/status/properties") {
            remove_defaults(properties);
        }
    }
}

fn remove_defaults(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("default");
            map.values_mut().for_each(remove_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_defaults),
        _ => {}
    }
}

/// Writes numbers such as `1.0` as `1`. The typed definition has only floats for limits, but people and diff tools read the text.
pub(super) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // Every limit of the schemas is a whole number below 2^53, which a float holds exactly; its text is the same number.
            if let Some(whole) =
                number.as_f64().and_then(|float| format!("{float:.0}").parse::<i64>().ok().filter(|_| float.fract() == 0.0))
            {
                *value = whole.into();
            }
        }
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        _ => {}
    }
}
