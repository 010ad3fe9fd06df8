//! The memory limit of the pod.

use std::time::{Duration, Instant};

use nuvo_sim::{Effect, Fault, Operation, Pipeline};
use serde_json::json;

use super::numbered;
use crate::node::Failure;
use crate::node::play::Outcome;
use crate::node::stage::{DEPLOYMENT, SYSTEM, Stage, TEAM};

/// Enough to start, and not enough for [`MOST`] runs.
const LIMIT: &str = "24Mi";
const MOST: usize = 10_000;
const BATCH: usize = 100;
const LABEL: &str = "example.com/load";

pub fn limit(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let limit = format!("resources.limits.memory={LIMIT}");
    stage.install(&[&limit, "resources.requests.memory=16Mi"])?;
    stage.until("only pods with the limit are there", || Ok(stage.pods()?.len() == 2))?;
    let runs = numbered("limit", 5);
    stage.start(&runs, |name| Pipeline::new(name).held())?;
    stage.started(&runs)?;
    // What the leader cannot read any more, nuvo has carried out.
    let unanswered = numbered("limit-unanswered", 1);
    let pipeline = &unanswered.concat();
    let fault = stage.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).pipeline(pipeline).once());
    stage.start(&unanswered, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
    if !stage.sim.fault_reached(fault, Duration::from_secs(30)) {
        return Err("there was no POST".into());
    }

    let began = Instant::now();
    let mut created = 0_usize;
    while !killed(stage)? {
        if created >= MOST {
            return Err(format!("{MOST} runs fit into {LIMIT}").into());
        }
        let next = created.saturating_add(BATCH);
        let names = (created..next).map(|number| format!("load-{number}"));
        stage.create(names.map(|name| {
            let spec = json!({ "pipelineId": name, "suspend": true });
            (json!({ "name": name, "labels": { LABEL: "true" } }), spec)
        }))?;
        created = next;
    }
    let killed_after = began.elapsed();
    let seen = stage.pods_as_seen()?;
    stage.sim.remove_fault(fault);
    let began = Instant::now();
    stage.install(&[])?;
    stage.kubectl(&["--namespace", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s"])?;
    let back = began.elapsed();
    stage.finish(&runs)?;
    let runs = [runs, unanswered].concat();
    stage.succeed_once(&runs)?;
    let succeeded = began.elapsed();
    stage.kubectl(&["--namespace", TEAM, "delete", "pipelineruns.nuvo.dev", "--selector", &format!("{LABEL}=true"), "--wait=false"])?;
    let times = vec![("killed after", killed_after), ("Ready again after", back), ("all Succeeded after", succeeded)];
    let seen =
        format!("`OOMKilled 137` with {created} more runs: {seen}; the run whose POST had no answer: {}", stage.run_as_seen(pipeline)?);
    Ok(Outcome { times, runs: runs.len(), seen })
}

/// Only the leader keeps the runs.
fn killed(stage: &Stage) -> Result<bool, Failure> {
    Ok(stage.pods()?.iter().any(|pod| pod.last_end.as_deref() == Some("OOMKilled 137")))
}
