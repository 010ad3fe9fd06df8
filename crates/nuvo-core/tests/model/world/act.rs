//! What comes of what happens.

use std::{sync::Arc, time::Duration};

use nuvo_core::run::{
    self, Answer, Evidence, ExecutionId, Fate, Gate, Hold, Lock, LockRead, Memory, Nonce, Observed, Obstacle, Outcome, Run, RunRef,
    Sighting, Step, Task, Tenancy, Trigger, Uid, Unexecuted,
};

use super::{
    BEGIN, Course, Delivery, Execution, INTRUDER, LONG, Late, Object, Pass, SHORT, State, Work, World, aged, any_nonce, idle, new_run,
    record, reference, whose,
};
use crate::{
    action::{Action, Record, Resolution, StepCourse},
    alike::{RUN_NAMES, Shared},
    mutant::Mutant,
    scope::Scope,
};

impl State {
    /// The adversary uses up some of what it may do.
    pub(super) fn spend(&mut self, spend: impl FnOnce(&mut Scope)) {
        self.left.change(spend);
    }

    fn object(&mut self, run: usize, change: impl FnOnce(&mut Object)) {
        self.runs[run].change(change);
    }
}

impl World {
    /// The world after something has happened; none if it makes no difference.
    pub fn after(&self, before: &State, action: &Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Begin { operator, run, stale } => self.begin(&mut state, *operator, *run, *stale)?,
            Action::Step { operator, run, course } => self.step(&mut state, *operator, *run, *course),
            Action::Answer { operator, run, answered } => self.answer(&mut state, *operator, *run, *answered)?,
            Action::Land { delivery, executions: Some(count) } => {
                state.land(*delivery, *count);
            }
            Action::Land { delivery, executions: None } => {
                state.spend(|left| left.unanswered -= 1);
                state.deliveries.change(|all| all[*delivery].course = Course::Dropped);
            }
            Action::List { execution } => state.executions.change(|all| all[*execution].listed = true),
            Action::Arrive { write } => {
                let Late { run, step } = state.late.change(|late| late.remove(*write));
                self.write(&mut state, whose(&run.name), &step);
            }
            Action::Crash { operator } => {
                state.operators[*operator] = vec![idle(); state.runs.len()];
                state.spend(|left| left.crashes -= 1);
            }
            Action::Leave { operator } => {
                state.spend(|left| left.leavers -= 1);
                state.operators.remove(*operator);
            }
            Action::Tick { long } => {
                if state.is_about_to_post() {
                    state.spend(|left| left.slow -= 1);
                }
                self.tick(&mut state, if *long { LONG } else { SHORT });
            }
            Action::BreakOff { operator, run } => {
                state.spend(|left| left.broken_off -= 1);
                let Work::Busy(pass) = &*state.operators[*operator][*run] else { return None };
                let memory = aged(&run::remember(&pass.observed, &pass.step), pass.observed.now, Duration::ZERO);
                state.operators[*operator][*run] = Shared::new(Work::Resting(memory));
            }
            Action::Drain { operator } => {
                state.spend(|left| left.drains -= 1);
                drain(&mut state.operators[*operator]);
            }
            Action::Release { run, late } => self.release(&mut state, *run, *late)?,
            Action::Rerun { run } => {
                state.spend(|left| left.reruns -= 1);
                state.object(*run, rerun);
            }
            Action::Resolve { run, answer } => {
                state.spend(|left| left.resolutions -= 1);
                resolve(&mut state, *run, *answer)?;
            }
            Action::Suspend { run, suspended } => {
                if *suspended {
                    state.spend(|left| left.suspensions -= 1);
                }
                state.object(*run, |object| object.change(|run| run.suspended = *suspended));
            }
            Action::Edit { run } => {
                state.spend(|left| left.edits -= 1);
                state.object(*run, |object| object.change(|_| ()));
            }
            Action::Delete { run } => {
                if state.runs[*run].present.as_ref().is_some_and(|present| !present.deleting) {
                    state.spend(|left| left.deletions -= 1);
                }
                state.object(*run, |object| object.last = object.present.take());
            }
            Action::Terminate { run } => {
                state.spend(|left| left.deletions -= 1);
                state.object(*run, |object| object.change(|run| run.deleting = true));
            }
            Action::Restore { run, status } => {
                state.spend(|left| left.restores -= 1);
                state.object(*run, |object| restore(object, *status));
            }
            Action::RollBack { run, to, what } => {
                state.spend(|left| left.roll_backs -= 1);
                state.object(*run, |object| roll_back(object, *to, *what));
            }
            Action::Intrude => {
                state.spend(|left| left.intruders -= 1);
                let id = ExecutionId::new(INTRUDER).unwrap();
                state.executions.change(|all| all.push(Execution { id, listed: true }));
            }
            Action::WipeStatus { run } => {
                state.spend(|left| left.status_wipes -= 1);
                state.object(*run, |object| {
                    object.change(|present| {
                        let fresh = new_run(*run);
                        (present.trigger, present.executions, present.ended, present.attempt) = (None, Vec::new(), false, fresh.attempt);
                    });
                });
            }
            Action::WipeMarker { run } => {
                state.spend(|left| left.marker_wipes -= 1);
                state.object(*run, |object| object.change(|run| run.marker = None));
            }
            Action::DeleteLease => {
                state.spend(|left| left.lease_deletions -= 1);
                state.leases[0].change(|lease| lease.read = LockRead { version: None, lock: Lock::default() });
            }
            Action::ForgetLedger => {
                state.spend(|left| left.ledger_losses -= 1);
                let lock = Lock { ledger: [].into(), ..state.lock().clone() };
                self.put_lock(&mut state, 0, lock);
            }
        }
        for works in &mut state.operators {
            for (work, object) in works.iter_mut().zip(&state.runs) {
                // A settled run is followed, and what was remembered for its trigger is forgotten.
                if matches!(**work, Work::Resting(_)) && object.present.as_ref().is_none_or(|present| run::settled(present)) {
                    *work = idle();
                }
            }
        }
        state.identify();
        (state.id != before.id).then_some(state)
    }

    fn begin(&self, state: &mut State, operator: usize, run: usize, stale: bool) -> Option<()> {
        let object = &state.runs[run];
        let cached = if stale { object.first.clone() } else { object.present.clone()? };
        let Work::Resting(memory) = &*state.operators[operator][run] else { return None };
        let mut begun = Observed::new(self.seen(&cached), memory.clone(), self.limits(), BEGIN, Gate::Open, any_nonce());
        if stale {
            state.spend(|left| left.stale -= 1);
        }
        begun.deadline = self.scope.overdue.then_some(Duration::ZERO);
        go_on(state, operator, run, begun);
        // What a pass reads first it reads at once: that it has begun is seen by nobody.
        self.step(state, operator, run, StepCourse::Well);
        Some(())
    }

    fn answer(&self, state: &mut State, operator: usize, run: usize, answered: bool) -> Option<()> {
        let Work::Busy(pass) = &*state.operators[operator][run] else { return None };
        let Pass { observed, sent: Some(sent), .. } = &**pass else { return None };
        let lost = state.deliveries.iter().any(|delivery| delivery.nonce == *sent && delivery.course == Course::Dropped);
        let prefix = format!("{sent}-");
        let ids = state.executions.iter().map(|execution| execution.id.clone()).filter(|id| id.as_str().starts_with(&prefix));
        let outcome = if answered { Outcome::Accepted(ids.collect()) } else { Outcome::Unknown { message: String::new() } };
        let mut observed = observed.clone();
        observed.learn(&Step::Post(sent.clone()), Answer::Posted(outcome));
        if !answered && !lost {
            state.spend(|left| left.unanswered -= 1);
        }
        go_on(state, operator, run, observed);
        Some(())
    }

    fn tick(&self, state: &mut State, passed: Duration) {
        for work in state.operators.iter_mut().flatten() {
            match &**work {
                Work::Resting(memory) => {
                    if *memory != Memory::default() {
                        *work = Shared::new(Work::Resting(aged(memory, BEGIN, passed)));
                    }
                }
                Work::Busy(pass) => {
                    let marked = matches!(pass.observed.task, Task::Marked(_));
                    let granted = marked || matches!(pass.observed.task, Task::Locking(_) | Task::Locked(_) | Task::Marking(_));
                    // What has no fence to run out might as well have begun after the tick.
                    if !granted || self.is(Mutant::NoFence) || (!marked && self.is(Mutant::FenceAtMark)) {
                        continue;
                    }
                    let mut pass = pass.clone();
                    let age = pass.observed.now.saturating_sub(BEGIN).saturating_add(passed);
                    pass.observed.now = BEGIN.saturating_add(if age >= LONG { LONG } else { age.min(SHORT) });
                    pass.step = run::next(&pass.observed);
                    *work = Shared::new(Work::Busy(pass));
                }
            }
        }
    }

    /// What the core decides in this pass, with a nonce that nobody has used.
    fn decide(&self, state: &mut State, run: usize, pass: &Pass) -> (Observed, Step) {
        let mut observed = pass.observed.clone();
        if !matches!(pass.step, Step::TakeLock { .. }) {
            return (observed, pass.step.clone());
        }
        let number = if self.is(Mutant::SharedNonce) { 0 } else { state.runs[run].nonces };
        observed.spare = Nonce::new(format!("{}{number}", RUN_NAMES[run])).unwrap();
        state.object(run, |object| object.nonces += 1);
        let step = run::next(&observed);
        (observed, step)
    }

    fn step(&self, state: &mut State, operator: usize, run: usize, course: StepCourse) {
        let work = state.operators[operator][run].clone();
        let Work::Busy(pass) = &*work else { return };
        let (mut observed, step) = self.decide(state, run, pass);
        let answer = match &step {
            Step::ReadCandidates if course == StepCourse::NoList => {
                state.spend(|left| left.failed_lists -= 1);
                Answer::Candidates(self.is(Mutant::NoListMeansNothingStarted).then(Sighting::default))
            }
            Step::ReadCandidates if course == StepCourse::ShortList => {
                state.spend(|left| left.short_lists -= 1);
                let mut whole = self.candidates(state);
                let newest = whole.candidates.iter().filter_map(|candidate| candidate.created).max();
                whole.candidates.retain(|candidate| candidate.created == newest);
                let after = newest.map(|newest| newest - 1).filter(|_| !self.is(Mutant::ShortListMeansWhole));
                Answer::Candidates(Some(Sighting { after, ..whole }))
            }
            Step::ReadBaseline if course == StepCourse::NoList => {
                state.spend(|left| left.blind_lists -= 1);
                Answer::Baseline(None)
            }
            Step::Post(nonce) => {
                let attempt = observed.run().marker.as_ref().map_or(observed.run().attempt, |marker| marker.attempt);
                let delivery = state.deliveries.len();
                state.deliveries.change(|all| {
                    all.push(Delivery { run: reference(run), attempt, nonce: nonce.clone(), course: Course::Dropped, written: false })
                });
                if course == StepCourse::InFlight {
                    state.spend(|left| left.late_posts -= 1);
                    state.deliveries.change(|all| all[delivery].course = Course::InFlight);
                    state.operators[operator][run] =
                        Shared::new(Work::Busy(Pass { observed, step: step.clone(), sent: Some(nonce.clone()) }.into()));
                    return;
                }
                Answer::Posted(self.post(state, run, delivery, course))
            }
            Step::TakeLock { .. } | Step::Mark { .. } | Step::Record { .. } | Step::Release { .. } => {
                self.write_as(state, run, &step, course)
            }
            read => self.read(state, run, observed.run(), read),
        };
        match &step {
            Step::TakeLock { lock, .. } if self.is(Mutant::BumpForgotten) => {
                observed.learn(&Step::TakeLock { lock: not_bumped(lock), over: None }, answer);
            }
            step => observed.learn(step, answer),
        }
        go_on(state, operator, run, observed);
    }

    fn post(&self, state: &mut State, run: usize, delivery: usize, course: StepCourse) -> Outcome {
        let unknown = || match self.mutant {
            Some(Mutant::UnansweredMeansRefused) => {
                Outcome::NotExecuted { then: Unexecuted::RetryAfter(Duration::ZERO, Obstacle::Unavailable), message: String::new() }
            }
            _ => Outcome::Unknown { message: String::new() },
        };
        match course {
            StepCourse::Executed(count) => {
                let ids = state.land(delivery, count);
                if self.is(Mutant::UnlockBeforeRecord) {
                    self.unlock(state, run, &ids);
                }
                Outcome::Accepted(ids)
            }
            StepCourse::Garbled(count) => {
                state.spend(|left| left.unanswered -= 1);
                state.land(delivery, count);
                if self.is(Mutant::NoIdsMeansNothingStarted) {
                    return Outcome::Accepted(Vec::new());
                }
                Outcome::ExecutedIdsUnknown { message: String::new() }
            }
            StepCourse::Unanswered(count) => {
                state.spend(|left| left.unanswered -= 1);
                state.land(delivery, count);
                unknown()
            }
            StepCourse::Refused { for_good } => {
                state.spend(|left| left.refused -= 1);
                state.deliveries.change(|all| all[delivery].course = Course::Refused);
                let then = if for_good { Unexecuted::Rejected } else { Unexecuted::RetryAfter(Duration::ZERO, Obstacle::Unavailable) };
                Outcome::NotExecuted { then, message: String::new() }
            }
            _ => {
                state.spend(|left| left.unanswered -= 1);
                unknown()
            }
        }
    }
}

/// A pass goes on after it has learned something. If that ends it, it ends at once: that is seen by nobody.
fn go_on(state: &mut State, operator: usize, run: usize, mut observed: Observed) {
    observed.spare = any_nonce();
    let step = run::next(&observed);
    let is_there = state.runs[run].is(&observed.cached.me);
    if matches!(step, Step::Hold(Hold::Lost | Hold::Overdue)) && is_there {
        let shown = observed.run().version.clone();
        state.object(run, |object| {
            object.write(&shown, true, |run| run.ended = true);
        });
    }
    state.operators[operator][run] = match &step {
        // What is remembered of an object is of no use to a later one of its name.
        Step::Follow | Step::Forget | Step::Again | Step::Hold(_) if !is_there => idle(),
        Step::Follow | Step::Forget | Step::Again | Step::Hold(_) => {
            Shared::new(Work::Resting(aged(&run::remember(&observed, &step), observed.now, Duration::ZERO)))
        }
        _ => Shared::new(Work::Busy(Pass { observed, step, sent: None }.into())),
    };
}

/// What `opened` makes of a run.
fn rerun(object: &mut Object) {
    let is_restored = object.present.as_ref().is_some_and(|present| present.me != object.first.me && present.own_marker().is_none());
    object.change(|run| {
        run.attempt = run::following_attempt(run);
        run.ended = false;
        // What a backup brought back speaks of another object.
        run.trigger = run.trigger.take().filter(|_| !is_restored);
    });
}

fn drain(works: &mut [Shared<Work>]) {
    for work in works {
        *work = match &**work {
            Work::Resting(_) => idle(),
            Work::Busy(pass) => {
                let mut pass = pass.clone();
                pass.observed.gate = Gate::Draining;
                pass.step = run::next(&pass.observed);
                Shared::new(Work::Busy(pass))
            }
        };
    }
}

fn resolve(state: &mut State, run: usize, answer: Resolution) -> Option<()> {
    let doubtful = state.runs[run].present.as_ref()?.trigger.clone()?;
    let prefix = format!("{}-", doubtful.nonce);
    let ids =
        state.executions.iter().map(|execution| execution.id.clone()).filter(|id| id.as_str().starts_with(&prefix)).collect::<Vec<_>>();
    if answer == Resolution::Adopt && ids.is_empty() {
        return None;
    }
    state.object(run, |object| {
        object.change(|run| match answer {
            Resolution::Abandon => run.abandoned = Some(doubtful.nonce),
            Resolution::Adopt => {
                let attempt = run.attempt;
                record(run, &Trigger { attempt, fate: Fate::Accepted(Evidence::Adopted), ..doubtful }, &ids, None);
            }
        });
    });
    Some(())
}

/// What `parse` makes of a restored object: its marker, and perhaps its result, speak of another one.
fn restore(object: &mut Object, status: bool) {
    let Some(last) = object.last.clone() else { return };
    let me = RunRef { uid: Uid::new(format!("{}-again", last.me.name)).unwrap(), ..last.me.clone() };
    let first = object.first.as_ref().clone();
    let mut run = if status { last.as_ref().clone() } else { Run { marker: last.marker.clone(), ..first } };
    let attempt = run.attempt;
    run.trigger = run.trigger.map(|trigger| Trigger { attempt: trigger.attempt.max(attempt), ..trigger });
    object.present = Some(Arc::new(Run { me, deleting: false, ..run }));
    object.change(|_| ());
}

fn roll_back(object: &mut Object, to: usize, what: Record) {
    let past = object.past[to].clone();
    object.change(|run| {
        if what != Record::Status {
            run.marker.clone_from(&past.marker);
        }
        if what != Record::Marker {
            *run = Run { marker: run.marker.clone(), suspended: run.suspended, deleting: run.deleting, ..past.as_ref().clone() };
        }
    });
}

/// A lock that was taken anew, as far as its nonces tell.
fn not_bumped(lock: &Lock) -> Box<Lock> {
    let tenancy = lock.tenancy.clone().map(|tenancy| Tenancy { tenure: tenancy.nonce.clone(), ..tenancy });
    Box::new(Lock { tenancy, ..lock.clone() })
}
