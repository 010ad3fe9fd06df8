//! What one read of an execution has shown.

/// The answer to a read of an execution by its id.
pub(super) enum Answer {
    /// The execution, and, if it was successful, whether its pipeline is in developer mode.
    Found(Box<nuvo_client::Execution>, bool),
    /// It does not exist.
    Denied(Absence),
}

/// Whether more than one answer shows that an execution does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// The grace time is not over: the list of its pipeline was not read.
    Unconfirmed,
    /// The list of its pipeline does not have it, either.
    Confirmed,
    /// The list of its pipeline has it, or has no end.
    Contradicted,
}
