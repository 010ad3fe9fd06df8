//! The interference scenario: trouble in one place, and how much it delays runs beside it.

mod scene;

use std::path::Path;
use std::time::Duration;

use nuvo_crds::PipelineRun;
use nuvo_sim::{Effect, Fault, Identity, Operation, Pipeline, Seed, Status};
use serde_json::json;

use self::scene::{Row, Scene};
use super::environment::{Account, Environment, IDENTIFIER};
use super::markdown_table::{Table, ratio};
use super::run_factory::{run, run_with};
use super::{Failure, ScenarioResult, log_progress};
use crate::stop::Stop;

/// The limits of all accounts.
const ACCOUNT: Account = Account::new(5, 10);

/// Triggering them all takes half of their time.
const RUNS: usize = 40;
const DURATION: Duration = Duration::from_secs(30);

/// Runs that nuvo refuses to start.
const REFUSED: usize = 10;
const RETRY_AFTER_SECONDS: u32 = 30;

/// Accounts whose server answers, and the runs of each.
const ACCOUNTS: u16 = 10;
const RUNS_EACH: usize = 4;
const DURATION_BESIDE_HANGING: Duration = Duration::from_secs(20);
/// Runs of the account whose server hangs: more than the operator triggers at the same time.
const HANGING: usize = 150;

const RUNS_BESIDE_IMPORTS: usize = 20;
const DURATION_BESIDE_IMPORTS: Duration = Duration::from_secs(40);
/// At five requests per second, reading them takes longer than the executions beside them.
const IMPORTS: usize = 400;
const IMPORTED_PIPELINE: &str = "imported";
const AGE_OF_IMPORTS: Duration = Duration::from_secs(10_000);

pub fn measure(program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    let rows = [
        no_trouble(program, stop)?,
        quota(program, stop)?,
        hanging(program, "a nuvo that hangs", Fault::any(Effect::HANG_BEFORE_EXECUTING), stop)?,
        hanging(program, "POSTs that hang", Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING), stop)?,
        import(program, stop)?,
    ];
    let broken = rows.iter().flat_map(|row| row.broken.iter().map(|broken| format!("{}: {broken}", row.situation))).collect();
    Ok(ScenarioResult { figures: figures(&rows), broken, ..ScenarioResult::default() })
}

/// The documented table without rows.
#[cfg(test)]
pub fn empty_figures() -> String {
    figures(&[])
}

fn figures(rows: &[Row]) -> String {
    let mut table = Table::new(
        "Interference: trouble in one place, and the runs beside it",
        [
            "situation",
            "runs measured",
            "lag of the end p50",
            "p99",
            "max",
            "to trigger p50",
            "max",
            "requests to nuvo per run measured",
            "POSTs",
            "the trouble, when the last end was shown",
        ],
    );
    for row in rows {
        let [p50, p99, max] = row.lag.clone();
        let [to_trigger, last_trigger] = row.triggers.clone().unwrap_or_else(|| ["-", "-"].map(str::to_owned));
        table.row([
            row.situation.clone(),
            row.runs.to_string(),
            p50,
            p99,
            max,
            to_trigger,
            last_trigger,
            format!("{:.2}", ratio(row.requests.all(), row.runs)),
            row.requests.create.to_string(),
            row.trouble.clone(),
        ]);
    }
    table.to_string()
}

fn name(kind: &str, number: usize) -> String {
    format!("{kind}-{number:03}")
}

/// A pipeline for each run, so that none waits for another one's lock.
fn pipelines(kind: &str, count: usize, duration: Duration) -> Vec<Pipeline> {
    (0..count).map(|number| Pipeline::new(name(kind, number)).duration(duration)).collect()
}

/// A run of each of these pipelines.
fn runs(kind: &str, count: usize) -> Result<Vec<PipelineRun>, serde_json::Error> {
    (0..count).map(|number| run(&name(kind, number), &name(kind, number))).collect()
}

/// What the other situations are compared with.
fn no_trouble(program: &Path, stop: &Stop) -> Result<Row, Failure> {
    log_progress(&format!("{RUNS} runs without any trouble"));
    let environment = Environment::open(program, &ACCOUNT, pipelines("run", RUNS, DURATION), stop)?;
    let mut scene = Scene::open(environment, 1, stop)?;
    scene.create(&runs("run", RUNS)?)?;
    scene.wait_for_triggers()?;
    scene.wait_for_ends()?;
    scene.end(format!("{RUNS} running, no trouble"), "-".to_owned())
}

/// nuvo refuses new triggers of the account.
fn quota(program: &Path, stop: &Stop) -> Result<Row, Failure> {
    log_progress(&format!("{RUNS} runs are running, then nuvo answers 429 to every POST and {REFUSED} more are created"));
    let mut all = pipelines("run", RUNS, DURATION);
    all.extend(pipelines("refused", REFUSED, DURATION));
    let mut scene = Scene::open(Environment::open(program, &ACCOUNT, all, stop)?, 1, stop)?;
    scene.create(&runs("run", RUNS)?)?;
    scene.wait_for_triggers()?;
    let fault = scene.sim().add_fault(Fault::on(Operation::Create, Effect::too_many_requests(RETRY_AFTER_SECONDS)));
    scene.create_others(&runs("refused", REFUSED)?)?;
    scene.wait_for_ends()?;
    let trouble = format!("{REFUSED} runs, {} POSTs refused", scene.sim().fault_count(fault));
    scene.end(format!("429 on POST beside {RUNS} running"), trouble)
}

/// The server of one account accepts connections and does not answer these requests.
fn hanging(program: &Path, what: &str, fault: Fault, stop: &Stop) -> Result<Row, Failure> {
    log_progress(&format!("{what}: {HANGING} runs, then {RUNS_EACH} of each of {ACCOUNTS} other accounts"));
    let count = usize::from(ACCOUNTS).saturating_mul(RUNS_EACH);
    let mut environment = Environment::open(program, &ACCOUNT, pipelines("run", count, DURATION_BESIDE_HANGING), stop)?;
    let silent = environment.another_simulator(pipelines("hanging", HANGING, DURATION))?;
    environment.put_account("hanging", &silent.base_url(), &ACCOUNT)?;
    // One of them is there already.
    for number in 1..ACCOUNTS.into() {
        environment.put_account(&name("account", number), &environment.sim.base_url(), &ACCOUNT)?;
    }
    let mut scene = Scene::open(environment, ACCOUNTS.saturating_add(1), stop)?;
    let fault = silent.add_fault(fault);
    let of = |kind: &str, number: usize, account: String| {
        run_with(&name(kind, number), &json!({ "pipelineId": name(kind, number), "accountRef": { "name": account } }))
    };
    let hanging = (0..HANGING).map(|number| of("hanging", number, "hanging".to_owned())).collect::<Result<Vec<_>, _>>()?;
    scene.create_others(&hanging)?;
    scene.wait("a request hangs", |_| silent.fault_count(fault) > 0)?;
    let account = |number: usize| match number.checked_rem(ACCOUNTS.into()) {
        None | Some(0) => "default".to_owned(),
        Some(other) => name("account", other),
    };
    scene.create(&(0..count).map(|number| of("run", number, account(number))).collect::<Result<Vec<_>, _>>()?)?;
    scene.wait_for_ends()?;
    let trouble = format!("{HANGING} runs, {} requests not answered", silent.fault_count(fault));
    // So that the operator need not wait for an answer before it ends.
    silent.clear_faults();
    scene.end(format!("{what} beside {ACCOUNTS} accounts"), trouble)
}

/// Many executions that exist already are read.
fn import(program: &Path, stop: &Stop) -> Result<Row, Failure> {
    log_progress(&format!("{RUNS_BESIDE_IMPORTS} runs are running, then {IMPORTS} executions are imported"));
    let environment = Environment::open(program, &ACCOUNT, pipelines("run", RUNS_BESIDE_IMPORTS, DURATION_BESIDE_IMPORTS), stop)?;
    let mut scene = Scene::open(environment, 1, stop)?;
    let ended = || Seed::new(IMPORTED_PIPELINE).by(Identity::user(IDENTIFIER)).ago(AGE_OF_IMPORTS).status(Status::Successful);
    let executions = (0..IMPORTS).map(|_| scene.sim().seed_execution(ended())).collect::<Result<Vec<_>, _>>()?;
    let import =
        |(number, id): (usize, &String)| run_with(&name("import", number), &json!({ "pipelineId": IMPORTED_PIPELINE, "executionId": id }));
    let imports = executions.iter().enumerate().map(import).collect::<Result<Vec<_>, _>>()?;
    scene.create(&runs("run", RUNS_BESIDE_IMPORTS)?)?;
    scene.wait_for_triggers()?;
    let imports = scene.create_others(&imports)?;
    scene.wait_for_ends()?;
    let trouble = format!("{} of {IMPORTS} read", scene.ended(&imports));
    scene.end(format!("{IMPORTS} imports beside {RUNS_BESIDE_IMPORTS} running"), trouble)
}
