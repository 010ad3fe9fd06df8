//! The metrics of schedules. Each object has series of its own, which go with it.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::AtomicU64,
};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::description::{SCHEDULE_LAG, SCHEDULE_LAST_SUCCESS, SCHEDULE_NEXT, SCHEDULE_READY, SCHEDULE_SLOTS, register};
use nuvo_crds::{
    MissedReason, PipelineScheduleStatus,
    conditions::{self, ConditionStatus, READY, ScheduleReason},
};

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScheduleLabels {
    namespace: String,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadyLabels {
    namespace: String,
    name: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SlotLabels {
    namespace: String,
    name: String,
    result: &'static str,
    reason: &'static str,
}

impl SlotLabels {
    fn of(schedule: &ScheduleLabels, missed: Option<MissedReason>) -> Self {
        let ScheduleLabels { namespace, name } = schedule.clone();
        let result = if missed.is_some() { "missed" } else { "started" };
        Self { namespace, name, result, reason: missed.map_or("", MissedReason::as_str) }
    }
}

type Seconds = Gauge<f64, AtomicU64>;

/// The metrics of schedules.
pub(super) struct ScheduleMetrics {
    /// The objects that have series, each with the reason under which its readiness is exposed.
    known: Mutex<HashMap<ScheduleLabels, Option<ReadyLabels>>>,
    ready: Family<ReadyLabels, Gauge>,
    slots: Family<SlotLabels, Counter>,
    last_success: Family<ScheduleLabels, Seconds>,
    next: Family<ScheduleLabels, Seconds>,
    lag: Histogram,
}

impl Default for ScheduleMetrics {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            ready: Family::default(),
            slots: Family::default(),
            last_success: Family::default(),
            next: Family::default(),
            lag: Histogram::new([0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0]),
        }
    }
}

impl ScheduleMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        register(registry, SCHEDULE_READY, &self.ready);
        register(registry, SCHEDULE_SLOTS, &self.slots);
        register(registry, SCHEDULE_LAST_SUCCESS, &self.last_success);
        register(registry, SCHEDULE_NEXT, &self.next);
        register(registry, SCHEDULE_LAG, &self.lag);
    }

    /// Shows what the status of an object says.
    pub(super) fn set(&self, namespace: &str, name: &str, status: &PipelineScheduleStatus) {
        let schedule = labels(namespace, name);
        let mut known = self.known.lock();
        let exposed = self.expose(&mut known, &schedule);
        let ready = conditions::find(&status.conditions, READY);
        let reason = ready.and_then(|ready| ScheduleReason::parse(&ready.reason, &ready.status));
        let now = reason.map(|reason| ReadyLabels { namespace: namespace.to_owned(), name: name.to_owned(), reason: reason.as_str() });
        if let Some(before) = std::mem::replace(exposed, now.clone()).filter(|before| Some(before) != now.as_ref()) {
            self.ready.remove(&before);
        }
        if let (Some(labels), Some(reason)) = (&now, reason) {
            self.ready.get_or_create(labels).set(i64::from(reason.status() == ConditionStatus::True));
        }
        set_or_remove(&self.last_success, &schedule, status.last_successful_time.as_ref());
        set_or_remove(&self.next, &schedule, status.next_schedule_time.as_ref());
    }

    /// A run was started for a slot, this long after the slot was due.
    pub(super) fn started(&self, namespace: &str, name: &str, lag: SignedDuration) {
        self.count(namespace, name, None, 1);
        self.lag.observe(lag.as_secs_f64().max(0.0));
    }

    /// Slots were missed.
    pub(super) fn missed(&self, namespace: &str, name: &str, reason: MissedReason, count: usize) {
        self.count(namespace, name, Some(reason), count);
    }

    fn count(&self, namespace: &str, name: &str, missed: Option<MissedReason>, count: usize) {
        let schedule = labels(namespace, name);
        let mut known = self.known.lock();
        self.expose(&mut known, &schedule);
        self.slots.get_or_create(&SlotLabels::of(&schedule, missed)).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Exposes the counters of an object from 0: a rate over a counter that appears with its first event misses that event.
    fn expose<'a>(
        &self,
        known: &'a mut HashMap<ScheduleLabels, Option<ReadyLabels>>,
        schedule: &ScheduleLabels,
    ) -> &'a mut Option<ReadyLabels> {
        known.entry(schedule.clone()).or_insert_with(|| {
            for labels in all_slots(schedule) {
                drop(self.slots.get_or_create(&labels));
            }
            None
        })
    }

    /// Removes the series of an object.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let schedule = labels(namespace, name);
        let mut known = self.known.lock();
        let Some(exposed) = known.remove(&schedule) else { return };
        if let Some(exposed) = exposed {
            self.ready.remove(&exposed);
        }
        for labels in all_slots(&schedule) {
            self.slots.remove(&labels);
        }
        self.last_success.remove(&schedule);
        self.next.remove(&schedule);
    }

    /// Removes the series of all objects.
    pub(super) fn clear(&self) {
        let known: HashSet<ScheduleLabels> = self.known.lock().keys().cloned().collect();
        for schedule in known {
            self.forget(&schedule.namespace, &schedule.name);
        }
    }
}

fn labels(namespace: &str, name: &str) -> ScheduleLabels {
    ScheduleLabels { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn all_slots(schedule: &ScheduleLabels) -> impl Iterator<Item = SlotLabels> + '_ {
    let missed = MissedReason::ALL.into_iter().map(Some);
    missed.chain([None]).map(|missed| SlotLabels::of(schedule, missed))
}

fn set_or_remove(family: &Family<ScheduleLabels, Seconds>, schedule: &ScheduleLabels, time: Option<&Time>) {
    match time {
        Some(time) => drop(family.get_or_create(schedule).set(seconds(time.0))),
        None => drop(family.remove(schedule)),
    }
}

/// Seconds since the epoch.
fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
