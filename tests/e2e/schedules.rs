//! Schedules: one run for each slot, whoever is killed or late, and nothing of the past.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp, ToSpan};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use nuvo_crds::{Phase, PipelineRun, PipelineSchedule, PipelineScheduleStatus, conditions};
use nuvo_sim::Pipeline;
use serde_json::{Value, json};

use crate::{
    environment::{Environment, admin, block_on, same},
    moved_clock::MovedClock,
};

pub fn quick() -> Pipeline {
    Pipeline::new("orders").duration(Duration::from_millis(300))
}

pub fn api(env: &Environment) -> Api<PipelineSchedule> {
    Api::namespaced(admin(env.server), &env.namespace)
}

/// Creates a schedule of this name with these lines, and more fields of its spec. The API server gives runs the real time as that of their
/// creation, so the time until the next slot would be over at once under a clock that was moved.
pub fn create(env: &Environment, name: &str, lines: &[&str], more: Value) -> PipelineSchedule {
    let mut spec = json!({ "schedules": lines, "runTemplate": { "spec": { "pipelineId": "orders", "startDeadlineSeconds": 2_592_000 } } });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let object = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "metadata": { "name": name }, "spec": spec });
    block_on(api(env).create(&PostParams::default(), &serde_json::from_value(object).unwrap())).unwrap()
}

pub fn edit(env: &Environment, name: &str, spec: Value) {
    block_on(api(env).patch(name, &PatchParams::default(), &Patch::Merge(&json!({ "spec": spec })))).unwrap();
}

pub fn status(env: &Environment, name: &str) -> PipelineScheduleStatus {
    block_on(api(env).get(name)).unwrap().status.unwrap_or_default()
}

pub fn ready(env: &Environment, name: &str) -> String {
    conditions::find(&status(env, name).conditions, conditions::READY).map(|ready| ready.reason.clone()).unwrap_or_default()
}

/// The runs of a schedule, by name.
pub fn runs(env: &Environment, name: &str) -> Vec<PipelineRun> {
    block_on(env.runs().list(&ListParams::default().labels(&format!("nuvo.dev/schedule={name}")))).unwrap().items
}

fn phases(env: &Environment, name: &str) -> Vec<Option<Phase>> {
    runs(env, name).iter().map(|run| run.status.as_ref().and_then(|status| status.phase)).collect()
}

/// The next whole hour by a clock, far enough away for what is done before it.
pub fn next_hour(clock: &MovedClock) -> Timestamp {
    let hour = clock.now().as_second() / 3_600 + 2;
    Timestamp::from_second(hour * 3_600).unwrap()
}

/// Moves the clock to a second before this time.
pub fn until(env: &Environment, clock: &MovedClock, time: Timestamp) {
    clock.set(env, time - 1.second());
}

#[test]
fn slot_starts_one_run_which_is_claimed_and_shown() {
    let env = Environment::new("schedule-slot", [quick()]);
    let clock = MovedClock::new(&env);
    let operator = clock.operator(&env, &[]);
    env.eventually("a leader", || operator.leads());
    create(&env, "hourly", &["0 * * * *"], json!({}));
    env.eventually("it is scheduled", || ready(&env, "hourly") == "Scheduled");
    let mut names = Vec::new();
    for number in 1..=2 {
        let slot = next_hour(&clock);
        until(&env, &clock, slot);
        env.eventually("it has started", || runs(&env, "hourly").len() == number);
        let name = format!("hourly-{}", slot.strftime("%Y%m%dt%H%M"));
        env.wait_phase(&name, Phase::Succeeded);
        env.eventually("its result is shown", || status(&env, "hourly").last_run.and_then(|run| run.phase) == Some(Phase::Succeeded));
        let shown = status(&env, "hourly");
        same("slots", (shown.last_slot.clone().unwrap().0, shown.last_schedule_time.clone().unwrap().0), (slot, slot));
        same("no claim is left", (shown.claims.len(), shown.pending.is_none(), shown.active_count), (0, true, Some(0)));
        same("next", shown.next_schedule_time.unwrap().0, slot + SignedDuration::from_hours(1));
        names.push(name);
    }
    same("names", runs(&env, "hourly").iter().map(ResourceExt::name_any).collect::<Vec<_>>(), names);
    same("POSTs", env.sim.post_count(), 2);
    let missed = status(&env, "hourly").missed.map_or(0, |missed| missed.total);
    // The clock was moved over one slot before each of the two.
    same("phases", (phases(&env, "hourly"), missed > 0), (vec![Some(Phase::Succeeded); 2], true));
    same("exit code", operator.stop(), Some(0));
}
