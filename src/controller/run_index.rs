//! What must be found without a look at every run: who of a pipeline goes first, who uses an account, and how many are in each phase.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, runtime::reflector::ObjectRef};

use super::{account_registry::AccountKey, run_cache::CachedRun};
use nuvo_core::run::{PipelineId, awaits_trigger, parse, settled};
use nuvo_crds::{Phase, PipelineRun};

/// Older runs come first; those of the same second in the order of their uids.
pub type Age = (Option<Timestamp>, Option<String>);

/// The age of a run.
#[must_use]
pub fn age(object: &PipelineRun) -> Age {
    (object.metadata.creation_timestamp.as_ref().map(|time| time.0), object.metadata.uid.clone())
}

/// An index of all cached runs. The watches feed it, right after the caches have what they tell.
#[derive(Default)]
pub struct Index(Mutex<State>);

#[derive(Default)]
struct State {
    /// By namespace and name.
    runs: HashMap<String, HashMap<String, Entry>>,
    accounts: HashMap<AccountKey, Account>,
    phases: HashMap<&'static str, usize>,
}

/// What the index has noted of a run.
struct Entry {
    phase: Option<Phase>,
    going: Option<Box<Going>>,
}

/// What it has noted of one that is not at rest.
struct Going {
    account: AccountKey,
    /// Its place among those that wait for their trigger.
    place: Option<(PipelineId, Age)>,
    /// The pipeline whose trigger it has not settled.
    unsettled: Option<PipelineId>,
}

/// The runs of an account that are not at rest, by their names.
#[derive(Default)]
struct Account {
    going: BTreeSet<String>,
    queues: HashMap<PipelineId, BTreeMap<Age, String>>,
}

/// What a change of one run means for others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// No older run is ahead of these any more.
    pub next: Vec<ObjectRef<PipelineRun>>,
    /// The run has settled the trigger of this pipeline, or is gone, and had not before.
    pub settled: Option<PipelineId>,
}

fn entry(run: &CachedRun) -> Entry {
    let Some(object) = run.whole() else { return Entry { phase: run.phase(), going: None } };
    let parsed = parse(object).ok().filter(|_| object.spec.execution_id.is_none());
    let unsettled = parsed.as_ref().filter(|run| !settled(run)).map(|run| run.pipeline.clone());
    let place = parsed.filter(awaits_trigger).map(|run| (run.pipeline, age(object)));
    Entry { phase: run.phase(), going: Some(Box::new(Going { account: AccountKey::of(object), place, unsettled })) }
}

impl Entry {
    fn queue(&self) -> Option<(AccountKey, PipelineId)> {
        let going = self.going.as_ref()?;
        Some((going.account.clone(), going.place.as_ref()?.0.clone()))
    }

    fn unsettled(&self) -> Option<&PipelineId> {
        self.going.as_ref()?.unsettled.as_ref()
    }
}

impl Account {
    fn is_empty(&self) -> bool {
        self.going.is_empty() && self.queues.is_empty()
    }
}

impl State {
    fn add(&mut self, namespace: &str, name: &str, entry: Entry) {
        if let Some(phase) = entry.phase {
            let count = self.phases.entry(phase.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(going) = &entry.going {
            let account = self.accounts.entry(going.account.clone()).or_default();
            account.going.insert(name.to_owned());
            if let Some((pipeline, age)) = &going.place {
                account.queues.entry(pipeline.clone()).or_default().insert(age.clone(), name.to_owned());
            }
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
        if let Some(going) = &entry.going
            && let Some(account) = self.accounts.get_mut(&going.account)
        {
            account.going.remove(name);
            if let Some((pipeline, age)) = &going.place
                && let Some(queue) = account.queues.get_mut(pipeline)
            {
                queue.remove(age);
                if queue.is_empty() {
                    account.queues.remove(pipeline);
                }
            }
            if account.is_empty() {
                self.accounts.remove(&going.account);
            }
        }
        Some(entry)
    }

    fn first(&self, account: &AccountKey, pipeline: &PipelineId) -> Option<(&Age, &String)> {
        self.accounts.get(account)?.queues.get(pipeline)?.first_key_value()
    }

    /// Puts a run into its place, or takes it out.
    fn change(&mut self, namespace: &str, name: &str, to: Option<Entry>) -> Change {
        let known = self.runs.get(namespace).and_then(|runs| runs.get(name));
        let before = known.and_then(Entry::unsettled).cloned();
        let now = to.as_ref().and_then(Entry::unsettled).cloned();
        let queues: BTreeSet<_> = known.and_then(Entry::queue).into_iter().chain(to.as_ref().and_then(Entry::queue)).collect();
        let firsts = |state: &Self| -> Vec<Option<String>> {
            queues.iter().map(|(account, pipeline)| state.first(account, pipeline).map(|(_, first)| first.clone())).collect()
        };
        let earlier = firsts(self);
        self.remove(namespace, name);
        if let Some(entry) = to {
            self.add(namespace, name, entry);
        }
        // The run itself is looked at anyway, because it has changed.
        let news = firsts(self).into_iter().zip(earlier).filter(|(now, before)| now != before).filter_map(|(now, _)| now);
        let next = news.filter(|first| first != name).map(|first| ObjectRef::new(&first).within(namespace)).collect();
        Change { next, settled: before.filter(|before| now.as_ref() != Some(before)) }
    }
}

fn place(run: &CachedRun) -> (&str, &str) {
    let metadata = run.meta();
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

impl Index {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run is new, or has changed.
    pub fn put(&self, run: &CachedRun) -> Change {
        let (namespace, name) = place(run);
        self.state().change(namespace, name, Some(entry(run)))
    }

    /// A run is gone.
    pub fn remove(&self, run: &CachedRun) -> Change {
        let (namespace, name) = place(run);
        self.state().change(namespace, name, None)
    }

    /// These are all runs of a namespace (none stands for all of them) that there are.
    pub fn replace<'a>(&self, namespace: Option<&str>, runs: impl IntoIterator<Item = &'a CachedRun>) {
        let mut state = self.state();
        let in_place = |other: &str| namespace.is_none_or(|namespace| namespace == other);
        let known = state.runs.iter().filter(|(namespace, _)| in_place(namespace));
        let known: Vec<(String, String)> =
            known.flat_map(|(namespace, runs)| runs.keys().map(|name| (namespace.clone(), name.clone()))).collect();
        for (namespace, name) in known {
            state.remove(&namespace, &name);
        }
        for run in runs {
            let (namespace, name) = place(run);
            state.add(namespace, name, entry(run));
        }
    }

    /// The oldest run that waits for its trigger before this one: of the same pipeline and account.
    #[must_use]
    pub fn older(&self, object: &PipelineRun, pipeline: &PipelineId) -> Option<String> {
        let state = self.state();
        let (first, name) = state.first(&AccountKey::of(object), pipeline)?;
        (*first < age(object)).then(|| name.clone())
    }

    /// The runs of an account that are not at rest.
    #[must_use]
    pub fn going(&self, account: &AccountKey) -> Vec<ObjectRef<PipelineRun>> {
        let state = self.state();
        let names = state.accounts.get(account).into_iter().flat_map(|known| &known.going);
        names.map(|name| ObjectRef::new(name).within(&account.namespace)).collect()
    }

    /// The accounts of runs that are not at rest.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountKey> {
        self.state().accounts.keys().cloned().collect()
    }

    /// How many runs are in each phase.
    #[must_use]
    pub fn phases(&self) -> Vec<(&'static str, usize)> {
        self.state().phases.iter().map(|(phase, count)| (*phase, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::run_cache;

    fn run(name: &str, second: u8, fields: &Value) -> CachedRun {
        let mut run = json!({
            "metadata": {
                "name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": "1",
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            },
            "spec": { "pipelineId": "orders" },
            "status": { "phase": "Pending" },
        });
        for part in ["metadata", "spec", "status"] {
            for (key, value) in fields[part].as_object().into_iter().flatten() {
                run[part][key] = value.clone();
            }
        }
        serde_json::from_value(run).unwrap()
    }

    fn waiting(name: &str, second: u8) -> CachedRun {
        run(name, second, &Value::Null)
    }

    fn accepted(name: &str, second: u8) -> CachedRun {
        let trigger = json!({ "nonce": "n", "attempt": 1, "state": "Accepted", "evidence": "Answer" });
        run(name, second, &json!({ "status": { "phase": "Running", "trigger": trigger, "attempt": 1 } }))
    }

    fn names(refs: &[ObjectRef<PipelineRun>]) -> Vec<&str> {
        refs.iter().map(|run| run.name.as_str()).collect()
    }

    fn older(index: &Index, name: &str, second: u8) -> Option<String> {
        index.older(waiting(name, second).whole().unwrap(), &orders())
    }

    fn orders() -> PipelineId {
        PipelineId::new("orders").unwrap()
    }

    #[test]
    fn the_oldest_goes_first_and_the_next_one_is_told() {
        let index = Index::default();
        for object in [waiting("c", 3), waiting("a", 1), waiting("b", 2)] {
            index.put(&object);
        }
        let older = |name, second| older(&index, name, second);
        assert_eq!([older("a", 1), older("b", 2), older("c", 3)], [None, Some("a".into()), Some("a".into())]);
        let change = index.put(&accepted("a", 1));
        assert_eq!((names(&change.next), &change.settled), (vec!["b"], &Some(orders())));
        assert_eq!([older("b", 2), older("c", 3)], [None, Some("b".into())]);
        assert_eq!(index.put(&accepted("a", 1)), Change::default(), "no news, nobody is told");
        let change = index.remove(&waiting("b", 2));
        assert_eq!((names(&change.next), &change.settled), (vec!["c"], &Some(orders())));
        let change = index.remove(&waiting("c", 3));
        assert_eq!((names(&change.next), &change.settled), (vec![], &Some(orders())));
        assert_eq!(index.remove(&waiting("c", 3)), Change::default());
    }

    #[test]
    fn runs_of_the_same_second_go_in_the_order_of_their_uids() {
        let index = Index::default();
        index.put(&waiting("b", 1));
        index.put(&waiting("a", 1));
        assert_eq!(older(&index, "b", 1), Some("a".into()));
        assert_eq!(older(&index, "a", 1), None);
    }

    #[test]
    fn whoever_cannot_be_triggered_is_ahead_of_nobody() {
        let elsewhere = [
            json!({ "spec": { "suspend": true } }),
            json!({ "spec": { "executionId": "e1" } }),
            json!({ "spec": { "pipelineId": "others" } }),
            json!({ "spec": { "pipelineId": "not a pipeline" } }),
            json!({ "spec": { "accountRef": { "name": "other" } } }),
            json!({ "metadata": { "namespace": "other" } }),
            json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:01:00Z" } }),
            json!({ "status": { "completionTime": "2026-01-01T00:01:00Z" } }),
        ];
        for fields in elsewhere {
            let index = Index::default();
            index.put(&run("a", 1, &fields));
            assert_eq!(older(&index, "b", 2), None, "{fields}");
            // It steps back, and the next one is told.
            let index = Index::default();
            index.put(&waiting("a", 1));
            index.put(&waiting("b", 2));
            if fields["metadata"]["namespace"].is_null() {
                assert_eq!(names(&index.put(&run("a", 1, &fields)).next), ["b"], "{fields}");
            }
        }
    }

    #[test]
    fn a_run_that_is_put_before_others_is_told_to_nobody() {
        let index = Index::default();
        index.put(&waiting("b", 2));
        assert_eq!(index.put(&waiting("a", 1)), Change::default());
        assert_eq!(older(&index, "b", 2), Some("a".into()));
    }

    #[test]
    fn a_new_list_replaces_what_was_known_of_its_namespace() {
        let index = Index::default();
        let there = run("a", 1, &json!({ "metadata": { "namespace": "other" } }));
        for object in [&waiting("a", 1), &waiting("b", 2), &there] {
            index.put(object);
        }
        index.replace(Some("team"), [&waiting("b", 2), &waiting("c", 3)]);
        assert_eq!((older(&index, "b", 2), index.phases()), (None, vec![("Pending", 3)]));
        assert_eq!(older(&index, "c", 3), Some("b".into()));
        index.replace(None, [&accepted("c", 3)]);
        assert_eq!((older(&index, "d", 4), index.accounts().len()), (None, 1));
        index.replace(None, []);
        let state = index.state();
        assert!(state.runs.is_empty() && state.accounts.is_empty() && state.phases.values().all(|count| *count == 0));
    }

    #[test]
    fn an_account_knows_its_runs_until_they_are_at_rest() {
        let index = Index::default();
        let mut ended = run_cache::tests::ended("Succeeded", "True");
        let account = AccountKey::of(&ended);
        ended.metadata.generation = Some(2);
        index.put(&CachedRun::from(ended.clone()));
        assert_eq!((names(&index.going(&account)), index.accounts()), (vec!["orders-2026-01-01"], vec![account.clone()]));
        ended.metadata.generation = Some(1);
        let rests = CachedRun::from(ended);
        assert!(rests.whole().is_none());
        index.put(&rests);
        assert_eq!((index.going(&account).len(), index.accounts().len(), index.phases()), (0, 0, vec![("Succeeded", 1)]));
        index.remove(&rests);
        assert_eq!(index.phases(), [("Succeeded", 0)]);
    }
}
