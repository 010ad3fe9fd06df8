//! What must hold in every world that can be reached.

use std::collections::BTreeSet;

use stateright::Property;

use crate::{object::moment, state::State, world::World};

pub fn promises() -> Vec<Property<World>> {
    vec![
        Property::always("P7: at most one run with an accepted POST for a slot of a schedule", |_, state: &State| {
            let slots: BTreeSet<(u8, i64)> = state.posts.iter().map(|(schedule, slot, _)| (*schedule, *slot)).collect();
            let runs: BTreeSet<_> = state.posts.iter().collect();
            slots.len() == runs.len()
        }),
        Property::always("past: no slot at or before the anchor starts", |_, state: &State| !state.seen.started_past),
        Property::always("claimed: a run whose slot is claimed for it is not refused", |_, state: &State| !state.seen.refused_claimed),
        Property::always("let through: no run is whose slot its schedule does not claim for it", |_, state: &State| {
            !state.seen.let_through_unclaimed
        }),
        Property::always("recorded: a run is created only for a slot that is decided", |_, state: &State| !state.seen.created_undecided),
        Property::always("own: a claim names a run that the schedule has made", |_, state: &State| !state.seen.claimed_foreign),
        Property::always("one at a time: under Forbid no slot is triggered beside a run that goes on", |world: &World, state: &State| {
            !world.scope.forbids || !state.seen.overlapped
        }),
        Property::always("kept: no run is deleted by the operator before it has ended", |_, state: &State| !state.seen.deleted_early),
        Property::always("one object: a slot has at most one run that the operator has made at a time", |_, state: &State| {
            let made = state.runs.iter().filter(|run| run.name.starts_with("s-") && state.made.contains(&run.uid));
            let slots: Vec<_> = made.map(|run| (run.controller, run.slot)).collect();
            slots.iter().collect::<BTreeSet<_>>().len() == slots.len()
        }),
        Property::always("counted: a decided slot is started, missed or pending, and only one of them", |world: &World, state: &State| {
            // An edit or a clock that steps leaves slots out.
            let scope = &world.scope;
            if scope.edits > 0 || scope.steps_back > 0 || scope.recreations > 0 {
                return true;
            }
            let Some(object) = &state.object else { return true };
            let status = object.status();
            let Some(anchor) = status.anchor.as_ref().map(|anchor| anchor.time.0) else { return true };
            let decided_until = status.last_slot.as_ref().map_or(anchor, |last| last.0.max(anchor));
            let decided = decided_until.as_second() / 60 - moment(object.created).as_second() / 60;
            let started = i64::try_from(state.seen.claimed.len()).unwrap();
            let missed = status.missed.map_or(0, |missed| missed.total);
            decided == started + missed + i64::from(status.pending.is_some())
        }),
    ]
}
