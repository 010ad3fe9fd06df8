//! What starts a pipeline: the triggers that callers see, and what the server starts by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{duration::HumanDuration, identity::Identity};

/// How an execution was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Trigger {
    /// Through the API.
    #[default]
    Manual,
    /// By the pipeline's schedule.
    Scheduled,
    /// By data that arrived.
    Event,
}

impl Trigger {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Scheduled => "SCHEDULED",
            Self::Event => "EVENT",
        }
    }
}

/// What the input connector of a pipeline waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum InputTrigger {
    /// The schedule of the pipeline, or a call of the API.
    #[default]
    #[serde(rename = "TIME_BASE")]
    TimeBase,
    /// Data that arrives.
    #[serde(rename = "EVENT_BASE")]
    EventBase,
}

/// A schedule as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// `HOURLY`, `DAILY`, `WEEKLY` or `MONTHLY`.
    pub frequency: String,
    /// Each so many of them.
    #[serde(default = "one_long")]
    pub interval: u64,
}

/// How the server starts a pipeline by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Starts {
    /// How often. The first time so long after the pipeline was added.
    pub every: HumanDuration,
    /// Which trigger its executions then show.
    #[serde(default = "scheduled")]
    pub trigger: Trigger,
    /// Who is shown as their creator.
    #[serde(default = "owner")]
    pub creator: Identity,
}

impl Starts {
    /// By its schedule, in the name of the pipeline's owner.
    pub fn every(every: Duration) -> Self {
        Self { every: HumanDuration(every), trigger: scheduled(), creator: owner() }
    }

    /// Sets the trigger.
    pub fn by(self, trigger: Trigger) -> Self {
        Self { trigger, ..self }
    }

    /// Sets the creator.
    pub fn creator(self, creator: Identity) -> Self {
        Self { creator, ..self }
    }
}

const fn one_long() -> u64 {
    1
}

const fn scheduled() -> Trigger {
    Trigger::Scheduled
}

/// Who has configured the pipelines.
pub(crate) fn owner() -> Identity {
    Identity::user("pipeline.owner@example.com")
}
