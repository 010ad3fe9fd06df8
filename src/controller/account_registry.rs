//! Which accounts can be used, and the follower of each.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::runtime::reflector::{ObjectRef, Store};

use super::{runs::Runs, wake_queue::Wakes};
use crate::account::Session;
use crate::account::follower::Follower;
use crate::shutdown::{self, Shutdown, Stop};
use nuvo_crds::{NuvoAccount, PipelineRun};

/// An account by its namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl AccountKey {
    /// The account that a run names.
    #[must_use]
    pub fn of(run: &PipelineRun) -> Self {
        Self { namespace: run.metadata.namespace.clone().unwrap_or_default(), name: run.spec.account_ref.name.clone() }
    }

    fn of_account(account: &ObjectRef<NuvoAccount>) -> Self {
        Self { namespace: account.namespace.clone().unwrap_or_default(), name: account.name.clone() }
    }
}

/// Whether an account can be used.
#[derive(Debug, Clone)]
pub enum Standing {
    /// This process has not looked at it yet. Nothing is to be said about its runs before that.
    Unjudged,
    /// It cannot, and why.
    NotReady(String),
    /// It can.
    Ready(Arc<Session>),
}

/// What one watch feeds.
struct Part {
    namespace: Option<String>,
    store: Store<NuvoAccount>,
    wakes: Wakes<ObjectRef<NuvoAccount>>,
}

/// All accounts that this operator watches.
pub struct Accounts {
    runs: Arc<Runs>,
    grace: Duration,
    shutdown: Shutdown,
    parts: Vec<Part>,
    judged: Mutex<HashMap<AccountKey, Judged>>,
}

struct Judged {
    standing: Standing,
    follower: Arc<Follower>,
    _stop: Stop,
}

impl Accounts {
    /// No watch yet. `grace` is how long nuvo may deny that an execution exists.
    #[must_use]
    pub fn new(runs: Arc<Runs>, grace: Duration, shutdown: Shutdown) -> Self {
        Self { runs, grace, shutdown, parts: Vec::new(), judged: Mutex::default() }
    }

    /// Adds what one watch feeds; `None` stands for all namespaces.
    pub fn add(&mut self, namespace: Option<String>, store: Store<NuvoAccount>, wakes: Wakes<ObjectRef<NuvoAccount>>) {
        self.parts.push(Part { namespace, store, wakes });
    }

    fn judged(&self) -> MutexGuard<'_, HashMap<AccountKey, Judged>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, namespace: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.namespace.as_deref().is_none_or(|watched| watched == namespace))
    }

    /// Has an account looked at again.
    pub fn wake(&self, account: &ObjectRef<NuvoAccount>) {
        if let Some(part) = account.namespace.as_deref().and_then(|namespace| self.part(namespace)) {
            part.wakes.wake(account.clone());
        }
    }

    /// Whether an account can be used.
    #[must_use]
    pub fn standing(&self, key: &AccountKey) -> Standing {
        if let Some(judged) = self.judged().get(key) {
            return judged.standing.clone();
        }
        let Some(part) = self.part(&key.namespace) else { return Standing::Unjudged };
        let known = part.store.get(&ObjectRef::new(&key.name).within(&key.namespace)).is_some();
        // An empty cache is one that has not been filled yet, or really empty: only the future knows.
        let filled = futures::FutureExt::now_or_never(part.store.wait_until_ready()).is_some();
        if known || !filled {
            return Standing::Unjudged;
        }
        Standing::NotReady(format!(
            "There is no NuvoAccount {} in this namespace: create it, or name another one in spec.accountRef.",
            key.name
        ))
    }

    /// `spec.baseUrl` of an account, whether or not it can be used.
    #[must_use]
    pub fn base_url(&self, key: &AccountKey) -> Option<String> {
        let account = self.part(&key.namespace)?.store.get(&ObjectRef::new(&key.name).within(&key.namespace))?;
        Some(account.spec.base_url.clone())
    }

    /// The follower of an account.
    #[must_use]
    pub fn follower(&self, key: &AccountKey) -> Option<Arc<Follower>> {
        self.judged().get(key).map(|judged| judged.follower.clone())
    }

    /// Says whether an account can be used, and wakes the runs that wait for it if that is new. False: the account is gone.
    pub fn judge(&self, account: &ObjectRef<NuvoAccount>, standing: Standing) -> bool {
        let key = AccountKey::of_account(account);
        let session = match &standing {
            Standing::Ready(session) => Some(session.clone()),
            Standing::Unjudged | Standing::NotReady(_) => None,
        };
        let mut judged = self.judged();
        // The cache loses an account before it is removed here, so that a look which took longer does not bring it back to life.
        if !self.exists(account) {
            return false;
        }
        let entry = judged.entry(key.clone()).or_insert_with(|| {
            let (stop, stopped) = shutdown::channel();
            let follower = Arc::new(Follower::new(self.runs.clone(), self.grace, spread(&key)));
            let (works, ending) = (follower.clone(), self.shutdown.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = works.run(ending) => {}
                    () = stopped.begun() => {}
                }
            });
            Judged { standing: Standing::Unjudged, follower, _stop: stop }
        });
        let same = match (&entry.standing, &standing) {
            (Standing::Ready(before), Standing::Ready(now)) => Arc::ptr_eq(before, now),
            (Standing::NotReady(before), Standing::NotReady(now)) => before == now,
            _ => false,
        };
        entry.standing = standing;
        entry.follower.connect(session);
        drop(judged);
        if !same {
            self.wake_runs(&key);
        }
        true
    }

    /// Whether the cache has this very account.
    fn exists(&self, account: &ObjectRef<NuvoAccount>) -> bool {
        let cached = account.namespace.as_deref().and_then(|namespace| self.part(namespace)).and_then(|part| part.store.get(account));
        cached.is_some_and(|cached| cached.metadata.uid == account.extra.uid)
    }

    /// The uids of all accounts in the cache.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        self.parts.iter().flat_map(|part| part.store.state()).filter_map(|account| account.metadata.uid.clone()).collect()
    }

    /// The session that an account works with.
    #[must_use]
    pub fn session(&self, account: &ObjectRef<NuvoAccount>) -> Option<Arc<Session>> {
        match self.judged().get(&AccountKey::of_account(account))?.standing.clone() {
            Standing::Ready(session) => Some(session),
            Standing::Unjudged | Standing::NotReady(_) => None,
        }
    }

    /// The account is gone.
    pub fn remove(&self, account: &ObjectRef<NuvoAccount>) {
        let key = AccountKey::of_account(account);
        let removed = self.judged().remove(&key);
        if removed.is_some() {
            self.wake_runs(&key);
        }
    }

    /// Removes what the cache does not have any more, and returns it.
    pub fn prune(&self) -> Vec<AccountKey> {
        let cached = |key: &AccountKey| {
            let object = ObjectRef::new(&key.name).within(&key.namespace);
            self.part(&key.namespace).is_some_and(|part| part.store.get(&object).is_some())
        };
        let gone: Vec<AccountKey> = self.judged().keys().filter(|key| !cached(key)).cloned().collect();
        for key in &gone {
            self.remove(&ObjectRef::new(&key.name).within(&key.namespace));
        }
        gone
    }

    fn wake_runs(&self, key: &AccountKey) {
        for run in self.runs.going(key) {
            self.runs.wake(&run);
        }
    }

    /// The cache has been filled: now it can be told which accounts are missing.
    pub fn wake_unjudged(&self) {
        for key in self.runs.accounts() {
            if !matches!(self.standing(&key), Standing::Ready(_)) {
                self.wake_runs(&key);
            }
        }
    }
}

/// A number from 0 to 1 that differs from account to account.
fn spread(account: &AccountKey) -> f64 {
    let mut hasher = DefaultHasher::new();
    account.hash(&mut hasher);
    let [part, ..] = hasher.finish().to_le_bytes();
    f64::from(part) / f64::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::{
        Client,
        client::Body,
        runtime::{reflector, watcher::Event},
    };

    use super::*;
    use crate::{controller::wake_queue::wakes, telemetry::Metrics};

    fn account(uid: &str) -> NuvoAccount {
        serde_json::from_value(serde_json::json!({
            "metadata": { "name": "default", "namespace": "team", "uid": uid },
            "spec": { "baseUrl": "https://nuvo.test" },
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_look_that_ends_after_its_account_brings_nothing_back() {
        let nobody = tower::service_fn(|_: Request<Body>| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
        let runs = Arc::new(Runs::new(Client::new(nobody, "team"), Metrics::new()));
        let (_stop, shutdown) = shutdown::channel();
        let mut accounts = Accounts::new(runs, Duration::ZERO, shutdown);
        let (store, mut writer) = reflector::store();
        accounts.add(None, store, wakes().0);
        let key = AccountKey { namespace: "team".into(), name: "default".into() };
        let (old, new) = (account("old"), account("new"));
        let judge = |account: &NuvoAccount| accounts.judge(&ObjectRef::from_obj(account), Standing::NotReady("because".into()));
        let standing = || match accounts.standing(&key) {
            Standing::NotReady(why) => why,
            other => format!("{other:?}"),
        };

        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitApply(old.clone()));
        writer.apply_watcher_event(&Event::InitDone);
        assert!(judge(&old));
        assert_eq!(standing(), "because");
        writer.apply_watcher_event(&Event::Delete(old.clone()));
        accounts.remove(&ObjectRef::from_obj(&old));
        assert!(!judge(&old));
        assert!(standing().starts_with("There is no NuvoAccount default"), "{}", standing());
        // Nor does it speak for another object of its name.
        writer.apply_watcher_event(&Event::Apply(new.clone()));
        assert!(!judge(&old) && judge(&new));
        assert_eq!(accounts.uids(), ["new".to_owned()].into());
    }
}
