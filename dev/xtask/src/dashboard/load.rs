//! What an operator exposes while it works, as Prometheus would read it.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use kube::api::{Api, PostParams};
use nuvo_crds::{NuvoPipeline, PipelineSchedule};
use nuvo_sim::{Pipeline, Seed, Starts, Stats, Status, Trigger};
use serde_json::json;

use crate::bench::environment::{Account, Environment, NAMESPACE, Operator};
use crate::bench::run_factory::run_with;
use crate::bench::{Failure, log_progress};
use crate::stop::Stop;

/// For how long the operator works.
pub const WINDOW: Duration = Duration::from_secs(120);
/// The time from one scrape to the next.
pub const INTERVAL: Duration = Duration::from_secs(3);
const CREATE_EVERY: Duration = Duration::from_millis(1_500);
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
/// It looks at what runs in nuvo as often as it may.
const ACCOUNT: Account = Account { observe_period_seconds: 15, ..Account::new(5, 2) };

/// What the operator exposed at one moment, in milliseconds since 1970.
#[derive(serde::Serialize)]
pub struct Scrape {
    pub time: u64,
    pub text: String,
}

/// Runs of pipelines that succeed, take long, fail, or find nothing, and one run that is held back. Beside them, what nuvo starts itself, and
/// schedules.
pub fn scrapes(program: &Path, stop: &Stop) -> Result<Vec<Scrape>, Failure> {
    let stats = Stats { total_rows: 1_200, total_cells: 14_400, total_error_cells: 0, total_error_rows: 0 };
    let pipelines = vec![
        Pipeline::new("orders").duration(Duration::from_secs(3)).stats(stats),
        Pipeline::new("ledger").duration(Duration::from_secs(14)).stats(stats),
        Pipeline::new("customers")
            .duration(Duration::from_secs(5))
            .failing("SOURCE_UNRESPONSIVE", "The source did not answer.")
            .stats(stats),
        Pipeline::new("archive").files(0),
    ];
    let names: Vec<String> = pipelines.iter().map(|pipeline| pipeline.id.clone()).collect();
    let environment =
        Environment::open(program, &ACCOUNT, pipelines.into_iter().chain(observed()).chain([always_running()]).collect(), stop)?;
    let mut operator = environment.start_operator(stop)?;
    operator.wait("the account is ready", STARTS_WITHIN, LOOK, stop, Operator::has_account)?;
    let create = |name: &str, spec| -> Result<(), Failure> {
        environment.block_on(environment.runs().create(&PostParams::default(), &run_with(name, &spec)?))?;
        Ok(())
    };
    create("held-back", json!({ "pipelineId": "orders", "suspend": true }))?;
    observe(&environment)?;
    schedule(&environment)?;
    log_progress(&format!("the operator works for {} s", WINDOW.as_secs()));
    let began = Instant::now();
    let mut scrapes = Vec::new();
    let mut created: u32 = 0;
    for number in 0_u32.. {
        let elapsed = began.elapsed();
        if elapsed > WINDOW {
            break;
        }
        while CREATE_EVERY.saturating_mul(created) <= elapsed {
            for pipeline in names.iter().cycle().skip(usize::try_from(created)?).take(1) {
                create(&format!("{pipeline}-{created}"), json!({ "pipelineId": pipeline }))?;
            }
            created = created.saturating_add(1);
        }
        if INTERVAL.saturating_mul(u32::try_from(scrapes.len())?) <= elapsed {
            operator.check()?;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            scrapes.push(Scrape { time: u64::try_from(now.as_millis())?, text: operator.exposition()? });
        }
        if number % 100 == 99 {
            log_progress(&format!("{created} runs"));
        }
        stop.sleep(LOOK)?;
    }
    operator.stop()?;
    Ok(scrapes)
}

/// Pipelines that nuvo starts itself: by a schedule, by events with some bad rows, failing until they are repaired, and not any more.
fn observed() -> [Pipeline; 4] {
    let every = |seconds| Starts::every(Duration::from_secs(seconds));
    let rows = |total_rows: i64, total_error_rows: i64| Stats {
        total_rows,
        total_cells: total_rows.saturating_mul(12),
        total_error_cells: total_error_rows.saturating_mul(2),
        total_error_rows,
    };
    [
        Pipeline::new("deliveries").duration(Duration::from_secs(4)).stats(rows(800, 0)).starts(every(15)),
        Pipeline::new("returns").event_based().duration(Duration::from_secs(7)).stats(rows(300, 21)).starts(every(22).by(Trigger::Event)),
        Pipeline::new("stock")
            .duration(Duration::from_secs(3))
            .failing("SOURCE_DATA_EMPTY", "The file has no rows.")
            .stats(rows(0, 0))
            .fix_after(Duration::from_secs(15))
            .starts(every(40)),
        Pipeline::new("prices").active(false),
    ]
}

/// Observes them. The data of the last one is stale.
fn observe(environment: &Environment) -> Result<(), Failure> {
    let last = Seed::new("prices").ago(Duration::from_secs(900)).lasted(Duration::from_secs(30)).trigger(Trigger::Scheduled);
    environment.sim.seed_execution(last.status(Status::Successful))?;
    let objects: Api<NuvoPipeline> = Api::namespaced(environment.client.clone(), NAMESPACE);
    for Pipeline { id, .. } in observed() {
        let object = serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoPipeline", "metadata": { "name": id },
            "spec": { "pipelineId": id, "freshness": { "maxAgeSeconds": 600 } },
        }))?;
        environment.block_on(objects.create(&PostParams::default(), &object))?;
    }
    Ok(())
}

/// A pipeline that nuvo starts again before it has ended.
fn always_running() -> Pipeline {
    Pipeline::new("reports").duration(Duration::from_secs(60)).starts(Starts::every(Duration::from_secs(30)))
}

/// A schedule that starts a run each minute, one that skips each because its pipeline is running, and one that is suspended.
fn schedule(environment: &Environment) -> Result<(), Failure> {
    let objects: Api<PipelineSchedule> = Api::namespaced(environment.client.clone(), NAMESPACE);
    for (pipeline, policy, is_suspended) in [("orders", "Allow", false), ("reports", "Skip", false), ("archive", "Allow", true)] {
        let object = serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "metadata": { "name": format!("{pipeline}-each-minute") },
            "spec": {
                "schedules": ["* * * * *"], "suspend": is_suspended,
                "runTemplate": { "spec": { "pipelineId": pipeline, "concurrencyPolicy": policy } },
            },
        }))?;
        environment.block_on(objects.create(&PostParams::default(), &object))?;
    }
    Ok(())
}
