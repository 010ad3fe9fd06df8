//! Whether a pipeline is in developer mode, in which nuvo delivers the first rows only.

use std::time::Duration;

use nuvo_client::{Error, Exchange};
use nuvo_core::{run::PipelineId, scheduler::Purpose};

use super::Session;

/// How long to wait for an answer about it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Session {
    /// Whether a pipeline is in developer mode. It is asked with a request that nothing else wants. A failure counts neither for the circuit
    /// breaker nor for the credentials, and leads to no pause: nothing of the account depends on the answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn developer_mode(&self, pipeline: &PipelineId) -> Result<bool, Error> {
        self.take(Purpose::Mode).await?;
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.client.pipeline(pipeline)).await;
        let Exchange { result, usage } = asked.map_err(|_| Error::TimedOut)?;
        self.charge(usage);
        result.map(|pipeline| pipeline.developer_mode == Some(true))
    }
}
