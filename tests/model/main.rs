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
mod alike;
mod check;
mod mutant;
mod promise;
mod scope;
mod world;

use std::time::Duration;

use check::{alone, explore};
use k8s_openapi::jiff::Timestamp;
use nuvo_operator::{
    api::PipelineRun,
    run::{Evidence, ExecutionId, Fate, Nonce, Obstacle, Trigger, Unexecuted, parse, recorded},
};
use scope::Scope;
use world::World;

/// One operator, which may die and lose answers.
const ALONE: Scope = Scope { operators: 1, crashes: 1, unanswered: 1, ..Scope::CALM };
/// One run, and two operators that get into each other's way.
const ONE_RUN: Scope = Scope { runs: 1, crashes: 1, ..Scope::CALM };
/// One run, and two operators of which one goes away.
const LEFT: Scope = Scope { runs: 1, leavers: 1, ..Scope::CALM };

/// What CI explores.
const STANDARD: [(&str, Scope); 26] = [
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
    ("alone, refused, marker wiped", Scope { refused: 1, marker_wipes: 1, ..ALONE }),
    ("alone, refused, marker wiped, another attempt", Scope { runs: 1, refused: 1, marker_wipes: 1, reruns: 1, ..ALONE }),
    ("one run, refused", Scope { refused: 1, ..ONE_RUN }),
    ("one run, marker wiped", Scope { marker_wipes: 1, ..ONE_RUN }),
    ("one run, status wiped", Scope { status_wipes: 1, ..ONE_RUN }),
    ("one run, foreign edits", Scope { edits: 1, ..ONE_RUN }),
    // What one process leaves behind, another one brings to its end, whatever it remembers: nobody has to die for that.
    ("left, refused", Scope { refused: 1, ..LEFT }),
    ("left, a POST without an answer", Scope { unanswered: 1, ..LEFT }),
    ("left, refused, marker wiped", Scope { refused: 1, marker_wipes: 1, ..LEFT }),
    ("left, refused, status wiped", Scope { refused: 1, status_wipes: 1, ..LEFT }),
    ("left, refused, deletion", Scope { refused: 1, deletions: 1, ..LEFT }),
];

#[test]
fn the_promises_hold() {
    let _alone = alone();
    println!("| what goes wrong | runs | operators | states | seconds |\n|---|---|---|---|---|");
    for (name, scope) in STANDARD {
        let (runs, operators) = (scope.runs, scope.operators);
        let explored = explore(World::new(scope, None), "");
        println!("| {name} | {runs} | {operators} | {} | {:.1} |", explored.states, explored.took.as_secs_f64());
        assert!(explored.broken.is_none(), "{name}: {:#?}", explored.broken);
    }
}

#[test]
fn a_missing_safeguard_is_noticed() {
    let _alone = alone();
    println!("| safeguard that is switched off | what breaks | steps to that | states without, with the safeguard |\n|---|---|---|---|");
    let mut unnoticed = Vec::new();
    for (mutant, promise, scope) in mutant::cases() {
        let sound = explore(World::new(scope.clone(), None), promise);
        assert!(sound.broken.is_none(), "{mutant:?} proves nothing here: {:#?}", sound.broken);
        let explored = explore(World::new(scope, Some(mutant)), promise);
        match explored.broken {
            Some((_, actions)) => println!("| {mutant:?} | {promise} | {} | {}, {} |", actions.len(), explored.states, sound.states),
            None => unnoticed.push((mutant, promise)),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:#?}");
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
