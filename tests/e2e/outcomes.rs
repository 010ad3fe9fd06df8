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

use crate::world::{Operator, WITHIN, World, assert_consistent, message, reason, same, uid};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

#[test]
fn a_success_shows_its_rows_in_both_spellings_of_the_page() {
    for spelling in [Spelling::Text, Spelling::Sample, Spelling::Seen] {
        let stats = Stats { total_rows: 1200, total_cells: 9600, total_error_cells: 3, total_error_rows: 2 };
        let world = World::new("success", [quick("orders").stats(stats).spelling(spelling)]);
        let operator = world.operator();
        world.start("orders", "orders", json!({}));
        let run = world.wait_phase("orders", Phase::Succeeded);
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
        same("POSTs", world.sim.post_count(), 1);
        let post = world.sim.journal().into_iter().find(|request| request.operation == Operation::Create).unwrap();
        let trigger = status.trigger.as_ref().unwrap();
        same("X-Request-Id", post.header("x-request-id"), Some(trigger.nonce.as_str()));
        assert!(post.header("user-agent").unwrap().starts_with("nuvo-operator/"));
        assert!(world.wait_note("orders", "Triggered").contains(&execution.id));
        assert!(world.wait_note("orders", "Succeeded").contains("1200 rows"));
        world.eventually("unlocked", || world.writes().iter().filter(|write| write.resource == "leases").count() == 2);
        let writes: Vec<String> = world
            .writes()
            .iter()
            .filter(|write| write.resource != "events" && write.resource != "nuvoaccounts")
            .map(|write| format!("{} {}/{}", write.verb, write.resource, write.subresource))
            .collect();
        let expected =
            ["create leases/", "patch pipelineruns/", "update pipelineruns/status", "update pipelineruns/status", "update leases/"];
        same("writes: lock, marker, accepted, end, unlock", writes, expected.map(str::to_owned).to_vec());
        assert_metrics_tell_what_happened(&world, &operator);
        same("exit code after SIGTERM", operator.stop(), Some(0));
    }
}

/// The counters against those who were asked: the API server's audit log, and the simulator's journal.
fn assert_metrics_tell_what_happened(world: &World, operator: &Operator) {
    world.eventually("as many writes as in the audit log", || operator.metrics("nuvo_operator_kube_writes_total") == world.written());
    for resource in ["leases", "pipelineruns", "pipelineruns/status", "nuvoaccounts/status", "events"] {
        let written = world.written();
        assert!(written.contains_key(&format!("{{resource=\"{resource}\"}}")), "{resource} is not in {written:?}");
    }
    let asked = || {
        let mut counts = BTreeMap::new();
        for request in world.sim.journal() {
            let operation = serde_json::to_value(request.operation).unwrap();
            let code = request.status().unwrap_or_default();
            *counts.entry(format!("{{operation={operation},code=\"{code}\"}}")).or_insert(0.0) += 1.0;
        }
        counts
    };
    world.eventually("as many requests as in the journal", || operator.metrics("nuvo_operator_nuvo_requests_total") == asked());
    let triggers: f64 = operator.metrics("nuvo_operator_triggers_total").values().sum();
    let posts = f64::from(u32::try_from(world.sim.post_count()).unwrap());
    same("triggers", (triggers, operator.metric("nuvo_operator_triggers_total{outcome=\"accepted\"}")), (posts, Some(posts)));
    same("ended", operator.metric("nuvo_operator_runs_finished_total{result=\"success\",error_type=\"\"}"), Some(1.0));
    let account = format!("nuvo_operator_account_ready{{namespace=\"{}\",account=\"default\"}}", world.namespace);
    same("account", operator.metric(&account), Some(1.0));
}

#[test]
fn the_api_server_refuses_what_cannot_be_run_and_what_must_not_change() {
    let world = World::new("rules", [quick("orders")]);
    let refused = |args: &[&str], words: &str| {
        let error = world.kubectl(args).unwrap_err().to_string();
        assert!(error.contains(words), "{args:?}: {error}");
    };
    let manifest = world.server.folder().join(format!("{}-bad.yaml", world.namespace));
    let bad =
        "apiVersion: nuvo.dev/v1alpha1\nkind: PipelineRun\nmetadata: { name: bad }\nspec: { pipelineId: https://nuvo.example/orders }\n";
    std::fs::write(&manifest, bad).unwrap();
    refused(&["create", "-f", &manifest.display().to_string()], "write the pipeline's id as nuvo shows it, not its name or URL");
    world.start("triggers", "orders", json!({ "suspend": true }));
    world.start("follows", "orders", json!({ "executionId": "e-1" }));
    let patch = |name: &str, spec: serde_json::Value, words: &str| {
        let patch = json!({ "spec": spec }).to_string();
        refused(&["patch", "pipelineruns.nuvo.dev", name, "--type", "merge", "-p", &patch], words);
    };
    let fixed = "executionId cannot be set, changed or removed after creation: create a new PipelineRun instead";
    patch("triggers", json!({ "executionId": "e-1" }), fixed);
    patch("follows", json!({ "executionId": null }), fixed);
    patch("follows", json!({ "executionId": "e-2" }), fixed);
    patch("triggers", json!({ "pipelineId": "another" }), "pipelineId cannot be changed");
    same("unchanged", world.get("follows").spec.execution_id.as_deref(), Some("e-1"));
    same("unchanged", world.get("triggers").spec.execution_id, None);
}

#[test]
fn every_error_type_is_shown_as_it_is() {
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
    let world = World::new("errors", pipelines);
    let _operator = world.operator();
    let name = |kind: &str| kind.to_lowercase().replace('_', "-");
    for kind in types {
        world.start(&name(kind), kind, json!({}));
    }
    for kind in types {
        let run = world.wait_phase(&name(kind), Phase::Failed);
        assert_consistent(&run);
        same("reason", reason(&run), "ExecutionFailed");
        let error = run.status.as_ref().unwrap().current.error.clone().unwrap();
        same("type", error.error_type.as_deref(), Some(kind));
        same("message", error.message, Some(format!("because of {kind}")));
        assert!(message(&run).contains(kind) && message(&run).contains("rerunToken"), "{}", message(&run));
        same("POSTs", world.sim.post_count_of(kind), 1);
    }
}

#[test]
fn one_post_can_start_nothing_one_or_several_executions() {
    let stats = Stats { total_rows: 100, total_cells: 200, total_error_cells: 1, total_error_rows: 1 };
    let mixed = [Ending::Successful, Ending::Failed, Ending::Successful];
    let world = World::new(
        "files",
        [
            quick("none").files(0),
            quick("one"),
            quick("five").files(5).stats(stats),
            quick("mixed").files(3).failing("PARSING_FAILURE", "line 7").outcomes(mixed),
        ],
    );
    let _operator = world.operator();
    for pipeline in ["none", "one", "five", "mixed"] {
        world.start(pipeline, pipeline, json!({}));
    }
    world.start("none-fails", "none", json!({ "onNothingToProcess": "Fail" }));

    let none = world.wait_phase("none", Phase::Succeeded);
    same("nothing to process", (reason(&none), none.status.as_ref().unwrap().current.execution_count), ("NothingToProcess", Some(0)));
    let none = world.wait_phase("none-fails", Phase::Failed);
    same("nothing to process", reason(&none), "NothingToProcess");
    assert_consistent(&none);

    let five = world.wait_phase("five", Phase::Succeeded);
    let status = five.status.as_ref().unwrap();
    same(
        "executions",
        (status.current.execution_ids.len(), status.current.executions.len(), status.current.execution_count),
        (5, 5, Some(5)),
    );
    same("sum", status.current.stats.unwrap().total_rows, Some(500));

    let mixed = world.wait_phase("mixed", Phase::Failed);
    let status = mixed.status.as_ref().unwrap();
    same("failed first", status.current.executions[0].status.as_deref(), Some("FAILED"));
    same("others", status.current.executions.iter().filter(|execution| execution.status.as_deref() == Some("SUCCESSFUL")).count(), 2);
    same("error", status.current.error.clone().unwrap().error_type.as_deref(), Some("PARSING_FAILURE"));
    world.wait_phase("one", Phase::Succeeded);
    for (pipeline, posts) in [("none", 2), ("one", 1), ("five", 1), ("mixed", 1)] {
        same(pipeline, world.sim.post_count_of(pipeline), posts);
    }
}

#[test]
fn numbers_beyond_what_a_status_can_hold_do_not_keep_a_run_from_its_end() {
    let largest = 9_007_199_254_740_991;
    let rows = |total_rows| Stats { total_rows, ..Stats::default() };
    let world = World::new("huge", [quick("many").files(2).stats(rows(largest)), quick("more").stats(rows(largest + 1))]);
    let _operator = world.operator();
    for pipeline in ["many", "more"] {
        world.start(pipeline, pipeline, json!({}));
    }
    let shown = |name: &str| world.wait_phase(name, Phase::Succeeded).status.unwrap().current.stats.unwrap().total_rows;
    same("a sum", shown("many"), Some(largest));
    same("a number that is too large", shown("more"), None);
}

#[test]
fn an_unknown_pipeline_is_asked_for_once() {
    let world = World::new("unknown", [quick("known")]);
    let operator = world.operator();
    world.start("typo", "knwon", json!({}));
    let run = world.wait_phase("typo", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "TriggerRejected");
    assert!(message(&run).contains("404"), "{}", message(&run));
    operator.kill();
    let _operator = world.operator();
    world.start("fine", "known", json!({}));
    world.wait_phase("fine", Phase::Succeeded);
    same("POSTs for the unknown pipeline", world.sim.post_count_of("knwon"), 1);
}

/// A world whose account is known to work.
fn ready(name: &str, pipelines: impl Into<Vec<Pipeline>>) -> (World, Operator) {
    let world = World::new(name, pipelines);
    let operator = world.operator();
    world.eventually("the account is ready", || {
        world.kubectl(&["wait", "--for=condition=Ready", "--timeout=1s", "nuvoaccount.nuvo.dev/default"]).is_ok()
    });
    (world, operator)
}

#[test]
fn a_rate_limit_is_said_and_kept_whether_it_meets_the_trigger_or_a_list() {
    for (operation, posts) in [(Operation::Create, 2), (Operation::List, 1)] {
        let (world, _operator) = ready("limited", [quick("orders")]);
        let fault = world.sim.add_fault(Fault::on(operation, Effect::too_many_requests(3)).once());
        world.start("orders", "orders", json!({}));
        let run = world.wait_reason("orders", "RateLimited");
        assert_consistent(&run);
        same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Pending));
        assert!(message(&run).contains("rate"), "{}", message(&run));
        let refused = world.sim.journal().iter().find(|request| request.status() == Some(429)).unwrap().at_ms;
        let run = world.wait_phase("orders", Phase::Succeeded);
        assert_consistent(&run);
        same("attempt", run.status.unwrap().attempt, Some(1));
        same("POSTs", (world.sim.post_count(), world.sim.executed_count(), world.sim.fault_count(fault)), (posts, 1, 1));
        let next = world.sim.journal().iter().map(|request| request.at_ms).find(|at| *at > refused).unwrap();
        assert!(next - refused >= 3_000, "the next request came after {} ms", next - refused);
    }
}

#[test]
fn nuvo_that_gives_no_list_is_waited_for() {
    let (world, _operator) = ready("no-list", [quick("orders")]);
    let fault = world.sim.add_fault(Fault::on(Operation::List, Effect::status(503).header("retry-after", "3")).once());
    world.start("orders", "orders", json!({}));
    let run = world.wait_reason("orders", "NuvoUnavailable");
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Pending));
    assert!(message(&run).contains("503"), "{}", message(&run));
    world.wait_phase("orders", Phase::Succeeded);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count(), world.sim.fault_count(fault)), (1, 1, 1));
}

#[test]
fn a_refused_connection_of_the_trigger_is_tried_again() {
    let world = World::new("refused", [quick("orders")]);
    let proxy = Proxy::start(world.server).unwrap();
    let marks = |request: &RequestInfo| request.method == "PATCH" && request.path.contains("/pipelineruns/");
    proxy.set_rules(move |request| if marks(request) { Action::HoldBeforeForward } else { Action::Forward });
    let _operator = world.operator_through(&proxy, &["--fence-seconds", "30", "--quarantine-seconds", "40"]);
    world.start("orders", "orders", json!({}));
    assert!(proxy.wait_for(|exchange| marks(&exchange.request) && exchange.held, WITHIN).is_some());
    world.sim.go_offline().unwrap();
    proxy.set_rules(|_| Action::Forward);
    proxy.release_all();
    let run = world.wait_reason("orders", "NuvoUnavailable");
    assert_consistent(&run);
    assert!(message(&run).contains("Nothing was started"), "{}", message(&run));
    world.sim.go_online().unwrap();
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("attempt", run.status.unwrap().attempt, Some(1));
    same("POSTs that arrived", (world.sim.post_count(), world.sim.executed_count()), (1, 1));
}

#[test]
fn a_run_waits_for_another_one_of_its_pipeline() {
    let world = World::new("busy", [quick("orders")]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let _operator = world.operator_with(&["--trigger-timeout-seconds", "50", "--quarantine-seconds", "60"]);
    world.start("first", "orders", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN));
    world.start("second", "orders", json!({}));
    let run = world.wait_reason("second", "PipelineBusy");
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Pending));
    assert!(message(&run).contains("first"), "{}", message(&run));
    same("POSTs", world.sim.post_count(), 1);
    world.sim.release(fault);
    for name in ["first", "second"] {
        assert_consistent(&world.wait_phase(name, Phase::Succeeded));
    }
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (2, 2));
}

/// Each of many runs of one pipeline looks a few times whether it can go on, however many wait with it, and the oldest goes first.
#[test]
fn a_queue_of_runs_costs_each_of_them_a_few_looks() {
    const RUNS: usize = 30;
    let world = World::new("queue", [quick("orders")]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let operator = world.operator_with(&["--trigger-timeout-seconds", "50", "--quarantine-seconds", "60"]);
    let start = |number: usize| world.start(&format!("run-{number:02}"), "orders", json!({}));
    let mut runs = vec![start(0)];
    assert!(world.sim.fault_reached(fault, WITHIN));
    runs.extend((1..RUNS).map(start));
    world.wait_reason("run-29", "PipelineBusy");
    world.sim.release(fault);
    // The age of an object is known to the second.
    runs[1..].sort_by_key(|run| (run.metadata.creation_timestamp.as_ref().unwrap().0, uid(run)));
    let first = |run: &PipelineRun| world.wait_phase(&run.name_any(), Phase::Succeeded).status.unwrap().current.execution_ids[0].clone();
    let ids: Vec<String> = runs.iter().map(first).collect();
    let made: Vec<String> = world.sim.executions().into_iter().map(|execution| execution.id).collect();
    same("in the order of their age", ids, made);
    same("POSTs", world.sim.post_count(), RUNS as u64);
    let log = operator.0.log();
    let holds = log.lines().filter(|line| line.contains("step=\"hold\"")).count();
    println!("{RUNS} runs of one pipeline: {holds} looks that came to nothing");
    assert!((RUNS..=RUNS * 6).contains(&holds), "{holds} looks that came to nothing");
}

#[test]
fn an_existing_execution_is_followed_and_nothing_is_triggered() {
    let world = World::new("existing", [quick("orders")]);
    let id = world.sim.seed_execution(Seed::new("orders")).unwrap();
    let other = world.sim.seed_execution(Seed::new("another")).unwrap();
    let _operator = world.operator();
    world.start("mine", "orders", json!({ "executionId": id }));
    world.start("foreign", "orders", json!({ "executionId": other }));
    world.start("missing", "orders", json!({ "executionId": "there-is-no-such-execution" }));
    let run = world.wait("mine", "running", |run| message(run) == format!("Execution {id} is running."));
    assert_consistent(&run);
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Running));
    world.sim.finish(&id, Status::Successful).unwrap();
    let run = world.wait_phase("mine", Phase::Succeeded);
    assert_consistent(&run);
    let trigger = run.status.as_ref().unwrap().trigger.clone().unwrap();
    same("trigger", serde_json::to_value(&trigger).unwrap()["state"].clone(), json!("Observed"));
    same("reason", reason(&world.wait_phase("foreign", Phase::Failed)), "InvalidSpec");
    same("reason", reason(&world.wait_phase("missing", Phase::Failed)), "ExecutionLost");
    same("POSTs", world.sim.post_count(), 0);
}

#[test]
fn a_run_that_is_created_anew_follows_the_execution_of_the_one_before() {
    let world = World::new("replaced", [quick("orders")]);
    let id = world.sim.seed_execution(Seed::new("orders")).unwrap();
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "executionId": id }));
    world.wait("orders", "running", |run| message(run) == format!("Execution {id} is running."));
    world.delete("orders");
    let second = world.start("orders", "orders", json!({ "executionId": id }));
    world.wait("orders", "running", |run| message(run) == format!("Execution {id} is running."));
    world.sim.finish(&id, Status::Successful).unwrap();
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("uid", uid(&run), uid(&second));
    same("POSTs", world.sim.post_count(), 0);
}

#[test]
fn an_execution_that_nuvo_has_said_nothing_of_is_not_called_running() {
    let world = World::new("unheard", [quick("orders")]);
    let id = world.sim.seed_execution(Seed::new("orders")).unwrap();
    let _operator = world.operator();
    world.wait_ready("default");
    let silent = [Operation::List, Operation::Read].map(|operation| world.sim.add_fault(Fault::on(operation, Effect::status(500))));
    world.start("orders", "orders", json!({ "executionId": id }));
    let run = world.wait_phase("orders", Phase::Running);
    assert_consistent(&run);
    same("message", message(&run), format!("Execution {id} is being looked up in nuvo.").as_str());
    assert!(world.sim.fault_reached(silent[0], WITHIN), "nuvo was asked");
    same("message", message(&world.get("orders")), format!("Execution {id} is being looked up in nuvo.").as_str());
    world.sim.clear_faults();
    let run = world.wait("orders", "running", |run| message(run) == format!("Execution {id} is running."));
    assert_consistent(&run);
    same("nuvo's word", run.status.as_ref().unwrap().current.executions[0].status.as_deref(), Some("PROCESSING"));
    same("POSTs", world.sim.post_count(), 0);
}

#[test]
fn suspend_holds_the_trigger_and_nothing_else() {
    let world = World::new("suspend", [quick("orders").held()]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "suspend": true }));
    let run = world.wait_phase("orders", Phase::Suspended);
    assert_consistent(&run);
    same("POSTs", world.sim.post_count(), 0);
    world.change("orders", json!({ "spec": { "suspend": false } }));
    world.wait_phase("orders", Phase::Running);
    world.change("orders", json!({ "spec": { "suspend": true } }));
    let id = world.sim.executions()[0].id.clone();
    world.sim.finish(&id, Status::Successful).unwrap();
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_deadline_ends_the_run_and_says_that_nuvo_was_not_stopped() {
    let world = World::new("deadline", [quick("slow").held()]);
    let _operator = world.operator();
    world.start("slow", "slow", json!({ "activeDeadlineSeconds": 2 }));
    let run = world.wait_phase("slow", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "DeadlineExceeded");
    assert!(message(&run).contains("2 s") && message(&run).contains("no cancel"), "{}", message(&run));
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_deadline_that_passes_while_nobody_looks_does_not_hide_how_the_run_ended() {
    let world = World::new("absent", [quick("orders").held()]);
    let operator = world.operator();
    world.start("orders", "orders", json!({}));
    let run = world.wait_phase("orders", Phase::Running);
    operator.kill();
    world.sim.finish(&run.status.as_ref().unwrap().current.execution_ids[0], Status::Successful).unwrap();
    world.change("orders", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let started = run.status.as_ref().unwrap().series.start_time.as_ref().unwrap().0;
    world.eventually("past the deadline", || Timestamp::now().duration_since(started).as_secs() > 2);
    let _operator = world.operator();
    let run = world.wait("orders", "ended", |run| run.status.as_ref().unwrap().current.completion_time.is_some());
    assert_consistent(&run);
    same("reason", reason(&run), "Succeeded");
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_deadline_ends_a_run_also_when_nuvo_cannot_be_asked_and_says_so() {
    let world = World::new("silent", [quick("orders").held()]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    world.wait_phase("orders", Phase::Running);
    for operation in [Operation::List, Operation::Read] {
        world.sim.add_fault(Fault::on(operation, Effect::status(500)));
    }
    world.change("orders", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let run = world.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "DeadlineExceeded");
    assert!(message(&run).contains("could not be asked for 4 s"), "{}", message(&run));
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn a_new_rerun_token_on_an_ended_run_starts_another_attempt_and_keeps_the_history() {
    let world = World::new("rerun", [quick("orders").failing("SOURCE_UNRESPONSIVE", "no route")]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "rerunToken": "first" }));
    let run = world.wait_phase("orders", Phase::Failed);
    let first = run.status.as_ref().unwrap().current.execution_ids[0].clone();
    world.change("orders", json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "activeDeadlineSeconds": 100 } }));
    let run = world.wait("orders", "observed", |run| run.status.as_ref().unwrap().observed_generation == run.metadata.generation);
    assert_consistent(&run);
    same("an edit of something else triggers nothing", world.sim.post_count(), 1);

    world.sim.set_pipeline(quick("orders")).unwrap();
    world.change("orders", json!({ "spec": { "rerunToken": "second" } }));
    let run = world.wait_phase("orders", Phase::Succeeded);
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
    same("POSTs", world.sim.post_count(), 2);
    world.wait_note("orders", "Succeeded");
    let notes = |wanted: &str| {
        let events = world.events("orders").into_iter().filter(|(_, reason, _)| reason == wanted);
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
fn a_deleted_run_is_gone_at_once_and_its_name_is_free() {
    let world = World::new("delete", [quick("orders").held()]);
    let _operator = world.operator();
    let first = world.start("orders", "orders", json!({}));
    world.wait_phase("orders", Phase::Running);
    let begun = std::time::Instant::now();
    world.delete("orders");
    world.eventually("gone", || world.kubectl(&["get", "pipelinerun.nuvo.dev/orders"]).is_err());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    world.sim.set_pipeline(quick("orders")).unwrap();
    let second = world.start("orders", "orders", json!({}));
    assert_ne!(uid(&first), uid(&second));
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("uid", uid(&run), uid(&second));
    same("POSTs", world.sim.post_count(), 2);
    let shown = run.status.as_ref().unwrap().current.execution_ids.clone();
    assert!(world.sim.executions().iter().any(|execution| execution.id != shown[0]), "two executions, and the second is shown");
}

#[test]
fn a_run_that_a_finalizer_keeps_is_followed_until_it_is_gone() {
    let world = World::new("finalizer", [quick("orders").held()]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    let run = world.wait_phase("orders", Phase::Running);
    world.change("orders", json!({ "metadata": { "finalizers": ["example.com/keep"] } }));
    world.delete("orders");
    world.wait("orders", "being deleted", |run| run.metadata.deletion_timestamp.is_some());
    world.sim.finish(&run.status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    world.change("orders", json!({ "metadata": { "finalizers": null } }));
    world.eventually("gone", || world.kubectl(&["get", "pipelinerun.nuvo.dev/orders"]).is_err());
    same("POSTs", world.sim.post_count(), 1);
}

#[test]
fn kubectl_shows_the_columns_and_can_wait() {
    let stats = Stats { total_rows: 12, total_cells: 24, total_error_cells: 1, total_error_rows: 1 };
    let world = World::new("columns", [quick("orders").stats(stats), quick("bad").failing("PARSING_FAILURE", "line 7").stats(stats)]);
    let _operator = world.operator();
    let run = json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun", "metadata": { "name": "orders" }, "spec": { "pipelineId": "orders" },
    });
    let file = world.kubeconfig.with_file_name(format!("{}-orders.json", world.namespace));
    std::fs::write(&file, run.to_string()).unwrap();
    world.kubectl(&["apply", "--filename", file.to_str().unwrap()]).unwrap();
    world.start("bad", "bad", json!({}));
    world.kubectl(&["wait", "--for=condition=Succeeded", "--timeout=60s", "pipelinerun.nuvo.dev/orders"]).unwrap();
    world.kubectl(&["wait", "--for=condition=Finished", "--timeout=60s", "pipelinerun.nuvo.dev/bad"]).unwrap();
    world.kubectl(&["wait", "--for=jsonpath={.status.completionTime}", "--timeout=60s", "pipelinerun.nuvo.dev/bad"]).unwrap();
    let table = world.kubectl(&["get", "pipelineruns.nuvo.dev", "-o", "wide"]).unwrap();
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
    let kept = world.get("orders").metadata.annotations.unwrap_or_default();
    assert!(kept.contains_key("kubectl.kubernetes.io/last-applied-configuration"), "what kubectl keeps for itself is there: {kept:?}");
    let running = world.kubectl(&["get", "npr", "--field-selector", "status.phase=Failed", "-o", "name"]).unwrap();
    same("selected by phase", running.trim(), "pipelinerun.nuvo.dev/bad");
}

/// The commands of docs/gitops.md, to the letter: for a run that succeeds, and for one that does not.
#[test]
fn the_recipes_for_kubectl_do_what_their_page_says() {
    let world = World::new("recipes", [quick("orders"), quick("bad").failing("PARSING_FAILURE", "line 7")]);
    let _operator = world.operator();
    let page = include_str!("../../docs/gitops.md");
    let section = page.split_once("\n## kubectl\n").unwrap().1.split_once("\n## ").unwrap().0;
    let commands = section.lines().filter_map(|line| line.trim_start_matches("$ ").trim().strip_prefix("kubectl "));
    // Without what tells a person about it, and without what joins it to the next one.
    let bare = |command: &str| command.split("   ").next().unwrap().trim_end_matches(" &&").replace('\'', "");
    let commands: Vec<String> = commands.map(bare).collect();
    same("commands", commands.len(), 7);
    for (name, ends_well) in [("orders", true), ("bad", false)] {
        world.start(name, name, json!({}));
        world.wait(name, "ended", |run| run.status.as_ref().is_some_and(|status| status.current.completion_time.is_some()));
        for command in &commands {
            let command = command.replace("run.nuvo.dev/orders", &format!("run.nuvo.dev/{name}"));
            let waits_for_success = command.contains("condition=Succeeded");
            // What would come only at the end of its hour.
            let command = if waits_for_success && !ends_well { command.replace("1h", "1s") } else { command };
            let args: Vec<&str> = command.split(' ').collect();
            let outcome = world.kubectl(&args);
            same(&format!("{name}: {command}: {outcome:?}"), outcome.is_ok(), ends_well || !waits_for_success);
            if command.contains("type==") {
                same(&command, outcome.unwrap().as_str(), if ends_well { "True" } else { "False" });
            }
        }
    }
}

/// Writes up to and including the final status: of the run itself, and of its pipeline's lock. The lock is given back after that.
#[test]
fn a_run_costs_at_most_five_writes_and_two_events_and_none_at_rest() {
    let clock = Pipeline::new("clock").duration(Duration::from_secs(3));
    let world = World::new("writes", [quick("good"), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("busy"), clock]);
    world.sim.set_access_tokens(vec![AccessToken::new("a-made-token", Identity::user("clock@example.com"))]);
    world.credential("token", "a-made-token");
    let token = json!({ "secretRef": { "name": "token", "key": "license-key" } });
    world.account_with("other", json!({ "licenseKey": null, "accessToken": token }));
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let operator = world.operator_with(&["--trigger-timeout-seconds", "50", "--quarantine-seconds", "60"]);
    world.start("first", "busy", json!({}));
    assert!(world.sim.fault_reached(fault, WITHIN));
    world.start("second", "busy", json!({}));
    for pipeline in ["good", "bad"] {
        world.start(pipeline, pipeline, json!({}));
    }
    world.wait_reason("second", "PipelineBusy");
    world.sim.release(fault);
    for (name, end) in [("good", Phase::Succeeded), ("bad", Phase::Failed), ("first", Phase::Succeeded), ("second", Phase::Succeeded)] {
        world.wait_phase(name, end);
    }
    let free = || world.all_leases().iter().all(|lock| lock.spec.as_ref().is_none_or(|spec| spec.holder_identity.is_none()));
    world.eventually("unlocked", || world.all_leases().len() == 3 && free());
    let of = |resource: &str, name: &str| world.writes().iter().filter(|write| write.resource == resource && write.name == name).count();
    // Marker, accepted, end; the one that waits says so.
    for (name, wanted) in [("good", 3), ("bad", 3), ("first", 3), ("second", 4)] {
        same(name, of("pipelineruns", name), wanted);
        world.eventually("two events", || world.events(name).len() == 2);
    }
    // One to take each lock and one to give it back, if the next run has not taken it over.
    let locks: Vec<usize> = world.all_leases().iter().map(|lock| of("leases", &lock.name_any())).collect();
    assert!(locks.iter().all(|writes| (2..=4).contains(writes)) && locks.iter().filter(|writes| **writes == 2).count() >= 2, "{locks:?}");
    let events = world.writes().iter().filter(|write| write.resource == "events").count();
    same("writes of events", events, 8);
    // Another run, of another account, tells how time passes.
    let locks: Vec<String> = world.all_leases().iter().map(ResourceExt::name_any).collect();
    let all = || {
        let names = ["good", "bad", "first", "second"];
        let writes: usize = names.iter().map(|name| of("pipelineruns", name) + world.events(name).len()).sum();
        let unlocks: usize = locks.iter().map(|lock| of("leases", lock)).sum();
        let journal = world.sim.journal();
        let asked = journal.iter().filter(|request| request.identity.as_ref().is_some_and(|who| who.identifier == "demo@example.com"));
        (writes, unlocks, asked.count())
    };
    let before = all();
    world.start("clock", "clock", json!({ "accountRef": { "name": "other" } }));
    world.wait_phase("clock", Phase::Succeeded);
    same("writes and requests at rest", all(), before);
    world.eventually("two events", || world.events("clock").len() == 2);
    world.eventually("unlocked", free);
    same("as counted", operator.metrics("nuvo_operator_kube_writes_total"), world.written());
}

#[test]
fn an_ended_run_costs_nothing_also_after_a_restart() {
    let world = World::new("rest", [quick("orders"), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("last")]);
    let operator = world.operator();
    for pipeline in ["orders", "bad"] {
        world.start(pipeline, pipeline, json!({}));
    }
    world.wait_phase("orders", Phase::Succeeded);
    world.wait_phase("bad", Phase::Failed);
    world.eventually("unlocked", || world.writes().iter().filter(|write| write.resource == "leases").count() == 4);
    let versions = || [world.get("orders"), world.get("bad")].map(|run| run.metadata.resource_version);
    let (before, requests) = (versions(), |operation| world.requests(operation));
    let (reads, lists) = (requests(Operation::Read), requests(Operation::List));
    let leases = world.writes().iter().filter(|write| write.resource == "leases").count();
    operator.stop();
    let _operator = world.operator();
    // Something that is processed after everything else shows that the operator had its chance.
    world.start("last", "last", json!({}));
    let last = world.wait_phase("last", Phase::Succeeded);
    same("versions of the ended runs", versions(), before);
    let id = last.status.unwrap().current.execution_ids[0].clone();
    let journal = world.sim.journal();
    let about_others =
        journal.iter().filter(|request| request.operation == Operation::Read).skip(reads).filter(|request| !request.path.ends_with(&id));
    same("reads of ended executions", about_others.count(), 0);
    assert!(requests(Operation::List) > lists, "the account was proven again");
    same("POSTs", world.sim.post_count(), 3);
    world.eventually("unlocked", || world.writes().iter().filter(|write| write.resource == "leases").count() == leases + 2);
}

#[test]
fn an_end_that_does_not_name_its_pipeline_ends_nothing() {
    let world = World::new("nameless", [quick("orders")]);
    let id = world.sim.seed_execution(Seed::new("orders")).unwrap();
    for body in ["SUCCESSFUL", "FAILED"].map(|status| json!({ "data": { "id": id, "status": status } })) {
        world.sim.add_fault(Fault::on(Operation::Read, Effect::raw(body.to_string())).times(2));
    }
    world.sim.finish(&id, Status::Failed).unwrap();
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "executionId": id }));
    let run = world.wait_phase("orders", Phase::Failed);
    same("reason", reason(&run), "ExecutionFailed");
    same("what was read", world.requests(Operation::Read), 5);
    let shown = run.status.unwrap().current.executions.remove(0);
    assert!(shown.created_at.is_some(), "the answer that names its pipeline: {shown:?}");
}

#[test]
fn a_trigger_answered_without_the_pipeline_is_looked_up() {
    let world = World::new("nameless", [quick("orders")]);
    world.sim.add_fault(Fault::on(Operation::Create, Effect::raw_after_executing(r#"{"data":[{"id":"made-up"}]}"#)).once());
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("ids", run.status.unwrap().current.execution_ids, vec![world.sim.executions()[0].id.clone()]);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (1, 1));
}

#[test]
fn unreadable_answers_change_nothing_and_end_nothing() {
    let world = World::with("garbage", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    for body in ["<html>maintenance</html>", "{\"data\": {\"id\": ", "", "{\"data\": {\"id\": \"other\", \"status\": \"FAILED\"}}"] {
        world.sim.add_fault(Fault::on(Operation::Read, Effect::raw(body)).times(2));
        world.sim.add_fault(Fault::on(Operation::List, Effect::raw(body)).skip(2).once());
    }
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("POSTs", world.sim.post_count(), 1);
}
