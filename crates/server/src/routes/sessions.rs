//! Sessions: made, attached to, listed, ended.

use super::{PathOf, within};
use crate::app::App;
use crate::http::body::Body;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use crate::sessions::served::Served;
use crate::sessions::spec::SessionSpec;
use crate::sessions::table::{Place, no_session};
use crate::sessions::view::{SessionState, SessionView};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use http::{HeaderValue, StatusCode, header};
use pyrepl3_engine::protocol::id::{self, IdKind};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A page of sessions, by id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionPage {
    sessions: Vec<SessionView>,
    /// The `cursor` of the next page; null on the last one.
    next: Option<String>,
}

/// Makes a session of this id, or attaches to the one that is there.
///
/// The fields that are given are compared with what the session was made with; `{}` attaches to whatever is there.
#[utoipa::path(put, path = "/v1/sessions/{id}",
    params(("id" = String, Path, description = "1 to 100 of the characters a-z, 0-9, _ and -")),
    request_body = SessionSpec,
    responses(
        (status = 200, description = "It was there, and was made so", body = SessionView),
        (status = 201, description = "It was made", body = SessionView),
        (status = 409, description = "It was there, and was made otherwise", body = ProblemDocument),
        (status = "default", description = "Any other problem", body = ProblemDocument)
    ))]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
    body: Body<SessionSpec>,
) -> Result<Response, Problem> {
    query.end()?;
    body.value.check()?;
    let _held = app.sessions.hold(&id).await;
    if let Some(Place::Live(served)) = app.sessions.place(&id)
        && !served.session.is_closed()
    {
        let differences = body.value.differences(&served.record.spec, served.session.python().as_ref());
        if !differences.is_empty() {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "session_exists",
                "the session is there, and was made otherwise",
                format!("these fields differ: {}", differences.join(", ")),
                "attach to it with an empty body, choose another id, or end it first",
            ));
        }
        served.touch();
        return Ok(Json(served.view().await).into_response());
    }
    let served = within(&app, async { Ok(app.sessions.make(&id, true, body.value).await) }).await??;
    made(&served).await
}

/// Makes a session with an id of the server's.
#[utoipa::path(post, path = "/v1/sessions", request_body = SessionSpec, responses(
    (status = 201, description = "It was made", body = SessionView),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    query: Query,
    body: Body<SessionSpec>,
) -> Result<Response, Problem> {
    query.end()?;
    body.value.check()?;
    let id = id::new(IdKind::Session);
    let served = within(&app, async { Ok(app.sessions.make(&id, false, body.value).await) }).await??;
    made(&served).await
}

async fn made(served: &Served) -> Result<Response, Problem> {
    let mut response = (StatusCode::CREATED, Json(served.view().await)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/sessions/{}", served.session.id())) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The sessions that are there, by id; with `state=ended` the last ones that have ended.
#[utoipa::path(get, path = "/v1/sessions",
    params(
        ("label" = Option<Vec<String>>, Query, description = "NAME=VALUE, or NAME for any value; given more than once, all must fit"),
        ("state" = Option<SessionState>, Query, description = "Only those that are in this state"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "1 to 1000 sessions; 100 without it")
    ),
    responses(
        (status = 200, description = "A page", body = SessionPage),
        (status = "default", description = "A problem", body = ProblemDocument)
    ))]
pub(super) async fn list(State(app): State<Arc<App>>, mut query: Query) -> Result<Json<SessionPage>, Problem> {
    let labels = query.all("label");
    let state = query.one("state")?;
    let cursor = query.one("cursor")?.unwrap_or_default();
    let limit = query.page_limit()?;
    query.end()?;
    let state = match state {
        None => None,
        Some(word) => Some(SessionState::parse(&word).ok_or_else(|| {
            Problem::bad_request(
                "the parameter state cannot be used",
                "there is no such state",
                "give starting, idle, busy, waiting, hibernated or ended",
            )
        })?),
    };
    let all = if state == Some(SessionState::Ended) { app.sessions.ended() } else { app.sessions.live() };
    let fits = |served: &Arc<Served>| {
        let known = served.record.spec.labels.as_ref();
        served.session.id() > cursor.as_str()
            && labels.iter().all(|asked| match asked.split_once('=') {
                Some((name, value)) => known.and_then(|known| known.get(name)).is_some_and(|known| known == value),
                None => known.is_some_and(|known| known.contains_key(asked)),
            })
    };
    let mut candidates = all.into_iter().filter(fits).peekable();
    let mut sessions: Vec<SessionView> = Vec::new();
    while sessions.len() < limit && candidates.peek().is_some() {
        let some: Vec<_> = candidates.by_ref().take(limit - sessions.len()).collect();
        let views = join_all(some.iter().map(|served| served.view())).await;
        sessions.extend(views.into_iter().filter(|view| match state {
            Some(state) => view.state == state,
            None => view.state != SessionState::Ended,
        }));
    }
    let next = candidates.peek().and_then(|_| sessions.last()).map(|last| last.id.clone());
    Ok(Json(SessionPage { sessions, next }))
}

/// A session as it is now. It answers whatever runs; also for a while after its end.
#[utoipa::path(get, path = "/v1/sessions/{id}", params(("id" = String, Path)), responses(
    (status = 200, description = "The session", body = SessionView),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
) -> Result<Json<SessionView>, Problem> {
    query.end()?;
    Ok(Json(app.sessions.get(&id)?.view().await))
}

/// Ends a session and every process of it. Answered when none is left.
#[utoipa::path(delete, path = "/v1/sessions/{id}", params(("id" = String, Path)), responses(
    (status = 204, description = "It has ended"),
    (status = "default", description = "A problem", body = ProblemDocument)
))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    query: Query,
) -> Result<StatusCode, Problem> {
    query.end()?;
    let _held = app.sessions.hold(&id).await;
    match app.sessions.place(&id) {
        Some(Place::Live(served)) => {
            let ending = served.session.shutdown();
            within(&app, async {
                ending.await;
                Ok(())
            })
            .await?;
            Ok(StatusCode::NO_CONTENT)
        }
        Some(Place::Starting) => app.sessions.get(&id).map(|_| StatusCode::NO_CONTENT),
        _ => Err(no_session()),
    }
}
