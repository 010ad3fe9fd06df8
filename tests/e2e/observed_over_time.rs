//! Observed pipelines over hours, by a clock that is moved.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::NuvoPipelineStatus;
use nuvo_sim::{Identity, Pipeline, Seed, SimConfig, Spelling, Stats, Status, Trigger};
use serde_json::json;

use crate::{
    environment::{Environment, Operator, same},
    moved_clock::MovedClock,
    observed_pipelines::{PERIOD_SECONDS, executions, get, observe, wait_reason},
};

/// Berlin, whose clocks go back at 01:00 UTC of the last Sunday of October.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn status(env: &Environment) -> NuvoPipelineStatus {
    get(env, "orders").status.unwrap_or_default()
}

fn counted(operator: &Operator) -> f64 {
    executions(operator).iter().map(|(_, count)| count).sum()
}

/// Waits until a look that begins after this is complete: what was there before was seen.
fn wait_look(env: &Environment, operator: &Operator, clock: &MovedClock) {
    let since = clock.now().as_second() as f64;
    let began = || operator.metrics("nuvo_pipeline_observed_timestamp_seconds").into_values().fold(0.0, f64::max);
    env.eventually("a complete look", || began() > since);
}

#[test]
fn execution_of_three_hours_is_counted_once_across_restarts() {
    let hours = |hours: i64| SignedDuration::from_hours(hours);
    let load = Pipeline::new("orders").stats(Stats { total_rows: 40, ..Stats::default() }).duration(hours(3).unsigned_abs());
    let env = Environment::with("hours", SimConfig { pipelines: vec![load], ..SimConfig::default() });
    env.account_with("default", json!({ "observePeriodSeconds": PERIOD_SECONDS }));
    let clock = MovedClock::new(&env);
    let first = clock.operator(&env, &[]);
    observe(&env, "orders", json!({ "freshness": { "maxAgeSeconds": 4 * 3_600 } }));
    wait_reason(&env, "orders", "Ready", "Observed");
    let id = env.sim.start_by_itself("orders", Trigger::Scheduled, Identity::sub_org("load")).unwrap().remove(0);
    let begun = clock.now();
    let runs = || status(&env).running.iter().any(|running| running.id == id);
    env.eventually("it runs", runs);
    // The list of the account shows it no longer, so it is followed by its id.
    env.sim.seed_executions(&Seed::new("others").status(Status::Successful), 150);
    clock.forward(&env, SignedDuration::from_mins(90));
    env.sim.seed_executions(&Seed::new("others").status(Status::Successful), 150);
    wait_look(&env, &first, &clock);
    assert!(counted(&first) < 0.5, "counted while it runs");
    first.kill();

    let second = clock.operator(&env, &[]);
    wait_look(&env, &second, &clock);
    assert!(runs(), "{:?}", status(&env));
    assert!(counted(&second) < 0.5, "counted while it runs");
    clock.forward(&env, SignedDuration::from_mins(95));
    env.eventually("its end is counted", || counted(&second) > 0.5);
    env.eventually("its end is shown", || status(&env).last_success.is_some());
    let shown = status(&env);
    let ended = shown.last_success.unwrap();
    same("execution", (ended.id.as_str(), ended.trigger_type.as_deref()), (id.as_str(), Some("SCHEDULED")));
    let took = ended.ended_at.unwrap().0.duration_since(begun);
    assert!((took - hours(3)).abs() < SignedDuration::from_mins(1), "{took:#}");
    same("still running", shown.running.len(), 0);
    wait_look(&env, &second, &clock);
    let all = executions(&second);
    assert!(matches!(all.as_slice(), [(labels, 1.0)] if labels.contains("success") && labels.contains("SCHEDULED")), "{all:?}");
    same("rows", second.metrics("nuvo_pipeline_rows_total").into_values().sum::<f64>() as u64, 40);
    let hidden = |operator: &Operator| {
        ["late", "unread"].map(|kind| operator.metrics(&format!("nuvo_pipeline_{kind}_total")).into_values().sum::<f64>() as u64)
    };
    same("late, unread", hidden(&second), [0, 0]);
    second.kill();

    let third = clock.operator(&env, &[]);
    wait_look(&env, &third, &clock);
    assert!(counted(&third) < 0.5, "counted again");
    same("POSTs", env.sim.post_count(), 0);
}

/// An hour of local time comes twice, and nuvo's times do not say which one is meant.
#[test]
fn executions_of_the_hour_that_comes_twice_are_each_counted_once() {
    let env = Environment::with(
        "autumn",
        SimConfig { pipelines: vec![Pipeline::new("orders")], local_zone: BERLIN.to_owned(), ..SimConfig::default() },
    );
    env.account_with("default", json!({ "observePeriodSeconds": PERIOD_SECONDS }));
    let clock = MovedClock::new(&env);
    let utc = |time: &str| format!("2027-10-31T{time}Z").parse::<Timestamp>().unwrap();
    clock.set(&env, utc("00:50:00"));
    let operator = clock.operator(&env, &[]);
    observe(&env, "orders", json!({ "freshness": { "maxAgeSeconds": 3_600 } }));
    wait_reason(&env, "orders", "Ready", "Observed");
    let mut true_times = BTreeMap::new();
    // By the clock in Berlin: 02:52, 02:58, 02:03, 03:05.
    for time in ["00:52:00", "00:58:00", "01:03:00", "02:05:00"] {
        clock.set(&env, utc(time));
        wait_look(&env, &operator, &clock);
        let seed = Seed::new("orders").trigger(Trigger::Scheduled).status(Status::Successful).spelling(Spelling::Sample);
        true_times.insert(env.sim.seed_execution(seed).unwrap(), clock.now());
        env.eventually(&format!("that of {time} is counted"), || counted(&operator) > true_times.len() as f64 - 0.5);
        wait_reason(&env, "orders", "Fresh", "Fresh");
    }
    wait_look(&env, &operator, &clock);
    same("counted", counted(&operator) as usize, true_times.len());
    env.eventually("all are shown", || status(&env).recent.len() == true_times.len());
    for execution in status(&env).recent {
        let ended = execution.ended_at.unwrap().0;
        let off = ended.duration_since(true_times[&execution.id]);
        assert!(off.abs() < SignedDuration::from_mins(1), "{ended} is off by {off:#}, of {true_times:?}");
    }
    same("late", operator.metrics("nuvo_pipeline_late_total").into_values().sum::<f64>() as u64, 0);
    operator.kill();
    let again = clock.operator(&env, &[]);
    wait_look(&env, &again, &clock);
    assert!(counted(&again) < 0.5, "counted again");
    same("POSTs", env.sim.post_count(), 0);
}
