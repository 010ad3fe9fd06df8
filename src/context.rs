//! What the controllers share once the operator is connected.

use std::sync::Arc;

use kube::Client;

use crate::{checked_clock::CheckedClock, definitions::Definitions, health_server::Health, settings::Settings, telemetry::Metrics};

/// What the controllers share.
#[derive(Clone)]
pub struct Context {
    /// For all calls except the election. Without retries; every unary call needs its own timeout.
    pub client: Client,
    /// What the operator was started with.
    pub settings: Arc<Settings>,
    /// Where events are counted.
    pub metrics: Arc<Metrics>,
    /// The readiness of this process.
    pub health: Health,
    /// What the installed definitions can keep.
    pub definitions: Arc<Definitions>,
    /// The namespace of the locks.
    pub operator_namespace: Arc<str>,
    /// The identity of this process; never used twice.
    pub identity: Arc<str>,
    /// The time of day.
    pub clock: Arc<CheckedClock>,
}
