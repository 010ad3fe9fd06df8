//! What becomes of the runs of a schedule, and of a schedule whose runs do not end well.

use controlplane::{ControlPlane, Options};
use k8s_openapi::jiff::{SignedDuration, ToSpan};
use kube::ResourceExt;
use nuvo_crds::{MissedReason, Phase};
use nuvo_operator::rbac;
use nuvo_sim::{Effect, Fault, Operation, Pipeline, SimConfig, Status};
use serde_json::{Value, json};

use crate::{
    environment::{Environment, block_on, install, reason, same},
    schedules::{api, create, quick, ready, run_name, runs, status},
    schedules_over_time::Slots,
};

fn template(more: Value) -> Value {
    let mut spec = json!({ "pipelineId": "orders", "startDeadlineSeconds": 2_592_000 });
    crate::environment::merge(&mut spec, more);
    json!({ "runTemplate": { "spec": spec } })
}

fn deletions(env: &Environment) -> usize {
    env.writes().iter().filter(|write| write.verb == "delete" && write.resource == "pipelineruns").count()
}

#[test]
fn history_limit_of_zero_keeps_the_result_and_no_run() {
    let failing = Pipeline::new("failing").failing("PARSING_FAILURE", "line 7");
    let env = Environment::new("schedule-history", [quick(), failing]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let limits = json!({ "successfulRunsHistoryLimit": 0, "failedRunsHistoryLimit": 0 });
    let mut bad = template(json!({ "pipelineId": "failing" }));
    for (field, value) in limits.as_object().unwrap() {
        bad[field] = value.clone();
    }
    let slot = time.hourly("good", limits);
    let last = time.hourly("bad", bad);
    time.at(slot.max(last));
    env.eventually("both runs are gone", || runs(&env, "good").is_empty() && runs(&env, "bad").is_empty());
    let result = |name: &str| status(&env, name).last_run.map(|run| (run.phase, run.reason.unwrap_or_default())).unwrap();
    same("success", result("good"), (Some(Phase::Succeeded), "Succeeded".to_owned()));
    same("failure", result("bad"), (Some(Phase::Failed), "ExecutionFailed".to_owned()));
    assert!(status(&env, "good").last_successful_time.is_some() && status(&env, "bad").last_failed_time.is_some());
    env.eventually("both deletions are logged", || deletions(&env) >= 2);
    same("deletions, POSTs", (deletions(&env), env.sim.post_count()), (2, 2));
}

/// The claim lasts until the run has ended for good, and the next slot waits for that.
#[test]
fn retry_of_a_scheduled_run_belongs_to_its_slot() {
    let failing = Pipeline::new("orders").failing("SOURCE_UNRESPONSIVE", "no answer");
    let env = Environment::new("schedule-retry", [failing]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let retry = template(json!({ "retry": { "limit": 1, "backoffSeconds": 1_800 } }));
    let slot = time.hourly("hourly", retry);
    time.clock.set(&env, slot + 1.second());
    time.look();
    let name = run_name("hourly", slot);
    env.wait_reason(&name, "RetryScheduled");
    let claims = status(&env, "hourly").claims;
    same("claims", claims.iter().map(|claim| claim.run_name.as_str()).collect::<Vec<_>>(), vec![name.as_str()]);
    env.sim.set_pipeline(quick()).unwrap();
    time.clock.forward(&env, SignedDuration::from_mins(31));
    env.change(&name, json!({ "metadata": { "annotations": { "test/look": "now" } } }));
    let ended = env.wait_phase(&name, Phase::Succeeded);
    same("attempt", ended.status.unwrap().attempt, Some(2));
    env.eventually("its result is shown", || status(&env, "hourly").last_successful_time.is_some());
    let shown = status(&env, "hourly");
    same("claims, failure, missed", (shown.claims.len(), shown.last_failed_time, shown.missed), (0, None, None));
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (1, 2));
}

#[test]
fn run_deleted_in_mid_run_is_shown_and_not_started_again() {
    let env = Environment::new("schedule-deleted", [Pipeline::new("orders").held()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let slot = time.hourly("hourly", json!({}));
    time.clock.set(&env, slot + 1.second());
    time.look();
    let name = run_name("hourly", slot);
    env.wait_phase(&name, Phase::Running);
    env.delete(&name);
    let last = || status(&env, "hourly").last_run.and_then(|run| run.reason);
    env.eventually("its deletion is shown", || last().as_deref() == Some("Deleted"));
    time.look();
    env.eventually("no claim is left", || status(&env, "hourly").claims.is_empty());
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (0, 1));
    env.sim.finish(&env.sim.executions()[0].id, Status::Successful).unwrap();
    env.sim.set_pipeline(quick()).unwrap();
    time.at(time.next("hourly"));
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (1, 2));
}

/// What a person must decide about blocks until the deadline of the run, and no longer.
#[test]
fn unresolved_run_blocks_until_its_deadline() {
    let env = Environment::new("schedule-unresolved", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    // The look of the account that comes first is over when a slot is due.
    env.wait_ready("default");
    let slot = time.hourly("hourly", template(json!({ "activeDeadlineSeconds": 5_400 })));
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::Drop { executed: false }));
    time.clock.set(&env, slot + 1.second());
    time.look();
    let unresolved = env.wait_phase(&run_name("hourly", slot), Phase::Unresolved);
    same("reason", reason(&unresolved), "TriggerOutcomeUnknown");
    env.sim.remove_fault(fault);
    let posts = env.sim.post_count();
    let next = slot + SignedDuration::from_hours(1);
    time.clock.set(&env, next + 1.second());
    time.look();
    env.eventually("it blocks", || ready(&env, "hourly") == "BlockedByRun");
    same("runs", runs(&env, "hourly").len(), 1);
    time.clock.set(&env, next + SignedDuration::from_mins(31));
    time.look();
    env.wait_phase(&run_name("hourly", next), Phase::Succeeded);
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (2, posts + 1));
    same("the other one is as it was", env.get(&run_name("hourly", slot)).status.unwrap().phase, Some(Phase::Unresolved));
}

/// Waits until the garbage collector knows our kinds: one that does not would not find the runs that a schedule leaves.
fn wait_collector(env: &Environment) {
    let schedule = create(env, "collected", &["0 0 1 1 *"], json!({ "suspend": true }));
    let owner =
        json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "collected", "uid": schedule.uid().unwrap() });
    env.start("collected", "orders", json!({ "suspend": true }));
    env.change("collected", json!({ "metadata": { "ownerReferences": [owner] } }));
    env.kubectl(&["delete", "nps", "collected", "--cascade=foreground"]).unwrap();
    env.eventually("its run is collected", || block_on(env.runs().get_opt("collected")).unwrap().is_none());
}

/// With the garbage collector of Kubernetes.
#[test]
fn schedule_deleted_with_orphans_leaves_its_runs_and_the_next_one_of_its_name_waits_for_them() {
    let options = Options { controller_manager: true, ..Options::default() };
    let server: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(options).unwrap()));
    install(server);
    let config = SimConfig { pipelines: vec![Pipeline::new("orders").held()], ..SimConfig::default() };
    let env = Environment::on(server, "schedule-orphan", config, |server, namespace, _| {
        server.service_account_kubeconfig(namespace, "nuvo-operator", &rbac::rules()).unwrap()
    });
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    wait_collector(&env);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let slot = time.hourly("hourly", json!({}));
    time.clock.set(&env, slot + 1.second());
    time.look();
    let name = run_name("hourly", slot);
    env.wait_phase(&name, Phase::Running);
    env.kubectl(&["delete", "nps", "hourly", "--cascade=orphan"]).unwrap();
    env.eventually("it has no owner", || env.get(&name).owner_references().is_empty());

    let next = time.hourly("hourly", json!({}));
    time.clock.set(&env, next + 1.second());
    time.look();
    env.eventually("the orphan blocks", || ready(&env, "hourly") == "BlockedByRun");
    same("POSTs", env.sim.post_count(), 1);
    env.sim.finish(&env.sim.executions()[0].id, Status::Successful).unwrap();
    env.wait_phase(&name, Phase::Succeeded);
    env.wait_phase(&run_name("hourly", next), Phase::Running);
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (2, 2));

    // Without orphans the runs go with it, and the execution goes on.
    env.kubectl(&["delete", "nps", "hourly"]).unwrap();
    env.eventually("its own run is collected", || {
        runs(&env, "hourly").iter().map(ResourceExt::name_any).collect::<Vec<_>>() == [name.clone()]
    });
    same("schedules", block_on(api(&env).get_opt("hourly")).unwrap().is_none(), true);
    same("POSTs", env.sim.post_count(), 2);
}

/// Each slot that a run of hours has kept is told.
#[test]
fn slots_that_a_long_run_has_kept_are_missed_one_by_one() {
    let env = Environment::new("schedule-kept", [Pipeline::new("orders").held()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let slot = time.hourly("hourly", json!({}));
    for hour in 0..3 {
        time.clock.set(&env, slot + SignedDuration::from_hours(hour) + 1.second());
        time.look();
        env.eventually("the slot is looked at", || {
            let shown = status(&env, "hourly");
            let wanted = (hour > 1).then_some((hour - 1, Some(MissedReason::StillRunning)));
            let is_blocked = ready(&env, "hourly") == "BlockedByRun";
            is_blocked == (hour > 0)
                && shown.last_schedule_time.is_some()
                && shown.missed.map(|missed| (missed.total, missed.last_reason)) == wanted
        });
    }
    same("runs", runs(&env, "hourly").len(), 1);
    env.eventually("the POST", || env.sim.post_count() == 1);
}
