//! After an attempt: what is left to do for a run that has ended, and what makes it go on.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{
    core::ObjectMeta,
    runtime::{controller::Action, reflector::ObjectRef},
};

use super::{
    account_registry::{AccountKey, AccountState},
    executor::PassError,
    lock::{LockError, lock_name},
    now,
    run::{FALLBACK, ReconcileError, Slot, write},
    shell::Shell,
};
use crate::account::Session;
use nuvo_client::Error;
use nuvo_core::run::{Following, Hearing, Reopening, Run, RunRef, Situation, Step, Trigger};
use nuvo_crds::PipelineRun;

/// The attempt has failed, and the next one is waited for. nuvo is not asked meanwhile; what the spec says of it may change.
pub(super) async fn await_retry(object: &PipelineRun, run: &Run, shell: &Shell) -> Result<Action, ReconcileError> {
    let situation = Situation::Settled(Following::Undecided, Hearing::default());
    let status = nuvo_core::run::project(object, run, &situation, &nuvo_core::run::Knowledge::new(), now());
    let next = status.retry.as_ref().and_then(|retry| retry.next_time.as_ref()).map(|time| left_until(time.0));
    write(object, status, shell).await?;
    Ok(next.filter(|_| !run.deleting).map_or_else(Action::await_change, Action::requeue))
}

/// The time until then.
#[must_use]
pub fn left_until(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Deletes a run that has expired. Otherwise, the time until it does; none if it does not.
pub(super) async fn expire(object: &PipelineRun, shell: &Shell) -> Result<Option<Duration>, ReconcileError> {
    let Some(due) = nuvo_core::run::expires(object) else { return Ok(None) };
    if now() < due {
        return Ok(Some(left_until(due)));
    }
    let metadata = &object.metadata;
    let (Ok(uid), Some(namespace), Some(name), Some(version)) = (
        nuvo_core::run::Uid::new(metadata.uid.clone().unwrap_or_default()),
        metadata.namespace.clone(),
        metadata.name.clone(),
        metadata.resource_version.as_deref(),
    ) else {
        return Ok(None);
    };
    // Nobody could do it afterwards, and the next run of the pipeline would wait for the quarantine.
    if let Ok(run) = nuvo_core::run::parse(object) {
        match release(&AccountKey::of(object), &run, shell).await {
            Err(error) if !error.is_refused() => return Err(PassError::from(error).into()),
            Err(_) | Ok(()) => {}
        }
    }
    match shell.runs.delete(&RunRef { uid, namespace, name }, version).await {
        Ok(()) => tracing::info!("deleted (spec.ttlSecondsAfterFinished)"),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

/// Gives back the lock of a run that ended, if it has not been given back since.
pub(super) async fn let_go(account: &AccountKey, run: &Run, shell: &Shell) -> Result<(), ReconcileError> {
    let uid = run.me.uid.as_str();
    if shell.memories.owes(uid) {
        match release(account, run, shell).await {
            Err(error) if !error.is_refused() => return Err(PassError::from(error).into()),
            Err(error) => tracing::warn!(%error, "the lock is not given back; the next run of the pipeline takes it over"),
            Ok(()) => {}
        }
    }
    shell.memories.paid(uid);
    Ok(())
}

/// A run is at rest, but its lock was not given back at its end, or it may have expired. The cache does not have what that takes any more.
///
/// # Errors
/// [`ReconcileError`]: it is tried again.
pub async fn settle_up(metadata: &ObjectMeta, shell: &Shell) -> Result<Action, ReconcileError> {
    let uid = metadata.uid.clone().unwrap_or_default();
    let (Ok(known), Some(namespace), Some(name)) =
        (nuvo_core::run::Uid::new(uid.clone()), metadata.namespace.clone(), metadata.name.clone())
    else {
        shell.memories.forget(&uid);
        return Ok(Action::await_change());
    };
    let Some(object) = shell.runs.read(&RunRef { uid: known, namespace, name }).await? else {
        shell.memories.forget(&uid);
        return Ok(Action::await_change());
    };
    let run = nuvo_core::run::parse(&object).map_err(PassError::from)?;
    if !run.ended {
        // It goes on again. The cache will know.
        return Ok(Action::await_change());
    }
    let_go(&AccountKey::of(&object), &run, shell).await?;
    if !nuvo_core::run::at_rest(&object, now()) {
        // A person has something else in mind. The cache will know.
        return Ok(Action::await_change());
    }
    let expiry = expire(&object, shell).await?;
    shell.memories.forget(&uid);
    Ok(expiry.map_or_else(Action::await_change, Action::requeue))
}

/// A run that ended goes on: by a new token, a person's answer, or its policy.
pub(super) async fn reopen(
    object: &PipelineRun,
    run: &Run,
    reopening: Reopening,
    slot: Slot<'_>,
    shell: &Shell,
) -> Result<Action, ReconcileError> {
    match reopening {
        Reopening::Attempt(attempt) => open(object, attempt, false, shell).await,
        Reopening::Retry(attempt) => open(object, attempt, true, shell).await,
        Reopening::Adopt(trigger, executions) => {
            let session = match shell.accounts.state(&AccountKey::of(object)) {
                AccountState::Ready(session) => session,
                AccountState::Unknown | AccountState::NotReady(_) => return Ok(Action::requeue(FALLBACK)),
            };
            drop(slot);
            adopt(object, run, &trigger, &executions, &session, shell).await
        }
    }
}

async fn open(object: &PipelineRun, attempt: i32, retry: bool, shell: &Shell) -> Result<Action, ReconcileError> {
    tracing::info!(attempt, retry, "another attempt begins");
    if let Some(follower) = shell.accounts.follower(&AccountKey::of(object)) {
        follower.forget(&ObjectRef::from_obj(object));
    }
    write(object, nuvo_core::run::opened(object, attempt, retry, now()), shell).await?;
    Ok(Action::await_change())
}

/// A person names the executions. They are taken if nuvo says that they belong to the pipeline.
async fn adopt(
    object: &PipelineRun,
    run: &Run,
    trigger: &Trigger,
    executions: &[nuvo_core::run::ExecutionId],
    session: &Session,
    shell: &Shell,
) -> Result<Action, ReconcileError> {
    for id in executions {
        let why = match session.read(id).await {
            Ok(execution) if execution.pipeline.as_deref() == Some(run.pipeline.as_str()) => continue,
            Ok(_) => format!("Execution {id} does not belong to pipeline {}; nothing was changed.", run.pipeline),
            Err(Error::NotFound) => format!("nuvo does not know execution {id}; nothing was changed."),
            Err(error) => {
                tracing::info!(%error, execution = %id, "the named execution cannot be read yet");
                let wait = if let Error::Paused(pause) = error { pause.left } else { FALLBACK };
                return Ok(Action::requeue(wait));
            }
        };
        write(object, nuvo_core::run::noted(object, run, &why, now()), shell).await?;
        return Ok(Action::await_change());
    }
    let message = "A person has named the executions (nuvo.dev/resolve: adopt).";
    write(object, nuvo_core::run::recorded(object, trigger, executions, message, None, now()), shell).await?;
    Ok(Action::await_change())
}

/// Gives the pipeline's lock back, if the run holds it and nothing can come of its trigger any more.
///
/// # Errors
/// [`LockError`]: whether it was given back is not known.
pub async fn release(account: &AccountKey, run: &Run, shell: &Shell) -> Result<(), LockError> {
    let Some(tenure) = run.own_marker().map(|marker| marker.tenure.clone()) else { return Ok(()) };
    // Without the account nobody knows which lock it is.
    let Some(origin) = shell.origin(account) else { return Ok(()) };
    let name = lock_name(&origin, &run.pipeline);
    let read = shell.locks.read(&name).await?;
    if let Some(Step::Release { lock, over }) = nuvo_core::run::release(run, &tenure, &read) {
        shell.locks.write(&name, &run.pipeline, &lock, Some(&over)).await?;
    }
    shell.wake_waiting(&run.pipeline);
    Ok(())
}
