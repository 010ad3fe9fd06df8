//! What comes of what happens.

use std::{sync::Arc, time::Duration};

use nuvo_core::run::{
    self, Act, Answer, Answered, Begin, Beginning, Doubt, Evidence, ExecutionId, Facts, FollowUp, Inquiry, Lock, LockRead, Polled,
    PostOutcome, Present, Run, RunMemory, RunRef, Step, Task, Trigger, TriggerResult, Uid,
};

use super::{
    BEGIN, Course, Execution, INTRUDER, LONG, Late, OLD, Object, Pass, SHORT, State, Work, World, aged, any_nonce, idle,
    life::{Open, Seen, Story},
    lock_name, new_run,
    possible_actions::next_with_place,
    record, whose,
};
use crate::{
    action::{Action, Record, Resolution, StepCourse},
    bounds::{Restarts, Scope, Start},
    mutant::Mutant,
    symmetry::Shared,
};

impl State {
    /// The adversary uses up some of what it may do.
    pub(super) fn spend(&mut self, spend: impl FnOnce(&mut Scope)) {
        self.left.change(spend);
    }

    pub(super) fn object(&mut self, run: usize, change: impl FnOnce(&mut Object)) {
        self.runs[run].change(change);
    }
}

impl World {
    /// The world after something has happened; none if it makes no difference.
    pub fn after(&self, before: &State, action: &Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Begin { operator, run, stale, late } => self.begin(&mut state, *operator, *run, *stale, *late)?,
            Action::CleanUp { operator, run } => self.clean_up(&mut state, *operator, *run)?,
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
                state.spend(|left| (left.crashes, left.starting) = (left.crashes - 1, left.start != Start::Whole));
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
                for run in 0..state.runs.len() {
                    let closes = |open: Open| !self.scope.standing && (*long || open == Open::Short);
                    if state.runs[run].story.open.is_some_and(closes) {
                        state.object(run, |object| object.story.open = None);
                    }
                }
            }
            Action::BreakOff { operator, run } => {
                state.spend(|left| left.broken_off -= 1);
                let Work::Busy(pass) = &*state.operators[*operator][*run] else { return None };
                let mut memory = pass.facts.memory().clone();
                if let (Act::Trigger(step), Some(observed)) = (&pass.act, pass.facts.observed()) {
                    memory.trigger = run::remember_trigger(observed, step);
                }
                let memory = aged(&memory, pass.facts.uptime(), Duration::ZERO, &self.scope);
                state.operators[*operator][*run] = Shared::new(Work::Resting(memory.into()));
            }
            Action::Drain { operator } => {
                state.spend(|left| left.drains -= 1);
                self.drain(&mut state.operators[*operator]);
            }
            Action::Release { run, late } => self.release(&mut state, *run, *late)?,
            Action::Rerun { run } => {
                state.spend(|left| left.reruns -= 1);
                if self.scope.life {
                    state.object(*run, |object| {
                        object.change(|_| ());
                        object.story.token = true;
                    });
                } else {
                    state.object(*run, rerun);
                }
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
            Action::LoseAccount { run } => {
                state.spend(|left| left.account_losses -= 1);
                state.object(*run, |object| object.story.no_account = true);
            }
            Action::Edit { run } => {
                state.spend(|left| left.edits -= 1);
                state.object(*run, |object| object.change(|_| ()));
            }
            Action::Mirror { run } => {
                state.spend(|left| left.mirrors -= 1);
                state.object(*run, |object| object.change(|run| run.is_mirror = true));
            }
            Action::Observe { execution } => {
                let id = state.executions[*execution].id.clone();
                let run = state.runs.iter().position(|object| object.present.as_ref().is_some_and(|run| run.observes))?;
                state.object(run, |object| object.change(|run| run.executions.push(id)));
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
            Action::Move => state.spend(|left| left.moved = !left.moved),
            Action::Intrude => {
                state.spend(|left| left.intruders -= 1);
                let id = ExecutionId::new(INTRUDER).unwrap();
                state.executions.change(|all| all.push(Execution { id, listed: true, moved: state.left.moved, over: false }));
            }
            Action::WipeStatus { run } => {
                state.spend(|left| left.status_wipes -= 1);
                state.object(*run, |object| {
                    object.change(|present| {
                        let fresh = new_run(*run);
                        (present.trigger, present.executions, present.ended, present.attempt) = (None, Vec::new(), false, fresh.attempt);
                    });
                    object.story = Story { token: object.story.token, ..Story::default() };
                });
            }
            Action::WipeMarker { run } => {
                state.spend(|left| left.marker_wipes -= 1);
                state.object(*run, |object| object.change(|run| run.marker = None));
            }
            Action::GarbleMarker { run } => {
                state.spend(|left| left.garbled_markers -= 1);
                state.object(*run, |object| {
                    object.change(|run| run.unread_marker = run.marker.take().map(|marker| marker.attempt));
                });
            }
            Action::GarbleEntry => {
                state.spend(|left| left.garbled_entries -= 1);
                let mut lock = state.lock().clone();
                if let Some(entry) = lock.ledger.back_mut() {
                    entry.entry = run::LedgerOutcome::Later("tomorrow".into());
                }
                self.put_lock(&mut state, 0, lock);
            }
            Action::DeleteLease => {
                state.spend(|left| left.lease_deletions -= 1);
                state.leases[0].change(|lease| lease.read = LockRead::default());
            }
            Action::Sweep => {
                state.spend(|left| left.sweeps -= 1);
                state.leases[0].change(|lease| lease.read = LockRead::default());
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
                if matches!(**work, Work::Resting(_))
                    && !self.scope.life
                    && object.present.as_ref().is_none_or(|present| run::settled(present))
                {
                    *work = idle();
                }
            }
        }
        state.identify();
        (state.id != before.id).then_some(state)
    }

    fn begin(&self, state: &mut State, operator: usize, run: usize, stale: bool, late: bool) -> Option<()> {
        let object = &state.runs[run];
        let cached = if stale { object.first.clone() } else { object.present.clone()? };
        if late && self.scope.start_deadline {
            state.object(run, |object| object.story.late = true);
        }
        let object = &state.runs[run];
        let Work::Resting(memory) = &*state.operators[operator][run] else { return None };
        let begun = self.facts(state, Begin::Changed, &cached, memory);
        let seen = Seen {
            story: if stale { Story::default() } else { object.story },
            moved: state.left.moved,
            waits_for_account: state.left.starting && self.scope.start == Start::WithoutAccount,
            late,
            end: None,
            looked: false,
            old: false,
        };
        if stale {
            state.spend(|left| left.stale -= 1);
        }
        self.go_on(state, operator, run, begun, seen);
        // What a pass reads first it reads at once: that it has begun is not seen by anything.
        let reads = |work: &Work| matches!(work, Work::Busy(pass) if matches!(pass.act, Act::Trigger(_) | Act::Done { .. }));
        if reads(&state.operators[operator][run]) {
            self.step(state, operator, run, StepCourse::Well);
        }
        Some(())
    }

    fn clean_up(&self, state: &mut State, operator: usize, run: usize) -> Option<()> {
        let last = state.runs[run].last.clone()?;
        let begun = self.facts(state, Begin::Deleted, &last, &RunMemory::default());
        self.go_on(state, operator, run, begun, Seen::default());
        Some(())
    }

    fn facts(&self, state: &State, begin: Begin, run: &Run, memory: &RunMemory) -> Facts {
        let waits = |other: &Run| other.id.name != run.id.name && run::awaits_trigger(other);
        let others_wait = state.runs.iter().filter_map(|object| object.present.as_deref()).any(waits);
        let holds = || state.lock().held_by(&run.id.uid).is_some() && !self.is(Mutant::HeldBackLooksAtNoLock);
        let awaited = (self.can_be_held_back() && others_wait && holds()).then(lock_name);
        let mut memory = memory.clone();
        if self.is(Mutant::GivenUpAtFirstSight) && memory.trigger.inquiry.is_none() {
            memory.trigger.inquiry = known_for_long(run, &state.leases[0].read);
        }
        Facts::new(Beginning {
            begin,
            run: Ok(Some(self.seen(run))),
            memory: RunMemory { awaited, ..memory },
            limits: self.limits(),
            uptime: BEGIN,
            spare: any_nonce(),
            older: None,
            others_wait: others_wait && !self.is(Mutant::DoubtsWaitForALook),
            polled: Polled::default(),
        })
    }

    fn answer(&self, state: &mut State, operator: usize, run: usize, answered: bool) -> Option<()> {
        let Work::Busy(pass) = &*state.operators[operator][run] else { return None };
        let Pass { facts, sent: Some(sent), seen, .. } = &**pass else { return None };
        let seen = *seen;
        let lost = state.deliveries.iter().any(|delivery| delivery.nonce == *sent && delivery.course == Course::Dropped);
        let prefix = format!("{sent}-");
        let ids = state.executions.iter().map(|execution| execution.id.clone()).filter(|id| id.as_str().starts_with(&prefix));
        let outcome = if answered { PostOutcome::Accepted(ids.collect()) } else { PostOutcome::Unknown { message: String::new() } };
        let mut facts = facts.clone();
        facts.learn(&Act::Trigger(Step::Post(sent.clone())), Answered::Trigger(Answer::Posted(outcome)));
        if !answered && !lost {
            state.spend(|left| left.unanswered -= 1);
        }
        self.go_on(state, operator, run, facts, seen);
        Some(())
    }

    fn tick(&self, state: &mut State, passed: Duration) {
        for lease in &mut state.leases {
            if let Some(age) = lease.read.age {
                let older = age.saturating_add(passed);
                let older = if older < LONG { SHORT } else { older.min(OLD) };
                if older > age {
                    lease.change(|lease| lease.read.age = Some(older));
                }
            }
        }
        let restarts = match self.scope.restarts {
            Restarts::Never => false,
            Restarts::AtEveryTick => true,
            Restarts::AtLongTicks => passed >= LONG,
        };
        if restarts {
            state.operators = vec![vec![idle(); state.runs.len()]; state.operators.len()];
        }
        if self.scope.start != Start::Whole {
            state.spend(|left| left.starting = restarts);
        }
        for work in state.operators.iter_mut().flatten() {
            match &**work {
                Work::Resting(memory) => {
                    if **memory != RunMemory::default() {
                        *work = Shared::new(Work::Resting(aged(memory, BEGIN, passed, &self.scope).into()));
                    }
                }
                Work::Busy(pass) => {
                    let marked = matches!(pass.task(), Task::Marked(_));
                    let granted = marked || matches!(pass.task(), Task::Locking(_) | Task::Locked(_) | Task::Marking(_));
                    let has_fence = granted && !self.is(Mutant::NoFence) && (marked || !self.is(Mutant::FenceAtMark));
                    // What has no fence to run out, and no look that grows old, might as well have begun after the tick.
                    let grows_old = has_fence || (self.scope.aged && pass.seen.looked);
                    let mut pass = pass.clone();
                    pass.seen.old |= passed >= LONG && self.scope.sweeps > 0;
                    pass.seen.waits_for_account = false;
                    if !grows_old {
                        *work = Shared::new(Work::Busy(pass));
                        continue;
                    }
                    pass.seen.late |= self.scope.start_deadline;
                    let age = pass.facts.uptime().saturating_sub(BEGIN).saturating_add(passed);
                    let uptime = BEGIN.saturating_add(if age >= LONG { LONG } else { age.min(SHORT) });
                    pass.facts.refresh(Present { uptime, ..self.present(&pass.facts, pass.seen) });
                    pass.act = next_with_place(&mut pass.facts);
                    *work = Shared::new(Work::Busy(pass));
                }
            }
        }
    }

    fn drain(&self, works: &mut [Shared<Work>]) {
        for work in works {
            *work = match &**work {
                Work::Resting(_) => idle(),
                Work::Busy(pass) => {
                    let mut pass = pass.clone();
                    pass.facts.refresh(Present { stopping_for: Some(Duration::ZERO), ..self.present(&pass.facts, pass.seen) });
                    pass.act = next_with_place(&mut pass.facts);
                    Shared::new(Work::Busy(pass))
                }
            };
        }
    }
}

/// What a process would remember of a run that it has known to be in doubt for as long as its lock is old.
fn known_for_long(run: &Run, read: &LockRead) -> Option<Inquiry> {
    let marker = run.own_marker().filter(|_| run::undecided(run))?;
    let doubt = Doubt { nonce: marker.nonce.clone(), acquisition: marker.acquisition.clone(), attempt: marker.attempt };
    Some(Inquiry { first_seen: BEGIN.saturating_sub(SHORT), ..Inquiry::new(doubt, BEGIN.saturating_sub(read.age.unwrap_or_default())) })
}

/// What `opened` makes of a run.
fn rerun(object: &mut Object) {
    let is_restored = object.present.as_ref().is_some_and(|present| present.id != object.first.id && present.own_marker().is_none());
    object.change(|run| {
        run.attempt = run::following_attempt(run);
        run.ended = false;
        // What a backup brought back speaks of another object.
        run.trigger = run.trigger.take().filter(|_| !is_restored);
    });
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
                record(run, &Trigger { attempt, result: TriggerResult::Accepted(Evidence::Adopted), ..doubtful }, &ids, FollowUp::Nothing);
            }
        });
    });
    Some(())
}

/// What `parse` makes of a restored object: its marker, and perhaps its result, speak of another one.
fn restore(object: &mut Object, status: bool) {
    let Some(last) = object.last.clone() else { return };
    let id = RunRef { uid: Uid::new(format!("{}-again", last.id.name)).unwrap(), ..last.id.clone() };
    let first = object.first.as_ref().clone();
    let mut run = if status { last.as_ref().clone() } else { Run { marker: last.marker.clone(), ..first } };
    let attempt = run.attempt;
    run.trigger = run.trigger.map(|trigger| Trigger { attempt: trigger.attempt.max(attempt), ..trigger });
    object.present = Some(Arc::new(Run { id, deleting: false, ..run }));
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
