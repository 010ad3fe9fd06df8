use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use nuvo_sim::{Identity, ListOrder, Pipeline, Seed, Sim, SimConfig, SimError, Spelling, Status, Total, Trigger};
use reqwest::Method;
use serde_json::json;

use crate::test_client::{TOKEN, TestClient, config, start, until, with};

/// Ten executions, `e0` the oldest; those of `odd` pipelines FAILED.
fn ten(config: SimConfig) -> TestClient {
    let sim = start(config);
    for number in 0..10_u64 {
        let odd = number % 2 == 1;
        let seed = Seed::new(if odd { "odd" } else { "even" }).id(format!("e{number}")).ago(Duration::from_secs(100 - number));
        sim.seed_execution(seed.status(if odd { Status::Failed } else { Status::Processing })).unwrap();
    }
    sim
}

#[tokio::test]
async fn query_with_filters_order_and_pages_is_applied() {
    let sim = ten(config([]));
    assert_eq!(sim.ids(&[]).await[0], "e9", "without an order, the newest come first");
    let odd = [("filters[pipeline]", "odd"), ("sort[created_at]", "asc")];
    assert_eq!(sim.ids(&odd).await, ["e1", "e3", "e5", "e7", "e9"]);
    assert_eq!(sim.ids(&[("filters[pipeline]", "odd"), ("filters[status]", "PROCESSING")]).await, [""; 0]);
    let both = [("filters[status][$in][0]", "FAILED"), ("filters[status][$in][1]", "PROCESSING"), ("sort[created_at]", "desc")];
    assert_eq!(sim.ids(&both).await.len(), 10);
    assert_eq!(sim.ids(&[("filters[created_by.identifier]", "unknown@example.com")]).await, [""; 0]);
    let page = [("sort[created_at]", "asc"), ("pagination[limit]", "4"), ("pagination[offset]", "8")];
    assert_eq!(sim.ids(&page).await, ["e8", "e9"]);
    assert_eq!(sim.list(&page).await["pagination"], json!({"total": 10, "offset": 8, "limit": 4}));
    let entry = &sim.list(&page).await["data"][0];
    assert_eq!((entry.get("logs"), entry.get("configuration")), (None, None), "entries of the list are no whole executions");
    assert!(sim.list(&[("filters[pipeline]", "odd")]).await["data"][0]["error"]["type"].is_string());
}

#[tokio::test]
async fn configuration_of_lists_limits_pages_and_ignores_filters_and_orders() {
    let ignored_filters = ["pipeline".to_owned()].into();
    let sim = ten(SimConfig { default_limit: 2, max_limit: 3, total: Total::Page, ignored_filters, ..config([]) });
    assert_eq!(sim.list(&[]).await["pagination"], json!({"total": 2, "offset": 0, "limit": 2}));
    assert_eq!(sim.list(&[("pagination[limit]", "100")]).await["pagination"], json!({"total": 3, "offset": 0, "limit": 3}));
    assert_eq!(sim.ids(&[("filters[pipeline]", "odd"), ("pagination[limit]", "3")]).await, ["e9", "e8", "e7"]);
    assert_eq!(sim.ids(&[("filters[status]", "FAILED")]).await, ["e9", "e7"], "only the named filters are ignored");
    sim.configure(|config| config.order = ListOrder::NewestFirst);
    assert_eq!(sim.ids(&[("sort[created_at]", "asc")]).await, ["e9", "e8"]);
    sim.configure(|config| config.order = ListOrder::OldestFirst);
    assert_eq!(sim.ids(&[("sort[created_at]", "desc")]).await, ["e0", "e1"]);
}

#[tokio::test]
async fn mixed_order_is_no_order_by_time_but_always_the_same() {
    let sim = ten(SimConfig { order: ListOrder::Mixed, ..config([]) });
    let sorted = |mut ids: Vec<String>| {
        ids.sort_unstable();
        ids
    };
    let (found, again) = (sim.ids(&[("sort[created_at]", "desc")]).await, sim.ids(&[("sort[created_at]", "asc")]).await);
    assert_eq!(found, again);
    let ascending = sorted(found.clone());
    let descending: Vec<String> = ascending.iter().rev().cloned().collect();
    assert!(found != ascending && found != descending, "{found:?}");
}

#[tokio::test]
async fn executions_of_one_moment_are_shown_as_such() {
    let sim = with([]);
    let seed = Seed::new("orders").ago(Duration::from_secs(60)).trigger(Trigger::Event).spelling(Spelling::Sample);
    let ids = sim.seed_executions(&seed, 40);
    let page = sim.list(&[("pagination[limit]", "100")]).await;
    let entries = page["data"].as_array().unwrap();
    let times: BTreeSet<&str> = entries.iter().map(|entry| entry["created_at"].as_str().unwrap()).collect();
    assert_eq!((ids.iter().collect::<BTreeSet<_>>().len(), entries.len(), times.len()), (40, 40, 1));
}

/// 00:59:59 and 01:00:01 UTC of the last Sunday of October, when the clocks of Berlin go back from 3 to 2.
#[tokio::test]
async fn times_without_a_zone_are_those_of_the_local_zone() {
    let summer_ends = "2026-10-25T01:00:00Z".parse::<Timestamp>().unwrap();
    let clock_skew_ms = summer_ends.as_millisecond() - Timestamp::now().as_millisecond();
    let local_zone = "CET-1CEST,M3.5.0,M10.5.0/3".to_owned();
    let sim = start(SimConfig { clock_skew_ms, local_zone, ..config([]) });
    let seed = Seed::new("orders").spelling(Spelling::Sample).status(Status::Successful);
    sim.seed_execution(seed.clone().id("summer").ago(Duration::from_secs(3_600))).unwrap();
    sim.seed_execution(seed.id("winter")).unwrap();
    for id in ["summer", "winter"] {
        let created = sim.read(id).await["created_at"].clone();
        assert!(created.as_str().unwrap().starts_with("2026-10-25 02:0"), "{id}: {created}");
    }
    assert!(matches!(Sim::start(SimConfig { local_zone: "Berlin".to_owned(), ..config([]) }), Err(SimError::Zone(_))));
}

#[tokio::test]
async fn query_with_unknown_parameters_is_refused() {
    let sim = with([]);
    for query in ["filters[color]=red", "filters[status][$ne]=FAILED", "sort[id]=asc", "sort[created_at]=up", "pagination[limit]=many"] {
        let status = sim.send(Method::GET, &format!("execution/?{query}"), TOKEN, None).await.unwrap().status();
        assert_eq!(status, 400, "{query}");
    }
    sim.list(&[("options[attach_meta]", "true")]).await;
}

#[tokio::test]
async fn execution_within_list_lag_is_readable_but_not_listed() {
    let sim = start(SimConfig { list_lag: Duration::MAX, ..config([Pipeline::new("orders").held()]) });
    let never = sim.create("orders").await.remove(0);
    sim.read(&never).await;
    assert!(sim.ids(&[]).await.is_empty());
    sim.configure(|config| config.list_lag = Duration::from_millis(40));
    let late = sim.create("orders").await;
    until("the second is listed", async || (sim.ids(&[]).await == late).then_some(())).await;
    let listed: Vec<_> = sim.executions().iter().map(|execution| execution.listed).collect();
    assert_eq!(listed, [false, true]);
}

#[tokio::test]
async fn executions_of_the_same_time_keep_their_order() {
    let sim = with([Pipeline::new("orders").files(5)]);
    let mut ids = sim.create("orders").await;
    assert_eq!(sim.ids(&[("sort[created_at]", "asc")]).await, ids);
    ids.reverse();
    assert_eq!(sim.ids(&[("sort[created_at]", "desc")]).await, ids);
    sim.seed_execution(Seed::new("orders").by(Identity::sub_org("acme"))).unwrap();
    assert_eq!(sim.ids(&[("filters[created_by.identifier]", "acme")]).await.len(), 1);
}
