use std::time::Duration;

use nuvo_crds::Execution;

use super::{
    Availability, CircuitBreaker, Executions, Key, Pause, Purpose, Read, ReadAnswer, RequestKind, Ticket,
    budget::Budget,
    executions::{Due, Pace},
    pauses::Pauses,
    pipeline_modes::PipelineMode,
};
use crate::run::{Absence, ExecutionId, Follow, Known, Obstacle, PipelineId, RunRef, Uid};

const START: Duration = Duration::from_secs(1_000);

fn after(seconds: f64) -> Duration {
    START.saturating_add(Duration::from_secs_f64(seconds))
}

/// Serves everything that waits, and says when each ticket got its token.
fn serve(budget: &mut Budget, mut now: Duration) -> Vec<(Ticket, Duration)> {
    let mut served = Vec::new();
    while let Some(wait) = budget.wait() {
        now = now.saturating_add(wait).saturating_add(Duration::from_nanos(1));
        served.extend(std::iter::from_fn(|| budget.next(now)).map(|(ticket, _)| (ticket, now)));
    }
    served
}

#[test]
fn requests_after_the_burst_keep_the_rate() {
    let mut budget = Budget::new(10, START);
    assert_eq!((0..20).filter(|_| budget.take(Purpose::Trigger, START)).count(), 9);
    for _ in 0..20 {
        budget.want(Purpose::Polling, START);
    }
    let served = serve(&mut budget, START);
    let last = served.last().map(|(_, at)| at.saturating_sub(START));
    assert!(served.len() == 20 && last.is_some_and(|last| (1.95..2.05).contains(&last.as_secs_f64())), "{last:?}");
}

#[test]
fn sent_requests_of_any_second_are_at_most_the_rate() {
    let mut budget = Budget::new(10, START);
    let mut sent: Vec<f64> = (0..20).filter(|_| budget.take(Purpose::Trigger, START)).map(|_| 0.0).collect();
    for number in 0..100 {
        budget.want(Purpose::ALL[number % Purpose::ALL.len()], START);
    }
    sent.extend(serve(&mut budget, START).iter().map(|(_, at)| at.saturating_sub(START).as_secs_f64()));
    for from in &sent {
        let within = sent.iter().filter(|at| (*from..from + 1.0).contains(*at)).count();
        assert!(within <= 19, "{within} from {from}: the burst and the rate");
    }
}

#[test]
fn requests_are_served_by_purpose_then_by_age_and_every_fourth_in_turn() {
    let mut budget = Budget::new(1, START);
    assert!(budget.take(Purpose::Trigger, START));
    let mut purposes = std::collections::HashMap::new();
    for round in 0..2 {
        for purpose in Purpose::ALL.into_iter().rev() {
            purposes.insert(budget.want(purpose, START), (purpose, round));
        }
    }
    let order: Vec<_> = serve(&mut budget, START).into_iter().map(|(ticket, _)| purposes[&ticket]).collect();
    let named: Vec<_> = order.iter().map(|(purpose, _)| *purpose).collect();
    let [ending, recovery, polling, observation, trigger, baseline, import, detail, mode] = Purpose::ALL;
    assert_eq!(named[..4], [ending, ending, recovery, polling], "the fourth is the second of the purposes that wait");
    assert_eq!(named[4..8], [recovery, polling, observation, baseline], "the eighth is the third one");
    assert_eq!(named[8..12], [observation, trigger, trigger, import], "the twelfth is the second of the two that are left");
    assert_eq!(named[12..], [baseline, import, detail, detail, mode, mode], "what takes only what is left comes last");
    for purpose in Purpose::ALL {
        assert!(order.iter().filter(|(of, _)| *of == purpose).map(|(_, round)| *round).eq([0, 1]), "{purpose:?}");
    }
}

#[test]
fn least_urgent_request_behind_many_urgent_ones_waits_within_bounds() {
    let mut budget = Budget::new(10, START);
    while budget.take(Purpose::Trigger, START) {}
    for _ in 0..1_000 {
        budget.want(Purpose::Ending, START);
    }
    let poll = budget.want(Purpose::Polling, START);
    let served = serve(&mut budget, START);
    let at = served.iter().find(|(ticket, _)| *ticket == poll).map(|(_, at)| at.saturating_sub(START));
    assert!(at.is_some_and(|at| at < Duration::from_secs(1)), "{at:?}");
}

#[test]
fn developer_mode_is_asked_for_only_with_what_nothing_else_wants() {
    let mut budget = Budget::new(10, START);
    while budget.take(Purpose::Mode, START) {}
    assert_eq!((0..10).filter(|_| budget.take(Purpose::Ending, START)).count(), 4, "half of the burst is left for others");
    let (mode, polls) = (budget.want(Purpose::Mode, START), [(); 30].map(|()| budget.want(Purpose::Polling, START)));
    let order: Vec<Ticket> = serve(&mut budget, START).into_iter().map(|(ticket, _)| ticket).collect();
    assert_eq!(order, polls.into_iter().chain([mode]).collect::<Vec<_>>());
}

#[test]
fn given_up_token_and_charged_requests_count() {
    let mut budget = Budget::new(10, START);
    budget.debit(11, START);
    assert!(!budget.take(Purpose::Trigger, after(0.29)) && budget.take(Purpose::Trigger, after(0.31)));
    budget.refund();
    assert!(budget.take(Purpose::Trigger, after(0.31)) && !budget.take(Purpose::Trigger, after(0.31)));
}

#[test]
fn pause_refuses_what_waits_and_the_longer_one_stays() {
    let (mut budget, mut pauses) = (Budget::new(1, START), Pauses::default());
    let waiting = [budget.want(Purpose::Polling, START), budget.want(Purpose::Trigger, START)];
    pauses.pause(Duration::from_secs(30), Obstacle::RateLimited, START);
    pauses.pause(Duration::from_secs(1), Obstacle::Unavailable, START);
    let refused = Purpose::ALL.into_iter().filter(|purpose| pauses.of(*purpose, START).is_some()).collect::<Vec<_>>();
    assert_eq!(refused.into_iter().flat_map(|purpose| budget.refuse(purpose)).collect::<Vec<_>>(), waiting);
    assert_eq!(budget.wait(), None);
    let pause = Pause { left: Duration::from_secs(30), obstacle: Obstacle::RateLimited };
    assert_eq!((pauses.of(Purpose::Ending, START), pauses.of(Purpose::Ending, after(30.0))), (Some(pause), None));
}

#[test]
fn exceeded_quota_pauses_triggers_only_and_doubles_up_to_a_quarter_of_an_hour() {
    let mut pauses = Pauses::default();
    let (mut now, mut waits) = (START, Vec::new());
    for _ in 0..8 {
        pauses.quota_exceeded(Duration::from_secs(30), now);
        // Those that were out when the first was refused say nothing new.
        pauses.quota_exceeded(Duration::from_secs(30), now);
        assert_eq!(pauses.of(Purpose::Ending, now), None);
        let left = pauses.of(Purpose::Trigger, now).unwrap().left;
        waits.push(left.as_secs());
        now = now.saturating_add(left);
        assert_eq!(pauses.of(Purpose::Baseline, now), None);
        pauses.triggering(now);
        assert!(pauses.while_probing(now).is_some() && pauses.of(Purpose::Trigger, now).is_none(), "one of them finds out");
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
    pauses.triggered();
    assert_eq!(pauses.of(Purpose::Trigger, now), None);
    pauses.quota_exceeded(Duration::from_secs(1_000), now);
    assert_eq!(pauses.of(Purpose::Trigger, now).unwrap().left.as_secs(), 1_000, "what nuvo asks for");
}

#[test]
fn trigger_that_finds_out_and_gets_no_answer_is_followed_by_another() {
    let mut pauses = Pauses::default();
    pauses.quota_exceeded(Duration::from_secs(30), START);
    pauses.triggering(after(30.0));
    assert!(pauses.while_probing(after(39.0)).is_some());
    assert_eq!(pauses.while_probing(after(40.0)), None);
}

fn fail(breaker: &mut CircuitBreaker, times: u32, now: Duration) {
    for _ in 0..times {
        let is_probe = breaker.acquire(RequestKind::Get, now).unwrap();
        breaker.ended(is_probe, Availability::Failed, now);
    }
}

#[test]
fn breaker_after_failures_in_a_row_opens() {
    let mut breaker = CircuitBreaker::default();
    fail(&mut breaker, 4, START);
    breaker.ended(false, Availability::Answered, START);
    fail(&mut breaker, 4, START);
    assert_eq!(breaker.left(START), None);
    fail(&mut breaker, 1, START);
    assert_eq!(breaker.acquire(RequestKind::Get, START), Err(Duration::from_secs(1)));
}

#[test]
fn open_breaker_is_probed_by_one_get_and_no_post() {
    let mut breaker = CircuitBreaker::default();
    fail(&mut breaker, 5, START);
    let now = after(1.0);
    assert_eq!(breaker.left(now), None);
    assert!(breaker.acquire(RequestKind::Post, now).is_err());
    assert_eq!(breaker.acquire(RequestKind::Get, now), Ok(true));
    assert!(breaker.acquire(RequestKind::Get, now).is_err() && breaker.left(now).is_some(), "one is enough");
    breaker.ended(true, Availability::Answered, now);
    assert_eq!((breaker.left(now), breaker.acquire(RequestKind::Post, now)), (None, Ok(false)));
}

#[test]
fn failed_probe_doubles_the_time_it_is_open() {
    let (mut breaker, mut now) = (CircuitBreaker::default(), START);
    fail(&mut breaker, 5, now);
    let mut lengths = Vec::new();
    for _ in 0..8 {
        let left = breaker.left(now).unwrap();
        lengths.push(left.as_secs());
        now = now.saturating_add(left);
        fail(&mut breaker, 1, now);
    }
    assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn probe_without_result_allows_another_one() {
    let mut breaker = CircuitBreaker::default();
    fail(&mut breaker, 5, START);
    assert_eq!(breaker.acquire(RequestKind::Get, after(1.0)), Ok(true));
    breaker.ended(true, Availability::Unknown, after(1.0));
    assert_eq!(breaker.acquire(RequestKind::Get, after(1.0)), Ok(true));
}

#[test]
fn answer_to_an_earlier_request_does_not_close_the_breaker() {
    let mut breaker = CircuitBreaker::default();
    let early = breaker.acquire(RequestKind::Get, START).unwrap();
    fail(&mut breaker, 5, START);
    breaker.ended(early, Availability::Answered, START);
    assert!(breaker.left(START).is_some());
}

const GRACE: Duration = Duration::from_secs(300);
const SLOWEST: Duration = Duration::from_secs(10);

fn orders() -> PipelineId {
    PipelineId::new("orders").unwrap()
}

fn key(id: &str) -> Key {
    (orders(), ExecutionId::new(id).unwrap())
}

fn run(name: &str, uid: &str) -> RunRef {
    RunRef { uid: Uid::new(uid).unwrap(), namespace: "team".into(), name: name.into() }
}

/// The wish of a run that has just started these executions.
fn wish(ids: &[&str]) -> Follow {
    let executions = ids.iter().map(|id| key(id).1).collect();
    Follow { executions, age: Duration::ZERO, ours: true, expected: true, late: false, ended_for: None }
}

fn following(run: &RunRef, ids: &[&str]) -> Executions {
    let mut executions = Executions::new(GRACE, 1.0);
    executions.set_pace(Some(Pace { slowest: SLOWEST, rate: 5.0 }));
    executions.follow(run, &orders(), &wish(ids), START);
    executions
}

/// A look at this time that shows these as running. What is read then, and which runs are woken.
fn look(executions: &mut Executions, running: &[&str], now: Duration) -> (Vec<Read>, Vec<RunRef>) {
    let look = executions.begin_look(now);
    let woken = executions.looked(look, Some(&running.iter().map(|id| key(id)).collect()), 1);
    let reads = std::iter::from_fn(|| if let Due::Read(read) = executions.next(now, Some(GRACE), false) { Some(read) } else { None });
    (reads.collect(), woken)
}

/// The next pipeline that is asked about.
fn asked_mode(executions: &mut Executions, now: Duration) -> Option<PipelineId> {
    if let Due::Mode(pipeline) = executions.next(now, Some(GRACE), false) { Some(pipeline) } else { None }
}

fn found(pipeline: &str, status: &str) -> ReadAnswer {
    let report = Execution { id: "e1".into(), status: Some(status.into()), ..Execution::default() };
    ReadAnswer::Found { pipeline: Some(pipeline.into()), report: Box::new(report), took: None }
}

/// The look misses the first execution, and the read of it is answered in this way.
fn answer(executions: &mut Executions, answer: ReadAnswer, now: Duration) -> Vec<RunRef> {
    let (reads, _) = look(executions, &[], now);
    let read = reads.first().unwrap_or_else(|| panic!("nothing is read at {now:?}"));
    executions.answered(read, now, answer, now)
}

fn known(executions: &Executions) -> Option<Known> {
    executions.knowledge(&orders(), &[key("e1").1]).remove(&key("e1").1)
}

#[test]
fn execution_that_the_list_lacks_is_read_once_and_its_end_wakes_its_run() {
    let run = run("orders", "u");
    let mut executions = following(&run, &["e1", "e2"]);
    assert_eq!(look(&mut executions, &["e1", "e2"], after(1.0)), (vec![], vec![]), "what is expected is no news");
    let (reads, woken) = look(&mut executions, &["e2"], after(2.0));
    assert_eq!((reads.len(), woken), (1, vec![]));
    assert_eq!(reads.first().map(|read| (&read.key, read.purpose)), Some((&key("e1"), Purpose::Ending)));
    assert_eq!(look(&mut executions, &["e2"], after(3.0)), (vec![], vec![]), "it is being read");
    let woken = reads.first().map(|read| executions.answered(read, after(2.0), found("orders", "SUCCESSFUL"), after(3.5)));
    assert_eq!(woken, Some(vec![run]));
    assert!(matches!(known(&executions), Some(Known::Report(report)) if report.status.as_deref() == Some("SUCCESSFUL")));
}

#[test]
fn recreated_object_replaces_the_one_before() {
    let (old, new) = (run("orders", "old"), run("orders", "new"));
    let mut executions = following(&old, &["e1"]);
    executions.follow(&new, &orders(), &wish(&["e1"]), START);
    executions.prune(|run| run == &new);
    assert_eq!(answer(&mut executions, found("orders", "SUCCESSFUL"), after(1.0)), [new]);
}

#[test]
fn run_that_joins_late_is_woken_once() {
    let mut executions = following(&run("first", "1"), &["e1"]);
    let joins = |executions: &mut Executions, name| executions.follow(&run(name, name), &orders(), &wish(&["e1"]), after(1.0)).news;
    look(&mut executions, &["e1"], after(1.0));
    assert!(!joins(&mut executions, "second"), "what is expected anyway is no news");
    assert_eq!(answer(&mut executions, found("orders", "FAILED"), after(2.0)).len(), 2);
    assert_eq!((joins(&mut executions, "third"), joins(&mut executions, "third")), (true, false));
}

#[test]
fn execution_is_lost_only_after_uncontradicted_denials() {
    let run = run("orders", "u");
    let mut executions = following(&run, &["e1"]);
    assert_eq!(answer(&mut executions, ReadAnswer::Denied(Absence::Unconfirmed), after(1.0)), []);
    look(&mut executions, &["e1"], after(2.0));
    assert_eq!(answer(&mut executions, ReadAnswer::Denied(Absence::Confirmed), after(10.0)), [], "the list has shown it meanwhile");
    assert_eq!(answer(&mut executions, ReadAnswer::Denied(Absence::Unconfirmed), after(20.0)), []);
    let later = |seconds: f64| after(20.0 + 300.0 + seconds);
    assert!(!executions.needs_list(&key("e1"), after(300.0)) && executions.needs_list(&key("e1"), later(0.0)));
    assert_eq!(answer(&mut executions, ReadAnswer::Denied(Absence::Contradicted), later(0.0)), [], "the list of its pipeline has it");
    assert_eq!(answer(&mut executions, ReadAnswer::Denied(Absence::Confirmed), later(20.0)), [run]);
    assert_eq!(known(&executions), Some(Known::Lost));
}

#[test]
fn answer_about_another_pipeline_counts_only_after_the_grace_time() {
    let run = run("orders", "u");
    let mut executions = following(&run, &["e1"]);
    for seconds in [1.0, 150.0] {
        assert_eq!(answer(&mut executions, found("another", "SUCCESSFUL"), after(seconds)), []);
        assert_eq!(known(&executions), None, "the answer to the trigger has said something else");
    }
    assert_eq!(answer(&mut executions, found("orders", "PROCESSING"), after(200.0)), []);
    assert_eq!(answer(&mut executions, found("another", "SUCCESSFUL"), after(500.0)), []);
    assert!(matches!(known(&executions), Some(Known::Report(_))));
    assert_eq!(answer(&mut executions, found("another", "SUCCESSFUL"), after(800.0)), [run], "it says nothing else any more");
    assert_eq!(known(&executions), Some(Known::Foreign("another".to_owned())));
}

#[test]
fn named_execution_is_an_import_and_foreign_at_once() {
    let run = run("orders", "u");
    let mut executions = Executions::new(GRACE, 0.0);
    executions.set_pace(Some(Pace { slowest: SLOWEST, rate: 5.0 }));
    executions.follow(&run, &orders(), &Follow { ours: false, expected: false, ..wish(&["e1"]) }, START);
    let (reads, _) = look(&mut executions, &[], after(1.0));
    assert_eq!(reads.iter().map(|read| read.purpose).collect::<Vec<_>>(), [Purpose::Import]);
    let woken = reads.first().map(|read| executions.answered(read, after(1.0), found("another", "PROCESSING"), after(1.0)));
    assert_eq!((woken, known(&executions)), (Some(vec![run]), Some(Known::Foreign("another".to_owned()))));
}

#[test]
fn look_waits_for_reads_that_may_end_runs_for_two_periods_at_most() {
    let ids: Vec<String> = (0..100).map(|number| format!("e{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut executions = following(&run("orders", "u"), &ids);
    let (reads, _) = look(&mut executions, &[], after(1.0));
    assert!(reads.len() < ids.len(), "the others wait: {}", reads.len());
    assert!(matches!(executions.next(after(20.9), None, false), Due::Wait(Some(until)) if until == after(21.0)));
    assert!(matches!(executions.next(after(21.0), None, false), Due::Look(_)));
    assert!(matches!(executions.next(after(60.0), None, false), Due::Wait(None)), "one look at a time");
}

#[test]
fn read_of_a_forgotten_execution_is_left_out() {
    let mut executions = following(&run("orders", "u"), &["e1", "e2"]);
    let look = executions.begin_look(after(1.0));
    executions.looked(look, Some(&[].into()), 1);
    executions.forget(&run("orders", "u"));
    assert!(matches!(executions.next(after(1.0), None, false), Due::Mode(_)));
    assert!(matches!(executions.next(after(1.0), None, false), Due::Wait(None)));
}

#[test]
fn mode_of_a_pipeline_is_asked_for_once_an_hour_and_known_at_the_end_of_its_runs() {
    let run = run("orders", "u");
    let mut executions = following(&run, &["e1"]);
    assert_eq!(asked_mode(&mut executions, START), Some(orders()));
    executions.mode_answered(&orders(), Some(PipelineMode { developer: true, schedule: None }));
    executions.follow(&run, &orders(), &wish(&["e1", "e2"]), after(3_599.0));
    assert_eq!(asked_mode(&mut executions, after(3_599.0)), None);
    executions.follow(&run, &orders(), &wish(&["e1", "e3"]), after(3_600.0));
    assert_eq!(asked_mode(&mut executions, after(3_600.0)), Some(orders()));
    assert!(!executions.developer_mode(&orders(), &[key("e1").1]), "it is still running");
    answer(&mut executions, found("orders", "SUCCESSFUL"), after(3_601.0));
    assert!(executions.developer_mode(&orders(), &[key("e1").1]), "the last answer counts until there is another");
}

#[test]
fn pipeline_that_was_not_asked_about_is_asked_about_when_it_is_wanted_again() {
    let run = run("orders", "u");
    let mut executions = following(&run, &["e1"]);
    assert_eq!(asked_mode(&mut executions, START), Some(orders()));
    executions.mode_not_asked(&orders());
    assert_eq!(asked_mode(&mut executions, START), None);
    executions.follow(&run, &orders(), &wish(&["e2"]), after(1.0));
    assert_eq!(asked_mode(&mut executions, after(1.0)), Some(orders()));
}

#[test]
fn run_is_told_only_about_what_it_wants_now() {
    let (one, other) = (run("orders", "u"), run("next", "v"));
    let mut executions = following(&one, &["e1"]);
    executions.follow(&other, &orders(), &wish(&["e1"]), START);
    executions.follow(&one, &orders(), &wish(&["e2"]), START);
    assert_eq!(answer(&mut executions, found("orders", "SUCCESSFUL"), after(1.0)), [other]);
    assert!(executions.knowledge(&orders(), &[key("e1").1]).len() == 1, "the other one still follows it");
}
