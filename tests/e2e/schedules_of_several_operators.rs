//! One slot and several operators: their clocks, their versions, writes that meet, and what one does not know of the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use controlplane::proxy::{Action, Answer, Exchange, RequestInfo};
use k8s_openapi::jiff::{SignedDuration, ToSpan};
use kube::api::{Patch, PatchParams};
use nuvo_crds::Phase;
use serde_json::json;

use crate::{
    environment::{Environment, WITHIN, block_on, same},
    schedules::{api, edit, quick, ready, run_name, runs, status},
    schedules_over_time::{SIDE_BY_SIDE, Slots},
};

/// Whatever its API server says, too: the one that is behind does not start again what the other one has started.
#[test]
fn leaders_with_clocks_an_hour_apart_start_each_slot_once() {
    let env = Environment::new("schedule-apart", [quick()]);
    let (behind, ahead) = (Slots::new(&env), Slots::new(&env));
    let _first = behind.operator(SIDE_BY_SIDE);
    let line = (behind.clock.now() + SignedDuration::from_hours(3)).strftime("0 %H * * *").to_string();
    let slot = behind.scheduled("daily", &[&line], json!({}));
    // nuvo goes by the clock that was moved last.
    behind.clock.set(&env, slot - SignedDuration::from_hours(1));
    ahead.clock.set(&env, slot + 1.second());
    let _second = ahead.operator(SIDE_BY_SIDE);
    env.wait_phase(&run_name("daily", slot), Phase::Succeeded);
    env.eventually("its result is shown", || status(&env, "daily").last_run.and_then(|run| run.phase) == Some(Phase::Succeeded));
    behind.look();
    env.eventually("the one behind says so", || ready(&env, "daily") == "ClockInDoubt");
    // Both come to the slot, and to the next one.
    for (number, slot) in [slot, slot + SignedDuration::from_hours(24)].into_iter().enumerate() {
        behind.clock.set(&env, slot + 1.second());
        ahead.clock.set(&env, slot + 1.second());
        behind.at(slot);
        same("runs, POSTs", (runs(&env, "daily").len(), env.sim.post_count()), (number + 1, number as u64 + 1));
    }
    same("last slot", status(&env, "daily").last_slot.unwrap().0, slot + SignedDuration::from_hours(24));
}

/// Every write of a start is refused twice, because another one was first; and another one has created the run.
#[test]
fn slot_under_a_storm_of_conflicts_starts_once() {
    let env = Environment::new("schedule-conflicts", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let slot = time.hourly("hourly", json!({}));
    let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let refusal = |reason: &str| {
        let body =
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": 409, "message": "changed" });
        Answer::json(409, body.to_string())
    };
    let (conflict, exists) = (refusal("Conflict"), refusal("AlreadyExists"));
    time.clock.proxy.set_rules(move |request| {
        let body = String::from_utf8_lossy(&request.body);
        let is_status = request.method == "PUT" && request.path.contains("/pipelineschedules/");
        let kind = ["\"pending\":{", "\"claims\":[{"].iter().position(|part| is_status && body.contains(part));
        let is_refused = kind.is_some_and(|kind| seen[kind].fetch_add(1, Ordering::Relaxed) < 2);
        match request.method.as_str() {
            "POST" if request.path.ends_with("/pipelineruns") => Action::ForwardThenRespond(exists.clone()),
            _ if is_refused => Action::Respond(conflict.clone()),
            _ => Action::Forward,
        }
    });
    time.at(slot);
    let journal = time.clock.proxy.journal();
    let refused = journal.iter().filter(|exchange| exchange.client_status == Some(409)).count();
    same("refused", refused >= 5, true);
    let says = |exchange: &Exchange| String::from_utf8_lossy(&exchange.request.body).contains("CreateRefused");
    same("the API server is said to refuse the run", journal.iter().any(says), false);
    let shown = status(&env, "hourly");
    same("last slot, missed", (shown.last_slot.unwrap().0, shown.missed), (slot, None));
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (1, 1));
}

/// The record that another version writes lacks what it does not know. Two versions take turns at the slot.
#[test]
fn record_of_another_version_moves_no_anchor_and_its_slot_starts_once() {
    let env = Environment::new("schedule-versions", [quick()]);
    let time = Slots::new(&env);
    let first = time.operator(SIDE_BY_SIDE);
    let slot = time.hourly("hourly", json!({ "startingDeadlineSeconds": 600 }));
    let anchor = status(&env, "hourly").anchor;
    let older = json!({ "status": { "observed": { "startingDeadlineSeconds": null, "suspend": null } } });
    // None of them is killed while it triggers.
    let mut others = Vec::new();
    for number in 0..2 {
        block_on(api(&env).patch_status("hourly", &PatchParams::default(), &Patch::Merge(&older))).unwrap();
        if number == 1 {
            time.clock.set(&env, slot + 1.second());
        }
        others.push(time.operator(SIDE_BY_SIDE));
        env.eventually("the record is whole again", || {
            status(&env, "hourly").observed.is_some_and(|observed| observed.starting_deadline_seconds == Some(600))
        });
        same("anchor", status(&env, "hourly").anchor, anchor.clone());
    }
    time.at(slot);
    let shown = status(&env, "hourly");
    same("anchor, missed", (shown.anchor, shown.missed), (anchor, None));
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (1, 1));
    same("exit code", first.stop(), Some(0));
}

/// From now on watches of these objects show nothing.
fn hold_watches(time: &Slots, of: &'static str) {
    let is_it = move |request: &RequestInfo| request.is_watch() && request.path.ends_with(of);
    time.clock.proxy.set_rules(move |request| if is_it(request) { Action::HoldBeforeForward } else { Action::Forward });
    time.clock.proxy.cut_watches();
    assert!(time.clock.proxy.wait_for(|exchange| exchange.held && is_it(&exchange.request), WITHIN).is_some());
}

/// A run with the label of the schedule, which a person has made and which waits.
fn waiting_run(env: &Environment) {
    env.start("by-hand", "orders", json!({ "suspend": true }));
    env.change("by-hand", json!({ "metadata": { "labels": { "nuvo.dev/schedule": "hourly" } } }));
}

/// Another one has made it, and no watch has shown it yet.
#[test]
fn slot_waits_for_a_run_that_the_cache_does_not_have() {
    let env = Environment::new("schedule-unseen", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let slot = time.hourly("hourly", json!({}));
    hold_watches(&time, "/pipelineruns");
    waiting_run(&env);
    time.clock.set(&env, slot + 1.second());
    time.look();
    env.eventually("it blocks", || ready(&env, "hourly") == "BlockedByRun");
    same("runs", runs(&env, "hourly").len(), 1);
    time.clock.proxy.set_rules(|_| Action::Forward);
    time.clock.proxy.release_all();
    env.change("by-hand", json!({ "spec": { "suspend": false } }));
    env.wait_phase(&run_name("hourly", slot), Phase::Succeeded);
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (2, 2));
}

/// What the operator has written itself it knows, although no watch shows it.
#[test]
fn status_follows_the_runs_while_no_watch_shows_the_schedule() {
    let env = Environment::new("schedule-lags", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    time.hourly("hourly", json!({}));
    hold_watches(&time, "/pipelineschedules");
    waiting_run(&env);
    env.eventually("it counts", || status(&env, "hourly").active_count == Some(1));
    env.delete("by-hand");
    env.eventually("its deletion is seen", || status(&env, "hourly").active_count == Some(0));
}

/// What is not listed yet is not gone.
#[test]
fn operator_says_nothing_of_a_schedule_before_it_has_listed_the_runs() {
    let env = Environment::new("schedule-unlisted", [quick()]);
    let time = Slots::new(&env);
    let before = time.operator(&[]);
    time.hourly("hourly", json!({}));
    waiting_run(&env);
    env.eventually("it counts", || status(&env, "hourly").active_count == Some(1));
    before.kill();
    edit(&env, "hourly", json!({ "suspend": true }));
    let proxy = &time.clock.proxy;
    let asked = proxy.journal().len();
    let fills_the_cache = |request: &RequestInfo| {
        request.method == "GET"
            && request.path.ends_with("/pipelineruns")
            && request.query.split('&').any(|part| part == "limit=50")
            && !request.query.contains("Selector")
    };
    proxy.set_rules(move |request| if fills_the_cache(request) { Action::HoldBeforeForward } else { Action::Forward });
    let next = time.operator(&[]);
    let reconciles = "nuvo_operator_reconciles_total{kind=\"PipelineSchedule\",result=\"ok\"}";
    env.eventually("the schedule is looked at", || next.metric(reconciles) >= Some(1.0));
    let is_write = |request: &RequestInfo| request.method == "PUT" && request.path.contains("/pipelineschedules/");
    let writes = proxy.journal().split_off(asked).iter().filter(|exchange| is_write(&exchange.request)).count();
    same("writes, active", (writes, status(&env, "hourly").active_count), (0, Some(1)));
    proxy.set_rules(|_| Action::Forward);
    proxy.release_all();
    env.eventually("the edit is seen", || ready(&env, "hourly") == "Suspended");
    same("active", status(&env, "hourly").active_count, Some(1));
    env.delete("by-hand");
    env.eventually("its deletion is seen", || status(&env, "hourly").active_count == Some(0));
}
