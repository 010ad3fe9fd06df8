//! Times that name no zone.

use super::*;

#[test]
fn times_without_a_zone_are_corrected_by_the_first_new_execution() {
    let mut world = World::new();
    world.offset = Some(2 * 3_600);
    world.create_at(world.now - Duration::from_secs(600), "orders", Successful, "EVENT");
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    assert!(world.observed("orders").0.is_zone_assumed);
    let created = world.now;
    world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 2);
    let (observed, _) = world.observed("orders");
    assert!(!observed.is_zone_assumed);
    let ended = observed.report.unwrap().last_success.unwrap().ended_at.unwrap().0;
    assert_eq!(ended, world.at(created + Duration::from_secs(5)));
    let status = world.status("orders");
    world.restart();
    world.observe("orders", "orders", Some(&status));
    world.pass(PERIOD);
    let (observed, _) = world.observed("orders");
    assert!(!observed.is_zone_assumed, "what is stored shows the zone");
    assert_eq!(observed.report.unwrap().last_success.unwrap().ended_at.unwrap().0, ended);
}

#[test]
fn hour_that_comes_twice_in_autumn_loses_and_doubles_nothing() {
    let mut world = World::new();
    world.offset = Some(2 * 3_600);
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let mut counted = 0;
    for minute in 0..240 {
        if minute == 100 {
            world.offset = Some(3_600);
        }
        world.create("orders", Successful, "EVENT");
        world.pass(PERIOD);
        counted += world.counted("orders");
    }
    world.pass(PERIOD * 3);
    counted += world.counted("orders");
    assert_eq!(counted, 240);
}

#[test]
fn restart_counts_nothing_again_though_times_name_no_zone() {
    for hours in [-5, 2] {
        let mut world = World::new();
        world.offset = Some(hours * 3_600);
        world.observe("orders", "orders", None);
        world.pass(PERIOD);
        for _ in 0..15 {
            world.create("orders", Successful, "EVENT");
            world.pass(PERIOD * 2);
        }
        assert_eq!(world.counted("orders"), 15);
        let status = world.status("orders");
        world.restart();
        world.observe("orders", "orders", Some(&status));
        for _ in 0..10 {
            world.create("other", Successful, "EVENT");
            world.pass(PERIOD);
        }
        assert_eq!(world.counted("orders"), 0, "{hours}");
    }
}

#[test]
fn zone_that_becomes_known_leaves_what_is_known_of_executions() {
    let mut world = World::new();
    (world.offset, world.min_rows) = (Some(2 * 3_600), 5);
    let old = world.create_at(world.now - Duration::from_secs(900), "orders", Successful, "EVENT");
    world.observe("orders", "orders", None);
    world.pass(PERIOD * 2);
    for number in 0..120 {
        world.create_at(world.now - Duration::from_secs(number), "orders", Failed, "EVENT");
    }
    world.hides_executions = true;
    world.pass(PERIOD * 2);
    let (observed, _) = world.observed("orders");
    let report = observed.report.unwrap();
    assert_eq!((observed.is_zone_assumed, report.last_counted.map(|counted| counted.id)), (false, Some(old)));
}
