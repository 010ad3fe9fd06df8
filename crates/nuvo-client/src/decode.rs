//! Decodes nuvo's answers. Tolerant in form (both spellings, with and without `data`), strict in meaning: an id and a status must
//! be there once and be texts; the pipeline must be named where an execution begins or ends; everything else may be missing.

mod json;

use std::time::Duration;

use nuvo_core::{
    run::{ExecutionId, PipelineId},
    vocabulary::ExecutionStatus,
};

use super::error::Error;
use super::execution::{Execution, ExecutionError, Identity, Log, LogKind, NuvoTime, Pipeline, RawPage, Stats};
use super::redact::{MESSAGE, Redactor, WORD};
use json::{Json, Reason};

/// How many runs of an execution are kept: the last ones.
const MAX_LOGS: usize = 64;
/// An id goes into the status as it is, and a reader of runs need not have access to the account's Secret.
const SECRET_ID: Reason = "an id in it contains the account's own secret";

fn malformed(reason: Reason) -> Error {
    Error::Malformed { reason }
}

/// An answer without its wrapper.
fn unwrapped(root: &Json) -> Result<&Json, Reason> {
    Ok(root.get("data")?.unwrap_or(root))
}

/// An id: a text, or an object that has one.
fn id_of(value: &Json) -> Result<Option<&str>, Reason> {
    Ok(match value {
        Json::Object(_) => value.any(&["id", "_id"])?.and_then(Json::text),
        other => other.text(),
    })
}

fn word(value: Option<&Json>, max: usize, redactor: &Redactor) -> Option<String> {
    value.and_then(Json::text).map(|t| redactor.clean(t, max)).filter(|t| !t.is_empty())
}

fn time(value: Option<&Json>, redactor: &Redactor) -> Option<NuvoTime> {
    value.and_then(Json::text).map(|t| NuvoTime::read(t, redactor))
}

fn status(word: &str, redactor: &Redactor) -> Result<ExecutionStatus, Reason> {
    if let Some(documented) = ExecutionStatus::documented(word) {
        return Ok(documented);
    }
    match ExecutionStatus::from(redactor.clean(word, WORD).as_str()) {
        other @ ExecutionStatus::Other(_) => Ok(other),
        // It would be taken for the word of the API wherever it is shown or stored, and end what has not ended.
        _ => Err("a status is a word of the API only after cleaning"),
    }
}

fn execution(value: &Json, redactor: &Redactor) -> Result<Execution, Reason> {
    if !matches!(value, Json::Object(_)) {
        return Err("an execution is not an object");
    }
    let id = value.get("id")?.ok_or("an execution has no id")?.text().ok_or("an execution's id is not a text")?;
    let id = ExecutionId::new(id).map_err(|_| "an execution's id is not a valid id")?;
    if redactor.reveals_secret(id.as_str()) {
        return Err(SECRET_ID);
    }
    let word_sent = value.get("status")?.ok_or("an execution has no status")?.text().ok_or("an execution's status is not a text")?;
    let pipeline = match value.get("pipeline")? {
        None => None,
        // What had to be cleaned could be taken for the id of another one afterwards.
        Some(p) => {
            Some(id_of(p)?.filter(|p| !p.is_empty() && redactor.clean(p, WORD) == *p).ok_or("an execution's pipeline is not an id")?)
        }
    };
    let configuration = value.get("configuration")?.map(id_of).transpose()?.flatten();
    let error = match value.get("error")? {
        Some(e @ Json::Object(_)) => Some(ExecutionError {
            kind: word(e.any(&["type", "code"])?, WORD, redactor),
            message: word(e.get("message")?, MESSAGE, redactor),
        }),
        Some(Json::Text(message)) => Some(ExecutionError { kind: None, message: Some(redactor.clean(message, MESSAGE)) }),
        _ => None,
    };
    let (created_by, creator) = match value.any(&["created_by", "createdBy"])? {
        Some(by @ Json::Object(_)) => {
            let identifier = by.get("identifier")?.and_then(Json::text).filter(|text| !text.trim().is_empty());
            (identifier.map(|text| Identity::read(text, redactor)), creator(by, redactor)?)
        }
        _ => (None, None),
    };
    let logs = match value.get("logs")? {
        Some(Json::List(logs)) => {
            let skip = logs.len().saturating_sub(MAX_LOGS);
            logs.iter().skip(skip).filter(|l| matches!(l, Json::Object(_))).map(|l| log(l, redactor)).collect::<Result<_, _>>()?
        }
        _ => Vec::new(),
    };
    Ok(Execution {
        id,
        pipeline: pipeline.map(str::to_owned),
        status: status(word_sent, redactor)?,
        error,
        trigger_type: word(value.any(&["trigger_type", "triggerType"])?, WORD, redactor),
        configuration: configuration.map(|c| redactor.clean(c, WORD)).filter(|c| !c.is_empty()),
        created_at: time(value.any(&["created_at", "createdAt"])?, redactor),
        updated_at: time(value.any(&["updated_at", "updatedAt"])?, redactor),
        created_by,
        creator,
        logs,
    })
}

/// Name and kind of who created an execution. A name can be an e-mail address, which is for nuvo only.
fn creator(by: &Json, redactor: &Redactor) -> Result<Option<String>, Reason> {
    let name = word(by.get("name")?, WORD, redactor).filter(|name| !name.contains('@'));
    let kind = word(by.get("type")?, WORD, redactor);
    Ok(match (name, kind) {
        (Some(name), Some(kind)) => Some(format!("{name} ({kind})")),
        (name, kind) => name.or(kind),
    })
}

fn log(value: &Json, redactor: &Redactor) -> Result<Log, Reason> {
    let kind = match value.get("type")?.and_then(Json::text) {
        Some("CREATE" | "CREATED") => LogKind::Create,
        Some("FIX") => LogKind::Fix,
        other => LogKind::Other(other.map(|o| redactor.clean(o, WORD)).unwrap_or_default()),
    };
    let data = value.get("data")?.unwrap_or(&Json::Null);
    let count = |key| Ok::<_, Reason>(data.get(key)?.and_then(Json::count));
    Ok(Log {
        status: value.get("status")?.and_then(Json::text).and_then(|w| status(w, redactor).ok()),
        kind,
        started_at: time(value.any(&["started_at", "started_on"])?, redactor),
        duration_ms: match value.get("duration")? {
            Some(duration) => duration.count(),
            None => data.get("duration")?.and_then(Json::count),
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
    let root = Json::parse(body).map_err(malformed)?;
    let found = unwrapped(&root).and_then(|value| execution(value, redactor)).map_err(malformed)?;
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
    let root = Json::parse(body).map_err(malformed)?;
    let Json::List(entries) = unwrapped(&root).map_err(malformed)? else {
        return Err(malformed("the answer is not a list"));
    };
    let items: Vec<_> = entries.iter().filter_map(|entry| execution(entry, redactor).ok()).collect();
    let pagination = root.get("pagination").map_err(malformed)?.unwrap_or(&Json::Null);
    let number = |key| Ok::<_, Error>(pagination.get(key).map_err(malformed)?.and_then(Json::count));
    Ok(RawPage { unreadable: entries.len().saturating_sub(items.len()), items, limit: number("limit")?, total: number("total")? })
}

/// Reads the parts of a pipeline that the operator uses.
///
/// # Errors
/// [`Error::Malformed`].
pub fn pipeline(body: &[u8], asked: &PipelineId, redactor: &Redactor) -> Result<Pipeline, Error> {
    let read = || -> Result<Pipeline, Reason> {
        let root = Json::parse(body)?;
        let value = unwrapped(&root)?;
        if !matches!(value, Json::Object(_)) {
            return Err("a pipeline is not an object");
        }
        if value.get("id")?.and_then(Json::text).is_some_and(|id| id != asked.as_str()) {
            return Err("the answer is about another pipeline");
        }
        let flag = |key| Ok::<_, Reason>(value.get(key)?.and_then(Json::flag));
        let developer_mode = match value.get("configuration")? {
            Some(configuration) => configuration.any(&["developer_mode", "developerMode"])?.and_then(Json::flag),
            None => None,
        };
        let developer_mode = developer_mode.or(flag("developer_mode")?);
        let connector = value.any(&["input_connector", "inputConnector"])?.filter(|connector| matches!(connector, Json::Object(_)));
        let of_connector = connector.map(|connector| connector.any(&["trigger_type", "triggerType"])).transpose()?.flatten();
        let input_trigger = word(value.any(&["trigger_type", "triggerType"])?.or(of_connector), WORD, redactor);
        let schedule = value.get("schedule")?.map(|schedule| self::schedule(schedule, redactor)).transpose()?.flatten();
        let name = word(value.get("name")?, WORD, redactor);
        Ok(Pipeline { name, active: flag("active")?, draft: flag("draft")?, developer_mode, input_trigger, schedule })
    };
    read().map_err(malformed)
}

/// A schedule as a text, such as `DAILY x 2`.
fn schedule(value: &Json, redactor: &Redactor) -> Result<Option<String>, Reason> {
    if !matches!(value, Json::Object(_)) {
        return Ok(word(Some(value), WORD, redactor));
    }
    let frequency = word(value.any(&["frequency", "type"])?, WORD / 2, redactor);
    let interval = value.get("interval")?.and_then(Json::count);
    Ok(match (frequency, interval) {
        (Some(frequency), Some(interval)) => Some(format!("{frequency} x {interval}")),
        (frequency, _) => frequency,
    })
}

/// Reads the token out of `{"access_token": …}`, possibly inside `data`.
///
/// # Errors
/// [`Error::Malformed`].
pub fn access_token(body: &[u8]) -> Result<String, Error> {
    let read = || -> Result<String, Reason> {
        let root = Json::parse(body)?;
        let token = unwrapped(&root)?.get("access_token")?.and_then(Json::text).ok_or("there is no access token in the answer")?;
        Ok(token.to_owned())
    };
    read().map_err(malformed)
}

/// The ids in the answer to a POST.
pub fn created(body: &[u8], ours: &PipelineId, most: usize, redactor: &Redactor) -> Result<Vec<ExecutionId>, Reason> {
    let root = Json::parse(body)?;
    let data = unwrapped(&root)?;
    let entries = match data {
        Json::List(entries) => entries.as_slice(),
        object @ Json::Object(_) => std::slice::from_ref(object),
        _ => return Err("there is no list of executions in it"),
    };
    if entries.len() > most {
        return Err("it lists too many executions");
    }
    let mut ids: Vec<ExecutionId> = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = entry.get("id")?.and_then(Json::text).ok_or("an execution in it has no id")?;
        let id = ExecutionId::new(id).map_err(|_| "an id in it is not valid")?;
        if redactor.reveals_secret(id.as_str()) {
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

/// The explanation in an error body: `error.message`, `error.code` or `message`; never the body itself.
pub fn explanation(body: &[u8], redactor: &Redactor) -> Option<String> {
    let root = Json::parse(body).ok()?;
    let error = root.get("error").ok()?.unwrap_or(&Json::Null);
    let texts = [error.get("message"), error.get("code"), root.get("message")];
    texts.into_iter().find_map(|found| word(found.ok()?, MESSAGE / 2, redactor))
}

/// Whether an error body is in nuvo's form, and so not the page of a gateway.
pub fn is_of_nuvo(body: &[u8]) -> bool {
    explanation(body, &Redactor::default()).is_some()
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
mod tests;
