use serde_json::{Value, json};

use super::*;
use crate::controller::run_cache;
use nuvo_core::run::Uid;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn run(name: &str, second: u8, fields: &Value) -> CachedRun {
    let mut run = json!({
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        },
        "spec": { "pipelineId": "orders" },
        "status": { "phase": "Pending" },
    });
    for part in ["metadata", "spec", "status"] {
        for (key, value) in fields[part].as_object().into_iter().flatten() {
            run[part][key] = value.clone();
        }
    }
    serde_json::from_value(run).unwrap()
}

fn waiting(name: &str, second: u8) -> CachedRun {
    run(name, second, &Value::Null)
}

fn accepted(name: &str, second: u8) -> CachedRun {
    let trigger = json!({ "nonce": "n", "attempt": 1, "state": "Accepted", "evidence": "Answer" });
    run(name, second, &json!({ "status": { "phase": "Running", "trigger": trigger, "attempt": 1 } }))
}

fn names(refs: &[ObjectRef<PipelineRun>]) -> Vec<&str> {
    refs.iter().map(|run| run.name.as_str()).collect()
}

fn older(index: &RunIndex, name: &str, second: u8) -> Option<String> {
    index.older(&waiting(name, second).whole().unwrap(), &orders())
}

fn orders() -> PipelineId {
    PipelineId::new("orders").unwrap()
}

#[test]
fn oldest_run_goes_first_and_the_next_one_is_named() {
    let index = RunIndex::default();
    for object in [waiting("c", 3), waiting("a", 1), waiting("b", 2)] {
        index.put(&object, NOW);
    }
    let older = |name, second| older(&index, name, second);
    assert_eq!([older("a", 1), older("b", 2), older("c", 3)], [None, Some("a".into()), Some("a".into())]);
    let change = index.put(&accepted("a", 1), NOW);
    assert_eq!((names(&change.next), &change.settled), (vec!["b"], &Some(orders())));
    assert_eq!([older("b", 2), older("c", 3)], [None, Some("b".into())]);
    assert_eq!(index.put(&accepted("a", 1), NOW), Change::default(), "no change, no next one");
    let change = index.remove(&waiting("b", 2));
    assert_eq!((names(&change.next), &change.settled), (vec!["c"], &Some(orders())));
    let change = index.remove(&waiting("c", 3));
    assert_eq!((names(&change.next), &change.settled), (vec![], &Some(orders())));
    assert_eq!(index.remove(&waiting("c", 3)), Change::default());
}

#[test]
fn runs_of_the_same_second_go_in_the_order_of_their_uids() {
    let index = RunIndex::default();
    index.put(&waiting("b", 1), NOW);
    index.put(&waiting("a", 1), NOW);
    assert_eq!(older(&index, "b", 1), Some("a".into()));
    assert_eq!(older(&index, "a", 1), None);
}

#[test]
fn run_that_cannot_be_triggered_is_ahead_of_no_other() {
    let elsewhere = [
        json!({ "spec": { "suspend": true } }),
        json!({ "spec": { "executionId": "e1" } }),
        json!({ "spec": { "pipelineId": "others" } }),
        json!({ "spec": { "pipelineId": "not a pipeline" } }),
        json!({ "spec": { "accountRef": { "name": "other" } } }),
        json!({ "metadata": { "namespace": "other" } }),
        json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:01:00Z" } }),
        json!({ "status": { "completionTime": "2026-01-01T00:01:00Z" } }),
    ];
    for fields in elsewhere {
        let index = RunIndex::default();
        index.put(&run("a", 1, &fields), NOW);
        assert_eq!(older(&index, "b", 2), None, "{fields}");
        // It steps back, and the next one is named.
        let index = RunIndex::default();
        index.put(&waiting("a", 1), NOW);
        index.put(&waiting("b", 2), NOW);
        if fields["metadata"]["namespace"].is_null() {
            assert_eq!(names(&index.put(&run("a", 1, &fields), NOW).next), ["b"], "{fields}");
        }
    }
}

#[test]
fn run_that_is_put_before_others_names_no_next_one() {
    let index = RunIndex::default();
    index.put(&waiting("b", 2), NOW);
    assert_eq!(index.put(&waiting("a", 1), NOW), Change::default());
    assert_eq!(older(&index, "b", 2), Some("a".into()));
}

#[test]
fn new_list_replaces_the_runs_of_its_namespace() {
    let index = RunIndex::default();
    let there = run("a", 1, &json!({ "metadata": { "namespace": "other" } }));
    for object in [&waiting("a", 1), &waiting("b", 2), &there] {
        index.put(object, NOW);
    }
    index.replace(Some("team"), [&waiting("b", 2), &waiting("c", 3)], NOW);
    assert_eq!((older(&index, "b", 2), index.phases()), (None, vec![("Pending", 3)]));
    assert_eq!(older(&index, "c", 3), Some("b".into()));
    index.replace(None, [&accepted("c", 3)], NOW);
    assert_eq!((older(&index, "d", 4), index.accounts().len()), (None, 1));
    index.replace(None, [], NOW);
    let state = index.0.lock();
    assert!(state.ages.values().all(BTreeSet::is_empty));
    assert!(state.runs.is_empty() && state.accounts.is_empty() && state.phases.values().all(|count| *count == 0));
}

#[test]
fn undecided_run_is_known_until_its_result_is_there() {
    let index = RunIndex::default();
    let me = |name: &str| RunRef { uid: Uid::new(format!("uid-{name}")).unwrap(), namespace: "team".into(), name: name.into() };
    let marked = |result: &Value| {
        let marker = json!({ "uid": "uid-a", "namespace": "team", "name": "a", "nonce": "n", "tenure": "n", "attempt": 1 }).to_string();
        let status = json!({ "phase": "Triggering", "attempt": 1, "trigger": result });
        run("a", 1, &json!({ "metadata": { "annotations": { "nuvo.dev/trigger": marker } }, "status": status }))
    };
    let known = || [index.another_is_undecided(&orders(), &me("b")), index.another_is_undecided(&orders(), &me("a"))];
    index.put(&waiting("a", 1), NOW);
    assert_eq!(known(), [false, false], "it may not have a POST out");
    index.put(&marked(&Value::Null), NOW);
    assert_eq!(known(), [true, false]);
    assert!(!index.another_is_undecided(&PipelineId::new("other").unwrap(), &me("b")));
    index.put(&marked(&json!({ "nonce": "n", "attempt": 1, "state": "Accepted", "evidence": "Answer" })), NOW);
    assert_eq!(known(), [false, false]);
    index.replace(None, [&marked(&Value::Null)], NOW);
    assert_eq!(known(), [true, false]);
    index.remove(&waiting("a", 1));
    assert!(!known()[0] && index.0.lock().undecided.is_empty());
}

#[test]
fn run_that_waits_is_known_to_the_others_of_its_pipeline() {
    let index = RunIndex::default();
    let me = |name: &str| RunRef { uid: Uid::new("u").unwrap(), namespace: "team".to_owned(), name: name.to_owned() };
    let known = || ["a", "b"].map(|name| index.another_waits(&orders(), &me(name)));
    index.put(&accepted("a", 1), NOW);
    assert_eq!(known(), [false, false]);
    index.put(&waiting("b", 2), NOW);
    assert_eq!(known(), [true, false], "no run waits for itself");
    assert!(!index.another_waits(&PipelineId::new("other").unwrap(), &me("a")));
    index.put(&accepted("b", 2), NOW);
    assert_eq!(known(), [false, false]);
}

#[test]
fn account_has_its_runs_until_they_are_at_rest() {
    let index = RunIndex::default();
    let mut ended = run_cache::tests::ended("Succeeded", "True");
    let account = AccountKey::of(&ended);
    ended.metadata.generation = Some(2);
    index.put(&run_cache::tests::cached(&ended), NOW);
    assert_eq!((names(&index.active_runs(&account)), index.accounts()), (vec!["orders-2026-01-01"], vec![account.clone()]));
    ended.metadata.generation = Some(1);
    let rests = run_cache::tests::cached(&ended);
    assert!(rests.whole().is_none());
    index.put(&rests, NOW);
    assert_eq!((index.active_runs(&account).len(), index.accounts().len(), index.phases()), (0, 0, vec![("Succeeded", 1)]));
    index.remove(&rests);
    assert_eq!(index.phases(), [("Succeeded", 0)]);
}

#[test]
fn oldest_run_of_a_phase_is_one_that_is_not_at_rest() {
    let index = RunIndex::default();
    let second = |second: u8| format!("2026-01-01T00:00:{second:02}Z").parse::<Timestamp>().unwrap();
    let oldest = || {
        let mut oldest = index.oldest();
        oldest.sort_unstable();
        oldest
    };
    assert_eq!(oldest(), []);
    let unseen = run("c", 1, &json!({ "status": { "phase": null } }));
    for object in [waiting("b", 3), waiting("a", 2), accepted("d", 4), unseen.clone()] {
        index.put(&object, NOW);
    }
    assert_eq!(oldest(), [("Pending", second(1)), ("Running", second(4))], "a run without a status is Pending");
    index.remove(&unseen);
    index.put(&accepted("a", 2), NOW);
    assert_eq!(oldest(), [("Pending", second(3)), ("Running", second(2))]);
    let rests = run_cache::tests::cached(&run_cache::tests::ended("Succeeded", "True"));
    index.put(&rests, NOW);
    index.remove(&waiting("b", 3));
    assert_eq!(oldest(), [("Running", second(2))]);
}

#[test]
fn run_whose_passes_fail_is_ahead_of_no_other_and_behind_none() {
    let index = RunIndex::default();
    for object in [waiting("a", 1), waiting("b", 2), waiting("c", 3)] {
        index.put(&object, NOW);
    }
    let b = RunRef { uid: Uid::new("uid-b").unwrap(), namespace: "team".into(), name: "b".into() };
    let a = RunRef { uid: Uid::new("uid-a").unwrap(), name: "a".into(), ..b.clone() };
    assert_eq!(names(&index.set_failing(&a, true).next), ["b"]);
    assert_eq!([older(&index, "a", 1), older(&index, "b", 2), older(&index, "c", 3)], [None, None, Some("b".into())]);
    assert_eq!(index.set_failing(&b, true).next.len(), 1);
    assert_eq!([older(&index, "b", 2), older(&index, "c", 3)], [None, None], "it is tried again, whoever is older");
    index.put(&waiting("a", 1), NOW);
    assert_eq!(older(&index, "c", 3), None, "a new version of it is no success");
    index.set_failing(&a, false);
    assert_eq!(older(&index, "c", 3), Some("a".into()));
    let recreated = RunRef { uid: Uid::new("another").unwrap(), ..a };
    assert_eq!(index.set_failing(&recreated, true), Change::default(), "that object is gone");
}

#[test]
fn runs_are_counted_by_what_they_wait_for_and_how_long() {
    let index = RunIndex::default();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let shows = |name: &str, phase: &str, reason: &str, status: &str| {
        let condition = json!({
            "type": "Succeeded", "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:10Z",
        });
        run(name, 1, &json!({ "status": { "phase": phase, "conditions": [condition] } }))
    };
    let counts = |now: &str| {
        let mut counts: Vec<_> = index.waiting(at(now)).into_iter().map(|((reason, age), runs)| (reason.as_str(), age, runs)).collect();
        counts.sort_unstable();
        counts
    };
    let suspended = shows("a", "Suspended", "Suspended", "Unknown");
    let unseen = run("b", 0, &json!({ "status": { "phase": null } }));
    for object in [&suspended, &unseen, &shows("c", "Running", "Running", "Unknown"), &shows("d", "Unresolved", "StatusLost", "False")] {
        index.put(object, NOW);
    }
    let (late, later) = ("2026-01-03T00:00:00Z", "2026-01-03T00:20:00Z");
    use WaitAge::{Forgotten, Long, Short};
    assert_eq!(counts("2026-01-01T00:15:05Z"), [("Pending", Long, 1), ("StatusLost", Short, 1), ("Suspended", Short, 1)]);
    assert_eq!(counts(late), [("Pending", Forgotten, 1), ("StatusLost", Forgotten, 1), ("Suspended", Forgotten, 1)]);

    // The wait that a person has ended does not count for the next one, neither after a list.
    index.remove(&unseen);
    let busy = shows("a", "Pending", "PipelineBusy", "Unknown");
    index.put(&busy, at(late));
    assert_eq!(counts(late), [("PipelineBusy", Short, 1), ("StatusLost", Forgotten, 1)]);
    index.replace(None, [&busy], at(later));
    index.put(&busy, at(later));
    assert_eq!(counts(later), [("PipelineBusy", Long, 1)]);
    index.replace(Some("team"), [], at(later));
    assert_eq!(counts(later), []);
}

#[test]
fn run_that_waits_for_an_execution_holds_back_only_those_that_would_wait_too() {
    let index = RunIndex::default();
    let queued = |name: &str, second| run(name, second, &json!({ "spec": { "concurrencyPolicy": "Queue" } }));
    let parked = run(
        "a",
        1,
        &json!({
            "spec": { "concurrencyPolicy": "Queue" },
            "status": { "conditions": [{
                "type": "Succeeded", "status": "Unknown", "reason": "PipelineRunning", "message": "", "lastTransitionTime": "2026-01-01T00:00:01Z",
            }] },
        }),
    );
    for object in [queued("a", 1), queued("b", 2), waiting("c", 3), waiting("d", 4)] {
        index.put(&object, NOW);
    }
    let older = |run: &CachedRun| index.older(&run.whole().unwrap(), &orders());
    assert_eq!(older(&waiting("c", 3)), Some("a".into()), "it may be its turn");
    assert_eq!(names(&index.put(&parked, NOW).next), ["b"], "the next one may pass it");
    assert_eq!((older(&queued("b", 2)), older(&waiting("c", 3))), (Some("a".into()), Some("b".into())));
    assert_eq!(names(&index.remove(&queued("b", 2)).next), ["c"]);
    assert_eq!((older(&waiting("c", 3)), older(&waiting("d", 4))), (None, Some("c".into())));
}
