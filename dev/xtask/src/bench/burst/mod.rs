//! The burst scenario: runs that are created at once, until the last one has ended.

mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use nuvo_sim::{Operation, Pipeline, RecordedRequest};
use parking_lot::Mutex;

use super::calibration::{Calibration, calibrate};
use super::environment::{Account, Environment, Operator, count_increase};
use super::markdown_table::time;
use super::nuvo_requests::{self, RequestCounts};
use super::percentiles::Percentiles;
use super::process_usage::{self, CpuTime, Memory, Sampler};
use super::run_factory;
use super::run_watch::{ObservedRun, RunWatch};
use super::{Args, Failure, ScenarioResult, log_progress, metrics_text};
use crate::stop::Stop;

const POLL_PERIOD_SECONDS: u32 = 10;
const CHECK_EVERY: Duration = Duration::from_millis(100);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
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
    let account = Account { requests_per_second: args.requests_per_second, poll_period_seconds: POLL_PERIOD_SECONDS };
    let environment = Environment::open(program, &account, scripted, stop)?;
    let mut operator = environment.start_operator(stop)?;
    operator.wait("the account is ready", READY_WITHIN, CHECK_EVERY, stop, Operator::has_account)?;
    let watch = RunWatch::begin(&environment, stop)?;
    let sampler = Sampler::start(environment.processes(&operator));
    let (writes, reads) = (environment.writes(), environment.answered()?);
    environment.sim.clear_journal();

    let began = Instant::now();
    let created = create(&environment, runs, &pipeline, stop)?;
    let creating = began.elapsed();
    log_progress(&format!("{runs} runs created in {}", time(creating)));
    wait_for_ends(&watch, runs, args.duration_seconds, &mut operator, stop)?;
    let ended = Instant::now();
    stop.sleep(SETTLE_TIME)?;

    let memory = process_usage::memory(operator.pid);
    let exposition = operator.exposition()?;
    let journal = environment.sim.journal();
    let seen = watch.seen()?;
    let facts = Facts::gather(&environment, &created, &seen, &journal, args.duration_seconds)?;
    let writes = count_increase(&writes, environment.writes());
    let reads = increase(&reads, environment.answered()?);
    let before_last = journal.iter().filter(|request| facts.at(request.at_ms) <= facts.last_post).count();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for seen in seen.into_values() {
        let count = reasons.entry(seen.reason).or_default();
        *count = count.saturating_add(1);
    }
    log_progress(&format!("{runs} runs: the last was triggered after {}", time(facts.last_post.saturating_duration_since(began))));
    let mut broken = facts.broken;
    broken.extend(nuvo_requests::over_budget(&journal, args.requests_per_second));
    operator.stop()?;
    Ok(Row {
        runs,
        pipelines,
        created: creating,
        trigger: Percentiles::of(facts.triggers),
        last_trigger: facts.last_post.saturating_duration_since(began),
        lag: Percentiles::of(facts.lags),
        after_last_end: facts.last_seen.saturating_duration_since(facts.last_end),
        took: ended.saturating_duration_since(began),
        requests: RequestCounts::of(&journal),
        trigger_requests: before_last,
        most_in_window: nuvo_requests::most_in_window(&journal),
        writes,
        reads,
        used: sampler.between(began, ended),
        used_in_trigger: sampler.between(began, facts.last_post),
        memory,
        calibration,
        served: nuvo_requests::served(&journal),
        answer: mean(&exposition, "nuvo_operator_nuvo_request_duration_seconds"),
        budget_wait: mean(&exposition, "nuvo_operator_budget_wait_seconds"),
        reasons,
        broken,
    })
}

/// Creates the runs as fast as the API server accepts them. Returns when each was answered.
fn create(
    environment: &Environment,
    runs: usize,
    pipeline: &(impl Fn(usize) -> String + Sync),
    stop: &Stop,
) -> Result<BTreeMap<String, Instant>, Failure> {
    let created = Mutex::new(BTreeMap::new());
    environment.for_each(runs, stop, |api, number| {
        let (name, pipeline, created) = (name(number), pipeline(number), &created);
        async move {
            api.create(&PostParams::default(), &run_factory::run(&name, &pipeline)?).await?;
            created.lock().insert(name, Instant::now());
            Ok(())
        }
    })?;
    Ok(created.into_inner())
}

fn wait_for_ends(watch: &RunWatch, runs: usize, duration: Duration, operator: &mut Operator, stop: &Stop) -> Result<(), Failure> {
    let began = Instant::now();
    let mut reported = Instant::now();
    let within = duration.saturating_add(ENDS_WITHIN);
    loop {
        let ended = watch.ended();
        if ended >= runs {
            return Ok(());
        }
        operator.check()?;
        if began.elapsed() > within {
            let left: Vec<String> = watch
                .seen()?
                .into_iter()
                .filter(|(_, seen)| seen.ended.is_none())
                .map(|(name, seen)| format!("{name} ({})", seen.reason))
                .collect();
            let log = operator.end_of_log();
            return Err(format!("{} runs have not ended within {} s: {}\n{log}", left.len(), within.as_secs(), left.join(", ")).into());
        }
        if reported.elapsed() > PROGRESS_EVERY {
            reported = Instant::now();
            log_progress(&format!("{} s: {ended} of {runs} runs have ended", began.elapsed().as_secs()));
        }
        stop.sleep(CHECK_EVERY)?;
    }
}

/// What the simulator's journal, its executions and the watch show together.
struct Facts {
    beginning: Instant,
    triggers: Vec<Duration>,
    lags: Vec<Duration>,
    last_post: Instant,
    last_end: Instant,
    last_seen: Instant,
    broken: Vec<String>,
}

impl Facts {
    fn gather(
        environment: &Environment,
        created: &BTreeMap<String, Instant>,
        seen: &BTreeMap<String, ObservedRun>,
        journal: &[RecordedRequest],
        duration: Duration,
    ) -> Result<Self, Failure> {
        let beginning = environment.beginning();
        let posts: BTreeMap<u64, &RecordedRequest> =
            journal.iter().filter(|request| request.operation == Operation::Create).map(|request| (request.number, request)).collect();
        let executions: BTreeMap<String, _> =
            environment.sim.executions().into_iter().map(|execution| (execution.id.clone(), execution)).collect();
        let mut facts = Self {
            beginning,
            triggers: Vec::new(),
            lags: Vec::new(),
            last_post: beginning,
            last_end: beginning,
            last_seen: beginning,
            broken: Vec::new(),
        };
        let (executed, names) = nuvo_requests::carried_out(journal);
        if executed != created.len() || names != executed || executions.len() != executed {
            facts.broken.push(format!(
                "{} runs, but {executed} POSTs were carried out ({names} different ones) and made {} executions",
                created.len(),
                executions.len()
            ));
        }
        for (name, answered) in created {
            let Some(run) = seen.get(name) else { return Err(format!("{name} was never seen").into()) };
            let [id] = run.executions.as_slice() else {
                facts.broken.push(format!("{name} has {} executions ({})", run.executions.len(), run.reason));
                continue;
            };
            let execution = executions.get(id).ok_or_else(|| format!("{name} shows an execution that nuvo does not have: {id}"))?;
            let post = execution.request.and_then(|number| posts.get(&number)).ok_or_else(|| format!("no POST started {id}"))?;
            let post_at = facts.at(post.at_ms);
            facts.triggers.push(post_at.saturating_duration_since(*answered));
            facts.last_post = facts.last_post.max(post_at);
            // The difference of the two dates is the time from the POST's arrival to the creation.
            let made: Timestamp = execution.created_at.parse()?;
            let arrived: Timestamp = post.at.parse()?;
            let after = Duration::try_from(made.duration_since(arrived)).unwrap_or_default();
            let end = post_at.checked_add(after).and_then(|made| made.checked_add(duration)).unwrap_or(post_at);
            facts.last_end = facts.last_end.max(end);
            let shown = run.ended.ok_or_else(|| format!("{name} has not ended"))?;
            facts.lags.push(shown.saturating_duration_since(end));
            facts.last_seen = facts.last_seen.max(shown);
            if run.reason != "Succeeded" {
                facts.broken.push(format!("{name} has ended as {}", run.reason));
            }
        }
        Ok(facts)
    }

    /// A moment on the simulator's clock.
    fn at(&self, millis: i64) -> Instant {
        let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        self.beginning.checked_add(since).unwrap_or(self.beginning)
    }
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
