//! `cargo xtask bench`: measures what runs cost, how late their ends are shown, and which resource is the bottleneck.
//!
//! The operator is a process of its own, built with `--release`, on a real API server and a simulator of nuvo on loopback. The simulator
//! runs in this process, which is therefore built with `--release` as well, and reports how much it could have served.

mod active_runs;
mod burst;
mod calibration;
pub mod environment;
mod http_client;
mod idle;
mod interference;
pub mod markdown_table;
mod memory_group;
mod memory_limit;
mod metrics_text;
mod nuvo_requests;
mod observed;
mod percentiles;
mod process_usage;
pub mod run_factory;
mod run_times;
mod run_watch;
mod schedules;

use std::env;
use std::error::Error;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::build;
use crate::documented_figures;
use crate::stop::Stop;

#[derive(clap::Args)]
pub struct Args {
    /// Run only this scenario. Repeatable.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// burst: number of runs created at once, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "100,500,2000", value_name = "N,…", value_parser = clap::value_parser!(u16).range(1..))]
    runs: Vec<u16>,
    /// burst: number of pipelines that the runs share. Default: one per run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pipelines: Option<u16>,
    /// burst: duration of each execution in nuvo.
    #[arg(long, default_value = "12.3", value_name = "SECONDS", value_parser = seconds)]
    duration_seconds: Duration,
    /// burst and idle: requests per second of the account.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    requests_per_second: u32,
    /// idle: number of runs that have ended.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    ended: usize,
    /// active-runs: number of active runs, at 5 requests per second.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    active: usize,
    /// Measure this program instead of the operator that is built here, to compare it with that of another commit. It must accept the flags
    /// and the custom resources of this commit.
    #[arg(long, value_name = "PATH", conflicts_with = "write_docs")]
    operator: Option<PathBuf>,
    /// Write the figures of these scenarios into docs/performance.md, too.
    #[arg(long)]
    write_docs: bool,
}

/// A scenario to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Runs that are created at once.
    Burst,
    /// Runs that have ended.
    #[value(alias = "rest")]
    Idle,
    /// Very many active runs and a small budget.
    #[value(alias = "crowd")]
    ActiveRuns,
    /// Trouble in one place, beside runs that it must not delay. Ends with an error if it delays one by more than 15 seconds.
    Interference,
    /// Observed pipelines: of one account, and of many. Ends with an error if they cost more than one top page a period, or more than two writes
    /// a minute and object.
    Observed,
    /// A thousand schedules that are due in the same minute. Ends with an error if one does not start, or if they cost anything at rest.
    Schedules,
    /// Very large and very many runs and accounts, under the memory limit of the chart. Ends with an error if the operator needs more.
    MemoryLimit,
}

/// The names of the scenarios' figures in the documentation.
const BURST: &str = "burst";
const IDLE: &str = "idle";
const ACTIVE_RUNS: &str = "active-runs";
const INTERFERENCE: &str = "interference";
const MEMORY_LIMIT: &str = "memory-limit";
const OBSERVED: &str = "observed";
const SCHEDULES: &str = "schedules";

/// A failure that crosses threads.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The result of a scenario.
#[derive(Default)]
struct ScenarioResult {
    /// The tables that the documentation shows, in Markdown.
    figures: String,
    /// Tables that help to judge the others.
    details: String,
    /// The limits that were exceeded.
    broken: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let programs = build::optimized(&stop)?;
    if cfg!(debug_assertions) {
        // Without optimization, the simulator and the watch would be the bottleneck.
        let error = Command::new(&programs.xtask).args(env::args_os().skip(1)).exec();
        return Err(format!("cannot start {}: {error}", programs.xtask.display()).into());
    }
    let other = args.operator.as_ref().map(fs::canonicalize).transpose()?;
    let header = markdown_table::header("built with --release", other.as_deref());
    let operator = other.unwrap_or(programs.operator);
    println!("{header}");
    let wanted = |scenario| args.only.is_empty() || args.only.contains(&scenario);
    let mut broken = Vec::new();
    let mut show = |name: &str, outcome: Result<ScenarioResult, Failure>| -> Result<(), Box<dyn Error>> {
        // After Ctrl-C everything else fails as a consequence.
        stop.check()?;
        let ScenarioResult { figures, details, broken: exceeded } = outcome.map_err(|error| error as Box<dyn Error>)?;
        println!("{figures}{details}");
        broken.extend(exceeded);
        if args.write_docs {
            documented_figures::write(name, &format!("{header}\n{figures}"))?;
        }
        Ok(())
    };
    if wanted(Scenario::Burst) {
        show(BURST, burst::run(args, &operator, &stop))?;
    }
    if wanted(Scenario::Idle) {
        show(IDLE, idle::run(args, &operator, &stop))?;
    }
    if wanted(Scenario::ActiveRuns) {
        show(ACTIVE_RUNS, active_runs::run(args, &operator, &stop))?;
    }
    if wanted(Scenario::Interference) {
        show(INTERFERENCE, interference::measure(&operator, &stop))?;
    }
    if wanted(Scenario::MemoryLimit) {
        show(MEMORY_LIMIT, memory_limit::run(&operator, &stop))?;
    }
    if wanted(Scenario::Observed) {
        show(OBSERVED, observed::run(&operator, &stop))?;
    }
    if wanted(Scenario::Schedules) {
        show(SCHEDULES, schedules::run(&operator, &stop))?;
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

/// The figures that docs/performance.md has, and lines that they have as long as the tables are as they are now.
#[cfg(test)]
pub fn documented_heads() -> [(&'static str, Vec<String>); 7] {
    let heads = |tables: &str| tables.lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect();
    [
        (BURST, heads(&burst::empty_figures())),
        (IDLE, Vec::new()),
        (ACTIVE_RUNS, Vec::new()),
        (INTERFERENCE, heads(&interference::empty_figures())),
        (MEMORY_LIMIT, Vec::new()),
        (OBSERVED, Vec::new()),
        (SCHEDULES, Vec::new()),
    ]
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds, like 12.3".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Reports progress on standard error: only the tables go to standard output.
pub fn log_progress(text: &str) {
    eprintln!("{text}");
}
