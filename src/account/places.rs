//! Hands out the [`Places`] of the runs that work on their triggers, and wakes the runs that wait for one.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::{account_key::AccountKey, driver::RunNotifier};
use nuvo_core::scheduler::Places;
use nuvo_crds::PipelineRun;

/// Older runs come first; those of the same second in the order of their uids.
pub type Age = (Option<Timestamp>, Option<String>);

/// The age of a run.
#[must_use]
pub fn age(object: &PipelineRun) -> Age {
    (object.metadata.creation_timestamp.as_ref().map(|time| time.0), object.metadata.uid.clone())
}

/// A run in the queue of its account: the oldest comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueKey {
    age: Age,
    namespace: Option<String>,
    name: String,
}

impl QueueKey {
    /// The key of this run.
    #[must_use]
    pub fn of(run: &PipelineRun) -> Self {
        Self { age: age(run), namespace: run.metadata.namespace.clone(), name: run.metadata.name.clone().unwrap_or_default() }
    }

    fn run(&self) -> ObjectRef<PipelineRun> {
        let mut run = ObjectRef::new(&self.name);
        run.namespace.clone_from(&self.namespace);
        run.extra.uid.clone_from(&self.age.1);
        run
    }
}

/// The places of all accounts, and the runs that wait for one.
pub struct TriggerQueue {
    state: Mutex<Places<AccountKey, QueueKey>>,
    notifier: Arc<dyn RunNotifier>,
}

/// A place, given back when it is dropped.
pub struct Place {
    queue: Arc<TriggerQueue>,
    account: AccountKey,
}

impl TriggerQueue {
    /// A queue with so many places, at least 2. Waiting runs are woken when they may get one.
    #[must_use]
    pub fn new(places: usize, notifier: Arc<dyn RunNotifier>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(Places::new(places)), notifier })
    }

    /// A place, unless older runs of the account need all that it may still take; it may hold at most `most`. Without a place the run joins the
    /// queue; call this again when it is woken.
    ///
    /// # Errors
    /// The number of runs that are ahead of this one.
    pub fn try_acquire(self: &Arc<Self>, account: &AccountKey, most: usize, key: &QueueKey) -> Result<Place, usize> {
        let taken = self.change(|places, exists, woken| places.try_take(account, most, key, exists, woken));
        taken.map(|()| Place { queue: self.clone(), account: account.clone() })
    }

    /// The run no longer waits for a place.
    pub fn leave(&self, account: &AccountKey, key: &QueueKey) {
        self.change(|places, exists, woken| places.leave(account, key, exists, woken));
    }

    /// Changes the places, then wakes the runs that may get one.
    fn change<T>(&self, change: impl FnOnce(&mut Places<AccountKey, QueueKey>, &dyn Fn(&QueueKey) -> bool, &mut Vec<QueueKey>) -> T) -> T {
        let mut woken = Vec::new();
        let result = change(&mut self.state.lock(), &|key| self.notifier.exists(&key.run()), &mut woken);
        for key in &woken {
            self.notifier.wake(&key.run());
        }
        result
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.change(|places, exists, woken| places.give_back(&self.account, exists, woken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountKey {
        AccountKey { namespace: "team".into(), name: name.into() }
    }

    fn key(second: i64) -> QueueKey {
        QueueKey {
            age: (Some(Timestamp::from_second(second).unwrap()), Some(format!("u{second}"))),
            namespace: Some("team".into()),
            name: format!("run-{second}"),
        }
    }

    /// The names of the runs that were woken, and of those that were deleted.
    #[derive(Default)]
    struct Runs {
        woken: Mutex<Vec<String>>,
        deleted: Mutex<Vec<String>>,
    }

    impl RunNotifier for Runs {
        fn wake(&self, run: &ObjectRef<PipelineRun>) {
            self.woken.lock().push(run.name.clone());
        }

        fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool {
            !self.deleted.lock().contains(&run.name)
        }
    }

    impl Runs {
        fn take_woken(&self) -> Vec<String> {
            std::mem::take(&mut *self.woken.lock())
        }
    }

    fn queue(places: usize) -> (Arc<TriggerQueue>, Arc<Runs>) {
        let runs = Arc::new(Runs::default());
        (TriggerQueue::new(places, runs.clone()), runs)
    }

    /// As many places as the account gets.
    fn fill(queue: &Arc<TriggerQueue>, name: &str, most: usize) -> Vec<Place> {
        (0..100).map_while(|second| queue.try_acquire(&account(name), most, &key(second)).ok()).collect()
    }

    #[test]
    fn one_account_gets_half_of_the_places_and_two_leave_a_third() {
        let (queue, _) = queue(12);
        let one = fill(&queue, "one", 100);
        assert_eq!(one.len(), 6);
        let two = fill(&queue, "two", 100);
        assert_eq!(two.len(), 3, "half of what is left");
        drop(one);
        assert_eq!(two.len() + fill(&queue, "two", 100).len(), 6);
    }

    #[test]
    fn account_gets_no_more_places_than_its_own_limit() {
        let (queue, _) = queue(100);
        assert_eq!(fill(&queue, "small", 3).len(), 3);
    }

    #[test]
    fn oldest_run_comes_first_and_is_woken() {
        let (queue, runs) = queue(2);
        let place = queue.try_acquire(&account("one"), 100, &key(1)).ok().unwrap();
        assert_eq!(queue.try_acquire(&account("one"), 100, &key(9)).err(), Some(0));
        assert_eq!(queue.try_acquire(&account("one"), 100, &key(5)).err(), Some(0));
        assert_eq!(queue.try_acquire(&account("one"), 100, &key(7)).err(), Some(1));
        drop(place);
        assert_eq!(runs.take_woken(), ["run-5"]);
        assert_eq!(queue.try_acquire(&account("one"), 100, &key(9)).err(), Some(2), "it is not its turn");
        queue.leave(&account("one"), &key(5));
        assert_eq!(runs.take_woken(), ["run-7"], "the run that was woken does not take the place");
        assert!(queue.try_acquire(&account("one"), 100, &key(7)).is_ok());
    }

    #[test]
    fn run_that_waits_for_places_of_other_accounts_is_woken_when_they_release_one() {
        let (queue, runs) = queue(3);
        let one = fill(&queue, "one", 100);
        let two = fill(&queue, "two", 100);
        assert_eq!((one.len(), two.len()), (2, 1));
        assert!(queue.try_acquire(&account("three"), 100, &key(77)).is_err());
        drop(two);
        assert!(runs.take_woken().contains(&"run-77".to_owned()));
        assert!(queue.try_acquire(&account("three"), 100, &key(77)).is_ok());
    }

    #[test]
    fn run_that_gets_a_place_wakes_the_next_one_while_more_are_free() {
        let (queue, runs) = queue(12);
        let places = fill(&queue, "one", 100);
        for second in 10..30 {
            assert!(queue.try_acquire(&account("one"), 100, &key(second)).is_err());
        }
        drop(places);
        // A run that is woken several times before it is reconciled is reconciled once.
        assert!(runs.take_woken().contains(&"run-6".to_owned()));
        let mut taken = Vec::new();
        let mut next = vec!["run-6".to_owned()];
        while let Some(name) = next.first() {
            let second = name.trim_start_matches("run-").parse().unwrap();
            taken.extend(queue.try_acquire(&account("one"), 100, &key(second)).ok());
            next = runs.take_woken();
        }
        assert_eq!(taken.len(), 6);
    }

    #[test]
    fn deleted_run_keeps_no_other_waiting() {
        let (queue, runs) = queue(2);
        let place = queue.try_acquire(&account("one"), 100, &key(1)).ok().unwrap();
        for second in 2..10 {
            assert!(queue.try_acquire(&account("one"), 100, &key(second)).is_err());
        }
        runs.deleted.lock().extend((2..8).map(|second| format!("run-{second}")));
        drop(place);
        assert_eq!(runs.take_woken(), ["run-8"]);
        runs.deleted.lock().push("run-8".to_owned());
        assert!(queue.try_acquire(&account("one"), 100, &key(9)).is_ok());
    }

    #[test]
    fn run_that_names_another_account_waits_in_one_queue_only() {
        let (queue, runs) = queue(2);
        let place = queue.try_acquire(&account("one"), 100, &key(1)).ok().unwrap();
        for second in 2..4 {
            assert!(queue.try_acquire(&account("one"), 100, &key(second)).is_err());
        }
        assert!(queue.try_acquire(&account("two"), 100, &key(2)).is_ok());
        assert!(runs.take_woken().contains(&"run-3".to_owned()), "the next one of the first account");
        drop(place);
        assert!(runs.take_woken().contains(&"run-3".to_owned()));
        assert!(queue.try_acquire(&account("one"), 100, &key(3)).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_idle_accounts() {
        let (queue, _) = queue(4);
        drop(fill(&queue, "one", 100));
        for second in 0..100 {
            queue.leave(&account("one"), &key(second));
        }
        assert!(queue.state.lock().is_idle());
    }
}
