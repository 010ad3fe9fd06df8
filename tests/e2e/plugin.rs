//! `kubectl nuvo` as people and scripts use it: its output and its exit codes.

use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

use kube::api::PostParams;
use nuvo_crds::Phase;
use nuvo_sim::{Effect, Fault, Operation, Pipeline, Stats, Status};
use serde_json::{Value, json};

use crate::environment::{Environment, block_on, message, same};

fn quick(id: &str) -> Pipeline {
    Pipeline::new(id).duration(Duration::from_millis(300))
}

/// What it has output and what it ended with.
struct PluginOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for PluginOutput {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl PluginOutput {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn prints(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word), "{word:?} is not in\n{}\n--\n{}", self.out, self.err);
        }
        self
    }

    #[track_caller]
    fn reports(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in\n{}\n--\n{}", self.err, self.out);
        }
        self
    }

    /// The name in `pipelinerun.nuvo.dev/NAME created`.
    fn name(&self) -> String {
        let line = self.out.lines().find(|line| line.starts_with("pipelinerun.nuvo.dev/")).unwrap_or_else(|| panic!("{}", self.out));
        line.split_whitespace().next().unwrap().split('/').nth(1).unwrap().to_owned()
    }
}

fn command(env: &Environment, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::environment::kubectl_nuvo());
    command.env("KUBECONFIG", env.server.admin_kubeconfig()).args(["--namespace", &env.namespace]).args(arguments);
    command
}

fn nuvo(env: &Environment, arguments: &[&str]) -> PluginOutput {
    command(env, arguments).output().unwrap().into()
}

#[test]
fn run_with_wait_exits_with_the_result_of_the_run() {
    let stats = Stats { total_rows: 1200, total_cells: 9600, total_error_rows: 2, total_error_cells: 3 };
    let env = Environment::new(
        "plugin",
        [quick("Sales_Orders").stats(stats), quick("bad").failing("PARSING_FAILURE", "line 7"), quick("held").held()],
    );
    let _operator = env.operator();
    let output = nuvo(&env, &["run", "Sales_Orders", "--wait", "--label", "team=sales", "--ttl", "1h"]).exits(0);
    let name = output.name();
    assert!(name.starts_with("sales-orders-"), "{name}");
    let output = output.prints(&["created"]).reports(&["Running", "Succeeded", "1200 rows"]);
    assert!(!output.err.contains('\u{1b}'), "no terminal, no control sequences: {:?}", output.err);
    let run = env.get(&name);
    same("label", run.metadata.labels.clone().unwrap().get("team").cloned(), Some("sales".to_owned()));
    same("ttl", run.spec.ttl_seconds_after_finished, Some(3_600));

    let output = nuvo(&env, &["run", "bad", "--name", "bad", "--watch"]).exits(3);
    output.reports(&["Failed (ExecutionFailed)", "line 7", &format!("kubectl nuvo describe bad -n {}", env.namespace)]);
    let output = nuvo(&env, &["describe", "bad"]).exits(0);
    output.prints(&[
        "Status:    Failed (ExecutionFailed)",
        "PARSING_FAILURE: line 7",
        "What to do next:",
        "$ kubectl nuvo rerun bad -n ",
        "EXECUTION",
        "FAILED",
    ]);

    nuvo(&env, &["run", "held", "--name", "held", "--wait", "--timeout", "1s"]).exits(5).reports(&["the run continues"]);
    env.wait_phase("held", Phase::Running);
    nuvo(&env, &["rerun", "held"]).exits(1).reports(&["has not ended"]);
    nuvo(&env, &["describe", "held"]).exits(0).prints(&["Nothing: it continues by itself", "kubectl nuvo wait held"]);
    let mut waiting = command(&env, &["wait", "held", "bad"]).spawn().unwrap();
    env.sim.finish(&env.get("held").status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
    same("the worst result counts", waiting.wait().unwrap().code(), Some(3));
    same("POSTs", env.sim.post_count(), 3);
}

/// As a step of another system that is killed and tried again. The POSTs are counted.
#[test]
fn run_that_exists_is_followed_if_asked_for_and_starts_nothing() {
    let env = Environment::new("plugin-exists", [quick("orders").held(), quick("other")]);
    let _operator = env.operator();
    let step = ["run", "orders", "--name", "orders-0427", "--if-exists", "follow"];
    nuvo(&env, &step).exits(0).prints(&["orders-0427 created"]);
    env.wait_phase("orders-0427", Phase::Running);
    let mut killed = command(&env, &[&step[..], &["--wait"]].concat()).spawn().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let wait = ["--wait", "--timeout", "1m"];
    let waiting = command(&env, &[&step[..], &wait].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    env.sim.finish(&env.get("orders-0427").status.unwrap().current.execution_ids[0], Status::Successful).unwrap();
    PluginOutput::from(waiting.wait_with_output().unwrap()).exits(0).prints(&["orders-0427 exists"]);
    // After its end, too: a step that was tried again late has the result of the first.
    nuvo(&env, &[&step[..], &["--wait", "-o", "name"]].concat()).exits(0).prints(&["pipelinerun.nuvo.dev/orders-0427"]);
    same("POSTs", env.sim.post_count(), 1);

    nuvo(&env, &["run", "orders", "--name", "orders-0427"]).exits(1).reports(&["already exists"]);
    nuvo(&env, &["run", "orders", "--name", "orders-0427", "--if-exists", "fail"]).exits(1).reports(&["already exists"]);
    let other = nuvo(&env, &["run", "other", "--name", "orders-0427", "--if-exists", "follow"]).exits(1);
    other.reports(&["it is a run of pipeline orders with account default: choose another name"]);
    nuvo(&env, &["run", "orders", "--if-exists", "follow"]).exits(2).reports(&["--name"]);
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn list_prints_tables_and_formats_for_scripts() {
    let stats = Stats { total_rows: 1200, total_error_rows: 2, ..Stats::default() };
    let env = Environment::new("plugin-list", [quick("orders").stats(stats), quick("bad").failing("PARSING_FAILURE", "line 7")]);
    let _operator = env.operator();
    nuvo(&env, &["list"]).exits(0).reports(&["No runs found in namespace"]);
    let name = nuvo(&env, &["run", "orders", "-o", "name", "--wait"]).exits(0).name();
    let json: Value = serde_json::from_str(&nuvo(&env, &["run", "bad", "--name", "bad", "--wait", "-o", "json"]).exits(3).out).unwrap();
    same("the object as it ended", json["status"]["phase"].clone(), json!("Failed"));
    let listed = nuvo(&env, &["list"]).exits(0).prints(&["NAME", "PIPELINE", "STATUS", &name, "Succeeded", "1200", "PARSING_FAILURE"]);
    let columns = listed.out.lines().next().unwrap().split_whitespace().count();
    assert!(nuvo(&env, &["get", "-o", "wide"]).exits(0).out.lines().next().unwrap().split_whitespace().count() > columns);
    same("names", nuvo(&env, &["list", "--phase", "Failed", "-o", "name"]).exits(0).out, "pipelinerun.nuvo.dev/bad\n".to_owned());
    same(
        "of a pipeline",
        nuvo(&env, &["list", "--pipeline", "orders", "-o", "name"]).exits(0).out,
        format!("pipelinerun.nuvo.dev/{name}\n"),
    );
    nuvo(&env, &["list", "-A"]).exits(0).prints(&["NAMESPACE", &env.namespace]);
    let yaml: Value = serde_yaml::from_str(&nuvo(&env, &["list", "-o", "yaml"]).exits(0).out).unwrap();
    same("a list", (yaml["kind"].clone(), yaml["items"].as_array().map(Vec::len)), (json!("List"), Some(2)));
    nuvo(&env, &["accounts"]).exits(0).prints(&["default", "True", "Ready", "demo@example.com"]);
    nuvo(&env, &["history", "bad"]).exits(0).prints(&["Attempt 1: ExecutionFailed", "CREATE", "FAILED"]);
    nuvo(&env, &["completion", "bash"]).exits(0).prints(&["kubectl-nuvo", "rerun"]);
}

#[test]
fn resolve_rerun_suspend_and_resume_change_the_run() {
    let env = Environment::new("plugin-answer", [quick("orders")]);
    let fault = env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let _operator = env.operator();
    nuvo(&env, &["run", "orders", "--name", "orders", "--wait"]).exits(4).reports(&["Unresolved (TriggerOutcomeUnknown)"]);
    assert!(env.sim.fault_count(fault) > 0);
    nuvo(&env, &["describe", "orders"]).exits(0).prints(&["kubectl nuvo resolve orders -n", "--adopt <execution id>", "--abandon"]);
    nuvo(&env, &["resolve", "orders"]).exits(2).reports(&["--adopt", "--retry", "--abandon"]);
    nuvo(&env, &["resolve", "orders", "--adopt", "../x"]).exits(1).reports(&["not a valid execution id"]);
    nuvo(&env, &["resolve", "orders", "--adopt", "no-such-execution"]).exits(0);
    env.wait("orders", "showing that nuvo does not know it", |run| message(run).contains("does not know execution no-such-execution"));
    nuvo(&env, &["resolve", "orders", "--retry"]).exits(0).prints(&["resolved: retry"]);
    env.wait_phase("orders", Phase::Succeeded);
    nuvo(&env, &["resolve", "orders", "--retry"]).exits(1).reports(&["has no trigger in doubt"]);

    nuvo(&env, &["rerun", "orders", "--rerun-token", "again", "--wait"]).exits(0).reports(&["attempt 3", "Succeeded"]);
    nuvo(&env, &["rerun", "orders", "--rerun-token", "again"]).exits(1).reports(&["use another one"]);
    nuvo(&env, &["history", "orders"]).exits(0).prints(&[
        "Attempt 1: TriggerOutcomeUnknown",
        "Attempt 2: Succeeded",
        "Attempt 3: Succeeded",
    ]);
    nuvo(&env, &["suspend", "orders"]).exits(0).prints(&["suspended (its executions continue: nuvo has no cancel)"]);
    // The operator notes the new generation, and the next command must not change the run at the same time.
    env.wait("orders", "noted", |run| run.status.as_ref().is_some_and(|status| status.observed_generation == run.metadata.generation));
    nuvo(&env, &["rerun", "orders"]).exits(0);
    env.wait_phase("orders", Phase::Suspended);
    nuvo(&env, &["resume", "orders"]).exits(0);
    nuvo(&env, &["wait", "orders", "--timeout", "1m"]).exits(0);
    same("carried out", env.sim.executed_count(), 3);
}

/// A backup that was restored without the status of its objects.
#[test]
fn restored_runs_are_closed_with_one_command_and_deleted_by_their_ttl() {
    let env = Environment::new("plugin-restored", [quick("orders")]);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING));
    for (name, ttl) in [("old-1", Some(0)), ("old-2", Some(0)), ("old-3", None)] {
        let marker = json!({
            "uid": "00000000-0000-0000-0000-000000000001", "namespace": env.namespace, "name": name, "nonce": format!("n-{name}"),
            "tenure": format!("n-{name}"), "attempt": 1,
        });
        let restored = json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": { "name": name, "labels": { "backup": if ttl.is_some() { "a" } else { "b" } }, "annotations": { "nuvo.dev/trigger": marker.to_string() } },
            "spec": { "pipelineId": "orders", "ttlSecondsAfterFinished": ttl },
        });
        block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(restored).unwrap())).unwrap();
    }
    let _operator = env.operator();
    for name in ["old-1", "old-2", "old-3"] {
        env.wait_reason(name, "StatusLost");
    }
    env.start("doubtful", "orders", json!({}));
    env.wait_reason("doubtful", "TriggerOutcomeUnknown");
    let phases = || {
        ["doubtful", "old-1", "old-2", "old-3"]
            .map(|name| block_on(env.runs().get_opt(name)).unwrap().map(|run| run.status.unwrap().phase.unwrap()))
    };
    let unresolved = Some(Phase::Unresolved);

    nuvo(&env, &["resolve", "--all", "--retry"]).exits(2).reports(&["--all", "--retry"]);
    nuvo(&env, &["resolve", "--all"]).exits(2).reports(&["--abandon"]);
    nuvo(&env, &["resolve", "old-1", "--all", "--abandon"]).exits(2);
    nuvo(&env, &["resolve", "old-1", "--abandon", "-l", "backup=a"]).exits(2).reports(&["--selector"]);
    nuvo(&env, &["resolve", "--abandon", "--yes"]).exits(2).reports(&["<RUN>"]);
    // Without a terminal or an answer nothing happens.
    let asked = command(&env, &["resolve", "--all", "--abandon"]).stdin(Stdio::null()).output().unwrap();
    PluginOutput::from(asked).exits(1).reports(&["old-1", "doubtful", "StatusLost", "runs to close: 4", "nothing was changed"]);
    same("before", phases(), [unresolved; 4]);
    nuvo(&env, &["resolve", "--all", "--abandon", "--yes", "-l", "backup=c"]).exits(0).reports(&["No such run is Unresolved"]);

    let lost = ["resolve", "--all", "--abandon", "--yes", "--reason", "StatusLost"];
    let closed =
        nuvo(&env, &[&lost[..], &["-l", "backup=a"]].concat()).exits(0).prints(&["old-1 resolved: abandon", "old-2 resolved: abandon"]);
    same("closed", closed.out.lines().count(), 2);
    // Their time has passed, so the operator deletes them.
    env.eventually("old-1 and old-2 deleted", || phases() == [unresolved, None, None, unresolved]);
    nuvo(&env, &[&lost[..], &["-A", "-l", "backup=b"]].concat()).exits(0).prints(&["old-3 resolved: abandon"]);
    env.eventually("old-3 closed", || phases() == [unresolved, None, None, Some(Phase::Failed)]);
    same("answer", env.get("old-3").metadata.annotations.unwrap()["nuvo.dev/resolve"].clone(), "n-old-3:abandon".to_owned());
    same("POSTs", env.sim.post_count(), 1);
}

#[test]
fn user_errors_are_reported_with_advice() {
    let env = Environment::new("plugin-wrong", [quick("orders")]);
    nuvo(&env, &["describe", "nothing"]).exits(1).reports(&["PipelineRun nothing not found", "kubectl nuvo list"]);
    nuvo(&env, &["run", "https://nuvo.example/orders"]).exits(1).reports(&["not a valid pipeline id"]);
    nuvo(&env, &["run"]).exits(2);
    nuvo(&env, &["run", "orders", "--timeout", "1s"]).exits(2).reports(&["--wait"]);
    nuvo(&env, &["run", "orders", "--retries", "11"]).exits(2);
    nuvo(&env, &["--context", "nowhere", "list"]).exits(1).reports(&["kubeconfig", "--context"]);
    let nowhere = env.server.folder().join("no-such-kubeconfig").display().to_string();
    nuvo(&env, &["--kubeconfig", &nowhere, "list"]).exits(1).reports(&["kubeconfig"]);
    // A run that is deleted while it is waited for has no result.
    env.start("gone", "orders", json!({ "suspend": true }));
    let waiting = command(&env, &["wait", "gone"]).stderr(Stdio::piped()).spawn().unwrap();
    let _operator = env.operator();
    env.wait_phase("gone", Phase::Suspended);
    env.delete("gone");
    PluginOutput::from(waiting.wait_with_output().unwrap()).exits(1).reports(&["was deleted before it ended"]);
    same("POSTs", env.sim.post_count(), 0);
}

/// Without an operator: the objects say all there is to show.
#[test]
fn pipelines_are_listed_and_described_with_an_exit_code_for_scripts() {
    let env = Environment::new("plugin-pipelines", []);
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({ "type": kind, "status": status, "reason": reason, "message": format!("{kind} says {reason}."),
            "lastTransitionTime": "2026-11-24T00:00:00Z", "observedGeneration": 1 })
    };
    let success = json!({ "id": "e-1", "status": "SUCCESSFUL", "triggerType": "SCHEDULED", "createdAt": "2026-11-24T00:00:00Z",
        "endedAt": "2026-11-24T00:01:00Z", "createdBy": "robot (SUB_ORG)", "stats": { "totalRows": 120, "totalErrorRows": 3 } });
    let of_good = [condition("Ready", "True", "Observed"), condition("LastExecutionSucceeded", "True", "Succeeded")];
    let of_stale = [&of_good[..], &[condition("Fresh", "False", "Stale")]].concat();
    for (name, conditions) in [("good", of_good.to_vec()), ("stale", of_stale), ("unseen", Vec::new())] {
        let object = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "NuvoPipeline",
            "metadata": { "name": name, "namespace": env.namespace }, "spec": { "pipelineId": format!("id-of-{name}") } });
        env.server.apply(&object.to_string()).unwrap();
        if !conditions.is_empty() {
            let status = json!({ "status": { "observedGeneration": 1, "name": "Deliveries", "conditions": conditions,
                "lastExecution": success, "lastSuccess": success, "recent": [success] } });
            env.kubectl(&["patch", "npl", name, "--subresource=status", "--type=merge", "-p", &status.to_string()]).unwrap();
        }
    }
    let list = nuvo(&env, &["pipeline", "list"]).exits(0).prints(&["NAME", "FRESH", "id-of-good", "SCHEDULED", "120", "False", "unseen"]);
    same("lines", list.out.lines().count(), 4);
    let names = nuvo(&env, &["pipeline", "list", "-o", "name"]).exits(0);
    same("names", names.out.lines().next(), Some("nuvopipeline.nuvo.dev/good"));
    nuvo(&env, &["pipelines", "get", "-A", "-o", "wide"]).exits(0).prints(&["NAMESPACE", "NAME IN NUVO", "Deliveries", "Unseen"]);

    let found = nuvo(&env, &["pipeline", "describe", "stale"]).exits(0);
    found.prints(&["Fresh:        False (Stale)", "Fresh says Stale.", "What to do next:", "Last executions:", "robot (SUB_ORG)"]);
    for (names, code) in
        [(&["good"][..], 0), (&["stale"], 3), (&["unseen"], 6), (&["good", "unseen"], 6), (&["unseen", "stale", "good"], 3)]
    {
        nuvo(&env, &[&["pipeline", "describe", "--check"], names].concat()).exits(code);
    }
    nuvo(&env, &["pipeline", "describe", "none"]).exits(1).reports(&["NuvoPipeline none not found", "kubectl nuvo pipeline list"]);
    nuvo(&env, &["pipeline", "describe"]).exits(2);
    same("requests to nuvo", env.sim.journal().len(), 0);
}

/// Without an operator: the objects say all there is to show, and what the commands write can be read from them.
#[test]
fn schedules_are_listed_described_run_suspended_and_resumed() {
    let env = Environment::new("plugin-schedules", []);
    for (name, zone) in [("nightly", "Europe/Berlin"), ("unseen", "UTC")] {
        let template = json!({ "metadata": { "labels": { "team": "data" } }, "spec": { "pipelineId": format!("id-of-{name}"), "ttlSecondsAfterFinished": 600 } });
        let object = json!({ "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineSchedule",
            "metadata": { "name": name, "namespace": env.namespace, "annotations": { "argocd.argoproj.io/tracking-id": "app" } },
            "spec": { "schedules": ["30 2 * * 1-5"], "timeZone": zone, "runTemplate": template } });
        env.server.apply(&object.to_string()).unwrap();
    }
    let ready = json!({ "type": "Ready", "status": "True", "reason": "Scheduled", "message": "All is well.",
        "lastTransitionTime": "2026-11-24T00:00:00Z", "observedGeneration": 1 });
    let status = json!({ "status": { "observedGeneration": 1, "conditions": [ready], "activeCount": 0,
        "missed": { "total": 2, "lastTime": "2026-11-24T01:30:00Z", "lastReason": "TooLate" } } });
    env.kubectl(&["patch", "nps", "nightly", "--subresource=status", "--type=merge", "-p", &status.to_string()]).unwrap();

    let list = nuvo(&env, &["schedule", "list"]).exits(0).prints(&["NAME", "NEXT", "30 2 * * 1-5", "Europe/Berlin", "Scheduled", "Unseen"]);
    same("lines", list.out.lines().count(), 3);
    let names = nuvo(&env, &["schedules", "get", "-o", "name"]).exits(0);
    same("names", names.out.lines().next(), Some("pipelineschedule.nuvo.dev/nightly"));

    let run = nuvo(&env, &["schedule", "run-now", "nightly"]).exits(0).name();
    let created = env.raw("pipelineruns", &run);
    let schedule = env.raw("pipelineschedules", "nightly");
    let seconds = run.strip_prefix("nightly-now-").and_then(|seconds| seconds.parse::<i64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 1_700_000_000), "{run}");
    same("labels", &created["metadata"]["labels"], &json!({ "nuvo.dev/schedule": "nightly", "team": "data" }));
    same("annotations", &created["metadata"]["annotations"], &Value::Null);
    same("owner", &created["metadata"]["ownerReferences"][0]["uid"], &schedule["metadata"]["uid"]);
    same("spec", &created["spec"], &schedule["spec"]["runTemplate"]["spec"]);

    nuvo(&env, &["schedule", "describe", "nightly"]).exits(0).prints(&[
        "Ready:       True (Scheduled)",
        "SLOT IN Europe/Berlin",
        "by hand",
        run.as_str(),
        "2, the newest on Tue 2026-11-24 02:30 +01:00",
        "TooLate: the slot could not start",
    ]);
    nuvo(&env, &["schedule", "suspend", "nightly"]).exits(0).prints(&["pipelineschedule.nuvo.dev/nightly suspended"]);
    same("suspended", &env.raw("pipelineschedules", "nightly")["spec"]["suspend"], &json!(true));
    nuvo(&env, &["schedule", "describe", "nightly"]).exits(0).prints(&["None starts, because spec.suspend is true."]);
    nuvo(&env, &["schedule", "resume", "nightly"]).exits(0).prints(&["nightly resumed (slots of the past are not made up for)"]);
    same("resumed", &env.raw("pipelineschedules", "nightly")["spec"]["suspend"], &json!(false));

    let missing = ["PipelineSchedule none not found", "kubectl nuvo schedule list"];
    nuvo(&env, &["schedule", "run-now", "none"]).exits(1).reports(&missing);
    nuvo(&env, &["schedule", "describe", "none"]).exits(1).reports(&missing);
    nuvo(&env, &["schedule", "run-now", "nightly", "--timeout", "5s"]).exits(2);
    same("requests to nuvo", env.sim.journal().len(), 0);
}
