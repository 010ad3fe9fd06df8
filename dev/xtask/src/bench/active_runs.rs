//! The active-runs scenario: very many active runs and a small budget. Measures whether the budget is kept, and how old the oldest
//! knowledge of an execution is.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_sim::{Identity, Operation, Pipeline, RecordedRequest, Seed};
use serde_json::{Value, json};

use super::environment::{Account, Environment, IDENTIFIER, Operator, count_increase};
use super::markdown_table::{Table, megabytes, time};
use super::nuvo_requests::{self, RequestCounts};
use super::percentiles::Percentiles;
use super::process_usage::{self, Sampler};
use super::run_factory::{self, Names, RunTemplate};
use super::{Args, Failure, ScenarioResult, log_progress};
use crate::stop::Stop;

const REQUESTS_PER_SECOND: u32 = 5;
const POLL_PERIOD_SECONDS: u32 = 10;
/// The largest page of the simulator.
const PAGE: usize = 100;
const WINDOW: Duration = Duration::from_secs(90);
/// The age of every run.
const AGE: SignedDuration = SignedDuration::from_hours(1);
const CHECK_EVERY: Duration = Duration::from_millis(50);
const STARTS_WITHIN: Duration = Duration::from_secs(120);

pub fn run(args: &Args, program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    let count = args.active;
    log_progress(&format!("{count} active runs at {REQUESTS_PER_SECOND} requests per second"));
    let account = Account::new(REQUESTS_PER_SECOND, POLL_PERIOD_SECONDS);
    let environment = Environment::open(program, &account, vec![Pipeline::new(run_factory::PIPELINE).held()], stop)?;
    let template = RunTemplate::make(&environment, |status| status.phase.is_some_and(|phase| phase.as_str() == "Running"), stop)?;
    environment.sim.remove_execution(template.execution())?;
    let names = |number: usize| Names {
        run: format!("orders-{number:05}"),
        pipeline: format!("pipeline-{number:05}"),
        execution: execution(number),
    };
    let start = Timestamp::now().checked_sub(AGE)?;
    let start = json!(start.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let aged = |status: &mut Value| {
        if let Some(time) = status.get_mut("startTime") {
            *time = start.clone();
        }
    };
    for number in 0..count {
        // Created in order of age, so that the position in a list identifies the execution.
        let age = Duration::from_secs(3_600);
        let seed = Seed::new(names(number).pipeline).id(execution(number)).by(Identity::user(IDENTIFIER)).ago(age);
        environment.sim.seed_execution(seed)?;
    }
    template.create_runs(&environment, count, names, aged, stop)?;

    environment.sim.clear_journal();
    let mut operator = environment.start_operator(stop)?;
    let ready = operator.wait("it is ready", STARTS_WITHIN, CHECK_EVERY, stop, |operator| Ok(operator.is_ready()))?;
    operator.wait("the account is ready", STARTS_WITHIN, CHECK_EVERY, stop, Operator::has_account)?;
    log_progress(&format!("they are followed for {} s", WINDOW.as_secs()));
    let sampler = Sampler::start(environment.processes(&operator));
    let (from, began) = (environment.sim.elapsed(), Instant::now());
    let writes = environment.writes();
    stop.sleep(WINDOW)?;
    let (to, ended) = (environment.sim.elapsed(), Instant::now());
    let used = sampler.between(began, ended);
    let writes = count_increase(&writes, environment.writes());
    let memory = process_usage::memory(operator.pid);
    let watched = operator.watched()?;
    let all = environment.sim.journal();
    let within: Vec<RecordedRequest> = all.iter().filter(|request| request.at_ms >= millis(from)).cloned().collect();
    operator.check()?;
    operator.stop()?;

    let knowledge = PollAges::gather(&within, count, from, to);
    let counts = RequestCounts::of(&within);
    let mut table = Table::new("Many active runs, 5 requests per second", ["", "measured"]);
    table.fact("active runs (counted by the operator)", format!("{count} ({watched:.0})"));
    table.fact("start of the process to `/readyz`", time(ready));
    table.fact("requests per second over 90 s", format!("{:.2}", counts.all() as f64 / WINDOW.as_secs_f64()));
    table.fact(
        "most in 5 s since the start (allowed)",
        format!("{} ({})", nuvo_requests::most_in_window(&all), nuvo_requests::allowed(REQUESTS_PER_SECOND)),
    );
    table.fact("list pages; GETs by id; others", format!("{}; {}; {}", counts.list, counts.read, others(counts)));
    table.fact("executions that were never polled in 90 s", knowledge.unseen.to_string());
    table.fact(
        "time since the last poll of an execution, at the end: p50, longest",
        format!("{}, {}", time(knowledge.ages.p50), time(knowledge.ages.max)),
    );
    table.fact(
        "longest time between two polls of one execution: p50, longest",
        format!("{}, {}", time(knowledge.gaps.p50), time(knowledge.gaps.max)),
    );
    table.fact("shortest time that 5 requests per second and pages of 100 allow", time(best(count)));
    table.fact("longest answer of the simulator", time(nuvo_requests::served(&within).max));
    table.fact("writes to the API server in 90 s", writes.values().copied().fold(0, usize::saturating_add).to_string());
    table.fact("processor time of the operator in 90 s", format!("{:.2} s", used.operator.as_secs_f64()));
    table.fact("resident after that; peak", format!("{}; {}", megabytes(memory.resident), megabytes(memory.peak)));

    let mut broken = Vec::new();
    broken.extend(nuvo_requests::over_budget(&all, REQUESTS_PER_SECOND).map(|over| format!("many active runs: {over}")));
    if counts.create > 0 {
        broken.push(format!("many active runs: {} POSTs, though all of them were started before", counts.create));
    }
    Ok(ScenarioResult { figures: table.to_string(), broken, ..ScenarioResult::default() })
}

fn others(counts: RequestCounts) -> usize {
    counts.all().saturating_sub(counts.list).saturating_sub(counts.read)
}

fn execution(number: usize) -> String {
    format!("{number:024x}")
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The time to poll every execution once: all pages, one after the other.
fn best(count: usize) -> Duration {
    Duration::from_secs_f64(count.div_ceil(PAGE) as f64 / f64::from(REQUESTS_PER_SECOND))
}

/// When the executions were polled.
struct PollAges {
    unseen: usize,
    /// The time from the last poll to the end.
    ages: Percentiles,
    /// The longest time without a poll, for each execution.
    gaps: Percentiles,
}

#[derive(Clone, Copy)]
struct Polls {
    last: i64,
    longest: i64,
    count: usize,
}

impl PollAges {
    /// From the simulator's journal. While nothing ends, a position in the list is always the same execution.
    fn gather(requests: &[RecordedRequest], count: usize, from: Duration, to: Duration) -> Self {
        let mut looks = vec![Polls { last: millis(from), longest: 0, count: 0 }; count];
        for request in requests.iter().filter(|request| request.status() == Some(200)) {
            for number in shown(request, count) {
                if let Some(look) = looks.get_mut(number) {
                    look.longest = look.longest.max(request.at_ms.saturating_sub(look.last));
                    (look.last, look.count) = (request.at_ms, look.count.saturating_add(1));
                }
            }
        }
        let time = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        let since = |look: &Polls| millis(to).saturating_sub(look.last);
        Self {
            unseen: looks.iter().filter(|look| look.count == 0).count(),
            ages: Percentiles::of(looks.iter().map(|look| time(since(look)))),
            gaps: Percentiles::of(looks.iter().map(|look| time(look.longest.max(since(look))))),
        }
    }
}

/// Which executions an answer showed.
fn shown(request: &RecordedRequest, count: usize) -> Vec<usize> {
    let value = |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match request.operation {
        Operation::Read => {
            let id = request.path.rsplit('/').next().unwrap_or_default();
            usize::from_str_radix(id, 16).into_iter().collect()
        }
        // A list of one pipeline has other positions.
        Operation::List if request.pipeline.is_none() => {
            let number = |name: &str| value(name).and_then(|value| value.parse::<usize>().ok());
            let limit = number("pagination[limit]").unwrap_or(PAGE).min(PAGE);
            let first = number("pagination[offset]").unwrap_or_default();
            let places = first..first.saturating_add(limit).min(count);
            let oldest_first = value("sort[created_at]").is_some_and(|order| order.eq_ignore_ascii_case("asc"));
            let place = |place: usize| if oldest_first { Some(place) } else { count.checked_sub(1)?.checked_sub(place) };
            places.filter_map(place).collect()
        }
        _ => Vec::new(),
    }
}
