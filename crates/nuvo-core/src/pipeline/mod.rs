//! What is known of the executions of a pipeline that a `NuvoPipeline` observes, and what is concluded from it. Nothing here starts anything.
//!
//! A [`PipelineRecord`] is fed with what looks and reads have shown ([`Sighting`]); the account's scheduler decides when nuvo is asked
//! ([`crate::scheduler::Observation`]). [`status`](fn@status) judges the record.

mod counts;
mod ended;
mod events;
mod freshness;
mod mirror;
mod record;
mod sighting;
mod status;
mod watermark;
mod zone;

pub use counts::{Counts, ExecutionCount};
pub use events::{PipelineEvent, events_of_pipeline};
pub use mirror::{MirrorAct, MirrorFacts, MirroredRun, is_manual, mirror_run, next_mirror};
pub use record::{PipelineRecord, Report};
pub use sighting::{Details, NuvoInstant, Sighting};
pub use status::{Observed, ObservedState, PipelineFacts, PipelineJudgement, differs, status};
pub use zone::Zone;

#[cfg(test)]
mod tests;
