//! Executions and pipelines as nuvo describes them: bounded, and without text that must not be shown.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use nuvo_core::{run::ExecutionId, vocabulary::ExecutionStatus};

use super::redact::Redactor;

/// The longest text of a time that is kept, in characters.
const MAX_TIME: usize = 64;
/// The longest identity that a status keeps, in characters.
const MAX_IDENTITY: usize = 256;

/// A time of nuvo's clock, to be compared with other times of nuvo only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NuvoTime {
    /// The instant, if the text can be read; without a zone it is taken as UTC.
    pub at: Option<Timestamp>,
    /// Whether the text names a zone.
    pub is_zoned: bool,
    /// The text as it was sent, cleaned.
    pub text: String,
}

impl NuvoTime {
    pub(crate) fn read(text: &str, redactor: &Redactor) -> Self {
        let text = redactor.clean(text, MAX_TIME);
        let civil = |t: &str| t.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
        let zoned = text.parse::<Timestamp>().ok();
        let is_zoned = zoned.is_some();
        let at = zoned.or_else(|| civil(&text));
        // Kubernetes has no name for a year before 0, and after 9999 there is no timestamp.
        let at = at.filter(|at| at.to_zoned(TimeZone::UTC).year() >= 0);
        Self { at, is_zoned, text }
    }
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExecutionError {
    /// The word of the API, an open set.
    pub kind: Option<String>,
    /// The message: cleaned, redacted, at most 1,024 characters.
    pub message: Option<String>,
}

/// The identifier of a user or sub-organization, as nuvo shows the creator of an execution. It is compared as nuvo wrote it, because a secret may
/// be a part of it by chance. Then it is never shown.
#[derive(Clone)]
pub struct Identity {
    /// Case makes no difference: nuvo may spell an address otherwise than the account does.
    compared: String,
    text: Option<String>,
}

impl Identity {
    /// One that an object names, so that it may be shown.
    #[must_use]
    pub fn new(identifier: &str) -> Self {
        let text = identifier.trim().to_owned();
        Self { compared: text.to_lowercase(), text: Some(text) }
    }

    /// One that nuvo names.
    pub(crate) fn read(identifier: &str, redactor: &Redactor) -> Self {
        let identity = Self::new(identifier);
        let text = identity.text.filter(|text| redactor.clean(text, MAX_IDENTITY) == *text);
        Self { text, ..identity }
    }

    /// As it may be shown; none if it contains a secret, or is no text that a status can keep.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.compared == other.compared
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.compared.hash(state);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Whether a run of an execution was the first one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// `CREATE` or `CREATED`.
    Create,
    /// `FIX`: a person repaired the execution.
    Fix,
    /// Another word, cleaned; empty if there was none.
    Other(String),
}

impl LogKind {
    /// The word of the API.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Create => "CREATE",
            Self::Fix => "FIX",
            Self::Other(word) => word,
        }
    }
}

/// Numbers of one run; a number that is missing, negative or out of range is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stats {
    /// Output rows.
    pub total_rows: Option<i64>,
    /// Output cells.
    pub total_cells: Option<i64>,
    /// Output cells with an error.
    pub total_error_cells: Option<i64>,
    /// Output rows with an error.
    pub total_error_rows: Option<i64>,
}

/// One run of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Log {
    /// How it ended.
    pub status: Option<ExecutionStatus>,
    /// First attempt or repair.
    pub kind: LogKind,
    /// When it began.
    pub started_at: Option<NuvoTime>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its numbers.
    pub stats: Stats,
}

/// An execution of nuvo.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Execution {
    /// Its id.
    pub id: ExecutionId,
    /// The id of its pipeline, as sent.
    pub pipeline: Option<String>,
    /// Its status.
    pub status: ExecutionStatus,
    /// Why it failed. May be present without a failure: only the status counts.
    pub error: Option<ExecutionError>,
    /// `MANUAL`, `SCHEDULED`, `EVENT` or another word.
    pub trigger_type: Option<String>,
    /// The id of the pipeline's configuration.
    pub configuration: Option<String>,
    /// When it was created.
    pub created_at: Option<NuvoTime>,
    /// When it last changed.
    pub updated_at: Option<NuvoTime>,
    /// Who created it, if that has an identifier.
    pub created_by: Option<Identity>,
    /// Who created it, for people: name and kind, without an e-mail address.
    pub creator: Option<String>,
    /// Its runs, at most the last 64. Entries of a list carry none.
    pub logs: Vec<Log>,
}

/// What is read of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pipeline {
    /// Its name.
    pub name: Option<String>,
    /// Whether it is switched on.
    pub active: Option<bool>,
    /// Whether it is a draft.
    pub draft: Option<bool>,
    /// In developer mode only the first 100 rows are delivered.
    pub developer_mode: Option<bool>,
    /// What starts it, for example TIME_BASE or EVENT_BASE.
    pub input_trigger: Option<String>,
    /// Its schedule in nuvo, as a text.
    pub schedule: Option<String>,
}

/// One page of a list as it was sent.
#[derive(Debug)]
pub struct RawPage {
    /// The entries that could be read.
    pub items: Vec<Execution>,
    /// Entries that could not be read.
    pub unreadable: usize,
    /// The page size that the server reports.
    pub limit: Option<i64>,
    /// How many executions there are, if the server reports it.
    pub total: Option<i64>,
}
