//! Whether the installed definitions know what this version writes. The API server prunes the fields that an older definition lacks, silently,
//! and refuses values that it does not know.

use std::fmt::Display;

use nuvo_crds::{NuvoAccountStatus, NuvoPipelineStatus, PipelineRunStatus, PipelineScheduleStatus, ServedDefinition};
use parking_lot::RwLock;
use serde::{Serialize, de::DeserializeOwned};

use crate::{health_server::Health, telemetry::Metrics};

/// The kinds whose definitions count.
pub const KINDS: [&str; 4] = [PipelineRunStatus::KIND, NuvoAccountStatus::KIND, NuvoPipelineStatus::KIND, PipelineScheduleStatus::KIND];

/// The status of a kind that the operator writes.
pub trait StatusOf: Serialize + DeserializeOwned {
    /// The kind.
    const KIND: &'static str;
}

impl StatusOf for PipelineRunStatus {
    const KIND: &'static str = "PipelineRun";
}

impl StatusOf for NuvoAccountStatus {
    const KIND: &'static str = "NuvoAccount";
}

impl StatusOf for NuvoPipelineStatus {
    const KIND: &'static str = "NuvoPipeline";
}

impl StatusOf for PipelineScheduleStatus {
    const KIND: &'static str = "PipelineSchedule";
}

/// The installed definitions, as far as they are known.
#[derive(Debug, Default)]
pub struct Definitions(RwLock<Vec<ServedDefinition>>);

impl Definitions {
    /// A status as the installed definition keeps it. What it would prune must not be looked for in the object afterwards.
    #[must_use]
    pub fn fit<T: StatusOf>(&self, status: T) -> T {
        match self.0.read().iter().find(|served| served.kind() == T::KIND) {
            Some(served) => served.fit(status),
            None => status,
        }
    }

    /// Keeps what is served, and says what it lacks.
    pub fn set(&self, served: Vec<ServedDefinition>, metrics: &Metrics, health: &Health) {
        for definition in &served {
            metrics.definition_gaps(definition.kind(), definition.gaps().len());
        }
        let is_missing = |kind: &&str| !served.iter().any(|served| served.kind() == *kind);
        let missing = KINDS.into_iter().filter(is_missing).map(|kind| advice(format!("the definition of {kind} is not installed")));
        let old = served.iter().filter(|served| !served.gaps().is_empty()).map(advice).chain(missing).collect::<Vec<String>>();
        let mut known = self.0.write();
        if *known != served {
            for advice in &old {
                tracing::warn!("{advice}");
            }
        }
        *known = served;
        health.set_notes(old);
    }
}

fn advice(problem: impl Display) -> String {
    format!("{problem}: run `nuvo-operator crds | kubectl apply -f -`")
}
