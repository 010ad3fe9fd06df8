use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn seen(holder: Option<&str>, duration: Option<i32>) -> Option<StoredLease<'_>> {
    Some(StoredLease { holder, duration })
}

#[test]
fn lease_decides_what_a_candidate_does() {
    let seconds = Duration::from_secs;
    for (record, unchanged, expected) in [
        (None, seconds(0), Action::Create),
        (seen(None, None), seconds(0), Action::Take),
        (seen(Some(""), Some(1)), seconds(0), Action::Take),
        (seen(Some("me"), Some(15)), seconds(0), Action::Renew),
        (seen(Some("me"), Some(15)), seconds(100), Action::Renew),
        (seen(Some("you"), Some(15)), seconds(0), Action::Wait),
        (seen(Some("you"), Some(15)), Duration::from_millis(14_999), Action::Wait),
        (seen(Some("you"), Some(15)), seconds(15), Action::Take),
        (seen(Some("you"), Some(60)), seconds(59), Action::Wait),
        (seen(Some("you"), Some(60)), seconds(60), Action::Take),
        // A duration that makes no sense does not shorten ours.
        (seen(Some("you"), Some(1)), seconds(14), Action::Wait),
        (seen(Some("you"), Some(-1)), seconds(14), Action::Wait),
        (seen(Some("you"), None), seconds(15), Action::Take),
    ] {
        assert_eq!(decide("me", record, unchanged, LEASE), expected, "{record:?} unchanged for {unchanged:?}");
    }
}

#[test]
fn default_timing_is_that_of_client_go_and_leaves_a_margin() {
    let Timing { lease, renew_deadline, retry, request } = Timing::default();
    assert_eq!((lease.as_secs(), renew_deadline.as_secs(), retry.as_secs()), (15, 10, 2));
    assert!(renew_deadline < lease && request <= renew_deadline / 2 && retry < request);
}

/// An API server that holds one Lease, checks resourceVersions, and can fall silent.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    silent: bool,
}

impl Store {
    fn client(&self) -> Client {
        let store = self.clone();
        Client::new(tower::service_fn(move |request| store.clone().answer(request)), "operators")
    }

    fn elector(&self, identity: &str) -> Elector {
        let timing = Timing {
            lease: Duration::from_secs(1),
            renew_deadline: Duration::from_millis(500),
            retry: Duration::from_millis(20),
            request: Duration::from_millis(250),
        };
        Elector::new(
            self.client(),
            "operators",
            LEASE_NAME.to_owned(),
            identity.to_owned(),
            timing,
            k8s_openapi::jiff::Timestamp::now,
            Metrics::new(),
        )
    }

    fn holder(&self) -> String {
        let state = self.0.lock().unwrap();
        state.lease.as_ref().and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or_default().to_owned()
    }

    fn write(state: &mut State, mut lease: Value) -> Value {
        state.version = state.version.saturating_add(1);
        lease["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.lease = Some(lease.clone());
        lease
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
        if self.0.lock().unwrap().silent {
            std::future::pending::<()>().await;
        }
        let mut state = self.0.lock().unwrap();
        let stored = state.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        let answer = match (parts.method, stored) {
            (Method::GET, Some(_)) => Ok(state.lease.clone().unwrap()),
            (Method::POST, None) => Ok(Self::write(&mut state, body)),
            (Method::PUT, Some(version)) if body["metadata"]["resourceVersion"] == version => Ok(Self::write(&mut state, body)),
            (Method::GET | Method::PUT, None) => Err((404, "NotFound")),
            _ => Err((409, "Conflict")),
        };
        let (code, body) = match answer {
            Ok(lease) => (200, lease),
            Err((code, reason)) => {
                (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}))
            }
        };
        Ok(Response::builder().status(StatusCode::from_u16(code).unwrap()).body(Body::from(body.to_string().into_bytes())).unwrap())
    }
}

#[tokio::test]
async fn standby_leads_when_the_leader_releases_the_lease() {
    let store = Store::default();
    let (mut first, mut second) = (store.elector("first"), store.elector("second"));
    first.acquire(&Health::default()).await;
    let (stop, until) = crate::shutdown::channel();
    let holding = tokio::spawn(async move {
        tokio::select! {
            lost = first.hold() => panic!("{lost}"),
            () = until.begun() => first,
        }
    });
    // Longer than the lease: it is kept by renewals alone.
    assert!(timeout(Duration::from_millis(1_500), second.acquire(&Health::default())).await.is_err());
    assert_eq!(store.holder(), "first");
    stop.stop();
    let mut first = holding.await.unwrap();
    first.release().await;
    assert_eq!(store.holder(), "");
    timeout(Duration::from_millis(500), second.acquire(&Health::default())).await.expect("a released lease is taken at once");
    assert_eq!(store.holder(), "second");
    // Releasing what another holds changes nothing.
    first.release().await;
    assert_eq!(store.holder(), "second");
}

#[tokio::test]
async fn lease_of_a_silent_holder_is_taken_only_after_its_whole_duration() {
    let store = Store::default();
    store.elector("crashed").acquire(&Health::default()).await;
    let started = Instant::now();
    store.elector("next").acquire(&Health::default()).await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(store.holder(), "next");
}

#[tokio::test]
async fn holder_that_cannot_renew_stops_before_its_lease_expires() {
    let store = Store::default();
    let mut elector = store.elector("first");
    elector.acquire(&Health::default()).await;
    let started = Instant::now();
    store.0.lock().unwrap().silent = true;
    assert!(matches!(elector.hold().await, Lost::Expired(_)));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn taken_lease_is_lost() {
    let store = Store::default();
    let mut elector = store.elector("first");
    elector.acquire(&Health::default()).await;
    {
        let mut state = store.0.lock().unwrap();
        let mut lease = state.lease.clone().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        Store::write(&mut state, lease);
    }
    assert_eq!(elector.hold().await, Lost::Taken("thief".to_owned()));
}

#[tokio::test]
async fn free_lease_goes_to_one_of_two_candidates() {
    let store = Store::default();
    let (mut a, mut b) = (store.elector("a"), store.elector("b"));
    a.acquire(&Health::default()).await;
    a.release().await;
    let (most, health) = (Duration::from_millis(400), Health::default());
    let (first, second) = tokio::join!(timeout(most, a.acquire(&health)), timeout(most, b.acquire(&health)));
    assert!(first.is_ok() != second.is_ok());
}

#[test]
fn lease_is_shared_by_operators_that_watch_the_same_only() {
    let all = lease_name(&[], None);
    let (team, other) = (vec!["team-a".to_owned()], vec!["team-b".to_owned()]);
    assert_eq!(all, "nuvo-operator-leader");
    let names =
        [all, lease_name(&team, None), lease_name(&other, None), lease_name(&[], Some("team=a")), lease_name(&team, Some("team=a"))];
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
    assert_eq!(lease_name(&team, None), names[1]);
}
