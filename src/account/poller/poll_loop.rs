//! The loop of a poller: a list when one is due, and a read for each execution that the list no longer shows.

use std::collections::{BTreeSet, VecDeque};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use nuvo_client::Error;
use nuvo_core::run::{Absence, needs_list};
use tokio::time::Instant;

use super::{
    Poller,
    list_poll::{ListPoll, Listed},
    poll_period::{self, FASTEST, period, watch_period},
    read_answer::Answer,
    tracked::Key,
};
use crate::account::Session;
use crate::shutdown::Shutdown;

/// How many executions are read at once: enough to use a high rate limit in spite of slow answers.
const READS: usize = 32;

/// A request that has ended.
enum Done {
    Listed {
        list_poll: ListPoll,
        began: Instant,
        open: BTreeSet<Key>,
        awaited: BTreeSet<Key>,
        repairs: Vec<(Key, bool)>,
        result: Result<Listed, Error>,
    },
    Read {
        key: Key,
        asked: Instant,
        awaited: bool,
        answer: Result<Answer, Error>,
    },
}

impl Poller {
    /// Polls until the shutdown begins.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut work: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut list_poll = Some(ListPoll::default());
        // Holds each execution at most once.
        let mut to_read: VecDeque<(Key, bool)> = VecDeque::new();
        let mut reads = 0_usize;
        loop {
            // While reads are queued, a list would show what is known already, and use up requests that the reads need.
            let due = if list_poll.is_some() && to_read.is_empty() { self.due() } else { None };
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                Some(done) = work.next(), if !work.is_empty() => match done {
                    Done::Listed { list_poll: read, began, open, awaited, repairs, result } => {
                        list_poll = Some(read);
                        to_read.extend(repairs);
                        to_read.extend(self.after_list(began, &open, &awaited, result));
                    }
                    Done::Read { key, asked, awaited, answer } => {
                        reads = reads.saturating_sub(1);
                        self.answered(&key, asked, awaited, answer);
                    }
                },
                () = self.changed.notified() => {}
                () = sleep_until(due) => {
                    if let Some(list_poll) = list_poll.take() {
                        work.push(self.poll_list(list_poll));
                    }
                }
            }
            while reads < READS
                && let Some((key, awaited)) = to_read.pop_front()
            {
                reads = reads.saturating_add(1);
                work.push(self.read(key, awaited));
            }
        }
    }

    /// When the next poll is due; never while there is nothing to poll, or no session.
    fn due(&self) -> Option<Instant> {
        let state = self.state.lock();
        let session = state.session.as_ref()?;
        if !state.entries.values().any(|entry| entry.is_open() || entry.watch.is_some()) {
            return None;
        }
        // A request during a pause would fail.
        let allowed = session.paused().and_then(|pause| Instant::now().checked_add(pause.left));
        [state.next, allowed].into_iter().flatten().max()
    }

    fn poll_list(&self, mut list_poll: ListPoll) -> BoxFuture<'_, Done> {
        self.prune();
        let began = Instant::now();
        let (mut open, mut awaited) = (BTreeSet::new(), BTreeSet::new());
        let mut state = self.state.lock();
        let session = state.session.clone();
        for (key, entry) in state.entries.iter_mut().filter(|(_, entry)| entry.is_open() && !entry.reading) {
            open.insert(key.clone());
            // A run that gets no answer asks again itself, so that a nuvo without answers is not polled at the fastest pace.
            if std::mem::take(&mut entry.awaited) {
                awaited.insert(key.clone());
            }
        }
        // A list of running executions does not show failed ones.
        let mut repairs = Vec::new();
        let slowest = session.as_ref().map_or(FASTEST, |session| session.poll_period());
        for (key, entry) in &mut state.entries {
            if !entry.reading
                && entry.watched().is_some_and(|next| next <= began)
                && let Some(watch) = &mut entry.watch
            {
                watch.next = began.checked_add(watch_period(began.saturating_duration_since(watch.since), slowest)).unwrap_or(began);
                entry.reading = true;
                repairs.push((key.clone(), false));
            }
        }
        drop(state);
        async move {
            let result = match &session {
                Some(_) if open.is_empty() => Ok(Listed { running: BTreeSet::new(), requests: 0 }),
                Some(session) => list_poll.running(session, &open).await,
                None => Err(Error::Stopping),
            };
            Done::Listed { list_poll, began, open, awaited, repairs, result }
        }
        .boxed()
    }

    /// Records what a list has shown. Returns the executions that must be read by their id.
    fn after_list(&self, began: Instant, open: &BTreeSet<Key>, awaited: &BTreeSet<Key>, result: Result<Listed, Error>) -> Vec<(Key, bool)> {
        let (running, requests) = match result {
            Ok(Listed { running, requests }) => (Some(running), requests),
            Err(error) => {
                tracing::debug!(%error, "the running executions cannot be listed; trying again at the next poll");
                (None, 1)
            }
        };
        for key in running.iter().flatten() {
            self.listed(key);
        }
        // A list may lag, so a run that is late needs the answer about its own execution. It needs no list.
        let missing = |key: &&Key| awaited.contains(*key) || running.as_ref().is_some_and(|running| !running.contains(*key));
        let missing: Vec<Key> = open.iter().filter(missing).cloned().collect();
        let mut state = self.state.lock();
        let slowest = state.session.as_ref().map_or(FASTEST, |session| session.poll_period());
        let mut to_read = Vec::with_capacity(missing.len());
        let mut news = false;
        for key in missing {
            let Some(entry) = state.entries.get_mut(&key) else { continue };
            let awaited = awaited.contains(&key);
            // nuvo answers with another status, or denies it: a read at every poll would show nothing new.
            let pace = period(began.saturating_duration_since(entry.born), slowest);
            if !awaited && entry.missed.is_some_and(|missed| began.saturating_duration_since(missed) < pace) {
                continue;
            }
            news |= entry.missed.is_none();
            entry.reading = true;
            to_read.push((key, awaited));
        }
        if let Some(session) = state.session.clone() {
            let floor = poll_period::floor(requests, session.rate());
            // Executions that started together end together.
            state.plan(began, floor, slowest, news);
        }
        to_read
    }

    fn read(&self, key: Key, awaited: bool) -> BoxFuture<'_, Done> {
        let session = self.state.lock().session.clone();
        async move {
            let asked = Instant::now();
            // It may have been queued for long, and forgotten meanwhile.
            let wanted = self.state.lock().entries.contains_key(&key);
            let answer = match session.filter(|_| wanted) {
                Some(session) => self.ask(&session, &key).await,
                None => Err(Error::Stopping),
            };
            Done::Read { key, asked, awaited, answer }
        }
        .boxed()
    }

    async fn ask(&self, session: &Session, key: &Key) -> Result<Answer, Error> {
        let (pipeline, id) = key;
        match session.read(id).await {
            Ok(execution) => {
                let fits = execution.pipeline.as_deref().is_none_or(|named| named == pipeline.as_str());
                if fits && self.state.lock().entries.get(key).is_some_and(|entry| entry.ours) {
                    session.started_by_us(&execution);
                }
                let delivered = fits && execution.status == nuvo_client::ExecutionStatus::Successful;
                let developer_mode = delivered && session.developer_mode(pipeline).await;
                Ok(Answer::Found(Box::new(execution), developer_mode))
            }
            Err(Error::NotFound) => {
                let denied_for = self.state.lock().entries.get(key).and_then(|entry| entry.denied_since).map(|since| since.elapsed());
                Ok(Answer::Denied(match needs_list(denied_for, self.grace) {
                    false => Absence::Unconfirmed,
                    true if session.confirms_absent(pipeline, id).await? => Absence::Confirmed,
                    true => Absence::Contradicted,
                }))
            }
            Err(error) => Err(error),
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
