//! The values that labels can have: every set is closed, or comes from objects.

use std::borrow::Cow;

use nuvo_core::run::{PostOutcome, Unexecuted};
use prometheus_client::encoding::EncodeLabelSet;

/// Anything that is not in a known set.
pub(super) const OTHER: &str = "other";

/// The label `result` of a reconcile.
pub(super) const OK: &str = "ok";
pub(super) const ERROR: &str = "error";

/// The label `outcome` of a POST that starts a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerOutcome {
    /// Accepted, with the ids.
    Accepted,
    /// Certainly not executed; another try may follow.
    NotExecuted,
    /// Certainly not executed, and permanently refused.
    Rejected,
    /// Executed, but the ids are not known.
    IdsUnknown,
    /// It is not known whether it was executed.
    Unknown,
}

impl TriggerOutcome {
    pub(super) const ALL: [Self; 5] = [Self::Accepted, Self::NotExecuted, Self::Rejected, Self::IdsUnknown, Self::Unknown];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NotExecuted => "not_executed",
            Self::Rejected => "rejected",
            Self::IdsUnknown => "ids_unknown",
            Self::Unknown => "unknown",
        }
    }
}

impl From<&PostOutcome> for TriggerOutcome {
    fn from(outcome: &PostOutcome) -> Self {
        match outcome {
            PostOutcome::Accepted(_) => Self::Accepted,
            PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(..), message: _ } => Self::NotExecuted,
            PostOutcome::NotExecuted { then: Unexecuted::Rejected, message: _ } => Self::Rejected,
            PostOutcome::ExecutedIdsUnknown { message: _ } => Self::IdsUnknown,
            PostOutcome::Unknown { message: _ } => Self::Unknown,
        }
    }
}

/// The label `result` of a run that ended, in the words of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunResult {
    /// Successful in nuvo, and the quality gate passed.
    Success,
    /// Failed in nuvo or at the quality gate.
    Failure,
    /// The operator could not complete the run, or could not find out how it ended.
    Error,
    /// Its deadline passed, before or after its trigger.
    Timeout,
    /// A person gave it up.
    Cancellation,
    /// There was nothing to process, or another execution of the pipeline was running.
    Skip,
}

impl RunResult {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Cancellation => "cancellation",
            Self::Skip => "skip",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabel {
    pub phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FinishedLabels {
    pub result: &'static str,
    pub error_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub operation: &'static str,
    pub code: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OperationLabel {
    pub operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResourceLabel {
    pub resource: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReconcileLabels {
    pub kind: &'static str,
    pub result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WatchLabels {
    pub kind: &'static str,
    pub namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WaitLabels {
    pub reason: &'static str,
    pub age: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AccountLabels {
    pub namespace: String,
    pub account: String,
}
