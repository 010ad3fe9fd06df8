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
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use nuvo_crds::{Evidence, Phase, PipelineRun, TriggerState};
use nuvo_sim::{Effect, Fault, Identity, Operation, Pipeline, Seed, Status};
use serde_json::json;

use crate::world::{Operator, WITHIN, World, assert_consistent, block_on, message, reason, same};

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
fn killed_at(write: Write, applied: bool) -> (World, Proxy) {
    let world = World::new("crash", [orders()]);
    let proxy = Proxy::start(world.server).unwrap();
    first(&proxy, write, if applied { Action::ForwardThenHold } else { Action::HoldBeforeForward });
    let operator = world.operator_through(&proxy, &[]);
    world.start("orders", "orders", json!({}));
    let held = proxy.wait_for(|exchange| write.is(&exchange.request) && exchange.held, WITHIN);
    assert!(held.is_some(), "{write:?} did not come\n{}", operator.0.log());
    operator.kill();
    (world, proxy)
}

fn trigger(run: &PipelineRun) -> (TriggerState, Option<Evidence>) {
    let trigger = run.status.as_ref().unwrap().trigger.as_ref().unwrap();
    (trigger.state, trigger.evidence)
}

fn nonce(run: &PipelineRun) -> String {
    run.status.as_ref().unwrap().trigger.as_ref().unwrap().nonce.clone()
}

/// The run ended well, by one POST, and shows the one execution there is.
fn assert_one_success(world: &World, name: &str) -> PipelineRun {
    let run = world.wait_phase(name, Phase::Succeeded);
    assert_consistent(&run);
    let made: Vec<String> = world.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("executions", run.status.as_ref().unwrap().current.execution_ids.clone(), made);
    same("POSTs", world.sim.post_count(), 1);
    run
}

/// Lets the dead operator's write arrive now, when it is late. It must change nothing.
fn late_write(world: &World, proxy: &Proxy, write: Write) {
    let before = world.get("orders").metadata.resource_version;
    proxy.release_all();
    let answered = proxy.wait_for(|exchange| write.is(&exchange.request) && exchange.server_status.is_some(), WITHIN).unwrap();
    same("a late write is a conflict", answered.server_status, Some(409));
    same("version", world.get("orders").metadata.resource_version, before);
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn killed_before_the_lock() {
    let (world, proxy) = killed_at(Write::Lock, false);
    let _operator = world.operator();
    assert_one_success(&world, "orders");
    late_write(&world, &proxy, Write::Lock);
}

#[test]
fn killed_after_the_lock() {
    let (world, _proxy) = killed_at(Write::Lock, true);
    let _operator = world.operator();
    same("known by its answer", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn a_run_that_holds_its_lock_is_not_written_to_while_it_waits_for_its_account() {
    let (world, _proxy) = killed_at(Write::Lock, true);
    world.secret("nuvo-credentials", "demo-license-key", false);
    let _operator = world.operator();
    assert!(world.wait_note("orders", "AccountNotReady").contains("nuvo-credentials"));
    same("status", world.get("orders").status.and_then(|status| status.phase), None);
    world.credential("nuvo-credentials", "demo-license-key");
    same("known by its answer", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn a_run_that_holds_its_lock_does_not_wait_for_an_older_one() {
    let world = World::new("crash", [orders()]);
    let proxy = Proxy::start(world.server).unwrap();
    first(&proxy, Write::Lock, Action::ForwardThenHold);
    let operator = world.operator_through(&proxy, &[]);
    let born = world.start("older", "orders", json!({ "suspend": true })).metadata.creation_timestamp.unwrap().0;
    world.wait_phase("older", Phase::Suspended);
    // The age of an object is known to the second.
    world.eventually("a second later", || Timestamp::now().as_second() > born.as_second());
    world.start("younger", "orders", json!({}));
    assert!(proxy.wait_for(|exchange| Write::Lock.is(&exchange.request) && exchange.held, WITHIN).is_some(), "{}", operator.0.log());
    operator.kill();
    world.change("older", json!({ "spec": { "suspend": false } }));
    let _operator = world.operator();
    for name in ["older", "younger"] {
        same(name, trigger(&world.wait_phase(name, Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
    }
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn killed_before_the_marker() {
    let (world, proxy) = killed_at(Write::Marker, false);
    let _operator = world.operator();
    assert_one_success(&world, "orders");
    late_write(&world, &proxy, Write::Marker);
}

#[test]
fn killed_after_the_marker_nothing_ran_and_the_doubt_is_shown() {
    let (world, _proxy) = killed_at(Write::Marker, true);
    let _operator = world.operator();
    let run = world.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    same("POSTs", world.sim.post_count(), 0);
}

#[test]
fn killed_before_the_post_was_carried_out() {
    let world = World::new("crash", [orders()]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let operator = world.operator();
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN), "{}", operator.0.log());
    operator.kill();
    let _operator = world.operator();
    let run = world.wait_reason("orders", "TriggerUnconfirmed");
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Triggering));
    // It is carried out after all, while the next operator is looking.
    world.sim.release(fault);
    same("found in the list", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

#[test]
fn killed_after_the_post_was_carried_out() {
    let world = World::new("crash", [orders().files(3)]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let operator = world.operator();
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN), "{}", operator.0.log());
    operator.kill();
    let _operator = world.operator();
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("all three", run.status.as_ref().unwrap().current.execution_ids.len(), 3);
    same("POSTs", world.sim.post_count(), 1);
    assert!(world.wait_note("orders", "Adopted").contains("3 executions"));
}

#[test]
fn killed_before_the_result_was_recorded() {
    let (world, proxy) = killed_at(Write::Accepted, false);
    let _operator = world.operator();
    same("found in the list", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
    late_write(&world, &proxy, Write::Accepted);
}

#[test]
fn killed_after_the_result_was_recorded() {
    let (world, _proxy) = killed_at(Write::Accepted, true);
    let _operator = world.operator();
    same("known by its answer", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn killed_before_and_after_the_end_was_recorded() {
    for applied in [false, true] {
        let (world, _proxy) = killed_at(Write::End, applied);
        let _operator = world.operator();
        assert_one_success(&world, "orders");
    }
}

#[test]
fn killed_before_and_after_the_unlock_the_next_run_goes_on_at_once() {
    for applied in [false, true] {
        let (world, _proxy) = killed_at(Write::Unlock, applied);
        let _operator = world.operator();
        assert_one_success(&world, "orders");
        world.start("next", "orders", json!({}));
        let next = world.wait_phase("next", Phase::Succeeded);
        same("known by its answer", trigger(&next), (TriggerState::Accepted, Some(Evidence::Answer)));
        same("POSTs", world.sim.post_count(), 2);
    }
}

/// However a run ended: it has given its lock back, so that deleting it keeps nobody waiting for the quarantine.
fn assert_deleted_keeps_nobody_waiting(world: &World) {
    let free = |lock: &Lease| lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none());
    world.eventually("unlocked", || world.all_leases().iter().all(free));
    world.delete("orders");
    world.start("next", "orders", json!({}));
    same("known by its answer", trigger(&world.wait_phase("next", Phase::Succeeded)), (TriggerState::Accepted, Some(Evidence::Answer)));
}

const LONG: [&str; 2] = ["--quarantine-seconds", "900"];

#[test]
fn an_unlock_that_fails_is_made_up_for() {
    let world = World::new("unlock", [orders()]);
    let proxy = Proxy::start(world.server).unwrap();
    let away = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 503 });
    first(&proxy, Write::Unlock, Action::Respond(Answer::json(503, away.to_string())));
    let _operator = world.operator_through(&proxy, &LONG);
    world.start("orders", "orders", json!({}));
    assert_one_success(&world, "orders");
    assert_deleted_keeps_nobody_waiting(&world);
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn a_run_that_nuvo_refused_gives_its_lock_back() {
    let world = World::new("unlock", [orders()]);
    world.sim.add_fault(Fault::on(Operation::Create, Effect::status(404)).once());
    let _operator = world.operator_with(&LONG);
    world.start("orders", "orders", json!({}));
    world.wait_reason("orders", "TriggerRejected");
    assert_deleted_keeps_nobody_waiting(&world);
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn a_run_whose_doubt_a_person_has_closed_gives_its_lock_back() {
    let (world, _operator) = unresolved_with(json!({}), &LONG);
    let run = wait_unresolved(&world);
    answer(&world, &format!("{}:abandon", nonce(&run)));
    world.wait_phase("orders", Phase::Failed);
    assert_deleted_keeps_nobody_waiting(&world);
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn lost_answers_of_the_api_server_are_read_again() {
    for write in [Write::Lock, Write::Marker, Write::Accepted, Write::End] {
        for action in [Action::ForwardThenDrop, Action::DropBeforeForward] {
            let world = World::new("lost", [orders()]);
            let proxy = Proxy::start(world.server).unwrap();
            first(&proxy, write, action.clone());
            let _operator = world.operator_through(&proxy, &[]);
            world.start("orders", "orders", json!({}));
            println!("{write:?} {action:?}");
            let run = assert_one_success(&world, "orders");
            same(&format!("{write:?}"), trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
        }
    }
}

#[test]
fn an_edit_between_lock_and_marker_is_no_reason_to_stop() {
    let world = World::new("edit", [orders()]);
    let proxy = Proxy::start(world.server).unwrap();
    first(&proxy, Write::Marker, Action::HoldBeforeForward);
    let _operator = world.operator_through(&proxy, &["--fence-seconds", "5", "--quarantine-seconds", "8"]);
    world.start("orders", "orders", json!({}));
    assert!(proxy.wait_for(|exchange| Write::Marker.is(&exchange.request) && exchange.held, WITHIN).is_some());
    world.change("orders", json!({ "metadata": { "labels": { "edited": "yes" } } }));
    proxy.release_all();
    let run = assert_one_success(&world, "orders");
    same("known by its answer", trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn a_post_that_comes_too_late_after_the_lock_is_not_made() {
    let world = World::new("fence", [orders()]);
    let proxy = Proxy::start(world.server).unwrap();
    first(&proxy, Write::Marker, Action::Delay(Duration::from_millis(1_500)));
    let _operator = world.operator_through(&proxy, &[]);
    world.start("orders", "orders", json!({}));
    let run = assert_one_success(&world, "orders");
    let marked = proxy.journal().iter().filter(|exchange| Write::Marker.is(&exchange.request)).count();
    same("a second trigger followed the one that was given up", marked, 2);
    same("attempt", run.status.unwrap().attempt, Some(1));
}

#[test]
fn a_lost_answer_of_nuvo_is_looked_up() {
    for effect in [
        Effect::DROP_AFTER_EXECUTING,
        Effect::Cut,
        Effect::status_after_executing(502),
        Effect::raw_after_executing("<html>welcome</html>"),
        Effect::raw_after_executing("{\"data\": [{\"id\": \"../../admin\", \"pipeline\": \"orders\"}]}"),
        Effect::raw_after_executing("{\"data\": [{\"id\": \"x\", \"pipeline\": \"another\"}]}"),
    ] {
        let world = World::new("answer", [orders()]);
        world.sim.seed_execution(Seed::new("orders").ago(Duration::from_secs(60)).by(Identity::user("demo@example.com"))).unwrap();
        let fault = world.sim.add_fault(Fault::on(Operation::Create, effect.clone()).once());
        let _operator = world.operator();
        world.start("orders", "orders", json!({}));
        let run = world.wait_phase("orders", Phase::Succeeded);
        assert_consistent(&run);
        same(&format!("{effect:?}"), trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
        same("its own execution only", run.status.unwrap().current.execution_ids.len(), 1);
        same("POSTs", (world.sim.post_count(), world.sim.fault_count(fault)), (1, 1));
    }
}

/// A run whose POST was lost on its way, so that nobody can tell: it waits for a person.
fn unresolved(fields: serde_json::Value) -> (World, Operator) {
    unresolved_with(fields, &[])
}

fn unresolved_with(fields: serde_json::Value, flags: &[&str]) -> (World, Operator) {
    let world = World::new("doubt", [orders()]);
    world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let operator = world.operator_with(flags);
    world.start("orders", "orders", fields);
    (world, operator)
}

fn wait_unresolved(world: &World) -> PipelineRun {
    let run = world.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    same("trigger", trigger(&run), (TriggerState::Ambiguous, None));
    assert!(message(&run).contains(&format!("{}:retry", nonce(&run))), "{}", message(&run));
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (1, 0));
    run
}

fn answer(world: &World, answer: &str) {
    world.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/resolve": answer } } }));
}

#[test]
fn a_person_can_answer_retry() {
    let (world, _operator) = unresolved(json!({}));
    let run = wait_unresolved(&world);
    answer(&world, "somebody-elses-nonce:retry");
    let run = world.wait("orders", "told that this is another trigger", |now| {
        message(now).contains("somebody-elses-nonce") && nonce(now) == nonce(&run)
    });
    same("POSTs", world.sim.post_count(), 1);
    answer(&world, &format!("{}:retry", nonce(&run)));
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    same("attempt", (status.attempt, status.history[0].result.as_deref()), (Some(2), Some("TriggerOutcomeUnknown")));
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (2, 1));
}

#[test]
fn a_person_can_answer_adopt() {
    let (world, _operator) = unresolved(json!({}));
    let run = wait_unresolved(&world);
    let foreign = world.sim.seed_execution(Seed::new("another")).unwrap();
    let id = world.sim.seed_execution(Seed::new("orders")).unwrap();
    answer(&world, &format!("{}:adopt={foreign}", nonce(&run)));
    world.wait("orders", "told that it is foreign", |run| message(run).contains(&foreign) && message(run).contains("does not belong"));
    answer(&world, &format!("{}:adopt={id}", nonce(&run)));
    world.wait_phase("orders", Phase::Running);
    world.sim.finish(&id, Status::Successful).unwrap();
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("ids", run.status.as_ref().unwrap().current.execution_ids.clone(), vec![id]);
    same("evidence", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_person_can_answer_abandon_and_the_next_run_need_not_wait() {
    let (world, _operator) = unresolved(json!({}));
    let run = wait_unresolved(&world);
    answer(&world, &format!("{}:abandon", nonce(&run)));
    let run = world.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    world.start("next", "orders", json!({}));
    world.wait_phase("next", Phase::Succeeded);
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn a_person_can_answer_while_nuvo_gives_no_list() {
    let world = World::new("doubt", [orders()]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN));
    let silent = world.sim.add_fault(Fault::on(Operation::List, Effect::status(500)));
    let run = world.wait_reason("orders", "TriggerUnconfirmed");
    let marker: serde_json::Value = serde_json::from_str(&run.metadata.annotations.as_ref().unwrap()["nuvo.dev/trigger"]).unwrap();
    let nonce = marker["nonce"].as_str().unwrap();
    assert!(message(&run).contains(&format!("{nonce}:retry")), "{}", message(&run));
    answer(&world, &format!("{nonce}:retry"));
    let run = world.wait("orders", "in another attempt", |run| run.status.as_ref().unwrap().attempt == Some(2));
    same("history", run.status.unwrap().history[0].result.as_deref(), Some("TriggerOutcomeUnknown"));
    world.sim.remove_fault(silent);
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (2, 1));
}

#[test]
fn the_policy_retrigger_tries_once_more_and_only_once() {
    let (world, _operator) = unresolved(json!({ "onAmbiguousTrigger": "Retrigger" }));
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("attempt", run.status.unwrap().attempt, Some(2));
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (2, 1));

    let world = World::new("doubt", [orders()]);
    world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING));
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    let run = world.wait("orders", "unresolved for the second time", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Unresolved) && status.attempt == Some(2)
    });
    assert_consistent(&run);
    same("POSTs", world.sim.post_count(), 2);
}

/// The deadline comes while the outcome of the trigger is not known, and nobody can be asked.
fn assert_doubt_at_the_deadline(world: &World, away: impl FnOnce(), why: &str, back: impl FnOnce()) {
    world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "activeDeadlineSeconds": 8, "onAmbiguousTrigger": "Retrigger" }));
    let run = world.wait_reason("orders", "TriggerUnconfirmed");
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Triggering));
    away();
    world.start("next", "orders", json!({}));
    let run = world.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("the doubt is shown", (reason(&run), trigger(&run)), ("TriggerOutcomeUnknown", (TriggerState::Ambiguous, None)));
    assert!(message(&run).contains(why) && message(&run).contains("deadline"), "{}", message(&run));
    let status = run.status.as_ref().unwrap();
    let took = status.current.completion_time.as_ref().unwrap().0.duration_since(status.series.start_time.as_ref().unwrap().0).as_secs();
    assert!((8..20).contains(&took), "after {took} s");
    same("POSTs", world.sim.post_count(), 1);
    back();
    // The next one takes the lock after the quarantine, and not what the first one started.
    let next = world.wait_phase("next", Phase::Succeeded);
    let executions: Vec<String> = world.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("its own execution", next.status.unwrap().current.execution_ids, executions[1..].to_vec());
    let run = world.get("orders");
    same("nothing follows by itself", (reason(&run), run.status.as_ref().unwrap().attempt), ("TriggerOutcomeUnknown", Some(1)));
    same("POSTs", (world.sim.post_count(), executions.len()), (2, 2));
}

#[test]
fn a_doubt_that_nuvo_lets_nobody_clear_ends_at_the_deadline() {
    let world = World::new("deadline", [orders()]);
    assert_doubt_at_the_deadline(
        &world,
        || _ = world.sim.add_fault(Fault::on(Operation::List, Effect::status(500))),
        "nuvo's list",
        || world.sim.clear_faults(),
    );
}

#[test]
fn a_doubt_whose_account_is_away_ends_at_the_deadline() {
    let world = World::new("deadline", [orders()]);
    assert_doubt_at_the_deadline(
        &world,
        || _ = block_on(world.accounts().delete("default", &DeleteParams::default())).unwrap(),
        "its account",
        || world.account("default"),
    );
}

/// A run whose POST nuvo has answered with something that tells no ids; then its operator is killed.
fn killed_without_ids(effect: Effect) -> World {
    let world = World::new("executed", [orders()]);
    world.sim.add_fault(Fault::on(Operation::Create, effect).once());
    let operator = world.operator();
    world.start("orders", "orders", json!({ "onAmbiguousTrigger": "Retrigger" }));
    world.wait("orders", "marked as executed", |run| {
        let marker = run.metadata.annotations.as_ref().and_then(|all| all.get("nuvo.dev/trigger"));
        marker.is_some_and(|marker| marker.contains("\"executed\":true"))
    });
    operator.kill();
    world
}

#[test]
fn the_policy_retrigger_remembers_across_a_restart_that_nuvo_has_said_yes() {
    let world = killed_without_ids(Effect::raw("<html>welcome</html>"));
    let _operator = world.operator();
    let run = world.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("trigger", trigger(&run), (TriggerState::Ambiguous, Some(Evidence::Answer)));
    world.start("next", "orders", json!({}));
    world.wait_phase("next", Phase::Succeeded);
    same("POSTs of both", world.sim.post_count(), 2);
    same("attempt", world.get("orders").status.unwrap().attempt, Some(1));
}

#[test]
fn what_nuvo_has_said_yes_to_is_still_found_after_a_restart() {
    let world = killed_without_ids(Effect::raw_after_executing("<html>welcome</html>"));
    let _operator = world.operator();
    same("found in the list", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

#[test]
fn the_policy_adopt_takes_what_nobody_can_prove() {
    let world = World::new("doubt", [orders()]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "onAmbiguousTrigger": "Adopt" }));
    assert!(world.sim.fault_reached(fault, WITHIN));
    let id = world.sim.seed_execution(Seed::new("orders").by(Identity::user("another@example.com"))).unwrap();
    world.sim.finish(&id, Status::Successful).unwrap();
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("ids", run.status.as_ref().unwrap().current.execution_ids.clone(), vec![id]);
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn somebody_elses_executions_are_not_adopted() {
    let world = World::new("others", [orders()]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN));
    world.sim.seed_execution(Seed::new("orders").by(Identity::user("another@example.com"))).unwrap();
    world.sim.seed_execution(Seed::new("orders").by(Identity::user("demo@example.com")).trigger(nuvo_sim::Trigger::Scheduled)).unwrap();
    world.sim.seed_execution(Seed::new("another").by(Identity::user("demo@example.com"))).unwrap();
    let run = wait_unresolved_with(&world);
    same("ids", run.status.unwrap().current.execution_ids, Vec::<String>::new());
}

fn wait_unresolved_with(world: &World) -> PipelineRun {
    let run = world.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (1, 0));
    run
}

#[test]
fn two_operators_at_once_make_one_post_for_each_run() {
    let pipelines = ["a", "b", "c"];
    let world = World::new("two", pipelines.map(|id| Pipeline::new(id).duration(Duration::from_millis(200))));
    let _operators = [world.operator(), world.operator()];
    let names: Vec<(String, &str)> = pipelines.iter().flat_map(|id| (0..4).map(move |number| (format!("{id}-{number}"), *id))).collect();
    for (name, pipeline) in &names {
        world.start(name, pipeline, json!({}));
    }
    let mut shown = Vec::new();
    for (name, _) in &names {
        let run = world.wait_phase(name, Phase::Succeeded);
        shown.extend(run.status.unwrap().current.execution_ids);
    }
    shown.sort();
    let mut made: Vec<String> = world.sim.executions().into_iter().map(|execution| execution.id).collect();
    made.sort();
    same("every execution is shown by one run", shown, made);
    same("POSTs", world.sim.post_count(), 12);
}

#[test]
fn a_wiped_status_is_restored_and_triggers_nothing() {
    let world = World::new("wiped", [orders().held()]);
    let operator = world.operator();
    world.start("orders", "orders", json!({}));
    let before = world.wait_phase("orders", Phase::Running).status.unwrap().current.execution_ids;
    world.change_status("orders", json!({ "status": null }));
    let run = world.wait("orders", "running again", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Running) && status.current.execution_ids == before
    });
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    world.sim.finish(&before[0], Status::Successful).unwrap();
    world.wait_phase("orders", Phase::Succeeded);
    drop(operator);
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_status_wiped_after_the_end_is_restored_from_the_lock() {
    let world = World::new("wiped", [orders()]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    let before = world.wait_phase("orders", Phase::Succeeded).status.unwrap().current.execution_ids;
    world.eventually("unlocked", || world.writes().iter().filter(|write| write.resource == "leases").count() == 2);
    world.change_status("orders", json!({ "status": null }));
    let run = world.wait("orders", "Succeeded again", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Succeeded) && status.current.execution_ids == before
    });
    assert_consistent(&run);
    // Everything that could speak for the run, except the lock.
    world.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/trigger": null } } }));
    world.change_status("orders", json!({ "status": null }));
    world.wait("orders", "Succeeded once more", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Succeeded) && status.current.execution_ids == before
    });
    same("POSTs", world.sim.post_count(), 1);
}

/// A run that succeeded, was deleted, and was created again from an export. What it was, and what it is now.
fn restored(world: &World) -> (PipelineRun, PipelineRun) {
    world.start("orders", "orders", json!({}));
    let backup = world.wait_phase("orders", Phase::Succeeded);
    world.delete("orders");
    let restored = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": "orders", "annotations": backup.metadata.annotations },
        "spec": backup.spec,
    });
    block_on(world.runs().create(&PostParams::default(), &serde_json::from_value(restored).unwrap())).unwrap();
    let run = world.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("reason", reason(&run), "StatusLost");
    same("POSTs", world.sim.post_count(), 1);
    (backup, run)
}

#[test]
fn the_advice_for_a_restored_object_is_followed_once() {
    let world = World::new("restored", [orders(), Pipeline::new("probe").duration(Duration::from_millis(300))]);
    let operator = world.operator();
    let (backup, lost) = restored(&world);
    let nonce = nonce(&backup);
    let ids = backup.status.unwrap().current.execution_ids;
    assert!(message(&lost).contains(&format!("{nonce}:adopt=")), "{}", message(&lost));
    answer(&world, &format!("{nonce}:adopt={}", ids[0]));
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("ids", run.status.clone().unwrap().current.execution_ids, ids.clone());
    let asked = || world.sim.journal().iter().filter(|request| request.path.ends_with(&ids[0])).count();
    let before = asked();
    operator.stop();
    let _operator = world.operator();
    // What is done after everything else shows that the operator had its chance.
    world.start("probe", "probe", json!({}));
    world.wait_phase("probe", Phase::Succeeded);
    same("requests about it", asked(), before);
    same("it is not written any more", world.get("orders").metadata.resource_version, run.metadata.resource_version);
    let of_run = |write: &controlplane::AuditEvent| write.name == "orders" && write.resource == "pipelineruns";
    // Marker, accepted and end of the first; lost, adopted and end of the second.
    same("writes", world.writes().iter().filter(|write| of_run(write)).count(), 6);
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn an_object_restored_under_a_new_uid_is_not_triggered_until_a_person_says_so() {
    let world = World::new("restored", [orders()]);
    let _operator = world.operator();
    let (backup, _) = restored(&world);
    // As a backup tool does that also restores the status.
    let status =
        json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "orders" }, "status": backup.status });
    block_on(world.runs().patch_status("orders", &PatchParams::apply("backup").force(), &Patch::Apply(&status))).unwrap();
    world.start("probe", "orders", json!({}));
    world.wait_phase("probe", Phase::Succeeded);
    same("POSTs", world.sim.post_count(), 2);
    world.change("orders", json!({ "spec": { "rerunToken": "a person wants it" } }));
    let run = world.wait("orders", "Succeeded in another attempt", |run| {
        let status = run.status.as_ref().unwrap();
        status.phase == Some(Phase::Succeeded) && status.attempt == Some(2)
    });
    assert_consistent(&run);
    same("POSTs", world.sim.post_count(), 3);
}

#[test]
fn a_copied_manifest_is_a_run_of_its_own() {
    let world = World::new("copied", [orders()]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    let original = world.wait_phase("orders", Phase::Succeeded);
    let copy = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": "copy", "annotations": original.metadata.annotations },
        "spec": original.spec,
    });
    block_on(world.runs().create(&PostParams::default(), &serde_json::from_value(copy).unwrap())).unwrap();
    let copy = world.wait_phase("copy", Phase::Succeeded);
    assert_consistent(&copy);
    assert_ne!(copy.status.unwrap().current.execution_ids, original.status.unwrap().current.execution_ids);
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn a_run_deleted_while_its_post_is_out_leaves_its_executions_in_the_lock() {
    let world = World::new("deleted", [orders()]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN));
    world.delete("orders");
    world.sim.release(fault);
    // The next one loses its answer, so it looks at the list, where both are.
    let lost = world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    world.start("next", "orders", json!({}));
    let next = world.wait_phase("next", Phase::Succeeded);
    same("lost", world.sim.fault_count(lost), 1);
    let ids = next.status.unwrap().current.execution_ids;
    same("one of the two", ids.len(), 1);
    let executions = world.sim.executions();
    same("executions", executions.len(), 2);
    let newest = executions.iter().max_by_key(|execution| execution.created_at.clone()).unwrap();
    same("its own", &ids[0], &newest.id);
    same("POSTs", world.sim.post_count(), 2);
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
fn a_marker_that_is_refused_for_good_is_shown_and_keeps_nobody_waiting() {
    let world = World::new("refused", [orders(), Pipeline::new("other").duration(Duration::from_millis(300))]);
    let proxy = Proxy::start(world.server).unwrap();
    refuse(&proxy, |request| request.method == "PATCH" && request.path.ends_with("/pipelineruns/orders"));
    let operator = world.operator_through(&proxy, &["--max-concurrent-reconciles", "1"]);
    world.start("orders", "orders", json!({}));
    let run = world.wait("orders", "told of the refusal", |run| message(run).contains("not on a Friday"));
    assert_consistent(&run);
    same("phase and reason", (run.status.as_ref().unwrap().phase, reason(&run)), (Some(Phase::Pending), "Pending"));
    same("no doubt is raised", run.status.unwrap().trigger, None);
    world.start("other", "other", json!({}));
    world.wait_phase("other", Phase::Succeeded);
    let tries = count(&proxy, |request| Write::Marker.is(request));
    assert!(tries <= 8, "{tries} tries without a pause");
    assert!(operator.0.log().contains("not on a Friday"), "{}", operator.0.log());
    same("POSTs for it", world.sim.post_count_of("orders"), 0);
    refuse(&proxy, |_| false);
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("known by its answer", trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
    same("POSTs for it", world.sim.post_count_of("orders"), 1);
}

#[test]
fn what_nuvo_answered_is_recorded_as_soon_as_that_is_not_refused_any_more() {
    let world = World::new("refused", [orders()]);
    let proxy = Proxy::start(world.server).unwrap();
    refuse(&proxy, |request| is_record(request, "Accepted"));
    let operator = world.operator_through(&proxy, &[]);
    world.start("orders", "orders", json!({}));
    let tried = |times: usize| world.eventually("tried again", || count(&proxy, |request| is_record(request, "Accepted")) >= times);
    tried(1);
    let begun = Instant::now();
    tried(6);
    assert!(begun.elapsed() >= Duration::from_secs(2), "with growing pauses, not {:?}", begun.elapsed());
    assert!(operator.0.log().contains("not on a Friday"), "{}", operator.0.log());
    refuse(&proxy, |_| false);
    same("known by its answer", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Answer)));
}

#[test]
fn an_operator_that_cannot_record_an_answer_stops_all_the_same() {
    let world = World::new("refused", [orders()]);
    let proxy = Proxy::start(world.server).unwrap();
    refuse(&proxy, |request| is_record(request, "Accepted"));
    let mut operator = world.operator_through(&proxy, &[]);
    world.start("orders", "orders", json!({}));
    world.eventually("tried", || count(&proxy, |request| is_record(request, "Accepted")) >= 1);
    operator.0.signal_term().unwrap();
    let (code, log) = operator.ended();
    same("exit code", code, Some(0));
    let tries = count(&proxy, |request| is_record(request, "Accepted"));
    assert!((2..=20).contains(&tries), "{tries} tries\n{log}");
    let _next = world.operator();
    same("found in the list", trigger(&assert_one_success(&world, "orders")), (TriggerState::Accepted, Some(Evidence::Adopted)));
}

#[test]
fn a_finding_that_is_refused_for_good_keeps_no_other_run_waiting() {
    let world = World::new("refused", [orders(), Pipeline::new("other").duration(Duration::from_millis(300))]);
    world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).pipeline("orders").once());
    let proxy = Proxy::start(world.server).unwrap();
    refuse(&proxy, |request| is_record(request, "Adopted"));
    let _operator = world.operator_through(&proxy, &["--max-concurrent-reconciles", "1"]);
    world.start("orders", "orders", json!({}));
    world.eventually("tried", || count(&proxy, |request| is_record(request, "Adopted")) >= 1);
    same("the doubt is shown", reason(&world.get("orders")), "TriggerUnconfirmed");
    world.start("other", "other", json!({}));
    world.wait_phase("other", Phase::Succeeded);
    let tries = count(&proxy, |request| is_record(request, "Adopted"));
    assert!(tries <= 12, "{tries} tries without a pause");
    refuse(&proxy, |_| false);
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("found in the list", trigger(&run), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("POSTs for it", world.sim.post_count_of("orders"), 1);
}

#[test]
fn a_stopping_operator_finishes_and_records_its_post() {
    let world = World::new("stopping", [orders().held()]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    let mut operator = world.operator_with(&["--trigger-timeout-seconds", "20", "--quarantine-seconds", "30"]);
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN));
    operator.0.signal_term().unwrap();
    world.start("later", "orders", json!({}));
    world.eventually("shutting down", || operator.0.log().contains("shutting down"));
    world.sim.release(fault);
    let (code, log) = operator.ended();
    same("exit code", code, Some(0));
    let run = world.get("orders");
    same("recorded", run.status.as_ref().and_then(|status| status.phase), Some(Phase::Running));
    same("known by its answer", trigger(&run), (TriggerState::Accepted, Some(Evidence::Answer)));
    same(&format!("no new trigger\n{log}"), world.sim.post_count(), 1);
}
