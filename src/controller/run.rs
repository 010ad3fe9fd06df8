//! The controller of runs: brings what the core decides, what the follower knows and the object's status together.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Resource,
    runtime::{controller::Action, reflector::ObjectRef},
};
use tokio::sync::SemaphorePermit;

use super::{
    account_registry::{AccountKey, AccountState},
    api_call::CallError,
    ended::{await_retry, expire, let_go, reopen},
    executor::{Ended, Pass, PassError, Passed, gate, nonce, pause},
    lock::lock_name,
    now,
    room::Place,
    run_cache::CachedRun,
    shell::Shell,
};
use crate::account::Session;
use crate::account::follower::Interest;
use crate::telemetry::RunResult;
use nuvo_client::Error;
use nuvo_core::backoff::Backoff;
use nuvo_core::run::{Answer, Fate, Following, Gate, Hearing, Hold, InvalidRun, Observed, Obstacle, Run, Situation, Step};
use nuvo_crds::{PipelineRun, PipelineRunStatus, conditions::Reason};

/// A wait for another run that is over sooner is not worth a write.
const PATIENT: Duration = Duration::from_secs(2);
/// A run that waits for another one is also looked at without being woken.
pub(super) const FALLBACK: Duration = Duration::from_secs(15);
/// A place in the line of an account that comes up sooner is not worth a write.
const SOON: Duration = Duration::from_secs(15);
/// A run that stands in line is also looked at without being called.
const UNCALLED: Duration = Duration::from_secs(300);
/// A run that waits for a server that does not answer is looked at no more often than this.
const UNAVAILABLE: Duration = Duration::from_secs(2);
/// A run whose deadline has passed is looked at this often until nuvo has said how far it is.
const LATE: Duration = Duration::from_secs(5);
/// The waits after a failure: doubled each time, from the first to the second.
const FAILURE: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
/// The waits while nuvo gives no list.
const NUVO_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// From this failure on, the status says so.
const SHOWN_FAILURES: u32 = 3;

/// The permission to work. Whoever waits for nuvo gives it up, so that others can.
pub type Slot<'a> = SemaphorePermit<'a>;

/// What happened to a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A pass of the protocol did not get through.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The status was not written.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A defect: the details are in the log.
    #[error("the reconcile panicked")]
    Panic,
}

/// Looks at one run.
///
/// # Errors
/// [`ReconcileError`]: it is tried again.
pub async fn reconcile(object: Arc<PipelineRun>, slot: Slot<'_>, shell: &Shell) -> Result<Action, ReconcileError> {
    let run = match nuvo_core::run::parse(&object) {
        Ok(run) => run,
        Err(error) => return refuse(&object, &error, shell).await,
    };
    let reopening = nuvo_core::run::reopening(&object, &run, now());
    if object.spec.execution_id.is_none() && reopening.is_none() && !nuvo_core::run::settled(&run) {
        return trigger(object, run, slot, shell).await;
    }
    shell.room.leave(&AccountKey::of(&object), &Place::of(&object));
    match reopening {
        _ if object.spec.execution_id.is_some() => observe(&object, &run, shell).await,
        Some(reopening) => reopen(&object, &run, reopening, slot, shell).await,
        None => follow(&object, &run, shell).await,
    }
}

/// The wait after a failed reconcile, and what the status says about it in the long run.
pub async fn after_failure(run: &CachedRun, error: &ReconcileError, shell: &Shell) -> Duration {
    if matches!(error, ReconcileError::Call(error) if error.is_conflict()) {
        // The cache was behind. What it was behind of is on its way, and is looked at when it comes.
        return FALLBACK;
    }
    let failures = shell.memories.failed(run.meta().uid.as_deref().unwrap_or_default());
    let wait = FAILURE.wait(failures.saturating_sub(1));
    tracing::warn!(%error, failures, "the reconcile failed");
    let Some(object) = run.whole() else { return wait };
    // A write would change the version that a held lock speaks of.
    let free = match error {
        ReconcileError::Pass(PassError::Unmarked { held, .. }) => !held,
        ReconcileError::Pass(PassError::Lock(_)) => {
            nuvo_core::run::parse(object).is_ok_and(|run| run.marker.is_none() && run.trigger.is_none() && !run.ended)
        }
        _ => false,
    };
    if failures >= SHOWN_FAILURES
        && free
        && let Ok(run) = nuvo_core::run::parse(object)
    {
        let message = format!("The operator cannot go on: {error}. Grant it what it lacks, or mend what refuses; it keeps trying.");
        if let Err(error) = show(object, &run, &Situation::Because(Reason::Pending, message), shell).await {
            tracing::debug!(%error, "the failure cannot be shown");
        }
    }
    wait
}

/// An object that the schema would not have let through.
async fn refuse(object: &PipelineRun, error: &InvalidRun, shell: &Shell) -> Result<Action, ReconcileError> {
    tracing::warn!(%error, "not a run");
    let message = format!("The object cannot be carried out: {error}. Create a corrected PipelineRun.");
    let status = nuvo_core::run::refused(object, message, now());
    if write(object, status, shell).await? {
        return Ok(Action::await_change());
    }
    Ok(expire(object, shell).await?.map_or_else(Action::await_change, Action::requeue))
}

/// A run that follows an execution which was there before: nothing is ever triggered.
async fn observe(object: &PipelineRun, run: &Run, shell: &Shell) -> Result<Action, ReconcileError> {
    let begun = object.status.as_ref().is_some_and(|status| status.trigger.is_some());
    if begun || run.ended {
        return follow(object, run, shell).await;
    }
    match shell.accounts.state(&AccountKey::of(object)) {
        AccountState::Unknown => Ok(Action::await_change()),
        AccountState::Ready(_) if !run.suspended => follow(object, run, shell).await,
        AccountState::Ready(_) => show(object, run, &nuvo_core::run::without_account(run, ""), shell).await,
        AccountState::NotReady(why) => show(object, run, &nuvo_core::run::without_account(run, &why), shell).await,
    }
}

/// Shows why a run is not triggered yet.
///
/// After a crash between W1 and W2 the pipeline's lock speaks of the present version of the run. Then only an event says it, because a
/// write to the run would make a doubt of a trigger that can still go on. The lock is read only when there is something new to say.
async fn explain(object: &PipelineRun, run: &Run, situation: &Situation, shell: &Shell) -> Result<(), ReconcileError> {
    let status = nuvo_core::run::project(object, run, situation, &nuvo_core::run::Knowledge::new(), now());
    if object.status.as_ref() == Some(&status) {
        return Ok(());
    }
    if let Some(origin) = shell.origin(&AccountKey::of(object)) {
        let read = shell.locks.read(&lock_name(&origin, &run.pipeline)).await.map_err(PassError::from)?;
        if nuvo_core::run::resumable(run, &read.lock) {
            tracing::info!("it waits, and goes on under the lock that it holds");
            for notice in nuvo_core::run::notices(object.status.as_ref(), &status) {
                shell.events.publish(object, notice).await;
            }
            return Ok(());
        }
    }
    write(object, status, shell).await.map(|_| ())
}

async fn show(object: &PipelineRun, run: &Run, situation: &Situation, shell: &Shell) -> Result<Action, ReconcileError> {
    let status = nuvo_core::run::project(object, run, situation, &nuvo_core::run::Knowledge::new(), now());
    write(object, status, shell).await?;
    Ok(Action::await_change())
}

/// A run whose trigger is settled: its status follows from what nuvo says of its executions.
async fn follow(object: &PipelineRun, run: &Run, shell: &Shell) -> Result<Action, ReconcileError> {
    let reference = ObjectRef::from_obj(object);
    let account = AccountKey::of(object);
    let follower = shell.accounts.follower(&account);
    let following = match shell.accounts.state(&account) {
        AccountState::Ready(_) => Following::Active,
        AccountState::Unknown => Following::Undecided,
        AccountState::NotReady(why) => Following::Halted(why),
    };
    let executions = nuvo_core::run::followed(object, run);
    if object.status.as_ref().is_some_and(nuvo_core::run::awaits_retry) {
        return await_retry(object, run, shell).await;
    }
    let known = follower.as_ref().map(|follower| follower.knowledge(&run.pipeline, &executions)).unwrap_or_default();
    let late = nuvo_core::run::deadline(object, now()).is_some_and(|left| left.is_zero());
    let hearing = Hearing {
        asked: follower.as_ref().and_then(|follower| follower.asked(&run.pipeline, &executions)).and_then(|at| ago(at.elapsed())),
        waited: shell.memories.overdue(run.me.uid.as_str(), late),
        patience: shell.limits.quarantine,
        developer_mode: follower.as_ref().is_some_and(|follower| follower.developer_mode(&run.pipeline, &executions)),
    };
    let status = nuvo_core::run::project(object, run, &Situation::Settled(following, hearing), &known, now());
    let expected = object.spec.execution_id.is_none() || !status.executions.is_empty();
    let ended = status.completion_time.is_some();
    let left = nuvo_core::run::deadline_left(&status, object, now());
    let watched = nuvo_core::run::watched(object, &status, now());
    let repairable = nuvo_core::run::repairable(&status);
    let since =
        |time: Option<&Time>| time.map_or(Duration::ZERO, |time| Duration::try_from(now().duration_since(time.0)).unwrap_or_default());
    let (age, ended_for) = (since(status.start_time.as_ref()), since(status.completion_time.as_ref()));
    let another_attempt = nuvo_core::run::awaits_retry(&status);
    let written = write(object, status, shell).await?;
    let ours = run.trigger.as_ref().is_some_and(|trigger| trigger.fate == Fate::Accepted(nuvo_core::run::Evidence::Answer));
    let interest = Interest { run: reference, pipeline: run.pipeline.clone(), executions, age, ours, expected, late, ended_for: None };
    // A run that is being deleted may stay for long, because of somebody else's finalizer: it is followed until it is gone.
    if ended || another_attempt {
        if let Some(follower) = &follower {
            match watched {
                Some(_) => follower.follow(&Interest { executions: repairable, ended_for: Some(ended_for), late: false, ..interest }),
                None => follower.forget(&interest.run),
            }
        }
        let_go(&account, run, shell).await?;
        let expiry = if written { None } else { expire(object, shell).await? };
        shell.memories.forget(run.me.uid.as_str());
        return Ok([watched, expiry].into_iter().flatten().min().map_or_else(Action::await_change, Action::requeue));
    }
    if let Some(follower) = &follower {
        follower.follow(&interest);
    }
    if late {
        return Ok(Action::requeue(LATE));
    }
    Ok(left.map_or_else(Action::await_change, |left| Action::requeue(left.saturating_add(Duration::from_millis(100)))))
}

/// The time of day this long ago.
fn ago(age: Duration) -> Option<Timestamp> {
    Timestamp::now().checked_sub(age).ok()
}

/// One pass of the trigger protocol.
async fn trigger(object: Arc<PipelineRun>, run: Run, slot: Slot<'_>, shell: &Shell) -> Result<Action, ReconcileError> {
    let key = AccountKey::of(&object);
    let session = match shell.accounts.state(&key) {
        AccountState::Ready(session) => session,
        AccountState::Unknown => return Ok(Action::await_change()),
        AccountState::NotReady(_) if shell.shutdown.is_begun() || run.deleting => return Ok(Action::await_change()),
        AccountState::NotReady(why) => return without_account(&object, &run, &why, shell).await,
    };
    let uid = run.me.uid.to_string();
    let reference = ObjectRef::from_obj(&*object);
    // The older one may be waiting for the lock that this one took before a crash.
    let older = if shell.memories.is_awaited(&uid) { None } else { shell.runs.older(&object, &run.pipeline) };
    let gate = || {
        if shell.shutdown.is_begun() {
            return Gate::Draining;
        }
        if let Some(gate) = pause(&session) {
            return gate;
        }
        if let Some((_, obstacle)) = shell.memories.held_off(&uid) {
            return Gate::HeldOff(obstacle);
        }
        older.clone().map_or(Gate::Open, Gate::BehindOlder)
    };
    let (memory, place) = (shell.memories.get(&uid), Place::of(&object));
    // One that only waits asks nuvo nothing.
    let seat = if gate() == Gate::Open || run.own_marker().is_some() || memory.inquiry.is_some() {
        match shell.room.enter(&key, seats(&session), &place) {
            Ok(seat) => Some(seat),
            Err(before) => return stand_in_line(&object, &run, before, &session, shell).await,
        }
    } else {
        shell.room.leave(&key, &place);
        None
    };
    let pipeline = run.pipeline.clone();
    let pass = Pass::new(shell, session.clone(), slot, object, run, memory, &gate)?;
    if older.is_none() {
        shell.waiting.add(&pipeline, reference.clone());
    }
    let passed = pass.run().await;
    drop(seat);
    if matches!(&passed, Ok(Passed { ended: Ended::Hold(Hold::PipelineBusy(..)), .. })) {
        shell.waiting.add(&pipeline, reference.clone());
    } else {
        shell.waiting.remove(&pipeline, &reference);
    }
    let passed = match passed {
        Ok(passed) => passed,
        Err(PassError::Nuvo(error)) => return wait_for_nuvo(&reference, &error, shell).await,
        Err(error) => return Err(error.into()),
    };
    shell.memories.set(&uid, passed.memory);
    let retry_after = match passed.retry_after {
        // The session pauses; when the account has another one, the run is woken, and nothing shall hold it off then.
        Some((_, Obstacle::Account)) => FALLBACK,
        Some((wait, obstacle)) => {
            shell.memories.hold_off(&uid, wait, obstacle);
            wait
        }
        None => Duration::ZERO,
    };
    let object = passed.object;
    if let Some(before) = &passed.recorded_over
        && let Some(after) = &object.status
    {
        shell.announce(&object, before.as_ref(), after).await;
    }
    let run = nuvo_core::run::parse(&object).map_err(PassError::from)?;
    if !matches!(&passed.ended, Ended::Hold(Hold::PipelineBusy(..) | Hold::Gate(Gate::BehindOlder(_)))) {
        shell.memories.moved_on(&uid);
        // Whatever this pass did, those who wait for the lock may find it free.
        shell.wake_waiting(&run.pipeline);
    }
    if !matches!(passed.ended, Ended::Again) {
        shell.memories.succeeded(&uid);
    }
    match passed.ended {
        Ended::Follow if nuvo_core::run::settled(&run) => follow(&object, &run, shell).await,
        Ended::Follow => Ok(Action::requeue(retry_after)),
        Ended::Forget => {
            shell.memories.forget(&uid);
            Ok(Action::await_change())
        }
        Ended::Again => Ok(Action::requeue(FAILURE.wait(shell.memories.failed(&uid).saturating_sub(1)))),
        Ended::Hold(hold) => wait(&object, &run, &hold, &session, shell).await,
    }
}

/// How many runs of an account may work on their triggers at once: as many as its budget lets through in two seconds, and of a small one not
/// so many that the look which they share is too old when the last of them gets its turn.
fn seats(session: &Session) -> usize {
    let rate = Duration::try_from_secs_f64(session.rate()).unwrap_or_default().as_secs();
    usize::try_from(rate.saturating_mul(2)).unwrap_or(usize::MAX).max(4)
}

/// A run waits for those of its account that are older. It is called.
async fn stand_in_line(object: &PipelineRun, run: &Run, before: usize, session: &Session, shell: &Shell) -> Result<Action, ReconcileError> {
    let before = f64::from(u32::try_from(before).unwrap_or(u32::MAX));
    if before / session.rate() > SOON.as_secs_f64() {
        explain(object, run, &nuvo_core::run::in_line(run), shell).await?;
    }
    Ok(Action::requeue(until_deadline(object).map_or(UNCALLED, |left| left.min(UNCALLED))))
}

/// While its account is away, a run waits; one whose trigger is in doubt waits until its deadline at most.
async fn without_account(object: &PipelineRun, run: &Run, why: &str, shell: &Shell) -> Result<Action, ReconcileError> {
    let uid = run.me.uid.as_str();
    let gate = Gate::AccountNotReady(why.to_owned());
    let mut observed = Observed::new(run.clone(), shell.memories.get(uid), shell.limits, shell.uptime(), gate, nonce()?);
    observed.deadline = nuvo_core::run::deadline(object, now());
    // The cache is good enough here: what is written is written over this very version of the run.
    observed.learn(&Step::ReadRun, Answer::Run(Some(Box::new(run.clone()))));
    let mut step = nuvo_core::run::next(&observed);
    if step == Step::ReadLock
        && let Some(origin) = shell.origin(&AccountKey::of(object))
    {
        let read = shell.locks.read(&lock_name(&origin, &run.pipeline)).await.map_err(PassError::from)?;
        observed.learn(&step, Answer::Lock(Box::new(read)));
        step = nuvo_core::run::next(&observed);
    }
    shell.memories.set(uid, nuvo_core::run::remember(&observed, &step));
    if let Step::Hold(Hold::Overdue) = step
        && let Some(situation) = nuvo_core::run::waiting(run, &Hold::Overdue)
    {
        return show(object, run, &situation, shell).await;
    }
    if let Step::Record { trigger, executions, message, unexecuted, .. } = &step {
        write(object, nuvo_core::run::recorded(object, trigger, executions, message, *unexecuted, now()), shell).await?;
        return Ok(Action::await_change());
    }
    explain(object, run, &nuvo_core::run::without_account(run, why), shell).await?;
    let again = if let Step::Hold(Hold::Unconfirmed(left)) = step { Some(left) } else { until_deadline(object) };
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Shows why a run waits, and says when it is looked at again at the latest.
async fn wait(object: &PipelineRun, run: &Run, hold: &Hold, session: &Session, shell: &Shell) -> Result<Action, ReconcileError> {
    let uid = run.me.uid.as_str();
    let requeue = match hold {
        // Also while it holds the lock: a run that has ended goes on under none.
        Hold::Overdue => {
            if let Some(situation) = nuvo_core::run::waiting(run, hold) {
                show(object, run, &situation, shell).await?;
            }
            return Ok(Action::await_change());
        }
        Hold::Suspended | Hold::Lost | Hold::Gate(Gate::Open | Gate::Draining) => None,
        Hold::Gate(Gate::AccountNotReady(_)) => Some(FALLBACK),
        Hold::Gate(Gate::NuvoUnavailable(_) | Gate::RateLimited(_) | Gate::HeldOff(_)) => {
            let held_off = shell.memories.held_off(uid).map(|(left, _)| left);
            let left = session.paused().map(|pause| pause.left).max(held_off).unwrap_or_default();
            // While one request finds out whether nuvo is back, all others would ask again and again.
            let least = if matches!(hold, Hold::Gate(Gate::NuvoUnavailable(_))) { UNAVAILABLE } else { Duration::from_millis(100) };
            Some(left.max(least))
        }
        Hold::Gate(Gate::BehindOlder(_)) | Hold::PipelineBusy(..) => {
            if let Hold::PipelineBusy(tenancy, _) = hold {
                shell.wake_lock_holder(&tenancy.holder);
            }
            let waited = shell.memories.waited(uid);
            if waited < PATIENT && object.status.as_ref().and_then(nuvo_core::run::reason) != Some(Reason::PipelineBusy) {
                return Ok(Action::requeue(PATIENT.saturating_sub(waited)));
            }
            let left = if let Hold::PipelineBusy(_, Some(left)) = hold { *left } else { FALLBACK };
            Some(left.clamp(Duration::from_millis(500), FALLBACK))
        }
        Hold::Unconfirmed(left) => Some((*left).max(Duration::from_millis(100))),
    };
    if let Some(situation) = nuvo_core::run::waiting(run, hold) {
        explain(object, run, &situation, shell).await?;
    }
    Ok([requeue, until_deadline(object)].into_iter().flatten().min().map_or_else(Action::await_change, Action::requeue))
}

/// A later attempt that waits is not made after the deadline, which has to be noticed.
fn until_deadline(object: &PipelineRun) -> Option<Duration> {
    nuvo_core::run::deadline(object, now()).filter(|left| !left.is_zero())
}

/// Without a list of nuvo no trigger starts.
async fn wait_for_nuvo(reference: &ObjectRef<PipelineRun>, error: &Error, shell: &Shell) -> Result<Action, ReconcileError> {
    tracing::info!(%error, "no trigger without a list of nuvo's executions");
    let Some(object) = shell.runs.get(reference) else { return Ok(Action::await_change()) };
    let run = nuvo_core::run::parse(&object).map_err(PassError::from)?;
    let wait = match error {
        Error::Stopping => return Ok(Action::await_change()),
        Error::Paused(pause) => pause.left,
        _ => {
            let failures = shell.memories.failed(run.me.uid.as_str());
            NUVO_BACKOFF.wait(failures.saturating_sub(1))
        }
    };
    if let Some(situation) = nuvo_core::run::waiting(&run, &Hold::Gate(gate(error))) {
        explain(&object, &run, &situation, shell).await?;
    }
    Ok(Action::requeue(wait))
}

fn words(status: &PipelineRunStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    for condition in &status.conditions {
        (&condition.reason, &condition.message).hash(&mut hasher);
    }
    hasher.finish()
}

/// Writes a status if it says something new, and tells people and metrics. Whether it was written: then the cache will bring the object back.
pub(super) async fn write(object: &PipelineRun, status: PipelineRunStatus, shell: &Shell) -> Result<bool, ReconcileError> {
    if object.status.as_ref() == Some(&status) {
        return Ok(false);
    }
    let (over, uid) = (object.metadata.resource_version.clone().unwrap_or_default(), object.metadata.uid.clone().unwrap_or_default());
    let words = words(&status);
    // Another operator that works on the same runs by mistake may see nuvo otherwise: they would go on to correct each other.
    if object.status.as_ref().is_some_and(|present| nuvo_core::run::same_but_for_words(present, &status))
        && shell.memories.has_said(&uid, words)
    {
        return Ok(false);
    }
    shell.note_end(object, &status);
    match shell.runs.write_status(object, &over, status.clone()).await {
        Ok(_) => {
            shell.memories.say(&uid, words);
            shell.announce(object, object.status.as_ref(), &status).await;
            Ok(true)
        }
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The word of OpenTelemetry for how a run ended.
#[must_use]
pub const fn result(reason: Reason) -> RunResult {
    match reason {
        Reason::Succeeded | Reason::FixedInNuvo => RunResult::Success,
        Reason::NothingToProcess | Reason::NothingToProcessFailed => RunResult::Skip,
        Reason::ExecutionFailed | Reason::QualityGateFailed => RunResult::Failure,
        Reason::DeadlineExceeded => RunResult::Timeout,
        _ => RunResult::Error,
    }
}
