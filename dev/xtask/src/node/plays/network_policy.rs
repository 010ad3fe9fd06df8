//! The NetworkPolicy of the chart.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nuvo_sim::Pipeline;
use serde_json::{Value, json};

use super::numbered;
use crate::node::Failure;
use crate::node::configuration::{ADDRESS, PAUSE};
use crate::node::firewall::{self, reaches};
use crate::node::play::Outcome;
use crate::node::stage::{DEPLOYMENT, OPERATOR, SIMULATOR_PORT, SYSTEM, Stage, TEAM};

/// The namespace that may read metrics.
const MONITORING: &str = "monitoring";
const METRICS_PORT: u16 = 8080;
/// Something on the node that the operator has no business with: where CoreDNS says that it is ready.
const OTHER_PORT: u16 = 8181;
/// What runs in the pods of this play.
const PROGRAM: &str = "/pause";

/// What is tried.
#[derive(Clone, Copy)]
enum From<'a> {
    /// From this pod of the play to the metrics of each operator.
    Pod(&'a str),
    /// From each operator to the node.
    Operators,
}

pub fn network_policy(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    stage.kubectl(&["create", "namespace", MONITORING])?;
    let [monitoring, other] = [pod(stage, MONITORING)?, pod(stage, TEAM)?];
    let _firewall = firewall::start(stage)?;
    for from in [From::Pod(&monitoring), From::Pod(&other), From::Operators] {
        wait(stage, from, true)?;
    }

    // The ports behind the Services: what enforces a policy sees no others.
    let ports = format!("networkPolicy.egressPorts={{{},{SIMULATOR_PORT}}}", stage.cluster.control_plane.port());
    let from = format!("networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name={MONITORING}");
    let began = Instant::now();
    stage.install(&["networkPolicy.enabled=true", &ports, &from])?;
    wait(stage, From::Pod(&other), false)?;
    wait(stage, From::Operators, false)?;
    let closed = began.elapsed();
    stage.kubectl(&["--namespace", SYSTEM, "rollout", "restart", DEPLOYMENT])?;
    stage.account()?;
    let runs = numbered("policy", 1);
    let began = Instant::now();
    stage.start(&runs, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
    stage.succeed_once(&runs)?;
    let succeeded = began.elapsed();
    // Also of the new pods.
    wait(stage, From::Pod(&other), false)?;
    wait(stage, From::Operators, false)?;
    wait(stage, From::Pod(&monitoring), true)?;
    let seen = format!("{}; other pods do not reach its metrics, and it does not reach other ports", stage.pods_as_seen()?);

    stage.install(&[])?;
    wait(stage, From::Pod(&other), true)?;
    Ok(Outcome { times: vec![("closed after", closed), ("new pods Ready, and a run Succeeded after", succeeded)], runs: 1, seen })
}

/// Waits until all connections are answered, or none is.
fn wait(stage: &Stage, from: From, is_answered: bool) -> Result<(), Failure> {
    let what = match from {
        From::Pod(_) => "a pod reaches the metrics",
        From::Operators => "the operator reaches another port",
    };
    stage.until(&format!("{what}: {is_answered}"), || {
        let pods = stage.pods()?;
        if pods.len() != 2 || !pods.iter().all(|pod| pod.ready) {
            return Ok(false);
        }
        for pod in &pods {
            let answered = match from {
                From::Pod(uid) => reaches(uid, PROGRAM, SocketAddr::new(pod.address.parse()?, METRICS_PORT)),
                From::Operators => reaches(&pod.uid, OPERATOR, SocketAddr::new(IpAddr::V4(ADDRESS), OTHER_PORT)),
            };
            if answered? != is_answered {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// A pod that does nothing, in this namespace. Its uid.
fn pod(stage: &Stage, namespace: &str) -> Result<String, Failure> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "idle", "namespace": namespace },
        "spec": { "containers": [{ "name": "idle", "image": PAUSE }], "terminationGracePeriodSeconds": 0 },
    });
    stage.cluster.control_plane.apply(&pod.to_string())?;
    stage.kubectl(&["--namespace", namespace, "wait", "pod/idle", "--for=condition=Ready", "--timeout=60s"])?;
    let pod = stage.cluster.get(&["pod", "idle", "--namespace", namespace])?;
    Ok(pod.pointer("/metadata/uid").and_then(Value::as_str).ok_or("a pod without a uid")?.to_owned())
}
