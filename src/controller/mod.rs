//! The shell: carries out what the core decides, at most one irreversible act between two decisions.
//!
//! Each kind of object has a [`Reconciler`](control::Reconciler); `control` does what all kinds have in common.

mod account_reconciler;
mod account_registry;
mod api_call;
mod control;
mod events;
pub mod lock_store;
mod lock_sweep;
mod lock_waiters;
mod message_hash;
mod object_cache;
mod observed_pipelines;
mod pipeline_mirror;
mod pipeline_reconciler;
mod run_cache;
mod run_index;
mod run_memory;
mod run_pass;
mod run_reconciler;
mod run_store;
mod run_wishes;
mod schedule_reconciler;
mod schedule_runs;
mod schedule_store;
mod shell;
mod wake_queue;
mod write_pace;

#[cfg(test)]
mod tests;

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{join4, select};
use k8s_openapi::jiff::Timestamp;

use shell::{Caches, Shell};

use crate::{account::driver::Patience, context::Context, shutdown::Shutdown, telemetry::Metrics};
use account_reconciler::AccountReconciler;
use account_registry::AccountRegistry;
use control::{control, watches};
use lock_sweep::sweep_locks;
use object_cache::CachePart;
use observed_pipelines::ObservedPipelines;
use pipeline_reconciler::PipelineReconciler;
use run_reconciler::{RunReconciler, release_locks_of_deleted};
use run_store::RunStore;
use schedule_reconciler::{ScheduleReconciler, notice_steps};

/// How often the metrics about all runs are set. The index has them ready.
const METRICS_PERIOD: Duration = Duration::from_secs(1);

/// Runs the controllers until the term has ended and everything in flight has been recorded. From the end of the term on, nothing is begun.
/// Recording may take as long as the process lives, and a limited time after its `shutdown` has begun.
pub async fn run_controllers(context: Context, term: Shutdown, shutdown: Shutdown) {
    let Context { client, settings, metrics, .. } = context.clone();
    let (run_cache, run_watches) = watches(&client, &settings.namespaces, settings.label_selector.as_deref());
    let (account_cache, account_watches) = watches(&client, &settings.namespaces, None);
    let (pipeline_cache, pipeline_watches) = watches(&client, &settings.namespaces, None);
    let (schedules, schedule_watches) = watches(&client, &settings.namespaces, None);
    let namespaces = run_watches.len();
    let mut runs = RunStore::new(client, metrics.clone(), settings.label_selector.is_some());
    for CachePart { namespace, store, wakes } in run_cache.into_parts() {
        runs.add(namespace, store, wakes);
    }
    let runs = Arc::new(runs);
    let pipelines = Arc::new(ObservedPipelines::new(pipeline_cache, context.clock.clone()));
    let patience = Patience { grace: settings.trigger_settle, confirm: settings.adoption_confirm, overlap: settings.quarantine };
    let accounts = Arc::new(AccountRegistry::new(account_cache, runs.clone(), pipelines.clone(), patience, term.clone()));
    let shell = Arc::new(Shell::new(&context, Caches { runs, accounts, pipelines, schedules }, term.clone(), shutdown));
    let (run_reconciler, deleted) = RunReconciler::new(shell.clone(), shell::run_concurrency(settings.max_concurrent_reconciles));
    let work = async {
        tokio::join!(
            control(AccountReconciler::new(shell.clone()), account_watches, metrics.clone(), term.clone()),
            control(run_reconciler, run_watches, metrics.clone(), term.clone()),
            control(PipelineReconciler::new(shell.clone()), pipeline_watches, metrics.clone(), term.clone()),
            control(ScheduleReconciler::new(shell.clone(), &settings), schedule_watches, metrics.clone(), term.clone()),
            forget_metrics(&metrics, &term),
        )
    };
    let background =
        join4(release_locks_of_deleted(deleted, namespaces, &shell), set_metrics(&shell), sweep_locks(&shell), notice_steps(&shell));
    select(pin!(work), pin!(background)).await;
}

/// Removes what the metrics say of objects at the end of the term: nothing watches them here any more.
async fn forget_metrics(metrics: &Metrics, term: &Shutdown) {
    term.begun().await;
    metrics.forget_objects();
}

/// Sets the metrics about all runs, again and again, until the end of the term.
async fn set_metrics(shell: &Shell) {
    loop {
        tokio::time::sleep(METRICS_PERIOD).await;
        if shell.term.is_begun() {
            return std::future::pending().await;
        }
        shell.metrics.set_pipelineruns(shell.runs.phases());
        let now = shell.now();
        let age = |created: Timestamp| u64::try_from(now.duration_since(created).as_secs()).unwrap_or_default();
        shell.metrics.set_oldest_runs(shell.runs.oldest().into_iter().map(|(phase, created)| (phase, age(created))));
        shell.metrics.set_waiting_runs(&shell.runs.waiting(now));
    }
}
