//! What the engine and a frozen process say to each other.

use crate::message::RandomState;
use serde::{Deserialize, Serialize};

/// What the engine asks of a frozen process.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum FrozenRequest {
    /// Become the live worker. Descriptors: control channel and, to keep it usable, its replacement's channel.
    Wake {
        /// Whether it stays usable: it forks its replacement first.
        keep: bool,
        /// Whether one more descriptor is a file with values to take over.
        salvage: bool,
    },
    /// Fork a process that writes the state down. Descriptor: the channel on which it does.
    Save {},
    /// Fork a session of its own. Descriptors: control channel, stdout, stderr, standard input.
    Branch {
        /// Number of the branch.
        index: u32,
        /// What becomes of random state.
        random: RandomState,
        /// The number by which session init knows its processes.
        member: u32,
    },
    /// End.
    Leave {},
}

/// What a frozen process says.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum FrozenEvent {
    /// It waits.
    Frozen {},
}
