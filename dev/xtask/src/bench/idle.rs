//! The idle scenario: very many runs that have ended. Measures what they cost while nothing happens, and at a restart.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use nuvo_sim::{Pipeline, Stats};
use serde_json::{Value, json};

use super::environment::{Account, Environment, Operator, count_increase};
use super::markdown_table::{Table, megabytes, time};
use super::nuvo_requests::RequestCounts;
use super::process_usage::{self, Sampler};
use super::run_factory::{self, Names, RunTemplate};
use super::{Args, Failure, ScenarioResult, log_progress};
use crate::stop::Stop;

const POLL_PERIOD_SECONDS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
const AFTER_RESTART: Duration = Duration::from_secs(30);
const CHECK_EVERY: Duration = Duration::from_millis(5);
/// Slower: the metric is refreshed at intervals only.
const LOOK_AT_METRIC: Duration = Duration::from_millis(100);
/// An operator that uses less between two checks is idle except for answering the checks.
const BUSY: Duration = Duration::from_millis(20);
const STARTS_WITHIN: Duration = Duration::from_secs(120);

pub fn run(args: &Args, program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    let count = args.ended;
    log_progress(&format!("{count} ended runs"));
    let stats = Stats { total_rows: 1_200, total_cells: 14_400, total_error_cells: 36, total_error_rows: 12 };
    let account = Account::new(args.requests_per_second, POLL_PERIOD_SECONDS);
    let environment = Environment::open(program, &account, vec![Pipeline::new(run_factory::PIPELINE).stats(stats)], stop)?;
    let template = RunTemplate::make(&environment, |status| status.current.completion_time.is_some(), stop)?;
    let names = |number: usize| Names {
        run: format!("orders-{number:05}"),
        // A hundred runs per pipeline, as a schedule leaves them.
        pipeline: format!("pipeline-{:03}", number.checked_div(100).unwrap_or_default()),
        execution: format!("{number:024x}"),
    };
    template.create_runs(&environment, count, names, repair, stop)?;

    environment.sim.clear_journal();
    let mut operator = environment.start_operator(stop)?;
    let ready = operator.wait("it is ready", STARTS_WITHIN, CHECK_EVERY, stop, |operator| Ok(operator.is_ready()))?;
    let (busy, busy_until) = (Cell::new(Duration::ZERO), Cell::new(Duration::ZERO));
    let cached = operator.wait("its cache is complete", STARTS_WITHIN, LOOK_AT_METRIC, stop, |operator| {
        let used = process_usage::cpu(operator.pid);
        if used.saturating_sub(busy.replace(used)) >= BUSY {
            busy_until.set(operator.started.elapsed());
        }
        Ok(operator.watched()? >= count as f64)
    })?;
    let start_cpu = process_usage::cpu(operator.pid);
    let start = RequestCounts::of(&environment.sim.journal());

    log_progress(&format!("nothing happens for {} s", WINDOW.as_secs()));
    let sampler = Sampler::start(environment.processes(&operator));
    let (writes, reads) = (environment.writes(), environment.answered()?);
    environment.sim.clear_journal();
    let began = Instant::now();
    stop.sleep(WINDOW)?;
    let used = sampler.between(began, Instant::now());
    let idle_requests = RequestCounts::of(&environment.sim.journal());
    let idle_writes = count_increase(&writes, environment.writes());
    let idle_reads = environment.answered()?;
    let memory = process_usage::memory(operator.pid);
    operator.check()?;
    operator.stop()?;

    log_progress("the operator starts again");
    environment.sim.clear_journal();
    let writes = environment.writes();
    let mut operator = environment.start_operator(stop)?;
    let ready_again = operator.wait("it is ready", STARTS_WITHIN, CHECK_EVERY, stop, |operator| Ok(operator.is_ready()))?;
    operator.wait("the account is ready", STARTS_WITHIN, LOOK_AT_METRIC, stop, Operator::has_account)?;
    stop.sleep(AFTER_RESTART)?;
    let again = RequestCounts::of(&environment.sim.journal());
    let again_writes = count_increase(&writes, environment.writes());
    let memory_again = process_usage::memory(operator.pid);
    operator.stop()?;

    let read = |resource: &str| {
        let of = |verb: &str| {
            let count = |counts: &std::collections::BTreeMap<[String; 2], f64>| {
                counts.get(&[verb, resource].map(str::to_owned)).copied().unwrap_or_default()
            };
            count(&idle_reads) - count(&reads)
        };
        of("GET") + of("LIST") + of("WATCH")
    };
    let sum = |counts: &std::collections::BTreeMap<String, usize>| counts.values().copied().fold(0, usize::saturating_add);
    let mut table = Table::new("Idle", ["", "measured"]);
    table.fact("ended runs", count.to_string());
    table.fact("start of the process to `/readyz`", format!("{}; after the restart {}", time(ready), time(ready_again)));
    table.fact("start to the end of the initial work", time(busy_until.get()));
    table.fact("start to the metric that counts all runs (which is refreshed every second)", time(cached));
    table.fact("processor time until then", format!("{:.2} s", start_cpu.as_secs_f64()));
    table.fact("requests to nuvo in the meantime (proof of the account)", described(start));
    table.fact("requests to nuvo in 60 s", idle_requests.all().to_string());
    table.fact("writes to the API server in 60 s", sum(&idle_writes).to_string());
    table.fact(
        "GET, LIST and ended WATCH requests for runs, accounts and Secrets in 60 s",
        format!("{:.0}, {:.0}, {:.0}", read("pipelineruns"), read("nuvoaccounts"), read("secrets")),
    );
    table.fact("processor time of the operator in 60 s", format!("{:.2} s", used.operator.as_secs_f64()));
    table.fact("resident after that; peak", format!("{}; {}", megabytes(memory.resident), megabytes(memory.peak)));
    table.fact("resident after the restart; peak", format!("{}; {}", megabytes(memory_again.resident), megabytes(memory_again.peak)));
    table.fact("requests to nuvo in 30 s after a restart", described(again));
    table.fact("writes in 30 s after a restart", sum(&again_writes).to_string());

    let mut broken = Vec::new();
    if !idle_writes.is_empty() {
        broken.push(format!("idle: writes {idle_writes:?}"));
    }
    if idle_requests.all() > 0 {
        broken.push(format!("idle: requests to nuvo: {}", described(idle_requests)));
    }
    if !again_writes.is_empty() {
        broken.push(format!("idle, after a restart: writes {again_writes:?}"));
    }
    if again.create > 0 || again.read > 0 {
        broken.push(format!("idle, after a restart: requests to nuvo: {}", described(again)));
    }
    Ok(ScenarioResult { figures: table.to_string(), broken, ..ScenarioResult::default() })
}

fn described(counts: RequestCounts) -> String {
    let RequestCounts { create, read, list, newest, token, other } = counts;
    let named = [
        (create, "POST"),
        (read, "GET by id"),
        (list, "list of what runs"),
        (newest, "list of what is newest"),
        (token, "token"),
        (other, "other"),
    ];
    let there: Vec<String> = named.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if there.is_empty() { "0".to_owned() } else { there.join(", ") }
}

/// Adds a second pass to the log of each execution, as a repair in nuvo does.
fn repair(status: &mut Value) {
    let executions = status.get_mut("executions").and_then(Value::as_array_mut);
    for runs in executions.into_iter().flatten().filter_map(|execution| execution.get_mut("runs")?.as_array_mut()) {
        if let Some(mut fix) = runs.first().cloned() {
            if let Some(kind) = fix.get_mut("type") {
                *kind = json!("FIX");
            }
            runs.push(fix);
        }
    }
}
