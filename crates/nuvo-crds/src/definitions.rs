//! The definitions of the kinds, and their files.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{
    nuvo_account::NuvoAccount, nuvo_pipeline::NuvoPipeline, pipeline_run::PipelineRun, pipeline_schedule::PipelineSchedule, schema,
};

/// The definitions as they are installed. Prefer this to `PipelineRun::crd()`, whose schema is not yet adapted for the API server.
///
/// # Errors
/// A definition cannot be converted to JSON or back. The tests would find this.
pub fn crds() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [PipelineRun::crd(), NuvoAccount::crd(), PipelineSchedule::crd(), NuvoPipeline::crd()]
        .into_iter()
        .map(|crd| {
            let mut json = serde_json::to_value(crd)?;
            schema::tidy(&mut json);
            schema::without_status_defaults(&mut json);
            serde_json::from_value(json)
        })
        .collect()
}

/// Why the definitions could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// From [`crds`].
    #[error("cannot make the custom resource definitions: {0}")]
    Json(#[from] serde_json::Error),
    /// From the YAML printer.
    #[error("cannot print the custom resource definitions: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// The files of `crds/`, as `cargo xtask generate` writes them: name and text.
///
/// # Errors
/// See [`CrdError`].
pub fn crd_files() -> Result<Vec<(String, String)>, CrdError> {
    crds()?
        .iter()
        .map(|crd| {
            let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            let yaml = to_yaml(crd)?;
            Ok((name, format!("# Made from crates/nuvo-crds by `cargo xtask generate`. Do not edit.\n{yaml}")))
        })
        .collect()
}

/// The definitions as one multi-document YAML text, ready for `kubectl apply -f -`.
///
/// # Errors
/// See [`CrdError`].
pub fn crds_yaml() -> Result<String, CrdError> {
    let mut text = String::new();
    for crd in crds()? {
        text.push_str("---\n");
        text.push_str(&to_yaml(&crd)?);
    }
    Ok(text)
}

fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, CrdError> {
    let mut json = serde_json::to_value(crd)?;
    schema::whole_numbers(&mut json);
    Ok(serde_yaml::to_string(&json)?)
}
