//! What reaches code that runs: answers to its prompts, interrupts.

use super::{PathOf, within};
use crate::app::App;
use crate::http::body::Body;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use axum::extract::State;
use http::StatusCode;
use pyrepl3_engine::protocol::JsonText;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// An answer to a prompt.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputRequest {
    /// The prompt: the `id` of an `input` message.
    input_id: String,
    /// The answer, without a newline at its end; null is end-of-file.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    value: Option<JsonText>,
}

/// Answers a prompt.
#[utoipa::path(post, path = "/v1/sessions/{id}/input", params(("id" = String, Path)), request_body = InputRequest, responses(
    (status = 204, description = "The code goes on with it"),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn input(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<InputRequest>,
) -> Result<StatusCode, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let answered = served.session.input_response(&body.value.input_id, body.value.value);
    within(&app, answered).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops what runs. Answered when it has ended, and at once where nothing runs.
#[utoipa::path(post, path = "/v1/sessions/{id}/interrupt", params(("id" = String, Path)), responses(
    (status = 204, description = "Nothing runs"),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn interrupt(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    _body: Body<super::state::Nothing>,
) -> Result<StatusCode, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    within(&app, served.session.interrupt()).await?;
    Ok(StatusCode::NO_CONTENT)
}
