//! The server's thread, its connections, and the handle that a test holds.

use std::{
    fmt,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State as Extract,
    http::{Request as HttpRequest, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::sleep,
};

use crate::{
    admin_api,
    config::{AccessToken, Credential, SimConfig},
    duration::millis,
    error::SimError,
    execution::{Change, Execution, Seed, Status},
    execution_api::{self, CloseConnection},
    fault::{Fault, FaultId, FaultReport},
    identity::Identity,
    pipeline::Pipeline,
    request_journal::RecordedRequest,
    server_state::SharedState,
    starts::Trigger,
};

/// A running simulator. It stops when this is dropped; open connections are closed then.
///
/// All methods are synchronous, and only [`Sim::fault_reached`] waits for others.
pub struct Sim {
    shared: Arc<SharedState>,
    address: SocketAddr,
    /// Dropping it stops the server.
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// A command to the server's thread, which acknowledges it when it is done.
enum Command {
    Offline(std::sync::mpsc::Sender<std::io::Result<()>>),
    Online(std::sync::mpsc::Sender<std::io::Result<()>>),
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

impl Sim {
    /// Listens, and serves from a thread of its own.
    pub fn start(config: SimConfig) -> Result<Self, SimError> {
        let wanted = SocketAddr::new(config.address, config.port);
        let shared = Arc::new(SharedState::new(config)?);
        let bind = |source| SimError::Bind { address: wanted, source };
        let listener = StdListener::bind(wanted).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SimError::Start)?;
        // Unbounded is safe: every sender waits for the acknowledgement before it sends again.
        let (commands, orders) = mpsc::unbounded_channel();
        let router = admin_api::routes().fallback(api_handler).with_state(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("nuvo-sim".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, address, router, orders));
                // Dropping the runtime drops its tasks, and with them the connections.
            })
            .map_err(SimError::Start)?;
        Ok(Self { shared, address, commands: Some(commands), thread: Some(thread) })
    }

    /// Where the API is, with the base path and a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}{}/", self.address, self.shared.base_path)
    }

    /// Where the administrative paths are, with a slash at the end.
    pub fn admin_url(&self) -> String {
        format!("http://{}/_sim/", self.address)
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The time since the start, on the clock that the journal counts by.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.shared.lock().clock.now()).unwrap_or_default())
    }

    /// Has the clock go on so much later than it would without this. What has happened keeps its time; what was to happen meanwhile has happened.
    pub fn move_clock(&self, by: Duration) {
        self.shared.lock().clock.set_moved(millis(by));
    }

    /// Closes all connections and refuses new ones, the administrative paths included. Requests that have begun are carried out. A caller with
    /// an idle connection may meet that one closed first, and only then a refusal.
    pub fn go_offline(&self) -> Result<(), SimError> {
        self.command(Command::Offline)
    }

    /// Listens again, on the same address.
    pub fn go_online(&self) -> Result<(), SimError> {
        self.command(Command::Online)
    }

    fn command(&self, command: impl FnOnce(std::sync::mpsc::Sender<std::io::Result<()>>) -> Command) -> Result<(), SimError> {
        let (done, answer) = std::sync::mpsc::channel();
        // If the thread has ended, `done` is dropped here and `recv` fails at once.
        self.commands.as_ref().map(|commands| commands.send(command(done)));
        let answer = answer.recv().unwrap_or_else(|_| Err(std::io::Error::other("the server's thread has ended")));
        answer.map_err(|source| SimError::Bind { address: self.address, source })
    }

    /// Adds a pipeline or replaces the one with its id. Executions that were started before stay as they are.
    pub fn set_pipeline(&self, pipeline: Pipeline) -> Result<(), SimError> {
        self.shared.lock().set_pipeline(pipeline)
    }

    /// Removes a pipeline; whether there was one. Its executions stay.
    pub fn remove_pipeline(&self, id: &str) -> bool {
        self.shared.lock().pipelines.remove(id).is_some()
    }

    /// All pipelines, by their ids.
    pub fn pipelines(&self) -> Vec<Pipeline> {
        self.shared.lock().pipelines.values().cloned().collect()
    }

    /// Changes the configuration. The address, the base path, the clock, the pipelines and the access tokens it names were read at the
    /// start; changing those here has no effect.
    pub fn configure(&self, change: impl FnOnce(&mut SimConfig)) {
        change(&mut self.shared.lock().config);
    }

    /// Puts a rule in force, behind those that already are.
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        self.shared.lock().faults.add(fault)
    }

    /// Ends all rules. Requests they hold go on.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Ends one rule; whether it was in force. Requests it holds go on.
    pub fn remove_fault(&self, id: FaultId) -> bool {
        self.shared.lock().faults.remove(id)
    }

    /// Lets the requests go on that a rule holds, and those it would hold; whether the rule is in force.
    pub fn release(&self, id: FaultId) -> bool {
        self.shared.lock().faults.release(id)
    }

    /// How many requests came to the point where this rule makes them go wrong: for a rule that lets them be carried out first, after that.
    pub fn fault_count(&self, id: FaultId) -> u64 {
        self.shared.lock().faults.reached(id)
    }

    /// Blocks until a request came to that point, at most for `within`; whether one did. Blocks the thread: an asynchronous test on one
    /// thread polls [`Sim::fault_count`] instead.
    pub fn fault_reached(&self, id: FaultId, within: Duration) -> bool {
        let mut state = self.shared.lock();
        let waited = self.shared.reached.wait_while_for(&mut state, |state| state.faults.reached(id) == 0, within);
        !waited.timed_out() || state.faults.reached(id) > 0
    }

    /// The rules in force, with their counts.
    pub fn faults(&self) -> Vec<FaultReport> {
        self.shared.lock().faults.report()
    }

    /// Every request to the API so far, in the order they arrived.
    pub fn journal(&self) -> Vec<RecordedRequest> {
        self.shared.lock().journal.all()
    }

    /// Forgets the requests so far. The counts stay.
    pub fn clear_journal(&self) {
        self.shared.lock().journal.clear();
    }

    /// How many POSTs to `/execution/` arrived, whatever was answered.
    pub fn post_count(&self) -> u64 {
        self.shared.lock().counts.values().fold(0, |sum, counts| sum.saturating_add(counts.arrived))
    }

    /// How many of them were carried out, whatever was answered: also those that found no file and made no execution.
    pub fn executed_count(&self) -> u64 {
        self.shared.lock().counts.values().fold(0, |sum, counts| sum.saturating_add(counts.executed))
    }

    /// [`Sim::post_count`] for one pipeline.
    pub fn post_count_of(&self, pipeline: &str) -> u64 {
        self.shared.lock().counts.get(pipeline).map_or(0, |counts| counts.arrived)
    }

    /// [`Sim::executed_count`] for one pipeline.
    pub fn executed_count_of(&self, pipeline: &str) -> u64 {
        self.shared.lock().counts.get(pipeline).map_or(0, |counts| counts.executed)
    }

    /// All executions as they are now, in the order they were made.
    pub fn executions(&self) -> Vec<Execution> {
        self.shared.lock().snapshots()
    }

    /// Adds an execution of someone else or of an earlier time; returns its id.
    pub fn seed_execution(&self, seed: Seed) -> Result<String, SimError> {
        self.shared.lock().seed(seed)
    }

    /// Adds as many executions of one moment; returns their ids. The seed's own id is not used.
    pub fn seed_executions(&self, seed: &Seed, count: usize) -> Vec<String> {
        self.shared.lock().seed_many(seed, count)
    }

    /// Starts a pipeline as the server itself does it, by its schedule or by an event, without a request; returns the ids of the executions,
    /// which then progress as the pipeline says. A pipeline that is switched off is started, too.
    pub fn start_by_itself(&self, pipeline: &str, trigger: Trigger, creator: Identity) -> Result<Vec<String>, SimError> {
        self.shared.lock().start_by_itself(pipeline, trigger, creator)
    }

    /// Changes an execution by hand. What it would have done by itself later no longer happens.
    pub fn update(&self, id: &str, change: Change) -> Result<Execution, SimError> {
        self.shared.lock().change(id, change)
    }

    /// Ends an execution's current run with this status; PROCESSING begins a repair (`FIX`) of one that ended.
    pub fn finish(&self, id: &str, status: Status) -> Result<Execution, SimError> {
        self.update(id, Change::status(status))
    }

    /// Removes an execution.
    pub fn remove_execution(&self, id: &str) -> Result<(), SimError> {
        self.shared.lock().remove_execution(id)
    }

    /// Refuses every token issued or configured so far. A trade still gives a new one.
    pub fn revoke_tokens(&self) {
        self.shared.lock().revoke_tokens();
    }

    /// Replaces the license keys that can be traded. Tokens stay valid.
    pub fn set_credentials(&self, credentials: Vec<Credential>) {
        self.shared.lock().config.credentials = credentials;
    }

    /// Replaces the configured tokens. Traded tokens stay valid.
    pub fn set_access_tokens(&self, tokens: Vec<AccessToken>) {
        self.shared.lock().set_access_tokens(tokens);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn api_handler(Extract(shared): Extract<Arc<SharedState>>, request: HttpRequest<Body>) -> Response<Body> {
    execution_api::handle(shared, request).await
}

/// Serves until the handle is dropped.
async fn serve(listener: StdListener, address: SocketAddr, router: Router, mut orders: mpsc::UnboundedReceiver<Command>) {
    let mut listener = TcpListener::from_std(listener).ok();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Command::Offline(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    let _ = done.send(Ok(()));
                }
                Some(Command::Online(done)) => {
                    let bound = if listener.is_some() { Ok(()) } else {
                        TcpListener::bind(address).await.map(|bound| listener = Some(bound))
                    };
                    let _ = done.send(bound);
                }
            },
            stream = accept(listener.as_ref()) => drop(connections.spawn(connection(stream, router.clone()))),
            // Removes connections that have ended.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The next connection. Pending without a listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Most likely out of file descriptors: some will be free again.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
struct Closed;

async fn connection(stream: TcpStream, router: Router) {
    // Answers are small and written whole.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        // In a task of its own: a request is carried out even if its caller disconnects.
        let router = TowerToHyperService::new(router.clone());
        let answered = tokio::spawn(async move { router.call(request.map(Body::new)).await });
        async move {
            let Ok(Ok(response)) = answered.await else { return Err(Closed) };
            if response.extensions().get::<CloseConnection>().is_some() { Err(Closed) } else { Ok(response) }
        }
    });
    // An error is a caller that has disconnected, or a fault that closes the connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
