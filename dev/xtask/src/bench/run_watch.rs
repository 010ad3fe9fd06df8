//! A watch of the runs, which measures when a client sees a change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use nuvo_crds::PipelineRun;
use parking_lot::Mutex;

use super::environment::{Environment, Operator};
use super::{Failure, log_progress};
use crate::stop::Stop;

const BEGINS_WITHIN: Duration = Duration::from_secs(60);
const CHECK_EVERY: Duration = Duration::from_millis(20);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What the watch has seen of one run.
#[derive(Debug, Clone, Default)]
pub struct ObservedRun {
    /// When its end arrived.
    pub ended: Option<Instant>,
    /// The reason of its condition `Succeeded`.
    pub reason: String,
    /// Its executions.
    pub executions: Vec<String>,
}

/// What the watch has seen, by the name of the run.
#[derive(Clone, Default)]
pub struct RunWatch(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    runs: BTreeMap<String, ObservedRun>,
    begun: bool,
    failure: Option<String>,
}

impl RunWatch {
    /// Starts the watch and waits until its first list is complete.
    pub fn begin(environment: &Environment, stop: &Stop) -> Result<Self, Failure> {
        let watch = Self::default();
        let observer = watch.clone();
        let mut events = Box::pin(watcher(environment.runs(), watcher::Config::default()));
        environment.spawn(async move {
            while let Some(event) = events.next().await {
                let broken = event.is_err();
                observer.record(event);
                // A restarted watch would deliver missed events late, and the measured times would be wrong.
                if broken {
                    break;
                }
            }
        });
        let began = Instant::now();
        while !watch.0.lock().begun {
            if began.elapsed() > BEGINS_WITHIN {
                return Err("the watch of the runs does not begin".into());
            }
            stop.sleep(CHECK_EVERY)?;
        }
        Ok(watch)
    }

    fn record(&self, event: Result<Event<PipelineRun>, watcher::Error>) {
        let now = Instant::now();
        let mut state = self.0.lock();
        match event {
            Ok(Event::Apply(run) | Event::InitApply(run)) => {
                let seen = state.runs.entry(run.metadata.name.clone().unwrap_or_default()).or_default();
                let Some(status) = run.status else { return };
                if status.current.completion_time.is_some() {
                    seen.ended.get_or_insert(now);
                }
                let succeeded = status.conditions.into_iter().find(|condition| condition.type_ == "Succeeded");
                seen.reason = succeeded.map(|condition| condition.reason).unwrap_or_default();
                seen.executions = status.current.execution_ids;
            }
            Ok(Event::InitDone) => state.begun = true,
            Ok(Event::Delete(_) | Event::Init) => {}
            Err(error) => state.failure = Some(error.to_string()),
        }
    }

    /// How many of these runs have ended.
    pub fn ended(&self, runs: &BTreeMap<String, Instant>) -> usize {
        self.count(runs, |seen| seen.ended.is_some())
    }

    /// How many of these runs show an execution.
    pub fn triggered(&self, runs: &BTreeMap<String, Instant>) -> usize {
        self.count(runs, |seen| !seen.executions.is_empty())
    }

    fn count(&self, runs: &BTreeMap<String, Instant>, holds: impl Fn(&ObservedRun) -> bool) -> usize {
        let state = self.0.lock();
        runs.keys().filter(|name| state.runs.get(*name).is_some_and(&holds)).count()
    }

    /// Waits until these runs have ended. Returns whether all of them have before this time.
    pub fn wait_for_ends(
        &self,
        runs: &BTreeMap<String, Instant>,
        until: Instant,
        operator: &mut Operator,
        stop: &Stop,
    ) -> Result<bool, Failure> {
        let (began, mut reported) = (Instant::now(), Instant::now());
        loop {
            let ended = self.ended(runs);
            if ended >= runs.len() {
                return Ok(true);
            }
            operator.check()?;
            if Instant::now() > until {
                return Ok(false);
            }
            if reported.elapsed() > PROGRESS_EVERY {
                reported = Instant::now();
                log_progress(&format!("{} s: {ended} of {} runs have ended", began.elapsed().as_secs(), runs.len()));
            }
            stop.sleep(CHECK_EVERY)?;
        }
    }

    /// What was seen.
    pub fn seen(&self) -> Result<BTreeMap<String, ObservedRun>, Failure> {
        let state = self.0.lock();
        match &state.failure {
            Some(failure) => Err(format!("the watch of the runs broke: {failure}").into()),
            None => Ok(state.runs.clone()),
        }
    }
}
