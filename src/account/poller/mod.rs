//! The bulk poller: one for each account, whatever the number of its runs.
//!
//! Each poll lists the running executions. An execution that is not in the list is read by its id. Only that read can show its end, because a
//! list never proves an absence. Runs are woken only when what is known of their executions has changed.

mod answers;
mod list_poll;
mod poll_loop;
mod poll_period;
mod read_answer;
mod shown_execution;
mod tracked;

use std::{sync::Arc, time::Duration};

use kube::runtime::reflector::ObjectRef;
use nuvo_core::run::{ExecutionId, Knowledge, PipelineId};
use nuvo_crds::PipelineRun;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

pub use shown_execution::shown_execution;

use crate::account::Session;
use poll_period::{FASTEST, period};
use tracked::{State, TrackedExecution, Watch, is_processing};

/// A run that is younger than this counts as new, because the stored start has whole seconds.
const NEW: Duration = Duration::from_secs(2);

/// Wakes runs.
pub trait RunNotifier: Send + Sync {
    /// Has a run reconciled again.
    fn wake(&self, run: &ObjectRef<PipelineRun>);
    /// Whether this very object, by its uid, still exists.
    fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool;
}

/// The executions that a run wants to have polled.
#[derive(Debug, Clone)]
pub struct Interest {
    /// The run.
    pub run: ObjectRef<PipelineRun>,
    /// The pipeline that the executions must belong to.
    pub pipeline: PipelineId,
    /// The executions.
    pub executions: Vec<ExecutionId>,
    /// The time since the run started.
    pub age: Duration,
    /// The account certainly started them, so their creator is its identity.
    pub ours: bool,
    /// The run already shows them as running.
    pub expected: bool,
    /// The run waits for the next answer, also if it brings no change.
    pub late: bool,
    /// The time since the run failed, if it is watched for a repair.
    pub ended_for: Option<Duration>,
}

/// The poller of one account.
pub struct Poller {
    notifier: Arc<dyn RunNotifier>,
    grace: Duration,
    /// The part of the first period that passes before the first poll, so that not all accounts poll at once after a start.
    spread: f64,
    state: Mutex<State>,
    changed: Notify,
}

impl Poller {
    /// A poller without executions. `grace` is how long nuvo may deny that an execution exists before it counts as lost; `spread` is the
    /// part of the first period that passes before the first poll, 0 to 1, and should differ between accounts.
    #[must_use]
    pub fn new(notifier: Arc<dyn RunNotifier>, grace: Duration, spread: f64) -> Self {
        Self { notifier, grace, spread: spread.clamp(0.0, 1.0), state: Mutex::default(), changed: Notify::new() }
    }

    /// Polls with this session from now on; without one, pauses.
    pub fn connect(&self, session: Option<Arc<Session>>) {
        self.state.lock().session = session;
        self.changed.notify_one();
    }

    /// Polls the executions of a run. Idempotent.
    pub fn follow(&self, interest: &Interest) {
        let now = Instant::now();
        let mut added = false;
        let mut urgent = false;
        let mut news = false;
        let mut state = self.state.lock();
        let age = if interest.age < NEW { Duration::ZERO } else { interest.age };
        let keys = interest.executions.iter().map(|id| (interest.pipeline.clone(), id.clone()));
        state.by_run.entry(name_of(&interest.run)).or_default().extend(keys);
        for id in &interest.executions {
            let key = (interest.pipeline.clone(), id.clone());
            let entry = state.entries.entry(key).or_insert_with(|| {
                added = true;
                TrackedExecution {
                    runs: Vec::new(),
                    born: now.checked_sub(age).unwrap_or(now),
                    ours: interest.ours,
                    expected: interest.expected,
                    known: None,
                    denied_since: None,
                    asked: None,
                    awaited: false,
                    reading: false,
                    missed: None,
                    watch: None,
                    developer_mode: false,
                }
            });
            if let (Some(ended_for), None) = (interest.ended_for, entry.watch) {
                let since = now.checked_sub(ended_for).unwrap_or(now);
                entry.watch = Some(Watch { since, next: now });
                added = true;
            }
            entry.expected &= interest.expected;
            entry.awaited |= interest.late;
            urgent |= entry.awaited;
            let joins = !entry.runs.iter().any(|run| same_object(run, &interest.run));
            if joins {
                // An earlier object of the same name no longer exists.
                entry.runs.retain(|run| run != &interest.run);
                entry.runs.push(interest.run.clone());
            }
            // The other runs were woken for it before this one joined.
            news |= joins && entry.known.as_ref().is_some_and(|known| !is_processing(known));
        }
        if added {
            let slowest = state.session.as_ref().map_or(FASTEST, |session| session.poll_period());
            let wait = if age.is_zero() { FASTEST } else { period(age, slowest).mul_f64(self.spread) };
            state.poll_by(now.checked_add(wait));
        }
        if urgent {
            state.poll_by(now.checked_add(FASTEST));
        }
        drop(state);
        if news {
            self.notifier.wake(&interest.run);
        }
        if added || urgent {
            self.changed.notify_one();
        }
    }

    /// Stops polling for this run.
    pub fn forget(&self, run: &ObjectRef<PipelineRun>) {
        let mut state = self.state.lock();
        for key in state.by_run.remove(&name_of(run)).unwrap_or_default() {
            let Some(entry) = state.entries.get_mut(&key) else { continue };
            entry.runs.retain(|other| !same_object(other, run));
            if entry.runs.is_empty() {
                state.entries.remove(&key);
            }
        }
    }

    /// What is known of these executions.
    #[must_use]
    pub fn knowledge(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Knowledge {
        let state = self.state.lock();
        let known = |id: &ExecutionId| state.entries.get(&(pipeline.clone(), id.clone()))?.known.clone();
        executions.iter().filter_map(|id| Some((id.clone(), known(id)?))).collect()
    }

    /// When the open ones of these executions were last read: the oldest of these times, or none if one was not read yet.
    #[must_use]
    pub fn asked(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Option<Instant> {
        let state = self.state.lock();
        let entry = |id: &ExecutionId| state.entries.get(&(pipeline.clone(), id.clone()));
        let open = executions.iter().map(entry).filter(|entry| entry.is_none_or(TrackedExecution::is_open));
        open.map(|entry| entry?.asked).min().flatten()
    }

    /// Whether the pipeline was in developer mode when one of these executions ended.
    #[must_use]
    pub fn developer_mode(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> bool {
        let state = self.state.lock();
        executions.iter().any(|id| state.entries.get(&(pipeline.clone(), id.clone())).is_some_and(|entry| entry.developer_mode))
    }

    /// Forgets the runs that no longer exist.
    fn prune(&self) {
        let mut state = self.state.lock();
        let State { entries, by_run, .. } = &mut *state;
        entries.retain(|key, entry| {
            entry.runs.retain(|run| {
                let exists = self.notifier.exists(run);
                if !exists && let Some(keys) = by_run.get_mut(&name_of(run)) {
                    keys.remove(key);
                }
                exists
            });
            !entry.runs.is_empty()
        });
        by_run.retain(|_, keys| !keys.is_empty());
    }
}

/// References are equal by name alone. Objects that had the same name one after the other differ by their uid.
fn same_object(one: &ObjectRef<PipelineRun>, other: &ObjectRef<PipelineRun>) -> bool {
    one == other && one.extra.uid == other.extra.uid
}

/// A key that differs also between objects that had the same name one after the other.
fn name_of(run: &ObjectRef<PipelineRun>) -> String {
    format!("{}/{}/{}", run.namespace.as_deref().unwrap_or_default(), run.name, run.extra.uid.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests;
