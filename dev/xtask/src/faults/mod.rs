//! `cargo xtask faults`: injects one fault at one request, for each request and each fault, and checks the invariants.
//!
//! A proxy in front of the API server and one in front of the simulator number all requests. A reference run without a fault records the
//! sequence; each plan is one fault at one of its requests. The operator runs as a process; the simulator counts what it has started.

mod attack;
mod environment;
mod evidence;
mod fault;
mod fault_injector;
mod manifests;
mod numbered_request;
mod operator_flags;
mod oracle;
pub mod outages;
mod plan;
mod plan_runner;
mod results_table;
pub mod storm;
mod tenant;
mod test_cluster;
mod workload;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evidence::Evidence;
use parking_lot::Mutex;
use plan::Plan;
use results_table::ResultsTable;
use test_cluster::{Failure, TestCluster};
use workload::Workload;

use crate::stop::Stop;

#[derive(clap::Args)]
pub struct Args {
    /// Number of plans to run, chosen by the seed. Default: all (5,000, about an hour on two idle cores).
    #[arg(long, value_name = "N")]
    plans: Option<usize>,
    /// Seed of the choice.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Run only this plan, as a failure prints it. Repeatable.
    #[arg(long = "plan", value_name = "WORKLOAD/OPERATION/FAULT", conflicts_with = "plans")]
    only: Vec<Plan>,
    /// Run only plans of this workload.
    #[arg(long, value_name = "WORKLOAD")]
    workload: Option<Workload>,
    /// Number of plans that run at the same time. Most of the time they wait.
    #[arg(long, value_name = "N", default_value_t = 12)]
    jobs: usize,
    /// Print the plans instead of running them.
    #[arg(long)]
    list: bool,
}

const PROGRESS_EVERY: Duration = Duration::from_secs(15);

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let cluster = TestCluster::open(None, &stop)?;
    let began = Instant::now();
    let workloads: Vec<Workload> = workload::ALL
        .iter()
        .map(|(workload, _)| *workload)
        .filter(|workload| args.workload.is_none_or(|only| only == *workload))
        .filter(|workload| args.only.is_empty() || args.only.iter().any(|plan| plan.workload == *workload))
        .collect();
    print(&format!("running {} workloads without a fault", workloads.len()));
    let references: Vec<Result<Evidence, Failure>> =
        in_parallel(&workloads, args.jobs, &stop, |workload| plan_runner::run(&cluster, *workload, None, &stop));
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
            return Err(format!("{workload} fails without a fault: {}\n{}", reference.complaints.join("; "), reference.logs).into());
        }
    }
    let all: Vec<Plan> = references.iter().flat_map(|(workload, reference)| plan::all(*workload, &reference.sequence)).collect();
    let total = all.len();
    let plans = if args.only.is_empty() { plan::sample(all, args.plans.unwrap_or(total), args.seed) } else { args.only.clone() };
    if args.list {
        plans.iter().for_each(|plan| print(&plan.to_string()));
        return Ok(());
    }
    print(&format!("running {} of {total} plans, seed {}, {} at a time", plans.len(), args.seed, args.jobs));
    let table = Mutex::new(ResultsTable::default());
    let played = AtomicUsize::new(0);
    let reported = Mutex::new(Instant::now());
    in_parallel(&plans, args.jobs, &stop, |plan| {
        let outcome = plan_runner::run(&cluster, plan.workload, Some((plan.operation.clone(), plan.fault)), &stop);
        if stop.check().is_err() {
            return;
        }
        let verdict = match (&outcome, references.get(&plan.workload)) {
            (Ok(evidence), Some(reference)) => oracle::judge(plan, evidence, reference),
            (Ok(_), None) => Err(vec!["the workload has no reference run".to_owned()]),
            (Err(error), _) => Err(vec![format!("it could not be run: {error}")]),
        };
        if let Err(broken) = &verdict {
            results_table::print_failure(plan, broken, outcome.as_ref().ok());
        }
        table.lock().add(plan, verdict);
        let count = played.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut reported = reported.lock();
        if reported.elapsed() >= PROGRESS_EVERY {
            print(&format!("{count} of {} plans, {} s", plans.len(), began.elapsed().as_secs()));
            *reported = Instant::now();
        }
    });
    stop.check()?;
    let table = table.lock();
    print(&format!("\n{table}\n{} plans in {} s", table.count(), began.elapsed().as_secs()));
    if table.failures() == 0 { Ok(()) } else { Err(format!("{} plans violated an invariant", table.failures()).into()) }
}

/// Prints progress. A closed standard output does not stop the work.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Calls `work` with each item, several at a time, and returns the results in the order of the items.
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
                    results.lock().insert(number, result);
                }
            });
        }
    });
    results.into_inner().into_values().collect()
}
