//! A line in the log for each request: the route, never what was sent or asked for by name.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use std::time::Instant;

pub(crate) async fn log(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let route = route.as_deref().unwrap_or("(none)");
    let (status, seconds) = (response.status().as_u16(), began.elapsed().as_secs_f64());
    if status >= 500 {
        tracing::warn!(%method, route, status, seconds, "request");
    } else {
        tracing::debug!(%method, route, status, seconds, "request");
    }
    response
}
