//! Executions that appear in the list among older ones.

use super::*;

/// An account in which 300 executions of another pipeline begin each minute.
fn busy_account() -> World {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    for _ in 0..10 {
        minute(&mut world);
    }
    world.requests.clear();
    world
}

fn minute(world: &mut World) {
    for number in 0..300_u64 {
        world.create_at(world.now + Duration::from_millis(number * 200), "other", Successful, "EVENT");
    }
    world.pass(PERIOD);
}

#[test]
fn overlap_of_a_busy_account_is_read_each_five_minutes_only() {
    let mut world = busy_account();
    for _ in 0..30 {
        minute(&mut world);
    }
    let requests = |of| world.requests.get(of).copied().unwrap_or_default();
    // Three pages hold the 3,300 executions of five minutes and the overlap.
    assert_eq!((requests("top"), requests("gap"), requests("overlap")), (30, 30, 6 * 3), "{:?}", world.requests);
}

#[test]
fn execution_that_comes_late_in_a_busy_account_is_counted_within_six_minutes_once() {
    for minutes_late in 1..6 {
        let mut world = busy_account();
        world.create_at(world.now - Duration::from_secs(60 * minutes_late), "orders", Successful, "EVENT");
        let mut counted = 0;
        for _ in 0..6 {
            minute(&mut world);
            counted += world.counted("orders");
        }
        assert_eq!(counted, 1, "{minutes_late} minutes late");
        for _ in 0..12 {
            minute(&mut world);
        }
        assert_eq!(world.observed("orders").1, Counts::default(), "{minutes_late} minutes late");
    }
}
