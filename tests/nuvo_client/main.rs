//! The client of the Execution API against raw sockets: what is sent, how often, and what each answer or silence means.

// Test helpers outside of #[test] functions are test code, too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod connections;
mod credentials;
mod lists;
mod reads;
mod request_metrics;
mod server;
mod session;
mod trigger;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nuvo_client::{Client, Credential, Exchange, IdentityType, Origins, Settings};
use nuvo_core::run::{ExecutionId, Nonce, PipelineId, PostOutcome};
use secrecy::SecretString;
use server::{Answer, Server, json};

const TOKEN: &str = "POST /api/auth/access-token";
const CREATE: &str = "POST /api/execution/";

fn settings() -> Settings {
    Settings {
        trigger_timeout: Duration::from_millis(1_200),
        request_timeout: Duration::from_millis(600),
        connect_timeout: Duration::from_millis(250),
        ..Settings::default()
    }
}

fn with_settings(origin: &str, credential: Credential, settings: Settings) -> Client {
    // A second call of the same process finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let base = Origins::parse([origin]).unwrap().check(&format!("{origin}/api")).unwrap();
    Client::new(base, credential, settings).unwrap()
}

fn fixed() -> Credential {
    Credential::AccessToken(SecretString::from("FIXED-TOKEN"))
}

fn license() -> Credential {
    Credential::LicenseKey {
        key: SecretString::from("LICENSE"),
        identifier: "me@example.com".into(),
        identity_type: IdentityType::User,
        token_path: "auth/access-token".into(),
    }
}

fn client(server: &Server) -> Client {
    with_settings(&server.origin, fixed(), settings())
}

fn p() -> PipelineId {
    PipelineId::new("p").unwrap()
}

fn e(id: &str) -> ExecutionId {
    ExecutionId::new(id).unwrap()
}

async fn trigger_exchange(client: &Client) -> Exchange<PostOutcome> {
    client.create(&p(), &Nonce::new("nonce-1").unwrap()).await
}

async fn trigger(client: &Client) -> PostOutcome {
    trigger_exchange(client).await.result
}

/// Gives tokens T1, T2, …; everything else is answered by `api`.
async fn with_tokens(api: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
    let made = AtomicUsize::new(0);
    Server::start(move |request| {
        if request.starts_with(TOKEN) {
            let n = made.fetch_add(1, Ordering::SeqCst) + 1;
            Answer::After(Duration::from_millis(100), Box::new(json(200, &format!(r#"{{"data":{{"access_token":"T{n}"}}}}"#))))
        } else {
            api(request)
        }
    })
    .await
}
