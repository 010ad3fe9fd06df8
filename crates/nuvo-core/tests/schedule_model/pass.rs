//! A pass of an operator over the schedule, and what it knows.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use nuvo_core::schedule::{Act, Facts};

use crate::object::{Object, Run};

/// What a pass knows. Equal knowledge leads to equal acts.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Known {
    pub time: u8,
    pub object: Object,
    pub is_fresh: bool,
    pub runs: Vec<Run>,
    pub is_listed: bool,
    pub looks: BTreeMap<String, Option<Run>>,
    pub is_over: bool,
}

/// What an act has told.
pub enum Read {
    Schedule(Option<Object>),
    Runs(Vec<Run>),
    Run(String, Option<Run>),
    Exists(String),
    Deleted(u8),
    Nothing,
}

impl Known {
    pub fn learn(&mut self, time: u8, read: Read) {
        self.time = time;
        match read {
            Read::Schedule(Some(object)) if object.uid == self.object.uid => (self.object, self.is_fresh) = (object, true),
            Read::Runs(runs) => (self.runs, self.is_listed) = (runs, true),
            Read::Run(name, run) => drop(self.looks.insert(name, run)),
            Read::Exists(name) => drop(self.looks.remove(&name)),
            Read::Deleted(uid) => self.runs.retain(|run| run.uid != uid),
            Read::Schedule(_) | Read::Nothing => self.is_over = true,
        }
    }
}

/// A pass that is under way.
#[derive(Clone)]
pub struct Pass {
    pub facts: Arc<Facts>,
    pub next: Arc<Act>,
    pub known: Known,
}

impl PartialEq for Pass {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
    }
}

impl Eq for Pass {}

impl Hash for Pass {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.known.hash(state);
    }
}
