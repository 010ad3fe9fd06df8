//! The thread of the proxy: connections, and the way of one request.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{DATE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Action, Answer, Entry, Exchange, RequestInfo, Shared};
use crate::certificates::{Certificates, provider};
use crate::lock;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Failure>;

pub(super) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    pub(super) fn load(certificates: &Certificates) -> Result<Self, Failure> {
        let server = certificates.server_config()?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&certificates.ca)?)?;
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }
}

/// Where requests go.
struct Upstream {
    port: u16,
    connector: Option<TlsConnector>,
}

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Serves until the other end of `ended` is dropped.
pub(super) async fn serve(listener: TcpListener, port: u16, tls: Option<Tls>, shared: Arc<Shared>, ended: oneshot::Receiver<()>) {
    let (acceptor, connector) = tls.map(|Tls { acceptor, connector }| (acceptor, connector)).unzip();
    let upstream = Arc::new(Upstream { port, connector });
    let accept = async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&upstream), Arc::clone(&shared)));
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = ended => {}
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, upstream: Arc<Upstream>, shared: Arc<Shared>) {
    let mut cut = shared.cut.subscribe();
    // Asked after the subscription: a connection that comes at this moment is either cut or closed here.
    if shared.away.load(Ordering::SeqCst) {
        return;
    }
    let service = service_fn(move |request| answer(request, Arc::clone(&upstream), Arc::clone(&shared)));
    let served = async {
        // Small answers are not to wait for the acknowledgement of others.
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match acceptor {
            Some(acceptor) => Box::new(acceptor.accept(stream).await?),
            None => Box::new(stream),
        };
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
        Ok::<_, Failure>(())
    };
    // An error is a connection that the client or a rule ended: the journal says it.
    tokio::select! {
        _ = served => {}
        _ = cut.changed() => {}
    }
}

/// An error ends the connection without an answer.
async fn answer(request: Request<Incoming>, upstream: Arc<Upstream>, shared: Arc<Shared>) -> Result<Response<Body>, Failure> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    // In a task of its own: hyper gives up a request when its client leaves, and what was sent to a server arrives all the same.
    tokio::spawn(async move {
        let request = Request::from_parts(head, body);
        let (seq, action, released) = arrived(&request, &shared);
        let result = act(request, seq, action, released, &upstream, &shared).await;
        if let Ok(response) = &result {
            let status = response.status().as_u16();
            shared.update(seq, |exchange| exchange.client_status = Some(status));
        }
        shared.over(seq);
        result
    })
    .await?
}

/// Writes a request into the journal and asks the rules about it.
fn arrived(request: &Request<Bytes>, shared: &Shared) -> (usize, Action, oneshot::Receiver<()>) {
    let rules = Arc::clone(&lock(&shared.rules));
    let (release, released) = oneshot::channel();
    let mut journal = lock(&shared.journal);
    let seq = journal.len();
    let request = RequestInfo {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        request_id: request.headers().get("x-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned),
        body: request.body().clone(),
        seq,
    };
    let action = rules(&request);
    let exchange = Exchange { request, held: false, server_status: None, client_status: None };
    journal.push(Entry { exchange, release: Some(release), is_over: false });
    drop(journal);
    shared.changed.notify_all();
    (seq, action, released)
}

async fn act(
    request: Request<Bytes>,
    seq: usize,
    action: Action,
    released: oneshot::Receiver<()>,
    upstream: &Upstream,
    shared: &Shared,
) -> Result<Response<Body>, Failure> {
    let answered = |status| shared.update(seq, |exchange| exchange.server_status = Some(status));
    let hold = async {
        shared.update(seq, |exchange| exchange.held = true);
        // An error: the proxy ends.
        let _ = released.await;
        shared.update(seq, |exchange| exchange.held = false);
    };
    // The whole answer: what the server does for a request is then done.
    let complete = async |request| {
        let (head, body) = dated(upstream.send(request).await?, shared)?.into_parts();
        let body = body.collect().await?.to_bytes();
        answered(head.status.as_u16());
        Ok::<_, Failure>(Response::from_parts(head, full(body)))
    };
    match action {
        Action::Respond(answer) => return dated(made_up(answer)?, shared),
        Action::DropBeforeForward => return Err("dropped before it was forwarded".into()),
        Action::HoldBeforeForward => hold.await,
        Action::Delay(time) => tokio::time::sleep(time).await,
        Action::Forward => {}
        Action::ForwardThenHold => {
            let response = complete(request).await?;
            hold.await;
            return Ok(response);
        }
        Action::ForwardThenDrop => {
            complete(request).await?;
            return Err("dropped after it was forwarded".into());
        }
        Action::ForwardThenRespond(answer) => {
            complete(request).await?;
            return dated(made_up(answer)?, shared);
        }
        Action::ForwardTwice => {
            let first = complete(request.clone()).await?;
            let status = first.status().as_u16();
            complete(request).await?;
            answered(status);
            return Ok(first);
        }
    }
    let watch = is_watch(&request);
    let response = dated(upstream.send(request).await?, shared)?;
    answered(response.status().as_u16());
    Ok(response.map(|body| {
        let body = body.map_err(Failure::from);
        if watch { Watch { body, cut: Box::pin(changed(shared.cut_watches.subscribe())) }.boxed_unsync() } else { body.boxed_unsync() }
    }))
}

/// The answer with the time of the clock that the proxy follows.
fn dated<B>(mut answer: Response<B>, shared: &Shared) -> Result<Response<B>, Failure> {
    let Some(clock) = lock(&shared.clock).clone() else { return Ok(answer) };
    let date = match answer.headers().get(DATE) {
        Some(date) => DateTimeParser::new().parse_timestamp(date.as_bytes())?,
        None => Timestamp::now(),
    };
    let moved = date.checked_add(SignedDuration::from_secs(clock.seconds()?))?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&moved)?;
    answer.headers_mut().insert(DATE, HeaderValue::try_from(text)?);
    Ok(answer)
}

fn is_watch(request: &Request<Bytes>) -> bool {
    super::is_watch(request.uri().query().unwrap_or_default())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn made_up(answer: Answer) -> Result<Response<Body>, Failure> {
    let Answer { status, headers, body } = answer;
    let builder = headers.into_iter().fold(Response::builder().status(status), |builder, (name, value)| builder.header(name, value));
    Ok(builder.body(full(body.into()))?)
}

async fn changed(mut signal: watch::Receiver<()>) {
    // An error: the proxy ends.
    let _ = signal.changed().await;
}

/// The answer to a watch, which breaks off when watches are cut.
struct Watch<B, F> {
    body: B,
    cut: Pin<Box<F>>,
}

impl<B, F> hyper::body::Body for Watch<B, F>
where
    B: hyper::body::Body<Data = Bytes, Error = Failure> + Unpin,
    F: Future<Output = ()>,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("the watch was cut".into())));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

impl Upstream {
    /// Sends a request on a connection of its own, so that no earlier one can be the reason of a failure.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Incoming>, Failure> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.connector {
            Some(connector) => Box::new(connector.connect(ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into()), stream).await?),
            None => Box::new(stream),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer.
        tokio::spawn(connection);
        Ok(sender.send_request(request.map(Full::new)).await?)
    }
}
