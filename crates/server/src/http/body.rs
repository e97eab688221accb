//! Bodies of requests: JSON of a known shape, within limits of size, depth and time, and all of them together within one.

use super::problem::Problem;
use crate::app::App;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use pyrepl3_engine::protocol::frame::check_depth;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit stands for.
const UNIT: usize = 1024;

/// Room for what bodies take in memory, for all requests together.
#[derive(Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub(crate) fn new(bytes: usize) -> Room {
        Room(Arc::new(Semaphore::new((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS))))
    }

    fn take(&self, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), Problem> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let taken = self.0.clone().try_acquire_many_owned(units).map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "the request was not read",
                "the bodies of other requests take all the room that there is for them",
                "try again in a moment",
            )
            .retryable()
        })?;
        match held {
            Some(held) => held.merge(taken),
            None => *held = Some(taken),
        }
        Ok(())
    }
}

/// A request's body: JSON, or nothing, which stands for `{}`.
#[derive(Debug)]
pub(crate) struct Body<T> {
    pub(crate) value: T,
    /// The room that it takes, until it was worked on.
    pub(crate) _room: Option<OwnedSemaphorePermit>,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let reading = read(request.into_body(), app);
        let (bytes, room) = match tokio::time::timeout(app.limits.body_time, reading).await {
            Ok(read) => read?,
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "timeout",
                    "the request's body did not come in time",
                    format!("it has {} s", app.limits.body_time.as_secs_f64()),
                    "send it in one go",
                )
                .retryable());
            }
        };
        if !bytes.is_empty() && !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the request's body was not read",
                "its content type is not application/json",
                "send JSON with the header content-type: application/json",
            ));
        }
        let json = if bytes.is_empty() { b"{}" } else { &bytes[..] };
        Ok(Body { value: parse(json)?, _room: room })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = essence.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(mut body: axum::body::Body, app: &App) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Problem> {
    let (mut bytes, mut room) = (Vec::new(), None);
    let limit = app.limits.body;
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "the request's body is too large",
            format!("it may have {limit} bytes"),
            "put large data into a file, and read it in the session",
        )
    };
    // Who says that it is too large is not read at all.
    if http_body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(too_large());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::bad_request("the request's body could not be read", "the connection was cut", "send it again")
                .retryable()
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(too_large());
            }
            app.room.take(data.len(), &mut room)?;
            bytes.extend_from_slice(&data);
        }
    }
    Ok((bytes, room))
}

/// JSON of a known shape.
fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    let how = "look its shape up in /openapi.json";
    if let Err(error) = check_depth(json) {
        return Err(Problem::bad_request("the request's body could not be understood", error.to_string(), how));
    }
    let is_object = json.trim_ascii_start().starts_with(b"{");
    // A list would be taken for the fields in their order.
    let parsed = if is_object { serde_json::from_slice(json) } else { no_object(json) };
    parsed.map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_body",
            "the request's body is JSON of another shape",
            cut(&error.to_string()),
            how,
        ),
        _ => Problem::bad_request("the request's body is no JSON", cut(&error.to_string()), "send JSON"),
    })
}

fn no_object<T>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<serde::de::IgnoredAny>(json)?;
    Err(serde::de::Error::custom("it is no object"))
}

/// Errors can quote what a client has sent, at any length.
fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}
