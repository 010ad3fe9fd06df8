//! The status of a `NuvoPipeline`: its record, judged.

use k8s_openapi::jiff::Timestamp;
use nuvo_crds::{
    AboutPipeline, Gap, NuvoPipeline, NuvoPipelineStatus, SeenExecution,
    conditions::{
        self, ConditionState, ConditionStatus, DEVELOPER_MODE, FRESH, LAST_EXECUTION_SUCCEEDED, LastExecutionReason, MAX_MESSAGE,
        ObservationReason, QUALITY_GATE_PASSED, QualityGateReason, READY, RECONCILING, STALLED,
    },
};

use super::{
    ended::{end, is_later},
    freshness::{FreshnessFacts, judge},
    record::Report,
    sighting::stored,
};
use crate::{
    quality_gate::shortfall,
    text::{sentence, truncated},
};

/// Whether the executions of a pipeline can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedState {
    /// There was no look yet.
    Pending,
    /// They can.
    Observed,
    /// There are more new ones than one look reads.
    CatchingUp,
    /// nuvo answered 403, for the list or for the pipeline.
    Forbidden,
    /// The account cannot be used, for this reason.
    AccountNotReady(String),
    /// nuvo does not answer, for this reason.
    Unavailable(String),
    /// nuvo does not send the list in the order that was asked for.
    OrderUnknown,
    /// The account has more objects than are observed, that is, so many.
    TooMany(usize),
    /// nuvo has no such pipeline.
    NotFound,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Whether anything can be seen.
    pub state: ObservedState,
    /// What was seen; none if nothing is known of this object.
    pub report: Option<Report>,
    /// What nuvo says of the pipeline.
    pub about: Option<AboutPipeline>,
    /// When the last complete look began.
    pub complete: Option<Timestamp>,
    /// What is not read yet: from the newest that was read to the oldest.
    pub gap: Option<(Timestamp, Timestamp)>,
    /// nuvo's times name no zone, and count as UTC.
    pub is_zone_assumed: bool,
}

impl Observed {
    /// Nothing is known, for this reason.
    #[must_use]
    pub const fn nothing(state: ObservedState) -> Self {
        Self { state, report: None, about: None, complete: None, gap: None, is_zone_assumed: false }
    }
}

/// Whether a status says something that the other one does not. What was counted alone is not worth a write, once something of it is stored.
#[must_use]
pub fn differs(old: Option<&NuvoPipelineStatus>, new: &NuvoPipelineStatus) -> bool {
    let Some(old) = old else { return true };
    if old.seen.is_none() && new.seen.is_some() {
        return true;
    }
    NuvoPipelineStatus { seen: None, ..old.clone() } != NuvoPipelineStatus { seen: None, ..new.clone() }
}

/// What is known when a status is made.
#[derive(Debug)]
pub struct PipelineFacts<'a> {
    /// The object.
    pub object: &'a NuvoPipeline,
    /// What was observed.
    pub observed: &'a Observed,
    /// The time of day.
    pub now: Timestamp,
    /// The operator's clock and that of the API server differ.
    pub is_clock_in_doubt: bool,
}

/// The status, and when to make it anew though nothing was observed.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineJudgement {
    /// The status.
    pub status: NuvoPipelineStatus,
    /// When it changes by time alone.
    pub changes_at: Option<Timestamp>,
}

/// Makes the status.
#[must_use]
pub fn status(facts: &PipelineFacts<'_>) -> PipelineJudgement {
    let PipelineFacts { object, observed, now, .. } = *facts;
    let old = object.status.clone().unwrap_or_default();
    let mut status = match &observed.report {
        Some(report) => NuvoPipelineStatus {
            running: report.running.clone(),
            last_execution: report.last_execution.clone(),
            last_success: report.last_success.clone(),
            last_failure: report.last_failure.clone(),
            last_counted: report.last_counted.clone(),
            recent: report.recent.clone(),
            seen: report.seen.clone().or_else(|| old.seen.clone()),
            gap: observed.gap.map(|(newest, oldest)| Gap { newest: Some(stored(newest)), oldest_read: Some(stored(oldest)) }),
            ..NuvoPipelineStatus::default()
        },
        None => old.clone(),
    };
    status.about = observed.about.clone().unwrap_or(old.about);
    status.observed_generation = object.metadata.generation;
    status.conditions = old.conditions;
    let mut conditions = Conditions { of: &mut status.conditions, generation: object.metadata.generation, now };
    let changes_at = match conditions.fresh(facts, status.last_counted.as_ref()) {
        Ok(changes_at) => {
            conditions.ready(object, observed, None);
            changes_at
        }
        Err(invalid) => {
            conditions.ready(object, observed, Some(invalid));
            None
        }
    };
    conditions.last_execution(status.last_success.as_ref(), status.last_failure.as_ref(), is_fixed(observed));
    conditions.quality_gate(object, status.last_success.as_ref());
    conditions.developer_mode(status.about.developer_mode);
    PipelineJudgement { status, changes_at }
}

fn is_fixed(observed: &Observed) -> bool {
    observed.report.as_ref().is_some_and(|report| report.is_fixed)
}

/// The conditions of a status that is being made.
struct Conditions<'a> {
    of: &'a mut Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl Conditions<'_> {
    fn set(&mut self, type_: &str, status: ConditionStatus, reason: &str, message: &str) {
        let message = truncated(message, MAX_MESSAGE);
        let state = ConditionState { status, reason, message: &message, observed_generation: self.generation };
        conditions::set(self.of, type_, &state, self.now);
    }

    fn set_if(&mut self, type_: &str, holds: bool, reason: &str, message: &str) {
        if holds {
            self.set(type_, ConditionStatus::True, reason, message);
        } else {
            conditions::remove(self.of, type_);
        }
    }

    fn ready(&mut self, object: &NuvoPipeline, observed: &Observed, invalid: Option<String>) {
        let (reason, message) = match invalid {
            Some(why) => {
                (ObservationReason::InvalidSpec, format!("spec.freshness.dueBy cannot be carried out: {} Correct it.", sentence(&why)))
            }
            None => observation(object, observed),
        };
        let is_stalled = matches!(reason, ObservationReason::PipelineNotFound | ObservationReason::InvalidSpec);
        let is_new = reason == ObservationReason::Pending;
        self.set(READY, reason.status(), reason.as_str(), &message);
        self.set_if(RECONCILING, is_new, reason.as_str(), &message);
        self.set_if(STALLED, is_stalled, reason.as_str(), &message);
    }

    /// Returns when it changes by time alone, or why it cannot be judged.
    fn fresh(&mut self, facts: &PipelineFacts<'_>, last_counted: Option<&SeenExecution>) -> Result<Option<Timestamp>, String> {
        let Some(freshness) = &facts.object.spec.freshness else {
            conditions::remove(self.of, FRESH);
            return Ok(None);
        };
        let is_seen =
            !matches!(facts.observed.state, ObservedState::CatchingUp | ObservedState::OrderUnknown) && facts.observed.gap.is_none();
        let judgement = judge(&FreshnessFacts {
            freshness,
            last_counted,
            possible: facts.observed.report.as_ref().and_then(|report| report.possible),
            created: facts.object.metadata.creation_timestamp.as_ref().map_or(facts.now, |time| time.0),
            now: facts.now,
            observed: facts.observed.complete.filter(|_| is_seen),
            is_clock_in_doubt: facts.is_clock_in_doubt,
        });
        let judgement = judgement.inspect_err(|_| conditions::remove(self.of, FRESH))?;
        self.set(FRESH, judgement.reason.status(), judgement.reason.as_str(), &judgement.message);
        Ok(judgement.changes_at)
    }

    fn last_execution(&mut self, success: Option<&SeenExecution>, failure: Option<&SeenExecution>, is_fixed: bool) {
        let (reason, execution) = match (success, failure) {
            (None, None) => return conditions::remove(self.of, LAST_EXECUTION_SUCCEEDED),
            (success, Some(failure)) if is_later(failure, success) => (LastExecutionReason::ExecutionFailed, failure),
            (Some(success), _) if is_fixed => (LastExecutionReason::FixedInNuvo, success),
            (Some(success), _) => (LastExecutionReason::Succeeded, success),
            (None, Some(failure)) => (LastExecutionReason::ExecutionFailed, failure),
        };
        self.set(LAST_EXECUTION_SUCCEEDED, reason.status(), reason.as_str(), &describe(execution));
    }

    fn quality_gate(&mut self, object: &NuvoPipeline, success: Option<&SeenExecution>) {
        let (Some(gate), Some(success)) = (&object.spec.quality_gate, success) else {
            return conditions::remove(self.of, QUALITY_GATE_PASSED);
        };
        if success.stats.is_none() {
            let message = format!("The statistics of execution {} were not read yet, or nuvo has none.", success.id);
            let reason = QualityGateReason::NotRead;
            return self.set(QUALITY_GATE_PASSED, reason.status(), reason.as_str(), &message);
        }
        let (reason, message) = match shortfall(gate, std::iter::once(success.stats)) {
            None => (QualityGateReason::Passed, format!("Execution {} keeps all limits of spec.qualityGate.", success.id)),
            Some(shortfall) => {
                (QualityGateReason::QualityGateFailed, format!("Execution {} fails the quality gate: {shortfall}.", success.id))
            }
        };
        self.set(QUALITY_GATE_PASSED, reason.status(), reason.as_str(), &message);
    }

    fn developer_mode(&mut self, is_on: Option<bool>) {
        let message = "The pipeline is in developer mode, in which nuvo delivers the first 100 rows only: switch it off in nuvo.";
        self.set_if(DEVELOPER_MODE, is_on == Some(true), DEVELOPER_MODE, message);
    }
}

fn observation(object: &NuvoPipeline, observed: &Observed) -> (ObservationReason, String) {
    let account = &object.spec.account_ref.name;
    let pipeline = &object.spec.pipeline_id;
    if object.spec.suspend {
        return (ObservationReason::Suspended, "spec.suspend is true: nuvo is not asked, and what is known stays as it is.".to_owned());
    }
    match &observed.state {
        ObservedState::Pending => (ObservationReason::Pending, format!("The executions of the account {account} were not looked at yet.")),
        ObservedState::Observed => {
            let zone = if observed.is_zone_assumed {
                " nuvo's times name no zone: they count as UTC until a new execution shows the zone."
            } else {
                ""
            };
            (ObservationReason::Observed, format!("The executions of the pipeline are observed.{zone}"))
        }
        ObservedState::CatchingUp => (
            ObservationReason::CatchingUp,
            "There are more new executions in nuvo than one look reads. The next looks read the rest; nothing is counted before."
                .to_owned(),
        ),
        ObservedState::Forbidden => (
            ObservationReason::PipelineForbidden,
            format!("nuvo answered 403: give the identity of the NuvoAccount {account} the right to read executions and this pipeline."),
        ),
        ObservedState::AccountNotReady(why) => (ObservationReason::AccountNotReady, why.clone()),
        ObservedState::Unavailable(why) => {
            (ObservationReason::NuvoUnavailable, format!("nuvo does not answer ({why}). What is known stays as it is."))
        }
        ObservedState::OrderUnknown => (
            ObservationReason::OrderUnknown,
            "nuvo sends its list in another order than asked, so that it cannot be told what is new.".to_owned(),
        ),
        ObservedState::TooMany(most) => (
            ObservationReason::TooManyPipelines,
            format!(
                "The NuvoAccount {account} has more than {most} NuvoPipelines; this one is not observed. Delete others, or use another account."
            ),
        ),
        ObservedState::NotFound => (
            ObservationReason::PipelineNotFound,
            format!("nuvo has no pipeline {pipeline}: write the pipeline's id as nuvo shows it into a new NuvoPipeline."),
        ),
    }
}

fn describe(execution: &SeenExecution) -> String {
    let trigger = execution.trigger_type.as_deref().unwrap_or("unknown trigger");
    let by = execution.created_by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    let error = execution.error_type.as_ref().map(|error| format!(" with {error}")).unwrap_or_default();
    let at = end(execution).map(|at| format!(" at {at}")).unwrap_or_default();
    format!("Execution {} ({trigger}{by}) ended {}{error}{at}.", execution.id, execution.status)
}
