//! Random histories of two leaders with stale caches, whose acts alternate, among persons, lost answers, late creates and clocks that step.

use std::collections::BTreeMap;

use nuvo_crds::ScheduleConcurrency;

use super::{
    oracle::{NIGHTS, Numbers},
    *,
};
use crate::run::{Scheduled, SlotClaim};

const LINES: [&str; 8] =
    ["* * * * *", "*/7 * * * *", "*/30 * * * *", "10-50/20 0-3 * * *", "30 2 * * *", "15,45 1,2 * * *", "@hourly", "0 0 31 2 *"];
/// The runs and the object as they once were.
type Snapshot = (PipelineSchedule, Vec<ScheduledRun>);

/// A process that takes itself for the leader.
#[derive(Default)]
struct Leader {
    /// How far its caches are.
    seen: usize,
    pass: Option<(Facts, String)>,
}

struct Cluster {
    numbers: Numbers,
    world: World,
    leaders: [Leader; 2],
    history: Vec<Snapshot>,
    late: Vec<PipelineRun>,
    /// The uid of the run that a slot was claimed for.
    claimed: BTreeMap<Timestamp, String>,
    /// The runs that have triggered.
    posts: Vec<(Timestamp, String)>,
    skipped: BTreeMap<String, bool>,
    /// Clocks may step further than a minute. Then a person may have slots decided again.
    is_wild: bool,
    started: usize,
}

impl Cluster {
    fn new(seed: u64, is_wild: bool) -> Self {
        let mut numbers = Numbers(seed);
        let (zone, evening) = numbers.of(&NIGHTS);
        let mut world = World::new(&[numbers.of(&LINES)], evening);
        world.edit(|spec| {
            spec.time_zone = zone.to_owned();
            spec.concurrency_policy = numbers.of(&[ScheduleConcurrency::Forbid, ScheduleConcurrency::Allow]);
        });
        world.now += seconds(numbers.of(&[0, 70]));
        let (leaders, history) = (Default::default(), Vec::new());
        let mut cluster = Self {
            numbers,
            world,
            leaders,
            history,
            late: Vec::new(),
            claimed: BTreeMap::new(),
            posts: Vec::new(),
            skipped: BTreeMap::new(),
            is_wild,
            started: 0,
        };
        cluster.changed();
        cluster
    }

    /// The API server has something new.
    fn changed(&mut self) {
        self.world.versions += 1;
        let object = self.world.object.as_mut().unwrap();
        let is_other = |(known, _): &Snapshot| (known.metadata.generation, &known.status) != (object.metadata.generation, &object.status);
        if self.history.last().is_none_or(is_other) {
            object.metadata.resource_version = Some(format!("v-{}", self.world.versions));
        }
        self.history.push((object.clone(), self.world.runs.clone()));
    }

    fn version(&self) -> String {
        self.world.object().metadata.resource_version.clone().unwrap()
    }

    /// A person, or another version of the operator.
    fn person(&mut self) {
        let numbers = &mut self.numbers;
        let line = numbers.of(&LINES);
        match numbers.below(160) {
            0 => drop(self.world.edit(|spec| spec.schedules = vec![line.to_owned()])),
            1 => drop(self.world.edit(|spec| spec.schedules.push(line.to_owned()))),
            2 => {
                let zone = numbers.of(&NIGHTS).0;
                self.world.edit(|spec| spec.time_zone = zone.to_owned());
            }
            3 => {
                let deadline = numbers.of(&[None, Some(0), Some(60), Some(1_800)]);
                self.world.edit(|spec| spec.starting_deadline_seconds = deadline);
            }
            4..6 => drop(self.world.edit(|spec| spec.suspend = !spec.suspend)),
            6 => {
                let policy = numbers.of(&[ScheduleConcurrency::Forbid, ScheduleConcurrency::Allow]);
                self.world.edit(|spec| spec.concurrency_policy = policy);
            }
            7 => {
                let spread = numbers.of(&[0, 30, 90, 3_600]);
                self.world.edit(|spec| spec.spread_seconds = spread);
            }
            8 => {
                let limits = (numbers.of(&[0, 1, 3]), numbers.of(&[0, 1, 3]));
                self.world.edit(|spec| (spec.successful_runs_history_limit, spec.failed_runs_history_limit) = limits);
            }
            9..12 => {
                if let Some(status) = self.world.object.as_mut().unwrap().status.as_mut() {
                    match numbers.below(4) {
                        0 => status.observed = None,
                        1 => status.observed.iter_mut().for_each(|observed| observed.time_zone = None),
                        2 => (status.next_schedule_time, status.active_count, status.last_run) = (None, None, None),
                        _ => (status.conditions, status.observed_generation) = (Vec::new(), None),
                    }
                }
            }
            12..14 if !self.world.runs.is_empty() => {
                let index = numbers.below(self.world.runs.len());
                self.world.runs.remove(index);
            }
            14 if !self.world.runs.is_empty() => {
                let index = numbers.below(self.world.runs.len());
                self.world.runs[index].deleting = true;
            }
            // A manifest is copied, or comes from a backup.
            15 if !self.world.runs.is_empty() => {
                let index = numbers.below(self.world.runs.len());
                let (progress, uid) = (Progress::Waits, format!("copy-{}", self.world.versions));
                let run = ScheduledRun {
                    uid: uid.clone(),
                    name: uid,
                    progress,
                    phase: None,
                    reason: None,
                    deleting: false,
                    ..self.world.runs[index].clone()
                };
                self.world.runs.push(run);
            }
            16 => {
                if let Some(index) = self.world.created.len().checked_sub(1) {
                    let run = self.world.created[numbers.below(index + 1)].clone();
                    self.world.carry_out(&Act::Create(Box::new(run)));
                }
            }
            17 => self.world.refusal = self.world.refusal.is_none().then(|| "exceeded quota".to_owned()),
            18 => self.world.held = !self.world.held,
            19 => self.world.clock_in_doubt = self.world.clock_in_doubt.is_none().then(|| "Clocks are apart.".to_owned()),
            20 => {
                if let Some(run) = self.late.pop() {
                    self.world.carry_out(&Act::Create(Box::new(run)));
                }
            }
            // Another object has the name of the next slot.
            21 => {
                if let Some(next) = self.world.status().next_schedule_time {
                    let (name, uid) = (run_name("nightly", next.0), format!("foreign-{}", self.world.versions));
                    let ended = Progress::Ended(self.world.now);
                    if self.world.runs.iter().all(|run| run.name != name)
                        && let Some(run) = self.world.runs.first()
                    {
                        let run = ScheduledRun { name, uid, controller: None, progress: ended, ..run.clone() };
                        self.world.runs.push(run);
                    }
                }
            }
            _ => return,
        }
        self.changed();
    }

    /// What keeps slots from their start does not last.
    fn heal(&mut self) {
        if self.numbers.one_in(10) {
            (self.world.refusal, self.world.held, self.world.clock_in_doubt) = (None, false, None);
        }
        if self.world.object().spec.suspend && self.numbers.one_in(20) {
            self.world.edit(|spec| spec.suspend = false);
            self.changed();
        }
    }

    /// The runs go on: gate, trigger, end, TTL.
    fn runs(&mut self) {
        if self.world.runs.is_empty() || !self.numbers.one_in(2) {
            return;
        }
        let index = self.numbers.below(self.world.runs.len());
        let (now, choice) = (self.world.now, self.numbers.below(12));
        let record = self.world.record();
        let schedule = Schedule::of(self.world.object());
        let run = &mut self.world.runs[index];
        let Some(slot) = run.slot.filter(|_| run.controller.is_some()) else { return };
        match run.progress {
            Progress::Waits if !run.deleting => {
                let made_by = Scheduled { slot, schedule: "nightly".to_owned(), uid: "u-1".to_owned() };
                let claim = slot_claim(schedule.as_ref(), &made_by, &run.name, &run.uid);
                let is_claimed = record.claims.iter().any(|claim| claim.uid == run.uid);
                assert_eq!(claim == SlotClaim::Claimed, is_claimed);
                match (claim, choice) {
                    (SlotClaim::Undecided, _) | (SlotClaim::Claimed, 0..3) => return,
                    (SlotClaim::NotClaimed, _) => end(run, now, Reason::SlotNotClaimed),
                    (SlotClaim::Claimed, 3) => {
                        self.skipped.insert(run.uid.clone(), true);
                        end(run, now, Reason::Skipped);
                    }
                    (SlotClaim::Claimed, _) => {
                        run.progress = Progress::Runs(now + seconds(600));
                        self.posts.push((slot, run.uid.clone()));
                    }
                }
            }
            Progress::Runs(until) => match choice {
                0..2 => {
                    (run.progress, run.phase, run.reason) =
                        (Progress::Unresolved(until), Some(Phase::Unresolved), Some(Reason::TriggerOutcomeUnknown))
                }
                2..4 => end(run, now, Reason::ExecutionFailed),
                4..7 => end(run, now, Reason::Succeeded),
                _ => return,
            },
            Progress::Unresolved(_) if choice == 0 => end(run, now, Reason::ExecutionFailed),
            Progress::Ended(_) | Progress::Waits if choice == 0 || run.deleting => drop(self.world.runs.remove(index)),
            _ => return,
        }
        self.world.versions += 1;
        let version = self.world.versions.to_string();
        if let Some(run) = self.world.runs.get_mut(index) {
            run.version = version;
        }
        self.changed();
    }

    /// One act of a leader.
    fn act(&mut self, leader: usize) {
        let newest = self.history.len() - 1;
        let Some((mut facts, version)) = self.leaders[leader].pass.take() else {
            let seen = newest.saturating_sub(self.numbers.below(6)).max(self.leaders[leader].seen);
            self.leaders[leader].seen = seen;
            let (object, runs) = self.history[seen].clone();
            let mut world = World { object: Some(object), runs, ..self.world.clone() };
            self.leaders[leader].pass = Some((world.facts(), String::new()));
            world.created.clear();
            return;
        };
        facts.refresh(self.world.now, self.world.clock_in_doubt.clone());
        let act = next(&facts);
        if matches!(act, Act::Done { .. }) || self.numbers.one_in(60) {
            return;
        }
        let is_lost = self.numbers.one_in(25);
        let before = self.world.record();
        let mut read = version.clone();
        let answer = match &act {
            Act::Write(_) if version != self.version() => Answer::Unclear,
            Act::Write(change) => {
                let answer = self.world.carry_out(&act);
                self.written(&before, change);
                self.changed();
                read = self.version();
                answer
            }
            Act::Create(run) if is_lost && self.numbers.one_in(2) => {
                self.late.push((**run).clone());
                Answer::Unclear
            }
            Act::Create(_) => {
                let answer = self.world.carry_out(&act);
                self.changed();
                answer
            }
            Act::Delete { uid, version, .. } => {
                let found = self.world.runs.iter().find(|run| run.uid == *uid).cloned();
                match found {
                    Some(run) if run.version != *version => Answer::Unclear,
                    Some(run) => {
                        assert!(run.has_ended(), "{run:?} is deleted");
                        self.world.carry_out(&act);
                        self.changed();
                        Answer::Done
                    }
                    None => Answer::Done,
                }
            }
            Act::ReadSchedule => {
                read = self.version();
                self.world.carry_out(&act)
            }
            _ => self.world.carry_out(&act),
        };
        facts.learn(&act, if is_lost { Answer::Unclear } else { answer });
        self.leaders[leader].pass = Some((facts, read));
    }

    /// What must hold of each status that is written.
    fn written(&mut self, before: &Record, change: &Change) {
        let (object, now) = (self.world.object(), self.world.now);
        let (schedule, record) = (Schedule::of(object).unwrap(), self.world.record());
        let new = record.pending.as_ref().filter(|_| record.pending != before.pending);
        if let Some(pending) = new {
            assert!(before.pending.is_none(), "a start that is pending is overwritten");
            assert!(
                Some(pending.slot) > record.anchor && Some(pending.slot) > before.decided_until(),
                "{pending:?} is of the past: {before:?}"
            );
            assert!(schedule.due(pending.slot) <= now && !schedule.spec.suspend, "{pending:?}");
            let calendar = schedule.calendar.as_ref().unwrap();
            assert_eq!(calendar.newest_until(pending.slot), Some(pending.slot), "it is no slot");
            assert!(self.is_wild || !self.claimed.contains_key(&pending.slot), "{} starts twice", pending.slot);
        }
        for claim in record.claims.iter().filter(|claim| !before.claims.contains(claim)) {
            let known = self.claimed.insert(claim.slot, claim.uid.clone());
            assert!(self.is_wild || known.is_none(), "{} is claimed twice", claim.slot);
            assert!(before.claims.iter().all(|known| known.slot != claim.slot), "a claim is overwritten");
            assert!(before.pending.as_ref().is_some_and(|pending| pending.slot == claim.slot), "nothing was pending");
        }
        // Each slot that is decided now is missed or pending, and each start that was pending is started or missed.
        let Some(from) = before.decided_until() else { return };
        let has_moved = record.anchor != before.anchor;
        let spec = &schedule.spec;
        let decided = if has_moved {
            let observed = before.observed.clone().unwrap();
            let (lines, zone) = (observed.schedules.unwrap(), observed.time_zone.unwrap_or_else(|| spec.time_zone.clone()));
            let calendar = Calendar::parse(&lines, &zone).unwrap();
            if observed.suspend == Some(true) { 0 } else { calendar.slots_after(from).take_while(|slot| *slot <= now).count() }
        } else {
            let until = record.decided_until().unwrap();
            assert!(until >= from, "what is decided stays decided");
            schedule.calendar.as_ref().unwrap().slots_after(from).take_while(|slot| *slot <= until).count()
        };
        let was_pending = usize::from(before.pending.is_some() && before.pending != record.pending);
        let started = change.news.iter().filter(|news| matches!(news, News::Started { .. })).count();
        let missed = usize::try_from(record.missed.total - before.missed.total).unwrap();
        let told: usize = change.news.iter().map(|news| if let News::Missed { count, .. } = news { *count } else { 0 }).sum();
        let is_kept = |claim: &Claim| record.claims.contains(claim);
        let skipped = before.claims.iter().filter(|claim| !is_kept(claim) && self.skipped.contains_key(&claim.uid)).count();
        assert_eq!(missed, told);
        self.started += started;
        let (in_all, known) = (decided + was_pending, missed + started + usize::from(new.is_some()));
        assert!(
            known >= in_all && known <= in_all + skipped,
            "{decided} {was_pending} {missed} {started} {skipped}: {before:#?} {record:#?}"
        );
    }

    fn step(&mut self) {
        let wait = self.numbers.of(&[0, 0, 0, 1, 7, 20]);
        self.world.now += seconds(wait);
        if self.numbers.one_in(300) {
            self.world.now += seconds(self.numbers.of(&[120, 1_000, 9_000]));
        }
        if self.numbers.one_in(200) {
            self.world.now -= seconds(self.numbers.of(&[10, 45, 59]));
        }
        if self.is_wild && self.numbers.one_in(400) {
            self.world.now += seconds(self.numbers.of(&[-9_000, -600, 40_000]));
        }
        self.person();
        self.heal();
        self.runs();
        let leader = self.numbers.below(2);
        self.act(leader);
        if self.numbers.one_in(100) {
            self.leaders[leader].pass = None;
        }
        // One leader alone comes to rest.
        if self.numbers.one_in(40) {
            self.settle();
        }
        let mut slots: Vec<_> = self.posts.iter().map(|(slot, _)| *slot).collect();
        slots.sort();
        assert!(self.is_wild || slots.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", self.posts);
    }

    /// Passes of one leader, until it rests.
    fn settle(&mut self) {
        self.leaders[0] = Leader { seen: self.history.len() - 1, pass: None };
        let mut acts = Vec::new();
        loop {
            assert!(acts.len() < 300, "the pass does not end: {:?}", &acts[285..]);
            acts.push(self.leaders[0].pass.as_ref().map(|(facts, _)| next(facts)));
            let Some((facts, _)) = &self.leaders[0].pass else {
                self.act(0);
                continue;
            };
            let mut facts = facts.clone();
            facts.refresh(self.world.now, self.world.clock_in_doubt.clone());
            if let Act::Done { wake } = next(&facts) {
                if !facts.broken_off {
                    self.world.wakes = wake;
                    break;
                }
                self.leaders[0].seen = self.history.len() - 1;
            }
            self.act(0);
            if self.leaders[0].pass.is_none() {
                self.leaders[0].seen = self.history.len() - 1;
            }
        }
        self.leaders[0].pass = None;
        self.world.rests();
    }

    /// When all is well, a slot that is due starts.
    fn finish(mut self) -> usize {
        (self.world.refusal, self.world.held, self.world.clock_in_doubt) = (None, false, None);
        self.world.runs.clear();
        for suspended in [true, false] {
            self.world.edit(|spec| {
                spec.suspend = suspended;
                spec.schedules = vec!["*/5 * * * *".to_owned()];
                spec.starting_deadline_seconds = Some(0);
            });
            self.changed();
            self.world.now += seconds(5);
            self.settle();
        }
        let started = self.world.record().last_started;
        self.world.now = self.world.status().next_schedule_time.unwrap().0;
        self.settle();
        let record = self.world.record();
        assert!(record.last_started.is_some() && record.last_started != started, "nothing starts: {record:#?}");
        self.started
    }
}

fn play(seeds: std::ops::Range<u64>, is_wild: bool) -> usize {
    seeds
        .map(|seed| {
            let mut cluster = Cluster::new(seed, is_wild);
            for _ in 0..1_500 {
                cluster.step();
            }
            cluster.finish()
        })
        .sum()
}

#[test]
fn two_leaders_start_each_slot_once_or_miss_it_once() {
    let started = play(0..20, false);
    assert!(started > 80, "{started}");
}

#[test]
fn two_leaders_come_to_rest_and_start_again_after_clocks_were_wrong() {
    let started = play(1_000..1_012, true);
    assert!(started > 60, "{started}");
}
