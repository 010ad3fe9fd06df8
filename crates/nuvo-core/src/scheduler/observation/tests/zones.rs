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
fn times_of_the_hour_that_comes_twice_are_the_true_ones() {
    let mut world = World::new();
    (world.offset, world.hides_executions) = (Some(2 * 3_600), true);
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    for minute in 0..240 {
        if minute == 100 {
            world.offset = Some(3_600);
        }
        let created = world.now;
        let id = world.create("orders", Successful, "EVENT");
        world.pass(PERIOD);
        let report = world.observed("orders").0.report.unwrap();
        for shown in [report.last_execution.unwrap(), report.last_success.unwrap(), report.recent[0].clone()] {
            assert_eq!((shown.id.as_str(), shown.created_at.unwrap().0), (id.as_str(), world.at(created)), "in minute {minute}");
        }
    }
}

#[test]
fn end_is_the_true_one_though_the_clocks_were_set_back_before_it() {
    let mut world = World::new();
    (world.offset, world.hides_executions) = (Some(2 * 3_600), true);
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let long = world.create("orders", Processing, "EVENT");
    world.pass(PERIOD * 2);
    world.offset = Some(3_600);
    world.pass(PERIOD * 10);
    world.end(&long, Failed);
    let ended = world.at(world.now);
    world.pass(PERIOD);
    let failure = world.observed("orders").0.report.unwrap().last_failure.unwrap();
    assert_eq!((failure.id, failure.ended_at.unwrap().0), (long, ended));
}

/// It is late, and no clock was set back.
#[test]
fn execution_that_comes_late_changes_no_zone() {
    let mut world = World::new();
    world.offset = Some(2 * 3_600);
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    for minutes_late in 1..15 {
        world.create("orders", Successful, "EVENT");
        world.pass(PERIOD * 2);
        let created = world.now - Duration::from_secs(60 * minutes_late);
        let late = world.create_at(created, "orders", Successful, "EVENT");
        world.pass(PERIOD);
        let recent = world.observed("orders").0.report.unwrap().recent;
        let shown = recent.iter().find(|execution| execution.id == late).map(|execution| execution.created_at.clone().unwrap().0);
        assert!(shown.is_none_or(|shown| shown == world.at(created)), "{minutes_late} minutes late: {shown:?}");
    }
}

#[test]
fn zone_is_known_by_an_end_that_names_it_however_seldom_the_looks() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let mut world = World::new();
    world.observation.set_period(Some(HOUR));
    (world.offset, world.names_ends) = (Some(2 * 3_600), true);
    world.create_at(world.now - Duration::from_secs(600), "orders", Successful, "EVENT");
    world.observe("orders", "orders", None);
    world.pass(HOUR * 2);
    let shown = |world: &mut World, id: &str, created: Duration| {
        let (observed, _) = world.observed("orders");
        assert!(!observed.is_zone_assumed);
        let last = observed.report.unwrap().last_execution.unwrap();
        assert_eq!((last.id.as_str(), last.created_at.unwrap().0), (id, world.at(created)));
        assert_eq!(last.ended_at.unwrap().0, world.at(created + Duration::from_secs(5)));
    };
    for offset in [2, 2, 1, 1, 2] {
        world.offset = Some(offset * 3_600);
        world.now += Duration::from_secs(1_200);
        let created = world.now;
        let id = world.create("orders", Successful, "EVENT");
        world.pass(HOUR * 2);
        shown(&mut world, &id, created);
    }
}

/// Before its end was read, it seemed to be an hour older than it is.
#[test]
fn execution_whose_end_has_shown_the_zone_is_the_newest_one() {
    let mut world = World::new();
    world.observation.set_period(Some(PERIOD * 20));
    (world.offset, world.names_ends) = (Some(2 * 3_600), true);
    world.observe("orders", "orders", None);
    world.pass(PERIOD * 20);
    world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 20);
    world.offset = Some(3_600);
    let id = world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 20);
    let report = world.observed("orders").0.report.unwrap();
    let shown = [report.last_execution, report.last_success, report.last_counted, report.recent.first().cloned()];
    assert_eq!(shown.map(|execution| execution.unwrap().id), [id.as_str(); 4]);
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
