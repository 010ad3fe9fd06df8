//! The bulk poller: one for each account, whatever the number of its runs.
//!
//! Each tick lists what is running. An execution that is not in the list gets one GET by id, which alone can end it: a list never
//! proves an absence. Runs are woken only when what is known of their executions has changed.

mod pace;
mod report;
mod state;
mod sweep;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::runtime::reflector::ObjectRef;
use tokio::{sync::Notify, time::Instant};

pub use report::report;

use crate::account::Session;
use crate::shutdown::Shutdown;
use nuvo_client::Error;
use nuvo_core::run::{ExecutionId, Knowledge, Known, PipelineId};
use nuvo_crds::{Execution, PipelineRun};
use pace::{FASTEST, period, watch_period};
use state::{Entry, Key, State, Watch};
use sweep::{Sweep, Swept};

/// How many executions are read at once: enough to use up a large budget though an answer takes its time.
const READS: usize = 32;
/// A run that is younger was started just now. What is stored of its start is whole seconds.
const NEW: Duration = Duration::from_secs(2);

/// Those who want to know.
pub trait Audience: Send + Sync {
    /// Something about this run's executions has changed.
    fn wake(&self, run: &ObjectRef<PipelineRun>);
    /// Whether this very object still exists.
    fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool;
}

/// What a run wants to be told about.
#[derive(Debug, Clone)]
pub struct Interest {
    /// The run.
    pub run: ObjectRef<PipelineRun>,
    /// The pipeline that the executions must belong to.
    pub pipeline: PipelineId,
    /// The executions.
    pub executions: Vec<ExecutionId>,
    /// For how long the run has been going.
    pub age: Duration,
    /// The account certainly started them, so they tell who it is.
    pub ours: bool,
    /// That they are running is no news.
    pub expected: bool,
    /// The run waits for nuvo's next word, whatever that is.
    pub late: bool,
    /// The run has failed so long ago, and is watched for a repair.
    pub ended_for: Option<Duration>,
}

/// The follower of one account.
pub struct Follower {
    audience: Arc<dyn Audience>,
    grace: Duration,
    /// Which part of its first period passes before the first look, so that not all accounts look at once after a start.
    spread: f64,
    state: Mutex<State>,
    changed: Notify,
}

/// What has come to an end.
enum Done {
    Swept {
        sweep: Sweep,
        began: Instant,
        open: BTreeSet<Key>,
        awaited: BTreeSet<Key>,
        repairs: Vec<(Key, bool)>,
        result: Result<Swept, Error>,
    },
    Read {
        key: Key,
        asked: Instant,
        awaited: bool,
        answer: Result<Answer, Error>,
    },
}

/// What nuvo says of an execution that was asked for by its id.
enum Answer {
    /// This; and whether its pipeline is in developer mode, if it is successful.
    Found(Box<nuvo_client::Execution>, bool),
    /// It does not exist. After the grace time: whether the list of its pipeline does not have it, either.
    Denied(Option<bool>),
}

impl Follower {
    /// Follows nothing yet. `grace` is how long nuvo may deny that an execution exists before it counts as lost; `spread` is the part of
    /// its first period that passes before the first look, 0 to 1, and should differ from one account to the next.
    #[must_use]
    pub fn new(audience: Arc<dyn Audience>, grace: Duration, spread: f64) -> Self {
        Self { audience, grace, spread: spread.clamp(0.0, 1.0), state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with this session; without one, waits.
    pub fn connect(&self, session: Option<Arc<Session>>) {
        self.state().session = session;
        self.changed.notify_one();
    }

    /// Follows the executions of a run. Doing it again changes nothing.
    pub fn follow(&self, interest: &Interest) {
        let now = Instant::now();
        let mut added = false;
        let mut urgent = false;
        let mut news = false;
        let mut state = self.state();
        let age = if interest.age < NEW { Duration::ZERO } else { interest.age };
        let keys = interest.executions.iter().map(|id| (interest.pipeline.clone(), id.clone()));
        state.by_run.entry(name_of(&interest.run)).or_default().extend(keys);
        for id in &interest.executions {
            let key = (interest.pipeline.clone(), id.clone());
            let entry = state.entries.entry(key).or_insert_with(|| {
                added = true;
                Entry {
                    runs: Vec::new(),
                    born: now.checked_sub(age).unwrap_or(now),
                    ours: interest.ours,
                    expected: interest.expected,
                    known: None,
                    denied_since: None,
                    asked: None,
                    awaited: false,
                    reading: false,
                    missed: None,
                    watch: None,
                    developer_mode: false,
                }
            });
            if let (Some(ended_for), None) = (interest.ended_for, entry.watch) {
                let since = now.checked_sub(ended_for).unwrap_or(now);
                entry.watch = Some(Watch { since, next: now });
                added = true;
            }
            entry.expected &= interest.expected;
            entry.awaited |= interest.late;
            urgent |= entry.awaited;
            let joins = !entry.runs.iter().any(|run| same_object(run, &interest.run));
            if joins {
                // An object of this name that is gone has no claim any more.
                entry.runs.retain(|run| run != &interest.run);
                entry.runs.push(interest.run.clone());
            }
            // What was told to the others before it joined is not told again.
            news |= joins && entry.known.as_ref().is_some_and(|known| !is_processing(known));
        }
        if added {
            let slowest = state.session.as_ref().map_or(FASTEST, |session| session.poll_period());
            let wait = if age.is_zero() { FASTEST } else { period(age, slowest).mul_f64(self.spread) };
            state.hasten(now.checked_add(wait));
        }
        if urgent {
            state.hasten(now.checked_add(FASTEST));
        }
        drop(state);
        if news {
            self.audience.wake(&interest.run);
        }
        if added || urgent {
            self.changed.notify_one();
        }
    }

    /// Follows nothing for this run any more.
    pub fn forget(&self, run: &ObjectRef<PipelineRun>) {
        let mut state = self.state();
        for key in state.by_run.remove(&name_of(run)).unwrap_or_default() {
            let Some(entry) = state.entries.get_mut(&key) else { continue };
            entry.runs.retain(|other| !same_object(other, run));
            if entry.runs.is_empty() {
                state.entries.remove(&key);
            }
        }
    }

    /// What is known of these executions.
    #[must_use]
    pub fn knowledge(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Knowledge {
        let state = self.state();
        let known = |id: &ExecutionId| state.entries.get(&(pipeline.clone(), id.clone()))?.known.clone();
        executions.iter().filter_map(|id| Some((id.clone(), known(id)?))).collect()
    }

    /// When nuvo was asked about those of these executions that may still be running: the longest time ago, and none if it has not told
    /// of one of them.
    #[must_use]
    pub fn asked(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Option<Instant> {
        let state = self.state();
        let entry = |id: &ExecutionId| state.entries.get(&(pipeline.clone(), id.clone()));
        let open = executions.iter().map(entry).filter(|entry| entry.is_none_or(Entry::is_open));
        open.map(|entry| entry?.asked).min().flatten()
    }

    /// Whether nuvo has said of one of these executions that its pipeline is in developer mode.
    #[must_use]
    pub fn developer_mode(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> bool {
        let state = self.state();
        executions.iter().any(|id| state.entries.get(&(pipeline.clone(), id.clone())).is_some_and(|entry| entry.developer_mode))
    }

    /// Works until the shutdown begins.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut work: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut sweep = Some(Sweep::default());
        // No longer than the number of executions that are followed: each is in it once.
        let mut to_read: VecDeque<(Key, bool)> = VecDeque::new();
        let mut reads = 0_usize;
        loop {
            // A list would tell what is known while some wait to be read, and take the requests that their reads need.
            let due = if sweep.is_some() && to_read.is_empty() { self.due() } else { None };
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                Some(done) = work.next(), if !work.is_empty() => match done {
                    Done::Swept { sweep: read, began, open, awaited, repairs, result } => {
                        sweep = Some(read);
                        to_read.extend(repairs);
                        to_read.extend(self.swept(began, &open, &awaited, result));
                    }
                    Done::Read { key, asked, awaited, answer } => {
                        reads = reads.saturating_sub(1);
                        self.answered(&key, asked, awaited, answer);
                    }
                },
                () = self.changed.notified() => {}
                () = sleep_until(due) => {
                    if let Some(sweep) = sweep.take() {
                        work.push(self.sweep(sweep));
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

    /// When the next look is due; never while there is nothing to ask, or nobody to ask it.
    fn due(&self) -> Option<Instant> {
        let state = self.state();
        let session = state.session.as_ref()?;
        if !state.entries.values().any(|entry| entry.is_open() || entry.watch.is_some()) {
            return None;
        }
        // A look that nuvo does not want comes to nothing.
        let allowed = session.paused().and_then(|pause| Instant::now().checked_add(pause.left));
        [state.next, allowed].into_iter().flatten().max()
    }

    fn sweep(&self, mut sweep: Sweep) -> BoxFuture<'_, Done> {
        self.prune();
        let began = Instant::now();
        let (mut open, mut awaited) = (BTreeSet::new(), BTreeSet::new());
        let mut state = self.state();
        let session = state.session.clone();
        for (key, entry) in state.entries.iter_mut().filter(|(_, entry)| entry.is_open() && !entry.reading) {
            open.insert(key.clone());
            // Whoever gets no answer asks again, so that a silent nuvo is not asked at the fastest pace.
            if std::mem::take(&mut entry.awaited) {
                awaited.insert(key.clone());
            }
        }
        // A list of what is running does not show what has failed.
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
                Some(_) if open.is_empty() => Ok(Swept { running: BTreeSet::new(), requests: 0 }),
                Some(session) => sweep.running(session, &open).await,
                None => Err(Error::Stopping),
            };
            Done::Swept { sweep, began, open, awaited, repairs, result }
        }
        .boxed()
    }

    /// Takes in what a list has shown, and says which executions must be asked for by their id.
    fn swept(&self, began: Instant, open: &BTreeSet<Key>, awaited: &BTreeSet<Key>, result: Result<Swept, Error>) -> Vec<(Key, bool)> {
        let (running, requests) = match result {
            Ok(Swept { running, requests }) => (Some(running), requests),
            Err(error) => {
                tracing::debug!(%error, "what is running cannot be listed; trying again at the next look");
                (None, 1)
            }
        };
        for key in running.iter().flatten() {
            self.listed(key);
        }
        // A list may lag, so that a run whose time is up rests on the answer about its own execution only. It needs no list, either.
        let missing = |key: &&Key| awaited.contains(*key) || running.as_ref().is_some_and(|running| !running.contains(*key));
        let missing: Vec<Key> = open.iter().filter(missing).cloned().collect();
        let mut state = self.state();
        let slowest = state.session.as_ref().map_or(FASTEST, |session| session.poll_period());
        let mut to_read = Vec::with_capacity(missing.len());
        let mut news = false;
        for key in missing {
            let Some(entry) = state.entries.get_mut(&key) else { continue };
            let awaited = awaited.contains(&key);
            // Nuvo has a word of its own for it, or denies it: asking at every look would bring nothing new.
            let pace = period(began.saturating_duration_since(entry.born), slowest);
            if !awaited && entry.missed.is_some_and(|missed| began.saturating_duration_since(missed) < pace) {
                continue;
            }
            news |= entry.missed.is_none();
            entry.reading = true;
            to_read.push((key, awaited));
        }
        if let Some(session) = state.session.clone() {
            let floor = pace::floor(requests, session.rate());
            // What was started together ends together.
            state.plan(began, floor, slowest, news);
        }
        to_read
    }

    fn read(&self, key: Key, awaited: bool) -> BoxFuture<'_, Done> {
        let session = self.state().session.clone();
        async move {
            let asked = Instant::now();
            // It may have waited for long.
            let wanted = self.state().entries.contains_key(&key);
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
                if fits && self.state().entries.get(key).is_some_and(|entry| entry.ours) {
                    session.started_by_us(&execution);
                }
                let delivered = fits && execution.status == nuvo_client::ExecutionStatus::Successful;
                let developer_mode = delivered && session.developer_mode(pipeline).await;
                Ok(Answer::Found(Box::new(execution), developer_mode))
            }
            Err(Error::NotFound) => {
                let denied_for = self.state().entries.get(key).and_then(|entry| entry.denied_since).map(|since| since.elapsed());
                let is_over = denied_for.is_some_and(|time| time >= self.grace);
                Ok(Answer::Denied(if is_over { Some(session.lacks(pipeline, id).await?) } else { None }))
            }
            Err(error) => Err(error),
        }
    }

    fn answered(&self, key: &Key, asked: Instant, awaited: bool, answer: Result<Answer, Error>) {
        if let Some(entry) = self.state().entries.get_mut(key) {
            entry.reading = false;
            if matches!(answer, Ok(_) | Err(Error::Malformed { .. })) {
                entry.missed = Some(asked);
            }
            if let Ok(Answer::Found(_, developer_mode)) = &answer {
                entry.developer_mode = *developer_mode;
            }
        }
        match answer {
            Ok(Answer::Found(execution, _)) => {
                // One that does not say has not ended either.
                let foreign = execution.pipeline.as_deref().filter(|pipeline| *pipeline != key.0.as_str());
                let known = match foreign {
                    // nuvo has said before that it belongs to this pipeline: one answer to the contrary ends nothing.
                    Some(pipeline) if self.is_expected(key) => return self.contradicted(key, pipeline),
                    Some(pipeline) => Known::Foreign(pipeline.to_owned()),
                    None => {
                        self.remember_duration(key, &execution);
                        Known::Report(Box::new(report(&execution)))
                    }
                };
                self.learn(key, known, Some(asked), awaited);
            }
            Ok(Answer::Denied(confirmed)) => self.denied(key, confirmed),
            Err(error @ Error::Malformed { .. }) => tracing::warn!(execution = %key.1, %error, "nothing is concluded from this answer"),
            Err(error) => tracing::debug!(execution = %key.1, %error, "an execution cannot be read; trying again at the next look"),
        }
    }

    /// Forgets those whose object is gone.
    fn prune(&self) {
        let mut state = self.state();
        let State { entries, by_run, .. } = &mut *state;
        entries.retain(|key, entry| {
            entry.runs.retain(|run| {
                let exists = self.audience.exists(run);
                if !exists && let Some(keys) = by_run.get_mut(&name_of(run)) {
                    keys.remove(key);
                }
                exists
            });
            !entry.runs.is_empty()
        });
        by_run.retain(|_, keys| !keys.is_empty());
    }

    fn remember_duration(&self, key: &Key, execution: &nuvo_client::Execution) {
        let mut state = self.state();
        // Its end is news once.
        let news = execution.status.is_terminal() && state.entries.get(key).is_some_and(Entry::is_open);
        // By nuvo's own clock, which tells when it ended and not when it was noticed.
        let at = |time: &Option<nuvo_client::NuvoTime>| time.as_ref()?.at;
        if news
            && let (Some(created), Some(updated)) = (at(&execution.created_at), at(&execution.updated_at))
            && let Ok(took) = Duration::try_from(updated.duration_since(created))
        {
            state.past.add(&key.0, took);
        }
    }

    /// `asked` is when nuvo was asked for it by its id, if it was.
    fn learn(&self, key: &Key, known: Known, asked: Option<Instant>, awaited: bool) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(key) else { return };
        entry.denied_since = None;
        // Together with what was said: a run that sees the one must see the other.
        entry.asked = asked.or(entry.asked);
        // A first answer that says what every new execution is said to be is no news.
        let told = entry
            .known
            .as_ref()
            .map_or_else(|| entry.expected && is_processing(&known), |before| before == &known || same_word(before, &known));
        entry.known = Some(known);
        let runs = if told && !awaited { Vec::new() } else { entry.runs.clone() };
        drop(state);
        for run in &runs {
            self.audience.wake(run);
        }
    }

    /// The list shows it as running, so that it is not asked for by its id.
    fn listed(&self, key: &Key) {
        let news = self.state().entries.get_mut(key).is_some_and(|entry| {
            (entry.denied_since, entry.missed) = (None, None);
            entry.known.is_none() && !entry.expected
        });
        if news {
            let status = Some(nuvo_client::ExecutionStatus::Processing.as_str().to_owned());
            self.learn(key, Known::Report(Box::new(Execution { id: key.1.to_string(), status, ..Execution::default() })), None, false);
        }
    }

    fn is_expected(&self, key: &Key) -> bool {
        self.state().entries.get(key).is_some_and(|entry| entry.expected)
    }

    /// nuvo says that it belongs to another pipeline, after it has said that it does not. When it has said nothing else for the grace time,
    /// that is what is known.
    fn contradicted(&self, key: &Key, pipeline: &str) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(key) else { return };
        if entry.denied_since.get_or_insert_with(Instant::now).elapsed() >= self.grace {
            drop(state);
            self.learn(key, Known::Foreign(pipeline.to_owned()), None, false);
        }
    }

    /// nuvo denies that it exists, and so does the list of its pipeline, if it was read because the grace time is over.
    fn denied(&self, key: &Key, confirmed: Option<bool>) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(key) else { return };
        match confirmed {
            None => _ = entry.denied_since.get_or_insert_with(Instant::now),
            // The list may be long: it is not read again before the grace time has passed once more.
            Some(false) => entry.denied_since = Some(Instant::now()),
            Some(true) if entry.denied_since.is_some() => {
                drop(state);
                self.learn(key, Known::Lost, None, false);
            }
            // Something has shown it meanwhile.
            Some(true) => {}
        }
    }
}

/// References are equal by name; an object that was created anew has the name of the one before it.
fn same_object(one: &ObjectRef<PipelineRun>, other: &ObjectRef<PipelineRun>) -> bool {
    one == other && one.extra.uid == other.extra.uid
}

fn is_processing(known: &Known) -> bool {
    matches!(known, Known::Report(report) if report.status.as_deref() == Some("PROCESSING"))
}

/// While it is running, only nuvo's word for its status is shown.
fn same_word(before: &Known, now: &Known) -> bool {
    match (before, now) {
        (Known::Report(before), Known::Report(now)) => {
            before.status == now.status && !now.status.as_deref().is_some_and(nuvo_core::run::is_terminal)
        }
        _ => false,
    }
}

/// Each object has its own, also of those that have the same name one after the other.
fn name_of(run: &ObjectRef<PipelineRun>) -> String {
    format!("{}/{}/{}", run.namespace.as_deref().unwrap_or_default(), run.name, run.extra.uid.as_deref().unwrap_or_default())
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
