//! The request journal: every request that reached the API, in the order of arrival.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

use crate::{
    fault::{FaultId, Operation},
    identity::Identity,
};

/// A request and the response to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedRequest {
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
    /// Its `accept`, `content-type`, `user-agent` and `x-request-id`, as far as it has them.
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
    pub answer: RecordedResponse,
    /// When the answer was ready, in milliseconds since the server's start.
    pub answered_ms: Option<i64>,
}

impl RecordedRequest {
    /// One of the kept headers, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The status that was answered, if one was.
    pub fn status(&self) -> Option<u16> {
        match self.answer {
            RecordedResponse::Status(status) => Some(status),
            RecordedResponse::Pending | RecordedResponse::Dropped => None,
        }
    }
}

/// The response to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordedResponse {
    /// Nothing yet.
    Pending,
    /// This status. Whether the caller was still there to read it is not known.
    Status(u16),
    /// The connection was closed without an answer.
    Dropped,
}

/// The headers that the journal keeps. Never `authorization`: it holds a credential.
pub(crate) const RECORDED_HEADERS: [&str; 4] = ["accept", "content-type", "user-agent", "x-request-id"];

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct RequestJournal {
    last: u64,
    requests: VecDeque<RecordedRequest>,
}

impl RequestJournal {
    /// Adds a request, gives it its number and forgets the oldest beyond `limit`.
    pub(crate) fn add(&mut self, mut request: RecordedRequest, limit: usize) -> u64 {
        self.last = self.last.saturating_add(1);
        request.number = self.last;
        self.requests.push_back(request);
        while self.requests.len() > limit {
            self.requests.pop_front();
        }
        self.last
    }

    pub(crate) fn change(&mut self, number: u64, change: impl FnOnce(&mut RecordedRequest)) {
        // From the back: a request that is still open is usually a late one.
        if let Some(request) = self.requests.iter_mut().rev().find(|request| request.number == number) {
            change(request);
        }
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }
}
