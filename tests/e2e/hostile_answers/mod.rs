//! Answers that no server should give: every kind of them, to every call, each in a cell of a table.

mod answer_table;
mod credential_leaks;
mod hostile_server;
mod oversized_bodies;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use kube::{
    ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use nuvo_crds::{Phase, PipelineRun};
use nuvo_sim::{Pipeline, SimConfig};
use serde_json::json;

use crate::environment::{Environment, WITHIN, assert_consistent, block_on, message, reason, same};
use answer_table::{AnswerKind, COLUMNS, Column, Expect, answer_kinds};
use hostile_server::{Call, HostileServer, RequestRecorder, Script};

/// The simulator's own tokens begin like this, so that whatever looks for those finds ours, too.
const TOKEN: &str = "sim-token-of-the-table";
/// Pipelines of an account whose server is healthy.
const OTHERS: [&str; 3] = ["other-a", "other-b", "other-c"];
/// How often the runs are looked at.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// So many cells are under way at once: more would wait for the API server, and not for what they are about.
const CONCURRENCY: usize = 160;
/// How long bad answers are given in wait for what is expected to be shown.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// The most memory the operator may take, whatever it is answered.
const MEMORY_LIMIT: u64 = 192 << 20;

/// One cell at work.
struct Cell {
    name: String,
    kind: String,
    column: Column,
    expect: Expect,
    times: usize,
    site: HostileServer,
    begun: Instant,
    reached: Option<Instant>,
    healed: Option<Instant>,
    /// How many runs of another account had succeeded when the first bad answer was given, and when this cell was done.
    others: (Option<usize>, usize),
    /// What was shown while the bad answers were given.
    shown: BTreeSet<String>,
    end: Option<String>,
}

impl Cell {
    fn start(kind: &AnswerKind, column: Column, expect: Expect, number: usize, trap: &RequestRecorder) -> Self {
        let name = format!("{}-{number}", format!("{column:?}").to_lowercase());
        let call = match column {
            Column::Token => Call::Token,
            Column::Create | Column::Void => Call::Create,
            Column::Look => Call::Look,
            Column::Poll => Call::Poll,
            Column::Read => Call::Read,
            Column::Recovery => Call::Recovery,
        };
        let site = HostileServer::start(Script {
            pipeline: name.clone(),
            token: format!("{TOKEN}-{number}"),
            key: "demo-license-key".to_owned(),
            elsewhere: trap.origin.clone(),
            call,
            hostile: Arc::clone(&kind.hostile),
            executes: kind.executes && column != Column::Void,
            triggers: kind.triggers,
            loses_answers: column == Column::Recovery,
        });
        Self {
            kind: kind.name.clone(),
            column,
            expect,
            times: if matches!(call, Call::Token | Call::Create) || expect.during.is_empty() { 1 } else { kind.times },
            site,
            begun: Instant::now(),
            reached: None,
            healed: None,
            others: (None, 0),
            shown: BTreeSet::new(),
            end: None,
            name,
        }
    }

    /// Takes in what the run shows now. True when there is nothing more to see.
    fn look(&mut self, run: &PipelineRun, shown: &Shown, others: usize) -> bool {
        let state = state(run);
        let since = shown.lock().unwrap().remove(&self.name).unwrap_or_default();
        let ended = run.status.as_ref().is_some_and(|status| status.current.completion_time.is_some());
        if self.site.given() > 0 {
            self.others.0.get_or_insert(others);
        }
        if self.healed.is_none() {
            if self.site.given() >= self.times {
                let reached = *self.reached.get_or_insert_with(Instant::now);
                let others_got_on = self.others.0 < Some(others);
                self.shown.extend(since);
                self.shown.insert(state.clone());
                let seen = self.expect.during.is_empty() || (self.shown.contains(self.expect.during) && others_got_on);
                if seen || ended || reached.elapsed() > SHOWN_WITHIN {
                    self.site.heal();
                    self.healed = Some(Instant::now());
                }
            } else if self.begun.elapsed() > 2 * WITHIN {
                self.end = Some(format!("{state} after {} bad answers", self.site.given()));
            }
        }
        if self.end.is_none() && self.healed.is_some_and(|healed| ended || self.expect.end.is_empty() || healed.elapsed() > WITHIN) {
            self.end = Some(state);
        }
        self.others.1 = others;
        self.end.is_some()
    }

    fn expected(&self) -> String {
        line(self.expect.during, self.expect.end, self.expect.posts)
    }

    /// In the form of what was expected, and the same if it was seen.
    fn seen(&self, last: &str) -> String {
        let during = if self.expect.during.is_empty() || self.shown.contains(self.expect.during) {
            self.expect.during.to_owned()
        } else {
            self.shown.iter().cloned().collect::<Vec<_>>().join("|")
        };
        // One that is left alone for a quarter of an hour still shows what it did.
        let end = match (&self.end, self.expect.end) {
            (Some(end), "") if *end == last && *end == self.expect.during => "",
            (Some(end), _) if *end == last => end,
            _ => last,
        };
        let seen = line(&during, end, self.site.posts());
        // While a server behaves like this, others must get on.
        let (first, at_last) = self.others;
        let alone = !self.expect.during.is_empty() && first.is_some_and(|first| first >= at_last);
        if alone { format!("{seen}, and no other run got on") } else { seen }
    }
}

fn line(during: &str, end: &str, posts: usize) -> String {
    let arrow = if during.is_empty() || end.is_empty() { "" } else { " > " };
    format!("{during}{arrow}{end}, {posts} POST")
}

/// Phase and reason, and why the account is not ready.
fn state(run: &PipelineRun) -> String {
    let phase = run.status.as_ref().and_then(|status| status.phase).map_or("", Phase::as_str);
    let reason = reason(run);
    let account = message(run).split_once("is not ready (").and_then(|(_, rest)| rest.split_once(')')).map(|(word, _)| word);
    let mut words: Vec<&str> = vec![phase, reason];
    words.dedup();
    words.extend(account);
    words.join(" ")
}

/// What each run has shown since its cell has asked last, also for less time than a look takes.
type Shown = Arc<Mutex<HashMap<String, BTreeSet<String>>>>;

/// All runs as they are now: a list of them each time would cost more than everything else.
fn mirror(env: &Environment) -> (Store<PipelineRun>, Shown) {
    let (store, writer) = reflector::store();
    let changes = watcher(env.runs(), watcher::Config::default());
    let shown = Shown::default();
    let log = Arc::clone(&shown);
    let note = move |event: Result<watcher::Event<PipelineRun>, watcher::Error>| {
        if let Ok(watcher::Event::Apply(run) | watcher::Event::InitApply(run)) = event {
            log.lock().unwrap().entry(run.name_any()).or_default().insert(state(&run));
        }
        std::future::ready(())
    };
    block_on(async move {
        tokio::spawn(changes.default_backoff().reflect(writer).for_each(note));
    });
    (store, shown)
}

/// Ends what runs beside a test with it, however that ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts runs of a healthy account one after the other, and counts those that have succeeded.
fn run_healthy_pipeline(env: &Environment, pipeline: &str, stop: &AtomicBool, longest: &Mutex<(usize, Duration)>) {
    for number in 0.. {
        let begun = Instant::now();
        let name = format!("{pipeline}-{number}");
        env.start(&name, pipeline, json!({}));
        env.wait_phase(&name, Phase::Succeeded);
        let mut longest = longest.lock().unwrap();
        *longest = (longest.0 + 1, longest.1.max(begun.elapsed()));
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Each cell of the table is a run whose server gives one bad answer to one call until it is healed.
#[test]
fn hostile_answers_cause_no_wrong_action_or_status() {
    let trap = RequestRecorder::start();
    let env = Environment::with(
        "answers",
        SimConfig { pipelines: OTHERS.map(|id| Pipeline::new(id).duration(Duration::from_millis(100))).into(), ..SimConfig::default() },
    );
    // For work on one kind, as in ANSWERS="status 429".
    let chosen = std::env::var("ANSWERS").unwrap_or_default();
    let table = answer_kinds();
    let mut wanted: Vec<(&AnswerKind, Column, Expect)> = Vec::new();
    for kind in &table {
        for (column, expect) in COLUMNS.into_iter().zip(kind.row) {
            wanted.extend(expect.map(|expect| (kind, column, expect)));
        }
    }
    wanted.retain(|(kind, column, _)| format!("{} {column:?}", kind.name).contains(&chosen));
    // Those first that take their time.
    wanted.sort_by_key(|(kind, _, _)| kind.times != 2);
    let begun = Instant::now();
    let mut waiting: Vec<Cell> = wanted
        .iter()
        .enumerate()
        .map(|(number, (kind, column, expect))| Cell::start(kind, *column, *expect, number, &trap))
        .rev()
        .collect();
    let base = env.sim.base_url();
    let mut flags = vec!["--log-level", "trace", "--trigger-settle-seconds", "20", "--fence-seconds", "5", "--quarantine-seconds", "8"];
    flags.extend(["--max-concurrent-reconciles", "256", "--allowed-base-url", &base]);
    flags.extend(waiting.iter().flat_map(|cell| ["--allowed-base-url", cell.site.origin.as_str()]));
    let mut operator = env.operator_with(&flags);
    env.wait_ready("default");
    let idle = operator.peak_memory();
    let (runs, shown) = mirror(&env);
    let key = |name: &str| ObjectRef::new(name).within(&env.namespace);
    let (stop, longest) = (AtomicBool::new(false), Mutex::new((0, Duration::ZERO)));
    let mut done: Vec<Cell> = Vec::new();
    std::thread::scope(|scope| {
        for pipeline in OTHERS {
            let (env, stop, longest) = (&env, &stop, &longest);
            scope.spawn(move || run_healthy_pipeline(env, pipeline, stop, longest));
        }
        let _stop = StopOnDrop(&stop);
        let mut active: Vec<Cell> = Vec::new();
        while !(waiting.is_empty() && active.is_empty()) {
            // A few at a time: those that are under way must be looked at meanwhile.
            for mut cell in
                waiting.split_off(waiting.len().saturating_sub(CONCURRENCY.saturating_sub(active.len()).min(4))).into_iter().rev()
            {
                env.account_with(&cell.name, json!({ "baseUrl": format!("{}/dp/api/v1", cell.site.origin), "requestsPerSecond": 100 }));
                env.start(&cell.name, &cell.name, json!({ "accountRef": { "name": cell.name } }));
                cell.begun = Instant::now();
                active.push(cell);
            }
            let others = longest.lock().unwrap().0;
            done.extend(active.extract_if(.., |cell| runs.get(&key(&cell.name)).is_some_and(|run| cell.look(&run, &shown, others))));
            std::thread::sleep(CHECK_EVERY);
        }
    });
    let took = begun.elapsed();
    let peak = operator.peak_memory();
    let mut differing = Vec::new();
    done.sort_by(|a, b| (&a.kind, a.column as u8).cmp(&(&b.kind, b.column as u8)));
    for cell in &done {
        let run = env.get(&cell.name);
        assert_consistent(&run);
        let (expected, seen) = (cell.expected(), cell.seen(&state(&run)));
        let same = if expected == seen { "as expected".to_owned() } else { seen.clone() };
        let text = format!("{:<40} {:<9} {expected:<70} {same}", cell.kind, format!("{:?}", cell.column));
        println!("{text}");
        if expected != seen {
            differing.push(format!("{text}\n    ({})", message(&run)));
        }
    }
    let (others, longest) = *longest.lock().unwrap();
    println!("{} kinds, {} cells, {:.1} s", table.len(), done.len(), took.as_secs_f64());
    println!("other runs: {others}, the longest took {:.1} s", longest.as_secs_f64());
    println!("memory: {} MiB at first, {} MiB at most", idle >> 20, peak >> 20);
    let (_, metrics) = operator.ask("metrics", "/metrics");
    for secret in [TOKEN, "demo-license-key"] {
        assert!(!metrics.contains(secret), "{metrics}");
    }
    assert!(differing.is_empty(), "{} cells differ:\n{}", differing.len(), differing.join("\n"));
    same("what was sent elsewhere", trap.caught(), Vec::new());
    assert!(peak < MEMORY_LIMIT, "{} MiB", peak >> 20);
    assert!(longest < Duration::from_secs(30), "{longest:?}");
    same("exit code", operator.stop(), Some(0));
}
