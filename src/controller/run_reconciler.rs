//! The reconciler of runs: a loop that asks the core for the next act of a run and carries it out. Nothing is decided here.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use kube::{
    Resource, ResourceExt,
    core::ObjectMeta,
    runtime::{controller::Action, watcher},
};
use nuvo_core::run::{self, Act, Again, Answered, Ask, Begin, Beginning, Facts, Nonce, RunRef, Step, Wishes, after_panic, remember};
use nuvo_crds::PipelineRun;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::account::driver::object_ref;

use super::{
    control::{Failure, Reconciler},
    run_cache::CachedRun,
    run_pass::Pass,
    shell::Shell,
};

/// How many deleted runs can wait until their lock is released: as many as may be deleted in one batch. The lock of any further run is left
/// to the next run of its pipeline, which takes it over after the quarantine.
pub const DELETED_RUNS: usize = 1_024;

/// A run that its watch shows as deleted. It may hold the lock of its pipeline. With a label selector it may still be there.
pub struct DeletedRun {
    /// What identifies the run.
    pub id: RunRef,
    /// Its last version.
    pub object: Arc<PipelineRun>,
}

/// A pass that failed. The next one begins with what is stored.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PassFailed {
    message: String,
    /// The wait before the next one.
    wait: Duration,
}

/// The reconciler of runs.
pub struct RunReconciler {
    shell: Arc<Shell>,
    concurrency: u16,
    deleted: Sender<DeletedRun>,
}

impl RunReconciler {
    /// A reconciler of up to `concurrency` runs at once, those that wait for nuvo included; and a channel of deleted runs for
    /// [`release_locks_of_deleted`].
    #[must_use]
    pub fn new(shell: Arc<Shell>, concurrency: u16) -> (Self, Receiver<DeletedRun>) {
        let (deleted, receiver) = channel(DELETED_RUNS);
        (Self { shell, concurrency, deleted }, receiver)
    }

    /// Handles the deletion of a run. A run at rest holds no lock.
    fn on_deleted(&self, run: &CachedRun) {
        self.shell.runs.removed(run);
        self.shell.wake_schedules(&self.shell.runs.unscheduled(run));
        self.shell.memories.forget(run.meta().uid.as_deref().unwrap_or_default());
        self.look_after(run);
    }

    /// Has the lock of a run that is not at rest released, or the run noted as unwatched.
    fn look_after(&self, run: &CachedRun) {
        let Some(object) = run.whole() else { return };
        let Ok(run) = run::parse(&object) else { return };
        if self.deleted.try_send(DeletedRun { id: run.id, object }).is_err() {
            self.shell.wake_lock_waiters(&run.pipeline);
        }
    }
}

impl Reconciler for RunReconciler {
    type Object = CachedRun;
    type Error = PassFailed;

    const KIND: &'static str = "PipelineRun";

    fn concurrency(&self) -> u16 {
        self.concurrency
    }

    fn modify(&self, run: &mut CachedRun) {
        run.slim(self.shell.clock.now(), |status| self.shell.definitions.fit(status));
    }

    fn on_watch_event(&self, namespace: Option<&str>, event: &watcher::Event<CachedRun>) {
        let shell = &self.shell;
        match event {
            watcher::Event::Apply(run) => {
                if let Some(pipeline) = shell.runs.applied(run, shell.now()) {
                    shell.wake_lock_waiters(&pipeline);
                }
                shell.wake_schedules(&shell.runs.scheduled(run));
            }
            watcher::Event::Delete(run) => self.on_deleted(run),
            watcher::Event::InitDone => {
                shell.runs.filled(namespace, shell.now());
                for run in shell.lock_waiters.take_all() {
                    shell.runs.wake(&run);
                }
                shell.memories.retain(&shell.runs.uids());
                shell.wake_all_schedules();
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }

    async fn reconcile(&self, run: Arc<CachedRun>) -> Result<Action, PassFailed> {
        let Some(id) = run_ref(run.meta()) else { return Ok(Action::await_change()) };
        let Ok(slot) = self.shell.slots.acquire().await else { return Ok(Action::await_change()) };
        let begin = if run.is_at_rest() { Begin::AtRest } else { Begin::Changed };
        Ok(match drive(begin, Pass::new(&self.shell, id, run.whole(), run.expires(), Some(slot))).await? {
            Again::OnChange => Action::await_change(),
            Again::After(wait) => Action::requeue(wait),
        })
    }

    async fn after_failure(&self, run: &CachedRun, failure: &Failure<PassFailed>) -> Option<Duration> {
        tracing::warn!(error = %failure, "the reconcile failed");
        match failure {
            Failure::Error(failed) => Some(failed.wait),
            Failure::Panic => {
                let uid = run.uid().unwrap_or_default();
                let (memory, wait) = after_panic(&self.shell.memories.get(&uid));
                if let Some(id) = run_ref(run.meta()) {
                    self.shell.remember(&id, memory);
                }
                Some(wait)
            }
        }
    }

    fn forget(&self, run: &CachedRun) {
        self.shell.memories.forget(run.meta().uid.as_deref().unwrap_or_default());
        if self.shell.runs.is_selective() {
            // The reconcile may have written another status over the last word.
            self.look_after(run);
        }
    }
}

fn run_ref(metadata: &ObjectMeta) -> Option<RunRef> {
    let uid = run::Uid::new(metadata.uid.clone()?).ok()?;
    Some(RunRef { uid, namespace: metadata.namespace.clone()?, name: metadata.name.clone()? })
}

/// Releases the locks that deleted runs hold, `concurrency` of them at once: a lock that is released at once spares the next run the
/// quarantine. Runs that were not deleted, but have lost their label, say so.
pub async fn release_locks_of_deleted(mut deleted: Receiver<DeletedRun>, concurrency: usize, shell: &Shell) {
    let deleted = stream::poll_fn(move |context| deleted.poll_recv(context));
    let release = async |DeletedRun { id, object }| {
        let left = if shell.runs.is_selective() { shell.runs.read(&id).await } else { Ok(None) };
        let result = match left {
            // It has its label again.
            Ok(Some(_)) if shell.runs.is_active(&object_ref(&id)) => return,
            Ok(Some(left)) => drive(Begin::Unwatched, Pass::new(shell, id, Some(Arc::new(left)), None, None)).await,
            Ok(None) => drive(Begin::Deleted, Pass::new(shell, id, Some(object), None, None)).await,
            Err(error) => return tracing::debug!(%error, "whether the run was deleted is not known"),
        };
        if let Err(error) = result {
            tracing::debug!(%error, "the lock of a deleted run was not released, or an unwatched run not noted");
        }
    };
    deleted.for_each_concurrent(concurrency, release).await;
}

fn new_nonce() -> Nonce {
    Nonce::from_bits(uuid::Uuid::new_v4().as_u128())
}

/// One pass over a run: carries out acts until the core is done.
async fn drive(begin: Begin, mut pass: Pass<'_>) -> Result<Again, PassFailed> {
    let shell = pass.shell;
    let uid = pass.id.uid.to_string();
    let mut facts = Facts::new(Beginning {
        begin,
        run: pass.parsed(),
        memory: shell.memories.begin(&uid),
        limits: shell.limits,
        uptime: shell.uptime(),
        spare: new_nonce(),
        older: pass.older(),
        others_wait: pass.others_wait(),
        polled: pass.polled(),
    });
    loop {
        facts.refresh(pass.present());
        let act = run::next(&facts);
        tracing::debug!(act = name(&act), "next");
        if let Act::Done { again, wishes } = &act {
            match pass.declare(wishes.as_ref()).await {
                Some(answer) => facts.learn(&act, Answered::Account(answer)),
                None => {
                    if begin.is_watched() {
                        shell.remember(&pass.id, remember(&facts));
                    } else {
                        shell.memories.forget(&uid);
                    }
                    return match (facts.failure(), again) {
                        (Some(message), Again::After(wait)) => Err(PassFailed { message: message.to_owned(), wait: *wait }),
                        _ => Ok(*again),
                    };
                }
            }
        } else {
            facts.intend(&act);
            shell.memories.set(&uid, facts.memory().clone());
            let answered = pass.carry_out(&act).await;
            facts.learn(&act, answered);
        }
        shell.memories.set(&uid, facts.memory().clone());
        if matches!(act, Act::Trigger(Step::TakeLock { .. })) {
            facts.renew_spare(new_nonce());
        }
    }
}

/// The name of an act, for logs.
const fn name(act: &Act) -> &'static str {
    match act {
        Act::Trigger(step) => step.name(),
        Act::Render(_) => "render status",
        Act::Show(_) => "show status",
        Act::AnnounceOnly(_) => "announce only",
        Act::Delete => "delete",
        Act::Announce => "announce",
        Act::WakeWaiting => "wake waiting",
        Act::WakeHolder(_) => "wake holder",
        Act::Pause(_) => "pause",
        Act::Done { again: Again::After(_), wishes: Some(Wishes { ask: Ask::Nothing, follow: None, .. }) } => "wait",
        Act::Done { wishes: Some(Wishes { ask: Ask::Place, .. }), .. } => "ask for a place",
        Act::Done { wishes: Some(Wishes { ask: Ask::Turn, .. }), .. } => "ask for a turn",
        Act::Done { wishes: Some(Wishes { ask: Ask::Candidates { .. }, .. }), .. } => "look for candidates",
        Act::Done { .. } => "done",
    }
}
