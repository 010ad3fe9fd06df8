//! What a run may be told to do: retries, deadlines, deletion, the quality gate, repairs, and edits while it runs.

use std::time::Duration;

use kube::ResourceExt;
use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{Change, Delays, Effect, Fault, Operation, Pipeline, Stats, Status};
use serde_json::json;

use crate::world::{World, assert_consistent, block_on, condition, message, reason, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

fn unresponsive(id: &str) -> Pipeline {
    quick(id).failing("SOURCE_UNRESPONSIVE", "no route")
}

/// When each POST for a pipeline arrived, in milliseconds.
fn posts(world: &World, pipeline: &str) -> Vec<i64> {
    let journal = world.sim.journal();
    let posts = journal.iter().filter(|request| request.operation == Operation::Create && request.pipeline.as_deref() == Some(pipeline));
    posts.map(|request| request.at_ms).collect()
}

fn exists(world: &World, name: &str) -> bool {
    block_on(world.runs().get_opt(name)).unwrap().is_some()
}

fn attempt(run: &PipelineRun) -> Option<i32> {
    run.status.as_ref().unwrap().attempt
}

#[test]
fn a_failed_execution_is_retried_by_its_error_type_after_a_wait_that_doubles() {
    let world = World::new("retry", [unresponsive("orders"), quick("parse").failing("PARSING_FAILURE", "line 7")]);
    let operator = world.operator();
    world.start("parse", "parse", json!({ "retry": { "limit": 3, "backoffSeconds": 1 } }));
    world.start("orders", "orders", json!({ "retry": { "limit": 2, "backoffSeconds": 1 } }));
    let run = world.wait_reason("orders", "RetryScheduled");
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    same("phase and attempt", (status.phase, status.attempt), (Some(Phase::Pending), Some(1)));
    assert!(status.series.retry.as_ref().unwrap().next_time.is_some() && message(&run).contains("no route"), "{}", message(&run));
    same("what failed is shown", status.current.error.as_ref().unwrap().error_type.as_deref(), Some("SOURCE_UNRESPONSIVE"));

    world.wait("orders", "in its third attempt", |run| attempt(run) == Some(3));
    world.sim.set_pipeline(quick("orders")).unwrap();
    let run = world.wait("orders", "ended", |run| run.status.as_ref().unwrap().current.completion_time.is_some());
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    let posts_at = posts(&world, "orders");
    // The third POST may have been made before the pipeline was mended, and then failed for good.
    assert!(["Succeeded", "ExecutionFailed"].contains(&reason(&run)), "{}", reason(&run));
    same("POSTs", posts_at.len(), 3);
    assert!(posts_at[1] - posts_at[0] >= 1_000 && posts_at[2] - posts_at[1] >= 2_000, "{posts_at:?}");
    let history: Vec<_> = status.history.iter().map(|past| (past.attempt, past.result.as_deref(), past.error_type.as_deref())).collect();
    let failed = |attempt| (attempt, Some("ExecutionFailed"), Some("SOURCE_UNRESPONSIVE"));
    same("history", history, vec![failed(1), failed(2)]);
    assert!(status.history.iter().all(|past| past.execution_ids.len() == 1 && past.start_time.is_some() && past.completion_time.is_some()));
    world.eventually("two events of retries", || {
        world.events("orders").iter().filter(|(_, reason, _)| reason == "RetryScheduled").count() == 2
    });

    let run = world.wait_phase("parse", Phase::Failed);
    assert!(message(&run).contains("onErrorTypes does not list PARSING_FAILURE"), "{}", message(&run));
    same("POSTs", world.sim.post_count_of("parse"), 1);
    let ended: f64 = operator.metrics("nuvo_operator_runs_finished_total").values().sum();
    same("a run ends once, however many attempts it takes", ended, 2.0);
}

#[test]
fn a_scheduled_retry_outlives_a_restart_and_what_the_spec_says_of_it_counts() {
    let world = World::new("rescheduled", [unresponsive("orders"), unresponsive("given-up"), unresponsive("impatient")]);
    let retry = json!({ "retry": { "limit": 1, "backoffSeconds": 3600 } });
    let operator = world.operator();
    let names = ["orders", "given-up", "impatient"];
    for name in names {
        world.start(name, name, retry.clone());
    }
    for name in names {
        world.wait_reason(name, "RetryScheduled");
    }
    same("exit code", operator.stop(), Some(0));
    let _operator = world.operator();
    world.change("given-up", json!({ "spec": { "retry": { "limit": 0 } } }));
    let run = world.wait_phase("given-up", Phase::Failed);
    assert_consistent(&run);
    same("attempts", (attempt(&run), run.status.unwrap().history.len()), (Some(1), 0));
    world.sim.set_pipeline(quick("orders")).unwrap();
    world.change("orders", json!({ "spec": { "retry": { "backoffSeconds": 1 } } }));
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("attempt", (attempt(&run), run.status.unwrap().history.len()), (Some(2), 1));
    world.sim.set_pipeline(quick("impatient")).unwrap();
    world.change("impatient", json!({ "spec": { "rerunToken": "now" } }));
    let run = world.wait_phase("impatient", Phase::Succeeded);
    same("a person need not wait", (attempt(&run), run.status.unwrap().series.retry), (Some(2), None));
    for (name, count) in [("orders", 2), ("given-up", 1), ("impatient", 2)] {
        same(name, world.sim.post_count_of(name), count);
    }
}

#[test]
fn a_deadline_is_about_all_attempts() {
    let world = World::new("overdue", [unresponsive("too-late"), unresponsive("held")]);
    let _operator = world.operator();
    world.start("too-late", "too-late", json!({ "activeDeadlineSeconds": 60, "retry": { "limit": 3, "backoffSeconds": 60 } }));
    let run = world.wait_phase("too-late", Phase::Failed);
    same("reason", reason(&run), "ExecutionFailed");
    assert!(message(&run).contains("the deadline would be over"), "{}", message(&run));

    // The second attempt is due, but must wait until it is too late for it.
    world.start("held", "held", json!({ "activeDeadlineSeconds": 600, "retry": { "limit": 3, "backoffSeconds": 300 } }));
    world.wait_reason("held", "RetryScheduled");
    world.change("held", json!({ "spec": { "suspend": true, "retry": { "backoffSeconds": 1 } } }));
    world.wait_phase("held", Phase::Suspended);
    world.change("held", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let run = world.wait_phase("held", Phase::Failed);
    assert_consistent(&run);
    same("reason", (reason(&run), attempt(&run)), ("DeadlineExceeded", Some(2)));
    world.change("held", json!({ "spec": { "suspend": false } }));
    world.sim.set_pipeline(quick("held")).unwrap();
    world.wait("held", "seen to be released", |run| run.status.as_ref().unwrap().observed_generation == run.metadata.generation);
    same("POSTs", (world.sim.post_count_of("held"), world.sim.post_count_of("too-late")), (1, 1));
    world.change("held", json!({ "spec": { "rerunToken": "again" } }));
    let run = world.wait_phase("held", Phase::Succeeded);
    same("attempt and POSTs", (attempt(&run), world.sim.post_count_of("held")), (Some(3), 2));
}

#[test]
fn suspending_a_run_between_two_attempts_holds_the_next_one() {
    let world = World::new("held-retry", [unresponsive("orders")]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "retry": { "limit": 1, "backoffSeconds": 300 } }));
    world.wait_reason("orders", "RetryScheduled");
    world.change("orders", json!({ "spec": { "suspend": true, "retry": { "backoffSeconds": 1 } } }));
    let run = world.wait_phase("orders", Phase::Suspended);
    assert_consistent(&run);
    same("POSTs", world.sim.post_count(), 1);
    world.sim.set_pipeline(quick("orders")).unwrap();
    world.change("orders", json!({ "spec": { "suspend": false } }));
    world.wait_phase("orders", Phase::Succeeded);
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn an_ended_run_is_deleted_when_its_time_is_over_also_after_a_restart() {
    let world =
        World::new("ttl", [quick("orders"), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("late"), quick("held").held()]);
    let operator = world.operator_with(&["--quarantine-seconds", "600"]);
    world.start("held", "held", json!({ "ttlSecondsAfterFinished": 0 }));
    world.start("at-once", "orders", json!({ "ttlSecondsAfterFinished": 0 }));
    world.start("bad", "bad", json!({ "ttlSecondsAfterFinished": 1 }));
    world.start("late", "late", json!({ "ttlSecondsAfterFinished": 600 }));
    world.wait_phase("late", Phase::Succeeded);
    same("exit code", operator.stop(), Some(0));
    world.change("late", json!({ "spec": { "ttlSecondsAfterFinished": 1 } }));
    // A lock that was left behind would keep the next run of its pipeline waiting for longer than this test does.
    let _operator = world.operator_with(&["--quarantine-seconds", "600"]);
    for name in ["at-once", "bad", "late"] {
        world.eventually(&format!("{name} deleted"), || !exists(&world, name));
    }
    let deletions = world.writes().into_iter().filter(|write| write.verb == "delete").count();
    same("deletions", deletions, 3);
    same("phase of one that has not ended", world.get("held").status.unwrap().phase, Some(Phase::Running));
    // Its lock is free at once, and its name, too.
    world.start("at-once", "orders", json!({}));
    world.wait_phase("at-once", Phase::Succeeded);
    same("POSTs", world.sim.post_count(), 5);
}

#[test]
fn a_run_that_a_gitops_tool_would_create_again_is_not_deleted() {
    let world = World::new("tracked", [quick("orders"), quick("last")]);
    let marks = [
        ("argo", json!({ "annotations": { "argocd.argoproj.io/tracking-id": "app:nuvo.dev/PipelineRun:team/argo" } }), "TrackedByArgoCD"),
        ("argo-label", json!({ "labels": { "app.kubernetes.io/instance": "app" } }), "TrackedByArgoCD"),
        (
            "flux",
            json!({ "labels": { "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system" } }),
            "TrackedByFlux",
        ),
        ("helm", json!({ "annotations": { "meta.helm.sh/release-name": "app" } }), "TrackedByHelm"),
    ];
    for (name, metadata, _) in &marks {
        world.start(name, "orders", json!({ "suspend": true, "ttlSecondsAfterFinished": 0 }));
        world.change(name, json!({ "metadata": metadata, "spec": { "suspend": false } }));
    }
    let hook = json!({ "argocd.argoproj.io/tracking-id": "app:nuvo.dev/PipelineRun:team/hook", "argocd.argoproj.io/hook": "PostSync" });
    world.start("hook", "orders", json!({ "suspend": true, "ttlSecondsAfterFinished": 0 }));
    world.change("hook", json!({ "metadata": { "annotations": hook }, "spec": { "suspend": false } }));
    let _operator = world.operator();
    for (name, _, wanted) in &marks {
        let run = world.wait_phase(name, Phase::Succeeded);
        assert_consistent(&run);
        let blocked = condition(&run, "DeletionBlocked").unwrap_or_else(|| panic!("{name}: {run:?}"));
        same(name, (blocked.status.as_str(), blocked.reason.as_str()), ("True", *wanted));
        assert!(blocked.message.contains("would trigger the pipeline again"), "{}", blocked.message);
    }
    world.eventually("the hook deleted", || !exists(&world, "hook"));
    // Something that is processed after everything else shows that the operator had its chance.
    world.start("last", "last", json!({ "ttlSecondsAfterFinished": 1 }));
    world.eventually("the last one deleted", || !exists(&world, "last"));
    assert!(marks.iter().all(|(name, _, _)| exists(&world, name)));
    // When nobody tracks it any more, it goes.
    world.change("flux", json!({ "metadata": { "labels": { "kustomize.toolkit.fluxcd.io/name": null } } }));
    world.eventually("deleted", || !exists(&world, "flux"));
}

#[test]
fn each_limit_of_the_quality_gate_fails_a_run_that_nuvo_calls_successful() {
    let stats = Stats { total_rows: 100, total_cells: 800, total_error_rows: 5, total_error_cells: 9 };
    let world = World::new("gate", [quick("orders").stats(stats)]);
    let _operator = world.operator();
    let gates = [
        ("rows", json!({ "maxErrorRows": 5 }), json!({ "maxErrorRows": 4 }), "5 rows with errors, at most 4"),
        ("cells", json!({ "maxErrorCells": 9 }), json!({ "maxErrorCells": 8 }), "9 cells with errors, at most 8"),
        ("percent", json!({ "maxErrorRowPercent": 5 }), json!({ "maxErrorRowPercent": 4 }), "5 of 100 rows have errors, at most 4 percent"),
        ("least", json!({ "minRows": 100 }), json!({ "minRows": 101 }), "100 rows, at least 101"),
    ];
    for (name, open, shut, _) in &gates {
        world.start(&format!("{name}-open"), "orders", json!({ "qualityGate": open }));
        world.start(&format!("{name}-shut"), "orders", json!({ "qualityGate": shut, "retry": { "limit": 3 } }));
    }
    for (name, _, _, words) in &gates {
        same("reason", reason(&world.wait_phase(&format!("{name}-open"), Phase::Succeeded)), "Succeeded");
        let run = world.wait_phase(&format!("{name}-shut"), Phase::Failed);
        assert_consistent(&run);
        same("reason", reason(&run), "QualityGateFailed");
        assert!(message(&run).contains(words), "{}", message(&run));
        same("what nuvo says is kept", run.status.unwrap().current.executions[0].status.as_deref(), Some("SUCCESSFUL"));
    }
    same("POSTs", world.sim.post_count(), 8);
}

#[test]
fn a_repair_made_in_nuvo_is_shown_with_its_new_statistics() {
    let rows = |total_rows, total_error_rows| Stats { total_rows, total_error_rows, ..Stats::default() };
    let world = World::new("fixed", [quick("orders").held(), quick("others").held()]);
    let operator = world.operator();
    world.start("orders", "orders", json!({ "followFixesSeconds": 3600 }));
    world.start("unwatched", "others", json!({}));
    let id_of = |name: &str| world.wait_phase(name, Phase::Running).status.unwrap().current.execution_ids[0].clone();
    let (id, unwatched) = (id_of("orders"), id_of("unwatched"));
    for id in [&id, &unwatched] {
        world.sim.update(id, Change::failed("PARSING_FAILURE", "line 7").stats(rows(90, 10))).unwrap();
    }
    let failed = world.wait_phase("orders", Phase::Failed);
    same("rows", failed.status.as_ref().unwrap().current.stats.unwrap().total_rows, Some(90));
    world.wait_phase("unwatched", Phase::Failed);
    // The next operator knows that it is watched.
    same("exit code", operator.stop(), Some(0));
    let operator = world.operator();
    let lists = || world.requests(Operation::List);
    for id in [&id, &unwatched] {
        world.sim.update(id, Change::status(Status::Processing)).unwrap();
    }
    let before = lists();
    world.eventually("looked at", || lists() > before + 1);
    let run = world.get("orders");
    same("a repair that is under way changes nothing", run.metadata.resource_version, failed.metadata.resource_version);
    for id in [&id, &unwatched] {
        world.sim.update(id, Change::status(Status::Successful).stats(rows(100, 0))).unwrap();
    }
    let run = world.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    same("reason", (reason(&run), status.current.error.clone()), ("FixedInNuvo", None));
    same("the same execution", &status.current.execution_ids, &vec![id.clone()]);
    same("rows", status.current.stats.map(|stats| (stats.total_rows, stats.total_error_rows)), Some((Some(100), Some(0))));
    let kinds: Vec<_> = status.current.executions[0].runs.iter().filter_map(|run| run.run_type.clone()).collect();
    same("passes", kinds, vec!["CREATE".to_owned(), "FIX".to_owned()]);
    assert!(world.wait_note("orders", "Fixed").contains("100 rows"));
    same("the other one", reason(&world.get("unwatched")), "ExecutionFailed");
    let asked =
        world.sim.journal().iter().filter(|request| request.operation == Operation::Read && request.path.ends_with(&unwatched)).count();
    same("reads of the other one: its end", asked, 1);
    same("POSTs", world.sim.post_count(), 2);
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn developer_mode_is_a_warning_and_what_hides_it_keeps_no_run_from_its_end() {
    let world = World::new("developer", [quick("trial").developer_mode(true), quick("orders"), quick("silent"), quick("secret")]);
    world.sim.add_fault(Fault::on(Operation::Pipeline, Effect::HANG_BEFORE_EXECUTING).pipeline("silent"));
    world.sim.add_fault(Fault::on(Operation::Pipeline, Effect::status(503).header("retry-after", "60")).pipeline("secret"));
    let _operator = world.operator();
    for (name, pipeline) in [("trial", "trial"), ("again", "trial"), ("orders", "orders"), ("silent", "silent"), ("secret", "secret")] {
        world.start(name, pipeline, json!({}));
    }
    for name in ["trial", "again"] {
        let run = world.wait_phase(name, Phase::Succeeded);
        assert_consistent(&run);
        let warning = condition(&run, "DeveloperMode").unwrap_or_else(|| panic!("{name}: {run:?}"));
        same("warning", warning.status.as_str(), "True");
        assert!(warning.message.contains("only the first 100 rows"), "{}", warning.message);
    }
    for name in ["orders", "silent", "secret"] {
        let run = world.wait_phase(name, Phase::Succeeded);
        assert!(condition(&run, "DeveloperMode").is_none(), "{name}: {run:?}");
    }
    world.wait_ready("default");
    let asked = world
        .sim
        .journal()
        .iter()
        .filter(|request| request.operation == Operation::Pipeline && request.pipeline.as_deref() == Some("trial"))
        .count();
    same("two runs of a pipeline ask once", asked, 1);
}

#[test]
fn a_rerun_that_is_asked_for_while_a_run_is_active_waits_for_its_end() {
    let world = World::new("patient", [quick("orders").held()]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "rerunToken": "one" }));
    let first = world.wait_phase("orders", Phase::Running).status.unwrap().current.execution_ids[0].clone();
    world.change("orders", json!({ "spec": { "rerunToken": "two" } }));
    let run = world.wait("orders", "seen", |run| run.status.as_ref().unwrap().observed_generation == run.metadata.generation);
    assert_consistent(&run);
    same("still the first attempt", (attempt(&run), world.sim.post_count()), (Some(1), 1));
    world.sim.finish(&first, Status::Failed).unwrap();
    let run = world.wait("orders", "in its second attempt", |run| {
        attempt(run) == Some(2) && !run.status.as_ref().unwrap().current.execution_ids.is_empty()
    });
    let second = run.status.unwrap().current.execution_ids[0].clone();
    world.sim.finish(&second, Status::Successful).unwrap();
    let run = world.wait_phase("orders", Phase::Succeeded);
    same("history", run.status.unwrap().history[0].result.as_deref(), Some("ExecutionFailed"));
    same("POSTs", world.sim.post_count(), 2);
}

#[test]
fn edits_of_a_running_object_take_effect_without_another_trigger() {
    let world = World::new("edits", [quick("labels").held(), quick("deadline").held(), quick("retry").held(), quick("gate").held()]);
    let _operator = world.operator();
    let id_of = |name: &str| world.wait_phase(name, Phase::Running).status.unwrap().current.execution_ids[0].clone();
    for name in ["labels", "deadline", "retry", "gate"] {
        world.start(name, name, json!({}));
    }
    let ids = ["labels", "retry", "gate"].map(id_of);
    id_of("deadline");
    world.change("labels", json!({ "metadata": { "labels": { "team": "sales" }, "annotations": { "note": "x" } } }));
    world.change("deadline", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    world.change("retry", json!({ "spec": { "retry": { "limit": 1, "backoffSeconds": 3600 } } }));
    world.change("gate", json!({ "spec": { "qualityGate": { "minRows": 1_000_000 } } }));
    same("reason", reason(&world.wait_phase("deadline", Phase::Failed)), "DeadlineExceeded");
    world.sim.finish(&ids[0], Status::Successful).unwrap();
    world.sim.update(&ids[1], Change::failed("SOURCE_UNRESPONSIVE", "no route")).unwrap();
    world.sim.finish(&ids[2], Status::Successful).unwrap();
    let run = world.wait_phase("labels", Phase::Succeeded);
    same("label", run.labels().get("team").map(String::as_str), Some("sales"));
    world.wait_reason("retry", "RetryScheduled");
    world.wait_reason("gate", "QualityGateFailed");
    same("POSTs", world.sim.post_count(), 4);
}

#[test]
fn an_execution_is_lost_only_when_list_and_read_agree_for_the_whole_grace_time() {
    let world = World::new("lost", [quick("listed").held(), quick("ended").held(), quick("gone").held()]);
    let _operator = world.operator();
    let id_of = |name: &str| world.wait_phase(name, Phase::Running).status.unwrap().current.execution_ids[0].clone();
    for name in ["listed", "ended", "gone"] {
        world.start(name, name, json!({}));
    }
    let [listed, ended, gone] = ["listed", "ended", "gone"].map(id_of);
    let denials: Vec<_> =
        ["listed", "ended"].map(|name| world.sim.add_fault(Fault::on(Operation::Read, Effect::status(404)).pipeline(name))).into();
    // The list of what is running shows the one; only the list of the whole pipeline shows that the other one exists.
    world.sim.finish(&ended, Status::Successful).unwrap();
    world.sim.remove_execution(&gone).unwrap();
    let run = world.wait_phase("gone", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "ExecutionLost");
    let first_denial = |id: &str| {
        world
            .sim
            .journal()
            .iter()
            .find(|request| request.operation == Operation::Read && request.path.ends_with(id))
            .map(|request| request.at_ms)
    };
    let asked_after = |id: &str, ms: i64| {
        let (journal, first) = (world.sim.journal(), first_denial(id));
        first.is_some_and(|first| journal.iter().any(|request| request.path.ends_with(id) && request.at_ms > first + ms))
    };
    assert!(asked_after(&gone, 2_000), "not before the grace time is over");
    world.eventually("denied for longer than that", || asked_after(&ended, 4_000));
    for name in ["listed", "ended"] {
        same(name, world.get(name).status.unwrap().phase, Some(Phase::Running));
    }
    for denial in denials {
        world.sim.remove_fault(denial);
    }
    world.wait_phase("ended", Phase::Succeeded);
    world.sim.finish(&listed, Status::Successful).unwrap();
    world.wait_phase("listed", Phase::Succeeded);
    same("POSTs", world.sim.post_count(), 3);
}

#[test]
fn an_answer_of_a_person_to_another_trigger_changes_nothing_and_says_so() {
    let world = World::new("stale", [quick("orders")]);
    let fault = world.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING));
    let _operator = world.operator();
    world.start("orders", "orders", json!({}));
    let nonce = |run: &PipelineRun| run.status.as_ref().unwrap().trigger.as_ref().unwrap().nonce.clone();
    let first = nonce(&world.wait_phase("orders", Phase::Unresolved));
    let answer = |text: &str| world.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/resolve": text } } }));
    for wrong in ["somebody-elses:abandon", "somebody-elses:adopt=e-1", "no answer at all", &format!("{first}:perhaps")] {
        answer(wrong);
        let run = world.wait("orders", &format!("told about {wrong}"), |run| message(run).contains("nothing was changed"));
        assert_consistent(&run);
        same("phase and trigger", (run.status.as_ref().unwrap().phase, nonce(&run)), (Some(Phase::Unresolved), first.clone()));
        assert!(message(&run).contains(&format!("{first}:retry")), "what to write instead: {}", message(&run));
        answer(&format!("{first}:nonsense"));
        world.wait("orders", "told about the form", |run| message(run).contains("must be <nonce>"));
    }
    answer(&format!("{first}:retry"));
    let run = world.wait("orders", "in doubt again", |run| {
        run.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Unresolved) && status.attempt == Some(2))
    });
    assert_ne!(nonce(&run), first);
    let run =
        world.wait("orders", "told that the answer is about an earlier trigger", |run| message(run).contains("not the trigger in doubt"));
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Unresolved));
    same("POSTs", world.sim.post_count(), 2);
    world.sim.remove_fault(fault);
    answer(&format!("{}:retry", nonce(&run)));
    world.wait_phase("orders", Phase::Succeeded);
    same("POSTs", (world.sim.post_count(), world.sim.executed_count()), (3, 1));
}

#[test]
fn a_run_that_is_watched_costs_a_read_each_poll_period_at_most_and_no_write() {
    let world = World::new("watching", [quick("orders").failing("PARSING_FAILURE", "line 7").delays(Delays::default())]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "followFixesSeconds": 3600 }));
    world.wait_phase("orders", Phase::Failed);
    let times = || {
        let journal = world.sim.journal();
        journal.iter().filter(|request| request.operation == Operation::Read).map(|request| request.at_ms).collect::<Vec<_>>()
    };
    world.eventually("looked at three more times", || times().len() >= 5);
    let times = times();
    let waits: Vec<i64> = times.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| *wait >= 600), "no more often than pollPeriodSeconds (1 s): {waits:?}");
    let written = world.writes().iter().filter(|write| write.subresource == "status" && write.resource == "pipelineruns").count();
    same("status writes: accepted, and the end", written, 2);
    let lists = world.sim.journal().iter().filter(|request| request.operation == Operation::List && request.at_ms > times[2]).count();
    same("lists for it", lists, 0);
}

#[test]
fn a_later_attempt_ends_at_its_deadline_also_while_its_account_cannot_be_used() {
    let world = World::new("overdue-account", [unresponsive("orders")]);
    let _operator = world.operator();
    world.start("orders", "orders", json!({ "activeDeadlineSeconds": 600, "retry": { "limit": 1, "backoffSeconds": 300 } }));
    world.wait_reason("orders", "RetryScheduled");
    let missing =
        json!({ "secretRef": { "name": "missing", "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER" });
    world.account_with("default", json!({ "licenseKey": missing }));
    let ready = || {
        let status = block_on(world.accounts().get("default")).unwrap().status.unwrap_or_default();
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == "SecretNotFound")
    };
    world.eventually("the account without its Secret", ready);
    world.change("orders", json!({ "spec": { "retry": { "backoffSeconds": 1 } } }));
    let run = world.wait_reason("orders", "AccountNotReady");
    same("attempt", attempt(&run), Some(2));
    world.change("orders", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let run = world.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "DeadlineExceeded");
    same("POSTs", world.sim.post_count(), 1);
}
