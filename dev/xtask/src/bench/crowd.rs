//! Very many active runs and a small budget: whether the budget is kept, and how old the oldest knowledge is.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_sim::{Identity, Operation, Pipeline, Request, Seed};
use serde_json::{Value, json};

use super::forge::{self, Names, Template};
use super::measure::{self, Sampler, Spread};
use super::requests::{self, Kinds};
use super::setting::{Account, IDENTIFIER, Operator, Setting, added};
use super::table::{Table, megabytes, time};
use super::{Args, Failure, Outcome, say};
use crate::stop::Stop;

const REQUESTS_PER_SECOND: u32 = 5;
const POLL_PERIOD_SECONDS: u32 = 10;
/// The largest page of the simulator.
const PAGE: usize = 100;
const WINDOW: Duration = Duration::from_secs(90);
/// How old all runs are at least.
const AGE: SignedDuration = SignedDuration::from_hours(1);
const LOOK: Duration = Duration::from_millis(50);
const STARTS_WITHIN: Duration = Duration::from_secs(120);

pub fn run(args: &Args, program: &Path, stop: &Stop) -> Result<Outcome, Failure> {
    let count = args.active;
    say(&format!("{count} active runs at {REQUESTS_PER_SECOND} requests per second"));
    let account = Account { requests_per_second: REQUESTS_PER_SECOND, poll_period_seconds: POLL_PERIOD_SECONDS };
    let setting = Setting::open(program, &account, vec![Pipeline::new(forge::PIPELINE).held()], stop)?;
    let template = Template::make(&setting, |status| status.phase.is_some_and(|phase| phase.as_str() == "Running"), stop)?;
    setting.sim.remove_execution(template.execution())?;
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
        // Oldest first, as they are made, so that the place in a list tells which one it is.
        let age = Duration::from_secs(3_600);
        let seed = Seed::new(names(number).pipeline).id(execution(number)).by(Identity::user(IDENTIFIER)).ago(age);
        setting.sim.seed_execution(seed)?;
    }
    template.forge(&setting, count, names, aged, stop)?;

    setting.sim.clear_journal();
    let mut operator = setting.start_operator(stop)?;
    let ready = operator.wait("it is ready", STARTS_WITHIN, LOOK, stop, |operator| Ok(operator.is_ready()))?;
    operator.wait("the account is ready", STARTS_WITHIN, LOOK, stop, Operator::has_account)?;
    say(&format!("they are followed for {} s", WINDOW.as_secs()));
    let sampler = Sampler::start(setting.processes(&operator));
    let (from, began) = (setting.sim.elapsed(), Instant::now());
    let writes = setting.writes();
    stop.sleep(WINDOW)?;
    let (to, ended) = (setting.sim.elapsed(), Instant::now());
    let used = sampler.between(began, ended);
    let writes = added(&writes, setting.writes());
    let memory = measure::memory(operator.pid);
    let watched = operator.watched()?;
    let all = setting.sim.journal();
    let within: Vec<Request> = all.iter().filter(|request| request.at_ms >= millis(from)).cloned().collect();
    operator.check()?;
    operator.stop()?;

    let knowledge = Knowledge::gather(&within, count, from, to);
    let kinds = Kinds::of(&within);
    let mut table = Table::new("Many active runs, 5 requests per second", ["", "measured"]);
    table.fact("active runs (counted by the operator)", format!("{count} ({watched:.0})"));
    table.fact("start of the process to `/readyz`", time(ready));
    table.fact("requests per second over 90 s", format!("{:.2}", kinds.all() as f64 / WINDOW.as_secs_f64()));
    table
        .fact("most in 5 s since the start (allowed)", format!("{} ({})", requests::densest(&all), requests::allowed(REQUESTS_PER_SECOND)));
    table.fact("list pages; GETs by id; others", format!("{}; {}; {}", kinds.list, kinds.read, others(kinds)));
    table.fact("executions that were not seen at all in 90 s", knowledge.unseen.to_string());
    table.fact(
        "how long ago executions were seen, at the end: p50, oldest",
        format!("{}, {}", time(knowledge.ages.p50), time(knowledge.ages.max)),
    );
    table.fact(
        "longest time between two looks at one execution: p50, longest",
        format!("{}, {}", time(knowledge.gaps.p50), time(knowledge.gaps.max)),
    );
    table.fact("the best that 5 requests per second and pages of 100 allow", time(best(count)));
    table.fact("longest answer of the simulator", time(requests::served(&within).max));
    table.fact("writes to the API server in 90 s", writes.values().copied().fold(0, usize::saturating_add).to_string());
    table.fact("processor time of the operator in 90 s", format!("{:.2} s", used.operator.as_secs_f64()));
    table.fact("resident after that; peak", format!("{}; {}", megabytes(memory.resident), megabytes(memory.peak)));

    let mut broken = Vec::new();
    broken.extend(requests::over_budget(&all, REQUESTS_PER_SECOND).map(|over| format!("many active runs: {over}")));
    if kinds.create > 0 {
        broken.push(format!("many active runs: {} POSTs, though all of them were started before", kinds.create));
    }
    Ok(Outcome { text: table.to_string(), broken })
}

fn others(kinds: Kinds) -> usize {
    kinds.all().saturating_sub(kinds.list).saturating_sub(kinds.read)
}

fn execution(number: usize) -> String {
    format!("{number:024x}")
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// One look at every execution: as many pages as there are, one after the other.
fn best(count: usize) -> Duration {
    Duration::from_secs_f64(count.div_ceil(PAGE) as f64 / f64::from(REQUESTS_PER_SECOND))
}

/// When the executions were looked at.
struct Knowledge {
    unseen: usize,
    /// The time from the last look to the end.
    ages: Spread,
    /// The longest time without a look, for each execution.
    gaps: Spread,
}

#[derive(Clone, Copy)]
struct Looks {
    last: i64,
    longest: i64,
    count: usize,
}

impl Knowledge {
    /// From the answers of the simulator. While nothing ends, a place in the list is always that of the same execution.
    fn gather(requests: &[Request], count: usize, from: Duration, to: Duration) -> Self {
        let mut looks = vec![Looks { last: millis(from), longest: 0, count: 0 }; count];
        for request in requests.iter().filter(|request| request.status() == Some(200)) {
            for number in shown(request, count) {
                if let Some(look) = looks.get_mut(number) {
                    look.longest = look.longest.max(request.at_ms.saturating_sub(look.last));
                    (look.last, look.count) = (request.at_ms, look.count.saturating_add(1));
                }
            }
        }
        let time = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        let since = |look: &Looks| millis(to).saturating_sub(look.last);
        Self {
            unseen: looks.iter().filter(|look| look.count == 0).count(),
            ages: Spread::of(looks.iter().map(|look| time(since(look)))),
            gaps: Spread::of(looks.iter().map(|look| time(look.longest.max(since(look))))),
        }
    }
}

/// Which executions an answer showed.
fn shown(request: &Request, count: usize) -> Vec<usize> {
    let value = |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match request.operation {
        Operation::Read => {
            let id = request.path.rsplit('/').next().unwrap_or_default();
            usize::from_str_radix(id, 16).into_iter().collect()
        }
        // One that is about a pipeline shows something else.
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
