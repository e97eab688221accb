//! Executions: asked for, waited for, looked at, cancelled.

use super::{PathOf, within};
use crate::app::App;
use crate::http::body::Body;
use crate::http::guard::draining;
use crate::http::problem::{Admitted, Problem, ProblemDocument};
use crate::http::query::Query;
use crate::requests::time;
use crate::sessions::executions::{BodyHash, ExecutionRecord};
use crate::sessions::served::Served;
use crate::sessions::submit::{Handed, Submission, follow, submit};
use crate::streams::feed::{Feed, OnDisconnect};
use crate::streams::format::Format;
use crate::streams::source::Source;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pyrepl3_engine::protocol::JsonText;
use pyrepl3_engine::protocol::message::TransactionPolicy;
use pyrepl3_engine::{Code, ExecuteRequest, Execution, Failure, Source as Python};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Bytes of an idempotency key.
const KEY: usize = 200;

/// What becomes of an execution when the client that waits for it goes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Disconnect {
    /// It goes on.
    #[default]
    Continue,
    /// It is cancelled; running, it is interrupted.
    Interrupt,
}

/// A request to run code.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecutionRequest {
    /// Python source.
    #[schema(value_type = String)]
    code: JsonText,
    /// `commit_always`, `commit_on_success`, `rollback_on_failure` or `explicit`; the session's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    transaction_policy: Option<TransactionPolicy>,
    /// The explicit transaction that it belongs to: refused unless that is the open one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
    /// Seconds that it may take from its start on, waits for input included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<f64>,
    /// Answers to its prompts, in order; when used up, prompts get end-of-file. Without it, prompts wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    inputs: Option<Vec<JsonText>>,
    /// Names whose values are carried out of a failed state into the one before, under a policy that undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salvage: Option<Vec<String>>,
    /// When it fails, executions queued behind it are cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_on_error: Option<bool>,
    /// What becomes of it when the client that waits for it goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_disconnect: Option<Disconnect>,
}

/// How much was left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeftOut {
    /// Bytes of `stdout`.
    stdout: u64,
    /// Bytes of `stderr`.
    stderr: u64,
    /// Displays.
    displays: u64,
}

/// An execution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecutionView {
    /// Its id.
    execution_id: String,
    /// The number of its first event, `accepted`.
    seq: u64,
    /// Its last message, `result` or `error`, as on the wire; absent until it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    end: Option<Box<RawValue>>,
    /// What it has written to standard output: 1 MiB at most, cut in the middle.
    stdout: String,
    /// The same for standard error.
    stderr: String,
    /// Its `display` messages, as on the wire.
    #[schema(value_type = Vec<Object>)]
    displays: Vec<Box<RawValue>>,
    /// How much of it is not here; absent where all is.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<LeftOut>,
    /// Whether this repeats an earlier request with the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// Whether its effects are gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undone: bool,
}

impl ExecutionView {
    fn new(record: &ExecutionRecord, replayed: bool) -> ExecutionView {
        let told = record.told();
        let (stdout, stderr, displays) = told.left_out;
        ExecutionView {
            execution_id: record.id.clone(),
            seq: record.seq(),
            end: told.end,
            stdout: told.stdout,
            stderr: told.stderr,
            displays: told.displays,
            left_out: (stdout + stderr + displays > 0).then_some(LeftOut { stdout, stderr, displays }),
            replayed,
            undone: told.undone,
        }
    }
}

/// An execution that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// Its id.
    execution_id: String,
    /// The number of its first event, `accepted`.
    seq: u64,
    /// Whether this repeats an earlier request with the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// Whether its effects are gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undone: bool,
}

/// A page of executions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecutionPage {
    executions: Vec<ExecutionView>,
    /// The `cursor` of the next page; null on the last one.
    next: Option<String>,
}

/// Runs code.
///
/// Answered as soon as the session has taken it; with `wait`, when it has ended, or that time is over. With
/// `Accept: text/event-stream` or `application/x-ndjson` its events are the answer, to its end. It goes on when the client
/// goes away, unless `on_disconnect` says otherwise.
#[utoipa::path(post, path = "/v1/sessions/{id}/executions",
    params(
        ("id" = String, Path),
        ("wait" = Option<f64>, Query, description = "Seconds to wait for its end"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again does not run the code again")
    ),
    request_body = ExecutionRequest,
    responses(
        (status = 200, description = "With `wait`: it has ended, well or not. With `Accept`: its events", body = ExecutionView),
        (status = 201, description = "It was taken", body = Taken),
        (status = 202, description = "With `wait`: it has not ended yet", body = ExecutionView),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    mut query: Query,
    headers: HeaderMap,
    body: Body<ExecutionRequest>,
) -> Result<Response, Problem> {
    let wait = query.seconds("wait", app.limits.request_time.as_secs_f64())?;
    query.end()?;
    let key = key_of(&headers)?;
    let format = Format::asked(&headers);
    let served = app.sessions.get(&id)?;
    let on_disconnect = body.value.on_disconnect.unwrap_or_default();
    let hash = key.as_ref().map(|_| hash_of(&body.value));
    let request = request_of(&body.value)?;
    let submitted = submit(&served, request, key.as_deref().zip(hash))?;
    let (record, execution, replayed) = match submitted {
        Submission::New(handed) => {
            let (record, execution) = taken(handed, served.clone(), format.is_some()).await?;
            (record, execution, false)
        }
        Submission::Replay(record) => {
            // It may have been asked for just now: what is answered is kept by then, as for the first.
            record.taken().await;
            if let Some(failure) = record.refusal() {
                return Err(failure.into());
            }
            (Some(record), None, true)
        }
    };
    let Some(record) = record else {
        return Err(Failure::new(Code::Internal, "the execution was taken and is not known", "", "").into());
    };
    // Who only peeks at an execution that somebody else has asked for does not end it.
    let armed = on_disconnect == Disconnect::Interrupt && !replayed && (wait.is_some() || format.is_some());
    let on_disconnect = OnDisconnect { served: served.clone(), execution: record.id.clone(), armed };
    match format {
        Some(format) => {
            let streamed = stream(app, served, &record, execution, format, on_disconnect)?;
            Ok(with_location(streamed, &id, &record.id))
        }
        None => {
            let answered = answer(&record, wait, replayed, on_disconnect).await?;
            Ok(with_location(answered, &id, &record.id))
        }
    }
}

type KnownExecution = (Option<Arc<ExecutionRecord>>, Option<Execution>);

/// Waits until it is known whether an execution was taken, also where the client goes away meanwhile: else nobody would note
/// that it was refused. `read`: the execution is returned, to be read.
async fn taken(handed: Box<Handed>, served: Arc<Served>, read: bool) -> Result<KnownExecution, Failure> {
    let knowing = tokio::spawn(async move {
        let (record, execution) = handed.taken(&served).await?;
        if read {
            return Ok((record, Some(execution)));
        }
        drop(follow(record.clone(), execution));
        Ok((record, None))
    });
    let lost = |error| Failure::os("the execution was lost", &std::io::Error::other(error));
    knowing.await.unwrap_or_else(|error| Err(lost(error)))
}

fn stream(
    app: Arc<App>,
    served: Arc<Served>,
    record: &Arc<ExecutionRecord>,
    execution: Option<Execution>,
    format: Format,
    on_disconnect: OnDisconnect,
) -> Result<Response, Problem> {
    let source = match execution {
        Some(execution) => Source::Execution(Some(execution), Some(record.clone())),
        // One that was asked for before: what is kept of it, then what comes.
        None => Source::of_execution(&served.session, record)?,
    };
    let feed = Feed {
        app,
        served: Some(served),
        source,
        format,
        after: record.seq().saturating_sub(1),
        on_disconnect: Some(on_disconnect),
    };
    Ok(feed.into_response())
}

async fn answer(
    record: &ExecutionRecord,
    wait: Option<f64>,
    replayed: bool,
    mut on_disconnect: OnDisconnect,
) -> Result<Response, Problem> {
    let Some(wait) = wait else {
        let undone = replayed && record.told().undone;
        let taken = Taken { execution_id: record.id.clone(), seq: record.seq(), replayed, undone };
        return Ok((StatusCode::CREATED, Json(taken)).into_response());
    };
    let is_over = tokio::time::timeout(Duration::from_secs_f64(wait), record.over()).await.is_ok();
    // The client is there still: it goes on where its time is over.
    on_disconnect.armed = false;
    if let Some(failure) = record.refusal() {
        // It goes on; only this server cannot tell of it any more.
        let left = on_disconnect.served.session.is_left();
        return Err(if left { draining().admitted(Admitted::Yes) } else { failure.into() });
    }
    let status = if is_over { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(ExecutionView::new(record, replayed))).into_response())
}

fn with_location(mut response: Response, session: &str, execution: &str) -> Response {
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/sessions/{session}/executions/{execution}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY);
    match (key, keys.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request(
            "the header idempotency-key cannot be used",
            format!("it stands there once, and has 1 to {KEY} visible characters of ASCII"),
            "use a UUID, say",
        )),
    }
}

/// A request in short. What stands in it in another order, or left out, is the same request.
fn hash_of(request: &ExecutionRequest) -> BodyHash {
    blake3::hash(&serde_json::to_vec(request).unwrap_or_default())
}

fn request_of(body: &ExecutionRequest) -> Result<ExecuteRequest, Failure> {
    let mut request = ExecuteRequest::new(Python::Text(body.code.clone()));
    request.policy = body.transaction_policy;
    request.transaction.clone_from(&body.transaction_id);
    request.timeout = body.timeout.map(|seconds| time(seconds, "timeout")).transpose()?;
    request.inputs.clone_from(&body.inputs);
    request.salvage = body.salvage.clone().unwrap_or_default();
    request.stop_on_error = body.stop_on_error.unwrap_or(false);
    Ok(request)
}

/// An execution: what it has said until now, and its end, if it has ended.
#[utoipa::path(get, path = "/v1/sessions/{id}/executions/{execution_id}",
    params(
        ("id" = String, Path),
        ("execution_id" = String, Path),
        ("wait" = Option<f64>, Query, description = "Seconds to wait for its end")
    ),
    responses(
        (status = 200, description = "The execution", body = ExecutionView),
        (status = 202, description = "With `wait`: it has not ended yet", body = ExecutionView),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    PathOf((id, execution)): PathOf<(String, String)>,
    mut query: Query,
) -> Result<Response, Problem> {
    let wait = query.seconds("wait", app.limits.request_time.as_secs_f64())?;
    query.end()?;
    let served = app.sessions.get(&id)?;
    let record = served.executions.get(&execution).ok_or_else(unknown)?;
    match wait {
        Some(_) => {
            let on_disconnect = OnDisconnect { served, execution, armed: false };
            answer(&record, wait, false, on_disconnect).await
        }
        None => match record.refusal() {
            Some(failure) => Err(failure.into()),
            None => Ok(Json(ExecutionView::new(&record, false)).into_response()),
        },
    }
}

/// The executions of a session that are known, the newest first. Their output is not in the list.
#[utoipa::path(get, path = "/v1/sessions/{id}/executions",
    params(
        ("id" = String, Path),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "1 to 1000 executions; 100 without it")
    ),
    responses(
        (status = 200, description = "A page", body = ExecutionPage),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    mut query: Query,
) -> Result<Json<ExecutionPage>, Problem> {
    let cursor = query.one("cursor")?;
    let limit = query.page_limit()?;
    query.end()?;
    let records = app.sessions.get(&id)?.executions.newest_first();
    let from = match &cursor {
        None => 0,
        Some(cursor) => {
            1 + records.iter().position(|record| record.id == *cursor).ok_or_else(|| {
                Problem::bad_request("the parameter cursor cannot be used", "it is not known any more", "begin anew")
            })?
        }
    };
    let page = records.iter().skip(from).take(limit);
    let next =
        (records.len() > from.saturating_add(limit)).then(|| page.clone().next_back().map(|last| last.id.clone()));
    let executions = page.map(|record| ExecutionView::without_output(record)).collect();
    Ok(Json(ExecutionPage { executions, next: next.flatten() }))
}

impl ExecutionView {
    fn without_output(record: &ExecutionRecord) -> ExecutionView {
        let (end, undone) = record.outcome();
        ExecutionView {
            execution_id: record.id.clone(),
            seq: record.seq(),
            end,
            stdout: String::new(),
            stderr: String::new(),
            displays: Vec::new(),
            left_out: None,
            replayed: false,
            undone,
        }
    }
}

/// Cancels an execution: not started, it never runs; running, it is interrupted. Answered when it has ended.
#[utoipa::path(delete, path = "/v1/sessions/{id}/executions/{execution_id}",
    params(("id" = String, Path), ("execution_id" = String, Path)),
    responses(
        (status = 204, description = "It has ended"),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    PathOf((id, execution)): PathOf<(String, String)>,
    query: Query,
) -> Result<StatusCode, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let cancelled = served.session.cancel(&execution);
    match within(&app, cancelled).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        // One that has ended is cancelled as far as can be.
        Err(problem) => match served.executions.get(&execution) {
            Some(record) if record.is_over() => Ok(StatusCode::NO_CONTENT),
            Some(_) => Err(problem.admitted(Admitted::Unknown)),
            None => Err(problem),
        },
    }
}

fn unknown() -> Problem {
    Failure::new(
        Code::UnknownExecution,
        "the session knows no such execution",
        "it was never asked for, or it ended so long ago that it is not kept any more",
        "GET …/executions lists those that are known; the session's events may tell of older ones",
    )
    .into()
}
