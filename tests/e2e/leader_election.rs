//! Leader election of real processes: when a standby takes over, and what becomes of a run meanwhile.

use std::time::{Duration, Instant};

use controlplane::{Proxy, proxy::Action};
use nuvo_crds::{Evidence, Phase, TriggerState};
use nuvo_sim::{Effect, Fault, Operation, Pipeline};
use serde_json::json;

use crate::environment::{Environment, Operator, WITHIN, assert_consistent, same};

const ELECTION: [&str; 2] = ["--leader-elect", "true"];

fn environment(name: &str) -> Environment {
    Environment::new(name, [Pipeline::new("orders").duration(Duration::from_millis(300))])
}

/// The leader, which has the lease before the other one begins, and the standby.
fn pair(env: &Environment, leader: Operator) -> (Operator, Operator) {
    env.eventually("a leader", || leader.leads());
    let standby = env.operator_with(&ELECTION);
    env.eventually("a standby that is ready", || standby.ask("health", "/readyz") == (200, "ok\n".to_owned()));
    same("they agree on the leader", (leader.leads(), standby.leads()), (true, false));
    same("readiness of the leader", leader.ask("health", "/readyz").0, 200);
    (leader, standby)
}

/// How long it takes from now until the standby leads.
fn take_over(env: &Environment, standby: &Operator, how: &str) -> Duration {
    let begun = Instant::now();
    env.eventually("a new leader", || standby.leads());
    let took = begun.elapsed();
    println!("take-over after {how}: {} ms", took.as_millis());
    took
}

/// The run ended by one POST, of either operator.
fn assert_one_success(env: &Environment, evidence: Evidence) {
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    let trigger = status.trigger.as_ref().unwrap();
    same("how it is known", (trigger.state, trigger.evidence), (TriggerState::Accepted, Some(evidence)));
    let made: Vec<String> = env.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("executions", status.current.execution_ids.clone(), made);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn leader_after_sigterm_hands_over_at_once() {
    let env = environment("handover");
    let (leader, standby) = pair(&env, env.operator_with(&ELECTION));
    same("exit code", leader.stop(), Some(0));
    let took = take_over(&env, &standby, "SIGTERM");
    assert!(took < Duration::from_secs(8), "{took:?}");
    env.start("orders", "orders", json!({}));
    assert_one_success(&env, Evidence::Answer);
    // It was released, not only abandoned.
    same("exit code", standby.stop(), Some(0));
    let leads = env.operator_with(&ELECTION);
    assert!(take_over(&env, &leads, "the SIGTERM of the last one") < Duration::from_secs(8));
}

/// Only the leader acts. The lease of a dead leader is neither stolen before its end nor waited for after it.
fn killed(env: &Environment, leader: Operator, standby: &Operator) {
    leader.kill();
    let took = take_over(env, standby, "SIGKILL");
    // The lease is 15 s, counted from the last renewal that the standby has seen; it looks every 2 s.
    assert!((Duration::from_secs(11)..Duration::from_secs(30)).contains(&took), "{took:?}");
}

#[test]
fn leader_killed_during_its_post_is_replaced_after_its_lease() {
    let env = environment("killed");
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let (leader, standby) = pair(&env, env.operator_with(&ELECTION));
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN), "{}", leader.0.log());
    killed(&env, leader, &standby);
    assert_one_success(&env, Evidence::Adopted);
}

#[test]
fn leader_killed_before_its_post_is_replaced_after_its_lease() {
    let env = environment("killed");
    let proxy = Proxy::start(env.server).unwrap();
    proxy.set_rules(|request| if request.method == "PATCH" { Action::HoldBeforeForward } else { Action::Forward });
    let (leader, standby) = pair(&env, env.operator_through(&proxy, &ELECTION));
    env.start("orders", "orders", json!({}));
    let held = proxy.wait_for(|exchange| exchange.request.method == "PATCH" && exchange.held, WITHIN);
    assert!(held.is_some(), "{}", leader.0.log());
    killed(&env, leader, &standby);
    assert_one_success(&env, Evidence::Answer);
    // The marker of the dead one arrives now, and changes nothing.
    proxy.release_all();
    let late = proxy.wait_for(|exchange| exchange.request.method == "PATCH" && exchange.server_status.is_some(), WITHIN);
    same("a late write is a conflict", late.unwrap().server_status, Some(409));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn lease_renewals_are_counted_as_writes() {
    let env = environment("renewals");
    let operator = env.operator_with(&ELECTION);
    env.eventually("two renewals", || env.written().get("{resource=\"leases\"}").is_some_and(|writes| *writes >= 3.0));
    env.eventually("as many writes as in the audit log", || operator.metrics("nuvo_operator_kube_writes_total") == env.written());
}
