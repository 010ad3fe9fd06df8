//! The two HTTP servers: metrics, and health for the kubelet. They bind first, so that a taken port is an error at start.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::{
    shutdown::Shutdown,
    telemetry::{Metrics, metrics::CONTENT_TYPE},
};

/// How long open connections may delay the end of a server.
const DRAIN: Duration = Duration::from_secs(2);

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {source}; free that port or choose another with {flag}")]
pub struct BindError {
    purpose: &'static str,
    flag: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// The readiness of this process, at first not ready. Liveness means only that the server answers.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Condition>>);

#[derive(Debug, Default)]
struct Condition {
    readiness: Readiness,
    notes: Vec<String>,
}

#[derive(Debug, Default)]
enum Readiness {
    #[default]
    Starting,
    Waiting(String),
    Ready,
    Stopping,
}

impl Health {
    /// The process can do its work.
    pub fn set_ready(&self) {
        self.set(Readiness::Ready);
    }

    /// It cannot, for this reason.
    pub fn set_waiting(&self, reason: String) {
        self.set(Readiness::Waiting(reason));
    }

    /// It is shutting down. Nothing makes it ready again.
    pub fn set_stopping(&self) {
        self.set(Readiness::Stopping);
    }

    fn set(&self, readiness: Readiness) {
        let current = &mut self.0.lock().readiness;
        if !matches!(*current, Readiness::Stopping) {
            *current = readiness;
        }
    }

    /// What a person should know though the process is ready, one line each.
    pub fn set_notes(&self, notes: Vec<String>) {
        self.0.lock().notes = notes;
    }
}

/// A server that listens, but does not answer yet.
#[derive(Debug)]
pub struct Server {
    purpose: &'static str,
    address: SocketAddr,
    listener: TcpListener,
    router: Router,
}

impl Server {
    /// Listens for `/metrics`.
    pub async fn metrics(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Self, BindError> {
        let router = Router::new().route("/metrics", get(exposition)).with_state(metrics);
        Self::bind("metrics", "--metrics-addr", address, router).await
    }

    /// Listens for `/livez`, `/readyz` and its alias `/healthz`.
    pub async fn health(address: SocketAddr, health: Health) -> Result<Self, BindError> {
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readiness))
            .route("/healthz", get(readiness))
            .with_state(health);
        Self::bind("health", "--health-addr", address, router).await
    }

    async fn bind(purpose: &'static str, flag: &'static str, address: SocketAddr, router: Router) -> Result<Self, BindError> {
        let failed = |source| BindError { purpose, flag, address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(server = purpose, %address, "listening");
        Ok(Self { purpose, address, listener, router })
    }

    /// The address that it listens on, with the port that was chosen in place of 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the shutdown, then lets open requests end.
    pub async fn serve(self, shutdown: Shutdown) {
        let Self { purpose, address, listener, router } = self;
        let stop = shutdown.clone();
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.begun().await });
        let too_late = async {
            shutdown.begun().await;
            // A client that keeps its connection open must not keep the process.
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            ended = serving.into_future() => if let Err(error) = ended {
                tracing::error!(server = purpose, %address, %error, "the server failed");
            },
            () = too_late => {}
        }
    }
}

async fn exposition(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.encode())
}

async fn readiness(State(health): State<Health>) -> (StatusCode, String) {
    let state = health.0.lock();
    let reason = match &state.readiness {
        Readiness::Ready => {
            let lines = ["ok"].into_iter().chain(state.notes.iter().map(String::as_str));
            return (StatusCode::OK, lines.map(|line| format!("{line}\n")).collect());
        }
        Readiness::Starting => "starting".to_owned(),
        Readiness::Waiting(reason) => reason.clone(),
        Readiness::Stopping => "shutting down".to_owned(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };

    async fn fetch(address: SocketAddr, path: &'static str) -> String {
        let exchange = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[tokio::test]
    async fn readiness_follows_health_and_liveness_does_not() {
        let (stop, shutdown) = crate::shutdown::channel();
        let health = Health::default();
        let server = Server::health(any_port(), health.clone()).await.unwrap();
        let address = server.address();
        let serving = tokio::spawn(server.serve(shutdown));
        for path in ["/readyz", "/healthz"] {
            health.set_waiting("nothing answers".to_owned());
            let answer = fetch(address, path).await;
            assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("\r\n\r\nnot ready: nothing answers\n"), "{answer}");
            assert!(fetch(address, "/livez").await.starts_with("HTTP/1.1 200"));
            health.set_ready();
            assert!(fetch(address, path).await.starts_with("HTTP/1.1 200"));
        }
        health.set_notes(vec!["a note".to_owned()]);
        assert!(fetch(address, "/readyz").await.ends_with("\r\n\r\nok\na note\n"));
        health.set_stopping();
        health.set_ready();
        assert!(fetch(address, "/readyz").await.ends_with("\r\n\r\nnot ready: shutting down\n"));
        // A silent client does not delay the shutdown.
        let _silent = TcpStream::connect(address).unwrap();
        stop.stop();
        tokio::time::timeout(Duration::from_secs(20), serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn metrics_are_served_as_open_metrics() {
        let (_stop, shutdown) = crate::shutdown::channel();
        let server = Server::metrics(any_port(), Metrics::new()).await.unwrap();
        let address = server.address();
        tokio::spawn(server.serve(shutdown));
        let answer = fetch(address, "/metrics").await;
        assert!(answer.contains("application/openmetrics-text") && answer.contains("nuvo_operator_leader 0"), "{answer}");
    }

    #[tokio::test]
    async fn taken_port_is_reported_with_the_flag_that_changes_it() {
        let taken = Server::health(any_port(), Health::default()).await.unwrap();
        let error = Server::metrics(taken.address(), Metrics::new()).await.unwrap_err().to_string();
        assert!(error.contains(&taken.address().to_string()) && error.contains("--metrics-addr"), "{error}");
    }
}
