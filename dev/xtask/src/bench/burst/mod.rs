//! The burst scenario: runs that are created at once, until the last one has ended.

mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use nuvo_sim::Pipeline;

use super::calibration::{Calibration, calibrate};
use super::environment::{Account, Environment, Operator, count_increase};
use super::markdown_table::time;
use super::nuvo_requests::{self, RequestCounts};
use super::percentiles::Percentiles;
use super::process_usage::{self, CpuTime, Memory, Sampler};
use super::run_factory;
use super::run_times::RunTimes;
use super::run_watch::RunWatch;
use super::{Args, Failure, ScenarioResult, log_progress, metrics_text};
use crate::stop::Stop;

const POLL_PERIOD_SECONDS: u32 = 10;
const CHECK_EVERY: Duration = Duration::from_millis(100);
const READY_WITHIN: Duration = Duration::from_secs(60);
/// On top of the duration of an execution: a hundred times the expected time.
const ENDS_WITHIN: Duration = Duration::from_secs(600);
/// Time for the writes that follow an end.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// The result of one measurement.
struct Row {
    runs: usize,
    pipelines: usize,
    created: Duration,
    /// From the answer to the creation to the arrival of the POST.
    trigger: Percentiles,
    last_trigger: Duration,
    /// From the end in nuvo to its arrival through a watch.
    lag: Percentiles,
    /// From the last end in nuvo to the last arrival.
    after_last_end: Duration,
    first_shown: Duration,
    took: Duration,
    requests: RequestCounts,
    /// Until the last trigger.
    trigger_requests: usize,
    most_in_window: usize,
    writes: BTreeMap<String, usize>,
    reads: BTreeMap<[String; 2], f64>,
    used: CpuTime,
    used_in_trigger: CpuTime,
    memory: Memory,
    calibration: Calibration,
    served: Percentiles,
    /// How long the operator waited for an answer of nuvo, on average, and how long for the budget.
    answer: Duration,
    budget_wait: Duration,
    reasons: BTreeMap<String, usize>,
    broken: Vec<String>,
}

pub fn run(args: &Args, program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    let mut rows = Vec::new();
    for runs in &args.runs {
        rows.push(measure(args, usize::from(*runs), program, stop)?);
    }
    let broken = rows.iter().flat_map(|row| row.broken.iter().map(|broken| format!("burst of {}: {broken}", row.runs))).collect();
    Ok(ScenarioResult { figures: tables::figures(&rows), details: tables::details(args, &rows), broken })
}

/// The documented tables without rows.
#[cfg(test)]
pub fn empty_figures() -> String {
    tables::figures(&[])
}

fn name(number: usize) -> String {
    format!("run-{number:05}")
}

fn measure(args: &Args, runs: usize, program: &Path, stop: &Stop) -> Result<Row, Failure> {
    log_progress(&format!("burst of {runs} runs"));
    let calibration = calibrate(runs, stop)?;
    let pipelines = args.pipelines.map_or(runs, usize::from).clamp(1, runs);
    let pipeline = |number: usize| format!("pipeline-{:05}", number.checked_rem(pipelines).unwrap_or_default());
    let scripted = (0..pipelines).map(|number| Pipeline::new(pipeline(number)).duration(args.duration_seconds)).collect();
    let account = Account::new(args.requests_per_second, POLL_PERIOD_SECONDS);
    let environment = Environment::open(program, &account, scripted, stop)?;
    let mut operator = environment.start_operator(stop)?;
    operator.wait("the account is ready", READY_WITHIN, CHECK_EVERY, stop, Operator::has_account)?;
    let watch = RunWatch::begin(&environment, stop)?;
    let sampler = Sampler::start(environment.processes(&operator));
    let (writes, reads) = (environment.writes(), environment.answered()?);
    environment.sim.clear_journal();

    let began = Instant::now();
    let wanted = (0..runs).map(|number| run_factory::run(&name(number), &pipeline(number))).collect::<Result<Vec<_>, _>>()?;
    let created = run_factory::create_at_once(&environment, &wanted, stop)?;
    let creating = began.elapsed();
    log_progress(&format!("{runs} runs created in {}", time(creating)));
    wait_for_ends(&watch, &created, args.duration_seconds.saturating_add(ENDS_WITHIN), &mut operator, stop)?;
    let ended = Instant::now();
    stop.sleep(SETTLE_TIME)?;

    let memory = process_usage::memory(operator.pid);
    let exposition = operator.exposition()?;
    let journal = environment.sim.journal();
    let seen = watch.seen()?;
    let times = RunTimes::gather(&environment, &created, &seen, &journal)?;
    let writes = count_increase(&writes, environment.writes());
    let reads = increase(&reads, environment.answered()?);
    let before_last = journal.iter().filter(|request| times.at(request.at_ms) <= times.last_post).count();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for seen in seen.into_values() {
        let count = reasons.entry(seen.reason).or_default();
        *count = count.saturating_add(1);
    }
    log_progress(&format!("{runs} runs: the last was triggered after {}", time(times.last_post.saturating_duration_since(began))));
    let mut broken = times.broken;
    broken.extend(nuvo_requests::over_budget(&journal, args.requests_per_second));
    operator.stop()?;
    Ok(Row {
        runs,
        pipelines,
        created: creating,
        trigger: Percentiles::of(times.triggers),
        last_trigger: times.last_post.saturating_duration_since(began),
        lag: Percentiles::of(times.lags),
        first_shown: times.first_seen.map(|first| first.saturating_duration_since(began)).unwrap_or_default(),
        after_last_end: times.last_seen.saturating_duration_since(times.last_end),
        took: ended.saturating_duration_since(began),
        requests: RequestCounts::of(&journal),
        trigger_requests: before_last,
        most_in_window: nuvo_requests::most_in_window(&journal),
        writes,
        reads,
        used: sampler.between(began, ended),
        used_in_trigger: sampler.between(began, times.last_post),
        memory,
        calibration,
        served: nuvo_requests::served(&journal),
        answer: mean(&exposition, "nuvo_operator_nuvo_request_duration_seconds"),
        budget_wait: mean(&exposition, "nuvo_operator_budget_wait_seconds"),
        reasons,
        broken,
    })
}

fn wait_for_ends(
    watch: &RunWatch,
    created: &BTreeMap<String, Instant>,
    within: Duration,
    operator: &mut Operator,
    stop: &Stop,
) -> Result<(), Failure> {
    let now = Instant::now();
    if watch.wait_for_ends(created, now.checked_add(within).unwrap_or(now), operator, stop)? {
        return Ok(());
    }
    let left = watch.seen()?.into_iter().filter(|(_, seen)| seen.ended.is_none());
    let left: Vec<String> = left.map(|(name, seen)| format!("{name} ({})", seen.reason)).collect();
    let log = operator.end_of_log();
    Err(format!("{} runs have not ended within {} s: {}\n{log}", left.len(), within.as_secs(), left.join(", ")).into())
}

/// The increase of the API server's counts.
fn increase(before: &BTreeMap<[String; 2], f64>, after: BTreeMap<[String; 2], f64>) -> BTreeMap<[String; 2], f64> {
    after
        .into_iter()
        .map(|(of, count)| {
            let old = before.get(&of).copied().unwrap_or_default();
            (of, count - old)
        })
        .collect()
}

/// The mean of a histogram of seconds.
fn mean(exposition: &str, name: &str) -> Duration {
    let of = |part: &str| metrics_text::sum(exposition, &format!("{name}_{part}"), &[]);
    Duration::try_from_secs_f64(of("sum") / of("count")).unwrap_or_default()
}
