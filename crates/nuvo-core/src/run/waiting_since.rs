//! What a run waits for, and for how long: for metrics, so that it is noticed if nothing happens any more.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use nuvo_crds::{
    Phase, PipelineRun,
    conditions::{Reason, SUCCEEDED, find},
};

/// Longer than any wait that ends by itself, except for nuvo and for the budget: a POST in doubt is settled within six minutes by default.
const LONG: SignedDuration = SignedDuration::from_mins(15);
/// Whoever has not acted on an alert for a day will not do so if it continues.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The reason of its condition `Succeeded`.
    pub reason: Reason,
    /// Since when; or earlier, if this process has not seen the wait begin.
    pub since: Timestamp,
}

/// How long a run has been waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitAge {
    /// Up to 15 minutes.
    Short,
    /// Up to a day.
    Long,
    /// Longer.
    Forgotten,
}

impl WaitAge {
    /// Every age, the shortest first.
    pub const ALL: [Self; 3] = [Self::Short, Self::Long, Self::Forgotten];

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Forgotten => "forgotten",
        }
    }

    /// The age of a wait that began at this time.
    #[must_use]
    pub fn of(since: Timestamp, now: Timestamp) -> Self {
        let waited = now.duration_since(since);
        if waited <= LONG {
            Self::Short
        } else if waited <= FORGOTTEN {
            Self::Long
        } else {
            Self::Forgotten
        }
    }
}

/// What a run waits for: its start, the outcome of its trigger, or a person. None of a run that is running or has a result.
///
/// The object does not say since when it has had its reason, so the time is that of its creation, of the change to its last attempt with a
/// new `rerunToken`, or of its end. [`Waiting::after`] knows better.
#[must_use]
pub fn waiting_since(run: &PipelineRun) -> Option<Waiting> {
    let status = run.status.as_ref();
    if !matches!(
        status.and_then(|status| status.phase).unwrap_or(Phase::Pending),
        Phase::Pending | Phase::Suspended | Phase::Triggering | Phase::Unresolved
    ) {
        return None;
    }
    let condition = status.and_then(|status| find(&status.conditions, SUCCEEDED));
    let reason = condition.map_or(Some(Reason::Pending), |condition| Reason::parse(&condition.reason, &condition.status))?;
    let since =
        condition.map(|condition| condition.last_transition_time.0).or_else(|| Some(run.metadata.creation_timestamp.as_ref()?.0))?;
    Some(Waiting { reason, since })
}

impl Waiting {
    /// The same of a run of which this process has seen its last version, too, which waited for `before`.
    #[must_use]
    pub fn after(self, before: Option<Self>, now: Timestamp) -> Self {
        let began = before.filter(|before| before.reason == self.reason).map_or(now, |before| before.since);
        Self { since: self.since.max(began), ..self }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn run(phase: &str, reason: &str, status: &str) -> PipelineRun {
        serde_json::from_value(json!({
            "metadata": { "name": "orders", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "pipelineId": "orders" },
            "status": {
                "phase": phase,
                "conditions": [{
                    "type": "Succeeded", "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-02T00:00:00Z",
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn run_waits_until_it_is_running_or_has_a_result() {
        let since = at("2026-01-02T00:00:00Z");
        for (phase, reason, status, waits) in [
            ("Pending", "PipelineBusy", "Unknown", Some(Reason::PipelineBusy)),
            ("Suspended", "Suspended", "Unknown", Some(Reason::Suspended)),
            ("Triggering", "TriggerUnconfirmed", "Unknown", Some(Reason::TriggerUnconfirmed)),
            ("Unresolved", "StatusLost", "False", Some(Reason::StatusLost)),
            ("Running", "Running", "Unknown", None),
            ("Running", "NuvoUnavailable", "Unknown", None),
            ("Succeeded", "Succeeded", "True", None),
            // A person has closed it.
            ("Failed", "TriggerOutcomeUnknown", "False", None),
            ("Pending", "OfAnotherVersion", "Unknown", None),
        ] {
            assert_eq!(waiting_since(&run(phase, reason, status)), waits.map(|reason| Waiting { reason, since }), "{phase} {reason}");
        }
        let unseen = PipelineRun { status: None, ..run("Pending", "Pending", "Unknown") };
        assert_eq!(waiting_since(&unseen), Some(Waiting { reason: Reason::Pending, since: at("2026-01-01T00:00:00Z") }));
    }

    #[test]
    fn wait_begins_anew_with_another_reason() {
        let (since, now) = (at("2026-01-02T00:00:00Z"), at("2026-01-05T00:00:00Z"));
        let busy = Waiting { reason: Reason::PipelineBusy, since };
        assert_eq!(busy.after(None, now).since, now, "it was running");
        assert_eq!(busy.after(Some(Waiting { reason: Reason::Suspended, since }), now).since, now);
        let seen = Waiting { since: at("2026-01-03T00:00:00Z"), ..busy };
        assert_eq!(busy.after(Some(seen), now), seen);
        assert_eq!(seen.after(Some(busy), now), seen, "the object itself says that it began later");
    }

    #[test]
    fn age_grows_with_the_time_that_has_passed() {
        let since = at("2026-01-02T00:00:00Z");
        for (now, age) in [
            ("2026-01-01T00:00:00Z", WaitAge::Short),
            ("2026-01-02T00:15:00Z", WaitAge::Short),
            ("2026-01-02T00:15:01Z", WaitAge::Long),
            ("2026-01-03T00:00:00Z", WaitAge::Long),
            ("2026-01-03T00:00:01Z", WaitAge::Forgotten),
        ] {
            assert_eq!(WaitAge::of(since, at(now)), age, "{now}");
        }
    }
}
