//! The life of a credential while runs are active: how it is stored, when it ends, what it lacks, and where it may go.

use std::time::Duration;

use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{Effect, Fault, Identity, Operation, Permission, Pipeline, Sim, SimConfig, Status};
use serde_json::json;

use crate::world::{World, assert_consistent, block_on, message, reason, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

fn account_says(world: &World, name: &str) -> (String, String) {
    let status = block_on(world.accounts().get(name)).unwrap().status.unwrap_or_default();
    let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
    ready.map(|condition| (condition.reason, condition.message)).unwrap_or_default()
}

fn licence(secret: &str, key: &str) -> serde_json::Value {
    json!({ "licenseKey": { "secretRef": { "name": secret, "key": key }, "identifier": "demo@example.com", "identityType": "USER" } })
}

#[test]
fn how_a_key_is_stored_is_mended_or_said_and_never_sent_as_it_is() {
    let world = World::without_account("stored", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    let _operator = world.operator();
    let kept = [
        ("plain", "demo-license-key", "Ready", "accepts"),
        ("line-end", "demo-license-key\n", "Ready", "accepts"),
        ("white-space", " \t demo-license-key \r\n", "Ready", "accepts"),
        ("empty", "", "SecretInvalid", "is empty"),
        ("only-space", " \n\t ", "SecretInvalid", "is empty"),
        ("line-break", "demo-license\nX-Injected: 1", "SecretInvalid", "character that is not allowed"),
        ("blank", "demo license key", "SecretInvalid", "character that is not allowed"),
        ("not-ascii", "d\u{e9}mo-license-key", "SecretInvalid", "character that is not allowed"),
        ("too-long", &"x".repeat(9_000), "SecretInvalid", "is too long"),
    ];
    for (name, key, _, _) in &kept {
        world.credential(name, key);
        world.account_with(name, licence(name, "license-key"));
    }
    world.account_with("no-secret", licence("no-such-secret", "license-key"));
    world.account_with("no-key", licence("plain", "another-key"));
    let absent = [("no-secret", "", "SecretNotFound", "create it"), ("no-key", "", "SecretNotFound", "another-key")];
    for (name, _, wanted, words) in kept.iter().chain(&absent) {
        world.eventually(&format!("account {name} {wanted}"), || account_says(&world, name).0 == *wanted);
        let (_, message) = account_says(&world, name);
        assert!(message.contains(words), "{name}: {message}");
    }
    same("one request for a token by each that has a key", world.requests(Operation::Token), 3);
    world.credential("line-break", "demo-license-key");
    world.start("orders", "orders", json!({ "accountRef": { "name": "line-break" } }));
    world.wait_phase("orders", Phase::Succeeded);
}

#[test]
fn a_token_that_ends_while_many_runs_are_active_is_renewed_once_for_all() {
    let pipelines: Vec<Pipeline> = (0..12).map(|number| Pipeline::new(format!("p{number}")).held()).collect();
    let world = World::new("expired", pipelines);
    let _operator = world.operator();
    let names: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
    for name in &names {
        world.start(name, name, json!({}));
    }
    for name in &names {
        world.wait_phase(name, Phase::Running);
    }
    same("tokens", world.requests(Operation::Token), 1);
    // All of them are asked for by their ids at the same time.
    world.sim.revoke_tokens();
    for execution in world.sim.executions() {
        world.sim.finish(&execution.id, Status::Successful).unwrap();
    }
    for name in &names {
        assert_consistent(&world.wait_phase(name, Phase::Succeeded));
    }
    same("tokens", world.requests(Operation::Token), 2);
    same("account", account_says(&world, "default").0.as_str(), "Ready");
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (12, 12));
}

#[test]
fn a_token_that_ends_before_many_triggers_is_renewed_once_and_each_trigger_is_carried_out_once() {
    let pipelines: Vec<Pipeline> = (0..6).map(|number| quick(&format!("p{number}"))).collect();
    let world = World::new("expired-before", pipelines);
    let _operator = world.operator();
    world.wait_ready("default");
    world.sim.revoke_tokens();
    let names: Vec<String> = (0..6).map(|number| format!("p{number}")).collect();
    for name in &names {
        world.start(name, name, json!({}));
    }
    for name in &names {
        world.wait_phase(name, Phase::Succeeded);
    }
    same("tokens", world.requests(Operation::Token), 2);
    same("carried out", world.sim.executed_count(), 6);
}

#[test]
fn a_permission_that_is_missing_for_the_trigger_only_rejects_the_run_and_not_the_account() {
    let world = World::without_account("read-only", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    let reader = nuvo_sim::Credential::new("reads-only", Identity::user("demo@example.com")).permissions([Permission::Read]);
    world.sim.set_credentials(vec![reader]);
    world.credential("nuvo-credentials", "reads-only");
    world.account("default");
    let existing = world.sim.seed_execution(nuvo_sim::Seed::new("orders")).unwrap();
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "retry": { "limit": 3, "backoffSeconds": 1 } }));
    let run = world.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerRejected");
    assert!(message(&run).contains("403"), "{}", message(&run));
    same("account", account_says(&world, "default").0.as_str(), "Ready");
    // What it may do goes on.
    world.start("follows", "orders", json!({ "executionId": existing }));
    world.wait_phase("follows", Phase::Running);
    world.sim.finish(&existing, Status::Successful).unwrap();
    world.wait_phase("follows", Phase::Succeeded);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (1, 0));
}

#[test]
fn a_base_url_that_changes_while_a_trigger_is_in_doubt_sends_nothing_to_the_new_place() {
    let world = World::new("moved", [quick("orders").held()]);
    let other = Sim::start(SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() }).unwrap();
    let (here, there) = (world.sim.base_url(), other.base_url());
    // The answer is lost, and the first look at the list comes after the change.
    let answer = world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING));
    let list = world.sim.add_fault(Fault::on(Operation::List, Effect::status(500)).pipeline("orders"));
    let _operator = world.operator_with(&["--allowed-base-url", &here, "--allowed-base-url", &there]);
    world.start("orders", "orders", json!({}));
    world.wait_phase("orders", Phase::Triggering);
    world.eventually("the list asked for", || world.sim.fault_count(list) > 0);
    world.account_with("default", json!({ "baseUrl": there }));
    let run = world.wait_phase("orders", Phase::Unresolved);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    world.sim.remove_fault(answer);
    world.sim.remove_fault(list);
    // Back again: what it started is there, and a person can say so.
    world.account_with("default", json!({ "baseUrl": here }));
    world.eventually("back", || account_says(&world, "default").0 == "Ready");
    let id = world.sim.executions()[0].id.clone();
    let nonce = |run: &PipelineRun| run.status.as_ref().unwrap().trigger.as_ref().unwrap().nonce.clone();
    let text = format!("{}:adopt={id}", nonce(&run));
    world.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/resolve": text } } }));
    world.wait_phase("orders", Phase::Running);
    world.sim.finish(&id, Status::Successful).unwrap();
    world.wait_phase("orders", Phase::Succeeded);
    same("POSTs here and there", (world.sim.post_count(), other.post_count()), (1, 0));
}

#[test]
fn an_account_that_is_created_anew_while_runs_are_active_goes_on_with_all_of_them() {
    let world = World::new("anew", [quick("running").held(), quick("waiting"), quick("doubtful").held()]);
    let answer = world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).pipeline("doubtful"));
    let list = world.sim.add_fault(Fault::on(Operation::List, Effect::status(500)).pipeline("doubtful"));
    let _operator = world.operator();
    world.start("running", "running", json!({}));
    world.start("doubtful", "doubtful", json!({}));
    world.wait_phase("running", Phase::Running);
    world.wait_phase("doubtful", Phase::Triggering);
    world.eventually("the list asked for", || world.sim.fault_count(list) > 0);
    block_on(world.accounts().delete("default", &kube::api::DeleteParams::default())).unwrap();
    world.start("waiting", "waiting", json!({}));
    world.wait_reason("waiting", "AccountNotReady");
    let run = world.wait("doubtful", "told of the account", |run| message(run).contains("NuvoAccount default"));
    same("phase", run.status.unwrap().phase, Some(Phase::Triggering));
    world.sim.remove_fault(answer);
    world.sim.remove_fault(list);
    let ids: Vec<String> = world.sim.executions().iter().map(|execution| execution.id.clone()).collect();
    world.account("default");
    world.wait_phase("waiting", Phase::Succeeded);
    world.wait_phase("doubtful", Phase::Running);
    for id in &ids {
        world.sim.finish(id, Status::Successful).unwrap();
    }
    for name in ["running", "doubtful"] {
        let run = world.wait_phase(name, Phase::Succeeded);
        assert_consistent(&run);
        same(name, world.sim.post_count_of(name), 1);
    }
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (3, 3));
}
