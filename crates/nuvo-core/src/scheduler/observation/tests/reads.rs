//! Reads by id: what they cost, and what they show.

use super::*;

#[test]
fn fix_is_counted_as_a_fix_and_not_again_as_an_execution() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let failed = world.create("orders", Failed, "SCHEDULED");
    world.pass(PERIOD * 2);
    let (_, counts) = world.observed("orders");
    assert_eq!(counts.executions.keys().map(|count| count.result).collect::<Vec<_>>(), ["failure"]);
    for _ in 0..150 {
        world.create("other", Successful, "EVENT");
    }
    world.pass(PERIOD * 10);
    world.requests.clear();
    world.end(&failed, Successful);
    world.pass(PERIOD * 65);
    let (observed, counts) = world.observed("orders");
    assert_eq!((counts.fixes, counts.executions.len()), (1, 0));
    let report = observed.report.unwrap();
    assert!(report.is_fixed && report.last_failure.is_none());
    assert_eq!(report.last_success.unwrap().id, failed);
    assert!(world.requests["execution"] <= 3, "{:?}", world.requests);
}

#[test]
fn success_whose_rows_cannot_be_read_is_tried_until_they_are() {
    let mut world = World::new();
    world.min_rows = 5;
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    world.hides_executions = true;
    world.create("orders", Successful, "EVENT");
    let ended = world.at(world.now + Duration::from_secs(5));
    world.pass(PERIOD * 10);
    let report = world.observed("orders").0.report.unwrap();
    assert_eq!((report.last_counted, report.possible), (None, Some(ended)));
    world.hides_executions = false;
    world.pass(PERIOD * 2);
    let report = world.observed("orders").0.report.unwrap();
    assert!(report.last_counted.is_some() && report.possible.is_none());
}

#[test]
fn success_counts_by_the_rows_that_are_wanted_now() {
    let mut world = World::new();
    world.min_rows = 100;
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    world.create("orders", Successful, "EVENT");
    world.pass(PERIOD * 2);
    assert_eq!(world.observed("orders").0.report.unwrap().last_counted, None);
    world.min_rows = 5;
    world.observe("orders", "orders", None);
    assert!(world.observed("orders").0.report.unwrap().last_counted.is_some());
}

#[test]
fn look_is_not_complete_before_an_execution_that_it_does_not_show_was_read() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let long = world.create("orders", Processing, "SCHEDULED");
    for wait in [10, 20] {
        world.pass(PERIOD * wait);
        for _ in 0..80 {
            world.create("other", Successful, "EVENT");
        }
    }
    world.pass(PERIOD * 2);
    let complete = |world: &mut World| world.observation.observed(&object("orders")).2;
    assert!(complete(&mut world) >= Some(world.now - PERIOD));
    world.hides_executions = true;
    world.pass(PERIOD * 2);
    let hidden = world.now;
    world.pass(PERIOD * 5);
    assert!(complete(&mut world) < Some(hidden), "it may have ended since");
    world.end(&long, Successful);
    world.hides_executions = false;
    world.pass(PERIOD * 2);
    assert!(complete(&mut world) >= Some(world.now - PERIOD));
    assert_eq!(world.observed("orders").0.report.unwrap().last_success.unwrap().id, long);
}

#[test]
fn execution_that_is_not_shown_is_read_though_others_end_in_each_period() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let long = world.create("orders", Processing, "SCHEDULED");
    for wait in [10, 20] {
        world.pass(PERIOD * wait);
        for _ in 0..80 {
            world.create("other", Successful, "EVENT");
        }
    }
    world.end(&long, Successful);
    for _ in 0..5 {
        world.create("orders", Failed, "EVENT");
        world.pass(PERIOD);
    }
    assert_eq!(world.observed("orders").0.report.unwrap().last_success.map(|success| success.id), Some(long));
}

#[test]
fn fix_that_is_seen_running_is_counted_as_a_fix_alone() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    let failed = world.create("orders", Failed, "SCHEDULED");
    world.pass(PERIOD * 2);
    assert_eq!(world.counted("orders"), 1);
    world.end(&failed, Processing);
    world.pass(PERIOD * 2);
    world.end(&failed, Successful);
    world.pass(PERIOD * 4);
    let (observed, counts) = world.observed("orders");
    assert_eq!((counts.fixes, counts.executions.values().sum::<u64>()), (1, 0));
    let report = observed.report.unwrap();
    assert_eq!((report.running.len(), report.last_success.unwrap().id), (0, failed));
}

/// What is asked for until this much later, if no answer but those to the pages of the account comes.
fn asked_without_answers(world: &mut World, time: Duration) -> Vec<String> {
    let end = world.now + time;
    let mut asked = Vec::new();
    loop {
        match world.observation.next(world.now, None) {
            Due::Page(request) if request.scope == PageScope::Account => {
                asked.push("page".to_owned());
                let (page, at) = (world.page(&request), world.at(world.now));
                world.observation.page_read(&request, Ok(page), at, world.now);
            }
            Due::Page(request) => asked.push(format!("{:?}", request.scope)),
            Due::Read(read) => asked.push(format!("{read:?}")),
            Due::Wait(Some(until)) if until <= end => world.now = world.now.max(until),
            Due::Wait(_) => break,
        }
    }
    world.now = end;
    asked
}

#[test]
fn page_that_waits_for_requests_that_are_left_does_not_keep_the_next_look_waiting() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    let asked = asked_without_answers(&mut world, FIRST_AFTER + PERIOD * 3);
    assert_eq!(asked.iter().filter(|asked| *asked == "page").count(), 4, "{asked:?}");
    assert_eq!(asked.iter().filter(|asked| asked.starts_with("Pipeline(")).count(), 2, "the page and the pipeline, once: {asked:?}");
}

#[test]
fn reads_that_find_no_requests_do_not_heap_up() {
    let mut world = World::new();
    world.observe("orders", "orders", None);
    world.pass(PERIOD);
    for _ in 0..50 {
        world.create("orders", Successful, "EVENT");
        asked_without_answers(&mut world, PERIOD);
    }
    assert!(world.observation.reads.waiting() <= 2, "{}", world.observation.reads.waiting());
}

#[test]
fn pipeline_that_is_observed_no_more_is_asked_for_no_more() {
    let mut world = World::new();
    for name in ["orders", "invoices"] {
        world.observe(name, name, None);
    }
    world.now += FIRST_AFTER;
    let Due::Page(top) = world.observation.next(world.now, None) else { panic!("the first look") };
    let (page, at) = (world.page(&top), world.at(world.now));
    world.observation.page_read(&top, Ok(page), at, world.now);
    world.observation.forget(&object("orders"));
    let asked = asked_without_answers(&mut world, Duration::ZERO);
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.contains("invoices")), "{asked:?}");
}
