//! Leader election on one Lease, with the timing of client-go. It saves work; safety never depends on it.
//!
//! Clocks of other machines are not trusted: a lease has expired when this process has seen it unchanged for its whole duration.
//! Every write is a compare-and-swap on the resourceVersion that was read.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout};

use crate::{clock::Clock, health_server::Health, telemetry::Metrics};

/// The name of the lease of an operator that watches everything, and the prefix of the others.
const LEASE_NAME: &str = "nuvo-operator-leader";

/// The name of the lease, in the namespace of the operator. Operators that watch different objects each have their own leader.
#[must_use]
pub fn lease_name(namespaces: &[String], label_selector: Option<&str>) -> String {
    if namespaces.is_empty() && label_selector.is_none() {
        return LEASE_NAME.to_owned();
    }
    let hash = Sha256::digest(format!("{}\n{}", namespaces.join(","), label_selector.unwrap_or_default()).as_bytes());
    let hex: String = hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{LEASE_NAME}-{hex}")
}

/// The times of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the others wait after the last renewal that they saw.
    pub lease: Duration,
    /// How long the holder goes on without a renewal. Shorter than the lease, so that it stops before another process starts.
    pub renew_deadline: Duration,
    /// The pause between two tries.
    pub retry: Duration,
    /// The most one request may take.
    pub request: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            request: Duration::from_secs(5),
        }
    }
}

/// Why this process no longer leads. It must begin nothing more: another may already act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another process holds the lease.
    #[error("the leader lease was taken by {0}")]
    Taken(String),
    /// No renewal succeeded in time.
    #[error("the leader lease could not be renewed in time ({0})")]
    Expired(String),
}

/// What the decision needs to know of the stored lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StoredLease<'a> {
    holder: Option<&'a str>,
    duration: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// There is no lease: create it.
    Create,
    /// It has no holder, or the holder has not renewed it in time: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// It belongs to another process.
    Wait,
}

/// The decision. `unchanged` is how long this process has seen exactly this record; `ours` is our own lease duration.
fn decide(me: &str, seen: Option<StoredLease<'_>>, unchanged: Duration, ours: Duration) -> Action {
    let Some(StoredLease { holder, duration }) = seen else { return Action::Create };
    match holder {
        None | Some("") => Action::Take,
        Some(holder) if holder == me => Action::Renew,
        Some(_) => {
            let theirs = duration.and_then(|seconds| u64::try_from(seconds).ok()).map_or(Duration::ZERO, Duration::from_secs);
            if unchanged >= theirs.max(ours) { Action::Take } else { Action::Wait }
        }
    }
}

/// One candidate. Give it a client of its own, without retries, so that nothing else delays a renewal.
pub struct Elector {
    api: Api<Lease>,
    namespace: String,
    lease: String,
    identity: String,
    timing: Timing,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// The lease as it was read or written last, and since when it has looked like that.
    observed: Option<(Lease, Instant)>,
    /// When the last request was sent that made this process the holder.
    renewed: Option<Instant>,
}

impl Elector {
    /// A candidate. `identity` must never be used by two processes, not even one after the other.
    pub fn new(
        client: Client,
        namespace: &str,
        lease: String,
        identity: String,
        timing: Timing,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, namespace: namespace.to_owned(), lease, identity, timing, clock, metrics, observed: None, renewed: None }
    }

    /// Waits until this process is the leader. Failures are logged and tried again. A standby that has had no answer for as long as a
    /// leader may go without one is not ready.
    pub async fn acquire(&mut self, health: &Health) {
        let mut answered = Instant::now();
        loop {
            match self.attempt(self.timing.request).await {
                Ok(None) => {
                    tracing::info!(namespace = self.namespace, lease = self.lease, identity = self.identity, "leading");
                    return health.set_ready();
                }
                Ok(Some(holder)) => {
                    answered = Instant::now();
                    health.set_ready();
                    tracing::debug!(holder, "standing by");
                }
                Err(error) => {
                    tracing::warn!(namespace = self.namespace, lease = self.lease, error, "cannot take the leader lease, trying again");
                    if answered.elapsed() >= self.timing.renew_deadline {
                        health.set_waiting(format!("cannot take the leader lease: {error}"));
                    }
                }
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Keeps the lease until it is lost.
    pub async fn hold(&mut self) -> Lost {
        // Counted from before the request was sent: the others count from when it arrived at the latest.
        let Some(mut renewed) = self.renewed else { return Lost::Expired("it was never taken".to_owned()) };
        let mut reason = "no answer from the API server".to_owned();
        loop {
            sleep(self.timing.retry).await;
            let left = self.timing.renew_deadline.saturating_sub(renewed.elapsed());
            if left.is_zero() {
                return Lost::Expired(reason);
            }
            match self.attempt(left.min(self.timing.request)).await {
                Ok(None) => renewed = self.renewed.unwrap_or(renewed),
                Ok(Some(holder)) => return Lost::Taken(holder),
                Err(error) => {
                    tracing::warn!(namespace = self.namespace, lease = self.lease, error, "cannot renew the leader lease, trying again");
                    reason = error;
                }
            }
        }
    }

    /// Releases the lease, so that a standby takes over at once. Best effort: otherwise it expires.
    pub async fn release(&mut self) {
        // Read first: the answer of the last renewal may have been lost.
        for _ in 0..2 {
            let released = timeout(self.timing.request, async {
                let Some(lease) = self.api.get_opt(&self.lease).await? else { return Ok(()) };
                if holder(&lease) != Some(self.identity.as_str()) {
                    return Ok(());
                }
                let free = LeaseSpec {
                    holder_identity: Some(String::new()),
                    lease_duration_seconds: Some(1),
                    ..lease.spec.clone().unwrap_or_default()
                };
                let free = Lease { spec: Some(LeaseSpec { renew_time: Some(MicroTime((self.clock)())), ..free }), ..lease };
                self.metrics.kube_write("leases");
                self.api.replace(&self.lease, &PostParams::default(), &free).await.map(drop)
            });
            match released.await {
                Ok(Ok(())) => break,
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = error.to_string(), "the leader lease was not released and will expire");
                    break;
                }
                Err(_elapsed) => {
                    tracing::warn!("the leader lease was not released in time and will expire");
                    break;
                }
            }
        }
        self.renewed = None;
        self.observed = None;
    }

    /// One try to become or stay leader: `None` if this process is, else the holder. Takes no longer than `most`.
    async fn attempt(&mut self, most: Duration) -> Result<Option<String>, String> {
        timeout(most, self.step()).await.unwrap_or_else(|_| Err(format!("no answer within {} ms", most.as_millis())))
    }

    async fn step(&mut self) -> Result<Option<String>, String> {
        let stored = self.api.get_opt(&self.lease).await.map_err(|error| error.to_string())?;
        let unchanged = self.observe(stored.as_ref());
        let seen = stored
            .as_ref()
            .map(|lease| StoredLease { holder: holder(lease), duration: lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds) });
        let action = decide(&self.identity, seen, unchanged, self.timing.lease);
        let sent = Instant::now();
        let written = match (action, stored) {
            (Action::Wait, stored) => return Ok(Some(stored.as_ref().and_then(holder).unwrap_or_default().to_owned())),
            (Action::Create, _) | (_, None) => {
                let metadata = ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(self.record(None, true)) };
                self.metrics.kube_write("leases");
                self.api.create(&PostParams::default(), &lease).await
            }
            (Action::Take | Action::Renew, Some(lease)) => {
                let spec = self.record(lease.spec.as_ref(), action == Action::Take);
                self.metrics.kube_write("leases");
                // The metadata that was read, with its resourceVersion: stale means 409.
                self.api.replace(&self.lease, &PostParams::default(), &Lease { spec: Some(spec), ..lease }).await
            }
        };
        // After a 409 the next try reads again; the lease may even belong to this process, if an answer was lost.
        let written = written.map_err(|error| error.to_string())?;
        self.observe(Some(&written));
        self.renewed = Some(sent);
        Ok(None)
    }

    /// Notes what is stored, and returns for how long it has been exactly that.
    fn observe(&mut self, stored: Option<&Lease>) -> Duration {
        let Some(stored) = stored else {
            self.observed = None;
            return Duration::ZERO;
        };
        match &self.observed {
            Some((lease, since)) if lease.spec == stored.spec && lease.metadata.uid == stored.metadata.uid => since.elapsed(),
            _ => {
                self.observed = Some((stored.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }

    fn record(&self, previous: Option<&LeaseSpec>, taken: bool) -> LeaseSpec {
        let now = MicroTime((self.clock)());
        let previous = previous.cloned().unwrap_or_default();
        let transitions = previous.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            // At least 1: the API server refuses 0.
            lease_duration_seconds: Some(i32::try_from(self.timing.lease.as_secs()).unwrap_or(i32::MAX).max(1)),
            acquire_time: if taken { Some(now.clone()) } else { previous.acquire_time },
            lease_transitions: Some(if taken { transitions.saturating_add(1) } else { transitions }),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

#[cfg(test)]
mod tests;
