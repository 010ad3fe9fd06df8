//! Random histories, compared with an oracle that walks minutes and knows nothing of the rule, nor of croner.

use std::collections::BTreeSet;

use jiff::civil::{DateTime, Weekday};
use nuvo_crds::ScheduleConcurrency;

use super::*;

/// A sequence of numbers that is the same each time (SplitMix64).
pub(super) struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// The minutes of a line, spelled out: which minutes and hours, on which days of the week; and whether these are fixed times.
struct Line {
    text: &'static str,
    minutes: fn(i8) -> bool,
    hours: fn(i8) -> bool,
    days: fn(Weekday) -> bool,
    is_fixed: bool,
}

const fn line(text: &'static str, minutes: fn(i8) -> bool, hours: fn(i8) -> bool, is_fixed: bool) -> Line {
    Line { text, minutes, hours, days: |_| true, is_fixed }
}

const LINES: [Line; 11] = [
    line("* * * * *", |_| true, |_| true, false),
    line("*/7 * * * *", |minute| minute % 7 == 0, |_| true, false),
    line("*/30 * * * *", |minute| minute % 30 == 0, |_| true, false),
    line("0 */2 * * *", |minute| minute == 0, |hour| hour % 2 == 0, false),
    line("10-50/20 0-3 * * *", |minute| matches!(minute, 10 | 30 | 50), |hour| hour <= 3, false),
    line("30 2 * * *", |minute| minute == 30, |hour| hour == 2, true),
    line("0 0 * * *", |minute| minute == 0, |hour| hour == 0, true),
    line("15,45 1,2 * * *", |minute| matches!(minute, 15 | 45), |hour| matches!(hour, 1 | 2), true),
    line("@hourly", |minute| minute == 0, |_| true, false),
    line("@midnight", |minute| minute == 0, |hour| hour == 0, true),
    Line {
        text: "*/20 * * * 0,6",
        minutes: |minute| minute % 20 == 0,
        hours: |_| true,
        days: |day| matches!(day, Weekday::Sunday | Weekday::Saturday),
        is_fixed: false,
    },
];

/// Zones, and a day in each on whose night clocks change.
pub(super) const NIGHTS: [(&str, &str); 7] = [
    ("Europe/Berlin", "2027-03-27T20:00:00Z"),
    ("Europe/Berlin", "2026-10-24T20:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T10:00:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T10:00:00Z"),
    ("America/Santiago", "2026-09-05T22:00:00Z"),
    ("America/Santiago", "2027-04-03T22:00:00Z"),
    ("UTC", "2026-11-28T00:00:00Z"),
];

/// A minute of a zone.
struct Minute {
    at: Timestamp,
    local: DateTime,
    /// Its local time has come before.
    is_again: bool,
    /// The local times that are missing before it.
    skipped: Vec<DateTime>,
}

/// Every minute of three days.
fn minutes(zone: &str, from: Timestamp) -> Vec<Minute> {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
    let mut before = zone.to_datetime(from - seconds(3_660));
    let mut seen = BTreeSet::new();
    let mut minutes = Vec::new();
    for number in -60..72 * 60 {
        let at = from + seconds(60 * number);
        let local = zone.to_datetime(at);
        let mut skipped = Vec::new();
        let mut next = before.checked_add(seconds(60)).unwrap();
        while next < local {
            skipped.push(next);
            next = next.checked_add(seconds(60)).unwrap();
        }
        minutes.push(Minute { at, local, is_again: !seen.insert(local), skipped });
        before = local;
    }
    minutes
}

/// The slots after one time, up to another one: a fixed time that is missing comes with the first minute after the gap, one that comes twice
/// counts once.
fn brute_force(lines: &[&Line], minutes: &[Minute], from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let names = |line: &Line, time: DateTime| (line.minutes)(time.minute()) && (line.hours)(time.hour()) && (line.days)(time.weekday());
    let is_slot = |line: &Line, minute: &Minute| {
        let comes_late = line.is_fixed && minute.skipped.iter().any(|time| names(line, *time));
        comes_late || (names(line, minute.local) && !(line.is_fixed && minute.is_again))
    };
    let between = minutes.iter().filter(|minute| from < minute.at && minute.at <= until);
    between.filter(|minute| lines.iter().any(|line| is_slot(line, minute))).map(|minute| minute.at).collect()
}

#[test]
fn slots_of_the_calendar_are_those_of_the_oracle() {
    let mut compared = 0;
    for (zone, evening) in NIGHTS {
        let (from, until) = (at(evening), at(evening) + seconds(36 * 3_600));
        let minutes = minutes(zone, from);
        for first in &LINES {
            for second in &LINES {
                let texts = [first.text.to_owned(), second.text.to_owned()];
                let calendar = Calendar::parse(&texts, zone).unwrap();
                let found: Vec<Timestamp> = calendar.slots_after(from).take_while(|slot| *slot <= until).collect();
                assert_eq!(found, brute_force(&[first, second], &minutes, from, until), "{texts:?} {zone}");
                compared += found.len();
            }
        }
    }
    assert!(compared > 100_000, "{compared}");
}

/// What the oracle knows of a stretch of time in which the operator saw the same spec.
struct Stretch {
    lines: Vec<usize>,
    suspended: bool,
    since: Timestamp,
}

struct History {
    numbers: Numbers,
    world: World,
    zone: &'static str,
    minutes: Vec<Minute>,
    stretch: Stretch,
    /// The slots that must be started or missed.
    expected: usize,
    steps_clock: bool,
    started: BTreeSet<Timestamp>,
    seen: usize,
}

impl History {
    fn new(seed: u64, steps_clock: bool) -> Self {
        let mut numbers = Numbers(seed);
        let (zone, evening) = numbers.of(&NIGHTS);
        let lines = some_lines(&mut numbers);
        let mut world = World::new(&texts(&lines), evening);
        let object = world.object.as_mut().unwrap();
        object.metadata.uid = Some("u-1".to_owned());
        let spec = &mut object.spec;
        spec.time_zone = zone.to_owned();
        spec.spread_seconds = numbers.of(&[0, 0, 30, 90, 3_600]);
        spec.starting_deadline_seconds = numbers.of(&[None, None, Some(0), Some(60), Some(1_800)]);
        spec.concurrency_policy = numbers.of(&[ScheduleConcurrency::Forbid, ScheduleConcurrency::Allow]);
        let since = world.now;
        let minutes = minutes(zone, since);
        let stretch = Stretch { lines, suspended: false, since };
        Self { numbers, world, zone, minutes, stretch, expected: 0, steps_clock, started: BTreeSet::new(), seen: 0 }
    }

    fn slots(&self, until: Timestamp) -> Vec<Timestamp> {
        if self.stretch.suspended {
            return Vec::new();
        }
        let lines: Vec<&Line> = self.stretch.lines.iter().map(|index| &LINES[*index]).collect();
        brute_force(&lines, &self.minutes, self.stretch.since, until)
    }

    /// The lines of these texts, if the stretch has others, or is suspended otherwise.
    fn differs(&self, texts: &[String], suspended: bool) -> Option<Vec<usize>> {
        let lines: Vec<usize> = texts.iter().map(|text| LINES.iter().position(|line| line.text == text).unwrap()).collect();
        (lines != self.stretch.lines || suspended != self.stretch.suspended).then_some(lines)
    }

    /// A stretch ends when the operator has taken notice of another spec.
    fn observe(&mut self) {
        let record = self.world.record();
        let Some(observed) = record.observed else { return };
        let suspended = observed.suspend.unwrap();
        if let Some(lines) = self.differs(&observed.schedules.unwrap(), suspended) {
            let since = record.anchor.unwrap();
            self.expected += self.slots(since).len();
            self.stretch = Stretch { lines, suspended, since };
        }
    }

    fn step(&mut self) {
        let wait = self.numbers.of(&[7, 20, 30, 59, 60]);
        self.world.now += seconds(wait);
        if self.steps_clock && self.numbers.one_in(40) {
            self.world.now -= seconds(self.numbers.of(&[10, 45, 59]));
        }
        if self.numbers.one_in(150) {
            // The operator is down.
            self.world.now += seconds(self.numbers.of(&[120, 1_000, 9_000]));
        }
        if self.numbers.one_in(120) {
            let lines = some_lines(&mut self.numbers);
            self.world.edit(|spec| spec.schedules = texts(&lines).iter().map(|line| (*line).to_owned()).collect());
        }
        if self.numbers.one_in(120) {
            self.world.edit(|spec| spec.suspend = !spec.suspend);
        }
        let now = self.world.now;
        for index in 0..self.world.runs.len() {
            if self.numbers.one_in(3) {
                let run = &mut self.world.runs[index];
                if !run.has_ended() {
                    end(run, now, Reason::Succeeded);
                }
            }
        }
        // A person deletes a run; before its claim, that would be no start.
        if self.numbers.one_in(80) && self.world.record().pending.is_none() {
            self.world.runs.pop();
        }
    }

    /// A pass, and what must hold after it.
    fn pass(&mut self) {
        let (now, before) = (self.world.now, self.world.record());
        let free = self.world.runs.iter().all(ScheduledRun::has_ended)
            || self.world.object().spec.concurrency_policy == ScheduleConcurrency::Allow;
        let offset = offset("u-1", self.world.object().spec.spread_seconds);
        let newest = self.slots(now - offset).pop();
        let cut = if self.numbers.one_in(6) { self.numbers.below(8) } else { usize::MAX };
        let is_edited = self.differs(&self.world.object().spec.schedules, self.world.object().spec.suspend).is_some();
        self.world.acts(cut);
        self.observe();
        for run in &self.world.created[self.seen..] {
            let slot = ScheduledRun::of(run).unwrap().slot.unwrap();
            assert!(self.started.insert(slot), "{slot} starts twice");
            let anchor = self.world.record().anchor.unwrap();
            assert!(slot > anchor, "{slot} is not after the anchor {anchor}");
            assert!(slot + offset <= now, "{slot} starts before it is due");
        }
        self.seen = self.world.created.len();
        // If the operator is up when the newest slot is due, and nothing is in the way, it starts.
        let Some(newest) = newest.filter(|slot| {
            free && !is_edited && cut == usize::MAX && before.pending.is_none() && now.duration_since(*slot + offset) <= seconds(60)
        }) else {
            return;
        };
        let is_new = before.decided_until().is_none_or(|decided| newest > decided);
        if is_new && before.claims.len() < 16 && !self.steps_clock {
            assert!(self.started.contains(&newest), "{newest} should have started by {now}");
        }
    }

    /// Lets everything that is open come to its end, and counts.
    fn finish(mut self) -> usize {
        for _ in 0..3 {
            self.world.end_runs();
            self.world.pass();
            self.observe();
        }
        if !self.steps_clock {
            let spec = &self.world.object().spec;
            let due = self.world.now - offset("u-1", spec.spread_seconds);
            self.expected += self.slots(due).len();
            let claimed: BTreeSet<_> = self.world.created.iter().filter_map(|run| ScheduledRun::of(run).unwrap().slot).collect();
            let total = i64::try_from(claimed.len()).unwrap() + self.world.missed().0;
            assert_eq!(total, i64::try_from(self.expected).unwrap(), "{} {:?}", self.zone, self.world.status());
        }
        self.started.len()
    }
}

fn some_lines(numbers: &mut Numbers) -> Vec<usize> {
    let first = numbers.below(LINES.len());
    let second = numbers.below(LINES.len());
    if numbers.one_in(2) || first == second { vec![first] } else { vec![first, second] }
}

fn texts(lines: &[usize]) -> Vec<&'static str> {
    lines.iter().map(|index| LINES[*index].text).collect()
}

fn play(seeds: std::ops::Range<u64>, steps_clock: bool) -> usize {
    seeds
        .map(|seed| {
            let mut history = History::new(seed, steps_clock);
            history.world.pass();
            for _ in 0..400 {
                history.step();
                history.pass();
            }
            history.finish()
        })
        .sum()
}

#[test]
fn every_slot_of_a_random_history_is_started_or_missed_once() {
    let started = play(0..40, false);
    assert!(started > 400, "{started}");
}

#[test]
fn no_slot_starts_twice_when_the_clock_steps() {
    let started = play(1_000..1_040, true);
    assert!(started > 400, "{started}");
}
