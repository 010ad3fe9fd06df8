//! One pass over a run: what it observes, and how each act of the core is carried out.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use nuvo_core::run::{
    self, Account, Act, Answer, Answered, Failure, FailureKind, InvalidRun, Knowledge, Life, LockName, Marker, PipelineId, Polled,
    PostOutcome, Present, Rendered, Run, RunRef, StatusChange, Step,
};
use nuvo_core::scheduler::Purpose;
use nuvo_crds::{PipelineRun, PipelineRunStatus};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep},
};

use super::{
    account_registry::AccountState,
    api_call::CallError,
    lock_store::{LockError, lock_name},
    message_hash::message_hash,
    run_store::RunError,
    shell::Shell,
};
use crate::{
    account::{
        AccountKey, Place, Session, Turn,
        driver::{Seen, object_ref},
    },
    telemetry::TriggerOutcome,
};

/// A slot of the reconciles that work at once. A pass that waits for nuvo releases it.
type Slot<'a> = SemaphorePermit<'a>;

/// When to look again whether the schedule has shown the result of a run that is to be deleted.
const RESULT_RECHECK: Duration = Duration::from_secs(2);

/// Why an act failed.
#[derive(Debug, thiserror::Error)]
enum PassError {
    /// A run cannot be read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The lock cannot be read or written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Without a version the next write cannot be compared.
    #[error("the API server answered a write with an object that has no resourceVersion")]
    NoVersion,
    /// The object is not a valid run.
    #[error(transparent)]
    Invalid(#[from] InvalidRun),
    /// An act that needs the object or its account came before they were read.
    #[error("the object was not read yet")]
    Unread,
}

impl From<CallError> for PassError {
    fn from(error: CallError) -> Self {
        Self::Run(error.into())
    }
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        let kind = match &error {
            PassError::Run(RunError::Call(error)) if error.is_conflict() => FailureKind::Conflict,
            PassError::Run(RunError::Call(error)) if error.is_refused() => FailureKind::Refused,
            PassError::Lock(error) if error.is_refused() => FailureKind::Refused,
            PassError::Run(RunError::Json(_)) | PassError::Invalid(_) => FailureKind::Refused,
            PassError::Run(RunError::Call(_)) | PassError::Lock(_) | PassError::NoVersion | PassError::Unread => FailureKind::Unclear,
        };
        Self { kind, message: error.to_string() }
    }
}

/// One pass over a run.
pub struct Pass<'a> {
    pub(super) shell: &'a Shell,
    pub(super) id: RunRef,
    pub(super) slot: Option<Slot<'a>>,
    pub(super) place: Option<Place>,
    pub(super) turn: Option<Turn>,
    pub(super) work: Option<Work>,
    pub(super) lock_read: Instant,
    /// When a run at rest, whose object is not cached, is to be deleted.
    expires: Option<Timestamp>,
    rendered: Option<(StatusChange, PipelineRunStatus)>,
    /// The last status write: the status before it, and after it.
    written: Option<(Option<PipelineRunStatus>, PipelineRunStatus)>,
}

/// The object, and what the pass needs with it.
pub(super) struct Work {
    pub(super) object: Arc<PipelineRun>,
    pub(super) account: AccountKey,
    pub(super) state: AccountState,
    pub(super) pipeline: Option<PipelineId>,
    run: Result<Run, InvalidRun>,
    lock: Option<String>,
    known: Knowledge,
    polled: Polled,
}

impl Work {
    fn of(object: Arc<PipelineRun>, shell: &Shell) -> Self {
        let account = AccountKey::of(&object);
        let state = shell.accounts.state(&account);
        let run = run::parse(&object);
        let pipeline = run.as_ref().ok().map(|run| run.pipeline.clone());
        let origin = match &state {
            AccountState::Ready(session) => Some(session.origin()),
            AccountState::Unknown | AccountState::NotReady(_) => shell.origin(&account),
        };
        let named = || run.as_ref().ok()?.own_marker()?.lock.as_ref().map(ToString::to_string);
        let of_origin = || origin.as_ref().zip(pipeline.as_ref()).map(|(origin, pipeline)| lock_name(origin, pipeline));
        // Where nothing can be triggered, it is the lock of the trigger in doubt that counts, whatever the account names by now.
        let is_another = |run: &Run| match &state {
            AccountState::Ready(session) => run.is_of_another_account(Some(session.account())),
            AccountState::Unknown | AccountState::NotReady(_) => true,
        };
        let is_kept = run.as_ref().is_ok_and(|run| run::undecided(run) && is_another(run));
        let lock = if is_kept { named().or_else(of_origin) } else { of_origin().or_else(named) };
        // Whoever waits for its lock knows it.
        let lock = lock.or_else(|| Some(shell.memories.get(run.as_ref().ok()?.id.uid.as_str()).awaited?.to_string()));
        let seen = match (shell.accounts.driver(&account), &run) {
            (Some(driver), Ok(run)) => driver.seen(&run.pipeline, &run::followed(&object, run)),
            _ => Seen::default(),
        };
        let asked = seen.asked.and_then(|ago| shell.clock.now().checked_sub(ago).ok());
        let (known, polled) = (seen.known, Polled { asked, developer_mode: seen.developer_mode });
        Self { object, account, state, pipeline, run, lock, known, polled }
    }

    fn session(&self) -> Result<&Arc<Session>, PassError> {
        match &self.state {
            AccountState::Ready(session) => Ok(session),
            AccountState::Unknown | AccountState::NotReady(_) => Err(PassError::Unread),
        }
    }
}

impl<'a> Pass<'a> {
    /// Begins a pass over a cached object, or over one of which only the name is known.
    pub fn new(shell: &'a Shell, id: RunRef, object: Option<Arc<PipelineRun>>, expires: Option<Timestamp>, slot: Option<Slot<'a>>) -> Self {
        let work = object.map(|object| Work::of(object, shell));
        Self { shell, id, slot, place: None, turn: None, work, lock_read: Instant::now(), expires, rendered: None, written: None }
    }

    /// The run as it was read last; none before it was read. An error says why the object is not a valid run.
    pub fn parsed(&self) -> Result<Option<Run>, String> {
        self.work.as_ref().map(|work| work.run.clone()).transpose().map_err(|error| error.to_string())
    }

    /// The older run of the same pipeline and account that is triggered first.
    pub fn older(&self) -> Option<String> {
        let work = self.work.as_ref()?;
        self.shell.runs.older(&work.object, work.pipeline.as_ref()?)
    }

    /// Whether another run of the same pipeline waits for its trigger.
    pub fn others_wait(&self) -> bool {
        let run = self.work.as_ref().and_then(|work| work.run.as_ref().ok()).filter(|run| !run::settled(run));
        run.is_some_and(|run| self.shell.runs.another_waits(&run.pipeline, &self.id))
    }

    /// What the account's driver knows of its executions.
    pub fn polled(&self) -> Polled {
        self.work.as_ref().map(|work| work.polled).unwrap_or_default()
    }

    /// What may have changed since the last act.
    pub fn present(&self) -> Present {
        let mut life = match &self.work {
            Some(work) => Life::of(&work.object, work.run.as_ref().ok(), self.shell.now()),
            None => Life { expiry: self.expires.map(|then| self.left_until(then)), ..Life::default() },
        };
        if self.is_result_awaited() {
            life.expiry = life.expiry.map(|left| left.max(RESULT_RECHECK));
        }
        let account = match self.work.as_ref().map(|work| &work.state) {
            Some(AccountState::Ready(session)) => {
                Account::Ready { trigger_pause: session.paused(Purpose::Trigger), account: Some(session.account().clone()) }
            }
            Some(AccountState::NotReady(why)) => Account::NotReady(why.clone()),
            Some(AccountState::Unknown) | None => Account::Unknown,
        };
        Present {
            uptime: self.shell.uptime(),
            life,
            account,
            stopping_for: self.shell.stopping_for(),
            lock_is_known: self.work.as_ref().is_some_and(|work| work.lock.is_some()),
        }
    }

    /// Whether the schedule that made the run has not shown its result yet. What is deleted before is lost to it.
    fn is_result_awaited(&self) -> bool {
        let Some(name) = self.shell.runs.schedule_of(&self.id) else { return false };
        let schedule =
            self.shell.schedules.get(&self.id.namespace, &name).filter(|schedule| schedule.metadata.deletion_timestamp.is_none());
        let claims = schedule.iter().filter_map(|schedule| schedule.status.as_ref()).flat_map(|status| &status.claims);
        claims.into_iter().any(|claim| claim.run_uid == self.id.uid.as_str())
    }

    /// Carries out one act.
    pub async fn carry_out(&mut self, act: &Act) -> Answered {
        let answered = match act {
            Act::Trigger(step) => self.step(step).await,
            Act::Render(change) => self.render(change),
            Act::Show(change) => self.show(change).await,
            Act::AnnounceOnly(change) => self.announce_only(change).await,
            Act::Delete => self.delete().await,
            Act::Announce => self.announce().await,
            Act::WakeWaiting => self.wake_lock_waiters(),
            Act::WakeHolder(holder) => self.wake_lock_holder(holder),
            Act::Pause(wait) => {
                sleep(*wait).await;
                Ok(Answered::Done)
            }
            Act::Done { .. } => Ok(Answered::Done),
        };
        answered.unwrap_or_else(|error| {
            let failure = Failure::from(error);
            tracing::info!(error = failure.message, "the act failed");
            Answered::Failed(failure)
        })
    }

    /// The time that is left.
    fn left_until(&self, then: Timestamp) -> Duration {
        Duration::try_from(then.duration_since(self.shell.clock.now())).unwrap_or_default()
    }

    fn work(&self) -> Result<&Work, PassError> {
        self.work.as_ref().ok_or(PassError::Unread)
    }

    fn lock(&self) -> Result<(&str, &PipelineId), PassError> {
        let work = self.work()?;
        work.lock.as_deref().zip(work.pipeline.as_ref()).ok_or(PassError::Unread)
    }

    /// Continues with this version of the object.
    fn set_object(&mut self, object: PipelineRun) {
        let object = Arc::new(object);
        match &mut self.work {
            Some(work) => (work.run, work.object) = (run::parse(&object), object),
            None => self.work = Some(Work::of(object, self.shell)),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<Answered, PassError> {
        Ok(Answered::Trigger(match step {
            Step::ReadRun => match self.shell.runs.read(&self.id).await? {
                Some(object) => {
                    let run = run::parse(&object)?;
                    self.set_object(object);
                    Answer::Run(Some(Box::new(run)))
                }
                None => Answer::Run(None),
            },
            Step::ReadLock => {
                // Before the lock is read: otherwise a release right after the read could be missed.
                if let Ok(Some(pipeline)) = self.work().map(|work| work.pipeline.clone()) {
                    self.shell.lock_waiters.add(&pipeline, self.reference());
                }
                self.lock_read = Instant::now();
                Answer::Lock(Box::new(self.shell.locks.read(self.lock()?.0).await?))
            }
            Step::ReadHolder(lock_holder) => Answer::Holder(self.shell.runs.holder(&lock_holder.run).await?),
            Step::ReadUndecided => Answer::Undecided(self.shell.runs.another_is_undecided(self.lock()?.1, &self.id).await?),
            Step::ReadClaim(made_by) => Answer::Claim(self.shell.runs.claim(made_by, &self.id).await?),
            Step::ReadClaimed => Answer::Claimed(self.shell.runs.claimed(self.lock()?.1, &self.id).await?),
            Step::TakeLock { lock, over } => {
                let (name, pipeline) = self.lock()?;
                written(self.shell.locks.write(name, pipeline, lock, over.as_deref()).await?)?
            }
            Step::Release { lock, over } => {
                let (name, pipeline) = self.lock()?;
                written(self.shell.locks.write(name, pipeline, lock, Some(over)).await?)?
            }
            Step::Mark { marker, over } => match self.shell.runs.mark(&self.with_names(marker)?, over).await {
                Ok(object) => {
                    let version = object.metadata.resource_version.clone();
                    self.set_object(object);
                    written(version)?
                }
                Err(RunError::Call(error)) if error.is_not_found() => Answer::Missing,
                Err(error) => return Err(error.into()),
            },
            Step::Post(nonce) => {
                // Other runs can work while this one waits for nuvo, and it must not wait for them afterwards.
                (self.slot, self.turn) = (None, None);
                let pipeline = self.lock()?.1;
                tracing::info!(%nonce, %pipeline, "triggering");
                let outcome: PostOutcome = self.work()?.session()?.create(pipeline, nonce).await;
                tracing::info!(%nonce, outcome = ?outcome, "triggered");
                self.shell.metrics.trigger(TriggerOutcome::from(&outcome));
                Answer::Posted(outcome)
            }
            Step::Record { trigger, executions, message, follow_up, over } => {
                let (trigger, executions, message) = (trigger.clone(), executions.clone(), message.clone());
                let change = StatusChange::Result { trigger, executions, message, follow_up: *follow_up };
                let status = self.rendering(&change)?;
                let written = self.write(status, over).await;
                // After the trigger no place is needed.
                self.place = None;
                return written;
            }
            Step::ReadBaseline
            | Step::ReadCandidates
            | Step::ReadRunning(_)
            | Step::ReadExecution(_)
            | Step::Hold(_)
            | Step::Follow
            | Step::Forget
            | Step::Restart => Answer::Indeterminate,
        }))
    }

    /// The marker with the name of the lock and the account under which it is written.
    fn with_names(&self, marker: &Marker) -> Result<Marker, PassError> {
        // One that is written again keeps them: the account may be another one by now.
        let lock = marker.lock.clone().or(LockName::new(self.lock()?.0).ok());
        let account = marker.account.clone().or_else(|| self.work().ok()?.session().ok().map(|session| session.account().clone()));
        Ok(Marker { lock, account, ..marker.clone() })
    }

    fn rendering(&self, change: &StatusChange) -> Result<PipelineRunStatus, PassError> {
        let work = self.work()?;
        let status = run::render(&work.object, work.run.as_ref().ok(), change, &work.known, self.shell.now());
        Ok(self.shell.definitions.fit(status))
    }

    fn render(&mut self, change: &StatusChange) -> Result<Answered, PassError> {
        let status = self.rendering(change)?;
        let present = self.work()?.object.status.as_ref();
        let change_is = match present {
            Some(present) if *present == status => run::Change::None,
            Some(present) if run::differs_only_in_wording(present, &status) => run::Change::Messages,
            _ => run::Change::Content,
        };
        let ends_lock_need = run::ends_lock_need(present, &status);
        let rendered = Rendered { change: change_is, message_hash: message_hash(&status), ends_lock_need };
        self.rendered = Some((change.clone(), status));
        Ok(Answered::Rendered(rendered))
    }

    async fn show(&mut self, change: &StatusChange) -> Result<Answered, PassError> {
        let status = match self.rendered.take() {
            Some((rendered, status)) if rendered == *change => status,
            _ => self.rendering(change)?,
        };
        let over = self.work()?.object.metadata.resource_version.clone().unwrap_or_default();
        self.write(status, &over).await
    }

    /// Writes the status. No other function does.
    async fn write(&mut self, status: PipelineRunStatus, over: &str) -> Result<Answered, PassError> {
        let object = self.work()?.object.clone();
        match self.shell.runs.write_status(&object, over, status).await {
            Ok(after) => {
                let run = run::parse(&after)?;
                self.written = Some((object.status.clone(), after.status.clone().unwrap_or_default()));
                self.set_object(after);
                Ok(Answered::Written(Box::new(run)))
            }
            Err(error) if error.is_not_found() => Ok(Answered::Missing),
            Err(error) => Err(error.into()),
        }
    }

    async fn announce_only(&mut self, change: &StatusChange) -> Result<Answered, PassError> {
        let status = self.rendering(change)?;
        tracing::info!("it waits, and goes on under the lock that it holds");
        let object = &self.work()?.object;
        for notice in run::events_of_change(object.status.as_ref(), &status) {
            self.shell.events.publish(&**object, notice.into()).await;
        }
        Ok(Answered::Done)
    }

    async fn announce(&mut self) -> Result<Answered, PassError> {
        if let Some((before, after)) = self.written.take() {
            self.shell.announce(&self.work()?.object, before.as_ref(), &after).await;
        }
        Ok(Answered::Done)
    }

    async fn delete(&mut self) -> Result<Answered, PassError> {
        let version = self.work()?.object.metadata.resource_version.clone().ok_or(PassError::NoVersion)?;
        match self.shell.runs.delete(&self.id, &version).await {
            Ok(()) => tracing::info!("deleted (spec.ttlSecondsAfterFinished)"),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Answered::Done)
    }

    fn wake_lock_holder(&self, holder: &RunRef) -> Result<Answered, PassError> {
        if let Ok(lock) = LockName::new(self.lock()?.0) {
            self.shell.wake_lock_holder(holder, lock);
        }
        Ok(Answered::Done)
    }

    fn wake_lock_waiters(&self) -> Result<Answered, PassError> {
        if let Some(pipeline) = &self.work()?.pipeline {
            self.shell.lock_waiters.remove(pipeline, &self.reference());
            self.shell.wake_lock_waiters(pipeline);
        }
        Ok(Answered::Done)
    }

    pub(super) fn reference(&self) -> ObjectRef<PipelineRun> {
        object_ref(&self.id)
    }
}

fn written(version: Option<String>) -> Result<Answer, PassError> {
    version.map(Answer::Written).ok_or(PassError::NoVersion)
}
