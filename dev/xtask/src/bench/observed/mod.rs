//! The observed scenario: what pipelines that are observed cost, of one account and of many.

mod accounts;
mod one_account;
mod requests;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kube::api::{Api, PostParams};
use nuvo_crds::NuvoPipeline;
use nuvo_sim::{Pipeline, Seed, Stats, Status, Trigger};
use serde_json::json;

use super::environment::{Account, Environment, Operator};
use super::markdown_table::time;
use super::{Failure, ScenarioResult, log_progress, metrics_text};
use crate::stop::Stop;

/// As often as the definition allows.
const PERIOD: Duration = Duration::from_secs(15);
const CHECK_EVERY: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(600);
/// The executions that a pipeline has had before: as many as a status shows.
const BEFORE: usize = 10;

pub fn run(program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    let ScenarioResult { figures, broken, .. } = one_account::run(program, stop)?;
    let many = accounts::run(program, stop)?;
    Ok(ScenarioResult { figures: figures + &many.figures, broken: [broken, many.broken].concat(), ..ScenarioResult::default() })
}

const fn account(requests_per_second: u32) -> Account {
    Account { observe_period_seconds: 15, ..Account::new(requests_per_second, 10) }
}

fn stats() -> Stats {
    Stats { total_rows: 1_200, total_cells: 14_400, total_error_cells: 36, total_error_rows: 12 }
}

fn pipeline_id(number: usize) -> String {
    format!("pipeline-{number:05}")
}

/// The pipelines of nuvo.
fn pipelines(count: usize) -> Vec<Pipeline> {
    (0..count).map(|number| Pipeline::new(pipeline_id(number)).stats(stats())).collect()
}

/// The executions that each of these pipelines has had: one a minute, most of them within the last hour.
fn seed_past(environment: &Environment, pipelines: std::ops::Range<usize>) -> Result<(), Failure> {
    for execution in (0..BEFORE).rev() {
        for number in pipelines.clone() {
            let minutes = execution.saturating_mul(60).saturating_add(number.checked_rem(60).unwrap_or_default()).saturating_add(20);
            let ago = Duration::from_secs(u64::try_from(minutes)?.saturating_mul(60));
            environment.sim.seed_execution(ended(number).ago(ago))?;
        }
    }
    Ok(())
}

/// An execution that nuvo has started by itself, and that has ended at once.
fn ended(pipeline: usize) -> Seed {
    Seed { stats: stats(), ..Seed::new(pipeline_id(pipeline)).trigger(Trigger::Scheduled).status(Status::Successful) }
}

/// Creates an object for each of these pipelines, with the account that `account` names.
fn create(
    environment: &Environment,
    pipelines: std::ops::Range<usize>,
    account: impl Fn(usize) -> String + Sync,
    stop: &Stop,
) -> Result<(), Failure> {
    environment.for_each(pipelines.len(), stop, |api: Api<NuvoPipeline>, index| {
        let number = pipelines.start.saturating_add(index);
        let object = serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoPipeline",
            "metadata": { "name": object_name(number) },
            "spec": {
                "pipelineId": pipeline_id(number), "accountRef": { "name": account(number) }, "freshness": { "maxAgeSeconds": 86_400 },
            },
        }));
        async move {
            api.create(&PostParams::default(), &object?).await?;
            Ok(())
        }
    })
}

fn object_name(number: usize) -> String {
    format!("observed-{number:05}")
}

/// Waits until so many objects are observed.
fn wait_observed(operator: &mut Operator, count: usize, stop: &Stop) -> Result<(), Failure> {
    let took = operator.wait("all are observed", WITHIN, CHECK_EVERY, stop, |operator| {
        let series = metrics_text::by_labels(&operator.exposition()?, "nuvo_pipeline_observed_timestamp_seconds", ["name"]);
        Ok(series.into_keys().collect::<BTreeSet<_>>().len() >= count)
    })?;
    log_progress(&format!("{count} are observed {} after the start", time(took)));
    Ok(())
}
