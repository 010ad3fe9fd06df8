//! The parts of the schemas that the derives cannot express.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

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
