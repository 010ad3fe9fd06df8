//! Schedules when something goes wrong at a slot: processes that are killed, requests that come late, several operators, clocks that differ.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use controlplane::proxy::{Action, RequestInfo};
use k8s_openapi::jiff::{SignedDuration, Timestamp, ToSpan};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use nuvo_crds::{MissedReason, Phase, PipelineRun};
use nuvo_sim::{Operation, Pipeline, SimConfig};
use serde_json::json;

use crate::{
    environment::{Environment, WITHIN, block_on, reason, same},
    moved_clock::MovedClock,
    schedules::{api, create, daily, hourly, next_slot, operator, quick, ready, run_name, runs, status},
    schedules_over_time::{SIDE_BY_SIDE, Slots},
};

/// A write of a start, as the API server sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Write {
    Intent,
    Create,
    Claim,
}

impl Write {
    fn is(self, request: &RequestInfo) -> bool {
        let body = String::from_utf8_lossy(&request.body);
        let is_status = request.method == "PUT" && request.path.contains("/pipelineschedules/");
        match self {
            Self::Intent => is_status && body.contains("\"pending\":{"),
            Self::Create => request.method == "POST" && request.path.ends_with("/pipelineruns"),
            Self::Claim => is_status && body.contains("\"claims\":[{"),
        }
    }
}

/// What happens to the first request of this kind; the others pass.
fn first(clock: &MovedClock, write: Write, action: Action) {
    let seen = AtomicUsize::new(0);
    clock.proxy.set_rules(
        move |request| {
            if write.is(request) && seen.fetch_add(1, Ordering::Relaxed) == 0 { action.clone() } else { Action::Forward }
        },
    );
}

#[test]
fn operator_killed_before_or_after_a_write_of_a_start_leaves_one_run() {
    let env = Environment::new("schedule-killed", [quick()]);
    let clock = MovedClock::new(&env);
    let cases =
        [Write::Intent, Write::Create, Write::Claim].map(|write| [(write, Action::DropBeforeForward), (write, Action::ForwardThenDrop)]);
    for (number, (write, action)) in cases.into_iter().flatten().enumerate() {
        let what = format!("{write:?} {action:?}");
        let name = format!("hourly-{number}");
        let slot = next_slot(&clock);
        create(&env, &name, &[&hourly(slot)], json!({}));
        let before = operator(&env, &clock);
        env.eventually("it is seen", || ready(&env, &name) == "Scheduled");
        // The API server gives the schedule the real time as that of its creation, so what lies before is missed.
        let missed = status(&env, &name).missed;
        before.kill();
        clock.set(&env, slot + 1.second());
        first(&clock, write, action);
        let asked = clock.proxy.journal().len();
        let killed = clock.operator(&env, &[]);
        let is_it = |exchange: &controlplane::proxy::Exchange| exchange.request.seq >= asked && write.is(&exchange.request);
        assert!(clock.proxy.wait_for(is_it, WITHIN).is_some(), "{what}: {}", killed.0.log());
        killed.kill();
        clock.proxy.set_rules(|_| Action::Forward);
        let next = operator(&env, &clock);
        let run = run_name(&name, slot);
        env.wait_phase(&run, Phase::Succeeded);
        env.eventually("its result is shown", || status(&env, &name).last_run.and_then(|run| run.phase) == Some(Phase::Succeeded));
        let shown = status(&env, &name);
        same(&what, (runs(&env, &name).len(), shown.missed, shown.claims.len()), (1, missed, 0));
        same(&what, env.requests(Operation::Create), number + 1);
        // The ones before must not start in the hours to come.
        crate::schedules::edit(&env, &name, json!({ "suspend": true }));
        env.eventually("it is suspended", || ready(&env, &name) == "Suspended");
        next.kill();
    }
}

/// A leader that was stopped while it created the run, after another one has started the slot and the history limit has deleted that run.
#[test]
fn run_that_is_created_late_starts_nothing() {
    let env = Environment::new("schedule-late", [quick()]);
    let clock = MovedClock::new(&env);
    let slot = next_slot(&clock);
    create(&env, "hourly", &[&hourly(slot)], json!({ "successfulRunsHistoryLimit": 0 }));
    let before = operator(&env, &clock);
    env.eventually("it is seen", || ready(&env, "hourly") == "Scheduled");
    before.kill();
    clock.set(&env, slot + 1.second());
    first(&clock, Write::Create, Action::HoldBeforeForward);
    let stalled = clock.operator(&env, &[]);
    let held = clock.proxy.wait_for(|exchange| exchange.held && Write::Create.is(&exchange.request), WITHIN).unwrap();
    stalled.kill();
    let _next = operator(&env, &clock);
    env.eventually("the slot was started by the next one", || {
        status(&env, "hourly").last_run.and_then(|run| run.phase) == Some(Phase::Succeeded)
    });
    env.eventually("its run is deleted", || runs(&env, "hourly").is_empty());
    clock.proxy.release(held.request.seq);
    let late = env.wait_reason(&run_name("hourly", slot), "SlotNotClaimed");
    same("phase", late.status.unwrap().phase, Some(Phase::Failed));
    same("POSTs", env.sim.post_count(), 1);
    let shown = status(&env, "hourly");
    same("it counts for nothing", (shown.last_failed_time, shown.last_run.unwrap().phase), (None, Some(Phase::Succeeded)));
}

#[test]
fn several_operators_start_a_slot_once() {
    let env = Environment::new("schedule-several", [quick()]);
    let time = Slots::new(&env);
    let slot = next_slot(&time.clock);
    let names = [0, 1, 2, 3].map(|number| format!("hourly-{number}"));
    for name in &names {
        create(&env, name, &[&hourly(slot)], json!({}));
    }
    let _operators = [(); 3].map(|()| time.operator(SIDE_BY_SIDE));
    for name in &names {
        env.eventually("it is seen", || ready(&env, name) == "Scheduled");
    }
    time.clock.set(&env, slot + 1.second());
    time.look();
    // One after the other has its turn at the pipeline.
    for name in &names {
        env.eventually("it has started", || status(&env, name).last_schedule_time.is_some_and(|last| last.0 == slot));
    }
    for name in &names {
        env.wait_phase(&run_name(name, slot), Phase::Succeeded);
    }
    for name in &names {
        env.eventually("its result is shown", || status(&env, name).last_run.and_then(|run| run.phase) == Some(Phase::Succeeded));
        same("runs", runs(&env, name).len(), 1);
        same("missed", status(&env, name).missed, None);
    }
    same("POSTs", env.sim.post_count(), 4);
}

/// A local clock that is a year ahead of that of the API server; and then by so little that the one of the API server counts.
#[test]
fn operator_whose_clock_is_in_doubt_starts_nothing() {
    let env = Environment::new("schedule-ahead", [quick()]);
    let clock = controlplane::MovedClock::new(env.server.folder()).unwrap();
    clock.set(365 * 24 * 3_600).unwrap();
    create(&env, "hourly", &["* * * * *"], json!({}));
    let variables = clock.environment().map(|(name, path)| (name, path.to_str().unwrap()));
    let operator = env.operator_in(&variables, &env.kubeconfig, &[]);
    env.eventually("it says so", || ready(&env, "hourly") == "ClockInDoubt");
    let shown = status(&env, "hourly");
    same("nothing is decided", (shown.last_slot, shown.anchor, shown.missed), (None, None, None));
    same("exit code", operator.stop(), Some(0));
    same("POSTs", (env.requests(Operation::Create), runs(&env, "hourly").len()), (0, 0));

    clock.set(20).unwrap();
    let _operator = env.operator_in(&variables, &env.kubeconfig, &[]);
    env.eventually("it is scheduled", || ready(&env, "hourly") == "Scheduled");
    let next = status(&env, "hourly").next_schedule_time.unwrap().0;
    // Whatever has it looked at before the slot is due.
    env.eventually("a slot is near", || Timestamp::now() > next - 15.seconds());
    env.eventually("the minute is over", || {
        let look = Patch::Merge(json!({ "metadata": { "annotations": { "test/look": Timestamp::now().to_string() } } }));
        block_on(api(&env).patch("hourly", &PatchParams::default(), &look)).unwrap();
        Timestamp::now() > next
    });
    env.eventually("it has started", || !runs(&env, "hourly").is_empty());
    let run = runs(&env, "hourly").remove(0);
    let (created, slot) = (run.creation_timestamp().unwrap().0, run.annotations()["nuvo.dev/scheduled-at"].clone());
    assert!(created >= slot.parse().unwrap(), "created at {created} for the slot {slot}");
}

#[test]
fn account_that_is_away_for_days_leads_to_one_start() {
    let env = Environment::without_account("schedule-away", SimConfig { pipelines: vec![quick()], ..SimConfig::default() });
    let clock = MovedClock::new(&env);
    let first = next_slot(&clock);
    create(&env, "daily", &[&daily(first)], json!({}));
    let before = operator(&env, &clock);
    env.eventually("it is seen", || ready(&env, "daily") == "Scheduled");
    before.kill();
    for day in 0..3 {
        clock.set(&env, first + SignedDuration::from_hours(24 * day) + 1.second());
        let operator = operator(&env, &clock);
        env.eventually("the slot is looked at", || ready(&env, "daily") == if day == 0 { "Scheduled" } else { "BlockedByRun" });
        env.eventually("the run of the first day waits", || runs(&env, "daily").len() == 1);
        same("it waits", reason(&env.wait_reason(&run_name("daily", first), "AccountNotReady")), "AccountNotReady");
        operator.kill();
    }
    env.credential("nuvo-credentials", "demo-license-key");
    env.account("default");
    let _operator = operator(&env, &clock);
    env.wait_phase(&run_name("daily", first), Phase::Succeeded);
    let has_succeeded = |run: &PipelineRun| run.status.as_ref().and_then(|status| status.phase) == Some(Phase::Succeeded);
    env.eventually("a slot that still counts starts when the run before has ended", || {
        let runs = runs(&env, "daily");
        runs.len() == 2 && runs.iter().all(has_succeeded)
    });
    env.eventually("its result is shown", || status(&env, "daily").active_count == Some(0));
    let missed = status(&env, "daily").missed.unwrap();
    same("missed", (missed.total, missed.last_reason), (1, Some(MissedReason::StillRunning)));
    same("POSTs", env.sim.post_count(), 2);
    assert!(runs(&env, "daily").iter().all(|run| run.name_any().starts_with("daily-2")));
}

/// etcd was put back to an older revision: a person looks before anything starts.
#[test]
fn operator_that_is_held_starts_no_slot_and_resume_leaves_the_past_out() {
    let env = Environment::new("schedule-held", [quick()]);
    let clock = MovedClock::new(&env);
    let slot = next_slot(&clock);
    create(&env, "hourly", &[&hourly(slot)], json!({}));
    let before = operator(&env, &clock);
    env.eventually("it is seen", || ready(&env, "hourly") == "Scheduled");
    before.kill();
    clock.set(&env, slot + 1.second());
    let held = clock.operator(&env, &["--hold-schedules", "true"]);
    env.eventually("it is held", || ready(&env, "hourly") == "Suspended");
    crate::schedules::edit(&env, "hourly", json!({ "suspend": true }));
    env.eventually("the edit is seen", || status(&env, "hourly").observed_generation == Some(2));
    crate::schedules::edit(&env, "hourly", json!({ "suspend": false }));
    env.eventually("the edit is seen", || status(&env, "hourly").observed_generation == Some(3));
    held.kill();
    let _operator = operator(&env, &clock);
    env.eventually("it goes on", || ready(&env, "hourly") == "Scheduled");
    same("runs and POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (0, 0));
}

/// What is watched decides what may start: a run that is not watched would never be triggered.
#[test]
fn template_without_the_labels_of_the_operator_starts_nothing() {
    let env = Environment::new("schedule-selected", [quick()]);
    let clock = MovedClock::new(&env);
    create(&env, "other", &["* * * * *"], json!({}));
    let labels =
        json!({ "metadata": { "labels": { "team": "data" } }, "spec": { "pipelineId": "orders", "startDeadlineSeconds": 2_592_000 } });
    let slot = next_slot(&clock);
    create(&env, "selected", &[&hourly(slot)], json!({ "runTemplate": labels }));
    // The label of the schedule is one of those that its runs have.
    let flags = ["--label-selector", "team in (data,web),nuvo.dev/schedule"];
    let first = clock.operator(&env, &flags);
    env.eventually("it is not selected", || ready(&env, "other") == "NotSelected");
    env.eventually("it is scheduled", || ready(&env, "selected") == "Scheduled");
    first.kill();
    clock.set(&env, slot + 1.second());
    let _second = clock.operator(&env, &flags);
    env.eventually("its result is shown", || status(&env, "selected").last_run.and_then(|run| run.phase) == Some(Phase::Succeeded));
    same("runs", (runs(&env, "other").len(), env.sim.post_count()), (0, 1));
}

/// The result is shown before TTL may take the run.
#[test]
fn run_with_a_short_life_is_deleted_after_its_result_is_shown() {
    let env = Environment::new("schedule-ttl", [quick()]);
    let clock = MovedClock::new(&env);
    let template = json!({ "spec": { "pipelineId": "orders", "startDeadlineSeconds": 2_592_000, "ttlSecondsAfterFinished": 0 } });
    let slot = next_slot(&clock);
    create(&env, "hourly", &[&hourly(slot)], json!({ "runTemplate": template }));
    let before = operator(&env, &clock);
    env.eventually("it is seen", || ready(&env, "hourly") == "Scheduled");
    before.kill();
    clock.set(&env, slot + 1.second());
    let shows = |request: &RequestInfo| {
        let is_write = request.method == "PUT" && request.path.contains("/pipelineschedules/");
        is_write && String::from_utf8_lossy(&request.body).contains("\"phase\":\"Succeeded\"")
    };
    clock.proxy.set_rules(move |request| if shows(request) { Action::HoldBeforeForward } else { Action::Forward });
    let operator = operator(&env, &clock);
    assert!(clock.proxy.wait_for(|exchange| exchange.held && shows(&exchange.request), WITHIN).is_some());
    let passes = || operator.metric("nuvo_operator_reconciles_total{kind=\"PipelineRun\",result=\"ok\"}").unwrap_or_default();
    let so_far = passes();
    env.eventually("the run is looked at again", || passes() >= so_far + 2.0);
    same("runs", runs(&env, "hourly").len(), 1);
    clock.proxy.set_rules(|_| Action::Forward);
    clock.proxy.release_all();
    env.eventually("the run has come and gone", || {
        env.writes().iter().any(|write| write.verb == "delete" && write.resource == "pipelineruns")
    });
    let last = status(&env, "hourly").last_run.unwrap();
    same("result", (last.phase, last.reason.as_deref()), (Some(Phase::Succeeded), Some("Succeeded")));
    env.eventually("no claim is left", || status(&env, "hourly").claims.is_empty());
    same("POSTs", env.sim.post_count(), 1);
}

/// A backup is restored under a new uid: without the status, with it, and with a status that comes late. It has a run that is Pending.
#[test]
fn restore_from_a_backup_starts_nothing_of_the_past() {
    let env = Environment::new("schedule-restored", [quick()]);
    let clock = MovedClock::new(&env);
    let slot = next_slot(&clock);
    create(&env, "hourly", &[&hourly(slot)], json!({}));
    let before = operator(&env, &clock);
    env.eventually("it is seen", || ready(&env, "hourly") == "Scheduled");
    before.kill();
    clock.set(&env, slot + 1.second());
    let backed_up = operator(&env, &clock);
    env.eventually("its result is shown", || status(&env, "hourly").last_run.and_then(|run| run.phase) == Some(Phase::Succeeded));
    backed_up.kill();
    let old = env.raw("pipelineschedules", "hourly");
    let mut pending = env.raw("pipelineruns", &run_name("hourly", slot));
    let metadata = pending["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| ["name", "namespace", "labels", "annotations", "ownerReferences"].contains(&field.as_str()));
    metadata["annotations"].as_object_mut().unwrap().remove("nuvo.dev/trigger");
    pending.as_object_mut().unwrap().remove("status");
    let due = slot + SignedDuration::from_hours(3);
    let mut restored = old["status"].clone();
    restored["pending"] = json!({ "slot": due, "runName": run_name("hourly", due), "since": due });
    clock.set(&env, due + SignedDuration::from_mins(1));
    for (with_status, is_late) in [(false, false), (true, false), (true, true)] {
        let what = format!("with status {with_status}, late {is_late}");
        env.kubectl(&["delete", "nps,npr", "--all"]).unwrap();
        let uid = create(&env, "hourly", &[&hourly(slot)], json!({})).uid().unwrap();
        let set_status = || {
            let patch = Patch::Merge(json!({ "status": restored }));
            block_on(api(&env).patch_status("hourly", &PatchParams::default(), &patch)).unwrap();
        };
        if with_status && !is_late {
            set_status();
        }
        env.server.apply(&pending.to_string()).unwrap();
        let operator = operator(&env, &clock);
        let is_own = || status(&env, "hourly").anchor.is_some_and(|anchor| anchor.uid == uid);
        env.eventually("it begins anew", || is_own() && ready(&env, "hourly") == "Scheduled");
        if is_late {
            set_status();
            env.kubectl(&["annotate", "nps", "hourly", "restored=late"]).unwrap();
            env.eventually("it begins anew again", is_own);
        }
        env.wait_reason(&run_name("hourly", slot), "SlotNotClaimed");
        same(&what, (runs(&env, "hourly").len(), status(&env, "hourly").pending, env.requests(Operation::Create)), (1, None, 1));
        operator.kill();
    }
}

/// A slot that finds the pipeline running is no success.
#[test]
fn run_that_is_skipped_is_a_missed_slot_and_no_success() {
    let env = Environment::new("schedule-skipped", [Pipeline::new("orders").duration(Duration::from_secs(9 * 3_600))]);
    let clock = MovedClock::new(&env);
    let template = json!({ "spec": { "pipelineId": "orders", "startDeadlineSeconds": 2_592_000, "concurrencyPolicy": "Skip" } });
    let first = next_slot(&clock);
    create(&env, "hourly", &[&hourly(first)], json!({ "runTemplate": template }));
    let before = operator(&env, &clock);
    env.eventually("it is seen", || ready(&env, "hourly") == "Scheduled");
    env.start("by-hand", "orders", json!({}));
    env.wait_phase("by-hand", Phase::Running);
    before.kill();
    for hour in 0..3_i64 {
        clock.set(&env, first + SignedDuration::from_hours(hour) + 1.second());
        let operator = operator(&env, &clock);
        let missed = || status(&env, "hourly").missed.map(|missed| (missed.total, missed.last_reason));
        env.eventually("it is missed", || missed() == Some((hour + 1, Some(MissedReason::PipelineRunning))));
        let shown = status(&env, "hourly");
        same("no result", (shown.last_successful_time, shown.last_failed_time), (None, None));
        env.eventually("one of them is kept", || runs(&env, "hourly").len() == 1);
        operator.kill();
    }
    same("POSTs", env.requests(Operation::Create), 1);
}
