//! The metrics of observed pipelines. Each object has series of its own, which go with it.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::AtomicU64,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::ResourceExt;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    description::{
        ERROR_TYPES, PIPELINE_CELLS, PIPELINE_ERROR_CELLS, PIPELINE_ERROR_ROWS, PIPELINE_EXECUTIONS, PIPELINE_FIXES, PIPELINE_FRESH,
        PIPELINE_INFO, PIPELINE_LAST_DURATION, PIPELINE_LAST_ERROR_ROWS, PIPELINE_LAST_EXECUTION, PIPELINE_LAST_EXECUTION_SUCCESS,
        PIPELINE_LAST_ROWS, PIPELINE_LAST_SUCCESS, PIPELINE_LATE, PIPELINE_OBSERVED, PIPELINE_ROWS, PIPELINE_RUNNING, PIPELINE_UNREAD,
        register,
    },
    labels::OTHER,
};
use nuvo_core::pipeline::{Counts, Observed};
use nuvo_crds::{
    NuvoPipeline, NuvoPipelineStatus, SeenExecution,
    conditions::{self, FRESH, LAST_EXECUTION_SUCCEEDED},
};

/// What started an execution, as far as it is counted under its own name.
const TRIGGERS: [&str; 3] = ["MANUAL", "SCHEDULED", "EVENT"];

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PipelineLabels {
    namespace: String,
    name: String,
    pipeline_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InfoLabels {
    namespace: String,
    name: String,
    pipeline_id: String,
    account: String,
    active: String,
    developer_mode: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExecutionLabels {
    namespace: String,
    name: String,
    pipeline_id: String,
    trigger: &'static str,
    result: &'static str,
    error_type: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The series of an object, so that they can be removed.
#[derive(Debug, Default)]
struct Series {
    info: Option<InfoLabels>,
    pipeline: Option<PipelineLabels>,
    executions: HashSet<ExecutionLabels>,
}

/// The metrics of observed pipelines.
#[derive(Default)]
pub(super) struct PipelineMetrics {
    series: Mutex<HashMap<(String, String), Series>>,
    info: Family<InfoLabels, Gauge>,
    fresh: Family<PipelineLabels, Gauge>,
    last_success: Family<PipelineLabels, Seconds>,
    last_execution: Family<PipelineLabels, Seconds>,
    last_execution_success: Family<PipelineLabels, Gauge>,
    executions: Family<ExecutionLabels, Counter>,
    fixes: Family<PipelineLabels, Counter>,
    late: Family<PipelineLabels, Counter>,
    unread: Family<PipelineLabels, Counter>,
    rows: Family<PipelineLabels, Counter>,
    error_rows: Family<PipelineLabels, Counter>,
    cells: Family<PipelineLabels, Counter>,
    error_cells: Family<PipelineLabels, Counter>,
    last_rows: Family<PipelineLabels, Gauge>,
    last_error_rows: Family<PipelineLabels, Gauge>,
    last_duration: Family<PipelineLabels, Seconds>,
    running: Family<PipelineLabels, Gauge>,
    observed: Family<PipelineLabels, Seconds>,
}

impl PipelineMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        register(registry, PIPELINE_INFO, &self.info);
        register(registry, PIPELINE_FRESH, &self.fresh);
        register(registry, PIPELINE_LAST_SUCCESS, &self.last_success);
        register(registry, PIPELINE_LAST_EXECUTION, &self.last_execution);
        register(registry, PIPELINE_LAST_EXECUTION_SUCCESS, &self.last_execution_success);
        register(registry, PIPELINE_EXECUTIONS, &self.executions);
        register(registry, PIPELINE_FIXES, &self.fixes);
        register(registry, PIPELINE_LATE, &self.late);
        register(registry, PIPELINE_UNREAD, &self.unread);
        register(registry, PIPELINE_ROWS, &self.rows);
        register(registry, PIPELINE_ERROR_ROWS, &self.error_rows);
        register(registry, PIPELINE_CELLS, &self.cells);
        register(registry, PIPELINE_ERROR_CELLS, &self.error_cells);
        register(registry, PIPELINE_LAST_ROWS, &self.last_rows);
        register(registry, PIPELINE_LAST_ERROR_ROWS, &self.last_error_rows);
        register(registry, PIPELINE_LAST_DURATION, &self.last_duration);
        register(registry, PIPELINE_RUNNING, &self.running);
        register(registry, PIPELINE_OBSERVED, &self.observed);
    }

    /// Shows what is known of an object, and adds what was counted.
    pub(super) fn set(&self, object: &NuvoPipeline, status: &NuvoPipelineStatus, observed: &Observed, counts: &Counts) {
        let pipeline = PipelineLabels {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            pipeline_id: object.spec.pipeline_id.clone(),
        };
        let key = (pipeline.namespace.clone(), pipeline.name.clone());
        // An object of the same name for another pipeline may have come before the end of this one was seen.
        if self.series.lock().get(&key).is_some_and(|series| series.pipeline.as_ref().is_some_and(|before| *before != pipeline)) {
            self.forget(&pipeline.namespace, &pipeline.name);
        }
        let mut all = self.series.lock();
        let series = all.entry(key).or_default();
        // Nothing is exposed of an object that was not observed yet.
        if observed.report.is_none() && series.pipeline.is_none() {
            return;
        }
        let PipelineLabels { namespace, name, pipeline_id } = pipeline.clone();
        let word = |flag: Option<bool>| flag.map_or("unknown", |flag| if flag { "true" } else { "false" }).to_owned();
        let info = InfoLabels {
            namespace,
            name,
            pipeline_id,
            account: object.spec.account_ref.name.clone(),
            active: word(status.about.active_in_nuvo),
            developer_mode: word(status.about.developer_mode),
        };
        if let Some(before) = series.info.replace(info.clone()).filter(|before| *before != info) {
            self.info.remove(&before);
        }
        self.info.get_or_create(&info).set(1);
        series.pipeline = Some(pipeline.clone());
        self.set_conditions(&pipeline, status);
        self.set_results(&pipeline, status);
        match observed.complete {
            Some(complete) => drop(self.observed.get_or_create(&pipeline).set(seconds(complete))),
            None => drop(self.observed.get_or_create(&pipeline)),
        }
        self.count(&pipeline, series, counts);
    }

    fn set_conditions(&self, pipeline: &PipelineLabels, status: &NuvoPipelineStatus) {
        let holds = |type_| match conditions::find(&status.conditions, type_).map(|condition| condition.status.as_str()) {
            Some("True") => Some(1),
            Some("False") => Some(0),
            _ => None,
        };
        set_or_remove(&self.fresh, pipeline, holds(FRESH));
        set_or_remove(&self.last_execution_success, pipeline, holds(LAST_EXECUTION_SUCCEEDED));
    }

    fn set_results(&self, pipeline: &PipelineLabels, status: &NuvoPipelineStatus) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.running.get_or_create(pipeline).set(number(status.running.len()));
        let time = |execution: &Option<SeenExecution>, of: fn(&SeenExecution) -> Option<&Time>| {
            execution.as_ref().and_then(of).map(|time| seconds(time.0))
        };
        if let Some(ended) = time(&status.last_success, |execution| execution.ended_at.as_ref()) {
            self.last_success.get_or_create(pipeline).set(ended);
        }
        if let Some(created) = time(&status.last_execution, |execution| execution.created_at.as_ref()) {
            self.last_execution.get_or_create(pipeline).set(created);
        }
        let stats = status.last_success.as_ref().and_then(|success| success.stats);
        set_or_remove(&self.last_rows, pipeline, stats.and_then(|stats| stats.total_rows));
        set_or_remove(&self.last_error_rows, pipeline, stats.and_then(|stats| stats.total_error_rows));
        match stats.and_then(|stats| u32::try_from(stats.duration_milliseconds?).ok()) {
            Some(milliseconds) => drop(self.last_duration.get_or_create(pipeline).set(f64::from(milliseconds) / 1_000.0)),
            None => drop(self.last_duration.remove(pipeline)),
        }
    }

    fn count(&self, pipeline: &PipelineLabels, series: &mut Series, counts: &Counts) {
        let singles = [
            (&self.fixes, counts.fixes),
            (&self.late, counts.late),
            (&self.unread, counts.unread),
            (&self.rows, counts.rows),
            (&self.error_rows, counts.error_rows),
            (&self.cells, counts.cells),
            (&self.error_cells, counts.error_cells),
        ];
        for (family, count) in singles {
            family.get_or_create(pipeline).inc_by(count);
        }
        let labels = |trigger: &str, result, error_type: &str| ExecutionLabels {
            namespace: pipeline.namespace.clone(),
            name: pipeline.name.clone(),
            pipeline_id: pipeline.pipeline_id.clone(),
            trigger: TRIGGERS.into_iter().find(|known| *known == trigger).unwrap_or(OTHER),
            result,
            error_type: ERROR_TYPES.into_iter().find(|known| *known == error_type).unwrap_or(OTHER),
        };
        // A rate over a counter that appears with its first event misses that event.
        if series.executions.is_empty() {
            for trigger in TRIGGERS {
                for result in ["success", "failure"] {
                    let labels = labels(trigger, result, "");
                    drop(self.executions.get_or_create(&labels));
                    series.executions.insert(labels);
                }
            }
        }
        for (execution, count) in &counts.executions {
            let labels = labels(&execution.trigger_type, execution.result, &execution.error_type);
            self.executions.get_or_create(&labels).inc_by(*count);
            series.executions.insert(labels);
        }
    }

    /// Removes the series of an object.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let Some(series) = self.series.lock().remove(&(namespace.to_owned(), name.to_owned())) else { return };
        if let Some(info) = &series.info {
            self.info.remove(info);
        }
        for labels in &series.executions {
            self.executions.remove(labels);
        }
        let Some(pipeline) = &series.pipeline else { return };
        for family in [&self.fresh, &self.last_execution_success, &self.last_rows, &self.last_error_rows, &self.running] {
            family.remove(pipeline);
        }
        for family in [&self.last_success, &self.last_execution, &self.last_duration, &self.observed] {
            family.remove(pipeline);
        }
        for family in [&self.fixes, &self.late, &self.unread, &self.rows, &self.error_rows, &self.cells, &self.error_cells] {
            family.remove(pipeline);
        }
    }

    /// Removes the series of all objects.
    pub(super) fn clear(&self) {
        let known: Vec<(String, String)> = self.series.lock().keys().cloned().collect();
        for (namespace, name) in known {
            self.forget(&namespace, &name);
        }
    }
}

fn set_or_remove(family: &Family<PipelineLabels, Gauge>, pipeline: &PipelineLabels, value: Option<i64>) {
    match value {
        Some(value) => drop(family.get_or_create(pipeline).set(value)),
        None => drop(family.remove(pipeline)),
    }
}

/// Seconds since the epoch.
fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
