//! Locks that are not used any more: they are deleted, or given back if their holder could not do so. A look at all of them, seldom.

use std::{collections::HashSet, time::Duration};

use nuvo_core::run::{Disposal, LockHolder, LockName, LockRead, Remembered, Retention, Step, disposal, parse, release, settled};
use tokio::time::sleep;

use super::{
    api_call::CallError,
    lock_store::{LockError, StoredLock},
    shell::Shell,
};
use crate::account::driver::object_ref;

/// The time between two looks.
const PERIOD: Duration = Duration::from_secs(3_600);
/// A look waits for the caches, which save it most of its reads, but not without end: a namespace may not be readable.
const CACHE_PATIENCE: Duration = Duration::from_secs(60);
/// How often it is seen whether the caches are filled.
const CACHE_CHECK: Duration = Duration::from_secs(1);
/// How many locks one look deletes or gives back at most. The next look goes on.
const MOST: usize = 1_000;
/// A lock of a run that has ended is left to that run's own process for so long.
const OWN_RELEASE: Duration = Duration::from_secs(600);
/// How long a lock under which nothing was started is kept.
const BLANK_RETENTION: Duration = Duration::from_secs(3_600);

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    /// The locks cannot be listed, deleted or written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The runs cannot be read.
    #[error(transparent)]
    Runs(#[from] CallError),
}

/// Looks at all locks, again and again, until the end of the term.
pub(super) async fn sweep_locks(shell: &Shell) {
    let mut waited = Duration::ZERO;
    while !shell.runs.is_indexed() && waited < CACHE_PATIENCE {
        sleep(CACHE_CHECK).await;
        waited = waited.saturating_add(CACHE_CHECK);
    }
    loop {
        if shell.term.is_begun() {
            return std::future::pending().await;
        }
        if let Err(error) = sweep(shell).await {
            tracing::warn!(%error, "the unused locks were not all looked at; the next look follows in an hour");
        }
        sleep(PERIOD).await;
    }
}

async fn sweep(shell: &Shell) -> Result<(), SweepError> {
    let retention = Retention { blank: BLANK_RETENTION, used: shell.lock_retention };
    let cached = shell.runs.uids();
    let (mut count, mut done) = (0_usize, 0_usize);
    let mut doubtful: Vec<(StoredLock, Vec<Remembered>)> = Vec::new();
    let mut next = None;
    loop {
        let (locks, token) = shell.locks.page(next.as_deref()).await?;
        for (lock, read) in locks {
            count = count.saturating_add(1);
            let Some(read) = read.ok().filter(|_| done.saturating_add(doubtful.len()) < MOST && !shell.term.is_begun()) else { continue };
            let may_be_gone = |run: &Remembered| !cached.contains(run.uid.as_str()) && shell.runs.is_watched(run.namespace.as_deref());
            let is_done = match disposal(&read, &shell.limits, &retention) {
                Disposal::Yes => delete(shell, &lock, &mut count).await?,
                Disposal::UnlessOneExists(runs) if runs.iter().all(may_be_gone) => {
                    doubtful.push((lock, runs));
                    continue;
                }
                Disposal::UnlessOneExists(_) | Disposal::No => give_back(shell, &lock.name, &read).await?,
            };
            done = done.saturating_add(usize::from(is_done));
        }
        match token {
            Some(token) => next = Some(token),
            None => break,
        }
    }
    for lock in without_runs(shell, doubtful).await? {
        if shell.term.is_begun() {
            break;
        }
        delete(shell, &lock, &mut count).await?;
    }
    shell.metrics.locks(count);
    Ok(())
}

/// The locks of whose runs none exists, by a read of the API server.
async fn without_runs(shell: &Shell, doubtful: Vec<(StoredLock, Vec<Remembered>)>) -> Result<Vec<StoredLock>, CallError> {
    let wanted: HashSet<&str> = doubtful.iter().flat_map(|(_, runs)| runs).map(|run| run.uid.as_str()).collect();
    if doubtful.is_empty() {
        return Ok(Vec::new());
    }
    let existing = shell.runs.which_exist(&wanted).await?;
    let is_gone = |run: &Remembered| existing.covers(run.namespace.as_deref()) && !existing.uids.contains(run.uid.as_str());
    let gone = doubtful.iter().map(|(_, runs)| runs.iter().all(is_gone)).collect::<Vec<_>>();
    Ok(doubtful.into_iter().zip(gone).filter_map(|((lock, _), is_gone)| is_gone.then_some(lock)).collect())
}

async fn delete(shell: &Shell, lock: &StoredLock, count: &mut usize) -> Result<bool, LockError> {
    let is_deleted = shell.locks.delete(lock).await?;
    if is_deleted {
        tracing::info!(lock = lock.name, pipeline = lock.pipeline, "deleted a lock that is not used any more");
        *count = count.saturating_sub(1);
    }
    Ok(is_deleted)
}

/// Gives the lock back that a run still holds though nothing can come of its trigger any more: its process died before it could.
async fn give_back(shell: &Shell, name: &str, read: &LockRead) -> Result<bool, SweepError> {
    let Some(LockHolder { run: holder, .. }) = &read.lock.holder else { return Ok(false) };
    if read.certain_age(&shell.limits) < OWN_RELEASE {
        return Ok(false);
    }
    if shell.runs.is_active(&object_ref(holder)) {
        // An operator that does not watch this run cannot tell it that another one waits.
        if let Ok(lock) = LockName::new(name) {
            shell.wake_lock_holder(holder, lock);
        }
        return Ok(false);
    }
    let object = match shell.runs.read(holder).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(false),
        Err(error) if error.is_forbidden() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let Ok(run) = parse(&object) else { return Ok(false) };
    let Some(marker) = run.own_marker().filter(|_| settled(&run)) else { return Ok(false) };
    let Some(Step::Release { lock, over }) = release(&run, &marker.acquisition, read) else { return Ok(false) };
    match shell.locks.write(name, &run.pipeline, &lock, Some(&over)).await {
        Ok(_) => {
            tracing::info!(lock = name, run = %format!("{}/{}", holder.namespace, holder.name), "gave the lock of an ended run back");
            shell.wake_lock_waiters(&run.pipeline);
            Ok(true)
        }
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
