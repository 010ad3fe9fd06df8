//! The driver of an account against the simulator over real sockets: what many executions cost, whatever the server makes of a list's parameters.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where it cannot go on"
)]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use nuvo_client::{Client, Credential, Origins, Settings};
use nuvo_core::run::{AccountHash, ExecutionId, Follow, Known, PipelineId, RunRef, Uid};
use nuvo_crds::{NuvoPipeline, PipelineRun};
use nuvo_operator::account::driver::{AccountDriver, Patience, PipelineNotifier, RunNotifier};
use nuvo_operator::account::{Session, SessionSettings};
use nuvo_operator::shutdown::{self, Stop};
use nuvo_sim::{AccessToken, Effect, Fault, Identity, ListOrder, Operation, Seed, Sim, SimConfig, Status, Total};
use parking_lot::Mutex;
use secrecy::SecretString;

const WITHIN: Duration = Duration::from_secs(30);
const ACTIVE: usize = 20;

/// Counts how often each run was woken.
#[derive(Default)]
struct Woken(Mutex<BTreeMap<String, usize>>);

impl RunNotifier for Woken {
    fn wake(&self, run: &ObjectRef<PipelineRun>) {
        *self.0.lock().entry(run.name.clone()).or_default() += 1;
    }

    fn exists(&self, _: &ObjectRef<PipelineRun>) -> bool {
        true
    }
}

const PATIENCE: Patience =
    Patience { grace: Duration::from_secs(300), confirm: Duration::from_secs(10), overlap: Duration::from_secs(360) };

/// There is no pipeline to be woken.
struct NoPipelines;

impl PipelineNotifier for NoPipelines {
    fn wake_pipeline(&self, _: &ObjectRef<NuvoPipeline>) {}

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A simulator with running executions, each of which a run follows.
struct World {
    sim: Sim,
    driver: Arc<AccountDriver>,
    woken: Arc<Woken>,
    executions: Vec<ExecutionId>,
    _stop: Stop,
}

fn orders() -> PipelineId {
    PipelineId::new("orders").unwrap()
}

impl World {
    /// `others` have ended before in the same account.
    fn start(config: SimConfig, others: usize) -> Self {
        Self::start_with(config, others, |_| {})
    }

    /// The same after something was done to the simulator.
    fn start_with(config: SimConfig, others: usize, prepare: impl FnOnce(&Sim)) -> Self {
        Self::start_after(config, others, prepare, Duration::ZERO, 0.0)
    }

    /// The same with executions of this age, and with this part of a period before the first look.
    fn start_after(config: SimConfig, others: usize, prepare: impl FnOnce(&Sim), age: Duration, spread: f64) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let access_tokens = vec![AccessToken::new("token", Identity::user("demo@example.com"))];
        let sim = Sim::start(SimConfig { access_tokens, ..config }).unwrap();
        prepare(&sim);
        for number in 0..others {
            let seed = Seed::new("others").ago(Duration::from_secs(1_000 - number as u64));
            sim.seed_execution(seed.status(Status::Successful)).unwrap();
        }
        let seed = |number: usize| Seed::new("orders").ago(Duration::from_secs(100 - number as u64));
        let executions: Vec<_> = (0..ACTIVE).map(|number| ExecutionId::new(sim.seed_execution(seed(number)).unwrap()).unwrap()).collect();
        let base = Origins::parse([sim.base_url()]).unwrap().check(&sim.base_url()).unwrap();
        let credential = Credential::AccessToken(SecretString::from("token"));
        let client = Client::new(base, credential, Settings::default()).unwrap();
        let (stop, shutdown) = shutdown::channel();
        let (announcements, _) = tokio::sync::mpsc::channel(1);
        let settings = SessionSettings {
            observe_period: Duration::from_secs(60),
            requests_per_second: 1_000,
            poll_period: Duration::from_secs(1),
            identity: None,
            account: AccountHash::new("account").unwrap(),
            shown_identity: None,
            breaker: Arc::default(),
            announcements,
            waited: Box::new(|_| {}),
        };
        let woken = Arc::new(Woken::default());
        let driver = Arc::new(AccountDriver::new(woken.clone(), Arc::new(NoPipelines), PATIENCE, spread));
        driver.connect(Some(Arc::new(Session::new(client, driver.requests(), settings))));
        for (number, execution) in executions.iter().enumerate() {
            let name = format!("run-{number}");
            let run = RunRef { uid: Uid::new(name.clone()).unwrap(), namespace: "team".to_owned(), name };
            let wish = Follow { executions: vec![execution.clone()], age, ours: true, expected: true, late: false, ended_for: None };
            driver.follow(&run, &orders(), Some(&wish));
        }
        let works = driver.clone();
        tokio::spawn(async move { works.run(async move { shutdown.begun().await }).await });
        Self { sim, driver, woken, executions, _stop: stop }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < WITHIN, "not {what}: {:#?}", self.requests());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn requests(&self) -> Vec<Operation> {
        self.sim.journal().iter().map(|request| request.operation).collect()
    }

    fn count(&self, operation: Operation) -> usize {
        self.requests().into_iter().filter(|other| *other == operation).count()
    }

    /// How many lists each look that is over has asked for. The pages of one follow each other at once, and looks are half a second apart.
    fn lists_per_tick(&self) -> Vec<usize> {
        let mut ticks: Vec<usize> = Vec::new();
        let mut last = None;
        for request in self.sim.journal().iter().filter(|request| request.operation == Operation::List) {
            if last.is_none_or(|last| request.at_ms - last > 300) {
                ticks.push(0);
            }
            *ticks.last_mut().unwrap() += 1;
            last = Some(request.at_ms);
        }
        ticks.pop();
        ticks
    }

    fn ended(&self) -> usize {
        let known = self.driver.seen(&orders(), &self.executions).known;
        known.values().filter(|known| matches!(known, Known::Report(report) if report.status.as_deref() == Some("SUCCESSFUL"))).count()
    }
}

#[tokio::test]
async fn many_executions_cost_list_pages_and_one_read_each() {
    let ignoring = |field: &str| [field.to_owned()].into();
    let servers = [
        ("as documented", SimConfig::default(), 30, 1),
        ("small pages", SimConfig { max_limit: 7, ..SimConfig::default() }, 30, 3),
        ("pages that fit exactly", SimConfig { max_limit: 10, ..SimConfig::default() }, 0, 2),
        ("a total of the page only", SimConfig { max_limit: 7, total: Total::Page, ..SimConfig::default() }, 30, 3),
        ("its own order", SimConfig { max_limit: 7, order: ListOrder::NewestFirst, ..SimConfig::default() }, 30, 3),
        ("no filter", SimConfig { ignored_filters: ignoring("status"), ..SimConfig::default() }, 30, 1),
        ("no filter and small pages", SimConfig { max_limit: 10, ignored_filters: ignoring("status"), ..SimConfig::default() }, 30, 2),
        (
            "nothing that it is asked for",
            SimConfig {
                max_limit: 10,
                ignored_filters: ignoring("status"),
                order: ListOrder::NewestFirst,
                total: Total::Page,
                ..SimConfig::default()
            },
            30,
            2,
        ),
    ];
    join_all(servers.map(follow_to_the_end)).await;
}

/// One server: what it does, its configuration, how many others have ended there, and how many lists a tick needs.
async fn follow_to_the_end((what, config, others, pages): (&str, SimConfig, usize, usize)) {
    let world = World::start(config, others);
    world.until("three ticks", |world| world.lists_per_tick().len() >= 3).await;
    let lists = world.lists_per_tick();
    // The first look does not know yet where the list ends; and a slow machine may run two ticks together.
    assert!(lists[1..].iter().all(|lists| *lists % pages == 0), "{what}: {lists:?}");
    assert_eq!(world.count(Operation::Read), 0, "{what}: the list shows that they run");
    assert_eq!(*world.woken.0.lock(), BTreeMap::new(), "{what}: and that is no news");
    for execution in &world.executions {
        world.sim.finish(execution.as_str(), Status::Successful).unwrap();
    }
    world.until("all ended", |world| world.ended() == ACTIVE).await;
    assert_eq!(world.count(Operation::Read), ACTIVE, "{what}: one read each");
    assert_eq!(world.count(Operation::Pipeline), 1, "{what}: developer mode is asked for once, not for each");
    let woken = world.woken.0.lock().clone();
    assert!(woken.len() == ACTIVE && woken.values().all(|times| *times == 1), "{what}: {woken:?}");
    let after_the_end = world.requests().into_iter().rev().take_while(|operation| *operation == Operation::List).count();
    assert_eq!(after_the_end, 0, "{what}: nothing is asked after the last read");
}

#[tokio::test]
async fn only_ended_executions_are_read() {
    let world = World::start(SimConfig { max_limit: 7, ..SimConfig::default() }, 0);
    let ending = [3, 8, 19];
    for number in ending {
        world.sim.finish(world.executions[number].as_str(), Status::Successful).unwrap();
    }
    world.until("three ended", |world| world.ended() == ending.len()).await;
    world.until("two more ticks", |world| world.lists_per_tick().len() >= 3).await;
    let reads: Vec<String> =
        world.sim.journal().iter().filter(|request| request.operation == Operation::Read).map(|request| request.path.clone()).collect();
    assert_eq!(reads.len(), ending.len(), "{reads:?}");
    for number in ending {
        assert!(reads.iter().any(|path| path.ends_with(world.executions[number].as_str())), "{reads:?}");
        assert_eq!(world.woken.0.lock()[&format!("run-{number}")], 1);
    }
    assert_eq!(world.woken.0.lock().len(), ending.len());
}

#[tokio::test]
async fn entry_that_moves_up_during_a_list_is_not_read() {
    let config = SimConfig { max_limit: 4, ..SimConfig::default() };
    // The third page of the second look.
    let mut fault = None;
    let world = World::start_with(config, 0, |sim| {
        fault = Some(sim.add_fault(Fault::on(Operation::List, Effect::HANG_BEFORE_EXECUTING).skip(5 + 2).once()));
    });
    let fault = fault.unwrap();
    world.until("in the middle of a look", |world| world.sim.fault_reached(fault, Duration::ZERO)).await;
    // The oldest one ends, and all others move up.
    world.sim.finish(world.executions[0].as_str(), Status::Successful).unwrap();
    world.sim.release(fault);
    world.until("its end known", |world| world.ended() == 1).await;
    world.until("another look", |world| world.count(Operation::List) >= 15).await;
    assert_eq!(world.count(Operation::Read), 1, "only what has ended is read");
}

#[tokio::test]
async fn refused_large_page_falls_back_to_usual_pages() {
    let config = SimConfig::default();
    let world = World::start_with(config, 0, |sim| {
        sim.add_fault(Fault::on(Operation::List, Effect::status(422)).once());
    });
    world.until("three looks", |world| world.lists_per_tick().len() >= 3).await;
    let limits: Vec<String> = world
        .sim
        .journal()
        .iter()
        .flat_map(|request| request.query.iter().filter(|(key, _)| key == "pagination[limit]").map(|(_, value)| value.clone()))
        .collect();
    assert_eq!(limits[..3], ["1000", "100", "100"]);
}

#[tokio::test]
async fn first_list_after_a_start_is_spread_over_a_period() {
    let age = Duration::from_secs(100);
    let begun = Instant::now();
    let world = World::start_after(SimConfig::default(), 0, |_| {}, age, 1.0);
    world.until("the first look", |world| world.count(Operation::List) > 0).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "a whole period of one second: {:?}", begun.elapsed());
    assert_eq!(world.count(Operation::Read), 0, "nothing is asked for that is still running");
}

#[tokio::test]
async fn unlisted_open_execution_is_read_once_a_period() {
    // It has been going for so long that asking again within ten seconds would be too often.
    let world = World::start_after(SimConfig::default(), 0, |_| {}, Duration::from_secs(100), 0.0);
    world.until("a look", |world| !world.lists_per_tick().is_empty()).await;
    for execution in &world.executions {
        world.sim.finish(execution.as_str(), Status::Other("QUEUED".into())).unwrap();
    }
    world.until("all asked for", |world| world.count(Operation::Read) >= ACTIVE).await;
    let lists = world.lists_per_tick().len();
    world.until("two more looks", |world| world.lists_per_tick().len() >= lists + 2).await;
    let reads = world.count(Operation::Read);
    assert!(reads <= 4 * ACTIVE, "once for each period of a second, however often there is a look: {reads}");
    world.sim.finish(world.executions[0].as_str(), Status::Successful).unwrap();
    world.until("the end of one is known", |world| world.ended() == 1).await;
}
