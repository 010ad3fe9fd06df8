//! `kubectl nuvo` as people and scripts use it: its output, and what it ends with.

use std::{
    process::{Command, Output},
    time::Duration,
};

use nuvo_crds::Phase;
use nuvo_sim::{Effect, Fault, Operation, Pipeline, Stats, Status};
use serde_json::{Value, json};

use crate::world::{World, message, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

/// What it has said and what it ended with.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word), "{word:?} is not in\n{}\n--\n{}", self.out, self.err);
        }
        self
    }

    #[track_caller]
    fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in\n{}\n--\n{}", self.err, self.out);
        }
        self
    }

    /// The name in `pipelinerun.nuvo.dev/NAME created`.
    fn name(&self) -> String {
        let line = self.out.lines().find(|line| line.starts_with("pipelinerun.nuvo.dev/")).unwrap_or_else(|| panic!("{}", self.out));
        line.split_whitespace().next().unwrap().split('/').nth(1).unwrap().to_owned()
    }
}

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::world::kubectl_nuvo());
    command.env("KUBECONFIG", world.server.admin_kubeconfig()).args(["--namespace", &world.namespace]).args(arguments);
    command
}

fn nuvo(world: &World, arguments: &[&str]) -> Said {
    command(world, arguments).output().unwrap().into()
}

#[test]
fn a_run_is_started_and_waited_for_and_its_result_is_the_exit_code() {
    let stats = Stats { total_rows: 1200, total_cells: 9600, total_error_rows: 2, total_error_cells: 3 };
    let world =
        World::new("plugin", [quick("Sales_Orders").stats(stats), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("held").held()]);
    let _operator = world.operator();
    let said = nuvo(&world, &["run", "Sales_Orders", "--wait", "--label", "team=sales", "--ttl", "1h"]).ends(0);
    let name = said.name();
    assert!(name.starts_with("sales-orders-"), "{name}");
    let said = said.says(&["created"]).complains(&["Running", "Succeeded", "1200 rows"]);
    assert!(!said.err.contains('\u{1b}'), "no terminal, no control sequences: {:?}", said.err);
    let run = world.get(&name);
    same("label", run.metadata.labels.clone().unwrap().get("team").cloned(), Some("sales".to_owned()));
    same("ttl", run.spec.ttl_seconds_after_finished, Some(3_600));

    let said = nuvo(&world, &["run", "bad", "--name", "bad", "--watch"]).ends(3);
    said.complains(&["Failed (ExecutionFailed)", "line 7", &format!("kubectl nuvo describe bad -n {}", world.namespace)]);
    let said = nuvo(&world, &["describe", "bad"]).ends(0);
    said.says(&[
        "Status:    Failed (ExecutionFailed)",
        "PARSING_FAILURE: line 7",
        "What to do next:",
        "$ kubectl nuvo rerun bad -n ",
        "EXECUTION",
        "FAILED",
    ]);

    nuvo(&world, &["run", "held", "--name", "held", "--wait", "--timeout", "1s"]).ends(5).complains(&["the run goes on"]);
    world.wait_phase("held", Phase::Running);
    nuvo(&world, &["rerun", "held"]).ends(1).complains(&["has not ended"]);
    nuvo(&world, &["describe", "held"]).ends(0).says(&["Nothing: it goes on by itself", "kubectl nuvo wait held"]);
    let mut waiting = command(&world, &["wait", "held", "bad"]).spawn().unwrap();
    world.sim.finish(&world.get("held").status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
    same("the worst result counts", waiting.wait().unwrap().code(), Some(3));
    same("POSTs", world.sim.post_count(), 3);
}

#[test]
fn runs_are_listed_for_people_and_for_scripts() {
    let stats = Stats { total_rows: 1200, total_error_rows: 2, ..Stats::default() };
    let world = World::new("plugin-list", [quick("orders").stats(stats), quick("bad").failing("PARSING_FAILURE", "line 7")]);
    let _operator = world.operator();
    nuvo(&world, &["list"]).ends(0).complains(&["No runs found in namespace"]);
    let name = nuvo(&world, &["run", "orders", "-o", "name", "--wait"]).ends(0).name();
    let json: Value = serde_json::from_str(&nuvo(&world, &["run", "bad", "--name", "bad", "--wait", "-o", "json"]).ends(3).out).unwrap();
    same("the object as it ended", json["status"]["phase"].clone(), json!("Failed"));
    let listed = nuvo(&world, &["list"]).ends(0).says(&["NAME", "PIPELINE", "STATUS", &name, "Succeeded", "1200", "PARSING_FAILURE"]);
    let columns = listed.out.lines().next().unwrap().split_whitespace().count();
    assert!(nuvo(&world, &["get", "-o", "wide"]).ends(0).out.lines().next().unwrap().split_whitespace().count() > columns);
    same("names", nuvo(&world, &["list", "--phase", "Failed", "-o", "name"]).ends(0).out, "pipelinerun.nuvo.dev/bad\n".to_owned());
    same(
        "of a pipeline",
        nuvo(&world, &["list", "--pipeline", "orders", "-o", "name"]).ends(0).out,
        format!("pipelinerun.nuvo.dev/{name}\n"),
    );
    nuvo(&world, &["list", "-A"]).ends(0).says(&["NAMESPACE", &world.namespace]);
    let yaml: Value = serde_yaml::from_str(&nuvo(&world, &["list", "-o", "yaml"]).ends(0).out).unwrap();
    same("a list", (yaml["kind"].clone(), yaml["items"].as_array().map(Vec::len)), (json!("List"), Some(2)));
    nuvo(&world, &["accounts"]).ends(0).says(&["default", "True", "Ready", "demo@example.com"]);
    nuvo(&world, &["history", "bad"]).ends(0).says(&["Attempt 1: ExecutionFailed", "CREATE", "FAILED"]);
    nuvo(&world, &["completion", "bash"]).ends(0).says(&["kubectl-nuvo", "rerun"]);
}

#[test]
fn a_person_answers_reruns_and_suspends_with_it() {
    let world = World::new("plugin-answer", [quick("orders")]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let _operator = world.operator();
    nuvo(&world, &["run", "orders", "--name", "orders", "--wait"]).ends(4).complains(&["Unresolved (TriggerOutcomeUnknown)"]);
    assert!(world.sim.fault_count(fault) > 0);
    nuvo(&world, &["describe", "orders"]).ends(0).says(&["kubectl nuvo resolve orders -n", "--adopt <execution id>", "--abandon"]);
    nuvo(&world, &["resolve", "orders"]).ends(2).complains(&["--adopt", "--retry", "--abandon"]);
    nuvo(&world, &["resolve", "orders", "--adopt", "../x"]).ends(1).complains(&["not a valid execution id"]);
    nuvo(&world, &["resolve", "orders", "--adopt", "no-such-execution"]).ends(0);
    world.wait("orders", "told that nuvo does not know it", |run| message(run).contains("does not know execution no-such-execution"));
    nuvo(&world, &["resolve", "orders", "--retry"]).ends(0).says(&["answered: retry"]);
    world.wait_phase("orders", Phase::Succeeded);
    nuvo(&world, &["resolve", "orders", "--retry"]).ends(1).complains(&["asks nobody"]);

    nuvo(&world, &["rerun", "orders", "--token", "again", "--wait"]).ends(0).complains(&["attempt 3", "Succeeded"]);
    nuvo(&world, &["rerun", "orders", "--token", "again"]).ends(1).complains(&["give it another one"]);
    nuvo(&world, &["history", "orders"]).ends(0).says(&[
        "Attempt 1: TriggerOutcomeUnknown",
        "Attempt 2: Succeeded",
        "Attempt 3: Succeeded",
    ]);
    nuvo(&world, &["suspend", "orders"]).ends(0).says(&["suspended, which changes nothing in nuvo"]);
    nuvo(&world, &["rerun", "orders"]).ends(0);
    world.wait_phase("orders", Phase::Suspended);
    nuvo(&world, &["resume", "orders"]).ends(0);
    nuvo(&world, &["wait", "orders", "--timeout", "1m"]).ends(0);
    same("carried out", world.sim.executed_count(), 3);
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let world = World::new("plugin-wrong", [quick("orders")]);
    nuvo(&world, &["describe", "nothing"]).ends(1).complains(&["there is no PipelineRun nothing", "kubectl nuvo list"]);
    nuvo(&world, &["run", "https://nuvo.example/orders"]).ends(1).complains(&["not a valid pipeline id"]);
    nuvo(&world, &["run"]).ends(2);
    nuvo(&world, &["run", "orders", "--timeout", "1s"]).ends(2).complains(&["--wait"]);
    nuvo(&world, &["run", "orders", "--retries", "11"]).ends(2);
    nuvo(&world, &["--context", "nowhere", "list"]).ends(1).complains(&["kubeconfig", "--context"]);
    let nowhere = world.server.folder().join("no-such-kubeconfig").display().to_string();
    nuvo(&world, &["--kubeconfig", &nowhere, "list"]).ends(1).complains(&["kubeconfig"]);
    // A run that is deleted while it is waited for has no result.
    world.start("gone", "orders", json!({ "suspend": true }));
    let waiting = command(&world, &["wait", "gone"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let _operator = world.operator();
    world.wait_phase("gone", Phase::Suspended);
    world.delete("gone");
    Said::from(waiting.wait_with_output().unwrap()).ends(1).complains(&["was deleted while it was waited for"]);
    same("POSTs", world.sim.post_count(), 0);
}
