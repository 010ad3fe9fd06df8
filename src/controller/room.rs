//! Who may work on triggers at the same time: one account whose nuvo is slow must not keep those of others waiting.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::runtime::reflector::ObjectRef;

use super::{
    account_key::AccountKey,
    run_index::{Age, age},
};
use crate::account::poller::RunNotifier;
use nuvo_crds::PipelineRun;

/// The place of a run in the line of its account: the oldest one comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    age: Age,
    namespace: Option<String>,
    name: String,
}

impl Place {
    /// The place of this run.
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

/// The seats of all accounts.
///
/// An account may take as many as are left: alone half of them, and of several that want more each the same share, while as many stay
/// free for one that comes later (dynamic thresholds, Choudhury and Hahne 1998).
pub struct Room {
    seats: usize,
    state: Mutex<State>,
    audience: Arc<dyn RunNotifier>,
}

#[derive(Default)]
struct State {
    taken: usize,
    /// Those with a seat taken, or a line. As many as there are accounts at most.
    accounts: HashMap<AccountKey, Desk>,
}

#[derive(Default)]
struct Desk {
    taken: usize,
    /// Those that wait, each once.
    line: BTreeSet<Place>,
}

impl Desk {
    /// The first one in the line that is still there.
    fn next(&mut self, audience: &dyn RunNotifier) -> Option<ObjectRef<PipelineRun>> {
        while let Some(first) = self.line.first().map(Place::run) {
            if audience.exists(&first) {
                return Some(first);
            }
            self.line.pop_first();
        }
        None
    }
}

/// A seat, until it is dropped.
pub struct Seat {
    room: Arc<Room>,
    account: AccountKey,
}

impl Room {
    /// Those who wait are woken when their turn may have come.
    #[must_use]
    pub fn new(seats: usize, audience: Arc<dyn RunNotifier>) -> Arc<Self> {
        Arc::new(Self { seats: seats.max(2), state: Mutex::default(), audience })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat, of which the account takes no more than `most`; else the number of those before the run in the line, which it joins.
    ///
    /// # Errors
    /// The number of runs that come first. It is called when its turn may have come.
    pub fn enter(self: &Arc<Self>, account: &AccountKey, most: usize, place: &Place) -> Result<Seat, usize> {
        let mut state = self.state();
        let moved = state.stand_nowhere_else(account, place, &*self.audience);
        let left = self.seats.saturating_sub(state.taken);
        let desk = state.accounts.entry(account.clone()).or_default();
        let free = left.min(most).saturating_sub(desk.taken);
        // Nobody says so when a run that waits is gone.
        while let Some(gone) = desk.line.range(..place).take(free).find(|other| !self.audience.exists(&other.run())).cloned() {
            desk.line.remove(&gone);
        }
        let before = desk.line.range(..place).count();
        if before < free {
            desk.line.remove(place);
            desk.taken = desk.taken.saturating_add(1);
            // One call may have come for several seats.
            let next = if free > 1 { desk.next(&*self.audience) } else { None };
            state.taken = state.taken.saturating_add(1);
            drop(state);
            for next in moved.iter().chain(&next) {
                self.audience.wake(next);
            }
            return Ok(Seat { room: self.clone(), account: account.clone() });
        }
        desk.line.insert(place.clone());
        drop(state);
        for next in &moved {
            self.audience.wake(next);
        }
        Err(before)
    }

    /// The run wants no seat any more.
    pub fn leave(&self, account: &AccountKey, place: &Place) {
        let mut state = self.state();
        let mut called = state.stand_nowhere_else(account, place, &*self.audience);
        if let Some(desk) = state.accounts.get_mut(account)
            && desk.line.remove(place)
        {
            // It may have been called and not come.
            called.extend(desk.next(&*self.audience));
        }
        state.tidy();
        drop(state);
        for run in &called {
            self.audience.wake(run);
        }
    }

    fn give_back(&self, account: &AccountKey) {
        let mut state = self.state();
        state.taken = state.taken.saturating_sub(1);
        if let Some(desk) = state.accounts.get_mut(account) {
            desk.taken = desk.taken.saturating_sub(1);
        }
        // What is left has grown for all.
        let left = self.seats.saturating_sub(state.taken);
        let desks = state.accounts.values_mut().filter(|desk| desk.taken < left);
        let next: Vec<_> = desks.filter_map(|desk| desk.next(&*self.audience)).collect();
        state.tidy();
        drop(state);
        for run in &next {
            self.audience.wake(run);
        }
    }
}

impl State {
    fn tidy(&mut self) {
        self.accounts.retain(|_, desk| desk.taken > 0 || !desk.line.is_empty());
    }

    /// A run may name another account than before. Who is to be called because of that.
    fn stand_nowhere_else(&mut self, account: &AccountKey, place: &Place, audience: &dyn RunNotifier) -> Vec<ObjectRef<PipelineRun>> {
        let others = self.accounts.iter_mut().filter(|(other, _)| *other != account);
        others.filter_map(|(_, desk)| desk.line.remove(place).then(|| desk.next(audience))?).collect()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.give_back(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn account(name: &str) -> AccountKey {
        AccountKey { namespace: "team".into(), name: name.into() }
    }

    fn place(second: i64) -> Place {
        Place {
            age: (Some(Timestamp::from_second(second).unwrap()), Some(format!("u{second}"))),
            namespace: Some("team".into()),
            name: format!("run-{second}"),
        }
    }

    /// Who was called, and who is gone.
    #[derive(Default)]
    struct People {
        called: Mutex<Vec<String>>,
        gone: Mutex<Vec<String>>,
    }

    impl RunNotifier for People {
        fn wake(&self, run: &ObjectRef<PipelineRun>) {
            self.called.lock().unwrap().push(run.name.clone());
        }

        fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool {
            !self.gone.lock().unwrap().contains(&run.name)
        }
    }

    impl People {
        fn take_called(&self) -> Vec<String> {
            std::mem::take(&mut *self.called.lock().unwrap())
        }
    }

    fn room(seats: usize) -> (Arc<Room>, Arc<People>) {
        let people = Arc::new(People::default());
        (Room::new(seats, people.clone()), people)
    }

    /// As many seats as the account gets.
    fn fill(room: &Arc<Room>, name: &str, most: usize) -> Vec<Seat> {
        (0..100).map_while(|second| room.enter(&account(name), most, &place(second)).ok()).collect()
    }

    #[test]
    fn an_account_alone_leaves_half_of_the_seats_and_two_leave_a_third() {
        let (room, _) = room(12);
        let one = fill(&room, "one", 100);
        assert_eq!(one.len(), 6);
        let two = fill(&room, "two", 100);
        assert_eq!(two.len(), 3, "half of what is left");
        drop(one);
        assert_eq!(two.len() + fill(&room, "two", 100).len(), 6);
    }

    #[test]
    fn a_small_account_takes_no_more_than_its_budget_can_use() {
        let (room, _) = room(100);
        assert_eq!(fill(&room, "small", 3).len(), 3);
    }

    #[test]
    fn the_oldest_comes_first_and_is_called() {
        let (room, people) = room(2);
        let seat = room.enter(&account("one"), 100, &place(1)).ok().unwrap();
        assert_eq!(room.enter(&account("one"), 100, &place(9)).err(), Some(0));
        assert_eq!(room.enter(&account("one"), 100, &place(5)).err(), Some(0));
        assert_eq!(room.enter(&account("one"), 100, &place(7)).err(), Some(1));
        drop(seat);
        assert_eq!(people.take_called(), ["run-5"]);
        assert_eq!(room.enter(&account("one"), 100, &place(9)).err(), Some(2), "it is not its turn");
        room.leave(&account("one"), &place(5));
        assert_eq!(people.take_called(), ["run-7"], "the one that was called does not come");
        assert!(room.enter(&account("one"), 100, &place(7)).is_ok());
    }

    #[test]
    fn who_waits_because_of_other_accounts_is_called_when_they_give_back() {
        let (room, people) = room(3);
        let one = fill(&room, "one", 100);
        let two = fill(&room, "two", 100);
        assert_eq!((one.len(), two.len()), (2, 1));
        assert!(room.enter(&account("three"), 100, &place(77)).is_err());
        drop(two);
        assert!(people.take_called().contains(&"run-77".to_owned()));
        assert!(room.enter(&account("three"), 100, &place(77)).is_ok());
    }

    #[test]
    fn who_takes_a_seat_calls_the_next_one_while_there_are_more() {
        let (room, people) = room(12);
        let seats = fill(&room, "one", 100);
        for second in 10..30 {
            assert!(room.enter(&account("one"), 100, &place(second)).is_err());
        }
        drop(seats);
        // Calls that come before the run was looked at are one.
        assert!(people.take_called().contains(&"run-6".to_owned()));
        let mut taken = Vec::new();
        let mut next = vec!["run-6".to_owned()];
        while let Some(name) = next.first() {
            let second = name.trim_start_matches("run-").parse().unwrap();
            taken.extend(room.enter(&account("one"), 100, &place(second)).ok());
            next = people.take_called();
        }
        assert_eq!(taken.len(), 6);
    }

    #[test]
    fn who_is_gone_keeps_nobody_waiting() {
        let (room, people) = room(2);
        let seat = room.enter(&account("one"), 100, &place(1)).ok().unwrap();
        for second in 2..10 {
            assert!(room.enter(&account("one"), 100, &place(second)).is_err());
        }
        people.gone.lock().unwrap().extend((2..8).map(|second| format!("run-{second}")));
        drop(seat);
        assert_eq!(people.take_called(), ["run-8"]);
        people.gone.lock().unwrap().push("run-8".to_owned());
        assert!(room.enter(&account("one"), 100, &place(9)).is_ok());
    }

    #[test]
    fn who_goes_to_another_account_stands_in_one_line_only() {
        let (room, people) = room(2);
        let seat = room.enter(&account("one"), 100, &place(1)).ok().unwrap();
        for second in 2..4 {
            assert!(room.enter(&account("one"), 100, &place(second)).is_err());
        }
        assert!(room.enter(&account("two"), 100, &place(2)).is_ok());
        assert!(people.take_called().contains(&"run-3".to_owned()), "the next one of the first account");
        drop(seat);
        assert!(people.take_called().contains(&"run-3".to_owned()));
        assert!(room.enter(&account("one"), 100, &place(3)).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_accounts_that_are_done() {
        let (room, _) = room(4);
        drop(fill(&room, "one", 100));
        for second in 0..100 {
            room.leave(&account("one"), &place(second));
        }
        assert!(room.state().accounts.is_empty());
    }
}
