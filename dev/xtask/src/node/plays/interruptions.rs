//! Plays in which operators end while runs go on.

use std::time::{Duration, Instant};

use nuvo_sim::{Effect, Fault, Operation, Pipeline};

use super::numbered;
use crate::node::Failure;
use crate::node::configuration::NODE;
use crate::node::play::Outcome;
use crate::node::stage::{DEPLOYMENT, SYSTEM, Stage};

pub fn rolling_update(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let runs = numbered("rolling", 20);
    stage.start(&runs, |name| Pipeline::new(name).duration(Duration::from_secs(5)))?;
    let some = runs.get(..5).unwrap_or_default();
    stage.started(some)?;
    let leader = stage.present_leader()?;
    let began = Instant::now();
    stage.kubectl(&["--namespace", SYSTEM, "rollout", "restart", DEPLOYMENT])?;
    let leads = stage.another_leads(&leader, began)?;
    stage.kubectl(&["--namespace", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s"])?;
    let rolled = began.elapsed();
    stage.succeed_once(&runs)?;
    let times = vec![("another leads after", leads), ("rolled out after", rolled), ("all Succeeded after", began.elapsed())];
    Ok(Outcome { times, runs: runs.len(), seen: stage.pods_as_seen()? })
}

pub fn leader_killed(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let runs = numbered("killed", 1);
    stage.start(&runs, |name| Pipeline::new(name).held())?;
    stage.started(&runs)?;
    let leader = stage.present_leader()?;
    let pods = stage.pods()?;
    let pod = pods.iter().find(|pod| pod.name == leader).ok_or("the leader is no pod")?;
    let began = Instant::now();
    pod.kill()?;
    let leads = stage.another_leads(&leader, began)?;
    stage.finish(&runs)?;
    stage.succeed_once(&runs)?;
    let succeeded = began.elapsed();
    let restarted = || Ok(stage.pods()?.iter().any(|pod| pod.name == leader && pod.restarts == 1 && pod.ready));
    stage.until("the killed pod is Ready again", restarted)?;
    let end = stage.pods()?.iter().find(|pod| pod.name == leader).and_then(|pod| pod.last_end.clone()).unwrap_or_default();
    let seen = format!("{}, last state `{end}`", stage.pods_as_seen()?);
    Ok(Outcome { times: vec![("another leads after", leads), ("Succeeded after", succeeded)], runs: 1, seen })
}

pub fn post_out(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let runs = numbered("post-out", 1);
    let beside = numbered("beside", 1);
    let pipeline = runs.concat();
    let fault = stage.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING).pipeline(pipeline).once());
    stage.start(&runs, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
    if !stage.sim.fault_reached(fault, Duration::from_secs(30)) {
        return Err("there was no POST".into());
    }
    let leader = stage.present_leader()?;
    let began = Instant::now();
    stage.kubectl(&["--namespace", SYSTEM, "delete", "pod", &leader, "--wait=false"])?;
    let leads = stage.another_leads(&leader, began)?;
    stage.start(&beside, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
    stage.succeed_once(&beside)?;
    let not_waited = began.elapsed();
    stage.sim.release(fault);
    stage.until("the old leader is gone", || Ok(stage.pods()?.iter().all(|pod| pod.name != leader)))?;
    let gone = began.elapsed();
    stage.succeed_once(&runs)?;
    stage.sim.remove_fault(fault);
    let times = vec![("another leads after", leads), ("a run beside it Succeeded after", not_waited), ("the pod gone after", gone)];
    Ok(Outcome { times, runs: 2, seen: stage.run_as_seen("post-out-1")? })
}

/// With one node, the budget for disruptions stops a drain: the chart's documentation says what to set.
pub fn drain(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let runs = numbered("drained", 1);
    stage.start(&runs, |name| Pipeline::new(name).held())?;
    stage.started(&runs)?;
    let drain = |timeout: &str| stage.kubectl(&["drain", NODE, timeout]);
    let outcome = drained(stage, drain, &runs);
    // Whatever has come of it, the plays that follow need the node.
    stage.kubectl(&["uncordon", NODE])?;
    let (refused, took) = outcome?;
    let began = Instant::now();
    stage.kubectl(&["--namespace", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=120s"])?;
    let back = began.elapsed();
    stage.succeed_once(&runs)?;
    let seen = format!("with two replicas: `{refused}`; with `replicas=1`: {}", stage.pods_as_seen()?);
    Ok(Outcome { times: vec![("drained after", took), ("Ready after `kubectl uncordon`", back)], runs: 1, seen })
}

fn drained(stage: &Stage, drain: impl Fn(&str) -> Result<String, Failure>, runs: &[String]) -> Result<(String, Duration), Failure> {
    let refused = match drain("--timeout=10s") {
        Ok(_) => return Err("the only node was drained of both replicas".into()),
        Err(error) => error.to_string(),
    };
    let why = "Cannot evict pod as it would violate the pod's disruption budget.";
    if !refused.contains(why) {
        return Err(format!("the drain ended otherwise: {refused}").into());
    }
    stage.kubectl(&["uncordon", NODE])?;
    stage.install(&["replicas=1"])?;
    stage.until("there is one replica", || Ok(stage.pods()?.len() == 1))?;
    let began = Instant::now();
    drain("--timeout=60s")?;
    let took = began.elapsed();
    stage.finish(runs)?;
    Ok((why.to_owned(), took))
}
