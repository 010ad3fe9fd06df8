//! Operators on nodes whose clock is wrong.

use controlplane::MovedClock;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::Phase;
use nuvo_sim::{Effect, Fault, Operation, Pipeline, Status};
use serde_json::json;

use crate::environment::{Environment, Operator, same};

fn operator_ahead(env: &Environment, flags: &[&str]) -> Operator {
    let clock = MovedClock::new(env.server.folder()).unwrap();
    clock.set(3_600).unwrap();
    env.operator_in(&clock.environment().map(|(name, path)| (name, path.to_str().unwrap())), &env.kubeconfig, flags)
}

#[test]
fn clock_of_the_operator_is_compared_with_that_of_the_api_server() {
    let env = Environment::new("clock", [Pipeline::new("orders")]);
    for (operator, hours) in [
        (env.operator(), 0.0),
        (operator_ahead(&env, &[]), 1.0),
        // The election has a client of its own.
        (operator_ahead(&env, &["--leader-elect", "true"]), 1.0),
    ] {
        let skew = || operator.metric("nuvo_operator_clock_skew_seconds").unwrap_or_default();
        env.eventually("a leader that has compared the clocks", || operator.leads() && skew() != 0.0);
        // An answer says the second, and may take a while on a busy machine.
        let off = skew() - hours * 3600.0;
        assert!((-30.0..1.0).contains(&off), "{} s", skew());
        same("exit code", operator.stop(), Some(0));
    }
}

/// The one before it, on another node, had the right time.
#[test]
fn operator_an_hour_ahead_ends_and_deletes_nothing_early() {
    let env = Environment::new("ahead", [Pipeline::new("orders").held(), Pipeline::new("invoices")]);
    let first = env.operator();
    env.start("long", "orders", json!({ "activeDeadlineSeconds": 1800 }));
    let execution = env.wait_phase("long", Phase::Running).status.unwrap().current.execution_ids[0].clone();
    env.start("kept", "invoices", json!({ "ttlSecondsAfterFinished": 1800 }));
    env.wait_phase("kept", Phase::Succeeded);
    same("exit code", first.stop(), Some(0));

    let before = env.requests(Operation::List);
    let second = operator_ahead(&env, &[]);
    env.start("later", "invoices", json!({}));
    let later = env.wait_phase("later", Phase::Succeeded);
    env.eventually("looks at nuvo's list", || env.requests(Operation::List) > before + 3);
    same("phase after half an hour by its clock", env.get("long").status.unwrap().phase, Some(Phase::Running));
    same("phase of the other one", env.get("kept").status.unwrap().phase, Some(Phase::Succeeded));
    let ended = later.status.unwrap().current.completion_time.unwrap().0;
    assert!(ended < Timestamp::now() + SignedDuration::from_mins(2), "{ended}");
    env.sim.finish(&execution, Status::Successful).unwrap();
    env.wait_phase("long", Phase::Succeeded);
    same("exit code", second.stop(), Some(0));
}

/// By the clock of its operator the quarantine is over.
#[test]
fn operator_an_hour_ahead_takes_no_lock_early() {
    let env = Environment::new("ahead", [Pipeline::new("orders")]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let first = env.operator();
    env.start("lost", "orders", json!({}));
    env.wait_phase("lost", Phase::Unresolved);
    same("exit code", first.stop(), Some(0));

    let second = operator_ahead(&env, &["--quarantine-seconds", "900"]);
    env.start("next", "orders", json!({}));
    env.wait_reason("next", "PipelineBusy");
    same("POSTs", env.sim.post_count(), 1);
    same("exit code", second.stop(), Some(0));
}
