//! Schedules and what they make: quorum reads, and writes by compare-and-swap.

use std::sync::Arc;

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};

use super::api_call::{CallError, call};
use crate::telemetry::Metrics;
use nuvo_core::schedule::ScheduledRun;
use nuvo_crds::{
    PipelineRun, PipelineSchedule, PipelineScheduleStatus,
    well_known::{FIELD_MANAGER, SCHEDULE_LABEL},
};

/// The page size of lists of runs: a page is in memory as a whole.
const PAGE: u32 = 50;

/// One schedule in the API server, and its runs.
pub struct ScheduleStore<'a> {
    metrics: &'a Arc<Metrics>,
    name: String,
    schedules: Api<PipelineSchedule>,
    runs: Api<PipelineRun>,
}

fn request() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

impl<'a> ScheduleStore<'a> {
    /// That of this name.
    #[must_use]
    pub fn new(client: &Client, metrics: &'a Arc<Metrics>, namespace: &str, name: &str) -> Self {
        Self {
            metrics,
            name: name.to_owned(),
            schedules: Api::namespaced(client.clone(), namespace),
            runs: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Quorum GET of the schedule.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn read(&self) -> Result<Option<PipelineSchedule>, CallError> {
        call("read the PipelineSchedule", self.schedules.get_opt(&self.name)).await
    }

    /// Quorum LIST of the runs with the label of the schedule.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn runs(&self) -> Result<Vec<ScheduledRun>, CallError> {
        let mut wanted = ListParams::default().labels(&format!("{SCHEDULE_LABEL}={}", self.name)).limit(PAGE);
        let mut runs = Vec::new();
        loop {
            let page = call("list the PipelineRuns of the schedule", self.runs.list(&wanted)).await?;
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            runs.extend(page.iter().filter_map(ScheduledRun::of));
            // All pages show the state at the time of the first one.
            match next {
                Some(token) => wanted = wanted.continue_token(&token),
                None => return Ok(runs),
            }
        }
    }

    /// Quorum GET of a run.
    ///
    /// # Errors
    /// [`CallError`]: nothing may be concluded from it.
    pub async fn run(&self, name: &str) -> Result<Option<ScheduledRun>, CallError> {
        Ok(call("read the PipelineRun of the slot", self.runs.get_opt(name)).await?.as_ref().and_then(ScheduledRun::of))
    }

    /// Writes the status over exactly this version of the object.
    ///
    /// # Errors
    /// [`CallError`], a conflict among them: unless the API server refused, it may have been written.
    pub async fn write_status(&self, object: &PipelineSchedule, status: PipelineScheduleStatus) -> Result<PipelineSchedule, CallError> {
        let mut written = object.clone();
        written.metadata.managed_fields = None;
        written.status = Some(status);
        self.metrics.kube_write("pipelineschedules/status");
        call("write the status of the PipelineSchedule", self.schedules.replace_status(&object.name_any(), &request(), &written)).await
    }

    /// S2.
    ///
    /// # Errors
    /// [`CallError`]: unless the API server refused, it may have been created.
    pub async fn create(&self, run: &PipelineRun) -> Result<PipelineRun, CallError> {
        self.metrics.kube_write("pipelineruns");
        call("create the PipelineRun of the slot", self.runs.create(&request(), run)).await
    }

    /// Deletes exactly this version of this run.
    ///
    /// # Errors
    /// [`CallError`]: it may have been deleted, unless the API server refused.
    pub async fn delete(&self, name: &str, uid: &str, version: &str) -> Result<(), CallError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: Some(version.to_owned()) };
        self.metrics.kube_write("pipelineruns");
        let request = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        call("delete the PipelineRun", self.runs.delete(name, &request)).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn list_of_the_runs_has_those_of_all_pages() {
        let server = tower::service_fn(|request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let (name, more) = if query.contains("continue=more") { ("second", "") } else { ("first", "more") };
            let metadata = json!({ "name": name, "uid": name, "resourceVersion": "1", "creationTimestamp": "2026-11-28T00:00:00Z" });
            let list = json!({
                "metadata": { "continue": more },
                "items": [{ "metadata": metadata, "spec": { "pipelineId": "orders" } }],
            });
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::from(list.to_string().into_bytes()))))
        });
        let (client, metrics) = (Client::new(server, "team"), Metrics::new());
        let store = ScheduleStore::new(&client, &metrics, "team", "nightly");
        let names: Vec<String> = store.runs().await.unwrap().into_iter().map(|run| run.name).collect();
        assert_eq!(names, ["first", "second"]);
    }
}
