//! What observed pipelines cost an account, and the runs beside them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::scenario::{self, Observing};
use super::world::{EXECUTION, FIRST, FURTHER, OBSERVE_PERIOD, PIPELINE, START, TOP, World};
use super::{Lags, time, violations};

/// The head of the table.
pub const HEAD: &str = "\
| runs beside them | observed pipelines | lag of the end: p50 | p99 | requests for observed pipelines: top pages; further pages; pages by \
pipeline; executions; pipelines | top pages a period and account: most | of all accounts in 1 s | all seen after | longest wait: end; POST; \
top page | age of the last complete look: most | of what is known of a pipeline: most | executions counted; without statistics; late |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

/// How much the lag of the ends may grow.
const GROWS_BY: f64 = 1.05;

/// How many times its share of the top pages a second may have.
const HERD: usize = 3;

/// Plays the scenarios whose names contain this. Returns the table, and the limits that were exceeded.
pub fn play(only: &str) -> (String, Vec<String>) {
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for group in scenario::observing().into_iter().filter(|group| group.iter().any(|scenario| scenario.name.contains(only))) {
        let mut without = None;
        for scenario in group {
            let began = Instant::now();
            let world = scenario.play();
            eprintln!("{}, {} observed: {:.1} s", scenario.name, scenario.observed, began.elapsed().as_secs_f64());
            rows.push(row(&scenario, &world));
            broken.extend(exceeded(&scenario, &world, without));
            without.get_or_insert_with(|| Lags::of(&world).at(0.99));
        }
    }
    (format!("{HEAD}\n{}", rows.concat()), broken)
}

fn row(scenario: &Observing, world: &World) -> String {
    let lags = Lags::of(world);
    let sent = |kind| world.counts.observation.get(kind).copied().unwrap_or_default().to_string();
    let wait = |name| time(world.counts.longest_wait.get(name).copied().unwrap_or_default());
    let sum = |of: fn(&super::world::Observed) -> u64| world.observed.iter().map(of).sum::<u64>().to_string();
    let seen = world.observed.iter().map(|observed| observed.seen).max().flatten();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        scenario.name,
        scenario.observed,
        time(lags.at(0.5)),
        time(lags.at(0.99)),
        [TOP, FURTHER, FIRST, EXECUTION, PIPELINE].map(sent).join("; "),
        most_of_an_account(world),
        most_in_a_second(world),
        seen.map_or_else(|| "-".to_owned(), |at| time(at - START)),
        ["read at the end", "POST", "page of what is new"].map(wait).join("; "),
        time(oldest_look(world)),
        time(oldest(world)),
        [sum(|of| of.counted), sum(|of| of.unread), sum(|of| of.late)].join("; "),
    )
}

/// How old the last complete look of an account became at most.
fn oldest_look(world: &World) -> Duration {
    let of_account = |(last, oldest): &(Duration, Duration)| (*oldest).max(world.now - *last);
    world.counts.looks.values().map(of_account).max().unwrap_or_default()
}

/// How old what is known of a pipeline became at most: an execution that a look does not show any more can have ended meanwhile.
fn oldest(world: &World) -> Duration {
    world.observed.iter().map(|observed| observed.oldest(world.now)).max().unwrap_or_default()
}

/// When the top pages of each account were asked for, after the first one, which follows the start.
fn top_pages(world: &World) -> impl Iterator<Item = Vec<Duration>> {
    let mut of_accounts: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
    for (at, account) in &world.counts.top_pages {
        of_accounts.entry(*account).or_default().push(*at);
    }
    of_accounts.into_values().map(|times| times.into_iter().skip(1).collect())
}

/// The most top pages of an account within a period.
fn most_of_an_account(world: &World) -> usize {
    // Less, because each waits for its request.
    let nearly = OBSERVE_PERIOD.mul_f64(0.9);
    top_pages(world).map(|times| most_within(&times, nearly)).max().unwrap_or_default()
}

/// The most top pages of all accounts within a second.
fn most_in_a_second(world: &World) -> usize {
    let mut times: Vec<Duration> = top_pages(world).flatten().collect();
    times.sort_unstable();
    most_within(&times, Duration::from_secs(1))
}

/// The most of these times, which are in order, within any such time.
fn most_within(times: &[Duration], within: Duration) -> usize {
    let of = |(first, at): (usize, &Duration)| times.partition_point(|time| *time < *at + within) - first;
    times.iter().enumerate().map(of).max().unwrap_or_default()
}

/// The limits that were exceeded. `without` is the 99th percentile of the lag without observed pipelines.
fn exceeded(scenario: &Observing, world: &World, without: Option<Duration>) -> Vec<String> {
    let name = format!("{}, {} observed", scenario.name, scenario.observed);
    let mut broken = violations(&name, world);
    let lag = Lags::of(world).at(0.99);
    if let Some(without) = without.filter(|without| !scenario.is_full && lag > without.mul_f64(GROWS_BY)) {
        broken.push(format!("{name}: the 99th percentile of the lag is {}, and {} without them", time(lag), time(without)));
    }
    if scenario.observed == 0 && !world.counts.observation.is_empty() {
        broken.push(format!("{name}: there are requests for nothing: {:?}", world.counts.observation));
    }
    let unseen = world.observed.iter().filter(|observed| observed.seen.is_none()).count();
    if unseen > 0 {
        broken.push(format!("{name}: {unseen} were not seen"));
    }
    if most_of_an_account(world) > 1 {
        broken.push(format!("{name}: {} top pages in a period", most_of_an_account(world)));
    }
    let even = scenario.accounts / OBSERVE_PERIOD.as_secs() as usize;
    if most_in_a_second(world) > even * HERD + 1 {
        broken.push(format!("{name}: {} top pages in a second", most_in_a_second(world)));
    }
    if oldest_look(world) > scenario.oldest {
        broken.push(format!("{name}: the last complete look was {} old", time(oldest_look(world))));
    }
    let lost: u64 = world.observed.iter().map(|observed| world.uncounted(observed)).sum();
    if lost > 0 {
        broken.push(format!("{name}: {lost} executions were not counted"));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observed_pipelines_delay_runs_little_and_are_looked_at_in_time() {
        let (table, broken) = play("");
        assert!(broken.is_empty(), "{table}\n{}", broken.join("\n"));
    }
}
