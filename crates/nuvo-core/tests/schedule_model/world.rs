//! The world that the core acts in.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};
use nuvo_core::{
    run::{Scheduled, SlotClaim},
    schedule::{Act, Answer, Facts, Schedule, ScheduledRun, Surroundings, next, slot_claim},
};
use nuvo_crds::{PipelineRun, PipelineScheduleStatus};
use stateright::{Model, Property};

use crate::{
    mutant::Mutant,
    object::{Object, Run, Stage, moment},
    pass::{Known, Pass, Read},
    promises::promises,
    scope::Scope,
    state::{Seen, State},
};

/// The controller of a run that is not the schedule's.
const FOREIGN: u8 = 99;

#[derive(Debug, Clone)]
pub struct World {
    pub scope: Scope,
    pub mutant: Option<Mutant>,
}

/// What happens.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub enum Action {
    Begin(usize),
    Step(usize),
    StepLate(usize),
    Crash(usize),
    Land,
    Gate(u8),
    Post(u8),
    End(u8),
    Delete(u8),
    Tick,
    StepBack,
    Edit,
    DeleteSchedule,
    Collect(u8),
    Recreate { with_status: bool },
    Copy { index: usize, renamed: bool },
    Foreign,
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            time: 0,
            object: Some(Object::new(1, 0, self.scope.forbids)),
            last: None,
            runs: Vec::new(),
            backup: Vec::new(),
            made: BTreeSet::new(),
            cleared: Vec::new(),
            posts: BTreeSet::new(),
            passes: vec![None; self.scope.operators],
            late: None,
            uids: 1,
            left: self.scope.clone(),
            seen: Seen::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for (operator, pass) in state.passes.iter().enumerate() {
            match pass {
                None if state.object.is_some() => actions.push(Action::Begin(operator)),
                None => {}
                Some(pass) => {
                    actions.push(Action::Step(operator));
                    if left.crashes > 0 {
                        actions.push(Action::Crash(operator));
                    }
                    if left.late > 0 && matches!(*pass.next, Act::Create(_)) {
                        actions.push(Action::StepLate(operator));
                    }
                }
            }
        }
        if state.late.is_some() {
            actions.push(Action::Land);
        }
        actions.extend(state.cleared.iter().map(|run| Action::Post(run.uid)));
        for run in &state.runs {
            match run.stage {
                Stage::Waits if !state.cleared.contains(run) => actions.push(Action::Gate(run.uid)),
                Stage::Posted => actions.push(Action::End(run.uid)),
                Stage::Waits | Stage::Ended | Stage::Refused => {}
            }
            if left.deletions > 0 {
                actions.push(Action::Delete(run.uid));
            }
            if state.object.as_ref().is_none_or(|object| object.uid != run.controller) && run.controller != FOREIGN {
                actions.push(Action::Collect(run.uid));
            }
        }
        if state.time < self.scope.last_time {
            actions.push(Action::Tick);
        }
        if left.steps_back > 0 && state.time > 0 {
            actions.push(Action::StepBack);
        }
        if left.edits > 0 && state.object.is_some() {
            actions.push(Action::Edit);
        }
        if left.foreign > 0 {
            actions.push(Action::Foreign);
        }
        if state.object.is_some() && left.recreations > 0 {
            actions.push(Action::DeleteSchedule);
        }
        if state.object.is_none() {
            actions.extend([true, false].map(|with_status| Action::Recreate { with_status }));
        }
        if left.copies > 0 {
            for index in 0..state.backup.len() {
                actions.extend([true, false].map(|renamed| Action::Copy { index, renamed }));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Begin(operator) => self.begin(&mut state, operator)?,
            Action::Step(operator) => self.step(&mut state, operator, false),
            Action::StepLate(operator) => {
                state.left.late -= 1;
                self.step(&mut state, operator, true);
            }
            Action::Crash(operator) => {
                state.left.crashes -= 1;
                state.passes[operator] = None;
            }
            Action::Land => {
                let run = state.late.take()?;
                if state.runs.iter().all(|known| known.name != run.name) {
                    let run = state.named(run);
                    state.add(run);
                }
            }
            Action::Gate(uid) => self.gate(&mut state, uid),
            Action::Post(uid) => {
                let at = state.cleared.iter().position(|run| run.uid == uid)?;
                let run = state.cleared.remove(at);
                state.posts.insert((run.controller, run.slot, run.uid));
                let goes_on = |other: &Run| other.controller == run.controller && other.stage == Stage::Posted;
                let is_beside_another = state.runs.iter().any(goes_on);
                if let Some(run) = state.runs.iter_mut().find(|run| run.uid == uid) {
                    run.stage = Stage::Posted;
                    state.seen.overlapped |= is_beside_another;
                }
            }
            Action::End(uid) => state.runs.iter_mut().find(|run| run.uid == uid)?.stage = Stage::Ended,
            Action::Delete(uid) => {
                state.left.deletions -= 1;
                state.remove(uid);
            }
            Action::Collect(uid) => state.remove(uid),
            Action::Tick => state.time += 1,
            Action::StepBack => (state.left.steps_back, state.time) = (state.left.steps_back - 1, state.time - 1),
            Action::Edit => {
                state.left.edits -= 1;
                let object = state.object.as_mut()?;
                object.suspend = !object.suspend;
                object.generation += 1;
            }
            Action::DeleteSchedule => {
                state.left.recreations -= 1;
                state.last = state.object.take();
            }
            Action::Recreate { with_status } => {
                let last = state.last.clone()?;
                let mut object = Object::new(last.uid + 1, state.time, self.scope.forbids);
                if with_status {
                    object.status = last.status;
                }
                state.object = Some(object);
            }
            Action::Copy { index, renamed } => {
                state.left.copies -= 1;
                let mut run = state.backup[index].clone();
                if renamed {
                    run.name = format!("copy-{}", run.name);
                }
                if state.runs.iter().any(|known| known.name == run.name) {
                    return None;
                }
                run.stage = Stage::Waits;
                let run = state.named(run);
                state.add(run);
            }
            Action::Foreign => {
                state.left.foreign -= 1;
                let slot = moment(1).as_second();
                let name = nuvo_core::schedule::run_name("s", moment(1));
                if state.runs.iter().any(|run| run.name == name) {
                    return None;
                }
                let run = state.named(Run { name, uid: 0, controller: FOREIGN, slot, stage: Stage::Ended });
                state.add(run);
            }
        }
        // Operators are alike.
        state.passes.sort_by_cached_key(|pass| {
            let mut hasher = DefaultHasher::new();
            pass.hash(&mut hasher);
            hasher.finish()
        });
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises()
    }
}

impl World {
    /// The object as the core sees it.
    fn shown(&self, object: &Object) -> Schedule {
        let mut object = object.clone();
        let mut status = object.status();
        match (self.mutant, &mut status.anchor) {
            (Some(Mutant::AnchorIncluded), Some(anchor)) => anchor.time = Time(anchor.time.0 - SignedDuration::from_secs(1)),
            (Some(Mutant::PendingOverwritten), Some(_)) => status.pending = None,
            (Some(Mutant::ForbidIgnored), _) => object.forbids = false,
            _ => return object.seen(),
        }
        object.set_status(&status);
        object.seen()
    }

    /// The run as the core sees it.
    fn shown_run(&self, run: &Run) -> ScheduledRun {
        let is_over = self.mutant == Some(Mutant::EndNotAwaited) && run.stage == Stage::Posted;
        if is_over { Run { stage: Stage::Ended, ..run.clone() }.seen() } else { run.seen() }
    }

    fn begin(&self, state: &mut State, operator: usize) -> Option<()> {
        let object = state.object.clone()?;
        let facts = Facts::new(
            self.shown(&object),
            state.runs.iter().map(|run| self.shown_run(run)).collect(),
            moment(state.time),
            Surroundings { is_selected: true, ..Surroundings::default() },
        );
        let next = next(&facts);
        if matches!(next, Act::Done { .. }) {
            return None;
        }
        let known = Known {
            time: state.time,
            object,
            is_fresh: false,
            runs: state.runs.clone(),
            is_listed: false,
            looks: BTreeMap::new(),
            is_over: false,
        };
        state.passes[operator] = Some(Pass { facts: Arc::new(facts), next: Arc::new(next), known });
        Some(())
    }

    /// One act of a pass.
    fn step(&self, state: &mut State, operator: usize, is_late: bool) {
        let Some(mut pass) = state.passes[operator].take() else { return };
        let (read, answer) = self.carry_out(state, &pass, is_late);
        let facts = Arc::make_mut(&mut pass.facts);
        facts.learn(&pass.next, answer);
        facts.refresh(moment(state.time), None);
        pass.known.learn(state.time, read);
        let next = next(facts);
        if !matches!(next, Act::Done { .. }) {
            state.passes[operator] = Some(Pass { next: Arc::new(next), ..pass });
        }
    }

    fn carry_out(&self, state: &mut State, pass: &Pass, is_late: bool) -> (Read, Answer) {
        match &*pass.next {
            Act::ReadSchedule => {
                let seen = state.object.as_ref().map(|object| Box::new(self.shown(object)));
                (Read::Schedule(state.object.clone()), Answer::Schedule(seen))
            }
            Act::ListRuns => (Read::Runs(state.runs.clone()), Answer::Runs(state.runs.iter().map(|run| self.shown_run(run)).collect())),
            Act::ReadRun(name) => {
                let run = state.runs.iter().find(|run| run.name == *name).cloned();
                let mut seen = run.as_ref().map(|run| Box::new(self.shown_run(run)));
                if let (Some(Mutant::AnyOwner), Some(seen), Some(object)) = (self.mutant, &mut seen, &state.object) {
                    seen.controller = Some(object.uid.to_string());
                }
                (Read::Run(name.clone(), run), Answer::Run(seen))
            }
            Act::Write(change) => self.write(state, pass, &change.status),
            Act::Create(run) => self.create(state, run, is_late),
            Act::Delete { uid, .. } => {
                let uid = uid.parse().unwrap();
                state.seen.deleted_early |=
                    state.runs.iter().any(|run| run.uid == uid && matches!(run.stage, Stage::Waits | Stage::Posted));
                state.remove(uid);
                (Read::Deleted(uid), Answer::Done)
            }
            Act::Done { .. } => (Read::Nothing, Answer::Done),
        }
    }

    fn create(&self, state: &mut State, object: &PipelineRun, is_late: bool) -> (Read, Answer) {
        let mut object = object.clone();
        (object.metadata.uid, object.metadata.resource_version) = (Some(String::new()), Some(String::new()));
        object.metadata.creation_timestamp = Some(Time(moment(0)));
        let wanted = ScheduledRun::of(&object).unwrap();
        let mut run = Run {
            name: wanted.name,
            uid: 0,
            controller: wanted.controller.unwrap().parse().unwrap(),
            slot: wanted.slot.unwrap().as_second(),
            stage: Stage::Waits,
        };
        let decided =
            state.object.as_ref().filter(|object| object.uid == run.controller).map(|object| object.seen().record.decided_until());
        state.seen.created_undecided |= decided.is_some_and(|decided| decided.is_none_or(|decided| decided < run.at()));
        if self.mutant == Some(Mutant::RandomName) {
            run.name = format!("{}-{}", run.name, state.uids);
        }
        if is_late {
            state.late = Some(run);
            return (Read::Nothing, Answer::Unclear);
        }
        if state.runs.iter().any(|known| known.name == run.name) {
            return (Read::Exists(run.name), Answer::Exists);
        }
        let run = state.named(run);
        state.made.insert(run.uid);
        state.add(run.clone());
        let seen = Box::new(run.seen());
        (Read::Run(run.name.clone(), Some(run)), Answer::Run(Some(seen)))
    }

    /// Compare and swap. An object that is the same as before is taken for the version that was read.
    fn write(&self, state: &mut State, pass: &Pass, wanted: &PipelineScheduleStatus) -> (Read, Answer) {
        let Some(mut object) = state.object.clone() else { return (Read::Nothing, Answer::Schedule(None)) };
        let mut status = wanted.clone();
        let present = object.status();
        let is_first_step = status.pending.is_some() && status.pending != present.pending;
        let is_mine = pass.known.object.uid == object.uid;
        if object != pass.known.object {
            if self.mutant != Some(Mutant::PendingRevived) || !is_mine || status.pending.is_none() {
                return (Read::Nothing, Answer::Unclear);
            }
            status = PipelineScheduleStatus { pending: wanted.pending.clone(), ..present.clone() };
        }
        if self.mutant == Some(Mutant::CreateBeforeIntent)
            && is_first_step
            && let Some(pending) = &status.pending
        {
            let run = Run {
                name: pending.run_name.clone(),
                uid: 0,
                controller: object.uid,
                slot: pending.slot.0.as_second(),
                stage: Stage::Waits,
            };
            let decided = object.seen().record.decided_until();
            state.seen.created_undecided |= decided.is_none_or(|decided| decided < run.at());
            if state.runs.iter().all(|known| known.name != run.name) {
                let run = state.named(run);
                state.add(run);
            }
        }
        if let (Some(Mutant::AnchorIncluded), Some(anchor), Some(known)) = (self.mutant, &mut status.anchor, &present.anchor)
            && anchor.time.0 == known.time.0 - SignedDuration::from_secs(1)
        {
            anchor.time = known.time.clone();
        }
        if self.mutant == Some(Mutant::ClaimOverwritten) {
            for claim in &present.claims {
                let now = state.runs.iter().find(|run| run.name == claim.run_name && run.uid.to_string() != claim.run_uid);
                if let Some(run) = now {
                    status.claims.retain(|kept| kept.slot != claim.slot);
                    status.claims.push(nuvo_crds::Claim { run_uid: run.uid.to_string(), ..claim.clone() });
                }
            }
        }
        if let (Some(pending), Some(anchor), true) = (&status.pending, &status.anchor, is_first_step) {
            state.seen.started_past |= pending.slot.0 <= anchor.time.0;
        }
        for claim in status.claims.iter().filter(|claim| !present.claims.contains(claim)) {
            state.seen.claimed.insert((object.uid, claim.slot.0.as_second()));
            let is_own = |run: &Run| run.uid.to_string() == claim.run_uid && run.controller == object.uid;
            let is_known = state.runs.iter().any(|run| run.uid.to_string() == claim.run_uid);
            state.seen.claimed_foreign |= is_known && !state.runs.iter().any(is_own);
        }
        object.set_status(&status);
        let seen = Box::new(self.shown(&object));
        state.object = Some(object.clone());
        (Read::Schedule(Some(object)), Answer::Schedule(Some(seen)))
    }

    fn gate(&self, state: &mut State, uid: u8) {
        let Some(run) = state.runs.iter().find(|run| run.uid == uid).cloned() else { return };
        let read = |object: Option<&Object>| {
            let schedule = object.map(Object::seen);
            let made_by = Scheduled { slot: run.at(), schedule: "s".to_owned(), uid: run.controller.to_string() };
            slot_claim(schedule.as_ref(), &made_by, &run.name, &run.uid.to_string())
        };
        let real = read(state.object.as_ref());
        let claim = match self.mutant {
            Some(Mutant::NoGate) => SlotClaim::Claimed,
            Some(Mutant::GateReadsCache) if state.last.is_some() => read(state.last.as_ref()),
            Some(Mutant::AbsenceIsPermission) => {
                let claims = state.object.as_ref().map(|object| object.status().claims).unwrap_or_default();
                if claims.iter().all(|claim| claim.slot.0 != run.at()) { SlotClaim::Claimed } else { real }
            }
            _ => real,
        };
        match claim {
            SlotClaim::Claimed => {
                state.seen.let_through_unclaimed |= real != SlotClaim::Claimed;
                state.cleared.push(run);
                state.cleared.sort_by_key(|run| run.uid);
            }
            SlotClaim::NotClaimed => {
                state.seen.refused_claimed |= real == SlotClaim::Claimed;
                if let Some(run) = state.runs.iter_mut().find(|run| run.uid == uid) {
                    run.stage = Stage::Refused;
                }
            }
            SlotClaim::Undecided => {}
        }
    }
}
