//! `cargo xtask outages`: something goes away under load and comes back; what has become of the runs, and how many of them ask a person.
//!
//! Operators run as processes with leader election, restarted as the kubelet does. A proxy stands before the API server, for each of them, and
//! one before the simulator: these are what goes away. The times of the protocol are scaled by the operator's own flags.

mod gateway;
mod observed_runs;
mod replicas;
mod scenario;
mod scenario_runner;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::scenario::Scenario;
use self::scenario_runner::Counts;
use super::operator_flags::ProtocolTimes;
use super::test_cluster::{Failure, TestCluster};
use super::{in_parallel, print};
use crate::bench::markdown_table::{self, Table};
use crate::documented_figures;
use crate::stop::Stop;

/// The name of the figures in the documentation.
const FIGURES: &str = "outages";

#[derive(clap::Args)]
pub struct Args {
    /// Run only the scenarios whose names begin like this, such as `gateway` or `api-server-60s`. Repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Number of times that the times of the protocol, of the alerts and of the maintenance are shorter than by default. How long the API server
    /// and the gateway are away is not scaled, because the lease of the leader is not.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=20))]
    scale: u32,
    /// Number of scenarios that run at the same time. Most of the time they wait.
    #[arg(long, value_name = "N", default_value_t = 5)]
    jobs: usize,
    /// Run this program instead of the operator that is built here, to compare it with that of another commit.
    #[arg(long, value_name = "FILE", conflicts_with = "write_docs")]
    operator: Option<PathBuf>,
    /// Print the names of the scenarios instead of running them.
    #[arg(long)]
    list: bool,
    /// Write the table into docs/reliability.md, too.
    #[arg(long, conflicts_with = "only")]
    write_docs: bool,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| name.starts_with(only.as_str()));
    let scenarios: Vec<Scenario> = scenario::all(args.scale).into_iter().filter(|scenario| wanted(scenario.name)).collect();
    if scenarios.is_empty() {
        return Err("no scenario begins like this: `cargo xtask outages --list` prints their names".into());
    }
    if args.list {
        scenarios.iter().for_each(|scenario| print(scenario.name));
        return Ok(());
    }
    let stop = Stop::on_signals()?;
    let cluster = TestCluster::open(args.operator.as_deref(), &stop)?;
    let header = format!("{}\n{}", markdown_table::header("built for development", args.operator.as_deref()), times(args.scale));
    print(&header);
    let began = Instant::now();
    // The longest ones first, so that the others run beside them.
    let mut order: Vec<&Scenario> = scenarios.iter().collect();
    order.sort_by_key(|scenario| std::cmp::Reverse(scenario.lasts));
    let results = Mutex::new(Vec::new());
    in_parallel(&order, args.jobs, &stop, |scenario| {
        let counts = scenario_runner::run(&cluster, scenario, args.scale, &stop);
        results.lock().push((scenario.name, counts));
    });
    stop.check()?;
    let mut results = results.into_inner();
    results.sort_by_key(|(name, _)| scenarios.iter().position(|scenario| scenario.name == *name));
    let (table, broken) = table(&scenarios, results);
    print(&format!("{table}\n{} scenarios in {} s", scenarios.len(), began.elapsed().as_secs()));
    if args.write_docs && broken.is_empty() {
        documented_figures::write(FIGURES, &format!("{header}\n{table}"))?;
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

/// The times, for those who read the table.
fn times(scale: u32) -> String {
    let ProtocolTimes { trigger_timeout, fence, settle, confirm: _, quarantine } = ProtocolTimes::DEFAULT.scaled(scale);
    format!(
        "Scale 1:{scale}: POST deadline {}, fence {}, settle time {}, quarantine {}; alerts and maintenance are scaled, too.",
        markdown_table::time(trigger_timeout),
        markdown_table::time(fence),
        markdown_table::time(settle),
        markdown_table::time(quarantine)
    )
}

/// The figures that the documentation has, and lines that they have as long as the table is as it is now.
#[cfg(test)]
pub fn documented_heads() -> (&'static str, Vec<String>) {
    let (table, _) = table(&[], Vec::new());
    (FIGURES, table.lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect())
}

/// The table, and what must not be.
fn table(scenarios: &[Scenario], results: Vec<(&'static str, Result<Counts, Failure>)>) -> (String, Vec<String>) {
    let mut table = Table::new(
        "Outages: what they leave behind",
        [
            "outage",
            "operators",
            "policy of the runs",
            "runs",
            "POSTs",
            "executions",
            "ended by nuvo's word",
            "ended unstarted",
            "asked a person",
            "pages",
            "longest TriggerUnconfirmed",
            "all go on, after the outage",
            "most executions of a pipeline at once",
            "restarts of operators",
        ],
    );
    let mut broken = Vec::new();
    for (scenario, (name, counts)) in scenarios.iter().zip(results) {
        let counts = match counts {
            Ok(counts) => counts,
            Err(error) => {
                broken.push(format!("{name}: it could not be run: {error}"));
                continue;
            }
        };
        broken.extend(counts.broken.iter().map(|broken| format!("{name}: {broken}")));
        table.row([
            scenario.what.clone(),
            scenario.replicas.to_string(),
            scenario.policy.to_owned(),
            scenario.runs.len().to_string(),
            counts.posts.to_string(),
            counts.executions.to_string(),
            counts.ended.to_string(),
            counts.unstarted.to_string(),
            counts.asked.to_string(),
            counts.pages.to_string(),
            seconds(counts.longest_unconfirmed),
            counts.all_go_on.map_or_else(|| "never".to_owned(), seconds),
            counts.most_at_once.to_string(),
            counts.restarts.to_string(),
        ]);
    }
    (table.to_string(), broken)
}

/// Runs are looked at every half second.
fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}
