//! Faults: rules that make chosen requests go wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::pipeline::Delays;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A license key is traded for an access token.
    Token,
    /// `POST /execution/`.
    Create,
    /// `GET /execution/{id}`.
    Read,
    /// `GET /execution/`.
    List,
    /// `GET /pipeline/{id}`.
    Pipeline,
    /// Anything else under the base path.
    Other,
}

/// The handle of an added [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// A rule: which requests go wrong, and how.
///
/// A request is given to the rules in the order they were added; the first that fits and is not used up takes it, before the token
/// is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Only requests for this; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Only requests about this pipeline: to start it, to read one of its executions, to list them by `filters[pipeline]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// So many requests that fit pass unharmed first.
    #[serde(default)]
    pub skip: u64,
    /// So many requests go wrong, then the rule is used up; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How they go wrong.
    pub effect: Effect,
}

impl Fault {
    /// Every request for `operation` meets `effect`.
    pub fn on(operation: Operation, effect: Effect) -> Self {
        Self { operation: Some(operation), pipeline: None, skip: 0, times: None, effect }
    }

    /// Every request meets `effect`.
    pub fn any(effect: Effect) -> Self {
        Self { operation: None, pipeline: None, skip: 0, times: None, effect }
    }

    /// Only requests about this pipeline.
    pub fn pipeline(self, id: impl Into<String>) -> Self {
        Self { pipeline: Some(id.into()), ..self }
    }

    /// Lets so many requests pass first.
    pub fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// Only so many requests go wrong.
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only one request goes wrong.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Why the rule is invalid, if it is.
    pub(crate) fn problem(&self) -> Option<String> {
        let code = match &self.effect {
            Effect::Status { code, .. } => *code,
            Effect::Raw { status, .. } | Effect::Redirect { status, .. } => *status,
            Effect::Delay(_) | Effect::Drop { .. } | Effect::Hang { .. } | Effect::Cut => return None,
        };
        (!(200..=599).contains(&code)).then(|| format!("{code} is not a status that can be answered; write one from 200 to 599"))
    }
}

/// How a request goes wrong.
///
/// `executed` says on which side of the request's effect it goes wrong: `false`, and nothing happens but the answer; `true`, and the
/// request is carried out as usual and only its answer is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// This status is answered.
    Status {
        /// The status.
        code: u16,
        /// More headers, such as `retry-after`.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The JSON body; null stands for an error body in the API's usual form.
        #[serde(default)]
        body: Value,
        /// Whether the request is carried out.
        #[serde(default)]
        executed: bool,
    },
    /// The request is carried out late, or answered late.
    Delay(Delays),
    /// The connection closes without an answer.
    Drop {
        /// Whether the request is carried out.
        executed: bool,
    },
    /// Nothing more happens until [`crate::Sim::release`]; then the request goes on as usual.
    Hang {
        /// Whether the request is carried out before it hangs; otherwise after its release.
        executed: bool,
    },
    /// These bytes are answered.
    Raw {
        /// The body.
        body: String,
        /// Its type.
        #[serde(default = "json", rename = "contentType")]
        content_type: String,
        /// The status.
        #[serde(default = "ok")]
        status: u16,
        /// Whether the request is carried out.
        #[serde(default)]
        executed: bool,
    },
    /// The caller is sent elsewhere; nothing is carried out.
    Redirect {
        /// Where to.
        location: String,
        /// The status, usually 307.
        #[serde(default = "temporary")]
        status: u16,
    },
    /// The request is carried out, and the connection closes in the middle of the answer's body.
    Cut,
}

impl Effect {
    /// This status instead of the effect.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: BTreeMap::new(), body: Value::Null, executed: false }
    }

    /// The effect, then this status.
    pub fn status_after_executing(code: u16) -> Self {
        Self::Status { code, headers: BTreeMap::new(), body: Value::Null, executed: true }
    }

    /// 429 with `Retry-After` in seconds.
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::status(429).header("retry-after", retry_after.to_string())
    }

    /// Adds a header to a [`Effect::Status`]; leaves other effects as they are.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.insert(name.into(), value.into());
        }
        self
    }

    /// No answer, no effect.
    pub const DROP_BEFORE_EXECUTING: Self = Self::Drop { executed: false };
    /// The effect, but no answer.
    pub const DROP_AFTER_EXECUTING: Self = Self::Drop { executed: true };
    /// No effect and no answer until the release.
    pub const HANG_BEFORE_EXECUTING: Self = Self::Hang { executed: false };
    /// The effect, but no answer until the release.
    pub const HANG_AFTER_EXECUTING: Self = Self::Hang { executed: true };

    /// These bytes as JSON with status 200, instead of the effect.
    pub fn raw(body: impl Into<String>) -> Self {
        Self::Raw { body: body.into(), content_type: json(), status: 200, executed: false }
    }

    /// The effect, then these bytes as JSON with status 200.
    pub fn raw_after_executing(body: impl Into<String>) -> Self {
        Self::Raw { body: body.into(), content_type: json(), status: 200, executed: true }
    }
}

fn json() -> String {
    "application/json".to_owned()
}

fn ok() -> u16 {
    200
}

fn temporary() -> u16 {
    307
}

/// The rules in force, with their counts.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last: u64,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    id: FaultId,
    fault: Fault,
    /// Requests that fit the rule.
    fitting: u64,
    /// Requests that the rule applied to.
    matched: u64,
    /// Requests that came to the point where they go wrong.
    reached: u64,
    /// Becomes true with the release. Dropping it with the rule releases as well.
    released: watch::Sender<bool>,
}

/// The rule that applies to a request.
pub(crate) struct MatchedFault {
    pub(crate) id: FaultId,
    pub(crate) effect: Effect,
    pub(crate) released: watch::Receiver<bool>,
}

/// A rule with its counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// The rule's handle.
    pub id: FaultId,
    /// The rule.
    #[serde(flatten)]
    pub fault: Fault,
    /// How many requests came to the point where they go wrong.
    pub reached: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> FaultId {
        self.last = self.last.saturating_add(1);
        let id = FaultId(self.last);
        self.rules.push(Rule { id, fault, fitting: 0, matched: 0, reached: 0, released: watch::Sender::new(false) });
        id
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.id != id);
        self.rules.len() != before
    }

    pub(crate) fn release(&self, id: FaultId) -> bool {
        let Some(rule) = self.rules.iter().find(|rule| rule.id == id) else { return false };
        rule.released.send_replace(true);
        true
    }

    pub(crate) fn match_request(&mut self, operation: Operation, pipeline: Option<&str>) -> Option<MatchedFault> {
        for rule in &mut self.rules {
            let fits = rule.fault.operation.is_none_or(|wanted| wanted == operation)
                && rule.fault.pipeline.as_deref().is_none_or(|wanted| Some(wanted) == pipeline);
            if !fits {
                continue;
            }
            rule.fitting = rule.fitting.saturating_add(1);
            if rule.fitting <= rule.fault.skip || rule.fault.times.is_some_and(|times| rule.matched >= times) {
                continue;
            }
            rule.matched = rule.matched.saturating_add(1);
            return Some(MatchedFault { id: rule.id, effect: rule.fault.effect.clone(), released: rule.released.subscribe() });
        }
        None
    }

    pub(crate) fn reach(&mut self, id: FaultId) {
        if let Some(rule) = self.rules.iter_mut().find(|rule| rule.id == id) {
            rule.reached = rule.reached.saturating_add(1);
        }
    }

    pub(crate) fn reached(&self, id: FaultId) -> u64 {
        self.rules.iter().find(|rule| rule.id == id).map_or(0, |rule| rule.reached)
    }

    pub(crate) fn report(&self) -> Vec<FaultReport> {
        self.rules.iter().map(|rule| FaultReport { id: rule.id, fault: rule.fault.clone(), reached: rule.reached }).collect()
    }
}
