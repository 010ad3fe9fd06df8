//! Executions that nuvo has started, kept as runs that only show them (`spec.mirror`).

use kube::api::ListParams;
use nuvo_crds::{Evidence, Phase, PipelineRun};
use nuvo_sim::{Effect, Fault, Identity, Operation, Status, Trigger};
use serde_json::json;

use crate::{
    environment::{Environment, block_on, same},
    observed_pipelines::{environment, observe, seed, wait_reason},
};

/// The mirrored runs, each with its execution.
fn mirrored(env: &Environment) -> Vec<(PipelineRun, String)> {
    let of_object = ListParams::default().labels("nuvo.dev/pipeline-object=orders");
    let runs = block_on(env.runs().list(&of_object)).unwrap().items;
    runs.into_iter().map(|run| (run.clone(), run.spec.execution_id.unwrap())).collect()
}

fn executions(env: &Environment) -> Vec<String> {
    let mut executions: Vec<String> = mirrored(env).into_iter().map(|(_, execution)| execution).collect();
    executions.sort_unstable();
    executions
}

#[test]
fn newest_executions_of_a_schedule_are_mirrored_once_and_no_more_than_the_limit() {
    let env = environment("mirrored");
    let operator = env.operator();
    observe(&env, "orders", json!({ "mirror": { "historyLimit": 2 } }));
    wait_reason(&env, "orders", "Ready", "Observed");
    let by = || Identity::user("one@example.com");
    let first = seed(&env, Trigger::Scheduled, by(), Status::Successful);
    env.eventually("the first is mirrored", || executions(&env) == [first.clone()]);
    let (run, _) = mirrored(&env).remove(0);
    let name = run.metadata.name.unwrap();
    let shown = env.wait_phase(&name, Phase::Succeeded);
    same("rows", shown.status.unwrap().current.stats.unwrap().total_rows, Some(40));
    let owner = shown.metadata.owner_references.unwrap().remove(0);
    same("owner", (owner.kind.as_str(), owner.controller), ("NuvoPipeline", Some(true)));

    env.delete(&name);
    let mut newer: Vec<String> = (0..3).map(|_| seed(&env, Trigger::Event, by(), Status::Failed)).collect();
    seed(&env, Trigger::Manual, by(), Status::Successful);
    // Those of one second are told apart by nothing, so any two of the three.
    env.eventually("the newest two are mirrored", || executions(&env).len() == 2);
    wait_reason(&env, "orders", "LastExecutionSucceeded", "Succeeded");
    newer.sort_unstable();
    let left = executions(&env);
    assert!(left.len() == 2 && left.iter().all(|execution| newer.contains(execution)), "{left:?} of {newer:?}: a deleted one came back");
    let ended: f64 = operator.metrics("nuvo_operator_runs_finished_total").into_values().sum();
    assert!(ended < 0.5, "{ended} mirrored runs are counted as runs that have ended");
    same("POSTs", env.sim.post_count(), 0);
}

/// The mirror must not hide from a run in doubt what its POST has started: else it would be started again.
#[test]
fn run_in_doubt_beside_a_mirror_adopts_its_execution_and_starts_it_no_second_time() {
    let env = environment("mirror-doubt");
    // By this one, the operator knows what is new after its restart.
    seed(&env, Trigger::Scheduled, Identity::user("one@example.com"), Status::Successful);
    let operator = env.operator();
    observe(&env, "orders", json!({ "mirror": { "historyLimit": 5, "triggerTypes": ["MANUAL", "SCHEDULED"] } }));
    wait_reason(&env, "orders", "Ready", "Observed");
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::status_after_executing(502)).once());
    env.start("doubt", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    env.eventually("the POST is out", || env.sim.fault_count(fault) == 1);
    operator.kill();
    let _again = env.operator();
    let run = env.wait_phase("doubt", Phase::Succeeded);
    let status = run.status.unwrap();
    same("evidence", status.trigger.and_then(|trigger| trigger.evidence), Some(Evidence::Adopted));
    // The look that has shown it comes within a period; a run of another trigger shows that it is over.
    let scheduled = seed(&env, Trigger::Scheduled, Identity::user("one@example.com"), Status::Successful);
    env.eventually("the other one is mirrored", || executions(&env).contains(&scheduled));
    env.eventually("the adopted one is not", || executions(&env) == [scheduled.clone()]);
    same("POSTs", env.sim.post_count(), 1);
}
