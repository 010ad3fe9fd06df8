//! The recipes of `examples/orchestrators/`, as they are shipped, on the systems that they are for.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use controlplane::Process;
use nuvo_sim::Pipeline;
use serde_json::{Value, json};

use crate::build::repository;
use crate::node::Failure;
use crate::node::orchestrators::{Orchestrator, PLUGIN};
use crate::node::play::Outcome;
use crate::node::stage::{Stage, TEAM, kill};

/// The pipeline of all recipes.
const PIPELINE: &str = "orders";

/// The step of a recipe, which is tried again.
struct Step<'a> {
    stage: &'a Stage<'a>,
    /// The label of its pods.
    label: &'static str,
    /// How often the pipeline was carried out before.
    before: u64,
    /// It ends with this.
    _controller: Option<Process>,
}

/// A pod in which it is tried.
struct Try {
    name: String,
    uid: String,
}

impl<'a> Step<'a> {
    fn begin(stage: &'a Stage<'a>, of: Orchestrator, label: &'static str) -> Result<Self, Failure> {
        stage.ready()?;
        stage.sim.set_pipeline(Pipeline::new(PIPELINE).held())?;
        let step = Self { stage, label, before: stage.sim.executed_count_of(PIPELINE), _controller: of.start(stage)? };
        step.kubectl(&["apply", "--filename", &recipe("rbac.yaml").display().to_string()])?;
        Ok(step)
    }

    /// kubectl in the namespace of the step.
    fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.stage.kubectl(&[&["--namespace", TEAM], arguments].concat())
    }

    /// Creates what is in a manifest.
    fn create(&self, manifest: &str) -> Result<(), Failure> {
        let path = self.stage.cluster.control_plane.folder().join("recipe.yaml");
        fs::write(&path, manifest)?;
        self.kubectl(&["create", "--filename", &path.display().to_string()]).map(drop)
    }

    /// Waits until the pipeline has started.
    fn started(&self) -> Result<(), Failure> {
        self.stage.until("the step has started the pipeline", || Ok(self.stage.sim.executed_count_of(PIPELINE) > self.before))
    }

    /// Waits for the pod in which it is tried after these.
    fn tried_after(&self, tries: &[&Try]) -> Result<Try, Failure> {
        let found = RefCell::new(None);
        self.stage.until("the step is tried in another pod", || {
            let pods = self.stage.cluster.get(&["pods", "--namespace", TEAM, "--selector", self.label])?;
            let mut pods = pods.get("items").and_then(Value::as_array).into_iter().flatten().filter_map(Try::running);
            found.replace(pods.find(|pod| tries.iter().all(|earlier| earlier.uid != pod.uid)));
            Ok(found.borrow().is_some())
        })?;
        found.into_inner().ok_or_else(|| "there is no other pod".into())
    }

    /// Ends the execution.
    fn finish(&self) -> Result<(), Failure> {
        self.stage.finish(&[PIPELINE.to_owned()])
    }

    /// What `kubectl get` shows of the one object of a kind.
    fn row(&self, kind: &str) -> Result<String, Failure> {
        let text = self.kubectl(&["get", kind, "--no-headers"])?;
        Ok(format!("`{}`", text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }
}

impl Try {
    fn running(pod: &Value) -> Option<Self> {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let is_running = text("/status/phase")? == "Running" && pod.pointer("/metadata/deletionTimestamp").is_none();
        is_running.then_some(Self { name: text("/metadata/name")?, uid: text("/metadata/uid")? })
    }
}

/// The file of a recipe.
fn recipe(name: &str) -> PathBuf {
    repository().join("examples/orchestrators").join(name)
}

pub fn cron_job(stage: &Stage) -> Result<Outcome, Failure> {
    let step = Step::begin(stage, Orchestrator::CronJob, "batch.kubernetes.io/job-name")?;
    let shipped = fs::read_to_string(recipe("cronjob.yaml"))?;
    let soon = shipped.replace("\"0 2 * * *\"", "\"* * * * *\"");
    if soon == shipped {
        return Err("the schedule of the recipe is another one".into());
    }
    let began = Instant::now();
    step.create(&soon)?;
    let outcome = cron_job_tried_again(&step);
    stage.kubectl(&["--namespace", TEAM, "delete", "cronjob", "orders", "--wait=false"])?;
    let seen = format!("three pods, and then `kubectl get jobs`: {}", outcome?);
    Ok(Outcome { times: vec![("the Job Complete after", began.elapsed())], runs: 1, seen })
}

fn cron_job_tried_again(step: &Step) -> Result<String, Failure> {
    step.started()?;
    // One occasion is enough.
    step.kubectl(&["patch", "cronjob", "orders", "--patch", r#"{"spec":{"suspend":true}}"#])?;
    let first = step.tried_after(&[])?;
    kill(&first.uid, PLUGIN)?;
    let second = step.tried_after(&[&first])?;
    step.kubectl(&["delete", "pod", &second.name, "--wait=false"])?;
    step.tried_after(&[&first, &second])?;
    step.finish()?;
    step.kubectl(&["wait", "jobs", "--all", "--for=condition=Complete", "--timeout=120s"])?;
    step.row("jobs")
}

pub fn argo_workflows(stage: &Stage) -> Result<Outcome, Failure> {
    let step = Step::begin(stage, Orchestrator::ArgoWorkflows, "workflows.argoproj.io/workflow")?;
    // As Argo documents it for the ServiceAccount of a step.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "argo-executor", "namespace": TEAM },
        "rules": [{ "apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"] }],
    });
    step.create(&role.to_string())?;
    let account = format!("--serviceaccount={TEAM}:nuvo-step");
    step.kubectl(&["create", "rolebinding", "argo-executor", "--role=argo-executor", &account])?;
    let began = Instant::now();
    step.create(&fs::read_to_string(recipe("argo-workflows.yaml"))?)?;
    step.started()?;
    let first = step.tried_after(&[])?;
    step.kubectl(&["delete", "pod", &first.name, "--wait=false"])?;
    step.tried_after(&[&first])?;
    step.finish()?;
    step.kubectl(&["wait", "workflows.argoproj.io", "--all", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s"])?;
    let seen = format!("two pods, and then `kubectl get workflows`: {}", step.row("workflows.argoproj.io")?);
    Ok(Outcome { times: vec![("the Workflow Succeeded after", began.elapsed())], runs: 1, seen })
}

pub fn tekton(stage: &Stage) -> Result<Outcome, Failure> {
    let step = Step::begin(stage, Orchestrator::Tekton, "tekton.dev/taskRun")?;
    step.create(&fs::read_to_string(recipe("tekton.yaml"))?)?;
    let began = Instant::now();
    let run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": { "generateName": "nightly-" },
        "spec": { "pipelineRef": { "name": "nightly" }, "taskRunTemplate": { "serviceAccountName": "nuvo-step" } },
    });
    step.create(&run.to_string())?;
    step.started()?;
    let first = step.tried_after(&[])?;
    step.kubectl(&["delete", "pod", &first.name, "--wait=false"])?;
    let second = step.tried_after(&[&first])?;
    stage.until("the step runs in the second pod", || Ok(kill(&second.uid, PLUGIN).is_ok()))?;
    step.tried_after(&[&first, &second])?;
    step.finish()?;
    step.kubectl(&["wait", "pipelineruns.tekton.dev", "--all", "--for=condition=Succeeded", "--timeout=120s"])?;
    let seen = format!("three pods, and then `kubectl get pipelineruns.tekton.dev`: {}", step.row("pipelineruns.tekton.dev")?);
    Ok(Outcome { times: vec![("the PipelineRun Succeeded after", began.elapsed())], runs: 1, seen })
}
