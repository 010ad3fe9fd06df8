//! The executions of one account that its runs follow: what is known of each of them, and when nuvo is asked next.
//!
//! A look reads the list of running executions. An execution that is not in it is read by its id. Only that read can show its end, because a
//! list never proves an absence. Runs are woken only when what is known of their executions has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    pace::{self, FASTEST, Past, period, watch_period},
    pipeline_modes::{PipelineMode, PipelineModes},
    purpose::Purpose,
    reads::{Key, Read, ReadAnswer, Reads},
    tracked::{Tracked, Watch, is_processing, is_processing_report},
};
use crate::{
    run::{ExecutionId, Follow, Knowledge, Known, PipelineId, Presence, PresenceJudgement, RunRef, judge_presence, needs_list},
    vocabulary::ExecutionStatus,
};
use nuvo_crds::Execution;

/// A run that is younger than this counts as new, because the stored start has whole seconds.
const NEW: Duration = Duration::from_secs(2);

/// How many pipelines are read at once.
const MODES: usize = 4;

/// How often the account may be asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The longest time between two looks.
    pub slowest: Duration,
    /// Requests per second.
    pub rate: f64,
}

/// The executions that the runs of one account follow. All times are those of one monotonic clock, which is handed in.
#[derive(Debug)]
pub struct Executions {
    grace: Duration,
    spread: f64,
    /// None while the account cannot be used.
    pace: Option<Pace>,
    entries: BTreeMap<Key, Tracked>,
    /// Sorted, and without spare room: most runs have one execution, and there may be very many runs.
    by_run: BTreeMap<RunRef, Box<[Key]>>,
    past: Past,
    modes: PipelineModes,
    /// When the last look began.
    looked: Option<Duration>,
    /// When to look next.
    next: Option<Duration>,
    /// How many requests the last look took.
    cost: usize,
    /// The shortest time from it to the next one.
    fastest: Duration,
    /// A look is under way.
    looking: bool,
    /// The reads that may end a run.
    endings: Reads,
    imports: Reads,
    /// How many pipelines are being read.
    modes_out: usize,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Due {
    Look(Look),
    Read(Read),
    Mode(PipelineId),
    /// Nothing before this time, unless something changes.
    Wait(Option<Duration>),
}

/// What came of the wish to follow executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Something is known of them already that the run has to be told.
    pub news: bool,
    /// The next look may be due earlier.
    pub changed: bool,
}

/// A look that has begun.
#[derive(Debug)]
pub struct Look {
    began: Duration,
    /// The executions that it is about.
    pub open: BTreeSet<Key>,
    awaited: BTreeSet<Key>,
    repairs: Vec<Key>,
}

impl Executions {
    /// None is followed. `grace` is how long nuvo may deny that an execution exists before it counts as lost; `spread` is the part of the first
    /// period that passes before the first look, 0 to 1, and should differ between accounts, so that not all look at once after a start.
    #[must_use]
    pub fn new(grace: Duration, spread: f64) -> Self {
        Self {
            grace,
            spread: spread.clamp(0.0, 1.0),
            pace: None,
            entries: BTreeMap::new(),
            by_run: BTreeMap::new(),
            past: Past::default(),
            modes: PipelineModes::default(),
            looked: None,
            next: None,
            cost: 0,
            fastest: FASTEST,
            looking: false,
            endings: Reads::default(),
            imports: Reads::default(),
            modes_out: 0,
        }
    }

    /// How often the account may be asked from now on; none while it cannot be used.
    pub(super) fn set_pace(&mut self, pace: Option<Pace>) {
        self.pace = pace;
    }

    fn slowest(&self) -> Duration {
        self.pace.map_or(FASTEST, |pace| pace.slowest)
    }

    /// Follows the executions of a run. Idempotent.
    pub fn follow(&mut self, run: &RunRef, pipeline: &PipelineId, wish: &Follow, now: Duration) -> Followed {
        let (mut added, mut urgent, mut news) = (false, false, false);
        let age = if wish.age < NEW { Duration::ZERO } else { wish.age };
        self.keep(run, pipeline, &wish.executions);
        for id in &wish.executions {
            let entry = self.entries.entry((pipeline.clone(), id.clone())).or_insert_with(|| {
                added = true;
                Tracked {
                    runs: Vec::new(),
                    born: now.saturating_sub(age),
                    expected: wish.expected,
                    ours: wish.ours,
                    known: None,
                    denied_since: None,
                    asked: None,
                    awaited: false,
                    reading: false,
                    missed: None,
                    watch: None,
                    developer_mode: false,
                }
            });
            if let (Some(ended_for), None) = (wish.ended_for, entry.watch) {
                entry.watch = Some(Watch { since: now.saturating_sub(ended_for), next: now });
                added = true;
            }
            // A run that waits for the execution may have named it before the run that started it.
            entry.expected &= wish.expected;
            entry.ours |= wish.ours;
            entry.born = entry.born.min(now.saturating_sub(age));
            entry.awaited |= wish.late;
            urgent |= entry.awaited;
            let joins = !entry.runs.contains(run);
            if joins {
                // An earlier object of the same name no longer exists.
                entry.runs.retain(|other| (&other.namespace, &other.name) != (&run.namespace, &run.name));
                entry.runs.push(run.clone());
            }
            // The other runs were woken for it before this one joined.
            news |= joins && entry.known.as_ref().is_some_and(|known| !is_processing(known));
        }
        if added {
            self.modes.want(pipeline, now);
            let wait = if age.is_zero() { FASTEST } else { period(age, self.slowest()).mul_f64(self.spread) };
            self.look_by(Some(now.saturating_add(wait)));
        }
        if urgent {
            self.look_by(Some(now.saturating_add(FASTEST)));
        }
        Followed { news, changed: added || urgent }
    }

    /// Follows nothing for this run but these executions.
    fn keep(&mut self, run: &RunRef, pipeline: &PipelineId, executions: &[ExecutionId]) {
        let wanted = |keys: &[Key]| {
            let is_known = |id: &ExecutionId| keys.binary_search_by(|(of, known)| (of, known).cmp(&(pipeline, id))).is_ok();
            keys.len() == executions.len() && executions.iter().all(is_known)
        };
        if self.by_run.get(run).is_some_and(|keys| wanted(keys)) {
            return;
        }
        let keys: BTreeSet<Key> = executions.iter().map(|id| (pipeline.clone(), id.clone())).collect();
        for key in self.by_run.remove(run).unwrap_or_default().iter().filter(|key| !keys.contains(key)) {
            self.leave(run, key);
        }
        self.by_run.insert(run.clone(), keys.into_iter().collect());
    }

    fn leave(&mut self, run: &RunRef, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.runs.retain(|other| other != run);
        if entry.runs.is_empty() {
            self.entries.remove(key);
        }
    }

    /// Follows nothing for this run any more.
    pub fn forget(&mut self, run: &RunRef) {
        for key in self.by_run.remove(run).unwrap_or_default() {
            self.leave(run, &key);
        }
    }

    /// Forgets the runs that no longer exist.
    pub fn prune(&mut self, exists: impl Fn(&RunRef) -> bool) {
        let gone: Vec<RunRef> = self.by_run.keys().filter(|run| !exists(run)).cloned().collect();
        for run in gone {
            self.forget(&run);
        }
    }

    /// What is known of these executions.
    #[must_use]
    pub fn knowledge(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Knowledge {
        let known = |id: &ExecutionId| self.entries.get(&(pipeline.clone(), id.clone()))?.known.clone();
        executions.iter().filter_map(|id| Some((id.clone(), known(id)?))).collect()
    }

    /// Those of these executions that have ended, or are not of this pipeline, by answers about their ids.
    #[must_use]
    pub fn ended(&self, pipeline: &PipelineId, executions: &BTreeSet<ExecutionId>) -> BTreeSet<ExecutionId> {
        let has_ended = |id: &&ExecutionId| self.entries.get(&(pipeline.clone(), (*id).clone())).is_some_and(|entry| !entry.is_open());
        executions.iter().filter(has_ended).cloned().collect()
    }

    /// When the open ones of these executions were last read: the oldest of these times, or none if one was not read yet.
    #[must_use]
    pub fn asked(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Option<Duration> {
        let entry = |id: &ExecutionId| self.entries.get(&(pipeline.clone(), id.clone()));
        let open = executions.iter().map(entry).filter(|entry| entry.is_none_or(Tracked::is_open));
        open.map(|entry| entry?.asked).min().flatten()
    }

    /// Whether the pipeline was in developer mode when one of these executions ended.
    #[must_use]
    pub fn developer_mode(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> bool {
        executions.iter().any(|id| self.entries.get(&(pipeline.clone(), id.clone())).is_some_and(|entry| entry.developer_mode))
    }

    /// Whether the account certainly started this execution.
    #[must_use]
    pub fn is_ours(&self, key: &Key) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.ours)
    }

    /// Whether an execution that does not exist by its id has to be looked for in the list of its pipeline.
    #[must_use]
    pub fn needs_list(&self, key: &Key, now: Duration) -> bool {
        needs_list(self.entries.get(key).and_then(|entry| entry.denied_since).map(|since| now.saturating_sub(since)), self.grace)
    }

    /// What is to be done next. Nothing is asked during a pause of this length, and nothing without a [pace](Executions::set_pace). While triggers
    /// wait for requests, looks leave most of them.
    pub(super) fn next(&mut self, now: Duration, pause: Option<Duration>, triggers_wait: bool) -> Due {
        let Some(pace) = self.pace else { return Due::Wait(None) };
        while let Some(read) = self.endings.next().or_else(|| self.imports.next()) {
            // It may have been queued for long, and forgotten meanwhile.
            if self.entries.contains_key(&read.key) {
                return Due::Read(read);
            }
            self.is_over(&read);
        }
        if self.modes_out < MODES
            && let Some(pipeline) = self.modes.pop()
        {
            self.modes_out = self.modes_out.saturating_add(1);
            return Due::Mode(pipeline);
        }
        let Some(due) = self.due(pace, triggers_wait).filter(|_| !self.looking) else { return Due::Wait(None) };
        let due = due.max(now.saturating_add(pause.unwrap_or_default()));
        if due > now {
            return Due::Wait(Some(due));
        }
        Due::Look(self.begin_look(now))
    }

    /// When the next look is due; never while nothing is followed. While reads that may end a run wait, a look would show what is known
    /// already, and use up requests that they need, but at the latest after two periods there is one.
    fn due(&self, pace: Pace, triggers_wait: bool) -> Option<Duration> {
        if !self.entries.values().any(|entry| entry.is_open() || entry.watch.is_some()) {
            return None;
        }
        let busy = !self.endings.waiting.is_empty();
        let busy_until = self.looked.filter(|_| busy).map(|looked| looked.saturating_add(pace.slowest.saturating_mul(2)));
        // So that looks use no more than their share of the rate limit.
        let floor = pace::floor(self.cost, self.fastest, pace.rate, triggers_wait, pace.slowest);
        let earliest = self.looked.map(|looked| looked.saturating_add(floor));
        self.next.map(|next| next.max(earliest.unwrap_or_default()).max(busy_until.unwrap_or_default()))
    }

    fn reads(&mut self, purpose: Purpose) -> &mut Reads {
        if purpose == Purpose::Ending { &mut self.endings } else { &mut self.imports }
    }

    fn is_over(&mut self, read: &Read) {
        let reads = self.reads(read.purpose);
        reads.out = reads.out.saturating_sub(1);
    }

    /// Records what nuvo has said of a pipeline; none if it did not say it.
    pub fn mode_answered(&mut self, pipeline: &PipelineId, told: Option<PipelineMode>) {
        self.modes_out = self.modes_out.saturating_sub(1);
        if let Some(told) = told {
            self.modes.set(pipeline, told);
        }
    }

    /// What nuvo has said of a pipeline; none if it was not asked.
    #[must_use]
    pub fn mode(&self, pipeline: &PipelineId) -> Option<&PipelineMode> {
        self.modes.told(pipeline)
    }

    /// A pipeline was not asked about after all: it is when the mode is wanted again.
    pub fn mode_not_asked(&mut self, pipeline: &PipelineId) {
        self.modes_out = self.modes_out.saturating_sub(1);
        self.modes.forget(pipeline);
    }

    pub(super) fn begin_look(&mut self, now: Duration) -> Look {
        let slowest = self.slowest();
        let mut look = Look { began: now, open: BTreeSet::new(), awaited: BTreeSet::new(), repairs: Vec::new() };
        for (key, entry) in self.entries.iter_mut().filter(|(_, entry)| !entry.reading) {
            if entry.is_open() {
                look.open.insert(key.clone());
                if entry.awaited {
                    look.awaited.insert(key.clone());
                }
            } else if entry.watched().is_some_and(|next| next <= now)
                && let Some(watch) = &mut entry.watch
            {
                // A list of running executions does not show failed ones.
                watch.next = now.saturating_add(watch_period(now.saturating_sub(watch.since), slowest));
                entry.reading = true;
                look.repairs.push(key.clone());
            }
        }
        (self.looked, self.looking) = (Some(now), true);
        look
    }

    /// Records what a look has shown: the running ones of its executions, if there was an answer, and how many requests it took. Returns the runs
    /// to be woken.
    pub fn looked(&mut self, look: Look, running: Option<&BTreeSet<Key>>, requests: usize) -> Vec<RunRef> {
        let Look { began, open, awaited, repairs } = look;
        let woken: Vec<RunRef> = running.into_iter().flatten().flat_map(|key| self.listed(key)).collect();
        let slowest = self.slowest();
        self.looking = false;
        self.imports.waiting.extend(repairs.into_iter().map(|key| Read { key, purpose: Purpose::Import, awaited: false }));
        let mut ends: usize = 0;
        // A list may lag, so a run that is late needs the answer about its own execution. It needs no list.
        let missing = |key: &Key| awaited.contains(key) || running.is_some_and(|running| !running.contains(key));
        for key in open.into_iter().filter(missing) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let awaited = awaited.contains(&key);
            // nuvo answers with another status, or denies it: a read at every look would show nothing new.
            let pace = period(began.saturating_sub(entry.born), slowest);
            if !awaited && entry.missed.is_some_and(|missed| began.saturating_sub(missed) < pace) {
                continue;
            }
            ends = ends.saturating_add(usize::from(entry.missed.is_none()));
            let purpose = entry.purpose();
            (entry.reading, entry.awaited) = (true, false);
            self.reads(purpose).waiting.push_back(Read { key, purpose, awaited });
        }
        if let Some(pace) = self.pace {
            (self.cost, self.fastest) = (requests, pace::fastest(requests, ends));
            self.plan(began, pace.slowest, ends > 0);
        }
        woken
    }

    /// Records the answer to a read that was sent at `asked`. Returns the runs to be woken.
    pub fn answered(&mut self, read: &Read, asked: Duration, answer: ReadAnswer, now: Duration) -> Vec<RunRef> {
        self.is_over(read);
        let Read { key, awaited, .. } = read;
        let developer_mode = self.modes.is_developer(&key.0);
        let Some(entry) = self.entries.get_mut(key) else { return Vec::new() };
        entry.reading = false;
        if !matches!(answer, ReadAnswer::Failed) {
            entry.missed = Some(asked);
        }
        let (presence, known, took) = match answer {
            // An execution that has ended always names its pipeline.
            ReadAnswer::Found { pipeline: Some(other), .. } if other != key.0.as_str() => (Presence::Foreign, Known::Foreign(other), None),
            ReadAnswer::Found { report, took, .. } => (Presence::Ours, Known::Report(report), took),
            ReadAnswer::Denied(absence) => (Presence::Absent(absence), Known::Lost, None),
            ReadAnswer::Malformed | ReadAnswer::Failed => return Vec::new(),
        };
        let denied_for = entry.denied_since.map(|since| now.saturating_sub(since));
        match judge_presence(presence, denied_for, entry.expected, self.grace) {
            PresenceJudgement::Denied => {
                entry.denied_since.get_or_insert(now);
                return Vec::new();
            }
            PresenceJudgement::DeniedAnew => {
                entry.denied_since = Some(now);
                return Vec::new();
            }
            PresenceJudgement::Outdated => return Vec::new(),
            PresenceJudgement::Reported | PresenceJudgement::Foreign | PresenceJudgement::Lost => {}
        }
        entry.developer_mode = developer_mode && matches!(&known, Known::Report(report) if !is_processing_report(report));
        // An end is counted once.
        if let Some(took) = took.filter(|_| entry.is_open()) {
            self.past.add(&key.0, took);
        }
        let asked = Some(asked).filter(|_| known != Known::Lost);
        entry.learn(known, asked, *awaited)
    }

    /// The list shows it as running, so it need not be read by its id.
    fn listed(&mut self, key: &Key) -> Vec<RunRef> {
        let Some(entry) = self.entries.get_mut(key) else { return Vec::new() };
        (entry.denied_since, entry.missed) = (None, None);
        if entry.known.is_some() || entry.expected {
            return Vec::new();
        }
        let status = Some(ExecutionStatus::Processing.as_str().to_owned());
        entry.learn(Known::Report(Box::new(Execution { id: key.1.to_string(), status, ..Execution::default() })), None, false)
    }

    /// Looks no later than this.
    fn look_by(&mut self, at: Option<Duration>) {
        self.next = [self.next, at].into_iter().flatten().min();
    }

    /// Plans the look after the one that began at `last`.
    fn plan(&mut self, last: Duration, slowest: Duration, more_will_end: bool) {
        self.next = None;
        let repair = self.entries.values().filter_map(Tracked::watched).min();
        self.look_by(repair);
        let Some(youngest) = self.entries.values().filter(|entry| entry.is_open()).map(|entry| entry.born).max() else { return };
        let late = self.entries.values().any(|entry| entry.awaited && entry.is_open());
        // Executions that started together end together.
        let pace = if late || more_will_end { self.fastest } else { period(last.saturating_sub(youngest), slowest) };
        self.look_by(Some(last.saturating_add(pace)));
        let open = self.entries.iter().filter(|(_, entry)| entry.is_open());
        let soonest = open.filter_map(|((pipeline, _), entry)| self.past.expected(pipeline)?.next(entry.born, last, pace)).min();
        self.look_by(soonest);
    }
}
