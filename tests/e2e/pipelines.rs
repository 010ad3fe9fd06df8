//! What observing promises when processes are killed, nuvo answers badly or not at all, and runs are beside it.

use std::{cell::Cell, time::Duration};

use controlplane::{
    Proxy,
    proxy::{Action, RequestInfo},
};
use k8s_openapi::jiff::Timestamp;
use nuvo_crds::{NuvoPipeline, Phase};
use nuvo_sim::{Change, Effect, Fault, Identity, ListOrder, Operation, Seed, Status, Trigger};
use serde_json::json;

use crate::{
    environment::{Environment, Operator, same},
    observed_pipelines::{condition, edit, environment, executions, get, observe, seed, wait_reason},
};

fn someone() -> Identity {
    Identity::user("someone@example.com")
}

/// How many executions an operator has counted.
fn counted(operator: &Operator) -> f64 {
    executions(operator).iter().map(|(_, count)| count).sum()
}

fn is(operator: &Operator, count: f64) -> bool {
    (counted(operator) - count).abs() < 0.1
}

/// When the last complete look began, of the only object.
fn observed_at(operator: &Operator) -> Option<f64> {
    operator.metrics("nuvo_pipeline_observed_timestamp_seconds").into_values().next()
}

/// Waits for a complete look that begins later than the last one.
fn wait_for_another_look(env: &Environment, operator: &Operator) {
    let before = observed_at(operator);
    env.eventually("another complete look", || observed_at(operator) > before);
}

fn last_success(object: &NuvoPipeline) -> Option<String> {
    Some(object.status.as_ref()?.last_success.as_ref()?.id.clone())
}

fn without_posts(env: &Environment) {
    same("POSTs", env.sim.post_count(), 0);
}

#[test]
fn killed_operator_counts_nothing_again_that_its_status_has_kept() {
    let env = environment("pipelines-killed");
    let first = env.operator();
    observe(&env, "orders", json!({}));
    wait_reason(&env, "orders", "Ready", "Observed");
    let ids: Vec<String> = (0..3).map(|_| seed(&env, Trigger::Scheduled, someone(), Status::Successful)).collect();
    env.eventually("three counted", || is(&first, 3.0));
    wait_for_another_look(&env, &first);
    same("counted once", is(&first, 3.0), true);
    let kept = || get(&env, "orders").status.and_then(|status| status.seen).map_or(0, |seen| seen.ids.len());
    env.eventually("what was counted is kept", || kept() >= 3 && last_success(&get(&env, "orders")).is_some_and(|id| ids.contains(&id)));
    first.kill();

    let second = env.operator();
    env.eventually("a complete look", || observed_at(&second).is_some_and(|at| at > 0.0));
    same("counted again", counted(&second), 0.0);
    let new = seed(&env, Trigger::Event, someone(), Status::Failed);
    env.eventually("the new one is counted", || is(&second, 1.0));
    let only = executions(&second);
    assert!(only.len() == 1 && only[0].0.contains("trigger=\"EVENT\"") && only[0].0.contains("result=\"failure\""), "{only:?}");
    env.eventually("the failure is shown", || condition(&get(&env, "orders"), "LastExecutionSucceeded").2.contains(&new));
    without_posts(&env);
}

#[test]
fn forty_executions_of_one_moment_are_each_counted_once() {
    let env = environment("pipelines-forty");
    let operator = env.operator();
    observe(&env, "orders", json!({}));
    wait_reason(&env, "orders", "Ready", "Observed");
    let ended = Seed::new("orders").trigger(Trigger::Scheduled).by(someone()).status(Status::Successful);
    env.sim.seed_executions(&ended, 40);
    env.eventually("all counted", || is(&operator, 40.0));
    wait_for_another_look(&env, &operator);
    same("counted once", is(&operator, 40.0), true);
    without_posts(&env);
}

/// The list of the account is no use then. That of a pipeline is, as long as it shows all of it.
#[test]
fn list_in_a_wrong_order_is_replaced_by_one_for_each_pipeline() {
    let env = environment("pipelines-order");
    env.sim.configure(|config| (config.order, config.max_limit) = (ListOrder::Mixed, 10));
    for seconds in 60..90 {
        env.sim.seed_execution(Seed::new("other").ago(Duration::from_secs(seconds)).status(Status::Successful)).unwrap();
    }
    let operator = env.operator();
    observe(&env, "orders", json!({ "freshness": { "maxAgeSeconds": 3600 } }));
    wait_reason(&env, "orders", "Ready", "Observed");
    seed(&env, Trigger::Scheduled, someone(), Status::Successful);
    env.eventually("the new one is counted", || is(&operator, 1.0));
    wait_reason(&env, "orders", "Fresh", "Fresh");

    env.sim.configure(|config| config.ignored_filters = ["pipeline".to_owned()].into());
    let object = wait_reason(&env, "orders", "Ready", "OrderUnknown");
    assert_ne!(condition(&object, "Fresh").0, "False", "{object:?}");
    seed(&env, Trigger::Scheduled, someone(), Status::Failed);
    let lists = env.requests(Operation::List);
    env.eventually("more lists", || env.requests(Operation::List) > lists + 2);
    assert!(is(&operator, 1.0), "counted without an order: {:?}", executions(&operator));
    without_posts(&env);
}

#[test]
fn failed_execution_that_is_repaired_in_nuvo_is_a_fix_and_no_other_execution() {
    let env = environment("pipelines-fix");
    let operator = env.operator();
    observe(&env, "orders", json!({}));
    wait_reason(&env, "orders", "Ready", "Observed");
    let id = seed(&env, Trigger::Event, someone(), Status::Failed);
    wait_reason(&env, "orders", "LastExecutionSucceeded", "ExecutionFailed");
    env.eventually("the failure is counted", || is(&operator, 1.0));
    env.sim.update(&id, Change::status(Status::Processing)).unwrap();
    env.sim.finish(&id, Status::Successful).unwrap();
    let fixes = || operator.metrics("nuvo_pipeline_fixes_total").into_values().sum::<f64>();
    env.eventually("the fix is counted", || fixes() > 0.5);
    let object = wait_reason(&env, "orders", "LastExecutionSucceeded", "FixedInNuvo");
    same("last success", last_success(&object), Some(id));
    same("no failure is left", object.status.unwrap().last_failure, None);
    assert!(is(&operator, 1.0) && fixes() < 1.5, "{:?}, {} fixes", executions(&operator), fixes());
    without_posts(&env);
}

/// What becomes stale while nuvo is away is not known to be stale. It is when nuvo is back and shows nothing newer.
#[test]
fn data_that_ages_while_nuvo_is_away_is_unknown_and_never_stale() {
    let env = environment("pipelines-away");
    let success = Seed::new("orders").trigger(Trigger::Scheduled).by(someone()).status(Status::Successful);
    env.sim.seed_execution(success.ago(Duration::from_secs(300))).unwrap();
    let operator = env.operator();
    observe(&env, "orders", json!({ "freshness": { "maxAgeSeconds": 3_600 } }));
    let object = wait_reason(&env, "orders", "Fresh", "Fresh");
    env.sim.go_offline().unwrap();
    let age = Timestamp::now().duration_since(object.status.unwrap().last_success.unwrap().ended_at.unwrap().0);
    // It is reached in some seconds: after the last look, whenever that was.
    edit(&env, "orders", json!({ "freshness": { "maxAgeSeconds": age.as_secs() + 5 } }));
    let was_stale = Cell::new(false);
    env.eventually("Fresh is not known", || {
        let (status, reason, _) = condition(&get(&env, "orders"), "Fresh");
        was_stale.set(was_stale.get() || status == "False");
        reason == "NotObserved"
    });
    assert!(!was_stale.get(), "stale while nuvo was away");
    same("no series says stale", operator.metrics("nuvo_pipeline_fresh").len(), 0);
    let ready = condition(&get(&env, "orders"), "Ready");
    assert!(["NuvoUnavailable", "AccountNotReady"].contains(&ready.1.as_str()), "{ready:?}");

    env.sim.go_online().unwrap();
    wait_reason(&env, "orders", "Fresh", "Stale");
    env.wait_note("orders", "Stale");
    env.eventually("a series says stale", || operator.metrics("nuvo_pipeline_fresh").into_values().eq([0.0]));
    without_posts(&env);
}

#[test]
fn pipeline_that_nuvo_does_not_have_is_stalled_and_one_that_is_forbidden_is_not() {
    let env = environment("pipelines-refused");
    let _operator = env.operator();
    observe(&env, "missing", json!({ "pipelineId": "nothing" }));
    observe(&env, "orders", json!({}));
    let object = wait_reason(&env, "missing", "Ready", "PipelineNotFound");
    same("Stalled", condition(&object, "Stalled").0.as_str(), "True");
    assert!(condition(&object, "Ready").2.contains("nothing"), "{object:?}");
    env.wait_note("missing", "NotFound");

    wait_reason(&env, "orders", "Ready", "Observed");
    env.sim.add_fault(Fault::on(Operation::List, Effect::status(403)));
    let object = wait_reason(&env, "orders", "Ready", "PipelineForbidden");
    same("Stalled", condition(&object, "Stalled").0.as_str(), "");
    env.wait_note("orders", "Forbidden");
    env.sim.clear_faults();
    wait_reason(&env, "orders", "Ready", "Observed");
    without_posts(&env);
}

#[test]
fn lost_leadership_leaves_no_series() {
    let env = environment("pipelines-leader");
    let proxy = Proxy::start(env.server).unwrap();
    let operator = env.operator_through(&proxy, &["--leader-elect", "true"]);
    observe(&env, "orders", json!({ "freshness": { "maxAgeSeconds": 3600 } }));
    seed(&env, Trigger::Scheduled, someone(), Status::Successful);
    wait_reason(&env, "orders", "Fresh", "Fresh");
    let series = || -> Vec<String> {
        let (_, text) = operator.ask("metrics", "/metrics");
        text.lines().filter(|line| line.starts_with("nuvo_pipeline_")).map(str::to_owned).collect()
    };
    assert!(series().len() > 10, "{:?}", series());
    let is_election = |request: &RequestInfo| request.path.contains("/leases/nuvo-operator-leader");
    proxy.set_rules(move |request| if is_election(request) { Action::DropBeforeForward } else { Action::Forward });
    env.eventually("no leader", || !operator.leads());
    env.eventually("no series", || series().is_empty());
    proxy.set_rules(|_| Action::Forward);
    env.eventually("a leader", || operator.leads());
    env.eventually("series", || series().len() > 10);
    without_posts(&env);
}
/// The run reads its execution by its id. Nothing else does.
#[test]
fn execution_that_a_run_shows_is_not_asked_for_again() {
    let env = environment("pipelines-run");
    let operator = env.operator();
    observe(&env, "orders", json!({}));
    wait_reason(&env, "orders", "Ready", "Observed");
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Succeeded);
    let id = run.status.unwrap().current.execution_ids.remove(0);
    let reads = || env.sim.journal().iter().filter(|request| request.operation == Operation::Read && request.path.ends_with(&id)).count();
    let by_the_run = reads();
    env.eventually("it is counted", || is(&operator, 1.0));
    wait_for_another_look(&env, &operator);
    same("reads by its id", reads(), by_the_run);
    env.eventually("its rows are known", || {
        operator.metrics("nuvo_pipeline_last_rows").into_values().next().is_some_and(|rows| (rows - 40.0).abs() < 0.1)
    });
    same("POSTs", env.sim.post_count(), 1);
}
