//! Which executions are read by their ids, and what that shows.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nuvo_crds::{Execution, RunningExecution, SeenExecution};

use super::{
    super::{
        ended::{end, is_later, seen_execution},
        sighting::{Details, NuvoInstant, Sighting},
        zone::Zone,
    },
    PipelineRecord, Running, Watch,
};
use crate::{
    run::ExecutionId,
    vocabulary::{ExecutionStatus, FAILED, SUCCESSFUL},
};

/// How often an execution is read in vain before it is counted without its statistics.
const TRIES: u8 = 3;
/// The first wait before a failed execution is read again, to find a repair. It doubles up to an hour.
const FIRST_WATCH: Duration = Duration::from_secs(60);
const LONGEST_WATCH: Duration = Duration::from_secs(3_600);
/// For how long a failed execution is read again.
const WATCHED_FOR: Duration = Duration::from_secs(7 * 86_400);

impl PipelineRecord {
    /// Which execution is to be read by its id now, if any: one for each look. All others that have ended are counted without their
    /// statistics.
    pub fn next_read(&mut self, now: Duration) -> Option<ExecutionId> {
        // Neither what ends in each look keeps those that are not shown from being read, nor they it.
        let is_hidden = self.running.values().any(|running| !running.is_shown);
        self.was_hidden = is_hidden && !self.was_hidden;
        if self.was_hidden {
            return self.hidden(now);
        }
        if let Some(id) = self.next_ended() {
            return Some(id);
        }
        // Whether it counts for the freshness can depend on its rows: then it is read until they are known.
        if let Some(id) = self.unread().and_then(|success| ExecutionId::new(success.id.clone()).ok())
            && (self.min_rows > 0 || self.tries.as_ref().is_none_or(|(tried, tries)| *tried != id || *tries < TRIES))
        {
            return Some(id);
        }
        self.watched(now).or_else(|| self.hidden(now))
    }

    /// The newest success of those that have ended, else the newest failure.
    fn next_ended(&mut self) -> Option<ExecutionId> {
        let newest = |status: &str| self.ended.iter().filter(|ended| ended.status == status).max_by_key(|ended| end(ended)).cloned();
        let chosen = newest(SUCCESSFUL).or_else(|| newest(FAILED))?;
        for other in std::mem::take(&mut self.ended) {
            if other.id != chosen.id {
                self.counts.execution(&other);
            }
        }
        let id = ExecutionId::new(chosen.id.clone()).ok();
        self.ended = vec![chosen];
        id
    }

    /// The execution that the last look has not shown and that was not read for the longest time.
    fn hidden(&mut self, now: Duration) -> Option<ExecutionId> {
        let hidden = self.running.iter_mut().filter(|(_, running)| !running.is_shown);
        let (id, running) = hidden.min_by_key(|(_, running)| running.asked)?;
        running.asked = Some(now);
        Some(id.clone())
    }

    /// The last failure, if it is later than the last success, and it is time to look whether it was repaired.
    fn watched(&mut self, now: Duration) -> Option<ExecutionId> {
        let failure = self.last_failure.as_ref().filter(|failure| is_later(failure, self.last_success.as_ref()))?;
        if self.watch.as_ref().is_none_or(|watch| watch.id != failure.id) {
            let next = now.saturating_add(FIRST_WATCH);
            self.watch = Some(Watch { id: failure.id.clone(), since: now, wait: FIRST_WATCH, next });
        }
        let watch = self.watch.as_mut().filter(|watch| watch.next <= now && now.saturating_sub(watch.since) < WATCHED_FOR)?;
        watch.wait = watch.wait.saturating_mul(2).min(LONGEST_WATCH);
        watch.next = now.saturating_add(watch.wait);
        ExecutionId::new(watch.id.clone()).ok()
    }

    /// A read by its id has shown an execution.
    pub fn read(&mut self, sighting: &Sighting, zone: &Zone) {
        let execution = seen_execution(sighting, zone);
        if let Some(running) = self.running.get_mut(&sighting.id) {
            running.read = running.asked;
        }
        self.tries = self.tries.take().filter(|(tried, _)| *tried != sighting.id);
        if self.running.contains_key(&sighting.id) || (sighting.status == ExecutionStatus::Successful && self.is_failed(&execution.id)) {
            self.learn(sighting, zone, true);
        }
        if !sighting.status.is_terminal() {
            return;
        }
        self.replace(&execution);
        self.count_for_freshness(&execution);
        if self.ended.iter().any(|ended| ended.id == execution.id) {
            self.ended.retain(|ended| ended.id != execution.id);
            self.counts.execution(&execution);
        }
        if execution.stats.is_none() {
            self.note_bare(&sighting.id);
        }
    }

    /// A read by its id came to nothing. `is_gone`: nuvo has no such execution.
    pub fn read_failed(&mut self, id: &ExecutionId, is_gone: bool) {
        let tries = self.tries.as_ref().filter(|(tried, _)| tried == id).map_or(1, |(_, tries)| tries.saturating_add(1));
        self.tries = Some((id.clone(), tries));
        if is_gone {
            self.note_bare(id);
        }
        if !is_gone && tries < TRIES {
            return;
        }
        if is_gone && let Some(Running { about, .. }) = self.running.remove(id) {
            let RunningExecution { id, trigger_type, created_at } = about;
            self.counts.execution(&SeenExecution { id, trigger_type, created_at, ..SeenExecution::default() });
        }
        for ended in std::mem::take(&mut self.ended) {
            if ended.id == id.as_str() { self.counts.execution(&ended) } else { self.ended.push(ended) }
        }
    }

    /// nuvo has no statistics of it: it is not asked for them again.
    fn note_bare(&mut self, id: &ExecutionId) {
        let shown = self.recent.iter().chain(&self.last_success);
        let shown: BTreeSet<&str> = shown.map(|execution| execution.id.as_str()).collect();
        self.bare.retain(|bare| shown.contains(bare.as_str()));
        if shown.contains(id.as_str()) {
            self.bare.insert(id.to_string());
        }
    }

    /// What a run of the operator knows of an execution already.
    #[must_use]
    pub fn known_to_a_run(id: &ExecutionId, report: &Execution) -> Option<Sighting> {
        let status = ExecutionStatus::from(report.status.as_deref()?);
        let instant = |time: &Option<Time>| Some(NuvoInstant { at: time.as_ref()?.0, is_zoned: false });
        let last = report.runs.last();
        let ended = last.and_then(|run| {
            let took = u64::try_from(run.duration_milliseconds?).ok()?;
            run.start_time.as_ref()?.0.checked_add(Duration::from_millis(took)).ok()
        });
        status.is_terminal().then(|| Sighting {
            id: id.clone(),
            status,
            trigger_type: report.trigger_type.clone(),
            created: instant(&report.created_at),
            updated: instant(&report.updated_at),
            error_type: report.error.as_ref().and_then(|error| error.error_type.clone()),
            created_by: None,
            details: Some(Details { stats: report.stats, ended }),
        })
    }
}
