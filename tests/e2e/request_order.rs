//! Which request of an account goes first, and what holds back only its own kind.

use std::time::{Duration, Instant};

use controlplane::{
    Proxy,
    proxy::{Action, Answer},
};
use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{Effect, Fault, Operation, Pipeline, Seed, SimConfig, Status};
use serde_json::json;

use crate::environment::{Environment, condition, message, same};

fn execution_of(env: &Environment, pipeline: &str) -> String {
    env.sim.executions().into_iter().find(|execution| execution.pipeline == pipeline).unwrap().id
}

/// Ends the execution of this pipeline in nuvo, and waits until the run of the same name shows it.
fn end(env: &Environment, pipeline: &str) {
    env.sim.finish(&execution_of(env, pipeline), Status::Successful).unwrap();
    env.wait_phase(pipeline, Phase::Succeeded);
}

#[test]
fn quota_of_triggers_delays_no_end() {
    let env = Environment::new("quota", [Pipeline::new("orders").held(), Pipeline::new("refused")]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::too_many_requests(120)).pipeline("refused"));
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Running);
    env.start("refused", "refused", json!({}));
    env.wait_reason("refused", "RateLimited");
    end(&env, "orders");
    same("POSTs while the quota is used up", env.sim.post_count_of("refused"), 1);
}

#[test]
fn read_that_ends_a_run_goes_before_new_triggers() {
    const RUNS: usize = 40;
    let names: Vec<String> = (0..RUNS).map(|number| format!("orders-{number}")).collect();
    let pipelines = names.iter().map(|name| Pipeline::new(name).duration(Duration::from_secs(1)));
    let env = Environment::with("small-budget", SimConfig { pipelines: pipelines.collect(), ..SimConfig::default() });
    env.account_with("default", json!({ "requestsPerSecond": 4 }));
    let _operator = env.operator();
    for name in &names {
        env.start(name, name, json!({}));
    }
    for name in &names {
        env.wait_phase(name, Phase::Succeeded);
    }
    let journal = env.sim.journal();
    let last_post = journal.iter().rposition(|request| request.operation == Operation::Create).unwrap();
    let reads_before = journal[..last_post].iter().filter(|request| request.operation == Operation::Read).count();
    same("POSTs", env.sim.post_count(), RUNS as u64);
    assert!(reads_before >= RUNS / 2, "{reads_before} of {RUNS} runs were read before the last trigger");
}

#[test]
fn runs_in_doubt_share_looks() {
    const RUNS: usize = 24;
    let names: Vec<String> = (0..RUNS).map(|number| format!("orders-{number}")).collect();
    let env = Environment::new("doubts", names.iter().map(|name| Pipeline::new(name).held()).collect::<Vec<_>>());
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING));
    let _operator = env.operator_with(&["--adoption-confirm-seconds", "1"]);
    for name in &names {
        env.start(name, name, json!({}));
    }
    for name in &names {
        env.wait_phase(name, Phase::Running);
    }
    let looks = env.looks_since_the_last_post();
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (RUNS as u64, RUNS as u64));
    assert!(looks < RUNS, "{looks} looks for {RUNS} runs");
}

#[test]
fn import_of_many_executions_delays_no_end() {
    const IMPORTS: usize = 150;
    let env = Environment::new("import", [Pipeline::new("orders").held(), Pipeline::new("old")]);
    env.account_with("default", json!({ "requestsPerSecond": 5 }));
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Running);
    for number in 0..IMPORTS {
        let seed = Seed::new("old").ago(Duration::from_secs(10_000)).status(Status::Successful);
        let id = env.sim.seed_execution(seed).unwrap();
        env.start(&format!("old-{number}"), "old", json!({ "executionId": id }));
    }
    env.wait_phase("old-0", Phase::Succeeded);
    end(&env, "orders");
    let left = IMPORTS - env.sim.journal().iter().filter(|request| request.operation == Operation::Read).count().min(IMPORTS);
    assert!(left > IMPORTS / 3, "the import is still going on: {left}");
}

#[test]
fn developer_mode_that_nuvo_does_not_tell_delays_no_end() {
    let env = Environment::new("mode", [Pipeline::new("orders").held().developer_mode(true)]);
    let hangs = env.sim.add_fault(Fault::on(Operation::Pipeline, Effect::HANG_BEFORE_EXECUTING));
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    env.eventually("the pipeline is asked about", || env.sim.fault_count(hangs) > 0 || env.requests(Operation::Pipeline) > 0);
    let ended = Instant::now();
    end(&env, "orders");
    // The question is given up after 5 s.
    assert!(ended.elapsed() < Duration::from_secs(5), "{:?}", ended.elapsed());
}

#[test]
fn developer_mode_is_asked_for_while_a_run_is_going_and_once_for_its_pipeline() {
    let env = Environment::new("mode-once", [Pipeline::new("orders").held().developer_mode(true)]);
    let _operator = env.operator();
    for name in ["first", "second"] {
        env.start(name, "orders", json!({}));
        env.wait_phase(name, Phase::Running);
        env.eventually("the pipeline was read", || env.requests(Operation::Pipeline) == 1);
        let running = env.sim.executions().into_iter().find(|execution| execution.status == Status::Processing).unwrap();
        env.sim.finish(&running.id, Status::Successful).unwrap();
        let run = env.wait_phase(name, Phase::Succeeded);
        assert!(condition(&run, "DeveloperMode").is_some(), "{run:#?}");
    }
    same("reads of the pipeline", env.requests(Operation::Pipeline), 1);
}

#[test]
fn run_whose_marker_is_refused_keeps_no_younger_run_of_its_pipeline_waiting() {
    let env = Environment::new("refused-marker", [Pipeline::new("orders").duration(Duration::from_millis(300))]);
    let proxy = Proxy::start(env.server).unwrap();
    let denied = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "admission webhook \"policy.example.com\" denied the request",
    });
    proxy.set_rules(move |request| {
        let marks = request.method == "PATCH" && request.path.ends_with("/pipelineruns/refused");
        if marks { Action::Respond(Answer::json(403, denied.to_string())) } else { Action::Forward }
    });
    let _operator = env.operator_through(&proxy, &[]);
    env.start("refused", "orders", json!({}));
    let shown = |run: &PipelineRun| message(run).contains("policy.example.com");
    env.wait("refused", "shows what refuses it", shown);
    for name in ["younger", "youngest"] {
        env.start(name, "orders", json!({}));
        env.wait_phase(name, Phase::Succeeded);
    }
    same("POSTs", env.sim.post_count(), 2);
    assert!(shown(&env.get("refused")), "it is still tried: {:#?}", env.get("refused").status);
}

#[test]
fn logins_of_many_accounts_keep_the_limit_of_their_server() {
    const ACCOUNTS: usize = 100;
    let env = Environment::without_account("logins", SimConfig { pipelines: vec![Pipeline::new("orders")], ..SimConfig::default() });
    env.credential("nuvo-credentials", "no-such-key");
    for number in 0..ACCOUNTS {
        env.account(&format!("account-{number}"));
    }
    let _operator = env.operator();
    env.eventually("each account has tried", || env.requests(Operation::Token) >= ACCOUNTS);
    let journal = env.sim.journal();
    let times: Vec<i64> = journal.iter().filter(|request| request.operation == Operation::Token).map(|request| request.at_ms).collect();
    let most = times.iter().map(|from| times.iter().filter(|at| (*from..from + 1_000).contains(*at)).count()).max();
    assert!(most <= Some(40), "{most:?} logins in one second");
}
