//! What is simulated.

use std::time::Duration;

use super::world::{START, Starts, World};

/// A scenario.
pub struct Scenario {
    pub name: &'static str,
    pub accounts: usize,
    /// Requests per second of each account.
    pub rate: u32,
    /// An end must be shown within this time.
    pub shown_within: Duration,
    time: Duration,
    fill: fn(&mut World),
}

impl Scenario {
    pub fn play(&self) -> World {
        let mut world = World::new(self.accounts, self.rate, Duration::from_secs(10));
        (self.fill)(&mut world);
        world.run_for(self.time);
        world
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// A number below `of` that looks like chance, and is the same each time.
fn scattered(number: usize, of: u64) -> u64 {
    (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) % of
}

/// Many that have been running for a while; all end within the next two hours.
fn running(world: &mut World, accounts: usize, each: usize) {
    for number in 0..accounts * each {
        let age = seconds(60 + scattered(number, 3_600));
        world.follow(number % accounts, number, age, age + seconds(1 + scattered(number * 7 + 3, 7_200)));
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "500 runs of 12 s, 100/s",
            accounts: 1,
            rate: 100,
            shown_within: seconds(5),
            time: minutes(5),
            fill: |world| {
                (0..500).for_each(|run| world.create(0, run, Duration::from_millis(4) * run as u32, Duration::from_millis(12_300), 1))
            },
        },
        Scenario {
            name: "500 runs of 12 s, 5/s",
            accounts: 1,
            rate: 5,
            shown_within: seconds(60),
            time: minutes(20),
            fill: |world| {
                (0..500).for_each(|run| world.create(0, run, Duration::from_millis(4) * run as u32, Duration::from_millis(12_300), 1))
            },
        },
        Scenario {
            name: "10,000 running, 5/s (also: a restart)",
            accounts: 1,
            rate: 5,
            shown_within: minutes(3),
            time: minutes(130),
            fill: |world| running(world, 1, 10_000),
        },
        Scenario {
            name: "100,000 running, 1,000 accounts, 5/s each",
            accounts: 1_000,
            rate: 5,
            shown_within: minutes(1),
            time: minutes(20),
            fill: |world| running(world, 1_000, 100),
        },
        Scenario {
            name: "5,000 imports beside 200 running, 5/s",
            accounts: 1,
            rate: 5,
            shown_within: minutes(30),
            time: minutes(130),
            fill: |world| {
                running(world, 1, 200);
                (0..5_000).for_each(|run| world.import(0, 10_000 + run, seconds(60), minutes(600), minutes(10)));
            },
        },
        Scenario {
            name: "429 on POST for 2 h, 200 running, 5/s",
            accounts: 1,
            rate: 5,
            shown_within: minutes(1),
            time: minutes(240),
            fill: |world| {
                running(world, 1, 200);
                world.nuvo.faults.quota = START + minutes(1)..START + minutes(121);
                (0..20).for_each(|run| world.create(0, 10_000 + run, minutes(1 + run as u64), minutes(5), 1));
            },
        },
        Scenario {
            name: "one account hangs beside 250, 5/s each",
            accounts: 251,
            rate: 5,
            shown_within: minutes(1),
            time: minutes(30),
            fill: |world| {
                world.nuvo.faults.hanging = Some(0);
                for run in 0..251 * 8 {
                    world.create(run % 251, run, Duration::from_millis(run as u64 * 20), minutes(2), 1);
                }
            },
        },
        Scenario {
            name: "outage of 10 min, 500 running, 5/s",
            accounts: 1,
            rate: 5,
            shown_within: minutes(12),
            time: minutes(130),
            fill: |world| {
                running(world, 1, 500);
                world.nuvo.faults.outage = START + minutes(20)..START + minutes(30);
            },
        },
        Scenario {
            name: "runs of a minute, an hour and a day, 5/s",
            accounts: 1,
            rate: 5,
            shown_within: minutes(2),
            time: minutes(25 * 60),
            fill: |world| {
                (0..1_000).for_each(|run| world.create(0, run % 50, minutes(run as u64), minutes(1), 1));
                (0..100).for_each(|run| world.create(0, 100 + run, minutes(10 * run as u64), minutes(60), 1));
                (0..50).for_each(|run| world.create(0, 300 + run, seconds(run as u64), minutes(24 * 60), 1));
            },
        },
        Scenario {
            name: "20 runs of 50 files, 5/s",
            accounts: 1,
            rate: 5,
            shown_within: minutes(10),
            time: minutes(60),
            fill: |world| (0..20).for_each(|run| world.create(0, run, seconds(30 * run as u64), minutes(2), 50)),
        },
    ]
}

/// Runs of an account beside pipelines that nuvo starts by itself, some of which are observed.
#[derive(Clone, Copy)]
pub struct Observing {
    pub name: &'static str,
    pub accounts: usize,
    pub rate: u32,
    /// How many pipelines are observed.
    pub observed: usize,
    /// The last complete look may be no older than this.
    pub oldest: Duration,
    /// The runs need more requests than there are, so their lag is their own.
    pub is_full: bool,
    /// How long it is played.
    pub time: Duration,
    fill: fn(&mut World),
}

/// The pipelines that nuvo starts by itself, of all accounts together.
const BY_ITSELF: usize = 1_000;
/// Their numbers begin here: no run has such a pipeline.
const FIRST_BY_ITSELF: usize = 1_000_000;

impl Observing {
    pub fn play(&self) -> World {
        let mut world = World::new(self.accounts, self.rate, Duration::from_secs(10));
        (self.fill)(&mut world);
        for number in 0..BY_ITSELF {
            let (account, pipeline) = (number % self.accounts, FIRST_BY_ITSELF + number);
            let every = minutes(30);
            let starts = Starts {
                account,
                pipeline,
                trigger: if number % 2 == 0 { "SCHEDULED" } else { "EVENT" },
                every,
                takes: seconds(20 + scattered(number, 60)),
            };
            world.start_by_itself(seconds(scattered(number, every.as_secs())), starts);
        }
        for number in 0..self.observed {
            world.observe(number % self.accounts, FIRST_BY_ITSELF + number, Duration::from_millis(number as u64));
        }
        world.run_for(self.time);
        world
    }
}

/// An account, without and with pipelines that are observed. Each time, nuvo starts the same executions by itself.
pub fn observing() -> Vec<Vec<Observing>> {
    // Of slightly different lengths: by how much a run is late depends on where between two polls it ends.
    let bursts = |world: &mut World| {
        for burst in 0..5 {
            let begins = |run: usize| minutes(12 * burst) + Duration::from_millis(5) * run as u32;
            let takes = Duration::from_millis(12_000 + 250 * burst);
            (0..500).for_each(|run| world.create(0, 500 * burst as usize + run, begins(run), takes, 1));
        }
    };
    // Two periods, and the time that requests wait.
    let oldest = Duration::from_secs(130);
    let observing = |name, accounts, rate, time, is_full, fill, counts: &[usize]| -> Vec<Observing> {
        counts.iter().map(|observed| Observing { name, accounts, rate, observed: *observed, oldest, is_full, time, fill }).collect()
    };
    let counts = &[0, 500, 1_000];
    vec![
        observing("five times 500 runs of 12 s, 100/s", 1, 100, minutes(60), false, bursts, counts),
        observing("five times 500 runs of 12 s, 5/s", 1, 5, minutes(60), false, bursts, counts),
        observing(
            "an hour of more runs of 12 s than 5/s allow",
            1,
            5,
            minutes(80),
            true,
            // They are seen before it begins.
            |world| (0..10_800).for_each(|run| world.create(0, run, minutes(20) + Duration::from_millis(333) * run as u32, seconds(12), 1)),
            counts,
        ),
        observing("1,000 accounts with one each, 5/s", 1_000, 5, minutes(30), false, |_| {}, &[0, 1_000]),
    ]
}
