//! The account of an environment, as it is written to the API server.

use k8s_openapi::api::core::v1::Secret;
use nuvo_crds::NuvoAccount;
use serde_json::json;

/// The identity of the default account.
pub const IDENTIFIER: &str = "demo@example.com";
/// The Secret with its license key.
pub const SECRET: &str = "nuvo-credentials";
const SECRET_KEY: &str = "license-key";

/// A Secret with this license key.
pub fn secret(key: &str) -> Result<Secret, serde_json::Error> {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": SECRET, "labels": { "nuvo.dev/credential": "true" } },
        "stringData": { SECRET_KEY: key },
    }))
}

/// The default account, with this identity.
pub fn account(base_url: &str, identifier: &str) -> Result<NuvoAccount, serde_json::Error> {
    serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoAccount",
        "metadata": { "name": "default" },
        "spec": {
            "baseUrl": base_url,
            "licenseKey": { "secretRef": { "name": SECRET, "key": SECRET_KEY }, "identifier": identifier, "identityType": "USER" },
            "requestsPerSecond": 100,
            "pollPeriodSeconds": 1,
        },
    }))
}
