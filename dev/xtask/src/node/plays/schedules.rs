//! Plays in which one operator follows another just when a schedule is due.

use std::time::Duration;

use k8s_openapi::jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use nuvo_core::schedule::run_name;
use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::Pipeline;
use serde_json::json;

use super::upgrade::Older;
use crate::node::Failure;
use crate::node::play::Outcome;
use crate::node::stage::{DEPLOYMENT, SYSTEM, Stage, TEAM};

/// So long before a slot one operator is told to follow another, once each: the slot is due before, while and after the lease changes hands.
const BEFORE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

pub fn rolling_update(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let schedule = Schedule::create(stage, "each-minute")?;
    for before in BEFORE {
        let slot = schedule.next_slot(before)?;
        stage.kubectl(&["--namespace", SYSTEM, "rollout", "restart", DEPLOYMENT])?;
        stage.kubectl(&["--namespace", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s"])?;
        schedule.started(slot)?;
    }
    schedule.outcome()
}

/// The older operator comes at one slot and goes at the next.
pub fn upgrade(stage: &Stage) -> Result<Outcome, Failure> {
    let older = Older::import(stage)?;
    stage.ready()?;
    let schedule = Schedule::create(stage, "across-versions")?;
    for before in BEFORE {
        schedule.next_slot(before)?;
        older.install(stage)?;
        let slot = schedule.next_slot(before)?;
        stage.install(&[])?;
        schedule.started(slot)?;
    }
    schedule.outcome()
}

/// A schedule that is due each minute, and starts the pipeline of its name.
struct Schedule<'a> {
    stage: &'a Stage<'a>,
    name: &'static str,
}

impl<'a> Schedule<'a> {
    fn create(stage: &'a Stage<'a>, name: &'static str) -> Result<Self, Failure> {
        stage.sim.set_pipeline(Pipeline::new(name).duration(Duration::from_secs(1)))?;
        let object = json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "metadata": { "name": name, "namespace": TEAM },
            "spec": { "schedules": ["* * * * *"], "successfulRunsHistoryLimit": 100, "runTemplate": { "spec": { "pipelineId": name } } },
        });
        stage.cluster.control_plane.apply(&object.to_string())?;
        stage.kubectl(&["--namespace", TEAM, "wait", &format!("pipelineschedule/{name}"), "--for=condition=Ready", "--timeout=60s"])?;
        Ok(Self { stage, name })
    }

    /// Waits until so long before the next slot.
    fn next_slot(&self, before: Duration) -> Result<Timestamp, Failure> {
        let minute = TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil);
        let slot = Timestamp::now().checked_add(before)?.round(minute)?;
        self.stage.until("a slot is near", || Ok(Timestamp::now().checked_add(before)? >= slot))?;
        Ok(slot)
    }

    fn runs(&self) -> Result<Vec<PipelineRun>, Failure> {
        let selector = format!("nuvo.dev/schedule={}", self.name);
        let list = self.stage.cluster.get(&["pipelineruns.nuvo.dev", "--namespace", TEAM, "--selector", &selector])?;
        Ok(serde_json::from_value(list.get("items").cloned().unwrap_or_default())?)
    }

    /// Waits until the run of this slot has Succeeded.
    fn started(&self, slot: Timestamp) -> Result<(), Failure> {
        let name = run_name(self.name, slot);
        let of_slot = |run: &PipelineRun| run.metadata.name.as_ref() == Some(&name) && has_succeeded(run);
        self.stage.until(&format!("{name} has Succeeded"), || Ok(self.runs()?.iter().any(of_slot)))
    }

    /// Starts no more, and waits until all runs have Succeeded.
    fn outcome(&self) -> Result<Outcome, Failure> {
        let schedule = format!("pipelineschedule/{}", self.name);
        self.stage.kubectl(&["--namespace", TEAM, "patch", &schedule, "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#])?;
        let reason = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}=Suspended";
        self.stage.kubectl(&["--namespace", TEAM, "wait", &schedule, &format!("--for={reason}"), "--timeout=60s"])?;
        self.stage.until("all runs have Succeeded", || Ok(self.runs()?.iter().all(has_succeeded)))?;
        let minute = TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Trunc);
        let late = self.stage.sim.executions().into_iter().filter(|execution| execution.pipeline == self.name).filter_map(|execution| {
            let created: Timestamp = execution.created_at.parse().ok()?;
            Duration::try_from(created.duration_since(created.round(minute).ok()?)).ok()
        });
        let latest = late.max().unwrap_or_default();
        let shown = self.stage.kubectl(&["--namespace", TEAM, "get", &schedule, "--no-headers"])?;
        let seen = format!("`{}`", shown.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(Outcome { times: vec![("after its slot, nuvo had the latest start within", latest)], runs: self.runs()?.len(), seen })
    }
}

fn has_succeeded(run: &PipelineRun) -> bool {
    run.status.as_ref().and_then(|status| status.phase) == Some(Phase::Succeeded)
}
