use std::time::Duration;

use nuvo_sim::{
    Change, Delays, Effect, Ending, Fault, HumanDuration, Identity, Operation, Pipeline, Seed, SimError, Spelling, Starts, Stats, Status,
    Trigger,
};
use reqwest::Method;
use serde_json::json;

use crate::test_client::{TOKEN, config, json, me, start, until, with};

const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn start_of_several_files_makes_one_execution_per_file() {
    let sim = with([0, 1, 3].map(|files| Pipeline::new(format!("files-{files}")).files(files).held()));
    for files in [0, 1, 3] {
        let pipeline = format!("files-{files}");
        let answer = json(sim.post(&pipeline).await.unwrap(), 201).await;
        let entries = answer["data"].as_array().unwrap();
        assert_eq!(entries.len(), files);
        for entry in entries {
            let expected = json!({"id": entry["id"], "pipeline": pipeline, "status": "PROCESSING", "trigger_type": "MANUAL"});
            assert_eq!(*entry, expected);
            assert_eq!(sim.read(entry["id"].as_str().unwrap()).await["status"], "PROCESSING");
        }
        assert_eq!((sim.post_count_of(&pipeline), sim.executed_count_of(&pipeline)), (1, 1));
    }
    let executions = sim.executions();
    assert_eq!(executions.len(), 4);
    assert!(executions.iter().all(|execution| execution.created_by == me()));
    assert_eq!(executions[3].request, Some(sim.journal().iter().rfind(|request| request.method == "POST").unwrap().number));
}

#[tokio::test]
async fn execution_after_its_duration_has_its_outcome() {
    let stats = Stats { total_rows: 10, total_cells: 40, total_error_cells: 2, total_error_rows: 1 };
    let soon = Duration::from_millis(30);
    let sim = with([
        Pipeline::new("good").duration(soon).stats(stats),
        Pipeline::new("bad").duration(soon).failing("PARSING_FAILURE", "line 7 is not CSV"),
        Pipeline::new("mixed").duration(NOW).files(3).outcomes([Ending::Failed, Ending::Successful]),
    ]);
    let good = sim.read_until(&sim.create("good").await[0], "SUCCESSFUL").await;
    assert_eq!(good.get("error"), None);
    let log = &good["logs"][0];
    assert_eq!(log["data"], json!({"total_rows": 10, "total_cells": 40, "total_error_cells": 2, "total_error_rows": 1}));
    assert_eq!((&log["type"], &log["duration"], &log["status"]), (&json!("CREATE"), &json!(30), &json!("SUCCESSFUL")));
    let bad = sim.read_until(&sim.create("bad").await[0], "FAILED").await;
    assert_eq!(bad["error"], json!({"type": "PARSING_FAILURE", "message": "line 7 is not CSV"}));
    sim.create("mixed").await;
    let mixed: Vec<_> = sim.executions().into_iter().filter(|e| e.pipeline == "mixed").map(|e| e.status).collect();
    assert_eq!(mixed, [Status::Failed, Status::Successful, Status::Successful]);
}

#[tokio::test]
async fn execution_changed_by_hand_finishes_and_is_repaired() {
    let sim = with([Pipeline::new("orders").held()]);
    let id = sim.create("orders").await.remove(0);
    sim.update(&id, Change::failed("WRITE_FILE_FAILURE", "no permission")).unwrap();
    let failed = sim.read(&id).await;
    assert_eq!((&failed["status"], &failed["error"]["type"]), (&json!("FAILED"), &json!("WRITE_FILE_FAILURE")));
    sim.finish(&id, Status::Processing).unwrap();
    let again = sim.read(&id).await;
    assert_eq!(again["status"], "PROCESSING");
    assert_eq!(again.get("error"), None);
    let stats = Stats { total_rows: 5, ..Stats::default() };
    assert_eq!(sim.update(&id, Change::status(Status::Successful).stats(stats)).unwrap().runs, 2);
    let repaired = sim.read(&id).await;
    assert_eq!(repaired["status"], "SUCCESSFUL");
    let logs: Vec<_> = repaired["logs"].as_array().unwrap().iter().map(|log| (log["type"].clone(), log["status"].clone())).collect();
    assert_eq!(logs, [(json!("CREATE"), json!("FAILED")), (json!("FIX"), json!("SUCCESSFUL"))]);
    assert_eq!(repaired["logs"][1]["data"]["total_rows"], 5);
    let odd = Change::status(Status::from("PAUSED")).field("trigger_type", json!(null));
    sim.update(&id, odd).unwrap();
    let odd = sim.read(&id).await;
    assert_eq!((&odd["status"], &odd["trigger_type"]), (&json!("PAUSED"), &json!(null)));
    sim.remove_execution(&id).unwrap();
    assert!(matches!(sim.finish(&id, Status::Failed), Err(SimError::NoSuchExecution(_))));
}

#[tokio::test]
async fn execution_with_fix_after_is_repaired_by_itself() {
    let sim = with([Pipeline::new("orders").duration(NOW).failing("PARSING_FAILURE", "no").fix_after(Duration::from_millis(50))]);
    let id = sim.create("orders").await.remove(0);
    let repaired = sim.read_until(&id, "SUCCESSFUL").await;
    assert_eq!(repaired["logs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn spelling_of_answers_follows_one_reading_of_the_documentation() {
    let done = |id: &str, spelling| Pipeline::new(id).duration(NOW).spelling(spelling);
    let sim = with([done("text", Spelling::Text), done("sample", Spelling::Sample), done("seen", Spelling::Seen)]);
    let mut shown = Vec::new();
    for pipeline in ["text", "sample", "seen"] {
        shown.push(sim.read(&sim.create(pipeline).await[0]).await);
    }
    let [text, sample, seen] = &shown[..] else { panic!("three pipelines") };
    assert!(text["logs"][0]["started_on"].is_string());
    assert_eq!((text.get("error"), &text["logs"][0]["type"]), (None, &json!("CREATE")));
    assert!(text["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(sample["logs"][0]["started_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((sample.get("error"), &sample["logs"][0]["type"]), (Some(&json!(null)), &json!("CREATED")));
    let bare = sample["created_at"].as_str().unwrap();
    assert_eq!((bare.len(), bare.as_bytes()[10]), ("2022-03-07 12:48:28.653".len(), b' '));
    assert!(seen["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(seen["configuration"]["developer_mode"], false);
}

#[tokio::test]
async fn request_for_unknown_or_inactive_object_is_refused() {
    let sim = with([Pipeline::new("sleeping").active(false), Pipeline::new("draft").draft(true)]);
    assert_eq!(sim.post("none").await.unwrap().status(), 404);
    assert_eq!(sim.post("sleeping").await.unwrap().status(), 422);
    assert_eq!(sim.post("draft").await.unwrap().status(), 422);
    assert_eq!(sim.send(Method::POST, "execution/", TOKEN, Some(json!({}))).await.unwrap().status(), 400);
    assert_eq!((sim.post_count(), sim.executed_count()), (4, 0));
    let status = async |path: &str| sim.send(Method::GET, path, TOKEN, None).await.unwrap().status().as_u16();
    assert_eq!((status("execution/none").await, status("pipeline/none").await, status("execution").await), (400, 400, 404));
    sim.configure(|config| config.not_found_status = 404);
    assert_eq!(status("execution/none").await, 404);
}

#[tokio::test]
async fn pipeline_set_and_removed_is_shown_as_such() {
    let sim = with([]);
    sim.set_pipeline(Pipeline::new("a b/c").developer_mode(true)).unwrap();
    let shown = sim.get("pipeline/a%20b%2Fc").await;
    assert_eq!(shown["data"]["id"], "a b/c");
    assert_eq!((&shown["data"]["active"], &shown["data"]["draft"]), (&json!(true), &json!(false)));
    assert_eq!(shown["data"]["configuration"]["developer_mode"], true);
    assert!(sim.remove_pipeline("a b/c"));
    assert!(!sim.remove_pipeline("a b/c"));
    assert!(matches!(sim.set_pipeline(Pipeline::new("")), Err(SimError::Pipeline { .. })));
}

#[tokio::test]
async fn execution_seeded_has_other_creator_and_counts_no_post() {
    let sim = start(nuvo_sim::SimConfig { clock_skew_ms: 3_600_000, ..config([]) });
    let theirs = Seed::new("orders").id("theirs").ago(Duration::from_secs(3600)).trigger(Trigger::Scheduled).status(Status::Failed);
    sim.seed_execution(theirs.error("SOURCE_DATA_EMPTY", "empty")).unwrap();
    assert!(matches!(sim.seed_execution(Seed::new("orders").id("theirs")), Err(SimError::DuplicateExecution(_))));
    let mine = sim.seed_execution(Seed::new("orders").by(me())).unwrap();
    let shown = sim.read("theirs").await;
    assert_eq!((&shown["trigger_type"], &shown["error"]["type"]), (&json!("SCHEDULED"), &json!("SOURCE_DATA_EMPTY")));
    assert_eq!(shown["created_by"]["identifier"], "other.user@example.com");
    assert!(shown["created_at"].as_str().unwrap() < sim.read(&mine).await["created_at"].as_str().unwrap());
    assert_eq!((sim.post_count(), sim.executed_count()), (0, 0));
}

#[tokio::test]
async fn clock_that_is_moved_ends_what_was_to_end_meanwhile_and_leaves_the_past() {
    let hour = Duration::from_secs(3_600);
    let sim = with([Pipeline::new("orders").duration(hour * 3)]);
    sim.post("orders").await.unwrap();
    let begun = sim.executions().remove(0);
    for (moved, status) in [(hour * 2, Status::Processing), (hour * 4, Status::Successful)] {
        sim.move_clock(moved);
        let now = sim.executions().remove(0);
        assert_eq!((now.status, &now.created_at), (status, &begun.created_at));
        assert!(sim.elapsed() >= moved && sim.elapsed() < moved + hour);
    }
}

#[tokio::test]
async fn start_after_caller_disconnected_is_carried_out() {
    let sim = with([Pipeline::new("orders").held()]);
    let fault = sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING));
    tokio::select! {
        _ = sim.post("orders") => panic!("no answer was to come"),
        () = sim.reached(fault) => {}
    }
    assert_eq!(sim.executed_count(), 0);
    sim.release(fault);
    until("the start is carried out", async || (sim.executed_count() == 1).then_some(())).await;
}

#[tokio::test]
async fn start_with_answer_delay_is_carried_out_before_the_answer() {
    let slow = Delays { execute: HumanDuration(Duration::from_millis(20)), answer: HumanDuration::HOLD };
    let sim = with([Pipeline::new("orders").delays(slow)]);
    tokio::select! {
        _ = sim.post("orders") => panic!("no answer was to come"),
        () = until("the start is carried out", async || (sim.executed_count() == 1).then_some(())) => {}
    }
    assert_eq!(sim.executions().len(), 1);
}

/// Without a request: by its schedule, and by an event, each in the name of another creator.
#[tokio::test]
async fn pipeline_that_the_server_starts_itself_has_executions_without_a_post() {
    let every = Duration::from_millis(50);
    let robot = Identity::sub_org("robot");
    let sim = with([
        Pipeline::new("deliveries").duration(NOW).starts(Starts::every(every)),
        Pipeline::new("returns").held().starts(Starts::every(every).by(Trigger::Event).creator(robot.clone())),
        Pipeline::new("off").active(false).starts(Starts::every(every)),
    ]);
    let of = |pipeline: &str| sim.executions().into_iter().filter(|found| found.pipeline == pipeline).collect::<Vec<_>>();
    let enough = async || (of("deliveries").len() >= 3 && of("returns").len() >= 2).then_some(());
    until("executions of both", enough).await;
    let (deliveries, returns) = (of("deliveries"), of("returns"));
    assert!(
        deliveries.iter().all(|found| found.trigger == Trigger::Scheduled && found.status == Status::Successful && found.request.is_none())
    );
    assert!(returns.iter().all(|found| found.trigger == Trigger::Event && found.created_by == robot && found.status == Status::Processing));
    assert_eq!((of("off").len(), sim.post_count(), sim.executed_count()), (0, 0, 0));

    sim.set_pipeline(Pipeline::new("deliveries").duration(NOW).active(false)).unwrap();
    let before = of("deliveries").len();
    let id = sim.start_by_itself("deliveries", Trigger::Event, me()).unwrap().remove(0);
    assert_eq!(
        sim.read(&id).await["created_by"],
        json!({"id": "id-of-me@example.com", "name": "me", "identifier": "me@example.com", "type": "USER"})
    );
    assert_eq!(of("deliveries").len(), before + 1, "no starts any more but this one");
    assert!(matches!(sim.start_by_itself("none", Trigger::Event, me()), Err(SimError::NoSuchPipeline(_))));
    let never = sim.set_pipeline(Pipeline::new("never").starts(Starts::every(NOW)));
    assert!(never.unwrap_err().to_string().contains("starts.every"));
}

#[tokio::test]
async fn pipeline_read_shows_its_trigger_and_schedule_in_each_spelling() {
    let of = |id: &str, spelling| Pipeline::new(id).named("Deliveries").scheduled("DAILY", 2).spelling(spelling);
    let sim = with([
        of("text", Spelling::Text),
        of("sample", Spelling::Sample),
        of("seen", Spelling::Seen),
        Pipeline::new("plain").event_based(),
    ]);
    let read =
        async |id: &str| json(sim.send(Method::GET, &format!("pipeline/{id}"), TOKEN, None).await.unwrap(), 200).await["data"].clone();
    let text = read("text").await;
    assert_eq!((&text["name"], &text["input_connector"]["trigger_type"]), (&json!("Deliveries"), &json!("TIME_BASE")));
    assert_eq!(text["schedule"], json!({"frequency": "DAILY", "interval": 2}));
    let sample = read("sample").await;
    assert_eq!((&sample["trigger_type"], &sample["schedule"]), (&json!("TIME_BASE"), &json!("DAILY x 2")));
    let seen = read("seen").await;
    assert_eq!(
        (&seen["inputConnector"]["triggerType"], &seen["schedule"]),
        (&json!("TIME_BASE"), &json!({"type": "DAILY", "interval": 2}))
    );
    let plain = read("plain").await;
    assert_eq!(
        (&plain["name"], &plain["input_connector"]["trigger_type"], plain.get("schedule")),
        (&json!("plain"), &json!("EVENT_BASE"), None)
    );
}

#[tokio::test]
async fn seed_that_lasted_has_an_end_and_a_duration() {
    let sim = with([]);
    let seed = Seed::new("orders").ago(Duration::from_secs(60)).lasted(Duration::from_secs(20)).status(Status::Successful);
    let id = sim.seed_execution(seed.stats(Stats { total_rows: 7, ..Stats::default() })).unwrap();
    let log = &sim.read(&id).await["logs"][0];
    assert_eq!((&log["duration"], &log["data"]["total_rows"]), (&json!(20_000), &json!(7)));
}
