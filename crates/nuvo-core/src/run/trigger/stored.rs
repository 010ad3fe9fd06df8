//! What the protocol stores: the lock, the marker and the result (docs/protocol.md, section 1).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::run::ids::{AccountHash, ExecutionId, LockName, Nonce, Uid};

/// The ledger's length. Sixty-four runs of one pipeline within the life of an undecided marker are far beyond any schedule.
pub const LEDGER_ENTRIES: usize = 64;
/// The ledger's size in bytes of ids: an annotation holds 256 KiB, and the lock's other fields and other writers need room.
pub const LEDGER_BYTES: usize = 128 * 1024;
/// How many ids next to the newest one a baseline remembers.
pub const BASELINE_IDS: usize = 64;

/// The format that this version writes.
pub const FORMAT: u32 = 1;

/// What a later version has added to a record. It is kept, and written back.
pub type Later = BTreeMap<String, Value>;

/// The format of a record, and what a later version has added to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Format {
    /// Records of the first releases do not name theirs, which is the first one.
    #[serde(rename = "v", default = "first_format")]
    pub version: u32,
    /// Unknown fields.
    #[serde(flatten)]
    pub later: Later,
}

impl Default for Format {
    fn default() -> Self {
        Self { version: FORMAT, later: Later::new() }
    }
}

const fn first_format() -> u32 {
    1
}

/// Why the content of a lock cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableLock {
    /// It is no lock: another client has written it.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// A later version of the operator has written it.
    #[error("it has format {0}, and this version of the operator reads format {FORMAT}")]
    Later(u64),
}

/// One object, told apart from a later one of the same name by its uid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRef {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// The annotation `nuvo.dev/trigger`: a POST for `nonce` may be out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// The run that the marker was written for; a copied manifest carries the one of another run.
    #[serde(flatten)]
    pub run: RunRef,
    /// The delivery that it announces.
    pub nonce: Nonce,
    /// The lock acquisition under which it was written.
    #[serde(rename = "tenure")]
    pub acquisition: Nonce,
    /// The name of that lock, to find it when the account that names its origin is gone. Anyone may write it: the lock of this name is read and
    /// given back, if this run holds it in this acquisition, and never taken.
    #[serde(default, deserialize_with = "valid_or_none", skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockName>,
    /// The account with which the POST is sent. What it has started, only the list of the same one shows.
    #[serde(default, deserialize_with = "valid_or_none", skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountHash>,
    /// The attempt, from 1.
    pub attempt: i32,
    /// nuvo has answered that the POST started something, but not what: never triggered again by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executed: bool,
    /// After the run, whose fields are not unknown ones.
    #[serde(flatten)]
    pub format: Format,
}

/// A marker with a wrong name in it is a marker nevertheless.
fn valid_or_none<'de, D: Deserializer<'de>, T: TryFrom<String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Value::deserialize(deserializer)?;
    Ok(text.as_str().and_then(|text| T::try_from(text.to_owned()).ok()))
}

/// `status.trigger`: what became of the delivery with this nonce.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trigger {
    /// The delivery.
    pub nonce: Nonce,
    /// The attempt that it belonged to, from 1.
    pub attempt: i32,
    /// What is known of it.
    pub result: TriggerResult,
}

/// What became of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TriggerResult {
    /// Executions were started (or there was nothing to process); the ids are in `status.executionIds`.
    Accepted(Evidence),
    /// It is certain that nothing was started.
    NotExecuted,
    /// Which executions it started is not known.
    Ambiguous {
        /// nuvo answered that it did start some: never triggered again by itself.
        executed: bool,
    },
    /// Nothing was to be triggered: the run follows an execution that existed.
    Observed,
}

/// How the ids of an accepted trigger became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// By the answer to the POST.
    Answer,
    /// By looking at the list afterwards, or by a person's word.
    Adopted,
}

/// What the account's list showed before a trigger. Times are nuvo's own, compared only with nuvo's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// The newest `created_at`, in milliseconds since the epoch; none for an empty list.
    pub newest: Option<i64>,
    /// Short hashes of the ids next to it, at most [`BASELINE_IDS`].
    pub ids: Vec<String>,
}

/// Who holds a pipeline, and since which state of the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockHolder {
    /// The run. The stored name is the one of the first releases, as with the other renamed fields.
    #[serde(rename = "holder")]
    pub run: RunRef,
    /// The delivery that the holder may make.
    pub nonce: Nonce,
    /// The nonce of the holder's first acquisition; a reacquisition keeps it.
    #[serde(rename = "tenure")]
    pub acquisition: Nonce,
    /// The run's resourceVersion when the lock was taken.
    #[serde(rename = "runRV")]
    pub run_version: String,
    /// What the list showed before; none if the list could not be trusted, and then nothing is adopted by list.
    pub baseline: Option<Baseline>,
    /// The lock was created while another run of the pipeline was undecided: the ledger may have been lost with an older lock.
    #[serde(rename = "young")]
    pub ledger_may_be_lost: bool,
    /// Unknown fields, which go with the holder.
    #[serde(flatten)]
    pub later: Later,
}

/// What a ledger entry knows of a past delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LedgerOutcome {
    /// It started these executions.
    Started(Vec<ExecutionId>),
    /// It started nothing.
    Nothing,
    /// It may have started something.
    Unknown,
    /// A later version knows. To this one it is as good as unknown.
    #[serde(untagged)]
    Later(Value),
}

/// A past delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// The run.
    pub uid: Uid,
    /// The namespace of the run. Entries of the first releases do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The delivery.
    pub nonce: Nonce,
    /// What is known of it.
    pub entry: LedgerOutcome,
    /// Unknown fields.
    #[serde(flatten)]
    pub later: Later,
}

/// The lock of one pipeline at one origin. The default is a lock without a holder that remembers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// Its format.
    #[serde(flatten)]
    pub format: Format,
    /// The holder, if any.
    #[serde(rename = "tenancy")]
    pub holder: Option<LockHolder>,
    /// Past deliveries, oldest first.
    pub ledger: VecDeque<LedgerEntry>,
    /// As [`LockHolder::ledger_may_be_lost`], of a holder that gave the lock back without having sent anything.
    #[serde(rename = "young", default, skip_serializing_if = "std::ops::Not::not")]
    pub ledger_may_be_lost: bool,
}

impl LockHolder {
    /// What the ledger keeps of a delivery that was made, or may have been made, in this acquisition.
    #[must_use]
    pub fn delivery(&self, nonce: &Nonce, entry: LedgerOutcome) -> LedgerEntry {
        LedgerEntry {
            uid: self.run.uid.clone(),
            namespace: Some(self.run.namespace.clone()),
            nonce: nonce.clone(),
            entry,
            later: Later::new(),
        }
    }
}

impl Lock {
    /// Reads it.
    ///
    /// # Errors
    /// [`UnreadableLock`]: it must not be written over.
    pub fn parse(text: &str) -> Result<Self, UnreadableLock> {
        serde_json::from_str(text).map_err(|error| {
            let value: Option<Value> = serde_json::from_str(text).ok();
            let format = value.as_ref().and_then(|value| value.get("v")).and_then(Value::as_u64);
            format.filter(|format| *format > u64::from(FORMAT)).map_or(UnreadableLock::Malformed(error), UnreadableLock::Later)
        })
    }

    /// The holder, if this run holds the lock.
    #[must_use]
    pub fn held_by(&self, uid: &Uid) -> Option<&LockHolder> {
        self.holder.as_ref().filter(|lock_holder| &lock_holder.run.uid == uid)
    }

    /// The newest entry of a run.
    #[must_use]
    pub fn last_of(&self, uid: &Uid) -> Option<&LedgerEntry> {
        self.ledger.iter().rev().find(|entry| &entry.uid == uid)
    }

    /// The entry of a delivery of this run. Anybody may write a marker that names the delivery of another one.
    #[must_use]
    pub fn of_delivery(&self, uid: &Uid, nonce: &Nonce) -> Option<&LedgerEntry> {
        self.ledger.iter().rev().find(|entry| &entry.uid == uid && &entry.nonce == nonce)
    }

    /// Whether an execution belongs to a past delivery.
    #[must_use]
    pub fn remembers(&self, id: &ExecutionId) -> bool {
        self.ledger.iter().any(|entry| matches!(&entry.entry, LedgerOutcome::Started(ids) if ids.contains(id)))
    }

    /// The lock without a holder, with this delivery remembered.
    #[must_use]
    pub fn released(&self, delivery: LedgerEntry) -> Self {
        let mut ledger = self.ledger.clone();
        ledger.push_back(delivery);
        while ledger.len() > LEDGER_ENTRIES || ledger.iter().map(weight).fold(0, usize::saturating_add) > LEDGER_BYTES {
            ledger.pop_front();
        }
        Self { holder: None, ledger, ledger_may_be_lost: false, ..self.clone() }
    }

    /// The lock as it was before its holder took it, if nothing was sent meanwhile.
    #[must_use]
    pub fn given_back(&self) -> Self {
        let of_holder = self.holder.as_ref().is_some_and(|lock_holder| lock_holder.ledger_may_be_lost);
        Self { holder: None, ledger_may_be_lost: self.ledger_may_be_lost || of_holder, ..self.clone() }
    }
}

fn weight(entry: &LedgerEntry) -> usize {
    // The fixed part: two UUIDs, a namespace and the JSON around them.
    const FIXED: usize = 200;
    let ids = match &entry.entry {
        LedgerOutcome::Started(ids) => ids.iter().map(|id| id.as_str().len().saturating_add(3)).fold(0, usize::saturating_add),
        LedgerOutcome::Nothing | LedgerOutcome::Unknown => 0,
        LedgerOutcome::Later(value) => value.to_string().len(),
    };
    let later = if entry.later.is_empty() { 0 } else { serde_json::to_string(&entry.later).map_or(0, |text| text.len()) };
    ids.saturating_add(later).saturating_add(FIXED)
}
