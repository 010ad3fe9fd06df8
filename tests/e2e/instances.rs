//! More than one operator: split on purpose, and overlapping by mistake.

use std::time::Duration;

use nuvo_crds::Phase;
use nuvo_sim::Pipeline;
use serde_json::json;

use crate::world::{World, assert_consistent, same};

fn world(name: &str, took: Duration) -> World {
    World::new(name, [Pipeline::new("orders").duration(took)])
}

#[test]
fn operators_for_different_labels_lead_at_the_same_time_and_each_does_its_own_part() {
    let world = world("split", Duration::from_millis(300));
    let parts = ["a", "b"].map(|team| {
        let selector = format!("team={team}");
        (team, world.operator_with(&["--leader-elect", "true", "--label-selector", &selector]))
    });
    for (team, operator) in &parts {
        world.eventually(&format!("a leader for team {team}"), || operator.leads());
    }
    for name in ["a", "b", "nobody"] {
        world.start(name, "orders", json!({}));
        world.change(name, json!({ "metadata": { "labels": { "team": name } } }));
    }
    for name in ["a", "b"] {
        assert_consistent(&world.wait_phase(name, Phase::Succeeded));
    }
    same("what nobody watches is left alone", world.get("nobody").status.and_then(|status| status.phase), None);
    same("POSTs", world.sim.post_count(), 2);
    for (_, operator) in parts {
        same("exit code", operator.stop(), Some(0));
    }
}

#[test]
fn operators_that_overlap_by_mistake_start_nothing_twice() {
    let world = world("overlap", Duration::from_millis(300));
    let _all = world.operator();
    let _part = world.operator_with(&["--label-selector", "team=a"]);
    let names: Vec<String> = (0..10).map(|number| format!("run-{number}")).collect();
    for name in &names {
        world.start(name, "orders", json!({}));
        world.change(name, json!({ "metadata": { "labels": { "team": "a" } } }));
    }
    for name in &names {
        assert_consistent(&world.wait_phase(name, Phase::Succeeded));
    }
    same("POSTs", world.sim.post_count(), names.len() as u64);
}

#[test]
fn operators_that_disagree_about_an_account_do_not_correct_each_other_for_ever() {
    let world = world("disagree", Duration::from_secs(5));
    let _able = world.operator();
    world.wait_ready("default");
    world.start("orders", "orders", json!({}));
    world.wait_phase("orders", Phase::Running);
    let _unable = world.operator_with(&["--allowed-base-url", "http://127.0.0.1:9"]);
    world.wait_phase("orders", Phase::Succeeded);
    let writes = world.writes();
    let statuses = writes.iter().filter(|event| event.resource == "pipelineruns" && event.subresource == "status").count();
    assert!(statuses <= 6, "{statuses} writes of the status");
    same("POSTs", world.sim.post_count(), 1);
}
