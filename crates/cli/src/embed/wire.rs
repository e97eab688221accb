//! Messages that the connection itself makes.

use pyrepl3_engine::protocol::id::{self, IdKind};
use pyrepl3_engine::protocol::message::{Failed, Message, Ready, Reply};
use pyrepl3_engine::protocol::{FrameError, PROTOCOL_VERSION};
use pyrepl3_engine::{Answered, Code, Failure, Session};
use serde_json::value::{RawValue, to_raw_value};
use std::time::Duration;

/// What this engine can do.
const CAPABILITIES: &[&str] = &[
    "execute",
    "input",
    "interrupt",
    "cancel",
    "display",
    "introspection",
    "idempotency",
    "pool",
    "transactions",
    "snapshots",
    "undo",
    "branches",
    "checkpoints",
    "salvage",
    "attach",
];

/// The handshake, or the answer that a session is ready.
pub(super) fn ready(reply_to: Option<String>, session: Option<&Session>) -> Message {
    let numbers = session.map(Session::event_numbers);
    Message::Ready(Ready {
        id: id::new(IdKind::Message),
        timestamp: crate::clock::now(),
        session_id: session.map(|session| session.id().to_owned()),
        execution_id: None,
        seq: None,
        reply_to,
        protocol_version: PROTOCOL_VERSION,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: CAPABILITIES.iter().map(|&name| name.to_owned()).collect(),
        python: session.and_then(Session::python),
        earliest: numbers.map(|(earliest, _)| earliest),
        last: numbers.map(|(_, last)| last),
    })
}

/// An answer, and where it was given while code runs, which state it shows.
#[derive(Debug, Default)]
pub(super) struct ReplyData {
    data: Option<Box<RawValue>>,
    as_of: Option<u64>,
}

impl From<Option<Box<RawValue>>> for ReplyData {
    fn from(data: Option<Box<RawValue>>) -> Self {
        ReplyData { data, as_of: None }
    }
}

/// An answer about a session's state.
pub(super) fn answered<T: serde::Serialize>(answer: &Answered<T>) -> Result<ReplyData, Failure> {
    Ok(ReplyData { data: json(&answer.data)?, as_of: answer.as_of })
}

pub(super) fn reply(reply_to: String, ReplyData { data, as_of }: ReplyData) -> Message {
    Message::Reply(Reply {
        id: id::new(IdKind::Message),
        timestamp: crate::clock::now(),
        session_id: None,
        execution_id: None,
        seq: None,
        reply_to,
        data,
        as_of,
    })
}

pub(super) fn failed(reply_to: Option<String>, failure: &Failure) -> Message {
    Message::Failed(Failed {
        id: id::new(IdKind::Message),
        timestamp: crate::clock::now(),
        session_id: None,
        execution_id: None,
        seq: None,
        reply_to,
        code: failure.code,
        what: failure.what.clone(),
        why: failure.why.clone(),
        how: failure.how.clone(),
    })
}

pub(super) fn bad_frame(error: &FrameError) -> Failure {
    let code = if matches!(error, FrameError::UnknownType(_)) { Code::Unsupported } else { Code::BadRequest };
    Failure::new(code, "a message could not be understood", error.to_string(), "see docs/protocol.md")
}

/// An answer's data.
pub(super) fn json(value: &impl serde::Serialize) -> Result<Option<Box<RawValue>>, Failure> {
    to_raw_value(value)
        .map(Some)
        .map_err(|error| Failure::new(Code::Internal, "an answer could not be written", error.to_string(), ""))
}

/// Seconds that a client gives.
pub(super) fn time(seconds: f64, name: &str) -> Result<Duration, Failure> {
    if seconds.is_finite() && seconds >= 0.0 {
        return Ok(Duration::from_secs_f64(seconds.min(1e9)));
    }
    Err(Failure::new(
        Code::BadRequest,
        format!("{name} cannot be used"),
        format!("it is {seconds}"),
        "give seconds, 0 or more",
    ))
}
