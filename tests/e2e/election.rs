//! Leader election of real processes: who takes over, when, and what becomes of a run meanwhile.

use std::time::{Duration, Instant};

use controlplane::{Proxy, proxy::Action};
use nuvo_crds::{Evidence, Phase, TriggerState};
use nuvo_sim::{Effect, Fault, Operation, Pipeline};
use serde_json::json;

use crate::world::{Operator, WITHIN, World, assert_consistent, same};

const ELECTION: [&str; 2] = ["--leader-elect", "true"];

fn world(name: &str) -> World {
    World::new(name, [Pipeline::new("orders").duration(Duration::from_millis(300))])
}

/// The leader, which has the lease before the other one begins, and the standby.
fn pair(world: &World, leader: Operator) -> (Operator, Operator) {
    world.eventually("a leader", || leader.leads());
    let standby = world.operator_with(&ELECTION);
    world.eventually("a standby that is ready", || standby.ask("health", "/readyz") == (200, "ok\n".to_owned()));
    same("they agree who leads", (leader.leads(), standby.leads()), (true, false));
    same("readiness of the leader", leader.ask("health", "/readyz").0, 200);
    (leader, standby)
}

/// How long it takes from now until the standby leads.
fn take_over(world: &World, standby: &Operator, how: &str) -> Duration {
    let begun = Instant::now();
    world.eventually("a new leader", || standby.leads());
    let took = begun.elapsed();
    println!("take-over after {how}: {} ms", took.as_millis());
    took
}

/// The run ended by one POST, whoever made it.
fn assert_one_success(world: &World, evidence: Evidence) {
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    let trigger = status.trigger.as_ref().unwrap();
    same("how it is known", (trigger.state, trigger.evidence), (TriggerState::Accepted, Some(evidence)));
    let made: Vec<String> = world.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("executions", status.current.execution_ids.clone(), made);
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_leader_that_is_asked_to_stop_hands_over_at_once() {
    let world = world("handover");
    let (leader, standby) = pair(&world, world.operator_with(&ELECTION));
    same("exit code", leader.stop(), Some(0));
    let took = take_over(&world, &standby, "SIGTERM");
    assert!(took < Duration::from_secs(8), "{took:?}");
    world.start("orders", "orders", json!({}));
    assert_one_success(&world, Evidence::Answer);
    // It was released, not only abandoned.
    same("exit code", standby.stop(), Some(0));
    let leads = world.operator_with(&ELECTION);
    assert!(take_over(&world, &leads, "the SIGTERM of the last one") < Duration::from_secs(8));
}

/// Nobody but the leader acts, and the lease of a dead one is neither stolen nor waited for without end.
fn killed(world: &World, leader: Operator, standby: &Operator) {
    leader.kill();
    let took = take_over(world, standby, "SIGKILL");
    // The lease is 15 s, counted from the last renewal that the standby has seen; it looks every 2 s.
    assert!((Duration::from_secs(11)..Duration::from_secs(30)).contains(&took), "{took:?}");
}

#[test]
fn a_leader_that_dies_while_its_post_is_out_is_replaced_after_its_lease() {
    let world = world("killed");
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let (leader, standby) = pair(&world, world.operator_with(&ELECTION));
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN), "{}", leader.0.log());
    killed(&world, leader, &standby);
    assert_one_success(&world, Evidence::Adopted);
}

#[test]
fn a_leader_that_dies_right_before_its_post_is_replaced_after_its_lease() {
    let world = world("killed");
    let proxy = Proxy::start(world.server).unwrap();
    proxy.set_rules(|request| if request.method == "PATCH" { Action::HoldBeforeForward } else { Action::Forward });
    let (leader, standby) = pair(&world, world.operator_through(&proxy, &ELECTION));
    world.start("orders", "orders", json!({}));
    let held = proxy.wait_for(|exchange| exchange.request.method == "PATCH" && exchange.held, WITHIN);
    assert!(held.is_some(), "{}", leader.0.log());
    killed(&world, leader, &standby);
    assert_one_success(&world, Evidence::Answer);
    // The marker of the dead one arrives now, and changes nothing.
    proxy.release_all();
    let late = proxy.wait_for(|exchange| exchange.request.method == "PATCH" && exchange.server_status.is_some(), WITHIN);
    same("a late write is a conflict", late.unwrap().server_status, Some(409));
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn renewals_of_the_lease_are_counted_as_writes() {
    let world = world("renewals");
    let operator = world.operator_with(&ELECTION);
    world.eventually("two renewals", || world.written().get("{resource=\"leases\"}").is_some_and(|writes| *writes >= 3.0));
    world.eventually("as many writes as in the audit log", || operator.metrics("nuvo_operator_kube_writes_total") == world.written());
}
