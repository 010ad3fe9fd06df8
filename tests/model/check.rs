//! The checker: explores a world until a promise is broken, and finds out from where its runs cannot end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{
    action::Action,
    promise::{is_over, promises},
    world::{State, World},
};

/// The promise that from every reachable world one can be reached in which every trigger is over.
pub const CAN_END: &str = "every run can end";

/// What is known of the worlds that were seen, by their ids.
#[derive(Debug, Default)]
pub struct Graph {
    steps: Mutex<Vec<(u64, u64)>>,
    over: Mutex<Vec<u64>>,
}

/// What an exploration has found.
#[derive(Debug)]
pub struct Explored {
    /// How many worlds there are.
    pub states: usize,
    /// How long it took.
    pub took: Duration,
    /// The promise that was broken, and by what.
    pub broken: Option<(&'static str, Vec<Action>)>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if is_over(state) {
            locked(&self.graph.over).push(state.id);
        }
        self.happenings(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let after = self.after(state, &action)?;
        locked(&self.graph.steps).push((state.id, after.id));
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises(self)
    }
}

/// The whole machine is for one test at a time, so that its seconds mean something.
pub fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    locked(&MACHINE)
}

/// Explores a world until one of the promises that begin so is broken.
pub fn explore(world: World, promise: &str) -> Explored {
    let began = Instant::now();
    let names = world.properties().into_iter().map(|property| property.name).filter(|name| name.starts_with(promise)).collect();
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyOf(names)).spawn_bfs().join();
    let discovery = checker.discoveries().into_iter().find(|(broken, _)| broken.starts_with(promise));
    let mut broken = discovery.map(|(broken, path)| (broken, path.into_actions()));
    if broken.is_none() && CAN_END.starts_with(promise) {
        broken = dead_end(checker.model()).map(|actions| (CAN_END, actions));
    }
    Explored { states: checker.unique_state_count(), took: began.elapsed(), broken }
}

/// A shortest way to a world from which not every trigger can end.
fn dead_end(world: &World) -> Option<Vec<Action>> {
    let (steps, over) = (locked(&world.graph.steps), locked(&world.graph.over));
    let mut before: HashMap<u64, Vec<u64>> = HashMap::new();
    steps.iter().for_each(|(from, to)| before.entry(*to).or_default().push(*from));
    let mut ends: HashMap<u64, bool> = steps.iter().flat_map(|(from, to)| [(*from, false), (*to, false)]).collect();
    let mut open = over.clone();
    while let Some(id) = open.pop() {
        if !ends.insert(id, true).unwrap_or_default() {
            open.extend(before.get(&id).into_iter().flatten());
        }
    }
    if ends.values().all(|ends| *ends) {
        return None;
    }
    let first = world.first();
    let mut seen: HashMap<u64, Option<(u64, Action)>> = HashMap::from([(first.id, None)]);
    let mut queue = VecDeque::from([first]);
    while let Some(state) = queue.pop_front() {
        if !ends[&state.id] {
            let back = |id: &u64| seen[id].clone();
            let mut way: Vec<_> = std::iter::successors(back(&state.id), |(id, _)| back(id)).map(|(_, action)| action).collect();
            way.reverse();
            return Some(way);
        }
        let mut actions = Vec::new();
        world.happenings(&state, &mut actions);
        for action in actions {
            if let Some(after) = world.after(&state, &action).filter(|after| !seen.contains_key(&after.id)) {
                seen.insert(after.id, Some((state.id, action)));
                queue.push_back(after);
            }
        }
    }
    None
}
