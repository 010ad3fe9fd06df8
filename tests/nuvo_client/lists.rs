//! Lists over several pages, from servers that may ignore any parameter.

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use nuvo_client::{Client, Error, ExecutionStatus, ListQuery, Listing};

use crate::{
    client, p,
    server::{Answer, Server, json},
};

/// A list server: `total` executions, of which every second one belongs to another pipeline.
fn list_server(total: usize, limit: Option<usize>, offsets: bool, echo: bool) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    move |request| {
        let number = |name: &str| -> usize {
            let value = request.split(&format!("pagination%5B{name}%5D=")).nth(1).unwrap();
            value.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
        };
        let from = if offsets { number("offset") } else { 0 };
        let size = limit.unwrap_or_else(|| number("limit"));
        let items: Vec<_> = (from..total.min(from.saturating_add(size)))
            .map(|i| format!(r#"{{"id":"e{i}","status":"PROCESSING","pipeline":"{}"}}"#, if i % 2 == 0 { "p" } else { "q" }))
            .collect();
        let echo = if echo { format!(r#","pagination":{{"limit":{},"total":0}}"#, number("limit")) } else { String::new() };
        json(200, &format!(r#"{{"data":[{}]{echo}}}"#, items.join(",")))
    }
}

/// A list of at most ten pages, and for how many of them leave was asked.
async fn listing(client: &Client, query: &ListQuery) -> (Listing, usize) {
    let asked = AtomicUsize::new(0);
    let admit = |page| {
        assert_eq!(asked.fetch_add(1, Ordering::SeqCst), page);
        ready(Ok(())).boxed()
    };
    let listing = client.list(query, 10, &admit).await.result.unwrap();
    (listing, asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn list_without_permission_for_a_page_ends() {
    let server = Server::start(list_server(5_000, None, true, true)).await;
    let admit = |page| ready(if page < 3 { Ok(()) } else { Err(Error::Stopping) }).boxed();
    assert_eq!(client(&server).list(&ListQuery::default(), 10, &admit).await.result, Err(Error::Stopping));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn list_of_a_server_that_ignores_parameters_ends() {
    // (what the server does, thorough) -> (items, complete, requests)
    let everything = Some(usize::MAX);
    for (what, total, limit, offsets, echo, thorough, expected) in [
        ("honest", 250, None, true, true, false, (125, true, 3)),
        ("honest, one short page", 40, None, true, true, false, (20, true, 1)),
        ("honest, thorough", 40, None, true, true, true, (20, true, 2)),
        ("honest, exact pages", 200, None, true, true, false, (100, true, 3)),
        ("empty", 0, None, true, true, true, (0, true, 1)),
        ("a smaller page, not said", 120, Some(50), true, false, false, (60, true, 3)),
        ("a smaller page, denied, thorough", 120, Some(50), true, true, true, (60, true, 3)),
        ("no offset", 300, None, false, true, false, (50, false, 2)),
        ("no limit and no offset", 250, everything, false, false, false, (125, false, 2)),
        ("too many pages", 5_000, None, true, true, false, (500, false, 10)),
    ] {
        let server = Server::start(list_server(total, limit, offsets, echo)).await;
        let query = ListQuery { pipeline: Some(p()), thorough, ..ListQuery::default() };
        let (listing, asked) = listing(&client(&server), &query).await;
        assert_eq!((listing.items.len(), listing.complete, server.requests().len()), expected, "{what}");
        assert_eq!(asked, expected.2, "{what}: each page is asked for");
        assert!(listing.items.iter().all(|i| i.pipeline.as_deref() == Some("p")), "{what}");
        assert!(server.requests()[0].contains("filters%5Bpipeline%5D=p&sort%5Bcreated_at%5D=asc&pagination%5Blimit%5D=100"), "{what}");
    }
}

#[tokio::test]
async fn unreadable_entry_makes_the_list_incomplete() {
    let body = r#"{"data":[{"id":"a","status":"PROCESSING","pipeline":"p"},{"id":"b"},{"id":"c","status":"FAILED","pipeline":"p"}],
        "pagination":{"limit":100}}"#;
    let server = Server::start(move |_| json(200, body)).await;
    let query = ListQuery { pipeline: Some(p()), status: Some(ExecutionStatus::Processing), ..ListQuery::default() };
    let (listing, _) = listing(&client(&server), &query).await;
    assert_eq!((listing.items.len(), listing.complete), (1, false));
}
