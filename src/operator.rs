//! The composition root: makes everything, starts it in order, and ends it in the opposite order.

use std::{error::Error, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use cluster_connection::{Connection, ConnectionError, Selection};
use futures::{
    StreamExt,
    future::{join, select},
    stream::FuturesUnordered,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams},
    client::ClientBuilder,
    core::Status,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, timeout},
};
use tower::timeout::TimeoutLayer;

use crate::{
    checked_clock::{CheckedClock, comparing},
    clock::Clock,
    context::Context,
    controller::run_controllers,
    definition_check::{check_definitions, watch_definitions},
    health_server::{BindError, Health, Server},
    leader::{Elector, Lost, Timing, lease_name},
    permission_check::{self, Permission},
    settings::Settings,
    shutdown::{self, Shutdown},
    telemetry::Metrics,
};

/// How long the API server may take to answer at start.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before it is asked again.
const START_RETRY: Duration = Duration::from_secs(1);
/// How often the log repeats that the operator waits for it.
const REPEAT_LOG: Duration = Duration::from_secs(30);
/// How long it may take to begin an answer later. Single calls have a timeout of their own; this is for the lists and watches that
/// fill the caches. A watch, too, is answered at once, even if there are no events.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may pause. A watch without events pauses until it ends, and kube asks for an end after 290 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(300);

/// Why the operator does not run. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No cluster is configured.
    #[error("no Kubernetes cluster is configured: set KUBECONFIG, or run in a pod with a service account ({0})")]
    NoCluster(String),
    /// The client could not be made, for example from unreadable certificates.
    #[error("the Kubernetes client for {server} cannot be set up: {reason}; check the kubeconfig")]
    Client {
        /// The URL of the API server.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// The API server does not answer. This does not end the operator: it waits.
    #[error("the Kubernetes API server {server} cannot be reached: {reason}; check the address, the network and the certificates")]
    Unreachable {
        /// Its URL.
        server: String,
        /// What failed.
        reason: String,
    },
    /// The API server rejects the credentials.
    #[error("the Kubernetes API server {server} rejects the credentials (401): renew the kubeconfig or the service account token")]
    Unauthorized {
        /// Its URL.
        server: String,
    },
    /// The custom resource definitions are not installed.
    #[error("the CRDs are not installed ({0} is missing): run `nuvo-operator crds | kubectl apply -f -`")]
    CrdsMissing(String),
    /// A permission is missing.
    #[error("missing permission: {verb} {resource} {scope}; grant it to the operator's service account with a Role or ClusterRole")]
    Forbidden {
        /// Such as `update`.
        verb: String,
        /// Such as `pipelineruns.nuvo.dev/status`.
        resource: String,
        /// Such as `in namespace team`.
        scope: String,
    },
    /// The API server does not accept the label selector.
    #[error("--label-selector is not a label selector: {0}; write one as for `kubectl get --selector`")]
    LabelSelector(String),
    /// The namespace of the locks does not exist.
    #[error("the namespace {0} of the operator's locks does not exist: create it, or set another one with --operator-namespace")]
    NamespaceMissing(String),
    /// The API server answers a first request with an error.
    #[error("the Kubernetes API server {server} answers a first request with an error: {reason}")]
    Refused {
        /// Its URL.
        server: String,
        /// Its message.
        reason: String,
    },
    /// The file of `--additional-ca-file` cannot be used.
    #[error("--additional-ca-file {}: {reason}; write certificates of authorities in PEM into it", file.display())]
    AuthorityFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(std::io::Error),
}

/// Runs the operator until SIGTERM or SIGINT.
pub async fn run_operator(settings: Settings, clock: Clock) -> Result<(), StartError> {
    if let Some(file) = &settings.additional_ca_file {
        nuvo_client::check_authority_file(file).map_err(|reason| StartError::AuthorityFile { file: file.clone(), reason })?;
    }
    let (stop, shutdown) = shutdown::channel();
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
        stop.stop();
    });

    let (metrics, health) = (Metrics::new(), Health::default());
    let metrics_server = Server::metrics(settings.metrics_addr, metrics.clone()).await?;
    let health_server = Server::health(settings.health_addr, health.clone()).await?;
    let (stop_servers, servers_end) = shutdown::channel();
    let servers = [tokio::spawn(metrics_server.serve(servers_end.clone())), tokio::spawn(health_server.serve(servers_end))];

    let ended = tokio::select! {
        context = connect_when_reachable(settings, metrics, health, clock) => Some(context?),
        () = shutdown.begun() => None,
    };
    if let Some((context, elector)) = ended {
        work(context, elector, &shutdown).await;
    }
    stop_servers.stop();
    for server in servers {
        // A server that panicked has been logged, and this process ends anyway.
        let _ended = server.await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits until the API server answers. A restart would not help, and the kubelet delays each further one.
async fn connect_when_reachable(
    settings: Settings,
    metrics: Arc<Metrics>,
    health: Health,
    clock: Clock,
) -> Result<(Context, Option<Elector>), StartError> {
    let settings = Arc::new(settings);
    let mut logged: Option<Instant> = None;
    loop {
        let error = match connect(&settings, &metrics, &health, clock).await {
            Err(error @ StartError::Unreachable { .. }) => error,
            result => return result,
        };
        if logged.is_none_or(|logged| logged.elapsed() >= REPEAT_LOG) {
            tracing::warn!(%error, "waiting for the Kubernetes API server");
            logged = Some(Instant::now());
        }
        health.set_waiting(error.to_string());
        sleep(START_RETRY).await;
    }
}

/// Makes the clients, and checks what can be checked before anything is done.
async fn connect(
    settings: &Arc<Settings>,
    metrics: &Arc<Metrics>,
    health: &Health,
    clock: Clock,
) -> Result<(Context, Option<Elector>), StartError> {
    let mut config = configured().map_err(|error| StartError::NoCluster(one_line(&error)))?;
    // kube would retry every verb, writes included, for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    let server = config.cluster_url.to_string();
    let operator_namespace = settings.operator_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let failed = |error: kube::Error| StartError::Client { server: server.clone(), reason: one_line(&error) };
    let checked = CheckedClock::new(clock, metrics.clone());
    let client = client(config.clone(), ANSWER_TIMEOUT, SILENCE_TIMEOUT, &checked).map_err(failed)?;
    check_readable(&client, &server, ("PipelineRun", "pipelineruns"), &settings.namespaces, settings.label_selector.as_deref()).await?;
    check_readable(&client, &server, ("NuvoAccount", "nuvoaccounts"), &settings.namespaces, None).await?;
    check_permissions(&client, &server, settings, &operator_namespace).await?;
    let lease = lease_name(&settings.namespaces, settings.label_selector.as_deref());
    check_namespace(&client, &server, &operator_namespace, &lease).await?;
    let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty()).unwrap_or_else(|| "nuvo-operator".to_owned());
    let identity = format!("{host}_{}", uuid::Uuid::new_v4());
    let elector = if settings.leader_elect {
        // The election has no watches, so its connections may have a timeout, too.
        config.read_timeout = Some(Duration::from_secs(5));
        config.reset_reader_on_write = true;
        let client = ClientBuilder::try_from(config).map_err(failed)?.with_layer(&comparing(&checked)).build();
        Some(Elector::new(client, &operator_namespace, lease, identity.clone(), Timing::default(), clock, metrics.clone()))
    } else {
        None
    };
    tracing::info!(server, operator_namespace, identity, "connected");
    let (operator_namespace, identity) = (operator_namespace.into(), identity.into());
    let (settings, metrics, health) = (settings.clone(), metrics.clone(), health.clone());
    let definitions = Arc::default();
    Ok((Context { client, settings, metrics, health, definitions, operator_namespace, identity, clock: checked }, elector))
}

/// The cluster of the kubeconfig, or that of the pod.
fn configured() -> Result<Config, ConnectionError> {
    let connection = match cluster_connection::read(None)? {
        Some(kubeconfig) => Connection::of_kubeconfig(&kubeconfig, Selection::default())?,
        None => Connection::of_pod()?,
    };
    connection.into_config()
}

/// A client that gives up an answer that does not begin within `answer`, or pauses for longer than `silence`: kube itself waits without
/// end for the answer to a list or a watch.
///
/// # Errors
/// It cannot be set up.
pub fn client(mut config: Config, answer: Duration, silence: Duration, clock: &Arc<CheckedClock>) -> kube::Result<Client> {
    config.read_timeout = Some(silence);
    // Else a connection would have less time for an answer the longer it was idle before.
    config.reset_reader_on_write = true;
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(answer)).with_layer(&comparing(clock)).build())
}

/// Runs the controllers until the shutdown, as the leader if there is an election.
async fn work(context: Context, elector: Option<Elector>, shutdown: &Shutdown) {
    let Some(next_check) = before(shutdown, check_definitions(&context)).await else { return };
    // A standby is ready: it could take over at any time.
    context.health.set_ready();
    let aside = context.clone();
    let aside = async {
        before(shutdown, watch_definitions(&aside, next_check)).await;
        aside.health.set_stopping();
        std::future::pending::<()>().await;
    };
    let work = async {
        if let Some(elector) = elector {
            return lead(&context, elector, shutdown).await;
        }
        context.metrics.leader(true);
        run_controllers(context, shutdown.clone(), shutdown.clone()).await;
    };
    select(pin!(work), pin!(aside)).await;
}

/// Leads in one term after the other until the shutdown. Each term begins as a process does. What was begun in it is finished beside what
/// comes next, be it this process that leads then or another one: the trigger protocol holds with any number of operators.
async fn lead(context: &Context, mut elector: Elector, shutdown: &Shutdown) {
    let mut terms = FuturesUnordered::new();
    loop {
        if beside(&mut terms, before(shutdown, elector.acquire(&context.health))).await.is_none() {
            break;
        }
        let (stop, end_of_term) = shutdown::channel();
        terms.push(run_controllers(context.clone(), end_of_term, shutdown.clone()));
        context.metrics.leader(true);
        let lost = beside(&mut terms, before(shutdown, elector.hold())).await;
        context.metrics.leader(false);
        stop.stop();
        let Some(lost) = lost else { break };
        tracing::warn!(%lost, "standing by; what is under way is finished");
        if let Lost::Expired(_) = &lost {
            context.health.set_waiting(lost.to_string());
        }
    }
    // At once, not only when everything is finished: nothing is begun any more, so another can lead. Also if this process never led: an answer
    // that was not waited for may have made it the holder.
    join(elector.release(), terms.collect::<()>()).await;
}

/// The output of this work; none if the shutdown comes first.
async fn before<T>(shutdown: &Shutdown, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        output = work => Some(output),
        () = shutdown.begun() => None,
    }
}

/// Goes on with the terms, those that have ended but are not finished among them, until this work is done.
async fn beside<T>(terms: &mut FuturesUnordered<impl Future<Output = ()>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            output = &mut work => return output,
            Some(()) = terms.next() => {}
        }
    }
}

/// Whether the custom resource exists and may be listed, by this label selector, in one namespace at least.
async fn check_readable(
    client: &Client,
    server: &str,
    (kind, plural): (&str, &str),
    namespaces: &[String],
    selector: Option<&str>,
) -> Result<(), StartError> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("nuvo.dev", "v1alpha1", kind), plural);
    let name = format!("{plural}.nuvo.dev");
    let first_object = ListParams { label_selector: selector.map(str::to_owned), ..ListParams::default().limit(1) };
    let mut forbidden = None;
    for namespace in watched_namespaces(namespaces) {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        match first_answer(server, api.list(&first_object)).await? {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 400 && selector.is_some() => {
                return Err(StartError::LabelSelector(status.message));
            }
            Err(error) => match refusal(server, "list", name.clone(), permission_check::scope(namespace), error) {
                error @ StartError::Forbidden { .. } => forbidden = forbidden.or(Some(error)),
                error => return Err(error),
            },
        }
    }
    forbidden.map_or(Ok(()), Err)
}

/// The watched namespaces; `None` means all of them.
fn watched_namespaces(namespaces: &[String]) -> Vec<Option<&str>> {
    if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(|namespace| Some(namespace.as_str())).collect() }
}

/// Whether the operator has every permission that it needs in its own namespace, and in one watched namespace at least. The others stand alone:
/// one may have been deleted, with the role in it. It is watched nevertheless, and works when the permissions come. So does each namespace of
/// Secrets.
async fn check_permissions(client: &Client, server: &str, settings: &Settings, own: &str) -> Result<(), StartError> {
    let denied = |Permission { verb, resource, scope, .. }| StartError::Forbidden { verb, resource, scope };
    let Settings { namespaces, secret_namespaces, .. } = settings;
    let check = async {
        if let Some(missing) = permission_check::missing(client, permission_check::of_operator(own)).await.pop() {
            return Err(denied(missing));
        }
        let watched = watched_namespaces(namespaces);
        let with_secrets = secret_namespaces.is_empty();
        let needed = watched.iter().flat_map(|namespace| permission_check::of_watched(*namespace, with_secrets)).collect();
        let mut errors = permission_check::missing(client, needed).await.into_iter().map(denied);
        if errors.len() == watched.len() {
            return errors.next().map_or(Ok(()), Err);
        }
        for error in errors {
            tracing::warn!(%error, "the runs of this namespace are not carried out until it is granted");
        }
        for missing in permission_check::missing(client, permission_check::of_secrets(secret_namespaces)).await {
            tracing::warn!(error = %denied(missing), "the accounts of this namespace cannot be used until it is granted");
        }
        Ok(())
    };
    timeout(START_TIMEOUT, check).await.unwrap_or_else(|_elapsed| Err(no_answer(server)))
}

/// Whether locks can be created in the operator's namespace. A dry run shows that without the right to read namespaces.
async fn check_namespace(client: &Client, server: &str, namespace: &str, lease: &str) -> Result<(), StartError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let lease = Lease { metadata: ObjectMeta { name: Some(lease.to_owned()), ..ObjectMeta::default() }, spec: None };
    let Err(kube::Error::Api(status)) = first_answer(server, leases.create(&dry_run, &lease)).await? else { return Ok(()) };
    match status.code {
        404 => Err(StartError::NamespaceMissing(namespace.to_owned())),
        // The permission was checked, so the namespace is being deleted, or a policy refuses it: no lock could be created later either.
        403 => Err(refused(server, kube::Error::Api(status))),
        // Such as 409: the lease exists already.
        _ => Ok(()),
    }
}

fn no_answer(server: &str) -> StartError {
    StartError::Unreachable { server: server.to_owned(), reason: format!("no answer within {} s", START_TIMEOUT.as_secs()) }
}

/// The answer to a request at start. The outer error means that there was none.
async fn first_answer<T>(server: &str, request: impl Future<Output = kube::Result<T>>) -> Result<kube::Result<T>, StartError> {
    let unreachable = |reason| StartError::Unreachable { server: server.to_owned(), reason };
    match timeout(START_TIMEOUT, request).await {
        Err(_elapsed) => Err(no_answer(server)),
        Ok(Err(error @ (kube::Error::Service(_) | kube::Error::HyperError(_)))) => Err(unreachable(one_line(&error))),
        Ok(answer) => Ok(answer),
    }
}

fn refusal(server: &str, verb: &str, resource: String, scope: String, error: kube::Error) -> StartError {
    match error {
        kube::Error::Api(status) if status.code == 401 => StartError::Unauthorized { server: server.to_owned() },
        kube::Error::Api(status) if status.code == 403 => StartError::Forbidden { verb: verb.to_owned(), resource, scope },
        kube::Error::Api(status) if status.code == 404 => StartError::CrdsMissing(resource),
        // An API server that is starting or overloaded, or a load balancer without one.
        kube::Error::Api(status) if status.code == 429 || status.code >= 500 => {
            StartError::Unreachable { server: server.to_owned(), reason: reason(&status) }
        }
        error => refused(server, error),
    }
}

fn refused(server: &str, error: kube::Error) -> StartError {
    let reason = match error {
        kube::Error::Api(status) => reason(&status),
        error => one_line(&error),
    };
    StartError::Refused { server: server.to_owned(), reason }
}

fn reason(status: &Status) -> String {
    format!("{} ({})", status.message, status.code).replace(['\n', '\r'], " ")
}

/// An error with its causes, each of them once, in one line.
fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !line.contains(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
        next = cause.source();
    }
    line.replace(['\n', '\r'], " ")
}
