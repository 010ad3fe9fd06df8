//! Schedules by a clock that is moved: the nights in which clocks change, and days in which nothing was to start.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use controlplane::proxy::{Action, RequestInfo};
use k8s_openapi::jiff::{SignedDuration, Timestamp, ToSpan};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use nuvo_core::schedule::offset;
use nuvo_crds::{MissedReason, Phase, conditions};
use nuvo_sim::{Identity, Pipeline, Status, Trigger};
use serde_json::{Value, json};

use crate::{
    environment::{Environment, Operator, WITHIN, block_on, same},
    moved_clock::MovedClock,
    schedules::{api, create, daily, edit, hourly, next_slot, quick, ready, run_name, runs, status},
};

/// For operators that lead at once. The API server notes the real time, so by a clock that was moved it is long ago that another one has
/// begun to trigger: this one would look for the outcome at once, and find none.
pub const SIDE_BY_SIDE: &[&str] = &["--fence-seconds", "60", "--trigger-settle-seconds", "86400", "--quarantine-seconds", "86400"];

/// A clock for schedules: it is moved from slot to slot, and each schedule is looked at by it.
pub struct Slots<'a> {
    pub env: &'a Environment,
    pub clock: MovedClock,
    looks: Cell<u32>,
}

impl<'a> Slots<'a> {
    pub fn new(env: &'a Environment) -> Self {
        Self { env, clock: MovedClock::new(env), looks: Cell::new(0) }
    }

    /// An operator by this clock that leads.
    pub fn operator(&self, flags: &[&str]) -> Operator {
        let operator = self.clock.operator(self.env, flags);
        self.env.eventually("a leader", || operator.leads());
        operator
    }

    /// Creates a schedule and waits until it is scheduled. Returns when its first slot is due.
    pub fn scheduled(&self, name: &str, lines: &[&str], more: Value) -> Timestamp {
        create(self.env, name, lines, more);
        self.env.eventually(&format!("{name} is scheduled"), || ready(self.env, name) == "Scheduled");
        self.next(name)
    }

    /// Creates a schedule with a slot each hour and waits until it is scheduled. Returns its first slot.
    pub fn hourly(&self, name: &str, more: Value) -> Timestamp {
        self.scheduled(name, &[&hourly(next_slot(&self.clock))], more)
    }

    /// The same with a slot each day.
    pub fn daily(&self, name: &str, more: Value) -> Timestamp {
        self.scheduled(name, &[&daily(next_slot(&self.clock))], more)
    }

    /// When the next slot of a schedule is due.
    pub fn next(&self, name: &str) -> Timestamp {
        status(self.env, name).next_schedule_time.unwrap().0
    }

    /// Edits a schedule and waits until that is seen.
    pub fn edit(&self, name: &str, spec: Value) {
        edit(self.env, name, spec);
        let generation = block_on(api(self.env).get(name)).unwrap().metadata.generation;
        self.env.eventually(&format!("the edit of {name} is seen"), || status(self.env, name).observed_generation == generation);
    }

    /// Has the operator look at all schedules now. It would notice a step of its clock by itself, but not before half a minute is over.
    pub fn look(&self) {
        self.looks.set(self.looks.get() + 1);
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { "test/look": self.looks.get().to_string() } } }));
        for schedule in block_on(api(self.env).list(&ListParams::default())).unwrap() {
            block_on(api(self.env).patch(&schedule.name_any(), &PatchParams::default(), &patch)).unwrap();
        }
    }

    /// Moves the clock to a second after this time, and waits until every slot up to then is decided, and every run has ended.
    pub fn at(&self, time: Timestamp) {
        self.clock.set(self.env, time + 1.second());
        self.look();
        self.env.eventually(&format!("the slots of {time} are decided and done"), || {
            block_on(api(self.env).list(&ListParams::default())).unwrap().iter().all(|schedule| {
                let status = schedule.status.clone().unwrap_or_default();
                // Without a next one the clock is in doubt, for half a minute at most: it was moved while an answer was on its way.
                let is_decided = status.next_schedule_time.is_some_and(|next| next.0 > time);
                is_decided && status.pending.is_none() && status.claims.is_empty() && status.active_count == Some(0)
            })
        });
    }
}

/// A time that a test names.
pub fn utc(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// The slots for which a schedule has runs, as their names tell them. All of these runs have succeeded.
pub fn slots(env: &Environment, name: &str) -> Vec<String> {
    let runs = runs(env, name);
    assert!(runs.iter().all(|run| run.status.as_ref().and_then(|status| status.phase) == Some(Phase::Succeeded)), "{runs:#?}");
    runs.iter().map(|run| run.name_any().trim_start_matches(&format!("{name}-")).to_owned()).collect()
}

/// A run that does not go by the real time of its creation, of a pipeline of its own.
pub fn template(pipeline: &str) -> Value {
    json!({ "spec": { "pipelineId": pipeline } })
}

/// Six nights in which the clocks of a zone change, with the quarters of an hour at which something may be due.
const NIGHTS: [(&str, &[&str]); 6] = [
    // Berlin: 02:00 is 03:00.
    ("2027-03-28", &["00:45", "01:00", "01:15"]),
    // Lord Howe: 02:00 is 01:30.
    ("2027-04-03", &["14:30", "14:45", "15:00", "15:15", "15:30", "15:45"]),
    // Santiago: 24:00 is 23:00.
    ("2027-04-04", &["02:30", "02:45", "03:00", "03:15", "03:30", "03:45", "04:00"]),
    // Santiago: 00:00 is 01:00.
    ("2027-09-05", &["03:45", "04:00", "04:15"]),
    // Lord Howe: 02:00 is 02:30.
    ("2027-10-02", &["15:15", "15:30", "15:45"]),
    // Berlin: 03:00 is 02:00.
    ("2027-10-31", &["00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45", "02:00"]),
];

/// What is fixed to a time of day starts once in each night: at the end of the gap, and at the first of the two. What is to start each quarter
/// of an hour starts each quarter of an hour, whatever the clock on the wall shows.
#[test]
fn slots_of_the_nights_in_which_clocks_change_start_once() {
    let fixed: [(&str, &str, &[&str], &[&str]); 6] = [
        ("berlin", "Europe/Berlin", &["30 2 * * *"], &["20270328t0100", "20271031t0030"]),
        ("berlin-list", "Europe/Berlin", &["15,45 2 * * *"], &["20270328t0100", "20271031t0015", "20271031t0045"]),
        ("howe", "Australia/Lord_Howe", &["15 2 * * *"], &["20270403t1545", "20271002t1530"]),
        ("howe-twice", "Australia/Lord_Howe", &["45 1 * * *"], &["20270403t1445", "20271002t1515"]),
        ("santiago", "America/Santiago", &["0 0 * * *"], &["20270404t0400", "20270905t0400"]),
        ("santiago-twice", "America/Santiago", &["30 23 * * *"], &["20270404t0230"]),
    ];
    let quarters = [("berlin-4", "Europe/Berlin"), ("howe-4", "Australia/Lord_Howe"), ("santiago-4", "America/Santiago")];
    let names = fixed.iter().map(|(name, ..)| *name).chain(quarters.map(|(name, _)| name));
    let pipelines: Vec<Pipeline> = names.map(|name| Pipeline::new(name).duration(Duration::from_millis(100))).collect();
    let env = Environment::new("clocks-change", pipelines);
    let time = Slots::new(&env);
    let operator = time.operator(&[]);
    time.clock.set(&env, utc("2027-03-28T00:40:00Z"));
    let more = |name: &str, zone: &str| {
        // Slots that the clock is moved over do not start. The API server gives runs the real time as that of their creation, and under
        // Forbid their own deadline would be over at once.
        json!({
            "timeZone": zone, "startingDeadlineSeconds": 0, "concurrencyPolicy": "Allow", "successfulRunsHistoryLimit": 100,
            "runTemplate": template(name),
        })
    };
    for (name, zone, lines, _) in fixed {
        create(&env, name, lines, more(name, zone));
    }
    for (name, zone) in quarters {
        create(&env, name, &["*/15 * * * *"], more(name, zone));
    }
    env.eventually("they are scheduled", || fixed.iter().all(|(name, ..)| ready(&env, name) == "Scheduled"));
    env.eventually("they are scheduled", || quarters.iter().all(|(name, _)| ready(&env, name) == "Scheduled"));
    let mut all = Vec::new();
    for (date, times) in NIGHTS {
        for minute in times {
            time.at(utc(&format!("{date}T{minute}:00Z")));
            all.push(format!("{}t{}", date.replace('-', ""), minute.replace(':', "")));
        }
    }
    for (name, _, _, wanted) in fixed {
        same(name, slots(&env, name), wanted.iter().map(|slot| (*slot).to_owned()).collect());
    }
    for (name, _) in quarters {
        same(name, slots(&env, name), all.clone());
        assert!(status(&env, name).missed.is_some_and(|missed| missed.total >= 10_000), "{:?}", status(&env, name).missed);
    }
    let wanted = fixed.iter().map(|(.., wanted)| wanted.len()).sum::<usize>() + quarters.len() * all.len();
    same("POSTs", env.sim.post_count(), wanted as u64);
    same("exit code", operator.stop(), Some(0));
}

fn missed(env: &Environment, name: &str) -> Option<(i64, MissedReason)> {
    status(env, name).missed.map(|missed| (missed.total, missed.last_reason.unwrap()))
}

#[test]
fn operator_that_was_down_across_150_slots_starts_one_run() {
    let env = Environment::new("schedule-down", [quick()]);
    let time = Slots::new(&env);
    let before = time.operator(&[]);
    // No slot comes by itself before the operator is down.
    let minute = (time.clock.now().as_second() / 60 + 8) % 15;
    let first = time.scheduled("quarters", &[&format!("{minute}-59/15 * * * *")], json!({}));
    before.kill();
    let newest = first + 149 * SignedDuration::from_mins(15);
    time.clock.set(&env, newest + 1.second());
    let operator = time.operator(&[]);
    time.at(newest);
    same("slots", slots(&env, "quarters"), vec![newest.strftime("%Y%m%dt%H%M").to_string()]);
    same("missed", missed(&env, "quarters"), Some((149, MissedReason::NotObserved)));
    same("POSTs", env.sim.post_count(), 1);
    let metric = "nuvo_schedule_slots_total{namespace=\"NS\",name=\"quarters\",result=\"missed\",reason=\"NotObserved\"}";
    let metric = metric.replace("NS", &env.namespace);
    env.eventually("they are counted", || operator.metric(&metric) == Some(149.0));
    env.kubectl(&["delete", "nps", "quarters"]).unwrap();
    env.eventually("its metrics go with it", || operator.metric(&metric).is_none());
    same("exit code", operator.stop(), Some(0));
}

#[test]
fn slots_while_a_schedule_is_suspended_over_a_weekend_never_start() {
    let env = Environment::new("schedule-weekend", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    time.daily("daily", json!({}));
    time.edit("daily", json!({ "suspend": true }));
    for _ in 0..3 {
        time.clock.forward(&env, SignedDuration::from_hours(24));
        time.look();
    }
    time.edit("daily", json!({ "suspend": false }));
    same("runs, missed", (slots(&env, "daily"), missed(&env, "daily")), (vec![], None));
    let next = time.next("daily");
    time.at(next);
    same("runs", runs(&env, "daily").iter().map(ResourceExt::name_any).collect::<Vec<_>>(), vec![run_name("daily", next)]);
    same("POSTs", env.sim.post_count(), 1);
}

/// The script of kubernetes#130838: a schedule that ran yesterday is to run at a time that is over, then in the next minute, and then, before
/// that, in two minutes.
#[test]
fn edit_between_slots_starts_no_slot_of_the_line_before() {
    let env = Environment::new("schedule-edits", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let line = |at: Timestamp| at.strftime("%M %H %d %m *").to_string();
    let now = Timestamp::from_second(time.clock.now().as_second() / 60 * 60).unwrap();
    let yesterday = now - SignedDuration::from_hours(24);
    time.scheduled("hello", &[&line(yesterday)], json!({}));
    let ran = json!({ "status": { "lastScheduleTime": yesterday.to_string(), "lastSlot": yesterday.to_string() } });
    block_on(api(&env).patch_status("hello", &PatchParams::default(), &Patch::Merge(&ran))).unwrap();
    time.edit("hello", json!({ "schedules": [line(now - SignedDuration::from_hours(1))] }));
    let (early, late) = (now + SignedDuration::from_mins(30), now + SignedDuration::from_mins(31));
    time.edit("hello", json!({ "schedules": [line(early)] }));
    time.edit("hello", json!({ "schedules": [line(late)] }));
    time.at(early);
    same("runs", slots(&env, "hello"), vec![]);
    time.at(late);
    same("runs", slots(&env, "hello"), vec![late.strftime("%Y%m%dt%H%M").to_string()]);
    same("missed, POSTs", (missed(&env, "hello"), env.sim.post_count()), (None, 1));
}

/// nuvo starts the pipeline by itself and is busy with it: nothing of that is a success of the schedule.
#[test]
fn week_of_skipped_runs_is_no_success() {
    let env = Environment::new("schedule-skipped", [Pipeline::new("orders").held()]);
    let time = Slots::new(&env);
    let operator = time.operator(&[]);
    let template = json!({ "spec": { "pipelineId": "orders", "concurrencyPolicy": "Skip", "startDeadlineSeconds": 2_592_000 } });
    time.daily("daily", json!({ "runTemplate": template }));
    let busy = env.sim.start_by_itself("orders", Trigger::Scheduled, Identity::sub_org("load")).unwrap().remove(0);
    let success = format!("nuvo_schedule_last_success_timestamp_seconds{{namespace=\"{}\",name=\"daily\"}}", env.namespace);
    for day in 1..=7 {
        time.at(time.next("daily"));
        same("missed", missed(&env, "daily"), Some((day, MissedReason::PipelineRunning)));
    }
    let shown = status(&env, "daily");
    let result = conditions::find(&shown.conditions, conditions::LAST_RUN_SUCCEEDED).is_none();
    same("no result, no success", (result, shown.last_successful_time, operator.metric(&success)), (true, None, None));
    env.eventually("one of them is kept", || runs(&env, "daily").len() == 1);
    same("POSTs", env.sim.post_count(), 0);

    env.sim.finish(&busy, Status::Successful).unwrap();
    env.sim.set_pipeline(quick()).unwrap();
    time.at(time.next("daily"));
    let shown = status(&env, "daily");
    let succeeded = conditions::find(&shown.conditions, conditions::LAST_RUN_SUCCEEDED).map(|condition| condition.status.as_str());
    same("result", (succeeded, shown.last_successful_time.is_some(), env.sim.post_count()), (Some("True"), true, 1));
    env.eventually("a success in the metric", || operator.metric(&success).is_some());
}

/// Slots are due after the next ones have come, and each starts once under its own name.
#[test]
fn spread_longer_than_the_period_starts_each_slot_once() {
    const SPREAD: i64 = 3_600;
    let env = Environment::new("schedule-spread", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let late = (0..100).find_map(|number| {
        let name = format!("spread-{number}");
        let created = create(&env, &name, &["*/15 * * * *"], json!({ "spreadSeconds": SPREAD }));
        let by = offset(&created.uid().unwrap(), SPREAD);
        (by > SignedDuration::from_mins(15)).then_some((name.clone(), by)).or_else(|| {
            env.kubectl(&["delete", "nps", &name]).unwrap();
            None
        })
    });
    let (name, by) = late.unwrap();
    env.eventually("it is scheduled", || ready(&env, &name) == "Scheduled");
    let mut wanted = Vec::new();
    for _ in 0..3 {
        let due = time.next(&name);
        time.at(due);
        wanted.push((due - by).strftime("%Y%m%dt%H%M").to_string());
        same("slots", slots(&env, &name), wanted.clone());
    }
    same("missed, POSTs", (missed(&env, &name), env.sim.post_count()), (None, 3));
}

/// Of the three answers that are compared, one was read an hour late. No other may come for long, because nothing is due.
#[test]
fn answer_that_is_read_late_stops_no_schedule_for_long() {
    let env = Environment::new("schedule-late-answer", [quick()]);
    let time = Slots::new(&env);
    let _operator = time.operator(&[]);
    let slot = time.hourly("hourly", json!({}));
    let is_it = |request: &RequestInfo| request.method == "GET" && request.path.ends_with("/pipelineschedules/hourly");
    let seen = AtomicUsize::new(0);
    time.clock.proxy.set_rules(move |request| {
        if is_it(request) && seen.fetch_add(1, Ordering::Relaxed) == 0 { Action::ForwardThenHold } else { Action::Forward }
    });
    edit(&env, "hourly", json!({ "successfulRunsHistoryLimit": 5 }));
    let held = time.clock.proxy.wait_for(|exchange| exchange.held && is_it(&exchange.request), WITHIN).unwrap();
    time.clock.set(&env, slot + 1.second());
    time.clock.proxy.release(held.request.seq);
    env.wait_phase(&run_name("hourly", slot), Phase::Succeeded);
    env.eventually("it is scheduled again", || ready(&env, "hourly") == "Scheduled");
    // How long it was in doubt depends on when the API server was asked for its time.
    let writes = |method: &str, path: &str, says: &str| {
        time.clock.proxy.journal().iter().position(|exchange| {
            let RequestInfo { method: used, path: of, body, .. } = &exchange.request;
            used == method && of.contains(path) && String::from_utf8_lossy(body).contains(says)
        })
    };
    let (doubt, created) = (writes("PUT", "/pipelineschedules/hourly", "ClockInDoubt"), writes("POST", "/pipelineruns", ""));
    assert!(doubt.is_some() && doubt < created, "in doubt {doubt:?}, created {created:?}");
    same("runs, POSTs", (runs(&env, "hourly").len(), env.sim.post_count()), (1, 1));
}
