//! What a request to nuvo is for, and which purpose comes first.

/// What a request is for, most urgent first.
///
/// What ends a run comes before a new trigger: the total is the same, and results are shown sooner. A look for a trigger in doubt comes before
/// new triggers, because it blocks its pipeline. Looks at what is running limit themselves while triggers wait ([`Executions::next`]).
///
/// [`Executions::next`]: super::Executions::next
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The read of an execution that may have ended.
    Ending,
    /// The search for the executions of a trigger in doubt.
    Recovery,
    /// The list of running executions.
    Polling,
    /// The page of the newest executions, once in a period, for the pipelines that are observed.
    Observation,
    /// A trigger.
    Trigger,
    /// The read of the list before triggers, which they share.
    Baseline,
    /// The read of an execution of which nothing is known yet, or that may have been repaired.
    Import,
    /// Everything else that observed pipelines need: with requests that nothing else wants.
    ObservationDetail,
    /// The read of a pipeline, for its developer mode: with requests that nothing else wants.
    Mode,
}

impl Purpose {
    /// All of them, most urgent first.
    pub const ALL: [Self; 9] = [
        Self::Ending,
        Self::Recovery,
        Self::Polling,
        Self::Observation,
        Self::Trigger,
        Self::Baseline,
        Self::Import,
        Self::ObservationDetail,
        Self::Mode,
    ];

    /// Whether it takes only the requests that nothing else wants.
    #[must_use]
    pub const fn takes_what_is_left(self) -> bool {
        matches!(self, Self::ObservationDetail | Self::Mode)
    }

    /// Whether the request is part of a trigger.
    #[must_use]
    pub const fn is_trigger(self) -> bool {
        matches!(self, Self::Trigger | Self::Baseline)
    }
}
