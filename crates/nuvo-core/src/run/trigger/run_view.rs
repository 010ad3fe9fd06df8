//! What the protocol needs to know of a run, and what other objects and nuvo's list say.

use std::{collections::BTreeSet, time::Duration};

use crate::run::ids::{AccountHash, ExecutionId, Nonce, PipelineId};
use crate::run::trigger::stored::{Marker, RunRef, Trigger};
use k8s_openapi::jiff::Timestamp;
use nuvo_crds::ConcurrencyPolicy;

/// A run as one read returned it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    /// Which object.
    pub id: RunRef,
    /// `metadata.resourceVersion` of the read.
    pub version: String,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// `spec.pipelineId`.
    pub pipeline: PipelineId,
    /// `spec.onAmbiguousTrigger` is `Adopt`: take executions that are not provably ours.
    pub adopt_unproven: bool,
    /// `spec.onAmbiguousTrigger` is `Retrigger`, and no trigger has been repeated because of it since the run was asked for.
    pub retriggers: bool,
    /// `spec.concurrencyPolicy`.
    pub concurrency: ConcurrencyPolicy,
    /// Whether a schedule made it.
    pub made_by: MadeBy,
    /// `spec.executionId`: it follows an execution that was there before, and has started nothing. What it shows accounts for nothing.
    pub observes: bool,
    /// A `NuvoPipeline` is its controller. It is never triggered, also if it does not say which execution it follows.
    pub is_mirror: bool,
    /// `status.attempt`: the attempt that is wanted, from 1.
    pub attempt: i32,
    /// The run has ended (`status.completionTime`).
    pub ended: bool,
    /// The annotation `nuvo.dev/trigger`.
    pub marker: Option<Marker>,
    /// The attempt of an annotation `nuvo.dev/trigger` that this version cannot read; the first one if it does not say.
    pub unread_marker: Option<i32>,
    /// `status.trigger`.
    pub trigger: Option<Trigger>,
    /// `status.executionIds`.
    pub executions: Vec<ExecutionId>,
    /// A person has declared the ambiguous trigger with this nonce closed.
    pub abandoned: Option<Nonce>,
    /// A person has said what became of the trigger with this nonce, or what to do about it.
    pub answered: Option<Nonce>,
}

impl Run {
    /// The marker, if it was written for this very object.
    #[must_use]
    pub fn own_marker(&self) -> Option<&Marker> {
        self.marker.as_ref().filter(|marker| marker.run.uid == self.id.uid)
    }

    /// Whether its newest trigger was announced with another account than this one. Of a marker of the first releases that is not known.
    #[must_use]
    pub fn is_of_another_account(&self, account: Option<&AccountHash>) -> bool {
        let marked = self.own_marker().and_then(|marker| marker.account.as_ref());
        marked.zip(account).is_some_and(|(marked, account)| marked != account)
    }

    /// The marker of an object of this name that is gone: a restored backup, or a re-created export.
    #[must_use]
    pub fn ancestor_marker(&self) -> Option<&Marker> {
        self.marker
            .as_ref()
            .filter(|marker| marker.run.uid != self.id.uid && marker.run.namespace == self.id.namespace && marker.run.name == self.id.name)
    }
}

/// What made a run, by its annotation `nuvo.dev/scheduled-at`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum MadeBy {
    /// A person, or another tool.
    #[default]
    Other,
    /// A schedule, for a slot.
    Schedule(Box<Scheduled>),
    /// The annotation names no time, or the run has no schedule as its controller.
    Unreadable,
}

/// The slot that a run was made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scheduled {
    /// The slot.
    pub slot: Timestamp,
    /// `metadata.name` of its schedule, in the namespace of the run.
    pub schedule: String,
    /// Its `metadata.uid`.
    pub uid: String,
}

/// What the schedule of a run says about its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotClaim {
    /// The slot is claimed for this very run. A claim is never changed, so this stays true.
    Claimed,
    /// That is not decided yet, or the schedule cannot be read.
    Undecided,
    /// The slot was decided, and not for this run; or its schedule is gone.
    NotClaimed,
}

/// The run that holds a lock, as a quorum read returned it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// It exists with the holder's uid.
    Present(Box<Run>),
    /// It does not exist any more, or another object has its name.
    Gone,
    /// This operator may not read it, or it is not a valid run.
    Unreadable,
}

/// An execution in a list of nuvo that a run in doubt may have started.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Its id.
    pub id: ExecutionId,
    /// A short hash of the id, as a baseline stores it.
    pub hash: String,
    /// `created_at` in milliseconds, by nuvo's clock.
    pub created: Option<i64>,
    /// `trigger_type` is `MANUAL`.
    pub manual: bool,
    /// `created_by` names the identity of our account; false also when either is not known.
    pub by_us: bool,
}

/// What a look shows of the executions of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ListedCandidates {
    /// What the list shows.
    pub candidates: Vec<Candidate>,
    /// Everything created after this time (milliseconds, nuvo's clock) is among them; without it, everything there is.
    pub after: Option<i64>,
    /// The look was at the list of the account. That of the pipeline may reach back further.
    pub of_account: bool,
    /// How long ago the look began.
    pub age: Duration,
    /// Whose list it was.
    pub account: Option<AccountHash>,
    /// It is not known as whom nuvo shows the account, so that no execution is known to be its own.
    pub is_anonymous: bool,
}

impl ListedCandidates {
    /// A look at a list of which nothing is known to be whole.
    #[must_use]
    pub const fn of_nothing() -> Self {
        Self { candidates: Vec::new(), after: Some(i64::MAX), of_account: false, age: Duration::ZERO, account: None, is_anonymous: false }
    }
}

/// What is known of the executions of a pipeline before a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RunningExecutions {
    /// Those that nuvo's list shows as running, whoever started them.
    pub listed: BTreeSet<ExecutionId>,
    /// Those of them, and of the last delivery, that have ended by an answer about their ids.
    pub ended: BTreeSet<ExecutionId>,
}

/// What nuvo answers about one execution by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExecutionState {
    /// It is running.
    Processing,
    /// It has ended, or belongs to another pipeline.
    Over,
    /// Nothing that ends a wait, or proves that it is running.
    Unclear,
}
