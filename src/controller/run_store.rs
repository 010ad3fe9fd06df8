//! The runs: their caches, quorum reads, and writes by compare-and-swap.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::reflector::{ObjectRef, Store},
};
use serde_json::json;

use super::{
    api_call::{CallError, call},
    run_cache::CachedRun,
    run_index::{Change, RunIndex},
    schedule_runs::{ScheduleName, ScheduleRuns},
    wake_queue::WakeSender,
};
use crate::{account::AccountKey, telemetry::Metrics};
use nuvo_core::{
    run::{ExecutionId, Holder, Marker, PipelineId, RunRef, Scheduled, SlotClaim, WaitAge, parse, undecided},
    schedule::{Schedule, ScheduledRun, slot_claim},
};
use nuvo_crds::{
    PipelineRun, PipelineRunStatus, PipelineSchedule,
    conditions::Reason,
    well_known::{FIELD_MANAGER, TRIGGER_ANNOTATION},
};

/// The page size of lists of runs: a page is in memory as a whole, and a list of thousands could exceed the timeout of a call.
const PAGE: u32 = 50;

/// The page size of lists of their metadata.
const PAGE_OF_METADATA: u32 = 500;

/// Which of the runs that were asked for exist.
pub struct Existing {
    /// Their uids.
    pub uids: HashSet<String>,
    /// The namespaces of which that is known; `None` means all of them.
    namespaces: Vec<Option<String>>,
}

impl Existing {
    /// Whether it is known which runs this namespace has.
    #[must_use]
    pub fn covers(&self, namespace: Option<&str>) -> bool {
        self.namespaces.iter().any(|known| known.is_none() || (namespace.is_some() && known.as_deref() == namespace))
    }
}

/// Why a run cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The API server did not answer, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A marker cannot be expressed as JSON.
    #[error("the marker cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The part that one watch feeds: the cache of a namespace, or of all of them, and the sender that wakes its runs.
struct Part {
    namespace: Option<String>,
    store: Store<CachedRun>,
    wakes: WakeSender<ObjectRef<CachedRun>>,
    /// Whether the index has its runs.
    is_indexed: AtomicBool,
}

/// All runs that this operator watches.
pub struct RunStore {
    client: Client,
    metrics: Arc<Metrics>,
    parts: Vec<Part>,
    index: RunIndex,
    scheduled: ScheduleRuns,
    /// Whether a label selector keeps runs from the caches.
    is_selective: bool,
}

impl RunStore {
    /// A store without a watch. `is_selective`: the watches will show only the runs that a label selector selects.
    #[must_use]
    pub fn new(client: Client, metrics: Arc<Metrics>, is_selective: bool) -> Self {
        Self { client, metrics, parts: Vec::new(), index: RunIndex::default(), scheduled: ScheduleRuns::default(), is_selective }
    }

    /// Whether a run that its watch shows as deleted may only have lost its label.
    #[must_use]
    pub const fn is_selective(&self) -> bool {
        self.is_selective
    }

    /// Adds the cache that one watch feeds; `None` means all namespaces.
    pub fn add(&mut self, namespace: Option<String>, store: Store<CachedRun>, wakes: WakeSender<ObjectRef<CachedRun>>) {
        self.parts.push(Part { namespace, store, wakes, is_indexed: AtomicBool::new(false) });
    }

    fn part(&self, namespace: Option<&str>) -> Option<&Part> {
        self.parts.iter().find(|part| part.namespace.is_none() || part.namespace.as_deref() == namespace)
    }

    /// Whether the runs of this namespace are watched; `None`: those of any.
    #[must_use]
    pub fn is_watched(&self, namespace: Option<&str>) -> bool {
        self.part(namespace).is_some()
    }

    fn api(&self, namespace: &str) -> Api<PipelineRun> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn api_of(&self, part: &Part) -> Api<PipelineRun> {
        part.namespace.as_ref().map_or_else(|| Api::all(self.client.clone()), |namespace| self.api(namespace))
    }

    /// Whether the index has the runs of all watched namespaces.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.parts.iter().all(|part| part.is_indexed.load(Ordering::Acquire))
    }

    /// Has a run reconciled again.
    pub fn wake(&self, run: &ObjectRef<PipelineRun>) {
        if let Some(part) = self.part(run.namespace.as_deref()) {
            part.wakes.wake(run.clone().into_kind_unchecked(()));
        }
    }

    /// Whether the index has the runs of this namespace.
    #[must_use]
    pub fn is_indexed_in(&self, namespace: &str) -> bool {
        self.part(Some(namespace)).is_some_and(|part| part.is_indexed.load(Ordering::Acquire))
    }

    /// Updates the index after a run was added or changed, and wakes the runs that are next. Returns the pipeline whose trigger the run has
    /// settled.
    pub fn applied(&self, run: &CachedRun, now: Timestamp) -> Option<PipelineId> {
        self.changed(self.index.put(run, now))
    }

    /// The same after a run was deleted.
    pub fn removed(&self, run: &CachedRun) -> Option<PipelineId> {
        self.changed(self.index.remove(run))
    }

    /// Notes a run that was added or changed. Returns the schedules that have to look at it.
    pub fn scheduled(&self, run: &CachedRun) -> Vec<ScheduleName> {
        self.scheduled.put(run)
    }

    /// The same after a run was deleted.
    pub fn unscheduled(&self, run: &CachedRun) -> Vec<ScheduleName> {
        self.scheduled.remove(run)
    }

    /// The name of the schedule of a run, by its label.
    #[must_use]
    pub fn schedule_of(&self, run: &RunRef) -> Option<String> {
        self.scheduled.schedule_of(&run.namespace, &run.name)
    }

    /// The cached runs with the label of a schedule.
    #[must_use]
    pub fn of_schedule(&self, schedule: &ScheduleName) -> Vec<ScheduledRun> {
        self.scheduled.of(schedule)
    }

    /// Notes whether the last passes over a run failed, and wakes the run that comes first then.
    pub fn set_failing(&self, run: &RunRef, is_failing: bool) {
        self.changed(self.index.set_failing(run, is_failing));
    }

    fn changed(&self, change: Change) -> Option<PipelineId> {
        for run in &change.next {
            self.wake(run);
        }
        change.settled
    }

    /// Wakes every run of a namespace, or of all of them, that is not at rest, after the cache was filled again. Reconciles during the list
    /// used the old contents of the cache, and no watch event repeats what has changed since.
    pub fn filled(&self, namespace: Option<&str>, now: Timestamp) {
        if let Some(part) = self.part(namespace) {
            let runs = part.store.state();
            self.index.replace(namespace, runs.iter().map(|run| &**run), now);
            self.scheduled.replace(namespace, runs.iter().map(|run| &**run));
            part.is_indexed.store(true, Ordering::Release);
            for run in runs.iter().filter(|run| !run.is_at_rest()) {
                part.wakes.wake(ObjectRef::from_obj(&**run));
            }
        }
    }

    /// See [`RunIndex::older`].
    #[must_use]
    pub fn older(&self, run: &PipelineRun, pipeline: &PipelineId) -> Option<String> {
        self.index.older(run, pipeline)
    }

    /// See [`RunIndex::another_waits`].
    #[must_use]
    pub fn another_waits(&self, pipeline: &PipelineId, me: &RunRef) -> bool {
        self.index.another_waits(pipeline, me)
    }

    /// See [`RunIndex::active_runs`].
    #[must_use]
    pub fn active_runs(&self, account: &AccountKey) -> Vec<ObjectRef<PipelineRun>> {
        self.index.active_runs(account)
    }

    /// See [`RunIndex::accounts`].
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountKey> {
        self.index.accounts()
    }

    /// See [`RunIndex::phases`].
    #[must_use]
    pub fn phases(&self) -> Vec<(&'static str, usize)> {
        self.index.phases()
    }

    /// See [`RunIndex::waiting`].
    #[must_use]
    pub fn waiting(&self, now: Timestamp) -> HashMap<(Reason, WaitAge), usize> {
        self.index.waiting(now)
    }

    /// See [`RunIndex::oldest`].
    #[must_use]
    pub fn oldest(&self) -> Vec<(&'static str, Timestamp)> {
        self.index.oldest()
    }

    /// The uids of all cached runs.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        self.parts.iter().flat_map(|part| part.store.state()).filter_map(|run| run.meta().uid.clone()).collect()
    }

    /// Whether this very run, by its uid if it is given, is in the cache and not at rest.
    #[must_use]
    pub fn is_active(&self, run: &ObjectRef<PipelineRun>) -> bool {
        let cached = self.part(run.namespace.as_deref()).and_then(|part| part.store.get(&run.clone().into_kind_unchecked(())));
        let uid = run.extra.uid.as_ref();
        cached.is_some_and(|cached| !cached.is_at_rest() && (uid.is_none() || cached.meta().uid.as_ref() == uid))
    }

    /// Quorum GET of this very object: none if it was deleted, or another object has its name.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn read(&self, me: &RunRef) -> Result<Option<PipelineRun>, CallError> {
        let found = call("read the PipelineRun", self.api(&me.namespace).get_opt(&me.name)).await?;
        Ok(found.filter(|run| run.metadata.uid.as_deref() == Some(me.uid.as_str())))
    }

    /// Quorum GET of a lock's holder.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn holder(&self, me: &RunRef) -> Result<Holder, CallError> {
        match self.read(me).await {
            Ok(Some(run)) => Ok(parse(&run).map_or(Holder::Unreadable, |run| Holder::Present(Box::new(run)))),
            Ok(None) => Ok(Holder::Gone),
            Err(error) if error.is_forbidden() => Ok(Holder::Unreadable),
            Err(error) => Err(error),
        }
    }

    /// Quorum GET of the schedule that made a run: what it says about the slot. An operator that may not read it lets the run wait.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn claim(&self, made_by: &Scheduled, run: &RunRef) -> Result<SlotClaim, CallError> {
        let schedules: Api<PipelineSchedule> = Api::namespaced(self.client.clone(), &run.namespace);
        match call("read the PipelineSchedule", schedules.get_opt(&made_by.schedule)).await {
            Ok(found) => {
                let schedule = found.as_ref().and_then(Schedule::of);
                Ok(slot_claim(schedule.as_ref(), made_by, &run.name, run.uid.as_str()))
            }
            Err(error) if error.is_forbidden() => Ok(SlotClaim::Undecided),
            Err(error) => Err(error),
        }
    }

    /// Whether another run of a pipeline is [undecided], in every watched namespace and whatever its labels: as the index has it, or by a quorum
    /// LIST if it does not have all runs.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn another_is_undecided(&self, pipeline: &PipelineId, me: &RunRef) -> Result<bool, CallError> {
        if !self.is_selective && self.is_indexed() {
            return Ok(self.index.another_is_undecided(pipeline, me));
        }
        let mut found = false;
        // One that cannot be read may be.
        let complete = self.for_each_other(pipeline, me, |object| found |= parse(object).map_or(true, |run| undecided(&run))).await?;
        Ok(found || !complete)
    }

    /// Quorum LIST of the other runs of a pipeline, in every watched namespace and whatever their labels: the executions that they show. None
    /// if a namespace may not be read.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn claimed(&self, pipeline: &PipelineId, me: &RunRef) -> Result<Option<BTreeSet<ExecutionId>>, CallError> {
        let mut claimed = BTreeSet::new();
        let complete = self.for_each_other(pipeline, me, |object| claimed.extend(claims(object))).await?;
        Ok(complete.then_some(claimed))
    }

    /// Visits all but those of namespaces that may not be read. Returns whether there are no such namespaces.
    async fn for_each_other(&self, pipeline: &PipelineId, me: &RunRef, mut visit: impl FnMut(&PipelineRun)) -> Result<bool, CallError> {
        let mut complete = true;
        let wanted = ListParams::default().fields(&format!("spec.pipelineId={pipeline}")).limit(PAGE);
        for part in &self.parts {
            let api = self.api_of(part);
            let mut wanted = wanted.clone();
            loop {
                let page = match call("list the PipelineRuns of the pipeline", api.list(&wanted)).await {
                    // The namespace was deleted with the role in it, for example, and is no reason to stop the others.
                    Err(error) if error.is_forbidden() => {
                        complete = false;
                        break;
                    }
                    page => page?,
                };
                let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
                page.iter().filter(|object| object.metadata.uid.as_deref() != Some(me.uid.as_str())).for_each(&mut visit);
                // All pages show the state at the time of the first one.
                match next {
                    Some(token) => wanted = wanted.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(complete)
    }

    /// Which of these uids are those of runs in a watched namespace, by a quorum LIST, whatever their labels.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn which_exist(&self, wanted: &HashSet<&str>) -> Result<Existing, CallError> {
        let mut existing = Existing { uids: HashSet::new(), namespaces: Vec::new() };
        for part in &self.parts {
            let api = self.api_of(part);
            let mut page = ListParams::default().limit(PAGE_OF_METADATA);
            let is_complete = loop {
                let runs = match call("list the PipelineRuns", api.list_metadata(&page)).await {
                    Err(error) if error.is_forbidden() => break false,
                    runs => runs?,
                };
                let uids = runs.items.iter().filter_map(|run| run.metadata.uid.as_deref());
                existing.uids.extend(uids.filter(|uid| wanted.contains(uid)).map(str::to_owned));
                match runs.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page = page.continue_token(&token),
                    None => break true,
                }
            };
            if is_complete {
                existing.namespaces.push(part.namespace.clone());
            }
        }
        Ok(existing)
    }

    /// Deletes exactly this version of this object.
    ///
    /// # Errors
    /// [`CallError`]: it may have been deleted, unless the API server refused.
    pub async fn delete(&self, me: &RunRef, version: &str) -> Result<(), CallError> {
        let preconditions = Preconditions { uid: Some(me.uid.to_string()), resource_version: Some(version.to_owned()) };
        self.metrics.kube_write("pipelineruns");
        let request = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        call("delete the PipelineRun", self.api(&me.namespace).delete(&me.name, &request)).await.map(|_| ())
    }

    /// W2: the marker, on exactly this version.
    ///
    /// # Errors
    /// [`RunError`]: it may have been written, unless the API server refused.
    pub async fn mark(&self, marker: &Marker, over: &str) -> Result<PipelineRun, RunError> {
        let text = serde_json::to_string(marker)?;
        let patch = json!({
            "metadata": { "uid": marker.run.uid.as_str(), "resourceVersion": over, "annotations": { TRIGGER_ANNOTATION: text } },
        });
        self.metrics.kube_write("pipelineruns");
        let request = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // A patch, because a replace through this version's types would drop fields that a newer definition added.
        let api = self.api(&marker.run.namespace);
        Ok(call("mark the PipelineRun", api.patch(&marker.run.name, &request, &Patch::Merge(&patch))).await?)
    }

    /// Writes the status over exactly this version of the object.
    ///
    /// # Errors
    /// [`CallError`], a conflict among them.
    pub async fn write_status(&self, object: &PipelineRun, over: &str, status: PipelineRunStatus) -> Result<PipelineRun, CallError> {
        let mut object = PipelineRun { metadata: object.metadata.clone(), spec: object.spec.clone(), status: Some(status) };
        object.metadata.resource_version = Some(over.to_owned());
        object.metadata.managed_fields = None;
        let (namespace, name) = (object.metadata.namespace.clone().unwrap_or_default(), object.metadata.name.clone().unwrap_or_default());
        self.metrics.kube_write("pipelineruns/status");
        let request = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        call("write the status of the PipelineRun", self.api(&namespace).replace_status(&name, &request, &object)).await
    }
}

/// The executions that a run has started, as its status shows them, those of earlier attempts included. A run that only follows an execution
/// (`spec.executionId`) has started nothing.
fn claims(object: &PipelineRun) -> impl Iterator<Item = ExecutionId> {
    let status = object.status.iter().filter(|_| object.spec.execution_id.is_none());
    let ids =
        status.flat_map(|status| status.current.execution_ids.iter().chain(status.history.iter().flat_map(|past| &past.execution_ids)));
    ids.filter_map(|id| ExecutionId::new(id.clone()).ok())
}

#[cfg(test)]
mod tests;
