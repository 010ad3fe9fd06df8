//! The checker: explores a world until a promise is broken, and finds out from where its runs cannot end.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{
    action::Action,
    invariants::{is_over, promises},
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
        if is_over(state, &self.scope) {
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

/// The whole machine is for one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    locked(&MACHINE)
}

/// Explores a world until one of the promises that begin so is broken.
pub fn explore(world: World, promise: &str) -> Explored {
    let names = world.properties().into_iter().map(|property| property.name).filter(|name| name.starts_with(promise)).collect();
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyOf(names)).spawn_bfs().join();
    let discovery = checker.discoveries().into_iter().find(|(broken, _)| broken.starts_with(promise));
    let mut broken = discovery.map(|(broken, path)| (broken, path.into_actions()));
    if broken.is_none() && CAN_END.starts_with(promise) {
        broken = dead_end(checker.model()).map(|actions| (CAN_END, actions));
    }
    Explored { states: checker.unique_state_count(), broken }
}

/// What has happened, and the world after each of it.
pub fn story(world: &World, actions: &[Action]) -> String {
    let mut state = world.first();
    let mut story = format!("{state}");
    for action in actions {
        if let Some(after) = world.after(&state, action) {
            state = after;
        }
        story.push_str(&format!("{action:?}\n{state}"));
    }
    story
}

/// A shortest way to a world from which not every trigger can end.
fn dead_end(world: &World) -> Option<Vec<Action>> {
    let mut steps = std::mem::take(&mut *locked(&world.graph.steps));
    steps.sort_unstable_by_key(|(from, to)| (*to, *from));
    steps.dedup();
    let before = |id: u64| {
        let start = steps.partition_point(|(_, to)| *to < id);
        steps[start..].iter().take_while(move |(_, to)| *to == id).map(|(from, _)| *from)
    };
    let mut open = std::mem::take(&mut *locked(&world.graph.over));
    let mut ends: HashSet<u64> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        open.extend(before(id).filter(|from| ends.insert(*from)));
    }
    let first = world.first();
    if ends.contains(&first.id) && steps.iter().all(|(_, to)| ends.contains(to)) {
        return None;
    }
    let mut seen: HashMap<u64, Option<(u64, Action)>> = HashMap::from([(first.id, None)]);
    let mut queue = VecDeque::from([first]);
    while let Some(state) = queue.pop_front() {
        if !ends.contains(&state.id) {
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
