//! A thousand observed pipelines of one account, and the memory of five thousand.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use controlplane::AuditEvent;
use k8s_openapi::jiff::Timestamp;

use super::requests::{KINDS, ObservedRequests};
use super::{PERIOD, account, create, ended, pipelines, seed_past, wait_observed};
use crate::bench::environment::{Environment, Operator};
use crate::bench::markdown_table::{Table, megabytes, ratio};
use crate::bench::process_usage::{self, Sampler};
use crate::bench::{Failure, ScenarioResult, log_progress};
use crate::stop::Stop;

const OBJECTS: usize = 1_000;
/// With what the memory of an object is measured, too: the first account has a thousand, and each of the others.
const MOST_OBJECTS: usize = 5_000;
const REQUESTS_PER_SECOND: u32 = 100;
/// A whole number of periods, in which nothing happens or so many executions end.
const WINDOW: Duration = Duration::from_secs(60);
const ENDED: usize = 200;
/// New executions within one period: more than a page has.
const AT_ONCE: usize = 3_000;
/// More than the time in which a status is written twice at most.
const SETTLE: Duration = Duration::from_secs(70);
const CHECK_EVERY: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(600);

pub fn run(program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    log_progress(&format!("{OBJECTS} observed pipelines of one account"));
    let environment = Environment::open(program, &account(REQUESTS_PER_SECOND), pipelines(MOST_OBJECTS), stop)?;
    seed_past(&environment, 0..MOST_OBJECTS)?;
    let mut operator = environment.start_operator(stop)?;
    operator.wait("the account is ready", WITHIN, CHECK_EVERY, stop, Operator::has_account)?;
    let none = Window::watch(&environment, &mut operator, "nothing is observed", |_| Ok(()), stop)?;

    environment.sim.clear_journal();
    let (first_write, began) = (environment.own_writes().len(), Instant::now());
    create(&environment, 0..OBJECTS, |_| "default".to_owned(), stop)?;
    wait_observed(&mut operator, OBJECTS, stop)?;
    let is_read = |_: &Operator| {
        let requests = ObservedRequests::of(&environment.sim.journal());
        Ok(requests.executions >= OBJECTS && requests.pipelines >= OBJECTS)
    };
    operator.wait("the last executions and the pipelines are read", WITHIN, CHECK_EVERY, stop, is_read)?;
    let (first, seen_within) = (ObservedRequests::of(&environment.sim.journal()), began.elapsed());
    // The writes that follow.
    stop.sleep(SETTLE)?;
    let first_writes = environment.own_writes().len().saturating_sub(first_write);

    let quiet = Window::watch(&environment, &mut operator, "nothing happens", |_| Ok(()), stop)?;
    let some = |environment: &Environment| (0..ENDED).try_for_each(|number| environment.sim.seed_execution(ended(number)).map(drop));
    let busy = Window::watch(&environment, &mut operator, "some executions end", |environment| Ok(some(environment)?), stop)?;
    let many = |environment: &Environment| {
        (0..AT_ONCE).try_for_each(|number| environment.sim.seed_execution(ended(number.checked_rem(OBJECTS).unwrap_or_default())).map(drop))
    };
    let gap = Window::watch(&environment, &mut operator, "many executions at once", |environment| Ok(many(environment)?), stop)?;
    operator.stop()?;

    let mut operator = environment.start_operator(stop)?;
    operator.wait("the account is ready", WITHIN, CHECK_EVERY, stop, Operator::has_account)?;
    let again = Window::watch(&environment, &mut operator, "after a restart", |_| Ok(()), stop)?;
    let per_minute = most_writes_of_an_object(&environment.own_writes());

    log_progress(&format!("{MOST_OBJECTS} observed pipelines of five accounts"));
    let name = |number: usize| format!("account-{}", number.checked_div(OBJECTS).unwrap_or_default());
    for number in (OBJECTS..MOST_OBJECTS).step_by(OBJECTS) {
        environment.put_account(&name(number), &environment.sim.base_url(), &account(REQUESTS_PER_SECOND))?;
    }
    create(&environment, OBJECTS..MOST_OBJECTS, name, stop)?;
    wait_observed(&mut operator, MOST_OBJECTS, stop)?;
    stop.sleep(SETTLE)?;
    let all = process_usage::memory(operator.pid).resident;
    operator.stop()?;

    let mut table = Table::new("Observed pipelines of one account", ["", "measured"]);
    let minute = format!("{} s", WINDOW.as_secs());
    table.fact("observed pipelines; period; requests per second", format!("{OBJECTS}; {} s; {REQUESTS_PER_SECOND}", PERIOD.as_secs()));
    table.fact(&format!("requests to nuvo in {minute} when there is none"), none.requests.all().to_string());
    table.fact(&format!("first sight, within {} s: {KINDS}", seen_within.as_secs()), first.to_string());
    table.fact("writes to the API server for it, per object", format!("{:.2}", ratio(first_writes, OBJECTS)));
    let mut window = |what: &str, window: &Window| {
        table.fact(&format!("{what}, in {minute}: {KINDS}"), window.requests.to_string());
        table.fact(
            "writes to the API server meanwhile, per object; processor time of the operator",
            format!("{:.2}; {:.2} s", ratio(window.writes, OBJECTS), window.cpu.as_secs_f64()),
        );
    };
    window("nothing happens", &quiet);
    window(&format!("{ENDED} executions end"), &busy);
    window(&format!("{AT_ONCE} executions at once"), &gap);
    window("after a restart", &again);
    table.fact("most writes of one object in any minute", per_minute.to_string());
    let resident = [none.resident, quiet.resident, all];
    table.fact(&format!("resident with none; {OBJECTS}; {MOST_OBJECTS}, of five accounts"), resident.map(megabytes).join("; "));
    table.fact(
        "that is, per object",
        format!("{}; {}", per_object(resident[0], resident[1], OBJECTS), per_object(resident[0], resident[2], MOST_OBJECTS)),
    );

    let mut broken = Vec::new();
    if none.requests.all() > 0 {
        broken.push(format!("observed: {} requests though nothing is observed", none.requests.all()));
    }
    let periods = usize::try_from(WINDOW.as_secs().checked_div(PERIOD.as_secs()).unwrap_or_default())?;
    for window in [&quiet, &busy, &gap] {
        if window.requests.top > periods.saturating_add(1) {
            broken.push(format!("observed: {} top pages in {periods} periods", window.requests.top));
        }
    }
    if quiet.requests.all() > quiet.requests.top || quiet.writes > 0 {
        broken.push(format!("observed: nothing happens, and there are {} requests and {} writes", quiet.requests, quiet.writes));
    }
    if per_minute > 2 {
        broken.push(format!("observed: {per_minute} writes of one object in a minute"));
    }
    Ok(ScenarioResult { figures: table.to_string(), broken, ..ScenarioResult::default() })
}

fn per_object(without: u64, with: u64, count: usize) -> String {
    format!("{:.1} kB", with.saturating_sub(without) as f64 * 1.024 / count as f64)
}

/// What happened in a window.
struct Window {
    requests: ObservedRequests,
    writes: usize,
    cpu: Duration,
    /// In KiB, at the end.
    resident: u64,
}

impl Window {
    fn watch(
        environment: &Environment,
        operator: &mut Operator,
        what: &str,
        act: impl Fn(&Environment) -> Result<(), Failure>,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        log_progress(what);
        let sampler = Sampler::start(environment.processes(operator));
        environment.sim.clear_journal();
        let (before, began) = (environment.own_writes().len(), Instant::now());
        act(environment)?;
        stop.sleep(WINDOW)?;
        operator.check()?;
        Ok(Self {
            requests: ObservedRequests::of(&environment.sim.journal()),
            writes: environment.own_writes().len().saturating_sub(before),
            cpu: sampler.between(began, Instant::now()).operator,
            resident: process_usage::memory(operator.pid).resident,
        })
    }
}

/// The most writes of the status of one object within any minute.
fn most_writes_of_an_object(writes: &[AuditEvent]) -> usize {
    let mut times: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.resource == "nuvopipelines" && (200..300).contains(&write.code)) {
        if let Ok(at) = write.time.parse() {
            times.entry(&write.name).or_default().push(at);
        }
    }
    let most = |times: &Vec<Timestamp>| {
        let within =
            |(first, at): (usize, &Timestamp)| times.partition_point(|time| time.duration_since(*at).as_secs() < 60).saturating_sub(first);
        times.iter().enumerate().map(within).max().unwrap_or_default()
    };
    times.values().map(most).max().unwrap_or_default()
}
