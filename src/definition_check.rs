//! Compares the installed definitions with those of this version, again and again.

use std::time::Duration;

use kube::Client;
use nuvo_crds::ServedDefinition;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{context::Context, definitions::KINDS};

/// The OpenAPI document of the group, which every authenticated client may read.
const DOCUMENT: &str = "/openapi/v3/apis/nuvo.dev/v1alpha1";
/// How long it may take to read it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two comparisons.
const PERIOD: Duration = Duration::from_secs(600);
/// The same while a definition is too old, or cannot be read.
const RECHECK: Duration = Duration::from_secs(30);

/// Compares the installed definitions with those of this version. Returns when to do so again. A failure stops nothing.
pub async fn check_definitions(context: &Context) -> Duration {
    let document = match timeout(TIMEOUT, read(&context.client)).await {
        Ok(Ok(document)) => document,
        Ok(Err(error)) => return unknown(&error.to_string()),
        Err(_elapsed) => return unknown("no answer in time"),
    };
    let served: Vec<ServedDefinition> = KINDS.iter().filter_map(|kind| ServedDefinition::find(&document, kind)).collect();
    let all_current = served.len() == KINDS.len() && served.iter().all(|served| served.gaps().is_empty());
    context.definitions.set(served, &context.metrics, &context.health);
    if all_current { PERIOD } else { RECHECK }
}

fn unknown(error: &str) -> Duration {
    tracing::warn!(error, "the installed definitions cannot be compared with those of this version, trying again");
    RECHECK
}

async fn read(client: &Client) -> kube::Result<Value> {
    let request = http::Request::get(DOCUMENT).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// Compares them again and again.
pub async fn watch_definitions(context: &Context, mut next: Duration) {
    loop {
        sleep(next).await;
        next = check_definitions(context).await;
    }
}
