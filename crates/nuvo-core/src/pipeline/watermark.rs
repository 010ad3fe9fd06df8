//! What was counted already.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use nuvo_crds::{MAX_SEEN, Seen};

use crate::run::{AccountHash, ExecutionId};

/// The beginning of a hash of an execution's id, in hexadecimal digits.
type ShortId = String;

/// The executions that were counted: those created before the floor, and those named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Watermark {
    /// In whole seconds. Without one, every execution that is not named is new.
    floor: Option<Timestamp>,
    /// When each of them was created, at the latest.
    ids: BTreeMap<ShortId, Timestamp>,
}

/// What an execution is, by its id and the time of its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It was counted before.
    Known,
    /// It was not seen yet.
    New,
    /// Whether it was counted cannot be told any more.
    Old,
}

impl Watermark {
    /// What the status has kept, if it was seen with this account. `newest`: when the newest execution in it was created.
    pub(super) fn load(seen: Option<&Seen>, account: &AccountHash, newest: Option<Timestamp>) -> Option<Self> {
        let seen = seen.filter(|seen| seen.account.as_deref() == Some(account.as_str()))?;
        let floor = seen.floor.as_ref()?.0;
        let latest = newest.unwrap_or(floor).max(floor);
        Some(Self { floor: Some(floor), ids: seen.ids.iter().map(|id| (id.clone(), latest)).collect() })
    }

    /// What the status keeps: the newest ids, and a floor above the others.
    pub(super) fn store(&self, account: &AccountHash) -> Seen {
        let mut newest: Vec<(&Timestamp, &ShortId)> = self.ids.iter().map(|(id, created)| (created, id)).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let cut = newest.get(MAX_SEEN).map(|(created, _)| after(**created));
        newest.truncate(MAX_SEEN);
        let kept = newest.iter().filter(|(created, _)| cut.is_none_or(|cut| **created >= cut));
        let ids: BTreeSet<&ShortId> = kept.map(|(_, id)| *id).collect();
        let floor = self.floor.into_iter().chain(cut).max();
        Seen { floor: floor.map(Time), ids: ids.into_iter().cloned().collect(), account: Some(account.to_string()) }
    }

    pub(super) const fn floor(&self) -> Option<Timestamp> {
        self.floor
    }

    pub(super) fn age(&self, id: &ExecutionId, created: Timestamp) -> Age {
        if self.ids.contains_key(&short(id)) {
            return Age::Known;
        }
        if self.floor.is_none_or(|floor| created >= floor) { Age::New } else { Age::Old }
    }

    pub(super) fn insert(&mut self, id: &ExecutionId, created: Timestamp) {
        self.ids.insert(short(id), created);
    }

    /// Executions that were created before this time cannot be new any more.
    pub(super) fn raise(&mut self, floor: Timestamp) {
        let whole = Timestamp::from_second(floor.as_second()).unwrap_or(floor);
        if self.floor.is_none_or(|floor| floor < whole) {
            self.floor = Some(whole);
            self.ids.retain(|_, created| *created >= whole);
        }
    }
}

/// The whole second after this time.
fn after(at: Timestamp) -> Timestamp {
    let second = Timestamp::from_second(at.as_second()).unwrap_or(at);
    second.checked_add(SignedDuration::from_secs(1)).unwrap_or(second)
}

/// FNV-1a of 64 bits: short ids tell the few executions of one pipeline apart, and no security rests on them.
fn short(id: &ExecutionId) -> ShortId {
    let hash = id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
