//! `cargo xtask storm`: many runs, an operator that is killed repeatedly, and two servers that fail at random.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use controlplane::proxy::{Action, RequestInfo};
use controlplane::{Process, Proxy};
use nuvo_sim::Pipeline;

use super::environment::Environment;
use super::evidence::{Attempt, Evidence};
use super::fault::{Fault, RetryAfter};
use super::numbered_request::{RequestKind, Server};
use super::operator_flags::{OperatorFlags, ProtocolTimes};
use super::test_cluster::{Failure, TestCluster};
use super::{oracle, print};
use crate::stop::Stop;

#[derive(clap::Args)]
pub struct Args {
    /// Number of runs.
    #[arg(long, default_value_t = 200, value_name = "N")]
    runs: usize,
    /// Number of pipelines that the runs share.
    #[arg(long, default_value_t = 150, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pipelines: u16,
    /// Number of times the operator is killed.
    #[arg(long, default_value_t = 60, value_name = "N")]
    kills: usize,
    /// Percentage of the requests to each server that fail.
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=90))]
    failing: u64,
    /// Seed of the failures and of the times of the kills.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// Use this program instead of the operator that is built here, to compare it with that of another commit. How many runs succeed depends on
    /// how fast the operator is: compare only programs that were built with the same optimisation.
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,
}

/// The ways in which a request fails; each is as likely as the others.
const WAYS: [Fault; 6] =
    [Fault::RequestLost, Fault::AnswerLost, Fault::Internal, Fault::InternalAfter, Fault::Unavailable, Fault::Limited(RetryAfter::Seconds)];
/// An operator lives at least this long after its start, and at most four times as long.
const LIVES: Duration = Duration::from_millis(700);
/// An account that is not ready is tried again after five seconds, then after ten. A POST has the time for that, as with the operator's defaults.
const TIMES: ProtocolTimes =
    ProtocolTimes { trigger_timeout: Duration::from_secs(18), quarantine: Duration::from_secs(20), ..ProtocolTimes::COMPRESSED };
const FLAGS: OperatorFlags = OperatorFlags { times: TIMES, leader_elect: false, clock_ahead: false };
const CHECK_EVERY: Duration = Duration::from_millis(200);
const ENDS_WITHIN: Duration = Duration::from_secs(900);
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let cluster = TestCluster::open(args.operator.as_deref(), &stop)?;
    let storm = Storm::begin(&cluster, args).and_then(|storm| storm.run_until_ended(&stop));
    // After Ctrl-C everything else fails as a consequence.
    stop.check()?;
    let table = storm.map_err(|error| error as Box<dyn Error>)?;
    print(&table.text);
    if table.broken.is_empty() { Ok(()) } else { Err(table.broken.join("\n").into()) }
}

/// The table, and the violations.
struct StormResult {
    text: String,
    broken: Vec<String>,
}

struct Storm<'a> {
    args: &'a Args,
    operator: Process,
    way: Proxy,
    environment: Environment<'a>,
    kubeconfig: PathBuf,
    log: PathBuf,
    failed: Arc<AtomicUsize>,
    began: Instant,
}

/// A pseudo-random number that depends on its argument only.
fn pseudo_random(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Makes a proxy fail this percentage of its requests.
fn inject_failures(proxy: &Proxy, server: Server, args: &Args, failed: &Arc<AtomicUsize>) {
    let (seed, percent, failed) = (args.seed, args.failing, Arc::clone(failed));
    proxy.set_rules(move |request: &RequestInfo| {
        let number = pseudo_random((seed, server, request.seq));
        if number.checked_rem(100).is_none_or(|rolled| rolled >= percent) {
            return Action::Forward;
        }
        failed.fetch_add(1, Ordering::Relaxed);
        let kind = RequestKind::of(server, request);
        let chosen =
            usize::try_from(pseudo_random((number, "way"))).unwrap_or_default().checked_rem(WAYS.len()).and_then(|way| WAYS.get(way));
        match chosen {
            // The answer to a watch has no end to wait for.
            Some(Fault::AnswerLost | Fault::InternalAfter) if kind.is_watch() => Action::DropBeforeForward,
            Some(fault) => fault.act(&kind).0,
            None => Action::Forward,
        }
    });
}

impl<'a> Storm<'a> {
    fn begin(cluster: &'a TestCluster, args: &'a Args) -> Result<Self, Failure> {
        let name = |number: usize| format!("pipeline-{number}");
        let pipelines = usize::from(args.pipelines);
        let made = (0..pipelines).map(|number| Pipeline::new(name(number)).duration(Duration::from_secs(2))).collect();
        let environment = Environment::prepare(cluster, "storm", made)?;
        for number in 0..args.runs {
            environment.create_run(&format!("run-{number}"), &name(number.checked_rem(pipelines).unwrap_or_default()))?;
        }
        let way = Proxy::start(&cluster.server)?;
        let failed = Arc::default();
        inject_failures(&way, Server::Kubernetes, args, &failed);
        inject_failures(&environment.nuvo, Server::Nuvo, args, &failed);
        let kubeconfig = way.kubeconfig(&cluster.kubeconfig)?;
        let log = cluster.server.folder().join("storm.log");
        let began = Instant::now();
        let operator = environment.spawn(&kubeconfig, &log, &FLAGS)?;
        Ok(Self { args, operator, way, environment, kubeconfig, log, failed, began })
    }

    fn restart_operator(&mut self) -> Result<(), Failure> {
        let log: &Path = &self.log;
        self.operator = self.environment.spawn(&self.kubeconfig, log, &FLAGS)?;
        Ok(())
    }

    fn run_until_ended(mut self, stop: &Stop) -> Result<StormResult, Failure> {
        let (mut kills, mut deaths) = (0_usize, 0_usize);
        let mut last_kill = Duration::ZERO;
        let mut reported = Instant::now();
        let mut next = self.next_kill(kills);
        loop {
            stop.sleep(CHECK_EVERY)?;
            // An operator whose first requests fail exits; a cluster restarts it.
            if self.operator.exited().is_some() {
                deaths = deaths.saturating_add(1);
                self.restart_operator()?;
            }
            if kills < self.args.kills && Instant::now() >= next {
                self.operator.kill();
                kills = kills.saturating_add(1);
                last_kill = self.began.elapsed();
                self.restart_operator()?;
                next = self.next_kill(kills);
            }
            let unended = self.environment.unended()?;
            if reported.elapsed() > PROGRESS_EVERY {
                print(&format!(
                    "{} s: {kills} kills, {} of {} runs have not ended",
                    self.began.elapsed().as_secs(),
                    unended.len(),
                    self.args.runs
                ));
                reported = Instant::now();
            }
            if kills >= self.args.kills && unended.is_empty() {
                break;
            }
            if self.began.elapsed() > ENDS_WITHIN {
                return Err(format!("not ended within {} s: {}\n{}", ENDS_WITHIN.as_secs(), unended.join(", "), self.operator.log()).into());
            }
        }
        let took = self.began.elapsed();
        let mut complaints = self.environment.stop(std::iter::once(&mut self.operator))?;
        if self.operator.log().contains("panicked") {
            complaints.push("an operator panicked".to_owned());
        }
        let evidence = self.environment.evidence(std::iter::once(&self.way))?;
        complaints.extend(oracle::invariant_violations(&evidence, 1));
        let journal = self.way.journal();
        let writes = journal.iter().filter(|exchange| RequestKind::of(Server::Kubernetes, &exchange.request).is_write()).count();
        let requests = [journal.len(), self.environment.nuvo.journal().len()];
        let times = [last_kill, took];
        let text = self.table(&evidence, [kills, deaths], requests, writes, times)?;
        let doubted = oracle::doubted_in_vain(&evidence);
        let in_vain = (doubted > 0).then(|| format!("{doubted} runs are in doubt though they had started something"));
        Ok(StormResult { text, broken: complaints.into_iter().chain(in_vain).collect() })
    }

    fn next_kill(&self, kills: usize) -> Instant {
        let more = pseudo_random((self.args.seed, "kill", kills)).checked_rem(3_000).unwrap_or_default();
        let life =
            LIVES.saturating_add(LIVES.saturating_mul(u32::try_from(more).unwrap_or_default()).checked_div(1_000).unwrap_or_default());
        let now = Instant::now();
        now.checked_add(life).unwrap_or(now)
    }

    fn table(
        &self,
        evidence: &Evidence,
        [kills, deaths]: [usize; 2],
        [kubernetes, nuvo]: [usize; 2],
        writes: usize,
        [last_kill, took]: [Duration; 2],
    ) -> Result<String, std::fmt::Error> {
        let mut posts: BTreeMap<&Attempt, usize> = evidence.markers.values().map(|attempt| (attempt, 0)).collect();
        for delivery in evidence.deliveries.iter().filter(|delivery| !delivery.is_refused()) {
            if let Some(count) = evidence.markers.get(&delivery.nonce).and_then(|attempt| posts.get_mut(attempt)) {
                *count = count.saturating_add(1);
            }
        }
        let with = |wanted: fn(usize) -> bool| posts.values().filter(|count| wanted(**count)).count();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &evidence.runs {
            let count = reasons.entry(oracle::reason(run)).or_default();
            *count = count.saturating_add(1);
        }
        let mut text = String::new();
        writeln!(text, "| | |\n|---|---:|")?;
        writeln!(text, "| runs, on pipelines | {}, {} |", self.args.runs, self.args.pipelines)?;
        writeln!(text, "| SIGKILLs; exits of the operator at its start | {kills}; {deaths} |")?;
        writeln!(text, "| requests to the API server, to nuvo | {kubernetes}, {nuvo} |")?;
        writeln!(text, "| of these, failed on purpose | {} |", self.failed.load(Ordering::Relaxed))?;
        writeln!(text, "| attempts without a POST that may have been carried out | {} |", with(|count| count == 0))?;
        writeln!(text, "| attempts with one | {} |", with(|count| count == 1))?;
        writeln!(text, "| attempts with more than one | {} |", with(|count| count > 1))?;
        writeln!(text, "| POSTs that nuvo certainly refused | {} |", evidence.deliveries.iter().filter(|sent| sent.is_refused()).count())?;
        writeln!(
            text,
            "| executions at nuvo; shown by their run | {}; {} |",
            evidence.executions.len(),
            evidence.runs.iter().map(oracle::shown_count).sum::<usize>()
        )?;
        for (reason, count) in reasons {
            writeln!(text, "| runs that ended as {reason} | {count} |")?;
        }
        writeln!(text, "| runs in doubt though they had started something | {} |", oracle::doubted_in_vain(evidence))?;
        writeln!(text, "| writes to the API server for each run, events not counted | {:.1} |", ratio(writes, self.args.runs))?;
        writeln!(text, "| last kill; last end | {:.0} s; {:.0} s |", last_kill.as_secs_f64(), took.as_secs_f64())?;
        Ok(text)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let [part, whole] = [part, whole].map(|count| u32::try_from(count).map_or(f64::NAN, f64::from));
    part / whole
}
