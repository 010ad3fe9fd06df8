//! An HTTP client of the simulator, and waiting with a bound.

use std::{
    ops::Deref,
    time::{Duration, Instant},
};

use nuvo_sim::{AccessToken, Credential, Identity, Pipeline, Sim, SimConfig};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// Long enough for a busy machine; only a failing test waits for all of it.
pub const BOUND: Duration = Duration::from_secs(20);
pub const KEY: &str = "the-key";
pub const TOKEN: &str = "a-fixed-token";

pub fn me() -> Identity {
    Identity::user("me@example.com")
}

/// A configuration with these pipelines, one license key and one fixed token.
pub fn config(pipelines: impl Into<Vec<Pipeline>>) -> SimConfig {
    SimConfig {
        pipelines: pipelines.into(),
        credentials: vec![Credential::new(KEY, me())],
        access_tokens: vec![AccessToken::new(TOKEN, me())],
        ..SimConfig::default()
    }
}

/// A simulator and an HTTP client for it.
pub struct TestClient {
    pub sim: Sim,
    pub client: Client,
}

impl Deref for TestClient {
    type Target = Sim;

    fn deref(&self) -> &Sim {
        &self.sim
    }
}

pub fn client() -> Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(BOUND)
        .user_agent("tester/1")
        .build()
        .unwrap()
}

pub fn start(config: SimConfig) -> TestClient {
    TestClient { sim: Sim::start(config).unwrap(), client: client() }
}

/// A simulator with these pipelines.
pub fn with(pipelines: impl Into<Vec<Pipeline>>) -> TestClient {
    start(config(pipelines))
}

/// Asserts the status and reads the JSON.
pub async fn json(response: Response, status: u16) -> Value {
    let got = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).unwrap()
}

impl TestClient {
    pub async fn send(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> reqwest::Result<Response> {
        let mut request = self.client.request(method, format!("{}{path}", self.base_url())).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await
    }

    pub async fn post(&self, pipeline: &str) -> reqwest::Result<Response> {
        self.send(Method::POST, "execution/", TOKEN, Some(json!({"pipeline_id": pipeline}))).await
    }

    /// Starts a pipeline; the ids of its executions.
    pub async fn create(&self, pipeline: &str) -> Vec<String> {
        let answer = json(self.post(pipeline).await.unwrap(), 201).await;
        answer["data"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn get(&self, path: &str) -> Value {
        json(self.send(Method::GET, path, TOKEN, None).await.unwrap(), 200).await
    }

    pub async fn read(&self, id: &str) -> Value {
        self.get(&format!("execution/{id}")).await["data"].take()
    }

    pub async fn list(&self, query: &[(&str, &str)]) -> Value {
        let request = self.client.get(format!("{}execution/", self.base_url())).bearer_auth(TOKEN).query(query);
        json(request.send().await.unwrap(), 200).await
    }

    /// The ids of a page.
    pub async fn ids(&self, query: &[(&str, &str)]) -> Vec<String> {
        let page = self.list(query).await;
        page["data"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Reads an execution until it has this status.
    pub async fn read_until(&self, id: &str, status: &str) -> Value {
        until(status, async || Some(self.read(id).await).filter(|execution| execution["status"] == status)).await
    }

    /// Waits for a fault without holding up the test's own tasks.
    pub async fn reached(&self, fault: nuvo_sim::FaultId) {
        until("the fault is reached", async || (self.fault_count(fault) > 0).then_some(())).await;
    }
}

/// Asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
