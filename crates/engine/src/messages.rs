//! Messages with their common fields filled in.

use base64::Engine as _;
use pyrepl3_protocol::JsonText;
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::{
    Accepted, Answered, Changes, CheckpointCreated, EndStatus, ErrorMessage, Evicted, InputMessage, Lost,
    OutputMessage, ProcessExit, SessionLost, SnapshotCreated, SnapshotKind, Stream, TransactionPolicy, Variable,
    Warning,
};
use pyrepl3_store::Manifest;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix time in seconds.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

pub(crate) fn output(stream: Stream, data: String, bytes: Option<Vec<u8>>) -> OutputMessage {
    OutputMessage {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: None,
        execution_id: None,
        seq: None,
        stream,
        data,
        bytes: bytes.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes)),
        dropped: 0,
    }
}

pub(crate) fn accepted(
    code: JsonText,
    transaction_policy: TransactionPolicy,
    idempotency_key: Option<String>,
    fingerprint: Option<String>,
) -> Accepted {
    Accepted {
        idempotency_key,
        fingerprint,
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: None,
        execution_id: None,
        seq: None,
        code,
        transaction_policy,
    }
}

pub(crate) fn answered(input_id: &str) -> Answered {
    Answered {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: None,
        execution_id: None,
        seq: None,
        input_id: input_id.to_owned(),
    }
}

pub(crate) fn input(prompt: String, password: bool) -> InputMessage {
    InputMessage {
        id: id::new(IdKind::Input),
        timestamp: now(),
        session_id: None,
        execution_id: None,
        seq: None,
        prompt,
        password,
        answered: false,
    }
}

/// The end of an execution that the worker did not report.
pub(crate) fn error(status: EndStatus, ename: &str, evalue: String) -> ErrorMessage {
    ErrorMessage {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: None,
        execution_id: None,
        seq: None,
        status,
        ename: ename.to_owned(),
        traceback: format!("{ename}: {evalue}\n"),
        error: evalue.clone(),
        evalue,
        frames: Vec::new(),
        shown: false,
        rolled_back: false,
        undone: Vec::new(),
        salvaged: Vec::new(),
        report: None,
        stopped_by: None,
        session_lost: false,
        exit: None,
        exit_code: None,
        duration: 0.0,
        changes: Changes::default(),
        execution_count: 0,
        replayed: false,
    }
}

pub(crate) fn snapshot_created(
    session: &str,
    snapshot: &str,
    name: Option<String>,
    kind: SnapshotKind,
    warnings: Vec<String>,
    took: Duration,
    execution_count: u64,
) -> SnapshotCreated {
    SnapshotCreated {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: Some(session.to_owned()),
        execution_id: None,
        seq: None,
        reply_to: None,
        snapshot_id: snapshot.to_owned(),
        name,
        kind,
        warnings,
        duration: took.as_secs_f64(),
        execution_count,
    }
}

pub(crate) fn checkpoint_created(
    session: &str,
    manifest: &Manifest,
    (variables, lost): (Vec<Variable>, Vec<Lost>),
    (pause, took): (Duration, Duration),
    execution_count: u64,
) -> CheckpointCreated {
    CheckpointCreated {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: Some(session.to_owned()),
        execution_id: None,
        seq: None,
        reply_to: None,
        checkpoint_id: manifest.id.to_string(),
        name: manifest.name.clone(),
        parent: manifest.parent.as_ref().map(ToString::to_string),
        variables,
        lost,
        size_bytes: manifest.size_bytes,
        stored_bytes: manifest.stored_bytes,
        pause: pause.as_secs_f64(),
        duration: took.as_secs_f64(),
        execution_count,
    }
}

pub(crate) fn evicted(
    session: &str,
    snapshot: &str,
    name: Option<String>,
    kind: SnapshotKind,
    reason: &str,
) -> Evicted {
    Evicted {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: Some(session.to_owned()),
        execution_id: None,
        seq: None,
        snapshot_id: snapshot.to_owned(),
        name,
        kind,
        reason: reason.to_owned(),
    }
}

pub(crate) fn warning(session: &str, text: String) -> Warning {
    Warning {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: Some(session.to_owned()),
        execution_id: None,
        seq: None,
        text,
    }
}

pub(crate) fn session_lost(session: &str, reason: String, exit: Option<ProcessExit>, recovered: bool) -> SessionLost {
    SessionLost {
        id: id::new(IdKind::Message),
        timestamp: now(),
        session_id: Some(session.to_owned()),
        execution_id: None,
        seq: None,
        reason,
        exit,
        recovered,
    }
}
