//! More new executions than one look reads.

use super::*;

#[test]
fn gap_of_five_thousand_executions_closes_and_each_is_counted_once() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let begin = world.now;
    for number in 0..12_000_u64 {
        world.create_at(begin + Duration::from_millis(number), if number % 2 == 0 { "orders" } else { "other" }, Successful, "EVENT");
    }
    world.pass(PERIOD);
    let (observed, counts) = world.observed("orders");
    assert_eq!((observed.state, counts.executions.len()), (ObservedState::CatchingUp, 0));
    let mut counted = 0;
    for _ in 0..6 {
        world.create("orders", Successful, "SCHEDULED");
        world.pass(PERIOD);
        counted += world.counted("orders");
    }
    world.pass(PERIOD);
    counted += world.counted("orders");
    let (observed, counts) = world.observed("orders");
    assert_eq!((observed.state, counts.late), (ObservedState::Observed, 0));
    assert_eq!(counted, 6_006);
}

#[test]
fn gap_that_is_never_read_whole_may_hold_a_success() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let first = world.now - Duration::from_secs(2_500);
    world.create_at(first, "orders", Successful, "EVENT");
    for number in 1..22_000_u64 {
        world.create_at(first + Duration::from_millis(100 * number), "orders", Failed, "EVENT");
    }
    world.pass(PERIOD * 5);
    let report = world.observed("orders").0.report.unwrap();
    assert_eq!(report.last_success, None);
    assert!(report.possible > Some(world.at(first)), "{:?}", report.possible);
}

#[test]
fn gap_is_read_whole_though_many_come_while_its_pages_are_read() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let begin = world.now;
    for number in 0..15_000_u64 {
        world.create_at(begin - Duration::from_millis(number), if number % 10 == 0 { "orders" } else { "other" }, Successful, "EVENT");
    }
    world.busy = 50;
    world.pass(PERIOD * 4);
    world.busy = 0;
    world.pass(PERIOD * 4);
    assert_eq!(world.counted("orders"), 1_500);
}

#[test]
fn execution_that_comes_late_while_a_gap_is_read_is_counted() {
    let mut world = World::new();
    world.observation = Observation::new(PERIOD, 0.0);
    world.observation.set_period(Some(PERIOD));
    world.observe("orders", "orders", None);
    world.pass(PERIOD / 2);
    let begin = world.now;
    for number in 0..15_000_u64 {
        world.create_at(begin - Duration::from_millis(number * 10), "other", Successful, "EVENT");
    }
    world.pass(PERIOD);
    world.create_at(begin - PERIOD / 2, "orders", Successful, "EVENT");
    for _ in 0..4 {
        world.create("other", Successful, "EVENT");
        world.pass(PERIOD);
    }
    assert_eq!(world.counted("orders"), 1);
}
