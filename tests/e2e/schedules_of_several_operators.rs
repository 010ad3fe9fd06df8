//! One slot and several operators: their clocks, their versions, and writes that meet.

use std::sync::atomic::{AtomicUsize, Ordering};

use controlplane::proxy::{Action, Answer};
use k8s_openapi::jiff::{SignedDuration, ToSpan};
use kube::api::{Patch, PatchParams};
use nuvo_crds::Phase;
use serde_json::json;

use crate::{
    environment::{Environment, block_on, same},
    schedules::{api, quick, ready, run_name, runs, status},
    schedules_over_time::Slots,
};

/// Whatever its API server says, too: the one that is behind does not start again what the other one has started.
#[test]
fn leaders_with_clocks_an_hour_apart_start_each_slot_once() {
    let env = Environment::new("schedule-apart", [quick()]);
    let (behind, ahead) = (Slots::new(&env), Slots::new(&env));
    let _first = behind.operator(&[]);
    let line = (behind.clock.now() + SignedDuration::from_hours(3)).strftime("0 %H * * *").to_string();
    let slot = behind.scheduled("daily", &[&line], json!({}));
    // nuvo goes by the clock that was moved last.
    behind.clock.set(&env, slot - SignedDuration::from_hours(1));
    ahead.clock.set(&env, slot + 1.second());
    let _second = ahead.operator(&[]);
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

/// Every write of a start is refused twice, because another one was first.
#[test]
fn slot_under_a_storm_of_conflicts_starts_once() {
    let env = Environment::new("schedule-conflicts", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let slot = time.scheduled("hourly", &["0 * * * *"], json!({}));
    let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let conflict =
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict", "code": 409, "message": "changed" });
    let answer = Answer::json(409, conflict.to_string());
    time.clock.proxy.set_rules(move |request| {
        let body = String::from_utf8_lossy(&request.body);
        let is_status = request.method == "PUT" && request.path.contains("/pipelineschedules/");
        let kind = ["\"pending\":{", "\"claims\":[{"].iter().position(|part| is_status && body.contains(part));
        let is_refused = kind.is_some_and(|kind| seen[kind].fetch_add(1, Ordering::Relaxed) < 2);
        if is_refused { Action::Respond(answer.clone()) } else { Action::Forward }
    });
    time.at(slot);
    let refused = time.clock.proxy.journal().iter().filter(|exchange| exchange.client_status == Some(409)).count();
    same("refused", refused >= 4, true);
    let shown = status(&env, "hourly");
    same("last slot, missed", (shown.last_slot.unwrap().0, shown.missed), (slot, None));
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (1, 1));
}

/// The record that another version writes lacks what it does not know. Two versions take turns at the slot.
#[test]
fn record_of_another_version_moves_no_anchor_and_its_slot_starts_once() {
    let env = Environment::new("schedule-versions", [quick()]);
    let time = Slots::new(&env);
    let first = time.operator(&[]);
    let slot = time.scheduled("hourly", &["0 * * * *"], json!({ "startingDeadlineSeconds": 600 }));
    let anchor = status(&env, "hourly").anchor;
    let older = json!({ "status": { "observed": { "startingDeadlineSeconds": null, "suspend": null } } });
    for number in 0..2 {
        block_on(api(&env).patch_status("hourly", &PatchParams::default(), &Patch::Merge(&older))).unwrap();
        if number == 1 {
            time.clock.set(&env, slot + 1.second());
        }
        let next = time.operator(&[]);
        env.eventually("the record is whole again", || {
            status(&env, "hourly").observed.is_some_and(|observed| observed.starting_deadline_seconds == Some(600))
        });
        same("anchor", status(&env, "hourly").anchor, anchor.clone());
        next.kill();
    }
    time.at(slot);
    let shown = status(&env, "hourly");
    same("anchor, missed", (shown.anchor, shown.missed), (anchor, None));
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (1, 1));
    same("exit code", first.stop(), Some(0));
}
