//! The runs of each schedule, as the watches show them.

use std::collections::{BTreeMap, HashMap};

use kube::Resource;
use parking_lot::Mutex;

use super::run_cache::{CachedRun, ScheduledAs};
use nuvo_core::schedule::ScheduledRun;

/// The namespace and the name of a schedule.
pub type ScheduleName = (String, String);

/// All cached runs with the label of a schedule.
#[derive(Default)]
pub struct ScheduleRuns(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the schedule and their name.
    runs: HashMap<ScheduleName, BTreeMap<String, ScheduledRun>>,
    /// The schedule of each run, by the namespace and name of the run.
    schedules: HashMap<(String, String), String>,
}

impl State {
    /// Sets what is known of a run. Returns the schedules that have to look at it.
    fn set(&mut self, namespace: &str, name: &str, to: Option<&ScheduledAs>) -> Vec<ScheduleName> {
        let run = (namespace.to_owned(), name.to_owned());
        let before = self.schedules.remove(&run).and_then(|schedule| {
            let schedule = (namespace.to_owned(), schedule);
            let runs = self.runs.get_mut(&schedule)?;
            let known = runs.remove(name)?;
            if runs.is_empty() {
                self.runs.remove(&schedule);
            }
            Some((schedule, known))
        });
        let now = to.map(|ScheduledAs { schedule, run }| ((namespace.to_owned(), schedule.clone()), run.clone()));
        if let Some((schedule, scheduled)) = now.clone() {
            self.schedules.insert(run, schedule.1.clone());
            self.runs.entry(schedule).or_default().insert(name.to_owned(), scheduled);
        }
        let is_same = match (&before, &now) {
            // Another version alone is nothing to look at.
            (Some((_, before)), Some((_, now))) => ScheduledRun { version: now.version.clone(), ..before.clone() } == *now,
            (None, None) => true,
            _ => false,
        };
        let both = [before.map(|(schedule, _)| schedule), now.map(|(schedule, _)| schedule)];
        let mut concerned: Vec<ScheduleName> = both.into_iter().flatten().collect();
        concerned.dedup();
        if is_same && concerned.len() < 2 { Vec::new() } else { concerned }
    }
}

fn namespace_and_name(run: &CachedRun) -> (&str, &str) {
    (run.meta().namespace.as_deref().unwrap_or_default(), run.meta().name.as_deref().unwrap_or_default())
}

impl ScheduleRuns {
    /// Adds a run, or updates it. Returns the schedules that have to look at it.
    pub fn put(&self, run: &CachedRun) -> Vec<ScheduleName> {
        let (namespace, name) = namespace_and_name(run);
        self.0.lock().set(namespace, name, run.scheduled())
    }

    /// Removes a run. Returns the schedules that have to notice.
    pub fn remove(&self, run: &CachedRun) -> Vec<ScheduleName> {
        let (namespace, name) = namespace_and_name(run);
        self.0.lock().set(namespace, name, None)
    }

    /// Replaces all runs of a namespace; none means all namespaces.
    pub fn replace<'a>(&self, namespace: Option<&str>, all: impl IntoIterator<Item = &'a CachedRun>) {
        let mut state = self.0.lock();
        let is_kept = |other: &str| namespace.is_some_and(|namespace| namespace != other);
        state.runs.retain(|(namespace, _), _| is_kept(namespace));
        state.schedules.retain(|(namespace, _), _| is_kept(namespace));
        for run in all {
            let (namespace, name) = namespace_and_name(run);
            state.set(namespace, name, run.scheduled());
        }
    }

    /// The name of the schedule of a run.
    #[must_use]
    pub fn schedule_of(&self, namespace: &str, run: &str) -> Option<String> {
        self.0.lock().schedules.get(&(namespace.to_owned(), run.to_owned())).cloned()
    }

    /// The runs of a schedule.
    #[must_use]
    pub fn of(&self, schedule: &ScheduleName) -> Vec<ScheduledRun> {
        self.0.lock().runs.get(schedule).map(|runs| runs.values().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(name: &str, schedule: Option<&str>, version: &str, status: Value) -> CachedRun {
        let mut labels = json!({});
        if let Some(schedule) = schedule {
            labels["nuvo.dev/schedule"] = json!(schedule);
        }
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "namespace": "team", "uid": name, "resourceVersion": version, "labels": labels,
                "creationTimestamp": "2026-11-28T00:00:00Z",
            },
            "spec": { "pipelineId": "orders" },
            "status": status,
        }))
        .unwrap()
    }

    fn nightly() -> ScheduleName {
        ("team".to_owned(), "nightly".to_owned())
    }

    #[test]
    fn schedule_has_to_look_at_what_has_changed_of_its_runs_but_not_at_a_version() {
        let runs = ScheduleRuns::default();
        let other = ("team".to_owned(), "other".to_owned());
        assert_eq!(runs.put(&run("plain", None, "1", json!({}))), []);
        assert_eq!(runs.put(&run("a", Some("nightly"), "1", json!({}))), [nightly()]);
        assert_eq!(runs.put(&run("a", Some("nightly"), "2", json!({ "attempt": 1 }))), []);
        assert_eq!(runs.put(&run("a", Some("nightly"), "3", json!({ "phase": "Running" }))), [nightly()]);
        assert_eq!(runs.put(&run("a", Some("other"), "4", json!({ "phase": "Running" }))), [nightly(), other.clone()]);
        assert_eq!((runs.of(&nightly()).len(), runs.of(&other).len()), (0, 1));
        assert_eq!(runs.remove(&run("a", None, "4", json!({}))), [other]);
        assert_eq!(runs.remove(&run("a", None, "4", json!({}))), []);
    }

    #[test]
    fn list_of_a_namespace_replaces_its_runs() {
        let runs = ScheduleRuns::default();
        runs.put(&run("gone", Some("nightly"), "1", json!({})));
        runs.replace(Some("other"), []);
        assert_eq!(runs.of(&nightly()).len(), 1);
        runs.replace(Some("team"), [&run("a", Some("nightly"), "1", json!({}))]);
        assert_eq!(runs.of(&nightly()).iter().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
