//! `NuvoAccount`: where nuvo is, the credentials for it, and how many requests the operator may send.

#![allow(clippy::duplicated_attributes, reason = "the lint takes the fields of different printer columns for one attribute")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// nuvo's public Execution API.
pub const DEFAULT_BASE_URL: &str = "https://api-gateway.getnuvo.com/dp/api/v1";
/// The path below the base URL at which nuvo exchanges a license key for a token.
pub const DEFAULT_TOKEN_PATH: &str = "auth/access-token";

/// How to reach nuvo.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "nuvo.dev",
    version = "v1alpha1",
    kind = "NuvoAccount",
    plural = "nuvoaccounts",
    singular = "nuvoaccount",
    shortname = "nacct",
    category = "nuvo",
    namespaced,
    status = "NuvoAccountStatus",
    derive = "PartialEq",
    doc = "Credentials for nuvo, and the request budget that all runs of the account share.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether nuvo accepts the credentials"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Reason of the condition Ready"
    ),
    printcolumn(
        name = "Identity",
        type_ = "string",
        json_path = ".status.identity",
        description = "Identity as which nuvo knows the operator"
    ),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.baseUrl", priority = 1, description = "Base URL of the API"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("has(self.licenseKey) != has(self.accessToken)")
    .message("set exactly one of licenseKey (a key that the operator exchanges for tokens) and accessToken (a token made elsewhere)"))]
#[serde(rename_all = "camelCase")]
pub struct NuvoAccountSpec {
    /// Base URL of the Execution API, at most 512 characters, default https://api-gateway.getnuvo.com/dp/api/v1. Its origin (scheme, host
    /// and port) must be one that the operator was started with (--allowed-base-url).
    #[serde(default = "default_base_url")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("self.startsWith('https://') || self.startsWith('http://')")
            .message("baseUrl must start with https:// or http://, for example https://api-gateway.getnuvo.com/dp/api/v1"),
        validation = Rule::new("!self.contains('@')")
            .message("baseUrl must not contain a user name or password: remove everything up to '@', and name a Secret in licenseKey or accessToken"),
        validation = Rule::new("!self.contains('?') && !self.contains('#')")
            .message("baseUrl must not have a query or a fragment: remove everything from '?' or '#'"),
        // Only what the rules above let through, so that one mistake gets one message.
        validation = Rule::new("!self.matches('^https?://[^@?#]*$') || self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$')")
            .message("baseUrl must be scheme, host, an optional port and an optional path of letters, digits, '.', '_', '~', '-' and '/', for example https://nuvo.example.com:8443/dp/api/v1")
    )]
    pub base_url: String,

    /// A license key, which the operator exchanges for short-lived tokens. Exactly one of licenseKey and accessToken is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_key: Option<LicenseKey>,

    /// An access token that was made elsewhere. Exactly one of licenseKey and accessToken is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<AccessToken>,

    /// TLS of the connections to nuvo, for a server with a private authority or one that wants a client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<AccountTls>,

    /// Maximum number of requests per second to nuvo, shared by all runs of the account: 1 to 1000, default 5.
    #[serde(default = "default_requests_per_second")]
    #[schemars(range(min = 1, max = 1_000))]
    pub requests_per_second: i32,

    /// Maximum time between two polls of running executions, in seconds: 1 to 3600, default 10. Young executions are polled more often.
    #[serde(default = "default_poll_period")]
    #[schemars(range(min = 1, max = 3_600))]
    pub poll_period_seconds: i32,

    /// Time between two looks at the newest executions of the account for its NuvoPipelines, in seconds: 15 to 3600, default 60. All
    /// NuvoPipelines of the account share a look; without one there is none.
    #[serde(default = "default_observe_period")]
    #[schemars(range(min = 15, max = 3_600))]
    pub observe_period_seconds: i32,
}

fn default_base_url() -> String {
    DEFAULT_BASE_URL.to_owned()
}

const fn default_requests_per_second() -> i32 {
    5
}

const fn default_poll_period() -> i32 {
    10
}

const fn default_observe_period() -> i32 {
    60
}

impl Default for NuvoAccountSpec {
    /// What the API server fills in; there are no credentials.
    fn default() -> Self {
        Self {
            base_url: default_base_url(),
            license_key: None,
            access_token: None,
            tls: None,
            requests_per_second: default_requests_per_second(),
            poll_period_seconds: default_poll_period(),
            observe_period_seconds: default_observe_period(),
        }
    }
}

/// A license key and its owner.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["identifier", "identityType", "secretRef"]))]
pub struct LicenseKey {
    /// Reference to the Secret with the license key.
    pub secret_ref: SecretRef,

    /// The user's e-mail address or the sub-organization's identifier: 1 to 256 characters.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[^[:cntrl:]]*$') && self.trim() == self")
        .message("identifier must not have line breaks or spaces around it: write the e-mail address or the sub-organization's identifier as nuvo shows it"))]
    pub identifier: String,

    /// Kind of the identifier: USER or SUB_ORG.
    // None stands for a word that this version does not know: an account that cannot be read would stall the watch of all of them.
    #[serde(default, deserialize_with = "super::tolerant::known_or_none", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdentityType")]
    pub identity_type: Option<IdentityType>,

    /// Path below baseUrl at which the operator exchanges the key for a token, at most 256 characters: default auth/access-token; for
    /// Ingestro access/token.
    #[serde(default = "default_token_path")]
    // `nuvo_client::Credential` checks this again, because it trusts no object.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$') && self.split('/').all(s, s != '.' && s != '..')").message(
        "tokenPath is a path below baseUrl, without scheme, host, leading or trailing '/', the segments '.' and '..' or query: write for example auth/access-token or access/token"
    ))]
    pub token_path: String,
}

fn default_token_path() -> String {
    DEFAULT_TOKEN_PATH.to_owned()
}

/// What the identifier of a license key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum IdentityType {
    #[serde(rename = "USER")]
    User,
    #[serde(rename = "SUB_ORG")]
    SubOrg,
}

/// An access token that was made elsewhere.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessToken {
    /// Reference to the Secret with the token.
    pub secret_ref: SecretRef,
}

/// Whom the operator trusts to be nuvo, and the certificate that it shows.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountTls {
    /// Certificates of authorities that may vouch for nuvo, in addition to the public ones and those of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,

    /// Reference to a Secret of the type kubernetes.io/tls (keys tls.crt and tls.key) with the certificate that the operator shows to nuvo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<TlsObjectRef>,
}

/// Certificates in PEM, in a ConfigMap or a Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.configMapRef) != has(self.secretRef)")
    .message("set exactly one of configMapRef and secretRef"))]
pub struct CaBundle {
    /// Reference to the ConfigMap. Exactly one of configMapRef and secretRef is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<TlsObjectRef>,

    /// Reference to the Secret. Exactly one of configMapRef and secretRef is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<TlsObjectRef>,

    /// Key in the ConfigMap or Secret, default ca.crt.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._-]+$')")
        .message("key must be a key of the ConfigMap or Secret: letters, digits, '.', '_' and '-', for example ca.crt"))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

/// A ConfigMap or a Secret in the namespace of the account. A Secret carries the label nuvo.dev/credential: "true".
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsObjectRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')")
        .message("name must be the name of an object in this namespace: lower-case letters, digits, '-' and '.', for example nuvo-tls"))]
    pub name: String,
}

/// One key of a Secret in the namespace of the account. The Secret carries the label nuvo.dev/credential: "true".
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')")
        .message("secretRef.name must be the name of a Secret in this namespace: lower-case letters, digits, '-' and '.', for example nuvo-credentials"))]
    pub name: String,

    /// Key in the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._-]+$')")
        .message("secretRef.key must be a key of the Secret's data: letters, digits, '.', '_' and '-', for example license-key"))]
    pub key: String,
}

/// Most recently observed state of the account. Written by the operator only.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = serde_json::json!({ "observedGeneration": -1 })))]
pub struct NuvoAccountStatus {
    /// The metadata.generation that this status is about; -1 until the operator has seen the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,

    /// Latest observations of the account: Ready, and Reconciling and Stalled as kstatus reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,

    /// Identity as which nuvo knows the operator: as nuvo shows it for what the account has started, else as the account names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub identity: Option<String>,

    /// Hash of baseUrl and of the version of the Secret for which nuvo has shown the identity, not of what the Secret contains. Other
    /// credentials do not inherit the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub identity_source: Option<String>,
}
