//! A release as it is published.

use std::time::{Duration, Instant};

use nuvo_sim::Pipeline;
use serde_json::Value;

use super::numbered;
use crate::node::Failure;
use crate::node::play::Outcome;
use crate::node::released::Released;
use crate::node::stage::{SYSTEM, Stage, TEAM};

pub fn release(stage: &Stage) -> Result<Outcome, Failure> {
    let released = Released::found().map_err(|error| error.to_string())?;
    stage.uninstall()?;
    stage.cluster.forget_operator()?;
    let outcome = installed(stage, &released);
    // Whatever has come of it, the plays that follow need what they do not pull.
    stage.uninstall()?;
    stage.cluster.import_all()?;
    outcome
}

fn installed(stage: &Stage, released: &Released) -> Result<Outcome, Failure> {
    let registry = released.registry(stage)?;
    let chart = released.publish(stage)?;
    let before = registry.log().lines().count();
    let ready = stage.install_from(&chart)?;
    stage.account()?;
    let read = registry.log().lines().skip(before).filter(|line| line.starts_with("GET ") && line.contains("/blobs/")).count();
    if read == 0 {
        return Err(format!("the node has pulled nothing:\n{}", registry.log()).into());
    }
    let image = released.image_name();
    let pods = stage.cluster.get(&["pods", "--namespace", SYSTEM])?;
    let images: Vec<&Value> = pods.pointer("/items").and_then(Value::as_array).into_iter().flatten().filter_map(image_of).collect();
    if images.len() != 2 || images.iter().any(|found| **found != *image) {
        return Err(format!("the pods run {images:?} instead of {image}").into());
    }

    let runs = numbered("published", 1);
    let began = Instant::now();
    stage.start(&runs, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
    stage.succeed_once(&runs)?;
    let succeeded = began.elapsed();
    let listed = released.plugin(stage, &["list", "--namespace", TEAM])?;
    let line = listed.lines().find(|line| line.contains("published-1")).ok_or_else(|| format!("the plugin lists:\n{listed}"))?;
    let seen = format!("`kubectl nuvo list`: `{}`", line.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(Outcome { times: vec![("pulled and Ready after", ready), ("Succeeded after", succeeded)], runs: 1, seen })
}

/// The image that runs in a pod.
fn image_of(pod: &Value) -> Option<&Value> {
    pod.pointer("/status/containerStatuses/0/imageID")
}
