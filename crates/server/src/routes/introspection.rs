//! Questions about a session's namespace. While code runs before which there is a snapshot, that answers, and `as_of` says
//! which state it shows; else they wait their turn.

use super::{PathOf, within};
use crate::app::App;
use crate::http::body::Body;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use axum::Json;
use axum::extract::State;
use pyrepl3_engine::Answered as Answer;
use pyrepl3_engine::protocol::JsonText;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answered {
    /// What was asked for, as in the `reply` of the wire protocol.
    #[schema(value_type = Object)]
    data: serde_json::Value,
    /// Where it shows the state before code that runs: the number of the last execution whose effects are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<u64>,
}

impl Answered {
    fn new<T: Serialize>(answer: &Answer<T>) -> Json<Answered> {
        let data = serde_json::to_value(&answer.data).unwrap_or_default();
        Json(Answered { data, as_of: answer.as_of })
    }
}

/// Where completions are asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompleteRequest {
    /// Source up to, or around, the cursor.
    #[schema(value_type = String)]
    code: JsonText,
    /// The cursor, in code points; the end of the code without it.
    #[serde(default)]
    cursor: Option<u32>,
}

/// What could be written at a cursor: `{matches: [{text, type}], start, end}`.
#[utoipa::path(post, path = "/v1/sessions/{id}/complete", params(("id" = String, Path)), request_body = CompleteRequest, responses(
    (status = 200, description = "The completions", body = Answered),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<CompleteRequest>,
) -> Result<Json<Answered>, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    let asked = served.session.complete(body.value.code, body.value.cursor);
    Ok(Answered::new(&within(&app, asked).await?))
}

/// The variables: a list of `{name, type, repr, size, shape, module}`.
#[utoipa::path(get, path = "/v1/sessions/{id}/variables", params(("id" = String, Path)), responses(
    (status = 200, description = "The variables", body = Answered),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn variables(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
) -> Result<Json<Answered>, Problem> {
    query.end()?;
    let served = app.sessions.get(&id)?;
    Ok(Answered::new(&within(&app, served.session.variables()).await?))
}

/// What a name is: `{found, name, type, repr, signature, doc, file, line, source}`.
#[utoipa::path(get, path = "/v1/sessions/{id}/inspect",
    params(("id" = String, Path), ("name" = String, Query, description = "A name, or a dotted path")),
    responses(
        (status = 200, description = "What it is; `found` says whether there is such a name", body = Answered),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn inspect(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    mut query: Query,
) -> Result<Json<Answered>, Problem> {
    let name = query.one("name")?.filter(|name| !name.is_empty()).ok_or_else(|| {
        Problem::bad_request("nothing was asked for", "the parameter name is missing", "give ?name=NAME")
    })?;
    query.end()?;
    let served = app.sessions.get(&id)?;
    Ok(Answered::new(&within(&app, served.session.inspect(&name)).await?))
}
