//! `kubectl nuvo wait`: waits until runs have ended.

use std::time::Duration;

use futures::StreamExt;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use nuvo_core::run::reason;
use nuvo_crds::{Phase, PipelineRun, conditions::ConditionStatus};

use super::{args::WaitArgs, cluster_context::ClusterContext, error::PluginError, exit_status::ExitStatus, progress::Progress};

/// Waits for runs, one after the other. Returns the result with the highest exit code.
///
/// # Errors
/// [`PluginError`].
pub async fn wait(context: &ClusterContext, args: &WaitArgs) -> Result<ExitStatus, PluginError> {
    let all = async {
        let mut worst = ExitStatus::Success;
        for name in &args.names {
            let run = context.run(name).await?;
            let status = until_ended(context, &run, None).await?;
            worst = if status.code() > worst.code() { status } else { worst };
        }
        Ok(worst)
    };
    with_timeout(args.timeout, all).await
}

/// Runs `work`, at most for this time; then returns [`ExitStatus::TimedOut`].
///
/// # Errors
/// Those of the work.
pub async fn with_timeout(
    timeout: Option<Duration>,
    work: impl Future<Output = Result<ExitStatus, PluginError>>,
) -> Result<ExitStatus, PluginError> {
    match timeout {
        None => work.await,
        Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            eprintln!("Timed out after {} s; the run continues.", timeout.as_secs());
            Ok(ExitStatus::TimedOut)
        }),
    }
}

/// Shows the progress of this object (not of another one with its name) until it has ended. With `token`, an end counts only once the
/// operator has acted on this `spec.rerunToken`.
///
/// # Errors
/// [`PluginError::Deleted`], [`PluginError::Api`].
pub async fn until_ended(context: &ClusterContext, run: &PipelineRun, token: Option<&str>) -> Result<ExitStatus, PluginError> {
    let (name, uid) = (run.name_any(), run.uid());
    let mut progress = Progress::new();
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(context.runs(), config).default_backoff().boxed();
    let mut listed = false;
    // A broken watch restarts by itself.
    while let Some(event) = events.next().await {
        let seen = match event {
            Ok(watcher::Event::Apply(run) | watcher::Event::InitApply(run)) => Some(run),
            Ok(watcher::Event::Init) => {
                listed = false;
                None
            }
            Ok(watcher::Event::InitDone) if !listed => return Err(deleted(&progress, name)),
            Ok(watcher::Event::Delete(run)) if run.uid() == uid => return Err(deleted(&progress, name)),
            Ok(_) => None,
            Err(error) => {
                if let Some(error) = refusal(error) {
                    progress.finish();
                    return Err(PluginError::api(format!("cannot watch PipelineRun {name}"))(error));
                }
                None
            }
        };
        let Some(run) = seen.filter(|run| run.uid() == uid) else { continue };
        listed = true;
        progress.show(&run, context.now())?;
        if let Some(status) = result(&run, token) {
            progress.finish();
            return Ok(status);
        }
    }
    progress.finish();
    Err(PluginError::Deleted(name))
}

fn deleted(progress: &Progress, name: String) -> PluginError {
    progress.finish();
    PluginError::Deleted(name)
}

/// An error that a restart of the watch would meet again.
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

/// The result of the run; none while it has not ended.
fn result(run: &PipelineRun, token: Option<&str>) -> Option<ExitStatus> {
    let status = run.status.as_ref()?;
    if status.observed_generation != run.metadata.generation || (token.is_some() && status.series.rerun_token.as_deref() != token) {
        return None;
    }
    let reason = reason(status).filter(|reason| reason.is_final())?;
    Some(match (reason.status(), status.phase) {
        (ConditionStatus::True, _) => ExitStatus::Success,
        (_, Some(Phase::Unresolved)) => ExitStatus::RunUnresolved,
        _ => ExitStatus::RunFailed,
    })
}
