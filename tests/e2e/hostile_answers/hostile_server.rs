//! A small nuvo for one cell of the table: healthy, except that one of its calls is answered as the table says until it is healed.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::environment::block_on;

/// What a cell answers.
#[derive(Clone)]
pub enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, then the end of the connection in the rude way.
    Reset(Vec<u8>),
    /// These bytes, and then each of the others after a second.
    Drip(Vec<u8>, Vec<u8>),
    /// These bytes, and then the others again and again, each millisecond: no flood, which would only show how much a core can read.
    Endless(Vec<u8>, Vec<u8>),
    /// These bytes, then silence.
    Hang(Vec<u8>),
}

/// What the operator wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A token for the license key.
    Token,
    /// The list that shows whether the account works.
    Proof,
    /// What the list shows before a trigger.
    Look,
    /// The trigger.
    Create,
    /// What is running.
    Poll,
    /// One execution.
    Read,
    /// What a trigger in doubt may have started.
    Recovery,
    /// Whether the pipeline is in developer mode. Nothing depends on it.
    Mode,
}

/// A request as the hostile answers see it.
pub struct RequestContext<'a> {
    pub token: &'a str,
    pub key: &'a str,
    /// Where a redirect leads.
    pub elsewhere: &'a str,
    /// What a healthy server would answer.
    pub healthy: Value,
}

impl RequestContext<'_> {
    /// The answer of a healthy server, with each execution in it changed.
    pub fn changed(&self, change: impl Fn(&mut Value)) -> Value {
        let mut body = self.healthy.clone();
        match &mut body["data"] {
            Value::Array(entries) => entries.iter_mut().for_each(change),
            entry => change(entry),
        }
        body
    }
}

/// Makes the hostile answers.
pub type Hostile = dyn Fn(&RequestContext<'_>) -> Answer + Send + Sync;

/// A whole answer with this head and body.
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Answer {
    Answer::Bytes(whole(status, headers, body))
}

pub fn whole(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}");
    let mut bytes = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What one cell's server is like.
pub struct Script {
    pub pipeline: String,
    pub token: String,
    pub key: String,
    pub elsewhere: String,
    /// The call that is answered badly.
    pub call: Call,
    pub hostile: Arc<Hostile>,
    /// Whether a POST that is answered badly has been carried out.
    pub executes: bool,
    /// How many triggers are answered badly, if they are.
    pub triggers: usize,
    /// The answers to triggers get lost, besides anything else.
    pub loses_answers: bool,
}

struct State {
    script: Script,
    given: AtomicUsize,
    posts: AtomicUsize,
    started: AtomicBool,
    healed: AtomicBool,
}

/// A running server.
pub struct HostileServer {
    pub origin: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HostileServer {
    pub fn start(script: Script) -> Self {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let origin = format!("http://{}", listener.local_addr().unwrap());
            let state = Arc::new(State {
                script,
                given: AtomicUsize::new(0),
                posts: AtomicUsize::new(0),
                started: AtomicBool::new(false),
                healed: AtomicBool::new(false),
            });
            let shared = Arc::clone(&state);
            let task = tokio::spawn(async move {
                // What is still being answered ends with this server.
                let mut open = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let state = Arc::clone(&shared);
                    open.spawn(async move { serve(stream, &state).await });
                    while open.try_join_next().is_some() {}
                }
            });
            Self { origin, state, task }
        })
    }

    /// How many hostile answers were given; one that has no end counts when it begins.
    pub fn given(&self) -> usize {
        self.state.given.load(Ordering::SeqCst)
    }

    /// How many triggers arrived.
    pub fn posts(&self) -> usize {
        self.state.posts.load(Ordering::SeqCst)
    }

    /// From now on everything is answered well, and what runs has ended.
    pub fn heal(&self) {
        self.state.healed.store(true, Ordering::SeqCst);
    }
}

impl State {
    fn ours(&self, status: &str) -> Value {
        json!({
            "id": format!("{}-ours", self.script.pipeline),
            "pipeline": self.script.pipeline,
            "status": status,
            "trigger_type": "MANUAL",
            "configuration": "c-1",
            "created_at": "2026-03-02T10:00:00.000Z",
            "updated_at": "2026-03-02T10:00:01.000Z",
            "created_by": { "identifier": "demo@example.com", "type": "USER" },
        })
    }

    /// What was there before the run.
    fn earlier(&self) -> [Value; 2] {
        ["2026-03-01T10:00:00.000Z", "2026-02-01T10:00:00.000Z"].map(|created| {
            let mut entry = self.ours("SUCCESSFUL");
            entry["id"] = format!("{}-of-{}", self.script.pipeline, created.split('T').next().unwrap()).into();
            entry["created_at"] = created.into();
            entry["updated_at"] = created.into();
            entry
        })
    }

    /// The answer of a healthy server, if there is what was asked for.
    fn healthy(&self, call: Call, path: &str) -> Option<Value> {
        let (started, over) = (self.started.load(Ordering::SeqCst), self.healed.load(Ordering::SeqCst));
        let ours = self.ours(if over { "SUCCESSFUL" } else { "PROCESSING" });
        let list = |entries: Vec<Value>| {
            let further = !path.contains("offset%5D=0");
            let sent = if further { Vec::new() } else { entries.clone() };
            json!({ "data": sent, "pagination": { "total": entries.len(), "offset": 0, "limit": 100 } })
        };
        Some(match call {
            Call::Token => json!({ "access_token": self.script.token }),
            Call::Create => json!({ "data": [ours] }),
            Call::Proof => list(Vec::new()),
            Call::Look => list(started.then_some(ours).into_iter().chain(self.earlier()).collect()),
            Call::Recovery => list(started.then_some(ours).into_iter().chain(self.earlier()).collect()),
            // Not in the list, it is asked for by its id.
            Call::Poll if over || !started || self.script.call == Call::Read => list(Vec::new()),
            Call::Poll => list(vec![ours]),
            Call::Mode => return None,
            Call::Read if !started || !path.ends_with("-ours") => return None,
            Call::Read => {
                let mut ours = ours;
                ours["logs"] = json!([{
                    "type": "CREATE",
                    "status": ours["status"],
                    "started_at": "2026-03-02T10:00:00.500Z",
                    "data": { "total_rows": 12, "total_cells": 34, "total_error_cells": 0, "total_error_rows": 0, "duration": 500 },
                }]);
                json!({ "data": ours })
            }
        })
    }
}

/// The call that a request line makes. After a trigger that was carried out, the newest executions are looked for in doubt.
fn call(method: &str, path: &str, started: bool) -> Call {
    match method {
        "POST" if path.ends_with("/execution/") => Call::Create,
        "POST" => Call::Token,
        _ if path.contains("filters%5Bpipeline%5D") => Call::Recovery,
        _ if path.contains("filters%5Bstatus%5D") => Call::Poll,
        _ if path.contains("=desc") && started => Call::Recovery,
        _ if path.contains("=desc") => Call::Look,
        _ if path.contains('?') => Call::Proof,
        _ if path.contains("/pipeline/") => Call::Mode,
        _ => Call::Read,
    }
}

async fn serve(mut stream: TcpStream, state: &State) {
    let Some((method, path)) = request(&mut stream).await else { return };
    let started = state.started.load(Ordering::SeqCst);
    let (call, script) = (call(&method, &path, started), &state.script);
    let spared = call == Call::Create && state.posts.fetch_add(1, Ordering::SeqCst) >= script.triggers;
    let hostile = call == script.call && !spared && !state.healed.load(Ordering::SeqCst);
    if call == Call::Create && (!hostile || script.executes) {
        state.started.store(true, Ordering::SeqCst);
    }
    if call == Call::Create && script.loses_answers {
        return;
    }
    let healthy = state.healthy(call, &path);
    if !hostile {
        let well = healthy.map_or_else(|| whole(404, "", b"{}"), |body| whole(200, "", body.to_string().as_bytes()));
        give(&mut stream, Answer::Bytes(well)).await;
        return;
    }
    let healthy = healthy.unwrap_or_default();
    let Script { token, key, elsewhere, .. } = script;
    let answer = (script.hostile)(&RequestContext { token, key, elsewhere, healthy });
    let ends = matches!(answer, Answer::Bytes(_) | Answer::Reset(_));
    if !ends {
        state.given.fetch_add(1, Ordering::SeqCst);
    }
    give(&mut stream, answer).await;
    if ends {
        state.given.fetch_add(1, Ordering::SeqCst);
    }
}

/// Method and path of a request that was read as a whole.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            let mut words = head.split(' ');
            return Some((words.next()?.to_owned(), words.next()?.to_owned()));
        }
    }
}

/// The other end may have heard enough at any time.
async fn give(stream: &mut TcpStream, answer: Answer) {
    match answer {
        Answer::Bytes(bytes) => {
            if stream.write_all(&bytes).await.is_ok() {
                let _closed = stream.shutdown().await;
            }
        }
        Answer::Reset(bytes) => {
            let _sent = stream.write_all(&bytes).await;
            stream.set_zero_linger().unwrap();
        }
        Answer::Drip(first, rest) => {
            let mut sent = stream.write_all(&first).await;
            for byte in rest {
                if sent.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                sent = stream.write_all(&[byte]).await;
            }
        }
        Answer::Endless(first, again) => {
            let mut sent = stream.write_all(&first).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                sent = stream.write_all(&again).await;
            }
        }
        Answer::Hang(bytes) => {
            let _sent = stream.write_all(&bytes).await;
            std::future::pending::<()>().await;
        }
    }
}

/// A server that nothing must ever be sent to, and what was.
pub struct RequestRecorder {
    pub origin: String,
    caught: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for RequestRecorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RequestRecorder {
    pub fn start() -> Self {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let origin = format!("http://{}", listener.local_addr().unwrap());
            let caught = Arc::new(Mutex::new(Vec::new()));
            let all = Arc::clone(&caught);
            let task = tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let all = Arc::clone(&all);
                    tokio::spawn(async move {
                        let line = request(&mut stream)
                            .await
                            .map_or_else(|| "a connection".to_owned(), |(method, path)| format!("{method} {path}"));
                        all.lock().unwrap().push(line);
                    });
                }
            });
            Self { origin, caught, task }
        })
    }

    pub fn caught(&self) -> Vec<String> {
        self.caught.lock().unwrap().clone()
    }
}
