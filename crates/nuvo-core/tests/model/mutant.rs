//! Safeguards that can be switched off, to see that the checker notices.
//!
//! The core itself is never changed: what it decides from is falsified, or what it writes is carried out carelessly, just as if the
//! safeguard were missing.

use nuvo_crds::ConcurrencyPolicy;

use crate::{
    bounds::{Restarts, Scope, Start},
    check::CAN_END,
};

/// A safeguard that is switched off (docs/protocol.md, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// W2 is written whatever the version of the run is.
    NoCompareAtMark,
    /// A conflict at W2 is taken for success.
    PostAfterConflict,
    /// Two tasks of a run use the same nonce.
    SharedNonce,
    /// A lock that the run holds permits it to go on, whatever has been done to the run since.
    OwnLockMeansGoOn,
    /// W2 is repeated on a new version without a new W1.
    MarkAgain,
    /// W1 is written whatever the version of the lock is.
    NoCompareAtLock,
    /// A marker without a status is ignored.
    MarkerWithoutStatusResumes,
    /// A marker that only a later version can read is taken for none.
    UnreadMarkerMeansNone,
    /// A run without a marker is not looked up in the ledger.
    NoLookUpInLedger,
    /// What takes over from an ambiguous holder leaves no entry.
    AmbiguousLeavesNoEntry,
    /// The lock is given back before the result is written.
    UnlockBeforeRecord,
    /// A POST without an answer is taken for one that was not carried out.
    UnansweredMeansRefused,
    /// A task does not know that another one had the lock before: it repeats W2, with a new W1, or gives the lock back.
    BumpForgotten,
    /// A conflict at W1 is taken for success.
    LockAfterConflict,
    /// A lock is taken at once from a holder whose trigger is not settled.
    StealAtOnce,
    /// A lock is taken after the quarantine from a holder whose trigger is not settled.
    StealByTime,
    /// No quarantine.
    NoQuarantine,
    /// The ledger remembers nothing.
    NoLedger,
    /// Each run has a lock of its own.
    LockForEachRun,
    /// What other runs show is adopted too, as if it were read from a cache that is behind.
    ClaimsIgnored,
    /// What an observing run shows is taken for what it has started.
    ObservingRunAccounts,
    /// Where there is no lock, it is not asked whether another run is undecided: one is taken to be.
    MissingLockMeansLostLedger,
    /// The baseline is an old list: it was made before the lock was read.
    OldBaseline,
    /// W3 is written whatever the version of the run is.
    NoCompareAtRecord,
    /// The fence begins at W2.
    FenceAtMark,
    /// No fence.
    NoFence,
    /// A run whose executions were adopted gives the lock back at once.
    AdoptedGivesWayAtOnce,
    /// What is found later does not need the lock under which the trigger was made.
    GrowsUnderAnyLock,
    /// An answer does not replace what was found of the same trigger.
    AnswerYieldsToAdopted,
    /// A run that a person has abandoned gives the lock back at once.
    AbandonedGivesWayAtOnce,
    /// An object that was created again from a backup is taken for a new one.
    RestoredMeansNew,
    /// A list that failed is taken for an empty one.
    NoListMeansNothingStarted,
    /// A list that does not reach back to the baseline is taken for a whole one.
    ShortListMeansWhole,
    /// What another client has started is adopted too.
    AnybodysAdopted,
    /// What others have started does not keep a run from being triggered again by itself.
    OthersAreNotCounted,
    /// A run whose trigger stays in doubt keeps the lock without end.
    AmbiguousNeverGivesWay,
    /// A run that is being deleted keeps its lock until it is gone.
    DeletingKeepsItsLock,
    /// A run that cannot be read keeps its lock without end.
    UnreadableKeepsItsLock,
    /// Which account a trigger was made with is not compared with the one whose list is looked at.
    AccountNotCompared,
    /// How old a lock is, no process can tell.
    LocksHaveNoAge,
    /// A run that is held back does not look at the lock that another one waits for.
    HeldBackLooksAtNoLock,
    /// That others wait, a run in doubt does not know.
    DoubtsWaitForALook,
    /// A process gives a run up that it has only just seen in doubt, if its lock is old.
    GivenUpAtFirstSight,
    /// A lock is deleted while passes live that have read it, or have seen that there is none.
    SweptEarly,
    /// A lock is deleted though a run exists that it remembers.
    SweptWithItsRuns,
    /// An answer that does not tell the ids is taken for one that tells that there are none.
    NoIdsMeansNothingStarted,
    /// What the marker says of nuvo's answer is not looked at.
    MarkerTellsNoAnswer,
    /// A run that has expired is deleted before its lock is given back.
    DeletedWithItsLock,
    /// A retry does not wait for its time.
    RetryAtOnce,
    /// Why a run waits is written without a look at its lock.
    NotesOverTheLock,
    /// A run that is too late ends without a look at its lock.
    TooLateOverTheLock,
    /// Whether the start deadline has passed is not looked at again before the POST.
    StartDeadlineOnlyAtFirst,
    /// Whether a run is held back is not looked at again before the POST.
    HeldBackOnlyAtFirst,
    /// That a NuvoPipeline is the controller of a run makes no difference.
    MirrorTriggers,
    /// A run ends on what was found while its trigger may still be answered.
    AdoptedEndsAtOnce,
    /// A queued run asks only the list what is running, not the lock what was started.
    LockNotAskedForExecutions,
    /// A run is skipped because of what the list shows, whatever an answer by id says.
    SkippedByTheList,
    /// A process does not remember that it has written an end, if the answer to that is lost.
    EndForgotten,
}

/// What breaks without a safeguard, and in which world that is seen. With the safeguard nothing breaks there, and in a smaller one nothing
/// is seen.
pub fn cases() -> Vec<(Mutant, &'static str, Scope)> {
    let one = Scope { runs: 1, ..Scope::CALM };
    let alone = Scope { operators: 1, ..Scope::CALM };
    let single = Scope { runs: 1, ..alone.clone() };
    let life = Scope { life: true, ..single.clone() };
    let retrigger = Scope { retrigger: true, unanswered: 1, ..single.clone() };
    let found = Scope { open: true, batches: &[2], ..one.clone() };
    let brief = Scope { restarts: Restarts::AtLongTicks, aged: true, ..alone.clone() };
    let together = Scope { concurrent: true, ..alone.clone() };
    // Who deletes a lock takes the promise away; it still holds if every process writes at once what it knows.
    let lease_deleted = Scope { lease_deletions: 1, brisk: true, unanswered: 1, ..together.clone() };
    vec![
        (Mutant::NoCompareAtMark, "P1", one.clone()),
        (Mutant::PostAfterConflict, "P1", one.clone()),
        (Mutant::UnansweredMeansRefused, "P1", Scope { unanswered: 1, ..single.clone() }),
        (Mutant::SharedNonce, "P1", one.clone()),
        (Mutant::OwnLockMeansGoOn, "P1", Scope { marker_wipes: 1, ..one.clone() }),
        (Mutant::MarkAgain, "P1", Scope { marker_wipes: 1, ..one.clone() }),
        (Mutant::BumpForgotten, "P1", Scope { marker_wipes: 1, ..one.clone() }),
        (Mutant::NoCompareAtLock, "P1", Scope { marker_wipes: 1, ..one.clone() }),
        (Mutant::MarkerWithoutStatusResumes, "P1", Scope { status_wipes: 1, ledger_losses: 1, ..single.clone() }),
        (Mutant::UnreadMarkerMeansNone, "P1", Scope { garbled_markers: 1, crashes: 1, lease_deletions: 1, ..single.clone() }),
        (Mutant::NoLookUpInLedger, "P1", Scope { status_wipes: 1, marker_wipes: 1, ..single.clone() }),
        (Mutant::RestoredMeansNew, "P1", Scope { deletions: 1, restores: 1, ..single.clone() }),
        (Mutant::AmbiguousLeavesNoEntry, "P1", Scope { unanswered: 1, status_wipes: 1, marker_wipes: 1, ..alone.clone() }),
        (Mutant::UnlockBeforeRecord, "P1", Scope { marker_wipes: 1, crashes: 1, ledger_losses: 1, ..single.clone() }),
        (Mutant::OthersAreNotCounted, "P1: nothing", Scope { anonymous: true, ..retrigger.clone() }),
        (Mutant::AccountNotCompared, "P1: nothing", Scope { moves: true, ..retrigger.clone() }),
        (Mutant::NoListMeansNothingStarted, "P1: nothing", Scope { failed_lists: 2, ..retrigger.clone() }),
        (Mutant::ObservingRunAccounts, "P1: nothing", Scope { observer: true, runs: 2, ..retrigger.clone() }),
        (Mutant::NoQuarantine, "P1: nothing", Scope { lag: true, ..retrigger }),
        (Mutant::SweptWithItsRuns, "P1", Scope { sweeps: 1, status_wipes: 1, marker_wipes: 1, ..single.clone() }),
        (Mutant::NoCompareAtLock, "P2", Scope { unanswered: 1, ..together.clone() }),
        (Mutant::LockAfterConflict, "P2", Scope { unanswered: 1, ..together.clone() }),
        (Mutant::SweptEarly, "P2", Scope { sweeps: 1, deletions: 1, unanswered: 1, ..together.clone() }),
        (Mutant::StealAtOnce, "P2", Scope { unanswered: 1, ..together.clone() }),
        (Mutant::NoQuarantine, "P2", Scope { unanswered: 2, lag: true, ..alone.clone() }),
        (Mutant::NoQuarantine, "P2", Scope { unanswered: 1, lag: true, deletions: 1, ..alone.clone() }),
        (Mutant::NoLedger, "P2", Scope { unanswered: 1, lag: true, status_wipes: 1, ..alone.clone() }),
        (Mutant::OldBaseline, "P2", Scope { unanswered: 2, lag: true, ..alone.clone() }),
        (Mutant::LockForEachRun, "P2", Scope { unanswered: 1, ..together.clone() }),
        (Mutant::AdoptedGivesWayAtOnce, "P2", Scope { unanswered: 2, batches: &[2], lag: true, ..alone.clone() }),
        (Mutant::GrowsUnderAnyLock, "P2", Scope { open: true, standing: true, unanswered: 1, ..together.clone() }),
        (Mutant::AnswerYieldsToAdopted, "P5", Scope { late_posts: 1, lag: true, ..found.clone() }),
        (Mutant::AbandonedGivesWayAtOnce, "P2", Scope { unanswered: 2, resolutions: 1, lag: true, ..alone.clone() }),
        (Mutant::AnybodysAdopted, "P2", Scope { unanswered: 1, intruders: 1, ..single.clone() }),
        (Mutant::ClaimsIgnored, "P2", lease_deleted.clone()),
        (Mutant::FenceAtMark, "P2", Scope { slow: 1, ..lease_deleted.clone() }),
        (Mutant::NoFence, "P2", Scope { slow: 1, ..lease_deleted }),
        (Mutant::StealByTime, "P3", Scope { unanswered: 1, ..alone.clone() }),
        (Mutant::MissingLockMeansLostLedger, "P3", Scope { unanswered: 1, ..single.clone() }),
        (Mutant::NoListMeansNothingStarted, "P3", Scope { unanswered: 1, failed_lists: 1, ..single.clone() }),
        (Mutant::ObservingRunAccounts, "P3", Scope { observer: true, unanswered: 1, ..alone.clone() }),
        (Mutant::GivenUpAtFirstSight, "P3", Scope { unanswered: 1, start: Start::WithoutAccount, ..brief.clone() }),
        (Mutant::GivenUpAtFirstSight, "P3", Scope { unanswered: 1, start: Start::WithoutList, ..brief.clone() }),
        (Mutant::GivenUpAtFirstSight, "P3", Scope { unanswered: 1, start: Start::WithoutAccount, overdue: true, runs: 1, ..brief }),
        (Mutant::NoCompareAtRecord, "P3", Scope { lag: true, ..one }),
        (Mutant::ShortListMeansWhole, "P4", Scope { unanswered: 1, short_lists: 2, batches: &[2], ..single.clone() }),
        (Mutant::MarkerTellsNoAnswer, "P4", Scope { unanswered: 1, crashes: 1, batches: &[0], ..single.clone() }),
        (Mutant::NoIdsMeansNothingStarted, "P4", Scope { unanswered: 1, ..single }),
        (Mutant::DeletedWithItsLock, "L1", Scope { expire: true, ..life.clone() }),
        (Mutant::RetryAtOnce, "L2", Scope { retries: 1, ..life.clone() }),
        (Mutant::NotesOverTheLock, "L3", Scope { crashes: 1, suspensions: 1, notes: 1, ..life.clone() }),
        (Mutant::TooLateOverTheLock, "L3", Scope { crashes: 1, start_deadline: true, ..life.clone() }),
        (Mutant::StartDeadlineOnlyAtFirst, "L4", Scope { crashes: 1, start_deadline: true, ..life.clone() }),
        (Mutant::HeldBackOnlyAtFirst, "L8", Scope { suspensions: 1, ..alone.clone() }),
        (Mutant::MirrorTriggers, "L9", Scope { mirrors: 1, ..alone.clone() }),
        (Mutant::AdoptedEndsAtOnce, "L7", Scope { life: true, unanswered: 1, operators: 1, ..found }),
        (Mutant::LockNotAskedForExecutions, "L5", Scope { runs: 2, lag: true, policy: ConcurrencyPolicy::Queue, ..life.clone() }),
        (Mutant::SkippedByTheList, "L6", Scope { runs: 2, policy: ConcurrencyPolicy::Skip, ..life.clone() }),
        (Mutant::EndForgotten, CAN_END, Scope { lost: 1, ..life }),
        (Mutant::DeletingKeepsItsLock, CAN_END, Scope { deletions: 1, crashes: 1, kept: true, ..alone.clone() }),
        (Mutant::UnreadableKeepsItsLock, CAN_END, Scope { unanswered: 1, split: true, ..Scope::CALM }),
        (Mutant::LocksHaveNoAge, CAN_END, Scope { unanswered: 1, restarts: Restarts::AtEveryTick, aged: true, ..alone.clone() }),
        (Mutant::HeldBackLooksAtNoLock, CAN_END, Scope { crashes: 1, account_losses: 1, ..alone.clone() }),
        (Mutant::HeldBackLooksAtNoLock, CAN_END, Scope { crashes: 1, suspensions: 1, stays_suspended: true, ..alone.clone() }),
        (Mutant::DoubtsWaitForALook, CAN_END, Scope { unanswered: 1, never_listed: true, aged: true, ..alone.clone() }),
        (Mutant::AmbiguousNeverGivesWay, CAN_END, Scope { unanswered: 1, ..alone }),
    ]
}
