//! Which pipelines are in developer mode, as far as nuvo has answered.

use std::{collections::HashMap, sync::Arc};

use nuvo_core::run::PipelineId;
use tokio::{sync::OnceCell, time::Instant};

/// The known modes of pipelines.
#[derive(Default)]
pub(super) struct Modes {
    pub(super) known: HashMap<PipelineId, Mode>,
    /// When nuvo last failed to answer in time.
    pub(super) silent: Option<Instant>,
}

/// Whether a pipeline is in developer mode, with the time of the request, which all callers share.
pub(super) struct Mode {
    pub(super) asked: Instant,
    pub(super) developer: Arc<OnceCell<bool>>,
}
