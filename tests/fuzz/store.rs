//! Operators that trigger three runs of one pipeline against a store that compares and swaps, with everything that may go wrong around it.
//!
//! The model checker (`crates/nuvo-core/tests/model`) explores small worlds of this kind to their end. Here worlds are longer, times are those of the
//! operator, and what is stored are the objects themselves, read and written by the functions that the operator uses.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_core::run::{
    Answer, Baseline, Candidate, ExecutionId, Gate, Hold, Holder, Knowledge, Known, Limits, ListedCandidates, Lock, LockRead, Marker,
    Memory, Nonce, Obstacle, PollFacts, PostOutcome, Run, SlotClaim, Step, TriggerFacts, TriggerResult, Unexecuted, decided,
    following_attempt, next_step, opened, parse, recorded, release, remember_trigger, settled, undecided,
};
use nuvo_crds::{Execution, PipelineRun, PipelineRunStatus, conditions::Reason, well_known::TRIGGER_ANNOTATION};

use crate::{any::spare, bytes::Bytes, status::shown};

const LIMITS: Limits = Limits {
    fence: Duration::from_secs(5),
    post_deadline: Duration::from_secs(60),
    settle: Duration::from_secs(300),
    quarantine: Duration::from_secs(900),
    answer: Duration::from_secs(10),
    confirm: Duration::from_secs(10),
    clock_margin: Duration::from_secs(60),
};
const RUNS: usize = 3;
const OPERATORS: usize = 3;
const STEPS: usize = 600;
/// No effect of a POST comes later than this: the quarantine rests on it.
const LATEST: Duration = Duration::from_secs(800);

/// A POST, as nuvo saw it.
struct Delivery {
    run: usize,
    attempt: i32,
    nonce: Nonce,
    /// Whoever sent it knows that nothing was started.
    refused: bool,
    /// On its way since, with this many executions to come.
    late: Option<(Duration, usize)>,
}

struct World {
    now: Duration,
    objects: Vec<Option<PipelineRun>>,
    first: Vec<PipelineRun>,
    lease: LockRead,
    /// When it was written last.
    lease_written: Duration,
    written: u32,
    nonces: u32,
    deliveries: Vec<Delivery>,
    started: Vec<ExecutionId>,
    late: Vec<(usize, Step)>,
    works: Vec<Vec<Work>>,
    /// Which operators are ending. None of them thinks better of it.
    draining: [bool; OPERATORS],
    wipes: Wipes,
}

#[derive(Clone, Default)]
struct Work {
    memory: Memory,
    pass: Option<Box<TriggerFacts>>,
}

/// What may be taken away in one play. Together they leave no record at all, and then no process can keep the promise.
#[derive(Clone, Copy, PartialEq)]
enum Wipes {
    None,
    Status,
    Marker,
}

pub fn play(bytes: &mut Bytes) {
    let wipes = bytes.pick(&[Wipes::None, Wipes::Status, Wipes::Marker]);
    let objects: Vec<PipelineRun> = (0..RUNS).map(new).collect();
    let mut world = World {
        now: Duration::from_secs(1_000),
        first: objects.clone(),
        objects: objects.into_iter().map(Some).collect(),
        lease: LockRead::default(),
        lease_written: Duration::ZERO,
        written: 0,
        nonces: 0,
        deliveries: Vec::new(),
        started: Vec::new(),
        late: Vec::new(),
        works: vec![vec![Work::default(); RUNS]; OPERATORS],
        draining: [false; OPERATORS],
        wipes,
    };
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        world.happen(bytes);
        world.judge();
    }
}

fn new(run: usize) -> PipelineRun {
    let name = format!("run{run}");
    serde_json::from_value(serde_json::json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": { "name": name, "namespace": "default", "uid": name, "resourceVersion": "0", "generation": 1 },
        "spec": { "pipelineId": "orders" },
    }))
    .unwrap()
}

impl World {
    fn clock(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::try_from(self.now).unwrap()
    }

    fn run(&self, run: usize) -> Option<Run> {
        self.objects[run].as_ref().map(|object| parse(object).unwrap())
    }

    fn others(&self, run: usize) -> impl Iterator<Item = Run> {
        (0..RUNS).filter(move |other| *other != run).filter_map(|other| self.run(other))
    }

    fn happen(&mut self, bytes: &mut Bytes) {
        let (operator, run) = (bytes.below(OPERATORS), bytes.below(RUNS));
        match bytes.below(32) {
            0 => (self.works[operator], self.draining[operator]) = (vec![Work::default(); RUNS], false),
            1 => self.pass_time(Duration::from_secs(1)),
            2 => self.pass_time(Duration::from_secs(11)),
            3 => self.pass_time(Duration::from_secs(70)),
            4 => self.pass_time(Duration::from_secs(301)),
            5 => self.pass_time(Duration::from_secs(901)),
            6 => self.change(run, |_| ()),
            7 => self.change(run, |object| object.spec.suspend = !object.spec.suspend),
            8 => self.release(run),
            9 => self.rerun(run),
            10 => self.follow(run),
            11 if !self.late.is_empty() => {
                let (run, step) = self.late.remove(bytes.below(self.late.len()));
                self.write(run, &step);
            }
            12 => self.land(bytes.below(self.deliveries.len().max(1))),
            13 if self.wipes == Wipes::Status => self.change(run, |object| object.status = None),
            13 if self.wipes == Wipes::Marker => self.change(run, |object| object.metadata.annotations = None),
            14 if bytes.one_in(4) => self.objects[run] = None,
            15 => {
                if let Some(pass) = self.works[operator][run].pass.take() {
                    self.works[operator][run].memory = remember_trigger(&pass, &next_step(&pass));
                }
            }
            _ => self.step(operator, run, bytes),
        }
    }

    fn pass_time(&mut self, time: Duration) {
        self.now += time;
        for delivery in 0..self.deliveries.len() {
            if self.deliveries[delivery].late.is_some_and(|(since, _)| self.now - since >= LATEST) {
                self.land(delivery);
            }
        }
    }

    fn change(&mut self, run: usize, change: impl FnOnce(&mut PipelineRun)) {
        self.written += 1;
        if let Some(object) = &mut self.objects[run] {
            change(object);
            object.metadata.resource_version = Some(self.written.to_string());
        }
    }

    /// Over this version only.
    fn change_over(&mut self, run: usize, over: &str, change: impl FnOnce(&mut PipelineRun)) -> Answer {
        match &self.objects[run] {
            None => Answer::Missing,
            Some(object) if object.metadata.resource_version.as_deref() != Some(over) => Answer::Indeterminate,
            Some(_) => {
                self.change(run, change);
                Answer::Written(self.written.to_string())
            }
        }
    }

    fn land(&mut self, delivery: usize) {
        let Some(sent) = self.deliveries.get_mut(delivery) else { return };
        let Some((_, executions)) = sent.late.take() else { return };
        let (run, nonce) = (sent.run, sent.nonce.clone());
        self.started.extend((0..executions).map(|number| execution(run, &nonce, number)));
    }

    /// A settled run gives its lock back.
    fn release(&mut self, run: usize) {
        let Some(known) = self.run(run).filter(settled) else { return };
        let Some(acquisition) = known.own_marker().map(|marker| marker.acquisition.clone()) else { return };
        if let Some(step) = release(&known, &acquisition, &self.lease) {
            self.write(run, &step);
        }
    }

    fn rerun(&mut self, run: usize) {
        let Some(known) = self.run(run).filter(|known| known.ended && settled(known)) else { return };
        let now = self.clock();
        self.change(run, |object| object.status = Some(opened(object, following_attempt(&known), false, now)));
    }

    /// nuvo says that all of a settled run's executions have ended.
    fn follow(&mut self, run: usize) {
        let Some(known) = self.run(run).filter(settled) else { return };
        let report = |id: &ExecutionId| Execution { id: id.to_string(), status: Some("SUCCESSFUL".into()), ..Execution::default() };
        let knowledge = known.executions.iter().map(|id| (id.clone(), Known::Report(Box::new(report(id))))).collect();
        self.show(run, &known, None, &knowledge);
    }

    fn show(&mut self, run: usize, known: &Run, because: Option<(Reason, String)>, knowledge: &Knowledge) {
        let Some(object) = &self.objects[run] else { return };
        let status = shown(object, known, because, PollFacts::default(), knowledge, self.clock());
        self.change_over(run, &known.version, |object| object.status = Some(status));
    }

    fn step(&mut self, operator: usize, run: usize, bytes: &mut Bytes) {
        let Work { memory, pass } = std::mem::take(&mut self.works[operator][run]);
        let mut pass = match pass {
            Some(pass) => pass,
            None => {
                let seen = if bytes.one_in(8) { Some(parse(&self.first[run]).unwrap()) } else { self.run(run) };
                let Some(seen) = seen else { return };
                TriggerFacts::new(seen, memory, LIMITS, self.now, Gate::Open, spare(0)).into()
            }
        };
        // A few at once, so that a play of some hundred bytes gets somewhere.
        for _ in 0..=bytes.below(8) {
            pass.now = self.now;
            self.draining[operator] |= bytes.one_in(64);
            pass.gate = if self.draining[operator] { Gate::Draining } else { Gate::Open };
            pass.spare = Nonce::new(format!("n{}", self.nonces)).unwrap();
            let step = next_step(&pass);
            match &step {
                Step::Follow | Step::Forget | Step::Restart | Step::Hold(_) => {
                    self.works[operator][run].memory = remember_trigger(&pass, &step);
                    if step == Step::Hold(Hold::Lost) {
                        self.show(run, pass.run(), Some((Reason::StatusLost, String::new())), &Knowledge::new());
                    }
                    return;
                }
                Step::TakeLock { .. } => self.nonces += 1,
                _ => {}
            }
            let answer = self.answer(run, &pass, &step, bytes);
            pass.learn(&step, answer);
        }
        self.works[operator][run].pass = Some(pass);
    }

    fn answer(&mut self, run: usize, pass: &TriggerFacts, step: &Step, bytes: &mut Bytes) -> Answer {
        match step {
            Step::ReadRun => Answer::Run(self.run(run).map(Box::new)),
            Step::ReadLock => {
                // By clocks that differ from each other by as much as is put up with.
                let age = self.now.saturating_sub(self.lease_written).saturating_add(LIMITS.clock_margin);
                Answer::Lock(Box::new(LockRead { age: self.lease.version.is_some().then_some(age), ..self.lease.clone() }))
            }
            Step::ReadHolder(lock_holder) => {
                let holder = (0..RUNS).filter_map(|run| self.run(run)).find(|run| run.id == lock_holder.run);
                Answer::Holder(holder.map_or(Holder::Gone, |run| Holder::Present(run.into())))
            }
            Step::ReadUndecided => Answer::Undecided(self.others(run).any(|other| undecided(&other))),
            Step::ReadClaim(_) => Answer::Claim(SlotClaim::Claimed),
            Step::ReadClaimed => Answer::Claimed(Some(self.others(run).flat_map(|other| other.executions).collect())),
            Step::ReadBaseline | Step::ReadCandidates if bytes.one_in(32) => match step {
                Step::ReadBaseline => Answer::Baseline(None),
                _ => Answer::Candidates(None),
            },
            Step::ReadBaseline => {
                let newest = self.started.len().checked_sub(1).and_then(|at| i64::try_from(at).ok());
                let ids = self.started.iter().rev().take(64).map(ToString::to_string).collect();
                Answer::Baseline(Some(Baseline { newest, ids }))
            }
            Step::ReadCandidates => {
                let candidate = |(at, id): (usize, &ExecutionId)| Candidate {
                    id: id.clone(),
                    hash: id.to_string(),
                    created: i64::try_from(at).ok(),
                    manual: true,
                    by_us: true,
                };
                Answer::Candidates(Some(ListedCandidates {
                    candidates: self.started.iter().enumerate().map(candidate).collect(),
                    ..ListedCandidates::default()
                }))
            }
            Step::Post(nonce) => Answer::Posted(self.post(run, pass, nonce, bytes)),
            write => match bytes.below(16) {
                13 => {
                    self.write(run, write);
                    Answer::Indeterminate
                }
                14 => Answer::Indeterminate,
                15 if matches!(write, Step::Mark { .. }) && bytes.flag() => Answer::Refused,
                15 => {
                    self.late.push((run, write.clone()));
                    Answer::Indeterminate
                }
                _ => self.write(run, write),
            },
        }
    }

    fn post(&mut self, run: usize, pass: &TriggerFacts, nonce: &Nonce, bytes: &mut Bytes) -> PostOutcome {
        let attempt = pass.run().own_marker().map_or(pass.run().attempt, |marker| marker.attempt);
        let executions = bytes.below(3);
        let course = bytes.below(8);
        let message = String::new();
        let delivery =
            Delivery { run, attempt, nonce: nonce.clone(), refused: matches!(course, 0 | 1), late: Some((self.now, executions)) };
        self.deliveries.push(delivery);
        let last = self.deliveries.len() - 1;
        let unexecuted = match course {
            0 => Unexecuted::RetryAfter(Duration::from_secs(1), Obstacle::Unavailable),
            1 => Unexecuted::Rejected,
            // On its way, or lost on it.
            2 | 3 => {
                self.deliveries[last].late = (course == 2).then_some((self.now, executions));
                return PostOutcome::Unknown { message };
            }
            answered => {
                self.land(last);
                return match answered {
                    4 => PostOutcome::Unknown { message },
                    5 => PostOutcome::ExecutedIdsUnknown { message },
                    _ => PostOutcome::Accepted((0..executions).map(|number| execution(run, nonce, number)).collect()),
                };
            }
        };
        self.deliveries[last].late = None;
        PostOutcome::NotExecuted { then: unexecuted, message }
    }

    fn write(&mut self, run: usize, step: &Step) -> Answer {
        let now = self.clock();
        match step {
            Step::TakeLock { lock, over } => self.write_lock(lock, over.as_deref()),
            Step::Release { lock, over } => self.write_lock(lock, Some(over)),
            Step::Mark { marker, over } => self.change_over(run, over, |object| mark(object, marker)),
            Step::Record { trigger, executions, message, follow_up, over } => self.change_over(run, over, |object| {
                let status: PipelineRunStatus = recorded(object, trigger, executions, message, *follow_up, now);
                object.status = Some(status);
            }),
            other => panic!("{other:?} is no write"),
        }
    }

    fn write_lock(&mut self, lock: &Lock, over: Option<&str>) -> Answer {
        if self.lease.version.as_deref() != over {
            return Answer::Indeterminate;
        }
        self.written += 1;
        // As it is stored.
        let lock = serde_json::from_value(serde_json::to_value(lock).unwrap()).unwrap();
        self.lease = LockRead { version: Some(self.written.to_string()), lock, age: None };
        self.lease_written = self.now;
        Answer::Written(self.written.to_string())
    }

    fn judge(&self) {
        for (at, one) in self.deliveries.iter().enumerate() {
            for other in &self.deliveries[..at] {
                assert_ne!(one.nonce, other.nonce, "a nonce was sent twice");
                let again = one.run == other.run && one.attempt == other.attempt && !one.refused && !other.refused;
                assert!(!again, "two POSTs for attempt {} of run {}: {} and {}", one.attempt, one.run, other.nonce, one.nonce);
            }
        }
        for run in 0..RUNS {
            let Some(known) = self.run(run) else { continue };
            let own = format!("e{run}-");
            assert!(known.executions.iter().all(|id| id.as_str().starts_with(&own)), "run {run} shows {:?}", known.executions);
            let refused = known.trigger.as_ref().is_some_and(|trigger| trigger.result == TriggerResult::NotExecuted) && decided(&known);
            let newest = self.deliveries.iter().rev().find(|sent| known.own_marker().is_some_and(|marker| marker.nonce == sent.nonce));
            let silent =
                refused && newest.is_some_and(|sent| !sent.refused && Some(&sent.nonce) == known.trigger.as_ref().map(|t| &t.nonce));
            assert!(!silent, "run {run} says that nothing was sent");
        }
    }
}

fn mark(object: &mut PipelineRun, marker: &Marker) {
    let text = serde_json::to_string(marker).unwrap();
    object.metadata.annotations.get_or_insert_default().insert(TRIGGER_ANNOTATION.into(), text);
}

fn execution(run: usize, nonce: &Nonce, number: usize) -> ExecutionId {
    ExecutionId::new(format!("e{run}-{nonce}-{number}")).unwrap()
}
