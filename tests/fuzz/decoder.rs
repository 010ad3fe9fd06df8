//! nuvo's answers: whatever comes, nothing is concluded that the answer does not say, and nothing comes out that must not be shown.

use http::{HeaderMap, HeaderValue, header};
use nuvo_client::{
    Execution, ExecutionStatus, NuvoTime, Redactor, decode,
    trigger_outcome::{BodyFault, MAX_EXECUTIONS, classify},
};
use nuvo_core::run::{ExecutionId, PipelineId, PostOutcome, Unexecuted};
use nuvo_crds::MAX_INTEGER;
use secrecy::SecretString;

use crate::{
    answer::{ASKED, Answer, PIPELINE, SECRETS, answer},
    bytes::Bytes,
    json::Json,
};

/// The longest text that may come out of an answer, in characters.
const LONGEST: usize = 1_024;

/// An input that begins with `=` is an answer to the letter; any other one describes how a valid one is changed.
pub fn check(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let raw = bytes.byte() == b'=';
    let Answer { body, template, untouched } =
        if raw { Answer { body: bytes.rest().to_vec(), template: 0, untouched: false } } else { answer(&mut bytes) };
    let redactor = Redactor::new(SECRETS.map(SecretString::from));
    let document = Json::read(&body);
    let ended = one(&body, document.as_ref(), &redactor);
    let listed = page(&body, &redactor);
    let pipeline = decode::pipeline(&body, &PipelineId::new(PIPELINE).unwrap(), &redactor);
    let token = decode::access_token(&body);
    if raw {
        STATUSES.iter().for_each(|status| post(*status, &HeaderMap::new(), Ok(&body), document.as_ref(), &redactor));
        return;
    }
    if untouched {
        let understood = match template {
            0 | 1 => ended,
            2 => listed == Some((2, 0)),
            4 => pipeline.is_ok_and(|pipeline| pipeline.active == Some(true) && pipeline.developer_mode == Some(true)),
            5 => token.is_ok_and(|token| token == "t"),
            _ => true,
        };
        assert!(understood, "a valid answer is not understood: {}", String::from_utf8_lossy(&body));
    }
    let status = if bytes.flag() { bytes.pick(&STATUSES) } else { bytes.word() % 1_000 };
    let headers = headers(&mut bytes);
    let body = match bytes.below(16) {
        13 => Err(BodyFault::Broken),
        14 => Err(BodyFault::Timeout),
        15 => Err(BodyFault::TooLarge),
        _ => Ok(&body[..]),
    };
    post(status, &headers, body, document.as_ref(), &redactor);
}

const STATUSES: [u16; 22] = [200, 201, 202, 204, 206, 299, 301, 307, 400, 401, 403, 404, 405, 408, 409, 413, 422, 425, 429, 500, 503, 599];

fn headers(bytes: &mut Bytes) -> HeaderMap {
    const TIMES: [&str; 10] = [
        "7",
        "0",
        "-1",
        "18446744073709551616",
        "1.5",
        "",
        "Wed, 21 Oct 2015 07:28:30 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Sat, 01 Jan 0000 00:00:00 GMT",
        "soon",
    ];
    let mut headers = HeaderMap::new();
    for name in [header::RETRY_AFTER, header::DATE] {
        let any: Vec<u8> = if bytes.flag() { bytes.pick(&TIMES).bytes().collect() } else { (0..8).map(|_| bytes.byte()).collect() };
        if let Ok(value) = HeaderValue::from_bytes(&any) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Whether the execution is taken for ended.
fn one(body: &[u8], document: Option<&Json>, redactor: &Redactor) -> bool {
    let Ok(found) = decode::one(body, &ExecutionId::new(ASKED).unwrap(), redactor) else { return false };
    assert_eq!(found.id.as_str(), ASKED);
    shown(&found);
    if !found.status.is_terminal() {
        return false;
    }
    let document = document.expect("what ends an execution is JSON");
    assert!(!document.stands_twice("data"), "it wraps two answers");
    let execution = document.unwrapped();
    let text = |key: &str| execution.only(key).and_then(Json::text);
    assert_eq!(text("id"), Some(ASKED), "its id does not stand there exactly once");
    let word = text("status").expect("its status stands there exactly once");
    assert!(
        matches!((word, &found.status), ("SUCCESSFUL", ExecutionStatus::Successful) | ("FAILED", ExecutionStatus::Failed)),
        "{word} is no end"
    );
    let pipeline = execution.only("pipeline").and_then(Json::id);
    assert!(pipeline.is_some_and(|id| !id.is_empty()), "it does not name its pipeline");
    true
}

fn page(body: &[u8], redactor: &Redactor) -> Option<(usize, usize)> {
    let page = decode::page(body, redactor).ok()?;
    page.items.iter().for_each(shown);
    [page.limit, page.total].into_iter().for_each(number);
    Some((page.items.len(), page.unreadable))
}

fn post(status: u16, headers: &HeaderMap, body: Result<&[u8], BodyFault>, document: Option<&Json>, redactor: &Redactor) {
    let outcome = classify(status, headers, body, &PipelineId::new(PIPELINE).unwrap(), redactor);
    match &outcome {
        PostOutcome::Accepted(ids) => {
            assert!((200..300).contains(&status) && body.is_ok(), "{status}: {outcome:?}");
            let ids: Vec<&str> = ids.iter().map(ExecutionId::as_str).collect();
            assert_eq!(Some(&ids), document.and_then(started).as_ref());
            ids.into_iter().for_each(text);
        }
        PostOutcome::ExecutedIdsUnknown { message } => {
            assert!((200..300).contains(&status), "{status}: {outcome:?}");
            text(message);
        }
        PostOutcome::NotExecuted { then, message } => {
            assert!((300..500).contains(&status) && !matches!(status, 408 | 409 | 425), "{status}: {outcome:?}");
            let may_be_of_a_gateway = matches!(status, 300..=399 | 403..=405);
            assert!(!may_be_of_a_gateway || document.is_some(), "{status}: no page is a refusal: {outcome:?}");
            text(message);
            if let Unexecuted::RetryAfter(pause, _) = then {
                assert!((1..=900).contains(&pause.as_secs()) && matches!(status, 401 | 429), "{status}: {outcome:?}");
            }
        }
        PostOutcome::Unknown { message } => {
            assert!(!matches!(status, 200..=299 | 400 | 401 | 413 | 415 | 422 | 429), "{status}: {outcome:?}");
            text(message);
        }
    }
}

/// The ids of an answer that accepts a trigger: every one is safe, and of our pipeline.
fn started(document: &Json) -> Option<Vec<&str>> {
    if document.stands_twice("data") {
        return None;
    }
    let entries = match document.unwrapped() {
        Json::List(entries) => entries.iter().collect(),
        object @ Json::Object(_) => vec![object],
        _ => return None,
    };
    let mut ids: Vec<&str> = Vec::new();
    for entry in &entries {
        let id = entry.only("id")?.text()?;
        let is_safe = (1..=128).contains(&id.len()) && id.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-'));
        if !is_safe || entry.only("pipeline")?.id()? != PIPELINE {
            return None;
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    (entries.len() <= MAX_EXECUTIONS).then_some(ids)
}

/// Everything that a status, an event or a log may show of an execution.
fn shown(execution: &Execution) {
    let Execution { id, pipeline, status, error, trigger_type, configuration, created_at, updated_at, created_by: _, creator, logs } =
        execution;
    text(id.as_str());
    text(status.as_str());
    [pipeline, trigger_type, configuration, creator].into_iter().flatten().for_each(|word| text(word));
    [created_at, updated_at].into_iter().flatten().for_each(when);
    error.iter().flat_map(|error| [&error.kind, &error.message]).flatten().for_each(|word| text(word));
    assert!(logs.len() <= 64, "{} logs", logs.len());
    for log in logs {
        text(log.kind.as_str());
        log.status.iter().for_each(|status| text(status.as_str()));
        log.started_at.iter().for_each(when);
        let stats = log.stats;
        [stats.total_rows, stats.total_cells, stats.total_error_cells, stats.total_error_rows, log.duration_ms]
            .into_iter()
            .for_each(number);
    }
}

fn when(when: &NuvoTime) {
    text(&when.text);
    if let Some(at) = when.at {
        let written = at.to_string();
        assert_eq!(written.parse().ok(), Some(at), "{written} cannot be read back");
        assert!(!written.starts_with('-'), "Kubernetes cannot read {written}");
    }
}

fn number(number: Option<i64>) {
    assert!(number.is_none_or(|number| (0..=MAX_INTEGER).contains(&number)), "{number:?}");
}

fn text(text: &str) {
    assert!(text.chars().count() <= LONGEST, "{} characters", text.chars().count());
    assert!(!text.chars().any(unseen), "{text:?}");
    SECRETS.iter().for_each(|secret| assert!(!text.contains(secret), "{text:?} reveals a secret"));
}

/// Control characters, those that turn the direction of what follows, and those that are not seen at all (Unicode's
/// `Default_Ignorable_Code_Point`).
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}
