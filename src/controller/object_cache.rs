//! The cached objects of one kind, over all watches, and the way to have one of them reconciled.

use std::sync::Arc;

use futures::FutureExt;
use kube::{
    Resource,
    runtime::reflector::{ObjectRef, Store},
};

use super::wake_queue::WakeSender;

/// What one watch feeds.
pub struct CachePart<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// The watched namespace; none stands for all of them.
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
    /// What these watches feed.
    #[must_use]
    pub const fn new(parts: Vec<CachePart<K>>) -> Self {
        Self { parts }
    }

    /// What each watch feeds.
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

    /// Whether there is this very object, and not only one of its name.
    #[must_use]
    pub fn contains(&self, object: &ObjectRef<K>) -> bool {
        let cached = object.namespace.as_deref().and_then(|namespace| self.get(namespace, &object.name));
        cached.is_some_and(|cached| cached.meta().uid == object.extra.uid)
    }

    /// All objects of all watches.
    pub fn all(&self) -> impl Iterator<Item = Arc<K>> {
        self.parts.iter().flat_map(|part| part.store.state())
    }

    /// Whether a missing object of this namespace does not exist: false until the first list has come in, and for a namespace that is not
    /// watched.
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
