//! `kubectl nuvo schedule run-now`: a run of a schedule beside its slots.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::OwnerReference, jiff::Timestamp};
use kube::{Resource, ResourceExt, api::PostParams};
use nuvo_crds::{PipelineRun, PipelineSchedule, well_known::SCHEDULE_LABEL};

use super::{
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    output::{self, print},
    schedule_args::RunNowArgs,
    wait::{until_ended, with_timeout},
};

/// Creates a run from the template of a schedule, and waits for its end if asked to.
///
/// # Errors
/// [`PluginError`].
pub async fn run_now(context: &ClusterContext, args: &RunNowArgs) -> Result<ExitStatus, PluginError> {
    let schedule: PipelineSchedule = context.get(&args.name, "PipelineSchedule", "schedule list").await?;
    let run = manifest(&schedule, context.now());
    let created = context.runs().create(&PostParams::default(), &run).await.map_err(|error| match error {
        kube::Error::Api(status) if status.reason == "AlreadyExists" => {
            PluginError::NotAllowed(format!("PipelineRun {} exists: it was started in this very second", run.name_any()))
        }
        error => PluginError::api("cannot create the run")(error),
    })?;
    print(&format!("{} created\n", output::name(&created)))?;
    if !args.wait {
        return Ok(ExitStatus::Success);
    }
    with_timeout(args.timeout, until_ended(context, &created, None)).await
}

/// The run that the template makes. It counts as one of the schedule, and has no slot.
fn manifest(schedule: &PipelineSchedule, now: Timestamp) -> PipelineRun {
    let template = schedule.spec.run_template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let mut run = PipelineRun::new(&format!("{}-now-{}", schedule.name_any(), now.as_second()), template.spec);
    let mut labels = metadata.labels;
    labels.insert(SCHEDULE_LABEL.to_owned(), schedule.name_any());
    run.metadata.namespace = schedule.namespace();
    run.metadata.labels = Some(labels);
    run.metadata.annotations = Some(metadata.annotations).filter(|annotations| !annotations.is_empty());
    run.metadata.owner_references = Some(vec![OwnerReference {
        api_version: PipelineSchedule::api_version(&()).into_owned(),
        kind: PipelineSchedule::kind(&()).into_owned(),
        name: schedule.name_any(),
        uid: schedule.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }]);
    run
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn run_is_that_of_the_template_and_belongs_to_the_schedule() {
        let schedule: PipelineSchedule = serde_json::from_value(json!({
            "metadata": { "name": "nightly", "namespace": "team", "uid": "u-1", "labels": { "app.kubernetes.io/instance": "app" } },
            "spec": { "schedules": ["@daily"], "runTemplate": {
                "metadata": { "labels": { "team": "data" } }, "spec": { "pipelineId": "p-1", "activeDeadlineSeconds": 600 },
            } },
        }))
        .unwrap();
        let run = manifest(&schedule, Timestamp::from_second(1_800_000_000).unwrap());
        assert_eq!(
            serde_json::to_value(&run.metadata).unwrap(),
            json!({
                "name": "nightly-now-1800000000", "namespace": "team", "labels": { "team": "data", "nuvo.dev/schedule": "nightly" },
                "ownerReferences": [{
                    "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "nightly", "uid": "u-1",
                    "controller": true, "blockOwnerDeletion": false,
                }],
            })
        );
        assert_eq!(run.spec, schedule.spec.run_template.spec);
    }
}
