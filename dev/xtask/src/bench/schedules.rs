//! The schedules scenario: many schedules that are due in the same minute, and what they cost between their slots.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use kube::api::{Api, ListParams, PostParams};
use nuvo_crds::PipelineSchedule;
use nuvo_sim::{Operation, Pipeline};
use serde_json::json;

use super::environment::{Account, Environment, NAMESPACE, Operator, count_increase};
use super::markdown_table::{Table, megabytes, ratio, time};
use super::process_usage;
use super::{Failure, ScenarioResult, log_progress, metrics_text};
use crate::stop::Stop;

const SCHEDULES: usize = 1_000;
const REQUESTS_PER_SECOND: u32 = 100;
/// The first slot is due so long after the beginning, at least: all are there by then, and at rest.
const FIRST_AFTER: SignedDuration = SignedDuration::from_secs(180);
/// The second slot is due so long after the first one.
const MINUTES_BETWEEN: i64 = 4;
const REST: Duration = Duration::from_secs(45);
const SETTLE: Duration = Duration::from_secs(10);
const CHECK_EVERY: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(600);

pub fn run(program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    log_progress(&format!("{SCHEDULES} schedules that are due in the same minute"));
    let pipelines = (0..SCHEDULES).map(|number| Pipeline::new(name(number)).duration(Duration::from_secs(1))).collect();
    let environment = Environment::open(program, &Account::new(REQUESTS_PER_SECOND, 10), pipelines, stop)?;
    let mut operator = environment.start_operator(stop)?;
    operator.wait("the account is ready", WITHIN, CHECK_EVERY, stop, Operator::has_account)?;
    stop.sleep(SETTLE)?;
    let without = process_usage::memory(operator.pid).resident;

    let first = full_minute(Timestamp::now().checked_add(FIRST_AFTER)?)?;
    let slots = [first, first.checked_add(MINUTES_BETWEEN.minutes())?];
    create(&environment, &slots, stop)?;
    operator.wait("all are scheduled", WITHIN, CHECK_EVERY, stop, |operator| {
        Ok(metrics_text::by_labels(&operator.exposition()?, "nuvo_schedule_next_timestamp_seconds", ["name"]).len() >= SCHEDULES)
    })?;
    stop.sleep(SETTLE)?;
    let with = process_usage::memory(operator.pid).resident;
    let at_rest = Rest::watch(&environment, stop)?;
    if Timestamp::now() >= first {
        return Err("the first slot was due before all were at rest".into());
    }

    let mut table = Table::new("Schedules that are due in the same minute", ["", "measured"]);
    table.fact("schedules; requests per second; startingDeadlineSeconds", format!("{SCHEDULES}; {REQUESTS_PER_SECOND}; 0"));
    let rest = REST.as_secs();
    table.fact(&format!("at rest, in {rest} s: requests to nuvo; to the API server about schedules and runs; writes"), at_rest.to_string());
    let mut broken = Vec::new();
    if at_rest != Rest::default() {
        broken.push(format!("schedules: at rest, there are {at_rest} requests and writes"));
    }
    for (what, slot) in ["first", "second"].into_iter().zip(slots) {
        let before = writes(&environment);
        environment.sim.clear_journal();
        operator.wait("all have started and ended", WITHIN, CHECK_EVERY, stop, |_| has_ended(&environment, slot))?;
        stop.sleep(SETTLE)?;
        let cost = count_increase(&before, writes(&environment));
        let posts = posts(&environment)?;
        let late = |at: Option<&Timestamp>| time(at.and_then(|at| Duration::try_from(at.duration_since(slot)).ok()).unwrap_or_default());
        table.fact(&format!("{what} slot: POSTs"), posts.len().to_string());
        table.fact("first POST, last POST, after the slot", format!("{}; {}", late(posts.first()), late(posts.last())));
        table.fact("writes to the API server per schedule", per_schedule(&cost));
        if posts.len() != SCHEDULES {
            broken.push(format!("schedules: {} POSTs for {SCHEDULES} slots", posts.len()));
        }
    }
    let missed = missed(&environment)?;
    table.fact("slots that were missed", missed.to_string());
    if missed > 0 {
        broken.push(format!("schedules: {missed} slots were missed"));
    }
    table.fact("resident without schedules; with them, before their first slot", [without, with].map(megabytes).join("; "));
    table.fact("that is, per schedule", format!("{:.1} kB", with.saturating_sub(without) as f64 * 1.024 / SCHEDULES as f64));
    operator.check()?;
    operator.stop()?;
    Ok(ScenarioResult { figures: table.to_string(), broken, ..ScenarioResult::default() })
}

fn name(number: usize) -> String {
    format!("schedule-{number:04}")
}

/// The next full minute.
fn full_minute(at: Timestamp) -> Result<Timestamp, Failure> {
    let seconds = at.as_second();
    Ok(Timestamp::from_second(seconds.saturating_add(60).saturating_sub(seconds.rem_euclid(60)))?)
}

fn create(environment: &Environment, slots: &[Timestamp], stop: &Stop) -> Result<(), Failure> {
    let line = |slot: &Timestamp| {
        let slot = slot.to_zoned(TimeZone::UTC);
        format!("{} {} {} {} *", slot.minute(), slot.hour(), slot.day(), slot.month())
    };
    let lines: Vec<String> = slots.iter().map(line).collect();
    environment.for_each(SCHEDULES, stop, |api: Api<PipelineSchedule>, number| {
        let object = serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule",
            "metadata": { "name": name(number) },
            "spec": {
                "schedules": lines, "startingDeadlineSeconds": 0, "successfulRunsHistoryLimit": 1,
                "runTemplate": { "spec": { "pipelineId": name(number) } },
            },
        }));
        async move {
            api.create(&PostParams::default(), &object?).await?;
            Ok(())
        }
    })
}

fn schedules(environment: &Environment) -> Result<Vec<PipelineSchedule>, Failure> {
    let api: Api<PipelineSchedule> = Api::namespaced(environment.client.clone(), NAMESPACE);
    Ok(environment.block_on(api.list(&ListParams::default()))?.items)
}

/// Whether the run of this slot has ended for each schedule.
fn has_ended(environment: &Environment, slot: Timestamp) -> Result<bool, Failure> {
    let ended = schedules(environment)?.into_iter().filter_map(|schedule| schedule.status).filter(|status| {
        let is_of_slot = status.last_schedule_time.as_ref().is_some_and(|last| last.0 == slot);
        is_of_slot && status.claims.is_empty() && status.last_run.as_ref().is_some_and(|run| run.phase.is_some())
    });
    Ok(ended.count() >= SCHEDULES)
}

fn missed(environment: &Environment) -> Result<i64, Failure> {
    let statuses = schedules(environment)?.into_iter().filter_map(|schedule| schedule.status);
    Ok(statuses.filter_map(|status| status.missed).map(|missed| missed.total).sum())
}

/// When the POSTs arrived, in order.
fn posts(environment: &Environment) -> Result<Vec<Timestamp>, Failure> {
    let journal = environment.sim.journal();
    let posts = journal.iter().filter(|request| request.operation == Operation::Create);
    Ok(posts.map(|request| request.at.parse()).collect::<Result<_, _>>()?)
}

/// The operator's writes so far, by what they do.
fn writes(environment: &Environment) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for event in environment.own_writes() {
        let part = if event.subresource.is_empty() { String::new() } else { format!("/{}", event.subresource) };
        let count = counts.entry(format!("{} {}{part}", event.verb, event.resource)).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

fn per_schedule(writes: &BTreeMap<String, usize>) -> String {
    let of_each = writes.iter().filter(|(_, count)| **count >= SCHEDULES / 10);
    of_each.map(|(of, count)| format!("{of} {:.2}", ratio(*count, SCHEDULES))).collect::<Vec<_>>().join("; ")
}

/// What happens while no slot is due.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rest {
    to_nuvo: usize,
    to_api_server: usize,
    writes: usize,
}

impl std::fmt::Display for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}; {}", self.to_nuvo, self.to_api_server, self.writes)
    }
}

impl Rest {
    fn watch(environment: &Environment, stop: &Stop) -> Result<Self, Failure> {
        log_progress("at rest");
        let asked = || -> Result<f64, Failure> {
            let answered = environment.answered()?;
            let is_about =
                |[verb, resource]: &[String; 2]| verb != "WATCH" && ["pipelineschedules", "pipelineruns"].contains(&resource.as_str());
            Ok(answered.iter().filter(|(of, _)| is_about(of)).map(|(_, count)| count).sum())
        };
        environment.sim.clear_journal();
        let (writes, before) = (environment.own_writes().len(), asked()?);
        stop.sleep(REST)?;
        Ok(Self {
            to_nuvo: environment.sim.journal().iter().filter(|request| request.operation != Operation::Token).count(),
            to_api_server: (asked()? - before) as usize,
            writes: environment.own_writes().len().saturating_sub(writes),
        })
    }
}
