//! What the operator reports about its own work.

use nuvo_crds::Phase;
use nuvo_sim::{Pipeline, Status};
use serde_json::json;

use crate::environment::{Environment, same};

/// From the first reconcile to the end: reconciles are counted by kind and result, and the oldest run is that which is not at rest.
#[test]
fn successful_run_is_counted_as_reconciled() {
    let env = Environment::new("reconciles", [Pipeline::new("orders").held()]);
    let operator = env.operator();
    let reconciles = |kind: &str, result: &str| {
        operator.metric(&format!("nuvo_operator_reconciles_total{{kind=\"{kind}\",result=\"{result}\"}}")).unwrap_or_default()
    };
    let oldest = |phase: &str| operator.metric(&format!("nuvo_operator_oldest_run_seconds{{phase=\"{phase}\"}}"));
    env.eventually("a reconcile of the account", || reconciles("NuvoAccount", "ok") >= 1.0);
    same("runs before there is one", reconciles("PipelineRun", "ok"), 0.0);

    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Running);
    env.eventually("an age of the oldest run", || oldest("Running") >= Some(1.0));
    let before = reconciles("PipelineRun", "ok");
    assert!(before >= 1.0, "{before}");

    env.sim.finish(&run.status.as_ref().unwrap().current.execution_ids[0], Status::Successful).unwrap();
    env.wait_phase("orders", Phase::Succeeded);
    env.eventually("a reconcile of the end", || reconciles("PipelineRun", "ok") > before);
    env.eventually("no run that is not at rest", || oldest("Running") == Some(0.0) && oldest("Succeeded") == Some(0.0));

    for kind in ["PipelineRun", "NuvoAccount"] {
        let count = || operator.metric(&format!("nuvo_operator_reconcile_duration_seconds_count{{kind=\"{kind}\"}}")).unwrap();
        env.eventually("as many durations as reconciles", || reconciles(kind, "ok") + reconciles(kind, "error") == count());
        same("failed watches", operator.metric(&format!("nuvo_operator_watch_failures_total{{kind=\"{kind}\"}}")), Some(0.0));
    }
}

/// Which of them need a person is a matter of their age, which is tested with the index and the alerts.
#[test]
fn runs_that_wait_are_counted_by_their_reason() {
    let env = Environment::new("waits", [Pipeline::new("orders").held()]);
    let operator = env.operator();
    let waiting = |reason: &str| operator.metric(&format!("nuvo_operator_waiting_runs{{reason=\"{reason}\",age=\"short\"}}"));
    env.eventually("zero before there is one", || waiting("PipelineBusy") == Some(0.0));
    env.start("later", "orders", json!({ "suspend": true }));
    env.start("elsewhere", "orders", json!({ "accountRef": { "name": "missing" } }));
    env.eventually("both", || waiting("Suspended") == Some(1.0) && waiting("AccountNotReady") == Some(1.0));
    env.change("later", json!({ "spec": { "suspend": false } }));
    env.wait_phase("later", Phase::Running);
    env.delete("elsewhere");
    env.eventually("neither", || waiting("Suspended") == Some(0.0) && waiting("AccountNotReady") == Some(0.0));
}
