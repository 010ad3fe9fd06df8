//! `cargo xtask bench`: what runs cost, how late their ends are shown, and what binds.
//!
//! The operator is a process of its own, built with `--release`, on a real API server and a simulator of nuvo on loopback. The simulator
//! runs in this program, which is therefore built with `--release` as well, and says how much it could have served.

mod burst;
mod calibration;
mod crowd;
mod forge;
mod measure;
mod requests;
mod rest;
mod setting;
mod table;
mod watch;
mod wire;

use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::build;
use crate::stop::Stop;

#[derive(clap::Args)]
pub struct Args {
    /// Only this scenario. Can be given several times.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Burst: how many runs are created at once, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "100,500,2000", value_name = "N,…", value_parser = clap::value_parser!(u16).range(1..))]
    runs: Vec<u16>,
    /// Burst: how many pipelines the runs share; without it each has its own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pipelines: Option<u16>,
    /// Burst: how long each execution lasts in nuvo.
    #[arg(long, default_value = "12.3", value_name = "SECONDS", value_parser = seconds)]
    duration_seconds: Duration,
    /// Burst and rest: the account's budget.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    requests_per_second: u32,
    /// Rest: how many runs have ended.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    ended: usize,
    /// Crowd: how many runs are active, at 5 requests per second.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    active: usize,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Runs that are created at once.
    Burst,
    /// Runs that have ended.
    Rest,
    /// Very many active runs and a small budget.
    Crowd,
}

/// A failure that crosses threads.
type Failure = Box<dyn Error + Send + Sync>;

/// What came out of a scenario: Markdown, and which counts do not hold.
#[derive(Default)]
struct Outcome {
    text: String,
    broken: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let programs = build::optimized(&stop)?;
    if cfg!(debug_assertions) {
        // A simulator and a watch without optimization would be what is measured.
        let error = Command::new(&programs.xtask).args(env::args_os().skip(1)).exec();
        return Err(format!("cannot start {}: {error}", programs.xtask.display()).into());
    }
    println!("{}", table::header());
    let wanted = |scenario| args.only.is_empty() || args.only.contains(&scenario);
    let mut broken = Vec::new();
    let mut show = |outcome: Result<Outcome, Failure>| -> Result<(), Box<dyn Error>> {
        // Whatever failed then failed because of that.
        stop.check()?;
        let outcome = outcome.map_err(|error| error as Box<dyn Error>)?;
        println!("{}", outcome.text);
        broken.extend(outcome.broken);
        Ok(())
    };
    if wanted(Scenario::Burst) {
        show(burst::run(args, &programs.operator, &stop))?;
    }
    if wanted(Scenario::Rest) {
        show(rest::run(args, &programs.operator, &stop))?;
    }
    if wanted(Scenario::Crowd) {
        show(crowd::run(args, &programs.operator, &stop))?;
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds, like 12.3".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Tells the person how far it is; the tables alone go to standard output.
fn say(text: &str) {
    eprintln!("{text}");
}

/// Locks, also after a panic of another thread: what is guarded here is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
