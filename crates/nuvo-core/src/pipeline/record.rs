//! The executions of one pipeline, as far as one `NuvoPipeline` has seen them.

mod reads;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use nuvo_crds::{MAX_RECENT, MAX_RUNNING, Mirror, NuvoPipelineStatus, RunningExecution, Seen, SeenExecution};

use super::{
    counts::Counts,
    ended::{counts, end, is_later, keep_latest, seen_execution},
    sighting::{NuvoInstant, Sighting},
    watermark::{Age, Watermark},
    zone::Zone,
};
use crate::{
    run::{AccountHash, ExecutionId},
    vocabulary::{ExecutionStatus, FAILED, SUCCESSFUL},
};

/// The most executions that are followed at once.
const FOLLOWED: usize = 1_024;

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
    /// An execution that the last look has not shown was read last.
    was_hidden: bool,
    tries: Option<(ExecutionId, u8)>,
    /// Those that are shown, and of which nuvo has no statistics.
    bare: BTreeSet<String>,
    /// A success that ended no later may not have been seen.
    unseen_until: Option<Timestamp>,
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
    /// When it was asked for last.
    asked: Option<Duration>,
    /// When the last read that was answered was asked for.
    read: Option<Duration>,
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
    /// The latest time at which a success can have ended that would count and was not read.
    pub possible: Option<Timestamp>,
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
            was_hidden: false,
            tries: None,
            bare: BTreeSet::new(),
            unseen_until: None,
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
                record.running.insert(id, Running { about: about.clone(), is_shown: false, asked: None, read: None });
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
        if self.min_rows != min_rows {
            self.min_rows = min_rows;
            self.count_anew();
        }
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

    /// What was created before this time was not seen, and may be newer than what is known.
    pub fn unseen_until(&mut self, created: NuvoInstant, zone: &Zone) {
        self.unseen_until = self.unseen_until.max(Some(zone.corrected(created)));
    }

    /// The newest success that may count, and was not read yet.
    fn unread(&self) -> Option<&SeenExecution> {
        let is_unread =
            |execution: &&SeenExecution| execution.status == SUCCESSFUL && execution.stats.is_none() && !self.bare.contains(&execution.id);
        let counted = self.last_counted.as_ref().filter(|counted| counts(counted, self.min_rows));
        let others = self.recent.iter().filter(|_| self.min_rows > 0);
        let may_count = |execution: &&SeenExecution| self.min_rows <= 0 || is_later(execution, counted);
        others.chain(&self.last_success).filter(is_unread).filter(may_count).max_by_key(|execution| end(execution))
    }

    /// The latest time at which a success can have ended that would count and was not read.
    fn possible(&self) -> Option<Timestamp> {
        let counted = self.last_counted.as_ref().filter(|counted| counts(counted, self.min_rows)).and_then(end);
        let unread = self.unread().filter(|_| self.min_rows > 0).and_then(end);
        unread.max(self.unseen_until).filter(|possible| counted.is_none_or(|counted| counted < *possible))
    }

    /// The zone of nuvo's times has become known: the results are learnt anew from these executions, so that all have true times. What they do not
    /// show stays as it was.
    pub fn learn_anew(&mut self, sightings: &[Sighting], zone: &Zone) {
        let (success, failure, counted) = (self.last_success.take(), self.last_failure.take(), self.last_counted.take());
        let before: Vec<SeenExecution> = self.recent.drain(..).chain(success.clone()).chain(counted.clone()).collect();
        self.last_execution = None;
        for sighting in sightings.iter().rev() {
            let (Some(watermark), Some(created)) = (&mut self.watermark, sighting.created) else { continue };
            let is_new = watermark.age(&sighting.id, created.at) == Age::New;
            if is_new {
                watermark.insert(&sighting.id, created.at);
                self.want_mirrored(&seen_execution(sighting, zone));
            }
            let is_counted = is_new || self.running.contains_key(&sighting.id);
            self.learn(sighting, zone, is_counted);
        }
        let places = [&mut self.last_execution, &mut self.last_success].into_iter().flatten().chain(&mut self.recent);
        for place in places.filter(|place| place.stats.is_none()) {
            place.stats = before.iter().find(|known| known.id == place.id).and_then(|known| known.stats);
        }
        (self.last_success, self.last_failure) = (self.last_success.take().or(success), self.last_failure.take().or(failure));
        self.count_anew();
        self.last_counted = self.last_counted.take().or(counted);
    }

    /// Keeps what a page of a look has shown until the look is complete. Returns whether it was kept.
    pub fn note(&mut self, sighting: &Sighting) -> bool {
        let (Some(watermark), Some(created)) = (&mut self.watermark, sighting.created) else { return false };
        let age = watermark.age(&sighting.id, created.at);
        if age == Age::Known {
            // What a status has kept has no time of nuvo's clock, and must outlast the floor.
            watermark.insert(&sighting.id, created.at);
        }
        let is_news = age != Age::Known || self.running.contains_key(&sighting.id) || self.is_failed(sighting.id.as_str());
        if is_news {
            self.shown.insert(sighting.id.clone(), sighting.clone());
        }
        is_news
    }

    /// The look is complete. What was created before the floor until now, and after `late_from`, is late; what is created before `floor` cannot be
    /// new any more.
    pub fn complete_look(&mut self, late_from: Option<Timestamp>, floor: Option<Timestamp>, zone: &Zone) {
        for running in self.running.values_mut() {
            running.is_shown = false;
        }
        self.learn_shown(late_from, floor, zone);
    }

    /// Takes notice of what pages have shown.
    pub fn learn_shown(&mut self, late_from: Option<Timestamp>, floor: Option<Timestamp>, zone: &Zone) {
        let mut shown: Vec<Sighting> = std::mem::take(&mut self.shown).into_values().collect();
        shown.sort_by_key(|sighting| sighting.created.map(|created| created.at));
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

    /// Up to when all is known, if a complete look began then: an execution that it does not show may have ended since it was read.
    #[must_use]
    pub fn known_until(&self, look: Duration) -> Option<Duration> {
        let hidden = self.running.values().filter(|running| !running.is_shown).map(|running| running.read);
        hidden.chain([Some(look)]).min().flatten()
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
        if !sighting.status.is_terminal() && self.is_failed(&execution.id) {
            // It is being repaired: it has failed until that has succeeded.
            return;
        }
        if !sighting.status.is_terminal() {
            let about = RunningExecution {
                id: execution.id.clone(),
                trigger_type: execution.trigger_type.clone(),
                created_at: execution.created_at.clone(),
            };
            let (asked, read) = self.running.get(&sighting.id).map_or((None, None), |running| (running.asked, running.read));
            if was_running || self.running.len() < FOLLOWED {
                self.running.insert(sighting.id.clone(), Running { about, is_shown: true, asked, read });
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

    /// Which success counts, of those that are shown.
    fn count_anew(&mut self) {
        let shown: Vec<SeenExecution> = self.recent.iter().chain(&self.last_success).cloned().collect();
        self.last_counted = self.last_counted.take().filter(|counted| counts(counted, self.min_rows));
        for execution in &shown {
            self.count_for_freshness(execution);
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
            possible: self.possible(),
            seen: self.watermark.as_ref().map(|watermark| watermark.store(&self.account)),
            is_fixed: self.is_fixed,
        }
    }
}
