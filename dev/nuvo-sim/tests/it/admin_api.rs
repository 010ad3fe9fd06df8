use nuvo_sim::{Operation, Pipeline, Spelling, Trigger};
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_client::{TOKEN, TestClient, json, with};

/// Calls an administrative path.
async fn call(sim: &TestClient, method: Method, path: &str, body: impl ToString, status: u16) -> Value {
    let request = sim.client.request(method, format!("{}{path}", sim.admin_url())).body(body.to_string());
    json(request.send().await.unwrap(), status).await
}

#[tokio::test]
async fn pipelines_put_and_deleted_appear_and_disappear() {
    let sim = with([]);
    call(&sim, Method::PUT, "pipelines/orders", "duration: hold\nfiles: 2\nspelling: sample", 200).await;
    call(&sim, Method::PUT, "pipelines/bad", json!({"outcome": "FAILED", "duration": "0s", "delays": {"execute": "1ms"}}), 200).await;
    assert_eq!(sim.pipelines()[1], Pipeline::new("orders").held().files(2).spelling(Spelling::Sample));
    let shown = call(&sim, Method::GET, "pipelines", "", 200).await;
    assert_eq!((&shown["pipelines"][0]["id"], &shown["pipelines"][1]["files"]), (&json!("bad"), &json!(2)));
    // What is shown can be put back.
    call(&sim, Method::PUT, "pipelines/orders", &shown["pipelines"][1], 200).await;
    let put = "starts: {every: 1h, trigger: EVENT}\nschedule: {frequency: DAILY}\ninputTrigger: EVENT_BASE\nname: Orders";
    let shown = call(&sim, Method::PUT, "pipelines/orders", put, 200).await;
    assert_eq!((&shown["starts"]["trigger"], &shown["schedule"]["interval"]), (&json!("EVENT"), &json!(1)));
    let started = call(&sim, Method::POST, "pipelines/orders/start", "", 201).await;
    assert_eq!((started["ids"].as_array().unwrap().len(), sim.executions()[0].trigger), (1, Trigger::Event));
    call(&sim, Method::POST, "pipelines/orders/start", "{trigger: SCHEDULED, creator: {identifier: x}}", 201).await;
    assert_eq!((sim.executions()[1].trigger, sim.executions()[1].created_by.identifier.as_str()), (Trigger::Scheduled, "x"));
    call(&sim, Method::POST, "pipelines/none/start", "", 404).await;
    call(&sim, Method::POST, "pipelines/orders/start", "trigger: NEVER", 400).await;
    for wrong in ["starts: {every: 0s}", "filez: 2", "duration: soon", "id: other", "outcome: []", "- 1"] {
        assert!(call(&sim, Method::PUT, "pipelines/orders", wrong, 400).await["error"]["message"].is_string(), "{wrong}");
    }
    call(&sim, Method::DELETE, "pipelines/orders", "", 200).await;
    call(&sim, Method::DELETE, "pipelines/orders", "", 404).await;
}

#[tokio::test]
async fn executions_added_changed_and_deleted_are_shown_as_such() {
    let sim = with([Pipeline::new("orders").held()]);
    let id = sim.create("orders").await.remove(0);
    let change = json!({"status": "FAILED", "error": {"type": "PARSING_FAILURE", "message": "no"}, "stats": {"totalRows": 3}});
    assert_eq!(call(&sim, Method::PATCH, &format!("executions/{id}"), change, 200).await["status"], "FAILED");
    let shown = sim.read(&id).await;
    assert_eq!((&shown["error"]["type"], &shown["logs"][0]["data"]["total_rows"]), (&json!("PARSING_FAILURE"), &json!(3)));
    call(&sim, Method::PATCH, &format!("executions/{id}"), "state: FAILED", 400).await;
    call(&sim, Method::PATCH, "executions/none", "status: FAILED", 404).await;
    let seed = "{id: theirs, pipeline: orders, ago: 1h, creator: {identifier: x, type: SUB_ORG}, trigger: EVENT, status: SUCCESSFUL}";
    call(&sim, Method::POST, "executions", seed, 201).await;
    call(&sim, Method::POST, "executions", seed, 409).await;
    let all = call(&sim, Method::GET, "executions", "", 200).await;
    assert_eq!((&all["executions"][0]["id"], &all["executions"][1]["createdBy"]["type"]), (&json!(id), &json!("SUB_ORG")));
    call(&sim, Method::DELETE, "executions/theirs", "", 200).await;
    assert_eq!(sim.executions().len(), 1);
}

#[tokio::test]
async fn faults_added_are_counted_released_and_removed() {
    let sim = with([Pipeline::new("orders").held()]);
    let effects = [
        "{status: {code: 503, headers: {retry-after: \"2\"}, body: {message: no}}}",
        "{delay: {execute: 1ms, answer: 2ms}}",
        "{drop: {executed: true}}",
        "{hang: {executed: false}}",
        "{raw: {body: x, contentType: text/html, status: 200, executed: true}}",
        "{redirect: {location: \"https://example.com/\"}}",
        "cut",
    ];
    for (index, effect) in effects.iter().enumerate() {
        let rule = format!("{{operation: read, pipeline: none, skip: 1, times: 2, effect: {effect}}}");
        assert_eq!(call(&sim, Method::POST, "faults", rule, 201).await["id"], index + 1, "{effect}");
    }
    for wrong in ["effect: explode", "{operation: fly, effect: cut}", "effect: {status: {code: 99}}", "{}"] {
        call(&sim, Method::POST, "faults", wrong, 400).await;
    }
    call(&sim, Method::DELETE, "faults/1", "", 200).await;
    call(&sim, Method::DELETE, "faults/1", "", 404).await;
    call(&sim, Method::POST, "faults/4/release", "", 200).await;
    let shown = call(&sim, Method::GET, "faults", "", 200).await;
    assert_eq!(shown["faults"].as_array().unwrap().len(), 6);
    assert_eq!((&shown["faults"][1]["effect"], &shown["faults"][1]["reached"]), (&json!({"drop": {"executed": true}}), &json!(0)));
    call(&sim, Method::DELETE, "faults", "", 200).await;
    assert!(sim.faults().is_empty());
    call(&sim, Method::POST, "faults", json!({"operation": "create", "times": 1, "effect": {"drop": {"executed": true}}}), 201).await;
    sim.post("orders").await.unwrap_err();
    assert_eq!(sim.executed_count(), 1);
}

#[tokio::test]
async fn journal_of_requests_shows_request_and_response() {
    let sim = with([Pipeline::new("orders").held()]);
    let url = format!("{}execution/", sim.base_url());
    let request = sim.client.get(&url).query(&[("filters[pipeline]", "a&b")]).header("x-request-id", "r-1").bearer_auth(TOKEN);
    request.send().await.unwrap();
    sim.create("orders").await;
    let journal = sim.journal();
    let first = &journal[0];
    assert_eq!((first.number, first.method.as_str(), first.path.as_str()), (1, "GET", "/dp/api/v1/execution/"));
    assert_eq!((first.header("x-request-id"), first.header("user-agent")), (Some("r-1"), Some("tester/1")));
    assert_eq!((first.operation, first.status(), first.pipeline.as_deref()), (Operation::List, Some(200), Some("a&b")));
    assert_eq!(first.query, [("filters[pipeline]".to_owned(), "a&b".to_owned())]);
    assert_eq!((journal[1].status(), &journal[1].body, journal[1].executed), (Some(201), &json!({"pipeline_id": "orders"}), true));
    let shown = call(&sim, Method::GET, "journal", "", 200).await;
    assert_eq!(shown["requests"], json!(journal));
    assert!(!shown.to_string().contains(TOKEN));
    let counts = call(&sim, Method::GET, "counts", "", 200).await;
    assert_eq!(counts["pipelines"], json!({"orders": {"posts": 1, "executed": 1}}));
    call(&sim, Method::DELETE, "journal", "", 200).await;
    assert!(sim.journal().is_empty());
    assert_eq!(sim.post_count(), 1, "the counts stay");
}

#[tokio::test]
async fn tokens_revoked_are_refused() {
    let sim = with([]);
    call(&sim, Method::GET, "healthz", "", 200).await;
    call(&sim, Method::GET, "nothing", "", 404).await;
    call(&sim, Method::POST, "tokens/revoke", "", 200).await;
    assert_eq!(sim.send(Method::GET, "execution/", TOKEN, None).await.unwrap().status(), 401);
}
