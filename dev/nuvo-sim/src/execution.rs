//! Executions: how they progress by themselves, how they are changed by hand, and how the API shows them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::{
    clock::Clock,
    config::{Identity, IdentityKind},
    duration::{HumanDuration, Millis, millis},
    pipeline::{Ending, ExecutionError, Pipeline, Spelling, Stats},
};

/// The status of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// `PROCESSING`.
    #[default]
    Processing,
    /// `SUCCESSFUL`.
    Successful,
    /// `FAILED`.
    Failed,
    /// A word the documentation does not know.
    Other(String),
}

impl Status {
    /// nuvo's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "PROCESSING" => Self::Processing,
            "SUCCESSFUL" => Self::Successful,
            "FAILED" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl From<Ending> for Status {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Successful => Self::Successful,
            Ending::Failed => Self::Failed,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from(word.as_str()))
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

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
    const fn name(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Scheduled => "SCHEDULED",
            Self::Event => "EVENT",
        }
    }
}

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

/// An execution as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Its id.
    pub id: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its status.
    pub status: Status,
    /// Its error, if it failed.
    pub error: Option<ExecutionError>,
    /// How it was started.
    pub trigger: Trigger,
    /// When it was created, on the server's clock, RFC 3339.
    pub created_at: String,
    /// Who created it.
    pub created_by: Identity,
    /// How many runs it has had: the first, and one for each repair.
    pub runs: usize,
    /// Whether the list shows it yet.
    pub listed: bool,
    /// The number in the journal of the POST that made it.
    pub request: Option<u64>,
}

/// An execution as stored. Its whole future is scheduled, so its state is a function of the time.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) created: Millis,
    /// From when on the list shows it.
    listed: Millis,
    creator: Identity,
    trigger: Trigger,
    spelling: Spelling,
    developer_mode: bool,
    request: Option<u64>,
    /// When it was last changed by hand.
    changed: Millis,
    first: Run,
    /// The repairs, which may lie in the future.
    fixes: Vec<Run>,
    fields: Map<String, Value>,
}

#[derive(Debug, Clone)]
struct Run {
    started: Millis,
    /// [`Millis::MAX`]: not by itself.
    ends: Millis,
    ending: Ending,
    /// Shown instead of the status.
    word: Option<String>,
    error: Option<ExecutionError>,
    stats: Stats,
}

impl Run {
    fn ended(&self, now: Millis) -> bool {
        self.ends != Millis::MAX && now >= self.ends
    }

    fn status(&self, now: Millis) -> Status {
        match &self.word {
            Some(word) => Status::Other(word.clone()),
            None if self.ended(now) => self.ending.into(),
            None => Status::Processing,
        }
    }

    /// What a run without an error of its own fails with.
    fn failure(&self) -> ExecutionError {
        self.error.clone().unwrap_or_else(|| ExecutionError {
            kind: "SOURCE_UNRESPONSIVE".to_owned(),
            message: "The connection to the input connector could not be established".to_owned(),
        })
    }
}

impl Stored {
    /// The execution of one file of a start.
    pub(crate) fn started(
        id: String,
        pipeline: &Pipeline,
        file: usize,
        creator: Identity,
        request: u64,
        now: Millis,
        listed: Millis,
    ) -> Self {
        let length = millis(pipeline.duration.0);
        let first = Run {
            started: now,
            ends: now.saturating_add(length),
            ending: pipeline.ending(file),
            word: None,
            error: pipeline.error.clone(),
            stats: pipeline.stats,
        };
        let mut fixes = Vec::new();
        if let (Some(after), Ending::Failed) = (pipeline.fix_after, first.ending) {
            let started = first.ends.saturating_add(millis(after.0));
            if started != Millis::MAX {
                fixes.push(Run { started, ends: started.saturating_add(length), ending: Ending::Successful, error: None, ..first.clone() });
            }
        }
        Self {
            id,
            pipeline: pipeline.id.clone(),
            created: now,
            listed,
            creator,
            trigger: Trigger::Manual,
            spelling: pipeline.spelling,
            developer_mode: pipeline.developer_mode,
            request: Some(request),
            changed: now,
            first,
            fixes,
            fields: Map::new(),
        }
    }

    pub(crate) fn seeded(id: String, seed: Seed, now: Millis) -> Self {
        let Seed { pipeline, id: _, ago, creator, trigger, status, error, stats, listed_after, spelling } = seed;
        let created = now.saturating_sub(millis(ago.0));
        let mut first = Run { started: created, ends: Millis::MAX, ending: Ending::Successful, word: None, error, stats };
        match status {
            Status::Processing => {}
            Status::Successful => first.ends = created,
            Status::Failed => {
                first.ending = Ending::Failed;
                first.ends = created;
            }
            Status::Other(word) => first.word = Some(word),
        }
        Self {
            id,
            pipeline,
            created,
            listed: now.saturating_add(millis(listed_after.0)),
            creator,
            trigger,
            spelling,
            developer_mode: false,
            request: None,
            changed: created,
            first,
            fixes: Vec::new(),
            fields: Map::new(),
        }
    }

    /// The runs that have begun.
    fn runs(&self, now: Millis) -> impl Iterator<Item = &Run> {
        std::iter::once(&self.first).chain(self.fixes.iter().filter(move |run| run.started <= now))
    }

    fn current(&self, now: Millis) -> &Run {
        self.fixes.iter().rfind(|run| run.started <= now).unwrap_or(&self.first)
    }

    pub(crate) fn listed(&self, now: Millis) -> bool {
        now >= self.listed
    }

    pub(crate) fn change(&mut self, change: Change, now: Millis) {
        let Change { status, error, stats, fields } = change;
        // A change by hand replaces what was scheduled.
        self.fixes.retain(|run| run.started <= now);
        self.changed = now;
        let ended = self.current(now).ended(now);
        if status == Some(Status::Processing) && ended {
            let again = Run { started: now, ends: Millis::MAX, word: None, error: None, ..self.current(now).clone() };
            self.fixes.push(again);
        }
        let run = self.fixes.last_mut().unwrap_or(&mut self.first);
        if let Some(status) = status {
            run.word = None;
            let end = if ended { run.ends } else { now };
            match status {
                Status::Processing => run.ends = Millis::MAX,
                Status::Successful => (run.ends, run.ending) = (end, Ending::Successful),
                Status::Failed => (run.ends, run.ending) = (end, Ending::Failed),
                Status::Other(word) => run.word = Some(word),
            }
        }
        run.error = error.or(run.error.take());
        run.stats = stats.unwrap_or(run.stats);
        if let Some(fields) = fields {
            self.fields.extend(fields);
        }
    }

    pub(crate) fn snapshot(&self, clock: &Clock, now: Millis) -> Execution {
        let run = self.current(now);
        let status = run.status(now);
        Execution {
            id: self.id.clone(),
            pipeline: self.pipeline.clone(),
            error: (status == Status::Failed).then(|| run.failure()),
            status,
            trigger: self.trigger,
            created_at: clock.zoned(self.created),
            created_by: self.creator.clone(),
            runs: self.runs(now).count(),
            listed: self.listed(now),
            request: self.request,
        }
    }

    /// The answer to the POST that made it, which says nothing but this.
    pub(crate) fn show_created(&self) -> Value {
        json!({"id": self.id, "pipeline": self.pipeline, "status": "PROCESSING", "trigger_type": self.trigger.name()})
    }

    /// A field that lists are filtered by, as [`Stored::show`] has it; none if it is no text.
    pub(crate) fn field(&self, name: &str, clock: &Clock, now: Millis) -> Option<String> {
        if !self.fields.is_empty() {
            // Fields set by hand take precedence.
            let shown = self.show(clock, now, false);
            return shown.pointer(&format!("/{}", name.replace('.', "/"))).and_then(Value::as_str).map(str::to_owned);
        }
        Some(match name {
            "id" => self.id.clone(),
            "pipeline" => self.pipeline.clone(),
            "status" => self.current(now).status(now).as_str().to_owned(),
            "trigger_type" => self.trigger.name().to_owned(),
            "created_by.identifier" => self.creator.identifier.clone(),
            _ => return None,
        })
    }

    /// An entry of the list, or with `whole` the answer to a GET by id.
    pub(crate) fn show(&self, clock: &Clock, now: Millis, whole: bool) -> Value {
        let run = self.current(now);
        let status = run.status(now);
        let time = |at: Millis| match self.spelling {
            Spelling::Sample => clock.bare(at),
            Spelling::Text | Spelling::Seen => clock.zoned(at),
        };
        let (created_at, updated_at) = match self.spelling {
            Spelling::Seen => ("createdAt", "updatedAt"),
            Spelling::Text | Spelling::Sample => ("created_at", "updated_at"),
        };
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
        put("id", json!(self.id));
        put("pipeline", json!(self.pipeline));
        put("status", json!(status));
        if status == Status::Failed {
            put("error", json!(run.failure()));
        } else if self.spelling != Spelling::Text {
            put("error", json!(self.first.error));
        }
        put("trigger_type", json!(self.trigger.name()));
        put(created_at, json!(time(self.created)));
        put("created_by", person(&self.creator));
        put(updated_at, json!(time(self.updated(now))));
        put("updated_by", person(&self.creator));
        if whole {
            put("logs", self.runs(now).enumerate().map(|(index, run)| self.show_run(run, index == 0, clock, now)).collect());
            let configuration = format!("{}-configuration", self.pipeline);
            put(
                "configuration",
                match self.spelling {
                    Spelling::Seen => json!({"id": configuration, "developer_mode": self.developer_mode}),
                    Spelling::Text | Spelling::Sample => json!(configuration),
                },
            );
        }
        shown.extend(self.fields.clone());
        Value::Object(shown)
    }

    fn show_run(&self, run: &Run, first: bool, clock: &Clock, now: Millis) -> Value {
        let (started, create) = match self.spelling {
            Spelling::Text => ("started_on", "CREATE"),
            Spelling::Sample | Spelling::Seen => ("started_at", "CREATED"),
        };
        json!({
            "status": run.status(now),
            "data": {
                "total_rows": run.stats.total_rows,
                "total_cells": run.stats.total_cells,
                "total_error_cells": run.stats.total_error_cells,
                "total_error_rows": run.stats.total_error_rows,
            },
            "duration": run.ends.min(now).saturating_sub(run.started).max(0),
            started: clock.zoned(run.started),
            "type": if first { create } else { "FIX" },
        })
    }

    fn updated(&self, now: Millis) -> Millis {
        let run = self.current(now);
        let moved = if run.ended(now) { run.ends } else { run.started };
        moved.max(self.changed)
    }
}

fn person(identity: &Identity) -> Value {
    let kind = match identity.kind {
        IdentityKind::User => "USER",
        IdentityKind::SubOrg => "SUB_ORG",
    };
    json!({"id": format!("id-of-{}", identity.identifier), "name": identity.identifier, "identifier": identity.identifier, "type": kind})
}
