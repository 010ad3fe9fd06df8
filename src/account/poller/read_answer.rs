//! What one read of an execution has shown.

/// What nuvo says of an execution that was asked for by its id.
pub(super) enum Answer {
    /// This; and whether its pipeline is in developer mode, if it is successful.
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
