//! Answers of nuvo that are nearly right: a valid one, and then some of it changed.

use crate::bytes::Bytes;

pub const ASKED: &str = "e1";
pub const PIPELINE: &str = "orders";
/// What the redactor is given; the first would pass as an id.
pub const SECRETS: [&str; 2] = ["s3cr3t-T0KEN_0123", "licence key/42 (c)"];

/// A document that may break the rules.
#[derive(Clone)]
enum Part {
    Raw(String),
    Text(String),
    List(Vec<Part>),
    Object(Vec<(String, Part)>),
}

const EXECUTION: &str = r#"{
    "id":"e1", "pipeline":"orders", "status":"SUCCESSFUL", "error":{"message":"it broke","type":"SOURCE_UNRESPONSIVE"},
    "logs":[
        {"status":"FAILED","data":{"total_rows":7,"total_cells":70,"total_error_cells":1,"total_error_rows":1},"duration":12,
         "started_at":"2024-09-03T09:34:52.518Z","type":"CREATED"},
        {"status":"SUCCESSFUL","type":"FIX","started_on":"2022-03-07 12:48:28.653","data":{"total_rows":9007199254740991,"duration":3}}
    ],
    "trigger_type":"MANUAL", "configuration":{"id":"c"}, "created_at":"2022-03-07 12:48:28.653", "updatedAt":"2022-03-07T12:48:28+02:00",
    "created_by":{"id":"u","name":"n","identifier":"i@x","type":"USER"}
}"#;

/// Each is read by one of the entries.
const ANSWERS: [&str; 7] = [
    r#"{"data":EXECUTION}"#,
    "EXECUTION",
    r#"{"data":[EXECUTION,{"id":"e2","status":"PROCESSING"}],"pagination":{"total":2,"offset":0,"limit":100}}"#,
    r#"{"data":[{"id":"a","pipeline":"orders","status":"PROCESSING"},{"id":"b","pipeline":{"_id":"orders"}}]}"#,
    r#"{"data":{"id":"orders","active":true,"draft":false,"configuration":{"developer_mode":true}}}"#,
    r#"{"data":{"access_token":"t"}}"#,
    r#"{"error":{"message":"inactive","code":"E42"},"message":"no"}"#,
];

const WORDS: [&str; 24] = [
    "",
    "e1",
    "E1",
    "e2",
    "orders",
    "Orders",
    "SUCCESSFUL",
    "FAILED",
    "PROCESSING",
    "successful",
    "Failed",
    "SUCCESSFUL ",
    "\u{200b}FAILED",
    "../e1",
    "e1\u{0}",
    "FIX",
    "CREATE",
    "2022-03-07",
    "9999-12-31T23:59:59.999Z",
    "-009999-01-01T00:00:00Z",
    "\u{202e}abc\u{2066}",
    "\u{1b}[31mred\u{1b}[",
    "a\r\nb\tc",
    "12:00",
];

const RAWS: [&str; 22] = [
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e3",
    "1e400",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "01",
    "NaN",
    "\"\\ud800\"",
    "<html>",
    "",
];

const KEYS: [&str; 24] = [
    "id",
    "_id",
    "pipeline",
    "status",
    "error",
    "message",
    "type",
    "code",
    "logs",
    "data",
    "total_rows",
    "duration",
    "started_at",
    "created_at",
    "createdAt",
    "created_by",
    "createdBy",
    "pagination",
    "limit",
    "total",
    "access_token",
    "active",
    "developer_mode",
    "trigger_type",
];

/// What a secret may be split by, and be as readable as before.
const SPLITS: [&str; 12] =
    ["", "\u{0}", "\u{7f}", "\u{200b}", "\u{ad}", "\u{202e}", "\u{1b}[0m", "\u{feff}", "\u{fe0f}", "\u{34f}", "\u{3164}", "\u{e0100}"];

/// An answer as bytes, and whether it is as nuvo would give it.
pub struct Answer {
    pub body: Vec<u8>,
    pub template: usize,
    pub untouched: bool,
}

pub fn answer(bytes: &mut Bytes) -> Answer {
    let template = bytes.below(ANSWERS.len());
    let changes = bytes.below(6);
    let text = ANSWERS[template].replace("EXECUTION", EXECUTION);
    let mut root = parsed(&serde_json::from_str(&text).expect("an answer is JSON"));
    for _ in 0..changes {
        change(&mut root, bytes, 0);
    }
    let mut body = String::new();
    let escaped = bytes.below(3);
    write(&root, escaped, &mut body);
    let mut body = body.into_bytes();
    // What the client reads of one answer.
    body.truncate(1 << 20);
    let damages = bytes.below(8).saturating_sub(5);
    for _ in 0..damages {
        damage(&mut body, bytes);
    }
    Answer { body, template, untouched: changes == 0 && damages == 0 }
}

fn parsed(value: &serde_json::Value) -> Part {
    match value {
        serde_json::Value::String(text) => Part::Text(text.clone()),
        serde_json::Value::Array(items) => Part::List(items.iter().map(parsed).collect()),
        serde_json::Value::Object(entries) => Part::Object(entries.iter().map(|(key, value)| (key.clone(), parsed(value))).collect()),
        other => Part::Raw(other.to_string()),
    }
}

/// Goes down some way and changes what is there.
fn change(part: &mut Part, bytes: &mut Bytes, depth: usize) {
    let down = depth < 5 && bytes.below(4) != 3;
    match part {
        Part::Object(entries) if down && !entries.is_empty() => {
            let at = bytes.below(entries.len());
            change(&mut entries[at].1, bytes, depth + 1);
        }
        Part::List(items) if down && !items.is_empty() => {
            let at = bytes.below(items.len());
            change(&mut items[at], bytes, depth + 1);
        }
        Part::Object(entries) if bytes.below(4) != 3 => change_entries(entries, bytes),
        Part::List(items) if bytes.below(3) != 2 => {
            let at = bytes.below(items.len() + 1);
            if bytes.flag() && at < items.len() {
                items.remove(at);
            } else {
                let new = items.get(at).cloned().unwrap_or_else(|| leaf(bytes));
                let times = if bytes.one_in(32) { 1_100 } else { 1 };
                items.splice(at..at, std::iter::repeat_n(new, times));
            }
        }
        other => replace(other, bytes),
    }
}

fn change_entries(entries: &mut Vec<(String, Part)>, bytes: &mut Bytes) {
    let at = bytes.below(entries.len().max(1));
    let present = entries.get(at).cloned();
    match (bytes.below(5), present) {
        (0, Some(_)) => drop(entries.remove(at)),
        (1, Some((key, value))) => {
            let value = if bytes.flag() { value } else { leaf(bytes) };
            entries.push((key, value));
        }
        (2, Some(_)) => entries[at].0 = bytes.pick(&KEYS).to_owned(),
        (3, Some(_)) => {
            let other = bytes.below(entries.len());
            entries.swap(at, other);
        }
        _ => entries.insert(at, (bytes.pick(&KEYS).to_owned(), leaf(bytes))),
    }
}

fn replace(part: &mut Part, bytes: &mut Bytes) {
    let old = std::mem::replace(part, Part::Raw(String::new()));
    *part = match bytes.below(8) {
        0 => Part::List(vec![old]),
        1 => Part::Object(vec![(bytes.pick(&KEYS).to_owned(), old)]),
        2 => {
            let times = usize::from(bytes.byte());
            (0..times).fold(old, |inner, _| Part::Object(vec![("data".to_owned(), inner)]))
        }
        _ => leaf(bytes),
    };
}

fn leaf(bytes: &mut Bytes) -> Part {
    match bytes.below(5) {
        0 => Part::Raw(bytes.pick(&RAWS).to_owned()),
        1 => Part::Text(text_with_secret(bytes)),
        2 => Part::Text(bytes.pick(&WORDS).repeat(1 + usize::from(bytes.byte()) * bytes.below(8))),
        3 => Part::Raw(bytes.word().to_string()),
        _ => Part::Text(bytes.pick(&WORDS).to_owned()),
    }
}

/// A text with a secret in it, split by something that is not seen.
fn text_with_secret(bytes: &mut Bytes) -> String {
    let secret = bytes.pick(&SECRETS);
    let split = bytes.pick(&SPLITS);
    let every = 1 + bytes.below(4);
    let before = if bytes.flag() { "x".repeat(usize::from(bytes.word() % 1_100)) } else { String::new() };
    let inside: String =
        secret.chars().enumerate().map(|(at, c)| if at > 0 && at % every == 0 { format!("{split}{c}") } else { c.to_string() }).collect();
    format!("{before}{inside}{}", bytes.pick(&WORDS))
}

fn write(part: &Part, escaped: usize, out: &mut String) {
    match part {
        Part::Raw(text) => out.push_str(text),
        Part::Text(text) => string(text, escaped, out),
        Part::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write(item, escaped, out);
            }
            out.push(']');
        }
        Part::Object(entries) => {
            out.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                string(key, escaped, out);
                out.push(':');
                write(value, escaped, out);
            }
            out.push('}');
        }
    }
}

/// As a text, with every second or every character as an escape.
fn string(text: &str, escaped: usize, out: &mut String) {
    if escaped == 0 {
        out.push_str(&serde_json::Value::from(text).to_string());
        return;
    }
    out.push('"');
    for (at, unit) in text.encode_utf16().enumerate() {
        match char::from_u32(u32::from(unit)).filter(|c| escaped == 1 && at % 2 == 0 && c.is_ascii_alphanumeric()) {
            Some(c) => out.push(c),
            None => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out.push('"');
}

fn damage(body: &mut Vec<u8>, bytes: &mut Bytes) {
    let at = usize::from(bytes.word()) % (body.len() + 1);
    match bytes.below(4) {
        0 => body.truncate(at),
        1 if at < body.len() => body[at] ^= 1 << bytes.below(8),
        2 => {
            let times = usize::from(bytes.word());
            let byte = bytes.pick(b"[{\" ,0");
            body.splice(at..at, std::iter::repeat_n(byte, times));
        }
        _ => body.insert(at, bytes.byte()),
    }
}
