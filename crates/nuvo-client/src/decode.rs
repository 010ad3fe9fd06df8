//! Answers of nuvo as values. Tolerant in form (both spellings, with and without `data`), strict in meaning: an id and a status must
//! be there once and be texts; the pipeline must be named where an execution begins or ends; everything else may be missing.

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::error::Error;
use super::node::{Node, Reason};
use super::text::{MESSAGE, Redactor, WORD};
use nuvo_core::run::{ExecutionId, PipelineId};

const MAX_LOGS: usize = 64;
const TIME: usize = 64;
/// An id goes into the status as it is, and whoever may read a run may not read its account's Secret.
const SECRET_ID: Reason = "an id in it contains the account's own secret";

/// The status of an execution or of one of its runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Status {
    /// `PROCESSING`.
    Processing,
    /// `SUCCESSFUL`.
    Successful,
    /// `FAILED`.
    Failed,
    /// A word that is not documented, cleaned. Not an end.
    Other(String),
}

impl Status {
    /// The word of the API.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
            Self::Other(word) => word,
        }
    }

    /// Whether the execution has ended: exactly `SUCCESSFUL` or `FAILED`.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Successful | Self::Failed)
    }

    fn known(word: &str) -> Option<Self> {
        match word {
            "PROCESSING" => Some(Self::Processing),
            "SUCCESSFUL" => Some(Self::Successful),
            "FAILED" => Some(Self::Failed),
            _ => None,
        }
    }

    fn read(word: &str, redactor: &Redactor) -> Result<Self, Reason> {
        if let Some(known) = Self::known(word) {
            return Ok(known);
        }
        let cleaned = redactor.clean(word, WORD);
        // It would be taken for the word of the API wherever it is shown or stored, and end what has not ended.
        if Self::known(&cleaned).is_some() { Err("a status is a word of the API only after cleaning") } else { Ok(Self::Other(cleaned)) }
    }
}

/// A time of nuvo's clock, to be compared with other times of nuvo only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct When {
    /// The instant, if the text can be read; without a zone it is taken as UTC.
    pub at: Option<Timestamp>,
    /// The text as it was sent, cleaned.
    pub text: String,
}

impl When {
    fn read(text: &str, redactor: &Redactor) -> Self {
        let text = redactor.clean(text, TIME);
        let civil = |t: &str| t.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
        let at = text.parse::<Timestamp>().ok().or_else(|| civil(&text));
        // Kubernetes has no name for a year before 0, and after 9999 there is no timestamp.
        let at = at.filter(|at| at.to_zoned(TimeZone::UTC).year() >= 0);
        Self { at, text }
    }
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExecutionError {
    /// The word of the API, an open set.
    pub kind: Option<String>,
    /// For people: cleaned, redacted, at most 1,024 characters.
    pub message: Option<String>,
}

/// Who created an execution.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// The id of the user or sub-organization.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its identifier, as in the account.
    pub identifier: Option<String>,
    /// `USER` or `SUB_ORG`.
    pub kind: Option<String>,
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
    pub status: Option<Status>,
    /// First attempt or repair.
    pub kind: LogKind,
    /// When it began.
    pub started_at: Option<When>,
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
    pub status: Status,
    /// Why it failed. May be there without a failure: the status alone counts.
    pub error: Option<ExecutionError>,
    /// `MANUAL`, `SCHEDULED`, `EVENT` or another word.
    pub trigger_type: Option<String>,
    /// The id of the pipeline's configuration.
    pub configuration: Option<String>,
    /// When it was created.
    pub created_at: Option<When>,
    /// When it last changed.
    pub updated_at: Option<When>,
    /// Who created it.
    pub created_by: Option<Identity>,
    /// Its runs, at most the last 64. Entries of a list carry none.
    pub logs: Vec<Log>,
}

/// What is read of a pipeline before a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pipeline {
    /// Whether it is switched on.
    pub active: Option<bool>,
    /// Whether it is a draft.
    pub draft: Option<bool>,
    /// In developer mode only the first 100 rows are delivered.
    pub developer_mode: Option<bool>,
}

/// One page of a list as it was sent.
#[derive(Debug)]
pub struct RawPage {
    /// The entries that could be read.
    pub items: Vec<Execution>,
    /// Entries that could not be read.
    pub unreadable: usize,
    /// The page size that the server says it used.
    pub limit: Option<i64>,
    /// How many executions there are, as far as the server says it.
    pub total: Option<i64>,
}

fn malformed(reason: Reason) -> Error {
    Error::Malformed { reason }
}

/// An answer without its wrapper.
fn unwrapped(root: &Node) -> Result<&Node, Reason> {
    Ok(root.get("data")?.unwrap_or(root))
}

/// An id: a text, or an object that has one.
fn id_of(node: &Node) -> Result<Option<&str>, Reason> {
    Ok(match node {
        Node::Object(_) => node.any(&["id", "_id"])?.and_then(Node::text),
        other => other.text(),
    })
}

fn word(node: Option<&Node>, max: usize, redactor: &Redactor) -> Option<String> {
    node.and_then(Node::text).map(|t| redactor.clean(t, max)).filter(|t| !t.is_empty())
}

fn time(node: Option<&Node>, redactor: &Redactor) -> Option<When> {
    node.and_then(Node::text).map(|t| When::read(t, redactor))
}

fn execution(node: &Node, redactor: &Redactor) -> Result<Execution, Reason> {
    if !matches!(node, Node::Object(_)) {
        return Err("an execution is not an object");
    }
    let id = node.get("id")?.ok_or("an execution has no id")?.text().ok_or("an execution's id is not a text")?;
    let id = ExecutionId::new(id).map_err(|_| "an execution's id is not a valid id")?;
    if redactor.is_told_by(id.as_str()) {
        return Err(SECRET_ID);
    }
    let status = node.get("status")?.ok_or("an execution has no status")?.text().ok_or("an execution's status is not a text")?;
    let pipeline = match node.get("pipeline")? {
        None => None,
        // What had to be cleaned could be taken for the id of another one afterwards.
        Some(p) => {
            Some(id_of(p)?.filter(|p| !p.is_empty() && redactor.clean(p, WORD) == *p).ok_or("an execution's pipeline is not an id")?)
        }
    };
    let configuration = node.get("configuration")?.map(id_of).transpose()?.flatten();
    let error = match node.get("error")? {
        Some(e @ Node::Object(_)) => Some(ExecutionError {
            kind: word(e.any(&["type", "code"])?, WORD, redactor),
            message: word(e.get("message")?, MESSAGE, redactor),
        }),
        Some(Node::Text(message)) => Some(ExecutionError { kind: None, message: Some(redactor.clean(message, MESSAGE)) }),
        _ => None,
    };
    let created_by = match node.any(&["created_by", "createdBy"])? {
        Some(by @ Node::Object(_)) => Some(Identity {
            id: word(by.get("id")?, WORD, redactor),
            name: word(by.get("name")?, WORD, redactor),
            identifier: word(by.get("identifier")?, 320, redactor),
            kind: word(by.get("type")?, WORD, redactor),
        }),
        Some(Node::Text(id)) => Some(Identity { id: Some(redactor.clean(id, WORD)), ..Identity::default() }),
        _ => None,
    };
    let logs = match node.get("logs")? {
        Some(Node::List(logs)) => {
            let skip = logs.len().saturating_sub(MAX_LOGS);
            logs.iter().skip(skip).filter(|l| matches!(l, Node::Object(_))).map(|l| log(l, redactor)).collect::<Result<_, _>>()?
        }
        _ => Vec::new(),
    };
    Ok(Execution {
        id,
        pipeline: pipeline.map(str::to_owned),
        status: Status::read(status, redactor)?,
        error,
        trigger_type: word(node.any(&["trigger_type", "triggerType"])?, WORD, redactor),
        configuration: configuration.map(|c| redactor.clean(c, WORD)).filter(|c| !c.is_empty()),
        created_at: time(node.any(&["created_at", "createdAt"])?, redactor),
        updated_at: time(node.any(&["updated_at", "updatedAt"])?, redactor),
        created_by,
        logs,
    })
}

fn log(node: &Node, redactor: &Redactor) -> Result<Log, Reason> {
    let kind = match node.get("type")?.and_then(Node::text) {
        Some("CREATE" | "CREATED") => LogKind::Create,
        Some("FIX") => LogKind::Fix,
        other => LogKind::Other(other.map(|o| redactor.clean(o, WORD)).unwrap_or_default()),
    };
    let data = node.get("data")?.unwrap_or(&Node::Null);
    let count = |key| Ok::<_, Reason>(data.get(key)?.and_then(Node::count));
    Ok(Log {
        status: node.get("status")?.and_then(Node::text).and_then(|w| Status::read(w, redactor).ok()),
        kind,
        started_at: time(node.any(&["started_at", "started_on"])?, redactor),
        duration_ms: match node.get("duration")? {
            Some(duration) => duration.count(),
            None => data.get("duration")?.and_then(Node::count),
        },
        stats: Stats {
            total_rows: count("total_rows")?,
            total_cells: count("total_cells")?,
            total_error_cells: count("total_error_cells")?,
            total_error_rows: count("total_error_rows")?,
        },
    })
}

/// Reads one execution and checks that it is the one that was asked for. One that has ended must name its pipeline: nothing ends a run
/// that might be about something else.
///
/// # Errors
/// [`Error::Malformed`].
pub fn one(body: &[u8], asked: &ExecutionId, redactor: &Redactor) -> Result<Execution, Error> {
    let root = Node::parse(body).map_err(malformed)?;
    let found = unwrapped(&root).and_then(|node| execution(node, redactor)).map_err(malformed)?;
    if found.id != *asked {
        return Err(malformed("the answer is about another execution"));
    }
    if found.status.is_terminal() && found.pipeline.is_none() {
        return Err(malformed("an execution that has ended does not name its pipeline"));
    }
    Ok(found)
}

/// Reads a page of executions. An entry that cannot be read is counted and left out.
///
/// # Errors
/// [`Error::Malformed`].
pub fn page(body: &[u8], redactor: &Redactor) -> Result<RawPage, Error> {
    let root = Node::parse(body).map_err(malformed)?;
    let Node::List(entries) = unwrapped(&root).map_err(malformed)? else {
        return Err(malformed("the answer is not a list"));
    };
    let items: Vec<_> = entries.iter().filter_map(|entry| execution(entry, redactor).ok()).collect();
    let pagination = root.get("pagination").map_err(malformed)?.unwrap_or(&Node::Null);
    let number = |key| Ok::<_, Error>(pagination.get(key).map_err(malformed)?.and_then(Node::count));
    Ok(RawPage { unreadable: entries.len().saturating_sub(items.len()), items, limit: number("limit")?, total: number("total")? })
}

/// Reads what matters of a pipeline.
///
/// # Errors
/// [`Error::Malformed`].
pub fn pipeline(body: &[u8], asked: &PipelineId) -> Result<Pipeline, Error> {
    let read = || -> Result<Pipeline, Reason> {
        let root = Node::parse(body)?;
        let node = unwrapped(&root)?;
        if !matches!(node, Node::Object(_)) {
            return Err("a pipeline is not an object");
        }
        if node.get("id")?.and_then(Node::text).is_some_and(|id| id != asked.as_str()) {
            return Err("the answer is about another pipeline");
        }
        let flag = |key| Ok::<_, Reason>(node.get(key)?.and_then(Node::flag));
        let developer_mode = match node.get("configuration")? {
            Some(configuration) => configuration.any(&["developer_mode", "developerMode"])?.and_then(Node::flag),
            None => None,
        };
        let developer_mode = developer_mode.or(flag("developer_mode")?);
        Ok(Pipeline { active: flag("active")?, draft: flag("draft")?, developer_mode })
    };
    read().map_err(malformed)
}

/// Reads the token out of `{"access_token": …}`, possibly inside `data`.
///
/// # Errors
/// [`Error::Malformed`].
pub fn access_token(body: &[u8]) -> Result<String, Error> {
    let read = || -> Result<String, Reason> {
        let root = Node::parse(body)?;
        let token = unwrapped(&root)?.get("access_token")?.and_then(Node::text).ok_or("there is no access token in the answer")?;
        Ok(token.to_owned())
    };
    read().map_err(malformed)
}

/// The ids in the answer to a POST.
pub(crate) fn created(body: &[u8], ours: &PipelineId, most: usize, redactor: &Redactor) -> Result<Vec<ExecutionId>, Reason> {
    let root = Node::parse(body)?;
    let data = unwrapped(&root)?;
    let entries = match data {
        Node::List(entries) => entries.as_slice(),
        object @ Node::Object(_) => std::slice::from_ref(object),
        _ => return Err("there is no list of executions in it"),
    };
    if entries.len() > most {
        return Err("it lists too many executions");
    }
    let mut ids: Vec<ExecutionId> = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = entry.get("id")?.and_then(Node::text).ok_or("an execution in it has no id")?;
        let id = ExecutionId::new(id).map_err(|_| "an id in it is not valid")?;
        if redactor.is_told_by(id.as_str()) {
            return Err(SECRET_ID);
        }
        let pipeline = entry.get("pipeline")?.ok_or("an execution in it does not name its pipeline")?;
        if id_of(pipeline)? != Some(ours.as_str()) {
            return Err("an execution in it belongs to another pipeline");
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// What an error body says to people: `error.message`, `error.code`, `message`; never the body itself.
pub(crate) fn explanation(body: &[u8], redactor: &Redactor) -> Option<String> {
    let root = Node::parse(body).ok()?;
    let error = root.get("error").ok()?.unwrap_or(&Node::Null);
    let texts = [error.get("message"), error.get("code"), root.get("message")];
    texts.into_iter().find_map(|found| word(found.ok()?, MESSAGE / 2, redactor))
}

/// The pause of a `Retry-After` in seconds, or as a date relative to the server's own `Date`. Clamped to 1 s .. 15 min.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    use jiff::fmt::rfc2822::DateTimeParser;
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<u64>().unwrap_or(u64::MAX)
    } else {
        let parser = DateTimeParser::new();
        let then = parser.parse_timestamp(text).ok()?.as_second();
        let now = parser.parse_timestamp(headers.get(http::header::DATE)?.to_str().ok()?.trim()).ok()?.as_second();
        u64::try_from(then.checked_sub(now)?).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds.clamp(1, 900)))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
