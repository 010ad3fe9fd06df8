//! A definition as the API server serves it, compared with the one of this version.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::definitions::crds;

/// How many gaps are named.
const NAMED: usize = 5;

/// A kind as the API server knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedDefinition {
    kind: &'static str,
    gaps: Vec<String>,
    status: Value,
}

impl ServedDefinition {
    /// Finds a kind in the OpenAPI document of its group and version.
    #[must_use]
    pub fn find(document: &Value, kind: &'static str) -> Option<Self> {
        let schemas = document.pointer("/components/schemas")?.as_object()?;
        let served = schemas.values().find(|schema| is_of(schema, kind))?;
        let crd = crds().ok()?.into_iter().find(|crd| crd.spec.names.kind == kind)?;
        let crd = serde_json::to_value(crd).ok()?;
        let mut gaps = Vec::new();
        compare(crd.pointer("/spec/versions/0/schema/openAPIV3Schema")?, served, "", &mut gaps);
        let status = served.pointer("/properties/status").cloned().unwrap_or_default();
        Some(Self { kind, gaps, status })
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The fields that it does not know, and would prune, and the values that it would refuse.
    #[must_use]
    pub fn gaps(&self) -> &[String] {
        &self.gaps
    }

    /// A status of the kind as this definition can keep it.
    #[must_use]
    pub fn fit<T: Serialize + DeserializeOwned>(&self, status: T) -> T {
        if self.gaps.is_empty() {
            return status;
        }
        let fitted = serde_json::to_value(&status).and_then(|mut json| {
            prune(&mut json, &self.status);
            serde_json::from_value(json)
        });
        fitted.unwrap_or(status)
    }
}

impl fmt::Display for ServedDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<&str> = self.gaps.iter().take(NAMED).map(String::as_str).collect();
        write!(f, "the installed definition of {} is older than the operator and lacks {}", self.kind, named.join(", "))?;
        match self.gaps.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn is_of(schema: &Value, kind: &str) -> bool {
    let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
    kinds.is_some_and(|kinds| kinds.iter().any(|named| named["group"] == "nuvo.dev" && named["kind"] == kind))
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

fn words(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("enum")?.as_array()
}

/// Collects what the one schema has and the other lacks.
fn compare(ours: &Value, served: &Value, path: &str, gaps: &mut Vec<String>) {
    for (name, schema) in properties(ours).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match properties(served).and_then(|known| known.get(name)) {
            Some(served) => compare(schema, served, &path, gaps),
            None => gaps.push(path),
        }
    }
    if let (Some(ours), Some(served)) = (ours.get("items"), served.get("items")) {
        compare(ours, served, &format!("{path}[]"), gaps);
    }
    if let (Some(ours), Some(known)) = (words(ours), words(served)) {
        let unknown = ours.iter().filter(|word| !known.contains(word));
        gaps.extend(unknown.map(|word| format!("{path}={}", word.as_str().unwrap_or_default())));
    }
}

/// Removes the fields that the API server would prune, and the values for which it would refuse the whole.
fn prune(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            let Some(known) = properties(schema) else { return };
            fields.retain(|name, value| {
                let Some(schema) = known.get(name) else { return false };
                prune(value, schema);
                words(schema).is_none_or(|words| words.contains(value))
            });
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            items.iter_mut().for_each(|item| prune(item, schema));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Phase, PipelineRunStatus};

    /// The document with which an API server would serve the definition of this version.
    fn document() -> Value {
        let crd = serde_json::to_value(&crds().unwrap()[0]).unwrap();
        let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        schema["x-kubernetes-group-version-kind"] = json!([{ "group": "nuvo.dev", "version": "v1alpha1", "kind": "PipelineRun" }]);
        let other =
            json!({ "x-kubernetes-group-version-kind": [{ "group": "nuvo.dev", "version": "v1alpha1", "kind": "PipelineRunList" }] });
        json!({ "components": { "schemas": { "list": other, "run": schema } } })
    }

    fn status() -> PipelineRunStatus {
        let execution = json!({ "id": "e1", "status": "SUCCESSFUL", "triggerType": "MANUAL" });
        serde_json::from_value(json!({ "phase": "Unresolved", "duration": "2s", "attempt": 1, "executions": [execution] })).unwrap()
    }

    #[test]
    fn definition_of_this_version_has_no_gaps() {
        let served = ServedDefinition::find(&document(), "PipelineRun").unwrap();
        assert_eq!((served.gaps(), served.fit(status())), (&[][..], status()));
        assert_eq!(ServedDefinition::find(&document(), "NuvoAccount"), None);
        assert_eq!(ServedDefinition::find(&json!({}), "PipelineRun"), None);
    }

    #[test]
    fn fields_and_values_of_an_older_definition_are_named_and_not_written() {
        let mut document = document();
        let run = &mut document["components"]["schemas"]["run"]["properties"];
        run["spec"]["properties"].as_object_mut().unwrap().remove("suspend");
        let status_schema = &mut run["status"]["properties"];
        status_schema.as_object_mut().unwrap().remove("duration");
        status_schema["executions"]["items"]["properties"].as_object_mut().unwrap().remove("triggerType");
        status_schema["phase"]["enum"].as_array_mut().unwrap().retain(|word| word != "Unresolved");
        let served = ServedDefinition::find(&document, "PipelineRun").unwrap();
        let gaps = ["spec.suspend", "status.duration", "status.executions[].triggerType", "status.phase=Unresolved"];
        assert_eq!(served.gaps(), gaps);
        let message = format!("the installed definition of PipelineRun is older than the operator and lacks {}", gaps.join(", "));
        assert_eq!(served.to_string(), message);
        let fitted = served.fit(status());
        let mut wanted = status();
        (wanted.phase, wanted.current.duration) = (None, None);
        wanted.current.executions[0].trigger_type = None;
        assert_eq!(fitted, wanted);
        let known = PipelineRunStatus { phase: Some(Phase::Running), ..wanted };
        assert_eq!(served.fit(known.clone()), known);
    }
}
