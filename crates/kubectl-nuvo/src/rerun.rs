//! `kubectl nuvo rerun`: starts another attempt of a run that has ended.

use nuvo_core::run;
use serde_json::json;

use super::{
    args::RerunArgs,
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    output::{self, print},
    wait::{until_ended, with_timeout},
};

/// Sets a new `spec.rerunToken` on a run that has ended.
///
/// # Errors
/// [`PluginError::NotAllowed`] for a run that has not ended, follows an execution, or has the token already; and those of the requests.
pub async fn rerun(context: &ClusterContext, args: &RerunArgs) -> Result<ExitStatus, PluginError> {
    let run = context.run(&args.name).await?;
    let status = run.status.clone().unwrap_or_default();
    if run.spec.execution_id.is_some() {
        return Err(PluginError::NotAllowed(format!(
            "PipelineRun {} follows an existing execution and cannot trigger its pipeline: start a new run with kubectl nuvo run {}",
            args.name, run.spec.pipeline_id
        )));
    }
    let waits_for_retry = run::awaits_retry(&status);
    if status.current.completion_time.is_none() && !waits_for_retry {
        return Err(PluginError::NotAllowed(format!(
            "PipelineRun {} has not ended: wait for it with kubectl nuvo wait {} -n {}, or start another run",
            args.name, args.name, context.namespace
        )));
    }
    let token = args.rerun_token.clone().unwrap_or_else(|| context.now().to_string());
    if run.spec.rerun_token.as_deref() == Some(token.as_str()) {
        return Err(PluginError::NotAllowed(format!("PipelineRun {} already has the token {token:?}: use another one", args.name)));
    }
    let changed = context.patch(&run, json!({ "spec": { "rerunToken": token } })).await?;
    print(&format!("{} restarted\n", output::name(&changed)))?;
    if !args.wait {
        return Ok(ExitStatus::Success);
    }
    with_timeout(args.timeout, until_ended(context, &changed, Some(&token))).await
}
