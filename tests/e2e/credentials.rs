//! The life of a credential while runs are active: how it is stored, when it ends, what it lacks, and where it may go.

use std::time::Duration;

use nuvo_crds::Phase;
use nuvo_sim::{Effect, Fault, Identity, Operation, Permission, Pipeline, RecordedRequest, RecordedResponse, Sim, SimConfig, Status};
use serde_json::json;

use crate::environment::{Environment, assert_consistent, block_on, message, reason, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

fn account_says(env: &Environment, name: &str) -> (String, String) {
    let status = block_on(env.accounts().get(name)).unwrap().status.unwrap_or_default();
    let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
    ready.map(|condition| (condition.reason, condition.message)).unwrap_or_default()
}

fn licence(secret: &str, key: &str) -> serde_json::Value {
    json!({ "licenseKey": { "secretRef": { "name": secret, "key": key }, "identifier": "demo@example.com", "identityType": "USER" } })
}

#[test]
fn license_key_with_surrounding_space_is_trimmed_and_an_invalid_one_is_reported() {
    let env = Environment::without_account("stored", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    let _operator = env.operator();
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
        env.credential(name, key);
        env.account_with(name, licence(name, "license-key"));
    }
    env.account_with("no-secret", licence("no-such-secret", "license-key"));
    env.account_with("no-key", licence("plain", "another-key"));
    let absent = [("no-secret", "", "SecretNotFound", "create it"), ("no-key", "", "SecretNotFound", "another-key")];
    for (name, _, wanted, words) in kept.iter().chain(&absent) {
        env.eventually(&format!("account {name} {wanted}"), || account_says(&env, name).0 == *wanted);
        let (_, message) = account_says(&env, name);
        assert!(message.contains(words), "{name}: {message}");
    }
    same("one request for a token by each that has a key", env.requests(Operation::Token), 3);
    env.credential("line-break", "demo-license-key");
    env.start("orders", "orders", json!({ "accountRef": { "name": "line-break" } }));
    env.wait_phase("orders", Phase::Succeeded);
}

/// The operator may not watch Secrets. Left alone, it would look at these after up to 15 minutes, and after ten.
#[test]
fn changed_secret_is_read_within_seconds_after_a_refresh() {
    // Before anything is timed, because it may have to be built.
    let program = crate::environment::kubectl_nuvo();
    let env = Environment::without_account("refresh", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    env.credential("wrong", "no-license-key");
    env.credential("rotated", "demo-license-key");
    for name in ["wrong", "rotated"] {
        env.account_with(name, licence(name, "license-key"));
    }
    let _operator = env.operator();
    let refresh = |name: &str| {
        let mut plugin = std::process::Command::new(program);
        plugin.env("KUBECONFIG", env.server.admin_kubeconfig()).args(["--namespace", &env.namespace, "refresh", name]);
        let output = plugin.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    env.wait_ready("rotated");
    env.eventually("wrong is rejected", || account_says(&env, "wrong").0 == "CredentialsRejected");
    assert!(account_says(&env, "wrong").1.contains("kubectl nuvo refresh wrong"), "{}", account_says(&env, "wrong").1);
    // Each wait for the next login is twice as long as the one before: the first is 5 s.
    let rejected = || {
        let refused = |request: &RecordedRequest| request.operation == Operation::Token && request.answer == RecordedResponse::Status(401);
        env.sim.journal().iter().filter(|request| refused(request)).map(|request| request.at_ms).collect::<Vec<_>>()
    };
    env.eventually("rejected three times", || rejected().len() >= 3);
    let times = rejected();
    assert!(times.len() == 3 && times[1] - times[0] >= 5_000 && times[2] - times[1] >= 10_000, "{times:?}");
    env.credential("wrong", "demo-license-key");
    same("refreshed", refresh("wrong"), (Some(0), "nuvoaccount.nuvo.dev/wrong refreshed\n".to_owned()));
    env.wait_ready("wrong");
    let journal = env.sim.journal();
    let logins: Vec<i64> = journal.iter().filter(|request| request.operation == Operation::Token).map(|request| request.at_ms).collect();
    assert!(logins.iter().any(|at| (times[2] + 1..times[2] + 20_000).contains(at)), "{times:?}: tried by itself only, {logins:?}");

    env.sim.set_credentials(vec![nuvo_sim::Credential::new("another-license-key", Identity::user("demo@example.com"))]);
    env.credential("rotated", "another-license-key");
    let logins = env.requests(Operation::Token);
    refresh("rotated");
    env.eventually("a login with the new key", || env.requests(Operation::Token) == logins + 1);
    same("account", account_says(&env, "rotated").0.as_str(), "Ready");
    let (code, text) = refresh("nothing");
    assert!(code == Some(1) && text.contains("kubectl nuvo accounts"), "{text}");
}

#[test]
fn token_expired_with_many_active_runs_is_renewed_once() {
    let pipelines: Vec<Pipeline> = (0..12).map(|number| Pipeline::new(format!("p{number}")).held()).collect();
    let env = Environment::new("expired", pipelines);
    let _operator = env.operator();
    let names: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
    for name in &names {
        env.start(name, name, json!({}));
    }
    for name in &names {
        env.wait_phase(name, Phase::Running);
    }
    same("tokens", env.requests(Operation::Token), 1);
    // All of them are asked for by their ids at the same time.
    env.sim.revoke_tokens();
    for execution in env.sim.executions() {
        env.sim.finish(&execution.id, Status::Successful).unwrap();
    }
    for name in &names {
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    }
    same("tokens", env.requests(Operation::Token), 2);
    same("account", account_says(&env, "default").0.as_str(), "Ready");
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (12, 12));
}

#[test]
fn token_expired_before_many_triggers_is_renewed_once_and_each_trigger_runs_once() {
    let pipelines: Vec<Pipeline> = (0..6).map(|number| quick(&format!("p{number}"))).collect();
    let env = Environment::new("expired-before", pipelines);
    let _operator = env.operator();
    env.wait_ready("default");
    env.sim.revoke_tokens();
    let names: Vec<String> = (0..6).map(|number| format!("p{number}")).collect();
    for name in &names {
        env.start(name, name, json!({}));
    }
    for name in &names {
        env.wait_phase(name, Phase::Succeeded);
    }
    same("tokens", env.requests(Operation::Token), 2);
    same("carried out", env.sim.executed_count(), 6);
}

#[test]
fn permission_missing_for_the_trigger_rejects_the_run_but_not_the_account() {
    let env = Environment::without_account("read-only", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    let reader = nuvo_sim::Credential::new("reads-only", Identity::user("demo@example.com")).permissions([Permission::Read]);
    env.sim.set_credentials(vec![reader]);
    env.credential("nuvo-credentials", "reads-only");
    env.account("default");
    let existing = env.sim.seed_execution(nuvo_sim::Seed::new("orders")).unwrap();
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "retry": { "limit": 3, "backoffSeconds": 1 } }));
    let run = env.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerRejected");
    assert!(message(&run).contains("403"), "{}", message(&run));
    same("account", account_says(&env, "default").0.as_str(), "Ready");
    // What it may do goes on.
    env.start("follows", "orders", json!({ "executionId": existing }));
    env.wait_phase("follows", Phase::Running);
    env.sim.finish(&existing, Status::Successful).unwrap();
    env.wait_phase("follows", Phase::Succeeded);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (1, 0));
}

#[test]
fn base_url_changed_during_a_doubt_sends_nothing_to_the_new_origin_and_a_person_may_answer() {
    let env = Environment::new("moved", [quick("orders").held()]);
    let other = Sim::start(SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() }).unwrap();
    let (here, there) = (env.sim.base_url(), other.base_url());
    // The answer is lost, and the first look at the list comes after the change.
    let lost = env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING));
    let _operator = env.operator_with(&["--allowed-base-url", &here, "--allowed-base-url", &there]);
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Triggering);
    let list = env.sim.add_fault(Fault::on(Operation::List, Effect::status(500)));
    env.eventually("the list asked for", || env.looks_since_the_last_post() > 0);
    env.account_with("default", json!({ "baseUrl": there }));
    let run = env.wait("orders", "showing what has changed", |run| message(run).contains("another base URL"));
    assert_consistent(&run);
    env.sim.remove_fault(lost);
    env.sim.remove_fault(list);
    // Without the account of its trigger nothing is found out, but a person may answer.
    let marker: serde_json::Value = serde_json::from_str(&run.metadata.annotations.as_ref().unwrap()["nuvo.dev/trigger"]).unwrap();
    let answer = format!("{}:abandon", marker["nonce"].as_str().unwrap());
    env.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/resolve": answer } } }));
    let run = env.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerOutcomeUnknown");
    same("POSTs here and there", (env.sim.post_count(), other.post_count()), (1, 0));
}

#[test]
fn account_recreated_with_active_runs_follows_all_of_them() {
    let env = Environment::new("anew", [quick("running").held(), quick("waiting"), quick("doubtful").held()]);
    let answer = env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).pipeline("doubtful"));
    let _operator = env.operator();
    env.start("running", "running", json!({}));
    env.wait_phase("running", Phase::Running);
    env.start("doubtful", "doubtful", json!({}));
    env.wait_phase("doubtful", Phase::Triggering);
    let list = env.sim.add_fault(Fault::on(Operation::List, Effect::status(500)));
    env.eventually("the list asked for", || env.looks_since_the_last_post() > 0);
    block_on(env.accounts().delete("default", &kube::api::DeleteParams::default())).unwrap();
    env.start("waiting", "waiting", json!({}));
    env.wait_reason("waiting", "AccountNotReady");
    let run = env.wait("doubtful", "showing the account", |run| message(run).contains("NuvoAccount default"));
    same("phase", run.status.unwrap().phase, Some(Phase::Triggering));
    env.sim.remove_fault(answer);
    env.sim.remove_fault(list);
    let ids: Vec<String> = env.sim.executions().iter().map(|execution| execution.id.clone()).collect();
    env.account("default");
    env.wait_phase("waiting", Phase::Succeeded);
    env.wait_phase("doubtful", Phase::Running);
    for id in &ids {
        env.sim.finish(id, Status::Successful).unwrap();
    }
    for name in ["running", "doubtful"] {
        let run = env.wait_phase(name, Phase::Succeeded);
        assert_consistent(&run);
        same(name, env.sim.post_count_of(name), 1);
    }
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (3, 3));
}
