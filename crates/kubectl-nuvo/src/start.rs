//! A new run.

use std::collections::BTreeMap;

use kube::{ResourceExt, api::PostParams};

use super::{
    End, PluginError,
    args::{Output, RunArgs},
    follow::{until_ended, within},
    list::not_installed,
    output,
    place::Place,
    progress::tell,
};
use nuvo_core::run::PipelineId;
use nuvo_crds::{AccountRef, PipelineRun, PipelineRunSpec, Retry, well_known::DEFAULT_ACCOUNT};

/// The longest start of a name: the API server puts five random characters behind it, and 63 are what a label can hold.
const LONGEST_START: usize = 57;

/// Creates a run, and waits for its end if asked to.
///
/// # Errors
/// [`PluginError`].
pub async fn start(place: &Place, args: &RunArgs) -> Result<End, PluginError> {
    let run = manifest(args)?;
    let created = place.runs().create(&PostParams::default(), &run).await.map_err(not_created)?;
    // What is created last is asked for in a form once, and for people shown by its name at once.
    let form = output::one(&created, args.output)?;
    if form.is_none() {
        tell(&format!("{} created\n", output::name(&created)))?;
    }
    if args.output == Some(Output::Name)
        && let Some(text) = &form
    {
        tell(text)?;
    }
    let mut end = End::Done;
    if args.wait {
        end = within(args.timeout, until_ended(place, &created, None)).await?;
    }
    if matches!(args.output, Some(Output::Json | Output::Yaml)) {
        let last = if args.wait { place.run(&created.name_any()).await? } else { created };
        if let Some(text) = output::one(&last, args.output)? {
            tell(&text)?;
        }
    } else if args.wait && matches!(end, End::Failed | End::Unresolved) {
        eprintln!("What happened and what to do: kubectl nuvo describe {} -n {}", created.name_any(), place.namespace);
    }
    Ok(end)
}

fn not_created(error: kube::Error) -> PluginError {
    match error {
        kube::Error::Api(status) if status.code == 404 && !status.message.contains("namespaces") => {
            not_installed("PipelineRun")(kube::Error::Api(status))
        }
        error => PluginError::api("the run cannot be created")(error),
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
    run.metadata.generate_name = args.name.is_none().then(|| start_of_name(pipeline.as_str()));
    if !args.label.is_empty() {
        run.metadata.labels = Some(args.label.iter().cloned().collect::<BTreeMap<_, _>>());
    }
    Ok(run)
}

/// The pipeline's id as far as a name may have its characters.
fn start_of_name(pipeline: &str) -> String {
    let kept: String = pipeline.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let kept: String = kept.trim_matches('-').chars().take(LONGEST_START).collect();
    if kept.is_empty() { "run-".to_owned() } else { format!("{}-", kept.trim_end_matches('-')) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_like_its_pipeline() {
        let (long, kept) = ("x".repeat(128), "x".repeat(57));
        let names =
            [("orders", "orders-"), ("Sales_Orders", "sales-orders-"), ("_-_", "run-"), ("a--", "a-"), (&long, &format!("{kept}-"))];
        for (pipeline, wanted) in names {
            assert_eq!(start_of_name(pipeline), *wanted);
        }
    }
}
