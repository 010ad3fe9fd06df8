//! A proxy in front of a server that makes faults: requests or answers that are lost, late, doubled or wrong.
//!
//! In front of the API server it has that one's certificate, so a kubeconfig needs no other change than the port, see
//! [`Proxy::kubeconfig`]. In front of a plain HTTP server see [`Proxy::http`]. It passes everything through as it comes, also the
//! credentials; answers are streamed, so watches work. It does not pass upgrades (`exec`).

mod forward;

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::{Context, ControlPlane, Error, MovedClock, kubeconfig, lock};

/// A request of a client, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// Such as `PATCH`.
    pub method: String,
    /// The path of the URL.
    pub path: String,
    /// The query of the URL; empty without one.
    pub query: String,
    /// The header `X-Request-Id`, by which a client names what it delivers.
    pub request_id: Option<String>,
    /// The body.
    pub body: Bytes,
    /// Its place in the journal.
    pub seq: usize,
}

impl RequestInfo {
    /// Whether this is a watch.
    pub fn is_watch(&self) -> bool {
        is_watch(&self.query)
    }
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1")
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// As without the proxy.
    Forward,
    /// The server gets it when it is released, also if its client is gone by then.
    HoldBeforeForward,
    /// The server gets it, its client gets the answer when it is released.
    ForwardThenHold,
    /// The server does not get it. Its client gets this answer.
    Respond(Answer),
    /// The server gets it and answers. Its client gets this answer instead.
    ForwardThenRespond(Answer),
    /// The server does not get it. Its client loses the connection.
    DropBeforeForward,
    /// The server gets it and answers. Its client loses the connection instead.
    ForwardThenDrop,
    /// The server gets it a second time when it has answered the first. Its client gets the first answer.
    ForwardTwice,
    /// The server gets it after this time.
    Delay(Duration),
}

/// An answer that the proxy makes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// This status with this JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body: body.into() }
    }

    /// This status with a page, as a gateway answers.
    pub fn html(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), "text/html".to_owned())], body: body.into() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What came.
    pub request: RequestInfo,
    /// Whether it, or its answer, waits to be released.
    pub held: bool,
    /// The status that the API server answered with, whether or not the client saw it.
    pub server_status: Option<u16>,
    /// The status that the client was answered with. None before the answer, and for good when the connection was lost instead.
    pub client_status: Option<u16>,
}

type Rules = dyn Fn(&RequestInfo) -> Action + Send + Sync;

struct Entry {
    exchange: Exchange,
    /// To whom it means that the request is released.
    release: Option<oneshot::Sender<()>>,
    /// It was answered, or its connection was lost.
    is_over: bool,
}

/// What the proxy's thread and its owner share.
struct Shared {
    rules: Mutex<Arc<Rules>>,
    journal: Mutex<Vec<Entry>>,
    /// The journal changed.
    changed: Condvar,
    /// Changes when all connections are to be cut.
    cut: watch::Sender<()>,
    /// Changes when all watches are to be cut.
    cut_watches: watch::Sender<()>,
    /// Whether new connections are closed at once.
    away: AtomicBool,
    /// The clock that the answers show.
    clock: Mutex<Option<MovedClock>>,
}

impl Shared {
    fn update(&self, seq: usize, update: impl FnOnce(&mut Exchange)) {
        if let Some(entry) = lock(&self.journal).get_mut(seq) {
            update(&mut entry.exchange);
        }
        self.changed.notify_all();
    }

    fn over(&self, seq: usize) {
        if let Some(entry) = lock(&self.journal).get_mut(seq) {
            entry.is_over = true;
        }
        self.changed.notify_all();
    }
}

/// A running proxy. Its connections end when it is dropped.
pub struct Proxy {
    url: String,
    /// Where copies of kubeconfigs go; none in front of a server that has no kubeconfigs.
    folder: Option<PathBuf>,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("url", &self.url).field("journal", &self.journal()).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts a proxy before this API server. It forwards everything until it has other rules.
    pub fn start(server: &ControlPlane) -> Result<Self, Error> {
        let tls = forward::Tls::load(server.certificates()).context(|| "the TLS of the proxy".to_owned())?;
        Self::serve(server.port(), Some(tls), Some(server.folder().to_owned()))
    }

    /// Starts a proxy before a plain HTTP server at this port of 127.0.0.1. It forwards everything until it has other rules.
    pub fn http(port: u16) -> Result<Self, Error> {
        Self::serve(port, None, None)
    }

    fn serve(upstream: u16, tls: Option<forward::Tls>, folder: Option<PathBuf>) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context(|| "the port of the proxy".to_owned())?;
        listener.set_nonblocking(true).context(|| "the port of the proxy".to_owned())?;
        let address = listener.local_addr().context(|| "the port of the proxy".to_owned())?;
        let url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context(|| "the runtime of the proxy".to_owned())?;
        let rules: Arc<Rules> = Arc::new(|_: &RequestInfo| Action::Forward);
        let shared = Arc::new(Shared {
            rules: Mutex::new(rules),
            journal: Mutex::default(),
            changed: Condvar::new(),
            cut: watch::Sender::new(()),
            cut_watches: watch::Sender::new(()),
            away: AtomicBool::new(false),
            clock: Mutex::default(),
        });
        let (end, ended) = oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("fault-proxy".to_owned())
            .spawn(move || runtime.block_on(forward::serve(listener, upstream, tls, for_thread, ended)))
            .context(|| "the thread of the proxy".to_owned())?;
        Ok(Self { url, folder, shared, end: Some(end), thread: Some(thread) })
    }

    /// The URL, to use instead of that of the server. No slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Copies a kubeconfig, so that its user comes through the proxy. The copy lies in the folder of the control plane.
    pub fn kubeconfig(&self, from: &Path) -> Result<PathBuf, Error> {
        let name = from.file_name().ok_or_else(|| Error::new(format!("{} is not a file", from.display())))?;
        let folder = self.folder.as_ref().ok_or_else(|| Error::new("this proxy is not in front of an API server"))?;
        let port = self.url.rsplit(':').next().unwrap_or_default();
        let to = folder.join(format!("proxy-{port}-{}", name.display()));
        kubeconfig::redirect(from, &to, &self.url)?;
        Ok(to)
    }

    /// What to do with each request from now on. The rules are asked once for each request, in the order of the journal, and must not block.
    pub fn set_rules(&self, rules: impl Fn(&RequestInfo) -> Action + Send + Sync + 'static) {
        *lock(&self.shared.rules) = Arc::new(rules);
    }

    /// Lets go of one held request, or of its answer. One that is not yet held will not be.
    pub fn release(&self, seq: usize) {
        if let Some(release) = lock(&self.shared.journal).get_mut(seq).and_then(|entry| entry.release.take()) {
            // No thread waits any more: it is released.
            let _ = release.send(());
        }
    }

    /// Lets go of everything that is held now.
    pub fn release_all(&self) {
        for release in lock(&self.shared.journal).iter_mut().filter_map(|entry| entry.release.take()) {
            let _ = release.send(());
        }
    }

    /// Cuts every connection that a client has now, its watches too. What is on its way to the server arrives there.
    pub fn cut_connections(&self) {
        self.shared.cut.send_replace(());
    }

    /// Cuts every connection, and closes new ones at once, until the server is back. What is on its way to the server arrives there.
    pub fn go_away(&self) {
        self.shared.away.store(true, Ordering::SeqCst);
        self.cut_connections();
    }

    /// Serves new connections again.
    pub fn come_back(&self) {
        self.shared.away.store(false, Ordering::SeqCst);
    }

    /// Has each answer show the time of this clock from now on, as if it were that of the server. The server itself goes by the real time.
    pub fn follow_clock(&self, clock: &MovedClock) {
        *lock(&self.shared.clock) = Some(clock.clone());
    }

    /// Cuts every watch that a client has now.
    pub fn cut_watches(&self) {
        self.shared.cut_watches.send_replace(());
    }

    /// Every request so far, in the order in which they came.
    pub fn journal(&self) -> Vec<Exchange> {
        lock(&self.shared.journal).iter().map(|entry| entry.exchange.clone()).collect()
    }

    /// Waits until no request is on its way, except for those that are held, but not longer than this. Whether there is none.
    pub fn wait_until_idle(&self, at_most: Duration) -> bool {
        let begun = Instant::now();
        let mut journal = lock(&self.shared.journal);
        while !journal.iter().all(|entry| entry.is_over || entry.exchange.held) {
            let Some(left) = at_most.checked_sub(begun.elapsed()) else { return false };
            journal = self.shared.changed.wait_timeout(journal, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for a request of which this holds, but not longer than this; the first there is. An exchange is asked about when it begins
    /// and whenever it changes.
    pub fn wait_for(&self, wanted: impl Fn(&Exchange) -> bool, at_most: Duration) -> Option<Exchange> {
        let begun = Instant::now();
        let mut journal = lock(&self.shared.journal);
        loop {
            if let Some(found) = journal.iter().map(|entry| &entry.exchange).find(|exchange| wanted(exchange)) {
                return Some(found.clone());
            }
            let left = at_most.checked_sub(begun.elapsed())?;
            journal = self.shared.changed.wait_timeout(journal, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}
