//! `kubectl nuvo resolve`: a person decides about a trigger whose outcome is unknown, or closes all such runs.

use std::io::BufRead;

use kube::{ResourceExt, api::ListParams};
use nuvo_core::run::{self, ExecutionId, Nonce, reason};
use nuvo_crds::{Phase, PipelineRun, well_known::RESOLVE_ANNOTATION};
use serde_json::json;

use super::{
    args::ResolveArgs,
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    output::{self, print},
    table::{age, table},
};

/// The decision that closes a run.
const ABANDON: &str = "abandon";

/// Sets the annotation `nuvo.dev/resolve` for the trigger that is in doubt, of one run or of all that wait for a person.
///
/// # Errors
/// [`PluginError::NotAllowed`] if no trigger of the run is in doubt or the person does not agree, [`PluginError::Id`], and those of the
/// requests.
pub async fn resolve(context: &ClusterContext, args: &ResolveArgs) -> Result<ExitStatus, PluginError> {
    let Some(name) = &args.name else { return abandon_all(context, args).await };
    let run = context.run(name).await?;
    let phase = run.status.as_ref().and_then(|status| status.phase);
    let parsed = run::parse(&run).map_err(|error| PluginError::NotAllowed(error.to_string()))?;
    let in_doubt = run::nonce_in_doubt(&parsed).filter(|_| matches!(phase, Some(Phase::Unresolved | Phase::Triggering)));
    let Some(nonce) = in_doubt else {
        return Err(PluginError::NotAllowed(format!(
            "PipelineRun {name} has no trigger in doubt (kubectl nuvo describe {name} -n {})",
            context.namespace
        )));
    };
    let decision = match (args.decision.adopt.as_slice(), args.decision.retry) {
        ([], true) => "retry".to_owned(),
        ([], false) => ABANDON.to_owned(),
        (ids, _) => {
            let ids: Vec<String> = ids.iter().map(|id| ExecutionId::new(id.trim()).map(String::from)).collect::<Result<_, _>>()?;
            format!("adopt={}", ids.join(","))
        }
    };
    decide(context, &run, &nonce, &decision).await?;
    Ok(ExitStatus::Success)
}

/// Answers about exactly the trigger that this version of the run shows.
async fn decide(context: &ClusterContext, run: &PipelineRun, nonce: &Nonce, decision: &str) -> Result<(), PluginError> {
    let annotations = json!({ RESOLVE_ANNOTATION: format!("{nonce}:{decision}") });
    let changed = context.patch(run, json!({ "metadata": { "annotations": annotations } })).await?;
    print(&format!("{} resolved: {decision}\n", output::name(&changed)))
}

/// Closes all runs that wait for a person and that the flags select, after the person has seen them.
async fn abandon_all(context: &ClusterContext, args: &ResolveArgs) -> Result<ExitStatus, PluginError> {
    let unresolved = format!("status.phase={}", Phase::Unresolved.as_str());
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() }.fields(&unresolved);
    let found = context.objects::<PipelineRun>(args.all_namespaces).list(&params).await.map_err(PluginError::list("PipelineRun"))?;
    let wanted = |run: &PipelineRun| args.reason.as_deref().is_none_or(|wanted| shown_reason(run) == wanted);
    let in_doubt = found.items.into_iter().filter(wanted).filter_map(|run| {
        let nonce = run::nonce_in_doubt(&run::parse(&run).ok()?)?;
        Some((run, nonce))
    });
    let in_doubt: Vec<(PipelineRun, Nonce)> = in_doubt.collect();
    if in_doubt.is_empty() {
        eprintln!("No such run is Unresolved. Nothing was changed.");
        return Ok(ExitStatus::Success);
    }
    eprint!("{}", doubt_table(&in_doubt, context));
    if !args.yes {
        eprint!(
            "\nClosing a run as Failed does not find out what its trigger started. Number of runs to close: {}. Continue? (y/n): ",
            in_doubt.len()
        );
        if !is_yes(&mut std::io::stdin().lock()) {
            return Err(PluginError::NotAllowed("not confirmed: nothing was changed (--yes does not ask)".to_owned()));
        }
    }
    let mut status = ExitStatus::Success;
    for (run, nonce) in &in_doubt {
        // One that was changed or deleted meanwhile keeps no other waiting.
        if let Err(error) = decide(context, run, nonce, ABANDON).await {
            eprintln!("error: {error}");
            status = ExitStatus::Error;
        }
    }
    Ok(status)
}

fn shown_reason(run: &PipelineRun) -> String {
    run.status.as_ref().and_then(reason).map(|reason| reason.to_string()).unwrap_or_default()
}

fn doubt_table(in_doubt: &[(PipelineRun, Nonce)], context: &ClusterContext) -> String {
    let row = |(run, _): &(PipelineRun, Nonce)| {
        vec![
            run.namespace().unwrap_or_default(),
            run.name_any(),
            run.spec.pipeline_id.clone(),
            shown_reason(run),
            age(run.metadata.creation_timestamp.as_ref(), context.now()),
        ]
    };
    table(&["NAMESPACE", "NAME", "PIPELINE", "REASON", "AGE"], &in_doubt.iter().map(row).collect::<Vec<_>>())
}

/// Whether the answer is y or yes, as kubectl asks.
fn is_yes(input: &mut impl BufRead) -> bool {
    let mut answer = String::new();
    input.read_line(&mut answer).is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_that_is_not_yes_changes_nothing() {
        let answers = ["y\n", "YES\n", "", "\n", "n\n", "yesterday\n"].map(|answer| is_yes(&mut answer.as_bytes()));
        assert_eq!(answers, [true, true, false, false, false, false]);
    }
}
