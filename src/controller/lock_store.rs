//! Where a pipeline's lock is kept: one Lease in the operator's namespace, written by compare-and-swap only.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use kube::core::ObjectMeta;
use sha2::{Digest, Sha256};

use super::api_call::{CallError, call};
use crate::{checked_clock::CheckedClock, telemetry::Metrics};
use nuvo_core::run::{Lock, LockRead, PipelineId, UnreadableLock, lock_written};
use nuvo_crds::well_known::{FIELD_MANAGER, LOCK_ANNOTATION};

/// The label by which users find the locks.
pub const LOCK_LABEL: &str = "nuvo.dev/pipeline-lock";

/// The annotation that names the pipeline, for people.
const PIPELINE_ANNOTATION: &str = "nuvo.dev/pipeline-id";
/// The page size of lists of locks, the largest of which have 128 KiB.
const PAGE: u32 = 50;

/// Why a lock cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The API server did not answer, or refused.
    #[error("lock {name}: {source}")]
    Kube {
        /// The Lease.
        name: String,
        /// The client's error.
        source: CallError,
    },
    /// The namespace of the locks does not exist.
    #[error("lock {name}: {source}; create the operator's namespace, or name another one with --operator-namespace")]
    NoNamespace {
        /// The Lease.
        name: String,
        /// The client's error.
        source: CallError,
    },
    /// The annotation holds something else, because another client has written it.
    #[error(
        "lock {name}: the annotation {LOCK_ANNOTATION} does not parse ({source}); no run of this pipeline starts until the Lease is \
         repaired, or deleted after making sure that no execution of the pipeline was started in the last 15 minutes"
    )]
    Malformed {
        /// The Lease.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A later version of the operator has written it, in a way that this one cannot read.
    #[error(
        "lock {name}: {source}; no run of this pipeline starts until the operator is upgraded again. Do not delete the Lease: it remembers what \
         was triggered"
    )]
    Later {
        /// The Lease.
        name: String,
        /// Why.
        source: UnreadableLock,
    },
}

impl LockError {
    /// Whether an immediate retry is useless.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Kube { source, .. } => source.is_refused(),
            Self::NoNamespace { .. } | Self::Malformed { .. } | Self::Later { .. } => true,
        }
    }

    /// Whether another writer was first.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Kube { source, .. } if source.is_conflict())
    }
}

/// A lock in a list of all.
#[derive(Debug)]
pub struct StoredLock {
    /// The name of the Lease.
    pub name: String,
    uid: String,
    version: Option<String>,
    /// The pipeline, for people.
    pub pipeline: String,
}

/// The locks of one operator.
#[derive(Clone)]
pub struct LockStore {
    api: Api<Lease>,
    metrics: Arc<Metrics>,
    clock: Arc<CheckedClock>,
}

/// The Lease name of a pipeline at an origin: the same for all operators that share a namespace for its locks.
#[must_use]
pub fn lock_name(origin: &str, pipeline: &PipelineId) -> String {
    let hash = Sha256::digest(format!("{origin}\n{pipeline}").as_bytes());
    let hex: String = hash.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    format!("nuvo-{hex}")
}

impl LockStore {
    /// The locks in this namespace.
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str, metrics: Arc<Metrics>, clock: Arc<CheckedClock>) -> Self {
        Self { api: Api::namespaced(client, namespace), metrics, clock }
    }

    /// Quorum GET.
    ///
    /// # Errors
    /// [`LockError`]: nothing may be concluded from it.
    pub async fn read(&self, name: &str) -> Result<LockRead, LockError> {
        let lease = call("read the pipeline's lock", self.api.get_opt(name))
            .await
            .map_err(|source| LockError::Kube { name: name.to_owned(), source })?;
        lease.map_or_else(|| Ok(LockRead::default()), |lease| self.parse(name, &lease))
    }

    fn parse(&self, name: &str, lease: &Lease) -> Result<LockRead, LockError> {
        let lock = match lease.metadata.annotations.as_ref().and_then(|all| all.get(LOCK_ANNOTATION)) {
            Some(text) => Lock::parse(text).map_err(|error| {
                let name = name.to_owned();
                match error {
                    UnreadableLock::Malformed(source) => LockError::Malformed { name, source },
                    source @ UnreadableLock::Later(_) => LockError::Later { name, source },
                }
            })?,
            None => {
                let source = serde::de::Error::custom("the annotation is missing");
                return Err(LockError::Malformed { name: name.to_owned(), source });
            }
        };
        let age = lock_written(&lease.metadata).and_then(|written| self.clock.age(written));
        Ok(LockRead { version: lease.metadata.resource_version.clone(), lock, age })
    }

    /// A page of all locks, and the token of the next one. All pages show the state at the time of the first one.
    ///
    /// # Errors
    /// [`LockError`]: nothing may be concluded from it.
    pub async fn page(&self, token: Option<&str>) -> Result<(Vec<(StoredLock, Result<LockRead, LockError>)>, Option<String>), LockError> {
        let wanted = ListParams { continue_token: token.map(str::to_owned), ..ListParams::default().labels(LOCK_LABEL).limit(PAGE) };
        let page = call("list the pipelines' locks", self.api.list(&wanted))
            .await
            .map_err(|source| LockError::Kube { name: String::new(), source })?;
        let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        let stored = |lease: Lease| {
            let name = lease.metadata.name.clone().unwrap_or_default();
            let read = self.parse(&name, &lease);
            let ObjectMeta { uid, resource_version: version, annotations, .. } = lease.metadata;
            let pipeline = annotations.unwrap_or_default().remove(PIPELINE_ANNOTATION).unwrap_or_default();
            (StoredLock { name, uid: uid.unwrap_or_default(), version, pipeline }, read)
        };
        Ok((page.items.into_iter().map(stored).collect(), next))
    }

    /// Deletes exactly this version of this lock. False if there is another one by now, or none.
    ///
    /// # Errors
    /// [`LockError`]: it may have been deleted, unless the API server refused.
    pub async fn delete(&self, lock: &StoredLock) -> Result<bool, LockError> {
        let preconditions = Preconditions { uid: Some(lock.uid.clone()), resource_version: lock.version.clone() };
        self.metrics.kube_write("leases");
        let request = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match call("delete an unused lock", self.api.delete(&lock.name, &request)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(false),
            Err(source) => Err(LockError::Kube { name: lock.name.clone(), source }),
        }
    }

    /// W1 and the release: replaces exactly this version, or creates the lock. Returns the new version.
    ///
    /// # Errors
    /// [`LockError`]: whether it was written is not known, unless it was [refused](LockError::is_refused).
    pub async fn write(&self, name: &str, pipeline: &PipelineId, lock: &Lock, over: Option<&str>) -> Result<Option<String>, LockError> {
        let text = serde_json::to_string(lock).map_err(|source| LockError::Malformed { name: name.to_owned(), source })?;
        let holder = lock.holder.as_ref().map(|lock_holder| format!("{}/{}", lock_holder.run.namespace, lock_holder.run.name));
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                resource_version: over.map(str::to_owned),
                labels: Some([(LOCK_LABEL.to_owned(), "true".to_owned())].into()),
                annotations: Some([(LOCK_ANNOTATION.to_owned(), text), (PIPELINE_ANNOTATION.to_owned(), pipeline.to_string())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec { holder_identity: holder, ..LeaseSpec::default() }),
        };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.metrics.kube_write("leases");
        let written = match over {
            Some(_) => call("write the pipeline's lock", self.api.replace(name, &params, &lease)).await,
            None => call("create the pipeline's lock", self.api.create(&params, &lease)).await,
        };
        written.map(|lease| lease.metadata.resource_version).map_err(|source| {
            let name = name.to_owned();
            if over.is_none() && source.is_not_found() { LockError::NoNamespace { name, source } } else { LockError::Kube { name, source } }
        })
    }
}
