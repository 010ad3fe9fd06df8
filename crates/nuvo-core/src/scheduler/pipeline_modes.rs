//! Which pipelines are in developer mode, in which nuvo delivers the first rows only.

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

#[derive(Debug, Clone, Copy)]
struct Mode {
    since: Duration,
    developer: bool,
}

impl PipelineModes {
    /// It would be good to know the mode of this pipeline.
    pub fn want(&mut self, pipeline: &PipelineId, now: Duration) {
        if self.known.get(pipeline).is_some_and(|mode| now.saturating_sub(mode.since) < AGE) {
            return;
        }
        let developer = self.is_developer(pipeline);
        if self.known.len() >= PIPELINES {
            self.known.retain(|_, mode| now.saturating_sub(mode.since) < AGE);
        }
        if self.known.len() < PIPELINES {
            // The last answer is used until there is another one.
            self.known.insert(pipeline.clone(), Mode { since: now, developer });
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

    /// nuvo has said whether a pipeline is in developer mode.
    pub fn set(&mut self, pipeline: &PipelineId, developer: bool) {
        if let Some(mode) = self.known.get_mut(pipeline) {
            mode.developer = developer;
        }
    }

    /// Whether a pipeline is in developer mode, as far as nuvo has said it.
    #[must_use]
    pub fn is_developer(&self, pipeline: &PipelineId) -> bool {
        self.known.get(pipeline).is_some_and(|mode| mode.developer)
    }
}
