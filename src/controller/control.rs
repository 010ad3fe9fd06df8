//! One controller for all kinds of object: it watches, reconciles one object at a time, and keeps the failure of one object from the others.
//!
//! A new kind is a [`Reconciler`] in a file of its own, and one more call of [`control`] in `run_controllers`.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt::Debug,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{join_all, select},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        PredicateConfig, WatchStreamExt,
        controller::{self, Action, Controller},
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher,
    },
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    object_cache::{CachePart, ObjectCache},
    wake_queue::{WakeStream, wake_queue},
};
use crate::{shutdown::Shutdown, telemetry::Metrics};
use nuvo_core::backoff::Backoff;

/// The waits after failures of one object, unless its kind has others.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_secs(60));

/// What a controller does for one kind of object.
pub trait Reconciler: Send + Sync + 'static {
    /// The object as the cache keeps it.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static;
    /// Why a reconcile failed.
    type Error: std::error::Error + Send + Sync;

    /// The kind, as metrics and logs name it.
    const KIND: &'static str;
    /// The waits after consecutive failures of one object.
    const BACKOFF: Backoff = BACKOFF;

    /// How many objects of one watch are reconciled at once. The same object is never reconciled twice at once.
    fn concurrency(&self) -> u16;

    /// Removes the parts of an object that the cache need not keep.
    fn modify(&self, object: &mut Self::Object) {
        // Unused, and a third of an object's size.
        object.managed_fields_mut().clear();
    }

    /// A hash of the parts of an object whose changes lead to a reconcile; none if every change does.
    fn predicate(&self, _object: &Self::Object) -> Option<u64> {
        None
    }

    /// Called for each event of a watch, after the cache has it. `namespace` is that of the watch; none means all namespaces.
    fn on_watch_event(&self, namespace: Option<&str>, event: &watcher::Event<Self::Object>);

    /// Reconciles one object. Returns when to do so again without a change. A panic is a failure of this object only.
    fn reconcile(&self, object: Arc<Self::Object>) -> impl Future<Output = Result<Action, Self::Error>> + Send;

    /// Called after a failure. Returns the wait until the next try, or none to log the failure and wait by [`Reconciler::BACKOFF`].
    fn after_failure(&self, _object: &Self::Object, _failure: &Failure<Self::Error>) -> impl Future<Output = Option<Duration>> + Send {
        std::future::ready(None)
    }

    /// Called after the reconcile of an object that was deleted meanwhile, to forget what is remembered of it.
    fn forget(&self, _object: &Self::Object) {}
}

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure<E> {
    /// It returned an error.
    #[error(transparent)]
    Error(E),
    /// It panicked, which is a bug. The panic itself is on standard error.
    #[error("the reconcile panicked")]
    Panic,
}

/// What one watch needs to begin.
pub struct Watch<K: Resource<DynamicType = ()> + Clone + 'static> {
    namespace: Option<String>,
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    woken: WakeStream<ObjectRef<K>>,
}

/// The page size of the first list: a page is in memory as a whole, and an object can have more than a megabyte.
const PAGE: u32 = 50;

/// Prepares a watch of each of these namespaces, or one of all if there are none, and the cache that the watches feed.
pub fn watches<K>(client: &Client, namespaces: &[String], label_selector: Option<&str>) -> (ObjectCache<K>, Vec<Watch<K>>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + 'static,
{
    let config = watcher::Config::default().page_size(PAGE);
    let config = label_selector.map_or_else(|| config.clone(), |labels| config.clone().labels(labels));
    let prepared = watched_namespaces(namespaces).into_iter().map(|namespace| {
        let (store, writer) = reflector::store();
        let (wakes, woken) = wake_queue();
        let api = match &namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        (CachePart { namespace: namespace.clone(), store, wakes }, Watch { namespace, api, config: config.clone(), writer, woken })
    });
    let (parts, watches) = prepared.unzip();
    (ObjectCache::new(parts), watches)
}

/// The watched namespaces; `None` means all of them.
pub(super) fn watched_namespaces(namespaces: &[String]) -> Vec<Option<String>> {
    if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() }
}

/// Reconciles the objects of these watches until the shutdown has begun and the reconciles in flight have ended.
pub async fn control<R: Reconciler>(reconciler: R, watches: Vec<Watch<R::Object>>, metrics: Arc<Metrics>, shutdown: Shutdown) {
    metrics.expose_kind(R::KIND);
    let reconciler = Arc::new(reconciler);
    join_all(watches.into_iter().map(|watch| {
        let Watch { namespace, api, config, writer, woken } = watch;
        let (reconciler, metrics, cache) = (reconciler.clone(), metrics.clone(), writer.as_reader());
        let control = Arc::new(Control { reconciler, metrics, namespace, cache, failures: Mutex::default(), is_up: Mutex::default() });
        control.work(watcher(api, config), writer, woken, shutdown.clone())
    }))
    .await;
}

/// The controller of one kind at one watch.
struct Control<R: Reconciler> {
    reconciler: Arc<R>,
    metrics: Arc<Metrics>,
    /// The namespace of the watch; none means all of them.
    namespace: Option<String>,
    cache: Store<R::Object>,
    /// Consecutive failures, by the object's uid.
    failures: Mutex<HashMap<String, u32>>,
    /// Whether the watch works, as the metric has it; none before its first answer.
    is_up: Mutex<Option<bool>>,
}

/// An item of a watch.
type EventResult<K> = Result<watcher::Event<K>, watcher::Error>;

fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

impl<R: Reconciler> Control<R> {
    async fn work(
        self: Arc<Self>,
        watch: impl Stream<Item = EventResult<R::Object>> + Send + 'static,
        writer: Writer<R::Object>,
        woken: WakeStream<ObjectRef<R::Object>>,
        shutdown: Shutdown,
    ) {
        let (modifier, observer, filter) = (self.clone(), self.clone(), self.clone());
        let changes = watch
            .default_backoff()
            .modify(move |object| modifier.reconciler.modify(object))
            .reflect(writer)
            .inspect(move |event| observer.on_watch_event(event))
            .applied_objects()
            .predicate_filter(move |object: &R::Object| filter.reconciler.predicate(object), PredicateConfig::default());
        let reconcile = async |object, control: Arc<Self>| Ok::<_, Infallible>(control.reconcile(object).await);
        let (cache, begun) = (self.cache.clone(), shutdown.clone());
        let reconciles = Controller::for_stream(changes, cache.clone())
            .with_config(controller::Config::default().concurrency(self.reconciler.concurrency()))
            .reconcile_on(woken)
            .graceful_shutdown_on(async move { begun.begun().await })
            .run(reconcile, |_, never, _| match *never {}, self)
            .for_each(|_| std::future::ready(()));
        // kube reconciles nothing before the cache is filled, and a shutdown before that leaves it waiting for a watch that it has ended.
        let ends_unfilled = async {
            shutdown.begun().await;
            if cache.wait_until_ready().now_or_never().is_some() {
                std::future::pending::<()>().await;
            }
        };
        select(pin!(reconciles), pin!(ends_unfilled)).await;
    }

    fn on_watch_event(&self, event: &EventResult<R::Object>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.metrics.watch_failed(R::KIND);
                self.set_up(false);
                tracing::warn!(kind = R::KIND, namespace = self.namespace.as_deref().unwrap_or_default(), %error, "the watch failed; trying again");
                return;
            }
        };
        // At Init nothing was answered yet.
        if !matches!(event, watcher::Event::Init) {
            self.set_up(true);
        }
        match event {
            watcher::Event::Delete(object) => drop(self.failures.lock().remove(uid(object))),
            watcher::Event::InitDone => {
                // Objects may have been deleted while there was no watch.
                let mut failures = self.failures.lock();
                if !failures.is_empty() {
                    let cached = self.cache.state();
                    let uids: HashSet<&str> = cached.iter().map(|object| uid(&**object)).collect();
                    failures.retain(|uid, _| uids.contains(uid.as_str()));
                }
            }
            watcher::Event::Apply(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
        }
        self.reconciler.on_watch_event(self.namespace.as_deref(), event);
    }

    /// Sets the metric if it changes. There are many events.
    fn set_up(&self, is_up: bool) {
        if self.is_up.lock().replace(is_up) != Some(is_up) {
            self.metrics.watch_up(R::KIND, self.namespace.as_deref().unwrap_or_default(), is_up);
        }
    }

    async fn reconcile(&self, object: Arc<R::Object>) -> Action {
        let span = tracing::info_span!(
            "reconcile",
            kind = R::KIND,
            namespace = object.namespace().unwrap_or_default(),
            name = object.name_any(),
            reconcileID = %uuid::Uuid::new_v4().simple()
        );
        async {
            let began = Instant::now();
            let work = async { self.reconciler.reconcile(object.clone()).await };
            let result = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(result) => result.map_err(Failure::Error),
                Err(_) => Err(Failure::Panic),
            };
            self.metrics.reconciled(R::KIND, result.is_ok(), began.elapsed());
            let action = match result {
                Ok(action) => {
                    self.failures.lock().remove(uid(&*object));
                    action
                }
                Err(failure) => Action::requeue(self.after_failure(&object, &failure).await),
            };
            // What is remembered of an object that was deleted meanwhile would never be forgotten.
            if !self.is_cached(&object) {
                self.failures.lock().remove(uid(&*object));
                self.reconciler.forget(&object);
            }
            action
        }
        .instrument(span)
        .await
    }

    /// Whether the cache has this very object, and not only one of its name.
    fn is_cached(&self, object: &R::Object) -> bool {
        self.cache.get(&ObjectRef::from_obj(object)).is_some_and(|cached| cached.meta().uid == object.meta().uid)
    }

    /// The wait until the next try.
    async fn after_failure(&self, object: &R::Object, failure: &Failure<R::Error>) -> Duration {
        let earlier = {
            let mut failures = self.failures.lock();
            let count = failures.entry(uid(object).to_owned()).or_default();
            let earlier = *count;
            *count = earlier.saturating_add(1);
            earlier
        };
        let work = async { self.reconciler.after_failure(object, failure).await };
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Some(wait)) => wait,
            Ok(None) | Err(_) => {
                tracing::warn!(error = %failure, failures = earlier.saturating_add(1), "the reconcile failed");
                R::BACKOFF.wait(earlier)
            }
        }
    }
}

#[cfg(test)]
mod tests;
