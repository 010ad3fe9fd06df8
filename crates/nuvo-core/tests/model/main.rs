//! `run::next`, model-checked: the checker calls the very function that the operator runs.
//!
//! Two scopes of that function are explored. The protocol: how a trigger becomes at most one POST (`STANDARD` in `bounds.rs`). The life:
//! status writes, retries, reruns, expiry, deletion, and finalizers that keep an object without end (`LIVES`).
//!
//! `cargo test -p nuvo-core --test model -- --nocapture` explores both in about a minute on two cores, and prints a table and the memory that
//! it took. `MODEL_SCOPE=protocol` and `MODEL_SCOPE=life` explore one of them.
//! `MODEL_SCOPE=large cargo test --release -p nuvo-core --test model every_scope -- --nocapture` goes on with the large scope of the protocol.
//! Every row is explored to its end: the promises (`invariants.rs`) in every world that can be reached, and from every one of them a world in
//! which every run has ended (backward reachability, `check.rs`).
//!
//! The protocol:
//!
//! | what goes wrong | standard scope | large scope |
//! |---|---|---|
//! | crash; write lost, its answer lost, or late; 409 by a foreign edit; stale cache; refusal; slow, ending or leaving operator; deletion; status wiped; marker wiped; pass broken off; marker refused for good; lock deleted | one of them, 2 runs and 2 operators | each but the last three with a crash, 2 runs and 2 operators |
//! | POST whose answer is lost or does not tell the ids; POST that lands late; 0 to 2 executions; list that lags | one POST, 2 runs and 2 operators, 0 or 2 executions with a prompt list | with a crash, a deletion or a wipe; two POSTs; 0 to 2 executions with a list that lags |
//! | status and marker wiped | 2 runs and 1 operator, 1 run and 2 operators | 2 runs and 2 operators |
//! | another attempt | the same | with a crash, 2 runs and 2 operators |
//! | ledger lost; no list, or a short one; an execution of another client; a person's answer; `onAmbiguousTrigger: Adopt` | with a crash and a lost answer, 2 runs and 1 operator | |
//! | suspended for good; without its account for good | with a crash and another fault, 2 runs and 1 operator; alone, 2 runs and 2 operators | |
//! | suspended; restored from a backup; an earlier record put back | 2 runs (the last: 1) and 1 operator | 2 runs and 2 operators |
//! | both runs at once in one process | | with a crash or a lost answer, 2 runs and 2 operators |
//!
//! In the rows of the protocol with one operator it also crashes and loses an answer, twice where the table that is printed says so.

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
mod bounds;
mod check;
mod invariants;
mod mutant;
#[path = "../shared/peak_memory.rs"]
mod peak_memory;
mod symmetry;
mod world;

use std::time::Duration;

use bounds::{LARGE, LIVES, STANDARD};
use check::{alone, explore, story};
use k8s_openapi::jiff::Timestamp;
use nuvo_core::run::{Evidence, ExecutionId, FollowUp, Nonce, Obstacle, Trigger, TriggerResult, Unexecuted, parse, recorded};
use nuvo_crds::PipelineRun;
use peak_memory::peak_memory;
use world::World;

#[test]
fn every_scope_keeps_its_promises() {
    let _alone = alone();
    let scopes = match std::env::var("MODEL_SCOPE").as_deref() {
        Ok("large") => [STANDARD, LIVES, LARGE].concat(),
        Ok("standard") | Err(_) => [STANDARD, LIVES].concat(),
        Ok("protocol") => STANDARD.to_vec(),
        Ok("life") => LIVES.to_vec(),
        Ok(other) => panic!("MODEL_SCOPE is standard, protocol, life or large, not {other}"),
    };
    println!("| what goes wrong | runs | operators | states |\n|---|---|---|---|");
    let mut states = 0;
    for (name, scope) in scopes {
        let (runs, operators) = (scope.runs, scope.operators);
        let explored = explore(World::new(scope.clone(), None), "");
        println!("| {name} | {runs} | {operators} | {} |", explored.states);
        if let Some((promise, actions)) = explored.broken {
            panic!("{name}: \"{promise}\" is broken\n{}", story(&World::new(scope, None), &actions));
        }
        states += explored.states;
    }
    println!("| together | | | {states} |");
    println!("at most {} MiB of memory", peak_memory());
}

#[test]
fn missing_safeguard_breaks_a_promise() {
    let _alone = alone();
    println!("| safeguard that is switched off | what breaks | steps to that | states without, with the safeguard |\n|---|---|---|---|");
    let mut unnoticed = Vec::new();
    for (mutant, promise, scope) in mutant::cases() {
        let sound = explore(World::new(scope.clone(), None), promise);
        assert!(sound.broken.is_none(), "{mutant:?} proves nothing: without it {:?}", sound.broken);
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
fn recorded_result_reads_the_same_in_the_model() {
    let ids = |count: usize| -> Vec<ExecutionId> { (0..count).map(|n| ExecutionId::new(format!("e{n}")).unwrap()).collect() };
    let results = [
        (TriggerResult::Accepted(Evidence::Answer), ids(2), FollowUp::Nothing),
        (TriggerResult::Accepted(Evidence::Adopted), ids(1), FollowUp::Nothing),
        (TriggerResult::Accepted(Evidence::Answer), ids(0), FollowUp::Nothing),
        (TriggerResult::NotExecuted, ids(0), FollowUp::Unexecuted(Unexecuted::RetryAfter(Duration::ZERO, Obstacle::Unavailable))),
        (TriggerResult::NotExecuted, ids(0), FollowUp::Unexecuted(Unexecuted::Rejected)),
        (TriggerResult::Ambiguous { executed: true }, ids(0), FollowUp::Nothing),
        (TriggerResult::Ambiguous { executed: false }, ids(0), FollowUp::OpenFor(Duration::from_secs(1))),
        (TriggerResult::Ambiguous { executed: false }, ids(0), FollowUp::NextAttempt),
    ];
    for (first, first_ids, first_follow_up) in &results {
        for (second, second_ids, second_follow_up) in &results {
            let mut object = operators_run();
            let mut modelled = parse(&object).unwrap();
            for (nonce, result, ids, follow_up) in [("n1", first, first_ids, first_follow_up), ("n2", second, second_ids, second_follow_up)]
            {
                let attempt = modelled.attempt;
                let trigger = Trigger { nonce: Nonce::new(nonce).unwrap(), attempt, result: result.clone() };
                object.status = Some(recorded(&object, &trigger, ids, "", *follow_up, Timestamp::UNIX_EPOCH));
                world::record(&mut modelled, &trigger, ids, *follow_up);
            }
            assert_eq!(parse(&object).unwrap(), modelled, "{first:?} then {second:?}");
        }
    }
}

fn operators_run() -> PipelineRun {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": { "name": "a", "namespace": "default", "uid": "a", "resourceVersion": "0" },
        "spec": { "pipelineId": "orders", "onAmbiguousTrigger": "Retrigger" },
    }))
    .unwrap()
}
