//! The objects that the scripts in `gitops/` are tested on are recorded from the operator, so that they cannot drift from it.
//!
//! `UPDATE_RECORDINGS=1 cargo test --test e2e recordings` writes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    sync::Mutex,
    time::Duration,
};

use controlplane::{
    Proxy,
    proxy::{Action, Answer},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, PostParams};
use nuvo_crds::{
    Phase, PipelineRun,
    conditions::{self, AccountReason, LAST_RUN_SUCCEEDED, ObservationReason, READY, Reason, ScheduleReason},
};
use nuvo_sim::{Change, Effect, Fault, Identity, ListOrder, Operation, Permission, Pipeline, Seed, SimConfig, Stats, Status, Trigger};
use serde_json::{Value, json};

use crate::{
    environment::{Environment, assert_consistent, block_on, condition, message, same},
    moved_clock::MovedClock,
    observed_pipelines::{self, observe, wait_reason},
    schedules,
};

/// Every recording of a run. One that no test makes any more would look like one that is right.
const RUNS: [&str; 34] = [
    "abandoned",
    "account-not-ready",
    "deadline-exceeded",
    "deletion-blocked",
    "developer-mode",
    "execution-failed",
    "execution-lost",
    "files",
    "fixed-in-nuvo",
    "invalid-spec",
    "nothing-to-process",
    "nothing-to-process-failed",
    "nuvo-unavailable",
    "observed-running",
    "observed-succeeded",
    "pending",
    "pipeline-busy",
    "pipeline-running",
    "quality-gate-failed",
    "rate-limited",
    "rerun",
    "retry-scheduled",
    "running",
    "skipped",
    "slot-not-claimed",
    "start-deadline-exceeded",
    "status-lost",
    "succeeded",
    "suspended",
    "trigger-outcome-unknown",
    "trigger-rejected",
    "trigger-unconfirmed",
    "unobserved",
    "unwatched",
];

const ACCOUNTS: [&str; 8] = [
    "credentials-rejected",
    "nuvo-unavailable",
    "origin-not-allowed",
    "permission-missing",
    "ready",
    "secret-invalid",
    "secret-not-found",
    "unobserved",
];

const PIPELINES: [&str; 14] = [
    "account-not-ready",
    "developer-mode",
    "execution-failed",
    "invalid-spec",
    "not-observed",
    "observed",
    "order-unknown",
    "pending",
    "pipeline-forbidden",
    "pipeline-not-found",
    "quality-gate-failed",
    "stale",
    "suspended",
    "unobserved",
];

/// Objects that it would take hours or thousands of others to record.
const PIPELINES_BY_HAND: [&str; 3] = ["catching-up", "nuvo-unavailable", "too-many-pipelines"];

const SCHEDULES: [&str; 13] = [
    "also-scheduled-in-nuvo",
    "blocked-by-run",
    "clock-in-doubt",
    "create-refused",
    "invalid-schedule",
    "invalid-time-zone",
    "last-run-failed",
    "name-taken",
    "never-due",
    "not-selected",
    "scheduled",
    "suspended",
    "unobserved",
];

/// It takes twenty runs that a person must decide about.
const SCHEDULES_BY_HAND: [&str; 1] = ["too-many-unresolved"];

const TIME: &str = "2026-01-01T00:00:00Z";

fn folder(kind: &str) -> PathBuf {
    let root = env!("CARGO_MANIFEST_DIR");
    [root, "gitops/argocd/resource_customizations/nuvo.dev", kind, "testdata"].iter().collect()
}

/// Compares objects with their recordings, and reports all differences at once.
struct Recorder<'a> {
    env: &'a Environment,
    stale: Mutex<Vec<String>>,
}

impl<'a> Recorder<'a> {
    fn new(env: &'a Environment) -> Self {
        Self { env, stale: Mutex::default() }
    }

    /// The run with this name is recorded under it.
    fn run(&self, name: &str) {
        assert!(RUNS.contains(&name), "{name} is not listed");
        self.compare("PipelineRun", "pipelineruns", name);
    }

    fn account(&self, name: &str) {
        assert!(ACCOUNTS.contains(&name), "{name} is not listed");
        self.compare("NuvoAccount", "nuvoaccounts", name);
    }

    fn pipeline(&self, name: &str) {
        assert!(PIPELINES.contains(&name), "{name} is not listed");
        self.compare("NuvoPipeline", "nuvopipelines", name);
    }

    fn schedule(&self, name: &str) {
        assert!(SCHEDULES.contains(&name), "{name} is not listed");
        self.compare("PipelineSchedule", "pipelineschedules", name);
    }

    fn compare(&self, kind: &str, plural: &str, name: &str) {
        let object = normalised(self.env.raw(plural, name), self.env);
        let text = format!("# Recorded by tests/e2e/recordings.rs. Do not edit.\n{}", serde_yaml::to_string(&object).unwrap());
        let path = folder(kind).join(format!("{name}.yaml"));
        if env::var_os("UPDATE_RECORDINGS").is_some() {
            fs::create_dir_all(folder(kind)).unwrap();
            fs::write(&path, text).unwrap();
            return;
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        if recorded != text {
            let differing = |one: &str, other: &str, sign: &str| -> String {
                one.lines().filter(|line| !other.lines().any(|same| same == *line)).map(|line| format!("  {sign} {line}\n")).collect()
            };
            let (gone, new) = (differing(&recorded, &text, "-"), differing(&text, &recorded, "+"));
            self.stale.lock().unwrap().push(format!("{kind}/{name}:\n{gone}{new}"));
        }
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        let stale = self.stale.lock().unwrap();
        if !std::thread::panicking() {
            assert!(
                stale.is_empty(),
                "run `UPDATE_RECORDINGS=1 cargo test --test e2e recordings`, and look at the difference:\n{}",
                stale.join("")
            );
        }
    }
}

/// The object without what differs from one play to the next.
fn normalised(mut object: Value, env: &Environment) -> Value {
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    object["metadata"]["resourceVersion"] = json!("1");
    let mut names = Names { env, known: BTreeMap::new() };
    names.replace(&mut object);
    if let Some(duration) = object.pointer_mut("/status/duration") {
        *duration = json!("1s");
    }
    object
}

/// How often the operator looks before it gives up depends on the machine.
fn without_count_of_looks(text: &str) -> String {
    const LOOKS: &str = "Looks at the list: ";
    let Some((before, after)) = text.split_once(LOOKS) else { return text.to_owned() };
    let (counts, rest) = after.split_once('.').unwrap_or((after, ""));
    let counts: String = counts.chars().map(|letter| if letter.is_ascii_digit() { '9' } else { letter }).collect();
    format!("{before}{LOOKS}{}.{rest}", counts.replace("99", "9"))
}

/// Ids are numbered in the order in which they appear, so that equal ones stay equal.
struct Names<'a> {
    env: &'a Environment,
    known: BTreeMap<String, String>,
}

impl Names<'_> {
    fn replace(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name == "durationMilliseconds" {
                        *value = json!(1000);
                    }
                    self.replace(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::String(text) => *text = self.text(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &str) -> String {
        let text = text.replace(&self.env.namespace, "team").replace(&self.env.sim.address().to_string(), "127.0.0.1:8080");
        let belongs = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | ':' | '.');
        let text = without_count_of_looks(&text);
        let pieces = text.split_inclusive(|letter| !belongs(letter));
        pieces
            .map(|piece| {
                let (word, end) = piece.split_at(piece.trim_end_matches(|letter| !belongs(letter)).len());
                self.word(word) + end
            })
            .collect()
    }

    fn word(&mut self, word: &str) -> String {
        let bare = word.trim_end_matches(['.', ':']);
        if bare.parse::<Timestamp>().is_ok() {
            return word.replace(bare, TIME);
        }
        // The name of the run of a schedule ends with its slot, or with the second in which a person started it.
        if let Some((name, end)) = bare.rsplit_once('-') {
            let is_slot =
                end.len() == 13 && end.bytes().enumerate().all(|(at, byte)| if at == 8 { byte == b't' } else { byte.is_ascii_digit() });
            if is_slot {
                return word.replace(bare, &format!("{name}-20260101t0000"));
            }
            if name.ends_with("-now") && end.bytes().all(|byte| byte.is_ascii_digit()) {
                return word.replace(bare, &format!("{name}-1767225600"));
            }
        }
        // The name of a lock is made of the address of the simulator.
        if bare.strip_prefix("nuvo-").is_some_and(|hash| hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return word.replace(bare, &format!("nuvo-{:040}", 0));
        }
        // That of an execution, in `status.seen`, is made of its id.
        if bare.len() == 16 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return word.replace(bare, &"0".repeat(16));
        }
        // So is the hash of an account.
        if bare.len() == 20 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return word.replace(bare, &"0".repeat(20));
        }
        // What is said of a nonce follows it after a colon.
        word.split_inclusive([':', '.'])
            .map(|part| {
                let id = part.trim_end_matches([':', '.']);
                match self.id(id) {
                    Some(name) => part.replace(id, &name),
                    None => part.to_owned(),
                }
            })
            .collect()
    }

    fn id(&mut self, word: &str) -> Option<String> {
        let digits = word.chars().filter(char::is_ascii_hexdigit).count();
        let hyphens = word.chars().filter(|letter| *letter == '-').count();
        let (of_kubernetes, of_nuvo) = ((digits, hyphens) == (32, 4), (digits, hyphens) == (24, 0));
        if digits + hyphens != word.len() || !(of_kubernetes || of_nuvo) {
            return None;
        }
        let number = self.known.len() + 1;
        let name = if of_kubernetes { format!("00000000-0000-4000-8000-{number:012}") } else { format!("{number:024}") };
        Some(self.known.entry(word.to_owned()).or_insert(name).clone())
    }
}

fn quick(id: &str) -> Pipeline {
    let stats = Stats { total_rows: 1200, total_cells: 9600, total_error_cells: 3, total_error_rows: 2 };
    Pipeline::new(id).duration(Duration::from_millis(300)).stats(stats)
}

fn shows(env: &Environment, name: &str, wanted: &str) {
    assert_consistent(&env.wait_reason(name, wanted));
}

#[test]
fn runs_match_their_recordings() {
    let pipelines = [
        quick("orders"),
        quick("held").held(),
        quick("fixed").held(),
        quick("lost").held(),
        quick("files").files(3),
        quick("nothing").files(0),
        quick("trial").developer_mode(true),
        quick("bad").failing("PARSING_FAILURE", "line 7"),
        quick("away").failing("SOURCE_UNRESPONSIVE", "no route"),
        quick("unresponsive").failing("SOURCE_UNRESPONSIVE", "no route"),
        quick("doubt"),
        quick("closed"),
        quick("restored"),
        quick("waited"),
        quick("skipped"),
    ];
    let env = Environment::new("recordings", pipelines);
    let record = Recorder::new(&env);
    env.start("unobserved", "orders", json!({}));
    record.run("unobserved");
    env.delete("unobserved");

    for pipeline in ["doubt", "closed"] {
        env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).pipeline(pipeline));
    }
    let seeded = |pipeline: &str| env.sim.seed_execution(Seed::new(pipeline)).unwrap();
    let (mine, done, foreign) = (seeded("orders"), seeded("orders"), seeded("another"));
    env.sim.finish(&done, Status::Successful).unwrap();
    for pipeline in ["waited", "skipped"] {
        seeded(pipeline);
    }
    // Patient, so that only what is meant to go wrong does, however busy the machine is.
    let _operator = env.operator_with(&["--quarantine-seconds", "120"]);

    let tracked = json!({ "argocd.argoproj.io/tracking-id": "nuvo:nuvo.dev/PipelineRun:team/deletion-blocked" });
    env.start("deletion-blocked", "orders", json!({ "suspend": true, "ttlSecondsAfterFinished": 3600 }));
    env.wait_phase("deletion-blocked", Phase::Suspended);
    env.change("deletion-blocked", json!({ "metadata": { "annotations": tracked }, "spec": { "suspend": false } }));
    for (name, pipeline, fields) in [
        ("account-not-ready", "orders", json!({ "accountRef": { "name": "missing" } })),
        ("start-deadline-exceeded", "orders", json!({ "accountRef": { "name": "missing" }, "startDeadlineSeconds": 3 })),
        ("pipeline-running", "waited", json!({ "concurrencyPolicy": "Queue" })),
        ("skipped", "skipped", json!({ "concurrencyPolicy": "Skip" })),
        ("suspended", "orders", json!({ "suspend": true })),
        ("running", "held", json!({})),
        ("deadline-exceeded", "held", json!({ "activeDeadlineSeconds": 2 })),
        ("succeeded", "orders", json!({})),
        ("files", "files", json!({})),
        ("nothing-to-process", "nothing", json!({})),
        ("nothing-to-process-failed", "nothing", json!({ "onNothingToProcess": "Fail" })),
        ("developer-mode", "trial", json!({})),
        ("execution-failed", "bad", json!({})),
        ("quality-gate-failed", "orders", json!({ "qualityGate": { "maxErrorRows": 1 } })),
        ("retry-scheduled", "away", json!({ "retry": { "limit": 1, "backoffSeconds": 3600 } })),
        ("rerun", "unresponsive", json!({ "rerunToken": "first" })),
        ("fixed-in-nuvo", "fixed", json!({ "followFixesSeconds": 3600 })),
        ("execution-lost", "lost", json!({})),
        ("trigger-rejected", "unknown", json!({})),
        ("trigger-outcome-unknown", "doubt", json!({})),
        ("abandoned", "closed", json!({})),
        ("status-lost", "restored", json!({})),
        ("observed-running", "orders", json!({ "executionId": mine })),
        ("observed-succeeded", "orders", json!({ "executionId": done })),
        ("invalid-spec", "orders", json!({ "executionId": foreign })),
    ] {
        env.start(name, pipeline, fields);
    }

    let copied = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": "slot-not-claimed", "annotations": { "nuvo.dev/scheduled-at": "2026-01-01T02:00:00Z" } },
        "spec": { "pipelineId": "orders" },
    });
    block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(copied).unwrap())).unwrap();

    let ids = |run: PipelineRun| run.status.unwrap().current.execution_ids;
    env.sim.remove_execution(&ids(env.wait_phase("execution-lost", Phase::Running))[0]).unwrap();
    let broken = &ids(env.wait_phase("fixed-in-nuvo", Phase::Running))[0];
    env.sim.update(broken, Change::failed("PARSING_FAILURE", "line 7")).unwrap();
    env.wait_phase("fixed-in-nuvo", Phase::Failed);
    env.sim.update(broken, Change::status(Status::Processing)).unwrap();
    env.sim.update(broken, Change::status(Status::Successful)).unwrap();

    env.wait_phase("rerun", Phase::Failed);
    env.sim.set_pipeline(quick("unresponsive")).unwrap();
    env.change("rerun", json!({ "spec": { "rerunToken": "second" } }));

    let backup = env.wait_phase("status-lost", Phase::Succeeded);
    env.delete("status-lost");
    let restored = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": "status-lost", "annotations": backup.metadata.annotations },
        "spec": backup.spec,
    });
    block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(restored).unwrap())).unwrap();

    let doubtful = env.wait_phase("abandoned", Phase::Unresolved);
    let answer = format!("{}:abandon", doubtful.status.unwrap().trigger.unwrap().nonce);
    env.change("abandoned", json!({ "metadata": { "annotations": { "nuvo.dev/resolve": answer } } }));
    env.wait_phase("abandoned", Phase::Failed);
    env.wait("observed-running", "running", |run| message(run) == format!("Execution {mine} is running."));

    for (name, reason) in [
        ("account-not-ready", "AccountNotReady"),
        ("suspended", "Suspended"),
        ("start-deadline-exceeded", "StartDeadlineExceeded"),
        ("slot-not-claimed", "SlotNotClaimed"),
        ("pipeline-running", "PipelineRunning"),
        ("skipped", "Skipped"),
        ("running", "Running"),
        ("deadline-exceeded", "DeadlineExceeded"),
        ("deletion-blocked", "Succeeded"),
        ("succeeded", "Succeeded"),
        ("files", "Succeeded"),
        ("nothing-to-process", "NothingToProcess"),
        ("nothing-to-process-failed", "NothingToProcess"),
        ("developer-mode", "Succeeded"),
        ("execution-failed", "ExecutionFailed"),
        ("quality-gate-failed", "QualityGateFailed"),
        ("retry-scheduled", "RetryScheduled"),
        ("rerun", "Succeeded"),
        ("fixed-in-nuvo", "FixedInNuvo"),
        ("execution-lost", "ExecutionLost"),
        ("trigger-rejected", "TriggerRejected"),
        ("trigger-outcome-unknown", "TriggerOutcomeUnknown"),
        ("abandoned", "TriggerOutcomeUnknown"),
        ("status-lost", "StatusLost"),
        ("observed-running", "Running"),
        ("observed-succeeded", "Succeeded"),
        ("invalid-spec", "InvalidSpec"),
    ] {
        shows(&env, name, reason);
        record.run(name);
    }
}

/// A copy of the run of a slot: no schedule has made it.
#[test]
fn run_of_a_slot_that_no_schedule_claims_matches_its_recording() {
    let env = Environment::new("recordings", [quick("orders")]);
    let record = Recorder::new(&env);
    let _operator = env.operator();
    let copy = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "name": "slot-not-claimed", "annotations": { "nuvo.dev/scheduled-at": TIME } },
        "spec": { "pipelineId": "orders" },
    });
    block_on(env.runs().create(&PostParams::default(), &serde_json::from_value(copy).unwrap())).unwrap();
    shows(&env, "slot-not-claimed", "SlotNotClaimed");
    record.run("slot-not-claimed");
    same("POSTs", env.sim.post_count(), 0);
}

#[test]
fn run_that_lost_its_label_matches_its_recording() {
    let env = Environment::new("recordings", [quick("orders").held()]);
    let record = Recorder::new(&env);
    let _operator = env.operator_with(&["--label-selector", "team=a"]);
    env.start("unwatched", "orders", json!({}));
    let label = |team: Value| env.change("unwatched", json!({ "metadata": { "labels": { "team": team } } }));
    label(json!("a"));
    env.wait_phase("unwatched", Phase::Running);
    label(json!(null));
    assert_consistent(&env.wait("unwatched", "noted", |run| condition(run, "Unwatched").is_some()));
    record.run("unwatched");
}

#[test]
fn runs_in_doubt_and_behind_them_match_their_recordings() {
    let env = Environment::new("recordings", [quick("orders")]);
    let record = Recorder::new(&env);
    env.sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING));
    let _operator = env.operator_with(&["--trigger-settle-seconds", "600"]);
    env.start("trigger-unconfirmed", "orders", json!({}));
    assert_consistent(&env.wait("trigger-unconfirmed", "watched", |run| message(run).contains("has shown nothing of it")));
    // Kubernetes writes down the second of a creation. Of two runs of the same second, either may come first.
    let created = env.get("trigger-unconfirmed").metadata.creation_timestamp.unwrap().0.as_second();
    env.eventually("a later second", || Timestamp::now().as_second() > created);
    env.start("pipeline-busy", "orders", json!({}));
    shows(&env, "pipeline-busy", "PipelineBusy");
    record.run("trigger-unconfirmed");
    record.run("pipeline-busy");
}

#[test]
fn runs_waiting_for_nuvo_match_their_recordings() {
    let env = Environment::new("recordings", [quick("orders")]);
    let record = Recorder::new(&env);
    env.account("other");
    let _operator = env.operator();
    for account in ["default", "other"] {
        env.wait_ready(account);
    }
    for (name, account, effect, reason) in [
        ("rate-limited", "default", Effect::too_many_requests(600), "RateLimited"),
        ("nuvo-unavailable", "other", Effect::status(503).header("retry-after", "600"), "NuvoUnavailable"),
    ] {
        env.sim.add_fault(Fault::on(Operation::List, effect).once());
        env.start(name, "orders", json!({ "accountRef": { "name": account } }));
        shows(&env, name, reason);
        record.run(name);
    }
}

#[test]
fn run_waiting_for_kubernetes_matches_its_recording() {
    let env = Environment::new("recordings", [quick("orders")]);
    let record = Recorder::new(&env);
    let proxy = Proxy::start(env.server).unwrap();
    let denied = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "admission webhook \"policy.example.com\" denied the request: not on a Friday",
    });
    proxy.set_rules(move |request| {
        let marks = request.method == "PATCH" && request.path.ends_with("/pipelineruns/pending");
        if marks { Action::Respond(Answer::json(403, denied.to_string())) } else { Action::Forward }
    });
    let _operator = env.operator_through(&proxy, &[]);
    env.start("pending", "orders", json!({}));
    shows(&env, "pending", "Pending");
    record.run("pending");
}

#[test]
fn accounts_match_their_recordings() {
    let env = Environment::without_account("recordings", SimConfig { pipelines: vec![quick("orders")], ..SimConfig::default() });
    let record = Recorder::new(&env);
    env.account("unobserved");
    record.account("unobserved");
    block_on(env.accounts().delete("unobserved", &DeleteParams::default())).unwrap();
    env.sim.set_credentials(vec![
        nuvo_sim::Credential::default(),
        nuvo_sim::Credential::new("reads-nothing", Identity::user("demo@example.com")).permissions([Permission::Create]),
    ]);
    env.credential("nuvo-credentials", "demo-license-key");
    env.credential("wrong", "no-such-key");
    env.credential("empty", "  ");
    env.credential("cannot-read", "reads-nothing");
    let key = |secret: &str, token_path: &str| {
        json!({ "licenseKey": {
            "secretRef": { "name": secret, "key": "license-key" },
            "identifier": "demo@example.com",
            "identityType": "USER",
            "tokenPath": token_path,
        } })
    };
    let default = "auth/access-token";
    let _operator = env.operator();
    for (name, fields, reason) in [
        ("ready", json!({}), "Ready"),
        ("secret-not-found", key("missing", default), "SecretNotFound"),
        ("secret-invalid", key("empty", default), "SecretInvalid"),
        ("credentials-rejected", key("wrong", default), "CredentialsRejected"),
        ("permission-missing", key("cannot-read", default), "PermissionMissing"),
        ("origin-not-allowed", json!({ "baseUrl": "https://nuvo.example.com/dp/api/v1" }), "OriginNotAllowed"),
        ("nuvo-unavailable", key("nuvo-credentials", "auth/tokens"), "NuvoUnavailable"),
    ] {
        env.account_with(name, fields);
        let said = || {
            let status = block_on(env.accounts().get(name)).unwrap().status.unwrap_or_default();
            status.conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.reason)
        };
        env.eventually(&format!("account {name} {reason}"), || said().as_deref() == Some(reason));
        record.account(name);
    }
}

#[test]
fn pipelines_match_their_recordings() {
    let id = |name: &str| Pipeline::new(name).named(name.to_uppercase()).scheduled("DAILY", 1);
    let pipelines = [id("observed"), id("developer-mode").developer_mode(true), id("pending")];
    let names = ["execution-failed", "not-observed", "quality-gate-failed", "stale", "order-unknown", "pipeline-forbidden"];
    let env = Environment::new("recordings", [&pipelines[..], &names.map(id)].concat());
    let record = Recorder::new(&env);
    env.account_with("default", json!({ "observePeriodSeconds": 15 }));
    let observe = |name: &str, mut fields: Value| {
        fields["pipelineId"] = json!(name);
        observe(&env, name, fields);
    };
    let is = |name: &str, kind: &str, reason: &str| drop(wait_reason(&env, name, kind, reason));
    observe("unobserved", json!({}));
    record.pipeline("unobserved");
    block_on(observed_pipelines::pipelines(&env).delete("unobserved", &DeleteParams::default())).unwrap();

    let stats = Stats { total_rows: 100, total_cells: 800, total_error_cells: 40, total_error_rows: 30 };
    let ended = |name: &str, status: Status, ago: u64| {
        let seed = Seed::new(name).trigger(Trigger::Scheduled).by(Identity::sub_org("robot")).status(status).stats(stats);
        env.sim.seed_execution(seed.ago(Duration::from_secs(ago)).lasted(Duration::from_secs(1))).unwrap();
    };
    for name in ["observed", "developer-mode", "quality-gate-failed"] {
        ended(name, Status::Successful, 10);
    }
    ended("stale", Status::Successful, 3_600);
    ended("execution-failed", Status::Failed, 10);
    // So many that an order that is none is noticed.
    (100..130).for_each(|ago| ended("other", Status::Successful, ago));

    let has_name = |name: &str| observed_pipelines::get(&env, name).status.is_some_and(|status| status.about.name.is_some());
    let clock = MovedClock::new(&env);
    let operator = clock.operator(&env, &[]);
    env.wait_ready("default");
    // No look ends before it is recorded.
    let look = env.sim.add_fault(Fault::on(Operation::List, Effect::HANG_BEFORE_EXECUTING));
    observe("pending", json!({}));
    is("pending", "Ready", "Pending");
    record.pipeline("pending");
    env.sim.release(look);
    env.sim.remove_fault(look);
    observe("suspended", json!({ "suspend": true }));
    observe("account-not-ready", json!({ "accountRef": { "name": "other" } }));
    observe("observed", json!({ "freshness": { "maxAgeSeconds": 86_400 } }));
    observe("developer-mode", json!({}));
    observe("execution-failed", json!({}));
    observe("quality-gate-failed", json!({ "qualityGate": { "maxErrorRowPercent": 5 } }));
    observe("stale", json!({ "freshness": { "maxAgeSeconds": 60 } }));
    ended("not-observed", Status::Successful, 10);
    observe("not-observed", json!({ "freshness": { "maxAgeSeconds": 3_600 } }));
    observe("invalid-spec", json!({ "freshness": { "dueBy": [{ "schedule": "61 7 * * *", "windowSeconds": 60 }] } }));
    observe("pipeline-not-found", json!({}));
    observe("order-unknown", json!({}));
    observe("pipeline-forbidden", json!({}));
    is("suspended", "Ready", "Suspended");
    is("account-not-ready", "Ready", "AccountNotReady");
    is("invalid-spec", "Ready", "InvalidSpec");
    is("pipeline-not-found", "Ready", "PipelineNotFound");
    is("observed", "Fresh", "Fresh");
    is("developer-mode", "DeveloperMode", "DeveloperMode");
    is("execution-failed", "LastExecutionSucceeded", "ExecutionFailed");
    is("quality-gate-failed", "QualityGatePassed", "QualityGateFailed");
    is("stale", "Fresh", "Stale");
    is("not-observed", "Fresh", "Fresh");
    let has_rows = |name: &str| observed_pipelines::get(&env, name).status.and_then(|status| status.last_success?.stats).is_some();
    for name in ["observed", "developer-mode", "quality-gate-failed", "stale", "not-observed"] {
        env.eventually(&format!("rows of {name}"), || has_rows(name));
    }
    for name in names.into_iter().chain(["observed", "developer-mode"]) {
        env.eventually(&format!("the name of {name}"), || has_name(name));
    }
    let of_now = [
        "suspended",
        "account-not-ready",
        "invalid-spec",
        "pipeline-not-found",
        "observed",
        "developer-mode",
        "execution-failed",
        "quality-gate-failed",
    ];
    for name in of_now.into_iter().chain(["stale"]) {
        record.pipeline(name);
    }

    let fault = env.sim.add_fault(Fault::on(Operation::List, Effect::status(403)));
    is("pipeline-forbidden", "Ready", "PipelineForbidden");
    record.pipeline("pipeline-forbidden");
    env.sim.remove_fault(fault);
    env.sim.configure(|config| (config.order, config.max_limit) = (ListOrder::Mixed, 10));
    env.sim.configure(|config| config.ignored_filters = ["pipeline".to_owned()].into());
    is("order-unknown", "Ready", "OrderUnknown");
    record.pipeline("order-unknown");
    operator.kill();
    env.sim.go_offline().unwrap();
    clock.forward(&env, SignedDuration::from_hours(2));
    let _another = clock.operator(&env, &[]);
    is("not-observed", "Fresh", "NotObserved");
    record.pipeline("not-observed");
}

/// A schedule of the pipeline of its name.
fn schedule(env: &Environment, name: &str, line: &str, mut more: Value) {
    more["runTemplate"] = json!({ "spec": { "pipelineId": name } });
    schedules::create(env, name, &[line], more);
}

fn wait_condition(env: &Environment, name: &str, kind: &str, wanted: &str) {
    let said = || conditions::find(&schedules::status(env, name).conditions, kind).map(|condition| condition.reason.clone());
    env.eventually(&format!("{name}: {kind} {wanted}"), || said().as_deref() == Some(wanted));
}

fn run_now(env: &Environment, name: &str) {
    let mut command = std::process::Command::new(crate::environment::kubectl_nuvo());
    command.env("KUBECONFIG", env.server.admin_kubeconfig()).args(["--namespace", &env.namespace, "schedule", "run-now", name]);
    assert!(command.status().unwrap().success(), "{name}");
}

/// The next hour by a clock that has some time left until then, so that it has no other slot of an hourly line before.
fn next_hour(env: &Environment) -> Timestamp {
    env.eventually("time until the next hour", || Timestamp::now().as_second() % 3_600 < 3_540);
    Timestamp::from_second((Timestamp::now().as_second() / 3_600 + 1) * 3_600).unwrap()
}

/// Once a year.
const RARELY: &str = "0 0 1 1 *";
const HOURLY: &str = "0 * * * *";

#[test]
fn schedules_match_their_recordings() {
    let pipelines = [
        quick("blocked-by-run").held(),
        quick("last-run-failed").failing("PARSING_FAILURE", "line 7"),
        quick("also-scheduled-in-nuvo").scheduled("DAILY", 1),
    ];
    let env = Environment::new("recordings", pipelines);
    let record = Recorder::new(&env);
    schedule(&env, "unobserved", RARELY, json!({}));
    record.schedule("unobserved");
    block_on(schedules::api(&env).delete("unobserved", &DeleteParams::default())).unwrap();

    let hour = next_hour(&env);
    let clock = MovedClock::new(&env);
    let _operator = clock.operator(&env, &[]);
    env.wait_ready("default");
    for (name, line, more) in [
        ("scheduled", RARELY, json!({ "timeZone": "Europe/Berlin" })),
        ("suspended", RARELY, json!({ "suspend": true })),
        ("invalid-schedule", "61 2 * * *", json!({})),
        ("invalid-time-zone", RARELY, json!({ "timeZone": "Europe/Berln" })),
        ("never-due", "0 0 31 2 *", json!({})),
        ("clock-in-doubt", RARELY, json!({})),
        ("last-run-failed", RARELY, json!({})),
        ("also-scheduled-in-nuvo", RARELY, json!({})),
        ("blocked-by-run", HOURLY, json!({})),
        ("name-taken", HOURLY, json!({})),
    ] {
        schedule(&env, name, line, more);
    }
    for name in ["last-run-failed", "also-scheduled-in-nuvo", "blocked-by-run"] {
        wait_condition(&env, name, READY, "Scheduled");
        run_now(&env, name);
    }
    let taken = nuvo_core::schedule::run_name("name-taken", hour);
    env.start(&taken, "name-taken", json!({ "suspend": true }));
    wait_condition(&env, "name-taken", READY, "Scheduled");
    wait_condition(&env, "clock-in-doubt", READY, "Scheduled");
    let ahead = json!({ "status": { "lastSlot": "2099-01-01T00:00:00Z" } });
    env.kubectl(&["patch", "nps", "clock-in-doubt", "--subresource=status", "--type=merge", "-p", &ahead.to_string()]).unwrap();
    env.kubectl(&["annotate", "nps", "clock-in-doubt", "example.com/look=again"]).unwrap();

    wait_condition(&env, "last-run-failed", LAST_RUN_SUCCEEDED, "ExecutionFailed");
    wait_condition(&env, "also-scheduled-in-nuvo", conditions::ALSO_SCHEDULED_IN_NUVO, "AlsoScheduledInNuvo");
    wait_condition(&env, "also-scheduled-in-nuvo", LAST_RUN_SUCCEEDED, "Succeeded");
    for (name, reason) in [
        ("scheduled", "Scheduled"),
        ("suspended", "Suspended"),
        ("invalid-schedule", "InvalidSchedule"),
        ("invalid-time-zone", "InvalidTimeZone"),
        ("never-due", "NeverDue"),
        ("clock-in-doubt", "ClockInDoubt"),
        ("last-run-failed", "Scheduled"),
        ("also-scheduled-in-nuvo", "Scheduled"),
    ] {
        wait_condition(&env, name, READY, reason);
        record.schedule(name);
    }
    env.eventually("the run is active", || schedules::status(&env, "blocked-by-run").active_count == Some(1));
    schedules::until(&env, &clock, hour);
    for (name, reason) in [("blocked-by-run", "BlockedByRun"), ("name-taken", "NameTaken")] {
        wait_condition(&env, name, READY, reason);
        record.schedule(name);
    }
}

#[test]
fn schedule_whose_runs_are_not_selected_matches_its_recording() {
    let env = Environment::new("recordings", [quick("orders")]);
    let record = Recorder::new(&env);
    let _operator = env.operator_with(&["--label-selector", "team=a"]);
    schedule(&env, "not-selected", RARELY, json!({}));
    wait_condition(&env, "not-selected", READY, "NotSelected");
    record.schedule("not-selected");
}

#[test]
fn schedule_whose_run_is_refused_matches_its_recording() {
    let env = Environment::new("recordings", [quick("orders")]);
    let record = Recorder::new(&env);
    let hour = next_hour(&env);
    let clock = MovedClock::new(&env);
    let _operator = clock.operator(&env, &[]);
    schedule(&env, "create-refused", HOURLY, json!({}));
    // A schedule cannot know what the API server will say of a label.
    schedules::edit(&env, "create-refused", json!({ "runTemplate": { "metadata": { "labels": { "team": "of data" } } } }));
    wait_condition(&env, "create-refused", READY, "Scheduled");
    schedules::until(&env, &clock, hour);
    wait_condition(&env, "create-refused", READY, "CreateRefused");
    record.schedule("create-refused");
}

#[test]
fn recordings_in_gitops_are_all_made_here() {
    let mut pipelines = [&PIPELINES[..], &PIPELINES_BY_HAND].concat();
    pipelines.sort_unstable();
    let mut schedules = [&SCHEDULES[..], &SCHEDULES_BY_HAND].concat();
    schedules.sort_unstable();
    let all = [
        ("PipelineRun", RUNS.as_slice()),
        ("NuvoAccount", ACCOUNTS.as_slice()),
        ("NuvoPipeline", &pipelines),
        ("PipelineSchedule", &schedules),
    ];
    for (kind, listed) in all {
        let names = fs::read_dir(folder(kind)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut there: Vec<String> = names.map(|name| name.trim_end_matches(".yaml").to_owned()).collect();
        there.sort();
        same(kind, there, listed.iter().map(|name| (*name).to_owned()).collect());
    }
}

/// Without a recording, a reason would not be tested with Argo CD and Flux.
#[test]
fn reasons_are_all_recorded() {
    let recorded = |kind: &str, condition: &str| -> BTreeSet<(String, String)> {
        let files = fs::read_dir(folder(kind)).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
        let objects = files.map(|text| serde_yaml::from_str::<Value>(&text).unwrap());
        let conditions = objects.flat_map(|object| object["status"]["conditions"].as_array().cloned().unwrap_or_default());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        conditions.filter(|found| found["type"] == condition).map(|found| (text(&found["reason"]), text(&found["status"]))).collect()
    };
    let of_runs = Reason::ALL.iter().map(|reason| (reason.to_string(), reason.status().to_string()));
    same("runs", recorded("PipelineRun", "Succeeded"), of_runs.collect());
    let of_accounts = AccountReason::ALL.iter().map(|reason| (reason.to_string(), reason.status().to_string()));
    same("accounts", recorded("NuvoAccount", "Ready"), of_accounts.collect());
    let of_pipelines = ObservationReason::ALL.iter().map(|reason| (reason.to_string(), reason.status().to_string()));
    same("pipelines", recorded("NuvoPipeline", "Ready"), of_pipelines.collect());
    let of_schedules = ScheduleReason::ALL.iter().map(|reason| (reason.to_string(), reason.status().to_string()));
    same("schedules", recorded("PipelineSchedule", "Ready"), of_schedules.collect());
}
