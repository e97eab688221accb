//! Failures: what went wrong, why, and what to do, under a stable code.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The stable code of a failure. A code never changes its meaning; new ones may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request could not be understood, or a value in it is not allowed.
    BadRequest,
    /// No suitable Python interpreter.
    PythonNotFound,
    /// The interpreter is there, but the environment could not be started (a preloaded module is missing, say).
    EnvironmentFailed,
    /// The session is not there, was shut down, or ended.
    SessionClosed,
    /// The session's state was lost since the last execution; the session goes on with a fresh namespace.
    SessionLost,
    /// The execution id was used before.
    DuplicateId,
    /// The idempotency key was used before, with other code.
    IdempotencyMismatch,
    /// No such execution, or it has ended.
    UnknownExecution,
    /// No such prompt, or it was answered already.
    UnknownInput,
    /// No such pool, or it was shut down.
    UnknownPool,
    /// No session became free within the time limit.
    PoolTimeout,
    /// The session is not on loan from this pool (released already, say).
    NotAcquired,
    /// The session still runs code.
    Busy,
    /// A peer broke the protocol.
    ProtocolError,
    /// A later version brings this.
    Unsupported,
    /// Too many requests wait.
    TooMany,
    /// The request was stopped before it ended.
    Interrupted,
    /// No such snapshot: it was dropped, discarded by a rollback, evicted, or it never was.
    SnapshotNotFound,
    /// No transaction is open, or another one than the request names.
    NoTransaction,
    /// A transaction is open already.
    TransactionOpen,
    /// There is no execution that can be undone.
    NothingToUndo,
    /// Nothing was undone that could be done again.
    NothingToRedo,
    /// The process cannot be frozen as it is.
    SnapshotRefused,
    /// No such checkpoint in the data directory.
    CheckpointNotFound,
    /// The checkpoint could not be made.
    CheckpointFailed,
    /// The checkpoint is damaged.
    CheckpointDamaged,
    /// The checkpoint could not be brought back; the session is as it was.
    RestoreFailed,
    /// Events that were asked for are not kept any more.
    Gone,
    /// No room for it: the disk is full, or the store's limit is reached.
    StorageFull,
    /// The operating system refused, or a bug.
    Internal,
}

impl Code {
    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadRequest => "bad_request",
            Code::PythonNotFound => "python_not_found",
            Code::EnvironmentFailed => "environment_failed",
            Code::SessionClosed => "session_closed",
            Code::SessionLost => "session_lost",
            Code::DuplicateId => "duplicate_id",
            Code::IdempotencyMismatch => "idempotency_mismatch",
            Code::UnknownExecution => "unknown_execution",
            Code::UnknownInput => "unknown_input",
            Code::UnknownPool => "unknown_pool",
            Code::PoolTimeout => "pool_timeout",
            Code::NotAcquired => "not_acquired",
            Code::Busy => "busy",
            Code::ProtocolError => "protocol_error",
            Code::Unsupported => "unsupported",
            Code::TooMany => "too_many",
            Code::Interrupted => "interrupted",
            Code::SnapshotNotFound => "snapshot_not_found",
            Code::NoTransaction => "no_transaction",
            Code::TransactionOpen => "transaction_open",
            Code::NothingToUndo => "nothing_to_undo",
            Code::NothingToRedo => "nothing_to_redo",
            Code::SnapshotRefused => "snapshot_refused",
            Code::CheckpointNotFound => "checkpoint_not_found",
            Code::CheckpointFailed => "checkpoint_failed",
            Code::CheckpointDamaged => "checkpoint_damaged",
            Code::RestoreFailed => "restore_failed",
            Code::Gone => "gone",
            Code::StorageFull => "storage_full",
            Code::Internal => "internal",
        }
    }
}

/// A failure as a person needs it: what happened, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// Stable code, for programs.
    pub code: Code,
    /// What happened.
    pub what: String,
    /// Why; may be empty.
    #[serde(default)]
    pub why: String,
    /// What to do; may be empty.
    #[serde(default)]
    pub how: String,
}

impl Failure {
    /// A failure from its four parts.
    pub fn new(code: Code, what: impl Into<String>, why: impl Into<String>, how: impl Into<String>) -> Self {
        Failure { code, what: what.into(), why: why.into(), how: how.into() }
    }

    /// The operating system refused something.
    pub fn os(what: impl Into<String>, error: &std::io::Error) -> Self {
        Failure::new(Code::Internal, what, error.to_string(), "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        if !self.how.is_empty() {
            write!(f, " ({})", self.how)?;
        }
        Ok(())
    }
}
