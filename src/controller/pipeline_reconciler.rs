//! The controller of observed pipelines. It shows what the driver of the account knows; nothing here leads to a trigger.

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{
    Api, ResourceExt,
    api::PostParams,
    runtime::{Predicate, controller::Action, predicates, reflector::ObjectRef, watcher},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    account_registry::AccountState,
    api_call::{CallError, call},
    control::Reconciler,
    events::Notice,
    pipeline_mirror::{Mirrored, PipelineMirror},
    shell::Shell,
};
use crate::account::{AccountDriver, AccountKey};
use nuvo_core::{
    pipeline::{Counts, Observed, ObservedState, PipelineFacts, differs, events_of_pipeline, status},
    run::{PipelineId, Uid},
    scheduler::{Observable, PipelineRef},
};
use nuvo_crds::{NuvoPipeline, NuvoPipelineStatus, well_known::FIELD_MANAGER};

/// How many objects of a watch are reconciled at once. A reconcile waits for the API server only.
const CONCURRENCY: u16 = 16;
/// The shortest time between two writes of a status.
const WRITE_EVERY: Duration = Duration::from_secs(30);
/// When to look again after a write that a newer version of the object has prevented, in case its event is late.
const AFTER_CONFLICT: Duration = Duration::from_secs(5);

/// The time between two looks whether there is room for an object that the account has too many of.
const ROOM_EVERY: Duration = Duration::from_secs(600);

/// The time between two creations or deletions of mirrored runs of one account.
const MIRROR_PACE: Duration = Duration::from_secs(1);
/// The time between two looks at the mirrored runs that exist, and at what other runs show.
const MIRROR_EVERY: Duration = Duration::from_secs(600);

/// The controller of observed pipelines.
pub struct PipelineReconciler {
    shell: Arc<Shell>,
    /// What is remembered of each object, by its uid.
    memory: Mutex<HashMap<String, Memory>>,
    /// When a run was mirrored last for an account.
    mirrored: Mutex<HashMap<AccountKey, Instant>>,
}

/// What this process remembers of an object.
struct Memory {
    reference: PipelineRef,
    /// The account whose driver observes it.
    account: Option<AccountKey>,
    written: Option<Instant>,
    /// The generation whose mirrored runs were looked at, and when.
    mirror_checked: Option<(Option<i64>, Instant)>,
    /// Since when the status waits until more is mirrored.
    waits: Option<Instant>,
}

impl Reconciler for PipelineReconciler {
    type Object = NuvoPipeline;
    type Error = CallError;

    const KIND: &'static str = "NuvoPipeline";

    fn concurrency(&self) -> u16 {
        CONCURRENCY
    }

    /// Leaves out the operator's own status writes.
    fn predicate(&self, object: &NuvoPipeline) -> Option<u64> {
        predicates::generation.combine(predicates::annotations).hash_property(object)
    }

    fn on_watch_event(&self, _namespace: Option<&str>, event: &watcher::Event<NuvoPipeline>) {
        match event {
            watcher::Event::Delete(object) => self.forget(object),
            watcher::Event::InitDone => self.forget_deleted(),
            watcher::Event::Apply(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }

    fn forget(&self, object: &NuvoPipeline) {
        self.forget_uid(object.metadata.uid.as_deref().unwrap_or_default());
    }

    async fn reconcile(&self, object: Arc<NuvoPipeline>) -> Result<Action, CallError> {
        let Some((reference, pipeline)) = identified(&object) else { return Ok(Action::await_change()) };
        let Some((observed, counts)) = self.observe(&object, &reference, &pipeline) else { return Ok(Action::await_change()) };
        let facts = PipelineFacts {
            object: &object,
            observed: &observed,
            now: self.shell.now(),
            is_clock_in_doubt: self.shell.clock.is_in_doubt(),
        };
        let judgement = status(&facts);
        let status = self.shell.definitions.fit(judgement.status);
        if object.spec.suspend {
            // No alert is to tell that what is suspended is not observed.
            self.shell.metrics.forget_pipeline(&reference.namespace, &reference.name);
        } else if !self.shell.term.is_begun() && self.shell.pipelines.contains(&ObjectRef::from_obj(&*object)) {
            self.shell.metrics.pipeline(&object, &status, &observed, &counts);
        }
        // Before the status says that it was seen: an execution is mirrored when it is seen first.
        let mirrored = self.mirror(&object, &reference, &pipeline).await;
        let more = mirrored.as_ref().ok().copied().flatten();
        if let Some(soon) = more.filter(|_| self.may_wait(&reference)) {
            return Ok(Action::requeue(soon));
        }
        let is_left_out = matches!(observed.state, ObservedState::TooMany(_));
        let timers = [judgement.changes_at.map(|at| until(at, facts.now)), mirrors(&object), is_left_out.then_some(ROOM_EVERY), more];
        let again = timers.into_iter().flatten().min();
        let shown = self.show(&object, &reference, status, &observed, again).await?;
        // One that cannot be mirrored keeps no status from being written.
        mirrored.map(|_| shown)
    }
}

impl PipelineReconciler {
    /// Writes the status if it says something else, and not too often. `again`: when to make it anew in any case.
    async fn show(
        &self,
        object: &NuvoPipeline,
        reference: &PipelineRef,
        status: NuvoPipelineStatus,
        observed: &Observed,
        again: Option<Duration>,
    ) -> Result<Action, CallError> {
        if !differs(object.status.as_ref(), &status) {
            return Ok(again.map_or_else(Action::await_change, Action::requeue));
        }
        if let Some(wait) = self.wait_to_write(reference) {
            return Ok(Action::requeue(again.map_or(wait, |again| again.min(wait))));
        }
        let events = events_of_pipeline(object.status.as_ref(), &status);
        if !self.write_status(object, status).await? {
            return Ok(Action::requeue(AFTER_CONFLICT));
        }
        // The first results are not to wait for having said that there are none yet.
        if observed.state != ObservedState::Pending
            && let Some(memory) = self.memory.lock().get_mut(reference.uid.as_str())
        {
            memory.written = Some(Instant::now());
        }
        for event in events {
            self.shell.events.publish(object, Notice::from(event)).await;
        }
        Ok(again.map_or_else(Action::await_change, Action::requeue))
    }

    /// Whether the status may wait until more is mirrored: not for longer than between two writes.
    fn may_wait(&self, reference: &PipelineRef) -> bool {
        let mut memory = self.memory.lock();
        let Some(known) = memory.get_mut(reference.uid.as_str()) else { return false };
        let may_wait = known.waits.get_or_insert_with(Instant::now).elapsed() < WRITE_EVERY;
        if !may_wait {
            known.waits = None;
        }
        may_wait
    }

    /// Nothing is known of any object yet.
    #[must_use]
    pub fn new(shell: Arc<Shell>) -> Self {
        Self { shell, memory: Mutex::default(), mirrored: Mutex::default() }
    }

    /// What is known for the object; none before its account is known.
    fn observe(&self, object: &NuvoPipeline, reference: &PipelineRef, pipeline: &PipelineId) -> Option<(Observed, Counts)> {
        let key = AccountKey { namespace: reference.namespace.clone(), name: object.spec.account_ref.name.clone() };
        let accounts = &self.shell.accounts;
        let observes = (!object.spec.suspend).then(|| key.clone());
        self.remember(reference, observes);
        if object.spec.suspend {
            return Some((Observed::nothing(ObservedState::Pending), Counts::default()));
        }
        match accounts.state(&key) {
            AccountState::Unknown => None,
            AccountState::NotReady(why) => Some((Observed::nothing(ObservedState::AccountNotReady(why)), Counts::default())),
            AccountState::Ready(session) => {
                let driver = accounts.driver(&key)?;
                let min_rows = object.spec.freshness.as_ref().map_or(0, |freshness| freshness.min_rows);
                let wish = Observable { pipeline: pipeline.clone(), min_rows, mirror: object.spec.mirror.clone() };
                driver.observe(reference, &wish, object.status.as_ref(), session.account());
                let (observed, counts, complete_ago) = driver.observed(reference);
                let ago = complete_ago.and_then(|ago| SignedDuration::try_from(ago).ok());
                let complete = ago.and_then(|ago| self.shell.now().checked_sub(ago).ok());
                Some((Observed { complete, ..observed }, counts))
            }
        }
    }

    /// Remembers which account observes an object, and tells another one that it does not any more.
    fn remember(&self, reference: &PipelineRef, account: Option<AccountKey>) {
        let mut memory = self.memory.lock();
        let known = memory.entry(reference.uid.to_string()).or_insert_with(|| Memory {
            reference: reference.clone(),
            account: None,
            written: None,
            mirror_checked: None,
            waits: None,
        });
        let before = std::mem::replace(&mut known.account, account.clone());
        drop(memory);
        if before != account {
            self.forget_at(before.as_ref(), reference);
        }
    }

    fn forget_at(&self, account: Option<&AccountKey>, reference: &PipelineRef) {
        let driver: Option<Arc<AccountDriver>> = account.and_then(|account| self.shell.accounts.driver(account));
        if let Some(driver) = driver {
            driver.forget_pipeline(reference);
        }
    }

    fn forget_uid(&self, uid: &str) {
        let Some(Memory { reference, account, .. }) = self.memory.lock().remove(uid) else { return };
        self.forget_at(account.as_ref(), &reference);
        self.shell.metrics.forget_pipeline(&reference.namespace, &reference.name);
    }

    /// Objects may have been deleted while there was no watch.
    fn forget_deleted(&self) {
        let known: Vec<PipelineRef> = self.memory.lock().values().map(|memory| memory.reference.clone()).collect();
        for reference in known {
            let mut cached = ObjectRef::new(&reference.name).within(&reference.namespace);
            cached.extra.uid = Some(reference.uid.to_string());
            if !self.shell.pipelines.contains(&cached) {
                self.forget_uid(reference.uid.as_str());
            }
        }
    }

    /// Creates or deletes one mirrored run at most. Returns when to go on, if there may be more to do.
    async fn mirror(&self, object: &NuvoPipeline, reference: &PipelineRef, pipeline: &PipelineId) -> Result<Option<Duration>, CallError> {
        let key = AccountKey { namespace: reference.namespace.clone(), name: object.spec.account_ref.name.clone() };
        let (Some(driver), false) = (self.shell.accounts.driver(&key), object.spec.suspend) else { return Ok(None) };
        let is_on = object.spec.mirror.history_limit > 0;
        let is_checked = |memory: &Memory| {
            memory
                .mirror_checked
                .is_some_and(|(generation, when)| generation == object.metadata.generation && (!is_on || when.elapsed() < MIRROR_EVERY))
        };
        let is_check_due = !self.memory.lock().get(reference.uid.as_str()).is_some_and(is_checked);
        // Without mirrored runs there is nothing to look at in an object that is new.
        let is_check_due = is_check_due && (is_on || object.metadata.generation != Some(1));
        if !is_check_due && driver.unmirrored(reference).is_empty() {
            return Ok(None);
        }
        let wait = self.mirrored.lock().get(&key).map(|last| MIRROR_PACE.saturating_sub(last.elapsed()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Ok(Some(wait));
        }
        let mirror = PipelineMirror { shell: &self.shell, driver: &driver, object, reference, pipeline };
        match mirror.step(is_check_due).await? {
            Mirrored::Changed => {
                self.mirrored.lock().insert(key, Instant::now());
                return Ok(Some(MIRROR_PACE));
            }
            Mirrored::Checked => {
                if let Some(memory) = self.memory.lock().get_mut(reference.uid.as_str()) {
                    memory.mirror_checked = Some((object.metadata.generation, Instant::now()));
                }
            }
            Mirrored::Nothing => {}
        }
        Ok(None)
    }

    /// How long the next write of the status has to wait.
    fn wait_to_write(&self, reference: &PipelineRef) -> Option<Duration> {
        let written = self.memory.lock().get(reference.uid.as_str()).and_then(|memory| memory.written)?;
        Some(WRITE_EVERY.saturating_sub(written.elapsed())).filter(|wait| !wait.is_zero())
    }

    /// Returns whether it was written: another version of the object may have come before.
    async fn write_status(&self, object: &NuvoPipeline, status: NuvoPipelineStatus) -> Result<bool, CallError> {
        let mut written = object.clone();
        written.metadata.managed_fields = None;
        written.status = Some(status);
        self.shell.metrics.kube_write("nuvopipelines/status");
        let api: Api<NuvoPipeline> = Api::namespaced(self.shell.client.clone(), &object.namespace().unwrap_or_default());
        let request = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match call("write the status of the NuvoPipeline", api.replace_status(&object.name_any(), &request, &written)).await {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(false),
            result => result.map(|_| true),
        }
    }
}

/// The object and its pipeline; none if either is no identifier, which the definition prevents.
fn identified(object: &NuvoPipeline) -> Option<(PipelineRef, PipelineId)> {
    let uid = Uid::new(object.uid()?).ok()?;
    let pipeline = PipelineId::new(object.spec.pipeline_id.clone()).ok()?;
    Some((PipelineRef { uid, namespace: object.namespace()?, name: object.name_any() }, pipeline))
}

/// When to look at the mirrored runs of an object again, if it has any.
fn mirrors(object: &NuvoPipeline) -> Option<Duration> {
    (object.spec.mirror.history_limit > 0).then_some(MIRROR_EVERY)
}

/// At least a second, so that the status that is made then differs.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default().max(Duration::from_secs(1))
}
