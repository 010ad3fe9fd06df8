//! The operator in virtual time: the production structs of nuvo-core's scheduler, driven as `src/account` drives them.

mod answers;
mod driver;
mod observed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use nuvo_core::run::{ExecutionId, Follow, PipelineId, RunRef, Uid};
use nuvo_core::scheduler::{
    AccountScheduler, CircuitBreaker, Credentials, Key, Look, ObservationRead, PageRequest, Places, Purpose, Read, RequestKind, Ticket,
    most_places,
};

use super::nuvo::{Execution, Fate, Nuvo};
pub use observed::{EXECUTION, FIRST, FURTHER, Observed, PIPELINE, Starts, TOP};

/// When the simulation begins: later than any execution is old.
pub const START: Duration = Duration::from_secs(100 * 86_400);
/// How long a read or a write of the API server takes.
const KUBERNETES: Duration = Duration::from_millis(10);
/// The least time from an end to its being shown: one read and one write.
pub const AT_LEAST: Duration = Duration::from_millis(50);
/// How long nuvo may deny an execution.
const GRACE: Duration = Duration::from_secs(300);
/// How much older than the newest execution a new one can be: the quarantine of the operator.
const OVERLAP: Duration = Duration::from_secs(900);
/// The time between two looks for the pipelines that are observed.
pub const OBSERVE_PERIOD: Duration = Duration::from_secs(60);
/// The pause after a POST was answered with 429.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// The places of all accounts: `--max-concurrent-reconciles` of 32, times seven.
const PLACES: usize = 224;

/// What happens at some time.
enum Event {
    /// A run asks for its place.
    Start(usize),
    /// The lock of a run was read.
    Prepared(usize),
    /// The lock and the marker of a run were written.
    Post(usize),
    /// The executions of a run were recorded.
    Recorded(usize, Vec<usize>),
    /// A run was woken.
    Woken(usize),
    /// Something is due for an account.
    Drive(usize),
    /// nuvo starts an execution by itself.
    Begins(Starts),
    /// A pipeline is to be observed.
    Observe(usize),
    /// A request has ended.
    Ended { account: usize, request: Request, fate: Fate, is_probe: bool, sent: Duration },
}

/// A request that waits for its token, or is out. A POST waits for its turn.
enum Request {
    Page(Looking),
    Read(Read, Duration),
    Mode(PipelineId),
    Baseline(Duration),
    Post(usize),
    /// A page for the pipelines that are observed, and when it was begun.
    Observe(PageRequest, Duration),
    ReadObserved(ObservationRead),
}

/// A look, page by page from the last one.
struct Looking {
    look: Look,
    shown: BTreeSet<usize>,
    page: usize,
    requests: usize,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    pub account: usize,
    pub pipeline: usize,
    pub created: Duration,
    /// How long its executions take.
    pub takes: Duration,
    pub files: usize,
    /// It follows this execution, which was there before.
    pub import: Option<usize>,
    pub triggered: Option<Duration>,
    /// When its end was shown.
    pub shown: Option<Duration>,
    executions: Vec<usize>,
    lock_read: Duration,
    has_place: bool,
}

/// What was sent, and how long it waited.
#[derive(Debug, Default)]
pub struct Counts {
    pub sent: BTreeMap<&'static str, usize>,
    pub longest_wait: BTreeMap<&'static str, Duration>,
    /// Requests for observed pipelines, by kind.
    pub observation: BTreeMap<&'static str, usize>,
    /// When the last complete look of each account began, and how old that became at most.
    pub looks: BTreeMap<usize, (Duration, Duration)>,
    /// When the top pages for observed pipelines were asked for, and of which account.
    pub top_pages: Vec<(Duration, usize)>,
    pub most_in_a_second: usize,
    /// Requests that made more in a second than the budget and its burst allow.
    pub over_budget: usize,
}

struct Account {
    rate: u32,
    scheduler: AccountScheduler<()>,
    credentials: Credentials,
    breaker: CircuitBreaker,
    waiting: BTreeMap<Ticket, (Request, Purpose, Duration)>,
    /// When something is due next.
    wakes: Option<Duration>,
    recent: VecDeque<Duration>,
    longest_wait: Duration,
    /// The first look that showed everything since the start, or since the end of an outage.
    looked_at: Option<Duration>,
}

/// A simulation.
pub struct World {
    pub now: Duration,
    pub nuvo: Nuvo,
    pub runs: Vec<Run>,
    pub counts: Counts,
    /// The pipelines that are observed.
    pub observed: Vec<Observed>,
    /// The order of everything that was sent, as one number.
    pub fingerprint: u64,
    accounts: Vec<Account>,
    places: Places<usize, (Duration, usize)>,
    events: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
}

fn execution_id(number: usize) -> ExecutionId {
    ExecutionId::new(format!("{number:024x}")).expect("an id")
}

fn number_of(key: &Key) -> usize {
    usize::from_str_radix(key.1.as_str(), 16).expect("a number")
}

fn pipeline_id(number: usize) -> PipelineId {
    PipelineId::new(format!("pipeline-{number}")).expect("an id")
}

fn run_ref(number: usize) -> RunRef {
    RunRef { uid: Uid::new(number.to_string()).expect("a uid"), namespace: "team".to_owned(), name: number.to_string() }
}

/// What observed pipelines need besides the page of what is new.
pub const OF_PIPELINES: &str = "observed pipeline";
/// Whether a pipeline is in developer mode.
pub const MODE: &str = "pipeline";

const fn name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Ending => "read at the end",
        Purpose::Recovery => "recovery",
        Purpose::Trigger => "POST",
        Purpose::Baseline => "look before triggers",
        Purpose::Import => "read of an import",
        Purpose::Polling => "page of what runs",
        Purpose::Mode => MODE,
        Purpose::Observation => "page of what is new",
        Purpose::ObservationDetail => OF_PIPELINES,
    }
}

impl World {
    /// Accounts with this budget and poll period each.
    pub fn new(accounts: usize, rate: u32, poll_period: Duration) -> Self {
        let account = |number: usize| {
            let spread = (number * 37 % 256) as f64 / 255.0;
            let mut scheduler = AccountScheduler::new(GRACE, spread, GRACE, OVERLAP, START);
            let credentials = scheduler.renew(rate, START);
            scheduler.set_pace(Some((poll_period, OBSERVE_PERIOD)));
            Account {
                rate,
                scheduler,
                credentials,
                breaker: CircuitBreaker::default(),
                waiting: BTreeMap::new(),
                wakes: None,
                recent: VecDeque::new(),
                longest_wait: Duration::ZERO,
                looked_at: None,
            }
        };
        Self {
            now: START,
            nuvo: Nuvo::default(),
            runs: Vec::new(),
            counts: Counts::default(),
            observed: Vec::new(),
            fingerprint: 0,
            accounts: (0..accounts).map(account).collect(),
            places: Places::new(PLACES),
            events: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// A run that is created at this time.
    pub fn create(&mut self, account: usize, pipeline: usize, after: Duration, takes: Duration, files: usize) {
        let number = self.add(account, pipeline, START + after, takes, files);
        self.at(START + after, Event::Start(number));
    }

    /// A run that is known at the start: its execution began so long ago, and takes so long in all.
    pub fn follow(&mut self, account: usize, pipeline: usize, age: Duration, takes: Duration) {
        let number = self.add(account, pipeline, START.saturating_sub(age), takes, 1);
        let created = START.saturating_sub(age);
        let execution = self.nuvo.start(Execution { account, pipeline, trigger: "MANUAL", created, ends: created + takes });
        self.runs[number].triggered = Some(created);
        self.at(START, Event::Recorded(number, vec![execution]));
    }

    /// A run that names an execution which began so long ago.
    pub fn import(&mut self, account: usize, pipeline: usize, after: Duration, age: Duration, takes: Duration) {
        let created = (START + after).saturating_sub(age);
        let execution = self.nuvo.start(Execution { account, pipeline, trigger: "MANUAL", created, ends: created + takes });
        let number = self.add(account, pipeline, START + after, takes, 1);
        self.runs[number].import = Some(execution);
        self.at(START + after, Event::Recorded(number, vec![execution]));
    }

    fn add(&mut self, account: usize, pipeline: usize, created: Duration, takes: Duration, files: usize) -> usize {
        let run = Run {
            account,
            pipeline,
            created,
            takes,
            files,
            import: None,
            triggered: None,
            shown: None,
            executions: Vec::new(),
            lock_read: Duration::ZERO,
            has_place: false,
        };
        self.runs.push(run);
        self.runs.len() - 1
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((at.max(self.now), self.sequence), event);
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    /// Runs until this much time has passed, or nothing is left to happen.
    pub fn run_for(&mut self, time: Duration) {
        let end = START + time;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            self.happen(event);
        }
    }

    /// When the end of a run could be shown first: it has ended, the run exists, and nuvo answers.
    pub fn could_be_shown(&self, run: &Run) -> Option<Duration> {
        let known = self.ended(run)?.max(run.created).max(START);
        Some(if self.nuvo.faults.outage.contains(&known) { self.nuvo.faults.outage.end } else { known })
    }

    /// How long it took from the start, or from the end of an outage, until everything was looked at.
    pub fn all_looked_at(&self) -> Option<Duration> {
        self.accounts
            .iter()
            .filter_map(|account| account.looked_at)
            .max()
            .map(|at| at.saturating_sub(self.nuvo.faults.outage.end.max(START)))
    }

    /// The longest wait of a request at the account where it was least, and where it was most.
    pub fn longest_waits(&self) -> (Duration, Duration) {
        let answered = (0..).zip(&self.accounts).filter(|(number, _)| self.nuvo.faults.hanging != Some(*number));
        let waits: Vec<Duration> = answered.map(|(_, account)| account.longest_wait).collect();
        (waits.iter().min().copied().unwrap_or_default(), waits.iter().max().copied().unwrap_or_default())
    }

    /// How many requests still wait that have waited for longer than this, at accounts whose nuvo answers.
    pub fn left_waiting(&self, longer_than: Duration) -> usize {
        let answered = (0..).zip(&self.accounts).filter(|(number, _)| self.nuvo.faults.hanging != Some(*number));
        let waiting = answered.flat_map(|(_, account)| account.waiting.values());
        waiting.filter(|(_, purpose, since)| !purpose.takes_what_is_left() && self.now - *since > longer_than).count()
    }

    /// When the last of the executions of a run ended.
    pub fn ended(&self, run: &Run) -> Option<Duration> {
        run.executions.iter().map(|number| self.nuvo.execution(*number).ends).max().filter(|ends| *ends <= self.now)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(run) => self.take_place(run),
            Event::Prepared(run) => self.want_turn(run),
            Event::Post(run) => {
                let account = self.runs[run].account;
                self.accounts[account].scheduler.turn_over();
                self.send(account, Request::Post(run), RequestKind::Post);
                self.drive(account);
            }
            Event::Recorded(run, executions) => self.recorded(run, executions),
            Event::Woken(run) => self.look_at_run(run),
            Event::Drive(account) => {
                if self.accounts[account].wakes == Some(self.now) {
                    self.accounts[account].wakes = None;
                    self.drive(account);
                }
            }
            Event::Begins(starts) => self.begins(starts),
            Event::Observe(number) => self.register(number),
            Event::Ended { account, request, fate, is_probe, sent } => {
                self.ended_request(account, request, fate, is_probe, sent);
                self.drive(account);
            }
        }
    }

    // What a pass over a run does.

    fn take_place(&mut self, run: usize) {
        let account = self.runs[run].account;
        let (key, most) = ((self.runs[run].created, run), most_places(self.accounts[account].rate));
        if let Some(pause) = self.paused(account) {
            return self.after(pause, Event::Start(run));
        }
        if self.runs[run].has_place || self.runs[run].triggered.is_some() {
            return;
        }
        let mut woken = Vec::new();
        let taken = self.places.try_take(&account, most, &key, &|_| true, &mut woken);
        self.wake_next(&woken);
        if taken.is_ok() {
            self.runs[run].has_place = true;
            self.runs[run].lock_read = self.now;
            self.after(KUBERNETES * 2, Event::Prepared(run));
        }
    }

    fn paused(&self, account: usize) -> Option<Duration> {
        let state = &self.accounts[account];
        let pause = state.scheduler.paused(Purpose::Trigger, self.now).map(|pause| pause.left);
        pause.max(state.breaker.left(self.now))
    }

    fn give_place_back(&mut self, run: usize) {
        if std::mem::take(&mut self.runs[run].has_place) {
            let mut woken = Vec::new();
            self.places.give_back(&self.runs[run].account, &|_| true, &mut woken);
            self.wake_next(&woken);
        }
    }

    fn wake_next(&mut self, woken: &[(Duration, usize)]) {
        for (_, run) in woken {
            self.after(Duration::ZERO, Event::Start(*run));
        }
    }

    /// The pass ends without a trigger.
    fn try_later(&mut self, run: usize, wait: Duration) {
        self.give_place_back(run);
        self.after(wait.max(Duration::from_millis(100)), Event::Start(run));
    }

    fn recorded(&mut self, run: usize, executions: Vec<usize>) {
        self.give_place_back(run);
        let Run { account, pipeline, import, created, .. } = self.runs[run];
        let ids = executions.iter().map(|number| execution_id(*number)).collect();
        self.runs[run].executions = executions;
        let is_import = import.is_some();
        let wish = Follow {
            executions: ids,
            age: self.now.saturating_sub(self.runs[run].triggered.unwrap_or(created)),
            ours: !is_import,
            expected: !is_import,
            late: false,
            ended_for: None,
        };
        let followed = self.accounts[account].scheduler.executions.follow(&run_ref(run), &pipeline_id(pipeline), &wish, self.now);
        if followed.news {
            self.after(Duration::ZERO, Event::Woken(run));
        }
        self.drive(account);
    }

    fn look_at_run(&mut self, run: usize) {
        let Run { account, pipeline, .. } = self.runs[run];
        let ids: Vec<ExecutionId> = self.runs[run].executions.iter().map(|number| execution_id(*number)).collect();
        let known = self.accounts[account].scheduler.executions.knowledge(&pipeline_id(pipeline), &ids);
        let has_ended = |known: &nuvo_core::run::Known| matches!(known, nuvo_core::run::Known::Report(report) if report.status.as_deref() == Some("SUCCESSFUL"));
        if self.runs[run].shown.is_none() && known.len() == ids.len() && known.values().all(has_ended) {
            self.runs[run].shown = Some(self.now + KUBERNETES);
            self.accounts[account].scheduler.executions.forget(&run_ref(run));
        }
    }
}
