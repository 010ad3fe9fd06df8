//! What a tenant does against the runs of another one.

/// What the tenant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attack {
    /// Copies of the victim's runs, with their markers and names.
    Copy,
    /// Markers that name the victim's deliveries, under the tenant's own uid.
    Marker,
    /// Statuses and answers that claim the victim's executions, and runs that follow them.
    Claim,
    /// All its runs are deleted, and their finalizers stay.
    Delete,
    /// Many runs, half of which are deleted at once.
    Flood,
    /// Its account is said to be the victim's, and loses its credential.
    Account,
}
