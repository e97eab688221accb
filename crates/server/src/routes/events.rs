//! The events of a session, from any number on.

use super::PathOf;
use crate::app::App;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use crate::streams::feed::Feed;
use crate::streams::format::Format;
use crate::streams::source::{Past, Source};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use pyrepl3_engine::{Code, Events, Failure, History, Session};
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
    let format = Format::asked(&headers).unwrap_or(Format::ServerSent);
    let served = match app.sessions.get(&id) {
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            let Some((source, after)) = past(&app, id, after).await? else { return Err(problem) };
            return Ok(Feed { app, served: None, source, format, after, on_disconnect: None }.into_response());
        }
        served => served?,
    };
    let events = read_from(&served.session, after)?;
    let (earliest, last) = served.session.event_numbers();
    let source = if follow { Source::Session(events) } else { Source::Present { events, last } };
    let after = after.unwrap_or(earliest.saturating_sub(1));
    Ok(Feed { app, served: Some(served), source, format, after, on_disconnect: None }.into_response())
}

/// What is kept of a session that is not there any more, behind a number; None where nothing is.
async fn past(app: &App, id: String, after: Option<u64>) -> Result<Option<(Source, u64)>, Problem> {
    let data = app.data.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let Some((earliest, last, lost)) = History::numbers(&data, &id)? else { return Ok(None) };
        let after = after.unwrap_or(earliest - 1);
        Ok(Some((History::open(&data, &id, after)?, after, earliest, last, lost)))
    });
    let lost = |error| Failure::os("what the session has said cannot be read", &std::io::Error::other(error));
    let Some((history, after, earliest, last, lost_bytes)) = looked.await.map_err(lost).flatten()? else {
        return Ok(None);
    };
    if after + 1 < earliest {
        return Err(gone(after, earliest, last).with_events(earliest, last, Some(lost_bytes)));
    }
    if after > last {
        let detail = format!("the last event of the session, which has ended, is {last}");
        return Err(Problem::bad_request(
            format!("there is no event {after}"),
            detail,
            "give the number of the last event that you have",
        ));
    }
    Ok(Some((Source::Past(Past::new(history)), after)))
}

fn gone(after: u64, earliest: u64, last: u64) -> Problem {
    Problem::new(
        StatusCode::GONE,
        Code::Gone.as_str(),
        format!("the events after {after} are not kept any more"),
        format!("the earliest that is kept has the number {earliest}, the last {last}"),
        "read on from there, or leave `after` out; what was before it is lost to this reader",
    )
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
        return Err(gone(0, earliest, last).with_events(earliest, last, session.lost_bytes()));
    }
    session.follow(Some(after.unwrap_or(0))).map_err(|failure| {
        let gone = failure.code == Code::Gone;
        let problem = Problem::from(failure);
        if gone { problem.with_events(earliest, last, session.lost_bytes()) } else { problem }
    })
}
