//! What the API server and nuvo make of an operator's reads and writes; and what a mutant makes of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use nuvo_core::run::{
    self, Answer, Baseline, Candidate, Disposal, Evidence, ExecutionId, FollowUp, Holder, ListedCandidates, Lock, LockHolder, LockRead,
    Marker, Run, Step, Takeover, Trigger, TriggerResult,
};

use super::{INTRUDER, LIMITS, Late, Object, RETENTION, State, World, hash, life::Open, lock_name, new_run, record, reference, whose};
use crate::{action::StepCourse, bounds::Start, mutant::Mutant, symmetry::LOCK_VERSIONS};

impl World {
    pub(super) fn write_as(&self, state: &mut State, run: usize, step: &Step, course: StepCourse) -> Answer {
        match course {
            StepCourse::AnswerLost => {
                state.spend(|left| left.lost -= 1);
                self.write(state, run, step);
                Answer::Indeterminate
            }
            StepCourse::RequestLost => {
                state.spend(|left| left.lost -= 1);
                Answer::Indeterminate
            }
            StepCourse::Late => {
                state.spend(|left| left.late_writes -= 1);
                state.late.change(|late| late.push(Late { run: reference(run), step: step.clone() }));
                Answer::Indeterminate
            }
            StepCourse::Denied => {
                state.spend(|left| left.denied -= 1);
                Answer::Refused
            }
            _ => self.write(state, run, step),
        }
    }

    pub(super) fn write(&self, state: &mut State, run: usize, step: &Step) -> Answer {
        match step {
            Step::TakeLock { lock, over } => {
                let compare = !self.is(Mutant::NoCompareAtLock);
                let answer = self.write_lock(state, run, lock, over.as_deref(), compare);
                let known_at = lock.holder.as_ref().map(|holder| &holder.run_version);
                let is_mirror = |present: &Arc<Run>| present.is_mirror && known_at == Some(&present.version);
                if matches!(answer, Answer::Written(_)) && state.runs[run].present.as_ref().is_some_and(is_mirror) {
                    state.object(run, |object| object.story.mirror_acted = true);
                }
                match answer {
                    Answer::Indeterminate if self.is(Mutant::LockAfterConflict) => {
                        Answer::Written(state.leases[self.slot(run)].read.version.clone().unwrap_or_default())
                    }
                    answer => answer,
                }
            }
            Step::Release { lock, over } => self.write_lock(state, run, lock, Some(over), true),
            Step::Mark { marker, over } => {
                let mut marker = marker.clone();
                if let Some(lock_holder) = state.lock().holder.as_ref().filter(|lock_holder| lock_holder.nonce == marker.nonce)
                    && self.is(Mutant::BumpForgotten)
                {
                    marker.acquisition.clone_from(&lock_holder.acquisition);
                }
                let keep = state.left.roll_backs > 0;
                state.runs[run].change(|object| keeping(object, keep, |object| self.mark(object, &marker, over)))
            }
            Step::Record { trigger, executions, follow_up, over, .. } => {
                let compare = !self.is(Mutant::NoCompareAtRecord);
                let open = if let FollowUp::OpenFor(left) = follow_up { Open::of(*left).filter(|_| self.scope.open) } else { None };
                let answer = state.runs[run].change(|object| {
                    keeping(object, state.left.roll_backs > 0, |object| {
                        let answer = object.write(over, compare, |run| record(run, trigger, executions, *follow_up));
                        if matches!(answer, Answer::Written(_)) {
                            object.story.open = open.filter(|_| trigger.result == TriggerResult::Accepted(Evidence::Adopted));
                        }
                        answer
                    })
                });
                if matches!(answer, Answer::Written(_)) && trigger.result == TriggerResult::Accepted(Evidence::Answer) {
                    state
                        .deliveries
                        .change(|all| all.iter_mut().filter(|sent| sent.nonce == trigger.nonce).for_each(|sent| sent.written = true));
                }
                answer
            }
            _ => Answer::Indeterminate,
        }
    }

    fn mark(&self, object: &mut Object, marker: &Marker, over: &str) -> Answer {
        let compare = !self.is(Mutant::NoCompareAtMark);
        // As the shell adds it.
        let lock = (self.scope.account_losses > 0 || self.scope.start == Start::WithoutAccount).then(lock_name);
        let marker = Marker { lock, ..marker.clone() };
        let write = |run: &mut Run| (run.marker, run.unread_marker) = (Some(marker.clone()), None);
        let answer = object.write(over, compare, write);
        let undecided = object.present.as_ref().is_some_and(|run| run.marker.is_none() && run.trigger.is_none());
        match answer {
            Answer::Indeterminate if self.is(Mutant::PostAfterConflict) => {
                object.present.as_ref().map_or(Answer::Missing, |run| Answer::Written(run.version.clone()))
            }
            Answer::Indeterminate if self.is(Mutant::MarkAgain) && undecided => object.write(over, false, write),
            answer => answer,
        }
    }

    fn write_lock(&self, state: &mut State, run: usize, lock: &Lock, over: Option<&str>, compare: bool) -> Answer {
        let slot = self.slot(run);
        if compare && state.leases[slot].read.version.as_deref() != over {
            return Answer::Indeterminate;
        }
        let version = self.put_lock(state, slot, lock.clone());
        Answer::Written(version)
    }

    pub(super) fn put_lock(&self, state: &mut State, slot: usize, mut lock: Lock) -> String {
        if self.is(Mutant::NoLedger) {
            lock.ledger.clear();
        }
        if self.is(Mutant::AmbiguousLeavesNoEntry) {
            lock.ledger.retain(|entry| entry.entry != run::LedgerOutcome::Unknown);
        }
        state.leases[slot].change(|lease| {
            lease.writes += 1;
            let version = format!("{}{}", LOCK_VERSIONS[slot], lease.writes);
            // How old a lock without a holder is, only that rule asks.
            let is_asked = if lock.holder.is_some() { self.scope.aged } else { self.scope.sweeps > 0 };
            let age = is_asked.then_some(Duration::ZERO);
            lease.read = LockRead { version: Some(version.clone()), lock, age };
            version
        })
    }

    pub(super) fn unlock(&self, state: &mut State, run: usize, ids: &[ExecutionId]) {
        let slot = self.slot(run);
        let read = state.leases[slot].read.clone();
        if let Some(lock_holder) = read.lock.held_by(&reference(run).uid) {
            let delivery = lock_holder.delivery(&lock_holder.nonce, run::LedgerOutcome::Started(ids.to_vec()));
            self.put_lock(state, slot, read.lock.released(delivery));
        }
    }

    /// A run that ended, or is gone, gives the lock back as the shell does it. That its executions have ended, no rule looks at.
    pub(super) fn release(&self, state: &mut State, run: usize, late: bool) -> Option<()> {
        let object = &state.runs[run];
        let known = match (&object.present, &object.last) {
            (Some(present), _) if run::settled(present) => present.clone(),
            (None, Some(last)) if run::decided(last) => last.clone(),
            _ => return None,
        };
        let known = self.holder(&known);
        let acquisition = known.own_marker()?.acquisition.clone();
        let slot = self.slot(run);
        let read = state.leases[slot].read.clone();
        let step = run::release(&known, &acquisition, &read)?;
        self.write_as(state, run, &step, if late { StepCourse::Late } else { StepCourse::Well });
        Some(())
    }

    /// Whether the operator may delete the lock. It looks for unused ones so seldom that no pass lives from one of these looks to the next.
    pub(super) fn is_swept(&self, state: &State) -> bool {
        let read = &state.leases[0].read;
        let is_early = state.passes().any(|pass| pass.seen.old) || !state.late.is_empty();
        let exists = |remembered: &run::Remembered| {
            state.runs.iter().filter_map(|object| object.present.as_ref()).any(|present| present.id.uid == remembered.uid)
        };
        (!is_early || self.is(Mutant::SweptEarly))
            && match run::disposal(read, &LIMITS, &RETENTION) {
                Disposal::No => false,
                Disposal::Yes => true,
                Disposal::UnlessOneExists(remembered) => !remembered.iter().any(exists) || self.is(Mutant::SweptWithItsRuns),
            }
    }

    /// What a pass that sees the run like this reads.
    pub(super) fn read(&self, state: &State, run: usize, seen: &Run, step: &Step) -> Answer {
        match step {
            Step::ReadRun => {
                let present = state.runs[run].present.as_ref().filter(|present| present.id == seen.id);
                Answer::Run(present.map(|present| Box::new(self.seen(present))))
            }
            Step::ReadLock => Answer::Lock(Box::new(self.lock_seen(state, run, seen))),
            Step::ReadHolder(lock_holder) if self.scope.split => Answer::Holder(if self.is(Mutant::UnreadableKeepsItsLock) {
                Holder::Present(Box::new(Run { id: lock_holder.run.clone(), ..new_run(whose(lock_holder.run.uid.as_str())) }))
            } else {
                Holder::Unreadable
            }),
            Step::ReadHolder(lock_holder) => Answer::Holder(self.holder_of(state, lock_holder)),
            Step::ReadUndecided => Answer::Undecided(self.is(Mutant::MissingLockMeansLostLedger) || others(state, run).any(run::undecided)),
            Step::ReadClaimed if self.is(Mutant::ClaimsIgnored) => Answer::Claimed(Some(BTreeSet::new())),
            Step::ReadClaimed => {
                let accounts = |other: &&Run| !other.observes || self.is(Mutant::ObservingRunAccounts);
                Answer::Claimed(Some(others(state, run).filter(accounts).flat_map(|present| present.executions.clone()).collect()))
            }
            _ => Answer::Indeterminate,
        }
    }

    /// What the list shows before a trigger.
    pub(super) fn baseline(&self, state: &State) -> Baseline {
        if self.is(Mutant::OldBaseline) {
            return Baseline::default();
        }
        let newest = state.listed().map(|(created, _)| i64::try_from(created).unwrap()).max();
        let ids = state.listed().map(|(_, execution)| hash(&execution.id)).collect();
        Baseline { newest, ids }
    }

    pub(super) fn candidates(&self, state: &State) -> ListedCandidates {
        let candidates = state.listed().map(|(created, execution)| Candidate {
            id: execution.id.clone(),
            hash: hash(&execution.id),
            created: Some(i64::try_from(created).unwrap()),
            manual: true,
            by_us: (execution.id.as_str() != INTRUDER && !self.scope.anonymous) || self.is(Mutant::AnybodysAdopted),
        });
        let is_observed = |id: &ExecutionId| {
            let observers = state.runs.iter().filter_map(|object| object.present.as_ref()).filter(|run| run.observes);
            observers.into_iter().any(|run| run.executions.contains(id))
        };
        let counted = candidates
            .filter(|candidate| candidate.by_us || !self.is(Mutant::OthersAreNotCounted))
            .filter(|candidate| !(self.is(Mutant::ObservingRunAccounts) && is_observed(&candidate.id)));
        let account = self.account(state.left.moved);
        ListedCandidates { candidates: counted.collect(), account, ..ListedCandidates::default() }
    }

    /// A run as the operator is made to see it.
    pub(super) fn seen(&self, run: &Run) -> Run {
        let mut run = run.clone();
        run.is_mirror &= !self.is(Mutant::MirrorTriggers);
        if self.is(Mutant::UnreadMarkerMeansNone) {
            run.unread_marker = None;
        }
        if self.is(Mutant::MarkerWithoutStatusResumes) && run.trigger.is_none() {
            run.marker = None;
        }
        if let Some(marker) = run.marker.as_mut().filter(|_| self.is(Mutant::MarkerTellsNoAnswer)) {
            marker.executed = false;
        }
        if self.is(Mutant::AnswerYieldsToAdopted)
            && let Some(result @ TriggerResult::Accepted(Evidence::Adopted)) = run.trigger.as_mut().map(|trigger| &mut trigger.result)
        {
            *result = TriggerResult::Accepted(Evidence::Answer);
        }
        if self.is(Mutant::RestoredMeansNew) && run.own_marker().is_none() && run.id.uid != reference(whose(&run.id.name)).uid {
            (run.marker, run.trigger) = (None, None);
        }
        run
    }

    fn lock_seen(&self, state: &State, run: usize, seen: &Run) -> LockRead {
        let mut read = state.leases[self.slot(run)].read.clone();
        if self.is(Mutant::LocksHaveNoAge) {
            read.age = None;
        }
        let uid = &seen.id.uid;
        let present = state.runs[run].present.as_ref();
        if self.is(Mutant::NoLookUpInLedger) && seen.own_marker().is_none() {
            read.lock.ledger.retain(|entry| entry.uid != *uid);
        }
        if let Some(lock_holder) = read.lock.holder.as_mut().filter(|lock_holder| lock_holder.run.uid == *uid)
            && let Some(present) = present.filter(|_| self.is(Mutant::OwnLockMeansGoOn))
        {
            lock_holder.run_version.clone_from(&present.version);
        }
        if let Some(marker) = seen.own_marker().filter(|_| self.is(Mutant::GrowsUnderAnyLock) && run::settled(seen))
            && let Some(lock_holder) = read.lock.holder.as_mut()
        {
            (lock_holder.run, lock_holder.acquisition) = (seen.id.clone(), marker.acquisition.clone());
        }
        read
    }

    fn holder_of(&self, state: &State, lock_holder: &LockHolder) -> Holder {
        if self.is(Mutant::StealByTime) {
            return Holder::Gone;
        }
        let present = state.runs[whose(lock_holder.run.uid.as_str())].present.as_ref().filter(|run| run.id == lock_holder.run);
        let Some(run) = present else { return Holder::Gone };
        let mut run = self.holder(run);
        if self.is(Mutant::StealAtOnce) && run::takeover(lock_holder, &Holder::Present(Box::new(run.clone()))) == Takeover::No {
            let result = TriggerResult::Accepted(Evidence::Answer);
            run.trigger = Some(Trigger { nonce: lock_holder.nonce.clone(), attempt: run.attempt, result });
            (run.marker, run.executions) = (None, Vec::new());
        }
        Holder::Present(Box::new(run))
    }

    /// A run as it is made to look to whoever asks whether it is done with the lock.
    fn holder(&self, run: &Run) -> Run {
        let mut run = run.clone();
        match run.trigger.as_mut().map(|trigger| &mut trigger.result) {
            Some(result @ TriggerResult::Accepted(Evidence::Adopted)) if self.is(Mutant::AdoptedGivesWayAtOnce) => {
                *result = TriggerResult::Accepted(Evidence::Answer);
            }
            Some(TriggerResult::Ambiguous { .. }) if self.is(Mutant::AmbiguousNeverGivesWay) => run.trigger = None,
            Some(result @ TriggerResult::Ambiguous { .. }) if self.is(Mutant::AbandonedGivesWayAtOnce) && run.abandoned.is_some() => {
                *result = TriggerResult::Accepted(Evidence::Answer);
            }
            _ => {}
        }
        run.deleting &= !self.is(Mutant::DeletingKeepsItsLock);
        run
    }
}

fn others(state: &State, run: usize) -> impl Iterator<Item = &Run> {
    state
        .runs
        .iter()
        .enumerate()
        .filter(move |(other, _)| *other != run && !state.left.split)
        .filter_map(|(_, object)| object.present.as_deref())
}

/// A write of a record, after which the run as it was before it is remembered.
fn keeping(object: &mut Object, keep: bool, write: impl FnOnce(&mut Object) -> Answer) -> Answer {
    let before = object.present.clone();
    let answer = write(object);
    if keep && matches!(answer, Answer::Written(_)) {
        object.past.extend(before);
    }
    answer
}
