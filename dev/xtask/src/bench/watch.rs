//! What a client sees of the runs: a watch of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use nuvo_crds::PipelineRun;

use super::setting::Setting;
use super::{Failure, lock};
use crate::stop::Stop;

const BEGINS_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// What was seen of one run.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When its end arrived.
    pub ended: Option<Instant>,
    /// The reason of its condition `Succeeded`.
    pub reason: String,
    /// Its executions.
    pub executions: Vec<String>,
}

/// Everything that was seen, by the names of the runs.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    runs: BTreeMap<String, Seen>,
    begun: bool,
    failure: Option<String>,
}

impl Watch {
    /// Watches from now on.
    pub fn begin(setting: &Setting, stop: &Stop) -> Result<Self, Failure> {
        let watch = Self::default();
        let told = watch.clone();
        let mut events = Box::pin(watcher(setting.runs(), watcher::Config::default()));
        setting.spawn(async move {
            while let Some(event) = events.next().await {
                let broken = event.is_err();
                told.take(event);
                // It would begin again at once, and again; what was missed would come late, and the times would be wrong.
                if broken {
                    break;
                }
            }
        });
        let began = Instant::now();
        while !lock(&watch.0).begun {
            if began.elapsed() > BEGINS_WITHIN {
                return Err("the watch of the runs does not begin".into());
            }
            stop.sleep(LOOK)?;
        }
        Ok(watch)
    }

    fn take(&self, event: Result<Event<PipelineRun>, watcher::Error>) {
        let now = Instant::now();
        let mut state = lock(&self.0);
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

    /// How many have ended.
    pub fn ended(&self) -> usize {
        lock(&self.0).runs.values().filter(|seen| seen.ended.is_some()).count()
    }

    /// What was seen.
    pub fn seen(&self) -> Result<BTreeMap<String, Seen>, Failure> {
        let state = lock(&self.0);
        match &state.failure {
            Some(failure) => Err(format!("the watch of the runs broke: {failure}").into()),
            None => Ok(state.runs.clone()),
        }
    }
}
