//! The custom resources: types, validation rules, printer columns, conditions and reasons.
//!
//! `crds/` is generated from here by `cargo xtask generate`.

pub mod conditions;
mod nuvo_account;
mod pipeline_run;
mod run_status;
mod schema;
mod served_definition;
mod tolerant;
pub mod well_known;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use nuvo_account::{
    AccessToken, AccountTls, CaBundle, DEFAULT_BASE_URL, DEFAULT_TOKEN_PATH, IdentityType, LicenseKey, NuvoAccount, NuvoAccountSpec,
    NuvoAccountStatus, SecretRef, TlsObjectRef,
};
pub use pipeline_run::{
    AccountRef, ConcurrencyPolicy, OnAmbiguousTrigger, OnNothingToProcess, PipelineRun, PipelineRunSpec, QualityGate, Retry,
};
pub use run_status::{
    AttemptStatus, Evidence, Execution, ExecutionError, LogRun, MAX_EXECUTION_IDS, MAX_EXECUTIONS, MAX_HISTORY, MAX_HISTORY_IDS,
    MAX_INTEGER, MAX_RUNS, MAX_STATUS_MESSAGE, MAX_WORD, PastAttempt, Phase, PipelineRunStatus, RetryStatus, SeriesStatus, Stats, Trigger,
    TriggerState,
};
pub use served_definition::ServedDefinition;

/// The definitions as they are installed. Prefer this to `PipelineRun::crd()`, whose schema is not yet adapted for the API server.
///
/// # Errors
/// A definition cannot be converted to JSON or back. The tests would find this.
pub fn crds() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [PipelineRun::crd(), NuvoAccount::crd()]
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
