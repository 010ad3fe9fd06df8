//! Schedules and their runs, put back from a backup: nothing of it starts.

use std::{fs, path::Path, process::Command};

use controlplane::{ControlPlane, Options, Part};
use k8s_openapi::jiff::{SignedDuration, ToSpan};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use nuvo_crds::{Phase, PipelineRun, PipelineSchedule};
use nuvo_operator::rbac;
use nuvo_sim::SimConfig;
use serde_json::json;

use crate::{
    environment::{Environment, block_on, install, reason, same},
    schedules::{api, quick, ready, run_name, runs, status},
    schedules_over_time::Slots,
};

/// How the status comes back with the objects.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Statuses {
    Without,
    With,
    /// After the operator has seen the objects (velero#8205).
    Late,
}

/// What a backup tool saves.
struct Backup {
    schedule: PipelineSchedule,
    runs: Vec<PipelineRun>,
}

impl Backup {
    fn take(env: &Environment) -> Self {
        Self { schedule: block_on(api(env).get("hourly")).unwrap(), runs: runs(env, "hourly") }
    }

    fn delete_all(env: &Environment) {
        block_on(api(env).delete("hourly", &DeleteParams::default())).unwrap();
        block_on(env.runs().delete_collection(&DeleteParams::default(), &ListParams::default())).unwrap();
        env.eventually("all runs are gone", || block_on(env.runs().list(&ListParams::default())).unwrap().items.is_empty());
    }

    /// The API server gives each object a new uid. References to owners come back as they were.
    fn restore(&self, env: &Environment) {
        let mut schedule = self.schedule.clone();
        (schedule.metadata.uid, schedule.metadata.resource_version) = (None, None);
        block_on(api(env).create(&PostParams::default(), &schedule)).unwrap();
        for run in &self.runs {
            let mut run = run.clone();
            (run.metadata.uid, run.metadata.resource_version) = (None, None);
            block_on(env.runs().create(&PostParams::default(), &run)).unwrap();
        }
    }

    /// Whole: what the operator has written meanwhile goes.
    fn restore_status(&self, env: &Environment) {
        env.eventually("the status of the schedule is put back", || {
            let mut there = block_on(api(env).get("hourly")).unwrap();
            there.status.clone_from(&self.schedule.status);
            block_on(api(env).replace_status("hourly", &PostParams::default(), &there)).is_ok()
        });
        for run in &self.runs {
            env.eventually("the status of the run is put back", || {
                let mut there = env.get(&run.name_any());
                there.status.clone_from(&run.status);
                block_on(env.runs().replace_status(&run.name_any(), &PostParams::default(), &there)).is_ok()
            });
        }
    }
}

/// In the backup are a run that has ended, and one that waits for its account.
#[test]
fn backup_that_is_restored_starts_nothing() {
    for statuses in [Statuses::Without, Statuses::With, Statuses::Late] {
        let env = Environment::new("schedule-restored", [quick()]);
        let time = Slots::new(&env);
        let before = time.operator(&[]);
        let first = time.hourly("hourly", json!({}));
        time.at(first);
        block_on(env.accounts().delete("default", &DeleteParams::default())).unwrap();
        let second = first + SignedDuration::from_hours(1);
        time.clock.set(&env, second + 1.second());
        time.look();
        let waiting = run_name("hourly", second);
        env.wait_reason(&waiting, "AccountNotReady");
        env.eventually("its slot is claimed", || status(&env, "hourly").claims.len() == 1);
        let backup = Backup::take(&env);
        before.kill();
        Backup::delete_all(&env);
        // Two slots later.
        time.clock.set(&env, second + SignedDuration::from_hours(2) + 10.minutes());
        env.account("default");
        let operator = match statuses {
            Statuses::Without => {
                backup.restore(&env);
                time.operator(&[])
            }
            Statuses::With => {
                backup.restore(&env);
                backup.restore_status(&env);
                time.operator(&[])
            }
            Statuses::Late => {
                let operator = time.operator(&[]);
                backup.restore(&env);
                env.eventually("it is scheduled", || ready(&env, "hourly") == "Scheduled");
                backup.restore_status(&env);
                time.look();
                operator
            }
        };
        let uid = block_on(api(&env).get("hourly")).unwrap().uid();
        env.eventually("its anchor is its own", || status(&env, "hourly").anchor.map(|anchor| anchor.uid) == uid);
        let ended = env.wait_phase(&waiting, Phase::Failed);
        same(&format!("{statuses:?}: the run that waited"), reason(&ended), "SlotNotClaimed");
        same(&format!("{statuses:?}: POSTs, runs"), (env.sim.post_count(), runs(&env, "hourly").len()), (1, 2));
        let next = time.next("hourly");
        same("next", next, second + SignedDuration::from_hours(3));
        time.clock.set(&env, next + 1.second());
        time.look();
        if statuses == Statuses::Without {
            // What became of the run that had ended is lost, too: a person decides about it before the next one starts.
            same("the run that had ended", reason(&env.wait_phase(&run_name("hourly", first), Phase::Unresolved)), "StatusLost");
            env.eventually("it blocks", || ready(&env, "hourly") == "BlockedByRun");
            env.delete(&run_name("hourly", first));
        }
        env.wait_phase(&run_name("hourly", next), Phase::Succeeded);
        same(&format!("{statuses:?}: POSTs"), env.sim.post_count(), 2);
        same("exit code", operator.stop(), Some(0));
    }
}

/// Stops the store, and copies a folder to the place of another one. What the API server has cached goes, too.
fn copy_store(server: &ControlPlane, from: &Path, to: &Path) {
    server.stop_part(Part::Etcd).unwrap();
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    for part in [Part::Etcd, Part::ApiServer] {
        server.restart_part(part).unwrap();
    }
}

/// Status, claims and locks go back together, and nothing in the cluster can know: the newest slot repeats, once, and none that came before.
/// Not if a person looks first.
#[test]
fn etcd_put_back_to_an_older_revision_repeats_the_newest_slot_only_and_none_while_held() {
    let server: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Options::default()).unwrap()));
    install(server);
    let config = SimConfig { pipelines: vec![quick()], ..SimConfig::default() };
    let env = Environment::on(server, "schedule-etcd", config, |server, namespace, _| {
        server.service_account_kubeconfig(namespace, "nuvo-operator", &rbac::rules()).unwrap()
    });
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    let time = Slots::new(&env);
    let before = time.operator(&[]);
    let first = time.hourly("hourly", json!({}));
    before.kill();
    let (etcd, saved) = (server.folder().join("etcd"), server.folder().join("etcd-saved"));
    copy_store(server, &etcd, &saved);

    let before = time.operator(&[]);
    let hour = SignedDuration::from_hours(1);
    for slot in [first, first + hour, first + 2 * hour] {
        time.at(slot);
    }
    same("POSTs", env.sim.post_count(), 3);
    before.kill();

    copy_store(server, &saved, &etcd);
    same("runs", runs(&env, "hourly").len(), 0);
    let held = time.operator(&["--hold-schedules", "true"]);
    env.eventually("it is held", || ready(&env, "hourly") == "Suspended");
    same("held: runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (0, 3));
    same("exit code", held.stop(), Some(0));

    let _operator = time.operator(&[]);
    let newest = run_name("hourly", first + 2 * hour);
    env.wait_phase(&newest, Phase::Succeeded);
    time.at(first + 2 * hour);
    same("runs", runs(&env, "hourly").iter().map(ResourceExt::name_any).collect::<Vec<_>>(), vec![newest]);
    same("POSTs", env.sim.post_count(), 4);
    same("missed", status(&env, "hourly").missed.unwrap().total, 2);
}
