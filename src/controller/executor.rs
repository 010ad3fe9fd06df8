//! Carries out what the core decides, one step at a time. Nothing is decided here.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep},
};

use super::{
    api_call::CallError,
    lock::{LockError, lock_name},
    now,
    runs::RunError,
    shell::Shell,
};
use crate::account::Session;
use crate::telemetry::TriggerOutcome;
use nuvo_client::Error;
use nuvo_core::run::{Answer, Gate, Hold, InvalidRun, Memory, Nonce, Observed, Obstacle, Outcome, Run, Sighting, Step, Task, Unexecuted};
use nuvo_crds::{PipelineRun, PipelineRunStatus};

/// How long a pass tries a step again, before it leaves that to the next pass; and how long the process waits for its passes when it stops.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a step that failed is tried again within a pass.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why a pass ended without a result. Nothing is lost: the next one begins with what is stored.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// A run cannot be read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The lock cannot be read or written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The marker was refused for good, so nothing can be triggered.
    #[error("{source}")]
    Unmarked {
        /// Who refused it, and why.
        source: RunError,
        /// The run still holds the pipeline's lock.
        held: bool,
    },
    /// nuvo gives no list, and without one no trigger may start.
    #[error("nuvo's executions cannot be listed: {0}")]
    Nuvo(Error),
    /// Without a version nothing can be compared with later.
    #[error("the API server answered a write with an object that has no resourceVersion")]
    NoVersion,
    /// The object is no run.
    #[error(transparent)]
    Invalid(#[from] InvalidRun),
    /// No random numbers, or the like.
    #[error("no nonce can be made")]
    Nonce,
}

impl PassError {
    /// Trying the same step again at once is of no use.
    fn is_refused(&self) -> bool {
        match self {
            Self::Run(RunError::Call(error)) => error.is_refused(),
            Self::Lock(error) => error.is_refused(),
            Self::Run(RunError::Invalid { .. } | RunError::Json(_)) | Self::Invalid(_) | Self::Unmarked { .. } | Self::Nonce => true,
            Self::Nuvo(_) | Self::NoVersion => false,
        }
    }
}

impl From<CallError> for PassError {
    fn from(error: CallError) -> Self {
        Self::Run(error.into())
    }
}

/// How a pass ended.
#[derive(Debug)]
pub enum Ended {
    /// The trigger is settled.
    Follow,
    /// The run waits.
    Hold(Hold),
    /// The run is gone.
    Forget,
    /// Somebody else changed what the pass rests on.
    Again,
}

/// What a pass leaves behind.
#[derive(Debug)]
pub struct Passed {
    /// How it ended.
    pub ended: Ended,
    /// The newest object that it has seen.
    pub object: Arc<PipelineRun>,
    /// What the process shall remember.
    pub memory: Memory,
    /// The status before the result was recorded, if this pass recorded one.
    pub recorded_over: Option<Option<PipelineRunStatus>>,
    /// Why this pass triggered nothing in the end, and no other try before this time has passed.
    pub retry_after: Option<(Duration, Obstacle)>,
}

/// One task of the trigger protocol. A nonce never leaves it.
pub struct Pass<'a> {
    shell: &'a Shell,
    session: Arc<Session>,
    slot: Option<SemaphorePermit<'a>>,
    lock: String,
    object: Arc<PipelineRun>,
    observed: Observed,
    lock_read: Instant,
    /// When this pass last achieved something that lasts.
    progress: Instant,
    unmarked: Option<RunError>,
    recorded_over: Option<Option<PipelineRunStatus>>,
    retry_after: Option<(Duration, Obstacle)>,
    gate: &'a (dyn Fn() -> Gate + Sync),
}

/// One that nobody has used.
pub(super) fn nonce() -> Result<Nonce, PassError> {
    Nonce::new(uuid::Uuid::new_v4().to_string()).map_err(|_| PassError::Nonce)
}

impl<'a> Pass<'a> {
    /// Begins a pass over a run as the cache has it.
    ///
    /// # Errors
    /// [`PassError`].
    pub fn new(
        shell: &'a Shell,
        session: Arc<Session>,
        slot: SemaphorePermit<'a>,
        object: Arc<PipelineRun>,
        run: Run,
        memory: Memory,
        gate: &'a (dyn Fn() -> Gate + Sync),
    ) -> Result<Self, PassError> {
        let lock = lock_name(&session.origin(), &run.pipeline);
        let observed = Observed::new(run, memory, shell.limits, shell.uptime(), gate(), nonce()?);
        let now = Instant::now();
        Ok(Self {
            shell,
            session,
            slot: Some(slot),
            lock,
            object,
            observed,
            lock_read: now,
            progress: now,
            unmarked: None,
            recorded_over: None,
            retry_after: None,
            gate,
        })
    }

    /// Goes on until the core says that the pass has ended.
    ///
    /// # Errors
    /// [`PassError`].
    pub async fn run(mut self) -> Result<Passed, PassError> {
        let mut failures = 0_u32;
        loop {
            self.observed.now = self.shell.uptime();
            self.observed.gate = (self.gate)();
            self.observed.deadline = nuvo_core::run::deadline(&self.object, now());
            self.observed.silence = self.session.paused().map(|pause| pause.left);
            let step = nuvo_core::run::next(&self.observed);
            tracing::debug!(step = name(&step), "next");
            let ended = match &step {
                Step::Follow => Ended::Follow,
                Step::Forget => Ended::Forget,
                Step::Again => match self.unmarked.take() {
                    Some(source) => return Err(PassError::Unmarked { source, held: self.observed.holds_lock() }),
                    None => Ended::Again,
                },
                Step::Hold(hold) => Ended::Hold(hold.clone()),
                _ => {
                    match self.carry_out(&step).await {
                        Ok(answer) => {
                            if matches!(answer, Answer::Written(_) | Answer::Posted(_)) {
                                self.progress = Instant::now();
                                failures = 0;
                            }
                            self.observed.learn(&step, answer);
                        }
                        Err(error) => {
                            if let Err(error) = self.failed(&step, error) {
                                let memory = nuvo_core::run::remember(&self.observed, &step);
                                self.shell.memories.set(self.observed.cached.me.uid.as_str(), memory);
                                return Err(error);
                            }
                            let (first, longest) = RETRY;
                            sleep(first.saturating_mul(2_u32.saturating_pow(failures.min(8))).min(longest)).await;
                            failures = failures.saturating_add(1);
                        }
                    }
                    if matches!(step, Step::TakeLock { .. }) {
                        self.observed.spare = nonce()?;
                    }
                    continue;
                }
            };
            let memory = nuvo_core::run::remember(&self.observed, &step);
            return Ok(Passed { ended, object: self.object, memory, recorded_over: self.recorded_over, retry_after: self.retry_after });
        }
    }

    /// A step got no useful answer. It is an error of the pass, unless the step may be tried again, or another one in its stead.
    fn failed(&mut self, step: &Step, error: PassError) -> Result<(), PassError> {
        let refused = error.is_refused();
        match (step, error) {
            (Step::Mark { marker, .. }, PassError::Run(source)) if refused => {
                tracing::warn!(error = %source, "the marker was refused");
                self.unmarked = Some(source).filter(|_| !marker.executed);
                self.observed.learn(step, Answer::Refused);
            }
            (_, error) if !self.may_try_again(step, refused) => {
                return Err(self.unmarked.take().map_or(error, |source| PassError::Unmarked { source, held: true }));
            }
            (step, error) => {
                if refused {
                    tracing::warn!(%error, step = name(step), "refused, trying again");
                } else {
                    tracing::info!(%error, step = name(step), "trying again");
                }
                if is_write(step) {
                    self.observed.learn(step, Answer::Unsure);
                }
            }
        }
        Ok(())
    }

    fn may_try_again(&self, step: &Step, refused: bool) -> bool {
        let stopping = self.shell.stopping_since().is_some_and(|since| since.elapsed() >= PATIENCE);
        let patient = self.progress.elapsed() < PATIENCE && !stopping && !refused;
        match &self.observed.task {
            // This task knows what nobody else does. A POST may have ended long after the shutdown began.
            Task::Posted(_, Outcome::Accepted(_) | Outcome::NotExecuted { .. }) => !stopping || self.progress.elapsed() < PATIENCE,
            // Whether it was written must be read; a read can as well be left to the next pass.
            Task::Idle | Task::Finished => is_write(step) && patient,
            _ => patient,
        }
    }

    async fn carry_out(&mut self, step: &Step) -> Result<Answer, PassError> {
        let run = self.observed.run();
        let (me, pipeline) = (run.me.clone(), run.pipeline.clone());
        if matches!(step, Step::ReadBaseline | Step::ReadCandidates | Step::Post(_)) {
            // Others can work while this waits for nuvo. What comes after it must not wait for them.
            self.slot = None;
        }
        Ok(match step {
            Step::ReadRun => match self.shell.runs.read(&me).await? {
                Some(object) => {
                    let run = nuvo_core::run::parse(&object)?;
                    self.object = Arc::new(object);
                    Answer::Run(Some(Box::new(run)))
                }
                None => Answer::Run(None),
            },
            Step::ReadLock => {
                self.lock_read = Instant::now();
                Answer::Lock(Box::new(self.shell.locks.read(&self.lock).await?))
            }
            Step::ReadHolder(tenancy) => Answer::Holder(self.shell.runs.holder(&tenancy.holder).await?),
            Step::ReadOthers => Answer::Others(self.shell.runs.others(&pipeline, &me).await?),
            Step::ReadBaseline => {
                // With a reservation for the POST, which must not wait once the lock is taken.
                Answer::Baseline(self.session.prepare(self.lock_read).await.map_err(PassError::Nuvo)?)
            }
            Step::ReadCandidates => match self.session.sighting(&pipeline).await {
                Ok(sighting) => Answer::Candidates(Some(sighting.unwrap_or_else(Sighting::of_nothing))),
                Err(error) => {
                    tracing::info!(%error, "nuvo's executions cannot be listed, so nothing is concluded about the trigger in doubt");
                    Answer::Candidates(None)
                }
            },
            Step::TakeLock { lock, over } => written(self.shell.locks.write(&self.lock, &pipeline, lock, over.as_deref()).await?)?,
            Step::Release { lock, over } => written(self.shell.locks.write(&self.lock, &pipeline, lock, Some(over)).await?)?,
            Step::Mark { marker, over } => match self.shell.runs.mark(marker, over).await {
                Ok(object) => {
                    let version = object.metadata.resource_version.clone();
                    self.object = Arc::new(object);
                    written(version)?
                }
                Err(RunError::Call(error)) if error.is_not_found() => Answer::Missing,
                Err(error) => return Err(error.into()),
            },
            Step::Post(nonce) => {
                tracing::info!(%nonce, %pipeline, "triggering");
                let outcome = self.session.create(&pipeline, nonce).await;
                tracing::info!(%nonce, outcome = ?outcome, "triggered");
                self.shell.metrics.trigger(TriggerOutcome::from(&outcome));
                Answer::Posted(outcome)
            }
            Step::Record { trigger, executions, message, unexecuted, over } => {
                let status = nuvo_core::run::recorded(&self.object, trigger, executions, message, *unexecuted, now());
                if let Some(Unexecuted::RetryAfter(wait, obstacle)) = unexecuted {
                    self.retry_after = Some((*wait, *obstacle));
                }
                self.record(status, over).await?
            }
            Step::Hold(_) | Step::Follow | Step::Forget | Step::Again => Answer::Unsure,
        })
    }

    async fn record(&mut self, status: PipelineRunStatus, over: &str) -> Result<Answer, PassError> {
        self.shell.note_end(&self.object, &status);
        match self.shell.runs.write_status(&self.object, over, status).await {
            Ok(object) => {
                let version = object.metadata.resource_version.clone();
                self.recorded_over.get_or_insert_with(|| self.object.status.clone());
                self.object = Arc::new(object);
                written(version)
            }
            Err(error) if error.is_not_found() => Ok(Answer::Missing),
            Err(error) => Err(error.into()),
        }
    }
}

fn written(version: Option<String>) -> Result<Answer, PassError> {
    version.map(Answer::Written).ok_or(PassError::NoVersion)
}

const fn is_write(step: &Step) -> bool {
    matches!(step, Step::TakeLock { .. } | Step::Mark { .. } | Step::Record { .. } | Step::Release { .. })
}

/// The name of a step, for logs.
const fn name(step: &Step) -> &'static str {
    match step {
        Step::ReadRun => "read run",
        Step::ReadLock => "read lock",
        Step::ReadHolder(_) => "read holder",
        Step::ReadOthers => "read others",
        Step::ReadBaseline => "read baseline",
        Step::ReadCandidates => "read candidates",
        Step::TakeLock { .. } => "take lock",
        Step::Mark { .. } => "mark",
        Step::Post(_) => "post",
        Step::Record { .. } => "record",
        Step::Release { .. } => "release",
        Step::Hold(_) => "hold",
        Step::Follow => "follow",
        Step::Forget => "forget",
        Step::Again => "again",
    }
}

/// What to say about a session that is pausing.
#[must_use]
pub fn pause(session: &Session) -> Option<Gate> {
    session.paused().map(|pause| gate(&Error::Paused(pause)))
}

/// What an error of nuvo means for a run that is to be triggered.
#[must_use]
pub fn gate(error: &Error) -> Gate {
    match error.obstacle() {
        Obstacle::RateLimited => Gate::RateLimited(format!("{error}. The run is triggered after a pause.")),
        Obstacle::Unavailable => Gate::NuvoUnavailable(format!("{error}. The run is triggered when nuvo answers.")),
        Obstacle::Account => Gate::AccountNotReady(format!("{error}. The run is triggered when the account is ready.")),
        Obstacle::Operator => Gate::HeldOff(Obstacle::Operator),
    }
}

/// The time that is written into objects: whole seconds, as Kubernetes has it.
#[must_use]
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
