//! What clients ask over HTTP: one file for each subject. The document that describes it is made from these.

mod checkpoints;
mod events;
mod executions;
mod health;
mod input;
mod introspection;
mod sessions;
mod state;

pub(crate) use events::read_from;

use crate::app::App;
use crate::channel;
use crate::http::problem::{Problem, ProblemDocument};
use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use pyrepl3_engine::Failure;
use pyrepl3_engine::protocol::Message;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "pyrepl3",
        description = "Python sessions that last. Every error is a problem document (RFC 9457). See docs/api.md.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(ProblemDocument)),
    security(("bearer" = []))
)]
struct Document;

/// All routes, and the document that describes them.
pub(crate) fn routes() -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::openapi))
        .routes(routes!(sessions::list, sessions::create))
        .routes(routes!(sessions::put, sessions::get, sessions::delete))
        .routes(routes!(executions::create, executions::list))
        .routes(routes!(executions::get, executions::cancel))
        .routes(routes!(events::events))
        .routes(routes!(channel::channel))
        .routes(routes!(input::input))
        .routes(routes!(input::interrupt))
        .routes(routes!(state::begin))
        .routes(routes!(state::commit))
        .routes(routes!(state::rollback))
        .routes(routes!(state::savepoint))
        .routes(routes!(state::undo))
        .routes(routes!(state::redo))
        .routes(routes!(state::snapshots, state::snapshot))
        .routes(routes!(state::drop_snapshot))
        .routes(routes!(state::rollback_to))
        .routes(routes!(state::branch))
        .routes(routes!(introspection::complete))
        .routes(routes!(introspection::variables))
        .routes(routes!(introspection::inspect))
        .routes(routes!(checkpoints::create))
        .routes(routes!(checkpoints::restore))
        .routes(routes!(checkpoints::list))
        .routes(routes!(checkpoints::delete))
        .split_for_parts();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "The token that the server prints when it starts. On a WebSocket also as the subprotocol `bearer.TOKEN`.",
    ));
    let components = document.components.get_or_insert_with(Default::default);
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    (router, document)
}

/// No route fits.
pub(crate) async fn not_found(uri: Uri) -> Problem {
    let how = if uri.path().starts_with("/v1/") { "" } else { "paths begin with /v1/; " };
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing under this path",
        "no route fits it",
        format!("{how}look it up in /openapi.json"),
    )
}

/// The route is there, the method is not.
pub(crate) async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} cannot be used on this path"),
        "it has other methods",
        "use one that the header allow names",
    )
}

/// Parts of a path.
#[derive(Debug)]
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(PathOf(value)),
            Err(rejection) => Err(Problem::bad_request(
                "the path cannot be used",
                rejection.body_text(),
                "encode what stands in it as UTF-8, and then as percent signs and digits",
            )),
        }
    }
}

/// A message as an answer.
pub(crate) fn message(status: StatusCode, message: &Message) -> Result<Response, Problem> {
    let json = message.to_json().map_err(|error| {
        Failure::new(pyrepl3_engine::Code::Internal, "an answer could not be written", error.to_string(), "")
    })?;
    let mut response = (status, json).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Waits for what was asked of a session, within the limit of requests. What is not awaited any more is done all the same.
pub(crate) async fn within<T>(app: &App, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Problem> {
    match tokio::time::timeout(app.limits.request_time, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "the session has not answered in time",
            format!("what is before it takes longer than {} s", app.limits.request_time.as_secs_f64()),
            "it is done all the same when its turn comes: look at the session's events",
        )
        .admitted(crate::http::problem::Admitted::Yes)),
    }
}
