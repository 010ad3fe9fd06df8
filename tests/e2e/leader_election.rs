//! Leader election of real processes: when a standby takes over, and what becomes of a run meanwhile.

use std::time::{Duration, Instant};

use controlplane::{
    Proxy,
    proxy::{Action, Exchange, RequestInfo},
};
use nuvo_crds::{Evidence, Phase, TriggerState};
use nuvo_sim::{Effect, Fault, FaultId, Operation, Pipeline};
use serde_json::json;

use crate::environment::{Environment, Operator, WITHIN, assert_consistent, same};

/// How long a lease lasts that is neither renewed nor released.
const LEASE: Duration = Duration::from_secs(15);
const ELECTION: [&str; 2] = ["--leader-elect", "true"];
/// With a POST that can be out for longer than it takes to lose the lease.
const LONG_POST: [&str; 6] = ["--leader-elect", "true", "--trigger-timeout-seconds", "50", "--quarantine-seconds", "120"];

fn environment(name: &str) -> Environment {
    Environment::new(name, ["orders", "other"].map(|pipeline| Pipeline::new(pipeline).duration(Duration::from_millis(300))))
}

/// The leader, which has the lease before the other one begins, and the standby.
fn pair(env: &Environment, leader: Operator) -> (Operator, Operator) {
    pair_with(env, leader, &ELECTION)
}

/// The same, with other flags for the standby.
fn pair_with(env: &Environment, leader: Operator, flags: &[&str]) -> (Operator, Operator) {
    env.eventually("a leader", || leader.leads());
    let standby = env.operator_with(flags);
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
    let made = env.sim.executions().into_iter().filter(|execution| execution.pipeline == "orders");
    same("executions", status.current.execution_ids.clone(), made.map(|execution| execution.id).collect());
    same("POSTs", env.sim.post_count_of("orders"), 1);
}

/// A run whose POST is out: it was carried out, and its answer waits for the release of the fault.
fn start_with_late_answer(env: &Environment, leader: &Operator) -> FaultId {
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN), "{}", leader.0.log());
    fault
}

/// A run of another pipeline is carried out.
fn assert_works(env: &Environment, name: &str) {
    let before = env.sim.post_count_of("other");
    env.start(name, "other", json!({}));
    assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    same("POSTs", env.sim.post_count_of("other"), before + 1);
}

fn is_election(request: &RequestInfo) -> bool {
    request.path.contains("/leases/nuvo-operator-leader")
}

#[test]
fn leader_after_sigterm_hands_over_at_once() {
    let env = environment("handover");
    let (leader, standby) = pair(&env, env.operator_with(&ELECTION));
    same("exit code", leader.stop(), Some(0));
    let took = take_over(&env, &standby, "SIGTERM");
    assert!(took < LEASE, "{took:?}");
    env.start("orders", "orders", json!({}));
    assert_one_success(&env, Evidence::Answer);
    // It was released, not only abandoned.
    same("exit code", standby.stop(), Some(0));
    let leads = env.operator_with(&ELECTION);
    assert!(take_over(&env, &leads, "the SIGTERM of the last one") < LEASE);
}

#[test]
fn leader_told_to_end_hands_over_at_once_and_finishes_its_post() {
    let env = environment("beside");
    let (mut leader, standby) = pair_with(&env, env.operator_with(&LONG_POST), &LONG_POST);
    let fault = start_with_late_answer(&env, &leader);
    leader.0.signal_term().unwrap();
    let took = take_over(&env, &standby, "SIGTERM with a POST out");
    assert!(took < LEASE, "{took:?}");
    assert_works(&env, "other");
    same("the POST is still waited for", leader.0.exited(), None);
    env.sim.release(fault);
    let (code, log) = leader.ended();
    assert_eq!(code, Some(0), "{log}");
    assert_one_success(&env, Evidence::Answer);
}

#[test]
fn leader_without_the_api_server_records_its_post_later_and_leads_again_in_the_same_process() {
    let env = environment("away");
    let proxy = Proxy::start(env.server).unwrap();
    let mut leader = env.operator_through(&proxy, &LONG_POST);
    env.eventually("a leader", || leader.leads());
    let process = leader.0.command().unwrap();
    env.wait_ready("default");
    let fault = start_with_late_answer(&env, &leader);
    proxy.set_rules(|_| Action::DropBeforeForward);
    proxy.cut_connections();
    env.eventually("the lease is lost", || !leader.leads());
    same("liveness", leader.ask("health", "/livez").0, 200);
    let (code, why) = leader.ask("health", "/readyz");
    assert!(code == 503 && why.contains("the leader lease could not be renewed in time"), "{code} {why}");
    env.eventually("no metric of an account that is not watched", || leader.metrics("nuvo_operator_account_ready").is_empty());

    // The answer comes while nothing can be recorded.
    env.sim.release(fault);
    // The run is read again after a write without an answer.
    let is_lost = |exchange: &Exchange| exchange.request.path.contains("/pipelineruns/orders") && exchange.server_status.is_none();
    let tries = || proxy.journal().iter().filter(|exchange| is_lost(exchange)).count();
    env.eventually("tries to record it", || tries() >= 2);
    proxy.set_rules(|_| Action::Forward);
    assert_one_success(&env, Evidence::Answer);
    env.eventually("leader again", || leader.leads());
    same("readiness", leader.ask("health", "/readyz"), (200, "ok\n".to_owned()));
    assert_works(&env, "later");
    env.eventually("the metric is back", || leader.metrics("nuvo_operator_account_ready").len() == 1);
    same("process", leader.0.command().unwrap(), process);
    same("exit code", leader.stop(), Some(0));
}

#[test]
fn standby_takes_over_while_the_former_leader_finishes_its_post() {
    let env = environment("former");
    let proxy = Proxy::start(env.server).unwrap();
    let (mut former, standby) = pair_with(&env, env.operator_through(&proxy, &LONG_POST), &LONG_POST);
    let process = former.0.command().unwrap();
    let fault = start_with_late_answer(&env, &former);
    proxy.set_rules(|request| if is_election(request) { Action::DropBeforeForward } else { Action::Forward });
    take_over(&env, &standby, "an election without the leader");
    same("leaders", former.leads(), false);
    assert_works(&env, "other");
    env.sim.release(fault);
    assert_one_success(&env, Evidence::Answer);

    proxy.set_rules(|_| Action::Forward);
    env.eventually("a standby that is ready", || former.ask("health", "/readyz") == (200, "ok\n".to_owned()));
    same("leaders", (former.leads(), standby.leads()), (false, true));
    same("exit code", standby.stop(), Some(0));
    take_over(&env, &former, "the SIGTERM of the other one");
    assert_works(&env, "later");
    same("process", former.0.command().unwrap(), process);
    same("exit code", former.stop(), Some(0));
}

/// Only the leader acts. The lease of a dead leader is neither stolen before its end nor waited for after it.
fn killed(env: &Environment, leader: Operator, standby: &Operator) {
    leader.kill();
    let took = take_over(env, standby, "SIGKILL");
    // The lease counts from the last renewal that the standby has seen; it looks every 2 s.
    assert!(took >= LEASE - Duration::from_secs(4), "{took:?}");
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
