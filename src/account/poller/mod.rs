//! The bulk poller: one for each account, whatever the number of its runs. It asks nuvo what [`Executions`] decides.

mod list_poll;
mod poll_loop;
mod shown_execution;

use std::{sync::Arc, time::Duration};

use kube::runtime::reflector::ObjectRef;
use nuvo_core::{
    run::{ExecutionId, Follow, Knowledge, PipelineId, RunRef},
    scheduler::{Executions, Followed, Pace},
};
use nuvo_crds::PipelineRun;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

pub use shown_execution::shown_execution;

use crate::account::Session;

/// What the clock shows at the start: more than any execution is old, so that the beginning of each has a time.
const BEFORE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Wakes runs.
pub trait RunNotifier: Send + Sync {
    /// Has a run reconciled again.
    fn wake(&self, run: &ObjectRef<PipelineRun>);
    /// Whether this very object, by its uid, still exists.
    fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool;
}

/// The reference to a run, as caches and queues have it.
#[must_use]
pub fn object_ref(run: &RunRef) -> ObjectRef<PipelineRun> {
    let mut reference = ObjectRef::new(&run.name).within(&run.namespace);
    reference.extra.uid = Some(run.uid.to_string());
    reference
}

/// The poller of one account.
pub struct Poller {
    notifier: Arc<dyn RunNotifier>,
    started: Instant,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    session: Option<Arc<Session>>,
    executions: Executions,
}

impl Poller {
    /// A poller without executions. `grace` is how long nuvo may deny that an execution exists before it counts as lost; `spread` is the
    /// part of the first period that passes before the first poll, 0 to 1, and should differ between accounts.
    #[must_use]
    pub fn new(notifier: Arc<dyn RunNotifier>, grace: Duration, spread: f64) -> Self {
        let state = State { session: None, executions: Executions::new(grace, spread) };
        Self { notifier, started: Instant::now(), state: Mutex::new(state), changed: Notify::new() }
    }

    fn now(&self) -> Duration {
        BEFORE.saturating_add(self.started.elapsed())
    }

    /// Polls with this session from now on; without one, pauses.
    pub fn connect(&self, session: Option<Arc<Session>>) {
        let mut state = self.state.lock();
        state.executions.set_pace(session.as_ref().map(|session| Pace { slowest: session.poll_period(), rate: session.rate() }));
        state.session = session;
        drop(state);
        self.changed.notify_one();
    }

    /// Polls the executions of a run. Idempotent.
    pub fn follow(&self, run: &RunRef, pipeline: &PipelineId, wish: &Follow) {
        let Followed { news, changed } = self.state.lock().executions.follow(run, pipeline, wish, self.now());
        if news {
            self.notifier.wake(&object_ref(run));
        }
        if changed {
            self.changed.notify_one();
        }
    }

    /// Stops polling for this run.
    pub fn forget(&self, run: &RunRef) {
        self.state.lock().executions.forget(run);
    }

    /// What is known of these executions.
    #[must_use]
    pub fn knowledge(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Knowledge {
        self.state.lock().executions.knowledge(pipeline, executions)
    }

    /// How long ago the open ones of these executions were last read: the longest of these times, or none if one was not read yet.
    #[must_use]
    pub fn asked(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Option<Duration> {
        let asked = self.state.lock().executions.asked(pipeline, executions);
        asked.map(|asked| self.now().saturating_sub(asked))
    }

    /// Whether the pipeline was in developer mode when one of these executions ended.
    #[must_use]
    pub fn developer_mode(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> bool {
        self.state.lock().executions.developer_mode(pipeline, executions)
    }

    fn wake(&self, runs: &[RunRef]) {
        for run in runs {
            self.notifier.wake(&object_ref(run));
        }
    }
}
