//! Scripted pipelines: what an execution of each will do, and the file they are read from.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    duration::HumanDuration,
    error::SimError,
    starts::{InputTrigger, Schedule, Starts},
};

/// What happens when this pipeline is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pipeline {
    /// The id callers start it by.
    pub id: String,
    /// How long each execution is PROCESSING.
    #[serde(default = "default_duration")]
    pub duration: HumanDuration,
    /// Executions per start: one per file that waits. 0 is accepted and starts nothing.
    #[serde(default = "one")]
    pub files: u32,
    /// How the executions end.
    #[serde(default)]
    pub outcome: Outcomes,
    /// The error of the executions that fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ExecutionError>,
    /// The statistics of every execution's log.
    #[serde(default)]
    pub stats: Stats,
    /// How slow the API is with this pipeline.
    #[serde(default)]
    pub delays: Delays,
    /// A failed execution is repaired this long after it ended: a FIX run as long as the first, which succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_after: Option<HumanDuration>,
    /// Whether it may be started at all.
    #[serde(default = "yes")]
    pub active: bool,
    /// A draft may not be started either.
    #[serde(default)]
    pub draft: bool,
    /// Shown as `configuration.developer_mode`: only 100 rows would be delivered.
    #[serde(default)]
    pub developer_mode: bool,
    /// Its name; without one, its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its input connector waits for, as callers see it.
    #[serde(default)]
    pub input_trigger: InputTrigger,
    /// Its schedule, as callers see it. What really starts it is in `starts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The server starts it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Starts>,
    /// Which of the documentation's contradicting forms its executions are shown in.
    #[serde(default)]
    pub spelling: Spelling,
}

impl Pipeline {
    /// A pipeline with one file that succeeds after a second.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            duration: default_duration(),
            files: 1,
            outcome: Outcomes::default(),
            error: None,
            stats: Stats::default(),
            delays: Delays::default(),
            fix_after: None,
            active: true,
            draft: false,
            developer_mode: false,
            name: None,
            input_trigger: InputTrigger::default(),
            schedule: None,
            starts: None,
            spelling: Spelling::default(),
        }
    }

    /// Sets how long its executions take.
    pub fn duration(self, duration: Duration) -> Self {
        Self { duration: HumanDuration(duration), ..self }
    }

    /// Its executions are PROCESSING until they are finished by hand.
    pub fn held(self) -> Self {
        Self { duration: HumanDuration::HOLD, ..self }
    }

    /// Sets the number of executions per start.
    pub fn files(self, files: u32) -> Self {
        Self { files, ..self }
    }

    /// Its executions fail with this error.
    pub fn failing(self, kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { outcome: Outcomes::All(Ending::Failed), error: Some(ExecutionError { kind: kind.into(), message: message.into() }), ..self }
    }

    /// Sets each file's ending; files after the last one named end like the last one.
    pub fn outcomes(self, endings: impl Into<Vec<Ending>>) -> Self {
        Self { outcome: Outcomes::PerFile(endings.into()), ..self }
    }

    /// Sets the statistics of its logs.
    pub fn stats(self, stats: Stats) -> Self {
        Self { stats, ..self }
    }

    /// Sets the form of the answers.
    pub fn spelling(self, spelling: Spelling) -> Self {
        Self { spelling, ..self }
    }

    /// Sets how slow the API is with it.
    pub fn delays(self, delays: Delays) -> Self {
        Self { delays, ..self }
    }

    /// Sets whether it may be started.
    pub fn active(self, active: bool) -> Self {
        Self { active, ..self }
    }

    /// Sets whether it is a draft.
    pub fn draft(self, draft: bool) -> Self {
        Self { draft, ..self }
    }

    /// Sets whether it is in developer mode.
    pub fn developer_mode(self, developer_mode: bool) -> Self {
        Self { developer_mode, ..self }
    }

    /// Sets its name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Shows a schedule; nothing is started by it.
    pub fn scheduled(self, frequency: impl Into<String>, interval: u64) -> Self {
        Self { schedule: Some(Schedule { frequency: frequency.into(), interval }), ..self }
    }

    /// Its input connector waits for data.
    pub fn event_based(self) -> Self {
        Self { input_trigger: InputTrigger::EventBase, ..self }
    }

    /// Has the server start it by itself.
    pub fn starts(self, starts: Starts) -> Self {
        Self { starts: Some(starts), ..self }
    }

    /// Sets the time between an end with FAILED and the repair.
    pub fn fix_after(self, after: Duration) -> Self {
        Self { fix_after: Some(HumanDuration(after)), ..self }
    }

    /// How the file with this index ends.
    pub(crate) fn ending(&self, file: usize) -> Ending {
        match &self.outcome {
            Outcomes::All(ending) => *ending,
            Outcomes::PerFile(endings) => endings.get(file).or(endings.last()).copied().unwrap_or_default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), SimError> {
        let problem = if self.id.is_empty() {
            "the id is empty"
        } else if matches!(&self.outcome, Outcomes::PerFile(endings) if endings.is_empty()) {
            "`outcome` is an empty list"
        } else if self.starts.as_ref().is_some_and(|starts| starts.every.0.as_millis() == 0) {
            "`starts.every` is no time"
        } else {
            return Ok(());
        };
        Err(SimError::Pipeline { pipeline: self.id.clone(), problem: problem.to_owned() })
    }
}

/// How the executions of one start end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`outcome` must be SUCCESSFUL, FAILED or a list of them")]
pub enum Outcomes {
    /// All of them alike.
    All(Ending),
    /// One word per file, the last one standing for the rest.
    PerFile(Vec<Ending>),
}

impl Default for Outcomes {
    fn default() -> Self {
        Self::All(Ending::Successful)
    }
}

/// One of the two ways an execution can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Ending {
    /// It completed.
    #[default]
    Successful,
    /// It failed.
    Failed,
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutionError {
    /// nuvo's word for the kind of failure.
    #[serde(rename = "type")]
    pub kind: String,
    /// nuvo's explanation for a person.
    #[serde(default)]
    pub message: String,
}

/// The numbers of one run of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Stats {
    /// Rows put out.
    #[serde(alias = "total_rows")]
    pub total_rows: i64,
    /// Cells put out.
    #[serde(alias = "total_cells")]
    pub total_cells: i64,
    /// Cells with an error.
    #[serde(alias = "total_error_cells")]
    pub total_error_cells: i64,
    /// Rows with an error.
    #[serde(alias = "total_error_rows")]
    pub total_error_rows: i64,
}

/// How long the API takes over a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Delays {
    /// Between the arrival of the POST and its effect.
    pub execute: HumanDuration,
    /// Between the effect of the POST and its answer.
    pub answer: HumanDuration,
}

/// The documentation contradicts itself about these answers; each variant is one consistent reading of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Spelling {
    /// As its text says: `started_on`, `CREATE`, `created_at` with a zone, `error` only after a failure.
    #[default]
    Text,
    /// As its samples show: `started_at`, `CREATED`, `created_at` without a zone, `error` always (the pipeline's, without one null).
    Sample,
    /// As public client code reads it: `started_at`, `CREATED`, `createdAt` with a zone, `error` always, `configuration` an object.
    Seen,
}

/// The pipelines file of the demonstration, which the program serves when it is given no other.
pub const BUILTIN_PIPELINES: &str = include_str!("../pipelines.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelinesFile {
    pipelines: Vec<Pipeline>,
}

/// Reads a pipelines file's text. An unknown field, a bad value or an id that occurs twice refuses all of it.
pub fn parse_pipelines(yaml: &str) -> Result<Vec<Pipeline>, SimError> {
    let PipelinesFile { pipelines } = serde_yaml::from_str(yaml).map_err(SimError::Yaml)?;
    let mut ids = BTreeSet::new();
    for pipeline in &pipelines {
        pipeline.check()?;
        if !ids.insert(pipeline.id.as_str()) {
            return Err(SimError::Pipeline { pipeline: pipeline.id.clone(), problem: "the id occurs twice".to_owned() });
        }
    }
    Ok(pipelines)
}

/// Reads a pipelines file.
pub fn read_pipelines(path: &Path) -> Result<Vec<Pipeline>, SimError> {
    let text = std::fs::read_to_string(path).map_err(|source| SimError::ReadFile { path: path.to_owned(), source })?;
    parse_pipelines(&text)
}

fn default_duration() -> HumanDuration {
    HumanDuration(Duration::from_secs(1))
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}
