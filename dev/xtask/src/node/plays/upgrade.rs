//! From an older release to this one, and back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nuvo_sim::Pipeline;

use super::numbered;
use crate::node::Failure;
use crate::node::ingredients::Previous;
use crate::node::play::Outcome;
use crate::node::stage::{SYSTEM, Stage, TEAM};

/// The older release, whose image the node has.
pub(super) struct Older {
    chart: PathBuf,
}

impl Older {
    const TAG: &str = "previous";

    pub(super) fn import(stage: &Stage) -> Result<Self, Failure> {
        let Previous { chart, image } = Previous::found();
        stage.cluster.import_with_tag(&image, Self::TAG)?;
        Ok(Self { chart })
    }

    /// Waits until its pods are Ready. How long that took.
    pub(super) fn install(&self, stage: &Stage) -> Result<Duration, Failure> {
        stage.install_chart(&self.chart, &[&format!("image.tag={}", Self::TAG)])
    }
}

pub fn upgrade(stage: &Stage) -> Result<Outcome, Failure> {
    let older = Older::import(stage)?;
    let downgrade = || older.install(stage);
    // As on a cluster that had the older release only.
    stage.uninstall()?;
    stage.kubectl(&["delete", "crd", "pipelineruns.nuvo.dev", "nuvoaccounts.nuvo.dev", "--ignore-not-found"])?;
    stage.kubectl(&["--namespace", SYSTEM, "delete", "leases", "--all"])?;
    downgrade()?;
    stage.account()?;

    let mut all: Vec<Vec<String>> = Vec::new();
    let mut times = Vec::new();
    for (name, change) in [("older", None), ("newer", Some(true)), ("older-again", Some(false)), ("newer-again", Some(true))] {
        if let Some(upgrades) = change {
            let before = all.last().cloned().unwrap_or_default();
            let began = Instant::now();
            if upgrades {
                stage.install(&[])?
            } else {
                downgrade()?
            };
            times.push((if upgrades { "upgraded after" } else { "downgraded after" }, began.elapsed()));
            stage.account()?;
            // Its lock and its marker are of the other version.
            stage.finish(&before)?;
            stage.succeed_once(&before)?;
        }
        let ended = numbered(&format!("{name}-ended"), 1);
        stage.start(&ended, |name| Pipeline::new(name).duration(Duration::from_secs(1)))?;
        stage.succeed_once(&ended)?;
        let going_on = numbered(name, 1);
        stage.start(&going_on, |name| Pipeline::new(name).held())?;
        stage.started(&going_on)?;
        all.extend([ended, going_on]);
    }
    all.iter().try_for_each(|names| stage.finish(names))?;
    let all = all.concat();
    stage.succeed_once(&all)?;
    let shown = stage.kubectl(&["--namespace", TEAM, "get", "pipelineruns.nuvo.dev", "--no-headers"])?;
    Ok(Outcome { times, runs: all.len(), seen: format!("{} runs Succeeded", shown.matches("Succeeded").count()) })
}
