//! What a plan leaves behind: the recorded requests, the executions and the objects.

use std::collections::BTreeMap;
use std::time::Duration;

use controlplane::proxy::Exchange;
use nuvo_crds::PipelineRun;
use nuvo_crds::well_known::TRIGGER_ANNOTATION;
use nuvo_sim::{Operation as SimOperation, Sim};
use serde::Deserialize;
use serde_json::Value;

use super::numbered_request::NumberedRequest;

/// One attempt of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Attempt {
    /// `metadata.uid` of the run.
    pub uid: String,
    /// From 1.
    pub attempt: i32,
}

/// A POST that an operator has sent.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its X-Request-Id.
    pub nonce: String,
    /// The status that the operator received, if any.
    pub answer: Option<u16>,
}

impl Delivery {
    /// Whether the answer proves that the POST was not carried out (docs/protocol.md, section 5).
    pub fn is_refused(&self) -> bool {
        matches!(self.answer, Some(300..=399 | 400 | 401 | 403 | 404 | 405 | 413 | 415 | 422 | 429))
    }
}

/// What a plan leaves behind.
#[derive(Default)]
pub struct Evidence {
    /// Whether the fault was injected.
    pub injected: bool,
    /// Whether the workload's incident has happened; true if it has none.
    pub incident_over: bool,
    /// The runs that are left.
    pub runs: Vec<PipelineRun>,
    /// Those of a tenant who attacks them, as far as the operator alone wrote their status.
    pub tenant_runs: Vec<PipelineRun>,
    /// The POSTs, as they were sent.
    pub deliveries: Vec<Delivery>,
    /// The attempt that an operator's marker announced, by the nonce of the POST.
    pub markers: BTreeMap<String, Attempt>,
    /// The executions at the simulator, with the POST that made each.
    pub executions: BTreeMap<String, Option<String>>,
    /// How many POSTs with this nonce the simulator has carried out.
    pub carried_out: BTreeMap<String, usize>,
    /// Every request, in order.
    pub sequence: Vec<NumberedRequest>,
    /// What went wrong with the plan itself: a run that has not ended, an operator that exited or never became idle.
    pub complaints: Vec<String>,
    /// The logs of the operators.
    pub logs: String,
    /// How long it took.
    pub took: Duration,
}

impl Evidence {
    /// The writes to the API server, events not counted.
    pub fn writes(&self) -> usize {
        self.sequence.iter().filter(|operation| operation.kind.is_write()).count()
    }
}

/// The attempts that the markers in these requests announce, by their nonces.
pub fn markers<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> BTreeMap<String, Attempt> {
    #[derive(Deserialize)]
    struct Marker {
        nonce: String,
        #[serde(flatten)]
        attempt: Attempt,
    }
    let patches = exchanges.into_iter().filter(|exchange| exchange.request.method == "PATCH");
    patches
        .filter_map(|exchange| {
            let body: Value = serde_json::from_slice(&exchange.request.body).ok()?;
            let text = body.get("metadata")?.get("annotations")?.get(TRIGGER_ANNOTATION)?.as_str()?;
            let Marker { nonce, attempt } = serde_json::from_str(text).ok()?;
            Some((nonce, attempt))
        })
        .collect()
}

/// The POSTs among these requests to the simulator.
pub fn deliveries<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Vec<Delivery> {
    let posts = exchanges.into_iter().filter(|exchange| exchange.request.method == "POST" && exchange.request.path.ends_with('/'));
    posts
        .map(|exchange| Delivery { nonce: exchange.request.request_id.clone().unwrap_or_default(), answer: exchange.client_status })
        .collect()
}

/// The executions with their POSTs, and how often each POST was carried out.
pub fn executions(sim: &Sim) -> (BTreeMap<String, Option<String>>, BTreeMap<String, usize>) {
    let posts: BTreeMap<u64, String> = sim
        .journal()
        .into_iter()
        .filter(|request| request.operation == SimOperation::Create && request.executed)
        .filter_map(|request| Some((request.number, request.header("x-request-id")?.to_owned())))
        .collect();
    let mut carried_out = BTreeMap::new();
    for nonce in posts.values() {
        let count: &mut usize = carried_out.entry(nonce.clone()).or_default();
        *count = count.saturating_add(1);
    }
    let made = sim.executions().into_iter();
    (made.map(|execution| (execution.id, execution.request.and_then(|number| posts.get(&number).cloned()))).collect(), carried_out)
}
