//! The events of a session, from any number on.

use super::PathOf;
use crate::app::App;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use crate::streams::feed::Feed;
use crate::streams::format::Format;
use crate::streams::source::Source;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use pyrepl3_engine::{Code, Events, Session};
use std::sync::Arc;

/// All events of a session after a number, in their order, and then those to come.
///
/// As server-sent events (`id` is the event's number, so that a browser's `EventSource` comes back to where it was), or with
/// `Accept: application/x-ndjson` as a line of JSON for each. The last record says why there are no more:
/// `{"type": "end_of_stream", "reason", "last"}`.
#[utoipa::path(get, path = "/v1/sessions/{id}/events",
    params(
        ("id" = String, Path),
        ("after" = Option<u64>, Query, description = "The number that the client knows; without it, from the earliest event that is kept"),
        ("follow" = Option<bool>, Query, description = "false: only what is there now"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Counts instead of `after`")
    ),
    responses(
        (status = 200, description = "The events", content(
            (String = "text/event-stream"),
            (String = "application/x-ndjson")
        )),
        (status = 410, description = "Events after that number are not kept any more", body = ProblemDocument),
        (status = "default", description = "Any other problem", body = ProblemDocument)
    ))]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = query.number("after")?;
    let follow = query.flag("follow")?.unwrap_or(true);
    query.end()?;
    // A browser that comes back sends the address that it began with, and this.
    let after = last_event_id(&headers)?.or(asked);
    let served = app.sessions.get(&id)?;
    let events = read_from(&served.session, after)?;
    let (earliest, last) = served.session.event_numbers();
    let source = if follow { Source::Session(events) } else { Source::Present { events, last } };
    let format = Format::asked(&headers).unwrap_or(Format::ServerSent);
    let after = after.unwrap_or(earliest.saturating_sub(1));
    Ok(Feed { app, served, source, format, after, on_disconnect: None }.into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        Problem::bad_request(
            "the header last-event-id cannot be used",
            "it is no number of an event",
            "give the `id` of an event of this session",
        )
    })
}

/// The events after a number; without one, from the earliest that is kept. Never from later on than was asked for.
///
/// # Errors
/// 410 where some after that number are not kept any more, 400 for one that was never given.
pub(crate) fn read_from(session: &Session, after: Option<u64>) -> Result<Events, Problem> {
    let (earliest, last) = session.event_numbers();
    // The engine takes 0 as all that is kept; here it is a number as any other.
    if after == Some(0) && earliest > 1 {
        return Err(Problem::new(
            http::StatusCode::GONE,
            Code::Gone.as_str(),
            "the events after 0 are not kept any more",
            format!("the earliest that is kept has the number {earliest}, the last {last}"),
            "read on from there, or leave `after` out; what was before it is lost to this reader",
        )
        .with_events(earliest, last, session.lost_bytes()));
    }
    session.follow(Some(after.unwrap_or(0))).map_err(|failure| {
        let gone = failure.code == Code::Gone;
        let problem = Problem::from(failure);
        if gone { problem.with_events(earliest, last, session.lost_bytes()) } else { problem }
    })
}
