//! Looks at a nuvo of plain values, under virtual time.

#![allow(clippy::arithmetic_side_effects, reason = "the numbers of these tests are small")]

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::{AboutPipeline, Mirror, Stats};

use super::*;
use crate::{
    pipeline::{Counts, Details, NuvoInstant, Sighting},
    run::{ExecutionId, Uid},
    vocabulary::ExecutionStatus,
};

const PERIOD: Duration = Duration::from_secs(60);
const OVERLAP: Duration = Duration::from_secs(360);

fn pipeline(id: &str) -> PipelineId {
    PipelineId::new(id).unwrap()
}

fn object(name: &str) -> PipelineRef {
    PipelineRef { uid: Uid::new(format!("uid-{name}")).unwrap(), namespace: "team".into(), name: name.into() }
}

/// A nuvo, and one account that observes it.
struct World {
    now: Duration,
    executions: Vec<(String, Sighting)>,
    observation: Observation,
    /// Requests, by what they were for.
    requests: BTreeMap<&'static str, usize>,
    is_away: bool,
    is_shuffled: bool,
    ignores_filter: bool,
    /// Executions cannot be read by their ids.
    hides_executions: bool,
    min_rows: i64,
    /// So many executions of another pipeline come while a page is read.
    busy: u64,
    /// How much nuvo's times without a zone are ahead of UTC.
    offset: Option<i64>,
    next_id: u64,
}

impl World {
    fn new() -> Self {
        let mut observation = Observation::new(OVERLAP, 0.0);
        observation.set_period(Some(PERIOD));
        Self {
            now: Duration::from_secs(1_800_000_000),
            executions: Vec::new(),
            observation,
            requests: BTreeMap::new(),
            is_away: false,
            is_shuffled: false,
            ignores_filter: false,
            hides_executions: false,
            min_rows: 0,
            busy: 0,
            offset: None,
            next_id: 0,
        }
    }

    fn at(&self, now: Duration) -> Timestamp {
        Timestamp::UNIX_EPOCH.checked_add(now).unwrap()
    }

    fn instant(&self, now: Duration) -> NuvoInstant {
        let at = self.at(now).checked_add(SignedDuration::from_secs(self.offset.unwrap_or_default())).unwrap();
        NuvoInstant { at, is_zoned: self.offset.is_none() }
    }

    /// An execution of a pipeline that is created now.
    fn create(&mut self, pipeline: &str, status: ExecutionStatus, trigger: &str) -> String {
        self.create_at(self.now, pipeline, status, trigger)
    }

    fn create_at(&mut self, created: Duration, pipeline: &str, status: ExecutionStatus, trigger: &str) -> String {
        self.next_id += 1;
        let id = format!("e{}", self.next_id);
        let error_type = (status == Failed).then(|| "SOURCE_UNRESPONSIVE".to_owned());
        let sighting = Sighting {
            id: ExecutionId::new(id.clone()).unwrap(),
            status,
            trigger_type: Some(trigger.to_owned()),
            created: Some(self.instant(created)),
            updated: Some(self.instant(created + Duration::from_secs(5))),
            error_type,
            created_by: None,
            details: None,
        };
        self.executions.push((pipeline.to_owned(), sighting));
        id
    }

    fn end(&mut self, id: &str, status: ExecutionStatus) {
        let updated = self.instant(self.now);
        let (_, sighting) = self.executions.iter_mut().find(|(_, sighting)| sighting.id.as_str() == id).unwrap();
        (sighting.status, sighting.updated) = (status, Some(updated));
    }

    fn observe(&mut self, name: &str, pipeline_id: &str, status: Option<&NuvoPipelineStatus>) {
        let wish = Observable { pipeline: pipeline(pipeline_id), min_rows: self.min_rows, mirror: Mirror::default() };
        self.observation.observe(&object(name), &wish, status, &AccountHash::new("account").unwrap(), self.now);
    }

    fn count(&mut self, what: &'static str) {
        *self.requests.entry(what).or_default() += 1;
    }

    fn page(&self, request: &PageRequest) -> ObservedPage {
        let mut listed: Vec<(String, Sighting)> = self.executions.clone();
        if let PageScope::Pipeline(pipeline) = &request.scope
            && !self.ignores_filter
        {
            listed.retain(|(of, _)| of == pipeline.as_str());
        }
        listed.sort_by_key(|(_, sighting)| std::cmp::Reverse((sighting.created.map(|created| created.at), sighting.id.clone())));
        if self.is_shuffled {
            listed.sort_by_key(|(_, sighting)| sighting.id.as_str().bytes().rev().collect::<Vec<_>>());
        }
        let all = listed.len();
        let limit = if request.offset == 0 { 100 } else { 1_000 };
        let mut page: Vec<_> = listed.into_iter().skip(request.offset).take(limit).collect();
        let sent = page.len();
        if let PageScope::Pipeline(pipeline) = &request.scope {
            // The client filters again.
            page.retain(|(of, _)| of == pipeline.as_str());
        }
        ObservedPage {
            began: self.now,
            sent,
            unreadable: 0,
            is_last: request.offset + sent >= all,
            sightings: page.into_iter().map(|(pipeline, sighting)| (Some(pipeline), sighting)).collect(),
        }
    }

    fn answer(&self, read: &ObservationRead) -> ObservationAnswer {
        match read {
            _ if self.is_away => ObservationAnswer::Failed("away".into()),
            ObservationRead::Execution(..) if self.hides_executions => ObservationAnswer::Failed("away".into()),
            ObservationRead::Pipeline(_) => ObservationAnswer::Pipeline(AboutPipeline::default()),
            ObservationRead::Execution(_, id) => match self.executions.iter().find(|(_, sighting)| sighting.id == *id) {
                None => ObservationAnswer::NotFound,
                Some((pipeline, sighting)) => {
                    let stats = Stats { total_rows: Some(10), total_error_rows: Some(1), ..Stats::default() };
                    let details = Details { stats: Some(stats), ended: None };
                    ObservationAnswer::Execution(Some(pipeline.clone()), Box::new(Sighting { details: Some(details), ..sighting.clone() }))
                }
            },
        }
    }

    /// Does everything that is due until this much later.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            match self.observation.next(self.now, None) {
                Due::Page(request) => {
                    self.count(match (&request.scope, request.offset) {
                        (PageScope::Account, 0) => "top",
                        (PageScope::Account, _) => "gap",
                        (PageScope::Pipeline(_), _) => "pipeline page",
                    });
                    for _ in 0..self.busy {
                        let created = self.now + Duration::from_micros(self.next_id);
                        self.create_at(created, "other", Successful, "EVENT");
                    }
                    let answer = if self.is_away { Err(ObservationAnswer::Failed("away".into())) } else { Ok(self.page(&request)) };
                    let at = self.at(self.now);
                    self.observation.page_read(&request, answer, (at, at), self.now);
                }
                Due::Read(read) => {
                    self.count(match read {
                        ObservationRead::Execution(..) => "execution",
                        ObservationRead::Pipeline(_) => "pipeline",
                    });
                    let answer = self.answer(&read);
                    self.observation.read(&read, &answer);
                }
                Due::Wait(Some(until)) if until <= end => self.now = self.now.max(until),
                Due::Wait(_) => break,
            }
        }
        self.now = end;
    }

    fn observed(&mut self, name: &str) -> (Observed, Counts) {
        let (observed, counts, _) = self.observation.observed(&object(name));
        (observed, counts)
    }

    /// How many executions were counted since the last call.
    fn counted(&mut self, name: &str) -> u64 {
        self.observed(name).1.executions.values().sum()
    }

    fn status(&mut self, name: &str) -> NuvoPipelineStatus {
        let report = self.observed(name).0.report.unwrap();
        NuvoPipelineStatus {
            running: report.running,
            last_execution: report.last_execution,
            last_success: report.last_success,
            last_failure: report.last_failure,
            last_counted: report.last_counted,
            recent: report.recent,
            seen: report.seen,
            ..NuvoPipelineStatus::default()
        }
    }

    /// Another process, which knows what the statuses have kept.
    fn restart(&mut self) {
        self.observation = Observation::new(OVERLAP, 0.0);
        self.observation.set_period(Some(PERIOD));
    }
}

use ExecutionStatus::{Failed, Processing, Successful};

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
                world.observation.page_read(&request, Ok(page), (at, at), world.now);
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
    world.observation.page_read(&top, Ok(page), (at, at), world.now);
    assert!(world.observation.reached.is_none() && world.observation.look.is_some());
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
    world.observation.page_read(&top, Ok(page), (at, at), world.now);
    world.observation.forget(&object("orders"));
    let asked = asked_without_answers(&mut world, Duration::ZERO);
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.contains("invoices")), "{asked:?}");
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
