//! The plays, in the order in which they are played.

mod installing;
mod interruptions;
mod memory;
mod release;
mod upgrade;

use std::error::Error;

use super::Failure;
use super::play::{Needs, Outcome, Play};
use super::stage::Stage;

const PLAYS: [Play; 10] = [
    plain("install", "`helm install --wait` into a namespace that enforces `restricted`", installing::install),
    plain("run", "a run", installing::run),
    plain("rolling-update", "`kubectl rollout restart` while 20 runs start and go on", interruptions::rolling_update),
    plain("leader-killed", "SIGKILL of the leader while a run goes on", interruptions::leader_killed),
    plain("post-out", "the leader is deleted while its POST has no answer yet", interruptions::post_out),
    plain("drain", "`kubectl drain` of the only node", interruptions::drain),
    plain("memory-limit", "more runs than the memory limit allows, then `helm upgrade` with a larger one", memory::limit),
    plain("reinstall", "`helm uninstall` and `helm install` while a run goes on", installing::reinstall),
    Play {
        name: "release",
        what: "`helm install oci://…` from a registry, with a verified image that the node pulls by digest, and the plugin from its archive",
        needs: Needs::Release,
        play: release::release,
    },
    Play {
        name: "upgrade",
        what: "`helm upgrade` from an older commit, back, and again, each while a run goes on",
        needs: Needs::Previous,
        play: upgrade::upgrade,
    },
];

/// A play that needs nothing but the node.
const fn plain(name: &'static str, what: &'static str, play: fn(&Stage) -> Result<Outcome, Failure>) -> Play {
    Play { name, what, needs: Needs::Nothing, play }
}

/// Those of these names, or all that can be played.
pub fn named(names: &[String], has_previous: bool) -> Result<Vec<Play>, Box<dyn Error>> {
    if let Some(unknown) = names.iter().find(|name| PLAYS.iter().all(|play| play.name != **name)) {
        return Err(format!("there is no play {unknown}: `cargo xtask node --list` prints their names").into());
    }
    let possible = |play: &Play| has_previous || play.needs != Needs::Previous;
    let chosen = |play: &Play| names.iter().any(|name| name == play.name);
    if PLAYS.iter().any(|play| chosen(play) && !possible(play)) {
        return Err("the play upgrade needs --previous and --previous-commit".into());
    }
    Ok(PLAYS.into_iter().filter(|play| if names.is_empty() { possible(play) } else { chosen(play) }).collect())
}

/// Names of runs that no other play has.
fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}-{number}")).collect()
}
