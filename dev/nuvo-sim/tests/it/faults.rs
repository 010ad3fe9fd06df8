use std::time::{Duration, Instant};

use nuvo_sim::{Delays, Effect, Fault, HumanDuration, Operation, Pipeline, RecordedResponse};
use reqwest::Method;
use serde_json::json;

use crate::test_client::{BOUND, TOKEN, TestClient, client, json, until, with};

fn orders() -> TestClient {
    with([Pipeline::new("orders").held(), Pipeline::new("other").held()])
}

/// How often the server was asked to start something, and how often it did.
fn counts(sim: &TestClient) -> (u64, u64) {
    (sim.post_count(), sim.executed_count())
}

#[tokio::test]
async fn status_fault_replaces_or_follows_the_effect() {
    let sim = orders();
    sim.add_fault(Fault::on(Operation::Create, Effect::too_many_requests(7)).once());
    let response = sim.post("orders").await.unwrap();
    assert_eq!(response.headers()["retry-after"], "7");
    assert!(json(response, 429).await["error"]["message"].is_string());
    assert_eq!(counts(&sim), (1, 0));
    sim.add_fault(Fault::on(Operation::Create, Effect::status_after_executing(504)).once());
    assert_eq!(sim.post("orders").await.unwrap().status(), 504);
    assert_eq!(counts(&sim), (2, 1));
    sim.create("orders").await;
    assert_eq!(counts(&sim), (3, 2), "both are used up");
    assert_eq!(sim.executions().len(), 2);
}

#[tokio::test]
async fn drop_fault_closes_before_or_after_the_effect() {
    let sim = orders();
    let before = sim.add_fault(Fault::on(Operation::Create, Effect::DROP_BEFORE_EXECUTING).once());
    let error = sim.post("orders").await.unwrap_err();
    assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
    assert_eq!(counts(&sim), (1, 0));
    let after = sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
    sim.post("orders").await.unwrap_err();
    assert_eq!(counts(&sim), (2, 1));
    assert!(sim.fault_reached(before, Duration::ZERO) && sim.fault_reached(after, Duration::ZERO));
    let journal = sim.journal();
    assert_eq!((journal[0].answer, journal[0].executed, journal[0].fault), (RecordedResponse::Dropped, false, Some(before)));
    assert_eq!((journal[1].answer, journal[1].executed, journal[1].fault), (RecordedResponse::Dropped, true, Some(after)));
    sim.create("orders").await;
}

#[tokio::test]
async fn hang_fault_before_executing_holds_the_effect() {
    let sim = orders();
    let fault = sim.add_fault(Fault::on(Operation::Create, Effect::HANG_BEFORE_EXECUTING).once());
    let (response, ()) = tokio::join!(sim.post("orders"), async {
        sim.reached(fault).await;
        assert_eq!(counts(&sim), (1, 0));
        assert_eq!(sim.journal()[0].answer, RecordedResponse::Pending);
        assert!(sim.release(fault));
    });
    assert_eq!(response.unwrap().status(), 201);
    assert_eq!(counts(&sim), (1, 1));
}

#[tokio::test]
async fn hang_fault_after_executing_holds_the_answer() {
    let sim = orders();
    let fault = sim.add_fault(Fault::on(Operation::Create, Effect::HANG_AFTER_EXECUTING));
    let (response, ()) = tokio::join!(sim.post("orders"), async {
        sim.reached(fault).await;
        assert_eq!(counts(&sim), (1, 1));
        sim.clear_faults();
    });
    assert_eq!(response.unwrap().status(), 201, "clearing the faults releases");
    assert!(!sim.release(fault));
}

#[tokio::test]
async fn delay_fault_delays_effect_and_answer() {
    let sim = orders();
    let late = Delays { execute: HumanDuration(Duration::from_millis(60)), answer: HumanDuration(Duration::from_millis(60)) };
    sim.add_fault(Fault::on(Operation::Create, Effect::Delay(late)));
    let begun = Instant::now();
    sim.create("orders").await;
    assert!(begun.elapsed() >= Duration::from_millis(120));
    sim.clear_faults();
    let never = Delays { execute: HumanDuration::default(), answer: HumanDuration::HOLD };
    sim.add_fault(Fault::on(Operation::Create, Effect::Delay(never)));
    tokio::select! {
        _ = sim.post("orders") => panic!("no answer was to come"),
        () = until("the effect is there", async || (sim.executed_count() == 2).then_some(())) => {}
    }
}

#[tokio::test]
async fn raw_fault_replaces_the_answer() {
    let sim = orders();
    let html = Effect::Raw { body: "<html>".to_owned(), content_type: "text/html".to_owned(), status: 502, executed: true };
    sim.add_fault(Fault::on(Operation::Create, html).once());
    let response = sim.post("orders").await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (502, "text/html"));
    assert_eq!(response.text().await.unwrap(), "<html>");
    sim.add_fault(Fault::on(Operation::Create, Effect::raw(r#"{"data": "soon"}"#)).once());
    assert_eq!(json(sim.post("orders").await.unwrap(), 200).await, json!({"data": "soon"}));
    assert_eq!(counts(&sim), (2, 1));
}

#[tokio::test]
async fn cut_fault_breaks_the_body_off() {
    let sim = orders();
    sim.add_fault(Fault::on(Operation::Create, Effect::Cut).once());
    let response = sim.post("orders").await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(response.bytes().await.is_err());
    assert_eq!(counts(&sim), (1, 1));
}

#[tokio::test]
async fn redirect_fault_answers_location_and_executes_nothing() {
    let sim = orders();
    let effect = Effect::Redirect { location: "https://example.com/".to_owned(), status: 307 };
    sim.add_fault(Fault::any(effect));
    let response = sim.post("orders").await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["location"]), (307, &"https://example.com/".parse().unwrap()));
    assert_eq!(counts(&sim), (1, 0));
}

#[tokio::test]
async fn fault_with_conditions_matches_only_fitting_requests() {
    let sim = orders();
    let [mine, ..] = &sim.create("orders").await[..] else { panic!("one file") };
    let other = sim.create("other").await.remove(0);
    let status = async |path: &str| sim.send(Method::GET, path, TOKEN, None).await.unwrap().status().as_u16();
    sim.add_fault(Fault::on(Operation::Read, Effect::status(503)).pipeline("orders").skip(1).times(2));
    let path = format!("execution/{mine}");
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(status(&path).await);
        assert_eq!(status(&format!("execution/{other}")).await, 200);
    }
    assert_eq!(seen, [200, 503, 503, 200]);
    sim.add_fault(Fault::on(Operation::List, Effect::status(500)).pipeline("orders"));
    sim.add_fault(Fault::on(Operation::Pipeline, Effect::status(501)).pipeline("orders"));
    sim.add_fault(Fault::on(Operation::Token, Effect::status(502)));
    assert_eq!(status("execution/?filters[pipeline]=other").await, 200);
    assert_eq!(status("execution/?filters[pipeline]=orders").await, 500);
    assert_eq!((status("pipeline/other").await, status("pipeline/orders").await), (200, 501));
    assert_eq!(sim.send(Method::POST, "access/token", "", Some(json!({}))).await.unwrap().status(), 502);
    let reached: Vec<_> = sim.faults().iter().map(|report| report.reached).collect();
    assert_eq!(reached, [2, 1, 1, 1]);
}

#[test]
fn fault_reached_blocks_until_a_request_meets_it() {
    let sim = orders();
    let fault = sim.add_fault(Fault::on(Operation::List, Effect::status(503)));
    assert!(!sim.fault_reached(fault, Duration::from_millis(1)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(sim.send(Method::GET, "execution/", TOKEN, None)).unwrap();
        });
        assert!(sim.fault_reached(fault, BOUND));
    });
}

#[tokio::test]
async fn dropped_simulator_closes_open_connections() {
    let sim = orders();
    let fault = sim.add_fault(Fault::any(Effect::HANG_BEFORE_EXECUTING));
    let TestClient { sim, client } = sim;
    let url = format!("{}execution/", sim.base_url());
    let hanging = tokio::spawn(client.get(&url).send());
    until("the fault is reached", async || (sim.fault_count(fault) > 0).then_some(())).await;
    drop(sim);
    hanging.await.unwrap().unwrap_err();
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn offline_simulator_refuses_connections_and_keeps_its_state() {
    let sim = orders();
    let id = sim.create("orders").await.remove(0);
    let url = sim.base_url();
    sim.go_offline().unwrap();
    sim.go_offline().unwrap();
    // The first client may not have noticed yet that its connection is closed.
    let sim = TestClient { client: client(), ..sim };
    let error = sim.post("orders").await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(counts(&sim), (1, 1));
    sim.go_online().unwrap();
    sim.go_online().unwrap();
    assert_eq!(sim.base_url(), url);
    assert_eq!(sim.read(&id).await["status"], "PROCESSING");
}
