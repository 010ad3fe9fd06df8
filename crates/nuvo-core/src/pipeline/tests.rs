use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nuvo_crds::{
    DueBy, Freshness, NuvoPipeline, NuvoPipelineSpec, NuvoPipelineStatus, QualityGate, SeenExecution, Stats,
    conditions::{self, FRESH, LAST_EXECUTION_SUCCEEDED, QUALITY_GATE_PASSED, READY, RECONCILING, STALLED},
};

use super::{Observed, ObservedState, PipelineFacts, PipelineJudgement, Report, differs, events_of_pipeline, status};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn object(spec: impl FnOnce(&mut NuvoPipelineSpec)) -> NuvoPipeline {
    let mut object: NuvoPipeline = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "orders", "namespace": "team", "uid": "u", "generation": 3, "creationTimestamp": "1970-01-01T00:16:40Z" },
        "spec": { "pipelineId": "orders" },
    }))
    .unwrap();
    spec(&mut object.spec);
    object
}

fn execution(id: &str, status: &str, ended: i64) -> SeenExecution {
    SeenExecution {
        id: id.to_owned(),
        status: status.to_owned(),
        trigger_type: Some("SCHEDULED".to_owned()),
        created_at: Some(Time(at(ended.saturating_sub(10)))),
        ended_at: Some(Time(at(ended))),
        created_by: Some("Jane (USER)".to_owned()),
        error_type: (status == "FAILED").then(|| "PARSING_FAILURE".to_owned()),
        ..SeenExecution::default()
    }
}

fn observed(report: Report, complete: i64) -> Observed {
    Observed { report: Some(report), complete: Some(at(complete)), ..Observed::nothing(ObservedState::Observed) }
}

fn success(ended: i64) -> Report {
    let execution = execution("e1", "SUCCESSFUL", ended);
    Report {
        last_success: Some(execution.clone()),
        last_counted: Some(execution.clone()),
        last_execution: Some(execution),
        ..Report::default()
    }
}

fn judged(object: &NuvoPipeline, observed: &Observed, now: i64) -> PipelineJudgement {
    status(&PipelineFacts { object, observed, now: at(now), is_clock_in_doubt: false })
}

/// Status and reason of a condition.
fn condition<'a>(status: &'a NuvoPipelineStatus, type_: &str) -> (&'a str, &'a str) {
    conditions::find(&status.conditions, type_).map_or(("", ""), |found| (found.status.as_str(), found.reason.as_str()))
}

fn fresh_within(seconds: i64) -> NuvoPipeline {
    object(|spec| spec.freshness = Some(Freshness { max_age_seconds: Some(seconds), ..Freshness::default() }))
}

#[test]
fn success_is_fresh_until_it_is_too_old_and_a_complete_look_has_begun_since() {
    let object = fresh_within(100);
    let fresh = |complete, now| {
        let PipelineJudgement { status, changes_at } = judged(&object, &observed(success(10_000), complete), now);
        let (word, reason) = condition(&status, FRESH);
        (word.to_owned(), reason.to_owned(), changes_at.map(Timestamp::as_second))
    };
    let is = |word: &str, reason: &str, changes_at| (word.to_owned(), reason.to_owned(), changes_at);
    assert_eq!(fresh(10_090, 10_099), is("True", "Fresh", Some(10_100)));
    assert_eq!(fresh(10_099, 10_100), is("Unknown", "NotObserved", None));
    assert_eq!(fresh(10_100, 10_130), is("False", "Stale", None));
}

#[test]
fn pipeline_that_never_succeeded_is_as_old_as_its_object() {
    let object = fresh_within(100);
    let nothing = |now| condition(&judged(&object, &observed(Report::default(), now), now).status, FRESH).1.to_owned();
    assert_eq!((nothing(1_099), nothing(1_100)), ("Pending".to_owned(), "NeverSucceeded".to_owned()));
}

#[test]
fn freshness_is_unknown_while_the_clock_is_in_doubt_or_a_gap_is_open() {
    let object = fresh_within(100);
    let seen = observed(success(10_000), 20_000);
    let doubt = status(&PipelineFacts { object: &object, observed: &seen, now: at(20_000), is_clock_in_doubt: true });
    assert_eq!(condition(&doubt.status, FRESH), ("Unknown", "ClockInDoubt"));
    for state in [ObservedState::CatchingUp, ObservedState::OrderUnknown] {
        let behind = judged(&object, &Observed { state, ..seen.clone() }, 20_000);
        assert_eq!(condition(&behind.status, FRESH), ("Unknown", "NotObserved"));
    }
}

#[test]
fn success_without_enough_rows_does_not_count() {
    let object = object(|spec| {
        spec.freshness = Some(Freshness { max_age_seconds: Some(100), min_rows: 10, ..Freshness::default() });
    });
    let report = Report { last_counted: None, ..success(20_000) };
    let judged = judged(&object, &observed(report, 20_000), 20_000);
    assert_eq!(condition(&judged.status, FRESH), ("False", "NeverSucceeded"));
}

#[test]
fn account_that_is_away_changes_nothing_that_is_known() {
    let mut object = fresh_within(100);
    object.status = Some(judged(&object, &observed(success(10_000), 10_010), 10_010).status);
    let away = judged(&object, &Observed::nothing(ObservedState::AccountNotReady("no Secret".into())), 10_020).status;
    assert_eq!(condition(&away, READY), ("False", "AccountNotReady"));
    assert_eq!(condition(&away, STALLED), ("", ""));
    assert_eq!(condition(&away, FRESH), ("True", "Fresh"));
    assert_eq!(away.last_success, object.status.as_ref().unwrap().last_success);
    let stale = judged(&object, &Observed::nothing(ObservedState::AccountNotReady("no Secret".into())), 10_200).status;
    assert_eq!(condition(&stale, FRESH), ("Unknown", "NotObserved"), "it pages no one as stale data");
}

#[test]
fn only_what_does_not_continue_by_itself_is_stalled() {
    let object = object(|_| ());
    for (state, ready, reason, stalled) in [
        (ObservedState::Pending, "Unknown", "Pending", ""),
        (ObservedState::Observed, "True", "Observed", ""),
        (ObservedState::CatchingUp, "True", "CatchingUp", ""),
        (ObservedState::Forbidden, "False", "PipelineForbidden", ""),
        (ObservedState::Unavailable("away".into()), "False", "NuvoUnavailable", ""),
        (ObservedState::OrderUnknown, "False", "OrderUnknown", ""),
        (ObservedState::TooMany(5), "False", "TooManyPipelines", ""),
        (ObservedState::NotFound, "False", "PipelineNotFound", "True"),
    ] {
        let is_new = state == ObservedState::Pending;
        let status = judged(&object, &Observed::nothing(state), 20_000).status;
        assert_eq!(condition(&status, READY), (ready, reason));
        assert_eq!(condition(&status, STALLED).0, stalled);
        assert_eq!(condition(&status, RECONCILING).0, if is_new { "True" } else { "" });
        assert_eq!(status.observed_generation, Some(3));
    }
}

#[test]
fn last_result_is_that_of_the_execution_that_ended_last() {
    let object = object(|_| ());
    let failure = |ended| Some(execution("e2", "FAILED", ended));
    let result =
        |report: Report| condition(&judged(&object, &observed(report, 20_000), 20_000).status, LAST_EXECUTION_SUCCEEDED).1.to_owned();
    assert_eq!(result(Report::default()), "");
    assert_eq!(result(success(10_000)), "Succeeded");
    assert_eq!(result(Report { last_failure: failure(10_001), ..success(10_000) }), "ExecutionFailed");
    assert_eq!(result(Report { last_failure: failure(9_999), ..success(10_000) }), "Succeeded");
    assert_eq!(result(Report { is_fixed: true, ..success(10_000) }), "FixedInNuvo");
}

#[test]
fn quality_gate_is_judged_by_the_last_success_once_it_was_read() {
    let object = object(|spec| spec.quality_gate = Some(QualityGate { max_error_rows: Some(5), ..QualityGate::default() }));
    let gate = |stats: Option<Stats>| {
        let mut report = success(10_000);
        report.last_success.as_mut().unwrap().stats = stats;
        condition(&judged(&object, &observed(report, 20_000), 20_000).status, QUALITY_GATE_PASSED).1.to_owned()
    };
    let with = |rows| Some(Stats { total_error_rows: Some(rows), ..Stats::default() });
    assert_eq!(
        [gate(None), gate(with(5)), gate(with(6)), gate(Some(Stats::default()))],
        ["NotRead", "Passed", "QualityGateFailed", "QualityGateFailed"]
    );
}

#[test]
fn events_tell_what_turned_and_each_failure_once() {
    let object = fresh_within(100);
    let shown = |report: Report, now| judged(&object, &observed(report, now), now).status;
    let events = |old: &NuvoPipelineStatus, new: &NuvoPipelineStatus| {
        events_of_pipeline(Some(old), new).into_iter().map(|event| event.reason).collect::<Vec<_>>()
    };
    let fresh = shown(success(10_000), 10_010);
    let stale = shown(success(10_000), 10_200);
    assert_eq!(events_of_pipeline(None, &fresh), []);
    assert_eq!(events(&fresh, &stale), ["Stale"]);
    assert_eq!(events(&stale, &stale), Vec::<&str>::new());
    assert_eq!(events(&stale, &shown(success(10_250), 10_260)), ["FreshAgain"]);
    let failed = |id: &str, ended| Report { last_failure: Some(execution(id, "FAILED", ended)), ..success(10_000) };
    let once = shown(failed("e2", 10_020), 10_030);
    assert_eq!(events(&fresh, &once), ["ExecutionFailed"]);
    assert_eq!(events(&once, &once), Vec::<&str>::new());
    assert_eq!(events(&once, &shown(failed("e3", 10_040), 10_050)), ["ExecutionFailed"]);
    assert_eq!(events(&once, &shown(success(10_060), 10_070)), ["ExecutionSucceeded"]);
}

#[test]
fn what_was_counted_alone_is_not_worth_a_write() {
    let object = object(|_| ());
    let seen = |second: i64| Report {
        seen: Some(nuvo_crds::Seen { floor: Some(Time(at(second))), ..nuvo_crds::Seen::default() }),
        ..success(10_000)
    };
    let [before, after] = [1, 2].map(|second| judged(&object, &observed(seen(second), 20_000), 20_000).status);
    assert!(differs(None, &before) && !differs(Some(&before), &after));
    let first = NuvoPipelineStatus { seen: None, ..before.clone() };
    assert!(differs(Some(&first), &before), "without it, a restart would begin anew");
}

/// 2026-11-27 was a Friday.
fn time(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

#[test]
fn data_is_due_by_a_time_of_working_days_and_a_success_in_the_window_before_renews_it() {
    let object = object(|spec| {
        let due = DueBy { schedule: "0 7 * * 1-5".into(), time_zone: "Europe/Berlin".into(), window_seconds: 7_200 };
        spec.freshness = Some(Freshness { due_by: vec![due], ..Freshness::default() });
    });
    let fresh = |ended: &str, now: &str| {
        let PipelineJudgement { status, changes_at } = judged(&object, &observed(success(time(ended)), time(now)), time(now));
        (condition(&status, FRESH).1.to_owned(), changes_at.map(|at| at.to_string()))
    };
    let is = |reason: &str, changes_at: Option<&str>| (reason.to_owned(), changes_at.map(str::to_owned));
    // 07:00 in Berlin is 06:00 UTC in winter.
    let monday = Some("2026-11-30T06:00:00Z");
    assert_eq!(fresh("2026-11-27T04:00:00Z", "2026-11-27T06:00:00Z"), is("Fresh", monday));
    assert_eq!(fresh("2026-11-27T03:59:59Z", "2026-11-27T06:00:00Z"), is("Stale", None), "a second too early");
    assert_eq!(fresh("2026-11-26T05:00:00Z", "2026-11-27T05:59:59Z"), is("Fresh", Some("2026-11-27T06:00:00Z")));
    assert_eq!(fresh("2026-11-26T05:00:00Z", "2026-11-27T06:00:00Z"), is("Stale", None));
    assert_eq!(fresh("2026-11-27T06:30:00Z", "2026-11-27T06:31:00Z"), is("Fresh", monday), "late, but renewed");
    assert_eq!(fresh("2026-11-27T04:00:00Z", "2026-11-29T12:00:00Z"), is("Fresh", monday), "nothing is due at the weekend");
}

#[test]
fn pipeline_without_a_success_owes_only_what_was_due_since_its_object_exists() {
    let mut object = object(|spec| {
        let due = DueBy { schedule: "@hourly".into(), time_zone: "UTC".into(), window_seconds: 600 };
        spec.freshness = Some(Freshness { due_by: vec![due], ..Freshness::default() });
    });
    object.metadata.creation_timestamp = Some(Time(at(time("2026-11-27T06:30:00Z"))));
    let reason = |now: &str| {
        let judged = judged(&object, &observed(Report::default(), time(now)), time(now));
        condition(&judged.status, FRESH).1.to_owned()
    };
    assert_eq!((reason("2026-11-27T06:59:59Z"), reason("2026-11-27T07:00:00Z")), ("Pending".to_owned(), "NeverSucceeded".to_owned()));
}

#[test]
fn time_that_cannot_be_read_is_an_invalid_spec() {
    for (schedule, zone) in [("0 7 * * 9", "UTC"), ("0 7 * * 1-5", "Europe/Nowhere")] {
        let object = object(|spec| {
            let due = DueBy { schedule: schedule.into(), time_zone: zone.into(), window_seconds: 600 };
            spec.freshness = Some(Freshness { due_by: vec![due], ..Freshness::default() });
        });
        let status = judged(&object, &observed(success(10_000), 10_010), 10_020).status;
        assert_eq!((condition(&status, READY), condition(&status, STALLED).0), (("False", "InvalidSpec"), "True"));
        assert_eq!(condition(&status, FRESH), ("", ""));
    }
}

#[test]
fn success_that_may_exist_keeps_data_from_being_stale_until_it_would_be_too_old_itself() {
    let object = object(|spec| {
        spec.freshness = Some(Freshness { max_age_seconds: Some(100), min_rows: 10, ..Freshness::default() });
    });
    let mut report = success(10_000);
    report.last_counted.as_mut().unwrap().stats = Some(Stats { total_rows: Some(10), ..Stats::default() });
    report.possible = Some(at(10_090));
    let fresh = |report: &Report, now| {
        let PipelineJudgement { status, changes_at } = judged(&object, &observed(report.clone(), now), now);
        (condition(&status, FRESH).1.to_owned(), changes_at.map(Timestamp::as_second))
    };
    assert_eq!(fresh(&report, 10_050), ("Fresh".to_owned(), Some(10_100)));
    assert_eq!(fresh(&report, 10_110), ("NotObserved".to_owned(), Some(10_190)));
    assert_eq!(fresh(&report, 10_190), ("Stale".to_owned(), None));
    report.possible = None;
    assert_eq!(fresh(&report, 10_110), ("Stale".to_owned(), None));
}
