use std::time::Duration;

use nuvo_sim::{AccessToken, Credential, Identity, Permission, Pipeline, SimConfig};
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_client::{KEY, TOKEN, TestClient, config, json, me, start, with};

fn wish(key: &str, identifier: &str, kind: &str) -> Value {
    json!({"license_key": key, "auth": {"identifier": identifier, "type": kind}})
}

async fn trade(sim: &TestClient, path: &str, body: Value) -> (u16, Value) {
    let response = sim.client.post(format!("{}{path}", sim.base_url())).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn status_with(sim: &TestClient, token: &str) -> u16 {
    sim.send(Method::GET, "execution/", token, None).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn license_key_at_both_paths_is_traded_for_a_token() {
    let sim = with([]);
    for path in ["auth/access-token", "access/token"] {
        let (status, answer) = trade(&sim, path, wish(KEY, "me@example.com", "USER")).await;
        assert_eq!(status, 200);
        assert_eq!(status_with(&sim, answer["access_token"].as_str().unwrap()).await, 200);
    }
    assert_eq!(sim.journal()[0].body["license_key"], "***", "the journal keeps no secret");
}

#[tokio::test]
async fn license_key_with_wrong_identity_is_refused() {
    let sim = with([]);
    for body in [wish("other", "me@example.com", "USER"), wish(KEY, "you@example.com", "USER"), wish(KEY, "me@example.com", "SUB_ORG")] {
        let (status, answer) = trade(&sim, "access/token", body).await;
        assert_eq!(status, 401, "{answer}");
        assert!(answer["error"]["message"].is_string());
    }
    assert_eq!(trade(&sim, "access/token", json!({"license_key": KEY})).await.0, 400);
}

#[tokio::test]
async fn token_of_a_sub_organization_can_be_wrapped_and_expires() {
    let sim = start(SimConfig {
        credentials: vec![Credential::new(KEY, Identity::sub_org("acme"))],
        wrap_token: true,
        token_life: Some(Duration::ZERO),
        ..config([])
    });
    let (status, answer) = trade(&sim, "auth/access-token", wish(KEY, "acme", "SUB_ORG")).await;
    assert_eq!(status, 200);
    assert_eq!(status_with(&sim, answer["data"]["access_token"].as_str().unwrap()).await, 401);
}

#[tokio::test]
async fn token_revoked_or_license_key_rotated_is_refused() {
    let sim = with([]);
    let (_, answer) = trade(&sim, "access/token", wish(KEY, "me@example.com", "USER")).await;
    let token = answer["access_token"].as_str().unwrap().to_owned();
    sim.set_credentials(vec![Credential::new("new-key", me())]);
    assert_eq!(status_with(&sim, &token).await, 200, "a rotation alone leaves the tokens");
    sim.revoke_tokens();
    assert_eq!(status_with(&sim, &token).await, 401);
    assert_eq!(status_with(&sim, TOKEN).await, 401);
    assert_eq!(trade(&sim, "access/token", wish(KEY, "me@example.com", "USER")).await.0, 401);
    assert_eq!(trade(&sim, "access/token", wish("new-key", "me@example.com", "USER")).await.0, 200);
    sim.set_access_tokens(vec![AccessToken::new("another", me())]);
    assert_eq!(status_with(&sim, "another").await, 200);
}

#[tokio::test]
async fn token_deleted_by_its_header_is_refused() {
    let sim = with([]);
    let delete = async || {
        let request = sim.client.delete(format!("{}auth/access-token", sim.base_url())).header("access_token", TOKEN);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((delete().await, delete().await), (200, 401));
    assert_eq!(status_with(&sim, TOKEN).await, 401);
}

#[tokio::test]
async fn token_without_permission_is_refused_before_execution() {
    let tokens = vec![
        AccessToken::new("reader", me()).permissions([Permission::Read]),
        AccessToken::new("starter", me()).permissions([Permission::Create]),
    ];
    let sim = start(SimConfig { access_tokens: tokens, ..config([Pipeline::new("orders")]) });
    let post = async |token: &str| {
        let response = sim.send(Method::POST, "execution/", token, Some(json!({"pipeline_id": "orders"}))).await.unwrap();
        response.status().as_u16()
    };
    assert_eq!(post("reader").await, 403);
    assert_eq!(post("unknown").await, 401);
    assert_eq!((sim.post_count(), sim.executed_count()), (2, 0));
    assert_eq!(post("starter").await, 201);
    assert_eq!((sim.post_count(), sim.executed_count()), (3, 1));
    let id = sim.executions()[0].id.clone();
    for path in ["execution/".to_owned(), format!("execution/{id}")] {
        assert_eq!(sim.send(Method::GET, &path, "starter", None).await.unwrap().status().as_u16(), 403);
        assert_eq!(sim.send(Method::GET, &path, "reader", None).await.unwrap().status().as_u16(), 200);
    }
    let identities: Vec<_> = sim.journal().into_iter().map(|request| request.identity.is_some()).collect();
    assert_eq!(identities, [true, false, true, true, true, true, true]);
    let unauthorized = json(sim.send(Method::GET, "pipeline/orders", "unknown", None).await.unwrap(), 401).await;
    assert_eq!(unauthorized["error"]["code"], "UNAUTHORIZED");
}
