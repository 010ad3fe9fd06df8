//! The scenarios: what goes away, for how long, and the runs that are created before, meanwhile and afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use nuvo_sim::{Delays, HumanDuration, Pipeline};
use serde_json::{Value, json};

use super::super::operator_flags::scaled;

/// What goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The backends of nuvo's gateway are restarted one after the other.
    GatewayRestart,
    /// The API server, for all operators.
    ApiServerAway,
    /// The operator that leads is killed (SIGKILL), and started again as the kubelet does.
    LeaderKilled,
    /// nuvo: its gateway answers 503 to everything.
    Maintenance,
}

/// A run, and when it is created.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Since the beginning of the scenario.
    pub at: Duration,
    pub name: String,
    pub pipeline: String,
}

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// For `--only`.
    pub name: &'static str,
    /// For the table.
    pub what: String,
    /// For the table: what the runs say about it.
    pub policy: &'static str,
    /// The same as fields of `spec`.
    pub spec: Value,
    pub outage: Outage,
    /// Since the beginning of the scenario.
    pub begins: Duration,
    pub lasts: Duration,
    /// The number of operators.
    pub replicas: usize,
    /// In the order in which they are created.
    pub runs: Vec<PlannedRun>,
    /// How long an execution takes.
    pub execution: Duration,
}

/// A POST is at nuvo for most of a second: so some are out whenever something goes away.
const DELAYS: Delays = Delays { execute: HumanDuration(Duration::from_millis(300)), answer: HumanDuration(Duration::from_millis(600)) };
const HOUR: Duration = Duration::from_secs(3_600);
/// The runs of each nightly pipeline that are created during the maintenance.
const BACKLOG: u32 = 10;
const NIGHTLY_PIPELINES: u32 = 4;

impl Scenario {
    /// The pipelines of its runs.
    pub fn pipelines(&self) -> Vec<Pipeline> {
        let names: BTreeSet<&String> = self.runs.iter().map(|run| &run.pipeline).collect();
        names.into_iter().map(|name| Pipeline::new(name).duration(self.execution).delays(DELAYS)).collect()
    }

    /// When the outage ends, since the beginning of the scenario.
    pub fn ends(&self) -> Duration {
        self.begins.saturating_add(self.lasts)
    }
}

/// All scenarios, in the order of the table.
pub fn all(scale: u32) -> Vec<Scenario> {
    let mut all = vec![
        gateway("gateway", "Fail", json!({})),
        gateway("gateway-retrigger", "Retrigger", json!({ "onAmbiguousTrigger": "Retrigger" })),
    ];
    let away = [
        (10, ["api-server-10s-one", "api-server-10s-two"]),
        (60, ["api-server-60s-one", "api-server-60s-two"]),
        (300, ["api-server-300s-one", "api-server-300s-two"]),
    ];
    for (seconds, [one, two]) in away {
        all.extend([api_server(one, seconds, 1), api_server(two, seconds, 2)]);
    }
    all.extend([
        leader("leader", "Fail", json!({})),
        leader("leader-retrigger", "Retrigger", json!({ "onAmbiguousTrigger": "Retrigger" })),
        maintenance("maintenance", "Allow", json!({}), scale),
        maintenance("maintenance-queue", "Queue", json!({ "concurrencyPolicy": "Queue" }), scale),
        maintenance(
            "maintenance-start-deadline",
            "Queue, start deadline 20 min",
            json!({ "concurrencyPolicy": "Queue", "startDeadlineSeconds": scaled(HOUR, scale.saturating_mul(3)).as_secs() }),
            scale,
        ),
    ]);
    all
}

/// `count` runs between two times, each of a pipeline of its own.
fn spread(kind: &str, count: u32, from: Duration, until: Duration) -> Vec<PlannedRun> {
    let step = until.saturating_sub(from).checked_div(count).unwrap_or_default();
    (0..count)
        .map(|number| {
            let name = format!("{kind}-{number:02}");
            PlannedRun { at: from.saturating_add(step.saturating_mul(number)), pipeline: name.clone(), name }
        })
        .collect()
}

fn gateway(name: &'static str, policy: &'static str, spec: Value) -> Scenario {
    let (begins, lasts) = (Duration::from_secs(1), Duration::from_secs(12));
    let until = begins.saturating_add(lasts);
    Scenario {
        name,
        what: "rolling restart of nuvo's gateway, 12 s".to_owned(),
        policy,
        spec,
        outage: Outage::GatewayRestart,
        begins,
        lasts,
        replicas: 1,
        runs: spread("run", 50, begins, until),
        execution: Duration::from_secs(5),
    }
}

fn api_server(name: &'static str, seconds: u64, replicas: usize) -> Scenario {
    let (begins, lasts) = (Duration::from_secs(7), Duration::from_secs(seconds));
    let back = begins.saturating_add(lasts).saturating_add(Duration::from_secs(1));
    let mut runs = spread("run", 30, Duration::ZERO, begins);
    runs.extend(spread("later", 10, back, back.saturating_add(Duration::from_secs(2))));
    Scenario {
        name,
        what: format!("API server away for {seconds} s"),
        policy: "Fail",
        spec: json!({}),
        outage: Outage::ApiServerAway,
        begins,
        lasts,
        replicas,
        runs,
        execution: Duration::from_secs(8),
    }
}

fn leader(name: &'static str, policy: &'static str, spec: Value) -> Scenario {
    Scenario {
        name,
        what: "leader killed".to_owned(),
        policy,
        spec,
        outage: Outage::LeaderKilled,
        begins: Duration::from_secs(5),
        lasts: Duration::ZERO,
        replicas: 2,
        runs: spread("run", 40, Duration::ZERO, Duration::from_secs(8)),
        execution: Duration::from_secs(5),
    }
}

/// Runs that are out when it begins, and a backlog, as a CronJob makes it.
fn maintenance(name: &'static str, policy: &'static str, spec: Value, scale: u32) -> Scenario {
    let (begins, lasts) = (Duration::from_secs(4), scaled(HOUR, scale));
    let mut runs = spread("run", 10, Duration::ZERO, begins);
    let step = lasts.checked_div(BACKLOG).unwrap_or_default();
    for number in 0..BACKLOG {
        let at = begins.saturating_add(step.saturating_mul(number));
        runs.extend((0..NIGHTLY_PIPELINES).map(|pipeline| PlannedRun {
            at,
            name: format!("nightly-{pipeline}-{number:02}"),
            pipeline: format!("nightly-{pipeline}"),
        }));
    }
    Scenario {
        name,
        what: "maintenance of nuvo for an hour".to_owned(),
        policy,
        spec,
        outage: Outage::Maintenance,
        begins,
        lasts,
        replicas: 1,
        runs,
        execution: Duration::from_secs(4),
    }
}
