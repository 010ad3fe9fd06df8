//! What nuvo says of the pipelines themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nuvo_crds::AboutPipeline;

use super::read::ObservationAnswer;
use crate::run::PipelineId;

/// The time between two reads of a pipeline.
const EVERY: Duration = Duration::from_secs(3_600);

/// What is known of the pipelines of one account.
#[derive(Debug, Default)]
pub(super) struct Abouts(BTreeMap<PipelineId, About>);

/// What is known of a pipeline.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    asked: Option<Duration>,
    /// What nuvo has said last.
    pub(super) about: Option<AboutPipeline>,
    /// nuvo has no such pipeline.
    pub(super) is_missing: bool,
}

impl Abouts {
    /// Whether a pipeline is to be read now.
    pub(super) fn is_due(&mut self, pipeline: &PipelineId, now: Duration) -> bool {
        let about = self.0.entry(pipeline.clone()).or_default();
        let is_due = about.asked.is_none_or(|asked| now.saturating_sub(asked) >= EVERY);
        if is_due {
            about.asked = Some(now);
        }
        is_due
    }

    /// nuvo has answered the read of a pipeline.
    pub(super) fn answered(&mut self, pipeline: &PipelineId, answer: &ObservationAnswer) {
        let Some(known) = self.0.get_mut(pipeline) else { return };
        match answer {
            ObservationAnswer::Pipeline(about) => (known.about, known.is_missing) = (Some(about.clone()), false),
            ObservationAnswer::NotFound => known.is_missing = true,
            // What is listed is judged all the same.
            ObservationAnswer::Execution(..) | ObservationAnswer::Forbidden | ObservationAnswer::Failed(_) => {}
        }
    }

    pub(super) fn get(&self, pipeline: &PipelineId) -> Option<&About> {
        self.0.get(pipeline)
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, left: &BTreeSet<&PipelineId>) {
        self.0.retain(|pipeline, _| left.contains(pipeline));
    }
}
