//! The administrative paths under `/_sim/`, which a person or a script uses to control a running simulator.
//!
//! Bodies are JSON or YAML. These paths need no token, and the journal does not record them.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::Response,
    routing::{delete, get, patch, post, put},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    error::SimError,
    execution::{Change, Seed},
    execution_api::json_response,
    fault::{Fault, FaultId},
    identity::Identity,
    pipeline::Pipeline,
    server_state::SharedState,
    starts::{Trigger, owner},
};

type Server = State<Arc<SharedState>>;

pub(crate) fn routes() -> Router<Arc<SharedState>> {
    Router::new()
        .route("/_sim/healthz", get(async || json_response(200, &json!({"status": "ok"}))))
        .route("/_sim/pipelines", get(pipelines))
        .route("/_sim/pipelines/{id}", put(put_pipeline).delete(delete_pipeline))
        .route("/_sim/pipelines/{id}/start", post(start_pipeline))
        .route("/_sim/journal", get(journal).delete(clear_journal))
        .route("/_sim/counts", get(counts))
        .route("/_sim/executions", get(executions).post(seed))
        .route("/_sim/executions/{id}", patch(change).delete(delete_execution))
        .route("/_sim/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_sim/faults/{id}", delete(delete_fault))
        .route("/_sim/faults/{id}/release", post(release_fault))
        .route("/_sim/tokens/revoke", post(revoke_tokens))
        .route("/_sim/{*rest}", axum::routing::any(async || bad(404, "no such administrative path; see nuvo-sim --help")))
}

fn bad(status: u16, problem: impl ToString) -> Response<Body> {
    json_response(status, &json!({"error": {"message": problem.to_string()}}))
}

fn done() -> Response<Body> {
    json_response(200, &json!({}))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    // Through a JSON value: the YAML reader expects tags where JSON has an object with one key.
    let value: Value = serde_yaml::from_slice(body).map_err(|problem| problem.to_string())?;
    serde_json::from_value(value).map_err(|problem| problem.to_string())
}

fn result(result: Result<Response<Body>, SimError>) -> Response<Body> {
    result.unwrap_or_else(|error| {
        let status = match &error {
            SimError::NoSuchExecution(_) | SimError::NoSuchPipeline(_) => 404,
            SimError::DuplicateExecution(_) => 409,
            _ => 400,
        };
        bad(status, error)
    })
}

async fn pipelines(State(shared): Server) -> Response<Body> {
    let state = shared.lock();
    json_response(200, &json!({"pipelines": state.pipelines.values().collect::<Vec<_>>()}))
}

async fn put_pipeline(State(shared): Server, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    let mut fields: serde_json::Map<String, Value> = match read(&body) {
        Ok(fields) => fields,
        Err(problem) => return bad(400, problem),
    };
    // The path has the id; a body with another one is a mistake.
    let named = fields.entry("id").or_insert_with(|| json!(id));
    if *named != json!(id) {
        return bad(400, format!("the id in the body, {named}, is not the one in the path"));
    }
    match serde_json::from_value::<Pipeline>(Value::Object(fields)) {
        Ok(pipeline) => {
            let shown = json!(pipeline);
            result(shared.lock().set_pipeline(pipeline).map(|()| json_response(200, &shown)))
        }
        Err(problem) => bad(400, problem),
    }
}

async fn delete_pipeline(State(shared): Server, Path(id): Path<String>) -> Response<Body> {
    let removed = shared.lock().pipelines.remove(&id);
    result(removed.map(|_| done()).ok_or(SimError::NoSuchPipeline(id)))
}

/// Who and what starts a pipeline without a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByItself {
    #[serde(default = "event")]
    trigger: Trigger,
    #[serde(default = "owner")]
    creator: Identity,
}

const fn event() -> Trigger {
    Trigger::Event
}

async fn start_pipeline(State(shared): Server, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    match read::<ByItself>(&body) {
        Ok(ByItself { trigger, creator }) => {
            result(shared.lock().start_by_itself(&id, trigger, creator).map(|ids| json_response(201, &json!({"ids": ids}))))
        }
        Err(problem) => bad(400, problem),
    }
}

async fn journal(State(shared): Server) -> Response<Body> {
    let requests = shared.lock().journal.all();
    json_response(200, &json!({"requests": requests}))
}

async fn clear_journal(State(shared): Server) -> Response<Body> {
    shared.lock().journal.clear();
    done()
}

async fn counts(State(shared): Server) -> Response<Body> {
    let counts = shared.lock().counts.clone();
    let shown: serde_json::Map<_, _> =
        counts.into_iter().map(|(id, counts)| (id, json!({"posts": counts.arrived, "executed": counts.executed}))).collect();
    json_response(200, &json!({"pipelines": shown}))
}

async fn executions(State(shared): Server) -> Response<Body> {
    let executions = shared.lock().snapshots();
    json_response(200, &json!({"executions": executions}))
}

async fn seed(State(shared): Server, body: Bytes) -> Response<Body> {
    match read::<Seed>(&body) {
        Ok(seed) => result(shared.lock().seed(seed).map(|id| json_response(201, &json!({"id": id})))),
        Err(problem) => bad(400, problem),
    }
}

async fn change(State(shared): Server, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    match read::<Change>(&body) {
        Ok(change) => result(shared.lock().change(&id, change).map(|execution| json_response(200, &json!(execution)))),
        Err(problem) => bad(400, problem),
    }
}

async fn delete_execution(State(shared): Server, Path(id): Path<String>) -> Response<Body> {
    result(shared.lock().remove_execution(&id).map(|()| done()))
}

async fn faults(State(shared): Server) -> Response<Body> {
    let faults = shared.lock().faults.report();
    json_response(200, &json!({"faults": faults}))
}

async fn add_fault(State(shared): Server, body: Bytes) -> Response<Body> {
    let fault = match read::<Fault>(&body) {
        Ok(fault) => fault,
        Err(problem) => return bad(400, problem),
    };
    match fault.problem() {
        Some(problem) => bad(400, problem),
        None => json_response(201, &json!({"id": shared.lock().faults.add(fault)})),
    }
}

async fn clear_faults(State(shared): Server) -> Response<Body> {
    shared.lock().faults.clear();
    done()
}

async fn delete_fault(State(shared): Server, Path(id): Path<u64>) -> Response<Body> {
    if shared.lock().faults.remove(FaultId(id)) { done() } else { bad(404, "no such fault") }
}

async fn release_fault(State(shared): Server, Path(id): Path<u64>) -> Response<Body> {
    if shared.lock().faults.release(FaultId(id)) { done() } else { bad(404, "no such fault") }
}

async fn revoke_tokens(State(shared): Server) -> Response<Body> {
    shared.lock().revoke_tokens();
    done()
}
