//! The result of a command as scripts see it.

/// The result of a command, and its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// The command succeeded. A run that was waited for succeeded.
    Success,
    /// The command failed.
    Error,
    /// A run that was waited for failed.
    RunFailed,
    /// A run that was waited for is Unresolved: a person has to decide about its trigger.
    RunUnresolved,
    /// The timeout expired before the run ended.
    TimedOut,
    /// The data of a pipeline that was checked is not as it should be.
    DataBad,
    /// It is not known whether the data of a pipeline that was checked is as it should be.
    DataUnknown,
}

impl ExitStatus {
    /// The exit code. 2 is that of a wrong command line, which clap reports.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Error => 1,
            Self::RunFailed | Self::DataBad => 3,
            Self::RunUnresolved => 4,
            Self::TimedOut => 5,
            Self::DataUnknown => 6,
        }
    }
}
