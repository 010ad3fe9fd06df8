//! The driver of one account: a loop that asks the account's scheduler what is next and does it. Nothing is decided here.

mod list_poll;
mod observed;
mod run_notifier;
mod shown_execution;
mod work;

use std::{
    collections::BTreeSet,
    ops::ControlFlow::{Break, Continue},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use nuvo_core::{
    pipeline::{Counts, Observed},
    run::{AccountHash, ExecutionId, Follow, Knowledge, ListedCandidates, PipelineId, RunRef},
    scheduler::{Followed, Observable, PipelineRef, Work},
};
use nuvo_crds::{NuvoPipelineStatus, SeenExecution};
use parking_lot::Mutex;

pub use observed::{PipelineNotifier, pipeline_object_ref};
pub use run_notifier::{RunNotifier, object_ref};
pub use shown_execution::shown_execution;

use super::{Session, requests::Requests};
use list_poll::ListPoll;
use work::{Done, Worker};

/// What is known of executions.
#[derive(Debug, Default)]
pub struct Seen {
    /// What nuvo says of each of them.
    pub known: Knowledge,
    /// How long ago the open ones of them were last read: the longest of these times, or none if one was not read yet.
    pub asked: Option<Duration>,
    /// Whether the pipeline was in developer mode when one of them ended.
    pub developer_mode: bool,
}

/// The driver of one account.
pub struct AccountDriver {
    worker: Worker,
    session: Mutex<Option<Arc<Session>>>,
}

/// How long the driver of an account waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long nuvo may deny that an execution exists before it counts as lost.
    pub grace: Duration,
    /// The time after which a run in doubt looks again.
    pub confirm: Duration,
    /// How much older than the newest execution of nuvo's list a new one can be.
    pub overlap: Duration,
}

impl AccountDriver {
    /// A driver that asks nothing yet. `spread` is the part of the first period that passes before the first look, 0 to 1, and should differ
    /// between accounts.
    #[must_use]
    pub fn new(notifier: Arc<dyn RunNotifier>, pipelines: Arc<dyn PipelineNotifier>, patience: Patience, spread: f64) -> Self {
        let Patience { grace, confirm, overlap } = patience;
        let requests = Arc::new(Requests::new(grace, spread, confirm, overlap));
        Self { worker: Worker { notifier, pipelines, requests }, session: Mutex::default() }
    }

    /// What a session of this account asks before it sends a request.
    #[must_use]
    pub fn requests(&self) -> Arc<Requests> {
        self.worker.requests.clone()
    }

    /// Works with this session from now on; without one, only requests are sent that something else waits for.
    pub fn connect(&self, session: Option<Arc<Session>>) {
        let pace = session.as_ref().map(|session| (session.poll_period(), session.observe_period()));
        *self.session.lock() = session;
        self.worker.requests.change(|scheduler, _| scheduler.set_pace(pace));
    }

    /// Has the executions of a run looked at, or nothing for it any more. Idempotent.
    pub fn follow(&self, run: &RunRef, pipeline: &PipelineId, wish: Option<&Follow>) {
        let requests = &self.worker.requests;
        let Some(wish) = wish else { return requests.with(|scheduler, _| scheduler.executions.forget(run)) };
        let Followed { news, changed } = requests.with(|scheduler, now| scheduler.executions.follow(run, pipeline, wish, now));
        if news {
            self.worker.notifier.wake(&object_ref(run));
        }
        if changed {
            requests.change(|_, _| ());
        }
    }

    /// What is known of these executions at one moment.
    #[must_use]
    pub fn seen(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Seen {
        self.worker.requests.with(|scheduler, now| Seen {
            known: scheduler.executions.knowledge(pipeline, executions),
            asked: scheduler.executions.asked(pipeline, executions).map(|asked| now.saturating_sub(asked)),
            developer_mode: scheduler.executions.developer_mode(pipeline, executions),
        })
    }

    /// The schedule by which nuvo starts a pipeline itself; the outer one is none if nuvo has not told.
    #[allow(clippy::option_option, reason = "the outer one: it is not known; the inner one: there is none")]
    #[must_use]
    pub fn schedule_in_nuvo(&self, pipeline: &PipelineId) -> Option<Option<String>> {
        self.worker.requests.with(|scheduler, _| scheduler.executions.mode(pipeline).map(|mode| mode.schedule.clone()))
    }

    /// Those of these executions that have ended by what is known of them.
    #[must_use]
    pub fn ended(&self, pipeline: &PipelineId, executions: &BTreeSet<ExecutionId>) -> BTreeSet<ExecutionId> {
        self.worker.requests.with(|scheduler, _| scheduler.executions.ended(pipeline, executions))
    }

    /// What a look for runs in doubt has shown, or none before there was one: then the run is woken when it asks again.
    #[allow(clippy::option_option, reason = "the outer one: there was no such look; the inner one: it came to nothing")]
    #[must_use]
    pub fn candidates(&self, run: &RunRef, pipeline: &PipelineId, by_pipeline: bool) -> Option<Option<ListedCandidates>> {
        self.worker.requests.change(|scheduler, now| scheduler.doubts.candidates(run, pipeline, by_pipeline, now))
    }

    /// Has a pipeline observed for this object. Idempotent. What its status has kept counts if nothing is known yet.
    pub fn observe(&self, object: &PipelineRef, wish: &Observable, status: Option<&NuvoPipelineStatus>, account: &AccountHash) {
        let requests = &self.worker.requests;
        if requests.with(|scheduler, now| scheduler.observation.observe(object, wish, status, account, now)) {
            requests.change(|_, _| ());
        }
    }

    /// Observes nothing for this object any more.
    pub fn forget_pipeline(&self, object: &PipelineRef) {
        self.worker.requests.with(|scheduler, _| scheduler.observation.forget(object));
    }

    /// New executions that are to be mirrored for this object, in the order in which they were seen.
    #[must_use]
    pub fn unmirrored(&self, object: &PipelineRef) -> Vec<SeenExecution> {
        self.worker.requests.with(|scheduler, _| scheduler.observation.unmirrored(object))
    }

    /// An execution is mirrored for this object, or will not be.
    pub fn mirrored(&self, object: &PipelineRef, id: &str) {
        self.worker.requests.with(|scheduler, _| scheduler.observation.mirrored(object, id));
    }

    /// What is known for this object, what was counted since this was asked last, and how long ago the last complete look began.
    #[must_use]
    pub fn observed(&self, object: &PipelineRef) -> (Observed, Counts, Option<Duration>) {
        self.worker.requests.with(|scheduler, now| {
            let (observed, counts, complete) = scheduler.observation.observed(object);
            (observed, counts, complete.map(|complete| now.saturating_sub(complete)))
        })
    }

    /// The run is in doubt no more.
    pub fn forget_doubt(&self, run: &RunRef) {
        self.worker.requests.with(|scheduler, _| scheduler.doubts.forget(run));
    }

    /// Works until the end. After it, nothing is sent for the account.
    pub async fn run(&self, end: impl Future<Output = ()> + Send) {
        let mut end = std::pin::pin!(end);
        let mut work: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut list_poll = ListPoll::default();
        loop {
            let until = loop {
                let session = self.session.lock().clone();
                let circuit_open = session.as_ref().and_then(|session| session.circuit_open());
                match self.worker.requests.next(circuit_open) {
                    Continue(Work::LookForTurns) => work.push(self.worker.look_for_turns(session).boxed()),
                    Continue(Work::LookForRunning) => work.push(self.worker.look_for_running(session).boxed()),
                    Continue(Work::LookForDoubts(pipeline)) => work.push(self.worker.look_for_doubts(session, pipeline).boxed()),
                    Continue(Work::Look(look)) => work.push(self.worker.look(session, list_poll, look).boxed()),
                    Continue(Work::Read(read)) => work.push(self.worker.read(session, read).boxed()),
                    Continue(Work::Observe(page)) => work.push(self.worker.observe(session, page).boxed()),
                    Continue(Work::ReadObserved(read)) => work.push(self.worker.read_observed(session, read).boxed()),
                    Continue(Work::Mode(pipeline)) => work.push(self.worker.read_mode(session, pipeline).boxed()),
                    Break(until) => break until,
                }
            };
            tokio::select! {
                biased;
                () = &mut end => break,
                Some(done) = work.next(), if !work.is_empty() => list_poll = self.worker.done(done).unwrap_or(list_poll),
                () = self.worker.requests.changed(until) => {}
            }
        }
        self.worker.requests.close();
    }
}
