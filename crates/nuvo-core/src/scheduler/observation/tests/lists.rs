//! What is concluded from pages.

use super::*;

#[test]
fn first_look_shows_what_is_there_and_counts_nothing() {
    let mut world = World::new();
    let old = world.create_at(world.now - Duration::from_secs(86_400), "orders", Successful, "SCHEDULED");
    let failed = world.create_at(world.now - Duration::from_secs(3_600), "orders", Failed, "EVENT");
    world.create_at(world.now - Duration::from_secs(60), "other", Successful, "EVENT");
    world.observe("orders", "orders", None);
    assert!(matches!(world.observed("orders").0.state, ObservedState::Pending));
    world.pass(Duration::from_secs(10));
    let (observed, counts) = world.observed("orders");
    let report = observed.report.unwrap();
    assert_eq!(observed.state, ObservedState::Observed);
    assert_eq!(counts, Counts::default());
    assert_eq!(report.last_success.unwrap().id, old);
    assert_eq!(report.last_failure.unwrap().id, failed);
    assert_eq!(report.recent.len(), 2);
    assert_eq!(world.requests, [("execution", 1), ("pipeline", 1), ("pipeline page", 1), ("top", 1)].into());
    world.pass(Duration::from_secs(5));
    assert_eq!(world.counted("orders"), 0);
}

#[test]
fn executions_of_three_triggers_are_counted_once_each() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    for trigger in ["MANUAL", "SCHEDULED", "EVENT"] {
        world.create("orders", Successful, trigger);
        world.pass(PERIOD * 2);
    }
    let (_, counts) = world.observed("orders");
    let triggers: Vec<_> = counts.executions.iter().map(|(count, number)| (count.trigger_type.as_str(), *number)).collect();
    assert_eq!(triggers, [("EVENT", 1), ("MANUAL", 1), ("SCHEDULED", 1)]);
    assert_eq!((counts.rows, counts.error_rows, counts.unread), (30, 3, 0));
    world.pass(PERIOD * 20);
    assert_eq!(world.counted("orders"), 0);
}

#[test]
fn one_page_a_period_serves_all_objects_of_the_account() {
    let mut world = World::new();
    for number in 0..50 {
        world.observe(&format!("o{number}"), &format!("p{number}"), None);
    }
    world.pass(PERIOD);
    world.requests.clear();
    world.pass(PERIOD * 10);
    assert_eq!(world.requests, [("top", 10)].into());
    for number in 0..50 {
        world.observation.forget(&object(&format!("o{number}")));
    }
    world.pass(PERIOD * 10);
    assert_eq!(world.requests, [("top", 10)].into(), "nothing is asked for nothing");
}

#[test]
fn list_in_another_order_is_read_by_pipeline_and_counts_all_the_same() {
    let mut world = World::new();
    for number in 0..150 {
        world.create_at(world.now - Duration::from_secs(number), "other", Successful, "EVENT");
    }
    world.is_shuffled = true;
    world.observe("orders", "orders", None);
    world.pass(PERIOD * 2);
    for _ in 0..3 {
        world.create("orders", Successful, "EVENT");
        world.pass(PERIOD * 2);
    }
    assert_eq!(world.counted("orders"), 3);
    assert_eq!(world.observed("orders").0.state, ObservedState::Observed);
    world.ignores_filter = true;
    world.pass(PERIOD * 2);
    assert_eq!(world.observed("orders").0.state, ObservedState::OrderUnknown);
    (world.ignores_filter, world.is_shuffled) = (false, false);
    world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 3);
    let (observed, counts) = world.observed("orders");
    assert_eq!((observed.state, counts.executions.values().sum::<u64>()), (ObservedState::Observed, 1));
}

#[test]
fn nuvo_that_is_away_leaves_what_is_known_and_is_said() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let id = world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 2);
    world.is_away = true;
    world.requests.clear();
    world.pass(PERIOD * 10);
    let (observed, counts) = world.observed("orders");
    assert_eq!(observed.state, ObservedState::Unavailable("away".into()));
    assert_eq!(observed.report.unwrap().last_success.unwrap().id, id);
    assert_eq!(counts.executions.values().sum::<u64>(), 1);
    assert_eq!(world.requests, [("top", 10)].into());
    world.is_away = false;
    world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 2);
    assert_eq!(world.observed("orders").0.state, ObservedState::Observed);
}

#[test]
fn filter_that_is_ignored_is_no_complete_look() {
    let mut world = World::new();
    world.create_at(world.now - Duration::from_secs(7_200), "orders", Successful, "EVENT");
    for number in 0..150 {
        world.create_at(world.now - Duration::from_secs(number), "other", Successful, "EVENT");
    }
    (world.is_shuffled, world.ignores_filter) = (true, true);
    world.observe("orders", "orders", None);
    world.pass(PERIOD * 3);
    let (observed, _, complete) = world.observation.observed(&object("orders"));
    assert_eq!((observed.state, complete), (ObservedState::OrderUnknown, None));
}

#[test]
fn first_page_without_a_success_leaves_one_possible_before_it() {
    let mut world = World::new();
    world.create_at(world.now - Duration::from_secs(500), "orders", Successful, "EVENT");
    for number in 0..120 {
        world.create_at(world.now - Duration::from_secs(number), "orders", Failed, "EVENT");
    }
    let oldest = world.at(world.now - Duration::from_secs(99));
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let report = world.observed("orders").0.report.unwrap();
    assert_eq!((report.last_counted, report.possible), (None, Some(oldest)));
}

#[test]
fn first_look_at_a_busy_pipeline_counts_nothing_either() {
    let mut world = World::new();
    for number in 0..150 {
        world.create_at(world.now - Duration::from_secs(number), "orders", Successful, "EVENT");
    }
    world.observe("orders", "orders", None);
    world.pass(PERIOD * 3);
    assert_eq!(world.counted("orders"), 0);
}

/// Each page by itself is in order.
#[test]
fn later_page_that_shows_newer_executions_than_the_first_is_in_no_order() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    for number in 0..300 {
        world.create_at(world.now - Duration::from_secs(number), "other", Successful, "EVENT");
    }
    world.create("orders", Successful, "EVENT");
    // The first page has the oldest hundred of them.
    world.hides_newest = 201;
    world.pass(PERIOD * 2);
    assert!(world.observation.is_disordered);
    let (observed, counts) = world.observed("orders");
    assert_eq!((observed.state, counts.executions.values().sum::<u64>()), (ObservedState::Observed, 1), "its own list is in order");
}
