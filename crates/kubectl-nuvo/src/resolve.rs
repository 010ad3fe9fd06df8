//! `kubectl nuvo resolve`: a person decides about a trigger whose outcome is unknown.

use nuvo_core::run::{self, ExecutionId};
use nuvo_crds::{Phase, well_known::RESOLVE_ANNOTATION};
use serde_json::json;

use super::{
    args::ResolveArgs,
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    output::{self, print},
};

/// Sets the annotation `nuvo.dev/resolve` for the trigger that is in doubt.
///
/// # Errors
/// [`PluginError::NotAllowed`] if no trigger of the run is in doubt, [`PluginError::Id`], and those of the requests.
pub async fn resolve(context: &ClusterContext, args: &ResolveArgs) -> Result<ExitStatus, PluginError> {
    let run = context.run(&args.name).await?;
    let phase = run.status.as_ref().and_then(|status| status.phase);
    let parsed = run::parse(&run).map_err(|error| PluginError::NotAllowed(error.to_string()))?;
    let in_doubt = run::nonce_in_doubt(&parsed).filter(|_| matches!(phase, Some(Phase::Unresolved | Phase::Triggering)));
    let Some(nonce) = in_doubt else {
        return Err(PluginError::NotAllowed(format!(
            "PipelineRun {} has no trigger in doubt (kubectl nuvo describe {} -n {})",
            args.name, args.name, context.namespace
        )));
    };
    let decision = match (args.decision.adopt.as_slice(), args.decision.retry) {
        ([], true) => "retry".to_owned(),
        ([], false) => "abandon".to_owned(),
        (ids, _) => {
            let ids: Vec<String> = ids.iter().map(|id| ExecutionId::new(id.trim()).map(String::from)).collect::<Result<_, _>>()?;
            format!("adopt={}", ids.join(","))
        }
    };
    let annotations = json!({ RESOLVE_ANNOTATION: format!("{nonce}:{decision}") });
    let changed = context.patch_run(&run, json!({ "metadata": { "annotations": annotations } })).await?;
    print(&format!("{} resolved: {decision}\n", output::name(&changed)))?;
    Ok(ExitStatus::Success)
}
