//! Prints text, and formats objects for scripts (`-o json|yaml|name`).

use std::io::Write;

use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::{error::PluginError, flag_values::Output};

/// Writes to standard output.
///
/// # Errors
/// [`PluginError::Output`].
pub fn print(text: &str) -> Result<(), PluginError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| PluginError::Output(error.to_string()))
}

/// An object as JSON, YAML or name; none for the formats of people.
///
/// # Errors
/// [`PluginError::Output`].
pub fn object<K: Resource<DynamicType = ()> + Serialize>(object: &K, output: Option<Output>) -> Result<Option<String>, PluginError> {
    format(output, object, || format!("{}\n", name(object)))
}

/// Objects as a `List` in JSON or YAML, or as one name per line; none for the formats of people.
///
/// # Errors
/// [`PluginError::Output`].
pub fn list<K: Resource<DynamicType = ()> + Serialize>(objects: &[K], output: Option<Output>) -> Result<Option<String>, PluginError> {
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects });
    format(output, &list, || objects.iter().map(|object| format!("{}\n", name(object))).collect())
}

fn format(output: Option<Output>, value: &impl Serialize, names: impl FnOnce() -> String) -> Result<Option<String>, PluginError> {
    Ok(match output {
        None | Some(Output::Wide) => None,
        Some(Output::Name) => Some(names()),
        Some(Output::Json) => Some(serde_json::to_string_pretty(value).map_err(|error| PluginError::Output(error.to_string()))? + "\n"),
        Some(Output::Yaml) => Some(serde_yaml::to_string(value).map_err(|error| PluginError::Output(error.to_string()))?),
    })
}

/// The name in the format of `kubectl get -o name`.
#[must_use]
pub fn name<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}.{}/{}", K::kind(&()).to_lowercase(), K::group(&()), object.name_any())
}
