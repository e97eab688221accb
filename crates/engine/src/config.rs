//! What an engine is made with.

use crate::log::Durability;
use pyrepl3_store::journal::Limits as JournalLimits;
use pyrepl3_worker::SearchPath;
use std::path::PathBuf;
use std::time::Duration;

/// What an engine is made with.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// Interpreter, or virtual environment, of sessions that name none; the first suitable one on the search path
    /// without it.
    pub python: Option<PathBuf>,
    /// Where to look for interpreters.
    pub search: SearchPath,
    /// Frozen processes (snapshots, of whatever kind) of all sessions together; 1,000 without it. Above it, the session
    /// that has most gives one up.
    pub snapshots: Option<usize>,
    /// Where checkpoints are kept; none can be made without it. Several engines may share it.
    pub data: Option<PathBuf>,
    /// How long a session waits for another engine when this one's process has died: with it sessions outlive their
    /// supervisor, and [`Engine::adopt`](crate::Engine::adopt) takes them over. None: a session ends with its engine. Needs
    /// `data`. Sessions of pools, and scripts that have this process's standard input, end in any case.
    pub linger: Option<Duration>,
    /// With it each session keeps its events in the data directory: nothing that was told is lost with this process, and who reads
    /// slowly or comes back later misses nothing. Needs `data`. Not for sessions of pools, and scripts that have this process's
    /// standard input.
    pub journal: Option<JournalConfig>,
    /// Processes that stand ready for sessions to come, of each environment that was asked for lately: such a session begins without waiting
    /// for its fork. Each takes some MB. None without it.
    pub spares: usize,
    /// Bytes that all checkpoints there may take together; as many as the disk has without it.
    pub checkpoint_bytes: Option<u64>,
    /// Soft limit of open descriptors (`RLIMIT_NOFILE`) that sessions begin with; this process's own without it. A
    /// program that raised its own says what it was: code that calls `select`, or walks over all descriptors, relies
    /// on the usual one.
    pub open_files: Option<u64>,
}

/// How sessions keep their events.
#[derive(Debug, Clone, Copy, Default)]
pub struct JournalConfig {
    /// What an event that was told survives.
    pub durability: Durability,
    /// How much of each session's is kept.
    pub limits: JournalLimits,
}

impl EngineConfig {
    /// A configuration that looks for an interpreter.
    pub fn new(search: SearchPath) -> Self {
        EngineConfig { search, ..EngineConfig::default() }
    }
}
