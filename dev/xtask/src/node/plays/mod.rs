//! The plays, in the order in which they are played.

mod installing;
mod interruptions;
mod memory;
mod network_policy;
mod recipes;
mod release;
mod schedules;
mod upgrade;

use std::error::Error;

use super::Failure;
use super::orchestrators::Orchestrator;
use super::play::{Needs, Outcome, Play};
use super::stage::Stage;

const PLAYS: [Play; 16] = [
    plain("install", "`helm install --wait` into a namespace that enforces `restricted`", installing::install),
    plain("run", "a run", installing::run),
    plain("rolling-update", "`kubectl rollout restart` while 20 runs start and go on", interruptions::rolling_update),
    plain("schedule", "`kubectl rollout restart` at three slots of a schedule that is due each minute", schedules::rolling_update),
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
    recipe(
        "recipes-cronjob",
        "the [CronJob](../examples/orchestrators/cronjob.md) of the recipes: its pod is killed, and the next one deleted",
        Orchestrator::CronJob,
        recipes::cron_job,
    ),
    recipe(
        "recipes-argo-workflows",
        "the step of [Argo Workflows](../examples/orchestrators/argo-workflows.md): its pod is deleted",
        Orchestrator::ArgoWorkflows,
        recipes::argo_workflows,
    ),
    recipe(
        "recipes-tekton",
        "the task of [Tekton](../examples/orchestrators/tekton.md): its pod is deleted, and the next one killed",
        Orchestrator::Tekton,
        recipes::tekton,
    ),
    Play {
        name: "upgrade",
        what: "`helm upgrade` from an older commit, back, and again, each while a run goes on",
        needs: Needs::Previous,
        play: upgrade::upgrade,
    },
    Play {
        name: "upgrade-schedule",
        what: "`helm upgrade` to an older commit at a slot of such a schedule, and back at the next, three times",
        needs: Needs::Previous,
        play: schedules::upgrade,
    },
    Play {
        name: "network-policy",
        what: "`networkPolicy.enabled`, on a node that enforces it",
        needs: Needs::Firewall,
        play: network_policy::network_policy,
    },
];

/// A play that needs nothing but the node.
const fn plain(name: &'static str, what: &'static str, play: fn(&Stage) -> Result<Outcome, Failure>) -> Play {
    Play { name, what, needs: Needs::Nothing, play }
}

const fn recipe(name: &'static str, what: &'static str, of: Orchestrator, play: fn(&Stage) -> Result<Outcome, Failure>) -> Play {
    Play { name, what, needs: Needs::Orchestrator(of), play }
}

/// Those of these names, or all that can be played. A name without what is after its dash is that of several.
pub fn named(names: &[String], has_previous: bool) -> Result<Vec<Play>, Box<dyn Error>> {
    let is = |play: &Play, name: &str| play.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if let Some(unknown) = names.iter().find(|name| !PLAYS.iter().any(|play| is(play, name))) {
        return Err(format!("there is no play {unknown}: `cargo xtask node --list` prints their names").into());
    }
    let possible = |play: &Play| has_previous || play.needs != Needs::Previous;
    let chosen = |play: &Play| names.iter().any(|name| is(play, name));
    if PLAYS.iter().any(|play| chosen(play) && !possible(play)) {
        return Err("the plays of an upgrade need --previous and --previous-commit".into());
    }
    Ok(PLAYS.into_iter().filter(|play| if names.is_empty() { possible(play) } else { chosen(play) }).collect())
}

/// Names of runs that no other play has.
fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}-{number}")).collect()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn name_without_what_is_after_its_dash_is_that_of_several() {
        let names = |name: &str| named(&[name.to_owned()], false).map(|plays| plays.iter().map(|play| play.name).collect::<Vec<_>>());
        assert_eq!(names("recipes").unwrap(), ["recipes-cronjob", "recipes-argo-workflows", "recipes-tekton"]);
        assert_eq!(names("run").unwrap(), ["run"]);
        assert!(names("recipe").unwrap_err().to_string().contains("no play recipe"));
        assert!(names("upgrade").is_err());
    }
}
