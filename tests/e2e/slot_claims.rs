//! The gate of runs that a schedule made: what triggers is what its schedule has claimed the slot for.

use std::time::Duration;

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use nuvo_crds::{Phase, PipelineRun, PipelineSchedule};
use nuvo_sim::{Operation, Pipeline};
use serde_json::{Value, json};

use crate::environment::{Environment, admin, assert_consistent, block_on, reason, same};

const SLOT: &str = "2026-11-28T02:00:00Z";

fn schedules(env: &Environment) -> Api<PipelineSchedule> {
    Api::namespaced(admin(env.server), &env.namespace)
}

/// A schedule, suspended, so that the operator does nothing by itself.
fn schedule(env: &Environment) -> String {
    let schedule = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineSchedule",
        "metadata": { "name": "nightly" },
        "spec": { "schedules": ["0 2 * * *"], "suspend": true, "runTemplate": { "spec": { "pipelineId": "orders" } } },
    });
    let created = block_on(schedules(env).create(&PostParams::default(), &serde_json::from_value(schedule).unwrap())).unwrap();
    created.uid().unwrap()
}

fn set_status(env: &Environment, status: &Value) {
    let patch = json!({ "status": status });
    block_on(schedules(env).patch_status("nightly", &PatchParams::default(), &Patch::Merge(&patch))).unwrap();
}

/// A run of the slot, as the schedule makes it, or as a copy of its manifest.
fn run(env: &Environment, name: &str, schedule: &str) -> String {
    run_of(env, name, schedule, SLOT)
}

fn run_of(env: &Environment, name: &str, schedule: &str, slot: &str) -> String {
    let run = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name,
            "annotations": { "nuvo.dev/scheduled-at": slot },
            "ownerReferences": [{
                "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "nightly", "uid": schedule, "controller": true,
                "blockOwnerDeletion": false,
            }],
        },
        "spec": { "pipelineId": "orders" },
    });
    let run: PipelineRun = block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(run).unwrap())).unwrap();
    run.uid().unwrap()
}

fn decided(schedule: &str, claims: &Value) -> Value {
    json!({ "anchor": { "time": "2026-11-27T10:00:00Z", "uid": schedule }, "lastSlot": SLOT, "claims": claims })
}

#[test]
fn run_whose_slot_is_claimed_is_triggered_and_its_copy_is_not() {
    let env = Environment::new("slot-claimed", [Pipeline::new("orders").duration(Duration::from_millis(300))]);
    let schedule = schedule(&env);
    let uid = run(&env, "nightly-20261128t0200", &schedule);
    run(&env, "copy", &schedule);
    set_status(&env, &decided(&schedule, &json!([{ "slot": SLOT, "runName": "nightly-20261128t0200", "runUID": uid }])));
    let _operator = env.operator();
    env.wait_phase("nightly-20261128t0200", Phase::Succeeded);
    let copy = env.wait_reason("copy", "SlotNotClaimed");
    assert_consistent(&copy);
    same("phase", copy.status.and_then(|status| status.phase), Some(Phase::Failed));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn run_waits_for_its_claim_and_ends_without_its_schedule() {
    let env = Environment::new("slot-undecided", [Pipeline::new("orders").duration(Duration::from_millis(300))]);
    let schedule = schedule(&env);
    let slot = "2099-11-28T02:00:00Z";
    let uid = run_of(&env, "nightly-20991128t0200", &schedule, slot);
    let _operator = env.operator();
    let waits = env.wait("nightly-20991128t0200", "it waits for its claim", |run| {
        crate::environment::message(run).contains("has not claimed the slot for it yet")
    });
    same("reason", reason(&waits), "Pending");
    same("POSTs", env.requests(Operation::Create), 0);
    set_status(&env, &json!({ "claims": [{ "slot": slot, "runName": "nightly-20991128t0200", "runUID": uid }] }));
    env.wait_phase("nightly-20991128t0200", Phase::Succeeded);
    run(&env, "of-another", "00000000-0000-4000-8000-000000000000");
    env.wait_reason("of-another", "SlotNotClaimed");
    run_of(&env, "later", &schedule, "2099-11-29T02:00:00Z");
    env.wait_reason("later", "Pending");
    env.kubectl(&["delete", "nps", "nightly"]).unwrap();
    env.wait_reason("later", "SlotNotClaimed");
    same("POSTs", env.sim.post_count(), 1);
}
