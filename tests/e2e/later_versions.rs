//! What a later version of the operator has left behind.

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use nuvo_crds::Phase;
use nuvo_sim::Pipeline;
use serde_json::{Value, json};

use crate::environment::{Environment, assert_consistent, block_on, message, same};

fn environment() -> Environment {
    Environment::new("later", [Pipeline::new("orders").duration(std::time::Duration::from_millis(300))])
}

#[test]
fn marker_that_cannot_be_read_starts_nothing_until_a_person_asks_for_it() {
    let env = environment();
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "suspend": true }));
    env.wait_phase("orders", Phase::Suspended);
    env.change(
        "orders",
        json!({ "metadata": { "annotations": { "nuvo.dev/trigger": "{\"v\":2,\"attempt\":1}" } }, "spec": { "suspend": false } }),
    );
    let lost = env.wait_reason("orders", "StatusLost");
    assert_consistent(&lost);
    assert!(message(&lost).contains("later version") && message(&lost).contains("spec.rerunToken"), "{}", message(&lost));
    same("POSTs", env.sim.post_count(), 0);
    env.change("orders", json!({ "spec": { "rerunToken": "again" } }));
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("attempt", run.status.unwrap().attempt, Some(2));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn lock_that_cannot_be_read_is_not_written_over_and_says_so() {
    let env = environment();
    let operator = env.operator();
    env.start("first", "orders", json!({}));
    env.wait_phase("first", Phase::Succeeded);
    env.eventually("the lock is given back", || env.all_leases().iter().all(|lock| lock.spec.as_ref().unwrap().holder_identity.is_none()));
    let name = env.all_leases()[0].metadata.name.clone().unwrap();
    let leases: Api<_> = env.leases();
    let write = |lock: &Value| {
        let patch = json!({ "metadata": { "annotations": { "nuvo.dev/lock": lock.to_string() } } });
        block_on(leases.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))).unwrap();
    };
    let read = || -> Value {
        let lease = block_on(leases.get(&name)).unwrap();
        serde_json::from_str(&lease.metadata.annotations.unwrap()["nuvo.dev/lock"]).unwrap()
    };
    let earlier = read();
    let later = json!({ "v": 7, "holders": [{ "uid": "u" }] });
    write(&later);
    env.start("next", "orders", json!({}));
    let waits = env.wait("next", "told about the lock", |run| message(run).contains("format 7"));
    assert!(message(&waits).contains("until the operator is upgraded again"), "{}", message(&waits));
    same("the lock", read(), later);
    same("POSTs", env.sim.post_count(), 1);
    // It is understood, and has more than this version knows.
    let mut understood = earlier;
    understood["v"] = json!(7);
    understood["hue"] = json!("red");
    write(&understood);
    env.wait_phase("next", Phase::Succeeded);
    same("what the later version has added", (read()["v"].clone(), read()["hue"].clone()), (json!(7), json!("red")));
    same("POSTs", env.sim.post_count(), 2);
    same("exit code", operator.stop(), Some(0));
}
