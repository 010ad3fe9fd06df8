//! Schedules: one run for each slot, whoever is killed or late, and nothing of the past.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp, ToSpan};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use nuvo_crds::{MissedReason, Phase, PipelineRun, PipelineSchedule, PipelineScheduleStatus, conditions};
use nuvo_sim::{Operation, Pipeline};
use serde_json::{Value, json};

use crate::{
    environment::{Environment, Operator, admin, block_on, same},
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

/// A minute that is half an hour away by this clock: no slot comes by itself while a test prepares, whatever the time of day.
pub fn next_slot(clock: &MovedClock) -> Timestamp {
    Timestamp::from_second((clock.now().as_second() / 60 + 30) * 60).unwrap()
}

/// A line that names this slot, and the same minute of each other hour.
pub fn hourly(slot: Timestamp) -> String {
    slot.strftime("%-M * * * *").to_string()
}

/// A line that names this slot, and the same time of each other day.
pub fn daily(slot: Timestamp) -> String {
    slot.strftime("%-M %-H * * *").to_string()
}

/// Moves the clock to a second before this time. A running operator notices within 30 s, one that is started afterwards at once.
pub fn until(env: &Environment, clock: &MovedClock, time: Timestamp) {
    clock.set(env, time - 1.second());
}

/// The name of the run of a slot.
pub fn run_name(schedule: &str, slot: Timestamp) -> String {
    format!("{schedule}-{}", slot.strftime("%Y%m%dt%H%M"))
}

/// An operator that leads.
pub fn operator(env: &Environment, clock: &MovedClock) -> Operator {
    let operator = clock.operator(env, &[]);
    env.eventually("a leader", || operator.leads());
    operator
}

fn last_phase(env: &Environment, name: &str) -> Option<Phase> {
    status(env, name).last_run.and_then(|run| run.phase)
}

/// How often the operators have written to schedules and to runs: statuses of schedules, runs created, runs deleted.
fn writes(env: &Environment) -> (usize, usize, usize) {
    let writes = env.writes();
    let count = |resource: &str, verb: &str| writes.iter().filter(|write| write.resource == resource && write.verb == verb).count();
    (count("pipelineschedules", "update"), count("pipelineruns", "create"), count("pipelineruns", "delete"))
}

#[test]
fn slot_starts_one_run_and_costs_three_writes_a_create_and_a_deletion() {
    let env = Environment::new("schedule-slot", [quick()]);
    let clock = MovedClock::new(&env);
    let operator = operator(&env, &clock);
    let mut slot = next_slot(&clock);
    create(&env, "hourly", &[&hourly(slot)], json!({ "successfulRunsHistoryLimit": 1 }));
    env.eventually("it is scheduled", || ready(&env, "hourly") == "Scheduled");
    for number in 1..=3_usize {
        let before = writes(&env);
        until(&env, &clock, slot);
        let name = run_name("hourly", slot);
        env.eventually("it has started", || status(&env, "hourly").last_schedule_time.is_some_and(|last| last.0 == slot));
        env.wait_phase(&name, Phase::Succeeded);
        env.eventually("its result is shown", || last_phase(&env, "hourly") == Some(Phase::Succeeded));
        env.eventually("the one before is deleted", || runs(&env, "hourly").len() == 1);
        let shown = status(&env, "hourly");
        same("slots", (shown.last_slot.clone().unwrap().0, shown.missed.is_none()), (slot, true));
        same("no claim is left", (shown.claims.len(), shown.pending.is_none(), shown.active_count), (0, true, Some(0)));
        same("next", shown.next_schedule_time.unwrap().0, slot + SignedDuration::from_hours(1));
        let after = writes(&env);
        let cost = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        same("S1, S3 and the result; S2; the history", cost, (3, 1, usize::from(number > 1)));
        same("POSTs", env.requests(Operation::Create), number);
        slot += SignedDuration::from_hours(1);
    }
    let started =
        "nuvo_schedule_slots_total{namespace=\"NS\",name=\"hourly\",result=\"started\",reason=\"\"}".replace("NS", &env.namespace);
    same("metric", operator.metric(&started), Some(3.0));
    same("lags", operator.metric("nuvo_operator_schedule_lag_seconds_count"), Some(3.0));

    // At rest: a look at the clock sends nothing.
    let (asked, written) = (clock.proxy.journal().len(), env.writes().len());
    clock.forward(&env, SignedDuration::from_mins(20));
    env.eventually("a look at the clock", || operator.0.log().matches("the clock has stepped").count() >= 4);
    let since = clock.proxy.journal().split_off(asked);
    let schedules: Vec<_> =
        since.iter().filter(|exchange| exchange.request.path.contains("pipelineschedules") && !exchange.request.is_watch()).collect();
    same("requests and writes", (schedules.len(), env.writes().len() - written), (0, 0));
    same("exit code", operator.stop(), Some(0));
}

/// kubernetes#130838, #63371, #65457 and #123220: what an edit, a resume or a new object must not do.
#[test]
fn edit_resume_and_new_object_start_no_slot_of_the_past() {
    let env = Environment::new("schedule-past", [quick()]);
    let clock = MovedClock::new(&env);
    let hourly = hourly(next_slot(&clock));
    let yearly = (clock.now() + SignedDuration::from_hours(180 * 24)).strftime("0 0 1 %-m *").to_string();
    create(&env, "suspended", &[&hourly], json!({ "suspend": true }));
    create(&env, "edited", &[&yearly], json!({}));
    create(&env, "old", &[&yearly, &hourly], json!({}));
    let first = operator(&env, &clock);
    env.eventually("all are seen", || ["Suspended", "Scheduled"] == [ready(&env, "suspended"), ready(&env, "edited")]);
    first.kill();
    clock.forward(&env, SignedDuration::from_hours(50));
    // A slot of the new lines was due a minute ago.
    let minute = clock.now() - 1.minute();
    let line = format!("{} {} * * *", minute.strftime("%-M"), minute.strftime("%-H"));
    edit(&env, "edited", json!({ "schedules": [line] }));
    edit(&env, "suspended", json!({ "suspend": false, "schedules": [line] }));
    create(&env, "new", &[&line], json!({}));
    edit(&env, "old", json!({ "schedules": [line], "timeZone": "Europe/Berlin" }));
    let second = operator(&env, &clock);
    for name in ["suspended", "edited", "new"] {
        env.eventually("it is seen", || ready(&env, name) == "Scheduled" && status(&env, name).anchor.is_some());
    }
    let missed = |name: &str| status(&env, name).missed.map(|missed| (missed.total, missed.last_reason));
    env.eventually("the slots of the old lines are counted", || missed("old").is_some_and(|missed| missed.0 >= 50));
    same("missed", missed("old").unwrap().1, Some(MissedReason::ScheduleChanged));
    same("none while suspended, none of the new lines", (missed("suspended"), missed("edited")), (None, None));
    same("runs", block_on(env.runs().list(&ListParams::default())).unwrap().items.len(), 0);
    same("exit code", second.stop(), Some(0));
}

#[test]
fn forbid_waits_for_the_run_before_and_allow_does_not() {
    let hours = Pipeline::new("orders").duration(Duration::from_secs(9 * 3_600));
    let env = Environment::new("schedule-forbid", [hours]);
    let clock = MovedClock::new(&env);
    let slot = next_slot(&clock);
    create(&env, "forbid", &[&hourly(slot)], json!({}));
    create(&env, "allow", &[&hourly(slot)], json!({ "concurrencyPolicy": "Allow" }));
    let _operator = operator(&env, &clock);
    env.eventually("both are seen", || ["forbid", "allow"].iter().all(|name| ready(&env, name) == "Scheduled"));
    until(&env, &clock, slot);
    env.eventually("both have started", || runs(&env, "forbid").len() == 1 && runs(&env, "allow").len() == 1);
    until(&env, &clock, slot + SignedDuration::from_hours(1));
    env.eventually("one has started again", || runs(&env, "allow").len() == 2);
    env.eventually("the other waits", || ready(&env, "forbid") == "BlockedByRun");
    until(&env, &clock, slot + SignedDuration::from_hours(2));
    env.eventually("the slot is missed", || {
        status(&env, "forbid").missed.is_some_and(|missed| missed.last_reason == Some(MissedReason::StillRunning))
    });
    same("runs", runs(&env, "forbid").len(), 1);
}

#[test]
fn name_that_is_taken_and_a_run_made_by_hand_are_told_apart_from_the_run_of_a_slot() {
    let env = Environment::new("schedule-taken", [quick()]);
    let clock = MovedClock::new(&env);
    let slot = next_slot(&clock);
    let name = run_name("hourly", slot);
    let schedule = create(&env, "hourly", &[&hourly(slot)], json!({}));
    env.start(&name, "orders", json!({ "suspend": true }));
    let first = operator(&env, &clock);
    env.eventually("it is seen", || ready(&env, "hourly") == "Scheduled");
    first.kill();
    until(&env, &clock, slot);
    let _second = operator(&env, &clock);
    env.eventually("the name is taken", || ready(&env, "hourly") == "NameTaken");
    assert!(env.wait_note("hourly", "NameTaken").contains("does not belong to this schedule"));
    env.delete(&name);
    env.wait_phase(&name, Phase::Succeeded);
    env.eventually("its result is shown", || last_phase(&env, "hourly") == Some(Phase::Succeeded));

    let by_hand: PipelineRun = serde_json::from_value(json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {
            "name": "hourly-now-1", "labels": { "nuvo.dev/schedule": "hourly" },
            "ownerReferences": [{
                "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule", "name": "hourly", "uid": schedule.uid().unwrap(), "controller": true,
                "blockOwnerDeletion": false,
            }],
        },
        "spec": { "pipelineId": "orders", "suspend": true },
    }))
    .unwrap();
    block_on(env.runs().create(&PostParams::default(), &by_hand)).unwrap();
    env.eventually("it counts", || status(&env, "hourly").active_count == Some(1));
    same("last slot", status(&env, "hourly").last_slot.unwrap().0, slot);
    env.change("hourly-now-1", json!({ "spec": { "suspend": false } }));
    env.wait_phase("hourly-now-1", Phase::Succeeded);
    env.eventually("it has ended", || status(&env, "hourly").active_count == Some(0));
    same("POSTs", env.sim.post_count(), 2);
}

/// Fixed times in the night in which the clocks change, in three zones.
#[test]
fn changes_of_the_clocks_neither_lose_nor_double_a_slot() {
    let env = Environment::new("schedule-dst", [quick()]);
    let clock = MovedClock::new(&env);
    let zones = [
        ("berlin", "30 2 * * *", "Europe/Berlin"),
        ("lord-howe", "45 1 * * *", "Australia/Lord_Howe"),
        ("santiago", "30 23 * * *", "America/Santiago"),
    ];
    for (name, line, zone) in zones {
        create(
            &env,
            name,
            &[line],
            json!({
                "timeZone": zone, "concurrencyPolicy": "Allow", "successfulRunsHistoryLimit": 100, "runTemplate": { "spec": { "pipelineId": "orders" } },
            }),
        );
    }
    // Before the change, at the slot, and in the hour that comes twice.
    clock.set(&env, "2027-03-27T12:00:00Z".parse().unwrap());
    let first = operator(&env, &clock);
    env.eventually("all are seen", || zones.iter().all(|(name, ..)| status(&env, name).anchor.is_some()));
    first.kill();
    let nights = [
        ("berlin", "2027-03-28T01:00:02Z", "berlin-20270328t0100"),
        ("lord-howe", "2027-04-03T14:45:02Z", "lord-howe-20270403t1445"),
        ("santiago", "2027-04-04T02:30:02Z", "santiago-20270404t0230"),
        ("berlin", "2027-10-31T00:30:02Z", "berlin-20271031t0030"),
    ];
    for (name, time, run) in nights {
        clock.set(&env, time.parse().unwrap());
        let operator = operator(&env, &clock);
        env.wait_phase(run, Phase::Succeeded);
        env.eventually("its result is shown", || last_phase(&env, name) == Some(Phase::Succeeded));
        operator.kill();
        // The same time on the wall, an hour or half an hour later.
        clock.forward(&env, SignedDuration::from_hours(1));
        let again = clock.operator(&env, &[]);
        env.eventually("a leader", || again.leads());
        env.eventually("a pass", || again.metric("nuvo_operator_reconciles_total{kind=\"PipelineSchedule\",result=\"ok\"}") >= Some(3.0));
        same("the newest slot", status(&env, name).last_run.unwrap().name, run.to_owned());
        again.kill();
    }
    let in_the_gap = runs(&env, "berlin").iter().filter(|run| run.name_any().contains("20270328")).count();
    same("runs of the night in which an hour is missing", in_the_gap, 1);
}
