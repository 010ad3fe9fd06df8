//! From `kubectl apply` to a terminal status.

use std::{collections::BTreeMap, time::Duration};

use controlplane::{
    Proxy,
    proxy::{Action, RequestInfo},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{AccessToken, Effect, Ending, Fault, Identity, Operation, Pipeline, Seed, SimConfig, Spelling, Stats, Status};
use serde_json::json;

use crate::environment::{Environment, Operator, WITHIN, assert_consistent, message, reason, same, uid};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

#[test]
fn successful_run_shows_its_rows_in_each_spelling_of_the_api() {
    for spelling in [Spelling::Text, Spelling::Sample, Spelling::Seen] {
        let stats = Stats { total_rows: 1200, total_cells: 9600, total_error_cells: 3, total_error_rows: 2 };
        let env = Environment::new("success", [quick("orders").stats(stats).spelling(spelling)]);
        let operator = env.operator();
        env.start("orders", "orders", json!({}));
        let run = env.wait_phase("orders", Phase::Succeeded);
        assert_consistent(&run);
        let status = run.status.as_ref().unwrap();
        same("reason", reason(&run), "Succeeded");
        assert!(message(&run).contains("1200 rows"), "{}", message(&run));
        let total = status.current.stats.unwrap();
        same("rows", (total.total_rows, total.total_cells), (Some(1200), Some(9600)));
        same("errors", (total.total_error_rows, total.total_error_cells), (Some(2), Some(3)));
        same("error", status.current.error.clone(), None);
        same("ids", (status.current.execution_count, status.current.execution_ids.len(), status.current.executions.len()), (Some(1), 1, 1));
        let execution = &status.current.executions[0];
        same("status", execution.status.as_deref(), Some("SUCCESSFUL"));
        same("first pass", execution.runs[0].run_type.as_deref(), Some("CREATE"));
        assert!(execution.runs[0].start_time.is_some() && execution.created_at.is_some(), "{execution:?}");
        same("attempt", status.attempt, Some(1));
        assert!(status.series.start_time.is_some() && status.current.duration.is_some());
        same("POSTs", env.sim.post_count(), 1);
        let post = env.sim.journal().into_iter().find(|request| request.operation == Operation::Create).unwrap();
        let trigger = status.trigger.as_ref().unwrap();
        same("X-Request-Id", post.header("x-request-id"), Some(trigger.nonce.as_str()));
        assert!(post.header("user-agent").unwrap().starts_with("nuvo-operator/"));
        assert!(env.wait_note("orders", "Triggered").contains(&execution.id));
        assert!(env.wait_note("orders", "Succeeded").contains("1200 rows"));
        env.eventually("unlocked", || env.writes().iter().filter(|write| write.resource == "leases").count() == 2);
        let writes: Vec<String> = env
            .writes()
            .iter()
            .filter(|write| write.resource != "events" && write.resource != "nuvoaccounts")
            .map(|write| format!("{} {}/{}", write.verb, write.resource, write.subresource))
            .collect();
        let expected =
            ["create leases/", "patch pipelineruns/", "update pipelineruns/status", "update pipelineruns/status", "update leases/"];
        same("writes: lock, marker, accepted, end, unlock", writes, expected.map(str::to_owned).to_vec());
        assert_metrics_tell_what_happened(&env, &operator);
        same("exit code after SIGTERM", operator.stop(), Some(0));
    }
}

/// Compares the counters with the API server's audit log and the simulator's journal.
fn assert_metrics_tell_what_happened(env: &Environment, operator: &Operator) {
    env.eventually("as many writes as in the audit log", || operator.metrics("nuvo_operator_kube_writes_total") == env.written());
    for resource in ["leases", "pipelineruns", "pipelineruns/status", "nuvoaccounts/status", "events"] {
        let written = env.written();
        assert!(written.contains_key(&format!("{{resource=\"{resource}\"}}")), "{resource} is not in {written:?}");
    }
    let asked = || {
        let mut counts = BTreeMap::new();
        for request in env.sim.journal() {
            let operation = serde_json::to_value(request.operation).unwrap();
            let code = request.status().unwrap_or_default();
            *counts.entry(format!("{{operation={operation},code=\"{code}\"}}")).or_insert(0.0) += 1.0;
        }
        counts
    };
    env.eventually("as many requests as in the journal", || operator.metrics("nuvo_operator_nuvo_requests_total") == asked());
    let triggers: f64 = operator.metrics("nuvo_operator_triggers_total").values().sum();
    let posts = f64::from(u32::try_from(env.sim.post_count()).unwrap());
    same("triggers", (triggers, operator.metric("nuvo_operator_triggers_total{outcome=\"accepted\"}")), (posts, Some(posts)));
    same("ended", operator.metric("nuvo_operator_runs_finished_total{result=\"success\",error_type=\"\"}"), Some(1.0));
    let account = format!("nuvo_operator_account_ready{{namespace=\"{}\",account=\"default\"}}", env.namespace);
    same("account", operator.metric(&account), Some(1.0));
}

#[test]
fn invalid_run_or_change_of_an_immutable_field_is_refused_by_the_api_server() {
    let env = Environment::new("rules", [quick("orders")]);
    let refused = |args: &[&str], words: &str| {
        let error = env.kubectl(args).unwrap_err().to_string();
        assert!(error.contains(words), "{args:?}: {error}");
    };
    let manifest = env.server.folder().join(format!("{}-bad.yaml", env.namespace));
    let bad =
        "apiVersion: nuvo.dev/v1alpha1\nkind: PipelineRun\nmetadata: { name: bad }\nspec: { pipelineId: https://nuvo.example/orders }\n";
    std::fs::write(&manifest, bad).unwrap();
    refused(&["create", "-f", &manifest.display().to_string()], "write the pipeline's id as nuvo shows it, not its name or URL");
    env.start("triggers", "orders", json!({ "suspend": true }));
    env.start("follows", "orders", json!({ "executionId": "e-1" }));
    let patch = |name: &str, spec: serde_json::Value, words: &str| {
        let patch = json!({ "spec": spec }).to_string();
        refused(&["patch", "pipelineruns.nuvo.dev", name, "--type", "merge", "-p", &patch], words);
    };
    let fixed = "executionId cannot be set, changed or removed after creation: create a new PipelineRun instead";
    patch("triggers", json!({ "executionId": "e-1" }), fixed);
    patch("follows", json!({ "executionId": null }), fixed);
    patch("follows", json!({ "executionId": "e-2" }), fixed);
    patch("triggers", json!({ "pipelineId": "another" }), "pipelineId cannot be changed");
    same("unchanged", env.get("follows").spec.execution_id.as_deref(), Some("e-1"));
    same("unchanged", env.get("triggers").spec.execution_id, None);
}

#[test]
fn failed_run_shows_the_error_type_of_nuvo_verbatim() {
    let types = [
        "SOURCE_UNRESPONSIVE",
        "SOURCE_DATA_EMPTY",
        "PARSING_FAILURE",
        "DESTINATION_UNRESPONSIVE",
        "DESTINATION_SIZE_LIMIT",
        "WRITE_FILE_FAILURE",
        "ERROR_THRESHOLD_EXCEEDED",
        "A_TYPE_OF_TOMORROW",
    ];
    let pipelines: Vec<Pipeline> = types.iter().map(|kind| quick(kind).failing(*kind, format!("because of {kind}"))).collect();
    let env = Environment::new("errors", pipelines);
    let _operator = env.operator();
    let name = |kind: &str| kind.to_lowercase().replace('_', "-");
    for kind in types {
        env.start(&name(kind), kind, json!({}));
    }
    for kind in types {
        let run = env.wait_phase(&name(kind), Phase::Failed);
        assert_consistent(&run);
        same("reason", reason(&run), "ExecutionFailed");
        let error = run.status.as_ref().unwrap().current.error.clone().unwrap();
        same("type", error.error_type.as_deref(), Some(kind));
        same("message", error.message, Some(format!("because of {kind}")));
        assert!(message(&run).contains(kind) && message(&run).contains("rerunToken"), "{}", message(&run));
        same("POSTs", env.sim.post_count_of(kind), 1);
    }
}

#[test]
fn post_can_start_no_one_or_several_executions() {
    let stats = Stats { total_rows: 100, total_cells: 200, total_error_cells: 1, total_error_rows: 1 };
    let mixed = [Ending::Successful, Ending::Failed, Ending::Successful];
    let env = Environment::new(
        "files",
        [
            quick("none").files(0),
            quick("one"),
            quick("five").files(5).stats(stats),
            quick("mixed").files(3).failing("PARSING_FAILURE", "line 7").outcomes(mixed),
        ],
    );
    let _operator = env.operator();
    for pipeline in ["none", "one", "five", "mixed"] {
        env.start(pipeline, pipeline, json!({}));
    }
    env.start("none-fails", "none", json!({ "onNothingToProcess": "Fail" }));

    let none = env.wait_phase("none", Phase::Succeeded);
    same("nothing to process", (reason(&none), none.status.as_ref().unwrap().current.execution_count), ("NothingToProcess", Some(0)));
    let none = env.wait_phase("none-fails", Phase::Failed);
    same("nothing to process", reason(&none), "NothingToProcess");
    assert_consistent(&none);

    let five = env.wait_phase("five", Phase::Succeeded);
    let status = five.status.as_ref().unwrap();
    same(
        "executions",
        (status.current.execution_ids.len(), status.current.executions.len(), status.current.execution_count),
        (5, 5, Some(5)),
    );
    same("sum", status.current.stats.unwrap().total_rows, Some(500));

    let mixed = env.wait_phase("mixed", Phase::Failed);
    let status = mixed.status.as_ref().unwrap();
    same("failed first", status.current.executions[0].status.as_deref(), Some("FAILED"));
    same("others", status.current.executions.iter().filter(|execution| execution.status.as_deref() == Some("SUCCESSFUL")).count(), 2);
    same("error", status.current.error.clone().unwrap().error_type.as_deref(), Some("PARSING_FAILURE"));
    env.wait_phase("one", Phase::Succeeded);
    for (pipeline, posts) in [("none", 2), ("one", 1), ("five", 1), ("mixed", 1)] {
        same(pipeline, env.sim.post_count_of(pipeline), posts);
    }
}

#[test]
fn statistics_out_of_range_delay_no_end() {
    let largest = 9_007_199_254_740_991;
    let rows = |total_rows| Stats { total_rows, ..Stats::default() };
    let env = Environment::new("huge", [quick("many").files(2).stats(rows(largest)), quick("more").stats(rows(largest + 1))]);
    let _operator = env.operator();
    for pipeline in ["many", "more"] {
        env.start(pipeline, pipeline, json!({}));
    }
    let shown = |name: &str| env.wait_phase(name, Phase::Succeeded).status.unwrap().current.stats.unwrap().total_rows;
    same("a sum", shown("many"), Some(largest));
    same("a number that is too large", shown("more"), None);
}

#[test]
fn unknown_pipeline_is_rejected_after_one_post() {
    let env = Environment::new("unknown", [quick("known")]);
    let operator = env.operator();
    env.start("typo", "knwon", json!({}));
    let run = env.wait_phase("typo", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerRejected");
    assert!(message(&run).contains("404"), "{}", message(&run));
    operator.kill();
    let _operator = env.operator();
    env.start("fine", "known", json!({}));
    env.wait_phase("fine", Phase::Succeeded);
    same("POSTs for the unknown pipeline", env.sim.post_count_of("knwon"), 1);
}

/// An environment whose account is known to work.
fn ready(name: &str, pipelines: impl Into<Vec<Pipeline>>) -> (Environment, Operator) {
    let env = Environment::new(name, pipelines);
    let operator = env.operator();
    env.eventually("the account is ready", || {
        env.kubectl(&["wait", "--for=condition=Ready", "--timeout=1s", "nuvoaccount.nuvo.dev/default"]).is_ok()
    });
    (env, operator)
}

#[test]
fn rate_limit_on_trigger_or_list_is_shown_and_respected() {
    for (operation, posts) in [(Operation::Create, 2), (Operation::List, 1)] {
        let (env, _operator) = ready("limited", [quick("orders")]);
        let fault = env.sim.add_fault(Fault::on(operation, Effect::too_many_requests(3)).once());
        env.start("orders", "orders", json!({}));
        let run = env.wait_reason("orders", "RateLimited");
        assert_consistent(&run);
        same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Pending));
        assert!(message(&run).contains("rate"), "{}", message(&run));
        let refused = env.sim.journal().iter().find(|request| request.status() == Some(429)).unwrap().at_ms;
        let run = env.wait_phase("orders", Phase::Succeeded);
        assert_consistent(&run);
        same("attempt", run.status.unwrap().attempt, Some(1));
        same("POSTs", (env.sim.post_count(), env.sim.executed_count(), env.sim.fault_count(fault)), (posts, 1, 1));
        let next = env.sim.journal().iter().map(|request| request.at_ms).find(|at| *at > refused).unwrap();
        assert!(next - refused >= 3_000, "the next request came after {} ms", next - refused);
    }
}

#[test]
fn run_without_a_list_before_its_trigger_waits() {
    let (env, _operator) = ready("no-list", [quick("orders")]);
    let fault = env.sim.add_fault(Fault::on(Operation::List, Effect::status(503).header("retry-after", "3")).once());
    env.start("orders", "orders", json!({}));
    let run = env.wait_reason("orders", "NuvoUnavailable");
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Pending));
    assert!(message(&run).contains("503"), "{}", message(&run));
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count(), env.sim.fault_count(fault)), (1, 1, 1));
}

#[test]
fn trigger_with_refused_connection_is_sent_again() {
    let env = Environment::new("refused", [quick("orders")]);
    let proxy = Proxy::start(env.server).unwrap();
    let marks = |request: &RequestInfo| request.method == "PATCH" && request.path.contains("/pipelineruns/");
    proxy.set_rules(move |request| if marks(request) { Action::HoldBeforeForward } else { Action::Forward });
    let _operator = env.operator_through(&proxy, &["--fence-seconds", "30", "--quarantine-seconds", "40"]);
    env.start("orders", "orders", json!({}));
    assert!(proxy.wait_for(|exchange| marks(&exchange.request) && exchange.held, WITHIN).is_some());
    env.sim.go_offline().unwrap();
    proxy.set_rules(|_| Action::Forward);
    proxy.release_all();
    let run = env.wait_reason("orders", "NuvoUnavailable");
    assert_consistent(&run);
    assert!(message(&run).contains("Nothing was started"), "{}", message(&run));
    env.sim.go_online().unwrap();
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("attempt", run.status.unwrap().attempt, Some(1));
    same("POSTs that arrived", (env.sim.post_count(), env.sim.executed_count()), (1, 1));
}

#[test]
fn run_with_busy_pipeline_waits() {
    let env = Environment::new("busy", [quick("orders")]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = env.operator_with(&["--trigger-timeout-seconds", "50", "--quarantine-seconds", "60"]);
    env.start("first", "orders", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    env.start("second", "orders", json!({}));
    let run = env.wait_reason("second", "PipelineBusy");
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Pending));
    assert!(message(&run).contains("first"), "{}", message(&run));
    same("POSTs", env.sim.post_count(), 1);
    env.sim.release(fault);
    for name in ["first", "second"] {
        assert_consistent(&env.wait_phase(name, Phase::Succeeded));
    }
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (2, 2));
}

/// Each of many runs of one pipeline looks a few times whether it can go on, however many wait with it, and the oldest goes first.
#[test]
fn queued_runs_check_their_pipeline_a_few_times_each() {
    const RUNS: usize = 30;
    let env = Environment::new("queue", [quick("orders")]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let operator = env.operator_with(&["--trigger-timeout-seconds", "50", "--quarantine-seconds", "60"]);
    let start = |number: usize| env.start(&format!("run-{number:02}"), "orders", json!({}));
    let mut runs = vec![start(0)];
    assert!(env.sim.fault_reached(fault, WITHIN));
    runs.extend((1..RUNS).map(start));
    env.wait_reason("run-29", "PipelineBusy");
    env.sim.release(fault);
    // The age of an object is known to the second.
    runs[1..].sort_by_key(|run| (run.metadata.creation_timestamp.as_ref().unwrap().0, uid(run)));
    let first = |run: &PipelineRun| env.wait_phase(&run.name_any(), Phase::Succeeded).status.unwrap().current.execution_ids[0].clone();
    let ids: Vec<String> = runs.iter().map(first).collect();
    let made: Vec<String> = env.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("in the order of their age", ids, made);
    same("POSTs", env.sim.post_count(), RUNS as u64);
    let log = operator.0.log();
    let holds = log.lines().filter(|line| line.contains("act=\"wait\"")).count();
    println!("{RUNS} runs of one pipeline: {holds} looks that came to nothing");
    assert!((RUNS..=RUNS * 6).contains(&holds), "{holds} looks that came to nothing");
}

#[test]
fn run_with_execution_id_is_followed_and_triggers_nothing() {
    let env = Environment::new("existing", [quick("orders")]);
    let id = env.sim.seed_execution(Seed::new("orders")).unwrap();
    let other = env.sim.seed_execution(Seed::new("another")).unwrap();
    let _operator = env.operator();
    env.start("mine", "orders", json!({ "executionId": id }));
    env.start("foreign", "orders", json!({ "executionId": other }));
    env.start("missing", "orders", json!({ "executionId": "there-is-no-such-execution" }));
    let run = env.wait("mine", "running", |run| message(run) == format!("Execution {id} is running."));
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Running));
    env.sim.finish(&id, Status::Successful).unwrap();
    let run = env.wait_phase("mine", Phase::Succeeded);
    assert_consistent(&run);
    let trigger = run.status.as_ref().unwrap().trigger.clone().unwrap();
    same("trigger", serde_json::to_value(&trigger).unwrap()["state"].clone(), json!("Observed"));
    same("reason", reason(&env.wait_phase("foreign", Phase::Failed)), "InvalidSpec");
    same("reason", reason(&env.wait_phase("missing", Phase::Failed)), "ExecutionLost");
    same("POSTs", env.sim.post_count(), 0);
}

#[test]
fn run_recreated_with_execution_id_follows_the_same_execution() {
    let env = Environment::new("replaced", [quick("orders")]);
    let id = env.sim.seed_execution(Seed::new("orders")).unwrap();
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "executionId": id }));
    env.wait("orders", "running", |run| message(run) == format!("Execution {id} is running."));
    env.delete("orders");
    let second = env.start("orders", "orders", json!({ "executionId": id }));
    env.wait("orders", "running", |run| message(run) == format!("Execution {id} is running."));
    env.sim.finish(&id, Status::Successful).unwrap();
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("uid", uid(&run), uid(&second));
    same("POSTs", env.sim.post_count(), 0);
}

#[test]
fn execution_not_yet_read_is_not_shown_as_running() {
    let env = Environment::new("unheard", [quick("orders")]);
    let id = env.sim.seed_execution(Seed::new("orders")).unwrap();
    let _operator = env.operator();
    env.wait_ready("default");
    let silent = [Operation::List, Operation::Read].map(|operation| env.sim.add_fault(Fault::on(operation, Effect::status(500))));
    env.start("orders", "orders", json!({ "executionId": id }));
    let run = env.wait_phase("orders", Phase::Running);
    assert_consistent(&run);
    same("message", message(&run), format!("Execution {id} is being looked up in nuvo.").as_str());
    assert!(env.sim.fault_reached(silent[0], WITHIN), "nuvo was asked");
    same("message", message(&env.get("orders")), format!("Execution {id} is being looked up in nuvo.").as_str());
    env.sim.clear_faults();
    let run = env.wait("orders", "running", |run| message(run) == format!("Execution {id} is running."));
    assert_consistent(&run);
    same("nuvo's word", run.status.as_ref().unwrap().current.executions[0].status.as_deref(), Some("PROCESSING"));
    same("POSTs", env.sim.post_count(), 0);
}

#[test]
fn suspend_holds_the_trigger_and_nothing_else() {
    let env = Environment::new("suspend", [quick("orders").held()]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "suspend": true }));
    let run = env.wait_phase("orders", Phase::Suspended);
    assert_consistent(&run);
    same("POSTs", env.sim.post_count(), 0);
    env.change("orders", json!({ "spec": { "suspend": false } }));
    env.wait_phase("orders", Phase::Running);
    env.change("orders", json!({ "spec": { "suspend": true } }));
    let id = env.sim.executions()[0].id.clone();
    env.sim.finish(&id, Status::Successful).unwrap();
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn deadline_exceeded_says_that_nuvo_was_not_stopped() {
    let env = Environment::new("deadline", [quick("slow").held()]);
    let _operator = env.operator();
    env.start("slow", "slow", json!({ "activeDeadlineSeconds": 2 }));
    let run = env.wait_phase("slow", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "DeadlineExceeded");
    assert!(message(&run).contains("2 s") && message(&run).contains("cannot cancel"), "{}", message(&run));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn deadline_passed_while_the_operator_was_down_does_not_hide_the_result() {
    let env = Environment::new("absent", [quick("orders").held()]);
    let operator = env.operator();
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Running);
    operator.kill();
    env.sim.finish(&run.status.as_ref().unwrap().current.execution_ids[0], Status::Successful).unwrap();
    env.change("orders", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let started = run.status.as_ref().unwrap().series.start_time.as_ref().unwrap().0;
    env.eventually("past the deadline", || Timestamp::now().duration_since(started).as_secs() > 2);
    let _operator = env.operator();
    let run = env.wait("orders", "ended", |run| run.status.as_ref().unwrap().current.completion_time.is_some());
    assert_consistent(&run);
    same("reason", reason(&run), "Succeeded");
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn deadline_exceeded_with_unavailable_nuvo_ends_the_run_and_says_so() {
    let env = Environment::new("silent", [quick("orders").held()]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Running);
    for operation in [Operation::List, Operation::Read] {
        env.sim.add_fault(Fault::on(operation, Effect::status(500)));
    }
    env.change("orders", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let run = env.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "DeadlineExceeded");
    assert!(message(&run).contains("could not be asked for 4 s"), "{}", message(&run));
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn new_rerun_token_on_an_ended_run_starts_an_attempt_and_keeps_the_history() {
    let env = Environment::new("rerun", [quick("orders").failing("SOURCE_UNRESPONSIVE", "no route")]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "rerunToken": "first" }));
    let run = env.wait_phase("orders", Phase::Failed);
    let first = run.status.as_ref().unwrap().current.execution_ids[0].clone();
    env.change("orders", json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "activeDeadlineSeconds": 100 } }));
    let run = env.wait("orders", "observed", |run| run.status.as_ref().unwrap().observed_generation == run.metadata.generation);
    assert_consistent(&run);
    same("an edit of something else triggers nothing", env.sim.post_count(), 1);

    env.sim.set_pipeline(quick("orders")).unwrap();
    env.change("orders", json!({ "spec": { "rerunToken": "second" } }));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    same("attempt", (status.attempt, status.series.rerun_token.as_deref()), (Some(2), Some("second")));
    same("error", status.current.error.clone(), None);
    let past = &status.history[0];
    same(
        "history",
        (past.attempt, past.result.as_deref(), past.error_type.as_deref()),
        (1, Some("ExecutionFailed"), Some("SOURCE_UNRESPONSIVE")),
    );
    same("ids of the first attempt", past.execution_ids.clone(), vec![first.clone()]);
    assert_ne!(status.current.execution_ids[0], first);
    same("POSTs", env.sim.post_count(), 2);
    env.wait_note("orders", "Succeeded");
    let notes = |wanted: &str| {
        let events = env.events("orders").into_iter().filter(|(_, reason, _)| reason == wanted);
        events.map(|(_, _, note)| note).collect::<Vec<String>>()
    };
    let triggered = notes("Triggered");
    same("one event for each trigger", triggered.len(), 2);
    for id in [&first, &status.current.execution_ids[0]] {
        assert!(triggered.iter().any(|note| note.contains(id)), "{id} is not in {triggered:?}");
    }
    same("failures", notes("Failed").len(), 1);
    assert!(notes("Failed")[0].contains("no route"), "{:?}", notes("Failed"));
}

#[test]
fn deleted_run_is_gone_at_once_and_its_name_is_free() {
    let env = Environment::new("delete", [quick("orders").held()]);
    let _operator = env.operator();
    let first = env.start("orders", "orders", json!({}));
    env.wait_phase("orders", Phase::Running);
    env.delete("orders");
    env.eventually("gone while its execution goes on", || env.kubectl(&["get", "pipelinerun.nuvo.dev/orders"]).is_err());
    env.sim.set_pipeline(quick("orders")).unwrap();
    let second = env.start("orders", "orders", json!({}));
    assert_ne!(uid(&first), uid(&second));
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("uid", uid(&run), uid(&second));
    same("POSTs", env.sim.post_count(), 2);
    let shown = run.status.as_ref().unwrap().current.execution_ids.clone();
    assert!(env.sim.executions().iter().any(|execution| execution.id != shown[0]), "two executions, and the second is shown");
}

#[test]
fn deleted_run_with_a_finalizer_is_followed_until_it_is_gone() {
    let env = Environment::new("finalizer", [quick("orders").held()]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Running);
    env.change("orders", json!({ "metadata": { "finalizers": ["example.com/keep"] } }));
    env.delete("orders");
    env.wait("orders", "being deleted", |run| run.metadata.deletion_timestamp.is_some());
    env.sim.finish(&run.status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    env.change("orders", json!({ "metadata": { "finalizers": null } }));
    env.eventually("gone", || env.kubectl(&["get", "pipelinerun.nuvo.dev/orders"]).is_err());
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn kubectl_shows_columns_and_waits_for_conditions() {
    let stats = Stats { total_rows: 12, total_cells: 24, total_error_cells: 1, total_error_rows: 1 };
    let env = Environment::new("columns", [quick("orders").stats(stats), quick("bad").failing("PARSING_FAILURE", "line 7").stats(stats)]);
    let _operator = env.operator();
    let run = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "orders" }, "spec": { "pipelineId": "orders" },
    });
    let file = env.kubeconfig.with_file_name(format!("{}-orders.json", env.namespace));
    std::fs::write(&file, run.to_string()).unwrap();
    env.kubectl(&["apply", "--filename", file.to_str().unwrap()]).unwrap();
    env.start("bad", "bad", json!({}));
    env.kubectl(&["wait", "--for=condition=Succeeded", "--timeout=60s", "pipelinerun.nuvo.dev/orders"]).unwrap();
    env.kubectl(&["wait", "--for=condition=Finished", "--timeout=60s", "pipelinerun.nuvo.dev/bad"]).unwrap();
    env.kubectl(&["wait", "--for=jsonpath={.status.completionTime}", "--timeout=60s", "pipelinerun.nuvo.dev/bad"]).unwrap();
    let table = env.kubectl(&["get", "pipelineruns.nuvo.dev", "-o", "wide"]).unwrap();
    let header: Vec<&str> = table.lines().next().unwrap().split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    let expected = [
        "NAME",
        "PIPELINE",
        "STATUS",
        "ERROR",
        "ROWS",
        "ERROR ROWS",
        "DURATION",
        "REASON",
        "EXECUTIONS",
        "EXECUTION",
        "ACCOUNT",
        "ATTEMPT",
        "AGE",
    ];
    same("columns", header, expected.to_vec());
    let row =
        |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    same("bad", row("bad")[1..6].to_vec(), ["bad", "Failed", "PARSING_FAILURE", "12", "1"].map(str::to_owned).to_vec());
    assert!(row("orders").contains(&"Succeeded".to_owned()), "{table}");
    let kept = env.get("orders").metadata.annotations.unwrap_or_default();
    assert!(kept.contains_key("kubectl.kubernetes.io/last-applied-configuration"), "what kubectl keeps for itself is there: {kept:?}");
    let running = env.kubectl(&["get", "npr", "--field-selector", "status.phase=Failed", "-o", "name"]).unwrap();
    same("selected by phase", running.trim(), "pipelinerun.nuvo.dev/bad");
}

/// The commands of docs/gitops.md, to the letter: for a run that succeeds, and for one that does not.
#[test]
fn kubectl_recipes_of_the_gitops_page_work() {
    let env = Environment::new("recipes", [quick("orders"), quick("bad").failing("PARSING_FAILURE", "line 7")]);
    let _operator = env.operator();
    let page = include_str!("../../docs/gitops.md");
    let section = page.split_once("\n## kubectl\n").unwrap().1.split_once("\n## ").unwrap().0;
    let commands = section.lines().filter_map(|line| line.trim_start_matches("$ ").trim().strip_prefix("kubectl "));
    // Without its comment, and without what joins it to the next command.
    let bare = |command: &str| command.split("   ").next().unwrap().trim_end_matches(" &&").replace('\'', "");
    let commands: Vec<String> = commands.map(bare).collect();
    same("commands", commands.len(), 7);
    for (name, ends_well) in [("orders", true), ("bad", false)] {
        env.start(name, name, json!({}));
        env.wait(name, "ended", |run| run.status.as_ref().is_some_and(|status| status.current.completion_time.is_some()));
        for command in &commands {
            let command = command.replace("run.nuvo.dev/orders", &format!("run.nuvo.dev/{name}"));
            let waits_for_success = command.contains("condition=Succeeded");
            // What would come only at the end of its hour.
            let command = if waits_for_success && !ends_well { command.replace("1h", "1s") } else { command };
            let args: Vec<&str> = command.split(' ').collect();
            let outcome = env.kubectl(&args);
            same(&format!("{name}: {command}: {outcome:?}"), outcome.is_ok(), ends_well || !waits_for_success);
            if command.contains("type==") {
                same(&command, outcome.unwrap().as_str(), if ends_well { "True" } else { "False" });
            }
        }
    }
}

/// Writes up to and including the final status: of the run itself, and of its pipeline's lock. The lock is given back after that.
#[test]
fn run_costs_at_most_five_writes_and_two_events_and_none_when_idle() {
    let clock = Pipeline::new("clock").duration(Duration::from_secs(3));
    let env = Environment::new("writes", [quick("good"), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("busy"), clock]);
    env.sim.set_access_tokens(vec![AccessToken::new("a-made-token", Identity::user("clock@example.com"))]);
    env.credential("token", "a-made-token");
    let token = json!({ "secretRef": { "name": "token", "key": "license-key" } });
    env.account_with("other", json!({ "licenseKey": null, "accessToken": token }));
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let operator = env.operator_with(&["--trigger-timeout-seconds", "50", "--quarantine-seconds", "60"]);
    env.start("first", "busy", json!({}));
    assert!(env.sim.fault_reached(fault, WITHIN));
    env.start("second", "busy", json!({}));
    for pipeline in ["good", "bad"] {
        env.start(pipeline, pipeline, json!({}));
    }
    env.wait_reason("second", "PipelineBusy");
    env.sim.release(fault);
    for (name, end) in [("good", Phase::Succeeded), ("bad", Phase::Failed), ("first", Phase::Succeeded), ("second", Phase::Succeeded)] {
        env.wait_phase(name, end);
    }
    let free = || env.all_leases().iter().all(|lock| lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none()));
    env.eventually("unlocked", || env.all_leases().len() == 3 && free());
    let of = |resource: &str, name: &str| env.writes().iter().filter(|write| write.resource == resource && write.name == name).count();
    // Marker, accepted, end; the one that waits says so.
    for (name, wanted) in [("good", 3), ("bad", 3), ("first", 3), ("second", 4)] {
        same(name, of("pipelineruns", name), wanted);
        env.eventually("two events", || env.events(name).len() == 2);
    }
    // One to take each lock and one to give it back, if the next run has not taken it over.
    let locks: Vec<usize> = env.all_leases().iter().map(|lock| of("leases", &lock.name_any())).collect();
    assert!(locks.iter().all(|writes| (2..=4).contains(writes)) && locks.iter().filter(|writes| **writes == 2).count() >= 2, "{locks:?}");
    let events = env.writes().iter().filter(|write| write.resource == "events").count();
    same("writes of events", events, 8);
    // Another run, of another account, shows that time has passed.
    let locks: Vec<String> = env.all_leases().iter().map(ResourceExt::name_any).collect();
    let all = || {
        let names = ["good", "bad", "first", "second"];
        let writes: usize = names.iter().map(|name| of("pipelineruns", name) + env.events(name).len()).sum();
        let unlocks: usize = locks.iter().map(|lock| of("leases", lock)).sum();
        let journal = env.sim.journal();
        let asked = journal.iter().filter(|request| request.identity.as_ref().is_some_and(|who| who.identifier == "demo@example.com"));
        (writes, unlocks, asked.count())
    };
    let before = all();
    env.start("clock", "clock", json!({ "accountRef": { "name": "other" } }));
    env.wait_phase("clock", Phase::Succeeded);
    same("writes and requests at rest", all(), before);
    env.eventually("two events", || env.events("clock").len() == 2);
    env.eventually("unlocked", free);
    same("as counted", operator.metrics("nuvo_operator_kube_writes_total"), env.written());
}

#[test]
fn ended_run_costs_nothing_also_after_restart() {
    let env = Environment::new("rest", [quick("orders"), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("last")]);
    let operator = env.operator();
    for pipeline in ["orders", "bad"] {
        env.start(pipeline, pipeline, json!({}));
    }
    env.wait_phase("orders", Phase::Succeeded);
    env.wait_phase("bad", Phase::Failed);
    env.eventually("unlocked", || env.writes().iter().filter(|write| write.resource == "leases").count() == 4);
    let versions = || [env.get("orders"), env.get("bad")].map(|run| run.metadata.resource_version);
    let (before, requests) = (versions(), |operation| env.requests(operation));
    let (reads, lists) = (requests(Operation::Read), requests(Operation::List));
    let leases = env.writes().iter().filter(|write| write.resource == "leases").count();
    operator.stop();
    let _operator = env.operator();
    // Something that is processed after everything else shows that the operator had its chance.
    env.start("last", "last", json!({}));
    let last = env.wait_phase("last", Phase::Succeeded);
    same("versions of the ended runs", versions(), before);
    let id = last.status.unwrap().current.execution_ids[0].clone();
    let journal = env.sim.journal();
    let about_others =
        journal.iter().filter(|request| request.operation == Operation::Read).skip(reads).filter(|request| !request.path.ends_with(&id));
    same("reads of ended executions", about_others.count(), 0);
    assert!(requests(Operation::List) > lists, "the account was proven again");
    same("POSTs", env.sim.post_count(), 3);
    env.eventually("unlocked", || env.writes().iter().filter(|write| write.resource == "leases").count() == leases + 2);
}

#[test]
fn answer_without_the_pipeline_ends_no_run() {
    let env = Environment::new("nameless", [quick("orders")]);
    let id = env.sim.seed_execution(Seed::new("orders")).unwrap();
    for body in ["SUCCESSFUL", "FAILED"].map(|status| json!({ "data": { "id": id, "status": status } })) {
        env.sim.add_fault(Fault::on(Operation::Read, Effect::raw(body.to_string())).times(2));
    }
    env.sim.finish(&id, Status::Failed).unwrap();
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "executionId": id }));
    let run = env.wait_phase("orders", Phase::Failed);
    same("reason", reason(&run), "ExecutionFailed");
    same("what was read", env.requests(Operation::Read), 5);
    let shown = run.status.unwrap().current.executions.remove(0);
    assert!(shown.created_at.is_some(), "the answer that names its pipeline: {shown:?}");
}

#[test]
fn trigger_answer_without_the_pipeline_is_looked_up() {
    let env = Environment::new("nameless", [quick("orders")]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::raw_after_executing(r#"{"data":[{"id":"made-up"}]}"#)).once());
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("ids", run.status.unwrap().current.execution_ids, vec![env.sim.executions()[0].id.clone()]);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (1, 1));
}

#[test]
fn unreadable_answers_change_and_end_nothing() {
    let env = Environment::with("garbage", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    for body in ["<html>maintenance</html>", "{\"data\": {\"id\": ", "", "{\"data\": {\"id\": \"other\", \"status\": \"FAILED\"}}"] {
        env.sim.add_fault(Fault::on(Operation::Read, Effect::raw(body)).times(2));
        env.sim.add_fault(Fault::on(Operation::List, Effect::raw(body)).skip(2).once());
    }
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", env.sim.post_count(), 1);
}
