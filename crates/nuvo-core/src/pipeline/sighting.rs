//! An execution as nuvo shows it.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nuvo_crds::Stats;

use crate::{run::ExecutionId, vocabulary::ExecutionStatus};

/// A time of nuvo's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NuvoInstant {
    /// The instant; of a text without a zone, as if it were UTC.
    pub at: Timestamp,
    /// Whether the text has named a zone.
    pub is_zoned: bool,
}

/// What a list or a read has shown of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its id.
    pub id: ExecutionId,
    /// Its status.
    pub status: ExecutionStatus,
    /// What started it, in nuvo's words.
    pub trigger_type: Option<String>,
    /// When it was created.
    pub created: Option<NuvoInstant>,
    /// When it changed last.
    pub updated: Option<NuvoInstant>,
    /// nuvo's word for its error, if it has failed.
    pub error_type: Option<String>,
    /// Who created it: name and kind.
    pub created_by: Option<String>,
    /// What only a read by its id shows.
    pub details: Option<Details>,
}

/// What a read of an execution by its id shows besides what lists have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Details {
    /// Statistics of its last log run.
    pub stats: Option<Stats>,
    /// The end of its last log run, by a start that names its zone.
    pub ended: Option<Timestamp>,
}

/// Whole seconds, as objects store times: what is read back equals what was written.
pub(super) fn stored(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
