//! Carries out what the core decides about mirrored runs: at most one of them is created or deleted at a time.

use std::{collections::BTreeSet, sync::Arc};

use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};
use sha2::{Digest, Sha256};

use super::{
    api_call::{CallError, call},
    control::watched_namespaces,
    shell::Shell,
};
use crate::account::AccountDriver;
use nuvo_core::{
    pipeline::{MirrorAct, MirrorFacts, MirroredRun, is_manual, mirror_run, next_mirror},
    run::{PipelineId, RunRef},
    scheduler::PipelineRef,
};
use nuvo_crds::{
    NuvoPipeline, PipelineRun, SeenExecution,
    well_known::{FIELD_MANAGER, PIPELINE_OBJECT_LABEL},
};

/// The page size of lists of runs: one can have more than a megabyte.
const PAGE: u32 = 50;

/// What became of it.
pub enum Mirrored {
    /// There was nothing to do.
    Nothing,
    /// A run was created or deleted, or there was one already.
    Changed,
    /// There is nothing more to do after the runs that exist were looked at.
    Checked,
}

/// The mirrored runs of one object.
pub struct PipelineMirror<'a> {
    pub(super) shell: &'a Arc<Shell>,
    pub(super) driver: &'a AccountDriver,
    pub(super) object: &'a NuvoPipeline,
    pub(super) reference: &'a PipelineRef,
    pub(super) pipeline: &'a PipelineId,
}

impl PipelineMirror<'_> {
    /// Creates or deletes one run at most. `is_check_due`: the runs that exist are looked at in any case.
    pub async fn step(&self, is_check_due: bool) -> Result<Mirrored, CallError> {
        let waiting = self.driver.unmirrored(self.reference);
        let no_run = RunRef { uid: self.reference.uid.clone(), namespace: String::new(), name: String::new() };
        let mut facts = MirrorFacts {
            object: self.object,
            waiting: &waiting,
            is_check_due,
            mirrored: None,
            triggered: None,
            is_undecided: waiting.iter().any(is_manual) && self.shell.runs.another_is_undecided(self.pipeline, &no_run).await?,
            quarantine: self.shell.limits.quarantine,
            now: self.shell.now(),
        };
        loop {
            match next_mirror(&facts) {
                MirrorAct::ReadMirrored => facts.mirrored = Some(self.read_mirrored().await?),
                MirrorAct::ReadTriggered => facts.triggered = Some(self.read_triggered().await?),
                MirrorAct::Create(execution) => {
                    self.create(&execution).await?;
                    self.driver.mirrored(self.reference, &execution.id);
                    return Ok(Mirrored::Changed);
                }
                MirrorAct::Leave(execution) => {
                    self.driver.mirrored(self.reference, &execution.id);
                    return Ok(Mirrored::Changed);
                }
                MirrorAct::Delete(run) => {
                    self.delete(&run).await?;
                    return Ok(Mirrored::Changed);
                }
                MirrorAct::Done if is_check_due => return Ok(Mirrored::Checked),
                MirrorAct::Done => return Ok(Mirrored::Nothing),
            }
        }
    }

    fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.shell.client.clone(), &self.reference.namespace)
    }

    async fn read_mirrored(&self) -> Result<Vec<MirroredRun>, CallError> {
        let selector = ListParams::default().labels(&format!("{PIPELINE_OBJECT_LABEL}={}", self.reference.name));
        let runs = list(&self.runs(), selector).await?;
        Ok(runs.iter().filter_map(|run| MirroredRun::of(run, self.object)).collect())
    }

    /// The executions of all runs that have triggered the pipeline.
    async fn read_triggered(&self) -> Result<BTreeSet<String>, CallError> {
        let mut executions = BTreeSet::new();
        for namespace in watched_namespaces(&self.shell.namespaces) {
            let api: Api<PipelineRun> = match &namespace {
                Some(namespace) => Api::namespaced(self.shell.client.clone(), namespace),
                None => Api::all(self.shell.client.clone()),
            };
            let of_pipeline = ListParams::default().fields(&format!("spec.pipelineId={}", self.pipeline));
            for run in list(&api, of_pipeline).await?.into_iter().filter(|run| run.spec.execution_id.is_none()) {
                let status = run.status.unwrap_or_default();
                executions.extend(status.current.execution_ids);
                executions.extend(status.history.into_iter().flat_map(|past| past.execution_ids));
            }
        }
        Ok(executions)
    }

    /// A run of that name that shows the same execution is the one that is wanted.
    async fn create(&self, execution: &SeenExecution) -> Result<(), CallError> {
        let name = format!("{}-{}", self.reference.name, short_hash(&execution.id));
        let run = mirror_run(self.object, execution, name.clone());
        let request = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.shell.metrics.kube_write("pipelineruns");
        match call("create the mirrored PipelineRun", self.runs().create(&request, &run)).await {
            Err(error) if error.is_conflict() => {
                let found = call("read the mirrored PipelineRun", self.runs().get_opt(&name)).await?;
                if found.is_some_and(|found| found.spec.execution_id != run.spec.execution_id) {
                    tracing::warn!(name, execution = execution.id, "another PipelineRun has this name, so the execution is not mirrored");
                }
                Ok(())
            }
            result => result.map(|_| ()),
        }
    }

    async fn delete(&self, run: &MirroredRun) -> Result<(), CallError> {
        let preconditions = Preconditions { uid: Some(run.uid.clone()), resource_version: Some(run.version.clone()) };
        let request = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        self.shell.metrics.kube_write("pipelineruns");
        match call("delete the mirrored PipelineRun", self.runs().delete(&run.name, &request)).await {
            // It has changed, or is gone: it is looked at again.
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
            result => result.map(|_| ()),
        }
    }
}

/// All runs of a list, page by page.
async fn list(api: &Api<PipelineRun>, parameters: ListParams) -> Result<Vec<PipelineRun>, CallError> {
    let mut parameters = parameters.limit(PAGE);
    let mut runs = Vec::new();
    loop {
        let page = call("list the PipelineRuns", api.list(&parameters)).await?;
        runs.extend(page.items);
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => parameters.continue_token = Some(next),
            None => return Ok(runs),
        }
    }
}

/// Ids of nuvo are no names of Kubernetes.
fn short_hash(id: &str) -> String {
    Sha256::digest(id).iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}
