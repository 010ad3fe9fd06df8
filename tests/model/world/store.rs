//! What the API server and nuvo make of an operator's reads and writes; and what a mutant makes of them.

use nuvo_operator::run::{
    self, Answer, Baseline, Candidate, Evidence, ExecutionId, Fate, Holder, Lock, LockRead, Marker, Others, Run, Sighting, Step, Tenancy,
};

use super::{Late, Object, State, World, hash, record, reference, whose};
use crate::{action::StepCourse, alike::LOCK_VERSIONS, mutant::Mutant};

impl World {
    pub(super) fn write_as(&self, state: &mut State, run: usize, step: &Step, course: StepCourse) -> Answer {
        match course {
            StepCourse::AnswerLost => {
                state.spend(|left| left.lost -= 1);
                self.write(state, run, step);
                Answer::Unsure
            }
            StepCourse::RequestLost => {
                state.spend(|left| left.lost -= 1);
                Answer::Unsure
            }
            StepCourse::Late => {
                state.spend(|left| left.late_writes -= 1);
                state.late.change(|late| late.push(Late { run: reference(run), step: step.clone() }));
                Answer::Unsure
            }
            _ => self.write(state, run, step),
        }
    }

    pub(super) fn write(&self, state: &mut State, run: usize, step: &Step) -> Answer {
        match step {
            Step::TakeLock { lock, over } => self.write_lock(state, run, lock, over.as_deref()),
            Step::Release { lock, over } => self.write_lock(state, run, lock, Some(over)),
            Step::Mark { marker, over } => state.runs[run].change(|object| self.mark(object, marker, over)),
            Step::Record { trigger, executions, unexecuted, over, .. } => {
                state.runs[run].change(|object| object.write(over, true, |run| record(run, trigger, executions, *unexecuted)))
            }
            _ => Answer::Unsure,
        }
    }

    fn mark(&self, object: &mut Object, marker: &Marker, over: &str) -> Answer {
        let compare = !self.is(Mutant::NoCompareAtMark);
        let answer = object.write(over, compare, |run| run.marker = Some(marker.clone()));
        let undecided = object.present.as_ref().is_some_and(|run| run.marker.is_none() && run.trigger.is_none());
        match answer {
            Answer::Unsure if self.is(Mutant::PostAfterConflict) => {
                object.present.as_ref().map_or(Answer::Missing, |run| Answer::Written(run.version.clone()))
            }
            Answer::Unsure if self.is(Mutant::MarkAgain) && undecided => object.write(over, false, |run| run.marker = Some(marker.clone())),
            answer => answer,
        }
    }

    fn write_lock(&self, state: &mut State, run: usize, lock: &Lock, over: Option<&str>) -> Answer {
        let slot = self.slot(run);
        let compare = !self.is(Mutant::NoCompareAtLock);
        if compare && state.leases[slot].read.version.as_deref() != over {
            return Answer::Unsure;
        }
        let version = self.put_lock(state, slot, lock.clone());
        Answer::Written(version)
    }

    pub(super) fn put_lock(&self, state: &mut State, slot: usize, mut lock: Lock) -> String {
        if self.is(Mutant::NoLedger) {
            lock.ledger.clear();
        }
        if self.is(Mutant::AmbiguousLeavesNoEntry) {
            lock.ledger.retain(|entry| entry.entry != run::Entry::Unknown);
        }
        if self.is(Mutant::UnlockBeforeRecord) {
            while lock.ledger.len() > 1 {
                lock.ledger.pop_front();
            }
        }
        state.leases[slot].change(|lease| {
            lease.writes += 1;
            let version = format!("{}{}", LOCK_VERSIONS[slot], lease.writes);
            lease.read = LockRead { version: Some(version.clone()), lock };
            version
        })
    }

    pub(super) fn unlock(&self, state: &mut State, run: usize, ids: &[ExecutionId]) {
        let slot = self.slot(run);
        let read = state.leases[slot].read.clone();
        if let Some(tenancy) = read.lock.held_by(&reference(run).uid) {
            let delivery = tenancy.delivery(&tenancy.nonce, run::Entry::Started(ids.to_vec()));
            self.put_lock(state, slot, read.lock.released(delivery));
        }
    }

    /// A run that ended, or is gone, gives the lock back as the shell does it. That its executions have ended, no rule looks at.
    pub(super) fn release(&self, state: &mut State, run: usize) -> Option<()> {
        let object = &state.runs[run];
        let known = match (&object.present, &object.last) {
            (Some(present), _) if run::settled(present) => present.clone(),
            (None, Some(last)) if run::decided(last) => last.clone(),
            _ => return None,
        };
        let known = self.holder(&known);
        let tenure = known.own_marker()?.tenure.clone();
        let slot = self.slot(run);
        let read = state.leases[slot].read.clone();
        let step = run::release(&known, &tenure, &read)?;
        self.write(state, run, &step);
        Some(())
    }

    pub(super) fn read(&self, state: &State, run: usize, step: &Step) -> Answer {
        match step {
            Step::ReadRun => Answer::Run(state.runs[run].present.as_ref().map(|present| Box::new(self.seen(present)))),
            Step::ReadLock => Answer::Lock(Box::new(self.lock_seen(state, run))),
            Step::ReadHolder(tenancy) => Answer::Holder(self.holder_of(state, tenancy)),
            Step::ReadOthers => {
                let mut others = Others::default();
                for present in state.runs.iter().enumerate().filter(|(other, _)| *other != run).filter_map(|(_, o)| o.present.as_ref()) {
                    others.include(present, present.executions.clone());
                }
                Answer::Others(others)
            }
            Step::ReadBaseline => {
                let newest = state.listed().map(|(created, _)| i64::try_from(created).unwrap()).max();
                let ids = state.listed().map(|(_, execution)| hash(&execution.id)).collect();
                Answer::Baseline(Some(Baseline { newest, ids }))
            }
            _ => {
                let candidates = state.listed().map(|(created, execution)| Candidate {
                    id: execution.id.clone(),
                    hash: hash(&execution.id),
                    created: Some(i64::try_from(created).unwrap()),
                    manual: true,
                    by_us: true,
                });
                Answer::Candidates(Some(Sighting { candidates: candidates.collect(), after: None }))
            }
        }
    }

    /// A run as the operator is made to see it.
    pub(super) fn seen(&self, run: &Run) -> Run {
        let mut run = run.clone();
        if self.is(Mutant::MarkerWithoutStatusResumes) && run.trigger.is_none() {
            run.marker = None;
        }
        run
    }

    fn lock_seen(&self, state: &State, run: usize) -> LockRead {
        let mut read = state.leases[self.slot(run)].read.clone();
        let uid = reference(run).uid;
        let present = state.runs[run].present.as_ref();
        if self.is(Mutant::NoLookUpInLedger) {
            read.lock.ledger.retain(|entry| entry.uid != uid);
        }
        if let Some(tenancy) = read.lock.tenancy.as_mut().filter(|tenancy| tenancy.holder.uid == uid)
            && let Some(present) = present.filter(|_| self.is(Mutant::OwnLockMeansGoOn))
        {
            tenancy.run_version.clone_from(&present.version);
        }
        read
    }

    fn holder_of(&self, state: &State, tenancy: &Tenancy) -> Holder {
        if self.is(Mutant::StealByTime) {
            return Holder::Gone;
        }
        match &state.runs[whose(tenancy.holder.uid.as_str())].present {
            Some(run) => Holder::Present(Box::new(self.holder(run))),
            None => Holder::Gone,
        }
    }

    fn holder(&self, run: &Run) -> Run {
        let mut run = run.clone();
        if let Some(trigger) = &mut run.trigger
            && trigger.fate == Fate::Accepted(Evidence::Adopted)
            && self.is(Mutant::AdoptedGivesWayAtOnce)
        {
            trigger.fate = Fate::Accepted(Evidence::Answer);
        }
        run
    }
}
