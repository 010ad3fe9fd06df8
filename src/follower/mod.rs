//! The bulk poller: one for each account, whatever the number of its runs.
//!
//! Each tick lists what is running. An execution that is not in the list gets one GET by id, which alone can end it: a list never
//! proves an absence. Runs are woken only when what is known of their executions has changed.

mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::runtime::reflector::ObjectRef;
use tokio::{sync::Notify, time::Instant};

pub use report::report;

use crate::{
    api::{Execution, PipelineRun},
    nuvo::{self, Error, Session},
    run::{ExecutionId, Knowledge, Known, PipelineId},
    shutdown::Shutdown,
};

/// The shortest time between two ticks.
const FASTEST: Duration = Duration::from_millis(500);
/// The most pages of one tick.
const MAX_PAGES: usize = 50;

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
}

/// One execution, as a run of this pipeline sees it.
type Key = (PipelineId, ExecutionId);

/// The follower of one account.
pub struct Follower {
    audience: Arc<dyn Audience>,
    grace: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    entries: BTreeMap<Key, Entry>,
}

struct Entry {
    runs: Vec<ObjectRef<PipelineRun>>,
    born: Instant,
    ours: bool,
    expected: bool,
    known: Option<Known>,
    denied_since: Option<Instant>,
    /// When it was last asked for by its id, and nuvo told its status.
    asked: Option<Instant>,
    /// A run waits for the next word, whatever that is.
    awaited: bool,
}

impl Entry {
    /// Whether nuvo can still have news.
    fn is_open(&self) -> bool {
        match &self.known {
            None => true,
            Some(Known::Report(report)) => !report.status.as_deref().is_some_and(crate::run::is_terminal),
            Some(Known::Lost | Known::Foreign(_)) => false,
        }
    }
}

impl Follower {
    /// Follows nothing yet. `grace` is how long nuvo may deny that an execution exists before it counts as lost.
    #[must_use]
    pub fn new(audience: Arc<dyn Audience>, grace: Duration) -> Self {
        Self { audience, grace, state: Mutex::default(), changed: Notify::new() }
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
        for id in &interest.executions {
            let entry = state.entries.entry((interest.pipeline.clone(), id.clone())).or_insert_with(|| {
                added = true;
                Entry {
                    runs: Vec::new(),
                    born: now.checked_sub(interest.age).unwrap_or(now),
                    ours: interest.ours,
                    expected: interest.expected,
                    known: None,
                    denied_since: None,
                    asked: None,
                    awaited: false,
                }
            });
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
        self.state().entries.retain(|_, entry| {
            entry.runs.retain(|other| !same_object(other, run));
            !entry.runs.is_empty()
        });
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

    /// Works until the shutdown begins.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut last = Instant::now();
        loop {
            let due = self.due(last);
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                () = self.changed.notified() => {}
                () = sleep_until(due) => {
                    last = Instant::now();
                    let session = self.state().session.clone();
                    if let Some(session) = session {
                        tokio::select! {
                            () = shutdown.begun() => return,
                            () = self.tick(&session) => {}
                        }
                    }
                }
            }
        }
    }

    /// When the next tick is due; never while there is nothing to ask, or nobody to ask it.
    fn due(&self, last: Instant) -> Option<Instant> {
        let state = self.state();
        let session = state.session.as_ref()?;
        let youngest = state.entries.values().filter(|entry| entry.is_open()).map(|entry| entry.born).max()?;
        let late = state.entries.values().any(|entry| entry.awaited && entry.is_open());
        let pace = if late { FASTEST } else { period(last.saturating_duration_since(youngest), session.poll_period()) };
        let next = last.checked_add(pace)?;
        // A tick that nuvo does not want comes to nothing.
        let allowed = session.paused().and_then(|pause| Instant::now().checked_add(pause.left));
        Some(allowed.map_or(next, |allowed| next.max(allowed)))
    }

    async fn tick(&self, session: &Session) {
        self.prune();
        let mut open: BTreeSet<Key> = BTreeSet::new();
        let mut awaited: BTreeSet<Key> = BTreeSet::new();
        for (key, entry) in self.state().entries.iter_mut().filter(|(_, entry)| entry.is_open()) {
            open.insert(key.clone());
            // Whoever gets no answer asks again, so that a silent nuvo is not asked at the fastest pace.
            if std::mem::take(&mut entry.awaited) {
                awaited.insert(key.clone());
            }
        }
        if open.is_empty() {
            return;
        }
        let running = match running(session, &open).await {
            Ok(running) => running,
            Err(error) => {
                tracing::debug!(%error, "what is running cannot be listed; trying again at the next tick");
                return;
            }
        };
        for key in &running {
            self.listed(key);
        }
        // A list may lag, so that a run whose time is up rests on the answer about its own execution only.
        for key in open.iter().filter(|key| awaited.contains(key) || !running.contains(key)) {
            let asked = Instant::now();
            match session.read(&key.1).await {
                Ok(execution) => {
                    // One that does not say has not ended either.
                    let foreign = execution.pipeline.as_deref().filter(|pipeline| *pipeline != key.0.as_str());
                    let known = match foreign {
                        Some(pipeline) => Known::Foreign(pipeline.to_owned()),
                        None => {
                            if self.state().entries.get(key).is_some_and(|entry| entry.ours) {
                                session.started_by_us(&execution);
                            }
                            Known::Report(Box::new(report(&execution)))
                        }
                    };
                    self.told(key, asked);
                    self.learn(key, known, awaited.contains(key));
                }
                Err(Error::NotFound) => self.denied(key),
                Err(error @ Error::Malformed { .. }) => tracing::warn!(execution = %key.1, %error, "nothing is concluded from this answer"),
                Err(error) => tracing::debug!(execution = %key.1, %error, "an execution cannot be read; trying again at the next tick"),
            }
        }
    }

    /// Forgets those whose object is gone.
    fn prune(&self) {
        self.state().entries.retain(|_, entry| {
            entry.runs.retain(|run| self.audience.exists(run));
            !entry.runs.is_empty()
        });
    }

    fn told(&self, key: &Key, asked: Instant) {
        if let Some(entry) = self.state().entries.get_mut(key) {
            entry.asked = Some(asked);
        }
    }

    fn learn(&self, key: &Key, known: Known, awaited: bool) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(key) else { return };
        entry.denied_since = None;
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
            entry.denied_since = None;
            entry.known.is_none() && !entry.expected
        });
        if news {
            let status = Some(nuvo::Status::Processing.as_str().to_owned());
            self.learn(key, Known::Report(Box::new(Execution { id: key.1.to_string(), status, ..Execution::default() })), false);
        }
    }

    fn denied(&self, key: &Key) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(key) else { return };
        let since = *entry.denied_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.grace {
            drop(state);
            self.learn(key, Known::Lost, false);
        }
    }
}

/// Those of the wanted executions that the list shows as running.
async fn running(session: &Session, wanted: &BTreeSet<Key>) -> Result<BTreeSet<Key>, Error> {
    let mut seen: BTreeMap<ExecutionId, Option<String>> = BTreeMap::new();
    let shown = |seen: &BTreeMap<ExecutionId, Option<String>>, (pipeline, id): &Key| {
        // One that belongs to another pipeline is asked for by its id, which tells for certain.
        seen.get(id).is_some_and(|said| said.as_deref().is_none_or(|said| said == pipeline.as_str()))
    };
    // Whatever the server has sent, also what does not fit: a page of that is no sign of the end.
    let mut sent = BTreeSet::new();
    let mut offset = 0_usize;
    for _ in 0..MAX_PAGES {
        let page = session.running(offset).await?;
        let before = sent.len();
        sent.extend(page.ids);
        seen.extend(page.items.into_iter().map(|execution| (execution.id, execution.pipeline)));
        offset = offset.saturating_add(page.sent);
        if page.short || sent.len() == before || wanted.iter().all(|key| shown(&seen, key)) {
            break;
        }
    }
    Ok(wanted.iter().filter(|key| shown(&seen, key)).cloned().collect())
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
            before.status == now.status && !now.status.as_deref().is_some_and(crate::run::is_terminal)
        }
        _ => false,
    }
}

/// A tenth of the age of the youngest execution, within bounds.
fn period(age: Duration, slowest: Duration) -> Duration {
    age.checked_div(10).unwrap_or_default().clamp(FASTEST, slowest.max(FASTEST))
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PipelineRunSpec;

    /// Of each name only the object with this uid exists.
    #[derive(Default)]
    struct Present(Mutex<Vec<(String, String)>>, &'static str);

    fn uid(run: &ObjectRef<PipelineRun>) -> String {
        run.extra.uid.clone().unwrap_or_default()
    }

    impl Audience for Present {
        fn wake(&self, run: &ObjectRef<PipelineRun>) {
            self.0.lock().unwrap().push((run.name.clone(), uid(run)));
        }

        fn exists(&self, run: &ObjectRef<PipelineRun>) -> bool {
            uid(run) == self.1
        }
    }

    const GRACE: Duration = Duration::from_secs(300);

    fn key() -> Key {
        (PipelineId::new("orders").unwrap(), ExecutionId::new("e1").unwrap())
    }

    fn run(name: &str, uid: &str) -> ObjectRef<PipelineRun> {
        let mut object = PipelineRun::new(name, PipelineRunSpec::default());
        object.metadata.uid = Some(uid.into());
        ObjectRef::from_obj(&object)
    }

    fn interest(run: ObjectRef<PipelineRun>) -> Interest {
        let (pipeline, id) = key();
        Interest { run, pipeline, executions: vec![id], age: Duration::ZERO, ours: false, expected: true, late: false }
    }

    fn says(word: &str) -> Known {
        Known::Report(Box::new(Execution { id: "e1".into(), status: Some(word.into()), ..Execution::default() }))
    }

    fn following(present: &'static str, run: ObjectRef<PipelineRun>) -> (Follower, Arc<Present>) {
        let audience = Arc::new(Present(Mutex::default(), present));
        let follower = Follower::new(audience.clone(), GRACE);
        follower.follow(&interest(run));
        (follower, audience)
    }

    fn woken(audience: &Present) -> Vec<(String, String)> {
        std::mem::take(&mut *audience.0.lock().unwrap())
    }

    #[test]
    fn an_object_that_was_created_anew_is_followed_in_place_of_the_one_before() {
        let (follower, audience) = following("new", run("orders", "old"));
        follower.follow(&interest(run("orders", "new")));
        follower.forget(&run("orders", "old"));
        follower.prune();
        follower.learn(&key(), says("SUCCESSFUL"), false);
        assert_eq!(woken(&audience), [("orders".to_owned(), "new".to_owned())]);
    }

    #[test]
    fn who_joins_late_is_told_the_news_once() {
        let (follower, audience) = following("u", run("first", "u"));
        follower.learn(&key(), says("PROCESSING"), false);
        follower.follow(&interest(run("second", "u")));
        assert_eq!(woken(&audience), [], "what everybody expects is no news");
        follower.learn(&key(), says("FAILED"), false);
        assert_eq!(woken(&audience).len(), 2);
        for _ in 0..2 {
            follower.follow(&interest(run("third", "u")));
        }
        assert_eq!(woken(&audience), [("third".to_owned(), "u".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_denial_without_a_word_to_the_contrary_makes_an_execution_lost() {
        let (follower, audience) = following("u", run("orders", "u"));
        follower.denied(&key());
        follower.listed(&key());
        tokio::time::advance(GRACE).await;
        follower.denied(&key());
        assert_eq!(woken(&audience), [], "the list has shown it meanwhile");
        tokio::time::advance(GRACE).await;
        follower.denied(&key());
        assert_eq!(woken(&audience).len(), 1);
        assert_eq!(follower.knowledge(&key().0, &[key().1])[&key().1], Known::Lost);
    }

    #[test]
    fn ticks_slow_down_with_age_within_bounds() {
        let slowest = Duration::from_secs(10);
        assert_eq!(period(Duration::ZERO, slowest), Duration::from_millis(500));
        assert_eq!(period(Duration::from_secs(60), slowest), Duration::from_secs(6));
        assert_eq!(period(Duration::from_secs(3_600), slowest), slowest);
    }
}
