//! Whoever may create runs decides how large they are, and must not take the memory of the operator with them.

use kube::api::{ListParams, PostParams};
use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::Pipeline;
use serde_json::json;

use crate::environment::{Environment, block_on, same};

#[test]
fn large_annotations_take_no_memory_and_stay() {
    const RUNS: usize = 200;
    const MOST: u64 = 90 << 20;
    let env = Environment::new("large", [Pipeline::new("orders")]);
    // As much as the API server allows.
    let note = "x".repeat(250_000);
    for number in 0..RUNS {
        let run = json!({
            "apiVersion": "nuvo.dev/v1alpha1",
            "kind": "PipelineRun",
            "metadata": { "name": format!("run-{number}"), "annotations": { "example.com/note": note }, "labels": { "example.com/team": "a" } },
            "spec": { "pipelineId": "orders", "suspend": true },
        });
        block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(run).unwrap())).unwrap();
    }
    let is_shown = |run: &PipelineRun| run.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
    let shown = || {
        let pages = (0..RUNS).map(|number| env.get(&format!("run-{number}")));
        pages.filter(is_shown).count()
    };
    let mut operator = env.operator();
    env.wait_reason(&format!("run-{}", RUNS - 1), "Suspended");
    env.eventually("all shown", || shown() == RUNS);
    let first = operator.peak_memory();
    assert_eq!(operator.stop(), Some(0));
    let mut operator = env.operator();
    env.eventually("counted", || {
        operator.ask("metrics", "/metrics").1.contains(&format!(r#"nuvo_operator_pipelineruns{{phase="Suspended"}} {RUNS}"#))
    });
    let second = operator.peak_memory();
    println!("memory: {} MiB, and {} MiB after a restart", first >> 20, second >> 20);
    assert!(first < MOST && second < MOST, "{} MiB, and {} MiB after a restart", first >> 20, second >> 20);
    let left = block_on(env.runs().list(&ListParams::default().limit(1))).unwrap().items;
    let metadata = &left[0].metadata;
    assert_eq!(metadata.annotations.as_ref().unwrap()["example.com/note"].len(), note.len());
    assert_eq!(metadata.labels.as_ref().unwrap()["example.com/team"], "a");
}

#[test]
fn run_with_the_longest_name_has_events() {
    let env = Environment::new("long-name", [Pipeline::new("orders").duration(std::time::Duration::from_millis(300))]);
    let _operator = env.operator();
    // Cut after 236 characters, the name would end with a dash.
    let names = ["a".repeat(253), format!("{}-{}", "b".repeat(235), "c".repeat(17))];
    for name in &names {
        env.start(name, "orders", json!({}));
    }
    for name in &names {
        env.wait_phase(name, Phase::Succeeded);
        assert!(env.wait_note(name, "Triggered").contains("execution"));
        env.wait_note(name, "Succeeded");
        let described = env.kubectl(&["describe", "npr", name]).unwrap();
        assert!(described.contains("nuvo accepted the trigger"), "{described}");
    }
    same("POSTs", env.sim.post_count(), 2);
}
