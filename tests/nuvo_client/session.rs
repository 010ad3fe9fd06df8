//! A session: its rate limit, its pauses, its circuit breaker and its shared looks, over real sockets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use nuvo_client::{Client, Error};
use nuvo_core::{
    run::{AccountHash, Nonce, Obstacle, PostOutcome, Unexecuted},
    scheduler::Purpose,
};
use nuvo_crds::{NuvoPipeline, PipelineRun};
use nuvo_operator::account::{
    AccountDriver, Announcements, Session, SessionSettings,
    driver::{Patience, PipelineNotifier, RunNotifier},
};
use nuvo_operator::shutdown::{self, Shutdown};

use crate::{
    client, e, fixed, p,
    server::{Server, closed_port, json, raw},
    settings, with_settings,
};

fn session(client: Client, requests_per_second: u32, shutdown: Shutdown) -> Arc<Session> {
    let (announcements, _) = tokio::sync::mpsc::channel(1);
    session_announcing(client, requests_per_second, announcements, shutdown)
}

fn session_announcing(client: Client, requests_per_second: u32, announcements: Announcements, shutdown: Shutdown) -> Arc<Session> {
    let settings = SessionSettings {
        requests_per_second,
        observe_period: Duration::from_secs(60),
        poll_period: Duration::from_secs(1),
        identity: None,
        account: AccountHash::new("account").unwrap(),
        shown_identity: None,
        breaker: Arc::default(),
        announcements,
        waited: Box::new(|_| {}),
    };
    let driver = AccountDriver::new(Arc::new(NoRuns), Arc::new(NoPipelines), PATIENCE, 0.0);
    let requests = driver.requests();
    let session = Arc::new(Session::new(client, requests, settings));
    driver.connect(Some(session.clone()));
    tokio::spawn(async move { driver.run(async move { shutdown.begun().await }).await });
    session
}

const PATIENCE: Patience =
    Patience { grace: Duration::from_secs(300), confirm: Duration::from_secs(10), overlap: Duration::from_secs(360) };

/// There is no pipeline to be woken.
struct NoPipelines;

impl PipelineNotifier for NoPipelines {
    fn wake_pipeline(&self, _: &ObjectRef<NuvoPipeline>) {}

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// There is no run to be woken.
struct NoRuns;

impl RunNotifier for NoRuns {
    fn wake(&self, _: &ObjectRef<PipelineRun>) {}

    fn exists(&self, _: &ObjectRef<PipelineRun>) -> bool {
        false
    }
}

#[tokio::test]
async fn request_during_a_pause_is_refused() {
    let server = Server::start(|_| raw("HTTP/1.1 429 X\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n")).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 5, shutdown);
    assert!(matches!(session.newest(Some(p())).await, Err(Error::RateLimited { .. })));
    for _ in 0..3 {
        let Err(Error::Paused(pause)) = session.newest(Some(p())).await else { panic!("not paused") };
        assert_eq!(pause.obstacle, Obstacle::RateLimited);
        assert!(pause.left > Duration::from_secs(590), "{pause}");
        assert!(matches!(session.read(&e("e1"), Purpose::Ending).await, Err(Error::Paused(_))));
        assert!(matches!(session.turn(tokio::time::Instant::now()).await, Err(Error::Paused(_))));
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn post_that_was_not_executed_pauses_the_account() {
    let limited = raw("HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    let server = Server::start(move |request| if request.starts_with("POST") { limited.clone() } else { json(401, "{}") }).await;
    let refusing = Server::start(|_| json(401, "{}")).await;
    for (origin, reason, seconds) in [
        (server.origin.clone(), Obstacle::RateLimited, 7),
        (closed_port().await, Obstacle::Unavailable, 5),
        (refusing.origin.clone(), Obstacle::Account, 60),
    ] {
        let (_stop, shutdown) = shutdown::channel();
        let session = session(with_settings(&origin, fixed(), settings()), 5, shutdown);
        session.create(&p(), &Nonce::new("nonce-1").unwrap()).await;
        let pause = session.paused(Purpose::Trigger).unwrap();
        // A quota of executions is no reason to read nothing.
        assert_eq!(session.paused(Purpose::Ending).is_none(), reason == Obstacle::RateLimited, "{origin}");
        assert_eq!((pause.obstacle, pause.left.as_secs_f64().ceil()), (reason, f64::from(seconds)), "{origin}");
    }
}

/// A rejection before nuvo has ever accepted the credentials is known to whoever verifies them. A new one after they were accepted again is
/// announced anew.
#[tokio::test]
async fn rejection_is_announced_once() {
    let accepted = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&accepted);
    let server = Server::start(move |_| {
        if now.load(Ordering::SeqCst) { json(200, r#"{"data":{"id":"e1","status":"PROCESSING"}}"#) } else { json(401, "{}") }
    })
    .await;
    let (_stop, shutdown) = shutdown::channel();
    let (announcements, mut announced) = tokio::sync::mpsc::channel(1);
    let session = session_announcing(client(&server), 100, announcements, shutdown);
    assert_eq!(session.read(&e("e1"), Purpose::Ending).await, Err(Error::Unauthorized));
    assert!(announced.try_recv().is_err());
    for _ in 0..2 {
        accepted.store(true, Ordering::SeqCst);
        assert!(session.read(&e("e1"), Purpose::Ending).await.is_ok());
        accepted.store(false, Ordering::SeqCst);
        assert_eq!(session.read(&e("e1"), Purpose::Ending).await, Err(Error::Unauthorized));
        assert_eq!(session.read(&e("e1"), Purpose::Ending).await, Err(Error::Unauthorized));
        assert_eq!((announced.try_recv(), announced.try_recv().is_err()), (Ok(()), true));
    }
}

#[tokio::test]
async fn wait_for_the_rate_limit_ends_with_the_shutdown() {
    let server = Server::start(|_| json(200, r#"{"data":{"id":"e1","status":"PROCESSING"}}"#)).await;
    let (stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 1, shutdown);
    let read = async || session.read(&e("e1"), Purpose::Ending).await;
    // The second token is there after a second, the third after two.
    let first = async {
        let answer = read().await;
        stop.stop();
        answer
    };
    let (first, second, third) = tokio::join!(first, read(), read());
    assert!(first.is_ok(), "{first:?}");
    assert_eq!((second, third, server.requests().len()), (Err(Error::Stopping), Err(Error::Stopping), 1));
}

/// A server that does not answer is left alone, and one GET, never a POST, finds out when it is back.
#[tokio::test]
async fn open_breaker_is_closed_by_one_get() {
    let well = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&well);
    let server = Server::start(move |request| {
        if !now.load(Ordering::SeqCst) {
            return json(502, "{}");
        }
        json(
            200,
            if request.starts_with("POST") {
                r#"{"data":[{"id":"e1","pipeline":"p","status":"PROCESSING"}]}"#
            } else {
                r#"{"data":{"id":"e1","status":"PROCESSING"}}"#
            },
        )
    })
    .await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 100, shutdown);
    let nonce = Nonce::new("nonce-1").unwrap();
    for _ in 0..5 {
        assert!(matches!(session.read(&e("e1"), Purpose::Ending).await, Err(Error::Server { .. })));
    }
    assert!(session.paused(Purpose::Trigger).is_some_and(|pause| pause.obstacle == Obstacle::Unavailable));
    for _ in 0..5 {
        assert!(matches!(session.read(&e("e1"), Purpose::Ending).await, Err(Error::Paused(_))));
    }
    let not_sent = |outcome| matches!(outcome, PostOutcome::NotExecuted { then: Unexecuted::RetryAfter(_, Obstacle::Unavailable), .. });
    assert!(not_sent(session.create(&p(), &nonce).await));
    assert_eq!(server.requests().len(), 5, "nothing was sent meanwhile");
    well.store(true, Ordering::SeqCst);
    let over = async {
        let mut check = tokio::time::interval(Duration::from_millis(20));
        while session.paused(Purpose::Trigger).is_some() {
            check.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), over).await.expect("the pause ends");
    assert!(not_sent(session.create(&p(), &nonce).await), "a POST does not find out");
    assert_eq!(server.requests().len(), 5);
    session.read(&e("e1"), Purpose::Ending).await.unwrap();
    assert_eq!((session.paused(Purpose::Trigger), server.requests().len()), (None, 6));
    assert!(matches!(session.create(&p(), &nonce).await, PostOutcome::Accepted(_)));
}

const NEWEST_FIRST: &str = r#"{"data":[
    {"id":"e2","status":"PROCESSING","pipeline":"p","created_at":"2026-01-01T10:00:02Z"},
    {"id":"e1","status":"PROCESSING","pipeline":"p","created_at":"2026-01-01T10:00:01Z"}
]}"#;

/// One look serves all triggers that wait for one, also when it fails; a later trigger needs a later look.
#[tokio::test]
async fn look_is_shared_by_the_triggers_that_wait_for_it() {
    let well = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&well);
    let server = Server::start(move |_| json(if now.load(Ordering::SeqCst) { 200 } else { 500 }, NEWEST_FIRST)).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 100, shutdown);
    let look = async || {
        let after = tokio::time::Instant::now();
        futures::future::join_all((0..20).map(|_| session.turn(after))).await
    };
    assert!(look().await.iter().all(|result| matches!(result, Err(Error::Server { .. }))));
    assert_eq!(server.requests().len(), 1, "a failure is shared");
    well.store(true, Ordering::SeqCst);
    assert!(look().await.iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 2);
    look().await.into_iter().for_each(|result| drop(result.unwrap()));
    assert_eq!(server.requests().len(), 3, "a later one needs a later look");
}

#[tokio::test]
async fn triggers_under_a_tight_rate_limit_share_looks() {
    let server = Server::start(|_| json(200, NEWEST_FIRST)).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 50, shutdown);
    // Only so many turns are out at once: each is given back, as its POST would do it.
    let trigger = async || drop(session.turn(tokio::time::Instant::now()).await.unwrap());
    futures::future::join_all((0..200).map(|_| trigger())).await;
    let looks = server.requests().len();
    assert!(looks <= 40, "{looks} looks for 200 triggers");
}

/// The pause is as long as the answer says.
#[tokio::test]
async fn post_answered_503_is_unknown_and_pauses_the_account() {
    let server = Server::start(|_| raw("HTTP/1.1 503 X\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")).await;
    let (_stop, shutdown) = shutdown::channel();
    let session = session(client(&server), 100, shutdown);
    assert!(matches!(session.create(&p(), &Nonce::new("nonce-1").unwrap()).await, PostOutcome::Unknown { .. }));
    let pause = session.paused(Purpose::Trigger).unwrap();
    assert_eq!((pause.obstacle, pause.left.as_secs_f64().ceil()), (Obstacle::Unavailable, 60.0));
    assert!(matches!(session.turn(tokio::time::Instant::now()).await, Err(Error::Paused(_))));
}
