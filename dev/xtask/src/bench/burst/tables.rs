//! The tables of the burst scenario.

use std::time::Duration;

use super::super::Args;
use super::super::markdown_table::{Table, megabytes, number, percent, ratio, time};
use super::super::nuvo_requests::{self, RequestCounts};
use super::super::process_usage::share;
use super::Row;

/// From this share on, a resource counts as the bottleneck.
const FULL: f64 = 0.9;

/// The tables that the documentation shows.
pub fn figures(rows: &[Row]) -> String {
    [times(rows), nuvo(rows), kubernetes(rows), processes(rows)].iter().map(ToString::to_string).collect()
}

/// What was the bottleneck.
pub fn details(args: &Args, rows: &[Row]) -> String {
    [trigger(args, rows), simulator(rows)].iter().map(ToString::to_string).collect()
}

fn times(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Burst: times",
        [
            "runs (pipelines)",
            "created within",
            "to trigger p50",
            "p99",
            "last trigger",
            "first shown",
            "lag of the end p50",
            "p99",
            "max",
            "all shown, after the last end",
            "ended as",
        ],
    );
    for row in rows {
        let reasons: Vec<String> = row.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        table.row([
            format!("{} ({})", row.runs, row.pipelines),
            time(row.created),
            time(row.trigger.p50),
            time(row.trigger.p99),
            time(row.last_trigger),
            time(row.first_shown),
            time(row.lag.p50),
            time(row.lag.p99),
            time(row.lag.max),
            time(row.after_last_end),
            reasons.join(", "),
        ]);
    }
    table
}

fn nuvo(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Burst: requests to nuvo per run",
        ["runs", "POST", "GET by id", "pages of what runs", "lists before triggers", "token", "all", "all, in number"],
    );
    for row in rows {
        let each = |count| format!("{:.2}", ratio(count, row.runs));
        let RequestCounts { create, read, list, newest, token, other: _ } = row.requests;
        let all = row.requests.all();
        table.row([row.runs.to_string(), each(create), each(read), each(list), each(newest), each(token), each(all), all.to_string()]);
    }
    table
}

fn kubernetes(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Burst: requests to the API server per run",
        ["runs", "writes: lock", "marker", "status", "events", "all without events", "refused", "reads: GET lock", "GET run", "LIST runs"],
    );
    for row in rows {
        let written = |of: &str| row.writes.get(of).copied().unwrap_or_default();
        let refused: Vec<String> =
            row.writes.iter().filter(|(of, _)| of.contains("refused")).map(|(of, count)| format!("{count} {of}")).collect();
        let known = ["leases", "pipelineruns", "pipelineruns/status"];
        let each = |count| format!("{:.2}", ratio(count, row.runs));
        let read = |verb: &str, resource: &str| {
            let count = row.reads.get(&[verb, resource].map(str::to_owned)).copied().unwrap_or_default();
            format!("{:.2}", count / row.runs as f64)
        };
        table.row([
            row.runs.to_string(),
            each(written("leases")),
            each(written("pipelineruns")),
            each(written("pipelineruns/status")),
            each(written("events")),
            each(known.map(written).into_iter().fold(0, usize::saturating_add)),
            if refused.is_empty() { "0".to_owned() } else { refused.join(", ") },
            read("GET", "leases"),
            read("GET", "pipelineruns"),
            read("LIST", "pipelineruns"),
        ]);
    }
    table
}

fn processes(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Burst: processor time and memory, from the first creation to the last end",
        ["runs", "took", "operator", "per run", "peak RSS", "API server", "etcd", "simulator and watch", "others on the machine"],
    );
    for row in rows {
        let seconds = |used: Duration| format!("{:.2} s", used.as_secs_f64());
        table.row([
            row.runs.to_string(),
            time(row.took),
            seconds(row.used.operator),
            format!("{:.1} ms", row.used.operator.as_secs_f64() * 1_000.0 / row.runs as f64),
            megabytes(row.memory.peak),
            seconds(row.used.api_server),
            seconds(row.used.etcd),
            seconds(row.used.bench),
            seconds(row.used.others()),
        ]);
    }
    table
}

fn trigger(args: &Args, rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Burst: the bottleneck until the last trigger",
        [
            "runs",
            "took",
            "POSTs/s",
            "requests/s",
            "of the budget with its burst",
            "most in 5 s (allowed)",
            "waited for the budget",
            "cores: operator",
            "API server",
            "etcd",
            "simulator, watch, creation",
            "others",
            "idle",
            "bottleneck",
        ],
    );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    for row in rows {
        let took = row.last_trigger;
        let rate = row.trigger_requests as f64 / took.as_secs_f64();
        // The token bucket was full at the start.
        let budget = f64::from(args.requests_per_second) * (took.as_secs_f64() + 1.0);
        let of_budget = row.trigger_requests as f64 / budget;
        let cpu = |used| share(used, took);
        let used = row.used_in_trigger;
        let busy = cpu(used.machine);
        let used_up = [(of_budget, "the budget"), (busy / cores, "the processor")];
        let used_up: Vec<&str> = used_up.into_iter().filter(|(share, _)| *share >= FULL).map(|(_, what)| what).collect();
        let bottleneck = if used_up.is_empty() { "none: the operator waits".to_owned() } else { used_up.join(" and ") };
        table.row([
            row.runs.to_string(),
            time(took),
            number(row.runs as f64 / took.as_secs_f64()),
            number(rate),
            percent(of_budget),
            format!("{} ({})", row.most_in_window, nuvo_requests::allowed(args.requests_per_second)),
            format!("{} each", time(row.budget_wait)),
            format!("{:.2}", cpu(used.operator)),
            format!("{:.2}", cpu(used.api_server)),
            format!("{:.2}", cpu(used.etcd)),
            format!("{:.2}", cpu(used.bench)),
            format!("{:.2}", cpu(used.others())),
            format!("{:.2}", (cores - busy).max(0.0)),
            bottleneck,
        ]);
    }
    table
}

fn simulator(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Burst: whether the simulator is the bottleneck",
        [
            "runs",
            "alone: POSTs/s",
            "GETs by id/s",
            "full pages/s",
            "during the burst, arrival to answer: p50",
            "p99",
            "max",
            "answer as the operator saw it, mean",
        ],
    );
    for row in rows {
        table.row([
            row.runs.to_string(),
            format!("{:.0}", row.calibration.create),
            format!("{:.0}", row.calibration.read),
            format!("{:.0}", row.calibration.list),
            time(row.served.p50),
            time(row.served.p99),
            time(row.served.max),
            time(row.answer),
        ]);
    }
    table
}
