//! What is known of the modes of pipelines.

use std::{collections::HashMap, sync::Arc};

use nuvo_core::run::PipelineId;
use tokio::{sync::OnceCell, time::Instant};

/// What is known of the modes of pipelines.
#[derive(Default)]
pub(super) struct Modes {
    pub(super) known: HashMap<PipelineId, Mode>,
    /// When nuvo has not answered in time.
    pub(super) silent: Option<Instant>,
}

/// Whether a pipeline is in developer mode, asked at this time: once for all callers.
pub(super) struct Mode {
    pub(super) asked: Instant,
    pub(super) developer: Arc<OnceCell<bool>>,
}
