//! Conditions: their types and reasons, all of them in one place, and the one way to set them.

use std::fmt;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// The outcome of a run: Unknown while it is active, then True or False.
pub const SUCCEEDED: &str = "Succeeded";
/// True on any end, whatever the outcome: `kubectl wait` cannot wait for "either".
pub const FINISHED: &str = "Finished";
/// A run: its success. An account: that it can be used. A schedule: that it starts its slots.
pub const READY: &str = "Ready";
/// kstatus: work is going on.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: it does not continue by itself. Never True together with [`RECONCILING`].
pub const STALLED: &str = "Stalled";

/// The pipeline was in developer mode when the run ended, so that nuvo has delivered its first 100 rows only. Absent otherwise.
pub const DEVELOPER_MODE: &str = "DeveloperMode";
/// The data of a pipeline is as new as `spec.freshness` asks. Absent when that is not set.
pub const FRESH: &str = "Fresh";
/// The execution of a pipeline that ended last was successful. Absent until one has ended.
pub const LAST_EXECUTION_SUCCEEDED: &str = "LastExecutionSucceeded";
/// The statistics of the execution that ended last keep `spec.qualityGate`. Absent when that is not set, and until an execution has ended.
pub const QUALITY_GATE_PASSED: &str = "QualityGatePassed";
/// The object is not deleted although `spec.ttlSecondsAfterFinished` says so. Absent otherwise.
pub const DELETION_BLOCKED: &str = "DeletionBlocked";

/// The operator watches the run no longer, because its label selector does not select it. Absent otherwise.
pub const UNWATCHED: &str = "Unwatched";

/// The result of the newest run of a schedule that has ended. Absent before there is one.
pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
/// nuvo starts the pipeline of a schedule by a schedule of its own, too. Absent otherwise.
pub const ALSO_SCHEDULED_IN_NUVO: &str = "AlsoScheduledInNuvo";

/// The maximum length of a condition message, in characters. Kubernetes allows 32,768, but a shorter message is easier to read.
pub const MAX_MESSAGE: usize = 1024;

/// `status` of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not decided yet.
    Unknown,
}

impl ConditionStatus {
    /// The word in the object.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a condition says, besides its type.
#[derive(Debug, Clone, Copy)]
pub struct ConditionState<'a> {
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: &'a str,
    /// For people, at most [`MAX_MESSAGE`] characters.
    pub message: &'a str,
    /// The `metadata.generation` that it is about.
    pub observed_generation: Option<i64>,
}

/// The condition of this type, if it is present.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Sets the condition of this type. `lastTransitionTime` changes only together with the status.
///
/// The condition moves to the end, so that conditions stand in the order in which they are set.
pub fn set(conditions: &mut Vec<Condition>, type_: &str, state: &ConditionState<'_>, now: Timestamp) {
    let unchanged = conditions.iter().find(|present| present.type_ == type_ && present.status == state.status.as_str());
    let condition = Condition {
        type_: type_.to_owned(),
        status: state.status.as_str().to_owned(),
        reason: state.reason.to_owned(),
        message: state.message.to_owned(),
        observed_generation: state.observed_generation,
        last_transition_time: unchanged.map_or(Time(now), |present| present.last_transition_time.clone()),
    };
    remove(conditions, type_);
    conditions.push(condition);
}

/// Removes the condition of this type.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident = $word:literal, $status:ident;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $meaning])+ $variant,)*
        }

        impl $name {
            /// Every reason, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in the object.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// What it means, for the reference.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($meaning),+),)*
                }
            }

            /// The status of the condition that this reason goes with.
            #[must_use]
            pub const fn status(self) -> ConditionStatus {
                match self {
                    $(Self::$variant => ConditionStatus::$status,)*
                }
            }

            /// Reads a condition back. The status is needed, because one word can go with two of them.
            #[must_use]
            pub fn parse(word: &str, status: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|r| r.as_str() == word && r.status().as_str() == status)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why the condition `Succeeded` of a run is what it is.
    Reason {
        /// The operator has seen the run, or that a person starts it again, and has not started it yet.
        Pending = "Pending", Unknown;
        /// `spec.suspend` holds the run back before its trigger.
        Suspended = "Suspended", Unknown;
        /// The NuvoAccount is missing or cannot be used.
        AccountNotReady = "AccountNotReady", Unknown;
        /// Another run of the same pipeline holds the lock.
        PipelineBusy = "PipelineBusy", Unknown;
        /// An execution of the pipeline runs in nuvo, and `spec.concurrencyPolicy` makes the run wait for its end.
        PipelineRunning = "PipelineRunning", Unknown;
        /// nuvo does not answer. What is known of the run stays as it is.
        NuvoUnavailable = "NuvoUnavailable", Unknown;
        /// nuvo asked the operator to pause, or older runs use up the request budget.
        RateLimited = "RateLimited", Unknown;
        /// A POST may have been sent. The operator is finding out whether nuvo carried it out.
        TriggerUnconfirmed = "TriggerUnconfirmed", Unknown;
        /// nuvo is processing at least one execution.
        Running = "Running", Unknown;
        /// The attempt failed and another one follows.
        RetryScheduled = "RetryScheduled", Unknown;
        /// Every execution ended SUCCESSFUL.
        Succeeded = "Succeeded", True;
        /// nuvo started nothing, and `spec.onNothingToProcess` is Succeed.
        NothingToProcess = "NothingToProcess", True;
        /// The run had failed, and was repaired in nuvo.
        FixedInNuvo = "FixedInNuvo", True;
        /// An execution of the pipeline was running, and `spec.concurrencyPolicy` is Skip. Nothing was started.
        Skipped = "Skipped", True;
        /// Its schedule has not claimed the slot for this run: it was created too late, or copied. Nothing was started.
        SlotNotClaimed = "SlotNotClaimed", False;
        /// The run could not be triggered within `spec.startDeadlineSeconds`.
        StartDeadlineExceeded = "StartDeadlineExceeded", False;
        /// At least one execution ended FAILED.
        ExecutionFailed = "ExecutionFailed", False;
        /// nuvo reports SUCCESSFUL, but the run fails `spec.qualityGate`.
        QualityGateFailed = "QualityGateFailed", False;
        /// The run did not end within `spec.activeDeadlineSeconds`.
        DeadlineExceeded = "DeadlineExceeded", False;
        /// nuvo refused the trigger permanently.
        TriggerRejected = "TriggerRejected", False;
        /// It is not known whether nuvo carried out the trigger. A person decides.
        TriggerOutcomeUnknown = "TriggerOutcomeUnknown", False;
        /// nuvo no longer knows the execution.
        ExecutionLost = "ExecutionLost", False;
        /// nuvo started nothing, and `spec.onNothingToProcess` is Fail. The same word stands with True for Succeed.
        NothingToProcessFailed = "NothingToProcess", False;
        /// The spec cannot be carried out.
        InvalidSpec = "InvalidSpec", False;
        /// The status was removed from outside the operator, so it is not known what had happened.
        StatusLost = "StatusLost", False;
    }
}

impl Reason {
    /// Whether the attempt has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self.status(), ConditionStatus::Unknown)
    }
}

reasons! {
    /// Why the condition `Ready` of an account is what it is.
    AccountReason {
        /// nuvo accepted the credentials.
        Ready = "Ready", True;
        /// The Secret or its key does not exist, or the Secret lacks the label `nuvo.dev/credential: "true"`.
        SecretNotFound = "SecretNotFound", False;
        /// The value is empty or cannot be a credential.
        SecretInvalid = "SecretInvalid", False;
        /// The operator was not started with the origin of `baseUrl`.
        OriginNotAllowed = "OriginNotAllowed", False;
        /// nuvo answered 401, also with a new token.
        CredentialsRejected = "CredentialsRejected", False;
        /// nuvo answered 403.
        PermissionMissing = "PermissionMissing", False;
        /// nuvo does not answer. It is not known whether the credentials work.
        NuvoUnavailable = "NuvoUnavailable", Unknown;
    }
}

reasons! {
    /// Why the condition `Ready` of a schedule is what it is.
    ScheduleReason {
        /// The next slot is started when it is due.
        Scheduled = "Scheduled", True;
        /// `spec.suspend` is true: no new runs are started.
        Suspended = "Suspended", True;
        /// A slot is due and waits for the end of an earlier run, because `spec.concurrencyPolicy` is Forbid.
        BlockedByRun = "BlockedByRun", True;
        /// A line of `spec.schedules` is no cron line.
        InvalidSchedule = "InvalidSchedule", False;
        /// `spec.timeZone` names no time zone of the IANA database.
        InvalidTimeZone = "InvalidTimeZone", False;
        /// No line of `spec.schedules` names a date that exists.
        NeverDue = "NeverDue", False;
        /// The label selector of the operator does not select the runs that `spec.runTemplate` makes.
        NotSelected = "NotSelected", False;
        /// The clock of the operator and that of the API server are apart, or the newest slot lies in the future. Nothing is started.
        ClockInDoubt = "ClockInDoubt", False;
        /// An object that does not belong to this schedule has the name of the run.
        NameTaken = "NameTaken", False;
        /// The API server refuses the run.
        CreateRefused = "CreateRefused", False;
        /// A person must decide about 20 runs of the schedule. Nothing is started before.
        TooManyUnresolved = "TooManyUnresolved", False;
    }
}

impl ScheduleReason {
    /// Whether the schedule does not go on before a person changes something.
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        matches!(self, Self::InvalidSchedule | Self::InvalidTimeZone | Self::NeverDue | Self::NotSelected)
    }
}

reasons! {
    /// Why the condition `Ready` of a NuvoPipeline is what it is.
    ObservationReason {
        /// The operator looks at the executions of the pipeline.
        Observed = "Observed", True;
        /// `spec.suspend` is true: nuvo is not asked.
        Suspended = "Suspended", True;
        /// There are more new executions than one look can read. The next looks read the rest.
        CatchingUp = "CatchingUp", True;
        /// There was no look yet.
        Pending = "Pending", Unknown;
        /// nuvo answered 403 for the executions of the account or for the pipeline.
        PipelineForbidden = "PipelineForbidden", False;
        /// The NuvoAccount is missing or cannot be used.
        AccountNotReady = "AccountNotReady", False;
        /// nuvo does not answer. What is known stays as it is.
        NuvoUnavailable = "NuvoUnavailable", False;
        /// What is new cannot be told: nuvo's list, or that of the pipeline alone, is in another order than asked or has other pipelines in it.
        OrderUnknown = "OrderUnknown", False;
        /// The account has more NuvoPipelines than are observed: this one is not.
        TooManyPipelines = "TooManyPipelines", False;
        /// nuvo has no such pipeline.
        PipelineNotFound = "PipelineNotFound", False;
        /// The spec cannot be carried out.
        InvalidSpec = "InvalidSpec", False;
    }
}

reasons! {
    /// Why the condition `Fresh` of a NuvoPipeline is what it is.
    FreshReason {
        /// The newest success that counts is new enough.
        Fresh = "Fresh", True;
        /// The newest success that counts is too old.
        Stale = "Stale", False;
        /// No execution that counts has succeeded within the time allowed.
        NeverSucceeded = "NeverSucceeded", False;
        /// No execution that counts has succeeded yet, and the time allowed is not over.
        Pending = "Pending", Unknown;
        /// No complete look since the data would have become stale: a newer execution may exist.
        NotObserved = "NotObserved", Unknown;
        /// The clock of the operator is in doubt.
        ClockInDoubt = "ClockInDoubt", Unknown;
    }
}

reasons! {
    /// Why the condition `LastExecutionSucceeded` of a NuvoPipeline is what it is.
    LastExecutionReason {
        /// It ended SUCCESSFUL.
        Succeeded = "Succeeded", True;
        /// It ended FAILED, and was repaired in nuvo.
        FixedInNuvo = "FixedInNuvo", True;
        /// It ended FAILED.
        ExecutionFailed = "ExecutionFailed", False;
    }
}

reasons! {
    /// Why the condition `QualityGatePassed` of a NuvoPipeline is what it is.
    QualityGateReason {
        /// The statistics keep all limits.
        Passed = "Passed", True;
        /// The statistics break a limit.
        QualityGateFailed = "QualityGateFailed", False;
        /// The statistics were not read yet.
        NotRead = "NotRead", Unknown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn state(status: ConditionStatus, message: &str) -> ConditionState<'_> {
        ConditionState { status, reason: "Because", message, observed_generation: Some(1) }
    }

    #[test]
    fn last_transition_time_changes_only_with_the_status() {
        let mut conditions = Vec::new();
        let mut time_after = |status, message, second| {
            set(&mut conditions, READY, &state(status, message), at(second));
            assert_eq!(conditions.len(), 1);
            (conditions[0].last_transition_time.0, conditions[0].message.clone())
        };
        assert_eq!(time_after(ConditionStatus::False, "no Secret", 1), (at(1), "no Secret".to_owned()));
        assert_eq!(time_after(ConditionStatus::False, "no key", 2), (at(1), "no key".to_owned()));
        assert_eq!(time_after(ConditionStatus::True, "", 3), (at(3), String::new()));
    }

    #[test]
    fn conditions_stand_in_the_order_in_which_they_are_set() {
        let mut conditions = Vec::new();
        for type_ in [READY, STALLED, SUCCEEDED, READY] {
            set(&mut conditions, type_, &state(ConditionStatus::True, ""), at(1));
        }
        remove(&mut conditions, STALLED);
        let types: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, [SUCCEEDED, READY]);
        assert!(find(&conditions, READY).is_some() && find(&conditions, STALLED).is_none());
    }
}
