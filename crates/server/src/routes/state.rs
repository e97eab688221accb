//! A session's state: transactions, snapshots, undo, branches.

use super::{PathOf, message, within};
use crate::app::App;
use crate::http::body::Body;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use crate::requests::time;
use crate::sessions::served::Served;
use crate::sessions::view::LineageView;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::protocol::message::RolledBack;
use pyrepl3_engine::protocol::message::{PythonInfo, RandomState, Snapshot};
use pyrepl3_engine::{Failure, Submitted};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Nothing: `{}`, or no body.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Which transaction is meant.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TransactionRequest {
    /// The transaction; whichever is open without it.
    transaction_id: Option<String>,
}

/// A transaction that begins.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BeginRequest {
    /// Seconds after which it rolls back if nothing happens in it; the session's own limit without it.
    timeout: Option<f64>,
}

/// A transaction that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    transaction_id: String,
}

/// Begins an explicit transaction. Waits its turn. (An execution under the policy `explicit` begins one, too.)
#[utoipa::path(post, path = "/v1/sessions/{id}/begin", params(("id" = String, Path)), request_body = BeginRequest, responses(
    (status = 201, description = "It is open", body = Begun),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<BeginRequest>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    query.end()?;
    let timeout = body.value.timeout.map(|seconds| time(seconds, "timeout")).transpose()?;
    let served = app.sessions.get(&id)?;
    let transaction_id = within(&app, served.session.begin(timeout)).await?;
    Ok((StatusCode::CREATED, Json(Begun { transaction_id })))
}

/// Keeps the effects of the open transaction. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/commit", params(("id" = String, Path)), request_body = TransactionRequest, responses(
    (status = 204, description = "They are kept"),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn commit(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<TransactionRequest>,
) -> Result<StatusCode, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    within(&app, served.session.commit(body.value.transaction_id.as_deref())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The session went back: the answer is the message `rolled_back`.
async fn returned(app: &App, served: &Served, asked: Submitted<RolledBack>) -> Result<Response, Problem> {
    let rolled_back = within(app, asked).await?;
    served.note_return(&rolled_back);
    message(StatusCode::OK, &Message::RolledBack(rolled_back))
}

/// Undoes the open transaction. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/rollback", params(("id" = String, Path)), request_body = TransactionRequest, responses(
    (status = 200, description = "The message `rolled_back`", body = Object),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<TransactionRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    returned(&app, &served, served.session.rollback(body.value.transaction_id.as_deref())).await
}

/// Takes a snapshot inside the open transaction, which ends with it. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/savepoint", params(("id" = String, Path)), request_body = TransactionRequest, responses(
    (status = 201, description = "The message `snapshot_created`", body = Object),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn savepoint(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<TransactionRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let created = within(&app, served.session.savepoint(body.value.transaction_id.as_deref())).await?;
    message(StatusCode::CREATED, &Message::SnapshotCreated(created))
}

/// Undoes the last execution that has effects. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/undo", params(("id" = String, Path)), responses(
    (status = 200, description = "The message `rolled_back`", body = Object),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn undo(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    _body: Body<Nothing>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    returned(&app, &served, served.session.undo()).await
}

/// Returns to what the last undo left. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/redo", params(("id" = String, Path)), responses(
    (status = 200, description = "The message `rolled_back`", body = Object),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn redo(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    _body: Body<Nothing>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    returned(&app, &served, served.session.redo()).await
}

/// The snapshots of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Snapshots {
    /// Oldest first: `{snapshot_id, name, kind, created_at, age, execution_count, memory}`.
    #[schema(value_type = Vec<Object>)]
    snapshots: Vec<Snapshot>,
}

/// The snapshots of a session. It answers whatever runs.
#[utoipa::path(get, path = "/v1/sessions/{id}/snapshots", params(("id" = String, Path)), responses(
    (status = 200, description = "The snapshots", body = Snapshots),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn snapshots(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
) -> Result<Json<Snapshots>, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let snapshots = within(&app, served.session.snapshots()).await?;
    Ok(Json(Snapshots { snapshots }))
}

/// A snapshot that is to be taken.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SnapshotRequest {
    /// A name for people, 1 to 200 characters.
    name: Option<String>,
}

/// Takes a snapshot: the whole state of the process. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/snapshots", params(("id" = String, Path)), request_body = SnapshotRequest, responses(
    (status = 201, description = "The message `snapshot_created`", body = Object),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn snapshot(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<SnapshotRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let created = within(&app, served.session.snapshot(body.value.name.as_deref())).await?;
    message(StatusCode::CREATED, &Message::SnapshotCreated(created))
}

/// Drops a snapshot that was asked for.
#[utoipa::path(delete, path = "/v1/sessions/{id}/snapshots/{snapshot_id}",
    params(("id" = String, Path), ("snapshot_id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn drop_snapshot(
    State(app): State<Arc<App>>,
    PathOf((id, snapshot)): PathOf<(String, String)>,
    query: Query,
) -> Result<StatusCode, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    within(&app, served.session.drop_snapshot(&snapshot)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops what runs, cancels what waits, and returns to a snapshot. Later ones are gone; this one stays.
#[utoipa::path(post, path = "/v1/sessions/{id}/snapshots/{snapshot_id}/rollback",
    params(("id" = String, Path), ("snapshot_id" = String, Path)), request_body = TransactionRequest,
    responses(
        (status = 200, description = "The message `rolled_back`", body = Object),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn rollback_to(
    State(app): State<Arc<App>>,
    PathOf((id, snapshot)): PathOf<(String, String)>,
    query: Query,
    body: Body<TransactionRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let back = served.session.rollback_to(&snapshot, body.value.transaction_id.as_deref());
    returned(&app, &served, back).await
}

/// A split of a session.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BranchRequest {
    /// How many branches, 1 to 256; 1 without it.
    count: Option<u32>,
    /// What becomes of random state: `same` (as without it) or `split`.
    #[schema(value_type = Option<String>)]
    random: Option<RandomState>,
}

/// What became of one branch that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BranchOutcome {
    /// Whether it is there: `created`.
    outcome: &'static str,
    /// Its id: a session as any other.
    session_id: String,
    #[serde(flatten)]
    lineage: Option<LineageView>,
    /// Its interpreter.
    #[schema(value_type = Option<Object>)]
    python: Option<PythonInfo>,
}

/// The branches of one request: all of them, or it fails.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Branches {
    branches: Vec<BranchOutcome>,
}

/// Splits a session: new sessions with a common past. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/branches", params(("id" = String, Path)), request_body = BranchRequest, responses(
    (status = 201, description = "They are there", body = Branches),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn branch(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<BranchRequest>,
) -> Result<(StatusCode, Json<Branches>), Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let made = served.session.branch(body.value.count.unwrap_or(1), body.value.random.unwrap_or_default());
    // They are registered whether or not the client waits: else nobody would know of them.
    let (table, parent) = (app.sessions.clone(), served.clone());
    let registered = tokio::spawn(async move { Ok(table.branched(made.await?, &parent).await) });
    let branches = within(&app, async {
        registered
            .await
            .unwrap_or_else(|error| Err(Failure::os("the branches were lost", &std::io::Error::other(error))))
    })
    .await?;
    let outcome = |branch: &Arc<Served>| BranchOutcome {
        outcome: "created",
        session_id: branch.session.id().to_owned(),
        lineage: branch.session.lineage().map(LineageView::from),
        python: branch.session.python(),
    };
    Ok((StatusCode::CREATED, Json(Branches { branches: branches.iter().map(outcome).collect() })))
}
