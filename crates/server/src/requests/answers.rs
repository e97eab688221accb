//! Messages that answer.

use crate::clock;
use pyrepl3_engine::protocol::id::{self, IdKind};
use pyrepl3_engine::protocol::message::{Branch, Branched, Failed, Message, Progress, Ready, Reply};
use pyrepl3_engine::protocol::{FrameError, PROTOCOL_VERSION};
use pyrepl3_engine::{CheckpointNote, Code, Failure, Session};
use serde_json::value::RawValue;
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
pub fn ready(reply_to: Option<String>, session: Option<&Session>) -> Message {
    let numbers = session.map(Session::event_numbers);
    Message::Ready(Ready {
        id: id::new(IdKind::Message),
        timestamp: clock::now(),
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

/// A request succeeded. `as_of`: where the answer shows a state before the present one, the last execution in that.
pub fn reply(reply_to: String, data: Option<Box<RawValue>>, as_of: Option<u64>) -> Message {
    Message::Reply(Reply {
        id: id::new(IdKind::Message),
        timestamp: clock::now(),
        session_id: None,
        execution_id: None,
        seq: None,
        reply_to,
        data,
        as_of,
    })
}

/// A request failed, or something that could not be told to be one.
pub fn failed(reply_to: Option<String>, failure: &Failure) -> Message {
    Message::Failed(Failed {
        id: id::new(IdKind::Message),
        timestamp: clock::now(),
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

/// A session was split.
pub fn branched(reply_to: String, sessions: &[Session]) -> Message {
    let branch = |session: &Session| {
        session.lineage().map(|lineage| Branch {
            session_id: session.id().to_owned(),
            python: session.python(),
            parent: lineage.parent.clone(),
            branched_at: lineage.branched_at,
        })
    };
    Message::Branched(Branched {
        id: id::new(IdKind::Message),
        timestamp: clock::now(),
        session_id: None,
        execution_id: None,
        seq: None,
        reply_to: Some(reply_to),
        branches: sessions.iter().filter_map(branch).collect(),
    })
}

/// How far a checkpoint is.
pub fn progress(reply_to: String, session: Option<String>, note: CheckpointNote) -> Message {
    Message::Progress(Progress {
        id: id::new(IdKind::Message),
        timestamp: clock::now(),
        session_id: session,
        execution_id: None,
        seq: None,
        reply_to: Some(reply_to),
        bytes: note.bytes,
        done: note.done,
        total: note.total,
        name: note.name,
    })
}

/// Why something is no message.
pub fn bad_frame(error: &FrameError) -> Failure {
    let code = if matches!(error, FrameError::UnknownType(_)) { Code::Unsupported } else { Code::BadRequest };
    Failure::new(code, "a message could not be understood", error.to_string(), "see docs/protocol.md")
}

/// Seconds that a client gives.
///
/// # Errors
/// `bad_request` where they are no number from 0 on.
pub fn time(seconds: f64, name: &str) -> Result<Duration, Failure> {
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
