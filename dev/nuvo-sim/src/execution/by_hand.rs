//! Executions that are added or changed by hand.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::words::Status;
use crate::{
    duration::HumanDuration,
    identity::Identity,
    pipeline::{ExecutionError, Spelling, Stats},
    starts::Trigger,
};

/// An execution to add by hand: one that another user started, or an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seed {
    /// The pipeline, which need not exist.
    pub pipeline: String,
    /// Its id; without it, a new one.
    #[serde(default)]
    pub id: Option<String>,
    /// How long ago it was created.
    #[serde(default)]
    pub ago: HumanDuration,
    /// How long it took, if it has ended.
    #[serde(default)]
    pub lasted: HumanDuration,
    /// Who created it.
    #[serde(default = "other_user")]
    pub creator: Identity,
    /// How it was started.
    #[serde(default)]
    pub trigger: Trigger,
    /// Its status, which stays until it is changed.
    #[serde(default)]
    pub status: Status,
    /// Its error, shown while it is FAILED.
    #[serde(default)]
    pub error: Option<ExecutionError>,
    /// Its statistics.
    #[serde(default)]
    pub stats: Stats,
    /// How long from now until it appears in the list.
    #[serde(default)]
    pub listed_after: HumanDuration,
    /// The form it is shown in.
    #[serde(default)]
    pub spelling: Spelling,
}

impl Seed {
    /// An execution of `pipeline` that another user started now and that is PROCESSING.
    pub fn new(pipeline: impl Into<String>) -> Self {
        Self {
            pipeline: pipeline.into(),
            id: None,
            ago: HumanDuration::default(),
            lasted: HumanDuration::default(),
            creator: other_user(),
            trigger: Trigger::default(),
            status: Status::default(),
            error: None,
            stats: Stats::default(),
            listed_after: HumanDuration::default(),
            spelling: Spelling::default(),
        }
    }

    /// Sets the id.
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Sets how long ago it was created.
    pub fn ago(self, ago: std::time::Duration) -> Self {
        Self { ago: HumanDuration(ago), ..self }
    }

    /// Sets how long it took.
    pub fn lasted(self, lasted: std::time::Duration) -> Self {
        Self { lasted: HumanDuration(lasted), ..self }
    }

    /// Sets its statistics.
    pub fn stats(self, stats: Stats) -> Self {
        Self { stats, ..self }
    }

    /// Sets the form it is shown in.
    pub fn spelling(self, spelling: Spelling) -> Self {
        Self { spelling, ..self }
    }

    /// Sets its creator.
    pub fn by(self, creator: Identity) -> Self {
        Self { creator, ..self }
    }

    /// Sets how it was started.
    pub fn trigger(self, trigger: Trigger) -> Self {
        Self { trigger, ..self }
    }

    /// Sets its status.
    pub fn status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// Sets its error.
    pub fn error(self, kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: Some(ExecutionError { kind: kind.into(), message: message.into() }), ..self }
    }
}

fn other_user() -> Identity {
    Identity::user("other.user@example.com")
}

/// A change made to an execution by hand. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Change {
    /// SUCCESSFUL and FAILED end the current run. PROCESSING after an end begins another run, a `FIX`, which lasts until the next
    /// change. Any other word is shown as it is until the next change.
    pub status: Option<Status>,
    /// The error of the current run.
    pub error: Option<ExecutionError>,
    /// The statistics of the current run.
    pub stats: Option<Stats>,
    /// Fields put over those of every answer about this execution, as they are.
    pub fields: Option<Map<String, Value>>,
}

impl Change {
    /// The current run ends, or another one begins.
    pub fn status(status: Status) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// The current run fails with this error.
    pub fn failed(kind: impl Into<String>, message: impl Into<String>) -> Self {
        let error = Some(ExecutionError { kind: kind.into(), message: message.into() });
        Self { status: Some(Status::Failed), error, ..Self::default() }
    }

    /// Sets the statistics.
    pub fn stats(self, stats: Stats) -> Self {
        Self { stats: Some(stats), ..self }
    }

    /// Puts a field over that of the answers.
    pub fn field(mut self, name: impl Into<String>, value: Value) -> Self {
        self.fields.get_or_insert_default().insert(name.into(), value);
        self
    }
}
