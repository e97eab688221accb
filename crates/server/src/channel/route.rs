//! The request for a WebSocket.

use super::reader::Reader;
use super::writer::Writer;
use crate::app::App;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::query::Query;
use crate::requests::ready;
use crate::routes::{PathOf, read_from};
use crate::sessions::served::Served;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::StreamExt;
use http::StatusCode;
use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::{Events, Session};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The subprotocol that the server chooses.
const SUBPROTOCOL: &str = "pyrepl3.v1";
/// Answers on their way to the writer.
const ANSWERS: usize = 64;

/// A WebSocket with the messages of the public protocol, both ways (docs/protocol.md).
///
/// The first message is `ready`, with `earliest` and `last`. Then come the session's events, from the one after `after` on, or
/// from now on without it. Requests need `type` and `id` only; `reply` and `failure` go to who asked. Where headers cannot be
/// set, the subprotocols `pyrepl3.v1` and `bearer.TOKEN` are offered.
#[utoipa::path(get, path = "/v1/sessions/{id}/channel",
    params(
        ("id" = String, Path),
        ("after" = Option<u64>, Query, description = "The number that the client knows; without it, from now on")
    ),
    responses(
        (status = 101, description = "The WebSocket"),
        (status = 410, description = "Events after that number are not kept any more", body = ProblemDocument),
        (status = "default", description = "Any other problem", body = ProblemDocument)
    ))]
pub(crate) async fn channel(
    State(app): State<Arc<App>>,
    PathOf(id): PathOf<String>,
    mut query: Query,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let after = query.number("after")?;
    query.end()?;
    let served = app.sessions.get(&id)?;
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this path is for WebSockets",
            rejection.body_text(),
            "open it with a WebSocket client",
        )
    })?;
    let (events, from) = match after {
        Some(after) => (read_from(&served.session, Some(after))?, after),
        None => from_now(&served.session)?,
    };
    let first = match ready(None, Some(&served.session)) {
        // Where it begins now, what came in the meantime is sent, and is none of what the client missed.
        Message::Ready(ready) if after.is_none() => {
            Message::Ready(pyrepl3_engine::protocol::message::Ready { last: Some(from), ..ready })
        }
        ready => ready,
    };
    let limit = app.limits.message;
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(limit).max_frame_size(limit);
    Ok(upgrade.on_upgrade(move |socket| serve(app, served, events, from, first, socket)))
}

/// Events from now on, and the number of the last one before.
fn from_now(session: &Session) -> Result<(Events, u64), Problem> {
    // A number, not "now": so that what is said to be the last is what the client goes on from.
    let (_, last) = session.event_numbers();
    match session.follow(Some(last)) {
        Ok(events) => Ok((events, last)),
        // So much came in between that it is gone already.
        Err(_) => Ok((session.follow(None)?, session.event_numbers().1)),
    }
}

async fn serve(app: Arc<App>, served: Arc<Served>, events: Events, from: u64, first: Message, socket: WebSocket) {
    let (sink, stream) = socket.split();
    let (answers, inbox) = mpsc::channel(ANSWERS);
    let writer = Writer::new(app.clone(), served.clone(), events, from, inbox, sink);
    let heard = writer.heard();
    let reader = Reader::new(app, served, answers, heard);
    let writing = writer.run(first);
    tokio::pin!(writing);
    tokio::select! {
        () = &mut writing => {}
        // The client has gone, or is told why it is let go of.
        asked_to_close = reader.run(stream) => if asked_to_close {
            writing.await;
        },
    }
}
