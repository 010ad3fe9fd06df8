//! What the world knows of the life of a run around its triggers, and what the operator's status writes make of it.

use std::time::Duration;

use nuvo_core::run::{
    self, Act, Answer, Answered, Change, Facts, FailureKind, Life, Present, Rendered, RetryWait, Run, StatusChange, StatusInput, Task,
    TriggerResult,
};
use nuvo_crds::conditions::Reason;

use super::{Object, State, World, passes::failed};
use crate::{action::StepCourse, mutant::Mutant};

/// What a run's object says besides the record of its trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Story {
    /// Why it waits, as far as that was written.
    pub says: Option<Reason>,
    /// Its attempt has failed, and another one is scheduled.
    pub retry: bool,
    /// How many retries were made.
    pub retries: u8,
    /// A person wants another attempt.
    pub token: bool,
    /// The operator has begun an attempt before its time.
    pub too_early: bool,
    /// The operator has changed the version of the run that its lock speaks of.
    pub spoiled: bool,
    /// It waits for executions to end, and a POST was sent for it while one of another run was running.
    pub beside: bool,
    /// It was skipped although no execution was running.
    pub skipped_in_vain: bool,
    /// Its start deadline has passed.
    pub late: bool,
    /// The operator has sent a POST although it had seen that it was too late for that.
    pub sent_too_late: bool,
    /// The operator has sent a POST although it had seen that the run was held back.
    pub sent_held_back: bool,
    /// The operator has taken the lock for it, or sent a POST, although it had seen that a NuvoPipeline is its controller.
    pub mirror_acted: bool,
    /// The operator has deleted it.
    pub expired: bool,
    /// Its account is gone.
    pub no_account: bool,
    /// The executions of its trigger were found, which may still be answered, or have more effects for longer than that.
    pub open: Option<Open>,
    /// A process has kept nuvo's answer to itself, because executions were found.
    pub answer_lost: bool,
    /// It has ended while its trigger could still be answered.
    pub ended_open: bool,
}

/// For how long a trigger may still have effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Open {
    /// Until its answer cannot come any more.
    Short,
    /// For the quarantine.
    Long,
}

impl Open {
    /// For what is left of a time.
    pub fn of(left: Duration) -> Option<Self> {
        (!left.is_zero()).then_some(if left > super::SHORT { Self::Long } else { Self::Short })
    }

    const fn left(self) -> Duration {
        match self {
            Self::Short => super::SHORT,
            Self::Long => super::LONG,
        }
    }
}

/// What one pass knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// The object, as it was seen last.
    pub story: Story,
    /// It works with the account of the other tenant.
    pub moved: bool,
    /// It cannot use its account yet.
    pub waits_for_account: bool,
    /// Every time that something is due at has come.
    pub late: bool,
    /// It has looked at what nuvo's list shows of a trigger in doubt.
    pub looked: bool,
    /// It has lived for as long as unused locks are kept.
    pub old: bool,
    /// What the status says that was rendered last.
    pub end: Option<End>,
}

/// How the executions of an attempt have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The run has succeeded, or has failed for good.
    Final,
    /// They have failed, and the spec wants a retry.
    Retry,
}

/// Whether a run has ended with this status.
pub fn is_end(change: &StatusChange) -> bool {
    matches!(change, StatusChange::Present(StatusInput::Because(reason, _)) if reason.is_final())
}

/// Whether the run has ended with this status, and with it what its lock is needed for.
fn goes_on_under_none(change: &StatusChange) -> bool {
    let is_too_late = |reason: &Reason| matches!(reason, Reason::StartDeadlineExceeded | Reason::DeadlineExceeded | Reason::Skipped);
    is_end(change) && !matches!(change, StatusChange::Present(StatusInput::Because(reason, _)) if is_too_late(reason))
}

impl World {
    /// What a pass sees besides the run.
    pub(super) fn present(&self, facts: &Facts, seen: Seen) -> Present {
        let story = seen.story;
        let left = if seen.late { Duration::ZERO } else { super::SHORT };
        let due = seen.late || self.is(Mutant::RetryAtOnce);
        let ended = facts.run().is_some_and(|run| run.ended);
        let unresolved = facts
            .run()
            .and_then(|run| run.trigger.as_ref())
            .is_some_and(|trigger| matches!(trigger.result, TriggerResult::Ambiguous { .. }));
        let retry = match story.retry {
            false => RetryWait::None,
            true if due => RetryWait::Due,
            true => RetryWait::Scheduled(left),
        };
        let suspended = facts.run().is_some_and(|run| run.suspended);
        let waits = |run: &Run| {
            !run.ended
                && run.trigger.as_ref().is_none_or(|trigger| trigger.result == TriggerResult::NotExecuted || trigger.attempt < run.attempt)
        };
        let waits = facts.run().is_some_and(waits);
        let granted = facts.observed().is_some_and(|observed| observed.task != Task::Idle);
        let has_result = facts.run().is_some_and(|run| run.trigger.is_some());
        let blind = self.is(Mutant::StartDeadlineOnlyAtFirst) && granted;
        let hidden = (self.is(Mutant::TooLateOverTheLock) && waits && seen.late && !granted)
            || (self.is(Mutant::DeletedWithItsLock) && ended)
            || (self.is(Mutant::NotesOverTheLock) && suspended)
            || (story.no_account && !names_its_lock(facts));
        Present {
            uptime: facts.uptime(),
            life: Life {
                reason: story.says,
                token: story.token,
                retry,
                // A run that has not begun has none.
                deadline: (self.scope.overdue && (has_result || !granted)).then_some(Duration::ZERO),
                open: story.open.map(Open::left).filter(|_| !self.is(Mutant::AdoptedEndsAtOnce)),
                start_deadline: (self.scope.start_deadline && waits && !blind).then_some(left),
                expiry: (self.scope.expire && ended && !unresolved).then_some(left),
                ..Life::default()
            },
            account: match story.no_account || seen.waits_for_account {
                true => run::Account::NotReady(String::new()),
                false => run::Account::Ready { trigger_pause: None, account: self.account(seen.moved) },
            },
            stopping_for: facts.is_draining().then_some(Duration::ZERO),
            lock_is_known: !hidden,
        }
    }

    /// What writing this status would change, and what it would say; none if nuvo has to be asked for that.
    pub(super) fn rendered(&self, state: &State, facts: &Facts, seen: &mut Seen, change: &StatusChange) -> Option<Rendered> {
        let is = |change, ends_lock_need| Some(Rendered { change, message_hash: 0, ends_lock_need });
        seen.end = None;
        match change {
            StatusChange::Present(StatusInput::Settled(_, polled)) if self.scope.life && !polled.is_open && can_end(facts, *seen) => None,
            change if is_end(change) => is(Change::Content, true),
            StatusChange::Present(StatusInput::Because(reason, _)) if state.left.notes > 0 && seen.story.says != Some(*reason) => {
                is(Change::Content, false)
            }
            _ => is(Change::None, false),
        }
    }

    /// nuvo says how the executions are.
    pub(super) fn hear(&self, seen: &mut Seen, course: StepCourse) -> Answered {
        let StepCourse::Ended { failed } = course else {
            return Answered::Rendered(Rendered { change: Change::None, message_hash: 0, ends_lock_need: false });
        };
        let end = if failed && seen.story.retries < self.scope.retries { End::Retry } else { End::Final };
        seen.end = Some(end);
        Answered::Rendered(Rendered { change: Change::Content, message_hash: 0, ends_lock_need: end == End::Final })
    }

    /// A status is written.
    pub(super) fn show(
        &self,
        state: &mut State,
        run: usize,
        facts: &Facts,
        seen: &mut Seen,
        change: &StatusChange,
        course: StepCourse,
    ) -> Answered {
        let Some(over) = facts.run().map(|run| run.version.clone()) else { return Answered::Missing };
        if matches!(change, StatusChange::Present(StatusInput::Because(reason, _)) if !reason.is_final()) {
            state.spend(|left| left.notes = left.notes.saturating_sub(1));
        }
        if matches!(course, StepCourse::AnswerLost | StepCourse::RequestLost) {
            state.spend(|left| left.lost -= 1);
        }
        if course == StepCourse::RequestLost {
            return failed(FailureKind::Unclear);
        }
        let lock = state.lock().clone();
        let (late, end) = (seen.late, seen.end);
        let none_runs = state.executions.iter().all(|execution| state.is_over(&execution.id));
        let answer = state.runs[run].change(|object| {
            let spoils = object.present.as_ref().is_some_and(|run| run::resumable(run, &lock)) && !goes_on_under_none(change);
            let answer = object.write(&over, true, |_| ());
            if matches!(answer, Answer::Written(_)) {
                apply(object, change, end, late);
                object.story.skipped_in_vain |= object.story.says == Some(Reason::Skipped) && none_runs;
                object.story.spoiled |= spoils;
            }
            answer
        });
        let adopted =
            |run: &Run| run.trigger.as_ref().is_some_and(|trigger| trigger.result == TriggerResult::Accepted(run::Evidence::Adopted));
        if let (Answer::Written(_), Some(End::Final), Some(run)) = (&answer, end, &state.runs[run].present)
            && adopted(run)
        {
            let shown = run.executions.clone();
            state.executions.change(|all| all.iter_mut().for_each(|one| one.over |= shown.contains(&one.id)));
        }
        match (answer, course) {
            (_, StepCourse::AnswerLost) => failed(FailureKind::Unclear),
            (Answer::Missing, _) => Answered::Missing,
            (Answer::Written(_), _) => match &state.runs[run].present {
                Some(present) => {
                    seen.story = state.runs[run].story;
                    Answered::Written(Box::new(self.seen(present)))
                }
                None => Answered::Missing,
            },
            _ => failed(FailureKind::Conflict),
        }
    }

    /// The object is deleted, if it is as it was seen.
    pub(super) fn delete(&self, state: &mut State, run: usize, facts: &Facts, course: StepCourse) -> Answered {
        let same = state.runs[run].present.as_ref().map(|run| &run.version) == facts.run().map(|run| &run.version);
        if matches!(course, StepCourse::AnswerLost | StepCourse::RequestLost) {
            state.spend(|left| left.lost -= 1);
        }
        if state.runs[run].present.is_none() {
            return Answered::Missing;
        }
        if !same || course == StepCourse::RequestLost {
            return failed(if same { FailureKind::Unclear } else { FailureKind::Conflict });
        }
        state.runs[run].change(|object| {
            object.last = object.present.take();
            object.story.expired = true;
        });
        if course == StepCourse::AnswerLost { failed(FailureKind::Unclear) } else { Answered::Done }
    }
}

/// Whether the lock is known without the account.
fn names_its_lock(facts: &Facts) -> bool {
    let marker = facts.run().and_then(Run::own_marker);
    facts.memory().awaited.is_some() || marker.is_some_and(|marker| marker.lock.is_some())
}

/// Whether the executions of a run may have ended.
fn can_end(facts: &Facts, seen: Seen) -> bool {
    let running =
        |run: &Run| !run.ended && run.trigger.as_ref().is_some_and(|trigger| matches!(trigger.result, TriggerResult::Accepted(_)));
    !seen.story.retry && facts.run().is_some_and(running)
}

/// What a status makes of a run. `change` has made the write already.
fn apply(object: &mut Object, change: &StatusChange, end: Option<End>, late: bool) {
    let story = &mut object.story;
    match change {
        StatusChange::Attempt { automatic, .. } => {
            story.too_early |= *automatic && story.retry && !late;
            if *automatic {
                story.retries += 1;
            } else {
                story.retries = 0;
            }
            (story.retry, story.token, story.late, story.says) = (false, false, false, None);
            let restored = object.present.as_ref().is_some_and(|run| run.id != object.first.id && run.own_marker().is_none());
            object.same_version(|run| {
                run.attempt = run::following_attempt(run);
                run.ended = false;
                // What a backup brought back speaks of another object.
                run.trigger = run.trigger.take().filter(|_| !restored);
            });
        }
        StatusChange::Present(StatusInput::Because(reason, _)) => {
            story.says = Some(*reason);
            let ends = reason.is_final();
            object.same_version(|run| run.ended |= ends);
        }
        StatusChange::Present(StatusInput::Settled(..)) => {
            story.ended_open |= end.is_some() && story.open.is_some();
            match end {
                Some(End::Final) => object.same_version(|run| run.ended = true),
                Some(End::Retry) => story.retry = true,
                None => {}
            }
        }
        StatusChange::Refused(_) | StatusChange::Noted(_) | StatusChange::Unwatched | StatusChange::Result { .. } => {}
    }
}

/// Whether the locks of runs that have ended are given back.
pub fn gave_back(state: &State) -> bool {
    state.runs.iter().all(|object| !keeps_its_lock(state, object))
}

/// Whether a run that has ended, and whose executions nuvo's own answer names, still holds the lock.
fn keeps_its_lock(state: &State, object: &Object) -> bool {
    let run = object.present.as_deref().or(object.last.as_deref());
    run.is_some_and(|run| {
        let answered = run
            .trigger
            .as_ref()
            .is_some_and(|trigger| matches!(trigger.result, TriggerResult::Accepted(run::Evidence::Answer) | TriggerResult::NotExecuted));
        let own = run.own_marker().zip(run.trigger.as_ref()).is_some_and(|(marker, trigger)| marker.nonce == trigger.nonce);
        run.ended && answered && own && state.lock().held_by(&run.id.uid).is_some()
    })
}

impl State {
    /// Whether a run was deleted with its lock still held.
    pub fn deleted_with_its_lock(&self) -> bool {
        self.runs.iter().any(|object| object.story.expired && object.present.is_none() && keeps_its_lock(self, object))
    }

    /// Whether every run has ended, and what was to be deleted is gone.
    pub fn lives_are_over(&self, expire: bool) -> bool {
        self.runs.iter().all(|object| match &object.present {
            None => true,
            Some(run) if run.deleting => true,
            Some(run) => {
                let asked = run.trigger.as_ref().is_some_and(|trigger| matches!(trigger.result, TriggerResult::Ambiguous { .. }));
                run.ended && !object.story.token && (!expire || asked)
            }
        })
    }
}

/// Whether nuvo is asked how the executions are before this act can be answered.
pub(super) fn asks_for_the_end(act: &Act) -> bool {
    matches!(act, Act::Render(StatusChange::Present(StatusInput::Settled(..))))
}
