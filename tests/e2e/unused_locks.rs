//! Locks that are not used any more.

use k8s_openapi::{api::coordination::v1::Lease, jiff::SignedDuration};
use nuvo_crds::Phase;
use nuvo_sim::{Effect, Fault, Operation, Pipeline};
use serde_json::json;

use crate::environment::{Environment, Operator, same};

fn environment() -> Environment {
    Environment::new("unused", [Pipeline::new("orders").duration(std::time::Duration::from_millis(300))])
}

fn is_free(lock: &Lease) -> bool {
    lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none())
}

/// The lock was written so long ago when the next operator begins. It has looked at all locks when this returns.
fn next_operator(env: &Environment, age: SignedDuration, locks: usize) -> Operator {
    env.age_lock(age);
    let operator = env.operator();
    env.eventually("the number of locks", || {
        env.all_leases().len() == locks && operator.metric("nuvo_operator_locks") == Some(locks as f64)
    });
    operator
}

/// It tells nothing to anyone, and an id that nuvo rejects is often a mistake.
#[test]
fn lock_of_a_rejected_pipeline_is_deleted_after_an_hour() {
    let env = environment();
    env.sim.add_fault(Fault::on(Operation::Create, Effect::status(404)).once());
    let first = env.operator();
    env.start("mistaken", "orders", json!({}));
    env.wait_reason("mistaken", "TriggerRejected");
    env.eventually("the lock is given back", || env.all_leases().iter().all(is_free));
    same("exit code", first.stop(), Some(0));
    same("exit code", next_operator(&env, SignedDuration::from_mins(55), 1).stop(), Some(0));
    let operator = next_operator(&env, SignedDuration::from_mins(10), 0);
    same("deletions", operator.metrics("nuvo_operator_kube_writes_total")["{resource=\"leases\"}"], 1.0);
    env.start("next", "orders", json!({}));
    env.wait_phase("next", Phase::Succeeded);
    same("the run of the deleted lock", env.get("mistaken").status.unwrap().phase, Some(Phase::Failed));
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn lock_is_deleted_a_month_after_its_last_use_when_none_of_its_runs_exists() {
    let env = environment();
    let first = env.operator();
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Succeeded);
    env.eventually("the lock is given back", || env.all_leases().iter().all(is_free));
    same("exit code", first.stop(), Some(0));

    same("exit code", next_operator(&env, SignedDuration::from_hours(24 * 31), 1).stop(), Some(0));
    env.delete("orders");
    let operator = next_operator(&env, SignedDuration::from_secs(1), 0);
    env.start("next", "orders", json!({}));
    env.wait_phase("next", Phase::Succeeded);
    same("exit code", operator.stop(), Some(0));
}
