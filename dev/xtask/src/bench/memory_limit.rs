//! The memory-limit scenario: as much as someone who may create runs can make the operator keep, under the memory limit of the chart.

use std::path::Path;
use std::time::Duration;

use kube::api::PostParams;
use nuvo_crds::PipelineRun;
use serde_json::json;

use super::environment::{Account, Environment, Operator};
use super::markdown_table::{Table, megabytes, time};
use super::memory_group::MemoryGroup;
use super::process_usage::{self, Memory};
use super::{Failure, ScenarioResult, log_progress};
use crate::stop::Stop;

/// Runs with annotations as large as the API server allows.
const LARGE: usize = 600;
const ANNOTATION: usize = 250_000;
const PLAIN: usize = 20_000;
const ACCOUNTS: usize = 1_000;
/// As `resources.limits.memory` of the chart, in KiB.
const LIMIT: u64 = 256 << 10;
const WINDOW: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(600);
const CHECK_EVERY: Duration = Duration::from_millis(500);

pub fn run(program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    log_progress(&format!("{LARGE} large runs, {PLAIN} plain ones, {ACCOUNTS} accounts"));
    let account = Account::new(5, 10);
    let mut environment = Environment::open(program, &account, Vec::new(), stop)?;
    // One exists already.
    for number in 1..ACCOUNTS {
        stop.check()?;
        environment.put_account(&account_name(number), &environment.sim.base_url(), &account)?;
    }
    let note = "x".repeat(ANNOTATION);
    let large = |number: usize| object(&format!("large-{number}"), number, &note);
    let plain = |number: usize| object(&format!("plain-{number}"), number, "");
    create(&environment, LARGE, large, stop)?;
    create(&environment, PLAIN, plain, stop)?;

    let group = MemoryGroup::new(LIMIT << 10);
    let enforced = match &group {
        Ok(group) => {
            environment.limit_memory(group);
            "by a control group".to_owned()
        }
        Err(why) => format!("**not enforced**, only compared with the peak, because no control group can be made: {why}"),
    };
    let killed = |error: Failure| -> Failure {
        let kills = group.as_ref().map_or(0, MemoryGroup::kills);
        format!("memory-limit: {error}\nThe kernel has killed {kills} processes because of the limit.").into()
    };
    let first = life(&environment, stop).map_err(killed)?;
    let second = life(&environment, stop).map_err(killed)?;

    let mut table = Table::new("Memory limit", ["", "measured"]);
    table.fact("suspended runs with an annotation of 250,000 bytes; without", format!("{LARGE}; {PLAIN}"));
    table.fact("accounts that can be used", ACCOUNTS.to_string());
    table.fact("limit", format!("{} ({} MiB), {enforced}", megabytes(LIMIT), LIMIT >> 10));
    let times = |life: &Life| format!("{}; {}", time(life.shown), time(life.accounts));
    table.fact("first start to a status of each run; to the last account", times(&first));
    table.fact("the same after a restart, with each status there", times(&second));
    table.fact("peak until then; after the restart", format!("{}; {}", megabytes(first.started.peak), megabytes(second.started.peak)));
    let resident = |life: &Life| megabytes(life.steady.resident);
    table.fact("resident 60 s later; after the restart", format!("{}; {}", resident(&first), resident(&second)));
    table.fact("peak in all; after the restart", format!("{}; {}", megabytes(first.steady.peak), megabytes(second.steady.peak)));
    if let Ok(group) = &group {
        table.fact("peak of the group, with the cache of files", megabytes(group.peak()));
        table.fact("processes killed because of the limit", group.kills().to_string());
    }
    let peak = first.steady.peak.max(second.steady.peak);
    let broken = (peak > LIMIT).then(|| format!("memory-limit: the operator needs {}", megabytes(peak))).into_iter().collect();
    Ok(ScenarioResult { figures: table.to_string(), broken, ..ScenarioResult::default() })
}

/// What one operator needed from its start to its end.
struct Life {
    shown: Duration,
    accounts: Duration,
    started: Memory,
    steady: Memory,
}

fn life(environment: &Environment, stop: &Stop) -> Result<Life, Failure> {
    log_progress("the operator starts");
    let mut operator = environment.start_operator(stop)?;
    let all = LARGE.saturating_add(PLAIN) as f64;
    let shown = operator.wait("all runs have a status", WITHIN, CHECK_EVERY, stop, |operator| Ok(operator.watched()? >= all))?;
    let ready = |operator: &Operator| operator.has_accounts(ACCOUNTS);
    let accounts = operator.wait("all accounts can be used", WITHIN, CHECK_EVERY, stop, ready)?;
    let started = process_usage::memory(operator.pid);
    stop.sleep(WINDOW)?;
    operator.check()?;
    let steady = process_usage::memory(operator.pid);
    operator.stop()?;
    Ok(Life { shown, accounts, started, steady })
}

fn account_name(number: usize) -> String {
    if number == 0 { "default".to_owned() } else { format!("account-{number}") }
}

fn object(name: &str, number: usize, note: &str) -> serde_json::Result<PipelineRun> {
    let annotations = if note.is_empty() { json!({}) } else { json!({ "example.com/note": note }) };
    serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": name, "annotations": annotations },
        "spec": {
            "pipelineId": format!("pipeline-{number}"),
            "accountRef": { "name": account_name(number.checked_rem(ACCOUNTS).unwrap_or_default()) },
            "suspend": true,
        },
    }))
}

fn create(
    environment: &Environment,
    count: usize,
    object: impl Fn(usize) -> serde_json::Result<PipelineRun> + Sync,
    stop: &Stop,
) -> Result<(), Failure> {
    environment.for_each(count, stop, |api, number| {
        let object = object(number);
        async move {
            api.create(&PostParams::default(), &object?).await?;
            Ok(())
        }
    })
}
