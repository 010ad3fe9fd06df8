//! What the object says about the life of a run around its triggers: retries, answers of a person, deadline, deletion.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    deadline::{deadline_left, start_deadline_left},
    ids::ExecutionId,
    parse::{Resolution, resolution},
    status::{expires, followed, reason, repair_watch_left, repairable, retry},
    trigger::run_view::Run,
};
use nuvo_crds::{PipelineRun, conditions::Reason};

/// What the object of a run says at one moment, besides the record of its trigger. All times are what is left of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Life {
    /// The moment, for what people are told of times.
    pub now: Timestamp,
    /// Why the run is as it is.
    pub reason: Option<Reason>,
    /// The status says something about a trigger.
    pub begun: bool,
    /// `spec.rerunToken` asks for another attempt.
    pub token: bool,
    /// A person has answered to a trigger in doubt.
    pub answer: Option<Resolution>,
    /// The attempt has failed, and another one is scheduled.
    pub retry: RetryWait,
    /// Until the newest trigger that was recorded has no more effects; none if that is over, or nothing is to be expected of it.
    pub open: Option<Duration>,
    /// Until the deadline; none before the run has started.
    pub deadline: Option<Duration>,
    /// Until the run is not triggered any more, if it has not been triggered by then; none if there is no such time.
    pub start_deadline: Option<Duration>,
    /// Until the object is to be deleted; none if it is not.
    pub expiry: Option<Duration>,
    /// For how long the run is still watched for a repair; none if it is not.
    pub watched: Option<Duration>,
    /// The executions whose end makes the run's end.
    pub followed: Vec<ExecutionId>,
    /// The failed ones, which may be repaired in nuvo.
    pub repairable: Vec<ExecutionId>,
    /// Since the run has started.
    pub age: Duration,
    /// Since it has ended.
    pub ended_for: Duration,
    /// The status shows executions.
    pub shows_executions: bool,
}

/// Whether another attempt is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RetryWait {
    /// It is not.
    #[default]
    None,
    /// It is, and begins after this time at the latest, which what the spec says now may change.
    Scheduled(Duration),
    /// It begins now.
    Due,
}

impl Life {
    /// Reads it from an object at this time; without a run if the object cannot be one.
    #[must_use]
    pub fn of(object: &PipelineRun, run: Option<&Run>, now: Timestamp) -> Self {
        let start_deadline = start_deadline_left(object, now);
        let Some(status) = &object.status else {
            return Self { now, start_deadline, ..Self::default() };
        };
        let since =
            |time: Option<&Time>| time.map_or(Duration::ZERO, |time| Duration::try_from(now.duration_since(time.0)).unwrap_or_default());
        let until = |time: Timestamp| Duration::try_from(time.duration_since(now)).unwrap_or_default();
        let retry = match status.series.retry.as_ref().and_then(|retry| retry.next_time.as_ref()).filter(|_| retry::is_awaited(status)) {
            None => RetryWait::None,
            Some(_) if retry::is_due(status, object, now) => RetryWait::Due,
            Some(next) => RetryWait::Scheduled(until(next.0)),
        };
        let open = status.trigger.as_ref().and_then(|trigger| trigger.open_until.as_ref()).map(|time| until(time.0));
        Self {
            now,
            reason: reason(status),
            begun: status.trigger.is_some(),
            token: object.spec.rerun_token.is_some() && object.spec.rerun_token != status.series.rerun_token,
            answer: resolution(object).ok().flatten(),
            retry,
            open: open.filter(|left| !left.is_zero()),
            deadline: deadline_left(status, object, now),
            start_deadline,
            expiry: expires(object).map(until),
            watched: repair_watch_left(object, status, now),
            followed: run.map(|run| followed(object, run)).unwrap_or_default(),
            repairable: repairable(status),
            age: since(status.series.start_time.as_ref()),
            ended_for: since(status.current.completion_time.as_ref()),
            shows_executions: !status.current.executions.is_empty(),
        }
    }
}
