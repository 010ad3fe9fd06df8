//! `cargo xtask faults`: what becomes of runs when one request goes wrong, for every request and every way to go wrong.
//!
//! A proxy in front of the API server and one in front of the simulator share one sequence. A play without a fault records it; each plan
//! is one fault at one of its requests. The real operator plays it as a process; the simulator counts what it has started.

mod director;
mod evidence;
mod fault;
mod ground;
mod lab;
mod operation;
mod oracle;
mod plan;
mod report;
mod stage;
pub mod storm;
mod workload;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evidence::Evidence;
use lab::{Failure, Lab};
use plan::Plan;
use report::Report;
use workload::Workload;

use crate::stop::Stop;

#[derive(clap::Args)]
pub struct Args {
    /// How many plans to play, chosen by the seed; without it, all (4,300, about an hour on two idle cores).
    #[arg(long, value_name = "N")]
    plans: Option<usize>,
    /// What the choice depends on.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Only this plan, as a failure prints it. Can be given several times.
    #[arg(long = "plan", value_name = "WORKLOAD/OPERATION/FAULT", conflicts_with = "plans")]
    only: Vec<Plan>,
    /// Only plans of this workload.
    #[arg(long, value_name = "WORKLOAD")]
    workload: Option<Workload>,
    /// How many plans are played at the same time: most of the time they wait.
    #[arg(long, value_name = "N", default_value_t = 12)]
    jobs: usize,
    /// Print the plans instead of playing them.
    #[arg(long)]
    list: bool,
}

const SAY_EVERY: Duration = Duration::from_secs(15);

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let lab = Lab::open(&stop)?;
    let began = Instant::now();
    let workloads: Vec<Workload> = workload::ALL
        .iter()
        .map(|(workload, _)| *workload)
        .filter(|workload| args.workload.is_none_or(|only| only == *workload))
        .filter(|workload| args.only.is_empty() || args.only.iter().any(|plan| plan.workload == *workload))
        .collect();
    print(&format!("playing {} workloads without a fault", workloads.len()));
    let references: Vec<Result<Evidence, Failure>> =
        in_parallel(&workloads, args.jobs, &stop, |workload| stage::play(&lab, *workload, None, &stop));
    stop.check()?;
    let references: Result<BTreeMap<Workload, Evidence>, Failure> =
        workloads.iter().copied().zip(references).map(|(workload, played)| Ok((workload, played?))).collect();
    let references = references.map_err(|error| error as Box<dyn Error>)?;
    for (workload, reference) in &references {
        print(&format!(
            "{workload:>10}: {} requests, {} writes, {} POSTs, {:.1} s",
            reference.sequence.len(),
            reference.writes(),
            reference.deliveries.len(),
            reference.took.as_secs_f64()
        ));
        if !reference.complaints.is_empty() {
            return Err(format!(
                "{workload} does not even end well without a fault: {}\n{}",
                reference.complaints.join("; "),
                reference.logs
            )
            .into());
        }
    }
    let all: Vec<Plan> = references.iter().flat_map(|(workload, reference)| plan::all(*workload, &reference.sequence)).collect();
    let total = all.len();
    let plans = if args.only.is_empty() { plan::sample(all, args.plans.unwrap_or(total), args.seed) } else { args.only.clone() };
    if args.list {
        plans.iter().for_each(|plan| print(&plan.to_string()));
        return Ok(());
    }
    print(&format!("playing {} of {total} plans, seed {}, {} at a time", plans.len(), args.seed, args.jobs));
    let report = Mutex::new(Report::default());
    let played = AtomicUsize::new(0);
    let said = Mutex::new(Instant::now());
    in_parallel(&plans, args.jobs, &stop, |plan| {
        let outcome = stage::play(&lab, plan.workload, Some((plan.operation.clone(), plan.fault)), &stop);
        if stop.check().is_err() {
            return;
        }
        let verdict = match (&outcome, references.get(&plan.workload)) {
            (Ok(evidence), Some(reference)) => oracle::judge(plan, evidence, reference),
            (Ok(_), None) => Err(vec!["the workload was not played without a fault".to_owned()]),
            (Err(error), _) => Err(vec![format!("it could not be played: {error}")]),
        };
        if let Err(broken) = &verdict {
            report::tell_of_failure(plan, broken, outcome.as_ref().ok());
        }
        report::lock(&report).add(plan, verdict);
        let count = played.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut said = report::lock(&said);
        if said.elapsed() >= SAY_EVERY {
            print(&format!("{count} of {} plans, {} s", plans.len(), began.elapsed().as_secs()));
            *said = Instant::now();
        }
    });
    stop.check()?;
    let report = report::lock(&report);
    print(&format!("\n{report}\n{} plans in {} s", report.count(), began.elapsed().as_secs()));
    if report.failures() == 0 { Ok(()) } else { Err(format!("{} plans broke a promise", report.failures()).into()) }
}

/// Tells the person. If nobody listens any more, the work goes on.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Does this for every item, several at a time, and returns the results in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], jobs: usize, stop: &Stop, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, R>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()).max(1) {
            scope.spawn(|| {
                while stop.check().is_ok() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { return };
                    let result = work(item);
                    report::lock(&results).insert(number, result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
}
