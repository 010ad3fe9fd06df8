//! `spec.startDeadlineSeconds`: runs that cannot be triggered in time.

use std::time::Duration;

use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{Effect, Fault, Operation, Pipeline, SimConfig};
use serde_json::json;

use crate::environment::{Environment, assert_consistent, message, reason, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

/// The run ended because it was too late, and says what it waited for.
fn assert_too_late(env: &Environment, name: &str, waited_for: &str) -> PipelineRun {
    let run = env.wait_phase(name, Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "StartDeadlineExceeded");
    assert!(message(&run).contains(waited_for), "{}", message(&run));
    run
}

#[test]
fn start_deadline_without_an_account_ends_the_run_and_a_token_starts_it() {
    let config = SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() };
    let env = Environment::without_account("late-account", config);
    let operator = env.operator();
    env.start("orders", "orders", json!({ "startDeadlineSeconds": 1 }));
    assert_too_late(&env, "orders", "AccountNotReady");
    same("it counts as failed", operator.metrics("nuvo_operator_runs_finished_total").values().sum::<f64>(), 1.0);
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    env.wait_ready("default");
    env.change("orders", json!({ "spec": { "rerunToken": "again", "startDeadlineSeconds": 600 } }));
    let run = env.wait_phase("orders", Phase::Succeeded);
    let status = run.status.as_ref().unwrap();
    same("attempt and POSTs", (status.attempt, env.sim.post_count()), (Some(2), 1));
    assert!(status.series.request_time > run.metadata.creation_timestamp, "it counts from the acceptance of the token");
}

#[test]
fn start_deadline_while_the_pipeline_is_busy_ends_the_waiting_run_only() {
    let env = Environment::new("late-busy", [quick("orders")]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = env.operator_with(&["--trigger-timeout-seconds", "60", "--quarantine-seconds", "90"]);
    env.start("first", "orders", json!({}));
    env.eventually("a POST", || env.sim.post_count() == 1);
    env.start("second", "orders", json!({ "startDeadlineSeconds": 10 }));
    assert_too_late(&env, "second", "PipelineBusy");
    same("POSTs", env.sim.post_count(), 1);
    same("the first one is left alone", env.get("first").status.and_then(|status| status.current.completion_time), None);
}

#[test]
fn start_deadline_while_nuvo_is_away_ends_the_run_also_after_a_restart() {
    let env = Environment::new("late-away", [quick("orders")]);
    let operator = env.operator();
    env.wait_ready("default");
    env.sim.go_offline().unwrap();
    env.start("orders", "orders", json!({ "startDeadlineSeconds": 20 }));
    env.wait_reason("orders", "NuvoUnavailable");
    same("exit code", operator.stop(), Some(0));
    let _operator = env.operator();
    assert_too_late(&env, "orders", "");
    env.sim.go_online().unwrap();
    env.start("next", "orders", json!({}));
    env.wait_phase("next", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn suspended_run_does_not_age_and_starts_in_time_when_it_is_resumed() {
    let env = Environment::new("late-suspended", [quick("orders")]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "suspend": true, "startDeadlineSeconds": 20 }));
    env.wait_phase("orders", Phase::Suspended);
    let created = env.get("orders").metadata.creation_timestamp.unwrap().0;
    env.eventually("the deadline to be over", || k8s_openapi::jiff::Timestamp::now().duration_since(created).as_secs() > 20);
    same("phase", env.get("orders").status.unwrap().phase, Some(Phase::Suspended));
    env.change("orders", json!({ "spec": { "suspend": false } }));
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn refused_trigger_that_comes_too_late_gives_the_lock_back() {
    let env = Environment::new("late-refused", [quick("orders")]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::too_many_requests(600)).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "startDeadlineSeconds": 20 }));
    assert_too_late(&env, "orders", "RateLimited");
    env.eventually("the lock to be free", || {
        env.all_leases().iter().all(|lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).is_none_or(str::is_empty))
    });
    same("POSTs", env.sim.post_count(), 1);
}
