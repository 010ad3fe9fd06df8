//! Which pipelines are in developer mode, in which nuvo delivers the first rows only, and which nuvo starts by a schedule of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::run::PipelineId;

/// How long nuvo's answer about a pipeline is used, and how long a pipeline without an answer is not asked about again.
const AGE: Duration = Duration::from_secs(3_600);
/// The most pipelines that are remembered. One that is forgotten is asked about again.
const PIPELINES: usize = 1_024;

/// What is known of the pipelines of one account. All times are those of one monotonic clock, which is handed in.
#[derive(Debug, Default)]
pub struct PipelineModes {
    known: BTreeMap<PipelineId, Mode>,
    wanted: VecDeque<PipelineId>,
}

#[derive(Debug, Clone)]
struct Mode {
    since: Duration,
    told: Option<PipelineMode>,
}

/// What nuvo has said of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineMode {
    /// It is in developer mode.
    pub developer: bool,
    /// The schedule by which nuvo starts it.
    pub schedule: Option<String>,
}

impl PipelineModes {
    /// It would be good to know the mode of this pipeline.
    pub fn want(&mut self, pipeline: &PipelineId, now: Duration) {
        if self.known.get(pipeline).is_some_and(|mode| now.saturating_sub(mode.since) < AGE) {
            return;
        }
        let told = self.known.get(pipeline).and_then(|mode| mode.told.clone());
        if self.known.len() >= PIPELINES {
            self.known.retain(|_, mode| now.saturating_sub(mode.since) < AGE);
        }
        if self.known.len() < PIPELINES {
            // The last answer is used until there is another one.
            self.known.insert(pipeline.clone(), Mode { since: now, told });
            self.wanted.push_back(pipeline.clone());
        }
    }

    /// The next pipeline to be asked about.
    pub fn pop(&mut self) -> Option<PipelineId> {
        self.wanted.pop_front()
    }

    /// nuvo was not asked about a pipeline: it is asked when the mode is wanted again.
    pub fn forget(&mut self, pipeline: &PipelineId) {
        self.known.remove(pipeline);
    }

    /// nuvo has said this of a pipeline.
    pub fn set(&mut self, pipeline: &PipelineId, told: PipelineMode) {
        if let Some(mode) = self.known.get_mut(pipeline) {
            mode.told = Some(told);
        }
    }

    /// What nuvo has said of a pipeline; none if it was not asked.
    #[must_use]
    pub fn told(&self, pipeline: &PipelineId) -> Option<&PipelineMode> {
        self.known.get(pipeline)?.told.as_ref()
    }

    /// Whether a pipeline is in developer mode, as far as nuvo has said it.
    #[must_use]
    pub fn is_developer(&self, pipeline: &PipelineId) -> bool {
        self.told(pipeline).is_some_and(|mode| mode.developer)
    }
}
