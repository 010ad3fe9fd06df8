//! The options of a run: retries, deadlines, deletion, the quality gate, repairs, and edits while it runs.

use std::time::Duration;

use kube::ResourceExt;
use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{Change, Delays, Effect, Fault, Operation, Pipeline, Stats, Status};
use serde_json::json;

use crate::environment::{Environment, assert_consistent, block_on, condition, message, reason, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

fn unresponsive(id: &str) -> Pipeline {
    quick(id).failing("SOURCE_UNRESPONSIVE", "no route")
}

/// When each POST for a pipeline arrived, in milliseconds.
fn posts(env: &Environment, pipeline: &str) -> Vec<i64> {
    let journal = env.sim.journal();
    let posts = journal.iter().filter(|request| request.operation == Operation::Create && request.pipeline.as_deref() == Some(pipeline));
    posts.map(|request| request.at_ms).collect()
}

fn exists(env: &Environment, name: &str) -> bool {
    block_on(env.runs().get_opt(name)).unwrap().is_some()
}

fn attempt(run: &PipelineRun) -> Option<i32> {
    run.status.as_ref().unwrap().attempt
}

#[test]
fn failed_execution_with_listed_error_type_is_retried_with_doubling_backoff() {
    let env = Environment::new("retry", [unresponsive("orders"), quick("parse").failing("PARSING_FAILURE", "line 7")]);
    let operator = env.operator();
    env.start("parse", "parse", json!({ "retry": { "limit": 3, "backoffSeconds": 1 } }));
    env.start("orders", "orders", json!({ "retry": { "limit": 2, "backoffSeconds": 1 } }));
    let run = env.wait_reason("orders", "RetryScheduled");
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    same("phase and attempt", (status.phase, status.attempt), (Some(Phase::Pending), Some(1)));
    assert!(status.series.retry.as_ref().unwrap().next_time.is_some() && message(&run).contains("no route"), "{}", message(&run));
    same("what failed is shown", status.current.error.as_ref().unwrap().error_type.as_deref(), Some("SOURCE_UNRESPONSIVE"));

    env.wait("orders", "in its third attempt", |run| attempt(run) == Some(3));
    env.sim.set_pipeline(quick("orders")).unwrap();
    let run = env.wait("orders", "ended", |run| run.status.as_ref().unwrap().current.completion_time.is_some());
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    let posts_at = posts(&env, "orders");
    // The third POST may have been made before the pipeline was fixed, and then failed permanently.
    assert!(["Succeeded", "ExecutionFailed"].contains(&reason(&run)), "{}", reason(&run));
    same("POSTs", posts_at.len(), 3);
    assert!(posts_at[1] - posts_at[0] >= 1_000 && posts_at[2] - posts_at[1] >= 2_000, "{posts_at:?}");
    let history: Vec<_> = status.history.iter().map(|past| (past.attempt, past.result.as_deref(), past.error_type.as_deref())).collect();
    let failed = |attempt| (attempt, Some("ExecutionFailed"), Some("SOURCE_UNRESPONSIVE"));
    same("history", history, vec![failed(1), failed(2)]);
    assert!(status.history.iter().all(|past| past.execution_ids.len() == 1 && past.start_time.is_some() && past.completion_time.is_some()));
    env.eventually("two events of retries", || {
        env.events("orders").iter().filter(|(_, reason, _)| reason == "RetryScheduled").count() == 2
    });

    let run = env.wait_phase("parse", Phase::Failed);
    assert!(message(&run).contains("onErrorTypes does not list PARSING_FAILURE"), "{}", message(&run));
    same("POSTs", env.sim.post_count_of("parse"), 1);
    let ended: f64 = operator.metrics("nuvo_operator_runs_finished_total").values().sum();
    same("a run ends once, however many attempts it takes", ended, 2.0);
}

#[test]
fn scheduled_retry_after_restart_is_kept_and_follows_the_current_spec() {
    let env = Environment::new("rescheduled", [unresponsive("orders"), unresponsive("given-up"), unresponsive("impatient")]);
    let retry = json!({ "retry": { "limit": 1, "backoffSeconds": 3600 } });
    let operator = env.operator();
    let names = ["orders", "given-up", "impatient"];
    for name in names {
        env.start(name, name, retry.clone());
    }
    for name in names {
        env.wait_reason(name, "RetryScheduled");
    }
    same("exit code", operator.stop(), Some(0));
    let _operator = env.operator();
    env.change("given-up", json!({ "spec": { "retry": { "limit": 0 } } }));
    let run = env.wait_phase("given-up", Phase::Failed);
    assert_consistent(&run);
    same("attempts", (attempt(&run), run.status.unwrap().history.len()), (Some(1), 0));
    env.sim.set_pipeline(quick("orders")).unwrap();
    env.change("orders", json!({ "spec": { "retry": { "backoffSeconds": 1 } } }));
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    same("attempt", (attempt(&run), run.status.unwrap().history.len()), (Some(2), 1));
    env.sim.set_pipeline(quick("impatient")).unwrap();
    env.change("impatient", json!({ "spec": { "rerunToken": "now" } }));
    let run = env.wait_phase("impatient", Phase::Succeeded);
    same("a person need not wait", (attempt(&run), run.status.unwrap().series.retry), (Some(2), None));
    for (name, count) in [("orders", 2), ("given-up", 1), ("impatient", 2)] {
        same(name, env.sim.post_count_of(name), count);
    }
}

#[test]
fn deadline_covers_all_attempts() {
    let env = Environment::new("overdue", [unresponsive("too-late"), unresponsive("held")]);
    let _operator = env.operator();
    env.start("too-late", "too-late", json!({ "activeDeadlineSeconds": 60, "retry": { "limit": 3, "backoffSeconds": 60 } }));
    let run = env.wait_phase("too-late", Phase::Failed);
    same("reason", reason(&run), "ExecutionFailed");
    assert!(message(&run).contains("the deadline would be over"), "{}", message(&run));

    // The second attempt is due, but must wait until it is too late for it.
    env.start("held", "held", json!({ "activeDeadlineSeconds": 600, "retry": { "limit": 3, "backoffSeconds": 300 } }));
    env.wait_reason("held", "RetryScheduled");
    env.change("held", json!({ "spec": { "suspend": true, "retry": { "backoffSeconds": 1 } } }));
    env.wait_phase("held", Phase::Suspended);
    env.change("held", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let run = env.wait_phase("held", Phase::Failed);
    assert_consistent(&run);
    same("reason", (reason(&run), attempt(&run)), ("DeadlineExceeded", Some(2)));
    env.change("held", json!({ "spec": { "suspend": false } }));
    env.sim.set_pipeline(quick("held")).unwrap();
    env.wait("held", "seen to be released", |run| run.status.as_ref().unwrap().observed_generation == run.metadata.generation);
    same("POSTs", (env.sim.post_count_of("held"), env.sim.post_count_of("too-late")), (1, 1));
    env.change("held", json!({ "spec": { "rerunToken": "again", "activeDeadlineSeconds": 600 } }));
    let run = env.wait_phase("held", Phase::Succeeded);
    same("attempt and POSTs", (attempt(&run), env.sim.post_count_of("held")), (Some(3), 2));
}

#[test]
fn run_suspended_between_attempts_holds_the_next_one() {
    let env = Environment::new("held-retry", [unresponsive("orders")]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "retry": { "limit": 1, "backoffSeconds": 300 } }));
    env.wait_reason("orders", "RetryScheduled");
    env.change("orders", json!({ "spec": { "suspend": true, "retry": { "backoffSeconds": 1 } } }));
    let run = env.wait_phase("orders", Phase::Suspended);
    assert_consistent(&run);
    same("POSTs", env.sim.post_count(), 1);
    env.sim.set_pipeline(quick("orders")).unwrap();
    env.change("orders", json!({ "spec": { "suspend": false } }));
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 2);
}

#[test]
fn ended_run_with_ttl_is_deleted_also_after_restart() {
    let env =
        Environment::new("ttl", [quick("orders"), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("late"), quick("held").held()]);
    let operator = env.operator_with(&["--quarantine-seconds", "600"]);
    env.start("held", "held", json!({ "ttlSecondsAfterFinished": 0 }));
    env.start("at-once", "orders", json!({ "ttlSecondsAfterFinished": 0 }));
    env.start("bad", "bad", json!({ "ttlSecondsAfterFinished": 1 }));
    env.start("late", "late", json!({ "ttlSecondsAfterFinished": 600 }));
    env.wait_phase("late", Phase::Succeeded);
    same("exit code", operator.stop(), Some(0));
    env.change("late", json!({ "spec": { "ttlSecondsAfterFinished": 1 } }));
    // A lock that was left behind would keep the next run of its pipeline waiting for longer than this test does.
    let _operator = env.operator_with(&["--quarantine-seconds", "600"]);
    for name in ["at-once", "bad", "late"] {
        env.eventually(&format!("{name} deleted"), || !exists(&env, name));
    }
    // The audit log has a write a moment after it was carried out.
    let deletions = || env.writes().into_iter().filter(|write| write.verb == "delete").count();
    env.eventually("three deletions", || deletions() >= 3);
    same("deletions", deletions(), 3);
    same("phase of one that has not ended", env.get("held").status.unwrap().phase, Some(Phase::Running));
    // Its lock is free at once, and its name, too.
    env.start("at-once", "orders", json!({}));
    env.wait_phase("at-once", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 5);
}

/// Argo CD, Flux or Helm would create the object again, and with it start the pipeline.
#[test]
fn ended_run_tracked_by_gitops_is_not_deleted() {
    let env = Environment::new("tracked", [quick("orders"), quick("last")]);
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
        env.start(name, "orders", json!({ "suspend": true, "ttlSecondsAfterFinished": 0 }));
        env.change(name, json!({ "metadata": metadata, "spec": { "suspend": false } }));
    }
    let hook = json!({ "argocd.argoproj.io/tracking-id": "app:nuvo.dev/PipelineRun:team/hook", "argocd.argoproj.io/hook": "PostSync" });
    env.start("hook", "orders", json!({ "suspend": true, "ttlSecondsAfterFinished": 0 }));
    env.change("hook", json!({ "metadata": { "annotations": hook }, "spec": { "suspend": false } }));
    let _operator = env.operator();
    for (name, _, wanted) in &marks {
        let run = env.wait_phase(name, Phase::Succeeded);
        assert_consistent(&run);
        let blocked = condition(&run, "DeletionBlocked").unwrap_or_else(|| panic!("{name}: {run:?}"));
        same(name, (blocked.status.as_str(), blocked.reason.as_str()), ("True", *wanted));
        assert!(blocked.message.contains("would trigger the pipeline again"), "{}", blocked.message);
    }
    let hook = env.wait_phase("hook", Phase::Succeeded);
    assert!(condition(&hook, "DeletionBlocked").is_none(), "{hook:?}");
    // Something that is processed after everything else shows that the operator had its chance.
    env.start("last", "last", json!({ "ttlSecondsAfterFinished": 1 }));
    env.eventually("the last one deleted", || !exists(&env, "last"));
    assert!(marks.iter().all(|(name, _, _)| exists(&env, name)));
    // Argo CD still has to see how the hook ended. It has had its time when the end is long ago.
    env.change_status("hook", json!({ "status": { "completionTime": "2026-01-01T00:00:00Z" } }));
    env.eventually("the hook deleted", || !exists(&env, "hook"));
    // Once no tool tracks it any more, it is deleted.
    env.change("flux", json!({ "metadata": { "labels": { "kustomize.toolkit.fluxcd.io/name": null } } }));
    env.eventually("deleted", || !exists(&env, "flux"));
}

#[test]
fn quality_gate_limit_exceeded_fails_a_successful_execution() {
    let stats = Stats { total_rows: 100, total_cells: 800, total_error_rows: 5, total_error_cells: 9 };
    let env = Environment::new("gate", [quick("orders").stats(stats)]);
    let _operator = env.operator();
    let gates = [
        ("rows", json!({ "maxErrorRows": 5 }), json!({ "maxErrorRows": 4 }), "5 rows with errors, at most 4"),
        ("cells", json!({ "maxErrorCells": 9 }), json!({ "maxErrorCells": 8 }), "9 cells with errors, at most 8"),
        ("percent", json!({ "maxErrorRowPercent": 5 }), json!({ "maxErrorRowPercent": 4 }), "5 of 100 rows have errors, at most 4 percent"),
        ("least", json!({ "minRows": 100 }), json!({ "minRows": 101 }), "100 rows, at least 101"),
    ];
    for (name, open, shut, _) in &gates {
        env.start(&format!("{name}-open"), "orders", json!({ "qualityGate": open }));
        env.start(&format!("{name}-shut"), "orders", json!({ "qualityGate": shut, "retry": { "limit": 3 } }));
    }
    for (name, _, _, words) in &gates {
        same("reason", reason(&env.wait_phase(&format!("{name}-open"), Phase::Succeeded)), "Succeeded");
        let run = env.wait_phase(&format!("{name}-shut"), Phase::Failed);
        assert_consistent(&run);
        same("reason", reason(&run), "QualityGateFailed");
        assert!(message(&run).contains(words), "{}", message(&run));
        same("what nuvo says is kept", run.status.unwrap().current.executions[0].status.as_deref(), Some("SUCCESSFUL"));
    }
    same("POSTs", env.sim.post_count(), 8);
}

#[test]
fn execution_repaired_in_nuvo_is_shown_with_new_statistics() {
    let rows = |total_rows, total_error_rows| Stats { total_rows, total_error_rows, ..Stats::default() };
    let env = Environment::new("fixed", [quick("orders").held(), quick("others").held()]);
    let operator = env.operator();
    env.start("orders", "orders", json!({ "followFixesSeconds": 3600 }));
    env.start("unwatched", "others", json!({}));
    let id_of = |name: &str| env.wait_phase(name, Phase::Running).status.unwrap().current.execution_ids[0].clone();
    let (id, unwatched) = (id_of("orders"), id_of("unwatched"));
    for id in [&id, &unwatched] {
        env.sim.update(id, Change::failed("PARSING_FAILURE", "line 7").stats(rows(90, 10))).unwrap();
    }
    let failed = env.wait_phase("orders", Phase::Failed);
    same("rows", failed.status.as_ref().unwrap().current.stats.unwrap().total_rows, Some(90));
    env.wait_phase("unwatched", Phase::Failed);
    // The next operator knows that it is watched.
    same("exit code", operator.stop(), Some(0));
    let operator = env.operator();
    let lists = || env.requests(Operation::List);
    for id in [&id, &unwatched] {
        env.sim.update(id, Change::status(Status::Processing)).unwrap();
    }
    let before = lists();
    env.eventually("looked at", || lists() > before + 1);
    let run = env.get("orders");
    same("a repair that is under way changes nothing", run.metadata.resource_version, failed.metadata.resource_version);
    for id in [&id, &unwatched] {
        env.sim.update(id, Change::status(Status::Successful).stats(rows(100, 0))).unwrap();
    }
    let run = env.wait_phase("orders", Phase::Succeeded);
    assert_consistent(&run);
    let status = run.status.as_ref().unwrap();
    same("reason", (reason(&run), status.current.error.clone()), ("FixedInNuvo", None));
    same("the same execution", &status.current.execution_ids, &vec![id.clone()]);
    same("rows", status.current.stats.map(|stats| (stats.total_rows, stats.total_error_rows)), Some((Some(100), Some(0))));
    let kinds: Vec<_> = status.current.executions[0].runs.iter().filter_map(|run| run.run_type.clone()).collect();
    same("passes", kinds, vec!["CREATE".to_owned(), "FIX".to_owned()]);
    assert!(env.wait_note("orders", "Fixed").contains("100 rows"));
    same("the other one", reason(&env.get("unwatched")), "ExecutionFailed");
    let asked =
        env.sim.journal().iter().filter(|request| request.operation == Operation::Read && request.path.ends_with(&unwatched)).count();
    same("reads of the other one: its end", asked, 1);
    same("POSTs", env.sim.post_count(), 2);
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn developer_mode_is_a_warning_and_its_lookup_failure_delays_no_end() {
    let env = Environment::new("developer", [quick("trial").developer_mode(true), quick("orders"), quick("silent"), quick("secret")]);
    env.sim.add_fault(Fault::on(Operation::Pipeline, Effect::HANG_BEFORE_EXECUTING).pipeline("silent"));
    env.sim.add_fault(Fault::on(Operation::Pipeline, Effect::status(503).header("retry-after", "60")).pipeline("secret"));
    let _operator = env.operator();
    for (name, pipeline) in [("trial", "trial"), ("again", "trial"), ("orders", "orders"), ("silent", "silent"), ("secret", "secret")] {
        env.start(name, pipeline, json!({}));
    }
    for name in ["trial", "again"] {
        let run = env.wait_phase(name, Phase::Succeeded);
        assert_consistent(&run);
        let warning = condition(&run, "DeveloperMode").unwrap_or_else(|| panic!("{name}: {run:?}"));
        same("warning", warning.status.as_str(), "True");
        assert!(warning.message.contains("only the first 100 rows"), "{}", warning.message);
    }
    for name in ["orders", "silent", "secret"] {
        let run = env.wait_phase(name, Phase::Succeeded);
        assert!(condition(&run, "DeveloperMode").is_none(), "{name}: {run:?}");
    }
    env.wait_ready("default");
    let asked = env
        .sim
        .journal()
        .iter()
        .filter(|request| request.operation == Operation::Pipeline && request.pipeline.as_deref() == Some("trial"))
        .count();
    same("two runs of a pipeline ask once", asked, 1);
}

#[test]
fn rerun_token_set_on_an_active_run_waits_for_its_end() {
    let env = Environment::new("patient", [quick("orders").held()]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "rerunToken": "one" }));
    let first = env.wait_phase("orders", Phase::Running).status.unwrap().current.execution_ids[0].clone();
    env.change("orders", json!({ "spec": { "rerunToken": "two" } }));
    let run = env.wait("orders", "seen", |run| run.status.as_ref().unwrap().observed_generation == run.metadata.generation);
    assert_consistent(&run);
    same("still the first attempt", (attempt(&run), env.sim.post_count()), (Some(1), 1));
    env.sim.finish(&first, Status::Failed).unwrap();
    let run = env.wait("orders", "in its second attempt", |run| {
        attempt(run) == Some(2) && !run.status.as_ref().unwrap().current.execution_ids.is_empty()
    });
    let second = run.status.unwrap().current.execution_ids[0].clone();
    env.sim.finish(&second, Status::Successful).unwrap();
    let run = env.wait_phase("orders", Phase::Succeeded);
    same("history", run.status.unwrap().history[0].result.as_deref(), Some("ExecutionFailed"));
    same("POSTs", env.sim.post_count(), 2);
}

/// Flux removes what kubectl has set, if Git does not have it.
#[test]
fn rerun_token_that_is_removed_again_is_lost_on_an_active_run_and_counts_on_an_ended_one() {
    let env = Environment::new("removed-token", [quick("orders").held()]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let set = |token: Option<&str>| {
        env.change("orders", json!({ "spec": { "rerunToken": token } }));
        env.wait("orders", "seen", |run| run.status.as_ref().unwrap().observed_generation == run.metadata.generation)
    };
    let end = || {
        let running = env.wait_phase("orders", Phase::Running);
        env.sim.finish(&running.status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
        env.wait_phase("orders", Phase::Succeeded)
    };
    env.wait_phase("orders", Phase::Running);
    same("waits", set(Some("by hand")).status.unwrap().waiting_rerun_token.as_deref(), Some("by hand"));
    same("waits", set(None).status.unwrap().waiting_rerun_token, None);
    let note = env.wait_note("orders", "RerunTokenRemoved");
    assert!(note.contains("by hand"), "{note}");
    same("attempt", attempt(&end()), Some(1));
    env.change("orders", json!({ "spec": { "rerunToken": "by hand, too" } }));
    env.wait("orders", "in its second attempt", |run| attempt(run) == Some(2));
    set(None);
    same("attempt", attempt(&end()), Some(2));
    set(None);
    same("POSTs", env.sim.post_count(), 2);
    same("tokens lost", env.events("orders").iter().filter(|(_, reason, _)| reason == "RerunTokenRemoved").count(), 1);
}

#[test]
fn spec_edited_on_a_running_run_takes_effect_without_a_trigger() {
    let env = Environment::new("edits", [quick("labels").held(), quick("deadline").held(), quick("retry").held(), quick("gate").held()]);
    let _operator = env.operator();
    let id_of = |name: &str| env.wait_phase(name, Phase::Running).status.unwrap().current.execution_ids[0].clone();
    for name in ["labels", "deadline", "retry", "gate"] {
        env.start(name, name, json!({}));
    }
    let ids = ["labels", "retry", "gate"].map(id_of);
    id_of("deadline");
    env.change("labels", json!({ "metadata": { "labels": { "team": "sales" }, "annotations": { "note": "x" } } }));
    env.change("deadline", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    env.change("retry", json!({ "spec": { "retry": { "limit": 1, "backoffSeconds": 3600 } } }));
    env.change("gate", json!({ "spec": { "qualityGate": { "minRows": 1_000_000 } } }));
    same("reason", reason(&env.wait_phase("deadline", Phase::Failed)), "DeadlineExceeded");
    env.sim.finish(&ids[0], Status::Successful).unwrap();
    env.sim.update(&ids[1], Change::failed("SOURCE_UNRESPONSIVE", "no route")).unwrap();
    env.sim.finish(&ids[2], Status::Successful).unwrap();
    let run = env.wait_phase("labels", Phase::Succeeded);
    same("label", run.labels().get("team").map(String::as_str), Some("sales"));
    env.wait_reason("retry", "RetryScheduled");
    env.wait_reason("gate", "QualityGateFailed");
    same("POSTs", env.sim.post_count(), 4);
}

#[test]
fn execution_missing_from_list_and_read_for_the_grace_time_is_lost() {
    let env = Environment::new("lost", [quick("listed").held(), quick("ended").held(), quick("gone").held()]);
    let _operator = env.operator();
    let id_of = |name: &str| env.wait_phase(name, Phase::Running).status.unwrap().current.execution_ids[0].clone();
    for name in ["listed", "ended", "gone"] {
        env.start(name, name, json!({}));
    }
    let [listed, ended, gone] = ["listed", "ended", "gone"].map(id_of);
    let denials: Vec<_> =
        ["listed", "ended"].map(|name| env.sim.add_fault(Fault::on(Operation::Read, Effect::status(404)).pipeline(name))).into();
    // The list of what is running shows the one; only the list of the whole pipeline shows that the other one exists.
    env.sim.finish(&ended, Status::Successful).unwrap();
    env.sim.remove_execution(&gone).unwrap();
    let run = env.wait_phase("gone", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "ExecutionLost");
    let first_denial = |id: &str| {
        env.sim
            .journal()
            .iter()
            .find(|request| request.operation == Operation::Read && request.path.ends_with(id))
            .map(|request| request.at_ms)
    };
    let asked_after = |id: &str, ms: i64| {
        let (journal, first) = (env.sim.journal(), first_denial(id));
        first.is_some_and(|first| journal.iter().any(|request| request.path.ends_with(id) && request.at_ms > first + ms))
    };
    assert!(asked_after(&gone, 2_000), "not before the grace time is over");
    env.eventually("denied for longer than that", || asked_after(&ended, 4_000));
    for name in ["listed", "ended"] {
        same(name, env.get(name).status.unwrap().phase, Some(Phase::Running));
    }
    for denial in denials {
        env.sim.remove_fault(denial);
    }
    env.wait_phase("ended", Phase::Succeeded);
    env.sim.finish(&listed, Status::Successful).unwrap();
    env.wait_phase("listed", Phase::Succeeded);
    same("POSTs", env.sim.post_count(), 3);
}

#[test]
fn resolve_annotation_for_another_trigger_changes_nothing_and_is_reported() {
    let env = Environment::new("stale", [quick("orders")]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING));
    let _operator = env.operator();
    env.start("orders", "orders", json!({}));
    let nonce = |run: &PipelineRun| run.status.as_ref().unwrap().trigger.as_ref().unwrap().nonce.clone();
    let first = nonce(&env.wait_phase("orders", Phase::Unresolved));
    let answer = |text: &str| env.change("orders", json!({ "metadata": { "annotations": { "nuvo.dev/resolve": text } } }));
    for wrong in ["nonce-of-another-run:abandon", "nonce-of-another-run:adopt=e-1", "no answer at all", &format!("{first}:perhaps")] {
        answer(wrong);
        let run = env.wait("orders", &format!("showing that {wrong} is wrong"), |run| message(run).contains("Nothing was changed"));
        assert_consistent(&run);
        same("phase and trigger", (run.status.as_ref().unwrap().phase, nonce(&run)), (Some(Phase::Unresolved), first.clone()));
        assert!(message(&run).contains(&format!("{first}:retry")), "what to write instead: {}", message(&run));
        answer(&format!("{first}:nonsense"));
        env.wait("orders", "showing the form", |run| message(run).contains("must be <nonce>"));
    }
    answer(&format!("{first}:retry"));
    let run = env.wait("orders", "in doubt again", |run| {
        run.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Unresolved) && status.attempt == Some(2))
    });
    assert_ne!(nonce(&run), first);
    let run =
        env.wait("orders", "showing that the answer is about an earlier trigger", |run| message(run).contains("not the trigger in doubt"));
    same("phase", run.status.as_ref().unwrap().phase, Some(Phase::Unresolved));
    same("POSTs", env.sim.post_count(), 2);
    env.sim.remove_fault(fault);
    answer(&format!("{}:retry", nonce(&run)));
    env.wait_phase("orders", Phase::Succeeded);
    same("POSTs", (env.sim.post_count(), env.sim.executed_count()), (3, 1));
}

#[test]
fn run_watched_for_fixes_costs_one_read_per_poll_period_and_no_write() {
    let env = Environment::new("watching", [quick("orders").failing("PARSING_FAILURE", "line 7").delays(Delays::default())]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "followFixesSeconds": 3600 }));
    env.wait_phase("orders", Phase::Failed);
    let times = || {
        let journal = env.sim.journal();
        journal.iter().filter(|request| request.operation == Operation::Read).map(|request| request.at_ms).collect::<Vec<_>>()
    };
    env.eventually("looked at three more times", || times().len() >= 5);
    let times = times();
    let waits: Vec<i64> = times.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| *wait >= 600), "no more often than pollPeriodSeconds (1 s): {waits:?}");
    let written = env.writes().iter().filter(|write| write.subresource == "status" && write.resource == "pipelineruns").count();
    same("status writes: accepted, and the end", written, 2);
    let lists = env.sim.journal().iter().filter(|request| request.operation == Operation::List && request.at_ms > times[2]).count();
    same("lists for it", lists, 0);
}

#[test]
fn later_attempt_with_unusable_account_ends_at_its_deadline() {
    let env = Environment::new("overdue-account", [unresponsive("orders")]);
    let _operator = env.operator();
    env.start("orders", "orders", json!({ "activeDeadlineSeconds": 600, "retry": { "limit": 1, "backoffSeconds": 300 } }));
    env.wait_reason("orders", "RetryScheduled");
    let missing =
        json!({ "secretRef": { "name": "missing", "key": "license-key" }, "identifier": "demo@example.com", "identityType": "USER" });
    env.account_with("default", json!({ "licenseKey": missing }));
    let ready = || {
        let status = block_on(env.accounts().get("default")).unwrap().status.unwrap_or_default();
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == "SecretNotFound")
    };
    env.eventually("the account without its Secret", ready);
    env.change("orders", json!({ "spec": { "retry": { "backoffSeconds": 1 } } }));
    let run = env.wait_reason("orders", "AccountNotReady");
    same("attempt", attempt(&run), Some(2));
    env.change("orders", json!({ "spec": { "activeDeadlineSeconds": 1 } }));
    let run = env.wait_phase("orders", Phase::Failed);
    assert_consistent(&run);
    same("reason", reason(&run), "DeadlineExceeded");
    same("POSTs", env.sim.post_count(), 1);
}
