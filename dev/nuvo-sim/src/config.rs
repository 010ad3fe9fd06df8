//! The configuration of a simulator: its address, its credentials, and which of the undocumented answers it gives.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{identity::Identity, pipeline::Pipeline};

/// Everything that is fixed when a simulator starts.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// The address to listen on.
    pub address: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The path in front of the API.
    pub base_path: String,
    /// The pipelines that exist from the start.
    pub pipelines: Vec<Pipeline>,
    /// License keys that can be traded for a token.
    pub credentials: Vec<Credential>,
    /// Access tokens that are valid without a trade.
    pub access_tokens: Vec<AccessToken>,
    /// How long a traded token is accepted; without it, until it is revoked.
    pub token_life: Option<Duration>,
    /// Whether the token comes wrapped in `data`.
    pub wrap_token: bool,
    /// The status of a successful POST.
    pub create_status: u16,
    /// The answer to a POST for a pipeline that does not exist.
    pub unknown_pipeline_status: u16,
    /// The answer to a POST for a pipeline that is inactive or a draft.
    pub inactive_pipeline_status: u16,
    /// The answer to a GET for an execution that does not exist.
    pub not_found_status: u16,
    /// The page size when the caller asks for none.
    pub default_limit: u64,
    /// The largest page the server gives; a larger wish is cut down to it.
    pub max_limit: u64,
    /// How long after its creation an execution first appears in the list. A GET by id finds it at once.
    pub list_lag: Duration,
    /// How far the server's clock is ahead of this machine's, in milliseconds. Negative: behind.
    pub clock_skew_ms: i64,
    /// What `pagination.total` counts.
    pub total: Total,
    /// Fields whose filters are accepted and not applied.
    pub ignored_filters: BTreeSet<String>,
    /// The order of the list.
    pub order: ListOrder,
    /// The zone of the times that name none, in the form of the variable TZ of POSIX, for example `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub local_zone: String,
    /// The oldest entries of the journal are forgotten beyond this number.
    pub journal_limit: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            base_path: "/dp/api/v1".to_owned(),
            pipelines: Vec::new(),
            credentials: vec![Credential::default()],
            access_tokens: Vec::new(),
            token_life: None,
            wrap_token: false,
            create_status: 201,
            unknown_pipeline_status: 404,
            inactive_pipeline_status: 422,
            not_found_status: 400,
            default_limit: 25,
            max_limit: 100,
            list_lag: Duration::ZERO,
            clock_skew_ms: 0,
            total: Total::Overall,
            ignored_filters: BTreeSet::new(),
            order: ListOrder::Asked,
            local_zone: "UTC0".to_owned(),
            journal_limit: 100_000,
        }
    }
}

/// What `pagination.total` counts: the page's text and its sample do not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Total {
    /// Everything that matches the filters.
    #[default]
    Overall,
    /// The entries of the page.
    Page,
}

/// The order of the list: the documentation does not promise that the one that was asked for is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ListOrder {
    /// The one that was asked for; without one, the newest come first.
    #[default]
    Asked,
    /// The newest come first, whatever was asked for.
    NewestFirst,
    /// The oldest come first, whatever was asked for.
    OldestFirst,
    /// One that has nothing to do with the time, and stays the same.
    Mixed,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
pub enum Permission {
    /// Start a pipeline.
    #[serde(rename = "execution.create")]
    #[value(name = "execution.create")]
    Create,
    /// Read executions.
    #[serde(rename = "execution.read")]
    #[value(name = "execution.read")]
    Read,
    /// Repair an execution.
    #[serde(rename = "execution.write")]
    #[value(name = "execution.write")]
    Write,
}

impl Permission {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Create, Self::Read, Self::Write];

    /// nuvo's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "execution.create",
            Self::Read => "execution.read",
            Self::Write => "execution.write",
        }
    }
}

/// A license key with the one identity it is accepted for.
#[derive(Clone)]
pub struct Credential {
    /// The key. Never shown again.
    pub license_key: String,
    /// Who may use it.
    pub identity: Identity,
    /// What its tokens allow.
    pub permissions: BTreeSet<Permission>,
}

impl Credential {
    /// A key with all permissions.
    pub fn new(license_key: impl Into<String>, identity: Identity) -> Self {
        Self { license_key: license_key.into(), identity, permissions: Permission::ALL.into() }
    }

    /// Leaves only these permissions.
    pub fn permissions(self, permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { permissions: permissions.into_iter().collect(), ..self }
    }
}

impl Default for Credential {
    fn default() -> Self {
        Self::new("demo-license-key", Identity::user("demo@example.com"))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("identity", &self.identity).field("permissions", &self.permissions).finish_non_exhaustive()
    }
}

/// A token that was made elsewhere.
#[derive(Clone)]
pub struct AccessToken {
    /// The token. Never shown again.
    pub token: String,
    /// Whose it is.
    pub identity: Identity,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
}

impl AccessToken {
    /// A token with all permissions.
    pub fn new(token: impl Into<String>, identity: Identity) -> Self {
        Self { token: token.into(), identity, permissions: Permission::ALL.into() }
    }

    /// Leaves only these permissions.
    pub fn permissions(self, permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self { permissions: permissions.into_iter().collect(), ..self }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("identity", &self.identity).field("permissions", &self.permissions).finish_non_exhaustive()
    }
}
