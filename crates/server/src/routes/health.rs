//! Whether the server is well, and what it offers.

use crate::app::App;
use crate::http::guard::{draining, starting};
use crate::http::problem::{Problem, ProblemDocument};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use std::sync::Arc;

/// Whether the process lives. Needs no token.
#[utoipa::path(get, path = "/healthz", security(()), responses((status = 200, description = "It lives", body = Object)))]
pub(super) async fn healthz() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok" }))
}

/// Whether requests are taken: not while sessions are taken over at the start, nor before the end. Needs no token.
#[utoipa::path(get, path = "/readyz", security(()), responses(
    (status = 200, description = "It takes requests", body = Object),
    (status = 503, description = "Not yet, or not any more", body = ProblemDocument)
))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Json<serde_json::Value>, Problem> {
    if app.is_draining() {
        return Err(draining());
    }
    if !*app.ready.borrow() {
        return Err(starting());
    }
    Ok(Json(serde_json::json!({ "status": "ready" })))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn openapi() -> Response {
    let mut response = crate::openapi().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
