//! `kubectl nuvo suspend` and `kubectl nuvo resume`, for runs and for schedules.

use nuvo_crds::PipelineSchedule;
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
        let changed = context.patch(&run, json!({ "spec": { "suspend": suspend } })).await?;
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

/// Sets `spec.suspend` of schedules.
///
/// # Errors
/// Those of the requests.
pub async fn suspend_schedules(context: &ClusterContext, names: &[String], suspend: bool) -> Result<ExitStatus, PluginError> {
    for name in names {
        let schedule: PipelineSchedule = context.get(name, "PipelineSchedule", "schedule list").await?;
        let changed = context.patch(&schedule, json!({ "spec": { "suspend": suspend } })).await?;
        let active = changed.status.as_ref().and_then(|status| status.active_count).unwrap_or_default();
        let result = match (suspend, active) {
            (true, 1..) => "suspended (its active runs go on)",
            (true, _) => "suspended",
            (false, _) => "resumed (slots of the past are not made up for)",
        };
        print(&format!("{} {result}\n", output::name(&changed)))?;
    }
    Ok(ExitStatus::Success)
}
