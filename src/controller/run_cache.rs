//! Runs as the cache keeps them.
//!
//! There can be many runs that ended long ago, so only the name of a run at rest is kept. An incomplete run can never be written back: only a
//! [`PipelineRun`] can be written, and a run at rest cannot be turned into one.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Resource,
    core::{NamespaceResourceScope, ObjectMeta},
};
use serde::{Deserialize, Deserializer};

use nuvo_core::{
    run::{Waiting, at_rest_as, expires, kept_metadata, waiting_since},
    schedule::ScheduledRun,
};
use nuvo_crds::{Phase, PipelineRun, PipelineRunSpec, PipelineRunStatus, well_known::SCHEDULE_LABEL};

/// A run with the label of a schedule.
#[derive(Debug, Clone)]
pub struct ScheduledAs {
    /// The name of the schedule.
    pub schedule: String,
    /// The run.
    pub run: ScheduledRun,
}

/// A run as the cache has it: its name, and the rest as JSON, which takes a third of the memory that it takes when it is parsed.
#[derive(Debug, Clone)]
pub struct CachedRun {
    /// The name, namespace, uid and resourceVersion.
    metadata: ObjectMeta,
    phase: Option<Phase>,
    /// What it waits for. Few runs at rest do: those that wait for a person.
    waiting: Option<Box<Waiting>>,
    /// When a run at rest is to be deleted.
    expires: Option<Timestamp>,
    /// What the schedule that made it needs to know of it.
    scheduled: Option<Box<ScheduledAs>>,
    /// The rest of the metadata, spec and status. None of a run that needs nothing more, except that it may be deleted later: see [`at_rest`].
    rest: Option<Box<[u8]>>,
}

impl CachedRun {
    /// Whether it needs nothing more, so that only its name is kept.
    #[must_use]
    pub const fn is_at_rest(&self) -> bool {
        self.rest.is_none()
    }

    /// The whole object, unless the run is at rest.
    #[must_use]
    pub fn whole(&self) -> Option<Arc<PipelineRun>> {
        let rest = serde_json::from_slice(self.rest.as_ref()?);
        // It was written by this process from the same types.
        let rest = rest.inspect_err(|error| tracing::error!(%error, "a cached run cannot be read"));
        let (metadata, spec, status): (ObjectMeta, PipelineRunSpec, Option<PipelineRunStatus>) = rest.ok()?;
        let ObjectMeta { name, namespace, uid, resource_version, .. } = self.metadata.clone();
        Some(Arc::new(PipelineRun { metadata: ObjectMeta { name, namespace, uid, resource_version, ..metadata }, spec, status }))
    }

    /// When a run at rest is to be deleted; none if it is not.
    #[must_use]
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Drops all but the name of a run that is at rest at this time, where the installed definition keeps a status as `fit` makes it.
    pub fn slim(&mut self, now: Timestamp, fit: impl FnOnce(PipelineRunStatus) -> PipelineRunStatus) {
        if let Some(run) = self.whole().filter(|run| at_rest_as(run, now, fit)) {
            (self.expires, self.rest) = (expires(&run), None);
        }
    }

    /// What a schedule needs to know of it; none if it has no label of one.
    #[must_use]
    pub fn scheduled(&self) -> Option<&ScheduledAs> {
        self.scheduled.as_deref()
    }

    /// What it waits for; see [`waiting_since`].
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        self.waiting.as_deref().copied()
    }

    /// `status.phase`.
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        self.phase
    }
}

impl TryFrom<PipelineRun> for CachedRun {
    type Error = serde_json::Error;

    fn try_from(mut run: PipelineRun) -> Result<Self, Self::Error> {
        let schedule = run.metadata.labels.as_ref().and_then(|labels| labels.get(SCHEDULE_LABEL)).cloned();
        let scheduled = schedule.and_then(|schedule| Some(Box::new(ScheduledAs { schedule, run: ScheduledRun::of(&run)? })));
        // A status can be written without the rest, because the API server ignores the metadata of a status write except for the managed
        // fields.
        run.metadata = kept_metadata(run.metadata);
        let waiting = waiting_since(&run).map(Box::new);
        let phase = run.status.as_ref().and_then(|status| status.phase);
        let ObjectMeta { name, namespace, uid, resource_version, .. } = &mut run.metadata;
        let [name, namespace, uid, resource_version] = [name, namespace, uid, resource_version].map(Option::take);
        let metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
        let rest = Some(serde_json::to_vec(&(run.metadata, run.spec, run.status))?.into_boxed_slice());
        Ok(Self { metadata, phase, waiting, expires: None, scheduled, rest })
    }
}

impl<'de> Deserialize<'de> for CachedRun {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PipelineRun::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl Resource for CachedRun {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(known: &()) -> Cow<'_, str> {
        PipelineRun::kind(known)
    }

    fn group(known: &()) -> Cow<'_, str> {
        PipelineRun::group(known)
    }

    fn version(known: &()) -> Cow<'_, str> {
        PipelineRun::version(known)
    }

    fn plural(known: &()) -> Cow<'_, str> {
        PipelineRun::plural(known)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry, jiff::Timestamp};
    use serde_json::json;

    use super::*;

    /// The annotation in which `kubectl apply` keeps the whole object once more.
    const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    use nuvo_core::run::{Knowledge, StatusInput, compute_status, parse};

    /// A run that ended like this, with a status as large as most.
    pub fn ended(reason: &str, succeeded: &str) -> PipelineRun {
        let execution = json!({
            "id": "e0e7a7b6-5b1c-4f57-9a8e-2f1b7f0c1a55", "status": "SUCCESSFUL", "triggerType": "MANUAL", "configuration": "c1",
            "createdAt": "2026-01-01T00:00:01Z", "updatedAt": "2026-01-01T00:00:02Z",
            "stats": { "totalRows": 12, "totalCells": 120, "totalErrorCells": 0, "totalErrorRows": 0, "durationMilliseconds": 1200 },
            "runs": [{ "type": "INITIAL", "status": "SUCCESSFUL", "startTime": "2026-01-01T00:00:01Z", "durationMilliseconds": 1200 }],
        });
        let mut run: PipelineRun = serde_json::from_value(json!({
            "apiVersion": "nuvo.dev/v1alpha1", "kind": "PipelineRun",
            "metadata": {
                "name": "orders-2026-01-01", "namespace": "data-team", "uid": "5b8f3f4e-9a1e-4f57-8a50-000000000001",
                "resourceVersion": "123456", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {
                    LAST_APPLIED: json!({ "kind": "PipelineRun", "spec": { "pipelineId": "orders" } }).to_string(),
                    "nuvo.dev/trigger": json!({
                        "uid": "5b8f3f4e-9a1e-4f57-8a50-000000000001", "namespace": "data-team", "name": "orders-2026-01-01",
                        "nonce": "n1", "tenure": "n1", "attempt": 1,
                    }).to_string(),
                },
            },
            "spec": { "pipelineId": "orders" },
            "status": {
                "attempt": 1, "completionTime": "2026-01-01T00:00:03Z", "startTime": "2026-01-01T00:00:01Z", "duration": "2s",
                "trigger": {
                    "nonce": "n1", "attempt": 1, "state": "Accepted", "evidence": "Answer", "time": "2026-01-01T00:00:01Z",
                    "uid": "5b8f3f4e-9a1e-4f57-8a50-000000000001",
                },
                "executionIds": [execution["id"]], "executionCount": 1, "stats": execution["stats"], "executions": [execution],
                "conditions": [{
                    "type": "Succeeded", "status": succeeded, "reason": reason, "message": "So it ended.",
                    "lastTransitionTime": "2026-01-01T00:00:03Z",
                }],
            },
        }))
        .unwrap();
        let known = parse(&run).unwrap();
        run.status = Some(compute_status(
            &run,
            &known,
            &StatusInput::Because(nuvo_crds::conditions::Reason::Pending, String::new()),
            &Knowledge::new(),
            Timestamp::UNIX_EPOCH,
        ));
        run
    }

    /// A run as the cache has it after it was read from the API server.
    pub fn cached(run: &PipelineRun) -> CachedRun {
        let mut cached: CachedRun = serde_json::from_value(serde_json::to_value(run).unwrap()).unwrap();
        cached.slim(Timestamp::now(), |status| status);
        cached
    }

    #[test]
    fn run_at_rest_is_kept_as_its_name() {
        for (reason, succeeded) in
            [("Succeeded", "True"), ("ExecutionFailed", "False"), ("DeadlineExceeded", "False"), ("NothingToProcess", "True")]
        {
            let whole = ended(reason, succeeded);
            let stub = cached(&whole);
            assert!(stub.is_at_rest(), "{reason}: kept whole");
            let phase = if succeeded == "True" { Phase::Succeeded } else { Phase::Failed };
            assert_eq!((stub.phase, &stub.metadata.uid), (Some(phase), &whole.metadata.uid));
            let ObjectMeta { name, namespace, uid, resource_version, .. } = whole.metadata;
            assert_eq!(stub.metadata, ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() });
        }
    }

    type Edit = fn(&mut PipelineRun);

    #[test]
    fn run_that_may_go_on_is_kept_whole() {
        let changes: [(&str, Edit); 6] = [
            ("an edit", |run| run.metadata.generation = Some(2)),
            ("a new token", |run| run.spec.rerun_token = Some("again".into())),
            ("it has not ended", |run| run.status.as_mut().unwrap().current.completion_time = None),
            ("no status", |run| run.status = None),
            ("a wiped result", |run| run.status.as_mut().unwrap().trigger = None),
            ("no run", |run| run.spec.pipeline_id = "not a pipeline".into()),
        ];
        for (what, change) in changes {
            let mut run = ended("Succeeded", "True");
            change(&mut run);
            let cached = cached(&run);
            run.metadata.annotations.as_mut().unwrap().remove(LAST_APPLIED);
            assert_eq!(cached.whole().as_deref(), Some(&run), "{what}");
        }
    }

    #[test]
    fn unused_metadata_is_not_kept() {
        let mut run = ended("Succeeded", "True");
        run.metadata.generation = Some(2);
        run.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
        let cached = cached(&run);
        let metadata = cached.whole().unwrap().metadata.clone();
        assert_eq!(metadata.managed_fields, None);
        assert_eq!(metadata.annotations.as_ref().unwrap().keys().collect::<Vec<_>>(), ["nuvo.dev/trigger"]);
    }

    #[test]
    fn run_at_rest_is_small() {
        let whole = ended("Succeeded", "True");
        let stub = cached(&whole);
        assert!(stub.is_at_rest());
        let ObjectMeta { name, namespace, uid, resource_version, .. } = &stub.metadata;
        let text: usize = [name, namespace, uid, resource_version].into_iter().flatten().map(String::capacity).sum();
        let stub = size_of::<CachedRun>() + text;
        println!(
            "a run at rest: {stub} bytes, of which {text} are text; as JSON the run has {}",
            serde_json::to_vec(&whole).unwrap().len()
        );
        assert!(stub < 600, "{stub}");
    }
}
