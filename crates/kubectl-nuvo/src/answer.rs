//! What a person can tell a run: start again, what became of a trigger, hold.

use k8s_openapi::jiff::Timestamp;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    End, PluginError,
    args::{RerunArgs, ResolveArgs},
    follow::{until_ended, within},
    output,
    place::Place,
    progress::tell,
};
use nuvo_core::run::{self, ExecutionId};
use nuvo_crds::{Phase, PipelineRun, well_known::RESOLVE_ANNOTATION};

/// The name under which the API server keeps who changed what.
const FIELD_MANAGER: &str = "kubectl-nuvo";

/// Sets a new `spec.rerunToken` on a run that has ended.
///
/// # Errors
/// [`PluginError::NotNow`] for one that has not, and the others.
pub async fn rerun(place: &Place, args: &RerunArgs) -> Result<End, PluginError> {
    let run = place.run(&args.name).await?;
    let status = run.status.clone().unwrap_or_default();
    if run.spec.execution_id.is_some() {
        return Err(PluginError::NotNow(format!(
            "PipelineRun {} follows an execution and triggers nothing that could be repeated: start a new run with kubectl nuvo run {}",
            args.name, run.spec.pipeline_id
        )));
    }
    let waits_for_retry = run::awaits_retry(&status);
    if status.current.completion_time.is_none() && !waits_for_retry {
        return Err(PluginError::NotNow(format!(
            "PipelineRun {} has not ended: wait for it with kubectl nuvo wait {} -n {}, or start another run",
            args.name, args.name, place.namespace
        )));
    }
    let token = args.token.clone().unwrap_or_else(|| Timestamp::now().to_string());
    if run.spec.rerun_token.as_deref() == Some(token.as_str()) {
        return Err(PluginError::NotNow(format!("PipelineRun {} has the token {token:?} already: give it another one", args.name)));
    }
    let changed = change(place, &run, json!({ "spec": { "rerunToken": token } })).await?;
    tell(&format!("{} starts again\n", output::name(&changed)))?;
    if !args.wait {
        return Ok(End::Done);
    }
    within(args.timeout, until_ended(place, &changed, Some(&token))).await
}

/// Answers for a trigger whose outcome nobody could tell.
///
/// # Errors
/// [`PluginError::NotNow`] if no answer is asked for, and the others.
pub async fn resolve(place: &Place, args: &ResolveArgs) -> Result<End, PluginError> {
    let run = place.run(&args.name).await?;
    let phase = run.status.as_ref().and_then(|status| status.phase);
    let parsed = run::parse(&run).map_err(|error| PluginError::NotNow(error.to_string()))?;
    let doubt = run::nonce_in_doubt(&parsed).filter(|_| matches!(phase, Some(Phase::Unresolved | Phase::Triggering)));
    let Some(nonce) = doubt else {
        return Err(PluginError::NotNow(format!(
            "PipelineRun {} asks nobody: its trigger is not in doubt (kubectl nuvo describe {} -n {})",
            args.name, args.name, place.namespace
        )));
    };
    let answer = match (args.answer.adopt.as_slice(), args.answer.retry) {
        ([], true) => "retry".to_owned(),
        ([], false) => "abandon".to_owned(),
        (ids, _) => {
            let ids: Vec<String> = ids.iter().map(|id| ExecutionId::new(id.trim()).map(String::from)).collect::<Result<_, _>>()?;
            format!("adopt={}", ids.join(","))
        }
    };
    let changed =
        change(place, &run, json!({ "metadata": { "annotations": { RESOLVE_ANNOTATION: format!("{nonce}:{answer}") } } })).await?;
    tell(&format!("{} answered: {answer}\n", output::name(&changed)))?;
    Ok(End::Done)
}

/// Sets `spec.suspend`.
///
/// # Errors
/// [`PluginError`].
pub async fn suspend(place: &Place, names: &[String], hold: bool) -> Result<End, PluginError> {
    for name in names {
        let run = place.run(name).await?;
        let changed = change(place, &run, json!({ "spec": { "suspend": hold } })).await?;
        let (word, note) = match (hold, changed.status.as_ref().is_some_and(|status| !status.current.execution_ids.is_empty())) {
            (true, true) => ("suspended", ", which changes nothing in nuvo: it has no cancel"),
            (true, false) => ("suspended", ""),
            (false, _) => ("resumed", ""),
        };
        tell(&format!("{} {word}{note}\n", output::name(&changed)))?;
    }
    Ok(End::Done)
}

/// Changes exactly what was read: an answer is about what the person has seen.
async fn change(place: &Place, run: &PipelineRun, mut patch: Value) -> Result<PipelineRun, PluginError> {
    let name = run.name_any();
    if let Value::Object(fields) = &mut patch
        && let Value::Object(metadata) = fields.entry("metadata").or_insert_with(|| json!({}))
    {
        metadata.insert("resourceVersion".to_owned(), json!(run.resource_version()));
    }
    let request = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    place.runs().patch(&name, &request, &Patch::Merge(&patch)).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 409 => PluginError::Conflict(name.clone()),
        error => PluginError::api(format!("PipelineRun {name} cannot be changed"))(error),
    })
}
