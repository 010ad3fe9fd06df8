//! What one read of an execution has shown.

use nuvo_core::run::Absence;

/// The answer to a read of an execution by its id.
pub(super) enum Answer {
    /// The execution, and, if it was successful, whether its pipeline is in developer mode.
    Found(Box<nuvo_client::Execution>, bool),
    /// It does not exist.
    Denied(Absence),
}
