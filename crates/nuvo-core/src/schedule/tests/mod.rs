//! The rule, line by line, in a world of one schedule and its runs.

#![allow(clippy::arithmetic_side_effects, reason = "a test ends where it cannot go on")]

mod gate;
mod history;
mod leaders;
mod oracle;
mod rest;
mod rule;
mod start;
mod status;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nuvo_crds::{
    MissedReason, Phase, PipelineRun, PipelineSchedule, PipelineScheduleSpec, PipelineScheduleStatus, RunTemplate,
    conditions::{READY, Reason, find},
};

use super::*;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// The API server, and one operator.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub now: Timestamp,
    pub object: Option<PipelineSchedule>,
    pub runs: Vec<ScheduledRun>,
    pub selected: bool,
    pub held: bool,
    pub in_nuvo: Option<Option<String>>,
    pub clock_in_doubt: Option<String>,
    /// Why runs cannot be created.
    pub refusal: Option<String>,
    /// Every run that was created, by its slot.
    pub created: Vec<PipelineRun>,
    pub deleted: Vec<String>,
    pub writes: usize,
    pub news: Vec<News>,
    pub versions: u32,
    /// What the last act of the newest pass said.
    pub wakes: Option<Timestamp>,
}

impl World {
    /// A schedule that is created now.
    pub(super) fn new(lines: &[&str], now: &str) -> Self {
        let spec = PipelineScheduleSpec {
            schedules: lines.iter().map(|line| (*line).to_owned()).collect(),
            run_template: RunTemplate {
                spec: nuvo_crds::PipelineRunSpec { pipeline_id: "orders".to_owned(), ..Default::default() },
                metadata: None,
            },
            ..PipelineScheduleSpec::default()
        };
        let mut object = PipelineSchedule::new("nightly", spec);
        let meta = &mut object.metadata;
        meta.namespace = Some("team".to_owned());
        meta.uid = Some("u-1".to_owned());
        meta.generation = Some(1);
        meta.resource_version = Some("1".to_owned());
        meta.creation_timestamp = Some(Time(at(now)));
        Self {
            now: at(now),
            object: Some(object),
            runs: Vec::new(),
            selected: true,
            held: false,
            in_nuvo: None,
            clock_in_doubt: None,
            refusal: None,
            created: Vec::new(),
            deleted: Vec::new(),
            writes: 0,
            news: Vec::new(),
            versions: 1,
            wakes: None,
        }
    }

    pub(super) fn edit(&mut self, change: impl FnOnce(&mut PipelineScheduleSpec)) -> &mut Self {
        let object = self.object.as_mut().unwrap();
        change(&mut object.spec);
        object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
        self
    }

    pub(super) fn object(&self) -> &PipelineSchedule {
        self.object.as_ref().unwrap()
    }

    pub(super) fn status(&self) -> PipelineScheduleStatus {
        self.object().status.clone().unwrap_or_default()
    }

    pub(super) fn record(&self) -> Record {
        Record::read(self.object().status.as_ref(), "u-1")
    }

    pub(super) fn ready(&self) -> String {
        find(&self.status().conditions, READY).map(|ready| ready.reason.clone()).unwrap_or_default()
    }

    pub(super) fn missed(&self) -> (i64, Option<MissedReason>) {
        let missed = self.status().missed.unwrap_or_default();
        (missed.total, missed.last_reason)
    }

    /// Begins a pass with what a cache knows.
    pub(super) fn facts(&self) -> Facts {
        let schedule = Schedule::of(self.object()).unwrap();
        let mut facts = Facts::new(
            schedule,
            self.runs.clone(),
            self.now,
            Surroundings { is_selected: self.selected, is_held: self.held, in_nuvo: self.in_nuvo.clone() },
        );
        facts.refresh(self.now, self.clock_in_doubt.clone());
        facts
    }

    /// A whole pass; what it asked for, without the last act.
    pub(super) fn pass(&mut self) -> Vec<Act> {
        let acts = self.acts(usize::MAX);
        self.rests();
        acts
    }

    /// Until the schedule is to be looked at again, nothing is asked and nothing is written, however often it is looked at.
    pub(super) fn rests(&self) {
        let (before, later) = (self.facts(), self.now + seconds(1));
        let asks = self.record().pending.is_some();
        // What was refused is tried at each look.
        let is_tried = self.ready() == "CreateRefused";
        if self.object.is_none() || is_tried || self.wakes.is_some_and(|wake| wake <= later) {
            return;
        }
        for now in [self.now, later] {
            let mut facts = before.clone();
            facts.refresh(now, self.clock_in_doubt.clone());
            let mut world = self.clone();
            let mut act = next(&facts);
            // What becomes of a start that is pending has to be read.
            while asks && matches!(act, Act::ReadSchedule | Act::ReadRun(_)) {
                let answer = world.carry_out(&act);
                facts.learn(&act, answer);
                act = next(&facts);
            }
            assert!(matches!(act, Act::Done { .. }), "at rest: {act:#?}\nafter {:#?}", self.status());
        }
    }

    /// A pass that ends after so many acts, as if the process had been killed.
    pub(super) fn acts(&mut self, most: usize) -> Vec<Act> {
        let mut facts = self.facts();
        let mut acts = Vec::new();
        while acts.len() < most {
            assert!(acts.len() < 100, "the pass does not end: {acts:#?}");
            let act = next(&facts);
            if let Act::Done { wake } = act {
                self.wakes = wake;
                break;
            }
            assert!(!acts.is_empty() || act == Act::ReadSchedule, "by what a cache knows: {act:#?}");
            let answer = self.carry_out(&act);
            facts.refresh(self.now, self.clock_in_doubt.clone());
            facts.learn(&act, answer);
            acts.push(act);
        }
        acts
    }

    /// When the schedule is looked at again.
    pub(super) fn wake(&mut self) -> Option<Timestamp> {
        self.pass();
        self.wakes
    }

    /// Passes at this time.
    pub(super) fn at(&mut self, time: &str) -> &mut Self {
        self.now = at(time);
        self.pass();
        self
    }

    pub(super) fn carry_out(&mut self, act: &Act) -> Answer {
        match act {
            Act::ReadSchedule => Answer::Schedule(self.object.as_ref().and_then(Schedule::of).map(Box::new)),
            Act::ListRuns => Answer::Runs(self.runs.clone()),
            Act::ReadRun(name) => Answer::Run(self.runs.iter().find(|run| run.name == *name).cloned().map(Box::new)),
            Act::Write(change) => {
                self.writes += 1;
                self.news.extend(change.news.iter().cloned());
                let object = self.object.as_mut().unwrap();
                object.status = Some(change.status.clone());
                Answer::Schedule(Schedule::of(object).map(Box::new))
            }
            Act::Create(run) => {
                if let Some(why) = &self.refusal {
                    return Answer::Refused(why.clone());
                }
                if self.runs.iter().any(|known| Some(&known.name) == run.metadata.name.as_ref()) {
                    return Answer::Exists;
                }
                self.versions += 1;
                let mut stored = (**run).clone();
                stored.metadata.uid = Some(format!("r-{}", self.versions));
                stored.metadata.resource_version = Some(self.versions.to_string());
                stored.metadata.creation_timestamp = Some(Time(self.now));
                let run = ScheduledRun::of(&stored).unwrap();
                self.created.push(stored);
                self.runs.push(run.clone());
                Answer::Run(Some(Box::new(run)))
            }
            Act::Delete { name, uid, .. } => {
                self.runs.retain(|run| run.uid != *uid);
                self.deleted.push(name.clone());
                Answer::Done
            }
            Act::Done { .. } => Answer::Done,
        }
    }

    /// The slots for which runs were created.
    pub(super) fn slots(&self) -> Vec<String> {
        self.created.iter().map(|run| ScheduledRun::of(run).unwrap().slot.unwrap().to_string()).collect()
    }

    /// Has the newest run go on.
    pub(super) fn last_run(&mut self) -> &mut ScheduledRun {
        self.runs.last_mut().unwrap()
    }

    pub(super) fn end_runs(&mut self) {
        let now = self.now;
        for run in self.runs.iter_mut().filter(|run| !run.has_ended()) {
            end(run, now, Reason::Succeeded);
        }
    }
}

pub(super) fn end(run: &mut ScheduledRun, time: Timestamp, reason: Reason) {
    run.progress = Progress::Ended(time);
    run.phase = Some(if reason.status() == nuvo_crds::conditions::ConditionStatus::True { Phase::Succeeded } else { Phase::Failed });
    run.reason = Some(reason);
}
