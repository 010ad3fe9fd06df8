//! What the scheduler of an account wants to be done: looks and reads, and what came of them.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use nuvo_client::Error;
use nuvo_core::{
    pipeline::PipelineRecord,
    run::{Absence, Baseline, ExecutionId, PipelineId, RunRef},
    scheduler::{
        ListedExecutions, Look, ObservationAnswer, ObservationRead, ObservedPage, PageRequest, PageScope, PipelineMode, PipelineRef,
        Purpose, Read, ReadAnswer, Running,
    },
};

use super::{
    list_poll::{ListPoll, Listed},
    observed::{PipelineNotifier, execution_answer, observed_page, pipeline_answer, pipeline_object_ref, refusal},
    run_notifier::{RunNotifier, object_ref},
    shown_execution::shown_execution,
};
use crate::account::{Session, requests::Requests};

/// Work that is over.
pub(super) enum Done {
    LookedForTurns { began: Duration, result: Result<Option<Baseline>, Error> },
    LookedForRunning { began: Duration, result: Result<Running, Error> },
    LookedForDoubts { began: Duration, pipeline: Option<PipelineId>, listed: Option<ListedExecutions> },
    Looked { list_poll: ListPoll, look: Look, result: Result<Listed, Error> },
    Read { read: Read, asked: Duration, answer: ReadAnswer },
    Mode { pipeline: PipelineId, answer: Result<PipelineMode, Error> },
    Observed { page: PageRequest, result: Result<ObservedPage, ObservationAnswer>, answered_at: Timestamp },
    ReadObserved { read: ObservationRead, answer: ObservationAnswer },
}

/// Does the work of one account.
pub(super) struct Worker {
    pub(super) notifier: Arc<dyn RunNotifier>,
    pub(super) pipelines: Arc<dyn PipelineNotifier>,
    pub(super) requests: Arc<Requests>,
}

impl Worker {
    pub(super) async fn look_for_turns(&self, session: Option<Arc<Session>>) -> Done {
        let began = self.requests.now();
        let result = match usable(session) {
            Ok(session) => session.read_baseline().await,
            Err(error) => Err(error),
        };
        Done::LookedForTurns { began, result }
    }

    pub(super) async fn look_for_running(&self, session: Option<Arc<Session>>) -> Done {
        let began = self.requests.now();
        let result = match usable(session) {
            Ok(session) => session.read_running().await,
            Err(error) => Err(error),
        };
        Done::LookedForRunning { began, result }
    }

    pub(super) async fn look_for_doubts(&self, session: Option<Arc<Session>>, pipeline: Option<PipelineId>) -> Done {
        let began = self.requests.now();
        let listed = match usable(session) {
            Ok(session) => session.newest(pipeline.clone()).await,
            Err(error) => Err(error),
        };
        let noted = listed.inspect_err(|error| {
            tracing::info!(%error, "nuvo's executions cannot be listed, so nothing is concluded about the triggers in doubt");
        });
        Done::LookedForDoubts { began, pipeline, listed: noted.ok() }
    }

    pub(super) async fn look(&self, session: Option<Arc<Session>>, mut list_poll: ListPoll, look: Look) -> Done {
        let result = match usable(session) {
            Ok(_) if look.open.is_empty() => Ok(Listed::default()),
            Ok(session) => list_poll.running(&session, &look.open).await,
            Err(error) => Err(error),
        };
        Done::Looked { list_poll, look, result }
    }

    pub(super) async fn read(&self, session: Option<Arc<Session>>, read: Read) -> Done {
        let asked = self.requests.now();
        let answer = self.ask(session, &read).await.unwrap_or_else(|error| unusable(&read, &error));
        Done::Read { read, asked, answer }
    }

    async fn ask(&self, session: Option<Arc<Session>>, read: &Read) -> Result<ReadAnswer, Error> {
        let session = usable(session)?;
        let (pipeline, id) = &read.key;
        match session.read(id, read.purpose).await {
            Ok(execution) => {
                let fits = execution.pipeline.as_deref().is_none_or(|named| named == pipeline.as_str());
                if fits && self.requests.with(|scheduler, _| scheduler.executions.is_ours(&read.key)) {
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
        self.requests.with(|scheduler, now| scheduler.executions.needs_list(&read.key, now))
    }

    pub(super) async fn read_mode(&self, session: Option<Arc<Session>>, pipeline: PipelineId) -> Done {
        let answer = match usable(session) {
            Ok(session) => session.pipeline(&pipeline, Purpose::Mode).await.map(mode),
            Err(error) => Err(error),
        };
        Done::Mode { pipeline, answer }
    }

    pub(super) async fn observe(&self, session: Option<Arc<Session>>, page: PageRequest) -> Done {
        let began = self.requests.now();
        let pipeline = match &page.scope {
            PageScope::Account | PageScope::Overlap => None,
            PageScope::Pipeline(pipeline) => Some(pipeline.clone()),
        };
        let result = match usable(session) {
            Ok(session) => session.newest_page(pipeline, page.offset, page.purpose).await,
            Err(error) => Err(error),
        };
        let noted = result.inspect_err(|error| tracing::debug!(%error, "the pipelines of the account cannot be observed; trying again"));
        let result = noted.map(|page| observed_page(began, &page)).map_err(|error| refusal(&error));
        Done::Observed { page, result, answered_at: self.pipelines.now() }
    }

    pub(super) async fn read_observed(&self, session: Option<Arc<Session>>, read: ObservationRead) -> Done {
        let answer = match (usable(session), &read) {
            (Err(error), _) => refusal(&error),
            (Ok(session), ObservationRead::Pipeline(pipeline)) => {
                pipeline_answer(session.pipeline(pipeline, Purpose::ObservationDetail).await)
            }
            (Ok(session), ObservationRead::Execution(pipeline, id)) => match self.read_by_a_run(pipeline, id) {
                Some(known) => known,
                None => execution_answer(session.read(id, Purpose::ObservationDetail).await),
            },
        };
        Done::ReadObserved { read, answer }
    }

    /// What a run has read is not asked again.
    fn read_by_a_run(&self, pipeline: &PipelineId, id: &ExecutionId) -> Option<ObservationAnswer> {
        let sighting = self.requests.with(|scheduler, _| scheduler.observation.known_to_a_run(id))?;
        Some(ObservationAnswer::Execution(Some(pipeline.to_string()), Box::new(sighting)))
    }

    /// Tells the scheduler what came of it. Returns what a look has shown of the list.
    pub(super) fn done(&self, done: Done) -> Option<ListPoll> {
        match done {
            Done::LookedForTurns { began, result } => self.requests.with(|scheduler, _| scheduler.looked_for_turns(began, result)),
            Done::LookedForRunning { began, result } => self.requests.with(|scheduler, _| scheduler.looked_for_running(began, result)),
            Done::LookedForDoubts { began, pipeline, listed } => {
                let woken = self.requests.with(|scheduler, _| {
                    scheduler.doubts.prune(|run| self.notifier.exists(&object_ref(run)));
                    scheduler.doubts.looked(began, pipeline.as_ref(), listed.as_ref())
                });
                self.wake(&woken);
            }
            Done::Looked { list_poll, look, result } => {
                self.looked(look, result);
                return Some(list_poll);
            }
            Done::Read { read, asked, answer } => {
                let woken = self.requests.with(|scheduler, now| {
                    if let ReadAnswer::Found { report, .. } = &answer
                        && let Some(sighting) = PipelineRecord::known_to_a_run(&read.key.1, report)
                    {
                        scheduler.observation.read_for_a_run(&read.key.0, sighting);
                    }
                    scheduler.executions.answered(&read, asked, answer, now)
                });
                self.wake(&woken);
            }
            Done::Mode { pipeline, answer } => self.mode_answered(&pipeline, answer),
            Done::Observed { page, result, answered_at } => {
                let woken = self.requests.with(|scheduler, now| scheduler.observation.page_read(&page, result, answered_at, now));
                self.wake_pipelines(&woken);
            }
            Done::ReadObserved { read, answer } => {
                let woken = self.requests.with(|scheduler, _| scheduler.observation.read(&read, &answer));
                self.wake_pipelines(&woken);
            }
        }
        None
    }

    fn looked(&self, look: Look, result: Result<Listed, Error>) {
        let (running, requests) = match result {
            Ok(Listed { running, requests }) => (Some(running), requests),
            Err(error) => {
                tracing::debug!(%error, "the running executions cannot be listed; trying again at the next poll");
                (None, 1)
            }
        };
        let woken = self.requests.with(|scheduler, _| {
            let woken = scheduler.executions.looked(look, running.as_ref(), requests);
            scheduler.executions.prune(|run| self.notifier.exists(&object_ref(run)));
            woken
        });
        self.wake(&woken);
    }

    fn mode_answered(&self, pipeline: &PipelineId, answer: Result<PipelineMode, Error>) {
        self.requests.with(|scheduler, _| match answer {
            Ok(mode) => scheduler.executions.mode_answered(pipeline, Some(mode)),
            // Nothing was sent.
            Err(Error::Paused(_) | Error::Stopping) => scheduler.executions.mode_not_asked(pipeline),
            Err(error) => {
                tracing::debug!(%error, %pipeline, "the pipeline cannot be read; it is not asked about again for an hour");
                scheduler.executions.mode_answered(pipeline, None);
            }
        });
    }

    fn wake_pipelines(&self, pipelines: &[PipelineRef]) {
        for pipeline in pipelines {
            self.pipelines.wake_pipeline(&pipeline_object_ref(pipeline));
        }
    }

    fn wake(&self, runs: &[RunRef]) {
        for run in runs {
            self.notifier.wake(&object_ref(run));
        }
    }
}

/// The session, or why nothing is sent: the account cannot be used any more.
fn usable(session: Option<Arc<Session>>) -> Result<Arc<Session>, Error> {
    session.ok_or(Error::Stopping)
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

/// What is said of a pipeline that is of interest to its runs and schedules.
fn mode(pipeline: nuvo_client::Pipeline) -> PipelineMode {
    let nuvo_client::Pipeline { active, developer_mode, schedule, .. } = pipeline;
    PipelineMode { developer: developer_mode == Some(true), schedule: schedule.filter(|_| active != Some(false)) }
}
