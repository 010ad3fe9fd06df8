//! Which accounts can be used, and the driver of each.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::{object_cache::ObjectCache, observed_pipelines::ObservedPipelines, run_store::RunStore};
use crate::account::{AccountDriver, AccountKey, Requests, Session, driver::Patience};
use crate::shutdown::{self, Shutdown, Stop};
use nuvo_crds::NuvoAccount;

/// Whether an account can be used.
#[derive(Debug, Clone)]
pub enum AccountState {
    /// This process has not reconciled it yet, so its runs wait without a new status.
    Unknown,
    /// It cannot be used, for this reason.
    NotReady(String),
    /// It can be used, with this session.
    Ready(Arc<Session>),
}

/// All accounts that this operator watches.
pub struct AccountRegistry {
    runs: Arc<RunStore>,
    pipelines: Arc<ObservedPipelines>,
    patience: Patience,
    shutdown: Shutdown,
    cache: ObjectCache<NuvoAccount>,
    accounts: Mutex<HashMap<AccountKey, Account>>,
}

/// An account that was reconciled.
struct Account {
    state: AccountState,
    driver: Arc<AccountDriver>,
    _stop: Stop,
}

impl AccountRegistry {
    /// Nothing is known of the accounts yet.
    #[must_use]
    pub fn new(
        cache: ObjectCache<NuvoAccount>,
        runs: Arc<RunStore>,
        pipelines: Arc<ObservedPipelines>,
        patience: Patience,
        shutdown: Shutdown,
    ) -> Self {
        Self { runs, pipelines, patience, shutdown, cache, accounts: Mutex::default() }
    }

    /// Has an account reconciled again.
    pub fn wake(&self, account: &ObjectRef<NuvoAccount>) {
        self.cache.wake(account);
    }

    /// Whether an account can be used.
    #[must_use]
    pub fn state(&self, key: &AccountKey) -> AccountState {
        if let Some(account) = self.accounts.lock().get(key) {
            return account.state.clone();
        }
        // Until the first list is complete, an account that is not in the cache may exist.
        if self.cache.get(&key.namespace, &key.name).is_some() || !self.cache.is_filled(&key.namespace) {
            return AccountState::Unknown;
        }
        AccountState::NotReady(format!(
            "There is no NuvoAccount {} in this namespace: create it, or name another one in spec.accountRef.",
            key.name
        ))
    }

    /// `spec.baseUrl` of an account, whether or not it can be used.
    #[must_use]
    pub fn base_url(&self, key: &AccountKey) -> Option<String> {
        Some(self.cache.get(&key.namespace, &key.name)?.spec.base_url.clone())
    }

    /// The driver of an account; none before it was reconciled.
    #[must_use]
    pub fn driver(&self, key: &AccountKey) -> Option<Arc<AccountDriver>> {
        self.accounts.lock().get(key).map(|account| account.driver.clone())
    }

    /// What a new session of this account asks before it sends a request; none if the account was deleted.
    #[must_use]
    pub fn requests(&self, reference: &ObjectRef<NuvoAccount>) -> Option<Arc<Requests>> {
        let key = AccountKey::of_account(reference);
        let mut accounts = self.accounts.lock();
        // The cache removes an account first, so a reconcile that ends later does not bring it back.
        self.cache.contains(reference).then(|| accounts.entry(key.clone()).or_insert_with(|| self.start(&key)).driver.requests())
    }

    /// Sets whether an account can be used, and wakes its runs if that has changed. Returns false if the account was deleted.
    pub fn set_state(&self, reference: &ObjectRef<NuvoAccount>, state: AccountState) -> bool {
        let key = AccountKey::of_account(reference);
        let session = match &state {
            AccountState::Ready(session) => Some(session.clone()),
            AccountState::Unknown | AccountState::NotReady(_) => None,
        };
        let mut accounts = self.accounts.lock();
        // The cache removes an account first, so a reconcile that ends later does not bring it back.
        if !self.cache.contains(reference) {
            return false;
        }
        let account = accounts.entry(key.clone()).or_insert_with(|| self.start(&key));
        let same = match (&account.state, &state) {
            (AccountState::Ready(before), AccountState::Ready(now)) => Arc::ptr_eq(before, now),
            (AccountState::NotReady(before), AccountState::NotReady(now)) => before == now,
            _ => false,
        };
        account.state = state;
        account.driver.connect(session);
        drop(accounts);
        if !same {
            self.wake_runs(&key);
        }
        true
    }

    /// Starts the driver of an account.
    fn start(&self, key: &AccountKey) -> Account {
        let (stop, stopped) = shutdown::channel();
        let driver = Arc::new(AccountDriver::new(self.runs.clone(), self.pipelines.clone(), self.patience, spread(key)));
        let (works, ending) = (driver.clone(), self.shutdown.clone());
        tokio::spawn(async move {
            let end = async {
                tokio::select! {
                    () = ending.begun() => {}
                    () = stopped.begun() => {}
                }
            };
            works.run(end).await;
        });
        Account { state: AccountState::Unknown, driver, _stop: stop }
    }

    /// The uids of all accounts in the cache.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        self.cache.all().filter_map(|account| account.metadata.uid.clone()).collect()
    }

    /// The session that an account works with.
    #[must_use]
    pub fn session(&self, account: &ObjectRef<NuvoAccount>) -> Option<Arc<Session>> {
        match self.accounts.lock().get(&AccountKey::of_account(account))?.state.clone() {
            AccountState::Ready(session) => Some(session),
            AccountState::Unknown | AccountState::NotReady(_) => None,
        }
    }

    /// Removes an account that was deleted, and wakes its runs.
    pub fn remove(&self, account: &ObjectRef<NuvoAccount>) {
        let key = AccountKey::of_account(account);
        let removed = self.accounts.lock().remove(&key);
        if removed.is_some() {
            self.wake_runs(&key);
        }
    }

    /// Removes the accounts that are no longer in the cache, and returns them.
    pub fn remove_deleted(&self) -> Vec<AccountKey> {
        let cached = |key: &AccountKey| self.cache.get(&key.namespace, &key.name).is_some();
        let deleted: Vec<AccountKey> = self.accounts.lock().keys().filter(|key| !cached(key)).cloned().collect();
        for key in &deleted {
            self.remove(&ObjectRef::new(&key.name).within(&key.namespace));
        }
        deleted
    }

    fn wake_runs(&self, key: &AccountKey) {
        self.pipelines.wake_of(key);
        for run in self.runs.active_runs(key) {
            self.runs.wake(&run);
        }
    }

    /// Wakes the runs of accounts that cannot be used. Call this when the cache was filled: it is known then which accounts do not exist.
    pub fn wake_runs_of_unavailable(&self) {
        for key in self.runs.accounts() {
            if !matches!(self.state(&key), AccountState::Ready(_)) {
                self.wake_runs(&key);
            }
        }
        self.pipelines.wake_all();
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
    use std::{convert::Infallible, time::Duration};

    use http::{Request, Response};
    use kube::{
        Client,
        client::Body,
        runtime::{reflector, watcher::Event},
    };

    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::{
        checked_clock::CheckedClock,
        controller::{object_cache::CachePart, wake_queue::wake_queue},
        telemetry::Metrics,
    };

    fn account(uid: &str) -> NuvoAccount {
        serde_json::from_value(serde_json::json!({
            "metadata": { "name": "default", "namespace": "team", "uid": uid },
            "spec": { "baseUrl": "https://nuvo.test" },
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn state_of_a_deleted_account_is_not_set() {
        let server = tower::service_fn(|_: Request<Body>| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
        let runs = Arc::new(RunStore::new(Client::new(server, "team"), Metrics::new(), false));
        let (_stop, shutdown) = shutdown::channel();
        let (store, mut writer) = reflector::store();
        let cache = ObjectCache::new(vec![CachePart { namespace: None, store, wakes: wake_queue().0 }]);
        let clock = CheckedClock::new(Timestamp::now, Metrics::new());
        let pipelines = Arc::new(ObservedPipelines::new(ObjectCache::new(Vec::new()), clock));
        let patience = Patience { grace: Duration::ZERO, confirm: Duration::ZERO, overlap: Duration::ZERO };
        let accounts = AccountRegistry::new(cache, runs, pipelines, patience, shutdown);
        let key = AccountKey { namespace: "team".into(), name: "default".into() };
        let (old, new) = (account("old"), account("new"));
        let set = |account: &NuvoAccount| accounts.set_state(&ObjectRef::from_obj(account), AccountState::NotReady("because".into()));
        let state = || match accounts.state(&key) {
            AccountState::NotReady(why) => why,
            other => format!("{other:?}"),
        };

        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitApply(old.clone()));
        writer.apply_watcher_event(&Event::InitDone);
        assert!(set(&old));
        assert_eq!(state(), "because");
        writer.apply_watcher_event(&Event::Delete(old.clone()));
        accounts.remove(&ObjectRef::from_obj(&old));
        assert!(!set(&old));
        assert!(state().starts_with("There is no NuvoAccount default"), "{}", state());
        // Nor does it speak for another object of its name.
        writer.apply_watcher_event(&Event::Apply(new.clone()));
        assert!(!set(&old) && set(&new));
        assert_eq!(accounts.uids(), ["new".to_owned()].into());
    }
}
