//! What there is at one moment.

use std::{collections::BTreeSet, fmt};

use crate::{
    object::{Object, Run},
    pass::Pass,
    scope::Scope,
};

/// What was seen to happen, for the promises.
#[derive(Debug, Clone, Default, Hash, PartialEq, Eq)]
pub struct Seen {
    pub started_past: bool,
    pub refused_claimed: bool,
    pub let_through_unclaimed: bool,
    pub created_undecided: bool,
    pub claimed_foreign: bool,
    pub overlapped: bool,
    pub deleted_early: bool,
    /// The slots that were claimed, by the schedule.
    pub claimed: BTreeSet<(u8, i64)>,
}

/// All that there is.
#[derive(Clone, Hash, PartialEq, Eq)]
pub struct State {
    pub time: u8,
    pub object: Option<Object>,
    /// As it was when it was deleted, and its uid before.
    pub last: Option<Object>,
    pub runs: Vec<Run>,
    /// The runs that have gone, as a backup may have them.
    pub backup: Vec<Run>,
    /// The runs that an operator has made.
    pub made: BTreeSet<u8>,
    /// The runs that the gate has let through, and that have not triggered yet.
    pub cleared: Vec<Run>,
    pub posts: BTreeSet<(u8, i64, u8)>,
    pub passes: Vec<Option<Pass>>,
    pub late: Option<Run>,
    pub uids: u8,
    pub left: Scope,
    pub seen: Seen,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  time {} {:?}", self.time, self.object)?;
        for run in &self.runs {
            writeln!(f, "  {run:?}")?;
        }
        writeln!(
            f,
            "  posts {:?}, late {:?}, passes {:?}",
            self.posts,
            self.late,
            self.passes.iter().map(Option::is_some).collect::<Vec<_>>()
        )
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl State {
    /// The run with a uid of its own.
    pub fn named(&mut self, run: Run) -> Run {
        self.uids += 1;
        Run { uid: self.uids, ..run }
    }

    pub fn add(&mut self, run: Run) {
        if self.left.copies > 0 && self.backup.iter().all(|known| known.name != run.name) {
            self.backup.push(run.clone());
        }
        self.runs.push(run);
        self.runs.sort_by(|one, other| one.name.cmp(&other.name));
    }

    pub fn remove(&mut self, uid: u8) {
        self.runs.retain(|run| run.uid != uid);
    }
}
