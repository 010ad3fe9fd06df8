//! `kubectl nuvo run`: starts a pipeline.

use std::collections::BTreeMap;

use kube::{ResourceExt, api::PostParams};
use nuvo_core::run::PipelineId;
use nuvo_crds::{AccountRef, PipelineRun, PipelineRunSpec, Retry, well_known::DEFAULT_ACCOUNT};

use super::{
    args::{IfExists, RunArgs},
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    flag_values::Output,
    output::{self, print},
    wait::{until_ended, with_timeout},
};

/// The longest `generateName` without its dash: the API server appends five random characters, and a label value has at most 63.
const PREFIX_LIMIT: usize = 57;

/// Creates a run, and waits for its end if asked to.
///
/// # Errors
/// [`PluginError`].
pub async fn run(context: &ClusterContext, args: &RunArgs) -> Result<ExitStatus, PluginError> {
    let run = manifest(args)?;
    let (created, done) = match context.runs().create(&PostParams::default(), &run).await {
        Ok(created) => (created, "created"),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" && args.if_exists == IfExists::Follow => {
            (existing(context, &run).await?, "exists")
        }
        Err(error) => return Err(not_created(error)),
    };
    // JSON and YAML are printed at the end, with the final status; the name is printed at once, also for scripts.
    let formatted = output::object(&created, args.output)?;
    if formatted.is_none() {
        print(&format!("{} {done}\n", output::name(&created)))?;
    }
    if args.output == Some(Output::Name)
        && let Some(text) = &formatted
    {
        print(text)?;
    }
    let mut status = ExitStatus::Success;
    if args.wait {
        status = with_timeout(args.timeout, until_ended(context, &created, None)).await?;
    }
    if matches!(args.output, Some(Output::Json | Output::Yaml)) {
        let last = if args.wait { context.run(&created.name_any()).await? } else { created };
        if let Some(text) = output::object(&last, args.output)? {
            print(&text)?;
        }
    } else if args.wait && matches!(status, ExitStatus::RunFailed | ExitStatus::RunUnresolved) {
        eprintln!("For details, run: kubectl nuvo describe {} -n {}", created.name_any(), context.namespace);
    }
    Ok(status)
}

/// The run that has the name of this one. Only one that starts the same thing may stand for it.
async fn existing(context: &ClusterContext, wanted: &PipelineRun) -> Result<PipelineRun, PluginError> {
    let found = context.run(&wanted.name_any()).await?;
    let (is, wants) = (&found.spec, &wanted.spec);
    if (&is.pipeline_id, &is.account_ref, &is.execution_id) == (&wants.pipeline_id, &wants.account_ref, &wants.execution_id) {
        return Ok(found);
    }
    Err(PluginError::NotAllowed(format!(
        "PipelineRun {} exists, but it is a run of pipeline {} with account {}{}: choose another name",
        found.name_any(),
        is.pipeline_id,
        is.account_ref.name,
        is.execution_id.as_ref().map(|id| format!(" that follows execution {id}")).unwrap_or_default(),
    )))
}

fn not_created(error: kube::Error) -> PluginError {
    match error {
        kube::Error::Api(status) if status.code == 404 && !status.message.contains("namespaces") => {
            PluginError::list("PipelineRun")(kube::Error::Api(status))
        }
        error => PluginError::api("cannot create the run")(error),
    }
}

fn manifest(args: &RunArgs) -> Result<PipelineRun, PluginError> {
    let pipeline = PipelineId::new(args.pipeline.clone())?;
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let defaults = PipelineRunSpec::default();
    let spec = PipelineRunSpec {
        pipeline_id: pipeline.to_string(),
        account_ref: AccountRef { name: args.account.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()) },
        execution_id: args.execution.clone(),
        active_deadline_seconds: args.deadline.map_or(defaults.active_deadline_seconds, seconds),
        retry: args.retries.map(|limit| Retry { limit, ..Retry::default() }),
        ttl_seconds_after_finished: args.ttl.map(seconds),
        ..defaults
    };
    let mut run = PipelineRun::new("", spec);
    run.metadata.name.clone_from(&args.name);
    run.metadata.generate_name = args.name.is_none().then(|| name_prefix(pipeline.as_str()));
    if !args.label.is_empty() {
        run.metadata.labels = Some(args.label.iter().cloned().collect::<BTreeMap<_, _>>());
    }
    Ok(run)
}

/// The pipeline's id as the prefix of a name: lower case, with a dash for each character that a name must not have.
fn name_prefix(pipeline: &str) -> String {
    let kept: String = pipeline.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let kept: String = kept.trim_matches('-').chars().take(PREFIX_LIMIT).collect();
    if kept.is_empty() { "run-".to_owned() } else { format!("{}-", kept.trim_end_matches('-')) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_prefix_of_a_pipeline_is_a_valid_name() {
        let (long, kept) = ("x".repeat(128), "x".repeat(57));
        let names =
            [("orders", "orders-"), ("Sales_Orders", "sales-orders-"), ("_-_", "run-"), ("a--", "a-"), (&long, &format!("{kept}-"))];
        for (pipeline, wanted) in names {
            assert_eq!(name_prefix(pipeline), *wanted);
        }
    }
}
