//! What this process remembers between two looks at an object. Forgetting it costs time, never safety.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use nuvo_core::run::{Memory, Obstacle, PipelineId};
use nuvo_crds::PipelineRun;

/// Words that somebody else has replaced are written again after this time.
const REPEAT: Duration = Duration::from_secs(60);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By the uid of a run.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<String, Remembered>>);

#[derive(Default)]
struct Remembered {
    memory: Memory,
    off_until: Option<(Instant, Obstacle)>,
    failures: u32,
    waiting_since: Option<Instant>,
    overdue_since: Option<Instant>,
    awaited: bool,
    owes: bool,
    said: Option<(Instant, u64)>,
}

impl Memories {
    fn with<T>(&self, uid: &str, act: impl FnOnce(&mut Remembered) -> T) -> T {
        act(lock(&self.0).entry(uid.to_owned()).or_default())
    }

    /// What the core wanted to be remembered.
    #[must_use]
    pub fn get(&self, uid: &str) -> Memory {
        lock(&self.0).get(uid).map(|remembered| remembered.memory.clone()).unwrap_or_default()
    }

    /// What the core wants to be remembered.
    pub fn set(&self, uid: &str, memory: Memory) {
        self.with(uid, |remembered| remembered.memory = memory);
    }

    /// No trigger for this long, because of this.
    pub fn hold_off(&self, uid: &str, wait: Duration, obstacle: Obstacle) {
        self.with(uid, |remembered| remembered.off_until = Instant::now().checked_add(wait).map(|until| (until, obstacle)));
    }

    /// The rest of the time without a trigger, and what it is because of.
    #[must_use]
    pub fn held_off(&self, uid: &str) -> Option<(Duration, Obstacle)> {
        let (until, obstacle) = lock(&self.0).get(uid)?.off_until?;
        Some((until.saturating_duration_since(Instant::now()), obstacle)).filter(|(left, _)| !left.is_zero())
    }

    /// Counts a failure, and says how many there were in a row.
    pub fn failed(&self, uid: &str) -> u32 {
        self.with(uid, |remembered| {
            remembered.failures = remembered.failures.saturating_add(1);
            remembered.failures
        })
    }

    /// A pass got through.
    pub fn succeeded(&self, uid: &str) {
        self.with(uid, |remembered| remembered.failures = 0);
    }

    /// How long the run has been waiting for another one.
    #[must_use]
    pub fn waited(&self, uid: &str) -> Duration {
        self.with(uid, |remembered| remembered.waiting_since.get_or_insert_with(Instant::now).elapsed())
    }

    /// The run does not wait for another one, and another one that waited for it may look again.
    pub fn moved_on(&self, uid: &str) {
        self.with(uid, |remembered| (remembered.waiting_since, remembered.awaited) = (None, false));
    }

    /// Another run waits until this one has given the pipeline's lock back. Whether that is news.
    pub fn await_it(&self, uid: &str) -> bool {
        self.with(uid, |remembered| !std::mem::replace(&mut remembered.awaited, true))
    }

    /// Whether another run waits until this one has given the pipeline's lock back.
    #[must_use]
    pub fn is_awaited(&self, uid: &str) -> bool {
        lock(&self.0).get(uid).is_some_and(|remembered| remembered.awaited)
    }

    /// The run ends, and has the lock of its pipeline to give back then.
    pub fn owe(&self, uid: &str) {
        self.with(uid, |remembered| remembered.owes = true);
    }

    /// The lock has been given back.
    pub fn paid(&self, uid: &str) {
        if let Some(remembered) = lock(&self.0).get_mut(uid) {
            remembered.owes = false;
        }
    }

    /// Whether the run still has the lock of its pipeline to give back.
    #[must_use]
    pub fn owes(&self, uid: &str) -> bool {
        lock(&self.0).get(uid).is_some_and(|remembered| remembered.owes)
    }

    /// This process has written these words into the status.
    pub fn say(&self, uid: &str, words: u64) {
        self.with(uid, |remembered| remembered.said = Some((Instant::now(), words)));
    }

    /// Whether these words are the last ones that this process has written into the status, a short while ago.
    #[must_use]
    pub fn has_said(&self, uid: &str, words: u64) -> bool {
        let said = lock(&self.0).get(uid).and_then(|remembered| remembered.said);
        said.is_some_and(|(at, said)| said == words && at.elapsed() < REPEAT)
    }

    /// For how long this process has seen that the run's deadline has passed; a run that is not late begins anew.
    #[must_use]
    pub fn overdue(&self, uid: &str, late: bool) -> Duration {
        if !late {
            if let Some(remembered) = lock(&self.0).get_mut(uid) {
                remembered.overdue_since = None;
            }
            return Duration::ZERO;
        }
        self.with(uid, |remembered| remembered.overdue_since.get_or_insert_with(Instant::now).elapsed())
    }

    /// Everything about this run.
    pub fn forget(&self, uid: &str) {
        lock(&self.0).remove(uid);
    }

    /// Everything about runs that are gone.
    pub fn retain(&self, uids: &HashSet<String>) {
        lock(&self.0).retain(|uid, _| uids.contains(uid));
    }
}

/// The runs that may be waiting until another run gives back the lock of their pipeline. They are few: of each account only the oldest run
/// of a pipeline asks for its lock.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<PipelineId, HashSet<ObjectRef<PipelineRun>>>>);

impl Waiting {
    /// This one may have to wait. It says so before it reads the lock, or it might miss that the lock is given back right after that.
    pub fn add(&self, pipeline: &PipelineId, run: ObjectRef<PipelineRun>) {
        lock(&self.0).entry(pipeline.clone()).or_default().insert(run);
    }

    /// This one does not wait.
    pub fn remove(&self, pipeline: &PipelineId, run: &ObjectRef<PipelineRun>) {
        let mut waiting = lock(&self.0);
        if let Some(runs) = waiting.get_mut(pipeline) {
            runs.remove(run);
            if runs.is_empty() {
                waiting.remove(pipeline);
            }
        }
    }

    /// All that wait, for whatever pipeline.
    #[must_use]
    pub fn take_all(&self) -> Vec<ObjectRef<PipelineRun>> {
        std::mem::take(&mut *lock(&self.0)).into_values().flatten().collect()
    }

    /// All that wait; they add themselves again if they have to.
    #[must_use]
    pub fn take(&self, pipeline: &PipelineId) -> HashSet<ObjectRef<PipelineRun>> {
        lock(&self.0).remove(pipeline).unwrap_or_default()
    }
}
