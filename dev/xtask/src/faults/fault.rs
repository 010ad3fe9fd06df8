//! The faults: what goes wrong with one request.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use controlplane::proxy::{Action, Answer};
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use serde_json::json;

use super::attack::Attack;
use super::numbered_request::{NumberedRequest, RequestKind};
use super::workload::Workload;

/// Longer than one call to the API server, or a read from nuvo, may take.
const SLOWER_THAN_A_CALL: Duration = Duration::from_secs(11);
/// Longer than the POST may take (see the operator's flags in `environment`).
const SLOWER_THAN_A_TRIGGER: Duration = Duration::from_secs(3);
/// Longer than the quarantine, and than a leader lease would last in these compressed times.
const PAUSE: Duration = Duration::from_secs(6);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The operator is killed when it has sent the request, which is lost with it.
    CrashBefore,
    /// The operator is killed when the server has carried the request out, before it has the answer.
    CrashAfter,
    /// The connection breaks before the server has the request.
    RequestLost,
    /// The connection breaks after the server has carried the request out.
    AnswerLost,
    /// Not carried out, 409.
    Conflict,
    /// Not carried out, 429.
    Limited(RetryAfter),
    /// Not carried out, 500.
    Internal,
    /// Not carried out, 503.
    Unavailable,
    /// Carried out, 500.
    InternalAfter,
    /// Carried out, but only when the operator has given up waiting.
    Slow,
    /// The network delivers the request twice.
    Twice,
    /// After this request the watches break.
    WatchCut,
    /// After this request the watches break and cannot be resumed: 410.
    Gone,
    /// The same, and the lists that follow are those of before the operator began.
    StaleList,
    /// The operator is paused (SIGSTOP) from before the server has the request until well after the quarantine.
    PauseBefore,
    /// The operator is paused from when the server has carried the request out.
    PauseAfter,
    /// The tenant attacks before the server has the request.
    Attack(Attack),
    /// The tenant attacks when the server has carried the request out. Then the operator is killed.
    AttackAndCrash(Attack),
}

/// The header that comes with a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryAfter {
    Missing,
    Seconds,
    Date,
    Nonsense,
}

/// Every fault with its name.
pub const ALL: [(Fault, &str); 31] = [
    (Fault::CrashBefore, "crash-before"),
    (Fault::CrashAfter, "crash-after"),
    (Fault::RequestLost, "request-lost"),
    (Fault::AnswerLost, "answer-lost"),
    (Fault::Conflict, "409"),
    (Fault::Limited(RetryAfter::Missing), "429"),
    (Fault::Limited(RetryAfter::Seconds), "429-seconds"),
    (Fault::Limited(RetryAfter::Date), "429-date"),
    (Fault::Limited(RetryAfter::Nonsense), "429-nonsense"),
    (Fault::Internal, "500"),
    (Fault::Unavailable, "503"),
    (Fault::InternalAfter, "500-after"),
    (Fault::Slow, "slow"),
    (Fault::Twice, "twice"),
    (Fault::WatchCut, "watch-cut"),
    (Fault::Gone, "410"),
    (Fault::StaleList, "stale-list"),
    (Fault::PauseBefore, "pause-before"),
    (Fault::PauseAfter, "pause-after"),
    (Fault::Attack(Attack::Copy), "copy"),
    (Fault::Attack(Attack::Marker), "marker"),
    (Fault::Attack(Attack::Claim), "claim"),
    (Fault::Attack(Attack::Delete), "delete"),
    (Fault::Attack(Attack::Flood), "flood"),
    (Fault::Attack(Attack::Account), "account"),
    (Fault::AttackAndCrash(Attack::Copy), "copy-crash"),
    (Fault::AttackAndCrash(Attack::Marker), "marker-crash"),
    (Fault::AttackAndCrash(Attack::Claim), "claim-crash"),
    (Fault::AttackAndCrash(Attack::Delete), "delete-crash"),
    (Fault::AttackAndCrash(Attack::Flood), "flood-crash"),
    (Fault::AttackAndCrash(Attack::Account), "account-crash"),
];

/// What has to be done outside the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The operator that sent the request is killed, and another started.
    Kill,
    /// The tenant attacks. Then the request is released.
    Attack(Attack),
    /// The tenant attacks. Then the operator that sent the request is killed, and another started.
    AttackAndKill(Attack),
    /// The request is released after this time.
    Release(Duration),
    /// The operator that sent it is paused for this time; then the request is released.
    Pause(Duration),
    /// The watches are cut.
    CutWatches,
}

impl Fault {
    /// Whether this can happen to this request. `watched`: the operator has its watches by then.
    pub fn fits(self, operation: &NumberedRequest, watched: bool, workload: Workload) -> bool {
        let kind = &operation.kind;
        let pair = workload.operators() > 1;
        match self {
            Self::Attack(_) | Self::AttackAndCrash(_) => workload.has_tenant() && watched && !kind.is_watch(),
            // The other workloads have them.
            _ if workload.has_tenant() => false,
            Self::WatchCut | Self::Gone | Self::StaleList => watched && !kind.is_nuvo() && !kind.is_watch(),
            Self::PauseBefore => pair && !kind.is_watch(),
            // The answer to a watch has no end to wait for.
            Self::PauseAfter => pair && !kind.is_watch(),
            Self::CrashAfter | Self::AnswerLost | Self::InternalAfter | Self::Slow | Self::Twice => !kind.is_watch(),
            Self::CrashBefore | Self::RequestLost | Self::Conflict | Self::Limited(_) | Self::Internal | Self::Unavailable => true,
        }
    }

    /// Whether this fault makes the outcome of a POST unknowable: it was not carried out, or very late.
    pub fn makes_outcome_unknowable(self, operation: &NumberedRequest) -> bool {
        let unsent = matches!(self, Self::CrashBefore | Self::RequestLost | Self::Conflict | Self::Internal | Self::Unavailable);
        operation.kind.is_trigger() && (unsent || self == Self::PauseBefore)
    }

    /// Whether the answer to a POST is lost, and another run claims what it started. The run then asks a person: the only harm that a tenant
    /// may do who can write statuses (docs/security.md).
    pub fn claims_what_is_in_doubt(self) -> bool {
        self == Self::AttackAndCrash(Attack::Claim)
    }

    /// Whether an operator dies or is paused so long that it looks dead.
    pub fn is_death(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter | Self::AttackAndCrash(_) | Self::PauseBefore | Self::PauseAfter)
    }

    /// Whether this fault hides that the first POST was refused with 401, or that its token was being renewed because of that.
    pub fn hides_a_refusal(self, operation: &NumberedRequest) -> bool {
        let crash = self.is_death();
        let first = operation.kind.is_trigger() && operation.occurrence == 1;
        let hidden = crash || matches!(self, Self::AnswerLost | Self::InternalAfter | Self::Slow);
        (first && hidden) || (operation.kind.is_renewal() && operation.occurrence > 1 && crash)
    }

    /// What the proxy does, and what has to be done outside it.
    pub fn act(self, kind: &RequestKind) -> (Action, Effect) {
        let respond = |answer| (Action::Respond(answer), Effect::None);
        match self {
            Self::CrashBefore => (Action::HoldBeforeForward, Effect::Kill),
            Self::CrashAfter => (Action::ForwardThenHold, Effect::Kill),
            Self::RequestLost => (Action::DropBeforeForward, Effect::None),
            Self::AnswerLost => (Action::ForwardThenDrop, Effect::None),
            Self::Conflict => respond(refusal(409, "Conflict")),
            Self::Limited(header) => respond(header.put(refusal(429, "TooManyRequests"))),
            Self::Internal => respond(refusal(500, "InternalError")),
            Self::Unavailable => respond(refusal(503, "ServiceUnavailable")),
            Self::InternalAfter => (Action::ForwardThenRespond(refusal(500, "InternalError")), Effect::None),
            Self::Slow => {
                let time = if kind.is_trigger() { SLOWER_THAN_A_TRIGGER } else { SLOWER_THAN_A_CALL };
                (Action::HoldBeforeForward, Effect::Release(time))
            }
            Self::Twice => (Action::ForwardTwice, Effect::None),
            Self::WatchCut | Self::Gone | Self::StaleList => (Action::Forward, Effect::CutWatches),
            Self::PauseBefore => (Action::HoldBeforeForward, Effect::Pause(PAUSE)),
            Self::PauseAfter => (Action::ForwardThenHold, Effect::Pause(PAUSE)),
            Self::Attack(attack) => (Action::HoldBeforeForward, Effect::Attack(attack)),
            Self::AttackAndCrash(attack) => (Action::ForwardThenHold, Effect::AttackAndKill(attack)),
        }
    }
}

impl RetryAfter {
    fn put(self, answer: Answer) -> Answer {
        match self {
            Self::Missing => answer,
            Self::Seconds => answer.header("retry-after", "1"),
            Self::Date => {
                let soon = Timestamp::now().saturating_add(SignedDuration::from_secs(2)).unwrap_or(Timestamp::MAX);
                let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon).unwrap_or_default();
                answer.header("retry-after", date)
            }
            Self::Nonsense => answer.header("retry-after", "soon"),
        }
    }
}

/// One body for both servers: each client reads the fields that it knows.
fn refusal(code: u16, reason: &str) -> Answer {
    let message = "injected by a fault plan";
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
        "error": { "code": reason, "message": message },
    });
    Answer::json(code, body.to_string())
}

/// The answer to a watch that cannot be resumed.
pub fn gone() -> Answer {
    let status =
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old" });
    Answer::json(200, format!("{}\n", json!({ "type": "ERROR", "object": status })))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(fault, _)| fault == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|(_, name)| *name == text).map(|(fault, _)| *fault);
        found.ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
            format!("{text}: expected a fault, one of {}", names.join(", "))
        })
    }
}
