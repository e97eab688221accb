//! What the engine and a session init say to each other.

use serde::{Deserialize, Serialize};

/// What the engine asks of a session init.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum InitRequest {
    /// Kill what is left of the last worker and fork a new one. Descriptors: channel, stdout, stderr, standard input.
    /// Answered by `spawned`.
    Spawn {
        /// The number of the new one.
        worker: u64,
    },
    /// Kill all, and end.
    End {},
    /// Frozen processes that stay at the `rolled` that comes next, where there are more than go with one frame.
    /// Descriptors: their pidfds.
    Staying {},
    /// A frozen process was woken and is the worker now: end what is younger than it, the worker before included.
    /// Descriptors: its pidfd, then those of frozen processes and savers that stay.
    Rolled {
        /// The number of the worker that it is now.
        worker: u64,
        /// How many stay, those of `staying` included. Where init has not got them all it ends nobody.
        keep: u32,
    },
    /// A branch of this session joins the family. Descriptors: its channel to session init, and its worker's pidfd.
    Member {
        /// The number of its worker.
        worker: u64,
        /// Its number among the branches: by it session init knows its processes.
        number: u32,
    },
    /// Tell how a process ended.
    Wait {
        /// Number that the answer repeats.
        number: u64,
        /// The process, as the worker calls it. Nothing else than this question is to be done with it.
        pid: i32,
        /// Whether to answer at once.
        nohang: bool,
    },
}

/// What a session init says.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum InitEvent {
    /// It is there.
    Up {},
    /// A worker was forked. Descriptor: its pidfd; none where it could not be, which its channel says.
    Spawned {
        /// Its number.
        worker: u64,
        /// How many descriptors come with it: 1, or 0.
        fds: u8,
    },
    /// A worker ended.
    Exit {
        /// Its number.
        worker: u64,
        /// Exit code, if it left by itself.
        #[serde(default)]
        code: Option<i32>,
        /// Signal, if one killed it.
        #[serde(default)]
        signal: Option<i32>,
    },
    /// What was younger than a woken process has ended.
    Swept {
        /// Names of the processes that user code had started.
        ended: Vec<String>,
    },
    /// How a process ended.
    Status {
        /// The question's number.
        number: u64,
        /// `running`, `unknown`, or its wait status.
        status: String,
    },
    /// Something that it was asked for and does not do.
    Refused {
        /// What: the request's `op`.
        op: String,
        /// Why.
        why: String,
    },
    /// Nothing of the session is left but init itself, which ends now.
    Ended {},
}
