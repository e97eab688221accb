//! The parts that messages are made of.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What becomes of the state when an execution ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransactionPolicy {
    /// Effects stay, however it ends.
    #[default]
    CommitAlways,
    /// Effects stay on success only.
    CommitOnSuccess,
    /// Effects are undone on failure.
    RollbackOnFailure,
    /// Effects wait for `commit` or `rollback`.
    Explicit,
}

/// What becomes of random state in branches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RandomState {
    /// Every branch draws the same numbers, as the parent will.
    #[default]
    Same,
    /// Every branch draws its own, reproducibly.
    Split,
}

/// What a snapshot is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// A client asked for it.
    Named,
    /// Inside the open transaction.
    Savepoint,
    /// Before the open transaction.
    Transaction,
    /// Before an execution that `undo` can go back beyond.
    Undo,
    /// A present that `undo` left, and that `redo` returns to.
    Redo,
    /// A checkpoint is being made of it.
    Checkpoint,
    /// Before the execution that runs.
    Execution,
}

/// A snapshot of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snapshot {
    /// Its id.
    pub snapshot_id: String,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// What it is kept for.
    pub kind: SnapshotKind,
    /// When it was taken: Unix time in seconds.
    pub created_at: f64,
    /// Seconds since.
    pub age: f64,
    /// Executions before it.
    pub execution_count: u64,
    /// Bytes that it holds alone, page tables included; null where that cannot be told.
    pub memory: Option<u64>,
}

/// How a name was kept in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Variable {
    /// The name.
    pub name: String,
    /// `import`, `pickle`, `cloudpickle`, `source` or `data`.
    #[serde(default)]
    pub tier: String,
    /// Its type.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_name: String,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
}

/// What a checkpoint did not keep, or what did not come back from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lost {
    /// A variable, or state that is none, under a plain name (`umask`, `json.dumps`, `fd 7`).
    pub name: String,
    /// Why, in words.
    pub reason: String,
}

/// A package that a checkpoint was made with, and that is not there, or in another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PackageDifference {
    /// The package.
    pub name: String,
    /// The version that the checkpoint was made with.
    #[serde(default)]
    pub saved: Option<String>,
    /// The version that is there; null where it is missing.
    #[serde(default)]
    pub found: Option<String>,
}

/// A checkpoint in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Checkpoint {
    /// Its id.
    pub checkpoint_id: String,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// The session that it was made of.
    pub session_id: String,
    /// The checkpoint that this session was saved to, or came from, before.
    pub parent: Option<String>,
    /// When it was made: Unix time in seconds.
    pub created_at: f64,
    /// Bytes of the whole state.
    pub size_bytes: u64,
    /// Bytes that were newly written for it.
    pub stored_bytes: u64,
    /// Version of the interpreter.
    pub python: String,
    /// How many variables it holds.
    pub variables: u64,
    /// How much it could not keep.
    pub lost: u64,
    /// What is wrong with it, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// How a name differs between two checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// The name.
    pub name: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// Its type: the newer one, where it is in both.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Bytes in the older checkpoint; null where it is not there.
    pub size_before: Option<u64>,
    /// Bytes in the newer one; null where it is not there.
    pub size_after: Option<u64>,
}

/// When a session is saved by itself. At least one of the three.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Autosave {
    /// After so many executions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executions: Option<u32>,
    /// When so many seconds have passed since the last one, and something was executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// When nothing has run for so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<f64>,
    /// Checkpoints that are kept of those that were made by themselves; 3 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Whether the newest comes back by itself, after the worker died with its state and when a session of the same
    /// name is started again; true without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<bool>,
}

/// A session that was branched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Branch {
    /// Its id.
    pub session_id: String,
    /// Its interpreter.
    pub python: Option<PythonInfo>,
    /// The session that it was branched from.
    pub parent: String,
    /// Executions of the parent until then.
    pub branched_at: u64,
}

/// An output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// How an execution that did not complete ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndStatus {
    /// The code raised.
    Failed,
    /// It was interrupted by a client.
    Interrupted,
    /// Its time limit passed.
    TimedOut,
    /// Its process died.
    Crashed,
    /// It never ran, or its session was shut down.
    Cancelled,
}

/// A step of the stop ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopStep {
    /// SIGINT sufficed: the process, and its state, go on.
    Interrupt,
    /// SIGKILL was needed.
    Kill,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessExit {
    /// Exit code, if it left by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Number of the signal, if one killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the kernel killed it for want of memory, as far as can be known.
    #[serde(default)]
    pub out_of_memory: bool,
}

impl fmt::Display for ProcessExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(signal)) => {
                write!(f, "was killed by signal {signal}")?;
                if let Some(name) = signal_name(signal) {
                    write!(f, " ({name})")?;
                }
                if self.out_of_memory {
                    f.write_str(", most likely by the kernel because memory ran out")?;
                }
                Ok(())
            }
            (None, None) => f.write_str("ended in a way that could not be seen"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// Names of the namespace that an execution changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changes {
    /// New names.
    #[serde(default)]
    pub added: Vec<String>,
    /// Names that the code mentions and that refer to another object now.
    #[serde(default)]
    pub rebound: Vec<String>,
    /// Names that are gone.
    #[serde(default)]
    pub removed: Vec<String>,
}

/// One frame of a traceback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Frame {
    /// File, or `<execution N>`.
    pub filename: String,
    /// Line, from 1.
    pub lineno: u32,
    /// Function.
    pub name: String,
    /// Source line, without indentation; empty where it is not known.
    #[serde(default)]
    pub line: String,
}

/// The interpreter of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PythonInfo {
    /// Version, as `3.12.1`.
    pub version: String,
    /// `sys.executable`.
    pub executable: String,
    /// `sys.prefix`: the virtual environment, if it is one.
    pub prefix: String,
    /// `sys.implementation.name`.
    pub implementation: String,
}

/// Limits of one session. What is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory that each process of the session may allocate (`RLIMIT_DATA`): beyond it, `MemoryError`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Open files of each process (`RLIMIT_NOFILE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Largest file, in bytes, that may be written (`RLIMIT_FSIZE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// Seconds that an execution has to stop after SIGINT before it is killed; 5 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupt_grace: Option<f64>,
    /// Requests that may wait in the session; 1,000 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Frozen processes (snapshots, of whatever kind) that the session may have; 64 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<u32>,
}

/// What a session's code is kept from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Isolation {
    /// Nothing: it has all rights of the user. The only one that is available yet.
    #[default]
    None,
    /// Comes with a later version.
    Strict,
    /// Comes with a later version.
    Standard,
    /// Comes with a later version.
    Network,
    /// A word that this version does not know. Kept, so that the refusal can name it.
    #[serde(untagged)]
    Unknown(String),
}

impl Isolation {
    /// Its word on the wire.
    pub fn name(&self) -> &str {
        match self {
            Isolation::None => "none",
            Isolation::Strict => "strict",
            Isolation::Standard => "standard",
            Isolation::Network => "network",
            Isolation::Unknown(word) => word,
        }
    }
}

impl From<&str> for Isolation {
    fn from(word: &str) -> Self {
        let known = [Isolation::None, Isolation::Strict, Isolation::Standard, Isolation::Network];
        known.into_iter().find(|one| one.name() == word).unwrap_or_else(|| Isolation::Unknown(word.to_owned()))
    }
}

/// What a session is started with. All of it has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionOptions {
    /// Interpreter, or virtual environment; the engine's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Modules that the environment imports before sessions fork from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preload: Vec<String>,
    /// Isolation. Only `none` is available yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Working directory; the engine's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Environment variables to set; null removes one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Option<String>>,
    /// Policy of executions that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_policy: Option<TransactionPolicy>,
    /// How many executions back `undo` can go, as far as the limits allow; 0 without it: no snapshot is taken for it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undo: u32,
    /// Seconds after which an explicit transaction in which nothing happens rolls back; 600 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_timeout: Option<f64>,
    /// A checkpoint, by id or by name, whose state it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_checkpoint: Option<String>,
    /// When it is saved by itself; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autosave: Option<Autosave>,
    /// Whether it lives on when its last client goes. It ends by an explicit shutdown then, or with the engine.
    #[serde(default, skip_serializing_if = "is_false")]
    pub detached: bool,
    /// What happens while whoever reads its messages is behind.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overflow: Overflow,
}

/// What happens to output that comes faster than it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The code that prints waits. Nothing is lost.
    #[default]
    Slow,
    /// The code goes on. Output in the middle is left out, and the next output says how much.
    Shed,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What becomes of a session that is given back to its pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// It is replaced by a new fork of the template: as after warm-up.
    #[default]
    Pristine,
    /// Its process and its namespace stay: for one's own reuse only.
    Keep,
}

/// What a pool is started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PoolOptions {
    /// Idle sessions that the pool keeps ready.
    pub min_idle: u32,
    /// Sessions at most, idle ones and those on loan together.
    pub max_sessions: u32,
    /// Code that runs once, in the template that sessions fork from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_code: Option<String>,
    /// Seconds after which an idle session beyond `min_idle` is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_idle_seconds: Option<f64>,
    /// Loans after which a kept session is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// Seconds that `pool_acquire` waits when the pool is full.
    pub acquire_timeout: f64,
    /// What becomes of a session that is given back.
    pub reset: Reset,
    /// What its sessions are started with.
    pub session: SessionOptions,
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions {
            min_idle: 1,
            max_sessions: 10,
            warmup_code: None,
            max_idle_seconds: None,
            max_uses: None,
            acquire_timeout: 5.0,
            reset: Reset::Pristine,
            session: SessionOptions::default(),
        }
    }
}
