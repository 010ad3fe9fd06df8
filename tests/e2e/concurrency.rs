//! `spec.concurrencyPolicy`: runs of a pipeline that is running already.

use std::time::Duration;

use nuvo_crds::Phase;
use nuvo_sim::{Effect, Fault, Operation, Pipeline, RecordedRequest, Seed, SimConfig, Status};
use serde_json::json;

use crate::environment::{Environment, assert_consistent, message, reason, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

fn held(id: &str) -> Pipeline {
    Pipeline::new(id).held()
}

fn queue() -> serde_json::Value {
    json!({ "concurrencyPolicy": "Queue" })
}

fn posts(env: &Environment) -> Vec<RecordedRequest> {
    env.sim.journal().into_iter().filter(|request| request.operation == Operation::Create).collect()
}

/// So many POSTs, none of which came before the execution of the one before it had ended, which took 300 ms or more.
fn assert_one_at_a_time(env: &Environment, count: usize) {
    let posts: Vec<i64> = posts(env).iter().map(|request| request.at_ms).collect();
    same("POSTs", posts.len(), count);
    assert!(posts.windows(2).all(|pair| pair[1] - pair[0] >= 300), "{posts:?}");
}

#[test]
fn queued_run_starts_after_the_execution_of_the_run_before_it() {
    let env = Environment::new("queue", [held("orders")]);
    let operator = env.operator();
    env.start("first", "orders", queue());
    env.wait_phase("first", Phase::Running);
    env.start("second", "orders", queue());
    let run = env.wait_reason("second", "PipelineRunning");
    assert_consistent(&run);
    let first = env.get("first").status.unwrap().current.execution_ids;
    assert!(message(&run).contains(&first[0]), "{}", message(&run));
    same("phase", run.status.unwrap().phase, Some(Phase::Pending));

    // The waiting run shares the looks of the one that is followed: it adds none of its own.
    let before = env.sim.journal().len();
    env.eventually("six looks at what is running", || env.sim.journal().len() >= before + 6);
    let meanwhile = env.sim.journal().split_off(before);
    assert!(meanwhile.iter().all(|request| request.operation == Operation::List), "{meanwhile:#?}");
    let from = meanwhile.first().map(|request| request.at_ms).unwrap_or_default();
    let took = meanwhile.last().map(|request| request.at_ms).unwrap_or_default() - from;
    assert!(took >= 1_500, "{} requests in {took} ms", meanwhile.len());
    same("POSTs", env.sim.post_count(), 1);

    env.sim.set_pipeline(quick("orders")).unwrap();
    env.sim.finish(&first[0], Status::Successful).unwrap();
    for name in ["first", "second"] {
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    }
    assert_one_at_a_time(&env, 2);
    drop(operator);
}

#[test]
fn queued_run_waits_for_an_execution_that_others_have_started() {
    let env = Environment::new("queue-foreign", [quick("orders"), held("other")]);
    let foreign = env.sim.seed_execution(Seed::new("orders").status(Status::Processing)).unwrap();
    env.sim.seed_execution(Seed::new("other").status(Status::Processing)).unwrap();
    let operator = env.operator();
    env.start("orders", "orders", queue());
    let run = env.wait_reason("orders", "PipelineRunning");
    assert!(message(&run).contains(&foreign), "{}", message(&run));
    same("exit code", operator.stop(), Some(0));
    let _operator = env.operator();
    env.eventually("looks after the restart", || env.sim.journal().len() > 8);
    same("POSTs", env.sim.post_count(), 0);
    env.sim.finish(&foreign, Status::Failed).unwrap();
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn queued_run_starts_at_once_where_nothing_runs() {
    let env = Environment::new("queue-free", [quick("orders")]);
    env.sim.seed_execution(Seed::new("orders").status(Status::Successful)).unwrap();
    let _operator = env.operator();
    env.start("first", "orders", queue());
    env.wait_phase("first", Phase::Succeeded);
    // Otherwise the second run may read the lock before the first has given it back, and has to begin again.
    let is_free = || env.all_leases().iter().all(|lock| lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none()));
    env.eventually("the lock is given back", is_free);
    env.sim.clear_journal();
    env.start("second", "orders", queue());
    env.wait_phase("second", Phase::Succeeded);
    let before_the_post = env.sim.journal();
    let end = before_the_post.iter().position(|request| request.operation == Operation::Create).unwrap();
    // What runs, the last execution by its id, and the look that every trigger needs.
    let operations: Vec<Operation> = before_the_post[..end].iter().map(|request| request.operation).collect();
    same("requests", operations, vec![Operation::List, Operation::Read, Operation::List]);
}

#[test]
fn backlog_of_queued_runs_never_overlaps() {
    let env = Environment::new("queue-backlog", [quick("orders")]);
    let operator = env.operator();
    env.wait_ready("default");
    same("exit code", operator.stop(), Some(0));
    for number in 0..5 {
        env.start(&format!("orders-{number}"), "orders", queue());
    }
    let _operator = env.operator();
    for number in 0..5 {
        env.wait_phase(&format!("orders-{number}"), Phase::Succeeded);
    }
    assert_one_at_a_time(&env, 5);
}

#[test]
fn backlog_with_a_start_deadline_starts_nothing_too_late() {
    let env = Environment::new("queue-late", [held("orders")]);
    let _operator = env.operator();
    env.start("first", "orders", queue());
    env.wait_phase("first", Phase::Running);
    for number in 0..4 {
        env.start(&format!("late-{number}"), "orders", json!({ "concurrencyPolicy": "Queue", "startDeadlineSeconds": 3 }));
    }
    for number in 0..4 {
        let run = env.wait_phase(&format!("late-{number}"), Phase::Failed);
        assert_consistent(&run);
        same("reason", reason(&run), "StartDeadlineExceeded");
    }
    let running = env.sim.executions()[0].id.clone();
    env.sim.finish(&running, Status::Successful).unwrap();
    env.wait_phase("first", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn run_that_allows_others_passes_one_that_waits() {
    let env = Environment::new("queue-allow", [held("orders")]);
    let _operator = env.operator();
    env.start("first", "orders", json!({}));
    env.wait_phase("first", Phase::Running);
    env.start("second", "orders", queue());
    env.wait_reason("second", "PipelineRunning");
    env.start("third", "orders", json!({}));
    env.wait_phase("third", Phase::Running);
    same("POSTs", env.sim.post_count(), 2);
    env.sim.set_pipeline(quick("orders")).unwrap();
    for execution in env.sim.executions() {
        same("the second one waits for both", reason(&env.get("second")), "PipelineRunning");
        env.sim.finish(&execution.id, Status::Successful).unwrap();
    }
    env.wait_phase("second", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 3);
}

#[test]
fn skipped_run_ends_as_succeeded_without_a_post_and_can_be_started_again() {
    let env = Environment::new("skip", [quick("orders")]);
    let foreign = env.sim.seed_execution(Seed::new("orders").status(Status::Processing)).unwrap();
    let operator = env.operator();
    env.start("orders", "orders", json!({ "concurrencyPolicy": "Skip" }));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("reason", reason(&run), "Skipped");
    assert!(message(&run).contains(&foreign), "{}", message(&run));
    same("POSTs", env.sim.post_count(), 0);
    same("proof", env.requests(Operation::Read), 1);
    env.eventually("an event", || env.events("orders").iter().any(|(_, reason, _)| reason == "Succeeded"));
    same("skipped", operator.metrics("nuvo_operator_runs_finished_total").keys().any(|labels| labels.contains("skip")), true);

    env.sim.finish(&foreign, Status::Successful).unwrap();
    env.change("orders", json!({ "spec": { "rerunToken": "again" } }));
    let run = env.wait("orders", "ended again", |run| reason(run) == "Succeeded");
    let status = run.status.unwrap();
    same("attempt and POSTs", (status.attempt, env.sim.post_count()), (Some(2), 1));
    same("history", status.history[0].result.as_deref(), Some("Skipped"));
}

#[test]
fn run_is_not_skipped_because_of_a_list_alone() {
    let env = Environment::new("skip-proof", [quick("orders")]);
    let foreign = env.sim.seed_execution(Seed::new("orders").status(Status::Processing)).unwrap();
    env.sim.add_fault(Fault::on(Operation::Read, Effect::status(500)));
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "concurrencyPolicy": "Skip" }));
    env.wait_reason("orders", "NuvoUnavailable");
    same("it is neither skipped nor triggered", (reason(&env.get("orders")), env.sim.post_count()), ("NuvoUnavailable", 0));
    env.sim.clear_faults();
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("reason", reason(&run), "Skipped");
    assert!(message(&run).contains(&foreign), "{}", message(&run));
}

/// A run that was renamed in Git: the first object is gone, and the second one finds its execution in the lock.
#[test]
fn queued_run_waits_for_the_execution_of_a_run_that_was_deleted() {
    let env = Environment::new("queue-renamed", [held("orders")]);
    let _operator = env.operator();
    env.start("old-name", "orders", json!({}));
    env.wait_phase("old-name", Phase::Running);
    let execution = env.sim.executions()[0].id.clone();
    env.delete("old-name");
    env.start("new-name", "orders", queue());
    let run = env.wait_reason("new-name", "PipelineRunning");
    assert!(message(&run).contains(&execution), "{}", message(&run));
    env.start("newest-name", "orders", json!({ "concurrencyPolicy": "Skip" }));
    same("reason", reason(&env.wait_phase("newest-name", Phase::Succeeded)), "Skipped");
    same("POSTs", env.sim.post_count(), 1);
    env.sim.set_pipeline(quick("orders")).unwrap();
    env.sim.finish(&execution, Status::Successful).unwrap();
    env.wait_phase("new-name", Phase::Succeeded);
    assert_one_at_a_time(&env, 2);
}

/// The lock knows what was started last, whatever nuvo lists.
#[test]
fn queued_run_waits_for_an_execution_that_no_list_shows_yet() {
    let config = SimConfig { pipelines: vec![held("orders")], list_lag: Duration::from_secs(600), ..SimConfig::default() };
    let env = Environment::with("queue-lag", config);
    let _operator = env.operator();
    env.start("first", "orders", json!({}));
    env.wait_phase("first", Phase::Running);
    env.start("second", "orders", queue());
    let run = env.wait_reason("second", "PipelineRunning");
    let execution = env.sim.executions()[0].id.clone();
    assert!(message(&run).contains(&execution), "{}", message(&run));
    env.start("third", "orders", json!({ "concurrencyPolicy": "Skip" }));
    same("reason", reason(&env.wait_phase("third", Phase::Succeeded)), "Skipped");
    same("POSTs while the execution goes on", posts(&env).len(), 1);
    env.sim.set_pipeline(quick("orders")).unwrap();
    env.sim.finish(&execution, Status::Successful).unwrap();
    env.wait_phase("second", Phase::Succeeded);
    same("POSTs", posts(&env).len(), 2);
}
