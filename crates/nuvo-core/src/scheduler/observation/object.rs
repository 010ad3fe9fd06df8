//! One `NuvoPipeline`, as its account knows it.

use std::time::Duration;

use nuvo_crds::Mirror;

use crate::{
    pipeline::PipelineRecord,
    run::{PipelineId, Uid},
};

/// One `NuvoPipeline`, told apart from a later one of the same name by its uid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineRef {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// What an object wants to be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observable {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// `spec.freshness.minRows`.
    pub min_rows: i64,
    /// `spec.mirror`.
    pub mirror: Mirror,
}

/// What is known for it.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) pipeline: PipelineId,
    pub(super) record: PipelineRecord,
    /// When the last complete look began.
    pub(super) complete: Option<Duration>,
    /// Its list is not in the order that was asked for.
    pub(super) is_disordered: bool,
    /// Its results were learnt before the zone of nuvo's times was known.
    pub(super) has_wrong_times: bool,
}

impl Object {
    pub(super) const fn new(pipeline: PipelineId, record: PipelineRecord) -> Self {
        Self { pipeline, record, complete: None, is_disordered: false, has_wrong_times: false }
    }
}
