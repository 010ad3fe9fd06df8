//! What one pass over a schedule has learned so far.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    act::{Act, Answer},
    object::Schedule,
    runs::ScheduledRun,
};

/// What does not change during a pass.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The operator watches the runs that the template makes.
    pub is_selected: bool,
    /// The operator was started to start no slots.
    pub is_held: bool,
    /// The schedule that nuvo itself has for the pipeline, if nuvo has told: the inner one is none if it has none.
    pub in_nuvo: Option<Option<String>>,
}

/// Everything that one pass has learned so far.
#[derive(Debug, Clone)]
pub struct Facts {
    pub(super) schedule: Schedule,
    /// The object was read from the API server in this pass, or written.
    pub(super) is_fresh: bool,
    pub(super) now: Timestamp,
    /// Why the time is not to be trusted.
    pub(super) clock_in_doubt: Option<String>,
    pub(super) around: Surroundings,
    pub(super) runs: Vec<ScheduledRun>,
    /// The runs were listed by the API server in this pass; otherwise a cache has told them.
    pub(super) is_listed: bool,
    /// What the API server has under these names.
    pub(super) looks: BTreeMap<String, Option<ScheduledRun>>,
    pub(super) refused: Option<String>,
    /// Why the pass is over.
    pub(super) broken_off: bool,
    pub(super) gone: bool,
}

impl Facts {
    /// Begins a pass with what caches know. The time is that of this process until the API server has told its own.
    #[must_use]
    pub const fn new(schedule: Schedule, runs: Vec<ScheduledRun>, now: Timestamp, around: Surroundings) -> Self {
        Self {
            schedule,
            is_fresh: false,
            now,
            clock_in_doubt: None,
            around,
            runs,
            is_listed: false,
            looks: BTreeMap::new(),
            refused: None,
            broken_off: false,
            gone: false,
        }
    }

    /// Takes in the time: that of the newest answer of the API server, in whole seconds.
    pub fn refresh(&mut self, now: Timestamp, clock_in_doubt: Option<String>) {
        (self.now, self.clock_in_doubt) = (now, clock_in_doubt);
    }

    /// Takes in what an act has led to.
    pub fn learn(&mut self, act: &Act, answer: Answer) {
        match (act, answer) {
            (Act::ReadSchedule | Act::Write(_), Answer::Schedule(Some(schedule))) if schedule.uid == self.schedule.uid => {
                (self.schedule, self.is_fresh) = (*schedule, true);
            }
            (Act::ReadSchedule | Act::Write(_), Answer::Schedule(_)) => self.gone = true,
            (Act::ListRuns, Answer::Runs(runs)) => (self.runs, self.is_listed) = (runs, true),
            (Act::ReadRun(name), Answer::Run(run)) => {
                self.looks.insert(name.clone(), run.map(|run| *run));
            }
            (Act::Create(run), Answer::Run(Some(created))) => {
                self.looks.insert(run.metadata.name.clone().unwrap_or_default(), Some(*created));
            }
            // Whose it is has to be read.
            (Act::Create(run), Answer::Exists) => {
                self.looks.remove(&run.metadata.name.clone().unwrap_or_default());
            }
            (Act::Create(_), Answer::Refused(why)) => self.refused = Some(why),
            (Act::Delete { name, .. }, Answer::Done) => self.runs.retain(|run| run.name != *name),
            // It has changed, or what it is now is not known. Another pass follows.
            _ => self.broken_off = true,
        }
    }

    /// The runs of the schedule: those of the cache or the list, and what was read or created since.
    pub(super) fn known_runs(&self) -> impl Iterator<Item = &ScheduledRun> + Clone {
        let is_new = |run: &&ScheduledRun| run.is_of(&self.schedule.uid) && self.runs.iter().all(|known| known.uid != run.uid);
        self.runs.iter().chain(self.looks.values().flatten().filter(is_new))
    }

    /// The schedule as it was seen last.
    #[must_use]
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}
