//! The journal: every request that reached the API, in the order they arrived.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

use crate::{
    config::Identity,
    fault::{FaultId, Operation},
};

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its place among all requests since the start, from 1.
    pub number: u64,
    /// When it arrived, on the server's clock, RFC 3339.
    pub at: String,
    /// When it arrived, in milliseconds since the server's start.
    pub at_ms: i64,
    /// The method.
    pub method: String,
    /// The path, with the base path.
    pub path: String,
    /// The query's pairs, decoded.
    pub query: Vec<(String, String)>,
    /// What it asks for.
    pub operation: Operation,
    /// The pipeline it is about, where that is known.
    pub pipeline: Option<String>,
    /// Its `accept`, `content-type`, `user-agent` and `x-request-id`, where they are there.
    pub headers: BTreeMap<String, String>,
    /// Whose token it carries, if it is one that is accepted.
    pub identity: Option<Identity>,
    /// The JSON body, without a license key. Null when there is none.
    pub body: Value,
    /// The fault that took it.
    pub fault: Option<FaultId>,
    /// Whether it is a POST that was carried out.
    pub executed: bool,
    /// What was answered.
    pub answer: Answer,
    /// When the answer was ready, in milliseconds since the server's start.
    pub answered_ms: Option<i64>,
}

impl Request {
    /// One of the kept headers, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The status that was answered, if one was.
    pub fn status(&self) -> Option<u16> {
        match self.answer {
            Answer::Status(status) => Some(status),
            Answer::Pending | Answer::Dropped => None,
        }
    }
}

/// What was answered to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Nothing yet.
    Pending,
    /// This status. Whether the caller was still there to read it is not known.
    Status(u16),
    /// The connection was closed without an answer.
    Dropped,
}

/// The headers the journal keeps. `authorization` is not among them.
pub(crate) const KEPT_HEADERS: [&str; 4] = ["accept", "content-type", "user-agent", "x-request-id"];

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    last: u64,
    requests: VecDeque<Request>,
}

impl Journal {
    /// Adds a request, gives it its number and forgets the oldest beyond `limit`.
    pub(crate) fn add(&mut self, mut request: Request, limit: usize) -> u64 {
        self.last = self.last.saturating_add(1);
        request.number = self.last;
        self.requests.push_back(request);
        while self.requests.len() > limit {
            self.requests.pop_front();
        }
        self.last
    }

    pub(crate) fn change(&mut self, number: u64, change: impl FnOnce(&mut Request)) {
        // From the back: a request that is still open is usually a late one.
        if let Some(request) = self.requests.iter_mut().rev().find(|request| request.number == number) {
            change(request);
        }
    }

    pub(crate) fn all(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }
}
