//! Accounts: what makes them ready, and runs that wait for them.

use std::time::Duration;

use controlplane::{
    Proxy,
    proxy::{Action, Answer, RequestInfo},
};
use kube::api::DeleteParams;
use nuvo_crds::{Evidence, NuvoAccount, Phase, TriggerState};
use nuvo_sim::{AccessToken, Effect, Fault, Identity, Operation, Permission, Pipeline, SimConfig};
use serde_json::json;

use crate::environment::{Environment, WITHIN, assert_consistent, block_on, message, reason, same};

fn config() -> SimConfig {
    SimConfig { pipelines: vec![Pipeline::new("orders").duration(Duration::from_millis(300))], ..SimConfig::default() }
}

fn ready(account: &NuvoAccount) -> (String, String) {
    let conditions = account.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    found.map(|condition| (condition.reason, condition.message)).unwrap_or_default()
}

fn wait_account(env: &Environment, name: &str, wanted: &str) -> (NuvoAccount, String) {
    let get = || block_on(env.accounts().get(name)).unwrap();
    env.eventually(&format!("account {name} {wanted}"), || ready(&get()).0 == wanted);
    let account = get();
    let message = ready(&account).1;
    let status = account.status.as_ref().unwrap();
    same("observedGeneration", status.observed_generation, account.metadata.generation);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == account.metadata.generation));
    (account, message)
}

#[test]
fn run_without_account_waits_and_starts_once_it_is_ready() {
    let env = Environment::without_account("waiting", config());
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let run = env.wait_reason("orders", "AccountNotReady");
    assert_consistent(&run);
    assert!(message(&run).contains("NuvoAccount default"), "{}", message(&run));
    env.account("default");
    wait_account(&env, "default", "SecretNotFound");
    let run = env.wait("orders", "showing the Secret", |run| message(run).contains("Secret"));
    same("phase", run.status.unwrap().phase, Some(Phase::Pending));
    same("POSTs", env.sim.post_count(), 0);
    env.secret("nuvo-credentials", "demo-license-key", false);
    env.eventually("showing the label", || ready(&block_on(env.accounts().get("default")).unwrap()).1.contains("nuvo.dev/credential"));
    env.credential("nuvo-credentials", "demo-license-key");
    env.wait_phase("orders", Phase::Succeeded);
    let (account, _) = wait_account(&env, "default", "Ready");
    same("identity", account.status.unwrap().identity.as_deref(), Some("demo@example.com"));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn account_with_a_problem_shows_it_as_reason() {
    let env = Environment::without_account("reasons", config());
    env.sim.set_credentials(vec![
        nuvo_sim::Credential::default(),
        nuvo_sim::Credential::new("reads-nothing", Identity::user("demo@example.com")).permissions([Permission::Create]),
    ]);
    let _operator = env.operator();
    env.credential("nuvo-credentials", "demo-license-key");
    env.credential("wrong", "no-such-key");
    env.credential("empty", "  ");
    env.credential("cannot-read", "reads-nothing");
    let with_secret = |name: &str| json!({ "licenseKey": { "secretRef": { "name": name, "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER" } });
    env.account("fine");
    env.account_with("missing", with_secret("missing"));
    env.account_with("wrong", with_secret("wrong"));
    env.account_with("empty", with_secret("empty"));
    env.account_with("cannot-read", with_secret("cannot-read"));
    env.account_with("elsewhere", json!({ "baseUrl": "http://127.0.0.1:1/dp/api/v1" }));
    let token_path = |path: &str| json!({ "licenseKey": { "secretRef": { "name": "nuvo-credentials", "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER", "tokenPath": path } });
    env.account_with("no-endpoint", token_path("auth/tokens"));
    let elsewhere = format!("http://{}/elsewhere", env.sim.address());
    let made = json!({ "secretRef": { "name": "nuvo-credentials", "key": "license-key" } });
    env.account_with("no-api", json!({ "baseUrl": elsewhere, "licenseKey": null, "accessToken": made }));
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
        let (_, message) = wait_account(&env, name, reason);
        assert!(message.contains(word), "{name}: {message}");
    }
}

#[test]
fn unavailable_nuvo_is_not_reported_as_rejected_credentials() {
    let env = Environment::without_account("away", config());
    let fault = env.sim.add_fault(Fault::any(Effect::status(500)));
    let _operator = env.operator();
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    env.start("orders", "orders", json!({}));
    wait_account(&env, "default", "NuvoUnavailable");
    same("reason", reason(&env.wait_reason("orders", "AccountNotReady")), "AccountNotReady");
    env.sim.remove_fault(fault);
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 1);
}

/// What a running run shows while its account cannot be used, and that the run is followed again afterwards.
fn assert_followed_again(env: &Environment, away: impl FnOnce(), reason_of_account: &str, back: impl FnOnce()) {
    let operator = env.operator();
    env.start("orders", "orders", json!({}));
    let before = env.wait_phase("orders", Phase::Running);
    away();
    let run = env.wait("orders", "showing that it is not followed", |run| message(run).contains(reason_of_account));
    assert_consistent(&run);
    same("phase and reason", (run.status.as_ref().unwrap().phase, reason(&run)), (Some(Phase::Running), "Running"));
    let id = &before.status.as_ref().unwrap().current.execution_ids[0];
    assert!(message(&run).contains(id) && message(&run).contains("by itself"), "{}", message(&run));
    // What happens meanwhile is not missed.
    env.sim.finish(id, nuvo_sim::Status::Successful).unwrap();
    back();
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("executions", &run.status.as_ref().unwrap().current.execution_ids, &before.status.as_ref().unwrap().current.execution_ids);
    same("POSTs", env.sim.post_count(), 1);
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn running_run_with_revoked_credentials_says_so_and_is_followed_again() {
    let env = Environment::new("revoked", [Pipeline::new("orders").held()]);
    assert_followed_again(
        &env,
        || {
            env.sim.set_credentials(vec![]);
            env.sim.revoke_tokens();
        },
        "CredentialsRejected",
        || env.sim.set_credentials(vec![nuvo_sim::Credential::default()]),
    );
}

#[test]
fn running_run_with_deleted_account_says_so_and_is_followed_again() {
    let env = Environment::new("deleted", [Pipeline::new("orders").held()]);
    assert_followed_again(
        &env,
        || _ = block_on(env.accounts().delete("default", &DeleteParams::default())).unwrap(),
        "There is no NuvoAccount default",
        || env.account("default"),
    );
}

#[test]
fn secret_rotated_is_used_without_restart() {
    let env = Environment::with("rotation", config());
    let _operator = env.operator();
    env.start("before", "orders", json!({}));
    env.wait_phase("before", Phase::Succeeded);
    env.sim.set_credentials(vec![nuvo_sim::Credential::new("another-key", Identity::user("demo@example.com"))]);
    env.sim.revoke_tokens();
    env.start("after", "orders", json!({}));
    env.eventually("rejected", || {
        let journal = env.sim.journal();
        journal.iter().any(|request| request.operation == Operation::Token && request.status() == Some(401))
    });
    env.credential("nuvo-credentials", "another-key");
    let run = env.wait_phase("after", Phase::Succeeded);
    assert_consistent(&run);
    same("executions", env.sim.executed_count(), 2);
}

#[test]
fn secret_rotated_during_a_trigger_delays_it_less_than_a_minute() {
    let env = Environment::with("rotated", config());
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = env.operator_with(&["--trigger-timeout-seconds", "20", "--quarantine-seconds", "600"]);
    env.start("orders", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    env.sim.set_credentials(vec![nuvo_sim::Credential::new("another-key", Identity::user("demo@example.com"))]);
    env.sim.revoke_tokens();
    env.credential("nuvo-credentials", "another-key");
    env.sim.release(fault);
    // Long before a quarantine would be over.
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (2, 1));
}

#[test]
fn credentials_rejected_at_the_trigger_make_the_account_not_ready() {
    let env = Environment::with("rejected", config());
    let _operator = env.operator();
    wait_account(&env, "default", "Ready");
    env.sim.set_credentials(vec![nuvo_sim::Credential::new("another-key", Identity::user("demo@example.com"))]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::status(401)).once());
    env.start("orders", "orders", json!({}));
    let run = env.wait_reason("orders", "AccountNotReady");
    assert_consistent(&run);
    same("phase", run.status.unwrap().phase, Some(Phase::Pending));
    wait_account(&env, "default", "CredentialsRejected");
    env.credential("nuvo-credentials", "another-key");
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (2, 1));
}

/// An account with an access token works, and one with the token path of the other edition, Ingestro.
#[test]
fn access_token_and_ingestro_token_path_make_the_account_ready() {
    let env = Environment::without_account("editions", config());
    env.sim.set_access_tokens(vec![AccessToken::new("a-made-token", Identity::user("made@example.com"))]);
    let _operator = env.operator();
    env.credential("nuvo-credentials", "demo-license-key");
    env.credential("token", "a-made-token");
    env.account_with(
        "ingestro",
        json!({ "licenseKey": {
            "secretRef": { "name": "nuvo-credentials", "key": "license-key" },
            "identifier": "demo@example.com",
            "identityType": "USER",
            "tokenPath": "access/token",
        } }),
    );
    env.account_with("made", json!({ "licenseKey": null, "accessToken": { "secretRef": { "name": "token", "key": "license-key" } } }));
    env.start("one", "orders", json!({ "accountRef": { "name": "ingestro" } }));
    env.start("two", "orders", json!({ "accountRef": { "name": "made" } }));
    env.wait_phase("one", Phase::Succeeded);
    env.wait_phase("two", Phase::Succeeded);
    assert!(env.sim.journal().iter().any(|request| request.path.ends_with("/access/token")));
    same("POSTs", env.sim.post_count(), 2);
    let identity = |name: &str| block_on(env.accounts().get(name)).unwrap().status.unwrap().identity;
    same("whose license key it is", identity("ingestro").as_deref(), Some("demo@example.com"));
    env.account_with("ingestro", json!({ "licenseKey": null, "accessToken": { "secretRef": { "name": "token", "key": "license-key" } } }));
    env.eventually("unknown, as a token does not show it", || identity("ingestro").is_none());
    wait_account(&env, "ingestro", "Ready");
}

/// An account with an access token of two that are valid.
fn environment_with_token(name: &str) -> Environment {
    let env = Environment::without_account(name, config());
    let token = |token: &str, user: &str| AccessToken::new(token, Identity::user(user));
    env.sim.set_access_tokens(vec![token("a-made-token", "Made@example.com"), token("another-token", "another@example.com")]);
    env.credential("token", "a-made-token");
    env.account_with("default", json!({ "licenseKey": null, "accessToken": { "secretRef": { "name": "token", "key": "license-key" } } }));
    env
}

fn identity(env: &Environment) -> Option<String> {
    block_on(env.accounts().get("default")).unwrap().status.unwrap_or_default().identity
}

/// A token does not show whose it is; only what was started with it does.
#[test]
fn identity_of_an_access_token_is_kept_so_that_a_restart_can_adopt() {
    let env = environment_with_token("kept");
    let operator = env.operator();
    env.start("first", "orders", json!({}));
    env.wait_phase("first", Phase::Succeeded);
    env.eventually("the identity is kept", || identity(&env).as_deref() == Some("Made@example.com"));
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).once());
    env.start("second", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    operator.kill();
    let _next = env.operator();
    let run = env.wait_phase("second", Phase::Succeeded);
    assert_consistent(&run);
    let trigger = run.status.unwrap().trigger.unwrap();
    same("how it is known", (trigger.state, trigger.evidence), (TriggerState::Accepted, Some(Evidence::Adopted)));
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (2, 2));
}

#[test]
fn identity_of_a_former_access_token_is_not_inherited() {
    let env = environment_with_token("former");
    let operator = env.operator();
    env.start("first", "orders", json!({}));
    env.wait_phase("first", Phase::Succeeded);
    env.eventually("the identity is kept", || identity(&env).as_deref() == Some("Made@example.com"));
    same("exit code", operator.stop(), Some(0));
    env.credential("token", "another-token");
    let _next = env.operator();
    env.eventually("it is forgotten", || identity(&env).is_none());
    env.wait_ready("default");
    env.start("second", "orders", json!({}));
    env.wait_phase("second", Phase::Succeeded);
    env.eventually("the other one is kept", || identity(&env).as_deref() == Some("another@example.com"));
}

#[test]
fn account_status_write_failure_delays_no_run() {
    let env = Environment::with("unwritten", config());
    let proxy = Proxy::start(env.server).unwrap();
    let of_account = |request: &RequestInfo| request.method == "PUT" && request.path.contains("/nuvoaccounts/");
    proxy.set_rules(move |request| if of_account(request) { Action::Respond(Answer::json(500, "{}")) } else { Action::Forward });
    let _operator = env.operator_through(&proxy, &[]);
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    assert!(proxy.wait_for(|exchange| of_account(&exchange.request), WITHIN).is_some());
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn paused_account_delays_no_other_account_and_no_shutdown() {
    let doubtful = ["a", "b", "c", "d"];
    let pipelines = doubtful.into_iter().chain(["orders"]).map(|id| Pipeline::new(id).duration(Duration::from_millis(300)));
    let env = Environment::with("paused", SimConfig { pipelines: pipelines.collect(), ..SimConfig::default() });
    env.account("other");
    for pipeline in doubtful {
        env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).pipeline(pipeline));
    }
    let operator = env.operator_with(&["--max-concurrent-reconciles", "2", "--trigger-settle-seconds", "600"]);
    for pipeline in doubtful {
        env.start(pipeline, pipeline, json!({}));
    }
    for pipeline in doubtful {
        env.wait_reason(pipeline, "TriggerUnconfirmed");
    }
    // The next list is one that they share, because nothing runs.
    env.sim.add_fault(Fault::on(Operation::List, Effect::too_many_requests(600)).once());
    let refused = || env.sim.journal().iter().position(|request| request.operation == Operation::List && request.status() == Some(429));
    env.eventually("paused", || refused().is_some());
    env.start("orders", "orders", json!({ "accountRef": { "name": "other" } }));
    env.wait_phase("orders", Phase::Succeeded);
    for pipeline in doubtful {
        same(pipeline, reason(&env.get(pipeline)), "TriggerUnconfirmed");
        same("POSTs", env.sim.post_count_of(pipeline), 1);
    }
    // Large pages, newest first, are asked for by runs in doubt only.
    let large = ("pagination[limit]".to_owned(), "1000".to_owned());
    let descending = ("sort[created_at]".to_owned(), "desc".to_owned());
    let looks = env.sim.journal()[refused().unwrap()..]
        .iter()
        .filter(|request| request.query.contains(&large) && request.query.contains(&descending))
        .count();
    same("looks since the pause began", looks, 1);
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn account_with_hanging_nuvo_delays_no_other_account() {
    let hanging: Vec<String> = (0..20).map(|number| format!("hanging-{number}")).collect();
    let pipelines = hanging.iter().map(String::as_str).chain(["orders"]).map(|id| Pipeline::new(id).duration(Duration::from_millis(300)));
    let env = Environment::with("hanging", SimConfig { pipelines: pipelines.collect(), ..SimConfig::default() });
    env.account("other");
    let hangs = |pipeline: &String| env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).pipeline(pipeline));
    let faults: Vec<_> = hanging.iter().map(hangs).collect();
    let _operator =
        env.operator_with(&["--max-concurrent-reconciles", "2", "--trigger-timeout-seconds", "40", "--quarantine-seconds", "60"]);
    for pipeline in &hanging {
        env.start(pipeline, pipeline, json!({}));
    }
    // Of sixteen that may wait for nuvo, two are kept for what needs no nuvo, and of the rest one account takes half.
    env.eventually("its share of seats taken", || env.sim.post_count() == 7);
    for number in 0..5 {
        let name = format!("orders-{number}");
        env.start(&name, "orders", json!({ "accountRef": { "name": "other" } }));
        assert_consistent(&env.wait_phase(&name, Phase::Succeeded));
    }
    same("POSTs that hang", env.sim.post_count() - 5, 7);
    for fault in faults {
        env.sim.remove_fault(fault);
        env.sim.release(fault);
    }
    for pipeline in &hanging {
        env.wait_phase(pipeline, Phase::Succeeded);
    }
    same("POSTs", env.sim.post_count(), 25);
}

#[test]
fn proxy_of_the_environment_is_used_only_with_the_flag() {
    let env = Environment::without_account("proxy", config());
    env.credential("nuvo-credentials", "demo-license-key");
    // No host has this name, so only a proxy can get there: the simulator, which accepts what is sent to a proxy, too.
    env.account_with("default", json!({ "baseUrl": "http://nuvo.invalid/dp/api/v1" }));
    let proxy = format!("http://{}", env.sim.address());
    let environment = [("HTTP_PROXY", proxy.as_str()), ("HTTPS_PROXY", &proxy), ("NO_PROXY", "")];
    let flags = ["--allowed-base-url", "http://nuvo.invalid"];
    let operator = env.operator_in(&environment, &env.kubeconfig, &flags);
    wait_account(&env, "default", "NuvoUnavailable");
    same("requests", env.sim.journal().len(), 0);
    same("exit code", operator.stop(), Some(0));
    let _operator = env.operator_in(&environment, &env.kubeconfig, &[flags.as_slice(), &["--use-env-proxy", "true"]].concat());
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", env.sim.post_count(), 1);
}
