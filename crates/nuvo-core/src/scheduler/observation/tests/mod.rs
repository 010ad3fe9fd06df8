//! Looks at a nuvo of plain values, under virtual time.

#![allow(clippy::arithmetic_side_effects, reason = "the numbers of these tests are small")]

mod gaps;
mod lists;
mod overlaps;
mod reads;
mod restarts;
mod zones;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use nuvo_crds::{AboutPipeline, Mirror, Stats};

use super::*;
use crate::{
    pipeline::{Counts, Details, NuvoInstant, Sighting},
    run::{ExecutionId, Uid},
    vocabulary::ExecutionStatus,
};

const PERIOD: Duration = Duration::from_secs(60);
const OVERLAP: Duration = Duration::from_secs(360);

fn pipeline(id: &str) -> PipelineId {
    PipelineId::new(id).unwrap()
}

fn object(name: &str) -> PipelineRef {
    PipelineRef { uid: Uid::new(format!("uid-{name}")).unwrap(), namespace: "team".into(), name: name.into() }
}

/// A nuvo, and one account that observes it.
struct World {
    now: Duration,
    executions: Vec<(String, Sighting)>,
    observation: Observation,
    /// Requests, by what they were for.
    requests: BTreeMap<&'static str, usize>,
    is_away: bool,
    is_shuffled: bool,
    ignores_filter: bool,
    /// The list of the account begins so many entries after the newest, and shows those at its end.
    hides_newest: usize,
    /// Executions cannot be read by their ids.
    hides_executions: bool,
    min_rows: i64,
    /// So many executions of another pipeline come while a page is read.
    busy: u64,
    /// How much nuvo's times without a zone are ahead of UTC.
    offset: Option<i64>,
    next_id: u64,
}

impl World {
    fn new() -> Self {
        let mut observation = Observation::new(OVERLAP, 0.0);
        observation.set_period(Some(PERIOD));
        Self {
            now: Duration::from_secs(1_800_000_000),
            executions: Vec::new(),
            observation,
            requests: BTreeMap::new(),
            is_away: false,
            is_shuffled: false,
            ignores_filter: false,
            hides_newest: 0,
            hides_executions: false,
            min_rows: 0,
            busy: 0,
            offset: None,
            next_id: 0,
        }
    }

    fn at(&self, now: Duration) -> Timestamp {
        Timestamp::UNIX_EPOCH.checked_add(now).unwrap()
    }

    fn instant(&self, now: Duration) -> NuvoInstant {
        let at = self.at(now).checked_add(SignedDuration::from_secs(self.offset.unwrap_or_default())).unwrap();
        NuvoInstant { at, is_zoned: self.offset.is_none() }
    }

    /// An execution of a pipeline that is created now.
    fn create(&mut self, pipeline: &str, status: ExecutionStatus, trigger: &str) -> String {
        self.create_at(self.now, pipeline, status, trigger)
    }

    fn create_at(&mut self, created: Duration, pipeline: &str, status: ExecutionStatus, trigger: &str) -> String {
        self.next_id += 1;
        let id = format!("e{}", self.next_id);
        let error_type = (status == Failed).then(|| "SOURCE_UNRESPONSIVE".to_owned());
        let sighting = Sighting {
            id: ExecutionId::new(id.clone()).unwrap(),
            status,
            trigger_type: Some(trigger.to_owned()),
            created: Some(self.instant(created)),
            updated: Some(self.instant(created + Duration::from_secs(5))),
            error_type,
            created_by: None,
            details: None,
        };
        self.executions.push((pipeline.to_owned(), sighting));
        id
    }

    fn end(&mut self, id: &str, status: ExecutionStatus) {
        let updated = self.instant(self.now);
        let (_, sighting) = self.executions.iter_mut().find(|(_, sighting)| sighting.id.as_str() == id).unwrap();
        (sighting.status, sighting.updated) = (status, Some(updated));
    }

    fn observe(&mut self, name: &str, pipeline_id: &str, status: Option<&NuvoPipelineStatus>) {
        let wish = Observable { pipeline: pipeline(pipeline_id), min_rows: self.min_rows, mirror: Mirror::default() };
        self.observation.observe(&object(name), &wish, status, &AccountHash::new("account").unwrap(), self.now);
    }

    fn count(&mut self, what: &'static str) {
        *self.requests.entry(what).or_default() += 1;
    }

    fn page(&self, request: &PageRequest) -> ObservedPage {
        let mut listed: Vec<(String, Sighting)> = self.executions.clone();
        if let PageScope::Pipeline(pipeline) = &request.scope
            && !self.ignores_filter
        {
            listed.retain(|(of, _)| of == pipeline.as_str());
        }
        listed.sort_by_key(|(_, sighting)| std::cmp::Reverse((sighting.created.map(|created| created.at), sighting.id.clone())));
        if self.is_shuffled {
            listed.sort_by_key(|(_, sighting)| sighting.id.as_str().bytes().rev().collect::<Vec<_>>());
        }
        if matches!(request.scope, PageScope::Account | PageScope::Overlap) {
            let hidden = self.hides_newest.min(listed.len());
            listed.rotate_left(hidden);
        }
        let all = listed.len();
        let limit = if request.offset == 0 { 100 } else { 1_000 };
        let mut page: Vec<_> = listed.into_iter().skip(request.offset).take(limit).collect();
        let sent = page.len();
        if let PageScope::Pipeline(pipeline) = &request.scope {
            // The client filters again.
            page.retain(|(of, _)| of == pipeline.as_str());
        }
        ObservedPage {
            began: self.now,
            sent,
            unreadable: 0,
            is_last: request.offset + sent >= all,
            sightings: page.into_iter().map(|(pipeline, sighting)| (Some(pipeline), sighting)).collect(),
        }
    }

    fn answer(&self, read: &ObservationRead) -> ObservationAnswer {
        match read {
            _ if self.is_away => ObservationAnswer::Failed("away".into()),
            ObservationRead::Execution(..) if self.hides_executions => ObservationAnswer::Failed("away".into()),
            ObservationRead::Pipeline(_) => ObservationAnswer::Pipeline(AboutPipeline::default()),
            ObservationRead::Execution(_, id) => match self.executions.iter().find(|(_, sighting)| sighting.id == *id) {
                None => ObservationAnswer::NotFound,
                Some((pipeline, sighting)) => {
                    let stats = Stats { total_rows: Some(10), total_error_rows: Some(1), ..Stats::default() };
                    let details = Details { stats: Some(stats), ended: None };
                    ObservationAnswer::Execution(Some(pipeline.clone()), Box::new(Sighting { details: Some(details), ..sighting.clone() }))
                }
            },
        }
    }

    /// Does everything that is due until this much later.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            match self.observation.next(self.now, None) {
                Due::Page(request) => {
                    self.count(match (&request.scope, request.offset) {
                        (PageScope::Account, 0) => "top",
                        (PageScope::Account, _) => "gap",
                        (PageScope::Overlap, _) => "overlap",
                        (PageScope::Pipeline(_), _) => "pipeline page",
                    });
                    for _ in 0..self.busy {
                        let created = self.now + Duration::from_micros(self.next_id);
                        self.create_at(created, "other", Successful, "EVENT");
                    }
                    let answer = if self.is_away { Err(ObservationAnswer::Failed("away".into())) } else { Ok(self.page(&request)) };
                    let at = self.at(self.now);
                    self.observation.page_read(&request, answer, at, self.now);
                }
                Due::Read(read) => {
                    self.count(match read {
                        ObservationRead::Execution(..) => "execution",
                        ObservationRead::Pipeline(_) => "pipeline",
                    });
                    let answer = self.answer(&read);
                    self.observation.read(&read, &answer);
                }
                Due::Wait(Some(until)) if until <= end => self.now = self.now.max(until),
                Due::Wait(_) => break,
            }
        }
        self.now = end;
    }

    fn observed(&mut self, name: &str) -> (Observed, Counts) {
        let (observed, counts, _) = self.observation.observed(&object(name));
        (observed, counts)
    }

    /// How many executions were counted since the last call.
    fn counted(&mut self, name: &str) -> u64 {
        self.observed(name).1.executions.values().sum()
    }

    fn status(&mut self, name: &str) -> NuvoPipelineStatus {
        let report = self.observed(name).0.report.unwrap();
        NuvoPipelineStatus {
            running: report.running,
            last_execution: report.last_execution,
            last_success: report.last_success,
            last_failure: report.last_failure,
            last_counted: report.last_counted,
            recent: report.recent,
            seen: report.seen,
            ..NuvoPipelineStatus::default()
        }
    }

    /// Another process, which knows what the statuses have kept.
    fn restart(&mut self) {
        self.observation = Observation::new(OVERLAP, 0.0);
        self.observation.set_period(Some(PERIOD));
    }
}

use ExecutionStatus::{Failed, Processing, Successful};
