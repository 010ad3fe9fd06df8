//! Accounts: what makes them ready, and runs that wait for them.

use std::time::{Duration, Instant};

use controlplane::{
    Proxy,
    proxy::{Action, Answer, RequestInfo},
};
use kube::api::DeleteParams;
use nuvo_crds::{NuvoAccount, Phase};
use nuvo_sim::{AccessToken, Effect, Fault, Identity, Operation, Permission, Pipeline, SimConfig};
use serde_json::json;

use crate::world::{WITHIN, World, assert_consistent, block_on, message, reason, same};

fn config() -> SimConfig {
    SimConfig { pipelines: vec![Pipeline::new("orders").duration(Duration::from_millis(300))], ..SimConfig::default() }
}

fn ready(account: &NuvoAccount) -> (String, String) {
    let conditions = account.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    found.map(|condition| (condition.reason, condition.message)).unwrap_or_default()
}

fn wait_account(world: &World, name: &str, wanted: &str) -> (NuvoAccount, String) {
    let get = || block_on(world.accounts().get(name)).unwrap();
    world.eventually(&format!("account {name} {wanted}"), || ready(&get()).0 == wanted);
    let account = get();
    let message = ready(&account).1;
    let status = account.status.as_ref().unwrap();
    same("observedGeneration", status.observed_generation, account.metadata.generation);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == account.metadata.generation));
    (account, message)
}

#[test]
fn a_run_waits_for_its_account_and_goes_on_by_itself() {
    let world = World::without_account("waiting", config());
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    let run = world.wait_reason("orders", "AccountNotReady");
    assert_consistent(&run);
    assert!(message(&run).contains("NuvoAccount default"), "{}", message(&run));
    world.account("default");
    wait_account(&world, "default", "SecretNotFound");
    let run = world.wait("orders", "told of the Secret", |run| message(run).contains("Secret"));
    same("phase", run.status.unwrap().phase, Some(Phase::Pending));
    same("POSTs", world.sim.post_count(), 0);
    world.secret("nuvo-credentials", "demo-license-key", false);
    world.eventually("told of the label", || ready(&block_on(world.accounts().get("default")).unwrap()).1.contains("nuvo.dev/credential"));
    world.credential("nuvo-credentials", "demo-license-key");
    world.wait_phase("orders", Phase::Succeeded);
    let (account, _) = wait_account(&world, "default", "Ready");
    same("identity", account.status.unwrap().identity.as_deref(), Some("demo@example.com"));
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn what_is_wrong_with_an_account_is_said_in_its_reason() {
    let world = World::without_account("reasons", config());
    world.sim.set_credentials(vec![
        nuvo_sim::Credential::default(),
        nuvo_sim::Credential::new("reads-nothing", Identity::user("demo@example.com")).permissions([Permission::Create]),
    ]);
    let _operator = world.operator();
    world.credential("nuvo-credentials", "demo-license-key");
    world.credential("wrong", "no-such-key");
    world.credential("empty", "  ");
    world.credential("cannot-read", "reads-nothing");
    let with_secret = |name: &str| json!({ "licenseKey": { "secretRef": { "name": name, "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER" } });
    world.account("fine");
    world.account_with("missing", with_secret("missing"));
    world.account_with("wrong", with_secret("wrong"));
    world.account_with("empty", with_secret("empty"));
    world.account_with("cannot-read", with_secret("cannot-read"));
    world.account_with("elsewhere", json!({ "baseUrl": "http://127.0.0.1:1/dp/api/v1" }));
    let token_path = |path: &str| json!({ "licenseKey": { "secretRef": { "name": "nuvo-credentials", "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER", "tokenPath": path } });
    world.account_with("no-endpoint", token_path("auth/tokens"));
    let elsewhere = format!("http://{}/elsewhere", world.sim.address());
    let made = json!({ "secretRef": { "name": "nuvo-credentials", "key": "license-key" } });
    world.account_with("no-api", json!({ "baseUrl": elsewhere, "licenseKey": null, "accessToken": made }));
    for (name, reason, word) in [
        ("fine", "Ready", "accepts"),
        ("missing", "SecretNotFound", "create it"),
        ("wrong", "CredentialsRejected", "correct the Secret"),
        ("empty", "SecretInvalid", "empty"),
        ("cannot-read", "PermissionMissing", "execution.read"),
        ("elsewhere", "OriginNotAllowed", "--allowed-base-url"),
        ("no-endpoint", "NuvoUnavailable", "check spec.baseUrl and spec.licenseKey.tokenPath"),
        ("no-api", "NuvoUnavailable", "check spec.baseUrl of"),
    ] {
        let (_, message) = wait_account(&world, name, reason);
        assert!(message.contains(word), "{name}: {message}");
    }
}

#[test]
fn nuvo_that_is_away_is_not_taken_for_bad_credentials() {
    let world = World::without_account("away", config());
    let fault = world.sim.add_fault(Fault::any(Effect::status(500)));
    let _operator = world.operator();
    world.credential("nuvo-credentials", "demo-license-key");
    world.account("default");
    world.start("orders", "orders", json!({}));
    wait_account(&world, "default", "NuvoUnavailable");
    same("reason", reason(&world.wait_reason("orders", "AccountNotReady")), "AccountNotReady");
    world.sim.remove_fault(fault);
    world.wait_phase("orders", Phase::Succeeded);
    same("POSTs", world.sim.post_count(), 1);
}

/// What a person is told while the account of a running run is away, and that nothing is lost by it.
fn assert_followed_again(world: &World, away: impl FnOnce(), reason_of_account: &str, back: impl FnOnce()) {
    let operator = world.operator();
    world.start("orders", "orders", json!({}));
    let before = world.wait_phase("orders", Phase::Running);
    away();
    let run = world.wait("orders", "told that it is not followed", |run| message(run).contains(reason_of_account));
    assert_consistent(&run);
    same("phase and reason", (run.status.as_ref().unwrap().phase, reason(&run)), (Some(Phase::Running), "Running"));
    let id = &before.status.as_ref().unwrap().current.execution_ids[0];
    assert!(message(&run).contains(id) && message(&run).contains("by itself"), "{}", message(&run));
    // What happens meanwhile is not missed.
    world.sim.finish(id, nuvo_sim::Status::Successful).unwrap();
    back();
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("executions", &run.status.as_ref().unwrap().current.execution_ids, &before.status.as_ref().unwrap().current.execution_ids);
    same("POSTs", world.sim.post_count(), 1);
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn a_running_run_says_that_its_credentials_were_revoked_and_is_followed_again() {
    let world = World::new("revoked", [Pipeline::new("orders").held()]);
    assert_followed_again(
        &world,
        || {
            world.sim.set_credentials(vec![]);
            world.sim.revoke_tokens();
        },
        "CredentialsRejected",
        || world.sim.set_credentials(vec![nuvo_sim::Credential::default()]),
    );
}

#[test]
fn a_running_run_says_that_its_account_is_gone_and_is_followed_again() {
    let world = World::new("deleted", [Pipeline::new("orders").held()]);
    assert_followed_again(
        &world,
        || _ = block_on(world.accounts().delete("default", &DeleteParams::default())).unwrap(),
        "There is no NuvoAccount default",
        || world.account("default"),
    );
}

#[test]
fn a_rotated_secret_needs_no_restart() {
    let world = World::with("rotation", config());
    let _operator = world.operator();
    world.start("before", "orders", json!({}));
    world.wait_phase("before", Phase::Succeeded);
    world.sim.set_credentials(vec![nuvo_sim::Credential::new("another-key", Identity::user("demo@example.com"))]);
    world.sim.revoke_tokens();
    world.start("after", "orders", json!({}));
    world.eventually("rejected", || {
        let journal = world.sim.journal();
        journal.iter().any(|request| request.operation == Operation::Token && request.status() == Some(401))
    });
    world.credential("nuvo-credentials", "another-key");
    let run = world.wait_phase("after", Phase::Succeeded);
    assert_consistent(&run);
    same("executions", world.sim.executed_count(), 2);
}

#[test]
fn a_secret_rotated_while_a_trigger_is_out_costs_no_minute() {
    let world = World::with("rotated", config());
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = world.operator_with(&["--trigger-timeout-seconds", "20", "--quarantine-seconds", "30"]);
    world.start("orders", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN));
    world.sim.set_credentials(vec![nuvo_sim::Credential::new("another-key", Identity::user("demo@example.com"))]);
    world.sim.revoke_tokens();
    world.credential("nuvo-credentials", "another-key");
    let begun = Instant::now();
    world.sim.release(fault);
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_consistent(&run);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (2, 1));
}

#[test]
fn credentials_that_are_rejected_at_the_trigger_are_the_accounts_affair() {
    let world = World::with("rejected", config());
    let _operator = world.operator();
    wait_account(&world, "default", "Ready");
    world.sim.set_credentials(vec![nuvo_sim::Credential::new("another-key", Identity::user("demo@example.com"))]);
    world.sim.add_fault(Fault::on(Operation::Create, Effect::status(401)).once());
    world.start("orders", "orders", json!({}));
    let run = world.wait_reason("orders", "AccountNotReady");
    assert_consistent(&run);
    same("phase", run.status.unwrap().phase, Some(Phase::Pending));
    wait_account(&world, "default", "CredentialsRejected");
    world.credential("nuvo-credentials", "another-key");
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (2, 1));
}

#[test]
fn an_access_token_and_the_other_edition_work_as_well() {
    let world = World::without_account("editions", config());
    world.sim.set_access_tokens(vec![AccessToken::new("a-made-token", Identity::user("made@example.com"))]);
    let _operator = world.operator();
    world.credential("nuvo-credentials", "demo-license-key");
    world.credential("token", "a-made-token");
    world.account_with(
        "ingestro",
        json!({ "licenseKey": {
            "secretRef": { "name": "nuvo-credentials", "key": "license-key" },
            "identifier": "demo@example.com",
            "identityType": "USER",
            "tokenPath": "access/token",
        } }),
    );
    world.account_with("made", json!({ "licenseKey": null, "accessToken": { "secretRef": { "name": "token", "key": "license-key" } } }));
    world.start("one", "orders", json!({ "accountRef": { "name": "ingestro" } }));
    world.start("two", "orders", json!({ "accountRef": { "name": "made" } }));
    world.wait_phase("one", Phase::Succeeded);
    world.wait_phase("two", Phase::Succeeded);
    assert!(world.sim.journal().iter().any(|request| request.path.ends_with("/access/token")));
    same("POSTs", world.sim.post_count(), 2);
    let identity = |name: &str| block_on(world.accounts().get(name)).unwrap().status.unwrap().identity;
    same("whose license key it is", identity("ingestro").as_deref(), Some("demo@example.com"));
    world
        .account_with("ingestro", json!({ "licenseKey": null, "accessToken": { "secretRef": { "name": "token", "key": "license-key" } } }));
    world.eventually("nobody's, as a token does not tell", || identity("ingestro").is_none());
    wait_account(&world, "ingestro", "Ready");
}

#[test]
fn a_status_of_the_account_that_cannot_be_written_keeps_no_run_waiting() {
    let world = World::with("unwritten", config());
    let proxy = Proxy::start(world.server).unwrap();
    let of_account = |request: &RequestInfo| request.method == "PUT" && request.path.contains("/nuvoaccounts/");
    proxy.set_rules(move |request| if of_account(request) { Action::Respond(Answer::json(500, "{}")) } else { Action::Forward });
    let _operator = world.operator_through(&proxy, &[]);
    world.start("orders", "orders", json!({}));
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    assert!(proxy.wait_for(|exchange| of_account(&exchange.request), WITHIN).is_some());
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_paused_account_holds_up_no_other_one_and_no_shutdown() {
    let doubtful = ["a", "b", "c", "d"];
    let pipelines = doubtful.into_iter().chain(["orders"]).map(|id| Pipeline::new(id).duration(Duration::from_millis(300)));
    let world = World::with("paused", SimConfig { pipelines: pipelines.collect(), ..SimConfig::default() });
    world.account("other");
    for pipeline in doubtful {
        world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).pipeline(pipeline));
    }
    let operator = world.operator_with(&["--max-concurrent-reconciles", "2", "--trigger-settle-seconds", "600"]);
    for pipeline in doubtful {
        world.start(pipeline, pipeline, json!({}));
    }
    for pipeline in doubtful {
        world.wait_reason(pipeline, "TriggerUnconfirmed");
    }
    // Each of them is looked for in a list of its pipeline.
    for pipeline in doubtful {
        world.sim.add_fault(Fault::on(Operation::List, Effect::too_many_requests(600)).pipeline(pipeline));
    }
    let refused = || {
        let journal = world.sim.journal();
        journal.iter().filter(|request| request.operation == Operation::List && request.status() == Some(429)).count()
    };
    world.eventually("paused", || refused() > 0);
    world.start("orders", "orders", json!({ "accountRef": { "name": "other" } }));
    world.wait_phase("orders", Phase::Succeeded);
    for pipeline in doubtful {
        same(pipeline, reason(&world.get(pipeline)), "TriggerUnconfirmed");
        same("POSTs", world.sim.post_count_of(pipeline), 1);
    }
    assert!(refused() <= 2, "as many as were under way at once, and none in the pause: {}", refused());
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn an_account_whose_nuvo_hangs_holds_up_no_other_one() {
    let hanging: Vec<String> = (0..20).map(|number| format!("hanging-{number}")).collect();
    let pipelines = hanging.iter().map(String::as_str).chain(["orders"]).map(|id| Pipeline::new(id).duration(Duration::from_millis(300)));
    let world = World::with("hanging", SimConfig { pipelines: pipelines.collect(), ..SimConfig::default() });
    world.account("other");
    let hangs = |pipeline: &String| world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).pipeline(pipeline));
    let faults: Vec<_> = hanging.iter().map(hangs).collect();
    let _operator =
        world.operator_with(&["--max-concurrent-reconciles", "2", "--trigger-timeout-seconds", "40", "--quarantine-seconds", "60"]);
    for pipeline in &hanging {
        world.start(pipeline, pipeline, json!({}));
    }
    // Of sixteen that may wait for nuvo, two are kept for what needs no nuvo, and of the rest one account takes half.
    world.eventually("its share of seats taken", || world.sim.post_count() == 7);
    for number in 0..5 {
        let name = format!("orders-{number}");
        world.start(&name, "orders", json!({ "accountRef": { "name": "other" } }));
        assert_consistent(&world.wait_phase(&name, Phase::Succeeded));
    }
    same("POSTs that hang", world.sim.post_count() - 5, 7);
    for fault in faults {
        world.sim.remove_fault(fault);
        world.sim.release(fault);
    }
    for pipeline in &hanging {
        world.wait_phase(pipeline, Phase::Succeeded);
    }
    same("POSTs", world.sim.post_count(), 25);
}

#[test]
fn a_proxy_of_the_environment_is_used_only_when_asked_for() {
    let world = World::without_account("proxy", config());
    world.credential("nuvo-credentials", "demo-license-key");
    // Nobody has this name, so only a proxy can get there: the simulator, which takes what is sent to a proxy as well.
    world.account_with("default", json!({ "baseUrl": "http://nuvo.invalid/dp/api/v1" }));
    let proxy = format!("http://{}", world.sim.address());
    let environment = [("HTTP_PROXY", proxy.as_str()), ("HTTPS_PROXY", &proxy), ("NO_PROXY", "")];
    let flags = ["--allowed-base-url", "http://nuvo.invalid"];
    let operator = world.operator_in(&environment, &world.kubeconfig, &flags);
    wait_account(&world, "default", "NuvoUnavailable");
    same("requests", world.sim.journal().len(), 0);
    same("exit code", operator.stop(), Some(0));
    let _operator = world.operator_in(&environment, &world.kubeconfig, &[flags.as_slice(), &["--use-env-proxy", "true"]].concat());
    world.start("orders", "orders", json!({}));
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", world.sim.post_count(), 1);
}
