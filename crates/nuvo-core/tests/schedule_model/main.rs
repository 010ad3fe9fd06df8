//! `schedule::next` and the gate, model-checked: one schedule, two operators, and an adversary with a budget. The checker calls the very
//! functions that the operator runs.
//!
//! Time is four moments around two slots; a tick leads from one to the next, and the clock may step back. Every act of a pass is a step of its
//! own, so a process may die, or stall, between any two of them.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it cannot go on"
)]

mod mutant;
mod object;
mod pass;
#[path = "../shared/peak_memory.rs"]
mod peak_memory;
mod promises;
mod scope;
mod state;
mod world;

use mutant::{Mutant, cases};
use peak_memory::peak_memory;
use scope::{SCOPES, Scope};
use stateright::{Checker, HasDiscoveries, Model};
use world::{Action, World};

/// What an exploration has found.
struct Explored {
    states: usize,
    broken: Option<(&'static str, Vec<Action>)>,
}

/// Explores a world until one of the promises that begin so is broken.
fn explore(scope: Scope, mutant: Option<Mutant>, promise: &str) -> Explored {
    let world = World { scope, mutant };
    let names = world.properties().into_iter().map(|property| property.name).filter(|name| name.starts_with(promise)).collect();
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyOf(names)).spawn_bfs().join();
    let discovery = checker.discoveries().into_iter().find(|(broken, _)| broken.starts_with(promise));
    Explored { states: checker.unique_state_count(), broken: discovery.map(|(broken, path)| (broken, path.into_actions())) }
}

/// What has happened, and the world after each of it.
fn story(scope: Scope, actions: &[Action]) -> String {
    let world = World { scope, mutant: None };
    let mut state = world.init_states().remove(0);
    let mut story = format!("{state}");
    for action in actions {
        if let Some(after) = world.next_state(&state, action.clone()) {
            state = after;
        }
        story.push_str(&format!("{action:?}\n{state}"));
    }
    story
}

#[test]
fn every_scope_keeps_its_promises() {
    println!("| what goes wrong | states |\n|---|---|");
    let mut states = 0;
    for (name, scope) in SCOPES {
        let explored = explore(scope.clone(), None, "");
        println!("| {name} | {} |", explored.states);
        if let Some((promise, actions)) = explored.broken {
            panic!("{name}: \"{promise}\" is broken\n{}", story(scope.clone(), &actions));
        }
        states += explored.states;
    }
    println!("| together | {states} |");
    println!("at most {} MiB of memory", peak_memory());
}

#[test]
fn missing_safeguard_breaks_a_promise() {
    println!("| safeguard that is switched off | what breaks | steps to that | states without, with the safeguard |\n|---|---|---|---|");
    let mut unnoticed = Vec::new();
    for (mutant, promise, scope) in cases() {
        let sound = explore(scope.clone(), None, promise);
        assert!(sound.broken.is_none(), "{mutant:?} proves nothing: without it {:?}", sound.broken);
        let explored = explore(scope, Some(mutant), promise);
        match explored.broken {
            Some((_, actions)) => println!("| {mutant:?} | {promise} | {} | {}, {} |", actions.len(), explored.states, sound.states),
            None => unnoticed.push((mutant, promise)),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:#?}");
}
