//! Many schedules that are due in the same minute.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, ToSpan};
use kube::api::ListParams;
use nuvo_crds::{MissedReason, PipelineScheduleStatus};
use nuvo_sim::{Operation, Pipeline};
use serde_json::json;

use crate::{
    environment::{Environment, block_on, same},
    schedules::{api, create, hourly, next_slot, status},
    schedules_over_time::{Slots, template},
};

const SCHEDULES: usize = 100;

/// Statuses of schedules written, runs created, runs deleted.
fn writes(env: &Environment) -> [usize; 3] {
    let writes = env.writes();
    [("pipelineschedules", "update"), ("pipelineruns", "create"), ("pipelineruns", "delete")]
        .map(|(resource, verb)| writes.iter().filter(|write| write.resource == resource && write.verb == verb && write.code < 300).count())
}

/// Every schedule starts one run, twice in a row.
#[test]
fn schedules_due_in_the_same_minute_all_start_and_cost_the_same_each() {
    let names: Vec<String> = (0..SCHEDULES).map(|number| format!("hourly-{number:04}")).collect();
    let pipelines: Vec<Pipeline> = names.iter().map(|name| Pipeline::new(name.as_str()).duration(Duration::from_millis(300))).collect();
    let env = Environment::new("schedule-many", pipelines);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let first = next_slot(&time.clock);
    for name in &names {
        let mut run = template(name);
        run["spec"]["startDeadlineSeconds"] = json!(2_592_000);
        let more = json!({ "startingDeadlineSeconds": 600, "successfulRunsHistoryLimit": 1, "runTemplate": run });
        create(&env, name, &[&hourly(first)], more);
    }
    // The more there are, the longer it takes.
    let wait_each = |what: &str, holds: &dyn Fn(&PipelineScheduleStatus) -> bool| {
        for part in (0..=SCHEDULES).step_by(10) {
            env.eventually(&format!("{part} {what}"), || {
                let all = block_on(api(&env).list(&ListParams::default())).unwrap();
                all.iter().filter(|schedule| schedule.status.as_ref().is_some_and(holds)).count() >= part
            });
        }
    };
    wait_each("are scheduled", &|status| status.next_schedule_time.is_some());
    for (number, slot) in [first, first + SignedDuration::from_hours(1)].into_iter().enumerate() {
        let before = writes(&env);
        env.sim.clear_journal();
        time.clock.set(&env, slot + 1.second());
        time.look();
        wait_each("have started and ended", &|status| {
            status.last_schedule_time.as_ref().is_some_and(|last| last.0 == slot)
                && status.last_run.as_ref().is_some_and(|run| run.phase.is_some())
                && status.claims.is_empty()
        });
        let journal = env.sim.journal();
        let posts: Vec<i64> =
            journal.iter().filter(|request| request.operation == Operation::Create).map(|request| request.at_ms).collect();
        same("POSTs", posts.len(), SCHEDULES);
        println!("{SCHEDULES} schedules: the last POST {} ms after the first", posts[posts.len() - 1] - posts[0]);
        let deleted = SCHEDULES * usize::from(number > 0);
        let cost = || {
            let after = writes(&env);
            [0, 1, 2].map(|kind| after[kind] - before[kind])
        };
        env.eventually("the history is short", || cost()[2] == deleted);
        same("S1, S3 and the result; S2; the history", cost(), [3 * SCHEDULES, SCHEDULES, deleted]);
    }
    for name in &names {
        let late = status(&env, name).missed.filter(|missed| missed.last_reason == Some(MissedReason::TooLate));
        same("missed", late, None);
    }
}
