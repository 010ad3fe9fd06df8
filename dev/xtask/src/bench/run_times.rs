//! When runs were triggered and how late their ends were shown, from the simulator's journal and the watch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use nuvo_sim::{Operation, RecordedRequest};

use super::environment::Environment;
use super::run_watch::ObservedRun;
use super::{Failure, nuvo_requests};

/// What the simulator's journal, its executions and the watch show together.
pub struct RunTimes {
    beginning: Instant,
    /// From the answer to each creation to the arrival of the POST.
    pub triggers: Vec<Duration>,
    /// How long the runs have waited that are not triggered.
    pub untriggered: Vec<Duration>,
    /// From each end in nuvo to its arrival through the watch.
    pub lags: Vec<Duration>,
    /// The lags so far of the ends that have not arrived.
    pub unseen: Vec<Duration>,
    pub last_post: Instant,
    pub last_end: Instant,
    pub last_seen: Instant,
    /// The first end that arrived.
    pub first_seen: Option<Instant>,
    /// What is not as it must be.
    pub broken: Vec<String>,
}

impl RunTimes {
    /// The times of the runs that were created. The simulator has started executions of these runs only; their pipelines say how long they take.
    pub fn gather(
        environment: &Environment,
        created: &BTreeMap<String, Instant>,
        seen: &BTreeMap<String, ObservedRun>,
        journal: &[RecordedRequest],
    ) -> Result<Self, Failure> {
        let (beginning, now) = (environment.beginning(), Instant::now());
        let posts: BTreeMap<u64, &RecordedRequest> =
            journal.iter().filter(|request| request.operation == Operation::Create).map(|request| (request.number, request)).collect();
        let durations: BTreeMap<String, Duration> =
            environment.sim.pipelines().into_iter().map(|pipeline| (pipeline.id, pipeline.duration.0)).collect();
        let started = environment.sim.executions().into_iter().filter(|execution| execution.request.is_some());
        let executions: BTreeMap<String, _> = started.map(|execution| (execution.id.clone(), execution)).collect();
        let mut times = Self {
            beginning,
            triggers: Vec::new(),
            untriggered: Vec::new(),
            lags: Vec::new(),
            unseen: Vec::new(),
            last_post: beginning,
            last_end: beginning,
            last_seen: beginning,
            first_seen: None,
            broken: Vec::new(),
        };
        for (name, answered) in created {
            let Some(run) = seen.get(name) else { return Err(format!("{name} was never seen").into()) };
            if run.executions.is_empty() && run.ended.is_none() {
                times.untriggered.push(now.saturating_duration_since(*answered));
                continue;
            }
            let [id] = run.executions.as_slice() else {
                times.broken.push(format!("{name} has {} executions ({})", run.executions.len(), run.reason));
                continue;
            };
            let execution = executions.get(id).ok_or_else(|| format!("{name} shows an execution that nuvo did not start: {id}"))?;
            let duration = durations.get(&execution.pipeline).ok_or_else(|| format!("nuvo has no pipeline {}", execution.pipeline))?;
            let post = execution.request.and_then(|number| posts.get(&number)).ok_or_else(|| format!("no POST started {id}"))?;
            let post_at = times.at(post.at_ms);
            times.triggers.push(post_at.saturating_duration_since(*answered));
            times.last_post = times.last_post.max(post_at);
            // The difference of the two dates is the time from the POST's arrival to the creation.
            let made: Timestamp = execution.created_at.parse()?;
            let arrived: Timestamp = post.at.parse()?;
            let after = Duration::try_from(made.duration_since(arrived)).unwrap_or_default();
            let end = post_at.checked_add(after).and_then(|made| made.checked_add(*duration)).unwrap_or(post_at);
            times.last_end = times.last_end.max(end);
            let Some(shown) = run.ended else {
                times.unseen.push(now.saturating_duration_since(end));
                continue;
            };
            times.lags.push(shown.saturating_duration_since(end));
            times.last_seen = times.last_seen.max(shown);
            times.first_seen = Some(times.first_seen.map_or(shown, |first| first.min(shown)));
            if run.reason != "Succeeded" {
                times.broken.push(format!("{name} has ended as {}", run.reason));
            }
        }
        let (executed, names) = nuvo_requests::carried_out(journal);
        // A trigger may be on its way.
        let fits = if times.untriggered.is_empty() { executed == created.len() } else { executed <= created.len() };
        if !fits || names != executed || executions.len() != executed {
            times.broken.push(format!(
                "{} runs, but {executed} POSTs were carried out ({names} different ones) and made {} executions",
                created.len(),
                executions.len()
            ));
        }
        Ok(times)
    }

    /// A moment on the simulator's clock.
    pub fn at(&self, millis: i64) -> Instant {
        let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        self.beginning.checked_add(since).unwrap_or(self.beginning)
    }
}
