//! What is simulated.

use std::time::Duration;

use super::world::{START, World};

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
