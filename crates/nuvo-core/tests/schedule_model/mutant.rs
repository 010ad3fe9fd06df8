//! Safeguards that can be switched off, to see that the checker notices.
//!
//! The core itself is never changed: what it decides from is falsified, or what it writes is carried out carelessly, just as if the
//! safeguard were missing.

use crate::scope::{ONE_SLOT, Scope, TWO_SLOTS};

/// A safeguard that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A claim is overwritten with the run that has the name now.
    ClaimOverwritten,
    /// The gate reads a cache.
    GateReadsCache,
    /// No gate.
    NoGate,
    /// The absence of a claim counts as permission.
    AbsenceIsPermission,
    /// The run is created before that is written.
    CreateBeforeIntent,
    /// The name of a run is drawn at random.
    RandomName,
    /// A slot at the anchor starts.
    AnchorIncluded,
    /// Whose the object is that exists is not looked at.
    AnyOwner,
    /// A start that is pending is overwritten by the next one.
    PendingOverwritten,
    /// `Forbid` is not looked at.
    ForbidIgnored,
    /// A run that goes on is taken for one that has ended.
    EndNotAwaited,
    /// S1 is written whatever the version of the schedule is, so that a start that was given up is pending again.
    PendingRevived,
}

/// What breaks without a safeguard, and in which world that is seen. With the safeguard nothing breaks there.
pub fn cases() -> Vec<(Mutant, &'static str, Scope)> {
    let one = Scope { operators: 1, ..ONE_SLOT };
    vec![
        (Mutant::ClaimOverwritten, "P7", Scope { late: 1, deletions: 1, ..one.clone() }),
        (Mutant::NoGate, "P7", Scope { late: 1, deletions: 1, ..one.clone() }),
        (Mutant::AbsenceIsPermission, "P7", Scope { late: 1, deletions: 1, ..one.clone() }),
        (Mutant::GateReadsCache, "claimed", Scope { recreations: 1, ..TWO_SLOTS }),
        (Mutant::GateReadsCache, "let through", Scope { recreations: 1, operators: 1, ..ONE_SLOT }),
        (Mutant::CreateBeforeIntent, "recorded", one.clone()),
        (Mutant::RandomName, "one object", Scope { crashes: 1, ..one.clone() }),
        (Mutant::AnchorIncluded, "past", Scope { edits: 2, ..TWO_SLOTS }),
        (Mutant::AnyOwner, "own", Scope { foreign: 1, ..one.clone() }),
        (Mutant::PendingOverwritten, "counted", Scope { crashes: 1, ..TWO_SLOTS }),
        (Mutant::ForbidIgnored, "one at a time", Scope { forbids: true, ..TWO_SLOTS }),
        (Mutant::EndNotAwaited, "kept", one.clone()),
        (Mutant::PendingRevived, "P7", ONE_SLOT),
    ]
}
