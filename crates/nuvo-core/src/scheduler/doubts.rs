//! The looks for triggers in doubt, which all runs in doubt of an account share.
//!
//! A look reads the newest executions of the account. Only for a run whose trigger lies before all of them, the list of its pipeline is read.

use std::{collections::BTreeMap, time::Duration};

use crate::run::{AccountHash, Candidate, ListedCandidates, PipelineId, RunRef};

/// The longest time between the beginnings of two looks at an account.
const EVERY: Duration = Duration::from_secs(10);
/// The oldest look that a run is told about.
const USABLE_FOR: Duration = Duration::from_secs(10);

/// The executions that a look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedExecutions {
    /// Each with the pipeline that it names.
    pub executions: Vec<(Option<String>, Candidate)>,
    /// Everything created after this time (milliseconds, nuvo's clock) is among them; without it, everything there is.
    pub after: Option<i64>,
    /// Whose list it was.
    pub account: Option<AccountHash>,
    /// It is not known as whom nuvo shows the account.
    pub is_anonymous: bool,
}

impl ListedExecutions {
    /// A list of which nothing is known to be whole.
    #[must_use]
    pub const fn of_nothing() -> Self {
        Self { executions: Vec::new(), after: Some(i64::MAX), account: None, is_anonymous: false }
    }

    /// What it shows of a pipeline. One of which it is not known to which pipeline it belongs may be of any.
    fn of(&self, pipeline: &PipelineId, of_account: bool) -> ListedCandidates {
        if of_account && self.executions.iter().any(|(named, _)| named.is_none()) {
            return ListedCandidates { of_account, account: self.account.clone(), ..ListedCandidates::of_nothing() };
        }
        let is_of = |named: &Option<String>| named.as_deref().is_none_or(|named| named == pipeline.as_str());
        let candidates = self.executions.iter().filter(|(named, _)| is_of(named)).map(|(_, candidate)| candidate.clone()).collect();
        ListedCandidates {
            candidates,
            after: self.after,
            of_account,
            age: Duration::ZERO,
            account: self.account.clone(),
            is_anonymous: self.is_anonymous,
        }
    }
}

/// The runs in doubt of one account. All times are those of one monotonic clock, which is handed in.
#[derive(Debug)]
pub struct Doubts {
    every: Duration,
    waiting: BTreeMap<RunRef, Waiting>,
    /// When the last look at the account began.
    looked: Option<Duration>,
    looking: bool,
}

#[derive(Debug)]
struct Waiting {
    since: Duration,
    pipeline: PipelineId,
    /// The list of the account did not reach back to its trigger.
    by_pipeline: bool,
    answer: Option<Answer>,
}

/// What a look has shown of a pipeline: none if it came to nothing.
#[derive(Debug)]
struct Answer {
    began: Duration,
    listed: Option<ListedCandidates>,
}

impl Doubts {
    /// No run is in doubt. `confirm` is the time after which a run in doubt looks again.
    pub(super) fn new(confirm: Duration) -> Self {
        Self { every: confirm.min(EVERY), waiting: BTreeMap::new(), looked: None, looking: false }
    }

    /// What a look that began after the run asked first has shown, or none before there is one: then the run is told when it asks again. A look
    /// at the account, or at its pipeline only.
    #[allow(clippy::option_option, reason = "the outer one: there was no such look; the inner one: it came to nothing")]
    pub fn candidates(
        &mut self,
        run: &RunRef,
        pipeline: &PipelineId,
        by_pipeline: bool,
        now: Duration,
    ) -> Option<Option<ListedCandidates>> {
        let asks = |by_pipeline| Waiting { since: now, pipeline: pipeline.clone(), by_pipeline, answer: None };
        let waiting = self.waiting.entry(run.clone()).or_insert_with(|| asks(by_pipeline));
        let is_old = waiting.answer.as_ref().is_some_and(|answer| now.saturating_sub(answer.began) >= USABLE_FOR);
        if is_old || waiting.pipeline != *pipeline || (by_pipeline && !waiting.by_pipeline) {
            *waiting = asks(by_pipeline || waiting.by_pipeline);
        }
        let answer = waiting.answer.take()?;
        self.waiting.remove(run);
        let age = now.saturating_sub(answer.began);
        Some(answer.listed.map(|listed| ListedCandidates { age, ..listed }))
    }

    /// The run is in doubt no more, or gone.
    pub fn forget(&mut self, run: &RunRef) {
        self.waiting.remove(run);
    }

    /// Forgets the runs that no longer exist.
    pub fn prune(&mut self, exists: impl Fn(&RunRef) -> bool) {
        self.waiting.retain(|run, _| exists(run));
    }

    /// The look that is due: of the account, at most every ten seconds, or of this pipeline meanwhile.
    ///
    /// # Errors
    /// The time before which none is due; none if no run waits for one.
    pub(super) fn due(&mut self, now: Duration, pause: Option<Duration>) -> Result<Option<PipelineId>, Option<Duration>> {
        if self.looking {
            return Err(None);
        }
        let paused_until = now.saturating_add(pause.unwrap_or_default());
        let oldest = |by_pipeline: bool| {
            let unanswered = self.waiting.values().filter(|waiting| waiting.answer.is_none() && waiting.by_pipeline == by_pipeline);
            unanswered.min_by_key(|waiting| waiting.since)
        };
        let of_account = oldest(false).map(|_| self.looked.map_or(now, |looked| looked.saturating_add(self.every)).max(paused_until));
        let of_pipeline = oldest(true).map(|waiting| (paused_until, waiting.pipeline.clone()));
        let scope = match (of_account, of_pipeline) {
            (Some(due), _) if due <= now => None,
            (_, Some((due, pipeline))) if due <= now => Some(pipeline),
            (one, other) => return Err(one.into_iter().chain(other.map(|(due, _)| due)).min()),
        };
        self.looking = true;
        if scope.is_none() {
            self.looked = Some(now);
        }
        Ok(scope)
    }

    /// A look that began then has shown this. Returns the runs that are told.
    pub fn looked(&mut self, began: Duration, scope: Option<&PipelineId>, listed: Option<&ListedExecutions>) -> Vec<RunRef> {
        self.looking = false;
        let mut told = Vec::new();
        for (run, waiting) in &mut self.waiting {
            let fits = if waiting.by_pipeline { scope == Some(&waiting.pipeline) } else { scope.is_none() };
            if fits && began >= waiting.since && waiting.answer.is_none() {
                let listed = listed.map(|listed| listed.of(&waiting.pipeline, scope.is_none()));
                waiting.answer = Some(Answer { began, listed });
                told.push(run.clone());
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{ExecutionId, Uid};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn run(name: &str) -> RunRef {
        RunRef { uid: Uid::new(name).unwrap(), namespace: "team".to_owned(), name: name.to_owned() }
    }

    fn pipeline(name: &str) -> PipelineId {
        PipelineId::new(name).unwrap()
    }

    fn listed(of: &[&str], after: Option<i64>) -> ListedExecutions {
        let execution = |pipeline: &&str| {
            let id = ExecutionId::new(format!("e-{pipeline}")).unwrap();
            let candidate = Candidate { hash: id.to_string(), id, created: None, manual: true, by_us: true };
            (Some((*pipeline).to_owned()), candidate)
        };
        ListedExecutions { executions: of.iter().map(execution).collect(), after, account: None, is_anonymous: false }
    }

    fn doubts() -> Doubts {
        Doubts::new(Duration::from_secs(30))
    }

    #[test]
    fn one_look_answers_all_runs_in_doubt_that_asked_before_it() {
        let mut doubts = doubts();
        for name in ["a", "b"] {
            assert_eq!(doubts.candidates(&run(name), &pipeline(name), false, at(0)), None);
        }
        assert_eq!(doubts.due(at(0), None), Ok(None));
        assert_eq!(doubts.due(at(0), None), Err(None), "one at a time");
        assert_eq!(doubts.candidates(&run("late"), &pipeline("a"), false, at(1)), None);
        assert_eq!(doubts.looked(at(0), None, Some(&listed(&["a", "b"], None))), [run("a"), run("b")]);
        for name in ["a", "b"] {
            let shown = doubts.candidates(&run(name), &pipeline(name), false, at(2)).unwrap().unwrap();
            assert!(shown.of_account && shown.candidates.iter().map(|candidate| candidate.id.as_str()).eq([format!("e-{name}")]));
        }
        assert_eq!(doubts.candidates(&run("late"), &pipeline("a"), false, at(2)), None, "the look began before it asked");
        assert_eq!(doubts.due(at(2), None), Err(Some(at(10))), "looks are ten seconds apart");
        assert_eq!(doubts.due(at(10), Some(Duration::from_secs(5))), Err(Some(at(15))), "nothing is asked in a pause");
        assert_eq!(doubts.due(at(10), None), Ok(None));
    }

    #[test]
    fn run_before_all_that_the_account_shows_gets_a_look_at_its_pipeline() {
        let mut doubts = doubts();
        assert_eq!(doubts.candidates(&run("a"), &pipeline("a"), true, at(0)), None);
        assert_eq!(doubts.due(at(0), None), Ok(Some(pipeline("a"))));
        assert_eq!(doubts.looked(at(0), Some(&pipeline("a")), Some(&listed(&["a"], Some(7)))), [run("a")]);
        let shown = doubts.candidates(&run("a"), &pipeline("a"), false, at(1)).unwrap().unwrap();
        assert_eq!((shown.of_account, shown.after, shown.candidates.len()), (false, Some(7), 1));
        assert_eq!(shown.age, Duration::from_secs(1), "since it began");
    }

    #[test]
    fn list_of_the_account_with_an_execution_of_no_pipeline_shows_nothing() {
        let mut doubts = doubts();
        assert_eq!(doubts.candidates(&run("a"), &pipeline("a"), false, at(0)), None);
        assert_eq!(doubts.due(at(0), None), Ok(None));
        let mut anonymous = listed(&["a"], None);
        anonymous.executions[0].0 = None;
        doubts.looked(at(0), None, Some(&anonymous));
        let shown = doubts.candidates(&run("a"), &pipeline("a"), false, at(1)).unwrap().unwrap();
        assert_eq!(shown, ListedCandidates { of_account: true, age: Duration::from_secs(1), ..ListedCandidates::of_nothing() });
    }

    #[test]
    fn look_that_failed_is_told_and_repeated_only_when_asked_for() {
        let mut doubts = doubts();
        assert_eq!(doubts.candidates(&run("a"), &pipeline("a"), false, at(0)), None);
        assert_eq!(doubts.due(at(0), None), Ok(None));
        assert_eq!(doubts.looked(at(0), None, None), [run("a")]);
        assert_eq!(doubts.candidates(&run("a"), &pipeline("a"), false, at(1)), Some(None));
        assert_eq!(doubts.due(at(60), None), Err(None));
    }

    #[test]
    fn looks_at_pipelines_and_at_the_account_do_not_keep_each_other_waiting() {
        let mut doubts = doubts();
        assert_eq!(doubts.candidates(&run("wide"), &pipeline("a"), false, at(0)), None);
        assert_eq!(doubts.due(at(0), None), Ok(None));
        for name in ["b", "c"] {
            assert_eq!(doubts.candidates(&run(name), &pipeline(name), true, at(0)), None);
        }
        doubts.looked(at(0), None, None);
        for name in ["b", "c"] {
            assert_eq!(doubts.due(at(1), None), Ok(Some(pipeline(name))));
            assert_eq!(doubts.looked(at(1), Some(&pipeline(name)), None), [run(name)]);
        }
        assert_eq!(doubts.candidates(&run("wide"), &pipeline("a"), false, at(2)), Some(None), "no other look has replaced it");
        assert_eq!(doubts.candidates(&run("wide"), &pipeline("a"), false, at(2)), None);
        assert_eq!(doubts.candidates(&run("b"), &pipeline("b"), false, at(10)), Some(None));
        assert_eq!(doubts.candidates(&run("c"), &pipeline("c"), false, at(11)), None, "it is too old");
        assert_eq!(doubts.due(at(11), None), Ok(None), "the account comes first when it is due");
        doubts.looked(at(11), None, None);
        assert_eq!(doubts.due(at(11), None), Ok(Some(pipeline("c"))));
    }

    #[test]
    fn run_that_is_gone_has_no_look() {
        let mut doubts = doubts();
        assert_eq!(doubts.candidates(&run("a"), &pipeline("a"), false, at(0)), None);
        doubts.prune(|_| false);
        assert_eq!(doubts.due(at(0), None), Err(None));
    }
}
