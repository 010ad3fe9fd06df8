//! The controller of schedules: a loop that asks the core for the next act of a schedule and carries it out. Nothing is decided here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{
    ResourceExt,
    runtime::{Predicate, controller::Action, predicates, reflector::ObjectRef, watcher},
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{
    api_call::{CallError, call},
    control::Reconciler,
    events::Notice,
    schedule_store::ScheduleStore,
    shell::{Shell, whole_seconds},
};
use crate::{account::AccountKey, checked_clock::COMPARED, settings::Settings};
use nuvo_core::{
    run::PipelineId,
    schedule::{Act, Answer, Change, Facts, News, Schedule, ScheduleEvent, ScheduledRun, Surroundings, next, selects},
};
use nuvo_crds::{PipelineRun, PipelineSchedule, well_known::SCHEDULE_LABEL};

/// How many objects of a watch are reconciled at once. A reconcile waits for the API server only.
const CONCURRENCY: u16 = 16;
/// The most acts of one pass. What is left is done in the next one, so that a schedule cannot keep the place of others.
const ACTS: usize = 64;
/// A pass begins at this interval at least. It sends nothing if nothing is due.
const LONGEST: Duration = Duration::from_secs(3_600);
/// A pass does not follow another one earlier.
const SHORTEST: Duration = Duration::from_millis(50);
/// How often the clock is looked at, for a step that no timer notices.
const CLOCK_LOOK: Duration = Duration::from_secs(30);
/// Less than this between two looks is no step.
const STEP: SignedDuration = SignedDuration::from_secs(1);

/// The controller of schedules.
pub struct ScheduleReconciler {
    shell: Arc<Shell>,
    label_selector: Option<String>,
    is_held: bool,
    /// By the uid of the schedule.
    known: Mutex<HashMap<String, Known>>,
}

/// What this process remembers of an object.
struct Known {
    reference: ObjectRef<PipelineSchedule>,
    written: Option<Written>,
}

/// The newest version that this process has written, until the cache has it.
#[derive(Clone)]
struct Written {
    object: Arc<PipelineSchedule>,
    /// The versions that came before.
    replaced: Vec<String>,
}

impl Reconciler for ScheduleReconciler {
    type Object = PipelineSchedule;
    type Error = CallError;

    const KIND: &'static str = "PipelineSchedule";

    fn concurrency(&self) -> u16 {
        CONCURRENCY
    }

    /// Leaves out the operator's own status writes.
    fn predicate(&self, object: &PipelineSchedule) -> Option<u64> {
        predicates::generation.combine(predicates::annotations).hash_property(object)
    }

    fn on_watch_event(&self, _namespace: Option<&str>, event: &watcher::Event<PipelineSchedule>) {
        match event {
            watcher::Event::Delete(object) => self.forget(object),
            watcher::Event::InitDone => self.forget_deleted(),
            watcher::Event::Apply(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
    }

    fn forget(&self, object: &PipelineSchedule) {
        self.forget_uid(object.metadata.uid.as_deref().unwrap_or_default());
    }

    async fn reconcile(&self, object: Arc<PipelineSchedule>) -> Result<Action, CallError> {
        let object = self.newest(&object);
        // What has not been listed yet would be taken for gone.
        let is_listed = |schedule: &Schedule| self.shell.runs.is_indexed_in(&schedule.namespace);
        let Some(schedule) = Schedule::of(&object).filter(is_listed) else { return Ok(Action::await_change()) };
        let runs = self.shell.runs.of_schedule(&(schedule.namespace.clone(), schedule.name.clone()));
        let around = self.surroundings(&object);
        let store = ScheduleStore::new(&self.shell.client, &self.shell.metrics, &schedule.namespace, &schedule.name);
        let mut pass = Pass { reconciler: self, store, object };
        let mut facts = Facts::new(schedule, runs, self.now(), around);
        for _ in 0..ACTS {
            facts.refresh(self.now(), self.shell.clock.doubt().map(str::to_owned));
            let act = next(&facts);
            tracing::debug!(act = name(&act), "next");
            if let Act::Done { wake } = act {
                return self.done(&pass.object, &facts, wake);
            }
            if self.shell.term.is_begun() {
                return Ok(Action::await_change());
            }
            let answer = pass.carry_out(&act).await?;
            facts.refresh(self.now(), self.shell.clock.doubt().map(str::to_owned));
            facts.learn(&act, answer);
        }
        Ok(Action::requeue(SHORTEST))
    }
}

impl ScheduleReconciler {
    /// Nothing is known of any object yet.
    #[must_use]
    pub fn new(shell: Arc<Shell>, settings: &Settings) -> Self {
        Self { shell, label_selector: settings.label_selector.clone(), is_held: settings.hold_schedules, known: Mutex::default() }
    }

    /// The time by which slots are decided: that of the API server, in whole seconds.
    fn now(&self) -> Timestamp {
        whole_seconds(self.shell.clock.of_api_server())
    }

    /// The object as it was written last, if the cache does not have that yet.
    fn newest(&self, cached: &Arc<PipelineSchedule>) -> Arc<PipelineSchedule> {
        let mut known = self.known.lock();
        let known = known
            .entry(cached.uid().unwrap_or_default())
            .or_insert_with(|| Known { reference: ObjectRef::from_obj(&**cached), written: None });
        let version = cached.resource_version().unwrap_or_default();
        match &known.written {
            Some(written) if written.replaced.contains(&version) => written.object.clone(),
            _ => {
                known.written = None;
                cached.clone()
            }
        }
    }

    fn remember(&self, before: &PipelineSchedule, after: &Arc<PipelineSchedule>) {
        let mut known = self.known.lock();
        if let Some(known) = known.get_mut(&after.uid().unwrap_or_default()) {
            let mut replaced = known.written.take().map(|written| written.replaced).unwrap_or_default();
            replaced.extend(before.resource_version());
            known.written = Some(Written { object: after.clone(), replaced });
        }
    }

    fn surroundings(&self, object: &PipelineSchedule) -> Surroundings {
        let template = &object.spec.run_template;
        let mut labels: BTreeMap<String, String> = template.metadata.clone().unwrap_or_default().labels;
        labels.insert(SCHEDULE_LABEL.to_owned(), object.name_any());
        let account = AccountKey { namespace: object.namespace().unwrap_or_default(), name: template.spec.account_ref.name.clone() };
        let driver = self.shell.accounts.driver(&account);
        let pipeline = PipelineId::new(template.spec.pipeline_id.clone()).ok();
        Surroundings {
            is_selected: self.label_selector.as_ref().is_none_or(|selector| selects(selector, &labels)),
            is_held: self.is_held,
            in_nuvo: driver.zip(pipeline).and_then(|(driver, pipeline)| driver.schedule_in_nuvo(&pipeline)),
        }
    }

    /// The pass is over: when the next one begins without a change.
    fn done(&self, object: &PipelineSchedule, facts: &Facts, wake: Option<Timestamp>) -> Result<Action, CallError> {
        let reference = ObjectRef::from_obj(object);
        if self.shell.schedules.contains(&reference) && !self.shell.term.is_begun() {
            let Schedule { namespace, name, status, .. } = facts.schedule();
            self.shell.metrics.schedule(namespace, name, status);
        }
        let wait = wake.map(|wake| Duration::try_from(wake.duration_since(self.shell.clock.of_api_server())).unwrap_or_default());
        Ok(Action::requeue(wait.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)))
    }

    fn forget_uid(&self, uid: &str) {
        let Some(Known { reference, .. }) = self.known.lock().remove(uid) else { return };
        self.shell.metrics.forget_schedule(reference.namespace.as_deref().unwrap_or_default(), &reference.name);
    }

    /// Objects may have been deleted while there was no watch.
    fn forget_deleted(&self) {
        let known: Vec<(String, ObjectRef<PipelineSchedule>)> =
            self.known.lock().iter().map(|(uid, known)| (uid.clone(), known.reference.clone())).collect();
        for (uid, reference) in known {
            if !self.shell.schedules.contains(&reference) {
                self.forget_uid(&uid);
            }
        }
    }

    /// Counts and announces what a status says that the one before did not.
    async fn announce(&self, object: &PipelineSchedule, facts: &Schedule, news: &[News]) {
        let Schedule { namespace, name, offset, .. } = facts;
        for news in news {
            match news {
                News::Started { slot, run } => {
                    let late = self.now().duration_since(*slot).saturating_sub(*offset);
                    self.shell.metrics.slot_started(namespace, name, late);
                    // It waits for its claim.
                    self.shell.runs.wake(&ObjectRef::<PipelineRun>::new(run).within(namespace));
                }
                News::Missed { count, reason, .. } => self.shell.metrics.slots_missed(namespace, name, *reason, *count),
                News::Unwell(..) => {}
            }
            tracing::info!(?news, "schedule");
            self.shell.events.publish(object, Notice::from(ScheduleEvent::from(news))).await;
        }
    }
}

/// One pass over a schedule.
struct Pass<'a> {
    reconciler: &'a ScheduleReconciler,
    store: ScheduleStore<'a>,
    /// The version that was read or written last.
    object: Arc<PipelineSchedule>,
}

impl Pass<'_> {
    /// Carries out one act. What fails is tried again after a while, in a new pass.
    async fn carry_out(&mut self, act: &Act) -> Result<Answer, CallError> {
        Ok(match act {
            Act::ReadSchedule => {
                let read = self.store.read().await?;
                let schedule = read.as_ref().and_then(Schedule::of);
                if let Some(object) = read {
                    self.object = Arc::new(object);
                }
                Answer::Schedule(schedule.map(Box::new))
            }
            Act::ListRuns => Answer::Runs(self.store.runs().await?),
            Act::ReadRun(name) => Answer::Run(self.store.run(name).await?.map(Box::new)),
            Act::Write(change) => self.write(change).await?,
            Act::Create(run) => match self.store.create(run).await {
                Ok(created) => {
                    tracing::info!(run = created.name_any(), "created");
                    Answer::Run(ScheduledRun::of(&created).map(Box::new))
                }
                Err(error) if error.is_already_exists() => Answer::Exists,
                Err(error) if error.is_refused() => Answer::Refused(error.to_string()),
                Err(error) => return Err(error),
            },
            Act::Delete { name, uid, version } => match self.store.delete(name, uid, version).await {
                Ok(()) => Answer::Done,
                Err(error) if error.is_not_found() => Answer::Done,
                Err(error) if error.is_conflict() => Answer::Unclear,
                Err(error) => return Err(error),
            },
            Act::Done { .. } => Answer::Done,
        })
    }

    async fn write(&mut self, change: &Change) -> Result<Answer, CallError> {
        let shell = &self.reconciler.shell;
        let status = shell.definitions.fit(change.status.clone());
        match self.store.write_status(&self.object, status).await {
            Ok(object) => {
                let object = Arc::new(object);
                self.reconciler.remember(&self.object, &object);
                self.object = object;
                let schedule = Schedule::of(&self.object);
                if let Some(schedule) = &schedule {
                    self.reconciler.announce(&self.object, schedule, &change.news).await;
                }
                Ok(Answer::Schedule(schedule.map(Box::new)))
            }
            Err(error) if error.is_not_found() => Ok(Answer::Schedule(None)),
            Err(error) if error.is_conflict() => Ok(Answer::Unclear),
            Err(error) => Err(error),
        }
    }
}

/// The name of an act, for logs.
const fn name(act: &Act) -> &'static str {
    match act {
        Act::ReadSchedule => "read schedule",
        Act::ListRuns => "list runs",
        Act::ReadRun(_) => "read run",
        Act::Write(_) => "write status",
        Act::Create(_) => "create run",
        Act::Delete { .. } => "delete run",
        Act::Done { .. } => "done",
    }
}

/// Has the schedules looked at when the clock has stepped: timers follow another one. Sends nothing unless the clock is in doubt.
pub async fn notice_steps(shell: &Shell) {
    let (mut then, mut began) = (shell.clock.now(), Instant::now());
    loop {
        sleep(CLOCK_LOOK).await;
        let (now, elapsed) = (shell.clock.now(), began.elapsed());
        let step = now.duration_since(then).saturating_sub(SignedDuration::try_from(elapsed).unwrap_or_default());
        (then, began) = (now, Instant::now());
        if step.abs() >= STEP {
            tracing::info!(seconds = step.as_secs_f64(), "the clock has stepped");
            shell.wake_all_schedules();
        }
        if shell.clock.doubt().is_some() {
            ask_for_time(shell).await;
        }
    }
}

/// Nothing starts until the API server says that the clock is right, and no other answer may come for long.
async fn ask_for_time(shell: &Shell) {
    for _ in 0..COMPARED {
        if let Err(error) = call("ask the API server for its time", shell.client.apiserver_version()).await {
            tracing::debug!(%error, "the clock stays in doubt");
        }
    }
    if shell.clock.doubt().is_none() {
        shell.wake_all_schedules();
    }
}
