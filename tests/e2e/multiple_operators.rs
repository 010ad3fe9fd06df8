//! More than one operator: split by selectors, and overlapping by mistake.

use std::time::Duration;

use nuvo_crds::Phase;
use nuvo_sim::Pipeline;
use serde_json::json;

use crate::environment::{Environment, assert_consistent, same};

fn environment(name: &str, took: Duration) -> Environment {
    Environment::new(name, [Pipeline::new("orders").duration(took)])
}

#[test]
fn operators_with_different_selectors_lead_side_by_side() {
    let env = environment("split", Duration::from_millis(300));
    let parts = ["a", "b"].map(|team| {
        let selector = format!("team={team}");
        (team, env.operator_with(&["--leader-elect", "true", "--label-selector", &selector]))
    });
    for (team, operator) in &parts {
        env.eventually(&format!("a leader for team {team}"), || operator.leads());
    }
    for name in ["a", "b", "unwatched"] {
        env.start(name, "orders", json!({}));
        env.change(name, json!({ "metadata": { "labels": { "team": name } } }));
    }
    for name in ["a", "b"] {
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    }
    same("a run that no operator watches is left alone", env.get("unwatched").status.and_then(|status| status.phase), None);
    same("POSTs", env.sim.post_count(), 2);
    for (_, operator) in parts {
        same("exit code", operator.stop(), Some(0));
    }
}

#[test]
fn overlapping_operators_start_nothing_twice() {
    let env = environment("overlap", Duration::from_millis(300));
    let _all = env.operator();
    let _part = env.operator_with(&["--label-selector", "team=a"]);
    let names: Vec<String> = (0..10).map(|number| format!("run-{number}")).collect();
    for name in &names {
        env.start(name, "orders", json!({}));
        env.change(name, json!({ "metadata": { "labels": { "team": "a" } } }));
    }
    for name in &names {
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    }
    same("POSTs", env.sim.post_count(), names.len() as u64);
}

#[test]
fn operators_disagreeing_about_an_account_stop_correcting_each_other() {
    let env = environment("disagree", Duration::from_secs(5));
    let _able = env.operator();
    env.wait_ready("default");
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Running);
    let _unable = env.operator_with(&["--allowed-base-url", "http://127.0.0.1:9"]);
    env.wait_phase("orders", Phase::Succeeded);
    let writes = env.writes();
    let statuses = writes.iter().filter(|event| event.resource == "pipelineruns" && event.subresource == "status").count();
    assert!(statuses <= 6, "{statuses} writes of the status");
    same("POSTs", env.sim.post_count(), 1);
}
