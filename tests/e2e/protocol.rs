//! The trigger protocol with the real pieces: operators killed right before and right after each write and the POST, answers lost,
//! records wiped, and two operators at once. Every test counts the POSTs that reached nuvo.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use controlplane::{
    Proxy,
    proxy::{Action, Answer, RequestInfo},
};
use k8s_openapi::{
    api::coordination::v1::Lease,
    jiff::{SignedDuration, Timestamp},
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use nuvo_crds::{Evidence, Phase, PipelineRun, TriggerState};
use nuvo_sim::{AccessToken, Effect, Fault, Identity, Operation, Pipeline, Seed, Sim, SimConfig, Status};
use serde_json::json;

use crate::{
    environment::{Environment, Operator, WITHIN, assert_consistent, block_on, message, reason, same},
    moved_clock::MovedClock,
};

fn orders() -> Pipeline {
    Pipeline::new("orders").duration(Duration::from_millis(300))
}

/// A write of the protocol, as the API server sees it.
#[derive(Debug, Clone, Copy)]
enum Write {
    Lock,
    Marker,
    Accepted,
    End,
    Unlock,
}

impl Write {
    fn is(self, request: &RequestInfo) -> bool {
        let of_run = request.path.contains("/pipelineruns/");
        match self {
            // At its start the operator tries out whether it could create one.
            Self::Lock => request.method == "POST" && request.path.ends_with("/leases") && !request.query.contains("dryRun"),
            Self::Unlock => request.method == "PUT" && request.path.contains("/leases/"),
            Self::Marker => request.method == "PATCH" && of_run,
            Self::Accepted => request.method == "PUT" && of_run && String::from_utf8_lossy(&request.body).contains("\"phase\":\"Running\""),
            Self::End => request.method == "PUT" && of_run && String::from_utf8_lossy(&request.body).contains("\"phase\":\"Succeeded\""),
        }
    }
}

/// What happens to the first request of this kind; the others pass.
fn first(proxy: &Proxy, write: Write, action: Action) {
    let seen = AtomicUsize::new(0);
    proxy.set_rules(
        move |request| {
            if write.is(request) && seen.fetch_add(1, Ordering::Relaxed) == 0 { action.clone() } else { Action::Forward }
        },
    );
}

/// An operator that was killed while the API server had not yet got this write, or had applied it and not yet answered.
fn killed_at(write: Write, applied: bool) -> (Environment, Proxy) {
    killed_at_with(write, applied, json!({}))
}

/// The same for a run with these further fields in its spec.
fn killed_at_with(write: Write, applied: bool, fields: serde_json::Value) -> (Environment, Proxy) {
    let env = Environment::new("crash", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    first(&proxy, write, if applied { Action::ForwardThenHold } else { Action::HoldBeforeForward });
    let operator = env.operator_through(&proxy, &[]);
    env.start("orders", "orders", fields);
    let held = proxy.wait_for(|exchange| write.is(&exchange.request) && exchange.held, WITHIN);
    assert!(held.is_some(), "{write:?} did not come\n{}", operator.0.log());
    operator.kill();
    (env, proxy)
}

fn trigger(run: &PipelineRun) -> (TriggerState, Option<Evidence>) {
    let trigger = run.status.as_ref().unwrap().trigger.as_ref().unwrap();
    (trigger.state, trigger.evidence)
}

fn nonce(run: &PipelineRun) -> String {
    run.status.as_ref().unwrap().trigger.as_ref().unwrap().nonce.clone()
}

/// The run ended well, by one POST, and shows the one execution there is.
fn assert_one_success(env: &Environment, name: &str) -> PipelineRun {
    let run = env.wait_phase(name, Phase::Succeeded);
    assert_consistent(&run);
    let made: Vec<String> = env.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("executions", run.status.as_ref().unwrap().current.execution_ids.clone(), made);
    same("POSTs", env.sim.post_count(), 1);
    run
}

/// Lets the dead operator's write arrive now, when it is late. It must change nothing.
fn late_write(env: &Environment, proxy: &Proxy, write: Write) {
    let before = env.get("orders").metadata.resource_version;
    proxy.release_all();
    let answered = proxy.wait_for(|exchange| write.is(&exchange.request) && exchange.server_status.is_some(), WITHIN).unwrap();
    same("a late write is a conflict", answered.server_status, Some(409));
    same("version", env.get("orders").metadata.resource_version, before);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn operator_killed_before_the_lock_triggers_once() {
    let (env, proxy) = killed_at(Write::Lock, false);
    let _operator = env.operator();
    assert_one_success(&env, "orders");
    late_write(&env, &proxy, Write::Lock);
}

#[test]
fn operator_killed_after_the_lock_triggers_once() {
    let (env, _proxy) = killed_at(Write::Lock, true);
    let _operator = env.operator();
    same("known by its answer", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn run_holding_its_lock_is_not_written_while_its_account_is_not_ready() {
    let (env, _proxy) = killed_at(Write::Lock, true);
    env.secret("nuvo-credentials", "demo-license-key", false);
    let _operator = env.operator();
    assert!(env.wait_note("orders", "AccountNotReady").contains("nuvo-credentials"));
    same("status", env.get("orders").status.and_then(|status| status.phase), None);
    env.credential("nuvo-credentials", "demo-license-key");
    same("known by its answer", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

/// The lock speaks of this version of the run, so that a status written at once would put a later attempt in doubt.
#[test]
fn run_holding_its_lock_at_its_start_deadline_ends_and_can_be_started_again() {
    for account_is_ready in [true, false] {
        let (env, _proxy) = killed_at_with(Write::Lock, true, json!({ "startDeadlineSeconds": 60 }));
        let clock = MovedClock::new(&env);
        clock.forward(&env, SignedDuration::from_secs(62));
        if !account_is_ready {
            env.secret("nuvo-credentials", "demo-license-key", false);
        }
        let _operator = clock.operator(&env, &[]);
        let run = env.wait_phase("orders", Phase::Failed);
        assert_consistent(&run);
        same("reason", reason(&run), "StartDeadlineExceeded");
        env.eventually("the lock to be free", || env.all_leases().iter().all(|lease| lease_holder(lease).is_none()));
        same("POSTs", env.sim.post_count(), 0);
        env.secret("nuvo-credentials", "demo-license-key", true);
        env.wait_ready("default");
        env.change("orders", json!({ "spec": { "rerunToken": "again", "startDeadlineSeconds": 600 } }));
        let run = assert_one_success(&env, "orders");
        same("attempt", run.status.unwrap().attempt, Some(2));
    }
}

/// An account with a Secret of its own, at the same nuvo: its runs share the locks of the others.
fn another_account(env: &Environment) {
    env.credential("other-credentials", "demo-license-key");
    let license_key = json!({
        "secretRef": { "name": "other-credentials", "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER",
    });
    env.account_with("other", json!({ "licenseKey": license_key }));
}

/// The edit puts the run in doubt, as if it had removed a marker.
#[test]
fn run_suspended_after_a_crash_between_lock_and_marker_gives_way_to_the_next() {
    let (env, _proxy) = killed_at(Write::Lock, true);
    env.change("orders", json!({ "spec": { "suspend": true } }));
    let operator = env.operator();
    env.wait_phase("orders", Phase::Suspended);
    env.start("next", "orders", json!({}));
    env.wait_phase("next", Phase::Succeeded);
    // Two runs that wake each other again and again make more than two hundred.
    let reconciles = operator.metric("nuvo_operator_reconciles_total{kind=\"PipelineRun\",result=\"ok\"}").unwrap();
    assert!(reconciles < 100.0, "{reconciles} reconciles");
    let left = env.get("orders");
    assert_consistent(&left);
    same("reason", reason(&left), "TriggerOutcomeUnknown");
    same("POSTs", env.sim.post_count(), 1);
}

/// The operator of the next run does not watch this one, and cannot wake it.
#[test]
fn suspended_run_gives_way_to_one_that_another_operator_watches() {
    let (env, _proxy) = killed_at(Write::Lock, true);
    env.change("orders", json!({ "metadata": { "labels": { "team": "a" } }, "spec": { "suspend": true } }));
    env.age_lock(SignedDuration::from_mins(12));
    let _operators = ["team=a", "team=b"].map(|selector| env.operator_with(&["--label-selector", selector]));
    env.start("next", "orders", json!({}));
    env.change("next", json!({ "metadata": { "labels": { "team": "b" } } }));
    env.wait_phase("next", Phase::Succeeded);
    same("reason", reason(&env.get("orders")), "TriggerOutcomeUnknown");
    same("POSTs", env.sim.post_count(), 1);
}

/// That it waits for its account is written to the run, as long as it does not know its lock.
#[test]
fn run_whose_account_is_deleted_after_a_crash_between_lock_and_marker_gives_way_to_the_next() {
    let (env, _proxy) = killed_at(Write::Lock, true);
    block_on(env.accounts().delete("default", &DeleteParams::default())).unwrap();
    another_account(&env);
    let _operator = env.operator();
    env.wait_reason("orders", "AccountNotReady");
    env.start("next", "orders", json!({ "accountRef": { "name": "other" } }));
    env.wait_phase("next", Phase::Succeeded);
    let left = env.get("orders");
    assert_consistent(&left);
    same("reason", reason(&left), "TriggerOutcomeUnknown");
    same("POSTs", env.sim.post_count(), 1);
}

/// It knows its lock, so that it is certain that nothing was sent, and no quarantine is needed.
#[test]
fn run_without_credentials_after_a_crash_between_lock_and_marker_gives_way_and_is_triggered_later() {
    let (env, _proxy) = killed_at(Write::Lock, true);
    env.secret("nuvo-credentials", "demo-license-key", false);
    another_account(&env);
    let _operator = env.operator_with(&["--quarantine-seconds", "900"]);
    assert!(env.wait_note("orders", "AccountNotReady").contains("nuvo-credentials"));
    env.start("next", "orders", json!({ "accountRef": { "name": "other" } }));
    env.wait_phase("next", Phase::Succeeded);
    let left = env.wait_reason("orders", "AccountNotReady");
    same("nothing was sent", trigger(&left), (TriggerState::NotExecuted, None));
    env.secret("nuvo-credentials", "demo-license-key", true);
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("known by its answer", trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
    same("POSTs", env.sim.post_count(), 2);
}

fn lease_holder(lease: &Lease) -> Option<String> {
    lease.spec.as_ref()?.holder_identity.clone().filter(|holder| !holder.is_empty())
}

#[test]
fn run_holding_its_lock_does_not_wait_for_an_older_run() {
    let env = Environment::new("crash", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    first(&proxy, Write::Lock, Action::ForwardThenHold);
    let operator = env.operator_through(&proxy, &[]);
    let born = env.start("older", "orders", json!({ "suspend": true })).metadata.creation_timestamp.unwrap().0;
    env.wait_phase("older", Phase::Suspended);
    // The age of an object is known to the second.
    env.eventually("a second later", || Timestamp::now().as_second() > born.as_second());
    env.start("younger", "orders", json!({}));
    assert!(proxy.wait_for(|exchange| Write::Lock.is(&exchange.request) && exchange.held, WITHIN).is_some(), "{}", operator.0.log());
    operator.kill();
    env.change("older", json!({ "spec": { "suspend": false } }));
    let _operator = env.operator();
    for name in ["older", "younger"] {
        same(name, trigger(&env.wait_phase(name, Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
    }
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn operator_killed_before_the_marker_triggers_once() {
    let (env, proxy) = killed_at(Write::Marker, false);
    let _operator = env.operator();
    assert_one_success(&env, "orders");
    late_write(&env, &proxy, Write::Marker);
}

#[test]
fn operator_killed_after_the_marker_leaves_the_run_unresolved() {
    let (env, _proxy) = killed_at(Write::Marker, true);
    let _operator = env.operator();
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    same("POSTs", env.sim.post_count(), 0);
}

#[test]
fn operator_killed_before_the_post_is_executed_does_not_post_again() {
    let env = Environment::new("crash", [orders()]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let operator = env.operator();
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN), "{}", operator.0.log());
    operator.kill();
    let _operator = env.operator();
    let run = env.wait_reason("orders", "TriggerUnconfirmed");
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Triggering));
    // It is carried out after all, while the next operator is looking.
    env.sim.release(fault);
    same("found in the list", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

#[test]
fn operator_killed_after_the_post_is_executed_adopts_the_execution() {
    let env = Environment::new("crash", [orders().files(3)]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let operator = env.operator();
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN), "{}", operator.0.log());
    operator.kill();
    let _operator = env.operator();
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("all three", run.status.as_ref().unwrap().current.execution_ids.len(), 3);
    same("POSTs", env.sim.post_count(), 1);
    assert!(env.wait_note("orders", "Adopted").contains("3 executions"));
}

/// A run of the same pipeline that has ended, which the pipeline's lock remembers.
fn run_before(env: &Environment) {
    env.start("before", "orders", json!({}));
    env.wait_phase("before", Phase::Succeeded);
    env.eventually("unlocked", || env.all_leases().iter().all(|lease| lease_holder(lease).is_none()));
}

#[test]
fn execution_of_a_killed_operator_is_adopted_before_the_deadline_of_its_post() {
    const SLOW: [&str; 4] = ["--trigger-timeout-seconds", "30", "--quarantine-seconds", "40"];
    let env = Environment::new("early", [orders()]);
    let operator = env.operator_with(&SLOW);
    run_before(&env);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN), "{}", operator.0.log());
    operator.kill();
    let _operator = env.operator_with(&SLOW);
    let run = env.wait_phase("orders", Phase::Running);
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    let adopted = run.status.unwrap().trigger.unwrap();
    let (found, open_until) = (adopted.time.unwrap().0, adopted.open_until.unwrap().0);
    assert!(found < open_until, "the POST could still be answered: {found} {open_until}");
    // Its execution has ended by now, and the run says what it waits for.
    let run = env.wait("orders", "waiting for the answer", |run| message(run).contains("may still be answered"));
    assert_consistent(&run);
    let run = env.wait_phase("orders", Phase::Succeeded);
    let status = run.status.as_ref().unwrap();
    let ended = status.current.completion_time.as_ref().unwrap().0;
    assert!(ended >= open_until, "{open_until} {ended}");
    same("its own execution only", status.current.execution_ids.len(), 1);
    same("POSTs", env.sim.post_count(), 2);
}

/// An execution that the list shows as one of the account's own.
fn own_execution(env: &Environment) -> String {
    env.sim.seed_execution(Seed::new("orders").by(Identity::user("demo@example.com"))).unwrap()
}

#[test]
fn answer_that_comes_after_its_executions_were_adopted_is_recorded() {
    const SLOW: [&str; 4] = ["--trigger-timeout-seconds", "40", "--quarantine-seconds", "60"];
    let env = Environment::new("late", [orders().files(3)]);
    let operators = [env.operator_with(&SLOW), env.operator_with(&SLOW)];
    run_before(&env);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    let found = own_execution(&env);
    let known = env.sim.executions().len();
    let run = env.wait_phase("orders", Phase::Running);
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("what the list shows", run.status.unwrap().current.execution_ids, vec![found]);
    env.sim.release(fault);
    env.wait("orders", "recorded by its answer", |run| trigger(run) == (TriggerState::Accepted, Some(Evidence::Answer)));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let made: Vec<String> = env.sim.executions().into_iter().skip(known).map(|execution| execution.id).collect();
    same("what the answer names", (made.len(), run.status.unwrap().current.execution_ids), (3, made));
    let ended = || operators.iter().flat_map(|operator| operator.metrics("nuvo_operator_runs_finished_total").into_values()).sum::<f64>();
    env.eventually("both runs counted", || ended() >= 2.0);
    same("each run is counted once", ended(), 2.0);
    same("POSTs", env.sim.post_count(), 2);
}

/// The lock knows that the pipeline starts several.
#[test]
fn batch_that_pauses_is_adopted_as_it_is_listed_until_the_quarantine_is_over() {
    let env = Environment::new("grows", [orders().files(3)]);
    let _operator = env.operator_with(&["--quarantine-seconds", "30"]);
    run_before(&env);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    env.start("orders", "orders", json!({}));
    let finished = || {
        let id = own_execution(&env);
        env.sim.finish(&id, Status::Successful).unwrap();
        id
    };
    env.wait_reason("orders", "TriggerUnconfirmed");
    let mut ids = vec![finished()];
    for _ in 0..2 {
        let run = env.wait("orders", "waiting for more", |run| {
            message(run).contains("start more of them") && run.status.as_ref().unwrap().current.execution_ids == ids
        });
        same("phase", run.status.unwrap().phase, Some(Phase::Running));
        ids.push(finished());
    }
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("all three", run.status.as_ref().unwrap().current.execution_ids.clone(), ids);
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn operator_killed_before_the_result_is_recorded_does_not_post_again() {
    let (env, proxy) = killed_at(Write::Accepted, false);
    let _operator = env.operator();
    same("found in the list", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
    late_write(&env, &proxy, Write::Accepted);
}

#[test]
fn operator_killed_after_the_result_is_recorded_does_not_post_again() {
    let (env, _proxy) = killed_at(Write::Accepted, true);
    let _operator = env.operator();
    same("known by its answer", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn operator_killed_around_the_final_status_records_the_end() {
    for applied in [false, true] {
        let (env, _proxy) = killed_at(Write::End, applied);
        let _operator = env.operator();
        assert_one_success(&env, "orders");
    }
}

#[test]
fn operator_killed_around_the_unlock_lets_the_next_run_start_at_once() {
    for applied in [false, true] {
        let (env, _proxy) = killed_at(Write::Unlock, applied);
        let _operator = env.operator();
        assert_one_success(&env, "orders");
        env.start("next", "orders", json!({}));
        let next = env.wait_phase("next", Phase::Succeeded);
        same("known by its answer", trigger(&next), (TriggerState::Accepted, Some(Evidence::Answer)));
        same("POSTs", env.sim.post_count(), 2);
    }
}

/// As operators that are split by namespaces do for each other: the next run may be one of another.
#[test]
fn operator_killed_before_the_unlock_leaves_it_to_the_next_look_at_all_locks() {
    let (env, _proxy) = killed_at(Write::Unlock, false);
    let holder = || env.all_leases().iter().find_map(lease_holder);
    // At first it could still do it itself.
    for (age, holds) in [(5, true), (10, false)] {
        env.age_lock(SignedDuration::from_mins(age));
        let operator = env.operator();
        env.eventually("a look at all locks", || operator.metric("nuvo_operator_locks") == Some(1.0));
        same("it holds the lock", holder().is_some(), holds);
        same("exit code", operator.stop(), Some(0));
    }
    same("POSTs", env.sim.post_count(), 1);
}

/// The run has released its lock, so that after its deletion the next run need not wait for the quarantine.
fn assert_deletion_lets_the_next_run_start(env: &Environment) {
    let free = |lock: &Lease| lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none());
    env.eventually("unlocked", || env.all_leases().iter().all(free));
    env.delete("orders");
    env.start("next", "orders", json!({}));
    same("known by its answer", trigger(&env.wait_phase("next", Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
}

const LONG: [&str; 2] = ["--quarantine-seconds", "900"];

#[test]
fn failed_unlock_is_repeated() {
    let env = Environment::new("unlock", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    let away = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 503 });
    first(&proxy, Write::Unlock, Action::Respond(Answer::json(503, away.to_string())));
    let _operator = env.operator_through(&proxy, &LONG);
    env.start("orders", "orders", json!({}));
    assert_one_success(&env, "orders");
    assert_deletion_lets_the_next_run_start(&env);
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn rejected_run_releases_its_lock() {
    let env = Environment::new("unlock", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::status(404)).once());
    let _operator = env.operator_with(&LONG);
    env.start("orders", "orders", json!({}));
    env.wait_reason("orders", "TriggerRejected");
    assert_deletion_lets_the_next_run_start(&env);
    same("POSTs", env.sim.post_count(), 2);
}

/// A late effect of its trigger could otherwise be adopted by the next run.
#[test]
fn abandoned_run_keeps_its_lock_for_the_quarantine() {
    let (env, operator) = unresolved_with(json!({}), &LONG);
    let run = wait_unresolved(&env);
    resolve(&env, &format!("{}:abandon", nonce(&run)));
    env.wait_phase("orders", Phase::Failed);
    env.start("next", "orders", json!({}));
    env.wait_reason("next", "PipelineBusy");
    same("POSTs", env.sim.post_count(), 1);
    same("exit", operator.stop(), Some(0));
    let _operator = env.operator();
    same("known by its answer", trigger(&env.wait_phase("next", Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
    same("POSTs", env.sim.post_count(), 2);
}

/// A run that is deleted after it has taken the lock of its pipeline, and before its marker was written; with a finalizer of another controller
/// or without.
fn deleted_before_its_marker(fields: &serde_json::Value) -> (Environment, Operator) {
    let env = Environment::new("early", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    first(&proxy, Write::Marker, Action::HoldBeforeForward);
    let operator = env.operator_through(&proxy, &["--fence-seconds", "30", "--quarantine-seconds", "900"]);
    env.start("orders", "orders", json!({}));
    assert!(proxy.wait_for(|exchange| Write::Marker.is(&exchange.request) && exchange.held, WITHIN).is_some());
    env.change("orders", fields.clone());
    env.delete("orders");
    proxy.release_all();
    env.start("next", "orders", json!({}));
    same("known by its answer", trigger(&env.wait_phase("next", Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
    same("POSTs", env.sim.post_count(), 1);
    (env, operator)
}

#[test]
fn run_deleted_before_its_marker_gives_its_lock_back() {
    let (_env, _operator) = deleted_before_its_marker(&json!({}));
}

#[test]
fn run_kept_by_a_finalizer_before_its_marker_gives_its_lock_back() {
    let (env, _operator) = deleted_before_its_marker(&json!({ "metadata": { "finalizers": ["example.com/keeps"] } }));
    assert!(env.get("orders").metadata.deletion_timestamp.is_some());
    env.change("orders", json!({ "metadata": { "finalizers": null } }));
}

/// Also one in doubt whose account is gone, so that nothing can be found out about it.
#[test]
fn run_kept_by_a_finalizer_in_doubt_gives_way_after_the_quarantine() {
    let (env, _operator) = unresolved_with(json!({}), &[]);
    env.wait_reason("orders", "TriggerUnconfirmed");
    env.account("other");
    block_on(env.accounts().delete("default", &DeleteParams::default())).unwrap();
    env.change("orders", json!({ "metadata": { "finalizers": ["example.com/keeps"] } }));
    env.delete("orders");
    env.start("next", "orders", json!({ "accountRef": { "name": "other" } }));
    env.wait_reason("next", "PipelineBusy");
    same("known by its answer", trigger(&env.wait_phase("next", Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
    same("POSTs", env.sim.post_count(), 2);
    assert!(env.get("orders").metadata.deletion_timestamp.is_some());
    env.change("orders", json!({ "metadata": { "finalizers": null } }));
}

#[test]
fn lost_answer_of_the_api_server_is_read_again() {
    for write in [Write::Lock, Write::Marker, Write::Accepted, Write::End] {
        for action in [Action::ForwardThenDrop, Action::DropBeforeForward] {
            let env = Environment::new("lost", [orders()]);
            let proxy = Proxy::start(env.server).unwrap();
            first(&proxy, write, action.clone());
            let _operator = env.operator_through(&proxy, &[]);
            env.start("orders", "orders", json!({}));
            println!("{write:?} {action:?}");
            let run = assert_one_success(&env, "orders");
            same(&format!("{write:?}"), trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
        }
    }
}

#[test]
fn run_edited_between_lock_and_marker_is_triggered() {
    let env = Environment::new("edit", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    first(&proxy, Write::Marker, Action::HoldBeforeForward);
    let _operator = env.operator_through(&proxy, &["--fence-seconds", "5", "--quarantine-seconds", "8"]);
    env.start("orders", "orders", json!({}));
    assert!(proxy.wait_for(|exchange| Write::Marker.is(&exchange.request) && exchange.held, WITHIN).is_some());
    env.change("orders", json!({ "metadata": { "labels": { "edited": "yes" } } }));
    proxy.release_all();
    let run = assert_one_success(&env, "orders");
    same("known by its answer", trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn post_too_late_after_the_lock_is_not_sent() {
    let env = Environment::new("fence", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    first(&proxy, Write::Marker, Action::Delay(Duration::from_millis(1_500)));
    let _operator = env.operator_through(&proxy, &[]);
    env.start("orders", "orders", json!({}));
    let run = assert_one_success(&env, "orders");
    let marked = proxy.journal().iter().filter(|exchange| Write::Marker.is(&exchange.request)).count();
    same("a second trigger followed the one that was given up", marked, 2);
    same("attempt", run.status.unwrap().attempt, Some(1));
}

#[test]
fn lost_answer_of_nuvo_is_looked_up_in_the_list() {
    for effect in [
        Effect::DROP_AFTER_EXECUTING,
        Effect::Cut,
        Effect::status_after_executing(502),
        Effect::raw_after_executing("<html>welcome</html>"),
        Effect::raw_after_executing("{\"data\": [{\"id\": \"../../admin\", \"pipeline\": \"orders\"}]}"),
        Effect::raw_after_executing("{\"data\": [{\"id\": \"x\", \"pipeline\": \"another\"}]}"),
    ] {
        let env = Environment::new("answer", [orders()]);
        env.sim.seed_execution(Seed::new("orders").ago(Duration::from_secs(60)).by(Identity::user("demo@example.com"))).unwrap();
        let fault = env.sim.add_fault(Fault::on(Operation::Create, effect.clone()).once());
        let _operator = env.operator();
        env.start("orders", "orders", json!({}));
        let run = env.wait_phase("orders", Phase::Succeeded);
        assert_consistent(&run);
        same(&format!("{effect:?}"), trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
        same("its own execution only", run.status.unwrap().current.execution_ids.len(), 1);
        same("POSTs", (env.sim.post_count(), env.sim.fault_count(fault)), (1, 1));
    }
}

/// A run whose POST was lost on its way: its outcome is unknown, and it waits for a person.
fn unresolved(fields: serde_json::Value) -> (Environment, Operator) {
    unresolved_with(fields, &[])
}

fn unresolved_with(fields: serde_json::Value, flags: &[&str]) -> (Environment, Operator) {
    let env = Environment::new("doubt", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let operator = env.operator_with(flags);
    env.start("orders", "orders", fields);
    (env, operator)
}

fn wait_unresolved(env: &Environment) -> PipelineRun {
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    same("trigger", trigger(&run), (TriggerState::Ambiguous, None));
    assert!(message(&run).contains(&format!("{}:retry", nonce(&run))), "{}", message(&run));
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (1, 0));
    run
}

fn resolve(env: &Environment, decision: &str) {
    env.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/resolve": decision } } }));
}

#[test]
fn resolve_retry_triggers_again() {
    let (env, _operator) = unresolved(json!({}));
    let run = wait_unresolved(&env);
    resolve(&env, "nonce-of-another-run:retry");
    let run = env.wait("orders", "showing that this is another trigger", |now| {
        message(now).contains("nonce-of-another-run") && nonce(now) == nonce(&run)
    });
    same("POSTs", env.sim.post_count(), 1);
    resolve(&env, &format!("{}:retry", nonce(&run)));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    same("attempt", (status.attempt, status.history[0].result.as_deref()), (Some(2), Some("TriggerOutcomeUnknown")));
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (2, 1));
}

#[test]
fn resolve_adopt_follows_the_execution() {
    let (env, _operator) = unresolved(json!({}));
    let run = wait_unresolved(&env);
    let foreign = env.sim.seed_execution(Seed::new("another")).unwrap();
    let id = env.sim.seed_execution(Seed::new("orders")).unwrap();
    resolve(&env, &format!("{}:adopt={foreign}", nonce(&run)));
    env.wait("orders", "showing that it is foreign", |run| message(run).contains(&foreign) && message(run).contains("does not belong"));
    resolve(&env, &format!("{}:adopt={id}", nonce(&run)));
    env.wait_phase("orders", Phase::Running);
    env.sim.finish(&id, Status::Successful).unwrap();
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("ids", run.status.as_ref().unwrap().current.execution_ids.clone(), vec![id]);
    same("evidence", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn resolve_abandon_closes_the_run_and_lets_the_next_start() {
    let (env, _operator) = unresolved(json!({}));
    let run = wait_unresolved(&env);
    resolve(&env, &format!("{}:abandon", nonce(&run)));
    let run = env.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    env.start("next", "orders", json!({}));
    env.wait_phase("next", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn resolve_without_a_list_of_nuvo_is_accepted() {
    let env = Environment::new("doubt", [orders()]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    let silent = env.sim.add_fault(Fault::on(Operation::List, Effect::status(500)));
    let run = env.wait_reason("orders", "TriggerUnconfirmed");
    let marker: serde_json::Value = serde_json::from_str(&run.metadata.annotations.as_ref().unwrap()["nuvo.dev/trigger"]).unwrap();
    let nonce = marker["nonce"].as_str().unwrap();
    assert!(message(&run).contains(&format!("{nonce}:retry")), "{}", message(&run));
    resolve(&env, &format!("{nonce}:retry"));
    let run = env.wait("orders", "in another attempt", |run| run.status.as_ref().unwrap().attempt == Some(2));
    same("history", run.status.unwrap().history[0].result.as_deref(), Some("TriggerOutcomeUnknown"));
    env.sim.remove_fault(silent);
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (2, 1));
}

/// The times of the POSTs, in milliseconds.
fn posts(env: &Environment) -> Vec<i64> {
    env.sim.journal().iter().filter(|request| request.operation == Operation::Create).map(|request| request.at_ms).collect()
}

#[test]
fn resolve_retry_waits_for_the_quarantine_and_says_until_when() {
    let (env, _operator) = unresolved_with(json!({}), &["--quarantine-seconds", "12"]);
    let run = wait_unresolved(&env);
    let until = run.status.as_ref().unwrap().trigger.as_ref().unwrap().open_until.as_ref().unwrap().0.to_string();
    assert!(message(&run).contains(&format!("retry counts from {until}")), "{}", message(&run));
    resolve(&env, &format!("{}:retry", nonce(&run)));
    let run = env.wait("orders", "showing when it goes on", |run| message(run).contains(&format!("begins at {until}")));
    assert_consistent(&run);
    same("phase", run.status.unwrap().phase, Some(Phase::Unresolved));
    same("attempt", env.wait_phase("orders", Phase::Succeeded).status.unwrap().attempt, Some(2));
    let posts = posts(&env);
    assert!(posts.len() == 2 && posts[1] - posts[0] >= 12_000, "{posts:?}");
}

#[test]
fn policy_retrigger_waits_for_the_quarantine_and_triggers_once_more_only() {
    let env = Environment::new("doubt", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::status(502)).once());
    let _operator = env.operator_with(&["--quarantine-seconds", "10"]);
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    let run = env.wait("orders", "in doubt and looked for", |run| message(run).contains("has shown nothing of it"));
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerUnconfirmed");
    assert!(message(&run).contains("status 502") && message(&run).contains("triggered again"), "{}", message(&run));
    // Looks that fail before do not matter.
    env.sim.add_fault(Fault::on(Operation::List, Effect::status(500)).times(2));
    let run = env.wait_phase("orders", Phase::Succeeded);
    same(
        "attempt",
        (run.status.as_ref().unwrap().attempt, run.status.unwrap().history[0].result.as_deref()),
        (Some(2), Some("TriggerOutcomeUnknown")),
    );
    let posts = posts(&env);
    assert!(posts.len() == 2 && posts[1] - posts[0] >= 10_000, "{posts:?}");
    same("executions", env.sim.executed_count(), 1);
    assert!(!env.events("orders").iter().any(|(_, reason, _)| reason == "TriggerOutcomeUnknown"), "no person is asked");

    let env = Environment::new("doubt", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING));
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    let run = env.wait("orders", "unresolved for the second time", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Unresolved) && status.attempt == Some(2)
    });
    assert_consistent(&run);
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn policy_retrigger_does_not_trigger_beside_an_execution_of_another_origin() {
    for (by, trigger) in [("another@example.com", nuvo_sim::Trigger::Manual), ("demo@example.com", nuvo_sim::Trigger::Scheduled)] {
        let env = Environment::new("doubt", [orders()]);
        let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
        let _operator = env.operator();
        env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
        assert!(env.sim.fault_reached(fault, WITHIN));
        env.sim.seed_execution(Seed::new("orders").by(Identity::user(by)).trigger(trigger)).unwrap();
        let run = wait_unresolved_with(&env);
        assert!(message(&run).contains("does not prove that there is none"), "{}", message(&run));
        env.start("next", "orders", json!({}));
        env.wait_phase("next", Phase::Succeeded);
        same("POSTs of both", env.sim.post_count(), 2);
    }
}

/// As whom nuvo shows the account is not known, so its own execution looks like that of another.
#[test]
fn policy_retrigger_does_not_trigger_after_an_execution_that_it_cannot_tell_from_others() {
    let env = Environment::without_account("doubt", SimConfig { pipelines: vec![orders()], ..SimConfig::default() });
    env.sim.set_access_tokens(vec![AccessToken::new("a-made-token", Identity::user("made@example.com"))]);
    env.credential("token", "a-made-token");
    env.account_with("default", json!({ "licenseKey": null, "accessToken": { "secretRef": { "name": "token", "key": "license-key" } } }));
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert!(message(&run).contains("not known as whom nuvo shows the account"), "{}", message(&run));
    env.start("next", "orders", json!({}));
    env.wait_phase("next", Phase::Succeeded);
    same("POSTs and executions of both", (env.sim.post_count(), env.sim.executed_count()), (2, 2));
}

/// The deadline passes while the outcome of the trigger is unknown and cannot be looked up.
fn assert_doubt_at_the_deadline(env: &Environment, away: impl FnOnce(), why: &str, back: impl FnOnce()) {
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "activeDeadlineSeconds": 8, "onAmbiguousTrigger": "Retrigger" }));
    let run = env.wait_reason("orders", "TriggerUnconfirmed");
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Triggering));
    away();
    env.start("next", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("the doubt is shown", (reason(&run), trigger(&run)), ("TriggerOutcomeUnknown", (TriggerState::Ambiguous, None)));
    assert!(message(&run).contains(why) && message(&run).contains("deadline"), "{}", message(&run));
    let status = run.status.as_ref().unwrap();
    let took = status.current.completion_time.as_ref().unwrap().0.duration_since(status.series.start_time.as_ref().unwrap().0).as_secs();
    assert!(took >= 8, "after {took} s");
    same("POSTs", env.sim.post_count(), 1);
    back();
    // The next one takes the lock after the quarantine, and not what the first one started.
    let next = env.wait_phase("next", Phase::Succeeded);
    let executions: Vec<String> = env.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("its own execution", next.status.unwrap().current.execution_ids, executions[1..].to_vec());
    let run = env.get("orders");
    same("nothing follows by itself", (reason(&run), run.status.as_ref().unwrap().attempt), ("TriggerOutcomeUnknown", Some(1)));
    same("POSTs", (env.sim.post_count(), executions.len()), (2, 2));
}

#[test]
fn run_in_doubt_without_a_list_of_nuvo_ends_at_the_deadline() {
    let env = Environment::new("deadline", [orders()]);
    assert_doubt_at_the_deadline(
        &env,
        || _ = env.sim.add_fault(Fault::on(Operation::List, Effect::status(500))),
        "nuvo's list",
        || env.sim.clear_faults(),
    );
}

#[test]
fn run_in_doubt_without_account_ends_at_the_deadline() {
    let env = Environment::new("deadline", [orders()]);
    assert_doubt_at_the_deadline(
        &env,
        || _ = block_on(env.accounts().delete("default", &DeleteParams::default())).unwrap(),
        "its account",
        || env.account("default"),
    );
}

/// Long before its deadline, which is a day away. Alone it would go on to ask nuvo.
#[test]
fn run_in_doubt_without_a_list_of_nuvo_gives_way_to_the_next() {
    let (env, _operator) = unresolved(json!({}));
    env.wait_reason("orders", "TriggerUnconfirmed");
    env.sim.add_fault(Fault::on(Operation::List, Effect::status(500)));
    env.start("next", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("the doubt is shown", (reason(&run), trigger(&run)), ("TriggerOutcomeUnknown", (TriggerState::Ambiguous, None)));
    assert!(message(&run).contains("another run of the pipeline goes on"), "{}", message(&run));
    same("POSTs", env.sim.post_count(), 1);
    env.sim.clear_faults();
    same("known by its answer", trigger(&env.wait_phase("next", Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
    same("POSTs", env.sim.post_count(), 2);
}

/// A run whose POST nuvo has answered without ids; then its operator is killed.
fn killed_without_ids(effect: Effect) -> Environment {
    let env = Environment::new("executed", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, effect).once());
    let operator = env.operator();
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    env.wait("orders", "marked as executed", |run| {
        let marker = run.metadata.annotations.as_ref().and_then(|all| all.get("nuvo.dev/trigger"));
        marker.is_some_and(|marker| marker.contains("\"executed\":true"))
    });
    operator.kill();
    env
}

#[test]
fn policy_retrigger_after_an_accepted_post_and_restart_does_not_trigger() {
    let env = killed_without_ids(Effect::raw("<html>welcome</html>"));
    let _operator = env.operator();
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("trigger", trigger(&run), (TriggerState::Ambiguous, Some(Evidence::Answer)));
    env.start("next", "orders", json!({}));
    env.wait_phase("next", Phase::Succeeded);
    same("POSTs of both", env.sim.post_count(), 2);
    same("attempt", env.get("orders").status.unwrap().attempt, Some(1));
}

#[test]
fn accepted_post_without_id_is_found_after_restart() {
    let env = killed_without_ids(Effect::raw_after_executing("<html>welcome</html>"));
    let _operator = env.operator();
    same("found in the list", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

#[test]
fn policy_adopt_follows_executions_without_proof_of_origin() {
    let env = Environment::new("doubt", [orders()]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Adopt" }));
    assert!(env.sim.fault_reached(fault, WITHIN));
    let id = env.sim.seed_execution(Seed::new("orders").by(Identity::user("another@example.com"))).unwrap();
    env.sim.finish(&id, Status::Successful).unwrap();
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("ids", run.status.as_ref().unwrap().current.execution_ids.clone(), vec![id]);
    same("POSTs", env.sim.post_count(), 1);
}

/// Another tenant's list says nothing about a trigger.
#[test]
fn doubt_is_looked_into_only_with_the_account_of_its_trigger() {
    let env = Environment::new("moved", [orders()]);
    let other = Sim::start(SimConfig { pipelines: vec![orders()], ..SimConfig::default() }).unwrap();
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let origins = [env.sim.base_url(), other.base_url()];
    let _operator = env.operator_with(&["--allowed-base-url", &origins[0], "--allowed-base-url", &origins[1]]);
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    assert!(env.sim.fault_reached(fault, WITHIN));
    let list = env.sim.add_fault(Fault::on(Operation::List, Effect::status(500)));
    env.wait_reason("orders", "TriggerUnconfirmed");
    env.account_with("default", json!({ "baseUrl": origins[1] }));
    let run = env.wait("orders", "showing why nothing is found out", |run| message(run).contains("another base URL"));
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerUnconfirmed");
    let since = Instant::now();
    env.eventually("the quarantine to be over", || since.elapsed() > Duration::from_secs(10));
    same("POSTs", (env.sim.post_count(), other.post_count()), (1, 0));
    same("reason", reason(&env.get("orders")), "TriggerUnconfirmed");
    env.sim.remove_fault(list);
    env.account_with("default", json!({ "baseUrl": origins[0] }));
    same("found in the list", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("POSTs to the other", other.post_count(), 0);
}

/// A filter has put its page in the place of nuvo's answer.
#[test]
fn page_of_a_gateway_instead_of_the_answer_leaves_the_run_in_doubt_and_its_execution_is_found() {
    let page = |status| Effect::Raw {
        body: "<html><h1>This page is blocked</h1></html>".to_owned(),
        content_type: "text/html".to_owned(),
        status,
        executed: true,
    };
    let redirect = Effect::Redirect { location: "http://127.0.0.1:9/login".to_owned(), status: 302 };
    for (effect, executed) in [(page(403), true), (page(404), true), (page(405), true), (redirect, false)] {
        let env = Environment::new("page", [orders()]);
        env.sim.add_fault(Fault::on(Operation::Create, effect.clone()).once());
        let _operator = env.operator();
        env.start("orders", "orders", json!({ "onAmbiguousTrigger": if executed { "Fail" } else { "Retrigger" } }));
        let run = env.wait_reason("orders", "TriggerUnconfirmed");
        assert!(message(&run).contains("a gateway in front of nuvo answered"), "{}", message(&run));
        let run = env.wait_phase("orders", Phase::Succeeded);
        assert_consistent(&run);
        let evidence = if executed { Evidence::Adopted } else { Evidence::Answer };
        same(&format!("{effect:?}"), trigger(&run), (TriggerState::Accepted, Some(evidence)));
        let posts = if executed { 1 } else { 2 };
        same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (posts, 1));
    }
}

#[test]
fn executions_of_another_user_are_not_adopted() {
    let env = Environment::new("others", [orders()]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    env.sim.seed_execution(Seed::new("orders").by(Identity::user("another@example.com"))).unwrap();
    env.sim.seed_execution(Seed::new("orders").by(Identity::user("demo@example.com")).trigger(nuvo_sim::Trigger::Scheduled)).unwrap();
    env.sim.seed_execution(Seed::new("another").by(Identity::user("demo@example.com"))).unwrap();
    let run = wait_unresolved_with(&env);
    same("ids", run.status.unwrap().current.execution_ids, Vec::<String>::new());
}

fn wait_unresolved_with(env: &Environment) -> PipelineRun {
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (1, 0));
    run
}

/// How often an operator has listed the runs of a pipeline. The API server goes through all runs for each of these lists.
fn lists_of_other_runs(proxy: &Proxy) -> usize {
    let lists = |request: &RequestInfo| request.path.ends_with("/pipelineruns") && request.query.contains("fieldSelector=spec.pipelineId");
    proxy.journal().iter().filter(|exchange| lists(&exchange.request)).count()
}

#[test]
fn other_runs_are_listed_once_before_executions_are_adopted() {
    let env = Environment::new("lists", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    let proxy = Proxy::start(env.server).unwrap();
    let _operator = env.operator_through(&proxy, &[]);
    env.start("orders", "orders", json!({}));
    same("found in the list", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("lists", lists_of_other_runs(&proxy), 1);
}

#[test]
fn other_runs_are_not_listed_while_there_is_nothing_to_adopt() {
    let env = Environment::new("lists", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let proxy = Proxy::start(env.server).unwrap();
    let _operator = env.operator_through(&proxy, &[]);
    env.start("orders", "orders", json!({}));
    wait_unresolved_with(&env);
    same("lists", lists_of_other_runs(&proxy), 0);
}

#[test]
fn first_trigger_of_a_pipeline_lists_other_runs_only_where_a_label_selector_hides_some() {
    for (flags, lists) in [(&[][..], 0), (&["--label-selector", "!hidden"], 1)] {
        let env = Environment::new("lists", [orders()]);
        let proxy = Proxy::start(env.server).unwrap();
        let _operator = env.operator_through(&proxy, flags);
        for name in ["first", "second"] {
            env.start(name, "orders", json!({}));
            env.wait_phase(name, Phase::Succeeded);
        }
        same("lists", lists_of_other_runs(&proxy), lists);
    }
}

#[test]
fn lock_deleted_under_a_run_in_doubt_is_created_as_one_whose_ledger_may_be_lost() {
    let env = Environment::new("young", [orders().held()]);
    env.account("other");
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    // The POST hangs for as long as the test lasts.
    let _operator = env.operator_with(&["--trigger-timeout-seconds", "60", "--quarantine-seconds", "120"]);
    env.start("doubtful", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    let lock = env.all_leases().into_iter().find(|lease| is_young(lease).is_some()).unwrap();
    same("the first lock of the pipeline is young", is_young(&lock), Some(false));
    block_on(env.leases().delete(&lock.metadata.name.clone().unwrap(), &DeleteParams::default())).unwrap();
    // Runs of one account go by age, and the older one has not settled its trigger.
    env.start("next", "orders", json!({ "accountRef": { "name": "other" } }));
    env.wait_phase("next", Phase::Running);
    same("young", env.all_leases().iter().find_map(is_young), Some(true));
}

/// What the lock says of its holder; none for another lease, or one without a holder.
fn is_young(lease: &Lease) -> Option<bool> {
    let lock = lease.metadata.annotations.as_ref()?.get("nuvo.dev/lock")?;
    serde_json::from_str::<serde_json::Value>(lock).unwrap()["tenancy"]["young"].as_bool()
}

/// The name of the lock is made of the account's origin, and of the account nothing is left.
#[test]
fn run_deleted_after_its_account_gives_its_lock_back() {
    let env = Environment::new("both", [orders().duration(Duration::from_secs(60))]);
    let operator = env.operator_with(&LONG);
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Running);
    block_on(env.accounts().delete("default", &DeleteParams::default())).unwrap();
    env.wait("orders", "without an account", |run| message(run).contains("NuvoAccount"));
    env.delete("orders");
    let free = |lock: &Lease| lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none());
    env.eventually("unlocked", || env.all_leases().iter().all(free));
    same("exit", operator.stop(), Some(0));
}

/// What nuvo says is compared before secrets are removed from it.
#[test]
fn execution_of_an_account_whose_key_is_a_part_of_its_identifier_is_adopted() {
    let key = nuvo_sim::Credential::new("demo", Identity::user("demo@example.com"));
    let config = SimConfig { pipelines: vec![orders()], credentials: vec![key], ..SimConfig::default() };
    let env = Environment::without_account("spelling", config);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": { "license-key": "demo" },
        "metadata": { "name": "nuvo-credentials", "namespace": env.namespace, "labels": { "nuvo.dev/credential": "true" } },
    });
    env.server.apply(&secret.to_string()).unwrap();
    env.account("default");
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let run = assert_one_success(&env, "orders");
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

/// Otherwise `Retrigger` would start the pipeline a second time.
#[test]
fn run_that_follows_an_execution_does_not_take_it_from_the_run_in_doubt_that_started_it() {
    let env = Environment::new("observed", [orders()]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    env.eventually("an execution", || !env.sim.executions().is_empty());
    let id = env.sim.executions()[0].id.clone();
    env.start("observer", "orders", json!({ "executionId": id }));
    env.wait_phase("observer", Phase::Succeeded);
    let run = assert_one_success(&env, "orders");
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

/// Creates a run whose controller is a `NuvoPipeline`.
fn mirror(env: &Environment, name: &str, fields: serde_json::Value) {
    let owner = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoPipeline", "name": "orders", "uid": "any", "controller": true });
    let mut run = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": { "name": name, "ownerReferences": [owner] }, "spec": fields,
    });
    run["spec"]["pipelineId"] = json!("orders");
    block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(run).unwrap())).unwrap();
}

/// It was created while no operator could know whose the execution is.
#[test]
fn execution_that_a_mirror_shows_is_adopted_by_the_run_in_doubt_after_a_restart() {
    let env = Environment::new("mirror", [orders()]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let operator = env.operator();
    env.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    assert!(env.sim.fault_reached(fault, WITHIN));
    operator.kill();
    env.eventually("an execution", || !env.sim.executions().is_empty());
    mirror(&env, "mirror", json!({ "executionId": env.sim.executions()[0].id }));
    let _operator = env.operator();
    env.wait_phase("mirror", Phase::Succeeded);
    let run = assert_one_success(&env, "orders");
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("its mirror still shows it", env.get("mirror").status.unwrap().current.execution_ids, run.status.unwrap().current.execution_ids);
}

#[test]
fn mirror_that_names_no_execution_is_never_triggered_and_takes_no_lock() {
    let env = Environment::new("mirror", [orders()]);
    let _operator = env.operator();
    mirror(&env, "mirror", json!({}));
    let ended = env.wait_reason("mirror", "InvalidSpec");
    assert_consistent(&ended);
    assert!(message(&ended).contains("NuvoPipeline is the controller"), "{}", message(&ended));
    env.change("mirror", json!({ "spec": { "rerunToken": "again" } }));
    env.wait("mirror", "ended again", |run| {
        run.status.as_ref().is_some_and(|status| status.attempt == Some(2) && status.current.completion_time.is_some())
    });
    same("reason", reason(&env.get("mirror")), "InvalidSpec");
    let is_lock = |lease: &Lease| lease.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("nuvo.dev/pipeline-lock"));
    same("locks", env.all_leases().iter().filter(|lease| is_lock(lease)).count(), 0);
    env.start("orders", "orders", json!({}));
    assert_one_success(&env, "orders");
}

#[test]
fn two_operators_at_once_send_one_post_per_run() {
    let pipelines = ["a", "b", "c"];
    let env = Environment::new("two", pipelines.map(|id| Pipeline::new(id).duration(Duration::from_millis(200))));
    let _operators = [env.operator(), env.operator()];
    let names: Vec<(String, &str)> = pipelines.iter().flat_map(|id| (0..4).map(move |number| (format!("{id}-{number}"), *id))).collect();
    for (name, pipeline) in &names {
        env.start(name, pipeline, json!({}));
    }
    let mut shown = Vec::new();
    for (name, _) in &names {
        let run = env.wait_phase(name, Phase::Succeeded);
        shown.extend(run.status.unwrap().current.execution_ids);
    }
    shown.sort();
    let mut made: Vec<String> = env.sim.executions().into_iter().map(|execution| execution.id).collect();
    made.sort();
    same("every execution is shown by one run", shown, made);
    same("POSTs", env.sim.post_count(), 12);
}

#[test]
fn wiped_status_is_restored_and_triggers_nothing() {
    let env = Environment::new("wiped", [orders().held()]);
    let operator = env.operator();
    env.start("orders", "orders", json!({}));
    let before = env.wait_phase("orders", Phase::Running).status.unwrap().current.execution_ids;
    env.change_status("orders", json!({ "status": null }));
    let run = env.wait("orders", "running again", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Running) && status.current.execution_ids == before
    });
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    env.sim.finish(&before[0], Status::Successful).unwrap();
    env.wait_phase("orders", Phase::Succeeded);
    drop(operator);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn status_wiped_after_the_end_is_restored_from_the_lock() {
    let env = Environment::new("wiped", [orders()]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let before = env.wait_phase("orders", Phase::Succeeded).status.unwrap().current.execution_ids;
    env.eventually("unlocked", || env.writes().iter().filter(|write| write.resource == "leases").count() == 2);
    env.change_status("orders", json!({ "status": null }));
    let run = env.wait("orders", "Succeeded again", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Succeeded) && status.current.execution_ids == before
    });
    assert_consistent(&run);
    // Everything that could speak for the run, except the lock.
    env.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/trigger": null } } }));
    env.change_status("orders", json!({ "status": null }));
    env.wait("orders", "Succeeded once more", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Succeeded) && status.current.execution_ids == before
    });
    same("POSTs", env.sim.post_count(), 1);
}

/// A run that succeeded, was deleted, and was created again from an export. What it was, and what it is now.
fn restored(env: &Environment) -> (PipelineRun, PipelineRun) {
    env.start("orders", "orders", json!({}));
    let backup = env.wait_phase("orders", Phase::Succeeded);
    env.delete("orders");
    let restored = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": "orders", "annotations": backup.metadata.annotations },
        "spec": backup.spec,
    });
    block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(restored).unwrap())).unwrap();
    let run = env.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("reason", reason(&run), "StatusLost");
    same("POSTs", env.sim.post_count(), 1);
    (backup, run)
}

#[test]
fn resolve_on_a_restored_object_is_followed_once() {
    let env = Environment::new("restored", [orders(), Pipeline::new("probe").duration(Duration::from_millis(300))]);
    let operator = env.operator();
    let (backup, lost) = restored(&env);
    let nonce = nonce(&backup);
    let ids = backup.status.unwrap().current.execution_ids;
    assert!(message(&lost).contains(&format!("{nonce}:adopt=")), "{}", message(&lost));
    resolve(&env, &format!("{nonce}:adopt={}", ids[0]));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("ids", run.status.clone().unwrap().current.execution_ids, ids.clone());
    let asked = || env.sim.journal().iter().filter(|request| request.path.ends_with(&ids[0])).count();
    let before = asked();
    operator.stop();
    let _operator = env.operator();
    // What is done after everything else shows that the operator had its chance.
    env.start("probe", "probe", json!({}));
    env.wait_phase("probe", Phase::Succeeded);
    same("requests about it", asked(), before);
    same("it is not written any more", env.get("orders").metadata.resource_version, run.metadata.resource_version);
    let of_run = |write: &controlplane::AuditEvent| write.name == "orders" && write.resource == "pipelineruns";
    // Marker, accepted and end of the first; lost, adopted and end of the second.
    same("writes", env.writes().iter().filter(|write| of_run(write)).count(), 6);
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn object_restored_with_a_new_uid_is_not_triggered_until_resolved() {
    let env = Environment::new("restored", [orders()]);
    let _operator = env.operator();
    let (backup, _) = restored(&env);
    // As a backup tool does that also restores the status.
    let status =
        json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "orders" }, "status": backup.status });
    block_on(env.runs().patch_status("orders", &PatchParams::apply("backup").force(), &Patch::Apply(&status))).unwrap();
    env.start("probe", "orders", json!({}));
    env.wait_phase("probe", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 2);
    env.change("orders", json!({ "spec": { "rerunToken": "a person wants it" } }));
    let run = env.wait("orders", "Succeeded in another attempt", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Succeeded) && status.attempt == Some(2)
    });
    assert_consistent(&run);
    same("POSTs", env.sim.post_count(), 3);
}

#[test]
fn copied_manifest_is_a_new_run() {
    let env = Environment::new("copied", [orders()]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let original = env.wait_phase("orders", Phase::Succeeded);
    let copy = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": "copy", "annotations": original.metadata.annotations },
        "spec": original.spec,
    });
    block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(copy).unwrap())).unwrap();
    let copy = env.wait_phase("copy", Phase::Succeeded);
    assert_consistent(&copy);
    assert_ne!(copy.status.unwrap().current.execution_ids, original.status.unwrap().current.execution_ids);
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn run_deleted_during_its_post_leaves_its_executions_in_the_lock() {
    let env = Environment::new("deleted", [orders()]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    env.delete("orders");
    env.sim.release(fault);
    // The next one loses its answer, so it looks at the list, where both are.
    let lost = env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    env.start("next", "orders", json!({}));
    let next = env.wait_phase("next", Phase::Succeeded);
    same("lost", env.sim.fault_count(lost), 1);
    let ids = next.status.unwrap().current.execution_ids;
    same("one of the two", ids.len(), 1);
    let executions = env.sim.executions();
    same("executions", executions.len(), 2);
    let newest = executions.iter().max_by_key(|execution| execution.created_at.clone()).unwrap();
    same("its own", &ids[0], &newest.id);
    same("POSTs", env.sim.post_count(), 2);
}

/// As a policy of the cluster would say it.
fn refuse(proxy: &Proxy, refused: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "admission webhook \"policy.example.com\" denied the request: not on a Friday",
    });
    proxy.set_rules(move |request| if refused(request) { Action::Respond(Answer::json(403, status.to_string())) } else { Action::Forward });
}

fn is_record(request: &RequestInfo, word: &str) -> bool {
    request.method == "PUT" && request.path.contains("/pipelineruns/") && String::from_utf8_lossy(&request.body).contains(word)
}

fn count(proxy: &Proxy, wanted: impl Fn(&RequestInfo) -> bool) -> usize {
    proxy.journal().iter().filter(|exchange| wanted(&exchange.request)).count()
}

#[test]
fn marker_refused_permanently_is_shown_and_delays_no_other_run() {
    let env = Environment::new("refused", [orders(), Pipeline::new("other").duration(Duration::from_millis(300))]);
    let proxy = Proxy::start(env.server).unwrap();
    refuse(&proxy, |request| request.method == "PATCH" && request.path.ends_with("/pipelineruns/orders"));
    let operator = env.operator_through(&proxy, &["--max-concurrent-reconciles", "1"]);
    env.start("orders", "orders", json!({}));
    let run = env.wait("orders", "showing the refusal", |run| message(run).contains("not on a Friday"));
    assert_consistent(&run);
    same("phase and reason", (run.status.as_ref().unwrap().phase, reason(&run)), (Some(Phase::Pending), "Pending"));
    same("no doubt is raised", run.status.unwrap().trigger, None);
    env.start("other", "other", json!({}));
    env.wait_phase("other", Phase::Succeeded);
    let tries = count(&proxy, |request| Write::Marker.is(request));
    assert!(tries <= 8, "{tries} tries without a pause");
    assert!(operator.0.log().contains("not on a Friday"), "{}", operator.0.log());
    same("POSTs for it", env.sim.post_count_of("orders"), 0);
    refuse(&proxy, |_| false);
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("known by its answer", trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
    same("POSTs for it", env.sim.post_count_of("orders"), 1);
}

#[test]
fn result_refused_by_the_api_server_is_recorded_once_accepted() {
    let env = Environment::new("refused", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    refuse(&proxy, |request| is_record(request, "Accepted"));
    let operator = env.operator_through(&proxy, &[]);
    env.start("orders", "orders", json!({}));
    let tried = |times: usize| env.eventually("tried again", || count(&proxy, |request| is_record(request, "Accepted")) >= times);
    tried(1);
    let begun = Instant::now();
    tried(6);
    assert!(begun.elapsed() >= Duration::from_secs(2), "with growing pauses, not {:?}", begun.elapsed());
    assert!(operator.0.log().contains("not on a Friday"), "{}", operator.0.log());
    refuse(&proxy, |_| false);
    same("known by its answer", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn operator_that_cannot_record_a_result_still_stops() {
    let env = Environment::new("refused", [orders()]);
    let proxy = Proxy::start(env.server).unwrap();
    refuse(&proxy, |request| is_record(request, "Accepted"));
    let mut operator = env.operator_through(&proxy, &[]);
    env.start("orders", "orders", json!({}));
    env.eventually("tried", || count(&proxy, |request| is_record(request, "Accepted")) >= 1);
    operator.0.signal_term().unwrap();
    let (code, log) = operator.ended();
    same("exit code", code, Some(0));
    let tries = count(&proxy, |request| is_record(request, "Accepted"));
    assert!((2..=20).contains(&tries), "{tries} tries\n{log}");
    let _next = env.operator();
    same("found in the list", trigger(&assert_one_success(&env, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

#[test]
fn recovery_result_refused_permanently_delays_no_other_run() {
    let env = Environment::new("refused", [orders(), Pipeline::new("other").duration(Duration::from_millis(300))]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).pipeline("orders").once());
    let proxy = Proxy::start(env.server).unwrap();
    refuse(&proxy, |request| is_record(request, "Adopted"));
    let _operator = env.operator_through(&proxy, &["--max-concurrent-reconciles", "1"]);
    env.start("orders", "orders", json!({}));
    env.eventually("tried", || count(&proxy, |request| is_record(request, "Adopted")) >= 1);
    same("the doubt is shown", reason(&env.get("orders")), "TriggerUnconfirmed");
    env.start("other", "other", json!({}));
    env.wait_phase("other", Phase::Succeeded);
    let tries = count(&proxy, |request| is_record(request, "Adopted"));
    assert!(tries <= 12, "{tries} tries without a pause");
    refuse(&proxy, |_| false);
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("POSTs for it", env.sim.post_count_of("orders"), 1);
}

#[test]
fn operator_after_sigterm_finishes_and_records_its_post() {
    let env = Environment::new("stopping", [orders().held()]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let mut operator = env.operator_with(&["--trigger-timeout-seconds", "20", "--quarantine-seconds", "30"]);
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    operator.0.signal_term().unwrap();
    env.start("later", "orders", json!({}));
    env.eventually("shutting down", || operator.0.log().contains("shutting down"));
    env.sim.release(fault);
    let (code, log) = operator.ended();
    same("exit code", code, Some(0));
    let run = env.get("orders");
    same("recorded", run.status.as_ref().and_then(|status| status.phase), Some(Phase::Running));
    same("known by its answer", trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
    same(&format!("no new trigger\n{log}"), env.sim.post_count(), 1);
}
