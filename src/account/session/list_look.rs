//! The last look at an account's list, which several triggers may share.

use nuvo_client::Error;
use nuvo_core::run::Baseline;
use tokio::time::Instant;

/// A look at the account's list, and what came of it.
pub(super) struct ListLook {
    pub(super) began: Instant,
    pub(super) result: Result<Option<Baseline>, Error>,
}
