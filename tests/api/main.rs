//! The custom resources as the API server sees them: the generated schemas, their rules and defaults, and the examples.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a failed test may panic, also in its helpers")]

mod drift;
mod examples;
mod other_versions;
mod rules;
mod schema;

use kube::core::cel::Validator;
use serde_json::{Value, json};

/// A definition as it is installed, by its kind.
fn crd(kind: &str) -> Value {
    let crd =
        nuvo_crds::crds().unwrap().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap_or_else(|| panic!("no definition of {kind}"));
    serde_json::to_value(crd).unwrap()
}

/// The schema of a kind.
fn schema(kind: &str) -> Value {
    crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The messages of the rules that refuse an object, on creation or on an update from `old`.
fn refusals(kind: &str, spec: &Value, old: Option<&Value>) -> Vec<String> {
    refusals_of("test", kind, spec, old)
}

fn refusals_of(name: &str, kind: &str, spec: &Value, old: Option<&Value>) -> Vec<String> {
    let object = |spec: &Value| json!({"apiVersion": "nuvo.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    match Validator::new().validate(&schema(kind), &object(spec), old.map(object).as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.to_string()).collect(),
    }
}

#[track_caller]
fn accepted(kind: &str, spec: &Value, old: Option<&Value>) {
    let refusals = refusals(kind, spec, old);
    assert!(refusals.is_empty(), "{spec} should be accepted, but: {refusals:#?}");
}

/// Exactly one rule refuses it, and its message has this text.
#[track_caller]
fn refused(kind: &str, spec: &Value, old: Option<&Value>, text: &str) {
    let refusals = refusals(kind, spec, old);
    assert!(matches!(refusals.as_slice(), [one] if one.contains(text)), "{spec} should be refused once, with {text:?}, but: {refusals:#?}");
}

/// The rules refuse an object because of its name, with this text; without a text they accept it.
#[track_caller]
fn name_decided(kind: &str, name: &str, spec: &Value, text: Option<&str>) {
    let refusals = refusals_of(name, kind, spec, None);
    let right = match text {
        None => refusals.is_empty(),
        Some(text) => matches!(refusals.as_slice(), [one] if one.contains(text)),
    };
    assert!(right, "{name}: {refusals:#?}");
}
