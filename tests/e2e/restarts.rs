//! Operators that live for less time than a trigger in doubt takes.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use nuvo_crds::{Evidence, Phase};
use nuvo_sim::{Effect, Fault, Operation, Pipeline};
use serde_json::json;

use crate::environment::{Environment, WITHIN, message, reason, same};

/// As they are by default: no process of this test lives so long.
const DEFAULT: [&str; 4] = ["--trigger-settle-seconds", "300", "--quarantine-seconds", "900"];

#[test]
fn operator_that_is_restarted_again_and_again_resolves_its_doubts_and_blocks_no_pipeline() {
    let env = Environment::new("restless", [Pipeline::new("orders")]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let first = env.operator_with(&DEFAULT);
    env.start("lost", "orders", json!({}));
    env.wait_reason("lost", "TriggerUnconfirmed");
    first.kill();

    env.age_lock(SignedDuration::from_secs(440));
    let second = env.operator_with(&DEFAULT);
    let lost = env.wait_phase("lost", Phase::Unresolved);
    assert!(message(&lost).contains("shown no execution"), "{}", message(&lost));
    env.start("next", "orders", json!({}));
    env.wait_reason("next", "PipelineBusy");
    second.kill();

    env.age_lock(SignedDuration::from_secs(600));
    let third = env.operator_with(&DEFAULT);
    same("reason", reason(&env.wait_phase("next", Phase::Succeeded)), "Succeeded");
    same("POSTs", env.sim.post_count(), 2);
    same("exit code", third.stop(), Some(0));
}

/// A look a moment later shows what the trigger has started, and no person is asked.
#[test]
fn old_doubt_is_resolved_by_an_operator_that_begins_without_its_account() {
    let times = [&DEFAULT[..], &["--trigger-timeout-seconds", "60", "--fence-seconds", "5"]].concat();
    let env = Environment::new("restless", [Pipeline::new("orders").duration(Duration::from_millis(300))]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    let first = env.operator_with(&times);
    env.start("lost", "orders", json!({}));
    env.wait_reason("lost", "TriggerUnconfirmed");
    env.start("next", "orders", json!({}));
    env.wait_reason("next", "PipelineBusy");
    first.kill();

    env.age_lock(SignedDuration::from_secs(1_400));
    let token = env.sim.add_fault(Fault::on(Operation::Token, Effect::status(503)).once());
    let _second = env.operator_with(&times);
    assert!(env.sim.fault_reached(token, WITHIN));
    let lost = env.wait_phase("lost", Phase::Succeeded);
    same("found in the list", lost.status.unwrap().trigger.unwrap().evidence, Some(Evidence::Adopted));
    env.wait_phase("next", Phase::Succeeded);
    same("POSTs and executions of both", (env.sim.post_count(), env.sim.executed_count()), (2, 2));
}
