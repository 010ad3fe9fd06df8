//! An index that answers without reading every run: the oldest run of a pipeline, whether one of its runs is undecided, the runs of an
//! account, how many runs each phase has, with the oldest of them, and how long runs have been waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, runtime::reflector::ObjectRef};
use parking_lot::Mutex;

use super::run_cache::CachedRun;
use crate::account::{AccountKey, Age, age};
use nuvo_core::run::{PipelineId, RunRef, WaitAge, Waiting, awaits_trigger, parse, reason, settled, undecided};
use nuvo_crds::{ConcurrencyPolicy, Phase, PipelineRun, conditions::Reason};

/// An index of all cached runs. The watches feed it, right after they have fed the caches.
#[derive(Default)]
pub struct RunIndex(Mutex<State>);

#[derive(Default)]
struct State {
    /// By namespace and name.
    runs: HashMap<String, HashMap<String, Entry>>,
    accounts: HashMap<AccountKey, Account>,
    /// The namespaces and names of the runs that are undecided.
    undecided: HashMap<PipelineId, BTreeSet<(String, String)>>,
    phases: HashMap<&'static str, usize>,
    /// The ages of the runs that are not at rest, by phase.
    ages: HashMap<&'static str, BTreeSet<Age>>,
    /// How many runs have been waiting since a time, by their reason.
    waits: HashMap<Reason, BTreeMap<Timestamp, usize>>,
}

/// A run in the index.
#[derive(Clone)]
struct Entry {
    phase: Option<Phase>,
    waiting: Option<Box<Waiting>>,
    active: Option<Box<ActiveRun>>,
}

/// The part of an entry that only a run has that is not at rest.
#[derive(Clone)]
struct ActiveRun {
    account: AccountKey,
    age: Age,
    /// The pipeline whose trigger it waits for.
    waits_for: Option<PipelineId>,
    /// The pipeline whose trigger it has not settled.
    unsettled: Option<PipelineId>,
    /// The pipeline for which it may have a POST out.
    undecided: Option<PipelineId>,
    /// It waits for the end of an execution (`spec.concurrencyPolicy`).
    is_parked: bool,
    /// Its last passes failed. It is tried again, but no younger run waits for it, nor does it wait for an older one.
    is_failing: bool,
}

impl ActiveRun {
    /// The pipeline in whose queue it is.
    fn queued_for(&self) -> Option<&PipelineId> {
        self.waits_for.as_ref().filter(|_| !self.is_failing)
    }
}

/// The runs of an account that are not at rest, by their names.
#[derive(Default)]
struct Account {
    active: BTreeSet<String>,
    queues: HashMap<PipelineId, BTreeMap<Age, QueuedRun>>,
}

/// A run that waits for its trigger.
struct QueuedRun {
    name: String,
    /// It waits for the end of an execution. Only runs that would do the same wait for it.
    is_parked: bool,
}

/// What a change of one run means for others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The runs that no older run precedes any more.
    pub next: Vec<ObjectRef<PipelineRun>>,
    /// The run has settled the trigger of this pipeline, or was deleted, and had not settled it before.
    pub settled: Option<PipelineId>,
}

fn entry(run: &CachedRun) -> Entry {
    let waiting = run.waiting().map(Box::new);
    let Some(object) = run.whole() else { return Entry { phase: run.phase(), waiting, active: None } };
    let parsed = parse(&object).ok();
    let unsettled = parsed.as_ref().filter(|run| !settled(run)).map(|run| run.pipeline.clone());
    let undecided = parsed.as_ref().filter(|run| undecided(run)).map(|run| run.pipeline.clone());
    let is_parked = object.status.as_ref().and_then(reason) == Some(Reason::PipelineRunning);
    let waits_for = parsed.filter(awaits_trigger).map(|run| run.pipeline);
    let (account, age) = (AccountKey::of(&object), age(&object));
    let active = ActiveRun { account, age, waits_for, unsettled, undecided, is_parked, is_failing: false };
    Entry { phase: run.phase(), waiting, active: Some(Box::new(active)) }
}

impl Entry {
    fn queue(&self) -> Option<(AccountKey, PipelineId)> {
        let active = self.active.as_ref()?;
        Some((active.account.clone(), active.queued_for()?.clone()))
    }

    /// The phase, which a run without a status does not have yet.
    fn shown_phase(&self) -> &'static str {
        self.phase.unwrap_or(Phase::Pending).as_str()
    }

    /// Notes what the last version of the run waited for, if there was one.
    fn has_waited(&mut self, before: Option<&Self>, now: Timestamp) {
        if let (Some(waiting), Some(before)) = (self.waiting.as_deref_mut(), before) {
            *waiting = waiting.after(before.waiting.as_deref().copied(), now);
        }
    }

    fn unsettled(&self) -> Option<&PipelineId> {
        self.active.as_ref()?.unsettled.as_ref()
    }
}

impl Account {
    fn is_empty(&self) -> bool {
        self.active.is_empty() && self.queues.is_empty()
    }
}

impl State {
    fn add(&mut self, namespace: &str, name: &str, entry: Entry) {
        if let Some(phase) = entry.phase {
            let count = self.phases.entry(phase.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(waiting) = entry.waiting.as_deref() {
            let count = self.waits.entry(waiting.reason).or_default().entry(waiting.since).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(active) = &entry.active {
            let account = self.accounts.entry(active.account.clone()).or_default();
            account.active.insert(name.to_owned());
            if let Some(pipeline) = active.queued_for() {
                let waiting = QueuedRun { name: name.to_owned(), is_parked: active.is_parked };
                account.queues.entry(pipeline.clone()).or_default().insert(active.age.clone(), waiting);
            }
            if let Some(pipeline) = &active.undecided {
                self.undecided.entry(pipeline.clone()).or_default().insert((namespace.to_owned(), name.to_owned()));
            }
            self.ages.entry(entry.shown_phase()).or_default().insert(active.age.clone());
        }
        if !self.runs.contains_key(namespace) {
            self.runs.insert(namespace.to_owned(), HashMap::new());
        }
        if let Some(runs) = self.runs.get_mut(namespace) {
            runs.insert(name.to_owned(), entry);
        }
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Entry> {
        let runs = self.runs.get_mut(namespace)?;
        let entry = runs.remove(name)?;
        if runs.is_empty() {
            self.runs.remove(namespace);
        }
        if let Some(count) = entry.phase.and_then(|phase| self.phases.get_mut(phase.as_str())) {
            *count = count.saturating_sub(1);
        }
        if let Some(waiting) = entry.waiting.as_deref()
            && let Some(waits) = self.waits.get_mut(&waiting.reason)
            && let Some(count) = waits.get_mut(&waiting.since)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waits.remove(&waiting.since);
            }
        }
        if let Some(active) = &entry.active
            && let Some(ages) = self.ages.get_mut(entry.shown_phase())
        {
            ages.remove(&active.age);
        }
        if let Some(pipeline) = entry.active.as_ref().and_then(|active| active.undecided.as_ref())
            && let Some(runs) = self.undecided.get_mut(pipeline)
        {
            runs.remove(&(namespace.to_owned(), name.to_owned()));
            if runs.is_empty() {
                self.undecided.remove(pipeline);
            }
        }
        if let Some(active) = &entry.active
            && let Some(account) = self.accounts.get_mut(&active.account)
        {
            account.active.remove(name);
            if let Some(pipeline) = active.queued_for()
                && let Some(queue) = account.queues.get_mut(pipeline)
            {
                queue.remove(&active.age);
                if queue.is_empty() {
                    account.queues.remove(pipeline);
                }
            }
            if account.is_empty() {
                self.accounts.remove(&active.account);
            }
        }
        Some(entry)
    }

    fn active(&self, namespace: &str, name: &str) -> Option<&ActiveRun> {
        self.runs.get(namespace)?.get(name)?.active.as_deref()
    }

    /// The oldest run that waits; `passes`: except those that wait for the end of an execution.
    fn first(&self, account: &AccountKey, pipeline: &PipelineId, passes: bool) -> Option<(&Age, &str)> {
        let mut queue = self.accounts.get(account)?.queues.get(pipeline)?.iter();
        queue.find(|(_, waiting)| !(passes && waiting.is_parked)).map(|(age, waiting)| (age, waiting.name.as_str()))
    }

    /// Replaces the entry of a run, or removes it.
    fn change(&mut self, namespace: &str, name: &str, to: Option<Entry>) -> Change {
        let known = self.runs.get(namespace).and_then(|runs| runs.get(name));
        let before = known.and_then(Entry::unsettled).cloned();
        let now = to.as_ref().and_then(Entry::unsettled).cloned();
        let queues: BTreeSet<_> = known.and_then(Entry::queue).into_iter().chain(to.as_ref().and_then(Entry::queue)).collect();
        let firsts = |state: &Self| -> Vec<Option<String>> {
            let of = |passes| queues.iter().map(move |(account, pipeline)| (account, pipeline, passes));
            let firsts = of(false).chain(of(true)).map(|(account, pipeline, passes)| state.first(account, pipeline, passes));
            firsts.map(|first| first.map(|(_, name)| name.to_owned())).collect()
        };
        let earlier = firsts(self);
        self.remove(namespace, name);
        if let Some(entry) = to {
            self.add(namespace, name, entry);
        }
        // The run itself is reconciled anyway, because it has changed.
        let news = firsts(self).into_iter().zip(earlier).filter(|(now, before)| now != before).filter_map(|(now, _)| now);
        let next: BTreeSet<String> = news.filter(|first| first != name).collect();
        let next = next.into_iter().map(|first| ObjectRef::new(&first).within(namespace)).collect();
        Change { next, settled: before.filter(|before| now.as_ref() != Some(before)) }
    }
}

fn namespace_and_name(run: &CachedRun) -> (&str, &str) {
    let metadata = run.meta();
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

impl RunIndex {
    /// Adds a run, or updates it.
    pub fn put(&self, run: &CachedRun, now: Timestamp) -> Change {
        let (namespace, name) = namespace_and_name(run);
        let mut state = self.0.lock();
        let mut entry = entry(run);
        entry.has_waited(state.runs.get(namespace).and_then(|runs| runs.get(name)), now);
        if let Some(active) = &mut entry.active {
            active.is_failing = state.active(namespace, name).is_some_and(|before| before.is_failing && before.age == active.age);
        }
        state.change(namespace, name, Some(entry))
    }

    /// Sets whether the last passes over a run failed.
    pub fn set_failing(&self, run: &RunRef, is_failing: bool) -> Change {
        let mut state = self.0.lock();
        let of_run = |active: &&ActiveRun| active.age.1.as_deref() == Some(run.uid.as_str()) && active.is_failing != is_failing;
        if state.active(&run.namespace, &run.name).filter(of_run).is_none() {
            return Change::default();
        }
        let mut entry = state.runs.get(&run.namespace).and_then(|runs| runs.get(&run.name).cloned());
        if let Some(active) = entry.as_mut().and_then(|entry| entry.active.as_mut()) {
            active.is_failing = is_failing;
        }
        state.change(&run.namespace, &run.name, entry)
    }

    /// Removes a run.
    pub fn remove(&self, run: &CachedRun) -> Change {
        let (namespace, name) = namespace_and_name(run);
        self.0.lock().change(namespace, name, None)
    }

    /// Replaces all runs of a namespace; none means all namespaces.
    pub fn replace<'a>(&self, namespace: Option<&str>, runs: impl IntoIterator<Item = &'a CachedRun>, now: Timestamp) {
        let mut state = self.0.lock();
        let in_place = |other: &str| namespace.is_none_or(|namespace| namespace == other);
        let known = state.runs.iter().filter(|(namespace, _)| in_place(namespace));
        let known: Vec<(String, String)> =
            known.flat_map(|(namespace, runs)| runs.keys().map(|name| (namespace.clone(), name.clone()))).collect();
        let mut before = HashMap::new();
        for (namespace, name) in known {
            if let Some(entry) = state.remove(&namespace, &name) {
                before.insert((namespace, name), entry);
            }
        }
        for run in runs {
            let (namespace, name) = namespace_and_name(run);
            let mut entry = entry(run);
            entry.has_waited(before.get(&(namespace.to_owned(), name.to_owned())), now);
            state.add(namespace, name, entry);
        }
    }

    /// The oldest run that waits for its trigger before this one: of the same pipeline and account. None for a run whose passes fail. A run that
    /// waits for the end of an execution comes before those only that would wait for it, too.
    #[must_use]
    pub fn older(&self, object: &PipelineRun, pipeline: &PipelineId) -> Option<String> {
        let state = self.0.lock();
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let known = state.active(object.metadata.namespace.as_deref().unwrap_or_default(), name);
        if known.is_some_and(|active| active.is_failing) {
            return None;
        }
        let passes = object.spec.concurrency_policy != ConcurrencyPolicy::Queue;
        let (first, name) = state.first(&AccountKey::of(object), pipeline, passes)?;
        (*first < age(object)).then(|| name.to_owned())
    }

    /// Whether another run of this pipeline is [undecided].
    #[must_use]
    pub fn another_is_undecided(&self, pipeline: &PipelineId, me: &RunRef) -> bool {
        let state = self.0.lock();
        let mut runs = state.undecided.get(pipeline).into_iter().flatten();
        runs.any(|(namespace, name)| (namespace, name) != (&me.namespace, &me.name))
    }

    /// Whether another run of this pipeline waits for its trigger, whatever its account.
    #[must_use]
    pub fn another_waits(&self, pipeline: &PipelineId, me: &RunRef) -> bool {
        let state = self.0.lock();
        state.accounts.iter().any(|(account, known)| {
            let mut waiting = known.queues.get(pipeline).into_iter().flat_map(BTreeMap::values);
            waiting.any(|run| (&account.namespace, &run.name) != (&me.namespace, &me.name))
        })
    }

    /// The runs of an account that are not at rest.
    #[must_use]
    pub fn active_runs(&self, account: &AccountKey) -> Vec<ObjectRef<PipelineRun>> {
        let state = self.0.lock();
        let names = state.accounts.get(account).into_iter().flat_map(|known| &known.active);
        names.map(|name| ObjectRef::new(name).within(&account.namespace)).collect()
    }

    /// The accounts of runs that are not at rest.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountKey> {
        self.0.lock().accounts.keys().cloned().collect()
    }

    /// How many runs are in each phase.
    #[must_use]
    pub fn phases(&self) -> Vec<(&'static str, usize)> {
        self.0.lock().phases.iter().map(|(phase, count)| (*phase, *count)).collect()
    }

    /// How many runs are waiting for what, and for how long.
    #[must_use]
    pub fn waiting(&self, now: Timestamp) -> HashMap<(Reason, WaitAge), usize> {
        let mut counts = HashMap::new();
        for (reason, waits) in &self.0.lock().waits {
            for (since, runs) in waits {
                let count: &mut usize = counts.entry((*reason, WaitAge::of(*since, now))).or_default();
                *count = count.saturating_add(*runs);
            }
        }
        counts
    }

    /// When the oldest run of each phase was created, of those that are not at rest.
    #[must_use]
    pub fn oldest(&self) -> Vec<(&'static str, Timestamp)> {
        let state = self.0.lock();
        state.ages.iter().filter_map(|(phase, ages)| Some((*phase, ages.first()?.0?))).collect()
    }
}

#[cfg(test)]
mod tests;
