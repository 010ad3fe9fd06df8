//! Waiting for the end of runs.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use super::{End, PluginError, args::WaitArgs, place::Place, progress::Progress};
use nuvo_core::run::reason;
use nuvo_crds::{Phase, PipelineRun};

/// Waits for runs; the worst result counts.
///
/// # Errors
/// [`PluginError`].
pub async fn wait(place: &Place, args: &WaitArgs) -> Result<End, PluginError> {
    let all = async {
        let mut worst = End::Done;
        for name in &args.names {
            let run = place.run(name).await?;
            let end = until_ended(place, &run, None).await?;
            worst = if end.code() > worst.code() { end } else { worst };
        }
        Ok(worst)
    };
    within(args.timeout, all).await
}

/// The same, or [`End::TimedOut`].
///
/// # Errors
/// Those of the work.
pub async fn within(timeout: Option<Duration>, work: impl Future<Output = Result<End, PluginError>>) -> Result<End, PluginError> {
    match timeout {
        None => work.await,
        Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            eprintln!("The time to wait is over ({} s); the run goes on.", timeout.as_secs());
            Ok(End::TimedOut)
        }),
    }
}

/// Shows the progress of this very object until it has ended. `token`: not before it has acted on this `spec.rerunToken`.
///
/// # Errors
/// [`PluginError::Deleted`], [`PluginError::Api`].
pub async fn until_ended(place: &Place, run: &PipelineRun, token: Option<&str>) -> Result<End, PluginError> {
    let (name, uid) = (run.name_any(), run.uid());
    let mut progress = Progress::new();
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(place.runs(), config).default_backoff().boxed();
    let mut listed = false;
    // A watch that breaks begins again by itself.
    while let Some(event) = events.next().await {
        let seen = match event {
            Ok(watcher::Event::Apply(run) | watcher::Event::InitApply(run)) => Some(run),
            Ok(watcher::Event::Init) => {
                listed = false;
                None
            }
            Ok(watcher::Event::InitDone) if !listed => return Err(gone(&progress, name)),
            Ok(watcher::Event::Delete(run)) if run.uid() == uid => return Err(gone(&progress, name)),
            Ok(_) => None,
            Err(error) => {
                if let Some(error) = refusal(error) {
                    progress.end();
                    return Err(PluginError::api(format!("PipelineRun {name} cannot be watched"))(error));
                }
                None
            }
        };
        let Some(run) = seen.filter(|run| run.uid() == uid) else { continue };
        listed = true;
        progress.show(&run, Timestamp::now())?;
        if let Some(end) = ended(&run, token) {
            progress.end();
            return Ok(end);
        }
    }
    progress.end();
    Err(PluginError::Deleted(name))
}

fn gone(progress: &Progress, name: String) -> PluginError {
    progress.end();
    PluginError::Deleted(name)
}

/// What the API server refuses will be refused again.
fn refusal(error: watcher::Error) -> Option<kube::Error> {
    let refused = |status: &kube::core::Status| matches!(status.code, 401 | 403 | 404);
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if refused(&status) =>
        {
            Some(kube::Error::Api(status))
        }
        _ => None,
    }
}

/// How it ended; none while it has not.
fn ended(run: &PipelineRun, token: Option<&str>) -> Option<End> {
    let status = run.status.as_ref()?;
    if status.observed_generation != run.metadata.generation || (token.is_some() && status.series.rerun_token.as_deref() != token) {
        return None;
    }
    let reason = reason(status).filter(|reason| reason.is_final())?;
    Some(match (reason.status(), status.phase) {
        (nuvo_crds::conditions::ConditionStatus::True, _) => End::Done,
        (_, Some(Phase::Unresolved)) => End::Unresolved,
        _ => End::Failed,
    })
}
