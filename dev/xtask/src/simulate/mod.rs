//! `cargo xtask simulate`: runs the scheduler of the operator in virtual time, with up to 100,000 executions in seconds.
//!
//! The structs are those of production (`nuvo_core::scheduler`); what drives them here does what `src/account` and a pass over a run do. nuvo
//! has latencies, pages, quotas, outages and a clock of its own. Equal input gives equal output.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all numbers and indices are those that the simulation has made itself"
)]

mod nuvo;
mod observing;
mod scenario;
mod world;

use std::error::Error;
use std::time::{Duration, Instant};

use crate::documented_figures;
#[cfg(test)]
pub use observing::HEAD as OBSERVING_HEAD;
use scenario::Scenario;
use world::World;

/// The names of the figures in the documentation.
pub const FIGURES: &str = "simulate";
pub const OBSERVING_FIGURES: &str = "simulate-observed";

#[derive(clap::Args)]
pub struct Args {
    /// Run only the scenarios whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Write the table into docs/performance.md, too.
    #[arg(long)]
    write_docs: bool,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for scenario in scenario::all().into_iter().filter(|scenario| scenario.name.contains(&args.only)) {
        let began = Instant::now();
        let world = scenario.play();
        eprintln!("{}: {:.1} s", scenario.name, began.elapsed().as_secs_f64());
        broken.extend(violations(scenario.name, &world));
        broken.extend(late_ends(&scenario, &world));
        rows.push(row(&scenario, &world));
    }
    let table = format!("{HEAD}\n{}", rows.concat());
    let (beside, exceeded) = observing::play(&args.only);
    broken.extend(exceeded);
    println!("{table}\n{beside}");
    if args.write_docs {
        documented_figures::write(FIGURES, &table)?;
        documented_figures::write(OBSERVING_FIGURES, &beside)?;
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

/// The head of the table.
pub const HEAD: &str = "\
| scenario | lag of the end: p50 | p99 | max | at best: p50 | p99 | max | first result | last trigger | at best | all looked at | \
requests a run: POST; end; running; before triggers; import; pipeline | longest wait: end; POST; running; import | longest wait of an account: least; most | most in 1 s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

fn row(scenario: &Scenario, world: &World) -> String {
    let lags = Lags::of(world);
    let best = Lags::at_best(scenario, world);
    let each = |name| world.counts.sent.get(name).copied().unwrap_or_default() as f64 / world.runs.len() as f64;
    let wait = |name| time(world.counts.longest_wait.get(name).copied().unwrap_or_default());
    let requests = ["POST", "read at the end", "page of what runs", "look before triggers", "read of an import", "pipeline"];
    let waits = ["read at the end", "POST", "page of what runs", "read of an import"];
    let (least, most) = world.longest_waits();
    let created = |run: &&world::Run| run.created >= world::START && run.import.is_none();
    let triggers: Vec<Duration> = world.runs.iter().filter(created).filter_map(|run| run.triggered).collect();
    let since_start = |at: Option<Duration>| at.map_or_else(|| "-".to_owned(), |at| time(at.saturating_sub(world::START)));
    let first_shown = world.runs.iter().filter(created).filter_map(|run| run.shown).min();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {}; {} | {} |\n",
        scenario.name,
        time(lags.at(0.5)),
        time(lags.at(0.99)),
        time(lags.at(1.0)),
        time(best.at(0.5)),
        time(best.at(0.99)),
        time(best.at(1.0)),
        since_start(first_shown),
        since_start(triggers.iter().max().copied()),
        since_start((!triggers.is_empty()).then(|| last_trigger_at_best(scenario, world, triggers.len()))),
        world.all_looked_at().map_or_else(|| "-".to_owned(), time),
        requests.map(|name| format!("{:.2}", each(name))).join("; "),
        waits.map(wait).join("; "),
        time(least),
        time(most),
        world.counts.most_in_a_second,
    )
}

/// When the last trigger could be sent by an operator that sent nothing but triggers.
fn last_trigger_at_best(scenario: &Scenario, world: &World, triggers: usize) -> Duration {
    let last_created = world.runs.iter().map(|run| run.created).max().unwrap_or_default();
    let beyond_the_burst = triggers as f64 / scenario.accounts as f64 - f64::from(scenario.rate) * 0.9;
    let needed = Duration::from_secs_f64((beyond_the_burst / f64::from(scenario.rate)).max(0.0));
    last_created.max(world::START + needed).max(world.nuvo.faults.quota.end)
}

/// No request that the budget allows waits longer than this.
const STARVED: Duration = Duration::from_secs(30);

/// What must hold in every scenario.
fn violations(scenario: &str, world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    if world.counts.over_budget > 0 {
        broken.push(format!("{scenario}: {} requests were more than the budget allows", world.counts.over_budget));
    }
    let with_what_is_left = [world::MODE, world::OF_PIPELINES];
    let starved = world.counts.longest_wait.iter().filter(|(of, wait)| !with_what_is_left.contains(*of) && **wait > STARVED);
    broken.extend(starved.map(|(of, wait)| format!("{scenario}: {of} waited for {}", time(*wait))));
    let left = world.left_waiting(STARVED);
    if left > 0 {
        broken.push(format!("{scenario}: {left} requests still wait"));
    }
    broken
}

fn late_ends(scenario: &Scenario, world: &World) -> Option<String> {
    let due = |run: &&world::Run| world.ended(run).is_some_and(|ended| world.now.saturating_sub(ended) > scenario.shown_within);
    let unseen = world.runs.iter().filter(due).filter(|run| run.shown.is_none()).count();
    (unseen > 0).then(|| format!("{}: {unseen} ends are not shown after {}", scenario.name, time(scenario.shown_within)))
}

/// From the ends in nuvo, or from when they can be asked for, to the ends in the statuses. Imports are left out: they ended long ago.
struct Lags(Vec<Duration>);

impl Lags {
    fn of(world: &World) -> Self {
        let lag = |run: &world::Run| Some(run.shown?.saturating_sub(world.could_be_shown(run)?));
        Self::sorted(world.runs.iter().filter(|run| run.import.is_none()).filter_map(lag).collect())
    }

    /// What an operator could reach that knew every end: it reads each execution when it ends, or when the budget has a request for it, and
    /// asks for nothing else.
    fn at_best(scenario: &Scenario, world: &World) -> Self {
        let shown = world.runs.iter().filter(|run| run.shown.is_some() && run.import.is_none());
        let mut ends: Vec<(usize, Duration, usize)> =
            shown.filter_map(|run| Some((run.account, world.could_be_shown(run)?, run.files))).collect();
        ends.sort_unstable();
        let (mut free, mut of) = (Duration::ZERO, None);
        let read = Duration::from_secs_f64(1.0 / f64::from(scenario.rate));
        let lag = |(account, end, files): (usize, Duration, usize)| {
            if of.replace(account) != Some(account) {
                free = Duration::ZERO;
            }
            // A bucket that was not used for a while is full.
            let burst = Duration::from_secs_f64(0.9);
            free = free.max(end.saturating_sub(burst)) + read * u32::try_from(files).unwrap_or(1);
            free.max(end).saturating_sub(end) + world::AT_LEAST
        };
        Self::sorted(ends.into_iter().map(lag).collect())
    }

    fn sorted(mut lags: Vec<Duration>) -> Self {
        lags.sort_unstable();
        Self(lags)
    }

    fn at(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 10.0 => format!("{seconds:.2} s"),
        seconds if seconds < 600.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_input_gives_equal_output() {
        let play = || {
            let mut world = World::new(2, 5, Duration::from_secs(10));
            for number in 0..60 {
                world.create(number % 2, number, Duration::from_millis(50) * number as u32, Duration::from_secs(12), 1);
            }
            world.run_for(Duration::from_secs(300));
            (world.fingerprint, world.counts.sent.clone(), world.runs.iter().map(|run| run.shown).collect::<Vec<_>>())
        };
        let (first, second) = (play(), play());
        assert!(first.2.iter().all(Option::is_some), "{first:?}");
        assert_eq!(first, second);
    }
}
