//! The recipes of `examples/orchestrators/`: the commands of each system, killed and tried again, as the system would do it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use controlplane::Process;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::ResourceExt;
use nuvo_crds::Phase;
use nuvo_sim::{Pipeline, Status};
use serde::Deserialize as _;
use serde_json::Value;

use crate::environment::{Environment, block_on, kubectl_nuvo, same};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orchestrators").join(file)).unwrap()
}

fn documents(file: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(&read(file)).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn rules() -> Vec<PolicyRule> {
    let role = documents("rbac.yaml").into_iter().find(|document| document["kind"] == "Role").unwrap();
    serde_json::from_value::<Role>(role).unwrap().rules.unwrap()
}

/// A namespace with a pipeline whose executions are ended by the test, and the rights of `rbac.yaml`.
struct Play {
    env: Environment,
    kubeconfig: PathBuf,
}

impl Play {
    fn new(name: &str) -> Self {
        let env = Environment::new(name, [Pipeline::new("orders").held()]);
        let kubeconfig = env.server.service_account_kubeconfig(&env.namespace, "nuvo-step", &rules()).unwrap();
        Self { env, kubeconfig }
    }

    /// The plugin with these arguments, as the entry point of a container gets them.
    fn plugin(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(kubectl_nuvo());
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// A script in which the plugin is called. The shell becomes its only command.
    fn script(&self, script: &str, occasion: (&str, &str)) -> Command {
        let script = script.replace("kubectl nuvo ", "kubectl-nuvo ").replace("kubectl-nuvo ", &format!("exec '{}' ", kubectl_nuvo()));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env(occasion.0, occasion.1).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    fn only_run(&self, but: &[String]) -> Option<String> {
        let runs = block_on(self.env.runs().list(&kube::api::ListParams::default())).unwrap();
        let mut names = runs.items.iter().map(ResourceExt::name_any).filter(|name| !but.contains(name));
        let name = names.next();
        same("other runs", names.next(), None);
        name
    }

    /// Plays two occasions. In each, a first try is killed while the pipeline runs, a second one sees the end, and a third one comes later.
    fn tries(&self, step: impl Fn(&str) -> Command) {
        let _operator = self.env.operator();
        let mut ended = Vec::new();
        for occasion in ["29407800", "29409240"] {
            let log = self.env.server.folder().join(format!("{}-{occasion}.log", self.env.namespace));
            let first = Process::spawn_guarded(&step(occasion), &log).unwrap();
            self.env.eventually("the first try has created a run", || self.only_run(&ended).is_some());
            let name = self.only_run(&ended).unwrap();
            let running = self.env.wait_phase(&name, Phase::Running);
            // Kills it.
            drop(first);
            let second = step(occasion).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            self.env.sim.finish(&running.status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
            let second = second.wait_with_output().unwrap();
            assert!(second.status.success(), "{}{}", String::from_utf8_lossy(&second.stdout), String::from_utf8_lossy(&second.stderr));
            let third = step(occasion).output().unwrap();
            assert!(third.status.success(), "{}", String::from_utf8_lossy(&third.stderr));
            ended.push(name);
            same("POSTs", self.env.sim.post_count(), ended.len() as u64);
        }
        println!("{}: {} POSTs for {} occasions of three tries", self.env.namespace, self.env.sim.post_count(), ended.len());
    }
}

fn words(list: &Value, variable: &str, value: &str) -> Vec<String> {
    let words: Vec<String> = list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    assert!(words.iter().any(|word| word.contains(variable)), "{variable} is not in {words:?}");
    words.into_iter().map(|word| word.replace(variable, value).replace("$(params.pipeline)", "orders")).collect()
}

#[test]
fn cron_job_whose_pod_is_replaced_starts_its_pipeline_once() {
    let play = Play::new("recipe-cronjob");
    let pod = documents("cronjob.yaml").remove(0)["spec"]["jobTemplate"]["spec"]["template"]["spec"].take();
    let container = &pod["containers"][0];
    // The label is the same in all pods of a Job.
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.labels['batch.kubernetes.io/job-name']");
    play.tries(|occasion| play.plugin(&words(&container["args"], "$(JOB)", &format!("orders-{occasion}"))));
}

#[test]
fn tekton_task_that_is_retried_starts_its_pipeline_once() {
    let play = Play::new("recipe-tekton");
    let task = documents("tekton.yaml").remove(0);
    let step = &task["spec"]["steps"][0];
    play.tries(|occasion| play.plugin(&words(&step["args"], "$(context.taskRun.name)", &format!("nightly-{occasion}-orders"))));
}

#[test]
fn airflow_task_that_is_retried_starts_its_pipeline_once() {
    let play = Play::new("recipe-airflow");
    let dag = read("airflow.py");
    let arguments = dag.lines().find_map(|line| line.trim().strip_prefix("arguments=")).unwrap();
    let arguments: Value = serde_json::from_str(&arguments.trim_end_matches(',').replace("f\"", "\"")).unwrap();
    // What the template makes of scheduled__2026-…T02:00:00+00:00.
    assert!(dag.contains("{{ run_id | lower | replace('_', '-') | replace(':', '-') | replace('+', '-') }}"), "{dag}");
    play.tries(|occasion| play.plugin(&words(&arguments, "{OCCASION}", &format!("scheduled--{occasion}-t02-00-00-00-00"))));
}

#[test]
fn github_job_that_is_rerun_starts_its_pipeline_once() {
    let play = Play::new("recipe-github");
    let workflow = documents("github-actions.yaml").remove(0);
    let step = workflow["jobs"]["orders"]["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(step["env"]["OCCASION"], "${{ github.run_id }}");
    play.tries(|occasion| play.script(step["run"].as_str().unwrap(), ("OCCASION", occasion)));
}

#[test]
fn gitlab_job_that_is_retried_starts_its_pipeline_once() {
    let play = Play::new("recipe-gitlab");
    let job = documents("gitlab.yaml").remove(0)["orders"].take();
    play.tries(|occasion| play.script(job["script"][0].as_str().unwrap(), ("CI_PIPELINE_ID", occasion)));
}

/// As the executor of Argo applies, and with the words in which it looks at the status.
#[test]
fn argo_workflow_whose_step_is_retried_starts_its_pipeline_once() {
    let play = Play::new("recipe-argo");
    let template = documents("argo-workflows.yaml").remove(0)["spec"]["templates"][0].take();
    let resource = &template["resource"];
    assert_eq!((&resource["action"], &resource["successCondition"]), (&"apply".into(), &"status.phase == Succeeded".into()));
    let failed = resource["failureCondition"].as_str().unwrap();
    for phase in [Phase::Failed, Phase::Unresolved] {
        assert!(failed.contains(&serde_json::to_value(phase).unwrap().as_str().unwrap().to_owned()), "{failed}");
    }
    play.tries(|occasion| {
        let manifest = resource["manifest"].as_str().unwrap().replace("{{workflow.name}}", &format!("nightly-{occasion}"));
        let file = play.env.server.folder().join(format!("argo-{occasion}.yaml"));
        fs::write(&file, manifest).unwrap();
        let kubectl = play.env.server.kubectl_command();
        let mut command = Command::new(kubectl.get_program());
        command.args(kubectl.get_args()).arg("--kubeconfig").arg(&play.kubeconfig).arg("apply").arg("--filename").arg(&file);
        command
    });
}

/// The trap of all of them.
#[test]
fn step_with_a_random_name_starts_its_pipeline_in_each_try() {
    let play = Play::new("recipe-trap");
    let _operator = play.env.operator();
    for posts in [1, 2] {
        let output = play.plugin(&["run", "orders", "-o", "name"].map(str::to_owned)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        play.env.eventually("a POST", || play.env.sim.post_count() == posts);
        let name = String::from_utf8(output.stdout).unwrap().trim().rsplit('/').next().unwrap().to_owned();
        let running = play.env.wait_phase(&name, Phase::Running);
        play.env.sim.finish(&running.status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
        play.env.wait_phase(&name, Phase::Succeeded);
    }
}
