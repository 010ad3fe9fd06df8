//! The world that the core acts in: two runs of one pipeline, their lock, nuvo, two processes, and an adversary with a budget.
//!
//! Time is what the protocol's limits make of it: a short tick passes any of the short ones, a long tick the quarantine. The clock is the
//! same for all processes; what each process remembers is kept as an age, so that the world stays finite.

pub mod life;
mod memory;
mod passes;
mod possible_actions;
mod print;
mod store;
mod transitions;

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
    time::Duration,
};

use nuvo_core::run::{
    AccountHash, Act, Answer, ExecutionId, Facts, LedgerEntry, LedgerOutcome, Limits, Lock, LockName, LockRead, MadeBy, Nonce, PipelineId,
    Retention, Run, RunMemory, RunRef, Step, Task, TriggerResult, Uid,
};

use life::{Seen, Story};
use memory::aged;
pub use memory::record;
use nuvo_crds::ConcurrencyPolicy;

use crate::{
    bounds::{RUNS, Scope},
    check::Graph,
    mutant::Mutant,
    symmetry::{Form, LOCK_VERSIONS, RUN_NAMES, RUN_VERSIONS, Shared},
};

/// When a pass begins, by its own clock. Everything that is remembered lies before it.
const BEGIN: Duration = Duration::from_secs(1_000);
/// The fence, which is also how long a doubt is left alone: any tick passes it.
const SHORT: Duration = Duration::from_secs(1);
/// The quarantine: a long tick passes it.
const LONG: Duration = Duration::from_secs(100);
/// The age of a lock after which its fence and the quarantine have passed.
const OLD: Duration = LONG.saturating_add(SHORT);

/// The protocol's times in the world's ticks. Without a wait for the list to settle a pass may conclude as early as the order of its
/// steps allows; that it may also conclude later is the choice of when it begins.
const LIMITS: Limits = Limits {
    fence: SHORT,
    post_deadline: Duration::ZERO,
    settle: Duration::ZERO,
    quarantine: LONG,
    answer: SHORT,
    confirm: Duration::ZERO,
    clock_margin: Duration::ZERO,
};

/// Unused locks are deleted after a long tick.
const RETENTION: Retention = Retention { blank: LONG, used: LONG };

/// The execution that another client starts.
const INTRUDER: &str = "intruder";

/// A run in the API server.
#[derive(Debug, Clone)]
pub struct Object {
    /// None once it is deleted.
    pub present: Option<Arc<Run>>,
    /// As it was created: what a cache may still show.
    first: Arc<Run>,
    /// As it was when it was deleted.
    last: Option<Arc<Run>>,
    /// As it was before each of its records.
    past: Vec<Arc<Run>>,
    /// What it says besides the record of its trigger.
    pub story: Story,
    /// How often it was written, and how many nonces were made for it.
    version: u16,
    nonces: u16,
}

impl Hash for Object {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A new name is new whatever its number.
        (&self.present, &self.first, &self.last, &self.past, self.story).hash(state);
    }
}

/// What has been sent to nuvo.
#[derive(Debug, Clone, Hash)]
pub struct Delivery {
    /// The run that it was sent for.
    pub run: RunRef,
    /// Its nonce.
    pub nonce: Nonce,
    /// The attempt of the run.
    pub attempt: i32,
    /// What became of it.
    pub course: Course,
    /// The run has shown its answer.
    pub written: bool,
    /// It was sent with the account of the other tenant.
    pub moved: bool,
}

/// What became of a POST at nuvo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Course {
    /// On its way.
    InFlight,
    /// Carried out.
    Executed,
    /// Never carried out, and whoever sent it knows that.
    Refused,
    /// Never carried out, and no process knows.
    Dropped,
}

/// An execution at nuvo.
#[derive(Debug, Clone, Hash)]
pub struct Execution {
    /// Its id, which begins with the nonce of its delivery, and so with the name of its run.
    pub id: ExecutionId,
    /// The list shows it.
    pub listed: bool,
    /// It is the other tenant's.
    pub moved: bool,
    /// It has ended, and a run has said so that nuvo's answer may open again.
    pub over: bool,
}

/// What one process does about one run.
#[derive(Debug, Clone, Hash)]
enum Work {
    /// Nothing; this is what it remembers.
    Resting(Box<RunMemory>),
    /// A pass.
    Busy(Box<Pass>),
}

/// A pass over a run.
#[derive(Debug, Clone)]
struct Pass {
    facts: Facts,
    /// What the core decides next. Where that needs a nonce, it has the one that stands for any.
    act: Act,
    /// The nonce of the POST whose answer it waits for.
    sent: Option<Nonce>,
    seen: Seen,
}

impl Hash for Pass {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The act follows from the facts.
        self.facts.hash(state);
        (&self.sent, self.seen).hash(state);
    }
}

/// A write whose writer has given up waiting.
#[derive(Debug, Clone, Hash)]
struct Late {
    run: RunRef,
    step: Step,
}

/// The lock in the API server, and how often it was written.
#[derive(Debug, Clone)]
struct Lease {
    read: LockRead,
    writes: u16,
}

impl Hash for Lease {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.read.hash(state);
    }
}

/// The world at one moment.
#[derive(Debug, Clone)]
pub struct State {
    /// Names this world and those that are like it.
    pub id: u64,
    /// The runs.
    pub runs: Vec<Shared<Object>>,
    /// What nuvo has been sent.
    pub deliveries: Shared<Vec<Delivery>>,
    /// What nuvo has started.
    pub executions: Shared<Vec<Execution>>,
    leases: Vec<Shared<Lease>>,
    operators: Vec<Vec<Shared<Work>>>,
    late: Shared<Vec<Late>>,
    left: Shared<Scope>,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// The rules of the world, and what is sabotaged.
#[derive(Debug)]
pub struct World {
    /// What may go wrong.
    pub scope: Scope,
    /// Which safeguard is switched off.
    mutant: Option<Mutant>,
    /// What has been seen of it.
    pub graph: Graph,
}

fn reference(run: usize) -> RunRef {
    let name = RUN_NAMES[run];
    RunRef { uid: Uid::new(name).unwrap(), namespace: "default".into(), name: name.into() }
}

/// Which run a uid, a nonce or the id of an execution belongs to.
pub fn whose(text: &str) -> usize {
    usize::from(text.starts_with(RUN_NAMES[1]))
}

/// A nonce that stands for any that was never used.
fn any_nonce() -> Nonce {
    static ANY: LazyLock<Nonce> = LazyLock::new(|| Nonce::new("any").unwrap());
    ANY.clone()
}

/// The name of the one lock there is.
fn lock_name() -> LockName {
    static NAME: LazyLock<LockName> = LazyLock::new(|| LockName::new("lock").unwrap());
    NAME.clone()
}

fn hash(id: &ExecutionId) -> String {
    format!("h{id}")
}

/// A pristine run.
pub fn new_run(run: usize) -> Run {
    Run {
        id: reference(run),
        version: format!("{}0", RUN_VERSIONS[run]),
        deleting: false,
        suspended: false,
        pipeline: PipelineId::new("orders").unwrap(),
        adopt_unproven: false,
        retriggers: false,
        concurrency: ConcurrencyPolicy::Allow,
        made_by: MadeBy::Other,
        attempt: 1,
        ended: false,
        marker: None,
        unread_marker: None,
        observes: false,
        is_mirror: false,
        trigger: None,
        executions: Vec::new(),
        abandoned: None,
        answered: None,
    }
}

/// A process that does nothing and remembers nothing.
fn idle() -> Shared<Work> {
    static IDLE: LazyLock<Shared<Work>> = LazyLock::new(|| Shared::new(Work::Resting(Box::default())));
    IDLE.clone()
}

fn is_idle(work: &Work) -> bool {
    matches!(work, Work::Resting(memory) if **memory == RunMemory::default())
}

impl Pass {
    fn task(&self) -> &Task {
        self.facts.observed().map_or(&Task::Idle, |observed| &observed.task)
    }
}

impl Object {
    fn new(first: Run) -> Self {
        let first = Arc::new(first);
        Self { present: Some(first.clone()), first, last: None, past: Vec::new(), story: Story::default(), version: 0, nonces: 0 }
    }

    /// Whether this is the object that is meant, and not a later one of its name.
    fn is(&self, id: &RunRef) -> bool {
        self.present.as_ref().is_some_and(|present| present.id == *id)
    }

    /// A change that belongs to a write which was made already.
    fn same_version(&mut self, change: impl FnOnce(&mut Run)) {
        if let Some(present) = &mut self.present {
            change(Arc::make_mut(present));
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Run)) {
        let Some(present) = &mut self.present else { return };
        self.version += 1;
        let run = Arc::make_mut(present);
        change(run);
        run.version = format!("{}{}", RUN_VERSIONS[whose(&run.id.name)], self.version);
    }

    /// A write over this version, or, with the comparison switched off, over any.
    fn write(&mut self, over: &str, compare: bool, change: impl FnOnce(&mut Run)) -> Answer {
        match &self.present {
            None => Answer::Missing,
            Some(run) if compare && run.version != over => Answer::Indeterminate,
            Some(_) => {
                self.change(change);
                self.present.as_ref().map_or(Answer::Missing, |run| Answer::Written(run.version.clone()))
            }
        }
    }
}

impl State {
    /// Whether nothing that was sent to nuvo still has effects that the list does not show.
    fn is_settled_at_nuvo(&self) -> bool {
        self.executions.iter().all(|execution| execution.listed) && self.deliveries.iter().all(|sent| sent.course != Course::InFlight)
    }

    fn passes(&self) -> impl Iterator<Item = &Pass> {
        self.operators.iter().flatten().filter_map(|work| match &**work {
            Work::Resting(_) => None,
            Work::Busy(pass) => Some(&**pass),
        })
    }

    /// Whether a fence runs.
    fn is_about_to_post(&self) -> bool {
        let granted = |task: &Task| matches!(task, Task::Locking(_) | Task::Locked(_) | Task::Marking(_) | Task::Marked(_));
        self.passes().any(|pass| pass.sent.is_none() && granted(pass.task()))
    }

    /// Whether an answer of nuvo has not been written yet.
    fn is_about_to_record(&self) -> bool {
        self.passes().any(|pass| matches!(pass.task(), Task::Posted(..)))
    }

    /// The lock, as a person would see it.
    pub fn lock(&self) -> &Lock {
        &self.leases[0].read.lock
    }

    fn land(&mut self, delivery: usize, executions: u8) -> Vec<ExecutionId> {
        let lag = self.left.lag;
        let Delivery { nonce, moved, .. } = self.deliveries[delivery].clone();
        self.deliveries.change(|all| all[delivery].course = Course::Executed);
        let ids: Vec<_> = (0..executions).map(|number| ExecutionId::new(format!("{nonce}-{number}")).unwrap()).collect();
        self.executions.change(|all| all.extend(ids.iter().map(|id| Execution { id: id.clone(), listed: !lag, moved, over: false })));
        ids
    }

    /// Whether an execution has ended. It has with the run that shows it, or with one that does not know about it.
    fn is_over(&self, id: &ExecutionId) -> bool {
        let ended = |run: &Arc<Run>| {
            let is_ambiguous = run.trigger.as_ref().is_some_and(|trigger| matches!(trigger.result, TriggerResult::Ambiguous { .. }));
            run.ended && (run.executions.contains(id) || (is_ambiguous && whose(id.as_str()) == whose(&run.id.name)))
        };
        let is_over = || self.executions.iter().any(|execution| execution.id == *id && execution.over);
        is_over() || self.runs.iter().any(|object| object.present.iter().chain(&object.last).any(ended))
    }

    fn listed(&self) -> impl Iterator<Item = (usize, &Execution)> {
        self.executions.iter().enumerate().filter(|(_, execution)| execution.listed && execution.moved == self.left.moved)
    }

    /// The form of this world, told in this order.
    fn form(&self, runs: &[usize], operators: impl Iterator<Item = usize>) -> u64 {
        let mut form = Form::default();
        runs.iter().for_each(|run| form.take(&self.runs[*run]));
        match &self.leases[..] {
            [shared] => form.take(shared),
            each => runs.iter().for_each(|run| form.take(&each[*run])),
        }
        form.take(&self.deliveries);
        form.take(&self.executions);
        form.take(&self.late);
        form.take(&self.left);
        for operator in operators {
            runs.iter().for_each(|run| form.take(&self.operators[operator][*run]));
        }
        form.finish()
    }

    /// Which run and which process is which makes no difference.
    fn identify(&mut self) {
        let orders: &[&[usize]] = if self.runs.len() == 1 { &[&[0]] } else { &[&[0, 1], &[1, 0]] };
        let last = self.operators.len();
        let forms = orders.iter().map(|runs| {
            let same = self.form(runs, 0..last);
            let reversed = self.form(runs, (0..last).rev());
            match (self.left.split, runs.is_sorted()) {
                // Which process works on which run is given.
                (true, true) => same,
                (true, false) => reversed,
                (false, _) => same.min(reversed),
            }
        });
        self.id = forms.min().unwrap_or_default();
    }
}

impl World {
    /// A world of which nothing has been explored.
    pub fn new(scope: Scope, mutant: Option<Mutant>) -> Self {
        Self { scope, mutant, graph: Graph::default() }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Which account it is.
    fn account(&self, moved: bool) -> Option<AccountHash> {
        let is_told = self.scope.moves && !self.is(Mutant::AccountNotCompared);
        is_told.then(|| AccountHash::new(if moved { "other" } else { "first" }).unwrap())
    }

    /// Whether a run may wait for something else than its turn while it holds the lock, so that it matters whether another one waits for that.
    fn can_be_held_back(&self) -> bool {
        self.scope.suspensions > 0 || self.scope.account_losses > 0
    }

    fn slot(&self, run: usize) -> usize {
        if self.is(Mutant::LockForEachRun) { run } else { 0 }
    }

    /// The world before anything has happened.
    pub fn first(&self) -> State {
        let leases = if self.is(Mutant::LockForEachRun) { RUNS } else { 1 };
        let mut lease = Lease { read: LockRead::default(), writes: 0 };
        if self.scope.open {
            // The lock of a pipeline that has been triggered before.
            let entry = LedgerEntry {
                namespace: None,
                uid: Uid::new("before").unwrap(),
                nonce: Nonce::new("before").unwrap(),
                entry: LedgerOutcome::Nothing,
                later: Default::default(),
            };
            lease.read = LockRead {
                version: Some(LOCK_VERSIONS[0].to_owned()),
                lock: Lock { ledger: [entry].into(), ..Lock::default() },
                age: None,
            };
        }
        let mut state = State {
            id: 0,
            runs: (0..self.scope.runs)
                .map(|run| {
                    let observes = self.scope.observer && run + 1 == self.scope.runs;
                    let first = Run { concurrency: self.scope.policy, observes, ..new_run(run) };
                    Shared::new(Object::new(Run { adopt_unproven: self.scope.adopt, retriggers: self.scope.retrigger, ..first }))
                })
                .collect(),
            deliveries: Shared::new(Vec::new()),
            executions: Shared::new(Vec::new()),
            leases: vec![Shared::new(lease); leases],
            operators: vec![vec![idle(); self.scope.runs]; self.scope.operators],
            late: Shared::new(Vec::new()),
            left: Shared::new(self.scope.clone()),
        };
        state.identify();
        state
    }

    fn limits(&self) -> Limits {
        let quarantine = if self.is(Mutant::NoQuarantine) { Duration::ZERO } else { LIMITS.quarantine };
        let answer = if self.scope.open { Duration::ZERO } else { LIMITS.answer };
        Limits { quarantine, answer, ..LIMITS }
    }
}
