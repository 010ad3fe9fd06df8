//! The controller of runs: what its watch and its reconciles lead to.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use kube::{
    Resource, ResourceExt,
    runtime::{controller::Action, watcher},
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    account_registry::AccountKey,
    control::{Failure, Reconciler},
    ended,
    run::{self, ReconcileError},
    run_cache::CachedRun,
    shell::Shell,
};
use nuvo_core::run::Run;

/// For each reconcile that works, so many may wait for nuvo.
const WAITING_PER_SLOT: u16 = 8;

/// How many deleted runs can wait until their lock is released: as many as are deleted in one go where runs are many. The lock of those
/// beyond is left to the next run of their pipeline, which takes it over after the quarantine.
pub const DELETED_RUNS: usize = 1_024;

/// How many runs are reconciled at once, those that wait for nuvo included, if so many may work.
#[must_use]
pub const fn concurrency(slots: u16) -> u16 {
    slots.saturating_mul(WAITING_PER_SLOT)
}

/// A run that was deleted, and may hold the lock of its pipeline.
pub struct DeletedRun {
    /// Its account.
    pub account: AccountKey,
    /// The run as it was seen last.
    pub run: Run,
}

/// The controller of runs.
pub struct RunReconciler {
    shell: Arc<Shell>,
    /// As `--max-concurrent-reconciles`.
    slots: u16,
    deleted: Sender<DeletedRun>,
}

impl RunReconciler {
    /// A controller, and the deleted runs whose lock is to be released, which are for [`release_locks_of_deleted`].
    #[must_use]
    pub fn new(shell: Arc<Shell>, slots: u16) -> (Self, Receiver<DeletedRun>) {
        let (deleted, receiver) = channel(DELETED_RUNS);
        (Self { shell, slots, deleted }, receiver)
    }

    /// A run was deleted. One that has ended costs no request: it gave its lock back at its end. Only a process that died between the two
    /// leaves the lock to the next run of the pipeline, which then waits for the quarantine because this one cannot be read any more.
    fn on_deleted(&self, run: &CachedRun) {
        self.shell.runs.removed(run);
        self.forget(run);
        let Some(object) = run.whole() else { return };
        let Ok(run) = nuvo_core::run::parse(object) else { return };
        let pipeline = run.pipeline.clone();
        if !run.ended && nuvo_core::run::decided(&run) && self.deleted.try_send(DeletedRun { account: AccountKey::of(object), run }).is_ok()
        {
            return;
        }
        self.shell.wake_waiting(&pipeline);
    }
}

impl Reconciler for RunReconciler {
    type Object = CachedRun;
    type Error = ReconcileError;

    const KIND: &'static str = "PipelineRun";

    fn concurrency(&self) -> u16 {
        concurrency(self.slots)
    }

    fn modify(&self, run: &mut CachedRun) {
        run.slim((self.shell.clock)());
    }

    fn on_watch_event(&self, namespace: Option<&str>, event: &watcher::Event<CachedRun>) {
        let shell = &self.shell;
        match event {
            watcher::Event::Apply(run) => {
                if let Some(pipeline) = shell.runs.applied(run) {
                    shell.wake_waiting(&pipeline);
                }
            }
            watcher::Event::Delete(run) => self.on_deleted(run),
            watcher::Event::InitDone => {
                shell.runs.filled(namespace);
                for run in shell.waiting.take_all() {
                    shell.runs.wake(&run);
                }
                shell.memories.retain(&shell.runs.uids());
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }

    async fn reconcile(&self, run: Arc<CachedRun>) -> Result<Action, ReconcileError> {
        let shell = &self.shell;
        let uid = run.uid().unwrap_or_default();
        if run.whole().is_none() && !shell.memories.owes(&uid) {
            let left = run.expires().map(ended::left_until);
            if left.is_none_or(|left| !left.is_zero()) {
                shell.memories.forget(&uid);
                return Ok(left.map_or_else(Action::await_change, Action::requeue));
            }
        }
        let Ok(slot) = shell.slots.acquire().await else { return Ok(Action::await_change()) };
        match run.whole() {
            Some(object) => run::reconcile(object.clone(), slot, shell).await,
            None => ended::settle_up(run.meta(), shell).await,
        }
    }

    async fn after_failure(&self, run: &CachedRun, failure: &Failure<ReconcileError>) -> Option<Duration> {
        let error = match failure {
            Failure::Error(error) => error,
            Failure::Panic => &ReconcileError::Panic,
        };
        Some(run::after_failure(run, error, &self.shell).await)
    }

    fn forget(&self, run: &CachedRun) {
        self.shell.memories.forget(run.meta().uid.as_deref().unwrap_or_default());
    }
}

/// Releases the locks that deleted runs hold, `concurrency` of them at once: a lock that is released at once spares the next run the
/// quarantine.
pub async fn release_locks_of_deleted(mut deleted: Receiver<DeletedRun>, concurrency: usize, shell: &Shell) {
    let deleted = stream::poll_fn(move |context| deleted.poll_recv(context));
    let release = async |DeletedRun { account, run }| {
        if let Err(error) = ended::release(&account, &run, shell).await {
            tracing::debug!(%error, "the lock of a deleted run was not released");
        }
        shell.wake_waiting(&run.pipeline);
    };
    deleted.for_each_concurrent(concurrency, release).await;
}
