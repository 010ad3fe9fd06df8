//! Safeguards that can be switched off, to see that the checker notices.
//!
//! The core itself is never changed: what it decides from is falsified, or what it writes is carried out carelessly, just as if the
//! safeguard were missing.

/// A safeguard that is switched off (protocol.md, section 8).
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
    /// A run without a marker is not looked up in the ledger.
    NoLookUpInLedger,
    /// What takes over from an ambiguous holder leaves no entry.
    AmbiguousLeavesNoEntry,
    /// The lock is given back before the result is written, and the ledger has room for one entry.
    UnlockBeforeRecord,
    /// A lock is taken from any holder.
    StealByTime,
    /// No quarantine.
    NoQuarantine,
    /// The ledger remembers nothing.
    NoLedger,
    /// Each run has a lock of its own.
    LockForEachRun,
    /// The fence begins at W2.
    FenceAtMark,
    /// No fence.
    NoFence,
    /// A run whose executions were adopted gives the lock back at once.
    AdoptedGivesWayAtOnce,
}
