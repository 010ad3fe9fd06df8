//! Runs that are created at once, to the last end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use nuvo_sim::{Operation, Pipeline, Request};

use super::calibration::{Calibration, calibrate};
use super::forge;
use super::measure::{self, Memory, Sampler, Spread, Used, share};
use super::requests::{self, Kinds};
use super::setting::{Account, Operator, Setting, added};
use super::table::{Table, megabytes, number, percent, ratio, time};
use super::watch::{Seen, Watch};
use super::{Args, Failure, Outcome, lock, say, wire};
use crate::stop::Stop;

const POLL_PERIOD_SECONDS: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);
const SAY_EVERY: Duration = Duration::from_secs(5);
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Beyond the duration of an execution: a hundred times what is hoped for.
const ENDS_WITHIN: Duration = Duration::from_secs(600);
/// What is written after an end comes within this time.
const SETTLES: Duration = Duration::from_secs(3);
/// From this share on, something counts as used up.
const FULL: f64 = 0.9;

/// What one measurement gave.
struct Row {
    runs: usize,
    pipelines: usize,
    created: Duration,
    /// From the answer to the creation to the arrival of the POST.
    trigger: Spread,
    last_trigger: Duration,
    /// From the end in nuvo to its arrival through a watch.
    lag: Spread,
    /// From the last end in nuvo to the last arrival.
    after_last_end: Duration,
    took: Duration,
    requests: Kinds,
    /// Until the last trigger.
    trigger_requests: usize,
    densest: usize,
    writes: BTreeMap<String, usize>,
    reads: BTreeMap<[String; 2], f64>,
    used: Used,
    used_in_trigger: Used,
    memory: Memory,
    calibration: Calibration,
    served: Spread,
    /// How long the operator waited for an answer of nuvo, on average, and how long for the budget.
    answer: Duration,
    budget_wait: Duration,
    reasons: BTreeMap<String, usize>,
    broken: Vec<String>,
}

pub fn run(args: &Args, program: &Path, stop: &Stop) -> Result<Outcome, Failure> {
    let mut rows = Vec::new();
    for runs in &args.runs {
        rows.push(measure(args, usize::from(*runs), program, stop)?);
    }
    let broken = rows.iter().flat_map(|row| row.broken.iter().map(|broken| format!("burst of {}: {broken}", row.runs))).collect();
    Ok(Outcome { text: tables(args, &rows), broken })
}

fn name(number: usize) -> String {
    format!("run-{number:05}")
}

fn measure(args: &Args, runs: usize, program: &Path, stop: &Stop) -> Result<Row, Failure> {
    say(&format!("burst of {runs} runs"));
    let calibration = calibrate(runs, stop)?;
    let pipelines = args.pipelines.map_or(runs, usize::from).clamp(1, runs);
    let pipeline = |number: usize| format!("pipeline-{:05}", number.checked_rem(pipelines).unwrap_or_default());
    let scripted = (0..pipelines).map(|number| Pipeline::new(pipeline(number)).duration(args.duration_seconds)).collect();
    let account = Account { requests_per_second: args.requests_per_second, poll_period_seconds: POLL_PERIOD_SECONDS };
    let setting = Setting::open(program, &account, scripted, stop)?;
    let mut operator = setting.start_operator(stop)?;
    operator.wait("the account is ready", READY_WITHIN, LOOK, stop, Operator::has_account)?;
    let watch = Watch::begin(&setting, stop)?;
    let sampler = Sampler::start(setting.processes(&operator));
    let (writes, reads) = (setting.writes(), setting.answered()?);
    setting.sim.clear_journal();

    let began = Instant::now();
    let created = create(&setting, runs, &pipeline, stop)?;
    let creating = began.elapsed();
    say(&format!("{runs} runs created in {}", time(creating)));
    wait_for_ends(&watch, runs, args.duration_seconds, &mut operator, stop)?;
    let ended = Instant::now();
    stop.sleep(SETTLES)?;

    let memory = measure::memory(operator.pid);
    let exposition = operator.exposition()?;
    let journal = setting.sim.journal();
    let seen = watch.seen()?;
    let facts = Facts::gather(&setting, &created, &seen, &journal, args.duration_seconds)?;
    let writes = added(&writes, setting.writes());
    let reads = more(&reads, setting.answered()?);
    let before_last = journal.iter().filter(|request| facts.at(request.at_ms) <= facts.last_post).count();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for seen in seen.into_values() {
        let count = reasons.entry(seen.reason).or_default();
        *count = count.saturating_add(1);
    }
    say(&format!("{runs} runs: the last was triggered after {}", time(facts.last_post.saturating_duration_since(began))));
    let mut broken = facts.broken;
    broken.extend(requests::over_budget(&journal, args.requests_per_second));
    operator.stop()?;
    Ok(Row {
        runs,
        pipelines,
        created: creating,
        trigger: Spread::of(facts.triggers),
        last_trigger: facts.last_post.saturating_duration_since(began),
        lag: Spread::of(facts.lags),
        after_last_end: facts.last_seen.saturating_duration_since(facts.last_end),
        took: ended.saturating_duration_since(began),
        requests: Kinds::of(&journal),
        trigger_requests: before_last,
        densest: requests::densest(&journal),
        writes,
        reads,
        used: sampler.between(began, ended),
        used_in_trigger: sampler.between(began, facts.last_post),
        memory,
        calibration,
        served: requests::served(&journal),
        answer: mean(&exposition, "nuvo_operator_nuvo_request_duration_seconds"),
        budget_wait: mean(&exposition, "nuvo_operator_budget_wait_seconds"),
        reasons,
        broken,
    })
}

/// Creates the runs as fast as the API server takes them; when each was answered.
fn create(
    setting: &Setting,
    runs: usize,
    pipeline: &(impl Fn(usize) -> String + Sync),
    stop: &Stop,
) -> Result<BTreeMap<String, Instant>, Failure> {
    let created = Mutex::new(BTreeMap::new());
    setting.for_each(runs, stop, |api, number| {
        let (name, pipeline, created) = (name(number), pipeline(number), &created);
        async move {
            api.create(&PostParams::default(), &forge::run(&name, &pipeline)?).await?;
            lock(created).insert(name, Instant::now());
            Ok(())
        }
    })?;
    Ok(created.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn wait_for_ends(watch: &Watch, runs: usize, duration: Duration, operator: &mut Operator, stop: &Stop) -> Result<(), Failure> {
    let began = Instant::now();
    let mut said = Instant::now();
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
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            say(&format!("{} s: {ended} of {runs} runs have ended", began.elapsed().as_secs()));
        }
        stop.sleep(LOOK)?;
    }
}

/// What the journal, the executions and the watch say together.
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
        setting: &Setting,
        created: &BTreeMap<String, Instant>,
        seen: &BTreeMap<String, Seen>,
        journal: &[Request],
        duration: Duration,
    ) -> Result<Self, Failure> {
        let beginning = setting.beginning();
        let posts: BTreeMap<u64, &Request> =
            journal.iter().filter(|request| request.operation == Operation::Create).map(|request| (request.number, request)).collect();
        let executions: BTreeMap<String, _> =
            setting.sim.executions().into_iter().map(|execution| (execution.id.clone(), execution)).collect();
        let mut facts = Self {
            beginning,
            triggers: Vec::new(),
            lags: Vec::new(),
            last_post: beginning,
            last_end: beginning,
            last_seen: beginning,
            broken: Vec::new(),
        };
        let (executed, names) = requests::carried_out(journal);
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
            let post = execution.request.and_then(|number| posts.get(&number)).ok_or_else(|| format!("nobody asked for {id}"))?;
            let post_at = facts.at(post.at_ms);
            facts.triggers.push(post_at.saturating_duration_since(*answered));
            facts.last_post = facts.last_post.max(post_at);
            // The journal's two clocks tell how long after the POST's arrival the execution was made.
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

/// What has been added to the counts of the API server, without what the bench asks for.
fn more(before: &BTreeMap<[String; 2], f64>, after: BTreeMap<[String; 2], f64>) -> BTreeMap<[String; 2], f64> {
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
    let of = |part: &str| wire::sum(exposition, &format!("{name}_{part}"), &[]);
    Duration::try_from_secs_f64(of("sum") / of("count")).unwrap_or_default()
}

fn tables(args: &Args, rows: &[Row]) -> String {
    [times(rows), nuvo(rows), kubernetes(rows), processes(rows), trigger(args, rows), simulator(rows)]
        .iter()
        .map(ToString::to_string)
        .collect()
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
        let Kinds { create, read, list, newest, token, other: _ } = row.requests;
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
        "Burst: what binds until the last trigger",
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
            "so what binds",
        ],
    );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    for row in rows {
        let took = row.last_trigger;
        let rate = row.trigger_requests as f64 / took.as_secs_f64();
        // The bucket was full.
        let budget = f64::from(args.requests_per_second) * (took.as_secs_f64() + 1.0);
        let of_budget = row.trigger_requests as f64 / budget;
        let cpu = |used| share(used, took);
        let used = row.used_in_trigger;
        let busy = cpu(used.machine);
        let used_up = [(of_budget, "the budget"), (busy / cores, "the processor")];
        let used_up: Vec<&str> = used_up.into_iter().filter(|(share, _)| *share >= FULL).map(|(_, what)| what).collect();
        let binds = if used_up.is_empty() { "neither: the operator waits".to_owned() } else { used_up.join(" and ") };
        table.row([
            row.runs.to_string(),
            time(took),
            number(row.runs as f64 / took.as_secs_f64()),
            number(rate),
            percent(of_budget),
            format!("{} ({})", row.densest, requests::allowed(args.requests_per_second)),
            format!("{} each", time(row.budget_wait)),
            format!("{:.2}", cpu(used.operator)),
            format!("{:.2}", cpu(used.api_server)),
            format!("{:.2}", cpu(used.etcd)),
            format!("{:.2}", cpu(used.bench)),
            format!("{:.2}", cpu(used.others())),
            format!("{:.2}", (cores - busy).max(0.0)),
            binds,
        ]);
    }
    table
}

fn simulator(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Burst: whether the simulator binds",
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
