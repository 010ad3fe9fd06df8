//! Plays about the life of a release.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nuvo_sim::Pipeline;

use super::numbered;
use crate::node::Failure;
use crate::node::play::Outcome;
use crate::node::stage::{SYSTEM, Stage};

/// What `/proc/PID/status` must say of the operator: no root, no capability, no way to get one, and a filter of system calls.
const CONFINED: [(&str, &str); 7] = [
    ("Uid", "65532 65532 65532 65532"),
    ("Gid", "65532 65532 65532 65532"),
    ("CapEff", "0000000000000000"),
    ("CapPrm", "0000000000000000"),
    ("CapBnd", "0000000000000000"),
    ("NoNewPrivs", "1"),
    ("Seccomp", "2"),
];

pub fn install(stage: &Stage) -> Result<Outcome, Failure> {
    stage.uninstall()?;
    let took = stage.install(&[])?;
    let pods = stage.pods()?;
    let restarts = pods.iter().map(|pod| pod.restarts).fold(0, u64::saturating_add);
    if pods.len() != 2 || restarts > 0 || !pods.iter().all(|pod| pod.ready) {
        return Err(format!("not two pods that are Ready without a restart: {}", stage.pods_as_seen()?).into());
    }
    for pod in &pods {
        confined(&pod.process()?)?;
    }
    Ok(Outcome { times: vec![("Ready after", took)], runs: 0, seen: stage.pods_as_seen()? })
}

fn confined(process: &Path) -> Result<(), Failure> {
    let status = fs::read_to_string(process.join("status"))?;
    for (name, wanted) in CONFINED {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
        let found = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if found != wanted {
            return Err(format!("{name} of the operator is {found} instead of {wanted}").into());
        }
    }
    let mounts = fs::read_to_string(process.join("mountinfo"))?;
    let of_root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields.get(4) == Some(&"/"));
    let options = of_root.and_then(|fields| fields.get(5).copied()).unwrap_or_default();
    if options.split(',').all(|option| option != "ro") {
        return Err(format!("the root file system of the operator is {options}").into());
    }
    Ok(())
}

pub fn run(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let runs = numbered("first", 1);
    let began = Instant::now();
    stage.start(&runs, |name| Pipeline::new(name).duration(Duration::from_secs(2)))?;
    stage.succeed_once(&runs)?;
    Ok(Outcome { times: vec![("Succeeded after", began.elapsed())], runs: 1, seen: stage.run_as_seen("first-1")? })
}

/// The objects of an uninstalled release, and the locks, are those of the next one.
pub fn reinstall(stage: &Stage) -> Result<Outcome, Failure> {
    stage.ready()?;
    let ended = numbered("ended", 1);
    let going_on = numbered("going-on", 1);
    stage.start(&ended, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
    stage.start(&going_on, |name| Pipeline::new(name).held())?;
    stage.succeed_once(&ended)?;
    stage.started(&going_on)?;
    let gone = stage.uninstall()?;
    let locks = ["--namespace", SYSTEM, "get", "leases", "--selector", "nuvo.dev/pipeline-lock=true", "--output", "name"];
    let kept = stage.kubectl(&locks)?.lines().count();
    if kept == 0 {
        return Err("the locks are gone with the release".into());
    }
    // It ends while no operator is there.
    stage.finish(&going_on)?;
    let back = stage.install(&[])?;
    stage.ready()?;
    stage.succeed_once(&[ended, going_on].concat())?;
    let again = numbered("again", 1);
    stage.start(&again, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
    stage.succeed_once(&again)?;
    let seen = format!("the run, which ended meanwhile: {}", stage.run_as_seen("going-on-1")?);
    Ok(Outcome { times: vec![("gone after", gone), ("Ready after", back)], runs: 3, seen })
}
