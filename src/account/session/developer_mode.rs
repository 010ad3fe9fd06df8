//! Whether a pipeline is in developer mode, in which nuvo delivers the first rows only.

use std::{sync::Arc, time::Duration};

use nuvo_client::{Error, Exchange};
use nuvo_core::run::PipelineId;
use tokio::time::Instant;

use super::{Session, pipeline_modes::Mode};
use crate::account::Priority;

/// How long nuvo's answer about a pipeline's mode is used.
const MODE_AGE: Duration = Duration::from_secs(60);
/// How long to wait for an answer about it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The number of pipelines from which on old answers are removed.
const MAX_MODES: usize = 1_024;

impl Session {
    /// Whether a pipeline is in developer mode, by an answer of the last minute. False if nuvo does not answer.
    pub async fn developer_mode(&self, pipeline: &PipelineId) -> bool {
        let developer = {
            let mut modes = self.modes.lock();
            let known = &mut modes.known;
            if known.len() >= MAX_MODES {
                known.retain(|_, mode| mode.asked.elapsed() < MODE_AGE);
            }
            let fresh = known.get(pipeline).filter(|mode| mode.asked.elapsed() < MODE_AGE).map(|mode| mode.developer.clone());
            if fresh.is_none() && modes.silent.is_some_and(|since| since.elapsed() < MODE_AGE) {
                return false;
            }
            fresh.unwrap_or_else(|| {
                let mode = Mode { asked: Instant::now(), developer: Arc::default() };
                let developer = mode.developer.clone();
                modes.known.insert(pipeline.clone(), mode);
                developer
            })
        };
        // The end of a run waits for this answer but must not depend on it, nor must anything else of the account. So a failure counts neither
        // for the circuit breaker nor for the credentials, and leads to no pause.
        let ask = async || {
            self.take(Priority::Ending).await?;
            let Exchange { result, usage } = self.client.pipeline(pipeline).await;
            self.charge(usage);
            result
        };
        let asked = async || {
            if self.paused().is_some() {
                return false;
            }
            match tokio::time::timeout(ANSWER_WITHIN, ask()).await.unwrap_or(Err(Error::TimedOut)) {
                Ok(pipeline) => pipeline.developer_mode == Some(true),
                Err(error) => {
                    tracing::debug!(%error, %pipeline, "the pipeline cannot be read");
                    if error == Error::TimedOut {
                        // Otherwise the end of every run would wait as long again.
                        self.modes.lock().silent = Some(Instant::now());
                    }
                    false
                }
            }
        };
        *developer.get_or_init(asked).await
    }
}
