//! Makes runs: as users write them, and thousands with the status that the operator gave one real run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use nuvo_crds::well_known::TRIGGER_ANNOTATION;
use nuvo_crds::{PipelineRun, PipelineRunStatus};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::environment::{Environment, Operator};
use super::markdown_table::time;
use super::{Failure, log_progress};
use crate::stop::Stop;

/// The pipeline of the real run.
pub const PIPELINE: &str = "template-pipeline";
const NAME: &str = "template-run";
const CHECK_EVERY: Duration = Duration::from_millis(100);
const WITHIN: Duration = Duration::from_secs(60);
/// Time for the writes that follow an end.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The status and marker of a real run, as text in which the names of another run can be filled in.
pub struct RunTemplate {
    status: String,
    marker: String,
    uid: String,
    nonce: String,
    execution: String,
}

/// The names of one run.
pub struct Names {
    pub run: String,
    pub pipeline: String,
    pub execution: String,
}

impl RunTemplate {
    /// Lets an operator run one real run until `far_enough`, and takes what it wrote. Then deletes the run and stops the operator.
    pub fn make(environment: &Environment, far_enough: impl Fn(&PipelineRunStatus) -> bool, stop: &Stop) -> Result<Self, Failure> {
        let mut operator = environment.start_operator(stop)?;
        operator.wait("the account is ready", WITHIN, CHECK_EVERY, stop, Operator::has_account)?;
        environment.block_on(environment.runs().create(&PostParams::default(), &run(NAME, PIPELINE)?))?;
        let is_there = |_: &Operator| {
            let run = environment.block_on(environment.runs().get(NAME))?;
            Ok(run.status.as_ref().is_some_and(&far_enough))
        };
        operator.wait("the first run reaches the wanted state", WITHIN, CHECK_EVERY, stop, is_there)?;
        stop.sleep(SETTLE_TIME)?;
        let made = environment.block_on(environment.runs().get(NAME))?;
        operator.stop()?;
        environment.block_on(environment.runs().delete(NAME, &DeleteParams::default()))?;
        let status = made.status.ok_or("the first run has no status")?;
        let marker = made.metadata.annotations.unwrap_or_default().remove(TRIGGER_ANNOTATION).ok_or("the first run has no marker")?;
        Ok(Self {
            uid: made.metadata.uid.ok_or("the first run has no uid")?,
            nonce: status.trigger.as_ref().map(|trigger| trigger.nonce.clone()).ok_or("the first run has no trigger")?,
            execution: status.current.execution_ids.first().cloned().ok_or("the first run has no execution")?,
            status: serde_json::to_string(&status)?,
            marker,
        })
    }

    /// The execution of the run that was the template.
    pub fn execution(&self) -> &str {
        &self.execution
    }

    /// Creates `count` runs with these names, each with the template's status after `change`.
    pub fn create_runs(
        &self,
        environment: &Environment,
        count: usize,
        names: impl Fn(usize) -> Names + Sync,
        change: impl Fn(&mut Value) + Sync,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        environment.for_each(count, stop, |api: Api<PipelineRun>, number| {
            let (names, change) = (names(number), &change);
            async move {
                let made = api.create(&PostParams::default(), &run(&names.run, &names.pipeline)?).await?;
                let uid = made.metadata.uid.unwrap_or_default();
                let marker = json!({ "metadata": { "annotations": { TRIGGER_ANNOTATION: self.filled(&self.marker, &names, &uid) } } });
                api.patch(&names.run, &PatchParams::default(), &Patch::Merge(&marker)).await?;
                let mut status: Value = serde_json::from_str(&self.filled(&self.status, &names, &uid))?;
                change(&mut status);
                api.patch_status(&names.run, &PatchParams::default(), &Patch::Merge(&json!({ "status": status }))).await?;
                Ok(())
            }
        })?;
        log_progress(&format!("{count} runs with a status created in {}", time(began.elapsed())));
        Ok(())
    }

    /// The uid serves as the nonce, too: no other run has it.
    fn filled(&self, text: &str, names: &Names, uid: &str) -> String {
        let names = [(&self.uid, uid), (&self.nonce, uid), (&self.execution, names.execution.as_str())]
            .map(|(old, new)| (old.as_str(), new))
            .into_iter()
            .chain([(PIPELINE, names.pipeline.as_str()), (NAME, names.run.as_str())]);
        names.fold(text.to_owned(), |text, (old, new)| text.replace(old, new))
    }
}

/// A run as a user writes it.
pub fn run(name: &str, pipeline: &str) -> Result<PipelineRun, serde_json::Error> {
    run_with(name, &json!({ "pipelineId": pipeline }))
}

/// A run with this spec.
pub fn run_with(name: &str, spec: &Value) -> Result<PipelineRun, serde_json::Error> {
    serde_json::from_value(json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": name }, "spec": spec }))
}

/// Creates the runs as fast as the API server accepts them. Returns when each was answered.
pub fn create_at_once(environment: &Environment, runs: &[PipelineRun], stop: &Stop) -> Result<BTreeMap<String, Instant>, Failure> {
    let created = Mutex::new(BTreeMap::new());
    environment.for_each(runs.len(), stop, |api, number| {
        let (run, created) = (runs.get(number), &created);
        async move {
            let run = run.ok_or("there is no such run")?;
            api.create(&PostParams::default(), run).await?;
            created.lock().insert(run.metadata.name.clone().unwrap_or_default(), Instant::now());
            Ok(())
        }
    })?;
    Ok(created.into_inner())
}
