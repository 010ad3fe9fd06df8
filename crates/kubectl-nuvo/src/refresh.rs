//! `kubectl nuvo refresh`: has the operator read the Secret of an account now.

use kube::api::{Patch, PatchParams};
use nuvo_crds::{NuvoAccount, well_known::REFRESH_ANNOTATION};
use serde_json::json;

use super::{
    cluster_context::{ClusterContext, FIELD_MANAGER},
    error::PluginError,
    exit_status::ExitStatus,
    output::{self, print},
};

/// Gives the annotation `nuvo.dev/refresh` of accounts a new value.
///
/// # Errors
/// [`PluginError::NotFound`], [`PluginError::Api`].
pub async fn refresh(context: &ClusterContext, names: &[String]) -> Result<ExitStatus, PluginError> {
    let accounts = context.objects::<NuvoAccount>(false);
    let patch = json!({ "metadata": { "annotations": { REFRESH_ANNOTATION: context.now().to_string() } } });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    for name in names {
        let changed = accounts.patch(name, &params, &Patch::Merge(&patch)).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => {
                PluginError::NotFound { kind: "NuvoAccount", name: name.clone(), namespace: context.namespace.clone(), list: "accounts" }
            }
            error => PluginError::api(format!("cannot change NuvoAccount {name}"))(error),
        })?;
        print(&format!("{} refreshed\n", output::name(&changed)))?;
    }
    Ok(ExitStatus::Success)
}
