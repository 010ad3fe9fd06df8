//! The plays, in the order in which they are played.

mod installing;
mod interruptions;
mod memory;
mod upgrade;

use std::error::Error;

use super::play::Play;

const PLAYS: [Play; 9] = [
    Play { name: "install", what: "`helm install --wait` into a namespace that enforces `restricted`", play: installing::install },
    Play { name: "run", what: "a run", play: installing::run },
    Play { name: "rolling-update", what: "`kubectl rollout restart` while 20 runs start and go on", play: interruptions::rolling_update },
    Play { name: "leader-killed", what: "SIGKILL of the leader while a run goes on", play: interruptions::leader_killed },
    Play { name: "post-out", what: "the leader is deleted while its POST has no answer yet", play: interruptions::post_out },
    Play { name: "drain", what: "`kubectl drain` of the only node", play: interruptions::drain },
    Play {
        name: "memory-limit",
        what: "more runs than the memory limit allows, then `helm upgrade` with a larger one",
        play: memory::limit,
    },
    Play { name: "reinstall", what: "`helm uninstall` and `helm install` while a run goes on", play: installing::reinstall },
    Play { name: UPGRADE, what: "`helm upgrade` from an older commit, back, and again, each while a run goes on", play: upgrade::upgrade },
];

/// What needs an older operator.
const UPGRADE: &str = "upgrade";

/// Those of these names, or all that can be played.
pub fn named(names: &[String], has_previous: bool) -> Result<Vec<Play>, Box<dyn Error>> {
    if let Some(unknown) = names.iter().find(|name| PLAYS.iter().all(|play| play.name != **name)) {
        return Err(format!("there is no play {unknown}: `cargo xtask node --list` prints their names").into());
    }
    if !has_previous && names.iter().any(|name| name == UPGRADE) {
        return Err("the play upgrade needs --previous and --previous-commit".into());
    }
    let wanted =
        |play: &Play| if names.is_empty() { has_previous || play.name != UPGRADE } else { names.iter().any(|name| name == play.name) };
    Ok(PLAYS.into_iter().filter(wanted).collect())
}

/// Names of runs that no other play has.
fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}-{number}")).collect()
}
