//! The last read of an account's list, which several triggers may share.

use nuvo_client::Error;
use nuvo_core::run::Baseline;
use tokio::time::Instant;

/// A read of the account's list for a baseline, and its result.
pub(super) struct BaselineRead {
    pub(super) began: Instant,
    pub(super) result: Result<Option<Baseline>, Error>,
}
