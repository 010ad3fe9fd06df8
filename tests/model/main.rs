//! The trigger protocol, model-checked: the checker calls the very functions of the core that the operator runs.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it cannot go on"
)]

mod action;
mod mutant;
mod scope;
mod world;

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use action::Action;
use k8s_openapi::jiff::Timestamp;
use mutant::Mutant;
use nuvo_operator::{
    api::PipelineRun,
    run::{Evidence, ExecutionId, Fate, Nonce, Obstacle, Run, Trigger, Unexecuted, Verdict, parse, recorded, settled, verdict},
};
use scope::Scope;
use stateright::{Checker, HasDiscoveries, Model, Property};
use world::{Course, State, World};

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.happenings(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.after(state, &action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("P1: at most one POST for an attempt", |_, state: &State| one_post_for_each_attempt(state)),
            Property::always("P2: a run shows only what it started", |_, state: &State| own_executions(state)),
        ];
        if self.scope.list_is_prompt() {
            all.push(Property::always("P3: no doubt about what the list shows", |_, state: &State| no_doubt_about_what_is_listed(state)));
        }
        if self.scope.no_doubt_can_arise() {
            all.push(Property::always("P3: no doubt without a cause", |_, state: &State| doubtful(state).next().is_none()));
        }
        all
    }
}

fn one_post_for_each_attempt(state: &State) -> bool {
    let sent = |course: Course| course != Course::Refused;
    state.deliveries.iter().enumerate().all(|(number, one)| {
        state.deliveries.iter().skip(number + 1).all(|other| {
            one.nonce != other.nonce && !(one.run == other.run && one.attempt == other.attempt && sent(one.course) && sent(other.course))
        })
    })
}

fn present(state: &State) -> impl Iterator<Item = &Run> {
    state.runs.iter().filter_map(|object| object.present.as_deref())
}

fn own_executions(state: &State) -> bool {
    state.runs.iter().enumerate().all(|(number, object)| {
        let shown = object.present.iter().flat_map(|run| &run.executions);
        shown.into_iter().all(|id| state.executions.iter().any(|execution| execution.id == *id && execution.run == number))
    })
}

fn doubtful(state: &State) -> impl Iterator<Item = &str> {
    let ambiguous = |run: &&Run| run.trigger.as_ref().is_some_and(|trigger| matches!(trigger.fate, Fate::Ambiguous { .. }));
    present(state).filter(ambiguous).filter_map(|run| run.trigger.as_ref().map(|trigger| trigger.nonce.as_str()))
}

fn no_doubt_about_what_is_listed(state: &State) -> bool {
    doubtful(state).all(|nonce| state.executions.iter().all(|execution| !execution.id.as_str().starts_with(&format!("{nonce}-"))))
}

/// Whether every run has come to an end of its trigger: by a result, or by a question that only a person can answer.
fn is_over(state: &State) -> bool {
    present(state).all(|run| settled(run) || verdict(run, state.lock()) == Verdict::Lost)
}

/// Explores a scope until one of the promises that begin with this word is broken; returns the actions that break it.
fn check(name: &str, world: World, promise: &str) -> Option<(&'static str, Vec<Action>)> {
    let began = Instant::now();
    let promises = world.properties().into_iter().map(|property| property.name).filter(|name| name.starts_with(promise)).collect();
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyOf(promises)).spawn_bfs().join();
    println!("{name:>40}: {:>9} states {:>6.1} s", checker.unique_state_count(), began.elapsed().as_secs_f64());
    checker.discoveries().into_iter().find(|(broken, _)| broken.starts_with(promise)).map(|(broken, path)| (broken, path.into_actions()))
}

fn assert_holds(scopes: impl IntoIterator<Item = (&'static str, Scope)>) {
    for (name, scope) in scopes {
        if let Some((promise, actions)) = check(name, World { scope, mutant: None }, "P") {
            panic!("{name}: \"{promise}\" is broken by\n{actions:#?}");
        }
    }
}

/// From every reachable state a state can be reached in which every trigger is over.
fn assert_can_always_end(name: &str, scope: Scope) {
    let began = Instant::now();
    let world = World { scope, mutant: None };
    let mut numbers: HashMap<u64, u32> = HashMap::new();
    let mut before: Vec<Vec<u32>> = Vec::new();
    let mut over: Vec<u32> = Vec::new();
    let mut queue = VecDeque::new();
    let mut actions = Vec::new();
    let mut number = |state: State, queue: &mut VecDeque<(u32, State)>, before: &mut Vec<Vec<u32>>| {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        *numbers.entry(hasher.finish()).or_insert_with(|| {
            let number = u32::try_from(before.len()).unwrap();
            before.push(Vec::new());
            if is_over(&state) {
                over.push(number);
            }
            queue.push_back((number, state));
            number
        })
    };
    number(world.first(), &mut queue, &mut before);
    while let Some((from, state)) = queue.pop_front() {
        world.happenings(&state, &mut actions);
        for action in actions.drain(..) {
            if let Some(next) = world.after(&state, &action) {
                let to = number(next, &mut queue, &mut before);
                before[to as usize].push(from);
            }
        }
    }
    let mut ends = vec![false; before.len()];
    while let Some(number) = over.pop() {
        if !std::mem::replace(&mut ends[number as usize], true) {
            over.extend(&before[number as usize]);
        }
    }
    println!("{name:>40}: {:>9} states {:>6.1} s, all can end", ends.len(), began.elapsed().as_secs_f64());
    let stuck = ends.iter().filter(|ends| !**ends).count();
    assert_eq!(stuck, 0, "{name}: of {} states, so many cannot end", ends.len());
}

/// One operator, which may die and lose answers.
const ALONE: Scope = Scope { operators: 1, crashes: 1, unanswered: 1, ..Scope::CALM };
/// One run, and two operators that get into each other's way.
const ONE_RUN: Scope = Scope { runs: 1, crashes: 1, ..Scope::CALM };

/// What CI explores.
const STANDARD: [(&str, Scope); 18] = [
    ("nothing goes wrong", Scope::CALM),
    ("a POST without an answer", Scope { unanswered: 1, ..Scope::CALM }),
    ("a crash", Scope { crashes: 1, ..Scope::CALM }),
    ("alone, two crashes", Scope { crashes: 2, unanswered: 2, ..ALONE }),
    ("alone, writes lost", Scope { lost: 2, ..ALONE }),
    ("alone, a write that lands late", Scope { late_writes: 1, ..ALONE }),
    ("alone, a POST that lands late", Scope { late_posts: 1, ..ALONE }),
    ("alone, several executions, slow list", Scope { batches: &[0, 2], lag: true, ..ALONE }),
    ("alone, deletion", Scope { deletions: 1, ..ALONE }),
    ("alone, deletion, slow list", Scope { deletions: 1, lag: true, ..ALONE }),
    ("alone, status wiped", Scope { status_wipes: 1, ..ALONE }),
    ("alone, marker wiped", Scope { marker_wipes: 1, ..ALONE }),
    ("alone, status and marker wiped", Scope { status_wipes: 1, marker_wipes: 1, ..ALONE }),
    ("alone, another attempt", Scope { reruns: 1, ..ALONE }),
    ("alone, refused, slow, stale", Scope { refused: 1, slow: 1, stale: 1, ..ALONE }),
    ("one run, marker wiped", Scope { marker_wipes: 1, ..ONE_RUN }),
    ("one run, status wiped", Scope { status_wipes: 1, ..ONE_RUN }),
    ("one run, foreign edits", Scope { edits: 1, ..ONE_RUN }),
];

#[test]
fn the_promises_hold() {
    assert_holds(STANDARD);
}

#[test]
fn every_run_can_end() {
    for (name, scope) in STANDARD.into_iter().filter(|(name, _)| !name.starts_with("a ")) {
        assert_can_always_end(name, scope);
    }
}

#[test]
fn a_missing_safeguard_is_noticed() {
    let one = Scope { runs: 1, ..Scope::CALM };
    let alone = Scope { operators: 1, ..Scope::CALM };
    let together = Scope { concurrent: true, ..alone.clone() };
    // Who deletes a lock takes the promise away; it still holds if every process writes at once what it knows.
    let lease_deleted = Scope { lease_deletions: 1, brisk: true, ..together.clone() };
    let mutants = [
        (Mutant::NoCompareAtMark, "P1", one.clone()),
        (Mutant::PostAfterConflict, "P1", one.clone()),
        (Mutant::SharedNonce, "P1", Scope { edits: 1, crashes: 1, ..one.clone() }),
        (Mutant::OwnLockMeansGoOn, "P1", Scope { marker_wipes: 1, ..one.clone() }),
        (Mutant::MarkAgain, "P1", Scope { marker_wipes: 1, ..one.clone() }),
        (Mutant::NoCompareAtLock, "P1", Scope { marker_wipes: 1, ..one.clone() }),
        (Mutant::MarkerWithoutStatusResumes, "P1", Scope { status_wipes: 1, ledger_losses: 1, ..one.clone() }),
        (Mutant::NoLookUpInLedger, "P1", Scope { status_wipes: 1, marker_wipes: 1, ..one }),
        (Mutant::AmbiguousLeavesNoEntry, "P1", Scope { unanswered: 1, status_wipes: 1, marker_wipes: 1, ..alone.clone() }),
        (Mutant::UnlockBeforeRecord, "P1", Scope { marker_wipes: 1, crashes: 1, ..alone.clone() }),
        (Mutant::NoCompareAtLock, "P2", Scope { unanswered: 1, ..together.clone() }),
        (Mutant::StealByTime, "P2", Scope { unanswered: 1, ..together.clone() }),
        (Mutant::NoQuarantine, "P2", Scope { unanswered: 2, lag: true, ..alone.clone() }),
        (Mutant::NoQuarantine, "P2", Scope { unanswered: 1, lag: true, deletions: 1, ..alone.clone() }),
        (Mutant::NoLedger, "P2", Scope { unanswered: 1, lag: true, status_wipes: 1, ..alone.clone() }),
        (Mutant::LockForEachRun, "P2", Scope { unanswered: 1, ..together.clone() }),
        (Mutant::FenceAtMark, "P2", Scope { unanswered: 1, slow: 1, ..lease_deleted.clone() }),
        (Mutant::NoFence, "P2", Scope { unanswered: 1, slow: 1, ..lease_deleted }),
        (Mutant::AdoptedGivesWayAtOnce, "P2", Scope { unanswered: 2, batches: &[2], lag: true, ..alone }),
    ];
    let mut unnoticed = Vec::new();
    for (mutant, promise, scope) in mutants {
        let name = format!("{mutant:?}");
        let sound = check("the same without the mutant", World { scope: scope.clone(), mutant: None }, promise);
        assert_eq!(sound, None, "{name} proves nothing here");
        match check(&name, World { scope, mutant: Some(mutant) }, promise) {
            Some((_, actions)) => println!("{:>42}{} steps to break {promise}", "", actions.len()),
            None => unnoticed.push((name, promise)),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:#?}");
}

/// What takes minutes: `cargo test --release -p nuvo-operator --test model -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn the_promises_hold_in_larger_scopes() {
    assert_holds([
        ("a crash and a POST without an answer", Scope { crashes: 1, unanswered: 1, ..Scope::CALM }),
        ("foreign edits", Scope { edits: 1, ..Scope::CALM }),
        ("stale caches", Scope { stale: 1, ..Scope::CALM }),
        ("writes lost", Scope { lost: 1, ..Scope::CALM }),
        ("a write that lands late", Scope { late_writes: 1, ..Scope::CALM }),
        ("refused by nuvo", Scope { refused: 1, ..Scope::CALM }),
        ("refused by nuvo, and written at once", Scope { refused: 1, brisk: true, ..Scope::CALM }),
        ("a slow operator", Scope { slow: 1, ..Scope::CALM }),
        ("deletion", Scope { deletions: 1, ..Scope::CALM }),
        ("marker wiped", Scope { marker_wipes: 1, ..Scope::CALM }),
        ("status wiped", Scope { status_wipes: 1, ..Scope::CALM }),
        ("a POST that lands late", Scope { late_posts: 1, ..Scope::CALM }),
    ]);
}

/// The world writes results in a few lines; the operator writes a whole status. Both must read the same to the protocol.
#[test]
fn the_world_records_what_the_operator_records() {
    let ids = |count: usize| -> Vec<ExecutionId> { (0..count).map(|n| ExecutionId::new(format!("e{n}")).unwrap()).collect() };
    let results = [
        (Fate::Accepted(Evidence::Answer), ids(2), None),
        (Fate::Accepted(Evidence::Adopted), ids(1), None),
        (Fate::Accepted(Evidence::Answer), ids(0), None),
        (Fate::NotExecuted, ids(0), Some(Unexecuted::RetryAfter(Duration::ZERO, Obstacle::Unavailable))),
        (Fate::NotExecuted, ids(0), Some(Unexecuted::Rejected)),
        (Fate::Ambiguous { executed: true }, ids(0), None),
        (Fate::Ambiguous { executed: false }, ids(0), None),
    ];
    for (first, first_ids, first_unexecuted) in &results {
        for (second, second_ids, second_unexecuted) in &results {
            let mut object = operators_run();
            let mut modelled = parse(&object).unwrap();
            for (nonce, fate, ids, unexecuted) in
                [("n1", first, first_ids, first_unexecuted), ("n2", second, second_ids, second_unexecuted)]
            {
                let trigger = Trigger { nonce: Nonce::new(nonce).unwrap(), attempt: 1, fate: fate.clone() };
                object.status = Some(recorded(&object, &trigger, ids, "", *unexecuted, Timestamp::UNIX_EPOCH));
                world::record(&mut modelled, &trigger, ids, *unexecuted);
            }
            assert_eq!(parse(&object).unwrap(), modelled, "{first:?} then {second:?}");
        }
    }
}

fn operators_run() -> PipelineRun {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": { "name": "a", "namespace": "default", "uid": "a", "resourceVersion": "0" },
        "spec": { "pipelineId": "orders" },
    }))
    .unwrap()
}
