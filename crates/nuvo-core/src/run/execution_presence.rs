//! Whether an execution that a run follows is lost, or belongs to another pipeline. Both end the run, so one answer is not enough.

use std::time::Duration;

/// What nuvo says about an execution that was read by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It exists and names the pipeline of the run, or none.
    Ours,
    /// It exists and names another pipeline.
    Foreign,
    /// It does not exist.
    Absent(Absence),
}

/// What the list of the pipeline says about an execution that does not exist by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// The list was not read.
    Unconfirmed,
    /// The list, read to its end, does not have it.
    Confirmed,
    /// The list has it, or has no end.
    Contradicted,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceJudgement {
    /// The answer is a report about the execution.
    Reported,
    /// The execution belongs to another pipeline.
    Foreign,
    /// The execution is lost.
    Lost,
    /// Nothing yet: the time since which the answers deny it goes on, or begins now.
    Denied,
    /// Nothing: the time since which the answers deny it begins anew.
    DeniedAnew,
    /// Nothing: another answer has shown it meanwhile.
    Outdated,
}

/// Whether the list of the pipeline is read, because nuvo has denied for the whole grace time that the execution exists.
#[must_use]
pub fn needs_list(denied_for: Option<Duration>, grace: Duration) -> bool {
    denied_for.is_some_and(|time| time >= grace)
}

/// Judges an answer. `denied_for` is the time since which all answers deny that the execution is the run's, and `expected` says that nuvo has
/// shown before that it is: then one answer to the contrary ends nothing.
#[must_use]
pub fn judge_presence(presence: Presence, denied_for: Option<Duration>, expected: bool, grace: Duration) -> PresenceJudgement {
    match presence {
        Presence::Ours => PresenceJudgement::Reported,
        Presence::Foreign if !expected || denied_for.unwrap_or_default() >= grace => PresenceJudgement::Foreign,
        Presence::Foreign | Presence::Absent(Absence::Unconfirmed) => PresenceJudgement::Denied,
        // The list may be long, so it is read again only after another grace time.
        Presence::Absent(Absence::Contradicted) => PresenceJudgement::DeniedAnew,
        Presence::Absent(Absence::Confirmed) if denied_for.is_some() => PresenceJudgement::Lost,
        Presence::Absent(Absence::Confirmed) => PresenceJudgement::Outdated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(300);

    fn judge(presence: Presence, denied_for: Option<u64>, expected: bool) -> PresenceJudgement {
        judge_presence(presence, denied_for.map(Duration::from_secs), expected, GRACE)
    }

    #[test]
    fn execution_of_another_pipeline_is_foreign_at_once_unless_it_was_shown_as_ours() {
        assert_eq!(judge(Presence::Foreign, None, false), PresenceJudgement::Foreign);
        assert_eq!(judge(Presence::Foreign, None, true), PresenceJudgement::Denied);
        assert_eq!(judge(Presence::Foreign, Some(299), true), PresenceJudgement::Denied);
        assert_eq!(judge(Presence::Foreign, Some(300), true), PresenceJudgement::Foreign);
        assert_eq!(judge(Presence::Ours, Some(1_000), true), PresenceJudgement::Reported);
    }

    #[test]
    fn execution_is_lost_only_when_read_and_list_agree_after_the_grace_time() {
        assert!(!needs_list(None, GRACE) && !needs_list(Some(Duration::from_secs(299)), GRACE) && needs_list(Some(GRACE), GRACE));
        assert_eq!(judge(Presence::Absent(Absence::Unconfirmed), Some(1_000), true), PresenceJudgement::Denied);
        assert_eq!(judge(Presence::Absent(Absence::Contradicted), Some(300), true), PresenceJudgement::DeniedAnew);
        assert_eq!(judge(Presence::Absent(Absence::Confirmed), Some(300), true), PresenceJudgement::Lost);
        assert_eq!(judge(Presence::Absent(Absence::Confirmed), None, true), PresenceJudgement::Outdated);
    }
}
