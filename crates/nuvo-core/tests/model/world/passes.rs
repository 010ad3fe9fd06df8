//! What comes of the steps of a pass.

use std::{collections::BTreeSet, time::Duration};

use nuvo_core::run::{
    self, AccountAnswer, Act, Answer, Answered, Ask, Evidence, ExecutionState, Facts, Failure, FailureKind, ListedCandidates, Lock,
    LockHolder, Marker, Nonce, Obstacle, PostOutcome, Run, RunMemory, RunningExecutions, Step, Task, Trigger, TriggerResult, Unexecuted,
};

use nuvo_crds::ConcurrencyPolicy;

use super::{
    Course, Delivery, Execution, Pass, State, Work, World, aged, any_nonce,
    life::Seen,
    possible_actions::{next_with_place, wish},
    reference, whose,
};
use crate::{
    action::StepCourse,
    mutant::Mutant,
    symmetry::{RUN_NAMES, Shared},
};

impl World {
    /// What the core decides in this pass, with a nonce that was never used.
    fn decide(&self, state: &mut State, run: usize, pass: &Pass) -> (Facts, Act) {
        let mut facts = pass.facts.clone();
        if !matches!(pass.act, Act::Trigger(Step::TakeLock { .. })) {
            return (facts, pass.act.clone());
        }
        let number = if self.is(Mutant::SharedNonce) { 0 } else { state.runs[run].nonces };
        facts.renew_spare(Nonce::new(format!("{}{number}", RUN_NAMES[run])).unwrap());
        state.object(run, |object| object.nonces += 1);
        let act = next_with_place(&mut facts);
        (facts, act)
    }

    pub(super) fn step(&self, state: &mut State, operator: usize, run: usize, course: StepCourse) {
        let work = state.operators[operator][run].clone();
        let Work::Busy(pass) = &*work else { return };
        let (mut facts, act) = self.decide(state, run, pass);
        let mut seen = pass.seen;
        if self.scope.life && !self.is(Mutant::EndForgotten) {
            facts.intend(&act);
        }
        seen.looked |= matches!(wish(&act), Some(Ask::Candidates { .. }));
        let answered = match &act {
            Act::Render(_) => self.hear(&mut seen, course),
            Act::Show(change) => self.show(state, run, &facts, &mut seen, change, course),
            Act::Delete => self.delete(state, run, &facts, course),
            Act::Trigger(Step::Post(nonce)) => {
                let Some(sender) = facts.run() else { return };
                let attempt = sender.marker.as_ref().map_or(sender.attempt, |marker| marker.attempt);
                let delivery = state.deliveries.len();
                let too_late = self.scope.start_deadline && seen.late;
                let known = state.runs[run].present.as_deref().filter(|present| present.version == sender.version);
                let held_back = known.is_some_and(|known| known.suspended);
                let is_mirror = known.is_some_and(|known| known.is_mirror);
                let runs = |execution: &Execution| whose(execution.id.as_str()) != run && !state.is_over(&execution.id);
                let beside = self.scope.policy == ConcurrencyPolicy::Queue && state.executions.iter().any(runs);
                state.object(run, |object| {
                    object.story.sent_too_late |= too_late;
                    object.story.sent_held_back |= held_back;
                    object.story.mirror_acted |= is_mirror;
                    object.story.beside |= beside;
                });
                state.deliveries.change(|all| {
                    all.push(Delivery {
                        run: reference(run),
                        attempt,
                        nonce: nonce.clone(),
                        course: Course::Dropped,
                        written: false,
                        moved: seen.moved,
                    })
                });
                if course == StepCourse::InFlight {
                    state.spend(|left| left.late_posts -= 1);
                    state.deliveries.change(|all| all[delivery].course = Course::InFlight);
                    state.operators[operator][run] =
                        Shared::new(Work::Busy(Pass { facts, act: act.clone(), sent: Some(nonce.clone()), seen }.into()));
                    return;
                }
                Answered::Trigger(Answer::Posted(self.post(state, run, delivery, course)))
            }
            Act::Trigger(step) if step.is_write() => {
                let step = &self.with_account(step, seen.moved);
                let answer = self.write_as(state, run, step, course);
                if matches!((step, &answer), (Step::Record { .. }, Answer::Written(_))) {
                    seen.story = state.runs[run].story;
                }
                self.answered(state, run, step, answer)
            }
            Act::Trigger(read) => {
                if *read == Step::ReadRun {
                    seen.story = state.runs[run].story;
                }
                facts.run().map_or(Answered::Missing, |seen| {
                    Answered::Trigger(match self.read(state, run, seen, read) {
                        Answer::Undecided(undecided) => Answer::Undecided(undecided != (course == StepCourse::Stale)),
                        Answer::Run(Some(mut present)) if self.is(Mutant::HeldBackOnlyAtFirst) && pass.task() != &Task::Idle => {
                            present.suspended = false;
                            Answer::Run(Some(present))
                        }
                        answer => answer,
                    })
                })
            }
            // The account was changed since the pass began.
            act if wish(act) == Some(&Ask::Turn) && seen.moved != state.left.moved => Answered::Account(AccountAnswer::Stopping),
            act => Answered::Account(AccountAnswer::Looked(self.look(state, act, course))),
        };
        match &act {
            Act::Trigger(Step::TakeLock { lock, .. }) if self.is(Mutant::BumpForgotten) => {
                facts.learn(&Act::Trigger(Step::TakeLock { lock: not_bumped(lock), over: None }), answered);
            }
            act => facts.learn(act, answered),
        }
        self.go_on(state, operator, run, facts, seen);
    }

    /// The marker says with which account the POST is sent.
    fn with_account(&self, step: &Step, moved: bool) -> Step {
        match step {
            Step::Mark { marker, over } => {
                let account = marker.account.clone().or(self.account(moved));
                Step::Mark { marker: Marker { account, ..marker.clone() }, over: over.clone() }
            }
            step => step.clone(),
        }
    }

    /// What nuvo's list shows to who asks for it.
    fn look(&self, state: &mut State, act: &Act, course: StepCourse) -> Answer {
        match (wish(act), course) {
            (Some(Ask::Candidates { .. }), StepCourse::NoList) => {
                state.spend(|left| left.failed_lists = left.failed_lists.saturating_sub(1));
                Answer::Candidates(self.is(Mutant::NoListMeansNothingStarted).then(ListedCandidates::default))
            }
            (Some(Ask::Candidates { .. }), StepCourse::ShortList) => {
                state.spend(|left| left.short_lists -= 1);
                let mut whole = self.candidates(state);
                let newest = whole.candidates.iter().filter_map(|candidate| candidate.created).max();
                whole.candidates.retain(|candidate| candidate.created == newest);
                let after = newest.map(|newest| newest - 1).filter(|_| !self.is(Mutant::ShortListMeansWhole));
                Answer::Candidates(Some(ListedCandidates { after, ..whole }))
            }
            (Some(Ask::Candidates { .. }), _) => Answer::Candidates(Some(self.candidates(state))),
            (Some(Ask::Running(delivered)), course) => {
                let shown = |execution: &&Execution| course == StepCourse::Stale || !state.is_over(&execution.id);
                let listed = state.listed().map(|(_, execution)| execution).filter(shown).map(|execution| execution.id.clone()).collect();
                let ended = if self.is(Mutant::LockNotAskedForExecutions) { delivered.iter().cloned().collect() } else { BTreeSet::new() };
                Answer::Running(RunningExecutions { listed, ended })
            }
            (Some(Ask::Execution(id)), _) => {
                let is_over = state.is_over(id) && !self.is(Mutant::SkippedByTheList);
                Answer::Execution(id.clone(), if is_over { ExecutionState::Over } else { ExecutionState::Processing })
            }
            (_, StepCourse::NoList) => {
                state.spend(|left| left.blind_lists -= 1);
                Answer::Baseline(None)
            }
            _ => Answer::Baseline(Some(self.baseline(state))),
        }
    }

    /// What the shell makes of the answer to a write.
    fn answered(&self, state: &State, run: usize, step: &Step, answer: Answer) -> Answered {
        match answer {
            Answer::Indeterminate => failed(FailureKind::Conflict),
            Answer::Refused => failed(FailureKind::Refused),
            Answer::Missing => Answered::Missing,
            Answer::Written(_) if matches!(step, Step::Record { .. }) => match &state.runs[run].present {
                Some(present) => Answered::Written(Box::new(self.seen(present))),
                None => Answered::Missing,
            },
            answer => Answered::Trigger(answer),
        }
    }

    /// A pass goes on after it has learned something. What touches nothing outside of the process happens at once, and if the pass ends, it
    /// ends at once: that is not seen by anything.
    pub(super) fn go_on(&self, state: &mut State, operator: usize, run: usize, mut facts: Facts, mut seen: Seen) {
        facts.renew_spare(any_nonce());
        let is_there = facts.run().is_some_and(|seen| state.runs[run].is(&seen.id));
        loop {
            facts.refresh(self.present(&facts, seen));
            let act = next_with_place(&mut facts);
            let answered = match &act {
                Act::Render(change) if let Some(rendered) = self.rendered(state, &facts, &mut seen, change) => Answered::Rendered(rendered),
                Act::Announce | Act::AnnounceOnly(_) | Act::WakeWaiting | Act::WakeHolder(_) | Act::Pause(_) => Answered::Done,
                Act::Done { .. } if wish(&act).is_none() => {
                    self.note_lost_answer(state, run, &facts);
                    // What is remembered of an object is of no use to a later one of its name.
                    let remembered = || aged(&run::remember(&facts), facts.uptime(), Duration::ZERO, &self.scope);
                    let memory = if is_there { remembered() } else { RunMemory::default() };
                    state.operators[operator][run] = Shared::new(Work::Resting(memory.into()));
                    return;
                }
                _ => {
                    state.operators[operator][run] = Shared::new(Work::Busy(Pass { facts, act, sent: None, seen }.into()));
                    return;
                }
            };
            facts.learn(&act, answered);
        }
    }

    /// A pass that knows what nuvo has answered ends, and has nothing to write.
    fn note_lost_answer(&self, state: &mut State, run: usize, facts: &Facts) {
        let Some(observed) = facts.observed().filter(|observed| run::next_step(observed) == Step::Follow) else { return };
        let Task::Posted(_, PostOutcome::Accepted(ids)) = &observed.task else { return };
        let is_same = |trigger: &Trigger| ids.iter().any(|id| id.as_str().starts_with(&format!("{}-", trigger.nonce)));
        let found = |run: &Run| run.trigger.as_ref().is_some_and(|t| t.result == TriggerResult::Accepted(Evidence::Adopted) && is_same(t));
        if state.runs[run].present.as_ref().is_some_and(|present| found(present)) {
            state.object(run, |object| object.story.answer_lost = true);
        }
    }

    fn post(&self, state: &mut State, run: usize, delivery: usize, course: StepCourse) -> PostOutcome {
        let unknown = || match self.mutant {
            Some(Mutant::UnansweredMeansRefused) => {
                PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(Duration::ZERO, Obstacle::Unavailable), message: String::new() }
            }
            _ => PostOutcome::Unknown { message: String::new() },
        };
        match course {
            StepCourse::Executed(count) => {
                let ids = state.land(delivery, count);
                if self.is(Mutant::UnlockBeforeRecord) {
                    self.unlock(state, run, &ids);
                }
                PostOutcome::Accepted(ids)
            }
            StepCourse::Garbled(count) => {
                state.spend(|left| left.unanswered -= 1);
                state.land(delivery, count);
                if self.is(Mutant::NoIdsMeansNothingStarted) {
                    return PostOutcome::Accepted(Vec::new());
                }
                PostOutcome::ExecutedIdsUnknown { message: String::new() }
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
                PostOutcome::NotExecuted { then, message: String::new() }
            }
            _ => {
                state.spend(|left| left.unanswered -= 1);
                unknown()
            }
        }
    }
}

pub(super) fn failed(kind: FailureKind) -> Answered {
    Answered::Failed(Failure { kind, message: String::new() })
}

/// A lock that was taken anew, as far as its nonces tell.
fn not_bumped(lock: &Lock) -> Box<Lock> {
    let lock_holder = lock.holder.clone().map(|lock_holder| LockHolder { acquisition: lock_holder.nonce.clone(), ..lock_holder });
    Box::new(Lock { holder: lock_holder, ..lock.clone() })
}
