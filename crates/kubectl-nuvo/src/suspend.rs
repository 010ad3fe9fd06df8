//! `kubectl nuvo suspend` and `kubectl nuvo resume`.

use serde_json::json;

use super::{
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    output::{self, print},
};

/// Sets `spec.suspend` of runs.
///
/// # Errors
/// Those of the requests.
pub async fn set_suspend(context: &ClusterContext, names: &[String], suspend: bool) -> Result<ExitStatus, PluginError> {
    for name in names {
        let run = context.run(name).await?;
        let changed = context.patch_run(&run, json!({ "spec": { "suspend": suspend } })).await?;
        let started = changed.status.as_ref().is_some_and(|status| !status.current.execution_ids.is_empty());
        let result = match (suspend, started) {
            (true, true) => "suspended (its executions continue: nuvo has no cancel)",
            (true, false) => "suspended",
            (false, _) => "resumed",
        };
        print(&format!("{} {result}\n", output::name(&changed)))?;
    }
    Ok(ExitStatus::Success)
}
