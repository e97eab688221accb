//! The public protocol: every message between a client and the engine.
//!
//! A message is one JSON object. `type` says which; `id`, `timestamp`, `session_id` and `execution_id` mean the same
//! in all of them. A request is answered by `reply`, `ready` or `failure`, whose `reply_to` is the request's `id`;
//! `execute` is answered by the messages of its execution, of which exactly one, `result` or `error`, is the last.
//! Fields that a side does not know are ignored; a type that it does not know is answered with a failure.

mod introspection;
mod parts;
mod weight;

pub use introspection::*;
pub use parts::*;
pub use weight::Weight;

use crate::frame::FrameError;
use crate::text::JsonText;
use crate::{Code, Failure};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The version of the public protocol. It grows when an old peer would misunderstand a new one.
pub const PROTOCOL_VERSION: u32 = 1;

/// A MIME bundle: representations of one object by their type. Binary ones are base64.
pub type Bundle = BTreeMap<String, Box<RawValue>>;

/// Bytes of a message beside what hangs on it.
const ENVELOPE: usize = std::mem::size_of::<Message>() + 64;

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident = $tag:literal { $($(#[$meta:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Serialize, Deserialize)]
            #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
            pub struct $name {
                /// Id of the message; of the execution, where it is an `execute`; of the prompt, where it is an `input`.
                #[serde(default)]
                pub id: String,
                /// When it was made: Unix time in seconds.
                #[serde(default)]
                pub timestamp: f64,
                /// The session that it belongs to.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub session_id: Option<String>,
                /// The execution that it belongs to.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub execution_id: Option<String>,
                /// Its number in the session's log, from 1 without gaps; none on what is not part of it: requests,
                /// and what answers them alone.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub seq: Option<u64>,
                $($(#[$meta])* pub $field: $ty,)*
            }
        )*

        /// Any message of the public protocol.
        #[derive(Debug, Clone)]
        #[allow(missing_docs)]
        pub enum Message { $($name($name),)* }

        impl Message {
            /// Every `type` of the protocol.
            pub const TYPES: &'static [&'static str] = &[$($tag,)*];

            /// The message's `type`.
            pub fn type_name(&self) -> &'static str {
                match self { $(Message::$name(_) => $tag,)* }
            }

            /// The message's `id`.
            pub fn id(&self) -> &str {
                match self { $(Message::$name(message) => &message.id,)* }
            }

            /// The session that the message belongs to.
            pub fn session_id(&self) -> Option<&str> {
                match self { $(Message::$name(message) => message.session_id.as_deref(),)* }
            }

            /// The execution that the message belongs to.
            pub fn execution_id(&self) -> Option<&str> {
                match self { $(Message::$name(message) => message.execution_id.as_deref(),)* }
            }

            /// Its number in the session's log.
            pub fn seq(&self) -> Option<u64> {
                match self { $(Message::$name(message) => message.seq,)* }
            }

            /// Gives it its number in the session's log.
            pub fn set_seq(&mut self, seq: u64) {
                match self { $(Message::$name(message) => message.seq = Some(seq),)* }
            }

            /// Says to which session and execution it belongs.
            pub fn address(&mut self, session: &str, execution: Option<&str>) {
                let (session, execution) = (Some(session.to_owned()), execution.map(str::to_owned));
                match self {
                    $(Message::$name(message) => (message.session_id, message.execution_id) = (session, execution),)*
                }
            }

            /// Bytes that it holds in memory, about: all of its texts and lists, not only what it mostly carries.
            pub fn weight(&self) -> usize {
                match self {
                    $(Message::$name(message) => {
                        ENVELOPE + message.id.weight() + message.session_id.weight() + message.execution_id.weight()
                            $(+ message.$field.weight())*
                    })*
                }
            }

            fn body(&self) -> serde_json::Result<Vec<u8>> {
                match self { $(Message::$name(message) => serde_json::to_vec(message),)* }
            }

            fn parse(tag: &str, json: &[u8]) -> Option<serde_json::Result<Message>> {
                match tag {
                    $($tag => Some(serde_json::from_slice(json).map(Message::$name)),)*
                    _ => None,
                }
            }

            /// The JSON Schema of each message, by its `type`.
            #[cfg(feature = "schema")]
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($tag, schemars::schema_for!($name)),)*]
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self { Message::$name(message) }
        })*
    };
}

messages! {
    // ---- client to engine -------------------------------------------------------------------------------------

    /// Starts a session; answered by `ready`.
    Start = "start" {
        /// What the session is started with.
        #[serde(default)]
        options: SessionOptions,
    }
    /// Runs code. Its id is the execution's; without one the engine makes one.
    Execute = "execute" {
        /// Python source.
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        code: JsonText,
        /// What becomes of the state when it ends; the session's default without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction_policy: Option<TransactionPolicy>,
        /// The explicit transaction that it belongs to: refused unless that is the open one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction_id: Option<String>,
        /// Wall time in seconds from the start of the execution, waits for input included.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
        /// Answers to its prompts, in order; when used up, prompts get end-of-file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
        inputs: Option<Vec<JsonText>>,
        /// Names whose values are carried out of a failed state into the one before, under a policy that undoes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        salvage: Vec<String>,
        /// When it fails, executions queued behind it are cancelled.
        #[serde(default)]
        stop_on_error: bool,
        /// A repeated key does not run the code again but ends as the first did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    }
    /// Answers a prompt.
    InputResponse = "input_response" {
        /// The prompt: the `id` of the `input` message.
        input_id: String,
        /// The answer, without a newline at its end; null is end-of-file.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        value: Option<JsonText>,
    }
    /// Stops the running execution by the ladder; answered when it has ended, or at once if nothing runs.
    Interrupt = "interrupt" {}
    /// Cancels an execution: not started, it never runs; running, it is interrupted.
    Cancel = "cancel" {}
    /// Asks for the variables of the session. It waits its turn, unless there is a snapshot of the state before
    /// the code that runs: then that answers, and the reply has `as_of`.
    Variables = "variables" {}
    /// Asks for completions; waits its turn as `variables`.
    Complete = "complete" {
        /// Source up to, or around, the cursor.
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        code: JsonText,
        /// Cursor in code points; the end of the code without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<u32>,
    }
    /// Asks what a name is; waits its turn as `variables`.
    Inspect = "inspect" {
        /// A name, or a dotted path.
        name: String,
    }
    /// Asks whether code is complete, so that a terminal knows when to go on; waits its turn as `variables`. The reply has no
    /// `as_of`: it is the same whatever the state.
    IsComplete = "is_complete" {
        /// Source.
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        code: JsonText,
    }
    /// Begins an explicit transaction; waits its turn. Answered by a reply with `transaction_id`.
    Begin = "begin" {
        /// Seconds after which it rolls back if nothing happens in it; the session's own limit without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    }
    /// Keeps the effects of the open transaction; waits its turn.
    Commit = "commit" {
        /// The transaction; whichever is open without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction_id: Option<String>,
    }
    /// Undoes the open transaction; waits its turn. Answered by `rolled_back`.
    Rollback = "rollback" {
        /// The transaction; whichever is open without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction_id: Option<String>,
    }
    /// Takes a snapshot inside the open transaction; waits its turn. Answered by `snapshot_created`.
    Savepoint = "savepoint" {
        /// The transaction; whichever is open without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction_id: Option<String>,
    }
    /// Takes a snapshot; waits its turn. Answered by `snapshot_created`.
    TakeSnapshot = "snapshot" {
        /// A name for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    }
    /// Asks for the snapshots of the session; answered at once by a reply with a list of `Snapshot`.
    Snapshots = "snapshots" {}
    /// Drops a snapshot; answered at once.
    DropSnapshot = "drop_snapshot" {
        /// The snapshot.
        snapshot_id: String,
    }
    /// Stops what runs, cancels what waits, and returns to a snapshot. Later ones are gone; this one stays. Answered by
    /// `rolled_back`.
    RollbackTo = "rollback_to" {
        /// The snapshot.
        snapshot_id: String,
        /// The transaction that it is a savepoint of: refused unless that is the open one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction_id: Option<String>,
    }
    /// Undoes the last execution; waits its turn. Answered by `rolled_back`.
    Undo = "undo" {}
    /// Returns to what `undo` left; waits its turn. Answered by `rolled_back`.
    Redo = "redo" {}
    /// Splits the session; waits its turn. Answered by `branched`.
    BranchRequest = "branch" {
        /// How many branches.
        #[serde(default = "one")]
        count: u32,
        /// What becomes of random state.
        #[serde(default)]
        random: RandomState,
    }
    /// Saves the session, which goes on meanwhile; waits its turn, but for what runs where there is a snapshot of the
    /// state before it. Answered by `checkpoint_created`, with `progress` before it.
    CheckpointRequest = "checkpoint" {
        /// A name for people. Several checkpoints may have the same: it means the newest then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    }
    /// Gives up a checkpoint that is being made. Nothing of it is kept.
    CancelCheckpoint = "cancel_checkpoint" {
        /// The `id` of the `checkpoint` message.
        request: String,
    }
    /// Stops what runs, cancels what waits, and brings a checkpoint back; the session is as it was if that fails.
    /// Answered by `restored`.
    RestoreRequest = "restore" {
        /// The checkpoint, by id or by name.
        checkpoint_id: String,
        /// Whether to go on without what needs packages that are missing, or bytes that are damaged.
        #[serde(default)]
        partial: bool,
    }
    /// Asks for the checkpoints in the data directory; answered at once by a reply with a list of `Checkpoint`.
    Checkpoints = "checkpoints" {}
    /// Asks what differs between two checkpoints; answered by a reply with a list of `Difference`.
    DiffRequest = "diff" {
        /// The older one, by id or by name.
        a: String,
        /// The newer one; the session as it is without it, which waits its turn then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        b: Option<String>,
    }
    /// Deletes a checkpoint. Answered by a reply.
    DeleteCheckpoint = "delete_checkpoint" {
        /// The checkpoint, by id or by name.
        checkpoint_id: String,
    }
    /// Asks for the state of the session; answered at once.
    Status = "status" {}
    /// Takes note that output was consumed, so that more may come.
    Ack = "ack" {
        /// Bytes of messages consumed since the last `ack`, as counted on the wire.
        bytes: u64,
    }
    /// Takes hold of a session that lives on without a client (`detached`); answered by `ready`.
    Attach = "attach" {}
    /// Lets go of a session without ending it, unless it lives only as long as its clients. Answered by a reply.
    Detach = "detach" {}
    /// Ends a session; without a session, everything that this client started.
    Shutdown = "shutdown" {}
    /// Starts a pool; answered by a reply with `pool_id` when its warm-up ran and its first sessions stand.
    PoolStart = "pool_start" {
        /// What the pool is started with.
        #[serde(default)]
        options: PoolOptions,
    }
    /// Takes a session from a pool; answered by `ready`.
    PoolAcquire = "pool_acquire" {
        /// The pool.
        pool_id: String,
        /// How long to wait, in seconds; the pool's own limit without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    }
    /// Gives a session back to its pool.
    PoolRelease = "pool_release" {
        /// The pool.
        pool_id: String,
    }
    /// Asks for a pool's statistics.
    PoolStats = "pool_stats" {
        /// The pool.
        pool_id: String,
    }
    /// Ends a pool and its sessions.
    PoolShutdown = "pool_shutdown" {
        /// The pool.
        pool_id: String,
    }

    // ---- engine to client -------------------------------------------------------------------------------------

    /// The handshake: first message of a connection, without a session; and the answer that a session is ready.
    Ready = "ready" {
        /// The request that this answers; none on the connection's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// Version of the protocol.
        protocol_version: u32,
        /// Version of the engine.
        server_version: String,
        /// What this engine can do.
        capabilities: Vec<String>,
        /// The session's interpreter; none on the connection's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        python: Option<PythonInfo>,
        /// The number of the session's earliest event that is kept; of the next one where none is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earliest: Option<u64>,
        /// The number of its last event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<u64>,
    }
    /// An execution was taken, and runs when its turn comes. Told where the session has a journal.
    Accepted = "accepted" {
        /// Its source, as text.
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        code: JsonText,
        /// What becomes of the state when it ends.
        transaction_policy: TransactionPolicy,
        /// The key that it was asked for with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
        /// What whoever asked for it knows the request by, so that another with the same key can be told from a retry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<String>,
    }
    /// A prompt was answered. Told where the session has a journal; the answer itself is not.
    Answered = "answered" {
        /// The prompt.
        input_id: String,
    }
    /// Output of an execution, or, without one, of what user code left running in the session.
    OutputMessage = "output" {
        /// Where it was written.
        stream: Stream,
        /// The text, with U+FFFD where bytes were not UTF-8.
        data: String,
        /// The exact bytes, base64, where they were not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<String>,
        /// Bytes that were left out before this text, because nobody took them in time.
        #[serde(default, skip_serializing_if = "is_zero")]
        dropped: u64,
    }
    /// User code waits for input. Its id is what `input_response` names.
    InputMessage = "input" {
        /// The prompt.
        prompt: String,
        /// Whether the answer should not be shown.
        #[serde(default)]
        password: bool,
        /// Whether it was answered from the execution's `inputs` already.
        #[serde(default)]
        answered: bool,
    }
    /// Something to show: a figure, a table, `display(…)`.
    DisplayMessage = "display" {
        /// MIME bundle.
        #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, serde_json::Value>"))]
        data: Bundle,
        /// Metadata by MIME type.
        #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, serde_json::Value>"))]
        #[serde(default)]
        metadata: Bundle,
        /// Names the display, so that a later one can replace it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_id: Option<String>,
        /// Whether it replaces what was shown under the same `display_id`.
        #[serde(default)]
        update: bool,
    }
    /// An execution completed.
    ResultMessage = "result" {
        /// The value, where JSON carries it exactly (see `docs/protocol.md`); else null.
        #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
        value: Option<Box<RawValue>>,
        /// `repr` of the value, bounded; none when there is no value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repr: Option<String>,
        /// The value's type, as `module.name` (builtins without the module); none when there is no value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value_type: Option<String>,
        /// MIME bundle of the value.
        #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, serde_json::Value>"))]
        #[serde(default)]
        data: Bundle,
        /// Wall time in seconds.
        duration: f64,
        /// Change of the resident memory since the execution before it ended, in bytes.
        memory_delta: i64,
        /// Whether a hook that the session has set (`sys.displayhook`) has shown it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shown: bool,
        /// Names of the namespace that changed.
        changes: Changes,
        /// Number of the execution in its session, from 1.
        execution_count: u64,
        /// Whether this repeats the end of an earlier execution with the same idempotency key.
        #[serde(default)]
        replayed: bool,
    }
    /// An execution ended otherwise.
    ErrorMessage = "error" {
        /// How it ended.
        status: EndStatus,
        /// The exception's type.
        ename: String,
        /// The exception's text.
        evalue: String,
        /// `str` of the exception.
        error: String,
        /// The traceback as Python prints it, without the worker's own frames.
        traceback: String,
        /// The traceback's frames, outermost first.
        #[serde(default)]
        frames: Vec<Frame>,
        /// Whether a hook that the session has set (`sys.excepthook`) has shown it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shown: bool,
        /// Whether its effects were undone.
        rolled_back: bool,
        /// What was restored and how, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        report: Option<String>,
        /// Numbers of the executions whose effects are gone by this, its own and any before it, oldest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        undone: Vec<u64>,
        /// Names that were carried out of it into the state before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        salvaged: Vec<String>,
        /// Which step of the stop ladder ended it, where one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped_by: Option<StopStep>,
        /// Whether the session's state went with the process: it goes on with a fresh namespace.
        #[serde(default)]
        session_lost: bool,
        /// How the process ended, where it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<ProcessExit>,
        /// The exit status that a `SystemExit` asks for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// Wall time in seconds; 0 when it never started.
        duration: f64,
        /// Names of the namespace that changed before it ended.
        #[serde(default)]
        changes: Changes,
        /// Number of the execution in its session, from 1; 0 when it never started.
        execution_count: u64,
        /// Whether this repeats the end of an earlier execution with the same idempotency key.
        #[serde(default)]
        replayed: bool,
    }
    /// A snapshot was taken.
    SnapshotCreated = "snapshot_created" {
        /// The request that this answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// Its id.
        snapshot_id: String,
        /// Its name, if it was given one.
        #[serde(default)]
        name: Option<String>,
        /// What it is kept for.
        kind: SnapshotKind,
        /// What a return to it will not restore, in words.
        #[serde(default)]
        warnings: Vec<String>,
        /// Seconds that the session paused for it.
        duration: f64,
        /// Executions before it.
        execution_count: u64,
    }
    /// The session returned to an earlier state.
    RolledBack = "rolled_back" {
        /// The request that this answers; none when it came by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// The snapshot that it returned to, where it has a name.
        #[serde(default)]
        snapshot_id: Option<String>,
        /// What was restored and how, in words.
        report: String,
        /// Whether everything is as it was.
        exact: bool,
        /// Why it happened.
        reason: String,
        /// Seconds that it took.
        duration: f64,
        /// Number of the last execution whose effects are in the state that is back; 0 for none.
        execution_count: u64,
        /// Numbers of the executions whose effects are gone by this, oldest first.
        #[serde(default)]
        undone: Vec<u64>,
        /// Numbers of the executions whose effects are there again by this, oldest first.
        #[serde(default)]
        redone: Vec<u64>,
        /// Names of the snapshots that are gone by this, because they were later.
        #[serde(default)]
        discarded: Vec<String>,
    }
    /// How far a checkpoint is.
    Progress = "progress" {
        /// The request that this belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// Bytes so far.
        bytes: u64,
        /// Groups of variables that are done.
        done: u64,
        /// Of so many.
        total: u64,
        /// The variable that comes next.
        name: String,
    }
    /// The session was saved.
    CheckpointCreated = "checkpoint_created" {
        /// The request that this answers; none when it came by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// Its id.
        checkpoint_id: String,
        /// Its name, if it was given one.
        #[serde(default)]
        name: Option<String>,
        /// The checkpoint that this session was saved to, or came from, before.
        #[serde(default)]
        parent: Option<String>,
        /// What it holds, and how it was kept.
        variables: Vec<Variable>,
        /// What it does not hold, and why.
        lost: Vec<Lost>,
        /// Bytes of the whole state.
        size_bytes: u64,
        /// Bytes that were newly written.
        stored_bytes: u64,
        /// Seconds that the session paused for it.
        pause: f64,
        /// Seconds from the request to the end.
        duration: f64,
        /// Executions before it.
        execution_count: u64,
    }
    /// The session's state is that of a checkpoint.
    Restored = "restored" {
        /// The request that this answers; none when it came by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// The checkpoint.
        checkpoint_id: String,
        /// Its name, if it was given one.
        #[serde(default)]
        name: Option<String>,
        /// What came back, and how it was kept.
        variables: Vec<Variable>,
        /// What did not come back, with what the checkpoint did not hold, and why.
        lost: Vec<Lost>,
        /// Packages that are missing, or there in another version.
        #[serde(default)]
        packages: Vec<PackageDifference>,
        /// Why it happened.
        reason: String,
        /// Numbers of the executions whose effects are gone by this, oldest first.
        #[serde(default)]
        undone: Vec<u64>,
        /// Seconds that it took.
        duration: f64,
        /// Executions before the checkpoint.
        execution_count: u64,
    }
    /// A session was split.
    Branched = "branched" {
        /// The request that this answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// The branches: sessions of this connection from now on.
        branches: Vec<Branch>,
    }
    /// A snapshot had to go, because there are too many.
    Evicted = "evicted" {
        /// The snapshot.
        snapshot_id: String,
        /// Its name, if it was given one.
        #[serde(default)]
        name: Option<String>,
        /// What it was kept for.
        kind: SnapshotKind,
        /// Which limit it was.
        reason: String,
    }
    /// Something that a later rollback will not restore.
    Warning = "warning" {
        /// What, in words.
        text: String,
    }
    /// The session's process died: its state is lost, and it goes on with a fresh namespace or has ended.
    SessionLost = "session_lost" {
        /// What happened, in words.
        reason: String,
        /// How the process ended, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<ProcessExit>,
        /// Whether the session goes on.
        recovered: bool,
    }
    /// A request succeeded.
    Reply = "reply" {
        /// The request.
        reply_to: String,
        /// What was asked for.
        #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
        #[serde(default)]
        data: Option<Box<RawValue>>,
        /// Of an answer that was given while code runs: the number of the last execution whose effects are in the state that
        /// it shows, 0 for none. That is the state before the code that runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_of: Option<u64>,
    }
    /// A request failed.
    Failed = "failure" {
        /// The request; none when it could not be told which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// Stable code.
        code: Code,
        /// What happened.
        what: String,
        /// Why.
        #[serde(default)]
        why: String,
        /// What to do.
        #[serde(default)]
        how: String,
    }
}

fn one() -> u32 {
    1
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Failed {
    /// The failure in this message.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code, self.what.as_str(), self.why.as_str(), self.how.as_str())
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    tag: Cow<'a, str>,
}

impl Message {
    /// The message as JSON.
    ///
    /// # Errors
    /// [`FrameError::Malformed`] if a float is not finite.
    pub fn to_json(&self) -> Result<Vec<u8>, FrameError> {
        let body = self.body().map_err(|error| FrameError::Malformed(error.to_string()))?;
        let tag = self.type_name();
        let mut json = Vec::with_capacity(body.len() + tag.len() + 12);
        json.extend_from_slice(b"{\"type\":\"");
        json.extend_from_slice(tag.as_bytes());
        json.extend_from_slice(b"\",");
        // Every message has at least `id`, so its body is `{"…`.
        json.extend_from_slice(&body[1..]);
        Ok(json)
    }

    /// A message from JSON whose nesting was checked (see [`crate::frame::check_depth`]).
    ///
    /// # Errors
    /// [`FrameError::UnknownType`] or [`FrameError::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<Message, FrameError> {
        let malformed = |error: serde_json::Error| FrameError::Malformed(error.to_string());
        let head: Head<'_> = serde_json::from_slice(json).map_err(malformed)?;
        match Message::parse(&head.tag, json) {
            Some(message) => message.map_err(malformed),
            None => Err(FrameError::UnknownType(head.tag.chars().take(80).collect())),
        }
    }

    /// Reads only the `id` of something that may not be a message, to say what a failure answers.
    pub fn peek_id(json: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        serde_json::from_slice::<Id>(json).ok().map(|head| head.id)
    }
}

/// The JSON Schema of the whole protocol, as text: one definition for each `type`.
#[cfg(feature = "schema")]
pub fn schema_document() -> String {
    let mut definitions = serde_json::Map::new();
    let mut one_of = Vec::new();
    for (tag, schema) in Message::schemas() {
        let mut schema = schema.to_value();
        if let Some(object) = schema.as_object_mut() {
            object.remove("$schema");
            // The parts that messages share stand beside them.
            if let Some(serde_json::Value::Object(parts)) = object.remove("$defs") {
                definitions.extend(parts);
            }
            let properties = object.entry("properties").or_insert_with(|| serde_json::json!({}));
            properties["type"] = serde_json::json!({ "const": tag });
            let required = object.entry("required").or_insert_with(|| serde_json::json!([]));
            if let Some(required) = required.as_array_mut() {
                required.insert(0, serde_json::json!("type"));
            }
        }
        one_of.push(serde_json::json!({ "$ref": format!("#/$defs/message:{tag}") }));
        definitions.insert(format!("message:{tag}"), schema);
    }
    let document = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pyrepl3 protocol",
        "description": format!("Messages of version {PROTOCOL_VERSION}; made by `cargo xtask schema`."),
        "oneOf": one_of,
        "$defs": definitions,
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
