//! The cached objects of one kind, over all watches, and a way to wake one of them.

use std::sync::Arc;

use futures::FutureExt;
use kube::{
    Resource,
    runtime::reflector::{ObjectRef, Store},
};

use super::wake_queue::WakeSender;

/// The part of a cache that one watch feeds.
pub struct CachePart<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// The watched namespace; none means all of them.
    pub namespace: Option<String>,
    /// Its objects.
    pub store: Store<K>,
    /// Has one of them reconciled.
    pub wakes: WakeSender<ObjectRef<K>>,
}

/// The cached objects of one kind.
pub struct ObjectCache<K: Resource<DynamicType = ()> + Clone + 'static> {
    parts: Vec<CachePart<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> ObjectCache<K> {
    /// A cache with these parts.
    #[must_use]
    pub const fn new(parts: Vec<CachePart<K>>) -> Self {
        Self { parts }
    }

    /// The parts of the cache.
    #[must_use]
    pub fn into_parts(self) -> Vec<CachePart<K>> {
        self.parts
    }

    fn part(&self, namespace: &str) -> Option<&CachePart<K>> {
        self.parts.iter().find(|part| part.namespace.as_deref().is_none_or(|watched| watched == namespace))
    }

    /// The object of this name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.part(namespace)?.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// Whether the cache has this very object, by its uid, and not only one of the same name.
    #[must_use]
    pub fn contains(&self, object: &ObjectRef<K>) -> bool {
        let cached = object.namespace.as_deref().and_then(|namespace| self.get(namespace, &object.name));
        cached.is_some_and(|cached| cached.meta().uid == object.extra.uid)
    }

    /// All objects of all watches.
    pub fn all(&self) -> impl Iterator<Item = Arc<K>> {
        self.parts.iter().flat_map(|part| part.store.state())
    }

    /// Whether an object of this namespace that is not cached does not exist: false until the first list is complete, and for a namespace that
    /// is not watched.
    #[must_use]
    pub fn is_filled(&self, namespace: &str) -> bool {
        self.part(namespace).is_some_and(|part| part.store.wait_until_ready().now_or_never().is_some())
    }

    /// Has an object reconciled.
    pub fn wake(&self, object: &ObjectRef<K>) {
        if let Some(part) = object.namespace.as_deref().and_then(|namespace| self.part(namespace)) {
            part.wakes.wake(object.clone());
        }
    }
}
