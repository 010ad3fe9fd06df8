//! What the runs have shown, and for how long: which of them ask a person, and which would page one. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use nuvo_crds::PipelineRun;
use nuvo_crds::conditions::Reason;

use super::super::operator_flags::scaled;
use super::super::oracle;

/// Those that only a person ends.
const QUESTIONS: [Reason; 2] = [Reason::TriggerOutcomeUnknown, Reason::StatusLost];
/// Those of the alert NuvoRunsWaiting.
const WAITS: [Reason; 3] = [Reason::Pending, Reason::PipelineBusy, Reason::AccountNotReady];
/// From the beginning of the reason until the alert fires (charts/nuvo-operator/files/alerts.yaml): NuvoRunsUnresolved,
/// NuvoTriggersUnconfirmed, NuvoRunsWaiting.
const UNRESOLVED_PAGES_AFTER: Duration = Duration::from_secs(5 * 60);
const UNCONFIRMED_PAGES_AFTER: Duration = Duration::from_secs((15 + 10) * 60);
const WAITING_PAGES_AFTER: Duration = Duration::from_secs((15 + 30) * 60);

/// The runs of a scenario.
#[derive(Default)]
pub struct ObservedRuns(BTreeMap<String, ObservedRun>);

#[derive(Default)]
struct ObservedRun {
    reason: String,
    /// Since when it has had this reason.
    since: Duration,
    has_ended: bool,
    longest: BTreeMap<String, Duration>,
}

/// How the runs have ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// By nuvo's word.
    pub ended: usize,
    /// Without a trigger.
    pub unstarted: usize,
    /// With a question to a person.
    pub asked: usize,
    /// Runs for which an alert would have fired.
    pub pages: usize,
    pub longest_unconfirmed: Duration,
}

impl ObservedRuns {
    /// Notes what the runs show now, a time since the beginning of the scenario.
    pub fn note(&mut self, runs: &[PipelineRun], now: Duration) {
        for run in runs {
            let seen = self.0.entry(oracle::name(run)).or_default();
            let reason = oracle::reason(run);
            if seen.reason != reason {
                (seen.reason, seen.since) = (reason.to_owned(), now);
            }
            seen.has_ended = run.status.as_ref().is_some_and(|status| status.current.completion_time.is_some());
            let longest = seen.longest.entry(seen.reason.clone()).or_default();
            *longest = (*longest).max(now.saturating_sub(seen.since));
        }
    }

    /// How many there are, and how many of them have ended.
    pub fn ended(&self) -> [usize; 2] {
        [self.0.len(), self.0.values().filter(|seen| seen.has_ended).count()]
    }

    /// Whether each has ended or follows its executions.
    pub fn all_go_on(&self) -> bool {
        self.0.values().all(|seen| seen.has_ended || seen.reason == Reason::Running.as_str())
    }

    /// Whether one shows that it follows its executions.
    pub fn any_is_running(&self) -> bool {
        self.0.values().any(|seen| seen.reason == Reason::Running.as_str())
    }

    /// The names and reasons of those that have not ended.
    pub fn unended(&self) -> Vec<String> {
        let unended = self.0.iter().filter(|(_, seen)| !seen.has_ended);
        unended.map(|(name, seen)| format!("{name} ({})", seen.reason)).collect()
    }

    /// How they have ended. What stands still counts as if it stood for good.
    pub fn ends(&self, scale: u32) -> Ends {
        let mut ends = Ends::default();
        for seen in self.0.values() {
            let is_question = QUESTIONS.iter().any(|reason| seen.reason == reason.as_str());
            let is_word = [Reason::Succeeded, Reason::ExecutionFailed].iter().any(|reason| seen.reason == reason.as_str());
            let counted = match (is_question, is_word, seen.has_ended) {
                (true, ..) => &mut ends.asked,
                (false, true, _) => &mut ends.ended,
                (false, false, true) => &mut ends.unstarted,
                (false, false, false) => continue,
            };
            *counted = counted.saturating_add(1);
            if is_question || seen.pages(scale) {
                ends.pages = ends.pages.saturating_add(1);
            }
            ends.longest_unconfirmed = ends.longest_unconfirmed.max(seen.longest(&[Reason::TriggerUnconfirmed]));
        }
        ends
    }
}

impl ObservedRun {
    fn longest(&self, reasons: &[Reason]) -> Duration {
        reasons.iter().filter_map(|reason| self.longest.get(reason.as_str())).max().copied().unwrap_or_default()
    }

    /// Whether an alert would have fired for it.
    fn pages(&self, scale: u32) -> bool {
        self.longest(&QUESTIONS) >= scaled(UNRESOLVED_PAGES_AFTER, scale)
            || self.longest(&[Reason::TriggerUnconfirmed]) >= scaled(UNCONFIRMED_PAGES_AFTER, scale)
            || self.longest(&WAITS) >= scaled(WAITING_PAGES_AFTER, scale)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(name: &str, reason: Reason, has_ended: bool) -> PipelineRun {
        serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": { "name": name },
            "spec": { "pipelineId": name },
            "status": {
                "conditions": [{
                    "type": "Succeeded", "status": "Unknown", "reason": reason.as_str(), "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "completionTime": has_ended.then_some("2026-01-01T00:00:00Z"),
            },
        }))
        .unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn run_in_doubt_pages_only_if_the_doubt_lasts_or_ends_in_a_question() {
        let mut runs = ObservedRuns::default();
        runs.note(&[run("short", Reason::TriggerUnconfirmed, false), run("asked", Reason::TriggerUnconfirmed, false)], at(0));
        runs.note(&[run("short", Reason::TriggerUnconfirmed, false), run("asked", Reason::TriggerUnconfirmed, false)], at(30));
        assert!(!runs.all_go_on());
        runs.note(&[run("short", Reason::Running, false), run("asked", Reason::TriggerOutcomeUnknown, true)], at(31));
        assert!(runs.all_go_on() && runs.any_is_running());
        runs.note(&[run("short", Reason::Succeeded, true)], at(40));
        assert_eq!(runs.ended(), [2, 2]);
        assert_eq!(runs.ends(10), Ends { ended: 1, unstarted: 0, asked: 1, pages: 1, longest_unconfirmed: at(30) });
    }

    #[test]
    fn question_that_the_policy_answers_pages_only_after_the_time_of_the_alert() {
        for (answered_after, pages) in [(29, 0), (30, 1)] {
            let mut runs = ObservedRuns::default();
            runs.note(&[run("a", Reason::TriggerOutcomeUnknown, true)], at(0));
            runs.note(&[run("a", Reason::TriggerOutcomeUnknown, true)], at(answered_after));
            runs.note(&[run("a", Reason::Succeeded, true)], at(60));
            assert_eq!((runs.ends(10).asked, runs.ends(10).pages), (0, pages));
        }
    }

    #[test]
    fn run_that_ended_without_a_trigger_is_counted_apart() {
        let mut runs = ObservedRuns::default();
        runs.note(&[run("a", Reason::StartDeadlineExceeded, true), run("b", Reason::Pending, false)], at(0));
        assert_eq!(runs.ends(10), Ends { unstarted: 1, ..Ends::default() });
        assert_eq!(runs.unended(), ["b (Pending)"]);
    }
}
