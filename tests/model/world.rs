//! The world that the core acts in: two runs of one pipeline, their lock, nuvo, two processes, and an adversary with a budget.
//!
//! Time is what the protocol's limits make of it: a short tick passes any of the short ones, a long tick the quarantine. The clock is the
//! same for everybody; what each process remembers is kept as an age, so that the world stays finite.

mod store;

use std::sync::Arc;
use std::time::Duration;

use nuvo_operator::run::{
    self, Answer, ExecutionId, Fate, Gate, Inquiry, Limits, Lock, LockRead, Memory, Nonce, Observed, Obstacle, Outcome, PipelineId, Run,
    RunRef, Step, Task, Trigger, Uid, Unexecuted,
};

use crate::{
    action::{Action, StepCourse},
    mutant::Mutant,
    scope::{RUNS, Scope},
};

/// When a pass begins, by its own clock. Everything that is remembered lies before it.
const BEGIN: Duration = Duration::from_secs(1_000);
/// The fence, which is also how long a doubt is left alone: any tick passes it.
const SHORT: Duration = Duration::from_secs(1);
/// The quarantine: a long tick passes it.
const LONG: Duration = Duration::from_secs(100);

/// The protocol's times in the world's ticks. Without a wait for the list to settle a pass may conclude as early as the order of its
/// steps allows; that it may also conclude later is the choice of when it begins.
const LIMITS: Limits =
    Limits { fence: SHORT, post_deadline: Duration::ZERO, settle: Duration::ZERO, quarantine: LONG, confirm: Duration::ZERO };

/// A run in the API server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    /// None once it is deleted.
    pub present: Option<Arc<Run>>,
    /// As it was created: what a cache may still show.
    first: Arc<Run>,
    /// As it was when it was deleted.
    last: Option<Arc<Run>>,
    version: u8,
    nonces: u8,
}

/// What has been sent to nuvo.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// The run that it was sent for.
    pub run: usize,
    /// Its attempt.
    pub attempt: i32,
    /// Its nonce.
    pub nonce: Nonce,
    /// What became of it.
    pub course: Course,
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
    /// Never carried out, and nobody knows.
    Dropped,
}

/// An execution at nuvo.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Execution {
    /// Its id.
    pub id: ExecutionId,
    /// The run that started it.
    pub run: usize,
    /// The list shows it.
    pub listed: bool,
}

/// What one process does about one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// Nothing; this is what it remembers.
    Resting(Memory),
    /// A pass. With a nonce, it waits for the answer to its POST.
    Busy(Arc<Observed>, Option<Nonce>),
}

/// A write whose writer has given up waiting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Late {
    run: usize,
    step: Step,
}

/// The world at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The runs.
    pub runs: Vec<Object>,
    /// What nuvo has been sent.
    pub deliveries: Vec<Delivery>,
    /// What nuvo has started.
    pub executions: Vec<Execution>,
    locks: Vec<(Arc<LockRead>, u8)>,
    operators: Vec<Vec<Work>>,
    late: Vec<Late>,
    left: Scope,
}

/// The rules of the world, and what is sabotaged.
#[derive(Debug, Clone)]
pub struct World {
    /// What may go wrong.
    pub scope: Scope,
    /// Which safeguard is switched off.
    pub mutant: Option<Mutant>,
}

fn reference(run: usize) -> RunRef {
    let name = ["a", "b"][run];
    RunRef { uid: Uid::new(name).unwrap(), namespace: "default".into(), name: name.into() }
}

fn whose(uid: &Uid) -> usize {
    usize::from(uid.as_str() == "b")
}

fn nonce(text: &str) -> Nonce {
    Nonce::new(text).unwrap()
}

fn hash(id: &ExecutionId) -> String {
    format!("h{id}")
}

/// A pristine run.
pub fn new_run(run: usize) -> Run {
    Run {
        me: reference(run),
        version: "0".into(),
        deleting: false,
        suspended: false,
        pipeline: PipelineId::new("orders").unwrap(),
        adopt_unproven: false,
        attempt: 1,
        ended: false,
        marker: None,
        trigger: None,
        executions: Vec::new(),
        abandoned: None,
    }
}

/// What a recorded result makes of a run. The test `the_world_records_what_the_operator_records` holds it against the operator's.
pub fn record(run: &mut Run, trigger: &Trigger, executions: &[ExecutionId], unexecuted: Option<Unexecuted>) {
    run.attempt = run.attempt.max(trigger.attempt);
    match trigger.fate {
        Fate::Accepted(_) => {
            run.executions = executions.to_vec();
            run.ended = executions.is_empty();
        }
        Fate::Ambiguous { .. } => run.ended = true,
        Fate::NotExecuted => run.ended |= unexecuted == Some(Unexecuted::Rejected),
        Fate::Observed => {}
    }
    run.trigger = Some(trigger.clone());
}

/// Times as ages, so that two memories that no rule can tell apart are the same.
fn aged(memory: &Memory, now: Duration, passed: Duration) -> Memory {
    let age = |at: Duration| now.saturating_sub(at).saturating_add(passed);
    let shift = |at: Duration| BEGIN.saturating_sub(age(at).min(SHORT));
    let long_ago = |at: Duration| BEGIN.saturating_sub(if age(at) >= LONG { LONG } else { Duration::ZERO });
    Memory {
        inquiry: memory.inquiry.as_ref().map(|inquiry| Inquiry {
            since: shift(inquiry.since),
            last: inquiry.last.as_ref().map(|(_, ids)| (BEGIN, ids.clone())),
            ..inquiry.clone()
        }),
        quarantine: memory.quarantine.as_ref().map(|(nonce, at)| (nonce.clone(), long_ago(*at))),
    }
}

impl Object {
    fn new(run: usize) -> Self {
        let first = Arc::new(new_run(run));
        Self { present: Some(first.clone()), first, last: None, version: 0, nonces: 0 }
    }

    fn change(&mut self, change: impl FnOnce(&mut Run)) {
        let Some(present) = &mut self.present else { return };
        self.version += 1;
        let run = Arc::make_mut(present);
        change(run);
        run.version = self.version.to_string();
    }

    /// A write over this version, or, with the comparison switched off, over any.
    fn write(&mut self, over: &str, compare: bool, change: impl FnOnce(&mut Run)) -> Answer {
        match &self.present {
            None => Answer::Missing,
            Some(run) if compare && run.version != over => Answer::Unsure,
            Some(_) => {
                self.change(change);
                Answer::Written(self.version.to_string())
            }
        }
    }
}

impl State {
    /// Whether nothing that was sent to nuvo still has effects that the list does not show.
    fn is_settled_at_nuvo(&self) -> bool {
        self.executions.iter().all(|execution| execution.listed) && self.deliveries.iter().all(|sent| sent.course != Course::InFlight)
    }

    /// Whether a fence runs.
    fn is_about_to_post(&self) -> bool {
        let granted = |task: &Task| matches!(task, Task::Locking(_) | Task::Locked(_) | Task::Marking(_) | Task::Marked(_));
        self.operators.iter().flatten().any(|work| matches!(work, Work::Busy(observed, None) if granted(&observed.task)))
    }

    /// Whether an answer of nuvo has not been written yet.
    fn is_about_to_record(&self) -> bool {
        self.operators.iter().flatten().any(|work| matches!(work, Work::Busy(observed, _) if matches!(observed.task, Task::Posted(..))))
    }

    /// The lock, as a person would see it.
    pub fn lock(&self) -> &Lock {
        &self.locks[0].0.lock
    }

    fn land(&mut self, delivery: usize, executions: u8) -> Vec<ExecutionId> {
        let lag = self.left.lag;
        let sent = &mut self.deliveries[delivery];
        sent.course = Course::Executed;
        let run = sent.run;
        let ids: Vec<_> = (0..executions).map(|number| ExecutionId::new(format!("{}-{number}", sent.nonce)).unwrap()).collect();
        self.executions.extend(ids.iter().map(|id| Execution { id: id.clone(), run, listed: !lag }));
        ids
    }

    fn listed(&self) -> impl Iterator<Item = (usize, &Execution)> {
        self.executions.iter().enumerate().filter(|(_, execution)| execution.listed)
    }
}

impl World {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn slot(&self, run: usize) -> usize {
        if self.is(Mutant::LockForEachRun) { run } else { 0 }
    }

    /// The world before anything has happened.
    pub fn first(&self) -> State {
        let locks = if self.is(Mutant::LockForEachRun) { RUNS } else { 1 };
        State {
            runs: (0..self.scope.runs).map(Object::new).collect(),
            deliveries: Vec::new(),
            executions: Vec::new(),
            locks: vec![(Arc::new(LockRead { version: None, lock: Lock::default() }), 0); locks],
            operators: vec![vec![Work::Resting(Memory::default()); self.scope.runs]; self.scope.operators],
            late: Vec::new(),
            left: self.scope.clone(),
        }
    }

    /// What the core decides in this pass.
    fn decide(&self, state: &State, run: usize, observed: &Observed) -> (Observed, Step) {
        let mut observed = observed.clone();
        let number = if self.is(Mutant::SharedNonce) { 0 } else { state.runs[run].nonces };
        observed.spare = nonce(&format!("{}{number}", ["a", "b"][run]));
        let step = run::next(&observed);
        (observed, step)
    }

    /// Everything that can happen.
    pub fn happenings(&self, state: &State, actions: &mut Vec<Action>) {
        for (operator, works) in state.operators.iter().enumerate() {
            let busy = !state.left.concurrent && works.iter().any(|work| matches!(work, Work::Busy(..)));
            for (run, work) in works.iter().enumerate().filter(|(_, work)| !busy || matches!(work, Work::Busy(..))) {
                self.happenings_of(state, operator, run, work, actions);
            }
            let lives = works.iter().any(|work| *work != Work::Resting(Memory::default()));
            if state.left.crashes > 0 && lives {
                actions.push(Action::Crash { operator });
            }
        }
        for (number, sent) in state.deliveries.iter().enumerate() {
            if sent.course == Course::InFlight {
                actions.extend(state.left.batches.iter().map(|count| Action::Land { delivery: number, executions: Some(*count) }));
                actions.push(Action::Land { delivery: number, executions: None });
            }
        }
        actions.extend((0..state.executions.len()).filter(|n| !state.executions[*n].listed).map(|execution| Action::List { execution }));
        actions.extend((0..state.late.len()).map(|write| Action::Arrive { write }));
        if (state.left.slow > 0 || !state.is_about_to_post()) && !(state.left.brisk && state.is_about_to_record()) {
            actions.push(Action::Tick { long: false });
            if state.is_settled_at_nuvo() {
                actions.push(Action::Tick { long: true });
            }
        }
        for (run, object) in state.runs.iter().enumerate() {
            actions.push(Action::Release { run });
            let Some(present) = &object.present else { continue };
            if run::settled(present) && state.left.reruns > 0 {
                actions.push(Action::Rerun { run });
            }
            if state.left.edits > 0 {
                actions.push(Action::Edit { run });
            }
            if state.left.deletions > 0 {
                actions.push(Action::Delete { run });
            }
            if state.left.status_wipes > 0 && (present.trigger.is_some() || present.attempt > 1) {
                actions.push(Action::WipeStatus { run });
            }
            if state.left.marker_wipes > 0 && present.marker.is_some() {
                actions.push(Action::WipeMarker { run });
            }
        }
        if state.left.lease_deletions > 0 && state.locks[0].0.version.is_some() {
            actions.push(Action::DeleteLease);
        }
        if state.left.ledger_losses > 0 && !state.lock().ledger.is_empty() {
            actions.push(Action::ForgetLedger);
        }
    }

    fn happenings_of(&self, state: &State, operator: usize, run: usize, work: &Work, actions: &mut Vec<Action>) {
        let left = &state.left;
        let observed = match work {
            Work::Resting(_) => {
                let object = &state.runs[run];
                if object.present.as_ref().is_some_and(|present| !run::settled(present)) {
                    actions.push(Action::Begin { operator, run, stale: false });
                }
                if left.stale > 0 && object.present.as_ref() != Some(&object.first) {
                    actions.push(Action::Begin { operator, run, stale: true });
                }
                return;
            }
            Work::Busy(_, Some(sent)) => {
                let executed = state.deliveries.iter().any(|d| d.nonce == *sent && d.course == Course::Executed);
                actions.extend([true, false].into_iter().filter(|answered| executed || !answered).map(|answered| Action::Answer {
                    operator,
                    run,
                    answered,
                }));
                return;
            }
            Work::Busy(observed, None) => observed,
        };
        let mut add = |course| actions.push(Action::Step { operator, run, course });
        match self.decide(state, run, observed).1 {
            Step::Post(_) => {
                for count in left.batches {
                    add(StepCourse::Executed(*count));
                    if left.unanswered > 0 {
                        add(StepCourse::Garbled(*count));
                        add(StepCourse::Unanswered(*count));
                    }
                }
                if left.unanswered > 0 {
                    add(StepCourse::Dropped);
                }
                if left.late_posts > 0 {
                    add(StepCourse::InFlight);
                }
                if left.refused > 0 {
                    add(StepCourse::Refused { for_good: false });
                    add(StepCourse::Refused { for_good: true });
                }
            }
            Step::TakeLock { .. } | Step::Mark { .. } | Step::Record { .. } | Step::Release { .. } => {
                add(StepCourse::Well);
                if left.lost > 0 {
                    add(StepCourse::AnswerLost);
                    add(StepCourse::RequestLost);
                }
                if left.late_writes > 0 {
                    add(StepCourse::Late);
                }
            }
            _ => add(StepCourse::Well),
        }
    }

    /// The world after something has happened; none if it makes no difference.
    pub fn after(&self, before: &State, action: &Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Begin { operator, run, stale } => {
                let object = &state.runs[*run];
                let cached = if *stale { object.first.clone() } else { object.present.clone()? };
                let Work::Resting(memory) = &state.operators[*operator][*run] else { return None };
                let cached = self.seen(&cached);
                let begun = Observed::new(cached, memory.clone(), self.limits(), BEGIN, Gate::Open, nonce("spare"));
                state.left.stale -= u8::from(*stale);
                self.go_on(&mut state, *operator, *run, begun);
                // What a pass reads first it reads at once: that it has begun is seen by nobody.
                self.step(&mut state, *operator, *run, StepCourse::Well);
            }
            Action::Step { operator, run, course } => self.step(&mut state, *operator, *run, *course),
            Action::Answer { operator, run, answered } => {
                let Work::Busy(observed, Some(sent)) = &state.operators[*operator][*run] else { return None };
                let prefix = format!("{sent}-");
                let ids = state.executions.iter().map(|execution| execution.id.clone()).filter(|id| id.as_str().starts_with(&prefix));
                let outcome = if *answered { Outcome::Accepted(ids.collect()) } else { Outcome::Unknown { message: String::new() } };
                let mut observed = observed.as_ref().clone();
                observed.learn(&Step::Post(sent.clone()), Answer::Posted(outcome));
                self.go_on(&mut state, *operator, *run, observed);
            }
            Action::Land { delivery, executions: Some(count) } => {
                state.land(*delivery, *count);
            }
            Action::Land { delivery, executions: None } => state.deliveries[*delivery].course = Course::Dropped,
            Action::List { execution } => state.executions[*execution].listed = true,
            Action::Arrive { write } => {
                let Late { run, step } = state.late.remove(*write);
                self.write(&mut state, run, &step);
            }
            Action::Crash { operator } => {
                state.operators[*operator] = vec![Work::Resting(Memory::default()); state.runs.len()];
                state.left.crashes -= 1;
            }
            Action::Tick { long } => {
                state.left.slow -= u8::from(state.is_about_to_post());
                self.tick(&mut state, if *long { LONG } else { SHORT });
            }
            Action::Release { run } => self.release(&mut state, *run)?,
            Action::Rerun { run } => {
                state.left.reruns -= 1;
                state.runs[*run].change(|run| {
                    let marker = run.marker.as_ref().map_or(0, |marker| marker.attempt);
                    let trigger = run.trigger.as_ref().map_or(0, |trigger| trigger.attempt);
                    run.attempt = run.attempt.max(marker).max(trigger) + 1;
                    run.ended = false;
                });
            }
            Action::Edit { run } => {
                state.left.edits -= 1;
                state.runs[*run].change(|_| ());
            }
            Action::Delete { run } => {
                state.left.deletions -= 1;
                let object = &mut state.runs[*run];
                object.last = object.present.take();
            }
            Action::WipeStatus { run } => {
                state.left.status_wipes -= 1;
                state.runs[*run].change(|run| {
                    *run = Run { marker: run.marker.clone(), me: run.me.clone(), ..new_run(whose(&run.me.uid)) };
                });
            }
            Action::WipeMarker { run } => {
                state.left.marker_wipes -= 1;
                state.runs[*run].change(|run| run.marker = None);
            }
            Action::DeleteLease => {
                state.left.lease_deletions -= 1;
                state.locks[0].0 = Arc::new(LockRead { version: None, lock: Lock::default() });
            }
            Action::ForgetLedger => {
                state.left.ledger_losses -= 1;
                let lock = Lock { ledger: [].into(), ..state.lock().clone() };
                self.put_lock(&mut state, 0, lock);
            }
        }
        for work in state.operators.iter_mut() {
            for (run, work) in work.iter_mut().enumerate() {
                // A settled run is followed, and what was remembered for its trigger is forgotten.
                if matches!(work, Work::Resting(_)) && state.runs[run].present.as_ref().is_none_or(|present| run::settled(present)) {
                    *work = Work::Resting(Memory::default());
                }
            }
        }
        // The processes are alike: which of them is which makes no difference.
        state.operators.sort_by_cached_key(fingerprint);
        (state != *before).then_some(state)
    }

    fn limits(&self) -> Limits {
        let quarantine = if self.is(Mutant::NoQuarantine) || self.is(Mutant::StealByTime) { Duration::ZERO } else { LIMITS.quarantine };
        Limits { quarantine, ..LIMITS }
    }

    fn tick(&self, state: &mut State, passed: Duration) {
        for work in state.operators.iter_mut().flatten() {
            match work {
                Work::Resting(memory) => *memory = aged(memory, BEGIN, passed),
                Work::Busy(observed, _) => {
                    let marked = matches!(observed.task, Task::Marked(_));
                    let granted = marked || matches!(observed.task, Task::Locking(_) | Task::Locked(_) | Task::Marking(_));
                    // What has no fence to run out might as well have begun after the tick.
                    if !granted || self.is(Mutant::NoFence) || (!marked && self.is(Mutant::FenceAtMark)) {
                        continue;
                    }
                    let observed = Arc::make_mut(observed);
                    let age = observed.now.saturating_sub(BEGIN).saturating_add(passed);
                    observed.now = BEGIN.saturating_add(if age >= LONG { LONG } else { age.min(SHORT) });
                }
            }
        }
    }

    fn step(&self, state: &mut State, operator: usize, run: usize, course: StepCourse) {
        let Work::Busy(observed, None) = &state.operators[operator][run] else { return };
        let (mut observed, step) = self.decide(state, run, observed);
        let answer = match &step {
            Step::Post(nonce) => {
                let attempt = observed.run().marker.as_ref().map_or(observed.run().attempt, |marker| marker.attempt);
                let delivery = state.deliveries.len();
                state.deliveries.push(Delivery { run, attempt, nonce: nonce.clone(), course: Course::Dropped });
                let unknown = || Outcome::Unknown { message: String::new() };
                Answer::Posted(match course {
                    StepCourse::Executed(count) => {
                        let ids = state.land(delivery, count);
                        if self.is(Mutant::UnlockBeforeRecord) {
                            self.unlock(state, run, &ids);
                        }
                        Outcome::Accepted(ids)
                    }
                    StepCourse::Garbled(count) => {
                        state.left.unanswered -= 1;
                        state.land(delivery, count);
                        Outcome::ExecutedIdsUnknown { message: String::new() }
                    }
                    StepCourse::Unanswered(count) => {
                        state.left.unanswered -= 1;
                        state.land(delivery, count);
                        unknown()
                    }
                    StepCourse::Refused { for_good } => {
                        state.left.refused -= 1;
                        state.deliveries[delivery].course = Course::Refused;
                        let then =
                            if for_good { Unexecuted::Rejected } else { Unexecuted::RetryAfter(Duration::ZERO, Obstacle::Unavailable) };
                        Outcome::NotExecuted { then, message: String::new() }
                    }
                    StepCourse::InFlight => {
                        state.left.late_posts -= 1;
                        state.deliveries[delivery].course = Course::InFlight;
                        state.operators[operator][run] = Work::Busy(observed.into(), Some(nonce.clone()));
                        return;
                    }
                    _ => {
                        state.left.unanswered -= 1;
                        unknown()
                    }
                })
            }
            Step::TakeLock { .. } | Step::Mark { .. } | Step::Record { .. } | Step::Release { .. } => {
                if matches!(step, Step::TakeLock { .. }) {
                    state.runs[run].nonces += 1;
                }
                self.write_as(state, run, &step, course)
            }
            read => self.read(state, run, read),
        };
        observed.learn(&step, answer);
        self.go_on(state, operator, run, observed);
    }

    /// A pass goes on after it has learned something. If that ends it, it ends at once: that is seen by nobody.
    fn go_on(&self, state: &mut State, operator: usize, run: usize, observed: Observed) {
        let (mut observed, step) = self.decide(state, run, &observed);
        state.operators[operator][run] = match &step {
            Step::Follow | Step::Forget | Step::Again | Step::Hold(_) => {
                Work::Resting(aged(&run::remember(&observed, &step), observed.now, Duration::ZERO))
            }
            _ => {
                observed.spare = nonce("spare");
                Work::Busy(Arc::new(observed), None)
            }
        };
    }
}

fn fingerprint(works: &Vec<Work>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    works.hash(&mut hasher);
    hasher.finish()
}
