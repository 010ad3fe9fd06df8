//! Objects in the forms that scripts read.

use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::{PluginError, args::Output};

/// An object as JSON, YAML or name; none if it is to be shown as a table.
///
/// # Errors
/// [`PluginError::Output`].
pub fn one<K: Resource<DynamicType = ()> + Serialize>(object: &K, output: Option<Output>) -> Result<Option<String>, PluginError> {
    form(output, object, || format!("{}\n", name(object)))
}

/// The same for several, as a `List`.
///
/// # Errors
/// [`PluginError::Output`].
pub fn many<K: Resource<DynamicType = ()> + Serialize>(objects: &[K], output: Option<Output>) -> Result<Option<String>, PluginError> {
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects });
    form(output, &list, || objects.iter().map(|object| format!("{}\n", name(object))).collect())
}

fn form(output: Option<Output>, value: &impl Serialize, names: impl FnOnce() -> String) -> Result<Option<String>, PluginError> {
    Ok(match output {
        None | Some(Output::Wide) => None,
        Some(Output::Name) => Some(names()),
        Some(Output::Json) => Some(serde_json::to_string_pretty(value).map_err(|error| PluginError::Output(error.to_string()))? + "\n"),
        Some(Output::Yaml) => Some(serde_yaml::to_string(value).map_err(|error| PluginError::Output(error.to_string()))?),
    })
}

/// As `kubectl get -o name` writes it.
#[must_use]
pub fn name<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}.{}/{}", K::kind(&()).to_lowercase(), K::group(&()), object.name_any())
}
