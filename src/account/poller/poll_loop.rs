//! The loop of a poller: a list when one is due, and a read for each execution that the list no longer shows.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use nuvo_client::Error;
use nuvo_core::{
    run::{Absence, PipelineId},
    scheduler::{Look, Next, Purpose, Read, ReadAnswer},
};

use super::{
    Poller,
    list_poll::{ListPoll, Listed},
    object_ref,
    shown_execution::shown_execution,
};
use crate::account::Session;
use crate::shutdown::Shutdown;

/// A request that has ended.
enum Done {
    Listed { list_poll: ListPoll, look: Look, result: Result<Listed, Error> },
    Read { read: Read, asked: Duration, answer: ReadAnswer },
    Mode { pipeline: PipelineId, answer: Result<bool, Error> },
}

impl Poller {
    /// Polls until the shutdown begins.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut work: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut list_poll = ListPoll::default();
        loop {
            let due = loop {
                let (session, next) = self.next();
                let Some(session) = session else { break None };
                match next {
                    Next::Look(look) => work.push(self.look(session, list_poll, look)),
                    Next::Read(read) => work.push(self.read(session, read)),
                    Next::Mode(pipeline) => work.push(ask_mode(session, pipeline)),
                    Next::Wait(until) => break until,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                Some(done) = work.next(), if !work.is_empty() => match done {
                    Done::Listed { list_poll: read, look, result } => {
                        list_poll = read;
                        self.looked(look, result);
                    }
                    Done::Read { read, asked, answer } => {
                        let woken = self.state.lock().executions.answered(&read, asked, answer, self.now());
                        self.wake(&woken);
                    }
                    Done::Mode { pipeline, answer } => self.mode_answered(&pipeline, answer),
                },
                () = self.changed.notified() => {}
                () = self.sleep_until(due) => {}
            }
        }
    }

    fn next(&self) -> (Option<Arc<Session>>, Next) {
        let mut state = self.state.lock();
        let session = state.session.clone();
        let pause = session.as_ref().and_then(|session| session.paused(Purpose::Polling)).map(|pause| pause.left);
        let triggers_wait = session.as_ref().is_some_and(|session| session.triggers_wait());
        (session, state.executions.next(self.now(), pause, triggers_wait))
    }

    async fn sleep_until(&self, due: Option<Duration>) {
        match due {
            Some(due) => tokio::time::sleep(due.saturating_sub(self.now())).await,
            None => std::future::pending().await,
        }
    }

    fn look(&self, session: Arc<Session>, mut list_poll: ListPoll, look: Look) -> BoxFuture<'_, Done> {
        async move {
            let result = if look.open.is_empty() { Ok(Listed::default()) } else { list_poll.running(&session, &look.open).await };
            Done::Listed { list_poll, look, result }
        }
        .boxed()
    }

    fn looked(&self, look: Look, result: Result<Listed, Error>) {
        let (running, requests) = match result {
            Ok(Listed { running, requests }) => (Some(running), requests),
            Err(error) => {
                tracing::debug!(%error, "the running executions cannot be listed; trying again at the next poll");
                (None, 1)
            }
        };
        let mut state = self.state.lock();
        let woken = state.executions.looked(look, running.as_ref(), requests);
        state.executions.prune(|run| self.notifier.exists(&object_ref(run)));
        drop(state);
        self.wake(&woken);
    }

    fn read(&self, session: Arc<Session>, read: Read) -> BoxFuture<'_, Done> {
        async move {
            let asked = self.now();
            let answer = self.ask(&session, &read).await.unwrap_or_else(|error| unusable(&read, &error));
            Done::Read { read, asked, answer }
        }
        .boxed()
    }

    async fn ask(&self, session: &Session, read: &Read) -> Result<ReadAnswer, Error> {
        let (pipeline, id) = &read.key;
        match session.read(id, read.purpose).await {
            Ok(execution) => {
                let fits = execution.pipeline.as_deref().is_none_or(|named| named == pipeline.as_str());
                if fits && self.state.lock().executions.is_ours(&read.key) {
                    session.started_by_us(&execution);
                }
                Ok(ReadAnswer::Found {
                    took: took(&execution),
                    report: Box::new(shown_execution(&execution)),
                    pipeline: execution.pipeline,
                })
            }
            Err(Error::NotFound) => Ok(ReadAnswer::Denied(match self.needs_list(read) {
                false => Absence::Unconfirmed,
                true if session.confirms_absent(pipeline, id).await? => Absence::Confirmed,
                true => Absence::Contradicted,
            })),
            Err(error) => Err(error),
        }
    }

    fn needs_list(&self, read: &Read) -> bool {
        self.state.lock().executions.needs_list(&read.key, self.now())
    }

    fn mode_answered(&self, pipeline: &PipelineId, answer: Result<bool, Error>) {
        let mut state = self.state.lock();
        match answer {
            Ok(developer) => state.executions.mode_answered(pipeline, Some(developer)),
            // Nothing was sent.
            Err(Error::Paused(_) | Error::Stopping) => state.executions.mode_not_asked(pipeline),
            Err(error) => {
                tracing::debug!(%error, %pipeline, "the pipeline cannot be read; it is not asked about again for an hour");
                state.executions.mode_answered(pipeline, None);
            }
        }
    }
}

fn ask_mode<'a>(session: Arc<Session>, pipeline: PipelineId) -> BoxFuture<'a, Done> {
    async move {
        let answer = session.developer_mode(&pipeline).await;
        Done::Mode { pipeline, answer }
    }
    .boxed()
}

fn unusable(read: &Read, error: &Error) -> ReadAnswer {
    let execution = &read.key.1;
    if matches!(error, Error::Malformed { .. }) {
        tracing::warn!(%execution, %error, "nothing is concluded from this answer");
        return ReadAnswer::Malformed;
    }
    tracing::debug!(%execution, %error, "an execution cannot be read; trying again at the next poll");
    ReadAnswer::Failed
}

/// How long an execution took by nuvo's own clock: until it ended, not until the operator noticed.
fn took(execution: &nuvo_client::Execution) -> Option<Duration> {
    let at = |time: &Option<nuvo_client::NuvoTime>| time.as_ref()?.at;
    let (created, updated) = (at(&execution.created_at)?, at(&execution.updated_at)?);
    Duration::try_from(updated.duration_since(created)).ok().filter(|_| execution.status.is_terminal())
}
