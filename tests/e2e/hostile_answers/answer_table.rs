//! The table: every kind of bad answer, and what a run whose server gives it must show.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    hostile_server::{Answer, Hostile, RequestContext, answer, whole},
    oversized_bodies::{gzip_bomb, many_entries, nested_lists},
};

/// Which call is answered badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The token.
    Token,
    /// The trigger, which was carried out unless the status says that it was not.
    Create,
    /// The trigger, and nothing was started.
    Void,
    /// The list before a trigger.
    Look,
    /// The list of what is running.
    Poll,
    /// One execution.
    Read,
    /// The list that shows what a trigger with a lost answer has started.
    Recovery,
}

pub const COLUMNS: [Column; 7] = [Column::Token, Column::Create, Column::Void, Column::Look, Column::Poll, Column::Read, Column::Recovery];

/// What is expected of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Phase, reason and the account's reason while the answers are bad; empty if the answer is as good as any.
    pub during: &'static str,
    /// The same when they are good again; empty if the operator does not ask again within this test.
    pub end: &'static str,
    /// The triggers that arrive in all.
    pub posts: usize,
}

pub type Cell = Option<Expect>;

const fn cell(during: &'static str, end: &'static str, posts: usize) -> Cell {
    Some(Expect { during, end, posts })
}

/// It makes no sense for this call.
const NONE: Cell = None;
/// As good as any answer.
const FINE: Cell = cell("", "Succeeded", 1);
/// The account waits.
const ACCOUNT: Cell = cell("Pending AccountNotReady NuvoUnavailable", "Succeeded", 1);
const REJECTED: Cell = cell("Pending AccountNotReady CredentialsRejected", "Succeeded", 1);
/// It was started, and found in the list.
const FOUND: Cell = cell("Triggering TriggerUnconfirmed", "Succeeded", 1);
/// Nothing was found in the list.
const NOTHING: Cell = cell("Triggering TriggerUnconfirmed", "Unresolved TriggerOutcomeUnknown", 1);
const REFUSED: Cell = cell("", "Failed TriggerRejected", 1);
/// No trigger without a look at the list.
const WAITS: Cell = cell("Pending NuvoUnavailable", "Succeeded", 1);
const WAITS_FOR_ACCOUNT: Cell = cell("Pending AccountNotReady", "Succeeded", 1);
const LIMITED: Cell = cell("Pending RateLimited", "Succeeded", 1);
/// Nothing has ended.
const RUNS: Cell = cell("Running", "Succeeded", 1);
/// The trigger stays in doubt.
const DOUBT: Cell = FOUND;

/// The expectations of a row, in the order of [`COLUMNS`].
type Row = [Cell; 7];

/// No answer of this API.
const GARBAGE: Row = [ACCOUNT, FOUND, NOTHING, WAITS, RUNS, RUNS, DOUBT];
/// A server that is away.
const AWAY: Row = GARBAGE;

/// A kind of bad answer.
pub struct AnswerKind {
    pub name: String,
    pub hostile: Arc<Hostile>,
    pub row: Row,
    /// Whether a trigger that is answered like this may have been carried out.
    pub executes: bool,
    /// How many of these answers a list or a read gets before the server recovers.
    pub times: usize,
    /// How many triggers get one.
    pub triggers: usize,
}

fn kind(name: impl Into<String>, row: Row, hostile: impl Fn(&RequestContext<'_>) -> Answer + Send + Sync + 'static) -> AnswerKind {
    AnswerKind { name: name.into(), hostile: Arc::new(hostile), row, executes: true, times: 3, triggers: 1 }
}

impl AnswerKind {
    fn not_executed(self) -> Self {
        Self { executes: false, ..self }
    }

    fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn triggers(self, triggers: usize) -> Self {
        Self { triggers, ..self }
    }
}

/// The healthy answer with each execution changed.
fn entries(name: &str, row: [Cell; 5], change: impl Fn(&mut Value) + Send + Sync + 'static) -> AnswerKind {
    let [create, look, poll, read, recovery] = row;
    kind(name, [NONE, create, NONE, look, poll, read, recovery], move |asked| {
        answer(200, "", asked.changed(&change).to_string().as_bytes())
    })
}

/// The execution that is read by its id has ended, and is special in what else it says.
fn ended(name: &str, row: [Cell; 3], status: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) -> AnswerKind {
    let [look, read, recovery] = row;
    entries(name, [NONE, look, NONE, read, recovery], move |entry| {
        entry["status"] = status.into();
        change(entry);
    })
}

/// A body instead of the healthy one.
fn body(name: &str, row: Row, make: impl Fn(&RequestContext<'_>) -> Vec<u8> + Send + Sync + 'static) -> AnswerKind {
    kind(name, row, move |asked| answer(200, "", &make(asked)))
}

fn text(name: &str, row: Row, text: &'static str) -> AnswerKind {
    body(name, row, move |_| text.as_bytes().to_vec())
}

/// A token answer with this token in it.
fn token(name: &str, value: Value) -> AnswerKind {
    body(name, [ACCOUNT, NONE, NONE, NONE, NONE, NONE, NONE], move |_| json!({ "access_token": value }).to_string().into_bytes())
}

/// A status with headers and an error in the body.
fn status(code: u16, headers: &'static str, row: Row) -> AnswerKind {
    let name = format!("status {code} {}", headers.trim().replace("\r\n", ", "));
    let kind = kind(name.trim(), row, move |asked| {
        let said = json!({ "error": { "message": "no", "code": "NO" }, "message": format!("token {} key {}", asked.token, asked.key) });
        answer(code, headers, said.to_string().as_bytes())
    });
    if matches!(code, 400 | 401 | 403 | 404 | 405 | 413 | 415 | 422 | 429) { kind.not_executed() } else { kind }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn healthy(asked: &RequestContext<'_>) -> Vec<u8> {
    bytes(&asked.healthy)
}

pub fn answer_kinds() -> Vec<AnswerKind> {
    [statuses(), ids(), shapes(), garbage(), sizes(), slow(), codes(), limits(), broken(), numbers(), tokens()]
        .into_iter()
        .flatten()
        .collect()
}

/// Words for the status. A look before the trigger and the answer to it do not depend on them; a list ends no run.
fn statuses() -> Vec<AnswerKind> {
    const WORD: [Cell; 5] = [FINE, FINE, RUNS, RUNS, FINE];
    /// An entry that cannot be read makes a list incomplete: the trigger goes on without a baseline.
    const BAD: [Cell; 5] = [FINE, FINE, RUNS, RUNS, DOUBT];
    vec![
        entries("status unknown", WORD, |entry| entry["status"] = "PAUSED".into()),
        entries("status lower-case", WORD, |entry| entry["status"] = "successful".into()),
        entries("status with blanks", BAD, |entry| entry["status"] = " SUCCESSFUL\n".into()),
        entries("status with an invisible character", BAD, |entry| entry["status"] = "SUCC\u{200b}ESSFUL".into()),
        entries("status of two words", WORD, |entry| entry["status"] = "SUCCESSFUL,FAILED".into()),
        entries("status empty", WORD, |entry| entry["status"] = "".into()),
        entries("status missing", BAD, |entry| drop(entry.as_object_mut().unwrap().remove("status"))),
        entries("status null", BAD, |entry| entry["status"] = Value::Null),
        entries("status numeric", BAD, |entry| entry["status"] = 1.into()),
        entries("status a list", BAD, |entry| entry["status"] = json!(["SUCCESSFUL"])),
    ]
}

/// Ids that no path may be made of, and those of others.
fn ids() -> Vec<AnswerKind> {
    const BAD: Row = [NONE, FOUND, NOTHING, FINE, RUNS, RUNS, DOUBT];
    let id = |name: &str, value: Value| {
        let mut kind = entries(name, [FOUND, FINE, RUNS, RUNS, DOUBT], move |entry| {
            entry["id"] = value.clone();
            entry["status"] = "SUCCESSFUL".into();
        });
        kind.row = BAD;
        kind
    };
    let pipeline = |name: &str, value: Value, row: [Cell; 5]| {
        entries(name, row, move |entry| {
            entry["pipeline"] = value.clone();
            entry["status"] = "SUCCESSFUL".into();
        })
    };
    vec![
        id("id null", Value::Null),
        id("id empty", "".into()),
        id("id numeric", 7.into()),
        id("id of 5 kB", "x".repeat(5_000).into()),
        id("id that climbs", "../../admin".into()),
        id("id with NUL", "a\0b".into()),
        id("id with a line break", "a\r\nX-Evil: 1".into()),
        id("id in Cyrillic", "еxecution".into()),
        id("id an object", json!({ "id": "x" })),
        // After the trigger it is the only id there is: nuvo does not know it.
        entries("id of someone else", [cell("Running", "Failed ExecutionLost", 1), FINE, RUNS, RUNS, NONE], |entry| {
            entry["id"] = "another-users".into();
            entry["status"] = "SUCCESSFUL".into();
        }),
        pipeline("pipeline of someone else", "another".into(), [FOUND, FINE, RUNS, RUNS, DOUBT]),
        entries("pipeline with an invisible character", [FOUND, FINE, RUNS, RUNS, DOUBT], |entry| {
            entry["pipeline"] = format!("{}\u{200b}", entry["pipeline"].as_str().unwrap_or_default()).into();
            entry["status"] = "SUCCESSFUL".into();
        }),
        pipeline("pipeline null", Value::Null, [FOUND, FINE, RUNS, RUNS, DOUBT]),
        pipeline("pipeline numeric", 5.into(), [FOUND, FINE, RUNS, RUNS, DOUBT]),
        pipeline("pipeline empty", "".into(), [FOUND, FINE, RUNS, RUNS, DOUBT]),
        pipeline("pipeline a list", json!(["a"]), [FOUND, FINE, RUNS, RUNS, DOUBT]),
        entries("created by someone else", [FINE, FINE, RUNS, RUNS, DOUBT], |entry| {
            entry["created_by"] = json!({ "identifier": "other@example.com" });
        }),
        entries("created on schedule", [FINE, FINE, RUNS, RUNS, DOUBT], |entry| entry["trigger_type"] = "SCHEDULED".into()),
    ]
}

fn shapes() -> Vec<AnswerKind> {
    /// Understood wherever it comes from.
    const TOLERATED: Row = [FINE, FINE, NONE, FINE, RUNS, RUNS, FINE];
    let swapped = |asked: &RequestContext<'_>| match &asked.healthy["data"] {
        Value::Array(entries) => entries.first().cloned().unwrap_or_else(|| json!({})),
        Value::Null => json!([asked.healthy]),
        one => json!([one]),
    };
    vec![
        body("without data", TOLERATED, |asked| bytes(asked.healthy.get("data").unwrap_or(&asked.healthy))),
        body("unknown fields", TOLERATED, |asked| {
            let mut body = asked.changed(|entry| {
                if let Value::Object(fields) = entry {
                    fields.insert("of_tomorrow".into(), json!({ "a": [1, 2, { "b": null }] }));
                }
            });
            body["tomorrow"] = json!([[[]]]);
            bytes(&body)
        }),
        // One execution in an object instead of a list is understood in the trigger's answer all the same.
        body("list and object swapped, in data", [ACCOUNT, FINE, NONE, WAITS, RUNS, RUNS, DOUBT], move |asked| {
            bytes(&json!({ "data": swapped(asked) }))
        }),
        body("list and object swapped, without data", [ACCOUNT, FINE, NONE, WAITS, RUNS, RUNS, DOUBT], move |asked| bytes(&swapped(asked))),
        body("data in data", GARBAGE, |asked| {
            let inner = if asked.healthy.get("data").is_some() { asked.healthy.clone() } else { json!({ "data": asked.healthy }) };
            bytes(&json!({ "data": inner }))
        }),
        text("data null", GARBAGE, "{\"data\": null}"),
        text("data a text", GARBAGE, "{\"data\": \"PROCESSING\"}"),
        text("data a number", GARBAGE, "{\"data\": 5}"),
        text("data of lists", [ACCOUNT, FOUND, NOTHING, FINE, RUNS, RUNS, DOUBT], "{\"data\": [[], [], {}]}"),
        text("an object with an error", GARBAGE, "{\"error\": {\"message\": \"out of order\", \"code\": \"SUCCESSFUL\"}}"),
        text("status in the wrong place", GARBAGE, "{\"status\": \"SUCCESSFUL\"}"),
    ]
}

fn garbage() -> Vec<AnswerKind> {
    let twice = |asked: &RequestContext<'_>| {
        let text = asked.healthy.to_string();
        let first = text.find("\"id\":").map_or("\"access_token\":\"x\",", |_| "\"id\":\"x\",");
        let at = text.find("\"id\":").or_else(|| text.find("\"access_token\":")).unwrap_or(1);
        // The first entry stands twice for a name; where there is none, the wrapper does.
        let (before, after) = text.split_at(at);
        format!("{before}{first}{after}").into_bytes()
    };
    vec![
        text("HTML", GARBAGE, "<!DOCTYPE html><html><title>SUCCESSFUL</title></html>"),
        text("empty body", GARBAGE, ""),
        text("blanks", GARBAGE, " \r\n\t  "),
        text("null", GARBAGE, "null"),
        text("a number of 1e400", GARBAGE, "1e400"),
        text("NaN", GARBAGE, "{\"data\": [{\"id\": NaN}]}"),
        text("XML", GARBAGE, "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"),
        body("truncated", GARBAGE, |asked| {
            let mut body = healthy(asked);
            body.truncate(body.len() - 1);
            body
        }),
        body("trailing garbage", GARBAGE, |asked| [healthy(asked), b"{}".to_vec()].concat()),
        body("two answers in one", GARBAGE, |asked| [healthy(asked), b"\n".to_vec(), healthy(asked)].concat()),
        body("BOM", GARBAGE, |asked| [b"\xef\xbb\xbf".to_vec(), healthy(asked)].concat()),
        body("UTF-16", GARBAGE, |asked| asked.healthy.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect()),
        body("invalid UTF-8", GARBAGE, |asked| {
            let end = asked.healthy.to_string().trim_end_matches('}').len();
            let mut body = healthy(asked);
            body.splice(end..end, b",\"x\":\"\xff\"".iter().copied());
            body
        }),
        body("duplicate key in an entry", [ACCOUNT, FOUND, NOTHING, FINE, RUNS, RUNS, DOUBT], twice),
        body("duplicate data", [NONE, FOUND, NOTHING, WAITS, RUNS, RUNS, DOUBT], |asked| {
            let text = asked.healthy.to_string();
            text.replacen('{', "{\"data\":[],", 1).into_bytes()
        }),
    ]
}

fn sizes() -> Vec<AnswerKind> {
    let chunked = |first: &'static str, again: Vec<u8>| {
        let head = format!(
            "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n",
            first.len()
        );
        let again = [format!("{:x}\r\n", again.len()).into_bytes(), again, b"\r\n".to_vec()].concat();
        move |_: &RequestContext<'_>| Answer::Endless(head.clone().into_bytes(), again.clone())
    };
    let (inflates, entries, nested) = (gzip_bomb(), many_entries(), nested_lists());
    vec![
        body("depth 100,000", GARBAGE, move |_| nested.clone()),
        body("a text of 10 MB", GARBAGE, |_| format!("{{\"data\": \"{}\"}}", "x".repeat(10_000_000)).into_bytes()),
        body("a million entries", GARBAGE, move |_| entries.clone()),
        kind("gzip bomb", GARBAGE, move |_| answer(200, "Content-Encoding: gzip\r\n", &inflates)),
        kind("endless chunks", GARBAGE, chunked("{\"data\": [", b"{\"id\": \"x\"}, ".repeat(2_000))),
        kind("endless blanks", GARBAGE, chunked("{", b" ".repeat(16_384))),
        kind("a length of 2^63", GARBAGE, |_| Answer::Bytes(b"HTTP/1.1 200 X\r\nContent-Length: 9223372036854775808\r\n\r\n{}".to_vec())),
        kind("a header of 1 MB", AWAY, |_| answer(200, &format!("X-Long: {}\r\n", "x".repeat(1_000_000)), b"{}")),
        kind("ten thousand headers", AWAY, |_| answer(200, &"X-Many: 1\r\n".repeat(10_000), b"{}")),
        kind("endless headers", AWAY, |_| Answer::Endless(b"HTTP/1.1 200 X\r\n".to_vec(), b"X-Many: 1\r\n".repeat(100))),
        kind("endless 100 Continue", AWAY, |_| Answer::Endless(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())),
    ]
}

/// Each of these takes as long as a request may.
fn slow() -> Vec<AnswerKind> {
    let all = vec![
        kind("silence", AWAY, |_| Answer::Hang(Vec::new())),
        kind("silence in the head", AWAY, |_| Answer::Hang(b"HTTP/1.1 200 X\r\nContent-".to_vec())),
        kind("silence in the body", GARBAGE, |asked| {
            let mut whole = whole(200, "", &healthy(asked));
            whole.pop();
            Answer::Hang(whole)
        }),
        kind("slow head", AWAY, |asked| Answer::Drip(Vec::new(), whole(200, "", &healthy(asked)))),
        kind("a byte a second", GARBAGE, |asked| {
            let body = healthy(asked);
            let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", body.len());
            Answer::Drip(head.into_bytes(), body)
        }),
    ];
    all.into_iter().map(|kind| kind.times(2)).collect()
}

fn codes() -> Vec<AnswerKind> {
    /// Not where the API is.
    const GONE: Row = [ACCOUNT, REFUSED, NONE, WAITS_FOR_ACCOUNT, RUNS, RUNS, DOUBT];
    /// An unexpected status: it says nothing about a trigger.
    const ODD: Row = [ACCOUNT, FOUND, NOTHING, WAITS, RUNS, RUNS, DOUBT];
    /// A gateway's word, which says nothing about a trigger.
    const ELSEWHERE: Row = [ACCOUNT, FOUND, NOTHING, WAITS_FOR_ACCOUNT, RUNS, RUNS, DOUBT];
    let redirects = [300, 301, 302, 303, 304, 307, 308].into_iter().map(|code| {
        kind(format!("redirect {code}"), ELSEWHERE, move |asked| {
            answer(code, &format!("Location: {}/dp/api/v1/execution/\r\n", asked.elsewhere), b"")
        })
    });
    let pages = [403, 404, 405].into_iter().map(|code| {
        let row = if code == 403 { [REJECTED, FOUND, NOTHING, WAITS_FOR_ACCOUNT, RUNS, RUNS, DOUBT] } else { ELSEWHERE };
        kind(format!("page with status {code}"), row, move |_| answer(code, "Content-Type: text/html\r\n", b"<html>no</html>"))
    });
    let rejected = |create| [REJECTED, create, NONE, WAITS, RUNS, RUNS, DOUBT];
    let others = vec![
        status(400, "", rejected(REFUSED)),
        // Two with the old and a new token, and one when the account works again.
        status(401, "", [REJECTED, cell("Pending AccountNotReady", "Succeeded", 3), NONE, WAITS_FOR_ACCOUNT, RUNS, RUNS, DOUBT])
            .triggers(2),
        status(403, "", [REJECTED, REFUSED, NONE, WAITS_FOR_ACCOUNT, RUNS, RUNS, DOUBT]),
        status(404, "", GONE),
        status(405, "", GONE),
        status(408, "", AWAY),
        status(409, "", ODD),
        status(410, "", ELSEWHERE),
        status(413, "", [ACCOUNT, REFUSED, NONE, WAITS, RUNS, RUNS, DOUBT]),
        status(418, "", ODD),
        status(422, "", rejected(REFUSED)),
        status(425, "", AWAY),
        status(500, "", AWAY),
        status(502, "", AWAY),
        status(503, "Retry-After: 1\r\n", AWAY),
        status(504, "", AWAY),
        status(599, "", AWAY),
        status(999, "", ODD),
        kind("status 500 with a good body", AWAY, |asked| answer(500, "", &healthy(asked))),
        kind("status 101", AWAY, |_| Answer::Bytes(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec())),
        kind("status 204", GARBAGE, |_| Answer::Bytes(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".to_vec())),
        kind("status 201 with a good body", [FINE, FINE, NONE, FINE, RUNS, RUNS, FINE], |asked| answer(201, "", &healthy(asked))),
    ];
    redirects.chain(pages).chain(others).collect()
}

/// 429 with all kinds of `Retry-After`.
fn limits() -> Vec<AnswerKind> {
    const AGAIN: Cell = cell("Pending RateLimited", "Succeeded", 2);
    /// It is tried again too soon for anybody to see it wait.
    const SHORT: Row = [ACCOUNT, cell("", "Succeeded", 2), NONE, LIMITED, RUNS, RUNS, DOUBT];
    const ROW: Row = [ACCOUNT, AGAIN, NONE, LIMITED, RUNS, RUNS, DOUBT];
    const LONG: Row = [
        cell("Pending AccountNotReady NuvoUnavailable", "", 0),
        cell("Pending RateLimited", "", 1),
        NONE,
        cell("Pending RateLimited", "", 0),
        cell("Running", "", 1),
        cell("Running", "", 1),
        cell("Triggering TriggerUnconfirmed", "", 1),
    ];
    let limited = |headers, row| status(429, headers, row).times(2);
    vec![
        limited("", ROW),
        limited("Retry-After: 1\r\n", SHORT),
        limited("Retry-After: 0\r\n", SHORT),
        limited("Retry-After: -1\r\n", ROW),
        limited("Retry-After: 1.5\r\n", ROW),
        limited("Retry-After: soon\r\n", ROW),
        limited("Retry-After: \r\n", ROW),
        limited("Retry-After: \u{661}\r\n", ROW),
        limited("Date: Tue, 03 Mar 2026 10:00:00 GMT\r\nRetry-After: Tue, 03 Mar 2026 10:00:02 GMT\r\n", SHORT),
        limited("Date: Tue, 03 Mar 2026 10:00:00 GMT\r\nRetry-After: Tue, 03 Mar 1970 10:00:02 GMT\r\n", SHORT),
        limited("Retry-After: Tue, 03 Mar 2026 10:00:02 GMT\r\n", ROW),
        // Beyond the last moment that a clock here can show.
        limited("Date: Tue, 03 Mar 2026 10:00:00 GMT\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", ROW),
        status(429, "Retry-After: 99999999999999999999999\r\n", LONG).times(1),
        status(429, "Date: Tue, 03 Mar 2026 10:00:00 GMT\r\nRetry-After: Wed, 31 Dec 9000 23:59:59 GMT\r\n", LONG).times(1),
    ]
}

fn broken() -> Vec<AnswerKind> {
    let raw = |name: &str, row, text: &'static str| kind(name, row, move |_| Answer::Bytes(text.as_bytes().to_vec()));
    vec![
        raw("closed at once", AWAY, ""),
        raw("closed in the status line", AWAY, "HTTP/1.1 20"),
        raw("closed in the head", AWAY, "HTTP/1.1 200 X\r\nContent-Le"),
        kind("closed in the body", GARBAGE, |asked| {
            let mut whole = whole(200, "", &healthy(asked));
            whole.pop();
            Answer::Bytes(whole)
        }),
        kind("closed in a chunk", GARBAGE, |asked| {
            let body = healthy(asked);
            let head = format!("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
            Answer::Bytes([head.into_bytes(), body].concat())
        }),
        kind("reset at once", AWAY, |_| Answer::Reset(Vec::new())),
        raw("another protocol", AWAY, "SSH-2.0-OpenSSH_9.6\r\n"),
        raw("HTTP/2", AWAY, "\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}\0\0\0d"),
        raw("a length that is no number", AWAY, "HTTP/1.1 200 X\r\nContent-Length: many\r\n\r\n{}"),
        raw("two lengths", AWAY, "HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
        raw("a negative length", AWAY, "HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n{}"),
        raw("a chunk without a size", GARBAGE, "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        kind("a length and chunks", [FINE, FINE, NONE, FINE, RUNS, RUNS, FINE], |asked| {
            let body = healthy(asked);
            let head = "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
            Answer::Bytes([format!("{head}{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat())
        }),
    ]
}

/// What else an execution can say. It ends as its status says, and no number or time is made up.
fn numbers() -> Vec<AnswerKind> {
    const GOOD: [Cell; 3] = [FINE, FINE, FINE];
    const FAILED: Cell = cell("", "Failed ExecutionFailed", 1);
    let count = |name: &str, value: Value| {
        ended(name, GOOD, "SUCCESSFUL", move |entry| {
            let data = json!({ "total_rows": value, "total_cells": value });
            entry["logs"] = json!([{ "type": "CREATE", "status": "SUCCESSFUL", "duration": value, "data": data }]);
        })
    };
    let time = |name: &str, row: [Cell; 3], value: &'static str| {
        ended(name, row, "SUCCESSFUL", move |entry| {
            entry["created_at"] = value.into();
            entry["updated_at"] = value.into();
            entry["logs"] = json!([{ "type": "CREATE", "status": "SUCCESSFUL", "started_at": value }]);
        })
    };
    let logs = |name: &str, logs: Value| ended(name, GOOD, "SUCCESSFUL", move |entry| entry["logs"] = logs.clone());
    let log = |data: Value| json!({ "type": "CREATE", "status": "SUCCESSFUL", "data": data });
    /// What a terminal would obey.
    const WILD: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}evil\u{0}\u{9b}31m\r\nIN A LINE OF ITS OWN\u{e0041}";
    vec![
        body("numbers of 1e400", [NONE, FOUND, NOTHING, WAITS, RUNS, RUNS, DOUBT], |asked| {
            let wanted = asked.changed(|entry| {
                entry["status"] = "SUCCESSFUL".into();
                entry["size"] = "1e400".into();
            });
            wanted.to_string().replace("\"1e400\"", "1e400").into_bytes()
        }),
        count("numbers below zero", json!(-1)),
        count("numbers of 2^64", json!(18_446_744_073_709_551_615_u64)),
        count("numbers of 2^53", json!(9_007_199_254_740_992_u64)),
        count("numbers with a fraction", json!(0.5)),
        count("numbers as text", "NaN".into()),
        time("times without a zone", GOOD, "2026-03-02 10:00:00.653"),
        time("times in the year 9999", GOOD, "9999-12-31T23:59:59Z"),
        // Older than what was there before the trigger, so that it is not taken for ours.
        time("times at the epoch", [FINE, FINE, DOUBT], "1970-01-01T00:00:00Z"),
        time("times before the epoch", [FINE, FINE, DOUBT], "0000-01-01T00:00:00Z"),
        time("times of 30 February", [FINE, FINE, DOUBT], "2026-02-30T10:00:00Z"),
        time("times in words", [FINE, FINE, DOUBT], "yesterday"),
        time("times of 1 MB", [FINE, FINE, DOUBT], Box::leak("9".repeat(200_000).into_boxed_str())),
        ended("an end before the start", GOOD, "SUCCESSFUL", |entry| entry["updated_at"] = "2025-01-01T00:00:00Z".into()),
        ended("a success with an error", GOOD, "SUCCESSFUL", |entry| {
            entry["error"] = json!({ "type": "PARSING_FAILURE", "message": "line 7" });
        }),
        ended("a failure without an error", [FINE, FAILED, NONE], "FAILED", |_| ()),
        ended("a failure with an error of numbers", [FINE, FAILED, NONE], "FAILED", |entry| {
            entry["error"] = json!({ "type": 5, "message": [] })
        }),
        ended("a failure with a wild error", [FINE, FAILED, NONE], "FAILED", |entry| {
            entry["error"] = json!({ "type": WILD, "message": format!("{WILD}{}", "x".repeat(100_000)) });
            entry["configuration"] = WILD.into();
            entry["logs"] = json!([{ "type": WILD, "status": WILD, "started_at": WILD }]);
        }),
        kind("a failure with our secrets in it", [NONE, NONE, NONE, FINE, NONE, FAILED, NONE], |asked| {
            let secrets = format!("Bearer {} of {}", asked.token, asked.key);
            let repeated = asked.changed(|entry| {
                entry["status"] = "FAILED".into();
                entry["error"] = json!({ "type": secrets, "message": format!("with {secrets}") });
                entry["configuration"] = asked.token.into();
                entry["trigger_type"] = asked.key.into();
                entry["logs"] = json!([{ "type": secrets, "status": secrets, "started_at": secrets, "message": secrets }]);
            });
            answer(200, &format!("X-Echo: {secrets}\r\nSet-Cookie: token={}\r\n", asked.token), repeated.to_string().as_bytes())
        }),
        kind("our secrets in status and pipeline", [NONE, FOUND, NONE, FINE, RUNS, RUNS, DOUBT], |asked| {
            let repeated = asked.changed(|entry| {
                entry["status"] = format!("FAILED {}", asked.token).into();
                entry["pipeline"] = asked.token.into();
            });
            answer(200, "", repeated.to_string().as_bytes())
        }),
        logs("logs null", Value::Null),
        logs("logs a text", "none".into()),
        logs("logs of nonsense", json!([null, 1, "x", [], {}])),
        logs("logs unordered", json!([log(json!({ "total_rows": 2 })), log(json!({ "total_rows": 1 }))])),
        logs("100,000 logs", json!(vec![json!({}); 100_000])),
    ]
}

fn tokens() -> Vec<AnswerKind> {
    vec![
        token("token null", Value::Null),
        token("token empty", "".into()),
        token("token numeric", 12.into()),
        token("token of 10 kB", "x".repeat(10_000).into()),
        token("token with a line break", "x\r\nX-Evil: 1".into()),
        token("token with a blank", "x y".into()),
        token("token in Cyrillic", "токен".into()),
        token("token an object", json!({ "value": "x" })),
        token("token a list", json!(["x"])),
    ]
}
