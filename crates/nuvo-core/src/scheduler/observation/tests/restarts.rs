//! What outlasts a restart, and what does not.

use super::*;

#[test]
fn running_execution_is_followed_beyond_the_page_and_across_a_restart() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let long = world.create("orders", Processing, "SCHEDULED");
    world.pass(PERIOD * 2);
    assert_eq!(world.observed("orders").0.report.unwrap().running[0].id, long);
    for _ in 0..150 {
        world.create("other", Successful, "EVENT");
    }
    world.pass(PERIOD * 90);
    for _ in 0..150 {
        world.create("other", Successful, "EVENT");
    }
    let status = world.status("orders");
    world.restart();
    world.observe("orders", "orders", Some(&status));
    world.pass(PERIOD * 3);
    world.end(&long, Failed);
    world.pass(PERIOD * 2);
    let (observed, counts) = world.observed("orders");
    assert_eq!(counts.executions.values().sum::<u64>(), 1);
    let report = observed.report.unwrap();
    assert_eq!((report.running.len(), report.last_failure.unwrap().id), (0, long));
}

#[test]
fn what_the_status_has_kept_is_not_counted_again_after_a_restart() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    for _ in 0..5 {
        world.create("orders", Successful, "EVENT");
    }
    world.pass(PERIOD * 2);
    assert_eq!(world.counted("orders"), 5);
    let status = world.status("orders");
    world.restart();
    world.create("orders", Successful, "EVENT");
    world.observe("orders", "orders", Some(&status));
    world.pass(PERIOD * 3);
    let (_, counts) = world.observed("orders");
    assert_eq!((counts.executions.values().sum::<u64>(), counts.late), (1, 0), "the one that came meanwhile");
}

#[test]
fn forty_executions_of_the_same_time_are_counted_once_each() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    for _ in 0..40 {
        world.create("orders", Successful, "EVENT");
    }
    world.pass(PERIOD);
    let status = world.status("orders");
    assert_eq!(world.counted("orders"), 0, "the last read is taken with the status");
    world.restart();
    world.observe("orders", "orders", Some(&status));
    world.pass(PERIOD * 5);
    assert_eq!(world.counted("orders"), 0);
}

#[test]
fn pipeline_of_another_account_begins_anew() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 2);
    let status = world.status("orders");
    let wish = Observable { pipeline: pipeline("orders"), min_rows: 0, mirror: Mirror::default() };
    world.executions.clear();
    world.observation.observe(&object("orders"), &wish, Some(&status), &AccountHash::new("other").unwrap(), world.now);
    world.pass(PERIOD * 2);
    assert_eq!(world.observed("orders").0.report.unwrap().last_success, None);
}

#[test]
fn object_that_was_suspended_sees_what_has_come_meanwhile() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.observe("other", "other", None);
    world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 2);
    let status = world.status("orders");
    world.observation.forget(&object("orders"));
    let later = world.create("orders", Successful, "SCHEDULED");
    for _ in 0..60 {
        world.create("other", Successful, "EVENT");
        world.pass(PERIOD);
    }
    world.observe("orders", "orders", Some(&status));
    world.pass(PERIOD * 2);
    let (observed, counts) = world.observed("orders");
    assert_eq!((observed.state, counts.executions.values().sum()), (ObservedState::Observed, 1_u64));
    assert_eq!(observed.report.unwrap().last_success.unwrap().id, later);
}

#[test]
fn execution_of_a_quiet_pipeline_during_a_restart_is_counted_though_its_status_is_old() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    world.create("orders", Successful, "SCHEDULED");
    world.pass(PERIOD * 2);
    assert_eq!(world.counted("orders"), 1);
    let status = world.status("orders");
    for _ in 0..24 {
        world.create("other", Successful, "EVENT");
        world.pass(PERIOD * 60);
    }
    world.restart();
    let id = world.create("orders", Successful, "SCHEDULED");
    world.pass(PERIOD);
    world.observe("orders", "orders", Some(&status));
    world.pass(PERIOD * 3);
    let (observed, counts) = world.observed("orders");
    assert_eq!(observed.report.unwrap().last_success.unwrap().id, id);
    assert_eq!(counts.executions.values().sum::<u64>(), 1);
    world.pass(PERIOD * 3);
    assert_eq!(world.counted("orders"), 0);
}

#[test]
fn answer_of_the_account_before_is_not_taken_for_one_of_this() {
    let mut world = World::new();
    world.create("orders", Successful, "EVENT");
    world.observe("orders", "orders", None);
    world.now += FIRST_AFTER;
    let Due::Page(top) = world.observation.next(world.now, None) else { panic!("the first look") };
    let (page, at) = (world.page(&top), world.at(world.now));
    let wish = Observable { pipeline: pipeline("orders"), min_rows: 0, mirror: Mirror::default() };
    world.observation.observe(&object("orders"), &wish, None, &AccountHash::new("other").unwrap(), world.now);
    world.now += FIRST_AFTER;
    let Due::Page(_) = world.observation.next(world.now, None) else { panic!("the first look at the other one") };
    world.observation.page_read(&top, Ok(page), at, world.now);
    assert!(world.observation.reached.is_none() && world.observation.look.is_some());
}
