//! Executions: how they progress by themselves, how they are changed by hand, and how the API shows them.

mod answers;
mod by_hand;
mod words;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    clock::Clock,
    duration::{Millis, millis},
    identity::Identity,
    pipeline::{Ending, ExecutionError, Pipeline, Spelling, Stats},
    starts::Trigger,
};
pub use by_hand::{Change, Seed};
pub use words::Status;

/// An execution as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Its id.
    pub id: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its status.
    pub status: Status,
    /// Its error, if it failed.
    pub error: Option<ExecutionError>,
    /// How it was started.
    pub trigger: Trigger,
    /// When it was created, on the server's clock, RFC 3339.
    pub created_at: String,
    /// Who created it.
    pub created_by: Identity,
    /// How many runs it has had: the first, and one for each repair.
    pub runs: usize,
    /// Whether the list shows it yet.
    pub listed: bool,
    /// The number in the journal of the POST that made it.
    pub request: Option<u64>,
}

/// An execution as stored. Its whole future is scheduled, so its state is a function of the time.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) created: Millis,
    /// From when on the list shows it.
    listed: Millis,
    creator: Identity,
    trigger: Trigger,
    spelling: Spelling,
    developer_mode: bool,
    request: Option<u64>,
    /// When it was last changed by hand.
    changed: Millis,
    first: Run,
    /// The repairs, which may lie in the future.
    fixes: Vec<Run>,
    fields: Map<String, Value>,
}

/// One start of a pipeline, which makes an execution for each file.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) at: Millis,
    pub(crate) creator: Identity,
    pub(crate) trigger: Trigger,
    /// The POST that it comes from.
    pub(crate) request: Option<u64>,
}

#[derive(Debug, Clone)]
struct Run {
    started: Millis,
    /// [`Millis::MAX`]: not by itself.
    ends: Millis,
    ending: Ending,
    /// Shown instead of the status.
    word: Option<String>,
    error: Option<ExecutionError>,
    stats: Stats,
}

impl Run {
    fn ended(&self, now: Millis) -> bool {
        self.ends != Millis::MAX && now >= self.ends
    }

    fn status(&self, now: Millis) -> Status {
        match &self.word {
            Some(word) => Status::Other(word.clone()),
            None if self.ended(now) => self.ending.into(),
            None => Status::Processing,
        }
    }

    /// What a run without an error of its own fails with.
    fn failure(&self) -> ExecutionError {
        self.error.clone().unwrap_or_else(|| ExecutionError {
            kind: "SOURCE_UNRESPONSIVE".to_owned(),
            message: "The connection to the input connector could not be established".to_owned(),
        })
    }
}

impl Stored {
    /// The execution of one file of a start.
    pub(crate) fn started(id: String, pipeline: &Pipeline, file: usize, start: &Start, listed: Millis) -> Self {
        let Start { at: now, ref creator, trigger, request } = *start;
        let length = millis(pipeline.duration.0);
        let first = Run {
            started: now,
            ends: now.saturating_add(length),
            ending: pipeline.ending(file),
            word: None,
            error: pipeline.error.clone(),
            stats: pipeline.stats,
        };
        let mut fixes = Vec::new();
        if let (Some(after), Ending::Failed) = (pipeline.fix_after, first.ending) {
            let started = first.ends.saturating_add(millis(after.0));
            if started != Millis::MAX {
                fixes.push(Run { started, ends: started.saturating_add(length), ending: Ending::Successful, error: None, ..first.clone() });
            }
        }
        Self {
            id,
            pipeline: pipeline.id.clone(),
            created: now,
            listed,
            creator: creator.clone(),
            trigger,
            spelling: pipeline.spelling,
            developer_mode: pipeline.developer_mode,
            request,
            changed: now,
            first,
            fixes,
            fields: Map::new(),
        }
    }

    pub(crate) fn seeded(id: String, seed: Seed, now: Millis) -> Self {
        let Seed { pipeline, id: _, ago, lasted, creator, trigger, status, error, stats, listed_after, spelling } = seed;
        let created = now.saturating_sub(millis(ago.0));
        let ended = created.saturating_add(millis(lasted.0));
        let mut first = Run { started: created, ends: Millis::MAX, ending: Ending::Successful, word: None, error, stats };
        match status {
            Status::Processing => {}
            Status::Successful => first.ends = ended,
            Status::Failed => {
                first.ending = Ending::Failed;
                first.ends = ended;
            }
            Status::Other(word) => first.word = Some(word),
        }
        Self {
            id,
            pipeline,
            created,
            listed: now.saturating_add(millis(listed_after.0)),
            creator,
            trigger,
            spelling,
            developer_mode: false,
            request: None,
            changed: created,
            first,
            fixes: Vec::new(),
            fields: Map::new(),
        }
    }

    /// The runs that have begun.
    fn runs(&self, now: Millis) -> impl Iterator<Item = &Run> {
        std::iter::once(&self.first).chain(self.fixes.iter().filter(move |run| run.started <= now))
    }

    fn current(&self, now: Millis) -> &Run {
        self.fixes.iter().rfind(|run| run.started <= now).unwrap_or(&self.first)
    }

    pub(crate) fn listed(&self, now: Millis) -> bool {
        now >= self.listed
    }

    pub(crate) fn change(&mut self, change: Change, now: Millis) {
        let Change { status, error, stats, fields } = change;
        // A change by hand replaces what was scheduled.
        self.fixes.retain(|run| run.started <= now);
        self.changed = now;
        let ended = self.current(now).ended(now);
        if status == Some(Status::Processing) && ended {
            let again = Run { started: now, ends: Millis::MAX, word: None, error: None, ..self.current(now).clone() };
            self.fixes.push(again);
        }
        let run = self.fixes.last_mut().unwrap_or(&mut self.first);
        if let Some(status) = status {
            run.word = None;
            let end = if ended { run.ends } else { now };
            match status {
                Status::Processing => run.ends = Millis::MAX,
                Status::Successful => (run.ends, run.ending) = (end, Ending::Successful),
                Status::Failed => (run.ends, run.ending) = (end, Ending::Failed),
                Status::Other(word) => run.word = Some(word),
            }
        }
        run.error = error.or(run.error.take());
        run.stats = stats.unwrap_or(run.stats);
        if let Some(fields) = fields {
            self.fields.extend(fields);
        }
    }

    pub(crate) fn snapshot(&self, clock: &Clock, now: Millis) -> Execution {
        let run = self.current(now);
        let status = run.status(now);
        Execution {
            id: self.id.clone(),
            pipeline: self.pipeline.clone(),
            error: (status == Status::Failed).then(|| run.failure()),
            status,
            trigger: self.trigger,
            created_at: clock.zoned(self.created),
            created_by: self.creator.clone(),
            runs: self.runs(now).count(),
            listed: self.listed(now),
            request: self.request,
        }
    }
}
