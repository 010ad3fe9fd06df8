//! The executions of one pipeline, as far as one `NuvoPipeline` has seen them.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nuvo_crds::{Execution, MAX_RECENT, MAX_RUNNING, Mirror, NuvoPipelineStatus, RunningExecution, Seen, SeenExecution};

use super::{
    counts::Counts,
    ended::{counts, end, is_later, keep_latest, seen_execution},
    sighting::{Details, NuvoInstant, Sighting},
    watermark::{Age, Watermark},
    zone::Zone,
};
use crate::{
    run::{AccountHash, ExecutionId},
    vocabulary::{ExecutionStatus, FAILED, SUCCESSFUL},
};

/// The most executions that are followed at once.
const FOLLOWED: usize = 1_024;
/// How often an execution is read in vain before it is counted without its statistics.
const TRIES: u8 = 3;
/// The first wait before a failed execution is read again, to find a repair. It doubles up to an hour.
const FIRST_WATCH: Duration = Duration::from_secs(60);
const LONGEST_WATCH: Duration = Duration::from_secs(3_600);
/// For how long a failed execution is read again.
const WATCHED_FOR: Duration = Duration::from_secs(7 * 86_400);

/// What a `NuvoPipeline` has seen of its pipeline.
#[derive(Debug, Clone)]
pub struct PipelineRecord {
    account: AccountHash,
    min_rows: i64,
    /// None before there was a look at what is there already.
    watermark: Option<Watermark>,
    /// What was counted before what is there is looked at anew.
    earlier: Option<Watermark>,
    running: BTreeMap<ExecutionId, Running>,
    last_execution: Option<SeenExecution>,
    last_success: Option<SeenExecution>,
    last_failure: Option<SeenExecution>,
    last_counted: Option<SeenExecution>,
    /// Newest first.
    recent: Vec<SeenExecution>,
    /// Those that have ended and are not counted yet.
    ended: Vec<SeenExecution>,
    /// What a look that is not complete yet has shown.
    shown: BTreeMap<ExecutionId, Sighting>,
    tries: Option<(ExecutionId, u8)>,
    watch: Option<Watch>,
    is_fixed: bool,
    counts: Counts,
    mirror: Mirror,
    /// New executions that are to be mirrored, in the order in which they were seen.
    unmirrored: Vec<SeenExecution>,
}

/// An execution that is running.
#[derive(Debug, Clone)]
struct Running {
    about: RunningExecution,
    /// The last look has shown it.
    is_shown: bool,
    /// When it was read last.
    asked: Option<Duration>,
}

/// A failed execution that may be repaired.
#[derive(Debug, Clone)]
struct Watch {
    id: String,
    since: Duration,
    wait: Duration,
    next: Duration,
}

/// What the status shows of a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The newest of those that run.
    pub running: Vec<RunningExecution>,
    /// The newest.
    pub last_execution: Option<SeenExecution>,
    /// The last success.
    pub last_success: Option<SeenExecution>,
    /// The last failure.
    pub last_failure: Option<SeenExecution>,
    /// The last success that counts for the freshness.
    pub last_counted: Option<SeenExecution>,
    /// The newest ones, newest first.
    pub recent: Vec<SeenExecution>,
    /// What was counted.
    pub seen: Option<Seen>,
    /// The last success was a failure that was repaired.
    pub is_fixed: bool,
}

impl PipelineRecord {
    /// What the status has kept. What was seen with another account does not count.
    #[must_use]
    pub fn load(status: Option<&NuvoPipelineStatus>, account: AccountHash) -> Self {
        let mut record = Self {
            account,
            min_rows: 0,
            watermark: None,
            earlier: None,
            running: BTreeMap::new(),
            last_execution: None,
            last_success: None,
            last_failure: None,
            last_counted: None,
            recent: Vec::new(),
            ended: Vec::new(),
            shown: BTreeMap::new(),
            tries: None,
            watch: None,
            is_fixed: false,
            counts: Counts::default(),
            mirror: Mirror::default(),
            unmirrored: Vec::new(),
        };
        let Some(status) = status else { return record };
        let newest = status.last_execution.as_ref().and_then(|execution| execution.created_at.as_ref()).map(|time| time.0);
        record.watermark = Watermark::load(status.seen.as_ref(), &record.account, newest);
        let is_of_account = status.seen.as_ref().and_then(|seen| seen.account.as_deref()) == Some(record.account.as_str());
        if !is_of_account {
            return record;
        }
        record.last_execution.clone_from(&status.last_execution);
        record.last_success.clone_from(&status.last_success);
        record.last_failure.clone_from(&status.last_failure);
        record.last_counted.clone_from(&status.last_counted);
        record.recent.clone_from(&status.recent);
        for about in &status.running {
            if let Ok(id) = ExecutionId::new(about.id.clone()) {
                record.running.insert(id, Running { about: about.clone(), is_shown: false, asked: None });
            }
        }
        record
    }

    /// The account with which it was seen.
    #[must_use]
    pub const fn account(&self) -> &AccountHash {
        &self.account
    }

    /// When an execution that is shown was created, as it was stored.
    #[must_use]
    pub fn created(&self, id: &ExecutionId) -> Option<Timestamp> {
        let shown = self.recent.iter().chain(&self.last_success).chain(&self.last_failure);
        shown.filter(|execution| execution.id == id.as_str()).find_map(|execution| execution.created_at.as_ref()).map(|time| time.0)
    }

    /// How many rows a success needs to count for the freshness, and which new executions are to be mirrored.
    pub fn set_wishes(&mut self, min_rows: i64, mirror: &Mirror) {
        self.min_rows = min_rows;
        if self.mirror != *mirror {
            self.mirror = mirror.clone();
            self.unmirrored.clear();
        }
    }

    /// New executions that are to be mirrored, in the order in which they were seen.
    #[must_use]
    pub fn unmirrored(&self) -> &[SeenExecution] {
        &self.unmirrored
    }

    /// An execution is mirrored, or will not be.
    pub fn mirrored(&mut self, id: &str) {
        self.unmirrored.retain(|execution| execution.id != id);
    }

    /// Of more than there is room for, the newest are mirrored.
    fn want_mirrored(&mut self, execution: &SeenExecution) {
        let limit = usize::try_from(self.mirror.history_limit).unwrap_or_default();
        let trigger = execution.trigger_type.as_deref().unwrap_or_default();
        if limit > 0 && self.mirror.trigger_types.iter().any(|wanted| wanted == trigger) {
            self.unmirrored.push(execution.clone());
            self.unmirrored.drain(..self.unmirrored.len().saturating_sub(limit));
        }
    }

    /// Executions that were created before this time are known. None before there was a look at what is there already.
    #[must_use]
    pub fn floor(&self) -> Option<Option<Timestamp>> {
        self.watermark.as_ref().map(Watermark::floor)
    }

    /// What is there already must be looked at, because the status was not written for long. Executions that were created since `counted_from`
    /// and are not known are new all the same: it is not written while nothing happens.
    pub fn look_anew(&mut self, counted_from: Option<Timestamp>) {
        if let Some(mut earlier) = self.watermark.take() {
            if let Some(from) = counted_from {
                earlier.raise(from);
            }
            self.earlier = Some(earlier);
        }
        self.shown.clear();
    }

    /// The executions that are there when they are looked at first. None of them is counted that is not known to be new. Those that are created
    /// after `floor` and are not among them are new from now on.
    pub fn seed(&mut self, sightings: &[Sighting], floor: Option<Timestamp>, zone: &Zone) {
        let earlier = self.earlier.take();
        let mut watermark = Watermark::default();
        if let Some(floor) = floor {
            watermark.raise(floor);
        }
        for sighting in sightings.iter().rev() {
            let Some(created) = sighting.created else { continue };
            watermark.insert(&sighting.id, created.at);
            let is_new = earlier.as_ref().is_some_and(|earlier| earlier.age(&sighting.id, created.at) == Age::New);
            if is_new {
                self.want_mirrored(&seen_execution(sighting, zone));
            }
            self.learn(sighting, zone, is_new || self.running.contains_key(&sighting.id));
        }
        self.watermark = Some(watermark);
        self.shown.clear();
    }

    /// The zone of nuvo's times has become known: the results are learnt anew from these executions, so that all have true times.
    pub fn learn_anew(&mut self, sightings: &[Sighting], zone: &Zone) {
        (self.last_execution, self.last_success, self.last_failure, self.last_counted) = (None, None, None, None);
        self.recent.clear();
        for sighting in sightings {
            let (Some(watermark), Some(created)) = (&mut self.watermark, sighting.created) else { continue };
            let is_new = watermark.age(&sighting.id, created.at) == Age::New;
            if is_new {
                watermark.insert(&sighting.id, created.at);
            }
            let is_counted = is_new || self.running.contains_key(&sighting.id);
            self.learn(sighting, zone, is_counted);
        }
    }

    /// Keeps what a page of a look has shown until the look is complete. Returns whether it was kept.
    pub fn note(&mut self, sighting: &Sighting) -> bool {
        let (Some(watermark), Some(created)) = (&mut self.watermark, sighting.created) else { return false };
        let age = watermark.age(&sighting.id, created.at);
        if age == Age::Known {
            // What a status has kept has no time of nuvo's clock, and must outlast the floor.
            watermark.insert(&sighting.id, created.at);
        }
        let is_news = age != Age::Known
            || self.running.contains_key(&sighting.id)
            || self.is_failed(sighting.id.as_str());
        if is_news {
            self.shown.insert(sighting.id.clone(), sighting.clone());
        }
        is_news
    }

    /// The look is complete. What was created before the floor until now, and after `late_from`, is late; what is created before `floor` cannot be
    /// new any more.
    pub fn complete_look(&mut self, late_from: Option<Timestamp>, floor: Option<Timestamp>, zone: &Zone) {
        let mut shown: Vec<Sighting> = std::mem::take(&mut self.shown).into_values().collect();
        shown.sort_by_key(|sighting| sighting.created.map(|created| created.at));
        for running in self.running.values_mut() {
            running.is_shown = false;
        }
        for sighting in &shown {
            let (Some(watermark), Some(created)) = (&mut self.watermark, sighting.created) else { continue };
            let is_followed = self.running.contains_key(&sighting.id) || self.recent.iter().any(|recent| recent.id == sighting.id.as_str());
            match watermark.age(&sighting.id, created.at) {
                Age::New => {
                    watermark.insert(&sighting.id, created.at);
                    self.want_mirrored(&seen_execution(sighting, zone));
                }
                Age::Known => {}
                Age::Old if is_followed => {}
                Age::Old => {
                    if late_from.is_some_and(|from| created.at >= from) {
                        self.counts.late = self.counts.late.saturating_add(1);
                        watermark.insert(&sighting.id, created.at);
                    }
                    continue;
                }
            }
            self.learn(sighting, zone, true);
        }
        if let (Some(watermark), Some(floor)) = (&mut self.watermark, floor) {
            watermark.raise(floor);
        }
    }

    fn is_failed(&self, id: &str) -> bool {
        let failed = |execution: &SeenExecution| execution.id == id && execution.status == FAILED;
        self.recent.iter().chain(&self.last_failure).any(failed)
    }

    /// Takes notice of an execution. One that has ended is counted later, if it is to be counted.
    fn learn(&mut self, sighting: &Sighting, zone: &Zone, is_counted: bool) {
        let execution = seen_execution(sighting, zone);
        let was_running = self.running.contains_key(&sighting.id);
        let is_known = was_running || self.recent.iter().any(|recent| recent.id == execution.id);
        if sighting.status == ExecutionStatus::Successful && self.is_failed(&execution.id) {
            return self.fix(&execution);
        }
        if !sighting.status.is_terminal() {
            let about = RunningExecution {
                id: execution.id.clone(),
                trigger_type: execution.trigger_type.clone(),
                created_at: execution.created_at.clone(),
            };
            let asked = self.running.get(&sighting.id).and_then(|running| running.asked);
            if was_running || self.running.len() < FOLLOWED {
                self.running.insert(sighting.id.clone(), Running { about, is_shown: true, asked });
            } else {
                self.counts.unread = self.counts.unread.saturating_add(1);
            }
            return self.place(&execution);
        }
        let was_ended = is_known && !was_running;
        self.running.remove(&sighting.id);
        self.place(&execution);
        if was_ended {
            return;
        }
        self.is_fixed &= !is_later(&execution, self.last_success.as_ref());
        let last = if execution.status == SUCCESSFUL { &mut self.last_success } else { &mut self.last_failure };
        keep_latest(last, &execution);
        self.count_for_freshness(&execution);
        if is_counted {
            self.ended.push(execution);
        }
    }

    fn count_for_freshness(&mut self, execution: &SeenExecution) {
        if counts(execution, self.min_rows) {
            keep_latest(&mut self.last_counted, execution);
        }
    }

    /// Puts it among the newest executions.
    fn place(&mut self, execution: &SeenExecution) {
        let created = |execution: &SeenExecution| execution.created_at.as_ref().map(|time| time.0);
        if self.last_execution.as_ref().is_none_or(|last| last.id == execution.id || created(execution) >= created(last)) {
            self.last_execution = Some(execution.clone());
        }
        self.recent.retain(|recent| recent.id != execution.id);
        let at = self.recent.iter().position(|recent| created(recent) < created(execution)).unwrap_or(self.recent.len());
        self.recent.insert(at, execution.clone());
        self.recent.truncate(MAX_RECENT);
    }

    /// A failed execution was repaired.
    fn fix(&mut self, execution: &SeenExecution) {
        self.counts.fixes = self.counts.fixes.saturating_add(1);
        self.last_failure = self.last_failure.take().filter(|failure| failure.id != execution.id);
        self.replace(execution);
        keep_latest(&mut self.last_success, execution);
        self.is_fixed = self.last_success.as_ref().is_some_and(|success| success.id == execution.id);
        self.count_for_freshness(execution);
    }

    /// More is known of an execution that is shown.
    fn replace(&mut self, execution: &SeenExecution) {
        let places = [&mut self.last_execution, &mut self.last_success, &mut self.last_failure, &mut self.last_counted];
        for place in places.into_iter().flatten().chain(&mut self.recent) {
            if place.id == execution.id {
                place.clone_from(execution);
            }
        }
    }

    /// Which execution is to be read by its id now, if any: one for each look. All others that have ended are counted without their
    /// statistics.
    pub fn next_read(&mut self, now: Duration) -> Option<ExecutionId> {
        let newest = |status: &str| self.ended.iter().filter(|ended| ended.status == status).max_by_key(|ended| end(ended)).cloned();
        if let Some(chosen) = newest(SUCCESSFUL).or_else(|| newest(FAILED)) {
            for other in std::mem::take(&mut self.ended) {
                if other.id != chosen.id {
                    self.counts.execution(&other);
                }
            }
            let id = ExecutionId::new(chosen.id.clone()).ok();
            self.ended = vec![chosen];
            return id;
        }
        let unread = self.last_success.as_ref().filter(|success| success.stats.is_none()).map(|success| success.id.clone());
        if let Some(id) = unread.and_then(|id| ExecutionId::new(id).ok())
            && self.tries.as_ref().is_none_or(|(tried, tries)| *tried != id || *tries < TRIES)
        {
            return Some(id);
        }
        let hidden = self.running.iter_mut().filter(|(_, running)| !running.is_shown);
        if let Some((id, running)) = hidden.min_by_key(|(_, running)| running.asked) {
            running.asked = Some(now);
            return Some(id.clone());
        }
        self.watched(now)
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
        self.tries = None;
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
        if sighting.details.is_none_or(|details| details.stats.is_none()) {
            // nuvo has no statistics of it: it is not asked for them again.
            self.tries = Some((sighting.id.clone(), TRIES));
        }
    }

    /// A read by its id came to nothing. `is_gone`: nuvo has no such execution.
    pub fn read_failed(&mut self, id: &ExecutionId, is_gone: bool) {
        let tries = self.tries.as_ref().filter(|(tried, _)| tried == id).map_or(1, |(_, tries)| tries.saturating_add(1));
        self.tries = Some((id.clone(), if is_gone { TRIES } else { tries }));
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

    /// What was counted since it was taken last.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// What the status shows.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut running: Vec<RunningExecution> = self.running.values().map(|running| running.about.clone()).collect();
        running.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        running.truncate(MAX_RUNNING);
        Report {
            running,
            last_execution: self.last_execution.clone(),
            last_success: self.last_success.clone(),
            last_failure: self.last_failure.clone(),
            last_counted: self.last_counted.clone().filter(|counted| counts(counted, self.min_rows)),
            recent: self.recent.clone(),
            seen: self.watermark.as_ref().map(|watermark| watermark.store(&self.account)),
            is_fixed: self.is_fixed,
        }
    }
}
