//! Condition types and their reasons: all of them, in one place.

use std::fmt;

/// The outcome of a run: Unknown while it is active, then True or False for good.
pub const SUCCEEDED: &str = "Succeeded";
/// True on any end, whatever the outcome: `kubectl wait` cannot wait for "either".
pub const FINISHED: &str = "Finished";
/// A run: its success. An account: that it can be used.
pub const READY: &str = "Ready";
/// kstatus: work is going on.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: it will not get further by itself. Never True together with [`RECONCILING`].
pub const STALLED: &str = "Stalled";

/// The pipeline was in developer mode when the run ended, so that nuvo has delivered its first 100 rows only. Absent otherwise.
pub const DEVELOPER_MODE: &str = "DeveloperMode";
/// The object is not deleted although `spec.ttlSecondsAfterFinished` says so. Absent otherwise.
pub const DELETION_BLOCKED: &str = "DeletionBlocked";

/// The longest condition message that the operator writes. Kubernetes allows 32,768; people read far less.
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
        /// Seen, nothing done yet.
        Pending = "Pending", Unknown;
        /// `spec.suspend` holds the trigger back.
        Suspended = "Suspended", Unknown;
        /// The NuvoAccount is missing or cannot be used.
        AccountNotReady = "AccountNotReady", Unknown;
        /// Another run of the same pipeline holds the lock.
        PipelineBusy = "PipelineBusy", Unknown;
        /// nuvo does not answer; what is known stays as it is.
        NuvoUnavailable = "NuvoUnavailable", Unknown;
        /// nuvo asked for a pause.
        RateLimited = "RateLimited", Unknown;
        /// A POST may be out, and it is being found out whether it was carried out.
        TriggerUnconfirmed = "TriggerUnconfirmed", Unknown;
        /// nuvo is processing at least one execution.
        Running = "Running", Unknown;
        /// The attempt failed and another one follows.
        RetryScheduled = "RetryScheduled", Unknown;
        /// Every execution ended SUCCESSFUL.
        Succeeded = "Succeeded", True;
        /// nuvo started nothing, and `onNothingToProcess` says that this is fine.
        NothingToProcess = "NothingToProcess", True;
        /// It had failed and was repaired in nuvo.
        FixedInNuvo = "FixedInNuvo", True;
        /// At least one execution ended FAILED.
        ExecutionFailed = "ExecutionFailed", False;
        /// nuvo calls it SUCCESSFUL, the quality gate does not.
        QualityGateFailed = "QualityGateFailed", False;
        /// Not ended within `activeDeadlineSeconds`.
        DeadlineExceeded = "DeadlineExceeded", False;
        /// nuvo refused the trigger for good.
        TriggerRejected = "TriggerRejected", False;
        /// Nobody can tell whether the trigger was carried out: a person decides.
        TriggerOutcomeUnknown = "TriggerOutcomeUnknown", False;
        /// nuvo no longer knows the execution.
        ExecutionLost = "ExecutionLost", False;
        /// nuvo started nothing, and `onNothingToProcess: Fail` calls that a failure. The same word as with True.
        NothingToProcessFailed = "NothingToProcess", False;
        /// The spec cannot be carried out.
        InvalidSpec = "InvalidSpec", False;
        /// The status was removed from outside, so it is not known what had happened.
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
        /// nuvo answered 401, also with a fresh token.
        CredentialsRejected = "CredentialsRejected", False;
        /// nuvo answered 403.
        PermissionMissing = "PermissionMissing", False;
        /// nuvo does not answer: whether the credentials work is not known.
        NuvoUnavailable = "NuvoUnavailable", Unknown;
    }
}
