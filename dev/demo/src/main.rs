//! `cargo xtask demo`: the operator at work, from `kubectl apply` to the end of every run.

mod cluster;
mod expected;
mod operator;
mod picture;
mod wait;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use controlplane::Interrupt;
use nuvo_sim::{BUILTIN_PIPELINES, Sim, SimConfig, parse_pipelines};
use programs::cargo::{self, Profile};
use programs::cost::{self, Cost, Part};
use programs::repository;
use serde::Deserialize;
use serde_json::{Value, json};

use cluster::Cluster;
use operator::Operator;
use wait::Wait;

const NAMESPACE: &str = "demo";
/// The names of the runs and of their pipelines, and of their files in `examples`.
const RUNS: [&str; 5] = ["orders", "invoices", "customers", "ledger", "archive"];
/// The pipelines that nuvo starts itself: the names of the NuvoPipelines in `examples/observed-pipelines.yaml`, and their ids.
const OBSERVED: [&str; 2] = ["deliveries", "returns"];
/// The schedule that starts something each minute: its name, and that of its file in `examples`.
const SCHEDULE: &str = "each-minute";
/// The one that fails.
const FAILED: &str = "customers";
/// What `examples/account.yaml` makes.
const ACCOUNT: &str = "default";
const SECRET: &str = "nuvo-credentials";

/// How often to look at what has no other way to tell.
const LOOK: Duration = Duration::from_millis(100);
const OPERATOR_LOOK: Duration = Duration::from_secs(1);

/// Shows the operator at work, on this machine: a control plane, a simulator of nuvo, and the examples.
///
/// Needs Rust, and Go for the first start, which takes some minutes; with KUBEBUILDER_ASSETS set to a folder with etcd, kube-apiserver and
/// kubectl it needs no Go. With KUBECONFIG set it uses that cluster, in the namespace `demo`, and removes at the end what it has created.
/// Ctrl-C ends everything.
#[derive(Parser)]
#[command(name = "cargo xtask demo")]
struct Args {
    /// End as soon as all runs have ended; fail if one came out otherwise than it should.
    #[arg(long)]
    once: bool,
    /// Write what `kubectl get` shows at the end into this file, too, as an SVG.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// The operator, if it is built already.
    #[arg(long, hide = true)]
    operator: Option<PathBuf>,
    /// What was done before this program began, and what that cost.
    #[arg(long, hide = true)]
    spent: Vec<Part>,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let interrupt = Interrupt::on_signals()?;
    let outcome = demonstrate(args, &interrupt);
    // Whatever failed then failed because of that.
    if outcome.is_err() {
        interrupt.check()?;
    }
    outcome
}

fn demonstrate(args: Args, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
    let program = match args.operator {
        Some(program) => program,
        None => {
            let [program] = cargo::built(["nuvo-operator"], Profile::Dev)?;
            program
        }
    };
    let mut parts = args.spent;
    let before_start = Cost::so_far();
    // In this order, so that they end in the other: the operator first.
    let mut cluster = Cluster::open()?;
    let sim = Sim::start(SimConfig { pipelines: parse_pipelines(BUILTIN_PIPELINES)?, ..SimConfig::default() })?;
    interrupt.check()?;

    heading("starting the operator and a simulator of nuvo");
    cluster.prepare()?;
    let mut operator = Operator::start(&program, &cluster, &sim)?;
    say(&format!("log of the operator: {}", operator.log_path().display()));
    say(&format!("simulator: {}", sim.base_url()));
    cluster.apply(&account(&sim.base_url())?)?;
    let account = format!("nuvoaccount.nuvo.dev/{ACCOUNT}");
    let mut wait = Wait { cluster: &cluster, operator: &mut operator, interrupt };
    if !wait.until("condition=Ready", &[&account], None)? {
        let said = cluster.read(&["describe", &account, "-n", NAMESPACE]).unwrap_or_else(|error| error);
        return Err(format!("the account is not Ready:\n{said}\nThe end of the operator's log:\n{}", operator.end_of_log()).into());
    }
    say(&format!("{account} is Ready: the simulator has accepted its license key"));

    let before_runs = Cost::so_far();
    parts.push(Part { name: "start".to_owned(), cost: before_runs.since(before_start) });

    heading(
        "one run of each kind: a success, several files, a failure, a slow one, nothing to do; and two pipelines that nuvo starts itself",
    );
    let mut files = RUNS.map(|name| format!("examples/{name}.yaml")).to_vec();
    files.push("examples/observed-pipelines.yaml".to_owned());
    let mut apply = vec!["apply", "-n", NAMESPACE];
    apply.extend(files.iter().flat_map(|path| ["-f", path]));
    cluster.show(&apply)?;

    heading("their progress: one line for each change, until all have ended");
    let watch = ["get", "pipelineruns.nuvo.dev", "-n", NAMESPACE, "-w"];
    say(&format!("$ kubectl {}", watch.join(" ")));
    let watch = cluster.start(&watch, "watch.log")?;
    let mut wait = Wait { cluster: &cluster, operator: &mut operator, interrupt };
    let names = RUNS.map(|name| format!("pipelinerun.nuvo.dev/{name}"));
    let ended = wait.until("condition=Finished", &names.each_ref().map(String::as_str), Some(watch))?;

    let observed = OBSERVED.map(|name| format!("nuvopipeline.nuvo.dev/{name}"));
    let mut wait = Wait { cluster: &cluster, operator: &mut operator, interrupt };
    wait.until("condition=LastExecutionSucceeded", &observed.each_ref().map(String::as_str), None)?;
    let whole = Cost::so_far();
    parts.push(Part { name: "runs".to_owned(), cost: whole.since(before_runs) });
    heading(if ended { "all have ended" } else { "not all have ended in time" });
    let table = ["get", "pipelineruns.nuvo.dev", "-n", NAMESPACE];
    cluster.show(&table)?;
    if let Some(file) = &args.picture {
        let shown = format!("$ kubectl {}\n{}", table.join(" "), cluster.read(&table)?);
        fs::write(file, picture::svg(&shown)).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    heading("what nuvo starts itself, by its schedule and by an event: the operator only looks");
    cluster.show(&["get", "nuvopipelines.nuvo.dev", "-n", NAMESPACE])?;
    show_schedule(&cluster, &mut operator, interrupt)?;
    heading("what a failed run says");
    cluster.show(&["describe", &format!("pipelinerun.nuvo.dev/{FAILED}"), "-n", NAMESPACE])?;
    heading("what it took; builds run side by side");
    write(&cost::table(&parts, whole));
    let posts = |pipeline: &str| sim.post_count_of(pipeline);
    let mut differences = expected::differences(&list(&cluster, "pipelineruns.nuvo.dev")?, posts);
    differences.extend(expected::observed_differences(&list(&cluster, "nuvopipelines.nuvo.dev")?, posts));
    differences.extend(expected::schedule_differences(&list(&cluster, "pipelineruns.nuvo.dev")?, posts));
    if args.once {
        if differences.is_empty() {
            heading(
                "all came out as expected: every run has triggered its pipeline once, each minute had one run, and what is only observed was never triggered",
            );
            return Ok(());
        }
        let log = operator.end_of_log();
        return Err(format!("not as expected:\n  {}\nThe end of the operator's log:\n{log}", differences.join("\n  ")).into());
    }
    for difference in differences {
        say(&format!("not as expected: {difference}"));
    }
    tell_how_to_go_on(&cluster, &operator, &sim);
    while interrupt.sleep(OPERATOR_LOOK).is_ok() {
        let alive = operator.check();
        // Ctrl-C reaches the operator as well.
        if alive.is_err() && interrupt.sleep(OPERATOR_LOOK).is_ok() {
            return alive;
        }
    }
    heading("ending");
    Ok(())
}

/// Applies the schedule, and waits for the run of the next minute.
fn show_schedule(cluster: &Cluster, operator: &mut Operator, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
    heading("a schedule that starts a run each minute: the next one, at the full minute");
    cluster.show(&["apply", "-n", NAMESPACE, "-f", &format!("examples/{SCHEDULE}.yaml")])?;
    let of_schedule = format!("nuvo.dev/schedule={SCHEDULE}");
    let watch = ["get", "pipelineruns.nuvo.dev", "-n", NAMESPACE, "-l", &of_schedule, "-w"];
    say(&format!("$ kubectl {}", watch.join(" ")));
    let watch = cluster.start(&watch, "schedule.log")?;
    let schedule = format!("pipelineschedule.nuvo.dev/{SCHEDULE}");
    Wait { cluster, operator, interrupt }.until("condition=LastRunSucceeded", &[&schedule], Some(watch))?;
    cluster.show(&["get", "pipelineschedules.nuvo.dev", "-n", NAMESPACE])?;
    Ok(())
}

fn tell_how_to_go_on(cluster: &Cluster, operator: &Operator, sim: &Sim) {
    heading("go on by hand, in another terminal");
    if let Some(path) = cluster.kubeconfig() {
        say(&format!("export KUBECONFIG='{}'", path.display()));
    }
    if let Some(command) = cluster.kubectl_alias() {
        say(&format!("alias kubectl='{command}'"));
    }
    let pipeline_run = json!({
        "apiVersion": "nuvo.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": { "generateName": "invoices-" },
        "spec": { "pipelineId": "invoices" },
    });
    say(&format!(
        "
# Trigger the failed pipeline once more; the first attempt goes to status.history:
kubectl patch npr {FAILED} -n {NAMESPACE} --type=merge -p '{{\"spec\":{{\"rerunToken\":\"2\"}}}}'
# A new run:
echo '{pipeline_run}' | kubectl create -n {NAMESPACE} -f -
# All there is to see in a table:
kubectl get npr -n {NAMESPACE} -o wide
# What runs in nuvo, whoever started it:
kubectl get npl -n {NAMESPACE} -o wide
# When the schedule starts its next run, and what became of the last ones:
kubectl get nps -n {NAMESPACE}
kubectl get npr -n {NAMESPACE} -l nuvo.dev/schedule={SCHEDULE} -w
# What has reached the simulator, and how often each pipeline was triggered:
curl {admin}journal
curl {admin}counts

The operator's log: {log}
The simulator: {base}, its administrative paths: {admin} (`cargo run -p nuvo-sim -- --help` explains them)
Ctrl-C ends the demo and removes all of it.",
        admin = sim.admin_url(),
        base = sim.base_url(),
        log = operator.log_path().display(),
    ));
}

/// The example, for the simulator.
fn account(base_url: &str) -> Result<String, Box<dyn Error>> {
    let path = repository().join("examples/account.yaml");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut items = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let mut object = Value::deserialize(document).map_err(|error| format!("{}: {error}", path.display()))?;
        if let Some(url) = object.pointer_mut("/spec/baseUrl") {
            *url = base_url.into();
        }
        // As often as the definition allows: a demonstration is short.
        if object.pointer("/kind").and_then(Value::as_str) == Some("NuvoAccount")
            && let Some(Value::Object(spec)) = object.pointer_mut("/spec")
        {
            spec.insert("observePeriodSeconds".to_owned(), 15.into());
        }
        items.push(object);
    }
    Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())
}

fn list(cluster: &Cluster, plural: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Value>,
    }
    let text = cluster.read(&["get", plural, "-n", NAMESPACE, "--output=json"])?;
    Ok(serde_json::from_str::<List>(&text)?.items)
}

fn heading(text: &str) {
    say(&format!("\n== {text}"));
}

/// Tells the person. When standard output is closed the demo goes on, and cleans up at its end.
fn say(text: &str) {
    write(&format!("{text}\n"));
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
