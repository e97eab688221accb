//! Checkpoints: of a session, and those of the data directory.

use super::{PathOf, message, within};
use crate::app::App;
use crate::http::body::Body;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::protocol::message::Checkpoint;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A checkpoint that is to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CheckpointRequest {
    /// A name for people, 1 to 256 bytes.
    name: Option<String>,
}

/// Saves a session, which goes on meanwhile. Waits its turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/checkpoints", params(("id" = String, Path)), request_body = CheckpointRequest, responses(
    (status = 201, description = "The message `checkpoint_created`", body = Object),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<CheckpointRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let created = within(&app, served.session.checkpoint(body.value.name.as_deref())).await?;
    message(StatusCode::CREATED, &Message::CheckpointCreated(created))
}

/// A checkpoint that is to come back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreRequest {
    /// The checkpoint: its id, the beginning of that, or its name.
    checkpoint_id: String,
    /// Whether to go on without what needs packages that are missing, or bytes that are damaged.
    #[serde(default)]
    partial: bool,
}

/// Stops what runs, cancels what waits, and brings a checkpoint back; the session is as it was if that fails.
#[utoipa::path(post, path = "/v1/sessions/{id}/restore", params(("id" = String, Path)), request_body = RestoreRequest, responses(
    (status = 200, description = "The message `restored`", body = Object),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<RestoreRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let restored = within(&app, served.session.restore(&body.value.checkpoint_id, body.value.partial)).await?;
    served.executions.note_return(&restored.undone, &[]);
    message(StatusCode::OK, &Message::Restored(restored))
}

/// The checkpoints of the data directory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checkpoints {
    /// Newest first, of all sessions: `{checkpoint_id, name, session_id, parent, created_at, size_bytes, stored_bytes, python,
    /// variables, lost, damaged}`.
    #[schema(value_type = Vec<Object>)]
    checkpoints: Vec<Checkpoint>,
}

/// The checkpoints of the data directory, of all sessions.
#[utoipa::path(get, path = "/v1/checkpoints", responses(
    (status = 200, description = "The checkpoints", body = Checkpoints),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn list(State(app): State<Arc<App>>, query: Query) -> Result<Json<Checkpoints>, Problem> {
    query.end()?;
    let checkpoints = within(&app, app.engine.checkpoints()).await?;
    Ok(Json(Checkpoints { checkpoints }))
}

/// Deletes a checkpoint. Others that share bytes with it keep those.
#[utoipa::path(delete, path = "/v1/checkpoints/{checkpoint_id}", params(("checkpoint_id" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    PathOf(checkpoint): PathOf<String>,
    query: Query,
) -> Result<StatusCode, Problem> {
    query.end()?;
    within(&app, app.engine.delete_checkpoint(&checkpoint)).await?;
    Ok(StatusCode::NO_CONTENT)
}
