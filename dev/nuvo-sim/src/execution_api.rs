//! The Execution API: from a request to its answer, past the faults.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Query,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts},
};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    config::Permission,
    execution_list::ListQuery,
    fault::{Effect, MatchedFault, Operation},
    identity::Identity,
    pipeline::{Pipeline, Spelling},
    request_journal::{RECORDED_HEADERS, RecordedRequest, RecordedResponse},
    server_state::{ServerState, SharedState, TokenGrant},
};

/// The largest body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// Put into a response's extensions: close the connection instead of sending it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CloseConnection;

/// What a request asks for.
enum Route {
    Trade,
    Revoke,
    Create,
    Read(String),
    List,
    Pipeline(String),
    Unknown,
}

impl Route {
    fn of(method: &Method, path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').collect();
        // Collections end with a slash, single objects do not.
        match (method.as_str(), segments.as_slice()) {
            ("POST", ["", "auth", "access-token"] | ["", "access", "token"]) => Self::Trade,
            ("DELETE", ["", "auth", "access-token"] | ["", "access", "token"]) => Self::Revoke,
            ("POST", ["", "execution", ""]) => Self::Create,
            ("GET", ["", "execution", ""]) => Self::List,
            ("GET", ["", "execution", id]) => Self::Read(decoded(id)),
            ("GET", ["", "pipeline", id]) if !id.is_empty() => Self::Pipeline(decoded(id)),
            _ => Self::Unknown,
        }
    }

    fn operation(&self) -> Operation {
        match self {
            Self::Trade => Operation::Token,
            Self::Create => Operation::Create,
            Self::Read(_) => Operation::Read,
            Self::List => Operation::List,
            Self::Pipeline(_) => Operation::Pipeline,
            Self::Revoke | Self::Unknown => Operation::Other,
        }
    }
}

fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// A request to the API, parsed.
struct ApiCall {
    route: Route,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    /// Null when there is none, or none that is JSON.
    body: Value,
    /// Its number in the journal.
    number: u64,
}

/// Why a request is not carried out.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

fn refusal(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into() }
}

impl From<Refusal> for Response<Body> {
    fn from(Refusal { status, code, message }: Refusal) -> Self {
        json_response(status, &json!({"error": {"code": code, "message": message}}))
    }
}

/// Answers a request to the API. The future goes on to its end even if the caller hangs up: a real server would, too.
pub(crate) async fn handle(shared: Arc<SharedState>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // A body that did not arrive whole is no request.
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return close_connection() };
    let (call, matched) = record_request(&shared, parts, &body);
    let number = call.number;
    let response = match matched {
        None => carry_out(&shared, call).await,
        Some(matched) => apply_fault(&shared, call, matched).await,
    };
    let answer = if response.extensions().get::<CloseConnection>().is_some() {
        RecordedResponse::Dropped
    } else {
        RecordedResponse::Status(response.status().as_u16())
    };
    let mut state = shared.lock();
    let now = state.clock.now();
    state.journal.change(number, |entry| (entry.answer, entry.answered_ms) = (answer, Some(now)));
    drop(state);
    response
}

/// Enters a request into the journal and looks for a fault that matches it.
fn record_request(shared: &SharedState, parts: Parts, body: &Bytes) -> (ApiCall, Option<MatchedFault>) {
    let Parts { method, uri, headers, .. } = parts;
    let route = uri.path().strip_prefix(&shared.base_path).map_or(Route::Unknown, |path| Route::of(&method, path));
    let query = Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|Query(pairs)| pairs).unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut state = shared.lock();
    let pipeline = match &route {
        Route::Create => body.get("pipeline_id").and_then(Value::as_str).map(str::to_owned),
        Route::Read(id) => state.find(id).map(|execution| execution.pipeline.clone()),
        Route::List => ListQuery::parse(&query).ok().and_then(|query| query.pipeline().map(str::to_owned)),
        Route::Pipeline(id) => Some(id.clone()),
        Route::Trade | Route::Revoke | Route::Unknown => None,
    };
    let operation = route.operation();
    if operation == Operation::Create {
        let counts = state.counts.entry(pipeline.clone().unwrap_or_default()).or_default();
        counts.arrived = counts.arrived.saturating_add(1);
    }
    let matched = state.faults.match_request(operation, pipeline.as_deref());
    let now = state.clock.now();
    let kept = RECORDED_HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned())));
    let mut shown = body.clone();
    if let Some(key) = shown.get_mut("license_key") {
        *key = json!("***");
    }
    let entry = RecordedRequest {
        number: 0,
        at: state.clock.zoned(now),
        at_ms: now,
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: query.clone(),
        operation,
        pipeline,
        headers: kept.collect::<BTreeMap<_, _>>(),
        identity: bearer(&headers).and_then(|token| state.grant(token)).map(|grant| grant.identity.clone()),
        body: shown,
        fault: matched.as_ref().map(|matched| matched.id),
        executed: false,
        answer: RecordedResponse::Pending,
        answered_ms: None,
    };
    let limit = state.config.journal_limit;
    let number = state.journal.add(entry, limit);
    (ApiCall { route, query, headers, body, number }, matched)
}

/// Answers a request the way the matched fault says.
async fn apply_fault(shared: &SharedState, call: ApiCall, MatchedFault { id, effect, mut released }: MatchedFault) -> Response<Body> {
    // Counted last, so that a test that waits for it finds the request's effect.
    let reached = |response| {
        shared.reach(id);
        response
    };
    match effect {
        Effect::Status { code, headers, body, executed } => {
            let replacement = status_response(code, &headers, &body);
            if executed {
                carry_out(shared, call).await;
            }
            reached(replacement)
        }
        Effect::Raw { body, content_type, status, executed } => {
            if executed {
                carry_out(shared, call).await;
            }
            reached(response(status, &[("content-type", &content_type)], Body::from(body)))
        }
        Effect::Redirect { location, status } => reached(response(status, &[("location", &location)], Body::empty())),
        Effect::Drop { executed } => {
            if executed {
                carry_out(shared, call).await;
            }
            reached(close_connection())
        }
        Effect::Cut => {
            let whole = carry_out(shared, call).await;
            reached(cut_body(whole).await)
        }
        Effect::Delay(delays) => {
            shared.reach(id);
            sleep(delays.execute.0).await;
            let response = carry_out(shared, call).await;
            sleep(delays.answer.0).await;
            response
        }
        Effect::Hang { executed } => {
            let done = if executed { Ok(carry_out(shared, call).await) } else { Err(call) };
            shared.reach(id);
            // An error means that the rule was removed, which releases as well.
            let _ = released.wait_for(|released| *released).await;
            match done {
                Ok(response) => response,
                Err(call) => carry_out(shared, call).await,
            }
        }
    }
}

/// Carries a request out.
async fn carry_out(shared: &SharedState, call: ApiCall) -> Response<Body> {
    let number = call.number;
    let result = match &call.route {
        Route::Trade => trade(&mut shared.lock(), &call.body),
        Route::Revoke => revoke(&mut shared.lock(), &call.headers),
        Route::Create => create(shared, &call.headers, &call.body, number).await,
        Route::Read(id) => read(&shared.lock(), &call.headers, id),
        Route::List => list(&shared.lock(), &call.headers, &call.query),
        Route::Pipeline(id) => pipeline(&shared.lock(), &call.headers, id),
        Route::Unknown => Err(refusal(404, "NOT_FOUND", "no such path; collections end with a slash, single objects do not")),
    };
    result.unwrap_or_else(Into::into)
}

#[derive(Deserialize)]
struct Trade {
    license_key: String,
    auth: Identity,
}

fn trade(state: &mut ServerState, body: &Value) -> Result<Response<Body>, Refusal> {
    let Trade { license_key, auth } =
        Trade::deserialize(body).map_err(|problem| refusal(400, "BAD_REQUEST", format!("not a request for a token: {problem}")))?;
    let token =
        state.trade(&license_key, &auth).ok_or_else(|| refusal(401, "UNAUTHORIZED", "license key and identity do not belong together"))?;
    let plain = json!({"access_token": token});
    Ok(json_response(200, &if state.config.wrap_token { json!({"data": plain}) } else { plain }))
}

fn revoke(state: &mut ServerState, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    match headers.get("access_token").and_then(|token| token.to_str().ok()) {
        Some(token) if state.revoke_token(token) => Ok(json_response(200, &json!({"data": {}}))),
        _ => Err(refusal(401, "UNAUTHORIZED", "the header access_token holds no token that is known")),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Checks the token and, if one is needed, the permission.
fn admit(state: &ServerState, headers: &HeaderMap, permission: Option<Permission>) -> Result<TokenGrant, Refusal> {
    let grant = bearer(headers)
        .and_then(|token| state.grant(token))
        .ok_or_else(|| refusal(401, "UNAUTHORIZED", "the access token is missing or not accepted"))?;
    match permission.filter(|permission| !grant.allows(*permission)) {
        Some(missing) => Err(refusal(403, "FORBIDDEN", format!("the permission {} is missing", missing.name()))),
        None => Ok(grant.clone()),
    }
}

async fn create(shared: &SharedState, headers: &HeaderMap, body: &Value, number: u64) -> Result<Response<Body>, Refusal> {
    let (identity, pipeline) = {
        let state = shared.lock();
        let grant = admit(&state, headers, Some(Permission::Create))?;
        let id = body
            .get("pipeline_id")
            .and_then(Value::as_str)
            .ok_or_else(|| refusal(400, "BAD_REQUEST", "the body must be {\"pipeline_id\": \"…\"}"))?;
        let pipeline = state
            .pipelines
            .get(id)
            .ok_or_else(|| refusal(state.config.unknown_pipeline_status, "PIPELINE_NOT_FOUND", "there is no such pipeline"))?;
        if !pipeline.active || pipeline.draft {
            let what = if pipeline.draft { "a draft" } else { "inactive" };
            return Err(refusal(state.config.inactive_pipeline_status, "PIPELINE_INACTIVE", format!("the pipeline is {what}")));
        }
        (grant.identity, pipeline.clone())
    };
    sleep(pipeline.delays.execute.0).await;
    let (status, created) = {
        let mut state = shared.lock();
        (state.config.create_status, state.create(&pipeline, &identity, number))
    };
    sleep(pipeline.delays.answer.0).await;
    Ok(json_response(status, &json!({"data": created})))
}

fn read(state: &ServerState, headers: &HeaderMap, id: &str) -> Result<Response<Body>, Refusal> {
    admit(state, headers, Some(Permission::Read))?;
    let execution =
        state.find(id).ok_or_else(|| refusal(state.config.not_found_status, "EXECUTION_ID_NOT_FOUND", "there is no such execution"))?;
    Ok(json_response(200, &json!({"data": execution.show(&state.clock, state.clock.now(), true)})))
}

fn list(state: &ServerState, headers: &HeaderMap, query: &[(String, String)]) -> Result<Response<Body>, Refusal> {
    admit(state, headers, Some(Permission::Read))?;
    let query = ListQuery::parse(query).map_err(|problem| refusal(400, "BAD_REQUEST", problem))?;
    Ok(json_response(200, &query.page(state)))
}

fn pipeline(state: &ServerState, headers: &HeaderMap, id: &str) -> Result<Response<Body>, Refusal> {
    admit(state, headers, None)?;
    let pipeline =
        state.pipelines.get(id).ok_or_else(|| refusal(state.config.not_found_status, "PIPELINE_NOT_FOUND", "there is no such pipeline"))?;
    Ok(json_response(200, &json!({"data": show(pipeline)})))
}

/// Name, draft and developer mode are what public code reads. Where trigger and schedule are is not documented, so each spelling has another
/// place for them.
fn show(pipeline: &Pipeline) -> Value {
    let mut shown = json!({
        "id": pipeline.id,
        "name": pipeline.name.as_ref().unwrap_or(&pipeline.id),
        "active": pipeline.active,
        "draft": pipeline.draft,
        "configuration": {"id": format!("{}-configuration", pipeline.id), "developer_mode": pipeline.developer_mode},
    });
    let schedule = pipeline.schedule.as_ref();
    let (name, place, schedule) = match pipeline.spelling {
        Spelling::Text => ("input_connector", json!({"trigger_type": pipeline.input_trigger}), schedule.map(|schedule| json!(schedule))),
        Spelling::Sample => {
            let text = schedule.map(|schedule| json!(format!("{} x {}", schedule.frequency, schedule.interval)));
            ("trigger_type", json!(pipeline.input_trigger), text)
        }
        Spelling::Seen => {
            let other = schedule.map(|schedule| json!({"type": schedule.frequency, "interval": schedule.interval}));
            ("inputConnector", json!({"triggerType": pipeline.input_trigger}), other)
        }
    };
    if let Value::Object(fields) = &mut shown {
        fields.insert(name.to_owned(), place);
        fields.extend(schedule.map(|schedule| ("schedule".to_owned(), schedule)));
    }
    shown
}

/// A JSON answer.
pub(crate) fn json_response(status: u16, body: &Value) -> Response<Body> {
    response(status, &[("content-type", "application/json")], Body::from(body.to_string()))
}

/// The answer a [`Effect::Status`] describes.
fn status_response(code: u16, headers: &BTreeMap<String, String>, body: &Value) -> Response<Body> {
    let usual =
        json!({"error": {"code": format!("SIMULATED_{code}"), "message": format!("the simulator answers {code} because of a fault")}});
    let mut response = json_response(code, if body.is_null() { &usual } else { body });
    for (name, value) in headers {
        put_header(&mut response, name, value);
    }
    response
}

fn response(status: u16, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    // Codes below 200 cannot stand for an answer.
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        put_header(&mut response, name, value);
    }
    response
}

/// A name or a value that cannot be sent is left out.
fn put_header(response: &mut Response<Body>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}

fn close_connection() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CloseConnection);
    response
}

/// Announces the whole body and breaks off after half of it.
async fn cut_body(whole: Response<Body>) -> Response<Body> {
    let (mut parts, body) = whole.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let length = bytes.len();
    let half = bytes.slice(..length.checked_div(2).unwrap_or_default());
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let pieces = stream::unfold(Some(half), |half| async {
        match half {
            Some(half) => Some((Ok(half), None)),
            None => {
                // Lets the connection send the first half.
                tokio::task::yield_now().await;
                Some((Err("the simulator breaks off here because of a fault"), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}
