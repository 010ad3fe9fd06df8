//! Observed pipelines: what runs in nuvo, whoever started it.

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use nuvo_crds::NuvoPipeline;
use nuvo_sim::{Identity, Operation, Pipeline, RecordedRequest, Seed, SimConfig, Stats, Status, Trigger};
use serde_json::{Value, json};

use crate::environment::{Environment, Operator, admin, block_on, merge, same};

/// As often as the definition allows.
pub const PERIOD_SECONDS: i64 = 15;

pub fn pipelines(env: &Environment) -> Api<NuvoPipeline> {
    Api::namespaced(admin(env.server), &env.namespace)
}

/// An environment whose account looks as often as it may.
pub fn environment(name: &str) -> Environment {
    let env = Environment::with(
        name,
        SimConfig { pipelines: vec![Pipeline::new("orders").stats(Stats { total_rows: 40, ..Stats::default() })], ..SimConfig::default() },
    );
    env.account_with("default", json!({ "observePeriodSeconds": PERIOD_SECONDS }));
    env
}

/// An object that observes `orders`, with these further fields in its spec.
pub fn observe(env: &Environment, name: &str, fields: Value) {
    let mut spec = json!({ "pipelineId": "orders" });
    merge(&mut spec, fields);
    let object = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoPipeline", "metadata": { "name": name }, "spec": spec });
    block_on(pipelines(env).create(&PostParams::default(), &serde_json::from_value(object).unwrap())).unwrap();
}

pub fn edit(env: &Environment, name: &str, spec: Value) {
    block_on(pipelines(env).patch(name, &PatchParams::default(), &Patch::Merge(&json!({ "spec": spec })))).unwrap();
}

pub fn get(env: &Environment, name: &str) -> NuvoPipeline {
    block_on(pipelines(env).get(name)).unwrap()
}

pub fn condition(object: &NuvoPipeline, type_: &str) -> (String, String, String) {
    let conditions = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == type_);
    found.map(|found| (found.status, found.reason, found.message)).unwrap_or_default()
}

pub fn wait_reason(env: &Environment, name: &str, type_: &str, wanted: &str) -> NuvoPipeline {
    env.eventually(&format!("{name} {type_} {wanted}"), || condition(&get(env, name), type_).1 == wanted);
    get(env, name)
}

pub fn seed(env: &Environment, trigger: Trigger, creator: Identity, status: Status) -> String {
    let stats = Stats { total_rows: 40, ..Stats::default() };
    env.sim.seed_execution(Seed { trigger, creator, status, stats, ..Seed::new("orders") }).unwrap()
}

pub fn executions(operator: &Operator) -> Vec<(String, f64)> {
    operator.metrics("nuvo_pipeline_executions_total").into_iter().filter(|(_, count)| *count > 0.0).collect()
}

/// Looks at the newest executions of the account, which serve all objects: when each arrived, in milliseconds.
pub fn looks(env: &Environment) -> Vec<i64> {
    let has = |request: &RecordedRequest, name: &str, value: &str| request.query.iter().any(|(key, text)| key == name && text == value);
    let is_look = |request: &RecordedRequest| {
        has(request, "sort[created_at]", "desc") && has(request, "pagination[offset]", "0") && request.pipeline.is_none()
    };
    env.sim
        .journal()
        .iter()
        .filter(|request| request.operation == Operation::List && is_look(request))
        .map(|request| request.at_ms)
        .collect()
}

#[test]
fn executions_of_three_triggers_by_three_creators_are_shown_and_counted_and_none_is_started() {
    let env = environment("observed");
    let operator = env.operator();
    observe(&env, "orders", json!({ "freshness": { "maxAgeSeconds": 3600 } }));
    let object = wait_reason(&env, "orders", "Ready", "Observed");
    same("Fresh", condition(&object, "Fresh").1.as_str(), "Pending");
    for (trigger, creator) in [
        (Trigger::Manual, Identity::user("one@example.com")),
        (Trigger::Scheduled, Identity::sub_org("two")),
        (Trigger::Event, Identity::user("three@example.com")),
    ] {
        seed(&env, trigger, creator, Status::Successful);
    }
    wait_reason(&env, "orders", "Fresh", "Fresh");
    env.eventually("all counted", || executions(&operator).iter().map(|(_, count)| count).sum::<f64>() > 2.5);
    let counted = executions(&operator);
    for trigger in ["MANUAL", "SCHEDULED", "EVENT"] {
        assert!(counted.iter().any(|(labels, count)| labels.contains(&format!("trigger=\"{trigger}\"")) && *count < 1.5), "{counted:?}");
    }
    let failed = seed(&env, Trigger::Event, Identity::user("three@example.com"), Status::Failed);
    let object = wait_reason(&env, "orders", "LastExecutionSucceeded", "ExecutionFailed");
    assert!(condition(&object, "LastExecutionSucceeded").2.contains(&failed), "{object:?}");
    env.wait_note("orders", "ExecutionFailed");
    let text = serde_json::to_string(&object).unwrap();
    assert!(!text.contains("@example.com"), "an e-mail address is shown: {text}");
    same("POSTs", env.sim.post_count(), 0);
    block_on(pipelines(&env).delete("orders", &DeleteParams::default())).unwrap();
    env.eventually("no series left", || !operator.ask("metrics", "/metrics").1.contains("nuvo_pipeline_info{"));
    let (_, text) = operator.ask("metrics", "/metrics");
    let left: Vec<_> = text.lines().filter(|line| line.starts_with("nuvo_pipeline_")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// docs/pipelines.md, "What it costs", request by request.
#[test]
fn account_that_only_observes_asks_what_the_documentation_says_and_starts_nothing() {
    let env = environment("only-observed");
    let _operator = env.operator();
    env.wait_ready("default");
    let lists = || env.requests(Operation::List);
    let before = (lists(), env.requests(Operation::Read), env.requests(Operation::Pipeline));
    for name in ["orders", "the-same"] {
        observe(&env, name, json!({ "freshness": { "maxAgeSeconds": 3600 } }));
    }
    for name in ["orders", "the-same"] {
        wait_reason(&env, name, "Ready", "Observed");
    }
    let ids: Vec<String> = (0..3)
        .map(|_| {
            let seen = looks(&env).len();
            let id = seed(&env, Trigger::Scheduled, Identity::sub_org("two"), Status::Successful);
            env.eventually("two looks", || looks(&env).len() >= seen + 2);
            id
        })
        .collect();
    let read = |id: &String| {
        env.sim.journal().iter().filter(|request| request.operation == Operation::Read && request.path.ends_with(id.as_str())).count()
    };
    env.eventually("each that has ended is read", || ids.iter().all(|id| read(id) > 0));
    let begun = looks(&env);
    // The second one comes early, so that each account has its own time of the period. On a busy machine, one may arrive late.
    for two in begun[1..].windows(2) {
        assert!(two[1] - two[0] >= PERIOD_SECONDS * 1_000 - 3_000, "{begun:?} ms: more than one page per period");
    }
    let after = (lists(), env.requests(Operation::Read), env.requests(Operation::Pipeline));
    same("before there was an object: the check of the account", before, (1, 0, 0));
    same("pages: one per period, and one for the first look at the pipeline", after.0 - before.0, begun.len() + 1);
    same("reads: one for each execution that has ended, of both objects together", after.1, ids.len());
    same("pipelines: one an hour", after.2, 1);
    same("POSTs", env.requests(Operation::Create), 0);
    same("runs", block_on(env.runs().list(&ListParams::default())).unwrap().items.len(), 0);
    let locks: Vec<_> = env.all_leases().into_iter().filter(|lease| lease.labels().contains_key("nuvo.dev/pipeline-lock")).collect();
    same("locks", locks.len(), 0);
}
