//! How many runs work on their triggers at the same time: a limit that accounts share, so that an account whose nuvo is slow does not keep the
//! runs of others waiting. Within an account, runs queue by age.

use std::collections::{BTreeMap, BTreeSet};

/// The places of all accounts `A`, and the runs `K` that wait for one; a smaller key comes first.
///
/// An account may hold as many places as are free: one account alone gets half of them, and several that want more get equal shares, while as
/// many stay free for an account that comes later (dynamic thresholds, Choudhury and Hahne 1998).
#[derive(Debug, Clone)]
pub struct Places<A, K> {
    places: usize,
    /// The places that all accounts hold together.
    held: usize,
    /// The accounts that hold a place, or whose runs wait. No more than there are accounts.
    accounts: BTreeMap<A, Queue<K>>,
}

#[derive(Debug, Clone)]
struct Queue<K> {
    /// The places that the account holds.
    held: usize,
    /// The runs that wait, each once.
    waiting: BTreeSet<K>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { held: 0, waiting: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// The oldest run that waits and still exists.
    fn next(&mut self, exists: &dyn Fn(&K) -> bool) -> Option<K> {
        while let Some(first) = self.waiting.first() {
            if exists(first) {
                return Some(first.clone());
            }
            self.waiting.pop_first();
        }
        None
    }
}

impl<A: Ord + Clone, K: Ord + Clone> Places<A, K> {
    /// So many places, at least 2.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places: places.max(2), held: 0, accounts: BTreeMap::new() }
    }

    /// Takes a place, unless the older runs of the account that wait need all the places that it may still take; it may hold at most `most`.
    /// Without a place the run joins the queue; it asks again when it is woken. Adds to `woken` the runs that may get a place.
    ///
    /// # Errors
    /// The number of runs that are ahead of this one.
    pub fn try_take(&mut self, account: &A, most: usize, key: &K, exists: &dyn Fn(&K) -> bool, woken: &mut Vec<K>) -> Result<(), usize> {
        self.leave_other_accounts(account, key, exists, woken);
        let left = self.places.saturating_sub(self.held);
        let queue = self.accounts.entry(account.clone()).or_default();
        let free = left.min(most).saturating_sub(queue.held);
        // A run that was deleted while it waited does not leave the queue by itself.
        while let Some(deleted) = queue.waiting.range(..key).take(free).find(|other| !exists(other)).cloned() {
            queue.waiting.remove(&deleted);
        }
        let ahead = queue.waiting.range(..key).count();
        if ahead >= free {
            queue.waiting.insert(key.clone());
            return Err(ahead);
        }
        queue.waiting.remove(key);
        queue.held = queue.held.saturating_add(1);
        self.held = self.held.saturating_add(1);
        // One wake may stand for several free places.
        if free > 1 {
            woken.extend(queue.next(exists));
        }
        Ok(())
    }

    /// The run no longer waits for a place. Adds to `woken` the runs that may get one.
    pub fn leave(&mut self, account: &A, key: &K, exists: &dyn Fn(&K) -> bool, woken: &mut Vec<K>) {
        self.leave_other_accounts(account, key, exists, woken);
        if let Some(queue) = self.accounts.get_mut(account)
            && queue.waiting.remove(key)
        {
            // The run may have been woken for a place that it did not take.
            woken.extend(queue.next(exists));
        }
        self.remove_idle();
    }

    /// The account gives a place back. Adds to `woken` the runs that may get one.
    pub fn give_back(&mut self, account: &A, exists: &dyn Fn(&K) -> bool, woken: &mut Vec<K>) {
        self.held = self.held.saturating_sub(1);
        if let Some(queue) = self.accounts.get_mut(account) {
            queue.held = queue.held.saturating_sub(1);
        }
        // Every account may now hold more.
        let left = self.places.saturating_sub(self.held);
        woken.extend(self.accounts.values_mut().filter(|queue| queue.held < left).filter_map(|queue| queue.next(exists)));
        self.remove_idle();
    }

    /// Whether no account holds a place, and no run waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.accounts.is_empty()
    }

    fn remove_idle(&mut self) {
        self.accounts.retain(|_, queue| queue.held > 0 || !queue.waiting.is_empty());
    }

    /// Removes a run from the queues of accounts that it named before.
    fn leave_other_accounts(&mut self, account: &A, key: &K, exists: &dyn Fn(&K) -> bool, woken: &mut Vec<K>) {
        let others = self.accounts.iter_mut().filter(|(other, _)| *other != account);
        woken.extend(others.filter_map(|(_, queue)| queue.waiting.remove(key).then(|| queue.next(exists))?));
    }
}

/// How many runs of an account may work on their triggers at once: as many as its rate limit allows in two seconds, but at least 4. More would
/// make the look that they share too old for the last of them.
#[must_use]
pub fn most_places(requests_per_second: u32) -> usize {
    usize::try_from(requests_per_second.saturating_mul(2)).unwrap_or(usize::MAX).max(4)
}
